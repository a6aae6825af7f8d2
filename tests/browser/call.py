"""WebRTC peers in browsers that know no way to each other but a TURN server. Usage: call.py PLAN

PLAN is a JSON file:
  {"task": "talk", "fail" or "show", "home": DIRECTORY, "authority": the certificate (PEM) to trust beside the usual,
   "peers": [{"browser": "chromium" or "firefox", "iceServer": {..}}, ..]}
To talk takes two peers; any number can fail to get a candidate, or be shown in the page of the documentation. It prints a line of JSON when the browsers run, and
one with what each peer has seen, or instead one with what has failed. Then the browsers stay until SIGTERM, so that one
can see that it is the peers who leave the server clean, not the end of the browser.
"""

import contextlib
import json
import signal
import sys
import traceback
from pathlib import Path

from chromium import Chromium
from firefox import Firefox

KINDS = {"chromium": Chromium, "firefox": Firefox}


class Peer:
    """A peer in a page, which has its functions and knows it by name."""

    def __init__(self, name, browser, ice_server):
        self.name, self.browser = name, browser
        self.call("makePeer", ice_server)

    def call(self, function, *arguments):
        return self.browser.call(function, self.name, *arguments)

    def expect(self, function):
        """Begins to wait for what `expected` returns."""
        self.browser.keep(self.name + function, function, self.name)

    def expected(self, function):
        return self.browser.kept(self.name + function)


def talk(alice, bob):
    """Makes them connect, and has each send messages and a long transfer to the other, while both show a picture."""
    answer = bob.call("describe", alice.call("describe"))
    alice.call("acceptAnswer", answer)
    for peer in (alice, bob):
        peer.call("isOpen")
    seen = []
    for peer, other in ((alice, bob), (bob, alice)):
        other.expect("expectMessages")
        peer.call("sendMessages")
        messages = other.expected("expectMessages")
        other.expect("expectTransfer")
        sent = peer.call("sendTransfer")
        received = other.expected("expectTransfer")
        seen.append({
            "pair": peer.call("selectedPair"),
            "framesDecoded": peer.call("seesVideo"),
            "messages": messages,
            "hashSent": sent,
            "hashReceived": received,
        })
    return seen


def fail(*peers):
    """Why each of them gets no candidate."""
    for peer in peers:
        peer.expect("failToGather")
    return [peer.expected("failToGather") for peer in peers]


TASKS = {"talk": talk, "fail": fail}
PAGE = Path(__file__).parents[2] / "docs" / "examples" / "relay_candidate.html"


def show(browser, ice_servers):
    """What the page of the documentation tells of these servers."""
    browser.open(PAGE.as_uri())
    pasted = json.dumps(json.dumps({"iceServers": ice_servers}))
    browser.evaluate(f"document.getElementById('servers').value = {pasted}")
    told = "[...document.querySelectorAll('#answers li')].map((line) => line.textContent)"
    return browser.evaluate(f"askAll().then(() => {told})")


def start_browsers(plan, browsers, stack):
    for kind in {peer["browser"] for peer in plan["peers"]}:
        browsers[kind] = KINDS[kind](Path(plan["home"]) / kind, plan["authority"])
        stack.enter_context(browsers[kind])
    return {"browsers": [browser.version() for browser in browsers.values()]}


def carry_out(plan, browsers):
    if plan["task"] == "show":
        ice_servers = [peer["iceServer"] for peer in plan["peers"]]
        return {"peers": [show(browser, ice_servers) for browser in browsers.values()]}
    peers = [
        Peer(f"peer {number}", browsers[peer["browser"]], peer["iceServer"])
        for number, peer in enumerate(plan["peers"])
    ]
    seen = TASKS[plan["task"]](*peers)
    for peer in peers:
        peer.call("close")
    return {"peers": seen}


def report(entry):
    print(json.dumps(entry), flush=True)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    # Taken below, whenever it comes.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    browsers = {}
    with contextlib.ExitStack() as stack:
        try:
            report(start_browsers(plan, browsers, stack))
            report(carry_out(plan, browsers))
        except Exception:
            logs = [f"{kind} has printed: {browser.log()}" for kind, browser in browsers.items()]
            report({"failure": "\n".join([traceback.format_exc(), *logs])})
        if not signal.sigtimedwait([signal.SIGTERM], 60):
            sys.exit("nobody ended this")


main()
