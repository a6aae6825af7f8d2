//! Allocate: lends a client a relay address (RFC 8656 §7.2).

use super::Family;
use super::allocation::{Allocation, Asked, Heard, Opening, RelayAddress, Relays, UserName};
use super::answer::{Proof, Sink};
use super::auth::{Authenticated, Who};
use super::channel::Channels;
use super::event::{Event, Traffic};
use super::input::{OpenError, OpenedRelay};
use super::judge::Origin;
use super::output::{AllocationId, Output, PortRequest, RelayId, RelayTransport, ReservationToken};
use super::peers::is_tunnel;
use super::permission::Permissions;
use super::quota::QuotaError;
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::{FamilyAttribute, Request};
use super::time::{Millis, Now};
use crate::wire::{AttributeType, Writer};

/// The protocol numbers in REQUESTED-TRANSPORT.
const UDP: u8 = 17;
const TCP: u8 = 6;

/// What a well-formed Allocate request asks for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    family: Family,
    /// Asked for beside the first, which is then IPv4 (RFC 8656 §18.11).
    additional: Option<Family>,
    port: PortRequest,
    transport: RelayTransport,
    lifetime: Option<u32>,
}

impl Relay {
    pub(super) fn allocate(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        self.end_what_is_over(now, request, out);
        let Some(authenticated) = self.authenticate(now, request, out) else { return };
        if self.refuse_unknown_attributes(request, &authenticated, out) {
            return;
        }
        if self.is_answered(now, request, &authenticated, out) {
            return;
        }
        if self.refuse_admission(request, &authenticated, out) {
            return;
        }
        let client = request.addressee.client;
        if is_tunnel(client.client().ip()) {
            return self.forbid(request, &authenticated, client.client(), "tunnelled-client", out);
        }
        let wanted = match Wanted::read(request, self.settings.connections_per_allocation > 0) {
            Ok(wanted) => wanted,
            Err(refusal) => return self.refuse(request, &authenticated, refusal, out),
        };
        let Authenticated { key, seal, who: Who::User { user, expires, terms, origin } } = authenticated
        else {
            // An owner has an allocation, so this was answered above.
            return self.refuse(request, &authenticated, Refusal::AllocationMismatch, out);
        };
        let mut limits = self.settings.allocations;
        if let Some(own) = terms.as_ref().and_then(|terms| terms.allocations) {
            limits.per_user = own;
        }
        if let Err(error) = self.quota.take(user.id(), client.client().ip(), limits) {
            let authenticated = Authenticated { key, seal, who: Who::User { user, expires, terms, origin } };
            let refusal = match error {
                QuotaError::User | QuotaError::Address => Refusal::QuotaReached,
                QuotaError::Total => Refusal::InsufficientCapacity,
            };
            return self.refuse_for(request, &authenticated, refusal, Denial::Quota(error), out);
        }
        let opening = Opening {
            addressee: request.addressee,
            seal,
            lifetime: self.settings.lifetime(wanted.lifetime),
            v4: wanted.asks(Family::V4).then_some(Asked::Waiting),
            v6: wanted.asks(Family::V6).then_some(Asked::Waiting),
        };
        let expires = expires.map(|second| now.end_of(second));
        let mut allocation = Self::new_allocation(now.mono, request, user, key, expires, opening);
        (allocation.terms, allocation.origin) = (terms, origin);
        allocation.limit(self.settings.bandwidth_per_allocation, now.mono);
        allocation.connections = match wanted.transport {
            RelayTransport::Udp => None,
            RelayTransport::Tcp => Some(Box::default()),
        };
        let allocation = match self.table.insert(Box::new(allocation)) {
            Ok(id) => id,
            Err(allocation) => {
                self.quota.release(allocation.user.id(), client.client().ip());
                return;
            }
        };
        self.refund_challenge(client);
        for family in [Family::V4, Family::V6] {
            if wanted.asks(family) {
                let relay = RelayId { allocation, family };
                let Wanted { port, transport, .. } = wanted;
                out(Output::OpenRelay { relay, client, port, transport });
            }
        }
    }

