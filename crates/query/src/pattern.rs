//! Text with wildcards.

use std::fmt;

use crate::parse::{is_keyword, is_plain};

/// Text in which `*` may stand for anything, compared in upper or lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// What stands between the wildcards, as it was written; one piece where there is none.
    pieces: Vec<Box<str>>,
    /// The same in lower case.
    folded: Vec<Box<str>>,
}

impl Pattern {
    /// Text without wildcards.
    pub fn literal(text: &str) -> Self {
        Self::new(vec![text.into()])
    }

    /// Text in which each `*` is a wildcard.
    pub fn wild(text: &str) -> Self {
        Self::new(text.split('*').map(Box::from).collect())
    }

    /// Pieces of text with a wildcard between each two; several in a row are one.
    pub(crate) fn new(mut pieces: Vec<Box<str>>) -> Self {
        let last = pieces.len().saturating_sub(1);
        let mut place = 0;
        pieces.retain(|piece| {
            place += 1;
            !piece.is_empty() || place == 1 || place == last + 1
        });
        let folded = pieces.iter().map(|piece| piece.to_lowercase().into()).collect();
        Self { pieces, folded }
    }

    /// The text, where there is no wildcard.
    pub fn as_literal(&self) -> Option<&str> {
        if let [only] = &*self.pieces { Some(only) } else { None }
    }

    /// Whether it is the whole text.
    pub fn matches(&self, text: &str) -> bool {
        if let [only] = &*self.folded
            && text.is_ascii()
        {
            return only.eq_ignore_ascii_case(text);
        }
        let text = text.to_lowercase();
        let [first, middle @ .., last] = &*self.folded else {
            return self.folded.first().is_some_and(|only| **only == *text);
        };
        let Some(rest) = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
            return false;
        };
        in_order(rest, middle)
    }

    /// Whether it stands somewhere in the text.
    pub fn stands_in(&self, text: &str) -> bool {
        // Most text is ASCII, and most of it does not hold what is looked for: nothing is allocated for it.
        if text.is_ascii() {
            let mut rest = text.as_bytes();
            return self.folded.iter().all(|piece| match find_ascii(rest, piece.as_bytes()) {
                Some(at) => {
                    rest = rest.get(at + piece.len()..).unwrap_or_default();
                    true
                }
                None => false,
            });
        }
        in_order(&text.to_lowercase(), &self.folded)
    }

    /// As it is written in an expression: in quotation marks if it must be, or if it is `quoted`.
    pub(crate) fn write(&self, f: &mut fmt::Formatter<'_>, quoted: bool) -> fmt::Result {
        let plain = |c: char| is_plain(c) && c != '*';
        let whole = self.pieces.join("*");
        let quoted = quoted
            || whole.is_empty()
            || is_keyword(&whole)
            || !self.pieces.iter().all(|piece| piece.chars().all(plain));
        if !quoted {
            return f.write_str(&whole);
        }
        f.write_str("\"")?;
        for (place, piece) in self.pieces.iter().enumerate() {
            if place > 0 {
                f.write_str("*")?;
            }
            for c in piece.chars() {
                if matches!(c, '"' | '\\' | '*') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        f.write_str("\"")
    }
}

/// Where a piece in lower case begins in ASCII text of upper or lower case.
fn find_ascii(text: &[u8], piece: &[u8]) -> Option<usize> {
    let Some(first) = piece.first() else { return Some(0) };
    let upper = first.to_ascii_uppercase();
    let last = text.len().checked_sub(piece.len())?;
    (0..=last).find(|at| {
        let here = text.get(*at..at + piece.len()).unwrap_or_default();
        here.first().is_some_and(|byte| byte == first || *byte == upper) && here.eq_ignore_ascii_case(piece)
    })
}

/// Whether the pieces stand in the text one after the other.
fn in_order(mut text: &str, pieces: &[Box<str>]) -> bool {
    pieces.iter().all(|piece| match text.find(&**piece) {
        Some(at) => {
            text = text.get(at + piece.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The textbook's recursion.
    fn brute(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                brute(rest, text) || text.split_first().is_some_and(|(_, text)| brute(pattern, text))
            }
            ([a, pattern @ ..], [b, text @ ..]) => a == b && brute(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn what_stands_in_a_text_is_the_same_in_whichever_case(
            pattern in "[abAB*ä]{0,5}", text in "[abABäÄ]{0,9}"
        ) {
            let pattern = Pattern::wild(&pattern);
            let folded = in_order(&text.to_lowercase(), &pattern.folded);
            prop_assert_eq!(pattern.stands_in(&text), folded);
        }

        #[test]
        fn wildcards_stand_for_anything(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::wild(&pattern).matches(&text), brute(&chars(&pattern), &chars(&text)));
            let anywhere = format!("*{pattern}*");
            prop_assert_eq!(Pattern::wild(&pattern).stands_in(&text), brute(&chars(&anywhere), &chars(&text)));
        }
    }

    #[test]
    fn case_does_not_matter() {
        assert!(Pattern::literal("SIEMENS").matches("Siemens"));
        assert!(Pattern::literal("ÄÖ").matches("äö"));
        assert!(Pattern::wild("ab*ba").matches("abba") && !Pattern::wild("ab*ba").matches("aba"));
        assert!(!Pattern::literal("a*").matches("ab"));
    }
}
