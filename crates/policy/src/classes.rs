//! The network layer of a policy class by class, for whoever makes a firewall's rules of it.
//!
//! Hosts that are in the same sets are one class; every address is of one. What a class may open to another one is what the
//! allows between them say ([`Compiled::opens`]), without what denies and conduits take away ([`Compiled::taken`]).

use std::net::{IpAddr, Ipv6Addr};

use model::{DeviceId, Host, MacAddr};

use crate::compile::{Class, ClassId, Compiled};
use crate::service::Ports;
use crate::sets::Whereabouts;
use crate::syntax::{Term, Verdict};
use crate::view::SetRef;

/// A class of hosts of a compiled policy. It stays the same class when devices change, until the policy is compiled anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassRef(pub(crate) ClassId);

/// What the hosts of a class are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Located {
    /// Single hosts that are not elsewhere in the Internet.
    Local,
    /// Single hosts elsewhere in the Internet.
    Internet,
    /// Groups of hosts, which are only ever asked.
    Groups,
}

/// An allow, for one class of those who ask.
#[derive(Clone, Copy, Debug)]
pub struct Opens<'a> {
    /// The number of the rule in the policy.
    pub rule: u32,
    /// To whom.
    pub to: SetRef,
    /// On which ports.
    pub ports: &'a Ports,
}

/// What takes away from what the hosts of a class may open: classes with the same are bound alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bonds {
    denies: Vec<SetRef>,
    zones: Vec<u32>,
}

/// Addresses of no known device and no known name, from the first to the last, all of which are of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first address.
    pub first: IpAddr,
    /// The last address, of the same version of IP.
    pub last: IpAddr,
    /// Their class.
    pub class: ClassRef,
}

impl Compiled {
    /// The class of a device that is known.
    pub fn class_of_device(&self, id: DeviceId) -> Option<ClassRef> {
        self.known.get(&id).map(|known| ClassRef(known.class))
    }

    /// The class of a host, as packets name it.
    pub fn class_at(&self, host: &Host) -> ClassRef {
        ClassRef(self.class_of_host(host))
    }

    /// Addresses that names of the DNS have and no device uses, each with its class, in order.
    pub fn named_addresses(&self) -> impl Iterator<Item = (IpAddr, ClassRef)> {
        let strange = self.named.iter().filter(|(ip, _)| self.device_at(**ip).is_none());
        strange.map(|(ip, class)| (*ip, ClassRef(*class)))
    }

    /// The class of whoever has an address that names of the DNS have, if no device uses it.
    pub fn class_of_named(&self, ip: IpAddr) -> Option<ClassRef> {
        self.named.get(&ip.to_canonical()).copied().map(ClassRef)
    }

    /// All addresses that there can be, in order. Those that devices use or that have a name are of the class of these.
    pub fn address_space(&self) -> impl Iterator<Item = Stretch> {
        let starts = self.sets.intervals.iter().map(|interval| interval.start);
        let lasts = starts.clone().skip(1).map(|next| next.wrapping_sub(1)).chain([u128::MAX]);
        starts.zip(lasts).zip(&self.intervals).map(|((first, last), class)| {
            let ip = |bits: u128| IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical();
            Stretch { first: ip(first), last: ip(last), class: ClassRef(*class) }
        })
    }

    /// The link-layer addresses that only this device has.
    pub fn macs_of(&self, id: DeviceId) -> Vec<MacAddr> {
        let macs = self.device(id).map_or(&[][..], |device| &device.macs);
        macs.iter().filter(|mac| self.device_with_mac(**mac) == Some(id)).copied().collect()
    }

    /// What the hosts of a class are.
    pub fn located(&self, class: ClassRef) -> Located {
        match self.class(class.0).place {
            Whereabouts::Local => Located::Local,
            Whereabouts::Internet => Located::Internet,
            Whereabouts::Multicast | Whereabouts::Broadcast => Located::Groups,
        }
    }

    /// Whether the hosts of a class are in a zone.
    pub fn is_zoned(&self, class: ClassRef) -> bool {
        !self.class(class.0).zones.is_empty()
    }

    /// The names of the zones and groups that a class is in.
    pub fn names_of_class(&self, class: ClassRef) -> Vec<&str> {
        self.names_of(self.class(class.0))
    }

    /// The sets that a class is in and that some rule leads to.
    pub fn asked_as(&self, class: ClassRef) -> impl Iterator<Item = SetRef> {
        self.class(class.0).to.iter().copied().map(SetRef)
    }

    /// The sets that a class is in and that some rule leads from.
    pub fn asks_as(&self, class: ClassRef) -> impl Iterator<Item = SetRef> {
        self.class(class.0).from.iter().copied().map(SetRef)
    }

    /// The sets that some rule leads from to a set.
    pub fn asking(&self, to: SetRef) -> impl Iterator<Item = SetRef> {
        self.backward.get(&to.0).into_iter().flatten().copied().map(SetRef)
    }

