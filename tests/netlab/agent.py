"""One of two ICE agents, each in a network of its own: ROLE SIGNALLING SETTINGS.

ROLE is "offer" (waits for the other), "answer", or "gather", which ends when it has its candidates. They find each
other by SIGNALLING, a Unix socket, which works across network namespaces. SETTINGS are those of aioice.Connection, as
JSON. What came of it is printed as JSON.
"""

import asyncio
import json
import sys

import aioice
from aioice import stun

MESSAGES = 100
# A check is given up after 7.5 s instead of 64 s: nothing takes long between these networks, or it is lost.
stun.RETRY_MAX = 3

role, signalling, settings = sys.argv[1:]


def say(**what):
    print(json.dumps(what), flush=True)


async def find_the_other():
    """A future that ends with the streams between the two."""
    come = asyncio.get_running_loop().create_future()
    if role == "answer":
        come.set_result(await asyncio.open_unix_connection(signalling))
    else:
        await asyncio.start_unix_server(lambda *streams: come.set_result(streams), signalling)
        say(waiting=True)
    return come


async def introduce(agent, reader, writer):
    """Tells the other how to reach this agent, and learns how to reach the other."""
    candidates = [candidate.to_sdp() for candidate in agent.local_candidates]
    mine = [agent.local_username, agent.local_password, candidates]
    writer.write(json.dumps(mine).encode() + b"\n")
    theirs = json.loads(await reader.readline())
    agent.remote_username, agent.remote_password, candidates = theirs
    for candidate in candidates:
        await agent.add_remote_candidate(aioice.Candidate.from_sdp(candidate))
    await agent.add_remote_candidate(None)


async def converse(agent):
    for number in range(MESSAGES):
        message = b"message %d" % number
        if role == "offer":
            await agent.send(message)
        assert await agent.recv() == message
        if role == "answer":
            await agent.send(message)


async def main():
    options = json.loads(settings)
    for server in ("stun_server", "turn_server"):
        if server in options:
            options[server] = tuple(options[server])
    agent = aioice.Connection(ice_controlling=role == "offer", **options)
    other = None if role == "gather" else await find_the_other()
    await agent.gather_candidates()
    candidates = sorted({candidate.type for candidate in agent.local_candidates})
    if role == "gather":
        await agent.close()
        return say(candidates=candidates)
    await introduce(agent, *await other)
    try:
        await agent.connect()
    except ConnectionError as error:
        return say(candidates=candidates, failed=str(error))
    await converse(agent)
    pair = agent._nominated[1]
    await agent.close()
    say(
        candidates=candidates,
        messages=MESSAGES,
        pair=[pair.local_candidate.type, pair.remote_candidate.type],
    )


asyncio.run(asyncio.wait_for(main(), 50))
