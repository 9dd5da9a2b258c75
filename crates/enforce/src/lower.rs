//! A policy as a ruleset.
//!
//! Hosts of which the policy says the same are one class of the ruleset. *Managed* are the devices that the inventory knows and
//! whoever has an address in a zone; if the ruleset is strict, everybody. What is allowed between two hosts, of which one is
//! managed, is exactly what the policy allows on the network layer: what its allows open, without what denies and conduits take
//! away. What a firewall cannot tell is in [`Lowered::notes`].
//!
//! A rule's destination is cut into cells, in each of which denies and conduits take away the same from those who ask. Askers
//! that are bound alike share the cells, so the effort grows with rules and cells and not with pairs of hosts.

mod region;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use model::{Device, DeviceId, Host, MacAddr, Transport};
use policy::{Ask, Bonds, ClassRef, Compiled, Located, Opens, SetRef, Verdict, Who};

use self::region::{Region, bits, ip};
use crate::ruleset::dns_name;
use crate::{
    ALLOWS_MAX, Address, Allow, Class, End, Family, Group, Mode, NAME_BYTES_MAX, Network, Ports, Ruleset,
    RulesetError, Service,
};

/// So many classes or networks are named one by one where a rule leads to them; more become a [`Group`].
pub const INLINE_MAX: usize = 8;
/// So many devices or rules are named in one note.
const TOLD_MAX: usize = 5;

/// What a policy does not say and a ruleset has to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where packets pass.
    pub family: Family,
    /// Whether what is not allowed is cut.
    pub mode: Mode,
    /// Whether hosts that are not managed are held to the policy, too.
    pub strict: bool,
    /// Whether conversations are counted for each rule of single devices, too.
    pub count_singles: bool,
    /// Whether no groups are made, for formats that know classes only.
    pub no_groups: bool,
    /// Whose packets are never cut.
    pub guard: Vec<Address>,
}

/// A ruleset that says what a policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lowered {
    /// The ruleset.
    pub ruleset: Ruleset,
    /// What a firewall cannot tell of the policy, each in one sentence.
    pub notes: Vec<String>,
}

/// The addresses of those whom the policy's `guard` statements name, in order.
pub fn guarded(compiled: &Compiled) -> Vec<Address> {
    let guarded = compiled.devices().filter(|device| compiled.is_guarded(device.id));
    let mut addresses: Vec<Address> =
        guarded.flat_map(|device| compiled.addresses_of(device)).map(Address::from).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Whether the hosts of a class are managed: those that are known devices, or others.
fn managed(compiled: &Compiled, class: ClassRef, known: bool, strict: bool) -> bool {
    match compiled.located(class) {
        Located::Groups => false,
        _ if strict => true,
        Located::Local => known || compiled.is_zoned(class),
        Located::Internet => false,
    }
}

/// Whether a conversation would be cut, as far as packets tell: neither its protocol nor what is asked in it counts.
pub fn would_cut(compiled: &Compiled, options: &Options, ask: &Ask<'_>) -> bool {
    let (Who::Host(client), Who::Host(server)) = (ask.client, ask.server) else { return false };
    let guarded = |host: &Host| {
        options.guard.iter().any(|address| {
            let ip = host.ip.is_some_and(|ip| address.holds(&ip.into()));
            ip || host.mac.is_some_and(|mac| *address == Address::Mac(mac))
        })
    };
    let managed = |host: &Host| {
        managed(compiled, compiled.class_at(host), compiled.device_of(host).is_some(), options.strict)
    };
    let passes_here = options.family == Family::Bridged || client.ip.is_some() && server.ip.is_some();
    let ask = Ask { server_name: None, protocol: None, operation: None, ..*ask };
    passes_here
        && !guarded(&client)
        && !guarded(&server)
        && (managed(&client) || managed(&server))
        && compiled.decide(&ask).verdict == Verdict::Deny
}

/// Makes a ruleset of a policy. Whenever devices change, the policy takes them in ([`Compiled::update`]) and is lowered again;
/// [`Keeper::apply`](crate::Keeper::apply) then changes only what differs.
///
/// # Errors
///
/// If it would be larger than a ruleset may be.
pub fn lower(compiled: &Compiled, options: &Options) -> Result<Lowered, RulesetError> {
    let mut lowering = Lowering::new(compiled, options);
    lowering.place();
    lowering.name_units();
    lowering.outward()?;
    lowering.inward()?;
    lowering.note_rules();
    Ok(lowering.finish())
}

/// Hosts of one class of the policy that are all managed, or of which none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Unit {
    class: ClassRef,
    managed: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    points: BTreeSet<u128>,
    macs: BTreeSet<MacAddr>,
    stretches: Vec<(u128, u128)>,
}

