//! S7 communication of Siemens controllers (S7-300 and S7-400, and newer ones where they allow it).
//!
//! It runs over ISO on TCP ([`cotp`](super::cotp)). Siemens does not publish it; the layout is known
//! from the wire: a header with protocol identifier 0x32, the kind of PDU (ROSCTR), a reference, and the
//! lengths of parameters and data; answers add an error class and code.
//!
//! What is asked is told when its acknowledgement comes, so that its outcome is known.

mod item;
mod names;
mod szl;

use model::{Confidence, OperationKind, Outcome, Role, Side, Timestamp, Value};
use serde::Serialize;

use self::item::Item;
use super::cotp::{self, Connect, PORTS, TpktStream, Unit};
use super::industrial::{Points, Recent, asker, begin, overdue};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// S7 communication.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "s7comm",
    name: "S7 communication",
    spec: "RFC 1006, ISO 8073, and the S7 protocol as known from the wire",
    carriers: &[Carrier::Tcp(PORTS)],
    probe,
    start: || Box::new(S7comm::default()),
};

/// The protocol identifier.
const IDENTIFIER: u8 = 0x32;

/// Jobs that wait for their acknowledgement; controllers take fewer. When there are more, the oldest
/// counts as not acknowledged.
const MAX_PENDING: usize = 16;

/// A status list that comes in parts is put together up to this size.
const MAX_LIST: usize = 65_536;

/// So many words of a block of bytes are told as values.
const MAX_WORDS: u64 = 4;
/// A target names at most so many items or blocks, and says how many more there are.
const MAX_NAMED: usize = 4;

const JOB: u8 = 1;
const ACK: u8 = 2;
const ACK_DATA: u8 = 3;
const USERDATA: u8 = 7;

/// Whether the user data of a DT begins with the header of S7 communication.
fn fits(user: &[u8]) -> bool {
    pdu(user).is_ok_and(|pdu| pdu.agrees)
}

fn probe(opening: &Opening<'_>) -> Verdict {
    cotp::probe(opening, fits)
}

/// A PDU, taken apart.
#[derive(Clone, Copy, Debug)]
struct Pdu<'a> {
    rosctr: u8,
    reference: u16,
    error: Option<(u8, u8)>,
    parameters: &'a [u8],
    data: &'a [u8],
    /// Whether the lengths add up.
    agrees: bool,
}

fn pdu(bytes: &[u8]) -> Result<Pdu<'_>, Short> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != IDENTIFIER {
        return Err(Short);
    }
    let rosctr = reader.u8()?;
    names::rosctr(rosctr).ok_or(Short)?;
    reader.skip(2)?;
    // The reference is little-endian: it counts up in its first byte.
    let reference = reader.le16()?;
    let parameters = usize::from(reader.be16()?);
    let data = usize::from(reader.be16()?);
    let error = if matches!(rosctr, ACK | ACK_DATA) { Some((reader.u8()?, reader.u8()?)) } else { None };
    let agrees = reader.left() == parameters + data;
    let parameters = reader.take(parameters)?;
    let data = reader.take(data.min(reader.left()))?;
    Ok(Pdu { rosctr, reference, error, parameters, data, agrees })
}

/// A PDU as it is reported.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    pdu_reference: u16,
    function: Option<&'static str>,
    function_code: Option<u8>,
    error_class: Option<&'static str>,
    error_code: Option<u16>,
    max_amq_calling: Option<u16>,
    max_amq_called: Option<u16>,
    pdu_length: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<Item<'a>>,
    upload_id: Option<u32>,
    filename: Option<String>,
    block_type: Option<&'static str>,
    block_number: Option<u32>,
    destination_filesystem: Option<char>,
    block_length: Option<u32>,
    service: Option<String>,
    argument: Option<String>,
    /// User data: request, response or push.
    method: Option<&'static str>,
    group: Option<&'static str>,
    subfunction: Option<&'static str>,
    subfunction_code: Option<u8>,
    sequence: Option<u8>,
    data_unit_reference: Option<u8>,
    last_data_unit: Option<bool>,
    return_code: Option<&'static str>,
    szl_id: Option<u16>,
    szl: Option<&'static str>,
    szl_index: Option<u16>,
}

