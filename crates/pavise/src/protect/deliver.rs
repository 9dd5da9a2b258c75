//! Asking others for something that the journal keeps until it is done: each has a queue and a thread of its own. What fails is
//! tried again, after growing pauses; what is given up is said and counted. What is only told goes by the outbox (`tell`).

use std::convert::Infallible;
use std::sync::mpsc::{
    Receiver as Inbox, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel,
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tell::explain;

use crate::found::count;
use crate::output::say;

/// So many messages wait for each receiver; more are dropped, and how many is said.
pub(crate) const MAX_WAITING: usize = 1_024;
/// What could not be sent is tried again after each of these.
pub(crate) const PAUSES: &[Duration] =
    &[Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
/// At the end, what waits is tried once more for so long.
const LAST_TRIES: Duration = Duration::from_secs(10);

/// Somebody who is asked.
pub(crate) trait Receiver: Send + 'static {
    /// What it is asked for.
    type Item: Send + 'static;
    /// What is sent.
    type Parcel;

    /// Who it is, without secrets.
    fn name(&self) -> String;

    /// What is to be sent, if anything is: now, or later by [`Receiver::gather`].
    fn pack(&mut self, item: Self::Item, now: Instant) -> Option<Self::Parcel>;

    /// When something that was gathered is to be sent.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// What was gathered; nothing is due after this.
    fn gather(&mut self, _now: Instant) -> Option<Self::Parcel> {
        None
    }

    /// Sends something.
    ///
    /// # Errors
    ///
    /// Why it was not taken.
    fn send(&mut self, parcel: &Self::Parcel) -> Result<(), String>;

    /// Hears what has come of something: whether it was sent, or given up and why; and whether Pavise is about to end, so that
    /// it was not tried as often as it would have been.
    fn settled(&mut self, _parcel: Self::Parcel, _result: Result<(), String>, _is_ending: bool) {}
}

/// The way to a receiver.
#[derive(Debug)]
pub(crate) struct Line<T> {
    name: String,
    sender: Option<SyncSender<T>>,
    /// While this is held, it goes on.
    going: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
    dropped: u64,
}

impl<T: Send + 'static> Line<T> {
    /// Begins to deliver; what fails is tried again after each of these pauses.
    pub(crate) fn start<R: Receiver<Item = T>>(receiver: R, pauses: &'static [Duration]) -> Self {
        let name = receiver.name();
        let (sender, inbox) = sync_channel(MAX_WAITING);
        let (going, stop) = channel();
        let run = Run { receiver, stop, pauses, is_failing: false, lost: 0, lost_in_all: 0, until: None };
        let thread = std::thread::spawn(move || run.run(&inbox));
        Self { name, sender: Some(sender), going: Some(going), thread: Some(thread), dropped: 0 }
    }

    /// Hands something over; whether there was room for it.
    pub(crate) fn hand(&mut self, item: T) -> bool {
        let taken = self.sender.as_ref().is_some_and(|sender| sender.try_send(item).is_ok());
        if !taken {
            self.dropped += 1;
        }
        taken
    }

    /// Has it end when it has tried what waits.
    pub(crate) fn stop(&mut self) {
        self.sender = None;
        self.going = None;
    }

    /// Waits until it has ended.
    pub(crate) fn join(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if self.dropped > 0 {
            say(format_args!(
                "pavise: {} for {} found no room among {MAX_WAITING} that wait.",
                messages(self.dropped),
                self.name
            ));
            self.dropped = 0;
        }
    }
}

