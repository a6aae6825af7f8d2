//! The long-term credential mechanism (RFC 8489 §9.2.4).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use turnbridge::auth::users::userhash;
use turnbridge::auth::{Key, PasswordAlgorithm};
use turnbridge::turn::FiveTuple;
use turnbridge::wire::{AttributeType, Class, Integrity, Message};

use super::super::cast::{MAX_TTL, REALM};
use super::super::outputs::{Outputs, Owned};
use super::{Model, Moment};

/// Who has proved to know a password.
#[derive(Clone, Debug)]
pub struct Proven {
    pub name: String,
    pub quota_id: String,
    pub expires: Option<u64>,
    pub key: Key,
    pub algorithm: PasswordAlgorithm,
    /// What the answer is signed with.
    pub integrity: Integrity,
}

/// The nonces that were handed out.
#[derive(Default)]
pub struct Nonces {
    issued: HashMap<(Vec<u8>, IpAddr, u16), Issued>,
    /// Before this, nonces were made for another lifetime.
    doubted: u64,
    latest: u64,
}

struct Issued {
    first: u64,
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Fresh,
    Stale,
    /// Older than the shortest and younger than the longest time that a nonce is good.
    Either,
}

impl Nonces {
    pub fn issue(&mut self, nonce: &[u8], client: SocketAddr, now: u64) {
        self.latest = now;
        let fresh = Issued { first: now, last: now };
        let issued = self.issued.entry((nonce.to_vec(), client.ip(), client.port())).or_insert(fresh);
        issued.last = now;
        // A nonce that comes back after ages would be no nonce.
        assert!(now - issued.first <= 3_600_000, "a nonce was issued again");
    }

    /// From now on nobody can say how long the nonces so far are good.
    pub fn doubt(&mut self) {
        self.doubted = self.latest + 1;
    }

    fn judge(&self, nonce: &[u8], client: SocketAddr, now: u64, lifetime: u64) -> Freshness {
        let Some(issued) = self.issued.get(&(nonce.to_vec(), client.ip(), client.port())) else {
            return Freshness::Stale;
        };
        if issued.first < self.doubted {
            Freshness::Either
        } else if now < issued.last + lifetime * 500 {
            Freshness::Fresh
        } else if now >= issued.first + lifetime * 1000 {
            Freshness::Stale
        } else {
            Freshness::Either
        }
    }
}

/// RFC 8489 §9.2.4: the offer has to be repeated beside a nonce that says there was one. Beside any other, which is not
/// ours, nothing can be said but that.
fn refusal_of_algorithms(nonce: &[u8]) -> u16 {
    const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let features = nonce.strip_prefix(b"obMatJos2").and_then(|rest| rest.first());
    let value = features.and_then(|first| BASE64.iter().position(|letter| letter == first));
    if value.is_some_and(|value| value >= 32) { 400 } else { 438 }
}

impl Model {
    /// Who sent a request; or nobody, and then the right challenge has been taken from the outputs.
    pub(super) fn authenticate(
        &mut self,
        now: Moment,
        client: FiveTuple,
        request: &Message<'_>,
        out: &mut Outputs,
    ) -> Option<Proven> {
        let codes = match self.judge(now, client, request) {
            Ok((proven, freshness)) => {
                if freshness == Freshness::Fresh || !self.is_called_stale(client, request, out) {
                    self.take_over(now, client, request, &proven);
                    return Some(proven);
                }
                vec![438]
            }
            Err(codes) => codes,
        };
        self.challenged(now, client, request, &codes, out);
        None
    }

