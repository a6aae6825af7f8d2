//! Where the outputs of the core go.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::net::batch::{Batch, Letter};
use crate::net::counters::Counters;
use crate::net::ports::Mapping;
use crate::net::relay_sockets::{RelaySockets, socket_id};
use crate::net::socket_id::SocketId;
use crate::net::stream::Streams;
use crate::turn::{ConnectionId, FiveTuple, Output, PortRequest, RelayId, RelayTransport};

use super::{Observer, Report};

/// Datagrams go into the batch at once. What changes the set of sockets is noted, and done when the core has returned.
pub(super) struct Sink<'w, 's> {
    pub(super) batch: &'w mut Batch<'s>,
    pub(super) relays: &'w RelaySockets,
    pub(super) streams: &'w mut Streams,
    pub(super) mapping: &'w Mapping,
    pub(super) wishes: &'w mut VecDeque<Wish>,
    /// The name of the peer's connection that is to be kept.
    pub(super) kept: &'w mut Option<ConnectionId>,
    pub(super) observer: &'w mut Observer,
    pub(super) counters: &'w mut Counters,
}

/// What changes the set of sockets, in the order the core asked for it.
pub(super) enum Wish {
    OpenRelay(RelayId, FiveTuple, PortRequest, RelayTransport),
    CloseRelay(RelayId),
    CloseClient(FiveTuple),
    ConnectPeer(ConnectionId, RelayId, SocketAddr),
    ClosePeer(ConnectionId),
    Splice(FiveTuple, ConnectionId),
    HandOver(FiveTuple, u16),
}

impl<'s> Sink<'_, 's> {
    #[inline]
    pub(super) fn take(&mut self, output: Output<'s, '_>) {
        match output {
            Output::ToClient { client, head, payload, padding } if client.listener().is_stream() => {
                self.streams.send(client, head, payload, padding, self.counters);
            }
            Output::ToClient { client, head, payload, padding } => {
                let letter = Letter { head, payload, padding, dont_fragment: false };
                self.batch.push(SocketId::listener(client.listener().0), client.client(), letter);
            }
            Output::ToPeer { relay, peer, bytes, dont_fragment } => {
                if self.relays.is_open(relay) {
                    let letter = Letter { head: &[], payload: bytes, padding: 0, dont_fragment };
                    self.batch.push(socket_id(relay), self.mapping.inward(peer), letter);
                } else {
                    self.counters.dropped_closed += 1;
                }
            }
            Output::OpenRelay { relay, client, port, transport } => {
                self.wishes.push_back(Wish::OpenRelay(relay, client, port, transport));
            }
            Output::CloseRelay { relay } => self.wishes.push_back(Wish::CloseRelay(relay)),
            Output::CloseClient { client } => self.wishes.push_back(Wish::CloseClient(client)),
            Output::ConnectPeer { connection, relay, peer } => {
                self.wishes.push_back(Wish::ConnectPeer(connection, relay, peer));
            }
            Output::KeepPeer { connection } => *self.kept = Some(connection),
            Output::ClosePeer { connection } => self.wishes.push_back(Wish::ClosePeer(connection)),
            Output::Splice { client, connection } => self.wishes.push_back(Wish::Splice(client, connection)),
            Output::HandOver { client, worker } => self.wishes.push_back(Wish::HandOver(client, worker)),
            // There is no kernel path that could take a channel over.
            Output::ChannelUp { .. } | Output::ChannelDown { .. } => {}
            Output::FindKey { query, client, user } => {
                (self.observer)(Report::FindKey { query, client, user });
            }
            Output::Event(event) => (self.observer)(Report::Core(event)),
        }
    }
}
