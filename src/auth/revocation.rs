//! What an operator has revoked before its time: one credential, or all of a user's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;

/// Revocations of the whole server, shared by all snapshots of the credentials. Looking is cheap and never waits;
/// changing copies the list, which is short.
#[derive(Debug, Default)]
pub struct Revocations {
    list: ArcSwap<HashMap<Box<str>, Until>>,
    /// Held while the list is being changed.
    changing: Mutex<()>,
}

/// How long a name stays revoked: `None` is until an operator takes it back.
pub type Until = Option<u64>;

/// There are as many revocations as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// More are not remembered: whoever has that many should rotate the secret.
pub const MAX: usize = 10_000;

impl Revocations {
    /// Those of an earlier time.
    pub fn new(list: impl IntoIterator<Item = (Box<str>, Until)>) -> Self {
        Self { list: ArcSwap::from_pointee(list.into_iter().take(MAX).collect()), changing: Mutex::default() }
    }

    /// Whether a whole user name, or the user it belongs to, is revoked.
    pub fn cover(&self, username: &str, user_id: &str) -> bool {
        let list = self.list.load();
        // Nearly always.
        !list.is_empty() && (list.contains_key(username) || list.contains_key(user_id))
    }

    /// Revokes a user name or a user. What is over by `unix_now` is forgotten by the way.
    pub fn add(&self, name: &str, until: Until, unix_now: u64) -> Result<(), Full> {
        self.change(|list| {
            list.retain(|_, until| until.is_none_or(|until| until >= unix_now));
            if list.len() >= MAX && !list.contains_key(name) {
                return Err(Full);
            }
            list.insert(name.into(), until);
            Ok(())
        })
    }

    /// Takes a revocation back; says whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        self.change(|list| list.remove(name).is_some())
    }

    /// All of them, sorted by name.
    pub fn all(&self) -> Vec<(Box<str>, Until)> {
        let mut all: Vec<_> = self.list.load().iter().map(|(name, until)| (name.clone(), *until)).collect();
        all.sort_unstable();
        all
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<Box<str>, Until>) -> T) -> T {
        // The list is swapped whole, so a thread that panicked meanwhile has broken nothing.
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = HashMap::clone(&self.list.load());
        let done = change(&mut list);
        self.list.store(list.into());
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_user_are_revoked_until_their_time_or_for_good() {
        let revocations = Revocations::default();
        assert!(!revocations.cover("2000:alice", "alice"));
        revocations.add("2000:alice", Some(2000), 1000).unwrap();
        revocations.add("bob", None, 1000).unwrap();
        assert!(revocations.cover("2000:alice", "alice"));
        assert!(!revocations.cover("2001:alice", "alice"), "another credential of the same user");
        assert!(revocations.cover("9999:bob", "bob") && revocations.cover("bob", "bob"));
        revocations.add("carol", None, 2001).unwrap();
        let names: Vec<_> = revocations.all().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["bob".into(), "carol".into()], "what is over is forgotten");
        assert!(revocations.remove("bob") && !revocations.remove("bob"));
        assert!(!revocations.cover("bob", "bob"));
    }

    #[test]
    fn there_are_only_so_many_and_those_stay() {
        let revocations = Revocations::new((0..MAX).map(|number| (number.to_string().into(), None)));
        assert_eq!(revocations.add("one more", None, 0), Err(Full));
        assert_eq!(revocations.add("7", Some(5), 0), Ok(()), "one of them can be changed");
        assert_eq!(revocations.all().len(), MAX);
    }
}
