//! What the server asked for, kept beyond the call-back.

use std::net::SocketAddr;
use std::time::Duration;

use turnbridge::turn::{ConnectionId, Denial, EndReason, Event, FiveTuple, Output, QueryId, Traffic};
use turnbridge::wire::Method;

use super::{Answer, Sockets};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    ToClient {
        client: FiveTuple,
        bytes: Vec<u8>,
    },
    CloseClient(FiveTuple),
    ConnectPeer {
        connection: ConnectionId,
        from: SocketAddr,
        peer: SocketAddr,
    },
    KeepPeer(ConnectionId),
    ClosePeer(ConnectionId),
    Splice {
        client: FiveTuple,
        connection: ConnectionId,
    },
    HandOver {
        client: FiveTuple,
        worker: u16,
    },
    ToPeer {
        from: SocketAddr,
        peer: SocketAddr,
        bytes: Vec<u8>,
        dont_fragment: bool,
    },
    Opened(SocketAddr),
    Closed(SocketAddr),
    ChannelUp {
        from: SocketAddr,
        channel: u16,
        peer: SocketAddr,
    },
    ChannelDown {
        channel: u16,
        peer: SocketAddr,
    },
    FindKey {
        query: QueryId,
        user: String,
    },
    Told(Told),
    /// Told of a request that is refused for its own fault, or in silence: nobody is to act on it.
    Noted(Denial),
}

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Began { user: String, relay: SocketAddr, additional: Option<SocketAddr>, lifetime: Duration },
    Ended { user: String, relay: SocketAddr, reason: EndReason, age: Duration, traffic: Traffic },
    Refused { user: Option<String>, method: Method, denial: Denial, peer: Option<SocketAddr> },
}

/// All that came out of one input, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outs(pub(crate) Vec<Out>);

impl Outs {
    pub(crate) fn take(&mut self, output: Output<'_, '_>, sockets: &Sockets) {
        self.0.push(match output {
            Output::ToClient { client, head, payload, padding } => {
                assert!(padding < 4, "padding reaches the next multiple of four");
                Out::ToClient { client, bytes: [head, payload, &[0; 3][..usize::from(padding)]].concat() }
            }
            Output::CloseClient { client } => Out::CloseClient(client),
            Output::ConnectPeer { connection, relay, peer } => {
                Out::ConnectPeer { connection, from: sockets.address(relay), peer }
            }
            Output::KeepPeer { connection } => Out::KeepPeer(connection),
            Output::ClosePeer { connection } => Out::ClosePeer(connection),
            Output::Splice { client, connection } => Out::Splice { client, connection },
            Output::HandOver { client, worker } => Out::HandOver { client, worker },
            Output::ToPeer { relay, peer, bytes, dont_fragment } => {
                Out::ToPeer { from: sockets.address(relay), peer, bytes: bytes.to_vec(), dont_fragment }
            }
            // The rig answers it.
            Output::OpenRelay { .. } => return,
            Output::CloseRelay { relay } => Out::Closed(sockets.address(relay)),
            Output::ChannelUp { relay, channel, peer, .. } => {
                Out::ChannelUp { from: sockets.address(relay), channel: channel.get(), peer }
            }
            Output::ChannelDown { channel, peer, .. } => Out::ChannelDown { channel: channel.get(), peer },
            Output::FindKey { query, user, .. } => Out::FindKey { query, user: user.into() },
            Output::Event(Event::Refused {
                denial: denial @ (Denial::Request(_) | Denial::Silenced),
                ..
            }) => Out::Noted(denial),
            Output::Event(event) => Out::Told(Told::from(event)),
        });
    }

    /// The datagrams to clients.
    pub(crate) fn to_client(&self) -> Vec<(FiveTuple, Vec<u8>)> {
        let sent = |out: &Out| {
            if let Out::ToClient { client, bytes } = out { Some((*client, bytes.clone())) } else { None }
        };
        self.0.iter().filter_map(sent).collect()
    }

    /// The one datagram to a client, and nothing to anybody else.
    pub(crate) fn only_to_client(&self) -> Vec<u8> {
        let [Out::ToClient { bytes, .. }] = &self.acts()[..] else {
            panic!("not one for a client: {self:?}")
        };
        bytes.clone()
    }

    /// The one message to a client, and nothing to anybody else.
    pub(crate) fn indication(&self) -> Answer {
        Answer::parse(&self.only_to_client())
    }

    /// Payload and destination of the one datagram to a peer, and nothing to anybody else.
    pub(crate) fn only_to_peer(&self) -> (SocketAddr, SocketAddr, Vec<u8>) {
        let [Out::ToPeer { from, peer, bytes, .. }] = &self.acts()[..] else {
            panic!("not one for a peer: {self:?}")
        };
        (*from, *peer, bytes.clone())
    }

    /// Whether the one datagram to a peer asks for the DF bit.
    pub(crate) fn dont_fragment(&self) -> bool {
        let [Out::ToPeer { dont_fragment, .. }] = &self.acts()[..] else {
            panic!("not one for a peer: {self:?}")
        };
        *dont_fragment
    }

    /// All but what is only noted.
    fn acts(&self) -> Vec<&Out> {
        self.0.iter().filter(|out| !matches!(out, Out::Noted(_))).collect()
    }

    /// What is noted of a refusal for the request's own fault.
    pub(crate) fn noted(&self) -> Option<Denial> {
        self.0.iter().find_map(|out| if let Out::Noted(denial) = out { Some(*denial) } else { None })
    }

    /// Whether no datagram leaves the server.
    pub(crate) fn is_silent(&self) -> bool {
        !self.0.iter().any(|out| matches!(out, Out::ToClient { .. } | Out::ToPeer { .. }))
    }

    pub(crate) fn contains(&self, out: &Out) -> bool {
        self.0.contains(out)
    }

    /// Why a request was refused, as operators see it.
    pub(crate) fn denial(&self) -> Option<Denial> {
        self.0.iter().find_map(|out| {
            if let Out::Told(Told::Refused { denial, .. }) = out { Some(*denial) } else { None }
        })
    }

    /// Why, for how long and with what traffic an allocation ended.
    pub(crate) fn ended(&self) -> Option<(EndReason, Duration, Traffic)> {
        self.0.iter().find_map(|out| {
            let Out::Told(Told::Ended { reason, age, traffic, .. }) = out else { return None };
            Some((*reason, *age, *traffic))
        })
    }
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Began { user, relay, additional, lifetime, .. } => {
                Self::Began { user: user.into(), relay, additional, lifetime }
            }
            Event::Ended { user, relay, reason, age, traffic, .. } => {
                Self::Ended { user: user.into(), relay, reason, age, traffic }
            }
            Event::Refused { user, method, denial, peer, .. } => {
                Self::Refused { user: user.map(Into::into), method, denial, peer }
            }
        }
    }
}
