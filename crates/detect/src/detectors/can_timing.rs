//! Identifiers that come too often or not at all: see [`DETECTOR`].

use model::{BusFrame, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::can::{BUS, Buses, MAX_IDENTIFIERS, key, name, raise, seconds};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{Bursts, Reservoir, from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds identifiers whose frames come too often or not at all.
pub(super) const DETECTOR: Rule = Rule {
    id: "can-timing",
    title: "Unusual timing on a CAN bus",
    severity: Severity::Medium,
    attack: &["T0855", "T0803"],
    finds: "Frames of an identifier that comes at regular times come between those times, so that somebody else sends \
            it too; or they do not come any more while the rest of the bus goes on.",
    matters: "Who wants to be believed instead of a control unit sends what it sends, more often; who wants to be rid of \
              it silences it. Brakes, steering and drives do what they are told last.",
    fix: "Find out what was connected to the bus, the diagnostic socket first, and take it off. If a unit is silent, \
          look at whether it failed or was kept from speaking.",
    thresholds: &[
        Threshold {
            name: "level",
            about: "how likely so many early frames may be by chance in the window of an identifier",
            unit: "",
            usual: 1e-9,
        },
        Threshold {
            name: "silence",
            about: "an identifier is silent after so many times its longest pause",
            unit: "pauses",
            usual: 5.0,
        },
        Threshold {
            name: "steady",
            about: "how long an identifier must have come without a silence, for one to be told",
            unit: "s",
            usual: 60.0,
        },
    ],
    listens: &[Kind::BusFrame, Kind::Tick],
    keeps: "1,024 identifiers of each of 32 buses, 700 bytes each",
    start: || {
        Box::new(Buses::of(|| Timing {
            rhythms: Table::new(MAX_IDENTIFIERS),
            told: Vec::new(),
            last: Timestamp::EPOCH,
            all: Flags::default(),
            early: Vec::new(),
        }))
    },
};

const LEVEL: usize = 0;
const SILENCE: usize = 1;
const STEADY: usize = 2;

/// So many pauses of an identifier are kept.
const PAUSES: usize = 128;
/// So many pauses say what is usual.
const ENOUGH: u64 = 100;
/// A frame is early if it comes before this share of the pauses that are short for the identifier.
const EARLY: f32 = 0.5;
/// Unless it was due, but for this share of a usual pause: when whoever listens was busy for a moment, frames come late and
/// then all at once.
const SLACK: f64 = 0.25;
/// No more frames are due.
const MAX_DUE: f64 = 64.0;
/// A window is at least a second, and so many usual pauses.
const WINDOW_NS: u64 = 1_000_000_000;
const WINDOW_PAUSES: f64 = 10.0;
/// Who sends one frame now and then is found in so many nanoseconds.
const LONG_WINDOW_NS: u64 = 60_000_000_000;
/// An identifier is regular if long pauses are at most so many times its usual one.
const REGULAR: f32 = 2.0;
/// An identifier is silent after no less than so many usual pauses, and so many seconds.
const MISSED: f64 = 20.0;
const MIN_SILENCE: f64 = 2.0;
/// If more than this share of the regular identifiers falls silent, the bus goes to sleep.
const SLEEP: f64 = 0.5;
/// If so many identifiers are told within a minute, it is one thing that happens to all.
const SEVERAL: usize = 3;
const MAX_EARLY: usize = 16;
const TOGETHER: u64 = 60;

struct Timing {
    rhythms: Table<u32, Rhythm>,
    /// Identifiers that were told lately, and when.
    told: Vec<(u32, Timestamp)>,
    /// When the last frame of any identifier came.
    last: Timestamp,
    /// Early frames of all identifiers that are regular: who sends many of them hides in none.
    all: Flags,
    /// Of which they were lately, the last [`MAX_EARLY`].
    early: Vec<(u32, Timestamp)>,
}

/// How often frames are early, in short windows and in long ones.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Flags {
    short: Bursts,
    long: Bursts,
}

impl Flags {
    /// A frame came, early or not. How many early ones came if that is no chance; only the short window is looked at
    /// for those that are not regular.
    fn look(
        &mut self,
        is_early: bool,
        is_regular: bool,
        at: Timestamp,
        window: u64,
        level: f64,
    ) -> Option<u32> {
        let short = self.short.look(is_early, at, window, level);
        let long = if is_regular { self.long.look(is_early, at, LONG_WINDOW_NS, level) } else { None };
        short.or(long)
    }

    /// Whether early frames that were told still come, or did a moment ago.
    const fn goes_on(&self) -> bool {
        self.short.goes_on() || self.long.goes_on()
    }

    /// The share that was early before.
    fn share(&self) -> f64 {
        self.short.share()
    }
}

/// When frames of an identifier come.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rhythm {
    frame: BusFrame,
    /// The last one that was on time.
    last: Timestamp,
    /// Pauses between frames, in seconds, as logarithms and negative, so that short ones are the tail.
    pauses: Reservoir,
    /// How many frames were due and did not come, but for those that came since; on time, half is forgotten.
    due: f64,
    /// The longest pause, in seconds.
    longest: f64,
    /// Since when there was no silence.
    steady_since: Timestamp,
    early: Flags,
    is_silent: bool,
}

