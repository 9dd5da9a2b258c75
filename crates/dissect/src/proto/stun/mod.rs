//! STUN: how cameras, intercoms and telephones behind address translation find ways to each other.
//!
//! Messages: `request`, `indication`, `success`, `error`. Facts: software. The conversation goes on with
//! what it was opened for, often DTLS or media.

use std::borrow::Cow;

use model::{Attribute, Confidence};
use serde::Serialize;

use super::show::text;
use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// STUN, and TURN, which extends it.
pub const PROTOCOL: Protocol = Protocol {
    id: "stun",
    name: "Session Traversal Utilities for NAT",
    spec: "RFC 8489, RFC 8656 (TURN), RFC 3489 (classic)",
    carriers: &[Carrier::Udp(&[3478, 3479, 19302]), Carrier::Tcp(&[3478])],
    probe,
    start: || Box::new(Stun),
};

/// What stands in every message since RFC 5389 (RFC 8489 clause 5).
const COOKIE: u32 = 0x2112_a442;

/// Bytes of a header (RFC 8489 clause 5).
const HEADER: usize = 20;

/// The attribute that names the sender's software (RFC 8489 clause 14.14).
const SOFTWARE: u16 = 0x8022;

/// Attributes that are looked at.
const MAX_ATTRIBUTES: usize = 32;

/// A message, as far as it is told.
struct Frame<'a> {
    kind: u16,
    /// Whether the cookie stands in it, or all attributes are those that were there before the cookie.
    sure: bool,
    length: usize,
    software: Option<&'a [u8]>,
}

impl<'a> Frame<'a> {
    /// The message at the beginning of `bytes`: two zero bits, type, length, and attributes that fill it.
    fn read(bytes: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let (kind, length, cookie) = (reader.be16()?, usize::from(reader.be16()?), reader.be32()?);
        if kind & 0xc000 != 0 || !length.is_multiple_of(4) {
            return Err(Short);
        }
        let classic = cookie != COOKIE;
        // Before the cookie there were two methods only (RFC 3489 clause 11.1).
        if classic && !matches!(kind, 0x0001 | 0x0101 | 0x0111 | 0x0002 | 0x0102 | 0x0112) {
            return Err(Short);
        }
        reader.skip(12)?;
        let mut attributes = Reader::new(reader.take(length)?);
        let (mut software, mut known) = (None, length > 0);
        for _ in 0..MAX_ATTRIBUTES {
            if attributes.is_empty() {
                break;
            }
            let (kind, length) = (attributes.be16()?, usize::from(attributes.be16()?));
            let value = attributes.take(length)?;
            // Attributes are padded to a multiple of four bytes (RFC 8489 clause 14).
            attributes.skip(length.wrapping_neg() % 4)?;
            known &= is_classic(kind, length);
            software = software.or((kind == SOFTWARE).then_some(value));
        }
        Ok(Self { kind, sure: !classic || known, length: HEADER + length, software })
    }

    /// The class (RFC 8489 clause 5): two bits among those of the method.
    const fn class(&self) -> &'static str {
        match self.kind & 0x0110 {
            0 => "request",
            0x0010 => "indication",
            0x0100 => "success",
            _ => "error",
        }
    }

    /// The methods of RFC 8489, RFC 8656 and RFC 6062.
    const fn method(&self) -> &'static str {
        match self.kind & !0x0110 {
            1 => "binding",
            2 => "shared-secret",
            3 => "allocate",
            4 => "refresh",
            6 => "send",
            7 => "data",
            8 => "create-permission",
            9 => "channel-bind",
            10 => "connect",
            11 => "connection-bind",
            12 => "connection-attempt",
            _ => "other",
        }
    }
}

