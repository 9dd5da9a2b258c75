//! FINS: the messages of Omron's controllers, over UDP and TCP.
//!
//! Omron W227 and W342 (Factory Interface Network Service; communications commands). A frame has ten
//! bytes of addresses, a command of two bytes, and in answers an end code. Over TCP each frame follows
//! a header that begins with the letters FINS.
//!
//! What is asked is told when it is answered, so that its outcome is known.

mod names;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Timestamp, Value};
use serde::Serialize;

use super::industrial::{Recent, begin, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// Omron FINS.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "omron-fins",
    name: "Omron FINS",
    spec: "Omron W227 and W342",
    carriers: &[Carrier::Udp(PORTS), Carrier::Tcp(PORTS)],
    probe,
    start: || Box::new(Fins::default()),
};

/// The port that Omron's controllers have for both.
const PORTS: &[u16] = &[9_600];

/// Every message over TCP begins so.
const MAGIC: &[u8] = b"FINS";

/// Magic and length.
const TCP_PREFIX: usize = 8;

/// What the length over TCP counts at least: command and error code.
const TCP_LEAST: usize = 8;

/// A longer message is taken for chance: frames have two thousand bytes at most.
const MAX_LENGTH: usize = 4_096;

/// Commands that wait for their answer. When there are more, the oldest counts as not answered.
const MAX_PENDING: usize = 16;

/// Written words are reported up to so many.
const MAX_VALUES: usize = 32;

const CONTROLLER_DATA_READ: u16 = 0x0501;

/// A frame, taken apart (W227, section 5-1).
#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    answers: bool,
    /// Whether an answer is wanted.
    wants_answer: bool,
    /// Network, node and unit.
    destination: [u8; 3],
    source: [u8; 3],
    service: u8,
    command: u16,
    data: &'a [u8],
}

fn frame(bytes: &[u8]) -> Result<Frame<'_>, Short> {
    let mut reader = Reader::new(bytes);
    let control = reader.u8()?;
    let reserved = reader.u8()?;
    // How many gateways may be passed: seven at most, and then one less at each.
    let gateways = reader.u8()?;
    if control & 0xbe != 0x80 || reserved != 0 || gateways > 7 {
        return Err(Short);
    }
    Ok(Frame {
        answers: control & 0x40 != 0,
        wants_answer: control & 1 == 0,
        destination: reader.array()?,
        source: reader.array()?,
        service: reader.u8()?,
        command: reader.be16()?,
        data: reader.rest(),
    })
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if opening.stream {
        return match wrapped(bytes) {
            Ok(Some(_)) => Verdict::Yes,
            Ok(None) => Verdict::No,
            Err(Short) => Verdict::More,
        };
    }
    match frame(bytes) {
        // Twelve bytes, of which the half is addresses: believed on its port.
        Ok(frame) if names::command(frame.command).is_some() => {
            if frame.answers && frame.data.len() < 2 {
                Verdict::No
            } else {
                Verdict::Maybe
            }
        }
        _ => Verdict::No,
    }
}

/// The header over TCP.
#[derive(Clone, Copy, Debug)]
struct Wrapper {
    name: &'static str,
    command: u32,
    error: u32,
    /// All of the message.
    size: usize,
}

/// Reads the header over TCP: `None` if there is none, `Err` if bytes are missing.
fn wrapped(bytes: &[u8]) -> Result<Option<Wrapper>, Short> {
    let start = bytes.get(..MAGIC.len()).unwrap_or(bytes);
    if !MAGIC.starts_with(start) {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes);
    reader.skip(MAGIC.len())?;
    let length = reader.be32()? as usize;
    let command = reader.be32()?;
    let error = reader.be32()?;
    let Some(name) = names::wrapper(command) else { return Ok(None) };
    let fits = (TCP_LEAST..=MAX_LENGTH).contains(&length);
    Ok(fits.then_some(Wrapper { name, command, error, size: TCP_PREFIX + length }))
}

/// A frame as it is reported.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message {
    destination: String,
    source: String,
    service: u8,
    command: &'static str,
    command_code: u16,
    end: Option<&'static str>,
    end_code: Option<u16>,
    target: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<u16>,
    model: Option<String>,
    version: Option<String>,
    size: usize,
}

/// What stands around frames over TCP, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Around {
    command: &'static str,
    error_code: u32,
    client_node: Option<u32>,
    server_node: Option<u32>,
}

/// A command that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    asker: Side,
    service: u8,
    command: u16,
    kind: OperationKind,
    name: &'static str,
    target: Option<Box<str>>,
    value: Option<Value>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Fins {
    stream: bool,
    searching: [bool; 2],
    pending: Vec<Pending>,
    recent: Recent,
}