impl Rhythm {
    fn new(frame: &BusFrame, at: Timestamp) -> Self {
        let (pauses, early) = (Reservoir::default(), Flags::default());
        Self {
            frame: *frame,
            last: at,
            due: 0.0,
            pauses,
            longest: 0.0,
            steady_since: at,
            early,
            is_silent: false,
        }
    }

    /// The pause that this share of all pauses is longer than, in seconds.
    fn pause(&self, share: f64) -> f32 {
        self.pauses.quantile(share).map_or(0.0, |pause| (-pause).exp())
    }

    fn is_enough(&self) -> bool {
        self.pauses.seen() >= ENOUGH
    }

    /// Whether frames come at regular times.
    fn is_regular(&self) -> bool {
        self.is_enough() && self.pause(0.05) <= REGULAR * self.pause(0.5)
    }

    fn window(&self) -> u64 {
        ((f64::from(self.pause(0.5)) * WINDOW_PAUSES * 1e9) as u64).max(WINDOW_NS)
    }
}

/// Puts an identifier last in a list of those of the last minute.
fn renew(list: &mut Vec<(u32, Timestamp)>, key: u32, at: Timestamp) {
    list.retain(|(other, then)| *other != key && at.since(*then).as_secs() < TOGETHER);
    if list.len() >= MAX_EARLY {
        list.remove(0);
    }
    list.push((key, at));
}

impl Timing {
    fn early(rhythm: &Rhythm, matter: &str, frame: &BusFrame, flags: u32, pause: f64, out: &mut Out<'_>) {
        let id = name(frame);
        let usual = rhythm.pause(0.5) * 1e3;
        let alarm = Alarm::about(BUS)
            .matter(matter)
            .flow(frame.flow)
            .anomaly()
            .severity(if rhythm.is_regular() { Severity::High } else { Severity::Medium })
            .factor("early frames in the window", flags, format_args!("{:.4} of all", rhythm.early.share()))
            .factor(
                "pause before the last",
                format_args!("{:.2} ms", pause * 1e3),
                format_args!("{usual:.2} ms"),
            );
        raise(frame.bus, alarm, out, || {
            format!("Frames {id} come between those of the unit that sends them every {usual:.1} ms")
        });
    }

    fn silent(rhythm: &Rhythm, silence: f64, out: &mut Out<'_>) {
        let (id, usual) = (name(&rhythm.frame), rhythm.pause(0.5) * 1e3);
        let matter = format!("{id} silent");
        let alarm =
            Alarm::about(BUS).matter(&matter).flow(rhythm.frame.flow).since(rhythm.last).anomaly().factor(
                "silence",
                format_args!("{silence:.1} s"),
                format_args!("{:.3} s at most", rhythm.longest),
            );
        raise(rhythm.frame.bus, alarm, out, || {
            format!("Frames {id} came every {usual:.1} ms and do not come any more")
        });
    }
}

