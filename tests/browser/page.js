// WebRTC peers, by name, that know no way to each other but a TURN server. Whoever drives the browser calls these
// functions and carries what they return from one peer to the other.
'use strict';

const PATIENCE_MS = 30_000;
const MESSAGES = 1000;
const TRANSFER_BYTES = 5_000_000;
const CHUNK_BYTES = 16_384;
const FRAMES = 10;

const peers = {};

/** Makes a peer with a data channel and a video track; what it receives is looked at from the first moment. */
function makePeer(name, iceServer) {
  const pc = new RTCPeerConnection({ iceServers: [iceServer], iceTransportPolicy: 'relay' });
  const peer = { pc, errors: [], hear: () => {} };
  pc.onicecandidateerror = ({ errorCode, errorText, url }) => peer.errors.push({ errorCode, errorText, url });
  // Both sides open it by the same number, so neither has to wait for it to be announced.
  peer.channel = pc.createDataChannel('talk', { negotiated: true, id: 1 });
  peer.channel.binaryType = 'arraybuffer';
  peer.channel.onmessage = ({ data }) => peer.hear(data);
  const stream = movingPicture();
  pc.addTrack(stream.getVideoTracks()[0], stream);
  peers[name] = peer;
}

/** Takes the other's description, if there is one yet; returns its own once it has all its candidates. */
async function describe(name, theirs) {
  const { pc } = peers[name];
  if (theirs) await pc.setRemoteDescription(theirs);
  await gather(pc);
  return pc.localDescription.toJSON();
}

async function acceptAnswer(name, answer) {
  await peers[name].pc.setRemoteDescription(answer);
}

function isOpen(name) {
  const { channel } = peers[name];
  return happened('open channel', channel, 'open', () => channel.readyState === 'open');
}

/** The candidates at both ends of the chosen pair. */
async function selectedPair(name) {
  const stats = [...(await peers[name].pc.getStats()).values()];
  const byId = (id) => stats.find((entry) => entry.id === id);
  // Firefox marks the pair, others name it in the transport.
  const transport = stats.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
  const pair = transport
    ? byId(transport.selectedCandidatePairId)
    : stats.find((entry) => entry.type === 'candidate-pair' && entry.selected);
  const local = byId(pair.localCandidateId);
  const remote = byId(pair.remoteCandidateId);
  return {
    local: local.candidateType,
    remote: remote.candidateType,
    relayProtocol: local.relayProtocol,
    address: local.address,
  };
}

function sendMessages(name) {
  for (let number = 0; number < MESSAGES; number++) peers[name].channel.send(message(number));
}

/** Resolves when all messages have come, each as it was sent, in their order. */
function expectMessages(name) {
  let next = 0;
  return listen(name, 'messages', () => next, (data) => {
    if (data !== message(next)) throw new Error(`message ${next} came as ${String(data).slice(0, 80)}`);
    next += 1;
    return next === MESSAGES && next;
  });
}

/** Sends random bytes no faster than the channel takes them; returns their hash. */
async function sendTransfer(name) {
  const { channel } = peers[name];
  const bytes = new Uint8Array(TRANSFER_BYTES);
  // No more than 65,536 random bytes are given at once.
  for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  channel.bufferedAmountLowThreshold = 16 * CHUNK_BYTES;
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const hasRoom = () => channel.bufferedAmount <= channel.bufferedAmountLowThreshold;
    await happened('room in the channel', channel, 'bufferedamountlow', hasRoom);
    channel.send(bytes.subarray(at, at + CHUNK_BYTES));
  }
  return sha256(bytes);
}

/** Resolves with the hash of what came, once all has come. */
function expectTransfer(name) {
  const bytes = new Uint8Array(TRANSFER_BYTES);
  let length = 0;
  return listen(name, 'transferred bytes', () => length, (data) => {
    bytes.set(new Uint8Array(data), length);
    length += data.byteLength;
    return length === TRANSFER_BYTES && sha256(bytes);
  });
}

/** Resolves with the number of decoded frames once the picture has moved on. */
async function seesVideo(name) {
  const { pc } = peers[name];
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const stats = [...(await pc.getStats()).values()];
    const video = stats.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video');
    if (video?.framesDecoded >= FRAMES) return video.framesDecoded;
    if (performance.now() > deadline) throw new Error(`${video?.framesDecoded} frames decoded`);
    // Statistics have no event.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Asks for candidates; returns the errors that there were, and the candidates. */
async function failToGather(name) {
  const { pc, errors } = peers[name];
  await gather(pc);
  // They may be told after the end.
  await happened('error', pc, 'icecandidateerror', () => errors.length > 0);
  return { errors, candidates: pc.localDescription.sdp.match(/^a=candidate:.*$/gm) ?? [] };
}

function close(name) {
  peers[name].pc.close();
}

/** Keeps a promise until the driver asks for it, so that it can let the other peer send meanwhile. */
const kept = {};
function keep(key, promise) {
  kept[key] = promise;
  // It is looked at later; until then it is not unhandled.
  promise.catch(() => {});
}
function keptPromise(key) {
  return kept[key];
}

async function gather(pc) {
  await pc.setLocalDescription();
  const isComplete = () => pc.iceGatheringState === 'complete';
  await happened('end of gathering', pc, 'icegatheringstatechange', isComplete);
}

/** Resolves when `is` is true, at once or after one of these events. */
function happened(what, target, event, is) {
  return bounded(() => what, (resolve) => {
    if (is()) return resolve();
    target.addEventListener(event, function look() {
      if (!is()) return;
      target.removeEventListener(event, look);
      resolve();
    });
  });
}

/** Gives what is received to `take` until that returns something. */
function listen(name, what, count, take) {
  return bounded(() => `all ${what}, only ${count()}`, (resolve, reject) => {
    peers[name].hear = (data) => {
      try {
        const result = take(data);
        if (result) resolve(result);
      } catch (error) {
        reject(error);
      }
    };
  });
}

function bounded(what, start) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`no ${what()} in ${PATIENCE_MS} ms`)), PATIENCE_MS);
    start(resolve, reject);
  });
}

/** A text that only this number has, of up to some 1,000 characters. */
function message(number) {
  return `${number} ${String.fromCharCode(97 + (number % 26)).repeat((number * 7) % 1000)} ${number * 31}`;
}

async function sha256(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A canvas that changes 20 times a second. */
function movingPicture() {
  const canvas = document.createElement('canvas');
  canvas.width = 160;
  canvas.height = 120;
  const context = canvas.getContext('2d');
  let frame = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${(frame * 11) % 360} 90% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
    frame += 1;
  }, 50);
  return canvas.captureStream();
}
