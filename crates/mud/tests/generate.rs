//! Descriptions of what devices were seen to do, and whether they hold for what comes later.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{Timestamp, Transport};
use mud::{
    CLASS_DNS, CLASS_GATEWAY, CLASS_NTP, GenerateError, Generated, Initiator, IpVersion, Peer, Seen, Subject,
    decide, generate, read, write,
};
use proptest::prelude::*;

use Initiator::{Device, Peer as Other};
use Transport::{Icmp, Icmpv6, Tcp, Udp};

fn subject() -> Subject {
    Subject {
        url: "https://lamps.example/7".into(),
        last_update: "2026-03-02T08:00:00Z".into(),
        systeminfo: Some("A lamp".into()),
        ..Subject::default()
    }
}

fn named(name: &str, address: &str) -> Peer {
    Peer { names: vec![name.into()], address: address.parse().ok(), ..Peer::default() }
}

fn local(address: &str) -> Peer {
    Peer { address: address.parse().ok(), is_local: true, ..Peer::default() }
}

/// Conversations of so many days, 10 on each.
fn seen(initiator: Initiator, transport: Transport, port: u16, peer: Peer, days: u32) -> Seen {
    Seen {
        initiator,
        version: peer.address.as_ref().map(IpVersion::of),
        peer,
        transport,
        server_port: matches!(transport, Tcp | Udp).then_some(port),
        client_port: None,
        icmp: None,
        protocol: None,
        is_answered: true,
        bytes: 1000,
        count: 10 * u64::from(days),
        first: Timestamp::from_secs(1_772_438_400),
        last: Timestamp::from_secs(1_772_438_400 + 86_400 * u64::from(days - 1)),
        days,
    }
}

/// The names of the rules that are not those which every device has.
fn rules(made: &Generated) -> Vec<String> {
    let basic = generate(
        &subject(),
        &[seen(Device, Icmp, 0, local("192.168.1.9"), 3), seen(Device, Udp, 547, local("fe80::9"), 1)],
    );
    let is_time_expected = made.notes.iter().any(|note| note.about == "time servers");
    let basic: Vec<String> = basic.unwrap().file.aces().map(|(_, ace)| ace.name.clone()).collect();
    made.file
        .aces()
        .filter(|(_, ace)| !(basic.contains(&ace.name) || is_time_expected && ace.name == "udp-123-any"))
        .map(|(acl, ace)| format!("{} {}", acl.name, ace.name))
        .collect()
}

fn lamp() -> Vec<Seen> {
    let cloud = |address| seen(Device, Tcp, 8883, named("cloud.lamps.example", address), 9);
    let server = |class: &str| Peer { classes: vec![class.into()], ..local("192.168.1.1") };
    vec![
        cloud("203.0.113.7"),
        cloud("203.0.113.8"),
        cloud("203.0.113.9"),
        seen(Device, Udp, 53, server(CLASS_DNS), 9),
        seen(Device, Udp, 123, server(CLASS_NTP), 9),
        seen(Device, Udp, 1900, server(CLASS_GATEWAY), 9),
        seen(Other, Tcp, 80, local("192.168.1.20"), 9),
        seen(Other, Tcp, 80, local("192.168.1.21"), 2),
        Seen { is_answered: false, ..seen(Device, Udp, 5353, local("224.0.0.251"), 9) },
        seen(Device, Udp, 4000, Peer { is_same_manufacturer: true, ..local("192.168.1.30") }, 9),
    ]
}

