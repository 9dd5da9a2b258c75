//! What people have declared: the policy of the place, and what makers say of their devices. What happens all the same
//! is told as [`Denied`]; nothing is cut.
//!
//! A conversation is asked about once: when it is opened, if its protocol can change nothing; else when its protocol is
//! recognised, or with its first record, without. By TCP it counts as opened once more than a refusal is seen, which its
//! protocol or its record tell. Of what is asked in it each is asked about, unless the conversation itself is denied.
//! Somebody who has just appeared is not judged at once: which part he plays, what he is called, which profile is his
//! follows from what he does first. What is denied of him waits for [`SETTLING`], and is asked again then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use inventory::Inventory;
use model::{
    Change, Denied, DeniedBy, DeviceId, Event, FlowHead, FlowRecord, Ground, Host, Locality, Name,
    Observation, Operation, OperationKind, Outcome, Reach, Resolved, Side, TcpState, Timestamp, Transport,
    What,
};
use mud::{Conversation, Initiator, IpVersion, Peer, Ruling};
use policy::{Ask, Asked, Compiled, Estate, Policy, Problem, Protocols, UseLog, Verdict, Why};

use crate::profiles::Profiles;

/// What a host that has just appeared does is judged after so long: only then is known what it is.
pub const SETTLING: Duration = Duration::from_secs(300);
/// So many kinds of what is denied wait at once; beyond, it is told without waiting.
pub const MAX_WAITING: usize = 4096;
/// What is denied is asked again with what is known now of the two, if that was taken in longer ago.
const STALE: Duration = Duration::from_secs(10);
/// So many addresses of a name are held, the latest ones.
const MAX_ADDRESSES: usize = 64;
/// So many names are held beside those that were known at the beginning.
const MAX_NAMES: usize = 1 << 16;
/// Waiting questions are looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// Whoever is in a group by an age is looked at again so often.
const AGE: Duration = Duration::from_secs(60);
/// How hosts of a link find each other (RFC 826): no policy is about it.
const ARP: Transport = Transport::Ether(0x0806);

/// What people have declared.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The policy of the place, and where protocols are usually found.
    pub policy: Option<(Arc<Policy>, Protocols)>,
    /// What makers say of their devices.
    pub profiles: Profiles,
}

/// What is asked, in the form in which what is the same waits together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    by: DeniedBy,
    client: Host,
    server: Host,
    transport: Transport,
    port: u16,
    protocol: Option<Name>,
    operation: Option<(OperationKind, Option<Box<str>>)>,
    answered: bool,
}

impl Question {
    fn of(by: DeniedBy, flow: &FlowHead) -> Self {
        Self {
            by,
            client: flow.client.host,
            server: flow.server.host,
            transport: flow.transport,
            port: flow.server.port,
            protocol: None,
            operation: None,
            // Only an answer tells how far it had come.
            answered: flow.server_reach != Reach::Unknown || flow.server.host.ip.is_none(),
        }
    }

    /// The same as the policy takes it.
    fn ask<'a>(&'a self, names: &'a UseLog) -> Ask<'a> {
        let ends = self.client.ip.zip(self.server.ip);
        let asked = |(kind, target): &'a (OperationKind, Option<Box<str>>)| Asked {
            kind: *kind,
            target: target.as_deref(),
        };
        Ask {
            client: policy::Who::Host(self.client),
            server: policy::Who::Host(self.server),
            server_name: ends.and_then(|(client, server)| names.name(client, server)),
            transport: self.transport,
            port: self.port,
            protocol: self.protocol.as_deref(),
            operation: self.operation.as_ref().map(asked),
        }
    }
}

/// Something that is denied and waits.
#[derive(Debug)]
struct Waiting {
    flow: FlowHead,
    since: Timestamp,
    times: u64,
}

/// On what ground something is denied, and in which words.
struct Ruled {
    ground: Ground,
    rule: String,
    why: String,
    zones: Option<String>,
}

