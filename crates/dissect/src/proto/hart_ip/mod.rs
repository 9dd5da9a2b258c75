//! HART-IP: the commands of field instruments over UDP or TCP, mostly through gateways and input/output
//! systems.
//!
//! FCG TS20085 (HART-IP, the eight bytes before each message) and FCG TS20081 (token-passing data link
//! layer, the frame inside). What is asked is told when it is answered.
//!
//! Behind one address there may be many instruments. Only the one that answers first to the question
//! for its identity is the host itself; the others are told in messages, not as facts.

mod names;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Timestamp};
use serde::Serialize;

use super::industrial::{Hex, Recent, begin, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// HART-IP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "hart-ip",
    name: "HART-IP",
    spec: "FCG TS20085, FCG TS20081, FCG TS20127",
    carriers: &[Carrier::Udp(PORTS), Carrier::Tcp(PORTS)],
    probe,
    start: || Box::new(HartIp::default()),
};

/// IANA's port for `hart-ip`.
const PORTS: &[u16] = &[5_094];

/// Version, type, identifier, status, sequence number, length.
const HEADER: usize = 8;

/// A longer message is taken for chance: the greatest are records of sessions.
const MAX_MESSAGE: usize = 4_096;

/// Commands that wait for their answer. When there are more, the oldest counts as not answered.
const MAX_PENDING: usize = 16;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const PUBLISH: u8 = 2;

/// Identifiers of messages.
const SESSION_INITIATE: u8 = 0;
const TOKEN_PASSING: u8 = 3;
const DIRECT: u8 = 4;

/// Everything before the body.
#[derive(Clone, Copy, Debug)]
struct Header {
    version: u8,
    kind: u8,
    id: u8,
    status: u8,
    sequence: u16,
    size: usize,
}

/// Reads the header: `None` if there is none, `Err` if bytes are missing.
fn header(bytes: &[u8]) -> Result<Option<Header>, Short> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8()?;
    if !matches!(version, 1 | 2) {
        return Ok(None);
    }
    let kind = reader.u8()?;
    let id = reader.u8()?;
    let status = reader.u8()?;
    let sequence = reader.be16()?;
    let size = usize::from(reader.be16()?);
    let fits = matches!(kind, 0..=3 | 15) && id <= 5 && (HEADER..=MAX_MESSAGE).contains(&size);
    // A request has nothing to report yet.
    let fits = fits && (kind != REQUEST || status == 0);
    Ok(fits.then_some(Header { version, kind, id, status, sequence, size }))
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let header = match header(opening.bytes) {
        Ok(Some(header)) => header,
        Ok(None) => return Verdict::No,
        Err(Short) if opening.stream => return Verdict::More,
        Err(Short) => return Verdict::No,
    };
    let Some(body) = opening.bytes.get(HEADER..header.size) else {
        return if opening.stream { Verdict::More } else { Verdict::No };
    };
    if !opening.stream && opening.bytes.len() != header.size {
        return Verdict::No;
    }
    match (header.id, header.kind) {
        // Kind of master and a time after which an idle session ends.
        (SESSION_INITIATE, REQUEST | RESPONSE) => match body {
            [0 | 1, _, _, _, _] => Verdict::Yes,
            [] if header.status != 0 => Verdict::Maybe,
            _ => Verdict::No,
        },
        (TOKEN_PASSING, REQUEST | RESPONSE | PUBLISH) => match frame(body) {
            Ok(frame) if frame.checks => Verdict::Yes,
            _ => Verdict::Maybe,
        },
        _ => Verdict::Maybe,
    }
}

/// A frame of the token-passing data link layer (TS20081, 5.1).
#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    kind: &'static str,
    /// Whether it is an answer: then its data begin with two states.
    answers: bool,
    /// One byte, or five that are unique.
    address: &'a [u8],
    command: u8,
    data: &'a [u8],
    /// Whether the check byte is right.
    checks: bool,
}

fn frame(bytes: &[u8]) -> Result<Frame<'_>, Short> {
    let mut reader = Reader::new(bytes);
    let delimiter = reader.u8()?;
    let (kind, answers) = match delimiter & 7 {
        1 => ("burst", true),
        2 => ("request", false),
        6 => ("answer", true),
        _ => return Err(Short),
    };
    let address = reader.take(if delimiter & 0x80 == 0 { 1 } else { 5 })?;
    reader.skip((delimiter >> 5 & 3).into())?;
    let command = reader.u8()?;
    let count = reader.u8()?;
    let data = reader.take(count.into())?;
    let length = reader.position();
    let check = reader.u8()?;
    let checks = bytes.iter().take(length).fold(0, |sum, byte| sum ^ byte) == check;
    Ok(Frame { kind, answers, address, command, data, checks })
}

