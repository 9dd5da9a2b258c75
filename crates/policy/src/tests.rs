//! The whole of it: text, devices, questions, answers.

use std::collections::BTreeSet;

use model::{Access, Device, DeviceId, Host, Locality, MacAddr, OperationKind, Transport};
use proptest::prelude::*;

use crate::testing::{compile, decide, device, estate, host, named, protocols, tcp, vendor};
use crate::{
    Ask, Asked, Compiled, Criticality, Diff, Effect, Lowered, Place, Policy, Rule, Service, Severity, Spot,
    Term, Use, UsedOperation, Verdict, Who, Why, parse,
};

const EXAMPLE: &str = include_str!("../../../docs/example.policy");

/// A waterworks in which every part of the example is there.
fn waterworks() -> Vec<Device> {
    vec![
        named(device(1, "plc", &["10.0.1.1"]), "pump-1"),
        named(device(2, "rtu", &["10.0.1.2"]), "weir"),
        named(device(3, "hmi", &["10.0.2.1"]), "panel"),
        named(device(4, "historian", &["10.0.3.1"]), "history"),
        vendor(named(device(5, "camera", &["10.0.4.1"]), "gate-camera"), "Axis"),
        named(device(6, "dns-server", &["10.0.5.1"]), "resolver"),
        named(device(7, "safety-controller", &["10.0.1.7"]), "sis-1"),
    ]
}

fn allowed(compiled: &Compiled, ask: &Ask<'_>) -> bool {
    compiled.decide(ask).verdict == Verdict::Allow
}

#[test]
fn the_example_of_the_documentation_has_no_problem() {
    let compiled = compile(EXAMPLE, waterworks());
    let problems: Vec<String> =
        compiled.lint().iter().map(|problem| problem.show("example.policy", EXAMPLE)).collect();
    assert_eq!(problems, Vec::<String>::new());
    assert!(compiled.is_guarded(DeviceId(7)) && !compiled.is_guarded(DeviceId(1)));
    assert_eq!(compiled.memberships(DeviceId(1)), ["field"]);
    assert_eq!(compiled.policy().zones[0].criticality, Some(Criticality::Critical));
}

#[test]
fn what_is_not_allowed_is_denied_and_deny_overrides() {
    let compiled = compile(
        "zone a { members role:hmi }\nzone b { members role:plc }\nallow a -> b modbus, http\ndeny a -> 10.0.1.2 http\n",
        vec![
            device(1, "hmi", &["10.0.0.1"]),
            device(2, "plc", &["10.0.1.1"]),
            device(3, "plc", &["10.0.1.2"]),
        ],
    );
    let decision = decide(&compiled, "10.0.0.1", "10.0.1.1", 502);
    assert_eq!((decision.verdict, decision.rule, decision.why), (Verdict::Allow, Some(0), Why::Allowed));
    assert_eq!(decide(&compiled, "10.0.1.1", "10.0.0.1", 502).why, Why::NoRule, "direction is who opens");
    assert_eq!(decide(&compiled, "10.0.0.1", "10.0.1.1", 503).why, Why::NoRule);
    assert_eq!(decide(&compiled, "10.0.0.1", "10.0.1.1", 80).verdict, Verdict::Allow);
    let decision = decide(&compiled, "10.0.0.1", "10.0.1.2", 80);
    assert_eq!((decision.verdict, decision.rule, decision.why), (Verdict::Deny, Some(1), Why::Denied));
    assert_eq!(decide(&compiled, "10.0.0.9", "10.0.1.1", 502).why, Why::NoRule, "an unknown host");
    let other = compiled.decide(&tcp("10.0.0.1", "10.0.1.1", 502, Some("ssh")));
    assert_eq!((other.rule, other.why), (Some(0), Why::Protocol));
    assert!(allowed(&compiled, &tcp("10.0.0.1", "10.0.1.1", 502, Some("modbus"))));
    assert!(
        !allowed(&compiled, &tcp("10.0.0.1", "10.0.1.1", 503, Some("modbus"))),
        "only where it usually is"
    );
    // Denied by what it says, wherever it is.
    assert_eq!(compiled.decide(&tcp("10.0.0.1", "10.0.1.2", 502, Some("http"))).why, Why::Denied);
}

#[test]
fn order_never_matters() {
    let mut policy = parse(EXAMPLE).unwrap();
    let compiled = compile(EXAMPLE, waterworks());
    policy.rules.reverse();
    policy.zones.reverse();
    policy.groups.reverse();
    policy.conduits.reverse();
    let reversed = Compiled::new(policy, &protocols(), estate(waterworks())).unwrap();
    for client in 1..8 {
        for server in 1..8 {
            for port in [22, 80, 102, 502, 4840, 5432] {
                let ask = Ask::conversation(
                    Who::Device(DeviceId(client)),
                    Who::Device(DeviceId(server)),
                    Transport::Tcp,
                    port,
                );
                assert_eq!(allowed(&compiled, &ask), allowed(&reversed, &ask), "{ask}");
            }
        }
    }
}

#[test]
fn operations_are_judged_one_by_one() {
    let compiled = compile(EXAMPLE, waterworks());
    let ask = |kind, target| Ask {
        operation: Some(Asked { kind, target }),
        ..tcp("10.0.2.1", "10.0.1.1", 502, Some("modbus"))
    };
    let conversation = compiled.decide(&tcp("10.0.2.1", "10.0.1.1", 502, Some("modbus")));
    assert_eq!((conversation.verdict, conversation.why), (Verdict::Allow, Why::SomeOperations));
    for (kind, target, may) in [
        (OperationKind::Read, Some("coils 5 unit 1"), true),
        (OperationKind::Read, None, true),
        (OperationKind::Write, Some("holding-registers 100-101 unit 1"), true),
        (OperationKind::Write, Some("holding-registers 99-101 unit 1"), false),
        (OperationKind::Write, None, false),
        (OperationKind::Restart, None, false),
    ] {
        assert_eq!(allowed(&compiled, &ask(kind, target)), may, "{kind:?} {target:?}");
    }
    let decision = compiled.decide(&ask(OperationKind::ProgramDownload, None));
    assert_eq!(decision.why, Why::Denied, "for everybody, in the rule that says so");
    assert!(compiled.explain(&ask(OperationKind::Restart, None)).sentence.contains("but not this operation"));
}

