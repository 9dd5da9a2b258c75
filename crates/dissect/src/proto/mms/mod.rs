//! MMS: the manufacturing message specification, on which IEC 61850 puts its devices.
//!
//! ISO 9506-2 (services), over the presentation and session of ISO 8823 and ISO 8327 and ISO on TCP
//! ([`cotp`](super::cotp)); IEC 61850-8-1 for the names of objects. The layers between are passed
//! through without keeping their state: what they add to a message is always the same few bytes.
//!
//! What is asked is told when it is answered, so that its outcome is known.

mod names;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Timestamp, Value};
use serde::Serialize;

use super::cotp::{self, PORTS, TpktStream, Unit};
use super::industrial::{Recent, begin, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// MMS.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "mms",
    name: "Manufacturing Message Specification",
    spec: "ISO 9506-2:2003, IEC 61850-8-1:2011",
    carriers: &[Carrier::Tcp(PORTS)],
    probe,
    start: || Box::new(Mms::default()),
};

/// Requests that wait for their answer. When there are more, the oldest counts as not answered.
const MAX_PENDING: usize = 32;

/// Names of objects of one message that are read.
const MAX_NAMES: usize = 16;

/// A target names at most so many objects, and says how many more there are.
const MAX_NAMED: usize = 4;

/// Names are looked for so deep: those of reads and writes stand six deep.
const MAX_DEPTH: u8 = 8;

/// The abstract syntax of MMS, 1.0.9506.2.1, as it stands in a request for a connection.
const SYNTAX: &[u8] = &[0x28, 0xca, 0x22, 0x02, 0x01];

/// Session: connect, accept, and the pair of give tokens and data transfer (ISO 8327-1, 8.3).
const CONNECT: u8 = 0x0d;
const ACCEPT: u8 = 0x0e;
const DATA: &[u8] = &[1, 0, 1, 0];

/// Session parameter: user data (ISO 8327-1, annex B).
const USER_DATA: u8 = 0xc1;

/// The kinds of MMS PDU (ISO 9506-2, clause 7).
const CONFIRMED_REQUEST: u16 = 0xa0;
const CONFIRMED_RESPONSE: u16 = 0xa1;
const CONFIRMED_ERROR: u16 = 0xa2;
const UNCONFIRMED: u16 = 0xa3;
const REJECT: u16 = 0xa4;
const INITIATE_REQUEST: u16 = 0xa8;
const INITIATE_RESPONSE: u16 = 0xa9;

const VISIBLE_STRING: u16 = 0x1a;
const GRAPHIC_STRING: u16 = 0x19;

const IDENTIFY: u8 = 2;
const WRITE: u8 = 5;

const fn pdu_name(tag: u16) -> Option<&'static str> {
    Some(match tag {
        CONFIRMED_REQUEST => "confirmed-request",
        CONFIRMED_RESPONSE => "confirmed-response",
        CONFIRMED_ERROR => "confirmed-error",
        UNCONFIRMED => "unconfirmed",
        REJECT => "reject",
        0x85 => "cancel-request",
        0x86 => "cancel-response",
        0xa7 => "cancel-error",
        INITIATE_REQUEST => "initiate-request",
        INITIATE_RESPONSE => "initiate-response",
        0xaa => "initiate-error",
        0x8b => "conclude-request",
        0x8c => "conclude-response",
        0xad => "conclude-error",
        _ => return None,
    })
}

/// Reads a tag, of one byte or two, and its content (ITU-T X.690, 8.1). The indefinite form is not
/// used here.
fn element<'a>(reader: &mut Reader<'a>) -> Result<(u16, &'a [u8]), Short> {
    let first = reader.u8()?;
    let tag = if first & 0x1f == 0x1f {
        let second = reader.u8()?;
        if second & 0x80 != 0 {
            return Err(Short);
        }
        u16::from_be_bytes([first, second])
    } else {
        first.into()
    };
    let length = match reader.u8()? {
        length @ 0..=0x7f => length.into(),
        0x81 => reader.u8()?.into(),
        0x82 => reader.be16()?.into(),
        0x83 => reader.be24()? as usize,
        _ => return Err(Short),
    };
    Ok((tag, reader.take(length)?))
}

