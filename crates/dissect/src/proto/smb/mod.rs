//! SMB: dialects, sessions and shares of Windows file sharing, versions 1 to 3; what the sides say of
//! themselves when a session is set up; which files are opened to be written, and by which pipes a host is told what
//! to run. What is in files is passed over.
//!
//! Messages: `negotiate`, `negotiated`, `ntlm-challenge`, `ntlm-authenticate`, `native`, `tree-connect`.
//! Operations: `session-setup`, `write`, `service-control`, `task-scheduler`, `remote-shell` and `remote-registry` with
//! their outcome. Anomalies: `message-length`. The flow is lost by `framing`.

mod ntlm;
mod opens;
mod v1;
mod v2;

use std::borrow::Cow;

use model::{Attribute, Confidence, OperationKind, Outcome, Side};
use serde::Serialize;

use self::opens::Opens;
use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// Server Message Block.
pub const PROTOCOL: Protocol = Protocol {
    id: "smb",
    name: "Server Message Block",
    spec: "MS-SMB2, MS-CIFS, MS-NLMP, RFC 1002",
    carriers: &[Carrier::Tcp(&[445, 139])],
    probe,
    start: || Box::new(Smb::default()),
};

/// The header of a packet of the session service (RFC 1002 clause 4.3.1), in bytes.
const FRAME: usize = 4;

/// A message that is looked into and longer than this is passed over: in bytes. Security tokens are the
/// longest of them.
const MAX_MESSAGE: usize = 64 * 1024;

/// The header of a message of version 1, in bytes; that of version 2 is longer.
const SHORTEST: usize = 32;

/// Text in messages is cut after so many letters.
const MAX_LETTERS: usize = 256;

/// Statuses (MS-ERREF clause 2.3).
const SUCCESS: u32 = 0;
const MORE_PROCESSING: u32 = 0xc000_0016;
/// The answer is yet to come (MS-SMB2 clause 3.3.4.2).
const PENDING: u32 = 0x103;

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        _ if !opening.stream => Verdict::No,
        [0, _, _, _, 0xfd..=0xff, b'S', b'M', b'B', ..] => Verdict::Yes,
        // A session request has two encoded names of 34 bytes (RFC 1002 clause 4.3.2).
        [0x81, 0, 0, 0x44, 0x20, ..] => Verdict::Yes,
        [] | [0] | [0, _] | [0, _, _] | [0, _, _, _] => Verdict::More,
        [0x81] | [0x81, 0] | [0x81, 0, 0] | [0x81, 0, 0, 0x44] => Verdict::More,
        [0, _, _, _, 0xfd..=0xff, rest @ ..] if b"SMB".starts_with(rest) => Verdict::More,
        _ => Verdict::No,
    }
}

/// What the parts of a session share.
#[derive(Default)]
struct Smb {
    /// Who the client says it is, until the server has judged.
    user: Option<Box<str>>,
    /// Dialects of version 1 that the client offered, by whose place the server chooses.
    dialects: Vec<Box<str>>,
    /// Shares, and what is opened in them.
    opens: Opens,
}

#[derive(Serialize)]
struct Negotiate<'a> {
    dialects: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Negotiated<'a> {
    dialect: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_required: Option<bool>,
}

#[derive(Serialize)]
struct TreeConnect<'a> {
    path: &'a str,
}

