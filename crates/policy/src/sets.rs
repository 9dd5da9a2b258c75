//! Who is meant: terms, the sets that they make, and which of them a host is in.
//!
//! An *atom* is a term that names no zone or group. A *set* is a list of atoms: a zone, a group, or one side of a rule.
//! Which atoms a host matches is found by indexes, not by asking each: most expressions hold a term that says that a field is
//! a value, and are looked at only for devices that have that value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Device, Locality, MacAddr, Timestamp};
use query::{Datum, Expr, Fields, Kind, Network, Op, Value};

use crate::syntax::{Policy, Term};
use crate::{Map, Place, Problem};

/// The number of an atom.
pub(crate) type AtomId = u32;
/// The number of a set.
pub(crate) type SetId = u32;

/// Groups name groups at most so deep.
pub const MAX_GROUPS: usize = 64;

/// Addresses that are not the Internet's (RFC 6890, RFC 6598, RFC 4193, RFC 4291).
const LOCAL: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::/127",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
];
/// Addresses of groups of hosts (RFC 5771, RFC 4291 section 2.7).
const MULTICAST: [&str; 2] = ["224.0.0.0/4", "ff00::/8"];
/// The address of all hosts of a link (RFC 919).
const BROADCAST: [&str; 1] = ["255.255.255.255/32"];

/// What kind of destination an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Whereabouts {
    Local,
    Internet,
    Multicast,
    Broadcast,
}

/// Some hosts.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// The name of the zone or group.
    pub(crate) name: Option<Box<str>>,
    pub(crate) atoms: Box<[AtomId]>,
}

/// A part of the space of addresses in which all unknown hosts match the same atoms.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Its first address, an IPv4 address in the form of IPv6.
    pub(crate) start: u128,
    pub(crate) place: Whereabouts,
    pub(crate) atoms: Box<[AtomId]>,
}

/// A network: first and last address, whether it is one of IPv4, the atom that it is, and what it says about whoever lies
/// in it.
type Stretch = (u128, u128, bool, Option<AtomId>, Option<Whereabouts>);

/// All sets of a policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sets {
    pub(crate) atoms: Vec<Term>,
    pub(crate) sets: Vec<Set>,
    /// Which sets hold an atom.
    holders: Vec<Vec<SetId>>,
    atom_ids: Map<Term, AtomId>,
    by_atoms: Map<Box<[AtomId]>, SetId>,
    by_name: Map<Box<str>, SetId>,
    /// Expressions that hold only of devices of which a field is a value.
    anchored: Map<(&'static str, Box<str>), Vec<AtomId>>,
    /// The fields of those.
    anchors: Vec<&'static str>,
    /// All other expressions.
    loose: Vec<AtomId>,
    pub(crate) intervals: Vec<Interval>,
    /// Names of the DNS by the addresses that they have.
    pub(crate) named: Map<IpAddr, Vec<AtomId>>,
    /// Names of the DNS, by the name, or by what a name ends in.
    domains: Map<Box<str>, AtomId>,
    endings: Map<Box<str>, AtomId>,
}

impl Sets {
    /// The sets that are the zones and groups of a policy.
    pub(crate) fn new(policy: &Policy, problems: &mut Vec<Problem>) -> Self {
        let mut sets = Self::default();
        let mut defined: Map<&str, (&[Term], Place)> = Map::default();
        let zones = policy.zones.iter().map(|zone| (&*zone.name, &*zone.members, zone.place));
        let groups = policy.groups.iter().map(|group| (&*group.name, &*group.members, group.place));
        for (name, members, place) in zones.clone().chain(groups.clone()) {
            if let Some((_, first)) = defined.insert(name, (members, place)) {
                let what = format!("`{name}` is defined twice; first in line {}", first.line);
                problems.push(Problem::error(place, what, "zones and groups share their names: rename one"));
            }
        }
        let mut open = Vec::new();
        for (name, _, _) in zones.chain(groups) {
            sets.define(name, &defined, &mut open, problems);
        }
        sets
    }

