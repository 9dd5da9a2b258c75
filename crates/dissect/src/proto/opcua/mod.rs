//! OPC UA in its binary form over TCP: how controllers and the systems above them exchange data.
//!
//! OPC 10000-6 (mappings: 5.2 the encoding, 6.7 secure conversation, 7.1 connection protocol) and
//! OPC 10000-4 (services), release 1.05. A message is sent in chunks; each chunk has a header of type,
//! kind and size. What a secure channel protects is only counted.
//!
//! What is asked is told when it is answered, so that its outcome is known.

mod names;
mod service;
mod value;

use std::net::IpAddr;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Timestamp, Value};
use serde::Serialize;

use self::service::{Application, Body};
use self::value::{bytes, node_id, string};
use super::industrial::{Recent, begin, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict, hostname};

/// OPC UA, binary over TCP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "opcua",
    name: "OPC Unified Architecture (binary)",
    spec: "OPC 10000-6 and OPC 10000-4, release 1.05",
    carriers: &[Carrier::Tcp(PORTS)],
    probe,
    start: || Box::new(OpcUa::default()),
};

/// IANA's port for `opcua-tcp`.
const PORTS: &[u16] = &[4_840];

/// Type, kind and size of a chunk (Part 6, 7.1.2.2).
const HEADER: usize = 8;

/// Chunks above this size are passed over without being kept.
const MAX_CHUNK: usize = 65_536 + HEADER;

/// A size above this is taken for chance.
const MAX_PLAUSIBLE: usize = 1 << 24;

/// A message of many chunks is put together up to this size; what is beyond is not read.
const MAX_MESSAGE: usize = 262_144;

/// The greatest text in a hello or an error (7.1.2.3, 7.1.2.5), and the fields beside it.
const MAX_HELLO: usize = HEADER + 24 + 4_096;

/// Requests that wait for their answer. When there are more, the oldest counts as not answered.
const MAX_PENDING: usize = 32;

/// A target names at most so many nodes, and says how many more there are.
const MAX_NAMED: usize = 4;

/// Every security policy's name begins so.
const POLICIES: &[u8] = b"http://opcfoundation.org/UA/SecurityPolicy#";

/// Where a chunk's body begins when nothing is encrypted: header, channel, token, sequence, request.
const PLAIN_BODY: usize = HEADER + 16;

/// Types of chunks (Part 6, 6.7.2.2 and 7.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hello,
    Acknowledge,
    Error,
    ReverseHello,
    Open,
    Message,
    Close,
}

/// The header of a chunk.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    /// `F` final, `C` more follow, `A` given up.
    part: u8,
    size: usize,
}

