//! What came out of one input, copied, so that the model can take it piece by piece.

use std::net::SocketAddr;

use turnbridge::turn::{
    AllocationId, ConnectionId, Event, FiveTuple, Output, PortRequest, RelayId, RelayTransport, Traffic,
};
use turnbridge::wire::{Class, Message};

/// An [`Output`] that owns what it tells. What nobody checks is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    ToClient { client: FiveTuple, bytes: Vec<u8> },
    CloseClient { client: FiveTuple },
    ConnectPeer { connection: ConnectionId, relay: RelayId, peer: SocketAddr },
    KeepPeer { connection: ConnectionId },
    ClosePeer { connection: ConnectionId },
    Splice { client: FiveTuple, connection: ConnectionId },
    ToPeer { relay: RelayId, peer: SocketAddr, bytes: Vec<u8>, dont_fragment: bool },
    OpenRelay { relay: RelayId, client: FiveTuple, port: PortRequest, transport: RelayTransport },
    CloseRelay { relay: RelayId },
    ChannelUp(Channel),
    ChannelDown(Channel),
    Began { allocation: AllocationId, client: FiveTuple, user: String, relays: Vec<SocketAddr> },
    Ended { allocation: AllocationId, client: FiveTuple, user: String, traffic: Traffic },
}

/// What a kernel path is told about a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    pub relay: RelayId,
    pub client: FiveTuple,
    pub number: u16,
    pub peer: SocketAddr,
}

#[derive(Debug, Default)]
pub struct Outputs {
    pub list: Vec<Owned>,
}

impl Outputs {
    pub fn push(&mut self, output: Output<'_, '_>) {
        self.list.extend(Owned::of(output));
    }

    /// Takes this very output; panics if it is not there.
    #[track_caller]
    pub fn take(&mut self, expected: &Owned) {
        let place = self.list.iter().position(|output| output == expected);
        let Some(place) = place else { panic!("expected {expected:?}, got {:?}", self.list) };
        self.list.remove(place);
    }

    /// Takes the first output that `wanted` knows what to do with.
    pub fn take_first<T>(&mut self, wanted: impl Fn(&Owned) -> Option<T>) -> Option<T> {
        let found = self.list.iter().enumerate().find_map(|(at, output)| wanted(output).map(|it| (at, it)));
        found.map(|(at, it)| {
            self.list.remove(at);
            it
        })
    }

    /// Takes the answer to a request, whatever it says.
    pub fn take_answer(&mut self, to: FiveTuple, request: &Message<'_>) -> Option<Vec<u8>> {
        self.take_first(|output| {
            let Owned::ToClient { client, bytes } = output else { return None };
            let answer = Message::parse(bytes).ok()?;
            let (own, header) = (answer.header(), request.header());
            let fits = matches!(own.class, Class::Success | Class::Error)
                && (own.method, own.cookie, own.transaction)
                    == (header.method, header.cookie, header.transaction);
            (fits && *client == to).then(|| bytes.clone())
        })
    }
}

impl Owned {
    fn of(output: Output<'_, '_>) -> Option<Self> {
        Some(match output {
            Output::ToClient { client, head, payload, padding } => {
                assert!(padding < 4);
                let bytes = [head, payload, &[0; 3][..usize::from(padding)]].concat();
                Self::ToClient { client, bytes }
            }
            Output::CloseClient { client } => Self::CloseClient { client },
            Output::ToPeer { relay, peer, bytes, dont_fragment } => {
                Self::ToPeer { relay, peer, bytes: bytes.to_vec(), dont_fragment }
            }
            Output::OpenRelay { relay, client, port, transport } => {
                Self::OpenRelay { relay, client, port, transport }
            }
            Output::CloseRelay { relay } => Self::CloseRelay { relay },
            Output::ChannelUp { relay, client, channel, peer } => {
                Self::ChannelUp(Channel { relay, client, number: channel.get(), peer })
            }
            Output::ChannelDown { relay, client, channel, peer } => {
                Self::ChannelDown(Channel { relay, client, number: channel.get(), peer })
            }
            Output::Event(Event::Began { allocation, client, user, relay, additional, .. }) => {
                let relays = [relay].into_iter().chain(additional).collect();
                Self::Began { allocation, client, user: user.to_owned(), relays }
            }
            Output::Event(Event::Ended { allocation, client, user, traffic, .. }) => {
                Self::Ended { allocation, client, user: user.to_owned(), traffic }
            }
            Output::ConnectPeer { connection, relay, peer } => Self::ConnectPeer { connection, relay, peer },
            Output::KeepPeer { connection } => Self::KeepPeer { connection },
            Output::ClosePeer { connection } => Self::ClosePeer { connection },
            Output::Splice { client, connection } => Self::Splice { client, connection },
            Output::FindKey { .. } => panic!("nobody is to be asked: {output:?}"),
            Output::HandOver { .. } => panic!("there is nobody to hand it to: {output:?}"),
            // What a refusal says to operators is not the client's business, which is what is modelled.
            Output::Event(Event::Refused { .. }) => return None,
        })
    }
}
