//! DTLS 1.0 to 1.3: the handshake of TLS in datagrams, in fragments that come in any order.
//!
//! Messages are those of [`tls`](super::tls) without `alert`. Anomalies: `record-length`,
//! `fragment-length`, `handshake-length`, and those of the handshake.

use crate::proto::tls::{Handshake, Layer, Pieces, handshake_kind};
use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

use model::Side;

/// Datagram Transport Layer Security.
pub const PROTOCOL: Protocol = Protocol {
    id: "dtls",
    name: "Datagram Transport Layer Security",
    spec: "RFC 9147 (DTLS 1.3), RFC 6347 (DTLS 1.2)",
    // CoAP (5684), EtherNet/IP (2221), TURN (5349), remote desktop (3391), SNMP (10161), RADIUS (2083).
    carriers: &[Carrier::Udp(&[4433, 5684, 2083, 2221, 3391, 5349, 10161])],
    probe,
    start: || Box::new(Dtls::default()),
};

/// Messages of one side of which only pieces have arrived.
const MAX_PARTIAL: usize = 4;

/// A message in pieces longer than this is not joined: in bytes.
const MAX_JOINED: usize = 32 * 1024;

/// Records looked at in one datagram.
const MAX_RECORDS: usize = 32;

/// Datagrams after which a handshake that has not come to its end is given up.
const MAX_DATAGRAMS: u32 = 256;

const HANDSHAKE: u8 = 22;

/// A record in the clear, or of DTLS 1.2 and before (RFC 6347 clause 4.1).
struct Record<'a> {
    kind: u8,
    epoch: u16,
    fragment: &'a [u8],
}

impl<'a> Record<'a> {
    /// `None` if this is no such record.
    fn read(reader: &mut Reader<'a>) -> Option<Result<Self, Short>> {
        let (Ok(kind), Ok(version)) = (reader.u8(), reader.be16()) else { return None };
        // Version 0x0100 is what an early OpenSSL sent, and some VPN clients still do.
        if !(20..=24).contains(&kind) || !matches!(version, 0xfeff | 0xfefd | 0x0100) {
            return None;
        }
        let mut read = || {
            let epoch = reader.be16()?;
            reader.skip(6)?; // sequence number
            let length = reader.be16()?;
            Ok(Self { kind, epoch, fragment: reader.take(usize::from(length))? })
        };
        Some(read())
    }
}

/// Whether the first byte is that of an encrypted record of DTLS 1.3 (RFC 9147 clause 4).
const fn is_unified(first: u8) -> bool {
    first & 0xe0 == 0x20
}

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.stream {
        return Verdict::No;
    }
    let mut reader = Reader::new(opening.bytes);
    let Some(Ok(record)) = Record::read(&mut reader) else { return Verdict::No };
    if record.kind == HANDSHAKE && record.epoch == 0 {
        return match record.fragment {
            [1..=3, 0, ..] if record.fragment.len() >= 12 => Verdict::Yes,
            _ => Verdict::No,
        };
    }
    // Picked up in the middle: records that fill the datagram.
    while !reader.is_empty() {
        if !matches!(Record::read(&mut reader), Some(Ok(_))) {
            return Verdict::No;
        }
    }
    Verdict::Yes
}

/// A message of which only pieces have arrived.
struct Partial {
    number: u16,
    kind: u8,
    length: usize,
    pieces: Pieces,
}

#[derive(Default)]
struct Half {
    /// Which messages were read, by number: repetitions are passed over.
    read: u64,
    partial: Vec<Partial>,
    /// Whether something encrypted was sent.
    finished: bool,
}

struct Dtls {
    handshake: Handshake,
    halves: [Half; 2],
    datagrams: u32,
}

impl Default for Dtls {
    fn default() -> Self {
        Self { handshake: Handshake::new(Layer::Dtls), halves: Default::default(), datagrams: 0 }
    }
}