    /// All allows of which the hosts of a class are the asking side, in the order of the policy.
    pub fn opens(&self, class: ClassRef) -> Vec<Opens<'_>> {
        let mut opens: Vec<Opens<'_>> = self
            .leading(class)
            .filter(|(_, entry)| entry.verdict == Verdict::Allow)
            .filter_map(|(rule, entry)| {
                let ports = &self.services.get(entry.services as usize)?.ports;
                Some(Opens { rule, to: SetRef(entry.to), ports })
            })
            .collect();
        opens.sort_unstable_by_key(|opens| opens.rule);
        opens
    }

    /// What takes away from what the hosts of a class may open.
    pub fn bonds(&self, class: ClassRef) -> Bonds {
        let denies = |from: u32| {
            let entries =
                self.onward.get(&from).into_iter().flatten().flat_map(move |to| self.of_pair(from, *to));
            entries
                .filter_map(|number| self.entries.get(*number as usize))
                .any(|entry| entry.verdict == Verdict::Deny && entry.operations == 0)
        };
        let class = self.class(class.0);
        let zones = if self.crossings.is_empty() { Vec::new() } else { class.zones.to_vec() };
        Bonds { denies: class.from.iter().copied().filter(|from| denies(*from)).map(SetRef).collect(), zones }
    }

    /// What denies and conduits take away from what hosts that are bound so may open to those of a class.
    pub fn taken(&self, bonds: &Bonds, server: ClassRef) -> Ports {
        self.taken_by(bonds, self.class(server.0))
    }

    /// The same for whoever has a name of the DNS, at an address that nobody has been seen to have.
    pub fn taken_of_name(&self, bonds: &Bonds, name: &str) -> Ports {
        self.taken_by(bonds, &self.class_with_name(None, name))
    }

    fn taken_by(&self, bonds: &Bonds, server: &Class) -> Ports {
        let mut taken = Ports::default();
        let pairs = bonds.denies.iter().flat_map(|from| server.to.iter().map(|to| (from.0, *to)));
        for number in pairs.flat_map(|(from, to)| self.of_pair(from, to)) {
            let entry = self.entries.get(*number as usize);
            let deny = entry.filter(|entry| entry.verdict == Verdict::Deny && entry.operations == 0);
            if let Some(services) = deny.and_then(|entry| self.services.get(entry.services as usize)) {
                taken = taken.union(&services.ports);
            }
        }
        for (.., crossings) in self.conduits_between(&bonds.zones, &server.zones) {
            let may = crossings.iter().filter_map(|crossing| self.services.get(crossing.services as usize));
            let may = may.fold(Ports::default(), |all, one| all.union(&one.ports));
            taken = taken.union(&Ports::all().difference(&may));
        }
        taken
    }

    /// The entries that lead from one of the sets that a class is in, with their numbers.
    fn leading(&self, class: ClassRef) -> impl Iterator<Item = (u32, &crate::compile::Entry)> {
        let from = self.class(class.0).from.iter();
        let pairs = from.flat_map(|from| self.onward.get(from).into_iter().flatten().map(|to| (*from, *to)));
        let numbers = pairs.flat_map(|(from, to)| self.of_pair(from, to)).copied();
        numbers.filter_map(|number| Some((number, self.entries.get(number as usize)?)))
    }

    /// The names of the DNS that a set holds, as they are written; `*.` at the beginning stands for anything.
    pub fn domains_in(&self, set: SetRef) -> impl Iterator<Item = &str> {
        let atoms = self.sets.sets.get(set.0 as usize).map_or(&[][..], |set| &set.atoms);
        atoms.iter().filter_map(|atom| match self.sets.atoms.get(*atom as usize) {
            Some(Term::Domain(name)) => Some(&**name),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::testing::{compile, device};

    #[test]
    fn every_address_is_in_one_stretch() {
        let compiled = compile("zone z { members 10.0.2.0/24 }\nallow z -> internet tcp/443", vec![]);
        let stretches: Vec<Stretch> = compiled.address_space().collect();
        let of = |text: &str| {
            let ip: IpAddr = text.parse().unwrap();
            let holding = stretches
                .iter()
                .filter(|one| one.first.is_ipv4() == ip.is_ipv4() && one.first <= ip && ip <= one.last);
            let all: Vec<&Stretch> = holding.collect();
            assert_eq!(all.len(), 1, "{text}: {all:?}");
            (compiled.located(all[0].class), compiled.is_zoned(all[0].class))
        };
        assert_eq!(of("10.0.2.0"), (Located::Local, true));
        assert_eq!(of("10.0.2.255"), (Located::Local, true));
        assert_eq!(of("10.0.3.0"), (Located::Local, false));
        assert_eq!(of("8.8.8.8"), (Located::Internet, false));
        assert_eq!(of("0.0.0.0"), (Located::Local, false));
        assert_eq!(of("255.255.255.255"), (Located::Groups, false));
        assert_eq!(of("::"), (Located::Local, false));
        assert_eq!(of("2001:db8::1"), (Located::Internet, false));
        assert_eq!(of("ff02::1"), (Located::Groups, false));
        assert_eq!(of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), (Located::Groups, false));
    }

    #[test]
    fn what_is_taken_away_is_what_the_decision_says() {
        let compiled = compile(
            "zone a { members role:plc }\nzone b { members role:hmi }\nconduit b -> a { modbus }\n\
             allow b -> a any\ndeny role:hmi -> role:plc tcp/500-510",
            vec![device(1, "plc", &["10.0.0.1"]), device(2, "hmi", &["10.0.0.2"])],
        );
        let class = |number| compiled.class_of_device(DeviceId(number)).unwrap();
        let taken = compiled.taken(&compiled.bonds(class(2)), class(1));
        assert_eq!(
            Ports::all().difference(&taken),
            Ports::default(),
            "the deny takes what the conduit leaves"
        );
        let back = compiled.taken(&compiled.bonds(class(1)), class(2));
        assert!(back.is_empty());
        assert_eq!(compiled.opens(class(2)).len(), 1);
        assert!(compiled.opens(class(1)).is_empty());
    }
}
