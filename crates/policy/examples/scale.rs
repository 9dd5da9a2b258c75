//! How long a large policy takes: `cargo run --release -p policy --example scale`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Instant;

use model::{
    AddressUse, Attribute, Confidence, Device, DeviceId, Evidence, Host, Locality, MacAddr, Timestamp,
    Transport,
};
use policy::{Ask, Compiled, Estate, Proposal, Protocols, Spot, Use, Verdict, Who, parse};

/// Devices of the large estate, and rules for each.
const DEVICES: u32 = 50_000;
const RULES: u32 = 20;
/// Devices and zones of the estate in which ways are looked for.
const REACH_DEVICES: u32 = 10_000;
const ZONES: u32 = 500;
/// Questions that are asked.
const ASKS: u32 = 1_000_000;

fn ip(number: u32) -> std::net::IpAddr {
    std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn device(number: u32, role: &str) -> Device {
    let said = |value: &str| Evidence {
        value: value.into(),
        source: "example".into(),
        confidence: Confidence::STRONG,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        count: 1,
    };
    let [a, b, c, d] = number.to_be_bytes();
    Device {
        id: DeviceId(u64::from(number) + 1),
        locality: Locality::OnLink,
        macs: vec![MacAddr([2, 0, a, b, c, d])],
        addresses: vec![AddressUse {
            ip: ip(number),
            binding: None,
            first: Timestamp::EPOCH,
            last: Timestamp::EPOCH,
        }],
        via: None,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        attributes: BTreeMap::from([
            (Attribute::Role, vec![said(role)]),
            (Attribute::Vendor, vec![said("Example")]),
            (Attribute::Hostname, vec![said(&format!("host-{number}"))]),
        ]),
        offers: BTreeMap::new(),
        uses: BTreeMap::new(),
        protocols: Vec::new(),
        peers: BTreeMap::new(),
        access: model::Access::Full,
        packets_out: 0,
        bytes_out: 0,
        packets_in: 0,
        bytes_in: 0,
    }
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1_000.0);
    result
}

fn main() {
    let protocols =
        Protocols::new([("modbus", Transport::Tcp, &[502][..]), ("http", Transport::Tcp, &[80, 8080])]);
    let roles = ["plc", "hmi", "camera", "server"];
    let role = |number: u32| roles[number as usize % roles.len()];

    let mut text = String::new();
    for number in 0..ZONES {
        let network = number * (DEVICES / ZONES);
        let _ = writeln!(text, "group net{number} = {}/25, role:nobody and name:x{number}", ip(network));
    }
    for number in 0..DEVICES {
        for rule in 0..RULES {
            let peer = DeviceId(u64::from((number + 1 + rule * 977) % DEVICES) + 1);
            let _ =
                writeln!(text, "allow {} -> {peer} tcp/{}", DeviceId(u64::from(number) + 1), 1_000 + rule);
        }
    }
    println!("{DEVICES} devices, {} rules, {} MB of text", DEVICES * RULES, text.len() / 1_000_000);
    let policy = timed("read", || parse(&text).unwrap_or_default());
    let devices = (0..DEVICES).map(|number| device(number, role(number))).collect();
    let estate = Estate { devices, names: BTreeMap::new(), now: Timestamp::EPOCH };
    let mut compiled =
        timed("compile", || Compiled::new(policy, &protocols, estate)).expect("the policy is sound");
    let allowed = timed("decide a million times", || {
        let ask = |number: u32| {
            let who = |number: u32| Who::Host(Host::from_ip(ip(number % DEVICES)));
            let rule = number % RULES;
            let port = 1_000 + u16::try_from(rule).unwrap_or_default();
            Ask::conversation(who(number), who(number + 1 + rule * 977 + number % 2), Transport::Tcp, port)
        };
        (0..ASKS).filter(|number| compiled.decide(&ask(*number)).verdict == Verdict::Allow).count()
    });
    println!("  {allowed} of them allowed");
    timed("one device changes", || compiled.update(device(777, "server")));
    println!("classes: {}", compiled.class_count());
    println!("problems: {}", timed("lint", || compiled.lint()).len());
    let count = timed("who reaches one device", || {
        compiled
            .view()
            .who_reaches(&Spot::Device(DeviceId(4_711)))
            .reached()
            .iter()
            .map(|reached| reached.members.len())
            .sum::<usize>()
    });
    println!("  {count} hosts");

    let mut text = String::new();
    for number in 0..ZONES {
        let first = number * (REACH_DEVICES / ZONES);
        let members: Vec<String> =
            (first..first + REACH_DEVICES / ZONES).map(|number| format!("name:host-{number}")).collect();
        let _ = writeln!(text, "zone z{number} {{ members {} }}", members.join(", "));
        let _ = writeln!(
            text,
            "allow z{number} -> z{} modbus\nallow z{number} -> z{number} http",
            (number * 7 + 3) % ZONES
        );
        let _ = writeln!(text, "deny role:camera -> z{number} http");
    }
    println!("{REACH_DEVICES} devices, {ZONES} zones");
    let devices = (0..REACH_DEVICES).map(|number| device(number, role(number))).collect();
    let estate = Estate { devices, names: BTreeMap::new(), now: Timestamp::EPOCH };
    let policy = parse(&text).unwrap_or_default();
    let compiled =
        timed("compile", || Compiled::new(policy, &protocols, estate)).expect("the policy is sound");
    let count = timed("who reaches one device", || {
        let view = compiled.view();
        view.who_reaches(&Spot::Device(DeviceId(4_711)))
            .reached()
            .iter()
            .map(|reached| reached.members.len())
            .sum::<usize>()
    });
    println!("  {count} hosts");
    let count = timed("whom one zone reaches", || {
        compiled
            .view()
            .reachable_from(&Spot::Name("z9"))
            .reached()
            .iter()
            .map(|reached| reached.members.len())
            .sum::<usize>()
    });
    println!("  {count} hosts, {} classes", compiled.class_count());
    println!("problems: {}", timed("lint", || compiled.lint()).len());

    // Everybody uses ten of a hundred servers; cameras are used by two recorders.
    let seen: Vec<Use> = (0..REACH_DEVICES)
        .flat_map(|number| (0..10).map(move |at| (number, (number * 7 + at * 13) % 400 / 4 * 4 + 3)))
        .filter(|(client, server)| client != server)
        .map(|(client, server)| Use {
            client: Host::from_ip(ip(client)),
            server: Host::from_ip(ip(server)),
            name: None,
            transport: Transport::Tcp,
            port: if server % 8 == 3 { 80 } else { 502 },
            protocol: Some(if server % 8 == 3 { "http" } else { "modbus" }.into()),
            operations: Vec::new(),
            first: Timestamp::EPOCH,
            last: Timestamp::EPOCH,
            count: 1,
            answered: true,
            bytes: 1,
        })
        .collect();
    let devices = (0..REACH_DEVICES).map(|number| device(number, role(number))).collect();
    let estate = Estate { devices, names: BTreeMap::new(), now: Timestamp::EPOCH };
    println!("{} uses", seen.len());
    let proposal = timed("propose", || Proposal::new(&seen, &protocols, &estate, None)).expect("it is sound");
    println!("  {} rules", proposal.policy.rules.len());
    let compiled = Compiled::new(proposal.policy, &protocols, estate).expect("it is sound");
    println!("cut: {}", timed("replay", || compiled.prove(&seen)).cuts.len());
}
