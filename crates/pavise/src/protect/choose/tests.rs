use std::collections::BTreeSet;

use detect::DETECTORS;
use model::{
    Binding, BindingSource, Endpoint, Fact, FindingId, FlowHead, FlowId, FlowIdentified, MacAddr,
    Observation, Party, Slice, What,
};

use super::*;

const ATTACKER: (u8, &str) = (5, "10.0.0.5");
const PLC: (u8, &str) = (9, "10.0.0.9");
const ROUTER: (u8, &str) = (1, "10.0.0.1");
const BEYOND: &str = "10.7.0.4";
const OUTSIDE: &str = "203.0.113.7";

fn mac(last: u8) -> MacAddr {
    MacAddr([0, 0x1b, 0x1b, 0, 0, last])
}

fn host((last, ip): (u8, &str)) -> Host {
    Host { mac: Some(mac(last)), ip: Some(ip.parse().unwrap()) }
}

/// A place: three devices on the link, of which one is a router; and what was seen.
struct Place {
    inventory: Inventory,
    known: Known,
    policy: ResponsePolicy,
    zones: Vec<Zone>,
    guard: Vec<Address>,
    flows: u64,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

impl Place {
    fn new() -> Self {
        let mut place = Self {
            inventory: Inventory::new(inventory::Limits::default()),
            known: Known::default(),
            policy: ResponsePolicy::default(),
            zones: Vec::new(),
            guard: Vec::new(),
            flows: 0,
        };
        for (last, ip) in [ATTACKER, PLC, ROUTER] {
            let binding = Binding { mac: mac(last), ip: ip.parse().unwrap(), source: BindingSource::Arp };
            place.see(at(0), What::Binding(binding));
        }
        let fact = Fact {
            about: host(ROUTER),
            attribute: model::Attribute::Role,
            value: "router".into(),
            source: "lldp.capabilities".into(),
            confidence: model::Confidence::CERTAIN,
        };
        place.see(at(0), What::Fact(Box::new(fact)));
        place
    }

    fn see(&mut self, at: Timestamp, what: What) {
        let observation = Observation { at, what };
        self.inventory.observe(&observation, &mut Vec::new());
        self.known.observe(&observation);
    }

    /// A conversation; with a protocol it is known to be one, without it may be a single packet.
    fn talk(
        &mut self,
        seconds: u64,
        client: Host,
        server: Host,
        port: u16,
        protocol: Option<&'static str>,
    ) -> FlowId {
        self.flows += 1;
        let is_far = |host: Host| host.mac == Some(mac(ROUTER.0)) && host.ip != host_ip(ROUTER);
        let reach = |host| if is_far(host) { Reach::Routed } else { Reach::Near };
        let flow = FlowHead {
            id: FlowId(self.flows),
            transport: Transport::Tcp,
            vlan: None,
            client: Endpoint { host: client, port: 40_000 },
            server: Endpoint { host: server, port },
            client_reach: reach(client),
            server_reach: reach(server),
        };
        let what = match protocol {
            Some(protocol) => {
                What::FlowIdentified(Box::new(FlowIdentified { flow, protocol: protocol.into() }))
            }
            None => What::FlowOpened(Box::new(flow)),
        };
        self.see(at(seconds), what);
        flow.id
    }

    fn choose(&self, findings: &[Finding]) -> Vec<Wanted> {
        let party = |host| Party { device: None, host };
        let incident = Incident {
            id: IncidentId::from_digest(1),
            severity: findings.iter().map(|finding| finding.severity).max().unwrap(),
            title: "Password guessing".into(),
            stage: "lateral-movement".into(),
            first: at(100),
            last: at(101),
            findings: findings.iter().map(|finding| finding.id).collect(),
            actors: findings.iter().map(|finding| party(finding.actor.host)).collect(),
            victims: findings.iter().filter_map(|finding| finding.victim).collect(),
            response: "".into(),
            next: Vec::new(),
        };
        let Self { inventory, known, policy, zones, guard, .. } = self;
        let site = Site { policy, zones, guard, inventory, known };
        choose(&site, &incident, &findings.iter().collect::<Vec<_>>(), at(101))
    }

