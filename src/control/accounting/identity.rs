//! Names of records that no other record has, on any server, at any time.

use std::{fmt, io};

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::control::sessions::SessionId;

/// Names allocations of one run of the server.
#[derive(Debug)]
pub(super) struct Identities {
    run: [u8; 16],
}

/// What all records of one allocation share: a UUID of version 8 (RFC 9562 §5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RecordId(pub(super) [u8; 16]);

impl Identities {
    /// For a run that begins now.
    pub(super) fn random() -> io::Result<Self> {
        let mut run = [0; 16];
        getrandom::fill(&mut run).map_err(io::Error::other)?;
        Ok(Self { run })
    }

    /// The name of an allocation, the same each time.
    pub(super) fn of(&self, SessionId { worker, allocation }: SessionId) -> RecordId {
        let mut hash = Sha256::new();
        hash.update(self.run);
        hash.update(worker.to_be_bytes());
        hash.update(allocation.index.to_be_bytes());
        hash.update(allocation.generation.to_be_bytes());
        RecordId::from_random(hash.finalize().first_chunk().copied().unwrap_or_default())
    }
}

impl RecordId {
    /// One that is nobody else's.
    pub(super) fn random() -> Self {
        let mut bytes = [0; 16];
        // A system without random numbers would not have come this far.
        let _ = getrandom::fill(&mut bytes);
        Self::from_random(bytes)
    }

    /// Of bytes that are as good as random.
    fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0F | 0x80;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for RecordId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::AllocationId;
    use std::collections::HashSet;

    #[test]
    fn an_allocation_has_one_name_and_no_other_has_it() {
        let runs = [Identities::random().unwrap(), Identities::random().unwrap()];
        let mut seen = HashSet::new();
        for run in &runs {
            for worker in 0..3 {
                for (index, generation) in [(0, 1), (0, 2), (1, 2), (1, 0)] {
                    let allocation = AllocationId { index, generation };
                    let session = SessionId { worker, allocation };
                    let id = run.of(session);
                    assert_eq!(id, run.of(session));
                    assert!(seen.insert(id.to_string()), "{worker} {allocation:?}");
                }
            }
        }
    }

    #[test]
    fn it_is_written_as_a_uuid() {
        assert_eq!(RecordId::from_random([0xFF; 16]).to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(RecordId::from_random([0; 16]).to_string(), "00000000-0000-8000-8000-000000000000");
    }
}