/// What is known otherwise, for a question.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) at: Timestamp,
    pub(crate) inventory: &'a Inventory,
    pub(crate) names: &'a UseLog,
}

/// What was declared, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    policy: Option<Compiled>,
    profiles: Profiles,
    /// The addresses that names were seen to have since the beginning.
    names: BTreeMap<Box<str>, Vec<IpAddr>>,
    /// Devices of which the policy does not know the latest.
    changed: BTreeSet<DeviceId>,
    /// When the policy took in a device last.
    taken: BTreeMap<DeviceId, Timestamp>,
    waiting: BTreeMap<Question, Waiting>,
    next_look: Timestamp,
    next_age: Timestamp,
}

impl Declared {
    /// With all that is known already.
    pub(crate) fn new(rules: Rules, inventory: &Inventory, names: &UseLog) -> Result<Self, Vec<Problem>> {
        let Rules { policy, profiles } = rules;
        let compile = |(policy, protocols): (Arc<Policy>, Protocols)| {
            let devices: Vec<_> = inventory.devices().collect();
            let now = devices.iter().map(|device| device.last).max().unwrap_or(Timestamp::EPOCH);
            Compiled::new(policy, &protocols, Estate { devices, names: names.names(), now })
        };
        Ok(Self { policy: policy.map(compile).transpose()?, profiles, ..Self::default() })
    }

    /// Whether nothing was declared.
    const fn is_empty(&self) -> bool {
        self.policy.is_none() && self.profiles.is_empty()
    }

    /// Takes an observation, and what followed from it for devices; adds what is denied to `told`.
    pub(crate) fn observe(
        &mut self,
        observation: &Observation,
        events: &[Event],
        known: Known<'_>,
        told: &mut Vec<Denied>,
    ) {
        if self.is_empty() {
            return;
        }
        events.iter().for_each(|event| self.hear(event));
        self.tick(known, told);
        match &observation.what {
            What::FlowOpened(flow) => self.opened(flow, known, told),
            What::FlowIdentified(identified) => {
                self.identified(&identified.flow, &identified.protocol, known, told);
            }
            What::FlowEnded(record) => self.ended(record, known, told),
            What::Operation(operation) => self.asked(operation, known, told),
            What::Resolved(resolved) => self.resolved(resolved),
            What::SourceEnded(_) => self.look(known, true, told),
            _ => {}
        }
    }

    /// Packet time goes on.
    pub(crate) fn tick(&mut self, known: Known<'_>, told: &mut Vec<Denied>) {
        if known.at < self.next_look {
            return;
        }
        self.next_look = known.at + LOOK;
        self.look(known, false, told);
        if known.at >= self.next_age {
            self.next_age = known.at + AGE;
            if let Some(policy) = &mut self.policy {
                policy.advance(known.at);
            }
        }
    }

    pub(crate) fn hear(&mut self, event: &Event) {
        let Some(id) = event.device else { return };
        if matches!(event.change, Change::FindingRaised { .. } | Change::IncidentGrew { .. }) {
            return;
        }
        self.profiles.forget(id);
        if let Some(policy) = &mut self.policy {
            self.changed.insert(id);
            if let Change::DeviceMerged { gone } = event.change {
                policy.remove(gone);
                self.changed.remove(&gone);
                self.taken.remove(&gone);
            }
        }
    }

    fn resolved(&mut self, resolved: &Resolved) {
        let Some(policy) = &mut self.policy else { return };
        if self.names.len() >= MAX_NAMES && !self.names.contains_key(&resolved.name) {
            return;
        }
        let held = self.names.entry(resolved.name.clone()).or_default();
        let new = resolved.addresses.iter().filter(|ip| !held.contains(ip)).copied().collect::<Vec<_>>();
        if !new.is_empty() {
            held.extend(new);
            held.drain(..held.len().saturating_sub(MAX_ADDRESSES));
            policy.resolve(&resolved.name, held);
        }
    }