#[test]
fn a_deny_of_some_operations_leaves_the_conversation() {
    let compiled = compile(
        "allow local -> local mqtt\ndeny local -> local mqtt publish secret/#",
        vec![device(1, "hub", &["10.0.0.1"]), device(2, "broker", &["10.0.0.2"])],
    );
    let ask = |kind, target| Ask {
        operation: Some(Asked { kind, target: Some(target) }),
        ..tcp("10.0.0.1", "10.0.0.2", 1883, Some("mqtt"))
    };
    assert!(allowed(&compiled, &tcp("10.0.0.1", "10.0.0.2", 1883, None)));
    assert!(allowed(&compiled, &ask(OperationKind::Publish, "open/1")));
    assert!(!allowed(&compiled, &ask(OperationKind::Publish, "secret/1")));
    assert!(allowed(&compiled, &ask(OperationKind::Subscribe, "secret/1")));
}

#[test]
fn conduits_bound_what_rules_allow() {
    let text = "zone a { members role:hmi }\nzone b { members role:plc }\nconduit a -> b { modbus }\nallow anyone -> anyone any";
    let devices = vec![
        device(1, "hmi", &["10.0.0.1"]),
        device(2, "plc", &["10.0.1.1"]),
        device(3, "server", &["10.0.2.1"]),
    ];
    let compiled = compile(text, devices);
    assert_eq!(decide(&compiled, "10.0.0.1", "10.0.1.1", 502).verdict, Verdict::Allow);
    assert_eq!(decide(&compiled, "10.0.0.1", "10.0.1.1", 80).why, Why::Conduit(0));
    assert_eq!(
        decide(&compiled, "10.0.1.1", "10.0.0.1", 80).verdict,
        Verdict::Allow,
        "no conduit is declared this way"
    );
    assert_eq!(decide(&compiled, "10.0.2.1", "10.0.1.1", 80).verdict, Verdict::Allow, "it is in no zone");
    let explained = compiled.explain(&tcp("10.0.0.1", "10.0.1.1", 80, None));
    assert!(
        !explained.conduits[0].fits
            && explained.sentence.contains("the conduit a -> b in line 3 has no place for it")
    );
}

#[test]
fn access_follows_trust() {
    let cameras = [device(1, "camera", &["10.0.0.1"]), device(2, "camera", &["10.0.0.2"])];
    let mut compiled = compile(
        "group suspects = trust:quarantine\n\
         group careful = trust:limited or trust:quarantine\n\
         allow role:camera -> 10.0.9.9 tcp/80\nallow role:camera -> 10.0.9.9 tcp/554\n\
         deny suspects -> anyone\ndeny careful -> anyone tcp/80",
        cameras.to_vec(),
    );
    for (access, may) in [
        (Access::Full, [true, true]),
        (Access::Limited, [false, true]),
        (Access::Quarantine, [false, false]),
        (Access::Full, [true, true]),
    ] {
        let [changed, other] = cameras.clone();
        compiled.update(Device { access, ..changed });
        let of = |ip| [80, 554].map(|port| decide(&compiled, ip, "10.0.9.9", port).verdict == Verdict::Allow);
        assert_eq!(of("10.0.0.1"), may, "{access}");
        assert_eq!(of(&other.addresses[0].ip.to_string()), [true, true]);
    }
}

#[test]
fn addresses_names_and_groups_of_hosts_are_who_they_are() {
    let mut elsewhere = device(9, "server", &["198.51.100.9"]);
    elsewhere.locality = Locality::External;
    let compiled = compile(
        "zone plant { members 192.0.2.0/24 }\n\
         allow internet -> 10.0.0.1 tcp/1\nallow local -> 10.0.0.1 tcp/2\nallow local -> \"time.example.com\" tcp/3\n\
         allow local -> \"*.example.org\" tcp/4\nallow local -> multicast udp/5\nallow local -> broadcast udp/6\nallow anyone -> anyone tcp/7\n\
         allow 02:00:00:00:00:99 -> 02:00:00:00:00:01 goose\nallow d000000000001 -> role:server tcp/8",
        vec![device(1, "plc", &["10.0.0.1", "fd00::1"]), elsewhere],
    );
    let may =
        |client: &str, server: &str, port| decide(&compiled, client, server, port).verdict == Verdict::Allow;
    assert!(
        may("8.8.8.8", "10.0.0.1", 1) && may("2001:db9::1", "fd00::1", 1) && !may("10.9.9.9", "10.0.0.1", 1)
    );
    assert!(may("198.51.100.9", "10.0.0.1", 1), "a known host of the Internet");
    assert!(
        may("10.9.9.9", "10.0.0.1", 2) && may("fe80::7", "10.0.0.1", 2) && !may("8.8.8.8", "10.0.0.1", 2)
    );
    assert!(may("192.0.2.7", "10.0.0.1", 2), "a network of a zone is the organisation's");
    assert!(may("10.0.0.1", "203.0.113.5", 3) && !may("10.0.0.1", "203.0.113.6", 3));
    assert!(may("10.0.0.1", "203.0.113.7", 4) && !may("10.0.0.1", "203.0.113.5", 4));
    assert!(may("10.0.0.1", "198.51.100.9", 8) && !may("10.0.0.2", "198.51.100.9", 8));
    assert!(
        may("8.8.8.8", "9.9.9.9", 7)
            && !may("10.0.0.1", "224.0.0.5", 7)
            && !may("10.0.0.1", "255.255.255.255", 7)
    );
    let named = |name| Ask::conversation(host("10.0.0.1"), Who::Name(name), Transport::Tcp, 4);
    assert!(allowed(&compiled, &named("new.example.org")) && !allowed(&compiled, &named("example.org")));
    let resolved = Ask { server_name: Some("Other.Example.Org."), ..tcp("10.0.0.1", "8.8.8.8", 4, None) };
    assert!(allowed(&compiled, &resolved) && !may("10.0.0.1", "8.8.8.8", 4));
    let udp = |server, mac: Option<MacAddr>, port| {
        let Who::Host(mut server) = host(server) else { unreachable!() };
        server.mac = mac;
        allowed(&compiled, &Ask::conversation(host("10.0.0.1"), Who::Host(server), Transport::Udp, port))
    };
    assert!(udp("224.0.0.251", None, 5) && udp("ff02::fb", None, 5) && !udp("10.0.0.255", None, 6));
    assert!(udp("255.255.255.255", None, 6) && udp("10.0.0.255", Some(MacAddr::BROADCAST), 6));
    let link = |last| Who::Host(Host::from_mac(MacAddr([2, 0, 0, 0, 0, last])));
    let goose =
        |from, to| allowed(&compiled, &Ask::conversation(link(from), link(to), Transport::Ether(0x88b8), 0));
    assert!(goose(0x99, 1) && !goose(0x98, 1) && !goose(0x99, 2));
}

