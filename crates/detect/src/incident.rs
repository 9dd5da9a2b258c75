//! Findings that belong together.

use std::collections::{BTreeMap, BTreeSet};

use inventory::Inventory;
use model::{
    Change, Device, Finding, FindingId, Host, Incident, IncidentId, Locality, NextStep, Party, Severity,
    Timestamp,
};

use crate::attack::{Tactic, technique};
use crate::detectors::{DETECTORS, STORIES};
use crate::hosts::Addr;
use crate::rule::Rule;

/// So many incidents are held; the one that was quiet for longest goes first.
pub const MAX_INCIDENTS: usize = 1024;
/// So many findings are named by an incident, and so many actors and victims.
pub const MAX_PARTS: usize = 256;
/// An incident that was quiet for so long is over: what follows is another, in hours.
pub const QUIET_HOURS: u64 = 72;
/// An incident that has gone through so many tactics is worse than its worst finding.
const STAGES_OF_AN_ATTACK: usize = 3;
/// So many next steps are told.
const NEXT_STEPS: usize = 5;
/// They are looked for from so many devices, and among so many peers of each.
const MAX_HELD: usize = 16;
const MAX_PEERS: usize = 64;

/// The incidents that are held.
#[derive(Default)]
pub(crate) struct Incidents {
    incidents: BTreeMap<IncidentId, Incident>,
    /// Tactics that were seen, by incident.
    tactics: BTreeMap<IncidentId, BTreeSet<Tactic>>,
    changed: BTreeSet<IncidentId>,
    /// Those of which a finding was only counted up.
    renewed: BTreeSet<IncidentId>,
    /// Those that turned out to be parts of others.
    gone: Vec<IncidentId>,
    shed: u64,
}

fn rule_of(finding: &Finding) -> Option<&'static Rule> {
    DETECTORS.iter().find(|rule| rule.id == finding.detector).copied()
}

/// Whether what was seen last then still counts now.
pub(crate) fn is_open(last: Timestamp, now: Timestamp) -> bool {
    now.since(last).as_secs() < QUIET_HOURS * 3600
}

/// Whether a finding was only told because of another: it adds to the story, not to how bad it is.
fn is_story(finding: &Finding) -> bool {
    STORIES.contains(&&*finding.detector)
}

fn tactics_of(finding: &Finding) -> impl Iterator<Item = Tactic> {
    let rule = rule_of(finding).filter(|_| !is_story(finding));
    let ids = rule.map_or(&[][..], |rule| rule.attack);
    ids.iter().filter_map(|id| technique(id)).map(|technique| technique.tactic)
}

fn is_same(one: &Party, other: &Party) -> bool {
    let addr = Addr::of(&one.host);
    one.device.is_some() && one.device == other.device || addr.is_some() && addr == Addr::of(&other.host)
}

fn has(parties: &[Party], party: &Party) -> bool {
    parties.iter().any(|known| is_same(known, party))
}

fn add(parties: &mut Vec<Party>, party: &Party) {
    if parties.len() < MAX_PARTS && !has(parties, party) {
        parties.push(*party);
    }
}

/// Whether a finding belongs to an incident: its actor attacks there already or was attacked (the chain goes on), or
/// somebody else does something bad to one who was attacked.
fn concerns(incident: &Incident, finding: &Finding) -> bool {
    let is_victim_known = |parties: &[Party]| finding.victim.is_some_and(|victim| has(parties, &victim));
    has(&incident.actors, &finding.actor)
        || has(&incident.victims, &finding.actor)
        || is_victim_known(&incident.actors)
        || finding.severity >= Severity::High && is_victim_known(&incident.victims)
}

impl Incidents {
    /// Takes note that a finding was seen again.
    pub(crate) fn renew(&mut self, finding: &Finding) {
        if let Some(incident) = finding.incident.and_then(|id| self.incidents.get_mut(&id)) {
            incident.last = incident.last.max(finding.last);
            self.renewed.insert(incident.id);
        }
    }

