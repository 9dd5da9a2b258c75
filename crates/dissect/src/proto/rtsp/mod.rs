//! Real-Time Streaming Protocol 1.0 and 2.0 (RFC 2326, RFC 7826), by which cameras are viewed.
//!
//! Requests and responses are matched by their sequence numbers. Media that is interleaved with them is
//! skipped. Of credentials only the scheme is told.

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use super::text::{self, Found, Head, HeadScan, MAX_VALUE, clean, has, is, locator};
use super::{
    Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict, default_credentials, product,
};

/// RTSP.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "rtsp",
    name: "Real-Time Streaming Protocol",
    spec: "RFC 2326, RFC 7826",
    carriers: &[Carrier::Tcp(&[554, 8554, 7070, 10_554])],
    probe,
    start: || Box::new(Rtsp::default()),
};

/// Requests that wait for their response; older ones are forgotten.
const MAX_WAITING: usize = 16;

/// Bytes of a session description that are looked at; the rest is skipped.
const MAX_DESCRIPTION: usize = 16 * 1024;

/// Media of a session description that are told.
const MAX_MEDIA: usize = 8;

/// Methods (RFC 2326 clause 10, RFC 7826 clause 13).
const METHODS: &[&str] = &[
    "OPTIONS",
    "DESCRIBE",
    "SETUP",
    "PLAY",
    "PAUSE",
    "TEARDOWN",
    "ANNOUNCE",
    "RECORD",
    "GET_PARAMETER",
    "SET_PARAMETER",
    "REDIRECT",
    "PLAY_NOTIFY",
];

/// A request line or a status line with its version tells RTSP on any port.
fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    const STATUS: &[u8] = b"RTSP/";
    if !opening.stream || bytes.is_empty() {
        return Verdict::No;
    }
    if bytes.starts_with(STATUS) {
        return match bytes.get(STATUS.len()..STATUS.len() + 4) {
            None => Verdict::More,
            Some([b'1' | b'2', b'.', b'0', b' ']) => Verdict::Yes,
            Some(_) => Verdict::No,
        };
    }
    if STATUS.starts_with(bytes) {
        return Verdict::More;
    }
    let head = &bytes[..bytes.len().min(text::MAX_HEAD)];
    let known = METHODS.iter().any(|method| {
        let common = method.len().min(head.len());
        method.as_bytes()[..common] == head[..common]
            && head.get(method.len()).is_none_or(|byte| *byte == b' ')
    });
    match text::line(head) {
        _ if !known => Verdict::No,
        None if head.len() < text::MAX_HEAD => Verdict::More,
        Some((line, _)) if request_line(line).is_some() => Verdict::Yes,
        _ => Verdict::No,
    }
}

/// `Method SP Request-URI SP RTSP-Version` (RFC 2326 clause 6.1).
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let fits = text::is_token(method)
        && method.len() <= 24
        && matches!(version, b"RTSP/1.0" | b"RTSP/2.0")
        && words.next().is_none();
    fits.then_some((method, target))
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Request<'a> {
    method: &'a str,
    url: &'a str,
    cseq: Option<u32>,
    user_agent: Option<&'a str>,
    /// The scheme of the `Authorization` field.
    authorization: Option<&'static str>,
    transport: Option<&'a str>,
    content_type: Option<&'a str>,
    content_length: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Response<'a> {
    status: u16,
    cseq: Option<u32>,
    method: Option<&'a str>,
    url: Option<&'a str>,
    server: Option<&'a str>,
    /// Methods that the server offers.
    public: Option<&'a str>,
    /// The scheme of the challenge.
    authenticate: Option<&'static str>,
    realm: Option<&'a str>,
    content_type: Option<&'a str>,
    content_length: Option<u64>,
    /// Media of the session description: kind and encoding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    media: Vec<String>,
}

#[derive(Debug)]
struct Exchange {
    cseq: Option<u32>,
    method: Box<str>,
    url: Box<str>,
    scheme: Option<&'static str>,
    /// The account, if the login is a default credential.
    default_account: Option<default_credentials::Known>,
}

/// Reads one connection.
#[derive(Debug, Default)]
struct Rtsp {
    scans: [HeadScan; 2],
    /// Bytes were lost: the next message is looked for at the beginning of a segment.
    adrift: [bool; 2],
    waiting: VecDeque<Exchange>,
    logged_in: bool,
    told: [u32; 2],
}

