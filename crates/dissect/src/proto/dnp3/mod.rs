//! DNP3: telecontrol of substations, waterworks and pipelines.
//!
//! IEEE 1815-2012: link layer with its checks (clause 9), transport function (clause 8), application
//! layer with functions, internal indications and object headers (clause 4), objects (annex A), and
//! its use over TCP and UDP (clause 13).
//!
//! What a master asks is told when the outstation answers, so that its outcome is known.

mod crc;
mod names;
mod object;

use model::{Attribute, Confidence, OperationKind, Outcome, Record, Role, Side, Timestamp, Value};
use serde::Serialize;

use self::object::{Control, Header};
use super::industrial::{Points, Recent, begin, overdue, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Verdict};

/// DNP3.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "dnp3",
    name: "DNP3",
    spec: "IEEE 1815-2012",
    carriers: &[Carrier::Tcp(PORTS), Carrier::Udp(PORTS)],
    probe,
    start: || Box::new(Dnp3::default()),
};

/// IANA's port for `dnp`.
const PORTS: &[u16] = &[20_000];

/// Every frame begins so (9.2.4.1.1).
const START: [u8; 2] = [0x05, 0x64];

/// Start, length, control, destination, source and their check.
const LINK_HEADER: usize = 10;

/// The length field counts control, destination and source, and then the user data.
const LENGTH_OVERHEAD: usize = 5;

/// User data comes in blocks of so many bytes, each with a check of two.
const BLOCK: usize = 16;

/// The greatest user data of one frame: 255 less the overhead.
const MAX_USER: usize = 250;

/// Fragments are put together up to this size; the standard asks for 2,048 at least (8.2.2).
const MAX_FRAGMENT: usize = 8_192;

/// Requests that wait for an answer. Sequence numbers have four bits.
const MAX_PENDING: usize = 16;

/// After so many frames in a row that cannot be, the stream is given up.
const MAX_BAD_FRAMES: u8 = 8;

/// A target names at most so many points, and a message at most so many object headers and controls.
const MAX_NAMED: usize = 4;
const MAX_HEADERS: usize = 256;
const MAX_CONTROLS: usize = 1_024;

const RESPONSE: u8 = 129;
const UNSOLICITED: u8 = 130;

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if !bytes.starts_with(&START) && !START.starts_with(bytes) {
        return Verdict::No;
    }
    match bytes.get(..LINK_HEADER) {
        Some(header) if usize::from(header[2]) >= LENGTH_OVERHEAD && crc::checks(header) => Verdict::Yes,
        Some(_) => Verdict::No,
        None if opening.stream => Verdict::More,
        None => Verdict::No,
    }
}

/// The link layer's header.
#[derive(Clone, Copy, Debug)]
struct Link {
    control: u8,
    destination: u16,
    source: u16,
}

impl Link {
    const fn is_from_master(self) -> bool {
        self.control & 0x80 != 0
    }

    const fn is_primary(self) -> bool {
        self.control & 0x40 != 0
    }
}

/// A frame without user data, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LinkMessage {
    source: u16,
    destination: u16,
    function: &'static str,
    function_code: u8,
    from_master: bool,
}

/// A fragment of the application layer, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    source: u16,
    destination: u16,
    function: &'static str,
    function_code: u8,
    sequence: u8,
    first: bool,
    last: bool,
    confirm: bool,
    unsolicited: bool,
    internal_indications: Option<u16>,
    indications: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Header<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    controls: Vec<Control>,
    file: Option<String>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    source: u16,
    destination: u16,
    sequence: u8,
    kind: OperationKind,
    name: &'static str,
    target: Box<str>,
    value: Option<Value>,
}

impl Pending {
    /// Tells how the request of that side ended.
    fn tell(self, from: Side, outcome: Outcome, out: &mut Emit<'_>) {
        let Self { asked, kind, name, target, value, .. } = self;
        out.asked(asked).operation(from, kind, name, Some(target), value, outcome);
    }
}

