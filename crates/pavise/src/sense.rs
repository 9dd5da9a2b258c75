//! Reading a source and taking its packets apart: what comes before anything is judged. In a thread of its own where there are
//! processors for it, so that packets are not left waiting while something is judged or kept.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use capture::{MAX_BATCH_FRAMES, Progress};
use dissect::proto::Wants;
use flow::{Counters, Engine, Limits};
use model::{Observation, Timestamp};

use crate::live::{Input, Next};
use crate::output::Problem;
use crate::protect::{Protector, clock};
use crate::session::{Captured, Plan};

/// So much of a file may wait to be judged: it is best judged while the processor's caches have it.
const WAITING_OF_FILES: usize = 8;
/// So much of what cannot be read again: writing what was learnt to disk takes a while.
const WAITING_LIVE: usize = 256;
/// How long an interface that is always busy is read on after the user has ended it: what had arrived by then is in its ring.
const DRAIN: Duration = Duration::from_secs(1);
/// Where packets are read as they pass and none comes, packet time goes on with the clock, so far behind it: what the kernel
/// still holds is not later than that.
const BEHIND: Duration = Duration::from_millis(200);

/// What was read.
pub(crate) enum Origin {
    /// Frames of a capture or of interfaces.
    Frames(Arc<Captured>),
    /// What was observed elsewhere.
    Record,
    /// Nothing for a while; time has passed.
    Time,
    /// Nothing any more: conversations are closed.
    End,
}

/// What follows from what was read, in the order in which it was read.
pub(crate) struct Sensed {
    pub(crate) origin: Origin,
    pub(crate) observations: Vec<Observation>,
    /// Packet time.
    pub(crate) now: Timestamp,
    /// What was counted until now, if that was asked for: nothing is read that is not told.
    pub(crate) counters: Option<Box<Counters>>,
    /// How far the source has come.
    pub(crate) progress: Progress,
}

/// How a source ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether it was read to its end.
    pub(crate) complete: bool,
    /// Why it could not be read on.
    pub(crate) failure: Option<Problem>,
}

/// What whoever reads and whoever judges tell each other.
pub(crate) struct Signals {
    /// The user has ended it.
    pub(crate) stop: Arc<AtomicBool>,
    /// What was counted is to be told with the next that is.
    pub(crate) count: Arc<AtomicBool>,
}

/// The engine that a plan asks for.
pub(crate) fn engine(plan: &Plan) -> Engine<Captured> {
    let judged = plan.settings.off.len() < detect::DETECTORS.len();
    // Certificates are in messages.
    let messages = plan.json.is_some() || plan.protector.as_ref().is_some_and(Protector::revokes);
    let wants = Wants { messages, judged };
    // Who responds must know soon; what is only written down may be told when it is complete.
    let usual = if plan.protector.is_some() { Limits::prompt() } else { Limits::default() };
    Engine::new(Limits { flows: plan.max_flows, ..usual }, wants, plan.shards, seed())
}

/// A number that nobody outside can guess, for the digests of the flow table.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Reads one source.
pub(crate) struct Sensor<'a> {
    input: &'a mut Input,
    engine: &'a mut Engine<Captured>,
    signals: Signals,
    /// Batches to fill again.
    spare: Receiver<Captured>,
    is_live: bool,
    /// Whether it can be read on from anywhere later.
    is_resumable: bool,
    /// What is on its way through the engine.
    waiting: VecDeque<Arc<Captured>>,
    /// Nothing more is read before all that was is told.
    drains: bool,
    step: Step,
    stopped: Option<Instant>,
    outcome: Outcome,
}

/// What a sensor is at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Reading,
    /// Nothing came.
    Resting,
    /// Conversations are closed.
    Closing,
    /// The end is to be told, and what was counted.
    Ending,
    Ended,
}

impl<'a> Sensor<'a> {
    pub(crate) fn new(
        (input, engine): (&'a mut Input, &'a mut Engine<Captured>),
        (is_live, is_resumable): (bool, bool),
        signals: Signals,
        spare: Receiver<Captured>,
    ) -> Self {
        Self {
            input,
            engine,
            signals,
            spare,
            is_live,
            is_resumable,
            waiting: VecDeque::new(),
            drains: false,
            step: Step::Reading,
            stopped: None,
            outcome: Outcome::default(),
        }
    }

