//! Where the outputs of the core go.

use crate::net::batch::{Batch, Letter};
use crate::net::counters::Counters;
use crate::net::ports::Mapping;
use crate::net::relay_sockets::{RelaySockets, socket_id};
use crate::net::socket_id::SocketId;
use crate::net::stream::Streams;
use crate::turn::{FiveTuple, Output, PortRequest, RelayId};

use super::{Observer, Report};

/// Datagrams go into the batch at once. What changes the set of sockets is noted, and done when the core has returned.
pub(super) struct Sink<'w, 's> {
    pub(super) batch: &'w mut Batch<'s>,
    pub(super) relays: &'w RelaySockets,
    pub(super) streams: &'w mut Streams,
    pub(super) mapping: &'w Mapping,
    pub(super) wishes: &'w mut Wishes,
    pub(super) observer: &'w mut Observer,
    pub(super) counters: &'w mut Counters,
}

/// Relay sockets to open and to close.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) open: Vec<(RelayId, FiveTuple, PortRequest)>,
    pub(super) close: Vec<RelayId>,
}

impl Wishes {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.close.is_empty()
    }
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
            Output::OpenRelay { relay, client, port, transport: _ } => {
                self.wishes.open.push((relay, client, port));
            }
            Output::CloseRelay { relay } => self.wishes.close.push(relay),
            // Datagrams come from no connection.
            Output::CloseClient { .. }
            | Output::HandOver { .. }
            | Output::ConnectPeer { .. }
            | Output::KeepPeer { .. }
            | Output::ClosePeer { .. }
            | Output::Splice { .. } => {}
            // There is no kernel path that could take a channel over.
            Output::ChannelUp { .. } | Output::ChannelDown { .. } => {}
            Output::Event(event) => (self.observer)(Report::Core(event)),
        }
    }
}
