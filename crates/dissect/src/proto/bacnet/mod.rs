//! BACnet/IP: heating, ventilation, light, access and fire in buildings.
//!
//! ANSI/ASHRAE 135-2020: virtual link (annex J), network layer (clause 6), application layer with
//! segmentation (clause 5), services (clauses 13 to 16) and their encoding (clause 20).
//!
//! A request and its answer are matched by their invoke identifier. Messages of devices on other BACnet
//! networks say nothing about the host that forwards them but that it does.

mod names;
mod service;
mod tag;

use std::borrow::Cow;
use std::net::Ipv4Addr;

use model::{Attribute, Confidence, Host, OperationKind, Outcome, Role, Side, Timestamp, Value};
use serde::Serialize;

use self::service::{DEVICE, Parameters, Property};
use super::industrial::{Points, Recent, begin, hash};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// BACnet/IP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "bacnet",
    name: "BACnet/IP",
    spec: "ANSI/ASHRAE 135-2020",
    carriers: &[Carrier::Udp(PORTS)],
    probe,
    start: || Box::new(Bacnet::default()),
};

/// IANA's port for `bacnet`, and those that sites use to keep networks apart.
const PORTS: &[u16] = &[47_808, 47_809, 47_810, 47_811];

/// The type of the virtual link over IPv4 (annex J.2).
const BVLL: u8 = 0x81;

/// The services by which a change of value is reported (clauses 13.6 and 13.7).
const CONFIRMED_COV: u8 = 1;
const UNCONFIRMED_COV: u8 = 2;

/// The property that holds an object's value (clause 21).
const PRESENT_VALUE: u32 = 85;

/// Requests that wait for their answers. When there are more, the oldest counts as not answered.
const MAX_PENDING: usize = 32;

/// Segmented messages that are put together at once, and how long they may become.
const MAX_SEGMENTED: usize = 4;
const MAX_MESSAGE: usize = 65_536;

/// A target names at most so many properties.
const MAX_NAMED: usize = 4;

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if opening.stream {
        return Verdict::No;
    }
    let verdict = match bvll(bytes) {
        Ok(link) if link.npdu.is_empty() => match (link.function, link.data.len()) {
            // Requests of the virtual link have their own lengths.
            (0 | 5, 2) | (2 | 6, 0) | (8, 6) => Verdict::Yes,
            (1 | 3 | 7, length) if length.is_multiple_of(10) => Verdict::Yes,
            (12, _) => Verdict::Maybe,
            _ => Verdict::No,
        },
        Ok(link) => match npdu(link.npdu) {
            Ok(npdu) if npdu.message.is_some() => Verdict::Yes,
            Ok(npdu) if npdu.apdu.first().is_some_and(|kind| kind >> 4 <= 7) && npdu.apdu.len() >= 2 => {
                Verdict::Yes
            }
            _ => Verdict::No,
        },
        Err(Short) => Verdict::No,
    };
    match bvll(bytes) {
        Ok(link) if !link.exact => verdict.min(Verdict::Maybe),
        _ => verdict,
    }
}

/// The virtual link of a datagram.
#[derive(Clone, Copy, Debug)]
struct Bvll<'a> {
    function: u8,
    /// Whether the datagram is as long as it says.
    exact: bool,
    /// Who sent a forwarded message first.
    origin: Option<Ipv4Addr>,
    /// The message of the network layer, where there is one.
    npdu: &'a [u8],
    /// What a message of the virtual link itself carries.
    data: &'a [u8],
}

fn bvll(bytes: &[u8]) -> Result<Bvll<'_>, Short> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != BVLL {
        return Err(Short);
    }
    let function = reader.u8()?;
    names::bvlc(function).ok_or(Short)?;
    let length = usize::from(reader.be16()?);
    // Some tools count wrongly: what they send is read nevertheless, as devices do.
    let exact = length == bytes.len();
    let mut link = Bvll { function, exact, origin: None, npdu: &[], data: &[] };
    match function {
        4 => {
            link.origin = Some(Ipv4Addr::from(reader.array::<4>()?));
            reader.skip(2)?;
            link.npdu = reader.rest();
        }
        9..=11 => link.npdu = reader.rest(),
        _ => link.data = reader.rest(),
    }
    Ok(link)
}

