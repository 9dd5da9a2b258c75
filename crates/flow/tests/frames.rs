//! Frames without ports: an EtherType that two protocols share, and a bus without addresses.

use std::sync::Arc;
use std::time::Duration;

use dissect::proto::Wants;
use dissect::wire::LinkType;
use flow::{Engine, Frame, Frames, Limits};
use model::{EndReason, Observation, TcpState, Timestamp, What};

struct Given(LinkType, Vec<Vec<u8>>);

impl Frames for Given {
    fn count(&self) -> usize {
        self.1.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let bytes = &self.1[index];
        let at = Timestamp::from_secs(1_700_000_000 + index as u64);
        Frame { at, link: self.0, wire_length: bytes.len() as u32, bytes, interface: 0 }
    }
}

fn observe(link: LinkType, frames: Vec<Vec<u8>>) -> Vec<Observation> {
    let mut engine = Engine::<Given>::new(Limits::default(), Wants { messages: true, judged: true }, 1, 7);
    let mut observations = Vec::new();
    engine.submit(&Arc::new(Given(link, frames)));
    engine.collect(&mut observations);
    while engine.finish(&mut observations) {}
    observations
}

/// What was recognised and which messages were read, in order.
fn story(observations: &[Observation]) -> Vec<String> {
    let tell = |observation: &Observation| match &observation.what {
        What::FlowIdentified(identified) => Some(format!("it is {}", identified.protocol)),
        What::Message(message) => Some(format!("{} {}", message.protocol, message.kind)),
        _ => None,
    };
    observations.iter().filter_map(tell).collect()
}

#[test]
fn two_protocols_under_one_ethertype_share_a_conversation() {
    let frame = |body: &[u8]| {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0x92];
        bytes.extend(body);
        bytes.resize(60, 0);
        bytes
    };
    // PROFINET: a station is identified, exchanges data, and is renamed meanwhile.
    let identified = frame(&[0xfe, 0xff, 5, 1, 0, 0, 0, 7, 0, 0, 0, 0]);
    let cyclic = frame(&[0x80, 0x00, 1, 2, 3]);
    let renamed = frame(&[0xfe, 0xfd, 4, 1, 0, 0, 0, 8, 0, 0, 0, 0]);
    let frames = vec![identified, cyclic.clone(), cyclic.clone(), renamed, cyclic];
    let story = story(&observe(LinkType::ETHERNET, frames));
    assert_eq!(
        story,
        [
            "it is profinet-dcp",
            "profinet-dcp identify-response",
            "it is profinet-rt",
            "profinet-rt cyclic",
            "profinet-rt cyclic",
            "it is profinet-dcp",
            "profinet-dcp set-response",
            "it is profinet-rt",
            "profinet-rt cyclic",
        ]
    );
}

#[test]
fn a_frame_of_a_bus_reaches_its_parser_with_its_identifier() {
    let frame = vec![0x98, 0xda, 0x10, 0xf1, 3, 0, 0, 0, 2, 0x11, 1];
    let observations = observe(LinkType::CAN_SOCKETCAN, vec![frame]);
    assert_eq!(story(&observations), ["it is can", "can diagnostic-request"]);
    let restarts = observations.iter().filter(|observation| match &observation.what {
        What::Operation(operation) => operation.name == "ecu-reset",
        _ => false,
    });
    assert_eq!(restarts.count(), 1);
}

#[test]
fn a_flood_is_told_while_it_lasts_and_its_records_add_up() {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    // IPv4 (RFC 791) from 10.0.0.2 to 10.0.0.1, with UDP (RFC 768) without a checksum and four bytes.
    frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0x66, 0xcb, 10, 0, 0, 2, 10, 0, 0, 1]);
    frame.extend([0x9c, 0x40, 0x75, 0x30, 0, 12, 0, 0, 1, 2, 3, 4]);
    let limits = Limits { active_packets: 10, ..Limits::default() };
    let mut engine = Engine::<Given>::new(limits, Wants { messages: false, judged: true }, 1, 7);
    let mut observations = Vec::new();
    engine.submit(&Arc::new(Given(LinkType::ETHERNET, vec![frame; 25])));
    engine.collect(&mut observations);
    let record = |observation: &Observation| match &observation.what {
        What::FlowEnded(record) => Some((record.sent.packets, record.end)),
        _ => None,
    };
    let records = |observations: &[Observation]| observations.iter().filter_map(record).collect::<Vec<_>>();
    assert_eq!(records(&observations), [(10, EndReason::Active); 2]);
    while engine.finish(&mut observations) {}
    assert_eq!(records(&observations)[2..], [(5, EndReason::SourceEnd)]);
}

