//! Lightweight Directory Access Protocol: who asks a directory for what kind of thing, and how it logs in.
//!
//! Messages: `bind-request` with the name and the kind of proof, never the proof; all other operations by
//! their name alone. The conversation is handed on when encryption is agreed.

use std::borrow::Cow;

use model::{OperationKind, Outcome, Role, Side};
use serde::Serialize;

use super::show::text;
use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// LDAP, and its use without connections.
pub const PROTOCOL: Protocol = Protocol {
    id: "ldap",
    name: "Lightweight Directory Access Protocol",
    spec: "RFC 4511, MS-ADTS clause 6.3.3 (over UDP)",
    carriers: &[Carrier::Tcp(&[389, 3268]), Carrier::Udp(&[389])],
    probe,
    start: || Box::new(Ldap::default()),
};

/// A message's head that is needed to tell its kind: two lengths of up to five bytes, their tags, a number
/// of up to four bytes and a tag, in bytes.
const HEAD: usize = 24;

/// Operations whose content is read are at most so long, in bytes.
const MAX_READ: usize = 4096;

/// A message longer than this is not one, in bytes.
const MAX_MESSAGE: usize = 16 << 20;

/// The request that asks for encryption (RFC 4511 clause 4.14.1).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// The operations (RFC 4511 clause 4.2 and following): by their tags, and whether the server sends them.
const fn operation(tag: u8) -> Option<(&'static str, bool)> {
    Some(match tag {
        0x60 => ("bind-request", false),
        0x61 => ("bind-response", true),
        0x42 => ("unbind-request", false),
        0x63 => ("search-request", false),
        0x64 => ("search-entry", true),
        0x65 => ("search-done", true),
        0x73 => ("search-reference", true),
        0x66 => ("modify-request", false),
        0x67 => ("modify-response", true),
        0x68 => ("add-request", false),
        0x69 => ("add-response", true),
        0x4a => ("delete-request", false),
        0x6b => ("delete-response", true),
        0x6c => ("rename-request", false),
        0x6d => ("rename-response", true),
        0x6e => ("compare-request", false),
        0x6f => ("compare-response", true),
        0x50 => ("abandon-request", false),
        0x77 => ("extended-request", false),
        0x78 => ("extended-response", true),
        0x79 => ("intermediate-response", true),
        _ => return None,
    })
}

/// The tag and length of a value (ITU-T X.690 clauses 8.1.2 and 8.1.3, definite lengths: RFC 4511 clause 5.1).
fn head(reader: &mut Reader<'_>) -> Result<(u8, usize), Short> {
    let (tag, first) = (reader.u8()?, reader.u8()?);
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let bytes = reader.take(usize::from(first & 0x7f))?;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => usize::MAX,
    };
    Ok((tag, length))
}

fn value<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Short> {
    let (tag, length) = head(reader)?;
    Ok((tag, reader.take(length)?))
}

/// The beginning of a message (RFC 4511 clause 4.1.1).
struct Message {
    number: u32,
    tag: u8,
    /// Where the operation's content begins, how long it is, and how long the message is.
    content_at: usize,
    content: usize,
    length: usize,
}

impl Message {
    /// `Ok(None)` if it is none.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Short> {
        let mut reader = Reader::new(bytes);
        let (outer, length) = head(&mut reader)?;
        let outer_at = reader.position();
        if outer != 0x30 || !(5..=MAX_MESSAGE).contains(&length) {
            return Ok(None);
        }
        let (kind, digits) = head(&mut reader)?;
        if kind != 2 || !(1..=4).contains(&digits) {
            return Ok(None);
        }
        let number = reader.take(digits)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let (tag, content) = head(&mut reader)?;
        let (content_at, end) = (reader.position(), outer_at + length);
        // Only controls may follow the operation; they begin with a tag of their own.
        let fits = content_at.checked_add(content).is_some_and(|behind| behind == end || behind + 2 <= end);
        if operation(tag).is_none() || !fits || number > i32::MAX as u32 {
            return Ok(None);
        }
        Ok(Some(Self { number, tag, content_at, content, length: end }))
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    match Message::read(bytes) {
        Ok(Some(message)) => {
            let next = bytes.get(message.content_at + message.content);
            let (_, from_server) = operation(message.tag).unwrap_or_default();
            let whole = opening.stream || message.length == bytes.len();
            let exact = message.content_at + message.content == message.length;
            if !whole || !exact && next.is_some_and(|tag| *tag != 0xa0) {
                Verdict::No
            } else if (opening.from == Side::Server) == from_server {
                Verdict::Yes
            } else {
                Verdict::Maybe
            }
        }
        Err(Short) if opening.stream && bytes.len() < HEAD => Verdict::More,
        _ => Verdict::No,
    }
}