/// Part of a destination, of which the same is taken away.
#[derive(Clone, Debug)]
struct Cell {
    taken: policy::Ports,
    units: Vec<Unit>,
    /// How it is named in rules about packets of IP.
    ends: Vec<End>,
}

struct Lowering<'a> {
    compiled: &'a Compiled,
    options: &'a Options,
    units: BTreeMap<Unit, Content>,
    /// Who has an address that is not just any of a stretch.
    owners: BTreeMap<u128, Unit>,
    asked: BTreeMap<SetRef, Vec<Unit>>,
    names: BTreeMap<Unit, Rc<str>>,
    cells: BTreeMap<(Bonds, SetRef), Rc<[Cell]>>,
    groups: BTreeMap<String, Vec<Network>>,
    rules: Vec<Option<Rc<str>>>,
    allows: Vec<Allow>,
    notes: BTreeSet<String>,
    /// Sides of rules about what is carried straight on the link.
    on_link_sides: [BTreeSet<SetRef>; 2],
    /// Devices that no rule can name.
    nameless: Vec<DeviceId>,
}

impl<'a> Lowering<'a> {
    fn new(compiled: &'a Compiled, options: &'a Options) -> Self {
        let mut on_link_sides = [BTreeSet::new(), BTreeSet::new()];
        for entry in compiled.network_entries().filter(|entry| entry.does == policy::Lowered::Allow) {
            if entry.ports.ranges().any(|(transport, ..)| matches!(transport, Transport::Ether(_))) {
                let [from, to] = &mut on_link_sides;
                from.insert(entry.source);
                to.insert(entry.destination);
            }
        }
        Self {
            on_link_sides,
            compiled,
            options,
            units: BTreeMap::new(),
            owners: BTreeMap::new(),
            asked: BTreeMap::new(),
            names: BTreeMap::new(),
            cells: BTreeMap::new(),
            groups: BTreeMap::new(),
            rules: vec![None; compiled.policy().rules.len()],
            allows: Vec::new(),
            notes: BTreeSet::new(),
            nameless: Vec::new(),
        }
    }

    fn unit(&self, class: ClassRef, known: bool) -> Unit {
        Unit { class, managed: managed(self.compiled, class, known, self.options.strict) }
    }

    /// Puts every address into its unit.
    fn place(&mut self) {
        for device in self.compiled.devices() {
            let Some(class) = self.compiled.class_of_device(device.id) else { continue };
            let unit = self.unit(class, true);
            self.place_device(device, unit);
        }
        for (address, class) in self.compiled.named_addresses() {
            let unit = self.unit(class, false);
            self.owners.insert(bits(address), unit);
            self.units.entry(unit).or_default().points.insert(bits(address));
        }
        for stretch in self.compiled.address_space() {
            let unit = self.unit(stretch.class, false);
            self.units.entry(unit).or_default().stretches.push((bits(stretch.first), bits(stretch.last)));
        }
        for unit in self.units.keys() {
            for set in self.compiled.asked_as(unit.class) {
                self.asked.entry(set).or_default().push(*unit);
            }
        }
    }

