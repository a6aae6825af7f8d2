//! Allocate (RFC 8656 §7.2).

use turnbridge::turn::{
    FiveTuple, OpenError, OpenedRelay, PortRequest, RelayId, RelayTransport, ReservationToken,
};
use turnbridge::wire::{AttributeType, Message, Method, decode_xor_address};

use super::super::cast::{is_tunnel, source};
use super::super::network::Network;
use super::super::outputs::{Outputs, Owned};
use super::super::rules::Bucket;
use super::attributes::{family, lifetime, number, refused, succeeded, unscoped};
use super::credentials::{Proven, error_code, until};
use super::{Allocation, Asked, Model, Moment, Pending, Relayed, family_of};
use AttributeType as A;

impl Model {
    pub(super) fn allocate(
        &mut self,
        now: Moment,
        client: FiveTuple,
        request: &Message<'_>,
        proven: &Proven,
        out: &mut Outputs,
    ) {
        if self.is_refused_for_unknown(client, request, proven, out) {
            return;
        }
        let transaction = request.header().transaction.0;
        if let Some(allocation) = self.of_client(client, now.mono) {
            if allocation.pending.is_some() {
                // The answer is on its way. A second request may be told that it is one.
                if let Some(answer) = out.take_answer(client, request) {
                    assert!(allocation.transaction != transaction);
                    assert_eq!(error_code(&Message::parse(&answer).unwrap()), 437);
                }
            } else if allocation.transaction == transaction && allocation.user == proven.name {
                let answer = succeeded(client, request, proven, out);
                check_allocate_answer(allocation, &answer, now.mono);
                self.seen.deed("retransmission");
            } else {
                refused(client, request, proven, &[437], out);
            }
            return;
        }
        let mut codes = Vec::new();
        let wanted = Wanted::read(client, request, &mut codes);
        let is_tcp = matches!(request.get(A::REQUESTED_TRANSPORT), Some([6, _, _, _]));
        if is_tcp && self.rules.connections == 0 {
            codes.push(442);
        }
        if is_tunnel(client) {
            codes.push(403);
        }
        let Some(wanted) = wanted.filter(|_| codes.is_empty()) else {
            refused(client, request, proven, &codes, out);
            return;
        };
        let limits = self.rules.limits;
        let held = |is: &dyn Fn(&Allocation) -> bool| self.allocations.iter().filter(|it| is(it)).count();
        let own = source(client);
        if held(&|_| true) >= limits.total as usize {
            codes.push(508);
        }
        if held(&|it| it.quota_id == proven.quota_id) >= limits.per_user as usize
            || held(&|it| source(it.client) == own) >= limits.per_address as usize
        {
            codes.push(486);
        }
        if !codes.is_empty() {
            refused(client, request, proven, &codes, out);
            return;
        }
        self.begin_opening(now, client, request, proven, &wanted, out);
    }

    fn begin_opening(
        &mut self,
        now: Moment,
        client: FiveTuple,
        request: &Message<'_>,
        proven: &Proven,
        wanted: &Wanted,
        out: &mut Outputs,
    ) {
        let is_tcp = matches!(request.get(A::REQUESTED_TRANSPORT), Some([6, _, _, _]));
        let mut asked = [None; 2];
        let mut id = None;
        for v6 in [false, true] {
            if !wanted.families[usize::from(v6)] {
                continue;
            }
            let relay = out.take_first(|output| match output {
                Owned::OpenRelay { relay, client: to, port, transport } => {
                    let fits = *to == client && relay.family == family_of(v6) && *port == wanted.port;
                    (fits && (*transport == RelayTransport::Tcp) == is_tcp).then_some(*relay)
                }
                _ => None,
            });
            let Some(relay) = relay else { panic!("no relay socket is asked for, but {:?}", out.list) };
            assert!(id.is_none_or(|id| id == relay.allocation), "one allocation has one name");
            id = Some(relay.allocation);
            asked[usize::from(v6)] = Some(Asked::Waiting(relay));
        }
        let id = id.expect("at least one family is asked for");
        assert!(self.allocations.iter().all(|other| other.id != id), "{id:?} names two allocations");
        self.allocations.push(Allocation {
            id,
            client,
            user: proven.name.clone(),
            quota_id: proven.quota_id.clone(),
            key: proven.key.clone(),
            algorithm: proven.algorithm,
            credential_until: until(now, proven.expires),
            transaction: request.header().transaction.0,
            pending: Some(Pending {
                request: request.bytes().to_vec(),
                integrity: proven.integrity,
                lifetime: self.rules.lifetime(wanted.lifetime),
                asked,
            }),
            relays: [None; 2],
            reservation: None,
            address_error: None,
            permissions: Vec::new(),
            channels: Vec::new(),
            traffic: Default::default(),
            is_tcp,
            connections: Vec::new(),
            buckets: self.rules.own_rate.map(|rate| [Bucket::full(rate, now.mono); 2]),
        });
    }