/// Reads the header of a chunk: `None` if there is none, `Err` if bytes are missing.
fn header(bytes: &[u8]) -> Result<Option<Header>, Short> {
    const TYPES: [(&[u8], Kind); 7] = [
        (b"HEL", Kind::Hello),
        (b"ACK", Kind::Acknowledge),
        (b"ERR", Kind::Error),
        (b"RHE", Kind::ReverseHello),
        (b"OPN", Kind::Open),
        (b"MSG", Kind::Message),
        (b"CLO", Kind::Close),
    ];
    let start = bytes.get(..3).unwrap_or(bytes);
    let Some((_, kind)) = TYPES.into_iter().find(|(name, _)| name.starts_with(start)) else {
        return Ok(None);
    };
    let whole = matches!(kind, Kind::Message | Kind::Close | Kind::Open);
    let part = *bytes.get(3).ok_or(Short)?;
    if !(part == b'F' || whole && matches!(part, b'C' | b'A')) {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes.get(4..).ok_or(Short)?);
    let size = reader.le32()? as usize;
    let fits = match kind {
        Kind::Hello => (HEADER + 24..=MAX_HELLO).contains(&size),
        Kind::Acknowledge => size == HEADER + 20,
        Kind::Error => (HEADER + 8..=MAX_HELLO).contains(&size),
        Kind::ReverseHello => (HEADER + 8..=MAX_HELLO + 4_096).contains(&size),
        Kind::Open | Kind::Message | Kind::Close => (PLAIN_BODY..=MAX_PLAUSIBLE).contains(&size),
    };
    Ok(fits.then_some(Header { kind, part, size }))
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if !opening.stream {
        return Verdict::No;
    }
    let header = match header(bytes) {
        Ok(Some(header)) => header,
        Ok(None) => return Verdict::No,
        Err(Short) => return Verdict::More,
    };
    match header.kind {
        Kind::Hello | Kind::Acknowledge | Kind::Error | Kind::ReverseHello => Verdict::Yes,
        Kind::Open => match bytes.get(HEADER + 8..HEADER + 8 + POLICIES.len()) {
            Some(policy) if policy == POLICIES => Verdict::Yes,
            Some(_) => Verdict::Maybe,
            None => Verdict::More,
        },
        Kind::Message | Kind::Close => match bytes.get(PLAIN_BODY..PLAIN_BODY + 4) {
            // The second chunk of a message begins anywhere, and so does what is encrypted.
            Some(node) => match node_id(&mut Reader::new(node)).map(|node| node.standard()) {
                Ok(Some(code)) if names::service(code).is_some() => Verdict::Yes,
                _ => Verdict::Maybe,
            },
            None if header.size < PLAIN_BODY + 4 => Verdict::Maybe,
            None => Verdict::More,
        },
    }
}

/// What opens or refuses a connection, as it is reported.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Connection {
    version: Option<u32>,
    receive_buffer_size: Option<u32>,
    send_buffer_size: Option<u32>,
    max_message_size: Option<u32>,
    max_chunk_count: Option<u32>,
    server_uri: Option<String>,
    endpoint_url: Option<String>,
    error_code: Option<u32>,
    error: Option<&'static str>,
    reason: Option<String>,
}

/// A message on a secure channel, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    channel: u32,
    security_policy: Option<&'a str>,
    sender_certificate_length: Option<usize>,
    sequence: Option<u32>,
    request: Option<u32>,
    service: Option<&'static str>,
    service_code: Option<u32>,
    size: usize,
    #[serde(flatten)]
    body: Body,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    /// Packet time.
    asked: Timestamp,
    asker: Side,
    request: u32,
    kind: OperationKind,
    name: &'static str,
    target: Option<Box<str>>,
    value: Option<Value>,
    /// A poll that was told before: its answer is still read for what nodes of the standard say.
    silent: bool,
    standard: Vec<(usize, u32)>,
}

/// What is known of one side's message that comes in chunks.
#[derive(Debug, Default)]
struct Parts {
    buffer: Vec<u8>,
    overflow: bool,
}

/// One conversation.
#[derive(Debug, Default)]
struct OpcUa {
    searching: [bool; 2],
    parts: [Parts; 2],
    /// The policy that the secure channel was opened with.
    policy: Option<Box<str>>,
    pending: Vec<Pending>,
    recent: Recent,
}

impl Parser for OpcUa {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            match header(bytes) {
                Err(Short) => break,
                Ok(None) if self.searching[from.index()] => taken += 1,
                Ok(None) => return Progress::Lost("framing"),
                Ok(Some(header)) => {
                    match bytes.get(..header.size) {
                        Some(chunk) => {
                            self.searching[from.index()] = false;
                            if self.chunk(from, header, chunk, out).is_err() {
                                out.anomaly(
                                    from,
                                    "length-mismatch",
                                    format_args!("{:?} of {} bytes", header.kind, header.size),
                                );
                            }
                        }
                        None if header.size > MAX_CHUNK => {
                            self.parts[from.index()].overflow = header.part == b'C';
                        }
                        None => break,
                    }
                    taken += header.size;
                }
            }
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.searching[from.index()] = true;
        self.parts[from.index()] = Parts::default();
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        for old in std::mem::take(&mut self.pending) {
            tell(old, Outcome::Asked, out);
        }
    }
}

