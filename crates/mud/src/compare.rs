//! What was seen against a description, and a description against another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Timestamp, Transport};

use crate::decide::{Ruling, decide, is_never_routed};
use crate::file::{
    Ace, Acl, AclKind, Eth, Forwarding, Initiator, Ip, IpVersion, L4, Matches, MudFile, Network, Ports,
};
use crate::generate::Seen;

/// Most deviations that are told of one device; those of the fewest conversations are left out, and counted.
pub const MAX_DEVIATIONS: usize = 1_000;

/// A rule by the names of its list and its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleName {
    /// The list.
    pub acl: String,
    /// The rule.
    pub ace: String,
}

impl RuleName {
    fn of(acl: &Acl, ace: &Ace) -> Self {
        Self { acl: acl.name.clone(), ace: ace.name.clone() }
    }
}

/// Something that a device does, or that is done with it, although its description does not allow it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// Whose packets are forbidden.
    pub from: Initiator,
    /// The rule that forbids them; without one, no rule allows them.
    pub rule: Option<RuleName>,
    /// How many conversations.
    pub count: u64,
    /// Bytes in both directions.
    pub bytes: u64,
    /// When the first began.
    pub first: Timestamp,
    /// When the last ended.
    pub last: Timestamp,
    /// That of which there was most.
    pub example: Seen,
}

/// What was seen, held against a description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deviations {
    /// Deviations: those of most conversations first.
    pub found: Vec<Deviation>,
    /// Conversations that are allowed.
    pub allowed: u64,
    /// Conversations that are not, those that are left out among them.
    pub forbidden: u64,
    /// Deviations that are left out because there are more than [`MAX_DEVIATIONS`].
    pub left_out: usize,
    /// Rules of which nothing that was seen made use, in the order of the description.
    pub unused: Vec<RuleName>,
}

/// What makes deviations one: the side that is forbidden, the rule, who asks, and for what of whom.
type Matter = (Initiator, Option<RuleName>, Initiator, Transport, Option<u16>, Option<u8>, Whom);

/// A peer as people would name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Name(String),
    Local,
    Address(Option<IpAddr>),
}

/// Holds what was seen against a description.
pub fn deviations(file: &MudFile, seen: &[Seen]) -> Deviations {
    let mut result = Deviations::default();
    let mut matters = BTreeMap::<Matter, Deviation>::new();
    let mut used = BTreeSet::new();
    for seen in seen {
        let conversation = seen.conversation();
        let decision = decide(file, &conversation);
        for ruling in [decision.from_device, decision.to_device].iter().flatten() {
            if let Ruling::Rule { acl, ace } = ruling {
                used.insert(RuleName::of(acl, ace));
            }
        }
        let Some((from, ruling)) = decision.obstacle() else {
            result.allowed = result.allowed.saturating_add(seen.count);
            continue;
        };
        result.forbidden = result.forbidden.saturating_add(seen.count);
        let rule = match ruling {
            Ruling::Rule { acl, ace } => Some(RuleName::of(acl, ace)),
            _ => None,
        };
        let whom = match seen.peer.names.iter().min() {
            Some(name) => Whom::Name(name.to_ascii_lowercase()),
            None if seen.peer.is_local() => Whom::Local,
            None => Whom::Address(seen.peer.address),
        };
        let kind = seen.icmp.map(|(kind, _)| kind);
        let matter = (from, rule.clone(), seen.initiator, seen.transport, seen.server_port, kind, whom);
        let one = Deviation {
            from,
            rule,
            count: 0,
            bytes: 0,
            first: seen.first,
            last: seen.last,
            example: seen.clone(),
        };
        let deviation = matters.entry(matter).or_insert(one);
        deviation.count = deviation.count.saturating_add(seen.count);
        deviation.bytes = deviation.bytes.saturating_add(seen.bytes);
        deviation.first = deviation.first.min(seen.first);
        deviation.last = deviation.last.max(seen.last);
        let rank = |seen: &Seen| (seen.count, seen.bytes, std::cmp::Reverse(seen.peer.clone()));
        if rank(seen) > rank(&deviation.example) {
            deviation.example = seen.clone();
        }
    }
    result.found = matters.into_values().collect();
    // The sort is stable: what is as frequent stays in the order of the matters.
    result.found.sort_by_key(|deviation| std::cmp::Reverse(deviation.count));
    result.left_out = result.found.len().saturating_sub(MAX_DEVIATIONS);
    result.found.truncate(MAX_DEVIATIONS);
    result.unused =
        file.aces().map(|(acl, ace)| RuleName::of(acl, ace)).filter(|rule| !used.contains(rule)).collect();
    result
}

