//! What changes from one policy to another, in terms of who may talk to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use model::{Attribute, Host};

use crate::Map;
use crate::compile::{ClassId, Compiled, Entry};
use crate::service::Ports;
use crate::sets::{SetId, Whereabouts};
use crate::syntax::Verdict;
use crate::view::{Member, Spot, View, one_line};
use crate::{MAX_PAIRS, Way};

/// Conversations that become allowed or denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What they become.
    pub now: Verdict,
    /// Who opens them: a zone, else a group, else a role.
    pub from: String,
    /// To whom.
    pub to: String,
    /// On which ports.
    pub ports: Ports,
    /// Two of them, for example.
    pub example: (String, String),
}

/// A zone or group that can be reached, if not straight then through others, or cannot any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachChange {
    /// From where.
    pub from: String,
    /// Where.
    pub to: String,
    /// A shortest way that there is now; none if there was one.
    pub way: Option<Way>,
}

/// What changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Rules that are only in the new policy, or mean something else there.
    pub added: Vec<String>,
    /// Rules that are only in the old policy, or mean something else there.
    pub removed: Vec<String>,
    /// Conversations, by who opens them to whom. Operations within conversations are seen in the rules.
    pub changes: Vec<Change>,
    /// What can be reached.
    pub reach: Vec<ReachChange>,
    /// Whether all pairs of hosts that could have changed were looked at; there may be more than [`MAX_PAIRS`].
    pub complete: bool,
}

/// Hosts that are in one class before and in one class after.
struct Joint {
    before: ClassId,
    after: ClassId,
    name: String,
    example: String,
    alone: bool,
    can_ask: bool,
}

/// On which ports something changes, and for whom for example.
type Changed = (Ports, (String, String));

/// What an entry means: who to whom, by what.
type Meaning = (Vec<u32>, Vec<u32>, Ports, Verdict, String);

impl Diff {
    /// Compares two policies that were compiled against the same devices and names.
    pub fn new(before: &Compiled, after: &Compiled) -> Self {
        Self::within(before, after, MAX_PAIRS)
    }

    /// The same, with another limit on the pairs of classes that are looked at.
    pub(crate) fn within(before: &Compiled, after: &Compiled, most: usize) -> Self {
        let views = (before.view(), after.view());
        let joints = joints(&views.0, &views.1);
        let (old, new) =
            (meanings(before, &joints, |joint| joint.before), meanings(after, &joints, |joint| joint.after));
        let mut diff = Self { complete: true, ..Self::default() };
        let mut pairs = BTreeSet::new();
        let mut collect = |mine: &BTreeMap<Meaning, u32>,
                           others: &BTreeMap<Meaning, u32>,
                           compiled: &Compiled,
                           texts: &mut Vec<String>| {
            for (meaning, number) in mine.iter().filter(|(meaning, _)| !others.contains_key(*meaning)) {
                texts.extend(compiled.policy.rules.get(*number as usize).map(ToString::to_string));
                for pair in meaning.0.iter().flat_map(|from| meaning.1.iter().map(|to| (*from, *to))) {
                    if pairs.len() >= most {
                        diff.complete = false;
                        break;
                    }
                    pairs.insert(pair);
                }
            }
        };
        collect(&new, &old, after, &mut diff.added);
        collect(&old, &new, before, &mut diff.removed);
        // Conduits and zones bound each other: where any of them differs, all that cross one are looked at.
        let (old, new) =
            (bounds(before, &joints, |joint| joint.before), bounds(after, &joints, |joint| joint.after));
        if old != new {
            for (from, to, _) in old.0.iter().chain(&new.0) {
                for pair in from.iter().flat_map(|from| to.iter().map(|to| (*from, *to))) {
                    if pairs.len() >= most {
                        diff.complete = false;
                        break;
                    }
                    pairs.insert(pair);
                }
            }
        }
        let mut changes: BTreeMap<(Verdict, String, String), Changed> = BTreeMap::new();
        for (from, to) in pairs {
            let (Some(from), Some(to)) = (joints.get(from as usize), joints.get(to as usize)) else {
                continue;
            };
            if std::ptr::eq(from, to) && from.alone || !from.can_ask {
                continue;
            }
            let was = before.open_ports(before.class(from.before), before.class(to.before));
            let is = after.open_ports(after.class(from.after), after.class(to.after));
            for (now, ports) in [(Verdict::Allow, is.difference(&was)), (Verdict::Deny, was.difference(&is))]
            {
                if !ports.is_empty() {
                    let example = || (Ports::default(), (from.example.clone(), to.example.clone()));
                    let found =
                        changes.entry((now, from.name.clone(), to.name.clone())).or_insert_with(example);
                    found.0 = found.0.union(&ports);
                }
            }
        }
        let change = |((now, from, to), (ports, example))| Change { now, from, to, ports, example };
        diff.changes = changes.into_iter().map(change).collect();
        diff.reach = reach(&views.0, &views.1);
        diff
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changes.is_empty() && self.reach.is_empty()
    }
}