#[test]
fn services_mean_their_ports_and_definitions_their_services() {
    let text = "service base = tcp/1000-1002, icmp\nservice all = base, modbus, web\nservice web = http\nallow anyone -> anyone all";
    let compiled = compile(text, vec![]);
    for (port, may) in [(999, false), (1000, true), (1002, true), (1003, false), (502, true), (8080, true)] {
        assert_eq!(decide(&compiled, "10.0.0.1", "10.0.0.2", port).verdict == Verdict::Allow, may, "{port}");
    }
    for transport in [Transport::Icmp, Transport::Icmpv6, Transport::Ip(58)] {
        assert!(allowed(&compiled, &Ask::conversation(host("10.0.0.1"), host("10.0.0.2"), transport, 0)));
    }
    // A protocol without a port of its own is told by what it says.
    let compiled = compile("allow anyone -> anyone websocket", vec![]);
    assert!(allowed(&compiled, &tcp("10.0.0.1", "10.0.0.2", 9000, Some("websocket"))));
    assert!(!allowed(&compiled, &tcp("10.0.0.1", "10.0.0.2", 9000, None)));
    assert!(compiled.lint()[0].what.contains("no usual port is known for websocket"));
}

#[test]
fn what_means_nothing_is_refused_with_its_line_and_what_was_meant() {
    let refused = |text: &str| {
        let problems = Compiled::new(parse(text).unwrap(), &protocols(), estate(vec![])).unwrap_err();
        problems
            .iter()
            .map(|problem| format!("{} {} {}", problem.place.line, problem.what, problem.help))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        refused("group cameras = role:camera\nallow camras -> any-thing modbuss"),
        [
            "2 no zone or group is called `camras` did you mean `cameras`?",
            "2 no zone or group is called `any-thing` define it, or quote it if it is a DNS name",
            "2 no service or protocol is called `modbuss` did you mean `modbus`?",
        ]
    );
    assert!(
        refused("group a = b\ngroup b = c, a\ngroup c = role:plc")[0].contains("holds itself: a -> b -> a")
    );
    assert!(refused("service a = b\nservice b = a")[0].contains("leads back to itself"));
    assert!(refused("group a = role:plc\nzone a { members role:hmi }")[0].contains("`a` is defined twice"));
    assert!(refused("group a = role:plc\nconduit a -> a { any }")[0].contains("no zone is called `a`"));
    assert!(refused("service a = any\nservice a = any")[0].contains("defined twice"));
    let deep: String = (0..=crate::MAX_GROUPS).map(|at| format!("group g{at} = g{}\n", at + 1)).collect();
    assert!(
        refused(&format!("{deep}group g{} = role:plc", crate::MAX_GROUPS + 1))
            .iter()
            .any(|problem| problem.contains("more than 64 deep"))
    );
    let deep: String =
        (0..=crate::MAX_DEFINITIONS).map(|at| format!("service g{at} = g{}\n", at + 1)).collect();
    assert!(!refused(&format!("{deep}service g{} = any", crate::MAX_DEFINITIONS + 1)).is_empty());
}

/// Lines, severities and beginnings of problems.
fn problems(text: &str, devices: Vec<Device>) -> Vec<(u32, Severity, String)> {
    let found = compile(text, devices).lint();
    found.into_iter().map(|problem| (problem.place.line, problem.severity, problem.what)).collect()
}

