//! Places for things that come and go, named by numbers.
//!
//! They lie in blocks that never move: a table that grows by copying itself would for a moment take three
//! times its size, and every copy would wait for memory.

/// Places in one block.
const BLOCK: usize = 64;

/// The places; those that became free last are taken first.
pub(crate) struct Slab<T> {
    blocks: Vec<Box<[Option<T>]>>,
    /// Places from here on were never taken.
    fresh: u32,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new(), fresh: 0, free: Vec::new() }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.blocks.get(index as usize / BLOCK)?[index as usize % BLOCK].as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.place(index)?.as_mut()
    }

    fn place(&mut self, index: u32) -> Option<&mut Option<T>> {
        Some(&mut self.blocks.get_mut(index as usize / BLOCK)?[index as usize % BLOCK])
    }

    /// Puts something into a free place; returns its number.
    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            if self.fresh as usize == self.blocks.len() * BLOCK {
                self.blocks.push((0..BLOCK).map(|_| None).collect());
            }
            self.fresh += 1;
            self.fresh - 1
        });
        if let Some(place) = self.place(index) {
            *place = Some(thing);
        }
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let thing = self.place(index)?.take()?;
        self.free.push(index);
        Some(thing)
    }

    /// How many numbers were ever given; all that are in use are below.
    pub(crate) const fn bound(&self) -> u32 {
        self.fresh
    }

    /// Everything, with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.blocks.iter().flatten()).filter_map(|(index, thing)| Some((index, thing.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_in_is_found_until_it_is_taken_out(
            steps in proptest::collection::vec((any::<bool>(), 0..300_u32), 0..600),
        ) {
            let (mut slab, mut known) = (Slab::new(), BTreeMap::new());
            for (number, (insert, place)) in steps.into_iter().enumerate() {
                if insert {
                    let index = slab.insert(number);
                    prop_assert_eq!(known.insert(index, number), None);
                    prop_assert!(index < slab.bound());
                } else {
                    prop_assert_eq!(slab.remove(place), known.remove(&place));
                }
            }
            prop_assert_eq!(slab.iter().map(|(index, number)| (index, *number)).collect::<BTreeMap<_, _>>(), known);
        }
    }
}
