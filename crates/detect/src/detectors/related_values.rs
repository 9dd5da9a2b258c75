//! Values that do not fit each other: see [`DETECTOR`].

use model::{FlowId, Host, Operation, OperationKind, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::channel::digest_of_host;
use super::process_value::number;
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{Hours, Relations, Reservoir, Residual, from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds values of a process that do not fit each other as they used to.
pub(super) const DETECTOR: Rule = Rule {
    id: "related-values",
    title: "Process values that contradict each other",
    severity: Severity::Medium,
    attack: &["T0832", "T0856", "T0836"],
    finds: "The values that one device tells, each of which followed from the others and from what they were before, do \
            not follow from each other any more, for long enough that it is no chance: a level rises although the pump \
            stands, a pressure does not go with the flow. Each value by itself may be as usual.",
    matters: "Whoever attacks a process makes it do what it never did, or hides what it does behind values that are made \
              up; either breaks what physics keeps together. It often takes hours until somebody sees the harm.",
    fix: "Compare the values that are named with the process itself, on the spot, and with what the others say that they \
          should be. If a sensor failed or the process was changed on purpose, nothing else is to be done: it is learnt \
          anew.",
    thresholds: &[Threshold {
        name: "level",
        about: "how likely it may be by chance, in each round of values, that so much speaks against them",
        unit: "",
        usual: 1e-6,
    }],
    listens: &[Kind::Operation, Kind::Samples],
    keeps: "64 devices with 48 values each, 150 KiB each",
    start: || Box::new(RelatedValues { senders: Table::new(MAX_SENDERS) }),
};

const LEVEL: usize = 0;

const MAX_SENDERS: usize = 64;
/// So many values of a device are watched: those that came first. Fewer than two say nothing of each other.
const MAX_POINTS: usize = 48;
const MIN_POINTS: usize = 2;
/// So many characters of the name of a value are kept.
const NAME: usize = 80;
/// Values are taken together in rounds of so many seconds at least.
const ROUND: u64 = 300;
/// A round does not follow the one before if it comes after so many times the pause before that.
const PAUSE: f64 = 4.0;
/// So many residuals of a value are kept, and so many say what is usual.
const RESIDUALS: usize = 128;
const ENOUGH: u64 = 100;
/// A residual is greater than the greatest only by this share of it.
const GRAIN: f64 = 0.25;
/// No round speaks more against a value than one in so many.
const RAREST: f64 = 1e-4;
/// Evidence counts only beyond so many times the most that there was on any of at least so many days. Rounds are like
/// those before them, but days hardly depend on each other: the most of n days is exceeded on the next with a chance of
/// 1/(n + 1), and so many times the most, as tails are at least exponential, with the square of that.
const BEYOND: f64 = 2.0;
const DAYS: u32 = 7;
/// What was told and was over by itself must be so many times as strong to be told again, up to so much.
const AGAIN: f64 = 1.5;
const MOST: f64 = 200.0;
/// From this share of what is told, nothing is learnt.
const SUSPECT: f64 = 0.5;
/// What is wrong is over after so many rounds in which nothing new spoke for it.
const QUIET: u32 = 12;
/// What looks for so many seconds as if something were wrong, without there being enough to tell, is how it is.
const PATIENCE: u64 = 72 * 3600;
/// A day, in seconds.
const DAY: u64 = 86_400;
/// A value that goes so many times as often one way as the other is a counter.
const COUNTER: u64 = 20;
/// So many values are named that speak most for what is told.
const NAMED: usize = 3;

struct RelatedValues {
    senders: Table<u64, Sender>,
}

/// The values that one device tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sender {
    key: u64,
    points: Vec<Point>,
    /// There once a round brought no value that was not known: of the values, then of those of the round before.
    relations: Option<Relations>,
    hours: Hours,
    /// On how many days something was learnt, and which was the last.
    days: u32,
    day: u64,
    /// The round before, and the pause before that, in seconds.
    last: Option<(Timestamp, Vec<f64>)>,
    pause: f64,
    /// Whether the round that goes on brought a value that was not known.
    has_grown: bool,
    /// Where the next value most likely stands: they come in the same order each time.
    #[serde(skip)]
    next: usize,
    /// Whether the round before was as odd as can be.
    is_odd: bool,
    /// What is told now.
    #[serde(skip)]
    episode: Option<Episode>,
    /// Since when it looks as if something were wrong, and when it did last.
    #[serde(skip)]
    doubt: Option<(Timestamp, Timestamp)>,
}

/// A value.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Point {
    digest: u64,
    name: Box<str>,
    value: f64,
    /// Whether it was told in the round that goes on.
    is_told: bool,
    /// How often it went up and down.
    ups: u32,
    downs: u32,
    residuals: Reservoir,
    /// How much speaks against it, as a logarithm, since when, and the most that ever did by chance.
    evidence: f64,
    since: Timestamp,
    most: f64,
}

