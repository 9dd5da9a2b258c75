use std::collections::BTreeSet;

use model::{Attribute, Host, Locality, OperationKind, Timestamp, Transport};
use proptest::prelude::*;

use super::*;
use crate::testing::{device, estate, evidence, protocols, vendor};
use crate::{UsedOperation, parse};

fn used(client: &str, server: &str, port: u16, protocol: &str) -> Use {
    let host = |ip: &str| Host::from_ip(ip.parse().unwrap());
    let transport = if ["dns", "ntp", "mdns"].contains(&protocol) { Transport::Udp } else { Transport::Tcp };
    Use {
        client: host(client),
        server: host(server),
        name: None,
        transport,
        port,
        protocol: Some(protocol.to_owned()).filter(|name| !name.is_empty()).map(Into::into),
        operations: vec![],
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        count: 1,
        answered: true,
        bytes: 100,
    }
}

fn asked(mut used: Use, operations: &[(OperationKind, &str)]) -> Use {
    let operation = |(kind, target): &(OperationKind, &str)| UsedOperation {
        kind: *kind,
        target: Some((*target).into()),
        count: 1,
    };
    used.operations = operations.iter().map(operation).collect();
    used
}

fn called(mut used: Use, name: &str) -> Use {
    used.name = Some(name.into());
    used
}

fn propose(uses: &[Use], devices: Vec<Device>) -> Proposal {
    Proposal::new(uses, &protocols(), &estate(devices), Some("Test")).unwrap()
}

/// What of the uses the policy would cut, by number.
fn cut(proposal: &Proposal, uses: &[Use], devices: Vec<Device>) -> BTreeSet<usize> {
    let compiled = Compiled::new(proposal.policy.clone(), &protocols(), estate(devices)).unwrap();
    compiled.prove(uses).cuts.iter().map(|cut| cut.used).collect()
}

/// A plant: 40 cameras of two makers and a recorder, 30 controllers and 4 panels, a resolver, workstations.
fn plant() -> (Vec<Device>, Vec<Use>) {
    let (mut devices, mut uses) = (Vec::new(), Vec::new());
    let mut add = |role: &str, maker: &str, ip: String| {
        let number = devices.len() as u64 + 1;
        devices.push(vendor(device(number, role, &[&ip]), maker));
        ip
    };
    let resolver = add("dns-server", "ISC", "10.0.9.1".into());
    let recorder = add("server", "Axis", "10.0.9.2".into());
    let cameras: Vec<String> = (0..40)
        .map(|at| add("camera", if at % 2 == 0 { "Axis" } else { "Hikvision" }, format!("10.0.4.{}", at + 1)))
        .collect();
    let controllers: Vec<String> =
        (0..30).map(|at| add("plc", "Siemens", format!("10.0.1.{}", at + 1))).collect();
    let panels: Vec<String> = (0..4).map(|at| add("hmi", "Siemens", format!("10.0.2.{}", at + 1))).collect();
    for (at, camera) in cameras.iter().enumerate() {
        uses.push(used(&recorder, camera, 554, "rtsp"));
        uses.push(used(camera, &resolver, 53, "dns"));
        uses.push(called(used(camera, "203.0.113.5", 123, "ntp"), "time.example.com"));
        if at == 7 {
            // One that does what the others do not.
            uses.push(called(used(camera, "203.0.113.60", 443, "tls"), "cloud.example.net"));
        }
    }
    for (at, controller) in controllers.iter().enumerate() {
        for (number, panel) in panels.iter().enumerate() {
            // Not every panel with every controller, but most.
            if (at + number) % 4 != 0 {
                let write = format!("holding-registers {}-{} unit 1", 100 + at % 5, 103 + at % 5);
                uses.push(asked(
                    used(panel, controller, 502, "modbus"),
                    &[(OperationKind::Read, "coils 1-9 unit 1"), (OperationKind::Write, &write)],
                ));
            }
        }
    }
    (devices, uses)
}

#[test]
fn a_plant_is_covered_by_few_rules_that_can_be_read() {
    let (devices, uses) = plant();
    let proposal = propose(&uses, devices.clone());
    assert_eq!(proposal.flagged, []);
    assert_eq!(
        proposal.policy.to_string(),
        "site \"Test\"\n\n\
         group axis-cameras = (main-role:camera and vendor:axis)\n\
         group hikvision-cameras = (main-role:camera and vendor:hikvision)\n\
         group siemens-hmis = main-role:hmi\n\
         group siemens-plcs = main-role:plc\n\n\
         zone field {\n    level 1\n    criticality critical\n    members main-role:plc\n}\n\n\
         zone control {\n    level 2\n    criticality high\n    members main-role:hmi\n}\n\n\
         conduit control -> field { modbus }\n\n\
         allow axis-cameras, hikvision-cameras -> \"time.example.com\" ntp\n\
         allow axis-cameras, hikvision-cameras -> d000000000001 dns\n\
         allow d000000000002 -> axis-cameras, hikvision-cameras rtsp\n\
         allow d00000000000a -> \"cloud.example.net\" tls\n\
         allow siemens-hmis -> siemens-plcs modbus read, write holding-registers 100-107\n"
    );
    assert_eq!(cut(&proposal, &uses, devices), BTreeSet::new());
}

