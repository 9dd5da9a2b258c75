use std::collections::BTreeMap;

use model::{AddressUse, Confidence, DeviceId, Evidence, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{Error, Expr, MAX_DEPTH, MAX_LENGTH, Network, Op, Pattern, Term, Value, parse};

const HOUR: u64 = 3_600;

fn device() -> Device {
    let said = |value: &str| Evidence {
        value: value.into(),
        source: "test".into(),
        confidence: Confidence::STRONG,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        count: 1,
    };
    Device {
        id: DeviceId(0x0a1b_2c3d_4e5f),
        locality: Locality::OnLink,
        macs: vec![MacAddr([0, 0x1b, 0x1b, 0, 0, 1])],
        addresses: ["10.1.2.3", "fe80::1"]
            .map(|ip| AddressUse {
                ip: ip.parse().unwrap(),
                binding: None,
                first: Timestamp::EPOCH,
                last: Timestamp::EPOCH,
            })
            .to_vec(),
        via: None,
        first: Timestamp::from_secs(HOUR),
        last: Timestamp::from_secs(50 * HOUR),
        attributes: BTreeMap::from([
            (Attribute::Vendor, vec![said("Siemens AG")]),
            (Attribute::Role, vec![said("plc"), said("gateway")]),
            (Attribute::Firmware, vec![said("V2.9.4")]),
            (Attribute::Hostname, vec![said("boiler-1")]),
        ]),
        offers: BTreeMap::from([(
            Service { protocol: "s7comm".into(), transport: "tcp".into(), port: 102 },
            3,
        )]),
        uses: BTreeMap::new(),
        protocols: vec!["s7comm".into(), "arp".into()],
        peers: BTreeMap::new(),
        access: model::Access::Full,
        packets_out: 40,
        bytes_out: 4_000,
        packets_in: 2,
        bytes_in: 200,
    }
}

fn holds(text: &str) -> bool {
    parse(text, DEVICE)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .matches(&device(), Timestamp::from_secs(100 * HOUR))
}

fn error(text: &str) -> Error {
    parse(text, DEVICE).expect_err(text)
}

#[test]
fn every_way_to_ask_is_answered() {
    for (text, truth) in [
        ("vendor:\"siemens ag\"", true),
        ("vendor:siemens", false),
        ("vendor:siemens*", true),
        ("VENDOR:*AG", true),
        ("vendor=Siemens*", false),
        ("vendor:\"siemens \\*\"", false),
        ("role:gateway", true),
        ("main-role:gateway", false),
        ("role!=plc", false),
        ("role!=hmi", true),
        ("location!=hall", true),
        ("location:hall", false),
        ("ip:10.1.0.0/16", true),
        ("ip:10.1.2.3", true),
        ("ip:10.2.0.0/16", false),
        ("ip:10.1.*", true),
        ("ip:fe80::/10", true),
        ("ip!=10.1.2.3", false),
        ("mac:00:1b:1b:*", true),
        ("00:1b:1b:00:00:01", true),
        ("10.1.0.0/16", true),
        ("10.9.0.0/16", false),
        ("fe80::1", true),
        ("d0a1b2c3d4e5f", true),
        ("id:d0a1b*", true),
        ("seen>24h", true),
        ("seen>51h", false),
        ("seen <= 50h", true),
        ("first>4d", true),
        ("firmware<2.10", true),
        ("firmware>=2.9.4", true),
        ("firmware>3", false),
        ("packets=42", true),
        ("packets>42", false),
        ("bytes>4kB", true),
        ("bytes>4KiB", true),
        ("bytes>=5KiB", false),
        ("port:102", true),
        ("offers:tcp/102", true),
        ("offers:s7comm uses:s7comm", false),
        ("os:linux", false),
        ("boil", true),
        ("b*r-1", true),
        ("\"siemens a\"", true),
        ("camera", false),
        ("not camera", true),
        ("not not camera", false),
        ("plc and not camera", true),
        ("camera or plc boil", true),
        ("(camera or plc) hmi", false),
        ("camera or plc and hmi", false),
        ("plc or camera and hmi", true),
        ("locality:on-link", true),
        ("Plc AND boil OR camera", true),
    ] {
        assert_eq!(holds(text), truth, "{text}");
    }
}

#[test]
fn every_listed_field_can_be_asked_and_has_its_kind() {
    let mut device = device();
    for attribute in ATTRIBUTES {
        device.attributes.entry(attribute).or_insert_with(|| device_evidence("2"));
    }
    device.via = Some(MacAddr([2; 6]));
    device.uses.insert(Service { protocol: "ntp".into(), transport: "udp".into(), port: 123 }, 1);
    device.peers.insert(DeviceId(7), model::Peer::default());
    shows_all(&device, DEVICE);
}

/// Each field shows something, and of its kind.
pub(crate) fn shows_all(of: &dyn Fields, fields: &[Field]) {
    for field in fields {
        let mut seen = 0;
        of.any(Some(field.name), &mut |datum| {
            seen += 1;
            let fits = match field.kind {
                Kind::Text => matches!(datum, Datum::Text(_) | Datum::Address(_)),
                Kind::Number | Kind::Size => matches!(datum, Datum::Number(_)),
                Kind::Level(words) => matches!(datum, Datum::Number(place) if place < words.len() as u64),
                Kind::Age => matches!(datum, Datum::Moment(_)),
                Kind::Address => matches!(datum, Datum::Address(_)),
            };
            assert!(fits, "{}", field.name);
            false
        });
        assert!(seen > 0, "{}", field.name);
    }
}

fn device_evidence(value: &str) -> Vec<Evidence> {
    let mut evidence = device().attributes.remove(&Attribute::Vendor).unwrap();
    evidence[0].value = value.into();
    evidence
}

#[test]
fn errors_say_where_and_what() {
    let wrong = error("role:plc and vendro:siemens");
    assert_eq!((wrong.column, wrong.found.as_str(), wrong.expected.as_str()), (14, "`vendro`", "a field"));
    assert!(
        wrong
            .help
            .as_deref()
            .is_some_and(|help| help.starts_with("did you mean vendor? known fields: id, mac"))
    );
    for (text, message) in [
        ("", "column 1: found the end, expected a term such as role:plc, a word, `not` or `(`"),
        ("(plc", "column 5: found the end, expected `)`, `and` or `or`"),
        ("plc)", "column 4: found `)`, expected `and`, `or` or the end"),
        ("plc or", "column 7: found the end, expected a term such as role:plc, a word, `not` or `(`"),
        ("seen>soon", "column 6: found `soon`, expected an age such as 90s, 15m, 24h, 7d or 2w"),
        ("packets:many", "column 9: found `many`, expected a whole number"),
        (
            "ip:10.1.0.0/40",
            "column 4: found `10.1.0.0/40`, expected an address such as 10.0.0.5 or a network such as 10.1.0.0/16",
        ),
        ("name:\"open", "column 11: found the end, expected `\"` at the end of the text in quotation marks"),
        ("name:\"a\\n\"", "column 9: found `n`, expected `\"`, `\\` or `*` after `\\`"),
    ] {
        assert_eq!(error(text).to_string(), message, "{text}");
    }
    for bad in [
        "role:",
        "role: plc",
        "seen:24h",
        "ip>10.0.0.1",
        "firmware<new",
        "a,b",
        "role:a,b",
        "role:\"a\"b",
        "bytes>9EB",
    ] {
        error(bad);
    }
}

#[test]
fn limits_hold() {
    let nested = |depth: usize| format!("{}plc{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH), DEVICE).is_ok());
    assert!(error(&nested(MAX_DEPTH + 1)).expected.contains("at most 32"));
    assert!(parse(&format!("{}plc", "not ".repeat(MAX_DEPTH)), DEVICE).is_ok());
    error(&format!("{}plc", "not ".repeat(MAX_DEPTH + 1)));
    // What was closed does not count.
    assert!(parse(&vec!["(plc)"; MAX_DEPTH * 2].join(" "), DEVICE).is_ok());
    assert!(parse(&"a".repeat(MAX_LENGTH), DEVICE).is_ok());
    assert!(error(&"a".repeat(MAX_LENGTH + 1)).expected.contains("4096 bytes"));
}

/// Any value that a field of the kind can be asked for with.
fn value(field: Option<&'static Field>) -> BoxedStrategy<(Op, Value)> {
    let order = prop_oneof![Just(Op::Less), Just(Op::AtMost), Just(Op::Greater), Just(Op::AtLeast)];
    let text = "[a-zA-Z0-9 *:/\"\\\\(,.ä-]{0,8}";
    let network = (any::<u32>(), 0_u8..=32).prop_map(|(ip, length)| {
        Value::Network(Network::new(std::net::Ipv4Addr::from_bits(ip).into(), length))
    });
    match field.map(|field| field.kind) {
        None => prop_oneof![
            text.prop_map(|text| (Op::Matches, Value::Text(Pattern::literal(&text)))),
            text.prop_map(|text| (Op::Matches, Value::Text(Pattern::wild(&text)))),
            "2001:db8::[1-9]/[1-9]".prop_map(|text| (Op::Matches, Value::Network(text.parse().unwrap()))),
        ]
        .boxed(),
        Some(Kind::Text) => prop_oneof![
            text.prop_map(|text| (Op::Matches, Value::Text(Pattern::wild(&text)))),
            text.prop_map(|text| (Op::Matches, Value::Text(Pattern::literal(&text)))),
            text.prop_map(|text| (Op::Is, Value::Text(Pattern::literal(&text)))),
            (order, "[v0-9][0-9]").prop_map(|(op, text)| (op, Value::Text(Pattern::literal(&text)))),
        ]
        .boxed(),
        Some(Kind::Age) => (order, 0_u64..1_000_000)
            .prop_map(|(op, secs)| (op, Value::Age(std::time::Duration::from_secs(secs))))
            .boxed(),
        Some(Kind::Address) => network.prop_map(|network| (Op::IsNot, network)).boxed(),
        Some(Kind::Level(words)) => {
            (order, 0..words.len() as u64).prop_map(move |(op, n)| (op, Value::Level(n, words))).boxed()
        }
        Some(Kind::Number | Kind::Size) => {
            (order, any::<u64>()).prop_map(|(op, n)| (op, Value::Number(n))).boxed()
        }
    }
}

fn expression() -> impl Strategy<Value = Expr> {
    let field = prop_oneof![Just(None), (0..DEVICE.len()).prop_map(|at| Some(&DEVICE[at]))];
    let term = field.prop_flat_map(|field| {
        value(field)
            .prop_map(move |(op, value)| Expr::Term(Term { field, op, value, span: crate::Span::default() }))
    });
    term.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| Expr::all(parts).unwrap()),
            prop::collection::vec(inner, 1..4).prop_map(|parts| Expr::one_of(parts).unwrap()),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(expr in expression()) {
        let text = expr.to_string();
        let again = parse(&text, DEVICE).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(&again, &expr, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(text in "[a-z:<>=!()\"*\\\\ 0-9.,ä]{0,40}") {
        match parse(&text, DEVICE) {
            Ok(expr) => {
                prop_assert_eq!(&parse(&expr.to_string(), DEVICE).unwrap(), &expr);
                expr.matches(&device(), Timestamp::EPOCH);
            }
            Err(error) => prop_assert!(text.get(error.span.start..error.span.end).is_some(), "{error}"),
        }
    }
}
