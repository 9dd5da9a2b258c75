//! A policy as a ruleset.
//!
//! Hosts of which the policy says the same are one class of the ruleset. *Managed* are the devices that the inventory knows and
//! whoever has an address in a zone; if the ruleset is strict, everybody. What is allowed between two hosts, of which one is
//! managed, is exactly what the policy allows on the network layer: what its allows open, without what denies and conduits take
//! away. What a firewall cannot tell is in [`Lowered::notes`].
//!
//! A rule's destination is cut into cells, in each of which denies and conduits take away the same from those who ask. Askers
//! that are bound alike share the cells, so the effort grows with rules and cells and not with pairs of hosts.

mod live;
mod region;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use model::{Host, MacAddr, Transport};
use policy::{Ask, Bonds, ClassRef, Compiled, Located, Opens, SetRef, Verdict, Who};

use self::live::Places;
pub use self::live::{Changed, Live};
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

/// Makes a ruleset of a policy. [`Live`] follows devices that change.
///
/// # Errors
///
/// If it would be larger than a ruleset may be.
pub fn lower(compiled: &Compiled, options: &Options) -> Result<Lowered, RulesetError> {
    Live::new(compiled, options.clone()).lowered(compiled)
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

/// Writes rules.
struct Writer<'a> {
    compiled: &'a Compiled,
    options: &'a Options,
    places: &'a Places,
    cells: BTreeMap<(SetRef, Bonds), Rc<[Cell]>>,
    groups: BTreeMap<String, Vec<Network>>,
    rules: BTreeMap<u32, Rc<str>>,
    allows: Vec<Allow>,
    notes: BTreeSet<String>,
}

impl<'a> Writer<'a> {
    fn new(compiled: &'a Compiled, options: &'a Options, places: &'a Places) -> Self {
        Self {
            compiled,
            options,
            places,
            cells: BTreeMap::new(),
            groups: BTreeMap::new(),
            rules: BTreeMap::new(),
            allows: Vec::new(),
            notes: BTreeSet::new(),
        }
    }

    /// All that a policy comes to.
    fn whole(mut self) -> Result<Lowered, RulesetError> {
        for unit in self.places.names.keys() {
            self.outward(*unit, None)?;
        }
        for ((asks, bonds), units) in self.others() {
            self.inward(&asks, &bonds, &units, None)?;
        }
        self.note_rules();
        Ok(self.finish())
    }

    /// The addresses of some units, without those that others have.
    fn region(&self, units: &[Unit]) -> Vec<Network> {
        let mut region = Region::default();
        for content in units.iter().filter_map(|unit| self.places.units.get(unit)) {
            content.stretches.iter().for_each(|(first, last)| region.add(*first, *last));
            content.points.iter().for_each(|point| region.add(*point, *point));
        }
        let units: BTreeSet<Unit> = units.iter().copied().collect();
        region.without(|first, last| {
            let within = self.places.owners.range(first..=last);
            within.filter(|(_, owner)| !units.contains(owner)).map(|(point, _)| *point).collect::<Vec<_>>()
        });
        region.networks()
    }

