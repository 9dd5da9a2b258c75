//! Few rules that cover what was seen.

use std::collections::{BTreeMap, BTreeSet};

use model::{DeviceId, Host, OperationKind, Transport};
use query::Network;

use super::{DENSITY, Kind, MANY_CLIENTS, MANY_NAMES, MANY_PORTS, MANY_TARGETS, Names, Party, service};
use crate::compile::Compiled;
use crate::prove::Use;
use crate::service::Protocols;
use crate::sets::Whereabouts;
use crate::syntax::{Operation, Rule, Service, Term, Verdict};
use crate::{Place, Target};

/// A target is at most so long, in bytes; longer ones are any.
const MAX_TARGET: usize = 200;

/// The first port that is not one of the system's (RFC 6335 section 6).
const UNPRIVILEGED: u16 = 1_024;

impl Party {
    /// As a rule names it.
    pub(super) fn term(&self, names: &Names) -> Term {
        match self {
            Self::Device(id) => {
                names.devices.get(id).map_or(Term::Device(*id), |name| Term::Name(name.clone()))
            }
            Self::Address(ip) => Term::Network(Network::host(*ip)),
            Self::Mac(mac) => Term::Mac(*mac),
            Self::Domain(name) => Term::Domain(name.clone()),
            Self::Internet => Term::Internet,
            Self::Local => Term::Local,
            Self::Multicast => Term::Multicast,
            Self::Broadcast => Term::Broadcast,
            Self::Group(number) => {
                names.kinds.get(*number).map_or(Term::Anyone, |kind| Term::Name(kind.name.clone()))
            }
        }
    }
}

fn party(bare: &Compiled, host: &Host) -> Party {
    let place = bare.class(bare.class_of_host(host)).place;
    match (place, bare.device_of(host), host.ip, host.mac) {
        (Whereabouts::Multicast, ..) => Party::Multicast,
        (Whereabouts::Broadcast, ..) => Party::Broadcast,
        (Whereabouts::Local, Some(id), ..) => Party::Device(id),
        (_, _, Some(ip), _) => Party::Address(ip.to_canonical()),
        (_, Some(id), None, _) => Party::Device(id),
        (_, None, None, Some(mac)) => Party::Mac(mac),
        (_, None, None, None) => Party::Local,
    }
}

/// Who asks.
pub(super) fn client(bare: &Compiled, used: &Use) -> Party {
    party(bare, &used.client)
}

/// Who is asked: by name rather than by an address that changes.
pub(super) fn server(bare: &Compiled, used: &Use) -> Party {
    match (party(bare, &used.server), used.name.as_deref()) {
        (Party::Address(ip), Some(name)) => {
            let name = name.trim_end_matches('.').to_lowercase();
            // What cannot be written as a name of the DNS stays an address.
            let text = format!("guard {}", crate::syntax::Quoted(&name));
            match crate::parse(&text).ok().and_then(|policy| policy.guards.into_iter().next()?.members.pop())
            {
                Some(Term::Domain(name)) if !name.starts_with('*') => Party::Domain(name),
                _ => Party::Address(ip),
            }
        }
        (party, _) => party,
    }
}

/// What was asked of one kind: targets, and whether it was ever asked of nothing that can be said.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    targets: BTreeSet<Box<str>>,
    any: bool,
}

type Operations = BTreeMap<OperationKind, Asked>;

/// What was seen of one service, by who asks whom.
type Edges = BTreeMap<(Party, Party), Operations>;

/// A rule in the making: services by their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    from: BTreeSet<Party>,
    to: BTreeSet<Party>,
    services: BTreeSet<Label>,
    operations: Operations,
}