#[test]
fn little_more_is_allowed_than_was_seen() {
    let (devices, uses) = plant();
    let proposal = propose(&uses, devices.clone());
    let compiled = Compiled::new(proposal.policy, &protocols(), estate(devices.clone())).unwrap();
    let seen: BTreeSet<_> =
        uses.iter().map(|used| (used.client, used.server, used.transport, used.port)).collect();
    let mut more = 0;
    for client in &devices {
        for server in &devices {
            for port in [22, 23, 53, 80, 102, 443, 502, 554, 1883] {
                let host = |device: &Device| Host::from_ip(device.addresses[0].ip);
                for transport in [Transport::Tcp, Transport::Udp] {
                    let ask = crate::Ask::conversation(
                        crate::Who::Host(host(client)),
                        crate::Who::Host(host(server)),
                        transport,
                        port,
                    );
                    let may = compiled.decide(&ask).verdict == Verdict::Allow;
                    more += usize::from(
                        may && client.id != server.id
                            && !seen.contains(&(host(client), host(server), transport, port)),
                    );
                }
            }
        }
    }
    // A quarter of the panels' pairs, and the resolver by TCP, which is DNS as well.
    assert_eq!(more, 30 + 40);
}

#[test]
fn what_no_policy_should_allow_is_told_and_left_out() {
    let mut server = device(4, "server", &["198.51.100.4"]);
    server.locality = Locality::External;
    let devices = vec![
        device(1, "plc", &["10.0.0.1"]),
        device(2, "camera", &["10.0.0.2"]),
        device(3, "server", &["10.0.0.3"]),
        server,
    ];
    let cases = [
        (used("8.8.8.8", "10.0.0.1", 443, "tls"), "internet-to-controller"),
        (used("10.0.0.1", "8.8.8.8", 502, "modbus"), "industrial-protocol-over-internet"),
        (used("198.51.100.4", "10.0.0.2", 23, "telnet"), "clear-text-management-from-internet"),
        (used("8.8.8.8", "10.0.0.2", 80, "http"), "clear-text-management-from-internet"),
        (used("8.8.8.8", "10.0.0.3", 445, "smb"), "file-sharing-over-internet"),
        (used("10.0.0.2", "8.8.8.8", 6667, "irc"), "irc"),
        (used("10.0.0.2", "8.8.8.8", 23, "telnet"), "telnet-to-internet"),
        (used("8.8.8.8", "10.0.0.3", 3389, "rdp"), "remote-desktop-from-internet"),
        (Use { answered: false, ..used("10.0.0.3", "10.0.0.2", 81, "") }, "unanswered"),
        (used("224.0.0.1", "10.0.0.3", 80, "http"), "group-as-sender"),
    ];
    let mut uses: Vec<Use> = cases.iter().map(|(used, _)| used.clone()).collect();
    // Meant to be: a web server, and telnet within the house.
    uses.extend([used("8.8.8.8", "10.0.0.3", 80, "http"), used("10.0.0.3", "10.0.0.2", 23, "telnet")]);
    let proposal = propose(&uses, devices.clone());
    let told: Vec<&str> = proposal.flagged.iter().map(|flagged| flagged.objection.id).collect();
    assert_eq!(told, cases.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    assert_eq!(cut(&proposal, &uses, devices), (0..cases.len()).collect());
    let shown = proposal.show(&uses);
    assert!(shown.contains("# left out (2): a device was managed from the Internet"), "{shown}");
    assert!(shown.contains("#   198.51.100.4 -> 10.0.0.2 telnet on tcp/23\n"), "{shown}");
    assert_eq!(parse(&proposal.show(&uses)).unwrap(), proposal.policy);
    let ids: BTreeSet<_> = OBJECTIONS.iter().map(|objection| objection.id).collect();
    assert_eq!(ids, told.into_iter().collect(), "each objection has its case");
}

#[test]
fn many_ports_names_clients_and_targets_are_put_together() {
    let devices = vec![device(1, "server", &["10.0.0.1"]), device(2, "hub", &["10.0.0.2"])];
    let text = |uses: &[Use]| {
        let proposal = propose(uses, devices.clone());
        assert_eq!(cut(&proposal, uses, devices.clone()), BTreeSet::new());
        proposal.policy.rules.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let ports = |count: u16| {
        (0..count).map(|at| used("10.0.0.2", "10.0.0.1", 20_000 + at * 3, "")).collect::<Vec<_>>()
    };
    assert_eq!(text(&ports(9)), ["allow d000000000002 -> d000000000001 tcp/20000-20024"]);
    assert_eq!(text(&ports(2)), ["allow d000000000002 -> d000000000001 tcp/20000, tcp/20003"]);
    let names = |count: usize, parent: &str| {
        (0..count)
            .map(|at| called(used("10.0.0.2", "203.0.113.9", 443, "tls"), &format!("n{at}.{parent}")))
            .collect::<Vec<_>>()
    };
    assert_eq!(text(&names(4, "s3.cloud.example")), ["allow d000000000002 -> \"*.s3.cloud.example\" tls"]);
    assert_eq!(
        text(&names(4, "co.example"))[0].matches("co.example").count(),
        4,
        "what ends in two labels may be many owners'"
    );
    let clients = |count: usize| {
        (0..count).map(|at| used(&format!("8.8.8.{at}"), "10.0.0.1", 443, "tls")).collect::<Vec<_>>()
    };
    assert_eq!(text(&clients(MANY_CLIENTS)), ["allow internet -> d000000000001 tls"]);
    assert_eq!(text(&clients(2)), ["allow 8.8.8.0, 8.8.8.1 -> d000000000001 tls"]);
    let topics = |count: usize| {
        (0..count)
            .map(|at| {
                asked(
                    used("10.0.0.2", "10.0.0.1", 1883, "mqtt"),
                    &[(OperationKind::Publish, &format!("a/{at}"))],
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(text(&topics(2)), ["allow d000000000002 -> d000000000001 mqtt publish a/0, publish a/1"]);
    assert_eq!(text(&topics(MANY_TARGETS + 1)), ["allow d000000000002 -> d000000000001 mqtt publish"]);
    // One that does the same to many, each time to another target.
    let many = |count: usize| {
        (0..count)
            .map(|at| {
                asked(
                    used("10.0.0.1", &format!("10.0.1.{at}"), 1883, "mqtt"),
                    &[(OperationKind::Publish, &format!("a/{at}"))],
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(text(&many(MANY_TARGETS)).len(), MANY_TARGETS);
    assert_eq!(text(&many(MANY_TARGETS + 1)).len(), 1);
    let lists = [asked(
        used("10.0.0.2", "10.0.0.1", 102, "s7comm"),
        &[(OperationKind::Read, "DB1.DBX1.0 BYTE 4, M 1.3 BIT 1 and 3 more")],
    )];
    text(&lists);
    // A protocol where it is not usually found is its port.
    assert_eq!(
        text(&[used("10.0.0.2", "10.0.0.1", 8123, "http")]),
        ["allow d000000000002 -> d000000000001 tcp/8123"]
    );
}

#[test]
fn devices_are_called_by_their_names_and_resolve_addresses_as_they_like() {
    let devices = vec![
        crate::testing::named(device(1, "server", &["10.0.0.1"]), "Web_Server 1"),
        crate::testing::named(device(2, "hub", &["10.0.0.2"]), "field"),
        crate::testing::named(device(3, "router", &["10.0.0.3"]), "7"),
    ];
    let link = |last| Host::from_mac(model::MacAddr([2, 0, 0, 0, 0, last]));
    let arp = |server| Use {
        client: link(1),
        server,
        transport: Transport::Ether(0x0806),
        ..asked(used("10.0.0.1", "10.0.0.1", 0, ""), &[(OperationKind::Discover, "10.0.0.2")])
    };
    let uses = [
        used("10.0.0.2", "10.0.0.1", 80, "http"),
        used("10.0.0.3", "10.0.0.1", 80, "http"),
        arp(link(2)),
        arp(Host::from_mac(model::MacAddr::BROADCAST)),
    ];
    let proposal = propose(&uses, devices.clone());
    let rules: Vec<String> = proposal.policy.rules.iter().map(ToString::to_string).collect();
    let web = "allow field-2, d000000000003 -> web-server-1 http";
    assert_eq!(rules, [web, "allow local -> local, broadcast ether-0806"]);
    assert_eq!(cut(&proposal, &uses, devices), BTreeSet::new());
}

#[test]
fn long_names_are_cut_between_words() {
    let devices = (1..3)
        .map(|at| {
            vendor(
                device(at, "camera", &[&format!("10.0.0.{at}")]),
                "A Very Long Name of a Maker & Sons (of) Cameras Ltd.",
            )
        })
        .collect::<Vec<_>>();
    let other = vendor(device(3, "camera", &["10.0.0.3"]), "B");
    let proposal = propose(&[used("10.0.0.1", "10.0.0.9", 80, "http")], [devices, vec![other]].concat());
    assert_eq!(&*proposal.policy.groups[0].name, "of-a-maker-sons-of-cameras-ltd-cameras");
}

#[test]
fn hosts_of_the_internet_are_in_no_zone() {
    let mut outside = device(2, "workstation", &["198.51.100.2"]);
    outside.locality = Locality::External;
    let devices = vec![device(1, "plc", &["10.0.0.1"]), outside, device(3, "workstation", &["10.0.0.3"])];
    let uses = [used("10.0.0.3", "10.0.0.1", 102, "s7comm"), used("10.0.0.3", "198.51.100.2", 443, "tls")];
    let proposal = propose(&uses, devices.clone());
    let compiled = Compiled::new(proposal.policy, &protocols(), estate(devices)).unwrap();
    assert_eq!(compiled.memberships(DeviceId(2)), Vec::<&str>::new());
    assert_eq!(compiled.memberships(DeviceId(3)), ["enterprise"]);
    assert!(compiled.lint().iter().any(|problem| problem.what.contains("skips a level")));
}

fn strange() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "[a-zA-Z0-9 .*\"\\\\(),#{}/+ä\n-]{0,12}",
        Just("time.example.com".to_owned()),
        Just("and".to_owned())
    ]
}

fn any_use() -> impl Strategy<Value = Use> {
    let hosts = || {
        prop::sample::select(vec![
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.3",
            "10.0.1.1",
            "8.8.8.8",
            "203.0.113.5",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "0.0.0.0",
        ])
    };
    let kinds = prop::sample::select(crate::OPERATIONS.to_vec());
    let target =
        prop::option::of(prop_oneof![strange(), "coils [0-9]{1,2}-9[0-9] unit 1".prop_map(String::from)]);
    let operations = prop::collection::vec((kinds, target), 0..4);
    let transport = prop::sample::select(vec![
        Transport::Tcp,
        Transport::Udp,
        Transport::Icmp,
        Transport::Ether(0x88b8),
        Transport::Ip(1),
        Transport::Can,
    ]);
    let protocol = prop::option::of(prop::sample::select(vec![
        "modbus",
        "dns",
        "http",
        "mqtt",
        "goose",
        "icmp",
        "websocket",
        "made-up",
    ]));
    let port = prop::sample::select(vec![0, 53, 80, 502, 1883, 5000, 6000, 65_535]);
    (hosts(), hosts(), prop::option::of(strange()), transport, port, protocol, operations).prop_map(
        |(client, server, name, transport, port, protocol, operations)| Use {
            name: name.map(Box::from),
            answered: port != 6000,
            transport,
            port,
            protocol: protocol.map(Into::into),
            operations: operations
                .into_iter()
                .map(|(kind, target)| UsedOperation { kind, target: target.map(Box::from), count: 1 })
                .collect(),
            ..used(client, server, 1, "")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_was_seen_is_covered_and_reads_back(
        uses in prop::collection::vec(any_use(), 0..24), names in prop::collection::vec(strange(), 4), swap in any::<prop::sample::Index>(),
    ) {
        let roles = ["camera", "camera", "plc", "hmi"];
        let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"];
        let devices: Vec<Device> = (0..4).map(|at| {
            let mut device = device(at as u64 + 1, roles[at], &[addresses[at]]);
            device.attributes.insert(Attribute::Vendor, vec![evidence(&names[at / 2])]);
            device.attributes.insert(Attribute::Model, vec![evidence(&names[at])]);
            device
        }).collect();
        let proposal = propose(&uses, devices.clone());
        let text = proposal.policy.to_string();
        let again = parse(&text).map_err(|problems| TestCaseError::fail(format!("{text}\n{}", problems[0])))?;
        prop_assert_eq!(&again, &proposal.policy, "{}", text);
        prop_assert_eq!(&parse(&proposal.show(&uses)).unwrap(), &proposal.policy);
        let flagged: BTreeSet<usize> = proposal.flagged.iter().map(|flagged| flagged.used).collect();
        let cut = cut(&proposal, &uses, devices.clone());
        prop_assert!(cut.is_subset(&flagged), "{} cuts {:?}", text, cut.difference(&flagged).map(|at| &uses[*at]).collect::<Vec<_>>());
        // The order in which it was seen does not matter.
        let mut other = uses;
        if !other.is_empty() {
            let middle = swap.index(other.len());
            other.rotate_left(middle);
        }
        prop_assert_eq!(propose(&other, devices).policy.to_string(), text);
    }
}
