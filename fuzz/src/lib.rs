//! What the fuzz targets do with their bytes. Every function takes any bytes; that it returns is the
//! claim, and what it asserts.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use brain::{Brain, Settings};
use capture::{Batch, Step};
use detect::Indicators;
use dissect::proto::{Carrier, Emit, Input, Opening, PROTOCOLS, Progress, Protocol, Told, Verdict, Wants};
use dissect::wire::defragment::{Defragmenter, Outcome};
use dissect::wire::{self, LinkType, Network};
use flow::{Engine, Frame, Frames, Limits};
use inventory::Inventory;
use model::{
    Endpoint, FlowHead, FlowId, Host, MacAddr, Observation, Reach, Side, Timestamp, Transport, What,
};
use store::format;

/// Reads the bytes as a capture file. Every frame lies within the bytes that were given or unpacked.
pub fn capture(bytes: &[u8]) {
    let Ok(mut source) = capture::from_bytes("fuzz", bytes.to_vec()) else { return };
    let (mut batch, mut packets) = (Batch::new(), 0);
    // Compressed content can be a thousand times as long; enough is enough.
    for _ in 0..256 {
        match source.next_batch(&mut batch) {
            Ok(Step::Batch) => packets += batch.frames.len() as u64,
            Ok(Step::Idle) => {}
            Ok(Step::End) | Err(_) => break,
        }
        for frame in &batch.frames {
            assert!(batch.bytes(frame).len() as u64 <= u64::from(frame.wire_length));
        }
    }
    assert_eq!(source.progress().packets, packets);
    let damages: Vec<_> = source.damages().iter().map(ToString::to_string).collect();
    assert!(damages.len() <= 1);
}

/// Takes frames apart: the first byte says how they begin, then length and bytes of each. Fragments are
/// put together.
pub fn wire(bytes: &[u8]) {
    let Some((&link, mut rest)) = bytes.split_first() else { return };
    // One kind beyond those that are read is one that is not.
    let kind = usize::from(link) % (LinkType::READ.len() + 1);
    let link = LinkType::READ.get(kind).copied().unwrap_or(LinkType(65_000));
    let mut defragmenter = Defragmenter::new();
    let mut second = 0;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(more.len());
        let (frame, more) = more.split_at(length);
        rest = more;
        second += 1;
        let at = Timestamp::from_secs(second);
        let packet = wire::decode(link, frame, frame.len() + length % 3);
        assert!(packet.payload.len() <= frame.len());
        if matches!(packet.network, Network::Ip { fragment: Some(_), .. })
            && let Outcome::Complete(whole) = defragmenter.push(&packet, at)
        {
            let inner = whole.decode();
            assert!(inner.payload.len() <= whole.payload().len());
        }
    }
    defragmenter.expire(Timestamp::from_secs(second + 1_000));
    assert_eq!(defragmenter.pending(), 0);
}

/// The conversation that protocols are read in.
fn head(transport: Transport, port: u16) -> FlowHead {
    let host = |last| Host {
        mac: Some(MacAddr([2, 0, 0, 0, 0, last])),
        ip: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))),
    };
    FlowHead {
        id: FlowId(1),
        transport,
        vlan: None,
        client: Endpoint { host: host(10), port: 49_152 },
        server: Endpoint { host: host(20), port },
        client_reach: Reach::Near,
        server_reach: Reach::Near,
    }
}

/// The transport, port and whether it is a stream, of one carrier of a protocol.
pub fn carried(protocol: &Protocol, choice: u8) -> (Transport, u16, bool) {
    match protocol.carriers[usize::from(choice) % protocol.carriers.len()] {
        Carrier::Tcp(ports) => (Transport::Tcp, ports.first().copied().unwrap_or(0), true),
        Carrier::Udp(ports) => (Transport::Udp, ports.first().copied().unwrap_or(0), false),
        Carrier::EtherType(kind) => (Transport::Ether(kind), 0, false),
        Carrier::Ip(number) => (Transport::Ip(number), 0, false),
        _ => (Transport::Ether(0), 0, false),
    }
}

/// Bytes of a stream that are kept for a parser which does not take them.
const MAX_PENDING: usize = 256 << 10;

