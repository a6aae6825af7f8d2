"""Two agents of libnice, each with relay candidates only: HOST PORT TRANSPORT USERNAME PASSWORD.

They are reliable (libnice's pseudo-TCP), and send each other a large blob at the same time.
"""

import os
import sys
import threading

import gi

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice

BLOB = os.urandom(1 << 20)
PATIENCE = 50

host, port, transport, username, password = sys.argv[1:]
loop = GLib.MainLoop()


class Agent:
    def __init__(self, controlling):
        self.agent = Nice.Agent.new_reliable(loop.get_context(), Nice.Compatibility.RFC5245)
        self.agent.props.controlling_mode = controlling
        self.agent.props.force_relay = True
        self.agent.props.ice_tcp = False
        self.agent.props.upnp = False
        # Not by itself does it use the loopback interface.
        local = Nice.Address()
        assert local.set_from_string(host) and self.agent.add_local_address(local)
        self.stream = self.agent.add_stream(1)
        self.agent.set_stream_name(self.stream, "application")
        kind = getattr(Nice.RelayType, transport.upper())
        turn = (host, int(port), username, password, kind)
        assert self.agent.set_relay_info(self.stream, 1, *turn)
        self.gathered, self.ready, self.complete, self.closed = (threading.Event() for _ in range(4))
        self.agent.connect("candidate-gathering-done", lambda *_: self.gathered.set())
        self.agent.connect("component-state-changed", self.on_state)
        self.agent.connect("new-selected-pair-full", self.on_pair)
        self.pair = None
        self.heard = b""
        self.streams = self.agent.get_io_stream(self.stream, 1)
        # Its sockets are served only while somebody reads.
        threading.Thread(target=self.read, daemon=True).start()

    def on_state(self, agent, stream, component, state):
        if state == Nice.ComponentState.READY:
            self.ready.set()

    def on_pair(self, agent, stream, component, local, remote):
        self.pair = (local.type, remote.type)

    def read(self):
        stream = self.streams.get_input_stream()
        while True:
            self.heard += stream.read_bytes(65536, None).get_data()
            if len(self.heard) >= len(BLOB):
                self.complete.set()

    def write(self):
        self.streams.get_output_stream().write_all(BLOB, None)

    def close(self):
        self.agent.close_async(lambda *_: self.closed.set())


def all_of(agents, event):
    for agent in agents:
        assert getattr(agent, event).wait(PATIENCE), f"not {event}"


alice, bob = agents = Agent(True), Agent(False)
threading.Thread(target=loop.run, daemon=True).start()
for agent in agents:
    assert agent.agent.gather_candidates(agent.stream)
all_of(agents, "gathered")
for one, other in ((alice, bob), (bob, alice)):
    assert other.agent.parse_remote_sdp(one.agent.generate_local_sdp()) == 1, "not one candidate"
all_of(agents, "ready")
for agent in agents:
    assert agent.pair == (Nice.CandidateType.RELAYED, Nice.CandidateType.RELAYED), agent.pair
    threading.Thread(target=agent.write, daemon=True).start()
all_of(agents, "complete")
for agent in agents:
    assert agent.heard == BLOB, "the blob arrived changed"
    # Gives the allocation back.
    agent.close()
all_of(agents, "closed")
print(f"relay/relay: {len(BLOB)} bytes each way", flush=True)
