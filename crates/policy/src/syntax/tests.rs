use model::{DeviceId, MacAddr, OperationKind, Transport};
use proptest::prelude::*;
use query::DEVICE;

use super::*;

/// The example of the documentation.
const EXAMPLE: &str = include_str!("../../../../docs/example.policy");

#[test]
fn the_example_of_the_documentation_reads_and_prints_as_itself() {
    let policy = parse(EXAMPLE).unwrap();
    let again = parse(&policy.to_string()).unwrap();
    assert_eq!(again, policy);
    assert_eq!(policy.rules.iter().find(|rule| rule.label.is_some()).unwrap().place.column, 1);
}

#[test]
fn every_form_of_a_term_and_a_service_is_read() {
    let text = "allow d0a1b2c3d4e5f, 00:1b:1b:00:00:01, 10.0.2.0/24, fe80::1, id:d0a1b2c3d4e5f, cameras,\n  group:any-name, role:plc, (role:hmi and vendor:\"A, B\") -> \"Time.Example.com\", \"*.x.org\", \
                multicast, internet, local # said\n    tcp/502";
    let problems = parse(text).unwrap_err();
    assert_eq!(problems.len(), 1, "the services stand on the line of their rule");
    let text = text.replace(" # said\n   ", "");
    let rule = parse(&text).unwrap().rules.remove(0);
    let id = Term::Device(DeviceId(0x0a1b_2c3d_4e5f));
    assert_eq!(
        rule.from[..6],
        [
            id.clone(),
            Term::Mac(MacAddr([0, 0x1b, 0x1b, 0, 0, 1])),
            Term::Network("10.0.2.0/24".parse().unwrap()),
            Term::Network("fe80::1".parse().unwrap()),
            id,
            Term::Name("cameras".into()),
        ]
    );
    assert!(matches!(&rule.from[7..], [Term::Query(_), Term::Query(query::Expr::And(_))]));
    assert_eq!(rule.to[0], Term::Domain("time.example.com".into()));
    let services = parse("service all = modbus, tcp, udp/1000-2000, ip-47, ether-88b8, icmp, ip-6")
        .unwrap()
        .services
        .remove(0)
        .services;
    let carrier = |transport, first, last| Service::Carrier { transport, first, last };
    assert_eq!(
        services,
        [
            Service::Named("modbus".into()),
            carrier(Transport::Tcp, 0, u16::MAX),
            carrier(Transport::Udp, 1000, 2000),
            carrier(Transport::Ip(47), 0, u16::MAX),
            carrier(Transport::Ether(0x88b8), 0, u16::MAX),
            Service::Named("icmp".into()),
            carrier(Transport::Tcp, 0, u16::MAX),
        ]
    );
}

#[test]
fn operations_have_targets() {
    let text = "allow a -> b modbus, s7comm read, write holding-registers 100-120, publish \"a b/#\", subscribe x/# # all";
    let rule = parse(text).unwrap().rules.remove(0);
    assert_eq!(rule.services.len(), 2);
    let target = |at: usize| rule.operations[at].target.as_deref();
    assert_eq!(
        [0, 1, 2, 3].map(target),
        [None, Some("holding-registers 100-120"), Some("a b/#"), Some("x/#")]
    );
    assert_eq!(rule.operations[1].kind, OperationKind::Write);
    assert_eq!(parse(&rule.to_string()).unwrap().rules[0], rule);
}

#[test]
fn zones_stand_on_one_line_or_on_many() {
    let one = parse("zone field { level 3.5  criticality high  members role:plc or role:rtu, 10.0.0.0/8 }")
        .unwrap();
    let many = parse("zone field {\n  members role:plc or role:rtu # a\n\n  level 3.5\n criticality high\n members 10.0.0.0/8\n}\n").unwrap();
    assert_eq!(one, many);
    assert_eq!(one.zones[0].level, Level::from_tenths(35));
}

