//! PROFINET real-time frames: the cyclic exchange between controller and devices, alarms, and the
//! clocks of isochronous networks.
//!
//! IEC 61158-6-10 clause 4.2.2.3 (frame identifiers), 4.7 (cyclic data), 4.9 (alarms). Thousands of
//! these arrive in a second from each station: when nobody wants messages, nothing but the identifier is
//! looked at.

use model::Side;
use serde::Serialize;

use super::profinet_dcp;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// PROFINET real time.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "profinet-rt",
    name: "PROFINET real-time",
    spec: "IEC 61158-6-10",
    carriers: &[Carrier::EtherType(0x8892)],
    probe,
    start: || Box::new(RealTime),
};

/// The frame identifiers of alarms: of high and of low priority.
const ALARM_HIGH: u16 = 0xfc01;
const ALARM_LOW: u16 = 0xfe01;

/// The kind of frame that an identifier stands for (clause 4.2.2.3), if it is one of these.
const fn kind(id: u16) -> Option<&'static str> {
    Some(match id {
        0x0020 | 0x0021 | 0x0080 | 0x0081 => "clock-sync",
        0x0100..=0x7fff => "cyclic-isochronous",
        0x8000..=0xfbff => "cyclic",
        ALARM_HIGH => "alarm-high",
        ALARM_LOW => "alarm-low",
        0xff00 | 0xff01 | 0xff20..=0xff23 => "clock-announce",
        0xff40..=0xff43 => "clock-delay",
        0xff80..=0xff8f => "fragment",
        _ => return None,
    })
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        [high, low, ..] if kind(u16::from_be_bytes([*high, *low])).is_some() => Verdict::Yes,
        _ => Verdict::No,
    }
}

struct RealTime;

impl Parser for RealTime {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let [high, low, ref rest @ ..] = *input.bytes else { return Progress::Took(0) };
        let id = u16::from_be_bytes([high, low]);
        if profinet_dcp::FRAMES.contains(&id) {
            return Progress::Upgrade(0);
        }
        if out.wants_messages() || matches!(id, ALARM_HIGH | ALARM_LOW) {
            frame(input.from, id, rest, input.cut, out);
        }
        Progress::Took(input.bytes.len())
    }
}

/// Cyclic data with the status that stands at its end (clause 4.7.2).
#[derive(Serialize)]
struct Cyclic {
    frame_id: u16,
    length: usize,
    cycle: u16,
    /// Whether this provider is the primary one of two.
    primary: bool,
    /// Whether the data are valid.
    valid: bool,
    /// Whether the program of the provider runs.
    running: bool,
    /// Whether the provider reports no problem.
    ok: bool,
    transfer_status: u8,
}

/// An alarm or its acknowledgement (clause 4.9).
#[derive(Serialize)]
struct Alarm {
    destination_endpoint: u16,
    source_endpoint: u16,
    pdu: &'static str,
    sequence: u16,
    acknowledges: u16,
    alarm: Option<&'static str>,
    slot: Option<u16>,
    subslot: Option<u16>,
}

/// Any other frame.
#[derive(Serialize)]
struct Other {
    frame_id: u16,
}

fn frame(from: Side, id: u16, bytes: &[u8], cut: usize, out: &mut Emit<'_>) {
    match kind(id) {
        Some(name @ ("cyclic" | "cyclic-isochronous")) => {
            // The status is known by its place at the end, so the end must be there.
            if let ([data @ .., c1, c2, status, transfer_status], 0) = (bytes, cut) {
                let message = Cyclic {
                    frame_id: id,
                    length: data.len(),
                    cycle: u16::from_be_bytes([*c1, *c2]),
                    primary: status & 1 != 0,
                    valid: status & 1 << 2 != 0,
                    running: status & 1 << 4 != 0,
                    ok: status & 1 << 5 != 0,
                    transfer_status: *transfer_status,
                };
                out.message(from, name, &message);
            }
        }
        Some(name @ ("alarm-high" | "alarm-low")) => match alarm(bytes) {
            Ok(alarm) => out.message(from, name, &alarm),
            Err(Short) if cut == 0 => {
                out.anomaly(from, "length", format_args!("an alarm of {} bytes", bytes.len()));
            }
            Err(Short) => {}
        },
        name => out.message(from, name.unwrap_or("unknown"), &Other { frame_id: id }),
    }
}

