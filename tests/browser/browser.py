"""What both browsers have in common: a home of their own, the authority they trust, and their end."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path


class BrowserError(Exception):
    """The browser or the page in it did not do what it was asked."""


class Browser:
    # Seconds for one command; what a page waits for takes less, so that it is the page that tells what is missing.
    patience = 60

    def __init__(self, home, authority):
        """`home` is a directory that does not exist yet, `authority` the certificate (PEM) to trust beside the usual."""
        self.home, self.authority, self.process = Path(home), authority, None
        self.home.mkdir()
        self.scratch = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        (self.home / "log").touch()

    def __enter__(self):
        try:
            self.launch()
            self.open(Path(__file__).with_name("page.html").as_uri())
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *failure):
        # Nothing of it is to be kept, so it need not end in peace.
        self.end()

    def call(self, function, *arguments):
        """Calls a function of the page, waits for what it promises, and returns that."""
        return self.evaluate(f"{function}({', '.join(map(literal, arguments))})")

    def keep(self, key, function, *arguments):
        """Calls a function of the page and goes on; `kept` gives what it has promised."""
        self.evaluate(f"keep({literal(key)}, {function}({', '.join(map(literal, arguments))}))")

    def kept(self, key):
        return self.evaluate(f"keptPromise({literal(key)})")

    def log(self):
        """The end of what it has printed."""
        return (self.home / "log").read_text(errors="replace")[-2000:]

    def start(self, command, **options):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"}
        # A short path, because there is a socket in it; what the browser leaves behind goes with it.
        environment["TMPDIR"] = self.scratch.name
        # It ends with this process, whatever ends that.
        command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        with open(self.home / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options
            )

    def trust(self, database):
        database.mkdir(parents=True, exist_ok=True)
        certutil = ["certutil", "-d", f"sql:{database}"]
        subprocess.run([*certutil, "-N", "--empty-password"], check=True)
        subprocess.run([*certutil, "-A", "-n", "test authority", "-t", "C,,", "-i", self.authority], check=True)

    def end(self):
        """Ends whatever is left of it."""
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        self.scratch.cleanup()


def literal(value):
    """JSON is JavaScript."""
    return json.dumps(value)