impl Detector for Timing {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::BusFrame(frame) = seen.what else { return };
        let at = seen.at;
        self.last = self.last.max(at);
        let mut is_first = false;
        let (rhythm, _) = self.rhythms.entry(key(frame), || {
            is_first = true;
            Rhythm::new(frame, at)
        });
        if is_first {
            return;
        }
        let pause = seconds(rhythm.last, at);
        let value = -(pause.max(1e-6).ln() as f32);
        if std::mem::take(&mut rhythm.is_silent) {
            // Some identifiers come in bursts.
            (rhythm.last, rhythm.steady_since) = (at, at);
            return;
        }
        let is_short = rhythm.is_enough() && (pause as f32) < EARLY * rhythm.pause(0.95);
        let due = if rhythm.is_enough() { pause / f64::from(rhythm.pause(0.5)) - 1.0 } else { 0.0 };
        let is_regular = rhythm.is_regular();
        let is_early = is_short && (!is_regular || rhythm.due + due < -SLACK);
        if out.wants_scores() {
            let rate = if rhythm.is_enough() { rhythm.pauses.p_value(value, 0.0) } else { 1.0 };
            out.score(1.0 - rate, Some(frame.flow), None);
        }
        let (window, level) = (rhythm.window(), out.limit(LEVEL, &BUS));
        let flags = rhythm.early.look(is_early, is_regular, at, window, level);
        let of_all = if is_regular { self.all.look(is_early, true, at, WINDOW_NS, level) } else { None };
        if is_early && is_regular {
            renew(&mut self.early, key(frame), at);
        }
        if flags.is_some() {
            renew(&mut self.told, key(frame), at);
        }
        let of_all = of_all.filter(|_| self.early.len() >= SEVERAL);
        let all_go_on = self.all.goes_on() && self.early.len() >= SEVERAL;
        let goes_on = (is_early && (all_go_on || rhythm.early.goes_on())).then_some(1);
        if let Some(flags) = flags.or(of_all).or(goes_on) {
            let is_own = rhythm.early.goes_on() && self.told.len() < SEVERAL;
            let id = name(frame);
            let matter = if is_own { id.as_str() } else { "several identifiers" };
            Self::early(rhythm, matter, frame, flags, pause, out);
        }
        if is_early && is_regular {
            // The unit's own frame still comes when it is due.
            return;
        }
        let left = if is_short { rhythm.due } else { rhythm.due / 2.0 };
        (rhythm.last, rhythm.due) = (rhythm.last.max(at), (left + due).clamp(0.0, MAX_DUE));
        if !rhythm.early.goes_on() {
            rhythm.longest = rhythm.longest.max(pause);
            rhythm.pauses.add(value, PAUSES);
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Out<'_>) {
        if seconds(self.last, now) > MIN_SILENCE {
            return;
        }
        let (factor, last) = (out.limit(SILENCE, &BUS), self.last);
        let mut regular = 0_usize;
        let mut silent = Vec::new();
        for (_, rhythm) in self.rhythms.iter_mut().filter(|(_, rhythm)| rhythm.is_regular()) {
            regular += 1;
            let silence = seconds(rhythm.last, last);
            let missed = MISSED * f64::from(rhythm.pause(0.5));
            let is_silent = silence > (factor * rhythm.longest).max(missed).max(MIN_SILENCE);
            if rhythm.is_silent || is_silent {
                let is_news = !std::mem::replace(&mut rhythm.is_silent, true);
                silent.push((&*rhythm, silence, is_news));
            }
        }
        if regular > 1 && silent.len() as f64 > SLEEP * regular as f64 {
            return;
        }
        let steady = out.limit(STEADY, &BUS);
        for (rhythm, silence, is_news) in silent {
            if is_news && seconds(rhythm.steady_since, rhythm.last) >= steady {
                Self::silent(rhythm, silence, out);
            }
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&(self.all, self.rhythms.iter().map(|(_, rhythm)| rhythm).collect::<Vec<_>>()))
    }

