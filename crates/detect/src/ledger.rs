//! What was found: each thing once, counted up when it is seen again.

use std::collections::{BTreeMap, BTreeSet};

use inventory::Inventory;
use model::{
    Change, Crossed, DeviceId, Event, Finding, FindingId, FlowId, Host, Incident, IncidentId, Judgement,
    Party, Scope, Severity, Shed, Slice, Timestamp, Verdict,
};

use crate::attack::{Tactic, technique};
use crate::detectors::{DETECTORS, LEARNING};
use crate::hosts::Addr;
use crate::incident::{Incidents, QUIET_HOURS};
use crate::judge::{Alarm, Suspicion};
use crate::rule::{Kind, Rule};
use crate::settings::Expected;

/// So many findings are held; those that were seen longest ago go first. They stay in the store.
pub const MAX_FINDINGS: usize = 1 << 14;
/// So many conversations are named by a finding.
pub const MAX_CONVERSATIONS: usize = 64;
/// A device with more addresses than this stands for others: what it does is not all its own.
const FEW_ADDRESSES: usize = 8;
/// So many verdicts that hold for more than one finding are remembered.
pub const MAX_RULINGS: usize = 4096;

/// The threshold of detectors that weigh what other detectors found ends so.
pub(crate) const SUSPICION: &str = ".suspicion";

/// Something that a detector said, with what the engine knows of it.
pub(crate) struct Raised<'a> {
    pub(crate) rule: &'static Rule,
    pub(crate) at: Timestamp,
    /// When what shows it began and ended.
    pub(crate) lasted: (Timestamp, Timestamp),
    pub(crate) alarm: Alarm<'a>,
    /// The threshold that was crossed, its limit, and what was seen.
    pub(crate) crossed: Option<(usize, f64, f64)>,
}

/// What is to be kept.
#[derive(Debug, Default)]
pub struct Changed {
    /// Findings that are new or changed, by id.
    pub findings: Vec<Finding>,
    /// Incidents that are new or changed, by id.
    pub incidents: Vec<Incident>,
    /// Incidents that turned out to be parts of others.
    pub gone: Vec<IncidentId>,
}

/// A verdict that holds for more than one finding.
#[derive(Debug)]
struct Ruling {
    finding: FindingId,
    detector: String,
    actor: Option<Addr>,
    victim: Option<Addr>,
    judgement: Judgement,
}

impl Ruling {
    fn of(finding: &Finding, judgement: &Judgement) -> Self {
        Self {
            finding: finding.id,
            detector: finding.detector.clone().into_owned(),
            actor: Addr::of(&finding.actor.host),
            victim: finding.victim.and_then(|victim| Addr::of(&victim.host)),
            judgement: judgement.clone(),
        }
    }

    fn holds_for(&self, detector: &str, actor: &Host, victim: Option<&Host>) -> bool {
        self.detector == detector
            && match self.judgement.scope {
                Scope::Finding => false,
                Scope::Actor => self.actor.is_some() && self.actor == Addr::of(actor),
                Scope::Victim => self.victim.is_some() && self.victim == victim.and_then(Addr::of),
                Scope::Detector => true,
            }
    }
}

/// The findings that are held.
#[derive(Default)]
pub(crate) struct Ledger {
    findings: BTreeMap<FindingId, Finding>,
    changed: BTreeSet<FindingId>,
    /// Those that were only counted up.
    renewed: BTreeSet<FindingId>,
    rulings: Vec<Ruling>,
    incidents: Incidents,
    /// Who does something bad, and when that was seen last.
    suspects: BTreeMap<Addr, Timestamp>,
    /// What is to be told.
    news: Vec<(Timestamp, Change)>,
    /// How many findings were given up.
    shed: u64,
}

/// The id of a finding: what it is about, not when.
fn id(detector: &str, actor: &Host, victim: Option<&Host>, matter: &str) -> FindingId {
    let mut bytes = Vec::with_capacity(detector.len() + matter.len() + 40);
    bytes.extend_from_slice(detector.as_bytes());
    for host in [Some(actor), victim] {
        bytes.push(0);
        bytes.extend_from_slice(&host.and_then(Addr::of).map_or([0; 16], Addr::bytes));
    }
    bytes.extend_from_slice(matter.as_bytes());
    FindingId::from_digest(digest(&bytes))
}

/// Names the conversations that show a finding, as far as there is room.
fn show(finding: &mut Finding, flows: impl Iterator<Item = FlowId>) {
    for flow in flows {
        if finding.conversations.len() >= MAX_CONVERSATIONS {
            return;
        }
        if !finding.conversations.contains(&flow) {
            finding.conversations.push(flow);
        }
    }
}

