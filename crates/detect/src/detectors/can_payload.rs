//! Contents that do not fit: see [`DETECTOR`].

use model::{BusFrame, Severity, What};
use serde::{Deserialize, Serialize};

use super::can::{BUS, Buses, MAX_IDENTIFIERS, key, name, raise};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{Bursts, Reservoir, from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds frames whose contents do not fit their identifier.
pub(super) const DETECTOR: Rule = Rule {
    id: "can-payload",
    title: "Unusual contents on a CAN bus",
    severity: Severity::High,
    attack: &["T0855", "T0836"],
    finds: "Frames of an identifier change bits that hardly ever change together, or are of another length than all \
            before: they do not come from the unit that sends that identifier.",
    matters: "Values that a control unit would never send make others act on what is not so. Trying random contents is \
              how attackers find out which frames do something.",
    fix: "Find out what was connected to the bus, the diagnostic socket first, and take it off. Look at what the \
          identifier tells, and whether anything acted on it.",
    thresholds: &[
        Threshold {
            name: "level",
            about: "how likely so many unusual frames may be by chance in the window of an identifier",
            unit: "",
            usual: 1e-9,
        },
        Threshold {
            name: "settled",
            about: "how likely such a window may be by what was seen of the identifier, for one to be told",
            unit: "",
            usual: 0.01,
        },
    ],
    listens: &[Kind::BusFrame],
    keeps: "1,024 identifiers of each of 32 buses, 1 KiB each; of long frames the first 8 bytes",
    start: || Box::new(Buses::of(|| Payloads { contents: Table::new(MAX_IDENTIFIERS) })),
};

const LEVEL: usize = 0;
const SETTLED: usize = 1;

/// So many surprises of an identifier are kept.
const SURPRISES: usize = 128;
/// So many frames say what is usual.
const ENOUGH: u32 = 300;
/// A frame is unusual if so few frames surprise as much.
const UNUSUAL: f64 = 1e-4;
/// A surprise that is so many bits greater than another is greater: a byte that changes for the first time is
/// nothing much.
const GRAIN: f64 = 8.0;
/// Windows in which unusual frames are counted.
const WINDOW_NS: u64 = 1_000_000_000;
/// What bits do not say is computed anew after so many frames.
const RENEW: u32 = 64;
/// Counts are halved at so many frames: what a bit does now weighs more than what it did.
const FULL: u32 = 1 << 16;

struct Payloads {
    contents: Table<u32, Contents>,
}

/// What frames of an identifier contain: how often each of the first 64 bits changes from one frame to the next
/// (bit-flip rates as in READ: M. Marchetti and D. Stabili, IEEE TIFS 14, 2019), and how surprising such changes are.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Contents {
    frame: BusFrame,
    /// The last frame, and the last that was as usual.
    last: u64,
    usual: u64,
    frames: u32,
    flips: Vec<u16>,
    /// The surprise of a frame in which nothing changes, in bits.
    still: f32,
    surprises: Reservoir,
    bursts: Bursts,
    /// The length of all frames so far, if it is one.
    length: Option<u8>,
}

/// The first eight bytes in Gray's code (F. Gray, US patent 2,632,058), wherever in them numbers begin: numbers that
/// are close differ in few bits, also where a carry changes many.
fn word(frame: &BusFrame) -> u64 {
    let word = frame.data.as_bytes().iter().take(8).fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    word ^ word >> 1
}

impl Contents {
    fn new(frame: &BusFrame) -> Self {
        let word = word(frame);
        let (surprises, bursts) = (Reservoir::default(), Bursts::default());
        let length = Some(frame.data.as_bytes().len() as u8);
        let flips = vec![0; 64];
        Self {
            frame: *frame,
            last: word,
            usual: word,
            frames: 0,
            flips,
            still: 0.0,
            surprises,
            bursts,
            length,
        }
    }

    /// How often a bit changes.
    fn rate(&self, bit: usize) -> f32 {
        (f32::from(self.flips[bit]) + 0.5) / (self.frames as f32 + 1.0)
    }

