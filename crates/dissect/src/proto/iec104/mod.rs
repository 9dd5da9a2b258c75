//! IEC 60870-5-104: telecontrol of electricity, gas and water networks over TCP.
//!
//! IEC 60870-5-104:2006 (frames, clause 5; types of ASDU, clause 6) and IEC 60870-5-101:2003 (ASDUs and
//! their elements, clause 7). With 104 the cause has two octets, the common address two and the address
//! of an information object three.
//!
//! A command is told when it is confirmed, so that its outcome is known.

mod names;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Timestamp, Value};
use serde::Serialize;

use super::industrial::{Hex, Points, Recent, asker, begin, overdue};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// IEC 60870-5-104.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "iec104",
    name: "IEC 60870-5-104",
    spec: "IEC 60870-5-104:2006",
    carriers: &[Carrier::Tcp(PORTS)],
    probe,
    start: || Box::new(Iec104::default()),
};

/// IANA's port for `iec-104`.
const PORTS: &[u16] = &[2_404];

/// Every frame begins so.
const START: u8 = 0x68;

/// Start and length.
const PREFIX: usize = 2;

/// The control field.
const CONTROL: usize = 4;

/// The greatest length: control field and ASDU (clause 5).
const MAX_LENGTH: usize = 253;

/// Commands that wait for their confirmation. When there are more, the oldest counts as not confirmed.
const MAX_PENDING: usize = 16;

/// After so many places in a row where no frame begins, the stream is given up.
const MAX_BAD_FRAMES: u8 = 3;

/// What the controlling station asks for before anything is sent (IEC 60870-5-104, 5.3).
const START_TRANSFER: &str = "startdt-act";

/// The causes that commands and their confirmations have.
const REQUEST: u8 = 5;
const ACTIVATION: u8 = 6;
const CONFIRMATION: u8 = 7;

/// A frame.
enum Frame<'a> {
    Information { sent: u16, received: u16, asdu: &'a [u8] },
    Supervisory { received: u16 },
    Unnumbered(&'static str),
}

/// A look at the beginning of some bytes.
enum Look<'a> {
    Short,
    Impossible,
    /// A frame of so many bytes whose control field is none that there is.
    Odd(usize),
    Whole(Frame<'a>, usize),
}

fn look(bytes: &[u8]) -> Look<'_> {
    let length = match bytes {
        [] | [START] => return Look::Short,
        [START, length, ..] => usize::from(*length),
        _ => return Look::Impossible,
    };
    if !(CONTROL..=MAX_LENGTH).contains(&length) {
        return Look::Impossible;
    }
    let Some(content) = bytes.get(PREFIX..PREFIX + length) else { return Look::Short };
    let Some(([a, b, c, d], asdu)) = content.split_first_chunk::<CONTROL>() else { return Look::Impossible };
    let received = u16::from_le_bytes([*c, *d]) >> 1;
    let frame = match (a & 3, asdu.is_empty()) {
        (0 | 2, false) if c & 1 == 0 => {
            Frame::Information { sent: u16::from_le_bytes([*a, *b]) >> 1, received, asdu }
        }
        (1, true) if *a == 1 && *b == 0 && c & 1 == 0 => Frame::Supervisory { received },
        (3, true) if [*b, *c, *d] == [0; 3] => match names::unnumbered(*a) {
            Some(name) => Frame::Unnumbered(name),
            None => return Look::Odd(PREFIX + length),
        },
        _ => return Look::Odd(PREFIX + length),
    };
    Look::Whole(frame, PREFIX + length)
}

/// Whether a control field can be one (clause 5.1).
const fn is_control(a: u8, b: u8, c: u8, d: u8) -> bool {
    match a & 3 {
        0 | 2 => c & 1 == 0,
        1 => a == 1 && b == 0 && c & 1 == 0,
        _ => names::unnumbered(a).is_some() && b == 0 && c == 0 && d == 0,
    }
}

/// An ASDU, taken apart (IEC 60870-5-101, 7.2).
#[derive(Clone, Copy, Debug)]
struct Asdu<'a> {
    kind: u8,
    name: &'static str,
    operation: Option<OperationKind>,
    /// Whether the elements follow one address.
    sequence: bool,
    count: u8,
    cause: u8,
    negative: bool,
    test: bool,
    originator: u8,
    station: u16,
    /// The length of one element, where it is fixed.
    size: Option<usize>,
    objects: &'a [u8],
}