/// A fragment that comes in segments, from one side.
#[derive(Debug, Default)]
struct Assembly {
    link: Option<(u16, u16)>,
    next: u8,
    buffer: Vec<u8>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Dnp3 {
    assembly: [Assembly; 2],
    searching: [bool; 2],
    bad_frames: u8,
    pending: Vec<Pending>,
    recent: Recent,
    points: Points,
    master: Option<Side>,
    request_told: bool,
    roles_told: bool,
}

impl Parser for Dnp3 {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        self.give_up(overdue(self.pending.iter().map(|old| old.asked), out.now()), out);
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            if !bytes.starts_with(&START) && !START.starts_with(bytes) {
                // After a gap this is to be expected, else it is not.
                if !self.searching[from.index()] {
                    out.anomaly(from, "framing", format_args!("a frame does not begin with 0x0564"));
                    self.bad_frames += 1;
                    if self.bad_frames >= MAX_BAD_FRAMES {
                        return Progress::Lost("framing");
                    }
                    self.searching[from.index()] = true;
                }
                taken += (1..bytes.len())
                    .find(|at| bytes[*at..].starts_with(&START) || START.starts_with(&bytes[*at..]))
                    .unwrap_or(bytes.len());
                continue;
            }
            let Some(header) = bytes.get(..LINK_HEADER) else { break };
            if !crc::checks(header) || usize::from(header[2]) < LENGTH_OVERHEAD {
                if !self.searching[from.index()] {
                    out.anomaly(from, "crc", format_args!("the header of a frame fails its check"));
                    self.searching[from.index()] = true;
                }
                taken += START.len();
                continue;
            }
            let user = usize::from(header[2]) - LENGTH_OVERHEAD;
            let blocks = user.div_ceil(BLOCK);
            let Some(data) = bytes.get(LINK_HEADER..LINK_HEADER + user + blocks * 2) else { break };
            self.searching[from.index()] = false;
            self.bad_frames = 0;
            taken += LINK_HEADER + data.len();
            let link = Link {
                control: header[3],
                destination: u16::from_le_bytes([header[4], header[5]]),
                source: u16::from_le_bytes([header[6], header[7]]),
            };
            self.frame(from, link, data, out);
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.searching[from.index()] = true;
        self.assembly[from.index()].link = None;
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        self.give_up(self.pending.len(), out);
    }
}

impl Dnp3 {
    /// Tells so many of the requests that wait, the oldest first, without an answer.
    fn give_up(&mut self, count: usize, out: &mut Emit<'_>) {
        let from = self.master.unwrap_or(Side::Client);
        for old in self.pending.drain(..count) {
            old.tell(from, Outcome::Asked, out);
        }
    }

    fn frame(&mut self, from: Side, link: Link, data: &[u8], out: &mut Emit<'_>) {
        // The checks are taken out; the rest fits in a buffer on the stack.
        let mut user = [0; MAX_USER];
        let mut length = 0;
        for block in data.chunks(BLOCK + 2) {
            if !crc::checks(block) {
                out.anomaly(from, "crc", format_args!("a block of user data fails its check"));
                return;
            }
            let bytes = &block[..block.len() - 2];
            user[length..length + bytes.len()].copy_from_slice(bytes);
            length += bytes.len();
        }
        let function = link.control & 0x0f;
        match (link.is_primary(), function, user[..length].split_first()) {
            (true, 3 | 4, Some((transport, segment))) => self.segment(from, link, *transport, segment, out),
            _ => {
                if out.wants_messages() {
                    let message = LinkMessage {
                        source: link.source,
                        destination: link.destination,
                        function: names::link_function(link.is_primary(), function),
                        function_code: function,
                        from_master: link.is_from_master(),
                    };
                    out.message(from, "link", &message);
                }
            }
        }
    }

