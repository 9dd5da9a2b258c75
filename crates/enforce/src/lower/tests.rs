//! What a ruleset allows is held against what the policy decides, host by host and port by port.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use model::{
    AddressUse, Attribute, Confidence, Device, DeviceId, Evidence, Host, Locality, MacAddr, Timestamp,
    Transport,
};
use policy::{Compiled, Estate, Protocols};
use proptest::prelude::*;

use super::*;
use crate::{Keeper, MemoryFirewall, OnDrift};

fn device(number: u64, role: &str, locality: Locality, addresses: &[&str]) -> Device {
    let said = Evidence {
        value: role.into(),
        source: "test".into(),
        confidence: Confidence::STRONG,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        count: 1,
    };
    let used = |ip: &&str| AddressUse {
        ip: ip.parse().unwrap(),
        binding: None,
        first: Timestamp::EPOCH,
        last: Timestamp::from_secs(number),
    };
    Device {
        id: DeviceId(number),
        locality,
        macs: vec![MacAddr([2, 0, 0, 0, (number >> 8) as u8, number as u8])],
        addresses: addresses.iter().map(used).collect(),
        via: None,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        attributes: BTreeMap::from([(Attribute::Role, vec![said])]),
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

fn compiled(text: &str, devices: Vec<Device>) -> Compiled {
    let protocols = Protocols::new([
        ("modbus", Transport::Tcp, &[502][..]),
        ("dns", Transport::Udp, &[53]),
        ("dns", Transport::Tcp, &[53]),
        ("websocket", Transport::Tcp, &[]),
        ("goose", Transport::Ether(0x88b8), &[]),
    ]);
    let names = BTreeMap::from([
        ("time.example.com".to_owned(), vec!["203.0.113.5".parse().unwrap()]),
        ("a.cdn.example.org".to_owned(), vec!["203.0.113.6".parse().unwrap(), "10.0.2.9".parse().unwrap()]),
    ]);
    let estate = Estate { devices, names, now: Timestamp::from_secs(1_000) };
    let policy = policy::parse(text).unwrap_or_else(|problems| panic!("{}", problems[0].show("p", text)));
    Compiled::new(policy, &protocols, estate)
        .unwrap_or_else(|problems| panic!("{}", problems[0].show("p", text)))
}

/// What a ruleset comes to, read as it is documented.
struct Reading<'a>(&'a Ruleset);

impl Reading<'_> {
    /// The class with the narrowest member that holds an address.
    fn class(&self, ip: IpAddr) -> Option<&str> {
        let members =
            self.0.classes.iter().flat_map(|class| class.members.iter().map(move |member| (class, member)));
        let holding = members.filter_map(|(class, member)| match member {
            Address::Net(network) if network.contains(ip) => Some((network.length(), class.name.as_str())),
            _ => None,
        });
        holding.max().map(|(_, name)| name)
    }

    fn is(&self, end: &End, ip: IpAddr) -> bool {
        match end {
            End::Anyone => true,
            End::Networks(networks) => networks.iter().any(|network| network.contains(ip)),
            End::Group(name) => {
                let group = self.0.groups.iter().find(|group| group.name == *name).unwrap();
                group.networks.iter().any(|network| network.contains(ip))
            }
            // All that the class's members hold, as the firewall has it in a set.
            End::Class(name) => {
                let class = self.0.classes.iter().find(|class| class.name == *name).unwrap();
                class.members.iter().any(|member| member.holds(&ip.into()))
            }
            End::Name(_) => false,
        }
    }

    fn serves(service: &Service, transport: Transport, port: u16) -> bool {
        let among = |ports: &[Ports]| {
            ports.is_empty() || ports.iter().any(|ports| (ports.first..=ports.last).contains(&port))
        };
        match (service, transport) {
            (Service::Any, _)
            | (Service::Icmp(_), Transport::Icmp)
            | (Service::Icmpv6(_), Transport::Icmpv6) => true,
            (Service::Tcp(ports), Transport::Tcp)
            | (Service::Udp(ports), Transport::Udp)
            | (Service::Sctp(ports), Transport::Sctp) => among(ports),
            (Service::Ip(number), Transport::Ip(asked)) => *number == asked,
            _ => false,
        }
    }

    fn passes(&self, client: IpAddr, server: IpAddr, transport: Transport, port: u16) -> bool {
        let (from, to) = (self.class(client), self.class(server));
        let allowed = self.0.allows.iter().any(|allow| {
            let outward = matches!(&allow.from, End::Class(name) if Some(name.as_str()) == from);
            let inward = !matches!(allow.from, End::Class(_))
                && matches!(&allow.to, End::Class(name) if Some(name.as_str()) == to);
            (outward || inward)
                && self.is(&allow.from, client)
                && self.is(&allow.to, server)
                && Self::serves(&allow.service, transport, port)
        });
        allowed || from.is_none() && to.is_none() && !self.0.strict
    }
}

