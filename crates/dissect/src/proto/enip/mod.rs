//! EtherNet/IP and CIP: controllers, drives and input and output of Rockwell Automation and many others.
//!
//! The CIP Networks Library, Volume 2 (EtherNet/IP: encapsulation, chapter 2) and Volume 1 (CIP:
//! messages and paths, chapters 2 and 3, appendices A to C). Tag services and PCCC are Rockwell's own and
//! described in its manuals ("Logix 5000 Controllers Data Access", "DF1 Protocol and Command Set").
//!
//! Requests and responses are matched by the sequence count of their connection or the sender context
//! of their session, and told with their outcome.

mod names;
mod path;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Timestamp};
use serde::Serialize;

use self::path::Path;
use super::industrial::{Hex, Recent, asker, begin, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// EtherNet/IP with CIP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "enip",
    name: "EtherNet/IP",
    spec: "The CIP Networks Library, Volumes 1 and 2",
    carriers: &[Carrier::Tcp(&[EXPLICIT]), Carrier::Udp(&[EXPLICIT, IMPLICIT])],
    probe,
    start: || Box::new(Enip::default()),
};

/// IANA's ports for `EtherNet-IP-2` and `EtherNet-IP-1`.
const EXPLICIT: u16 = 44_818;
const IMPLICIT: u16 = 2_222;

/// Command, length, session, status, sender context and options (Volume 2, 2-3.1).
const HEADER: usize = 24;

/// No command is this long: the greatest CIP message has 65,535 bytes less the header (2-3.2).
const MAX_LENGTH: usize = 65_511;

/// Requests that wait for their answers. When there are more, the oldest counts as not answered.
const MAX_PENDING: usize = 64;

/// Messages within messages are followed so deep: unconnected send, multiple service packet, service.
const MAX_DEPTH: u8 = 4;

/// A multiple service packet holds at most so many services that are read.
const MAX_SERVICES: usize = 256;

/// Items of the common packet format that are read; all commands use four at most (2-6.2).
const MAX_ITEMS: u16 = 8;

const ITEM_IDENTITY: u16 = 0x000c;
const ITEM_CONNECTED_ADDRESS: u16 = 0x00a1;
const ITEM_CONNECTED_DATA: u16 = 0x00b1;
const ITEM_UNCONNECTED_DATA: u16 = 0x00b2;
const ITEM_SERVICES: u16 = 0x0100;
const ITEM_SEQUENCED_ADDRESS: u16 = 0x8002;

const IDENTITY: u32 = 0x01;
const MESSAGE_ROUTER: u32 = 0x02;
const CONNECTION_MANAGER: u32 = 0x06;
const PCCC: u32 = 0x67;

/// The encapsulation's header.
#[derive(Clone, Copy, Debug)]
struct Header {
    command: u16,
    length: usize,
    session: u32,
    status: u32,
    context: u64,
    options: u32,
}

fn header(bytes: &[u8]) -> Result<Header, Short> {
    let mut reader = Reader::new(bytes);
    Ok(Header {
        command: reader.le16()?,
        length: reader.le16()?.into(),
        session: reader.le32()?,
        status: reader.le32()?,
        context: reader.be64()?,
        options: reader.le32()?,
    })
}

