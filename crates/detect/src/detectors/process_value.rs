//! Values that a process never had: see [`DETECTOR`].

use model::{FlowId, Host, Operation, OperationKind, Outcome, Severity, Timestamp, Value, What};
use serde::{Deserialize, Serialize};

use super::channel::digest_of_host;
use crate::hosts::mix;
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{Hours, News, Novelty, Reservoir, from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds values that do not fit what a point of a process usually has.
pub(super) const DETECTOR: Rule = Rule {
    id: "process-value",
    title: "Unusual process value",
    severity: Severity::Medium,
    attack: &["T0836", "T0856", "T0832"],
    finds: "A value that is written or read lies outside of all that the point ever had, changes far faster than ever, \
            stands still although it always moved, or goes through the very same course as before.",
    matters: "Whoever attacks a process gives it values that hurt it, and shows the operators values from better days. \
              Stuxnet did both.",
    fix: "Compare the value with the process itself, on the spot. Find out who wrote it, or why the sensor does not \
          move.",
    thresholds: &[
        Threshold {
            name: "level",
            about: "the share of values that may lie as far out, as far as those that were learnt tell",
            unit: "",
            usual: 1e-6,
        },
        Threshold {
            name: "state-level",
            about: "how likely a new value of a point with few may be, for it to be told",
            unit: "",
            usual: 0.01,
        },
        Threshold {
            name: "repeated",
            about: "so many values in the same order as before are a recording of a point that is known for long",
            unit: "values",
            usual: 24.0,
        },
        Threshold {
            name: "surprise",
            about: "how unlikely it is that noise repeats by chance, for it to be a recording although hardly anything is \
                    known",
            unit: "bits",
            usual: 40.0,
        },
    ],
    listens: &[Kind::Operation, Kind::Samples],
    keeps: "8,192 points, 2,616 bytes each, at most 16 of one device",
    start: || Box::new(Values { points: Table::new(MAX_POINTS), devices: Table::new(MAX_DEVICES) }),
};

const LEVEL: usize = 0;
const STATE_LEVEL: usize = 1;
const REPEATED: usize = 2;
const SURPRISE: usize = 3;

const MAX_POINTS: usize = 1 << 13;
const MAX_DEVICES: usize = 1 << 12;
/// So many points of a device are watched: those that came first.
const MAX_OF_DEVICE: u32 = 16;
/// So many values, and changes, of a point are kept.
const ROOM: usize = 128;
/// Values close in time are like each other: what counts are the extremes of blocks of so many seconds, and so many
/// blocks say what is usual.
const BLOCK: u64 = 600;
const ENOUGH: u64 = 80;
/// A value counts as far out only beyond the range that the point had, by about as much again: a tail is as long as this
/// share of the range at least.
const GRAIN: f64 = 0.1;
/// What is said of a value that is told.
const ABOVE: &str = "value above all before";
const BELOW: &str = "value below all before";
const LEAP: &str = "change";
const NEVER: &str = "value never had";
const REPEATS: &str = "repeats";
/// A point with no more values than this has states.
const STATES: usize = 16;
/// So many values are remembered in their order.
const COURSE: usize = 128;
/// In a course that could be a recording, so many values differ at least.
const MIN_DIFFERENT: usize = 12;
/// What repeats after so many values is a cycle of the process unless it was watched for so many times as long before
/// without repeating.
const WATCHED: u64 = 4;
/// In a random series two of three values are higher or lower than both of their neighbours (I. J. Bienaymé, 1874; M. G.
/// Kendall and A. Stuart, The Advanced Theory of Statistics, volume 3, clause 45.18). With half as many it has noise.
const TURNING_POINTS: f64 = 2.0 / 3.0 / 2.0;
/// What repeats within fewer seconds was sent twice.
const MIN_REPEAT: u64 = 10;
/// A point that goes so many times as often one way as the other is a counter.
const COUNTER: u64 = 20;
/// A point that always moved stands still after so many times its longest stand, in seconds at least so many.
const STANDS: f64 = 10.0;
const MIN_STAND: f64 = 120.0;

struct Values {
    points: Table<u64, Point>,
    /// How many points of a device are watched.
    devices: Table<u64, u32>,
}

/// What values a point has.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Point {
    key: u64,
    /// The greatest values of blocks, and the smallest, negative, so that both ends are tails.
    values: Reservoir,
    negative: Reservoir,
    /// The greatest changes per second of blocks.
    changes: Reservoir,
    /// The block that goes on, its extremes, and whether something was told in it, and in how many.
    block: u64,
    extremes: [f64; 3],
    is_told: bool,
    told: u32,
    /// What was told in it.
    #[serde(skip)]
    told_as: Option<&'static str>,
    hours: Hours,
    /// Values as states, while they are few.
    states: Novelty,
    count: u64,
    last: f64,
    at: Timestamp,
    /// When it moved last, and how long it stood at most, in seconds.
    moved: Timestamp,
    longest: f64,
    told_stand: bool,
    /// The last values in their order, the oldest first, and how far they follow earlier ones.
    course: Vec<f32>,
    follows: Option<(usize, usize)>,
    /// Since when they do.
    follows_since: Timestamp,
    /// Who reads them, and when he did so last: another one may be given the same values again.
    reader: (u64, Timestamp),
    /// How often they moved.
    moves: u64,
    /// Whether it goes through the same course again and again.
    is_cyclic: bool,
    /// How often it went up and down.
    ups: u32,
    downs: u32,
}