    /// Has everything taken in until the source has ended. With `beside` it is sensed by a thread of its own, meanwhile.
    ///
    /// # Errors
    ///
    /// What `take` fails with, at once; the rest is not told.
    pub(crate) fn each(
        mut self,
        beside: bool,
        mut take: impl FnMut(Sensed) -> Result<(), Problem>,
    ) -> Result<Outcome, Problem> {
        if !beside {
            while let Some(sensed) = self.next() {
                take(sensed)?;
            }
            return Ok(std::mem::take(&mut self.outcome));
        }
        let (tell, told) = sync_channel(if self.is_live { WAITING_LIVE } else { WAITING_OF_FILES });
        thread::scope(|scope| {
            let sensing = thread::Builder::new().name("sensor".into());
            let sensing = sensing.spawn_scoped(scope, move || {
                while let Some(sensed) = self.next() {
                    if tell.send(sensed).is_err() {
                        break;
                    }
                }
                std::mem::take(&mut self.outcome)
            });
            let sensing =
                sensing.map_err(|error| Problem::Other(format!("no thread can be started: {error}")))?;
            for sensed in told {
                take(sensed)?;
            }
            sensing.join().map_err(|panic| resume_unwind(panic))
        })
    }

    /// Reads on until there is something to tell; nothing when the source has ended.
    pub(crate) fn next(&mut self) -> Option<Sensed> {
        loop {
            self.drains |= self.signals.count.load(Ordering::Relaxed);
            if !self.waiting.is_empty()
                && (self.drains || self.step != Step::Reading || self.waiting.len() >= self.engine.capacity())
            {
                return Some(self.collect());
            }
            match self.step {
                Step::Reading => {
                    if let Some(sensed) = self.read() {
                        return Some(sensed);
                    }
                }
                Step::Resting => {
                    self.step = Step::Reading;
                    return Some(self.rest());
                }
                Step::Closing => {
                    let now = self.engine.now();
                    let mut observations = Vec::new();
                    if !self.engine.finish(&mut observations) {
                        self.step = Step::Ending;
                    }
                    return Some(Sensed { now, ..self.told(Origin::End, observations) });
                }
                Step::Ending => {
                    self.step = Step::Ended;
                    self.signals.count.store(true, Ordering::Relaxed);
                    return Some(self.told(Origin::End, Vec::new()));
                }
                Step::Ended => return None,
            }
        }
    }

    /// Reads the next batch, if there is one.
    fn read(&mut self) -> Option<Sensed> {
        if self.signals.stop.load(Ordering::Relaxed) {
            let since = *self.stopped.get_or_insert_with(Instant::now);
            if self.is_resumable || since.elapsed() > DRAIN {
                self.step = Step::Closing;
                return None;
            }
        }
        match self.input.next(self.spare.try_recv().unwrap_or_default()) {
            Ok(Next::Batch(batch)) => {
                // Where packets are read as they pass, there are no more for the moment, and what these say is told at once.
                self.drains |= self.is_live && batch.0.frames.len() < MAX_BATCH_FRAMES;
                let batch = Arc::new(batch);
                self.engine.submit(&batch);
                self.waiting.push_back(batch);
            }
            Ok(Next::Observations(observations)) => return Some(self.told(Origin::Record, observations)),
            Ok(Next::Idle) => {
                self.step = if self.stopped.is_some() { Step::Closing } else { Step::Resting };
            }
            Ok(Next::End) => {
                self.outcome.complete = true;
                self.step = Step::Closing;
            }
            Err(error) => {
                self.outcome.failure = Some(error);
                self.step = Step::Closing;
            }
        }
        None
    }

    /// What follows from the oldest batch that is on its way.
    fn collect(&mut self) -> Sensed {
        let mut observations = Vec::new();
        self.engine.collect(&mut observations);
        let origin = self.waiting.pop_front().map_or(Origin::Time, Origin::Frames);
        self.drains &= !self.waiting.is_empty();
        self.told(origin, observations)
    }

    /// Nothing has come: where packets are read as they pass, packet time goes on with the clock.
    fn rest(&mut self) -> Sensed {
        let mut observations = Vec::new();
        let before = self.engine.now();
        let passed = (self.is_live && before != Timestamp::EPOCH).then(|| clock() - BEHIND);
        let now = passed.map_or(before, |now| now.max(before));
        if now > before {
            self.engine.pass(now, &mut observations);
        }
        Sensed { now, ..self.told(Origin::Time, observations) }
    }

    fn told(&mut self, origin: Origin, observations: Vec<Observation>) -> Sensed {
        let counts = self.waiting.is_empty() && self.signals.count.swap(false, Ordering::Relaxed);
        Sensed {
            origin,
            observations,
            now: self.engine.now(),
            counters: counts.then(|| Box::new(self.engine.counters())),
            progress: self.input.progress(),
        }
    }
}

