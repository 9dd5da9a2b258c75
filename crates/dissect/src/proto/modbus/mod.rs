//! Modbus over TCP and UDP, with Schneider's UMAS inside it.
//!
//! MODBUS Application Protocol Specification V1.1b3 (functions and their bodies, clause 6; exceptions,
//! clause 7; function codes, clause 5) and MODBUS Messaging on TCP/IP Implementation Guide V1.0b (the
//! MBAP header, clause 3.1.3). UMAS is not published; its codes are those that are commonly known.
//!
//! A request and its response are matched by transaction and unit. What a client asks is told when it
//! is answered, so that its outcome is known, or when the conversation ends without an answer.

mod body;
mod names;
mod umas;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Timestamp, Value};
use serde::Serialize;

use self::body::{Data, Fault, Values};
use super::industrial::{Hex, Points, Recent, asker, begin, overdue, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// Modbus/TCP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "modbus",
    name: "Modbus/TCP",
    spec: "MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b",
    carriers: &[Carrier::Tcp(PORTS), Carrier::Udp(PORTS)],
    probe,
    start: || Box::new(Modbus::default()),
};

/// IANA's port for `mbap`.
const PORTS: &[u16] = &[502];

/// The MBAP header without the unit identifier: transaction, protocol and length (Messaging 3.1.3).
const PREFIX: usize = 6;

/// The greatest length field: unit identifier and a PDU of 253 bytes (Application Protocol, clause 4.1).
const MAX_LENGTH: usize = 254;

/// The greatest length field that UMAS uses: its PDUs may be longer than Modbus allows.
const MAX_UMAS_LENGTH: usize = 2_048;

/// Requests that wait for an answer; a Modbus server need not take more than 16 at once (Messaging
/// 4.3.1). When there are more, the oldest counts as not answered.
const MAX_PENDING: usize = 16;

/// A readable name in a server identifier has at least so many characters.
const MIN_SERVER_NAME: usize = 4;

/// After so many headers in a row that cannot be, the stream is given up.
const MAX_BAD_HEADERS: u8 = 3;

/// One application data unit: MBAP header and PDU.
#[derive(Clone, Copy, Debug)]
struct Adu<'a> {
    transaction: u16,
    unit: u8,
    function: u8,
    body: &'a [u8],
}

/// A look at the beginning of some bytes.
enum Header<'a> {
    /// The unit is not whole yet.
    Short,
    /// A whole unit of so many bytes.
    Whole(Adu<'a>, usize),
    /// A whole unit of another protocol (identifier not 0), of so many bytes.
    OtherProtocol(u16, usize),
    /// No unit can begin like this.
    Impossible,
}

fn header(bytes: &[u8]) -> Header<'_> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Header::Short;
    };
    let [t1, t2, p1, p2, l1, l2] = *prefix;
    let protocol = u16::from_be_bytes([p1, p2]);
    let length = usize::from(u16::from_be_bytes([l1, l2]));
    if !(2..=MAX_UMAS_LENGTH).contains(&length) {
        return Header::Impossible;
    }
    let Some([unit, function, ..]) = rest.first_chunk::<2>() else {
        return Header::Short;
    };
    if length > MAX_LENGTH && function & 0x7f != umas::FUNCTION {
        return Header::Impossible;
    }
    let Some(body) = rest.get(2..length) else {
        return Header::Short;
    };
    if protocol != 0 {
        return Header::OtherProtocol(protocol, PREFIX + length);
    }
    let transaction = u16::from_be_bytes([t1, t2]);
    Header::Whole(Adu { transaction, unit: *unit, function: *function, body }, PREFIX + length)
}

