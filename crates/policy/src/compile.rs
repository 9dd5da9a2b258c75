//! A policy together with the devices that it is about, ready to decide.
//!
//! Each rule becomes one entry: set of those who ask, set of those who are asked, services, operations. Entries are found by
//! the pair of their sets. A host is in some sets; hosts that are in the same ones make a *class*, and everything that is said
//! of hosts is said of classes. A device that changes is only put into another class.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::{Device, DeviceId, Host, MacAddr, OperationKind, Timestamp};

use crate::service::{Names, Ports, Protocols, Services, Unresolved};
use crate::sets::{AtomId, SetId, Sets, Whereabouts, unknown};
use crate::syntax::{Policy, Service, Term, Verdict};
use crate::{Map, Place, Problem, Target};

/// The devices and names that a policy is about.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// The devices.
    pub devices: Vec<Device>,
    /// The addresses that names of the DNS have, as far as the devices asked for them.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// The moment from which ages are told.
    pub now: Timestamp,
}

/// The number of a class of hosts.
pub(crate) type ClassId = u32;

/// Hosts that are in the same sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// All sets that they are in.
    pub(crate) sets: Box<[SetId]>,
    /// Those of them that stand on the asking side of a rule.
    pub(crate) from: Box<[SetId]>,
    /// Those of them that stand on the asked side of a rule.
    pub(crate) to: Box<[SetId]>,
    /// The zones that they are in.
    pub(crate) zones: Box<[u32]>,
    /// What they are.
    pub(crate) place: Whereabouts,
}

/// A rule, ready to be looked up; it has the number that it has in the policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) from: SetId,
    pub(crate) to: SetId,
    pub(crate) services: u32,
    pub(crate) operations: u32,
    pub(crate) verdict: Verdict,
}

/// A conduit, ready to be looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    pub(crate) services: u32,
    /// Its number in the policy.
    pub(crate) conduit: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) device: Device,
    pub(crate) class: ClassId,
}

/// A policy, compiled against an estate.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub(crate) policy: Arc<Policy>,
    pub(crate) sets: Sets,
    pub(crate) entries: Vec<Entry>,
    /// Numbers of entries, those of one pair of sets together.
    order: Vec<u32>,
    pairs: Map<(SetId, SetId), (u32, u32)>,
    /// Destinations of entries, by source, and sources by destination.
    pub(crate) onward: Map<SetId, Vec<SetId>>,
    pub(crate) backward: Map<SetId, Vec<SetId>>,
    pub(crate) services: Vec<Services>,
    pub(crate) operations: Vec<Vec<(OperationKind, Option<Target>)>>,
    /// The sets of the zones, in their order.
    pub(crate) zones: Vec<SetId>,
    pub(crate) crossings: BTreeMap<(u32, u32), Vec<Crossing>>,
    pub(crate) invariants: Vec<(SetId, SetId)>,
    pub(crate) expectations: Vec<Entry>,
    pub(crate) guards: Vec<SetId>,
    /// What stands on a side of a rule.
    sides: Vec<(bool, bool)>,
    zone_of: Map<SetId, Vec<u32>>,
    pub(crate) classes: Vec<Class>,
    class_ids: Map<(Box<[SetId]>, Whereabouts), ClassId>,
    pub(crate) known: BTreeMap<DeviceId, Known>,
    by_ip: Map<IpAddr, Vec<DeviceId>>,
    by_mac: Map<MacAddr, Vec<DeviceId>>,
    /// The classes of unknown hosts: by part of the space of addresses, by address that has a name, by link-layer address.
    pub(crate) intervals: Vec<ClassId>,
    pub(crate) named: BTreeMap<IpAddr, ClassId>,
    pub(crate) macs: BTreeMap<MacAddr, ClassId>,
    stranger: ClassId,
    multicast: ClassId,
    broadcast: ClassId,
    names: BTreeMap<String, Vec<IpAddr>>,
    names_by_ip: Map<IpAddr, Vec<String>>,
    /// Whether somebody is in a set by an age.
    ages: bool,
    now: Timestamp,
}