/// Everybody, by the pair of classes that they are in.
fn joints(before: &View<'_>, after: &View<'_>) -> Vec<Joint> {
    let mut found: BTreeMap<(ClassId, ClassId), (Member, usize)> = BTreeMap::new();
    let mut put = |pair: (ClassId, ClassId), member| found.entry(pair).or_insert((member, 0)).1 += 1;
    for (id, known) in &before.compiled.known {
        if let Some(other) = after.compiled.known.get(id) {
            put((known.class, other.class), Member::Device(*id));
        }
    }
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    for compiled in [before.compiled, after.compiled] {
        addresses
            .extend(compiled.sets.intervals.iter().map(|one| IpAddr::V6(one.start.into()).to_canonical()));
        addresses.extend(compiled.named.keys());
    }
    for ip in addresses {
        let class = |compiled: &Compiled| {
            let named = compiled.named.get(&ip).copied();
            named.or_else(|| compiled.intervals.get(compiled.sets.interval(ip)).copied()).unwrap_or_default()
        };
        // Unknown hosts are many: twice one is enough to say so.
        put((class(before.compiled), class(after.compiled)), Member::Address(ip));
        put((class(before.compiled), class(after.compiled)), Member::Address(ip));
    }
    let macs: BTreeSet<_> = before.compiled.macs.keys().chain(after.compiled.macs.keys()).copied().collect();
    for mac in macs {
        let host = Host::from_mac(mac);
        put((before.compiled.class_of_host(&host), after.compiled.class_of_host(&host)), Member::Mac(mac));
    }
    let joint = |((old, new), (member, count)): ((ClassId, ClassId), (Member, usize))| {
        let class = after.compiled.class(new);
        let device = if let Member::Device(id) = member { after.compiled.device(id) } else { None };
        let zone = class.zones.first().and_then(|zone| after.compiled.policy.zones.get(*zone as usize));
        let named = zone.map(|zone| zone.name.to_string());
        let group = || after.compiled.names_of(class).first().map(|name| (*name).to_owned());
        let role = || device.and_then(|device| device.best(Attribute::Role)).map(one_line);
        let place = || match class.place {
            Whereabouts::Internet => "internet",
            Whereabouts::Local => "other local hosts",
            Whereabouts::Multicast => "multicast",
            Whereabouts::Broadcast => "broadcast",
        };
        let inside = class.place != Whereabouts::Internet;
        let name =
            named.or_else(group).or_else(|| role().filter(|_| inside)).unwrap_or_else(|| place().to_owned());
        let can_ask = matches!(class.place, Whereabouts::Internet | Whereabouts::Local);
        let known = device.and_then(|device| device.best(Attribute::Hostname)).map(one_line);
        Joint {
            before: old,
            after: new,
            name,
            example: known.unwrap_or_else(|| member.to_string()),
            alone: count == 1,
            can_ask,
        }
    };
    found.into_iter().map(joint).collect()
}

/// The numbers of those who are in a set.
fn within(compiled: &Compiled, joints: &[Joint], side: fn(&Joint) -> ClassId) -> Map<SetId, Vec<u32>> {
    let mut within: Map<SetId, Vec<u32>> = Map::default();
    for (number, joint) in (0..).zip(joints) {
        for set in &compiled.class(side(joint)).sets {
            within.entry(*set).or_default().push(number);
        }
    }
    within
}

