//! TLS 1.0 to 1.3 and SSL 3.0, and the hello of SSL 2.0: who asked for which server, what was agreed,
//! and, up to TLS 1.2, which certificates were shown.
//!
//! Messages: `client-hello`, `server-hello`, `certificate` (one for each of a chain), `alert`,
//! `established`. Nothing is decrypted: once both sides are encrypted, the parser has had enough.
//!
//! Anomalies: `handshake-length`, `handshake-type`, `client-hello-length`, `server-hello-length`,
//! `extension-length`, `certificate-length`, `certificate-der`, `alert-level`. The flow is lost by
//! `record-header` and `record-length`.

mod certificate;
mod cipher_suites;
mod fingerprint;
mod handshake;
mod hello;
mod names;
mod pieces;

use model::Side;
use serde::Serialize;

pub(crate) use fingerprint::{hex, md5_hex};
pub(crate) use handshake::{Handshake, Layer, kind as handshake_kind};
pub(crate) use pieces::Pieces;

use self::handshake::MAX_MESSAGE;
use self::names::{Coded, alert as alert_name, version as version_name};
use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// Transport Layer Security.
pub const PROTOCOL: Protocol = Protocol {
    id: "tls",
    name: "Transport Layer Security",
    spec: "RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 6101 (SSL 3.0)",
    // HTTPS, mail, directory, MQTT, SIP, AMQP; Modbus (802), EtherNet/IP (2221), IEC 60870-5-104 (19998).
    carriers: &[Carrier::Tcp(&[
        443, 465, 563, 636, 802, 853, 989, 990, 992, 993, 994, 995, 2221, 2376, 4433, 4843, 5061, 5671, 5986,
        6443, 6514, 6697, 8443, 8883, 9443, 19998,
    ])],
    probe,
    start: || Box::new(Tls::default()),
};

/// Types of records (IANA registry "TLS ContentType").
mod content {
    pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(super) const ALERT: u8 = 21;
    pub(super) const HANDSHAKE: u8 = 22;
    pub(super) const APPLICATION_DATA: u8 = 23;
    pub(super) const HEARTBEAT: u8 = 24;
}

/// The length of a record header in bytes.
const HEADER: usize = 5;

/// The longest fragment that a record may carry: 2^14 bytes and what encryption adds (RFC 5246 clause
/// 6.2.3).
const MAX_RECORD: usize = (1 << 14) + 2048;

/// Where only one side is seen, its encrypted records beyond these say that nothing more will be.
const ONE_SIDED_RECORDS: u8 = 8;

/// The header of a record: its type and the length of its fragment.
fn header(bytes: &[u8; HEADER]) -> Option<(u8, usize)> {
    let [kind, major, minor, high, low] = *bytes;
    let known = (content::CHANGE_CIPHER_SPEC..=content::HEARTBEAT).contains(&kind);
    (known && major == 3 && minor <= 4).then(|| (kind, usize::from(u16::from_be_bytes([high, low]))))
}

/// The ciphers of TLS add at least so much to what they protect, in bytes (RFC 8446 clause 5.2: a type and
/// a tag of 8 or 16; RFC 5246 clause 6.2.3.3 likewise).
const MIN_PROTECTED: usize = 16;

fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    let bytes = opening.bytes;
    if old_hello_length(bytes).is_some() {
        return Verdict::Yes;
    }
    // A short beginning is worth waiting for if it could become a record header.
    let mut whole = [content::HANDSHAKE, 3, 1, 0, 4];
    for (place, byte) in whole.iter_mut().zip(bytes) {
        *place = *byte;
    }
    let Some((kind, length)) = header(&whole) else { return Verdict::No };
    if length == 0 || length > MAX_RECORD {
        return Verdict::No;
    }
    let Some(body) = bytes.get(HEADER..).filter(|body| !body.is_empty()) else { return Verdict::More };
    match kind {
        // The hello of either side: its type, a length that its version follows.
        content::HANDSHAKE => match body {
            [1 | 2, 0, _, _, 3, minor, ..] if *minor <= 4 => Verdict::Yes,
            [1 | 2] | [1 | 2, 0] | [1 | 2, 0, _] | [1 | 2, 0, _, _] | [1 | 2, 0, _, _, 3] => Verdict::More,
            _ => chained(bytes, length),
        },
        content::ALERT if length == 2 => match body {
            [1 | 2, code, ..] if alert_name(u16::from(*code)).is_some() => Verdict::Yes,
            [1 | 2] => Verdict::More,
            _ => Verdict::No,
        },
        content::CHANGE_CIPHER_SPEC if length != 1 || body.first() != Some(&1) => Verdict::No,
        _ => chained(bytes, length),
    }
}

