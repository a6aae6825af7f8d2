// Two peers of werift in one process, each with relay candidates only: MODULE URL USERNAME PASSWORD.
//
// They exchange messages, a large blob and RTP packets; what was counted is printed.

import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';

const [folder, urls, username, credential] = process.argv.slice(2);
const { MediaStreamTrack, RTCPeerConnection, RtpHeader, RtpPacket } = createRequire(`${folder}/`)('werift');

const MESSAGES = 1000;
const BLOB = randomBytes(1 << 20);
const CHUNK = 16 * 1024;
const PACKETS = 50;
const PATIENCE = 50_000;

function assert(is, what) {
    if (!is) throw new Error(what);
}

const peer = () => new RTCPeerConnection({
    iceServers: [{ urls, username, credential }],
    iceTransportPolicy: 'relay',
    bundlePolicy: 'max-bundle',
});

/** What arrives, one after the other. */
class Inbox {
    #arrived = [];
    #waiting = [];

    put(item) {
        const next = this.#waiting.shift();
        if (next) next(item);
        else this.#arrived.push(item);
    }

    async get() {
        return this.#arrived.length > 0 ? this.#arrived.shift() : new Promise((next) => this.#waiting.push(next));
    }
}

/** Gathers the candidates of one peer and tells the other. */
async function describe(one, other, description) {
    const gathered = new Promise((done) => {
        one.iceGatheringStateChange.subscribe((state) => state === 'complete' && done());
    });
    await one.setLocalDescription(description);
    if (one.iceGatheringState !== 'complete') await gathered;
    const candidates = one.localDescription.sdp.split('\r\n').filter((line) => line.startsWith('a=candidate:'));
    assert(candidates.length > 0, 'no candidate was gathered');
    assert(candidates.every((line) => line.includes(' typ relay')), candidates.join('\n'));
    await other.setRemoteDescription(one.localDescription);
}

async function selected(connection) {
    const report = await connection.getStats();
    const all = [...report.values()];
    const pair = all.find((entry) => entry.type === 'candidate-pair' && entry.nominated);
    return [pair.localCandidateId, pair.remoteCandidateId]
        .map((id) => all.find((entry) => entry.id === id).candidateType)
        .join('/');
}

async function exchange(channel, arrived, heard) {
    for (let number = 0; number < MESSAGES; number += 1) channel.send(`message ${number}`);
    for (const inbox of [heard, arrived]) {
        for (let number = 0; number < MESSAGES; number += 1) {
            const message = await inbox.get();
            assert(message.toString() === `message ${number}`, `${message} instead of message ${number}`);
        }
    }
    for (let start = 0; start < BLOB.length; start += CHUNK) channel.send(BLOB.subarray(start, start + CHUNK));
    for (const inbox of [heard, arrived]) {
        const parts = [];
        for (let length = 0; length < BLOB.length; length += parts.at(-1).length) parts.push(await inbox.get());
        assert(Buffer.concat(parts).equals(BLOB), 'the blob arrived changed');
    }
}

async function stream(track, packets) {
    for (let number = 0; number < PACKETS; number += 1) {
        const header = new RtpHeader({ sequenceNumber: number, timestamp: number * 3000, payloadType: 96, ssrc: 7 });
        track.writeRtp(new RtpPacket(header, Buffer.alloc(1000, number)));
        const packet = await packets.get();
        assert(packet.payload.equals(Buffer.alloc(1000, number)), `RTP packet ${number} arrived changed`);
    }
}

async function converse(alice, bob) {
    const channel = alice.createDataChannel('talk');
    const [arrived, heard, packets] = [new Inbox(), new Inbox(), new Inbox()];
    const opened = new Promise((done) => channel.stateChanged.subscribe((state) => state === 'open' && done()));
    channel.onMessage.subscribe((message) => arrived.put(message));
    bob.onDataChannel.subscribe((theirs) => {
        theirs.onMessage.subscribe((message) => {
            heard.put(message);
            theirs.send(message);
        });
    });
    const track = new MediaStreamTrack({ kind: 'video' });
    alice.addTransceiver(track, { direction: 'sendonly' });
    bob.onTrack.subscribe((theirs) => theirs.onReceiveRtp.subscribe((packet) => packets.put(packet)));

    await describe(alice, bob, await alice.createOffer());
    await describe(bob, alice, await bob.createAnswer());
    await opened;
    await exchange(channel, arrived, heard);
    await stream(track, packets);
    for (const connection of [alice, bob]) {
        const pair = await selected(connection);
        assert(pair === 'relay/relay', pair);
    }
}

const overdue = setTimeout(() => {
    console.error('nothing comes of it');
    process.exit(1);
}, PATIENCE);
const [alice, bob] = [peer(), peer()];
await converse(alice, bob);
await Promise.all([alice.close(), bob.close()]);
clearTimeout(overdue);
console.log(`relay/relay: ${MESSAGES} messages, ${BLOB.length} bytes, ${PACKETS} packets`);
process.exit(0);