    fn place_device(&mut self, device: &Device, unit: Unit) {
        let addresses = self.compiled.addresses_of(device);
        let macs = match self.options.family {
            Family::Bridged if addresses.is_empty() || self.speaks_on_link(unit.class) => {
                self.compiled.macs_of(device.id).into_iter().filter(|mac| mac.is_station()).collect()
            }
            _ => Vec::new(),
        };
        if addresses.is_empty() && macs.is_empty() {
            if unit.managed {
                self.nameless.push(device.id);
            }
            return;
        }
        let content = self.units.entry(unit).or_default();
        for address in &addresses {
            content.points.insert(bits(*address));
            self.owners.insert(bits(*address), unit);
        }
        content.macs.extend(macs);
    }

    /// Whether rules name what a class may open or be opened to straight on the link.
    fn speaks_on_link(&self, class: ClassRef) -> bool {
        let [from, to] = &self.on_link_sides;
        self.compiled.asks_as(class).any(|set| from.contains(&set))
            || self.compiled.asked_as(class).any(|set| to.contains(&set))
    }

    /// A name for each class that stays the same while the policy does.
    fn name_units(&mut self) {
        for (unit, content) in self.units.iter().filter(|(unit, _)| unit.managed) {
            let names = self.compiled.names_of_class(unit.class).join("+");
            let single = content.points.first().filter(|_| names.is_empty() && content.points.len() == 1);
            let what = match single {
                Some(point) => ip(*point).to_string(),
                None if names.is_empty() => "others".into(),
                None => names,
            };
            let sets = self.compiled.asks_as(unit.class).chain(self.compiled.asked_as(unit.class));
            let name = tagged(
                &what,
                &format!("{:?} {:?}", self.compiled.located(unit.class), sets.collect::<Vec<_>>()),
            );
            self.names.insert(*unit, name.into());
        }
        // Sets that no rule names can still tell two classes apart.
        let mut seen: BTreeMap<Rc<str>, u32> = BTreeMap::new();
        for name in self.names.values_mut() {
            let count = seen.entry(name.clone()).or_default();
            *count += 1;
            if *count > 1 {
                *name = tagged(name, &count.to_string()).into();
            }
        }
    }

    /// The addresses of some units, without those that others have.
    fn region(&self, units: &[Unit]) -> Vec<Network> {
        let mut region = Region::default();
        for content in units.iter().filter_map(|unit| self.units.get(unit)) {
            content.stretches.iter().for_each(|(first, last)| region.add(*first, *last));
            content.points.iter().for_each(|point| region.add(*point, *point));
        }
        let units: BTreeSet<Unit> = units.iter().copied().collect();
        region.without(|first, last| {
            let within = self.owners.range(first..=last);
            within.filter(|(_, owner)| !units.contains(owner)).map(|(point, _)| *point).collect::<Vec<_>>()
        });
        region.networks()
    }

    /// How a rule names some units: none, or one or more ends.
    fn ends(&mut self, units: &[Unit], name: impl FnOnce() -> String) -> Vec<End> {
        let class = |unit: &Unit| self.names.get(unit).map(|name| End::Class(name.to_string()));
        if units.iter().all(|unit| unit.managed) && (units.len() <= INLINE_MAX || self.options.no_groups) {
            return units.iter().filter_map(class).collect();
        }
        let (managed, rest): (Vec<Unit>, Vec<Unit>) =
            units.iter().partition(|unit| unit.managed && self.options.no_groups);
        let mut ends: Vec<End> = managed.iter().filter_map(class).collect();
        let networks = self.region(&rest);
        if networks.len() <= INLINE_MAX || self.options.no_groups {
            ends.extend((!networks.is_empty()).then_some(End::Networks(networks)));
        } else {
            let name = name();
            self.groups.insert(name.clone(), networks);
            ends.push(End::Group(name));
        }
        ends
    }

