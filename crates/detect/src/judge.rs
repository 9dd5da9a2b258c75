//! The machine: shows observations to the detectors and keeps what they say.

use std::cell::Cell;
use std::fmt;

use inventory::{Glance, Inventory, Place};
use model::{
    Crossed, Endpoint, Event, Factor, Finding, FindingId, FlowHead, FlowId, Host, Incident, Judgement,
    Locality, Name, Observation, Operation, Severity, Shed, Side, Timestamp, What,
};

use crate::culprits::{Cause, Culprit};
use crate::detectors::DETECTORS;
use crate::hosts::{Addr, Channel, Channels, Hosts, MAX_CHANNELS, MAX_HOSTS, Party, Who, is_inner};
use crate::intel::Indicators;
use crate::ledger::{Changed, Ledger, Raised};
use crate::rule::{Detector, Kind, Rule};
use crate::score::{Score, Scores};
use crate::settings::{Expected, Limits, Scoped, Settings};

/// Detectors that wait for something are asked so often, in nanoseconds of packet time.
const TICK: u64 = 1_000_000_000;

/// What is known of the place while an observation is looked at.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    inventory: &'a Inventory,
    limits: &'a Limits,
    /// Those who take part, of whom nearly every detector asks the same.
    parties: &'a [Participant; 2],
}

/// Somebody who takes part in an observation, and where the inventory keeps him if he is proven to exist.
struct Participant {
    host: Option<Host>,
    place: Option<Place>,
    /// Whether he is elsewhere in the Internet, once asked.
    is_external: Cell<Option<bool>>,
}

impl Participant {
    const fn nobody() -> Self {
        Self { host: None, place: None, is_external: Cell::new(None) }
    }

    fn new(host: Option<Host>, inventory: &Inventory) -> Self {
        let place = host.as_ref().and_then(|host| inventory.place_of(host));
        Self { host, place, is_external: Cell::new(None) }
    }
}

impl<'a> Site<'a> {
    /// What is known of a host, if it is proven to exist.
    pub fn glance(&self, host: &Host) -> Option<Glance<'a>> {
        self.place(host).map(|place| self.inventory.glance_at(place))
    }

    /// Where the inventory keeps a host, if it is proven to exist.
    fn place(&self, host: &Host) -> Option<Place> {
        self.party(host).map_or_else(|| self.inventory.place_of(host), |party| party.place)
    }

    /// A host as one who takes part.
    fn party(&self, host: &Host) -> Option<&'a Participant> {
        self.parties.iter().find(|party| party.host.as_ref() == Some(host))
    }

    /// The settings that hold for a host and not for all, the one that holds first.
    fn scopes(&self, host: &'a Host) -> impl Iterator<Item = &'a Scoped> {
        let known = self.glance(host);
        let (role, kind) = (known.and_then(|known| known.role), known.and_then(|known| known.kind));
        self.limits.scopes(host, role, kind)
    }

    /// What the settings say of what a detector finds that one host does to another.
    fn expected(
        &self,
        detector: &str,
        actor: &Host,
        victim: Option<&Host>,
        at: Timestamp,
    ) -> Option<&'a Expected> {
        if !self.limits.expect_anything() {
            return None;
        }
        let play = |host| (host, self.glance(host).and_then(|known| known.role));
        self.limits.expected(detector, (play(actor), victim.map(play)), at)
    }

    /// What others have warned of.
    pub fn indicators(&self) -> &'a Indicators {
        self.limits.indicators()
    }

    /// Whether a host is elsewhere in the Internet.
    pub fn is_external(&self, host: &Host) -> bool {
        let party = self.party(host);
        if let Some(is_external) = party.and_then(|party| party.is_external.get()) {
            return is_external;
        }
        let is_external = match (host.ip, self.place(host)) {
            (_, Some(place)) => self.inventory.locality_at(place) == Locality::External,
            (Some(ip), None) => !is_inner(ip) && !ip.is_multicast(),
            (None, None) => false,
        };
        if let Some(party) = party {
            party.is_external.set(Some(is_external));
        }
        is_external
    }

    /// Whether a device plays one of these parts, by the best evidence for one.
    pub fn is_one_of(&self, host: &Host, roles: &[model::Role]) -> bool {
        let role = self.place(host).and_then(|place| self.inventory.role_at(place));
        role.is_some_and(|role| roles.iter().any(|known| known.name() == role))
    }

    /// Whether something else than what a host asks of controllers says that it plays one of these parts: its name,
    /// its answers to management protocols. Every attribute's evidence is read: ask only where it matters.
    pub fn is_named(&self, host: &Host, roles: &[model::Role]) -> bool {
        let device = self.glance(host).and_then(|known| self.inventory.device(known.id));
        let said = device.as_ref().and_then(|device| device.attributes.get(&model::Attribute::Role));
        said.into_iter().flatten().any(|evidence| {
            let (protocol, field) = evidence.source.split_once('.').unwrap_or((&evidence.source, ""));
            let is_apart = if protocol == "rule" {
                // Of what follows from signs, only what follows from a name does not follow from acts.
                field.ends_with("-name")
            } else {
                !is_industrial(protocol)
            };
            is_apart && roles.iter().any(|role| role.name() == &*evidence.value)
        })
    }
}