#[test]
fn what_was_seen_becomes_few_rules_without_addresses() {
    let made = generate(&subject(), &lamp()).unwrap();
    assert_eq!(
        rules(&made),
        [
            "from-ipv4 tcp-8883-cloud.lamps.example",
            "from-ipv4 tcp-server-80-local",
            "from-ipv4 udp-1900-gateway",
            "from-ipv4 udp-4000-same-manufacturer",
            "from-ipv4 udp-5353-224.0.0.251",
            "to-ipv4 tcp-8883-cloud.lamps.example",
            "to-ipv4 tcp-server-80-local",
            "to-ipv4 udp-1900-gateway",
            "to-ipv4 udp-4000-same-manufacturer",
            "from-ipv6 udp-5353-ff02::fb",
        ]
    );
    assert_eq!(made.notes, []);
    let text = write(&made.file);
    assert!(!String::from_utf8_lossy(&text).contains("203.0.113."));
    let again = read(&text).unwrap();
    assert_eq!((again.file, again.warnings), (made.file.clone(), vec![]), "it is valid");
    for seen in lamp() {
        assert!(decide(&made.file, &seen.conversation()).is_allowed(), "{seen:?}");
    }
    // 540 conversations in which nothing came on one day only.
    assert!((0.003..0.009).contains(&made.unseen), "{}", made.unseen);
}

#[test]
fn nothing_else_is_allowed() {
    let made = generate(&subject(), &lamp()).unwrap();
    for other in [
        seen(Device, Tcp, 8883, named("other.example", "203.0.113.7"), 1),
        seen(Device, Tcp, 443, named("cloud.lamps.example", "203.0.113.7"), 1),
        seen(Other, Tcp, 8883, named("cloud.lamps.example", "203.0.113.7"), 1),
        seen(Device, Tcp, 80, local("192.168.1.20"), 1),
        seen(Other, Tcp, 23, local("192.168.1.20"), 1),
        seen(Other, Tcp, 80, named("x.example", "198.51.100.1"), 1),
        seen(Device, Udp, 1900, local("192.168.1.20"), 1),
        seen(Device, Udp, 4000, local("192.168.1.20"), 1),
        seen(Device, Udp, 53, named("dns.example", "198.51.100.1"), 1),
    ] {
        assert!(!decide(&made.file, &other.conversation()).is_allowed(), "{other:?}");
    }
}

#[test]
fn what_every_device_needs_is_allowed_unseen() {
    let made = generate(&subject(), &lamp()).unwrap();
    let dhcp = Seen {
        client_port: Some(68),
        is_answered: false,
        ..seen(Device, Udp, 67, Peer { address: "255.255.255.255".parse().ok(), ..Peer::default() }, 1)
    };
    let icmp = |initiator, kind, peer| Seen { icmp: Some((kind, 0)), ..seen(initiator, Icmp, 0, peer, 1) };
    let router = || Peer { address: "198.51.100.1".parse().ok(), ..Peer::default() };
    for needed in [
        dhcp,
        Seen { client_port: Some(68), ..seen(Device, Udp, 67, local("192.168.1.1"), 1) },
        icmp(Other, 8, local("192.168.1.1")),
        icmp(Device, 8, local("192.168.1.1")),
        Seen { is_answered: false, ..icmp(Other, 3, router()) },
        Seen { is_answered: false, ..icmp(Other, 11, router()) },
        seen(Device, Transport::Ip(2), 0, Peer { address: "224.0.0.22".parse().ok(), ..Peer::default() }, 1),
    ] {
        assert!(decide(&made.file, &needed.conversation()).is_allowed(), "{needed:?}");
    }
    for other in [icmp(Other, 8, router()), icmp(Device, 8, router()), icmp(Other, 5, local("192.168.1.1"))] {
        assert!(!decide(&made.file, &other.conversation()).is_allowed(), "{other:?}");
    }
}

#[test]
fn order_does_not_matter() {
    let mut other = lamp();
    other.reverse();
    assert_eq!(generate(&subject(), &lamp()), generate(&subject(), &other));
}

#[test]
fn knocking_without_an_answer_is_not_learnt() {
    let scan = |transport, last: u8| Seen {
        is_answered: false,
        count: 1,
        ..seen(
            Device,
            transport,
            23,
            Peer { address: Some(IpAddr::from([198, 51, 100, last])), ..Peer::default() },
            1,
        )
    };
    let mut all = lamp();
    all.extend((1..200).flat_map(|last| [scan(Tcp, last), scan(Udp, last)]));
    all.push(Seen { is_answered: false, ..seen(Other, Tcp, 22, local("192.168.1.66"), 9) });
    let made = generate(&subject(), &all).unwrap();
    assert_eq!(rules(&made), rules(&generate(&subject(), &lamp()).unwrap()));
    assert!(made.notes.iter().any(|note| note.what.contains("was not answered")));
}

