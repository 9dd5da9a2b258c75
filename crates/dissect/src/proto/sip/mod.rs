//! Session Initiation Protocol (RFC 3261), over UDP and TCP: who registers, who calls, with what.
//!
//! Users' names and numbers are not told, nor credentials: of addresses only the host.

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Transport};
use serde::Serialize;

use super::text::{self, Found, Head, HeadScan, MAX_VALUE, clean, has, is};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict, product};

/// SIP.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "sip",
    name: "Session Initiation Protocol",
    spec: "RFC 3261",
    carriers: &[Carrier::Udp(&[5060, 5080]), Carrier::Tcp(&[5060, 5080])],
    probe,
    start: || Box::new(Sip::default()),
};

/// Transactions that wait for their final response; older ones are forgotten.
const MAX_WAITING: usize = 16;

/// Methods (RFC 3261 and its extensions; IANA SIP Methods).
const METHODS: &[&str] = &[
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "REGISTER",
    "OPTIONS",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "REFER",
    "MESSAGE",
    "UPDATE",
];

/// A request line or a status line with its version tells SIP on any port.
fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    let head = &bytes[..bytes.len().min(text::MAX_HEAD)];
    let Some((line, _)) = text::line(head) else {
        let word = head.split(|byte| *byte == b' ').next().unwrap_or_default();
        let begins = |known: &str| known.as_bytes().starts_with(word);
        let more = opening.stream && !word.is_empty() && head.len() < text::MAX_HEAD;
        return if more && (begins("SIP/2.0") || METHODS.iter().any(|method| begins(method))) {
            Verdict::More
        } else {
            Verdict::No
        };
    };
    let fits = line.starts_with(b"SIP/2.0 ") && line.get(8..11).and_then(text::number).is_some();
    if fits || request_line(line).is_some() { Verdict::Yes } else { Verdict::No }
}

/// `Method SP Request-URI SP SIP-Version` (RFC 3261 clause 7.1).
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    let fits =
        text::is_token(method) && method.len() <= 24 && version == b"SIP/2.0" && words.next().is_none();
    fits.then_some((method, uri))
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Request<'a> {
    method: &'a str,
    /// The host of the address that is asked for.
    host: &'a str,
    cseq: Option<u32>,
    user_agent: Option<&'a str>,
    /// The scheme of the credentials.
    authorization: Option<&'static str>,
    content_type: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Response<'a> {
    status: u16,
    cseq: Option<u32>,
    method: Option<&'a str>,
    server: Option<&'a str>,
    /// The scheme of the challenge.
    authenticate: Option<&'static str>,
    content_type: Option<&'a str>,
}

#[derive(Debug)]
struct Transaction {
    from: Side,
    cseq: u32,
    method: Box<str>,
    host: Box<str>,
    scheme: Option<&'static str>,
}

/// Reads one conversation.
#[derive(Debug, Default)]
struct Sip {
    scans: [HeadScan; 2],
    waiting: VecDeque<Transaction>,
    told: [u32; 2],
}

impl Parser for Sip {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        if out.flow().transport != Transport::Tcp {
            // Keep-alives are empty lines or zeros (RFC 5626 clause 3.5).
            if let Some(head) = Head::whole(input.bytes) {
                self.message(&head, input.from, out);
            }
            return Progress::Took(input.bytes.len());
        }
        let mut at = 0_usize;
        while at < input.bytes.len() {
            let bytes = &input.bytes[at..];
            if matches!(bytes[0], b'\r' | b'\n') {
                at += 1;
                continue;
            }
            match self.scans[input.from.index()].find(bytes) {
                Found::Whole(head) => {
                    if !self.message(&head, input.from, out) {
                        return Progress::Lost("start-line");
                    }
                    // RFC 3261 clause 18.3: over streams the length is given.
                    let body = field(&head, "content-length", "l").and_then(text::number).unwrap_or(0);
                    let body = usize::try_from(body).unwrap_or(usize::MAX);
                    at = at.saturating_add(head.length).saturating_add(body);
                }
                Found::More => break,
                Found::TooLong => return Progress::Lost("head-too-long"),
            }
        }
        Progress::Took(at)
    }

    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        false
    }
}

/// A header field by its name or its short form (RFC 3261 clause 7.3.3).
fn field<'a>(head: &Head<'a>, name: &str, short: &str) -> Option<&'a [u8]> {
    head.fields().find(|(known, _)| is(known, name) || is(known, short)).map(|(_, value)| value)
}

/// `CSeq: number method` (RFC 3261 clause 20.16).
fn cseq(head: &Head<'_>) -> Option<u32> {
    let value = head.get("cseq")?;
    let number = text::number(value.split(|byte| *byte == b' ').next()?)?;
    u32::try_from(number).ok()
}

/// The host of an address: `sip:user@host:port;parameters` (RFC 3261 clause 19.1).
fn host(uri: &[u8]) -> &[u8] {
    let rest = uri.iter().position(|byte| *byte == b':').map_or(uri, |at| &uri[at + 1..]);
    let rest = text::without_user(rest);
    &rest[..rest.iter().position(|byte| b";?>".contains(byte)).unwrap_or(rest.len())]
}

