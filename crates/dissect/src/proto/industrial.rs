//! What the industrial protocols share: who asks, which polls are news, and text from device fields.

use std::time::Duration;

use model::{FlowHead, Side, Timestamp};

/// Nobody waits longer than this for an answer: the acknowledgement of IEC 60870-5-104 is due within 15 seconds (t1, clause
/// 9.6), those of the other protocols within a few.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many of the requests that wait, the oldest first, will not be answered any more.
pub(crate) fn overdue(asked: impl Iterator<Item = Timestamp>, now: Timestamp) -> usize {
    asked.take_while(|asked| now.since(*asked) > PATIENCE).count()
}

/// Who asks in a conversation. The one who opened it, unless only the client's port is one of the
/// protocol's own: then the capture began in the middle with an answer.
pub(crate) fn asker(flow: &FlowHead, ports: &[u16]) -> Side {
    if ports.contains(&flow.client.port) && !ports.contains(&flow.server.port) {
        Side::Server
    } else {
        Side::Client
    }
}

/// How many different requests of a conversation are remembered at most.
const REMEMBERED: usize = 64;

/// Most conversations have few requests: there is room for so many at first, and four times as many whenever
/// that is not enough.
const REMEMBERED_FIRST: usize = 4;

/// Remembers what a conversation has asked before, so that polling, the same reads over and over, is
/// told once. A request that was forgotten is told again: nothing is lost, only repeated.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Digests of requests, 0 where there is none; none at all, or a power of four of them.
    slots: Box<[u32]>,
}

impl Recent {
    /// Whether these words were not asked lately; they are remembered. Each request has two places and
    /// drives out what stands in the second when both are taken.
    pub(crate) fn is_new(&mut self, words: &[u64]) -> bool {
        let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
        for word in words {
            hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
            hash ^= hash >> 32;
        }
        let digest = hash as u32 | 1;
        if !self.slots.is_empty() && self.places(digest).iter().any(|place| self.slots[*place] == digest) {
            return false;
        }
        while self.slots.len() < REMEMBERED && self.free(digest).is_none() {
            let room = (self.slots.len() * 4).max(REMEMBERED_FIRST);
            let known = std::mem::replace(&mut self.slots, vec![0; room].into());
            for digest in known.into_iter().filter(|digest| *digest != 0) {
                self.put(digest);
            }
        }
        self.put(digest);
        true
    }

    /// The two places of a request; there must be places.
    fn places(&self, digest: u32) -> [usize; 2] {
        [(digest >> 1) as usize % self.slots.len(), (digest >> 8) as usize % self.slots.len()]
    }

    fn free(&self, digest: u32) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        self.places(digest).into_iter().find(|place| self.slots[*place] == 0)
    }

    fn put(&mut self, digest: u32) {
        let place = self.free(digest).unwrap_or_else(|| self.places(digest)[1]);
        self.slots[place] = digest;
    }
}

/// A number that stands for some bytes where a rare mistake does no harm: FNV-1a (Fowler, Noll and Vo).
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// How many points of a conversation are watched at most; others are not told.
const MAX_POINTS: usize = 32;
/// A point's value is told at most once in so many nanoseconds: a little less than the second in which panels ask for it,
/// for some answers come a little early, and where some are left out no two courses of values are the same.
const SAMPLE_EVERY: u64 = 900_000_000;
/// A value that does not change is told again after so many nanoseconds.
const SAMPLE_AGAIN: u64 = 60_000_000_000;

/// Remembers the values of points that are read over and over, so that each is told when it changes and now and
/// then while it does not. What is read for less than [`SAMPLE_EVERY`] shows no behaviour: nothing is remembered.
#[derive(Debug, Default)]
pub(crate) struct Points(Option<Box<Watched>>);

#[derive(Debug)]
struct Watched {
    /// When the first point was read.
    since: Timestamp,
    /// By key.
    points: Vec<Point>,
}

#[derive(Debug)]
struct Point {
    key: u64,
    value: f64,
    told: Timestamp,
    /// Its name, once it was told.
    name: Option<model::Point>,
}

impl Points {
    /// The name of the point of that key, which was asked for, if its value is to be told now.
    pub(crate) fn news(
        &mut self,
        key: u64,
        value: f64,
        at: Timestamp,
        name: impl FnOnce() -> String,
    ) -> Option<model::Point> {
        self.tell(key, value, at, false, name)
    }

    /// The same of a value that was reported of the device's own accord: the first tells something.
    pub(crate) fn reported(
        &mut self,
        key: u64,
        value: f64,
        at: Timestamp,
        name: impl FnOnce() -> String,
    ) -> Option<model::Point> {
        self.tell(key, value, at, true, name)
    }

