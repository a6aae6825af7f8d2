//! Binding, and where NAT behaviour discovery is offered its answers from elsewhere (RFC 5780 §6.1).

use std::net::SocketAddr;

use turnbridge::turn::{FiveTuple, ListenerId};
use turnbridge::wire::{AttributeType, Class, Message, decode_address, decode_xor_address};

use super::super::outputs::Outputs;
use super::super::rules::{CORNERS, Discovery};
use super::Model;
use super::attributes::{told_unknown, unknown_attributes, unscoped};
use super::credentials::error_code;
use AttributeType as A;

impl Model {
    pub(super) fn binding(&mut self, client: FiveTuple, request: &Message<'_>, out: &mut Outputs) {
        let is_classic = request.header().is_classic();
        let here = self.corner_of(client, is_classic);
        let change = request.get(A::CHANGE_REQUEST);
        let mut cannot = Vec::new();
        if here.is_none() && change.is_some_and(|flags| flags.iter().any(|byte| *byte != 0)) {
            cannot.push(A::CHANGE_REQUEST);
        }
        if here.is_none() || is_classic {
            cannot.extend([A::RESPONSE_PORT, A::PADDING]);
        }
        let mut unknown = unknown_attributes(request, |kind| !cannot.contains(&kind));
        // RFC 3489 §11.2.10.
        if is_classic && unknown.len() % 2 == 1 {
            unknown.extend(unknown.last().copied());
        }
        let asked = if unknown.is_empty() { Asked::read(request) } else { None };
        let (mut from, mut to) = (client.listener(), client.client());
        if let (Some(here), Some(asked)) = (here, &asked) {
            from = ListenerId(CORNERS[(here + asked.move_by) % 4].0);
            to.set_port(asked.port.unwrap_or(to.port()));
        }
        let Some(answer) = out.take_answer(FiveTuple::new(to, from), request) else {
            let is_forgeable = !client.is_stream() && !client.client().ip().is_loopback();
            assert!(self.rules.bindings.is_some() && is_forgeable, "no answer to a Binding request");
            return;
        };
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.integrity(), None);
        if !unknown.is_empty() {
            assert_eq!((error_code(&answer), told_unknown(&answer)), (420, unknown));
            return;
        }
        let told = |kind| answer.get(kind).and_then(decode_address);
        let mut size = 20 + usize::from(request.has_fingerprint()) * 8;
        if let (Some(here), asked) = (here, &asked) {
            let Some(asked) = asked else {
                return assert_eq!(error_code(&answer), 400, "what is asked for makes no sense");
            };
            let (origin, other) = match is_classic {
                true => (A::SOURCE_ADDRESS, A::CHANGED_ADDRESS),
                false => (A::RESPONSE_ORIGIN, A::OTHER_ADDRESS),
            };
            let address = |number: usize| Some(CORNERS[number % 4].1.parse::<SocketAddr>().unwrap());
            assert_eq!((told(origin), told(other)), (address(here + asked.move_by), address(here + 2)));
            assert_eq!(told(A::MAPPED_ADDRESS), Some(unscoped(client.client())));
            let padding = asked.padding.map(|length| length.next_multiple_of(4).min(1500));
            assert_eq!(answer.get(A::PADDING).map(<[u8]>::to_vec), padding.map(|length| vec![0; length]));
            size += 24 + padding.map_or(0, |length| 4 + length) + if is_classic { 0 } else { 12 };
        }
        assert_eq!(answer.header().class, Class::Success);
        let mapped = match is_classic {
            true => told(A::MAPPED_ADDRESS),
            false => answer.get(A::XOR_MAPPED_ADDRESS).and_then(|it| decode_xor_address(it, answer.header())),
        };
        assert_eq!(mapped, Some(unscoped(client.client())));
        size += 4 + if client.client().is_ipv4() { 8 } else { 20 };
        assert_eq!(answer.bytes().len(), size, "nothing more than that (THREATS L01)");
    }

    /// The number of the corner that the client talks to, if it is offered discovery there.
    fn corner_of(&self, client: FiveTuple, is_classic: bool) -> Option<usize> {
        let is_offered = match self.rules.discovery {
            Discovery::Off => false,
            Discovery::Modern => !is_classic,
            Discovery::Classic => true,
        };
        let number = CORNERS.iter().position(|(listener, _)| ListenerId(*listener) == client.listener())?;
        is_offered.then_some(number)
    }
}

/// What a request asks for (RFC 5780 §7).
struct Asked {
    /// Corners are numbered around the table, so that changing both is two further.
    move_by: usize,
    port: Option<u16>,
    padding: Option<usize>,
}

impl Asked {
    /// `None` if it makes no sense.
    fn read(request: &Message<'_>) -> Option<Self> {
        let move_by = match request.get(A::CHANGE_REQUEST) {
            None => 0,
            Some([_, _, _, flags]) => match (flags & 4 != 0, flags & 2 != 0) {
                (false, false) => 0,
                (true, false) => 1,
                (true, true) => 2,
                (false, true) => 3,
            },
            Some(_) => return None,
        };
        let port = match request.get(A::RESPONSE_PORT) {
            None => None,
            Some(value) if value.len() == 2 || value.len() == 4 => {
                Some(u16::from_be_bytes([value[0], value[1]])).filter(|port| *port != 0).map(Some)?
            }
            Some(_) => return None,
        };
        let padding = request.get(A::PADDING).map(<[u8]>::len);
        (port.is_none() || padding.is_none()).then_some(Self { move_by, port, padding })
    }
}