/// A message of the network layer (clause 6.2).
#[derive(Clone, Copy, Debug)]
struct Npdu<'a> {
    destination: Option<u16>,
    /// The network of the device that sent it, if not this one.
    source: Option<u16>,
    /// A message of the network layer itself.
    message: Option<u8>,
    apdu: &'a [u8],
}

fn npdu(bytes: &[u8]) -> Result<Npdu<'_>, Short> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != 1 {
        return Err(Short);
    }
    let control = reader.u8()?;
    // Bits 6 and 4 are reserved and zero.
    if control & 0x50 != 0 {
        return Err(Short);
    }
    let mut address = |wanted: bool| -> Result<Option<u16>, Short> {
        if !wanted {
            return Ok(None);
        }
        let network = reader.be16()?;
        let length = reader.u8()?;
        reader.skip(length.into())?;
        Ok(Some(network))
    };
    let destination = address(control & 0x20 != 0)?;
    let source = address(control & 0x08 != 0)?;
    if destination.is_some() {
        let _hops = reader.u8()?;
    }
    let message = if control & 0x80 != 0 { Some(reader.u8()?) } else { None };
    Ok(Npdu { destination, source, message, apdu: reader.rest() })
}

/// An APDU as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    bvlc_function: &'static str,
    origin: Option<String>,
    destination_network: Option<u16>,
    source_network: Option<u16>,
    service: Option<&'static str>,
    invoke_id: Option<u8>,
    sequence: Option<u8>,
    error_class: Option<&'static str>,
    error_code: Option<&'static str>,
    reason: Option<&'static str>,
    #[serde(flatten)]
    parameters: Option<&'a Parameters>,
}

/// A message of the virtual link or the network layer, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LinkMessage {
    bvlc_function: &'static str,
    result_code: Option<u16>,
    time_to_live: Option<u16>,
    network_message: Option<&'static str>,
    destination_network: Option<u16>,
    source_network: Option<u16>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    asker: Side,
    invoke: u8,
    service: u8,
    kind: OperationKind,
    target: Option<Box<str>>,
    value: Option<Value>,
}

/// A message that comes in segments.
#[derive(Debug)]
struct Segmented {
    from: Side,
    invoke: u8,
    next: u8,
    buffer: Vec<u8>,
}

/// Where an APDU came from.
#[derive(Clone, Copy)]
struct Way<'a> {
    from: Side,
    link: Bvll<'a>,
    npdu: Npdu<'a>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Bacnet {
    pending: Vec<Pending>,
    segmented: Vec<Segmented>,
    recent: Recent,
    points: Points,
}

impl Parser for Bacnet {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let (from, bytes) = (input.from, input.bytes);
        let Ok(link) = bvll(bytes) else {
            let kind = bytes.first().copied().unwrap_or_default();
            if kind != BVLL {
                return Progress::Lost("framing");
            }
            if input.cut == 0 {
                out.anomaly(from, "header", format_args!("virtual link of {} bytes", bytes.len()));
            }
            return Progress::Took(bytes.len());
        };
        // A snapped datagram is shorter than it says, and that is nobody's fault.
        if !link.exact && input.cut == 0 {
            out.anomaly(from, "length-mismatch", format_args!("virtual link of {} bytes", bytes.len()));
        }
        if matches!(link.function, 4 | 9..=11) {
            match npdu(link.npdu) {
                Ok(npdu) => self.network(Way { from, link, npdu }, out),
                Err(Short) => {
                    out.anomaly(from, "length-mismatch", format_args!("NPDU of {} bytes", link.npdu.len()));
                }
            }
        } else {
            self.virtual_link(from, &link, out);
        }
        Progress::Took(bytes.len())
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        for old in std::mem::take(&mut self.pending) {
            tell(old, Outcome::Asked, out);
        }
    }
}

