//! Drives one parser through a conversation and prints what it yields, for known-answer tests.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use model::{Endpoint, FlowHead, FlowId, Host, MacAddr, Reach, Side, Timestamp, Transport};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::proto::{
    Carrier, Emit, Input, Opening, PROTOCOLS, Parser, Progress, Protocol, Told, Verdict, Wants, Yield, by_id,
};

/// The port that clients in tests ask from.
const CLIENT_PORT: u16 = 49_152;

/// The conversation that tests talk about: 192.0.2.10:49152 asks 192.0.2.20 on `port`.
pub(crate) fn head(transport: Transport, port: u16) -> FlowHead {
    let host = |last| Host {
        mac: Some(MacAddr([0x02, 0, 0, 0, 0, last])),
        ip: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))),
    };
    FlowHead {
        id: FlowId(1),
        transport,
        vlan: None,
        client: Endpoint { host: host(10), port: CLIENT_PORT },
        server: Endpoint { host: host(20), port },
        client_reach: Reach::Near,
        server_reach: Reach::Near,
    }
}

/// What a probe is shown of a conversation with `server_port` that the client begins with `bytes`.
pub(crate) fn opening(bytes: &[u8], server_port: u16, stream: bool) -> Opening<'_> {
    Opening { bytes, from: Side::Client, client_port: CLIENT_PORT, server_port, stream }
}

/// Feeds `packets` to `protocol` on its usual port as the flow engine would, and prints all yields, one
/// to a line, and `taken`/`lost` remarks where the parser stopped. Streams are buffered as the engine
/// does. The probe is asked first and must not say no.
pub(crate) fn converse(protocol: &Protocol, packets: &[(Side, &[u8])]) -> String {
    let (transport, port, stream) = match protocol.carriers[0] {
        Carrier::Tcp(ports) => (Transport::Tcp, ports.first().copied().unwrap_or(0), true),
        Carrier::Udp(ports) => (Transport::Udp, ports.first().copied().unwrap_or(0), false),
        Carrier::EtherType(kind) => (Transport::Ether(kind), 0, false),
        Carrier::Ip(number) => (Transport::Ip(number), 0, false),
        _ => (Transport::Ether(0), 0, false),
    };
    converse_on(protocol, head(transport, port), stream, packets)
}

/// As [`converse`], on a conversation of the caller's choice.
pub(crate) fn converse_on(
    protocol: &Protocol,
    head: FlowHead,
    stream: bool,
    packets: &[(Side, &[u8])],
) -> String {
    if let Some((from, bytes)) = packets.first() {
        let (client_port, server_port) = (head.client.port, head.server.port);
        let opening = Opening { bytes, from: *from, client_port, server_port, stream };
        assert_ne!((protocol.probe)(&opening), Verdict::No, "the probe does not know its own protocol");
    }
    read(protocol, head, stream, packets)
}

/// As [`converse`] on a stream, for a protocol that no probe knows because another names it.
pub(crate) fn converse_with(protocol: &Protocol, packets: &[(Side, &[u8])]) -> String {
    read(protocol, head(Transport::Tcp, 80), true, packets)
}

fn read(protocol: &Protocol, head: FlowHead, stream: bool, packets: &[(Side, &[u8])]) -> String {
    let mut parser = Some((protocol.start)());
    let mut told = Told::default();
    let mut found = Vec::new();
    let mut text = String::new();
    let mut pending: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    let mut skip = [0_usize; 2];
    for (number, (from, bytes)) in packets.iter().enumerate() {
        let side = from.index();
        let skipped = skip[side].min(bytes.len());
        skip[side] -= skipped;
        pending[side].extend_from_slice(&bytes[skipped..]);
        if pending[side].is_empty() {
            continue;
        }
        if parser.is_none() {
            parser = recognise(&pending[side], *from, &head, &mut text);
        }
        let Some(reading) = &mut parser else { continue };
        let at = Timestamp::from_secs(number as u64 + 1);
        let input = Input { bytes: &pending[side], from: *from, at, cut: 0 };
        let mut emit = Emit::new(&head, Wants { messages: true, judged: true }, &mut told, &mut found);
        let progress = reading.parse(&input, &mut emit);
        for item in found.drain(..) {
            text.push_str(&line(&item));
            text.push('\n');
        }
        match progress {
            Progress::Took(taken) if stream => {
                skip[side] += taken.saturating_sub(pending[side].len());
                let taken = taken.min(pending[side].len());
                pending[side].drain(..taken);
            }
            Progress::Took(_) => pending[side].clear(),
            Progress::Enough => {
                text.push_str("enough\n");
                break;
            }
            Progress::Upgrade(taken) => {
                text.push_str("upgrade\n");
                let taken = taken.min(pending[side].len());
                pending[side].drain(..taken);
                parser = None;
            }
            Progress::Become(taken, id) => {
                text.push_str(&format!("it becomes {id}\n"));
                pending[side].drain(..taken.min(pending[side].len()));
                parser = by_id(id).map(|protocol| (protocol.start)());
            }
            Progress::Lost(reason) => {
                text.push_str(&format!("lost: {reason}\n"));
                break;
            }
        }
    }
    let mut emit = Emit::new(&head, Wants { messages: true, judged: true }, &mut told, &mut found);
    if let Some(parser) = &mut parser {
        parser.finish(&mut emit);
    }
    for item in found.drain(..) {
        text.push_str(&line(&item));
        text.push('\n');
    }
    text
}