    /// Works out a zone or group, and before it those that it names. Names that mean nothing are told once.
    fn define<'a>(
        &mut self,
        name: &'a str,
        defined: &Map<&'a str, (&'a [Term], Place)>,
        open: &mut Vec<&'a str>,
        problems: &mut Vec<Problem>,
    ) {
        let Some((members, place)) = defined.get(name).copied() else { return };
        if self.by_name.contains_key(name) {
            return;
        }
        if open.contains(&name) || open.len() >= MAX_GROUPS {
            let circle = open.contains(&name);
            let what = match circle {
                true => format!("`{name}` holds itself: {} -> {name}", open.join(" -> ")),
                false => format!("groups name groups more than {MAX_GROUPS} deep"),
            };
            problems.push(Problem::error(place, what, "take one of the names out of the list"));
            return;
        }
        open.push(name);
        for member in members {
            if let Term::Name(inner) = member
                && let Some((inner, _)) = defined.get_key_value(&**inner)
            {
                let before = problems.len();
                self.define(inner, defined, open, problems);
                if problems.len() > before {
                    break;
                }
            }
        }
        open.pop();
        // A circle has been told of; whoever stands in it is what else it holds.
        let atoms = self.atoms_of(members, place, defined.keys().copied(), problems);
        let id = self.add(Some(name.into()), atoms);
        self.by_name.insert(name.into(), id);
    }

    fn add(&mut self, name: Option<Box<str>>, atoms: Box<[AtomId]>) -> SetId {
        let id = self.sets.len() as SetId;
        for atom in &atoms {
            if let Some(holders) = self.holders.get_mut(*atom as usize) {
                holders.push(id);
            }
        }
        self.sets.push(Set { name, atoms });
        id
    }

    fn atom(&mut self, term: &Term) -> AtomId {
        if let Some(id) = self.atom_ids.get(term) {
            return *id;
        }
        let id = self.atoms.len() as AtomId;
        self.atom_ids.insert(term.clone(), id);
        self.atoms.push(term.clone());
        self.holders.push(Vec::new());
        match term {
            Term::Query(expr) => match anchor(expr) {
                Some(anchors) => {
                    for (field, value) in anchors {
                        if !self.anchors.contains(&field) {
                            self.anchors.push(field);
                        }
                        self.anchored.entry((field, value)).or_default().push(id);
                    }
                }
                None => self.loose.push(id),
            },
            Term::Domain(name) => {
                match name.strip_prefix("*.") {
                    Some(ending) => self.endings.insert(ending.into(), id),
                    None => self.domains.insert(name.clone(), id),
                };
            }
            _ => {}
        }
        id
    }

    fn atoms_of<'a>(
        &mut self,
        terms: &[Term],
        place: Place,
        known: impl Iterator<Item = &'a str> + Clone,
        problems: &mut Vec<Problem>,
    ) -> Box<[AtomId]> {
        let mut atoms = Vec::with_capacity(terms.len());
        for term in terms {
            let Term::Name(name) = term else {
                atoms.push(self.atom(term));
                continue;
            };
            match self.by_name.get(name).and_then(|id| self.sets.get(*id as usize)) {
                Some(set) => atoms.extend(&set.atoms),
                None if known.clone().any(|known| *known == **name) => {}
                None => problems.push(unknown(name, place, known.clone())),
            }
        }
        atoms.sort_unstable();
        atoms.dedup();
        atoms.into()
    }

    /// The set that a list of terms means. A single name is the zone or group itself.
    pub(crate) fn set(&mut self, terms: &[Term], place: Place, problems: &mut Vec<Problem>) -> SetId {
        if let [Term::Name(name)] = terms
            && let Some(id) = self.by_name.get(name)
        {
            return *id;
        }
        // The names have to be looked at while atoms are added.
        let known: Vec<Box<str>> = match terms
            .iter()
            .any(|term| matches!(term, Term::Name(name) if !self.by_name.contains_key(name)))
        {
            true => self.by_name.keys().cloned().collect(),
            false => Vec::new(),
        };
        let atoms = self.atoms_of(terms, place, known.iter().map(|name| &**name), problems);
        if let Some(id) = self.by_atoms.get(&atoms) {
            return *id;
        }
        let id = self.add(None, atoms.clone());
        self.by_atoms.insert(atoms, id);
        id
    }

    /// The zone or group of that name.
    pub(crate) fn named(&self, name: &str) -> Option<SetId> {
        self.by_name.get(name).copied()
    }

    /// Works out which unknown addresses match what, when all atoms are known.
    pub(crate) fn place_addresses(&mut self, own: &[SetId]) {
        let mut networks: Vec<Stretch> = Vec::new();
        let mut put = |network: &Network, atom, place| {
            let v4 = network.address().is_ipv4();
            networks.push((number(network.address()), number(network.last()), v4, atom, place));
        };
        let fixed = [
            (&LOCAL[..], Whereabouts::Local),
            (&MULTICAST, Whereabouts::Multicast),
            (&BROADCAST, Whereabouts::Broadcast),
        ];
        for (texts, place) in fixed {
            for network in texts.iter().filter_map(|text| text.parse().ok()) {
                put(&network, None, Some(place));
            }
        }
        put(&Network::new(Ipv4Addr::UNSPECIFIED.into(), 0), None, Some(Whereabouts::Internet));
        put(&Network::new(Ipv6Addr::UNSPECIFIED.into(), 0), None, Some(Whereabouts::Internet));
        // A network that is part of a zone is the organisation's, whoever else has such addresses.
        let mut owned: Vec<AtomId> = own
            .iter()
            .filter_map(|set| self.sets.get(*set as usize))
            .flat_map(|set| set.atoms.iter().copied())
            .collect();
        owned.sort_unstable();
        for (id, atom) in self.atoms.iter().enumerate() {
            if let Term::Network(network) = atom {
                let id = id as AtomId;
                put(network, Some(id), owned.binary_search(&id).is_ok().then_some(Whereabouts::Local));
            }
        }
        // Networks lie in each other or apart: those around an address are a stack.
        networks.sort_by_key(|(first, last, ..)| (*first, std::cmp::Reverse(*last)));
        let mut starts: Vec<u128> = networks
            .iter()
            .flat_map(|(first, last, ..)| [Some(*first), last.checked_add(1)])
            .flatten()
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let (mut around, mut next) = (Vec::<usize>::new(), 0);
        self.intervals.clear();
        for start in starts {
            around.retain(|at| networks[*at].1 >= start);
            while networks.get(next).is_some_and(|(first, ..)| *first == start) {
                around.push(next);
                next += 1;
            }
            let v4 = Ipv6Addr::from_bits(start).to_ipv4_mapped().is_some();
            let mut place = Whereabouts::Internet;
            let mut atoms = Vec::new();
            for (.., is_v4, atom, says) in around.iter().map(|at| networks[*at]) {
                if is_v4 == v4 {
                    atoms.extend(atom);
                    place = match (place, says) {
                        (Whereabouts::Multicast | Whereabouts::Broadcast, Some(Whereabouts::Local)) => place,
                        (_, Some(says)) => says,
                        (_, None) => place,
                    };
                }
            }
            atoms.sort_unstable();
            self.intervals.push(Interval { start, place, atoms: atoms.into() });
        }
    }

    /// An address has names that are these atoms; whether there are any.
    pub(crate) fn name_address(&mut self, ip: IpAddr, mut atoms: Vec<AtomId>) -> bool {
        atoms.sort_unstable();
        atoms.dedup();
        let any = !atoms.is_empty();
        if any {
            self.named.insert(ip, atoms)
        } else {
            self.named.remove(&ip)
        };
        any
    }

    /// Whether an expression asks for an age.
    pub(crate) fn ask_for_ages(&self) -> bool {
        self.atoms.iter().any(|atom| {
            let mut asks = false;
            if let Term::Query(expr) = atom {
                expr.terms(&mut |term| asks |= term.field.is_some_and(|field| field.kind == Kind::Age));
            }
            asks
        })
    }

    /// The atoms that are a name of the DNS.
    pub(crate) fn domains_of(&self, name: &str) -> impl Iterator<Item = AtomId> {
        let name = name.trim_end_matches('.').to_lowercase();
        let exact = self.domains.get(&*name).copied();
        let mut endings = Vec::new();
        let mut rest = &*name;
        while let Some((_, ending)) = rest.split_once('.').filter(|_| !self.endings.is_empty()) {
            endings.extend(self.endings.get(ending).copied());
            rest = ending;
        }
        exact.into_iter().chain(endings)
    }

    /// The number of the part of the space of addresses in which an address lies.
    pub(crate) fn interval(&self, ip: IpAddr) -> usize {
        let ip = number(ip);
        self.intervals.partition_point(|interval| interval.start <= ip).saturating_sub(1)
    }

    /// The atoms that a device matches, each once; `addresses` are those that are its own.
    pub(crate) fn of_device(&self, device: &Device, addresses: &[IpAddr], now: Timestamp) -> Vec<AtomId> {
        let mut atoms = Vec::new();
        let place =
            if device.locality == Locality::External { Whereabouts::Internet } else { Whereabouts::Local };
        atoms.extend(self.special(place));
        atoms.extend(self.atom_ids.get(&Term::Device(device.id)));
        atoms.extend(device.macs.iter().filter_map(|mac| self.atom_ids.get(&Term::Mac(*mac))));
        let mut found = Vec::new();
        for field in &self.anchors {
            device.any(Some(field), &mut |datum| {
                if let Datum::Text(text) = datum
                    && let Some(ids) = self.anchored.get(&Anchor(field, &text.to_lowercase()))
                {
                    found.extend(ids);
                }
                false
            });
        }
        found.sort_unstable();
        found.dedup();
        let holds = |id: &&AtomId| matches!(self.atoms.get(**id as usize), Some(Term::Query(expr)) if expr.matches(device, now));
        atoms.extend(found.iter().chain(&self.loose).filter(holds));
        for ip in addresses {
            atoms.extend(self.of_address(*ip));
        }
        atoms.sort_unstable();
        atoms.dedup();
        atoms
    }

    /// The networks in which an address lies, and the names that it has.
    pub(crate) fn of_address(&self, ip: IpAddr) -> impl Iterator<Item = AtomId> {
        let interval = self.intervals.get(self.interval(ip));
        let named = self.named.get(&ip.to_canonical());
        interval.into_iter().flat_map(|one| one.atoms.iter()).chain(named.into_iter().flatten()).copied()
    }

    /// The words that mean a host in such a place.
    pub(crate) fn special(&self, place: Whereabouts) -> impl Iterator<Item = AtomId> {
        let words: &[Term] = match place {
            Whereabouts::Local => &[Term::Anyone, Term::Local],
            Whereabouts::Internet => &[Term::Anyone, Term::Internet],
            Whereabouts::Multicast => &[Term::Multicast],
            Whereabouts::Broadcast => &[Term::Broadcast],
        };
        words.iter().filter_map(|word| self.atom_ids.get(word).copied())
    }

    /// The atom that is a link-layer address.
    pub(crate) fn of_mac(&self, mac: MacAddr) -> Option<AtomId> {
        self.atom_ids.get(&Term::Mac(mac)).copied()
    }

    /// The link-layer addresses and devices that are named.
    pub(crate) fn macs(&self) -> impl Iterator<Item = (MacAddr, AtomId)> {
        self.atoms
            .iter()
            .zip(0..)
            .filter_map(|(atom, id)| if let Term::Mac(mac) = atom { Some((*mac, id)) } else { None })
    }

    /// The sets that hold one of the atoms, each once, in order.
    pub(crate) fn of_atoms(&self, atoms: &[AtomId]) -> Box<[SetId]> {
        let mut sets: Vec<SetId> =
            atoms.iter().filter_map(|atom| self.holders.get(*atom as usize)).flatten().copied().collect();
        sets.sort_unstable();
        sets.dedup();
        sets.into()
    }

    /// Sets that hold an atom.
    pub(crate) fn holding(&self, atom: AtomId) -> &[SetId] {
        self.holders.get(atom as usize).map_or(&[], Vec::as_slice)
    }

    /// Atoms that could hold everyone who matches an atom; [`Sets::within`] says of each whether it does.
    pub(crate) fn around(&self, atom: AtomId) -> impl Iterator<Item = AtomId> {
        let mut around = vec![atom];
        around.extend(self.atom_ids.get(&Term::Anyone));
        match self.atoms.get(atom as usize) {
            Some(Term::Network(network)) => around.extend(self.of_address(network.address())),
            Some(Term::Domain(name)) => around.extend(self.domains_of(name.trim_start_matches("*."))),
            _ => {}
        }
        around.sort_unstable();
        around.dedup();
        around.into_iter()
    }

    /// Whether everyone who matches one atom matches another, whoever there is.
    pub(crate) fn within(&self, inner: AtomId, outer: AtomId) -> bool {
        match (self.atoms.get(inner as usize), self.atoms.get(outer as usize)) {
            _ if inner == outer => true,
            (Some(Term::Network(inner)), Some(Term::Network(outer))) => outer.covers(inner),
            (Some(Term::Domain(inner)), Some(Term::Domain(outer))) => {
                outer.strip_prefix('*').is_some_and(|ending| inner.trim_start_matches('*').ends_with(ending))
            }
            (Some(Term::Multicast | Term::Broadcast), _) => false,
            (Some(Term::Network(network)), Some(Term::Anyone)) => !MULTICAST
                .iter()
                .chain(&BROADCAST)
                .filter_map(|text| text.parse().ok())
                .any(|other: Network| other.covers(network) || network.covers(&other)),
            (Some(_), Some(Term::Anyone)) => true,
            _ => false,
        }
    }

    /// What a set is called.
    pub(crate) fn describe(&self, set: SetId) -> String {
        match self.sets.get(set as usize) {
            Some(Set { name: Some(name), .. }) => name.to_string(),
            Some(set) => {
                let names = set.atoms.iter().filter_map(|atom| self.atoms.get(*atom as usize));
                names.map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
            None => String::new(),
        }
    }
}