    /// Takes the relay sockets that an Allocate request waits for, and answers it when all are there.
    pub(super) fn relay_opened(
        &mut self,
        now: Now,
        relay: RelayId,
        result: Result<OpenedRelay, OpenError>,
        out: Sink<'_, '_>,
    ) {
        let id = relay.allocation;
        let waiting = self.table.get(id).and_then(|allocation| {
            let opening = allocation.opening.as_deref_mut()?;
            opening.is_waiting(relay.family).then_some(opening)
        });
        let Some(opening) = waiting else {
            // Nobody waits for it: it comes too late, unless it is in use and only told twice.
            if result.is_ok() && !self.table.get(id).is_some_and(|allocation| allocation.holds(relay.family))
            {
                out(Output::CloseRelay { relay });
            }
            return;
        };
        *opening.asked(relay.family) = Some(result.map_or_else(Asked::Failed, Asked::Opened));
        if opening.is_waiting(Family::V4) || opening.is_waiting(Family::V6) {
            return;
        }
        let Some(allocation) = self.table.get(id) else { return };
        let Some(opening) = allocation.opening.take() else { return };
        allocation.take_relays(now.mono, &opening);
        if allocation.relays.is_empty() {
            self.give_up(id, &opening, out);
        } else {
            self.begin(now, id, &opening, out);
        }
    }

    fn new_allocation(
        now: Millis,
        request: &Request<'_>,
        user: UserName,
        key: crate::auth::Key,
        credential_expires: Option<Millis>,
        opening: Opening,
    ) -> Allocation {
        Allocation {
            client: request.addressee.client,
            user,
            key,
            origin: Origin::Secret,
            credential_expires,
            began: now,
            transaction: request.addressee.header.transaction,
            reservation: None,
            address_error: None,
            opening: Some(Box::new(opening)),
            relays: Relays::default(),
            permissions: Permissions::default(),
            channels: Channels::default(),
            connections: None,
            traffic: Traffic::default(),
            heard: Heard { up: now, down: now },
            bandwidth: None,
            terms: None,
            wake: Millis(u64::MAX),
        }
    }

    /// Deals with a 5-tuple that has an allocation: its owner's same transaction again is a retransmission whose
    /// answer was lost, and gets that answer; any other is a mismatch (RFC 8656 §7.2).
    fn is_answered(
        &mut self,
        now: Now,
        request: &Request<'_>,
        authenticated: &Authenticated,
        out: Sink<'_, '_>,
    ) -> bool {
        let Some((_, allocation)) = self.table.by_client(request.addressee.client) else { return false };
        if allocation.opening.is_some() {
            // The answer is on its way; one is enough.
            return true;
        }
        let is_owner = matches!(authenticated.who, Who::Owner);
        if is_owner && allocation.transaction == request.addressee.header.transaction {
            allocation.answer(now.mono, request.addressee, authenticated.proof(), out);
        } else {
            self.refuse(request, authenticated, Refusal::AllocationMismatch, out);
        }
        true
    }

    /// No relay socket could be opened: the request is refused and nothing is left of it.
    fn give_up(&mut self, id: AllocationId, opening: &Opening, out: Sink<'_, '_>) {
        let Some(allocation) = self.forget(id) else { return };
        let client = allocation.client;
        let failure = opening.failure();
        let denial = match failure {
            OpenError::FamilyUnsupported => Denial::NoFamily,
            OpenError::NoCapacity => Denial::NoPort,
            OpenError::NoSocket => Denial::NoSocket,
            OpenError::TokenUnknown => Denial::TokenUnknown,
        };
        let (user, method) = (Some(allocation.user.name()), opening.addressee.header.method);
        self.counters.refuse(method, failure.refusal());
        self.counters.deny(denial);
        out(Output::Event(Event::Refused { client, user, method, denial, words: None, peer: None }));
        let proof = Proof::Key(&allocation.key, opening.seal);
        opening.addressee.refuse(failure.refusal(), proof, out, |writer| writer);
    }

