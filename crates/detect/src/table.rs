//! A table with a limit: whoever was not used lately makes room.

use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What is kept, by key; when there are as many as may be, one that was not used lately goes: the clock of Corbató, "A
/// Paging Experiment with the Multics System" (1968), which unlike an exact order of use touches nothing but the entry
/// that is used. Which one goes depends on the order of use alone.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    slots: Vec<Slot<K, V>>,
    /// Whether each slot was used since the hand passed: apart, so that a use touches hardly any memory.
    used: Vec<bool>,
    by_key: HashMap<K, u32, FixedState>,
    /// Where the clock's hand stands: the slot that is looked at next when room is needed.
    hand: usize,
    limit: usize,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
}

/// Where something stands after it was asked for.
pub(crate) struct Place<V> {
    /// Its slot.
    pub(crate) slot: u32,
    /// What had to make room for it; it had the same slot.
    pub(crate) gone: Option<V>,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// An empty table for at most `limit` entries, at least one.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, u32::MAX as usize);
        Self { slots: Vec::new(), used: Vec::new(), by_key: HashMap::default(), hand: 0, limit }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slot of a key that is there; it is used.
    pub(crate) fn find(&mut self, key: &K) -> Option<u32> {
        let slot = *self.by_key.get(key)?;
        self.touch(slot);
        Some(slot)
    }

    /// What stands at a slot is used.
    pub(crate) fn touch(&mut self, slot: u32) {
        self.used[slot as usize] = true;
    }

    /// What is kept at a slot.
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut V {
        &mut self.slots[slot as usize].value
    }

    /// The slot of a key; `make` makes what is not there yet.
    pub(crate) fn place(&mut self, key: K, make: impl FnOnce() -> V) -> Place<V> {
        if let Some(slot) = self.find(&key) {
            return Place { slot, gone: None };
        }
        let entry = Slot { key, value: make() };
        let (slot, gone) = if self.slots.len() < self.limit {
            self.slots.push(entry);
            self.used.push(false);
            (self.slots.len() - 1, None)
        } else {
            while std::mem::take(&mut self.used[self.hand]) {
                self.hand = (self.hand + 1) % self.limit;
            }
            let slot = self.hand;
            self.hand = (self.hand + 1) % self.limit;
            let before = std::mem::replace(&mut self.slots[slot], entry);
            self.by_key.remove(&before.key);
            (slot, Some(before.value))
        };
        self.by_key.insert(key, slot as u32);
        Place { slot: slot as u32, gone }
    }

    /// What is kept for a key, or what `make` makes, and whether something had to make room for it.
    pub(crate) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> (&mut V, bool) {
        let place = self.place(key, make);
        (&mut self.slots[place.slot as usize].value, place.gone.is_some())
    }

    /// What is kept for a key, without this being a use.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.by_key.get(key).map(|slot| &self.slots[*slot as usize].value)
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.by_key.get(key).map(|slot| &mut self.slots[*slot as usize].value)
    }

    /// Everything, in the order of the slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().map(|slot| (&slot.key, &slot.value))
    }

    /// The same, to change it.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.slots.iter_mut().map(|slot| (&slot.key, &mut slot.value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Beside it, the clock as it is described: a ring of keys, each with a mark.
        #[test]
        fn it_is_a_clock(keys in proptest::collection::vec(0_u8..12, 0..300), limit in 1_usize..8) {
            let mut table = Table::new(limit);
            let (mut ring, mut hand): (Vec<(u8, usize, bool)>, usize) = (Vec::new(), 0);
            for (number, key) in keys.into_iter().enumerate() {
                let place = table.place(key, || number);
                let mut gone = None;
                if let Some(known) = ring.iter_mut().find(|known| known.0 == key) {
                    known.2 = true;
                } else if ring.len() < limit {
                    ring.push((key, number, false));
                } else {
                    while ring[hand].2 {
                        ring[hand].2 = false;
                        hand = (hand + 1) % limit;
                    }
                    gone = Some(std::mem::replace(&mut ring[hand], (key, number, false)).1);
                    hand = (hand + 1) % limit;
                }
                prop_assert_eq!(place.gone, gone);
                prop_assert_eq!(ring[place.slot as usize].0, key);
                prop_assert_eq!(table.len(), ring.len());
                for (key, value, _) in &ring {
                    prop_assert_eq!(table.get(key), Some(value));
                }
            }
        }
    }
}