/// How sure a unit is of itself: its function must be known and its length and values must be those
/// that the function asks for, as a request or as a response.
fn judge(adu: &Adu<'_>) -> Verdict {
    if adu.function & 0x80 != 0 {
        return match (names::is_known(adu.function & 0x7f), adu.body) {
            (true, [code]) if names::exception(*code).is_some() => Verdict::Yes,
            _ => Verdict::No,
        };
    }
    if !names::is_known(adu.function) {
        return Verdict::No;
    }
    let request = body::request(adu.function, adu.body);
    let response = body::response(adu.function, adu.body);
    match (request.is_ok() || response.is_ok(), adu.body.len()) {
        (false, _) => Verdict::No,
        // Without a body nothing but the header agrees.
        (true, 0..2) => Verdict::Maybe,
        (true, _) => Verdict::Yes,
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if bytes.get(2).is_some_and(|byte| *byte != 0) || bytes.get(3).is_some_and(|byte| *byte != 0) {
        return Verdict::No;
    }
    match header(bytes) {
        Header::Short if opening.stream => Verdict::More,
        Header::Short | Header::Impossible | Header::OtherProtocol(..) => Verdict::No,
        // A datagram holds one unit.
        Header::Whole(_, length) if !opening.stream && length != bytes.len() => Verdict::No,
        Header::Whole(adu, length) => {
            let next_agrees = bytes.get(length + 2..length + 4).is_none_or(|protocol| protocol == [0, 0]);
            match judge(&adu) {
                _ if !next_agrees => Verdict::No,
                // Scanners try functions that do not exist; on the port of Modbus that is Modbus too.
                Verdict::No if length == bytes.len() => Verdict::Maybe,
                verdict => verdict,
            }
        }
    }
}

/// A unit as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    transaction: u16,
    unit: u8,
    function: &'static str,
    function_code: u8,
    #[serde(flatten)]
    data: Data<'a>,
    exception: Option<&'static str>,
    exception_code: Option<u8>,
    /// Whether the other half, request or response, was seen before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    matched: bool,
    /// A body that is not what its function asks for.
    body: Option<Hex<'a>>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    at: Timestamp,
    transaction: u16,
    unit: u8,
    function: u8,
    /// Sub-function of diagnostics, type of encapsulated interface, or code of UMAS.
    sub: u16,
    /// What is written where the function writes, else what is read.
    address: u16,
    quantity: u16,
    read_quantity: u16,
    value: Option<Value>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Modbus {
    pending: Vec<Pending>,
    recent: Recent,
    points: Points,
    /// Packet time.
    now: Timestamp,
    /// Sides whose stream has a gap and whose next header must be searched for.
    searching: [bool; 2],
    bad_headers: u8,
    /// Whether a gap or a full table makes unmatched responses unremarkable.
    incomplete: bool,
    asked: bool,
    roles_told: bool,
    programmer_told: bool,
    gateway_told: bool,
    first_unit: Option<u8>,
}

impl Parser for Modbus {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        self.give_up(overdue(self.pending.iter().map(|old| old.at), out.now()), out);
        self.now = input.at;
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            if self.searching[input.from.index()] {
                match search(bytes) {
                    Ok(at) => {
                        self.searching[input.from.index()] = false;
                        taken += at;
                        continue;
                    }
                    Err(useless) => return Progress::Took(taken + useless),
                }
            }
            match header(bytes) {
                Header::Short => {
                    let datagram = out.flow().transport == model::Transport::Udp;
                    if datagram && input.cut == 0 {
                        out.anomaly(
                            from,
                            "length-mismatch",
                            format_args!("datagram of {} bytes", bytes.len()),
                        );
                    }
                    break;
                }
                Header::Whole(adu, length) => {
                    self.bad_headers = 0;
                    self.unit(input.from, &adu, out);
                    taken += length;
                }
                Header::OtherProtocol(protocol, length) => {
                    out.anomaly(input.from, "protocol-id", format_args!("protocol identifier {protocol}"));
                    self.bad_headers += 1;
                    if self.bad_headers >= MAX_BAD_HEADERS {
                        return Progress::Lost("framing");
                    }
                    taken += length;
                }
                Header::Impossible => return Progress::Lost("framing"),
            }
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.searching[from.index()] = true;
        self.incomplete = true;
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        self.give_up(self.pending.len(), out);
    }
}

