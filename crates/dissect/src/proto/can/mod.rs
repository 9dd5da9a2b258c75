//! CAN: what control units of vehicles and machines tell each other.
//!
//! ISO 11898-1 (frames), SAE J1939-21 clause 5.1 (how 29-bit identifiers are divided), ISO 15765-2
//! (messages in several frames), ISO 15765-4 clause 10 (the identifiers of diagnosis) and ISO 14229-1
//! (diagnostic services). Frames name no sender: what is learnt belongs to the bus. Every data frame is told as it
//! is, for those who learn how the bus behaves; of their contents, unless somebody wants messages, only diagnostic
//! requests are looked at, because they alone change something.

pub(super) mod diagnosis;

use model::{Outcome, Side};
use serde::Serialize;

use self::diagnosis::{Piece, Service};
use super::industrial::{Hex, Recent};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// CAN and CAN FD.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "can",
    name: "Controller Area Network",
    spec: "ISO 11898-1; SAE J1939-21; ISO 15765-2; ISO 14229-1",
    carriers: &[Carrier::Can],
    probe,
    start: || Box::new(Can::default()),
};

/// Flags of an identifier as SocketCAN has them.
const EXTENDED: u32 = 0x8000_0000;
const REMOTE: u32 = 0x4000_0000;
const ERROR: u32 = 0x2000_0000;

/// Bits of an identifier of each size.
const IDENTIFIER: u32 = 0x7ff;
const EXTENDED_IDENTIFIER: u32 = 0x1fff_ffff;

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.bytes.len() >= 4 && !opening.stream { Verdict::Maybe } else { Verdict::No }
}

/// A frame.
#[derive(Serialize)]
struct Message<'a> {
    id: u32,
    #[serde(flatten)]
    parameters: Option<Parameters>,
    #[serde(flatten)]
    diagnosis: Option<Diagnosis>,
    data: Hex<'a>,
}

/// A 29-bit identifier as J1939 divides it (SAE J1939-21 clause 5.2).
#[derive(Clone, Copy, Serialize)]
struct Parameters {
    priority: u8,
    /// The number of the parameter group.
    group: u32,
    source: u8,
    /// The receiver, where the group has one.
    destination: Option<u8>,
    name: Option<&'static str>,
}

/// What of a diagnostic message stands in a frame.
#[derive(Clone, Copy, Serialize)]
struct Diagnosis {
    piece: &'static str,
    service: Option<&'static str>,
    service_id: Option<u8>,
    refused: Option<u8>,
}

impl Parameters {
    fn of(id: u32) -> Self {
        let [head, format, specific, source] = id.to_be_bytes();
        let page = u32::from(head & 0x03) << 16 | u32::from(format) << 8;
        // Below 240 the third byte is the receiver, above it belongs to the group.
        let (group, destination) =
            if format < 240 { (page, Some(specific)) } else { (page | u32::from(specific), None) };
        Self { priority: head >> 2 & 7, group, source, destination, name: group_name(group) }
    }
}

/// The names of groups that every bus has (SAE J1939-21 table 3, J1939-71, J1939-73, J1939-81).
const fn group_name(group: u32) -> Option<&'static str> {
    Some(match group {
        0x0000 => "torque-speed-control",
        0xda00 | 0xdb00 => "diagnosis",
        0xe800 => "acknowledgement",
        0xea00 => "request",
        0xeb00 => "transport-data",
        0xec00 => "transport-connection",
        0xee00 => "address-claimed",
        0xef00 => "proprietary-a",
        0xf003 => "engine-controller-2",
        0xf004 => "engine-controller-1",
        0xfeca => "active-trouble-codes",
        0xfecb => "previous-trouble-codes",
        0xfed8 => "commanded-address",
        0xfeda => "software-identification",
        0xfeeb => "component-identification",
        0xfeec => "vehicle-identification",
        0xfeee => "engine-temperature",
        0xfef1 => "vehicle-speed",
        0xff00..=0xffff => "proprietary-b",
        _ => return None,
    })
}

/// Whether an identifier is one of diagnosis (ISO 15765-4 clauses 10.3.1 and 10.3.2), and whether of a
/// request.
const fn diagnostic(id: u32) -> Option<bool> {
    if id & EXTENDED == 0 {
        return match id & IDENTIFIER {
            0x7df..=0x7e7 => Some(true),
            0x7e8..=0x7ef => Some(false),
            _ => None,
        };
    }
    /// Testers have these addresses.
    const TESTER: u8 = 0xf1;
    let [_, format, receiver, sender] = (id & EXTENDED_IDENTIFIER).to_be_bytes();
    match (format, receiver, sender) {
        (0xda | 0xdb, _, TESTER) => Some(true),
        (0xda, TESTER, _) => Some(false),
        _ => None,
    }
}

#[derive(Default)]
struct Can {
    recent: Recent,
}