fn asdu(bytes: &[u8]) -> Result<Asdu<'_>, Short> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8()?;
    let (name, size, operation) = names::asdu(kind).unwrap_or(("unknown", None, None));
    let qualifier = reader.u8()?;
    let cause = reader.u8()?;
    let originator = reader.u8()?;
    let station = reader.le16()?;
    Ok(Asdu {
        kind,
        name,
        operation,
        sequence: qualifier & 0x80 != 0,
        count: qualifier & 0x7f,
        cause: cause & 0x3f,
        negative: cause & 0x40 != 0,
        test: cause & 0x80 != 0,
        originator,
        station,
        size,
        objects: reader.rest(),
    })
}

impl<'a> Asdu<'a> {
    /// Whether the length is that of as many elements, where it can be told.
    fn agrees(&self) -> bool {
        let count = usize::from(self.count);
        match (self.size, self.sequence) {
            (Some(size), false) => self.objects.len() == count * (3 + size),
            (Some(size), true) => self.objects.len() == 3 + count * size,
            (None, _) => self.objects.len() >= 3,
        }
    }

    /// Addresses and elements.
    fn objects(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.objects);
        let (sequence, size, mut next) = (self.sequence, self.size, None::<u32>);
        (0..self.count).map_while(move |_| {
            let address = match next {
                Some(address) if sequence => address,
                _ => {
                    let [a, b, c] = reader.array::<3>().ok()?;
                    u32::from_le_bytes([a, b, c, 0])
                }
            };
            next = Some(address.wrapping_add(1));
            Some((address, reader.take(size.unwrap_or(reader.left())).ok()?))
        })
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match look(opening.bytes) {
        _ if !opening.stream => Verdict::No,
        Look::Short => match opening.bytes {
            // The control field may already say that this is none.
            [_, _, a, b, c, d, ..] if !is_control(*a, *b, *c, *d) => Verdict::No,
            _ => Verdict::More,
        },
        Look::Impossible | Look::Odd(_) => Verdict::No,
        Look::Whole(Frame::Unnumbered(_), _) => Verdict::Yes,
        // Six bytes of which two are numbers: on the port it is believed.
        Look::Whole(Frame::Supervisory { .. }, _) => Verdict::Maybe,
        Look::Whole(Frame::Information { asdu: bytes, .. }, _) => match asdu(bytes) {
            Ok(asdu) if names::asdu(asdu.kind).is_none() || names::cause(asdu.cause).is_none() => Verdict::No,
            Ok(asdu) if asdu.count > 0 && asdu.agrees() => Verdict::Yes,
            Ok(_) => Verdict::Maybe,
            Err(Short) => Verdict::No,
        },
    }
}

/// A frame as it is reported.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    function: Option<&'static str>,
    send_number: Option<u16>,
    receive_number: Option<u16>,
    type_id: Option<&'static str>,
    type_code: Option<u8>,
    cause: Option<&'static str>,
    cause_code: Option<u8>,
    negative: Option<bool>,
    test: Option<bool>,
    originator: Option<u8>,
    common_address: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Object<'a>>,
}

/// An information object as it is reported.
#[derive(Serialize)]
struct Object<'a> {
    address: u32,
    element: Hex<'a>,
}

/// A command that waits for its confirmation.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    asker: Side,
    kind: u8,
    station: u16,
    address: u32,
    operation: OperationKind,
    value: Option<Value>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Iec104 {
    searching: [bool; 2],
    bad_frames: u8,
    pending: Vec<Pending>,
    recent: Recent,
    points: Points,
    /// Packet time.
    now: Timestamp,
    roles_told: bool,
    /// Who has started the transfer or given commands, by side: the controlling station.
    controls: [bool; 2],
}

