//! Which channel number stands for which peer (RFC 8656 §12).

use std::net::SocketAddr;
use std::time::Duration;

use super::packed_ip::PackedIp;
use super::time::Millis;
use crate::wire::ChannelNumber;

/// RFC 8656 §12: a binding lasts 10 minutes unless refreshed.
pub(super) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// The channels of one allocation, sorted both ways: a packet needs one short search.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_number: Vec<Channel>,
    by_peer: Vec<(Peer, ChannelNumber)>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    number: ChannelNumber,
    peer: Peer,
    expires: Millis,
}

/// A peer's transport address, packed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Peer {
    ip: PackedIp,
    port: u16,
}

/// Why a channel cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindError {
    /// The number stands for another peer, or the peer has another number.
    Conflict,
    /// The allocation holds as many channels as it may.
    Full,
}

impl Channels {
    /// The peer of a live channel.
    #[inline]
    pub(super) fn peer(&self, number: ChannelNumber, now: Millis) -> Option<SocketAddr> {
        let place = self.place(number).ok()?;
        let channel = &self.by_number[place];
        (now < channel.expires).then(|| channel.peer.get())
    }

    /// The live channel of a peer.
    #[inline]
    pub(super) fn number(&self, peer: SocketAddr, now: Millis) -> Option<ChannelNumber> {
        let place = self.peer_place(Peer::new(peer)).ok()?;
        let (_, number) = self.by_peer[place];
        self.peer(number, now).map(|_| number)
    }

    /// Whether this channel could be bound, without binding it.
    pub(super) fn check(&self, number: ChannelNumber, peer: SocketAddr, max: usize) -> Result<(), BindError> {
        let of_number = self.place(number).ok().map(|place| self.by_number[place].peer);
        let of_peer = self.peer_place(Peer::new(peer)).ok().map(|place| self.by_peer[place].1);
        match (of_number, of_peer) {
            (Some(bound), Some(_)) if bound == Peer::new(peer) => Ok(()),
            (Some(_), _) | (_, Some(_)) => Err(BindError::Conflict),
            (None, None) if self.by_number.len() >= max => Err(BindError::Full),
            (None, None) => Ok(()),
        }
    }

    /// Binds or refreshes a channel that [`Self::check`] found good.
    pub(super) fn bind(&mut self, number: ChannelNumber, peer: SocketAddr, now: Millis) {
        let peer = Peer::new(peer);
        let channel = Channel { number, peer, expires: now.after(CHANNEL_LIFETIME) };
        match self.place(number) {
            Ok(place) => self.by_number[place] = channel,
            Err(place) => self.by_number.insert(place, channel),
        }
        if let Err(place) = self.peer_place(peer) {
            self.by_peer.insert(place, (peer, number));
        }
    }

    /// Drops the channels that `keep` does not want, telling each to `gone`.
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(SocketAddr) -> bool,
        mut gone: impl FnMut(ChannelNumber, SocketAddr),
    ) {
        self.retain_channels(|channel| keep(channel.peer.get()), &mut gone);
    }

    /// Drops what has expired, telling each to `gone`.
    pub(super) fn purge(&mut self, now: Millis, mut gone: impl FnMut(ChannelNumber, SocketAddr)) {
        self.retain_channels(|channel| now < channel.expires, &mut gone);
    }

    /// Those that are not over, and until when.
    pub(super) fn live(&self, now: Millis) -> impl Iterator<Item = (ChannelNumber, SocketAddr, Millis)> {
        let live = self.by_number.iter().filter(move |channel| now < channel.expires);
        live.map(|channel| (channel.number, channel.peer.get(), channel.expires))
    }

    /// When the first of them expires.
    pub(super) fn next_expiry(&self) -> Option<Millis> {
        self.by_number.iter().map(|channel| channel.expires).min()
    }

    fn retain_channels(
        &mut self,
        mut keep: impl FnMut(&Channel) -> bool,
        gone: &mut impl FnMut(ChannelNumber, SocketAddr),
    ) {
        let before = self.by_number.len();
        self.by_number.retain(|channel| {
            let keeps = keep(channel);
            if !keeps {
                gone(channel.number, channel.peer.get());
            }
            keeps
        });
        if self.by_number.len() != before {
            let Self { by_number, by_peer } = self;
            by_peer.retain(|(_, number)| by_number.binary_search_by_key(number, |c| c.number).is_ok());
        }
    }

    fn place(&self, number: ChannelNumber) -> Result<usize, usize> {
        self.by_number.binary_search_by_key(&number, |channel| channel.number)
    }

    fn peer_place(&self, peer: Peer) -> Result<usize, usize> {
        self.by_peer.binary_search_by_key(&peer, |(peer, _)| *peer)
    }
}

impl Peer {
    #[inline]
    fn new(peer: SocketAddr) -> Self {
        Self { ip: PackedIp::new(peer.ip()), port: peer.port() }
    }

    #[inline]
    fn get(self) -> SocketAddr {
        SocketAddr::new(self.ip.get(), self.port)
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}
