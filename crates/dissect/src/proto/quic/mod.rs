//! QUIC: which version, and the TLS handshake in its Initial packets.
//!
//! The keys of Initial packets are derived from a field that they carry, so that the hellos can be read
//! by anybody on the way; what follows cannot. Google's QUIC, which came before, is recognised by name.
//!
//! Messages: `initial` (once), `client-hello`, `server-hello`, `established`, `version-negotiation`,
//! `retry`, `close`, `google-quic`. Anomalies: `initial-protection`, `frame-type`, `frame-length`,
//! `crypto-length`, `handshake-length`, and those of [`tls`](super::tls).

mod initial;

use std::borrow::Cow;

use model::Side;
use serde::Serialize;

use self::initial::{Keys, Suite};
use super::tls::{Handshake, Layer, Pieces, hex};
use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// QUIC.
pub const PROTOCOL: Protocol = Protocol {
    id: "quic",
    name: "QUIC",
    spec: "RFC 9000, RFC 9001, RFC 9369 (version 2)",
    carriers: &[Carrier::Udp(&[443, 80, 784, 853, 4433, 8443, 8853])],
    probe,
    start: || Box::new(Quic::default()),
};

/// Version 2 (RFC 9369 clause 3.1).
const V2: u32 = 0x6b33_43cf;

/// Connection identifiers are at most so long in the versions known (RFC 9000 clause 17.2), in bytes.
const MAX_CONNECTION_ID: usize = 20;

/// The handshake data of one side that is joined: in bytes. An endpoint must take 4096 (RFC 9000 clause
/// 7.5); hellos with certificates' worth of post-quantum keys need no more than a few kilobytes.
const MAX_CRYPTO: usize = 16 * 1024;

/// Packets looked at in one datagram.
const MAX_COALESCED: usize = 8;

/// Datagrams after which a handshake that has not come to its end is given up.
const MAX_DATAGRAMS: u32 = 64;

/// A client's first datagram is at least so long (RFC 9000 clause 14.1), in bytes.
const MIN_INITIAL: usize = 1200;

/// Versions that a negotiation lists beyond these are left out.
const MAX_VERSIONS: usize = 32;

/// The types of long-header packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
}

/// A packet with a long header (RFC 9000 clause 17.2).
#[derive(Debug)]
struct Long<'a> {
    kind: Kind,
    version: u32,
    destination: &'a [u8],
    source: &'a [u8],
    /// Where the packet number stands, for types that have one.
    number_at: usize,
    /// The packet from its first byte to its last.
    packet: &'a [u8],
}

/// A number in one to eight bytes, whose first two bits say how many (RFC 9000 clause 16).
fn varint(reader: &mut Reader<'_>) -> Result<u64, Short> {
    let first = reader.u8()?;
    let mut value = u64::from(first & 0x3f);
    for _ in 1..1_u8 << (first >> 6) {
        value = value << 8 | u64::from(reader.u8()?);
    }
    Ok(value)
}

fn length(reader: &mut Reader<'_>) -> Result<usize, Short> {
    usize::try_from(varint(reader)?).map_err(|_| Short)
}

fn connection_id<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = usize::from(reader.u8()?);
    if length > MAX_CONNECTION_ID { Err(Short) } else { reader.take(length) }
}

impl<'a> Long<'a> {
    /// Reads the long header at the beginning of `bytes`; a packet that was not captured whole is short.
    fn read(bytes: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let first = reader.u8()?;
        let version = reader.be32()?;
        let destination = connection_id(&mut reader)?;
        let source = connection_id(&mut reader)?;
        // Version 2 counts its types from another one (RFC 9369 clause 3.2).
        let kind = match (first >> 4 & 3).wrapping_sub(u8::from(version == V2)) & 3 {
            0 => Kind::Initial,
            1 => Kind::ZeroRtt,
            2 => Kind::Handshake,
            _ => Kind::Retry,
        };
        if kind == Kind::Initial {
            let token = length(&mut reader)?;
            reader.skip(token)?;
        }
        if kind == Kind::Retry {
            return Ok(Self { kind, version, destination, source, number_at: bytes.len(), packet: bytes });
        }
        let rest = length(&mut reader)?;
        let number_at = reader.position();
        reader.skip(rest)?;
        let packet = bytes.get(..reader.position()).ok_or(Short)?;
        Ok(Self { kind, version, destination, source, number_at, packet })
    }
}

