//! Retention: how long what is kept, and what has to go. Erasing is left to whoever stores.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The shortest time that anything is kept: an hour. Less would erase what is still being looked at.
pub const MIN_KEEP: Duration = Duration::from_secs(HOUR);
/// The longest time: a hundred years of 365 days.
pub const MAX_KEEP: Duration = Duration::from_secs(100 * YEAR);
/// The most legal holds at one time.
pub const MAX_HOLDS: usize = 1000;
/// The most characters of a hold's reason.
pub const MAX_REASON: usize = 500;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const YEAR: u64 = 365 * DAY;
/// Units of time from the longest, as they are written. Months are of no one length, so there are none.
const UNITS: [(char, u64); 4] = [('y', YEAR), ('w', WEEK), ('d', DAY), ('h', HOUR)];

/// A kind of data that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// Who talked to whom, when and how much.
    Conversations,
    /// What was found to be wrong, and incidents.
    Findings,
    /// Packets that were cut out as evidence.
    Evidence,
    /// The log of what was learnt.
    Observations,
    /// Who did what in Pavise.
    Audit,
    /// Who was logged in to Pavise.
    Sessions,
}

impl Stored {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Conversations,
        Self::Findings,
        Self::Evidence,
        Self::Observations,
        Self::Audit,
        Self::Sessions,
    ];

    /// How long it is kept unless settings say otherwise, and why.
    pub const fn default_keep(self) -> (Duration, &'static str) {
        match self {
            Self::Conversations => {
                (days(90), "intrusions are often found weeks after they began, and are traced back by these")
            }
            Self::Findings => {
                (days(365), "a year of findings shows what comes back and whether measures worked")
            }
            Self::Evidence => (
                days(30),
                "packets hold what was said, so they stay only as long as a finding is looked into",
            ),
            Self::Observations => (
                days(14),
                "it is for asking how something was concluded; what follows from it is kept elsewhere",
            ),
            Self::Audit => {
                (days(365), "PCI DSS 4.0, 10.5.1, asks for twelve months, and yearly audits look back")
            }
            Self::Sessions => {
                (days(30), "a stolen login shows within weeks; longer would be a record of hours worked")
            }
        }
    }
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * DAY)
}

/// How long something is kept. As text `30d`, `12w`, `1y`, `36h` or `forever`; a year has 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeepFor {
    /// For this long after it was made, [`MIN_KEEP`] to [`MAX_KEEP`].
    Span(Duration),
    /// For ever.
    Forever,
}

/// Why a retention rule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// The text is no duration.
    #[error(
        "\"{0}\" is not how long to keep: write a whole number and h, d, w or y, such as 30d, or forever"
    )]
    NotASpan(String),
    /// The duration is out of bounds.
    #[error("\"{0}\" is too short or too long to keep anything: it has to be between 1h and 100y")]
    OutOfBounds(String),
    /// There are too many holds.
    #[error("there are {max} legal holds already: lift those that are over", max = MAX_HOLDS)]
    TooManyHolds,
    /// A hold is not complete.
    #[error("a legal hold needs a reason of 1 to {max} characters and a start before its end", max = MAX_REASON)]
    BadHold,
}

impl FromStr for KeepFor {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Self, RetentionError> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let wrong = || RetentionError::NotASpan(text.chars().take(40).collect());
        let (unit, seconds) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(wrong)?;
        let digits = text.strip_suffix(unit).ok_or_else(wrong)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let out_of_bounds = || RetentionError::OutOfBounds(text.chars().take(40).collect());
        let number: u64 = digits.parse().map_err(|_| out_of_bounds())?;
        let span = Duration::from_secs(number.checked_mul(seconds).ok_or_else(out_of_bounds)?);
        if (MIN_KEEP..=MAX_KEEP).contains(&span) { Ok(Self::Span(span)) } else { Err(out_of_bounds()) }
    }
}

/// In the longest unit that it is a whole number of; parts of an hour are left out.
impl fmt::Display for KeepFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Span(span) = self else { return f.write_str("forever") };
        let seconds = span.as_secs();
        let (unit, length) =
            UNITS.into_iter().find(|(_, length)| seconds.is_multiple_of(*length)).unwrap_or(('h', HOUR));
        write!(f, "{}{unit}", seconds / length)
    }
}

impl Serialize for KeepFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeepFor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// For what.
    pub kind: Stored,
    /// For how long.
    pub keep: KeepFor,
}