/// Finds where after a gap a unit begins that is sure of itself, or how many bytes cannot begin one.
fn search(bytes: &[u8]) -> Result<usize, usize> {
    for at in 0..bytes.len() {
        match header(&bytes[at..]) {
            Header::Whole(adu, _) if judge(&adu) == Verdict::Yes => return Ok(at),
            // Only what could still become a unit is kept; a body in the way may look like one, so no
            // more than a whole unit is waited for.
            Header::Short if bytes.len() - at <= PREFIX + MAX_LENGTH => {
                let rest = &bytes[at..];
                let zero = |index: usize| rest.get(index).is_none_or(|byte| *byte == 0);
                let known = rest.get(7).is_none_or(|function| names::is_known(function & 0x7f));
                if zero(2) && zero(3) && zero(4) && known {
                    return Err(at);
                }
            }
            _ => {}
        }
    }
    Err(bytes.len())
}

impl Modbus {
    /// Tells so many of the requests that wait, the oldest first, without an answer.
    fn give_up(&mut self, count: usize, out: &mut Emit<'_>) {
        let from = asker(out.flow(), PORTS);
        let given_up: Vec<Pending> = self.pending.drain(..count).collect();
        for pending in given_up {
            self.tell(from, pending, Outcome::Asked, out);
        }
    }

    fn unit(&mut self, from: Side, adu: &Adu<'_>, out: &mut Emit<'_>) {
        let client = asker(out.flow(), PORTS);
        if from == client { self.request(from, adu, out) } else { self.response(from, adu, out) }
    }

    fn request(&mut self, from: Side, adu: &Adu<'_>, out: &mut Emit<'_>) {
        self.asked = true;
        let decoded = body::request(adu.function, adu.body);
        let data = self.checked(from, adu, decoded, "request", out);
        if out.wants_messages() {
            out.message(from, "request", &message(adu, data, false));
        }
        let data = data.unwrap_or_default();
        if let Some(at) =
            self.pending.iter().position(|old| old.transaction == adu.transaction && old.unit == adu.unit)
        {
            let old = self.pending.remove(at);
            self.tell(from, old, Outcome::Asked, out);
        } else if self.pending.len() >= MAX_PENDING {
            self.incomplete = true;
            let old = self.pending.remove(0);
            self.tell(from, old, Outcome::Asked, out);
        }
        let written = matches!(adu.function, 5 | 6 | 15 | 16 | 21 | 22 | 23);
        begin(
            &mut self.pending,
            Pending {
                at: out.now(),
                transaction: adu.transaction,
                unit: adu.unit,
                function: adu.function,
                sub: data.sub(),
                address: data.write_address.or(data.address).unwrap_or(0),
                quantity: data.write_quantity.or(data.quantity).unwrap_or(0),
                read_quantity: data.quantity.unwrap_or(0),
                value: if written { data.written() } else { None },
            },
        );
    }

    fn response(&mut self, from: Side, adu: &Adu<'_>, out: &mut Emit<'_>) {
        let function = adu.function & 0x7f;
        let pending = self
            .pending
            .iter()
            .position(|old| {
                old.transaction == adu.transaction && old.unit == adu.unit && old.function == function
            })
            .map(|at| self.pending.remove(at));
        if pending.is_none() && self.asked && !self.incomplete && names::is_known(function) {
            out.anomaly(
                from,
                "unmatched-response",
                format_args!(
                    "{} transaction {} unit {}",
                    names::function(function),
                    adu.transaction,
                    adu.unit
                ),
            );
        }
        if adu.function & 0x80 != 0 {
            let code = if let [code] = adu.body { Some(*code) } else { None };
            let known = code.and_then(names::exception);
            if known.is_none() {
                out.anomaly(
                    from,
                    "illegal-exception",
                    format_args!("{function} answered by {:02x?}", adu.body),
                );
            }
            if out.wants_messages() {
                let mut message = message(adu, Ok(Data::default()), pending.is_some());
                message.exception = Some(known.unwrap_or("unknown"));
                message.exception_code = code;
                out.message(from, "exception", &message);
            }
            if let Some(pending) = pending {
                self.tell(from.other(), pending, Outcome::Refused, out);
            }
            return;
        }
        let decoded = body::response(function, adu.body).map(|mut data| {
            // How many bits of the last byte count, only the request knows.
            if let (Some(Values::Bits { count, .. }), Some(asked)) = (&mut data.values, &pending) {
                *count = (*count).min(asked.quantity.into());
            }
            data
        });
        let data = self.checked(from, adu, decoded, "response", out);
        if let (Ok(data), Some(request)) = (&data, &pending) {
            let wrong = match function {
                1 | 2 => data.bytes.map(u16::from) != Some(request.quantity.div_ceil(8)),
                3 | 4 | 23 => data.bytes.map(u32::from) != Some(u32::from(request.read_quantity) * 2),
                5 | 6 | 15 | 16 => data.address != Some(request.address),
                _ => false,
            };
            if wrong {
                out.anomaly(
                    from,
                    "response-mismatch",
                    format_args!("{} does not answer what was asked", names::function(function)),
                );
            }
        }
        if out.wants_messages() {
            out.message(from, "response", &message(adu, data, pending.is_some()));
        }
        if let Ok(data) = &data {
            self.learn(from, adu, data, pending.as_ref(), out);
            if let (Some(request), Some(values)) = (&pending, &data.values) {
                self.sample(from, request, values, out);
            }
            let refused = data.umas.is_some_and(|umas| umas.refuses());
            if let Some(pending) = pending {
                let outcome = if refused { Outcome::Refused } else { Outcome::Done };
                self.tell(from.other(), pending, outcome, out);
            }
        } else if let Some(pending) = pending {
            self.tell(from.other(), pending, Outcome::Asked, out);
        }
    }

