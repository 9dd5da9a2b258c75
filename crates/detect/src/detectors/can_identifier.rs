//! Identifiers that a bus never had: see [`DETECTOR`].

use model::{BusFrame, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::can::{BUS, MAX_IDENTIFIERS, key, name};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{News, Novelty, from_bytes, to_bytes};
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

/// An identifier that comes so often in its first second comes in a burst.
const BURST: u32 = 8;
/// So many identifiers are looked at for their first second, and so many unknown ones are counted.
const MAX_FRESH: usize = 64;

#[derive(Default, Serialize, Deserialize)]
struct Identifiers {
    set: Novelty,
    /// The identifier that wins against all others is the lowest.
    lowest: Option<u32>,
    /// Identifiers in their first second.
    #[serde(skip)]
    fresh: Vec<Count>,
    /// Unknown identifiers that were told, and how often they came in the second that goes on.
    #[serde(skip)]
    told: Vec<Count>,
}

struct Count {
    key: u32,
    since: Timestamp,
    frames: u32,
}

/// Counts one more frame of an identifier; begins anew after a second if `anew`.
fn count(counts: &mut Vec<Count>, key: u32, at: Timestamp) -> &mut Count {
    let place = counts.iter().position(|count| count.key == key).unwrap_or_else(|| {
        if counts.len() >= MAX_FRESH {
            counts.remove(0);
        }
        counts.push(Count { key, since: at, frames: 0 });
        counts.len() - 1
    });
    &mut counts[place]
}

impl Identifiers {
    /// What is thought of an identifier now, and how many frames of it were seen.
    fn judge(&mut self, key: u32, at: Timestamp, out: &Out<'_>) -> (News, u32) {
        let slot = at.as_secs();
        let level = out.limit(LEVEL, &BUS);
        if self.set.knows(key.into()) || self.set.unseen() <= level || self.set.is_told(key.into()) {
            return (self.set.judge(key.into(), slot, level, true, MAX_IDENTIFIERS), 1);
        }
        let fresh = count(&mut self.fresh, key, at);
        fresh.frames += 1;
        let (frames, passed) = (fresh.frames, at.since(fresh.since).as_secs());
        let level = if frames >= BURST && passed < 1 {
            out.limit(BURST_LEVEL, &BUS)
        } else if passed >= 1 {
            level
        } else {
            return (News::Old, frames);
        };
        if passed < 1 && self.set.unseen() > level {
            return (News::Old, frames);
        }
        self.fresh.retain(|fresh| fresh.key != key);
        (self.set.judge(key.into(), slot, level, true, MAX_IDENTIFIERS), frames)
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
        let mut alarm = Alarm::about(BUS)
            .matter(&id)
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
                format!("The CAN bus is flooded with frames {id}, which it never had and which win against all others")
            }
            (true, false) => format!("The CAN bus is flooded with frames {id}, which it never had"),
            _ => format!("A frame {id} came on the CAN bus, which never had one"),
        });
    }
}

impl Detector for Identifiers {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::BusFrame(frame) = seen.what else { return };
        let key = key(frame);
        let unseen = self.set.unseen();
        let (news, frames) = self.judge(key, seen.at, out);
        let is_known = self.set.knows(key.into());
        if out.wants_scores() {
            out.score(if is_known { 0.0 } else { 1.0 - unseen }, Some(frame.flow), None);
        }
        if is_known {
            self.lowest = Some(self.lowest.map_or(frame.id, |lowest| lowest.min(frame.id)));
        } else if news != News::Old || self.set.is_told(key.into()) {
            self.tell(frame, key, frames, news != News::Old, seen.at, out);
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(self)
    }

    fn restore(&mut self, learnt: &[u8]) {
        if let Some(learnt) = from_bytes::<Self>(learnt).filter(|learnt| learnt.set.is_sane(MAX_IDENTIFIERS))
        {
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