#[test]
fn answers_to_calls_to_a_group_come_from_the_port_that_was_called() {
    let call = Seen { is_answered: false, ..seen(Device, Udp, 1900, local("239.255.255.250"), 3) };
    let answer = |port| Seen {
        client_port: Some(1900),
        is_answered: false,
        ..seen(Other, Udp, port, local("192.168.1.20"), 1)
    };
    let made = generate(&subject(), &[call, answer(40_001), answer(40_002)]).unwrap();
    assert_eq!(
        rules(&made),
        [
            "from-ipv4 udp-1900-239.255.255.250",
            "to-ipv4 udp-1900-local",
            "from-ipv6 udp-1900-ff02::c",
            "to-ipv6 udp-1900-local"
        ]
    );
    assert!(decide(&made.file, &answer(51_234).conversation()).is_allowed());
}

#[test]
fn the_network_may_come_to_speak_the_other_version() {
    let of = |transport, address: &str, port, icmp| Seen {
        icmp,
        is_answered: false,
        ..seen(Device, transport, port, local(address), 1)
    };
    for (seen, later) in [
        (of(Udp, "224.0.0.251", 5353, None), of(Udp, "ff02::fb", 5353, None)),
        (of(Udp, "ff02::fb", 5353, None), of(Udp, "224.0.0.251", 5353, None)),
    ] {
        let made = generate(&subject(), std::slice::from_ref(&seen)).unwrap();
        let is_allowed = |seen: &Seen| decide(&made.file, &seen.conversation()).is_allowed();
        assert!(is_allowed(&seen) && is_allowed(&later), "{later:?}");
        assert!(is_allowed(&of(Icmpv6, "ff02::1:ff00:7", 0, Some((135, 0)))), "neighbours are found");
        for (client, address, server) in [(546, "ff02::1:2", 547), (68, "255.255.255.255", 67)] {
            let lease = Seen { client_port: Some(client), ..of(Udp, address, server, None) };
            assert!(is_allowed(&lease), "{lease:?}");
        }
        for other in [
            of(Udp, "ff02::c", 5353, None),
            of(Udp, "ff02::fb", 1900, None),
            of(Udp, "224.0.0.252", 5353, None),
        ] {
            assert!(!is_allowed(&other), "{other:?}");
        }
    }
}

#[test]
fn who_asks_is_told_by_the_port_of_the_service() {
    let cloud = || named("cloud.lamps.example", "203.0.113.7");
    let asks = seen(Device, Tcp, 50_443, cloud(), 3);
    // Recording began in the middle.
    let rest = Seen { client_port: Some(50_443), is_answered: false, ..seen(Other, Tcp, 41_234, cloud(), 1) };
    let made = generate(&subject(), &[rest.clone(), asks]).unwrap();
    assert_eq!(
        rules(&made),
        ["from-ipv4 tcp-50443-cloud.lamps.example", "to-ipv4 tcp-50443-cloud.lamps.example"]
    );
    let alone = generate(&subject(), &[rest]).unwrap();
    assert_eq!(rules(&alone), [""; 0], "it shows nothing by itself");
    // An answer to a port that an application took for a moment.
    let answer = |port| Seen { client_port: Some(3702), ..seen(Device, Udp, port, local("192.168.1.20"), 1) };
    let made = generate(&subject(), &[answer(40_001), answer(50_002)]).unwrap();
    assert_eq!(rules(&made), ["from-ipv4 udp-server-3702-local", "to-ipv4 udp-server-3702-local"]);
    assert!(decide(&made.file, &answer(33_333).conversation()).is_allowed());
    let unknown =
        generate(&subject(), &[seen(Device, Icmp, 0, named("x.example", "203.0.113.1"), 1)]).unwrap();
    assert_eq!((rules(&unknown), unknown.notes.len()), (vec![], 2), "ICMP of which the type is not known");
}