/// An order to keep what was made within a time, whatever the rules say: a legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Of what; `None` for everything.
    pub kind: Option<Stored>,
    /// From this moment.
    pub from: Timestamp,
    /// To this moment, exclusive; `None` if it goes on.
    pub until: Option<Timestamp>,
    /// Why, such as the number of a case.
    pub reason: String,
}

impl Hold {
    fn is_whole(&self) -> bool {
        (1..=MAX_REASON).contains(&self.reason.chars().count())
            && self.until.is_none_or(|until| self.from < until)
    }

    fn is_of(&self, kind: Stored) -> bool {
        self.kind.is_none_or(|held| held == kind)
    }

    fn holds(&self, kind: Stored, at: Timestamp) -> bool {
        self.is_of(kind) && self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// All rules and holds. Kinds without a rule have their default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retentions {
    rules: BTreeMap<Stored, KeepFor>,
    holds: Vec<Hold>,
}

impl Retentions {
    /// The defaults, changed by rules; of two for one kind the later one counts.
    pub fn new(rules: &[Retention]) -> Self {
        Self { rules: rules.iter().map(|rule| (rule.kind, rule.keep)).collect(), holds: Vec::new() }
    }

    /// Adds a legal hold.
    ///
    /// # Errors
    /// If it has no reason or no time, or there are [`MAX_HOLDS`].
    pub fn hold(&mut self, hold: Hold) -> Result<(), RetentionError> {
        if !hold.is_whole() {
            return Err(RetentionError::BadHold);
        }
        if self.holds.len() >= MAX_HOLDS {
            return Err(RetentionError::TooManyHolds);
        }
        self.holds.push(hold);
        Ok(())
    }

    /// The holds in force.
    pub fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// The rule for a kind.
    pub fn keep(&self, kind: Stored) -> KeepFor {
        self.rules.get(&kind).copied().unwrap_or(KeepFor::Span(kind.default_keep().0))
    }

    /// Whether what was made at `at` has to be erased at `now`. What is on hold never has; nor has what is newer
    /// than `now`, of which some clock is wrong.
    pub fn due(&self, kind: Stored, at: Timestamp, now: Timestamp) -> bool {
        self.is_old(kind, at, now) && !self.holds.iter().any(|hold| hold.holds(kind, at))
    }

    fn is_old(&self, kind: Stored, at: Timestamp, now: Timestamp) -> bool {
        match self.keep(kind) {
            KeepFor::Span(span) => at <= now && now.since(at) >= span,
            KeepFor::Forever => false,
        }
    }

