//! The entry of the core: inputs are told apart here and handed to who deals with them.

use std::sync::Arc;

use super::Family;
use super::admission::Admission;
use super::allocation::{Allocation, Bandwidth};
use super::answer::Sink;
use super::auth::{Authenticated, Who};
use super::budget::SourceBudget;
use super::connection::ConnectionIndex;
use super::connection_id::{ConnectionIds, RelayNumber};
use super::counters::{Counters, DropReason};
use super::deadlines::Deadlines;
use super::event::{EndReason, Event};
use super::five_tuple::{FiveTuple, is_answerable};
use super::input::Input;
use super::judge::Origin;
use super::nonce::Nonces;
use super::output::{AllocationId, Output, RelayId};
use super::pending::Pending;
use super::quota::Quota;
use super::refusal::{Denial, Refusal};
use super::request::{Request, UnknownAttributes};
use super::settings::{ChannelRange, Settings};
use super::table::Allocations;
use super::time::{Millis, Now};
use super::transaction::TransactionIds;
use crate::auth::Authenticator;
use crate::wire::{AttributeType, Class, Kind, Message, Method, kind};

/// What several relays share, and the randomness that none of them has of its own.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What the operator decided.
    pub settings: Arc<Settings>,
    /// Who may log in.
    pub authenticator: Arc<Authenticator>,
    /// How much each user holds, on all relays.
    pub quota: Arc<Quota>,
    /// Makes nonces; the same for all relays, so that a client may come back to another one.
    pub nonce_key: [u8; 32],
    /// For hash tables and transaction ids; another one for each relay.
    pub seed: u64,
    /// Which of the relays this is, for the names of peer connections.
    pub number: RelayNumber,
}

/// A TURN server without sockets.
#[derive(Debug)]
pub struct Relay {
    pub(super) settings: Arc<Settings>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) quota: Arc<Quota>,
    pub(super) nonces: Nonces,
    pub(super) table: Allocations,
    pub(super) connections: ConnectionIndex,
    pub(super) connection_ids: ConnectionIds,
    pub(super) deadlines: Deadlines,
    pub(super) counters: Counters,
    pub(super) transactions: TransactionIds,
    /// What all allocations together may still relay.
    pub(super) bandwidth: Option<Bandwidth>,
    /// Requests that wait for a decision about their user.
    pub(super) pending: Pending,
    pub(super) admission: Admission,
    /// Clients that were sent elsewhere.
    pub(super) redirected: usize,
    challenges: SourceBudget,
    bindings: SourceBudget,
}

