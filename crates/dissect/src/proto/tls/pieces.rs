//! Joins pieces of a message that arrive in any order, some of them more than once.

/// Separate stretches that one message may be in before it is given up.
const MAX_STRETCHES: usize = 64;

/// A message, or a stream of them, of which some pieces have arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    /// Which bytes have arrived: stretches `[start, end)`, in order, apart from each other.
    have: Vec<(usize, usize)>,
}

impl Pieces {
    /// Adds a piece that belongs at `offset`, if it ends at or before `limit` and does not make too many
    /// stretches. Bytes that are there already are not replaced. Whether it was added.
    pub(crate) fn add(&mut self, offset: usize, piece: &[u8], limit: usize) -> bool {
        let Some(end) = offset.checked_add(piece.len()).filter(|end| *end <= limit) else { return false };
        if piece.is_empty() {
            return true;
        }
        // The stretches that the piece touches are joined with it.
        let first = self.have.partition_point(|(_, stretch_end)| *stretch_end < offset);
        let after = self.have.partition_point(|(stretch_start, _)| *stretch_start <= end);
        if first == after && self.have.len() >= MAX_STRETCHES {
            return false;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut at = offset;
        let touched = self.have.get(first..after).unwrap_or_default();
        for &(start, stop) in touched.iter().chain([&(end, end)]) {
            let until = start.min(end).max(at);
            let (place, new) = (self.bytes.get_mut(at..until), piece.get(at - offset..until - offset));
            if let (Some(place), Some(new)) = (place, new) {
                place.copy_from_slice(new);
            }
            at = at.max(stop);
        }
        let start = touched.first().map_or(offset, |(start, _)| offset.min(*start));
        let stop = touched.last().map_or(end, |(_, stop)| end.max(*stop));
        self.have.splice(first..after, [(start, stop)]);
        true
    }

    /// What has arrived without a gap from the beginning.
    pub(crate) fn ready(&self) -> &[u8] {
        match self.have.first() {
            Some(&(0, end)) => self.bytes.get(..end).unwrap_or_default(),
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_ready_before_the_beginning_has_come() {
        let mut pieces = Pieces::default();
        assert!(pieces.add(3, b"lo", 5));
        assert_eq!(pieces.ready(), b"");
        assert!(pieces.add(0, b"hel", 5));
        assert_eq!(pieces.ready(), b"hello");
        assert!(!pieces.add(4, b"oo", 5), "beyond the limit");
        assert!(!pieces.add(usize::MAX, b"o", usize::MAX), "beyond all");
    }

    #[test]
    fn what_came_first_stays() {
        let mut pieces = Pieces::default();
        assert!(pieces.add(1, b"B", 9) && pieces.add(3, b"D", 9) && pieces.add(0, b"abcde", 9));
        assert_eq!(pieces.ready(), b"aBcDe");
    }

    #[test]
    fn stretches_are_bounded() {
        let mut pieces = Pieces::default();
        let added = (0..1000).filter(|at| pieces.add(at * 2 + 1, b"x", 4096)).count();
        assert_eq!(added, MAX_STRETCHES);
        assert!(pieces.add(2, b"y", 4096), "a piece that joins two stretches is welcome");
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_make_the_whole(
            whole in prop::collection::vec(any::<u8>(), 1..200),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..20),
        ) {
            let mut pieces = Pieces::default();
            for (a, b) in cuts {
                let (a, b) = (a.index(whole.len()), b.index(whole.len() + 1));
                let (start, end) = (a.min(b), a.max(b));
                prop_assert!(pieces.add(start, &whole[start..end], 4096));
                prop_assert!(whole.starts_with(pieces.ready()));
            }
            pieces.add(0, &whole, 4096);
            prop_assert_eq!(pieces.ready(), &whole[..]);
        }
    }
}
