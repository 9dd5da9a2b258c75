//! What is true of a trial, in one form for all sets.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use model::{FlowId, MacAddr, Timestamp};

/// From one moment to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Span {
    pub(crate) fn at(moment: Timestamp) -> Self {
        Self { first: moment, last: moment }
    }

    /// The same with so much more on both sides.
    pub(crate) fn grown(self, by: Duration) -> Self {
        Self { first: self.first - by, last: self.last + by }
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn contains(self, moment: Timestamp) -> bool {
        self.overlaps(Self::at(moment))
    }

    fn seconds(self) -> f64 {
        self.last.since(self.first).as_secs_f64()
    }
}

/// Spans in order, those that touch put together.
pub(crate) fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort();
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(open) if open.contains(span.first) => open.last = open.last.max(span.last),
            _ => joined.push(span),
        }
    }
    joined
}

/// What two unions share.
pub(crate) fn shared(left: &[Span], right: &[Span]) -> Vec<Span> {
    left.iter()
        .flat_map(|a| right.iter().map(move |b| (a, b)))
        .filter(|(a, b)| a.overlaps(**b))
        .map(|(a, b)| Span { first: a.first.max(b.first), last: a.last.min(b.last) })
        .collect()
}

/// The seconds of a union.
pub(crate) fn seconds(spans: &[Span]) -> f64 {
    spans.iter().map(|span| span.seconds()).sum()
}

/// How a label or a finding names a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Ip(IpAddr),
    Mac(MacAddr),
    /// The identifier of frames on a CAN bus.
    Can(u32),
}

impl Name {
    /// Reads a name; the identifier of a CAN frame is hexadecimal, with or without `can` and `0x`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(ip) = text.parse() {
            return Some(Self::Ip(ip));
        }
        if let Ok(mac) = text.parse() {
            return Some(Self::Mac(mac));
        }
        let lower = text.to_ascii_lowercase();
        let bare = lower.trim_start_matches("can").trim_start_matches([' ', ':', '-', '/']);
        let digits = bare.trim_start_matches("id ").trim_start_matches("0x");
        u32::from_str_radix(digits, 16).ok().map(Self::Can)
    }
}

/// One attack, as the labels tell it.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    pub(crate) kind: String,
    pub(crate) span: Span,
    /// Attackers and victims; empty where the labels name none.
    pub(crate) hosts: BTreeSet<Name>,
}

/// One end of a conversation, with its port.
pub(crate) type End = (Name, u16);

/// The two ends of a conversation, the smaller first.
pub(crate) type Ends = [End; 2];

/// The smallest thing that has a label: a packet, a conversation, a row.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) span: Span,
    /// The conversation that it is or belongs to, where that is known.
    pub(crate) flow: Option<FlowId>,
    /// What tells the conversation of a packet.
    pub(crate) ends: Option<Ends>,
    pub(crate) hosts: Vec<Name>,
    pub(crate) malicious: bool,
}

/// Malicious units as attacks: those that are at most `pause` apart are one.
pub(crate) fn bursts(kind: &str, units: &[Unit], pause: Duration) -> Vec<Attack> {
    let mut marked: Vec<&Unit> = units.iter().filter(|unit| unit.malicious).collect();
    marked.sort_by_key(|unit| unit.span);
    let mut attacks: Vec<Attack> = Vec::new();
    for unit in marked {
        match attacks.last_mut() {
            Some(open) if unit.span.first <= open.span.last + pause => {
                open.span.last = open.span.last.max(unit.span.last);
                open.hosts.extend(&unit.hosts);
            }
            _ => attacks.push(Attack {
                kind: kind.to_owned(),
                span: unit.span,
                hosts: unit.hosts.iter().copied().collect(),
            }),
        }
    }
    attacks
}

/// A moment as text: RFC 3339 with an offset.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|error| format!("{text}: {error}"))
}

/// A moment in seconds since the epoch, as text with a fraction, exact to the microsecond.
pub(crate) fn epoch(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text}: not a time in seconds");
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if whole.contains(['e', 'E']) || fraction.contains(['e', 'E']) {
        let seconds: f64 = text.trim().parse().map_err(|_| wrong())?;
        return Ok(Timestamp::EPOCH + Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?);
    }
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let micros: u64 = micros.parse().map_err(|_| wrong())?;
    Ok(Timestamp::from_micros(whole * 1_000_000 + micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first: Timestamp::from_secs(first), last: Timestamp::from_secs(last) }
    }

    #[test]
    fn spans_that_touch_become_one_and_what_unions_share_is_counted_once() {
        let left = union(vec![span(30, 40), span(0, 10), span(5, 20), span(20, 25)]);
        assert_eq!(left, [span(0, 25), span(30, 40)]);
        let right = union(vec![span(10, 35)]);
        assert_eq!(shared(&left, &right), [span(10, 25), span(30, 35)]);
        assert_eq!(seconds(&left), 35.0);
        assert!(shared(&left, &[]).is_empty());
    }

    #[test]
    fn names_are_read_as_addresses_first_and_identifiers_then() {
        assert_eq!(Name::read("10.0.0.1"), Some(Name::Ip("10.0.0.1".parse().unwrap())));
        assert_eq!(Name::read("00:1B:1b:00:00:01"), Name::read("00:1b:1b:00:00:01"));
        for text in ["1d0", "0x1D0", "can 0x1d0", "CAN id 0x1d0"] {
            assert_eq!(Name::read(text), Some(Name::Can(0x1d0)), "{text}");
        }
        assert_eq!(Name::read("a pump"), None);
    }

    #[test]
    fn malicious_units_that_are_near_each_other_are_one_attack() {
        let unit = |second: u64, malicious| Unit {
            span: Span::at(Timestamp::from_secs(second)),
            flow: None,
            ends: None,
            hosts: vec![Name::Can(u32::try_from(second).unwrap())],
            malicious,
        };
        let units = [unit(1, true), unit(2, false), unit(3, true), unit(9, true)];
        let attacks = bursts("flood", &units, Duration::from_secs(2));
        let spans: Vec<Span> = attacks.iter().map(|attack| attack.span).collect();
        assert_eq!(spans, [span(1, 3), span(9, 9)]);
        assert_eq!(attacks[0].hosts, [Name::Can(1), Name::Can(3)].into());
        assert!(bursts("flood", &units[1..2], Duration::from_secs(2)).is_empty());
    }

    #[test]
    fn times_are_read_with_zone_and_with_fraction() {
        assert_eq!(moment("2016-12-15T17:26:09.5+10:00").unwrap(), moment("2016-12-15T07:26:09.5Z").unwrap());
        assert_eq!(epoch("12.5").unwrap(), Timestamp::from_micros(12_500_000));
        assert_eq!(epoch("9e-06").unwrap(), Timestamp::from_micros(9));
        assert_eq!(epoch("7").unwrap(), Timestamp::from_secs(7));
        assert!(epoch("noon").is_err());
    }
}