impl Sip {
    /// Reads a head; whether it is one.
    fn message(&mut self, head: &Head<'_>, from: Side, out: &mut Emit<'_>) -> bool {
        if let Some(rest) = head.start.strip_prefix(b"SIP/2.0 ") {
            let Some(status) = rest.get(..3).and_then(text::number) else { return false };
            self.response(head, status as u16, from, out);
            return true;
        }
        let Some((method, uri)) = request_line(head.start) else { return false };
        self.request(head, method, uri, from, out);
        true
    }

    fn request(&mut self, head: &Head<'_>, method: &[u8], uri: &[u8], from: Side, out: &mut Emit<'_>) {
        let agent = head.get("user-agent");
        if let Some(agent) = agent {
            self.agent(agent, from, method == b"REGISTER", out);
        }
        let scheme = head.get("authorization").or_else(|| head.get("proxy-authorization")).map(text::scheme);
        let method = clean(method, 24);
        let host = clean(host(uri), MAX_VALUE);
        let cseq = cseq(head);
        if out.wants_messages() {
            out.message(
                from,
                "request",
                &Request {
                    method: &method,
                    host: &host,
                    cseq,
                    user_agent: agent.map(|agent| clean(agent, MAX_VALUE)).as_deref(),
                    authorization: scheme,
                    content_type: field(head, "content-type", "c")
                        .map(|kind| clean(kind, MAX_VALUE))
                        .as_deref(),
                },
            );
        }
        if let (Some(cseq), false) = (cseq, &*method == "ACK") {
            let again =
                |known: &Transaction| known.from == from && known.cseq == cseq && *known.method == *method;
            if !self.waiting.iter().any(again) {
                if self.waiting.len() >= MAX_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(Transaction {
                    from,
                    cseq,
                    method: method.into(),
                    host: host.into(),
                    scheme,
                });
            }
        }
    }

    fn response(&mut self, head: &Head<'_>, status: u16, from: Side, out: &mut Emit<'_>) {
        let server = head.get("server").or_else(|| head.get("user-agent"));
        if let Some(server) = server {
            self.agent(server, from, false, out);
        }
        let cseq = cseq(head);
        let method = head.get("cseq").and_then(|value| value.rsplit(|byte| *byte == b' ').next());
        let challenge = head.get("www-authenticate").or_else(|| head.get("proxy-authenticate"));
        if out.wants_messages() {
            out.message(
                from,
                "response",
                &Response {
                    status,
                    cseq,
                    method: method.map(|method| clean(method, 24)).as_deref(),
                    server: server.map(|server| clean(server, MAX_VALUE)).as_deref(),
                    authenticate: challenge.map(text::scheme),
                    content_type: field(head, "content-type", "c")
                        .map(|kind| clean(kind, MAX_VALUE))
                        .as_deref(),
                },
            );
        }
        // RFC 3261 clause 7.2: 1xx are provisional.
        if status < 200 {
            return;
        }
        let answered = |known: &Transaction| {
            known.from == from.other()
                && Some(known.cseq) == cseq
                && method.is_some_and(|method| is(method, &known.method))
        };
        let place = self.waiting.iter().position(answered);
        let Some(transaction) = place.and_then(|place| self.waiting.remove(place)) else { return };
        if let Some(scheme) = transaction.scheme {
            let outcome = if matches!(status, 401 | 403 | 407) { Outcome::Refused } else { Outcome::Done };
            let target = Some(transaction.host);
            out.operation(transaction.from, OperationKind::Authenticate, scheme, target, None, outcome);
        }
    }

    /// Tells what a user agent says of itself. One that registers is a telephone, unless it is a gateway
    /// or an exchange.
    fn agent(&mut self, text: &[u8], from: Side, registers: bool, out: &mut Emit<'_>) {
        let digest = text::digest(text);
        if std::mem::replace(&mut self.told[from.index()], digest) != digest {
            product::server(text, from, "sip.user-agent", out);
            let exchange = ["asterisk", "freepbx", "freeswitch", "kamailio", "opensips", "fpbx", "3cx"];
            if exchange.iter().any(|name| has(text, name)) {
                out.role(from, Role::Server, "sip.user-agent", Confidence::LIKELY);
            }
            // "Yealink SIP-T21P_E2 52.84.0.15": maker, model, firmware.
            let mut words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            if let (Some(b"Yealink" | b"snom" | b"Grandstream"), Some(model)) = (words.next(), words.next()) {
                out.fact(from, Attribute::Model, clean(model, 64), "sip.user-agent", Confidence::STRONG);
                if let Some(firmware) = words.next() {
                    out.fact(
                        from,
                        Attribute::Firmware,
                        clean(firmware, 64),
                        "sip.user-agent",
                        Confidence::STRONG,
                    );
                }
            }
        }
        if registers {
            out.role(from, Role::Phone, "sip.register", Confidence::LIKELY);
        }
    }
}

#[cfg(test)]
mod tests;
