"""Firefox, headless, driven by Marionette, the protocol behind its WebDriver."""

import json
import socket
import time

from browser import Browser, BrowserError

PREFERENCES = {
    # Any free port, which it writes into its profile.
    "marionette.port": 0,
    # The server is on a loopback address, which peers do not use by themselves.
    "media.peerconnection.ice.loopback": True,
    # Nor does a page that may not use the camera know any address but that of the default route.
    "permissions.default.camera": 1,
    "network.proxy.type": 0,
    # No talk with the world.
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}


class Firefox(Browser):
    program = "firefox-esr"

    def launch(self):
        self.profile = self.home / "profile"
        self.profile.mkdir()
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
        (self.profile / "user.js").write_text("".join(lines))
        if self.authority:
            self.trust(self.profile)
        self.start([self.program, "--headless", "--marionette", "--no-remote", "--profile", str(self.profile)])
        self.socket = socket.create_connection(("127.0.0.1", self.port()), timeout=self.patience)
        self.received, self.number = b"", 0
        # It speaks first, of itself.
        self.read()
        self.session = self.command("WebDriver:NewSession")
        self.command("WebDriver:SetTimeouts", script=int(self.patience * 1000))

    def port(self):
        """Waits until it has written down where it listens."""
        file = self.profile / "MarionetteActivePort"
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BrowserError("it has ended")
            if file.exists() and (text := file.read_text()):
                return int(text)
            time.sleep(0.02)
        raise BrowserError("it does not listen")

    def open(self, url):
        self.command("WebDriver:Navigate", url=url)

    def evaluate(self, expression):
        return self.command("WebDriver:ExecuteScript", script=f"return ({expression});", args=[])["value"]

    def version(self):
        capabilities = self.session["capabilities"]
        return f"{capabilities['browserName']}/{capabilities['browserVersion']}"

    def command(self, name, **params):
        self.number += 1
        command = json.dumps([0, self.number, name, params]).encode()
        self.socket.sendall(b"%d:%s" % (len(command), command))
        _, number, error, result = self.read()
        assert number == self.number, (number, self.number)
        if error:
            raise BrowserError(f"{name}: {error['message']}")
        return result

    def read(self):
        """One message: its length, a colon, and JSON."""
        while b":" not in self.received:
            self.receive()
        length, self.received = self.received.split(b":", 1)
        while len(self.received) < int(length):
            self.receive()
        message, self.received = self.received[: int(length)], self.received[int(length) :]
        return json.loads(message)

    def receive(self):
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise BrowserError("it has ended")
        self.received += piece