    /// The cells of a destination for those who are bound so.
    fn cells(&mut self, bonds: &Bonds, to: SetRef) -> Rc<[Cell]> {
        if let Some(cells) = self.cells.get(&(bonds.clone(), to)) {
            return cells.clone();
        }
        let mut found: BTreeMap<policy::Ports, Vec<Unit>> = BTreeMap::new();
        for unit in self.asked.get(&to).into_iter().flatten() {
            found.entry(self.compiled.taken(bonds, unit.class)).or_default().push(*unit);
        }
        let whole = found.len() == 1;
        let compiled = self.compiled;
        let cells: Rc<[Cell]> = found
            .into_iter()
            .map(|(taken, units)| {
                // Those whom nothing binds share their cells, whoever they are.
                let ends = self.ends(&units, || {
                    let shared = whole && taken.is_empty();
                    let tag = if shared { format!("{to:?}") } else { format!("{to:?} {bonds:?} {taken}") };
                    tagged(&compiled.describe(to), &tag)
                });
                Cell { taken, units, ends }
            })
            .collect();
        self.cells.insert((bonds.clone(), to), cells.clone());
        cells
    }

    fn rule(&mut self, number: u32) -> Rc<str> {
        let Some(slot) = self.rules.get_mut(number as usize) else { return "a rule".into() };
        if let Some(name) = slot {
            return name.clone();
        }
        let name: Rc<str> =
            self.compiled.policy().rules.get(number as usize).map_or_else(String::new, rule_name).into();
        *slot = Some(name.clone());
        name
    }

    fn allow(&mut self, rule: u32, from: &End, to: &End, services: &[Service]) -> Result<(), RulesetError> {
        let name = self.rule(rule);
        for service in services {
            let (name, service) = (name.to_string(), service.clone());
            self.allows.push(Allow { name, from: from.clone(), to: to.clone(), service });
        }
        if self.allows.len() > ALLOWS_MAX {
            return Err(RulesetError::TooMany {
                what: "allows",
                count: self.allows.len(),
                limit: ALLOWS_MAX,
            });
        }
        Ok(())
    }

    /// What the managed may open.
    fn outward(&mut self) -> Result<(), RulesetError> {
        let managed: Vec<Unit> = self.names.keys().copied().collect();
        let compiled = self.compiled;
        for unit in managed {
            let opens = compiled.opens(unit.class);
            if opens.is_empty() {
                continue;
            }
            let from = self.names.get(&unit).map_or(End::Anyone, |name| End::Class(name.to_string()));
            let bonds = compiled.bonds(unit.class);
            for Opens { rule, to, ports } in opens {
                for cell in self.cells(&bonds, to).iter() {
                    let (services, on_link) = services(&ports.difference(&cell.taken));
                    for end in &cell.ends {
                        self.allow(rule, &from, end, &services)?;
                    }
                    self.on_link(rule, &from, cell, &on_link)?;
                }
                for domain in compiled.domains_in(to) {
                    self.name(rule, &from, &bonds, domain, ports)?;
                }
            }
        }
        Ok(())
    }

    /// What is carried straight on the link goes by link-layer addresses.
    fn on_link(
        &mut self,
        rule: u32,
        from: &End,
        cell: &Cell,
        services: &[Service],
    ) -> Result<(), RulesetError> {
        if services.is_empty() {
            return Ok(());
        }
        let name = self.rule(rule);
        if self.options.family == Family::Routed {
            self.notes.insert(format!("rule {name:?}: what has no network address does not pass a router"));
            return Ok(());
        }
        if cell.units.iter().any(|unit| self.compiled.located(unit.class) == Located::Groups) {
            self.notes.insert(format!(
                "rule {name:?}: groups of hosts on a link are not told from others, so what it allows straight on the link is \
                 allowed to anyone there"
            ));
            return self.allow(rule, from, &End::Anyone, services);
        }
        for unit in &cell.units {
            let has_macs = self.units.get(unit).is_some_and(|content| !content.macs.is_empty());
            if let Some(class) = self.names.get(unit).filter(|_| has_macs) {
                let end = End::Class(class.to_string());
                self.allow(rule, from, &end, services)?;
            }
        }
        Ok(())
    }