/// Finds the protocol of a stream after an upgrade, says which, and starts to read it.
fn recognise(bytes: &[u8], from: Side, head: &FlowHead, text: &mut String) -> Option<Box<dyn Parser>> {
    let (client_port, server_port) = (head.client.port, head.server.port);
    let opening = Opening { bytes, from, client_port, server_port, stream: true };
    let protocol = PROTOCOLS.iter().find(|protocol| {
        protocol.carriers.iter().any(|carrier| matches!(carrier, Carrier::Tcp(_)))
            && (protocol.probe)(&opening) == Verdict::Yes
    })?;
    text.push_str(&format!("it is {}\n", protocol.id));
    Some((protocol.start)())
}

/// One yield, on one line.
pub(crate) fn line(item: &Yield) -> String {
    let side = |side: &Side| if *side == Side::Client { "client" } else { "server" };
    match item {
        Yield::Message { from, kind, fields } => {
            format!("{} {kind} {}", side(from), serde_json::to_string(fields).expect("fields are JSON"))
        }
        Yield::Fact { about, attribute, value, source, confidence } => {
            format!("fact {about} {attribute} = {value:?} ({source}, {}%)", confidence.get())
        }
        Yield::Binding(binding) => format!("binding {} is at {}", binding.ip, binding.mac),
        Yield::Operation { from, kind, name, target, value, outcome, .. } => format!(
            "operation {} {kind:?} {name} {} {} {outcome:?}",
            side(from),
            target.as_deref().unwrap_or("-"),
            value.as_ref().map_or("-".into(), |value| serde_json::to_string(value).expect("a value is JSON")),
        ),
        Yield::BusFrame { id, data, .. } => format!("frame {id:#x} {data}"),
        Yield::Samples { from, values } => values
            .iter()
            .map(|model::Sample { point, value }| format!("sample {} {point} = {value}", side(from)))
            .collect::<Vec<_>>()
            .join("\n"),
        Yield::Resolved { name, addresses, ttl } => format!("resolved {name} {addresses:?} {ttl} s"),
        Yield::Anomaly { from, reason, detail } => format!("anomaly {} {reason}: {detail}", side(from)),
        Yield::Weakness { side: of, kind, detail } => format!("weakness {} {kind}: {detail}", side(of)),
    }
}

/// The lines of a conversation that are no messages.
pub(crate) fn told(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("client ") && !line.starts_with("server ")).collect()
}

/// User data in a data TPDU (ISO 8073 clause 13.7) in a TPKT (RFC 1006 clause 6).
pub(crate) fn in_tpkt(user: &[u8]) -> Vec<u8> {
    let length = (user.len() as u16 + 7).to_be_bytes();
    [&[3, 0][..], &length, &[2, 0xf0, 0x80], user].concat()
}

/// Feeds arbitrary bytes to the probe and, if it does not refuse, to the parser: nothing may panic.
pub(crate) fn survives(protocol: &Protocol, packets: &[(Side, Vec<u8>)]) {
    let head = head(Transport::Tcp, 1);
    for (stream, _) in [(true, ()), (false, ())] {
        let mut parser = (protocol.start)();
        let (mut told, mut found) = (Told::default(), Vec::new());
        for (from, bytes) in packets {
            let opening = Opening { bytes, from: *from, client_port: 1, server_port: 1, stream };
            let _ = (protocol.probe)(&opening);
            let input = Input { bytes, from: *from, at: Timestamp::EPOCH, cut: 0 };
            let mut emit = Emit::new(&head, Wants { messages: true, judged: true }, &mut told, &mut found);
            let progress = parser.parse(&input, &mut emit);
            if !matches!(progress, Progress::Took(_)) {
                break;
            }
        }
        let mut emit = Emit::new(&head, Wants { messages: true, judged: true }, &mut told, &mut found);
        parser.finish(&mut emit);
    }
}

