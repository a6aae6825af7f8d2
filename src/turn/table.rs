//! All allocations of one relay: one slab, and one map into it.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::allocation::Allocation;
use super::five_tuple::FiveTuple;
use super::output::AllocationId;

/// Allocations by place and by 5-tuple. The map is only ever changed together with the slab.
#[derive(Debug)]
pub(super) struct Allocations {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_client: HashMap<FiveTuple, u32, FixedState>,
    /// Counts all allocations that ever were, so that a place is never mistaken for its predecessor.
    generation: u32,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    allocation: Box<Allocation>,
}

impl Allocations {
    /// An empty table; `seed` keeps strangers from choosing addresses that meet in one bucket.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_client: HashMap::with_hasher(FixedState::with_seed(seed)),
            generation: 0,
        }
    }

    /// The allocation of a 5-tuple.
    #[inline]
    pub(super) fn by_client(&mut self, client: FiveTuple) -> Option<(AllocationId, &mut Allocation)> {
        let index = *self.by_client.get(&client)?;
        let slot = self.slots.get_mut(index as usize)?.as_mut()?;
        Some((AllocationId { index, generation: slot.generation }, &mut slot.allocation))
    }

    /// The allocation of this name, unless it is gone.
    #[inline]
    pub(super) fn get(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        let slot = self.slots.get_mut(id.index as usize)?.as_mut()?;
        (slot.generation == id.generation).then_some(&mut *slot.allocation)
    }

    /// Adds an allocation whose 5-tuple is free, or gives it back when the table's index is used up.
    pub(super) fn insert(&mut self, allocation: Box<Allocation>) -> Result<AllocationId, Box<Allocation>> {
        let Ok(next) = u32::try_from(self.slots.len()) else { return Err(allocation) };
        let index = self.free.pop().unwrap_or(next);
        self.generation = self.generation.wrapping_add(1);
        self.by_client.insert(allocation.client, index);
        let slot = Some(Slot { generation: self.generation, allocation });
        match self.slots.get_mut(index as usize) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        Ok(AllocationId { index, generation: self.generation })
    }

    /// Takes an allocation out.
    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let place = self.slots.get_mut(id.index as usize)?;
        let slot = place.take_if(|slot| slot.generation == id.generation)?;
        self.by_client.remove(&slot.allocation.client);
        self.free.push(id.index);
        if self.by_client.is_empty() {
            self.give_back();
        }
        Some(slot.allocation)
    }

    pub(super) fn holds(&self, client: FiveTuple) -> bool {
        self.by_client.contains_key(&client)
    }

    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// The names of all allocations.
    pub(super) fn ids(&self) -> Vec<AllocationId> {
        let named = |(index, slot): (usize, &Option<Slot>)| {
            let index = u32::try_from(index).ok()?;
            slot.as_ref().map(|slot| AllocationId { index, generation: slot.generation })
        };
        self.slots.iter().enumerate().filter_map(named).collect()
    }

    /// What is in up to `places` places from one on, and the place behind them if there is one.
    pub(super) fn part(
        &self,
        from: u32,
        places: u32,
    ) -> (impl Iterator<Item = (AllocationId, &Allocation)>, Option<u32>) {
        let from = (from as usize).min(self.slots.len());
        let to = from.saturating_add(places as usize).min(self.slots.len());
        let next = if to < self.slots.len() { u32::try_from(to).ok() } else { None };
        let found = (from..to).zip(&self.slots[from..to]).filter_map(|(index, slot)| {
            let (index, slot) = (u32::try_from(index).ok()?, slot.as_ref()?);
            Some((AllocationId { index, generation: slot.generation }, &*slot.allocation))
        });
        (found, next)
    }

    /// A crowd that has left leaves its room behind.
    fn give_back(&mut self) {
        self.slots = Vec::new();
        self.free = Vec::new();
        self.by_client.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::super::allocation::{Heard, Relays, UserName};
    use super::super::channel::Channels;
    use super::super::event::Traffic;
    use super::super::five_tuple::ListenerId;
    use super::super::judge::Origin;
    use super::super::permission::Permissions;
    use super::super::time::Millis;
    use super::*;
    use crate::auth::{Key, PasswordAlgorithm};
    use crate::wire::TransactionId;

    fn allocation(port: u16) -> Box<Allocation> {
        Box::new(Allocation {
            client: FiveTuple::new(([192, 0, 2, 1], port).into(), ListenerId(0)),
            user: UserName::new("alice", "alice"),
            key: Key::derive(PasswordAlgorithm::Md5, "alice", "turn", b"wonderland"),
            origin: Origin::User,
            credential_expires: None,
            began: Millis(0),
            transaction: TransactionId([0; 12]),
            reservation: None,
            address_error: None,
            opening: None,
            relays: Relays::default(),
            permissions: Permissions::default(),
            channels: Channels::default(),
            connections: None,
            traffic: Traffic::default(),
            heard: Heard { up: Millis(0), down: Millis(0) },
            bandwidth: None,
            terms: None,
            wake: Millis(0),
        })
    }

    #[test]
    fn r12_a_wrapped_generation_changes_nothing() {
        let mut table = Allocations::new(1);
        table.generation = u32::MAX - 2;
        let mut earlier = Vec::new();
        let lasting = table.insert(allocation(1)).unwrap();
        for port in 2..10 {
            let id = table.insert(allocation(port)).unwrap();
            assert_eq!(table.get(id).unwrap().client.client().port(), port);
            assert_eq!(id.index, 1, "the place is used again");
            assert!(earlier.iter().all(|earlier| table.get(*earlier).is_none()), "a late name finds nothing");
            assert!(table.remove(id).is_some() && table.remove(id).is_none());
            earlier.push(id);
        }
        assert!(table.generation < u32::MAX - 2, "it has wrapped");
        assert_eq!(table.get(lasting).unwrap().client.client().port(), 1);
        assert_eq!(table.len(), 1);
    }
}