/// What stands for a protocol at the beginning of an input, whatever its place in the list (FNV-1a, folded
/// to 16 bits).
pub fn sign(protocol: &Protocol) -> u16 {
    let digest = protocol
        .id
        .bytes()
        .fold(0x811c_9dc5_u32, |digest, byte| (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (digest ^ (digest >> 16)) as u16
}

/// Feeds a conversation to one parser as the flow engine does. The first two bytes name the protocol (it is
/// the one whose sign is nearest), the third its carrier; then follow pieces: a byte (bit 7: from the server, bit 6: bytes are missing before
/// it), a length of two bytes, and the bytes.
pub fn protocols(bytes: &[u8]) {
    let [high, low, choice, pieces @ ..] = bytes else { return };
    let wanted = u16::from_be_bytes([*high, *low]);
    let nearest = PROTOCOLS.iter().copied().min_by_key(|protocol| sign(protocol) ^ wanted);
    let Some(protocol) = nearest else { return };
    let (transport, port, stream) = carried(protocol, *choice);
    let head = head(transport, port);
    let wants = Wants { messages: choice & 0x80 == 0, judged: true };
    let mut parser = (protocol.start)();
    let (mut told, mut found) = (Told::default(), Vec::new());
    let mut pending = [Vec::new(), Vec::new()];
    let mut skip = [0_usize; 2];
    let mut rest = pieces;
    let mut second = 0;
    while let Some(([kind, high, low], more)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (piece, more) = more.split_at(length);
        rest = more;
        second += 1;
        let (from, side) = if kind & 0x80 == 0 { (Side::Client, 0) } else { (Side::Server, 1) };
        let opening = Opening { bytes: piece, from, client_port: 49_152, server_port: port, stream };
        for protocol in PROTOCOLS {
            let _: Verdict = (protocol.probe)(&opening);
        }
        let mut emit = Emit::new(&head, wants, &mut told, &mut found);
        if stream && kind & 0x40 != 0 {
            pending[side].clear();
            skip[side] = 0;
            if !parser.gap(from, u64::from(*kind) << (kind & 31), &mut emit) {
                break;
            }
        }
        let skipped = skip[side].min(piece.len());
        skip[side] -= skipped;
        if !stream {
            pending[side].clear();
        }
        pending[side].extend_from_slice(&piece[skipped..]);
        if pending[side].is_empty() || pending[side].len() > MAX_PENDING {
            continue;
        }
        let cut = if stream { 0 } else { usize::from(kind & 0x3f) };
        let input = Input { bytes: &pending[side], from, at: Timestamp::from_secs(second), cut };
        match parser.parse(&input, &mut emit) {
            Progress::Took(taken) if stream => {
                skip[side] = taken.saturating_sub(pending[side].len());
                let taken = taken.min(pending[side].len());
                pending[side].drain(..taken);
            }
            Progress::Took(_) => pending[side].clear(),
            Progress::Enough | Progress::Lost(_) => break,
            // Another parser goes on, which has its own inputs here.
            Progress::Upgrade(taken) | Progress::Become(taken, _) => {
                assert!(taken <= pending[side].len(), "{} has taken more than there was", protocol.id);
                return;
            }
        }
        found.clear();
    }
    parser.finish(&mut Emit::new(&head, wants, &mut told, &mut found));
}

/// Reads the bytes as the store's packed conversations and as a packed device. What can be read is the same
/// after it was packed again.
pub fn store(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut flows = Vec::new();
        let all = format::flows(bytes, &mut |flow| {
            flows.push(flow);
            true
        });
        all.map(|_| flows)
    };
    if let Ok(flows) = read(bytes) {
        let again: Vec<_> = format::pack_flows(&flows).iter().flat_map(|body| read(body).unwrap()).collect();
        assert_eq!(again, flows);
    }
    if let Ok(device) = format::device(bytes) {
        let mut packed = Vec::new();
        format::pack_device(&mut packed, &device);
        assert_eq!(format::device(&packed), Ok(device));
    }
}

/// A batch as the flow engine takes it.
struct Captured(Batch);

impl Frames for Captured {
    fn count(&self) -> usize {
        self.0.frames.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let frame = &self.0.frames[index];
        Frame {
            at: frame.at,
            link: frame.link,
            wire_length: frame.wire_length,
            bytes: self.0.bytes(frame),
            interface: frame.interface,
        }
    }
}

/// What is observed in a capture.
pub fn observed(bytes: &[u8]) -> Vec<Observation> {
    let mut observations = Vec::new();
    let Ok(mut source) = capture::from_bytes("seed", bytes.to_vec()) else { return observations };
    let mut engine = Engine::<Captured>::new(Limits::default(), Wants { messages: true, judged: true }, 1, 7);
    let mut batch = Batch::new();
    while matches!(source.next_batch(&mut batch), Ok(Step::Batch)) {
        engine.submit(&Arc::new(Captured(std::mem::take(&mut batch))));
        engine.collect(&mut observations);
    }
    while engine.finish(&mut observations) {}
    observations
}

/// Reads the bytes as a capture, through the flow engine to the inventory. Every packet is accounted for.
pub fn engine(bytes: &[u8]) {
    let Ok(mut source) = capture::from_bytes("fuzz", bytes.to_vec()) else { return };
    let limits =
        Limits { flows: 1_024, buffered_bytes: 4 << 20, stream_bytes: 16 << 10, ..Limits::default() };
    let mut engine = Engine::<Captured>::new(limits, Wants { messages: true, judged: true }, 1, 7);
    let mut inventory = Inventory::new(inventory::Limits::default());
    let (mut observations, mut events) = (Vec::new(), Vec::new());
    let (mut recorded, mut packets) = (0, 0);
    loop {
        let mut batch = Batch::new();
        let more = matches!(source.next_batch(&mut batch), Ok(Step::Batch)) && packets < 100_000;
        if more {
            packets += batch.frames.len() as u64;
            engine.submit(&Arc::new(Captured(batch)));
            engine.collect(&mut observations);
        } else {
            while engine.finish(&mut observations) {}
        }
        for observation in observations.drain(..) {
            inventory.observe(&observation, &mut events);
            if let What::FlowEnded(record) = &observation.what {
                recorded += record.sent.packets + record.received.packets;
            }
        }
        events.clear();
        if !more {
            break;
        }
    }
    let counters = engine.counters();
    let told = recorded + counters.without_flow + counters.fragments + counters.packets_shed;
    assert_eq!((counters.packets, counters.packets_open), (packets, 0));
    assert_eq!(told, packets, "packets told of and packets read");
    for device in inventory.devices() {
        assert!(!device.macs.is_empty() || !device.addresses.is_empty());
    }
}

/// Reads the bytes as indicators of others: a STIX 2.1 bundle, or a list. No more are held than were taken.
pub fn intel(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut indicators = Indicators::default();
    if let Ok(read) = indicators.read(&text, "fuzz") {
        assert!(indicators.len() <= read.taken);
        // What is read again replaces what it was, but for networks, which are listed.
        let again = indicators.read(&text, "fuzz").expect("read before");
        assert_eq!(again, read);
    }
}

/// Reads the bytes as settings. What can be read says the same after it was written again, and a check tells of a
/// place that is there; settings that pass it can be worked with.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(settings) = toml::from_str::<Settings>(&text) else { return };
    match settings.check() {
        Ok(()) => {
            let json = serde_json::to_string(&settings).expect("what passes the check has a form");
            assert_eq!(serde_json::from_str::<Settings>(&json).ok(), Some(settings.clone()));
            play(&mut Brain::new(inventory::Limits::default(), settings), SCENE.as_bytes());
        }
        Err(error) => assert!(!error.place().is_empty(), "{error}"),
    }
}