/// How a rule of one description stands to a rule of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// It is there only in the first.
    OnlyFirst,
    /// It is there only in the second.
    OnlySecond,
    /// That of the first holds for all that the second's does, and more.
    Wider,
    /// That of the first holds for less than the second's does.
    Narrower,
    /// They hold for the same.
    Equal,
}

/// A rule of one description, and where there is one the rule of the other that it is held against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Whose packets they are about.
    pub from: Initiator,
    /// How they stand to each other.
    pub relation: Relation,
    /// The rule of the first description.
    pub first: Option<RuleName>,
    /// The rule of the second.
    pub second: Option<RuleName>,
}

/// Holds two descriptions against each other, rule by rule: every rule that a policy of either uses is told once or
/// more, in the order of the first description, then of the second. A rule that is wider than several is told with
/// each. The order among rules is not compared.
pub fn compare(first: &MudFile, second: &MudFile) -> Vec<Difference> {
    let mut differences = Vec::new();
    for from in [Initiator::Device, Initiator::Peer] {
        let (ones, others) = (rules(first, from), rules(second, from));
        let mut met = vec![false; others.len()];
        for one in &ones {
            let mut is_met = false;
            for relation in [Relation::Equal, Relation::Narrower, Relation::Wider] {
                if is_met {
                    break;
                }
                for (place, other) in others.iter().enumerate() {
                    if one.relation(other) == Some(relation) {
                        (is_met, met[place]) = (true, true);
                        let (first, second) = (Some(one.name()), Some(other.name()));
                        differences.push(Difference { from, relation, first, second });
                        if relation != Relation::Wider {
                            break;
                        }
                    }
                }
            }
            if !is_met {
                let relation = Relation::OnlyFirst;
                differences.push(Difference { from, relation, first: Some(one.name()), second: None });
            }
        }
        for (other, _) in others.iter().zip(&met).filter(|(_, is_met)| !**is_met) {
            // It may stand against a rule that was told with a closer one.
            let related = ones.iter().find_map(|one| Some((one, one.relation(other)?)));
            let (relation, first) =
                related.map_or((Relation::OnlySecond, None), |(one, relation)| (relation, Some(one.name())));
            differences.push(Difference { from, relation, first, second: Some(other.name()) });
        }
    }
    differences
}

/// What a description allows that another one does not, and the other way round, as far as rules tell one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Rules by which the second allows more: those that allow what no rule of the first does, and those of the first
    /// that forbid what no rule of the second does.
    pub grows: Vec<(Initiator, RuleName)>,
    /// Rules by which the second allows less.
    pub shrinks: Vec<(Initiator, RuleName)>,
}

/// What changes from one description to the next.
///
/// A rule that allows is no growth if one of the first allows at least as much, and nothing that was forbidden before that
/// one is forbidden no more before this one. A rule that forbids may not go: what is allowed by default stands behind it.
pub fn changes(first: &MudFile, second: &MudFile) -> Change {
    let mut change = Change::default();
    for from in [Initiator::Device, Initiator::Peer] {
        let (old, new) = (rules(first, from), rules(second, from));
        let names =
            |found: Vec<&Rule<'_>>| found.into_iter().map(|rule| (from, rule.name())).collect::<Vec<_>>();
        change.grows.extend(names(not_allowed(&new, &old)));
        change.grows.extend(names(not_forbidden(&old, &new)));
        change.shrinks.extend(names(not_allowed(&old, &new)));
        change.shrinks.extend(names(not_forbidden(&new, &old)));
    }
    change
}