#[test]
fn questionable_policies_are_told_of() {
    let devices = || {
        vec![
            device(1, "hmi", &["10.0.0.1"]),
            device(2, "plc", &["10.0.1.1"]),
            device(3, "server", &["10.0.2.1"]),
        ]
    };
    let zones = "zone a { level 2 members role:hmi }\nzone b { level 1 members role:plc }\nzone c { level 4 members role:server }\n";
    let (error, warning) = (Severity::Error, Severity::Warning);
    for (text, line, severity, what) in [
        ("group g = role:camera", 4, warning, "nobody is in the group `g`"),
        ("zone d { members 10.0.0.0/24 }", 4, error, "d000000000001 is in the zones `a` and `d`"),
        (
            "conduit a -> b { modbus }\nallow a -> b modbus\nallow b -> a modbus",
            6,
            warning,
            "the rule crosses between zones without a conduit: b -> a",
        ),
        (
            "conduit a -> b { modbus }\nallow a -> b modbus, http",
            5,
            warning,
            "the rule allows more than the conduit has a place for: a -> b",
        ),
        (
            "conduit a -> b { modbus }\nallow a -> b http",
            5,
            error,
            "the conduit has no place for what the rule allows: a -> b",
        ),
        (
            "conduit c -> b { modbus }\nallow c -> b modbus",
            5,
            warning,
            "the rule skips a level of the Purdue model: c (4) -> b (1)",
        ),
        (
            "allow internet -> a tls",
            4,
            warning,
            "the rule skips a level of the Purdue model: internet (5) -> a (2)",
        ),
        (
            "allow a -> a modbus\nallow a -> a modbus read",
            5,
            warning,
            "the rule adds nothing: line 4 allows all of it",
        ),
        (
            "allow 10.0.0.1 -> 10.0.0.5 tcp/5\nallow anyone -> 10.0.0.0/24 tcp",
            4,
            warning,
            "the rule adds nothing: line 5 allows all of it",
        ),
        ("allow a -> a modbus\nallow a -> a modbus", 5, warning, "the rule adds nothing: line 4"),
        (
            "allow a -> a modbus write coils 5\nallow a -> a modbus write coils 1-10",
            4,
            warning,
            "the rule adds nothing: line 5",
        ),
        (
            "allow a -> a modbus\ndeny local, a -> a",
            4,
            error,
            "the rule never allows anything: all of it is denied in line 5",
        ),
        (
            "allow b -> a tcp/7\nnever b reach a",
            5,
            error,
            "`never b reach a` does not hold: d000000000002 -> d000000000001 (tcp/7)",
        ),
        (
            "expect allow a -> b modbus",
            4,
            error,
            "expected allow, but d000000000001 -> d000000000002: tcp/502 is denied",
        ),
    ] {
        let text = format!("{zones}{text}");
        let found = problems(&text, devices());
        assert!(
            found.iter().any(|(at, how, said)| *at == line && *how == severity && said.starts_with(what)),
            "{text}\n{found:#?}"
        );
    }
    // And what is fine is not told of.
    let fine = format!(
        "{zones}conduit a -> b {{ modbus }}\nallow a -> b modbus\nallow b -> b any\ndeny a -> b http"
    );
    assert_eq!(problems(&fine, devices()), []);
}

#[test]
fn a_policy_with_an_error_is_refused_and_one_with_a_warning_is_not() {
    let checked = |text: &str| Compiled::checked(parse(text).unwrap(), &protocols(), estate(waterworks()));
    let (_, warnings) = checked("group g = role:nobody\nallow role:hmi -> role:plc modbus").unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        checked("allow role:hmi -> role:plc modbus\nnever role:hmi reach role:plc").unwrap_err().len(),
        1
    );
    assert_eq!(checked("allow nobody -> role:plc modbus").unwrap_err().len(), 1);
}

#[test]
fn expectations_are_held_against_the_rules() {
    let devices = || {
        vec![
            device(1, "hmi", &["10.0.0.1"]),
            device(2, "plc", &["10.0.1.1"]),
            device(3, "plc", &["10.0.1.2"]),
        ]
    };
    let rules = "group h = role:hmi\ngroup p = role:plc\nallow h -> p modbus read, write coils 1-10\nallow h -> d000000000002 tcp/80-90\ndeny h -> p tcp/85\nallow anyone -> anyone icmp\n";
    let unmet = |line: &str| {
        problems(&format!("{rules}{line}"), devices())
            .into_iter()
            .find(|(at, ..)| *at == 7)
            .map(|(_, _, what)| what)
    };
    for met in [
        "expect allow h -> p modbus",
        "expect allow h -> p modbus read",
        "expect allow h -> p modbus write \"coils 3-4\"",
        "expect deny h -> p modbus write \"coils 11\"",
        "expect deny h -> p modbus restart",
        "expect deny p -> h tcp",
        "expect deny h -> p tcp/85",
        "expect allow h -> d000000000002 tcp/86-90",
        "expect deny internet -> p tcp, udp",
        "expect allow internet -> p icmp",
        "expect deny role:camera -> p modbus",
    ] {
        assert_eq!(unmet(met), None, "{met}");
    }
    for (line, what) in [
        (
            "expect allow h -> p tcp/80-90",
            "expected allow, but d000000000001 -> d000000000002: tcp/85 is denied",
        ),
        (
            "expect allow h -> d000000000003 tcp/80",
            "expected allow, but d000000000001 -> d000000000003: tcp/80 is denied",
        ),
        (
            "expect deny h -> p modbus",
            "expected deny, but d000000000001 -> d000000000002: tcp/502 is allowed",
        ),
        (
            "expect deny h -> p any read",
            "expected deny, but d000000000001 -> d000000000002: read is allowed by the rule in line 4",
        ),
        (
            "expect allow h -> p modbus write \"coils 9-11\"",
            "expected allow, but d000000000001 -> d000000000002: write coils 9-11 is denied: the rule in line 3 allows",
        ),
        ("expect deny p -> h", "expected deny, but d000000000002 -> d000000000001: icmp, icmpv6 is allowed"),
        ("expect allow role:camera -> p modbus", "expected allow, but nobody is there"),
    ] {
        let found = unmet(line).unwrap_or_else(|| panic!("{line} is met"));
        assert!(found.starts_with(what), "{line}: {found}");
    }
}

#[test]
fn answers_are_explained() {
    let compiled = compile(EXAMPLE, waterworks());
    let explained = compiled.explain(&tcp("10.0.4.1", "10.0.1.1", 502, Some("modbus")));
    assert_eq!(explained.client.device, Some(DeviceId(5)));
    assert_eq!(explained.client.memberships[0].name, "cameras");
    assert_eq!(explained.client.memberships[0].because, ["(role:camera and vendor:axis)"]);
    assert_eq!(explained.rules[0].effect, Effect::Denies);
    let text = explained.to_string();
    let expected = "10.0.4.1 -> 10.0.1.1 modbus on tcp/502\nno: denied by the rule in line 28\n  10.0.4.1 is a known device, d000000000005\n    in cameras by (role:camera and vendor:axis)\n  10.0.1.1 is a known device, d000000000001\n    in field by (role:plc or role:rtu)\n";
    assert!(text.starts_with(expected), "{text}");
    let unknown = compiled.explain(&tcp("8.8.8.8", "10.0.1.1", 502, None));
    assert_eq!((unknown.client.what, unknown.decision.why), ("elsewhere in the Internet", Why::NoRule));
}

