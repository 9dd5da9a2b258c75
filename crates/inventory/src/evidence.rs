//! What was said about a device, and which of it to believe.
//!
//! Nothing that was said is overwritten: every value is kept with who said it, how often and when. Values
//! that mean the same (see [`meaning`]) support each other: each protocol counts once, by its strongest
//! statement, and independent protocols together weigh more than one (the chance that all of them are
//! wrong is the product of the chances that each is). Of values that weigh the same, the one that came up
//! last is believed, for versions and names do change.

use std::borrow::Cow;
use std::cmp::Ordering;

use model::{Attribute, Evidence, Name, Timestamp};

use crate::names::{NameId, Names};
use crate::room::Few;
use crate::vendor;

/// One value of one attribute from one source.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Box<str>,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u32,
    pub(crate) source: NameId,
    pub(crate) attribute: Attribute,
    pub(crate) confidence: u8,
}

/// What adding an entry did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    /// What is believed may have changed.
    pub(crate) changed: bool,
    /// The value was not known from that source.
    pub(crate) new: bool,
    /// An entry was given up.
    pub(crate) shed: bool,
}

/// Adds an entry to the one that says the same of this value, if there is one.
pub(crate) fn repeat(entries: &mut [Entry], value: &str, entry: &Entry) -> Option<Added> {
    let known = entries.iter_mut().find(|known| {
        known.attribute == entry.attribute && known.source == entry.source && *known.value == *value
    })?;
    let changed = entry.confidence > known.confidence;
    known.confidence = known.confidence.max(entry.confidence);
    known.count = known.count.saturating_add(entry.count);
    known.first = known.first.min(entry.first);
    known.last = known.last.max(entry.last);
    Some(Added { changed, new: false, shed: false })
}

/// Adds an entry, to the one that says the same if there is one. Of more than `limit` values of an
/// attribute the weakest goes, of equally weak ones the one that was not heard for longest.
pub(crate) fn add(entries: &mut Few<Entry>, entry: Entry, limit: usize) -> Added {
    if let Some(added) = repeat(entries, &entry.value, &entry) {
        return added;
    }
    let attribute = entry.attribute;
    entries.push(entry);
    let values = entries.iter().filter(|known| known.attribute == attribute).count();
    let shed = values > limit;
    if shed {
        let weakest = entries
            .iter()
            .enumerate()
            .filter(|(_, known)| known.attribute == attribute)
            .min_by_key(|(_, known)| (known.confidence, known.last))
            .map(|(at, _)| at);
        if let Some(at) = weakest {
            entries.remove(at);
        }
    }
    Added { changed: true, new: true, shed }
}

/// A statement, from wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) attribute: Attribute,
    pub(crate) value: &'a str,
    pub(crate) source: &'a Name,
    pub(crate) confidence: u8,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u64,
}

impl<'a> Said<'a> {
    pub(crate) fn entry(entry: &'a Entry, names: &'a Names) -> Self {
        Self {
            attribute: entry.attribute,
            value: &entry.value,
            source: names.name(entry.source),
            confidence: entry.confidence,
            first: entry.first,
            last: entry.last,
            count: entry.count.into(),
        }
    }

    /// Adds the same statement about another address of the device.
    pub(crate) fn add(&mut self, other: &Self) {
        self.confidence = self.confidence.max(other.confidence);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
    }

    /// As the rest of the house knows it.
    pub(crate) fn evidence(&self) -> Evidence {
        Evidence {
            value: self.value.into(),
            source: self.source.clone(),
            confidence: model::Confidence::percent(self.confidence),
            first: self.first,
            last: self.last,
            count: self.count,
        }
    }

    /// The order of statements that mean the same: the strongest first, of equals the earliest.
    fn among_like(one: &Self, other: &Self) -> Ordering {
        let by_text = || (one.source, one.value).cmp(&(other.source, other.value));
        other.confidence.cmp(&one.confidence).then(one.first.cmp(&other.first)).then_with(by_text)
    }

    /// The protocol that said it.
    fn protocol(&self) -> &'a str {
        self.source.split_once('.').map_or(&**self.source, |(protocol, _)| protocol)
    }
}

