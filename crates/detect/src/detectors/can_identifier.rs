//! Identifiers that a bus never had: see [`DETECTOR`].

use std::collections::BTreeSet;

use model::{BusFrame, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::can::{BUS, MAX_IDENTIFIERS, key, name};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{News, Novelty, from_bytes, poisson_upper, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds identifiers that a bus never had.
pub(super) const DETECTOR: Rule = Rule {
    id: "can-identifier",
    title: "Unknown identifier on a CAN bus",
    severity: Severity::Medium,
    attack: &["T0855", "T0814"],
    finds: "A frame has an identifier that this bus never had, although all that come have come for long. If such frames \
            come in floods and win against all others, nobody else can speak.",
    matters: "The identifiers of a bus are fixed when it is designed. Whoever sends another one has been added to it, or \
              has taken over one of its units: to make others act, to try what happens, or to keep them from speaking.",
    fix: "Find out what was connected to the bus, the diagnostic socket first, and take it off. If a unit was added, \
          declare its identifiers as expected.",
    thresholds: &[
        Threshold {
            name: "level",
            about: "how likely an unknown identifier may be in a second, for it to be told at once",
            unit: "",
            usual: 0.01,
        },
        Threshold {
            name: "burst-level",
            about: "the same, for one that comes at least eight times in its first second",
            unit: "",
            usual: 0.1,
        },
        Threshold {
            name: "flood",
            about: "frames of an unknown identifier in a second that leave others no room",
            unit: "frames",
            usual: 500.0,
        },
    ],
    listens: &[Kind::BusFrame],
    keeps: "1,024 identifiers of the bus",
    start: || Box::<Identifiers>::default(),
};

const LEVEL: usize = 0;
const BURST_LEVEL: usize = 1;
const FLOOD: usize = 2;

/// An identifier that comes so often in a second is a fast one.
const BURST: u32 = 8;
/// One that is known as slow is fast beyond doubt if it comes so often.
const SURE_BURST: u32 = 2 * BURST;
/// So many slow identifiers, and so many unknown ones, are counted at once.
const MAX_COUNTED: usize = 256;

#[derive(Default, Serialize, Deserialize)]
struct Identifiers {
    set: Novelty,
    /// Identifiers that came often within a second.
    fast: BTreeSet<u32>,
    /// Seconds, but for the first, in which one did for the first time.
    bursts: u32,
    last_burst: u64,
    /// The identifier that wins against all others is the lowest.
    lowest: Option<u32>,
    /// How many unknown identifiers came in the second that goes on.
    #[serde(skip)]
    unknown: (Timestamp, u32),
    /// How often others came in the second that goes on.
    #[serde(skip)]
    slow: Vec<Count>,
    /// Unknown identifiers that were told, and how often they came in the second that goes on.
    #[serde(skip)]
    told: Vec<Count>,
}

struct Count {
    key: u32,
    since: Timestamp,
    frames: u32,
    /// How often it came in the second before.
    before: u32,
}

impl Count {
    /// Whether it comes in a burst, or did a moment ago.
    fn is_burst(&self) -> bool {
        self.frames.max(self.before) >= SURE_BURST
    }
}

/// The count of an identifier.
fn count(counts: &mut Vec<Count>, key: u32, at: Timestamp) -> &mut Count {
    let place = counts.iter().position(|count| count.key == key).unwrap_or_else(|| {
        if counts.len() >= MAX_COUNTED {
            counts.remove(0);
        }
        counts.push(Count { key, since: at, frames: 0, before: 0 });
        counts.len() - 1
    });
    &mut counts[place]
}

impl Identifiers {
    fn is_sane(&self) -> bool {
        self.set.is_sane(MAX_IDENTIFIERS) && self.fast.len() <= MAX_IDENTIFIERS
    }

    /// What is thought of an identifier now, and how many frames of it were seen.
    fn judge(&mut self, key: u32, at: Timestamp, out: &Out<'_>) -> (News, u32) {
        let (slot, level) = (at.as_secs(), out.limit(LEVEL, &BUS));
        let (id, is_known) = (u64::from(key), self.set.knows(key.into()));
        if self.set.is_told(id) || is_known && self.fast.contains(&key) {
            return (self.set.judge(id, slot, level, true, MAX_IDENTIFIERS), 1);
        }
        let count = count(&mut self.slow, key, at);
        let is_over = at.since(count.since).as_secs() >= 1;
        if is_over {
            let goes_on = at.since(count.since).as_secs() < 2;
            (count.since, count.before) = (at, if goes_on { count.frames } else { 0 });
            count.frames = 0;
        }
        count.frames += 1;
        let frames = count.frames;
        if !is_known && frames == 1 {
            if at.since(self.unknown.0).as_secs() >= 1 {
                self.unknown = (at, 0);
            }
            self.unknown.1 += 1;
            if self.unknown.1 >= BURST {
                // Somebody tries identifiers: none of them is learnt.
                if self.unseen_burst() <= out.limit(BURST_LEVEL, &BUS) {
                    return (if self.unknown.1 == BURST { News::New } else { News::Old }, frames);
                }
                self.burst(slot);
            }
        }
        if frames >= BURST {
            if self.unseen_burst() > out.limit(BURST_LEVEL, &BUS) {
                self.burst(slot);
                self.fast.insert(key);
                self.slow.retain(|count| count.key != key);
            } else if !is_known {
                return (self.set.judge(id, slot, 1.0, true, MAX_IDENTIFIERS), frames);
            } else if frames == SURE_BURST {
                return (News::New, frames);
            }
        }
        let is_ripe = is_known || is_over || frames >= BURST || self.set.unseen() <= level;
        let news = if is_ripe { self.set.judge(id, slot, level, true, MAX_IDENTIFIERS) } else { News::Old };
        (news, frames)
    }

    /// An identifier came often for the first time, or many for the first time; in the first second all do.
    fn burst(&mut self, slot: u64) {
        if slot > self.last_burst {
            self.bursts = self.bursts.saturating_add(u32::from(self.set.trials() > 1));
            self.last_burst = slot;
        }
    }

    /// How likely it is at most that an unknown identifier comes in the next second and at once often: slow ones that
    /// are still to come say nothing about such.
    fn unseen_burst(&self) -> f64 {
        poisson_upper(self.bursts) / f64::from(self.set.trials().max(1))
    }

    fn tell(
        &mut self,
        frame: &BusFrame,
        key: u32,
        seen: u32,
        is_new: bool,
        at: Timestamp,
        out: &mut Out<'_>,
    ) {
        let told = count(&mut self.told, key, at);
        if at.since(told.since).as_secs() >= 1 {
            (told.since, told.frames) = (at, 0);
        }
        told.frames += seen;
        let frames = told.frames;
        let flood = out.limit(FLOOD, &BUS);
        let is_flood = f64::from(frames) >= flood;
        // A flood is told once in each second.
        if !is_new && (!is_flood || f64::from(frames - seen) >= flood) {
            return;
        }
        let wins = self.lowest.is_none_or(|lowest| frame.id < lowest);
        let id = name(frame);
        let many = self.unknown.1 >= BURST && !self.set.knows(key.into());
        let mut alarm = Alarm::about(BUS)
            .matter(if many { "many identifiers" } else { &id })
            .flow(frame.flow)
            .anomaly()
            .factor("identifiers", &id, format_args!("{} others", self.set.len()))
            .factor(
                "chance of an unknown one in a second",
                format_args!("at most {:.2} %", 100.0 * self.set.unseen()),
                format_args!("after {} s", self.set.trials()),
            );
        if frames >= BURST {
            alarm = alarm.severity(Severity::High).factor("frames of it in a second", frames, 0);
        }
        if wins {
            alarm = alarm.factor("priority", "higher than all others", "among the others");
        }
        if is_flood {
            alarm = alarm.severity(Severity::High).crossed(FLOOD, frames.into());
        }
        out.raise(alarm, || match (is_flood, wins) {
            (true, true) => {
                format!("The CAN bus is flooded with frames {id}, which win against all others")
            }
            (true, false) => format!("The CAN bus is flooded with frames {id}"),
            _ if many => {
                format!("Frames of {BURST} identifiers that the CAN bus never had came within a second")
            }
            _ if self.set.knows(key.into()) => {
                format!("Frames {id}, which hardly ever came on the CAN bus, come in a burst")
            }
            _ => format!("A frame {id} came on the CAN bus, which never had one"),
        });
    }
}

impl Detector for Identifiers {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::BusFrame(frame) = seen.what else { return };
        let key = key(frame);
        let unseen = self.set.unseen().min(self.unseen_burst());
        let (news, frames) = self.judge(key, seen.at, out);
        let is_known = self.set.knows(key.into());
        if out.wants_scores() {
            let is_burst = is_known && self.slow.iter().any(|count| count.key == key && count.is_burst());
            out.score(if is_known && !is_burst { 0.0 } else { 1.0 - unseen }, Some(frame.flow), None);
        }
        if is_known && news == News::Old {
            self.lowest = Some(self.lowest.map_or(frame.id, |lowest| lowest.min(frame.id)));
        } else if news != News::Old || self.set.is_told(key.into()) {
            self.tell(frame, key, frames, news != News::Old, seen.at, out);
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(self)
    }

    fn restore(&mut self, learnt: &[u8]) {
        if let Some(learnt) = from_bytes::<Self>(learnt).filter(Self::is_sane) {
            *self = learnt;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{BusData, BusFrame, FlowId, Severity, What};

    use super::DETECTOR;
    use crate::testing::Story;

    fn frame(id: u32) -> What {
        let data = BusData::new(&[1, 2, 3]);
        What::BusFrame(Box::new(BusFrame { flow: FlowId(id.into()), id, extended: false, data }))
    }

    /// Twenty identifiers, ten times a second each.
    fn traffic(mut story: Story, seconds: u32) -> Story {
        for _ in 0..seconds * 10 {
            story = (0x100..0x114).fold(story.wait_ms(100), |story, id| story.then(frame(id)));
        }
        story
    }

    #[test]
    fn an_unknown_identifier_is_told_at_once_after_long_and_a_burst_after_less() {
        let story = traffic(Story::of(&DETECTOR), 400).then(frame(0x555));
        let finding = story.only();
        assert_eq!((&*finding.matter, finding.severity), ("555", Severity::Medium));
        let story = traffic(Story::of(&DETECTOR), 60).then(frame(0x555));
        story.silent();
        let story = (0..40).fold(story, |story, _| story.wait_ms(2).then(frame(0x001)));
        assert_eq!((&*story.only().matter, story.only().severity), ("001", Severity::High));
    }

    #[test]
    fn an_identifier_that_hardly_ever_came_is_told_when_it_comes_in_a_burst() {
        let story = traffic(Story::of(&DETECTOR).then(frame(0x001)), 60).then(frame(0x001));
        story.silent();
        let story = (0..400).fold(story, |story, _| story.wait_ms(2).then(frame(0x001)));
        assert_eq!((&*story.only().matter, story.only().count), ("001", 1));
    }

    #[test]
    fn who_tries_identifiers_is_told_once_and_teaches_nothing() {
        let mut story = traffic(Story::of(&DETECTOR), 60);
        for id in 0x300..0x340 {
            story = story.wait_ms(20).then(frame(id));
        }
        let finding = story.only();
        assert_eq!(&*finding.matter, "many identifiers");
        let saved = String::from_utf8(story.detect().save()[0].1.split_off(1)).unwrap();
        assert!(!saved.contains(&format!("\"digest\":{}", 0x33f)));
    }

    #[test]
    fn a_flood_says_so() {
        let mut story = traffic(Story::of(&DETECTOR), 60);
        for _ in 0..2000 {
            story = story.wait_ms(1).then(frame(0x001));
        }
        let finding = story.only();
        assert!(
            finding.summary.contains("flooded") && finding.summary.contains("win"),
            "{}",
            finding.summary
        );
    }

    #[test]
    fn what_is_learnt_survives_a_restart() {
        let mut story = traffic(Story::of(&DETECTOR), 400);
        let saved = story.detect().save();
        assert_eq!(saved.len(), 1);
        let mut other = Story::of(&DETECTOR).wait(86_400);
        assert!(!other.detect().restore_learnt("no-such", &saved[0].1));
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        assert_eq!(&*other.then(frame(0x101)).then(frame(0x555)).only().matter, "555");
        for broken in [&saved[0].1[..40], b"", b"\x01{}", b"\x01null"] {
            let mut other = Story::of(&DETECTOR);
            other.detect().restore_learnt(saved[0].0, broken);
            other.then(frame(0x101)).then(frame(0x555)).silent();
        }
    }
}
