//! Every capture that the makers of JA4 publish with its expected fingerprints, read through tshark, which
//! here only takes packets apart and says which belong to one conversation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use dissect::proto::{
    Carrier, Emit, Input, Opening, PROTOCOLS, Parser, Progress, Told, Verdict, Wants, Yield,
};
use model::{Attribute, Endpoint, FlowHead, FlowId, Host, Reach, Side, Timestamp, Transport};

/// A conversation: its transport, ports of client and server, and what was found.
struct Conversation {
    transport: Transport,
    client_port: u16,
    server_port: u16,
    parser: Option<Box<dyn Parser>>,
    over: bool,
    next: [Option<u32>; 2],
    waiting: [BTreeMap<u32, Vec<u8>>; 2],
    pending: [Vec<u8>; 2],
    skip: [usize; 2],
    told: Told,
    found: Vec<Yield>,
}

/// One line of expectation: transport, port of client, port of server, fingerprint.
type Expected = BTreeSet<(String, u16, u16, String)>;

impl Conversation {
    fn new(transport: Transport, client_port: u16, server_port: u16) -> Self {
        Self {
            transport,
            client_port,
            server_port,
            parser: None,
            over: false,
            next: [None; 2],
            waiting: Default::default(),
            pending: Default::default(),
            skip: [0; 2],
            told: Told::default(),
            found: Vec::new(),
        }
    }

    fn segment(&mut self, from: Side, sequence: u32, bytes: Vec<u8>) {
        let side = from.index();
        self.next[side].get_or_insert(sequence);
        self.waiting[side].insert(sequence, bytes);
        while let Some(next) = self.next[side] {
            let ready = self.waiting[side].iter().find_map(|(sequence, bytes)| {
                let known = usize::try_from(next.checked_sub(*sequence)?).ok()?;
                Some((*sequence, bytes.get(known..).map(<[u8]>::to_vec)))
            });
            let Some((sequence, fresh)) = ready else { break };
            self.waiting[side].remove(&sequence);
            if let Some(fresh) = fresh {
                self.next[side] = Some(next.wrapping_add(u32::try_from(fresh.len()).unwrap()));
                self.feed(from, &fresh);
            }
        }
    }

    fn feed(&mut self, from: Side, bytes: &[u8]) {
        let side = from.index();
        let skipped = self.skip[side].min(bytes.len());
        self.skip[side] -= skipped;
        self.pending[side].extend_from_slice(&bytes[skipped..]);
        let stream = self.transport == Transport::Tcp;
        if self.pending[side].is_empty() || self.over {
            return;
        }
        if self.parser.is_none() {
            let opening = Opening {
                bytes: &self.pending[side],
                from,
                client_port: self.client_port,
                server_port: self.server_port,
                stream,
            };
            let carried = |carrier: &Carrier| {
                matches!((carrier, stream), (Carrier::Tcp(_), true) | (Carrier::Udp(_), false))
            };
            self.parser = PROTOCOLS
                .iter()
                .find(|protocol| {
                    protocol.carriers.iter().any(carried) && (protocol.probe)(&opening) == Verdict::Yes
                })
                .map(|protocol| (protocol.start)());
        }
        let Some(parser) = &mut self.parser else {
            if !stream {
                self.pending[side].clear();
            }
            return;
        };
        let host = |last| Host { mac: None, ip: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))) };
        let head = FlowHead {
            id: FlowId(1),
            transport: self.transport,
            vlan: None,
            client: Endpoint { host: host(1), port: self.client_port },
            server: Endpoint { host: host(2), port: self.server_port },
            client_reach: Reach::Near,
            server_reach: Reach::Near,
        };
        let input = Input { bytes: &self.pending[side], from, at: Timestamp::EPOCH, cut: 0 };
        let mut emit = Emit::new(&head, Wants { messages: true }, &mut self.told, &mut self.found);
        match parser.parse(&input, &mut emit) {
            Progress::Took(_) if !stream => self.pending[side].clear(),
            Progress::Took(taken) => {
                self.skip[side] += taken.saturating_sub(self.pending[side].len());
                let taken = taken.min(self.pending[side].len());
                self.pending[side].drain(..taken);
            }
            Progress::Upgrade(taken) => {
                self.pending[side].drain(..taken);
                self.parser = None;
                self.feed(from, &[]);
            }
            Progress::Enough | Progress::Lost(_) => self.over = true,
        }
    }

    fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.found.iter().filter_map(|item| match item {
            Yield::Fact { attribute: Attribute::Fingerprint, value, source, .. }
                if source.ends_with(".ja4") =>
            {
                Some(&**value)
            }
            _ => None,
        })
    }
}