    /// The times of which everything has to be erased at `now`, in order and apart from each other: for those who
    /// erase by ranges. What was made at a moment lies in one of them just if it is due.
    pub fn due_spans(&self, kind: Stored, now: Timestamp) -> Vec<Range<Timestamp>> {
        let KeepFor::Span(span) = self.keep(kind) else { return Vec::new() };
        if now.since(Timestamp::EPOCH) < span {
            return Vec::new();
        }
        // Due is what is as old as the span, or older.
        let end = now - span + Duration::from_nanos(1);
        let mut held: Vec<&Hold> = self.holds.iter().filter(|hold| hold.is_of(kind)).collect();
        held.sort_by_key(|hold| hold.from);
        let (mut spans, mut start) = (Vec::new(), Timestamp::EPOCH);
        for hold in held {
            if start < hold.from.min(end) {
                spans.push(start..hold.from.min(end));
            }
            match hold.until {
                Some(until) => start = start.max(until),
                None => return spans,
            }
        }
        if start < end {
            spans.push(start..end);
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(day: u64) -> Timestamp {
        Timestamp::from_secs(day * DAY)
    }

    fn hold(kind: Option<Stored>, from: u64, until: Option<u64>) -> Hold {
        Hold { kind, from: at(from), until: until.map(at), reason: "case 4711".into() }
    }

    #[test]
    fn spans_are_read_and_written() {
        for (text, seconds) in
            [("1h", 3600), ("30d", 30 * DAY), ("12w", 84 * DAY), ("1y", 365 * DAY), ("100y", 100 * YEAR)]
        {
            let keep: KeepFor = text.parse().unwrap();
            assert_eq!(keep, KeepFor::Span(Duration::from_secs(seconds)));
            assert_eq!(keep.to_string(), text);
            assert_eq!(
                serde_json::from_str::<KeepFor>(&serde_json::to_string(&keep).unwrap()).unwrap(),
                keep
            );
        }
        assert_eq!("forever".parse(), Ok(KeepFor::Forever));
        assert_eq!("14d".parse::<KeepFor>().unwrap().to_string(), "2w");
        for bad in ["", "d", "30", "30 d", "-1d", "+1d", "1.5d", "30D", "3m", "30dd", "٣d", "never"] {
            assert!(matches!(bad.parse::<KeepFor>(), Err(RetentionError::NotASpan(_))), "{bad}");
        }
        for bad in ["0d", "101y", "99999999999999999999d", "18446744073709551615y"] {
            assert!(matches!(bad.parse::<KeepFor>(), Err(RetentionError::OutOfBounds(_))), "{bad}");
        }
    }

    #[test]
    fn what_is_as_old_as_its_rule_is_due_and_what_is_held_never() {
        let text = r#"[{"kind":"evidence","keep":"10d"},{"kind":"audit","keep":"forever"}]"#;
        let rules: Vec<Retention> = serde_json::from_str(text).unwrap();
        let mut retentions = Retentions::new(&rules);
        let now = at(1000);
        assert!(retentions.due(Stored::Evidence, at(990), now));
        assert!(!retentions.due(Stored::Evidence, at(990) + Duration::from_nanos(1), now));
        assert!(!retentions.due(Stored::Evidence, at(1001), now), "from the future");
        assert!(!retentions.due(Stored::Audit, at(0), now));
        assert!(retentions.due(Stored::Sessions, at(970), now), "by the default");
        retentions.hold(hold(Some(Stored::Evidence), 900, Some(950))).unwrap();
        assert!(!retentions.due(Stored::Evidence, at(900), now));
        assert!(retentions.due(Stored::Evidence, at(950), now), "the end is exclusive");
        assert!(retentions.due(Stored::Sessions, at(920), now));
        retentions.hold(hold(None, 0, None)).unwrap();
        assert!(Stored::ALL.iter().all(|kind| !retentions.due(*kind, at(5), now)));
    }

    #[test]
    fn spans_leave_out_holds_that_overlap() {
        let rule = Retention { kind: Stored::Findings, keep: KeepFor::Span(days(1)) };
        let mut retentions = Retentions::new(&[rule]);
        for (from, until) in [(10, 40), (15, 20), (30, 50), (90, 120)] {
            retentions.hold(hold(None, from, Some(until))).unwrap();
        }
        let spans = retentions.due_spans(Stored::Findings, at(100));
        assert_eq!(spans, [at(0)..at(10), at(50)..at(90)]);
        assert_eq!(retentions.due_spans(Stored::Findings, Timestamp::EPOCH), []);
    }

    #[test]
    fn holds_need_a_reason_and_a_time_and_are_limited() {
        let mut retentions = Retentions::default();
        let nameless = Hold { reason: String::new(), ..hold(None, 1, None) };
        for bad in [nameless, hold(None, 2, Some(2)), hold(None, 3, Some(2))] {
            assert_eq!(retentions.hold(bad), Err(RetentionError::BadHold));
        }
        for _ in 0..MAX_HOLDS {
            retentions.hold(hold(None, 1, Some(2))).unwrap();
        }
        assert_eq!(retentions.hold(hold(None, 1, Some(2))), Err(RetentionError::TooManyHolds));
    }

    #[test]
    fn each_default_is_within_bounds_and_has_a_reason() {
        for kind in Stored::ALL {
            let (span, why) = kind.default_keep();
            assert!((MIN_KEEP..=MAX_KEEP).contains(&span) && why.len() > 20, "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn spans_hold_just_what_is_due(
            keep in 1u64..20, now in 50u64..100, moments in proptest::collection::vec(0u64..110, 1..20),
            holds in proptest::collection::vec((0u64..100, proptest::option::weighted(0.9, 1u64..30), proptest::bool::weighted(0.8)), 0..6),
        ) {
            let rule = Retention { kind: Stored::Findings, keep: KeepFor::Span(days(keep)) };
            let mut retentions = Retentions::new(&[rule]);
            for (from, length, ours) in holds {
                let kind = if ours { Stored::Findings } else { Stored::Audit };
                retentions.hold(hold(Some(kind), from, length.map(|length| from + length))).unwrap();
            }
            let spans = retentions.due_spans(Stored::Findings, at(now));
            prop_assert!(spans.iter().all(|span| span.start < span.end));
            prop_assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
            for moment in moments {
                let within = spans.iter().any(|span| span.contains(&at(moment)));
                prop_assert_eq!(within, retentions.due(Stored::Findings, at(moment), at(now)), "day {}", moment);
            }
        }
    }
}
