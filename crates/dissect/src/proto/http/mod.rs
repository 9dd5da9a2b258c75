//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112).
//!
//! Requests and responses become messages, matched in order of the connection. Bodies are skipped, but
//! for their beginning where it may tell something: the title of a page, a UPnP device description, a
//! program, a login form. Credentials are never kept: of an `Authorization` field only the scheme is
//! told, of a cookie or a referrer nothing, and locators go through [`locator`].

mod body;
mod picture;

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side, Value};
use serde::Serialize;

use self::body::{MAX_DESCRIPTION, MAX_FORM, MAX_MAGIC, MAX_PAGE};
use self::picture::{LOCATED, MAX_EXIF, is_located};
use super::text::{self, Found, Head, HeadScan, MAX_VALUE, clean, has, is, locator};
use super::{
    Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict, default_credentials, product,
};

/// HTTP/1.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "http",
    name: "Hypertext Transfer Protocol",
    spec: "RFC 9112",
    carriers: &[Carrier::Tcp(&[
        80, 81, 88, 591, 2869, 5000, 5357, 5985, 7547, 8000, 8008, 8060, 8080, 8081, 8088, 8888, 37_215,
        49_152, 49_153, 49_154, 52_869,
    ])],
    probe,
    start: || Box::new(Http::default()),
};

/// Requests that wait for their response; older ones are forgotten.
const MAX_PIPELINE: usize = 64;

/// Bytes of a method's name.
const MAX_METHOD: usize = 24;

/// A response whose body has no declared length is reported when this much of it was seen, or when it
/// ended before.
const REPORT_AFTER: u64 = 64 * 1024;

/// Bytes of the line that holds a chunk's size, with extensions, or of a trailer field.
const MAX_CHUNK_LINE: usize = 4 * 1024;

/// Methods that are believed before the whole request line has arrived (RFC 9110 clause 9, WebDAV, UPnP).
const METHODS: &[&str] = &[
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "NOTIFY",
    "M-SEARCH",
    "M-POST",
];

/// A request line or a status line with its version tells HTTP on any port.
fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    // Empty lines before a request are allowed (RFC 9112 clause 2.2).
    let bytes = opening.bytes.trim_ascii_start();
    if bytes.is_empty() {
        return if opening.bytes.len() <= 4 { Verdict::More } else { Verdict::No };
    }
    const STATUS: &[u8] = b"HTTP/1.";
    if bytes.starts_with(STATUS) {
        return match bytes.get(STATUS.len()..STATUS.len() + 3) {
            None => Verdict::More,
            Some([b'0' | b'1', b' ', b'1'..=b'9']) => Verdict::Yes,
            Some(_) => Verdict::No,
        };
    }
    let head = &bytes[..bytes.len().min(text::MAX_HEAD)];
    if STATUS.starts_with(head) {
        return Verdict::More;
    }
    let Some((line, _)) = text::line(head) else {
        let begins = |method: &&&str| {
            let word = method.as_bytes();
            let common = word.len().min(head.len());
            word[..common] == head[..common] && head.get(word.len()).is_none_or(|byte| *byte == b' ')
        };
        let known = METHODS.iter().any(|method| begins(&method));
        return if known && head.len() < text::MAX_HEAD { Verdict::More } else { Verdict::No };
    };
    match RequestLine::read(line) {
        Some(request) if request.version.is_some() => Verdict::Yes,
        // HTTP/0.9: a method and a path alone, believed on the usual ports.
        Some(request) if request.method == b"GET" && request.target.starts_with(b"/") => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// `method SP request-target SP HTTP-version` (RFC 9112 clause 3).
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    /// `1.0` or `1.1`; none in HTTP/0.9.
    version: Option<&'a [u8]>,
}

impl<'a> RequestLine<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii_end();
        let space = line.iter().position(|byte| *byte == b' ')?;
        let (method, rest) = (&line[..space], line[space + 1..].trim_ascii_start());
        if method.len() > MAX_METHOD || !text::is_token(method) || rest.is_empty() {
            return None;
        }
        // Targets with spaces in them are sent by scanners: the version is the last word.
        let last = rest.iter().rposition(|byte| *byte == b' ');
        if let Some(last) = last
            && let Some(version) = rest[last + 1..].strip_prefix(b"HTTP/")
        {
            let target = rest[..last].trim_ascii_end();
            return (version.starts_with(b"1.") && version.len() == 3).then_some(Self {
                method,
                target,
                version: Some(version),
            });
        }
        last.is_none().then_some(Self { method, target: rest, version: None })
    }
}

