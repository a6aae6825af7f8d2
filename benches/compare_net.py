"""The two networks of benches/compare: loopback, and veth pairs between namespaces of its own."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

BINDING = bytes.fromhex("000100002112a442") + b"compare-main"


def say(text):
    print(text, file=sys.stderr, flush=True)


def answers_here(address):
    """Whether a STUN server answers a Binding request."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(address)
            probe.send(BINDING)
            return probe.recv(1500)[8:20] == BINDING[8:]
        except OSError:
            return False


class Loopback:
    """All on 127.0.0.1: the sender of a packet also pays for its delivery."""

    listen = relay = peers = "127.0.0.1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def in_server(self, command):
        return command

    def in_load(self, command):
        return command

    def answers(self, address):
        return answers_here(address)

    def receivers(self):
        return []


class Veth:
    """A namespace for the servers and one for the generator, joined by a pair for clients and a pair for peers.

    The servers' ends receive in kernel threads (threaded NAPI) on the servers' core, with GRO, and their time counts as
    the server's: that is the receive path of a network card. The generator's ends send no segmented packets, so what
    arrives at a server arrives as single frames, as from a wire.
    """

    listen, relay, peers = "10.255.1.1", "10.255.2.1", "10.255.2.2"
    clients = "10.255.1.2"

    def __init__(self, say, install):
        if os.geteuid() != 0:
            raise SystemExit("--veth makes network namespaces and needs root")
        if not shutil.which("ethtool"):
            say("ethtool is missing: installing it")
            install("ethtool")
        self.server, self.load = f"compare-s-{os.getpid()}", f"compare-l-{os.getpid()}"
        self.threads = []

    def __enter__(self):
        try:
            self.make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for namespace in (self.server, self.load):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True)

    def make(self):
        for namespace in (self.server, self.load):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        for name, ours, theirs in (("cl", self.listen, self.clients), ("pe", self.relay, self.peers)):
            near, far = f"cs-{name}", f"ls-{name}"
            run("ip", "-n", self.server, "link", "add", near, "type", "veth", "peer", far, "netns", self.load)
            for namespace, device, address in ((self.server, near, ours), (self.load, far, theirs)):
                run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", device)
                run(*self.within(namespace), "ethtool", "-K", device, "gro", "on")
                run("ip", "-n", namespace, "link", "set", device, "up")
                threaded = f"/sys/class/net/{device}/threaded"
                run(*self.within(namespace), "sh", "-c", f"echo 1 > {threaded}")
            run(*self.within(self.load), "ethtool", "-K", far, "tx-udp-segmentation", "off")
        cores = sorted(os.sched_getaffinity(0))
        self.threads = napi_threads("cs-")
        for threads, core in ((self.threads, cores[0]), (napi_threads("ls-"), cores[-1])):
            for thread in threads:
                run("taskset", "-pc", str(core), str(thread))

    @staticmethod
    def within(namespace):
        return ["ip", "netns", "exec", namespace]

    def in_server(self, command):
        return [*self.within(self.server), *command]

    def in_load(self, command):
        return [*self.within(self.load), *command]

    def answers(self, address):
        probe = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import compare_net as c; "
        probe += f"sys.exit(not c.answers_here({address!r}))"
        return subprocess.run(self.in_load(["python3", "-B", "-c", probe]), capture_output=True).returncode == 0

    def receivers(self):
        return self.threads


def napi_threads(prefix):
    """The kernel threads that receive for the devices with this prefix."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().startswith(f"napi/{prefix}"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