/// A service in an order of its own: by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Label(String, Service);

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// Rules that cover the uses.
pub(super) fn cover(bare: &Compiled, protocols: &Protocols, uses: &[&Use], names: &Names) -> Vec<Rule> {
    let kinds = &names.kinds;
    let group_of: BTreeMap<DeviceId, usize> = kinds
        .iter()
        .enumerate()
        .flat_map(|(number, kind)| kind.members.iter().map(move |id| (*id, number)))
        .collect();
    let group = |party: &Party| match party {
        Party::Device(id) => group_of.get(id).map_or_else(|| party.clone(), |number| Party::Group(*number)),
        party => party.clone(),
    };
    let mut seen: Vec<(Party, Party, Service, &Use)> = uses
        .iter()
        .map(|used| (client(bare, used), server(bare, used), service(protocols, used), *used))
        .collect();
    for (from, to, ..) in seen.iter_mut().filter(|(.., used)| resolves(used)) {
        for party in [from, to] {
            if matches!(party, Party::Device(_) | Party::Mac(_)) {
                *party = Party::Local;
            }
        }
    }
    widen_names(&mut seen);
    widen_clients(bare, &mut seen);
    widen_ports(&mut seen, &group);
    let mut services: BTreeMap<Label, Edges> = BTreeMap::new();
    for (from, to, service, used) in seen {
        let edges = services.entry(Label(service.to_string(), service)).or_default();
        let operations = edges.entry((from, to)).or_default();
        for operation in used.operations.iter().filter(|_| !resolves(used)) {
            let asked = operations.entry(operation.kind).or_default();
            match &operation.target {
                Some(target) => _ = asked.targets.insert(target.clone()),
                None => asked.any = true,
            }
        }
    }
    let mut blocks = Vec::new();
    for (service, edges) in services {
        blocks.extend(blocks_of(service, edges, &group, kinds));
    }
    for block in &mut blocks {
        narrow(&mut block.operations);
    }
    level(&mut blocks, |block| block.from.clone());
    level(&mut blocks, |block| block.to.clone());
    let mut rules: Vec<Rule> = join(blocks).iter().map(|block| rule(block, names)).collect();
    rules.sort_by_cached_key(ToString::to_string);
    rules
}

/// Whether it is the resolution of addresses (RFC 826), without which nobody on a link talks to anybody.
fn resolves(used: &Use) -> bool {
    used.transport == Transport::Ether(0x0806)
}

/// Many names that end alike are all that do. Only below names of three labels: what ends in fewer may be many owners'.
fn widen_names(seen: &mut [(Party, Party, Service, &Use)]) {
    let parent = |name: &str| {
        let (_, parent) = name.split_once('.')?;
        (parent.split('.').count() >= 3).then(|| parent.to_owned())
    };
    let mut siblings: BTreeMap<String, BTreeSet<Box<str>>> = BTreeMap::new();
    for (_, to, ..) in seen.iter() {
        if let Party::Domain(name) = to
            && let Some(parent) = parent(name)
        {
            siblings.entry(parent).or_default().insert(name.clone());
        }
    }
    for (_, to, ..) in seen.iter_mut() {
        if let Party::Domain(name) = to
            && let Some(parent) = parent(name)
            && siblings.get(&parent).is_some_and(|names| names.len() >= MANY_NAMES)
        {
            *name = format!("*.{parent}").into();
        }
    }
}

/// Many hosts of the Internet that ask the same of the same are the Internet.
fn widen_clients(bare: &Compiled, seen: &mut [(Party, Party, Service, &Use)]) {
    let outside = |party: &Party| match party {
        Party::Address(ip) => {
            bare.class(bare.class_of_host(&Host::from_ip(*ip))).place == Whereabouts::Internet
        }
        _ => false,
    };
    let mut clients: BTreeMap<(Party, String), BTreeSet<Party>> = BTreeMap::new();
    for (from, to, service, _) in seen.iter().filter(|(from, ..)| outside(from)) {
        clients.entry((to.clone(), service.to_string())).or_default().insert(from.clone());
    }
    for (from, to, service, _) in seen.iter_mut() {
        let many = clients
            .get(&(to.clone(), service.to_string()))
            .is_some_and(|clients| clients.len() >= MANY_CLIENTS);
        if many && outside(from) {
            *from = Party::Internet;
        }
    }
}