#[test]
fn entries_for_firewalls_name_addresses_and_ports() {
    let compiled = compile(
        "zone a { members role:hmi }\nzone b { members 10.0.1.0/24 }\nconduit a -> b { modbus }\nallow a -> b modbus read\ndeny internet -> b\nallow local -> \"time.example.com\" ntp\ndeny a -> a any restart",
        vec![device(1, "hmi", &["10.0.0.1"]), device(2, "plc", &["10.0.1.1", "10.9.9.9"])],
    );
    let view = compiled.view();
    let all: Vec<_> = compiled.network_entries().collect();
    let does: Vec<Lowered> = all.iter().map(|entry| entry.does).collect();
    assert_eq!(does, [Lowered::Deny, Lowered::Bound, Lowered::Allow, Lowered::Allow]);
    assert!(view.members_of(all[0].source).internet && all[0].ports.is_open());
    assert!(all[2].operations && all[2].ports.to_string() == "tcp/502");
    let field = view.members_of(all[2].destination);
    assert_eq!(field.networks, ["10.0.1.0/24".parse().unwrap()]);
    assert_eq!(field.addresses, ["10.0.1.1", "10.9.9.9"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap()));
    assert_eq!(
        view.members_of(all[3].destination).addresses,
        ["203.0.113.5".parse::<std::net::IpAddr>().unwrap()]
    );
    assert!(view.members_of(all[3].source).local && view.members_of(all[3].source).devices.is_empty());
}

fn used(client: &str, server: &str, port: u16, protocol: Option<&'static str>) -> Use {
    let host = |ip: &str| Host::from_ip(ip.parse().unwrap());
    Use {
        client: host(client),
        server: host(server),
        name: None,
        transport: Transport::Tcp,
        port,
        protocol: protocol.map(Into::into),
        operations: vec![],
        first: model::Timestamp::EPOCH,
        last: model::Timestamp::EPOCH,
        count: 10,
        answered: true,
        bytes: 1_000,
    }
}

#[test]
fn what_was_seen_is_replayed() {
    let compiled = compile(EXAMPLE, waterworks());
    let operation = |kind, target: &str, count| UsedOperation { kind, target: Some(target.into()), count };
    let mut panel = used("10.0.2.1", "10.0.1.1", 502, Some("modbus"));
    panel.operations = vec![
        operation(OperationKind::Read, "coils 1-5 unit 1", 900),
        operation(OperationKind::Write, "holding-registers 100 unit 1", 5),
        operation(OperationKind::Write, "holding-registers 7 unit 1", 3),
    ];
    let uses = [
        panel,
        used("10.0.4.1", "10.0.1.1", 80, Some("http")),
        used("203.0.113.99", "10.0.1.1", 502, None),
        used("10.0.9.9", "10.0.5.1", 53, None),
    ];
    let proof = compiled.prove(&uses);
    let cuts: Vec<_> = proof.cuts.iter().map(|cut| (cut.used, cut.operation, cut.decision.why)).collect();
    assert_eq!(cuts, [(0, Some(2), Why::Operation), (1, None, Why::Denied), (2, None, Why::NoRule)]);
    assert_eq!(
        (proof.all.kept.uses, proof.all.cut.uses, proof.all.cut.conversations, proof.all.cut.operations),
        (2, 2, 20, 3)
    );
    assert_eq!(proof.by_device[&DeviceId(5)].cut.bytes, 1_000);
    assert_eq!(proof.by_role.keys().collect::<Vec<_>>(), ["camera", "hmi", "internet", "unknown"]);
    let shown = proof.show(&compiled, &uses);
    assert!(shown.contains("10.0.2.1 -> 10.0.1.1 modbus on tcp/502 write holding-registers 7 unit 1, 3 times: denied: the rule in line 20"), "{shown}");
    assert!(compiled.prove(&uses[3..]).is_clean());
}

#[test]
fn what_changes_is_told_by_zone_and_as_ways() {
    let before = "zone a { members role:hmi }\nzone b { members role:plc }\ngroup c = role:camera\nallow a -> b modbus\nallow c -> a http\n";
    let devices = || {
        vec![
            device(1, "hmi", &["10.0.0.1"]),
            device(2, "plc", &["10.0.1.1"]),
            device(3, "camera", &["10.0.2.1"]),
        ]
    };
    let old = compile(before, devices());
    let same = compile(&before.replace("role:hmi", "(role:hmi or role:nothing)"), devices());
    assert!(Diff::new(&old, &old).is_empty() && Diff::new(&old, &same).is_empty());
    let new = compile(
        &before
            .replace("allow a -> b modbus", "allow a -> b modbus, ssh")
            .replace("allow c -> a http", "allow b -> c rtsp"),
        devices(),
    );
    let diff = Diff::new(&old, &new);
    let text = diff.to_string();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "+ allow a -> b modbus, ssh",
            "+ allow b -> c rtsp",
            "- allow a -> b modbus",
            "- allow c -> a http",
            "now allowed: a -> b tcp/22 (such as d000000000001 -> d000000000002)",
            "now allowed: b -> c tcp/554 (such as d000000000002 -> d000000000003)",
            "now denied: c -> a tcp/80, tcp/8080 (such as d000000000003 -> d000000000001)",
            "now reachable: c from a: d000000000001 -> d000000000002 (tcp/22, tcp/502) -> d000000000003 (tcp/554)",
            "now reachable: c from b: d000000000002 -> d000000000003 (tcp/554)",
            "no longer reachable: a from c",
            "no longer reachable: b from c",
        ],
        "{text}"
    );
}

