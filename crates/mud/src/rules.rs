//! What a description allows, as rules of a policy.
//!
//! A description is about packets, a policy about conversations: an `allow` lets a conversation be opened and answered. So
//! what one list lets begin is held against what the other lets be answered, and what both allow is said. Nothing is said
//! that would allow more; what cannot be said is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::decide::{CLASS_DNS, CLASS_GATEWAY, CLASS_NTP};
use crate::file::{
    Ace, AclKind, Forwarding, Initiator, Ip, IpVersion, L4, Matches, MudFile, MudMatch, Network, Ports,
};

/// Addresses that are local (RFC 1918, RFC 6598, RFC 3927), and groups that are (RFC 5771, section 4; RFC 2365, section 6).
const LOCAL_V4: [&str; 7] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/24",
    "239.255.0.0/16",
];
/// The same of IPv6 (RFC 4193, RFC 4291, RFC 7346): of groups the assigned and the transient ones of interface, link, realm,
/// administration and site.
const LOCAL_V6: [&str; 12] = [
    "fc00::/7",
    "fe80::/10",
    "ff01::/16",
    "ff02::/16",
    "ff03::/16",
    "ff04::/16",
    "ff05::/16",
    "ff11::/16",
    "ff12::/16",
    "ff13::/16",
    "ff14::/16",
    "ff15::/16",
];
/// Where among them groups begin.
const GROUPS_V4: usize = 5;
const GROUPS_V6: usize = 2;

/// How a policy names those of whom a description speaks without naming them.
#[derive(Clone, Debug, Default)]
pub struct Terms<'a> {
    /// The device or devices that are described.
    pub device: &'a str,
    /// Devices of the same maker; without, what is said of them is left out.
    pub same_manufacturer: Option<&'a str>,
    /// The controllers that the administrator has given to the device.
    pub my_controller: Option<&'a str>,
    /// Classes of controllers beside those of RFC 8520, by their URIs.
    pub controllers: BTreeMap<String, String>,
}

/// What a description says in the words of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRules {
    /// Its rules, one a line.
    pub rules: Vec<String>,
    /// What cannot be said, and why.
    pub unsaid: Vec<String>,
}

/// Who the other end is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Any,
    Local,
    Net(Network),
    Name(String),
    Class(String),
    MyController,
    SameManufacturer,
}

impl Whom {
    /// Whether it is a matter of hosts, whichever of their addresses they use.
    const fn is_host(&self) -> bool {
        !matches!(self, Self::Any | Self::Local | Self::Net(_))
    }
}

/// What carries a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Carrier {
    All,
    Tcp,
    Udp,
    /// The echo: what else ICMP says belongs to other conversations.
    Echo,
    Other(u8),
}

/// Conversations that one rule of one list is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    whom: Whom,
    carrier: Carrier,
    /// The ports of the side that is asked, as runs.
    ports: Vec<(u16, u16)>,
    /// Whether any port of the other side will do.
    any_client: bool,
    /// Whether the rule names a port of each side.
    names_both: bool,
}

const ALL_PORTS: (u16, u16) = (0, u16::MAX);

/// What a description allows, as rules. Both conversations that are answered, and those with groups, of which nobody needs
/// to answer, are thought of.
///
/// Versions of IP are told apart for addresses; names, parts and makers are those of hosts, whatever their addresses.
pub fn policy_rules(file: &MudFile, terms: &Terms<'_>) -> PolicyRules {
    let mut said = Said::default();
    for version in [IpVersion::V4, IpVersion::V6] {
        for initiator in [Initiator::Device, Initiator::Peer] {
            said.add(file, version, initiator);
        }
    }
    said.write(terms)
}

/// A rule on its way: who opens, whom, what carries it, whether only groups, whether it denies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    is_denied: bool,
    initiator: Initiator,
    whom: Whom,
    only_groups: bool,
}

/// A rule of a list: what it is about, whether it forbids, and whether something behind it would be allowed otherwise.
struct Listed<'a> {
    name: &'a str,
    region: Region,
    denies: bool,
    hides: bool,
}