    /// The transport function (8.2): bit 7 final, bit 6 first, six bits of sequence.
    fn segment(&mut self, from: Side, link: Link, transport: u8, segment: &[u8], out: &mut Emit<'_>) {
        let (last, first, sequence) = (transport & 0x80 != 0, transport & 0x40 != 0, transport & 0x3f);
        let mut assembly = std::mem::take(&mut self.assembly[from.index()]);
        if first && last {
            assembly.link = None;
            self.fragment(from, link, segment, out);
        } else {
            let key = Some((link.source, link.destination));
            if first {
                assembly.link = key;
                assembly.buffer.clear();
            } else if assembly.link != key || assembly.next != sequence {
                // Without its beginning it is worth nothing; the standard says to drop it (8.2.3).
                if assembly.link.take().is_some() {
                    out.anomaly(
                        from,
                        "transport-sequence",
                        format_args!("segment {sequence} is out of order"),
                    );
                }
            }
            assembly.next = (sequence + 1) & 0x3f;
            if assembly.link.is_some() {
                if assembly.buffer.len() + segment.len() > MAX_FRAGMENT {
                    out.anomaly(from, "fragment-too-long", format_args!("more than {MAX_FRAGMENT} bytes"));
                    assembly.link = None;
                } else {
                    assembly.buffer.extend_from_slice(segment);
                    if last {
                        assembly.link = None;
                        self.fragment(from, link, &assembly.buffer, out);
                    }
                }
            }
        }
        self.assembly[from.index()] = assembly;
    }

    /// A fragment of the application layer (4.2.2).
    fn fragment(&mut self, from: Side, link: Link, bytes: &[u8], out: &mut Emit<'_>) {
        let mut reader = Reader::new(bytes);
        let (Ok(control), Ok(code)) = (reader.u8(), reader.u8()) else {
            out.anomaly(from, "length-mismatch", format_args!("fragment of {} bytes", bytes.len()));
            return;
        };
        let sequence = control & 0x0f;
        let is_response = code >= RESPONSE;
        let indications = if is_response { reader.be16().ok() } else { None };
        if is_response && indications.is_none() {
            out.anomaly(from, "length-mismatch", format_args!("response of {} bytes", bytes.len()));
            return;
        }
        let objects = Objects { code, reader };
        if out.wants_messages() {
            let (name, _) = names::function(code);
            let headers: Vec<Header<'_>> = objects.headers().take(MAX_HEADERS).collect();
            let message = Message {
                source: link.source,
                destination: link.destination,
                function: name,
                function_code: code,
                sequence,
                first: control & 0x80 != 0,
                last: control & 0x40 != 0,
                confirm: control & 0x20 != 0,
                unsolicited: control & 0x10 != 0,
                internal_indications: indications,
                indications: indications.map(|bits| {
                    names::INDICATIONS
                        .iter()
                        .filter(|(bit, _)| bits & bit != 0)
                        .map(|(_, name)| *name)
                        .collect()
                }),
                controls: headers.iter().flat_map(|header| header.controls()).take(MAX_CONTROLS).collect(),
                file: headers.iter().find_map(|header| file(header)).map(|(name, _)| name),
                objects: headers,
            };
            out.message(from, if is_response { "response" } else { "request" }, &message);
        }
        if names::function(code).0 == "unknown" {
            out.anomaly(from, "illegal-function", format_args!("function code {code}"));
        }
        match code {
            RESPONSE.. => self.response(from, link, code, sequence, indications.unwrap_or(0), &objects, out),
            0 => {}
            _ => self.request(from, link, code, sequence, &objects, out),
        }
    }