    /// A relay socket was opened, or could not be; the Allocate request may now be answered.
    pub fn opened(
        &mut self,
        now: u64,
        relay: RelayId,
        result: Result<OpenedRelay, OpenError>,
        out: &mut Outputs,
        network: &mut Network,
    ) {
        self.see(out);
        self.settle(now, out, network);
        let waits = |allocation: &Allocation| {
            let asked = allocation.pending.as_ref().map(|pending| pending.asked);
            let waiting = |asked: Option<Asked>| matches!(asked, Some(Asked::Waiting(id)) if id == relay);
            asked.is_some_and(|asked| asked.into_iter().any(waiting))
        };
        if let Some(place) = self.allocations.iter().position(waits) {
            self.opened_for(now, place, relay, result, out);
        } else if result.is_ok() && !self.is_held(relay) {
            self.seen.deed("opened too late");
            out.take(&Owned::CloseRelay { relay });
            if network.open.contains_key(&relay) {
                network.close(relay);
            }
        }
        self.finish(now, out, network);
    }

    fn opened_for(
        &mut self,
        now: u64,
        place: usize,
        relay: RelayId,
        result: Result<OpenedRelay, OpenError>,
        out: &mut Outputs,
    ) {
        let allocation = &mut self.allocations[place];
        let pending = allocation.pending.as_mut().unwrap();
        let slot = usize::from(relay.family == family_of(true));
        pending.asked[slot] = Some(match result {
            Ok(opened) => Asked::Opened(relay, opened),
            Err(error) => Asked::Failed(error),
        });
        if pending.asked.iter().any(|asked| matches!(asked, Some(Asked::Waiting(_)))) {
            return;
        }
        let pending = allocation.pending.take().unwrap();
        let mut failures = Vec::new();
        for (slot, asked) in pending.asked.into_iter().enumerate() {
            match asked {
                Some(Asked::Opened(id, OpenedRelay { address, reservation })) => {
                    let until = now + pending.lifetime * 1000;
                    allocation.relays[slot] = Some(Relayed { id, address, until });
                    allocation.reservation = reservation.map(|token| token.0).or(allocation.reservation);
                }
                Some(Asked::Failed(error)) => {
                    let code = if error == OpenError::FamilyUnsupported { [4, 40] } else { [5, 8] };
                    failures.push(u16::from(code[0]) * 100 + u16::from(code[1]));
                    let family = family_of(slot == 1).number();
                    allocation.address_error = Some([family, 0, code[0], code[1]]);
                }
                Some(Asked::Waiting(_)) | None => {}
            }
        }
        let request = Message::parse(&pending.request).unwrap();
        let client = allocation.client;
        let proven = Proven {
            name: allocation.user.clone(),
            quota_id: String::new(),
            expires: None,
            key: allocation.key.clone(),
            algorithm: allocation.algorithm,
            integrity: pending.integrity,
        };
        if allocation.relays.iter().all(Option::is_none) {
            refused(client, &request, &proven, &failures, out);
            self.allocations.remove(place);
            return;
        }
        let answer = succeeded(client, &request, &proven, out);
        check_allocate_answer(allocation, &answer, now);
        out.take(&Owned::Began {
            allocation: allocation.id,
            client,
            user: allocation.user.clone(),
            relays: allocation.live_relays(now).map(|relay| relay.address).collect(),
        });
    }
}

/// What an Allocate request asks for (RFC 8656 §7.2).
struct Wanted {
    families: [bool; 2],
    port: PortRequest,
    lifetime: Option<u32>,
}

