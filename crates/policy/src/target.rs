//! What an operation is done to: address ranges, topics, names.

use query::Pattern;

/// So many addresses follow `count` at most; a dissector's own text says no more.
const MAX_COUNT: u64 = 1 << 20;

/// What a rule says of the target of operations. Dissectors write targets as text; lists have commas between their items,
/// and what was left out ends in `and N more`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Addresses of a table: `holding-registers 100-120`, `coils 5 unit 17`.
    Range(Range),
    /// Topics, with the wildcards of MQTT (OASIS MQTT 5.0, section 4.7): `plant/+/status`, `plant/#`.
    Topic(Vec<Box<str>>),
    /// Text, in which `*` stands for anything: `DB1.*`, `firmware.bin`.
    Text(Pattern),
}

/// Addresses of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// The table, in lower case.
    pub table: Box<str>,
    /// The first address.
    pub first: u64,
    /// The last address.
    pub last: u64,
    /// The unit, where one is meant.
    pub unit: Option<u64>,
}

impl Target {
    /// Reads what a rule says.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("the target of the operation is empty".into());
        }
        if let Some(range) = range(text) {
            return match range.first <= range.last {
                true => Ok(Self::Range(range)),
                false => Err(format!("the range `{text}` ends before it begins")),
            };
        }
        if !is_filter(text) {
            return Ok(Self::Text(Pattern::wild(text)));
        }
        let levels: Vec<Box<str>> = text.split('/').map(Box::from).collect();
        match levels.iter().position(|level| **level == *"#") {
            Some(place) if place + 1 < levels.len() => {
                Err(format!("`#` is not the last level of the topic `{text}`"))
            }
            _ => Ok(Self::Topic(levels)),
        }
    }

    /// Whether all of what an operation is done to lies within: what an `allow` asks.
    pub fn covers(&self, told: &str) -> bool {
        Self::cover([self].into_iter(), told)
    }

    /// Whether all of what an operation is done to lies within several together.
    pub(crate) fn cover<'a>(targets: impl Iterator<Item = &'a Self> + Clone, told: &str) -> bool {
        let is_all = |target: &Self| match target {
            Self::Text(pattern) => pattern.as_literal().is_some() && pattern.matches(told),
            Self::Range(_) | Self::Topic(_) => false,
        };
        targets.clone().any(is_all)
            || items(told)
                .all(|item| !is_more(item) && targets.clone().any(|target| target.covers_item(item)))
    }

    /// Whether some of what an operation is done to lies within, or could: what a `deny` asks.
    pub fn touches(&self, told: &str) -> bool {
        self.touches_item(told) || items(told).any(|item| is_more(item) || self.touches_item(item))
    }

    /// Whether it covers all that another does.
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Range(a), Self::Range(b)) => a.covers(b),
            (Self::Topic(a), Self::Topic(b)) => topic_covers(a, b),
            (Self::Text(_) | Self::Topic(_), Self::Text(b)) => {
                b.as_literal().is_some_and(|text| self.covers_item(text)) || self == other
            }
            _ => false,
        }
    }

    fn covers_item(&self, item: &str) -> bool {
        match self {
            Self::Range(range) => self::range(item).is_some_and(|told| range.covers(&told)),
            Self::Topic(levels) => topic_covers(levels, &item.split('/').map(Box::from).collect::<Vec<_>>()),
            // A subscription to many topics is not what a name without its wildcards means.
            Self::Text(pattern) => pattern.matches(item),
        }
    }

    fn touches_item(&self, item: &str) -> bool {
        match self {
            Self::Range(range) => self::range(item).is_some_and(|told| range.meets(&told)),
            Self::Topic(levels) => topic_meets(levels, &item.split('/').map(Box::from).collect::<Vec<_>>()),
            Self::Text(pattern) if pattern.matches(item) => true,
            Self::Text(pattern) if is_filter(item) => {
                let filter: Vec<Box<str>> = item.split('/').map(Box::from).collect();
                match pattern.as_literal() {
                    Some(text) => topic_meets(&filter, &text.split('/').map(Box::from).collect::<Vec<_>>()),
                    // What the wildcard stands for is not known level by level: it could be any of it.
                    None => true,
                }
            }
            Self::Text(_) => false,
        }
    }
}