#[test]
fn problems_say_where_what_and_what_to_do() {
    let text = "zone field { level 9 }\n\nalow a -> b any\nallow a -> b mod\tbus\ndeny a, (vendro:x) -> b\nallow \"open -> b\n\
                expect deny a -> b modbus red\nallow a -> b tcp/9-8\ngroup g = pump\nnever a b\n";
    let shown: Vec<String> =
        parse(text).unwrap_err().iter().map(|problem| problem.show("x.policy", text)).collect();
    let expected = [
        "x.policy:1:20: error: found `9`, expected a level of the Purdue model from 0 to 5, such as 3.5\n  | zone field { level 9 }\n  |                    ^",
        "x.policy:3:1: error: found `alow`, expected a statement\n  | alow a -> b any\n  | ^^^^\n  = did you mean `allow`?",
        "x.policy:4:18: error: found `bus`, expected `,` or the end of the line\n  | allow a -> b mod\tbus\n  |                 \t^",
    ];
    for (shown, expected) in shown.iter().zip(expected) {
        assert_eq!(shown, expected);
    }
    assert!(
        shown[3].starts_with("x.policy:5:10: error: found `vendro`, expected a field")
            && shown[3].contains("did you mean vendor?")
    );
    assert!(shown[4].starts_with("x.policy:6:7: error: the text that begins here does not end"));
    assert!(shown[5].starts_with("x.policy:7:27: error: found `red`, expected `,` or the end of the line"));
    assert!(shown[6].starts_with("x.policy:8:14: error: `tcp/9-8` is no service"));
    assert!(shown[7].starts_with("x.policy:10:9: error: found `b`, expected `reach` or `,`"), "{}", shown[7]);
    assert_eq!(shown.len(), 8);
    for bad in [
        "site x",
        "site \"a\"\nsite \"b\"",
        "group any = a",
        "zone z { level 1 level 2 }",
        "zone z { color red }",
        "allow \"a.b\" -> c any",
        "allow \"l\" \"a.b\" -> c any",
        "allow multicast -> c any",
        "allow a -> b",
        "deny a -> b read",
        "group g =",
        "group g = a,",
        "group g = pump and role:plc",
        "allow a -> \"nodots\" any",
        "conduit a -> b { modbus",
        "service s = read",
        "allow a -> b any write coils 5-4",
        "guard",
        "group d0a1b2c3d4e5f = a",
        "group g = (role:plc",
        "zone z { members role:plc",
        "expect maybe a -> b any",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn limits_hold() {
    let members = |count: usize| format!("group g = {}", vec!["a"; count].join(","));
    assert_eq!(parse(&members(MAX_LIST)).unwrap().groups[0].members.len(), MAX_LIST);
    assert!(parse(&members(MAX_LIST + 1)).unwrap_err()[0].what.contains("65536 items"));
    assert!(parse(&" ".repeat(MAX_BYTES)).is_ok());
    assert!(parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err()[0].what.contains("at most 67108864 are read"));
    assert_eq!(parse(&"allow\n".repeat(MAX_PROBLEMS + 5)).unwrap_err().len(), MAX_PROBLEMS);
}

pub(crate) fn name() -> impl Strategy<Value = Box<str>> {
    "[a-z][a-z0-9_.-]{0,5}[a-z0-9]"
        .prop_filter("a word of the language", |name| is_name(name))
        .prop_map(Box::from)
}

fn term() -> impl Strategy<Value = Term> {
    let expr = prop::sample::select(vec![
        "role:plc",
        "vendor:\"A, {B}\"",
        "role:plc or role:rtu",
        "not name:\"x # y\"",
        "seen>24h (firmware<2.4 or ip:10.*)",
        "role!=hmi",
    ]);
    prop_oneof![
        prop::sample::select(vec![Term::Anyone, Term::Internet, Term::Local]),
        name().prop_map(Term::Name),
        (0_u64..1 << 48).prop_map(|id| Term::Device(DeviceId(id))),
        any::<[u8; 6]>().prop_map(|mac| Term::Mac(MacAddr(mac))),
        (any::<u32>(), 0_u8..=32).prop_map(|(ip, length)| Term::Network(query::Network::new(
            std::net::Ipv4Addr::from_bits(ip).into(),
            length
        ))),
        (any::<u128>(), 0_u8..=128).prop_map(|(ip, length)| Term::Network(query::Network::new(
            std::net::Ipv6Addr::from_bits(ip).into(),
            length
        ))),
        expr.prop_map(|text| Term::Query(query::parse(text, DEVICE).unwrap())),
    ]
}

fn asked() -> impl Strategy<Value = Term> {
    let only = prop::sample::select(vec![
        Term::Multicast,
        Term::Broadcast,
        Term::Domain("a.example".into()),
        Term::Domain("*.b.example".into()),
    ]);
    prop_oneof![3 => term(), 1 => only]
}

fn service() -> impl Strategy<Value = Service> {
    let transport = prop::sample::select(vec![Transport::Tcp, Transport::Udp, Transport::Sctp]);
    let whole = prop_oneof![
        prop::sample::select(vec![
            Transport::Can,
            Transport::Wpan,
            Transport::Ip(47),
            Transport::Tcp,
            Transport::Icmp,
            Transport::Icmpv6
        ]),
        any::<u16>().prop_map(Transport::Ether),
    ];
    prop_oneof![
        Just(Service::Any),
        name().prop_map(Service::Named),
        (transport, any::<u16>(), any::<u16>()).prop_map(|(transport, a, b)| Service::Carrier {
            transport,
            first: a.min(b),
            last: a.max(b)
        }),
        whole.prop_map(|transport| Service::Carrier { transport, first: 0, last: u16::MAX }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let text =
        "[a-z0-9 /+#*\"\\\\,.äß-]{1,12}".prop_filter("no target", |text| crate::Target::parse(text).is_ok());
    (prop::sample::select(OPERATIONS.to_vec()), prop::option::of(text))
        .prop_map(|(kind, target)| Operation { kind, target: target.map(Box::from) })
}

fn rule() -> impl Strategy<Value = Rule> {
    let label = prop::option::of("[a-zA-Z \"\\\\#,\n]{0,8}".prop_map(Box::from));
    let list = |term: BoxedStrategy<Term>| prop::collection::vec(term, 1..4);
    let allow = any::<bool>();
    (
        allow,
        label,
        list(term().boxed()),
        list(asked().boxed()),
        prop::collection::vec(service(), 0..4),
        prop::collection::vec(operation(), 0..3),
    )
        .prop_map(|(allow, label, from, to, mut services, operations)| {
            let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
            if services.is_empty() && (allow || !operations.is_empty()) {
                services.push(Service::Any);
            }
            Rule { verdict, label, from, to, services, operations, place: Place::default() }
        })
}

fn policy() -> impl Strategy<Value = Policy> {
    let place = Place::default();
    let terms = || prop::collection::vec(asked(), 1..4);
    let services = || prop::collection::vec(service(), 1..4);
    let zone = (
        name(),
        prop::option::of(0_u8..=50),
        prop::option::of(prop::sample::select(Criticality::ALL.to_vec())),
        prop::collection::vec(asked(), 0..4),
    )
        .prop_map(move |(name, level, criticality, members)| Zone {
            name,
            level: level.and_then(Level::from_tenths),
            criticality,
            members,
            place,
        });
    let site = prop::option::of("[a-z \"\\\\]{0,8}".prop_map(Box::from));
    (
        site,
        prop::collection::vec(
            (name(), services()).prop_map(move |(name, services)| ServiceDefinition {
                name,
                services,
                place,
            }),
            0..3,
        ),
        prop::collection::vec(
            (name(), terms()).prop_map(move |(name, members)| Group { name, members, place }),
            0..3,
        ),
        prop::collection::vec(zone, 0..3),
        prop::collection::vec(
            (name(), name(), prop::collection::vec(service(), 0..3))
                .prop_map(move |(from, to, services)| Conduit { from, to, services, place }),
            0..3,
        ),
        prop::collection::vec(rule(), 0..4),
        prop::collection::vec(
            (prop::collection::vec(term(), 1..4), terms()).prop_map(move |(from, to)| Invariant {
                label: None,
                from,
                to,
                place,
            }),
            0..2,
        ),
        prop::collection::vec(terms().prop_map(move |members| Guard { members, place }), 0..2),
        prop::collection::vec(rule(), 0..2),
    )
        .prop_map(
            |(site, services, groups, zones, conduits, rules, invariants, guards, expectations)| Policy {
                site,
                services,
                groups,
                zones,
                conduits,
                rules,
                invariants,
                guards,
                expectations,
            },
        )
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(policy in policy()) {
        let text = policy.to_string();
        let again = parse(&text).map_err(|problems| TestCaseError::fail(format!("{text}\n{}", problems[0])))?;
        prop_assert_eq!(again, policy, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(
        words in prop::collection::vec(prop::sample::select(vec![
            "allow", "deny", "zone", "group", "a", "->", "{", "}", "\n", ",", "=", "role:plc", "(", ")", "\"", "#", "any", "read", "never", "reach", "ä", "\\",
            "tcp/1-2", "level", "members", "expect", "\t", "conduit", "10.0.0.0/8", "seen>", "\r\n",
        ]), 0..24),
    ) {
        let text = words.join(" ");
        match parse(&text) {
            Ok(policy) => prop_assert_eq!(parse(&policy.to_string()).unwrap(), policy),
            Err(problems) => for problem in problems {
                let lines = text.split('\n').count() as u32;
                prop_assert!((1..=lines).contains(&problem.place.line) && problem.place.column > 0);
                problem.show("f", &text);
            },
        }
    }
}

#[test]
fn the_guide_shows_policies_that_can_be_read() {
    let guide = include_str!("../../../../docs/policy.md");
    let shown: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let policy = parse(&shown.join("\n")).unwrap();
    assert_eq!((policy.zones.len(), policy.rules.len(), policy.expectations.len()), (2, 3, 1));
    for operation in OPERATIONS {
        assert!(guide.contains(&format!("`{}`", operation_name(operation))), "{operation:?}");
    }
}