    fn restore(&mut self, learnt: &[u8]) {
        let Some((all, rhythms)) = from_bytes::<(Flags, Vec<Rhythm>)>(learnt) else { return };
        self.all = all;
        for mut rhythm in rhythms.into_iter().take(MAX_IDENTIFIERS) {
            if rhythm.pauses.is_sane(PAUSES) && rhythm.longest.is_finite() && rhythm.due.is_finite() {
                // How long nobody looked is no pause.
                rhythm.is_silent = true;
                let (known, _) = self.rhythms.entry(key(&rhythm.frame), || rhythm.clone());
                *known = rhythm;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{BusData, BusFrame, FlowId, What};

    use super::DETECTOR;
    use crate::testing::Story;

    fn frame(id: u32) -> What {
        let data = BusData::new(&[id as u8; 8]);
        What::BusFrame(Box::new(BusFrame { flow: FlowId(id.into()), bus: 0, id, extended: false, data }))
    }

    /// Three identifiers, of 10, 20 and 100 ms, which jitter by a millisecond, and one that comes by chance.
    fn traffic(mut story: Story, from: u64, to: u64, without: u32) -> Story {
        for ms in from..to {
            story = story.wait_ms(1);
            let jitter = ms / 7 % 2;
            for (id, period) in [(0x10, 10), (0x20, 20), (0x30, 100)] {
                if (ms + jitter) % period == 5 && id != without {
                    story = story.then(frame(id));
                }
            }
            if (ms * ms + ms / 3) % 97 < 2 {
                story = story.then(frame(0x40));
            }
        }
        story
    }

    #[test]
    fn regular_traffic_is_silent_and_an_injected_burst_is_told_within_a_second() {
        let mut story = traffic(Story::of(&DETECTOR), 0, 60_000, 0);
        story.silent();
        for ms in 60_000..60_500 {
            story = traffic(story, ms, ms + 1, 0);
            if ms % 25 == 0 {
                story = story.then(frame(0x20));
            }
        }
        let finding = story.only();
        assert_eq!(&*finding.matter, "020");
        assert!(finding.raised.since(finding.first).as_secs() < 1);
        // Twenty more seconds, and a restart, without anything new.
        story = traffic(story, 60_500, 80_000, 0);
        assert_eq!(story.findings().len(), 1);
        let saved = story.detect().save();
        let mut other = Story::of(&DETECTOR).wait(3600);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        let mut other = traffic(other, 0, 3000, 0);
        other.silent();
        for ms in 3000..3500 {
            other = traffic(other, ms, ms + 1, 0).then(frame(0x20));
        }
        assert_eq!(&*other.only().matter, "020");
    }

    #[test]
    fn a_frame_now_and_then_is_told_after_a_while_and_a_few_of_many_identifiers_at_once() {
        let mut story = traffic(Story::of(&DETECTOR), 0, 60_000, 0);
        for ms in 60_000..100_000 {
            story = traffic(story, ms, ms + 1, 0);
            if ms % 1500 == 0 {
                story = story.then(frame(0x20));
            }
        }
        let finding = story.only();
        assert_eq!(&*finding.matter, "020");
        assert!(finding.last.since(finding.first).as_secs() > 15, "{finding:#?}");

        // Twenty identifiers of 100 ms.
        let bus = |mut story: Story, from: u64, to: u64| {
            for ms in from..to {
                story = story.wait_ms(1);
                if ms % 5 == 0 {
                    story = story.then(frame(0x100 + (ms / 5 % 20) as u32));
                }
            }
            story
        };
        let story = bus(Story::of(&DETECTOR), 0, 60_000);
        story.silent();
        let story = (0x100..0x10a).fold(story, |story, id| story.then(frame(id)));
        let finding = bus(story, 60_000, 70_000).only();
        assert_eq!(&*finding.matter, "several identifiers");
    }

    #[test]
    fn frames_that_were_held_up_are_not_early() {
        // Now and then whoever listens is busy, and takes all frames of 70 ms at once: of some identifiers one, of one many.
        let mut story = Story::of(&DETECTOR);
        for ms in 0..120_000_u64 {
            story = story.wait_ms(1);
            let is_busy = |ms: u64| ms > 60_000 && ms % 1000 >= 930;
            if is_busy(ms) {
                continue;
            }
            let held = if ms > 60_000 && ms % 1000 == 0 { 70 } else { 0 };
            for then in ms - held..=ms {
                if then % 5 == 0 {
                    story = story.then(frame(0x100 + (then / 5 % 20) as u32));
                    story = if then % 10 == 0 { story.then(frame(0x200)) } else { story };
                }
            }
        }
        story.silent();
    }

    #[test]
    fn who_is_silenced_is_told_but_not_a_bus_that_sleeps() {
        let story = traffic(Story::of(&DETECTOR), 0, 70_000, 0);
        let story = traffic(story, 70_000, 85_000, 0x20);
        assert_eq!(&*story.only().matter, "020 silent");
        let mut story = traffic(Story::of(&DETECTOR), 0, 60_000, 0);
        for _ in 0..60 {
            story = story.wait(1).then(frame(0x40));
        }
        story.silent();
    }
}
