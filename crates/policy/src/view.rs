//! Who is in which set, class by class.

use std::fmt;
use std::net::IpAddr;

use model::{Attribute, DeviceId, MacAddr, Role};
use query::Network;

use crate::Map;
use crate::compile::{Class, ClassId, Compiled};
use crate::service::Ports;
use crate::sets::{SetId, Whereabouts};
use crate::syntax::{Term, Verdict};

/// A set of hosts of a compiled policy: one side of a rule, a zone, a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetRef(pub(crate) SetId);

/// Somebody in a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A device that is known.
    Device(DeviceId),
    /// Whoever has an address that no known device has, from this one on.
    Address(IpAddr),
    /// Whoever has a link-layer address that no known device has.
    Mac(MacAddr),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => id.fmt(f),
            Self::Address(ip) => ip.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// Somewhere in the estate, for questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot<'a> {
    /// A device.
    Device(DeviceId),
    /// A zone or a group.
    Name(&'a str),
    /// All devices that play a part.
    Role(Role),
    /// Elsewhere in the Internet.
    Internet,
    /// A set of the policy.
    Set(SetRef),
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Role(role) => role.fmt(f),
            Self::Internet => f.write_str("internet"),
            Self::Set(set) => write!(f, "set {}", set.0),
        }
    }
}

/// Hosts of one class that stand somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) class: ClassId,
    /// None: all of the class.
    pub(crate) only: Option<Vec<DeviceId>>,
}

/// Who there is at one moment, ready for questions about many hosts.
#[derive(Clone, Debug)]
pub struct View<'a> {
    pub(crate) compiled: &'a Compiled,
    /// Who is in a class: devices in order, then an example of unknown hosts of each kind.
    members: Vec<Vec<Member>>,
    /// Classes in which somebody is, by the sets that they are in.
    by_set: Map<SetId, Vec<ClassId>>,
}

impl Compiled {
    /// Who there is now.
    pub fn view(&self) -> View<'_> {
        let mut members = vec![Vec::new(); self.classes.len()];
        let mut put = |class: ClassId, member| {
            if let Some(members) = members.get_mut(class as usize) {
                members.push(member);
            }
        };
        for (id, known) in &self.known {
            put(known.class, Member::Device(*id));
        }
        for (interval, class) in self.sets.intervals.iter().zip(&self.intervals) {
            let ip = IpAddr::V6(interval.start.into()).to_canonical();
            put(*class, Member::Address(ip));
        }
        for (ip, class) in &self.named {
            if self.device_at(*ip).is_none() {
                put(*class, Member::Address(*ip));
            }
        }
        for (mac, class) in &self.macs {
            if self.device_with_mac(*mac).is_none() {
                put(*class, Member::Mac(*mac));
            }
        }
        let mut by_set: Map<SetId, Vec<ClassId>> = Map::default();
        for (id, (class, members)) in (0..).zip(self.classes.iter().zip(&members)) {
            for set in class.sets.iter().filter(|_| !members.is_empty()) {
                by_set.entry(*set).or_default().push(id);
            }
        }
        View { compiled: self, members, by_set }
    }

    /// The zone or group of that name.
    pub fn set(&self, name: &str) -> Option<SetRef> {
        self.sets.named(name).map(SetRef)
    }

    /// What a set is called: its name, or the terms that make it.
    pub fn describe(&self, set: SetRef) -> String {
        self.sets.describe(set.0)
    }
}

/// Who is in a set, for whoever has to tell them by their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Everybody; nothing else is listed.
    pub anyone: bool,
    /// Whoever is elsewhere in the Internet.
    pub internet: bool,
    /// Whoever is not; devices are not listed.
    pub local: bool,
    /// Groups of hosts.
    pub multicast: bool,
    /// All hosts of a link.
    pub broadcast: bool,
    /// Devices, in order.
    pub devices: Vec<DeviceId>,
    /// Addresses of those, and of names, in order.
    pub addresses: Vec<IpAddr>,
    /// Link-layer addresses of the devices, and those that are named, in order.
    pub macs: Vec<MacAddr>,
    /// Networks.
    pub networks: Vec<Network>,
}

