//! NAT behaviour discovery: a client learns how its NAT maps and filters from answers that leave from another one of
//! two addresses and two ports (RFC 5780, and RFC 3489 for clients from before it).

use std::net::SocketAddr;

use super::answer::{Addressee, PADDING_MAX, Sink};
use super::five_tuple::{FiveTuple, ListenerId};
use super::request::{Malformed, Request};
use crate::wire::{AttributeType, Writer};

/// Where NAT behaviour discovery is offered; by default nowhere.
#[derive(Clone, Debug, Default)]
pub struct NatDiscovery {
    /// Listeners that answer for each other.
    pub quartets: Vec<Quartet>,
    /// Whether clients of RFC 3489 are served too. Otherwise they learn their address and no more.
    pub classic: bool,
}

/// Four listeners: two addresses with the same two ports (RFC 5780 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quartet {
    /// A1:P1, A2:P1, A1:P2 and A2:P2, so that one bit of a corner's number is its address and one its port.
    pub corners: [Corner; 4],
}

/// One listener of a quartet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corner {
    /// Where requests arrive and answers leave.
    pub listener: ListenerId,
    /// Its address as clients see it, which behind a 1:1 NAT is not the one it is bound to.
    pub address: SocketAddr,
}

/// The corner a request reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here {
    quartet: Quartet,
    number: usize,
}

/// An answer, and on which of its ways it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// Whom it tells the address of.
    client: SocketAddr,
    to: SocketAddr,
    from: Corner,
    other: SocketAddr,
    padding: Option<usize>,
}

impl NatDiscovery {
    /// The corner that this listener is, if discovery is offered there to the sender of this request.
    pub(super) fn at(&self, request: &Request<'_>) -> Option<Here> {
        if request.addressee.header.is_classic() && !self.classic {
            return None;
        }
        let listener = request.addressee.client.listener();
        self.quartets.iter().find_map(|quartet| {
            let number = quartet.corners.iter().position(|corner| corner.listener == listener)?;
            Some(Here { quartet: *quartet, number })
        })
    }
}

impl Here {
    /// What a request asks for: an answer from elsewhere, to another port, or a long one (RFC 5780 §6.1).
    pub(super) fn reply(&self, request: &Request<'_>) -> Result<Reply, Malformed> {
        let message = &request.message;
        let change = match message.get(AttributeType::CHANGE_REQUEST) {
            Some(value) => Change::read(value)?,
            None => Change(0),
        };
        let port = message.get(AttributeType::RESPONSE_PORT).map(read_port).transpose()?;
        let padding = message.get(AttributeType::PADDING).map(|padding| padding.len());
        // Together they would pour long answers on somebody else's port (RFC 5780 §10).
        if port.is_some() && padding.is_some() {
            return Err(Malformed);
        }
        let client = request.addressee.client.client();
        let mut to = client;
        to.set_port(port.unwrap_or(client.port()));
        Ok(Reply { client, to, from: self.moved(change), other: self.moved(Change::BOTH).address, padding })
    }

    fn moved(&self, Change(bits): Change) -> Corner {
        self.quartet.corners[self.number ^ bits]
    }
}

impl Reply {
    /// Where it goes to.
    pub(super) fn to(&self) -> SocketAddr {
        self.to
    }

    /// Sends it.
    pub(super) fn send(&self, addressee: &Addressee, out: Sink<'_, '_>) {
        let addressee = Addressee { client: FiveTuple::new(self.to, self.from.listener), ..*addressee };
        match addressee.header.is_classic() {
            true => addressee.succeed_at_length(out, |writer| self.write_classic(writer)),
            false => addressee.succeed_at_length(out, |writer| self.write(writer)),
        }
    }

    fn write<'b>(&self, writer: Writer<'b>) -> Writer<'b> {
        let writer = writer
            .xor_address(AttributeType::XOR_MAPPED_ADDRESS, self.client)
            // Where the two differ somebody on the way replaces addresses in the payload (RFC 5780 §3.6).
            .address(AttributeType::MAPPED_ADDRESS, self.client)
            .address(AttributeType::RESPONSE_ORIGIN, self.from.address)
            .address(AttributeType::OTHER_ADDRESS, self.other);
        match self.padding {
            // Zeroes, so that nobody can have bytes of their choice sent from here.
            Some(length) => writer.attribute(AttributeType::PADDING, &[0; PADDING_MAX][..answered(length)]),
            None => writer,
        }
    }

    /// RFC 3489 §8.1.
    fn write_classic<'b>(&self, writer: Writer<'b>) -> Writer<'b> {
        writer
            .address(AttributeType::MAPPED_ADDRESS, self.client)
            .address(AttributeType::SOURCE_ADDRESS, self.from.address)
            .address(AttributeType::CHANGED_ADDRESS, self.other)
    }
}

/// What the answer costs of its source's budget: as many plain ones have as many bytes.
pub(super) fn cost(request: &Request<'_>) -> u64 {
    /// A plain answer over IPv4.
    const PLAIN: usize = 32;
    let attribute = if request.addressee.client.client().is_ipv4() { 12 } else { 24 };
    let padding =
        request.message.get(AttributeType::PADDING).map_or(0, |padding| 4 + answered(padding.len()));
    u64::try_from((20 + 4 * attribute + padding).div_ceil(PLAIN)).unwrap_or(u64::MAX)
}

/// How much padding answers so much: never more, and no more than makes fragments (RFC 5780 §7.6).
fn answered(padding: usize) -> usize {
    padding.next_multiple_of(4).min(PADDING_MAX)
}

/// RFC 5780 §7.5: the port, and two bytes that are padding by either reading. Nothing can be sent to port 0.
fn read_port(value: &[u8]) -> Result<u16, Malformed> {
    match value {
        [0, 0] | [0, 0, _, _] => Err(Malformed),
        [high, low] | [high, low, _, _] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(Malformed),
    }
}

/// By which bits of a corner's number the answer leaves from another one.
#[derive(Clone, Copy, Debug)]
struct Change(usize);

impl Change {
    const ADDRESS: usize = 0b01;
    const PORT: usize = 0b10;
    const BOTH: Self = Self(Self::ADDRESS | Self::PORT);

    /// RFC 5780 §7.2. Flags that do not exist are ignored.
    fn read(value: &[u8]) -> Result<Self, Malformed> {
        let [_, _, _, flags] = value else { return Err(Malformed) };
        let bit = |flag: u8, bit: usize| if flags & flag == 0 { 0 } else { bit };
        Ok(Self(bit(0x04, Self::ADDRESS) | bit(0x02, Self::PORT)))
    }
}
