//! What differs between a table that is meant and what the firewall holds.

use std::fmt;

use crate::firewall::{Depth, ListedChain, Listing};
use crate::table::Table;

/// Most differences that are told one by one.
pub const DRIFT_MAX: usize = 100;

/// What differs. Empty if nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// The first differences, in order of names.
    pub differences: Vec<Difference>,
    /// How many there are beyond [`DRIFT_MAX`].
    pub more: usize,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The whole table is gone.
    NoTable,
    /// A set or chain is gone.
    Gone {
        /// "set" or "chain".
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A set or chain was added by somebody else.
    Added {
        /// "set" or "chain".
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A set or base chain is another one than it was.
    Redefined {
        /// "set" or "chain".
        what: &'static str,
        /// Its name.
        name: String,
        /// What it is now.
        now: String,
    },
    /// A chain has other rules.
    Rules {
        /// Its name.
        chain: String,
        /// The first rule that differs, counted from 0.
        position: usize,
        /// What is there now; nothing if the chain ends before it.
        now: Option<String>,
    },
    /// An element is gone.
    NoElement {
        /// The set.
        set: String,
        /// The element.
        key: String,
    },
    /// An element was added by somebody else, or leads elsewhere.
    Element {
        /// The set.
        set: String,
        /// The element.
        key: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => f.write_str("the table is gone"),
            Self::Gone { what, name } => write!(f, "the {what} {name} is gone"),
            Self::Added { what, name } => write!(f, "the {what} {name} was added"),
            Self::Redefined { what, name, now } => write!(f, "the {what} {name} is now {now}"),
            Self::Rules { chain, position, now: Some(now) } => {
                write!(f, "rule {position} of chain {chain} is now {now}")
            }
            Self::Rules { chain, position, now: None } => {
                write!(f, "rule {position} of chain {chain} is gone")
            }
            Self::NoElement { set, key } => write!(f, "the element {key} of {set} is gone"),
            Self::Element { set, key } => write!(f, "the element {key} of {set} was added or changed"),
        }
    }
}

impl Drift {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }

    fn push(&mut self, difference: Difference) {
        if self.differences.len() < DRIFT_MAX {
            self.differences.push(difference);
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.differences.iter().map(Difference::to_string).collect();
        f.write_str(&texts.join("; "))?;
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

/// Compares what the firewall holds with the table that is meant. The firewall words rules in its own way, so what they say is
/// compared with `before`, which was read when the table was put in place; without it, their number and comments are.
pub(crate) fn drift(meant: &Table, before: Option<&Listing>, now: Option<&Listing>, depth: Depth) -> Drift {
    let mut drift = Drift::default();
    let Some(now) = now else {
        drift.push(Difference::NoTable);
        return drift;
    };
    for (name, set) in &meant.sets {
        let Some(found) = now.sets.get(name) else {
            drift.push(Difference::Gone { what: "set", name: name.clone() });
            continue;
        };
        let was = before.and_then(|before| before.sets.get(name));
        if was.is_some_and(|was| was.definition != found.definition) {
            drift.push(Difference::Redefined {
                what: "set",
                name: name.clone(),
                now: found.definition.clone(),
            });
        }
        if depth == Depth::Structure || set.spec.live {
            continue;
        }
        for (key, entry) in &set.elements {
            match found.elements.get(key) {
                None => drift.push(Difference::NoElement { set: name.clone(), key: key.to_string() }),
                Some(found) if found.verdict.as_deref() != entry.verdict.as_deref() => {
                    drift.push(Difference::Element { set: name.clone(), key: key.to_string() });
                }
                Some(_) => {}
            }
        }
        for key in found.elements.keys().filter(|key| !set.elements.contains_key(*key)) {
            drift.push(Difference::Element { set: name.clone(), key: key.to_string() });
        }
    }
    for name in now.sets.keys().filter(|name| !meant.sets.contains_key(*name)) {
        drift.push(Difference::Added { what: "set", name: name.clone() });
    }
    for (name, chain) in &meant.chains {
        let Some(found) = now.chains.get(name) else {
            drift.push(Difference::Gone { what: "chain", name: name.clone() });
            continue;
        };
        let differs = match before.and_then(|before| before.chains.get(name)) {
            Some(was) => {
                if was.definition != found.definition {
                    let now = found.definition.clone();
                    drift.push(Difference::Redefined { what: "chain", name: name.clone(), now });
                }
                position(was, found, |was, found| was.text == found.text && was.comment == found.comment)
            }
            None => {
                let meant = ListedChain {
                    rules: chain
                        .rules
                        .iter()
                        .map(|rule| crate::ListedRule {
                            comment: rule.comment.as_deref().map(Into::into),
                            ..Default::default()
                        })
                        .collect(),
                    ..Default::default()
                };
                position(&meant, found, |meant, found| meant.comment == found.comment)
            }
        };
        if let Some(position) = differs {
            let now = found.rules.get(position).map(|rule| rule.text.clone());
            drift.push(Difference::Rules { chain: name.clone(), position, now });
        }
    }
    for name in now.chains.keys().filter(|name| !meant.chains.contains_key(*name)) {
        drift.push(Difference::Added { what: "chain", name: name.clone() });
    }
    drift
}

/// The first position at which two chains differ.
fn position(
    one: &ListedChain,
    other: &ListedChain,
    same: impl Fn(&crate::ListedRule, &crate::ListedRule) -> bool,
) -> Option<usize> {
    let shared = one.rules.iter().zip(&other.rules).position(|(one, other)| !same(one, other));
    let (one, other) = (one.rules.len(), other.rules.len());
    shared.or_else(|| (one != other).then_some(one.min(other)))
}
