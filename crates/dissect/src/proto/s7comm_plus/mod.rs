//! S7 communication plus, which S7-1200 and S7-1500 controllers speak with TIA Portal and panels.
//!
//! It runs over ISO on TCP ([`cotp`](super::cotp)). Siemens does not publish it and newer versions
//! protect its content; what is read here is what stands in the clear in all versions: protocol
//! identifier 0x72, version, length, and where the version shows it, opcode, function and sequence.

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use super::cotp::{self, Connect, PORTS, TpktStream, Unit};
use super::industrial::{Recent, asker, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// S7 communication plus.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "s7comm-plus",
    name: "S7 communication plus",
    spec: "RFC 1006, ISO 8073, and the protocol as known from the wire",
    carriers: &[Carrier::Tcp(PORTS)],
    probe,
    start: || Box::new(S7commPlus::default()),
};

/// The protocol identifier.
const IDENTIFIER: u8 = 0x72;

/// Version 3 protects its content: a length and a digest of 32 bytes come first.
const DIGEST: usize = 33;

/// Keep-alives have this version, no opcode and no function.
const KEEP_ALIVE: u8 = 0xff;

const REQUEST: u8 = 0x31;
const RESPONSE: u8 = 0x32;
const NOTIFICATION: u8 = 0x33;

/// The selector that panels and TIA Portal call begins with this.
const ROOT: &[u8] = b"SIMATIC-ROOT-";

fn fits(user: &[u8]) -> bool {
    matches!(user, [IDENTIFIER, 1..=3 | KEEP_ALIVE, _, _, ..]) && frame(user, false).is_ok()
}

fn probe(opening: &Opening<'_>) -> Verdict {
    cotp::probe(opening, fits)
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    version: u8,
    opcode: Option<u8>,
    function: Option<u16>,
    sequence: Option<u16>,
    /// What follows the head.
    content: &'a [u8],
    /// Whether a trailer follows: the message ends with this frame.
    ends: bool,
}

fn frame(bytes: &[u8], continues: bool) -> Result<Frame<'_>, Short> {
    let mut reader = Reader::new(bytes);
    reader.skip(1)?;
    let version = reader.u8()?;
    let length = usize::from(reader.be16()?);
    let mut frame = Frame { version, opcode: None, function: None, sequence: None, content: &[], ends: true };
    if version == KEEP_ALIVE {
        return Ok(frame);
    }
    let mut inside = Reader::new(reader.take(length)?);
    frame.ends = !reader.is_empty();
    if version == 3 {
        inside.skip(DIGEST)?;
    }
    if continues {
        return Ok(frame);
    }
    let opcode = inside.u8()?;
    frame.opcode = Some(opcode);
    if matches!(opcode, REQUEST | RESPONSE) {
        inside.skip(2)?;
        frame.function = Some(inside.be16()?);
        inside.skip(2)?;
        frame.sequence = Some(inside.be16()?);
    }
    frame.content = inside.rest();
    Ok(frame)
}

const fn opcode_name(code: u8) -> &'static str {
    match code {
        REQUEST => "request",
        RESPONSE => "response",
        NOTIFICATION => "notification",
        0x02 => "response-2",
        _ => "unknown",
    }
}

const fn function(code: u16) -> (OperationKind, &'static str) {
    match code {
        0x04bb => (OperationKind::Discover, "explore"),
        0x04ca => (OperationKind::Configure, "create-object"),
        0x04d4 => (OperationKind::Configure, "delete-object"),
        0x04f2 => (OperationKind::Write, "set-variable"),
        0x04fc => (OperationKind::Read, "get-variable"),
        0x0524 => (OperationKind::Configure, "add-link"),
        0x051a => (OperationKind::Configure, "remove-link"),
        0x0542 => (OperationKind::Write, "set-multi-variables"),
        0x054c => (OperationKind::Read, "get-multi-variables"),
        0x0556 => (OperationKind::Execute, "begin-sequence"),
        0x0560 => (OperationKind::Execute, "end-sequence"),
        0x056b => (OperationKind::Execute, "invoke"),
        0x0586 => (OperationKind::Read, "get-var-sub-streamed"),
        _ => (OperationKind::Diagnose, "unknown"),
    }
}

/// A frame as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message {
    version: u8,
    opcode: Option<&'static str>,
    opcode_code: Option<u8>,
    function: Option<&'static str>,
    function_code: Option<u16>,
    sequence: Option<u16>,
}

/// One conversation.
#[derive(Debug, Default)]
struct S7commPlus {
    stream: TpktStream,
    /// Whether the next frame of a side continues the last: it has no head of its own.
    continues: [bool; 2],
    seen: Seen,
}

/// What a conversation has told.
#[derive(Debug, Default)]
struct Seen {
    recent: Recent,
    roles_told: bool,
    programmer_told: bool,
}

impl Parser for S7commPlus {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let continues = &mut self.continues[from.index()];
        let seen = &mut self.seen;
        self.stream.read(input, out, fits, |unit, out| match unit {
            Unit::Connect { request, connect } => {
                if !request {
                    connected(from, &connect, out);
                }
                true
            }
            Unit::Message(message) if message.first() == Some(&IDENTIFIER) => {
                match frame(message, *continues) {
                    Ok(frame) => {
                        *continues = !frame.ends;
                        seen.frame(from, &frame, out);
                    }
                    Err(Short) => {
                        out.anomaly(
                            from,
                            "length-mismatch",
                            format_args!("frame of {} bytes", message.len()),
                        );
                    }
                }
                true
            }
            Unit::Message(_) => false,
        })
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.stream.gap(from);
        true
    }
}

