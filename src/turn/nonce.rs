//! Nonces that need no memory: a keyed hash of the client's address and the time (RFC 8489 §9.2).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::time::Millis;
use crate::auth::encoding::{base64_into, base64_len};

/// Says that the server speaks RFC 8489; four characters of security features follow (RFC 8489 §9.2).
const COOKIE: &[u8; 9] = b"obMatJos2";
const FEATURES_LENGTH: usize = 4;
/// 72 bits: whoever guesses them gains a replay, not a password.
const HASH: usize = 9;
/// Enough to differ between clients, for who sent nothing that could be challenged.
const SHORT_HASH: usize = 6;
/// How far back a nonce of before a reload is recognised, and the most slots that are looked at for it.
const REMEMBERED_MS: u64 = 3_600_000;
const MOST_SLOTS: u64 = 12;
const LENGTH: usize = COOKIE.len() + FEATURES_LENGTH + base64_len(HASH);

/// What the nonce says the server can do (RFC 8489 §18.1). Since the client sends the nonce back under its
/// integrity, nobody in between can take a feature away unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SecurityFeatures {
    /// PASSWORD-ALGORITHMS is offered.
    pub(super) password_algorithms: bool,
    /// USERHASH may stand for USERNAME.
    pub(super) username_anonymity: bool,
    /// What PASSWORD-ALGORITHMS says. It is in no bit that the client can read, but a nonce is only good beside the list
    /// it was sent with.
    pub(super) both_algorithms: bool,
}

/// Makes and checks nonces. Workers share the key, so that a nonce is good on all of them.
#[derive(Clone)]
pub(super) struct Nonces {
    keyed: Hmac<Sha256>,
    /// A nonce is good in the slot it was made in and in the next one.
    slot: u64,
}

/// A nonce as it stands in the attribute.
#[derive(Clone, Copy)]
pub(super) struct Nonce {
    text: [u8; LENGTH],
    length: usize,
}

/// What a nonce that came back is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NonceCheck {
    /// Ours, this client's, and young.
    Fresh,
    /// Anything else.
    Stale,
}

impl Nonces {
    /// `lifetime` is the longest a nonce is good; the shortest is half of it.
    pub(super) fn new(key: &[u8; 32], lifetime: Duration) -> Self {
        let keyed = Hmac::new_from_slice(key).expect("an HMAC takes a key of any length");
        Self { keyed, slot: Self::slot(lifetime) }
    }

    /// From now on nonces live this long; those that are out become stale.
    pub(super) fn set_lifetime(&mut self, lifetime: Duration) {
        self.slot = Self::slot(lifetime);
    }

    fn slot(lifetime: Duration) -> u64 {
        u64::try_from(lifetime.as_millis() / 2).unwrap_or(u64::MAX).max(1)
    }

    /// A nonce for this client; it differs between clients (RFC 8489 §9.2.4).
    pub(super) fn issue(&self, client: SocketAddr, features: SecurityFeatures, now: Millis) -> Nonce {
        self.make(client, Some(features), now.0 / self.slot)
    }

    /// A nonce of eight characters without the cookie, for requests so small that the answer would be an
    /// amplifier (THREATS L02). It is never good: since it offers no features, whoever could make a client use it
    /// would have bid them down (RFC 8489 §9.2.1).
    pub(super) fn issue_short(&self, client: SocketAddr, now: Millis) -> Nonce {
        self.make(client, None, now.0 / self.slot)
    }

    /// Judges a nonce that a client sent.
    pub(super) fn check(
        &self,
        nonce: &[u8],
        client: SocketAddr,
        features: SecurityFeatures,
        now: Millis,
    ) -> NonceCheck {
        let slot = now.0 / self.slot;
        let mut good = Choice::from(0);
        for slot in [Some(slot), slot.checked_sub(1)].into_iter().flatten() {
            good |= self.make(client, Some(features), slot).as_bytes().ct_eq(nonce);
        }
        if bool::from(good) { NonceCheck::Fresh } else { NonceCheck::Stale }
    }

    /// Whether this is a nonce of ours for this client, be it as old as the longest allocation without a word.
    pub(super) fn was_issued(
        &self,
        nonce: &[u8],
        client: SocketAddr,
        features: SecurityFeatures,
        now: Millis,
    ) -> bool {
        let slot = now.0 / self.slot;
        let slots = (REMEMBERED_MS / self.slot).min(MOST_SLOTS);
        let is_of = |slot: u64| bool::from(self.make(client, Some(features), slot).as_bytes().ct_eq(nonce));
        (slot.saturating_sub(slots)..=slot).any(is_of)
    }

