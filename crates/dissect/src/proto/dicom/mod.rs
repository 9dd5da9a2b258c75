//! DICOM: how scanners, archives and workstations pass on medical pictures.
//!
//! DICOM PS3.8 clause 9.3 (the upper layer's data units), PS3.7 clauses 6.3, 9.3 and 10.3 and annex E (commands),
//! PS3.5 clause 7.1 (data elements). Of a picture only the elements of the equipment that made it are read, at
//! its beginning; of patients and pixels nothing is kept.
//!
//! Messages: `associate`, `accept`, `reject`, `abort`, `request`, `response`. Operations: the commands, with
//! their outcome. Anomalies: `length-mismatch`. The flow is lost by `framing`.

mod data;

use model::{Attribute, Confidence, Outcome, Role, Side};
use serde::Serialize;

use self::data::{Command, Syntax};
use super::industrial::Recent;
use super::text::digest;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// DICOM's upper layer for TCP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "dicom",
    name: "Digital Imaging and Communications in Medicine",
    spec: "DICOM PS3.5, PS3.7, PS3.8",
    carriers: &[Carrier::Tcp(&[104, 11_112, 4242])],
    probe,
    start: || Box::new(Dicom::default()),
};

/// Type, a reserved byte and length of a data unit (PS3.8 clause 9.3.1).
const HEADER: usize = 6;

/// Types of data units.
const ASSOCIATE: u8 = 1;
const ACCEPT: u8 = 2;
const REJECT: u8 = 3;
const DATA: u8 = 4;
const RELEASE: u8 = 5;
const RELEASED: u8 = 6;
const ABORT: u8 = 7;

/// What an association begins with before its items: version, reserved, two titles, reserved (clause 9.3.2).
const ASSOCIATION: usize = 68;

/// Longer requests for an association are not awaited: in bytes. Those with a hundred contexts have some ten
/// thousand.
const MAX_ASSOCIATION: usize = 64 * 1024;

/// Commands are not awaited beyond this: in bytes. They have some hundred.
const MAX_COMMAND: usize = 4 * 1024;

/// So many bytes of a picture are looked at for its equipment.
const MAX_BEGINNING: usize = 4 * 1024;

/// Presentation contexts of one association (PS3.8 clause 9.3.2.2: odd numbers up to 255).
const MAX_CONTEXTS: usize = 128;

/// The one application context there is (PS3.7 annex A.2.1).
const CONTEXT: &[u8] = b"1.2.840.10008.3.1.1.1";