    /// Puts a finding that is new, or worse than it was, where it belongs; the findings that moved to the same
    /// incident because it ties theirs together with another. Weaknesses and trifles join what is there, but are no
    /// incident by themselves. What is told because of a finding `within` an incident joins that one, and ties nothing.
    pub(crate) fn join(
        &mut self,
        finding: &mut Finding,
        within: Option<IncidentId>,
        at: Timestamp,
        news: &mut Vec<(Timestamp, Change)>,
    ) -> Vec<FindingId> {
        let mut moved = Vec::new();
        if finding.severity < Severity::Low {
            return moved;
        }
        let is_concerned = |incident: &&Incident| match within {
            Some(id) => incident.id == id,
            None => is_open(incident.last, at) && concerns(incident, finding),
        };
        let mut concerned: Vec<IncidentId> =
            self.incidents.values().filter(is_concerned).map(|incident| incident.id).collect();
        concerned.sort_by_key(|id| self.incidents.get(id).map(|incident| (incident.first, *id)));
        let id = match concerned.split_first() {
            Some((first, others)) => {
                for other in others {
                    moved.extend(self.merge(*first, *other));
                }
                *first
            }
            None if finding.severity < Severity::Medium => return moved,
            None => self.begin(finding),
        };
        let Some(incident) = self.incidents.get_mut(&id) else { return moved };
        finding.incident = Some(id);
        if incident.findings.len() < MAX_PARTS && !incident.findings.contains(&finding.id) {
            incident.findings.push(finding.id);
        }
        // Who only did what he always does is named in the story, and has no part in it.
        if finding.severity > Severity::Low || !is_story(finding) {
            add(&mut incident.actors, &finding.actor);
            finding.victim.iter().for_each(|victim| add(&mut incident.victims, victim));
        }
        incident.first = incident.first.min(finding.first);
        incident.last = incident.last.max(finding.last);
        let tactics = self.tactics.entry(id).or_default();
        tactics.extend(tactics_of(finding));
        let stage = tactics.last().copied().unwrap_or(Tactic::None);
        incident.stage = stage.name().into();
        if finding.severity >= incident.severity && !is_story(finding) || incident.title.is_empty() {
            let others = incident.victims.len();
            let of = match others {
                0 => String::new(),
                1 => format!(" against {}", incident.victims[0]),
                _ => format!(" against {others} devices"),
            };
            incident.title = format!("{}: {}{of}", finding.title, finding.actor).into();
            incident.response = rule_of(finding).map_or("", |rule| rule.fix).into();
        }
        incident.severity = incident.severity.max(finding.severity);
        let stages = tactics.iter().filter(|tactic| **tactic != Tactic::None).count();
        if stages >= STAGES_OF_AN_ATTACK && incident.severity == Severity::High {
            incident.severity = Severity::Critical;
        }
        self.changed.insert(id);
        news.push((at, Change::IncidentGrew { incident: Box::new(incident.clone()) }));
        moved
    }

    fn begin(&mut self, finding: &Finding) -> IncidentId {
        if self.incidents.len() >= MAX_INCIDENTS
            && let Some(old) =
                self.incidents.values().min_by_key(|known| (known.last, known.id)).map(|old| old.id)
        {
            self.incidents.remove(&old);
            self.tactics.remove(&old);
            self.changed.remove(&old);
            self.shed += 1;
        }
        // One finding may begin several incidents, one after the other has long been over.
        let mut id = IncidentId::from_digest(finding.id.get());
        while self.incidents.contains_key(&id) {
            id = IncidentId::from_digest(id.get().wrapping_add(1));
        }
        let incident = Incident {
            id,
            severity: finding.severity,
            title: "".into(),
            stage: Tactic::None.name().into(),
            first: finding.first,
            last: finding.last,
            findings: Vec::new(),
            actors: Vec::new(),
            victims: Vec::new(),
            response: "".into(),
            next: Vec::new(),
        };
        self.incidents.insert(id, incident);
        id
    }

    /// Makes two incidents one; the findings of the one that is gone.
    fn merge(&mut self, into: IncidentId, from: IncidentId) -> Vec<FindingId> {
        let (Some(gone), Some(tactics)) = (self.incidents.remove(&from), self.tactics.remove(&from)) else {
            return Vec::new();
        };
        self.tactics.entry(into).or_default().extend(tactics);
        self.changed.remove(&from);
        self.gone.push(from);
        let Some(incident) = self.incidents.get_mut(&into) else { return Vec::new() };
        let room = MAX_PARTS.saturating_sub(incident.findings.len());
        incident.findings.extend(gone.findings.iter().take(room));
        gone.actors.iter().for_each(|party| add(&mut incident.actors, party));
        gone.victims.iter().for_each(|party| add(&mut incident.victims, party));
        incident.first = incident.first.min(gone.first);
        incident.last = incident.last.max(gone.last);
        incident.severity = incident.severity.max(gone.severity);
        gone.findings
    }

    pub(crate) fn know(&mut self, finding: &Finding) {
        if let Some(id) = finding.incident {
            self.tactics.entry(id).or_default().extend(tactics_of(finding));
        }
    }