/// Values that contradict each other, for as long as they do.
#[derive(Clone, Debug)]
struct Episode {
    matter: String,
    since: Timestamp,
    told: Timestamp,
    /// Rounds since something spoke for it.
    quiet: u32,
}

impl Point {
    fn new(digest: u64, name: &str, value: f64) -> Self {
        let name = name.chars().take(NAME).collect::<String>().into_boxed_str();
        let residuals = Reservoir::default();
        let (evidence, since, most) = (0.0, Timestamp::EPOCH, 0.0);
        Self { digest, name, value, is_told: true, ups: 0, downs: 0, residuals, evidence, since, most }
    }

    const fn is_counter(&self) -> bool {
        let (ups, downs) = (self.ups as u64, self.downs as u64);
        ups > COUNTER * downs || downs > COUNTER * ups
    }

    /// How much must speak against it to be told.
    fn limit(&self, limit: f64) -> f64 {
        limit.max(BEYOND * self.most)
    }

    /// Takes what a round says: a bet against it that pays 1/(2√p) for a p-value, the gains of which are no greater
    /// than the inverse of the level but with the chance of the level (V. Vovk, I. Nouretdinov, A. Gammerman, "Testing
    /// Exchangeability On-Line", ICML 2003); losses are not carried on, so that what changes late is found as soon
    /// (E. S. Page, Biometrika 41, 1954). The p-value, and whether there is as much against it as can be.
    fn bet(&mut self, size: f64, limit: f64, at: Timestamp) -> (f64, bool) {
        let grain = GRAIN * self.residuals.greatest().map_or(0.0, f64::from);
        let rate = self.residuals.p_value(size as f32, grain).max(RAREST);
        if self.evidence <= 0.0 {
            self.since = at;
        }
        let limit = self.limit(limit);
        self.evidence = (self.evidence + 0.5_f64.ln() - 0.5 * rate.ln()).clamp(0.0, limit);
        (rate, self.evidence >= limit)
    }

    fn is_sane(&self) -> bool {
        self.residuals.is_sane(RESIDUALS)
            && [self.value, self.evidence, self.most].iter().all(|number| number.is_finite())
    }
}

impl Sender {
    fn new(key: u64) -> Self {
        Self {
            key,
            points: Vec::new(),
            relations: None,
            hours: Hours::default(),
            days: 0,
            day: 0,
            last: None,
            pause: 0.0,
            has_grown: false,
            next: 0,
            is_odd: false,
            episode: None,
            doubt: None,
        }
    }

    fn is_sane(&self) -> bool {
        let count = self.points.len();
        count <= MAX_POINTS
            && self.points.iter().all(Point::is_sane)
            && self.relations.as_ref().is_none_or(|relations| relations.is_sane(2 * count))
            && self
                .last
                .as_ref()
                .is_none_or(|(_, row)| row.len() <= count && row.iter().all(|n| n.is_finite()))
            && self.pause.is_finite()
    }

    /// Whether a round may be over by now.
    fn is_due(&self, at: Timestamp) -> bool {
        self.last.as_ref().is_none_or(|(last, _)| at.since(*last).as_secs() >= ROUND)
    }

    /// A value is told.
    fn given(&mut self, given: &Given<'_>, at: Timestamp, out: &mut Out<'_>) {
        let is_it = |point: &Point| point.digest == given.key;
        let place = match self.points.get(self.next) {
            Some(point) if is_it(point) => Some(self.next),
            _ => self.points.iter().position(is_it),
        };
        self.next = place.map_or(0, |place| place + 1);
        if place.is_some_and(|place| self.points[place].is_told) && self.is_due(at) {
            self.pass(given, at, out);
        }
        match place {
            Some(place) => {
                let point = &mut self.points[place];
                (point.value, point.is_told) = (given.value, true);
            }
            None if self.relations.is_none() && self.points.len() < MAX_POINTS => {
                self.points.push(Point::new(given.key, given.point, given.value));
                self.has_grown = true;
            }
            None => return,
        }
        let may_pass = self.relations.is_some() && self.is_due(at);
        if may_pass && self.points.iter().all(|point| point.is_told) {
            self.pass(given, at, out);
        }
    }

