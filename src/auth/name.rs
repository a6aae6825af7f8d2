//! What may be a user name, a realm or a password, and how it is prepared before hashing (RFC 8265).

use std::{borrow::Cow, fmt};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The longest USERNAME: fewer than 509 bytes (RFC 8489 §14.3).
pub const MAX_USERNAME: usize = 508;

/// Why a string cannot be a name; none of these can ever have been accepted by a careful client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadName {
    /// An empty string identifies nobody.
    Empty,
    /// More than [`MAX_USERNAME`] bytes.
    TooLong,
    /// USERNAME is UTF-8 (RFC 8489 §14.3).
    NotUtf8,
    /// A control, line-breaking or invisible direction character, which OpaqueString forbids (RFC 8265 §4.2.1).
    /// It would also let a user name forge or reorder a log line.
    ForbiddenCharacter,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is longer than 508 bytes",
            Self::NotUtf8 => "it is not UTF-8",
            Self::ForbiddenCharacter => "it contains a control or invisible character",
        })
    }
}

/// Checks a user name from the wire. It is not normalised: the client has done that, and hashed the result.
pub fn check_username(bytes: &[u8]) -> Result<&str, BadName> {
    if bytes.is_empty() {
        return Err(BadName::Empty);
    }
    if bytes.len() > MAX_USERNAME {
        return Err(BadName::TooLong);
    }
    let name = str::from_utf8(bytes).map_err(|_| BadName::NotUtf8)?;
    match name.chars().any(is_forbidden) {
        true => Err(BadName::ForbiddenCharacter),
        false => Ok(name),
    }
}

/// Prepares a realm, a configured user name or a password as OpaqueString (RFC 8265 §4.2): spaces of any script
/// become U+0020, then NFC. What is plain ASCII comes back as it was.
pub fn opaque_string(text: &str) -> Result<Cow<'_, str>, BadName> {
    if text.is_empty() {
        return Err(BadName::Empty);
    }
    if text.chars().any(is_forbidden) {
        return Err(BadName::ForbiddenCharacter);
    }
    if is_nfc(text) && !text.contains(is_foreign_space) {
        return Ok(Cow::Borrowed(text));
    }
    let spaced = text.chars().map(|char| if is_foreign_space(char) { ' ' } else { char });
    Ok(Cow::Owned(spaced.nfc().collect()))
}

/// The spaces (category Zs) other than U+0020.
fn is_foreign_space(char: char) -> bool {
    matches!(char, '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

/// Controls, line and paragraph separators, and the invisible characters that change how their neighbours are shown.
/// The joiners U+200C and U+200D are letters' business in some scripts and stay allowed (RFC 8264 §9.8).
fn is_forbidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_user_names_that_could_harm_a_log_are_refused() {
        let long = [b'a'; 513];
        let cases: &[(&str, &[u8], Result<&str, BadName>)] = &[
            ("empty", b"", Err(BadName::Empty)),
            ("513 bytes", &long, Err(BadName::TooLong)),
            ("509 bytes", &long[..509], Err(BadName::TooLong)),
            ("NUL", b"1760000000:a\0b", Err(BadName::ForbiddenCharacter)),
            ("newline", b"alice\n", Err(BadName::ForbiddenCharacter)),
            ("escape", b"\x1b[31malice", Err(BadName::ForbiddenCharacter)),
            ("next line", "a\u{85}b".as_bytes(), Err(BadName::ForbiddenCharacter)),
            ("line separator", "a\u{2028}b".as_bytes(), Err(BadName::ForbiddenCharacter)),
            ("right-to-left override", "a\u{202E}b".as_bytes(), Err(BadName::ForbiddenCharacter)),
            ("right-to-left mark", "a\u{200F}b".as_bytes(), Err(BadName::ForbiddenCharacter)),
            ("not UTF-8", &[b'a', 0xFF], Err(BadName::NotUtf8)),
            ("format string", b"%s%n", Ok("%s%n")),
            ("quotes", b"'; DROP TABLE x; --", Ok("'; DROP TABLE x; --")),
            ("Arabic", "سارة".as_bytes(), Ok("سارة")),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(check_username(bytes), *expected, "{name}");
        }
        assert!(check_username(&long[..508]).is_ok());
    }

    #[test]
    fn opaque_string_composes_and_maps_spaces() {
        let cases = [
            ("plain ascii ~", Ok("plain ascii ~")),
            // The example of RFC 8265 §4.3: case is kept, an Ogham space mark becomes a space.
            ("foo\u{1680}bar", Ok("foo bar")),
            ("π\u{DF}å", Ok("π\u{DF}å")),
            ("A\u{30A}", Ok("\u{C5}")),
            ("my cat is a \u{9}by", Err(BadName::ForbiddenCharacter)),
            ("", Err(BadName::Empty)),
        ];
        for (text, expected) in cases {
            assert_eq!(opaque_string(text).as_deref(), expected.as_deref(), "{text}");
        }
    }
}