    pub(crate) fn restore(&mut self, incident: Incident) {
        self.tactics.entry(incident.id).or_default();
        self.incidents.insert(incident.id, incident);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values()
    }

    /// Hands over the incidents that are new or changed since the last time, with their next steps, and the ids of
    /// those that turned out to be parts of others.
    pub(crate) fn drain_changed(
        &mut self,
        renewed: bool,
        inventory: &Inventory,
    ) -> (Vec<Incident>, Vec<IncidentId>) {
        let mut changed = Vec::new();
        if renewed {
            self.changed.append(&mut self.renewed);
        }
        for id in std::mem::take(&mut self.changed) {
            if let Some(incident) = self.incidents.get_mut(&id) {
                incident.next = next_steps(incident, inventory);
                changed.push(incident.clone());
            }
        }
        (changed, std::mem::take(&mut self.gone))
    }

    pub(crate) fn take_shed(&mut self) -> u64 {
        std::mem::take(&mut self.shed)
    }
}

/// How much a service helps whoever is on a neighbour of it already: what gives control of a process or of a
/// machine first.
const WAYS: &[(&str, f64, &str)] = &[
    ("s7comm", 1.0, "programs and controls a process without asking who it is"),
    ("modbus", 1.0, "controls a process without asking who it is"),
    ("enip", 1.0, "programs and controls a process"),
    ("dnp3", 1.0, "controls a process"),
    ("iec104", 1.0, "controls a process without asking who it is"),
    ("opcua", 0.9, "controls a process"),
    ("bacnet", 0.9, "controls a building without asking who it is"),
    ("telnet", 0.9, "gives a command line in clear"),
    ("smb", 0.8, "carries files and remote commands"),
    ("rdp", 0.8, "gives a desktop"),
    ("rfb", 0.8, "gives a desktop"),
    ("ssh", 0.6, "gives a command line"),
    ("ftp", 0.5, "carries files in clear"),
    ("mqtt", 0.5, "carries commands to many"),
    ("rtsp", 0.3, "shows pictures"),
    ("snmp", 0.3, "tells and changes settings"),
    ("http", 0.3, "often manages the device"),
    ("tls", 0.2, "often manages the device"),
];

/// Where those who are part of an incident talk to already and that has not been attacked: known ways are the most
/// likely, the services that give most control before others.
fn next_steps(incident: &Incident, inventory: &Inventory) -> Vec<NextStep> {
    let ours = |party: &&Party| {
        let known = inventory.glance(&party.host);
        known.is_some_and(|known| known.locality != Locality::External)
    };
    let held = incident.actors.iter().chain(&incident.victims).filter(ours).take(MAX_HELD);
    let mut steps: Vec<NextStep> = Vec::new();
    for from in held {
        let Some(device) = from.device.and_then(|id| inventory.device(id)) else { continue };
        for peer in device.peers.keys().take(MAX_PEERS) {
            let Some(other) = inventory.device(*peer) else { continue };
            let Some(to) = party_of(&other).filter(|to| {
                other.locality != Locality::External
                    && !has(&incident.actors, to)
                    && !has(&incident.victims, to)
            }) else {
                continue;
            };
            let ways = other.offers.keys().filter_map(|service| {
                let (_, weight, reason) = WAYS.iter().find(|(protocol, ..)| *protocol == service.protocol)?;
                Some((service, *weight, *reason))
            });
            let best = ways.max_by(|(_, one, _), (_, other, _)| one.total_cmp(other));
            let Some((service, weight, reason)) = best else { continue };
            if steps.iter().any(|step| is_same(&step.to, &to)) {
                continue;
            }
            let service = format!("{} {}/{}", service.protocol, service.transport, service.port);
            let reason = format!("they talk already, and it offers {service}, which {reason}");
            steps.push(NextStep { from: *from, to, service: service.into(), weight, reason: reason.into() });
        }
    }
    steps.sort_by(|one, other| other.weight.total_cmp(&one.weight).then(one.to.cmp(&other.to)));
    steps.truncate(NEXT_STEPS);
    let total: f64 = steps.iter().map(|step| step.weight).sum();
    for step in &mut steps {
        step.weight /= total;
    }
    steps
}

/// A device as a party: the address that it used last.
fn party_of(device: &Device) -> Option<Party> {
    let ip = device.addresses.iter().max_by_key(|used| used.last).map(|used| used.ip);
    let mac = device.macs.first().copied();
    (ip.is_some() || mac.is_some()).then_some(Party { device: Some(device.id), host: Host { mac, ip } })
}