/// A request, as it is told.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Request<'a> {
    method: &'a str,
    target: &'a str,
    version: &'a str,
    host: Option<&'a str>,
    user_agent: Option<&'a str>,
    /// Whether there was a `Referer` field.
    referer: Option<bool>,
    /// The scheme of the `Authorization` field.
    authorization: Option<&'static str>,
    content_type: Option<&'a str>,
    content_length: Option<u64>,
    upgrade: Option<&'a str>,
    soap_action: Option<&'a str>,
}

/// A response, as it is told, with the request that it answers.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Response {
    status: u16,
    version: Box<str>,
    method: Option<Box<str>>,
    target: Option<Box<str>>,
    host: Option<Box<str>>,
    server: Option<Box<str>>,
    content_type: Option<Box<str>>,
    /// Bytes of the body, as declared or as counted to its end.
    body_length: Option<u64>,
    location: Option<Box<str>>,
    /// The scheme of the challenge.
    authenticate: Option<&'static str>,
    realm: Option<Box<str>>,
    upgrade: Option<Box<str>>,
    title: Option<Box<str>>,
    /// What kind of program the body is.
    executable: Option<&'static str>,
}

/// How a request tries to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    /// With an `Authorization` field of this scheme.
    Scheme(&'static str),
    /// With a password in a form or in a query.
    Form,
}

/// A request that waits for its response.
#[derive(Debug)]
struct Exchange {
    from: Side,
    number: u64,
    method: Box<str>,
    target: Box<str>,
    host: Option<Box<str>>,
    login: Option<Login>,
    /// The account, if the login is a default credential.
    default_account: Option<default_credentials::Known>,
    /// The target is a whole URL: the request goes through a proxy, and the answer is not its own.
    via_proxy: bool,
}

/// What is expected next from one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    /// A start line and header fields.
    #[default]
    Head,
    /// So many bytes of body.
    Body(u64),
    /// The size of a chunk.
    ChunkSize,
    /// So many bytes of a chunk and its line end.
    Chunk(u64),
    /// Trailer fields up to an empty line.
    Trailer,
    /// A body that ends with the connection.
    UntilClose,
    /// Nothing that is known, up to the end of the segment.
    Stray,
    /// Bytes were lost: a start line at the beginning of a segment.
    StartLine,
}

/// A body of which the beginning is looked at.
#[derive(Debug)]
struct Watch {
    /// How many bytes are kept.
    limit: usize,
    kept: Vec<u8>,
    /// Bytes of body seen.
    length: u64,
    /// The body's length was declared, or nothing is reported about it.
    declared: bool,
    purpose: Purpose,
}

#[derive(Debug)]
enum Purpose {
    /// The request of this number is a login if the body holds a password.
    Form { number: u64 },
    /// The response is reported when enough of the body was seen.
    Report { response: Box<Response>, kind: Kind, own: bool },
}

/// What may be found in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Page,
    Description,
    Picture,
    Other,
}

#[derive(Debug, Default)]
struct Stream {
    expect: Expect,
    scan: HeadScan,
    watch: Option<Box<Watch>>,
}

/// Reads one connection.
#[derive(Debug, Default)]
struct Http {
    streams: [Stream; 2],
    waiting: VecDeque<Exchange>,
    requests: u64,
    /// Whether a message was read.
    spoken: bool,
    /// The last login that was done: its repetitions in later requests are not told.
    logged_in: Option<Login>,
    /// Digests of the product texts that were told, by side.
    told: [u32; 2],
    too_many_told: bool,
}

/// What one step of reading did.
enum Step {
    /// Took so many bytes, perhaps more than there are.
    Took(usize),
    More,
    Upgrade(usize),
    /// The same, and it is WebSocket.
    WebSocket(usize),
    Lost(&'static str),
}

impl Parser for Http {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut at = 0_usize;
        while at < input.bytes.len() {
            match self.step(&input.bytes[at..], input.from, out) {
                Step::Took(taken) => at = at.saturating_add(taken),
                Step::More => break,
                Step::Upgrade(taken) => return Progress::Upgrade(at.saturating_add(taken)),
                Step::WebSocket(taken) => return Progress::Become(at.saturating_add(taken), "websocket"),
                Step::Lost(reason) => return Progress::Lost(reason),
            }
        }
        Progress::Took(at)
    }