    /// Reports a body that is not what its function asks for.
    fn checked<'a>(
        &self,
        from: Side,
        adu: &Adu<'_>,
        decoded: Result<Data<'a>, Fault>,
        what: &str,
        out: &mut Emit<'_>,
    ) -> Result<Data<'a>, Fault> {
        if let Err(fault) = decoded {
            let name = names::function(adu.function);
            let (code, length) = (adu.function, adu.body.len());
            out.anomaly(from, fault.reason(), format_args!("{name} ({code}) {what} of {length} bytes"));
        }
        decoded
    }

    /// What an answer says about who gave it.
    fn learn(
        &mut self,
        from: Side,
        adu: &Adu<'_>,
        data: &Data<'_>,
        asked: Option<&Pending>,
        out: &mut Emit<'_>,
    ) {
        if !self.roles_told {
            self.roles_told = true;
            out.role(from, Role::Plc, "modbus.response", Confidence::LIKELY);
            out.role(from.other(), Role::Hmi, "modbus.request", Confidence::LIKELY);
        }
        // Units 0 and 255 mean the device at this address itself; several others stand behind a gateway
        // (Messaging 4.4.1.2).
        if (1..=247).contains(&adu.unit) && !self.gateway_told {
            match self.first_unit {
                None => self.first_unit = Some(adu.unit),
                Some(first) if first != adu.unit => {
                    self.gateway_told = true;
                    out.role(from, Role::Gateway, "modbus.unit", Confidence::LIKELY);
                }
                Some(_) => {}
            }
        }
        for (id, value) in data.objects.into_iter().flat_map(body::Objects::iter) {
            let Some(value) = text(value) else { continue };
            let (attribute, source) = match id {
                0 => (Attribute::Vendor, "modbus.device-identification.vendor-name"),
                1 => (Attribute::PartNumber, "modbus.device-identification.product-code"),
                2 => (Attribute::Firmware, "modbus.device-identification.revision"),
                4 => (Attribute::Model, "modbus.device-identification.product-name"),
                5 => (Attribute::Model, "modbus.device-identification.model-name"),
                6 => (Attribute::Label, "modbus.device-identification.application-name"),
                _ => continue,
            };
            out.fact(from, attribute, value, source, Confidence::CERTAIN);
        }
        if let Some(Hex(id)) = data.server_id {
            // The layout is the vendor's own; many put a readable name behind the identifier.
            let start = id.iter().position(u8::is_ascii_alphanumeric).unwrap_or(0);
            let name = id[start..].split(|byte| !(0x20..0x7f).contains(byte)).next().unwrap_or_default();
            if name.len() >= MIN_SERVER_NAME
                && let Some(name) = text(name)
            {
                out.fact(from, Attribute::Model, name, "modbus.server-id", Confidence::LIKELY);
            }
        }
        if let (Some(umas), Some(asked)) = (&data.umas, asked) {
            umas::learn(from, umas, asked.sub as u8, out);
        }
    }

    /// Tells the values that were read.
    fn sample(&mut self, from: Side, asked: &Pending, values: &Values<'_>, out: &mut Emit<'_>) {
        let Some(table) =
            table(asked.function).filter(|_| out.is_judged() && matches!(asked.function, 1..=4))
        else {
            return;
        };
        for (offset, value) in values.iter().take(asked.quantity.into()).enumerate() {
            let address = u32::from(asked.address) + offset as u32;
            let key = u64::from(asked.unit) << 32 | u64::from(asked.function) << 24 | u64::from(address);
            let value = f64::from(value);
            let name = || format!("{table} {address} unit {}", asked.unit);
            if let Some(point) = self.points.news(key, value, self.now, name) {
                out.sample(from, point, value);
            }
        }
    }

    /// Tells what was asked and how it ended. Polls are told once.
    fn tell(&mut self, from: Side, asked: Pending, outcome: Outcome, out: &mut Emit<'_>) {
        let (kind, name) = match asked.function {
            1..=4 | 20 | 24 => (OperationKind::Read, names::function(asked.function)),
            5 | 6 | 15 | 16 | 21..=23 => (OperationKind::Write, names::function(asked.function)),
            8 => match asked.sub {
                1 => (OperationKind::Restart, names::diagnostic(1)),
                4 => (OperationKind::ChangeMode, names::diagnostic(4)),
                sub => (OperationKind::Diagnose, names::diagnostic(sub)),
            },
            17 => (OperationKind::Identify, names::function(17)),
            43 if asked.sub == 14 => (OperationKind::Identify, "read-device-identification"),
            43 if asked.sub == 13 => (OperationKind::Execute, "canopen-general-reference"),
            umas::FUNCTION => {
                let code = asked.sub as u8;
                (umas::operation(code), umas::name(code))
            }
            function => (OperationKind::Diagnose, names::function(function)),
        };
        let poll = matches!(kind, OperationKind::Read | OperationKind::Identify | OperationKind::Diagnose)
            || asked.function == umas::FUNCTION && umas::is_block(asked.sub as u8);
        if poll
            && !self.recent.is_new(&[
                u64::from(asked.function) << 32 | u64::from(asked.sub) << 16 | u64::from(asked.unit),
                u64::from(asked.address) << 32 | u64::from(asked.quantity) << 16 | outcome as u64,
            ])
        {
            return;
        }
        let programs = asked.function == umas::FUNCTION
            && matches!(
                kind,
                OperationKind::ProgramDownload
                    | OperationKind::ProgramUpload
                    | OperationKind::Start
                    | OperationKind::Stop
            );
        if programs && !self.programmer_told {
            self.programmer_told = true;
            out.role(from, Role::EngineeringStation, "modbus.umas", Confidence::STRONG);
        }
        let last = asked.address.saturating_add(asked.quantity.max(1) - 1);
        let first = asked.address;
        let unit = asked.unit;
        let target = match table(asked.function) {
            Some(table) if first == last => format!("{table} {first} unit {unit}"),
            Some(table) => format!("{table} {first}-{last} unit {unit}"),
            None => format!("unit {unit}"),
        };
        out.asked(asked.at).operation(from, kind, name, Some(target.into()), asked.value, outcome);
    }
}

/// The table that a function reads or writes.
const fn table(function: u8) -> Option<&'static str> {
    Some(match function {
        1 | 5 | 15 => "coils",
        2 => "discrete-inputs",
        3 | 6 | 16 | 22 | 23 => "holding-registers",
        4 => "input-registers",
        24 => "fifo",
        _ => return None,
    })
}

fn message<'a>(adu: &Adu<'a>, data: Result<Data<'a>, Fault>, matched: bool) -> Message<'a> {
    Message {
        transaction: adu.transaction,
        unit: adu.unit,
        function: names::function(adu.function),
        function_code: adu.function & 0x7f,
        data: data.unwrap_or_default(),
        exception: None,
        exception_code: None,
        matched,
        body: data.is_err().then_some(Hex(adu.body)),
    }
}

#[cfg(test)]
mod tests;
