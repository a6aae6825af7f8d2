//! The text encodings of credentials: base64 for minted passwords, its form for URLs for keys of ACME accounts,
//! hexadecimal for stored keys.

use zeroize::Zeroizing;

/// Standard base64 with padding, written into a buffer of exactly the right size; no allocation.
pub const fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Encodes `bytes` into `out`, which must be `base64_len(bytes.len())` long; what does not fit is left out.
pub fn base64_into(bytes: &[u8], out: &mut [u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (group, text) in bytes.chunks(3).zip(out.chunks_exact_mut(4)) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, char) in text.iter_mut().enumerate() {
            // The first character is always there; each further one only when its byte is.
            *char = match at <= group.len() {
                true => ALPHABET[(bits >> (18 - 6 * at) & 0x3F) as usize],
                false => b'=',
            };
        }
    }
}

/// Reads standard base64, with or without its padding; `None` for any other text.
pub fn base64_decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    decode(text, *b"+/")
}

/// Reads base64 in the alphabet for URLs (RFC 4648 §5), with or without its padding; `None` for any other text.
pub fn base64url_decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    decode(text, *b"-_")
}

/// The two alphabets differ in their last two characters.
fn decode(text: &str, last: [u8; 2]) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 2));
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for (at, char) in group.iter().enumerate() {
            let value = match char {
                b'A'..=b'Z' => char - b'A',
                b'a'..=b'z' => char - b'a' + 26,
                b'0'..=b'9' => char - b'0' + 52,
                char if *char == last[0] => 62,
                char if *char == last[1] => 63,
                _ => return None,
            };
            bits |= u32::from(value) << (18 - 6 * at);
        }
        let [_, first, second, third] = bits.to_be_bytes();
        let decoded = Zeroizing::new([first, second, third]);
        let (complete, rest) = decoded.split_at(group.len() - 1);
        // One character alone is no byte, and what does not fill a byte must be zero.
        if complete.is_empty() || rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(complete);
    }
    Some(bytes)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads exactly `out.len()` bytes of hexadecimal, in either case; `None` for any other length or character.
pub fn hex_decode(text: &str, out: &mut [u8]) -> Option<()> {
    if text.len() != out.len() * 2 {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for (pair, byte) in text.as_bytes().chunks_exact(2).zip(out) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_vectors_of_rfc_4648() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, expected) in cases {
            let mut out = vec![0; base64_len(plain.len())];
            base64_into(plain.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut out = [0; 4];
        base64_into(&[0xFB, 0xFF, 0xFE], &mut out);
        assert_eq!(&out, b"+//+");
    }

    #[test]
    fn base64url_is_read_with_and_without_padding_and_nothing_else_is() {
        let cases =
            [("", ""), ("Zg", "f"), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")];
        for (text, expected) in cases {
            assert_eq!(base64url_decode(text).unwrap().as_slice(), expected.as_bytes(), "{text}");
        }
        assert_eq!(base64url_decode("-__-").unwrap().as_slice(), [0xFB, 0xFF, 0xFE]);
        assert_eq!(base64_decode("+//+").unwrap().as_slice(), [0xFB, 0xFF, 0xFE]);
        assert!(base64_decode("-__-").is_none());
        for bad in ["Z", "Zm9vY", "Zh", "Zm9", "+//+", "Zm 9v", "Zm9v\n", "é"] {
            assert!(base64url_decode(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn hexadecimal_goes_both_ways_and_refuses_the_rest() {
        let mut out = [0; 3];
        assert_eq!(hex_decode("00fFa5", &mut out), Some(()));
        assert_eq!(hex(&out), "00ffa5");
        for bad in ["00ffa", "00ffa55a", "00ffg5", "é0ff5"] {
            assert_eq!(hex_decode(bad, &mut out), None, "{bad}");
        }
    }
}