/// A message as it is reported.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    version: u8,
    message: &'static str,
    status: u8,
    sequence: u16,
    master: Option<&'static str>,
    /// Milliseconds.
    inactivity_timer: Option<u32>,
    frame: Option<&'static str>,
    address: Option<Hex<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<Command<'a>>,
}

/// A command as it is reported.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Command<'a> {
    command: &'static str,
    code: u16,
    response_code: Option<u8>,
    device_status: Option<u8>,
    data: Hex<'a>,
}

impl<'a> Command<'a> {
    /// Numbers above 255 stand in the data of command 31 (TS20127, 5).
    fn new(code: u16, states: Option<(u8, u8)>, data: &'a [u8]) -> Self {
        let (code, data) = match (code, data.split_first_chunk::<2>()) {
            (31, Some((code, data))) => (u16::from_be_bytes(*code), data),
            _ => (code, data),
        };
        Self {
            command: names::command(code).map_or("device-specific", |(name, _)| name),
            code,
            response_code: states.map(|(response, _)| response),
            device_status: states.map(|(_, status)| status),
            data: Hex(data),
        }
    }
}

/// A command that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    asker: Side,
    sequence: u16,
    code: u16,
    kind: OperationKind,
    name: &'static str,
    target: Option<Box<str>>,
}

/// One conversation.
#[derive(Debug, Default)]
struct HartIp {
    searching: [bool; 2],
    pending: Vec<Pending>,
    recent: Recent,
    /// The unique address of the instrument that is the host itself.
    own: Option<[u8; 5]>,
}

impl Parser for HartIp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            match header(bytes) {
                Err(Short) => break,
                Ok(None) if self.searching[from.index()] => taken += 1,
                Ok(None) => return Progress::Lost("framing"),
                Ok(Some(header)) => {
                    let Some(body) = bytes.get(HEADER..header.size) else { break };
                    if self.searching[from.index()] {
                        // Only a frame that is whole tells for sure where messages begin.
                        if !(header.id == TOKEN_PASSING && frame(body).is_ok_and(|frame| frame.checks)) {
                            taken += 1;
                            continue;
                        }
                        self.searching[from.index()] = false;
                    }
                    if self.message(from, header, body, out).is_err() {
                        out.anomaly(
                            from,
                            "length-mismatch",
                            format_args!("{} of {} bytes", message_name(header.id), header.size),
                        );
                    }
                    taken += header.size;
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
    out.asked(old.asked).operation(old.asker, old.kind, old.name, old.target, None, outcome);
}

const fn message_name(id: u8) -> &'static str {
    match id {
        SESSION_INITIATE => "session-initiate",
        1 => "session-close",
        2 => "keep-alive",
        TOKEN_PASSING => "token-passing",
        DIRECT => "direct",
        _ => "read-audit-log",
    }
}

impl HartIp {
    fn message(&mut self, from: Side, header: Header, body: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
        let mut message = Message {
            version: header.version,
            message: message_name(header.id),
            status: header.status,
            sequence: header.sequence,
            ..Message::default()
        };
        let mut reader = Reader::new(body);
        let read = match header.id {
            SESSION_INITIATE if !body.is_empty() => session(&mut reader, &mut message),
            TOKEN_PASSING if !body.is_empty() => self.token_passing(from, header, body, &mut message, out),
            DIRECT if !body.is_empty() => self.direct(from, header, &mut reader, &mut message, out),
            _ => Ok(()),
        };
        if out.wants_messages() {
            let kind = match header.kind {
                REQUEST => "request",
                RESPONSE => "response",
                PUBLISH => "publish",
                _ => "error",
            };
            out.message(from, kind, &message);
        }
        read
    }