/// A job that waits for its acknowledgement.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    reference: u16,
    kind: OperationKind,
    name: &'static str,
    target: Option<Box<str>>,
    value: Option<Value>,
}

/// One conversation.
#[derive(Debug, Default)]
struct S7comm {
    stream: TpktStream,
    pending: Vec<Pending>,
    recent: Recent,
    /// References and items of reads whose values have not come yet.
    reads: Vec<(u16, Box<[u8]>)>,
    points: Points,
    /// Packet time.
    now: Timestamp,
    /// A status list of which more parts will come.
    list: Vec<u8>,
    roles_told: bool,
    programmer_told: bool,
}

impl Parser for S7comm {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        self.give_up(overdue(self.pending.iter().map(|old| old.asked), out.now()), out);
        self.now = input.at;
        let mut stream = std::mem::take(&mut self.stream);
        let progress = stream.read(input, out, fits, |unit, out| match unit {
            Unit::Connect { request, connect } => connected(from, request, &connect, out),
            Unit::Message(message) => match pdu(message) {
                Ok(pdu) => {
                    if !pdu.agrees {
                        out.anomaly(from, "length-mismatch", format_args!("PDU of {} bytes", message.len()));
                    }
                    self.pdu(from, &pdu, out);
                    true
                }
                Err(Short) => {
                    message.first().is_none_or(|first| *first == IDENTIFIER) && {
                        out.anomaly(from, "header", format_args!("PDU of {} bytes", message.len()));
                        true
                    }
                }
            },
        });
        self.stream = stream;
        progress
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.stream.gap(from);
        self.list.clear();
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        self.give_up(self.pending.len(), out);
    }
}

/// A connection is asked for or confirmed: its selectors tell what it is for, and the slot.
fn connected(from: Side, request: bool, connect: &Connect<'_>, out: &mut Emit<'_>) -> bool {
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Connection<'a> {
        calling: Option<super::industrial::Hex<'a>>,
        called: Option<super::industrial::Hex<'a>>,
        connection: Option<&'static str>,
        rack: Option<u8>,
        slot: Option<u8>,
    }
    let (kind, place) = match connect.called() {
        Some([kind, place]) => (names::connection(*kind), Some(*place)),
        _ => (None, None),
    };
    let place = place.filter(|_| kind.is_some());
    if out.wants_messages() {
        let message = Connection {
            calling: connect.calling().map(super::industrial::Hex),
            called: connect.called().map(super::industrial::Hex),
            connection: kind,
            rack: place.map(|place| place >> 5),
            slot: place.map(|place| place & 0x1f),
        };
        out.message(from, if request { "connection-request" } else { "connection-confirm" }, &message);
    }
    // Only what the other side confirms is taken for true.
    if !request {
        match kind {
            Some("pg") => {
                out.role(from.other(), Role::EngineeringStation, "s7comm.tsap", Confidence::LIKELY);
            }
            Some("op") => out.role(from.other(), Role::Hmi, "s7comm.tsap", Confidence::STRONG),
            _ => {}
        }
    }
    true
}

impl S7comm {
    /// Tells so many of the requests that wait, the oldest first, without an answer.
    fn give_up(&mut self, count: usize, out: &mut Emit<'_>) {
        let from = asker(out.flow(), PORTS);
        for old in self.pending.drain(..count) {
            out.asked(old.asked).operation(from, old.kind, old.name, old.target, old.value, Outcome::Asked);
        }
    }

    fn pdu(&mut self, from: Side, pdu: &Pdu<'_>, out: &mut Emit<'_>) {
        if out.wants_messages() {
            let mut message = Message { pdu_reference: pdu.reference, ..Message::default() };
            if let Some((class, code)) = pdu.error {
                message.error_class = Some(names::error_class(class));
                message.error_code = Some(u16::from_be_bytes([class, code]));
            }
            let _ = describe(pdu, &mut message);
            out.message(from, names::rosctr(pdu.rosctr).unwrap_or("unknown"), &message);
        }
        let well = match pdu.rosctr {
            JOB => self.job(from, pdu, out),
            ACK | ACK_DATA => {
                self.acknowledged(from, pdu, out);
                Ok(())
            }
            USERDATA => self.userdata(from, pdu, out),
            _ => Ok(()),
        };
        if well.is_err() {
            let function = pdu.parameters.first().map_or("none", |code| names::function(*code));
            out.anomaly(from, "length-mismatch", format_args!("parameters of {function}"));
        }
    }