impl Compiled {
    /// Compiles a policy.
    ///
    /// # Errors
    ///
    /// What makes the policy meaningless: names that mean nothing, groups that hold themselves. What it comes to for these
    /// devices is looked at by [`Compiled::lint`].
    pub fn new(
        policy: impl Into<Arc<Policy>>,
        protocols: &Protocols,
        estate: Estate,
    ) -> Result<Self, Vec<Problem>> {
        let policy = policy.into();
        let mut problems = Vec::new();
        let mut sets = Sets::new(&policy, &mut problems);
        let mut services = Names::new(&policy, protocols);
        let mut lowering = Lowering::default();
        for (place, definition) in policy.services.iter().enumerate() {
            let twice = policy.services.iter().take(place).any(|other| other.name == definition.name);
            if twice {
                let what = format!("the service `{}` is defined twice", definition.name);
                problems.push(Problem::error(definition.place, what, "rename one"));
            }
            lowering.services(&definition.services, definition.place, &mut services, &mut problems);
        }
        let mut entries = Vec::with_capacity(policy.rules.len());
        for rule in &policy.rules {
            entries.push(lowering.rule(rule, &mut sets, &mut services, &mut problems));
        }
        let expectations = policy
            .expectations
            .iter()
            .map(|rule| lowering.rule(rule, &mut sets, &mut services, &mut problems))
            .collect();
        let zones: Vec<SetId> = policy.zones.iter().filter_map(|zone| sets.named(&zone.name)).collect();
        let mut crossings: BTreeMap<(u32, u32), Vec<Crossing>> = BTreeMap::new();
        for (number, conduit) in (0..).zip(&policy.conduits) {
            let bound = lowering.services(&conduit.services, conduit.place, &mut services, &mut problems);
            let mut zone = |name: &str| {
                let found = policy.zones.iter().position(|zone| *zone.name == *name);
                if found.is_none() {
                    let known = policy.zones.iter().map(|zone| &*zone.name);
                    let mut problem = unknown(name, conduit.place, known);
                    problem.what = format!("no zone is called `{name}`");
                    problems.push(problem);
                }
                found.map(|at| at as u32)
            };
            if let (Some(from), Some(to)) = (zone(&conduit.from), zone(&conduit.to)) {
                crossings.entry((from, to)).or_default().push(Crossing { services: bound, conduit: number });
            }
        }
        let mut sides = |from: &[Term], to: &[Term], place: Place| {
            (sets.set(from, place, &mut problems), sets.set(to, place, &mut problems))
        };
        let invariants = policy.invariants.iter().map(|one| sides(&one.from, &one.to, one.place)).collect();
        let guards =
            policy.guards.iter().map(|guard| sets.set(&guard.members, guard.place, &mut problems)).collect();
        if !problems.is_empty() {
            problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
            return Err(problems);
        }
        let mut names: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for (name, addresses) in &estate.names {
            names.entry(written(name)).or_default().extend(addresses);
        }
        names.values_mut().for_each(|addresses| *addresses = canonical(addresses));
        sets.place_addresses(&zones);
        let ages = sets.ask_for_ages();
        let Lowering { services, operations, .. } = lowering;
        let mut compiled = Self {
            sides: vec![(false, false); sets.sets.len()],
            policy: policy.clone(),
            sets,
            entries,
            order: Vec::new(),
            pairs: Map::default(),
            onward: Map::default(),
            backward: Map::default(),
            services,
            operations,
            zone_of: Map::default(),
            zones,
            crossings,
            invariants,
            expectations,
            guards,
            classes: Vec::new(),
            class_ids: Map::default(),
            known: BTreeMap::new(),
            by_ip: Map::default(),
            by_mac: Map::default(),
            intervals: Vec::new(),
            named: BTreeMap::new(),
            macs: BTreeMap::new(),
            stranger: 0,
            multicast: 0,
            broadcast: 0,
            names,
            names_by_ip: Map::default(),
            ages,
            now: estate.now,
        };
        compiled.index_entries();
        compiled.place_strangers();
        compiled.place_devices(estate.devices);
        Ok(compiled)
    }

    fn index_entries(&mut self) {
        for (number, zone) in (0..).zip(&self.zones) {
            self.zone_of.entry(*zone).or_default().push(number);
        }
        self.order = (0..self.entries.len() as u32).collect();
        let sides = |number: u32| self.entries.get(number as usize).map(|entry| (entry.from, entry.to));
        self.order.sort_by_key(|number| (sides(*number), *number));
        let mut start = 0;
        for run in self.order.chunk_by(|a, b| sides(*a) == sides(*b)) {
            let end = start + run.len() as u32;
            if let Some((from, to)) = run.first().and_then(|number| sides(*number)) {
                self.pairs.insert((from, to), (start, end));
                self.onward.entry(from).or_default().push(to);
                self.backward.entry(to).or_default().push(from);
                if let Some(side) = self.sides.get_mut(from as usize) {
                    side.0 = true;
                }
                if let Some(side) = self.sides.get_mut(to as usize) {
                    side.1 = true;
                }
            }
            start = end;
        }
    }

