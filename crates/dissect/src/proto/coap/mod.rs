//! Constrained Application Protocol, over UDP (RFC 7252) and TCP (RFC 8323), with observation
//! (RFC 7641) and block-wise transfer (RFC 7959).
//!
//! Requests and responses are matched by token. What a device says of its resources in the link format
//! (RFC 6690), and of itself in the device object of LwM2M, becomes evidence.

mod message;

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Transport};
use serde::Serialize;

use self::message::{Block, Message, Type, frame};
use super::text::{MAX_VALUE, clean, find, has};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// CoAP.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "coap",
    name: "Constrained Application Protocol",
    spec: "RFC 7252",
    carriers: &[Carrier::Udp(&[5683, 5685, 61_616]), Carrier::Tcp(&[5683])],
    probe,
    start: || Box::new(Coap::default()),
};

/// Requests that wait for their response; older ones are forgotten.
const MAX_WAITING: usize = 32;

/// Bytes of a message over TCP that are looked at; longer ones are skipped.
const MAX_MESSAGE: usize = 64 * 1024;

/// Resource types of one list that are told.
const MAX_RESOURCE_TYPES: usize = 8;

/// A request for a named resource, all of whose options are known and well formed, tells CoAP on any
/// port; other well-formed messages only on its own.
fn probe(opening: &Opening<'_>) -> Verdict {
    let message = if opening.stream {
        let Some(frame) = frame(opening.bytes) else {
            return if opening.bytes.len() < 8 { Verdict::More } else { Verdict::No };
        };
        // RFC 8323 clause 5.3: each side begins with its capabilities and settings.
        if frame.code != message::CSM || frame.length > 64 {
            return Verdict::No;
        }
        match opening.bytes.get(frame.start..frame.start + frame.length) {
            None => return Verdict::More,
            Some(body) => Message::over_tcp(&frame, body),
        }
    } else {
        Message::over_udp(opening.bytes)
    };
    match message {
        Some(message) if message.code == message::CSM => {
            if opening.stream && message.payload.is_empty() {
                Verdict::Maybe
            } else {
                Verdict::No
            }
        }
        Some(message) if message.is_assigned() => {
            let path_length: usize = message.path.iter().map(|segment| segment.len()).sum();
            let sure = message.is_request() && path_length >= 2 && message.is_strict();
            if sure { Verdict::Yes } else { Verdict::Maybe }
        }
        _ => Verdict::No,
    }
}

/// A message, as it is told.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    #[serde(rename = "type")]
    kind: Option<Type>,
    code: &'a str,
    message_id: Option<u16>,
    token: Option<&'a str>,
    /// Method of the request that this answers.
    method: Option<&'static str>,
    uri_host: Option<&'a str>,
    uri_path: Option<&'a str>,
    uri_query: Option<&'a str>,
    content_format: Option<u32>,
    accept: Option<u32>,
    observe: Option<u32>,
    block1: Option<Block>,
    block2: Option<Block>,
    size1: Option<u32>,
    size2: Option<u32>,
    payload_length: usize,
}

#[derive(Debug)]
struct Exchange {
    from: Side,
    token: [u8; 8],
    token_length: usize,
    message_id: Option<u16>,
    method: &'static str,
    kind: OperationKind,
    path: Box<str>,
    /// Whether the answer is to be told as an operation: later blocks and notifications are not.
    tell: bool,
}

/// Reads one conversation.
#[derive(Debug, Default)]
struct Coap {
    waiting: VecDeque<Exchange>,
}

