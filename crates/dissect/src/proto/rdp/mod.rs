//! RDP: the negotiation of security, and the client's name where the connection is not encrypted. Where
//! TLS is agreed, the conversation goes on as TLS.
//!
//! RDP opens like other protocols over ISO transport (S7comm, MMS); it is known by its cookie or its
//! negotiation, without which only the port can tell.
//!
//! Messages: `request`, `response`, `client`. The flow is lost by `tpkt` and `x224`.

use std::borrow::Cow;

use model::{Attribute, Confidence, Side};
use serde::Serialize;

use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// Remote Desktop Protocol.
pub const PROTOCOL: Protocol = Protocol {
    id: "rdp",
    name: "Remote Desktop Protocol",
    spec: "MS-RDPBCGR clauses 2.2.1.1 to 2.2.1.3",
    carriers: &[Carrier::Tcp(&[3389])],
    probe,
    start: || Box::new(Rdp),
};

/// The header of a packet of ISO transport over TCP (RFC 1006 clause 6), in bytes.
const TPKT: usize = 4;

/// Connection request and confirmation, and data (ITU-T X.224 clause 13).
const REQUEST: u8 = 0xe0;
const CONFIRM: u8 = 0xd0;
const DATA: u8 = 0xf0;

/// The negotiation structures (MS-RDPBCGR clauses 2.2.1.1.1, 2.2.1.2.1 and 2.2.1.2.2).
const NEGOTIATE: u8 = 1;
const ANSWER: u8 = 2;
const FAILURE: u8 = 3;

/// The length of a negotiation structure.
const NEGOTIATION: usize = 8;

const COOKIE: &[u8] = b"Cookie: ";

/// A packet of the connection phase: its type and what follows the fixed part of its header.
fn packet(bytes: &[u8]) -> Result<(u8, &[u8]), Short> {
    let mut reader = Reader::new(bytes);
    reader.skip(TPKT)?;
    let indicator = usize::from(reader.u8()?);
    let mut header = Reader::new(reader.take(indicator)?);
    let kind = header.u8()?;
    if kind == DATA {
        return Ok((kind, reader.rest()));
    }
    header.skip(5)?; // references and class
    Ok((kind, header.rest()))
}

/// The negotiation structure at the end of the variable part.
fn negotiation(rest: &[u8]) -> Option<(u8, u32)> {
    let mut reader = Reader::new(rest.get(rest.len().checked_sub(NEGOTIATION)?..)?);
    let kind = reader.u8().ok()?;
    reader.u8().ok()?; // flags
    let known = matches!(kind, NEGOTIATE | ANSWER | FAILURE) && reader.le16().ok()? == NEGOTIATION as u16;
    known.then(|| reader.le32().ok().map(|value| (kind, value)))?
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if !opening.stream {
        return Verdict::No;
    }
    let length = match bytes {
        [3, 0, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        [] | [3] | [3, 0] | [3, 0, _] => return Verdict::More,
        _ => return Verdict::No,
    };
    let Some(whole) = bytes.get(..length) else {
        // Connection packets are short.
        return if length <= 512 { Verdict::More } else { Verdict::No };
    };
    match (opening.from, packet(whole)) {
        (Side::Client, Ok((REQUEST, rest))) if rest.starts_with(COOKIE) => Verdict::Yes,
        (Side::Client, Ok((REQUEST, []))) => Verdict::Maybe,
        (Side::Client, Ok((REQUEST, rest))) if matches!(negotiation(rest), Some((NEGOTIATE, _))) => {
            Verdict::Yes
        }
        (Side::Server, Ok((CONFIRM, rest)))
            if negotiation(rest).is_some_and(|(kind, _)| kind != NEGOTIATE) =>
        {
            Verdict::Yes
        }
        _ => Verdict::No,
    }
}

struct Rdp;

#[derive(Serialize)]
struct Request<'a> {
    /// What a load balancer is to go by: usually the first letters of the user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookie: Option<Cow<'a, str>>,
    protocols: Vec<&'static str>,
}

#[derive(Serialize)]
struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<u32>,
}

#[derive(Serialize)]
struct Client<'a> {
    name: &'a str,
    build: u32,
    width: u16,
    height: u16,
}