    fn token_passing<'a>(
        &mut self,
        from: Side,
        header: Header,
        body: &'a [u8],
        message: &mut Message<'a>,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let frame = frame(body)?;
        if !frame.checks {
            out.anomaly(from, "check", format_args!("{} of command {}", frame.kind, frame.command));
            return Ok(());
        }
        message.frame = Some(frame.kind);
        message.address = Some(Hex(frame.address));
        let (states, data) = match frame.data {
            [response, status, data @ ..] if frame.answers => (Some((*response, *status)), data),
            data => (None, data),
        };
        let command = Command::new(frame.command.into(), states, data);
        if frame.answers {
            self.answered(from, header, frame.address, &command, out);
        } else {
            self.asked(from, header, frame.address, &command, out);
        }
        message.commands.push(command);
        Ok(())
    }

    /// Commands without a frame around them, for the host itself: two states, then each with a number
    /// of 16 bits and a length (TS20085, direct PDU).
    fn direct<'a>(
        &mut self,
        from: Side,
        header: Header,
        reader: &mut Reader<'a>,
        message: &mut Message<'a>,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let status = reader.u8()?;
        reader.skip(1)?;
        while !reader.is_empty() {
            let code = reader.be16()?;
            let count = reader.u8()?;
            let data = reader.take(count.into())?;
            let answers = header.kind != REQUEST;
            let command = match data {
                [response, data @ ..] if answers => Command::new(code, Some((*response, status)), data),
                data => Command::new(code, None, data),
            };
            if answers {
                self.answered(from, header, &[], &command, out);
            } else {
                self.asked(from, header, &[], &command, out);
            }
            message.commands.push(command);
        }
        Ok(())
    }

    fn asked(
        &mut self,
        from: Side,
        header: Header,
        address: &[u8],
        command: &Command<'_>,
        out: &mut Emit<'_>,
    ) {
        let (name, kind) = names::command(command.code).unwrap_or(("command", OperationKind::Execute));
        let poll = matches!(
            kind,
            OperationKind::Read | OperationKind::Identify | OperationKind::Discover | OperationKind::Diagnose
        );
        let number = address.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        // The answer to a poll that was told before is still read.
        if poll && !self.recent.is_new(&[command.code.into(), number]) {
            return;
        }
        let device: String = address.iter().map(|byte| format!("{byte:02x}")).collect();
        let target = match (name, device.as_str()) {
            ("command", "") => format!("command {}", command.code),
            ("command", _) => format!("command {} device {device}", command.code),
            (_, "") => String::new(),
            _ => format!("device {device}"),
        };
        if self.pending.len() >= MAX_PENDING {
            tell(self.pending.remove(0), Outcome::Asked, out);
        }
        begin(
            &mut self.pending,
            Pending {
                asked: out.now(),
                asker: from,
                sequence: header.sequence,
                code: command.code,
                kind,
                name,
                target: (!target.is_empty()).then(|| target.into()),
            },
        );
    }

    fn answered(
        &mut self,
        from: Side,
        header: Header,
        address: &[u8],
        command: &Command<'_>,
        out: &mut Emit<'_>,
    ) {
        let Some(code) = command.response_code else { return };
        // With bit 7 set it is an error of communication; 8 and from 96 are warnings (TS20307).
        let good = matches!(code, 0 | 8 | 14 | 24..=27 | 30 | 31 | 96..=127);
        let found = self
            .pending
            .iter()
            .position(|old| (old.sequence, old.code) == (header.sequence, command.code) && old.asker != from);
        if let Some(at) = found {
            tell(self.pending.remove(at), if good { Outcome::Done } else { Outcome::Refused }, out);
        }
        if header.kind == RESPONSE {
            out.role(from, Role::FieldDevice, "hart-ip.response", Confidence::LIKELY);
        }
        if good {
            let _ = self.told(from, address, command, out);
        }
    }

    /// What an instrument says about itself.
    fn told(
        &mut self,
        from: Side,
        address: &[u8],
        command: &Command<'_>,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let mut reader = Reader::new(command.data.0);
        if matches!(command.code, 0 | 11 | 21) {
            let identity = identity(&mut reader)?;
            if *self.own.get_or_insert(identity.address) == identity.address {
                identity.tell(from, out);
            }
            return Ok(());
        }
        // Whose words these are: two bits of the first byte are the master's and the burst mode's.
        let unique = address.first_chunk::<5>().map(|[a, rest @ ..]| (a & 0x3f, *rest));
        let own = self.own.map(|[a, rest @ ..]| (a & 0x3f, rest));
        if !address.is_empty() && (own.is_none() || unique.is_some() && unique != own) {
            return Ok(());
        }
        match command.code {
            12 => {
                let words = packed(reader.take(24)?);
                out.fact(from, Attribute::Label, words, "hart-ip.message", Confidence::LIKELY);
            }
            13 => {
                let tag = packed(reader.take(6)?);
                out.fact(from, Attribute::Label, tag, "hart-ip.tag", Confidence::CERTAIN);
                let words = packed(reader.take(12)?);
                out.fact(from, Attribute::Label, words, "hart-ip.descriptor", Confidence::LIKELY);
            }
            20 | 22 => {
                if let Some(tag) = text(reader.take(32)?) {
                    out.fact(from, Attribute::Label, tag, "hart-ip.long-tag", Confidence::CERTAIN);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The kind of master and the time after which an idle session ends.
fn session(reader: &mut Reader<'_>, message: &mut Message<'_>) -> Result<(), Short> {
    message.master = Some(if reader.u8()? == 1 { "primary" } else { "secondary" });
    message.inactivity_timer = Some(reader.be32()?);
    Ok(())
}

/// The answer to commands 0, 11 and 21 (TS20127, 6.1).
#[derive(Debug)]
struct Identity {
    /// The unique address: the expanded type and the number of the device.
    address: [u8; 5],
    maker: u16,
    device_type: u16,
    revision: u8,
    software: u8,
    hardware: u8,
    profile: Option<u8>,
}

fn identity(reader: &mut Reader<'_>) -> Result<Identity, Short> {
    // 254 stands where devices of old had their type.
    if reader.u8()? != 254 {
        return Err(Short);
    }
    let [high, low] = reader.array::<2>()?;
    reader.skip(1)?;
    let universal = reader.u8()?;
    let revision = reader.u8()?;
    let software = reader.u8()?;
    // Three bits are the kind of signalling.
    let hardware = reader.u8()? >> 3;
    reader.skip(1)?;
    let [a, b, c] = reader.array::<3>()?;
    // Until revision 5 there was nothing more, and maker and type had a byte each.
    let (maker, device_type, profile) = if universal < 7 {
        (high.into(), low.into(), None)
    } else {
        reader.skip(5)?;
        let maker = reader.be16()?;
        reader.skip(2)?;
        (maker, u16::from_be_bytes([high, low]), Some(reader.u8()?))
    };
    Ok(Identity { address: [high, low, a, b, c], maker, device_type, revision, software, hardware, profile })
}

impl Identity {
    fn tell(&self, from: Side, out: &mut Emit<'_>) {
        if let Some(maker) = names::maker(self.maker) {
            out.fact(from, Attribute::Vendor, maker, "hart-ip.manufacturer", Confidence::CERTAIN);
        }
        let [a, b, c, d, e] = self.address;
        let serial = u32::from_be_bytes([0, c, d, e]);
        out.fact(from, Attribute::Serial, serial.to_string(), "hart-ip.device-id", Confidence::CERTAIN);
        let identifier = format!("hart {a:02x}{b:02x}{c:02x}{d:02x}{e:02x}");
        out.fact(from, Attribute::Identifier, identifier, "hart-ip.unique-address", Confidence::CERTAIN);
        let part = format!("hart device type 0x{:04x} revision {}", self.device_type, self.revision);
        out.fact(from, Attribute::PartNumber, part, "hart-ip.device-type", Confidence::STRONG);
        let software = self.software.to_string();
        out.fact(from, Attribute::Firmware, software, "hart-ip.software-revision", Confidence::CERTAIN);
        let hardware = self.hardware.to_string();
        out.fact(from, Attribute::Hardware, hardware, "hart-ip.hardware-revision", Confidence::CERTAIN);
        if let Some((code, kind)) = self.profile.and_then(|code| Some((code, names::profile(code)?))) {
            out.fact(from, Attribute::Type, kind, "hart-ip.profile", Confidence::CERTAIN);
            if matches!(code, 132 | 141) {
                out.role(from, Role::Gateway, "hart-ip.profile", Confidence::CERTAIN);
            }
        }
    }
}

/// Text of six bits for each character (TS20099, packed ASCII).
fn packed(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        for shift in [18, 12, 6, 0] {
            let code = (bits >> shift & 0x3f) as u8;
            // Bit 6 is the opposite of bit 5.
            text.push(char::from(if code & 0x20 == 0 { code | 0x40 } else { code }));
        }
    }
    text
}

#[cfg(test)]
mod tests;