impl<'a> View<'a> {
    /// Who is in a class.
    pub(crate) fn members(&self, class: ClassId) -> &[Member] {
        self.members.get(class as usize).map_or(&[], Vec::as_slice)
    }

    /// Classes in a set in which somebody is.
    pub(crate) fn classes(&self, set: SetId) -> &[ClassId] {
        self.by_set.get(&set).map_or(&[], Vec::as_slice)
    }

    /// Whether there is only one host in a class; unknown hosts are many.
    pub(crate) fn is_alone(&self, class: ClassId) -> bool {
        matches!(self.members(class), [Member::Device(_) | Member::Mac(_)])
    }

    /// Whether those of a class open conversations: groups of hosts do not.
    pub(crate) fn can_ask(&self, class: ClassId) -> bool {
        matches!(self.compiled.class(class).place, Whereabouts::Local | Whereabouts::Internet)
    }

    /// Somebody of a class, for people.
    pub(crate) fn example(&self, class: ClassId) -> String {
        let count = self.members(class).len();
        let Some(member) = self.members(class).first() else { return "nobody".into() };
        let mut text = match member {
            Member::Device(id) => {
                let name = self.compiled.device(*id).and_then(|device| {
                    device
                        .best(Attribute::Hostname)
                        .or_else(|| device.best(Attribute::Label))
                        .map(str::to_owned)
                });
                name.map_or_else(|| id.to_string(), |name| format!("{} ({id})", one_line(&name)))
            }
            Member::Address(ip) if self.compiled.class(class).place == Whereabouts::Internet => {
                format!("the Internet ({ip})")
            }
            Member::Address(ip) => format!("an unknown host ({ip})"),
            Member::Mac(mac) => format!("an unknown host ({mac})"),
        };
        if count > 1 && matches!(member, Member::Device(_)) {
            text.push_str(&format!(" and {} like it", count - 1));
        }
        text
    }

    /// Who stands somewhere.
    pub(crate) fn select(&self, spot: &Spot<'_>) -> Vec<Selected> {
        let whole = |classes: &[ClassId]| {
            classes.iter().map(|class| Selected { class: *class, only: None }).collect::<Vec<_>>()
        };
        match spot {
            Spot::Device(id) => {
                let known = self.compiled.known.get(id);
                known
                    .map(|known| Selected { class: known.class, only: Some(vec![*id]) })
                    .into_iter()
                    .collect()
            }
            Spot::Name(name) => whole(self.compiled.sets.named(name).map_or(&[], |set| self.classes(set))),
            Spot::Set(set) => whole(self.classes(set.0)),
            Spot::Internet => {
                let of = |class: &Class| class.place == Whereabouts::Internet;
                let classes = (0..)
                    .zip(&self.compiled.classes)
                    .filter(|(id, class)| of(class) && !self.members(*id).is_empty());
                whole(&classes.map(|(id, _)| id).collect::<Vec<ClassId>>())
            }
            Spot::Role(role) => {
                let mut found: std::collections::BTreeMap<ClassId, Vec<DeviceId>> =
                    std::collections::BTreeMap::new();
                for (id, known) in &self.compiled.known {
                    if known.device.roles().any(|said| said.eq_ignore_ascii_case(role.name())) {
                        found.entry(known.class).or_default().push(*id);
                    }
                }
                found.into_iter().map(|(class, only)| Selected { class, only: Some(only) }).collect()
            }
        }
    }