fn tell(old: Pending, outcome: Outcome, out: &mut Emit<'_>) {
    if !old.silent {
        out.asked(old.asked).operation(old.asker, old.kind, old.name, old.target, old.value, outcome);
    }
}

impl OpcUa {
    fn chunk(&mut self, from: Side, header: Header, chunk: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
        let mut reader = Reader::new(chunk);
        reader.skip(HEADER)?;
        match header.kind {
            Kind::Hello | Kind::Acknowledge | Kind::Error | Kind::ReverseHello => {
                connection(from, header.kind, &mut reader, out)
            }
            Kind::Open => {
                let channel = reader.le32()?;
                let policy = string(&mut reader)?;
                let certificate = bytes(&mut reader)?.map(<[u8]>::len);
                bytes(&mut reader)?;
                if let Some(uri) = &policy {
                    self.policy = Some(service::policy(uri).into());
                }
                // Opening a channel is encrypted unless the policy is none (Part 6, 6.7.2.3).
                self.message(from, channel, certificate, header.size, reader, out)
            }
            Kind::Message | Kind::Close => {
                let channel = reader.le32()?;
                reader.skip(4)?;
                let parts = &mut self.parts[from.index()];
                match header.part {
                    b'F' if parts.buffer.is_empty() => {
                        if std::mem::take(&mut parts.overflow) {
                            return Ok(());
                        }
                        self.message(from, channel, None, header.size, reader, out)
                    }
                    b'A' => {
                        *parts = Parts::default();
                        Ok(())
                    }
                    last => {
                        // Of the chunks after the first only what follows their sequence header is new.
                        let rest = reader.rest();
                        let more = if parts.buffer.is_empty() { rest } else { rest.get(8..).ok_or(Short)? };
                        if parts.buffer.len() + more.len() > MAX_MESSAGE {
                            parts.overflow = true;
                        } else if !parts.overflow {
                            parts.buffer.extend_from_slice(more);
                        }
                        if last != b'F' {
                            return Ok(());
                        }
                        let Parts { buffer, overflow } = std::mem::take(parts);
                        if overflow {
                            return Ok(());
                        }
                        self.message(from, channel, None, buffer.len(), Reader::new(&buffer), out)
                    }
                }
            }
        }
    }

    /// A whole message from its sequence header on.
    fn message(
        &mut self,
        from: Side,
        channel: u32,
        certificate: Option<usize>,
        size: usize,
        mut reader: Reader<'_>,
        out: &mut Emit<'_>,
    ) -> Result<(), Short> {
        let sequence = reader.le32()?;
        let request = reader.le32()?;
        let code = node_id(&mut reader).ok().and_then(|node| node.standard());
        let Some((code, (name, kind))) = code.and_then(|code| Some((code, names::service(code)?))) else {
            let plain = self.policy.as_deref() == Some("None");
            if out.wants_messages() {
                let message = Message {
                    channel,
                    security_policy: self.policy.as_deref(),
                    sender_certificate_length: certificate,
                    sequence: plain.then_some(sequence),
                    request: plain.then_some(request),
                    service: None,
                    service_code: code.filter(|_| plain),
                    size,
                    body: Body::default(),
                };
                out.message(from, if plain { "unknown" } else { "encrypted" }, &message);
            }
            return Ok(());
        };
        let asks = names::is_request(code);
        let answered = self.pending.iter().position(|old| old.request == request && old.asker != from);
        let answered = answered.filter(|_| !asks).map(|at| self.pending.remove(at));
        let tells = matches!(code, 431 | 461 | 464) || kind.is_some() && asks || answered.is_some();
        if !out.wants_messages() && !tells {
            return Ok(());
        }
        let mut body = Body::default();
        let read = service::read(code, asks, &mut reader, &mut body);
        if let Some(kind) = kind.filter(|_| asks) {
            self.asked(from, request, code, kind, name, &mut body, out);
        }
        if let Some(client) = &body.client {
            describe(from, client, out);
        }
        if let Some(old) = answered {
            answer(from, old, code, &body, out);
        }
        if !asks && body.status_code.is_some_and(is_good) {
            told(from, code, &body, out);
        }
        if out.wants_messages() {
            let message = Message {
                channel,
                security_policy: self.policy.as_deref(),
                sender_certificate_length: certificate,
                sequence: Some(sequence),
                request: Some(request),
                service: Some(name),
                service_code: Some(code),
                size,
                body,
            };
            out.message(from, if asks { "request" } else { "response" }, &message);
        }
        read
    }

