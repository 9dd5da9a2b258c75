//! WebSocket: what HTTP conversations turn into when both sides agree: charging stations (OCPP), dashboards
//! and MQTT from browsers. Frames are counted off; what they hold is not read.
//!
//! Messages: `text`, `binary` (once for each side), `close`. Anomalies: `opcode`, `mask`.

use model::Side;
use serde::Serialize;

use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// WebSocket.
pub const PROTOCOL: Protocol = Protocol {
    id: "websocket",
    name: "WebSocket",
    spec: "RFC 6455",
    carriers: &[Carrier::Tcp(&[])],
    // Frames look like anything; only the agreement before them tells.
    probe: |_: &Opening<'_>| Verdict::No,
    start: || Box::new(WebSocket::default()),
};

/// Opcodes (RFC 6455 clause 5.2).
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame's header (RFC 6455 clause 5.2).
struct Frame {
    opcode: u8,
    masked: bool,
    /// Bytes of the header with the mask.
    header: usize,
    length: u64,
}

impl Frame {
    fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let (first, second) = (reader.u8()?, reader.u8()?);
        let length = match second & 0x7f {
            126 => u64::from(reader.be16()?),
            127 => reader.be64()?,
            short => u64::from(short),
        };
        let masked = second & 0x80 != 0;
        reader.skip(if masked { 4 } else { 0 })?;
        Ok(Self { opcode: first & 0x0f, masked, header: reader.position(), length })
    }
}

#[derive(Serialize)]
struct Told {
    length: u64,
}

#[derive(Default)]
struct WebSocket {
    told: [bool; 2],
}

impl Parser for WebSocket {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut taken = 0_usize;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            let Ok(frame) = Frame::read(bytes) else { break };
            let length = frame.length;
            match frame.opcode {
                TEXT | BINARY if !self.told[from.index()] => {
                    self.told[from.index()] = true;
                    out.message(from, if frame.opcode == TEXT { "text" } else { "binary" }, &Told { length });
                }
                CLOSE => {
                    out.message(from, "close", &Told { length });
                    return Progress::Enough;
                }
                CONTINUATION | TEXT | BINARY | PING | PONG => {}
                other => {
                    out.anomaly(from, "opcode", format_args!("{other}"));
                    return Progress::Enough;
                }
            }
            // A client masks every frame, a server none (RFC 6455 clause 5.1).
            if frame.masked != (from == Side::Client) {
                out.anomaly(from, "mask", format_args!("masked: {}", frame.masked));
                return Progress::Enough;
            }
            taken = taken
                .saturating_add(frame.header)
                .saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        }
        Progress::Took(taken)
    }

    /// Where the next frame begins cannot be known.
    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse_with};

    #[test]
    fn the_samples_of_the_standard_are_read() {
        // RFC 6455 clause 5.7.
        let text = converse_with(
            &PROTOCOL,
            &[
                (Side::Client, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
                (Side::Server, b"\x81\x05\x48\x65\x6c\x6c\x6f\x8a\x05Hello\x81"),
                (Side::Server, b"\x03abc\x88\x02\x03\xe8"),
            ],
        );
        assert_eq!(
            text,
            "client text {\"length\":5}\nserver text {\"length\":5}\nserver close {\"length\":2}\nenough\n"
        );
    }

    #[test]
    fn a_client_that_does_not_mask_is_reported() {
        let text = converse_with(&PROTOCOL, &[(Side::Client, b"\x82\x02hi")]);
        assert!(text.contains("anomaly client mask"), "{text}");
    }

    any_bytes_are_survived!(PROTOCOL);
}