impl Point {
    fn new(key: u64, value: f64, at: Timestamp) -> Self {
        Self {
            key,
            values: Reservoir::default(),
            negative: Reservoir::default(),
            changes: Reservoir::default(),
            block: at.as_secs() / BLOCK,
            extremes: [value, -value, 0.0],
            is_told: false,
            told: 0,
            told_as: None,
            hours: Hours::default(),
            states: Novelty::default(),
            count: 0,
            last: value,
            at,
            moved: at,
            longest: 0.0,
            told_stand: false,
            course: Vec::new(),
            follows: None,
            follows_since: at,
            reader: (0, at),
            moves: 0,
            is_cyclic: false,
            ups: 0,
            downs: 0,
        }
    }

    /// Whether there are too many values for states.
    fn is_measured(&self) -> bool {
        self.states.unseen() >= 1.0 && self.count > STATES as u64
    }

    /// Whether it only goes up, or only down, but for where it begins anew.
    const fn is_counter(&self) -> bool {
        let (ups, downs) = (self.ups as u64, self.downs as u64);
        ups >= COUNTER * downs || downs >= COUNTER * ups
    }

    /// The values of the block that goes on are taken together; those of one that has passed are learnt. Those of which
    /// something was told are so once that is `accepted`, or when there were more of them than there had been others: by
    /// then the process has been so for as long as it was otherwise.
    fn learn(
        &mut self,
        value: f64,
        rate: f64,
        at: Timestamp,
        may_learn: bool,
        accepted: impl Fn(&'static str) -> bool,
    ) {
        let block = at.as_secs() / BLOCK;
        if block > self.block {
            self.told = self.told.saturating_add(u32::from(self.is_told));
            let is_lasting = || u64::from(self.told) > self.values.seen();
            if may_learn && (!self.is_told || is_lasting() || self.told_as.is_some_and(accepted)) {
                let [greatest, smallest, change] = self.extremes;
                self.values.add(greatest as f32, ROOM);
                self.negative.add(smallest as f32, ROOM);
                self.changes.add(change as f32, ROOM);
            }
            (self.block, self.is_told, self.told_as) = (block, false, None);
            self.extremes = [value, -value, rate];
        }
        self.ups = self.ups.saturating_add(u32::from(value > self.last));
        self.downs = self.downs.saturating_add(u32::from(value < self.last));
        self.extremes =
            [self.extremes[0].max(value), self.extremes[1].max(-value), self.extremes[2].max(rate)];
    }

    /// Whether somebody is the one whose values are followed. Another one is when that one is gone.
    fn is_reader(&mut self, who: u64, at: Timestamp) -> bool {
        let (reader, last) = self.reader;
        if reader != who && (self.course.is_empty() || at.since(last).as_secs_f64() > MIN_STAND) {
            self.reader.0 = who;
            self.course.clear();
            self.follows = None;
        }
        let is_he = self.reader.0 == who;
        if is_he {
            self.reader.1 = at;
        }
        is_he
    }

    fn knows(&self) -> bool {
        self.values.seen() >= ENOUGH
    }

    /// The range that its values had.
    fn range(&self) -> Option<(f64, f64)> {
        Some(((-self.negative.greatest()?).into(), self.values.greatest()?.into()))
    }

    /// How many values in a row, up to this one, are the same as earlier ones in the same order.
    fn follow(&mut self, value: f32, at: Timestamp) -> usize {
        let length = self.course.len();
        self.moves = self.moves.saturating_add(1);
        let goes_on = self.follows.filter(|(place, _)| self.course.get(*place) == Some(&value));
        self.follows = match goes_on {
            Some((place, run)) => Some((place + 1, run + 1)),
            // The latest earlier place from which the value goes on.
            None => last_place(&self.course[..length.saturating_sub(1)], value).map(|place| (place + 1, 1)),
        };
        if goes_on.is_none() {
            self.follows_since = at;
        }
        if length >= COURSE {
            self.course.remove(0);
            self.follows = self.follows.and_then(|(place, run)| Some((place.checked_sub(1)?, run)));
        }
        self.course.push(value);
        self.follows.map_or(0, |(_, run)| run)
    }

    fn is_sane(&self) -> bool {
        [&self.values, &self.negative, &self.changes].iter().all(|known| known.is_sane(ROOM))
            && self.states.is_sane(STATES)
            && self.course.len() <= COURSE
            && self.last.is_finite()
            && self.longest.is_finite()
            && self.extremes.iter().all(|value| value.is_finite())
    }
}

/// A message that gives values: whose they are, who is given them or gives them, and what goes for all of them.
struct Message {
    owner: Host,
    other: Host,
    flow: FlowId,
    written: bool,
    at: Timestamp,
    /// The keys of both.
    keys: [u64; 2],
    is_suspect: bool,
    /// The thresholds for the owner.
    limits: [f64; DETECTOR.thresholds.len()],
}

impl Message {
    /// Nothing if either is nobody.
    fn new(
        [owner, other]: [Host; 2],
        flow: FlowId,
        written: bool,
        at: Timestamp,
        out: &Out<'_>,
    ) -> Option<Self> {
        let keys = [digest_of_host(&owner)?, digest_of_host(&other)?];
        let is_suspect = out.is_suspect(&other) || out.is_suspect(&owner);
        let limits = std::array::from_fn(|which| out.limit(which, &owner));
        Some(Self { owner, other, flow, written, at, keys, is_suspect, limits })
    }
}

/// A value of it.
struct Given<'a> {
    message: &'a Message,
    point: &'a str,
    value: f64,
}

