//! One TURN client without its socket: which request comes next, and what an answer means.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use super::credential::Credential;
use super::payload::splitmix;
use crate::auth::Key;
use crate::wire::{
    AttributeType, ChannelNumber, Class, Header, Message, Method, TransactionId, Writer, decode_xor_address,
};

/// What a client asks its server for, one request after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Allocate,
    Permit,
    Bind,
    Release,
}

/// Allocate, permit the peer and bind it to the channel.
pub(super) const ESTABLISH: &[Step] = &[Step::Allocate, Step::Permit, Step::Bind];
/// Give the allocation back.
pub(super) const RELEASE: &[Step] = &[Step::Release];
/// What a connection is for, and no more.
pub(super) const VISIT: &[Step] = &[Step::Allocate, Step::Release];
/// All an allocation goes through, from the first request to the last.
pub(super) const CYCLE: &[Step] = &[Step::Allocate, Step::Permit, Step::Bind, Step::Release];

/// What a datagram from the server changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing: it was no answer to the open request.
    Ignored,
    /// There is a new request to send.
    Next,
    /// The plan is carried out.
    Done,
    /// The server refused for good.
    Failed(Failure),
}

/// Why a client could not carry out its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// The server answered with this error code.
    Refused(Step, u16),
    /// An answer whose MESSAGE-INTEGRITY is missing or wrong, or that lacks what it must tell.
    BadAnswer(Step),
    /// No answer, however often the request was sent.
    Timeout(Step),
    /// The kernel says that nobody listens at the server's address.
    Unreachable(Step),
    /// The server closed the connection.
    Closed(Step),
}

/// A client on its way through a plan.
pub(super) struct Session {
    credential: Option<Rc<Credential>>,
    peer: SocketAddr,
    channel: ChannelNumber,
    plan: &'static [Step],
    challenge: Option<Challenge>,
    /// Challenges since the last success; more than two in a row mean that the credential is no good.
    challenges: u8,
    relayed: Option<SocketAddr>,
    entropy: u64,
    transaction: TransactionId,
    request: [u8; LONGEST_REQUEST],
    length: usize,
}

/// What a 401 or 438 told.
struct Challenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: Key,
}

impl Session {
    /// A client that wants an allocation with `channel` bound to `peer`; [`Session::begin`] starts it.
    pub(super) fn new(
        credential: Option<Rc<Credential>>,
        peer: SocketAddr,
        channel: ChannelNumber,
        seed: u64,
    ) -> Self {
        Self {
            credential,
            peer,
            channel,
            plan: &[],
            challenge: None,
            challenges: 0,
            relayed: None,
            entropy: seed,
            transaction: TransactionId([0; 12]),
            request: [0; LONGEST_REQUEST],
            length: 0,
        }
    }

    /// Takes up a plan; its first request is then ready to be sent.
    pub(super) fn begin(&mut self, plan: &'static [Step]) {
        self.plan = plan;
        self.write_request();
    }

    /// The open request, for the first time and for each retransmission.
    pub(super) fn request(&self) -> &[u8] {
        &self.request[..self.length]
    }

    /// The step that is open.
    pub(super) fn step(&self) -> Step {
        self.plan.first().copied().unwrap_or(Step::Release)
    }

    /// Where peers reach this client, once it has an allocation.
    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// Whom the channel leads to.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The channel it binds.
    pub(super) fn channel(&self) -> ChannelNumber {
        self.channel
    }

    /// Takes in a datagram from the server.
    pub(super) fn on_datagram(&mut self, datagram: &[u8]) -> Progress {
        let Ok(message) = Message::parse(datagram) else { return Progress::Ignored };
        if message.header().transaction != self.transaction || self.plan.is_empty() {
            return Progress::Ignored;
        }
        match message.header().class {
            Class::Success => self.on_success(&message),
            Class::Error => self.on_error(&message),
            Class::Request | Class::Indication => Progress::Ignored,
        }
    }

    fn on_success(&mut self, message: &Message<'_>) -> Progress {
        let step = self.step();
        if self.challenge.as_ref().is_some_and(|challenge| message.verify(challenge.key.as_bytes()).is_err())
        {
            return Progress::Failed(Failure::BadAnswer(step));
        }
        if step == Step::Allocate {
            let relayed = message.get(AttributeType::XOR_RELAYED_ADDRESS);
            self.relayed = relayed.and_then(|value| decode_xor_address(value, message.header()));
            if self.relayed.is_none() {
                return Progress::Failed(Failure::BadAnswer(step));
            }
        }
        self.challenges = 0;
        self.plan = &self.plan[1..];
        if self.plan.is_empty() {
            return Progress::Done;
        }
        self.write_request();
        Progress::Next
    }

    fn on_error(&mut self, message: &Message<'_>) -> Progress {
        let code = match message.get(AttributeType::ERROR_CODE) {
            Some([_, _, class, number, ..]) => u16::from(class & 7) * 100 + u16::from(*number),
            Some(_) | None => return Progress::Failed(Failure::BadAnswer(self.step())),
        };
        let refused = Progress::Failed(Failure::Refused(self.step(), code));
        if !matches!(code, 401 | 438) || self.challenges == 2 {
            return refused;
        }
        let (Some(credential), Some(nonce)) = (&self.credential, message.get(AttributeType::NONCE)) else {
            return refused;
        };
        let known = self.challenge.as_ref().map(|challenge| challenge.realm.as_slice());
        let Some(realm) = message.get(AttributeType::REALM).or(known) else { return refused };
        let key = credential.key(&String::from_utf8_lossy(realm));
        self.challenge = Some(Challenge { realm: realm.to_vec(), nonce: nonce.to_vec(), key });
        self.challenges += 1;
        self.write_request();
        Progress::Next
    }

