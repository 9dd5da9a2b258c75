//! How far each device is trusted.
//!
//! A device's trust is judged by five [`Aspect`]s, each of which is in a [`State`]; the table [`RULES`] gives the
//! [`Access`] (NIST SP 800-207, section 3.3: a trust algorithm that is criteria-based and contextual). It is judged anew
//! with every change. Trust is lost at once. It comes back when the cause is gone and [`PROBATION`] has passed, or when an
//! analyst says that there was none.
//!
//! What is said of a device comes from findings, from its appearing, and from [`Statement`]s of others: of who verifies its
//! certificates and attestations, and of who knows the weaknesses of its software.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use model::Access;
use model::{Change, DeviceId, Event, Finding, FindingId, Host, Locality, Party, Timestamp};
use serde::{Deserialize, Serialize};

pub use rules::{Aspect, FINDINGS, RULES, Rule, State, says};

/// So many devices are kept of which there was something to say. Those that are trusted most are forgotten first.
pub const MAX_DEVICES: usize = 65_536;
/// So many things are held for or against a device. What weighs least, and is oldest, is forgotten first.
pub const MAX_EVIDENCE: usize = 16;
/// A source or a reason is kept up to so many bytes.
pub const MAX_TEXT: usize = 256;
/// Who appears after the place was watched for so long is new, and is so for as long.
pub const KNOWN_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// What was found is held against a device until it was not seen for so long.
pub const QUIET: Duration = Duration::from_secs(24 * 3_600);
/// A device gets more access only when nothing has stood in the way for so long.
pub const PROBATION: Duration = Duration::from_secs(3_600);

/// The first byte of what is saved.
const VERSION: u8 = 1;

/// What somebody who knows says of a device. It replaces what the same source said of the same aspect before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Of which device.
    pub device: DeviceId,
    /// In which state it is.
    pub state: State,
    /// Who says so, as `attestation` or `advisories`; up to [`MAX_TEXT`] bytes of it are kept.
    pub source: Box<str>,
    /// How it is known, in words; up to [`MAX_TEXT`] bytes of it are kept.
    pub reason: Box<str>,
    /// Since when.
    pub at: Timestamp,
    /// Until when it holds. A verified attestation is stale from then on, a failed one stays failed; anything else is no
    /// longer said.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// Something that is held for or against a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The state that it speaks for.
    pub state: State,
    /// Who says so: a detector, or the source of a statement.
    pub source: Box<str>,
    /// In words.
    pub reason: Box<str>,
    /// Since when.
    pub at: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// Until when a statement holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    /// The finding.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finding: Option<FindingId>,
    /// What an analyst has said of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verdict: Option<model::Verdict>,
}

impl Evidence {
    /// Whether it counts: what an analyst has called expected or false does not.
    pub fn counts(&self) -> bool {
        !self.verdict.is_some_and(model::Verdict::silences)
    }

    /// When it is to be looked at again, if nothing is said of it until then.
    fn due(&self) -> Option<Timestamp> {
        match (self.finding, self.verdict) {
            (Some(_), Some(model::Verdict::True)) => None,
            (Some(_), _) => Some(self.last + QUIET),
            (None, _) => self.expires.filter(|_| self.state != State::Failed),
        }
    }
}

/// How a finding stands by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it was last seen.
    pub last: Timestamp,
    /// What an analyst has said of it.
    pub verdict: Option<model::Verdict>,
}

impl From<&Finding> for Standing {
    fn from(finding: &Finding) -> Self {
        Self { last: finding.last, verdict: finding.judgement.as_ref().map(|said| said.verdict) }
    }
}

/// What has to be asked of others.
pub trait Site {
    /// How a finding stands; nothing if it is no longer held.
    fn standing(&self, finding: FindingId) -> Option<Standing>;
    /// Whether a host is elsewhere in the Internet: those are not judged.
    fn is_external(&self, host: &Host) -> bool;
}

/// What is kept of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    access: Access,
    since: Timestamp,
    evidence: Vec<Evidence>,
    /// What it gets next, and when, if nothing happens until then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rise: Option<(Timestamp, Access)>,
}

impl Record {
    fn due(&self) -> Option<Timestamp> {
        let rise = self.rise.map(|(at, _)| at);
        self.evidence.iter().filter_map(Evidence::due).chain(rise).min()
    }