/// Whether a host is managed, by the plainest reading.
fn is_managed(compiled: &Compiled, ip: IpAddr, strict: bool) -> bool {
    let group = ip.is_multicast() || ip == IpAddr::from([255; 4]);
    let known = compiled.device_at(ip).and_then(|id| compiled.device(id));
    let told = compiled.explain(&Ask::conversation(
        Who::Host(Host::from_ip(ip)),
        Who::Host(Host::from_ip(ip)),
        Transport::Tcp,
        1,
    ));
    let zoned = told
        .client
        .memberships
        .iter()
        .any(|member| compiled.policy().zones.iter().any(|zone| *zone.name == *member.name));
    let elsewhere = told.client.what.ends_with("Internet");
    !group && (strict || !elsewhere && (zoned || known.is_some()))
}

fn differences(compiled: &Compiled, options: &Options) -> Vec<String> {
    let lowered = lower(compiled, options).unwrap();
    lowered.ruleset.validate().unwrap();
    let reading = Reading(&lowered.ruleset);
    let mut differences = Vec::new();
    for client in PLACES.iter().map(|text| text.parse::<IpAddr>().unwrap()) {
        if client.is_multicast() || client == IpAddr::from([255; 4]) {
            continue;
        }
        for server in PLACES.iter().map(|text| text.parse::<IpAddr>().unwrap()) {
            if server.is_ipv4() != client.is_ipv4() || server == client {
                continue;
            }
            let left_alone = ![client, server].into_iter().any(|ip| is_managed(compiled, ip, options.strict));
            for (transport, port) in SERVICES {
                let who = |ip: IpAddr| Who::Host(Host::from_ip(ip));
                let decision = compiled.decide(&Ask::conversation(who(client), who(server), transport, port));
                let means = left_alone || decision.verdict == Verdict::Allow;
                let ask = Ask::conversation(who(client), who(server), transport, port);
                assert_eq!(would_cut(compiled, options, &ask), !means, "{ask}");
                if reading.passes(client, server, transport, port) != means {
                    differences
                        .push(format!("{client} -> {server} {transport:?}/{port}: the policy says {means}"));
                }
            }
        }
    }
    differences
}

const PLACES: [&str; 20] = [
    "10.0.1.1",
    "10.0.1.2",
    "10.0.1.3",
    "10.0.1.200",
    "10.0.2.1",
    "10.0.2.9",
    "10.0.3.1",
    "10.0.3.7",
    "192.0.2.77",
    "203.0.113.5",
    "203.0.113.6",
    "8.8.8.8",
    "224.0.0.5",
    "255.255.255.255",
    "fd00::1",
    "fd00::9",
    "2001:db8::1",
    "2001:db8::2",
    "::ffff:0:1:2",
    "ff02::5",
];