/// What is observed in a scene of the laboratory: a seed of `observations`.
const SCENE: &str = include_str!("../corpus/observations/plant-0");

/// So many lines of observations are taken in.
const MAX_LINES: usize = 512;

/// Takes in the observations that bytes are, one a line. What is read is the same after it was written again.
fn play(brain: &mut Brain, bytes: &[u8]) {
    let mut events = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').take(MAX_LINES) {
        let Ok(observation) = serde_json::from_slice::<Observation>(line) else { continue };
        let written = serde_json::to_vec(&observation).expect("what was read has a form");
        let again: Observation = serde_json::from_slice(&written).expect("what was written is read");
        assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
        brain.observe(&observation, &mut events);
        events.clear();
    }
}

/// Reads the bytes as observations that were recorded before, whatever they say and in whatever order.
pub fn observations(bytes: &[u8]) {
    let mut brain = Brain::new(inventory::Limits::default(), Settings::default());
    play(&mut brain, bytes);
    for (detector, learnt) in brain.detect().save() {
        assert!(
            Brain::new(inventory::Limits::default(), Settings::default())
                .detect_mut()
                .restore_learnt(detector, &learnt)
        );
    }
    brain.drain_found(true);
    for device in brain.inventory().devices() {
        assert!(!device.macs.is_empty() || !device.addresses.is_empty());
    }
}

/// Reads the bytes as what a detector had learnt, behind its id and the end of a line; and goes on with it.
pub fn learnt(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let detector = String::from_utf8_lossy(&bytes[..end]);
    let mut brain = Brain::new(inventory::Limits::default(), Settings::default());
    if brain.detect_mut().restore_learnt(&detector, &bytes[end + 1..]) {
        play(&mut brain, SCENE.as_bytes());
        brain.detect().save();
    }
}