fn alarm(bytes: &[u8]) -> Result<Alarm, Short> {
    let mut reader = Reader::new(bytes);
    let (destination_endpoint, source_endpoint) = (reader.be16()?, reader.be16()?);
    let kind = reader.u8()?;
    reader.skip(1)?;
    let (sequence, acknowledges, length) = (reader.be16()?, reader.be16()?, reader.be16()?);
    let mut alarm = Alarm {
        destination_endpoint,
        source_endpoint,
        pdu: match kind & 0x0f {
            1 => "data",
            2 => "nack",
            3 => "ack",
            4 => "error",
            _ => "unknown",
        },
        sequence,
        acknowledges,
        alarm: None,
        slot: None,
        subslot: None,
    };
    let mut block = Reader::new(reader.take(length.into())?);
    if kind & 0x0f == 1 && !block.is_empty() {
        // Block type, length and version; then what is the matter and where.
        block.skip(6)?;
        alarm.alarm = Some(reason(block.be16()?));
        block.skip(4)?;
        (alarm.slot, alarm.subslot) = (Some(block.be16()?), Some(block.be16()?));
    }
    Ok(alarm)
}

/// What an alarm is about (IEC 61158-6-10 clause 5.2.7.2).
const fn reason(code: u16) -> &'static str {
    match code {
        1 => "diagnosis",
        2 => "process",
        3 => "pull",
        4 => "plug",
        5 => "status",
        6 => "update",
        7 => "redundancy",
        8 => "controlled-by-supervisor",
        9 => "released",
        10 => "plug-wrong-submodule",
        11 => "return-of-submodule",
        12 => "diagnosis-disappears",
        13 => "multicast-mismatch",
        14 => "port-data-change",
        15 => "sync-data-changed",
        16 => "isochronous-mode-problem",
        17 => "network-component-problem",
        18 => "time-data-changed",
        19 => "dynamic-frame-packing-problem",
        20 => "media-redundancy-problem",
        21 => "multiple-interface-mismatch",
        30 => "upload-and-retrieval",
        31 => "pull-module",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use model::Side::{Client, Server};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, packets, survives, unhex};

    #[test]
    fn cyclic_data_shows_its_status_and_an_alarm_where_it_is() {
        let cyclic = unhex("8000 1122 33 000000 0c80 35 00");
        let alarm =
            unhex("fc01 0001 0002 11 01 ffff fffe 0012 0001 000e 01 00 0003 00000000 0002 0001 00000000");
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &cyclic), (Server, &alarm)]), @r#"
        client cyclic {"frame_id":32768,"length":6,"cycle":3200,"primary":true,"valid":true,"running":true,"ok":true,"transfer_status":0}
        server alarm-high {"destination_endpoint":1,"source_endpoint":2,"pdu":"data","sequence":65535,"acknowledges":65534,"alarm":"pull","slot":2,"subslot":1}
        "#);
    }

    #[test]
    fn discovery_is_left_to_its_own_parser_and_a_short_alarm_is_told() {
        let cyclic = unhex("8000 00 0c80 35 00");
        let discovery = unhex("fefe 05 00 00000001 0001 0000");
        assert!(converse(&PROTOCOL, &[(Client, &cyclic), (Client, &discovery)]).ends_with("upgrade\n"));
        assert!(converse(&PROTOCOL, &[(Client, &unhex("fe01 0001"))]).starts_with("anomaly client length"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(noise in packets(), id in any::<u16>()) {
            let noise: Vec<_> = noise
                .into_iter()
                .map(|(side, bytes)| (side, [&id.to_be_bytes()[..], &bytes].concat()))
                .collect();
            survives(&PROTOCOL, &noise);
            let alarms: Vec<_> =
                noise.into_iter().map(|(side, bytes)| (side, [&[0xfc, 1][..], &bytes].concat())).collect();
            survives(&PROTOCOL, &alarms);
        }
    }
}
