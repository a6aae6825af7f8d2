//! Allocations of all workers, as operators name, list and end them.

use std::fmt;
use std::str::FromStr;

use super::plane::{Plane, Unanswered};
use crate::turn::{AllocationId, EndReason, Session, SessionDetail};

/// The name of an allocation on the whole server: its worker, its place there, and which one in that place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// The worker's number.
    pub worker: u16,
    /// What the worker calls it.
    pub allocation: AllocationId,
}

/// Like `0-17-93`.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.worker, self.allocation.index, self.allocation.generation)
    }
}

/// A text that names no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSessionId;

impl FromStr for SessionId {
    type Err = NoSessionId;

    fn from_str(text: &str) -> Result<Self, NoSessionId> {
        let mut parts = text.split('-');
        let mut next = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        let (worker, index, generation) = (next(), next(), next());
        let number = |part: Option<&str>| part.and_then(|part| part.parse().ok()).ok_or(NoSessionId);
        let worker = u16::try_from(number(worker)?).map_err(|_| NoSessionId)?;
        let allocation = AllocationId { index: number(index)?, generation: number(generation)? };
        if parts.next().is_some() { Err(NoSessionId) } else { Ok(Self { worker, allocation }) }
    }
}

/// Places of a worker's table that it looks at in one go: some tens of microseconds.
const PLACES: u32 = 512;

impl Plane {
    /// All allocations, in the order of their names. What begins or ends meanwhile may be missing or still be there.
    pub async fn sessions(&self) -> Result<Vec<(SessionId, Session)>, Unanswered> {
        let mut all = Vec::new();
        for (worker, line) in (0..).zip(self.workers()) {
            let mut from = Some(0);
            while let Some(place) = from {
                let (found, next) =
                    self.ask(line, move |relay, now, _| relay.sessions(now, place, PLACES)).await?;
                let named = |session: Session| (SessionId { worker, allocation: session.id }, session);
                all.extend(found.into_iter().map(named));
                from = next;
            }
        }
        Ok(all)
    }

    /// One allocation with all it has; `None` when there is none of this name.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionDetail>, Unanswered> {
        let Some(line) = self.workers().get(usize::from(id.worker)) else { return Ok(None) };
        self.ask(line, move |relay, now, _| relay.session(now, id.allocation)).await
    }

    /// Ends one allocation; says whether it was there.
    pub async fn kick(&self, id: SessionId) -> Result<bool, Unanswered> {
        let Some(line) = self.workers().get(usize::from(id.worker)) else { return Ok(false) };
        self.ask(line, move |relay, now, mut out| relay.kick(now, id.allocation, &mut out)).await
    }

    /// Ends all allocations of a credential or a user; says how many there were.
    pub async fn end_user(&self, name: &str, reason: EndReason) -> Result<usize, Unanswered> {
        let name: Box<str> = name.into();
        let ended =
            self.ask_all(move |relay, now, mut out| relay.end_user(now, &name, reason, &mut out)).await;
        ended.into_iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_nothing_else_is_one() {
        let id = SessionId { worker: 3, allocation: AllocationId { index: 17, generation: u32::MAX } };
        assert_eq!(id.to_string(), "3-17-4294967295");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in
            ["", "1", "1-2", "1-2-3-4", "1-2-x", "-1-2-3", "70000-1-1", "1-2-4294967296", "+1-2-3", "1--3"]
        {
            assert_eq!(bad.parse::<SessionId>(), Err(NoSessionId), "{bad}");
        }
    }
}