/// Whether a protocol is one by which controllers, field devices and their stations talk.
pub(crate) fn is_industrial(protocol: &str) -> bool {
    matches!(
        protocol,
        "bacnet"
            | "dnp3"
            | "enip"
            | "ethercat"
            | "hart-ip"
            | "iec104"
            | "mms"
            | "modbus"
            | "omron-fins"
            | "opcua"
            | "profinet-dcp"
            | "profinet-io-cm"
            | "s7comm"
            | "s7comm-plus"
            | "synchrophasor"
    )
}

/// An observation, and who takes part in it.
pub struct Seen<'a> {
    /// Packet time.
    pub at: Timestamp,
    /// What was observed.
    pub what: &'a What,
    /// The client of the conversation; for facts, bindings and anomalies, whom they are about.
    pub client: Who,
    /// The server of the conversation.
    pub server: Who,
    /// Digests of the addresses of client and server that are the same on every machine; 0 for groups and ends without
    /// an address.
    pub(crate) keys: [u64; 2],
    /// Who asks whom by which protocol, for operations, values and conversations whose protocol is known, between two
    /// who are somebody.
    pub channel: Option<Channel>,
    /// What is known of the place.
    pub site: Site<'a>,
}

impl Seen<'_> {
    /// Who asks for an operation, who is asked, and where the two stand in the conversation.
    pub fn asked<'o>(&self, operation: &'o Operation) -> Asked<'o> {
        let (who, whom) = match operation.from {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        };
        let flow = &operation.flow;
        Asked {
            who,
            whom,
            asker: flow.endpoint(operation.from),
            asked: flow.endpoint(operation.from.other()),
        }
    }
}

/// Who asks whom.
pub struct Asked<'a> {
    /// Who asks.
    pub who: Who,
    /// Who is asked.
    pub whom: Who,
    /// Who asks, and from which port.
    pub asker: &'a Endpoint,
    /// Who is asked, and at which port.
    pub asked: &'a Endpoint,
}

/// What a detector says.
pub struct Alarm<'a> {
    pub(crate) actor: Host,
    pub(crate) victim: Option<Host>,
    pub(crate) matter: &'a str,
    pub(crate) flow: Option<FlowId>,
    /// More of them, the first ones.
    pub(crate) flows: &'a [FlowId],
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) times: u64,
    pub(crate) severity: Option<Severity>,
    pub(crate) crossed: Option<(usize, f64)>,
    pub(crate) factors: Vec<Factor>,
    /// Whether it only says that something is not as it was learnt.
    pub(crate) is_anomaly: bool,
    /// The finding because of which it is told.
    pub(crate) part_of: Option<FindingId>,
}