/// A segment (RFC 9293) between 10.0.0.2, port 40000, and 10.0.0.1, port 80.
fn segment(from_client: bool, sequence: u8, acknowledged: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    let (mut hosts, mut ports) = ([[10, 0, 0, 2], [10, 0, 0, 1]], [[0x9c, 0x40], [0, 80]]);
    if !from_client {
        frame[..12].rotate_left(6);
        hosts.reverse();
        ports.reverse();
    }
    let length = 40 + payload.len() as u8;
    let checksum = 0x26ce - u16::from(length - 40);
    let [high, low] = checksum.to_be_bytes();
    frame.extend([0x45, 0, 0, length, 0, 0, 0x40, 0, 64, 6, high, low]);
    frame.extend(hosts.concat());
    frame.extend(ports.concat());
    frame.extend([0, 0, 0, sequence, 0, 0, 0, acknowledged, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

#[test]
fn an_opening_is_unanswered_after_five_seconds_and_an_answer_after_that_is_told_once() {
    let (syn, accept, ack, push) = (0x02, 0x12, 0x10, 0x18);
    // Something else passes meanwhile, a frame a second.
    let mut frames = vec![segment(true, 0, 0, syn, &[])];
    frames.extend(vec![vec![0; 60]; 7]);
    let told = |frames: &[Vec<u8>]| {
        let record = |observation: &Observation| match &observation.what {
            What::FlowEnded(record) if record.head.client.host.ip == Some([10, 0, 0, 2].into()) => {
                Some((record.tcp.unwrap_or_default().state, record.received.payload, record.end))
            }
            _ => None,
        };
        let observations = observe(LinkType::ETHERNET, frames.to_vec());
        observations.iter().filter_map(record).collect::<Vec<_>>()
    };
    let unanswered = (TcpState::SynSent, 0, EndReason::Idle);
    assert_eq!(told(&frames), [unanswered]);
    frames.extend([
        segment(false, 0, 1, accept, &[]),
        segment(true, 1, 1, ack, &[]),
        segment(false, 1, 1, push, b"220 hello"),
    ]);
    assert_eq!(told(&frames), [unanswered, (TcpState::Established, 9, EndReason::SourceEnd)]);
}

#[test]
fn time_that_passes_without_packets_ends_what_waits_for_it() {
    for shards in [1, 3] {
        let wants = Wants { messages: true, judged: true };
        let mut engine = Engine::<Given>::new(Limits::default(), wants, shards, 7);
        let mut observations = Vec::new();
        let at = |seconds: u64| Timestamp::from_secs(1_700_000_000 + seconds);
        engine.pass(at(0), &mut observations);
        assert_eq!(engine.now(), Timestamp::EPOCH, "time begins with the first packet");
        engine.submit(&Arc::new(Given(LinkType::ETHERNET, vec![segment(true, 0, 0, 0x02, &[])])));
        engine.collect(&mut observations);
        for seconds in 0..=4 {
            engine.pass(at(seconds), &mut observations);
        }
        let ended = |observations: &[Observation]| {
            observations.iter().filter(|observation| matches!(observation.what, What::FlowEnded(_))).count()
        };
        assert_eq!(ended(&observations), 0);
        engine.pass(at(7), &mut observations);
        assert_eq!((ended(&observations), engine.now()), (1, at(7)), "{shards} shards");
        engine.pass(at(6), &mut observations);
        assert_eq!(engine.now(), at(7), "it does not go back");
        while engine.finish(&mut observations) {}
        assert_eq!(ended(&observations), 1);
    }
}

/// Frames on two interfaces by turns.
struct Two(Vec<Vec<u8>>);

impl Frames for Two {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let bytes = &self.0[index];
        let at = Timestamp::from_secs(1_700_000_000 + index as u64);
        let interface = if index.is_multiple_of(2) { 0 } else { 5 };
        Frame { at, link: LinkType::CAN_SOCKETCAN, wire_length: bytes.len() as u32, bytes, interface }
    }
}

#[test]
fn equal_identifiers_on_two_buses_are_two_conversations() {
    let frame = vec![0, 0, 1, 0x23, 2, 0, 0, 0, 0xab, 0xcd];
    for shards in [1, 4] {
        let wants = Wants { messages: false, judged: true };
        let mut engine = Engine::<Two>::new(Limits::default(), wants, shards, 7);
        let mut observations = Vec::new();
        engine.submit(&Arc::new(Two(vec![frame.clone(); 6])));
        engine.collect(&mut observations);
        while engine.finish(&mut observations) {}
        let buses: Vec<u16> = observations
            .iter()
            .filter_map(|observation| match &observation.what {
                What::BusFrame(frame) => Some(frame.bus),
                _ => None,
            })
            .collect();
        assert_eq!(buses, [0, 5, 0, 5, 0, 5], "{shards} shards");
        let mut records: Vec<_> = observations
            .iter()
            .filter_map(|observation| match &observation.what {
                What::FlowEnded(record) => Some((record.head.client.port, record.sent.packets)),
                _ => None,
            })
            .collect();
        records.sort_unstable();
        assert_eq!(records, [(0, 3), (5, 3)]);
    }
}

#[test]
fn where_it_is_to_be_told_soon_an_end_is_within_a_quarter_of_a_second_and_its_packets_add_up() {
    let (syn, accept, ack, finish) = (0x02, 0x12, 0x10, 0x11);
    let frames = || {
        Given(
            LinkType::ETHERNET,
            vec![
                segment(true, 0, 0, syn, &[]),
                segment(false, 0, 1, accept, &[]),
                segment(true, 1, 1, ack, &[]),
                segment(true, 1, 1, finish, &[]),
                segment(false, 1, 2, finish, &[]),
                segment(true, 2, 2, ack, &[]),
            ],
        )
    };
    let last = Timestamp::from_secs(1_700_000_005);
    let told = |limits: Limits, after: Duration| {
        let mut engine = Engine::<Given>::new(limits, Wants { messages: false, judged: true }, 1, 7);
        let mut observations = Vec::new();
        engine.submit(&Arc::new(frames()));
        engine.collect(&mut observations);
        engine.pass(last + after, &mut observations);
        let ended = |observation: &Observation| match &observation.what {
            What::FlowEnded(record) => Some((record.sent.packets, record.received.packets, record.end)),
            _ => None,
        };
        let ended: Vec<_> = observations.iter().filter_map(ended).collect();
        (ended, engine.counters().packets_open)
    };
    let whole = (vec![(4, 2, EndReason::Finished)], 0);
    // Between two of its packets there is a second here, in which the one after its end would be too late.
    let prompt = Limits { tcp_closed: Duration::from_millis(1_200), ..Limits::prompt() };
    assert_eq!(told(prompt.clone(), Duration::from_millis(1_150)).1, 6);
    assert_eq!(told(prompt, Duration::from_millis(1_250)), whole);
    assert_eq!(told(Limits::default(), Duration::from_millis(4_900)).1, 6);
    assert_eq!(told(Limits::default(), Duration::from_millis(6_000)), whole);
}

#[test]
fn timers_run_in_a_source_that_is_earlier_than_the_one_before() {
    let cyclic = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0x92, 0x80, 0x00, 1, 2, 3];
    let mut engine = Engine::<Given>::new(Limits::default(), Wants { messages: false, judged: true }, 1, 7);
    let mut observations = Vec::new();
    engine.submit(&Arc::new(Given(LinkType::ETHERNET, vec![cyclic.clone(); 100])));
    engine.collect(&mut observations);
    while engine.finish(&mut observations) {}
    observations.clear();
    // An opening that nobody answers, and somebody else, in the same seconds as before.
    let mut frames = vec![cyclic; 10];
    frames[0] = segment(true, 0, 0, 0x02, &[]);
    engine.submit(&Arc::new(Given(LinkType::ETHERNET, frames)));
    engine.collect(&mut observations);
    let is_ended = |observation: &Observation| matches!(&observation.what, What::FlowEnded(record) if record.end == EndReason::Idle);
    assert_eq!(observations.iter().filter(|observation| is_ended(observation)).count(), 1);
}
