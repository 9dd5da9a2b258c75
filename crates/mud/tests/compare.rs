//! What was seen against descriptions, and descriptions against each other.

use std::net::IpAddr;

use model::{MacAddr, Timestamp, Transport};
use mud::{
    Ace, Acl, AclKind, Conversation, Eth, Forwarding, Initiator, Ip, IpVersion, L4, Matches, MudFile,
    MudMatch, Network, Peer, Ports, Relation, Seen, Unknown, compare, decide, deviations,
};
use proptest::prelude::*;

use Initiator::{Device, Peer as Other};

fn ace(name: &str, matches: Matches) -> Ace {
    Ace { name: name.into(), matches, forwarding: Forwarding::Accept, unknown: Unknown::new() }
}

/// A description of one list in both directions.
fn description(kind: Option<AclKind>, aces: Vec<Ace>) -> MudFile {
    MudFile {
        url: "https://lamps.example/7".into(),
        last_update: "2026-03-02T08:00:00Z".into(),
        from_device: vec!["from".into()],
        to_device: vec!["to".into()],
        acls: vec![
            Acl { name: "from".into(), kind, aces, unknown: Unknown::new() },
            Acl {
                name: "to".into(),
                kind,
                aces: vec![ace("all", Matches::default())],
                unknown: Unknown::new(),
            },
        ],
        ..MudFile::default()
    }
}

fn to(name: &str, port: Ports) -> Matches {
    let ip = Ip { destination_name: Some(name.into()), ..Ip::any(IpVersion::V4) };
    let l4 = L4::Tcp { source: None, destination: Some(port), initiated: Some(Device) };
    Matches { ip: Some(ip), l4: Some(l4), ..Matches::default() }
}

fn seen(name: &str, port: u16, count: u64) -> Seen {
    Seen {
        initiator: Device,
        peer: Peer { names: vec![name.into()], address: "203.0.113.1".parse().ok(), ..Peer::default() },
        version: Some(IpVersion::V4),
        transport: Transport::Tcp,
        server_port: Some(port),
        client_port: None,
        icmp: None,
        protocol: None,
        is_answered: true,
        bytes: 10 * count,
        count,
        first: Timestamp::from_secs(100 - count),
        last: Timestamp::from_secs(100 + count),
        days: 1,
    }
}

#[test]
fn deviations_are_told_with_rule_count_and_example() {
    let mut no = ace("no", to("bad.example", Ports::Gte(0)));
    no.forwarding = Forwarding::Drop;
    let file = description(
        Some(AclKind::Ipv4),
        vec![
            no,
            ace("good", to("good.example", Ports::Eq(443))),
            ace("idle", to("idle.example", Ports::Eq(1))),
        ],
    );
    let all = [
        seen("good.example", 443, 7),
        seen("good.example", 80, 2),
        seen("good.example", 80, 5),
        seen("bad.example", 443, 3),
        seen("x.example", 443, 1),
    ];
    let result = deviations(&file, &all);
    assert_eq!((result.allowed, result.forbidden, result.left_out), (7, 11, 0));
    let told: Vec<_> = result
        .found
        .iter()
        .map(|one| (one.count, one.rule.as_ref().map(|rule| rule.ace.as_str()), one.example.count, one.from))
        .collect();
    assert_eq!(told, [(7, None, 5, Device), (3, Some("no"), 3, Device), (1, None, 1, Device)]);
    let first = &result.found[0];
    assert_eq!((first.bytes, first.first.as_secs(), first.last.as_secs()), (70, 95, 105));
    let unused: Vec<_> = result.unused.iter().map(|rule| rule.ace.as_str()).collect();
    assert_eq!(unused, ["idle"]);
    let many: Vec<Seen> = (0..1_200).map(|port| seen("x.example", port, 1)).collect();
    let result = deviations(&file, &many);
    assert_eq!((result.found.len(), result.left_out, result.forbidden), (mud::MAX_DEVIATIONS, 200, 1_200));
}