impl Relay {
    /// A relay that holds nothing yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { settings, authenticator, quota, nonce_key, seed, number } = parts;
        Self {
            nonces: Nonces::new(&nonce_key, settings.nonce_lifetime),
            table: Allocations::new(seed),
            connections: ConnectionIndex::new(seed),
            connection_ids: ConnectionIds::new(&nonce_key, number),
            deadlines: Deadlines::default(),
            counters: Counters::default(),
            transactions: TransactionIds::new(seed),
            bandwidth: settings.bandwidth.map(|rate| Bandwidth::full(rate, Millis(0))),
            pending: Pending::new(seed.rotate_left(48)),
            admission: Admission::Open,
            redirected: 0,
            challenges: SourceBudget::new(settings.challenge_budget, seed.rotate_left(16)),
            bindings: SourceBudget::new(settings.binding_budget, seed.rotate_left(32)),
            settings,
            authenticator,
            quota,
        }
    }

    /// Takes one thing that happened and tells `out` what to do about it.
    #[inline]
    pub fn handle<'a>(&mut self, now: Now, input: Input<'a>, out: &mut impl FnMut(Output<'a, '_>)) {
        match input {
            Input::FromClient { client, bytes } => match kind(bytes) {
                Kind::ChannelData => self.relay_channel_data(now, client, bytes, out),
                Kind::OldChannelData if self.settings.channels == ChannelRange::Rfc5766 => {
                    self.relay_channel_data(now, client, bytes, out);
                }
                Kind::Stun => self.message(now, client, bytes, out),
                Kind::OldChannelData | Kind::Other => self.counters.drop_one(DropReason::NotStun),
            },
            Input::FromPeer { relay, peer, bytes } => self.relay_from_peer(now, relay, peer, bytes, out),
            Input::RelayOpened { relay, result } => self.relay_opened(now, relay, result, out),
            Input::PeerUnreachable { relay, peer, icmp } => {
                self.peer_unreachable(now, relay, peer, icmp, out);
            }
            Input::PeerConnected { connection, result } => self.peer_connected(now, connection, result, out),
            Input::PeerAccepted { relay, peer } => self.peer_accepted(now, relay, peer, out),
            Input::PeerGone { connection } => self.peer_gone(connection, out),
            Input::KeyFound { query, verdict } => self.key_found(now, query, verdict, out),
            Input::ClientGone { client } => self.client_gone(now, client, out),
        }
    }

    /// When [`Self::expire`] wants to be called.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.next()
    }

    /// Frees what has expired.
    pub fn expire(&mut self, now: Now, out: &mut impl FnMut(Output<'static, '_>)) {
        while let Some((at, id)) = self.deadlines.pop_due(now.mono) {
            // Each allocation has one entry that counts; others were overtaken by an earlier deadline.
            if self.table.get(id).is_some_and(|allocation| allocation.wake == at) {
                self.sweep(now.mono, id, out);
            }
        }
    }

    /// Takes new settings into use at once: what they forbid ends now (THREATS P16).
    pub fn set_settings(
        &mut self,
        now: Now,
        settings: Arc<Settings>,
        out: &mut impl FnMut(Output<'static, '_>),
    ) {
        if self.settings.bandwidth != settings.bandwidth {
            self.bandwidth = settings.bandwidth.map(|rate| Bandwidth::full(rate, now.mono));
        }
        self.nonces.set_lifetime(settings.nonce_lifetime);
        self.settings = settings;
        for id in self.table.ids() {
            self.rejudge(now.mono, id, out);
        }
    }

    /// Takes other credentials into use. Allocations of static users that are not known any more, or have another
    /// password, end now; under a shared secret an allocation lives on until its credential expires, so that a secret can
    /// be rotated while people talk.
    pub fn set_authenticator(
        &mut self,
        now: Now,
        authenticator: Arc<Authenticator>,
        out: &mut impl FnMut(Output<'static, '_>),
    ) {
        self.authenticator = authenticator;
        for id in self.table.ids() {
            let Some(allocation) = self.table.get(id) else { continue };
            if allocation.origin == Origin::User
                && !self.authenticator.knows_key(allocation.user.name(), &allocation.key)
            {
                self.end(now.mono, id, EndReason::Revoked, out);
            }
        }
    }

    /// Ends all allocations: the server stops.
    pub fn stop(&mut self, now: Now, out: &mut impl FnMut(Output<'static, '_>)) {
        for id in self.table.ids() {
            self.end(now.mono, id, EndReason::Stopped, out);
        }
    }

    /// How many connections to peers there are, or will be.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether a client has an allocation, or carries the data of one.
    pub fn holds(&self, client: FiveTuple) -> bool {
        self.table.holds(client) || self.connections.of_client(client).is_some()
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.table.len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// STUN messages: the slow road.
    fn message<'a>(&mut self, now: Now, client: FiveTuple, bytes: &'a [u8], out: Sink<'_, 'a>) {
        let source = client.client();
        // Who has connected is there, and may by chance have the number of one of our ports.
        if !client.is_stream() && (!is_answerable(source) || self.settings.peers.is_datagram_service(source))
        {
            return self.counters.drop_one(DropReason::ForgedSource);
        }
        // Its stream belongs to the peer now (RFC 6062 §3).
        if self.connections.of_client(client).is_some() {
            return self.counters.drop_one(DropReason::UnknownMethod);
        }
        let Ok(message) = Message::parse(bytes) else {
            return self.counters.drop_one(DropReason::Malformed);
        };
        let request = Request::new(client, message);
        let header = message.header();
        match (header.class, header.method) {
            (Class::Request, _) => self.request(now, &request, out),
            // Only Binding is older than the magic cookie.
            _ if header.is_classic() => self.counters.drop_one(DropReason::Malformed),
            (Class::Indication, Method::SEND) => self.send_indication(now, &request, out),
            // It has refreshed the NAT's binding, which is all it is for (RFC 8489 §6.3.2).
            (Class::Indication, Method::BINDING) => {}
            _ => self.counters.drop_one(DropReason::UnknownMethod),
        }
    }

    pub(super) fn request(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        match request.method() {
            Method::BINDING => self.binding(now, request, out),
            // Only Binding is older than the magic cookie.
            _ if request.addressee.header.is_classic() => self.counters.drop_one(DropReason::Malformed),
            Method::ALLOCATE => self.allocate(now, request, out),
            Method::REFRESH => self.refresh(now, request, out),
            Method::CREATE_PERMISSION => self.create_permission(now, request, out),
            Method::CHANNEL_BIND => self.channel_bind(now, request, out),
            Method::CONNECT => self.connect(now, request, out),
            Method::CONNECTION_BIND => self.connection_bind(now, request, out),
            _ => self.counters.drop_one(DropReason::UnknownMethod),
        }
    }

    /// A connection is closed. Nobody can speak for its allocation again, and its 5-tuple may be somebody else's in the
    /// next moment, so the allocation ends now and not with its lifetime (RFC 8656 §3.2: it is its 5-tuple's).
    fn client_gone(&mut self, now: Now, client: FiveTuple, out: Sink<'_, '_>) {
        self.pending.forget(client);
        if self.data_client_gone(client, out) {
            return;
        }
        if let Some((id, _)) = self.table.by_client(client) {
            self.end(now.mono, id, EndReason::Disconnected, out);
        }
    }

    /// The allocation a request is about, once its sender has proved to be its owner (RFC 8656 §5).
    pub(super) fn owned_allocation(
        &mut self,
        now: Now,
        request: &Request<'_>,
        out: Sink<'_, '_>,
    ) -> Option<(AllocationId, Authenticated)> {
        self.end_what_is_over(now, request, out);
        let authenticated = self.authenticate(now, request, out)?;
        if self.refuse_unknown_attributes(request, &authenticated, out) {
            return None;
        }
        // One whose relay sockets are not open yet cannot be known to anybody.
        let allocation = self.table.by_client(request.addressee.client);
        match (&authenticated.who, allocation.filter(|(_, allocation)| allocation.opening.is_none())) {
            (Who::Owner, Some((id, _))) => return Some((id, authenticated)),
            (Who::User { .. }, Some(_)) => {
                self.refuse_for(request, &authenticated, Refusal::WrongCredentials, Denial::OtherUser, out);
            }
            (_, None) => self.refuse(request, &authenticated, Refusal::AllocationMismatch, out),
        }
        None
    }

    /// Expiry is exact: a relay address whose time is over when a request arrives is not there, although its sweep
    /// may be due later.
    pub(super) fn end_what_is_over(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        if let Some(id) = self.subject(request) {
            self.end_if_over(now, id, out);
        }
    }

    /// The same for an allocation that something else than a request is about.
    pub(super) fn end_if_over(&mut self, now: Now, id: AllocationId, out: Sink<'_, '_>) {
        let is_over = |allocation: &mut Allocation| {
            allocation.relays.iter().any(|(_, relay)| relay.expires <= now.mono)
        };
        if self.table.get(id).is_some_and(is_over) {
            self.sweep(now.mono, id, out);
        }
    }

    /// Answers 420 where something must be understood that is not (RFC 8489 §6.3.1); says whether it did.
    pub(super) fn refuse_unknown_attributes(
        &mut self,
        request: &Request<'_>,
        authenticated: &Authenticated,
        out: Sink<'_, '_>,
    ) -> bool {
        // Over a stream nothing arrives that has a DF bit, so there is nothing to translate (RFC 8656 §15).
        let is_stream = request.addressee.client.is_stream();
        let dont_fragment = self.settings.dont_fragment && (is_stream || !request.is_translated_to_ipv6())
            || request.is_for_tcp();
        let unknown = UnknownAttributes::of(&request.message, |kind| {
            dont_fragment || kind != AttributeType::DONT_FRAGMENT
        });
        if unknown.list().is_empty() {
            return false;
        }
        let denial = Denial::Request(Refusal::UnknownAttribute);
        self.note_refusal(request, authenticated, Refusal::UnknownAttribute, denial, None, out);
        request.addressee.refuse(Refusal::UnknownAttribute, authenticated.proof(), out, |writer| {
            writer.unknown_attributes(unknown.list())
        });
        true
    }

    /// Takes the cost of an unauthenticated answer from its source's budget, if it has that much.
    pub(super) fn charge(&mut self, client: FiveTuple, cost: u64, now: Now) -> bool {
        self.challenges.take(client.client().ip(), cost, self.settings.challenge_budget, now.mono)
    }

    /// Gives the cost of a challenge back to who has met it. Over a connection it has cost nothing.
    pub(super) fn refund_challenge(&mut self, client: FiveTuple) {
        if !client.is_stream() {
            self.refund(client, 1);
        }
    }

    /// Gives back what was taken from a source's budget.
    pub(super) fn refund(&mut self, client: FiveTuple, cost: u64) {
        self.challenges.refund(client.client().ip(), cost, self.settings.challenge_budget);
    }

    /// Whether a source may draw one more Binding answer.
    pub(super) fn may_bind(&mut self, client: FiveTuple, cost: u64, now: Now) -> bool {
        let source = client.client().ip();
        let rate = self.settings.binding_budget;
        // What costs more than can be saved up could never be had.
        let cost = cost.min(rate.burst);
        // Nobody outside this host can pretend to be inside, and nobody at all to be the end of a connection.
        let is_genuine = client.is_stream() || source.is_loopback();
        let may = is_genuine || self.bindings.take(source, cost, rate, now.mono);
        self.counters.suppressed += u64::from(!may);
        may
    }

    /// Makes sure that `expire` looks at an allocation when something of it expires next.
    pub(super) fn schedule(&mut self, id: AllocationId) {
        if let Some(allocation) = self.table.get(id)
            && let Some(at) = allocation.next_expiry()
            && at < allocation.wake
        {
            allocation.wake = at;
            self.deadlines.push(at, id);
        }
    }

    /// Drops what has expired of one allocation, and the allocation itself once nothing is left of it.
    fn sweep(&mut self, now: Millis, id: AllocationId, out: Sink<'_, '_>) {
        for family in [Family::V4, Family::V6] {
            let Some(allocation) = self.table.get(id) else { return };
            if allocation.relays.get(family).is_some_and(|relay| relay.expires <= now) {
                self.close_relay(now, id, family, EndReason::Expired, out);
            }
        }
        self.end_overdue_connections(now, id, out);
        let Some(allocation) = self.table.get(id) else { return };
        allocation.permissions.purge(now);
        let client = allocation.client;
        allocation.channels.purge(now, |channel, peer| {
            let relay = RelayId { allocation: id, family: Family::of(peer.ip()) };
            out(Output::ChannelDown { relay, client, channel, peer });
        });
        allocation.wake = Millis(u64::MAX);
        self.schedule(id);
    }

    /// Closes one relay address with all its permissions, channels and connections (RFC 8656 §8.1, RFC 6062 §5.5), and
    /// ends the allocation if it was the last.
    pub(super) fn close_relay(
        &mut self,
        now: Millis,
        id: AllocationId,
        family: Family,
        reason: EndReason,
        out: Sink<'_, '_>,
    ) {
        let Some(allocation) = self.table.get(id) else { return };
        let relay = RelayId { allocation: id, family };
        let Some(closed) = allocation.relays.slot(family).take() else { return };
        // Whoever waits for a Connect is told, unless it is gone itself.
        let refusal = (reason != EndReason::Disconnected).then_some(Refusal::ConnectionFailed);
        self.end_connections_of(id, family, refusal, out);
        let Some(allocation) = self.table.get(id) else { return };
        allocation.permissions.rejudge(|ip, ports| (Family::of(ip) != family).then_some(ports));
        let client = allocation.client;
        self.counters.close(client.listener().transport(), family);
        let gone = |channel, peer| out(Output::ChannelDown { relay, client, channel, peer });
        allocation.channels.retain(|peer| Family::of(peer.ip()) != family, gone);
        out(Output::CloseRelay { relay });
        if allocation.relays.is_empty()
            && let Some(ended) = self.forget(id)
        {
            self.counters.end(reason, now.since(ended.began));
            out(Output::Event(Event::Ended {
                allocation: id,
                client,
                user: ended.user.name(),
                user_id: ended.user.id(),
                relay: closed.address,
                reason,
                age: now.since(ended.began),
                traffic: ended.traffic,
            }));
        }
    }

    /// Ends an allocation with all it has.
    pub(super) fn end(&mut self, now: Millis, id: AllocationId, reason: EndReason, out: Sink<'_, '_>) {
        for family in [Family::V4, Family::V6] {
            self.close_relay(now, id, family, reason, out);
        }
        // One that still waits for a relay socket may have the other; what is awaited is closed when it comes.
        if let Some(mut unanswered) = self.forget(id) {
            for family in [Family::V4, Family::V6] {
                if unanswered.holds(family) {
                    out(Output::CloseRelay { relay: RelayId { allocation: id, family } });
                }
            }
        }
    }

    /// Takes an allocation out of the books.
    pub(super) fn forget(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let allocation = self.table.remove(id)?;
        self.quota.release(allocation.user.id(), allocation.client.client().ip());
        let Self { table, deadlines, .. } = self;
        deadlines.tidy(table.len(), |at, id| table.get(id).is_some_and(|allocation| allocation.wake == at));
        Some(allocation)
    }

    /// Judges an allocation's permissions, channels and connections by the present policy, and limits it as it says.
    fn rejudge(&mut self, now: Millis, id: AllocationId, out: Sink<'_, '_>) {
        // What has waited too long has ended for that, whatever is forbidden since.
        self.end_overdue_connections(now, id, out);
        self.rejudge_connections(id, out);
        let policy = &self.settings.peers;
        let Some(allocation) = self.table.get(id) else { return };
        allocation.limit(self.settings.bandwidth_per_allocation, now);
        let terms = allocation.terms.clone();
        let terms = terms.as_deref().and_then(|terms| terms.peers.as_ref());
        allocation.permissions.rejudge(|ip, _| policy.judge_address(ip, terms).ok());
        let client = allocation.client;
        allocation.channels.retain(
            |peer| policy.judge(peer, terms).is_ok(),
            |channel, peer| {
                let relay = RelayId { allocation: id, family: Family::of(peer.ip()) };
                out(Output::ChannelDown { relay, client, channel, peer });
            },
        );
    }
}