    fn judge(
        &mut self,
        now: Moment,
        client: FiveTuple,
        request: &Message<'_>,
    ) -> Result<(Proven, Freshness), Vec<u16>> {
        use AttributeType as A;
        if request.integrity().is_none() {
            return Err(vec![401]);
        }
        let has_name = request.has(A::USERNAME) || request.has(A::USERHASH);
        let (true, Some(realm), Some(nonce)) = (has_name, request.get(A::REALM), request.get(A::NONCE))
        else {
            return Err(vec![400]);
        };
        let chosen = request.get(A::PASSWORD_ALGORITHM);
        let (algorithm, integrity) = match (request.get(A::PASSWORD_ALGORITHMS), chosen) {
            (None, None) => (PasswordAlgorithm::Md5, Integrity::Sha1),
            (Some(repeated), Some(chosen)) if repeated == self.offer() => match chosen {
                [0, 1, 0, 0] => (PasswordAlgorithm::Md5, Integrity::Sha256),
                [0, 2, 0, 0] if self.cast.has_sha256 => (PasswordAlgorithm::Sha256, Integrity::Sha256),
                _ => return Err(vec![refusal_of_algorithms(nonce)]),
            },
            _ => return Err(vec![refusal_of_algorithms(nonce)]),
        };
        let freshness = self.nonces.judge(nonce, challenged(client), now.mono, self.rules.nonce_lifetime);
        let proven = self.find(now, client, request, algorithm).filter(|_| realm == REALM.as_bytes());
        match (proven, freshness) {
            (Some(_), Freshness::Stale) => Err(vec![438]),
            (Some((name, quota_id, expires, key)), freshness) => {
                Ok((Proven { name, quota_id, expires, key, algorithm, integrity }, freshness))
            }
            (None, Freshness::Fresh) => Err(vec![401]),
            // Both are wrong; which of the two is told is not ours to say.
            (None, Freshness::Stale | Freshness::Either) => Err(vec![401, 438]),
        }
    }

    /// The account and the key that made the request's integrity, if it still counts.
    fn find(
        &mut self,
        now: Moment,
        client: FiveTuple,
        request: &Message<'_>,
        algorithm: PasswordAlgorithm,
    ) -> Option<(String, String, Option<u64>, Key)> {
        let cast = self.cast.clone();
        let owner = self.subject(client, request, now.mono);
        let name = match (request.get(AttributeType::USERNAME), request.get(AttributeType::USERHASH)) {
            (Some(name), _) => name.to_vec(),
            (None, hash) => {
                let hash = hash?;
                let owner = owner.as_ref().map(|owner| &owner.user);
                let listed = cast.accounts.iter().filter(|account| account.is_listed);
                let mut names = listed.map(|account| &account.name).chain(owner);
                names.find(|name| userhash(name, REALM) == *hash)?.as_bytes().to_vec()
            }
        };
        let account = cast.account(&name)?;
        let keys = account.keys.iter().filter_map(|keys| keys.of(algorithm));
        let key = keys.into_iter().find(|key| request.verify(key.as_bytes()).is_ok())?.clone();
        let found = (account.name.clone(), account.id.clone(), account.expires, key.clone());
        let is_owner = owner.as_ref().is_some_and(|owner| owner.user == account.name);
        let knows_key = owner.as_ref().is_some_and(|owner| owner.key == key && owner.algorithm == algorithm);
        // Whoever has shown a credential keeps it until its time is over, however often the wall clock is set.
        let is_over = owner.as_ref().is_some_and(|owner| owner.credential_until <= now.mono);
        let expired = account.expires.is_some_and(|expires| now.unix > expires);
        let too_far = account.expires.is_some_and(|expires| expires > now.unix + MAX_TTL);
        let counts = if is_owner && knows_key {
            !is_over || !self.rules.strict_expiry || gives_back(request)
        } else {
            !expired && !too_far
        };
        if !counts {
            return None;
        }
        Some(found)
    }

    /// An owner may come with another of its keys; from then on that is the one it is known by.
    fn take_over(&mut self, now: Moment, client: FiveTuple, request: &Message<'_>, proven: &Proven) {
        if let Some(owner) = self.subject(client, request, now.mono)
            && owner.user == proven.name
        {
            if owner.key != proven.key || owner.algorithm != proven.algorithm {
                owner.credential_until = until(now, proven.expires);
            }
            (owner.key, owner.algorithm) = (proven.key.clone(), proven.algorithm);
        }
    }