/// Services as runs of ports.
type Services = BTreeSet<(Carrier, u16, u16)>;

#[derive(Default)]
struct Said {
    /// By rule: what of each version, and the names that the rules have in the description.
    rules: BTreeMap<Key, [Services; 2]>,
    names: BTreeMap<Key, BTreeSet<String>>,
    unsaid: BTreeSet<String>,
    /// Rules that hold for certain ports of who opens a conversation, whatever port is asked.
    by_client_port: BTreeSet<String>,
    /// Who opens conversations with whom of whom something is hidden in one version of IP.
    hidden: BTreeSet<(Initiator, Whom)>,
}

impl Said {
    fn add(&mut self, file: &MudFile, version: IpVersion, initiator: Initiator) {
        let list = |names: &[String]| -> Vec<Ace> {
            let lists =
                names.iter().filter_map(|name| file.acl(name)).filter(|acl| is_about(acl.kind, version));
            lists.flat_map(|acl| acl.aces.iter().cloned()).collect()
        };
        let (from, to) = (list(&file.from_device), list(&file.to_device));
        let (first, second) = match initiator {
            Initiator::Device => {
                ([from, defaults(version, true)].concat(), [to, defaults(version, false)].concat())
            }
            Initiator::Peer => (to, from),
        };
        let forward = self.regions(&first, version, initiator, true);
        let reply = self.regions(&second, version, initiator, false);
        for Listed { name, region, denies, .. } in &forward {
            if *denies {
                self.keep(Key::of(true, initiator, region, false), region, version, name);
                continue;
            }
            if initiator == Initiator::Device && region.has_groups() {
                self.allow(Key::of(false, initiator, region, true), region, region, version, name);
            }
            if initiator == Initiator::Peer && region.is_groups() {
                continue;
            }
            let both: Vec<Region> = reply.iter().filter_map(|answer| region.and(&answer.region)).collect();
            if both.is_empty() && !region.is_groups() {
                self.unsaid.insert(format!("{name}: it is not answered, and an allow lets answers through"));
            }
            for both in both {
                self.allow(Key::of(false, initiator, &both, false), &both, region, version, name);
            }
        }
    }

    /// Keeps what is allowed, of the rule that lets it begin.
    fn allow(&mut self, key: Key, both: &Region, begins: &Region, version: IpVersion, name: &str) {
        if !both.any_client {
            // Where a rule names the port that is asked as well, the other one tells hardly more; where it does not, to leave
            // it out would open every port.
            if !begins.names_both {
                self.by_client_port.insert(name.to_owned());
                return;
            }
            let what = "the port of who opens it, which a policy does not know: any is allowed";
            self.unsaid.insert(format!("{name}: {what}"));
        }
        self.keep(key, both, version, name);
    }