impl Header {
    /// Whether all fields can be those of a header.
    fn is_possible(&self) -> bool {
        names::command(self.command).is_some()
            && self.length <= MAX_LENGTH
            && names::encapsulation_status(self.status).is_some()
            && self.options == 0
            && match self.command {
                // Requests have no data; replies of the lists begin with the count of their items.
                0x0004 | 0x0063 | 0x0064 => self.length == 0 || self.length >= 2,
                0x0065 => self.length == 4 || self.status != 0,
                0x0066 => self.length == 0,
                0x006f | 0x0070 => self.length >= 16 || self.status != 0,
                _ => true,
            }
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if !opening.stream && implicit(bytes).is_ok() {
        return Verdict::Yes;
    }
    let Ok(header) = header(bytes) else {
        let known =
            bytes.first_chunk::<2>().is_none_or(|code| names::command(u16::from_le_bytes(*code)).is_some());
        return if opening.stream && known { Verdict::More } else { Verdict::No };
    };
    if !header.is_possible() {
        return Verdict::No;
    }
    let Some(data) = bytes.get(HEADER..HEADER + header.length) else {
        return if opening.stream { Verdict::More } else { Verdict::No };
    };
    if !opening.stream && bytes.len() != HEADER + header.length {
        return Verdict::No;
    }
    match header.command {
        // Any command with its own data, or a list without.
        0x0065 if data == [1, 0, 0, 0] => Verdict::Yes,
        0x006f | 0x0070 if header.session != 0 && data.get(..4) == Some(&[0; 4]) => {
            let items = data.get(6..).is_some_and(|items| Items::of(items).is_ok());
            if items { Verdict::Yes } else { Verdict::No }
        }
        0x006f | 0x0070 => Verdict::No,
        0x0004 | 0x0063 | 0x0064 if data.is_empty() && header.session == 0 => Verdict::Yes,
        0x0004 | 0x0063 | 0x0064 if Items::of(data).is_ok() => Verdict::Yes,
        0x0066 if header.session != 0 => Verdict::Maybe,
        _ => Verdict::Maybe,
    }
}

/// The items of the common packet format (2-6).
#[derive(Clone, Copy, Debug)]
struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Checks that the items fill the bytes exactly.
    fn of(bytes: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let count = reader.le16()?;
        if count > MAX_ITEMS {
            return Err(Short);
        }
        let items = Self(reader.rest());
        for _ in 0..count {
            reader.skip(2)?;
            let length = reader.le16()?;
            reader.skip(length.into())?;
        }
        if reader.is_empty() { Ok(items) } else { Err(Short) }
    }

    fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            let kind = reader.le16().ok()?;
            let length = reader.le16().ok()?;
            Some((kind, reader.take(length.into()).ok()?))
        })
    }
}

/// A datagram of input and output: connection, sequence and data (2-6.3, 3-3).
fn implicit(bytes: &[u8]) -> Result<(u32, u32, &[u8]), Short> {
    let mut address = None;
    for (kind, item) in Items::of(bytes)?.iter() {
        match (kind, address) {
            (ITEM_SEQUENCED_ADDRESS, None) if item.len() == 8 => {
                let mut reader = Reader::new(item);
                address = Some((reader.le32()?, reader.le32()?));
            }
            (ITEM_CONNECTED_DATA, Some((connection, sequence))) => return Ok((connection, sequence, item)),
            _ => return Err(Short),
        }
    }
    Err(Short)
}

/// A command of the encapsulation, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Command<'a> {
    length: usize,
    session: u32,
    status: &'static str,
    status_code: u32,
    sender_context: Hex<'a>,
    options: u32,
    identity: Option<&'a IdentityItem>,
    service_name: Option<String>,
    capabilities: Option<u16>,
}

/// The identity of a device, from the list of identities.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct IdentityItem {
    encapsulation_version: u16,
    socket_address: String,
    socket_port: u16,
    vendor_id: u16,
    vendor: Option<&'static str>,
    device_type_code: u16,
    device_type: Option<&'static str>,
    product_code: u16,
    revision: String,
    device_status: u16,
    serial: u32,
    product_name: String,
    state: u8,
}

/// A CIP request or response, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct CipMessage<'a> {
    service: &'static str,
    service_code: u8,
    class: Option<&'static str>,
    class_id: Option<u32>,
    instance: Option<u32>,
    attribute: Option<u32>,
    symbol: Option<&'a str>,
    route: Option<&'a str>,
    status: Option<&'static str>,
    status_code: Option<u8>,
    extended_status: Option<u16>,
    connection: Option<u32>,
    sequence: Option<u16>,
    pccc: Option<&'static str>,
    pccc_status: Option<u8>,
    data_length: usize,
}

/// A datagram of input and output, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct IoData<'a> {
    connection: u32,
    sequence: u32,
    data: Hex<'a>,
}