    /// Whether evidence speaks for a state, or nothing speaks for any other one of its aspect. Who has proven who he is
    /// is not new.
    fn is(&self, state: State) -> bool {
        let counts = |wanted| self.evidence.iter().any(|one| one.counts() && one.state == wanted);
        match state {
            State::New => counts(State::New) && !counts(State::Proven),
            _ if state == state.aspect().usual() => self.state(state.aspect()) == state,
            _ => counts(state),
        }
    }

    /// What an aspect is called by.
    fn state(&self, aspect: Aspect) -> State {
        let said = self.evidence.iter().filter(|one| one.counts() && one.state.aspect() == aspect);
        said.map(|one| one.state).max().unwrap_or(aspect.usual())
    }

    /// The rows of the table that hold, those that weigh most first.
    fn rules(&self) -> Vec<&'static Rule> {
        let holds = |rule: &&Rule| rule.when.iter().all(|state| self.is(*state));
        let mut rules: Vec<_> = RULES.iter().filter(holds).collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.access));
        rules
    }

    /// Holds something for or against the device.
    fn hold(&mut self, mut evidence: Evidence) {
        for text in [&mut evidence.source, &mut evidence.reason] {
            let ends = |at: &usize| text.is_char_boundary(*at);
            let end = (0..=MAX_TEXT.min(text.len())).rfind(ends).unwrap_or(0);
            *text = text.get(..end).unwrap_or_default().into();
        }
        let is_same = |one: &&mut Evidence| match evidence.finding {
            Some(id) => one.finding == Some(id) && one.state == evidence.state,
            None => {
                one.finding.is_none()
                    && one.source == evidence.source
                    && one.state.aspect() == evidence.state.aspect()
            }
        };
        if let Some(known) = self.evidence.iter_mut().find(is_same) {
            // What was said later holds.
            if evidence.at >= known.at || evidence.finding.is_some() {
                let at = if evidence.finding.is_some() { known.at.min(evidence.at) } else { evidence.at };
                *known = Evidence { at, ..evidence };
            }
            return;
        }
        self.evidence.push(evidence);
        if self.evidence.len() > MAX_EVIDENCE {
            let weight = |one: &Evidence| (one.counts(), one.state.weight(), one.last);
            let least = (0..self.evidence.len()).min_by_key(|at| weight(&self.evidence[*at]));
            least.map(|at| self.evidence.remove(at));
        }
    }

    /// Lets go of what is over, and hears what was said of the rest. Whether an analyst has taken something back from what
    /// is held against the device.
    fn refresh(&mut self, at: Timestamp, site: &impl Site) -> bool {
        let mut pardoned = false;
        for one in &mut self.evidence {
            if let Some(now) = one.finding.and_then(|id| site.standing(id)) {
                one.last = one.last.max(now.last);
                let counted = one.counts();
                one.verdict = now.verdict;
                pardoned |= counted && !one.counts();
            } else if one.state == State::Verified && one.expires.is_some_and(|expires| expires <= at) {
                (one.state, one.at) = (State::Stale, one.expires.take().unwrap_or(at));
            }
        }
        self.evidence.retain(|one| one.due().is_none_or(|due| due > at));
        pardoned
    }

    /// Comes to a judgement, and says so if it is another one than before.
    fn judge(&mut self, at: Timestamp, pardoned: bool) -> Option<Change> {
        let rules = self.rules();
        let target = rules.first().map_or(Access::Full, |rule| rule.access);
        if target == self.access {
            self.rise = None;
            return None;
        }
        if target < self.access && !pardoned {
            let (due, _) = match self.rise {
                Some(rise) if rise.1 == target => rise,
                _ => *self.rise.insert((at + PROBATION, target)),
            };
            if due > at {
                return None;
            }
        }
        let from = std::mem::replace(&mut self.access, target);
        (self.since, self.rise) = (at, None);
        let stands = rules.iter().filter(|rule| rule.access == target);
        let reasons = stands.map(|rule| rule.why.into()).collect();
        Some(Change::TrustChanged { from, to: target, reasons })
    }
}

/// What is saved.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    began: Option<Timestamp>,
    devices: Vec<(DeviceId, Record)>,
}