/// A name that means nothing, with the one that was probably meant.
pub(crate) fn unknown<'a>(name: &str, place: Place, known: impl Iterator<Item = &'a str>) -> Problem {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    let help = query::nearest(name, known.iter().copied()).map_or_else(
        || "define it, or quote it if it is a DNS name".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    );
    Problem::error(place, format!("no zone or group is called `{name}`"), help)
}

/// A key of `anchored` that owns nothing.
#[derive(Hash)]
struct Anchor<'a>(&'static str, &'a str);

impl hashbrown::Equivalent<(&'static str, Box<str>)> for Anchor<'_> {
    fn equivalent(&self, key: &(&'static str, Box<str>)) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

/// Fields and values of which a device must have one if an expression holds of it; none if nothing such can be said.
fn anchor(expr: &Expr) -> Option<Vec<(&'static str, Box<str>)>> {
    match expr {
        Expr::Term(term) => match (term.field, term.op, &term.value) {
            (Some(field), Op::Matches | Op::Is, Value::Text(pattern)) if field.kind == Kind::Text => {
                pattern.as_literal().map(|value| vec![(field.name, value.to_lowercase().into())])
            }
            _ => None,
        },
        Expr::Not(_) => None,
        Expr::And(parts) => parts.iter().filter_map(anchor).min_by_key(Vec::len),
        Expr::Or(parts) => parts.iter().map(anchor).collect::<Option<Vec<_>>>().map(|parts| parts.concat()),
    }
}

/// An address as a number, an IPv4 address in the form of IPv6.
pub(crate) const fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}