/// Where a CIP message stands: its request and response share the key and the index.
#[derive(Clone, Copy, Debug)]
struct Place {
    connection: Option<u32>,
    sequence: Option<u16>,
    key: u64,
    /// Which service of a multiple service packet.
    index: u16,
    depth: u8,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    key: u64,
    index: u16,
    service: u8,
    class: Option<u32>,
    instance: Option<u32>,
    attribute: Option<u32>,
    /// Whether another module answers than the one at the address.
    routed: bool,
    told: Option<(OperationKind, &'static str, Box<str>)>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Enip {
    pending: Vec<Pending>,
    recent: Recent,
    searching: [bool; 2],
    /// Whether connections of this conversation lead to another module.
    routed: bool,
    roles_told: bool,
    programmer_told: bool,
    io_told: bool,
}

impl Parser for Enip {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        if out.flow().transport == model::Transport::Udp
            && let Ok((connection, sequence, data)) = implicit(input.bytes)
        {
            self.io(from, connection, sequence, data, out);
            return Progress::Took(input.bytes.len());
        }
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            if self.searching[from.index()] {
                let possible = |at: &usize| match header(&bytes[*at..]) {
                    Ok(header) => header.is_possible() && header.session != 0,
                    Err(Short) => true,
                };
                match (0..bytes.len()).find(possible) {
                    Some(at) if bytes.len() - at < HEADER => return Progress::Took(taken + at),
                    Some(at) => taken += at,
                    None => return Progress::Took(taken + bytes.len()),
                }
                self.searching[from.index()] = false;
                continue;
            }
            let Ok(header) = header(bytes) else { break };
            if names::command(header.command).is_none() || header.length > MAX_LENGTH {
                return Progress::Lost("framing");
            }
            let Some(data) = bytes.get(HEADER..HEADER + header.length) else {
                if out.flow().transport == model::Transport::Udp && input.cut == 0 {
                    out.anomaly(
                        from,
                        "length-mismatch",
                        format_args!("{} bytes are announced", header.length),
                    );
                }
                break;
            };
            taken += HEADER + header.length;
            if self.command(from, &header, bytes, data, out).is_err() {
                let name = names::command(header.command).unwrap_or_default();
                out.anomaly(
                    from,
                    "length-mismatch",
                    format_args!("{name} with {} bytes of data", data.len()),
                );
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
            unanswered(asker(out.flow(), &[EXPLICIT]), old, out);
        }
    }
}

/// A request that nobody answered.
fn unanswered(from: Side, old: Pending, out: &mut Emit<'_>) {
    if let Some((kind, name, target)) = old.told {
        out.asked(old.asked).operation(from, kind, name, Some(target), None, Outcome::Asked);
    }
}

impl Enip {
    fn io(&mut self, from: Side, connection: u32, sequence: u32, data: &[u8], out: &mut Emit<'_>) {
        if out.wants_messages() {
            out.message(from, "io-data", &IoData { connection, sequence, data: Hex(data) });
        }
        if !self.io_told {
            self.io_told = true;
            // Both ends of input and output are a controller and its devices; which is which, only the
            // opening of the connection tells.
            out.role(from, Role::Plc, "enip.io", Confidence::HINT);
            out.role(from, Role::FieldDevice, "enip.io", Confidence::HINT);
        }
    }