    fn begin(&mut self, now: Now, id: AllocationId, opening: &Opening, out: Sink<'_, '_>) {
        self.counters.succeed(opening.addressee.header.method);
        let Some(allocation) = self.table.get(id) else { return };
        for (family, _) in allocation.relays.iter() {
            self.counters.open(allocation.client.listener().transport(), family);
        }
        let proof = Proof::Key(&allocation.key, opening.seal);
        allocation.answer(now.mono, opening.addressee, proof, out);
        let [v4, v6] = [Family::V4, Family::V6].map(|family| allocation.relays.get(family));
        if let Some(relay) = v4.or(v6) {
            out(Output::Event(Event::Began {
                allocation: id,
                client: allocation.client,
                user: allocation.user.name(),
                user_id: allocation.user.id(),
                relay: relay.address,
                additional: v4.and(v6).map(|relay| relay.address),
                lifetime: opening.lifetime,
            }));
        }
        self.schedule(id);
    }
}

impl Wanted {
    /// The checks of RFC 8656 §7.2 and RFC 6062 §5.1, in their order.
    fn read(request: &Request<'_>, relays_tcp: bool) -> Result<Self, Refusal> {
        let message = &request.message;
        let transport = match message.get(AttributeType::REQUESTED_TRANSPORT) {
            Some([UDP, _, _, _]) => RelayTransport::Udp,
            Some([TCP, _, _, _]) if relays_tcp => RelayTransport::Tcp,
            Some([_, _, _, _]) => return Err(Refusal::TransportUnsupported),
            Some(_) | None => return Err(Refusal::BadRequest),
        };
        let of_datagrams =
            [AttributeType::DONT_FRAGMENT, AttributeType::EVEN_PORT, AttributeType::RESERVATION_TOKEN];
        let is_mixed =
            !request.addressee.client.is_stream() || of_datagrams.iter().any(|kind| message.has(*kind));
        if transport == RelayTransport::Tcp && is_mixed {
            return Err(Refusal::BadRequest);
        }
        let requested = request.family(AttributeType::REQUESTED_ADDRESS_FAMILY);
        let additional = request.family(AttributeType::ADDITIONAL_ADDRESS_FAMILY);
        let even = message.get(AttributeType::EVEN_PORT);
        let token = message.get(AttributeType::RESERVATION_TOKEN);
        let has_family = requested != FamilyAttribute::Absent || additional != FamilyAttribute::Absent;
        if token.is_some() && (even.is_some() || has_family) {
            return Err(Refusal::BadRequest);
        }
        let port = match (token, even) {
            (Some(token), _) => {
                let token = token.try_into().map_err(|_| Refusal::BadRequest)?;
                PortRequest::Reserved(ReservationToken(token))
            }
            (None, Some([bits])) if bits & 0x80 != 0 => PortRequest::EvenAndReserveNext,
            (None, Some([_])) => PortRequest::Even,
            (None, Some(_)) => return Err(Refusal::BadRequest),
            (None, None) => PortRequest::Any,
        };
        if requested != FamilyAttribute::Absent && additional != FamilyAttribute::Absent {
            return Err(Refusal::BadRequest);
        }
        let family = match requested {
            FamilyAttribute::Absent => Family::V4,
            FamilyAttribute::Is(family) => family,
            FamilyAttribute::Unsupported => return Err(Refusal::FamilyUnsupported),
            FamilyAttribute::Malformed => return Err(Refusal::BadRequest),
        };
        let additional = match additional {
            FamilyAttribute::Absent => None,
            // One token could not stand for two addresses.
            FamilyAttribute::Is(Family::V6) if port != PortRequest::EvenAndReserveNext => Some(Family::V6),
            FamilyAttribute::Is(_) | FamilyAttribute::Unsupported | FamilyAttribute::Malformed => {
                return Err(Refusal::BadRequest);
            }
        };
        let lifetime = request.lifetime().map_err(|_| Refusal::BadRequest)?;
        // A reserved port has the family it was reserved in, which its token tells.
        let family = if let PortRequest::Reserved(token) = port { token.family() } else { family };
        Ok(Self { family, additional, port, transport, lifetime })
    }