/// Whether one record header follows another, as it does where a conversation is picked up in its
/// middle, or the bytes end where a record of protected data does.
fn chained(bytes: &[u8], length: usize) -> Verdict {
    if bytes.len() == HEADER + length && length >= MIN_PROTECTED {
        return Verdict::Yes;
    }
    match bytes.get(HEADER + length..).and_then(|rest| rest.first_chunk()) {
        Some(next) if header(next).is_some() => Verdict::Yes,
        Some(_) => Verdict::No,
        None => Verdict::Maybe,
    }
}

/// The whole length of a ClientHello in the format of SSL 2.0, which offers SSL 2.0 or newer versions
/// (RFC 5246 appendix E.2).
fn old_hello_length(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    let length = usize::from(reader.be16().ok().filter(|length| length & 0x8000 != 0)? & 0x7fff);
    let (kind, version) = (reader.u8().ok()?, reader.be16().ok()?);
    let ciphers = usize::from(reader.be16().ok()?);
    let (session, challenge) = (usize::from(reader.be16().ok()?), usize::from(reader.be16().ok()?));
    let fits = kind == 1
        && matches!(version, 0x0002 | 0x0300..=0x0303)
        && ciphers > 0
        && ciphers % 3 == 0
        && matches!(session, 0 | 16)
        && (16..=32).contains(&challenge)
        && 9 + ciphers + session + challenge == length;
    fits.then_some(length + 2)
}

/// What one side has sent.
#[derive(Default)]
struct Half {
    /// The beginning of a handshake message whose end has not arrived.
    pending: Vec<u8>,
    /// Whether anything was sent at all.
    spoke: bool,
    /// Whether the side has changed to encryption: what follows cannot be read.
    encrypted: bool,
    /// Whether the side has sent something encrypted.
    finished: bool,
    /// Whether the place of the records was lost.
    deaf: bool,
    /// Records of application data.
    data: u8,
}

#[derive(Default)]
struct Tls {
    handshake: Handshake,
    halves: [Half; 2],
}

/// Whether to go on after a record.
enum Next {
    More,
    Enough,
}

impl Parser for Tls {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let (from, bytes) = (input.from, input.bytes);
        self.handshake.now = input.at;
        let mut taken = 0;
        let half = &mut self.halves[from.index()];
        if half.deaf {
            return Progress::Took(bytes.len());
        }
        if !half.spoke && bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            match self.old_hello(from, bytes, out) {
                Ok(progress) => return progress,
                Err(length) => taken = length,
            }
        }
        self.halves[from.index()].spoke = true;
        while let Some(first) = bytes.get(taken..).and_then(|rest| rest.first_chunk()) {
            let Some((kind, length)) = header(first) else { return Progress::Lost("record-header") };
            if length > MAX_RECORD {
                return Progress::Lost("record-length");
            }
            let next = match bytes.get(taken + HEADER..taken + HEADER + length) {
                Some(fragment) => self.record(from, kind, fragment, out),
                // Encrypted data is passed over before it has arrived.
                None if kind == content::APPLICATION_DATA => self.record(from, kind, &[], out),
                None => break,
            };
            if let Next::Enough = next {
                return Progress::Enough;
            }
            taken += HEADER + length;
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        // Where the next record begins is not known any more; the other side can still be read.
        let half = &mut self.halves[from.index()];
        half.deaf = true;
        half.pending = Vec::new();
        !self.halves[from.other().index()].deaf
    }
}

#[derive(Serialize)]
struct OldHello {
    version: Coded,
    ciphers: usize,
}

#[derive(Serialize)]
struct Alert {
    level: &'static str,
    description: Coded,
}

impl Tls {
    /// Reads a hello in the format of SSL 2.0. `Err` gives the length of a ClientHello, after which
    /// records of SSL 3.0 or TLS may follow.
    fn old_hello(&mut self, from: Side, bytes: &[u8], out: &mut Emit<'_>) -> Result<Progress, usize> {
        if let Some(length) = old_hello_length(bytes) {
            let mut reader = Reader::new(bytes);
            let described = || -> Result<OldHello, Short> {
                reader.skip(3)?;
                let version = Coded(reader.be16()?, version_name);
                Ok(OldHello { version, ciphers: usize::from(reader.be16()?) / 3 })
            }();
            if let Ok(message) = described {
                out.message(from, "old-client-hello", &message);
            }
            self.handshake.old_hello(from);
            return Err(length);
        }
        match bytes {
            // A ServerHello of SSL 2.0 itself: type, session id hit, certificate type, version.
            [_, _, 4, 0 | 1, _, 0, 2, ..] => {
                let message = OldHello { version: Coded(2, version_name), ciphers: 0 };
                out.message(from, "old-server-hello", &message);
                Ok(Progress::Enough)
            }
            [_, _, _, _, _, _, _, _, _, _, _, ..] => Ok(Progress::Lost("record-header")),
            _ => Ok(Progress::Took(0)),
        }
    }