#[derive(Serialize)]
struct Plain {
    number: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Bind<'a> {
    number: u32,
    version: u8,
    name: Cow<'a, str>,
    authentication: Cow<'a, str>,
}

impl<'a> Bind<'a> {
    /// RFC 4511 clause 4.2: version, name, and either a password or a mechanism with its credentials.
    fn read(number: u32, content: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(content);
        let version = value(&mut reader)?.1.first().copied().unwrap_or(0);
        let name = text(value(&mut reader)?.1);
        let authentication = match value(&mut reader)? {
            (0x80, []) => "none".into(),
            (0x80, _) => "simple".into(),
            (0xa3, sasl) => text(value(&mut Reader::new(sasl))?.1),
            _ => "other".into(),
        };
        Ok(Self { number, version, name, authentication })
    }
}

#[derive(Default)]
struct Ldap {
    understood: bool,
    told_role: bool,
    /// The number of a request for encryption that waits for its answer.
    start_tls: Option<u32>,
}

impl Parser for Ldap {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            let message = match Message::read(bytes) {
                Ok(Some(message)) => message,
                Err(Short) if bytes.len() < HEAD => break,
                // After a login the rest may be protected (RFC 4513 clause 5.2).
                _ if self.understood => return Progress::Enough,
                _ => return Progress::Lost("message"),
            };
            let wanted = matches!(message.tag, 0x60 | 0x77 | 0x78) && message.length <= MAX_READ;
            if wanted && bytes.len() < message.length && out.flow().transport == model::Transport::Tcp {
                break;
            }
            self.understood = true;
            taken += message.length;
            let end = message.content_at + message.content;
            let content = bytes.get(message.content_at..end).unwrap_or_default();
            if self.tell(input.from, &message, content, out) {
                return Progress::Upgrade(taken);
            }
        }
        Progress::Took(taken)
    }
}

impl Ldap {
    /// Tells a message, and whether encryption follows it.
    fn tell(&mut self, from: Side, message: &Message, content: &[u8], out: &mut Emit<'_>) -> bool {
        let number = message.number;
        let (name, from_server) = operation(message.tag).unwrap_or_default();
        if from_server && !self.told_role {
            self.told_role = true;
            out.role(from, Role::Server, "ldap.response", model::Confidence::LIKELY);
        }
        match message.tag {
            0x60 => {
                let bind = Bind::read(number, content);
                out.operation(from, OperationKind::Authenticate, name, None, None, Outcome::Asked);
                match bind {
                    Ok(bind) => out.message(from, name, &bind),
                    Err(Short) => out.message(from, name, &Plain { number }),
                }
                return false;
            }
            0x66 | 0x68 | 0x4a | 0x6c => {
                out.operation(from, OperationKind::Write, name, None, None, Outcome::Asked);
            }
            0x77 if matches!(value(&mut Reader::new(content)), Ok((0x80, START_TLS))) => {
                self.start_tls = Some(number);
            }
            _ => {}
        }
        out.message(from, name, &Plain { number });
        // The result of an operation is its first value (RFC 4511 clause 4.1.9); zero is success.
        message.tag == 0x78
            && self.start_tls.take_if(|asked| *asked == number).is_some()
            && matches!(value(&mut Reader::new(content)), Ok((0x0a, [0])))
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, unhex};

    #[test]
    fn a_login_is_told_without_its_password() {
        let bind = unhex("3013020101600e020103 0405636e3d6a6f 8002 7077".replace(' ', "").as_str());
        let answer = unhex("300c02010161070a010004000400");
        let search = unhex("3084000000090201024a04636e3d61");
        let text =
            converse(&PROTOCOL, &[(Side::Client, &bind), (Side::Server, &answer), (Side::Client, &search)]);
        insta::assert_snapshot!(text, @r#"
        operation client Authenticate bind-request - - Asked
        client bind-request {"number":1,"version":3,"name":"cn=jo","authentication":"simple"}
        fact 192.0.2.20 role = "server" (ldap.response, 50%)
        server bind-response {"number":1}
        operation client Write delete-request - - Asked
        client delete-request {"number":2}
        "#);
    }

    #[test]
    fn encryption_is_handed_on_once_it_is_agreed() {
        let ask = unhex("301d02010377188016312e332e362e312e342e312e313436362e3230303337");
        let agree = unhex("300c02010378070a010004000400");
        let text = converse(&PROTOCOL, &[(Side::Client, &ask), (Side::Server, &agree)]);
        assert!(text.ends_with("upgrade\n"), "{text}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        // SNMP; an operation that is longer than its message; one that does not exist.
        for wrong in ["302602010104067075626c6963", "3005020101607f", "30050201017f00"] {
            assert!(!matches!(Message::read(&unhex(wrong)), Ok(Some(_))), "{wrong}");
        }
    }

    any_bytes_are_survived!(PROTOCOL);
}
