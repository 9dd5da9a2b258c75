//! Receivers and messages for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::{ActionTaken, Change, Event, Incident, IncidentId, Severity, Timestamp};
use testkit::tls::DEADLINE;

use super::Message;
use super::deliver::Receiver;

/// Many short pauses: whoever is down for a moment is tried again at once.
pub(crate) const OFTEN: &[Duration] = &[Duration::from_millis(10); 1_000];

/// A receiver of which it is counted how often it was tried in vain, and told of.
pub(crate) struct Counted<R> {
    pub(crate) inner: R,
    pub(crate) failed: Arc<AtomicUsize>,
    pub(crate) told: Arc<AtomicUsize>,
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R) -> (Self, Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let (failed, told) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        (Self { inner, failed: Arc::clone(&failed), told: Arc::clone(&told) }, failed, told)
    }
}

impl<R: Receiver> Receiver for Counted<R> {
    type Item = R::Item;
    type Parcel = R::Parcel;

    fn name(&self) -> String {
        self.inner.name()
    }

    fn pack(&mut self, item: R::Item, now: Instant) -> Option<R::Parcel> {
        self.inner.pack(item, now)
    }

    fn send(&mut self, parcel: &R::Parcel) -> Result<(), String> {
        let result = self.inner.send(parcel);
        let count = if result.is_ok() { &self.told } else { &self.failed };
        count.fetch_add(1, Ordering::SeqCst);
        result
    }
}

/// Waits until something was counted so often.
pub(crate) fn reaches(counter: &AtomicUsize, count: usize) {
    let deadline = Instant::now() + DEADLINE;
    while counter.load(Ordering::SeqCst) < count {
        assert!(Instant::now() < deadline, "only {} of {count}", counter.load(Ordering::SeqCst));
        std::thread::yield_now();
    }
}

/// A device was contained.
pub(crate) fn message(outcome: &'static str) -> Message {
    let incident = Incident {
        id: IncidentId::from_digest(1),
        severity: Severity::High,
        title: "Password guessing".into(),
        stage: "lateral-movement".into(),
        first: Timestamp::from_secs(1_700_000_000),
        last: Timestamp::from_secs(1_700_000_060),
        findings: Vec::new(),
        actors: Vec::new(),
        victims: Vec::new(),
        response: "Look at who uses camera-3.".into(),
        next: Vec::new(),
    };
    let action = ActionTaken {
        id: "a86bfd04907f66c0e".into(),
        action: "contain".into(),
        outcome: outcome.into(),
        target: "10.0.0.5 (camera-3, Büro)".into(),
        incident: Some(incident.id),
        reason: "Password guessing (rule plant)".into(),
        until: Some(Timestamp::from_secs(1_700_003_661)),
        cuts: 3,
    };
    let change = Change::ActionTaken { action: Box::new(action) };
    Message {
        event: Arc::new(Event { at: Timestamp::from_secs(1_700_000_061), device: None, change }),
        incident: Some(Arc::new(incident)),
        headline: "contained 10.0.0.5 (camera-3, Büro)".into(),
        text: "contained 10.0.0.5 (camera-3, Büro) for 1 h: incident i000000000001, cuts 3 conversations"
            .into(),
    }
}