fn tell(old: Pending, outcome: Outcome, out: &mut Emit<'_>) {
    let (name, _) = names::confirmed(old.service);
    out.asked(old.asked).operation(old.asker, old.kind, name, old.target, old.value, outcome);
}

impl Bacnet {
    /// A message of the virtual link: broadcast tables and foreign devices (annex J.2).
    fn virtual_link(&mut self, from: Side, link: &Bvll<'_>, out: &mut Emit<'_>) {
        let name = names::bvlc(link.function).unwrap_or_default();
        if out.wants_messages() {
            let number = link.data.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
            let message = LinkMessage {
                bvlc_function: name,
                result_code: number.filter(|_| link.function == 0),
                time_to_live: number.filter(|_| link.function == 5),
                network_message: None,
                destination_network: None,
                source_network: None,
            };
            out.message(from, "bvlc", &message);
        }
        let kind = match link.function {
            1 | 8 => OperationKind::Configure,
            2 | 6 => OperationKind::Discover,
            5 => OperationKind::Subscribe,
            _ => return,
        };
        if kind == OperationKind::Configure || self.recent.is_new(&[0xb000 | u64::from(link.function)]) {
            out.operation(from, kind, name, None, None, Outcome::Asked);
        }
    }

    fn network(&mut self, way: Way<'_>, out: &mut Emit<'_>) {
        if way.npdu.source.is_some() && way.link.origin.is_none() {
            out.role(way.from, Role::Router, "bacnet.source-network", Confidence::STRONG);
        }
        let Some(code) = way.npdu.message else {
            self.apdu(way, way.npdu.apdu, out);
            return;
        };
        let name = names::network_message(code);
        if out.wants_messages() {
            let message = LinkMessage {
                bvlc_function: names::bvlc(way.link.function).unwrap_or_default(),
                result_code: None,
                time_to_live: None,
                network_message: Some(name),
                destination_network: way.npdu.destination,
                source_network: way.npdu.source,
            };
            out.message(way.from, "network-message", &message);
        }
        match code {
            0x01 if way.link.origin.is_none() => {
                out.role(way.from, Role::Router, "bacnet.i-am-router", Confidence::STRONG);
            }
            // Routing tables, connections, keys.
            0x06 | 0x08 | 0x09 | 0x0e | 0x11 => {
                out.operation(way.from, OperationKind::Configure, name, None, None, Outcome::Asked);
            }
            0x00 if self.recent.is_new(&[0xa000]) => {
                out.operation(way.from, OperationKind::Discover, name, None, None, Outcome::Asked);
            }
            _ => {}
        }
    }

    /// A message of the application layer (clause 20.1).
    fn apdu(&mut self, way: Way<'_>, bytes: &[u8], out: &mut Emit<'_>) {
        let mut reader = Reader::new(bytes);
        let well = match bytes.first().map(|kind| kind >> 4) {
            Some(0) => self.confirmed(way, &mut reader, out),
            Some(1) => self.unconfirmed(way, &mut reader, out),
            Some(2) => self.simple_ack(way, &mut reader, out),
            Some(3) => self.complex_ack(way, &mut reader, out),
            Some(4) => segment_ack(way, &mut reader, out),
            Some(5) => self.error(way, &mut reader, out),
            Some(6 | 7) => self.refusal(way, &mut reader, out),
            _ => Err(Short),
        };
        if well.is_err() {
            out.anomaly(way.from, "length-mismatch", format_args!("APDU of {} bytes", bytes.len()));
        }
    }

