//! What was found: each thing once, counted up when it is seen again.

use std::collections::{BTreeMap, BTreeSet};

use inventory::Inventory;
use model::{
    About, Change, Crossed, DeviceId, Event, Finding, FindingId, FlowId, Host, Incident, IncidentId,
    Judgement, Party, Scope, Severity, Shed, Slice, Timestamp, Verdict,
};

use crate::attack::{Tactic, technique};
use crate::culprits::{Culprits, is_attack, is_theft};
use crate::detectors::{DETECTORS, LEARNING, STORIES, WEIGHED};
use crate::hosts::Addr;
use crate::incident::{Incidents, QUIET_HOURS, is_open};
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
    /// The threshold that was crossed.
    pub(crate) crossed: Option<Crossed>,
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

/// A verdict that holds for more than one finding, or that keeps something from being learnt.
#[derive(Debug)]
struct Ruling {
    finding: FindingId,
    detector: String,
    actor: Host,
    victim: Option<Host>,
    judgement: Judgement,
}

impl Ruling {
    /// What somebody has said of a finding, if it must be remembered apart from that.
    fn of(finding: &Finding, judgement: &Judgement) -> Option<Self> {
        let is_own = judgement.by.is_none();
        let outlasts = judgement.scope != Scope::Finding || condemns(&finding.detector, judgement);
        (is_own && outlasts).then(|| Self {
            finding: finding.id,
            detector: finding.detector.clone().into_owned(),
            actor: finding.actor.host,
            victim: finding.victim.map(|victim| victim.host),
            judgement: judgement.clone(),
        })
    }

    fn holds_for(&self, about: About<'_>) -> bool {
        self.judgement.scope.covers((&self.detector, &self.actor, self.victim.as_ref()), about)
    }

    /// What it says of another finding.
    fn said(&self) -> Judgement {
        Judgement { by: Some(self.finding), ..self.judgement.clone() }
    }
}

/// Whether a verdict says that what somebody does, though it was only unusual, is not to become usual.
fn condemns(detector: &str, judgement: &Judgement) -> bool {
    judgement.verdict == Verdict::True && LEARNING.contains(&detector)
}

/// What the settings say of a finding.
fn declared(expected: &Expected) -> Judgement {
    let reason = expected.reason.as_str().into();
    Judgement { verdict: Verdict::Expected, scope: Scope::Finding, reason, by: None, declared: true }
}

/// Of whom nothing is to be learnt, because of what was said of a finding.
fn condemned(finding: &Finding) -> Option<Addr> {
    let is_condemned = finding.judgement.as_ref().is_some_and(|said| condemns(&finding.detector, said));
    Addr::of(&finding.actor.host).filter(|_| is_condemned)
}