    fn write_request(&mut self) {
        let step = self.step();
        let [low, high] = [splitmix(&mut self.entropy), splitmix(&mut self.entropy)];
        self.transaction.0[..8].copy_from_slice(&low.to_be_bytes());
        self.transaction.0[8..].copy_from_slice(&high.to_be_bytes()[..4]);
        let header = Header::new(Class::Request, step.method(), self.transaction);
        let writer = Writer::new(&mut self.request, header);
        let writer = match step {
            Step::Allocate => writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]),
            Step::Permit => writer.xor_address(AttributeType::XOR_PEER_ADDRESS, self.peer),
            Step::Bind => writer
                .number(AttributeType::CHANNEL_NUMBER, u32::from(self.channel.get()) << 16)
                .xor_address(AttributeType::XOR_PEER_ADDRESS, self.peer),
            Step::Release => writer.number(AttributeType::LIFETIME, 0),
        };
        let writer = match (&self.credential, &self.challenge) {
            (Some(credential), Some(challenge)) => writer
                .attribute(AttributeType::USERNAME, credential.user.as_bytes())
                .attribute(AttributeType::REALM, &challenge.realm)
                .attribute(AttributeType::NONCE, &challenge.nonce)
                .integrity_sha1(challenge.key.as_bytes()),
            (Some(_) | None, _) => writer,
        };
        // A name or nonce too long for the buffer would be sent as an empty datagram and time out.
        self.length = writer.finish().map_or(0, <[u8]>::len);
    }
}

impl Step {
    fn method(self) -> Method {
        match self {
            Self::Allocate => Method::ALLOCATE,
            Self::Permit => Method::CREATE_PERMISSION,
            Self::Bind => Method::CHANNEL_BIND,
            Self::Release => Method::REFRESH,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allocate => "Allocate",
            Self::Permit => "CreatePermission",
            Self::Bind => "ChannelBind",
            Self::Release => "Refresh to 0",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(step, code) => write!(f, "{step} was refused with {code}"),
            Self::BadAnswer(step) => write!(f, "the answer to {step} lacks a valid integrity or its address"),
            Self::Timeout(step) => write!(f, "{step} was not answered"),
            Self::Unreachable(step) => write!(f, "{step} reached no open port"),
            Self::Closed(step) => write!(f, "the connection was closed while {step} was open"),
        }
    }
}

/// User name (513 bytes), realm and nonce (763 bytes each) at their longest (RFC 8489 §14), and the rest.
const LONGEST_REQUEST: usize = 2200;
/// REQUESTED-TRANSPORT's number for UDP (RFC 8656 §18.8).
const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let channel = ChannelNumber::FIRST;
        let mut session = Session::new(None, "192.0.2.1:9".parse().unwrap(), channel, 1);
        session.begin(CYCLE);
        session
    }

    fn answer(session: &Session, class: Class, write: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
        let mut buffer = [0; 256];
        let header = Message::parse(session.request()).unwrap().header().answer(class);
        write(Writer::new(&mut buffer, header)).finish().unwrap().to_vec()
    }

    #[test]
    fn a_server_without_credentials_is_asked_four_things() {
        let mut session = session();
        let relayed = "192.0.2.7:50000".parse().unwrap();
        for (step, expected) in [
            (Step::Allocate, Progress::Next),
            (Step::Permit, Progress::Next),
            (Step::Bind, Progress::Next),
            (Step::Release, Progress::Done),
        ] {
            assert_eq!(session.step(), step);
            let success = answer(&session, Class::Success, |writer| {
                writer.xor_address(AttributeType::XOR_RELAYED_ADDRESS, relayed)
            });
            assert_eq!(session.on_datagram(&success), expected);
            assert_eq!(session.on_datagram(&success), Progress::Ignored, "an answer counts once");
        }
        assert_eq!(session.relayed(), Some(relayed));
    }

    #[test]
    fn a_refusal_names_step_and_code() {
        let mut session = session();
        let error = answer(&session, Class::Error, |writer| writer.error_code(486, ""));
        assert_eq!(session.on_datagram(&error), Progress::Failed(Failure::Refused(Step::Allocate, 486)));
    }

    #[test]
    fn a_challenge_is_answered_with_the_credential_but_not_forever() {
        let mut session = session();
        let key = {
            let credential = Rc::new(Credential::plain("alice", "secret"));
            session.credential = Some(Rc::clone(&credential));
            credential.key("realm")
        };
        for _ in 0..2 {
            let challenge = answer(&session, Class::Error, |writer| {
                let writer = writer.error_code(401, "").attribute(AttributeType::REALM, b"realm");
                writer.attribute(AttributeType::NONCE, b"nonce")
            });
            assert_eq!(session.on_datagram(&challenge), Progress::Next);
            assert!(Message::parse(session.request()).unwrap().verify(key.as_bytes()).is_ok());
        }
        let challenge = answer(&session, Class::Error, |writer| {
            writer
                .error_code(401, "")
                .attribute(AttributeType::REALM, b"realm")
                .attribute(AttributeType::NONCE, b"n")
        });
        assert_eq!(session.on_datagram(&challenge), Progress::Failed(Failure::Refused(Step::Allocate, 401)));
    }

    #[test]
    fn a_success_without_proof_is_refused() {
        let mut session = session();
        session.challenge =
            Some(Challenge { realm: vec![], nonce: vec![], key: Credential::plain("a", "b").key("c") });
        let success = answer(&session, Class::Success, |writer| writer);
        assert_eq!(session.on_datagram(&success), Progress::Failed(Failure::BadAnswer(Step::Allocate)));
    }
}
