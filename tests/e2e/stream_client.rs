//! A TURN client over TCP or TLS.

use std::collections::VecDeque;
use std::net::SocketAddr;

use turnbridge::wire::{
    AttributeType, ChannelData, ChannelNumber, Class, Message, Method, Writer, channel_head,
};

use crate::login::{Login, Verdict, address};
use crate::server::Credential;
use crate::wire::{Ending, Wire};

pub(crate) struct StreamClient {
    pub(crate) wire: Wire,
    pub(crate) login: Login,
    /// What has been received of the next frame, or frames.
    received: Vec<u8>,
    /// Frames that came before the one that was waited for.
    aside: VecDeque<Frame>,
}

/// What the server has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Message(Vec<u8>),
    Channel(ChannelNumber, Vec<u8>),
}

impl StreamClient {
    pub(crate) fn new(wire: Wire, credential: Credential) -> Self {
        Self { wire, login: Login::new(credential), received: Vec::new(), aside: VecDeque::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.wire.stream().local_addr().unwrap()
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.wire.write(bytes).unwrap();
    }

    /// The next frame, or how the stream has ended.
    pub(crate) fn hear(&mut self) -> Result<Frame, Ending> {
        match self.aside.pop_front() {
            Some(frame) => Ok(frame),
            None => self.read_frame(),
        }
    }

    /// How the stream ends; nothing may come before that.
    #[track_caller]
    pub(crate) fn ending(&mut self) -> Ending {
        match self.hear() {
            Ok(frame) => panic!("it goes on with {frame:?}"),
            Err(ending) => {
                assert!(self.received.is_empty(), "it ends in the middle of a frame");
                ending
            }
        }
    }

    fn read_frame(&mut self) -> Result<Frame, Ending> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Ok(frame);
            }
            let mut buffer = [0; 65_536];
            let count = self.wire.read(&mut buffer)?;
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// Cuts a frame off what has been received (RFC 8489 §6.2.2, RFC 8656 §12.5).
    fn take_frame(&mut self) -> Option<Frame> {
        let head = self.received.first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let is_message = head[0] < 0x40;
        let whole = if is_message { 20 + length } else { 4 + length.next_multiple_of(4) };
        if self.received.len() < whole {
            return None;
        }
        let bytes: Vec<u8> = self.received.drain(..whole).collect();
        if is_message {
            return Some(Frame::Message(bytes));
        }
        let data = ChannelData::parse(&bytes).expect("the server sends frames");
        assert!(bytes[4 + length..].iter().all(|byte| *byte == 0), "padding shows something");
        Some(Frame::Channel(data.channel, data.payload.to_vec()))
    }

    /// The answer to a request that has been sent.
    #[track_caller]
    pub(crate) fn answer_to(&mut self, request: &[u8]) -> Vec<u8> {
        let transaction = Message::parse(request).unwrap().header().transaction;
        loop {
            match self.read_frame() {
                Ok(Frame::Message(bytes))
                    if Message::parse(&bytes).unwrap().header().transaction == transaction =>
                {
                    return bytes;
                }
                Ok(frame) => self.aside.push_back(frame),
                Err(ending) => panic!("{ending:?} instead of an answer"),
            }
        }
    }

    /// The address the server sees.
    #[track_caller]
    pub(crate) fn binding(&mut self) -> SocketAddr {
        let request = self.login.bare(Method::BINDING, |writer| writer);
        self.write(&request);
        let answer = self.answer_to(&request);
        address(&answer, AttributeType::XOR_MAPPED_ADDRESS).unwrap()
    }

    /// Asks for an allocation; the relayed address or the error code.
    #[track_caller]
    pub(crate) fn allocate(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.request(Method::ALLOCATE, |writer| {
            writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        })?;
        Ok(address(&answer, AttributeType::XOR_RELAYED_ADDRESS).unwrap())
    }

    #[track_caller]
    pub(crate) fn refresh(&mut self, lifetime: u32) -> Result<(), u16> {
        self.request(Method::REFRESH, |writer| writer.number(AttributeType::LIFETIME, lifetime)).map(drop)
    }

    #[track_caller]
    pub(crate) fn bind(&mut self, channel: ChannelNumber, peer: SocketAddr) -> Result<(), u16> {
        let bound = self.request(Method::CHANNEL_BIND, |writer| {
            writer
                .number(AttributeType::CHANNEL_NUMBER, u32::from(channel.get()) << 16)
                .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        });
        bound.map(drop)
    }

    /// Sends an authenticated request; a challenge is taken up once.
    #[track_caller]
    pub(crate) fn request(
        &mut self,
        method: Method,
        attributes: impl Fn(Writer<'_>) -> Writer<'_>,
    ) -> Result<Vec<u8>, u16> {
        for _ in 0..2 {
            let request = self.login.request(method, &attributes);
            self.write(&request);
            let answer = self.answer_to(&request);
            match self.login.judge(&answer) {
                Verdict::Granted => return Ok(answer),
                Verdict::Challenged => {}
                Verdict::Refused(code) => return Err(code),
            }
        }
        Err(401)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, channel: ChannelNumber, payload: &[u8]) {
        self.write(&channel_data(channel, payload));
    }

    /// What comes next through the channel.
    #[track_caller]
    pub(crate) fn receive(&mut self, channel: ChannelNumber) -> Vec<u8> {
        match self.hear() {
            Ok(Frame::Channel(number, payload)) if number == channel => payload,
            other => panic!("{other:?}"),
        }
    }

    /// A Send indication.
    pub(crate) fn indication(&mut self, peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; payload.len() + 100];
        let header = self.login.header(Class::Indication, Method::SEND);
        let writer = Writer::new(&mut buffer, header)
            .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
            .attribute(AttributeType::DATA, payload);
        writer.finish().unwrap().to_vec()
    }
}

/// A ChannelData frame as it has to be in a stream.
pub(crate) fn channel_data(channel: ChannelNumber, payload: &[u8]) -> Vec<u8> {
    let mut frame = channel_head(channel, u16::try_from(payload.len()).unwrap()).to_vec();
    frame.extend_from_slice(payload);
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}
