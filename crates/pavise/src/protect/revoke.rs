//! Having credentials revoked: whoever issues them is asked by HTTPS, beside the work, until it is done or given up.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver as Inbox, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use enforce::respond::{Action, ActionId, Holder, Request};
use model::{IncidentId, Timestamp};
use serde::Serialize;
use tell::{Endpoint, Poster, id};

use super::clock;
use super::deliver::{Line, PAUSES, Receiver};

/// Reads who revokes.
///
/// # Errors
///
/// What is wrong with which option, and what to do.
pub(crate) fn open(endpoint: &Endpoint) -> Result<Poster, String> {
    if !endpoint.is_https() {
        return Err("revoke.url: what revokes credentials is asked by https:// only".into());
    }
    endpoint.open("revoke")
}

/// What is asked, as it is posted.
#[derive(Serialize)]
struct Asked<'a> {
    /// The id of the action.
    action: String,
    /// When it was asked for.
    at: Timestamp,
    #[serde(flatten)]
    holder: &'a Holder,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<IncidentId>,
    reason: &'a str,
}

/// Something that is to be revoked.
#[derive(Debug)]
struct Revocation {
    action: ActionId,
    json: String,
}

/// What has come of a revocation: it is done, or was given up and why.
type Settled = (ActionId, Result<(), String>);

/// What is still to be revoked.
type Open = Arc<Mutex<BTreeSet<ActionId>>>;

fn held(open: &Open) -> MutexGuard<'_, BTreeSet<ActionId>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has credentials revoked.
#[derive(Debug)]
pub(crate) struct Revoker {
    line: Line<Revocation>,
    settled: Inbox<Settled>,
    open: Open,
}

impl Revoker {
    pub(crate) fn start(poster: Poster) -> Self {
        Self::with(poster, PAUSES)
    }

    fn with(poster: Poster, pauses: &'static [Duration]) -> Self {
        let (outbox, settled) = channel();
        let open = Open::default();
        let issuer = Issuer { poster, outbox, open: Arc::clone(&open) };
        Self { line: Line::start(issuer, pauses), settled, open }
    }

    /// Begins to have a credential revoked.
    pub(crate) fn revoke(&mut self, action: ActionId, request: &Request) -> Result<(), String> {
        let Action::RevokeCredential { holder: Some(holder), .. } = &request.action else {
            return Err("it is not known whose credential it is".into());
        };
        let asked = Asked {
            action: action.to_string(),
            at: clock(),
            holder,
            incident: request.incident,
            reason: &request.reason,
        };
        let json = serde_json::to_string(&asked).map_err(|error| error.to_string())?;
        held(&self.open).insert(action);
        if self.line.hand(Revocation { action, json }) {
            return Ok(());
        }
        held(&self.open).remove(&action);
        Err("too many others wait for whoever revokes".into())
    }

    /// Does not ask any more for what was not yet done.
    pub(crate) fn withdraw(&mut self, action: ActionId) {
        held(&self.open).remove(&action);
    }

    /// What has come of revocations since the last time.
    pub(crate) fn settled(&self) -> Vec<Settled> {
        self.settled.try_iter().collect()
    }

    /// Tries once more what waits; how many are then left for the next watch.
    pub(crate) fn end(&mut self) -> usize {
        self.line.stop();
        self.line.join();
        held(&self.open).len()
    }
}

/// Who issues credentials, and takes them back.
struct Issuer {
    poster: Poster,
    outbox: Sender<Settled>,
    open: Open,
}

impl Receiver for Issuer {
    type Item = Revocation;
    type Parcel = Revocation;

    fn name(&self) -> String {
        self.poster.name()
    }

    fn pack(&mut self, item: Revocation, _: Instant) -> Option<Revocation> {
        held(&self.open).contains(&item.action).then_some(item)
    }

    fn send(&mut self, revocation: &Revocation) -> Result<(), String> {
        if !held(&self.open).contains(&revocation.action) {
            // It was withdrawn.
            return Ok(());
        }
        self.poster.post(&id(&revocation.json), &revocation.json, clock())
    }

    fn settled(&mut self, revocation: Revocation, result: Result<(), String>, is_ending: bool) {
        // What Pavise's own end has cut short stays open: the journal hands it to the next watch.
        if result.is_err() && is_ending {
            return;
        }
        if held(&self.open).remove(&revocation.action) {
            // Who has ended hears nothing.
            let _ = self.outbox.send((revocation.action, result));
        }
    }
}

#[cfg(test)]
mod tests;