/// A version's name; digits for those that have none.
fn version_name(version: u32) -> Cow<'static, str> {
    match version {
        1 => "1".into(),
        V2 => "2".into(),
        0xff00_0001..=0xff00_00ff => format!("draft-{}", version & 0xff).into(),
        0xface_b000..=0xface_b00f => format!("mvfst-{}", version & 0xf).into(),
        _ if is_reserved(version) => "grease".into(),
        _ => {
            google_name(&version.to_be_bytes()).map_or_else(|| format!("0x{version:08x}").into(), Cow::Owned)
        }
    }
}

/// Whether a version exists only to keep negotiation working (RFC 9000 clause 15).
const fn is_reserved(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

/// The name of a version of Google's QUIC: Q and three digits, or T for those with TLS.
fn google_name(bytes: &[u8; 4]) -> Option<String> {
    let [letter @ (b'Q' | b'T'), digits @ ..] = bytes else { return None };
    digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| std::iter::once(letter).chain(digits).map(|byte| char::from(*byte)).collect())
}

/// The version of Google's QUIC in a client's packet, under its own public header (flags, connection
/// identifier, version) or under a long header.
fn google_version(bytes: &[u8]) -> Option<String> {
    let flags = *bytes.first()?;
    // The version flag and the flag of a connection identifier of eight bytes.
    let at = if flags & 0x80 != 0 {
        1
    } else if flags & 0xc9 == 0x09 {
        9
    } else {
        return None;
    };
    google_name(bytes.get(at..)?.first_chunk()?)
}

/// How far into a datagram of Google's QUIC its first handshake message can begin: behind the header (flags,
/// connection identifier, nonce, packet number), a hash and short frames, in bytes.
const MAX_GOOGLE_PREFIX: usize = 96;

/// The name of the handshake message in a server's answer of Google's QUIC: it tells no version, but its
/// messages have a tag, a small count of entries and two zero bytes.
fn google_answer(bytes: &[u8]) -> Option<&'static str> {
    if bytes.first()? & 0xc9 != 0x08 {
        return None;
    }
    let prefix = bytes.get(..MAX_GOOGLE_PREFIX.min(bytes.len()))?;
    prefix.windows(8).find_map(|window| match window {
        [b'R', b'E', b'J', 0, 1..=64, 0, 0, 0] => Some("reject"),
        [b'S', b'H', b'L', b'O', 1..=64, 0, 0, 0] => Some("server-hello"),
        _ => None,
    })
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if opening.stream {
        return Verdict::No;
    }
    if google_version(bytes).is_some() || google_answer(bytes).is_some() {
        return Verdict::Yes;
    }
    let mut reader = Reader::new(bytes);
    let (Ok(first), Ok(version)) = (reader.u8(), reader.be32()) else { return Verdict::No };
    let (Ok(destination), Ok(_)) = (connection_id(&mut reader), connection_id(&mut reader)) else {
        return Verdict::No;
    };
    if first & 0x80 == 0 {
        return Verdict::No;
    }
    let looks_initial = destination.len() >= 8 && bytes.len() >= MIN_INITIAL;
    match version {
        // A list of versions, the only thing in such a packet.
        0 if !reader.is_empty() && reader.left().is_multiple_of(4) => Verdict::Maybe,
        0 => Verdict::No,
        _ if first & 0x40 == 0 => Verdict::No,
        1 | V2 | 0xff00_0001..=0xff00_00ff | 0xface_b000..=0xface_b00f => Verdict::Yes,
        _ if is_reserved(version) && looks_initial => Verdict::Yes,
        _ if looks_initial => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// What one side has sent.
#[derive(Default)]
struct Half {
    /// Its handshake data.
    crypto: Pieces,
    /// How much of that has been read.
    read: usize,
    /// The packet number after the largest seen.
    expected: u64,
}

/// The keys of a connection attempt and who made it.
struct Attempt {
    initiator: Side,
    version: u32,
    keys: [Keys; 2],
}

struct Quic {
    attempt: Option<Attempt>,
    /// The version of the last attempt that was told.
    announced: Option<u32>,
    handshake: Handshake,
    halves: [Half; 2],
    datagrams: u32,
    /// Whether an anomaly of protection was told: one is enough.
    unprotected_told: bool,
}

impl Default for Quic {
    fn default() -> Self {
        Self {
            attempt: None,
            announced: None,
            handshake: Handshake::new(Layer::Quic),
            halves: Default::default(),
            datagrams: 0,
            unprotected_told: false,
        }
    }
}

#[derive(Serialize)]
struct Initial {
    version: Cow<'static, str>,
    destination: String,
    source: String,
}

#[derive(Serialize)]
struct VersionNegotiation {
    versions: Vec<Cow<'static, str>>,
}

#[derive(Serialize)]
struct GoogleQuic {
    version: String,
}

/// A server's answer in Google's QUIC, of which the question was not seen.
#[derive(Serialize)]
struct GoogleAnswer {
    answer: &'static str,
}

#[derive(Serialize)]
struct Retry {
    version: Cow<'static, str>,
    source: String,
}

#[derive(Serialize)]
struct Close<'a> {
    code: u64,
    reason: Cow<'a, str>,
}

