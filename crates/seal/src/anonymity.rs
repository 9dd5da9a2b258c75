//! k-anonymity (Sweeney, 2002): whether a table hides each row among others that look the same.
//!
//! A row is what somebody could know of a person or device from elsewhere, its quasi-identifiers, one row for each of
//! them. Rows that are equal are a group; the smallest group's size is the table's k. It says nothing of what else
//! stands in a group: if all of it is the same, it is known of each.

use std::collections::BTreeMap;

/// The most groups of a table: beyond them it is refused, for it could not be kept in memory. A table with so many
/// hides nobody anyway.
pub const MAX_GROUPS: usize = 1 << 20;

/// Why a table could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Rows are of different widths.
    #[error("row {row} has {has} values where the first has {first}: give each row the same columns")]
    Ragged {
        /// Which row, the first being 1.
        row: usize,
        /// How many values it has.
        has: usize,
        /// How many the first row has.
        first: usize,
    },
    /// There are too many groups.
    #[error("the table has more than {max} groups: make its values coarser", max = MAX_GROUPS)]
    TooManyGroups,
}

/// The groups of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups<'a, V>(BTreeMap<&'a [V], usize>);

impl<'a, V: Ord> Groups<'a, V> {
    /// Puts equal rows together.
    ///
    /// # Errors
    /// If rows have different widths, or there are more than [`MAX_GROUPS`] groups.
    pub fn of<R: AsRef<[V]> + 'a>(rows: impl IntoIterator<Item = &'a R>) -> Result<Self, TableError> {
        let mut groups: BTreeMap<&[V], usize> = BTreeMap::new();
        let mut width = None;
        for (index, row) in rows.into_iter().enumerate() {
            let row = row.as_ref();
            let first = *width.get_or_insert(row.len());
            if row.len() != first {
                return Err(TableError::Ragged { row: index + 1, has: row.len(), first });
            }
            *groups.entry(row).or_insert(0) += 1;
            if groups.len() > MAX_GROUPS {
                return Err(TableError::TooManyGroups);
            }
        }
        Ok(Self(groups))
    }

    /// The size of the smallest group; `None` for a table without rows.
    pub fn k(&self) -> Option<usize> {
        self.0.values().min().copied()
    }

    /// The groups with fewer than `k` rows and their sizes, in the order of their values: what has to be left out or
    /// made coarser for the table to be k-anonymous.
    pub fn below(&self, k: usize) -> impl Iterator<Item = (&'a [V], usize)> {
        self.0.iter().filter(move |(_, size)| **size < k).map(|(values, size)| (*values, *size))
    }
}

/// The k of a table; `None` if it has no rows.
///
/// # Errors
/// As [`Groups::of`].
pub fn k_of<'a, V: Ord + 'a, R: AsRef<[V]> + 'a>(
    rows: impl IntoIterator<Item = &'a R>,
) -> Result<Option<usize>, TableError> {
    Groups::of(rows).map(|groups| groups.k())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table of Sweeney, "k-Anonymity: a model for protecting privacy", 2002, figure 2: k is 2.
    #[test]
    fn the_table_of_the_paper_is_2_anonymous() {
        let rows = [
            ["Black", "1965", "m", "0214*"],
            ["Black", "1965", "m", "0214*"],
            ["Black", "1965", "f", "0213*"],
            ["Black", "1965", "f", "0213*"],
            ["Black", "1964", "f", "0213*"],
            ["Black", "1964", "f", "0213*"],
            ["White", "1964", "m", "0213*"],
            ["White", "1964", "m", "0213*"],
            ["White", "1964", "m", "0213*"],
            ["White", "1967", "m", "0213*"],
            ["White", "1967", "m", "0213*"],
        ];
        assert_eq!(k_of(&rows), Ok(Some(2)));
        let groups = Groups::of(&rows).unwrap();
        assert_eq!(groups.below(2).count(), 0);
        assert_eq!(groups.below(3).count(), 4, "all but the group of three");
    }

    #[test]
    fn tables_without_rows_columns_or_order_are_told_apart() {
        assert_eq!(k_of::<&str, [&str; 1]>(&[]), Ok(None));
        assert_eq!(k_of::<&str, [&str; 0]>(&[[], []]), Ok(Some(2)), "nothing is known of anybody");
        let ragged = [vec!["a", "b"], vec!["a"]];
        assert_eq!(k_of(&ragged), Err(TableError::Ragged { row: 2, has: 1, first: 2 }));
    }

    proptest! {
        #[test]
        fn a_table_without_the_groups_below_k_is_k_anonymous(
            rows in proptest::collection::vec(proptest::array::uniform2(0u8..4), 0..60), k in 1usize..6,
        ) {
            let groups = Groups::of(&rows).unwrap();
            let below: Vec<&[u8]> = groups.below(k).map(|(values, _)| values).collect();
            let left: Vec<[u8; 2]> =
                rows.iter().copied().filter(|row| !below.contains(&row.as_slice())).collect();
            prop_assert!(k_of(&left).unwrap().is_none_or(|found| found >= k));
            prop_assert_eq!(groups.k().is_none_or(|found| found >= k), below.is_empty());
            // Every row is at least as alone as the table says.
            for row in &rows {
                let same = rows.iter().filter(|other| *other == row).count();
                prop_assert!(groups.k().is_some_and(|found| found <= same));
            }
        }
    }
}