#[test]
fn names_and_time_go_on_without_compiling_anew() {
    let mut compiled = compile(
        "allow anyone -> \"a.example.com\", \"*.example.net\" tcp/1\ngroup quiet = seen>1h\nallow quiet -> quiet tcp/2",
        vec![device(1, "plc", &["10.0.0.1"]), device(2, "plc", &["10.0.0.2"])],
    );
    let ip = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    let may =
        |compiled: &Compiled, server: &str| decide(compiled, "10.0.0.2", server, 1).verdict == Verdict::Allow;
    assert!(!may(&compiled, "8.8.8.8"));
    compiled.resolve("A.Example.com.", &[ip("8.8.8.8"), ip("::ffff:10.0.0.1")]);
    compiled.resolve("x.example.net", &[ip("8.8.8.8"), ip("9.9.9.9")]);
    assert!(may(&compiled, "8.8.8.8") && may(&compiled, "9.9.9.9") && may(&compiled, "10.0.0.1"));
    compiled.resolve("a.example.com", &[]);
    assert!(may(&compiled, "8.8.8.8") && !may(&compiled, "10.0.0.1"), "it has another name still");
    compiled.resolve("x.example.net", &[ip("9.9.9.9")]);
    assert!(!may(&compiled, "8.8.8.8") && may(&compiled, "9.9.9.9"));
    let quiet = |compiled: &Compiled| decide(compiled, "10.0.0.1", "10.0.0.2", 2).verdict == Verdict::Allow;
    assert!(quiet(&compiled));
    compiled.advance(model::Timestamp::from_secs(60));
    assert!(!quiet(&compiled));
}

#[test]
fn limits_hold() {
    let many = |count: usize| -> String {
        (0..count).map(|at| format!("group g{at} = role:nobody and name:x{at}\n")).collect()
    };
    assert_eq!(compile(&many(crate::MAX_TOLD + 1), vec![]).lint().len(), crate::MAX_TOLD);
    // A thousand devices of which each is another case.
    let own: String =
        (1..=1_001).map(|at| format!("allow {} -> internet tcp/{at}\n", DeviceId(at))).collect();
    let devices = || (1..=1_001).map(|at| device(at, "plc", &[])).collect::<Vec<_>>();
    let compiled = compile(&format!("{own}expect deny local -> local tcp/9"), devices());
    assert!(compiled.view().failures()[0].what.contains("more than 1000000 pairs"));
    let (before, after) =
        (compile("", waterworks()), compile("allow role:plc, role:hmi -> local tcp", waterworks()));
    assert!(Diff::within(&before, &after, 4).complete && !Diff::within(&before, &after, 1).complete);
}

// What follows is held against the plainest reading of the same policy.

const ROLES: [&str; 3] = ["plc", "hmi", "camera"];

fn small_device() -> impl Strategy<Value = Device> {
    (1_u64..9, 0..ROLES.len(), 0_u8..6, any::<bool>(), any::<bool>()).prop_map(
        |(number, role, address, second, outside)| {
            let addresses = [format!("10.0.{}.{address}", role % 2), format!("203.0.113.{address}")];
            let addresses: Vec<&str> =
                addresses.iter().map(String::as_str).take(1 + usize::from(second)).collect();
            let mut device = device(number, ROLES[role], &addresses);
            if outside {
                device.locality = Locality::External;
            }
            device
        },
    )
}

fn small_devices() -> impl Strategy<Value = Vec<Device>> {
    prop::collection::vec(small_device(), 0..8).prop_map(|devices| {
        let mut seen = BTreeSet::new();
        devices.into_iter().filter(|device| seen.insert(device.id)).collect()
    })
}

fn small_term() -> impl Strategy<Value = Term> {
    let query = |text: &str| Term::Query(query::parse(text, query::DEVICE).unwrap());
    prop::sample::select(vec![
        Term::Anyone,
        Term::Internet,
        Term::Local,
        Term::Name("a".into()),
        Term::Name("b".into()),
        Term::Name("g".into()),
        Term::Device(DeviceId(2)),
        Term::Device(DeviceId(5)),
        Term::Network("10.0.0.0/24".parse().unwrap()),
        Term::Network("10.0.1.0/30".parse().unwrap()),
        Term::Network("203.0.113.0/24".parse().unwrap()),
        query("role:plc"),
        query("role:hmi and not ip:10.0.0.0/30"),
        query("not role:camera"),
    ])
}

fn small_service() -> impl Strategy<Value = Service> {
    let tcp = |first, last| Service::Carrier { transport: Transport::Tcp, first, last };
    prop::sample::select(vec![
        Service::Any,
        Service::Named("modbus".into()),
        Service::Named("http".into()),
        tcp(80, 502),
        tcp(22, 22),
    ])
}

fn small_policy() -> impl Strategy<Value = Policy> {
    let place = Place::default();
    let terms = || prop::collection::vec(small_term(), 1..3);
    let services = || prop::collection::vec(small_service(), 1..3);
    let rule = (prop::bool::weighted(0.7), terms(), terms(), services()).prop_map(
        move |(allow, from, to, services)| {
            let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
            Rule { verdict, label: None, from, to, services, operations: vec![], place }
        },
    );
    let conduits = prop::collection::vec((any::<bool>(), services()), 0..2);
    (prop::collection::vec(rule, 0..5), conduits).prop_map(move |(rules, conduits)| {
        let mut policy = parse("zone a { members role:plc }\nzone b { members role:hmi, 203.0.113.0/31 }\ngroup g = a, role:camera").unwrap();
        policy.rules = rules;
        policy.conduits = conduits
            .into_iter()
            .map(|(forth, services)| {
                let (from, to) = if forth { ("a", "b") } else { ("b", "a") };
                crate::Conduit { from: from.into(), to: to.into(), services, place }
            })
            .collect();
        policy
    })
}

/// The plainest reading: a host is its address; every rule is looked at.
struct Plain<'a> {
    policy: &'a Policy,
    devices: &'a [Device],
}

