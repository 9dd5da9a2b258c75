//! What people have declared: who is judged by it, when, and by what is known of him then.

use std::net::IpAddr;
use std::sync::Arc;

use brain::{Brain, Limits, MAX_WAITING, Profiles, Rules, SETTLING, Settings};
use model::{
    Attribute, Binding, BindingSource, Confidence, EndReason, Endpoint, Fact, Finding, FlowHead, FlowId,
    FlowIdentified, FlowRecord, Host, MacAddr, Observation, Operation, OperationKind, Outcome, Reach, Role,
    Severity, Side, TcpState, TcpStats, Timestamp, Transport, Volume, What,
};
use policy::Protocols;

const START: u64 = 1_772_438_400;

/// A brain that is told a story second by second.
struct Story {
    brain: Brain,
    now: u64,
    flows: u64,
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn flow(id: u64, client: IpAddr, server: IpAddr, transport: Transport, port: u16) -> FlowHead {
    let end = |ip, port| Endpoint { host: Host::from_ip(ip), port };
    FlowHead {
        id: FlowId(id),
        transport,
        vlan: None,
        client: end(client, 40_000),
        server: end(server, port),
        client_reach: Reach::Near,
        server_reach: Reach::Near,
    }
}

impl Story {
    fn new(policy: &str, profiles: Profiles) -> Self {
        let protocols = || Protocols::new([("modbus", Transport::Tcp, &[502][..])]);
        let policy = (!policy.is_empty()).then(|| (Arc::new(policy::parse(policy).unwrap()), protocols()));
        let mut brain = Brain::new(Limits::default(), Settings::default());
        brain.declare(Rules { policy, profiles }).unwrap();
        Self { brain, now: START, flows: 0 }
    }

    fn tell(&mut self, what: What) -> &mut Self {
        let observation = Observation { at: Timestamp::from_secs(self.now), what };
        self.brain.observe(&observation, &mut Vec::new());
        self
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += seconds;
        self
    }

    fn with(&mut self, last: u8) -> &mut Self {
        let mac = MacAddr([0, 0x1b, 0, 0, 0, last]);
        self.tell(What::Binding(Binding { mac, ip: ip(last), source: BindingSource::Arp }))
    }

    fn is(&mut self, last: u8, attribute: Attribute, value: &str) -> &mut Self {
        self.tell(What::Fact(Box::new(Fact {
            about: Host::from_ip(ip(last)),
            attribute,
            value: value.into(),
            source: "test".into(),
            confidence: Confidence::CERTAIN,
        })))
    }

    /// A Modbus client writes.
    fn writes(&mut self, client: u8, server: u8, target: &str) -> &mut Self {
        self.flows += 1;
        let flow = flow(self.flows, ip(client), ip(server), Transport::Tcp, 502);
        self.tell(What::FlowOpened(Box::new(flow)));
        self.tell(What::FlowIdentified(Box::new(FlowIdentified { flow, protocol: "modbus".into() })));
        self.tell(What::Operation(Box::new(Operation {
            flow,
            from: Side::Client,
            protocol: "modbus".into(),
            kind: OperationKind::Write,
            name: "write-single-coil".into(),
            target: Some(target.into()),
            value: None,
            outcome: Outcome::Done,
            asked: None,
        })))
    }

    fn found(&self, detector: &str) -> Vec<&Finding> {
        self.brain.detect().findings().filter(|finding| finding.detector == detector).collect()
    }

    fn violations(&self) -> Vec<&Finding> {
        self.found("policy-violation")
    }
}

/// A TCP conversation of which nobody recognised the protocol.
fn record(id: u64, client: IpAddr, server: IpAddr, port: u16, state: TcpState) -> What {
    let volume = Volume { packets: 4, bytes: 400, payload: 100 };
    What::FlowEnded(Box::new(FlowRecord {
        head: flow(id, client, server, Transport::Tcp, port),
        first: Timestamp::from_secs(START),
        last: Timestamp::from_secs(START),
        sent: volume,
        received: volume,
        protocol: None,
        tcp: Some(TcpStats { state, ..TcpStats::default() }),
        end: EndReason::Finished,
    }))
}

const PANELS: &str = "allow role:hmi -> role:plc modbus write coils 1-9\n";

#[test]
fn who_has_just_appeared_is_judged_when_it_is_known_what_he_is() {
    let mut story = Story::new(PANELS, Profiles::default());
    // What they are is said after what they did.
    story.with(5).with(9).writes(5, 9, "coils 4").wait(60);
    story.is(5, Attribute::Role, Role::Hmi.name()).is(9, Attribute::Role, Role::Plc.name());
    story.wait(SETTLING.as_secs()).with(7);
    assert_eq!(story.violations(), Vec::<&Finding>::new());
    // From now on it is told at once.
    story.writes(5, 9, "coils 12").writes(5, 9, "coils 4").writes(5, 9, "coils 12");
    let found = story.violations();
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].matter, found[0].count, found[0].severity), ("modbus write", 2, Severity::Medium));
    assert!(found[0].summary.contains("coils 12"), "{}", found[0].summary);
    // A newcomer of whom nothing speaks is judged after his time, of when he did it.
    story.with(6).writes(6, 9, "coils 12");
    assert_eq!(story.violations().len(), 1);
    let did = Timestamp::from_secs(story.now);
    story.wait(SETTLING.as_secs()).with(6);
    let found = story.violations();
    let newcomer = found.iter().find(|finding| finding.actor.host.ip == Some(ip(6))).unwrap();
    assert_eq!((&*newcomer.matter, newcomer.first), ("modbus write", did));
}