    /// The regions of the rules of a list that decide, in their order. A rule that forbids what an earlier one allows in part
    /// cannot be said, as in a policy what denies goes before, and neither can one that forbids in one version of IP what a
    /// host may do in the other: what it would hide of later ones is left out.
    fn regions<'a>(
        &mut self,
        aces: &'a [Ace],
        version: IpVersion,
        initiator: Initiator,
        is_forward: bool,
    ) -> Vec<Listed<'a>> {
        let mut regions: Vec<Listed<'a>> = Vec::new();
        let (mut hidden, mut all_hidden): (Vec<Region>, bool) = (Vec::new(), false);
        for ace in aces {
            let region = match Region::of(&ace.matches, version, initiator, is_forward) {
                Ok(Some(region)) => region,
                Ok(None) => continue,
                Err(why) => {
                    self.unsaid.insert(format!("{}: {why}", ace.name));
                    // What it forbids is not known: nothing behind it is sure to be allowed.
                    all_hidden |= ace.forwarding != Forwarding::Accept;
                    continue;
                }
            };
            if ace.forwarding != Forwarding::Accept {
                let is_allowed_before = regions.iter().any(|one| !one.denies && one.region.touches(&region));
                let may_deny =
                    is_forward && region.any_client && !region.whom.is_host() && !is_allowed_before;
                if may_deny {
                    regions.push(Listed { name: &ace.name, region, denies: true, hides: false });
                } else {
                    hidden.push(region);
                }
                continue;
            }
            if ace.is_partial() {
                let what = "a condition that is not understood; it allows nothing";
                self.unsaid.insert(format!("{}: {what}", ace.name));
                continue;
            }
            if all_hidden || hidden.iter().any(|hidden| hidden.touches(&region)) {
                self.hidden.insert((initiator, region.whom.clone()));
                self.unsaid.insert(format!("{}: an earlier rule forbids some of it and not all", ace.name));
                continue;
            }
            for before in regions.iter_mut().filter(|before| before.denies) {
                before.hides |= before.region.touches(&region);
            }
            regions.push(Listed { name: &ace.name, region, denies: false, hides: false });
        }
        // What forbids something that nothing behind it allows is in a policy denied without a word.
        regions.retain(|one| !one.denies || one.hides);
        regions
    }

    fn keep(&mut self, key: Key, region: &Region, version: IpVersion, name: &str) {
        let services = region.ports.iter().map(|(first, last)| (region.carrier, *first, *last));
        let which = usize::from(version == IpVersion::V6);
        self.names.entry(key.clone()).or_default().insert(name.to_owned());
        if let Some(all) = self.rules.entry(key).or_default().get_mut(which) {
            all.extend(services);
        }
    }

    fn write(mut self, terms: &Terms<'_>) -> PolicyRules {
        let mut rules = Vec::new();
        let whole = self.rules.clone();
        for (key, [v4, v6]) in &self.rules {
            // What holds for groups and all others need not be said of groups.
            let wider = whole.get(&Key { only_groups: false, ..key.clone() }).filter(|_| key.only_groups);
            if wider.is_some_and(|[all_v4, all_v6]| v4.is_subset(all_v4) && v6.is_subset(all_v6)) {
                continue;
            }
            let names = self.names.get(key).into_iter().flatten();
            let label: String = names.map(String::as_str).collect::<Vec<_>>().join(", ");
            let label: String =
                label.chars().filter(|letter| !letter.is_control() && *letter != '"').take(80).collect();
            let both: Services = v4.intersection(v6).copied().collect();
            let parts = [
                (both.clone(), None),
                (v4.difference(&both).copied().collect(), Some(IpVersion::V4)),
                (v6.difference(&both).copied().collect(), Some(IpVersion::V6)),
            ];
            // Names and parts are those of hosts: what is hidden in one version must not come back with the other.
            let is_host = !matches!(key.whom, Whom::Any | Whom::Local | Whom::Net(_));
            let both_only = is_host
                && self
                    .hidden
                    .iter()
                    .any(|(by, whom)| *by == key.initiator && (*whom == key.whom || *whom == Whom::Any));
            let parts =
                parts.into_iter().filter(|(_, version)| key.is_denied || !both_only || version.is_none());
            for (services, version) in parts.filter(|(services, _)| !services.is_empty()) {
                let whom = match key.whom(terms, version) {
                    Ok(whom) => whom,
                    Err(why) => {
                        self.unsaid.insert(format!("{label}: {why}"));
                        continue;
                    }
                };
                let services = services.iter().map(|service| Written(*service).to_string());
                let services = services.collect::<Vec<_>>().join(", ");
                let verdict = if key.is_denied { "deny" } else { "allow" };
                let (client, server) = match key.initiator {
                    Initiator::Device => (terms.device, whom.as_str()),
                    Initiator::Peer => (whom.as_str(), terms.device),
                };
                rules.push(format!("{verdict} \"mud: {label}\" {client} -> {server} {services}"));
            }
        }
        if !self.by_client_port.is_empty() {
            let names: Vec<String> = self.by_client_port.into_iter().collect();
            self.unsaid.insert(format!(
                "conversations that are opened from certain ports, to any: a policy does not know the ports of who opens \
                 ({})",
                names.join(", ")
            ));
        }
        PolicyRules { rules, unsaid: self.unsaid.into_iter().collect() }
    }
}

impl Key {
    fn of(is_denied: bool, initiator: Initiator, region: &Region, only_groups: bool) -> Self {
        Self { is_denied, initiator, whom: region.whom.clone(), only_groups }
    }

