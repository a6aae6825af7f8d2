//! Time-limited credentials ("TURN REST API", draft-uberti-behave-turn-rest-00): the user name carries its own
//! expiry, the password is an HMAC of it, so that an application and this server need to share one secret only.

use super::{Secret, encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt;
use zeroize::Zeroizing;

/// A time-limited user name, taken apart. The forms are `expiry:id`, `id:expiry` and `expiry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestName<'a> {
    /// Unix seconds; the credential is good up to and including this second.
    pub expiry: u64,
    /// Whose allocations these are, for quotas and logs: the same for every credential of one user. The whole name
    /// when there is no id in it.
    pub id: &'a str,
}

impl<'a> RestName<'a> {
    /// `None` when there is no time in it, so that it can only be a static user's name.
    ///
    /// A number before the first separator is the expiry; otherwise a number behind the last one is. An id that is
    /// itself a number can therefore not move the expiry of `expiry:id`, whoever chooses the id.
    pub fn parse(name: &'a str, separator: Separator) -> Option<Self> {
        let (expiry, id) = match (name.split_once(separator.0), name.rsplit_once(separator.0)) {
            (Some((time, id)), _) if is_number(time) => (time, id),
            (_, Some((id, time))) if is_number(time) => (time, id),
            (None, _) if is_number(name) => (name, ""),
            _ => return None,
        };
        // A number that does not fit is no time: refused as an unknown name, rather than read as something near.
        let expiry = expiry.parse().ok()?;
        Some(Self { expiry, id: if id.is_empty() { name } else { id } })
    }
}

/// The character between expiry and id: `:` unless the application that mints says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator(char);

impl Separator {
    /// Not a digit, since it ends a number, and not a control character, since it is part of a name.
    pub fn new(char: char) -> Option<Self> {
        (!char.is_ascii_digit() && super::name::check_username(char.to_string().as_bytes()).is_ok())
            .then_some(Self(char))
    }

    /// The character itself.
    pub fn as_char(self) -> char {
        self.0
    }
}

impl Default for Separator {
    fn default() -> Self {
        Self(':')
    }
}

/// A shared secret, ready to compute passwords: the HMAC key is set up once.
#[derive(Clone)]
pub struct RestSecret(Hmac<Sha1>);

impl RestSecret {
    /// Prepares `secret` for use.
    pub fn new(secret: &Secret) -> Self {
        Self(Hmac::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length"))
    }

    /// Makes a credential for `id` that is good until `expiry` (Unix seconds); without an id when that is empty.
    pub fn mint(&self, id: &str, expiry: u64, separator: Separator) -> (String, RestPassword) {
        let username = match id {
            "" => expiry.to_string(),
            id => format!("{expiry}{}{id}", separator.0),
        };
        let password = self.password(&username);
        (username, password)
    }

    /// The password that belongs to `username`.
    pub fn password(&self, username: &str) -> RestPassword {
        let mut mac = self.0.clone();
        mac.update(username.as_bytes());
        let mut text = Zeroizing::new([0; RestPassword::LEN]);
        encoding::base64_into(&mac.finalize().into_bytes(), text.as_mut_slice());
        RestPassword(text)
    }
}

impl fmt::Debug for RestSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestSecret(..)")
    }
}

/// `base64(HMAC-SHA1(secret, username))`, 28 characters. Printing it gives a mask.
pub struct RestPassword(Zeroizing<[u8; Self::LEN]>);

impl RestPassword {
    const LEN: usize = encoding::base64_len(20);

    /// The text that the client is given, and that goes into the key.
    pub fn expose(&self) -> &str {
        str::from_utf8(self.0.as_slice()).expect("base64 is ASCII")
    }

    /// Compares in constant time with what somebody presented.
    pub fn matches(&self, presented: &str) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_slice(), presented.as_bytes()).into()
    }
}