impl Parser for Smb {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut taken = 0;
        while let Some(rest) = input.bytes.get(taken..).filter(|rest| rest.len() >= FRAME) {
            let mut reader = Reader::new(rest);
            let (Ok(kind), Ok(length)) = (reader.u8(), reader.be24()) else { break };
            let length = length as usize;
            let body = rest.get(FRAME..FRAME.saturating_add(length));
            match (kind, body) {
                // Encrypted from here on (MS-SMB2 clause 2.2.41).
                (0, _) if rest.get(FRAME..).is_some_and(|message| message.starts_with(b"\xfdSMB")) => {
                    return Progress::Enough;
                }
                (0, None) => {
                    let beginning = rest.get(FRAME..).unwrap_or_default();
                    if beginning.len() < SHORTEST {
                        break;
                    }
                    // Reads and writes are passed over before they have arrived.
                    if length <= MAX_MESSAGE && is_interesting(beginning) {
                        break;
                    }
                }
                (0, Some(body)) => {
                    if self.message(from, body, out).is_err() {
                        out.anomaly(from, "message-length", format_args!("{length} bytes"));
                    }
                }
                (0x81, Some(body)) => names(from, body, out),
                // Positive and negative answers, and what keeps the session alive.
                (0x81..=0x85, _) if length <= MAX_MESSAGE => {
                    if body.is_none() {
                        break;
                    }
                }
                _ => return Progress::Lost("framing"),
            }
            taken = taken.saturating_add(FRAME).saturating_add(length);
        }
        Progress::Took(taken)
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        self.opens.finish(out);
    }
}

/// Whether a message, of which the first 32 bytes are there, is one that is looked into.
fn is_interesting(message: &[u8]) -> bool {
    match message {
        [0xfe, _, _, _, _, _, _, _, _, _, _, _, command, 0, ..] => v2::is_interesting(*command),
        [0xff, _, _, _, command, ..] => v1::is_interesting(*command),
        _ => false,
    }
}

impl Smb {
    fn message(&mut self, from: Side, message: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
        match message.first_chunk() {
            Some([0xfe, b'S', b'M', b'B']) if is_interesting(message) => {
                v2::message(self, from, message, out)
            }
            Some([0xff, b'S', b'M', b'B']) if is_interesting(message) => {
                v1::message(self, from, message, out)
            }
            _ => Ok(()),
        }
    }

    /// Reads the security token of a session setup, if it is one of NTLM.
    fn token(&mut self, from: Side, token: &[u8], out: &mut Emit<'_>) {
        if let Some(user) = ntlm::read(from, token, out) {
            self.user = Some(user.into());
        }
    }

    /// The server's answer to a session setup.
    fn session(&mut self, status: u32, out: &mut Emit<'_>) {
        if status == MORE_PROCESSING {
            return;
        }
        let outcome = if status == SUCCESS { Outcome::Done } else { Outcome::Refused };
        out.operation(
            Side::Client,
            OperationKind::Authenticate,
            "session-setup",
            self.user.take(),
            None,
            outcome,
        );
    }
}

/// The names in a session request: who is called and who calls (RFC 1002 clause 4.3.2).
fn names(from: Side, body: &[u8], out: &mut Emit<'_>) {
    let mut reader = Reader::new(body);
    for (side, confidence) in [(from.other(), Confidence::LIKELY), (from, Confidence::STRONG)] {
        let encoded = reader.u8().and_then(|length| reader.take(usize::from(length)));
        let (Ok(encoded), Ok(0)) = (encoded, reader.u8()) else { return };
        // Each byte stands as two letters from A up; the sixteenth says what kind of name it is
        // (RFC 1001 clause 14.1).
        let name: String = encoded
            .chunks_exact(2)
            .take(15)
            .map(|pair| pair[0].wrapping_sub(b'A') << 4 | pair[1].wrapping_sub(b'A') & 15)
            .map(|byte| if byte.is_ascii_graphic() { char::from(byte) } else { ' ' })
            .collect();
        let name = name.trim();
        if !name.starts_with('*') {
            out.fact(side, Attribute::Hostname, name, "smb.session-request", confidence);
        }
    }
}

fn tree_connect(path: &str, out: &mut Emit<'_>) {
    out.message(Side::Client, "tree-connect", &TreeConnect { path });
}

/// Text of two-byte letters, up to a zero letter or the end.
fn wide(bytes: &[u8]) -> String {
    let letters = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let letters = letters.take_while(|letter| *letter != 0).take(MAX_LETTERS);
    char::decode_utf16(letters).map(|c| c.unwrap_or('\u{fffd}')).collect()
}

/// Text of one-byte letters, up to a zero byte or the end.
fn narrow(bytes: &[u8]) -> String {
    let end = bytes.iter().take(MAX_LETTERS).position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len().min(MAX_LETTERS))]).into_owned()
}

#[cfg(test)]
mod tests;