impl Parser for Coap {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        if out.flow().transport != Transport::Tcp {
            match Message::over_udp(input.bytes) {
                Some(message) => self.message(&message, input.from, out),
                None if input.cut > 0 => {}
                None => out.anomaly(input.from, "malformed", format_args!("{} bytes", input.bytes.len())),
            }
            return Progress::Took(input.bytes.len());
        }
        let mut at = 0_usize;
        while at < input.bytes.len() {
            let bytes = &input.bytes[at..];
            let Some(frame) = frame(bytes) else { break };
            if frame.token_length > 8 {
                return Progress::Lost("token-length");
            }
            let whole = frame.start.saturating_add(frame.length);
            if frame.length <= MAX_MESSAGE {
                let Some(body) = bytes.get(frame.start..whole) else { break };
                match Message::over_tcp(&frame, body) {
                    Some(message) => self.message(&message, input.from, out),
                    None => return Progress::Lost("malformed"),
                }
            }
            at = at.saturating_add(whole);
        }
        Progress::Took(at)
    }

    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        // Nothing marks where the next message begins.
        false
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        while let Some(exchange) = self.waiting.pop_front() {
            exchange.end(Outcome::Asked, out);
        }
    }
}

impl Exchange {
    fn end(&self, outcome: Outcome, out: &mut Emit<'_>) {
        if self.tell {
            let name = self.method.to_ascii_lowercase();
            out.operation(self.from, self.kind, name, Some(self.path.clone()), None, outcome);
        }
    }

    fn is_for(&self, message: &Message<'_>, from: Side) -> bool {
        self.from == from && self.token[..self.token_length] == *message.token
    }
}

impl Coap {
    fn message(&mut self, message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
        if message.is_request() {
            self.request(message, from, out);
        } else if message.is_response() {
            self.response(message, from, out);
        } else {
            // Empty messages acknowledge, reset or ping; signals manage a connection (RFC 8323 clause 5).
            if message.kind == Some(Type::Reset) {
                let reset = |exchange: &Exchange| {
                    exchange.from == from.other() && exchange.message_id == message.message_id
                };
                if let Some(place) = self.waiting.iter().position(reset)
                    && let Some(exchange) = self.waiting.remove(place)
                {
                    exchange.end(Outcome::Refused, out);
                }
            }
            tell(message, "signal", None, None, from, out);
        }
    }

    fn request(&mut self, message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
        let path = message.uri_path();
        if message.path.first() == Some(&&b"rd"[..]) && message.code == message::POST {
            // Registration with a resource directory or LwM2M server (RFC 9176 clause 5).
            for query in &message.query {
                if let Some(name) = query.strip_prefix(b"ep=") {
                    out.fact(
                        from,
                        Attribute::Identifier,
                        clean(name, MAX_VALUE),
                        "coap.ep",
                        Confidence::LIKELY,
                    );
                }
            }
            if find(message.payload, "oma.lwm2m").is_some() {
                out.fact(from, Attribute::Software, "LwM2M client", "coap.registration", Confidence::LIKELY);
            }
        }
        let method = message.method();
        let again =
            |exchange: &Exchange| exchange.is_for(message, from) && exchange.message_id == message.message_id;
        let repeated = self.waiting.iter().any(again);
        if !repeated {
            let kind = match message.code {
                message::GET if path == "/.well-known/core" => OperationKind::Discover,
                // RFC 7641 clause 2: 0 registers.
                message::GET | message::FETCH if message.observe == Some(0) => OperationKind::Subscribe,
                message::GET | message::FETCH => OperationKind::Read,
                message::POST => OperationKind::Execute,
                _ => OperationKind::Write,
            };
            let block = if kind == OperationKind::Read { message.block2 } else { message.block1 };
            let mut token = [0; 8];
            token[..message.token.len()].copy_from_slice(message.token);
            if self.waiting.len() >= MAX_WAITING
                && let Some(oldest) = self.waiting.pop_front()
            {
                oldest.end(Outcome::Asked, out);
            }
            self.waiting.push_back(Exchange {
                from,
                token,
                token_length: message.token.len(),
                message_id: message.message_id,
                method,
                kind,
                path: path.as_str().into(),
                tell: block.is_none_or(|block| block.number == 0),
            });
        }
        tell(message, "request", None, Some(&path), from, out);
    }

