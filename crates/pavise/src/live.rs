//! Several live interfaces at once: each is read by a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use capture::{CaptureError, Damage, Progress, Source, Step};

use model::Observation;

use crate::output::Problem;
use crate::recorded::Recorded;
use crate::session::Captured;

/// How many batches may wait between the readers and the engine.
const WAITING: usize = 64;
/// How long to wait for a batch before saying that there is none.
const POLL: Duration = Duration::from_millis(100);

/// Several sources, as one.
pub(crate) struct Together {
    batches: Receiver<Result<Captured, CaptureError>>,
    progress: Vec<Arc<Mutex<Progress>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Together {
    pub(crate) fn new(sources: Vec<Box<dyn Source>>) -> Self {
        let (sender, batches) = sync_channel(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let mut together = Self { batches, progress: Vec::new(), stop, threads: Vec::new() };
        for (place, source) in (0_u16..).zip(sources) {
            let progress = Arc::new(Mutex::new(source.progress()));
            together.progress.push(Arc::clone(&progress));
            let (sender, stop) = (sender.clone(), Arc::clone(&together.stop));
            together.threads.push(std::thread::spawn(move || read(source, place, &sender, &progress, &stop)));
        }
        together
    }

    /// The next batch of any of them.
    pub(crate) fn next_batch(&mut self, batch: &mut Captured) -> Result<Step, CaptureError> {
        match self.batches.recv_timeout(POLL) {
            Ok(Ok(next)) => {
                *batch = next;
                Ok(Step::Batch)
            }
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(Step::Idle),
            Err(RecvTimeoutError::Disconnected) => Ok(Step::End),
        }
    }

    /// How far all of them have come, together.
    pub(crate) fn progress(&self) -> Progress {
        let mut sum = Progress::default();
        for progress in &self.progress {
            // A reader that panicked has left the last figures it had.
            let one = *progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            sum.bytes += one.bytes;
            sum.packets += one.packets;
            sum.dropped += one.dropped;
        }
        sum
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A reader may be waiting for room.
        while self.batches.recv().is_ok() {}
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Reads one of them, whose frames bear its place as the number of their interface.
fn read(
    mut source: Box<dyn Source>,
    place: u16,
    sender: &SyncSender<Result<Captured, CaptureError>>,
    progress: &Mutex<Progress>,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let mut batch = Captured::default();
        let next = match source.next_batch(&mut batch.0) {
            Ok(Step::Batch) => {
                batch.0.frames.iter_mut().for_each(|frame| frame.interface = place);
                Ok(batch)
            }
            Ok(Step::Idle) => continue,
            Ok(Step::End) => return,
            Err(error) => Err(error),
        };
        *progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = source.progress();
        let failed = next.is_err();
        if sender.send(next).is_err() || failed {
            return;
        }
    }
}

/// One source, or several live ones, or what was observed before.
pub(crate) enum Input {
    One(Box<dyn Source>),
    Several(Together),
    Recorded(Recorded),
}

/// What an input had next.
pub(crate) enum Next {
    Batch(Captured),
    Observations(Vec<Observation>),
    /// Nothing came for a while.
    Idle,
    End,
}

impl Input {
    pub(crate) fn next(&mut self, mut batch: Captured) -> Result<Next, Problem> {
        let step = match self {
            Self::One(source) => source.next_batch(&mut batch.0)?,
            Self::Several(together) => together.next_batch(&mut batch)?,
            Self::Recorded(recorded) => {
                let observations = recorded.next()?;
                return Ok(if observations.is_empty() {
                    Next::End
                } else {
                    Next::Observations(observations)
                });
            }
        };
        Ok(match step {
            Step::Batch => Next::Batch(batch),
            Step::Idle => Next::Idle,
            Step::End => Next::End,
        })
    }

    /// Passes over packets that were read before; returns how many there were.
    pub(crate) fn skip_to(&mut self, packet: u64) -> Result<u64, Problem> {
        match self {
            Self::One(source) => Ok(source.skip_to(packet)?),
            Self::Several(_) => Ok(packet),
            Self::Recorded(recorded) => recorded.skip_to(packet),
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        match self {
            Self::One(source) => source.progress(),
            Self::Several(together) => together.progress(),
            Self::Recorded(recorded) => recorded.progress(),
        }
    }

    pub(crate) fn damages(&self) -> &[Damage] {
        match self {
            Self::One(source) => source.damages(),
            Self::Several(_) | Self::Recorded(_) => &[],
        }
    }
}