/// The security protocols that are asked for, by their bits (MS-RDPBCGR clause 2.2.1.1.1).
const SECURITY: &[(u32, &str)] =
    &[(1, "tls"), (2, "credssp"), (4, "rdstls"), (8, "credssp-early"), (16, "rdsaad")];

/// Security of RDP's own making.
const STANDARD: &str = "rdp";

impl Parser for Rdp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let length = match input.bytes {
            [3, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            [] | [3] | [3, _] | [3, _, _] => return Progress::Took(0),
            _ => return Progress::Lost("tpkt"),
        };
        if length < TPKT {
            return Progress::Lost("tpkt");
        }
        let Some(whole) = input.bytes.get(..length) else { return Progress::Took(0) };
        match (input.from, packet(whole)) {
            (Side::Client, Ok((REQUEST, rest))) => {
                request(rest, out);
                Progress::Took(length)
            }
            (Side::Server, Ok((CONFIRM, rest))) => response(rest, length, out),
            (Side::Client, Ok((DATA, rest))) => {
                client(rest, out);
                Progress::Enough
            }
            (_, Ok(_)) => Progress::Enough,
            (_, Err(Short)) => Progress::Lost("x224"),
        }
    }
}

fn request(rest: &[u8], out: &mut Emit<'_>) {
    if !out.wants_messages() {
        return;
    }
    let cookie = rest.strip_prefix(COOKIE).and_then(|rest| rest.split(|byte| *byte == b'\r').next());
    let wanted = match negotiation(rest) {
        Some((NEGOTIATE, wanted)) => wanted,
        _ => 0,
    };
    let offered = SECURITY.iter().filter(|(bit, _)| wanted & bit != 0).map(|(_, name)| *name);
    let message = Request {
        cookie: cookie.map(String::from_utf8_lossy),
        protocols: std::iter::once(STANDARD).chain(offered).collect(),
    };
    out.message(Side::Client, "request", &message);
}

fn response(rest: &[u8], length: usize, out: &mut Emit<'_>) -> Progress {
    // Others serve this protocol too, but it is Windows that does so by habit.
    out.fact(Side::Server, Attribute::OperatingSystem, "Windows", "rdp.response", Confidence::HINT);
    let (protocol, failure, encrypted) = match negotiation(rest) {
        Some((FAILURE, code)) => (None, Some(code), false),
        Some((_, chosen)) => {
            let name = SECURITY.iter().find(|(bit, _)| *bit == chosen).map_or(STANDARD, |(_, name)| *name);
            (Some(name), None, chosen != 0)
        }
        // Servers that know no negotiation.
        None => (Some(STANDARD), None, false),
    };
    out.message(Side::Server, "response", &Response { protocol, failure });
    if encrypted {
        Progress::Upgrade(length)
    } else if failure.is_some() {
        Progress::Enough
    } else {
        Progress::Took(length)
    }
}

