"""Two peers of aiortc in one process, each with relay candidates only: URL USERNAME PASSWORD.

They exchange messages, a large blob, sound and pictures; what was counted is printed.
"""

import asyncio
import fractions
import os
import sys

import av
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection
from aiortc import AudioStreamTrack, VideoStreamTrack
from aiortc.rtcconfiguration import RTCIceTransportPolicy

MESSAGES = 1000
BLOB = os.urandom(1 << 20)
CHUNK = 16 * 1024
FRAMES = 5


class Pictures(VideoStreamTrack):
    """Small ones, that differ."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame(width=160, height=120, format="yuv420p")
        for index, plane in enumerate(frame.planes):
            plane.update(bytes([(pts // 3000 * 40 + index * 60) % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, fractions.Fraction(time_base)
        return frame


def peer():
    url, username, password = sys.argv[1:]
    return RTCPeerConnection(
        RTCConfiguration(
            iceServers=[RTCIceServer(url, username, password)],
            iceTransportPolicy=RTCIceTransportPolicy.RELAY,
        )
    )


async def describe(one, other, description):
    """Gathers the candidates of one peer and tells the other."""
    await one.setLocalDescription(description)
    lines = one.localDescription.sdp.splitlines()
    candidates = [line for line in lines if line.startswith("a=candidate:")]
    assert candidates, "no candidate was gathered"
    assert all(" typ relay" in line for line in candidates), candidates
    await other.setRemoteDescription(one.localDescription)


def selected(connection):
    """The types of the selected candidate pair."""
    pair = connection.sctp.transport.transport._connection._nominated[1]
    return f"{pair.local_candidate.type}/{pair.remote_candidate.type}"


async def converse(alice, bob):
    channel = alice.createDataChannel("talk")
    opened, arrived, heard = asyncio.Event(), asyncio.Queue(), asyncio.Queue()
    channel.on("open", opened.set)
    channel.on("message", arrived.put_nowait)

    @bob.on("datachannel")
    def on_channel(theirs):
        @theirs.on("message")
        def echo(message):
            heard.put_nowait(message)
            theirs.send(message)

    alice.addTrack(AudioStreamTrack())
    alice.addTrack(Pictures())
    tracks = asyncio.Queue()
    bob.on("track", tracks.put_nowait)
    await describe(alice, bob, await alice.createOffer())
    await describe(bob, alice, await bob.createAnswer())
    await opened.wait()

    for number in range(MESSAGES):
        channel.send(f"message {number}")
    for received in (heard, arrived):
        assert [await received.get() for _ in range(MESSAGES)] == [f"message {n}" for n in range(MESSAGES)]
    for start in range(0, len(BLOB), CHUNK):
        channel.send(BLOB[start : start + CHUNK])
    for received in (heard, arrived):
        blob = b""
        while len(blob) < len(BLOB):
            blob += await received.get()
        assert blob == BLOB
    for _ in range(2):
        track = await tracks.get()
        for _ in range(FRAMES):
            await track.recv()
    return selected(alice), selected(bob)


async def main():
    alice, bob = peer(), peer()
    try:
        pairs = await converse(alice, bob)
    finally:
        await asyncio.gather(alice.close(), bob.close())
    assert pairs == ("relay/relay", "relay/relay"), pairs
    print(f"relay/relay: {MESSAGES} messages, {len(BLOB)} bytes, {FRAMES} frames")


asyncio.run(asyncio.wait_for(main(), 50))
