//! What descriptions allow: the cases of RFC 8520, and the policy tests of NIST's implementation.

use model::Transport;
use mud::{
    CLASS_DNS, CLASS_GATEWAY, CLASS_NTP, Conversation, Initiator, IpVersion, MudFile, Peer, Ruling, decide,
    is_never_routed, read,
};
use serde_json::{Value, json};

/// A description with these rules from and to the device.
fn description(from: &Value, to: &Value) -> MudFile {
    let policy = |name| json!({"access-lists": {"access-list": [{"name": name}]}});
    let list = |name, aces| json!({"name": name, "type": "ipv4-acl-type", "aces": {"ace": aces}});
    let file = json!({
        "ietf-mud:mud": {
            "mud-version": 1, "mud-url": "https://lamps.example/7", "last-update": "2026-03-02T08:00:00Z",
            "is-supported": true, "from-device-policy": policy("from"), "to-device-policy": policy("to"),
        },
        "ietf-access-control-list:acls": {"acl": [list("from", from), list("to", to)]},
    });
    read(file.to_string().as_bytes()).unwrap().file
}

fn accept(name: &str, matches: &Value) -> Value {
    json!({"name": name, "matches": matches, "actions": {"forwarding": "accept"}})
}

/// A conversation that is answered.
fn talk(
    initiator: Initiator,
    transport: Transport,
    device_port: u16,
    peer_port: u16,
    peer: Peer,
) -> Conversation {
    Conversation {
        initiator,
        peer,
        device: None,
        version: Some(IpVersion::V4),
        transport,
        device_port: Some(device_port),
        peer_port: Some(peer_port),
        icmp: None,
        is_answered: true,
    }
}

fn named(name: &str) -> Peer {
    Peer { names: vec![name.into()], address: Some("203.0.113.13".parse().unwrap()), ..Peer::default() }
}

fn local() -> Peer {
    Peer { address: Some("10.0.0.3".parse().unwrap()), is_local: true, ..Peer::default() }
}

use Initiator::{Device, Peer as Other};
use Transport::{Tcp, Udp};

#[test]
fn what_is_not_allowed_is_forbidden_and_dns_and_ntp_are_allowed() {
    let nothing = description(&json!([]), &json!([]));
    let is_allowed = |conversation: &Conversation| decide(&nothing, conversation).is_allowed();
    let server = |class: &str| Peer { classes: vec![class.into()], ..local() };
    assert!(is_allowed(&talk(Device, Udp, 40_000, 53, server(CLASS_DNS))));
    assert!(is_allowed(&talk(Device, Tcp, 40_000, 53, server(CLASS_DNS))));
    assert!(is_allowed(&talk(Device, Udp, 123, 123, server(CLASS_NTP))));
    for other in [
        talk(Device, Udp, 40_000, 53, local()),
        talk(Device, Udp, 40_000, 53, server(CLASS_NTP)),
        talk(Device, Udp, 40_000, 54, server(CLASS_DNS)),
        talk(Device, Tcp, 40_000, 123, server(CLASS_NTP)),
        talk(Other, Tcp, 40_000, 53, server(CLASS_DNS)),
        talk(Device, Tcp, 40_000, 443, named("x.example")),
    ] {
        let decision = decide(&nothing, &other);
        assert_eq!(decision.obstacle(), Some((Device, Ruling::NoRule)), "{other:?}");
    }
    let arp = Conversation {
        version: None,
        transport: Transport::Ether(0x0806),
        ..talk(Device, Tcp, 0, 0, local())
    };
    assert_eq!(decide(&nothing, &arp).from_device, Some(Ruling::NotGoverned));
}

#[test]
fn both_ways_must_be_allowed_where_both_are_used() {
    let rule =
        json!([accept("a", &json!({"ipv4": {"protocol": 17}, "udp": {"destination-port": {"port": 9}}}))]);
    let one_way = description(&rule, &json!([]));
    let mut conversation = talk(Device, Udp, 40_000, 9, local());
    let decision = decide(&one_way, &conversation);
    assert!(decision.from_device.unwrap().is_allowed());
    assert_eq!(decision.obstacle(), Some((Other, Ruling::NoRule)));
    conversation.is_answered = false;
    assert!(decide(&one_way, &conversation).is_allowed());
}