    fn request(
        &mut self,
        from: Side,
        link: Link,
        code: u8,
        sequence: u8,
        objects: &Objects<'_>,
        out: &mut Emit<'_>,
    ) {
        self.master = Some(from);
        let (name, kind) = names::function(code);
        let Some(mut kind) = kind else { return };
        if !self.request_told {
            self.request_told = true;
            out.role(from, Role::Scada, "dnp3.request", Confidence::LIKELY);
        }
        // The group that is asked for or written says what is done.
        let first = objects.headers().next();
        kind = match (kind, first.map(|header| header.group)) {
            (OperationKind::Read, Some(0)) => OperationKind::Identify,
            (OperationKind::Read | OperationKind::Write, Some(70)) => OperationKind::TransferFile,
            (OperationKind::Write, Some(50)) => OperationKind::SetTime,
            (OperationKind::Write, Some(0 | 34 | 80)) => OperationKind::Configure,
            (kind, _) => kind,
        };
        // Blocks of files and polls are told once.
        let repeats = matches!(
            (kind, code),
            (OperationKind::Read | OperationKind::Identify | OperationKind::Diagnose, _)
                | (OperationKind::TransferFile, 1 | 2)
        );
        if repeats {
            let words = objects.headers().take(2).fold([u64::from(code), 0, 0], |[code, a, b], header| {
                let place = u64::from(header.group) << 8 | u64::from(header.variation);
                let points = u64::from(header.start.unwrap_or(0)) << 32 | u64::from(header.stop.unwrap_or(0));
                [code, b.rotate_left(16) ^ place, a.rotate_left(7) ^ points]
            });
            let stations = u64::from(link.source) << 16 | u64::from(link.destination);
            if !self.recent.is_new(&[words[0] << 32 | stations, words[1], words[2]]) {
                return;
            }
        }
        let target = target(objects, link.destination);
        let value = if kind == OperationKind::Execute { commanded(objects) } else { None };
        let pending = Pending {
            asked: out.now(),
            source: link.source,
            destination: link.destination,
            sequence,
            kind,
            name,
            target: target.into(),
            value,
        };
        let old = self.pending.iter().position(|old| {
            (old.source, old.destination, old.sequence) == (link.source, link.destination, sequence)
        });
        let full = (self.pending.len() >= MAX_PENDING).then_some(0);
        if let Some(at) = old.or(full) {
            self.pending.remove(at).tell(from, Outcome::Asked, out);
        }
        // These are not answered.
        if matches!(code, 6 | 8 | 10 | 12 | 33) {
            let Pending { kind, name, target, value, .. } = pending;
            out.operation(from, kind, name, Some(target), value, Outcome::Asked);
        } else {
            begin(&mut self.pending, pending);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one response, taken apart")]
    fn response(
        &mut self,
        from: Side,
        link: Link,
        code: u8,
        sequence: u8,
        indications: u16,
        objects: &Objects<'_>,
        out: &mut Emit<'_>,
    ) {
        if !self.roles_told {
            self.roles_told = true;
            out.role(from, Role::Rtu, "dnp3.response", Confidence::STRONG);
            out.role(from.other(), Role::Scada, "dnp3.response", Confidence::STRONG);
            let address = format!("dnp3 address {}", link.source);
            out.fact(from, Attribute::Identifier, address, "dnp3.source", Confidence::STRONG);
        }
        for header in objects.headers().take_while(|header| header.group == 0) {
            attributes(from, &header, out);
        }
        if out.is_judged() {
            for measurement in objects.headers().flat_map(Header::measurements) {
                let object::Measurement { group, kind, index, value } = measurement;
                let key = u64::from(link.source) << 40 | u64::from(group) << 32 | u64::from(index);
                let name = || format!("{kind} {index} outstation {}", link.source);
                if let Some(point) = self.points.reported(key, value, out.now(), name) {
                    out.sample(from, point, value);
                }
            }
        }
        if code == UNSOLICITED {
            return;
        }
        let found = self.pending.iter().position(|old| {
            (old.destination, old.source, old.sequence) == (link.source, link.destination, sequence)
        });
        let Some(at) = found else { return };
        let old = self.pending.remove(at);
        // Function not supported, object unknown, parameter error, and what each command came to.
        let refused = indications & 0x0007 != 0
            || old.kind == OperationKind::Execute
                && objects.headers().flat_map(Header::controls).any(|control| control.failed);
        let outcome = if refused { Outcome::Refused } else { Outcome::Done };
        old.tell(from.other(), outcome, out);
    }
}

/// The object headers of a fragment.
#[derive(Clone, Copy)]
struct Objects<'a> {
    code: u8,
    reader: Reader<'a>,
}

impl<'a> Objects<'a> {
    /// The headers, up to the first that cannot be read.
    fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        // Requests to read, freeze, assign and enable name points without giving objects.
        let with_data = !matches!(self.code, 1 | 7..=10 | 20..=22);
        let mut reader = self.reader;
        std::iter::from_fn(
            move || {
                if reader.is_empty() { None } else { object::header(&mut reader, with_data).ok() }
            },
        )
    }
}

