//! The long-term credential mechanism (RFC 8489 §9.2).

use std::net::SocketAddr;
use std::sync::Arc;

use super::allocation::UserName;
use super::answer::{Proof, Seal, Sink};
use super::event::Event;
use super::five_tuple::FiveTuple;
use super::judge::{Attempt, Judge, Origin, Proven};
use super::nonce::{NonceCheck, SecurityFeatures, offers_algorithms};
use super::output::Output;
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;
use super::settings::{CredentialExpiry, WRONG_PASSWORD_COST};
use super::time::Now;
use super::verdict::Terms;
use crate::auth::name::check_username;
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
        /// What is different for it.
        terms: Option<Arc<Terms>>,
        /// Who vouches for it.
        origin: Origin,
    },
}

impl Authenticated {
    pub(super) fn proof(&self) -> Proof<'_> {
        Proof::Key(&self.key, self.seal)
    }
}

/// Why a request proves nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unproven {
    refusal: Refusal,
    denial: Denial,
}

/// What stands between a request and what it asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Obstacle {
    Unproven(Unproven),
    /// Somebody outside is to be asked about the user first.
    Undecided,
}

impl Obstacle {
    const MALFORMED: Self = Self::request(Refusal::BadRequest);
    const NO_CREDENTIALS: Self = Self::request(Refusal::Unauthenticated);
    const STALE_NONCE: Self = Self::request(Refusal::StaleNonce);

    const fn request(refusal: Refusal) -> Self {
        Self::Unproven(Unproven { refusal, denial: Denial::Request(refusal) })
    }

    pub(super) const fn denied(denial: Denial) -> Self {
        Self::Unproven(Unproven { refusal: Refusal::Unauthenticated, denial })
    }
}

impl Unproven {
    /// Whether a password was offered and found wrong; the first request of every honest client has none.
    const fn is_denied(self) -> bool {
        !matches!(self.denial, Denial::Request(_))
    }

