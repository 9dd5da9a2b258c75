//! The engine: frames in, observations out, over any number of shards.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use dissect::proto::Wants;
use dissect::wire::defragment::{Defragmenter, Outcome, Reassembled};
use dissect::wire::{self, LinkType, MAX_TUNNELS, Network, Oddity, Packet};
use model::{Observation, Timestamp};

use crate::counters::Counters;
use crate::key::{Keyed, LANES};
use crate::lane::{Arrival, Environment, Lane};
use crate::limits::Limits;
use crate::registry::Registry;

/// How many batches may be on their way through the shards at once.
const IN_FLIGHT: usize = 4;

/// One frame as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When.
    pub at: Timestamp,
    /// How it begins.
    pub link: LinkType,
    /// Its length on the wire, at least that of `bytes`.
    pub wire_length: u32,
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// On which interface of its source, 0 where there is only one: buses have no addresses by which they could be told
    /// apart.
    pub interface: u16,
}

/// A run of frames that shards can share.
pub trait Frames: Send + Sync + 'static {
    /// How many.
    fn count(&self) -> usize;

    /// One of them; `index` is below [`Frames::count`].
    fn frame(&self, index: usize) -> Frame<'_>;
}

/// So many frames are decoded, and what is known of their conversations looked up, before they are worked.
///
/// A table of many conversations is in no cache, and each packet is of another conversation than the one
/// before. The lookups of a group do not wait for each other, so that the processor fetches what they
/// need at the same time; when the packets are worked it is there. Measured in docs/performance.md.
pub(crate) const GROUP: usize = 16;

/// A packet that is ready to be worked.
struct Ready<'a> {
    number: u32,
    /// Packet time has reached this second before it.
    tick: Option<Timestamp>,
    packet: Packet<'a>,
    frame: Frame<'a>,
    keyed: Option<Keyed>,
    /// Under the secret seed.
    digest: u64,
}

/// What a shard is told to do, in the order in which it is to be done.
#[derive(Debug)]
enum Step {
    /// Work the frame of this number in its batch.
    Frame(u32),
    /// Work the datagram that the frame of this number has made whole.
    Whole(u32, Box<Reassembled>),
    /// The frame of this number is a fragment that can be part of nothing.
    Stray(u32, Oddity),
    /// Packet time has reached this second before the frame of this number.
    Tick(u32, Timestamp),
}

/// What lanes said, and the order of it.
#[derive(Default)]
struct Said {
    observations: Vec<Observation>,
    /// What was said since the mark before, up to here.
    marks: Vec<Mark>,
}

struct Mark {
    /// Number of the frame before which or at which it was said, doubled; odd if at the frame.
    order: u32,
    lane: u8,
    end: usize,
}

impl Said {
    /// What was said since the last mark was said by this lane at this place in the order.
    fn mark(&mut self, order: u32, lane: u8) {
        let end = self.observations.len();
        if end > self.marks.last().map_or(0, |mark| mark.end) {
            self.marks.push(Mark { order, lane, end });
        }
    }
}

/// Work for a shard.
enum Work<B> {
    Batch(Arc<B>, Vec<Step>),
    /// Close the conversations of the shard's lane of this number.
    Finish(usize, Timestamp),
    /// Packet time goes on without a packet.
    Pass(Timestamp),
    Count,
}

/// What a shard gives back.
enum Result {
    Said(Said),
    Counted(Box<Counters>),
}

/// Some of the lanes, worked by one thread.
struct Shard {
    lanes: Vec<(u8, Lane)>,
    shards: usize,
    environment: Arc<Environment>,
    said: Said,
}

impl Shard {
    fn new(number: usize, shards: usize, environment: Arc<Environment>) -> Self {
        let lanes = (number..LANES).step_by(shards).map(|lane| (lane as u8, Lane::new())).collect();
        Self { lanes, shards, environment, said: Said::default() }
    }