    /// Lets the policy know the latest of these, as far as they have changed.
    fn catch_up(&mut self, hosts: [&Host; 2], known: Known<'_>) {
        if self.changed.is_empty() {
            return;
        }
        for glance in hosts.into_iter().filter_map(|host| known.inventory.glance(host)) {
            if self.changed.remove(&glance.id) {
                self.take_in(glance.id, known);
            }
        }
    }

    fn take_in(&mut self, id: DeviceId, known: Known<'_>) {
        if let (Some(policy), Some(device)) = (&mut self.policy, known.inventory.device(id)) {
            self.taken.insert(id, known.at);
            policy.update(device);
        }
    }

    fn opened(&mut self, flow: &FlowHead, known: Known<'_>, told: &mut Vec<Denied>) {
        if flow.transport == Transport::Tcp {
            return;
        }
        self.catch_up([&flow.client.host, &flow.server.host], known);
        let question = Question::of(DeniedBy::Policy, flow);
        if self.is_final(&question, known) {
            self.judge(question, flow, known, told);
        }
        self.ask_profiles(flow, None, known, told);
    }

    /// Whether a conversation is denied whatever its protocol, and was told when it was opened.
    fn is_final(&self, question: &Question, known: Known<'_>) -> bool {
        if is_outside(question.transport) || question.transport == Transport::Tcp {
            return false;
        }
        self.policy.as_ref().is_some_and(|policy| {
            let ask = question.ask(known.names);
            let decision = policy.decide(&ask);
            decision.verdict == Verdict::Deny
                && (decision.why == Why::Denied || !policy.may_turn_out_allowed(&ask))
        })
    }

    fn identified(&mut self, flow: &FlowHead, protocol: &Name, known: Known<'_>, told: &mut Vec<Denied>) {
        self.catch_up([&flow.client.host, &flow.server.host], known);
        let question = Question::of(DeniedBy::Policy, flow);
        if !self.is_final(&question, known) {
            self.judge(Question { protocol: Some(protocol.clone()), ..question }, flow, known, told);
        }
        if flow.transport == Transport::Tcp {
            self.ask_profiles(flow, Some(true), known, told);
        }
    }

    fn ended(&mut self, record: &FlowRecord, known: Known<'_>, told: &mut Vec<Denied>) {
        if record.protocol.is_some() {
            return;
        }
        let flow = &record.head;
        self.catch_up([&flow.client.host, &flow.server.host], known);
        let was_opened = !matches!(
            record.tcp.map(|tcp| tcp.state),
            Some(TcpState::SynSent | TcpState::SynReceived | TcpState::Refused)
        );
        let answered = record.received.packets > 0 && was_opened;
        let question = Question { answered, ..Question::of(DeniedBy::Policy, flow) };
        // Who was answered was asked about when the conversation was opened.
        if !answered || !self.is_final(&question, known) {
            self.judge(question, flow, known, told);
        }
        if !answered || record.tcp.is_some() {
            self.ask_profiles(flow, Some(answered), known, told);
        }
    }

    /// What the asked side asks in turn belongs to the conversation.
    fn asked(&mut self, operation: &Operation, known: Known<'_>, told: &mut Vec<Denied>) {
        if operation.from != Side::Client {
            return;
        }
        let flow = &operation.flow;
        self.catch_up([&flow.client.host, &flow.server.host], known);
        let conversation =
            Question { protocol: Some(operation.protocol.clone()), ..Question::of(DeniedBy::Policy, flow) };
        let Some(policy) = &self.policy else { return };
        if policy.decide(&conversation.ask(known.names)).verdict == Verdict::Deny {
            return;
        }
        let question = Question {
            operation: Some((operation.kind, operation.target.clone())),
            answered: operation.outcome != Outcome::Refused,
            ..conversation
        };
        self.judge(question, flow, known, told);
    }