/// What a value means, so that different spellings can agree: companies without their legal form, host
/// names without letter case, final point and `.local`, everything else without letter case.
pub(crate) fn meaning(attribute: Attribute, value: &str) -> Cow<'_, str> {
    match attribute {
        Attribute::Vendor => vendor::key(value).into(),
        Attribute::Hostname => match lower(value.trim_end_matches('.')) {
            Cow::Borrowed(name) => name.strip_suffix(".local").unwrap_or(name).into(),
            Cow::Owned(name) => name.strip_suffix(".local").map(str::to_owned).unwrap_or(name).into(),
        },
        // Serial numbers and identifiers may differ in letter case only.
        Attribute::Serial | Attribute::Identifier | Attribute::Fingerprint | Attribute::MudUrl => {
            value.into()
        }
        _ => lower(value),
    }
}

/// A text in lower case.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower { text.into() } else { text.to_lowercase().into() }
}

/// No belief is more certain than this, in percent: even what devices say of themselves can be forged.
const BELIEF_MAX: u32 = 99;

/// A statement, and what is thought of its value.
struct Weighed<'s, 'a> {
    said: &'s Said<'a>,
    meaning: Cow<'a, str>,
    /// How much all that mean the same weigh, in ten-thousandths.
    belief: u32,
    /// When one of them came up last.
    newest: Timestamp,
}

impl Weighed<'_, '_> {
    /// The order of belief: the most believed first.
    fn order(&self, other: &Self) -> Ordering {
        let weight = (other.belief, other.newest).cmp(&(self.belief, self.newest));
        let by_meaning = || self.meaning.cmp(&other.meaning);
        weight.then_with(by_meaning).then_with(|| Said::among_like(self.said, other.said))
    }
}

/// Whether all statements have one value, so that there is nothing to weigh.
fn is_undisputed(said: &[Said<'_>]) -> bool {
    said.windows(2).all(|pair| pair[0].value == pair[1].value)
}

/// Weighs the statements about one attribute.
fn weigh<'s, 'a>(attribute: Attribute, said: &'s [Said<'a>]) -> Vec<Weighed<'s, 'a>> {
    let mut weighed: Vec<Weighed<'s, 'a>> = Vec::with_capacity(said.len());
    for one in said {
        let meaning = meaning(attribute, one.value);
        weighed.push(Weighed { said: one, meaning, belief: 0, newest: Timestamp::EPOCH });
    }
    for at in 0..weighed.len() {
        let (before, rest) = weighed.split_at_mut(at);
        let Some((one, others)) = rest.split_first_mut() else { break };
        if let Some(alike) = before.iter().find(|other| other.meaning == one.meaning) {
            (one.belief, one.newest) = (alike.belief, alike.newest);
            continue;
        }
        let mut alike = others.iter().filter(|other| other.meaning == one.meaning).map(|other| other.said);
        (one.belief, one.newest) = match alike.next() {
            None => (belief([one.said.confidence]), one.said.first),
            Some(other) => together([one.said, other].into_iter().chain(alike).collect()),
        };
    }
    weighed
}

/// How much statements that mean the same weigh together, and when the last of them came up.
fn together(mut alike: Vec<&Said<'_>>) -> (u32, Timestamp) {
    // Each protocol together, and its strongest first.
    alike.sort_by(|left, right| {
        left.protocol().cmp(right.protocol()).then_with(|| right.confidence.cmp(&left.confidence))
    });
    let newest = alike.iter().map(|one| one.first).max().unwrap_or_default();
    alike.dedup_by(|other, one| other.protocol() == one.protocol());
    (belief(alike.iter().map(|one| one.confidence)), newest)
}

/// How much independent statements weigh together: in ten-thousandths, so that a second weak one still
/// tells.
fn belief(confidences: impl IntoIterator<Item = u8>) -> u32 {
    let doubt = confidences
        .into_iter()
        .fold(1_000_000_u64, |doubt, confidence| doubt * u64::from(100 - confidence.min(100)) / 100);
    ((1_000_000 - doubt) / 100).min(u64::from(BELIEF_MAX) * 100) as u32
}