    fn record(&mut self, from: Side, kind: u8, fragment: &[u8], out: &mut Emit<'_>) -> Next {
        let again = self.is_hello_again(fragment);
        let half = &mut self.halves[from.index()];
        match kind {
            content::CHANGE_CIPHER_SPEC => {
                // TLS 1.3 sends this for the sake of old middleboxes only (RFC 8446 appendix D.4); so
                // does a client that sends early data, before the server has chosen.
                let means_it = !self.handshake.is_13()
                    && (self.handshake.is_answered() || !self.handshake.has_early_data());
                half.encrypted |= means_it;
                Next::More
            }
            content::HANDSHAKE if half.encrypted && !again => {
                half.finished = true;
                half.pending = Vec::new();
                self.after_finished(out)
            }
            content::HANDSHAKE => {
                self.handshake_bytes(from, fragment, out);
                Next::More
            }
            // An alert of two bytes is in the clear; encryption makes it longer (RFC 5246 clause 7.2).
            content::ALERT if fragment.len() == 2 => alert(from, fragment, out),
            content::APPLICATION_DATA => self.data(from, out),
            _ => Next::More,
        }
    }

    /// Whether a record is the hello with which a client answers a retry. Where the server is not seen,
    /// the change of cipher that TLS 1.3 pretends before it looks like a true one (RFC 8446 appendix
    /// D.4).
    fn is_hello_again(&self, fragment: &[u8]) -> bool {
        let mut reader = Reader::new(fragment);
        !self.handshake.is_answered()
            && reader.u8() == Ok(handshake_kind::CLIENT_HELLO)
            && reader.be24().is_ok_and(|length| length as usize == reader.left())
    }

    /// Up to TLS 1.2 a handshake is complete when both sides have sent their encrypted Finished.
    fn after_finished(&self, out: &mut Emit<'_>) -> Next {
        if self.halves.iter().all(|half| half.finished) {
            self.handshake.established(out);
            return Next::Enough;
        }
        Next::More
    }

    /// In TLS 1.3 the first encrypted record of the client after the server's hello is its Finished, or
    /// follows data that it sent early; what remains cannot be read.
    fn data(&mut self, from: Side, out: &mut Emit<'_>) -> Next {
        let Some(client) = self.handshake.client() else {
            // Picked up in the middle, unless the server's hello is the first that was seen.
            return if self.handshake.is_answered() { self.one_sided(from) } else { Next::Enough };
        };
        if self.handshake.is_answered() && self.handshake.is_13() {
            if from == client {
                self.handshake.established(out);
                return Next::Enough;
            }
            return Next::More;
        }
        self.one_sided(from)
    }

    /// Whether one side has sent so much, and the other nothing, that the other is not seen.
    fn one_sided(&mut self, from: Side) -> Next {
        let silent = !self.halves[from.other().index()].spoke;
        let half = &mut self.halves[from.index()];
        half.data = half.data.saturating_add(1);
        if silent && half.data > ONE_SIDED_RECORDS { Next::Enough } else { Next::More }
    }

    /// Joins handshake messages that span records and takes apart records that hold several (RFC 8446
    /// clause 5.1).
    fn handshake_bytes(&mut self, from: Side, fragment: &[u8], out: &mut Emit<'_>) {
        let mut pending = std::mem::take(&mut self.halves[from.index()].pending);
        let joined = if pending.is_empty() {
            fragment
        } else {
            pending.extend_from_slice(fragment);
            &pending
        };
        let mut reader = Reader::new(joined);
        let mut taken = 0;
        while let (Ok(kind), Ok(length)) = (reader.u8(), reader.be24()) {
            let length = length as usize;
            if kind > handshake_kind::LAST || length > MAX_MESSAGE {
                let reason = if length > MAX_MESSAGE { "handshake-length" } else { "handshake-type" };
                out.anomaly(from, reason, format_args!("type {kind}, {length} bytes"));
                self.halves[from.index()].encrypted = true;
                return;
            }
            let Ok(body) = reader.take(length) else { break };
            self.handshake.message(from, kind, body, out);
            taken = reader.position();
        }
        // What is left waits for the next record; many small records must not copy it again and again.
        let rest = joined.get(taken..).unwrap_or_default();
        self.halves[from.index()].pending =
            if pending.is_empty() || taken > 0 { rest.to_vec() } else { pending };
    }
}

fn alert(from: Side, fragment: &[u8], out: &mut Emit<'_>) -> Next {
    let &[level, description] = fragment else { return Next::More };
    let level = match level {
        1 => "warning",
        2 => "fatal",
        other => {
            out.anomaly(from, "alert-level", format_args!("{other}"));
            return Next::More;
        }
    };
    let message = Alert { level, description: Coded(u16::from(description), alert_name) };
    out.message(from, "alert", &message);
    if level == "fatal" { Next::Enough } else { Next::More }
}

#[cfg(test)]
mod tests;
