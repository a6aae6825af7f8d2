//! A TURN client over UDP that does one thing at a time and tells everything.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use turnbridge::wire::{AttributeType, ChannelData, ChannelNumber, Message, Method, Writer, channel_head};

use crate::login::{Login, Verdict, address, error_code};
use crate::server::Credential;

/// A client on a socket of its own.
pub(crate) struct Client {
    socket: UdpSocket,
    /// The last answer, for who wants to see more of it.
    pub(crate) answer: Vec<u8>,
    pub(crate) login: Login,
}

/// How often a request is sent before the server counts as silent, and how long each is waited for.
const ATTEMPTS: usize = 20;
const TIMEOUT: Duration = Duration::from_millis(500);

impl Client {
    pub(crate) fn new(server: SocketAddr, credential: Credential) -> Self {
        let ip = if server.is_ipv4() { "127.0.0.1" } else { "::1" };
        Self::from(ip.parse().unwrap(), server, credential)
    }

    /// One with a source address that matters.
    pub(crate) fn from(ip: IpAddr, server: SocketAddr, credential: Credential) -> Self {
        Self::at(SocketAddr::new(ip, 0), server, credential)
    }

    /// One with a source address and port that matter.
    pub(crate) fn at(source: SocketAddr, server: SocketAddr, credential: Credential) -> Self {
        let socket = UdpSocket::bind(source).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { socket, answer: Vec::new(), login: Login::new(credential) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The address the server sees, by a Binding request.
    pub(crate) fn binding(&mut self) -> SocketAddr {
        let request = self.login.bare(Method::BINDING, |writer| writer);
        let answer = self.exchange(&request);
        address(&answer, AttributeType::XOR_MAPPED_ADDRESS).unwrap()
    }

    /// Asks for an allocation with these attributes beside the transport; the answer or its error code.
    pub(crate) fn allocate(
        &mut self,
        attributes: impl Fn(Writer<'_>) -> Writer<'_>,
    ) -> Result<SocketAddr, u16> {
        let answer = self.request(Method::ALLOCATE, |writer| {
            attributes(writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]))
        })?;
        Ok(address(&answer, AttributeType::XOR_RELAYED_ADDRESS).unwrap())
    }

    /// Gives the allocation back.
    pub(crate) fn release(&mut self) {
        self.request(Method::REFRESH, |writer| writer.number(AttributeType::LIFETIME, 0)).unwrap();
    }

    pub(crate) fn bind(&mut self, channel: ChannelNumber, peer: SocketAddr) -> Result<(), u16> {
        let bound = self.request(Method::CHANNEL_BIND, |writer| {
            writer
                .number(AttributeType::CHANNEL_NUMBER, u32::from(channel.get()) << 16)
                .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        });
        bound.map(drop)
    }

    pub(crate) fn send(&self, channel: ChannelNumber, payload: &[u8]) {
        let head = channel_head(channel, u16::try_from(payload.len()).unwrap());
        self.socket.send(&[&head[..], payload].concat()).unwrap();
    }

    /// What comes next through the channel.
    #[track_caller]
    pub(crate) fn receive(&self, channel: ChannelNumber) -> Vec<u8> {
        for _ in 0..ATTEMPTS {
            let Some(datagram) = self.hear() else { continue };
            if let Some(data) = ChannelData::parse(&datagram) {
                assert_eq!(data.channel, channel);
                return data.payload.to_vec();
            }
        }
        panic!("nothing comes through the channel");
    }

    /// Sends an authenticated request; a challenge is taken up once.
    pub(crate) fn request(
        &mut self,
        method: Method,
        attributes: impl Fn(Writer<'_>) -> Writer<'_>,
    ) -> Result<Vec<u8>, u16> {
        for _ in 0..2 {
            let request = self.login.request(method, &attributes);
            let answer = self.exchange(&request);
            self.answer.clone_from(&answer);
            match self.login.judge(&answer) {
                Verdict::Granted => return Ok(answer),
                Verdict::Challenged => {}
                Verdict::Refused(code) => return Err(code),
            }
        }
        Err(401)
    }

    /// Sends one request as it stands, whatever is answered; the code of the error.
    pub(crate) fn once(&mut self, method: Method, attributes: impl Fn(Writer<'_>) -> Writer<'_>) -> u16 {
        let request = self.login.request(method, attributes);
        let answer = self.exchange(&request);
        error_code(&Message::parse(&answer).unwrap())
    }

    /// Sends a request and does not wait for anything.
    pub(crate) fn fire(&mut self, method: Method) {
        let request = self.login.request(method, |writer| writer);
        self.socket.send(&request).unwrap();
    }

    /// Somebody else on the same socket.
    pub(crate) fn taken_over_by(self, credential: Credential) -> Self {
        Self { login: Login::new(credential), ..self }
    }

    /// Sends a request until its answer comes.
    fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let transaction = Message::parse(request).unwrap().header().transaction;
        for _ in 0..ATTEMPTS {
            self.socket.send(request).unwrap();
            while let Some(datagram) = self.hear() {
                if Message::parse(&datagram).is_ok_and(|message| message.header().transaction == transaction)
                {
                    return datagram;
                }
            }
        }
        panic!("the server does not answer");
    }

    fn hear(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }
}