/// The content of the first element of this tag among those in `bytes`.
fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    while let Ok((tag, content)) = element(&mut reader) {
        if tag == wanted {
            return Some(content);
        }
    }
    None
}

/// Follows tags inwards.
fn follow<'a>(bytes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, tag| find(bytes, *tag))
}

/// A number of up to eight bytes (X.690, 8.3).
fn integer(bytes: &[u8]) -> Option<i64> {
    let first = *bytes.first().filter(|_| bytes.len() <= 8)?;
    let start = if first & 0x80 == 0 { 0 } else { -1 };
    Some(bytes.iter().fold(start, |number, byte| number << 8 | i64::from(*byte)))
}

/// The MMS PDU in a session message. Presentation: fully encoded data, a list, one value (ISO 8823-1,
/// 8.4.2). A connection adds the association's own message in between (ISO 8650-1).
fn unwrap(session: &[u8]) -> Option<&[u8]> {
    if let Some(presentation) = session.strip_prefix(DATA) {
        return follow(presentation, &[0x61, 0x30, 0xa0]);
    }
    let association = association(session)?;
    // User information, an external value, one type.
    follow(association, &[0xbe, 0x28, 0xa0])
}

/// What asks for or grants an association (AARQ, AARE).
fn association(session: &[u8]) -> Option<&[u8]> {
    let (kind, _) = session.split_first().filter(|(kind, _)| matches!(**kind, CONNECT | ACCEPT))?;
    let user = user_data(session)?;
    let inside = follow(user, &[0x31, 0xa2, 0x61, 0x30, 0xa0])?;
    find(inside, if *kind == CONNECT { 0x60 } else { 0x61 })
}

/// The user data of a connect or accept (ISO 8327-1, 8.2): a length below 255, or 255 and two bytes.
fn user_data(session: &[u8]) -> Option<&[u8]> {
    let length = |reader: &mut Reader<'_>| -> Result<usize, Short> {
        Ok(match reader.u8()? {
            255 => reader.be16()?.into(),
            short => short.into(),
        })
    };
    let mut reader = Reader::new(session);
    reader.skip(1).ok()?;
    length(&mut reader).ok()?;
    while let Ok(code) = reader.u8() {
        let length = length(&mut reader).ok()?;
        let content = reader.take(length).ok()?;
        if code == USER_DATA {
            return Some(content);
        }
    }
    None
}

