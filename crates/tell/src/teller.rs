//! The threads that deliver: one for each receiver, and one that follows the store. They sleep on channels only.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver as Inbox, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use model::Timestamp;
use store::Store;

use crate::settings::Receiver;
use crate::text::count;
use crate::{Delivery, Follower, Letter, Listener, Notice, Outbox, Packer, Put, Step, Tell, TellError};

/// What somebody else has put into the outbox, or has said about it, is seen within this.
const LOOK: Duration = Duration::from_secs(1);
/// The store is followed so often.
const FOLLOW: Duration = Duration::from_secs(1);
/// What is too old is looked for so often.
const EXPIRE: Duration = Duration::from_secs(60);
/// An outbox that cannot be used is tried again after this.
const RETRY: Duration = Duration::from_secs(10);
/// At the end, what waits is tried for so long.
const LAST_TRIES: Duration = Duration::from_secs(10);
/// So many messages are held in memory while the outbox cannot be written; of more, the oldest are given up.
pub const PENDING_MAX: usize = 1_024;

/// An outbox that several threads use.
pub type Shared = Arc<Mutex<Outbox>>;

fn held(outbox: &Shared) -> MutexGuard<'_, Outbox> {
    outbox.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the threads need of those who start them.
#[derive(Clone)]
pub struct Ways {
    /// Says something to whoever watches.
    pub say: Arc<dyn Fn(&str) + Send + Sync>,
    /// The time.
    pub clock: fn() -> Timestamp,
}

/// A thread that ends when its sender is dropped.
struct Thread {
    wakes: Option<SyncSender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    fn start(run: impl FnOnce(&Inbox<()>) + Send + 'static) -> Self {
        let (wakes, inbox) = sync_channel(1);
        let handle = std::thread::spawn(move || run(&inbox));
        Self { wakes: Some(wakes), handle: Some(handle) }
    }

    fn wake(&self) {
        if let Some(wakes) = &self.wakes {
            // If there is no room, it is being woken anyway.
            let _ = wakes.try_send(());
        }
    }

    fn stop(&mut self) {
        self.wakes = None;
    }

