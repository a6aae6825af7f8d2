//! The long-term credential mechanism (RFC 8489 §9.2).

use std::net::SocketAddr;

use super::allocation::UserName;
use super::answer::{Proof, Seal, Sink};
use super::event::Event;
use super::five_tuple::FiveTuple;
use super::nonce::{NonceCheck, SecurityFeatures};
use super::output::Output;
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;
use super::settings::{CredentialExpiry, WRONG_PASSWORD_COST};
use super::time::Now;
use crate::auth::users::userhash;
use crate::auth::{Key, PasswordAlgorithm, Refused};
use crate::wire::{AttributeType, Integrity, Message, Writer};

/// PASSWORD-ALGORITHMS as offered: SHA-256 rather than MD5, neither with parameters (RFC 8489 §18.5).
const BOTH_ALGORITHMS: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
/// The same where a configured user has nothing but an MD5 key.
const MD5_ALONE: &[u8] = &[0, 1, 0, 0];

/// A request whose sender knows a password.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) key: Key,
    /// What the answer is sealed with.
    pub(super) seal: Seal,
    pub(super) who: Who,
}

/// Whose password it is.
#[derive(Debug)]
pub(super) enum Who {
    /// The user that holds the allocation that the request is about.
    Owner,
    /// Somebody else, or there is no allocation.
    User {
        /// Who it is.
        user: UserName,
        /// The last Unix second of the credential.
        expires: Option<u64>,
    },
}

impl Authenticated {
    pub(super) fn proof(&self) -> Proof<'_> {
        Proof::Key(&self.key, self.seal)
    }
}

/// Why a request proves nothing.
#[derive(Clone, Copy, Debug)]
struct Unproven {
    refusal: Refusal,
    /// What operators are told; nothing about the first request of every honest client.
    denial: Option<Denial>,
}

impl Unproven {
    const MALFORMED: Self = Self { refusal: Refusal::BadRequest, denial: None };
    const NO_CREDENTIALS: Self = Self { refusal: Refusal::Unauthenticated, denial: None };
    const STALE_NONCE: Self = Self { refusal: Refusal::StaleNonce, denial: None };

    const fn denied(denial: Denial) -> Self {
        Self { refusal: Refusal::Unauthenticated, denial: Some(denial) }
    }

    /// What the answer costs its source.
    const fn cost(self) -> u64 {
        match self.denial {
            Some(_) => WRONG_PASSWORD_COST,
            None => 1,
        }
    }
}

/// What a request that proves nothing draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Answer,
    /// An answer, and the end of the connection.
    Last,
    Nothing,
}