const SERVICES: [(Transport, u16); 12] = [
    (Transport::Tcp, 1),
    (Transport::Tcp, 502),
    (Transport::Tcp, 503),
    (Transport::Tcp, 65_535),
    (Transport::Udp, 53),
    (Transport::Udp, 502),
    (Transport::Sctp, 9),
    (Transport::Icmp, 0),
    (Transport::Icmpv6, 0),
    (Transport::Ip(47), 0),
    (Transport::Ip(0), 0),
    (Transport::Ip(255), 0),
];

fn small_devices() -> impl Strategy<Value = Vec<Device>> {
    let pool = vec![
        "10.0.1.1",
        "10.0.1.2",
        "10.0.1.3",
        "10.0.2.1",
        "10.0.3.1",
        "192.0.2.77",
        "fd00::1",
        "2001:db8::1",
    ];
    let one = (
        prop::sample::select(&["plc", "hmi", "camera"][..]),
        prop::bool::weighted(0.15),
        prop::sample::subsequence(pool, 0..3),
    );
    prop::collection::vec(one, 0..6).prop_map(|all| {
        (1..)
            .zip(all)
            .map(|(number, (role, external, addresses))| {
                let locality = if external { Locality::External } else { Locality::OnLink };
                device(number, role, locality, &addresses)
            })
            .collect()
    })
}