    /// A challenge or a refusal that says nothing to strangers.
    pub(super) fn challenged(
        &mut self,
        now: Moment,
        client: FiveTuple,
        request: &Message<'_>,
        codes: &[u16],
        out: &mut Outputs,
    ) {
        let Some(answer) = out.take_answer(client, request) else {
            let may_be_silent = self.rules.challenges.is_some() && !client.is_stream();
            assert!(may_be_silent, "an answer of {codes:?} is missing, got {:?}", out.list);
            return;
        };
        // Whoever guesses passwords over a connection loses it, once the budget is spent.
        let closing = Owned::CloseClient { client };
        if client.is_stream() && codes.contains(&401) && out.list.contains(&closing) {
            assert!(self.rules.challenges.is_some() && request.integrity().is_some());
            out.take(&closing);
        }
        let answer = Message::parse(&answer).unwrap();
        let code = error_code(&answer);
        assert!(codes.contains(&code), "expected one of {codes:?}, got {code}");
        assert_eq!(answer.integrity(), None, "there is no key to sign with");
        assert_eq!(answer.has_fingerprint(), request.has_fingerprint());
        assert!(!answer.has(AttributeType::SOFTWARE));
        if code == 400 {
            assert!(!answer.has(AttributeType::NONCE) && !answer.has(AttributeType::REALM));
            return;
        }
        assert_eq!(answer.get(AttributeType::REALM), Some(REALM.as_bytes()));
        let nonce = answer.get(AttributeType::NONCE).expect("a challenge brings a nonce");
        let is_bare = request.bytes().len() == 20 && !client.is_stream();
        // A request with nothing in it gets a nonce that is only there to be short, and never good (THREATS L02).
        if nonce.starts_with(b"obMatJos2") {
            self.nonces.issue(nonce, challenged(client), now.mono);
        } else {
            let has_nothing = request.attributes().next().is_none() && !client.is_stream();
            assert!(has_nothing, "a nonce without the cookie (RFC 8489 §9.2)");
        }
        self.challenge = Some(nonce.to_vec());
        let offer = if is_bare { None } else { Some(self.offer()) };
        // A FINGERPRINT alone is an attribute, but says nothing of what the client knows.
        if is_bare || request.attributes().next().is_some() {
            assert_eq!(answer.get(AttributeType::PASSWORD_ALGORITHMS), offer);
        }
    }

    /// Whether the core took a nonce that is neither young nor old for a stale one.
    fn is_called_stale(&self, client: FiveTuple, request: &Message<'_>, out: &Outputs) -> bool {
        let answer = out.list.iter().find_map(|output| match output {
            Owned::ToClient { client: to, bytes } if *to == client => {
                let answer = Message::parse(bytes).ok()?;
                (answer.header().transaction == request.header().transaction).then_some(answer)
            }
            _ => None,
        });
        match answer {
            Some(answer) => answer.header().class == Class::Error && error_code(&answer) == 438,
            // The answer may have been too much for its source, unless relay sockets are awaited first.
            None => {
                self.rules.challenges.is_some()
                    && !client.is_stream()
                    && !out.list.iter().any(|output| matches!(output, Owned::OpenRelay { .. }))
            }
        }
    }

    fn offer(&self) -> &'static [u8] {
        if self.cast.has_sha256 { &[0, 2, 0, 0, 0, 1, 0, 0] } else { &[0, 1, 0, 0] }
    }
}

/// Whom a challenge is for: over a connection the host, whatever its port.
fn challenged(client: FiveTuple) -> SocketAddr {
    let port = if client.is_stream() { 0 } else { client.client().port() };
    SocketAddr::new(client.client().ip(), port)
}

/// When the last second of a credential is over, on the clock that never jumps.
pub(super) fn until(now: Moment, expires: Option<u64>) -> u64 {
    expires.map_or(u64::MAX, |expires| now.mono + (expires.saturating_sub(now.unix) + 1) * 1000)
}

/// A Refresh with a lifetime of 0, for which no credential is too old.
fn gives_back(request: &Message<'_>) -> bool {
    request.header().method == turnbridge::wire::Method::REFRESH
        && request.get(AttributeType::LIFETIME) == Some(&[0; 4])
}

pub(super) fn error_code(answer: &Message<'_>) -> u16 {
    assert_eq!(answer.header().class, Class::Error, "an error is expected");
    let value = answer.get(AttributeType::ERROR_CODE).expect("an error has a code");
    u16::from(value[2]) * 100 + u16::from(value[3])
}