    fn steps<B: Frames>(&mut self, steps: Vec<Step>, batch: &B) {
        let mut group = Vec::with_capacity(GROUP);
        for step in steps {
            match step {
                Step::Tick(number, now) => {
                    // The frame at which time has gone on need not be this shard's.
                    self.group(&mut group);
                    self.tick(number, now);
                }
                Step::Frame(number) => {
                    let frame = batch.frame(number as usize);
                    self.ready(&mut group, number, None, decode(frame), frame);
                }
                Step::Whole(number, whole) => {
                    self.group(&mut group);
                    self.packet(number, &whole.decode(), batch.frame(number as usize));
                }
                Step::Stray(number, oddity) => {
                    self.group(&mut group);
                    self.stray(number, oddity, batch.frame(number as usize));
                }
            }
        }
        self.group(&mut group);
    }

    /// Adds a packet to the group, and works the group if it is full.
    fn ready<'a>(
        &mut self,
        group: &mut Vec<Ready<'a>>,
        number: u32,
        tick: Option<Timestamp>,
        packet: Packet<'a>,
        frame: Frame<'a>,
    ) {
        let keyed = Keyed::of(&packet, frame.interface);
        let digest = keyed.map_or(0, |keyed| keyed.key.digest(self.environment.seed));
        group.push(Ready { number, tick, packet, frame, keyed, digest });
        if group.len() == GROUP {
            self.group(group);
        }
    }

    /// Works the packets of a group, in their order.
    fn group(&mut self, group: &mut Vec<Ready<'_>>) {
        let mut likely = [None; GROUP];
        for (ready, likely) in group.iter().zip(&mut likely) {
            if let Some(keyed) = ready.keyed {
                *likely = self.lanes[usize::from(keyed.lane) / self.shards].1.likely(ready.digest);
            }
        }
        for (ready, likely) in group.iter().zip(likely) {
            if let (Some(keyed), Some(index)) = (ready.keyed, likely) {
                let lane = &self.lanes[usize::from(keyed.lane) / self.shards].1;
                // Only to have it at hand: the conversation may be another when its packet is worked.
                std::hint::black_box(lane.touch(index));
            }
        }
        for ready in &*group {
            if let Some(now) = ready.tick {
                self.tick(ready.number, now);
            }
            self.keyed(ready.number, ready.keyed, ready.digest, &ready.packet, ready.frame);
        }
        group.clear();
    }

    /// A fragment that can be part of nothing is told by the first lane.
    fn stray(&mut self, number: u32, oddity: Oddity, frame: Frame<'_>) {
        let mut packet = decode(frame);
        packet.oddities.add(oddity);
        let arrival = Arrival { packet: &packet, at: frame.at, wire_length: frame.wire_length };
        let (lane_number, lane) = &mut self.lanes[0];
        lane.without_flow(arrival, &mut self.said.observations);
        self.said.mark(2 * number + 1, *lane_number);
    }

    fn packet(&mut self, number: u32, packet: &Packet<'_>, frame: Frame<'_>) {
        let keyed = Keyed::of(packet, frame.interface);
        let digest = keyed.map_or(0, |keyed| keyed.key.digest(self.environment.seed));
        self.keyed(number, keyed, digest, packet, frame);
    }

    fn keyed(
        &mut self,
        number: u32,
        keyed: Option<Keyed>,
        digest: u64,
        packet: &Packet<'_>,
        frame: Frame<'_>,
    ) {
        let lane = keyed.map_or(0, |keyed| usize::from(keyed.lane));
        let (lane_number, lane) = &mut self.lanes[lane / self.shards];
        let arrival = Arrival { packet, at: frame.at, wire_length: frame.wire_length };
        match keyed {
            Some(keyed) => {
                lane.packet(keyed, digest, arrival, &self.environment, &mut self.said.observations);
            }
            None => lane.without_flow(arrival, &mut self.said.observations),
        }
        self.said.mark(2 * number + 1, *lane_number);
    }

    fn tick(&mut self, number: u32, now: Timestamp) {
        for (lane_number, lane) in &mut self.lanes {
            lane.tick(now, &self.environment, &mut self.said.observations);
            self.said.mark(2 * number, *lane_number);
        }
    }

    /// Closes the conversations of one lane, if there is a lane at that place.
    fn finish(&mut self, place: usize, at: Timestamp) {
        let Some((lane_number, lane)) = self.lanes.get_mut(place) else { return };
        lane.finish(at, &self.environment, &mut self.said.observations);
        self.said.mark(u32::MAX, *lane_number);
    }

    fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for (_, lane) in &self.lanes {
            sum.add(lane.counters());
            sum.flows_open += lane.open();
        }
        sum
    }

    /// Works until there is no more work.
    fn run<B: Frames>(mut self, work: &Receiver<Work<B>>, results: &Sender<Result>) {
        for work in work {
            let result = match work {
                Work::Batch(batch, steps) => {
                    self.steps(steps, &*batch);
                    Result::Said(std::mem::take(&mut self.said))
                }
                Work::Finish(place, at) => {
                    self.finish(place, at);
                    Result::Said(std::mem::take(&mut self.said))
                }
                Work::Pass(now) => {
                    self.tick(0, now);
                    Result::Said(std::mem::take(&mut self.said))
                }
                Work::Count => Result::Counted(Box::new(self.counters())),
            };
            if results.send(result).is_err() {
                return;
            }
        }
    }
}

