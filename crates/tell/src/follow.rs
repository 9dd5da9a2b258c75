//! Following the store: findings and incidents are told as they are raised, grow worse or are judged.
//!
//! How far the store was followed is kept for each receiver together with the messages that came of it, in one transaction: after
//! a kill nothing is missing and nothing is told twice. What is there when a receiver is followed for the first time is not told.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Finding, FindingId, FlowHead, Incident, Severity, Timestamp};
use store::{Changes, FlowScan, Store};

use crate::notice::{Notice, Packer, Reason};
use crate::{Followed, Outbox, Put, Stand, TellError};

/// So many conversations are looked at to find the one that shows a finding.
pub const LOOK_AT: u64 = 20_000;

/// Somebody who is told of findings and incidents.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The key of the receiver.
    pub receiver: String,
    /// The least severity that it is told of.
    pub severity: Severity,
    /// Its words.
    pub packer: Packer,
}

/// Tells of findings and incidents what has changed in the store.
#[derive(Debug)]
pub struct Follower {
    listeners: Vec<Listener>,
}

/// What one step has read of the store, for all who are told.
struct Look<'a> {
    store: &'a dyn Store,
    /// What has changed, by the number of the look before.
    changes: BTreeMap<u64, Arc<Changes>>,
    /// All findings with their verdicts, once somebody needs them.
    findings: Option<BTreeMap<FindingId, Arc<Finding>>>,
    /// Conversations by finding.
    heads: BTreeMap<FindingId, Option<Arc<FlowHead>>>,
}

impl<'a> Look<'a> {
    const fn new(store: &'a dyn Store) -> Self {
        Self { store, changes: BTreeMap::new(), findings: None, heads: BTreeMap::new() }
    }

    fn changes(&mut self, since: u64) -> Result<Arc<Changes>, TellError> {
        if let Some(known) = self.changes.get(&since) {
            return Ok(Arc::clone(known));
        }
        let changes = Arc::new(self.store.changes(since)?);
        self.changes.insert(since, Arc::clone(&changes));
        Ok(changes)
    }

    fn findings(&mut self) -> Result<&BTreeMap<FindingId, Arc<Finding>>, TellError> {
        if self.findings.is_none() {
            let all = self.store.findings()?;
            self.findings = Some(all.into_iter().map(|finding| (finding.id, Arc::new(finding))).collect());
        }
        Ok(self.findings.get_or_insert_default())
    }

    /// The ends of the first conversation that shows a finding, if it was recorded already.
    fn head(&mut self, finding: &Finding) -> Result<Option<Arc<FlowHead>>, TellError> {
        if let Some(known) = self.heads.get(&finding.id) {
            return Ok(known.clone());
        }
        let head = match finding.conversations.first() {
            Some(id) => {
                let scan = FlowScan {
                    before: None,
                    since: Some(finding.first),
                    until: Some(finding.last),
                    limit: 1,
                    look_at: LOOK_AT,
                };
                let page = self.store.latest_flows(&scan, &mut |flow| flow.head.id == *id)?;
                page.flows.first().map(|flow| Arc::new(flow.head))
            }
            None => None,
        };
        self.heads.insert(finding.id, head.clone());
        Ok(head)
    }
}

impl Follower {
    /// For these receivers.
    pub const fn new(listeners: Vec<Listener>) -> Self {
        Self { listeners }
    }

    /// Puts into the outbox what is to be told of what has changed since the last step, of this process or of one before.
    /// Returns what became of it.
    ///
    /// # Errors
    ///
    /// If the store cannot be read or the outbox not be written. The next step does the same again, for those receivers that it
    /// was not done for.
    pub fn step(&mut self, store: &dyn Store, outbox: &mut Outbox, now: Timestamp) -> Result<Put, TellError> {
        let mut look = Look::new(store);
        let mut all = Put::default();
        for listener in &self.listeners {
            let followed = match outbox.cursor(&listener.receiver)? {
                Some(cursor) => step(listener, cursor, &mut look, outbox)?,
                None => Some(begin(listener, &mut look)?),
            };
            if let Some(followed) = followed {
                all.add(outbox.follow(&listener.receiver, &followed, now)?);
            }
        }
        Ok(all)
    }
}