    /// Remembers what is asked until it is answered.
    #[allow(clippy::too_many_arguments, reason = "each is one field of what is remembered")]
    fn asked(
        &mut self,
        asker: Side,
        request: u32,
        service: u32,
        kind: OperationKind,
        name: &'static str,
        body: &mut Body,
        out: &mut Emit<'_>,
    ) {
        let target = match service {
            467 => body.user_token.map(Into::into),
            422 | 428 => body.endpoint_url.as_deref().map(Into::into),
            _ => nodes(body),
        };
        let standard = if service == 631 { std::mem::take(&mut body.standard) } else { Vec::new() };
        let identifies = standard.iter().any(|(_, node)| is_identity(*node));
        let kind = if identifies { OperationKind::Identify } else { kind };
        let poll = matches!(kind, OperationKind::Read | OperationKind::Discover | OperationKind::Identify);
        let silent = poll && {
            let digest = super::text::digest(target.as_deref().unwrap_or_default().as_bytes());
            !self.recent.is_new(&[service.into(), digest.into()])
        };
        if silent && !identifies {
            return;
        }
        let value = match (service, body.values.as_slice()) {
            (673, [single]) => Some(single.clone()),
            (673, [_, ..]) => Some(Value::List(body.values.clone())),
            _ => None,
        };
        if self.pending.len() >= MAX_PENDING {
            tell(self.pending.remove(0), Outcome::Asked, out);
        }
        begin(
            &mut self.pending,
            Pending { asked: out.now(), asker, request, kind, name, target, value, silent, standard },
        );
    }
}

/// A request got its answer: how it ended, and what the server says about itself.
fn answer(from: Side, old: Pending, service: u32, body: &Body, out: &mut Emit<'_>) {
    let results_bad = matches!(service, 676 | 715) && body.results.iter().any(|code| !is_good(*code));
    let good = body.status_code.is_some_and(is_good) && service != 397 && !results_bad;
    if good && service == 634 {
        for (place, node) in &old.standard {
            let Some(Value::Text(value)) = body.values.get(*place) else { continue };
            if let Some((attribute, source)) = identity(*node) {
                out.fact(from, attribute, value, source, Confidence::CERTAIN);
            }
        }
    }
    if good && old.kind == OperationKind::Subscribe {
        out.role(old.asker, Role::Hmi, "opcua.subscription", Confidence::LIKELY);
    }
    tell(old, if good { Outcome::Done } else { Outcome::Refused }, out);
}

/// What the server's own answers tell about both applications.
fn told(from: Side, service: u32, body: &Body, out: &mut Emit<'_>) {
    if !matches!(service, 431 | 464) {
        return;
    }
    out.role(from, Role::Server, "opcua.server", Confidence::LIKELY);
    for endpoint in &body.endpoints {
        // A discovery server also tells where others are reached.
        if endpoint.server.kind != "discovery-server" {
            describe(from, &endpoint.server, out);
        }
        if let Some(name) = endpoint.url.as_deref().and_then(host) {
            hostname::tell(out.host(from), name, "opcua.endpoint-url", Confidence::LIKELY, out);
        }
    }
}