impl Parser for Rtsp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut at = 0_usize;
        while at < input.bytes.len() {
            let bytes = &input.bytes[at..];
            let side = input.from.index();
            if std::mem::take(&mut self.adrift[side]) && !begins_message(bytes) {
                self.adrift[side] = true;
                return Progress::Took(input.bytes.len());
            }
            match bytes {
                // Interleaved media: `$`, channel, length (RFC 2326 clause 10.12).
                [b'$', _, high, low, ..] => {
                    at = at.saturating_add(4 + usize::from(u16::from_be_bytes([*high, *low])));
                    continue;
                }
                [b'$', ..] => break,
                [b'\r' | b'\n', ..] => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match self.scans[side].find(bytes) {
                Found::Whole(head) => match self.message(&head, bytes, input.from, out) {
                    Ok(Some(taken)) => at = at.saturating_add(taken),
                    Ok(None) => break,
                    Err(reason) => return Progress::Lost(reason),
                },
                Found::More if begins_message(bytes) => break,
                Found::More => return Progress::Lost("start-line"),
                Found::TooLong => return Progress::Lost("head-too-long"),
            }
        }
        Progress::Took(at)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.scans[from.index()].reset();
        self.adrift[from.index()] = true;
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        while let Some(exchange) = self.waiting.pop_front() {
            self.tell_operation(&exchange, Side::Client, Outcome::Asked, out);
        }
    }
}

/// Whether bytes can be the beginning of a message or of interleaved media.
fn begins_message(bytes: &[u8]) -> bool {
    let word = &bytes[..bytes.iter().take(24).position(|byte| *byte == b' ').unwrap_or(bytes.len().min(24))];
    bytes.starts_with(b"$")
        || word.starts_with(b"RTSP/")
        || b"RTSP/".starts_with(word)
        || METHODS.iter().any(|method| method.as_bytes().starts_with(word))
}

