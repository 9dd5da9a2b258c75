use super::*;

fn net(text: &str) -> Network {
    text.parse().unwrap()
}

#[test]
fn an_address_lies_in_one_part_and_the_narrowest_network_decides() {
    let of = |list: &[(&str, &str)]| -> Vec<(Network, Arc<str>)> {
        list.iter().map(|(network, verdict)| (net(network), Arc::from(*verdict))).collect()
    };
    let all = of(&[
        ("10.0.0.0/24", "a"),
        ("10.0.0.0/26", "b"),
        ("10.0.0.16/28", "a"),
        ("10.0.0.32/27", "c"),
        ("10.0.1.0/24", "d"),
    ]);
    let parts = apart(all.clone());
    for host in 0..512 {
        let ip = std::net::IpAddr::V4((0x0a00_0000u32 + host).into());
        let narrowest = all
            .iter()
            .filter(|(network, _)| network.contains(ip))
            .max_by_key(|(network, _)| network.length());
        let found: Vec<_> = parts.iter().filter(|(network, _)| network.contains(ip)).collect();
        assert_eq!(found.len(), 1, "{ip}");
        assert_eq!(found[0].1, narrowest.unwrap().1, "{ip}");
    }
}

#[test]
fn ranges_of_a_device_hold_the_same_and_do_not_overlap() {
    let ports = |first, last| (Ports { first, last }, None);
    let of_device: ByReceiver = BTreeMap::from([
        (net("10.0.0.0/30"), vec![ports(5, 10), ports(8, 12)]),
        (net("10.0.0.0/31"), vec![ports(1, 6), ports(20, 20)]),
        (net("10.0.0.1"), vec![ports(0, 65535)]),
        (net("10.0.0.4/31"), vec![ports(0, 3)]),
    ]);
    let parts = without_overlap(of_device.clone());
    for host in 0..8 {
        let ip = std::net::IpAddr::V4((0x0a00_0000u32 + host).into());
        for port in (0..30).chain([65535]) {
            let within = |ports: Ports| ports.first <= port && port <= ports.last;
            let meant = of_device
                .iter()
                .any(|(network, list)| network.contains(ip) && list.iter().any(|(ports, _)| within(*ports)));
            let found =
                parts.iter().filter(|(network, ports, _)| network.contains(ip) && within(*ports)).count();
            assert_eq!(found, usize::from(meant), "{ip} {port}");
        }
    }
}

fn scene() -> Ruleset {
    let class = |name: &str, members: &[&str]| Class {
        name: name.into(),
        members: members.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let allow =
        |name: &str, from: End, to: End, service: Service| Allow { name: name.into(), from, to, service };
    let of = |name: &str| End::Class(name.into());
    Ruleset {
        mode: Mode::Enforce,
        classes: vec![
            class("cam-1", &["10.0.0.5", "fd00::5"]),
            class("PLCs", &["10.0.1.0/24", "02:00:00:00:00:07"]),
            class("recorder", &["10.0.0.9"]),
        ],
        allows: vec![
            allow("video", of("cam-1"), of("recorder"), Service::Tcp(vec![Ports::one(554)])),
            allow(
                "media",
                of("cam-1"),
                of("recorder"),
                Service::Udp(vec![Ports { first: 5000, last: 6000 }]),
            ),
            allow("cloud", of("cam-1"), End::Anyone, Service::Tcp(vec![Ports::one(443)])),
            allow(
                "time",
                of("cam-1"),
                End::Name("Time.Example.".into()),
                Service::Udp(vec![Ports::one(123)]),
            ),
            allow(
                "peers",
                of("PLCs"),
                of("PLCs"),
                Service::Tcp(vec![Ports::one(102), Ports { first: 2000, last: 2002 }]),
            ),
            allow("ping", of("PLCs"), End::Networks(vec![net("10.9.0.0/16")]), Service::Icmp(vec![8])),
            allow(
                "engineering",
                End::Networks(vec![net("10.8.0.4"), net("fd08::4")]),
                of("PLCs"),
                Service::Any,
            ),
            allow("goose", of("PLCs"), of("PLCs"), Service::Ether(0x88b8)),
        ],
        guard: vec!["10.0.0.1".parse().unwrap()],
        ..Ruleset::default()
    }
}

#[test]
fn the_text_for_a_router() {
    let compiled = compile(&scene(), Support::FULL).unwrap();
    insta::assert_snapshot!(compiled.table.replace().text());
    insta::assert_debug_snapshot!((compiled.notes, compiled.names));
}

#[test]
fn the_text_for_a_bridge_whose_kernel_does_not_follow_conversations() {
    let ruleset = Ruleset { family: Family::Bridged, strict: true, mode: Mode::Observe, ..scene() };
    let compiled = compile(&ruleset, Support { conntrack: false, reject: false }).unwrap();
    insta::assert_snapshot!(compiled.table.replace().text());
    insta::assert_debug_snapshot!((compiled.notes, compiled.names));
}

/// A single device and a host with so many ports.
fn with_ports(count: u16) -> Compiled {
    let ports = (0..count).map(|number| Ports::one(1 + 2 * number)).collect();
    let allow = Allow {
        name: "many".into(),
        from: End::Class("one".into()),
        to: End::Networks(vec![net("10.0.0.2")]),
        service: Service::Tcp(ports),
    };
    let class = Class { name: "one".into(), members: vec!["10.0.0.1".parse().unwrap()] };
    compile(&Ruleset { classes: vec![class], allows: vec![allow], ..Ruleset::default() }, Support::FULL)
        .unwrap()
}

#[test]
fn an_allow_becomes_no_more_elements_than_the_limit() {
    let most = with_ports(EXPANSION_MAX as u16);
    assert_eq!(most.table.sets["exact_tcp4"].elements.len(), EXPANSION_MAX);
    let more = with_ports(EXPANSION_MAX as u16 + 1);
    assert!(more.table.sets["exact_tcp4"].elements.is_empty());
    assert!(more.table.chains.contains_key(&identifier("c", "one")));
}

#[test]
fn names_that_read_the_same_stay_apart() {
    assert_ne!(identifier("c", "a b"), identifier("c", "a_b"));
    assert!(identifier("c", &"ü".repeat(200)).len() < 64);
}