fn decode(frame: Frame<'_>) -> Packet<'_> {
    wire::decode(frame.link, frame.bytes, frame.wire_length as usize)
}

/// What becomes of a frame before it reaches its lane.
enum Sorted {
    /// It goes as it is.
    Whole,
    /// It is a fragment that waits for others.
    Waits,
    /// It is a fragment that can be part of nothing.
    Stray(Oddity),
    /// It was the last fragment missing.
    Completes(Box<Reassembled>),
}

/// A shard that works in a thread of its own.
struct Worker<B> {
    work: Sender<Work<B>>,
    results: Receiver<Result>,
    thread: Option<JoinHandle<()>>,
}

/// Frames in, observations out.
///
/// Batches are submitted and their observations collected in the same order; up to
/// [`Engine::capacity`] batches may be submitted before one is collected. With one shard everything is
/// done in the caller's thread.
pub struct Engine<B: Frames> {
    inline: Option<Shard>,
    workers: Vec<Worker<B>>,
    in_flight: usize,
    limits: Limits,
    /// The latest packet time.
    now: Timestamp,
    /// When the next turn of the timers begins.
    next_turn: Timestamp,
    packets: u64,
    bytes: u64,
    fragments: u64,
    defragmenter: Defragmenter,
    /// How many lanes of each shard were closed, while the end of a source is worked.
    finished: usize,
}

impl<B: Frames> Engine<B> {
    /// An engine with so many shards, from 1 to [`LANES`] (more or fewer are taken as the nearest).
    ///
    /// `seed` makes the table's digests unpredictable; it has no influence on what is observed.
    pub fn new(limits: Limits, wants: Wants, shards: usize, seed: u64) -> Self {
        let shards = shards.clamp(1, LANES);
        let environment =
            Arc::new(Environment { registry: Registry::new(), limits: limits.clone(), wants, seed });
        let mut engine = Self {
            inline: None,
            workers: Vec::new(),
            in_flight: 0,
            limits,
            now: Timestamp::EPOCH,
            next_turn: Timestamp::EPOCH,
            packets: 0,
            bytes: 0,
            fragments: 0,
            defragmenter: Defragmenter::new(),
            finished: 0,
        };
        if shards == 1 {
            engine.inline = Some(Shard::new(0, 1, environment));
        } else {
            engine.workers = (0..shards)
                .map(|number| {
                    let shard = Shard::new(number, shards, Arc::clone(&environment));
                    let (work, inbox) = bounded(IN_FLIGHT + 1);
                    let (outbox, results) = bounded(IN_FLIGHT + 1);
                    let thread = std::thread::Builder::new()
                        .name(format!("shard-{number}"))
                        .spawn(move || shard.run(&inbox, &outbox))
                        .expect("the system can start a thread");
                    Worker { work, results, thread: Some(thread) }
                })
                .collect();
        }
        engine
    }

    /// How many batches may be submitted before one must be collected.
    pub const fn capacity(&self) -> usize {
        if self.inline.is_some() { 1 } else { IN_FLIGHT }
    }

    /// How many submitted batches were not collected yet.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The latest packet time submitted.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Gives a batch to the shards.
    pub fn submit(&mut self, batch: &Arc<B>) {
        debug_assert!(self.in_flight < self.capacity(), "collect before submitting more");
        self.in_flight += 1;
        if self.inline.is_some() {
            self.work_inline(&**batch);
        } else {
            self.dispatch(batch);
        }
    }

    /// Notes a frame's time and size; returns whether packet time has reached another turn of the timers.
    fn arrives(&mut self, at: Timestamp, wire_length: u32) -> bool {
        self.packets += 1;
        self.bytes += u64::from(wire_length);
        self.now = self.now.max(at);
        self.turns()
    }

    /// Whether packet time has reached another turn of the timers.
    fn turns(&mut self) -> bool {
        if self.now < self.next_turn {
            return false;
        }
        self.next_turn = self.limits.end_of_turn(self.now);
        true
    }

    /// Puts fragments together, also those of datagrams within datagrams.
    fn sort(&mut self, packet: &Packet<'_>, at: Timestamp) -> Sorted {
        if !matches!(packet.network, Network::Ip { fragment: Some(_), .. }) {
            return Sorted::Whole;
        }
        let mut outcome = self.defragmenter.push(packet, at);
        for _ in 0..MAX_TUNNELS {
            let Outcome::Complete(whole) = outcome else { break };
            let inner = self.defragmenter.push(&whole.decode(), at);
            if matches!(inner, Outcome::Whole) {
                return Sorted::Completes(whole);
            }
            outcome = inner;
        }
        match outcome {
            Outcome::Dropped(Some(oddity)) => Sorted::Stray(oddity),
            _ => {
                self.fragments += 1;
                Sorted::Waits
            }
        }
    }

    fn work_inline(&mut self, batch: &B) {
        let Some(mut shard) = self.inline.take() else { return };
        let mut group = Vec::with_capacity(GROUP);
        for number in 0..batch.count() {
            let frame = batch.frame(number);
            let number = number as u32;
            let tick = self.arrives(frame.at, frame.wire_length).then_some(self.now);
            let packet = decode(frame);
            let sorted = self.sort(&packet, frame.at);
            if matches!(sorted, Sorted::Whole) {
                shard.ready(&mut group, number, tick, packet, frame);
                continue;
            }
            shard.group(&mut group);
            if let Some(now) = tick {
                shard.tick(number, now);
            }
            match sorted {
                Sorted::Whole | Sorted::Waits => {}
                Sorted::Stray(oddity) => shard.stray(number, oddity, frame),
                Sorted::Completes(whole) => shard.packet(number, &whole.decode(), frame),
            }
        }
        shard.group(&mut group);
        self.inline = Some(shard);
    }

    fn dispatch(&mut self, batch: &Arc<B>) {
        let shards = self.workers.len();
        let mut steps: Vec<Vec<Step>> = (0..shards).map(|_| Vec::new()).collect();
        for number in 0..batch.count() {
            let frame = batch.frame(number);
            let number = number as u32;
            if self.arrives(frame.at, frame.wire_length) {
                let now = self.now;
                steps.iter_mut().for_each(|steps| steps.push(Step::Tick(number, now)));
            }
            let packet = decode(frame);
            let shard = |packet: &Packet<'_>| {
                Keyed::of(packet, frame.interface).map_or(0, |keyed| usize::from(keyed.lane)) % shards
            };
            match self.sort(&packet, frame.at) {
                Sorted::Whole => steps[shard(&packet)].push(Step::Frame(number)),
                Sorted::Waits => {}
                Sorted::Stray(oddity) => steps[0].push(Step::Stray(number, oddity)),
                Sorted::Completes(whole) => {
                    let shard = shard(&whole.decode());
                    steps[shard].push(Step::Whole(number, whole));
                }
            }
        }
        for (worker, steps) in self.workers.iter().zip(steps) {
            // A shard that has gone is noticed when its result is missing.
            let _ = worker.work.send(Work::Batch(Arc::clone(batch), steps));
        }
    }

    /// Takes what the oldest batch that was not collected made the lanes say, in order. Waits for the
    /// shards if they are not done with it.
    pub fn collect(&mut self, out: &mut Vec<Observation>) {
        if self.in_flight == 0 {
            return;
        }
        self.in_flight -= 1;
        self.gather(out);
    }

    /// One result of each shard, in order.
    fn gather(&mut self, out: &mut Vec<Observation>) {
        if let Some(shard) = &mut self.inline {
            // One shard says everything in order.
            shard.said.marks.clear();
            if out.is_empty() {
                std::mem::swap(out, &mut shard.said.observations);
            } else {
                out.append(&mut shard.said.observations);
            }
            return;
        }
        let mut marks = Vec::new();
        let mut observations = Vec::new();
        for (shard, worker) in self.workers.iter().enumerate() {
            let said = match worker.results.recv() {
                Ok(Result::Said(said)) => said,
                Ok(Result::Counted(_)) | Err(_) => panic!("a shard has stopped: this is a defect in Pavise"),
            };
            let mut before = 0;
            for Mark { order, lane, end } in said.marks {
                marks.push((order, lane, shard, end - before));
                before = end;
            }
            observations.push(said.observations.into_iter());
        }
        // What one lane says at one place stays in its own order: the sort is stable.
        marks.sort_by_key(|(order, lane, ..)| (*order, *lane));
        for (.., shard, count) in marks {
            out.extend(observations[shard].by_ref().take(count));
        }
    }

    /// Lets packet time go on to `now` without a packet, as it does where packets are read as they pass and the line is
    /// quiet: what waits for time to pass is said. Where no packet has come yet, or another turn of the timers has not begun,
    /// nothing happens. All batches must have been collected.
    pub fn pass(&mut self, now: Timestamp, out: &mut Vec<Observation>) {
        debug_assert!(self.in_flight == 0, "collect everything before time passes");
        if self.now == Timestamp::EPOCH || now < self.next_turn {
            return;
        }
        self.now = now;
        self.turns();
        if let Some(shard) = &mut self.inline {
            shard.tick(0, now);
        }
        for worker in &self.workers {
            let _ = worker.work.send(Work::Pass(now));
        }
        self.gather(out);
    }

    /// The source has ended: the conversations of some lanes are closed, the next ones with each call.
    /// Returns whether there are more, so that what a million conversations say at once need not be held
    /// at once. All batches must have been collected; none may be submitted until there are no more.
    #[must_use = "true says that there is more to finish"]
    pub fn finish(&mut self, out: &mut Vec<Observation>) -> bool {
        debug_assert!(self.in_flight == 0, "collect everything before finishing");
        let (now, place) = (self.now, self.finished);
        if let Some(shard) = &mut self.inline {
            shard.finish(place, now);
        }
        for worker in &self.workers {
            let _ = worker.work.send(Work::Finish(place, now));
        }
        self.gather(out);
        self.finished += 1;
        // The lanes at one place of every shard follow those at the place before, in their order.
        if self.finished * self.workers.len().max(1) < LANES {
            return true;
        }
        self.finished = 0;
        (self.now, self.next_turn) = (Timestamp::EPOCH, Timestamp::EPOCH);
        false
    }

    /// What was counted so far. All batches must have been collected.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters {
            packets: self.packets,
            bytes: self.bytes,
            fragments: self.fragments,
            ..Counters::default()
        };
        if let Some(shard) = &self.inline {
            sum.add(&shard.counters());
        }
        for worker in &self.workers {
            let _ = worker.work.send(Work::Count);
        }
        for worker in &self.workers {
            if let Ok(Result::Counted(counters)) = worker.results.recv() {
                sum.add(&counters);
            }
        }
        sum
    }
}

impl<B: Frames> Drop for Engine<B> {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let (closed, _) = bounded(0);
            worker.work = closed;
            // Results that nobody collected would keep the shard waiting.
            while worker.results.recv().is_ok() {}
            if let Some(thread) = worker.thread.take() {
                let _ = thread.join();
            }
        }
    }
}