/// Names and identifiers of an application.
fn describe(side: Side, application: &Application, out: &mut Emit<'_>) {
    if let Some(name) = &application.name {
        out.fact(side, Attribute::Software, name, "opcua.application-name", Confidence::STRONG);
    }
    if let Some(uri) = &application.product_uri {
        out.fact(side, Attribute::Software, uri, "opcua.product-uri", Confidence::LIKELY);
    }
    // What was never given a name has this one in a widespread implementation.
    if let Some(uri) = application.uri.as_ref().filter(|uri| *uri != "urn:unconfigured:application") {
        out.fact(side, Attribute::Identifier, uri, "opcua.application-uri", Confidence::STRONG);
    }
}

/// The name of the host in `opc.tcp://host:port/path`, where it is a name.
fn host(url: &str) -> Option<&str> {
    let place = url.strip_prefix("opc.tcp://")?.split('/').next()?;
    if place.starts_with('[') {
        return None;
    }
    let name = place.split(':').next().filter(|name| !name.is_empty())?;
    name.parse::<IpAddr>().is_err().then_some(name)
}

const fn is_good(status: u32) -> bool {
    status & 0x8000_0000 == 0
}

/// What the nodes below `BuildInfo` of a server say (Part 5, 12.4; their numbers: Part 6, annex A).
const fn identity(node: u32) -> Option<(Attribute, &'static str)> {
    Some(match node {
        2_261 => (Attribute::Model, "opcua.product-name"),
        2_262 => (Attribute::Software, "opcua.product-uri"),
        2_263 => (Attribute::Vendor, "opcua.manufacturer-name"),
        2_264 => (Attribute::Firmware, "opcua.software-version"),
        _ => return None,
    })
}

/// Whether a node tells what the server is: `BuildInfo` or one of its parts.
const fn is_identity(node: u32) -> bool {
    node == 2_260 || identity(node).is_some()
}

/// Some of the nodes of a request, as text.
fn nodes(body: &Body) -> Option<Box<str>> {
    let named = body.nodes.get(..MAX_NAMED).unwrap_or(&body.nodes);
    let more = (body.node_count.unwrap_or(0) as usize).saturating_sub(named.len());
    let mut target = named.join(", ");
    if more > 0 && !named.is_empty() {
        target.push_str(&format!(" and {more} more"));
    }
    (!target.is_empty()).then(|| target.into())
}

/// What opens, accepts or refuses a connection (Part 6, 7.1.2.3 to 7.1.2.6).
fn connection(from: Side, kind: Kind, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    let mut message = Connection::default();
    if matches!(kind, Kind::Hello | Kind::Acknowledge) {
        message.version = Some(reader.le32()?);
        message.receive_buffer_size = Some(reader.le32()?);
        message.send_buffer_size = Some(reader.le32()?);
        message.max_message_size = Some(reader.le32()?);
        message.max_chunk_count = Some(reader.le32()?);
    }
    let name = match kind {
        Kind::Hello => {
            message.endpoint_url = string(reader)?;
            "hello"
        }
        Kind::Acknowledge => {
            out.role(from, Role::Server, "opcua.server", Confidence::LIKELY);
            "acknowledge"
        }
        Kind::ReverseHello => {
            message.server_uri = string(reader)?;
            message.endpoint_url = string(reader)?;
            if let Some(uri) = &message.server_uri {
                out.fact(from, Attribute::Identifier, uri, "opcua.server-uri", Confidence::STRONG);
            }
            "reverse-hello"
        }
        _ => {
            let code = reader.le32()?;
            message.error_code = Some(code);
            message.error = names::status(code);
            message.reason = bytes(reader)?.and_then(text);
            "error"
        }
    };
    out.message(from, name, &message);
    Ok(())
}

#[cfg(test)]
mod tests;