/// Rules of the first that allow what no rule of the second does.
fn not_allowed<'a>(ones: &'a [Rule<'a>], others: &[Rule<'_>]) -> Vec<&'a Rule<'a>> {
    // For each rule of the second, how many of the first forbid all that is forbidden before it.
    let mut needed = Vec::with_capacity(others.len());
    let mut most = 0;
    for other in others {
        needed.push(most);
        if other.forbids() {
            let place = ones.iter().position(|one| one.forbids() && one.holds_for(other));
            most = most.max(place.map_or(usize::MAX, |place| place + 1));
        }
    }
    let is_kept = |place: usize, one: &Rule<'_>| {
        others
            .iter()
            .zip(&needed)
            .any(|(other, needed)| *needed <= place && other.allows() && other.holds_for(one))
    };
    ones.iter()
        .enumerate()
        .filter(|(place, one)| one.allows() && !is_kept(*place, one))
        .map(|(_, one)| one)
        .collect()
}

/// Rules of the first that forbid what no rule of the second does.
fn not_forbidden<'a>(ones: &'a [Rule<'a>], others: &[Rule<'_>]) -> Vec<&'a Rule<'a>> {
    let is_kept = |one: &Rule<'_>| others.iter().any(|other| other.forbids() && other.holds_for(one));
    ones.iter().filter(|one| one.forbids() && !is_kept(one)).collect()
}

/// A rule and its list.
struct Rule<'a> {
    acl: &'a Acl,
    ace: &'a Ace,
}

fn rules(file: &MudFile, from: Initiator) -> Vec<Rule<'_>> {
    let names = if from == Initiator::Device { &file.from_device } else { &file.to_device };
    let acls = names.iter().filter_map(|name| file.acl(name));
    acls.flat_map(|acl| acl.aces.iter().map(move |ace| Rule { acl, ace })).collect()
}

impl Rule<'_> {
    fn name(&self) -> RuleName {
        RuleName::of(self.acl, self.ace)
    }

    /// Whether it ever allows anything.
    fn allows(&self) -> bool {
        self.ace.forwarding == Forwarding::Accept && !self.ace.is_partial()
    }

    fn forbids(&self) -> bool {
        self.ace.forwarding != Forwarding::Accept
    }

    /// Whether it does for all that the other one holds for what that one does.
    fn holds_for(&self, other: &Self) -> bool {
        self.is_comparable(other) && self.covers(other)
    }

    fn relation(&self, other: &Self) -> Option<Relation> {
        if !self.is_comparable(other) {
            return None;
        }
        match (self.covers(other), other.covers(self)) {
            (true, true) => Some(Relation::Equal),
            (true, false) => Some(Relation::Wider),
            (false, true) => Some(Relation::Narrower),
            (false, false) => None,
        }
    }

    fn is_comparable(&self, other: &Self) -> bool {
        self.ace.forwarding == other.ace.forwarding && self.conditions() == other.conditions()
    }

    /// Conditions that are not understood: rules that differ in them cannot be compared.
    fn conditions(&self) -> Vec<(&String, &serde_json::Value)> {
        self.ace.unknown.iter().filter(|(path, _)| path.starts_with("matches/")).collect()
    }

    /// The versions of IP that it may hold for, of both; and whether for what is not IP.
    fn versions(&self) -> [bool; 3] {
        let list = match self.acl.kind {
            None => [true, true, true],
            Some(AclKind::Ipv4) => [true, false, false],
            Some(AclKind::Ipv6) => [false, true, false],
            Some(AclKind::MixedEthIpv4) => [true, false, true],
            Some(AclKind::MixedEthIpv6) => [false, true, true],
            Some(AclKind::Eth | AclKind::MixedEthIpv4Ipv6) => [true, true, true],
        };
        let ethertype = self.ace.matches.eth.as_ref().and_then(|eth| eth.ethertype);
        let fits = |version, kind| {
            self.ace.matches.ip.as_ref().is_none_or(|ip| ip.version == version)
                && ethertype.is_none_or(|wanted| wanted == kind)
        };
        let other = self.ace.matches.eth.is_some()
            && self.ace.matches.ip.is_none()
            && self.ace.matches.l4.is_none()
            && !matches!(ethertype, Some(0x0800 | 0x86dd));
        [list[0] && fits(IpVersion::V4, 0x0800), list[1] && fits(IpVersion::V6, 0x86dd), list[2] && other]
    }

    /// Whether it holds wherever the other one does, as far as the conditions tell one by one.
    fn covers(&self, other: &Self) -> bool {
        self.versions().iter().zip(other.versions()).all(|(one, other)| *one || !other)
            && covers(&self.ace.matches, &other.ace.matches)
    }
}