impl Plain<'_> {
    fn device(&self, ip: std::net::IpAddr) -> Option<&Device> {
        let having = self.devices.iter().filter(|device| device.addresses.iter().any(|known| known.ip == ip));
        having.max_by_key(|device| (device.addresses[0].last, std::cmp::Reverse(device.id)))
    }

    fn is(&self, ip: std::net::IpAddr, term: &Term) -> bool {
        let device = self.device(ip);
        let inside = |ip: std::net::IpAddr| {
            ip.to_string().starts_with("10.") || ["203.0.113.0", "203.0.113.1"].contains(&&*ip.to_string())
        };
        let local = device.map_or_else(|| inside(ip), |device| device.locality != Locality::External);
        match term {
            Term::Anyone => true,
            Term::Internet => !local,
            Term::Local => local,
            Term::Name(name) => self.all_of(name).iter().any(|term| self.is(ip, term)),
            Term::Device(id) => device.is_some_and(|device| device.id == *id),
            Term::Network(network) => match device {
                Some(device) => device.addresses.iter().any(|known| {
                    network.contains(known.ip)
                        && self.device(known.ip).is_some_and(|owner| owner.id == device.id)
                }),
                None => network.contains(ip),
            },
            Term::Query(expr) => {
                device.is_some_and(|device| expr.matches(device, model::Timestamp::from_secs(1_000_000)))
            }
            _ => unreachable!(),
        }
    }

    fn all_of(&self, name: &str) -> &[Term] {
        let zone = self.policy.zones.iter().find(|zone| &*zone.name == name).map(|zone| &*zone.members);
        zone.unwrap_or_else(|| &self.policy.groups.iter().find(|group| &*group.name == name).unwrap().members)
    }

    fn on(services: &[Service], port: u16) -> bool {
        services.iter().any(|service| match service {
            Service::Any => true,
            Service::Named(name) => {
                (&**name == "modbus" && port == 502) || (&**name == "http" && [80, 8080].contains(&port))
            }
            Service::Carrier { first, last, .. } => (*first..=*last).contains(&port),
        })
    }

    fn may(&self, client: std::net::IpAddr, server: std::net::IpAddr, port: u16) -> bool {
        let zones = |ip| {
            self.policy
                .zones
                .iter()
                .filter(|zone| zone.members.iter().any(|term| self.is(ip, term)))
                .map(|zone| &*zone.name)
                .collect::<Vec<_>>()
        };
        let about = |rule: &&Rule| {
            rule.from.iter().any(|term| self.is(client, term))
                && rule.to.iter().any(|term| self.is(server, term))
                && Self::on(&rule.services, port)
        };
        let (from, to) = (zones(client), zones(server));
        let bound = |from: &&str, to: &&str| {
            let conduits: Vec<_> = self
                .policy
                .conduits
                .iter()
                .filter(|conduit| *conduit.from == **from && *conduit.to == **to)
                .collect();
            conduits.is_empty() || conduits.iter().any(|conduit| Self::on(&conduit.services, port))
        };
        let fits = from.iter().any(|zone| to.contains(zone))
            || from.iter().all(|from| to.iter().all(|to| bound(from, to)));
        let rules = || self.policy.rules.iter().filter(about);
        rules().any(|rule| rule.verdict == Verdict::Allow)
            && !rules().any(|rule| rule.verdict == Verdict::Deny)
            && fits
    }
}

/// Addresses of devices, and of nobody.
fn places() -> Vec<std::net::IpAddr> {
    let networks = ["10.0.0", "10.0.1", "203.0.113"];
    let all = networks.iter().flat_map(|network| (0..7).map(move |last| format!("{network}.{last}")));
    all.chain(["8.8.8.8".to_owned(), "10.200.0.1".to_owned()]).map(|ip| ip.parse().unwrap()).collect()
}