    fn confirmed(&mut self, way: Way<'_>, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
        let flags = reader.u8()?;
        reader.skip(1)?;
        let invoke = reader.u8()?;
        let sequence = sequence(flags, reader)?;
        let service = reader.u8()?;
        let whole = self.assemble(way.from, invoke, flags, sequence, reader.rest(), out);
        let Some(bytes) = whole.as_deref() else { return Ok(()) };
        let (name, kind) = names::confirmed(service);
        // Polls are recognised by their bytes, before anything is read.
        let poll = matches!(kind, Some(OperationKind::Read | OperationKind::Subscribe));
        let news = kind.is_some() && (!poll || self.recent.is_new(&digest(service, bytes)));
        let tells = service == CONFIRMED_COV && out.is_judged();
        if !out.wants_messages() && !news && !tells {
            return Ok(());
        }
        let parameters = service::request(service, bytes);
        if parameters.is_err() {
            out.anomaly(way.from, "length-mismatch", format_args!("parameters of {name}"));
        }
        let parameters = parameters.unwrap_or_default();
        if out.wants_messages() {
            let message =
                Message { service: Some(name), invoke_id: Some(invoke), ..way.message(Some(&parameters)) };
            out.message(way.from, "confirmed-request", &message);
        }
        if tells {
            self.values(way, &parameters, out);
        }
        if let (Some(kind), true) = (kind, news) {
            self.await_answer(way, invoke, service, kind, parameters, out);
        }
        Ok(())
    }

    fn await_answer(
        &mut self,
        way: Way<'_>,
        invoke: u8,
        service: u8,
        kind: OperationKind,
        parameters: Parameters,
        out: &mut Emit<'_>,
    ) {
        let identifies = !parameters.properties.is_empty()
            && parameters.properties.iter().all(|property| fact_of(property).is_some());
        let kind = match (kind, parameters.state_code) {
            (OperationKind::Read, _) if identifies => OperationKind::Identify,
            (OperationKind::Restart, Some(state)) => names::reinitialized_state(state).1,
            (kind, _) => kind,
        };
        let target = target(&parameters);
        let value = match (kind, parameters.state) {
            (OperationKind::Write, _) => {
                let mut values: Vec<Value> =
                    parameters.properties.into_iter().filter_map(|property| property.value).collect();
                if values.len() == 1 {
                    values.pop()
                } else {
                    (!values.is_empty()).then_some(Value::List(values))
                }
            }
            (_, Some(state)) => Some(Value::Text(state.into())),
            _ => None,
        };
        let same = self.pending.iter().position(|old| (old.asker, old.invoke) == (way.from, invoke));
        let full = (self.pending.len() >= MAX_PENDING).then_some(0);
        if let Some(at) = same.or(full) {
            tell(self.pending.remove(at), Outcome::Asked, out);
        }
        begin(
            &mut self.pending,
            Pending { asked: out.now(), asker: way.from, invoke, service, kind, target, value },
        );
    }

    fn answered(&mut self, from: Side, invoke: u8, outcome: Outcome, out: &mut Emit<'_>) {
        let asker = from.other();
        if let Some(at) = self.pending.iter().position(|old| (old.asker, old.invoke) == (asker, invoke)) {
            tell(self.pending.remove(at), outcome, out);
        }
    }

    fn unconfirmed(
        &mut self,
        way: Way<'_>,
        reader: &mut Reader<'_>,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        reader.skip(1)?;
        let service = reader.u8()?;
        let (name, kind) = names::unconfirmed(service);
        let parameters = service::unconfirmed(service, reader.rest());
        if parameters.is_err() {
            out.anomaly(way.from, "length-mismatch", format_args!("parameters of {name}"));
        }
        let parameters = parameters.unwrap_or_default();
        if out.wants_messages() {
            let message = Message { service: Some(name), ..way.message(Some(&parameters)) };
            out.message(way.from, "unconfirmed-request", &message);
        }
        if service == UNCONFIRMED_COV {
            self.values(way, &parameters, out);
        }
        if let (0, Some(vendor), Some(about)) = (service, parameters.vendor_id, way.speaker(out)) {
            if let Some(device) = parameters.device {
                let id = format!("bacnet device {device}");
                out.fact_about(about, Attribute::Identifier, id, "bacnet.i-am.device", Confidence::CERTAIN);
            }
            if let Some(vendor) = names::vendor(vendor) {
                out.fact_about(about, Attribute::Vendor, vendor, "bacnet.i-am.vendor", Confidence::CERTAIN);
            } else {
                let vendor = format!("BACnet vendor {vendor}");
                out.fact_about(about, Attribute::Vendor, vendor, "bacnet.i-am.vendor", Confidence::HINT);
            }
            let role = Role::BuildingController.name();
            out.fact_about(about, Attribute::Role, role, "bacnet.i-am", Confidence::STRONG);
        }
        if let Some(kind) = kind {
            let poll = kind == OperationKind::Discover;
            if !poll || self.recent.is_new(&digest(0x80 | service, reader.rest())) {
                out.operation(way.from, kind, name, target(&parameters), None, Outcome::Asked);
            }
        }
        Ok(())
    }