    /// A job asks for something; its answer is awaited.
    fn job(&mut self, from: Side, pdu: &Pdu<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
        let mut reader = Reader::new(pdu.parameters);
        let function = reader.u8()?;
        let name = names::function(function);
        let (kind, name, target, value) = match function {
            0x04 => {
                if self.reads.len() >= MAX_PENDING {
                    self.reads.remove(0);
                }
                self.reads.push((pdu.reference, reader.rest().into()));
                if !self.recent.is_new(&digest(pdu.parameters)) {
                    return Ok(());
                }
                let count = reader.u8()?;
                (OperationKind::Read, name, Some(items(&mut reader, count)?), None)
            }
            0x05 => {
                let count = reader.u8()?;
                let target = items(&mut reader.clone(), count)?;
                (OperationKind::Write, name, Some(target), written(&mut reader, count, pdu.data)?)
            }
            0x1a | 0x1d => {
                let block = block(&mut reader)?;
                let kind = if function == 0x1a {
                    OperationKind::ProgramDownload
                } else {
                    OperationKind::ProgramUpload
                };
                (kind, name, Some(block.target()), None)
            }
            0x28 => {
                let (service, argument) = pi(&mut reader)?;
                let (mut kind, name) = names::pi_service(&service);
                let target = match (name, argument.as_str()) {
                    ("plc-start", "") => None,
                    // "C ": cold restart.
                    ("plc-start", how) => {
                        kind = OperationKind::Restart;
                        Some(how.to_owned())
                    }
                    ("insert-block" | "insert-block-2" | "delete-block", _) => Some(blocks(&argument)),
                    ("pi-service", _) => Some(format!("{service} {argument}").trim().to_owned()),
                    _ => (!argument.is_empty()).then_some(argument),
                };
                (kind, name, target, None)
            }
            0x29 => (OperationKind::Stop, name, None, None),
            _ => return Ok(()),
        };
        let programs = !matches!(kind, OperationKind::Read | OperationKind::Write | OperationKind::Execute);
        if programs && !self.programmer_told {
            self.programmer_told = true;
            out.role(from, Role::EngineeringStation, "s7comm.job", Confidence::STRONG);
        }
        let target = target.map(Into::into);
        self.await_answer(
            from,
            Pending { asked: out.now(), reference: pdu.reference, kind, name, target, value },
            out,
        );
        Ok(())
    }

    fn await_answer(&mut self, from: Side, pending: Pending, out: &mut Emit<'_>) {
        let reused = self.pending.iter().position(|old| old.reference == pending.reference);
        let full = (self.pending.len() >= MAX_PENDING).then_some(0);
        if let Some(at) = reused.or(full) {
            let old = self.pending.remove(at);
            out.asked(old.asked).operation(from, old.kind, old.name, old.target, old.value, Outcome::Asked);
        }
        begin(&mut self.pending, pending);
    }

    fn acknowledged(&mut self, from: Side, pdu: &Pdu<'_>, out: &mut Emit<'_>) {
        self.tell_roles(from, out);
        let function = pdu.parameters.first().copied();
        // An access that fails for its items says so in their return codes.
        let item_failed = match function {
            Some(0x05) => pdu.data.iter().any(|code| *code != 0xff),
            Some(0x04) => pdu.data.first().is_some_and(|code| *code != 0xff),
            _ => false,
        };
        if let (Some(0x04), Some(at)) =
            (function, self.reads.iter().position(|(reference, _)| *reference == pdu.reference))
        {
            let (_, items) = self.reads.remove(at);
            // What does not fit is told where the message is read.
            let _ = self.sample(from, &items, pdu.data, out);
        }
        let refused = item_failed || pdu.error.is_some_and(|error| error != (0, 0));
        self.answered(from, pdu.reference, refused, out);
    }