    fn gap(&mut self, from: Side, missing: u64, out: &mut Emit<'_>) -> bool {
        let stream = &mut self.streams[from.index()];
        stream.scan.reset();
        let watch = stream.watch.take();
        stream.expect = match stream.expect {
            Expect::Body(left) if missing < left => Expect::Body(left - missing),
            Expect::Body(left) if missing == left => Expect::Head,
            Expect::Chunk(left) if missing < left => Expect::Chunk(left - missing),
            Expect::UntilClose => Expect::UntilClose,
            _ => Expect::StartLine,
        };
        if let Some(watch) = watch {
            self.conclude(*watch, from, false, out);
        }
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        for from in [Side::Client, Side::Server] {
            let stream = &mut self.streams[from.index()];
            let ended = stream.expect == Expect::UntilClose;
            if let Some(watch) = stream.watch.take() {
                self.conclude(*watch, from, ended, out);
            }
        }
        while let Some(exchange) = self.waiting.pop_front() {
            self.authentication(&exchange, Outcome::Asked, out);
        }
    }
}

impl Http {
    fn step(&mut self, bytes: &[u8], from: Side, out: &mut Emit<'_>) -> Step {
        let tunnels = |exchange: &Exchange| exchange.from == from && &*exchange.method == "CONNECT";
        if self.waiting.back().is_some_and(tunnels) {
            // Whether what follows is HTTP is for the answer to say.
            return Step::More;
        }
        let stream = &mut self.streams[from.index()];
        match stream.expect {
            Expect::Head => {
                if let [b'\r' | b'\n', ..] = bytes {
                    stream.scan.reset();
                    return Step::Took(bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count());
                }
                match stream.scan.find(bytes) {
                    Found::Whole(head) => self.head(&head, from, out),
                    Found::More if begins_message(bytes) => Step::More,
                    Found::More => self.stray(bytes, from, out),
                    Found::TooLong => Step::Lost("head-too-long"),
                }
            }
            Expect::Stray => {
                stream.expect = Expect::StartLine;
                Step::Took(bytes.len())
            }
            Expect::StartLine => {
                if begins_message(bytes) {
                    stream.expect = Expect::Head;
                    return Step::Took(0);
                }
                Step::Took(bytes.len())
            }
            Expect::Body(left) => {
                let Some(watch) = &mut stream.watch else {
                    stream.expect = Expect::Head;
                    return Step::Took(usize::try_from(left).unwrap_or(usize::MAX));
                };
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let enough = watch.feed(&bytes[..here]);
                let left = left - here as u64;
                // Of the rest nothing is wanted: it need not be stored.
                let done = enough || left == 0;
                stream.expect = if done { Expect::Head } else { Expect::Body(left) };
                if done {
                    self.conclude_stream(from, left == 0, out);
                }
                let rest = if enough { usize::try_from(left).unwrap_or(usize::MAX) } else { 0 };
                Step::Took(here.saturating_add(rest))
            }
            Expect::ChunkSize => {
                let Some((line, taken)) = text::line(bytes) else {
                    return if bytes.len() > MAX_CHUNK_LINE { Step::Lost("chunk-size") } else { Step::More };
                };
                match chunk_size(line) {
                    Some(0) => stream.expect = Expect::Trailer,
                    Some(size) => stream.expect = Expect::Chunk(size.saturating_add(2)),
                    None => return Step::Lost("chunk-size"),
                }
                Step::Took(taken)
            }
            Expect::Chunk(left) => {
                let Some(watch) = &mut stream.watch else {
                    stream.expect = Expect::ChunkSize;
                    return Step::Took(usize::try_from(left).unwrap_or(usize::MAX));
                };
                // The last two bytes are the line end, not the body.
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let body = usize::try_from(left.saturating_sub(2)).unwrap_or(usize::MAX).min(here);
                let enough = watch.feed(&bytes[..body]);
                let left = left - here as u64;
                stream.expect = if left == 0 { Expect::ChunkSize } else { Expect::Chunk(left) };
                if enough {
                    self.conclude_stream(from, false, out);
                }
                Step::Took(here)
            }
            Expect::Trailer => {
                let Some((line, taken)) = text::line(bytes) else {
                    return if bytes.len() > MAX_CHUNK_LINE { Step::Lost("trailer") } else { Step::More };
                };
                if line.is_empty() {
                    stream.expect = Expect::Head;
                    self.conclude_stream(from, true, out);
                }
                Step::Took(taken)
            }
            Expect::UntilClose => {
                if let Some(watch) = &mut stream.watch
                    && watch.feed(bytes)
                {
                    self.conclude_stream(from, false, out);
                }
                Step::Took(bytes.len())
            }
        }
    }