    /// How a rule names some units: none, or one or more ends.
    fn ends(&mut self, units: &[Unit], name: impl FnOnce() -> String) -> Vec<End> {
        let class = |unit: &Unit| self.places.names.get(unit).map(|name| End::Class(name.to_string()));
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
        if let Some(cells) = self.cells.get(&(to, bonds.clone())) {
            return cells.clone();
        }
        let mut found: BTreeMap<policy::Ports, Vec<Unit>> = BTreeMap::new();
        for unit in self.places.asked.get(&to).into_iter().flatten() {
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
        self.cells.insert((to, bonds.clone()), cells.clone());
        cells
    }

    fn rule(&mut self, number: u32) -> Rc<str> {
        let rules = &self.compiled.policy().rules;
        let name = || rules.get(number as usize).map_or_else(|| "a rule".into(), rule_name).into();
        self.rules.entry(number).or_insert_with(name).clone()
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

    /// What the hosts of a managed unit may open: all of it, or what leads to one of some others.
    fn outward(&mut self, unit: Unit, only: Option<&BTreeSet<Unit>>) -> Result<(), RulesetError> {
        let compiled = self.compiled;
        let opens = compiled.opens(unit.class);
        let Some(name) = self.places.names.get(&unit).filter(|_| !opens.is_empty()) else { return Ok(()) };
        let from = End::Class(name.to_string());
        let bonds = compiled.bonds(unit.class);
        let named = |cell: &Cell| only.is_none_or(|only| cell.units.iter().any(|unit| only.contains(unit)));
        let wanted: Option<BTreeSet<&str>> = only.map(|only| {
            only.iter().filter_map(|unit| self.places.names.get(unit)).map(|name| &**name).collect()
        });
        let places = self.places;
        let leads = |to: SetRef| only.is_none_or(|only| places.is_asked(to, only));
        for Opens { rule, to, ports } in opens.into_iter().filter(|opens| leads(opens.to)) {
            for cell in self.cells(&bonds, to).iter().filter(|cell| named(cell)) {
                let (services, on_link) = services(&ports.difference(&cell.taken));
                let begin = self.allows.len();
                for end in &cell.ends {
                    self.allow(rule, &from, end, &services)?;
                }
                self.on_link(rule, &from, cell, &on_link)?;
                if let Some(wanted) = &wanted {
                    let is_wanted = |allow: &Allow| matches!(&allow.to, End::Class(name) if wanted.contains(name.as_str()));
                    let written = self.allows.split_off(begin);
                    self.allows.extend(written.into_iter().filter(is_wanted));
                }
            }
            for domain in compiled.domains_in(to).filter(|_| only.is_none()) {
                self.name(rule, &from, &bonds, domain, ports)?;
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
            let has_macs = self.places.units.get(unit).is_some_and(|content| !content.macs.is_empty());
            if let Some(class) = self.places.names.get(unit).filter(|_| has_macs) {
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

    /// Units that are not managed: those who ask alike and are bound alike are told together.
    fn others(&self) -> BTreeMap<(Vec<SetRef>, Bonds), Vec<Unit>> {
        let mut others: BTreeMap<(Vec<SetRef>, Bonds), Vec<Unit>> = BTreeMap::new();
        for unit in self.places.units.keys().filter(|unit| !unit.managed) {
            if self.compiled.located(unit.class) != Located::Groups {
                let asks = self.compiled.asks_as(unit.class).collect();
                others.entry((asks, self.compiled.bonds(unit.class))).or_default().push(*unit);
            }
        }
        others
    }

    /// What others may open to the managed: to all, or to some.
    fn inward(
        &mut self,
        asks: &[SetRef],
        bonds: &Bonds,
        units: &[Unit],
        only: Option<&BTreeSet<Unit>>,
    ) -> Result<(), RulesetError> {
        let compiled = self.compiled;
        let opens = units.first().map_or_else(Vec::new, |unit| compiled.opens(unit.class));
        if opens.is_empty() {
            return Ok(());
        }
        let inside = units.iter().any(|unit| compiled.located(unit.class) == Located::Local);
        let what = if inside { "unknown hosts" } else { "internet" };
        let mut from: Option<Vec<End>> = None;
        let places = self.places;
        let leads = |to: SetRef| only.is_none_or(|only| places.is_asked(to, only));
        for Opens { rule, to, ports } in opens.into_iter().filter(|opens| leads(opens.to)) {
            for cell in self.cells(bonds, to).iter() {
                let (services, _) = services(&ports.difference(&cell.taken));
                let asked = cell.units.iter().filter(|unit| only.is_none_or(|only| only.contains(unit)));
                for to in asked.filter(|_| !services.is_empty()) {
                    let Some(name) = self.places.names.get(to) else { continue };
                    let to = End::Class(name.to_string());
                    let tag = || tagged(what, &format!("from {asks:?} {bonds:?}"));
                    let from = from.get_or_insert_with(|| self.ends(units, tag)).clone();
                    for from in &from {
                        self.allow(rule, from, &to, &services)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What a firewall cannot tell.
    fn note_rules(&mut self) {
        let policy = self.compiled.policy();
        let [mut opened, mut denied, mut named, mut to_groups] = [const { Vec::new() }; 4];
        for rule in &policy.rules {
            let line = rule.place.line.to_string();
            match (rule.verdict, rule.operations.is_empty()) {
                (Verdict::Allow, false) => opened.push(line.clone()),
                (Verdict::Deny, false) => denied.push(line.clone()),
                _ => {}
            }
            if rule.services.iter().any(|service| matches!(service, policy::Service::Named(_))) {
                named.push(line.clone());
            }
            if rule.to.iter().any(|term| matches!(term, policy::Term::Multicast | policy::Term::Broadcast)) {
                to_groups.push(line);
            }
        }
        let told = [
            (opened, "where only some operations are allowed, the firewall lets whole conversations through"),
            (denied, "operations that are denied cannot be told by the firewall, which cuts nothing there"),
            (named, "protocols are told by their usual ports, whatever is spoken there"),
            (
                to_groups,
                "groups of hosts are told by the network addresses 224.0.0.0/4, ff00::/8 and 255.255.255.255 only, not by those \
                 of their links",
            ),
        ];
        for (lines, what) in told.into_iter().filter(|(lines, _)| !lines.is_empty()) {
            let line = if lines.len() == 1 { "line" } else { "lines" };
            self.notes.insert(format!("{what}: {line} {}", listed(&lines)));
        }
        let nameless = self.places.devices.iter().filter(|(_, placed)| placed.is_nameless());
        let names: Vec<String> = nameless.map(|(id, _)| id.to_string()).collect();
        if !names.is_empty() {
            let how = match self.options.family {
                Family::Routed => "no network address",
                Family::Bridged => "no address",
            };
            self.notes.insert(format!("devices with {how} of their own are not managed: {}", listed(&names)));
        }
    }

    /// A class of the ruleset, as it stands. Single hosts are listed as such, so that one that comes or goes changes nothing
    /// else.
    fn class(&self, unit: Unit, name: &str) -> Class {
        let Some(content) = self.places.units.get(&unit) else {
            return Class { name: name.into(), members: Vec::new() };
        };
        let networks = if content.stretches.is_empty() {
            content.points.iter().map(|point| Network::host(ip(*point))).collect()
        } else {
            self.region(&[unit])
        };
        let macs = content.macs.iter().copied().map(Address::from);
        Class { name: name.into(), members: networks.into_iter().map(Address::from).chain(macs).collect() }
    }

    fn finish(mut self) -> Lowered {
        let classes = self.places.names.iter().map(|(unit, name)| self.class(*unit, name)).collect();
        let notes = std::mem::take(&mut self.notes).into_iter().collect();
        Lowered { ruleset: self.ruleset(classes), notes }
    }

    /// What was written, with the classes that it names and some more.
    fn part(self, units: &BTreeSet<Unit>) -> Ruleset {
        let ends = self.allows.iter().flat_map(|allow| [&allow.from, &allow.to]);
        let named = ends.filter_map(|end| match end {
            End::Class(name) => self.places.by_name.get(name.as_str()).copied(),
            _ => None,
        });
        let units: BTreeSet<Unit> = named.chain(units.iter().copied()).collect();
        let names = units.iter().filter_map(|unit| Some((*unit, self.places.names.get(unit)?)));
        let classes = names.map(|(unit, name)| self.class(unit, name)).collect();
        self.ruleset(classes)
    }

    /// The ruleset of what was written.
    fn ruleset(self, classes: Vec<Class>) -> Ruleset {
        let Options { family, mode, strict, count_singles, ref guard, .. } = *self.options;
        let ends = self.allows.iter().flat_map(|allow| [&allow.from, &allow.to]);
        let used: BTreeSet<&str> = ends
            .filter_map(|end| if let End::Group(name) = end { Some(name.as_str()) } else { None })
            .collect();
        let groups = self.groups.into_iter().filter(|(name, _)| used.contains(name.as_str()));
        let groups = groups.map(|(name, networks)| Group { name, networks }).collect();
        Ruleset {
            family,
            mode,
            strict,
            count_singles,
            classes,
            groups,
            allows: self.allows,
            guard: guard.clone(),
        }
    }
}

/// The first of a list, and how many more there are.
fn listed(items: &[String]) -> String {
    let more = items.len().saturating_sub(TOLD_MAX);
    let first: Vec<&str> = items.iter().take(TOLD_MAX).map(String::as_str).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// What a rule is called where its packets are counted: its label, or its text on one line.
fn rule_name(rule: &policy::Rule) -> String {
    let text = rule.label.as_ref().map_or_else(|| rule.to_string(), ToString::to_string);
    let lines: Vec<&str> = text.split('\n').map(str::trim).collect();
    let name = fitting(&lines.join(" "), NAME_BYTES_MAX);
    if name.is_empty() { "a rule".into() } else { name }
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
