//! What is wrong with an expression, and where.

use std::fmt;

/// A place in a text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Where it begins.
    pub start: usize,
    /// Where it ends: the first byte after it.
    pub end: usize,
}

/// An expression cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The place, in bytes of the text.
    pub span: Span,
    /// The place's first column, in characters from 1.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub expected: String,
    /// What to do, where that can be said.
    pub help: Option<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: found {}, expected {}", self.column, self.found, self.expected)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for Error {}

/// A name that is farther away than a third of its letters is not what was meant.
const MEANT: usize = 3;
/// Longer words are not compared: the effort grows with the square.
const MAX_COMPARED: usize = 64;

/// The one of `known` that `word` was probably meant to be: the fewest letters to insert, leave out, exchange or swap
/// with the neighbour (optimal string alignment). None if nothing is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(MAX_COMPARED + 1).collect();
    if word.len() > MAX_COMPARED {
        return None;
    }
    let near = |name: &&str| {
        let name: Vec<char> = name.chars().flat_map(char::to_lowercase).take(MAX_COMPARED).collect();
        distance(&word, &name)
    };
    let best = known.into_iter().map(|name| (near(&name), name)).min_by_key(|(far, _)| *far)?;
    (best.0 <= word.len().div_ceil(MEANT)).then_some(best.1)
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, &one) in a.iter().enumerate() {
        let mut here = vec![row + 1];
        for (column, &other) in b.iter().enumerate() {
            let mut least =
                (above[column] + usize::from(one != other)).min(above[column + 1] + 1).min(here[column] + 1);
            if row > 0 && column > 0 && one == b[column - 1] && a[row - 1] == other {
                least = least.min(before[column - 1] + 1);
            }
            here.push(least);
        }
        before = std::mem::replace(&mut above, here);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_and_nothing_is_made_up() {
        let known = ["vendor", "role", "model", "ip"];
        assert_eq!(nearest("vendro", known), Some("vendor"));
        assert_eq!(nearest("Rol", known), Some("role"));
        assert_eq!(nearest("temperature", known), None);
        assert_eq!(nearest(&"v".repeat(10_000), known), None);
        assert_eq!(distance(&['a', 'b'], &['b', 'a']), 1);
        assert_eq!(distance(&[], &['b', 'a']), 2);
    }
}