    fn head(&mut self, head: &Head<'_>, from: Side, out: &mut Emit<'_>) -> Step {
        if head.start.starts_with(b"HTTP/") {
            return self.response(head, from, out);
        }
        match RequestLine::read(head.start) {
            Some(line) => self.request(head, &line, from, out),
            None => self.stray(head.start, from, out),
        }
    }

    /// What begins here is no message. In a conversation that was HTTP so far, a length was wrong or the
    /// peers do something of their own: the next message is looked for at the beginning of a segment.
    fn stray(&mut self, bytes: &[u8], from: Side, out: &mut Emit<'_>) -> Step {
        if !self.spoken {
            return Step::Lost("start-line");
        }
        out.anomaly(from, "start-line", format_args!("{} bytes that begin no message", bytes.len()));
        let stream = &mut self.streams[from.index()];
        stream.scan.reset();
        stream.expect = Expect::Stray;
        Step::Took(0)
    }

    fn request(&mut self, head: &Head<'_>, line: &RequestLine<'_>, from: Side, out: &mut Emit<'_>) -> Step {
        self.spoken = true;
        let mut fields = Fields::default();
        fields.read(head);
        fields.complain(from, out);
        let connect = line.method == b"CONNECT";
        let target = if connect {
            clean(text::without_user(line.target), 256).into_owned()
        } else {
            locator(line.target)
        };
        let host = fields.host.map(|host| clean(text::without_user(host), MAX_VALUE));
        let method = clean(line.method, MAX_METHOD);
        if host.is_none() && line.version == Some(b"1.1") {
            // RFC 9112 clause 3.2: every request of this version has one.
            out.anomaly(from, "no-host", format_args!("{method} without a Host field"));
        }
        if out.wants_messages() {
            out.message(
                from,
                "request",
                &Request {
                    method: &method,
                    target: &target,
                    version: &clean(line.version.unwrap_or(b"0.9"), 8),
                    host: host.as_deref(),
                    user_agent: fields.user_agent.map(|value| clean(value, MAX_VALUE)).as_deref(),
                    referer: fields.referer.then_some(true),
                    authorization: fields.authorization.map(text::scheme),
                    content_type: fields.content_type.map(|value| clean(value, MAX_VALUE)).as_deref(),
                    content_length: fields.length(),
                    upgrade: fields.upgrade.map(|value| clean(value, MAX_VALUE)).as_deref(),
                    soap_action: fields.soap_action.map(|value| clean(value, MAX_VALUE)).as_deref(),
                },
            );
        }
        if let Some(agent) = fields.user_agent
            && self.is_new(agent, from)
        {
            product::agent(agent, from, "http.user-agent", out);
        }
        let query =
            line.target.iter().position(|byte| *byte == b'?').map_or(&b""[..], |at| &line.target[at + 1..]);
        let login = match fields.authorization {
            Some(value) => Some(Login::Scheme(text::scheme(value))),
            None if body::has_password(query) => Some(Login::Form),
            None => None,
        };
        self.requests = self.requests.wrapping_add(1);
        if self.waiting.len() >= MAX_PIPELINE {
            self.waiting.pop_front();
            if !self.too_many_told {
                self.too_many_told = true;
                out.anomaly(
                    from,
                    "pipeline-too-long",
                    format_args!("more than {MAX_PIPELINE} requests wait"),
                );
            }
        }
        self.waiting.push_back(Exchange {
            from,
            number: self.requests,
            method: method.into(),
            via_proxy: !connect && !line.target.starts_with(b"/") && line.target != b"*",
            target: target.into(),
            host: host.map(Into::into),
            login,
            default_account: fields.authorization.and_then(default_credentials::basic),
        });
        let stream = &mut self.streams[from.index()];
        stream.watch = (login.is_none() && fields.is_form()).then(|| {
            let purpose = Purpose::Form { number: self.requests };
            Box::new(Watch { limit: MAX_FORM, kept: Vec::new(), length: 0, declared: true, purpose })
        });
        // RFC 9112 clause 6.3: without either field a request has no body.
        stream.expect = match (fields.chunked(), fields.length()) {
            (true, _) => Expect::ChunkSize,
            (false, None | Some(0)) => {
                stream.watch = None;
                Expect::Head
            }
            (false, Some(length)) => Expect::Body(length),
        };
        Step::Took(head.length)
    }