impl Given<'_> {
    /// Who is to blame, and whose value it is if that is another one.
    fn parties(&self) -> (Host, Option<Host>) {
        let Message { owner, other, written, .. } = *self.message;
        if written { (other, Some(owner)) } else { (owner, None) }
    }

    /// What the finding is about that says this of the value.
    fn matter(&self, what: &str) -> String {
        match what {
            // Whoever plays a recording plays that of all values.
            REPEATS => what.to_owned(),
            _ => format!("{} {what}", self.point),
        }
    }

    /// Whether that finding was said to be expected or false.
    fn is_accepted(&self, what: &str, out: &Out<'_>) -> bool {
        let (actor, victim) = self.parties();
        out.is_accepted(&actor, victim.as_ref(), &self.matter(what))
    }
}

/// What is wrong with a value.
struct Wrong {
    what: &'static str,
    seen: String,
    usual: String,
}

impl Values {
    /// Takes a value of the point of that key.
    fn given(&mut self, key: u64, given: &Given<'_>, out: &mut Out<'_>) {
        let [owner, _] = given.message.keys;
        let key = mix(mix(owner, key), given.message.written.into());
        let slot = match self.points.find(&key) {
            Some(slot) => slot,
            None => {
                let (count, _) = self.devices.entry(owner, || 0);
                if *count >= MAX_OF_DEVICE {
                    return;
                }
                *count += 1;
                self.points.place(key, || Point::new(key, given.value, given.message.at)).slot
            }
        };
        let wrong = Self::judge(self.points.at_mut(slot), given, out);
        if let Some(wrong) = wrong {
            Self::tell(given, &wrong, out);
        }
    }