impl<T> Drop for Line<T> {
    fn drop(&mut self) {
        self.sender = None;
        self.going = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread of a receiver.
struct Run<R> {
    receiver: R,
    stop: Inbox<Infallible>,
    pauses: &'static [Duration],
    is_failing: bool,
    /// What was given up since it heard something last, and in all.
    lost: u64,
    lost_in_all: u64,
    /// Until when it is tried at the end.
    until: Option<Instant>,
}

impl<R: Receiver> Run<R> {
    fn run(mut self, inbox: &Inbox<R::Item>) {
        loop {
            let due = self.receiver.due();
            if due.is_some_and(|due| due <= Instant::now()) {
                let gathered = self.receiver.gather(Instant::now());
                self.deliver(gathered);
                continue;
            }
            let next = match due {
                Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let parcel = match next {
                Ok(item) => self.receiver.pack(item, Instant::now()),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.deliver(parcel);
        }
        let rest = self.receiver.gather(Instant::now());
        self.deliver(rest);
        if self.lost_in_all > 0 {
            let name = self.receiver.name();
            say(format_args!("pavise: {name}: in all, given up: {}.", messages(self.lost_in_all)));
        }
    }

    fn deliver(&mut self, parcel: Option<R::Parcel>) {
        let Some(parcel) = parcel else { return };
        let result = self.try_all(&parcel);
        if let Err(why) = &result {
            if self.lost == 0 {
                let name = self.receiver.name();
                say(format_args!("pavise: a message for {name} was given up: {why}; others are still tried"));
            }
            self.lost += 1;
            self.lost_in_all += 1;
        }
        let is_ending = self.is_stopped();
        self.receiver.settled(parcel, result, is_ending);
    }

    fn try_all(&mut self, parcel: &R::Parcel) -> Result<(), String> {
        let mut pauses = self.pauses.iter();
        loop {
            if self.is_stopped() && self.until.is_some_and(|until| Instant::now() >= until) {
                return Err("Pavise ends, and it does not listen".into());
            }
            let why = match self.receiver.send(parcel) {
                Ok(()) => {
                    self.recovered();
                    return Ok(());
                }
                Err(error) => explain(error),
            };
            if !self.is_failing {
                self.is_failing = true;
                let name = self.receiver.name();
                say(format_args!("pavise: {name} could not be told: {why}; it is tried again"));
            }
            if self.is_stopped() {
                // Whoever does not listen at the end is not waited for again.
                self.until = Some(Instant::now());
                return Err(why);
            }
            let Some(pause) = pauses.next() else { return Err(why) };
            // It ends early when Pavise does: then this is tried for the last time.
            let _ = self.stop.recv_timeout(*pause);
        }
    }

    fn is_stopped(&mut self) -> bool {
        let is_stopped = self.stop.try_recv() == Err(TryRecvError::Disconnected);
        if is_stopped && self.until.is_none() {
            self.until = Some(Instant::now() + LAST_TRIES);
        }
        is_stopped
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            let name = self.receiver.name();
            match std::mem::take(&mut self.lost) {
                0 => say(format_args!("pavise: {name} is told again; nothing was lost.")),
                lost => say(format_args!("pavise: {name} is told again; given up: {}.", messages(lost))),
            }
        }
    }
}

fn messages(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "message")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Who refuses so many times, and notes what was tried and what came of it.
    struct Moody {
        refuses: usize,
        notes: Arc<Mutex<Vec<String>>>,
    }

    impl Receiver for Moody {
        type Item = u32;
        type Parcel = u32;

        fn name(&self) -> String {
            "moody".into()
        }

        fn pack(&mut self, item: u32, _: Instant) -> Option<u32> {
            (item != 0).then_some(item)
        }

        fn send(&mut self, parcel: &u32) -> Result<(), String> {
            self.notes.lock().unwrap().push(format!("try {parcel}"));
            if self.refuses == 0 {
                return Ok(());
            }
            self.refuses -= 1;
            Err("no".into())
        }

        fn settled(&mut self, parcel: u32, result: Result<(), String>, _: bool) {
            let came = result.map_or_else(|why| why, |()| "sent".into());
            self.notes.lock().unwrap().push(format!("{parcel}: {came}"));
        }
    }

    const SHORT: &[Duration] = &[Duration::from_millis(1), Duration::from_millis(2)];
    const LONG: &[Duration] = &[Duration::from_secs(3_600)];

    fn told(refuses: usize, items: &[u32], pauses: &'static [Duration], waits: usize) -> Vec<String> {
        let notes = Arc::<Mutex<Vec<String>>>::default();
        let mut line = Line::start(Moody { refuses, notes: Arc::clone(&notes) }, pauses);
        for item in items {
            assert!(line.hand(*item));
        }
        while notes.lock().unwrap().len() < waits {
            std::thread::yield_now();
        }
        line.join();
        let notes = notes.lock().unwrap();
        notes.clone()
    }

    #[test]
    fn what_fails_is_tried_again_in_its_order_and_given_up_after_the_last_pause() {
        assert_eq!(told(0, &[1, 0, 2], SHORT, 4), ["try 1", "1: sent", "try 2", "2: sent"]);
        let twice = ["try 1", "try 1", "try 1", "1: sent", "try 2", "2: sent"];
        assert_eq!(told(2, &[1, 2], SHORT, 6), twice);
        let over = ["try 1", "try 1", "try 1", "1: no", "try 2", "try 2", "2: sent"];
        assert_eq!(told(4, &[1, 2], SHORT, 7), over);
    }

    #[test]
    fn the_end_does_not_wait_for_pauses_nor_for_whoever_does_not_listen() {
        let begun = Instant::now();
        let ended = told(9, &[1, 2, 3], LONG, 1);
        let whys: Vec<_> = ended.iter().filter(|note| !note.starts_with("try")).collect();
        assert_eq!(
            whys,
            ["1: no", "2: Pavise ends, and it does not listen", "3: Pavise ends, and it does not listen"]
        );
        // The first is being tried, and may be tried once more; the others are not.
        assert!(ended.iter().filter(|note| note.starts_with("try")).count() <= 2, "{ended:?}");
        assert!(begun.elapsed() < LONG[0]);
    }

    #[test]
    fn a_queue_that_is_full_takes_no_more() {
        let notes = Arc::<Mutex<Vec<String>>>::default();
        let mut line = Line::start(Moody { refuses: 9, notes: Arc::clone(&notes) }, LONG);
        line.hand(1);
        while notes.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        // The first is being tried; so many wait.
        assert!((0..MAX_WAITING).all(|_| line.hand(2)));
        assert!(!line.hand(3));
        assert_eq!(line.dropped, 1);
    }
}