    /// Tells the values of items that are one number each, and the first words of those that are blocks of bytes: what they
    /// mean stands in the program, but that they move, stand still or come again shows all the same.
    fn sample(&mut self, from: Side, items: &[u8], data: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
        let (mut items, mut data) = (Reader::new(items), Reader::new(data));
        for _ in 0..items.u8()? {
            let before = items.rest();
            let item = item::specification(&mut items)?;
            let named = &before[..before.len() - items.left()];
            let (code, bytes) = item::data(&mut data)?;
            if code != 0xff || !out.is_judged() {
                continue;
            }
            let [key, _] = digest(named);
            if item.is_block() {
                let (words, _) = bytes.as_chunks();
                for (number, word) in (1..=MAX_WORDS).zip(words) {
                    let name = || format!("{} word {number}", item.target());
                    let value = f64::from(u16::from_be_bytes(*word));
                    if let Some(point) = self.points.news(key.wrapping_add(number), value, self.now, name) {
                        out.sample(from, point, value);
                    }
                }
                continue;
            }
            let value = match item.value(bytes) {
                Value::Unsigned(number) => number as f64,
                Value::Signed(number) => number as f64,
                Value::Real(number) => number,
                _ => continue,
            };
            if let Some(point) = self.points.news(key, value, self.now, || item.target()) {
                out.sample(from, point, value);
            }
        }
        Ok(())
    }

    fn answered(&mut self, from: Side, reference: u16, refused: bool, out: &mut Emit<'_>) {
        if let Some(at) = self.pending.iter().position(|old| old.reference == reference) {
            let old = self.pending.remove(at);
            let outcome = if refused { Outcome::Refused } else { Outcome::Done };
            out.asked(old.asked).operation(from.other(), old.kind, old.name, old.target, old.value, outcome);
        }
    }

    fn tell_roles(&mut self, from: Side, out: &mut Emit<'_>) {
        // Downloads make the controller ask for the blocks: its partner then acknowledges, so only
        // answers of the one who was called count.
        if !self.roles_told && from != asker(out.flow(), PORTS) {
            self.roles_told = true;
            out.role(from, Role::Plc, "s7comm.ack", Confidence::STRONG);
            out.fact(from, model::Attribute::Vendor, "Siemens", "s7comm.ack", Confidence::LIKELY);
            out.role(from.other(), Role::Hmi, "s7comm.job", Confidence::HINT);
        }
    }