#[test]
fn a_pool_of_time_servers_is_any_and_one_server_is_one() {
    let ask = |name: &str, address| seen(Device, Udp, 123, named(name, address), 3);
    let one = generate(&subject(), &[ask("time.lamps.example", "203.0.113.1")]).unwrap();
    assert_eq!(rules(&one), ["from-ipv4 udp-123-time.lamps.example", "to-ipv4 udp-123-time.lamps.example"]);
    let pool = [ask("0.pool.example", "203.0.113.1"), ask("1.pool.example", "203.0.113.2")];
    let pool = generate(&subject(), &pool).unwrap();
    assert_eq!(rules(&pool), ["from-ipv4 udp-123-any", "to-ipv4 udp-123-any"]);
    assert!(decide(&pool.file, &ask("2.pool.example", "203.0.113.9").conversation()).is_allowed());
}

#[test]
fn after_a_few_days_a_device_that_did_not_ask_for_the_time_does_not() {
    let ask = seen(Device, Udp, 123, named("0.pool.example", "203.0.113.9"), 1);
    for (days, expected) in [(1, true), (2, true), (3, false)] {
        let made =
            generate(&subject(), &[seen(Device, Tcp, 443, named("a.example", "203.0.113.1"), days)]).unwrap();
        assert_eq!(decide(&made.file, &ask.conversation()).is_allowed(), expected, "{days}");
        assert_eq!(made.notes.len(), usize::from(expected));
    }
    let local_time = Seen {
        days: 1,
        ..seen(Device, Udp, 123, Peer { classes: vec![CLASS_NTP.into()], ..local("192.168.1.1") }, 1)
    };
    let made = generate(&subject(), &[local_time]).unwrap();
    assert!(!decide(&made.file, &ask.conversation()).is_allowed(), "it asks in the house");
}

#[test]
fn names_and_ports_that_keep_coming_are_given_up_for_what_holds_them() {
    let node = |number: u64| Seen {
        count: 1,
        ..seen(Device, Tcp, 443, named(&format!("node-{number}.cdn.example"), "203.0.113.7"), 1)
    };
    let mut all = lamp();
    all.push(seen(Device, Tcp, 443, named("www.lamps.example", "203.0.113.7"), 9));
    all.extend((0..2).map(node));
    let closed = generate(&subject(), &all).unwrap();
    assert!(rules(&closed).contains(&"from-ipv4 tcp-443-node-1.cdn.example".into()), "two show no growth");
    all.extend((2..9).map(node));
    let open = generate(&subject(), &all).unwrap();
    assert!(rules(&open).contains(&"from-ipv4 tcp-443-any".into()));
    assert!(
        rules(&open).iter().all(|rule| !rule.contains("cdn.example") && !rule.contains("www")),
        "it holds all"
    );
    assert!(open.notes.iter().any(|note| note.about == "*.cdn.example"), "{:?}", open.notes);
    assert!(decide(&open.file, &node(77).conversation()).is_allowed());
    // Media: another port each time, with one peer; a service of its own beside it stays exact.
    let media = |port| Seen { count: 1, ..seen(Device, Udp, port, local("192.168.1.40"), 1) };
    let ports = [50_110, 61_002, 53_334, 58_446, 60_002];
    let mut all: Vec<Seen> = ports.map(media).to_vec();
    all.push(seen(Device, Udp, 3702, local("192.168.1.40"), 9));
    let made = generate(&subject(), &all).unwrap();
    assert!(rules(&made).contains(&"from-ipv4 udp-49152-65535-local".into()), "{:?}", rules(&made));
    assert!(rules(&made).contains(&"from-ipv4 udp-3702-local".into()));
    assert!(decide(&made.file, &media(55_555).conversation()).is_allowed());
    // Peers that find each other: addresses and ports both vary.
    let peer = |number: u8| {
        let address = Peer { address: Some(IpAddr::from([198, 51, 100, number])), ..Peer::default() };
        Seen { count: 1, ..seen(Device, Udp, 40_000 + 31 * u16::from(number), address, 1) }
    };
    let made = generate(&subject(), &(0..9).map(peer).collect::<Vec<_>>()).unwrap();
    assert_eq!(rules(&made), ["from-ipv4 udp-32768-65535-any", "to-ipv4 udp-32768-65535-any"]);
}