    /// Classes of hosts that no device is known for.
    fn place_strangers(&mut self) {
        let special = |sets: &Sets, place| sets.special(place).collect::<Vec<_>>();
        self.stranger = self.class_of(&special(&self.sets, Whereabouts::Local), Whereabouts::Local);
        self.multicast = self.class_of(&special(&self.sets, Whereabouts::Multicast), Whereabouts::Multicast);
        self.broadcast = self.class_of(&special(&self.sets, Whereabouts::Broadcast), Whereabouts::Broadcast);
        for at in 0..self.sets.intervals.len() {
            let Some(interval) = self.sets.intervals.get(at) else { break };
            let (place, mut atoms) = (interval.place, interval.atoms.to_vec());
            atoms.extend(self.sets.special(place));
            let class = self.class_of(&atoms, place);
            self.intervals.push(class);
        }
        let names = std::mem::take(&mut self.names);
        for (name, ip) in names.iter().flat_map(|(name, all)| all.iter().map(move |ip| (name, *ip))) {
            self.names_by_ip.entry(ip).or_default().push(name.clone());
        }
        let addresses: BTreeSet<IpAddr> = names.values().flatten().copied().collect();
        self.names = names;
        for ip in addresses {
            self.place_named(ip);
        }
        let macs: Vec<(MacAddr, AtomId)> = self.sets.macs().collect();
        for (mac, atom) in macs {
            let mut atoms = special(&self.sets, Whereabouts::Local);
            atoms.push(atom);
            let class = self.class_of(&atoms, Whereabouts::Local);
            self.macs.insert(mac, class);
        }
    }

    /// Finds the names that an address has, and the class of an unknown host that has it.
    fn place_named(&mut self, ip: IpAddr) {
        let having = self.names_by_ip.get(&ip).into_iter().flatten();
        let atoms: Vec<AtomId> = having.flat_map(|name| self.sets.domains_of(name)).collect();
        if !self.sets.name_address(ip, atoms) {
            self.named.remove(&ip);
            return;
        }
        let place =
            self.sets.intervals.get(self.sets.interval(ip)).map_or(Whereabouts::Internet, |one| one.place);
        let atoms: Vec<AtomId> = self.sets.of_address(ip).chain(self.sets.special(place)).collect();
        let class = self.class_of(&atoms, place);
        self.named.insert(ip, class);
    }

    /// A name of the DNS has these addresses from now on, and no others; none if it has none.
    pub fn resolve(&mut self, name: &str, addresses: &[IpAddr]) {
        let (name, new) = (written(name), canonical(addresses));
        let mut touched = self.names.insert(name.clone(), new.clone()).unwrap_or_default();
        for ip in &touched {
            if let Some(names) = self.names_by_ip.get_mut(ip) {
                names.retain(|other| *other != name);
            }
        }
        for ip in &new {
            self.names_by_ip.entry(*ip).or_default().push(name.clone());
        }
        touched.extend(new);
        touched.sort_unstable();
        touched.dedup();
        for ip in &touched {
            self.place_named(*ip);
        }
        let having = touched.iter().filter_map(|ip| self.by_ip.get(ip)).flatten().copied().collect();
        self.classify_all(having);
    }