    fn userdata(&mut self, from: Side, pdu: &Pdu<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
        let head = userdata(pdu.parameters)?;
        let (kind, name) = names::userdata(head.group, head.code);
        match head.group >> 4 {
            // What only fetches the next part of an answer asks for nothing new.
            4 if head.reference.is_some() => {}
            4 => {
                let poll =
                    matches!(kind, OperationKind::Read | OperationKind::Diagnose | OperationKind::Identify);
                // The sequence number in the parameters changes from poll to poll.
                let data = digest(pdu.data);
                if poll && !self.recent.is_new(&[u64::from(head.group) << 8 | u64::from(head.code), data[0]])
                {
                    return Ok(());
                }
                let target = match (head.group & 0x0f, head.code) {
                    (4, 1) => szl_of(pdu.data)
                        .ok()
                        .map(|(id, index)| format!("{} {id:04x}/{index:04x}", szl::name(id)).into()),
                    _ => None,
                };
                let pending =
                    Pending { asked: out.now(), reference: pdu.reference, kind, name, target, value: None };
                self.await_answer(from, pending, out);
            }
            8 => {
                self.tell_roles(from, out);
                let refused = head.error.is_some_and(|error| error != 0);
                self.answered(from, pdu.reference, refused, out);
                if (head.group & 0x0f, head.code) == (4, 1) && !refused {
                    self.status_list(from, &head, pdu.data, out)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A status list, whole or in parts.
    fn status_list(
        &mut self,
        from: Side,
        head: &Userdata,
        data: &[u8],
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let (code, list) = item::data(&mut Reader::new(data))?;
        if code != 0xff {
            return Ok(());
        }
        let more = head.last == Some(false);
        if !more && self.list.is_empty() {
            szl::learn(from, list, out);
            return Ok(());
        }
        if self.list.len() + list.len() <= MAX_LIST {
            self.list.extend_from_slice(list);
        }
        if !more {
            szl::learn(from, &self.list, out);
            self.list = Vec::new();
        }
        Ok(())
    }
}

/// The head of user data.
#[derive(Clone, Copy, Debug)]
struct Userdata {
    /// Kind (4 request, 8 response, 0 push) and group.
    group: u8,
    code: u8,
    sequence: u8,
    reference: Option<u8>,
    last: Option<bool>,
    error: Option<u16>,
}

fn userdata(parameters: &[u8]) -> Result<Userdata, Short> {
    let mut reader = Reader::new(parameters);
    // Head 00 01 12 and the length of what follows.
    if reader.be24()? != 0x00_01_12 {
        return Err(Short);
    }
    reader.skip(1)?;
    let method = reader.u8()?;
    let (group, code, sequence) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let mut head = Userdata { group, code, sequence, reference: None, last: None, error: None };
    if method == 0x12 {
        head.reference = Some(reader.u8()?);
        head.last = Some(reader.u8()? == 0);
        head.error = Some(reader.be16()?);
    }
    Ok(head)
}

fn szl_of(data: &[u8]) -> Result<(u16, u16), Short> {
    let (_, list) = item::data(&mut Reader::new(data))?;
    let mut reader = Reader::new(list);
    Ok((reader.be16()?, reader.be16()?))
}

/// Two digests of some bytes.
fn digest(bytes: &[u8]) -> [u64; 2] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    [hash, bytes.len() as u64]
}

/// The items of a read or write, as text.
fn items(reader: &mut Reader<'_>, count: u8) -> Result<String, Short> {
    let mut text = String::new();
    for number in 0..usize::from(count) {
        let item = item::specification(reader)?;
        if number < MAX_NAMED {
            let comma = if number == 0 { "" } else { ", " };
            text.push_str(comma);
            text.push_str(&item.target());
        }
    }
    let more = usize::from(count).saturating_sub(MAX_NAMED);
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    Ok(text)
}

/// What is written to the items.
fn written(reader: &mut Reader<'_>, count: u8, data: &[u8]) -> Result<Option<Value>, Short> {
    let mut values = Vec::new();
    let mut data = Reader::new(data);
    for _ in 0..count {
        let item = item::specification(reader)?;
        let (_, bytes) = item::data(&mut data)?;
        values.push(item.value(bytes));
    }
    Ok(match <[Value; 1]>::try_from(values) {
        Ok([single]) => Some(single),
        Err(values) => (!values.is_empty()).then_some(Value::List(values)),
    })
}

/// A block of a program, as the parameters of downloads and uploads name it.
#[derive(Debug)]
struct Block {
    upload_id: u32,
    filename: String,
    kind: &'static str,
    number: u32,
    filesystem: Option<char>,
    length: Option<u32>,
}

impl Block {
    fn target(&self) -> String {
        format!("{} {}", self.kind, self.number)
    }
}

/// Status, two unknown bytes, identifier, length and text of the file's name; a download adds the
/// lengths of the block as digits.
fn block(reader: &mut Reader<'_>) -> Result<Block, Short> {
    reader.skip(3)?;
    let upload_id = reader.be32()?;
    let length = reader.u8()?;
    let name = reader.take(length.into())?;
    let filename: String =
        name.iter().map(|byte| if byte.is_ascii_graphic() { *byte as char } else { '.' }).collect();
    let (kind, number, filesystem) = named(name.get(1..).unwrap_or_default());
    // The length of the second part, the sign '1', and six digits of load memory.
    let length = reader
        .u8()
        .ok()
        .and_then(|length| reader.take(length.into()).ok())
        .and_then(|digits| std::str::from_utf8(digits.get(1..7)?).ok()?.parse().ok());
    Ok(Block { upload_id, filename, kind, number, filesystem, length })
}

/// The kind, number and file system of a name such as `0A00001P`.
fn named(name: &[u8]) -> (&'static str, u32, Option<char>) {
    let kind = name.first_chunk::<2>().map_or("block", |code| names::block_type(*code));
    let number =
        name.get(2..7).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or_default();
    (kind, number, name.get(7).filter(|byte| byte.is_ascii_alphabetic()).map(|byte| *byte as char))
}

/// The blocks that a program invocation names, eight characters each.
fn blocks(argument: &str) -> String {
    let names: Vec<&[u8]> = argument.as_bytes().chunks_exact(8).collect();
    let mut text = String::new();
    for (number, name) in names.iter().take(MAX_NAMED).enumerate() {
        let (kind, block, _) = named(name);
        let comma = if number == 0 { "" } else { ", " };
        text.push_str(&format!("{comma}{kind} {block}"));
    }
    if names.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", names.len() - MAX_NAMED));
    }
    text
}

/// A program invocation: seven unknown bytes, length and argument, length and service.
fn pi(reader: &mut Reader<'_>) -> Result<(String, String), Short> {
    let readable = |bytes: &[u8]| -> String {
        bytes
            .iter()
            .filter(|byte| byte.is_ascii_graphic() || **byte == b' ')
            .map(|byte| *byte as char)
            .collect()
    };
    reader.skip(7)?;
    let length = reader.be16()?;
    let argument = reader.take(length.into())?;
    let length = reader.u8()?;
    let service = reader.take(length.into())?;
    // A list of blocks begins with its count and a fill byte.
    let argument = if service.starts_with(b"_INS") || service.starts_with(b"_DEL") {
        argument.get(2..).unwrap_or_default()
    } else {
        argument
    };
    Ok((readable(service), readable(argument).trim().to_owned()))
}

/// Fills a message from parameters and data.
fn describe<'a>(pdu: &Pdu<'a>, message: &mut Message<'a>) -> Result<(), Short> {
    let mut reader = Reader::new(pdu.parameters);
    let mut data = Reader::new(pdu.data);
    if pdu.rosctr == USERDATA {
        let head = userdata(pdu.parameters)?;
        message.method = Some(match head.group >> 4 {
            4 => "request",
            8 => "response",
            0 => "push",
            _ => "unknown",
        });
        message.group = Some(names::group(head.group));
        message.subfunction = Some(names::userdata(head.group, head.code).1);
        message.subfunction_code = Some(head.code);
        message.sequence = Some(head.sequence);
        message.data_unit_reference = head.reference;
        message.last_data_unit = head.last;
        message.error_code = head.error;
        let (code, bytes) = item::data(&mut data)?;
        message.return_code = Some(names::return_code(code));
        if (head.group & 0x0f, head.code) == (4, 1) {
            let mut list = Reader::new(bytes);
            let id = list.be16()?;
            (message.szl_id, message.szl) = (Some(id), Some(szl::name(id)));
            message.szl_index = Some(list.be16()?);
        }
        return Ok(());
    }
    let function = reader.u8()?;
    message.function_code = Some(function);
    message.function = Some(names::function(function));
    match (pdu.rosctr, function) {
        (_, 0xf0) => {
            reader.skip(1)?;
            message.max_amq_calling = Some(reader.be16()?);
            message.max_amq_called = Some(reader.be16()?);
            message.pdu_length = Some(reader.be16()?);
        }
        (JOB, 0x04 | 0x05) => {
            for _ in 0..reader.u8()? {
                let item = item::specification(&mut reader)?;
                let item = if function == 5 { item.with(item::data(&mut data)?.1) } else { item };
                message.items.push(item);
            }
        }
        (_, 0x04) => {
            for _ in 0..reader.u8()? {
                let (code, bytes) = item::data(&mut data)?;
                message.items.push(item::answered(code, bytes));
            }
        }
        (_, 0x05) => {
            for _ in 0..reader.u8()? {
                message.items.push(item::answered(data.u8()?, &[]));
            }
        }
        (JOB, 0x1a..=0x1f) => {
            let block = block(&mut reader)?;
            message.upload_id = Some(block.upload_id);
            if !block.filename.is_empty() {
                message.block_type = Some(block.kind);
                message.block_number = Some(block.number);
                message.destination_filesystem = block.filesystem;
                message.filename = Some(block.filename);
            }
            message.block_length = block.length;
        }
        (_, 0x1d) => {
            reader.skip(3)?;
            message.upload_id = Some(reader.be32()?);
            let length = reader.u8()?;
            let digits = reader.take(length.into())?;
            message.block_length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        }
        (JOB, 0x28) => {
            let (service, argument) = pi(&mut reader)?;
            message.service = Some(service);
            message.argument = (!argument.is_empty()).then_some(argument);
        }
        (JOB, 0x29) => {
            reader.skip(5)?;
            let length = reader.u8()?;
            message.service = super::industrial::text(reader.take(length.into())?);
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