impl Parser for Dtls {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        self.handshake.now = input.at;
        self.datagrams += 1;
        let mut reader = Reader::new(input.bytes);
        for _ in 0..MAX_RECORDS {
            let Some(first) = reader.rest().first() else { break };
            if is_unified(*first) {
                self.halves[from.index()].finished = true;
                break;
            }
            match Record::read(&mut reader) {
                // Other protocols may share the ports (RFC 7983).
                None => break,
                Some(Err(Short)) => {
                    if input.cut == 0 {
                        out.anomaly(from, "record-length", format_args!("{} bytes", input.bytes.len()));
                    }
                    break;
                }
                Some(Ok(record)) if record.epoch > 0 => self.halves[from.index()].finished = true,
                Some(Ok(record)) if record.kind == HANDSHAKE => {
                    if self.fragments(from, record.fragment, out).is_err() {
                        out.anomaly(from, "fragment-length", format_args!("{} bytes", record.fragment.len()));
                    }
                }
                Some(Ok(_)) => {}
            }
        }
        if self.halves.iter().all(|half| half.finished) {
            self.handshake.established(out);
            return Progress::Enough;
        }
        if self.datagrams >= MAX_DATAGRAMS { Progress::Enough } else { Progress::Took(input.bytes.len()) }
    }
}