#[test]
fn the_end_of_a_source_lets_nobody_off() {
    let mut story = Story::new(PANELS, Profiles::default());
    story.with(5).with(9).writes(5, 9, "coils 12");
    assert!(story.violations().is_empty());
    story.tell(What::SourceEnded(Box::default()));
    assert_eq!(story.violations().len(), 1);
}

#[test]
fn more_than_can_wait_is_told_at_once() {
    let mut story = Story::new(PANELS, Profiles::default());
    story.with(5).with(9);
    for port in 0..=MAX_WAITING as u16 {
        assert!(story.violations().is_empty(), "{port}");
        story.tell(record(u64::from(port), ip(5), ip(9), port, TcpState::Closed));
    }
    assert_eq!(story.violations().len(), 1);
}

#[test]
fn a_refusal_is_an_attempt_and_a_conversation_is_asked_about_once() {
    let mut story = Story::new("allow 10.0.0.5 -> 10.0.0.9 tcp/80\n", Profiles::default());
    story.with(5).with(9).wait(SETTLING.as_secs());
    for id in 0..2 {
        story.tell(record(id, ip(5), ip(9), 22, TcpState::Refused));
    }
    story.tell(record(2, ip(5), ip(9), 80, TcpState::Closed));
    assert!(story.violations().is_empty());
    let head = flow(3, ip(5), ip(9), Transport::Tcp, 23);
    story.tell(What::FlowOpened(Box::new(head)));
    story.tell(What::FlowIdentified(Box::new(FlowIdentified { flow: head, protocol: "telnet".into() })));
    let found = story.violations();
    assert_eq!((found.len(), found[0].count), (1, 1));
}

fn profile(url: &str) -> mud::MudFile {
    let subject = mud::Subject {
        url: url.into(),
        last_update: "2026-03-02T08:00:00Z".into(),
        systeminfo: None,
        mfg_name: None,
        model_name: None,
        firmware_rev: None,
    };
    // It answers web requests from the local networks, and no more.
    let seen = mud::Seen {
        initiator: mud::Initiator::Peer,
        peer: mud::Peer { address: Some(ip(9)), is_local: true, ..mud::Peer::default() },
        version: Some(mud::IpVersion::V4),
        transport: Transport::Tcp,
        server_port: Some(80),
        client_port: None,
        icmp: None,
        protocol: Some("http".into()),
        is_answered: true,
        bytes: 1000,
        count: 10,
        first: Timestamp::from_secs(START),
        last: Timestamp::from_secs(START),
        days: 3,
    };
    mud::generate(&subject, &[seen]).unwrap().file
}

#[test]
fn a_device_is_judged_by_the_profile_that_it_names_and_others_are_not() {
    let mut profiles = Profiles::default();
    profiles.add(profile("https://lamps.example/lamp.json"));
    let mut story = Story::new("", profiles);
    let stranger = IpAddr::from([203, 0, 113, 7]);
    story.with(5).with(6).with(9).is(5, Attribute::MudUrl, "https://lamps.example/lamp.json");
    story.is(6, Attribute::MudUrl, "https://lamps.example/other.json").wait(SETTLING.as_secs());
    for (id, last) in [(1, 5), (2, 6), (3, 9)] {
        story.tell(record(id, ip(last), stranger, 4444, TcpState::Closed));
        story.tell(record(id + 10, ip(9), ip(last), 80, TcpState::Closed));
    }
    let found = story.found("mud-deviation");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].actor.host.ip, &*found[0].matter), (Some(ip(5)), "tcp/4444"));
    assert_eq!(found[0].severity, Severity::Medium);
}

#[test]
fn a_policy_that_means_nothing_is_refused() {
    let policy = Arc::new(policy::parse("allow nobody -> local modbus\n").unwrap());
    let rules = Rules { policy: Some((policy, Protocols::new([]))), profiles: Profiles::default() };
    let problems = Brain::new(Limits::default(), Settings::default()).declare(rules).unwrap_err();
    assert_eq!(problems[0].place.line, 1);
}