    fn response(&mut self, head: &Head<'_>, from: Side, out: &mut Emit<'_>) -> Step {
        // status-line = HTTP-version SP status-code SP [reason-phrase] (RFC 9112 clause 4).
        let mut words = head.start.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/")).unwrap_or_default();
        let status = words.next().filter(|word| word.len() == 3).and_then(text::number);
        let Some(status) =
            status.and_then(|status| u16::try_from(status).ok()).filter(|status| *status >= 100)
        else {
            return Step::Lost("status-line");
        };
        self.spoken = true;
        let mut fields = Fields::default();
        fields.read(head);
        fields.complain(from, out);
        // RFC 9110 clause 15.2: interim responses precede the final one.
        let exchange = match status {
            100 | 102..=199 => None,
            _ => self.waiting.pop_front(),
        };
        // What a proxy passes on says nothing about the proxy.
        let own = exchange.as_ref().is_none_or(|exchange| !exchange.via_proxy);
        if own {
            self.server_facts(&fields, from, out);
        }
        let upgraded = status == 101
            || exchange
                .as_ref()
                .is_some_and(|exchange| &*exchange.method == "CONNECT" && (200..300).contains(&status));
        let bodiless = upgraded
            || matches!(status, 100..=199 | 204 | 304)
            || exchange.as_ref().is_some_and(|exchange| &*exchange.method == "HEAD");
        if let Some(exchange) = &exchange {
            self.logins(exchange, status, &fields, out);
        }
        let expect = match (bodiless, fields.chunked(), fields.length()) {
            (true, _, _) | (false, false, Some(0)) => Expect::Head,
            (false, true, _) => Expect::ChunkSize,
            (false, false, Some(length)) => Expect::Body(length),
            (false, false, None) => Expect::UntilClose,
        };
        let text = |value: &[u8]| Box::<str>::from(clean(value, MAX_VALUE));
        let (method, target, host) = exchange.map_or((None, None, None), |exchange| {
            (Some(exchange.method), Some(exchange.target), exchange.host)
        });
        let mut response = Box::new(Response { status, method, target, host, ..Response::default() });
        response.body_length = match expect {
            Expect::Head => fields.length().filter(|_| !bodiless).or(Some(0)),
            Expect::Body(length) => Some(length),
            _ => None,
        };
        response.content_type = fields.content_type.map(text);
        if out.wants_messages() {
            response.version = text(version);
            response.server = fields.server.map(text);
            response.location = fields.location.map(|value| locator(value).into());
            response.authenticate = fields.challenge.map(text::scheme);
            response.realm = fields.challenge.and_then(text::realm).map(text);
            response.upgrade = fields.upgrade.filter(|_| status == 101).map(text);
        }
        let kind = fields.kind(status);
        let limit = match kind {
            Kind::Page => MAX_PAGE,
            Kind::Description => MAX_DESCRIPTION,
            Kind::Picture if out.is_judged() => MAX_EXIF,
            Kind::Picture | Kind::Other => MAX_MAGIC,
        };
        let watch = Watch {
            limit,
            kept: Vec::new(),
            length: 0,
            declared: response.body_length.is_some(),
            purpose: Purpose::Report { response, kind, own },
        };
        let stream = &mut self.streams[from.index()];
        stream.expect = expect;
        if expect == Expect::Head {
            self.conclude(watch, from, true, out);
        } else {
            stream.watch = Some(Box::new(watch));
        }
        let socket = fields.upgrade.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
        match upgraded {
            // RFC 6455 clause 4.1.
            true if status == 101 && socket => Step::WebSocket(head.length),
            true => Step::Upgrade(head.length),
            false => Step::Took(head.length),
        }
    }