    /// How surprising it is that just these bits change, in bits.
    fn surprise(&self, changed: u64) -> f32 {
        let mut left = changed;
        let mut surprise = self.still;
        while left != 0 {
            let rate = self.rate(left.trailing_zeros() as usize);
            surprise += ((1.0 - rate) / rate).log2();
            left &= left - 1;
        }
        surprise
    }

    fn learn(&mut self, changed: u64) {
        self.frames += 1;
        let mut left = changed;
        while left != 0 {
            self.flips[left.trailing_zeros() as usize] += 1;
            left &= left - 1;
        }
        if self.frames >= FULL - 1 {
            self.frames /= 2;
            self.flips.iter_mut().for_each(|flips| *flips /= 2);
        }
        if self.frames.is_power_of_two() || self.frames.is_multiple_of(RENEW) {
            self.still = (0..64).map(|bit| -(1.0 - self.rate(bit)).log2()).sum();
        }
    }

    /// Bits that changed although they hardly ever do.
    fn odd_bits(&self, changed: u64) -> u32 {
        (0..64).filter(|bit| changed >> bit & 1 == 1 && self.rate(*bit) < 0.01).count() as u32
    }
}

impl Payloads {
    fn odd_length(contents: &Contents, frame: &BusFrame, usual: u8, out: &mut Out<'_>) {
        let (id, length) = (name(frame), frame.data.as_bytes().len());
        let matter = format!("{id} length");
        let alarm = Alarm::about(BUS)
            .matter(&matter)
            .flow(frame.flow)
            .anomaly()
            .factor("length", format_args!("{length} bytes"), format_args!("{usual} bytes"))
            .factor("frames of that length before", 0, contents.frames);
        raise(frame.bus, alarm, out, || format!("A frame {id} has {length} bytes; all before had {usual}"));
    }
}