impl Rtsp {
    /// Reads one message; how many bytes it takes, or nothing if its body is wanted and not there yet.
    fn message(
        &mut self,
        head: &Head<'_>,
        bytes: &[u8],
        from: Side,
        out: &mut Emit<'_>,
    ) -> Result<Option<usize>, &'static str> {
        let length = head.get("content-length").and_then(text::number).unwrap_or(0);
        let body_length = usize::try_from(length).unwrap_or(usize::MAX);
        let whole = head.length.saturating_add(body_length);
        let is_description = head.get("content-type").is_some_and(|kind| has(kind, "application/sdp"));
        let wanted = if is_description { body_length.min(MAX_DESCRIPTION) } else { 0 };
        let Some(body) = bytes[head.length..].get(..wanted) else { return Ok(None) };
        if head.start.starts_with(b"RTSP/") {
            self.response(head, body, length, from, out)?;
        } else {
            self.request(head, length, from, out)?;
        }
        Ok(Some(whole))
    }

    fn request(
        &mut self,
        head: &Head<'_>,
        length: u64,
        from: Side,
        out: &mut Emit<'_>,
    ) -> Result<(), &'static str> {
        let (method, target) = request_line(head.start).ok_or("start-line")?;
        let (method, url) = (clean(method, 24), locator(target));
        let cseq = cseq(head);
        let scheme = head.get("authorization").map(text::scheme);
        if let Some(agent) = head.get("user-agent")
            && self.is_new(agent, from)
        {
            product::agent(agent, from, "rtsp.user-agent", out);
        }
        if out.wants_messages() {
            let text = |name| head.get(name).map(|value| clean(value, MAX_VALUE));
            out.message(
                from,
                "request",
                &Request {
                    method: &method,
                    url: &url,
                    cseq,
                    user_agent: text("user-agent").as_deref(),
                    authorization: scheme,
                    transport: text("transport").as_deref(),
                    content_type: text("content-type").as_deref(),
                    content_length: Some(length).filter(|length| *length > 0),
                },
            );
        }
        if self.waiting.len() >= MAX_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.tell_operation(&oldest, from, Outcome::Asked, out);
        }
        let default_account = head.get("authorization").and_then(default_credentials::basic);
        let (method, url) = (method.into(), url.into());
        self.waiting.push_back(Exchange { cseq, method, url, scheme, default_account });
        Ok(())
    }

    fn response(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        length: u64,
        from: Side,
        out: &mut Emit<'_>,
    ) -> Result<(), &'static str> {
        // Status-Line = RTSP-Version SP Status-Code SP Reason-Phrase (RFC 2326 clause 7.1).
        let status = head.start.split(|byte| *byte == b' ').nth(1).and_then(text::number);
        let status = status.and_then(|status| u16::try_from(status).ok()).ok_or("status-line")?;
        let cseq = cseq(head);
        // RFC 2326 clause 12.17: the response carries the number of its request.
        let exchange = if status == 100 {
            None
        } else {
            let place = self.waiting.iter().position(|exchange| exchange.cseq == cseq);
            place.and_then(|place| self.waiting.remove(place))
        };
        if let Some(server) = head.get("server")
            && self.is_new(server, from)
        {
            product::server(server, from, "rtsp.server", out);
        }
        let challenge = head.get("www-authenticate");
        if let Some(realm) = challenge.and_then(text::realm) {
            out.fact(from, Attribute::Label, clean(realm, MAX_VALUE), "rtsp.realm", Confidence::HINT);
            product::maker(realm, from, "rtsp.realm", out);
        }
        let media = description(body);
        let described = exchange.as_ref().is_some_and(|exchange| &*exchange.method == "DESCRIBE");
        // Players can serve streams too.
        let player = head.get("server").is_some_and(|server| has(server, "vlc") || has(server, "gstreamer"));
        if described && status == 200 && !player && media.iter().any(|media| media.starts_with("video")) {
            out.role(from, Role::Camera, "rtsp.describe", Confidence::LIKELY);
        }
        if let Some(exchange) = &exchange {
            let outcome = if (200..300).contains(&status) { Outcome::Done } else { Outcome::Refused };
            self.tell_operation(exchange, from.other(), outcome, out);
            // Whoever may see the pictures without a login may see them.
            if exchange.scheme.is_none() && &*exchange.method == "PLAY" && outcome == Outcome::Done {
                out.weakness(from, "no-authentication", "pictures are sent without a login");
            }
            if let Some(scheme) = exchange.scheme {
                let outcome =
                    if matches!(status, 401 | 403 | 407) { Outcome::Refused } else { Outcome::Done };
                if !(self.logged_in && outcome == Outcome::Done) {
                    let target = Some(exchange.url.clone());
                    out.operation(from.other(), OperationKind::Authenticate, scheme, target, None, outcome);
                    default_credentials::tell(exchange.default_account, outcome, out);
                }
                self.logged_in = outcome == Outcome::Done;
            }
        }
        if out.wants_messages() {
            let text = |name| head.get(name).map(|value| clean(value, MAX_VALUE));
            out.message(
                from,
                "response",
                &Response {
                    status,
                    cseq,
                    method: exchange.as_ref().map(|exchange| &*exchange.method),
                    url: exchange.as_ref().map(|exchange| &*exchange.url),
                    server: text("server").as_deref(),
                    public: text("public").as_deref(),
                    authenticate: challenge.map(text::scheme),
                    realm: challenge.and_then(text::realm).map(|realm| clean(realm, MAX_VALUE)).as_deref(),
                    content_type: text("content-type").as_deref(),
                    content_length: Some(length).filter(|length| *length > 0),
                    media,
                },
            );
        }
        Ok(())
    }

    /// Tells what was asked, where it is more than talk about the session.
    fn tell_operation(&self, exchange: &Exchange, from: Side, outcome: Outcome, out: &mut Emit<'_>) {
        let kind = match &*exchange.method {
            "DESCRIBE" => OperationKind::Read,
            "PLAY" => OperationKind::Subscribe,
            "RECORD" => OperationKind::Publish,
            _ => return,
        };
        let name = exchange.method.to_ascii_lowercase();
        out.operation(from, kind, name, Some(exchange.url.clone()), None, outcome);
    }

    fn is_new(&mut self, text: &[u8], from: Side) -> bool {
        let digest = text::digest(text);
        std::mem::replace(&mut self.told[from.index()], digest) != digest
    }
}

fn cseq(head: &Head<'_>) -> Option<u32> {
    head.get("cseq").and_then(text::number).and_then(|number| u32::try_from(number).ok())
}

/// The media of a session description (RFC 8866 clause 5.14), each with its encoding where an `rtpmap`
/// attribute follows (clause 6.6): `video H264/90000`.
fn description(body: &[u8]) -> Vec<String> {
    let mut media: Vec<String> = Vec::new();
    for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(rest) = line.strip_prefix(b"m=") {
            if media.len() >= MAX_MEDIA {
                break;
            }
            let kind = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            media.push(clean(kind, 32).into_owned());
        } else if line.len() > 9 && is(&line[..9], "a=rtpmap:") {
            let encoding = line[9..].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            if let Some(last) = media.last_mut().filter(|last| !last.contains(' ') && !encoding.is_empty()) {
                last.push(' ');
                last.push_str(&clean(encoding, 32));
            }
        }
    }
    media
}

#[cfg(test)]
mod tests;