    /// The other end in the words of a policy; as hosts of one version of IP, if that is given.
    fn whom(&self, terms: &Terms<'_>, version: Option<IpVersion>) -> Result<String, String> {
        let is_asked = self.initiator == Initiator::Device;
        let list = |v4: &[&str], v6: &[&str]| {
            let v4 = v4.iter().filter(|_| version != Some(IpVersion::V6));
            let v6 = v6.iter().filter(|_| version != Some(IpVersion::V4));
            v4.chain(v6).copied().collect::<Vec<_>>().join(", ")
        };
        // Who opens a conversation is no group.
        let local_v4 = if is_asked { &LOCAL_V4[..] } else { &LOCAL_V4[..GROUPS_V4] };
        let local_v6 = if is_asked { &LOCAL_V6[..] } else { &LOCAL_V6[..GROUPS_V6] };
        let broadcast = |text: String| {
            if is_asked && version != Some(IpVersion::V6) { text + ", broadcast" } else { text }
        };
        Ok(match (&self.whom, version) {
            (Whom::Any, _) if self.only_groups => broadcast(list(&["224.0.0.0/4"], &["ff00::/8"])),
            (Whom::Local, _) if self.only_groups => {
                broadcast(list(&LOCAL_V4[GROUPS_V4..], &LOCAL_V6[GROUPS_V6..]))
            }
            (Whom::Any, None) if is_asked => "anyone, multicast, broadcast".to_owned(),
            (Whom::Any, None) => "anyone".to_owned(),
            (Whom::Any, Some(_)) => broadcast(list(&["0.0.0.0/0"], &["::/0"])),
            (Whom::Local, None) => {
                let groups = list(
                    &local_v4[GROUPS_V4.min(local_v4.len())..],
                    &local_v6[GROUPS_V6.min(local_v6.len())..],
                );
                if groups.is_empty() { "local".to_owned() } else { broadcast(format!("local, {groups}")) }
            }
            (Whom::Local, Some(_)) => broadcast(list(local_v4, local_v6)),
            (Whom::Net(network), _) => {
                let all = network.address() == IpAddr::from([255, 255, 255, 255]);
                if all { "broadcast".to_owned() } else { network.to_string() }
            }
            (Whom::Name(name), _) if is_asked => format!("\"{name}\""),
            (Whom::Name(name), _) => {
                return Err(format!(
                    "whoever is called {name} and opens a conversation: a policy has no names there"
                ));
            }
            (Whom::Class(class), _) => match class.as_str() {
                CLASS_DNS => "(main-role:dns-server or main-role:router or main-role:gateway)".to_owned(),
                CLASS_GATEWAY => "(main-role:router or main-role:gateway)".to_owned(),
                class => terms.controllers.get(class).cloned().ok_or_else(|| {
                    format!(
                        "controllers of the class {class}: say who they are with --controller {class}=WHO"
                    )
                })?,
            },
            (Whom::MyController, _) => terms
                .my_controller
                .map(str::to_owned)
                .ok_or("the device's controllers: say who they are with --my-controller WHO")?,
            (Whom::SameManufacturer, _) => terms
                .same_manufacturer
                .map(str::to_owned)
                .ok_or("devices of the same manufacturer: it is not known who made the device")?,
        })
    }
}