/// Whether an attribute exists in RFC 3489 (clause 11.2) and is as long as it is there: addresses, and flags
/// for change.
const fn is_classic(kind: u16, length: usize) -> bool {
    match kind {
        1 | 2 | 4 | 5 | 11 => length == 8,
        3 => length == 4,
        _ => false,
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match Frame::read(opening.bytes) {
        Ok(message) if opening.stream || message.length == opening.bytes.len() => {
            if message.sure {
                Verdict::Yes
            } else {
                Verdict::Maybe
            }
        }
        Err(_) if opening.stream && opening.bytes.len() < HEADER && opening.bytes.first() == Some(&0) => {
            Verdict::More
        }
        _ => Verdict::No,
    }
}

#[derive(Serialize)]
struct Told<'a> {
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<Cow<'a, str>>,
}

struct Stun;

impl Parser for Stun {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let stream = out.flow().transport == model::Transport::Tcp;
        match Frame::read(input.bytes) {
            Ok(message) => {
                let software = message.software.map(text);
                if let Some(software) = &software {
                    out.fact(input.from, Attribute::Software, software, "stun.software", Confidence::LIKELY);
                }
                if out.wants_messages() {
                    out.message(input.from, message.class(), &Told { method: message.method(), software });
                }
                Progress::Took(message.length)
            }
            // On a stream the rest may come; what then follows is the business of TURN's channels.
            Err(Short) if stream && input.bytes.len() < HEADER => Progress::Took(0),
            Err(Short) if stream => Progress::Enough,
            // Media, DTLS or data share the ports (RFC 7983): another protocol may know them.
            Err(Short) => Progress::Upgrade(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Side;

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, unhex};

    #[test]
    fn the_samples_of_the_standard_are_read() {
        // RFC 5769 clauses 2.1 and 2.2, whose passwords are not part of the message.
        let request = unhex(
            "000100582112a442b7e7a701bc34d686fa87dfae 802200105354554e207465737420636c69656e74
             002400046e0001ff 80290008932ff9b151263b36 00060009 6576746a3a68367659202020
             000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004e57a3bcf",
        );
        let response = unhex(
            "0101003c2112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220
             002000080001a147e112a643 000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004c07d4c96",
        );
        let text = converse(&PROTOCOL, &[(Side::Client, &request), (Side::Server, &response)]);
        insta::assert_snapshot!(text, @r#"
        fact 192.0.2.10 software = "STUN test client" (stun.software, 50%)
        client request {"method":"binding","software":"STUN test client"}
        fact 192.0.2.20 software = "test vector" (stun.software, 50%)
        server success {"method":"binding","software":"test vector"}
        "#);
    }

    #[test]
    fn what_shares_the_ports_is_handed_on() {
        let request = unhex("00010000 2112a442 000102030405060708090a0b");
        let text = converse(&PROTOCOL, &[(Side::Client, &request), (Side::Client, &[0x80, 0x60, 0, 1])]);
        assert_eq!(text, "client request {\"method\":\"binding\"}\nupgrade\n");
    }

    #[test]
    fn messages_from_before_the_cookie_are_known_by_their_attributes() {
        let sure = |text| Frame::read(&unhex(text)).expect("a message").sure;
        assert!(sure("00010008 000102030405060708090a0b0c0d0e0f 0003000400000000"));
        assert!(!sure("00010008 000102030405060708090a0b0c0d0e0f 0006000400000000"));
        assert!(!sure("00010000 000102030405060708090a0b0c0d0e0f"));
    }

    #[test]
    fn lengths_and_attributes_must_agree() {
        for wrong in [
            "00010004 2112a442 000102030405060708090a0b",
            "00010003 2112a442 000102030405060708090a0b 000000",
            "00010004 2112a442 000102030405060708090a0b 00240008",
            "40010000 2112a442 000102030405060708090a0b",
            "00030000 00000000 000102030405060708090a0b",
        ] {
            assert!(Frame::read(&unhex(wrong)).is_err(), "{wrong}");
        }
    }

    any_bytes_are_survived!(PROTOCOL);
}