impl<'a> Alarm<'a> {
    /// Somebody did something, or somebody's state is wrong.
    pub const fn about(actor: Host) -> Self {
        Self {
            actor,
            victim: None,
            matter: "",
            flow: None,
            flows: &[],
            since: None,
            until: None,
            times: 1,
            severity: None,
            crossed: None,
            factors: Vec::new(),
            is_anomaly: false,
            part_of: None,
        }
    }

    /// To whom it was done.
    #[must_use]
    pub const fn to(mut self, victim: Host) -> Self {
        self.victim = Some(victim);
        self
    }

    /// What tells it from other findings of the detector about the same two: a port, a block, a domain.
    #[must_use]
    pub const fn matter(mut self, matter: &'a str) -> Self {
        self.matter = matter;
        self
    }

    /// A conversation that shows it.
    #[must_use]
    pub const fn flow(mut self, flow: FlowId) -> Self {
        self.flow = Some(flow);
        self
    }

    /// Conversations from before that show it.
    #[must_use]
    pub const fn flows(mut self, flows: &'a [FlowId]) -> Self {
        self.flows = flows;
        self
    }

    /// When what shows it began, if that was before now.
    #[must_use]
    pub const fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// When what shows it was over, if that was before now.
    #[must_use]
    pub const fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// How often it was seen, if more than once since it was last told.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// How bad it is, if not as bad as usual.
    #[must_use]
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    /// The threshold that was crossed, by its place in the descriptor, and what was seen.
    #[must_use]
    pub const fn crossed(mut self, threshold: usize, seen: f64) -> Self {
        self.crossed = Some((threshold, seen));
        self
    }

    /// It says no more than that something is not as it was learnt: learning goes on about its actor.
    #[must_use]
    pub const fn anomaly(mut self) -> Self {
        self.is_anomaly = true;
        self
    }

    /// It is told only because of another finding, whose incident it joins: nobody is suspected because of it.
    #[must_use]
    pub const fn part_of(mut self, finding: FindingId) -> Self {
        self.part_of = Some(finding);
        self
    }

    /// What drove it, and what would have been usual.
    #[must_use]
    pub fn factor(mut self, name: &'static str, seen: impl fmt::Display, usual: impl fmt::Display) -> Self {
        let (seen, usual) = (seen.to_string().into(), usual.to_string().into());
        self.factors.push(Factor { name: name.into(), seen, usual });
        self
    }
}

/// Where a detector puts what it finds, and asks for its thresholds.
pub struct Out<'a> {
    rule: usize,
    at: Timestamp,
    /// When what is observed began and ended.
    lasted: (Timestamp, Timestamp),
    site: Site<'a>,
    ledger: &'a mut Ledger,
    scores: &'a mut Scores,
}