/// What a request is done to, as text.
fn target(objects: &Objects<'_>, station: u16) -> String {
    let mut text = String::new();
    for header in objects.headers().take(MAX_NAMED) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        if let Some((name, _)) = file(&header) {
            text.push_str(&name);
            continue;
        }
        text.push_str(header.name);
        let mut indices: Vec<u32> =
            header.controls().take(MAX_NAMED + 1).map(|control| control.index).collect();
        let more = indices.len() > MAX_NAMED;
        indices.truncate(MAX_NAMED);
        match (header.start, header.stop) {
            (Some(start), Some(stop)) if start == stop => text.push_str(&format!(" {start}")),
            (Some(start), Some(stop)) => text.push_str(&format!(" {start}-{stop}")),
            _ => {
                for (number, index) in indices.iter().enumerate() {
                    let comma = if number == 0 { " " } else { "," };
                    text.push_str(&format!("{comma}{index}"));
                }
                if more {
                    text.push_str(" and more");
                }
            }
        }
    }
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(&format!("outstation {station}"));
    text
}

/// What is commanded: one value, or a list of them.
fn commanded(objects: &Objects<'_>) -> Option<Value> {
    let mut values: Vec<Value> = objects
        .headers()
        .flat_map(Header::controls)
        .take(MAX_NAMED)
        .map(|control| match (control.value, control.operation) {
            (Some(value), _) => Value::Real(value),
            (None, operation) => {
                let mut fields = vec![
                    ("operation".into(), Value::Text(operation.unwrap_or_default().into())),
                    ("trip-close".into(), Value::Text(control.trip_close.unwrap_or_default().into())),
                ];
                let numbers = [
                    ("count", control.count.map(u32::from)),
                    ("on-time", control.on_time),
                    ("off-time", control.off_time),
                ];
                for (name, number) in numbers {
                    fields.push((name.into(), Value::Unsigned(number.unwrap_or(0).into())));
                }
                Value::Record(Record(fields))
            }
        })
        .collect();
    if values.len() == 1 { values.pop() } else { (!values.is_empty()).then_some(Value::List(values)) }
}

/// The file that a header is about, if it is a file command.
fn file(header: &Header<'_>) -> Option<(String, u16)> {
    ((header.group, header.variation) == (70, 3)).then(|| object::file_name(header.data))?
}

/// What an outstation says about itself (A.1): type of value, length, value.
fn attributes(from: Side, header: &Header<'_>, out: &mut Emit<'_>) {
    let (attribute, source) = match header.variation {
        242 => (Attribute::Firmware, "dnp3.attribute.software-version"),
        243 => (Attribute::Hardware, "dnp3.attribute.hardware-version"),
        245 => (Attribute::Location, "dnp3.attribute.location"),
        246 => (Attribute::Identifier, "dnp3.attribute.id-code"),
        247 => (Attribute::Label, "dnp3.attribute.device-name"),
        248 => (Attribute::Serial, "dnp3.attribute.serial-number"),
        250 => (Attribute::Model, "dnp3.attribute.product-name"),
        252 => (Attribute::Vendor, "dnp3.attribute.manufacturer"),
        _ => return,
    };
    // Behind an index, if there is one; attributes of set 0 are the standard's.
    let skip = usize::from(header.qualifier >> 4 & 7 == 1);
    let value = header.data.get(skip..).and_then(|data| {
        let mut reader = Reader::new(data);
        let kind = reader.u8().ok()?;
        let length = reader.u8().ok()?;
        // 1: visible string.
        if kind == 1 { text(reader.take(length.into()).ok()?) } else { None }
    });
    if let Some(value) = value {
        out.fact(from, attribute, value, source, Confidence::CERTAIN);
    }
}

#[cfg(test)]
mod tests;