impl Drop for Sensor<'_> {
    /// Nobody wants the rest: the engine is left as it is before a source.
    fn drop(&mut self) {
        if self.step == Step::Ended {
            return;
        }
        let mut rest = Vec::new();
        while self.waiting.pop_front().is_some() {
            self.engine.collect(&mut rest);
            rest.clear();
        }
        if self.step != Step::Ending {
            while self.engine.finish(&mut rest) {
                rest.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use lab::SceneOptions;

    use super::*;

    /// A capture that is deleted with this.
    struct Scene(std::path::PathBuf);

    impl Scene {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pavise-{name}-{}.pcapng", std::process::id()));
            let scene = lab::scene(
                "home",
                &SceneOptions { duration: Duration::from_secs(600), ..SceneOptions::default() },
            )
            .unwrap();
            scene.write(&mut std::fs::File::create(&path).unwrap()).unwrap();
            Self(path)
        }

        fn open(&self) -> Input {
            let path = self.0.to_str().unwrap();
            Input::One(capture::open(path, &capture::Options::default()).unwrap())
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn started(shards: usize) -> Engine<Captured> {
        Engine::new(Limits::default(), Wants { messages: false, judged: true }, shards, 7)
    }

    fn signals() -> Signals {
        Signals { stop: Arc::default(), count: Arc::default() }
    }

    /// Everything that is observed, and how many frames there were.
    fn observed(scene: &Scene, engine: &mut Engine<Captured>, beside: bool) -> (Vec<Observation>, usize) {
        let (mut all, mut frames) = (Vec::new(), 0);
        let mut input = scene.open();
        let sensor = Sensor::new((&mut input, engine), (false, true), signals(), channel().1);
        let outcome = sensor.each(beside, |sensed| {
            if let Origin::Frames(batch) = &sensed.origin {
                frames += batch.0.frames.len();
            }
            all.extend(sensed.observations);
            Ok(())
        });
        let outcome = outcome.unwrap();
        assert!(outcome.complete && outcome.failure.is_none(), "{outcome:?}");
        (all, frames)
    }

    #[test]
    fn the_same_is_sensed_beside_as_before_judging_and_after_a_source_that_nobody_wanted() {
        let scene = Scene::new("beside");
        let alone = observed(&scene, &mut started(1), false);
        assert!(
            alone.0.len() > 300 && alone.1 > 5 * MAX_BATCH_FRAMES,
            "{} of {} frames",
            alone.0.len(),
            alone.1
        );
        for (shards, beside) in [(1, true), (2, true), (3, false)] {
            let mut engine = started(shards);
            let mut taken = 0;
            let mut input = scene.open();
            let sensor = Sensor::new((&mut input, &mut engine), (false, true), signals(), channel().1);
            let result = sensor.each(beside, |_| {
                taken += 1;
                if taken == 3 { Err(Problem::Other("no room".into())) } else { Ok(()) }
            });
            assert!(matches!(result, Err(Problem::Other(_))), "{result:?}");
            assert_eq!(observed(&scene, &mut engine, beside), alone, "{shards} shards, beside: {beside}");
        }
    }

    #[test]
    fn what_is_counted_is_what_was_told_until_then() {
        let scene = Scene::new("counted");
        for shards in [1, 4] {
            let mut engine = started(shards);
            let mut input = scene.open();
            let signals = signals();
            let count = Arc::clone(&signals.count);
            let mut sensor = Sensor::new((&mut input, &mut engine), (false, true), signals, channel().1);
            let (mut frames, mut times) = (0, 0);
            while let Some(sensed) = sensor.next() {
                if let Origin::Frames(batch) = &sensed.origin {
                    frames += batch.0.frames.len() as u64;
                }
                if let Some(counters) = &sensed.counters {
                    times += 1;
                    assert_eq!(counters.packets, frames);
                } else {
                    count.store(frames % 3 == 0, Ordering::Relaxed);
                }
            }
            assert!(times > 2, "{times}");
        }
    }

    #[test]
    fn whoever_is_told_to_stop_closes_what_is_open() {
        let scene = Scene::new("stopped");
        let (mut engine, mut input, signals) = (started(1), scene.open(), signals());
        let stop = Arc::clone(&signals.stop);
        let mut sensor = Sensor::new((&mut input, &mut engine), (false, true), signals, channel().1);
        let (mut opened, mut ended) = (0, 0);
        while let Some(sensed) = sensor.next() {
            stop.store(true, Ordering::Relaxed);
            for observation in &sensed.observations {
                opened += usize::from(matches!(observation.what, model::What::FlowOpened(_)));
                ended += usize::from(matches!(observation.what, model::What::FlowEnded(_)));
            }
            if let Some(counters) = sensed.counters {
                assert_eq!((counters.flows_open, counters.packets), (0, MAX_BATCH_FRAMES as u64));
            }
        }
        assert!(opened > 0 && ended >= opened, "{opened} opened, {ended} ended");
        assert!(!std::mem::take(&mut sensor.outcome).complete);
    }
}