#[test]
fn a_name_is_found_over_either_version_by_a_device_that_uses_both() {
    let made = generate(
        &subject(),
        &[
            seen(Device, Tcp, 443, named("a.lamps.example", "203.0.113.7"), 3),
            seen(Device, Tcp, 443, named("b.lamps.example", "2001:db8::7"), 3),
        ],
    );
    assert_eq!(made.map(|made| rules(&made).len()), Ok(8));
}

#[test]
fn there_are_never_too_many_rules() {
    let peers = |port| (0..200).map(move |last| seen(Device, Tcp, port, local(&format!("10.0.0.{last}")), 9));
    let many: Vec<Seen> = (1..=1000).flat_map(|port| peers(port).take(1)).chain(peers(7)).collect();
    let made = generate(&subject(), &many).unwrap();
    assert!(rules(&made).len() == 2 * mud::MAX_RULES, "{}", rules(&made).len());
    assert!(rules(&made).contains(&"from-ipv4 tcp-7-local".into()), "what was most is kept");
    assert!(made.notes.iter().any(|note| note.what.contains("too many rules")));
    assert_eq!(made.notes.len(), mud::MAX_NOTES + 1);
    assert_eq!(made.notes.last().map(|note| note.what.as_str()), Some("300 more are left out"));
}

#[test]
fn a_subject_that_cannot_be_is_refused() {
    let url = Subject { url: "http://lamps.example".into(), ..subject() };
    assert!(matches!(generate(&url, &[]), Err(GenerateError::Url(_))));
    let time = Subject { last_update: "yesterday".into(), ..subject() };
    assert!(matches!(generate(&time, &[]), Err(GenerateError::LastUpdate(_))));
    let long = Subject { systeminfo: Some("x".repeat(90)), ..subject() };
    assert_eq!(read(&write(&generate(&long, &[]).unwrap().file)).unwrap().warnings.len(), 0);
    assert!(generate(&subject(), &[]).unwrap().unseen >= 1.0, "nothing is known");
}

/// What a device does on a day, as an invented world has it: names that stay, names of a network of servers of which
/// ever new ones come, ports of media, an application in the house, and what every device does.
fn day(number: u64, seed: u64, openness: u64) -> Vec<Seen> {
    let mut state =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mut draw = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    };
    let at = Timestamp::from_secs(1_772_438_400 + 86_400 * number);
    let mut all = Vec::new();
    let mut add = |mut seen: Seen| {
        (seen.first, seen.last, seen.days, seen.count) = (at, at, 1, 1);
        all.push(seen);
    };
    for _ in 0..200 {
        let name = format!("s{}.lamps.example", draw(4));
        add(seen(Device, Tcp, 443, named(&name, &format!("203.0.113.{}", draw(250))), 1));
    }
    for _ in 0..openness {
        let name = format!("n{}.cdn.example", draw(5000));
        add(seen(Device, Tcp, 8443, named(&name, &format!("198.51.100.{}", draw(250))), 1));
        let port = 49_152 + u16::try_from(draw(16_000)).unwrap();
        add(seen(Device, Udp, port, local("192.168.1.40"), 1));
    }
    for _ in 0..20 {
        add(seen(Other, Tcp, 80, local(&format!("192.168.1.{}", draw(250))), 1));
    }
    all
}