/// Why a device does not get more than it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The most that it gets because of it.
    pub access: Access,
    /// Why.
    pub why: &'static str,
    /// What would raise it.
    pub raise: &'static str,
    /// The states that it comes from.
    pub states: &'static [State],
}

/// One aspect of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Which.
    pub aspect: Aspect,
    /// Its state.
    pub state: State,
    /// What is held for or against the device.
    pub evidence: Vec<Evidence>,
}

/// How far a device is trusted, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// What it gets.
    pub access: Access,
    /// Since when, where it ever got anything else.
    pub since: Option<Timestamp>,
    /// What it gets next, and when, if nothing happens until then.
    pub rise: Option<(Timestamp, Access)>,
    /// Its aspects.
    pub aspects: Vec<Judged>,
    /// Why it does not get more, the weightiest first.
    pub reasons: Vec<Reason>,
}

impl Assessment {
    /// The aspect that takes it down most; nothing if none does.
    pub fn worst(&self) -> Option<&Judged> {
        let state = self.reasons.first()?.states.first()?;
        self.aspects.iter().find(|judged| judged.aspect == state.aspect())
    }
}

/// The trust in all devices. Of those of which there is nothing to say nothing is kept: they get all.
#[derive(Debug, Default)]
pub struct Posture {
    /// When the place was first watched.
    began: Option<Timestamp>,
    devices: BTreeMap<DeviceId, Record>,
    /// When devices are to be looked at again.
    due: BTreeSet<(Timestamp, DeviceId)>,
    /// In which order devices are forgotten.
    order: BTreeSet<(Access, Timestamp, DeviceId)>,
    /// Whether what is said of findings may have changed.
    review: bool,
    forgotten: u64,
}

impl Posture {
    /// Takes what followed from an observation, those of the events that come after the first `from`, and adds what follows from them.
    pub fn observe(&mut self, at: Timestamp, from: usize, events: &mut Vec<Event>, site: &impl Site) {
        let began = *self.began.get_or_insert(at);
        if events.len() == from && !self.review && self.due.first().is_none_or(|(due, _)| *due > at) {
            return;
        }
        let mut follows = Vec::new();
        for event in events.iter().skip(from) {
            match (&event.change, event.device) {
                (Change::DeviceAppeared { known }, Some(device)) => {
                    if known.locality != Locality::External && at.since(began) >= KNOWN_AFTER {
                        let reason = "it appeared when the place had been watched for a day and more".into();
                        self.change(at, device, &mut follows, site, |record| {
                            record.hold(Evidence {
                                state: State::New,
                                source: "inventory".into(),
                                reason,
                                at,
                                last: at,
                                expires: Some(at + KNOWN_AFTER),
                                finding: None,
                                verdict: None,
                            });
                        });
                    }
                }
                (Change::DeviceMerged { gone }, Some(device)) => {
                    if let Some(gone) = self.remove(*gone) {
                        self.change(at, device, &mut follows, site, |record| {
                            if gone.access > record.access {
                                (record.access, record.since) = (gone.access, gone.since);
                            }
                            gone.evidence.into_iter().for_each(|one| record.hold(one));
                        });
                    }
                }
                (Change::FindingRaised { finding }, _) => self.found(at, finding, &mut follows, site),
                _ => {}
            }
        }
        if std::mem::take(&mut self.review) {
            for device in self.devices.keys().copied().collect::<Vec<_>>() {
                self.change(at, device, &mut follows, site, |_| {});
            }
        }
        while let Some(&(due, device)) = self.due.first().filter(|(due, _)| *due <= at) {
            self.due.remove(&(due, device));
            self.change(at, device, &mut follows, site, |_| {});
        }
        events.append(&mut follows);
    }

    fn found(&mut self, at: Timestamp, finding: &Finding, events: &mut Vec<Event>, site: &impl Site) {
        let Some(state) = says(finding) else { return };
        // Two who claim one address are told as one finding: neither is known to be the right one.
        let other = finding.victim.filter(|_| state == State::Conflicting);
        let ours = |party: Party| party.device.filter(|_| !site.is_external(&party.host));
        for device in [Some(finding.actor), other].into_iter().flatten().filter_map(ours) {
            self.change(at, device, events, site, |record| {
                record.hold(Evidence {
                    state,
                    source: (&*finding.detector).into(),
                    reason: finding.summary.clone(),
                    at: finding.raised,
                    last: finding.last,
                    expires: None,
                    finding: Some(finding.id),
                    verdict: finding.judgement.as_ref().map(|said| said.verdict),
                });
            });
        }
    }