    /// What a response's header fields tell about the server.
    fn server_facts(&mut self, fields: &Fields<'_>, from: Side, out: &mut Emit<'_>) {
        if let Some(server) = fields.server
            && self.is_new(server, from)
        {
            product::server(server, from, "http.server", out);
        }
        if let Some(realm) = fields.challenge.and_then(text::realm) {
            let generic =
                ["protected", "restricted", "login", "authori", "secure", "private", "please", "admin"];
            if !generic.iter().any(|word| has(realm, word)) {
                out.fact(from, Attribute::Label, clean(realm, MAX_VALUE), "http.realm", Confidence::LIKELY);
            }
            product::maker(realm, from, "http.realm", out);
        }
        if fields.content_type.is_some_and(|kind| has(kind, "multipart/x-mixed-replace")) {
            // Pictures that replace one another: how cameras show motion in a page.
            out.role(from, Role::Camera, "http.content-type", Confidence::LIKELY);
        }
    }

    /// Counts a login by how the server answered it.
    fn logins(&mut self, exchange: &Exchange, status: u16, fields: &Fields<'_>, out: &mut Emit<'_>) {
        let Some(login) = exchange.login else { return };
        // NTLM and Negotiate take several rounds: a challenge with a token asks for the next (RFC 4559).
        let goes_on = status == 401
            && fields.challenge.is_some_and(|value| {
                matches!(text::scheme(value), "ntlm" | "negotiate") && value.contains(&b' ')
            });
        if goes_on {
            return;
        }
        let outcome = match status {
            401 | 403 | 407 => Outcome::Refused,
            // A redirection back to the login page is the usual refusal of a form.
            300..=399 if login == Login::Form && fields.location.is_some_and(|to| has(to, "login")) => {
                Outcome::Refused
            }
            200..=399 => Outcome::Done,
            _ => Outcome::Asked,
        };
        self.authentication(exchange, outcome, out);
    }

    fn authentication(&mut self, exchange: &Exchange, outcome: Outcome, out: &mut Emit<'_>) {
        let Some(login) = exchange.login else { return };
        let again = self.logged_in == Some(login) && outcome == Outcome::Done;
        self.logged_in = (outcome == Outcome::Done).then_some(login);
        if !again {
            let name = match login {
                Login::Scheme(scheme) => scheme,
                Login::Form => "form",
            };
            let target = exchange.target.split('?').next().unwrap_or_default().into();
            out.operation(exchange.from, OperationKind::Authenticate, name, Some(target), None, outcome);
            default_credentials::tell(exchange.default_account, outcome, out);
        }
    }

    fn conclude_stream(&mut self, from: Side, ended: bool, out: &mut Emit<'_>) {
        if let Some(watch) = self.streams[from.index()].watch.take() {
            self.conclude(*watch, from, ended, out);
        }
    }

    /// Tells what was seen of a body; `ended` says that it was seen to its end.
    fn conclude(&mut self, watch: Watch, from: Side, ended: bool, out: &mut Emit<'_>) {
        let (mut response, kind, own) = match watch.purpose {
            Purpose::Form { number } => {
                if body::has_password(&watch.kept)
                    && let Some(exchange) = self.waiting.iter_mut().find(|exchange| exchange.number == number)
                {
                    exchange.login = Some(Login::Form);
                }
                return;
            }
            Purpose::Report { response, kind, own } => (response, kind, own),
        };
        if ended && !watch.declared {
            response.body_length = Some(watch.length);
        }
        let content_type = response.content_type.as_deref().unwrap_or_default();
        response.executable = body::executable(content_type.as_bytes(), &watch.kept);
        match kind {
            Kind::Page if own => {
                if let Some(title) = body::title(&watch.kept) {
                    let title = clean(title, MAX_VALUE);
                    out.fact(from, Attribute::Label, &title, "http.title", Confidence::HINT);
                    product::maker(title.as_bytes(), from, "http.title", out);
                    response.title = Some(title.into());
                }
            }
            Kind::Description if own => body::description(&watch.kept, from, out),
            _ => {}
        }
        let located = (kind == Kind::Picture && is_located(&watch.kept)).then_some(LOCATED);
        if let Some(mark) = response.executable.or(located)
            && (200..300).contains(&response.status)
            && !watch.kept.is_empty()
        {
            let host = response.host.as_deref().unwrap_or_default();
            let target = response.target.as_deref().unwrap_or_default();
            let whole = if target.starts_with('/') { format!("{host}{target}") } else { target.into() };
            let name = response.method.as_deref().unwrap_or("GET").to_ascii_lowercase();
            let target = (!whole.is_empty()).then(|| whole.into());
            let value = Some(Value::Text(mark.into()));
            out.operation(from.other(), OperationKind::TransferFile, name, target, value, Outcome::Done);
        }
        out.message(from, "response", &*response);
    }

