//! A TURN client that does one thing at a time and tells everything.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use turnbridge::auth::rest::RestSecret;
use turnbridge::auth::{Key, PasswordAlgorithm, Secret};
use turnbridge::control::utc::unix_now;
use turnbridge::wire::{
    AttributeType, ChannelData, ChannelNumber, Class, Header, Message, Method, TransactionId, Writer,
    channel_head, decode_xor_address,
};

use crate::server::Credential;

/// A client on a socket of its own.
pub(crate) struct Client {
    socket: UdpSocket,
    credential: Credential,
    /// What the server has challenged it with; a test may put something else there.
    pub(crate) realm: Option<String>,
    nonce: Vec<u8>,
    transactions: u32,
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
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { socket, credential, realm: None, nonce: Vec::new(), transactions: 0 }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The address the server sees, by a Binding request.
    pub(crate) fn binding(&mut self) -> SocketAddr {
        let request = self.message(Method::BINDING, None, |writer| writer);
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
            let request = self.message(method, Some(self.nonce.clone()), &attributes);
            let answer = self.exchange(&request);
            let message = Message::parse(&answer).unwrap();
            if message.header().class == Class::Success {
                message.verify(self.key().as_bytes()).unwrap();
                return Ok(answer);
            }
            let code = error_code(&message);
            let (401 | 438, Some(nonce)) = (code, message.get(AttributeType::NONCE)) else {
                return Err(code);
            };
            if self.nonce == nonce {
                return Err(code);
            }
            self.nonce = nonce.to_vec();
            let told =
                message.get(AttributeType::REALM).map(|realm| String::from_utf8_lossy(realm).into_owned());
            self.realm = self.realm.take().or(told);
        }
        Err(401)
    }

    /// A request, with credentials as soon as there is a nonce.
    fn message(
        &mut self,
        method: Method,
        nonce: Option<Vec<u8>>,
        attributes: impl Fn(Writer<'_>) -> Writer<'_>,
    ) -> Vec<u8> {
        self.transactions += 1;
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&self.transactions.to_be_bytes());
        let header = Header::new(Class::Request, method, TransactionId(transaction));
        let mut buffer = [0; 1024];
        let writer = attributes(Writer::new(&mut buffer, header));
        let writer = match nonce.filter(|nonce| !nonce.is_empty()) {
            Some(nonce) => writer
                .attribute(AttributeType::USERNAME, self.credential.username.as_bytes())
                .attribute(AttributeType::REALM, self.realm().as_bytes())
                .attribute(AttributeType::NONCE, &nonce)
                .integrity_sha1(self.key().as_bytes()),
            None => writer,
        };
        writer.finish().unwrap().to_vec()
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

    fn key(&self) -> Key {
        let Credential { username, password } = &self.credential;
        Key::derive(PasswordAlgorithm::Md5, username, self.realm(), password.as_bytes())
    }

    fn realm(&self) -> &str {
        self.realm.as_deref().unwrap_or_default()
    }
}

impl Credential {
    /// A time-limited one that expires that many seconds from now (or did before).
    pub(crate) fn minted(secret: &str, id: &str, expires_in: i64) -> Self {
        let username = format!("{}:{id}", unix_now().saturating_add_signed(expires_in));
        let password = RestSecret::new(&Secret::new(secret)).password(&username).expose().to_owned();
        Self { username, password }
    }

    pub(crate) fn plain(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: password.to_owned() }
    }
}

/// An address attribute of an answer.
pub(crate) fn address(answer: &[u8], kind: AttributeType) -> Option<SocketAddr> {
    let message = Message::parse(answer).unwrap();
    message.get(kind).and_then(|value| decode_xor_address(value, message.header()))
}

fn error_code(message: &Message<'_>) -> u16 {
    let Some([_, _, class, number, ..]) = message.get(AttributeType::ERROR_CODE) else {
        panic!("an error without its code")
    };
    u16::from(*class) * 100 + u16::from(*number)
}
