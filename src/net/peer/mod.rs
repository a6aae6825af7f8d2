//! Connections to the peers of TCP allocations (RFC 6062), and the bytes between them and their clients.
//!
//! Nothing is read from a peer before a client connection is bound to it: what it sends waits in the kernel, and stops
//! it when that is full. From then on bytes are passed on in both directions as they come. What one side does not take
//! at once is kept, and nothing more is read from the other side until most of it is gone.

mod lane;
mod socket;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::time::Duration;

use foldhash::fast::FixedState;
use mio::net::TcpStream;
use mio::{Interest, Registry};

pub(crate) use lane::Lane;
pub(crate) use socket::{accept, connect, listen};

use super::socket_id::SocketId;
use crate::turn::{ConnectionId, Millis};

/// The peer connections of one worker.
pub(crate) struct Peers {
    peers: Vec<Option<Box<Peer>>>,
    free: Vec<u32>,
    by_name: HashMap<ConnectionId, u32, FixedState>,
    /// When bytes may go on that the bandwidth has stopped.
    waking: BinaryHeap<Reverse<(Millis, u32)>>,
    scratch: Box<[u8]>,
}

/// A connection to a peer.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    pub(crate) name: ConnectionId,
    pub(crate) stage: Stage,
    /// From the client to the peer.
    pub(crate) up: Lane,
    /// From the peer to the client.
    pub(crate) down: Lane,
    /// It is in the list of sockets with something to do.
    pub(crate) queued: bool,
    /// Its entry among those that wait for bandwidth.
    wake: Option<Millis>,
    /// When something passed last.
    pub(crate) since: Millis,
}

/// How far a connection to a peer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The peer has not answered.
    Connecting,
    /// There is no client connection to pass bytes to.
    Waiting,
    /// Bytes are passed to and from the client connection at this place.
    Spliced(u32),
}

/// Bytes read from a peer in one turn.
const READ_MAX: usize = 32 << 10;
/// A stream of which one half is closed ends when nothing passes for this long on the other.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(60);

impl Peers {
    pub(crate) fn new(hasher: FixedState) -> Self {
        Self {
            peers: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::with_hasher(hasher),
            waking: BinaryHeap::new(),
            scratch: vec![0; READ_MAX].into(),
        }
    }

    /// Takes over a connection and lets the poll tell of it.
    pub(crate) fn insert(
        &mut self,
        mut socket: TcpStream,
        name: ConnectionId,
        stage: Stage,
        registry: &Registry,
        now: Millis,
    ) -> io::Result<()> {
        let place = match self.free.last() {
            Some(place) => *place,
            None => u32::try_from(self.peers.len()).map_err(|_| io::ErrorKind::OutOfMemory)?,
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut socket, SocketId::peer(place).token(), interest)?;
        let (up, down) = (Lane::default(), Lane::default());
        let peer = Peer { socket, name, stage, up, down, queued: false, wake: None, since: now };
        match self.peers.get_mut(place as usize) {
            Some(slot) => {
                *slot = Some(Box::new(peer));
                self.free.pop();
            }
            None => self.peers.push(Some(Box::new(peer))),
        }
        self.by_name.insert(name, place);
        Ok(())
    }

    pub(crate) fn at(&mut self, place: u32) -> Option<&mut Peer> {
        self.peers.get_mut(place as usize)?.as_deref_mut()
    }

    /// The place of the connection with this name.
    pub(crate) fn place(&self, name: ConnectionId) -> Option<u32> {
        self.by_name.get(&name).copied()
    }

    /// Closes a connection. Whether there was one.
    pub(crate) fn close(&mut self, name: ConnectionId) -> bool {
        let Some(place) = self.by_name.remove(&name) else { return false };
        if let Some(slot) = self.peers.get_mut(place as usize) {
            *slot = None;
            self.free.push(place);
        }
        if self.by_name.is_empty() {
            // A crowd that has left should leave its room behind.
            self.peers = Vec::new();
            self.free = Vec::new();
            self.waking = BinaryHeap::new();
            self.by_name.shrink_to_fit();
        }
        true
    }

    /// Reads from a peer, into memory that is used again.
    pub(crate) fn read(&mut self, place: u32) -> Option<(&mut Peer, io::Result<&[u8]>)> {
        let peer = self.peers.get_mut(place as usize)?.as_deref_mut()?;
        let read = socket::read(&peer.socket, &mut self.scratch);
        let bytes = read.map(|count| self.scratch.get(..count).unwrap_or_default());
        Some((peer, bytes))
    }

    /// Sees to it that a peer is looked at then.
    pub(crate) fn wake_at(&mut self, place: u32, at: Millis) {
        if let Some(peer) = self.at(place)
            && peer.wake.is_none_or(|before| at < before)
        {
            peer.wake = Some(at);
            self.waking.push(Reverse((at, place)));
        }
    }

    /// When the next one is to be looked at.
    pub(crate) fn next_wake(&self) -> Option<Millis> {
        self.waking.peek().map(|Reverse((at, _))| *at)
    }

    /// The next peer that is to be looked at now.
    pub(crate) fn pop_due(&mut self, now: Millis) -> Option<u32> {
        while self.next_wake().is_some_and(|at| at <= now) {
            let Reverse((at, place)) = self.waking.pop()?;
            if let Some(peer) = self.at(place)
                && peer.wake.take_if(|wake| *wake == at).is_some()
            {
                return Some(place);
            }
        }
        None
    }

    /// The streams of which only one half is left, and which is not used.
    pub(crate) fn overdue(&self, now: Millis) -> Vec<ConnectionId> {
        let peers = self.peers.iter().flatten();
        let half_closed = peers.filter(|peer| peer.up.ended || peer.down.ended);
        half_closed.filter(|peer| now.since(peer.since) > HALF_CLOSED_MAX).map(|peer| peer.name).collect()
    }
}

impl Peer {
    /// What came of connecting, once that is known.
    pub(crate) fn outcome(&self) -> Option<io::Result<()>> {
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Some(Err(error)),
        }
        match self.socket.peer_addr() {
            Ok(_) => Some(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether the peer has reset the connection.
    pub(crate) fn is_broken(&self) -> bool {
        !matches!(self.socket.take_error(), Ok(None))
    }

    /// Sends as much as may go on and as the peer takes; behind the last byte, that it was the last.
    pub(crate) fn write_up(&mut self, now: Millis) -> io::Result<()> {
        while !self.up.allowed().is_empty() {
            match socket::write(&self.socket, self.up.allowed()) {
                Ok(count) => {
                    self.up.advance(count);
                    self.since = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.up.is_over() {
            self.up.shut = true;
            self.socket.shutdown(std::net::Shutdown::Write)?;
        }
        Ok(())
    }
}