    /// Asks what the makers of the two say.
    fn ask_profiles(
        &mut self,
        flow: &FlowHead,
        answered: Option<bool>,
        known: Known<'_>,
        told: &mut Vec<Denied>,
    ) {
        if self.profiles.is_empty() {
            return;
        }
        for side in [Side::Client, Side::Server] {
            let glance = known.inventory.glance(&flow.endpoint(side).host);
            let Some(own) = glance.filter(|own| own.locality != Locality::External) else { continue };
            if self.profiles.of(own.id, || known.inventory.device(own.id)).is_none() {
                continue;
            }
            let mut question = Question::of(DeniedBy::Profile(side), flow);
            question.answered = answered.unwrap_or(question.answered);
            self.judge(question, flow, known, told);
        }
    }

    /// Asks; tells what is denied, or lets it wait.
    fn judge(&mut self, question: Question, flow: &FlowHead, known: Known<'_>, told: &mut Vec<Denied>) {
        if is_outside(question.transport) {
            return;
        }
        let Some(ruled) = self.ruling(&question, flow, known) else { return };
        let has_room = self.waiting.len() < MAX_WAITING || self.waiting.contains_key(&question);
        if has_room && ![&question.client, &question.server].iter().all(|host| is_settled(host, known)) {
            let waiting = Waiting { flow: *flow, since: known.at, times: 0 };
            self.waiting.entry(question).or_insert(waiting).times += 1;
            return;
        }
        let one = Waiting { flow: *flow, since: known.at, times: 1 };
        told.push(denied(question, &one, ruled));
    }

    /// Asks again what has waited for long enough, or all.
    fn look(&mut self, known: Known<'_>, all: bool, told: &mut Vec<Denied>) {
        let is_due = |waiting: &Waiting| all || known.at.since(waiting.since) >= SETTLING;
        if !self.waiting.values().any(is_due) {
            return;
        }
        let (due, still): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, waiting)| is_due(waiting));
        self.waiting = still;
        for (question, waiting) in due {
            self.catch_up([&question.client, &question.server], known);
            if let Some(ruled) = self.ruling(&question, &waiting.flow, known) {
                told.push(denied(question, &waiting, ruled));
            }
        }
    }

    /// On what ground something is denied, if it is, with the latest that is known of the two.
    fn ruling(&mut self, question: &Question, flow: &FlowHead, known: Known<'_>) -> Option<Ruled> {
        match question.by {
            DeniedBy::Policy => {
                let first = self.policy_says(question, known)?;
                if self.renew([&question.client, &question.server], known) {
                    self.policy_says(question, known)
                } else {
                    Some(first)
                }
            }
            DeniedBy::Profile(side) => self.profile_says(question, flow, side, known),
        }
    }

    /// Lets the policy know the latest of these, as far as it is stale. Whether it was.
    fn renew(&mut self, hosts: [&Host; 2], known: Known<'_>) -> bool {
        let ids = hosts.into_iter().filter_map(|host| known.inventory.glance(host)).map(|glance| glance.id);
        let is_stale = |id: &DeviceId| self.taken.get(id).is_none_or(|last| known.at.since(*last) >= STALE);
        let stale: Vec<DeviceId> = ids.filter(is_stale).collect();
        for id in &stale {
            self.changed.remove(id);
            self.take_in(*id, known);
        }
        !stale.is_empty()
    }

    fn policy_says(&self, question: &Question, known: Known<'_>) -> Option<Ruled> {
        let policy = self.policy.as_ref()?;
        let ask = question.ask(known.names);
        let decision = policy.decide(&ask);
        let ground = match decision.why {
            _ if decision.verdict == Verdict::Allow => return None,
            Why::Allowed | Why::SomeOperations => return None,
            Why::Denied => Ground::Rule,
            Why::Conduit(_) => Ground::Conduit,
            Why::Operation => Ground::Operation,
            Why::Protocol => Ground::Protocol,
            Why::NoRule => Ground::Unlisted,
        };
        Some(Ruled {
            ground,
            rule: policy.rule_of(&decision).unwrap_or_default(),
            why: policy.sentence(&decision),
            zones: policy.crossed_zones(&ask).map(|(from, to)| format!("{from} -> {to}")),
        })
    }

    fn profile_says(
        &mut self,
        question: &Question,
        flow: &FlowHead,
        side: Side,
        known: Known<'_>,
    ) -> Option<Ruled> {
        let (own, other) = (flow.endpoint(side), flow.endpoint(side.other()));
        let glance = known.inventory.glance(&own.host)?;
        let device = known.inventory.device(glance.id)?;
        let file = self.profiles.of(glance.id, || Some(device.clone()))?;
        let of_other = known.inventory.glance(&other.host).map(|glance| glance.id);
        let of_other = of_other.and_then(|id| known.inventory.device(id));
        let name =
            flow.client.host.ip.zip(other.host.ip).and_then(|(client, ip)| known.names.name(client, ip));
        let icmp = match (question.transport, question.answered) {
            // Of the messages of ICMP only the echo is answered (RFC 792; RFC 4443, section 4); which one it was of those that
            // are not is not known.
            (Transport::Icmp, true) => Some((8, 0)),
            (Transport::Icmpv6, true) => Some((128, 0)),
            (Transport::Icmp | Transport::Icmpv6, false) => return None,
            _ => None,
        };
        let has_ports = matches!(question.transport, Transport::Tcp | Transport::Udp | Transport::Sctp);
        let version = other.host.ip.or(own.host.ip).map(|ip| match ip.to_canonical() {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        });
        let conversation = Conversation {
            initiator: if side == Side::Client { Initiator::Device } else { Initiator::Peer },
            peer: Peer::of(&device, of_other.as_ref(), other.host, question.port, name),
            device: own.host.ip,
            version,
            transport: question.transport,
            device_port: has_ports.then_some(own.port),
            peer_port: has_ports.then_some(other.port),
            icmp,
            is_answered: question.answered,
        };
        let (_, obstacle) = mud::decide(file, &conversation).obstacle()?;
        let (ground, rule, why) = match obstacle {
            Ruling::Rule { ace, .. } => {
                (Ground::Rule, ace.name.clone(), format!("the rule {} of {} forbids it", ace.name, file.url))
            }
            _ => (Ground::Unlisted, String::new(), format!("no rule of {} allows it", file.url)),
        };
        Some(Ruled { ground, rule, why, zones: None })
    }
}