/// Whether a condition holds wherever another one does: none always holds.
fn holds<T>(one: Option<&T>, other: Option<&T>, covers: impl Fn(&T, &T) -> bool) -> bool {
    one.is_none_or(|one| other.is_some_and(|other| covers(one, other)))
}

fn covers(one: &Matches, other: &Matches) -> bool {
    let (near, far) = (&one.mud, &other.mud);
    let ports = |one: &Option<Ports>, other: &Option<Ports>| {
        holds(one.as_ref(), other.as_ref(), |one, other| one.covers(*other))
    };
    holds(near.manufacturer.as_ref(), far.manufacturer.as_ref(), |one, other| one == other)
        && (!near.same_manufacturer || far.same_manufacturer)
        && holds(near.model.as_ref(), far.model.as_ref(), |one, other| one == other)
        && (!near.local_networks || far.local_networks || other.ip.as_ref().is_some_and(stays))
        && holds(near.controller.as_ref(), far.controller.as_ref(), |one, other| one == other)
        && (!near.my_controller || far.my_controller)
        && covers_eth(one.eth.as_ref(), other)
        && covers_ip(one.ip.as_ref(), other)
        && holds(one.l4.as_ref(), other.l4.as_ref(), |one, other| match (one, other) {
            (
                L4::Tcp { source, destination, initiated },
                L4::Tcp { source: from, destination: to, initiated: by },
            ) => {
                ports(source, from)
                    && ports(destination, to)
                    && initiated.is_none_or(|side| *by == Some(side))
            }
            (L4::Udp { source, destination }, L4::Udp { source: from, destination: to }) => {
                ports(source, from) && ports(destination, to)
            }
            (L4::Icmp { kind, code }, L4::Icmp { kind: other, code: of }) => {
                holds(kind.as_ref(), other.as_ref(), u8::eq) && holds(code.as_ref(), of.as_ref(), u8::eq)
            }
            _ => false,
        })
}

/// Whether it is about one group that is never routed, and so about what is local.
fn stays(ip: &Ip) -> bool {
    let is_group = |network: &Network| {
        let (address, length) = (network.address(), if network.address().is_ipv4() { 32 } else { 128 });
        network.prefix() == length && address.is_multicast() && is_never_routed(&address)
    };
    ip.source.as_ref().is_some_and(is_group) || ip.destination.as_ref().is_some_and(is_group)
}

fn covers_eth(one: Option<&Eth>, other: &Matches) -> bool {
    let Some(one) = one else { return true };
    let far = other.eth.clone().unwrap_or_default();
    let kind = far
        .ethertype
        .or_else(|| other.ip.as_ref().map(|ip| if ip.version == IpVersion::V4 { 0x0800 } else { 0x86dd }));
    one.ethertype.is_none_or(|wanted| kind == Some(wanted))
        && holds(one.source.as_ref(), far.source.as_ref(), |one, other| one == other)
        && holds(one.destination.as_ref(), far.destination.as_ref(), |one, other| one == other)
}

/// Versions are compared elsewhere: a list may have one where its rule has none.
fn covers_ip(one: Option<&Ip>, other: &Matches) -> bool {
    let Some(one) = one else { return true };
    let any = Ip::any(one.version);
    let far = other.ip.as_ref().unwrap_or(&any);
    let carried = far.protocol.or(match other.l4 {
        Some(L4::Tcp { .. }) => Some(6),
        Some(L4::Udp { .. }) => Some(17),
        // ICMP or ICMPv6: the version does not tell which is allowed.
        Some(L4::Icmp { .. }) | None => None,
    });
    let network = |one: Option<Network>, other: Option<Network>| {
        holds(one.as_ref(), other.as_ref(), |one, other| one.covers(*other))
    };
    one.protocol.is_none_or(|wanted| carried == Some(wanted))
        && network(one.source, far.source)
        && network(one.destination, far.destination)
        && holds(one.source_name.as_ref(), far.source_name.as_ref(), |one, other| one == other)
        && holds(one.destination_name.as_ref(), far.destination_name.as_ref(), |one, other| one == other)
}