/// The selector that is called tells a panel from an engineering station.
fn connected(from: Side, connect: &Connect<'_>, out: &mut Emit<'_>) {
    match connect.called().and_then(|called| called.strip_prefix(ROOT)) {
        Some(b"HMI") => out.role(from.other(), Role::Hmi, "s7comm-plus.tsap", Confidence::LIKELY),
        Some(b"ES") => {
            out.role(from.other(), Role::EngineeringStation, "s7comm-plus.tsap", Confidence::LIKELY);
        }
        _ => {}
    }
}

impl Seen {
    fn frame(&mut self, from: Side, frame: &Frame<'_>, out: &mut Emit<'_>) {
        let named = frame.function.map(function);
        if out.wants_messages() {
            let message = Message {
                version: frame.version,
                opcode: frame.opcode.map(opcode_name),
                opcode_code: frame.opcode,
                function: named.map(|(_, name)| name),
                function_code: frame.function,
                sequence: frame.sequence,
            };
            let kind = match frame.opcode {
                Some(opcode) => opcode_name(opcode),
                None if frame.version == KEEP_ALIVE => "keep-alive",
                None => "continuation",
            };
            out.message(from, kind, &message);
        }
        match (frame.opcode, named) {
            (Some(REQUEST), Some((kind, name))) => self.request(from, kind, name, frame, out),
            (Some(RESPONSE | NOTIFICATION), _) => self.answer(from, frame, out),
            _ => {}
        }
    }

    fn request(
        &mut self,
        from: Side,
        kind: OperationKind,
        name: &'static str,
        frame: &Frame<'_>,
        out: &mut Emit<'_>,
    ) {
        // The session, a byte of flags, and the object that it is done to.
        let object =
            frame.content.get(5..9).and_then(|object| object.try_into().ok()).map(u32::from_be_bytes);
        let wanted_state = state_request(frame.content).filter(|_| kind == OperationKind::Write);
        let (kind, name) = match wanted_state {
            Some(RUN) => (OperationKind::Start, "plc-start"),
            Some(STOP) => (OperationKind::Stop, "plc-stop"),
            _ => (kind, name),
        };
        let programs = matches!(kind, OperationKind::Start | OperationKind::Stop | OperationKind::Configure);
        if !programs && kind != OperationKind::Write {
            let words = [u64::from(frame.function.unwrap_or(0)), u64::from(object.unwrap_or(0))];
            if !self.recent.is_new(&words) {
                return;
            }
        }
        if wanted_state.is_some() && !self.programmer_told {
            self.programmer_told = true;
            out.role(from, Role::EngineeringStation, "s7comm-plus.operating-state", Confidence::STRONG);
        }
        let target = object.map(|object| format!("object {object:#x}").into());
        out.operation(from, kind, name, target, None, Outcome::Asked);
    }

    fn answer(&mut self, from: Side, frame: &Frame<'_>, out: &mut Emit<'_>) {
        if !self.roles_told && from != asker(out.flow(), PORTS) {
            self.roles_told = true;
            out.role(from, Role::Plc, "s7comm-plus.response", Confidence::STRONG);
            out.role(from.other(), Role::Hmi, "s7comm-plus.request", Confidence::HINT);
            out.fact(from, Attribute::Vendor, "Siemens", "s7comm-plus.response", Confidence::LIKELY);
        }
        // The session that is created names the module: "1;6ES7 215-1AG31-0XB0;V3.0".
        if frame.function != Some(CREATE_OBJECT) {
            return;
        }
        let Some(at) = frame.content.windows(ORDER.len()).position(|window| window == ORDER) else { return };
        let end = frame.content[at..].iter().position(|byte| !(0x20..0x7f).contains(byte));
        let identity = &frame.content[at..end.map_or(frame.content.len(), |end| at + end)];
        let mut parts = identity.split(|byte| *byte == b';').skip(1);
        if let Some(order) = parts.next().and_then(text) {
            out.fact(from, Attribute::PartNumber, order, "s7comm-plus.session-version", Confidence::CERTAIN);
        }
        if let Some(version) = parts.next().and_then(|version| text(version.strip_prefix(b"V")?)) {
            out.fact(from, Attribute::Firmware, version, "s7comm-plus.session-version", Confidence::CERTAIN);
        }
    }
}

/// The function that creates a session.
const CREATE_OBJECT: u16 = 0x04ca;

/// How a Siemens order number begins in the version of a session.
const ORDER: &[u8] = b";6ES7 ";

/// Requested operating states.
const STOP: u8 = 1;
const RUN: u8 = 3;

/// The operating state that a write asks for, if it writes it: attribute 2167 of the execution unit, as
/// a variable-length number, then no flags, the type of a double integer, and the state.
fn state_request(content: &[u8]) -> Option<u8> {
    const STATE_ATTRIBUTE: &[u8] = &[0x90, 0x77, 0x00, 0x08];
    let at = content.windows(STATE_ATTRIBUTE.len()).position(|window| window == STATE_ATTRIBUTE)?;
    content.get(at + STATE_ATTRIBUTE.len()).copied().filter(|state| matches!(*state, STOP | RUN))
}

#[cfg(test)]
mod tests;
