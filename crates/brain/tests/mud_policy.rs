//! A description as rules of a policy decides as the description does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{
    AddressUse, Attribute, Confidence, Device, DeviceId, Evidence, Host, Locality, MacAddr, Timestamp,
    Transport,
};
use mud::{
    Ace, Acl, AclKind, CLASS_DNS, CLASS_GATEWAY, CLASS_NTP, Conversation, Forwarding, Initiator, Ip,
    IpVersion, L4, Matches, MudFile, MudMatch, Network, Peer, PolicyRules, Ports, Terms, policy_rules,
};
use policy::{Ask, Compiled, Estate, Protocols, Verdict, Who};
use proptest::prelude::*;
use proptest::sample::select;

const OWN: &str = "10.0.0.5";
const OWN_V6: &str = "fd00::5";
/// Whom the device may meet: address, and the name that it knows it by.
const OTHERS: [(&str, Option<&str>); 17] = [
    ("10.0.0.1", None),
    ("10.0.0.53", None),
    ("10.0.0.7", None),
    ("192.168.9.9", None),
    ("203.0.113.7", Some("a.example")),
    ("203.0.113.8", Some("b.example")),
    ("198.51.100.1", None),
    ("224.0.0.251", None),
    ("239.255.255.250", None),
    ("239.1.1.1", None),
    ("255.255.255.255", None),
    ("fd00::1:9", None),
    ("fe80::9", None),
    ("2001:db8::7", Some("a.example")),
    ("2001:db8::9", None),
    ("ff02::fb", None),
    ("ff0e::1", None),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn device(id: u64, addresses: &[&str], role: &str, vendor: &str) -> Device {
    let said = |value: &str| {
        vec![Evidence {
            value: value.into(),
            source: "test".into(),
            confidence: Confidence::STRONG,
            first: Timestamp::EPOCH,
            last: Timestamp::EPOCH,
            count: 1,
        }]
    };
    let used = |text: &&str| AddressUse {
        ip: ip(text),
        binding: None,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
    };
    Device {
        id: DeviceId(id),
        locality: Locality::OnLink,
        macs: vec![MacAddr([2, 0, 0, 0, 0, id as u8])],
        addresses: addresses.iter().map(used).collect(),
        via: None,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        attributes: BTreeMap::from([(Attribute::Role, said(role)), (Attribute::Vendor, said(vendor))]),
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

fn devices() -> Vec<Device> {
    vec![
        device(1, &[OWN, OWN_V6], "smart-device", "Acme"),
        device(2, &["10.0.0.1"], "router", "Other"),
        device(3, &["10.0.0.53"], "dns-server", "Other"),
        device(4, &["10.0.0.7"], "smart-device", "Acme"),
    ]
}

/// Conditions on the other end, as they stand in the list of what the device sends (or is sent).
#[derive(Clone, Debug)]
struct Rule {
    mud: MudMatch,
    network: Option<&'static str>,
    name: Option<&'static str>,
    l4: Option<(Transport, Option<Ports>, Option<Initiator>)>,
    forwarding: Forwarding,
}

fn rule() -> impl Strategy<Value = Rule> {
    let whom = prop_oneof![
        Just((MudMatch::default(), None, None)),
        Just((MudMatch { local_networks: true, ..MudMatch::default() }, None, None)),
        Just((MudMatch { same_manufacturer: true, ..MudMatch::default() }, None, None)),
        Just((MudMatch { my_controller: true, ..MudMatch::default() }, None, None)),
        select(vec![CLASS_DNS, CLASS_NTP, CLASS_GATEWAY, "https://hubs.example/hub"]).prop_map(|class| (
            MudMatch { controller: Some(class.into()), ..MudMatch::default() },
            None,
            None
        )),
        select(vec![
            "203.0.113.0/24",
            "203.0.113.7/32",
            "10.0.0.0/8",
            "224.0.0.251/32",
            "fd00::/8",
            "2001:db8::7/128"
        ])
        .prop_map(|network| (MudMatch::default(), Some(network), None)),
        select(vec!["a.example", "b.example"]).prop_map(|name| (MudMatch::default(), None, Some(name))),
    ];
    let ports = proptest::option::of(select(vec![
        Ports::Eq(443),
        Ports::Eq(53),
        Ports::Eq(123),
        Ports::Neq(443),
        Ports::Range(50, 130),
        Ports::Gte(49_152),
    ]));
    let by = proptest::option::of(select(vec![Initiator::Device, Initiator::Peer]));
    let l4 = proptest::option::weighted(
        0.9,
        (select(vec![Transport::Tcp, Transport::Udp, Transport::Icmp]), ports, by),
    );
    let forwarding = prop_oneof![6 => Just(Forwarding::Accept), 1 => Just(Forwarding::Drop)];
    (whom, l4, forwarding).prop_map(|((mud, network, name), l4, forwarding)| Rule {
        mud,
        network,
        name,
        l4,
        forwarding,
    })
}

impl Rule {
    /// The rule in the list of what one side sends, if it is asked at its port or asks at that of the other.
    fn ace(&self, number: usize, version: IpVersion, by_device: bool, asked_is_peer: bool) -> Option<Ace> {
        let network = match self.network {
            Some(text) => {
                let (address, prefix) = text.split_once('/').unwrap();
                Some(Network::new(ip(address), prefix.parse().unwrap()).unwrap())
            }
            None => None,
        };
        if network.is_some_and(|network| IpVersion::of(&network.address()) != version) {
            return None;
        }
        let mut header = Ip::any(version);
        if by_device {
            (header.destination, header.destination_name) = (network, self.name.map(Into::into));
        } else {
            (header.source, header.source_name) = (network, self.name.map(Into::into));
        }
        let is_at_source = by_device != asked_is_peer;
        let l4 = self.l4.map(|(transport, ports, initiated)| {
            let (source, destination) = if is_at_source { (ports, None) } else { (None, ports) };
            match transport {
                Transport::Tcp => L4::Tcp { source, destination, initiated },
                Transport::Udp => L4::Udp { source, destination },
                _ => L4::Icmp { kind: None, code: None },
            }
        });
        Some(Ace {
            name: format!("r{number}"),
            matches: Matches { mud: self.mud.clone(), eth: None, ip: Some(header), l4 },
            forwarding: self.forwarding,
            unknown: BTreeMap::new(),
        })
    }
}

/// A description of rules, each in the lists of both directions unless it is one for one of them only.
fn file(rules: &[(Rule, bool, u8)]) -> MudFile {
    let list = |version: IpVersion, by_device: bool| {
        let aces = rules.iter().enumerate().filter_map(|(number, (rule, asked_is_peer, which))| {
            let is_here = *which == 0 || (*which == 1) == by_device;
            is_here.then(|| rule.ace(number, version, by_device, *asked_is_peer)).flatten()
        });
        let kind = Some(if version == IpVersion::V4 { AclKind::Ipv4 } else { AclKind::Ipv6 });
        let name = format!("{}-{by_device}", version.name());
        Acl { name, kind, aces: aces.collect(), unknown: BTreeMap::new() }
    };
    let both = [IpVersion::V4, IpVersion::V6];
    let names =
        |by_device: bool| both.iter().map(|version| format!("{}-{by_device}", version.name())).collect();
    MudFile {
        url: "https://lamps.example/lamp.json".into(),
        from_device: names(true),
        to_device: names(false),
        acls: both.iter().flat_map(|version| [list(*version, true), list(*version, false)]).collect(),
        ..MudFile::default()
    }
}

fn said(file: &MudFile) -> PolicyRules {
    let id = DeviceId(1).to_string();
    let terms = Terms {
        device: &id,
        same_manufacturer: Some("(vendor:acme and not id:d000000000001)"),
        my_controller: Some("192.168.9.9"),
        controllers: BTreeMap::from([("https://hubs.example/hub".to_owned(), "10.0.0.7".to_owned())]),
    };
    policy_rules(file, &terms)
}

fn compile(said: &PolicyRules) -> Compiled {
    let text = said.rules.join("\n") + "\n";
    let policy =
        policy::parse(&text).unwrap_or_else(|problems| panic!("{}", problems[0].show("made", &text)));
    let names = BTreeMap::from([
        ("a.example".to_owned(), vec![ip("203.0.113.7"), ip("2001:db8::7")]),
        ("b.example".to_owned(), vec![ip("203.0.113.8")]),
    ]);
    Compiled::new(policy, &Protocols::new([]), Estate { devices: devices(), names, now: Timestamp::EPOCH })
        .unwrap_or_else(|problems| panic!("{}", problems[0].show("made", &text)))
}

/// Whether each allows a conversation.
fn decide(
    file: &MudFile,
    compiled: &Compiled,
    (other, name): (&str, Option<&str>),
    initiator: Initiator,
    transport: Transport,
    port: u16,
) -> Option<(bool, bool)> {
    let other = ip(other);
    let is_group = other.is_multicast() || other == ip("255.255.255.255");
    let transport = match (transport, other) {
        (Transport::Icmp, IpAddr::V6(_)) => Transport::Icmpv6,
        (transport, _) => transport,
    };
    let has_ports = matches!(transport, Transport::Tcp | Transport::Udp);
    if is_group && (initiator == Initiator::Peer || transport != Transport::Udp) {
        return None;
    }
    let own = if other.is_ipv4() { ip(OWN) } else { ip(OWN_V6) };
    let devices = devices();
    let known = devices.iter().find(|device| device.addresses.iter().any(|used| used.ip == other));
    let mut peer = Peer::of(&devices[0], known, Host::from_ip(other), if has_ports { port } else { 0 }, name);
    peer.is_my_controller = other == ip("192.168.9.9");
    if other == ip("10.0.0.7") {
        peer.classes.push("https://hubs.example/hub".into());
    }
    let (device_port, peer_port) = match initiator {
        Initiator::Device => (40_000, port),
        Initiator::Peer => (port, 40_000),
    };
    let conversation = Conversation {
        initiator,
        peer,
        device: Some(own),
        version: Some(IpVersion::of(&other)),
        transport,
        device_port: has_ports.then_some(device_port),
        peer_port: has_ports.then_some(peer_port),
        icmp: match transport {
            Transport::Icmp => Some((8, 0)),
            Transport::Icmpv6 => Some((128, 0)),
            _ => None,
        },
        is_answered: !is_group,
    };
    let (client, server) = match initiator {
        Initiator::Device => (own, other),
        Initiator::Peer => (other, own),
    };
    let [client, server] = [client, server].map(|ip| Who::Host(Host::from_ip(ip)));
    let ask = Ask {
        server_name: name.filter(|_| initiator == Initiator::Device),
        ..Ask::conversation(client, server, transport, if has_ports { port } else { 0 })
    };
    let by_description = mud::decide(file, &conversation).is_allowed();
    Some((by_description, compiled.decide(&ask).verdict == Verdict::Allow))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Where all can be said the two agree; where not, the policy allows nothing that the description does not.
    #[test]
    fn a_policy_made_of_a_description_decides_alike(
        rules in proptest::collection::vec((rule(), any::<bool>(), prop_oneof![8 => Just(0_u8), 1 => 1_u8..3]), 0..7),
    ) {
        let file = file(&rules);
        let said = said(&file);
        let compiled = compile(&said);
        for other in OTHERS {
            for initiator in [Initiator::Device, Initiator::Peer] {
                for transport in [Transport::Tcp, Transport::Udp, Transport::Icmp] {
                    for port in [53, 80, 123, 443, 50_000] {
                        let decided = decide(&file, &compiled, other, initiator, transport, port);
                        let Some((by_description, by_policy)) = decided else { continue };
                        let what = format!("{other:?} {initiator:?} {transport} {port}\n{said:#?}");
                        if said.unsaid.is_empty() {
                            prop_assert_eq!(by_description, by_policy, "{}", what);
                        } else {
                            prop_assert!(by_description || !by_policy, "{}", what);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_said_is_told() {
    let allow = |mud: MudMatch| Rule {
        mud,
        network: None,
        name: None,
        l4: Some((Transport::Tcp, Some(Ports::Eq(443)), None)),
        forwarding: Forwarding::Accept,
    };
    let model = MudMatch { model: Some("https://a.example/b".into()), ..MudMatch::default() };
    let class = MudMatch { controller: Some("https://a.example/hub".into()), ..MudMatch::default() };
    let one_way = (allow(MudMatch::default()), true, 1);
    let said = said_of(&[(allow(model), true, 0), (allow(class), true, 0)]);
    let told = said.unsaid.join("\n");
    for wanted in ["r0: who shows a manufacturer's", "--controller https://a.example/hub=WHO"] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(told.contains("to any: a policy does not know the ports"), "{told}");
    assert_eq!(said.rules.len(), 2, "only what section 5 allows: {:#?}", said.rules);
    let one_way = said_of(&[one_way]).unsaid.join("\n");
    assert!(one_way.contains("r0: it is not answered"), "{one_way}");
}

fn said_of(rules: &[(Rule, bool, u8)]) -> PolicyRules {
    said(&file(rules))
}
