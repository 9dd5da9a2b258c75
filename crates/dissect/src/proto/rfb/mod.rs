//! Remote Framebuffer (VNC): screens of machines and operator panels that can be taken over, some without
//! any password.
//!
//! Messages: `version`, `security` (what is offered), `selected`. Anomalies: `security`. What is typed and
//! shown is not read.

use model::Side;
use serde::Serialize;

use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// RFB.
pub const PROTOCOL: Protocol = Protocol {
    id: "rfb",
    name: "Remote Framebuffer (VNC)",
    spec: "RFC 6143",
    carriers: &[Carrier::Tcp(&[5900, 5901, 5902, 5903, 5800])],
    probe,
    start: || Box::new(Rfb::default()),
};

/// `RFB xxx.yyy\n` (RFC 6143 clause 7.1.1).
const VERSION: usize = 12;

/// The version in a ProtocolVersion message, as a major and a minor number.
fn version(bytes: &[u8]) -> Option<(u16, u16)> {
    let digits = bytes.get(..VERSION)?.strip_prefix(b"RFB ")?.strip_suffix(b"\n")?;
    let (major, minor) = (digits.get(..3)?, digits.get(4..)?);
    let number = |digits: &[u8]| -> Option<u16> {
        let text =
            std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
        text.parse().ok()
    };
    Some((number(major)?, number(minor)?)).filter(|_| digits.get(3) == Some(&b'.'))
}

fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    let shared = opening.bytes.len().min(4);
    match version(opening.bytes) {
        Some(_) => Verdict::Yes,
        None if opening.bytes.len() < VERSION && opening.bytes[..shared] == b"RFB "[..shared] => {
            Verdict::More
        }
        None => Verdict::No,
    }
}

/// The names of security types (RFC 6143 clause 7.1.2 and the IANA registry).
const fn security_name(code: u8) -> &'static str {
    match code {
        0 => "invalid",
        1 => "none",
        2 => "vnc",
        5 => "ra2",
        6 => "ra2ne",
        16 => "tight",
        17 => "ultra",
        18 => "tls",
        19 => "vencrypt",
        20 => "sasl",
        30..=35 => "apple",
        _ => "other",
    }
}

#[derive(Serialize)]
struct Spoken {
    version: String,
}

#[derive(Serialize)]
struct Security {
    types: Vec<&'static str>,
}

#[derive(Serialize)]
struct Selected {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Default)]
struct Rfb {
    /// What each side said it speaks.
    versions: [Option<(u16, u16)>; 2],
    offered: bool,
}

impl Parser for Rfb {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let (from, bytes) = (input.from, input.bytes);
        let Some(_) = self.versions[from.index()] else {
            if bytes.len() < VERSION {
                return Progress::Took(0);
            }
            let Some(spoken) = version(bytes) else { return Progress::Lost("version") };
            self.versions[from.index()] = Some(spoken);
            out.message(from, "version", &Spoken { version: format!("{}.{}", spoken.0, spoken.1) });
            return match self.rest(from, &bytes[VERSION..], out) {
                Progress::Took(taken) => Progress::Took(VERSION + taken),
                other => other,
            };
        };
        self.rest(from, bytes, out)
    }
}

/// Tells if nobody is asked who he is (RFC 6143 clause 7.2.1).
fn open(kind: u8, out: &mut Emit<'_>) {
    const NONE: u8 = 1;
    if kind == NONE {
        out.weakness(Side::Server, "no-authentication", "the screen is shown without a password");
    }
}

impl Rfb {
    /// What follows the versions, until the kind of security is settled.
    fn rest(&mut self, from: Side, bytes: &[u8], out: &mut Emit<'_>) -> Progress {
        // The lower of both versions is spoken; each side waits for the other's (clause 7.1.1).
        let [Some(client), Some(server)] = self.versions else { return Progress::Took(0) };
        let old = client.min(server) < (3, 7);
        match (from, bytes) {
            (_, []) => Progress::Took(0),
            // Clause 7.1.2, and appendix A for version 3.3, where the server decides, with four bytes.
            (Side::Server, [0, 0, 0, kind, ..]) if old => {
                open(*kind, out);
                out.message(from, "selected", &Selected { kind: security_name(*kind) });
                Progress::Enough
            }
            (Side::Server, _) if old && bytes.len() < 4 => Progress::Took(0),
            (Side::Server, [count, types @ ..]) if !old && !self.offered => {
                let Some(types) = types.get(..usize::from(*count)) else { return Progress::Took(0) };
                let types: Vec<_> = types.iter().map(|code| security_name(*code)).collect();
                let taken = 1 + types.len();
                out.message(from, "security", &Security { types });
                self.offered = true;
                Progress::Took(taken)
            }
            (Side::Client, [kind, ..]) if !old => {
                open(*kind, out);
                out.message(from, "selected", &Selected { kind: security_name(*kind) });
                Progress::Enough
            }
            (Side::Server, _) => Progress::Enough,
            (Side::Client, _) => {
                out.anomaly(
                    from,
                    "security",
                    format_args!("{} bytes before the server's choice", bytes.len()),
                );
                Progress::Enough
            }
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse};

    #[test]
    fn what_is_offered_and_selected_is_told() {
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Server, b"RFB 003.008\n"),
                (Side::Client, b"RFB 003.008\n"),
                (Side::Server, &[2, 1, 2]),
                (Side::Client, &[1]),
            ],
        );
        insta::assert_snapshot!(text, @r#"
        server version {"version":"3.8"}
        client version {"version":"3.8"}
        server security {"types":["none","vnc"]}
        weakness server no-authentication: the screen is shown without a password
        client selected {"type":"none"}
        enough
        "#);
    }

    #[test]
    fn an_old_server_decides_alone() {
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Server, b"RFB 003.0"),
                (Side::Server, b"03\n"),
                (Side::Client, b"RFB 003.003\n"),
                (Side::Server, &[0, 0, 0, 2]),
            ],
        );
        insta::assert_snapshot!(text, @r#"
        server version {"version":"3.3"}
        client version {"version":"3.3"}
        server selected {"type":"vnc"}
        enough
        "#);
    }

    #[test]
    fn versions_have_six_digits() {
        assert_eq!(version(b"RFB 004.001\n"), Some((4, 1)));
        for wrong in [b"RFB 003.00x\n", b"RFB 003-008\n", b"RFB +03.008\n", b"RFC 003.008\n"] {
            assert_eq!(version(wrong), None);
        }
    }

    any_bytes_are_survived!(PROTOCOL);
}