    /// Time goes on: whoever is in a set by an age is looked at again.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = now;
        if self.ages {
            self.classify_all(self.known.keys().copied().collect());
        }
    }

    fn place_devices(&mut self, devices: Vec<Device>) {
        for device in devices {
            self.register(&device);
            self.known.insert(device.id, Known { device, class: 0 });
        }
        let ids: Vec<DeviceId> = self.known.keys().copied().collect();
        for id in ids {
            self.classify(id);
        }
    }

    fn register(&mut self, device: &Device) {
        for known in &device.addresses {
            let ids = self.by_ip.entry(known.ip.to_canonical()).or_default();
            if !ids.contains(&device.id) {
                ids.push(device.id);
            }
        }
        for mac in &device.macs {
            let ids = self.by_mac.entry(*mac).or_default();
            if !ids.contains(&device.id) {
                ids.push(device.id);
            }
        }
    }

    /// Finds the class of a device again.
    fn classify(&mut self, id: DeviceId) {
        let Some(known) = self.known.get(&id) else { return };
        let own = self.addresses_of(&known.device);
        let atoms = self.sets.of_device(&known.device, &own, self.now);
        let place = match known.device.locality {
            model::Locality::External => Whereabouts::Internet,
            _ => Whereabouts::Local,
        };
        let class = self.class_of(&atoms, place);
        if let Some(known) = self.known.get_mut(&id) {
            known.class = class;
        }
    }

    /// Takes in a device that is new or has changed. Costs what there is to say about it and about those with which it
    /// shares addresses, whatever the number of devices and rules.
    /// Tells who was looked at again: whoever else's class or addresses may have changed.
    pub fn update(&mut self, device: Device) -> Vec<DeviceId> {
        let mut touched = self.forget(device.id);
        self.register(&device);
        let shared = device.addresses.iter().filter_map(|known| self.by_ip.get(&known.ip.to_canonical()));
        touched.extend(shared.flatten());
        let id = device.id;
        self.known.insert(id, Known { device, class: 0 });
        touched.push(id);
        self.classify_all(touched)
    }

    /// Forgets a device; whoever uses its addresses is unknown from then on. Tells who was looked at again.
    pub fn remove(&mut self, id: DeviceId) -> Vec<DeviceId> {
        let mut touched = self.forget(id);
        touched.push(id);
        self.classify_all(touched)
    }

    fn classify_all(&mut self, mut ids: Vec<DeviceId>) -> Vec<DeviceId> {
        ids.sort_unstable();
        ids.dedup();
        for id in &ids {
            self.classify(*id);
        }
        ids
    }

    /// Takes a device out; tells who shared its addresses.
    fn forget(&mut self, id: DeviceId) -> Vec<DeviceId> {
        let Some(old) = self.known.remove(&id) else { return Vec::new() };
        let mut touched = Vec::new();
        for known in &old.device.addresses {
            if let Some(ids) = self.by_ip.get_mut(&known.ip.to_canonical()) {
                ids.retain(|other| *other != id);
                touched.extend(ids.iter());
            }
        }
        for mac in &old.device.macs {
            if let Some(ids) = self.by_mac.get_mut(mac) {
                ids.retain(|other| *other != id);
            }
        }
        touched
    }

    /// The device that uses an address: of several that have, the one that used it last.
    pub fn device_at(&self, ip: IpAddr) -> Option<DeviceId> {
        let ip = ip.to_canonical();
        let ids = self.by_ip.get(&ip)?;
        let used = |id: &&DeviceId| {
            let device = self.known.get(*id).map(|known| &known.device);
            let uses = device.into_iter().flat_map(|device| &device.addresses);
            let last = uses.filter(|known| known.ip.to_canonical() == ip).map(|known| known.last).max();
            (last, std::cmp::Reverse(**id))
        };
        if let [only] = &**ids { Some(*only) } else { ids.iter().max_by_key(used).copied() }
    }

    /// The device that has a link-layer address.
    pub(crate) fn device_with_mac(&self, mac: MacAddr) -> Option<DeviceId> {
        self.by_mac.get(&mac).and_then(|ids| ids.iter().min()).copied()
    }

    /// The moment from which ages are told.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// The addresses that a device uses and nobody has used since.
    pub fn addresses_of(&self, device: &Device) -> Vec<IpAddr> {
        let mut own: Vec<IpAddr> = device.addresses.iter().map(|known| known.ip.to_canonical()).collect();
        own.retain(|ip| self.device_at(*ip) == Some(device.id));
        own.sort_unstable();
        own.dedup();
        own
    }

    /// The class of those who match these atoms.
    fn class_of(&mut self, atoms: &[AtomId], place: Whereabouts) -> ClassId {
        let sets = self.sets.of_atoms(atoms);
        if let Some(id) = self.class_ids.get(&(sets.clone(), place)) {
            return *id;
        }
        let id = self.classes.len() as ClassId;
        let class = self.make_class(sets.clone(), place);
        self.classes.push(class);
        self.class_ids.insert((sets, place), id);
        id
    }

    fn make_class(&self, sets: Box<[SetId]>, place: Whereabouts) -> Class {
        let side = |which: fn(&(bool, bool)) -> bool| {
            sets.iter().copied().filter(|set| self.sides.get(*set as usize).is_some_and(which)).collect()
        };
        let mut zones: Vec<u32> =
            sets.iter().filter_map(|set| self.zone_of.get(set)).flatten().copied().collect();
        zones.sort_unstable();
        zones.dedup();
        Class { from: side(|side| side.0), to: side(|side| side.1), zones: zones.into(), sets, place }
    }

    pub(crate) fn class(&self, id: ClassId) -> &Class {
        // Every number of a class comes from `class_of`; the first class is there from the beginning.
        self.classes.get(id as usize).unwrap_or(&self.classes[0])
    }

    /// The class of a host, as a packet names it.
    pub(crate) fn class_of_host(&self, host: &Host) -> ClassId {
        // A group that has an address is the one of that address.
        let has_group = host.ip.is_some_and(|ip| ip.to_canonical().is_multicast());
        if let Some(mac) = host.mac.filter(|mac| mac.is_group() && !has_group) {
            return if mac == MacAddr::BROADCAST { self.broadcast } else { self.multicast };
        }
        if let Some(ip) = host.ip {
            let ip = ip.to_canonical();
            if let Some(known) = self.device_at(ip).and_then(|id| self.known.get(&id)) {
                return known.class;
            }
            if let Some(class) = self.named.get(&ip) {
                return *class;
            }
            return self.intervals.get(self.sets.interval(ip)).copied().unwrap_or(self.stranger);
        }
        let Some(mac) = host.mac else { return self.stranger };
        let device = self.device_with_mac(mac).and_then(|id| self.known.get(&id));
        device.map(|known| known.class).or_else(|| self.macs.get(&mac).copied()).unwrap_or(self.stranger)
    }

    /// The class of whoever has a name of the DNS, besides what they are anyway.
    pub(crate) fn class_with_name(&self, base: Option<ClassId>, name: &str) -> Class {
        let at = self.names.get(&written(name)).and_then(|addresses| addresses.first());
        let base = base.or_else(|| at.map(|ip| self.class_of_host(&Host::from_ip(*ip))));
        let (mut sets, place) = match base {
            Some(base) => (self.class(base).sets.to_vec(), self.class(base).place),
            None => {
                let atoms: Vec<AtomId> = self.sets.special(Whereabouts::Internet).collect();
                (self.sets.of_atoms(&atoms).into(), Whereabouts::Internet)
            }
        };
        let atoms: Vec<AtomId> = self.sets.domains_of(name).collect();
        sets.extend(self.sets.of_atoms(&atoms));
        sets.sort_unstable();
        sets.dedup();
        self.make_class(sets.into(), place)
    }

    /// The numbers of the rules between two classes, in the order of their sets.
    pub(crate) fn between<'a>(
        &'a self,
        client: &'a Class,
        server: &'a Class,
    ) -> impl Iterator<Item = u32> + 'a {
        let pairs = client.from.iter().flat_map(|from| server.to.iter().map(|to| (*from, *to)));
        pairs.filter_map(|pair| self.pairs.get(&pair)).flat_map(|(start, end)| {
            self.order.get(*start as usize..*end as usize).unwrap_or_default().iter().copied()
        })
    }

    /// The rules from one set to another.
    pub(crate) fn of_pair(&self, from: SetId, to: SetId) -> &[u32] {
        let found = self.pairs.get(&(from, to));
        found.and_then(|(start, end)| self.order.get(*start as usize..*end as usize)).unwrap_or_default()
    }

    /// The conduits that a conversation between two classes has to fit into: all of them. None where they share a zone,
    /// where one is in none, and where no conduit is declared.
    pub(crate) fn conduits<'a>(
        &'a self,
        client: &'a Class,
        server: &'a Class,
    ) -> impl Iterator<Item = (u32, u32, &'a [Crossing])> + 'a {
        self.conduits_between(&client.zones, &server.zones)
    }

    /// The same between those who are in some zones.
    pub(crate) fn conduits_between<'a>(
        &'a self,
        client: &'a [u32],
        server: &'a [u32],
    ) -> impl Iterator<Item = (u32, u32, &'a [Crossing])> + 'a {
        let together = client.iter().any(|zone| server.contains(zone));
        let pairs = client.iter().flat_map(|from| server.iter().map(|to| (*from, *to)));
        pairs.filter(move |_| !together && !self.crossings.is_empty()).filter_map(|(from, to)| {
            self.crossings.get(&(from, to)).map(|crossings| (from, to, &**crossings))
        })
    }

    /// On what ports a conversation may be opened from one class to another.
    pub(crate) fn open_ports(&self, client: &Class, server: &Class) -> Ports {
        let (mut allowed, mut denied) = (Ports::default(), Ports::default());
        for entry in self.between(client, server).filter_map(|number| self.entries.get(number as usize)) {
            let Some(services) = self.services.get(entry.services as usize) else { continue };
            match entry.verdict {
                Verdict::Allow => allowed = allowed.union(&services.ports),
                Verdict::Deny if entry.operations == 0 => denied = denied.union(&services.ports),
                Verdict::Deny => {}
            }
        }
        for (.., crossings) in self.conduits(client, server) {
            let may = crossings.iter().filter_map(|crossing| self.services.get(crossing.services as usize));
            allowed = allowed.intersection(&may.fold(Ports::default(), |all, one| all.union(&one.ports)));
        }
        allowed.difference(&denied)
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The devices, in the order of their ids.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.known.values().map(|known| &known.device)
    }

    /// A device.
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.known.get(&id).map(|known| &known.device)
    }

    /// How many classes of hosts there are that differ for the policy.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Whether a device may never be cut off by a response.
    pub fn is_guarded(&self, id: DeviceId) -> bool {
        let class = self.known.get(&id).map(|known| self.class(known.class));
        class.is_some_and(|class| self.guards.iter().any(|set| class.sets.contains(set)))
    }

    /// The names of the zones and groups that a device is in, in the order in which they are defined.
    pub fn memberships(&self, id: DeviceId) -> Vec<&str> {
        let class = self.known.get(&id).map(|known| self.class(known.class));
        class.map_or_else(Vec::new, |class| self.names_of(class))
    }

    /// The names of the zones and groups that a class is in.
    pub(crate) fn names_of(&self, class: &Class) -> Vec<&str> {
        class.sets.iter().filter_map(|set| self.sets.sets.get(*set as usize)?.name.as_deref()).collect()
    }
}

