//! HL7 version 2: what hospital systems tell each other about patients, orders and results, framed by
//! MLLP (HL7 Version 2.5.1 chapter 2; Minimal Lower Layer Protocol, HL7 Transport Specification, Release 1).
//!
//! Who sends what to whom and how it was acknowledged is told; of patients and results nothing is kept.
//!
//! Messages: `message`, `acknowledgement`. Operations: the type of message, such as `ORU^R01`, with its outcome.
//! Anomalies: `framing`, `header`.

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Side};
use serde::Serialize;

use super::industrial::Recent;
use super::text::{clean, digest, find};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// HL7 version 2.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "hl7",
    name: "Health Level Seven version 2",
    spec: "HL7 Version 2.5.1; HL7 Transport Specification: MLLP, Release 1",
    carriers: &[Carrier::Tcp(&[2575])],
    probe,
    start: || Box::new(Hl7::default()),
};

/// What stands before a message, and what after it (MLLP clause 2: start block; end block, carriage return).
const START: u8 = 0x0b;
const END: &str = "\x1c\r";

/// The header segment's name, the five delimiters that it defines, and its first field's end: the least
/// from which a header can be told (clause 2.14.9).
const LEAST: usize = 9;

/// Of a message that is longer only the beginning is read: in bytes. Reports and pictures are that long.
const MAX_MESSAGE: usize = 32 * 1024;

/// Segments of one message that are looked at.
const MAX_SEGMENTS: usize = 256;

/// Bytes of a field that are told.
const MAX_FIELD: usize = 64;

/// Messages of one side whose acknowledgement is awaited.
const MAX_WAITING: usize = 16;

/// `MSH`, then the field separator and four or five other delimiters, all different and none a letter or digit.
fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    let known = [START, b'M', b'S', b'H'];
    let seen = opening.bytes.len().min(known.len());
    if opening.bytes.get(..seen) != known.get(..seen) {
        return Verdict::No;
    }
    match opening.bytes.get(1..) {
        Some(message) if message.len() >= LEAST => {
            if Delimiters::read(message).is_some() {
                Verdict::Yes
            } else {
                Verdict::No
            }
        }
        _ => Verdict::More,
    }
}

/// The delimiters that a message uses (clause 2.5.4).
#[derive(Clone, Copy)]
struct Delimiters {
    field: u8,
    component: u8,
}

impl Delimiters {
    /// Those that the header at the beginning of `message` defines.
    fn read(message: &[u8]) -> Option<Self> {
        let &[field, component, repetition, escape, subcomponent, after] =
            message.strip_prefix(b"MSH")?.first_chunk()?;
        let all = [field, component, repetition, escape, subcomponent];
        let plain = all.iter().all(|byte| byte.is_ascii_punctuation());
        let different = all.iter().enumerate().all(|(at, byte)| !all[..at].contains(byte));
        // Version 2.7 knows a fifth encoding character.
        let whole = after == field || after.is_ascii_punctuation();
        (plain && different && whole).then_some(Self { field, component })
    }
}

/// A segment by its fields: the number of a field is that of the standard.
#[derive(Clone, Copy)]
struct Segment<'a> {
    bytes: &'a [u8],
    delimiters: Delimiters,
}

impl<'a> Segment<'a> {
    fn name(self) -> &'a [u8] {
        self.bytes.get(..3).unwrap_or_default()
    }

    /// A field; the header counts its separator as the first (clause 2.14.9.1).
    fn field(self, number: usize) -> &'a [u8] {
        let number = if self.name() == b"MSH" { number - 1 } else { number };
        self.bytes.split(|byte| *byte == self.delimiters.field).nth(number).unwrap_or_default()
    }

    /// A component of a field, from 1 on.
    fn component(self, field: usize, number: usize) -> &'a [u8] {
        self.field(field).split(|byte| *byte == self.delimiters.component).nth(number - 1).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    /// Type and trigger event: `ADT^A01`.
    kind: &'a str,
    version: Option<&'a str>,
    control_id: Option<&'a str>,
    sending_application: Option<&'a str>,
    sending_facility: Option<&'a str>,
    receiving_application: Option<&'a str>,
    receiving_facility: Option<&'a str>,
    segments: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Acknowledgement<'a> {
    code: &'a str,
    control_id: &'a str,
}