impl fmt::Debug for RestPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestPassword(***)")
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a09_known_passwords_are_reproduced() {
        let cases = [
            ("north", "1266890800:mbzrxpgjys", "nbRcrnq5h6xXhyNhlwk+lDLvVVo="),
            ("rest-secret", "1760000000:alice", "zJPXkwuqCr56jVDlqk1KOUl6mGM="),
            ("rest-secret", "1760000000", "OQEMVLnBopr5MhEUdItadN9DrYM="),
        ];
        for (secret, username, expected) in cases {
            let password = RestSecret::new(&Secret::new(secret)).password(username);
            assert_eq!(password.expose(), expected, "{username}");
            assert!(password.matches(expected));
            assert!(!password.matches(&expected.to_lowercase()) && !password.matches(""));
            assert_eq!(format!("{password:?}"), "RestPassword(***)");
        }
    }

    #[test]
    fn what_is_minted_reads_back() {
        let secret = RestSecret::new(&Secret::new("rest-secret"));
        let cases = [
            ("alice", ':', "1760000000:alice", "zJPXkwuqCr56jVDlqk1KOUl6mGM="),
            ("", ':', "1760000000", "OQEMVLnBopr5MhEUdItadN9DrYM="),
        ];
        for (id, separator, username, password) in cases {
            let minted = secret.mint(id, 1_760_000_000, Separator::new(separator).unwrap());
            assert_eq!((minted.0.as_str(), minted.1.expose()), (username, password));
        }
        let (username, _) = secret.mint("7:x", 1_760_000_000, Separator::new('|').unwrap());
        let name = RestName::parse(&username, Separator::new('|').unwrap()).unwrap();
        assert_eq!((name.expiry, name.id), (1_760_000_000, "7:x"));
    }

    #[test]
    fn a08_every_form_of_a_time_limited_name_has_a_documented_meaning() {
        let cases: &[(&str, Option<(u64, &str)>)] = &[
            ("1760000000:alice", Some((1_760_000_000, "alice"))),
            ("alice:1760000000", Some((1_760_000_000, "alice"))),
            ("1760000000", Some((1_760_000_000, "1760000000"))),
            // An id with separators in it stays whole.
            ("1760000000:room:7:alice", Some((1_760_000_000, "room:7:alice"))),
            ("room:alice:1760000000", Some((1_760_000_000, "room:alice"))),
            // Two numbers: the first is the time, so that a numeric id cannot prolong anything.
            ("1760000000:9999999999", Some((1_760_000_000, "9999999999"))),
            // An empty id is no id.
            ("1760000000:", Some((1_760_000_000, "1760000000:"))),
            (":1760000000", Some((1_760_000_000, ":1760000000"))),
            ("0", Some((0, "0"))),
            ("9223372036854775809:a", Some((9_223_372_036_854_775_809, "a"))),
            ("18446744073709551615:a", Some((u64::MAX, "a"))),
            ("18446744073709551616:a", None),
            ("99999999999999999999999999999999:a", None),
            ("-1760000000:alice", None),
            ("+1760000000:alice", None),
            (" 1760000000:alice", None),
            ("0x68E7:alice", None),
            ("1.76e9:alice", None),
            ("١٧٦٠٠٠٠٠٠٠:alice", None),
            ("alice", None),
            (":", None),
            ("::", None),
            ("", None),
        ];
        for (name, expected) in cases {
            let parsed = RestName::parse(name, Separator::default()).map(|name| (name.expiry, name.id));
            assert_eq!(parsed, *expected, "{name}");
        }
    }

    #[test]
    fn another_separator_is_honoured_and_the_usual_one_is_then_part_of_the_id() {
        let separator = Separator::new('|').unwrap();
        let parsed = RestName::parse("1760000000|a:b", separator).unwrap();
        assert_eq!((parsed.expiry, parsed.id), (1_760_000_000, "a:b"));
        assert_eq!(RestName::parse("1760000000:a", separator), None);
        for bad in ['7', '\n', '\0', '\u{202E}'] {
            assert_eq!(Separator::new(bad), None, "{bad:?}");
        }
    }
}
