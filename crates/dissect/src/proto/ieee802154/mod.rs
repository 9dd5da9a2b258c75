//! IEEE 802.15.4: the radio of sensors, lamps and meters, and what runs on it.
//!
//! IEEE 802.15.4-2020 clause 7.2 (frames); Zigbee specification clause 3.3 (network layer) and 2.2.5
//! (application layer); RFC 4944 and RFC 6282 (6LoWPAN); Thread 1.1 clause 4 (mesh link establishment).
//! Stations have addresses of 64 bits that a host here cannot have, so messages name them and nothing is
//! learnt about devices.

mod mac;
#[cfg(test)]
mod tests;
mod zigbee;

use serde::Serialize;

use self::mac::{Frame, Kind};
use self::zigbee::Network;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Short, Verdict};

/// IEEE 802.15.4 with Zigbee, 6LoWPAN and Thread.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "ieee802154",
    name: "IEEE 802.15.4",
    spec: "IEEE 802.15.4-2020; Zigbee 05-3474; RFC 4944; RFC 6282",
    carriers: &[Carrier::Wpan],
    probe,
    start: || Box::new(Radio),
};

fn probe(opening: &Opening<'_>) -> Verdict {
    match Frame::read(opening.bytes) {
        Ok(_) if !opening.stream => Verdict::Maybe,
        _ => Verdict::No,
    }
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    frame: &'a Frame<'a>,
    #[serde(flatten)]
    network: Option<Network>,
}

struct Radio;

impl Parser for Radio {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        if out.wants_messages() {
            match Frame::read(input.bytes) {
                Ok(frame) => message(&frame, input, out),
                Err(Short) if input.cut == 0 => {
                    let length = input.bytes.len();
                    out.anomaly(input.from, "length", format_args!("a field does not fit {length} bytes"));
                }
                Err(Short) => {}
            }
        }
        Progress::Took(input.bytes.len())
    }
}

fn message(frame: &Frame<'_>, input: &Input<'_>, out: &mut Emit<'_>) {
    let kind = match frame.kind {
        // Zigbee's beacons begin with its protocol identifier, 0 (Zigbee clause 3.6.7).
        Kind::Beacon => "beacon",
        Kind::Data if frame.secured => "data",
        Kind::Data => carried(frame.payload),
        Kind::Acknowledgement => "acknowledgement",
        Kind::Command => "command",
        Kind::Other => "other",
    };
    let network = if kind == "zigbee" { Network::read(frame.payload).ok() } else { None };
    out.message(input.from, kind, &Message { frame, network });
}

/// What a data frame carries, by its first bytes. Zigbee's begin with a version, 6LoWPAN's with a
/// dispatch that Zigbee's cannot be (RFC 4944 clause 5.1, RFC 6282 clause 3.1).
fn carried(payload: &[u8]) -> &'static str {
    match payload {
        // Version 2 and a type of frame: data, command or between networks.
        [first, _, ..] if first >> 2 & 0x0f == 2 && first & 3 != 2 && payload.len() >= 8 => "zigbee",
        // Green power and between networks have versions 3 and 2 and shorter headers.
        [0x0b, 0x00, ..] => "zigbee",
        // Compressed headers of a datagram on which UDP of Thread's port 19788 follows at once: both
        // ports stand whole after a UDP header without compression (RFC 6282 clause 4.3.3).
        [first, ..] if first & 0xe0 == 0x60 => {
            const HEADERS: usize = 44;
            let head = payload.get(..HEADERS).unwrap_or(payload);
            let is_thread =
                head.windows(5).any(|at| at[0] & 0xf8 == 0xf0 && at[1..] == [0x4d, 0x4c, 0x4d, 0x4c]);
            if is_thread { "thread-mle" } else { "6lowpan" }
        }
        // Uncompressed, HC1, mesh, first and later fragment.
        [0x41 | 0x42, ..] => "6lowpan",
        [first, ..] if first & 0xc0 == 0x80 || matches!(first & 0xf8, 0xc0 | 0xe0) => "6lowpan",
        _ => "data",
    }
}
