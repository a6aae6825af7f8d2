//! Who a client is, and how it proves that to the server, whatever carries its messages.

use std::net::SocketAddr;

use turnbridge::auth::rest::RestSecret;
use turnbridge::auth::{Key, PasswordAlgorithm, Secret};
use turnbridge::control::utc::unix_now;
use turnbridge::wire::{
    AttributeType, Class, Header, Message, Method, TransactionId, Writer, decode_xor_address,
};

use crate::server::Credential;

/// A credential, and what the server has challenged it with.
pub(crate) struct Login {
    credential: Credential,
    /// A test may put something else there.
    pub(crate) realm: Option<String>,
    nonce: Vec<u8>,
    transactions: u32,
}

/// What an answer means.
pub(crate) enum Verdict {
    Granted,
    /// There was a challenge, and now the request can be made again.
    Challenged,
    Refused(u16),
}

impl Login {
    pub(crate) fn new(credential: Credential) -> Self {
        Self { credential, realm: None, nonce: Vec::new(), transactions: 0 }
    }

    /// A request without credentials.
    pub(crate) fn bare(&mut self, method: Method, attributes: impl Fn(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
        let mut buffer = [0; 1024];
        let writer = attributes(Writer::new(&mut buffer, self.header(Class::Request, method)));
        writer.finish().unwrap().to_vec()
    }

    /// A request, with credentials as soon as there is a nonce.
    pub(crate) fn request(
        &mut self,
        method: Method,
        attributes: impl Fn(Writer<'_>) -> Writer<'_>,
    ) -> Vec<u8> {
        if self.nonce.is_empty() {
            return self.bare(method, attributes);
        }
        let mut buffer = [0; 1024];
        let header = self.header(Class::Request, method);
        let writer = attributes(Writer::new(&mut buffer, header))
            .attribute(AttributeType::USERNAME, self.credential.username.as_bytes())
            .attribute(AttributeType::REALM, self.realm().as_bytes())
            .attribute(AttributeType::NONCE, &self.nonce)
            .integrity_sha1(self.key().as_bytes());
        writer.finish().unwrap().to_vec()
    }

    /// Reads the answer to a request, and takes a challenge up.
    pub(crate) fn judge(&mut self, answer: &[u8]) -> Verdict {
        let message = Message::parse(answer).unwrap();
        if message.header().class == Class::Success {
            message.verify(self.key().as_bytes()).unwrap();
            return Verdict::Granted;
        }
        let code = error_code(&message);
        let (401 | 438, Some(nonce)) = (code, message.get(AttributeType::NONCE)) else {
            return Verdict::Refused(code);
        };
        if self.nonce == nonce {
            return Verdict::Refused(code);
        }
        self.nonce = nonce.to_vec();
        let told = message.get(AttributeType::REALM).map(|realm| String::from_utf8_lossy(realm).into_owned());
        self.realm = self.realm.take().or(told);
        Verdict::Challenged
    }

    /// Takes a challenge for one that the server has never made.
    pub(crate) fn adopt(&mut self, realm: &str, nonce: &[u8]) {
        (self.realm, self.nonce) = (Some(realm.to_owned()), nonce.to_vec());
    }

    pub(crate) fn header(&mut self, class: Class, method: Method) -> Header {
        self.transactions += 1;
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&self.transactions.to_be_bytes());
        Header::new(class, method, TransactionId(transaction))
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

pub(crate) fn error_code(message: &Message<'_>) -> u16 {
    let Some([_, _, class, number, ..]) = message.get(AttributeType::ERROR_CODE) else {
        panic!("an error without its code")
    };
    u16::from(*class) * 100 + u16::from(*number)
}
