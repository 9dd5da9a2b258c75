//! Stories told to one detector, for tests.

use std::net::IpAddr;

use inventory::Inventory;
use model::{
    Attribute, Binding, BindingSource, Confidence, EndReason, Endpoint, Event, Fact, Finding, FlowHead,
    FlowId, FlowRecord, Host, MacAddr, Observation, Operation, OperationKind, Outcome, Reach, Role, Sample,
    Samples, Side, TcpFlags, TcpState, TcpStats, Timestamp, Transport, Value, Volume, Weakness, What,
};

use crate::judge::Detect;
use crate::rule::Rule;
use crate::settings::Settings;

/// Values that a Modbus server gave.
pub(crate) fn values(client: &str, server: &str, values: &[(&str, f64)]) -> What {
    let sample = |(point, value): &(&str, f64)| Sample { point: (*point).into(), value: *value };
    What::Samples(Box::new(Samples {
        flow: head(client, server, 502, Transport::Tcp),
        from: Side::Server,
        protocol: "modbus".into(),
        values: values.iter().map(sample).collect(),
    }))
}

/// A story told to one detector (and to an inventory), observation by observation.
pub(crate) struct Story {
    inventory: Inventory,
    detect: Detect,
    now: Timestamp,
    flows: u64,
    events: Vec<Event>,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The link-layer address that hosts of stories have: it follows from the network address.
pub(crate) fn mac_of(address: IpAddr) -> MacAddr {
    let last = match address {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => (ip.to_bits() as u32).to_be_bytes(),
    };
    MacAddr([0, 0x1b, last[0], last[1], last[2], last[3]])
}

/// A conversation between two hosts, known by their network addresses alone.
pub(crate) fn head(client: &str, server: &str, port: u16, transport: Transport) -> FlowHead {
    let end = |address: &str, port| Endpoint { host: Host::from_ip(ip(address)), port };
    FlowHead {
        id: FlowId(0),
        transport,
        vlan: None,
        client: end(client, 40_000),
        server: end(server, port),
        client_reach: Reach::Near,
        server_reach: Reach::Near,
    }
}

fn volume(packets: u64, payload: u64) -> Volume {
    Volume { packets, bytes: payload + packets * 60, payload }
}

/// A TCP conversation in which something was said.
pub(crate) fn answered(client: &str, server: &str, port: u16, protocol: &'static str) -> FlowRecord {
    let tcp = TcpStats { state: TcpState::Closed, ..TcpStats::default() };
    FlowRecord {
        head: head(client, server, port, Transport::Tcp),
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        sent: volume(6, 300),
        received: volume(6, 900),
        protocol: Some(protocol.into()),
        tcp: Some(tcp),
        end: EndReason::Finished,
    }
}

/// The same conversation, seen from its handshake on.
pub(crate) fn opened(mut record: FlowRecord) -> FlowRecord {
    if let Some(tcp) = &mut record.tcp {
        tcp.flags = [TcpFlags(TcpFlags::SYN | TcpFlags::ACK); 2];
    }
    record
}

/// A SYN that nobody answered.
pub(crate) fn unanswered(client: &str, server: &str, port: u16) -> FlowRecord {
    let tcp = TcpStats { state: TcpState::SynSent, ..TcpStats::default() };
    let mut record = answered(client, server, port, "");
    (record.sent, record.received) = (volume(1, 0), volume(0, 0));
    (record.protocol, record.tcp, record.end) = (None, Some(tcp), EndReason::Idle);
    record.head.server_reach = Reach::Unknown;
    record
}

/// A UDP conversation of so many bytes each way.
pub(crate) fn datagrams(client: &str, server: &str, port: u16, sent: u64, received: u64) -> FlowRecord {
    let mut record = answered(client, server, port, "");
    record.head.transport = Transport::Udp;
    (record.sent, record.received) =
        (volume(sent.div_ceil(1000), sent), volume(received.div_ceil(1000), received));
    (record.protocol, record.tcp, record.end) = (None, None, EndReason::Idle);
    record
}

/// A host says its name.
pub(crate) fn named(address: &str, name: &str) -> What {
    What::Fact(Box::new(Fact {
        about: Host::from_ip(ip(address)),
        attribute: Attribute::Hostname,
        value: name.into(),
        source: "nbns.name".into(),
        confidence: Confidence::STRONG,
    }))
}

/// Something that the client asks of the server.
pub(crate) fn operation(
    client: &str,
    server: &str,
    protocol: &'static str,
    kind: OperationKind,
    name: &'static str,
    outcome: Outcome,
) -> Operation {
    Operation {
        flow: head(client, server, 502, Transport::Tcp),
        from: Side::Client,
        protocol: protocol.into(),
        kind,
        name: name.into(),
        target: None,
        value: None,
        outcome,
        asked: None,
    }
}

/// A weakness of the server that a conversation shows.
pub(crate) fn weakness(client: &str, server: &str, port: u16, kind: &'static str, detail: &str) -> What {
    let flow = head(client, server, port, Transport::Tcp);
    What::Weakness(Box::new(Weakness { flow, side: Side::Server, kind: kind.into(), detail: detail.into() }))
}

/// The same, to something.
pub(crate) trait On {
    fn on(self, target: &str) -> Self;
    fn writing(self, value: Value) -> Self;
    fn at_port(self, port: u16) -> Self;
}

impl On for Operation {
    fn on(mut self, target: &str) -> Self {
        self.target = Some(target.into());
        self
    }