fn small_policy() -> impl Strategy<Value = String> {
    const FROM: [&str; 12] = [
        "a",
        "b",
        "c",
        "g",
        "role:plc",
        "role:hmi",
        "anyone",
        "internet",
        "local",
        "10.0.0.0/16",
        "10.0.1.2",
        "d000000000001",
    ];
    const MORE: [&str; 6] = [
        "multicast",
        "broadcast",
        "\"time.example.com\"",
        "\"*.example.org\"",
        "2001:db8::/64",
        "10.0.2.0/25",
    ];
    const BY: [&str; 10] = [
        "any",
        "modbus",
        "tcp/500-600",
        "udp",
        "dns",
        "icmp",
        "ip-47",
        "tcp",
        "websocket",
        "tcp/1-502, udp/53",
    ];
    let to: Vec<&'static str> = FROM.into_iter().chain(MORE).collect();
    let who = |list: Vec<&'static str>| {
        prop::collection::vec(prop::sample::select(list), 1..3).prop_map(|list| list.join(", "))
    };
    let by = || prop::sample::select(&BY[..]);
    let rule = (prop::bool::weighted(0.3), who(FROM.to_vec()), who(to), by(), prop::bool::weighted(0.15))
        .prop_map(|(deny, from, to, by, read)| {
            let (verdict, read) = (if deny { "deny" } else { "allow" }, if read { " read" } else { "" });
            format!("{verdict} {from} -> {to} {by}{read}\n")
        });
    let conduit = (0..3usize, 0..3usize, by());
    (prop::collection::vec(rule, 0..8), prop::collection::vec(conduit, 0..3)).prop_map(|(rules, conduits)| {
        let mut text = "zone a { members role:camera, 10.0.2.0/24 }\nzone b { members main-role:hmi }\n\
             zone c { members 10.0.3.0/24, fd00::/64, 8.8.8.0/24 }\ngroup g = a, 10.0.1.2\n"
            .to_owned();
        for (from, to, by) in conduits.into_iter().filter(|(from, to, _)| from != to) {
            let zone = |at: usize| ["a", "b", "c"][at];
            let _ = writeln!(text, "conduit {} -> {} {{ {by} }}", zone(from), zone(to));
        }
        text + &rules.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_ruleset_allows_what_the_policy_decides(
        text in small_policy(), devices in small_devices(), strict: bool, bridged: bool, no_groups: bool
    ) {
        let compiled = compiled(&text, devices);
        let family = if bridged { Family::Bridged } else { Family::Routed };
        let options = Options { family, strict, no_groups, ..Options::default() };
        let differences = differences(&compiled, &options);
        prop_assert!(differences.is_empty(), "{text}\n{differences:#?}\n{:#?}", lower(&compiled, &options).unwrap());
    }
}

fn two_zones() -> (&'static str, Vec<Device>) {
    let text = "zone control { members role:hmi }\nzone field { members role:plc, 10.0.3.0/24 }\n\
        conduit control -> field { modbus }\n\
        allow \"operators\" control -> field modbus read\n\
        allow control -> \"time.example.com\", \"*.example.org\" udp/123\n\
        deny control -> field modbus write holding-registers 0-99\n\
        allow field -> multicast udp/5000";
    let device = |number, role, ip: &str| device(number, role, Locality::OnLink, &[ip]);
    (text, vec![device(1, "hmi", "10.0.1.1"), device(2, "plc", "10.0.3.1"), device(3, "camera", "10.0.1.9")])
}

#[test]
fn devices_and_zones_become_classes_and_rules_keep_their_names() {
    let (text, devices) = two_zones();
    let lowered = lower(&compiled(text, devices), &Options::default()).unwrap();
    let members = |class: &Class| class.members.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let classes: Vec<(String, String)> = lowered
        .ruleset
        .classes
        .iter()
        .map(|class| (class.name.split(" #").next().unwrap().to_owned(), members(class)))
        .collect();
    for expected in [("control", "10.0.1.1"), ("field", "10.0.3.0/24"), ("10.0.1.9", "10.0.1.9")] {
        assert!(classes.contains(&(expected.0.into(), expected.1.into())), "{expected:?} in {classes:?}");
    }
    assert_eq!(classes.len(), 3);
    let of = |name: &str| {
        lowered.ruleset.allows.iter().filter(|allow| allow.name.starts_with(name)).collect::<Vec<_>>()
    };
    let operators = of("operators");
    assert_eq!(operators.len(), 1);
    assert_eq!(operators[0].service, Service::Tcp(vec![Ports::one(502)]));
    let time = of("allow control ->");
    let to: Vec<String> = time.iter().map(|allow| allow.to.to_string()).collect();
    assert_eq!(to, ["10.0.2.9, 203.0.113.5, 203.0.113.6", "time.example.com"]);
}

#[test]
fn what_a_firewall_cannot_tell_is_said() {
    let (text, mut devices) = two_zones();
    devices.push(device(4, "plc", Locality::OnLink, &[]));
    let compiled = compiled(text, devices);
    let lowered = lower(&compiled, &Options::default()).unwrap();
    for part in [
        "only some operations are allowed, the firewall lets whole conversations through: line 4",
        "operations that are denied cannot be told by the firewall, which cuts nothing there: line 6",
        "\"*.example.org\" stands for cannot be listed",
        "not by those of their links: line 7",
        "protocols are told by their usual ports, whatever is spoken there: lines 4, 6",
        "no network address of their own are not managed: d000000000004",
    ] {
        assert!(lowered.notes.iter().any(|note| note.contains(part)), "{part} in {:#?}", lowered.notes);
    }
    let bridged = Options { family: Family::Bridged, ..Options::default() };
    let lowered = lower(&compiled, &bridged).unwrap();
    let field = lowered.ruleset.classes.iter().find(|class| class.name.starts_with("field")).unwrap();
    assert!(field.members.contains(&"02:00:00:00:00:04".parse().unwrap()), "{field:?}");
    assert!(!lowered.notes.iter().any(|note| note.contains("not managed")));
}

#[test]
fn what_has_no_network_address_is_allowed_between_those_who_speak_it() {
    let text = "allow role:plc -> role:hmi goose\nallow role:plc -> multicast goose";
    let devices = || {
        vec![
            device(1, "plc", Locality::OnLink, &["10.0.0.1"]),
            device(2, "hmi", Locality::OnLink, &["10.0.0.2"]),
            device(3, "camera", Locality::OnLink, &["10.0.0.3"]),
        ]
    };
    let compiled = compiled(text, devices());
    let options = Options { family: Family::Bridged, ..Options::default() };
    let lowered = lower(&compiled, &options).unwrap();
    let ends: Vec<&End> = lowered.ruleset.allows.iter().map(|allow| &allow.to).collect();
    assert!(matches!(ends[..], [End::Class(_), End::Anyone, ..]), "{ends:?}");
    assert!(lowered.ruleset.allows.iter().all(|allow| allow.service == Service::Ether(0x88b8)));
    let macs = |class: &&Class| class.members.iter().any(|member| matches!(member, Address::Mac(_)));
    assert_eq!(
        lowered.ruleset.classes.iter().filter(macs).count(),
        2,
        "the camera goes by its network address"
    );
    let routed = lower(&compiled, &Options::default()).unwrap();
    assert!(routed.ruleset.allows.is_empty());
    assert!(routed.notes.iter().any(|note| note.contains("does not pass a router")));
}

#[test]
fn a_destination_of_many_classes_is_one_group_for_all_who_ask() {
    let mut text = "allow local -> local icmp\n".to_owned();
    let count = INLINE_MAX as u64 + 4;
    for number in 1..=count {
        let _ = writeln!(text, "allow d{number:012x} -> 10.9.0.0/16 tcp/{number}");
    }
    let devices =
        (1..=count).map(|number| device(number, "plc", Locality::OnLink, &[&format!("10.0.0.{number}")]));
    let compiled = compiled(&text, devices.collect());
    let lowered = lower(&compiled, &Options::default()).unwrap();
    let groups: Vec<&str> = lowered.ruleset.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(groups.iter().filter(|name| name.starts_with("local")).count(), 1, "{groups:?}");
    let each = lower(&compiled, &Options { no_groups: true, ..Options::default() }).unwrap();
    assert!(each.ruleset.groups.is_empty());
    assert!(each.ruleset.allows.len() > lowered.ruleset.allows.len());
}

#[test]
fn names_fit_and_differ() {
    assert_eq!(fitting("a\"b\\c\nd", 99), "a'b'cd");
    assert_eq!(fitting("äää", 5), "ää");
    let long = "x".repeat(500);
    assert!(tagged(&long, "1").len() <= NAME_BYTES_MAX);
    assert_ne!(tagged(&long, "1"), tagged(&long, "2"));
}

#[test]
fn the_guarded_are_those_of_the_policy() {
    let compiled = compiled(
        "guard role:plc",
        vec![
            device(1, "plc", Locality::OnLink, &["10.0.0.1", "fd00::1"]),
            device(2, "hmi", Locality::OnLink, &["10.0.0.2"]),
        ],
    );
    assert_eq!(guarded(&compiled), ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]);
}