const PORTS: [u16; 7] = [21, 22, 80, 81, 502, 503, 8080];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn decisions_are_those_of_the_plainest_reading(policy in small_policy(), devices in small_devices()) {
        let plain = Plain { policy: &policy, devices: &devices };
        let compiled = Compiled::new(policy.clone(), &protocols(), estate(devices.clone())).unwrap();
        for client in places() {
            for server in places() {
                for port in PORTS {
                    let ask = Ask::conversation(Who::Host(Host::from_ip(client)), Who::Host(Host::from_ip(server)), Transport::Tcp, port);
                    let decision = compiled.decide(&ask);
                    prop_assert_eq!(decision.verdict == Verdict::Allow, plain.may(client, server, port), "{}\n{}\n{:?}", policy, ask, decision);
                    let (a, b) = compiled.classes_of(&ask);
                    prop_assert_eq!(compiled.open_ports(&a, &b).contains(Transport::Tcp, port), decision.verdict == Verdict::Allow);
                    prop_assert_eq!(compiled.explain(&ask).decision, decision);
                }
            }
        }
    }

    #[test]
    fn a_comparison_finds_every_change_and_no_other(old in small_policy(), new in small_policy(), devices in small_devices()) {
        let compiled = |policy: &Policy| Compiled::new(policy.clone(), &protocols(), estate(devices.clone())).unwrap();
        let (before, after) = (compiled(&old), compiled(&new));
        let diff = Diff::new(&before, &after);
        prop_assert!(diff.complete);
        let view = after.view();
        // Everybody: devices, and unknown hosts in every part of the space of addresses.
        let mut nodes: Vec<(Option<DeviceId>, u32, u32)> =
            devices.iter().map(|device| (Some(device.id), before.known[&device.id].class, after.known[&device.id].class)).collect();
        for interval in before.sets.intervals.iter().chain(&after.sets.intervals) {
            let ip = std::net::IpAddr::V6(interval.start.into()).to_canonical();
            let class = |compiled: &Compiled| compiled.intervals[compiled.sets.interval(ip)];
            nodes.push((None, class(&before), class(&after)));
        }
        let mut expected = BTreeSet::new();
        for client in &nodes {
            for server in &nodes {
                if client.0.is_some() && client.0 == server.0 || !view.can_ask(client.2) {
                    continue;
                }
                for port in PORTS {
                    let nobody = Who::Host(Host::default());
                    let ask = Ask::conversation(nobody, nobody, Transport::Tcp, port);
                    let was = before.judge(before.class(client.1), before.class(server.1), &ask).verdict;
                    let is = after.judge(after.class(client.2), after.class(server.2), &ask).verdict;
                    if was != is {
                        expected.insert((is, port));
                    }
                }
            }
        }
        let told: BTreeSet<_> = diff
            .changes
            .iter()
            .flat_map(|change| PORTS.into_iter().filter(|port| change.ports.contains(Transport::Tcp, *port)).map(|port| (change.now, port)))
            .collect();
        prop_assert_eq!(told, expected, "{}\n{}", old, new);
    }

    #[test]
    fn a_device_that_changes_leaves_what_compiling_anew_would(
        policy in small_policy(), devices in small_devices(), changes in prop::collection::vec((small_device(), any::<bool>()), 1..6),
    ) {
        let mut compiled = Compiled::new(policy.clone(), &protocols(), estate(devices.clone())).unwrap();
        let mut left = devices;
        for (device, gone) in changes {
            left.retain(|other| other.id != device.id);
            if gone {
                compiled.remove(device.id);
            } else {
                compiled.update(device.clone());
                left.push(device);
            }
        }
        let anew = Compiled::new(policy, &protocols(), estate(left)).unwrap();
        for client in places() {
            for server in places() {
                for port in PORTS {
                    let ask = Ask::conversation(Who::Host(Host::from_ip(client)), Who::Host(Host::from_ip(server)), Transport::Tcp, port);
                    prop_assert_eq!(compiled.decide(&ask), anew.decide(&ask), "{}", ask);
                }
            }
        }
    }

    #[test]
    fn reachability_is_that_of_going_from_host_to_host(policy in small_policy(), devices in small_devices()) {
        let compiled = Compiled::new(policy.clone(), &protocols(), estate(devices.clone())).unwrap();
        let view = compiled.view();
        // Hosts: every device, and two unknown ones of each kind of which there can be any number.
        #[derive(Clone, Copy, PartialEq, Debug)]
        enum Node { Device(DeviceId), Unknown(u32) }
        let mut nodes: Vec<(Node, u32)> = compiled.known.iter().map(|(id, known)| (Node::Device(*id), known.class)).collect();
        let mut unknown: Vec<u32> = compiled.intervals.iter().chain(compiled.named.values()).copied().collect();
        unknown.sort_unstable();
        unknown.dedup();
        for class in unknown.into_iter().filter(|class| view.can_ask(*class)) {
            nodes.push((Node::Unknown(class), class));
            nodes.push((Node::Unknown(class), class));
        }
        let edge = |a: usize, b: usize| {
            a != b && !compiled.open_ports(compiled.class(nodes[a].1), compiled.class(nodes[b].1)).is_empty()
        };
        let far = usize::MAX;
        let distances = |starts: &[usize]| {
            // How far from the nearest start other than the host itself.
            let mut all = vec![far; nodes.len()];
            for start in starts {
                let mut distance = vec![far; nodes.len()];
                distance[*start] = 0;
                let mut queue = std::collections::VecDeque::from([*start]);
                while let Some(at) = queue.pop_front() {
                    for next in 0..nodes.len() {
                        if distance[next] == far && edge(at, next) {
                            distance[next] = distance[at] + 1;
                            queue.push_back(next);
                        }
                    }
                }
                for (at, distance) in distance.into_iter().enumerate().filter(|(at, _)| at != start) {
                    all[at] = all[at].min(distance);
                }
            }
            all
        };
        type Is<'a> = Box<dyn Fn(&(Node, u32)) -> bool + 'a>;
        let spots: Vec<(Spot<'_>, Is<'_>)> = {
            let mut spots: Vec<(Spot<'_>, Is<'_>)> = Vec::new();
            for name in ["a", "b", "g"] {
                let set = compiled.set(name).unwrap();
                let compiled = &compiled;
                spots.push((Spot::Name(name), Box::new(move |node| compiled.class(node.1).sets.contains(&set.0))));
            }
            for device in &devices {
                let id = device.id;
                spots.push((Spot::Device(id), Box::new(move |node| node.0 == Node::Device(id))));
            }
            let view = &view;
            spots.push((Spot::Internet, Box::new(move |node| view.is_internet(node.1))));
            let plcs: Vec<DeviceId> = devices.iter().filter(|device| device.roles().any(|role| role == "plc")).map(|device| device.id).collect();
            spots.push((Spot::Role(model::Role::Plc), Box::new(move |node| matches!(node.0, Node::Device(id) if plcs.contains(&id)))));
            spots
        };
        for (spot, is) in &spots {
            let starts: Vec<usize> = (0..nodes.len()).filter(|at| is(&nodes[*at])).collect();
            let expected = distances(&starts);
            let ways = view.reachable_from(spot);
            let found = ways.reached();
            for (at, (node, class)) in nodes.iter().enumerate() {
                let told = found.iter().find(|reached| match node {
                    Node::Device(id) => reached.members.contains(&crate::Member::Device(*id)),
                    Node::Unknown(_) => reached.members.iter().any(|member| !matches!(member, crate::Member::Device(_)) && view.members(*class).contains(member)),
                });
                prop_assert_eq!(told.map_or(far, |reached| reached.hops), expected[at], "{} from {} to {:?}", policy, spot, node);
                if let Some(reached) = told {
                    prop_assert_eq!(ways.way(reached).hops.len(), reached.hops);
                }
            }
            // Whoever reaches is the same question from the other end.
            for (end, is_end) in &spots {
                let ends: Vec<usize> = (0..nodes.len()).filter(|at| is_end(&nodes[*at])).collect();
                let shortest = ends.iter().map(|at| expected[*at]).min().unwrap_or(far);
                prop_assert_eq!(view.way(spot, end).map_or(far, |way| way.hops.len()), shortest, "{} from {} to {}", policy, spot, end);
            }
            let back = view.who_reaches(spot).reached();
            for device in &devices {
                let start = nodes.iter().position(|(node, _)| *node == Node::Device(device.id)).unwrap();
                let from = distances(&[start]);
                let shortest = starts.iter().filter(|at| **at != start).map(|at| from[*at]).min().unwrap_or(far);
                let told = back.iter().find(|reached| reached.members.contains(&crate::Member::Device(device.id)));
                prop_assert_eq!(told.map_or(far, |reached| reached.hops), shortest, "{} from {} to {}", policy, device.id, spot);
            }
        }
    }
}