    fn judge(point: &mut Point, given: &Given<'_>, out: &mut Out<'_>) -> Option<Wrong> {
        let &Message { at, is_suspect, limits, .. } = given.message;
        let value = given.value;
        let rate = (value - point.last).abs() / at.since(point.at).as_secs_f64().max(1.0);
        let moves = value != point.last;
        // What comes is a trial, what stays is none.
        let slot = at.as_secs() / BLOCK;
        let accepted = |what| given.is_accepted(what, out);
        if moves && point.states.is_told(value.to_bits()) && accepted(NEVER) {
            point.states.welcome(value.to_bits(), slot, STATES);
        }
        let is_new_state = (moves || point.count == 0)
            && !point.states.is_overflown()
            && point.states.judge(value.to_bits(), slot, limits[STATE_LEVEL], !is_suspect, STATES)
                == News::New;
        let mut wrong = None;
        if let Some((low, high)) = point.range().filter(|_| point.knows()) {
            let spread = high - low;
            if point.is_measured() && !point.is_counter() {
                wrong = Self::judge_range(point, given, rate, out);
            } else if is_new_state && (value > high + spread || value < low - spread) {
                let usual = format!("{} others", point.states.len());
                wrong = Some(Wrong { what: NEVER, seen: value.to_string(), usual });
            }
        }
        let is_wrong = wrong.is_some();
        if !given.message.written && !is_wrong {
            let [_, reader] = given.message.keys;
            let is_reader = point.is_reader(reader, at);
            wrong = Self::judge_course(
                point,
                value,
                at,
                is_reader.then_some([REPEATED, SURPRISE].map(|which| limits[which])),
            );
        }
        point.learn(value, rate, at, !is_suspect, |what| given.is_accepted(what, out));
        if moves {
            point.hours.learn(at);
        }
        point.count = point.count.saturating_add(1);
        (point.last, point.at) = (value, point.at.max(at));
        // One value after the other is as wrong: it is told once in a block.
        let is_told = is_wrong && std::mem::replace(&mut point.is_told, true);
        if is_wrong && !is_told {
            point.told_as = wrong.as_ref().map(|wrong| wrong.what);
        }
        wrong.filter(|_| !is_told)
    }

    /// Whether a value of a point that measures something lies far out, or leaps.
    fn judge_range(point: &Point, given: &Given<'_>, rate: f64, out: &mut Out<'_>) -> Option<Wrong> {
        let (low, high) = point.range()?;
        let level = given.message.limits[LEVEL];
        let fastest = point.changes.greatest().map_or(0.0, f64::from);
        let (value, grain) = (given.value, GRAIN * (high - low));
        let sides = [
            (&point.values, value, grain, ABOVE),
            (&point.negative, -value, grain, BELOW),
            (&point.changes, rate, GRAIN * fastest, LEAP),
        ];
        let shares = sides.map(|(known, value, grain, what)| (known.p_value(value as f32, grain), what));
        let least = shares.iter().map(|(share, _)| *share).fold(1.0, f64::min);
        out.score(1.0 - least, Some(given.message.flow), Some(given.message.owner));
        let (_, what) = shares.into_iter().find(|(share, _)| *share <= level)?;
        let (seen, usual) = match what {
            LEAP => (format!("{rate:.3}/s"), format!("at most {fastest:.3}/s")),
            ABOVE => (value.to_string(), high.to_string()),
            _ => (value.to_string(), low.to_string()),
        };
        Some(Wrong { what, seen, usual })
    }

    /// Whether the values of a point stand still, or repeat, by these limits of what is known and of what is not.
    fn judge_course(point: &mut Point, value: f64, at: Timestamp, limits: Option<[f64; 2]>) -> Option<Wrong> {
        if at.since(point.at).as_secs_f64() > MIN_STAND {
            // Nobody was told what it did.
            point.moved = at;
        }
        let stood = at.since(point.moved).as_secs_f64();
        if value == point.last {
            let limit = (STANDS * point.longest).max(MIN_STAND);
            let is_telling = point.knows() && point.is_measured() && point.hours.knows(at);
            if is_telling && stood > limit && !point.told_stand {
                point.told_stand = true;
                let (seen, usual) = (format!("{stood:.0} s"), format!("at most {:.0} s", point.longest));
                return Some(Wrong { what: "stands still", seen, usual });
            }
        } else {
            point.moved = at;
            if !std::mem::take(&mut point.told_stand) {
                point.longest = point.longest.max(stood);
            }
        }
        let [repeated, bits] = limits.filter(|_| point.course.last() != Some(&(value as f32)))?;
        if point.is_cyclic {
            return None;
        }
        let run = point.follow(value as f32, at);
        if !point.is_measured() || point.is_counter() {
            return None;
        }
        let recent = &point.course[point.course.len() - run.min(point.course.len())..];
        let is_long = run as f64 >= repeated && different(recent) >= MIN_DIFFERENT;
        let lasts = at.since(point.follows_since).as_secs() >= MIN_REPEAT;
        let is_noise = lasts && surprise(recent) >= bits && different(&point.course) > STATES;
        if !is_long && !is_noise {
            return None;
        }
        // A cycle that the process goes through by itself is no recording, and a recording is told once.
        point.is_cyclic = true;
        let seen = format!("{run} values in the same order as before");
        let lag = point.follows.map_or(0, |(place, _)| point.course.len() - place) as u64;
        let is_told = is_long && point.knows() || is_noise && point.moves >= WATCHED.saturating_mul(lag);
        is_told.then(|| Wrong { what: REPEATS, seen, usual: "never".into() })
    }