/// A message that was sent and not yet acknowledged.
struct Waiting {
    control_id: u32,
    kind: Box<str>,
}

/// Reads one connection.
#[derive(Default)]
struct Hl7 {
    /// By side: what is left of a message, or of what was lost, is passed over up to its end.
    passing: [bool; 2],
    /// By side: what it sent.
    waiting: [VecDeque<Waiting>; 2],
    recent: Recent,
}

impl Parser for Hl7 {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let (from, side) = (input.from, input.from.index());
        let mut taken = 0;
        while let Some(rest) = input.bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let end = find(rest, END);
            if self.passing[side] {
                let Some(end) = end else {
                    // The end may lie on both sides of a border.
                    return Progress::Took(taken + rest.len() - usize::from(rest.last() == Some(&0x1c)));
                };
                self.passing[side] = false;
                taken += end + END.len();
                continue;
            }
            // Some senders end their frames with line ends of their own.
            if matches!(rest[0], b'\r' | b'\n') {
                taken += 1;
                continue;
            }
            if rest[0] != START {
                out.anomaly(from, "framing", format_args!("a frame begins with {:#04x}", rest[0]));
                self.passing[side] = true;
                continue;
            }
            match end {
                Some(end) => {
                    self.message(&rest[1..end], from, out);
                    taken += end + END.len();
                }
                None if rest.len() > MAX_MESSAGE => {
                    self.message(&rest[1..], from, out);
                    self.passing[side] = true;
                }
                None => break,
            }
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.passing[from.index()] = true;
        true
    }
}

impl Hl7 {
    fn message(&mut self, message: &[u8], from: Side, out: &mut Emit<'_>) {
        let Some(delimiters) = Delimiters::read(message) else {
            return out.anomaly(from, "header", format_args!("no message header in {} bytes", message.len()));
        };
        let segments = || {
            let all = message.split(|byte| *byte == b'\r').filter(|bytes| !bytes.is_empty());
            all.take(MAX_SEGMENTS).map(|bytes| Segment { bytes, delimiters })
        };
        let Some(header) = segments().next() else { return };
        let kind = kind(header);
        if out.wants_messages() {
            let told = |number| clean(header.component(number, 1), MAX_FIELD);
            let [application, facility, to_application, to_facility, control_id, version] =
                [3, 4, 5, 6, 10, 12].map(told);
            let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
            let fields = [
                some(&version),
                some(&control_id),
                some(&application),
                some(&facility),
                some(&to_application),
                some(&to_facility),
            ];
            let [version, control_id, application, facility, to_application, to_facility] =
                fields.each_ref().map(Option::as_deref);
            let message = Message {
                kind: &kind,
                version,
                control_id,
                sending_application: application,
                sending_facility: facility,
                receiving_application: to_application,
                receiving_facility: to_facility,
                segments: segments().count(),
            };
            out.message(from, "message", &message);
        }
        tell_sender(header, from, out);
        let mut acknowledges = false;
        for segment in segments().skip(1) {
            match segment.name() {
                b"MSA" => {
                    acknowledges = true;
                    self.acknowledged(segment, from, out);
                }
                b"SFT" => tell_software(segment, from, out),
                b"OBX" => tell_equipment(segment.field(18), delimiters, from, out),
                _ => {}
            }
        }
        if !acknowledges {
            let waiting = &mut self.waiting[from.index()];
            if waiting.len() == MAX_WAITING {
                waiting.pop_front();
            }
            waiting.push_back(Waiting { control_id: digest(header.field(10)), kind });
        }
    }