#[test]
fn the_first_rule_that_matches_decides() {
    let drop = json!({"name": "no", "matches": {"ipv4": {"destination-ipv4-network": "203.0.113.0/24"}},
        "actions": {"forwarding": "drop"}});
    let all = accept("all", &json!({"ipv4": {}}));
    let conversation = talk(Device, Tcp, 40_000, 443, named("x.example"));
    for (rules, expected) in [(json!([drop, all]), "no"), (json!([all, drop]), "all")] {
        let file = description(&rules, &json!([all]));
        let Some(Ruling::Rule { ace, .. }) = decide(&file, &conversation).from_device else { panic!() };
        assert_eq!(ace.name, expected);
    }
    let six = Conversation { version: Some(IpVersion::V6), ..conversation };
    let file = description(&json!([all]), &json!([all]));
    assert_eq!(decide(&file, &six).from_device, Some(Ruling::NoRule), "a list for IPv4 is not for IPv6");
}

#[test]
fn a_condition_that_is_not_understood_gives_no_access_and_takes_none_back() {
    let conversation = talk(Device, Tcp, 40_000, 443, local());
    let odd = json!({"ipv4": {"dscp": 3}});
    let file = description(&json!([accept("odd", &odd)]), &json!([accept("odd", &odd)]));
    assert_eq!(decide(&file, &conversation).from_device, Some(Ruling::NoRule));
    let drop = json!({"name": "no", "matches": odd, "actions": {"forwarding": "drop"}});
    let file = description(&json!([drop, accept("all", &json!({"ipv4": {}}))]), &json!([]));
    assert!(
        matches!(decide(&file, &conversation).obstacle(), Some((Device, Ruling::Rule { ace, .. })) if ace.name == "no")
    );
}

#[test]
fn peers_are_told_by_what_is_known_of_them() {
    let of =
        |matches: Value| description(&json!([accept("a", &json!({"ietf-mud:mud": matches}))]), &json!([]));
    let ask = |file: &MudFile, peer: Peer| {
        let conversation = Conversation { is_answered: false, ..talk(Device, Tcp, 40_000, 80, peer) };
        decide(file, &conversation).is_allowed()
    };
    let with_url = |url: &str| Peer { mud_url: Some(url.into()), ..local() };
    let same = of(json!({"same-manufacturer": [null]}));
    assert!(
        ask(&same, with_url("https://LAMPS.example:443/8"))
            && !ask(&same, with_url("https://xlamps.example/7"))
    );
    assert!(ask(&same, Peer { is_same_manufacturer: true, ..local() }) && !ask(&same, local()));
    let maker = of(json!({"manufacturer": "Doors.example"}));
    assert!(
        ask(&maker, with_url("https://doors.example/1")) && !ask(&maker, with_url("https://lamps.example/7"))
    );
    let model = of(json!({"model": "https://doors.example/1"}));
    assert!(
        ask(&model, with_url("https://doors.example/1")) && !ask(&model, with_url("https://doors.example/2"))
    );
    let class = of(json!({"controller": CLASS_GATEWAY}));
    assert!(ask(&class, Peer { classes: vec![CLASS_GATEWAY.into()], ..local() }) && !ask(&class, local()));
    let mine = of(json!({"my-controller": [null]}));
    assert!(ask(&mine, Peer { is_my_controller: true, ..local() }) && !ask(&mine, local()));
    let near = of(json!({"local-networks": [null]}));
    assert!(ask(&near, local()) && !ask(&near, named("x.example")));
    let group = Peer { address: Some("239.255.255.250".parse().unwrap()), ..Peer::default() };
    assert!(ask(&near, group), "a group of the site");
}