/// What the rules mean, with the number of the first that means it.
fn meanings(compiled: &Compiled, joints: &[Joint], side: fn(&Joint) -> ClassId) -> BTreeMap<Meaning, u32> {
    let within = within(compiled, joints, side);
    let members = |set: SetId| within.get(&set).cloned().unwrap_or_default();
    let mut meanings = BTreeMap::new();
    for (number, entry) in (0..).zip(&compiled.entries) {
        let Entry { from, to, services, verdict, .. } = *entry;
        let ports = compiled
            .services
            .get(services as usize)
            .map(|services| services.ports.clone())
            .unwrap_or_default();
        let operations = compiled.policy.rules.get(number as usize).map_or(&[][..], |rule| &rule.operations);
        let operations: Vec<String> = operations.iter().map(ToString::to_string).collect();
        meanings.entry((members(from), members(to), ports, verdict, operations.join(", "))).or_insert(number);
    }
    meanings
}

/// Conduits with those who are on their sides, and who shares a zone.
type Bounds = (BTreeSet<(Vec<u32>, Vec<u32>, Ports)>, BTreeSet<Vec<u32>>);

fn bounds(compiled: &Compiled, joints: &[Joint], side: fn(&Joint) -> ClassId) -> Bounds {
    let within = within(compiled, joints, side);
    let members = |zone: u32| {
        let set = compiled.zones.get(zone as usize);
        set.and_then(|set| within.get(set)).cloned().unwrap_or_default()
    };
    let conduits = compiled.crossings.iter().map(|((from, to), crossings)| {
        let services =
            crossings.iter().filter_map(|crossing| compiled.services.get(crossing.services as usize));
        (members(*from), members(*to), services.fold(Ports::default(), |all, one| all.union(&one.ports)))
    });
    (conduits.collect(), (0..compiled.zones.len() as u32).map(members).collect())
}

/// Zones and groups, and the Internet, that can be reached from one before and not after, or the other way round.
fn reach(before: &View<'_>, after: &View<'_>) -> Vec<ReachChange> {
    let names = |view: &View<'_>| -> BTreeSet<String> {
        let policy = &view.compiled.policy;
        let zones = policy.zones.iter().map(|zone| zone.name.to_string());
        zones.chain(policy.groups.iter().map(|group| group.name.to_string())).collect()
    };
    let common: Vec<String> = names(before).intersection(&names(after)).cloned().collect();
    let mut changes = Vec::new();
    let spots =
        common.iter().map(|name| (name.as_str(), Spot::Name(name))).chain([("internet", Spot::Internet)]);
    for (from, spot) in spots {
        let (was, is) = (before.names_reached(&spot), after.names_reached(&spot));
        let known = |name: &&String| *name == "internet" || common.contains(name);
        for to in was.keys().chain(is.keys()).filter(known).collect::<BTreeSet<_>>() {
            if was.contains_key(to) != is.contains_key(to) {
                changes.push(ReachChange { from: from.to_owned(), to: to.clone(), way: is.get(to).cloned() });
            }
        }
    }
    changes
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "nothing changes");
        }
        for (sign, rules) in [('+', &self.added), ('-', &self.removed)] {
            rules.iter().try_for_each(|rule| writeln!(f, "{sign} {rule}"))?;
        }
        for Change { now, from, to, ports, example } in &self.changes {
            let now = if *now == Verdict::Allow { "allowed" } else { "denied" };
            writeln!(f, "now {now}: {from} -> {to} {ports} (such as {} -> {})", example.0, example.1)?;
        }
        for ReachChange { from, to, way } in &self.reach {
            match way {
                Some(way) => writeln!(f, "now reachable: {to} from {from}: {way}")?,
                None => writeln!(f, "no longer reachable: {to} from {from}")?,
            }
        }
        if self.complete {
            Ok(())
        } else {
            writeln!(f, "not everything was looked at: too many pairs of hosts")
        }
    }
}