impl Region {
    /// The conversations that a rule is about, opened by one side, by what is sent by that side (`is_forward`) or answered to
    /// it. None if it is about none.
    fn of(
        matches: &Matches,
        version: IpVersion,
        initiator: Initiator,
        is_forward: bool,
    ) -> Result<Option<Self>, &'static str> {
        let Matches { mud, eth, ip, l4 } = matches;
        let is_sent_by_device = (initiator == Initiator::Device) == is_forward;
        if ip.as_ref().is_some_and(|ip| ip.version != version) {
            return Ok(None);
        }
        if eth.is_some() {
            return Err("a condition on the frame");
        }
        if mud.manufacturer.is_some() || mud.model.is_some() {
            return Err("who shows a manufacturer's or a model's URL, which proves nothing");
        }
        let mut whom = Vec::new();
        let own = match (ip, is_sent_by_device) {
            (Some(Ip { source, source_name, destination, destination_name, .. }), true) => {
                whom.extend(destination.map(Whom::Net));
                whom.extend(destination_name.clone().map(Whom::Name));
                source.is_some() || source_name.is_some()
            }
            (Some(Ip { source, source_name, destination, destination_name, .. }), false) => {
                whom.extend(source.map(Whom::Net));
                whom.extend(source_name.clone().map(Whom::Name));
                destination.is_some() || destination_name.is_some()
            }
            (None, _) => false,
        };
        if own {
            return Err("an address of the device's own");
        }
        whom.extend(mud.local_networks.then_some(Whom::Local));
        whom.extend(mud.controller.clone().map(Whom::Class));
        whom.extend(mud.my_controller.then_some(Whom::MyController));
        whom.extend(mud.same_manufacturer.then_some(Whom::SameManufacturer));
        if whom.len() > 1 {
            return Err("several conditions on who the other end is");
        }
        let whom = whom.pop().unwrap_or(Whom::Any);
        let protocol = ip.as_ref().and_then(|ip| ip.protocol);
        let (carrier, server, client) = match l4 {
            Some(L4::Tcp { initiated: Some(by), .. }) if *by != initiator => return Ok(None),
            Some(L4::Tcp { source, destination, .. }) => {
                if is_forward {
                    (Carrier::Tcp, destination, source)
                } else {
                    (Carrier::Tcp, source, destination)
                }
            }
            Some(L4::Udp { source, destination }) => {
                if is_forward {
                    (Carrier::Udp, destination, source)
                } else {
                    (Carrier::Udp, source, destination)
                }
            }
            Some(L4::Icmp { kind, code }) => {
                let echo = match (version, is_forward) {
                    (IpVersion::V4, true) => 8,
                    (IpVersion::V4, false) => 0,
                    (IpVersion::V6, true) => 128,
                    (IpVersion::V6, false) => 129,
                };
                if kind.is_some_and(|kind| kind != echo) || code.is_some_and(|code| code != 0) {
                    return Ok(None);
                }
                (Carrier::Echo, &None, &None)
            }
            None => {
                let carrier = match (protocol, version) {
                    (None, _) => Carrier::All,
                    (Some(6), _) => Carrier::Tcp,
                    (Some(17), _) => Carrier::Udp,
                    (Some(1), IpVersion::V4) | (Some(58), IpVersion::V6) => Carrier::Echo,
                    (Some(other), _) => Carrier::Other(other),
                };
                (carrier, &None, &None)
            }
        };
        let runs = |ports: Option<Ports>| match ports {
            Some(ports) => ports.runs().into_iter().flatten().collect(),
            None => vec![ALL_PORTS],
        };
        let names_both = server.is_some() && client.is_some();
        let mut region =
            Self { whom, carrier, ports: runs(*server), any_client: client.is_none(), names_both };
        // Servers of these classes are known by their port; those of the time are whoever is local.
        let only = match &region.whom {
            Whom::Class(class) if class == CLASS_DNS => 53,
            Whom::Class(class) if class == CLASS_NTP => 123,
            _ => return Ok(Some(region)),
        };
        if only == 123 {
            region.whom = Whom::Local;
        }
        if !region.ports.iter().any(|(first, last)| (*first..=*last).contains(&only)) {
            return Ok(None);
        }
        region.ports = vec![(only, only)];
        match region.carrier {
            Carrier::Tcp | Carrier::Udp => Ok(Some(region)),
            Carrier::All => Err("a class of servers that is known by its port, without a transport"),
            Carrier::Echo | Carrier::Other(_) => Ok(None),
        }
    }

    /// What both are about, where that can be said.
    fn and(&self, other: &Self) -> Option<Self> {
        let whom = match (&self.whom, &other.whom) {
            (one, other) if one == other => one.clone(),
            (Whom::Any, other) => other.clone(),
            (one, Whom::Any) => one.clone(),
            (Whom::Net(one), Whom::Net(other)) if one.covers(*other) => Whom::Net(*other),
            (Whom::Net(one), Whom::Net(other)) if other.covers(*one) => Whom::Net(*one),
            _ => return None,
        };
        let carrier = match (self.carrier, other.carrier) {
            (one, other) if one == other => one,
            (Carrier::All, other) => other,
            (one, Carrier::All) => one,
            _ => return None,
        };
        let mut ports = Vec::new();
        for (first, last) in &self.ports {
            for (from, to) in &other.ports {
                let (first, last) = ((*first).max(*from), (*last).min(*to));
                if first <= last {
                    ports.push((first, last));
                }
            }
        }
        let any_client = self.any_client && other.any_client;
        (!ports.is_empty()).then_some(Self { whom, carrier, ports, any_client, names_both: self.names_both })
    }

    /// Whether a conversation could be in both, as far as can be told.
    fn touches(&self, other: &Self) -> bool {
        let apart = match (&self.whom, &other.whom) {
            (Whom::Net(one), Whom::Net(other)) => !one.covers(*other) && !other.covers(*one),
            _ => false,
        };
        let (one, two) =
            (Self { whom: Whom::Any, ..self.clone() }, Self { whom: Whom::Any, ..other.clone() });
        !apart && one.and(&two).is_some()
    }

    /// Whether groups of hosts are among those whom it is about.
    fn has_groups(&self) -> bool {
        matches!(self.whom, Whom::Any | Whom::Local) && !matches!(self.carrier, Carrier::Tcp | Carrier::Echo)
            || self.is_groups()
    }

    /// Whether it is about groups of hosts only.
    fn is_groups(&self) -> bool {
        let Whom::Net(network) = &self.whom else { return false };
        let ip = network.address();
        let all = ip == IpAddr::from([255, 255, 255, 255]);
        all || ip.is_multicast() && network.prefix() >= if ip.is_ipv4() { 4 } else { 8 }
    }
}