    fn asks(&self, family: Family) -> bool {
        self.family == family || self.additional == Some(family)
    }
}

impl ReservationToken {
    /// The family of the reserved address, which whoever makes the token puts into its first bit: nothing else
    /// in the request that brings it may tell (RFC 8656 §7.2).
    pub fn family(self) -> Family {
        if self.0[0] & 0x80 == 0 { Family::V4 } else { Family::V6 }
    }

    /// A token from random bytes for an address of this family.
    pub fn new(family: Family, mut random: [u8; 8]) -> Self {
        let [first, ..] = &mut random;
        *first = match family {
            Family::V4 => *first & 0x7F,
            Family::V6 => *first | 0x80,
        };
        Self(random)
    }
}

impl OpenError {
    /// What the client is told of it.
    const fn refusal(self) -> Refusal {
        match self {
            Self::FamilyUnsupported => Refusal::FamilyUnsupported,
            Self::NoCapacity | Self::NoSocket | Self::TokenUnknown => Refusal::InsufficientCapacity,
        }
    }
}

impl Opening {
    pub(super) fn asked(&mut self, family: Family) -> &mut Option<Asked> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    fn is_waiting(&mut self, family: Family) -> bool {
        matches!(self.asked(family), Some(Asked::Waiting))
    }

    /// Why no relay socket could be opened: the more general reason of the two in a dual allocation.
    fn failure(&self) -> OpenError {
        let error = |asked| match asked {
            Some(Asked::Failed(error)) => Some(error),
            Some(Asked::Waiting | Asked::Opened(_)) | None => None,
        };
        match (error(self.v4), error(self.v6)) {
            (Some(v4), Some(v6)) if v4 == v6 => v4,
            (Some(_), Some(_)) => OpenError::NoCapacity,
            (Some(error), None) | (None, Some(error)) => error,
            (None, None) => OpenError::NoCapacity,
        }
    }
}

impl Allocation {
    /// Takes over what came of an Allocate request's relay sockets.
    fn take_relays(&mut self, now: Millis, opening: &Opening) {
        let expires = now.after(opening.lifetime);
        for (family, asked) in [(Family::V4, opening.v4), (Family::V6, opening.v6)] {
            match asked {
                Some(Asked::Opened(OpenedRelay { address, reservation })) => {
                    *self.relays.slot(family) = Some(RelayAddress { address, expires });
                    self.reservation = self.reservation.or(reservation);
                }
                Some(Asked::Failed(error)) => self.address_error = Some((family, error)),
                Some(Asked::Waiting) | None => {}
            }
        }
    }

    /// The success answer. A retransmitted request gets the same, with the time that is left.
    fn answer(&self, now: Millis, addressee: super::answer::Addressee, proof: Proof<'_>, out: Sink<'_, '_>) {
        let left = self.relays.iter().map(|(_, relay)| relay.expires.since(now).as_secs()).max().unwrap_or(0);
        addressee.succeed(proof, out, |mut writer: Writer<'_>| {
            for (_, relay) in self.relays.iter() {
                writer = writer.xor_address(AttributeType::XOR_RELAYED_ADDRESS, relay.address);
            }
            writer = writer
                .number(AttributeType::LIFETIME, u32::try_from(left).unwrap_or(u32::MAX))
                .xor_address(AttributeType::XOR_MAPPED_ADDRESS, self.client.client());
            if let Some(ReservationToken(token)) = self.reservation {
                writer = writer.attribute(AttributeType::RESERVATION_TOKEN, &token);
            }
            match self.address_error {
                Some((family, error)) => {
                    let [class, number] = error.refusal().class_and_number();
                    writer.attribute(AttributeType::ADDRESS_ERROR_CODE, &[family.number(), 0, class, number])
                }
                None => writer,
            }
        });
    }
}