/// Takes what is there for known.
fn begin(listener: &Listener, look: &mut Look<'_>) -> Result<Followed, TellError> {
    // Nothing has changed since then, but it says which number is the present one.
    let cursor = look.changes(u64::MAX)?.number;
    let mut followed = Followed { cursor, ..Followed::default() };
    for finding in look.findings()?.values().filter(|finding| finding.severity >= listener.severity) {
        followed.stands.push((finding.id.to_string(), stand(finding.severity, verdict(finding), 0)));
    }
    for incident in look.store.incidents()?.iter().filter(|incident| incident.severity >= listener.severity) {
        followed
            .stands
            .push((incident.id.to_string(), stand(incident.severity, incident.stage.to_string(), 0)));
    }
    Ok(followed)
}

/// What is to be kept and told; nothing if nothing has changed.
fn step(
    listener: &Listener,
    cursor: u64,
    look: &mut Look<'_>,
    outbox: &Outbox,
) -> Result<Option<Followed>, TellError> {
    let mut changes = look.changes(cursor)?;
    if changes.number < cursor {
        // It is another store than it was: all in it is new.
        changes = look.changes(0)?;
    }
    if changes.number == cursor {
        return Ok(None);
    }
    let mut followed = Followed { cursor: changes.number, ..Followed::default() };
    for id in candidates(listener, &changes, look, outbox)? {
        let Some(finding) = look.findings()?.get(&id).cloned() else { continue };
        let subject = id.to_string();
        let before = outbox.stand(&listener.receiver, &subject)?;
        let verdict = verdict(&finding);
        let Some((reason, revision)) =
            news(listener, finding.severity, &verdict, before.as_ref(), Reason::Judged)
        else {
            continue;
        };
        followed.stands.push((subject, stand(finding.severity, verdict, revision)));
        // Of what somebody has silenced only that he has is told, to whom it was told before.
        if finding.is_silenced() && reason != Reason::Judged {
            continue;
        }
        let head = if listener.packer.names_conversations() { look.head(&finding)? } else { None };
        let notice = Notice::finding(outbox.seed(), finding, head, reason, revision);
        followed.letters.extend(listener.packer.pack(&notice));
    }
    for incident in &changes.incidents {
        let subject = incident.id.to_string();
        let before = outbox.stand(&listener.receiver, &subject)?;
        let stage = incident.stage.to_string();
        let Some((reason, revision)) =
            news(listener, incident.severity, &stage, before.as_ref(), Reason::Worse)
        else {
            continue;
        };
        followed.stands.push((subject, stand(incident.severity, stage, revision)));
        let incident: Arc<Incident> = Arc::new(incident.clone());
        let notice = Notice::incident(outbox.seed(), incident, reason, revision);
        followed.letters.extend(listener.packer.pack(&notice));
    }
    followed.gone = changes.gone_incidents.iter().map(ToString::to_string).collect();
    Ok(Some(followed))
}

/// Which findings are to be looked at with their verdicts: those that are new or worse; all, if somebody has judged.
fn candidates(
    listener: &Listener,
    changes: &Changes,
    look: &mut Look<'_>,
    outbox: &Outbox,
) -> Result<Vec<FindingId>, TellError> {
    if changes.judged {
        return Ok(look.findings()?.keys().copied().collect());
    }
    let mut all = Vec::new();
    for finding in changes.findings.iter().filter(|finding| finding.severity >= listener.severity) {
        let before = outbox.stand(&listener.receiver, &finding.id.to_string())?;
        if before.is_none_or(|before| finding.severity > before.severity) {
            all.push(finding.id);
        }
    }
    Ok(all)
}

/// Why something is to be told, if it is, and as the how-manieth of its subject.
fn news(
    listener: &Listener,
    severity: Severity,
    also: &str,
    before: Option<&Stand>,
    other: Reason,
) -> Option<(Reason, u32)> {
    match before {
        None => (severity >= listener.severity).then_some((Reason::Raised, 0)),
        Some(before) => {
            let revision = before.revision.saturating_add(1);
            if before.also != also && other == Reason::Judged {
                return Some((other, revision));
            }
            let is_worse = severity > before.severity || before.also != also;
            is_worse.then_some((Reason::Worse, revision))
        }
    }
}

const fn stand(severity: Severity, also: String, revision: u32) -> Stand {
    Stand { severity, also, revision }
}

/// What was said of a finding, as far as it makes a difference.
fn verdict(finding: &Finding) -> String {
    finding.judgement.as_ref().map_or_else(String::new, |said| said.verdict.name().to_owned())
}

#[cfg(test)]
mod tests;