    fn tell(given: &Given<'_>, wrong: &Wrong, out: &mut Out<'_>) {
        let Given { message: Message { owner, flow, written, .. }, point, value } = given;
        let matter = given.matter(wrong.what);
        let (actor, victim) = given.parties();
        let mut alarm = Alarm::about(actor);
        if let Some(victim) = victim {
            alarm = alarm.to(victim);
        }
        let alarm = alarm
            .matter(&matter)
            .flow(*flow)
            .anomaly()
            .severity(if *written || wrong.what == REPEATS { Severity::Medium } else { Severity::Low })
            .factor(wrong.what, &wrong.seen, &wrong.usual)
            .factor("value", value, "as before");
        let verb = if *written { "was written" } else { "was read" };
        out.raise(alarm, || {
            format!(
                "{value} {verb} at {point} of {owner}: {} ({}, usual is {})",
                wrong.what, wrong.seen, wrong.usual
            )
        });
    }
}

/// The last place at which a value stands. A stretch is looked at as a whole: most do not have it.
fn last_place(values: &[f32], value: f32) -> Option<usize> {
    let stretch =
        values.rchunks(16).position(|near| near.iter().fold(false, |any, one| any | (*one == value)))?;
    let end = values.len() - 16 * stretch;
    values[..end].iter().rposition(|known| *known == value)
}

/// How many of these values differ.
fn different(values: &[f32]) -> usize {
    let mut values: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

/// How much it says that these values came in this order before, in bits: what their steps have of information (C. E.
/// Shannon, "A Mathematical Theory of Communication", 1948), each as unlikely as it is rare among them, less what the choice
/// of the earlier place is worth. Nothing if they go their way without noise, as ramps, waves and recipes do: nothing
/// keeps those from being the same each time.
fn surprise(values: &[f32]) -> f64 {
    let turns = |near: &&[f32]| (near[0] < near[1]) == (near[1] > near[2]);
    let turning = values.windows(3).filter(turns).count() as f64;
    if turning < TURNING_POINTS * values.len().saturating_sub(2) as f64 {
        return 0.0;
    }
    let mut steps: Vec<u32> = values.windows(2).map(|pair| (pair[1] - pair[0]).to_bits()).collect();
    steps.sort_unstable();
    let count = steps.len() as f64;
    let bits = |alike: &[u32]| alike.len() as f64 * (count / alike.len() as f64).log2();
    steps.chunk_by(|one, other| one == other).map(bits).sum::<f64>() - (COURSE as f64).log2()
}

/// A value as a number, if it is one.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Unsigned(value) => Some(*value as f64),
        Value::Signed(value) => Some(*value as f64),
        Value::Real(value) => Some(*value).filter(|value| value.is_finite()),
        Value::List(values) => match &values[..] {
            [value] => number(value),
            _ => None,
        },
        _ => None,
    }
}

fn writes(operation: &Operation) -> bool {
    matches!(operation.kind, OperationKind::Write | OperationKind::Execute)
        && operation.outcome != Outcome::Refused
}

impl Detector for Values {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        if !seen.client.is_somebody() || !seen.server.is_somebody() {
            return;
        }
        match seen.what {
            What::Operation(operation) if writes(operation) => {
                let asked = seen.asked(operation);
                let (Some(value), Some(point)) =
                    (operation.value.as_ref().and_then(number), &operation.target)
                else {
                    return;
                };
                let between = [asked.asked.host, asked.asker.host];
                let Some(message) = Message::new(between, operation.flow.id, true, seen.at, out) else {
                    return;
                };
                let given = Given { message: &message, point, value };
                self.given(model::Point::key_of(point), &given, out);
            }
            What::Samples(samples) => {
                let between =
                    [samples.from, samples.from.other()].map(|side| samples.flow.endpoint(side).host);
                let Some(message) = Message::new(between, samples.flow.id, false, seen.at, out) else {
                    return;
                };
                for sample in &samples.values {
                    let given = Given { message: &message, point: &sample.point, value: sample.value };
                    self.given(sample.point.key(), &given, out);
                }
            }
            _ => {}
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        let points: Vec<_> = self.points.iter().map(|(_, point)| point).collect();
        let devices: Vec<_> = self.devices.iter().collect();
        to_bytes(&(points, devices))
    }

