//! Expressions, and how they are evaluated.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use model::Timestamp;

use crate::{Network, Pattern, Span};

/// What a field holds, and so what can be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Text; ordered as versions are.
    Text,
    /// A whole number.
    Number,
    /// A number of bytes.
    Size,
    /// A moment, asked for by its age.
    Age,
    /// A network address.
    Address,
    /// One of these words, in their order.
    Level(&'static [&'static str]),
}

/// A field that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Other names by which it is understood.
    pub aliases: &'static [&'static str],
    /// What it holds.
    pub kind: Kind,
    /// What it is, for people.
    pub what: &'static str,
}

/// A value of a field of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Datum<'a> {
    /// Text.
    Text(&'a str),
    /// A number, a number of bytes, or the place of a word among those of its level, from 0.
    Number(u64),
    /// A moment.
    Moment(Timestamp),
    /// A network address.
    Address(IpAddr),
}

/// Something whose fields can be asked for.
pub trait Fields {
    /// Whether one of the values of the field passes the test: it is shown one after the other until one does. Without a
    /// field, all text and all addresses are shown, whichever field they belong to.
    fn any(&self, field: Option<&str>, test: &mut dyn FnMut(Datum<'_>) -> bool) -> bool;
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// `:` one is it, or lies in it.
    Matches,
    /// `=` one is exactly it.
    Is,
    /// `!=` none is exactly it.
    IsNot,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Op {
    /// As it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Matches => ":",
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    /// Whether it asks for an order.
    pub const fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::Greater | Self::AtLeast)
    }

    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Matches | Self::Is => order.is_eq(),
            Self::IsNot => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// What is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Text.
    Text(Pattern),
    /// A number, or a number of bytes.
    Number(u64),
    /// An age.
    Age(Duration),
    /// A network.
    Network(Network),
    /// The place of a word among these, from 0.
    Level(u64, &'static [&'static str]),
}

/// One thing that is asked. Where it stood in the text does not matter for whether two are the same.
#[derive(Clone, Debug)]
pub struct Term {
    /// The field; none for a word alone.
    pub field: Option<&'static Field>,
    /// How it is compared.
    pub op: Op,
    /// With what.
    pub value: Value,
    /// Where it stood.
    pub span: Span,
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        (self.field, self.op, &self.value) == (other.field, other.op, &other.value)
    }
}

impl Eq for Term {}

impl std::hash::Hash for Term {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.field, self.op, &self.value).hash(state);
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// One thing that is asked.
    Term(Term),
    /// The opposite.
    Not(Box<Expr>),
    /// All of these, at least two, none of which is itself such a list.
    And(Vec<Expr>),
    /// At least one of these, at least two, none of which is itself such a list.
    Or(Vec<Expr>),
}

impl Expr {
    /// All of these.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut all = Vec::new();
        for part in parts {
            if let Self::And(parts) = part { all.extend(parts) } else { all.push(part) }
        }
        if all.len() > 1 { Some(Self::And(all)) } else { all.pop() }
    }

    /// At least one of these.
    pub fn one_of(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut all = Vec::new();
        for part in parts {
            if let Self::Or(parts) = part { all.extend(parts) } else { all.push(part) }
        }
        if all.len() > 1 { Some(Self::Or(all)) } else { all.pop() }
    }

    /// Everything that is asked, from left to right.
    pub fn terms(&self, visit: &mut dyn FnMut(&Term)) {
        match self {
            Self::Term(term) => visit(term),
            Self::Not(inner) => inner.terms(visit),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.terms(visit)),
        }
    }

    /// Whether it holds of something at a moment.
    pub fn matches(&self, of: &(impl Fields + ?Sized), now: Timestamp) -> bool {
        match self {
            Self::Term(term) => term.matches(of, now),
            Self::Not(inner) => !inner.matches(of, now),
            Self::And(parts) => parts.iter().all(|part| part.matches(of, now)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(of, now)),
        }
    }
}

impl Term {
    fn matches(&self, of: &(impl Fields + ?Sized), now: Timestamp) -> bool {
        // None is it: the opposite of one is it, not one is something else.
        let (op, found) = if self.op == Op::IsNot { (Op::Is, false) } else { (self.op, true) };
        let field = self.field.map(|field| field.name);
        of.any(field, &mut |datum| self.value.holds(field.is_none(), op, datum, now)) == found
    }
}

