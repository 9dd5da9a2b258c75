//! Identifiers that a bus never had: see [`DETECTOR`].

use std::collections::BTreeSet;
use std::time::Duration;

use model::{BusFrame, FlowId, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::can::{BUS, Buses, MAX_IDENTIFIERS, comes_on_demand, key, name, raise};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{Growth, News, Novelty, from_bytes, to_bytes};
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
    keeps: "1,024 identifiers of each of 32 buses",
    start: || Box::new(Buses::of(Identifiers::default)),
};

const LEVEL: usize = 0;
const BURST_LEVEL: usize = 1;
const FLOOD: usize = 2;

/// The byte of an identifier that names the receiver of what comes on demand.
const RECEIVER: u32 = 0xff00;

/// An identifier that comes so often in a second is a fast one.
const BURST: u32 = 8;
/// One that is known as slow is fast beyond doubt if it comes so often.
const SURE_BURST: u32 = 2 * BURST;
/// How often it is told that frames of an unknown identifier still come.
const RENEW: Duration = Duration::from_millis(100);
/// So many slow identifiers, and so many unknown ones, are counted at once.
const MAX_COUNTED: usize = 256;

#[derive(Default, Serialize, Deserialize)]
struct Identifiers {
    set: Novelty,
    /// Identifiers that came often within a second.
    fast: BTreeSet<u32>,
    /// When, but for the first second, one did for the first time: hardly any once all units are on.
    bursts: Growth,
    last_burst: u64,
    /// The identifier that wins against all others is the lowest.
    lowest: Option<u32>,
    /// The first unknown identifiers that came in the second that goes on, and when it began.
    #[serde(skip)]
    unknown: (Timestamp, Vec<FlowId>),
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
    /// When it was told last.
    told: Timestamp,
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
        counts.push(Count { key, since: at, frames: 0, before: 0, told: Timestamp::EPOCH });
        counts.len() - 1
    });
    &mut counts[place]
}

impl Identifiers {
    fn is_sane(&self) -> bool {
        self.set.is_sane(MAX_IDENTIFIERS) && self.fast.len() <= MAX_IDENTIFIERS && self.bursts.is_sane()
    }