    fn join(&mut self) {
        self.stop();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

/// Tells everybody who is named.
pub struct Teller {
    outbox: Shared,
    ways: Ways,
    seed: u64,
    packers: Vec<(&'static str, Packer)>,
    listeners: Vec<Listener>,
    lines: Arc<Vec<Thread>>,
    follower: Option<Thread>,
    /// What the outbox did not take.
    pending: VecDeque<(&'static str, Letter)>,
    is_failing: bool,
}

impl Teller {
    /// Begins to deliver what is in the outbox and what comes.
    ///
    /// # Errors
    ///
    /// If the outbox cannot be used.
    pub fn start(tell: Tell, mut outbox: Outbox, ways: Ways) -> Result<Self, TellError> {
        let (mut packers, mut listeners) = (Vec::new(), Vec::new());
        for Receiver { key, name, severity, packer, .. } in &tell.receivers {
            outbox.know(key, name)?;
            packers.push((*key, packer.clone()));
            listeners.extend(severity.map(|severity| Listener {
                receiver: (*key).to_owned(),
                severity,
                packer: packer.clone(),
            }));
            let waiting = outbox.count(key)?;
            if waiting > 0 {
                (ways.say)(&format!("Going on to tell {name}: {} from before.", count(waiting, "message")));
            }
        }
        let (seed, outbox) = (outbox.seed(), Arc::new(Mutex::new(outbox)));
        let lines = tell.receivers.into_iter().enumerate().map(|(position, receiver)| {
            let delivery = Delivery::new(receiver.key, &receiver.name, receiver.carrier);
            let (outbox, ways) = (Arc::clone(&outbox), ways.clone());
            let line =
                Line { delivery, outbox, ways, is_failing: false, expires: position == 0, expired: None };
            Thread::start(move |inbox| line.run(inbox))
        });
        let lines = Arc::new(lines.collect());
        let (follower, pending) = (None, VecDeque::new());
        Ok(Self { outbox, ways, seed, packers, listeners, lines, follower, pending, is_failing: false })
    }

    /// Tells of findings and incidents, too, as they change in the store; nobody, if nobody wants it.
    ///
    /// # Errors
    ///
    /// If the outbox cannot be opened once more.
    pub fn follow(&mut self, store: Box<dyn Store>) -> Result<(), TellError> {
        if self.listeners.is_empty() {
            return Ok(());
        }
        let mut outbox = held(&self.outbox).again()?;
        let mut follower = Follower::new(self.listeners.clone());
        let (ways, lines) = (self.ways.clone(), Arc::clone(&self.lines));
        let mut step = move |is_failing: &mut bool| match follower.step(&*store, &mut outbox, (ways.clock)())
        {
            Ok(put) => {
                *is_failing = false;
                said(&ways, put);
                if put.kept > 0 {
                    lines.iter().for_each(Thread::wake);
                }
            }
            Err(error) => {
                if !std::mem::replace(is_failing, true) {
                    (ways.say)(&format!("pavise: findings are not told: {error}; it is tried again"));
                }
            }
        };
        // What is there is known from here on, whatever the thread does first.
        let mut is_failing = false;
        step(&mut is_failing);
        self.follower = Some(Thread::start(move |inbox| {
            while inbox.recv_timeout(FOLLOW) != Err(RecvTimeoutError::Disconnected) {
                step(&mut is_failing);
            }
            // The last commit was made by now.
            step(&mut is_failing);
        }));
        Ok(())
    }

    /// Whether somebody is told of findings and incidents.
    pub fn follows(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// The number by which messages of this outbox are named.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Tells everybody: it lies in the outbox when this returns, unless that cannot be used, which is said.
    pub fn tell(&mut self, notice: &Notice) {
        let letters = self.packers.iter().filter_map(|(key, packer)| Some((*key, packer.pack(notice)?)));
        self.pending.extend(letters);
        if self.pending.is_empty() {
            return;
        }
        let now = (self.ways.clock)();
        let put = held(&self.outbox).put(self.pending.make_contiguous(), now);
        match put {
            Ok(put) => {
                self.pending.clear();
                if std::mem::take(&mut self.is_failing) {
                    (self.ways.say)("pavise: the outbox can be written again.");
                }
                said(&self.ways, put);
                self.lines.iter().for_each(Thread::wake);
            }
            Err(error) => {
                let over = self.pending.len().saturating_sub(PENDING_MAX);
                self.pending.drain(..over);
                if !std::mem::replace(&mut self.is_failing, true) || over > 0 {
                    let lost = if over > 0 {
                        format!("; given up: {}", count(over as u64, "message"))
                    } else {
                        String::new()
                    };
                    (self.ways.say)(&format!("pavise: {error}; what is to be told waits in memory{lost}"));
                }
            }
        }
    }
}

/// Says what had to be given up.
fn said(ways: &Ways, put: Put) {
    if put.given_up > 0 {
        let given_up = count(put.given_up, "message");
        (ways.say)(&format!(
            "pavise: given up for want of room in the outbox: {given_up}; `pavise outbox` tells whose"
        ));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(follower) = &mut self.follower {
            follower.join();
        }
        self.follower = None;
        // All of them try what waits at the same time.
        let Some(lines) = Arc::get_mut(&mut self.lines) else { return };
        lines.iter_mut().for_each(Thread::stop);
        lines.iter_mut().for_each(Thread::join);
        if !self.pending.is_empty() {
            let lost = count(self.pending.len() as u64, "message");
            (self.ways.say)(&format!("pavise: the outbox could not be written; given up: {lost}"));
        }
        for status in held(&self.outbox).status().unwrap_or_default() {
            if status.waiting > 0 && self.packers.iter().any(|(key, _)| *key == status.receiver) {
                (self.ways.say)(&format!(
                    "pavise: still in the outbox: {} for {}; the next watch goes on (`pavise outbox`).",
                    count(status.waiting, "message"),
                    status.name
                ));
            }
        }
    }
}

/// The thread of a receiver.
struct Line {
    delivery: Delivery,
    outbox: Shared,
    ways: Ways,
    is_failing: bool,
    /// Whether it looks for what is too old, for all.
    expires: bool,
    expired: Option<Timestamp>,
}

impl Line {
    fn run(mut self, inbox: &Inbox<()>) {
        let mut until: Option<Timestamp> = None;
        loop {
            let now = (self.ways.clock)();
            if until.is_none() && inbox.try_recv() == Err(TryRecvError::Disconnected) {
                until = Some(now + LAST_TRIES);
                self.delivery.ends();
            }
            if until.is_some_and(|until| now >= until) {
                return;
            }
            self.expire(now);
            let next = match self.delivery.step(&self.outbox, now, &*self.ways.say) {
                Ok(Step::Sent(_)) => {
                    self.is_failing = false;
                    continue;
                }
                Ok(Step::Failed(next) | Step::Idle(Some(next))) => next,
                Ok(Step::Idle(None)) => now + LOOK,
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        (self.ways.say)(&format!("pavise: {error}; it is tried again"));
                    }
                    now + RETRY
                }
            };
            if until.is_some() {
                return;
            }
            // What a person says about the outbox is seen even while a receiver is not tried.
            match inbox.recv_timeout(next.since(now).min(LOOK)) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    until = Some((self.ways.clock)() + LAST_TRIES);
                    self.delivery.ends();
                }
            }
        }
    }

    fn expire(&mut self, now: Timestamp) {
        if !self.expires || self.expired.is_some_and(|last| now.since(last) < EXPIRE && now >= last) {
            return;
        }
        self.expired = Some(now);
        // Where it cannot be done, the step that follows says what is wrong.
        for (receiver, number) in held(&self.outbox).expire(now).unwrap_or_default() {
            let given_up = count(number, "message");
            (self.ways.say)(&format!(
                "pavise: given up for {receiver}: {given_up}, which waited for too long."
            ));
        }
    }
}