/// Whether a session message carries MMS.
fn fits(session: &[u8]) -> bool {
    match session.first() {
        Some(&CONNECT) => memchr::memmem::find(session, SYNTAX).is_some(),
        Some(_) => unwrap(session)
            .and_then(|pdu| element(&mut Reader::new(pdu)).ok())
            .is_some_and(|(tag, _)| pdu_name(tag).is_some()),
        None => false,
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    cotp::probe(opening, fits)
}

/// A PDU as it is reported.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message {
    invoke: Option<u32>,
    service: Option<&'static str>,
    service_tag: Option<u8>,
    /// Whether the one who asks for a connection proves who it is; never how.
    authentication: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<String>,
    vendor: Option<String>,
    model: Option<String>,
    revision: Option<String>,
    size: usize,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    asker: Side,
    invoke: i64,
    kind: OperationKind,
    name: &'static str,
    target: Option<Box<str>>,
    value: Option<Value>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Mms {
    stream: TpktStream,
    pending: Vec<Pending>,
    recent: Recent,
}

impl Parser for Mms {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut stream = std::mem::take(&mut self.stream);
        let progress = stream.read(input, out, fits, |unit, out| match unit {
            Unit::Connect { .. } => true,
            Unit::Message(session) => {
                self.session(from, session, out);
                true
            }
        });
        self.stream = stream;
        progress
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.stream.gap(from);
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

impl Mms {
    fn session(&mut self, from: Side, session: &[u8], out: &mut Emit<'_>) {
        let Some(pdu) = unwrap(session) else {
            // Sessions also end, abort and refuse, without anything of MMS inside.
            if session.starts_with(DATA) {
                out.anomaly(from, "presentation", format_args!("{} bytes without a value", session.len()));
            }
            return;
        };
        let Ok((tag, content)) = element(&mut Reader::new(pdu)) else {
            out.anomaly(from, "length-mismatch", format_args!("PDU of {} bytes", pdu.len()));
            return;
        };
        let Some(name) = pdu_name(tag) else {
            out.anomaly(from, "pdu", format_args!("tag 0x{tag:02x}"));
            return;
        };
        let mut message = Message { size: pdu.len(), ..Message::default() };
        match tag {
            INITIATE_REQUEST => {
                // Calling authentication value (ISO 8650-1, 9.1).
                message.authentication =
                    association(session).map(|association| find(association, 0xac).is_some());
            }
            INITIATE_RESPONSE => {
                out.role(from, Role::Ied, "mms.server", Confidence::LIKELY);
                out.role(from.other(), Role::Scada, "mms.client", Confidence::LIKELY);
            }
            CONFIRMED_REQUEST | CONFIRMED_RESPONSE => {
                if self.confirmed(from, tag, content, &mut message, out).is_err() {
                    out.anomaly(from, "length-mismatch", format_args!("{name} of {} bytes", pdu.len()));
                }
            }
            // The number of the request stands first, with a tag of its own.
            CONFIRMED_ERROR | REJECT => {
                if let Some(invoke) = find(content, 0x80).and_then(integer) {
                    message.invoke = u32::try_from(invoke).ok();
                    self.answered(from, invoke, Outcome::Refused, out);
                }
            }
            UNCONFIRMED if out.wants_messages() => message.objects = objects(content),
            _ => {}
        }
        out.message(from, name, &message);
    }

    fn confirmed(
        &mut self,
        from: Side,
        tag: u16,
        content: &[u8],
        message: &mut Message,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let mut reader = Reader::new(content);
        let (2, number) = element(&mut reader)? else { return Err(Short) };
        let invoke = integer(number).ok_or(Short)?;
        let (mut service, mut content) = element(&mut reader)?;
        // Modifiers may stand before the service.
        if service == 0x30 && !reader.is_empty() {
            (service, content) = element(&mut reader)?;
        }
        let service = if service > 0xff { (service & 0x7f) as u8 } else { (service & 0x1f) as u8 };
        let (name, kind) = names::service(service);
        message.invoke = u32::try_from(invoke).ok();
        message.service = Some(name);
        message.service_tag = Some(service);
        if tag == CONFIRMED_REQUEST {
            let objects = objects(content);
            if let Some(kind) = kind {
                self.asked(from, invoke, (service, name, kind), content, &objects, out);
            }
            message.objects = objects;
            return Ok(());
        }
        if service == IDENTIFY {
            let field = |tag| find(content, tag).and_then(text);
            for (value, attribute, source) in [
                (field(0x80), Attribute::Vendor, "mms.vendor-name"),
                (field(0x81), Attribute::Model, "mms.model-name"),
                (field(0x82), Attribute::Firmware, "mms.revision"),
            ] {
                if let Some(value) = value {
                    out.fact(from, attribute, value, source, Confidence::CERTAIN);
                }
            }
            message.vendor = field(0x80);
            message.model = field(0x81);
            message.revision = field(0x82);
        }
        // A write is answered for each object: [0] failure, [1] success (ISO 9506-2, 14.7).
        let failed = service == WRITE && find(content, 0x80).is_some();
        self.answered(from, invoke, if failed { Outcome::Refused } else { Outcome::Done }, out);
        Ok(())
    }

    fn asked(
        &mut self,
        asker: Side,
        invoke: i64,
        (service, name, kind): (u8, &'static str, OperationKind),
        content: &[u8],
        objects: &[String],
        out: &mut Emit<'_>,
    ) {
        if matches!(
            kind,
            OperationKind::Read | OperationKind::Discover | OperationKind::Identify | OperationKind::Diagnose
        ) {
            let digest = super::text::digest(content);
            if !self.recent.is_new(&[service.into(), digest.into()]) {
                return;
            }
        }
        if objects.iter().any(|object| names::constraint(object).is_some()) {
            out.role(asker.other(), Role::Ied, "mms.object-names", Confidence::STRONG);
        }
        let kind = match objects.first() {
            Some(object) if service == WRITE => names::written(object),
            _ => kind,
        };
        let named = objects.get(..MAX_NAMED).unwrap_or(objects);
        let mut target = named.join(", ");
        if objects.len() > named.len() {
            target.push_str(&format!(" and {} more", objects.len() - named.len()));
        }
        if self.pending.len() >= MAX_PENDING {
            tell(self.pending.remove(0), Outcome::Asked, out);
        }
        begin(
            &mut self.pending,
            Pending {
                asked: out.now(),
                asker,
                invoke,
                kind,
                name,
                target: (!target.is_empty()).then(|| target.into()),
                value: if service == WRITE { written(content) } else { None },
            },
        );
    }

    fn answered(&mut self, from: Side, invoke: i64, outcome: Outcome, out: &mut Emit<'_>) {
        let found = self.pending.iter().position(|old| old.invoke == invoke && old.asker != from);
        if let Some(at) = found {
            tell(self.pending.remove(at), outcome, out);
        }
    }
}

/// The names of the objects that a service is about: `domain/item` where both are told.
fn objects(content: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    collect(content, MAX_DEPTH, &mut names);
    names
}

fn collect(bytes: &[u8], depth: u8, names: &mut Vec<String>) {
    let mut reader = Reader::new(bytes);
    let mut open = false;
    while names.len() < MAX_NAMES {
        let Ok((tag, content)) = element(&mut reader) else { return };
        let constructed = if tag > 0xff { tag & 0x2000 != 0 } else { tag & 0x20 != 0 };
        match tag {
            VISIBLE_STRING | GRAPHIC_STRING => {
                let Some(name) = text(content) else { continue };
                // A domain and what is in it stand side by side.
                match names.last_mut().filter(|_| open) {
                    Some(domain) => {
                        domain.push('/');
                        domain.push_str(&name);
                    }
                    None => names.push(name),
                }
                open = !open;
            }
            _ if constructed && depth > 0 => collect(content, depth - 1, names),
            _ => {}
        }
    }
}

/// What a write sets, where it is one simple value or a structure that begins with one.
fn written(content: &[u8]) -> Option<Value> {
    // The objects come first and then the values, both with tag 0.
    let mut reader = Reader::new(content);
    element(&mut reader).ok()?;
    let (0xa0, values) = element(&mut reader).ok()? else { return None };
    let mut data = element(&mut Reader::new(values)).ok()?;
    if data.0 == 0xa2 {
        data = element(&mut Reader::new(data.1)).ok()?;
    }
    // Data (ISO 9506-2, 14.4.2): boolean, integer, unsigned, and floating point with its exponent's width.
    Some(match data {
        (0x83, [state]) => Value::Bool(*state != 0),
        (0x85, bytes) => Value::Signed(integer(bytes)?),
        (0x86, bytes) => Value::Unsigned(u64::try_from(integer(bytes)?).ok()?),
        (0x87, [8, bytes @ ..]) => Value::Real(f32::from_be_bytes(*bytes.first_chunk()?).into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