/// Some packets of arbitrary bytes from either side, for property tests.
pub(crate) fn packets() -> impl Strategy<Value = Vec<(Side, Vec<u8>)>> {
    packets_of(vec(any::<u8>(), 0..300), 0..8)
}

/// As [`packets`], with a number to choose by beside the bytes of each.
pub(crate) fn choices() -> impl Strategy<Value = Vec<(Side, (u8, Vec<u8>))>> {
    packets_of((any::<u8>(), vec(any::<u8>(), 0..200)), 0..8)
}

/// As [`packets`], with content of the caller's choice.
pub(crate) fn packets_of<C: Strategy>(
    content: C,
    count: Range<usize>,
) -> impl Strategy<Value = Vec<(Side, C::Value)>> {
    vec((prop_oneof![Just(Side::Client), Just(Side::Server)], content), count)
}

/// As [`packets`], for a protocol of lines: what is `known` and reaches deep states, in any order, with
/// other lines and `noise` between.
pub(crate) fn pieces(
    known: &'static [&'static [u8]],
    noise: impl Strategy<Value = Vec<u8>> + 'static,
) -> impl Strategy<Value = Vec<(Side, Vec<u8>)>> {
    let piece = prop_oneof![
        known.len() as u32 => select(known).prop_map(<[u8]>::to_vec),
        1 => "[ -~]{0,8}\r\n".prop_map(String::into_bytes),
        1 => noise,
    ];
    packets_of(piece, 0..16)
}

/// The packets whose bytes `make` makes of who sends and of what they hold.
pub(crate) fn made<C>(packets: &[(Side, C)], make: impl Fn(Side, &C) -> Vec<u8>) -> Vec<(Side, Vec<u8>)> {
    packets.iter().map(|(side, content)| (*side, make(*side, content))).collect()
}

/// Tests that a protocol survives any bytes and, where it is said how to frame them, any bytes behind a
/// true beginning, which reach further. Framed is `(choice, bytes)`, `choice` any number.
macro_rules! any_bytes_are_survived {
    ($protocol:expr $(, $frame:expr)?) => {
        proptest::proptest! {
            #[test]
            fn any_bytes_are_survived(packets in $crate::testing::packets()) {
                $crate::testing::survives(&$protocol, &packets);
            }

            $(
                #[test]
                fn any_bytes_behind_a_header_are_survived(packets in $crate::testing::choices()) {
                    $crate::testing::survives(&$protocol, &$crate::testing::made(&packets, $frame));
                }
            )?
        }
    };
}
pub(crate) use any_bytes_are_survived;

/// A recorded conversation: a line for each packet, `C` or `S` for who sent it and its bytes in
/// hexadecimal digits; lines that begin with `#` are remarks.
pub(crate) fn conversation(text: &str) -> Vec<(Side, Vec<u8>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (side, digits) = line.split_once(' ').expect("a side and bytes");
            (if side == "C" { Side::Client } else { Side::Server }, unhex(digits))
        })
        .collect()
}

/// Bytes from hexadecimal digits; white space between them is passed over.
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

/// As [`converse`], for a recorded conversation.
pub(crate) fn replay(protocol: &Protocol, packets: &[(Side, Vec<u8>)]) -> String {
    let packets: Vec<(Side, &[u8])> = packets.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
    converse(protocol, &packets)
}

/// Damage for [`damage`]: packet, byte, new value.
pub(crate) type Hit = (Index, Index, u8);

/// Up to eight places to damage.
pub(crate) fn hits() -> impl Strategy<Value = Vec<Hit>> {
    vec(any::<Hit>(), 1..8)
}

/// A conversation with some bytes overwritten.
pub(crate) fn damage(packets: &[(Side, Vec<u8>)], hits: &[Hit]) -> Vec<(Side, Vec<u8>)> {
    let mut packets = packets.to_vec();
    for (packet, byte, value) in hits {
        let packet = packet.index(packets.len());
        let (_, bytes) = &mut packets[packet];
        let at = byte.index(bytes.len());
        bytes[at] = *value;
    }
    packets
}

/// What a conversation yields, with the long lists of a record left out: `[..]`.
pub(crate) fn without_long_lists(text: &str) -> String {
    const LONG: usize = 80;
    let mut short = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let (list, behind) = after.split_once(']').expect("lists end");
        let list = if list.len() > LONG { ".." } else { list };
        short.push_str(&format!("{before}[{list}]"));
        rest = behind;
    }
    short + rest
}