    /// A round is over.
    fn pass(&mut self, given: &Given<'_>, at: Timestamp, out: &mut Out<'_>) {
        let mut row: Vec<f64> = self.points.iter().map(|point| point.value).collect();
        self.points.iter_mut().for_each(|point| point.is_told = false);
        self.is_odd = false;
        let before = self.last.replace((at, row.clone()));
        if self.relations.is_none() {
            if !std::mem::take(&mut self.has_grown) && self.points.len() >= MIN_POINTS {
                self.relations = Some(Relations::new(2 * row.len()));
            }
            return;
        }
        let Some((then, before)) = before.filter(|(_, before)| before.len() == row.len()) else { return };
        let pause = at.since(then).as_secs_f64();
        let follows = self.pause <= 0.0 || pause <= PAUSE * self.pause;
        self.pause = pause;
        if !follows {
            return;
        }
        for (point, before) in self.points.iter_mut().zip(&before) {
            point.ups = point.ups.saturating_add(u32::from(point.value > *before));
            point.downs = point.downs.saturating_add(u32::from(point.value < *before));
        }
        row.extend(before);
        let Some(relations) = &mut self.relations else { return };
        let residuals = relations.residuals(&row, self.points.len());
        let is_suspect = out.is_suspect(&given.owner) || out.is_suspect(&given.other);
        if self.hours.knows(at) && self.judge(given, &residuals, at, is_suspect, out) || is_suspect {
            return;
        }
        self.hours.learn(at);
        let day = at.as_secs() / DAY;
        if day > self.day && self.points.iter().any(|point| point.residuals.seen() >= ENOUGH) {
            (self.day, self.days) = (day, self.days.saturating_add(1));
        }
        self.learn(&row, &residuals);
    }

    /// Looks at how far the values are from what they say of each other. Whether anything is wrong. What was told becomes
    /// usual once that is accepted, or when it has lasted for as many days as it was otherwise.
    fn judge(
        &mut self,
        given: &Given<'_>,
        residuals: &[Option<Residual>],
        at: Timestamp,
        is_suspect: bool,
        out: &mut Out<'_>,
    ) -> bool {
        let limit = (self.points.len() as f64 / out.limit(LEVEL, &given.owner).max(f64::MIN_POSITIVE)).ln();
        let mut is_wrong = false;
        let mut greatest: (f64, Option<usize>) = (0.0, None);
        for (place, (point, residual)) in self.points.iter_mut().zip(residuals).enumerate() {
            let Some(residual) = residual.filter(|_| point.residuals.seen() >= ENOUGH) else { continue };
            let (rate, is_enough) = point.bet(residual.size, limit, at);
            is_wrong |= is_enough;
            self.is_odd |= rate <= RAREST;
            let share = point.evidence / point.limit(limit);
            if share > greatest.0 {
                greatest = (share, Some(place));
            }
        }
        let (share, Some(place)) = greatest else { return false };
        if self.days <= DAYS {
            return false;
        }
        out.score(1.0 - (-limit * share).exp(), Some(given.flow), Some(given.owner));
        if is_wrong {
            self.tell(place, given, residuals, at, out);
        }
        let Some(episode) = &mut self.episode else { return share >= SUSPECT && !self.is_no_more(at) };
        episode.quiet = if is_wrong { 0 } else { episode.quiet + 1 };
        let is_over = episode.quiet >= QUIET;
        let is_long = at.since(episode.told).as_secs() >= u64::from(self.days) * DAY;
        let is_lasting = !is_suspect && (is_long || out.is_accepted(&given.owner, None, &episode.matter));
        if is_over || is_lasting {
            self.episode = None;
            if let Some(relations) = self.relations.as_mut().filter(|_| is_lasting) {
                relations.fade();
            }
            for point in &mut self.points {
                if is_lasting {
                    // What is usual is learnt anew.
                    point.residuals = Reservoir::default();
                } else if point.evidence >= SUSPECT * point.limit(limit) {
                    point.most = (AGAIN * point.limit(limit) / BEYOND).min(MOST);
                }
                point.evidence = 0.0;
            }
        }
        !is_over && !is_lasting
    }