#[test]
fn addresses_that_stay_are_known() {
    for (address, expected) in [
        ("224.0.0.251", true),
        ("255.255.255.255", true),
        ("169.254.1.2", true),
        ("239.255.255.250", true),
        ("fe80::1", true),
        ("ff02::fb", true),
        ("ff05::2", true),
        ("ff0e::1", false),
        ("239.1.1.1", false),
        ("192.168.1.1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(is_never_routed(&address.parse().unwrap()), expected, "{address}");
    }
}

#[test]
fn icmp_is_told_by_type_and_its_answer_follows() {
    let icmp = |kind| json!({"ipv4": {"protocol": 1}, "icmp": {"type": kind}});
    let echo = description(&json!([accept("a", &icmp(8))]), &json!([accept("a", &icmp(0))]));
    let ask = |initiator, kind| {
        let conversation = Conversation {
            icmp: Some((kind, 0)),
            ..talk(initiator, Transport::Icmp, 0, 0, named("x.example"))
        };
        decide(&echo, &conversation).is_allowed()
    };
    assert!(ask(Device, 8) && !ask(Other, 8) && !ask(Device, 13) && !ask(Device, 3));
    let wrong = description(&json!([accept("a", &icmp(8))]), &json!([accept("a", &icmp(8))]));
    let conversation = Conversation { icmp: Some((8, 0)), ..talk(Device, Transport::Icmp, 0, 0, local()) };
    assert_eq!(decide(&wrong, &conversation).obstacle(), Some((Other, Ruling::NoRule)));
}

/// The description of one of NIST's policy tests.
fn nist(test: &str, name: &str) -> Option<MudFile> {
    let path = format!("mud/nist-mud/test/unittest/mud-{name}-test/mudfile-{name}-test.json");
    let path = testkit::corpus(test, &path)?;
    Some(read(&std::fs::read(path).unwrap()).unwrap().file)
}

#[test]
fn nist_policies_give_what_their_tests_expect() {
    const NAME: &str = "nist_policies_give_what_their_tests_expect";
    let device = |url: &str| Peer { mud_url: Some(url.into()), ..local() };
    let of = |class: &str| Peer { classes: vec![class.into()], ..local() };
    let cases: Vec<(&str, Vec<(Conversation, bool)>)> = vec![
        (
            // Port 800 is opened by the device, port 8000 by others.
            "tcp-direction",
            vec![
                (talk(Device, Tcp, 40_000, 800, local()), true),
                (talk(Other, Tcp, 40_000, 800, local()), false),
                (talk(Other, Tcp, 8000, 40_000, local()), true),
                (talk(Device, Tcp, 8000, 40_000, local()), false),
                (talk(Device, Tcp, 40_000, 800, named("www.nist.local")), false),
            ],
        ),
        (
            "local-and-same-mfg",
            vec![
                (talk(Device, Tcp, 40_000, 443, named("www.nist.local")), true),
                (talk(Device, Tcp, 40_000, 443, named("www.antd.local")), false),
                (talk(Device, Tcp, 40_000, 80, named("www.nist.local")), false),
                (talk(Other, Tcp, 80, 40_000, local()), true),
                (talk(Device, Tcp, 40_000, 80, local()), false),
                (talk(Other, Udp, 9, 9, device("https://local-and-same-mfg-test.nist.local/x")), true),
                (talk(Other, Udp, 9, 9, device("https://other.nist.local/x")), false),
            ],
        ),
        (
            "mycontrollerclass",
            vec![
                (talk(Device, Tcp, 40_000, 80, named("www.nist.local")), true),
                (talk(Device, Udp, 40_000, 8002, Peer { is_my_controller: true, ..local() }), true),
                (talk(Device, Udp, 40_000, 8002, local()), false),
                (talk(Device, Udp, 40_000, 8000, local()), true),
                (
                    talk(Device, Udp, 40_000, 4000, device("https://mycontrollerclass-test.nist.local/y")),
                    true,
                ),
                (talk(Device, Udp, 40_000, 4000, device("https://other.nist.local/y")), false),
            ],
        ),
        (
            "mfg",
            vec![
                (talk(Device, Udp, 40_000, 8008, device("https://toothbrush.nist.local/other")), true),
                (talk(Device, Udp, 40_000, 8008, device("https://hairbrush.nist.local/super1")), false),
                (talk(Device, Tcp, 40_000, 8010, device("https://hairbrush.nist.local/super1")), true),
                (talk(Other, Tcp, 40_000, 8010, device("https://hairbrush.nist.local/super1")), false),
            ],
        ),
        (
            "model",
            vec![
                (talk(Device, Udp, 40_000, 8008, device("https://toothbrush.nist.local/super1")), true),
                (talk(Device, Udp, 40_000, 8008, device("https://toothbrush.nist.local/other")), false),
            ],
        ),
        (
            "controllerclass",
            vec![
                (talk(Device, Tcp, 40_000, 80, of("https://controller.nist.local")), true),
                (talk(Device, Tcp, 40_000, 80, local()), false),
            ],
        ),
    ];
    for (name, conversations) in cases {
        let Some(file) = nist(NAME, name) else { return };
        for (conversation, expected) in conversations {
            let decision = decide(&file, &conversation);
            assert_eq!(decision.is_allowed(), expected, "{name}: {conversation:?} {decision:?}");
        }
    }
}