impl Parser for Fins {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        if !self.stream && !input.bytes.starts_with(MAGIC) && !self.searching[from.index()] {
            match frame(input.bytes) {
                Ok(frame) => self.frame(from, &frame, input.bytes.len(), out),
                Err(Short) => out.anomaly(from, "frame", format_args!("of {} bytes", input.bytes.len())),
            }
            return Progress::Took(input.bytes.len());
        }
        self.stream = true;
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            match wrapped(bytes) {
                Err(Short) => break,
                Ok(None) if self.searching[from.index()] => taken += 1,
                Ok(None) => return Progress::Lost("framing"),
                Ok(Some(wrapper)) => {
                    let Some(body) = bytes.get(TCP_PREFIX + TCP_LEAST..wrapper.size) else { break };
                    self.searching[from.index()] = false;
                    taken += wrapper.size;
                    if wrapper.command != 2 {
                        around(from, wrapper, body, out);
                        continue;
                    }
                    match frame(body) {
                        Ok(frame) => self.frame(from, &frame, body.len(), out),
                        Err(Short) => out.anomaly(from, "frame", format_args!("of {} bytes", body.len())),
                    }
                }
            }
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.searching[from.index()] = true;
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        for old in std::mem::take(&mut self.pending) {
            tell(old, Outcome::Asked, out);
        }
    }
}

fn tell(old: Pending, outcome: Outcome, out: &mut Emit<'_>) {
    out.asked(old.asked).operation(old.asker, old.kind, old.name, old.target, old.value, outcome);
}

/// Node addresses are agreed before the first frame (W342, FINS/TCP).
fn around(from: Side, wrapper: Wrapper, body: &[u8], out: &mut Emit<'_>) {
    let mut reader = Reader::new(body);
    if wrapper.error != 0 {
        out.anomaly(from, "wrapper-error", format_args!("{} with error {}", wrapper.name, wrapper.error));
    }
    if out.wants_messages() {
        let message = Around {
            command: wrapper.name,
            error_code: wrapper.error,
            client_node: reader.be32().ok(),
            server_node: reader.be32().ok(),
        };
        out.message(from, "connection", &message);
    }
}

impl Fins {
    fn frame(&mut self, from: Side, frame: &Frame<'_>, size: usize, out: &mut Emit<'_>) {
        let known = names::command(frame.command);
        let (name, kind) = known.unwrap_or(("unknown", None));
        if known.is_none() {
            out.anomaly(from, "command", format_args!("0x{:04x}", frame.command));
        }
        let end = if frame.answers {
            let Some((code, _)) = frame.data.split_first_chunk::<2>() else {
                out.anomaly(from, "length-mismatch", format_args!("{name} without an end code"));
                return;
            };
            Some(*code)
        } else {
            None
        };
        let (target, values) = if frame.answers {
            (None, Vec::new())
        } else {
            object(frame.command, frame.data).unwrap_or_default()
        };
        let identity = match end {
            // Bits 6 and 7 of the second byte are warnings of the controller's own state (5-1-3).
            Some([0, low]) if low & 0x3f == 0 && frame.command == CONTROLLER_DATA_READ => {
                identity(frame.data.get(2..).unwrap_or_default()).unwrap_or_default()
            }
            _ => (None, None),
        };
        if out.wants_messages() {
            let message = Message {
                destination: address(frame.destination),
                source: address(frame.source),
                service: frame.service,
                command: name,
                command_code: frame.command,
                end: end.map(|[main, _]| names::end(main)),
                end_code: end.map(u16::from_be_bytes),
                target: target.clone(),
                values: values.clone(),
                model: identity.0.clone(),
                version: identity.1.clone(),
                size,
            };
            out.message(from, if frame.answers { "response" } else { "command" }, &message);
        }
        match end {
            None => {
                if let Some(kind) = kind {
                    self.asked(from, frame, (name, kind), target, &values, out);
                }
            }
            Some(end) => {
                self.answered(from, frame, end, out);
                let (model, version) = identity;
                if let Some(model) = model {
                    out.fact(from, Attribute::Vendor, "Omron", "omron-fins.controller", Confidence::STRONG);
                    out.fact(from, Attribute::Model, model, "omron-fins.model", Confidence::CERTAIN);
                }
                if let Some(version) = version {
                    out.fact(from, Attribute::Firmware, version, "omron-fins.version", Confidence::CERTAIN);
                }
            }
        }
    }