/// Whether neither policies nor profiles are about what a transport carries.
const fn is_outside(transport: Transport) -> bool {
    matches!(transport, ARP | Transport::Can | Transport::Wpan)
}

/// Whether a host has been known for long enough to be judged. Groups and hosts elsewhere are what they are.
fn is_settled(host: &Host, known: Known<'_>) -> bool {
    let is_group = host.mac.is_some_and(|mac| mac.is_group()) || host.ip.is_some_and(|ip| ip.is_multicast());
    is_group
        || known.inventory.glance(host).is_some_and(|glance| {
            glance.locality == Locality::External || known.at.since(glance.first) >= SETTLING
        })
}

/// By what two talk, and what is asked, in a few words.
fn service(question: &Question) -> String {
    let mut text = match (&question.protocol, question.transport) {
        (Some(protocol), _) => protocol.to_string(),
        (None, Transport::Tcp | Transport::Udp | Transport::Sctp) => {
            format!("{}/{}", question.transport, question.port)
        }
        (None, transport) => transport.to_string(),
    };
    if let Some((kind, _)) = &question.operation {
        text.push(' ');
        text.push_str(policy::operation_name(*kind));
    }
    text
}

fn denied(question: Question, seen: &Waiting, ruled: Ruled) -> Denied {
    let service = service(&question);
    let (operation, target) = question.operation.unzip();
    Denied {
        flow: seen.flow,
        by: question.by,
        ground: ruled.ground,
        rule: ruled.rule.into(),
        why: ruled.why.into(),
        zones: ruled.zones.map(String::into_boxed_str),
        service: service.into(),
        operation,
        target: target.flatten(),
        answered: question.answered,
        since: seen.since,
        times: seen.times,
    }
}
