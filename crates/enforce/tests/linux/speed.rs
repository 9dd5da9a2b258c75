//! How long it takes at full size: `cargo test --release -p enforce --test linux -- --ignored --nocapture speed`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use enforce::lower::{Live, Options};
use enforce::{
    Allow, Class, Depth, End, Family, Firewall, Keeper, Mode, Network, OnDrift, Ports, Ruleset, Service,
    TABLE, Table, compile, support,
};

use model::{AddressUse, Attribute, Confidence, Device, DeviceId, Evidence, Locality, Timestamp};
use policy::{Estate, Protocols};
use testkit::namespaces::Namespaces;

use crate::networks::firewall;

const DEVICES: u32 = 50_000;
const RULES: u32 = 20;

fn host(base: [u8; 4], number: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::from(base).to_bits() + number).into()
}

/// Each device has an address of its own and rules that no other has: 18 to one host and port, one to a network, one to anyone.
fn full() -> Ruleset {
    let mut ruleset = Ruleset { family: Family::Routed, mode: Mode::Enforce, ..Ruleset::default() };
    for device in 0..DEVICES {
        let name = format!("device {device}");
        ruleset.classes.push(Class { name: name.clone(), members: vec![host([10, 0, 0, 0], device).into()] });
        for rule in 0..RULES {
            let to = match rule {
                0 => End::Anyone,
                1 => End::Networks(vec![Network::new(host([172, 16, 0, 0], device << 4), 28).unwrap()]),
                _ => End::Networks(vec![Network::host(host(
                    [192, 168, 0, 0],
                    (device * 7 + rule * 13) & 0xffff,
                ))]),
            };
            let service = Service::Tcp(vec![Ports::one(1_000 + u16::try_from(rule).unwrap())]);
            ruleset.allows.push(Allow {
                name: format!("rule {rule}"),
                from: End::Class(name.clone()),
                to,
                service,
            });
        }
    }
    ruleset
}

#[test]
#[ignore = "measures, does not judge; takes a quiet machine and a release build"]
fn speed() {
    let Some(names) = Namespaces::new("speed", &["r"]) else { return };
    let mut nft = firewall(&names, "r");
    let support = support(&mut nft, Family::Routed).unwrap();
    let mut ruleset = full();
    let timed = |what: &str, from: Instant| println!("{what}: {:.3} s", from.elapsed().as_secs_f64());
    let start = Instant::now();
    let compiled = compile(&ruleset, support).unwrap();
    timed("compile", start);
    println!("{} elements", compiled.table.elements());
    let start = Instant::now();
    let transaction = compiled.table.replace();
    let text = transaction.text();
    timed("text", start);
    println!("{} bytes", text.len());
    let start = Instant::now();
    nft.apply(&transaction).unwrap();
    timed("load as one transaction", start);
    nft.apply(&Table::remove(Family::Routed, TABLE)).unwrap();
    let start = Instant::now();
    for step in compiled.table.build() {
        nft.apply_each(&step).unwrap();
    }
    timed("load", start);
    let mut keeper = Keeper::new(firewall(&names, "r"), Family::Routed, OnDrift::Repair).unwrap();
    let start = Instant::now();
    keeper.apply(&ruleset).unwrap();
    timed("apply in place of it", start);
    let part = |ruleset: &Ruleset| Ruleset {
        classes: ruleset.classes[..1].to_vec(),
        allows: ruleset
            .allows
            .iter()
            .filter(|allow| allow.from == End::Class("device 0".into()))
            .cloned()
            .collect(),
        ..Ruleset { classes: vec![], allows: vec![], ..ruleset.clone() }
    };
    let before = part(&ruleset);
    let start = Instant::now();
    nft.list(Family::Routed, TABLE, Depth::Structure).unwrap().unwrap();
    timed("list structure", start);
    // One device gets one rule more and another port.
    ruleset.allows[4].service = Service::Tcp(vec![Ports::one(22)]);
    ruleset.allows.push(Allow { name: "more".into(), ..ruleset.allows[5].clone() });
    ruleset.allows.last_mut().unwrap().service = Service::Udp(vec![Ports::one(53)]);
    let after = part(&ruleset);
    let start = Instant::now();
    compile(&before, support).unwrap();
    timed("compile of one device", start);
    for _ in 0..3 {
        let start = Instant::now();
        nft.check(&enforce::Transaction { family: Family::Routed, table: TABLE, commands: vec![] }).unwrap();
        timed("starting the program alone", start);
    }
    let start = Instant::now();
    let change = keeper.patch(&before, &after).unwrap();
    timed("patch of one device", start);
    assert_eq!((change.added, change.removed), (2, 1));
    let start = Instant::now();
    let change = keeper.apply(&ruleset).unwrap();
    timed("apply of the same", start);
    assert_eq!((change.added, change.removed), (0, 0));
    let start = Instant::now();
    let listing = nft.list(Family::Routed, TABLE, Depth::Elements).unwrap().unwrap();
    timed("list elements", start);
    let listed = |set: &str| listing.sets[set].elements.len();
    let exact = compiled.table.sets["exact_tcp4"].elements.len();
    assert_eq!((listed("exact_tcp4"), listed("exact_udp4")), (exact, 1));
}

