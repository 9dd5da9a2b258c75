//! One run: sources through the flow engine to the brain and the store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use brain::Brain;
use capture::{Batch, MAX_BATCH_FRAMES};
use dissect::proto::Wants;
use dissect::wire::{self, LinkType, Oddity};
use flow::{Engine, Frame, Frames, Limits};
use model::{
    Change, Device, DeviceId, Event, Finding, FindingId, FlowId, Incident, Judgement, Observation, Timestamp,
    What,
};
use serde::Serialize;
use store::{Commit, Flows, SourceState, Store};

use crate::evidence::Evidence;
use crate::output::{Output, Problem, say};
use crate::protect::{Protector, clock};
use crate::recorded;
use crate::rules;
use crate::tally::{Tally, Totals};

/// So many kinds of link are told apart in one source.
const MAX_LINKS: usize = 16;
/// A commit is made later by this for each device that has changed, so that writing them, some 15
/// microseconds each, takes at most a twentieth of the time.
const DEVICE_INTERVAL: Duration = Duration::from_micros(300);
/// What changes of a finding but how often and when it was seen last is kept with the next commit; the count, so often.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// What the detectors have learnt is kept so often, and at the end: a crash costs so much of it.
const LEARNT_INTERVAL: Duration = Duration::from_secs(60);
/// Orders of people about responses are heard so often.
const ORDERS_INTERVAL: Duration = Duration::from_millis(500);
/// Where packets are read as they pass and none comes, packet time goes on with the clock, so far behind it: what the kernel
/// still holds is not later than that.
const BEHIND: Duration = Duration::from_millis(200);
/// More conversations than this do not wait for the next commit; packed, each takes some 60 bytes.
const MAX_UNCOMMITTED: u64 = 1 << 19;

/// A batch as the flow engine takes it.
#[derive(Default)]
pub(crate) struct Captured(pub(crate) Batch);

impl Frames for Captured {
    fn count(&self) -> usize {
        self.0.frames.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let frame = &self.0.frames[index];
        Frame {
            at: frame.at,
            link: frame.link,
            wire_length: frame.wire_length,
            bytes: self.0.bytes(frame),
            interface: frame.interface,
        }
    }
}

/// How a run is to be done.
pub(crate) struct Plan {
    pub(crate) shards: usize,
    pub(crate) max_flows: usize,
    pub(crate) commit_interval: Duration,
    /// Where observations and events are printed as JSON, if they are.
    pub(crate) json: Option<Output>,
    /// Where scores of observations are written as JSON, if they are.
    pub(crate) scores: Option<BufWriter<File>>,
    pub(crate) settings: brain::Settings,
    /// What people have declared, by which it is judged.
    pub(crate) rules: brain::Rules,
    pub(crate) evidence: Option<Evidence>,
    /// Who responds to incidents, if somebody does.
    pub(crate) protector: Option<Protector>,
}

/// How unusual an observation was, as a line of JSON.
#[derive(Serialize)]
struct ScoreLine {
    at: Timestamp,
    detector: &'static str,
    score: f64,
    flow: Option<FlowId>,
    device: Option<DeviceId>,
}

