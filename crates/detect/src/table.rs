//! A table with a limit: whoever was used longest ago makes room.

use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// No slot.
const NONE: u32 = u32::MAX;

/// What is kept, by key; when there are as many as may be, the one that was used longest ago goes. Which one that
/// is depends on the order of use alone.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    slots: Vec<Slot<K, V>>,
    by_key: HashMap<K, u32, FixedState>,
    /// The one that was used last, and the one that was used longest ago.
    newest: u32,
    oldest: u32,
    limit: usize,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    newer: u32,
    older: u32,
}

/// Where something stands after it was asked for.
pub(crate) struct Place<V> {
    /// Its slot.
    pub(crate) slot: u32,
    /// Whether it was not there before.
    pub(crate) is_new: bool,
    /// What had to make room for it; it had the same slot.
    pub(crate) gone: Option<V>,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// An empty table for at most `limit` entries, at least one.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, NONE as usize);
        Self { slots: Vec::new(), by_key: HashMap::default(), newest: NONE, oldest: NONE, limit }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slot of a key, which becomes the one that was used last; `make` makes what is not there yet.
    pub(crate) fn place(&mut self, key: K, make: impl FnOnce() -> V) -> Place<V> {
        if let Some(&slot) = self.by_key.get(&key) {
            self.renew(slot);
            return Place { slot, is_new: false, gone: None };
        }
        let entry = Slot { key, value: make(), newer: NONE, older: NONE };
        let (slot, gone) = if self.slots.len() < self.limit {
            self.slots.push(entry);
            (self.slots.len() as u32 - 1, None)
        } else {
            let slot = self.oldest;
            self.unlink(slot);
            let before = std::mem::replace(&mut self.slots[slot as usize], entry);
            self.by_key.remove(&before.key);
            (slot, Some(before.value))
        };
        self.by_key.insert(key, slot);
        self.link(slot);
        Place { slot, is_new: true, gone }
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

    /// What is in a slot.
    pub(crate) fn at(&self, slot: u32) -> Option<(&K, &V)> {
        self.slots.get(slot as usize).map(|slot| (&slot.key, &slot.value))
    }

    /// Everything, in the order of first use of the slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().map(|slot| (&slot.key, &slot.value))
    }

    /// The same, to change it.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.slots.iter_mut().map(|slot| (&slot.key, &mut slot.value))
    }

    fn renew(&mut self, slot: u32) {
        if self.newest != slot {
            self.unlink(slot);
            self.link(slot);
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { newer, older, .. } = self.slots[slot as usize];
        match self.slots.get_mut(newer as usize) {
            Some(other) => other.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(other) => other.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, slot: u32) {
        let older = std::mem::replace(&mut self.newest, slot);
        match self.slots.get_mut(older as usize) {
            Some(other) => other.newer = slot,
            None => self.oldest = slot,
        }
        let entry = &mut self.slots[slot as usize];
        (entry.newer, entry.older) = (NONE, older);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_used_last(keys in proptest::collection::vec(0_u8..12, 0..300), limit in 1_usize..8) {
            let mut table = Table::new(limit);
            let mut model: VecDeque<(u8, usize)> = VecDeque::new();
            for (number, key) in keys.into_iter().enumerate() {
                let place = table.place(key, || number);
                match model.iter().position(|(known, _)| *known == key) {
                    Some(at) => {
                        prop_assert!(!place.is_new && place.gone.is_none());
                        let entry = model.remove(at).unwrap();
                        model.push_back(entry);
                    }
                    None => {
                        let gone = if model.len() == limit { model.pop_front() } else { None };
                        prop_assert!(place.is_new);
                        prop_assert_eq!(place.gone, gone.map(|(_, value)| value));
                        model.push_back((key, number));
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                for (key, value) in &model {
                    prop_assert_eq!(table.get(key), Some(value));
                }
            }
        }
    }
}
