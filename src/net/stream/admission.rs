//! How connections come in: accepted, counted against the limits, given a place.

use std::io;
use std::net::SocketAddr;

use mio::{Interest, Registry};

use super::caps::CapReached;
use super::connection::{Arrival, Connection, Origin};
use super::{Counters, Millis, SocketId, Streams};
use crate::net::sys::tcp::is_exhausted;
use crate::wire::proxy_protocol::ProxyError;

/// Connections accepted in one turn.
const ACCEPT_TURN: usize = 16;

impl Streams {
    /// Takes the next connections of a listener. Whether more may be waiting.
    pub(crate) fn accept(
        &mut self,
        number: u16,
        registry: &Registry,
        counters: &mut Counters,
        now: Millis,
    ) -> bool {
        for _ in 0..ACCEPT_TURN {
            let Some(listener) = self.listeners.get_mut(usize::from(number)) else { return false };
            match listener.accept() {
                Ok((socket, peer)) => {
                    counters.connections_accepted += 1;
                    let (security, origin) = (listener.security(), listener.origin(peer.ip()));
                    let place = match self.caps.take() {
                        Ok(place) => place,
                        Err(cap) => {
                            self.refuse(cap, peer, counters, now);
                            continue;
                        }
                    };
                    let connection = Connection::new(
                        socket,
                        peer,
                        Arrival { listener: number, security, origin },
                        place,
                        now,
                    );
                    self.admit(connection, origin, registry, counters, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    counters.accept_errors += 1;
                    if !is_exhausted(&error) {
                        continue;
                    }
                    // Asking again at once would only keep the core busy.
                    listener.starved = true;
                    self.schedule_sweep(now);
                    if let Some(suppressed) = self.starved.pass(now) {
                        tracing::warn!(%error, suppressed, "connections cannot be accepted");
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Gives an accepted connection its place in the table.
    fn admit(
        &mut self,
        mut connection: Connection,
        origin: Origin,
        registry: &Registry,
        counters: &mut Counters,
        now: Millis,
    ) {
        // Whose a load balancer's connection is it will say.
        if origin == Origin::Client
            && let Err(cap) = connection.claim_place()
        {
            return self.refuse(cap, connection.client().client(), counters, now);
        }
        self.place_for(Box::new(connection), registry, counters, now);
    }

    /// Puts a connection into the table and lets the poll tell of it.
    pub(super) fn place_for(
        &mut self,
        mut connection: Box<Connection>,
        registry: &Registry,
        counters: &mut Counters,
        now: Millis,
    ) -> Option<u32> {
        let place = self.free_place()?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry.register(connection.socket(), SocketId::connection(place).token(), interest).is_err() {
            counters.accept_errors += 1;
            self.free.push(place);
            return None;
        }
        if let Some(slot) = self.connections.get_mut(place as usize) {
            *slot = Some(connection);
        }
        self.schedule_sweep(now);
        Some(place)
    }

    fn free_place(&mut self) -> Option<u32> {
        if let Some(place) = self.free.pop() {
            return Some(place);
        }
        let place = u32::try_from(self.connections.len()).ok()?;
        self.connections.push(None);
        Some(place)
    }

    fn refuse(&mut self, cap: CapReached, client: SocketAddr, counters: &mut Counters, now: Millis) {
        *match cap {
            CapReached::Total => &mut counters.connections_refused_total,
            CapReached::Source => &mut counters.connections_refused_source,
        } += 1;
        self.tell_refused(cap, client, now);
    }

    /// Says once in a while that a limit was reached.
    pub(crate) fn tell_refused(&mut self, cap: CapReached, client: SocketAddr, now: Millis) {
        let limit = match cap {
            CapReached::Total => "limits.connections",
            CapReached::Source => "limits.connections_per_ip",
        };
        if let Some(suppressed) = self.refused.pass(now) {
            tracing::warn!(%client, limit, suppressed, "connection refused");
        }
    }

    /// Says once in a while that a load balancer does not do what was configured.
    pub(crate) fn tell_unannounced(&mut self, balancer: SocketAddr, error: ProxyError, now: Millis) {
        if let Some(suppressed) = self.unannounced.pass(now) {
            tracing::warn!(%balancer, reason = error.reason(), suppressed, "no good PROXY header from a load balancer");
        }
    }
}