    fn command(
        &mut self,
        from: Side,
        header: &Header,
        bytes: &[u8],
        data: &[u8],
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let name = names::command(header.command).ok_or(Short)?;
        let items = match header.command {
            0x0004 | 0x0063 | 0x0064 if !data.is_empty() => Some(Items::of(data)?),
            // Interface handle and timeout come first.
            0x006f | 0x0070 if !data.is_empty() => Some(Items::of(data.get(6..).ok_or(Short)?)?),
            _ => None,
        };
        let list = |wanted| items.into_iter().flat_map(Items::iter).find(|(kind, _)| *kind == wanted);
        let identity = list(ITEM_IDENTITY).map(|(_, item)| identity_item(item)).transpose()?;
        if out.wants_messages() {
            let service = list(ITEM_SERVICES).map(|(_, item)| item);
            let message = Command {
                length: header.length,
                session: header.session,
                status: names::encapsulation_status(header.status).unwrap_or("unknown"),
                status_code: header.status,
                sender_context: Hex(bytes.get(12..20).unwrap_or_default()),
                options: header.options,
                identity: identity.as_ref(),
                service_name: service.and_then(|item| text(item.get(4..)?)),
                capabilities: service
                    .and_then(|item| item.get(2..4))
                    .map(|flags| u16::from_le_bytes([flags[0], flags[1]])),
            };
            out.message(from, name, &message);
        }
        match header.command {
            0x0063 if items.is_none() && self.recent.is_new(&[0x63]) => {
                out.operation(from, OperationKind::Discover, name, None, None, Outcome::Asked);
            }
            0x0063 => {
                if let Some(identity) = identity {
                    listed(from, &identity, out);
                }
            }
            0x006f | 0x0070 => {
                let mut connection = None;
                for (kind, item) in items.into_iter().flat_map(Items::iter) {
                    let mut reader = Reader::new(item);
                    match kind {
                        ITEM_CONNECTED_ADDRESS => connection = Some(reader.le32()?),
                        ITEM_CONNECTED_DATA => {
                            let sequence = reader.le16()?;
                            let key = 1 << 63 | u64::from(sequence);
                            let place =
                                Place { connection, sequence: Some(sequence), key, index: 0, depth: 0 };
                            self.cip(from, place, reader.rest(), None, out);
                        }
                        ITEM_UNCONNECTED_DATA => {
                            let key = header.context.rotate_left(17) & !(1 << 63);
                            let place = Place { connection: None, sequence: None, key, index: 0, depth: 0 };
                            self.cip(from, place, item, None, out);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A CIP message; `route` where it was unwrapped from one that goes to another module.
    fn cip(&mut self, from: Side, place: Place, bytes: &[u8], route: Option<&str>, out: &mut Emit<'_>) {
        if place.depth >= MAX_DEPTH {
            out.anomaly(
                from,
                "nesting",
                format_args!("CIP messages within messages deeper than {MAX_DEPTH}"),
            );
            return;
        }
        let well = match bytes.first() {
            Some(service) if service & 0x80 == 0 => self.request(from, place, bytes, route, out),
            Some(_) => self.response(from, place, bytes, out),
            None => Err(Short),
        };
        if well.is_err() {
            out.anomaly(from, "length-mismatch", format_args!("CIP message of {} bytes", bytes.len()));
        }
    }

    fn request(
        &mut self,
        from: Side,
        place: Place,
        bytes: &[u8],
        route: Option<&str>,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let mut reader = Reader::new(bytes);
        let service = reader.u8()?;
        let words = reader.u8()?;
        let raw = reader.take(usize::from(words) * 2)?;
        let data = reader.rest();
        let mut path = path::read(raw);
        if path.route.is_none() {
            path.route = route.map(str::to_owned);
        }
        let (mut name, mut kind) = names::service(service, path.class, path.symbol.is_some());
        let pccc = if path.class == Some(PCCC) && service == 0x4b { pccc_request(data).ok() } else { None };
        if let Some((command, function)) = pccc {
            let (pccc_name, pccc_kind) = names::pccc(command, function);
            (name, kind) = (pccc_name, Some(pccc_kind));
        }
        if out.wants_messages() {
            let message = CipMessage {
                service: names::service(service, path.class, path.symbol.is_some()).0,
                service_code: service,
                class: path.class.map(names::class),
                class_id: path.class,
                instance: path.instance,
                attribute: path.attribute,
                symbol: path.symbol.as_deref(),
                route: path.route.as_deref(),
                status: None,
                status_code: None,
                extended_status: None,
                connection: place.connection,
                sequence: place.sequence,
                pccc: pccc.map(|_| name),
                pccc_status: None,
                data_length: data.len(),
            };
            out.message(from, "cip-request", &message);
        }
        match (service, path.class) {
            (0x0a, _) => {
                let services = nested(data)?;
                for (index, inner) in services.enumerate() {
                    let place = Place { index: index as u16, depth: place.depth + 1, ..place };
                    self.cip(from, place, inner, path.route.as_deref(), out);
                }
                return Ok(());
            }
            (0x52, Some(CONNECTION_MANAGER)) => {
                // Priority and ticks, size and message, fill byte, size and route.
                reader.skip(2)?;
                let size = usize::from(reader.le16()?);
                let inner = reader.take(size)?;
                if size % 2 != 0 {
                    reader.skip(1)?;
                }
                let words = reader.u8()?;
                reader.skip(1)?;
                let route = path::read(reader.take(usize::from(words) * 2)?).route;
                self.cip(from, Place { depth: place.depth + 1, ..place }, inner, route.as_deref(), out);
                return Ok(());
            }
            (0x54 | 0x5b, Some(CONNECTION_MANAGER)) => {
                // The path of the connection is the last field: its words stand before it.
                let fixed = if service == 0x54 { 35 } else { 39 };
                let words = usize::from(*data.get(fixed).ok_or(Short)?);
                let to = path::read(data.get(fixed + 1..fixed + 1 + words * 2).ok_or(Short)?);
                self.routed |= to.route.is_some();
                // A connection to the message router only carries requests.
                if to.class == Some(MESSAGE_ROUTER) {
                    kind = None;
                }
                path = to;
            }
            _ => {}
        }
        self.expect(from, place, service, &path, name, kind, data, out);
        Ok(())
    }

    /// Remembers what was asked until it is answered. Polls are told once.
    #[expect(clippy::too_many_arguments, reason = "one request, taken apart")]
    fn expect(
        &mut self,
        from: Side,
        place: Place,
        service: u8,
        path: &Path,
        name: &'static str,
        kind: Option<OperationKind>,
        data: &[u8],
        out: &mut Emit<'_>,
    ) {
        let poll = matches!(
            kind,
            Some(
                OperationKind::Read
                    | OperationKind::Identify
                    | OperationKind::Diagnose
                    | OperationKind::ProgramDownload
                    | OperationKind::ProgramUpload
            )
        );
        let symbol = path
            .symbol
            .as_deref()
            .unwrap_or_default()
            .bytes()
            .fold(0_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let news = !poll
            || self.recent.is_new(&match kind {
                // A program has many parts: each service on each class is told, not each part.
                Some(OperationKind::ProgramDownload | OperationKind::ProgramUpload) => {
                    [u64::from(service), path.class.unwrap_or(0).into(), 0, 0]
                }
                _ => [
                    u64::from(service) << 32 | u64::from(path.class.unwrap_or(0)),
                    u64::from(path.instance.unwrap_or(0)) << 32 | u64::from(path.attribute.unwrap_or(0)),
                    symbol,
                    u64::from(path.route.is_some()),
                ],
            });
        let programs = matches!(
            kind,
            Some(
                OperationKind::ProgramDownload
                    | OperationKind::ProgramUpload
                    | OperationKind::ChangeMode
                    | OperationKind::Start
                    | OperationKind::Stop
                    | OperationKind::FirmwareUpdate
            )
        );
        if programs && !self.programmer_told {
            self.programmer_told = true;
            out.role(from, Role::EngineeringStation, "enip.cip", Confidence::STRONG);
        }
        let told = match kind {
            Some(kind) if news => {
                // How a reset is to be done is one byte (5-2.3.1); who resets wants to know.
                let mut target = path.target();
                if let (OperationKind::Restart, Some(how)) = (kind, data.first()) {
                    target.push_str(&format!(" type {how}"));
                }
                Some((kind, name, target.into()))
            }
            _ => None,
        };
        let awaits_identity = path.class == Some(IDENTITY);
        if told.is_none() && !awaits_identity {
            return;
        }
        let same = self.pending.iter().position(|old| old.key == place.key && old.index == place.index);
        let full = (self.pending.len() >= MAX_PENDING).then_some(0);
        if let Some(at) = same.or(full) {
            unanswered(from, self.pending.remove(at), out);
        }
        begin(
            &mut self.pending,
            Pending {
                asked: out.now(),
                key: place.key,
                index: place.index,
                service,
                class: path.class,
                instance: path.instance,
                attribute: path.attribute,
                routed: path.route.is_some() || place.connection.is_some() && self.routed,
                told,
            },
        );
    }

    fn response(&mut self, from: Side, place: Place, bytes: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
        let mut reader = Reader::new(bytes);
        let service = reader.u8()? & 0x7f;
        reader.skip(1)?;
        let status = reader.u8()?;
        let words = usize::from(reader.u8()?);
        let mut extended = Reader::new(reader.take(words * 2)?);
        let data = reader.rest();
        // A failed unconnected send answers for the request inside it.
        let pending = self
            .pending
            .iter()
            .position(|old| {
                old.key == place.key
                    && old.index == place.index
                    && (old.service == service || service == 0x52 && status != 0)
            })
            .map(|at| self.pending.remove(at));
        let class = pending.as_ref().and_then(|old| old.class);
        let pccc = if class == Some(PCCC) { pccc_status(data).ok() } else { None };
        if out.wants_messages() {
            let symbolic = pending.as_ref().is_some_and(|old| old.class.is_none());
            let message = CipMessage {
                service: names::service(service, class, symbolic).0,
                service_code: service,
                class: class.map(names::class),
                class_id: class,
                instance: pending.as_ref().and_then(|old| old.instance),
                attribute: pending.as_ref().and_then(|old| old.attribute),
                symbol: None,
                route: None,
                status: Some(names::status(status)),
                status_code: Some(status),
                extended_status: extended.le16().ok(),
                connection: place.connection,
                sequence: place.sequence,
                pccc: None,
                pccc_status: pccc,
                data_length: data.len(),
            };
            out.message(from, "cip-response", &message);
        }
        if !self.roles_told {
            self.roles_told = true;
            out.role(from, Role::Plc, "enip.cip-response", Confidence::HINT);
            out.role(from.other(), Role::Hmi, "enip.cip-request", Confidence::HINT);
        }
        // A packet of services is answered service by service; status 0x1e says that one failed.
        if service == 0x0a && matches!(status, 0 | 0x1e) {
            for (index, inner) in nested(data)?.enumerate() {
                let place = Place { index: index as u16, depth: place.depth + 1, ..place };
                self.cip(from, place, inner, None, out);
            }
            return Ok(());
        }
        let Some(old) = pending else { return Ok(()) };
        if status == 0 && class == Some(IDENTITY) && old.instance.is_none_or(|instance| instance == 1) {
            let confidence = match (old.routed, place.connection) {
                (true, _) => Confidence::LIKELY,
                (false, Some(_)) => Confidence::STRONG,
                (false, None) => Confidence::CERTAIN,
            };
            let _ = identity_answer(from, service, old.attribute, data, confidence, out);
        }
        if let Some((kind, name, target)) = old.told {
            if name.ends_with("-tag") || name.ends_with("-tag-fragmented") {
                out.role(from, Role::Plc, "enip.tag", Confidence::STRONG);
                out.role(from.other(), Role::Hmi, "enip.tag", Confidence::LIKELY);
            }
            // Status 6 is success with more to come.
            let refused = !matches!(status, 0 | 6) || pccc.is_some_and(|status| status != 0);
            let outcome = if refused { Outcome::Refused } else { Outcome::Done };
            out.asked(old.asked).operation(from.other(), kind, name, Some(target), None, outcome);
        }
        Ok(())
    }
}

/// The messages of a multiple service packet: their count, their offsets from it, themselves (appendix
///
fn nested(data: &[u8]) -> Result<impl Iterator<Item = &[u8]>, Short> {
    let mut reader = Reader::new(data);
    let count = usize::from(reader.le16()?);
    let offsets = reader.take(count * 2)?;
    let offset = move |index: usize| {
        let pair = offsets.get(index * 2..index * 2 + 2)?;
        Some(usize::from(u16::from_le_bytes([pair[0], pair[1]])))
    };
    Ok((0..count.min(MAX_SERVICES)).map_while(move |index| {
        let start = offset(index)?;
        let end = offset(index + 1).unwrap_or(data.len());
        data.get(start..end)
    }))
}

/// Requester (length, vendor, serial), command, status, transaction, function.
fn pccc_request(data: &[u8]) -> Result<(u8, u8), Short> {
    let mut reader = Reader::new(data);
    let requester = usize::from(reader.u8()?);
    reader.skip(requester.checked_sub(1).ok_or(Short)?)?;
    let command = reader.u8()?;
    reader.skip(3)?;
    // Commands 0, 1, 2, 5 and 8 have an address where the others have a function.
    Ok((command, reader.u8().unwrap_or(0)))
}

fn pccc_status(data: &[u8]) -> Result<u8, Short> {
    let mut reader = Reader::new(data);
    let requester = usize::from(reader.u8()?);
    reader.skip(requester.checked_sub(1).ok_or(Short)?)?;
    reader.skip(1)?;
    reader.u8()
}

/// The identity item (Volume 2, table 2-4.4).
fn identity_item(item: &[u8]) -> Result<IdentityItem, Short> {
    let mut reader = Reader::new(item);
    let encapsulation_version = reader.le16()?;
    // The socket address is big-endian: family, port, address, zeros.
    reader.skip(2)?;
    let socket_port = reader.be16()?;
    let address = reader.array::<4>()?;
    reader.skip(8)?;
    let vendor_id = reader.le16()?;
    let device_type_code = reader.le16()?;
    let product_code = reader.le16()?;
    let (major, minor) = (reader.u8()?, reader.u8()?);
    let device_status = reader.le16()?;
    let serial = reader.le32()?;
    let length = reader.u8()?;
    let name = reader.take(length.into())?;
    let state = reader.u8().unwrap_or(0xff);
    Ok(IdentityItem {
        encapsulation_version,
        socket_address: std::net::Ipv4Addr::from(address).to_string(),
        socket_port,
        vendor_id,
        vendor: names::vendor(vendor_id),
        device_type_code,
        device_type: names::device_type(device_type_code),
        product_code,
        revision: format!("{major}.{minor}"),
        device_status,
        serial,
        product_name: String::from_utf8_lossy(name).trim().to_owned(),
        state,
    })
}

/// What a device says of itself when identities are listed.
fn listed(from: Side, identity: &IdentityItem, out: &mut Emit<'_>) {
    let sure = Confidence::CERTAIN;
    vendor(from, identity.vendor_id, sure, out);
    device_type(from, identity.device_type_code, sure, out);
    serial(from, identity.serial, sure, out);
    out.fact(from, Attribute::Firmware, &identity.revision, "enip.identity.revision", sure);
    out.fact(from, Attribute::Model, &identity.product_name, "enip.identity.product-name", sure);
}

fn vendor(from: Side, id: u16, confidence: Confidence, out: &mut Emit<'_>) {
    match names::vendor(id) {
        Some(name) => out.fact(from, Attribute::Vendor, name, "enip.identity.vendor", confidence),
        None => {
            let name = format!("ODVA vendor {id}");
            out.fact(from, Attribute::Vendor, name, "enip.identity.vendor", Confidence::HINT);
        }
    }
}

fn device_type(from: Side, code: u16, confidence: Confidence, out: &mut Emit<'_>) {
    if let Some(name) = names::device_type(code) {
        out.fact(from, Attribute::Type, name, "enip.identity.device-type", confidence);
    }
    let role = match code {
        0x0e => Role::Plc,
        0x18 => Role::Hmi,
        0x2c => Role::Switch,
        0x29 | 0x35 => Role::Gateway,
        // A communications adapter (0x0c) carries the inputs and outputs beside it.
        0x02..=0x0c | 0x10..=0x17 | 0x1a..=0x28 | 0x2a | 0x2d..=0x34 => Role::FieldDevice,
        _ => return,
    };
    out.role(from, role, "enip.identity.device-type", confidence.min(Confidence::STRONG));
}

fn serial(from: Side, serial: u32, confidence: Confidence, out: &mut Emit<'_>) {
    if serial != 0 {
        let serial = format!("{serial:08x}");
        out.fact(from, Attribute::Serial, serial, "enip.identity.serial", confidence);
    }
}

/// Attributes of the identity object (Volume 1, 5-2.2), as the services that read them give them.
fn identity_answer(
    from: Side,
    service: u8,
    attribute: Option<u32>,
    data: &[u8],
    confidence: Confidence,
    out: &mut Emit<'_>,
) -> Result<(), Short> {
    let mut reader = Reader::new(data);
    match service {
        0x01 => {
            for attribute in 1..=7 {
                identity_attribute(from, attribute, &mut reader, confidence, out)?;
            }
        }
        0x03 => {
            for _ in 0..reader.le16()? {
                let attribute = reader.le16()?;
                if reader.le16()? == 0 {
                    identity_attribute(from, attribute, &mut reader, confidence, out)?;
                }
            }
        }
        0x0e => {
            let attribute = attribute.and_then(|attribute| u16::try_from(attribute).ok()).ok_or(Short)?;
            identity_attribute(from, attribute, &mut reader, confidence, out)?;
        }
        _ => {}
    }
    Ok(())
}

fn identity_attribute(
    from: Side,
    attribute: u16,
    reader: &mut Reader<'_>,
    confidence: Confidence,
    out: &mut Emit<'_>,
) -> Result<(), Short> {
    match attribute {
        1 => vendor(from, reader.le16()?, confidence, out),
        2 => device_type(from, reader.le16()?, confidence, out),
        3 | 5 => reader.skip(2)?,
        4 => {
            let (major, minor) = (reader.u8()?, reader.u8()?);
            // The upper bit marks a project that was edited online in some families.
            let revision = format!("{}.{minor}", major & 0x7f);
            out.fact(from, Attribute::Firmware, revision, "enip.identity.revision", confidence);
        }
        6 => serial(from, reader.le32()?, confidence, out),
        7 => {
            let length = reader.u8()?;
            if let Some(name) = text(reader.take(length.into())?) {
                out.fact(from, Attribute::Model, name, "enip.identity.product-name", confidence);
            }
        }
        _ => return Err(Short),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