/// Whether a finding says that its actor does something bad.
fn accuses(finding: &Finding) -> bool {
    finding.severity >= Severity::Medium
        && ![LEARNING, STORIES, WEIGHED].iter().any(|others| others.contains(&&*finding.detector))
        && !finding.is_silenced()
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
    /// Who did what an analyst has said is not to become usual: nothing is learnt of them until that is taken back.
    condemned: BTreeSet<Addr>,
    culprits: Culprits,
    /// Findings that say of their actors, for the first time, that they attack or steal: detectors are still to hear
    /// of them.
    grave: Vec<FindingId>,
    /// Who was said to do something bad by what is looked at.
    told: Vec<Addr>,
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
        expected: Option<&Expected>,
        inventory: &Inventory,
        summary: impl FnOnce() -> String,
    ) {
        let Raised { rule, at, lasted: (began, ended), alarm, crossed } = raised;
        let since = alarm.since.map_or(began, |since| since.min(at));
        let severity = alarm.severity.unwrap_or(rule.severity);
        let id = id(rule.id, &alarm.actor, alarm.victim.as_ref(), alarm.matter);
        let is_story = alarm.part_of.is_some();
        let is_suspicious =
            severity >= Severity::Medium && !alarm.is_anomaly && !is_story && !WEIGHED.contains(&rule.id);
        let so_far = self.findings.get(&id).map_or(severity, |known| known.severity.max(severity));
        if so_far >= Severity::Medium && !is_story {
            self.told.extend(Addr::of(&alarm.actor));
        }
        let within = alarm.part_of.and_then(|id| self.findings.get(&id)).and_then(|whole| whole.incident);
        let suspect = Addr::of(&alarm.actor).filter(|_| is_suspicious);
        if let Some(cause) = alarm.part_of {
            self.rest_on(&[id], cause);
        }
        let is_reopened = self.declare(id, expected);
        if let Some(known) = self.findings.get_mut(&id) {
            known.first = known.first.min(since);
            known.last = known.last.max(alarm.until.unwrap_or(ended).min(at));
            known.count = known.count.saturating_add(alarm.times);
            show(known, alarm.flows.iter().copied().chain(alarm.flow));
            let seen = |crossed: &Option<Crossed>| crossed.as_ref().map_or(0.0, |crossed| crossed.seen);
            let is_worse = severity > known.severity || is_reopened;
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
            if !known.is_silenced() {
                self.suspects.extend(suspect.map(|suspect| (suspect, at)));
                self.culprits.take(known);
                if is_worse {
                    if is_attack(known) {
                        self.grave.push(id);
                    }
                    let moved = self.incidents.join(known, within, at, &mut self.news);
                    let (incident, finding) = (known.incident, Box::new(known.clone()));
                    let is_attack = is_attack(known);
                    self.news.push((at, Change::FindingRaised { finding }));
                    self.move_to(incident, moved);
                    if is_attack {
                        self.support(id);
                    }
                } else {
                    self.incidents.renew(known);
                }
            }
            return;
        }
        self.make_room();
        let party = |host: Host| Party { device: inventory.glance(&host).map(|known| known.id), host };
        let about = (rule.id, &alarm.actor, alarm.victim.as_ref());
        let judgement = self.ruling(about).or_else(|| expected.map(declared));
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
            last: alarm.until.unwrap_or(ended).min(at).max(since),
            count: alarm.times,
            crossed,
            factors: alarm.factors,
            conversations: Vec::new(),
            evidence: Slice::Open,
            incident: None,
            because: self.causes(alarm.part_of, at),
            judgement,
        };
        show(&mut finding, alarm.flows.iter().copied().chain(alarm.flow));
        self.condemned.extend(condemned(&finding));
        if !finding.is_silenced() {
            self.suspects.extend(suspect.map(|suspect| (suspect, at)));
            // By whichever of its addresses the device is met.
            let device = finding.actor.device.filter(|_| is_suspicious).and_then(|id| inventory.device(id));
            if let Some(device) = device.filter(|device| device.addresses.len() <= FEW_ADDRESSES) {
                self.suspects.extend(device.addresses.iter().map(|used| (Addr::of_ip(used.ip), at)));
            }
            self.culprits.take(&finding);
            if is_attack(&finding) || is_theft(&finding) {
                self.grave.push(id);
            }
            let moved = self.incidents.join(&mut finding, within, at, &mut self.news);
            let news = Change::FindingRaised { finding: Box::new(finding.clone()) };
            self.news.push((at, news));
            self.move_to(finding.incident, moved);
        }
        self.findings.insert(id, finding);
        self.support(id);
    }

    /// Of a finding that is known, the settings hold that are there now. Whether it is open again.
    fn declare(&mut self, id: FindingId, expected: Option<&Expected>) -> bool {
        let Some(known) = self.findings.get(&id) else { return false };
        let was_declared = known.judgement.as_ref().is_some_and(|said| said.declared);
        let judgement = match expected {
            Some(expected) if known.judgement.is_none() => Some(declared(expected)),
            None if was_declared => self.ruling(known.about()),
            _ => return false,
        };
        let (was_silenced, addr) = (known.is_silenced(), Addr::of(&known.actor.host));
        let Some(known) = self.findings.get_mut(&id) else { return false };
        known.judgement = judgement;
        let is_reopened = was_silenced && !known.is_silenced();
        self.changed.insert(id);
        self.weigh_again(&addr.into_iter().collect());
        addr.into_iter().for_each(|addr| self.culprits.judge(addr, self.findings.values()));
        self.settle_those_that_rest_on(&[id]);
        is_reopened
    }

    /// The findings because of which a part of a story is told: the one that it names, and whatever else says of the same
    /// host that it attacks or steals, and is not over.
    fn causes(&self, named: Option<FindingId>, now: Timestamp) -> Vec<FindingId> {
        let Some(cause) = named.and_then(|id| self.findings.get(&id)) else {
            return named.into_iter().collect();
        };
        let actor = Addr::of(&cause.actor.host);
        let is_another = |other: &&Finding| {
            other.id != cause.id
                && Addr::of(&other.actor.host) == actor
                && (is_attack(other) || is_theft(other))
                && is_open(other.last, now)
        };
        let mut others: Vec<_> =
            self.findings.values().filter(is_another).map(|other| (other.raised, other.id)).collect();
        others.sort_unstable();
        let others = others.into_iter().map(|(_, id)| id);
        [cause.id].into_iter().chain(others).take(Finding::MAX_CAUSES).collect()
    }

    /// If a finding says that its actor attacks or steals, what was told because of others that say so, and
    /// is not over, rests on it, too.
    fn support(&mut self, id: FindingId) {
        let Some(finding) = self.findings.get(&id).filter(|finding| is_attack(finding) || is_theft(finding))
        else {
            return;
        };
        let actor = Addr::of(&finding.actor.host);
        let is_of_actor = |cause: &FindingId| {
            self.findings.get(cause).is_some_and(|cause| Addr::of(&cause.actor.host) == actor)
        };
        let rests =
            |story: &&Finding| is_open(story.last, finding.last) && story.because.iter().any(is_of_actor);
        let stories: Vec<_> = self.findings.values().filter(rests).map(|story| story.id).collect();
        self.rest_on(&stories, id);
    }

    /// Some findings are told because of another one, if there is room to name it.
    fn rest_on(&mut self, stories: &[FindingId], cause: FindingId) {
        for id in stories {
            if let Some(story) = self.findings.get_mut(id)
                && story.because.len() < Finding::MAX_CAUSES
                && !story.because.contains(&cause)
            {
                story.because.push(cause);
                self.changed.insert(*id);
                self.settle(*id);
            }
        }
    }

    /// Verdicts on some findings, in order, have changed.
    fn settle_those_that_rest_on(&mut self, ids: &[FindingId]) {
        let rests = |story: &&Finding| {
            story.because.iter().chain([&story.id]).any(|id| ids.binary_search(id).is_ok())
        };
        let stories: Vec<_> = self.findings.values().filter(rests).map(|story| story.id).collect();
        stories.into_iter().for_each(|id| self.settle(id));
    }

    /// What follows for a part of a story from verdicts on others, if nobody has said anything of it itself.
    fn settle(&mut self, id: FindingId) {
        let Some(story) = self.findings.get(&id) else { return };
        let is_own = story.judgement.as_ref().is_some_and(|said| said.by.is_none());
        if story.because.is_empty() || is_own {
            return;
        }
        let said = |cause| self.findings.get(&cause).and_then(|cause: &Finding| cause.judgement.as_ref());
        let judgement = self.ruling(story.about()).or_else(|| story.withdrawn(said));
        if judgement != story.judgement
            && let Some(story) = self.findings.get_mut(&id)
        {
            story.judgement = judgement;
            self.changed.insert(id);
        }
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
    fn ruling(&self, about: About<'_>) -> Option<Judgement> {
        let mut rulings = self.rulings.iter().rev();
        rulings.find(|ruling| ruling.holds_for(about)).map(Ruling::said)
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

    /// Whether an open finding says that a host does something bad, or an analyst that what is unusual about it is.
    pub(crate) fn is_suspect(&self, host: &Host, now: Timestamp) -> bool {
        if self.suspects.is_empty() && self.condemned.is_empty() {
            return false;
        }
        Addr::of(host).is_some_and(|addr| {
            self.condemned.contains(&addr) || self.suspects.get(&addr).is_some_and(|last| is_open(*last, now))
        })
    }

    /// What speaks against a host that was found to attack.
    pub(crate) const fn culprits(&self) -> &Culprits {
        &self.culprits
    }

    /// Something else is looked at now.
    pub(crate) fn turn_to_next(&mut self) {
        self.told.clear();
    }

    /// Whether what is looked at was said to be bad of a host already.
    pub(crate) fn is_told(&self, host: &Host) -> bool {
        Addr::of(host).is_some_and(|addr| self.told.contains(&addr))
    }

    /// Whether an open finding of medium severity or worse, and no story's part, names both.
    pub(crate) fn names_both(&self, one: &Host, other: &Host) -> bool {
        let pair = [Addr::of(one), Addr::of(other)];
        self.findings.values().any(|finding| {
            let named =
                [Addr::of(&finding.actor.host), finding.victim.and_then(|party| Addr::of(&party.host))];
            finding.severity >= Severity::Medium
                && pair.iter().all(|addr| addr.is_some() && named.contains(addr))
                && !STORIES.contains(&&*finding.detector)
                && !finding.is_silenced()
        })
    }

    /// Whether a finding is held of which was said that it is expected or false.
    pub(crate) fn is_silenced(
        &self,
        detector: &str,
        actor: &Host,
        victim: Option<&Host>,
        matter: &str,
    ) -> bool {
        self.findings.get(&id(detector, actor, victim, matter)).is_some_and(Finding::is_silenced)
    }

    /// Takes out the next finding of which detectors are still to hear.
    pub(crate) fn next_grave(&mut self) -> Option<Finding> {
        while let Some(id) = self.grave.pop() {
            if let Some(finding) = self.findings.get(&id) {
                return Some(finding.clone());
            }
        }
        None
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
        if let Some(ruling) = finding.judgement.as_ref().and_then(|said| Ruling::of(&finding, said)) {
            self.rule(ruling);
        }
        self.condemned.extend(condemned(&finding));
        self.suspect(&finding);
        self.culprits.take(&finding);
        self.make_room();
        self.incidents.know(&finding);
        self.findings.insert(finding.id, finding);
    }

    /// Suspects the actor of a finding that says that it does something bad.
    fn suspect(&mut self, finding: &Finding) {
        if let Some(actor) = Addr::of(&finding.actor.host).filter(|_| accuses(finding)) {
            let last = self.suspects.entry(actor).or_insert(finding.last);
            *last = finding.last.max(*last);
        }
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

    /// Takes a verdict, or takes one back: what it says, and what it said until now, of all findings that are held.
    pub(crate) fn judge(&mut self, id: FindingId, judgement: Option<Judgement>) -> bool {
        let Some(finding) = self.findings.get(&id) else { return false };
        let ruling = judgement.as_ref().and_then(|judgement| Ruling::of(finding, judgement));
        self.rulings.retain(|ruling| ruling.finding != id);
        self.changed.insert(id);
        let mut touched = BTreeMap::from([(id, judgement)]);
        if let Some(ruling) = ruling {
            let newly = |other: &&Finding| other.judgement.is_none() && ruling.holds_for(other.about());
            let covered = self.findings.values().filter(newly).map(|other| (other.id, Some(ruling.said())));
            touched = covered.chain(touched).collect();
            self.rule(ruling);
        }
        let followed = |other: &&Finding| other.judgement.as_ref().is_some_and(|said| said.by == Some(id));
        for other in self.findings.values().filter(followed) {
            touched.entry(other.id).or_insert_with(|| self.ruling(other.about()));
        }
        let mut actors = BTreeSet::new();
        let ids: Vec<_> = touched.keys().copied().collect();
        for (id, judgement) in touched {
            if let Some(finding) = self.findings.get_mut(&id) {
                finding.judgement = judgement;
                actors.extend(Addr::of(&finding.actor.host));
                self.changed.insert(id);
            }
        }
        self.settle_those_that_rest_on(&ids);
        ids.into_iter().for_each(|id| self.support(id));
        self.weigh_again(&actors);
        for actor in actors {
            self.culprits.judge(actor, self.findings.values());
        }
        true
    }

    /// Verdicts have changed: whom to suspect follows from what is held.
    fn weigh_again(&mut self, actors: &BTreeSet<Addr>) {
        self.suspects.retain(|actor, _| !actors.contains(actor));
        let findings = std::mem::take(&mut self.findings);
        let is_theirs =
            |finding: &&Finding| Addr::of(&finding.actor.host).is_some_and(|actor| actors.contains(&actor));
        findings.values().filter(is_theirs).for_each(|finding| self.suspect(finding));
        let rulings = self.rulings.iter().filter(|ruling| condemns(&ruling.detector, &ruling.judgement));
        let named = rulings.filter_map(|ruling| Addr::of(&ruling.actor));
        self.condemned = findings.values().filter_map(condemned).chain(named).collect();
        self.findings = findings;
    }

    pub(crate) fn finding(&self, id: FindingId) -> Option<&Finding> {
        self.findings.get(&id)
    }

    pub(crate) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.values()
    }

    /// What speaks against a host: of the findings of medium severity or worse within [`QUIET_HOURS`] in which it
    /// had part, the strongest and of these the latest. Weaknesses are no acts, and what was weighed with such
    /// findings, or told because of one, does not count itself.
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
            .filter(|finding| !finding.is_silenced())
            .filter(|finding| !finding.crossed.as_ref().is_some_and(is_weighed))
            .filter(|finding| ![STORIES, WEIGHED].iter().any(|others| others.contains(&&*finding.detector)))
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
    use crate::testing::{Story, answered};

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
        ledger.raise(raised(host(1), at(0), false), None, &inventory, String::new);
        ledger.raise(raised(host(2), at(0), true), None, &inventory, String::new);
        assert!(ledger.is_suspect(&host(1), at(1)));
        assert!(!ledger.is_suspect(&host(2), at(1)), "who is only unusual");
        assert!(!ledger.is_suspect(&host(1), at(QUIET_HOURS)), "long ago");
        ledger.raise(raised(host(1), at(QUIET_HOURS), false), None, &inventory, String::new);
        assert!(ledger.is_suspect(&host(1), at(QUIET_HOURS + 1)), "seen again");
        let mut restored = Ledger::default();
        ledger.findings().cloned().for_each(|finding| restored.restore(finding));
        assert!(restored.is_suspect(&host(1), at(QUIET_HOURS + 1)), "after a restart");
        let id = ledger.findings().find(|finding| finding.actor.host == host(1)).map(|finding| finding.id);
        let judgement = Judgement {
            verdict: Verdict::Expected,
            scope: Scope::Finding,
            reason: "".into(),
            by: None,
            declared: false,
        };
        assert!(ledger.judge(id.unwrap(), Some(judgement)));
        assert!(!ledger.is_suspect(&host(1), at(QUIET_HOURS + 1)), "meant to be");
        ledger.raise(raised(host(1), at(QUIET_HOURS), false), None, &inventory, String::new);
        assert!(!ledger.is_suspect(&host(1), at(QUIET_HOURS + 1)), "still meant to be");
    }

    fn say(verdict: Verdict, scope: Scope) -> Option<Judgement> {
        Some(Judgement { verdict, scope, reason: "".into(), by: None, declared: false })
    }

    #[test]
    fn what_an_analyst_confirms_as_bad_is_not_learnt_until_that_is_taken_back() {
        let inventory = Inventory::new(inventory::Limits::default());
        let mut ledger = Ledger::default();
        let (intruder, other) = (Host::from_ip([10, 0, 0, 1].into()), Host::from_ip([10, 0, 0, 2].into()));
        let at = |hours| Timestamp::from_secs(1_772_438_400 + hours * 3600);
        let rule = DETECTORS.iter().find(|rule| rule.id == "new-peer").unwrap();
        let new_peer = |actor: Host, at| Raised { rule, ..raised(actor, at, true) };
        ledger.raise(new_peer(intruder, at(0)), None, &inventory, String::new);
        assert!(!ledger.is_suspect(&intruder, at(1)));
        let id = ledger.findings().next().unwrap().id;
        assert!(ledger.judge(id, say(Verdict::True, Scope::Finding)));
        assert!(ledger.is_suspect(&intruder, at(10 * QUIET_HOURS)), "however long ago");
        let mut restored = Ledger::default();
        ledger.findings().cloned().for_each(|finding| restored.restore(finding));
        assert!(restored.is_suspect(&intruder, at(10 * QUIET_HOURS)), "after a restart");
        for ledger in [&mut ledger, &mut restored] {
            assert!(ledger.judge(id, say(Verdict::True, Scope::Detector)));
            ledger.raise(new_peer(other, at(1)), None, &inventory, String::new);
            assert!(ledger.is_suspect(&other, at(1)), "whatever the detector finds");
            assert!(ledger.judge(id, None));
            assert!(!ledger.is_suspect(&intruder, at(1)) && !ledger.is_suspect(&other, at(1)));
        }
    }

    #[test]
    fn a_verdict_lifts_all_that_its_scope_covers_and_taking_it_back_restores_all() {
        let inventory = Inventory::new(inventory::Limits::default());
        let mut ledger = Ledger::default();
        let host = Host::from_ip([10, 0, 0, 1].into());
        let at = |minutes: u64| Timestamp::from_secs(1_772_438_400 + minutes * 60);
        let matter = |matter, minute| {
            let raised = raised(host, at(minute), false);
            Raised { alarm: raised.alarm.matter(matter), ..raised }
        };
        for (name, minute) in [("a", 0), ("b", 1)] {
            ledger.raise(matter(name, minute), None, &inventory, String::new);
        }
        let id = ledger.findings().find(|finding| &*finding.matter == "a").unwrap().id;
        assert!(ledger.judge(id, say(Verdict::Expected, Scope::Actor)));
        ledger.raise(matter("c", 2), None, &inventory, String::new);
        let silenced = |ledger: &Ledger| ledger.findings().filter(|finding| finding.is_silenced()).count();
        assert_eq!((silenced(&ledger), ledger.is_suspect(&host, at(3))), (3, false));
        // What follows from a verdict is no verdict of its own, also after a restart.
        let mut restored = Ledger::default();
        ledger.findings().cloned().for_each(|finding| restored.restore(finding));
        for ledger in [&mut ledger, &mut restored] {
            assert!(ledger.judge(id, None));
            assert_eq!((silenced(ledger), ledger.is_suspect(&host, at(3))), (0, true));
            ledger.raise(matter("d", 3), None, &inventory, String::new);
            assert_eq!(silenced(ledger), 0);
        }
    }

    /// An intruder comes to one controller, and then for hours to another one, whose peers are still being learnt.
    /// The victims of whatever new peers are found then.
    fn intrusion(verdict: Option<Judgement>) -> Vec<String> {
        let rule = DETECTORS.iter().find(|rule| rule.id == "new-peer").unwrap();
        let ask = |story: Story, client, server| story.flow(answered(client, server, 502, "modbus"));
        let mut story = ["10.0.0.5", "10.0.0.6", "10.0.0.8", "10.0.0.9", "10.0.0.77"]
            .into_iter()
            .fold(Story::of(rule), Story::with_host)
            .plays("10.0.0.8", model::Role::Plc)
            .plays("10.0.0.9", model::Role::Plc);
        for _ in 0..400 {
            story = ask(story.wait(60), "10.0.0.5", "10.0.0.9");
        }
        story = ask(story, "10.0.0.77", "10.0.0.9");
        let finding = story.only();
        story.detect().judge(finding.id, verdict);
        for _ in 0..600 {
            story = ask(ask(story.wait(60), "10.0.0.6", "10.0.0.8"), "10.0.0.77", "10.0.0.8");
        }
        let findings = story.findings().into_iter().filter(|finding| !finding.is_silenced());
        findings.filter_map(|finding| finding.victim.map(|victim| victim.to_string())).collect()
    }

    #[test]
    fn an_intruder_who_was_confirmed_does_not_become_usual_and_one_who_is_expected_does() {
        assert_eq!(intrusion(None), ["10.0.0.9"], "learnt elsewhere while nobody says anything");
        assert_eq!(intrusion(say(Verdict::True, Scope::Finding)), ["10.0.0.9", "10.0.0.8"]);
        assert!(intrusion(say(Verdict::Expected, Scope::Finding)).is_empty());
    }

    #[test]
    fn what_is_told_because_of_a_finding_joins_its_incident_and_changes_nothing_else() {
        let inventory = Inventory::new(inventory::Limits::default());
        let mut ledger = Ledger::default();
        let host = |last| Host::from_ip([10, 0, 0, last].into());
        let at = |minutes: u64| Timestamp::from_secs(1_772_438_400 + minutes * 60);
        ledger.raise(raised(host(1), at(9), false), None, &inventory, String::new);
        ledger.raise(raised(host(2), at(9), false), None, &inventory, String::new);
        let id = |ledger: &Ledger, actor: Host| {
            ledger.findings().find(|finding| finding.actor.host == actor).map(|finding| finding.id)
        };
        let whole = id(&ledger, host(2)).unwrap();
        let before: Vec<_> =
            ledger.incidents().map(|one| (one.id, one.title.clone(), one.severity)).collect();
        let rule = DETECTORS.iter().find(|rule| rule.id == "lead-up").unwrap();
        let alarm = Alarm::about(host(3)).to(host(1)).part_of(whole).since(at(1)).until(at(2));
        ledger.raise(
            Raised { rule, at: at(9), lasted: (at(1), at(2)), alarm, crossed: None },
            None,
            &inventory,
            String::new,
        );
        let after: Vec<_> = ledger.incidents().map(|one| (one.id, one.title.clone(), one.severity)).collect();
        assert_eq!((before.len(), before), (2, after));
        let part = ledger.findings[&id(&ledger, host(3)).unwrap()].clone();
        assert_eq!(part.incident, ledger.findings[&whole].incident);
        assert_eq!((part.first, part.raised, part.last), (at(1), at(9), at(2)));
        assert!(!ledger.is_suspect(&host(3), at(10)) && ledger.suspicion(&host(3), None, at(10)).is_none());
        let mut restored = Ledger::default();
        restored.restore(part);
        assert!(!restored.is_suspect(&host(3), at(10)), "after a restart");
    }

    #[test]
    fn what_was_told_because_of_findings_falls_with_the_last_of_them_and_comes_back_with_any() {
        let inventory = Inventory::new(inventory::Limits::default());
        let mut ledger = Ledger::default();
        let host = |last| Host::from_ip([10, 0, 0, last].into());
        let at = |minutes: u64| Timestamp::from_secs(1_772_438_400 + minutes * 60);
        let rule = |id: &str| *DETECTORS.iter().find(|rule| rule.id == id).unwrap();
        let find = |ledger: &mut Ledger, detector, alarm, minute| {
            let raised = Raised {
                rule: rule(detector),
                at: at(minute),
                lasted: (at(minute), at(minute)),
                alarm,
                crossed: None,
            };
            ledger.raise(raised, None, &inventory, String::new);
        };
        let id = |ledger: &Ledger, detector: &str| {
            ledger.findings().find(|finding| finding.detector == detector).map(|finding| finding.id).unwrap()
        };
        let attack = |ledger: &mut Ledger, detector, minute| {
            find(ledger, detector, Alarm::about(host(1)).to(host(9)).severity(Severity::High), minute);
            id(ledger, detector)
        };
        let first = attack(&mut ledger, "controller-stop", 1);
        find(&mut ledger, "follow-up", Alarm::about(host(1)).to(host(8)).part_of(first), 2);
        let part = id(&ledger, "follow-up");
        let said = |ledger: &Ledger| ledger.findings[&part].judgement.clone();
        assert_eq!(ledger.findings[&part].because, [first]);
        ledger.judge(first, say(Verdict::False, Scope::Actor));
        let follows = Judgement { by: Some(first), ..say(Verdict::False, Scope::Finding).unwrap() };
        assert_eq!(said(&ledger), Some(follows.clone()));
        // Somebody else's attack changes nothing, another one of his does.
        find(
            &mut ledger,
            "controller-restart",
            Alarm::about(host(2)).to(host(9)).severity(Severity::High),
            3,
        );
        assert_eq!(said(&ledger), Some(follows));
        let second = attack(&mut ledger, "program-download", 4);
        assert_eq!((said(&ledger), ledger.findings[&part].because.as_slice()), (None, &[first, second][..]));
        let mut restored = Ledger::default();
        ledger.findings().cloned().for_each(|finding| restored.restore(finding));
        for ledger in [&mut ledger, &mut restored] {
            ledger.judge(second, say(Verdict::Expected, Scope::Finding));
            assert!(ledger.findings[&part].is_silenced());
            assert!(ledger.changed.contains(&part), "it is kept");
            ledger.judge(second, None);
            assert!(!ledger.findings[&part].is_silenced());
            ledger.judge(second, say(Verdict::Expected, Scope::Detector));
            assert!(ledger.findings[&part].is_silenced());
            ledger.judge(first, say(Verdict::True, Scope::Finding));
            assert!(!ledger.findings[&part].is_silenced());
            // Its own verdict goes before what follows from others, until it is taken back.
            ledger.judge(part, say(Verdict::True, Scope::Finding));
            ledger.judge(first, None);
            ledger.judge(first, say(Verdict::False, Scope::Finding));
            assert!(!ledger.findings[&part].is_silenced());
            ledger.judge(part, None);
            assert!(ledger.findings[&part].is_silenced());
        }
        // What was withdrawn long ago does not come back with another attack.
        let late = 60 * (QUIET_HOURS + 1);
        attack(&mut ledger, "firmware-update", late);
        assert!(ledger.findings[&part].is_silenced());
    }

    #[test]
    fn an_attack_that_is_judged_to_be_one_after_all_bears_what_was_told_because_of_others() {
        let inventory = Inventory::new(inventory::Limits::default());
        let mut ledger = Ledger::default();
        let at = |minutes: u64| Timestamp::from_secs(1_772_438_400 + minutes * 60);
        let host = Host::from_ip([10, 0, 0, 1].into());
        let find = |ledger: &mut Ledger, detector: &str, part_of: Option<FindingId>, minute| {
            let rule = *DETECTORS.iter().find(|rule| rule.id == detector).unwrap();
            let alarm = Alarm { part_of, ..Alarm::about(host).severity(Severity::High) };
            let raised =
                Raised { rule, at: at(minute), lasted: (at(minute), at(minute)), alarm, crossed: None };
            let expected = Expected { reason: "drill".into(), ..Expected::default() };
            let expected = (detector == "program-download").then_some(&expected);
            ledger.raise(raised, expected, &inventory, String::new);
            ledger.findings().find(|finding| finding.detector == detector).unwrap().id
        };
        let first = find(&mut ledger, "controller-stop", None, 0);
        let part = find(&mut ledger, "lead-up", Some(first), 0);
        let declared = find(&mut ledger, "program-download", None, 1);
        ledger.judge(first, say(Verdict::False, Scope::Finding));
        assert!(ledger.findings[&part].is_silenced());
        ledger.judge(declared, say(Verdict::True, Scope::Finding));
        assert!(!ledger.findings[&part].is_silenced());
    }

    #[test]
    fn what_settings_declare_holds_as_long_as_they_do() {
        let inventory = Inventory::new(inventory::Limits::default());
        let mut ledger = Ledger::default();
        let host = Host::from_ip([10, 0, 0, 1].into());
        let at = |minutes: u64| Timestamp::from_secs(1_772_438_400 + minutes * 60);
        let rule = *DETECTORS.iter().find(|rule| rule.id == "controller-stop").unwrap();
        let expected = Expected { reason: "maintenance".into(), ..Expected::default() };
        let stop = |ledger: &mut Ledger, minute, expected| {
            let alarm = Alarm::about(host).severity(Severity::High);
            let raised =
                Raised { rule, at: at(minute), lasted: (at(minute), at(minute)), alarm, crossed: None };
            ledger.raise(raised, expected, &inventory, String::new);
            let told = std::mem::take(&mut ledger.news);
            told.iter().any(|(_, change)| matches!(change, Change::FindingRaised { .. }))
        };
        let is_held_against = |ledger: &Ledger, minute| {
            [ledger.is_suspect(&host, at(minute)), ledger.culprits.get(&host, at(minute)).is_some()]
        };
        // It was found before anybody declared it, and again when nobody does any more, after a restart, too.
        assert!(stop(&mut ledger, 0, None));
        assert_eq!(is_held_against(&ledger, 0), [true; 2]);
        assert!(!stop(&mut ledger, 1, Some(&expected)));
        assert_eq!(is_held_against(&ledger, 1), [false; 2]);
        let finding = ledger.findings().next().unwrap().clone();
        assert!(
            finding.judgement.as_ref().is_some_and(|said| said.declared && &*said.reason == "maintenance")
        );
        let mut restored = Ledger::default();
        restored.restore(finding.clone());
        for ledger in [&mut ledger, &mut restored] {
            assert!(!stop(ledger, 2, Some(&expected)));
            assert!(stop(ledger, 3, None), "it is told anew");
            assert_eq!(is_held_against(ledger, 3), [true; 2]);
            // What somebody says holds whatever the settings say.
            ledger.judge(finding.id, say(Verdict::True, Scope::Finding));
            assert!(!stop(ledger, 4, Some(&expected)));
            assert_eq!(is_held_against(ledger, 4), [true; 2]);
        }
    }
}