/// Puts the statements about one attribute into order, the most believed first. The order depends on the
/// statements alone, not on the order in which they are given.
pub(crate) fn rank(attribute: Attribute, said: &mut [Said<'_>]) {
    if is_undisputed(said) {
        said.sort_by(Said::among_like);
        return;
    }
    let mut weighed = weigh(attribute, said);
    weighed.sort_by(Weighed::order);
    let ordered: Vec<Said<'_>> = weighed.iter().map(|one| *one.said).collect();
    drop(weighed);
    said.copy_from_slice(&ordered);
}

/// The statement about one attribute that is believed most: the first in their order.
pub(crate) fn best<'s, 'a>(attribute: Attribute, said: &'s [Said<'a>]) -> Option<&'s Said<'a>> {
    if is_undisputed(said) {
        return said.iter().min_by(|one, other| Said::among_like(one, other));
    }
    weigh(attribute, said).into_iter().min_by(Weighed::order).map(|best| best.said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(value: &'a str, source: &'a Name, confidence: u8, first: u64) -> Said<'a> {
        let first = Timestamp::from_secs(first);
        Said { attribute: Attribute::Hostname, value, source, confidence, first, last: first, count: 1 }
    }

    fn best<'a>(attribute: Attribute, mut all: Vec<Said<'a>>) -> Vec<&'a str> {
        rank(attribute, &mut all);
        let forwards: Vec<_> = all.iter().map(|one| one.value).collect();
        all.reverse();
        assert_eq!(super::best(attribute, &all).map(|one| one.value), forwards.first().copied());
        rank(attribute, &mut all);
        assert_eq!(all.iter().map(|one| one.value).collect::<Vec<_>>(), forwards, "order of arrival shows");
        forwards
    }

    #[test]
    fn independent_protocols_that_agree_outweigh_one_that_does_not() {
        let [dhcp, mdns, snmp] = ["dhcp.host-name", "mdns.a", "snmp.name"].map(Name::Borrowed);
        let ranked = best(
            Attribute::Hostname,
            vec![said("core", &snmp, 75, 1), said("PLC-1", &dhcp, 60, 1), said("plc-1.local", &mdns, 60, 1)],
        );
        assert_eq!(ranked, ["PLC-1", "plc-1.local", "core"]);
    }

    #[test]
    fn one_protocol_saying_the_same_twice_counts_once() {
        let [name, label, snmp] = ["dhcp.host-name", "dhcp.fqdn", "snmp.name"].map(Name::Borrowed);
        let ranked = best(
            Attribute::Hostname,
            vec![said("a", &name, 60, 1), said("a", &label, 60, 1), said("b", &snmp, 75, 1)],
        );
        assert_eq!(ranked[0], "b");
    }

    #[test]
    fn of_equal_weight_the_value_that_came_up_last_is_believed() {
        let source = Name::Borrowed("s7comm.szl");
        let ranked =
            best(Attribute::Firmware, vec![said("V4.5", &source, 95, 9), said("V4.2", &source, 95, 1)]);
        assert_eq!(ranked, ["V4.5", "V4.2"]);
    }

    #[test]
    fn the_weakest_value_makes_room_and_repetition_is_counted() {
        let entry = |value: &str, confidence, at| Entry {
            value: value.into(),
            source: 2,
            attribute: Attribute::Software,
            confidence,
            count: 1,
            first: Timestamp::from_secs(at),
            last: Timestamp::from_secs(at),
        };
        let mut entries = Few::default();
        assert!(add(&mut entries, entry("a", 50, 1), 2).new);
        assert!(!add(&mut entries, entry("a", 50, 7), 2).changed);
        assert!(add(&mut entries, entry("b", 20, 2), 2).new);
        assert!(add(&mut entries, entry("c", 75, 3), 2).shed);
        let kept: Vec<_> = entries.iter().map(|entry| (&*entry.value, entry.count)).collect();
        assert_eq!(kept, [("a", 2), ("c", 1)]);
    }
}