    /// A message was accepted or not (clause 2.14.8, table 0008).
    fn acknowledged(&mut self, segment: Segment<'_>, from: Side, out: &mut Emit<'_>) {
        let (code, control_id) = (segment.field(1), segment.field(2));
        let message = Acknowledgement { code: &clean(code, 2), control_id: &clean(control_id, MAX_FIELD) };
        out.message(from, "acknowledgement", &message);
        let outcome = match code {
            b"AA" | b"CA" => Outcome::Done,
            b"AE" | b"AR" | b"CE" | b"CR" => Outcome::Refused,
            _ => Outcome::Asked,
        };
        let asker = from.other();
        let waiting = &mut self.waiting[asker.index()];
        let wanted = digest(control_id);
        let Some(place) = waiting.iter().position(|message| message.control_id == wanted) else { return };
        let Some(asked) = waiting.remove(place) else { return };
        let (operation, changes) = operation(&asked.kind);
        // The same is told over and over; orders are told each time.
        let words = [u64::from(digest(asked.kind.as_bytes())), outcome as u64];
        if changes || self.recent.is_new(&words) {
            out.operation(asker, operation, String::from(asked.kind), None, None, outcome);
        }
    }
}

/// The type of a message and the event that triggered it (field MSH-9).
fn kind(header: Segment<'_>) -> Box<str> {
    let [message, event] = [1, 2].map(|number| header.component(9, number));
    let message = clean(message, 8);
    if event.is_empty() { message.into() } else { format!("{message}^{}", clean(event, 8)).into() }
}

/// What is asked by a message, and whether that changes what is done to somebody (table 0076).
fn operation(kind: &str) -> (OperationKind, bool) {
    match kind.get(..3).unwrap_or_default() {
        "QRY" | "QBP" | "QSB" | "QVR" | "OSQ" | "VXQ" | "SQM" | "QCN" => (OperationKind::Read, false),
        "ORM" | "OMG" | "OML" | "OMP" | "OMS" | "OMD" | "OMN" | "OMI" | "RDE" | "RDS" | "RGV" | "RAS" => {
            (OperationKind::Execute, true)
        }
        "MDM" => (OperationKind::TransferFile, false),
        _ => (OperationKind::Publish, false),
    }
}

/// The sender's own names: MSH-3 and, where it has one, the number of the device (IHE PCD TF-2 appendix B.1).
fn tell_sender(header: Segment<'_>, from: Side, out: &mut Emit<'_>) {
    let application = clean(header.component(3, 1), MAX_FIELD);
    out.fact(from, Attribute::Label, application, "hl7.sending-application", Confidence::LIKELY);
    if header.component(3, 3) == b"EUI-64" {
        let number = clean(header.component(3, 2), MAX_FIELD);
        out.fact(from, Attribute::Identifier, number, "hl7.sending-application", Confidence::STRONG);
    }
}

/// The software that made a message (clause 2.14.12): vendor, version, product. The device below it may be
/// another maker's.
fn tell_software(segment: Segment<'_>, from: Side, out: &mut Emit<'_>) {
    let vendor = clean(segment.component(1, 1), MAX_FIELD);
    out.fact(from, Attribute::Vendor, vendor, "hl7.software-vendor", Confidence::HINT);
    let [version, product] = [2, 3].map(|number| clean(segment.field(number), MAX_FIELD));
    let software = format!("{product} {version}");
    out.fact(from, Attribute::Software, software, "hl7.software", Confidence::STRONG);
}

/// The device that measured something (field OBX-18, IHE PCD TF-2 appendix B.8.18): who sends a measurement
/// may pass on another's.
fn tell_equipment(field: &[u8], delimiters: Delimiters, from: Side, out: &mut Emit<'_>) {
    let number = field.split(|byte| *byte == delimiters.component).next().unwrap_or_default();
    out.fact(from, Attribute::Identifier, clean(number, MAX_FIELD), "hl7.equipment", Confidence::HINT);
}

#[cfg(test)]
mod tests;
