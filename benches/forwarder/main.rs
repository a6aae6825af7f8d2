//! A bare forwarder: receives, looks up and sends, on the same sockets and batches as the server, and does nothing
//! else. What it costs per packet is what the sockets cost; the server is measured against it.
//!
//! ```text
//! cargo run --release --example forwarder -- --listen 127.0.0.1:3480 --relay 127.0.0.1 [--flows 1000]
//! ```
//!
//! Clients get a flow by Allocate and its one channel by ChannelBind, as from a TURN server, but without credentials,
//! permissions, lifetimes or limits other than the number of flows. It is a measuring device: do not let strangers
//! reach it.

mod flows;

use std::collections::VecDeque;
use std::error::Error;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use flows::{Flows, Socket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use turnbridge::net::batch::{Batch, Letter, Outlet, Sockets};
use turnbridge::net::counters::Counters;
use turnbridge::net::socket_id::{SocketId, SocketKind};
use turnbridge::net::sys::udp::{BufferSizes, Role};
use turnbridge::net::sys::{Message, Round, SlotSize, Slots};
use turnbridge::wire::{ChannelData, channel_head};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut forwarder = Forwarder::open(&options)?;
    let mut slots = Slots::new(SLOTS);
    let mut batch = Batch::default();
    let mut events = Events::with_capacity(1024);
    loop {
        forwarder.wait(&mut events)?;
        while !forwarder.ready.is_empty() {
            let mut round = slots.round();
            let mut filling = batch.renew();
            while round.free() > 0
                && let Some(socket) = forwarder.ready.pop_front()
            {
                forwarder.receive(socket, &mut round, &mut filling)?;
            }
            filling.flush(&mut forwarder.sockets, &mut forwarder.counters);
            batch = filling.renew();
        }
    }
}

struct Forwarder {
    poll: Poll,
    sockets: ForwarderSockets,
    flows: Flows,
    counters: Counters,
    ready: VecDeque<SocketId>,
}

struct ForwarderSockets {
    listener: Socket,
    /// By flow.
    relays: Vec<Socket>,
}

const SLOTS: usize = 64;
const LISTENER_TURN: usize = 32;
const RELAY_TURN: usize = 8;
const LISTENER: SocketId = SocketId::listener(0);
const BUFFERS: BufferSizes = BufferSizes { receive: Some(4 << 20), send: Some(4 << 20) };

impl Sockets for ForwarderSockets {
    fn outlet(&mut self, socket: SocketId) -> Option<Outlet<'_>> {
        Some(self.at(socket).outlet())
    }
}

impl ForwarderSockets {
    fn at(&mut self, socket: SocketId) -> &mut Socket {
        if let SocketKind::Relay(flow) = socket.kind() {
            &mut self.relays[flow as usize]
        } else {
            &mut self.listener
        }
    }
}

impl Forwarder {
    fn open(options: &Options) -> Result<Self, Box<dyn Error>> {
        let poll = Poll::new()?;
        let listener = Socket::open(options.listen, Role::Listener, BUFFERS)?;
        register(&poll, LISTENER, listener.borrow())?;
        Ok(Self {
            poll,
            sockets: ForwarderSockets { listener, relays: Vec::new() },
            flows: Flows::new(options.relay, options.flows),
            counters: Counters::default(),
            ready: VecDeque::new(),
        })
    }

    fn wait(&mut self, events: &mut Events) -> Result<(), Box<dyn Error>> {
        if let Err(error) = self.poll.poll(events, None) {
            events.clear();
            return if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) };
        }
        for event in &*events {
            self.ready.push_back(SocketId::from_bits(u32::try_from(event.token().0)?));
        }
        Ok(())
    }

    /// Receives one turn's worth from a socket; it stays ready until it is drained.
    fn receive<'s>(
        &mut self,
        socket: SocketId,
        round: &mut Round<'s>,
        batch: &mut Batch<'s>,
    ) -> Result<(), Box<dyn Error>> {
        let limit = if socket == LISTENER { LISTENER_TURN } else { RELAY_TURN };
        let inlet = self.sockets.at(socket);
        // An error is about an earlier datagram, and gone by being told.
        let Ok(received) = round.receive(inlet.borrow(), limit, inlet.size) else {
            self.ready.push_back(socket);
            return Ok(());
        };
        if !received.is_drained() {
            self.ready.push_back(socket);
        }
        for message in received {
            if message.is_joined() {
                self.sockets.at(socket).size = SlotSize::Large;
            }
            if let SocketKind::Relay(flow) = socket.kind() {
                self.forward_down(flow, &message, batch);
            } else {
                self.forward_up(&message, batch)?;
            }
        }
        Ok(())
    }

    fn forward_up<'s>(&mut self, message: &Message<'s>, batch: &mut Batch<'s>) -> Result<(), Box<dyn Error>> {
        for datagram in message.datagrams() {
            if let Some(frame) = ChannelData::parse(datagram) {
                if let Some((flow, peer)) = self.flows.peer(message.from, frame.channel) {
                    batch.push(SocketId::relay(flow), peer, Letter::payload(frame.payload));
                }
            } else {
                self.answer(message.from, datagram, batch)?;
            }
        }
        Ok(())
    }

    fn forward_down<'s>(&mut self, flow: u32, message: &Message<'s>, batch: &mut Batch<'s>) {
        let Some((client, channel)) = self.flows.client(flow, message.from) else { return };
        for payload in message.datagrams() {
            let length = u16::try_from(payload.len()).unwrap_or_default();
            let head = &channel_head(channel, length);
            batch.push(LISTENER, client, Letter { head, payload, padding: 0, dont_fragment: false });
        }
    }

    /// The few requests that make a flow.
    fn answer(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        batch: &mut Batch<'_>,
    ) -> Result<(), Box<dyn Error>> {
        let mut buffer = [0; 256];
        let relays = &mut self.sockets.relays;
        let poll = &self.poll;
        let open = |address| {
            let relay = Socket::open(address, Role::Relay, BufferSizes::default())?;
            register(poll, SocketId::relay(u32::try_from(relays.len()).unwrap_or(u32::MAX)), relay.borrow())?;
            let bound = relay.address()?;
            relays.push(relay);
            Ok(bound)
        };
        if let Some(head) = self.flows.answer(from, datagram, &mut buffer, open)? {
            let letter = Letter { head, payload: &[], padding: 0, dont_fragment: false };
            batch.push(LISTENER, from, letter);
        }
        Ok(())
    }
}

fn register(poll: &Poll, socket: SocketId, descriptor: BorrowedFd<'_>) -> std::io::Result<()> {
    let token = Token(socket.to_bits() as usize);
    poll.registry().register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)
}

struct Options {
    listen: SocketAddr,
    relay: IpAddr,
    flows: usize,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options =
            Self { listen: "127.0.0.1:3480".parse()?, relay: "127.0.0.1".parse()?, flows: 100_000 };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--listen" => options.listen = value()?.parse()?,
                "--relay" => options.relay = value()?.parse()?,
                "--flows" => options.flows = value()?.parse()?,
                _ => return Err(format!("{word} is none of --listen, --relay, --flows").into()),
            }
        }
        Ok(options)
    }
}