    /// Who is in a set, by addresses.
    pub fn members_of(&self, set: SetRef) -> Members {
        let mut members = Members::default();
        let atoms = self.compiled.sets.sets.get(set.0 as usize).map_or(&[][..], |set| &set.atoms);
        for term in atoms.iter().filter_map(|atom| self.compiled.sets.atoms.get(*atom as usize)) {
            match term {
                Term::Anyone => members.anyone = true,
                Term::Internet => members.internet = true,
                Term::Local => members.local = true,
                Term::Multicast => members.multicast = true,
                Term::Broadcast => members.broadcast = true,
                Term::Network(network) => members.networks.push(*network),
                Term::Mac(mac) => members.macs.push(*mac),
                Term::Domain(_) | Term::Device(_) | Term::Query(_) | Term::Name(_) => {}
            }
        }
        for class in self.classes(set.0).iter().filter(|_| !members.anyone) {
            let place = self.compiled.class(*class).place;
            if members.local && place == Whereabouts::Local
                || members.internet && place == Whereabouts::Internet
            {
                continue;
            }
            for member in self.members(*class) {
                match member {
                    Member::Device(id) => {
                        members.devices.push(*id);
                        if let Some(device) = self.compiled.device(*id) {
                            members.addresses.extend(self.compiled.addresses_of(device));
                            members.macs.extend(&device.macs);
                        }
                    }
                    // What is not listed as an address of a name lies in one of the networks.
                    Member::Address(ip) if self.compiled.named.contains_key(ip) => {
                        members.addresses.push(*ip);
                    }
                    Member::Address(_) | Member::Mac(_) => {}
                }
            }
        }
        if members.anyone {
            (members.networks, members.macs) = (Vec::new(), Vec::new());
        }
        members.devices.sort_unstable();
        members.addresses.sort_unstable();
        members.addresses.dedup();
        members.macs.sort_unstable();
        members.macs.dedup();
        members
    }
}

/// What one entry of the network layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lowered {
    /// What it describes is cut, whatever else says.
    Deny,
    /// Between its two zones nothing else may cross. It does not concern two hosts that share a zone.
    Bound,
    /// What it describes may be opened, unless something above speaks against it.
    Allow,
}

/// An entry of the network layer: what a firewall can tell.
#[derive(Clone, Copy, Debug)]
pub struct NetworkEntry<'a> {
    /// What it does.
    pub does: Lowered,
    /// Who opens conversations.
    pub source: SetRef,
    /// To whom.
    pub destination: SetRef,
    /// On which ports.
    pub ports: &'a Ports,
    /// Whether only some operations are meant there: somebody who reads the protocol has to look.
    pub operations: bool,
    /// The number of the rule or conduit in the policy.
    pub number: u32,
}

impl Compiled {
    /// All that a firewall can do for the policy: what to cut first, then the bounds of conduits, then what to let through;
    /// what is left is cut. Replies belong to the conversation.
    pub fn network_entries(&self) -> impl Iterator<Item = NetworkEntry<'_>> {
        let rules = |verdict: Verdict, does: Lowered| {
            (0..).zip(&self.entries).filter(move |(_, entry)| entry.verdict == verdict).filter_map(
                move |(number, entry)| {
                    let ports = &self.services.get(entry.services as usize)?.ports;
                    let (source, destination) = (SetRef(entry.from), SetRef(entry.to));
                    Some(NetworkEntry {
                        does,
                        source,
                        destination,
                        ports,
                        operations: entry.operations != 0,
                        number,
                    })
                },
            )
        };
        let bounds = self.crossings.iter().flat_map(|((from, to), crossings)| {
            crossings.iter().filter_map(|crossing| {
                let ports = &self.services.get(crossing.services as usize)?.ports;
                let zone = |at: u32| self.zones.get(at as usize).copied().map(SetRef);
                let (source, destination) = (zone(*from)?, zone(*to)?);
                let number = crossing.conduit;
                Some(NetworkEntry {
                    does: Lowered::Bound,
                    source,
                    destination,
                    ports,
                    operations: false,
                    number,
                })
            })
        });
        rules(Verdict::Deny, Lowered::Deny)
            .filter(|entry| !entry.operations)
            .chain(bounds)
            .chain(rules(Verdict::Allow, Lowered::Allow))
    }
}

/// What comes from the network must not break lines.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