    fn restore(&mut self, learnt: &[u8]) {
        let Some((points, devices)) = from_bytes::<(Vec<Point>, Vec<(u64, u32)>)>(learnt) else { return };
        for mut point in points.into_iter().take(MAX_POINTS).filter(Point::is_sane) {
            point.follows = None;
            let (known, _) = self.points.entry(point.key, || point.clone());
            *known = point;
        }
        for (device, count) in devices.into_iter().take(MAX_DEVICES) {
            *self.devices.entry(device, || count).0 = count;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Judgement, OperationKind, Outcome, Scope, Severity, Value, Verdict};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation, values};

    fn hosts() -> Story {
        Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9")
    }

    fn read(story: Story, value: f64) -> Story {
        story.wait(30).then(values("10.0.0.5", "10.0.0.9", &[("input-registers 3 unit 1", value)]))
    }

    /// A level that goes up and down, with noise of the sensor.
    fn level(step: u32) -> f64 {
        let noise = f64::from(step.wrapping_mul(2_654_435_761) >> 16 & 0xff) / 16.0;
        (500.0 + 200.0 * (f64::from(step) / 40.0).sin() + noise).round()
    }

    fn process(story: Story, from: u32, to: u32) -> Story {
        (from..to).fold(story, |story, step| read(story, level(step)))
    }