impl Parser for Quic {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        self.datagrams += 1;
        if let Some(version) = google_version(input.bytes) {
            out.message(from, "google-quic", &GoogleQuic { version });
            return Progress::Enough;
        }
        if let Some(answer) = google_answer(input.bytes) {
            out.message(from, "google-quic", &GoogleAnswer { answer });
            return Progress::Enough;
        }
        let mut rest = input.bytes;
        for _ in 0..MAX_COALESCED {
            let Some(first) = rest.first() else { break };
            let long = first & 0x80 != 0;
            // A short header, or the padding that some put behind their packets.
            if !long {
                if self.is_complete(from) {
                    self.handshake.established(out);
                    return Progress::Enough;
                }
                break;
            }
            if rest.get(1..5) == Some(&[0; 4]) {
                version_negotiation(from, rest, out);
                break;
            }
            let Ok(packet) = Long::read(rest) else { break };
            match packet.kind {
                Kind::Initial => {
                    if !self.initial(from, &packet, out) {
                        return Progress::Enough;
                    }
                }
                Kind::Handshake if self.is_complete(from) => {
                    self.handshake.established(out);
                    return Progress::Enough;
                }
                Kind::Retry => out.message(
                    from,
                    "retry",
                    &Retry { version: version_name(packet.version), source: hex(packet.source) },
                ),
                Kind::Handshake | Kind::ZeroRtt => {}
            }
            rest = rest.get(packet.packet.len()..).unwrap_or_default();
        }
        if self.datagrams >= MAX_DATAGRAMS { Progress::Enough } else { Progress::Took(input.bytes.len()) }
    }
}

impl Quic {
    /// Whether the server has answered and `from` is the client, whose protected packets then say that
    /// it agrees.
    fn is_complete(&self, from: Side) -> bool {
        self.handshake.is_answered() && self.handshake.client() == Some(from)
    }

    /// Reads an Initial packet. Whether to go on.
    fn initial(&mut self, from: Side, packet: &Long<'_>, out: &mut Emit<'_>) -> bool {
        let Some(suite) = initial::suite(packet.version) else {
            // Of a version whose keys are not known, the name is all there is.
            if self.announced.replace(packet.version) != Some(packet.version) {
                announce(from, packet, out);
            }
            return is_reserved(packet.version);
        };
        let Some(frames) = self.open(from, packet, suite, out) else {
            if self.attempt.is_none() && from == Side::Client && !self.unprotected_told {
                self.unprotected_told = true;
                out.anomaly(from, "initial-protection", format_args!("{} bytes", packet.packet.len()));
            }
            return true;
        };
        match self.frames(from, &frames, out) {
            Ok(go_on) => go_on,
            Err(Short) => {
                out.anomaly(from, "frame-length", format_args!("in {} bytes of frames", frames.len()));
                true
            }
        }
    }