/// Puts a policy in force, lets devices change, and checks each time that what is in force is what all of it would be.
/// Tells how often a part was enough, and was taken.
fn followed(
    text: &str,
    devices: Vec<Device>,
    changes: Vec<(bool, Device)>,
    family: Family,
    strict: bool,
) -> usize {
    let mut compiled = compiled(text, devices);
    let options = Options { family, strict, ..Options::default() };
    let mut live = Live::new(&compiled, options.clone());
    let mut keeper = Keeper::new(MemoryFirewall::new(), family, OnDrift::HandOver).unwrap();
    keeper.apply(&live.lowered(&compiled).unwrap().ruleset).unwrap();
    let mut parts = 0;
    for (gone, device) in changes {
        let touched = if gone { compiled.remove(device.id) } else { compiled.update(device) };
        let mut other = live.clone();
        let change = live.follow(&compiled, &touched, &mut keeper).unwrap();
        let part = matches!(other.update(&compiled, &touched).unwrap(), Changed::Part(_));
        parts += usize::from(part && change.is_some());
        let whole = live.lowered(&compiled).unwrap().ruleset;
        let left = keeper.dry_run(&whole).unwrap();
        assert_eq!(
            (left.whole, left.added, left.removed, left.rules),
            (false, 0, 0, 0),
            "{left:?} is left\n{text}\n{whole:#?}"
        );
    }
    // It is also what a ruleset written for the first time allows, whatever its classes are called.
    let [whole, fresh] =
        [live.lowered(&compiled), lower(&compiled, &options)].map(|lowered| lowered.unwrap().ruleset);
    for client in PLACES.iter().map(|text| text.parse::<IpAddr>().unwrap()) {
        for server in PLACES.iter().map(|text| text.parse::<IpAddr>().unwrap()) {
            for (transport, port) in [(Transport::Tcp, 502), (Transport::Udp, 53)] {
                let passes = |ruleset| Reading(ruleset).passes(client, server, transport, port);
                assert_eq!(
                    passes(&whole),
                    passes(&fresh),
                    "{client} -> {server} {transport:?}/{port}\n{text}"
                );
            }
        }
    }
    parts
}