/// The same put together, as whoever counts conversations does.
fn together(days: &[Vec<Seen>]) -> Vec<Seen> {
    let mut all = BTreeMap::<String, Seen>::new();
    for seen in days.iter().flatten() {
        let key = format!("{:?} {:?} {:?} {:?}", seen.initiator, seen.transport, seen.server_port, seen.peer);
        match all.get_mut(&key) {
            Some(known) => {
                known.count += 1;
                known.days += u32::from(known.last != seen.last);
                known.last = seen.last;
            }
            None => _ = all.insert(key, seen.clone()),
        }
    }
    all.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Learnt on some days, it cuts no more than one in a thousand conversations of later days, and says so.
    #[test]
    fn days_to_come_are_not_cut(seed in 1_u64..1_000_000, openness in prop_oneof![Just(0_u64), 5..40_u64]) {
        let days: Vec<Vec<Seen>> = (0..8).map(|number| day(number, seed, openness)).collect();
        let made = generate(&subject(), &together(&days[..5])).unwrap();
        let later: Vec<&Seen> = days[5..].iter().flatten().collect();
        let cut = later.iter().filter(|seen| !decide(&made.file, &seen.conversation()).is_allowed()).count();
        prop_assert!(cut * 1000 <= later.len(), "{cut} of {}", later.len());
        prop_assert!(made.file.aces().count() < 40, "{}", made.file.aces().count());
        prop_assert!(openness > 0 || made.notes.is_empty());
    }
}

/// What a rule for what a device sends says that it does, often and on many days.
fn does(matches: &mud::Matches) -> Option<Seen> {
    let ip = matches.ip.as_ref()?;
    let four = ip.version == IpVersion::V4;
    let any = if four { "192.168.1.9" } else { "fe80::9" };
    let far = if four { "198.51.100.1" } else { "2001:db8::1" };
    let is_far = ip.destination_name.is_some() || matches.mud == mud::MudMatch::default();
    let address: IpAddr =
        ip.destination.map_or_else(|| if is_far { far } else { any }.parse().unwrap(), |one| one.address());
    let peer = Peer {
        names: ip.destination_name.iter().cloned().collect(),
        address: Some(address),
        is_local: !is_far,
        classes: matches.mud.controller.iter().cloned().collect(),
        ..Peer::default()
    };
    let one = |ports: Option<mud::Ports>| match ports {
        Some(mud::Ports::Eq(port)) => Some(port),
        _ => None,
    };
    let (transport, source, destination, icmp) = match &matches.l4 {
        Some(mud::L4::Tcp { source, destination, .. }) => (Tcp, *source, *destination, None),
        Some(mud::L4::Udp { source, destination }) => (Udp, *source, *destination, None),
        Some(mud::L4::Icmp { kind, .. }) if four => (Icmp, None, None, Some(((*kind)?, 0))),
        _ => return None,
    };
    let (initiator, port) = match (one(destination), one(source)) {
        (Some(port), _) => (Device, Some(port)),
        (None, Some(port)) => (Other, Some(port)),
        _ if icmp.is_some() => (Device, None),
        _ => return None,
    };
    let base = seen(initiator, transport, port.unwrap_or(0), peer, 9);
    Some(Seen { server_port: port, icmp, client_port: one(source).filter(|_| initiator == Device), ..base })
}

/// The descriptions that MUDgee made are the same behaviour as was recorded; told by ours, it takes fewer rules.
#[test]
fn what_mudgee_describes_takes_fewer_rules() {
    const NAME: &str = "what_mudgee_describes_takes_fewer_rules";
    let Some(folder) = testkit::corpus(NAME, "mud/iot-onboarding/unsw") else { return };
    let (mut theirs, mut ours, mut devices) = (0, 0, 0);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|kind| kind == "json")) {
        let file = read(&std::fs::read(path).unwrap()).unwrap().file;
        let lists = file.from_device.iter().filter_map(|name| file.acl(name));
        let all: Vec<Seen> = lists.flat_map(|acl| &acl.aces).filter_map(|ace| does(&ace.matches)).collect();
        let made = generate(&subject(), &all).unwrap();
        for one in &all {
            assert!(decide(&made.file, &one.conversation()).is_allowed(), "{}: {one:?}", path.display());
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        println!(
            "{name}: {} rules, {} here, of which {}",
            file.aces().count(),
            rules(&made).len(),
            made.file.aces().count()
        );
        theirs += file.aces().count();
        ours += rules(&made).len();
        devices += 1;
    }
    assert!(devices >= 15 && ours < theirs, "{ours} rules for {theirs} of {devices} devices");
}
