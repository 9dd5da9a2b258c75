//! Rulesets of all kinds, small enough that everything overlaps.

use enforce::{Address, Allow, Class, End, Family, Group, Mode, Network, Ports, Ruleset, Service};
use proptest::prelude::*;

const POOL: [&str; 16] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "fd00::1",
    "fd00::2",
    "fd00::3",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.128/25",
    "10.1.2.3",
    "fd01::/64",
    "fd01::8000:0/100",
    "02:00:00:00:00:01",
    "02:00:00:00:00:02",
    "02:00:00:00:00:03",
];
const NETWORKS: [&str; 8] = [
    "192.0.2.1",
    "192.0.2.0/24",
    "192.0.2.128/25",
    "198.51.100.7",
    "0.0.0.0/0",
    "2001:db8::1",
    "2001:db8::/32",
    "10.0.0.2",
];
const CLASSES: usize = 5;
const GROUPS: usize = 2;

fn class(number: usize) -> String {
    format!("class {number}")
}

fn group(number: usize) -> String {
    format!("group {number}")
}

fn end(opens: bool) -> impl Strategy<Value = End> {
    let networks = prop::collection::vec(prop::sample::select(&NETWORKS[..]), 1..4)
        .prop_map(|list| End::Networks(list.iter().map(|text| text.parse::<Network>().unwrap()).collect()));
    let name = prop::sample::select(&["time.example", "Update.Example."][..])
        .prop_map(|name| End::Name(name.into()));
    let other = if opens { Just(End::Anyone).boxed() } else { name.boxed() };
    let group = (0..GROUPS).prop_map(|number| End::Group(group(number)));
    prop_oneof![4 => (0..CLASSES).prop_map(|number| End::Class(class(number))), 2 => networks, 1 => group, 1 => Just(End::Anyone), 1 => other]
}

fn service() -> impl Strategy<Value = Service> {
    let port = (1u16..6, 0u16..3).prop_map(|(first, more)| Ports { first, last: first + more });
    let ports = || prop::collection::vec(port.clone(), 0..3);
    prop_oneof![
        4 => ports().prop_map(Service::Tcp),
        3 => ports().prop_map(Service::Udp),
        1 => ports().prop_map(Service::Sctp),
        1 => prop::collection::vec(prop::sample::select(&[0u8, 8, 13][..]), 0..3).prop_map(Service::Icmp),
        1 => prop::collection::vec(prop::sample::select(&[128u8, 129][..]), 0..3).prop_map(Service::Icmpv6),
        1 => Just(Service::Ip(47)),
        1 => Just(Service::Ether(0x8892)),
        1 => Just(Service::Any),
    ]
}

fn allow() -> impl Strategy<Value = Allow> {
    (0u8..6, end(true), end(false), service()).prop_map(|(name, from, to, service)| {
        let ends_in_class = matches!(from, End::Class(_)) || matches!(to, End::Class(_));
        let from = if ends_in_class { from } else { End::Class(class(0)) };
        Allow { name: format!("rule {name}"), from, to, service }
    })
}

pub(crate) fn ruleset(family: Family) -> impl Strategy<Value = Ruleset> {
    (
        prop::collection::vec(prop::option::of(0..CLASSES), POOL.len()),
        prop::collection::vec(prop::collection::vec(prop::sample::select(&NETWORKS[..]), 0..5), GROUPS),
        prop::collection::vec(allow(), 0..10),
        prop::collection::vec(prop::sample::select(&POOL[..]), 0..4),
        any::<[bool; 3]>(),
    )
        .prop_map(move |(owners, groups, allows, guard, [enforce, strict, count_singles])| {
            let mut classes: Vec<Class> =
                (0..CLASSES).map(|number| Class { name: class(number), members: Vec::new() }).collect();
            for (address, owner) in POOL.iter().zip(owners) {
                if let Some(owner) = owner {
                    classes[owner].members.push(address.parse().unwrap());
                }
            }
            let groups = (0..).zip(groups).map(|(number, networks)| Group {
                name: group(number),
                networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
            });
            let groups = groups.collect();
            let guard: Vec<Address> = guard.iter().map(|text| text.parse().unwrap()).collect();
            let mode = if enforce { Mode::Enforce } else { Mode::Observe };
            Ruleset { family, mode, strict, count_singles, classes, groups, allows, guard }
        })
}
