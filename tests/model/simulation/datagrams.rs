//! What clients send: mostly what a client in its right mind would, with one thing wrong now and then.

use std::net::{IpAddr, SocketAddr};

use turnbridge::auth::PasswordAlgorithm;
use turnbridge::auth::users::userhash;
use turnbridge::turn::ReservationToken;
use turnbridge::wire::{AttributeType, Class, Header, Method, TransactionId, Writer};

use super::cast::{Account, Cast, PEER_PORTS, REALM};
use super::random::Random;
use AttributeType as A;

/// Attributes that nobody has heard of; one of them need not be.
const UNKNOWN: [A; 3] = [A(0x7ABC), A(0xC0DE), A(0x002B)];

/// What a client remembers.
#[derive(Clone, Default)]
pub struct Memory {
    pub nonce: Option<Vec<u8>>,
    /// Its usual account.
    pub account: usize,
    /// The one of its account's keys that it uses.
    pub key: usize,
}

/// An attribute to be written.
enum Attribute {
    Value(A, Vec<u8>),
    Xored(A, SocketAddr),
}

use Attribute::{Value, Xored};

/// The one thing that is wrong with a request's credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Unsigned,
    NoName,
    NoNonce,
    NoRealm,
    Realm,
    Nonce,
    Key,
    Offer,
    NoOffer,
}

const WRONGS: [Wrong; 9] = [
    Wrong::Unsigned,
    Wrong::NoName,
    Wrong::NoNonce,
    Wrong::NoRealm,
    Wrong::Realm,
    Wrong::Nonce,
    Wrong::Key,
    Wrong::Offer,
    Wrong::NoOffer,
];

/// Writes datagrams with what it is lent.
pub struct Datagrams<'r> {
    pub random: &'r mut Random,
    pub cast: &'r Cast,
    pub tokens: &'r [ReservationToken],
    pub peers: &'r [IpAddr],
    /// The transaction that made the client's allocation, if it has one.
    pub made_by: Option<[u8; 12]>,
}