impl Out<'_> {
    /// What is known of the place.
    pub const fn site(&self) -> Site<'_> {
        self.site
    }

    /// A threshold of the detector, by its place in the descriptor, as it is set for a host.
    pub fn limit(&self, threshold: usize, host: &Host) -> f64 {
        let Site { limits, .. } = self.site;
        if limits.are_plain() {
            return limits.usual(self.rule, threshold);
        }
        let name = self.name(threshold);
        let set = self.site.scopes(host).find_map(|scope| scope.thresholds.get(&name).copied());
        set.unwrap_or_else(|| limits.usual(self.rule, threshold))
    }

    /// The name under which a threshold can be set.
    fn name(&self, threshold: usize) -> String {
        let rule = &DETECTORS[self.rule];
        format!("{}.{}", rule.id, rule.thresholds[threshold].name)
    }

    /// A threshold that was crossed, with whatever is to be said of it.
    fn crossed(&self, threshold: usize, seen: f64, host: &Host) -> Crossed {
        let (name, limit) = (self.name(threshold), self.limit(threshold, host));
        let mut scopes = self.site.scopes(host);
        let scope = scopes.find(|scope| scope.thresholds.contains_key(&name));
        let set_for = scope.map(ToString::to_string).or_else(|| self.site.limits.site(&name));
        let unit = DETECTORS[self.rule].thresholds[threshold].unit.into();
        Crossed { threshold: name.into(), limit, seen, unit, set_for: set_for.map(String::into_boxed_str) }
    }

    /// What other detectors have found lately that speaks most against a host: what it did, or what was done to it.
    /// Findings that were themselves weighed with this are left out, so that none confirms itself, and so are
    /// weaknesses. All findings are looked at: ask only where it matters.
    pub fn suspect(&self, host: &Host) -> Option<Suspicion> {
        self.ledger.suspicion(host, self.site.glance(host).map(|known| known.id), self.at)
    }

    /// Raises a finding, or counts one up that is known. `summary` says what happened here in one sentence; it is
    /// asked only when the finding is new or worse than it was.
    pub fn raise(&mut self, alarm: Alarm<'_>, summary: impl FnOnce() -> String) {
        if self.is_off(&alarm) {
            return;
        }
        let Site { inventory, .. } = self.site;
        let crossed = alarm.crossed.map(|(threshold, seen)| self.crossed(threshold, seen, &alarm.actor));
        let rule = &DETECTORS[self.rule];
        let expected = self.site.expected(rule.id, &alarm.actor, alarm.victim.as_ref(), self.at);
        self.ledger.raise(
            Raised { rule, at: self.at, lasted: self.lasted, alarm, crossed },
            expected,
            inventory,
            summary,
        );
    }

    /// Whether an open finding of at least medium severity says that a host does something bad: nothing is to be
    /// learnt of what it does. Findings that only say that something is unusual count if an analyst has said that they
    /// are true, and none counts of which one has said that it is expected or false.
    pub fn is_suspect(&self, host: &Host) -> bool {
        self.ledger.is_suspect(host, self.at)
    }

    /// Whether somebody, or the settings, have said of a finding of the detector, with this actor, victim and matter, that it is
    /// expected or false.
    pub fn is_accepted(&self, actor: &Host, victim: Option<&Host>, matter: &str) -> bool {
        self.ledger.is_silenced(DETECTORS[self.rule].id, actor, victim, matter)
    }

    /// Whether the settings say that what the detector looks for is meant to be done by one host to another, and for good:
    /// it is a habit of theirs, and counts as learnt.
    pub fn is_habit(&self, actor: &Host, victim: Option<&Host>) -> bool {
        self.site.expected(DETECTORS[self.rule].id, actor, victim, self.at).is_some_and(Expected::is_habit)
    }

    /// Whether anybody was found to attack: cheap, and nearly always not so.
    pub fn has_culprits(&self) -> bool {
        self.ledger.culprits().are_there()
    }

    /// What speaks against a host of which an open finding of high severity or worse says that it attacks.
    pub fn culprit(&self, host: &Host) -> Option<&Culprit> {
        self.ledger.culprits().get(host, self.at)
    }

    /// Why those who ask a host for names may have been told so by it: it was found to give out false addresses.
    pub fn redirecting(&self, host: &Host) -> Option<&Cause> {
        self.ledger.culprits().redirecting(host, self.at)
    }

    /// Whether another detector says of the host that what is looked at is bad, and of medium severity or worse.
    /// Detectors are asked in the order of the list.
    pub fn is_told(&self, host: &Host) -> bool {
        self.ledger.is_told(host)
    }

    /// Whether what passed between two hosts is told already: an open finding of medium severity or worse names both.
    /// All findings are looked at: ask only where it matters.
    pub fn names_both(&self, one: &Host, other: &Host) -> bool {
        self.ledger.names_both(one, other)
    }

    /// How unusual the observation is, from 0 to 1, for those who want to know of each.
    pub fn score(&mut self, score: f64, flow: Option<FlowId>, host: Option<Host>) {
        self.scores.add(|| Score { at: self.at, detector: DETECTORS[self.rule].id, score, flow, host });
    }

    /// Whether somebody wants scores.
    pub const fn wants_scores(&self) -> bool {
        self.scores.are_wanted()
    }

    /// Whether the detector is switched off for one of those who take part.
    fn is_off(&self, alarm: &Alarm<'_>) -> bool {
        let Site { limits, .. } = self.site;
        if limits.are_plain() {
            return false;
        }
        let id = DETECTORS[self.rule].id;
        let mut hosts = [Some(&alarm.actor), alarm.victim.as_ref()].into_iter().flatten();
        hosts.any(|host| self.site.scopes(host).any(|scope| scope.off.contains(id)))
    }
}

