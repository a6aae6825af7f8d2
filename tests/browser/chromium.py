"""Chromium, headless, driven by the DevTools protocol over two pipes."""

import fcntl
import json
import os
import select
import time

from browser import Browser, BrowserError

# The file descriptors that --remote-debugging-pipe reads commands from and writes answers to.
COMMANDS, ANSWERS = 3, 4


class Chromium(Browser):
    program = "chromium"

    def launch(self):
        arguments = [
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={self.home / 'profile'}",
            # A test may run as root, and in containers that do not let it make sandboxes.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-features=OptimizationHints,MediaRouter",
            # The server is on a loopback address, which peers do not use by themselves.
            "--allow-loopback-in-peer-connection",
            "about:blank",
        ]
        if self.authority:
            self.trust(self.home / ".pki" / "nssdb")
        their_commands, our_commands = os.pipe()
        our_answers, their_answers = os.pipe()
        # Above the two numbers that the browser wants them to have.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (their_commands, their_answers)]

        def hand_over():
            os.dup2(theirs[0], COMMANDS)
            os.dup2(theirs[1], ANSWERS)

        self.start([self.program, *arguments], preexec_fn=hand_over, pass_fds=(COMMANDS, ANSWERS))
        for end in (*theirs, their_commands, their_answers):
            os.close(end)
        self.commands, self.answers = our_commands, our_answers
        self.number, self.received, self.session = 0, b"", None

    def open(self, url):
        # A page that may not use the camera knows no address, and where there is no route for one of the families it
        # waits for candidates from there without end.
        self.command("Browser.grantPermissions", permissions=["audioCapture", "videoCapture"])
        pages = self.command("Target.getTargets")["targetInfos"]
        page = next(target for target in pages if target["type"] == "page")
        attached = self.command("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        self.command("Page.enable")
        self.command("Page.navigate", url=url)
        self.read_until(lambda message: message.get("method") == "Page.loadEventFired")

    def evaluate(self, expression):
        answer = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"]["exception"].get("description", answer))
        return answer["result"].get("value")

    def version(self):
        return self.command("Browser.getVersion")["product"]

    def command(self, method, **params):
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        answer = self.read_until(lambda message: message.get("id") == self.number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return answer["result"]

    def read_until(self, is_wanted):
        """Skips messages until one that is wanted."""
        deadline = time.monotonic() + self.patience
        while True:
            while b"\0" in self.received:
                message, self.received = self.received.split(b"\0", 1)
                message = json.loads(message)
                if is_wanted(message):
                    return message
            left = max(0, deadline - time.monotonic())
            if not select.select([self.answers], [], [], left)[0]:
                raise BrowserError("it does not answer")
            piece = os.read(self.answers, 1 << 20)
            if not piece:
                raise BrowserError("it has ended")
            self.received += piece
