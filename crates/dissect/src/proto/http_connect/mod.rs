//! HTTP CONNECT: a client asks a proxy for a tunnel, and what follows is another protocol.
//!
//! Messages: `request`, `response`. Anomalies: `head-length`. The flow is lost by `request` and
//! `response`, when a side says something else than HTTP.

use std::borrow::Cow;

use model::Side;
use serde::Serialize;

use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// The CONNECT method of HTTP.
pub const PROTOCOL: Protocol = Protocol {
    id: "http-connect",
    name: "HTTP tunnel (CONNECT)",
    spec: "RFC 9110 clause 9.3.6",
    carriers: &[Carrier::Tcp(&[8080, 3128, 8118, 8888])],
    probe,
    start: || Box::new(Connect::default()),
};

/// A request's or response's head longer than this is not read: in bytes.
const MAX_HEAD: usize = 16 * 1024;

const METHOD: &[u8] = b"CONNECT ";

fn probe(opening: &Opening<'_>) -> Verdict {
    let shared = opening.bytes.iter().zip(METHOD).take_while(|(a, b)| a == b).count();
    if !opening.stream || shared < opening.bytes.len().min(METHOD.len()) {
        return Verdict::No;
    }
    let Some(rest) = opening.bytes.get(METHOD.len()..) else { return Verdict::More };
    match rest.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n')) {
        // The target is a host and a port (RFC 9112 clause 3.2.3).
        Some(end) if !rest[..end].contains(&b':') => Verdict::No,
        Some(end) => match rest.get(end..).unwrap_or_default() {
            version if version.starts_with(b" HTTP/1.") => Verdict::Yes,
            version if b" HTTP/1.".starts_with(version) => Verdict::More,
            _ => Verdict::No,
        },
        None if rest.len() > 300 => Verdict::No,
        None => Verdict::More,
    }
}

#[derive(Default)]
struct Connect {
    /// Whether the client has asked and waits for the answer.
    asked: bool,
}

#[derive(Serialize)]
struct Request<'a> {
    target: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    /// Whether the client proves who it is; how is not kept.
    authorises: bool,
}

#[derive(Serialize)]
struct Response {
    status: u16,
}

/// The first line, the header fields, and the length of both with the empty line behind them.
struct Head<'a> {
    line: &'a [u8],
    fields: &'a [u8],
    length: usize,
}

impl<'a> Head<'a> {
    /// The head at the beginning of `bytes`, if its end has arrived.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = bytes.get(..end)?;
        let line = head.split(|byte| *byte == b'\r').next()?;
        Some(Self { line, fields: head.get(line.len()..)?, length: end + 4 })
    }

    fn field(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.fields.split(|byte| *byte == b'\n').find_map(|line| {
            let (known, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":").filter(|_| known.eq_ignore_ascii_case(name))?;
            Some(value.trim_ascii())
        })
    }
}

impl Parser for Connect {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        // What the client sends before it has its answer belongs to the tunnel, if there will be one; a
        // server has nothing to say before it was asked.
        if self.asked != (input.from == Side::Server) {
            return Progress::Took(0);
        }
        let Some(head) = Head::read(input.bytes) else {
            if input.bytes.len() >= MAX_HEAD {
                out.anomaly(input.from, "head-length", format_args!("{} bytes", input.bytes.len()));
                return Progress::Enough;
            }
            return Progress::Took(0);
        };
        if input.from == Side::Client { self.request(&head, out) } else { self.response(&head, out) }
    }
}

impl Connect {
    fn request(&mut self, head: &Head<'_>, out: &mut Emit<'_>) -> Progress {
        let Some(rest) = head.line.strip_prefix(METHOD) else { return Progress::Lost("request") };
        self.asked = true;
        if out.wants_messages() {
            let target = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            let message = Request {
                target: String::from_utf8_lossy(target),
                user_agent: head.field(b"User-Agent").map(String::from_utf8_lossy),
                authorises: head.field(b"Proxy-Authorization").is_some(),
            };
            out.message(Side::Client, "request", &message);
        }
        Progress::Took(head.length)
    }

    fn response(&mut self, head: &Head<'_>, out: &mut Emit<'_>) -> Progress {
        let status = head
            .line
            .strip_prefix(b"HTTP/1.")
            .and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok()?.parse::<u16>().ok());
        let Some(status) = status else { return Progress::Lost("response") };
        out.message(Side::Server, "response", &Response { status });
        match status {
            100..=199 => Progress::Took(head.length),
            200..=299 => Progress::Upgrade(head.length),
            // Refused: the client may ask again, with credentials. A body of unknown length is not
            // worth following.
            _ => {
                self.asked = false;
                let length = head
                    .field(b"Content-Length")
                    .and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
                length.map_or(Progress::Enough, |length| Progress::Took(head.length.saturating_add(length)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, opening, survives};

    #[test]
    fn a_granted_tunnel_is_read_as_what_it_carries_even_if_the_client_did_not_wait() {
        let request = b"CONNECT plc.example:443 HTTP/1.1\r\nHost: plc.example:443\r\nUser-Agent: probe/1\r\n\
            Proxy-Authorization: Basic c2VjcmV0\r\n\r\n\x15\x03\x01";
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Client, request),
                (Side::Server, b"HTTP/1.1 200 OK\r\nVia: proxy\r\n\r\n"),
                (Side::Client, b"\x00\x02\x02\x28"),
            ],
        );
        assert_eq!(
            text,
            "client request {\"target\":\"plc.example:443\",\"user_agent\":\"probe/1\",\"authorises\":true}\n\
             server response {\"status\":200}\n\
             upgrade\n\
             it is tls\n\
             client alert {\"level\":\"fatal\",\"description\":\"handshake_failure\"}\n\
             enough\n"
        );
    }

    #[test]
    fn a_refused_client_may_ask_again() {
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Client, b"CONNECT a:1 HTTP/1.0\r\n\r\n"),
                (Side::Server, b"HTTP/1.1 407 Who?\r\ncontent-length: 4\r\n\r\nno"),
                (Side::Server, b"pe"),
                (Side::Client, b"CONNECT a:2 HTTP/1.0\r\n\r\n"),
                (Side::Server, b"HTTP/1.1 502 Sorry\r\n\r\n"),
            ],
        );
        assert_eq!(
            text,
            "client request {\"target\":\"a:1\",\"authorises\":false}\n\
             server response {\"status\":407}\n\
             client request {\"target\":\"a:2\",\"authorises\":false}\n\
             server response {\"status\":502}\n\
             enough\n"
        );
    }

    #[test]
    fn other_methods_are_not_tunnels() {
        let verdict = |bytes| probe(&opening(bytes, 80, true));
        assert_eq!(verdict(b"CONNECT host:443 HTTP/1.1\r\n"), Verdict::Yes);
        assert_eq!(verdict(b"CONN"), Verdict::More);
        assert_eq!(verdict(b"CONNECT host:443 HTT"), Verdict::More);
        assert_eq!(verdict(b"CONNECT host HTTP/1.1\r\n"), Verdict::No);
        assert_eq!(verdict(b"GET / HTTP/1.1\r\n"), Verdict::No);
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn any_answer_is_survived(answer in prop::collection::vec(any::<u8>(), 0..100)) {
            let answer = [b"HTTP/1.1 ", &answer[..], b"\r\n\r\n"].concat();
            survives(&PROTOCOL, &[(Side::Client, b"CONNECT a:1 HTTP/1.0\r\n\r\n".to_vec()), (Side::Server, answer)]);
        }
    }
}
