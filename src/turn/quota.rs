//! How many allocations each user, each address and the whole server hold. Shared by all workers, and asked only
//! when an allocation begins or ends.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;

use super::source::Source;

/// Shards keep workers out of each other's way.
const SHARDS: usize = 16;

/// The most allocations that may exist at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationLimits {
    /// Of one user, told by the stable id in its user name.
    pub per_user: u32,
    /// From one client IP address; in IPv6 from one /64.
    pub per_address: u32,
    /// In all.
    pub total: u32,
}

/// Which limit forbids one more allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaError {
    /// The user's.
    User,
    /// The client address's.
    Address,
    /// The server's.
    Total,
}

/// Counts allocations by user and by address.
#[derive(Debug)]
pub struct Quota {
    users: Counts<Box<str>>,
    addresses: Counts<Source>,
    total: Mutex<u32>,
}

impl Quota {
    /// An empty count; `seed` keeps strangers from choosing names that meet in one bucket.
    pub fn new(seed: u64) -> Self {
        Self { users: Counts::new(seed), addresses: Counts::new(!seed), total: Mutex::new(0) }
    }

    /// Counts one more allocation, or says which limit forbids it.
    pub fn take(&self, user: &str, address: IpAddr, limits: AllocationLimits) -> Result<(), QuotaError> {
        let mut total = lock(&self.total);
        if *total >= limits.total {
            return Err(QuotaError::Total);
        }
        if !self.users.take(user, limits.per_user, |user: &str| user.into()) {
            return Err(QuotaError::User);
        }
        if !self.addresses.take(&Source::of(address), limits.per_address, |source| *source) {
            self.users.release(user);
            return Err(QuotaError::Address);
        }
        *total += 1;
        Ok(())
    }

    /// Counts one allocation less.
    pub fn release(&self, user: &str, address: IpAddr) {
        self.users.release(user);
        self.addresses.release(&Source::of(address));
        let mut total = lock(&self.total);
        *total = total.saturating_sub(1);
    }

    /// How many allocations there are.
    pub fn total(&self) -> u32 {
        *lock(&self.total)
    }

    /// How many users and addresses hold something; what nobody holds is not kept.
    pub fn holders(&self) -> (usize, usize) {
        (self.users.len(), self.addresses.len())
    }
}

#[derive(Debug)]
struct Counts<K> {
    shards: [Mutex<HashMap<K, u32, FixedState>>; SHARDS],
    hasher: FixedState,
}

impl<K: Hash + Eq> Counts<K> {
    fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self { shards: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))), hasher }
    }

    fn take<Q>(&self, key: &Q, limit: u32, own: impl FnOnce(&Q) -> K) -> bool
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = self.shard(key);
        match shard.get_mut(key) {
            Some(count) if *count >= limit => false,
            Some(count) => {
                *count += 1;
                true
            }
            None if limit == 0 => false,
            None => {
                shard.insert(own(key), 1);
                true
            }
        }
    }

    fn release<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = self.shard(key);
        match shard.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                shard.remove(key);
                // A crowd that has left should leave its room behind.
                if shard.is_empty() {
                    shard.shrink_to_fit();
                }
            }
            None => {}
        }
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, HashMap<K, u32, FixedState>> {
        let place = self.hasher.hash_one(key) % SHARDS as u64;
        lock(&self.shards[usize::try_from(place).unwrap_or(0)])
    }
}

/// A count is whole after each step, so a thread that panicked while holding it has broken nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn an_ipv6_client_counts_as_its_64_bit_prefix() {
        let quota = Quota::new(1);
        let limits = AllocationLimits { per_user: 9, per_address: 1, total: 9 };
        let take = |ip: &str| quota.take("alice", ip.parse().unwrap(), limits);
        assert_eq!(take("2001:db8:0:1::1"), Ok(()));
        assert_eq!(take("2001:db8:0:1:ffff::2"), Err(QuotaError::Address));
        assert_eq!(take("2001:db8:0:2::1"), Ok(()));
        quota.release("alice", "2001:db8:0:1:ffff::2".parse().unwrap());
        assert_eq!(take("2001:db8:0:1::1"), Ok(()));
    }

    #[test]
    fn each_limit_is_told_apart_and_a_refusal_takes_nothing() {
        let quota = Quota::new(1);
        let limits = AllocationLimits { per_user: 2, per_address: 3, total: 4 };
        let take = |user, last| quota.take(user, address(last), limits);
        assert_eq!(take("alice", 1), Ok(()));
        assert_eq!(take("alice", 1), Ok(()));
        assert_eq!(take("alice", 2), Err(QuotaError::User));
        assert_eq!(take("bob", 1), Ok(()));
        assert_eq!(take("carol", 1), Err(QuotaError::Address));
        assert_eq!(take("carol", 2), Ok(()));
        assert_eq!(take("dave", 2), Err(QuotaError::Total));
        assert_eq!(quota.holders(), (3, 2));
        for (user, last) in [("alice", 1), ("alice", 1), ("bob", 1), ("carol", 2)] {
            quota.release(user, address(last));
        }
        assert_eq!((quota.total(), quota.holders()), (0, (0, 0)));
    }
}