/// Who the request says it comes from.
#[derive(Clone, Copy, Debug)]
enum Claim<'m> {
    Name(&'m [u8]),
    Hash(&'m [u8]),
}

impl<'m> Claim<'m> {
    fn of(message: &Message<'m>) -> Option<Self> {
        let hash = || message.get(AttributeType::USERHASH).map(Self::Hash);
        message.get(AttributeType::USERNAME).map(Self::Name).or_else(hash)
    }

    fn is(self, user: &str, realm: &str) -> bool {
        match self {
            Self::Name(name) => name == user.as_bytes(),
            Self::Hash(hash) => userhash(user, realm).as_slice() == hash,
        }
    }
}

impl Relay {
    /// Authenticates a request, or answers it with what is missing.
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        request: &Request<'_>,
        out: Sink<'_, '_>,
    ) -> Option<Authenticated> {
        match self.check_credentials(now, request) {
            Ok(authenticated) => Some(authenticated),
            Err(unproven) => {
                self.answer_unproven(now, request, unproven, out);
                None
            }
        }
    }

    fn check_credentials(&mut self, now: Now, request: &Request<'_>) -> Result<Authenticated, Unproven> {
        let message = &request.message;
        if message.integrity().is_none() {
            return Err(Unproven::NO_CREDENTIALS);
        }
        let (Some(claim), Some(realm), Some(nonce)) =
            (Claim::of(message), message.get(AttributeType::REALM), message.get(AttributeType::NONCE))
        else {
            return Err(Unproven::MALFORMED);
        };
        let (algorithm, seal) = self.password_algorithm(message)?;
        // The RFC's order puts this last. First, it spares the work on passwords for whoever cannot even be
        // challenged (THREATS A02); an honest client sees the same answers, one of them one round later.
        let client = request.addressee.client;
        if self.nonces.check(nonce, challenged(client), self.features(), now.mono) == NonceCheck::Stale {
            return Err(Unproven::STALE_NONCE);
        }
        if realm != self.authenticator.realm().as_bytes() {
            return Err(Unproven::denied(Denial::WrongRealm));
        }
        self.check_password(now, request, claim, algorithm)
            .map(|(key, who)| Authenticated { key, seal, who })
            .map_err(Unproven::denied)
    }

    /// Finds the key that made the request's integrity: the allocation's own, or one of its user's.
    fn check_password(
        &mut self,
        now: Now,
        request: &Request<'_>,
        claim: Claim<'_>,
        algorithm: PasswordAlgorithm,
    ) -> Result<(Key, Who), Denial> {
        let subject = self.subject(request);
        let Self { authenticator, table, settings, .. } = self;
        let message = &request.message;
        let allocation = subject.and_then(|id| table.get(id));
        let owner = allocation.filter(|owner| claim.is(owner.user.name(), authenticator.realm()));
        if let Some(owner) = &owner
            && owner.key.algorithm() == algorithm
            && message.verify(owner.key.as_bytes()).is_ok()
        {
            let ended = owner.credential_expires.filter(|end| *end <= now.mono);
            return match ended {
                Some(end) if settings.expiry == CredentialExpiry::Strict && !request.releases() => {
                    Err(Denial::CredentialExpired { ago_s: now.mono.since(end).as_secs() + 1 })
                }
                Some(_) | None => Ok((owner.key.clone(), Who::Owner)),
            };
        }
        let known_by_hash = owner.as_ref().map(|owner| owner.user.name().to_owned());
        let username = match claim {
            Claim::Name(name) => name,
            Claim::Hash(hash) => hash
                .try_into()
                .ok()
                .and_then(|hash| authenticator.find_userhash(hash))
                .or(known_by_hash.as_deref())
                .ok_or(Denial::Credential(Refused::UnknownUser))?
                .as_bytes(),
        };
        for candidate in authenticator.find(username, now.unix).map_err(Denial::Credential)? {
            let Some(key) = candidate.key(algorithm) else { continue };
            if message.verify(key.as_bytes()).is_err() {
                continue;
            }
            let expires = candidate.expiry();
            let who = match owner {
                Some(owner) => {
                    owner.key = key.clone();
                    owner.credential_expires = expires.map(|second| now.end_of(second));
                    Who::Owner
                }
                None => Who::User { user: UserName::new(candidate.username(), candidate.user_id()), expires },
            };
            return Ok((key, who));
        }
        Err(Denial::WrongPassword)
    }

    /// Which hash makes the key from the password, and what the answer is sealed with. Whoever names an algorithm must
    /// also repeat the offer, so that nobody in between can have shortened it (RFC 8489 §9.2.4).
    fn password_algorithm(&self, message: &Message<'_>) -> Result<(PasswordAlgorithm, Seal), Unproven> {
        let offer = message.get(AttributeType::PASSWORD_ALGORITHMS);
        let choice = message.get(AttributeType::PASSWORD_ALGORITHM);
        let offered = self.offered_algorithms();
        // Whoever names an algorithm is answered with SHA-256, whatever the request is sealed with (RFC 8489 §9.2.4).
        // Clients that do so and still sign with SHA-1 look for that in the answer, and find it beside.
        let seal = match message.integrity() {
            Some(Integrity::Sha1) => Seal::Both,
            Some(Integrity::Sha256) | None => Seal::Sha256,
        };
        match (offer, choice) {
            (None, None) => Ok((PasswordAlgorithm::Md5, Seal::Sha1)),
            (Some(offer), Some([0, 1, 0, 0])) if offer == offered => Ok((PasswordAlgorithm::Md5, seal)),
            (Some(offer), Some([0, 2, 0, 0])) if offer == offered && offered == BOTH_ALGORITHMS => {
                Ok((PasswordAlgorithm::Sha256, seal))
            }
            (Some(_), _) | (_, Some(_)) => Err(Unproven::MALFORMED),
        }
    }

    fn offered_algorithms(&self) -> &'static [u8] {
        if self.authenticator.has_sha256_keys() { BOTH_ALGORITHMS } else { MD5_ALONE }
    }

    /// Time-limited user names are not in any list, so their hashes could not be looked up: USERHASH is announced
    /// only where there are none.
    fn features(&self) -> SecurityFeatures {
        SecurityFeatures { password_algorithms: true, username_anonymity: !self.authenticator.has_secrets() }
    }

    fn answer_unproven(&mut self, now: Now, request: &Request<'_>, unproven: Unproven, out: Sink<'_, '_>) {
        let client = request.addressee.client;
        if let Some(denial) = unproven.denial {
            let user = request.user_name();
            let method = request.addressee.header.method;
            out(Output::Event(Event::Refused { client, user, method, denial, peer: None }));
        }
        let reply = self.reply_to(now, client, unproven);
        if reply == Reply::Nothing {
            self.counters.suppressed += 1;
            return;
        }
        self.counters.refusals += 1;
        self.challenge(now, request, unproven.refusal, out);
        if reply == Reply::Last {
            out(Output::CloseClient { client });
        }
    }

    /// What a request that proves nothing may draw. Over UDP its source may be forged, so that a budget bounds what
    /// anybody can make us send there. A connection has no forged end: it always gets its answer, challenges cost
    /// nothing, and whoever has spent the budget on wrong passwords needs another connection for the next one.
    fn reply_to(&mut self, now: Now, client: FiveTuple, unproven: Unproven) -> Reply {
        match unproven.denial {
            // Whoever knows the password, be it expired, is not guessing.
            None | Some(Denial::CredentialExpired { .. }) if client.is_stream() => Reply::Answer,
            _ if self.charge(client, unproven.cost(), now) => Reply::Answer,
            _ if client.is_stream() => Reply::Last,
            _ => Reply::Nothing,
        }
    }

    /// Answers with an error that asks for credentials.
    fn challenge(&mut self, now: Now, request: &Request<'_>, refusal: Refusal, out: Sink<'_, '_>) {
        let client = request.addressee.client;
        if refusal == Refusal::BadRequest {
            // RFC 8489 §9.2.4: a 400 carries neither realm nor nonce.
            request.addressee.refuse(refusal, Proof::None, out, |writer| writer);
            return;
        }
        // A request with nothing in it is no client's: every TURN request has an attribute. Over a connection it
        // harms nobody.
        let is_bare = request.message.attributes().next().is_none()
            && request.message.integrity().is_none()
            && !client.is_stream();
        let nonce = match is_bare {
            true => self.nonces.issue_short(challenged(client), now.mono),
            false => self.nonces.issue(challenged(client), self.features(), now.mono),
        };
        let (realm, offered) = (self.authenticator.realm(), self.offered_algorithms());
        request.addressee.refuse(refusal, Proof::None, out, |writer: Writer<'_>| {
            let writer = writer
                .attribute(AttributeType::REALM, realm.as_bytes())
                .attribute(AttributeType::NONCE, nonce.as_bytes());
            if is_bare { writer } else { writer.attribute(AttributeType::PASSWORD_ALGORITHMS, offered) }
        });
    }
}

/// Whom a challenge is for. Over UDP it is one socket. Clients of TCP allocations open many connections and take what they
/// were told on one of them for all (RFC 6062 §4.3), which cannot be forged: there it is the host.
fn challenged(client: FiveTuple) -> SocketAddr {
    let address = client.client();
    if client.is_stream() { SocketAddr::new(address.ip(), 0) } else { address }
}