/// What a host has been found to have part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// The title of the finding.
    pub title: Name,
    /// Whether it was done by the host; else it was done to it.
    pub did: bool,
    /// Whether it is of high severity, or the host looked around: what intruders do before anything else.
    pub is_strong: bool,
}

/// The detectors, what they found, and the incidents that it makes.
///
/// A deterministic machine: the same observations and the same inventory give the same findings.
pub struct Detect {
    hosts: Hosts,
    channels: Channels,
    detectors: Vec<(usize, Box<dyn Detector>)>,
    /// The detectors that listen for each kind of observation, by their place in `detectors`.
    listening: [Vec<usize>; Kind::COUNT],
    limits: Limits,
    ledger: Ledger,
    scores: Scores,
    next_tick: Timestamp,
}

impl Detect {
    /// Nothing seen yet.
    pub fn new(settings: Settings) -> Self {
        Self::with(settings, |_| true)
    }

    /// With some of the detectors only.
    pub(crate) fn with(settings: Settings, wanted: impl Fn(&Rule) -> bool) -> Self {
        let limits = Limits::new(settings);
        let detectors: Vec<_> = DETECTORS
            .iter()
            .enumerate()
            .filter(|(number, rule)| limits.is_on(*number) && limits.has_use_for(rule) && wanted(rule))
            .map(|(number, rule)| (number, (rule.start)()))
            .collect();
        let mut listening = [const { Vec::new() }; Kind::COUNT];
        for (place, (number, _)) in detectors.iter().enumerate() {
            for kind in DETECTORS[*number].listens {
                listening[*kind as usize].push(place);
            }
        }
        Self {
            hosts: Hosts::new(MAX_HOSTS),
            channels: Channels::new(MAX_CHANNELS),
            detectors,
            listening,
            limits,
            ledger: Ledger::default(),
            scores: Scores::default(),
            next_tick: Timestamp::EPOCH,
        }
    }