impl Range {
    fn covers(&self, other: &Self) -> bool {
        self.table == other.table
            && self.first <= other.first
            && other.last <= self.last
            && (self.unit.is_none() || self.unit == other.unit)
    }

    fn meets(&self, other: &Self) -> bool {
        self.table == other.table
            && self.first <= other.last
            && other.first <= self.last
            && (self.unit.is_none() || other.unit.is_none() || self.unit == other.unit)
    }
}

fn items(told: &str) -> impl Iterator<Item = &str> {
    told.split(", ").flat_map(|item| match item.rfind(" and ") {
        Some(at) if is_more(item.get(at + 1..).unwrap_or_default()) => {
            [item.get(..at), item.get(at + 1..)].into_iter().flatten().collect()
        }
        _ => vec![item],
    })
}

/// Whether an item says only that there are more: `and 3 more`.
fn is_more(item: &str) -> bool {
    let number = item.strip_prefix("and ").and_then(|rest| rest.strip_suffix(" more"));
    number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Whether a text is a topic with wildcards.
fn is_filter(text: &str) -> bool {
    text.split('/').any(|level| matches!(level, "+" | "#"))
}

/// `TABLE A`, `TABLE A-B`, then `count N` or `unit N`.
fn range(text: &str) -> Option<Range> {
    let mut words = text.split_whitespace();
    let (table, addresses) = (words.next()?, words.next()?);
    if !table.starts_with(|c: char| c.is_alphabetic()) || table.contains(['*', '/']) {
        return None;
    }
    let (first, last) = addresses.split_once('-').unwrap_or((addresses, addresses));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?;
    let mut range =
        Range { table: table.to_lowercase().into(), first: digits(first)?, last: digits(last)?, unit: None };
    while let Some(word) = words.next() {
        let number: u64 = digits(words.next()?)?;
        match word {
            "unit" => range.unit = Some(number),
            "count" if number <= MAX_COUNT => {
                range.last = range.first.checked_add(number.saturating_sub(1))?;
            }
            _ => return None,
        }
    }
    Some(range)
}

/// Whether a wildcard may stand for a first level: not for those of the broker itself (MQTT section 4.7.2).
fn is_own(place: usize, level: &str) -> bool {
    place == 0 && level.starts_with('$')
}

/// Whether every topic that `inner` means is one that `outer` means.
fn topic_covers(outer: &[Box<str>], inner: &[Box<str>]) -> bool {
    for (place, level) in outer.iter().enumerate() {
        match (&**level, inner.get(place).map(|level| &**level)) {
            ("#", told) => return !told.is_some_and(|told| is_own(place, told)),
            ("+", Some(told)) if told != "#" && !is_own(place, told) => {}
            (level, Some(told)) if level == told => {}
            _ => return false,
        }
    }
    outer.len() == inner.len()
}

/// Whether some topic is meant by both.
fn topic_meets(a: &[Box<str>], b: &[Box<str>]) -> bool {
    for place in 0..=a.len().max(b.len()) {
        let (one, other) = (a.get(place).map(|level| &**level), b.get(place).map(|level| &**level));
        match (one, other) {
            (None, None) => return true,
            (Some("#"), Some(told)) | (Some(told), Some("#")) => return told == "#" || !is_own(place, told),
            // The parent of all below is among them.
            (Some("#"), None) | (None, Some("#")) => return true,
            (Some("+"), Some(told)) | (Some(told), Some("+")) if told == "+" || !is_own(place, told) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn what_dissectors_write_is_covered_or_not() {
        for (rule, told, covers, touches) in [
            ("holding-registers 100-120", "holding-registers 100-120 unit 1", true, true),
            ("holding-registers 100-120", "holding-registers 119-121 unit 1", false, true),
            ("holding-registers 100-120", "holding-registers 121 unit 1", false, false),
            ("holding-registers 100-120", "coils 100 unit 1", false, false),
            ("Holding-Registers 100 unit 2", "holding-registers 100 unit 1", false, false),
            ("holding-registers 100 unit 2", "holding-registers 100 unit 2", true, true),
            ("D 100-110", "D 100 count 11", true, true),
            ("D 100-110", "D 100 count 12", false, true),
            ("unit 1-5", "unit 3", true, true),
            ("DB1.*", "DB1.DBX10.0 BYTE 4", true, true),
            ("DB1.*", "DB1.DBX10.0 BYTE 4, M 1.3 BIT 1", false, true),
            ("DB1.*", "DB1.DBX1.0 BYTE 4, DB1.DBX9.0 BYTE 4", true, true),
            ("DB1.*", "DB1.DBX1.0 BYTE 4 and 3 more", false, true),
            ("i=2258", "i=2258, i=2259", false, true),
            ("fw/plug-2.1.bin", "fw/plug-2.1.bin", true, true),
            ("a, b", "a, b", true, true),
            ("public*", "public, secret", false, true),
            ("plant/+/status", "plant/7/status", true, true),
            ("plant/+/status", "plant/7/x/status", false, false),
            ("plant/#", "plant", true, true),
            ("plant/#", "plant/+/status", true, true),
            ("plant/+/status", "plant/#", false, true),
            ("secret/x", "#", false, true),
            ("secret/x", "secret/+", false, true),
            ("secret/x", "public/+", false, false),
            ("#", "$SYS/load", false, false),
            ("$SYS/#", "$SYS/load", true, true),
        ] {
            assert_eq!(target(rule).covers(told), covers, "{rule} covers {told}");
            assert_eq!(target(rule).touches(told), touches, "{rule} touches {told}");
        }
        assert!(
            Target::parse("coils 5-4").is_err()
                && Target::parse("a/#/b").is_err()
                && Target::parse(" ").is_err()
        );
    }

    /// All topics of at most three levels of two letters, and of the broker itself.
    fn topics() -> Vec<Vec<Box<str>>> {
        let mut all = vec![vec![]];
        for place in 0..3 {
            for start in all.clone() {
                if start.len() == place {
                    for level in if place == 0 { &["a", "b", "$s"][..] } else { &["a", "b"] } {
                        let mut topic: Vec<Box<str>> = start.clone();
                        topic.push((*level).into());
                        all.push(topic);
                    }
                }
            }
        }
        all.retain(|topic| !topic.is_empty());
        all
    }

    proptest! {
        /// Topics of up to three levels tell filters of up to two apart.
        #[test]
        fn filters_relate_as_the_topics_that_they_mean(
            a in prop::collection::vec(prop::sample::select(vec!["a", "b", "+", "$s"]), 0..3),
            b in prop::collection::vec(prop::sample::select(vec!["a", "b", "+", "$s"]), 0..3),
            many in any::<[bool; 2]>(),
        ) {
            let filter = |levels: Vec<&str>, many: bool| {
                let mut levels: Vec<Box<str>> = levels.into_iter().map(Box::from).collect();
                if many || levels.is_empty() {
                    levels.push("#".into());
                }
                levels
            };
            let (a, b) = (filter(a, many[0]), filter(b, many[1]));
            // The broker's own levels stand first only.
            prop_assume!(![&a, &b].iter().any(|filter| filter.iter().skip(1).any(|level| level.starts_with('$'))));
            let means = |filter: &[Box<str>]| -> Vec<bool> { topics().iter().map(|topic| topic_covers(filter, topic)).collect() };
            let (in_a, in_b) = (means(&a), means(&b));
            let both = in_a.iter().zip(&in_b).any(|(a, b)| *a && *b);
            prop_assert_eq!(topic_meets(&a, &b), both, "{:?} {:?}", a, b);
            let within = in_b.iter().zip(&in_a).all(|(b, a)| !b || *a);
            prop_assert!(!topic_covers(&a, &b) || within, "{:?} {:?}", a, b);
        }
    }
}
