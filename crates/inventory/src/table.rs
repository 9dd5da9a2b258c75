//! An index from digests to numbers.
//!
//! Finding a device among many costs as much as the memory it waits for. A slot holds half of the digest
//! and the number in one word, so that a search waits once for the slot and once for what is found, and
//! growing does not need to look at what the numbers stand for.

/// The index: open addressing, linear probing, removal by shifting back.
#[derive(Default)]
pub(crate) struct Table {
    /// Half of the digest, then the number; a power of two of them, or none.
    slots: Vec<u64>,
    used: usize,
}

const EMPTY: u64 = u64::MAX;

const fn slot(digest: u64, number: u32) -> u64 {
    digest & 0xffff_ffff_0000_0000 | number as u64
}

impl Table {
    /// The place where the search for a slot begins.
    const fn home(&self, slot: u64) -> usize {
        (slot >> 32) as usize & self.slots.len().wrapping_sub(1)
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// The number with this digest for which `is` holds.
    pub(crate) fn find(&self, digest: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.place(digest, is).map(|at| self.slots[at] as u32)
    }

    /// What stands where the search for a digest begins; nothing in particular where nothing stands.
    pub(crate) fn peek(&self, digest: u64) -> u64 {
        self.slots.get(self.home(digest)).copied().unwrap_or(EMPTY)
    }

    /// The number that most likely has this digest.
    pub(crate) fn guess(&self, digest: u64) -> Option<u32> {
        self.find(digest, |_| true)
    }

    fn place(&self, digest: u64, is: impl Fn(u32) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let wanted = slot(digest, 0);
        let mut at = self.home(wanted);
        loop {
            let found = self.slots[at];
            if found == EMPTY {
                return None;
            }
            if found & !0xffff_ffff == wanted && is(found as u32) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    /// Adds a number, which must not be there and not be `u32::MAX`.
    pub(crate) fn insert(&mut self, digest: u64, number: u32) {
        // At most two slots in three are used.
        if (self.used + 1) * 3 > self.slots.len() * 2 {
            let size = (self.slots.len() * 2).max(16);
            let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
            for slot in old.into_iter().filter(|slot| *slot != EMPTY) {
                self.put(slot);
            }
        }
        self.put(slot(digest, number));
        self.used += 1;
    }

    fn put(&mut self, slot: u64) {
        let mut at = self.home(slot);
        while self.slots[at] != EMPTY {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    /// Removes a number.
    pub(crate) fn remove(&mut self, digest: u64, number: u32) {
        let Some(mut hole) = self.place(digest, |found| found == number) else { return };
        self.used -= 1;
        let mut at = self.after(hole);
        while self.slots[at] != EMPTY {
            // A slot may move into the hole if that is not before its home.
            let home = self.home(self.slots[at]);
            let distance = at.wrapping_sub(home) & (self.slots.len() - 1);
            if distance >= at.wrapping_sub(hole) & (self.slots.len() - 1) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_added_is_found_and_what_was_removed_is_not(
            steps in proptest::collection::vec((any::<bool>(), 0..200_u32), 0..400),
        ) {
            // Few different digests, so that many numbers collide.
            let digest = |number: u32| u64::from(number % 13 * 5) << 32;
            let mut table = Table::default();
            let mut expected = BTreeMap::new();
            for (add, number) in steps {
                if add {
                    if expected.insert(number, ()).is_none() {
                        table.insert(digest(number), number);
                    }
                } else {
                    expected.remove(&number);
                    table.remove(digest(number), number);
                }
                prop_assert_eq!(table.used, expected.len());
            }
            for number in 0..200 {
                let found = table.find(digest(number), |found| found == number);
                prop_assert_eq!(found, expected.contains_key(&number).then_some(number));
            }
        }
    }
}
