//! The forwarder's tables, and the STUN messages that fill them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use turnbridge::net::batch::{Outlet, RunLimit};
use turnbridge::net::sys::SlotSize;
use turnbridge::net::sys::udp::{self, BufferSizes, Role};
use turnbridge::turn::{FiveTuple, ListenerId};
use turnbridge::wire::{AttributeType, ChannelNumber, Class, Message, Method, Writer, decode_xor_address};

pub(crate) struct Socket {
    socket: OwnedFd,
    runs: RunLimit,
    pub(crate) size: SlotSize,
}

impl Socket {
    pub(crate) fn open(address: SocketAddr, role: Role, buffers: BufferSizes) -> io::Result<Self> {
        let socket = udp::open(address, role, buffers)?;
        Ok(Self { socket, runs: RunLimit::default(), size: SlotSize::Small })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        udp::local_address(&self.socket)
    }

    pub(crate) fn borrow(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn outlet(&mut self) -> Outlet<'_> {
        Outlet { socket: self.socket.as_fd(), runs: &mut self.runs }
    }
}

pub(crate) struct Flows {
    by_client: HashMap<FiveTuple, u32, foldhash::fast::RandomState>,
    flows: Vec<Flow>,
    relay: IpAddr,
    limit: usize,
}

struct Flow {
    client: SocketAddr,
    relayed: SocketAddr,
    channel: Option<(ChannelNumber, SocketAddr)>,
}

impl Flows {
    pub(crate) fn new(relay: IpAddr, limit: usize) -> Self {
        Self { by_client: HashMap::default(), flows: Vec::new(), relay, limit }
    }

    /// Where a client's channel leads: its flow and the peer.
    pub(crate) fn peer(&self, client: SocketAddr, channel: ChannelNumber) -> Option<(u32, SocketAddr)> {
        let flow = *self.by_client.get(&FiveTuple::new(client, ListenerId(0)))?;
        let (bound, peer) = self.flows[flow as usize].channel?;
        (bound == channel).then_some((flow, peer))
    }

    /// Whose flow it is, if the peer is the one its channel is bound to.
    pub(crate) fn client(&self, flow: u32, peer: SocketAddr) -> Option<(SocketAddr, ChannelNumber)> {
        let flow = &self.flows[flow as usize];
        let (channel, bound) = flow.channel?;
        (bound == peer).then_some((flow.client, channel))
    }

    /// Answers a request; `open` makes the relay socket of a new flow.
    pub(crate) fn answer<'b>(
        &mut self,
        client: SocketAddr,
        datagram: &[u8],
        buffer: &'b mut [u8],
        open: impl FnOnce(SocketAddr) -> io::Result<SocketAddr>,
    ) -> io::Result<Option<&'b [u8]>> {
        let Ok(message) = Message::parse(datagram) else { return Ok(None) };
        let header = message.header();
        if header.class != Class::Request {
            return Ok(None);
        }
        let known = self.by_client.get(&FiveTuple::new(client, ListenerId(0))).copied();
        let success = header.answer(Class::Success);
        let writer = match (header.method, known) {
            (Method::ALLOCATE, None) if self.flows.len() >= self.limit => {
                Writer::new(buffer, header.answer(Class::Error)).error_code(508, "")
            }
            (Method::ALLOCATE, known) => {
                let flow = match known {
                    Some(flow) => flow,
                    None => self.begin(client, open)?,
                };
                Writer::new(buffer, success)
                    .xor_address(AttributeType::XOR_RELAYED_ADDRESS, self.flows[flow as usize].relayed)
                    .number(AttributeType::LIFETIME, 600)
                    .xor_address(AttributeType::XOR_MAPPED_ADDRESS, client)
            }
            (Method::CHANNEL_BIND, Some(flow)) => {
                self.flows[flow as usize].channel = channel(&message);
                Writer::new(buffer, success)
            }
            _ => Writer::new(buffer, success).number(AttributeType::LIFETIME, 600),
        };
        Ok(writer.finish().ok())
    }

    fn begin(
        &mut self,
        client: SocketAddr,
        open: impl FnOnce(SocketAddr) -> io::Result<SocketAddr>,
    ) -> io::Result<u32> {
        let flow = u32::try_from(self.flows.len()).map_err(io::Error::other)?;
        let relayed = open(SocketAddr::new(self.relay, 0))?;
        self.flows.push(Flow { client, relayed, channel: None });
        self.by_client.insert(FiveTuple::new(client, ListenerId(0)), flow);
        Ok(flow)
    }
}

fn channel(message: &Message<'_>) -> Option<(ChannelNumber, SocketAddr)> {
    let number = message.get(AttributeType::CHANNEL_NUMBER)?.first_chunk::<2>()?;
    let peer = message.get(AttributeType::XOR_PEER_ADDRESS)?;
    Some((ChannelNumber::new(u16::from_be_bytes(*number))?, decode_xor_address(peer, message.header())?))
}