    fn writing(mut self, value: Value) -> Self {
        self.value = Some(value);
        self
    }

    fn at_port(mut self, port: u16) -> Self {
        self.flow.server.port = port;
        self
    }
}

impl Story {
    /// A story for one detector, which begins on a Monday at eight.
    pub(crate) fn of(rule: &'static Rule) -> Self {
        Self::set(rule, Settings::default())
    }

    /// The same, with settings.
    pub(crate) fn set(rule: &'static Rule, settings: Settings) -> Self {
        Self::with(Detect::with(settings, |known| known.id == rule.id))
    }

    /// A story for several detectors, of which one asks what others have found.
    pub(crate) fn of_all(rules: &[&'static Rule]) -> Self {
        let is_wanted = |known: &Rule| rules.iter().any(|rule| rule.id == known.id);
        Self::with(Detect::with(Settings::default(), is_wanted))
    }

    /// A story told to several detectors.
    pub(crate) fn with(detect: Detect) -> Self {
        Self {
            inventory: Inventory::new(inventory::Limits::default()),
            detect,
            now: Timestamp::from_secs(1_772_438_400),
            flows: 0,
            events: Vec::new(),
        }
    }

    /// Packet time goes on by so many seconds.
    pub(crate) fn wait(mut self, seconds: u64) -> Self {
        self.now = Timestamp::from_nanos(self.now.as_nanos() + seconds * 1_000_000_000);
        self
    }

    /// Packet time goes on by so many milliseconds.
    pub(crate) fn wait_ms(mut self, milliseconds: u64) -> Self {
        self.now = Timestamp::from_nanos(self.now.as_nanos() + milliseconds * 1_000_000);
        self
    }

    /// A host is there: it answers ARP.
    pub(crate) fn with_host(self, address: &str) -> Self {
        let address = ip(address);
        self.bound(address, mac_of(address), BindingSource::Arp)
    }

    /// A host is known to play a part.
    pub(crate) fn plays(self, address: &str, role: Role) -> Self {
        self.then(What::Fact(Box::new(Fact {
            about: Host::from_ip(ip(address)),
            attribute: Attribute::Role,
            value: role.name().into(),
            source: "test".into(),
            confidence: Confidence::CERTAIN,
        })))
    }

    /// An address is said to belong to a link-layer address.
    pub(crate) fn bound(self, ip: IpAddr, mac: MacAddr, source: BindingSource) -> Self {
        self.then(What::Binding(Binding { mac, ip, source }))
    }

    /// A conversation ends now that lasted so long as it says (or began a millisecond ago).
    pub(crate) fn flow(mut self, mut record: FlowRecord) -> Self {
        self.flows += 1;
        record.head.id = FlowId(self.flows);
        let lasted = record.last.since(record.first).as_nanos() as u64;
        record.last = self.now;
        record.first = Timestamp::from_nanos(self.now.as_nanos() - lasted.max(1_000_000));
        self.then(What::FlowEnded(Box::new(record)))
    }

    /// Somebody asks somebody for something.
    pub(crate) fn asks(mut self, mut operation: Operation) -> Self {
        if operation.flow.id == FlowId(0) {
            self.flows += 1;
            operation.flow.id = FlowId(self.flows);
        }
        self.then(What::Operation(Box::new(operation)))
    }

    /// Anything at all.
    pub(crate) fn then(mut self, what: What) -> Self {
        let observation = Observation { at: self.now, what };
        self.inventory.observe(&observation, &mut self.events);
        self.detect.observe(&observation, &self.inventory, &mut self.events);
        self
    }

    /// What was found, in the order in which it was raised.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<_> = self.detect.findings().cloned().collect();
        findings.sort_by_key(|finding| (finding.raised, finding.id));
        findings
    }

    /// The one thing that was found.
    pub(crate) fn only(&self) -> Finding {
        let findings = self.findings();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.into_iter().next().unwrap()
    }

    /// Nothing was found.
    pub(crate) fn silent(&self) {
        let findings = self.findings();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The machine, to ask it for more.
    pub(crate) fn detect(&mut self) -> &mut Detect {
        &mut self.detect
    }
}