    /// What the answer costs its source.
    const fn cost(self) -> u64 {
        if self.is_denied() { WRONG_PASSWORD_COST } else { 1 }
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
            Ok(authenticated) => return Some(authenticated),
            Err(Obstacle::Unproven(unproven)) => self.answer_unproven(now, request, unproven, out),
            Err(Obstacle::Undecided) => self.ask(now, request, out),
        }
        None
    }

    fn check_credentials(&mut self, now: Now, request: &Request<'_>) -> Result<Authenticated, Obstacle> {
        let message = &request.message;
        if message.integrity().is_none() {
            return Err(Obstacle::NO_CREDENTIALS);
        }
        let (Some(claim), Some(realm), Some(nonce)) =
            (Claim::of(message), message.get(AttributeType::REALM), message.get(AttributeType::NONCE))
        else {
            return Err(Obstacle::MALFORMED);
        };
        let Some((algorithm, seal)) = self.password_algorithm(message) else {
            // RFC 8489 §9.2.4 asks for the offer only beside a nonce that says there was one. And an offer of before a
            // reload is no attempt to shorten ours: its nonce was made beside it.
            let client = challenged(request.addressee.client);
            let is_of = |features| self.nonces.was_issued(nonce, client, features, now.mono);
            let was_ours = || self.other_features().into_iter().any(is_of);
            let is_stale = !offers_algorithms(nonce) || was_ours();
            return Err(if is_stale { Obstacle::STALE_NONCE } else { Obstacle::MALFORMED });
        };
        // The RFC's order puts this last. First, it spares the work on passwords for whoever cannot even be
        // challenged (THREATS A02); an honest client sees the same answers, one of them one round later.
        let client = request.addressee.client;
        if self.nonces.check(nonce, challenged(client), self.features(), now.mono) == NonceCheck::Stale {
            return Err(Obstacle::STALE_NONCE);
        }
        if realm != self.authenticator.realm().as_bytes() {
            return Err(Obstacle::denied(Denial::WrongRealm));
        }
        self.check_password(now, request, claim, algorithm).map(|(key, who)| Authenticated { key, seal, who })
    }

    /// Finds the key that made the request's integrity: the allocation's own, or one of its user's.
    fn check_password(
        &mut self,
        now: Now,
        request: &Request<'_>,
        claim: Claim<'_>,
        algorithm: PasswordAlgorithm,
    ) -> Result<(Key, Who), Obstacle> {
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
                    let ago_s = now.mono.since(end).as_secs() + 1;
                    Err(Obstacle::denied(Denial::CredentialExpired { ago_s }))
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
                .ok_or(Obstacle::denied(Denial::Credential(Refused::UnknownUser)))?
                .as_bytes(),
        };
        let judge = match request.verdict {
            Some(verdict) => Judge::of(verdict)?,
            None if settings.asks => {
                // Nobody outside can be asked about a hash, which is why none is announced.
                return Err(match claim {
                    Claim::Name(name) => match check_username(name) {
                        Ok(_) => Obstacle::Undecided,
                        Err(bad) => Obstacle::denied(Denial::Credential(Refused::NotAUserName(bad))),
                    },
                    Claim::Hash(_) => Obstacle::denied(Denial::Credential(Refused::UnknownUser)),
                });
            }
            None => Judge::default(),
        };
        let proven = judge.prove(authenticator, Attempt { message, username, algorithm, now })?;
        let who = match owner {
            Some(owner) => {
                owner.key = proven.key.clone();
                owner.origin = proven.origin;
                owner.credential_expires = proven.expires.map(|second| now.end_of(second));
                Who::Owner
            }
            None => {
                let Proven { user, expires, terms, origin, .. } = proven;
                return Ok((proven.key, Who::User { user, expires, terms, origin }));
            }
        };
        Ok((proven.key, who))
    }

    /// Which hash makes the key from the password, and what the answer is sealed with. Whoever names an algorithm must
    /// also repeat the offer, so that nobody in between can have shortened it (RFC 8489 §9.2.4).
    fn password_algorithm(&self, message: &Message<'_>) -> Option<(PasswordAlgorithm, Seal)> {
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
            (None, None) => Some((PasswordAlgorithm::Md5, Seal::Sha1)),
            (Some(offer), Some([0, 1, 0, 0])) if offer == offered => Some((PasswordAlgorithm::Md5, seal)),
            (Some(offer), Some([0, 2, 0, 0])) if offer == offered && offered == BOTH_ALGORITHMS => {
                Some((PasswordAlgorithm::Sha256, seal))
            }
            (Some(_), _) | (_, Some(_)) => None,
        }
    }

    fn offered_algorithms(&self) -> &'static [u8] {
        // Whoever is asked about users may know no more than the older key of them.
        if self.authenticator.has_sha256_keys() && !self.settings.asks { BOTH_ALGORITHMS } else { MD5_ALONE }
    }

    /// Those that may have been announced beside the other offer.
    fn other_features(&self) -> [SecurityFeatures; 2] {
        let both_algorithms = !self.features().both_algorithms;
        [false, true].map(|username_anonymity| SecurityFeatures {
            password_algorithms: true,
            username_anonymity,
            both_algorithms,
        })
    }

    /// Time-limited user names are not in any list, so their hashes could not be looked up: USERHASH is announced
    /// only where there are none. Nor can anybody outside be asked about a hash.
    fn features(&self) -> SecurityFeatures {
        let username_anonymity = !self.authenticator.has_secrets() && !self.settings.asks;
        let both_algorithms = self.offered_algorithms() == BOTH_ALGORITHMS;
        SecurityFeatures { password_algorithms: true, username_anonymity, both_algorithms }
    }

    fn answer_unproven(&mut self, now: Now, request: &Request<'_>, unproven: Unproven, out: Sink<'_, '_>) {
        let client = request.addressee.client;
        let (user, method, words) = (request.user_name(), request.method(), request.words());
        let denial = unproven.denial;
        let reply = self.reply_to(now, client, unproven);
        let is_first = matches!(denial, Denial::Request(Refusal::Unauthenticated));
        if is_first && reply != Reply::Nothing && self.redirect_unchallenged(request, out) {
            return;
        }
        self.counters.deny(denial);
        if unproven.is_denied() || reply != Reply::Nothing {
            out(Output::Event(Event::Refused { client, user, method, denial, words, peer: None }));
        }
        if reply == Reply::Nothing {
            return self.silence(request, out);
        }
        self.counters.refuse(method, unproven.refusal);
        self.challenge(now, request, unproven.refusal, out);
        if reply == Reply::Last {
            out(Output::CloseClient { client });
        }
    }

    /// Gives no answer to a source that has none left. One that has a connection needs another one for the next try.
    pub(super) fn silence(&mut self, request: &Request<'_>, out: Sink<'_, '_>) {
        let client = request.addressee.client;
        self.counters.suppressed += 1;
        self.note_unproven(request, Denial::Silenced, out);
        if client.is_stream() {
            out(Output::CloseClient { client });
        }
    }

    /// Counts and tells what is done about a request that proves nothing, by the name it gives.
    pub(super) fn note_unproven(&mut self, request: &Request<'_>, denial: Denial, out: Sink<'_, '_>) {
        let (client, user, method) = (request.addressee.client, request.user_name(), request.method());
        self.counters.deny(denial);
        out(Output::Event(Event::Refused { client, user, method, denial, words: None, peer: None }));
    }

    /// What a request that proves nothing may draw. Over UDP its source may be forged, so that a budget bounds what
    /// anybody can make us send there. A connection has no forged end: it always gets its answer, challenges cost
    /// nothing, and whoever has spent the budget on wrong passwords needs another connection for the next one.
    fn reply_to(&mut self, now: Now, client: FiveTuple, unproven: Unproven) -> Reply {
        // Whoever knows the password, be it expired, is not guessing.
        let guesses = !matches!(unproven.denial, Denial::Request(_) | Denial::CredentialExpired { .. });
        if client.is_stream() && !guesses || self.charge(client, unproven.cost(), now) {
            return Reply::Answer;
        }
        if client.is_stream() { Reply::Last } else { Reply::Nothing }
    }

    /// Answers with an error that asks for credentials.
    fn challenge(&mut self, now: Now, request: &Request<'_>, refusal: Refusal, out: Sink<'_, '_>) {
        let client = request.addressee.client;
        if refusal == Refusal::BadRequest {
            // RFC 8489 §9.2.4: a 400 carries neither realm nor nonce.
            request.addressee.refuse(refusal, Proof::None, out, |writer| writer);
            return;
        }
        let is_bare = request.is_bare();
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