impl Parser for Iec104 {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        self.give_up(overdue(self.pending.iter().map(|old| old.asked), out.now()), out);
        self.now = input.at;
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            match look(bytes) {
                Look::Short => break,
                Look::Whole(frame, length) => {
                    self.searching[from.index()] = false;
                    self.bad_frames = 0;
                    taken += length;
                    self.frame(from, &frame, out);
                }
                Look::Impossible | Look::Odd(_) if self.searching[from.index()] => taken += 1,
                Look::Odd(length) => {
                    out.anomaly(from, "control-field", format_args!("frame of {length} bytes"));
                    taken += length;
                }
                Look::Impossible => {
                    self.bad_frames += 1;
                    if self.bad_frames >= MAX_BAD_FRAMES {
                        return Progress::Lost("framing");
                    }
                    out.anomaly(
                        from,
                        "framing",
                        format_args!("a frame does not begin with 0x68 and a length"),
                    );
                    self.searching[from.index()] = true;
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
        self.give_up(self.pending.len(), out);
    }
}

fn tell(old: Pending, outcome: Outcome, out: &mut Emit<'_>) {
    let name = names::asdu(old.kind).map_or("unknown", |(name, ..)| name);
    let target = match old.address {
        0 => format!("station {}", old.station),
        address => format!("object {address} station {}", old.station),
    };
    out.asked(old.asked).operation(old.asker, old.operation, name, Some(target.into()), old.value, outcome);
}

impl Iec104 {
    /// Tells so many of the requests that wait, the oldest first, without an answer.
    fn give_up(&mut self, count: usize, out: &mut Emit<'_>) {
        for old in self.pending.drain(..count) {
            tell(old, Outcome::Asked, out);
        }
    }

    fn frame(&mut self, from: Side, frame: &Frame<'_>, out: &mut Emit<'_>) {
        match frame {
            Frame::Unnumbered(name) => {
                self.controls[from.index()] |= *name == START_TRANSFER;
                if out.wants_messages() {
                    out.message(from, "u-frame", &Message { function: Some(name), ..Message::default() });
                }
            }
            Frame::Supervisory { received } => {
                if out.wants_messages() {
                    let message = Message { receive_number: Some(*received), ..Message::default() };
                    out.message(from, "s-frame", &message);
                }
            }
            Frame::Information { sent, received, asdu: bytes } => match asdu(bytes) {
                Ok(asdu) => self.asdu(from, *sent, *received, &asdu, out),
                Err(Short) => {
                    out.anomaly(from, "length-mismatch", format_args!("ASDU of {} bytes", bytes.len()));
                }
            },
        }
    }