    fn simple_ack(&mut self, way: Way<'_>, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
        reader.skip(1)?;
        let (invoke, service) = (reader.u8()?, reader.u8()?);
        if out.wants_messages() {
            let (name, _) = names::confirmed(service);
            let message = Message { service: Some(name), invoke_id: Some(invoke), ..way.message(None) };
            out.message(way.from, "simple-ack", &message);
        }
        self.answered(way.from, invoke, Outcome::Done, out);
        Ok(())
    }

    fn complex_ack(
        &mut self,
        way: Way<'_>,
        reader: &mut Reader<'_>,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let flags = reader.u8()?;
        let invoke = reader.u8()?;
        let sequence = sequence(flags, reader)?;
        let service = reader.u8()?;
        let whole = self.assemble(way.from, invoke, flags, sequence, reader.rest(), out);
        let Some(bytes) = whole.as_deref() else { return Ok(()) };
        // Only properties of the device itself, and values, are of interest where nobody wants messages.
        let tells = matches!(service, 12 | 14) && out.is_judged();
        if out.wants_messages() || tells || mentions_device(service, bytes) {
            let (name, _) = names::confirmed(service);
            let parameters = service::answer(service, bytes);
            if parameters.is_err() {
                out.anomaly(way.from, "length-mismatch", format_args!("answer of {name}"));
            }
            let parameters = parameters.unwrap_or_default();
            if out.wants_messages() {
                let message = Message {
                    service: Some(name),
                    invoke_id: Some(invoke),
                    ..way.message(Some(&parameters))
                };
                out.message(way.from, "complex-ack", &message);
            }
            if tells {
                self.values(way, &parameters, out);
            }
            if mentions_device(service, bytes)
                && let Some(about) = way.speaker(out)
            {
                learn(about, &parameters, out);
                out.role(way.from.other(), Role::Hmi, "bacnet.read-property", Confidence::LIKELY);
            }
        }
        self.answered(way.from, invoke, Outcome::Done, out);
        Ok(())
    }

    /// Present values that a device reads out or reports by itself. Those of devices on other BACnet networks are not
    /// told: their host is that which forwards, for all of them.
    fn values(&mut self, way: Way<'_>, parameters: &Parameters, out: &mut Emit<'_>) {
        if way.npdu.source.is_some() || way.link.origin.is_some() || !out.is_judged() {
            return;
        }
        for property in parameters.properties.iter().filter(|property| property.id == PRESENT_VALUE) {
            let (kind, instance) = property.object;
            let Some(value) = property.value.as_ref().and_then(number) else { continue };
            let key = u64::from(kind) << 32 | u64::from(instance);
            if let Some(point) = self.points.reported(key, value, out.now(), || property.target()) {
                out.sample(way.from, point, value);
            }
        }
    }