impl Detector for Payloads {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::BusFrame(frame) = seen.what else { return };
        let mut is_first = false;
        let (contents, _) = self.contents.entry(key(frame), || {
            is_first = true;
            Contents::new(frame)
        });
        if is_first {
            return;
        }
        let length = frame.data.as_bytes().len() as u8;
        let knows = contents.frames >= ENOUGH;
        match contents.length {
            Some(usual) if usual != length && knows => {
                Self::odd_length(contents, frame, usual, out);
                out.score(1.0, Some(frame.flow), None);
                return;
            }
            Some(usual) if usual != length => contents.length = None,
            _ => {}
        }
        let word = word(frame);
        let changed = word ^ contents.usual;
        // A frame may follow the last that was as usual, or go on from one that was not.
        let surprise = contents.surprise(changed).min(contents.surprise(word ^ contents.last));
        contents.last = word;
        let rate = if knows { contents.surprises.p_value(surprise, GRAIN) } else { 1.0 };
        out.score(1.0 - rate, Some(frame.flow), None);
        let is_unusual = rate <= UNUSUAL;
        // Before it has been in all its states, what is unusual is only new, and is learnt.
        let has_settled = contents.bursts.unseen() <= out.limit(SETTLED, &BUS);
        let burst = contents.bursts.look(is_unusual, seen.at, WINDOW_NS, out.limit(LEVEL, &BUS));
        if !has_settled {
            contents.usual = word;
            contents.surprises.add(surprise, SURPRISES);
            contents.learn(changed);
            return;
        }
        if let Some(flags) = burst {
            let id = name(frame);
            let usual = contents.surprises.quantile(0.99).unwrap_or(0.0);
            let alarm = Alarm::about(BUS)
                .matter(&id)
                .flow(frame.flow)
                .anomaly()
                .factor(
                    "unusual frames in a second",
                    flags,
                    format_args!("{:.5} of all", contents.bursts.share()),
                )
                .factor("surprise", format_args!("{surprise:.0} bits"), format_args!("{usual:.0} bits"))
                .factor("bits that hardly ever change", contents.odd_bits(changed), 0);
            raise(frame.bus, alarm, out, || {
                format!("Frames {id} have contents that the unit which sends them never sends")
            });
        }
        if !is_unusual && !contents.bursts.goes_on() {
            contents.usual = word;
            contents.surprises.add(surprise, SURPRISES);
            contents.learn(changed);
        } else if !is_unusual {
            contents.usual = word;
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.contents.iter().map(|(_, contents)| contents).collect::<Vec<_>>())
    }

    fn restore(&mut self, learnt: &[u8]) {
        for contents in from_bytes::<Vec<Contents>>(learnt).into_iter().flatten().take(MAX_IDENTIFIERS) {
            let can_be = |flips: &u16| u32::from(*flips) <= contents.frames;
            if contents.flips.len() == 64
                && contents.frames < FULL
                && contents.flips.iter().all(can_be)
                && contents.still.is_finite()
                && contents.surprises.is_sane(SURPRISES)
            {
                let (known, _) = self.contents.entry(key(&contents.frame), || contents.clone());
                *known = contents;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{BusData, BusFrame, FlowId, What};

    use super::DETECTOR;
    use crate::testing::Story;

    fn frame(id: u32, bytes: &[u8]) -> What {
        let data = BusData::new(bytes);
        What::BusFrame(Box::new(BusFrame { flow: FlowId(id.into()), bus: 0, id, extended: false, data }))
    }

    /// A counter, a slow value, a state that changes now and then, constants, and a checksum.
    fn contents(step: u32) -> [u8; 8] {
        let speed = (2000.0 + 500.0 * f64::from(step / 8).sin()) as u16;
        let [high, low] = speed.to_be_bytes();
        let state = u8::from(step / 700 % 2 == 1);
        let mut bytes = [(step % 16) as u8, high, low, state, 0, 0xff, 0x3c, 0];
        bytes[7] = bytes.iter().fold(0x5a, |sum, byte| sum ^ byte);
        bytes
    }

    fn traffic(mut story: Story, from: u32, to: u32) -> Story {
        for step in from..to {
            story = story.wait_ms(10).then(frame(0x2a0, &contents(step)));
        }
        story
    }

    #[test]
    fn counters_values_and_states_are_usual_and_random_contents_are_not() {
        let mut story = traffic(Story::of(&DETECTOR), 0, 40_000);
        story.silent();
        let mut state = 0x1234_5678_9abc_def1_u64;
        for step in 40_000..40_060 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            story = traffic(story, step, step + 1).then(frame(0x2a0, &state.to_be_bytes()));
        }
        let finding = story.only();
        assert_eq!(&*finding.matter, "2A0");
        assert!(finding.factors.iter().any(|factor| &*factor.name == "bits that hardly ever change"));
        story = traffic(story, 40_060, 50_000);
        assert_eq!(story.findings().len(), 1);
    }

    #[test]
    fn a_number_that_hovers_about_a_carry_is_usual() {
        let mut story = Story::of(&DETECTOR);
        for step in 0..60_000_u32 {
            // It stands for long, and then climbs slowly through 0x0fff and 0x1000, to and fro.
            let number = 0x0fc0 + step.saturating_sub(40_000) / 200 + step % 3;
            let [_, _, high, low] = number.to_be_bytes();
            story = story.wait_ms(10).then(frame(0x2a0, &[high, low, 0, 0, low, high, 0, 0]));
        }
        story.silent();
    }

    #[test]
    fn another_length_is_told_at_once_if_it_was_always_the_same() {
        let story = traffic(Story::of(&DETECTOR), 0, 1000).then(frame(0x2a0, &[1, 2, 3]));
        assert_eq!(&*story.only().matter, "2A0 length");
        let mut story = Story::of(&DETECTOR);
        for step in 0..2000 {
            story = story.wait_ms(10).then(frame(0x2a0, &contents(step)[..(step % 8) as usize]));
        }
        story.silent();
    }

    #[test]
    fn what_is_learnt_survives_a_restart() {
        let mut story = traffic(Story::of(&DETECTOR), 0, 1000);
        let saved = story.detect().save();
        let mut other = Story::of(&DETECTOR);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        assert_eq!(&*other.then(frame(0x2a0, &[1, 2, 3])).only().matter, "2A0 length");
        for broken in [&b"\x01[{}]"[..], b"\x01[[[[", b"\x02[]"] {
            Story::of(&DETECTOR).detect().restore_learnt(saved[0].0, broken);
        }
    }
}