    fn make(&self, client: SocketAddr, features: Option<SecurityFeatures>, slot: u64) -> Nonce {
        let mut mac = self.keyed.clone();
        // The length of the slots too: after a reload their numbers begin to repeat.
        mac.update(&self.slot.to_be_bytes());
        mac.update(&slot.to_be_bytes());
        mac.update(&client.port().to_be_bytes());
        match client.ip() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        let mut text = [0; LENGTH];
        let Some(features) = features else {
            let hash = mac.finalize().into_bytes();
            let length = base64_len(SHORT_HASH);
            base64_into(&hash[..SHORT_HASH], &mut text[..length]);
            return Nonce { text, length };
        };
        mac.update(&[u8::from(features.both_algorithms)]);
        let features = features.bits();
        mac.update(&features);
        let hash = mac.finalize().into_bytes();
        let (cookie, rest) = text.split_at_mut(COOKIE.len());
        let (feature_text, hash_text) = rest.split_at_mut(FEATURES_LENGTH);
        cookie.copy_from_slice(COOKIE);
        base64_into(&features, feature_text);
        base64_into(&hash[..HASH], hash_text);
        Nonce { text, length: LENGTH }
    }
}

/// Whether a nonce says that PASSWORD-ALGORITHMS came with it, whoever has made it.
pub(super) fn offers_algorithms(nonce: &[u8]) -> bool {
    // The most significant bit of three bytes is that of the first of their four characters in base64 (RFC 4648 §4).
    let is_set = |first: &u8| matches!(first, b'g'..=b'z' | b'0'..=b'9' | b'+' | b'/');
    nonce.strip_prefix(COOKIE).and_then(<[u8]>::first).is_some_and(is_set)
}

impl Nonce {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl SecurityFeatures {
    /// Bit 0 is the most significant bit of the first byte (RFC 8489 §9.2).
    fn bits(self) -> [u8; 3] {
        [u8::from(self.password_algorithms) << 7 | u8::from(self.username_anonymity) << 6, 0, 0]
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").field("slot", &self.slot).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: SecurityFeatures =
        SecurityFeatures { password_algorithms: true, username_anonymity: false, both_algorithms: true };

    fn nonces() -> Nonces {
        Nonces::new(&[7; 32], Duration::from_secs(600))
    }

    fn client(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_nonce_is_good_for_its_client_until_it_is_old() {
        let nonces = nonces();
        let alice = client("192.0.2.1:1000");
        let made = Millis(1_000_000);
        let nonce = nonces.issue(alice, FEATURES, made);
        let check = |nonce: &Nonce, from, now| nonces.check(nonce.as_bytes(), from, FEATURES, now);
        assert_eq!(check(&nonce, alice, made), NonceCheck::Fresh);
        assert_eq!(check(&nonce, alice, made.after(Duration::from_secs(299))), NonceCheck::Fresh);
        assert_eq!(check(&nonce, alice, made.after(Duration::from_secs(600))), NonceCheck::Stale);
        assert_eq!(check(&nonce, client("192.0.2.2:1000"), made), NonceCheck::Stale, "A03: other address");
        assert_eq!(check(&nonce, client("192.0.2.1:1001"), made), NonceCheck::Stale, "A03: other port");
        let short = nonces.issue_short(alice, made);
        assert_eq!(
            check(&short, alice, made),
            NonceCheck::Stale,
            "it offers nothing, so it is worth nothing"
        );
    }

    #[test]
    fn nonces_of_another_lifetime_do_not_come_back() {
        let (mut nonces, alice) = (nonces(), client("192.0.2.1:1000"));
        nonces.set_lifetime(Duration::from_secs(60));
        // The hundredth half minute, and later the hundredth five minutes.
        let nonce = nonces.issue(alice, FEATURES, Millis(3_000_000));
        nonces.set_lifetime(Duration::from_secs(600));
        let later = nonces.check(nonce.as_bytes(), alice, FEATURES, Millis(30_000_000));
        assert_eq!(later, NonceCheck::Stale);
    }

    #[test]
    fn made_up_nonces_are_stale() {
        let nonces = nonces();
        for nonce in [&b""[..], b"x", b"AAAAAAAA", b"obMatJos2", b"obMatJos2gAAAAAAAAAAAAAAA", &[0xFF; 763]] {
            let check = nonces.check(nonce, client("192.0.2.1:1"), FEATURES, Millis(5));
            assert_eq!(check, NonceCheck::Stale, "{nonce:?}");
        }
    }

    #[test]
    fn the_cookie_tells_the_features() {
        let at = |password_algorithms, username_anonymity| {
            let both_algorithms = true;
            let features = SecurityFeatures { password_algorithms, username_anonymity, both_algorithms };
            nonces().issue(client("192.0.2.1:1"), features, Millis(0))
        };
        let cases = [
            (false, false, &b"obMatJos2AAAA"[..]),
            (true, false, b"obMatJos2gAAA"),
            (false, true, b"obMatJos2QAAA"),
            (true, true, b"obMatJos2wAAA"),
        ];
        for (algorithms, anonymity, cookie) in cases {
            let nonce = at(algorithms, anonymity);
            assert_eq!(&nonce.as_bytes()[..13], cookie);
            assert_eq!(offers_algorithms(nonce.as_bytes()), algorithms);
        }
    }
}
