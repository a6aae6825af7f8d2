//! What a relayed datagram carries, so that its receiver can tell whose it is, whether it came before, and
//! whether a byte changed on the way.

/// The smallest payload that can be told apart: the stamp alone.
pub(super) const STAMP_LEN: usize = 16;

/// Which way a payload travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client to its peer.
    Up,
    /// From the peer to the client.
    Down,
}

/// Whose payload it is, and which one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) flow: u32,
    pub(super) direction: Direction,
    pub(super) sequence: u32,
}

/// Why a received payload is not one that this phase sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Stamped by another phase (a straggler of the warm-up) or by another program.
    Foreign,
    /// Shorter, longer or with other bytes than were sent.
    Corrupted,
}

/// Writes and checks payloads. The body is a window into one table of noise, at a place that depends on the stamp:
/// two payloads that got mixed up differ, yet writing and checking one costs no more than a `memcpy` and a `memcmp`.
pub(super) struct Pattern {
    phase: u32,
    noise: Vec<u8>,
}

impl Pattern {
    /// `phase` is in every stamp; `longest` is the size of the largest payload.
    pub(super) fn new(phase: u32, longest: usize) -> Self {
        let mut state = u64::from(phase);
        let noise = std::iter::repeat_with(|| splitmix(&mut state).to_le_bytes())
            .take((PLACES + longest).div_ceil(8))
            .flatten()
            .collect();
        Self { phase, noise }
    }

    /// Fills `payload`, which must have room for a stamp.
    pub(super) fn write(&self, stamp: Stamp, payload: &mut [u8]) {
        let head = self.head(stamp, payload.len());
        payload[..STAMP_LEN].copy_from_slice(&head);
        let body = &mut payload[STAMP_LEN..];
        body.copy_from_slice(self.body(stamp, body.len()));
    }

    /// Says whose payload it is if every byte is as it was written.
    pub(super) fn check(&self, payload: &[u8]) -> Result<Stamp, Damage> {
        let (head, body) = payload.split_first_chunk::<STAMP_LEN>().ok_or(Damage::Corrupted)?;
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if word(0) != self.phase {
            return Err(Damage::Foreign);
        }
        let direction = if word(4) & DOWN == 0 { Direction::Up } else { Direction::Down };
        let stamp = Stamp { flow: word(4) & !DOWN, direction, sequence: word(8) };
        if *head != self.head(stamp, payload.len()) || body.len() > self.noise.len() - PLACES {
            return Err(Damage::Corrupted);
        }
        if body != self.body(stamp, body.len()) {
            return Err(Damage::Corrupted);
        }
        Ok(stamp)
    }

    /// Phase, flow and direction, sequence, and a checksum over these and the length.
    fn head(&self, stamp: Stamp, length: usize) -> [u8; STAMP_LEN] {
        let owner = match stamp.direction {
            Direction::Up => stamp.flow,
            Direction::Down => stamp.flow | DOWN,
        };
        let mut head = [0; STAMP_LEN];
        head[0..4].copy_from_slice(&self.phase.to_be_bytes());
        head[4..8].copy_from_slice(&owner.to_be_bytes());
        head[8..12].copy_from_slice(&stamp.sequence.to_be_bytes());
        let mut state = u64::from(self.phase) << 32 | u64::from(owner);
        let mixed = splitmix(&mut state) ^ (u64::from(stamp.sequence) << 16) ^ length as u64;
        let check = splitmix(&mut { mixed }).to_be_bytes();
        head[12..16].copy_from_slice(&check[..4]);
        head
    }

    fn body(&self, stamp: Stamp, length: usize) -> &[u8] {
        // Odd multipliers, so that neighbours in either number lie far apart in the table.
        let mixed = stamp.flow.wrapping_mul(2_654_435_761) ^ stamp.sequence.wrapping_mul(40_503);
        let place = mixed as usize % PLACES;
        &self.noise[place..place + length]
    }
}

const DOWN: u32 = 1 << 31;
const PLACES: usize = 4096;

/// The next number of Vigna's splitmix64, which needs no more than one word of state.
pub(super) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { flow: 7, direction: Direction::Down, sequence: 3 };

    #[test]
    fn a_written_payload_names_its_owner() {
        let pattern = Pattern::new(1, 1200);
        for length in [STAMP_LEN, 17, 160, 1200] {
            let mut payload = vec![0; length];
            pattern.write(STAMP, &mut payload);
            assert_eq!(pattern.check(&payload), Ok(STAMP), "{length}");
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let pattern = Pattern::new(1, 160);
        let mut payload = vec![0; 160];
        for at in 0..payload.len() {
            pattern.write(STAMP, &mut payload);
            payload[at] ^= 0x10;
            assert!(pattern.check(&payload).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_cut_or_grown_payload_is_noticed() {
        let pattern = Pattern::new(1, 160);
        let mut payload = vec![0; 160];
        pattern.write(STAMP, &mut payload);
        assert_eq!(pattern.check(&payload[..159]), Err(Damage::Corrupted));
        assert_eq!(pattern.check(&payload[..15]), Err(Damage::Corrupted));
        payload.push(0);
        assert_eq!(pattern.check(&payload), Err(Damage::Corrupted));
        payload.resize(60_000, 0);
        assert_eq!(pattern.check(&payload), Err(Damage::Corrupted));
    }

    #[test]
    fn a_body_of_another_payload_is_noticed() {
        let pattern = Pattern::new(1, 160);
        let (mut one, mut other) = (vec![0; 160], vec![0; 160]);
        pattern.write(STAMP, &mut one);
        pattern.write(Stamp { sequence: 4, ..STAMP }, &mut other);
        one[STAMP_LEN..].copy_from_slice(&other[STAMP_LEN..]);
        assert_eq!(pattern.check(&one), Err(Damage::Corrupted));
    }

    #[test]
    fn a_payload_of_another_phase_is_foreign() {
        let mut payload = vec![0; 160];
        Pattern::new(1, 160).write(STAMP, &mut payload);
        assert_eq!(Pattern::new(2, 160).check(&payload), Err(Damage::Foreign));
    }
}