    /// Takes an observation that the inventory has taken already, and adds what follows to `events`.
    pub fn observe(&mut self, observation: &Observation, inventory: &Inventory, events: &mut Vec<Event>) {
        let at = observation.at;
        if at >= self.next_tick {
            self.tick(at, inventory, events);
        }
        let what = &observation.what;
        let (kind, ends) = match what {
            What::FlowAsked(head) => (Kind::Asked, ends(head)),
            What::FlowOpened(head) => (Kind::Opened, ends(head)),
            What::FlowIdentified(identified) => (Kind::Identified, ends(&identified.flow)),
            What::FlowEnded(record) => (Kind::Ended, ends(&record.head)),
            What::Message(message) => (Kind::Message, ends(&message.flow)),
            What::Operation(operation) => (Kind::Operation, ends(&operation.flow)),
            What::Binding(binding) => {
                let host = Host { mac: Some(binding.mac), ip: Some(binding.ip) };
                (Kind::Binding, [Some(host), None])
            }
            What::Fact(fact) => (Kind::Fact, [Some(fact.about), None]),
            What::Anomaly(anomaly) => (Kind::Anomaly, [Some(anomaly.host), None]),
            What::Weakness(weakness) => (Kind::Weakness, ends(&weakness.flow)),
            What::BusFrame(_) => (Kind::BusFrame, [None, None]),
            What::Samples(samples) => (Kind::Samples, ends(&samples.flow)),
            What::Denied(denied) => (Kind::Denied, ends(&denied.flow)),
            What::Resolved(_) | What::Shed(_) | What::SourceEnded(_) => return,
        };
        if self.listening[kind as usize].is_empty() {
            return;
        }
        let parties = ends.map(|host| Participant::new(host, inventory));
        let ends = [0, 1].map(|end| self.party(&parties[end]));
        let protocol = match what {
            What::FlowEnded(record) => record.protocol.as_ref(),
            What::Operation(operation) => Some(&operation.protocol),
            What::Samples(samples) => Some(&samples.protocol),
            _ => None,
        };
        let channel = protocol.and_then(|protocol| self.channel(ends, protocol));
        let [client, server] = ends.map(|end| end.who);
        let site = Site { inventory, limits: &self.limits, parties: &parties };
        self.ledger.turn_to_next();
        let seen = Seen { at, what, client, server, keys: ends.map(|end| end.key), channel, site };
        let lasted = lasted(observation);
        for place in &self.listening[kind as usize] {
            let (rule, detector) = &mut self.detectors[*place];
            let (ledger, scores) = (&mut self.ledger, &mut self.scores);
            detector.observe(&seen, &mut Out { rule: *rule, at, lasted, site, ledger, scores });
        }
        self.tell_detectors(at, inventory);
        self.ledger.tell(events);
    }

    /// Lets detectors hear of findings that say for the first time that somebody attacks.
    fn tell_detectors(&mut self, at: Timestamp, inventory: &Inventory) {
        while let Some(finding) = self.ledger.next_grave() {
            let parties = [const { Participant::nobody() }; 2];
            let site = Site { inventory, limits: &self.limits, parties: &parties };
            for (rule, detector) in &mut self.detectors {
                let (ledger, scores) = (&mut self.ledger, &mut self.scores);
                detector
                    .found(&finding, &mut Out { rule: *rule, at, lasted: (at, at), site, ledger, scores });
            }
        }
    }

    /// Lets packet time go on to `now`.
    pub fn tick(&mut self, now: Timestamp, inventory: &Inventory, events: &mut Vec<Event>) {
        self.next_tick = Timestamp::from_nanos(now.as_nanos().saturating_add(TICK));
        let parties = [const { Participant::nobody() }; 2];
        let site = Site { inventory, limits: &self.limits, parties: &parties };
        for place in &self.listening[Kind::Tick as usize] {
            let (rule, detector) = &mut self.detectors[*place];
            let (ledger, scores) = (&mut self.ledger, &mut self.scores);
            detector.tick(now, &mut Out { rule: *rule, at: now, lasted: (now, now), site, ledger, scores });
        }
        self.tell_detectors(now, inventory);
        self.ledger.tell(events);
    }

    /// The number of one who takes part. Who has not proven to exist is nobody: anybody can make up senders, and each of
    /// them would push out somebody who is watched.
    fn party(&mut self, participant: &Participant) -> Party {
        let Some(addr) = participant.host.as_ref().and_then(Addr::of) else { return Party::NOBODY };
        let number = participant.place.map(Place::number);
        if let Some(party) = self.hosts.find(addr, number) {
            return party;
        }
        let Some(number) = number else { return Party::unproven(addr) };
        let (party, was_another) = self.hosts.watch(addr, number);
        if was_another {
            for (_, detector) in &mut self.detectors {
                detector.forget(party.who);
            }
        }
        party
    }

    /// The channel between two who are somebody.
    fn channel(&mut self, [client, server]: [Party; 2], protocol: &str) -> Option<Channel> {
        if !client.who.is_somebody() || !server.who.is_somebody() {
            return None;
        }
        let (channel, was_another) = self.channels.channel(Channels::key(client, server, protocol));
        if was_another {
            self.detectors.iter_mut().for_each(|(_, detector)| detector.forget_channel(channel));
        }
        Some(channel)
    }