/// A name of the DNS in one form: lower case, without the root's dot.
fn written(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// Addresses in one form, each once.
fn canonical(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Rules on the way to entries: what is the same is kept once.
#[derive(Default)]
struct Lowering<'a> {
    services: Vec<Services>,
    service_ids: Map<&'a [Service], u32>,
    operations: Vec<Vec<(OperationKind, Option<Target>)>>,
    operation_ids: Map<&'a [crate::syntax::Operation], u32>,
}

impl<'a> Lowering<'a> {
    fn services(
        &mut self,
        services: &'a [Service],
        place: Place,
        names: &mut Names<'a>,
        problems: &mut Vec<Problem>,
    ) -> u32 {
        if let Some(id) = self.service_ids.get(services) {
            return *id;
        }
        let resolved = names.resolve(services).unwrap_or_else(|error| {
            problems.push(match error {
                Unresolved::Unknown(name) => {
                    let meant = query::nearest(&name, names.known());
                    let help = meant.map_or_else(
                        || "define it with `service`, or say its port such as tcp/5432".to_owned(),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    Problem::error(place, format!("no service or protocol is called `{name}`"), help)
                }
                Unresolved::Deep(name) => Problem::error(
                    place,
                    format!("the service `{name}` leads back to itself, or through too many others"),
                    format!("at most {} definitions lead to each other", crate::service::MAX_DEFINITIONS),
                ),
            });
            Services::default()
        });
        let id = self.services.len() as u32;
        self.services.push(resolved);
        self.service_ids.insert(services, id);
        id
    }

    fn rule(
        &mut self,
        rule: &'a crate::syntax::Rule,
        sets: &mut Sets,
        names: &mut Names<'a>,
        problems: &mut Vec<Problem>,
    ) -> Entry {
        // A `deny` of nothing in particular is one of everything.
        const ANY: &[Service] = &[Service::Any];
        let services = if rule.services.is_empty() { ANY } else { &rule.services };
        if self.operations.is_empty() {
            self.operations.push(Vec::new());
        }
        let operations = match self.operation_ids.get(&*rule.operations) {
            _ if rule.operations.is_empty() => 0,
            Some(id) => *id,
            None => {
                let id = self.operations.len() as u32;
                let mut target = |text: &str| {
                    Target::parse(text)
                        .map_err(|what| problems.push(Problem::error(rule.place, what, "")))
                        .ok()
                };
                let parsed = rule
                    .operations
                    .iter()
                    .map(|one| (one.kind, one.target.as_deref().and_then(&mut target)))
                    .collect();
                self.operations.push(parsed);
                self.operation_ids.insert(&rule.operations, id);
                id
            }
        };
        Entry {
            from: sets.set(&rule.from, rule.place, problems),
            to: sets.set(&rule.to, rule.place, problems),
            services: self.services(services, rule.place, names, problems),
            operations,
            verdict: rule.verdict,
        }
    }
}