#[test]
fn rules_are_held_against_each_other() {
    let first = description(
        Some(AclKind::Ipv4),
        vec![
            ace("same", to("a.example", Ports::Eq(443))),
            ace("wide", to("b.example", Ports::Range(10, 20))),
            ace("narrow", to("c.example", Ports::Eq(80))),
            ace("gone", to("d.example", Ports::Eq(80))),
        ],
    );
    let second = description(
        Some(AclKind::Ipv4),
        vec![
            ace("one", to("a.example", Ports::Range(443, 443))),
            ace("b-11", to("b.example", Ports::Eq(11))),
            ace("b-12", to("b.example", Ports::Eq(12))),
            ace("c", to("c.example", Ports::Lte(90))),
            ace("new", to("e.example", Ports::Eq(80))),
        ],
    );
    let told = |first: &MudFile, second: &MudFile| {
        let name = |rule: Option<mud::RuleName>| rule.map_or_else(|| "-".into(), |rule| rule.ace);
        let all = compare(first, second).into_iter().filter(|one| one.from == Device);
        all.map(|one| format!("{:?} {} {}", one.relation, name(one.first), name(one.second)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told(&first, &second),
        [
            "Equal same one",
            "Wider wide b-11",
            "Wider wide b-12",
            "Narrower narrow c",
            "OnlyFirst gone -",
            "OnlySecond - new",
        ]
    );
    assert!(compare(&first, &first).iter().all(|one| one.relation == Relation::Equal));
    assert_eq!(compare(&first, &first).len(), 5);
    let mut forbidden = first.clone();
    forbidden.acls[0].aces.truncate(1);
    forbidden.acls[0].aces[0].forwarding = Forwarding::Drop;
    assert!(told(&forbidden, &first).contains(&"OnlyFirst same -".into()), "the contrary is no match");
}

fn any_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = Option<T>> + use<T> {
    let some = proptest::sample::select(values.to_vec());
    prop_oneof![2 => Just(None), 3 => some.prop_map(Some)]
}

fn ports() -> impl Strategy<Value = Option<Ports>> {
    any_of(&[
        Ports::Eq(5),
        Ports::Neq(5),
        Ports::Lte(5),
        Ports::Gte(5),
        Ports::Range(4, 6),
        Ports::Range(5, 5),
    ])
}

fn rule() -> impl Strategy<Value = (Option<AclKind>, Matches)> {
    let network =
        |text: &[&str]| any_of(&text.iter().map(|text| text.parse::<Network>().unwrap()).collect::<Vec<_>>());
    let ip = (
        prop_oneof![Just(IpVersion::V4), Just(IpVersion::V6)],
        any_of(&[6_u8, 17, 1]),
        network(&["10.0.0.0/8", "10.0.0.3/32", "224.0.0.251/32", "0.0.0.0/0"]),
        any_of(&["a.example".to_owned(), "b.example".to_owned()]),
    )
        .prop_map(|(version, protocol, destination, destination_name)| Ip {
            protocol,
            destination: destination.filter(|_| version == IpVersion::V4),
            destination_name,
            ..Ip::any(version)
        });
    let l4 =
        prop_oneof![
            (ports(), ports(), any_of(&[Device, Other]))
                .prop_map(|(source, destination, initiated)| L4::Tcp { source, destination, initiated }),
            (ports(), ports()).prop_map(|(source, destination)| L4::Udp { source, destination }),
            (any_of(&[8_u8, 0]), any_of(&[0_u8])).prop_map(|(kind, code)| L4::Icmp { kind, code }),
        ];
    let eth = (any_of(&[0x0800_u16, 0x86dd, 0x0806]), any_of(&[MacAddr::BROADCAST]))
        .prop_map(|(ethertype, destination)| Eth { ethertype, destination, ..Eth::default() });
    let mud = (any::<bool>(), any::<bool>(), any_of(&["urn:x".to_owned()])).prop_map(
        |(local, same, controller)| MudMatch {
            local_networks: local,
            same_manufacturer: same && local,
            controller,
            ..MudMatch::default()
        },
    );
    let kind = any_of(&AclKind::ALL);
    (kind, mud, proptest::option::of(eth), proptest::option::of(ip), proptest::option::of(l4))
        .prop_map(|(kind, mud, eth, ip, l4)| (kind, Matches { mud, eth, ip, l4 }))
}

/// Conversations that differ in all that the rules above can tell.
fn conversations() -> Vec<Conversation> {
    let mut all = Vec::new();
    let addresses: [Option<IpAddr>; 4] =
        ["10.0.0.3", "10.0.0.4", "224.0.0.251", "203.0.113.1"].map(|text| text.parse().ok());
    for address in addresses {
        for bits in 0..32_u8 {
            let peer = Peer {
                names: if bits & 1 > 0 { vec!["a.example".into()] } else { vec!["b.example".into()] },
                address,
                mac: (bits & 2 > 0).then_some(MacAddr::BROADCAST),
                is_local: bits & 4 > 0,
                classes: if bits & 8 > 0 { vec!["urn:x".into()] } else { vec![] },
                is_same_manufacturer: bits & 16 > 0,
                ..Peer::default()
            };
            for (transport, port, icmp) in [
                (Transport::Tcp, Some(5), None),
                (Transport::Tcp, Some(4), None),
                (Transport::Tcp, Some(9), None),
                (Transport::Udp, Some(5), None),
                (Transport::Udp, Some(6), None),
                (Transport::Icmp, None, Some((8, 0))),
                (Transport::Icmp, None, Some((0, 0))),
                (Transport::Ether(0x0806), None, None),
            ] {
                for version in [Some(IpVersion::V4), Some(IpVersion::V6)] {
                    let is_ip = !matches!(transport, Transport::Ether(_));
                    all.push(Conversation {
                        initiator: Device,
                        peer: Peer {
                            address: peer.address.filter(|_| version == Some(IpVersion::V4)),
                            ..peer.clone()
                        },
                        device: None,
                        version: version.filter(|_| is_ip),
                        transport,
                        device_port: port,
                        peer_port: port,
                        icmp,
                        is_answered: false,
                    });
                }
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What a narrower rule allows, the wider one allows too.
    #[test]
    fn wider_is_wider((kind, one) in rule(), (other_kind, other) in rule(), drops in 0_u16..512) {
        // Without some of its conditions, a rule is often wider: pairs that have nothing in common show nothing.
        let mut less = if drops & 256 > 0 { one.clone() } else { other };
        if drops & 1 > 0 { less.eth = None; }
        if drops & 2 > 0 { less.ip = None; }
        if drops & 4 > 0 { less.l4 = None; }
        if drops & 8 > 0 { less.mud = MudMatch::default(); }
        if drops & 16 > 0 && let Some(ip) = &mut less.ip { ip.destination = None; }
        if drops & 32 > 0 && let Some(ip) = &mut less.ip { ip.protocol = None; }
        let less_kind = if drops & 64 > 0 { kind } else { other_kind };
        let (first, second) = (
            description(less_kind, vec![ace("less", less)]),
            description(kind, vec![ace("one", one)]),
        );
        let relation = compare(&first, &second)[0].relation;
        for conversation in conversations() {
            let allows = |file| matches!(
                decide(file, &conversation).from_device, Some(mud::Ruling::Rule { .. }));
            let (less, one) = (allows(&first), allows(&second));
            match relation {
                Relation::Wider => prop_assert!(less || !one, "{conversation:?}"),
                Relation::Narrower => prop_assert!(one || !less, "{conversation:?}"),
                Relation::Equal => prop_assert_eq!(one, less, "{:?}", conversation),
                Relation::OnlyFirst | Relation::OnlySecond => {}
            }
        }
    }
}
