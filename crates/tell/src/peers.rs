//! Notices, receivers and stores for tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{ActionTaken, Change, Event, Incident, IncidentId, Severity, Timestamp};

use crate::{Carrier, Letter, Limits, Notice, Outbox};

/// The number by which messages of tests are named.
pub(crate) const SEED: u64 = 7;

/// No techniques are known.
pub(crate) fn nothing(_: &str) -> Vec<enforce::notify::Technique> {
    Vec::new()
}

/// Somebody who is up or down, and what came to him.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moody {
    pub(crate) is_up: Arc<Mutex<bool>>,
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    pub(crate) tries: Arc<Mutex<usize>>,
}

impl Moody {
    pub(crate) fn set(&self, is_up: bool) {
        *self.is_up.lock().unwrap() = is_up;
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Carrier for Moody {
    fn send(&mut self, letters: &[Letter], _: u64, _: Timestamp) -> Result<(), String> {
        *self.tries.lock().unwrap() += 1;
        if !*self.is_up.lock().unwrap() {
            return Err("nobody is there".into());
        }
        self.heard.lock().unwrap().extend(letters.iter().map(|letter| letter.id.clone()));
        Ok(())
    }
}

/// An outbox in a folder.
pub(crate) fn outbox(folder: &std::path::Path) -> Mutex<Outbox> {
    Mutex::new(Outbox::open(folder, Limits::default()).unwrap())
}

/// The same moment, some seconds later.
pub(crate) fn after(at: Timestamp, seconds: u64) -> Timestamp {
    at + Duration::from_secs(seconds)
}

/// A device was contained.
pub(crate) fn message(outcome: &'static str) -> Notice {
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
    Notice::action(
        SEED,
        Arc::new(Event { at: Timestamp::from_secs(1_700_000_061), device: None, change }),
        Some(Arc::new(incident)),
        "contained 10.0.0.5 (camera-3, Büro)".into(),
        "contained 10.0.0.5 (camera-3, Büro) for 1 h: incident i000000000001, cuts 3 conversations".into(),
    )
}