    /// The one action that is chosen.
    fn one(&self, finding: Finding) -> Action {
        let [wanted] = <[Wanted; 1]>::try_from(self.choose(&[finding])).unwrap();
        assert_eq!(wanted.refused, None);
        wanted.request.action
    }
}

fn host_ip((_, ip): (u8, &str)) -> Option<IpAddr> {
    Some(ip.parse().unwrap())
}

fn finding(
    detector: &'static str,
    severity: Severity,
    actor: Host,
    victim: Option<Host>,
    flows: &[FlowId],
) -> Finding {
    assert!(DETECTORS.iter().any(|rule| rule.id == detector), "{detector}");
    Finding {
        id: FindingId::from_digest(severity as u64 + flows.len() as u64),
        detector: detector.into(),
        severity,
        title: "Title".into(),
        summary: "".into(),
        actor: Party { device: None, host: actor },
        victim: victim.map(|host| Party { device: None, host }),
        matter: "".into(),
        first: at(100),
        raised: at(101),
        last: at(101),
        count: 1,
        crossed: None,
        factors: Vec::new(),
        conversations: flows.to_vec(),
        evidence: Slice::Open,
        incident: None,
        because: Vec::new(),
        judgement: None,
    }
}

fn addresses(action: &Action) -> Vec<String> {
    match action {
        Action::Contain { device, .. } | Action::Quarantine { device } | Action::RateLimit { device, .. } => {
            device.iter().map(ToString::to_string).collect()
        }
        Action::BlockDestination { device, to } => device.iter().chain(to).map(ToString::to_string).collect(),
        Action::AskPerson { then, .. } => addresses(then),
        other => panic!("{other:?}"),
    }
}

const MAC: &str = "00:1b:1b:00:00:05";

#[test]
fn detectors_of_lies_exist() {
    assert!(LIES.iter().all(|id| DETECTORS.iter().any(|rule| rule.id == *id)));
}

#[test]
fn a_device_on_the_link_is_contained_by_its_own_addresses() {
    let mut place = Place::new();
    let flow = place.talk(100, host(ATTACKER), host(PLC), 23, Some("telnet"));
    let action = place.one(finding("brute-force", Severity::High, host(ATTACKER), Some(host(PLC)), &[flow]));
    assert_eq!(action.name(), "contain");
    assert_eq!(addresses(&action), [MAC, "10.0.0.5"]);
}

#[test]
fn what_it_did_before_goes_on_but_not_with_those_who_have_a_part() {
    let mut place = Place::new();
    let broker = Host { mac: Some(mac(7)), ip: Some("10.0.0.7".parse().unwrap()) };
    let friend = Host { mac: Some(mac(8)), ip: Some("10.0.0.8".parse().unwrap()) };
    place.talk(10, host(ATTACKER), broker, 1883, Some("mqtt"));
    place.talk(11, friend, host(ATTACKER), 80, Some("http"));
    place.talk(12, host(ATTACKER), host(PLC), 502, Some("modbus"));
    place.talk(100, host(ATTACKER), broker, 23, Some("telnet"));
    let flow = place.talk(100, host(ATTACKER), host(PLC), 23, Some("telnet"));
    let action = place.one(finding("brute-force", Severity::High, host(ATTACKER), Some(host(PLC)), &[flow]));
    let Action::Contain { needed, .. } = &action else { panic!("{action:?}") };
    let told: Vec<_> =
        needed.iter().map(|need| format!("{} {} {}", need.peer, need.ports, need.device_opens)).collect();
    assert_eq!(told, ["10.0.0.7 1883 true", "10.0.0.8 80 false"]);
    let [wanted] = <[Wanted; 1]>::try_from(place.choose(&[finding(
        "brute-force",
        Severity::High,
        host(ATTACKER),
        Some(host(PLC)),
        &[flow],
    )]))
    .unwrap();
    assert_eq!(wanted.cuts.flows, 3, "both with the victim, and the new one with the broker");
}

#[test]
fn who_lies_about_addresses_is_named_by_the_link_alone_and_a_router_by_neither() {
    let place = Place::new();
    let spoofing = |actor| finding("arp-spoofing", Severity::High, actor, Some(host(PLC)), &[]);
    let action = place.one(spoofing(Host { ip: host_ip(PLC), ..host(ATTACKER) }));
    assert_eq!((action.name(), addresses(&action)), ("quarantine", vec![MAC.to_owned()]));
    assert_eq!(place.one(spoofing(host(ROUTER))).name(), "notify");
}

#[test]
fn an_address_of_another_device_is_not_cut_with_the_one_who_used_it() {
    let mut place = Place::new();
    let liar = Host { ip: host_ip(PLC), ..host(ATTACKER) };
    let flow = place.talk(100, liar, host(ROUTER), 80, None);
    let action = place.one(finding("controller-scan", Severity::High, liar, None, &[flow]));
    assert_eq!((action.name(), addresses(&action)), ("quarantine", vec![MAC.to_owned()]));
}

#[test]
fn whoever_is_behind_a_router_is_named_by_an_address_that_is_shown_to_be_true_or_somebody_is_asked() {
    let mut place = Place::new();
    let beyond = Host { mac: Some(mac(ROUTER.0)), ip: Some(BEYOND.parse().unwrap()) };
    let one = place.talk(100, beyond, host(PLC), 502, None);
    let scan = |flow| finding("controller-scan", Severity::High, beyond, Some(host(PLC)), &[flow]);
    let action = place.one(scan(one));
    assert_eq!((action.name(), addresses(&action)), ("ask", vec![BEYOND.to_owned()]));
    let whole = place.talk(101, beyond, host(PLC), 502, Some("modbus"));
    let action = place.one(scan(whole));
    assert_eq!((action.name(), addresses(&action)), ("contain", vec![BEYOND.to_owned()]));
}

#[test]
fn a_router_of_which_nothing_is_known_yet_is_not_cut_off_for_one_behind_it() {
    for ip in [BEYOND, OUTSIDE] {
        let mut place = Place::new();
        let first = Host { mac: Some(mac(77)), ip: Some(ip.parse().unwrap()) };
        let flow = place.talk(100, first, host(PLC), 23, Some("telnet"));
        let action = place.one(finding("brute-force", Severity::High, first, Some(host(PLC)), &[flow]));
        assert_eq!(addresses(&action), [ip]);
    }
}

#[test]
fn a_router_that_attacks_is_named_by_its_address_alone() {
    let mut place = Place::new();
    let flow = place.talk(100, host(ROUTER), host(PLC), 23, Some("telnet"));
    let action = place.one(finding("brute-force", Severity::High, host(ROUTER), Some(host(PLC)), &[flow]));
    assert_eq!(addresses(&action), [ROUTER.1]);
}

#[test]
fn somebody_in_the_internet_is_blocked_for_all() {
    let mut place = Place::new();
    let outside = Host { mac: Some(mac(ROUTER.0)), ip: Some(OUTSIDE.parse().unwrap()) };
    let flow = place.talk(100, outside, host(PLC), 23, Some("telnet"));
    let attack = |flows: &[FlowId]| finding("brute-force", Severity::High, outside, Some(host(PLC)), flows);
    let to = vec![OUTSIDE.parse().unwrap()];
    assert_eq!(place.one(attack(&[flow])), Action::BlockDestination { device: Vec::new(), to });
    assert_eq!(place.one(attack(&[])).name(), "ask", "without a handshake it may be made up");
}

#[test]
fn only_findings_of_high_severity_that_are_more_than_unusual_cut_without_a_person() {
    let mut place = Place::new();
    place.policy = ResponsePolicy::parse("p", "[[rule]]\nname = \"all\"\naction = \"quarantine\"").unwrap();
    let flow = place.talk(100, host(ATTACKER), host(PLC), 23, Some("telnet"));
    let of = |detector, severity| {
        place.one(finding(detector, severity, host(ATTACKER), Some(host(PLC)), &[flow])).name()
    };
    assert_eq!(of("brute-force", Severity::High), "quarantine");
    assert_eq!(of("brute-force", Severity::Critical), "quarantine");
    assert_eq!(of("port-scan", Severity::Medium), "ask");
    assert_eq!(of("new-peer", Severity::High), "ask");
}

#[test]
fn who_was_only_asked_and_did_nothing_to_anybody_is_not_cut_without_a_person() {
    let mut place = Place::new();
    let flow = place.talk(100, host(ATTACKER), host(PLC), 23, Some("telnet"));
    let action = place.one(finding("remote-access", Severity::High, host(PLC), None, &[flow]));
    assert_eq!((action.name(), addresses(&action)[1].as_str()), ("ask", PLC.1));
}

#[test]
fn a_rule_that_names_a_detector_is_followed_for_whom_that_found_and_for_nobody_else() {
    let mut place = Place::new();
    let rule =
        "[[rule]]\nname = \"let in\"\ndetectors = [\"exposed-device\", \"new-peer\"]\naction = \"contain\"";
    place.policy = ResponsePolicy::parse("p", rule).unwrap();
    let flow = place.talk(100, host(ATTACKER), host(PLC), 6667, Some("dbus"));
    let exposed = finding("exposed-device", Severity::Medium, host(PLC), None, &[flow]);
    let scan = finding("port-scan", Severity::Medium, host(ATTACKER), Some(host(PLC)), &[flow]);
    let chosen = place.choose(&[exposed, scan]);
    let done: BTreeSet<_> =
        chosen.iter().map(|wanted| (wanted.target.as_str(), wanted.request.action.name())).collect();
    assert_eq!(done, BTreeSet::from([(PLC.1, "contain"), (ATTACKER.1, "ask")]));
    // What is only unusual cuts nobody, by whatever name.
    let unusual = finding("new-peer", Severity::High, host(ATTACKER), Some(host(PLC)), &[flow]);
    assert_eq!(place.one(unusual).name(), "ask");
}

#[test]
fn what_is_told_because_of_another_finding_makes_nobody_a_target() {
    let mut place = Place::new();
    let flow = place.talk(100, host(ATTACKER), host(PLC), 23, Some("telnet"));
    let attack = finding("brute-force", Severity::High, host(ATTACKER), Some(host(PLC)), &[flow]);
    let mut story = finding("lead-up", Severity::High, host(PLC), None, &[flow]);
    story.because = vec![attack.id];
    let chosen = place.choose(&[attack, story]);
    let targets: BTreeSet<_> = chosen.iter().map(|wanted| wanted.target.as_str()).collect();
    assert_eq!(targets, BTreeSet::from(["10.0.0.5"]));
}

#[test]
fn whoever_is_guarded_by_any_address_is_left_alone_and_that_is_told() {
    let mut place = Place::new();
    let flow = place.talk(100, host(ATTACKER), host(PLC), 23, Some("telnet"));
    let attack = finding("brute-force", Severity::High, host(ATTACKER), Some(host(PLC)), &[flow]);
    for guard in ["10.0.0.5", "10.0.0.0/29", MAC] {
        place.guard = vec![guard.parse().unwrap()];
        let chosen = place.choose(std::slice::from_ref(&attack));
        assert!(chosen[0].refused.as_ref().is_some_and(|why| why.contains("guard list")), "{guard}");
    }
    place.guard = vec!["10.0.0.9".parse().unwrap()];
    assert_eq!(place.choose(&[attack])[0].refused, None, "the victim's guard protects no attacker");
}

#[test]
fn in_industrial_zones_a_person_is_asked() {
    let mut place = Place::new();
    place.policy = ResponsePolicy::parse("p", "industrial = [\"cell\"]").unwrap();
    let networks = vec!["10.0.0.9".parse().unwrap()];
    place.zones = vec![Zone { name: "cell".into(), networks, ..Zone::default() }];
    let flow = place.talk(100, host(ATTACKER), host(PLC), 23, Some("telnet"));
    let attack = |victim| finding("brute-force", Severity::High, host(ATTACKER), Some(victim), &[flow]);
    assert_eq!(place.one(attack(host(PLC))).name(), "ask");
    assert_eq!(place.one(attack(host(ROUTER))).name(), "contain");
}

#[test]
fn no_more_actors_are_acted_on_than_the_limit() {
    let place = Place::new();
    let attack = |last: u8| {
        let actor = Host::from_mac(MacAddr([2, 0, 0, 0, 1, last]));
        finding("arp-spoofing", Severity::High, actor, Some(host(PLC)), &[])
    };
    let attacks: Vec<Finding> = (0..MAX_TARGETS as u8 + 4).map(attack).collect();
    assert_eq!(place.choose(&attacks).len(), MAX_TARGETS);
}

#[test]
fn rules_choose_what_is_done() {
    let mut place = Place::new();
    let outside = Host { mac: Some(mac(ROUTER.0)), ip: Some(OUTSIDE.parse().unwrap()) };
    let flow = place.talk(100, host(ATTACKER), outside, 6667, Some("irc"));
    let call = finding("irc-botnet", Severity::High, host(ATTACKER), Some(outside), &[flow]);
    let mut of = |rest: &str| {
        place.policy = ResponsePolicy::parse("p", &format!("[[rule]]\nname = \"r\"\n{rest}")).unwrap();
        place
            .choose(std::slice::from_ref(&call))
            .into_iter()
            .map(|wanted| wanted.request.action)
            .collect::<Vec<_>>()
    };
    let device = vec!["10.0.0.5".parse().unwrap()];
    let block = Action::BlockDestination { device, to: vec![OUTSIDE.parse().unwrap()] };
    assert_eq!(of("action = \"block-destination\""), [block]);
    let session = Session {
        protocol: 6,
        client: "10.0.0.5:40000".parse().unwrap(),
        server: format!("{OUTSIDE}:6667").parse().unwrap(),
    };
    assert_eq!(of("action = \"kill-session\""), [Action::KillSession { session }]);
    assert_eq!(of("action = \"none\""), []);
    assert_eq!(of("action = \"notify\"")[0].name(), "notify");
    assert_eq!(addresses(&of("action = \"rate-limit\"\npackets_per_s = 9")[0]), [MAC, "10.0.0.5"]);
    assert_eq!(of("severity = \"critical\"\naction = \"contain\""), []);
}

/// A place of which a rule revokes credentials.
fn revoking() -> Place {
    let mut place = Place::new();
    place.policy =
        ResponsePolicy::parse("p", "[[rule]]\nname = \"r\"\naction = \"revoke-credential\"").unwrap();
    place
}

#[test]
fn credentials_are_revoked_by_device_with_what_its_issuer_may_know_it_by() {
    let mut place = revoking();
    let fact = Fact {
        about: host(ATTACKER),
        attribute: Attribute::Hostname,
        value: "camera-3".into(),
        source: "dhcp.host-name".into(),
        confidence: model::Confidence::STRONG,
    };
    place.see(at(1), What::Fact(Box::new(fact)));
    let flow = place.talk(2, host(ATTACKER), host(PLC), 443, Some("tls"));
    // Whoever has the address by another link-layer address is another device, and so is the other end.
    let imposter = Host { mac: Some(mac(66)), ..host(ATTACKER) };
    let other = place.talk(2, imposter, host(PLC), 443, Some("tls"));
    for (flow, serial) in [(flow, "0a"), (other, "0b")] {
        let head = place.known.talk(flow).unwrap().head;
        for (kind, from, serial) in [
            ("certificate", Side::Client, serial),
            ("certificate", Side::Server, "0c"),
            ("established", Side::Client, ""),
        ] {
            let text = |text: &str| model::Value::Text(text.into());
            let fields = [
                ("position", model::Value::Unsigned(0)),
                ("serial", text(serial)),
                ("issuer", text("CN=Plant")),
            ];
            let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
            fields.push(("sha256".into(), text("ff")));
            let (protocol, kind) = ("tls".into(), kind.into());
            let message = model::Message { flow: head, from, protocol, kind, fields: model::Record(fields) };
            place.see(at(3), What::Message(Box::new(message)));
        }
    }
    let flow = place.talk(100, host(ATTACKER), host(PLC), 23, Some("telnet"));
    let found = || finding("brute-force", Severity::High, host(ATTACKER), Some(host(PLC)), &[flow]);
    let Action::RevokeCredential { credential, holder: Some(holder) } = place.one(found()) else { panic!() };
    let id = place.inventory.glance(&host(ATTACKER)).unwrap().id;
    assert_eq!((credential, holder.device), (id.to_string(), id));
    assert_eq!((holder.names, holder.macs), (vec!["camera-3".into()], vec![mac(5)]));
    assert_eq!(holder.addresses, [host(ATTACKER).ip.unwrap()]);
    let serials: Vec<_> = holder.certificates.iter().map(|certificate| certificate.serial.as_str()).collect();
    assert_eq!(serials, ["0a"]);
    place.guard = vec![MAC.parse().unwrap()];
    assert!(place.choose(&[found()])[0].refused.as_deref().unwrap().contains("guard list"));
}

#[test]
fn nobodys_credentials_are_revoked_who_is_no_device_here_and_a_person_is_asked_in_doubt() {
    let mut place = revoking();
    let outside = Host { mac: Some(mac(ROUTER.0)), ip: Some(OUTSIDE.parse().unwrap()) };
    let flow = place.talk(100, outside, host(PLC), 23, Some("telnet"));
    let action = place.one(finding("brute-force", Severity::High, outside, Some(host(PLC)), &[flow]));
    let Action::Notify { text } = &action else { panic!("{action:?}") };
    assert!(text.contains("is no device of this network"), "{text}");
    // An address that may be made up is nobody's proof.
    let beyond = Host { mac: Some(mac(ROUTER.0)), ip: Some(BEYOND.parse().unwrap()) };
    for _ in 0..3 {
        place.talk(90, beyond, host(PLC), 502, Some("modbus"));
    }
    let flow = place.talk(100, beyond, host(PLC), 23, None);
    let actions = place.choose(&[finding("brute-force", Severity::High, beyond, Some(host(PLC)), &[flow])]);
    assert!(
        actions.iter().all(|wanted| !matches!(wanted.request.action, Action::RevokeCredential { .. })),
        "{actions:?}"
    );
}

#[test]
fn of_a_holder_no_more_is_told_than_may_be() {
    let place = revoking();
    let id = place.inventory.glance(&host(ATTACKER)).unwrap().id;
    let mut device = place.inventory.device(id).unwrap();
    let many = HOLDER_MAX as u8 + 5;
    let evidence = |number: u8| model::Evidence {
        value: format!("name-{number}").into(),
        source: "dhcp.host-name".into(),
        confidence: model::Confidence::STRONG,
        first: at(0),
        last: at(0),
        count: 1,
    };
    device.attributes.insert(Attribute::Label, (0..many).map(evidence).collect());
    device.macs = (0..many).map(mac).collect();
    let used = device.addresses[0];
    let address = |number: u8| model::AddressUse { ip: IpAddr::from([10, 1, 0, number]), ..used };
    device.addresses = (0..many).map(address).collect();
    let holder = holder(&device, &place.known);
    assert_eq!([holder.names.len(), holder.macs.len(), holder.addresses.len()], [HOLDER_MAX; 3]);
    // The best known names, and the latest addresses.
    assert_eq!(holder.names[0], "name-0");
    assert_eq!(holder.addresses[0], IpAddr::from([10, 1, 0, many - 1]));
}