/// Names and the time may be asked of local servers, unless a rule says otherwise (RFC 8520, section 5): rules behind all
/// others, of what the device sends or is sent.
fn defaults(version: IpVersion, is_sent: bool) -> Vec<Ace> {
    let rule = |class: &str, l4| {
        let mud = MudMatch { controller: Some(class.to_owned()), ..MudMatch::default() };
        let matches = Matches { mud, eth: None, ip: Some(Ip::any(version)), l4: Some(l4) };
        Ace { name: "section 5".into(), matches, forwarding: Forwarding::Accept, unknown: BTreeMap::new() }
    };
    let ports = |port| {
        let port = Some(Ports::Eq(port));
        if is_sent { (None, port) } else { (port, None) }
    };
    let udp = |(source, destination)| L4::Udp { source, destination };
    let tcp = |(source, destination)| L4::Tcp { source, destination, initiated: None };
    vec![rule(CLASS_DNS, udp(ports(53))), rule(CLASS_DNS, tcp(ports(53))), rule(CLASS_NTP, udp(ports(123)))]
}

/// A service as policies write it.
struct Written((Carrier, u16, u16));

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self((carrier, first, last)) = self;
        let transport = match carrier {
            Carrier::All => return f.write_str("any"),
            Carrier::Echo => return f.write_str("icmp"),
            Carrier::Other(number) => return write!(f, "ip-{number}"),
            Carrier::Tcp => "tcp",
            Carrier::Udp => "udp",
        };
        match (*first, *last) {
            ALL_PORTS => f.write_str(transport),
            (first, last) if first == last => write!(f, "{transport}/{first}"),
            (first, last) => write!(f, "{transport}/{first}-{last}"),
        }
    }
}

/// Whether a list of a kind is about packets of a version.
const fn is_about(kind: Option<AclKind>, version: IpVersion) -> bool {
    match kind {
        None | Some(AclKind::Eth | AclKind::MixedEthIpv4Ipv6) => true,
        Some(AclKind::Ipv4 | AclKind::MixedEthIpv4) => matches!(version, IpVersion::V4),
        Some(AclKind::Ipv6 | AclKind::MixedEthIpv6) => matches!(version, IpVersion::V6),
    }
}