impl Datagrams<'_> {
    pub fn binding(&mut self) -> Vec<u8> {
        let is_classic = self.random.once_in(4);
        let mut header = self.header(Class::Request, Method::BINDING);
        if is_classic {
            header.cookie = [1, 2, 3, 4];
        }
        let mut list = match self.random.below(8) {
            1 => vec![Value(A::CHANGE_REQUEST, vec![0; 4])],
            2 | 3 => vec![Value(A::CHANGE_REQUEST, vec![0, 0, 0, *self.random.pick(&[2, 4, 6, 0xFF])])],
            4 => vec![Value(A::CHANGE_REQUEST, vec![])],
            _ => Vec::new(),
        };
        if self.random.once_in(6) {
            let port = *self.random.pick(&[&[0x0F, 0xA1, 0, 0][..], &[0x0F, 0xA2], &[0, 0, 0, 0], &[1]]);
            list.push(Value(A::RESPONSE_PORT, port.to_vec()));
        }
        if self.random.once_in(8) {
            list.push(Value(A::PADDING, vec![0xAA; *self.random.pick(&[0, 1, 700, 1500, 2000])]));
        }
        if self.random.once_in(10) {
            list.push(Value(*self.random.pick(&UNKNOWN), vec![1, 2, 3]));
        }
        let fingerprint = self.random.once_in(3);
        write(header, &list, |writer| if fingerprint { writer.fingerprint() } else { writer })
    }

    /// A request without a single attribute: whoever sends it wants to see what comes back.
    pub fn bare(&mut self) -> Vec<u8> {
        let method = *self.random.pick(&[Method::ALLOCATE, Method::REFRESH, Method::CHANNEL_BIND]);
        write(self.header(Class::Request, method), &[], |writer| writer)
    }

    pub fn allocate(&mut self, memory: &Memory) -> Vec<u8> {
        let transport = match self.random.below(24) {
            18..21 | 23 => Some(vec![6, 0, 0, 0]),
            22 => Some(vec![17]),
            21 => None,
            _ => Some(vec![17, 0, 0, 0]),
        };
        let mut list: Vec<_> = transport.into_iter().map(|it| Value(A::REQUESTED_TRANSPORT, it)).collect();
        self.maybe_lifetime(&mut list, 3);
        match self.random.below(12) {
            0..3 => {}
            3..5 => list.push(Value(A::REQUESTED_ADDRESS_FAMILY, vec![2, 0, 0, 0])),
            5 => list.push(Value(A::REQUESTED_ADDRESS_FAMILY, vec![1, 0, 0, 0])),
            6..10 => list.push(Value(A::ADDITIONAL_ADDRESS_FAMILY, vec![2, 0, 0, 0])),
            10 => list.push(Value(A::ADDITIONAL_ADDRESS_FAMILY, self.family())),
            _ => list.push(Value(A::REQUESTED_ADDRESS_FAMILY, self.family())),
        }
        match self.random.below(12) {
            0..7 => {}
            7 => list.push(Value(A::EVEN_PORT, vec![0])),
            8 => list.push(Value(A::EVEN_PORT, vec![0x80])),
            9 => list.push(Value(A::EVEN_PORT, vec![0x80, 0])),
            _ => {
                // Mostly the token alone, as it should be.
                if !self.random.once_in(4) {
                    list.truncate(1);
                }
                let token = match self.tokens {
                    [] => self.random.array(),
                    tokens => self.random.pick(tokens).0,
                };
                let length = if self.random.once_in(8) { 7 } else { 8 };
                list.push(Value(A::RESERVATION_TOKEN, token[..length].to_vec()));
            }
        }
        if self.random.once_in(8) {
            list.push(Value(A::DONT_FRAGMENT, vec![]));
        }
        self.request(Method::ALLOCATE, list, memory)
    }

    pub fn refresh(&mut self, memory: &Memory) -> Vec<u8> {
        let mut list = Vec::new();
        self.maybe_lifetime(&mut list, 2);
        match self.random.below(6) {
            0..4 => {}
            4 => {
                list.push(Value(A::REQUESTED_ADDRESS_FAMILY, vec![self.random.array::<1>()[0] % 4, 0, 0, 0]));
            }
            _ => list.push(Value(A::REQUESTED_ADDRESS_FAMILY, self.family())),
        }
        self.request(Method::REFRESH, list, memory)
    }

    pub fn create_permission(&mut self, memory: &Memory) -> Vec<u8> {
        let count = match self.random.below(16) {
            0..11 => 1,
            11..14 => 2,
            14 => 5,
            _ => 0,
        };
        let mut list: Vec<_> = (0..count).map(|_| Xored(A::XOR_PEER_ADDRESS, self.peer())).collect();
        if self.random.once_in(32) {
            list.push(Value(A::XOR_PEER_ADDRESS, vec![0, 1, 2]));
        }
        self.request(Method::CREATE_PERMISSION, list, memory)
    }

    /// For connections instead of datagrams (RFC 6062).
    pub fn allocate_tcp(&mut self, memory: &Memory) -> Vec<u8> {
        let list = vec![Value(A::REQUESTED_TRANSPORT, vec![6, 0, 0, 0])];
        self.request(Method::ALLOCATE, list, memory)
    }

    pub fn connect(&mut self, memory: &Memory) -> Vec<u8> {
        let mut list = Vec::new();
        match self.random.below(32) {
            30 => {}
            31 => list.push(Value(A::XOR_PEER_ADDRESS, vec![0, 1, 2])),
            _ => list.push(Xored(A::XOR_PEER_ADDRESS, self.peer())),
        }
        self.request(Method::CONNECT, list, memory)
    }

    pub fn connection_bind(&mut self, connection: u32, memory: &Memory) -> Vec<u8> {
        let id = connection.to_be_bytes();
        let list = match self.random.below(32) {
            29 => Vec::new(),
            30 => vec![Value(A::CONNECTION_ID, id[..3].to_vec())],
            31 => vec![Value(A::CONNECTION_ID, self.random.array::<4>().to_vec())],
            _ => vec![Value(A::CONNECTION_ID, id.to_vec())],
        };
        self.request(Method::CONNECTION_BIND, list, memory)
    }

    pub fn channel_bind(&mut self, memory: &Memory) -> Vec<u8> {
        let mut list = Vec::new();
        if !self.random.once_in(32) {
            let [high, low] = self.channel().to_be_bytes();
            list.push(Value(A::CHANNEL_NUMBER, vec![high, low, 0, 0]));
        }
        if !self.random.once_in(32) {
            list.push(Xored(A::XOR_PEER_ADDRESS, self.peer()));
        }
        self.request(Method::CHANNEL_BIND, list, memory)
    }

    /// A request of a method that is no method, or a response, or something for a client.
    pub fn stray(&mut self, memory: &Memory) -> Vec<u8> {
        let method = *self.random.pick(&[
            Method::DATA,
            Method::SEND,
            Method::new(0x0A),
            Method::new(0x0B),
            Method::new(0x0C),
            Method::REFRESH,
        ]);
        if self.random.once_in(2) {
            return self.request(method, Vec::new(), memory);
        }
        let class = *self.random.pick(&[Class::Indication, Class::Success, Class::Error]);
        let method = if class == Class::Indication { Method::BINDING } else { method };
        write(self.header(class, method), &[], |writer| writer)
    }

    /// To a peer that is known to be permitted, or to whomever.
    pub fn send(&mut self, known: Option<IpAddr>, payload: &[u8]) -> Vec<u8> {
        let mut list = Vec::new();
        if !self.random.once_in(32) {
            let any = self.peer();
            let known = known.filter(|_| !self.random.once_in(3));
            let peer = known.map_or(any, |ip| SocketAddr::new(ip, any.port()));
            list.push(Xored(A::XOR_PEER_ADDRESS, peer));
        }
        if !self.random.once_in(32) {
            // With all that stands beside it, no more than the header can say.
            list.push(Value(A::DATA, payload[..payload.len().min(65_400)].to_vec()));
        }
        match self.random.below(16) {
            // The first of two counts (THREATS A06).
            13 => list.push(Xored(A::XOR_PEER_ADDRESS, self.peer())),
            14 => list.push(Value(A::DONT_FRAGMENT, vec![])),
            15 => list.push(Value(*self.random.pick(&UNKNOWN), vec![])),
            _ => {}
        }
        write(self.header(Class::Indication, Method::SEND), &list, |writer| writer)
    }

    pub fn channel_data(&mut self, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap();
        let announced = match self.random.below(32) {
            30 => length.saturating_add(1),
            31 => length.saturating_sub(1),
            _ => length,
        };
        let padding = self.random.below(4);
        [&self.channel().to_be_bytes(), &announced.to_be_bytes(), payload, &[0; 3][..padding]].concat()
    }

    pub fn channel(&mut self) -> u16 {
        *self.random.pick(&[0x4000, 0x4001, 0x4001, 0x4002, 0x4FFF, 0x5000, 0x7FFF, 0x8000, 0x3FFF])
    }

    /// Those at the head of the list are the most popular.
    pub fn peer(&mut self) -> SocketAddr {
        let ip = match self.random.below(4) {
            3 => *self.random.pick(self.peers),
            2 => *self.random.pick(&self.peers[..8]),
            _ => *self.random.pick(&self.peers[..4]),
        };
        let port = match self.random.below(4) {
            3 => *self.random.pick(&PEER_PORTS),
            _ => *self.random.pick(&PEER_PORTS[..3]),
        };
        SocketAddr::new(ip, port)
    }

    fn maybe_lifetime(&mut self, list: &mut Vec<Attribute>, one_in: usize) {
        if self.random.once_in(one_in) {
            let seconds: u32 = *self.random.pick(&[0, 0, 1, 599, 600, 601, 700, 1800, 3600, 3601, u32::MAX]);
            list.push(Value(A::LIFETIME, seconds.to_be_bytes().to_vec()));
        } else if self.random.once_in(32) {
            list.push(Value(A::LIFETIME, vec![0; 3]));
        }
    }

    fn family(&mut self) -> Vec<u8> {
        match self.random.below(4) {
            0 => vec![1, 0, 0, 0],
            1 => vec![2, 0, 0, 0],
            2 => vec![3, 0, 0, 0],
            _ => vec![1, 0],
        }
    }

    fn header(&mut self, class: Class, method: Method) -> Header {
        Header::new(class, method, TransactionId(self.random.array()))
    }

    /// A request with credentials, which are right most of the time.
    fn request(&mut self, method: Method, mut list: Vec<Attribute>, memory: &Memory) -> Vec<u8> {
        let mut header = self.header(Class::Request, method);
        if let Some(transaction) = self.made_by
            && self.random.once_in(4)
        {
            // Like a retransmission, which it may well not be.
            header.transaction = TransactionId(transaction);
        }
        let wrong = if self.random.once_in(16) { *self.random.pick(&WRONGS) } else { Wrong::Nothing };
        if self.random.once_in(40) {
            list.push(Value(*self.random.pick(&UNKNOWN), vec![0; 5]));
        }
        let account = match self.random.once_in(16) {
            true => self.random.pick(&self.cast.accounts),
            false => &self.cast.accounts[memory.account],
        };
        let algorithm = match self.random.below(8) {
            0..5 => None,
            5 => Some(PasswordAlgorithm::Md5),
            _ => Some(PasswordAlgorithm::Sha256),
        };
        self.credentials(&mut list, account, algorithm, memory, wrong);
        let keys = if account.keys.is_empty() { &self.cast.accounts[0].keys } else { &account.keys };
        let keys = &keys[if self.random.once_in(16) { 0 } else { memory.key % keys.len() }];
        let mut key =
            keys.of(algorithm.unwrap_or(PasswordAlgorithm::Md5)).unwrap_or(&keys.md5).as_bytes().to_vec();
        key[0] ^= u8::from(wrong == Wrong::Key);
        let style = self.random.below(32);
        write(header, &list, |writer| {
            let writer = match style {
                _ if wrong == Wrong::Unsigned => writer,
                0..8 => writer.integrity_sha256(&key),
                8..10 => writer.integrity_sha1(&key).integrity_sha256(&key),
                _ => writer.integrity_sha1(&key),
            };
            let writer = match style {
                // What stands behind does not exist (THREATS A05).
                30 => writer.number(A::LIFETIME, 0).flag(A(0x7ABC)),
                31 => writer.xor_address(A::XOR_PEER_ADDRESS, ([8, 8, 8, 8], 5000).into()),
                _ => writer,
            };
            if style.is_multiple_of(3) { writer.fingerprint() } else { writer }
        })
    }

    fn credentials(
        &mut self,
        list: &mut Vec<Attribute>,
        account: &Account,
        algorithm: Option<PasswordAlgorithm>,
        memory: &Memory,
        wrong: Wrong,
    ) {
        if wrong != Wrong::NoName {
            list.push(match self.random.once_in(8) {
                true => Value(A::USERHASH, userhash(&account.name, REALM).to_vec()),
                false => Value(A::USERNAME, account.name.clone().into()),
            });
        }
        if wrong != Wrong::NoRealm {
            let realm = if wrong == Wrong::Realm { "example.com" } else { REALM };
            list.push(Value(A::REALM, realm.into()));
        }
        let nonce = memory.nonce.clone().filter(|_| wrong != Wrong::Nonce);
        if wrong != Wrong::NoNonce {
            list.push(Value(A::NONCE, nonce.unwrap_or_else(|| b"obMatJos2gAAAAAAAAAAAAAAA".to_vec())));
        }
        let Some(algorithm) = algorithm else { return };
        // The wrong one is what somebody in between would like the client to have seen (THREATS A14).
        let offer: &[u8] = match (wrong == Wrong::Offer) == self.cast.has_sha256 {
            true => &[0, 1, 0, 0],
            false => &[0, 2, 0, 0, 0, 1, 0, 0],
        };
        let choice = if algorithm == PasswordAlgorithm::Md5 { 1 } else { 2 };
        if wrong != Wrong::NoOffer {
            list.push(Value(A::PASSWORD_ALGORITHMS, offer.to_vec()));
        }
        list.push(Value(A::PASSWORD_ALGORITHM, vec![0, choice, 0, 0]));
    }

    /// Makes garbage of a good datagram: a bit, a byte, a piece of it is not what it was.
    pub fn mutate(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.random.within(1..4) {
            if bytes.is_empty() {
                break;
            }
            let at = self.random.below(bytes.len());
            match self.random.below(6) {
                0 => bytes[at] ^= 1 << self.random.below(8),
                1 => bytes[at] = self.random.array::<1>()[0],
                2 => bytes.truncate(at),
                3 => bytes.extend(self.random.array::<4>()),
                4 => drop(bytes.drain(at..(at + 4).min(bytes.len()))),
                _ => bytes[at] = *self.random.pick(&[0, 0xFF, 0x80]),
            }
        }
        // Half of them with a length that fits, so that they get further than the first check.
        if self.random.once_in(2) && bytes.len() >= 20 && bytes[0] < 4 {
            bytes.truncate(bytes.len() / 4 * 4);
            let body = u16::try_from(bytes.len() - 20).unwrap_or(0);
            bytes[2..4].copy_from_slice(&body.to_be_bytes());
        }
        bytes
    }
}

fn write(header: Header, list: &[Attribute], end: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    let data = list.iter().map(|attribute| match attribute {
        Value(_, value) => value.len() + 8,
        Xored(..) => 24,
    });
    let mut buffer = vec![0xA5; data.sum::<usize>() + 160];
    let mut writer = Writer::new(&mut buffer, header);
    for attribute in list {
        writer = match attribute {
            Value(kind, value) => writer.attribute(*kind, value),
            Xored(kind, address) => writer.xor_address(*kind, *address),
        };
    }
    end(writer).finish().unwrap().to_vec()
}
