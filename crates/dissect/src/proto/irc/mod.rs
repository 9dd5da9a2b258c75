//! Internet Relay Chat (RFC 2812): which commands are sent to which channels. Botnets are still steered
//! with it. What is said is never kept, nor passwords.

use model::{OperationKind, Outcome, Side};
use serde::Serialize;

use super::text::{self, clean, is};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// IRC.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "irc",
    name: "Internet Relay Chat",
    spec: "RFC 2812",
    carriers: &[Carrier::Tcp(&[6667, 6660, 6661, 6662, 6663, 6664, 6665, 6666, 6668, 6669, 7000, 194])],
    probe,
    start: || Box::new(Irc::default()),
};

/// Bytes of a line (RFC 2812 clause 2.3 allows 512; message tags of later servers need more).
const MAX_LINE: usize = 9 * 1024;

/// Bytes of a nickname or channel that are told.
const MAX_NAME: usize = 64;

/// Commands that open a conversation or matter in it.
const COMMANDS: &[&str] = &[
    "NICK", "USER", "PASS", "CAP", "JOIN", "PART", "PRIVMSG", "NOTICE", "MODE", "TOPIC", "KICK", "INVITE",
    "QUIT", "WHO", "WHOIS", "LIST", "NAMES", "PING", "PONG", "ERROR", "OPER", "AWAY", "USERHOST", "ISON",
];

/// A registration of a client, or a server's line about it, tells IRC on any port.
fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    let Some((first, taken)) = text::line(opening.bytes) else {
        let word = opening.bytes.get(..4).unwrap_or(opening.bytes);
        let begins =
            ["NICK", "USER", "PASS", "CAP ", ":"].iter().any(|known| known.as_bytes().starts_with(word))
                || opening.bytes.first() == Some(&b':');
        let more = begins && !opening.bytes.is_empty() && opening.bytes.len() < 512;
        return if more { Verdict::More } else { Verdict::No };
    };
    let Some(message) = Line::read(first) else { return Verdict::No };
    match opening.from {
        Side::Client => match message.command {
            // NICK and the four parameters of USER belong to IRC alone; USER with one parameter is FTP.
            "NICK" if message.parameters.len() < 40 => Verdict::Yes,
            "USER" if message.parameters.split(|byte| *byte == b' ').count() >= 4 => Verdict::Yes,
            "CAP" if message.parameters.starts_with(b"LS") => Verdict::Yes,
            // A password comes before the nickname (RFC 2812 clause 3.1.1).
            "PASS" => match text::line(&opening.bytes[taken..]).and_then(|(line, _)| Line::read(line)) {
                Some(next) if next.command == "NICK" => Verdict::Yes,
                _ => Verdict::Maybe,
            },
            _ => Verdict::Maybe,
        },
        Side::Server if message.prefixed && (message.command == "NOTICE" || message.code.is_some()) => {
            Verdict::Yes
        }
        Side::Server => Verdict::Maybe,
    }
}

/// `[":" prefix SPACE] command [params]` (RFC 2812 clause 2.3.1).
struct Line<'a> {
    prefixed: bool,
    /// Empty for a numeric reply.
    command: &'static str,
    /// The number of a reply.
    code: Option<u16>,
    parameters: &'a [u8],
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let (prefixed, rest) = match line.strip_prefix(b":") {
            Some(rest) => (true, &rest[rest.iter().position(|byte| *byte == b' ')? + 1..]),
            None => (false, line),
        };
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (word, parameters) = (&rest[..end], rest[end..].trim_ascii());
        if word.len() == 3
            && prefixed
            && let Some(code) = text::number(word)
        {
            return Some(Self { prefixed, command: "", code: u16::try_from(code).ok(), parameters });
        }
        let command = COMMANDS.iter().find(|known| is(word, known)).copied()?;
        Some(Self { prefixed, command, code: None, parameters })
    }

    /// The first parameter, where it names a nickname or a channel.
    fn target(&self) -> Option<&'a [u8]> {
        let first = self.parameters.split(|byte| *byte == b' ').next()?;
        let told = matches!(
            self.command,
            "NICK" | "JOIN" | "PART" | "PRIVMSG" | "NOTICE" | "MODE" | "TOPIC" | "KICK" | "WHO" | "NAMES"
        );
        (told && !first.is_empty() && !first.starts_with(b":")).then_some(first)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    command: Option<&'static str>,
    code: Option<u16>,
    /// The nickname or channel.
    target: Option<&'a str>,
}

/// Reads one connection.
#[derive(Debug, Default)]
struct Irc {
    registered: bool,
    adrift: [bool; 2],
}

impl Parser for Irc {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut at = 0;
        while let Some((line, taken)) = text::line(&input.bytes[at..]) {
            at += taken;
            if std::mem::take(&mut self.adrift[input.from.index()]) {
                continue;
            }
            if let Some(message) = Line::read(line) {
                self.message(&message, input.from, out);
            }
        }
        if input.bytes.len() - at > MAX_LINE { Progress::Lost("line-too-long") } else { Progress::Took(at) }
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.adrift[from.index()] = true;
        true
    }
}

impl Irc {
    fn message(&mut self, message: &Line<'_>, from: Side, out: &mut Emit<'_>) {
        let target = message.target().map(|target| clean(target, MAX_NAME));
        if out.wants_messages() {
            let command = Some(message.command).filter(|command| !command.is_empty());
            out.message(from, "message", &Message { command, code: message.code, target: target.as_deref() });
        }
        let owned = target.map(Box::<str>::from);
        match (from, message.command, message.code) {
            // 001: welcome; 432 to 437 and 464, 465: no such nickname, password or right.
            (Side::Server, _, Some(1)) if !self.registered => {
                self.registered = true;
                out.operation(
                    Side::Client,
                    OperationKind::Authenticate,
                    "register",
                    None,
                    None,
                    Outcome::Done,
                );
            }
            (Side::Server, _, Some(464 | 465)) => {
                out.operation(
                    Side::Client,
                    OperationKind::Authenticate,
                    "register",
                    None,
                    None,
                    Outcome::Refused,
                );
            }
            (Side::Client, "JOIN", _) => {
                out.operation(from, OperationKind::Subscribe, "join", owned, None, Outcome::Asked);
            }
            (_, "PRIVMSG", _) => {
                out.operation(from, OperationKind::Publish, "privmsg", owned, None, Outcome::Asked);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
