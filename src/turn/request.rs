//! A request, and its attributes read as the RFC defines them.

use std::net::SocketAddr;

use super::Family;
use super::answer::Addressee;
use super::five_tuple::FiveTuple;
use super::output::ReservationToken;
use super::verdict::Verdict;
use crate::auth::name;
use crate::wire::{AttributeType, Message, Method, decode_xor_address};

/// A request or indication, and where an answer to it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'m> {
    pub(super) addressee: Addressee,
    pub(super) message: Message<'m>,
    /// What was decided about its user, if it has waited for that.
    pub(super) verdict: Option<&'m Verdict>,
}

/// An attribute was there, but its value is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What an address family attribute says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyAttribute {
    Absent,
    Is(Family),
    /// A family nobody has heard of.
    Unsupported,
    Malformed,
}

impl<'m> Request<'m> {
    pub(super) fn new(client: FiveTuple, message: Message<'m>) -> Self {
        Self { addressee: Addressee::of(client, &message), message, verdict: None }
    }

    /// The same with what was decided about its user.
    pub(super) fn under(self, verdict: &'m Verdict) -> Self {
        Self { verdict: Some(verdict), ..self }
    }

    pub(super) fn method(&self) -> Method {
        self.addressee.header.method
    }

    /// Whether there is nothing in it, which is no client's request: every one of TURN has an attribute. Over a
    /// connection that harms nobody.
    pub(super) fn is_bare(&self) -> bool {
        let Self { addressee, message, .. } = self;
        message.attributes().next().is_none()
            && message.integrity().is_none()
            && !addressee.client.is_stream()
    }

    /// The values of all visible attributes of a type.
    pub(super) fn values(&self, kind: AttributeType) -> impl Iterator<Item = &'m [u8]> {
        self.message
            .attributes()
            .filter(move |attribute| attribute.kind == kind)
            .map(|attribute| attribute.value)
    }

    /// Reads the value of an XOR-PEER-ADDRESS.
    pub(super) fn decode_peer(&self, value: &[u8]) -> Option<SocketAddr> {
        decode_xor_address(value, self.message.header())
    }

    /// LIFETIME in seconds.
    pub(super) fn lifetime(&self) -> Result<Option<u32>, Malformed> {
        match self.message.get(AttributeType::LIFETIME) {
            Some(value) => {
                value.try_into().map(|seconds| Some(u32::from_be_bytes(seconds))).map_err(|_| Malformed)
            }
            None => Ok(None),
        }
    }

    /// Reads an address family attribute (RFC 8656 §18.6, §18.11).
    pub(super) fn family(&self, kind: AttributeType) -> FamilyAttribute {
        match self.message.get(kind) {
            None => FamilyAttribute::Absent,
            Some([number, _, _, _]) => {
                Family::from_number(*number).map_or(FamilyAttribute::Unsupported, FamilyAttribute::Is)
            }
            Some(_) => FamilyAttribute::Malformed,
        }
    }

    /// Whether an allocation is asked for that takes what comes over IPv4 to IPv6. DONT-FRAGMENT cannot be granted
    /// to it, because no socket tells the DF bit of a datagram that has arrived (RFC 8656 §3.7).
    pub(super) fn is_translated_to_ipv6(&self) -> bool {
        let is_ipv6 = |kind| self.family(kind) == FamilyAttribute::Is(Family::V6);
        let token =
            self.message.get(AttributeType::RESERVATION_TOKEN).and_then(|token| token.try_into().ok());
        self.addressee.header.method == Method::ALLOCATE
            && self.addressee.client.client().is_ipv4()
            && (is_ipv6(AttributeType::REQUESTED_ADDRESS_FAMILY)
                || is_ipv6(AttributeType::ADDITIONAL_ADDRESS_FAMILY)
                || token.is_some_and(|token| ReservationToken(token).family() == Family::V6))
    }

    /// Whether a TCP allocation is asked for: its rules say 400 where others would say 420 (RFC 6062 §5.1).
    pub(super) fn is_for_tcp(&self) -> bool {
        self.addressee.header.method == Method::ALLOCATE
            && matches!(self.message.get(AttributeType::REQUESTED_TRANSPORT), Some([6, _, _, _]))
    }

    /// Whether the client gives its allocation back, which even an expired credential may do.
    pub(super) fn releases(&self) -> bool {
        self.addressee.header.method == Method::REFRESH && self.lifetime() == Ok(Some(0))
    }

    /// USERNAME, if it can stand in a log line.
    pub(super) fn user_name(&self) -> Option<&'m str> {
        name::check_username(self.message.get(AttributeType::USERNAME)?).ok()
    }
}

/// The attributes of a message that must be understood and are not.
#[derive(Debug)]
pub(super) struct UnknownAttributes {
    list: [AttributeType; Self::MAX],
    length: usize,
}

impl UnknownAttributes {
    /// More than these are not listed: a message full of nonsense draws no long answer.
    const MAX: usize = 16;

    /// Those of a message. What is known but cannot be done is one of them too (RFC 8656 §7.2, §11.2).
    pub(super) fn of(message: &Message<'_>, can_be_done: impl Fn(AttributeType) -> bool) -> Self {
        let mut unknown = Self { list: [AttributeType(0); Self::MAX], length: 0 };
        for attribute in message.attributes() {
            let kind = attribute.kind;
            let understood = kind.is_understood() && can_be_done(kind);
            if kind.is_comprehension_required() && !understood && !unknown.list().contains(&kind) {
                unknown.push(kind);
            }
        }
        unknown
    }

    /// All of them, each once.
    pub(super) fn list(&self) -> &[AttributeType] {
        &self.list[..self.length]
    }

    /// Adds one, if there is room.
    fn push(&mut self, kind: AttributeType) {
        if let Some(place) = self.list.get_mut(self.length) {
            *place = kind;
            self.length += 1;
        }
    }

    /// Repeats the last one of an odd list. There is room, since the room is even.
    pub(super) fn make_even(&mut self) {
        if self.length % 2 == 1
            && let Some(last) = self.list().last().copied()
        {
            self.push(last);
        }
    }
}