    /// Takes what somebody says of a device at a moment.
    pub fn state(&mut self, now: Timestamp, said: Statement, events: &mut Vec<Event>, site: &impl Site) {
        let Statement { device, state, source, reason, at, expires } = said;
        self.change(now, device, events, site, |record| {
            record.hold(Evidence {
                state,
                source,
                reason,
                at,
                last: at,
                expires,
                finding: None,
                verdict: None,
            });
        });
    }

    /// An analyst has said something of a finding: the next time, all are looked at again.
    pub const fn review(&mut self) {
        self.review = true;
    }

    /// Changes what is kept of a device, judges it anew, and tells if it gets more or less than before.
    fn change(
        &mut self,
        at: Timestamp,
        device: DeviceId,
        events: &mut Vec<Event>,
        site: &impl Site,
        change: impl FnOnce(&mut Record),
    ) {
        let mut record = self.remove(device).unwrap_or_default();
        change(&mut record);
        let pardoned = record.refresh(at, site);
        if let Some(change) = record.judge(at, pardoned) {
            events.push(Event { at, device: Some(device), change });
        }
        if record.access != Access::Full || !record.evidence.is_empty() || record.since > Timestamp::EPOCH {
            self.insert(device, record);
        }
    }

    fn remove(&mut self, device: DeviceId) -> Option<Record> {
        let record = self.devices.remove(&device)?;
        self.order.remove(&(record.access, record.since, device));
        if let Some(due) = record.due() {
            self.due.remove(&(due, device));
        }
        Some(record)
    }

    fn insert(&mut self, device: DeviceId, record: Record) {
        self.order.insert((record.access, record.since, device));
        self.due.extend(record.due().map(|due| (due, device)));
        self.devices.insert(device, record);
        if self.devices.len() > MAX_DEVICES
            && let Some((_, _, least)) = self.order.first().copied()
        {
            self.remove(least);
            self.forgotten += 1;
        }
    }

    /// How many devices were forgotten for [`MAX_DEVICES`] since this was last asked.
    pub const fn take_forgotten(&mut self) -> u64 {
        std::mem::replace(&mut self.forgotten, 0)
    }

    /// How far a device is trusted, and why.
    pub fn of(&self, device: DeviceId) -> Assessment {
        let nothing = Record::default();
        let record = self.devices.get(&device).unwrap_or(&nothing);
        let judged = |aspect| {
            let of_it = record.evidence.iter().filter(|one| one.state.aspect() == aspect);
            Judged { aspect, state: record.state(aspect), evidence: of_it.cloned().collect() }
        };
        let reason =
            |rule: &Rule| Reason { access: rule.access, why: rule.why, raise: rule.raise, states: rule.when };
        Assessment {
            access: record.access,
            since: (record.since > Timestamp::EPOCH).then_some(record.since),
            rise: record.rise,
            aspects: Aspect::ALL.map(judged).into(),
            reasons: record.rules().into_iter().map(reason).collect(),
        }
    }

    /// What is kept as bytes, in an order that depends on what is in it alone; nothing before anything was observed.
    pub fn save(&self) -> Option<Vec<u8>> {
        self.began?;
        let devices = self.devices.iter().map(|(id, record)| (*id, record.clone())).collect();
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, &Kept { began: self.began, devices }).ok()?;
        Some(bytes)
    }

    /// What was saved; nothing if it cannot be read. What was said of findings meanwhile is heard with the next observation.
    pub fn restore(bytes: &[u8]) -> Self {
        let kept: Option<Kept> = match bytes {
            [VERSION, text @ ..] => serde_json::from_slice(text).ok(),
            _ => None,
        };
        let Kept { began, devices } = kept.unwrap_or_default();
        let mut posture = Self { began, review: true, ..Self::default() };
        for (device, mut record) in devices.into_iter().take(MAX_DEVICES) {
            let evidence = std::mem::take(&mut record.evidence);
            evidence.into_iter().for_each(|one| record.hold(one));
            posture.remove(device);
            posture.insert(device, record);
        }
        posture
    }
}

#[cfg(test)]
mod tests;
