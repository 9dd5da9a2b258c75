//! WireGuard: that there is a tunnel, and who opens it. All else is encrypted.
//!
//! Messages: `initiation`, `response`, `cookie`. Anomalies: `length`.

use serde::Serialize;

use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// WireGuard.
pub const PROTOCOL: Protocol = Protocol {
    id: "wireguard",
    name: "WireGuard",
    spec: "WireGuard: Next Generation Kernel Network Tunnel (Donenfeld, 2017), clause 5.4",
    carriers: &[Carrier::Udp(&[51820])],
    probe,
    start: || Box::new(WireGuard),
};

/// The whole length of a handshake's messages, in bytes (clauses 5.4.2, 5.4.3, 5.4.7).
const INITIATION: usize = 148;
const RESPONSE: usize = 92;
const COOKIE: usize = 64;

/// The header of transported data with its tag, in bytes (clause 5.4.6); what it holds is padded to a
/// multiple of 16.
const DATA: usize = 32;

/// The kind of a message, if type, reserved bytes and length agree.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match (bytes.first_chunk()?, bytes.len()) {
        ([1, 0, 0, 0], INITIATION) => Some("initiation"),
        ([2, 0, 0, 0], RESPONSE) => Some("response"),
        ([3, 0, 0, 0], COOKIE) => Some("cookie"),
        ([4, 0, 0, 0], length) if length >= DATA && length.is_multiple_of(16) => Some("data"),
        _ => None,
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match kind(opening.bytes).filter(|_| !opening.stream) {
        Some("initiation" | "response") => Verdict::Yes,
        Some(_) => Verdict::Maybe,
        None => Verdict::No,
    }
}

#[derive(Serialize)]
struct Handshake {
    /// The number by which the sender knows the session, or in a cookie the receiver.
    index: u32,
}

struct WireGuard;

impl Parser for WireGuard {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        match kind(input.bytes) {
            Some("data") => {}
            Some(kind) => {
                let index = input.bytes.get(4..8).and_then(|bytes| bytes.first_chunk()).copied();
                let index = u32::from_le_bytes(index.unwrap_or_default());
                out.message(input.from, kind, &Handshake { index });
            }
            None => out.anomaly(input.from, "length", format_args!("{} bytes", input.bytes.len())),
        }
        Progress::Took(input.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use model::Side;

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse};

    fn message(kind: u8, length: usize) -> Vec<u8> {
        [vec![kind, 0, 0, 0, 0x78, 0x56, 0x34, 0x12], vec![0xa5; length - 8]].concat()
    }

    #[test]
    fn a_handshake_is_told_and_data_is_not() {
        let (initiation, response, data) = (message(1, 148), message(2, 92), message(4, 96));
        let text = converse(
            &PROTOCOL,
            &[(Side::Client, &initiation), (Side::Server, &response), (Side::Client, &data)],
        );
        assert_eq!(text, "client initiation {\"index\":305419896}\nserver response {\"index\":305419896}\n");
    }

    #[test]
    fn other_lengths_and_reserved_bytes_are_refused() {
        assert_eq!(kind(&message(1, 149)), None);
        assert_eq!(kind(&message(4, 97)), None);
        let mut reserved = message(2, 92);
        reserved[3] = 1;
        assert_eq!(kind(&reserved), None);
    }

    any_bytes_are_survived!(PROTOCOL);
}