#[test]
fn a_device_that_changes_is_a_part_where_rules_name_devices() {
    let mut text = String::new();
    for (from, to) in [(1, 2), (1, 3), (2, 3), (3, 1), (4, 1)] {
        let _ = writeln!(text, "allow d{from:012x} -> d{to:012x} tcp/{from}{to}");
    }
    text.push_str("allow role:hmi -> d000000000001 udp/7\n");
    let one = |number: u64, role, ip: &str| device(number, role, Locality::OnLink, &[ip]);
    let devices = vec![
        one(1, "plc", "10.0.1.1"),
        one(2, "plc", "10.0.1.2"),
        one(3, "hmi", "10.0.1.3"),
        one(4, "plc", "10.0.2.1"),
    ];
    let changes = vec![
        (false, one(2, "hmi", "10.0.1.2")),
        (false, one(2, "hmi", "10.0.1.200")),
        (false, one(1, "plc", "10.0.3.7")),
        (true, one(4, "plc", "10.0.2.1")),
        (false, one(4, "plc", "10.0.2.1")),
        (false, one(4, "plc", "10.0.2.1")),
    ];
    assert!(followed(&text, devices, changes, Family::Routed, false) >= 4);
}

#[test]
fn a_device_among_many_of_its_role_is_a_part() {
    let text = "allow role:hmi -> role:plc tcp/502\nallow role:plc -> role:hmi udp/7\nallow role:camera -> role:hmi tcp/443\n";
    let address = |number: u64, net: u64| format!("10.{net}.{}.{}", number / 250, number % 250 + 1);
    let one = |number: u64, role, net| device(number, role, Locality::OnLink, &[&address(number, net)]);
    let role =
        |number: u64| if number.is_multiple_of(100) { "camera" } else { ["plc", "hmi"][number as usize % 2] };
    let devices: Vec<Device> = (1..=2_300).map(|number| one(number, role(number), 0)).collect();
    let changes = vec![
        (false, one(7, "plc", 0)),
        (false, one(7, "plc", 9)),
        (false, one(8, "camera", 0)),
        (true, one(9, "hmi", 0)),
        (false, one(9, "hmi", 8)),
        (false, one(2_299, "hmi", 7)),
    ];
    for family in [Family::Routed, Family::Bridged] {
        assert_eq!(followed(text, devices.clone(), changes.clone(), family, false), changes.len());
        // Where whoever is not known is managed, too, an address that somebody leaves goes to those.
        assert!(followed(text, devices.clone(), changes.clone(), family, true) >= 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn devices_that_change_leave_what_writing_all_anew_would(
        text in small_policy(), devices in small_devices(), strict: bool, bridged: bool,
        changes in prop::collection::vec((prop::bool::weighted(0.2), small_devices()), 1..3),
    ) {
        let family = if bridged { Family::Bridged } else { Family::Routed };
        let changes = changes.into_iter().flat_map(|(gone, devices)| devices.into_iter().map(move |device| (gone, device)));
        followed(&text, devices, changes.collect(), family, strict);
    }
}
