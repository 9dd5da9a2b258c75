//! How long it takes at full size: `cargo test --release -p enforce --test linux -- --ignored --nocapture speed`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use enforce::{
    Allow, Class, Depth, End, Family, Firewall, Keeper, Mode, Network, OnDrift, Ports, Ruleset, Service,
    TABLE, compile, support,
};

use crate::namespaces::Namespaces;

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
    let mut nft = names.nft("r");
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
    timed("load", start);
    let mut keeper = Keeper::new(names.nft("r"), Family::Routed, OnDrift::Repair).unwrap();
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