impl Dtls {
    /// Takes the fragments of handshake messages in one record (RFC 6347 clause 4.2.2).
    fn fragments(&mut self, from: Side, bytes: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let kind = reader.u8()?;
            let length = reader.be24()? as usize;
            let number = reader.be16()?;
            let offset = reader.be24()? as usize;
            let size = reader.be24()? as usize;
            let body = reader.take(size)?;
            let half = &mut self.halves[from.index()];
            // A handshake has fewer than 64 messages; what lies beyond is not followed.
            let Some(bit) = 1_u64.checked_shl(number.into()).filter(|bit| half.read & bit == 0) else {
                continue;
            };
            if kind > handshake_kind::LAST || length > MAX_JOINED {
                out.anomaly(from, "handshake-length", format_args!("type {kind}, {length} bytes"));
                continue;
            }
            if offset == 0 && size == length {
                half.read |= bit;
                half.partial.retain(|partial| partial.number != number);
                self.handshake.message(from, kind, body, out);
                continue;
            }
            let known = half.partial.iter().position(|partial| partial.number == number);
            let place = known.unwrap_or(half.partial.len());
            if known.is_none() {
                if half.partial.len() >= MAX_PARTIAL {
                    continue;
                }
                half.partial.push(Partial { number, kind, length, pieces: Pieces::default() });
            }
            let Some(partial) = half.partial.get_mut(place) else { continue };
            let agrees = partial.kind == kind && partial.length == length;
            if !agrees || !partial.pieces.add(offset, body, length) {
                out.anomaly(from, "fragment-length", format_args!("{size} bytes at {offset} of {length}"));
            } else if partial.pieces.ready().len() == length {
                let whole = half.partial.swap_remove(place);
                half.read |= bit;
                self.handshake.message(from, kind, whole.pieces.ready(), out);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{
        any_bytes_are_survived, conversation, damage, hits, opening, replay, survives, without_long_lists,
    };

    const DTLS12: &str = include_str!("conversations/dtls12.txt");

    fn yields(packets: &[(Side, Vec<u8>)]) -> String {
        let text = without_long_lists(&replay(&PROTOCOL, packets));
        text.lines().filter(|line| !line.contains("client-hello {")).map(|line| format!("{line}\n")).collect()
    }

    const EXPECTED: &str = r#"fact 192.0.2.10 fingerprint = "dd2d280700_d943125447b4_e7e480e5a997" (dtls.ja4, 20%)
operation client Discover server-name plc.example - Asked
server server-hello {"version":"DTLS 1.2","cipher":"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384","retry":false,"ja3s":"51e03b04c8c77175b5562a0e94e39f1c"}
server certificate {"position":0,"subject":"C=DE, O=Example Controls, CN=PLC-1200, serialNumber=SN-4711","issuer":"C=DE, O=Example Controls, CN=PLC-1200, serialNumber=SN-4711","names":["plc.example","*.plant.example","192.0.2.20"],"not_before":"2026-11-22T08:04:29Z","not_after":"2036-11-19T08:04:29Z","serial":"228763d6207e61e2c512c14a40ebd0aa48270246","key":"secp256r1","key_bits":256,"signature":"ecdsaWithSha256","ca":true,"self_signed":true,"sha256":"18b244130fcede7fe65abf42ad54dd3aa85860e95eb21a1010036a4fc19a11e2","sha1":"d1d8bc757d8b19c1379a9e1eb8b1bd8d3488c3a6"}
fact 192.0.2.20 hostname = "plc.example" (tls.server-name, 50%)
fact 192.0.2.20 vendor = "Example Controls" (tls.certificate, 20%)
fact 192.0.2.20 model = "PLC-1200" (tls.certificate, 20%)
fact 192.0.2.20 serial = "SN-4711" (tls.certificate, 50%)
weakness server self-signed-certificate: C=DE, O=Example Controls, CN=PLC-1200, serialNumber=SN-4711
client established {"version":"DTLS 1.2","cipher":"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384","group":"x25519","server_name":"plc.example","resumed":false,"client_certificate_requested":false}
enough
"#;

    #[test]
    fn a_handshake_with_cookie_and_fragments_is_read() {
        assert_eq!(yields(&conversation(DTLS12)), EXPECTED);
    }

    /// The server's flight is repeated, and its second copy arrives in another order: nothing changes.
    #[test]
    fn repeated_and_disordered_datagrams_change_nothing() {
        let mut packets = conversation(DTLS12);
        let first =
            packets.iter().position(|(side, bytes)| *side == Side::Server && bytes.len() > 200).unwrap();
        packets.insert(first + 1, packets[first].clone());
        packets.swap(first + 1, first + 2);
        assert_eq!(yields(&packets), EXPECTED);
    }

    #[test]
    fn other_datagrams_are_not_dtls() {
        let verdict = |bytes: &[u8]| probe(&opening(bytes, 5684, false));
        let (_, hello) = conversation(DTLS12).remove(0);
        assert_eq!(verdict(&hello), Verdict::Yes);
        assert_eq!(verdict(&hello[..hello.len() - 1]), Verdict::No);
        assert_eq!(verdict(b"\x00\x01\x00\x00\x21\x12\xa4\x42"), Verdict::No, "STUN");
        assert_eq!(verdict(&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 7]), Verdict::Yes);
    }

    #[test]
    fn pieces_that_contradict_each_other_are_named() {
        let record = |body: &[u8]| {
            let header = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, body.len() as u8];
            (Side::Client, [&header, body].concat())
        };
        let text = replay(
            &PROTOCOL,
            &[
                record(&[1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0xfe, 0xfd]),
                record(&[1, 0, 0, 8, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0]),
                record(&[1, 0, 0, 9, 0, 0, 0, 0, 8, 0, 0, 2, 0, 0]),
                record(&[1, 0xff, 0, 9, 0, 7, 0, 0, 8, 0, 0, 2, 0, 0]),
                record(&[1, 0, 0, 9, 0, 0]),
            ],
        );
        assert_eq!(
            text,
            "anomaly client fragment-length: 2 bytes at 2 of 8\n\
             anomaly client fragment-length: 2 bytes at 8 of 9\n\
             anomaly client handshake-length: type 1, 16711689 bytes\n\
             anomaly client fragment-length: 6 bytes\n"
        );
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn damaged_conversations_are_survived(hits in hits()) {
            survives(&PROTOCOL, &damage(&conversation(DTLS12), &hits));
        }
    }
}