    fn error(&mut self, way: Way<'_>, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
        reader.skip(1)?;
        let (invoke, service) = (reader.u8()?, reader.u8()?);
        if out.wants_messages() {
            // Some services wrap class and code in a parameter.
            let mut numbers = Vec::new();
            while let Ok(tag) = tag::Tag::read(reader) {
                if let (tag::Kind::Application(9), Some(number)) = (tag.kind, tag.unsigned()) {
                    numbers.push(u32::try_from(number).unwrap_or(u32::MAX));
                }
            }
            let message = Message {
                service: Some(names::confirmed(service).0),
                invoke_id: Some(invoke),
                error_class: numbers.first().map(|class| names::error_class(*class)),
                error_code: numbers.get(1).map(|code| names::error_code(*code)),
                ..way.message(None)
            };
            out.message(way.from, "error", &message);
        }
        self.answered(way.from, invoke, Outcome::Refused, out);
        Ok(())
    }

    /// A reject or an abort.
    fn refusal(&mut self, way: Way<'_>, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
        let first = reader.u8()?;
        let (invoke, code) = (reader.u8()?, reader.u8()?);
        let reject = first >> 4 == 6;
        if out.wants_messages() {
            let reason = if reject { names::reject_reason(code) } else { names::abort_reason(code) };
            let message = Message { invoke_id: Some(invoke), reason: Some(reason), ..way.message(None) };
            out.message(way.from, if reject { "reject" } else { "abort" }, &message);
        }
        // An abort comes from either side; only that of the one who was asked refuses.
        if reject || first & 1 != 0 {
            self.answered(way.from, invoke, Outcome::Refused, out);
        }
        Ok(())
    }

    /// Puts segments together (clause 5.2); `flags` say whether this is one and whether more follow. None while
    /// more is to come, or where the message cannot be read.
    fn assemble<'a>(
        &mut self,
        from: Side,
        invoke: u8,
        flags: u8,
        sequence: Option<u8>,
        bytes: &'a [u8],
        out: &mut Emit<'_>,
    ) -> Option<Cow<'a, [u8]>> {
        let Some(sequence) = sequence else { return Some(Cow::Borrowed(bytes)) };
        let more = flags & 0x04 != 0;
        let at = self.segmented.iter().position(|old| (old.from, old.invoke) == (from, invoke));
        let at = match (at, sequence) {
            (Some(at), 0) => {
                self.segmented[at].buffer.clear();
                at
            }
            (Some(at), _) => at,
            (None, 0) => {
                if self.segmented.len() >= MAX_SEGMENTED {
                    self.segmented.remove(0);
                }
                self.segmented.push(Segmented { from, invoke, next: 0, buffer: Vec::new() });
                self.segmented.len() - 1
            }
            // Its beginning was not seen.
            (None, _) => return None,
        };
        let message = &mut self.segmented[at];
        if sequence == 0 {
            message.next = 0;
        }
        if sequence != message.next {
            // Repeated segments are ordinary; a later one means that one was lost.
            if sequence.wrapping_sub(message.next) < 0x80 {
                self.segmented.remove(at);
            }
            return None;
        }
        if message.buffer.len() + bytes.len() > MAX_MESSAGE {
            out.anomaly(from, "message-too-long", format_args!("more than {MAX_MESSAGE} bytes"));
            self.segmented.remove(at);
            return None;
        }
        message.buffer.extend_from_slice(bytes);
        message.next = sequence.wrapping_add(1);
        if more { None } else { Some(Cow::Owned(self.segmented.remove(at).buffer)) }
    }
}

/// The sequence number and the window of a segment, if it is one.
fn sequence(flags: u8, reader: &mut Reader<'_>) -> Result<Option<u8>, Short> {
    if flags & 0x08 == 0 {
        return Ok(None);
    }
    let sequence = reader.u8()?;
    reader.skip(1)?;
    Ok(Some(sequence))
}

fn segment_ack(way: Way<'_>, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    reader.skip(1)?;
    let (invoke, sequence) = (reader.u8()?, reader.u8()?);
    if out.wants_messages() {
        let message = Message { invoke_id: Some(invoke), sequence: Some(sequence), ..way.message(None) };
        out.message(way.from, "segment-ack", &message);
    }
    Ok(())
}