/// The conversations of a capture, read to their ends.
fn conversations(tshark: &Path, capture: &Path) -> Vec<Conversation> {
    const FIELDS: [&str; 9] = [
        "tcp.stream",
        "udp.stream",
        "tcp.srcport",
        "tcp.dstport",
        "tcp.seq",
        "udp.srcport",
        "udp.dstport",
        "tcp.payload",
        "udp.payload",
    ];
    let mut arguments = vec!["-r", capture.to_str().unwrap(), "-T", "fields", "-E", "occurrence=l"];
    arguments.extend(["-o", "tcp.desegment_tcp_streams:false", "-o", "ip.defragment:true"]);
    for field in FIELDS {
        arguments.extend(["-e", field]);
    }
    let text = testkit::output(tshark, &arguments).expect("tshark runs");
    let mut conversations: BTreeMap<(bool, u32), Conversation> = BTreeMap::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let number = |column: usize| columns.get(column).and_then(|text| text.parse::<u32>().ok());
        let bytes = |column: usize| -> Vec<u8> {
            let digits = columns.get(column).copied().unwrap_or_default().as_bytes();
            digits
                .chunks_exact(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        };
        let tcp = number(0).is_some();
        let (stream, ports) = if tcp { (number(0), 2) } else { (number(1), 5) };
        let (Some(stream), Some(source), Some(destination)) = (stream, number(ports), number(ports + 1))
        else {
            continue;
        };
        let (source, destination) = (source as u16, destination as u16);
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let conversation = conversations
            .entry((tcp, stream))
            .or_insert_with(|| Conversation::new(transport, source, destination));
        let from = if source == conversation.client_port { Side::Client } else { Side::Server };
        if tcp {
            let payload = bytes(7);
            if !payload.is_empty() {
                conversation.segment(from, number(4).unwrap(), payload);
            }
        } else {
            conversation.feed(from, &bytes(8));
        }
    }
    conversations.into_values().collect()
}

/// The fingerprint of each conversation's client.
fn first_hellos(conversations: &[Conversation]) -> Expected {
    let line = |conversation: &Conversation, ja4: &str| {
        let transport = if conversation.transport == Transport::Tcp { "tcp" } else { "udp" };
        (transport.into(), conversation.client_port, conversation.server_port, ja4.into())
    };
    let lines =
        |conversation| Conversation::fingerprints(conversation).map(move |ja4| line(conversation, ja4));
    conversations.iter().flat_map(lines).collect()
}

/// The fingerprints of all hellos over TCP, those after a retry included.
fn all_hellos(conversations: &[Conversation]) -> BTreeSet<(u16, String)> {
    let mut hellos = BTreeSet::new();
    for conversation in conversations.iter().filter(|conversation| conversation.transport == Transport::Tcp) {
        for item in &conversation.found {
            if let Yield::Message { kind, fields, .. } = item
                && kind == "client-hello"
                && let Some(ja4) = fields.get("ja4").and_then(model::Value::as_str)
            {
                hellos.insert((conversation.client_port, ja4.to_owned()));
            }
        }
    }
    hellos
}

/// What the second reference program printed, which knows hellos after a retry: client port and
/// fingerprint.
fn expected_of_all(text: &str) -> BTreeSet<(u16, String)> {
    let streams: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(text).expect("JSON");
    let mut expected = BTreeSet::new();
    for stream in streams {
        let port = stream.get("srcport").and_then(|port| port.as_str()).and_then(|port| port.parse().ok());
        for (name, value) in &stream {
            if let (true, Some(port), Some(ja4)) = (name.starts_with("JA4."), port, value.as_str()) {
                expected.insert((port, ja4.to_owned()));
            }
        }
    }
    expected
}

/// What the reference program printed: an item for each conversation, a line for each of its values.
fn expected(snapshot: &str) -> Expected {
    let mut expected = Expected::new();
    for item in snapshot.split("\n- stream:").skip(1) {
        let value = |name: &str| item.lines().find_map(|line| line.trim().strip_prefix(name).map(str::trim));
        let (Some(ja4), Some(transport)) = (value("ja4:"), value("transport:")) else { continue };
        let port = |name| value(name).and_then(|text| text.parse().ok()).expect("a port");
        let transport = if transport == "quic" { "udp" } else { transport };
        expected.insert((transport.into(), port("src_port:"), port("dst_port:"), ja4.into()));
    }
    expected
}

#[test]
fn fingerprints_equal_those_of_the_reference_program() {
    const TEST: &str = "fingerprints_equal_those_of_the_reference_program";
    let Some(tshark) = testkit::peer(TEST, "tshark") else { return };
    let Some(captures) = testkit::corpus(TEST, "ja4/pcap") else { return };
    let Some(snapshots) = testkit::corpus(TEST, "ja4/rust/ja4/src/snapshots") else { return };
    let Some(listings) = testkit::corpus(TEST, "ja4/python/test/testdata") else { return };
    let (mut compared, mut wrong) = (0, String::new());
    for capture in testkit::captures(&captures) {
        let name = capture.file_name().unwrap().to_str().unwrap();
        let Ok(snapshot) = std::fs::read_to_string(snapshots.join(format!("ja4__insta@{name}.snap"))) else {
            continue;
        };
        let conversations = conversations(&tshark, &capture);
        let (expected, found) = (expected(&snapshot), first_hellos(&conversations));
        compared += expected.len();
        for missing in expected.difference(&found) {
            wrong += &format!("{name}: missing {missing:?}\n");
        }
        for surplus in found.difference(&expected) {
            wrong += &format!("{name}: surplus {surplus:?}\n");
        }
        let listing = std::fs::read_to_string(listings.join(format!("{name}.json"))).expect("a listing");
        for missing in expected_of_all(&listing).difference(&all_hellos(&conversations)) {
            wrong += &format!("{name}: missing among all hellos {missing:?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(compared > 100, "only {compared} fingerprints were compared");
}