/// One run.
pub(crate) struct Session {
    engine: Engine<Captured>,
    brain: Brain,
    store: Box<dyn Store>,
    pub(crate) tally: Tally,
    /// Totals of the run that were committed.
    pub(crate) totals: Totals,
    /// Where observations and events are printed as JSON, if they are.
    json: Option<Output>,
    scores: Option<BufWriter<File>>,
    waiting: VecDeque<Arc<Captured>>,
    spare: Vec<Captured>,
    observations: Vec<Observation>,
    events: Vec<Event>,
    flows: Flows,
    /// The packets that show what is found, if they are kept.
    evidence: Option<Evidence>,
    /// Who responds to incidents, if somebody does.
    protector: Option<Protector>,
    /// When orders were heard last.
    last_orders: Instant,
    /// What was found in the run.
    found: BTreeSet<FindingId>,
    /// What analysts have said of findings.
    judgements: BTreeMap<FindingId, Option<Judgement>>,
    source: SourceState,
    /// Devices that the run has learnt something about.
    seen: BTreeSet<DeviceId>,
    /// What the engine had counted when the source began.
    before: flow::Counters,
    last_commit: Instant,
    /// When findings that were only counted up were kept last; nothing if they are to be with the next commit.
    last_count: Option<Instant>,
    /// The same of what the detectors have learnt.
    last_learnt: Option<Instant>,
    commit_interval: Duration,
    /// How the frames of the source begin, as far as batches began with them.
    links: Vec<LinkType>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Session {
    pub(crate) fn new(store: Box<dyn Store>, plan: Plan) -> Result<Self, Problem> {
        let Plan { shards, max_flows, commit_interval, json, scores, settings, rules, evidence, protector } =
            plan;
        // Certificates are in messages.
        let messages = json.is_some() || protector.as_ref().is_some_and(Protector::revokes);
        let wants = Wants { messages, judged: settings.off.len() < detect::DETECTORS.len() };
        let mut brain = Brain::new(inventory::Limits::default(), settings);
        for device in store.devices()? {
            brain.inventory_mut().restore(&device);
        }
        for finding in store.findings()? {
            brain.detect_mut().restore(finding);
        }
        for incident in store.incidents()? {
            brain.detect_mut().restore_incident(incident);
        }
        for (detector, learnt) in store.learnt()? {
            brain.restore_learnt(&detector, &learnt);
        }
        brain.declare(rules).map_err(|problems| rules::refused(&problems))?;
        if scores.is_some() {
            brain.detect_mut().want_scores();
        }
        let judgements = store.judgements()?;
        // Who responds must know soon; what is only written down may be told when it is complete.
        let usual = if protector.is_some() { Limits::prompt() } else { Limits::default() };
        let limits = Limits { flows: max_flows, ..usual };
        let engine = Engine::new(limits, wants, shards, seed());
        let before = engine.counters();
        Ok(Self {
            engine,
            brain,
            store,
            tally: Tally::default(),
            totals: Totals::default(),
            json,
            scores,
            waiting: VecDeque::new(),
            spare: Vec::new(),
            observations: Vec::new(),
            events: Vec::new(),
            flows: Flows::default(),
            evidence,
            protector,
            last_orders: Instant::now(),
            found: BTreeSet::new(),
            judgements,
            source: SourceState::default(),
            seen: BTreeSet::new(),
            before,
            last_commit: Instant::now(),
            last_count: None,
            last_learnt: Some(Instant::now()),
            commit_interval,
            links: Vec::new(),
            packets: 0,
            bytes: 0,
        })
    }

    /// Begins with a source, or goes on with one that was cut off.
    pub(crate) fn begin(&mut self, key: &str, name: &str) -> Result<&SourceState, Problem> {
        self.source = match self.store.source(key)? {
            Some(mut known) => {
                // What was open when the earlier run was cut off will not be told as one conversation.
                known.interrupted += std::mem::take(&mut known.open);
                known.open_flows = 0;
                known.complete = false;
                known.damage = None;
                known.name = name.to_owned();
                known
            }
            None => SourceState { key: key.to_owned(), name: name.to_owned(), ..SourceState::default() },
        };
        self.before = self.engine.counters();
        self.links.clear();
        Ok(&self.source)
    }

    /// A batch to fill.
    pub(crate) fn batch(&mut self) -> Captured {
        self.spare.pop().unwrap_or_default()
    }

    /// Gives a batch back that was not filled.
    pub(crate) fn put_back(&mut self, batch: Captured) {
        self.spare.push(batch);
    }

    /// Works a batch.
    pub(crate) fn work(&mut self, batch: Captured) -> Result<(), Problem> {
        self.packets += batch.0.frames.len() as u64;
        if let Some(frame) = batch.0.frames.first()
            && !self.links.contains(&frame.link)
            && self.links.len() < MAX_LINKS
        {
            self.links.push(frame.link);
        }
        // Where packets are read as they pass, there are no more for the moment, and what these say is told at once.
        let is_all = self.source.is_live() && batch.0.frames.len() < MAX_BATCH_FRAMES;
        let batch = Arc::new(batch);
        if let Some(evidence) = &mut self.evidence {
            let spare = &mut self.spare;
            evidence.take(&batch, |batch| spare.extend(Arc::into_inner(batch)));
        }
        self.engine.submit(&batch);
        self.waiting.push_back(batch);
        if self.waiting.len() >= self.engine.capacity() {
            self.collect()?;
        }
        while is_all && !self.waiting.is_empty() {
            self.collect()?;
        }
        if self.flows.len() >= MAX_UNCOMMITTED || self.is_time() {
            self.commit(false)?;
        }
        Ok(())
    }

    /// Takes in what was observed elsewhere.
    pub(crate) fn hear(&mut self, observations: Vec<Observation>) -> Result<(), Problem> {
        for observation in &observations {
            let packets = recorded::packets(observation);
            self.packets += packets;
            self.source.packets += packets;
            if let What::FlowEnded(record) = &observation.what {
                let bytes = record.sent.bytes + record.received.bytes;
                self.source.bytes += bytes;
                self.bytes += bytes;
            }
            self.source.last = self.source.last.max(observation.at);
        }
        self.observations.extend(observations);
        self.take_in()?;
        if self.flows.len() >= MAX_UNCOMMITTED || self.is_time() {
            self.commit(false)?;
        }
        Ok(())
    }

    /// Whether a commit is due. Without an interval one is due after every batch.
    fn is_time(&self) -> bool {
        if self.commit_interval.is_zero() {
            return true;
        }
        let changed = u32::try_from(self.brain.inventory().changed()).unwrap_or(u32::MAX);
        self.last_commit.elapsed() >= self.commit_interval + DEVICE_INTERVAL * changed
    }

    fn collect(&mut self) -> Result<(), Problem> {
        let Some(batch) = self.waiting.pop_front() else { return Ok(()) };
        self.engine.collect(&mut self.observations);
        self.source.packets += batch.0.frames.len() as u64;
        let bytes = batch.0.frames.iter().map(|frame| u64::from(frame.wire_length)).sum::<u64>();
        self.source.bytes += bytes;
        self.bytes += bytes;
        if let Ok(batch) = Arc::try_unwrap(batch) {
            self.spare.push(batch);
        }
        self.take_in()
    }

    /// Gives what was observed to everybody who wants it.
    fn take_in(&mut self) -> Result<(), Problem> {
        let mut observations = std::mem::take(&mut self.observations);
        let mut waiting = observations.drain(..);
        for number in 0_usize.. {
            if number.is_multiple_of(brain::GROUP) {
                let next = waiting.as_slice();
                self.brain.prepare(&next[..next.len().min(brain::GROUP)]);
            }
            let Some(observation) = waiting.next() else { break };
            self.tally.observe(&observation);
            if let Some(protector) = &mut self.protector {
                protector.observe(&observation);
            }
            self.brain.observe(&observation, &mut self.events);
            if let Some(json) = &mut self.json {
                json.json(&observation)?;
            }
            self.tell()?;
            if let What::FlowEnded(record) = observation.what {
                self.source.recorded += record.sent.packets + record.received.packets;
                self.flows.push(&record);
            }
        }
        drop(waiting);
        self.observations = observations;
        self.respond()?;
        let (tally, at) = (&mut self.tally, self.engine.now());
        self.brain.drain_shed(|shed| tally.observe(&Observation { at, what: What::Shed(Box::new(shed)) }));
        if let Some(out) = &mut self.scores {
            let scores: Vec<_> = self.brain.detect_mut().drain_scores().collect();
            let inventory = self.brain.inventory();
            for score in scores {
                let device = score.host.and_then(|host| inventory.glance(&host)).map(|known| known.id);
                let (at, flow) = (score.at, score.flow);
                let line = ScoreLine { at, detector: score.detector, score: score.score, flow, device };
                serde_json::to_writer(&mut *out, &line).map_err(|error| Problem::Scores(error.into()))?;
                out.write_all(b"\n").map_err(Problem::Scores)?;
            }
        }
        if let Some(evidence) = self.evidence.as_mut().filter(|evidence| evidence.is_urgent()) {
            evidence.cut(&mut self.brain);
        }
        Ok(())
    }

    /// Tells everybody who wants it what has followed. What was found and done live does not wait in a buffer.
    fn tell(&mut self) -> Result<(), Problem> {
        let is_live = self.source.is_live();
        for event in self.events.drain(..) {
            if let Some(json) = &mut self.json {
                json.json(&event)?;
                let is_urgent =
                    matches!(event.change, Change::FindingRaised { .. } | Change::ActionTaken { .. });
                if is_live && is_urgent {
                    json.flush()?;
                }
            }
            match event.change {
                Change::FindingRaised { finding } => {
                    self.found.insert(finding.id);
                    if let Some(evidence) = &mut self.evidence {
                        evidence.want(finding.id);
                    }
                }
                Change::IncidentGrew { incident } => {
                    if let Some(protector) = &mut self.protector {
                        protector.grew(incident.id, event.at);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Has incidents responded to, if somebody does.
    fn respond(&mut self) -> Result<(), Problem> {
        let Some(protector) = &mut self.protector else { return Ok(()) };
        self.events.extend(protector.respond(&self.brain));
        self.tell()?;
        if self.last_orders.elapsed() >= ORDERS_INTERVAL { self.hear_orders() } else { Ok(()) }
    }

    /// Hands on what people have said about responses.
    fn hear_orders(&mut self) -> Result<(), Problem> {
        self.last_orders = Instant::now();
        let orders = self.store.orders()?;
        let Some((last, _)) = orders.last() else { return Ok(()) };
        for (_, order) in &orders {
            match &self.protector {
                Some(protector) => protector.order(order),
                None => say(format_args!(
                    "pavise: {} is left as it is: this watch was started without --protect",
                    order.action
                )),
            }
        }
        Ok(self.store.carried_out(*last)?)
    }

    /// Packet time goes on with the clock.
    fn pass(&mut self) -> Result<(), Problem> {
        while !self.waiting.is_empty() {
            self.collect()?;
        }
        let now = clock() - BEHIND;
        let before = self.engine.now();
        if before == Timestamp::EPOCH || now <= before {
            return self.respond();
        }
        self.engine.pass(now, &mut self.observations);
        self.take_in()?;
        if now.as_secs() > before.as_secs() {
            self.brain.tick(now, &mut self.events);
        }
        self.tell()?;
        self.respond()
    }

    /// Learns what analysts have said since the last time, of this process's findings or of others'.
    fn listen(&mut self) -> Result<(), Problem> {
        let judgements = self.store.judgements()?;
        for (finding, judgement) in &judgements {
            if self.judgements.get(finding) != Some(judgement) {
                self.brain.judge(*finding, judgement.clone());
            }
        }
        self.judgements = judgements;
        self.hear_orders()
    }

    /// Keeps everything learnt so far.
    pub(crate) fn commit(&mut self, complete: bool) -> Result<(), Problem> {
        while !self.waiting.is_empty() {
            self.collect()?;
        }
        if let Some(json) = &mut self.json {
            json.flush()?;
        }
        let counters = self.engine.counters();
        let since = |now: u64, before: u64| now - before;
        let mut source = self.source.clone();
        source.without_flow = self.source.without_flow
            + since(counters.without_flow, self.before.without_flow)
            + since(counters.fragments, self.before.fragments);
        source.shed = self.source.shed + since(counters.packets_shed, self.before.packets_shed);
        source.open = counters.packets_open;
        source.open_flows = counters.flows_open;
        source.complete = complete;
        source.last = source.last.max(self.engine.now());
        self.listen()?;
        if let Some(evidence) = &mut self.evidence {
            evidence.cut(&mut self.brain);
        }
        let renewed = self.last_count.is_none_or(|last| last.elapsed() >= COUNT_INTERVAL);
        if renewed {
            self.last_count = Some(Instant::now());
        }
        let found = self.brain.drain_found(renewed);
        let learns = self.last_learnt.is_none_or(|last| last.elapsed() >= LEARNT_INTERVAL);
        let mut learnt = BTreeMap::new();
        if learns {
            self.last_learnt = Some(Instant::now());
            let saved = self.brain.save().into_iter();
            learnt.extend(saved.map(|(detector, learnt)| (detector.to_owned(), learnt)));
        }
        let mut gone = Vec::new();
        self.brain.inventory_mut().drain_gone(|id| gone.push(id));
        let fresh = std::mem::take(&mut self.tally.fresh);
        self.totals.add(&fresh);
        let Totals { protocols, anomalies, shed } = fresh;
        let follows = self.protector.as_ref().is_some_and(Protector::follows);
        let (mut followed, lost) = (Vec::new(), if follows { gone.clone() } else { Vec::new() });
        let flows = std::mem::take(&mut self.flows);
        let commit = Commit {
            flows,
            gone,
            protocols,
            anomalies,
            shed,
            findings: found.findings,
            incidents: found.incidents,
            gone_incidents: found.gone,
            learnt,
            source: source.clone(),
        };
        let seen = &mut self.seen;
        let devices = self.brain.inventory_mut().drain_changed();
        let mut devices = devices.inspect(|device| {
            seen.insert(device.id);
            if follows {
                followed.push(device.clone());
            }
        });
        self.store.commit(commit, &mut devices)?;
        drop(devices);
        if let Some(protector) = &self.protector {
            protector.follow(followed, lost);
        }
        self.source = source;
        self.before = counters;
        self.last_commit = Instant::now();
        Ok(())
    }

    /// Nothing comes at the moment: what was learnt is kept if it is time to.
    pub(crate) fn rest(&mut self) -> Result<(), Problem> {
        if self.source.is_live() {
            self.pass()?;
        }
        if self.source.packets > 0 && self.is_time() {
            self.commit(false)?;
        }
        Ok(())
    }

    /// How large the source is on disk.
    pub(crate) const fn size(&mut self, size: Option<u64>) {
        self.source.size = size;
    }

    /// Says, if the source has frames of a kind that is not read at all, which.
    pub(crate) fn unread(&self) -> Option<String> {
        let unknown = |link: &&LinkType| wire::decode(**link, &[], 0).oddities.has(Oddity::LinkTypeUnknown);
        let kinds: Vec<_> = self.links.iter().filter(unknown).map(|link| link.0.to_string()).collect();
        (!kinds.is_empty()).then(|| {
            format!(
                "{} has frames of a link type that is not read ({}), which were only counted; capture on an \
                 interface of another kind, or convert it",
                self.source.name,
                kinds.join(", ")
            )
        })
    }

    /// The source has ended, or the user has ended it: closes everything and keeps it.
    pub(crate) fn end(
        &mut self,
        complete: bool,
        dropped: u64,
        damage: Option<String>,
    ) -> Result<SourceState, Problem> {
        while !self.waiting.is_empty() {
            self.collect()?;
        }
        let at = self.engine.now();
        while self.engine.finish(&mut self.observations) {
            self.take_in()?;
            if self.flows.len() >= MAX_UNCOMMITTED {
                self.commit(false)?;
            }
        }
        self.source.dropped = dropped;
        self.source.damage.clone_from(&damage);
        let summary = model::SourceSummary {
            source: self.source.name.clone(),
            packets: self.source.packets,
            bytes: self.source.bytes,
            dropped,
            damage,
        };
        self.observations.push(Observation { at, what: What::SourceEnded(Box::new(summary)) });
        self.take_in()?;
        self.source.last = self.source.last.max(at);
        (self.last_count, self.last_learnt) = (None, None);
        if let Some(scores) = &mut self.scores {
            scores.flush().map_err(Problem::Scores)?;
        }
        self.commit(complete)?;
        Ok(self.source.clone())
    }

    /// How many devices are known.
    pub(crate) fn device_count(&self) -> usize {
        self.brain.inventory().counts().devices()
    }

    /// How many things were found in the run.
    pub(crate) fn finding_count(&self) -> usize {
        self.found.len()
    }

    /// What was found in the run, and the incidents of which it is a part.
    pub(crate) fn found(&self) -> (Vec<Finding>, Vec<Incident>) {
        let detect = self.brain.detect();
        let findings: Vec<_> =
            detect.findings().filter(|finding| self.found.contains(&finding.id)).cloned().collect();
        let incidents: BTreeSet<_> = findings.iter().filter_map(|finding| finding.incident).collect();
        let incidents = detect.incidents().filter(|incident| incidents.contains(&incident.id)).cloned();
        let incidents = incidents.collect();
        (findings, incidents)
    }

    /// How many anomalies the run has seen.
    pub(crate) fn anomaly_count(&self) -> u64 {
        self.totals.anomaly_count() + self.tally.fresh.anomaly_count()
    }

    /// The first so many of the devices that the run has learnt something about, in the order in which people look for them, those of the organisation
    /// before those elsewhere; and how many there are of each.
    pub(crate) fn devices(&self, count: usize) -> (Vec<Device>, [usize; 2]) {
        let inventory = self.brain.inventory();
        let mut outlines: Vec<_> =
            inventory.outlines().filter(|known| self.seen.contains(&known.id)).collect();
        let elsewhere =
            outlines.iter().filter(|outline| outline.locality == model::Locality::External).count();
        outlines.sort_unstable_by_key(|known| {
            (known.locality, known.ipv4.is_none(), known.ipv4, known.mac, known.id)
        });
        let own = outlines.len() - elsewhere;
        let first = outlines.iter().take(count).filter_map(|outline| inventory.device(outline.id)).collect();
        (first, [own, elsewhere])
    }

    /// Closes the state. What else is known is left to the system, which takes a process's memory back
    /// faster than it could be given back piece by piece.
    pub(crate) fn close(self) {
        std::mem::forget((self.brain, self.tally));
    }
}

/// A number that nobody outside can guess, for the digests of the flow table.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