/// The client's core data in the MCS Connect Initial (MS-RDPBCGR clause 2.2.1.3.2). Around it are two
/// layers of conferencing headers, from whose end a fixed mark leads on.
fn client(rest: &[u8], out: &mut Emit<'_>) {
    const MARK: &[u8] = b"Duca";
    const CORE: u16 = 0xc001;
    /// The name has 15 letters and a zero, two bytes each.
    const NAME: usize = 32;
    let Some(at) = rest.windows(MARK.len()).position(|bytes| bytes == MARK) else { return };
    let mut reader = Reader::new(rest.get(at + MARK.len()..).unwrap_or_default());
    let core = (|| {
        // A length in one byte, or in two of which the first bit is set.
        if reader.u8()? & 0x80 != 0 {
            reader.u8()?;
        }
        if reader.le16()? != CORE {
            return Err(Short);
        }
        reader.skip(2 + 4)?; // length, version
        let (width, height) = (reader.le16()?, reader.le16()?);
        reader.skip(2 + 2 + 4)?; // colour depth, sequence, keyboard layout
        Ok((width, height, reader.le32()?, reader.take(NAME)?))
    })();
    let Ok((width, height, build, name)) = core else { return };
    let letters = name.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let name: String = char::decode_utf16(letters.take_while(|letter| *letter != 0))
        .map(|c| c.unwrap_or('\u{fffd}'))
        .collect();
    out.fact(Side::Client, Attribute::Hostname, &name, "rdp.client-name", Confidence::STRONG);
    out.message(Side::Client, "client", &Client { name: &name, build, width, height });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, opening, survives};

    const ASKS: &[u8] = b"\x03\0\0\x2a\x25\xe0\0\0\0\0\0Cookie: mstshash=anna\r\n\x01\0\x08\0\x03\0\0\0";

    #[test]
    fn where_tls_is_agreed_the_conversation_goes_on_as_tls() {
        assert_eq!(ASKS.len(), 0x2a);
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Client, ASKS),
                (Side::Server, &[3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0x1f, 8, 0, 2, 0, 0, 0]),
                (Side::Client, &[21, 3, 1, 0, 2, 2, 40]),
            ],
        );
        assert_eq!(
            text,
            "client request {\"cookie\":\"mstshash=anna\",\"protocols\":[\"rdp\",\"tls\",\"credssp\"]}\n\
             fact 192.0.2.20 operating-system = \"Windows\" (rdp.response, 20%)\n\
             server response {\"protocol\":\"credssp\"}\n\
             upgrade\n\
             it is tls\n\
             client alert {\"level\":\"fatal\",\"description\":\"handshake_failure\"}\n\
             enough\n"
        );
    }

    #[test]
    fn without_encryption_the_client_says_its_name() {
        let mut initial = vec![3, 0, 0, 0, 2, 0xf0, 0x80, 0x7f, 0x65];
        initial.extend(b"Duca\x81\x00\x01\xc0\xd8\x00\x04\x00\x08\x00");
        initial.extend([0x00, 0x05, 0x00, 0x04, 1, 0xca, 3, 0xaa, 9, 4, 0, 0]);
        initial.extend(2600_u32.to_le_bytes());
        let mut name: Vec<u8> = "ENG-01".encode_utf16().flat_map(u16::to_le_bytes).collect();
        name.resize(32, 0);
        initial.extend(name);
        initial[3] = initial.len() as u8;
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Client, b"\x03\0\0\x22\x1d\xe0\0\0\0\0\0Cookie: mstshash=anna\r\n"),
                (Side::Server, &[3, 0, 0, 11, 6, 0xd0, 0, 0, 0x12, 0x34, 0]),
                (Side::Client, &initial),
            ],
        );
        assert_eq!(
            text,
            "client request {\"cookie\":\"mstshash=anna\",\"protocols\":[\"rdp\"]}\n\
             fact 192.0.2.20 operating-system = \"Windows\" (rdp.response, 20%)\n\
             server response {\"protocol\":\"rdp\"}\n\
             fact 192.0.2.10 hostname = \"ENG-01\" (rdp.client-name, 75%)\n\
             client client {\"name\":\"ENG-01\",\"build\":2600,\"width\":1280,\"height\":1024}\n\
             enough\n"
        );
    }

    #[test]
    fn other_protocols_over_iso_transport_are_left_to_others() {
        let verdict = |bytes: &[u8]| probe(&opening(bytes, 102, true));
        // S7comm: parameters for the size and the two transport selectors.
        let s7 = [3, 0, 0, 22, 17, 0xe0, 0, 0, 0, 1, 0, 0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2];
        assert_eq!(verdict(&s7), Verdict::No);
        assert_eq!(verdict(&[3, 0, 0, 11, 6, 0xe0, 0, 0, 0, 0, 0]), Verdict::Maybe);
        assert_eq!(verdict(ASKS), Verdict::Yes);
        assert_eq!(verdict(&ASKS[..20]), Verdict::More);
        assert_eq!(verdict(b"\x03\x01"), Verdict::No);
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn any_connection_packet_is_survived(
            kind in prop_oneof![Just(REQUEST), Just(CONFIRM), Just(DATA)],
            rest in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let indicator = if kind == DATA { 2 } else { 6 };
            let packet = [&[3, 0, 0, rest.len() as u8 + 6, indicator, kind], &rest[..]].concat();
            survives(&PROTOCOL, &[(Side::Client, packet.clone()), (Side::Server, packet)]);
        }
    }
}