    fn response(&mut self, message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
        let place = self.waiting.iter().position(|exchange| exchange.is_for(message, from.other()));
        let success = message.code >> 5 == 2;
        let path = place.and_then(|place| self.waiting.get(place)).map(|exchange| exchange.path.clone());
        let method = place.and_then(|place| self.waiting.get(place)).map(|exchange| exchange.method);
        if let Some(place) = place {
            let goes_on = message.observe.is_some() && success;
            if let Some(exchange) = self.waiting.get_mut(place) {
                exchange.end(if success { Outcome::Done } else { Outcome::Refused }, out);
                exchange.tell = false;
            }
            if !goes_on {
                self.waiting.remove(place);
            }
        }
        const LINK_FORMAT: u32 = 40;
        if success
            && message.content_format == Some(LINK_FORMAT)
            && path.as_deref() == Some("/.well-known/core")
        {
            resources(message.payload, from, out);
        }
        if let (true, Some(path)) = (success, &path) {
            device_object(path, message, from, out);
        }
        tell(message, "response", method, path.as_deref(), from, out);
    }
}

fn tell(
    message: &Message<'_>,
    name: &'static str,
    method: Option<&'static str>,
    path: Option<&str>,
    from: Side,
    out: &mut Emit<'_>,
) {
    if !out.wants_messages() {
        return;
    }
    let token: String = message.token.iter().map(|byte| format!("{byte:02x}")).collect();
    let query = message.uri_query();
    out.message(
        from,
        name,
        &Report {
            kind: message.kind,
            code: &message.code_name(),
            message_id: message.message_id,
            token: Some(&*token).filter(|token| !token.is_empty()),
            method,
            uri_host: message.host.map(|host| clean(host, MAX_VALUE)).as_deref(),
            uri_path: path,
            uri_query: Some(&*query).filter(|query| !query.is_empty()),
            content_format: message.content_format,
            accept: message.accept,
            observe: message.observe,
            block1: message.block1,
            block2: message.block2,
            size1: message.size1,
            size2: message.size2,
            payload_length: message.payload.len(),
        },
    );
}

/// Tells the resource types in a list of links (RFC 6690 clause 3.1): `</light>;rt="oic.r.switch"`.
fn resources(links: &[u8], from: Side, out: &mut Emit<'_>) {
    let mut rest = links;
    for _ in 0..MAX_RESOURCE_TYPES {
        let Some(at) = find(rest, ";rt=") else { return };
        rest = &rest[at + 4..];
        let value = match rest.strip_prefix(b"\"") {
            Some(quoted) => &quoted[..quoted.iter().position(|byte| *byte == b'"').unwrap_or(quoted.len())],
            None => &rest[..rest.iter().position(|byte| b";,".contains(byte)).unwrap_or(rest.len())],
        };
        for kind in value.split(|byte| *byte == b' ').take(MAX_RESOURCE_TYPES) {
            // The directory and its own parts say nothing of the device (RFC 9176 clause 9).
            if kind.is_empty() || kind.starts_with(b"core.") {
                continue;
            }
            out.fact(from, Attribute::Type, clean(kind, 64), "coap.resource-type", Confidence::HINT);
            // Device types of the Open Connectivity Foundation.
            if kind.starts_with(b"oic.d.") {
                out.role(from, Role::SmartDevice, "coap.resource-type", Confidence::LIKELY);
            }
        }
    }
}

/// Tells what a device answers about itself in the LwM2M device object, `/3/0/…` (OMA LwM2M 1.2
/// appendix E.4), in plain text.
fn device_object(path: &str, message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
    const PLAIN: u32 = 0;
    let attribute = match path {
        "/3/0/0" => Attribute::Vendor,
        "/3/0/1" => Attribute::Model,
        "/3/0/2" => Attribute::Serial,
        "/3/0/3" => Attribute::Firmware,
        "/3/0/17" => Attribute::Type,
        "/3/0/18" => Attribute::Hardware,
        "/3/0/19" => Attribute::Software,
        _ => return,
    };
    let is_text = !message.payload.is_empty() && !has(message.payload, "\0");
    if message.content_format.is_none_or(|format| format == PLAIN) && is_text {
        out.fact(from, attribute, clean(message.payload, MAX_VALUE), "lwm2m.device", Confidence::CERTAIN);
    }
}

#[cfg(test)]
mod tests;