impl<'a> Way<'a> {
    /// The fields that all messages share.
    fn message(&self, parameters: Option<&'a Parameters>) -> Message<'a> {
        Message {
            bvlc_function: names::bvlc(self.link.function).unwrap_or_default(),
            origin: self.link.origin.map(|origin| origin.to_string()),
            destination_network: self.npdu.destination,
            source_network: self.npdu.source,
            service: None,
            invoke_id: None,
            sequence: None,
            error_class: None,
            error_code: None,
            reason: None,
            parameters,
        }
    }

    /// The host that the message speaks for: the sender, or who sent it before it was forwarded; none
    /// if that is on another BACnet network.
    fn speaker(&self, out: &Emit<'_>) -> Option<Host> {
        match (self.npdu.source, self.link.origin) {
            (Some(_), _) => None,
            (None, Some(origin)) => Some(Host::from_ip(origin.into())),
            (None, None) => Some(out.host(self.from)),
        }
    }
}

/// A value as a number, if it is one.
const fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(*value as u8 as f64),
        Value::Unsigned(value) => Some(*value as f64),
        Value::Signed(value) => Some(*value as f64),
        Value::Real(value) => Some(*value),
        _ => None,
    }
}

fn digest(service: u8, bytes: &[u8]) -> [u64; 2] {
    [u64::from(service), hash(bytes.iter().copied())]
}

/// Whether an answer to a read begins with an object of type device.
fn mentions_device(service: u8, bytes: &[u8]) -> bool {
    matches!(service, 12 | 14)
        && tag::Tag::read(&mut Reader::new(bytes))
            .ok()
            .and_then(|tag| tag.object())
            .is_some_and(|(kind, _)| kind == DEVICE)
}

/// What a request is done to, as text.
fn target(parameters: &Parameters) -> Option<Box<str>> {
    if !parameters.properties.is_empty() {
        let named: Vec<String> = parameters.properties.iter().take(MAX_NAMED).map(Property::target).collect();
        let more = parameters.properties.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Some(format!("{}{more}", named.join(", ")).into());
    }
    match (parameters.object_type, parameters.instance, parameters.low_limit, parameters.high_limit) {
        (Some(kind), Some(instance), ..) => Some(format!("{kind} {instance}").into()),
        (Some(kind), None, ..) => Some(kind.into()),
        (None, _, Some(low), Some(high)) => Some(format!("devices {low}-{high}").into()),
        _ => parameters.object_name.as_deref().map(Into::into),
    }
}

/// Which attribute a property of the device object is, if it is one.
fn fact_of(property: &Property) -> Option<(Attribute, &'static str)> {
    if property.object.0 != DEVICE {
        return None;
    }
    Some(match property.id {
        12 => (Attribute::Software, "bacnet.application-software-version"),
        28 => (Attribute::Label, "bacnet.description"),
        44 => (Attribute::Firmware, "bacnet.firmware-revision"),
        58 => (Attribute::Location, "bacnet.location"),
        70 => (Attribute::Model, "bacnet.model-name"),
        77 => (Attribute::Label, "bacnet.object-name"),
        121 => (Attribute::Vendor, "bacnet.vendor-name"),
        372 => (Attribute::Serial, "bacnet.serial-number"),
        _ => return None,
    })
}

/// What a device says about itself.
fn learn(about: Host, parameters: &Parameters, out: &mut Emit<'_>) {
    let mut device = false;
    for property in &parameters.properties {
        device |= property.object.0 == DEVICE;
        if let (Some((attribute, source)), Some(Value::Text(text))) = (fact_of(property), &property.value) {
            out.fact_about(about, attribute, text, source, Confidence::CERTAIN);
        }
    }
    if device && let Some(property) = parameters.properties.first() {
        let id = format!("bacnet device {}", property.object.1);
        out.fact_about(about, Attribute::Identifier, id, "bacnet.device", Confidence::CERTAIN);
        let role = Role::BuildingController.name();
        out.fact_about(about, Attribute::Role, role, "bacnet.device", Confidence::STRONG);
    }
}

#[cfg(test)]
mod tests;