    /// Takes back a finding that was kept, so that it goes on where it was.
    pub fn restore(&mut self, finding: Finding) {
        self.ledger.restore(finding);
    }

    /// Takes back an incident that was kept.
    pub fn restore_incident(&mut self, incident: Incident) {
        self.ledger.restore_incident(incident);
    }

    /// What the detectors have learnt, by their ids, to go on with after a restart.
    pub fn save(&self) -> Vec<(&'static str, Vec<u8>)> {
        let saved = |(number, detector): &(usize, Box<dyn Detector>)| {
            detector.save().map(|learnt| (DETECTORS[*number].id, learnt))
        };
        self.detectors.iter().filter_map(saved).collect()
    }

    /// Takes back what a detector had learnt, before it is shown anything. What cannot be read is not taken. Whether the detector is there.
    pub fn restore_learnt(&mut self, id: &str, learnt: &[u8]) -> bool {
        let of_that_id = |(number, _): &&mut (usize, Box<dyn Detector>)| DETECTORS[*number].id == id;
        let detector = self.detectors.iter_mut().find(of_that_id);
        detector.map(|(_, detector)| detector.restore(learnt)).is_some()
    }

    /// Keeps the scores of observations from now on, until they are drained.
    pub const fn want_scores(&mut self) {
        self.scores.want();
    }

    /// Hands over the scores since the last time, in the order of the observations.
    pub fn drain_scores(&mut self) -> std::vec::Drain<'_, Score> {
        self.scores.drain()
    }

    /// Takes an analyst's verdict on a finding, or takes one back. Whether the finding is known.
    pub fn judge(&mut self, finding: FindingId, judgement: Option<Judgement>) -> bool {
        self.ledger.judge(finding, judgement)
    }

    /// A finding, if it is held.
    pub fn finding(&self, id: FindingId) -> Option<&Finding> {
        self.ledger.finding(id)
    }

    /// All findings that are held, by id.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.ledger.findings()
    }

    /// All incidents that are held, by id.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.ledger.incidents()
    }

    /// What others have found lately that speaks most against a host.
    #[cfg(test)]
    pub(crate) fn suspects(&self, host: &Host) -> Option<Suspicion> {
        self.ledger.suspicion(host, None, self.next_tick)
    }

    /// Changes a finding that is held: where its packets are kept.
    pub fn finding_mut(&mut self, id: FindingId) -> Option<&mut Finding> {
        self.ledger.finding_mut(id)
    }

    /// Hands over findings and incidents that are new or changed since the last time; those that were only counted up
    /// if that is wanted, too.
    pub fn drain_changed(&mut self, renewed: bool, inventory: &Inventory) -> Changed {
        self.ledger.drain_changed(renewed, inventory)
    }

    /// How many hosts are watched.
    pub fn watched(&self) -> usize {
        self.hosts.len()
    }

    /// Hands over what was given up because a limit was reached since the last time.
    pub fn drain_shed(&mut self, mut each: impl FnMut(Shed)) {
        if let Some(count) = self.scores.take_shed() {
            each(Shed { limit: "detect.scores".into(), count, packets: 0, bytes: 0 });
        }
        self.ledger.drain_shed(each);
    }
}

/// When what is observed began and ended: conversations are told after they are over, requests that get no answer
/// when there is none to come.
fn lasted(observation: &Observation) -> (Timestamp, Timestamp) {
    let at = observation.at;
    match &observation.what {
        What::FlowEnded(record) => (record.first.min(at), record.last.min(at)),
        What::Operation(operation) => {
            let asked = operation.asked.map_or(at, |asked| asked.min(at));
            (asked, asked)
        }
        _ => (at, at),
    }
}

/// The two ends of a conversation.
fn ends(head: &FlowHead) -> [Option<Host>; 2] {
    [Some(head.client.host), Some(head.server.host)]
}
