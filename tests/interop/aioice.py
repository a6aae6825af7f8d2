"""Two ICE agents in one process, each with relay candidates only: SERVER PORT USERNAME PASSWORD."""

import asyncio
import sys

import aioice


def agent(controlling):
    host, port, username, password = sys.argv[1:]
    return aioice.Connection(
        ice_controlling=controlling,
        turn_server=(host, int(port)),
        turn_username=username,
        turn_password=password,
        transport_policy=aioice.TransportPolicy.RELAY,
    )


async def introduce(one, other):
    for candidate in one.local_candidates:
        assert candidate.type == "relay", candidate
        await other.add_remote_candidate(candidate)
    await other.add_remote_candidate(None)
    other.remote_username = one.local_username
    other.remote_password = one.local_password


async def main():
    alice, bob = agent(True), agent(False)
    await asyncio.gather(alice.gather_candidates(), bob.gather_candidates())
    assert alice.local_candidates and bob.local_candidates, "no relay candidate was gathered"
    await introduce(alice, bob)
    await introduce(bob, alice)
    await asyncio.gather(alice.connect(), bob.connect())
    for number in range(100):
        text = b"message %d" % number
        await alice.send(text)
        assert await bob.recv() == text
        await bob.send(text)
        assert await alice.recv() == text
    await asyncio.gather(alice.close(), bob.close())
    print("100 messages each way")


asyncio.run(asyncio.wait_for(main(), 30))