/// Many ports between two kinds of hosts are a range. Those below are of services that have a name.
fn widen_ports(seen: &mut [(Party, Party, Service, &Use)], group: &impl Fn(&Party) -> Party) {
    let mut ports: BTreeMap<(Party, Party, Transport), BTreeSet<u16>> = BTreeMap::new();
    let single = |service: &Service| match service {
        Service::Carrier { transport, first, last } if first == last && *first >= UNPRIVILEGED => {
            Some((*transport, *first))
        }
        _ => None,
    };
    for (from, to, service, _) in seen.iter() {
        if let Some((transport, port)) = single(service) {
            ports.entry((group(from), group(to), transport)).or_default().insert(port);
        }
    }
    for (from, to, service, _) in seen.iter_mut() {
        let Some((transport, _)) = single(service) else { continue };
        let Some(ports) = ports.get(&(group(from), group(to), transport)) else { continue };
        if let (true, Some(first), Some(last)) = (ports.len() > MANY_PORTS, ports.first(), ports.last()) {
            *service = Service::Carrier { transport, first: *first, last: *last };
        }
    }
}

/// Covers what was seen of one service.
fn blocks_of(service: Label, edges: Edges, group: &impl Fn(&Party) -> Party, kinds: &[Kind]) -> Vec<Block> {
    let members = |party: &Party| match party {
        Party::Group(number) => kinds.get(*number).map_or(1, |kind| kind.members.len()),
        _ => 1,
    };
    let mut left = edges;
    let mut blocks = Vec::new();
    // First both sides as groups, then one, then none.
    for widen in [(true, true), (true, false), (false, true), (false, false)] {
        let side = |party: &Party, widen: bool| if widen { group(party) } else { party.clone() };
        let mut found: BTreeMap<(Party, Party), Vec<(Party, Party)>> = BTreeMap::new();
        for (from, to) in left.keys() {
            let pair = (side(from, widen.0), side(to, widen.1));
            found.entry(pair).or_default().push((from.clone(), to.clone()));
        }
        for ((from, to), pairs) in found {
            // Nobody talks to himself.
            let own = if from == to { members(&from) } else { 0 };
            let all = (members(&from) * members(&to)).saturating_sub(own);
            if pairs.len() * DENSITY < all {
                continue;
            }
            let mut operations = Operations::new();
            // Where some operations are known, conversations of which none is known are allowed all the same.
            for pair in pairs {
                for (kind, asked) in left.remove(&pair).unwrap_or_default() {
                    let all = operations.entry(kind).or_default();
                    all.targets.extend(asked.targets);
                    all.any |= asked.any;
                }
            }
            blocks.push(Block {
                from: BTreeSet::from([from]),
                to: BTreeSet::from([to]),
                services: BTreeSet::from([service.clone()]),
                operations,
            });
        }
    }
    blocks
}

/// Whether an operation changes something, so that it matters what: whoever reads may read.
const fn changes(kind: OperationKind) -> bool {
    !matches!(
        kind,
        OperationKind::Discover
            | OperationKind::Identify
            | OperationKind::Read
            | OperationKind::Subscribe
            | OperationKind::Authenticate
            | OperationKind::Diagnose
            | OperationKind::ProgramUpload
    )
}

/// Targets that can be said in few words; else any.
fn narrow(operations: &mut Operations) {
    for (kind, asked) in operations {
        let told = std::mem::take(&mut asked.targets);
        asked.any |= !changes(*kind);
        if asked.any {
            continue;
        }
        match few(&told) {
            Some(targets) => asked.targets = targets,
            None => asked.any = true,
        }
    }
}

