//! Where messages begin and end in a stream (RFC 8489 §6.2.2, RFC 8656 §12.5).
//!
//! Over TCP nothing but the lengths in their headers tells STUN messages and ChannelData frames apart, so a stream in
//! which one header is wrong is lost for good.

use super::header::{Header, MAGIC_COOKIE};

/// The longest frame: ChannelData with a payload of 65,535 bytes and its padding. No STUN message is longer.
pub const FRAME_MAX: usize = 4 + 65_535 + 1;

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole frame, without padding, and what follows it.
    Frame(&'a [u8], &'a [u8]),
    /// A part of a frame that will be this long with its padding, as far as can be told yet.
    Part(usize),
}

/// Why a stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// Neither a STUN message nor a ChannelData frame begins like this.
    FirstByte,
    /// A STUN message ends at a multiple of four.
    Length,
    /// A STUN message without the magic cookie; over streams there are no clients from before it.
    Cookie,
}

/// Finds the first frame of a stream.
#[inline]
pub fn next_frame(stream: &[u8]) -> Result<Next<'_>, Garbage> {
    const HEAD: usize = 4;
    let first = match stream.first() {
        Some(first @ 0x00..=0x7F) if !(0x04..0x40).contains(first) => first,
        Some(_) => return Err(Garbage::FirstByte),
        None => return Ok(Next::Part(HEAD)),
    };
    let Some(head) = stream.first_chunk::<HEAD>() else { return Ok(Next::Part(HEAD)) };
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let (frame, padded) = if *first < 0x40 {
        if length % 4 != 0 {
            return Err(Garbage::Length);
        }
        if stream.get(4..8).is_some_and(|cookie| cookie != MAGIC_COOKIE.to_be_bytes()) {
            return Err(Garbage::Cookie);
        }
        (Header::LENGTH + length, Header::LENGTH + length)
    } else {
        (HEAD + length, (HEAD + length).next_multiple_of(4))
    };
    Ok(stream
        .split_at_checked(padded)
        .map_or(Next::Part(padded), |(whole, rest)| Next::Frame(whole.get(..frame).unwrap_or(whole), rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Binding request, ChannelData of five bytes with padding, ChannelData without payload.
    fn stream() -> Vec<u8> {
        let mut stream = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        stream.extend([7; 12]);
        stream.extend([0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
        stream.extend([0x7F, 0xFF, 0, 0]);
        stream
    }

    #[test]
    fn coalesced_frames_come_apart_wherever_the_stream_is_split() {
        let stream = stream();
        let whole = [&stream[..20], &stream[20..29], &stream[32..36]];
        for split in 0..=stream.len() {
            let mut frames = Vec::new();
            let mut kept = Vec::new();
            for piece in [&stream[..split], &stream[split..]] {
                kept.extend_from_slice(piece);
                let mut rest = kept.as_slice();
                while let Next::Frame(frame, behind) = next_frame(rest).unwrap() {
                    frames.push(frame.to_vec());
                    rest = behind;
                }
                kept = rest.to_vec();
            }
            assert_eq!(frames, whole, "split at {split}");
            assert!(kept.is_empty());
        }
    }

    #[test]
    fn a_part_tells_how_long_it_will_be() {
        let cases: &[(&[u8], usize)] = &[
            (&[], 4),
            (&[0, 1, 0], 4),
            (&[0, 1, 0, 8, 0x21, 0x12], 28),
            (&[0x40, 0, 0, 5, 1, 2, 3, 4, 5], 12),
            (&[0x4F, 0xFF, 0xFF, 0xFF], FRAME_MAX),
        ];
        for (bytes, expected) in cases {
            assert_eq!(next_frame(bytes), Ok(Next::Part(*expected)), "{bytes:?}");
        }
    }

    #[test]
    fn a_wrong_header_ends_the_stream() {
        let cases: &[(&str, &[u8], Garbage)] = &[
            ("a TLS handshake", &[0x16, 3, 1, 0], Garbage::FirstByte),
            ("RTP", &[0x80, 0], Garbage::FirstByte),
            ("an odd length", &[0, 1, 0, 2], Garbage::Length),
            ("no cookie", &[0, 1, 0, 0, 1, 2, 3, 4], Garbage::Cookie),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(next_frame(bytes), Err(*expected), "{name}");
        }
    }
}