    fn asdu(&mut self, from: Side, sent: u16, received: u16, asdu: &Asdu<'_>, out: &mut Emit<'_>) {
        let known = names::asdu(asdu.kind).is_some();
        if !known {
            out.anomaly(from, "illegal-type", format_args!("type {}", asdu.kind));
        } else if !asdu.agrees() {
            out.anomaly(from, "length-mismatch", format_args!("{} with {} objects", asdu.name, asdu.count));
        }
        if out.wants_messages() {
            let message = Message {
                function: None,
                send_number: Some(sent),
                receive_number: Some(received),
                type_id: Some(asdu.name),
                type_code: Some(asdu.kind),
                cause: Some(names::cause(asdu.cause).unwrap_or("reserved")),
                cause_code: Some(asdu.cause),
                negative: Some(asdu.negative),
                test: Some(asdu.test),
                originator: Some(asdu.originator),
                common_address: Some(asdu.station),
                objects: asdu
                    .objects()
                    .map(|(address, bytes)| Object { address, element: Hex(bytes) })
                    .collect(),
            };
            out.message(from, "i-frame", &message);
        }
        // Only the controlled station reports, and only it confirms.
        let reports = matches!(asdu.kind, 1..=40 | 70);
        if !self.roles_told && known && asdu.agrees() && (reports || asdu.cause == CONFIRMATION) {
            self.roles_told = true;
            out.role(from, Role::Rtu, "iec104.monitor", Confidence::STRONG);
            out.role(from.other(), Role::Scada, "iec104.monitor", Confidence::STRONG);
            let address = format!("iec104 common address {}", asdu.station);
            out.fact(from, Attribute::Identifier, address, "iec104.common-address", Confidence::STRONG);
        }
        if out.is_judged() && reports && asdu.agrees() && !asdu.test {
            for (address, element) in asdu.objects() {
                let Some(value) = reported(asdu.kind, element) else { continue };
                let key = u64::from(asdu.station) << 32 | u64::from(address);
                let name = || format!("object {address} station {}", asdu.station);
                if let Some(point) = self.points.reported(key, value, self.now, name) {
                    out.sample(from, point, value);
                }
            }
        }
        let first = asdu.objects().next();
        // Values go to the controlling station (IEC 60870-5-101, 7.2.1). One that sends them itself puts values into the
        // other: few pairs of stations do (reversed direction), and so does who forges reports.
        if reports && self.controls[from.index()] && asdu.agrees() && !asdu.test {
            let (address, element) = first.unwrap_or((0, &[]));
            let target = format!("object {address} station {}", asdu.station);
            let value = reported(asdu.kind, element).map(Value::Real);
            let name = asdu.name;
            out.operation(from, OperationKind::Write, name, Some(target.into()), value, Outcome::Asked);
        }
        let Some(operation) = asdu.operation else { return };
        self.controls[from.index()] |= asdu.cause == ACTIVATION;
        match asdu.cause {
            ACTIVATION | REQUEST | 13 => {
                let (address, element) = first.unwrap_or((0, &[]));
                let poll = matches!(operation, OperationKind::Read | OperationKind::Diagnose)
                    || operation == OperationKind::TransferFile;
                let words = [u64::from(asdu.kind) << 32 | u64::from(asdu.station), address.into()];
                // Files have no confirmation, and clients that only read are told once.
                if poll && !self.recent.is_new(&words) {
                    return;
                }
                if self.pending.len() >= MAX_PENDING {
                    tell(self.pending.remove(0), Outcome::Asked, out);
                }
                let pending = Pending {
                    asked: out.now(),
                    asker: from,
                    kind: asdu.kind,
                    station: asdu.station,
                    address,
                    operation,
                    value: commanded(asdu.kind, element),
                };
                match asdu.cause {
                    ACTIVATION => begin(&mut self.pending, pending),
                    _ => tell(pending, Outcome::Asked, out),
                }
            }
            // Confirmed or refused; 44 to 47 say that the command is not understood.
            CONFIRMATION | 44..=47 => {
                let address = first.map_or(0, |(address, _)| address);
                let found = self.pending.iter().position(|old| {
                    (old.kind, old.station, old.address) == (asdu.kind, asdu.station, address)
                        && old.asker != from
                });
                if let Some(at) = found {
                    let refused = asdu.negative || asdu.cause != CONFIRMATION;
                    let outcome = if refused { Outcome::Refused } else { Outcome::Done };
                    tell(self.pending.remove(at), outcome, out);
                } else if self.pending.is_empty() && from == asker(out.flow(), PORTS) {
                    out.anomaly(from, "unmatched-confirmation", format_args!("{} by who asks", asdu.name));
                }
            }
            _ => {}
        }
    }
}

/// The value that is reported, with or without a time (IEC 60870-5-101, 7.2.6 and 7.3.1), unless it is said to be
/// invalid.
fn reported(kind: u8, element: &[u8]) -> Option<f64> {
    /// The bit of every quality that says so (7.2.6.3).
    const INVALID: u8 = 0x80;
    let pair = || element.first_chunk::<2>().map(|bytes| f64::from(i16::from_le_bytes(*bytes)));
    let first = *element.first()?;
    let (value, quality) = match kind {
        1 | 2 | 30 => (f64::from(first & 1), first),
        3 | 4 | 31 => (f64::from(first & 3), first),
        // Seven bits with a sign, and whether it is moving.
        5 | 6 | 32 => (f64::from((first << 1) as i8 >> 1), *element.get(1)?),
        9 | 10 | 34 => (pair()? / 32_768.0, *element.get(2)?),
        21 => (pair()? / 32_768.0, 0),
        11 | 12 | 35 => (pair()?, *element.get(2)?),
        13 | 14 | 36 => (f64::from(f32::from_le_bytes(*element.first_chunk()?)), *element.get(4)?),
        15 | 16 | 37 => (f64::from(i32::from_le_bytes(*element.first_chunk()?)), *element.get(4)?),
        _ => return None,
    };
    (quality & INVALID == 0).then_some(value)
}

/// What a command sets (IEC 60870-5-101, 7.2.6): the state of a command, or the value of a set point.
fn commanded(kind: u8, element: &[u8]) -> Option<Value> {
    let pair = |bytes: &[u8]| bytes.first_chunk::<2>().map(|bytes| i16::from_le_bytes(*bytes));
    let four = |bytes: &[u8]| bytes.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
    Some(match kind {
        45 | 58 => Value::Unsigned((element.first()? & 1).into()),
        46 | 47 | 59 | 60 => Value::Unsigned((element.first()? & 3).into()),
        48 | 61 => Value::Real(f64::from(pair(element)?) / 32_768.0),
        49 | 62 => Value::Real(pair(element)?.into()),
        50 | 63 => Value::Real(f32::from_bits(four(element)?).into()),
        51 | 64 => Value::Unsigned(four(element)?.into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
