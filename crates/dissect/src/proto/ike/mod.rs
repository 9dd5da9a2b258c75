//! Internet Key Exchange, versions 1 and 2: how tunnels between sites and to vendors are agreed on.
//!
//! Messages: `exchange`. Anomalies: `header`.

use serde::Serialize;

use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// IKE and ISAKMP.
pub const PROTOCOL: Protocol = Protocol {
    id: "ike",
    name: "Internet Key Exchange",
    spec: "RFC 7296 (version 2), RFC 2408 (ISAKMP), RFC 3948 (through address translation)",
    carriers: &[Carrier::Udp(&[500, 4500])],
    probe,
    start: || Box::new(Ike),
};

/// The port on which ESP and IKE share (RFC 3948 clause 2.2).
const SHARED_PORT: u16 = 4500;

/// A header (RFC 7296 clause 3.1; RFC 2408 clause 3.1).
struct Header {
    version: u8,
    exchange: u8,
    response: bool,
    length: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Short> {
        // Where ESP may come, too, four zero bytes stand before IKE (RFC 3948 clause 2.2).
        let bytes = bytes.strip_prefix(&[0; 4]).unwrap_or(bytes);
        let mut reader = Reader::new(bytes);
        let initiator = reader.be64()?;
        reader.skip(9)?;
        let (version, exchange, flags) = (reader.u8()?, reader.u8()?, reader.u8()?);
        reader.skip(4)?;
        let length = usize::try_from(reader.be32()?).map_err(|_| Short)?;
        // The initiator's identifier is never zero, and a datagram holds one message.
        let known = exchange_name(version, exchange).is_some();
        if initiator == 0 || !known || length != bytes.len() {
            return Err(Short);
        }
        Ok(Self { version, exchange, response: version == 0x20 && flags & 0x20 != 0, length })
    }
}

/// The names of exchanges (RFC 7296 clause 3.1, RFC 4595, RFC 9242; RFC 2408 clause 3.1, RFC 2409 appendix A).
const fn exchange_name(version: u8, exchange: u8) -> Option<&'static str> {
    Some(match (version, exchange) {
        (0x10, 1) => "base",
        (0x10, 2) => "main-mode",
        (0x10, 3) => "authentication-only",
        (0x10, 4) => "aggressive-mode",
        (0x10, 5) => "informational",
        (0x10, 6) => "transaction",
        (0x10, 32) => "quick-mode",
        (0x10, 33) => "new-group",
        (0x20, 34) => "sa-init",
        (0x20, 35) => "auth",
        (0x20, 36) => "create-child-sa",
        (0x20, 37) => "informational",
        (0x20, 38) => "session-resume",
        (0x20, 43) => "intermediate",
        _ => return None,
    })
}

fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream && Header::read(opening.bytes).is_ok() { Verdict::Yes } else { Verdict::No }
}

#[derive(Serialize)]
struct Exchange {
    version: u8,
    exchange: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    response: bool,
    length: usize,
}

struct Ike;

impl Parser for Ike {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let bytes = input.bytes;
        match Header::read(bytes) {
            Ok(header) => {
                let exchange = exchange_name(header.version, header.exchange).unwrap_or_default();
                let (version, response) = (header.version >> 4, header.response);
                out.message(
                    input.from,
                    "exchange",
                    &Exchange { version, exchange, response, length: header.length },
                );
            }
            // On the shared port the rest is ESP, or the one byte that keeps a translation alive.
            Err(_) if out.flow().server.port == SHARED_PORT || out.flow().client.port == SHARED_PORT => {}
            Err(_) if input.cut > 0 => {}
            Err(_) => out.anomaly(input.from, "header", format_args!("{} bytes", bytes.len())),
        }
        Progress::Took(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use model::Side;

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse};

    /// A header and twenty bytes of payload.
    fn message(version: u8, exchange: u8, flags: u8) -> Vec<u8> {
        let mut bytes = vec![7; 8];
        bytes.extend([0; 8]);
        bytes.extend([33, version, exchange, flags, 0, 0, 0, 0, 0, 0, 0, 48]);
        bytes.extend([0; 20]);
        bytes
    }

    #[test]
    fn exchanges_of_both_versions_are_told() {
        let (init, answer, main) = (message(0x20, 34, 0x08), message(0x20, 34, 0x20), message(0x10, 2, 0));
        let text =
            converse(&PROTOCOL, &[(Side::Client, &init), (Side::Server, &answer), (Side::Client, &main)]);
        insta::assert_snapshot!(text, @r#"
        client exchange {"version":2,"exchange":"sa-init","length":48}
        server exchange {"version":2,"exchange":"sa-init","response":true,"length":48}
        client exchange {"version":1,"exchange":"main-mode","length":48}
        "#);
    }

    #[test]
    fn ike_beside_esp_is_recognised_and_what_does_not_agree_is_not() {
        assert!(Header::read(&[vec![0; 4], message(0x20, 35, 0x08)].concat()).is_ok());
        assert!(Header::read(&message(0x20, 99, 0)).is_err());
        assert!(Header::read(&message(0x30, 34, 0)).is_err());
        assert!(Header::read(&[message(0x20, 34, 0), vec![0]].concat()).is_err());
    }

    any_bytes_are_survived!(PROTOCOL);
}