impl Parser for Can {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let Some((&head, data)) = input.bytes.split_first_chunk() else { return Progress::Took(0) };
        let id = u32::from_be_bytes(head);
        let request = if id & (REMOTE | ERROR) == 0 { diagnostic(id) } else { None };
        let piece = request.and_then(|_| Piece::read(data));
        if let (Some(true), Some(service)) = (request, piece.as_ref().and_then(Piece::service)) {
            self.asked(input.from, id, &service, out);
        }
        let is_extended = id & EXTENDED != 0;
        if id & (REMOTE | ERROR) == 0 {
            let bits = if is_extended { EXTENDED_IDENTIFIER } else { IDENTIFIER };
            out.bus_frame(id & bits, is_extended, data);
        }
        if out.wants_messages() {
            let message = Message {
                id: id & if is_extended { EXTENDED_IDENTIFIER } else { IDENTIFIER },
                parameters: (is_extended && request.is_none())
                    .then(|| Parameters::of(id & EXTENDED_IDENTIFIER)),
                diagnosis: piece.as_ref().map(|piece| {
                    let service = piece.service();
                    Diagnosis {
                        piece: piece.name(),
                        service: service.as_ref().map(Service::name),
                        service_id: service.as_ref().map(|service| service.id),
                        refused: service.and_then(|service| service.refused()),
                    }
                }),
                data: Hex(data),
            };
            out.message(input.from, kind(id, request), &message);
        }
        Progress::Took(input.bytes.len())
    }
}

const fn kind(id: u32, request: Option<bool>) -> &'static str {
    match request {
        _ if id & ERROR != 0 => "error",
        _ if id & REMOTE != 0 => "remote-request",
        Some(true) => "diagnostic-request",
        Some(false) => "diagnostic-response",
        None if id & EXTENDED != 0 => "parameters",
        None => "data",
    }
}

impl Can {
    /// A tester asks a control unit for something. Testers ask for values over and over; what changes
    /// something is told each time.
    fn asked(&mut self, from: Side, id: u32, service: &Service, out: &mut Emit<'_>) {
        let Some((kind, changes)) = service.operation() else { return };
        let words = [u64::from(id), u64::from(service.id), u64::from(service.parameter.unwrap_or(u16::MAX))];
        if !changes && !self.recent.is_new(&words) {
            return;
        }
        let id = id & EXTENDED_IDENTIFIER;
        let target = match service.parameter {
            Some(parameter) => format!("id {id:#x} parameter {parameter:#06x}"),
            None => format!("id {id:#x}"),
        };
        out.operation(from, kind, service.name(), Some(target.into()), None, Outcome::Asked);
    }
}

#[cfg(test)]
mod tests {
    use model::Side::Client;
    use model::Transport;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse_on, head, packets, survives, unhex};

    fn bus(frames: &[&str]) -> String {
        let frames: Vec<Vec<u8>> = frames.iter().map(|digits| unhex(digits)).collect();
        let packets: Vec<(Side, &[u8])> = frames.iter().map(|bytes| (Client, &bytes[..])).collect();
        converse_on(&PROTOCOL, head(Transport::Can, 0), false, &packets)
    }

    #[test]
    fn identifiers_are_divided_as_j1939_does() {
        // Engine controller 1 from the engine; a request for a vehicle's number to all.
        let text = bus(&["8cf00400 f07d8400 00f000ff", "98eafff9 ecfe00", "00000123 01", "c0000001 00"]);
        insta::assert_snapshot!(text, @r#"
        frame 0xcf00400 f07d840000f000ff
        client parameters {"id":217056256,"priority":3,"group":61444,"source":0,"name":"engine-controller-1","data":"f07d840000f000ff"}
        frame 0x18eafff9 ecfe00
        client parameters {"id":418054137,"priority":6,"group":59904,"source":249,"destination":255,"name":"request","data":"ecfe00"}
        frame 0x123 01
        client data {"id":291,"data":"01"}
        client remote-request {"id":1,"priority":0,"group":0,"source":1,"destination":0,"name":"torque-speed-control","data":"00"}
        "#);
    }

    #[test]
    fn diagnostic_requests_are_operations_and_polls_are_told_once() {
        let text = bus(&[
            "000007df 02010c00 00000000",
            "000007df 02010c00 00000000",
            "000007e0 02110100 00000000",
            "000007e0 02110100 00000000",
            "000007e8 037f1133 00000000",
            "98da10f1 1014 3601 0203 0405",
            "98da10f1 03 22 f190 00000000",
        ]);
        let operations: Vec<&str> = text.lines().filter(|line| line.starts_with("operation")).collect();
        insta::assert_snapshot!(operations.join("\n"), @r"
        operation client Read show-current-data id 0x7df parameter 0x000c - Asked
        operation client Restart ecu-reset id 0x7e0 - Asked
        operation client Restart ecu-reset id 0x7e0 - Asked
        operation client FirmwareUpdate transfer-data id 0x18da10f1 - Asked
        operation client Identify read-data-by-identifier id 0x18da10f1 parameter 0xf190 - Asked
        ");
        assert!(text.contains(
            r#"client diagnostic-response {"id":2024,"piece":"single","service":"ecu-reset","service_id":17,"refused":51,"data":"037f113300000000"}"#
        ), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            noise in packets(),
            id in prop_oneof![Just(0x7df_u32), Just(0x7e8), Just(0x98da_10f1), any::<u32>()],
            data in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            survives(&PROTOCOL, &noise);
            survives(&PROTOCOL, &[(Client, [&id.to_be_bytes()[..], &data].concat())]);
        }
    }
}