    /// Removes the protection of an Initial packet, with the keys of the attempt under way, else with
    /// keys for a new one: a first, one after a Retry, or one with another version.
    fn open(&mut self, from: Side, packet: &Long<'_>, suite: Suite, out: &mut Emit<'_>) -> Option<Vec<u8>> {
        let half = &mut self.halves[from.index()];
        if let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.version == packet.version) {
            let keys = &attempt.keys[usize::from(from != attempt.initiator)];
            if let Some((number, frames)) =
                initial::unprotect(packet.packet, packet.number_at, keys, half.expected)
            {
                half.expected = half.expected.max(number.saturating_add(1));
                return Some(frames);
            }
        }
        let keys = initial::keys(suite, packet.destination);
        let (number, frames) = initial::unprotect(packet.packet, packet.number_at, &keys[0], 0)?;
        announce(from, packet, out);
        self.announced = Some(packet.version);
        self.attempt = Some(Attempt { initiator: from, version: packet.version, keys });
        self.handshake = Handshake::new(Layer::Quic);
        self.halves = Default::default();
        self.halves[from.index()].expected = number.saturating_add(1);
        Some(frames)
    }

    /// Reads the frames that may stand in an Initial packet (RFC 9000 clause 12.4). Whether to go on.
    fn frames(&mut self, from: Side, bytes: &[u8], out: &mut Emit<'_>) -> Result<bool, Short> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            match varint(&mut reader)? {
                // PADDING, PING
                0 | 1 => {}
                // ACK, with or without ECN counts (clause 19.3)
                kind @ (2 | 3) => {
                    varint(&mut reader)?;
                    varint(&mut reader)?;
                    let ranges = varint(&mut reader)?;
                    varint(&mut reader)?;
                    for _ in 0..ranges {
                        varint(&mut reader)?;
                        varint(&mut reader)?;
                    }
                    for _ in 0..if kind == 3 { 3 } else { 0 } {
                        varint(&mut reader)?;
                    }
                }
                // CRYPTO (clause 19.6)
                6 => {
                    let offset = length(&mut reader)?;
                    let length = length(&mut reader)?;
                    let data = reader.take(length)?;
                    if !self.halves[from.index()].crypto.add(offset, data, MAX_CRYPTO) {
                        out.anomaly(from, "crypto-length", format_args!("{length} bytes at {offset}"));
                        return Ok(false);
                    }
                }
                // CONNECTION_CLOSE (clause 19.19)
                0x1c => {
                    let code = varint(&mut reader)?;
                    varint(&mut reader)?;
                    let length = length(&mut reader)?;
                    let reason = String::from_utf8_lossy(reader.take(length)?);
                    out.message(from, "close", &Close { code, reason });
                    return Ok(false);
                }
                other => {
                    out.anomaly(from, "frame-type", format_args!("{other}"));
                    return Ok(true);
                }
            }
        }
        Ok(self.messages(from, out))
    }

    /// Takes the handshake messages that have arrived whole. Whether to go on.
    fn messages(&mut self, from: Side, out: &mut Emit<'_>) -> bool {
        let half = &mut self.halves[from.index()];
        let mut reader = Reader::new(half.crypto.ready().get(half.read..).unwrap_or_default());
        while let (Ok(kind), Ok(length)) = (reader.u8(), reader.be24()) {
            let length = length as usize;
            if length > MAX_CRYPTO {
                out.anomaly(from, "handshake-length", format_args!("type {kind}, {length} bytes"));
                return false;
            }
            let Ok(body) = reader.take(length) else { break };
            self.handshake.message(from, kind, body, out);
            half.read = half.read.saturating_add(4).saturating_add(length);
        }
        true
    }
}

fn announce(from: Side, packet: &Long<'_>, out: &mut Emit<'_>) {
    if out.wants_messages() {
        let message = Initial {
            version: version_name(packet.version),
            destination: hex(packet.destination),
            source: hex(packet.source),
        };
        out.message(from, "initial", &message);
    }
}

/// RFC 9000 clause 17.2.1.
fn version_negotiation(from: Side, bytes: &[u8], out: &mut Emit<'_>) {
    let mut reader = Reader::new(bytes);
    let lists =
        reader.skip(5).and_then(|()| connection_id(&mut reader)).and_then(|_| connection_id(&mut reader));
    if lists.is_ok() && out.wants_messages() {
        let versions =
            std::iter::from_fn(|| reader.be32().ok()).take(MAX_VERSIONS).map(version_name).collect();
        out.message(from, "version-negotiation", &VersionNegotiation { versions });
    }
}

#[cfg(test)]
mod tests;