/// Whether what was seen last then still counts now.
fn is_open(last: Timestamp, now: Timestamp) -> bool {
    now.since(last).as_secs() < QUIET_HOURS * 3600
}

/// A digest that is the same on every machine and for every version.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    // FNV-1a in its 64-bit form, mixed at the end so that every bit depends on every byte.
    let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (folded ^ folded >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

impl Ledger {
    pub(crate) fn raise(
        &mut self,
        raised: Raised<'_>,
        expected: &[Expected],
        inventory: &Inventory,
        summary: impl FnOnce() -> String,
    ) {
        let Raised { rule, at, lasted: (began, ended), alarm, crossed } = raised;
        let since = alarm.since.map_or(began, |since| since.min(at));
        let severity = alarm.severity.unwrap_or(rule.severity);
        let id = id(rule.id, &alarm.actor, alarm.victim.as_ref(), alarm.matter);
        let crossed = crossed.map(|(threshold, limit, seen)| Crossed {
            threshold: format!("{}.{}", rule.id, rule.thresholds[threshold].name).into(),
            limit,
            seen,
            unit: rule.thresholds[threshold].unit.into(),
        });
        let is_suspicious = severity >= Severity::Medium && !alarm.is_anomaly;
        let suspect = Addr::of(&alarm.actor).filter(|_| is_suspicious);
        if let Some(known) = self.findings.get_mut(&id) {
            (known.first, known.last) = (known.first.min(since), known.last.max(ended));
            known.count += 1;
            show(known, alarm.flows.iter().copied().chain(alarm.flow));
            let seen = |crossed: &Option<Crossed>| crossed.as_ref().map_or(0.0, |crossed| crossed.seen);
            let is_worse = severity > known.severity;
            self.renewed.insert(id);
            if is_worse || seen(&crossed) >= 2.0 * seen(&known.crossed) && crossed.is_some() {
                self.changed.insert(id);
                known.summary = summary().into();
                known.crossed = crossed;
                if !alarm.factors.is_empty() {
                    known.factors = alarm.factors;
                }
            }
            known.severity = known.severity.max(severity);
            if known.judgement.as_ref().is_none_or(|judgement| !judgement.verdict.silences()) {
                self.suspects.extend(suspect.map(|suspect| (suspect, at)));
                if is_worse {
                    let moved = self.incidents.join(known, at, &mut self.news);
                    let (incident, finding) = (known.incident, Box::new(known.clone()));
                    self.news.push((at, Change::FindingRaised { finding }));
                    self.move_to(incident, moved);
                } else {
                    self.incidents.renew(known);
                }
            }
            return;
        }
        self.make_room();
        let party = |host: Host| Party { device: inventory.glance(&host).map(|known| known.id), host };
        let judgement = self.ruling(rule.id, &alarm.actor, alarm.victim.as_ref()).or_else(|| {
            let covers =
                |expected: &&Expected| expected.covers(rule.id, &alarm.actor, alarm.victim.as_ref(), at);
            expected.iter().find(covers).map(|expected| Judgement {
                verdict: Verdict::Expected,
                scope: Scope::Finding,
                reason: expected.reason.as_str().into(),
            })
        });
        self.changed.insert(id);
        let mut finding = Finding {
            id,
            detector: rule.id.into(),
            severity,
            title: rule.title.into(),
            summary: summary().into(),
            actor: party(alarm.actor),
            victim: alarm.victim.map(party),
            matter: alarm.matter.into(),
            first: since,
            raised: at,
            last: ended.max(since),
            count: 1,
            crossed,
            factors: alarm.factors,
            conversations: Vec::new(),
            evidence: Slice::Open,
            incident: None,
            judgement,
        };
        show(&mut finding, alarm.flows.iter().copied().chain(alarm.flow));
        if finding.judgement.is_none() {
            self.suspects.extend(suspect.map(|suspect| (suspect, at)));
            // By whichever of its addresses the device is met.
            let device = finding.actor.device.filter(|_| is_suspicious).and_then(|id| inventory.device(id));
            if let Some(device) = device.filter(|device| device.addresses.len() <= FEW_ADDRESSES) {
                self.suspects.extend(device.addresses.iter().map(|used| (Addr::of_ip(used.ip), at)));
            }
            let moved = self.incidents.join(&mut finding, at, &mut self.news);
            let news = Change::FindingRaised { finding: Box::new(finding.clone()) };
            self.news.push((at, news));
            self.move_to(finding.incident, moved);
        }
        self.findings.insert(id, finding);
    }

    /// Findings turned out to be parts of another incident.
    fn move_to(&mut self, incident: Option<IncidentId>, moved: Vec<FindingId>) {
        for id in moved {
            if let Some(finding) = self.findings.get_mut(&id) {
                finding.incident = incident;
                self.changed.insert(id);
            }
        }
    }

    /// The verdict that holds for whatever a detector finds of these two, the latest first.
    fn ruling(&self, detector: &str, actor: &Host, victim: Option<&Host>) -> Option<Judgement> {
        let mut rulings = self.rulings.iter().rev();
        let ruling = rulings.find(|ruling| ruling.holds_for(detector, actor, victim))?;
        Some(ruling.judgement.clone()).filter(|judgement| judgement.verdict.silences())
    }

    /// Gives the findings up that were seen longest ago, a sixteenth of all, when there are too many. Those that
    /// are still to be kept stay until they were.
    fn make_room(&mut self) {
        if self.findings.len() < MAX_FINDINGS {
            return;
        }
        let mut old: Vec<_> = self.findings.values().map(|finding| (finding.last, finding.id)).collect();
        old.sort_unstable();
        if let Some((now, _)) = old.last() {
            self.suspects.retain(|_, last| is_open(*last, *now));
        }
        for (_, id) in old.into_iter().take(MAX_FINDINGS / 16) {
            self.findings.remove(&id);
            self.changed.remove(&id);
            self.renewed.remove(&id);
            self.shed += 1;
        }
    }

    /// Whether an open finding says that a host does something bad.
    pub(crate) fn is_suspect(&self, host: &Host, now: Timestamp) -> bool {
        !self.suspects.is_empty()
            && Addr::of(host)
                .and_then(|addr| self.suspects.get(&addr))
                .is_some_and(|last| is_open(*last, now))
    }

    pub(crate) fn tell(&mut self, events: &mut Vec<Event>) {
        events.extend(self.news.drain(..).map(|(at, change)| {
            let device = match &change {
                Change::FindingRaised { finding } => {
                    finding.victim.and_then(|victim| victim.device).or(finding.actor.device)
                }
                _ => None,
            };
            Event { at, device, change }
        }));
    }

    pub(crate) fn restore(&mut self, finding: Finding) {
        if let Some(judgement) = finding.judgement.as_ref().filter(|known| known.scope != Scope::Finding) {
            self.rule(Ruling::of(&finding, judgement));
        }
        let is_suspicious = finding.severity >= Severity::Medium
            && !LEARNING.contains(&&*finding.detector)
            && finding.judgement.as_ref().is_none_or(|judgement| !judgement.verdict.silences());
        if let Some(actor) = Addr::of(&finding.actor.host).filter(|_| is_suspicious) {
            let last = self.suspects.entry(actor).or_insert(finding.last);
            *last = finding.last.max(*last);
        }
        self.make_room();
        self.incidents.know(&finding);
        self.findings.insert(finding.id, finding);
    }

    pub(crate) fn restore_incident(&mut self, incident: Incident) {
        self.incidents.restore(incident);
    }

    fn rule(&mut self, ruling: Ruling) {
        if self.rulings.len() >= MAX_RULINGS {
            self.rulings.remove(0);
        }
        self.rulings.push(ruling);
    }

    pub(crate) fn judge(&mut self, id: FindingId, judgement: Option<Judgement>) -> bool {
        let Some(finding) = self.findings.get_mut(&id) else { return false };
        finding.judgement.clone_from(&judgement);
        self.changed.insert(id);
        let ruling = judgement
            .filter(|judgement| judgement.scope != Scope::Finding)
            .map(|judgement| Ruling::of(finding, &judgement));
        let actor = Addr::of(&finding.actor.host);
        self.rulings.retain(|ruling| ruling.finding != id);
        if let Some(ruling) = ruling {
            self.rule(ruling);
        }
        let still_open = |other: &Finding| {
            other.severity >= Severity::Medium
                && Addr::of(&other.actor.host) == actor
                && other.judgement.as_ref().is_none_or(|judgement| !judgement.verdict.silences())
        };
        if let Some(actor) = actor.filter(|_| !self.findings.values().any(still_open)) {
            self.suspects.remove(&actor);
        }
        true
    }

    pub(crate) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.values()
    }

    /// What speaks against a host: of the findings of medium severity or worse within [`QUIET_HOURS`] in which it
    /// had part, the strongest and of these the latest. Weaknesses are no acts, and what was weighed with such
    /// findings itself does not count.
    pub(crate) fn suspicion(
        &self,
        host: &Host,
        device: Option<DeviceId>,
        now: Timestamp,
    ) -> Option<Suspicion> {
        let addr = Addr::of(host)?;
        // Who asks for addresses is known by its link-layer address alone.
        let is = |party: &Party| {
            Addr::of(&party.host) == Some(addr) || party.device.is_some() && party.device == device
        };
        let is_weighed = |crossed: &Crossed| crossed.threshold.ends_with(SUSPICION);
        self.findings
            .values()
            .filter(|finding| finding.severity >= Severity::Medium)
            .filter(|finding| now.since(finding.last).as_secs() < QUIET_HOURS * 3600)
            .filter(|finding| finding.judgement.as_ref().is_none_or(|said| !said.verdict.silences()))
            .filter(|finding| !finding.crossed.as_ref().is_some_and(is_weighed))
            .filter_map(|finding| {
                let (did, high) = (is(&finding.actor), finding.severity >= Severity::High);
                let suffered = high && finding.victim.is_some_and(|victim| is(&victim));
                let rule = DETECTORS.iter().find(|rule| (did || suffered) && rule.id == finding.detector)?;
                if rule.listens.contains(&Kind::Weakness) {
                    return None;
                }
                let looks_around = rule
                    .attack
                    .iter()
                    .filter_map(|id| technique(id))
                    .any(|technique| technique.tactic == Tactic::Discovery);
                let is_strong = high || looks_around;
                let suspicion = Suspicion { title: finding.title.clone(), did, is_strong };
                Some(((is_strong, finding.last, finding.id), suspicion))
            })
            .max_by_key(|(order, _)| *order)
            .map(|(_, suspicion)| suspicion)
    }

    pub(crate) fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.all()
    }

    pub(crate) fn finding_mut(&mut self, id: FindingId) -> Option<&mut Finding> {
        let finding = self.findings.get_mut(&id);
        if finding.is_some() {
            self.changed.insert(id);
        }
        finding
    }

    pub(crate) fn drain_changed(&mut self, renewed: bool, inventory: &Inventory) -> Changed {
        let mut changed = std::mem::take(&mut self.changed);
        if renewed {
            changed.append(&mut self.renewed);
        }
        let findings = changed.iter().filter_map(|id| self.findings.get(id).cloned()).collect();
        let (incidents, gone) = self.incidents.drain_changed(renewed, inventory);
        Changed { findings, incidents, gone }
    }

    pub(crate) fn drain_shed(&mut self, mut each: impl FnMut(Shed)) {
        for (limit, count) in [
            ("detect.findings", std::mem::take(&mut self.shed)),
            ("detect.incidents", self.incidents.take_shed()),
        ] {
            if count > 0 {
                each(Shed { limit: limit.into(), count, packets: 0, bytes: 0 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Verdict;

    use super::*;
    use crate::detectors::DETECTORS;

    fn raised(actor: Host, at: Timestamp, is_anomaly: bool) -> Raised<'static> {
        let alarm = Alarm::about(actor).severity(Severity::Medium);
        let alarm = if is_anomaly { alarm.anomaly() } else { alarm };
        Raised { rule: DETECTORS[0], at, lasted: (at, at), alarm, crossed: None }
    }

    #[test]
    fn who_does_something_bad_is_suspected_until_that_is_judged_or_long_ago() {
        let inventory = Inventory::new(inventory::Limits::default());
        let mut ledger = Ledger::default();
        let host = |last| Host::from_ip([10, 0, 0, last].into());
        let at = |hours| Timestamp::from_secs(1_772_438_400 + hours * 3600);
        ledger.raise(raised(host(1), at(0), false), &[], &inventory, String::new);
        ledger.raise(raised(host(2), at(0), true), &[], &inventory, String::new);
        assert!(ledger.is_suspect(&host(1), at(1)));
        assert!(!ledger.is_suspect(&host(2), at(1)), "who is only unusual");
        assert!(!ledger.is_suspect(&host(1), at(QUIET_HOURS)), "long ago");
        ledger.raise(raised(host(1), at(QUIET_HOURS), false), &[], &inventory, String::new);
        assert!(ledger.is_suspect(&host(1), at(QUIET_HOURS + 1)), "seen again");
        let mut restored = Ledger::default();
        ledger.findings().cloned().for_each(|finding| restored.restore(finding));
        assert!(restored.is_suspect(&host(1), at(QUIET_HOURS + 1)), "after a restart");
        let id = ledger.findings().find(|finding| finding.actor.host == host(1)).map(|finding| finding.id);
        let judgement = Judgement { verdict: Verdict::Expected, scope: Scope::Finding, reason: "".into() };
        assert!(ledger.judge(id.unwrap(), Some(judgement)));
        assert!(!ledger.is_suspect(&host(1), at(QUIET_HOURS + 1)), "meant to be");
        ledger.raise(raised(host(1), at(QUIET_HOURS), false), &[], &inventory, String::new);
        assert!(!ledger.is_suspect(&host(1), at(QUIET_HOURS + 1)), "still meant to be");
    }
}
