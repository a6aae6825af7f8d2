"""The servers that are measured, how they are built, set up, started and stopped."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from compare_net import say

ROOT = Path(__file__).resolve().parent.parent
SECRET = "a secret for one comparison"
OURS, COTURN, FORWARDER = "turnbridge", "coturn", "forwarder"
RELAY_PORTS = (49152, 65535)


class Priority:
    """Whether everything goes before the machine's other work."""

    realtime = False


class Server:
    """A server process on an address of its own, stopped when the comparison ends, however it ends."""

    def __init__(self, name, command, address, net, directory, tls_port=None):
        self.name, self.command, self.address, self.net = name, command, address, net
        self.tls_port = tls_port
        self.log = directory / f"{name}.log"
        self.process = None

    def start(self):
        command = self.net.in_server([*on_core(0), *self.command])
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.net.answers(self.address):
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise SystemExit(f"{self.name} did not come up:\n{tail}")
            time.sleep(0.05)

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def port(self, transport):
        return self.tls_port if transport == "tls" else self.address[1]

    def pid(self):
        # taskset, chrt and `ip netns exec` all replace themselves by what they start.
        return self.process.pid


def coturn(port, net, directory, threads, tls_port=None):
    if not shutil.which("turnserver"):
        say("coturn is missing: installing it")
        install("coturn")
    command = [
        "turnserver", "-n", f"--listening-ip={net.listen}", f"--listening-port={port}", f"--relay-ip={net.relay}",
        f"--relay-threads={threads}", f"--min-port={RELAY_PORTS[0]}", f"--max-port={RELAY_PORTS[1]}",
        "--use-auth-secret", f"--static-auth-secret={SECRET}", "--realm=bench", "--allow-loopback-peers",
        "--no-dtls", "--no-tcp-relay", "--no-cli", "--no-software-attribute", "--no-rfc5780",
        "--no-stun-backward-compatibility", "--log-file=/dev/null", "--simple-log",
        f"--pidfile={directory}/coturn.pid", f"--userdb={directory}/coturn.db",
    ]
    if tls_port is None:
        command += ["--no-tls", "--no-tcp"]
    else:
        command += [f"--tls-listening-port={tls_port}", f"--cert={directory}/cert.pem", f"--pkey={directory}/key.pem"]
    return Server(COTURN, command, (net.listen, port), net, directory, tls_port)


def certificate(directory):
    """The one that all servers show: ECDSA on P-256, which is what certificate authorities sign by default today."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench,IP:127.0.0.1"]
    command += ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"openssl: {done.stderr}")


def stream_listeners(port, net, directory, tls_port):
    return f"""
[[listener]]
address = "{net.listen}:{port}"
transport = "tcp"

[[listener]]
address = "{net.listen}:{tls_port}"
transport = "tls"

[[tls.certificate]]
chain = "{directory}/cert.pem"
key = "{directory}/key.pem"
"""


def turnbridge(binary, port, net, directory, threads, tls_port=None):
    config = directory / "turnbridge.toml"
    streams = stream_listeners(port, net, directory, tls_port) if tls_port else ""
    stream_limits = 'connections = "unlimited"\nconnections_per_ip = "unlimited"' if tls_port else ""
    config.write_text(f"""
[server]
realm = "bench"
workers = {threads}
state_dir = "{directory}"

[[listener]]
address = "{net.listen}:{port}"
{streams}
[relay]
addresses = ["{net.relay}"]
ports = "{RELAY_PORTS[0]}-{RELAY_PORTS[1]}"

[auth]
secret_files = ["{directory}/secret"]

[limits]
allocations_per_user = "unlimited"
allocations_per_ip = "unlimited"
challenge_rate = "unlimited"
binding_rate = "unlimited"
{stream_limits}

[peers]
allow = ["{net.peers}/32"]

[log]
level = "error"
""")
    return Server(OURS, [str(binary), "serve", "--config", str(config)], (net.listen, port), net, directory, tls_port)


def forwarder(binary, port, net, directory):
    command = [str(binary), "--listen", f"{net.listen}:{port}", "--relay", net.relay]
    return Server(FORWARDER, command, (net.listen, port), net, directory)


def on_core(core, ahead=None):
    """Pins to a core where there is more than one, and, if that was asked for, goes before all other work."""
    words = []
    if shutil.which("taskset") and len(os.sched_getaffinity(0)) > 1:
        words += ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[core])]
    return [*words, "chrt", "-f", "10"] if (Priority.realtime if ahead is None else ahead) else words


def install(*packages):
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", *packages]):
        done = subprocess.run(["apt-get", *words], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"apt-get {' '.join(words)}: {done.stderr}")


def build():
    say("building the server and the forwarder")
    command = ["cargo", "build", "--release", "--quiet", "--bins", "--examples"]
    command += ["--manifest-path", str(ROOT / "Cargo.toml")]
    subprocess.run(command, check=True)
    metadata = ["cargo", "metadata", "--no-deps", "--format-version=1", "--manifest-path", str(ROOT / "Cargo.toml")]
    target = json.loads(subprocess.run(metadata, check=True, capture_output=True).stdout)["target_directory"]
    return Path(target) / "release" / "turnbridge"