    /// A name of the DNS, whose addresses are yet to be learnt; those that are known are addresses like others.
    fn name(
        &mut self,
        rule: u32,
        from: &End,
        bonds: &Bonds,
        domain: &str,
        ports: &policy::Ports,
    ) -> Result<(), RulesetError> {
        let Some(name) = dns_name(domain) else {
            let rule = self.rule(rule);
            self.notes.insert(format!(
                "rule {rule:?}: the names that {domain:?} stands for cannot be listed; the addresses that such names were seen to \
                 have are allowed, new ones are not"
            ));
            return Ok(());
        };
        let (services, _) = services(&ports.difference(&self.compiled.taken_of_name(bonds, &name)));
        self.allow(rule, from, &End::Name(name), &services)
    }

    /// What others may open to the managed.
    fn inward(&mut self) -> Result<(), RulesetError> {
        let compiled = self.compiled;
        // Those who ask alike and are bound alike are told together.
        let mut others: BTreeMap<(Vec<SetRef>, Bonds), Vec<Unit>> = BTreeMap::new();
        for unit in self.units.keys().filter(|unit| !unit.managed) {
            if compiled.located(unit.class) != Located::Groups {
                let asks = compiled.asks_as(unit.class).collect();
                others.entry((asks, compiled.bonds(unit.class))).or_default().push(*unit);
            }
        }
        for ((asks, bonds), units) in others {
            let opens = units.first().map_or_else(Vec::new, |unit| compiled.opens(unit.class));
            if opens.is_empty() {
                continue;
            }
            let inside = units.iter().any(|unit| compiled.located(unit.class) == Located::Local);
            let what = if inside { "unknown hosts" } else { "internet" };
            let from = self.ends(&units, || tagged(what, &format!("from {asks:?} {bonds:?}")));
            for Opens { rule, to, ports } in opens {
                for cell in self.cells(&bonds, to).iter() {
                    let (services, _) = services(&ports.difference(&cell.taken));
                    for to in cell.units.iter().filter(|_| !services.is_empty()) {
                        let Some(name) = self.names.get(to) else { continue };
                        let to = End::Class(name.to_string());
                        for from in &from {
                            self.allow(rule, from, &to, &services)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What a firewall cannot tell.
    fn note_rules(&mut self) {
        let policy = self.compiled.policy();
        let mut named: Vec<String> = Vec::new();
        for rule in &policy.rules {
            let (line, name) = (rule.place.line, rule_name(rule));
            match (rule.verdict, rule.operations.is_empty()) {
                (Verdict::Allow, false) => {
                    self.notes.insert(format!(
                        "rule {name:?} (line {line}) allows only some operations: the firewall lets whole conversations through there"
                    ));
                }
                (Verdict::Deny, false) => {
                    self.notes.insert(format!(
                        "rule {name:?} (line {line}) denies operations, which the firewall cannot tell: it cuts nothing there"
                    ));
                }
                _ => {}
            }
            if rule.services.iter().any(|service| matches!(service, policy::Service::Named(_))) {
                named.push(format!("line {line}"));
            }
            let to_groups =
                rule.to.iter().any(|term| matches!(term, policy::Term::Multicast | policy::Term::Broadcast));
            if to_groups {
                self.notes.insert(format!(
                    "rule {name:?} (line {line}) is about groups of hosts: they are told by the network addresses 224.0.0.0/4, ff00::/8 \
                     and 255.255.255.255 only, not by those of their links"
                ));
            }
        }
        if !named.is_empty() {
            self.notes.insert(format!(
                "protocols are told by their usual ports, whatever is spoken there: {}",
                listed(&named)
            ));
        }
        if !self.nameless.is_empty() {
            let names: Vec<String> = self.nameless.iter().map(ToString::to_string).collect();
            let how = match self.options.family {
                Family::Routed => "no network address",
                Family::Bridged => "no address",
            };
            self.notes.insert(format!("devices with {how} of their own are not managed: {}", listed(&names)));
        }
    }

    fn finish(self) -> Lowered {
        let Options { family, mode, strict, count_singles, ref guard, .. } = *self.options;
        let classes = self.names.iter().map(|(unit, name)| {
            let macs = self.units.get(unit).into_iter().flat_map(|content| &content.macs);
            let networks = self.region(&[*unit]).into_iter().map(Address::from);
            Class {
                name: name.to_string(),
                members: networks.chain(macs.copied().map(Address::from)).collect(),
            }
        });
        let classes = classes.collect();
        let ends = self.allows.iter().flat_map(|allow| [&allow.from, &allow.to]);
        let used: BTreeSet<&str> = ends
            .filter_map(|end| if let End::Group(name) = end { Some(name.as_str()) } else { None })
            .collect();
        let groups = self
            .groups
            .into_iter()
            .filter(|(name, _)| used.contains(name.as_str()))
            .map(|(name, networks)| Group { name, networks });
        let groups = groups.collect();
        let guard = guard.clone();
        let ruleset =
            Ruleset { family, mode, strict, count_singles, classes, groups, allows: self.allows, guard };
        Lowered { ruleset, notes: self.notes.into_iter().collect() }
    }
}

/// The first of a list, and how many more there are.
fn listed(items: &[String]) -> String {
    let more = items.len().saturating_sub(TOLD_MAX);
    let first: Vec<&str> = items.iter().take(TOLD_MAX).map(String::as_str).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// What a rule is called where its packets are counted: its label, or its text.
fn rule_name(rule: &policy::Rule) -> String {
    let text = rule.label.as_ref().map_or_else(|| rule.to_string(), ToString::to_string);
    let text = fitting(&text.split_whitespace().collect::<Vec<_>>().join(" "), NAME_BYTES_MAX);
    if text.is_empty() { "a rule".into() } else { text }
}

/// A name that a ruleset takes, of at most so many bytes.
fn fitting(text: &str, bytes: usize) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        let c = if matches!(c, '"' | '\\') { '\'' } else { c };
        if out.len() + c.len_utf8() > bytes {
            break;
        }
        out.push(c);
    }
    out
}

/// A name that people can read, with a digest (64-bit FNV-1a) of what tells it from others that read the same.
fn tagged(what: &str, tag: &str) -> String {
    let digest = tag.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} #{digest:016x}", fitting(what, NAME_BYTES_MAX - 18))
}

/// Ports as services about packets of IP, and those straight on the link.
fn services(ports: &policy::Ports) -> (Vec<Service>, Vec<Service>) {
    if *ports == policy::Ports::all() {
        return (vec![Service::Any], Vec::new());
    }
    let (mut tcp, mut udp, mut sctp) = (Vec::new(), Vec::new(), Vec::new());
    let (mut others, mut on_link) = (Vec::new(), Vec::new());
    for (transport, first, last) in ports.ip_ranges() {
        match transport {
            Transport::Tcp => tcp.push(Ports { first, last }),
            Transport::Udp => udp.push(Ports { first, last }),
            Transport::Sctp => sctp.push(Ports { first, last }),
            Transport::Icmp => others.push(Service::Icmp(Vec::new())),
            Transport::Icmpv6 => others.push(Service::Icmpv6(Vec::new())),
            Transport::Ip(number) => others.push(Service::Ip(number)),
            Transport::Ether(kind) => on_link.push(Service::Ether(kind)),
            Transport::Can | Transport::Wpan => {}
        }
    }
    let with_ports =
        [(tcp, Service::Tcp as fn(Vec<Ports>) -> Service), (udp, Service::Udp), (sctp, Service::Sctp)];
    let mut all: Vec<Service> = with_ports
        .into_iter()
        .filter(|(ports, _)| !ports.is_empty())
        .map(|(ports, service)| service(ports))
        .collect();
    all.extend(others);
    (all, on_link)
}

#[cfg(test)]
mod tests;