impl Wanted {
    /// Adds a code for each thing that is wrong; any of them may be the answer.
    fn read(client: FiveTuple, request: &Message<'_>, codes: &mut Vec<u16>) -> Option<Self> {
        match request.get(A::REQUESTED_TRANSPORT) {
            Some([17, _, _, _]) => {}
            // RFC 6062 §5.1.
            Some([6, _, _, _]) => {
                let of_datagrams = [A::DONT_FRAGMENT, A::EVEN_PORT, A::RESERVATION_TOKEN];
                let is_mixed = !client.is_stream() || of_datagrams.iter().any(|kind| request.has(*kind));
                if is_mixed {
                    codes.push(400);
                }
            }
            Some(value) if value.len() == 4 => codes.push(442),
            Some(_) | None => codes.push(400),
        }
        let first = family(request, A::REQUESTED_ADDRESS_FAMILY, 440);
        let additional = family(request, A::ADDITIONAL_ADDRESS_FAMILY, 400);
        let token = request.get(A::RESERVATION_TOKEN);
        let even = request.get(A::EVEN_PORT);
        codes.extend(first.err().into_iter().chain(additional.err()));
        let has_family =
            request.has(A::REQUESTED_ADDRESS_FAMILY) || request.has(A::ADDITIONAL_ADDRESS_FAMILY);
        let wrong = [
            request.has(A::REQUESTED_ADDRESS_FAMILY) && request.has(A::ADDITIONAL_ADDRESS_FAMILY),
            additional == Ok(Some(false)),
            token.is_some() && (even.is_some() || has_family),
            token.is_some_and(|token| token.len() != 8),
            even.is_some_and(|even| even.len() != 1),
            matches!(even, Some([bits]) if *bits >= 0x80) && request.has(A::ADDITIONAL_ADDRESS_FAMILY),
            lifetime(request).is_err(),
        ];
        if wrong.contains(&true) {
            codes.push(400);
        }
        let token = token.and_then(|token| token.try_into().ok()).map(ReservationToken);
        let port = match (token, even) {
            (Some(token), _) => PortRequest::Reserved(token),
            (None, Some([bits])) if *bits >= 0x80 => PortRequest::EvenAndReserveNext,
            (None, Some(_)) => PortRequest::Even,
            (None, None) => PortRequest::Any,
        };
        let first = match token {
            Some(token) => token.family() == family_of(true),
            None => first.ok()?.unwrap_or(false),
        };
        let both = additional.ok()?.is_some();
        let families = [!first || both, first || both];
        Some(Self { families, port, lifetime: lifetime(request).ok()? })
    }
}

/// Whether what an IPv4 client sends would leave as IPv6, for which DONT-FRAGMENT is not known (RFC 8656 §3.7).
pub(super) fn wants_ipv6(client: FiveTuple, request: &Message<'_>) -> bool {
    let is_v6 = |kind| matches!(request.get(kind), Some([2, _, _, _]));
    let token =
        request.get(A::RESERVATION_TOKEN).and_then(|token| token.try_into().ok()).map(ReservationToken);
    request.header().method == Method::ALLOCATE
        && !client.is_stream()
        && client.client().is_ipv4()
        && (is_v6(A::REQUESTED_ADDRESS_FAMILY)
            || is_v6(A::ADDITIONAL_ADDRESS_FAMILY)
            || token.is_some_and(|token| token.family() == family_of(true)))
}

fn check_allocate_answer(allocation: &Allocation, answer: &[u8], now: u64) {
    let answer = Message::parse(answer).unwrap();
    let relayed = answer.attributes().filter(|attribute| attribute.kind == A::XOR_RELAYED_ADDRESS);
    let relayed: Vec<_> =
        relayed.map(|attribute| decode_xor_address(attribute.value, answer.header()).unwrap()).collect();
    let live: Vec<_> = allocation.live_relays(now).collect();
    assert_eq!(relayed, live.iter().map(|relay| relay.address).collect::<Vec<_>>());
    let left = live.iter().map(|relay| (relay.until - now) / 1000).max();
    assert_eq!(number(&answer, A::LIFETIME), left);
    let mapped = answer.get(A::XOR_MAPPED_ADDRESS).and_then(|it| decode_xor_address(it, answer.header()));
    assert_eq!(mapped, Some(unscoped(allocation.client.client())));
    assert_eq!(answer.get(A::RESERVATION_TOKEN), allocation.reservation.as_ref().map(|it| &it[..]));
    assert_eq!(answer.get(A::ADDRESS_ERROR_CODE), allocation.address_error.as_ref().map(|it| &it[..]));
}