/// A device with one address and a role.
fn device(number: u32, role: &str) -> Device {
    let seen = Timestamp::EPOCH;
    let said = Evidence {
        value: role.into(),
        source: "example".into(),
        confidence: Confidence::STRONG,
        first: seen,
        last: seen,
        count: 1,
    };
    Device {
        id: DeviceId(u64::from(number) + 1),
        locality: Locality::OnLink,
        macs: Vec::new(),
        addresses: vec![AddressUse {
            ip: host([10, 0, 0, 0], number),
            binding: None,
            first: seen,
            last: seen,
        }],
        via: None,
        first: seen,
        last: seen,
        attributes: BTreeMap::from([(Attribute::Role, vec![said])]),
        offers: BTreeMap::new(),
        uses: BTreeMap::new(),
        protocols: Vec::new(),
        peers: BTreeMap::new(),
        packets_out: 0,
        bytes_out: 0,
        packets_in: 0,
        access: model::Access::Full,
        bytes_in: 0,
    }
}

/// A policy from its text to the firewall, and one device that changes from the inventory to the firewall.
fn lowering_of(what: &str, text: &str) {
    let Some(names) = Namespaces::new("lowering", &["r"]) else { return };
    let timed =
        |name: &str, from: Instant| println!("{what}, {name}: {:.1} ms", from.elapsed().as_secs_f64() * 1e3);
    let roles = ["plc", "hmi", "camera", "server"];
    let devices = (0..DEVICES).map(|number| device(number, roles[number as usize % roles.len()])).collect();
    let estate = Estate { devices, names: BTreeMap::new(), now: Timestamp::EPOCH };
    let policy = policy::parse(text).unwrap();
    let mut compiled = policy::Compiled::new(policy, &Protocols::default(), estate).unwrap();
    let options = Options { mode: Mode::Enforce, ..Options::default() };
    let start = Instant::now();
    let mut live = Live::new(&compiled, options);
    timed("place", start);
    let start = Instant::now();
    let lowered = live.lowered(&compiled).unwrap();
    timed("lower", start);
    println!("{what}: {} classes, {} allows", lowered.ruleset.classes.len(), lowered.ruleset.allows.len());
    let mut keeper = Keeper::new(firewall(&names, "r"), Family::Routed, OnDrift::Repair).unwrap();
    let start = Instant::now();
    keeper.apply(&lowered.ruleset).unwrap();
    timed("apply", start);
    for (number, role) in [(777, "server"), (4_711, "plc"), (31_415, "hmi"), (777, "camera"), (20_001, "plc")]
    {
        let start = Instant::now();
        let touched = compiled.update(device(number, role));
        timed("  of that the policy", start);
        let change = live.follow(&compiled, &touched, &mut keeper).unwrap();
        timed("a device that plays another part", start);
        println!("  {change:?}");
        let mut moved = device(number, role);
        moved.addresses[0].ip = host([10, 9, 0, 0], number);
        let start = Instant::now();
        let touched = compiled.update(moved);
        timed("  of that the policy", start);
        let change = live.follow(&compiled, &touched, &mut keeper).unwrap();
        timed("a device that takes another address", start);
        println!("  {change:?}");
    }
}

#[test]
#[ignore = "measures, does not judge; takes a quiet machine and a release build"]
fn lowering_speed() {
    let mut text = "allow role:hmi -> 192.0.2.0/24 tcp/443\n".to_owned();
    for number in 0..DEVICES {
        for rule in 0..RULES {
            let peer = DeviceId(u64::from((number + 1 + rule * 977) % DEVICES) + 1);
            let from = DeviceId(u64::from(number) + 1);
            writeln!(text, "allow {from} -> {peer} tcp/{}", 1_000 + rule).unwrap();
        }
    }
    lowering_of("rules by device", &text);
    let mut text = String::new();
    for (from, to) in [("hmi", "plc"), ("server", "plc"), ("hmi", "server"), ("server", "camera")] {
        for port in 0..5 {
            writeln!(text, "allow role:{from} -> role:{to} tcp/{}", 1_000 + port).unwrap();
        }
    }
    lowering_of("rules by role", &text);
}