    fn asked(
        &mut self,
        asker: Side,
        frame: &Frame<'_>,
        (name, kind): (&'static str, OperationKind),
        target: Option<String>,
        values: &[u16],
        out: &mut Emit<'_>,
    ) {
        let poll = matches!(kind, OperationKind::Read | OperationKind::Identify | OperationKind::Diagnose);
        if poll {
            let digest = super::text::digest(frame.data);
            if !self.recent.is_new(&[frame.command.into(), digest.into()]) {
                return;
            }
        }
        let value = match values {
            [] => None,
            [single] => Some(Value::Unsigned((*single).into())),
            many => Some(Value::List(many.iter().map(|value| Value::Unsigned((*value).into())).collect())),
        };
        if self.pending.len() >= MAX_PENDING {
            tell(self.pending.remove(0), Outcome::Asked, out);
        }
        let pending = Pending {
            asked: out.now(),
            asker,
            service: frame.service,
            command: frame.command,
            kind,
            name,
            target: target.map(Into::into),
            value,
        };
        if frame.wants_answer {
            begin(&mut self.pending, pending);
        } else {
            tell(pending, Outcome::Asked, out);
        }
    }

    fn answered(&mut self, from: Side, frame: &Frame<'_>, end: [u8; 2], out: &mut Emit<'_>) {
        let found = self.pending.iter().position(|old| {
            (old.service, old.command) == (frame.service, frame.command) && old.asker != from
        });
        let Some(at) = found else { return };
        let good = end[0] == 0 && end[1] & 0x3f == 0;
        let old = self.pending.remove(at);
        out.role(from, Role::Plc, "omron-fins.response", Confidence::STRONG);
        let programs = matches!(
            old.kind,
            OperationKind::ProgramDownload | OperationKind::ProgramUpload | OperationKind::Start
        );
        if good && programs {
            out.role(old.asker, Role::EngineeringStation, "omron-fins.program", Confidence::LIKELY);
        }
        tell(old, if good { Outcome::Done } else { Outcome::Refused }, out);
    }
}

/// Network, node and unit as Omron writes them.
fn address([network, node, unit]: [u8; 3]) -> String {
    format!("{network}.{node}.{unit}")
}

/// What a command is done to, and the words it writes. Protecting a program carries its password, of
/// which nothing is read.
fn object(command: u16, data: &[u8]) -> Result<(Option<String>, Vec<u16>), Short> {
    let mut reader = Reader::new(data);
    Ok(match command {
        0x0101..=0x0103 => {
            let (target, bits) = place(&mut reader)?;
            let count = reader.be16()?;
            let mut values = Vec::new();
            if command != 0x0101 {
                while values.len() < MAX_VALUES {
                    let value = if bits { reader.u8().map(u16::from) } else { reader.be16() };
                    let Ok(value) = value else { break };
                    values.push(value);
                }
            }
            (Some(format!("{target} count {count}")), values)
        }
        0x0104 => {
            let (target, _) = place(&mut reader)?;
            let more = reader.left() / 4;
            (Some(if more == 0 { target } else { format!("{target} and {more} more") }), Vec::new())
        }
        0x0105 => {
            let (source, _) = place(&mut reader)?;
            let (destination, _) = place(&mut reader)?;
            let count = reader.be16()?;
            (Some(format!("{source} to {destination} count {count}")), Vec::new())
        }
        0x0306 | 0x0307 => {
            let program = reader.be16()?;
            let start = reader.be32()?;
            (Some(format!("program {program} from {start}")), Vec::new())
        }
        // The mode stands after the program; without it the controller monitors.
        0x0401 => {
            let mode = match data.get(2) {
                Some(1) => "debug",
                Some(4) => "run",
                _ => "monitor",
            };
            (Some(format!("mode {mode}")), Vec::new())
        }
        // Disk and file: a name of twelve bytes.
        0x2202 | 0x2203 => {
            reader.skip(2)?;
            (text(reader.take(12)?), Vec::new())
        }
        _ => (None, Vec::new()),
    })
}

/// A place in memory: area, word, bit (W227, section 5-2-2). Tells also whether its elements are bits.
fn place(reader: &mut Reader<'_>) -> Result<(String, bool), Short> {
    let code = reader.u8()?;
    let word = reader.be16()?;
    let bit = reader.u8()?;
    Ok(match names::area(code) {
        Some((name, true)) => (format!("{name} {word}.{bit:02}"), true),
        Some((name, false)) => (format!("{name} {word}"), false),
        None => (format!("area 0x{code:02x} {word}.{bit:02}"), false),
    })
}

/// Model and version, 20 bytes each (W227, section 5-3-17). The version's field holds more than one;
/// the first is that of the controller.
fn identity(data: &[u8]) -> Result<(Option<String>, Option<String>), Short> {
    let mut reader = Reader::new(data);
    Ok((text(reader.take(20)?), text(reader.take(20)?)))
}

#[cfg(test)]
mod tests;