    /// What is thought of an identifier now, and how many frames of it were seen since when.
    fn judge(&mut self, frame: &BusFrame, key: u32, at: Timestamp, out: &Out<'_>) -> (News, u32, Timestamp) {
        let (slot, level) = (at.as_secs(), out.limit(LEVEL, &BUS));
        let (id, is_known) = (u64::from(key), self.set.knows(key.into()));
        if comes_on_demand(frame) || self.set.is_told(id) || is_known && self.fast.contains(&key) {
            return (self.set.judge(id, slot, level, true, MAX_IDENTIFIERS), 1, at);
        }
        let count = count(&mut self.slow, key, at);
        let is_over = at.since(count.since).as_secs() >= 1;
        if is_over {
            let goes_on = at.since(count.since).as_secs() < 2;
            (count.since, count.before) = (at, if goes_on { count.frames } else { 0 });
            count.frames = 0;
        }
        count.frames += 1;
        let (frames, since) = (count.frames, count.since);
        if !is_known && frames == 1 {
            if at.since(self.unknown.0).as_secs() >= 1 {
                self.unknown = (at, Vec::new());
            }
            if self.unknown.1.len() < BURST as usize {
                self.unknown.1.push(frame.flow);
            }
            if self.are_many() {
                // Somebody tries identifiers: none of them is learnt.
                if self.unseen_burst() <= out.limit(BURST_LEVEL, &BUS) {
                    return (News::New, frames, since);
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
                let news = self.set.judge(id, slot, 1.0, true, MAX_IDENTIFIERS);
                // More than are told one by one are told together.
                let is_one_more = news == News::Old && !self.set.is_told(id) && frames == BURST;
                return (if is_one_more { News::New } else { news }, frames, since);
            } else if frames.is_multiple_of(SURE_BURST) {
                return (News::New, frames, since);
            }
        }
        let is_ripe = is_known || is_over || frames >= BURST || self.set.unseen() <= level;
        let news = if is_ripe { self.set.judge(id, slot, level, true, MAX_IDENTIFIERS) } else { News::Old };
        (news, frames, since)
    }

    /// Whether many unknown identifiers came in the second that goes on.
    fn are_many(&self) -> bool {
        self.unknown.1.len() >= BURST as usize
    }

    /// An identifier came often for the first time, or many for the first time; in the first second all do.
    fn burst(&mut self, slot: u64) {
        if slot > self.last_burst {
            if self.set.trials() > 1 {
                self.bursts.came(self.set.trials());
            }
            self.last_burst = slot;
        }
    }

    /// How likely it is at most that an unknown identifier comes in the next second and at once often: slow ones that
    /// are still to come say nothing about such.
    fn unseen_burst(&self) -> f64 {
        self.bursts.unseen(self.set.trials())
    }

    fn tell(
        &mut self,
        frame: &BusFrame,
        key: u32,
        (seen, since): (u32, Timestamp),
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
        let begins_flood = is_flood && f64::from(frames - seen) < flood;
        // What goes on is told to go on.
        let goes_on = told.told != Timestamp::EPOCH && at.since(told.told) >= RENEW;
        if !is_new && !begins_flood && !goes_on {
            return;
        }
        told.told = at;
        let wins = self.lowest.is_none_or(|lowest| frame.id < lowest);
        let id = name(frame);
        let many = !self.set.knows(key.into()) && !self.set.is_told(key.into());
        let (since, flows) = if many && self.are_many() {
            (self.unknown.0, &self.unknown.1[..])
        } else {
            (if is_new { since } else { at }, &[][..])
        };
        let mut alarm = Alarm::about(BUS)
            .matter(if many { "many identifiers" } else { &id })
            .flow(frame.flow)
            .flows(flows)
            .since(since)
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
        raise(frame.bus, alarm, out, || match (is_flood, wins) {
            (true, true) => {
                format!("The CAN bus is flooded with frames {id}, which win against all others")
            }
            (true, false) => format!("The CAN bus is flooded with frames {id}"),
            _ if many && self.are_many() => {
                format!("Frames of {BURST} identifiers that the CAN bus never had came within a second")
            }
            _ if many => "Frames of many identifiers come on the CAN bus, which never had them".into(),
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
        // To whom something is said is no news: what matters is who says it.
        let key = if comes_on_demand(frame) { key(frame) & !RECEIVER } else { key(frame) };
        let unseen = self.set.unseen().min(self.unseen_burst());
        let (news, frames, since) = self.judge(frame, key, seen.at, out);
        let is_known = self.set.knows(key.into());
        if out.wants_scores() {
            let is_burst = is_known && self.slow.iter().any(|count| count.key == key && count.is_burst());
            out.score(if is_known && !is_burst { 0.0 } else { 1.0 - unseen }, Some(frame.flow), None);
        }
        if is_known && news == News::Old {
            self.lowest = Some(self.lowest.map_or(frame.id, |lowest| lowest.min(frame.id)));
        } else if news != News::Old || self.set.is_told(key.into()) {
            self.tell(frame, key, (frames, since), news != News::Old, seen.at, out);
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
        What::BusFrame(Box::new(BusFrame { flow: FlowId(id.into()), bus: 0, id, extended: false, data }))
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
        let finding = story.only();
        assert_eq!(&*finding.matter, "001");
        // It is told as long as it lasts.
        assert!(finding.last.since(finding.first).as_millis() > 700, "{finding:#?}");
    }

    fn extended(id: u32) -> What {
        let data = BusData::new(&[1, 2, 3, 4, 5, 6, 7, 8]);
        What::BusFrame(Box::new(BusFrame { flow: FlowId(id.into()), bus: 0, id, extended: true, data }))
    }

    /// Half a minute of a truck: sixty groups of four units, ten times a second each, a unit that commands the engine
    /// for the first time after five seconds, and what comes on demand.
    fn truck(mut story: Story) -> Story {
        for step in 0..300_u32 {
            story = story.wait_ms(100);
            for id in (0..60).map(|group| 0x18f0_0000 | group << 8 | (group % 4)) {
                story = story.then(extended(id));
            }
            if (50..90).contains(&step) {
                story = story.then(extended(0x0c00_0003));
            }
            if step % 100 == 80 {
                story = (0..30).fold(story, |story, _| story.then(extended(0x1ceb_ff31)));
            }
        }
        story
    }

    #[test]
    fn half_a_minute_is_enough_to_tell_commands_that_nobody_sent_and_not_what_comes_on_demand() {
        let story = truck(Story::of(&DETECTOR));
        story.silent();
        // A message in many packets, a question of another unit, and two groups that hardly ever come.
        let story = (0..40).fold(story, |story, _| story.wait_ms(10).then(extended(0x1ceb_0003)));
        let story = story.then(extended(0x18ea_ff02)).then(extended(0x18fe_e700)).then(extended(0x1cfe_b300));
        story.silent();
        let story = (0..500).fold(story, |story, _| story.wait_ms(10).then(extended(0x0c00_000b)));
        let finding = story.only();
        assert_eq!((&*finding.matter, finding.severity), ("0C00000B", Severity::High));
        assert!(finding.last.since(finding.first).as_millis() > 4800, "{finding:#?}");
    }

    #[test]
    fn a_bus_that_keeps_getting_new_identifiers_is_not_told() {
        let mut story = Story::of(&DETECTOR);
        for id in 0x200..0x230 {
            // Every five seconds another one that comes by the clock from then on.
            for _ in 0..50 {
                story = (0x200..=id).fold(story.wait_ms(100), |story, id| story.then(frame(id)));
            }
        }
        story.silent();
    }

    #[test]
    fn many_bursts_of_other_identifiers_are_told_though_only_the_first_have_findings_of_their_own() {
        let mut story = traffic(Story::of(&DETECTOR), 60);
        for id in 0x300..0x340 {
            story = (0..20).fold(story.wait(1), |story, _| story.wait_ms(5).then(frame(id)));
        }
        let findings = story.findings();
        assert!(findings.len() <= 32, "{}", findings.len());
        let many = findings.iter().find(|finding| &*finding.matter == "many identifiers").unwrap();
        assert!(many.conversations.len() > 30);
    }

    #[test]
    fn who_tries_identifiers_is_told_once_and_teaches_nothing() {
        let mut story = traffic(Story::of(&DETECTOR), 60);
        for id in 0x300..0x340 {
            story = story.wait_ms(20).then(frame(id));
        }
        let finding = story.only();
        assert_eq!(&*finding.matter, "many identifiers");
        let saved = String::from_utf8_lossy(&story.detect().save()[0].1).into_owned();
        assert!(
            saved.contains(&format!("[{},", 0x113)) && !saved.contains(&format!("[{},", 0x33f)),
            "{saved}"
        );
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