/// A request for an association or its acceptance; the application context is the magic number.
fn probe(opening: &Opening<'_>) -> Verdict {
    /// Where the application context stands, which is the first item as all write it.
    const ITEM: usize = HEADER + ASSOCIATION;
    if !opening.stream {
        return Verdict::No;
    }
    match opening.bytes {
        [] | [ASSOCIATE | ACCEPT] => return Verdict::More,
        [ASSOCIATE | ACCEPT, 0, ..] => {}
        _ => return Verdict::No,
    }
    // The length is less than 64 KiB, and there is only one version.
    let plausible = |at, known| opening.bytes.get(at).is_none_or(|byte| *byte == known);
    if !(plausible(2, 0) && plausible(3, 0) && plausible(6, 0) && plausible(7, 1)) {
        return Verdict::No;
    }
    match opening.bytes.get(ITEM..) {
        Some([0x10, _, 0, length, name @ ..]) if name.len() >= usize::from(*length) => {
            if name.starts_with(CONTEXT) { Verdict::Yes } else { Verdict::No }
        }
        Some([0x10, ..]) | None | Some([]) => Verdict::More,
        Some(_) => Verdict::Maybe,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Association<'a> {
    called: &'a str,
    calling: &'a str,
    /// What is asked for: services, by their unique identifiers' names where they are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<&'a str>,
    implementation: Option<&'a str>,
    max_length: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Ended {
    reason: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Told<'a> {
    command: &'static str,
    service: Option<&'a str>,
    message_id: Option<u16>,
    status: Option<u16>,
}

/// What a side is sending.
#[derive(Debug, Default)]
struct Sender {
    /// Bytes of the data unit that are still to come.
    left: usize,
    /// The fragments of a command so far.
    command: Vec<u8>,
    /// The next fragment of data begins a picture.
    picture: bool,
}

/// Reads one connection.
#[derive(Default)]
struct Dicom {
    senders: [Sender; 2],
    /// Contexts that were accepted, and how data is written in them.
    contexts: Vec<(u8, Syntax)>,
    recent: Recent,
}

impl Parser for Dicom {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut taken = 0;
        while let Some(rest) = input.bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let step = if self.senders[from.index()].left > 0 {
                self.value(from, rest, out)
            } else {
                self.unit(from, rest, out)
            };
            match step {
                Ok(Step::Took(bytes)) => taken += bytes,
                Ok(Step::Lost) => return Progress::Lost("framing"),
                Err(Short) => break,
            }
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        // Where the next data unit begins can no longer be told.
        false
    }
}

/// How far reading got; `Err(Short)` awaits more bytes.
enum Step {
    Took(usize),
    Lost,
}

impl Dicom {
    /// Reads a data unit, or the header of one with data.
    fn unit(&mut self, from: Side, bytes: &[u8], out: &mut Emit<'_>) -> Result<Step, Short> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        reader.skip(1)?;
        let length = reader.be32()? as usize;
        if kind == DATA {
            self.senders[from.index()].left = length;
            return Ok(Step::Took(HEADER));
        }
        let most = if matches!(kind, ASSOCIATE | ACCEPT) { MAX_ASSOCIATION } else { 4 };
        if !(ASSOCIATE..=ABORT).contains(&kind) || length > most {
            return Ok(Step::Lost);
        }
        let body = reader.take(length)?;
        let read = match kind {
            ASSOCIATE | ACCEPT => self.association(from, kind, body, out),
            REJECT | ABORT => {
                let reason = body.last().copied().unwrap_or(0);
                out.message(from, if kind == REJECT { "reject" } else { "abort" }, &Ended { reason });
                Ok(())
            }
            RELEASE | RELEASED => Ok(()),
            _ => Err(Short),
        };
        if read.is_err() {
            out.anomaly(from, "length-mismatch", format_args!("type {kind} of {length} bytes"));
        }
        Ok(Step::Took(HEADER + length))
    }

    /// A request for an association or its acceptance (PS3.8 clauses 9.3.2 and 9.3.3).
    fn association(&mut self, from: Side, kind: u8, body: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
        let mut reader = Reader::new(body);
        reader.skip(4)?; // version, reserved
        let (called, calling) = (title(reader.take(16)?), title(reader.take(16)?));
        reader.skip(32)?; // reserved
        let mut message = Association {
            called: &called,
            calling: &calling,
            services: Vec::new(),
            implementation: None,
            max_length: None,
        };
        let mut implementation = None;
        while !reader.is_empty() {
            let (item, value) = item(&mut reader)?;
            match item {
                // Contexts, proposed and accepted.
                0x20 => {
                    let mut parts = Reader::new(value);
                    parts.skip(4)?; // number, reserved
                    while !parts.is_empty() {
                        if let (0x30, service) = self::item(&mut parts)?
                            && let Some(name) = data::service(service)
                            && !message.services.contains(&name)
                        {
                            message.services.push(name);
                        }
                    }
                }
                0x21 => {
                    let mut parts = Reader::new(value);
                    let (number, _, result) = (parts.u8()?, parts.u8()?, parts.u8()?);
                    parts.skip(1)?;
                    if result == 0 && self.contexts.len() < MAX_CONTEXTS {
                        let (_, syntax) = self::item(&mut parts)?;
                        self.contexts.push((number, Syntax::of(syntax)));
                    }
                }
                // What the sides say of themselves (PS3.7 annex D.3.3).
                0x50 => {
                    let mut parts = Reader::new(value);
                    while !parts.is_empty() {
                        match self::item(&mut parts)? {
                            (0x51, length) => message.max_length = Reader::new(length).be32().ok(),
                            (0x55, name) => implementation = data::text(name),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        message.implementation = implementation.as_deref();
        let ask = kind == ASSOCIATE;
        out.message(from, if ask { "associate" } else { "accept" }, &message);
        if let Some(name) = &implementation {
            out.fact(from, Attribute::Software, name, "dicom.implementation", Confidence::STRONG);
        }
        // Acceptance repeats the titles; it shows that the called one is right.
        if ask {
            out.fact(from, Attribute::Label, calling, "dicom.calling-title", Confidence::STRONG);
        } else {
            out.fact(from, Attribute::Label, called, "dicom.called-title", Confidence::STRONG);
        }
        Ok(())
    }

    /// A presentation data value: a fragment of a command or of data (PS3.8 clause 9.3.5.1 and annex E).
    fn value(&mut self, from: Side, bytes: &[u8], out: &mut Emit<'_>) -> Result<Step, Short> {
        let sender = &mut self.senders[from.index()];
        let mut reader = Reader::new(bytes);
        let length = reader.be32()? as usize;
        let (context, control) = (reader.u8()?, reader.u8()?);
        // Context and control are counted.
        let Some(fragment) = length.checked_sub(2) else { return Ok(Step::Lost) };
        let Some(left) = sender.left.checked_sub(4 + length) else { return Ok(Step::Lost) };
        let (is_command, is_last) = (control & 1 != 0, control & 2 != 0);
        if is_command {
            if sender.command.len() + fragment > MAX_COMMAND {
                return Ok(Step::Lost);
            }
            sender.command.extend_from_slice(reader.take(fragment)?);
            if is_last {
                let command = std::mem::take(&mut sender.command);
                match Command::read(&command) {
                    Ok(command) => {
                        self.senders[from.index()].picture = command.is_store();
                        self.command(from, &command, out);
                    }
                    Err(Short) => {
                        out.anomaly(
                            from,
                            "length-mismatch",
                            format_args!("a command of {} bytes", command.len()),
                        );
                    }
                }
            }
        } else if sender.picture {
            let beginning = reader.take(fragment.min(MAX_BEGINNING))?;
            sender.picture = false;
            if let Some((_, syntax)) = self.contexts.iter().find(|(number, _)| *number == context) {
                data::equipment(*syntax, beginning, |attribute, value, source| {
                    out.fact(from, attribute, value, source, Confidence::LIKELY);
                });
            }
        }
        self.senders[from.index()].left = left;
        // The rest is skipped as it comes.
        Ok(Step::Took(4 + length))
    }

    fn command(&mut self, from: Side, command: &Command, out: &mut Emit<'_>) {
        let Some((name, operation, changes)) = command.name() else { return };
        let service = command.service.as_deref().and_then(|uid| data::service(uid.as_bytes()));
        let told = Told { command: name, service, message_id: command.message_id, status: command.status };
        out.message(from, if command.is_response() { "response" } else { "request" }, &told);
        let Some(status) = command.status.filter(|_| command.is_response()) else { return };
        let asker = from.other();
        let outcome = match status {
            // Success, warnings, and what is under way (PS3.7 annex C).
            0x0000 | 0x0001 | 0x0107 | 0x0116 | 0xb000..=0xbfff => Outcome::Done,
            0xff00 | 0xff01 => return,
            _ => Outcome::Refused,
        };
        if name == "c-store" && outcome == Outcome::Done {
            out.role(from, Role::Server, "dicom.store", Confidence::STRONG);
            out.fact(from, Attribute::Type, "medical image store", "dicom.store", Confidence::LIKELY);
        }
        // Many pictures are stored one after the other: that is told once for each kind.
        let words = [u64::from(digest(name.as_bytes())), u64::from(digest(service.unwrap_or("").as_bytes()))];
        if changes || outcome == Outcome::Refused || self.recent.is_new(&words) {
            out.operation(asker, operation, name, service.map(Into::into), None, outcome);
        }
    }
}

/// An item of an association: type, reserved, length, value.
fn item<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Short> {
    let kind = reader.u8()?;
    reader.skip(1)?;
    let length = usize::from(reader.be16()?);
    Ok((kind, reader.take(length)?))
}

/// The title of an application entity: 16 letters, filled up with spaces.
fn title(bytes: &[u8]) -> String {
    data::text(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
