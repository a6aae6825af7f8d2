//! ConnectionBind: makes a client's connection carry the data of a peer's (RFC 6062 §5.4).

use super::answer::Sink;
use super::auth::Who;
use super::connection::State;
use super::connection_id::ConnectionId;
use super::output::{AllocationId, Output};
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;
use super::time::Now;
use crate::wire::{AttributeType, Method};

impl Relay {
    pub(super) fn connection_bind(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        let client = request.addressee.client;
        self.end_what_is_over(now, request, out);
        if let Some(name) = request.connection_id() {
            if let Some(worker) = self.connection_ids.foreign(name)
                && client.is_stream()
                && self.table.by_client(client).is_none()
            {
                // Before anybody is asked for a password: the peer's connection is there, and so is who may have it.
                return out(Output::HandOver { client, worker });
            }
            self.end_if_overdue(now, name, out);
        }
        let Some(authenticated) = self.authenticate(now, request, out) else { return };
        if self.refuse_unknown_attributes(request, &authenticated, out) {
            return;
        }
        let has_allocation = self.table.by_client(client).is_some();
        let name = request.connection_id().filter(|_| client.is_stream());
        let pending = name.and_then(|name| {
            let (_, connection) = self.connection(name)?;
            matches!(connection.state, State::Pending { .. }).then_some(connection)
        });
        let Some(connection) = pending else {
            return self.refuse(request, &authenticated, Refusal::BadRequest, out);
        };
        if has_allocation {
            // A control connection cannot be a data connection too.
            return self.refuse(request, &authenticated, Refusal::AllocationMismatch, out);
        }
        if let Who::User { .. } = authenticated.who {
            let (refusal, denial) = (Refusal::WrongCredentials, Denial::OtherUser);
            return self.refuse_for(request, &authenticated, refusal, denial, out);
        }
        connection.state = State::Bound { client };
        let connection = connection.id;
        self.connections.bind(client, connection);
        self.counters.succeed(request.method());
        request.addressee.succeed(authenticated.proof(), out, |writer| writer);
        out(Output::Splice { client, connection });
    }

    /// The allocation that a request is about: its 5-tuple's, or for ConnectionBind that of the peer's connection, whose
    /// credentials it must have (RFC 6062 §4.3).
    pub(super) fn subject(&mut self, request: &Request<'_>) -> Option<AllocationId> {
        let own = self.table.by_client(request.addressee.client).map(|(id, _)| id);
        own.or_else(|| match request.addressee.header.method {
            Method::CONNECTION_BIND => self.connections.allocation(request.connection_id()?),
            _ => None,
        })
    }
}

impl Request<'_> {
    /// CONNECTION-ID (RFC 6062 §6.2.1).
    pub(super) fn connection_id(&self) -> Option<ConnectionId> {
        let value = self.message.get(AttributeType::CONNECTION_ID)?;
        Some(ConnectionId(u32::from_be_bytes(value.try_into().ok()?)))
    }
}