impl Value {
    fn holds(&self, anywhere: bool, op: Op, datum: Datum<'_>, now: Timestamp) -> bool {
        match (self, datum) {
            (Self::Text(pattern), Datum::Text(text)) if anywhere => pattern.stands_in(text),
            (Self::Text(pattern), Datum::Address(ip)) if anywhere => pattern.stands_in(&ip.to_string()),
            (Self::Text(pattern), Datum::Text(text)) if op.is_order() => pattern
                .as_literal()
                .and_then(|than| versions(text, than))
                .is_some_and(|order| op.holds(order)),
            (Self::Text(pattern), Datum::Text(text)) => pattern.matches(text),
            (Self::Text(pattern), Datum::Address(ip)) => pattern.matches(&ip.to_string()),
            (Self::Network(network), Datum::Address(ip)) => network.contains(ip),
            (Self::Network(network), Datum::Text(text)) if anywhere => text.contains(&network.to_string()),
            (Self::Number(than) | Self::Level(than, _), Datum::Number(number)) => op.holds(number.cmp(than)),
            (Self::Age(than), Datum::Moment(moment)) => op.holds(now.since(moment).cmp(than)),
            _ => false,
        }
    }
}

/// The order of two versions: number by number, and letters where there are none; what stands before the first digit,
/// such as a `V`, does not count. None if one holds no digit.
fn versions(a: &str, b: &str) -> Option<Ordering> {
    let begun =
        |text: &str| text.find(|c: char| c.is_ascii_digit()).and_then(|at| text.get(at..).map(str::to_owned));
    let (a, b) = (begun(a)?, begun(b)?);
    let (mut a, mut b) = (parts(&a), parts(&b));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Some(Ordering::Equal),
            // 2.4 is 2.4.0, and before 2.4.1.
            (Some(more), None) if more.is_zero() => Ordering::Equal,
            (None, Some(more)) if more.is_zero() => Ordering::Equal,
            (one, other) => one.cmp(&other),
        };
        if order.is_ne() {
            return Some(order);
        }
    }
}

/// A part of a version. Letters come before numbers: 1.0rc1 before 1.0.1.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Letters(String),
    /// How many digits, and which, without leading zeros: numbers of any size.
    Number(usize, &'a str),
}

impl Part<'_> {
    const fn is_zero(&self) -> bool {
        matches!(self, Self::Number(0, _))
    }
}

fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let digits = rest.starts_with(|c: char| c.is_ascii_digit());
        let differs = |c: char| !c.is_alphanumeric() || c.is_ascii_digit() != digits;
        let (part, more) = rest.split_at_checked(rest.find(differs).unwrap_or(rest.len()))?;
        rest = more;
        let number = part.trim_start_matches('0');
        match part.is_empty() {
            true => None,
            false if digits => Some(Part::Number(number.len(), number)),
            false => Some(Part::Letters(part.to_lowercase())),
        }
    })
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "{}{}", field.name, self.op.sign())?,
            // A word that could be taken for more than a word stands in quotation marks.
            None => {
                if let Value::Text(pattern) = &self.value {
                    return pattern
                        .write(f, pattern.as_literal().is_none_or(|text| !crate::parse::is_word(text)));
                }
            }
        }
        match &self.value {
            Value::Text(pattern) => {
                let network = self.field.is_some_and(|field| field.kind == Kind::Address);
                pattern.write(f, self.op == Op::Is && !network)
            }
            Value::Number(number) => number.fmt(f),
            Value::Network(network) => network.fmt(f),
            Value::Level(place, words) => {
                f.write_str(usize::try_from(*place).ok().and_then(|place| words.get(place)).unwrap_or(&""))
            }
            Value::Age(age) => {
                let seconds = age.as_secs();
                let units = [(7 * 86_400, "w"), (86_400, "d"), (3_600, "h"), (60, "m")];
                match units.iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit)) {
                    Some((unit, letter)) => write!(f, "{}{letter}", seconds / unit),
                    None => write!(f, "{seconds}s"),
                }
            }
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str, loose: fn(&Self) -> bool| {
            for (place, part) in parts.iter().enumerate() {
                if place > 0 {
                    write!(f, " {word} ")?;
                }
                if loose(part) { write!(f, "({part})")? } else { part.fmt(f)? }
            }
            Ok(())
        };
        match self {
            Self::Term(term) => term.fmt(f),
            Self::Not(inner) if matches!(**inner, Self::And(_) | Self::Or(_)) => write!(f, "not ({inner})"),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::And(parts) => list(f, parts, "and", |part| matches!(part, Self::Or(_) | Self::And(_))),
            Self::Or(parts) => list(f, parts, "or", |part| matches!(part, Self::Or(_))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_number_by_number() {
        let order = |a, b| versions(a, b).unwrap();
        for (a, b) in [("2.9", "2.10"), ("V4.4.3", "4.5"), ("1.0", "1.0.1"), ("1.0rc1", "1.0.1"), ("9", "10")]
        {
            assert_eq!((order(a, b), order(b, a)), (Ordering::Less, Ordering::Greater), "{a} {b}");
        }
        assert_eq!(order("2.4", "v2.4.0"), Ordering::Equal);
        assert_eq!(order("007", "7"), Ordering::Equal);
        assert_eq!(versions("unknown", "2"), None);
    }
}