    fn is_new(&mut self, text: &[u8], from: Side) -> bool {
        let digest = text::digest(text);
        std::mem::replace(&mut self.told[from.index()], digest) != digest
    }
}

impl Watch {
    /// Takes bytes of the body; whether enough was seen.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        self.length = self.length.saturating_add(bytes.len() as u64);
        let room = self.limit.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.kept.len() >= self.limit && (self.declared || self.length >= REPORT_AFTER)
    }
}

/// Whether bytes can be the beginning of a request or a response.
fn begins_message(bytes: &[u8]) -> bool {
    let word =
        &bytes[..bytes.iter().take(MAX_METHOD + 1).position(|byte| *byte == b' ').unwrap_or(bytes.len())];
    let word = word.get(..MAX_METHOD).unwrap_or(word);
    word.starts_with(b"HTTP/")
        || text::is_token(word)
            && word.iter().all(|byte| !byte.is_ascii_lowercase() && !byte.is_ascii_digit())
}

/// `chunk-size [ chunk-ext ]` (RFC 9112 clause 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The header fields that matter.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    referer: bool,
    authorization: Option<&'a [u8]>,
    challenge: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    content_encoding: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    /// Two fields that do not agree.
    lengths_differ: bool,
    transfer_encoding: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
    location: Option<&'a [u8]>,
    soap_action: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, head: &Head<'a>) {
        for (name, value) in head.fields() {
            // The length of the name leaves few candidates.
            let slot = match name.len() {
                4 if is(name, "host") => &mut self.host,
                6 if is(name, "server") => &mut self.server,
                7 if is(name, "upgrade") => &mut self.upgrade,
                7 if is(name, "referer") => {
                    self.referer = true;
                    continue;
                }
                8 if is(name, "location") => &mut self.location,
                10 if is(name, "user-agent") => &mut self.user_agent,
                10 if is(name, "soapaction") => &mut self.soap_action,
                12 if is(name, "content-type") => &mut self.content_type,
                13 if is(name, "authorization") => &mut self.authorization,
                14 if is(name, "content-length") => {
                    self.lengths_differ |= self.content_length.is_some_and(|before| before != value);
                    &mut self.content_length
                }
                16 if is(name, "www-authenticate") => &mut self.challenge,
                16 if is(name, "content-encoding") => &mut self.content_encoding,
                17 if is(name, "transfer-encoding") => &mut self.transfer_encoding,
                18 if is(name, "proxy-authenticate") => &mut self.challenge,
                19 if is(name, "proxy-authorization") => &mut self.authorization,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
    }

    /// Reports lengths that two receivers may read differently (RFC 9112 clause 11.2).
    fn complain(&self, from: Side, out: &mut Emit<'_>) {
        if self.content_length.is_some() && self.transfer_encoding.is_some() {
            out.anomaly(from, "ambiguous-length", format_args!("both Content-Length and Transfer-Encoding"));
        } else if self.lengths_differ {
            out.anomaly(from, "ambiguous-length", format_args!("Content-Length fields that differ"));
        }
    }

    fn chunked(&self) -> bool {
        self.transfer_encoding.is_some_and(|value| has(value, "chunked"))
    }

    fn length(&self) -> Option<u64> {
        self.content_length.and_then(text::number).filter(|_| !self.chunked())
    }

    /// Whether the body is a form or JSON object that may hold a password.
    fn is_form(&self) -> bool {
        self.content_type.is_some_and(|kind| {
            has(kind, "application/x-www-form-urlencoded") || has(kind, "application/json")
        })
    }

    /// What may be found in the body of a response.
    fn kind(&self, status: u16) -> Kind {
        let plain = self.content_encoding.is_none_or(|value| is(value, "identity"));
        match self.content_type {
            Some(kind) if plain && status == 200 && has(kind, "text/html") => Kind::Page,
            Some(kind) if plain && status == 200 && has(kind, "/xml") => Kind::Description,
            Some(kind) if plain && status == 200 && has(kind, "image/jpeg") => Kind::Picture,
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests;