    fn tell(
        &mut self,
        key: u64,
        value: f64,
        at: Timestamp,
        first: bool,
        name: impl FnOnce() -> String,
    ) -> Option<model::Point> {
        let Watched { since, points } =
            &mut **self.0.get_or_insert_with(|| Box::new(Watched { since: at, points: Vec::new() }));
        if !first && at.as_nanos() < since.as_nanos().saturating_add(SAMPLE_EVERY) {
            return None;
        }
        let place = match points.binary_search_by_key(&key, |point| point.key) {
            Ok(place) => {
                let point = &mut points[place];
                let passed = at.as_nanos().saturating_sub(point.told.as_nanos());
                if passed < SAMPLE_EVERY || passed < SAMPLE_AGAIN && point.value == value {
                    return None;
                }
                (point.value, point.told) = (value, at);
                place
            }
            Err(_) if points.len() >= MAX_POINTS => return None,
            Err(place) => {
                // What is read once shows no behaviour, either; it is told when it is read again.
                let told = if first { at } else { Timestamp::EPOCH };
                points.insert(place, Point { key, value, told, name: None });
                if !first {
                    return None;
                }
                place
            }
        };
        Some(points[place].name.get_or_insert_with(|| name().as_str().into()).clone())
    }
}

/// Adds what is under way in a conversation, in which that is hardly ever more than one thing at a time: a vector would
/// begin with room for four.
pub(crate) fn begin<T>(under_way: &mut Vec<T>, one: T) {
    if under_way.is_empty() {
        under_way.reserve_exact(1);
    }
    under_way.push(one);
}

/// Text from a field of fixed size: up to the first NUL, without surrounding blanks, or `None` if what
/// is left is empty or is not printable.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = text.trim();
    let printable = !text.is_empty() && !text.chars().any(|c| c.is_control() || c == '\u{fffd}');
    printable.then(|| text.to_owned())
}

/// Bytes that serialize as lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl serde::Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_news_once_and_a_changed_poll_is_news_again() {
        let mut recent = Recent::default();
        assert!(recent.is_new(&[3, 100]));
        assert!(!recent.is_new(&[3, 100]));
        assert!(recent.is_new(&[3, 101]));
        assert!(!recent.is_new(&[3, 100]));
    }

    #[test]
    fn few_requests_take_little_room_and_many_are_bounded() {
        let mut recent = Recent::default();
        assert_eq!(recent.slots.len(), 0);
        recent.is_new(&[1]);
        assert_eq!(recent.slots.len(), REMEMBERED_FIRST);
        for word in 0..1000 {
            assert!(recent.is_new(&[word, 7]), "{word}");
            assert!(!recent.is_new(&[word, 7]), "{word}");
        }
        assert_eq!(recent.slots.len(), REMEMBERED);
    }

    #[test]
    fn values_are_told_when_they_change_and_within_limits() {
        let at = |ms: u64| Timestamp::from_micros(ms * 1000);
        let mut points = Points::default();
        let name = |key: u64| move || format!("point {key}");
        let told = |points: &mut Points, value, ms| points.news(7, value, at(ms), name(7)).is_some();
        assert!(!told(&mut points, 1.0, 98_000), "a conversation that may be over at once");
        assert!(!told(&mut points, 1.0, 98_899));
        assert!(!told(&mut points, 1.0, 100_000), "once is no behaviour");
        assert!(told(&mut points, 1.0, 100_100));
        assert!(!told(&mut points, 2.0, 100_500), "too soon");
        assert!(told(&mut points, 2.0, 101_100));
        assert!(told(&mut points, 3.0, 102_050), "a second, but for a little");
        assert!(!told(&mut points, 3.0, 105_000), "the same");
        assert!(told(&mut points, 3.0, 162_100), "the same for long");
        let again = |points: &mut Points| {
            (0..1000).filter(|key| points.news(*key, 0.0, at(262_000), name(*key)).is_some()).count()
        };
        assert_eq!(again(&mut points), 1, "the one that is known");
        assert_eq!(again(&mut points), MAX_POINTS - 1, "the others of which there is room");
        let named = points.reported(7, 3.0, at(300_000), name(7));
        assert_eq!(named.as_deref(), Some("point 7"));
        assert!(Points::default().reported(8, 1.0, at(1), name(8)).is_some(), "a report is news at once");
    }

    #[test]
    fn device_text_ends_at_the_first_nul_and_must_be_printable() {
        assert_eq!(text(b" CPU 315-2 PN/DP \0\0junk").as_deref(), Some("CPU 315-2 PN/DP"));
        assert_eq!(text(b"\0abc"), None);
        assert_eq!(text(b"a\x01b"), None);
    }
}
