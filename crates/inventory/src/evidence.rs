//! What was said about a device, and which of it to believe.
//!
//! Nothing that was said is overwritten: every value is kept with who said it, how often and when. Values
//! that mean the same (see [`meaning`]) support each other: each protocol counts once, by its strongest
//! statement, and independent protocols together weigh more than one (the chance that all of them are
//! wrong is the product of the chances that each is). Of values that weigh the same, the one that came up
//! last is believed, for versions and names do change.

use model::{Attribute, Evidence, Name, Timestamp};

use crate::names::{NameId, Names};
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

/// Adds an entry, to the one that says the same if there is one. Of more than `limit` values of an
/// attribute the weakest goes, of equally weak ones the one that was not heard for longest.
pub(crate) fn add(entries: &mut Vec<Entry>, entry: Entry, limit: usize) -> Added {
    let (attribute, source) = (entry.attribute, entry.source);
    let same = entries
        .iter_mut()
        .find(|known| known.attribute == attribute && known.source == source && known.value == entry.value);
    if let Some(known) = same {
        let changed = entry.confidence > known.confidence;
        known.confidence = known.confidence.max(entry.confidence);
        known.count = known.count.saturating_add(entry.count);
        known.first = known.first.min(entry.first);
        known.last = known.last.max(entry.last);
        return Added { changed, new: false, shed: false };
    }
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

    /// The protocol that said it.
    fn protocol(&self) -> &'a str {
        self.source.split_once('.').map_or(&**self.source, |(protocol, _)| protocol)
    }
}

/// What a value means, so that different spellings can agree: companies without their legal form, host
/// names without letter case, final point and `.local`, everything else without letter case.
pub(crate) fn meaning(attribute: Attribute, value: &str) -> String {
    match attribute {
        Attribute::Vendor => vendor::key(value),
        Attribute::Hostname => {
            let name = value.trim_end_matches('.').to_lowercase();
            name.strip_suffix(".local").map_or_else(|| name.clone(), str::to_owned)
        }
        // Serial numbers and identifiers may differ in letter case only.
        Attribute::Serial | Attribute::Identifier | Attribute::Fingerprint | Attribute::MudUrl => {
            value.to_owned()
        }
        _ => value.to_lowercase(),
    }
}

/// No belief is more certain than this, in percent: even what devices say of themselves can be forged.
const BELIEF_MAX: u32 = 99;

/// Puts the statements about one attribute into order, the most believed first. The order depends on the
/// statements alone, not on the order in which they are given.
pub(crate) fn rank(attribute: Attribute, said: &mut [Said<'_>]) {
    if said.len() < 2 {
        return;
    }
    let mut meanings: Vec<String> = said.iter().map(|one| meaning(attribute, one.value)).collect();
    let mut order: Vec<usize> = (0..said.len()).collect();
    // Within one meaning, the strongest first and each protocol together.
    order.sort_by(|a, b| {
        let (left, right) = (&said[*a], &said[*b]);
        (meanings[*a].as_str(), left.protocol(), right.confidence).cmp(&(
            meanings[*b].as_str(),
            right.protocol(),
            left.confidence,
        ))
    });
    let mut groups: Vec<(u32, Timestamp)> = vec![(0, Timestamp::EPOCH); said.len()];
    let mut start = 0;
    while start < order.len() {
        let mine = &meanings[order[start]];
        let length = order[start..].iter().take_while(|at| meanings[**at] == *mine).count();
        let group = &order[start..start + length];
        let mut doubt = 1_000_000_u64;
        let mut protocol = None;
        for at in group {
            let one = &said[*at];
            if protocol != Some(one.protocol()) {
                protocol = Some(one.protocol());
                doubt = doubt * u64::from(100 - one.confidence.min(100)) / 100;
            }
        }
        // In ten-thousandths, so that a second weak source still tells.
        let belief = ((1_000_000 - doubt) / 100).min(u64::from(BELIEF_MAX) * 100) as u32;
        let newest = group.iter().map(|at| said[*at].first).max().unwrap_or_default();
        for at in group {
            groups[*at] = (belief, newest);
        }
        start += length;
    }
    order.sort_by(|a, b| {
        let (left, right) = (&said[*a], &said[*b]);
        (groups[*b], &meanings[*a], right.confidence, left.first, left.source, left.value).cmp(&(
            groups[*a],
            &meanings[*b],
            left.confidence,
            right.first,
            right.source,
            right.value,
        ))
    });
    meanings.clear();
    let ordered: Vec<Said<'_>> = order.iter().map(|at| said[*at]).collect();
    said.copy_from_slice(&ordered);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(value: &'a str, source: &'a Name, confidence: u8, first: u64) -> Said<'a> {
        let first = Timestamp::from_secs(first);
        Said { value, source, confidence, first, last: first, count: 1 }
    }

    fn best<'a>(attribute: Attribute, mut all: Vec<Said<'a>>) -> Vec<&'a str> {
        rank(attribute, &mut all);
        let forwards: Vec<_> = all.iter().map(|one| one.value).collect();
        all.reverse();
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
        let mut entries = Vec::new();
        assert!(add(&mut entries, entry("a", 50, 1), 2).new);
        assert!(!add(&mut entries, entry("a", 50, 7), 2).changed);
        assert!(add(&mut entries, entry("b", 20, 2), 2).new);
        assert!(add(&mut entries, entry("c", 75, 3), 2).shed);
        let kept: Vec<_> = entries.iter().map(|entry| (&*entry.value, entry.count)).collect();
        assert_eq!(kept, [("a", 2), ("c", 1)]);
    }
}