    /// Whether it has looked for so long as if something were wrong, and nothing was, that it is learnt all the same.
    fn is_no_more(&mut self, at: Timestamp) -> bool {
        let since =
            self.doubt.filter(|(_, last)| at.since(*last).as_secs() < DAY).map_or(at, |(since, _)| since);
        self.doubt = Some((since, at));
        let is_lasting = at.since(since).as_secs() >= PATIENCE;
        if is_lasting {
            self.doubt = None;
            for point in &mut self.points {
                (point.most, point.evidence) = (point.most.max(point.evidence), 0.0);
            }
        }
        is_lasting
    }

    fn tell(
        &mut self,
        place: usize,
        given: &Given<'_>,
        residuals: &[Option<Residual>],
        at: Timestamp,
        out: &mut Out<'_>,
    ) {
        let Self { points, episode, .. } = self;
        let point = &points[place];
        let episode = episode.get_or_insert_with(|| {
            let since = point.since.to_string();
            let day = since.split_once('T').map_or(&*since, |(day, _)| day);
            Episode { matter: format!("{} since {day}", point.name), since: point.since, told: at, quiet: 0 }
        });
        let mut worst: Vec<(&Point, Residual)> = points
            .iter()
            .zip(residuals)
            .filter_map(|(point, residual)| Some((point, (*residual)?)))
            .filter(|(point, _)| point.evidence > 0.0)
            .collect();
        worst.sort_by(|one, other| other.0.evidence.total_cmp(&one.0.evidence));
        let chance = points.len() as f64 * (-point.evidence).exp();
        let mut alarm = Alarm::about(given.owner)
            .matter(&episode.matter)
            .flow(given.flow)
            .since(episode.since)
            .anomaly()
            .crossed(LEVEL, chance);
        for (point, residual) in worst.iter().take(NAMED) {
            let Residual { predicted, .. } = residual;
            alarm = alarm.factor(
                "value",
                format_args!("{} is {}", point.name, point.value),
                format_args!("{predicted:.3} by the others"),
            );
        }
        let (name, owner, others) = (&point.name, &given.owner, points.len() - 1);
        out.raise(alarm, || {
            format!("{name} of {owner} does not fit the {others} other values that it tells, as it used to")
        });
    }

    fn learn(&mut self, row: &[f64], residuals: &[Option<Residual>]) {
        for (point, residual) in self.points.iter_mut().zip(residuals) {
            point.most = point.most.max(point.evidence);
            if let Some(residual) = residual {
                point.residuals.add(residual.size as f32, RESIDUALS);
            }
        }
        // One round that is far off would bend all relations.
        let Self { points, relations, is_odd, .. } = self;
        if let Some(relations) = relations.as_mut().filter(|_| !*is_odd) {
            relations.learn(row, |number| points[number % points.len()].is_counter());
        }
    }
}

/// A value, who tells it to whom, and where.
struct Given<'a> {
    owner: Host,
    other: Host,
    /// Its name, and the key of that.
    point: &'a str,
    key: u64,
    value: f64,
    flow: FlowId,
}

/// A value that somebody publishes.
fn published(operation: &Operation) -> Option<Given<'_>> {
    if operation.kind != OperationKind::Publish {
        return None;
    }
    let (point, value) = (operation.target.as_deref()?, number(operation.value.as_ref()?)?);
    let end = |side| operation.flow.endpoint(side).host;
    let (owner, other) = (end(operation.from), end(operation.from.other()));
    let key = model::Point::key_of(point);
    Some(Given { owner, other, point, key, value, flow: operation.flow.id })
}

impl RelatedValues {
    /// What is known of the values of a device; nothing if it is nobody.
    fn sender(&mut self, owner: &Host) -> Option<&mut Sender> {
        let key = digest_of_host(owner)?;
        Some(self.senders.entry(key, || Sender::new(key)).0)
    }
}