/// Reads the bytes as an expression about a device. What is read is the same after it was printed, a refusal names a
/// place in the text, and any expression can be asked of any device.
pub fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match query::parse(&text, query::DEVICE) {
        Ok(expr) => {
            let printed = expr.to_string();
            // What is printed may be longer than an expression may be.
            if printed.len() <= query::MAX_LENGTH {
                assert_eq!(query::parse(&printed, query::DEVICE).as_ref(), Ok(&expr), "{printed}");
            }
            expr.matches(&store::conformance::device(1), Timestamp::from_secs(1 << 31));
        }
        Err(error) => assert!(text.get(error.span.start..error.span.end).is_some(), "{error}"),
    }
}

/// Reads the bytes as a policy. What is read is the same after it was printed, a problem names a place in the text, and
/// whatever can be compiled can be looked at and asked.
pub fn policy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let policy = match policy::parse(&text) {
        Ok(policy) => policy,
        Err(problems) => {
            let lines = text.split('\n').count();
            for problem in problems {
                assert!((1..=lines).contains(&(problem.place.line as usize)), "{problem}");
                problem.show("fuzz", &text);
            }
            return;
        }
    };
    assert_eq!(policy::parse(&policy.to_string()).as_ref(), Ok(&policy), "{policy}");
    let protocols =
        policy::Protocols::new([("modbus", Transport::Tcp, &[502][..]), ("dns", Transport::Udp, &[53])]);
    let devices = (0..4).map(store::conformance::device).collect();
    let estate = policy::Estate { devices, ..policy::Estate::default() };
    if let Ok(compiled) = policy::Compiled::new(policy, &protocols, estate) {
        compiled.lint();
        let flow = head(Transport::Tcp, 502);
        let ask = policy::Ask::flow(&flow, None);
        assert_eq!(compiled.explain(&ask).decision, compiled.decide(&ask));
    }
}

/// Reads the bytes as a manufacturer's description, as its signature and as a device's certificate. What was read and
/// written is read again as the same, without a fault.
pub fn mud(bytes: &[u8]) {
    assert!(mud::verify(b"{}", bytes, &[], Timestamp::EPOCH, None).is_err(), "nobody is trusted");
    let _ = mud::mud_extensions(bytes);
    if let Ok(read) = mud::read(bytes) {
        let text = mud::write(&read.file);
        // Being laid out may make it longer than what is read.
        if text.len() <= mud::MAX_BYTES {
            let again = mud::read(&text).expect("what was written can be read");
            assert_eq!(again.file, read.file);
            assert_eq!(mud::write(&again.file), text);
        }
    }
}

/// Reads the bytes as policies about access. A refusal names a line of the text, and whatever is read answers.
pub fn access(bytes: &[u8]) {
    use trust::access::{ACTIONS, Circumstances, Policies, Principal, Request, Target};
    let text = String::from_utf8_lossy(bytes);
    let policies = match Policies::parse(&[("fuzz.cedar", &text)]) {
        Ok(policies) => policies,
        Err(error) => {
            assert!((1..=text.split('\n').count()).contains(&error.line), "{error}");
            return;
        }
    };
    for (action, _) in ACTIONS {
        let request = Request {
            principal: Principal { id: "a".into(), roles: vec!["operator".into()], is_service: false },
            action: action.into(),
            target: Target {
                id: "b".into(),
                zone_kind: "industrial".into(),
                criticality: 3,
                proposer: Some("a".into()),
            },
            circumstances: Circumstances {
                mfa_age: None,
                posture: model::Access::Limited,
                new_location: true,
            },
        };
        let answer = policies.decide(&request).expect("the request fits the schema");
        assert!(!answer.explanation.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_takes_its_seeds_and_what_is_left_of_them() {
        let targets: [(&str, fn(&[u8])); 13] = [
            ("capture", capture),
            ("wire", wire),
            ("protocols", protocols),
            ("engine", engine),
            ("store", store),
            ("intel", intel),
            ("settings", settings),
            ("observations", observations),
            ("learnt", learnt),
            ("query", query),
            ("policy", policy),
            ("mud", mud),
            ("access", access),
        ];
        for (name, target) in targets {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
            for seed in folder.read_dir().expect("there are seeds") {
                let bytes = std::fs::read(seed.expect("readable").path()).expect("readable");
                target(&bytes);
                target(&bytes[..bytes.len() / 2]);
            }
        }
    }
}