    fn what(story: &Story) -> Vec<String> {
        story
            .findings()
            .iter()
            .map(|finding| finding.matter.rsplit("1 ").next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_process_that_goes_on_is_silent() {
        process(hosts(), 0, 9000).silent();
        // So does a counter that begins anew, and a point that only knows two states.
        (0..9000_u32).fold(hosts(), |story, step| read(story, f64::from(step * 50 % 65_536))).silent();
        (0..9000_u32).fold(hosts(), |story, step| read(story, f64::from(step / 40 % 2))).silent();
    }

    #[test]
    fn values_far_out_and_leaps_are_told() {
        assert_eq!(what(&read(process(hosts(), 0, 4000), 9000.0)), ["value above all before"]);
        assert_eq!(what(&read(process(hosts(), 0, 4000), -9000.0)), ["value below all before"]);
        // Where it stands at its lowest, to its highest.
        let bottom = (4000..4400).find(|step| level(*step) < 305.0).unwrap();
        assert_eq!(what(&read(process(hosts(), 0, bottom), 690.0)), ["change"]);
    }

    /// Values that are higher from some day on, and so on which days that is told: for `days` days, of which the last is
    /// looked at.
    fn after_a_change(days: u32, verdict: Option<Verdict>) -> bool {
        const DAY: u32 = 2880;
        let mut story = process(hosts(), 0, 3 * DAY);
        for day in 3..3 + days {
            let before = story.findings().iter().map(|finding| finding.count).sum::<u64>();
            story = (day * DAY..(day + 1) * DAY).fold(story, |story, step| read(story, 2000.0 + level(step)));
            let findings = story.findings();
            if day == 2 + days {
                return findings.iter().map(|finding| finding.count).sum::<u64>() > before;
            }
            for finding in findings {
                let said = |verdict| Judgement {
                    verdict,
                    scope: Scope::Finding,
                    reason: "".into(),
                    by: None,
                    declared: false,
                };
                story.detect().judge(finding.id, verdict.map(said));
            }
        }
        false
    }

    #[test]
    fn a_change_is_usual_once_it_is_accepted_or_has_lasted_as_long_as_what_was_before() {
        assert!(after_a_change(1, None) && after_a_change(3, None));
        assert!(!after_a_change(6, None));
        assert!(!after_a_change(3, Some(Verdict::Expected)) && !after_a_change(3, Some(Verdict::False)));
        assert!(after_a_change(6, Some(Verdict::True)));
    }

    #[test]
    fn a_state_that_never_was_is_told() {
        let story = (0..13_000_u32).fold(hosts(), |story, step| read(story, f64::from(step / 40 % 2)));
        assert_eq!(what(&read(story, 7.0)), ["value never had"]);
    }

    #[test]
    fn a_recording_and_a_frozen_value_are_told() {
        let story = process(hosts(), 0, 4000);
        let story = (0..60).fold(story, |story, step| read(story, level(3900 + step)));
        let findings = story.findings();
        let repeats = findings.iter().find(|finding| finding.matter.ends_with("repeats")).unwrap();
        assert_eq!(repeats.severity, Severity::Medium);
        let story = (0..200).fold(process(hosts(), 0, 4000), |story, _| read(story, level(3999)));
        assert_eq!(what(&story), ["stands still"]);
    }

    /// Noise of a sensor about some value: a generator of Marsaglia, "Xorshift RNGs" (2003).
    fn noise(step: u32) -> f64 {
        let mut state = step.wrapping_mul(0x9e37_79b9) | 1;
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
        }
        500.0 + f64::from(state >> 20 & 0x3f)
    }

    fn follow(values: impl IntoIterator<Item = f64>) -> Story {
        values.into_iter().fold(hosts(), read)
    }

    #[test]
    fn a_recording_of_a_minute_is_told_within_minutes() {
        let live = (0..400).map(noise);
        let story = follow(live.clone().chain(live.skip(340)));
        assert_eq!(what(&story), ["repeats"]);
        follow((0..4000).map(noise)).silent();
    }

    #[test]
    fn a_recording_of_several_values_is_one_finding() {
        let live: Vec<u32> = (0..400).collect();
        let story = live.iter().chain(&live[340..]).fold(hosts(), |story, step| {
            let course = [("DB1 word 1", noise(*step)), ("DB1 word 2", noise(step + 7000))];
            story.wait(30).then(values("10.0.0.5", "10.0.0.9", &course))
        });
        assert_eq!((what(&story).as_slice(), story.only().count), (&["repeats".to_owned()][..], 2));
    }

    #[test]
    fn processes_that_repeat_by_themselves_are_silent() {
        // A wave, finely and coarsely measured, a ramp, a recipe, and zones that are read in turn, again and again.
        let wave = |step: u32| (f64::from(step % 90) / 90.0 * std::f64::consts::TAU).sin();
        follow((0..4000).map(|step| wave(step) * 1000.0)).silent();
        follow((0..4000).map(|step| (wave(step) * 12.0).round())).silent();
        follow((0..4000).map(|step| f64::from(step % 100) * 0.1)).silent();
        follow((0..4000).map(|step| noise(step % 60))).silent();
        follow((0..4000).map(|step| f64::from(step / 3 % 2) * 100.0 + f64::from(step % 2))).silent();
    }

    #[test]
    fn what_is_sent_twice_or_to_two_is_no_recording() {
        let sample = |client: &str, value| values(client, "10.0.0.9", &[("input-registers 3 unit 1", value)]);
        let mut story = follow((0..400).map(noise)).with_host("10.0.0.6");
        for burst in 0..20 {
            let course = (0..20).map(|step| noise(1000 + burst * 20 + step));
            // Twice at once, and later to another one.
            for value in course.clone().chain(course.clone()) {
                story = story.then(sample("10.0.0.5", value));
            }
            story = course.fold(story.wait(20), |story, value| story.wait(1).then(sample("10.0.0.6", value)));
        }
        story.silent();
    }

    #[test]
    fn what_nobody_looked_at_did_not_stand_still() {
        let story = process(hosts(), 0, 4000).wait(7200);
        read(story, level(3999)).silent();
    }

    #[test]
    fn what_is_written_is_watched_and_survives_a_restart() {
        let write = |value: u64| {
            let name = "write-single-register";
            operation("10.0.0.5", "10.0.0.9", "modbus", OperationKind::Write, name, Outcome::Done)
                .on("holding-registers 7 unit 1")
                .writing(Value::Unsigned(value))
        };
        let mut story = hosts();
        for step in 0..4000 {
            story = story.wait(30).asks(write(level(step) as u64));
        }
        story.silent();
        let saved = story.detect().save();
        let mut other = hosts().wait(86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        let finding = other.asks(write(60_000)).only();
        assert_eq!((finding.actor.to_string().as_str(), finding.severity), ("10.0.0.5", Severity::Medium));
        assert!(finding.factors.iter().any(|factor| factor.seen.contains("60000")));
    }
}