impl Detector for RelatedValues {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        if !seen.client.is_somebody() || !seen.server.is_somebody() {
            return;
        }
        match seen.what {
            What::Operation(operation) => {
                if let Some(given) = published(operation)
                    && let Some(sender) = self.sender(&given.owner)
                {
                    sender.given(&given, seen.at, out);
                }
            }
            What::Samples(samples) => {
                let end = |side| samples.flow.endpoint(side).host;
                let (owner, other) = (end(samples.from), end(samples.from.other()));
                let Some(sender) = self.sender(&owner) else { return };
                let numbers = samples.values.iter().filter(|sample| sample.value.is_finite());
                for sample in numbers {
                    let (point, key, value) = (&*sample.point, sample.point.key(), sample.value);
                    let given = Given { owner, other, point, key, value, flow: samples.flow.id };
                    sender.given(&given, seen.at, out);
                }
            }
            _ => {}
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.senders.iter().map(|(_, sender)| sender).collect::<Vec<_>>())
    }

    fn restore(&mut self, learnt: &[u8]) {
        for sender in from_bytes::<Vec<Sender>>(learnt).into_iter().flatten().take(MAX_SENDERS) {
            if sender.is_sane() {
                let (known, _) = self.senders.entry(sender.key, || sender.clone());
                *known = sender;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Finding, Judgement, Scope, Verdict};

    use super::{DETECTOR, MAX_POINTS};
    use crate::testing::{Story, values};

    fn hosts() -> Story {
        Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9")
    }

    fn tell(story: Story, point: &str, value: f64) -> Story {
        story.then(values("10.0.0.5", "10.0.0.9", &[(point, value)]))
    }

    /// A tank from which a town drinks, less at the weekend, and that a pump fills; and what its sensors say.
    struct Plant {
        seed: u32,
        /// Seconds from one round to the next.
        pause: u64,
        /// How far the pressure is moved by what no sensor tells of and what lasts for hours.
        unseen: f64,
        weather: f64,
        level: f64,
        is_on: bool,
        step: u32,
        /// What the sensor of the level says too much.
        bias: f64,
        /// A share of the flow that does not come.
        leak: f64,
    }

    impl Plant {
        fn new() -> Self {
            Self {
                seed: 0,
                pause: 900,
                unseen: 0.0,
                weather: 0.0,
                level: 3.0,
                is_on: false,
                step: 0,
                bias: 0.0,
                leak: 0.0,
            }
        }

        fn noise(&self, salt: u32) -> f64 {
            let mixed = (self.step + 1_000_003 * self.seed).wrapping_mul(2_654_435_761);
            let mixed = mixed.wrapping_add(salt.wrapping_mul(40_503));
            let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d);
            f64::from((mixed ^ mixed >> 13) & 0xffff) / 65_536.0 - 0.5
        }

        fn run(&mut self, mut story: Story, steps: u32) -> Story {
            for _ in 0..steps {
                let hours = self.pause as f64 / 3600.0;
                let hour = f64::from(self.step) * hours;
                let week = if hour % 168.0 < 120.0 { 1.0 } else { 0.8 };
                let daily = 20.0 + 8.0 * (hour * std::f64::consts::TAU / 24.0).sin();
                let demand = week * daily + 4.0 * self.noise(1);
                self.weather += -self.weather * hours / 6.0 + (hours / 6.0).sqrt() * 3.0 * self.noise(6);
                self.is_on = self.level < 2.0 || self.is_on && self.level < 4.0;
                let flow = if self.is_on { 45.0 + 1.0 * self.noise(2) } else { 0.0 };
                self.level += (flow * (1.0 - self.leak) - demand) * hours / 25.0;
                story = story.wait(self.pause);
                let pressure =
                    60.0 - 0.2 * flow + self.level + 0.2 * self.noise(4) + self.unseen * self.weather;
                let level = self.level + self.bias + 0.01 * self.noise(3);
                story = tell(story, "level", level);
                story = tell(story, "flow", flow);
                story = tell(story, "pump", f64::from(u8::from(self.is_on)));
                story = tell(story, "demand", demand + 0.2 * self.noise(5));
                story = tell(story, "pressure", pressure);
                story = tell(story, "cubic metres so far", f64::from(self.step) * 7.0);
                story = tell(story, "spare", 0.0);
                self.step += 1;
            }
            story
        }
    }

    fn names(finding: &Finding) -> String {
        finding.factors.iter().map(|factor| &*factor.seen).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_process_that_goes_on_is_silent_for_months() {
        Plant::new().run(hosts(), 90 * 96).silent();
        // Nor is anything told of one whose values depend on what lasts for hours and nobody tells, asked every quarter of
        // an hour, every hour or every minute.
        for seed in 1..3 {
            for (pause, days) in [(900, 40), (3600, 120), (60, 14)] {
                let mut plant = Plant { seed, unseen: 1.0, pause, ..Plant::new() };
                plant.run(hosts(), days * (86_400 / pause) as u32).silent();
            }
        }
    }

    #[test]
    fn a_sensor_that_lies_is_told_although_its_values_are_as_usual() {
        let mut plant = Plant::new();
        let story = plant.run(hosts(), 21 * 96);
        story.silent();
        plant.bias = 0.3;
        let story = plant.run(story, 48);
        let finding = story.only();
        assert!(names(&finding).contains("level") || names(&finding).contains("pressure"), "{finding:#?}");
        // It is told when it began, and learnt if it lasts.
        assert!(finding.raised.since(finding.first).as_secs() < 12 * 3600);
        let story = plant.run(story, 60 * 96);
        assert!(story.findings().len() <= 2, "{:#?}", story.findings());
    }

    #[test]
    fn what_was_told_stays_told_until_it_is_accepted_and_never_becomes_usual_once_it_is_confirmed() {
        let counted = |verdict: Option<Verdict>, days: u32| {
            let mut plant = Plant::new();
            let story = plant.run(hosts(), 21 * 96);
            plant.bias = 0.5;
            let mut story = plant.run(story, 2 * 96);
            let id = story.findings()[0].id;
            let said = |verdict| Judgement {
                verdict,
                scope: Scope::Actor,
                reason: "".into(),
                by: None,
                declared: false,
            };
            story.detect().judge(id, verdict.map(said));
            let mut story = plant.run(story, days * 96);
            let count = |story: &Story| story.findings().iter().map(|finding| finding.count).sum::<u64>();
            let before = count(&story);
            story = plant.run(story, 2 * 96);
            count(&story) > before
        };
        assert!(counted(None, 10) && !counted(None, 40));
        assert!(!counted(Some(Verdict::Expected), 10));
        assert!(counted(Some(Verdict::True), 40));
    }

    #[test]
    fn water_that_goes_elsewhere_is_told_and_one_odd_round_is_not() {
        let mut plant = Plant::new();
        let story = plant.run(hosts(), 21 * 96);
        plant.bias = 1.0;
        let story = plant.run(story, 1);
        plant.bias = 0.0;
        let story = plant.run(story, 96);
        story.silent();
        plant.leak = 0.4;
        let story = plant.run(story, 2 * 96);
        assert!(!story.findings().is_empty());
    }

    #[test]
    fn what_came_for_a_day_only_tells_nothing() {
        let mut plant = Plant::new();
        let story = plant.run(hosts(), 90);
        plant.bias = 0.5;
        plant.run(story, 4).silent();
        // Values of which none says anything of another.
        let mut plant = Plant::new();
        let alone = (0..4000).fold(hosts(), |story, step| {
            plant.step = step;
            let story = tell(story.wait(900), "one", plant.noise(1));
            tell(story, "other", plant.noise(2))
        });
        alone.silent();
    }

    #[test]
    fn more_values_than_there_is_room_for_are_left_out() {
        let mut story = hosts();
        for _ in 0..4 {
            story = story.wait(900);
            for point in 0..MAX_POINTS + 10 {
                story = tell(story, &format!("point {point}"), 1.0);
            }
        }
        let saved = String::from_utf8(story.detect().save()[0].1.split_off(1)).unwrap();
        assert!(saved.contains("point 47") && !saved.contains("point 48"));
    }

    #[test]
    fn what_is_learnt_survives_a_restart() {
        let mut plant = Plant::new();
        let mut story = plant.run(hosts(), 21 * 96);
        let saved = story.detect().save();
        let mut other = hosts().wait(21 * 86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        let other = plant.run(other, 2 * 96);
        other.silent();
        plant.bias = 0.3;
        assert!(!plant.run(other, 48).findings().is_empty());
        for broken in [&b"\x01[{}]"[..], b"\x01[[[[", b"\x02[]"] {
            hosts().detect().restore_learnt(saved[0].0, broken);
        }
    }
}