/// At most [`MANY_TARGETS`] targets that cover what was told.
fn few(told: &BTreeSet<Box<str>>) -> Option<BTreeSet<Box<str>>> {
    let mut ranges: BTreeMap<Box<str>, Vec<(u64, u64)>> = BTreeMap::new();
    let mut few: BTreeSet<Box<str>> = BTreeSet::new();
    for item in told.iter().flat_map(|told| told.split(", ")) {
        match Target::parse(item) {
            Ok(Target::Range(range)) => {
                ranges.entry(range.table).or_default().push((range.first, range.last));
            }
            Ok(Target::Topic(_)) => _ = few.insert(item.into()),
            Ok(Target::Text(pattern)) if pattern.as_literal().is_some() => _ = few.insert(item.into()),
            _ => return None,
        }
        if few.len() > MANY_TARGETS {
            return None;
        }
    }
    for (table, mut all) in ranges {
        all.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (first, last) in all {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        if let (true, Some(first), Some(last)) = (merged.len() > MANY_TARGETS, merged.first(), merged.last())
        {
            merged = vec![(first.0, last.1)];
        }
        few.extend(merged.iter().map(|(first, last)| match first == last {
            true => format!("{table} {first}").into(),
            false => format!("{table} {first}-{last}").into(),
        }));
    }
    let readable = |text: &str| text.len() <= MAX_TARGET && !text.chars().any(char::is_control);
    (few.len() <= MANY_TARGETS && few.iter().all(|text| readable(text))).then_some(few)
}

/// Where one side does the same to many, each time to another target, any target will do.
fn level(blocks: &mut [Block], side: impl Fn(&Block) -> BTreeSet<Party>) {
    let key = |block: &Block| {
        (side(block), block.services.clone(), block.operations.keys().copied().collect::<Vec<_>>())
    };
    let mut targets: BTreeMap<_, BTreeSet<Operations>> = BTreeMap::new();
    for block in blocks.iter() {
        targets.entry(key(block)).or_default().insert(block.operations.clone());
    }
    for block in blocks {
        if targets.get(&key(block)).is_some_and(|different| different.len() > MANY_TARGETS) {
            for asked in block.operations.values_mut() {
                *asked = Asked { targets: BTreeSet::new(), any: true };
            }
        }
    }
}

/// Joins rules that differ in one thing only: that allows nothing more.
fn join(blocks: Vec<Block>) -> Vec<Block> {
    fn by<K: Ord>(
        blocks: Vec<Block>,
        key: impl Fn(&Block) -> K,
        add: impl Fn(&mut Block, Block),
    ) -> Vec<Block> {
        let mut joined: BTreeMap<K, Block> = BTreeMap::new();
        for block in blocks {
            match joined.entry(key(&block)) {
                std::collections::btree_map::Entry::Vacant(place) => _ = place.insert(block),
                std::collections::btree_map::Entry::Occupied(mut place) => add(place.get_mut(), block),
            }
        }
        joined.into_values().collect()
    }
    let services = |blocks| {
        // Operations belong to their services.
        by(
            blocks,
            |block| {
                let own = (!block.operations.is_empty()).then(|| block.services.clone());
                (block.from.clone(), block.to.clone(), block.operations.clone(), own)
            },
            |block, other| block.services.extend(other.services),
        )
    };
    let destinations = |blocks| {
        by(
            blocks,
            |block| (block.from.clone(), block.services.clone(), block.operations.clone()),
            |block, other| block.to.extend(other.to),
        )
    };
    let sources = |blocks| {
        by(
            blocks,
            |block| (block.to.clone(), block.services.clone(), block.operations.clone()),
            |block, other| block.from.extend(other.from),
        )
    };
    sources(destinations(services(sources(destinations(blocks)))))
}

fn rule(block: &Block, names: &Names) -> Rule {
    let terms = |parties: &BTreeSet<Party>| parties.iter().map(|party| party.term(names)).collect();
    let operations = block.operations.iter().flat_map(|(kind, asked)| {
        let any = asked.any.then_some(Operation { kind: *kind, target: None });
        let some = asked.targets.iter().map(|target| Operation { kind: *kind, target: Some(target.clone()) });
        any.into_iter().chain(some.filter(|_| !asked.any))
    });
    Rule {
        verdict: Verdict::Allow,
        label: None,
        from: terms(&block.from),
        to: terms(&block.to),
        services: block.services.iter().map(|label| label.1.clone()).collect(),
        operations: operations.collect(),
        place: Place::default(),
    }
}
