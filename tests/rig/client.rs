//! A small TURN client: it knows a password and answers challenges.

use std::net::SocketAddr;

use turnbridge::auth::users::userhash;
use turnbridge::auth::{Key, PasswordAlgorithm};
use turnbridge::turn::{FiveTuple, ListenerId, Transport};
use turnbridge::wire::{AttributeType, Class, Header, Method, TransactionId};

use super::{Answer, Attr, addr, build, raw};

/// How a client proves its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// MD5 and SHA-1, no algorithm named: every client before RFC 8489.
    Rfc5389,
    /// MD5, by name.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-256, and USERHASH for USERNAME.
    UserHash,
}

impl Scheme {
    pub(crate) const ALL: [Self; 4] = [Self::Rfc5389, Self::Md5, Self::Sha256, Self::UserHash];
}

/// What a 401 or 438 said.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) realm: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) algorithms: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) listener: ListenerId,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) scheme: Scheme,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) transactions: u64,
}

impl Client {
    /// Alice with the right password, as an old client.
    pub(crate) fn alice(address: &str) -> Self {
        Self::new(address, "alice", "wonderland")
    }

    pub(crate) fn bob(address: &str) -> Self {
        Self::new(address, "bob", "builder")
    }

    pub(crate) fn new(address: &str, user: &str, password: &str) -> Self {
        Self {
            address: addr(address),
            listener: ListenerId(0),
            user: user.into(),
            password: password.into(),
            scheme: Scheme::Rfc5389,
            challenge: None,
            transactions: 0,
        }
    }

    pub(crate) fn with_scheme(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// The same over a connection.
    pub(crate) fn over(self, transport: Transport) -> Self {
        Self { listener: ListenerId::new(transport, 0), ..self }
    }

    pub(crate) fn tuple(&self) -> FiveTuple {
        FiveTuple::new(self.address, self.listener)
    }

    /// The header of this client's next message.
    pub(crate) fn header(&mut self, class: Class, method: Method) -> Header {
        self.transactions += 1;
        let mut id = [0x5A; 12];
        id[..8].copy_from_slice(&self.transactions.to_be_bytes());
        id[8..10].copy_from_slice(&self.address.port().to_be_bytes());
        Header::new(class, method, TransactionId(id))
    }

    pub(crate) fn unsigned(&mut self, method: Method, attributes: &[Attr]) -> Vec<u8> {
        build(self.header(Class::Request, method), attributes)
    }

    pub(crate) fn signed(&mut self, method: Method, attributes: &[Attr]) -> Vec<u8> {
        let attributes = [attributes, &self.credentials(), &[self.seal()]].concat();
        build(self.header(Class::Request, method), &attributes)
    }

    pub(crate) fn indication(&mut self, method: Method, attributes: &[Attr]) -> Vec<u8> {
        build(self.header(Class::Indication, method), attributes)
    }

    /// USERNAME or USERHASH, REALM, NONCE, and the algorithms where the scheme names one.
    pub(crate) fn credentials(&self) -> Vec<Attr> {
        let Challenge { realm, nonce, algorithms } = self.challenge.as_ref().expect("challenged before");
        let who = match self.scheme {
            Scheme::UserHash => {
                let realm = str::from_utf8(realm).unwrap();
                raw(AttributeType::USERHASH, &userhash(&self.user, realm))
            }
            Scheme::Rfc5389 | Scheme::Md5 | Scheme::Sha256 => {
                raw(AttributeType::USERNAME, self.user.as_bytes())
            }
        };
        let mut attributes = vec![who, raw(AttributeType::REALM, realm), raw(AttributeType::NONCE, nonce)];
        let algorithm = match self.scheme {
            Scheme::Rfc5389 => return attributes,
            Scheme::Md5 => 1,
            Scheme::Sha256 | Scheme::UserHash => 2,
        };
        attributes.push(raw(AttributeType::PASSWORD_ALGORITHMS, algorithms));
        attributes.push(raw(AttributeType::PASSWORD_ALGORITHM, &[0, algorithm, 0, 0]));
        attributes
    }

    /// The integrity attribute of the scheme.
    pub(crate) fn seal(&self) -> Attr {
        match self.scheme {
            Scheme::Rfc5389 => Attr::Sha1(self.key()),
            Scheme::Md5 | Scheme::Sha256 | Scheme::UserHash => Attr::Sha256(self.key()),
        }
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        let algorithm = match self.scheme {
            Scheme::Rfc5389 | Scheme::Md5 => PasswordAlgorithm::Md5,
            Scheme::Sha256 | Scheme::UserHash => PasswordAlgorithm::Sha256,
        };
        let realm = self.challenge.as_ref().map_or(&b""[..], |challenge| &challenge.realm);
        let realm = str::from_utf8(realm).unwrap();
        Key::derive(algorithm, &self.user, realm, self.password.as_bytes()).as_bytes().to_vec()
    }

    pub(crate) fn accept_challenge(&mut self, answer: &Answer) {
        self.challenge = Some(Challenge {
            realm: answer.get(AttributeType::REALM).expect("a realm"),
            nonce: answer.get(AttributeType::NONCE).expect("a nonce"),
            algorithms: answer.get(AttributeType::PASSWORD_ALGORITHMS).expect("the algorithms"),
        });
    }
}
