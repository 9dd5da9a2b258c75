//! Where much of a kind is kept: nothing is copied when it grows, and little room is kept ready.

use std::ops::{Deref, DerefMut, Index, IndexMut};

/// So many elements are given room at once; a power of two.
const BLOCK: usize = 1_024;

/// Elements by number, in blocks that stay where they are. A vector that doubles holds three times what it
/// needs for a moment, and up to twice of it ever after.
pub(crate) struct Blocks<T> {
    blocks: Vec<Vec<T>>,
    length: u32,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), length: 0 }
    }
}

impl<T> Blocks<T> {
    /// How many elements there are.
    pub(crate) const fn len(&self) -> usize {
        self.length as usize
    }

    /// Adds an element under the next number.
    pub(crate) fn push(&mut self, element: T) {
        if self.len().is_multiple_of(BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(element);
            self.length += 1;
        }
    }

    /// The element of a number, if there is one.
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.blocks.get(number as usize / BLOCK)?.get(number as usize % BLOCK)
    }
}

impl<T> Index<u32> for Blocks<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.blocks[number as usize / BLOCK][number as usize % BLOCK]
    }
}

impl<T> IndexMut<u32> for Blocks<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.blocks[number as usize / BLOCK][number as usize % BLOCK]
    }
}

/// A list of few elements, which has no more room than they need.
#[derive(Clone, Debug)]
pub(crate) struct Few<T>(Box<[T]>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, element: T) {
        self.edit(|all| {
            all.reserve_exact(1);
            all.push(element);
        });
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.edit(|all| all.retain(keep));
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.edit(|all| {
            all.remove(at);
        });
    }

    /// Changes the list as a vector.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Vec<T>)) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        change(&mut all);
        self.0 = all.into_boxed_slice();
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_numbers_from_block_to_block() {
        let mut blocks = Blocks::default();
        for number in 0..3 * BLOCK as u32 + 1 {
            assert!(blocks.get(number).is_none());
            blocks.push(number);
        }
        blocks[BLOCK as u32] += 1;
        assert_eq!((blocks.len(), blocks[BLOCK as u32]), (3 * BLOCK + 1, BLOCK as u32 + 1));
        assert!((0..=3 * BLOCK as u32).all(|at| at == BLOCK as u32 || blocks.get(at) == Some(&at)));
    }

    #[test]
    fn a_short_list_changes_as_a_vector_does() {
        let mut few: Few<u8> = [1, 2, 3].into_iter().collect();
        few.push(4);
        few.remove(1);
        few.retain(|one| *one != 4);
        few[0] = 7;
        assert_eq!(*few, [7, 3]);
        assert_eq!(few.into_iter().collect::<Vec<_>>(), [7, 3]);
    }
}
