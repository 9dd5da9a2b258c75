//! Simple Mail Transfer Protocol (RFC 5321): greeting, commands, their replies, how logins end.
//!
//! Addresses, names, passwords and mail are never kept: mail is passed over as it arrives.

use std::borrow::Cow;
use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Side};
use serde::Serialize;

use super::text::{self, MAX_VALUE, clean, has, is};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// SMTP.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "smtp",
    name: "Simple Mail Transfer Protocol",
    spec: "RFC 5321",
    carriers: &[Carrier::Tcp(&[25, 587, 2525])],
    probe,
    start: || Box::new(Smtp::default()),
};

/// Bytes of a line; longer ones are not SMTP (RFC 5321 clause 4.5.3.1 allows 512 and 1000).
const MAX_LINE: usize = 16 * 1024;

/// Commands that wait for their reply; older ones are forgotten.
const MAX_WAITING: usize = 32;

/// Commands (RFC 5321 clause 4.1, RFC 3207, RFC 4954, RFC 3030).
const COMMANDS: &[&str] = &[
    "HELO", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "VRFY", "EXPN", "HELP", "NOOP", "QUIT", "STARTTLS",
    "AUTH", "BDAT",
];

/// Mechanisms of a login (IANA SASL Mechanisms, and those in use without registration).
const MECHANISMS: &[&str] = &[
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "DIGEST-MD5",
    "NTLM",
    "GSSAPI",
    "EXTERNAL",
    "XOAUTH2",
    "OAUTHBEARER",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
];

/// A server greets with 220 and says SMTP; a client that speaks first introduces itself.
fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream || opening.bytes.is_empty() {
        return Verdict::No;
    }
    let Some((line, _)) = text::line(opening.bytes) else {
        let start = opening.bytes.get(..4).unwrap_or(opening.bytes);
        let begins = ["220 ", "220-", "EHLO", "HELO"].iter().any(|known| known.as_bytes().starts_with(start));
        return if begins && opening.bytes.len() < MAX_LINE { Verdict::More } else { Verdict::No };
    };
    match opening.from {
        Side::Server if !line.starts_with(b"220") => Verdict::No,
        Side::Server if has(line, "smtp") => Verdict::Yes,
        Side::Server if has(line, "ftp") => Verdict::No,
        Side::Server => Verdict::Maybe,
        Side::Client => {
            let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            if is(verb, "EHLO") || is(verb, "HELO") { Verdict::Yes } else { Verdict::No }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Command<'a> {
    command: &'static str,
    /// What the client calls itself, or the mechanism of a login.
    argument: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Reply<'a> {
    code: u16,
    command: Option<&'static str>,
    /// The text of a greeting.
    text: Option<&'a str>,
}

/// What the client's bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Commands,
    /// Mail, up to a line with a single dot (RFC 5321 clause 4.5.2).
    Mail,
    /// Answers to the challenges of a login (RFC 4954 clause 4).
    Login,
}

/// Reads one connection.
#[derive(Debug, Default)]
struct Smtp {
    waiting: VecDeque<&'static str>,
    mode: Mode,
    greeted: bool,
    /// The line of mail that arrives began in an earlier segment.
    in_line: bool,
}

impl Parser for Smtp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut at = 0;
        while let Some((line, taken)) = text::line(&input.bytes[at..]) {
            at += taken;
            match (input.from, self.mode) {
                (Side::Client, Mode::Mail) => {
                    // The dot's reply ends the command.
                    if line == b"." && !std::mem::take(&mut self.in_line) {
                        self.mode = Mode::Commands;
                    }
                    self.in_line = false;
                }
                (Side::Client, Mode::Login) => {}
                (Side::Client, Mode::Commands) => self.command(line, out),
                (Side::Server, _) => match self.reply(line, out) {
                    Ok(true) => return Progress::Upgrade(at),
                    Ok(false) => {}
                    Err(reason) => return Progress::Lost(reason),
                },
            }
        }
        if input.from == Side::Client && self.mode == Mode::Mail && input.bytes.len() - at > MAX_VALUE {
            // Nothing of a long line is wanted.
            self.in_line = true;
            return Progress::Took(input.bytes.len());
        }
        if input.bytes.len() - at > MAX_LINE { Progress::Lost("line-too-long") } else { Progress::Took(at) }
    }

    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        // Whether mail or commands follow is not known, and mail must not be taken for commands.
        false
    }
}

impl Smtp {
    fn command(&mut self, line: &[u8], out: &mut Emit<'_>) {
        let mut words = line.split(|byte| *byte == b' ');
        let verb = words.next().unwrap_or_default();
        let Some(command) = COMMANDS.iter().find(|known| is(verb, known)).copied() else {
            out.anomaly(Side::Client, "unknown-command", format_args!("{} bytes", line.len()));
            self.push("");
            return;
        };
        let argument = match command {
            "HELO" | "EHLO" => words.next().map(|word| clean(word, MAX_VALUE)),
            // A word that is no mechanism may be a secret.
            "AUTH" => words
                .next()
                .and_then(|word| MECHANISMS.iter().find(|known| is(word, known)))
                .map(|known| Cow::Borrowed(*known)),
            _ => None,
        };
        out.message(Side::Client, "command", &Command { command, argument: argument.as_deref() });
        self.push(command);
    }

    fn push(&mut self, command: &'static str) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(command);
    }

    /// Reads one line of a reply (RFC 5321 clause 4.2); whether another protocol begins after it.
    fn reply(&mut self, line: &[u8], out: &mut Emit<'_>) -> Result<bool, &'static str> {
        let code = line.get(..3).and_then(text::number).and_then(|code| u16::try_from(code).ok());
        let code = code.filter(|code| (200..600).contains(code)).ok_or("reply")?;
        if line.get(3) == Some(&b'-') {
            return Ok(false);
        }
        let text = line.get(4..).unwrap_or_default();
        let greeting = !std::mem::replace(&mut self.greeted, true) && code == 220;
        let command = if greeting { None } else { self.waiting.front().copied() };
        if greeting {
            let name = text.split(|byte| *byte == b' ').next().unwrap_or_default();
            if name.contains(&b'.') {
                out.fact(
                    Side::Server,
                    Attribute::Hostname,
                    clean(name, MAX_VALUE),
                    "smtp.greeting",
                    Confidence::LIKELY,
                );
            }
            out.fact(
                Side::Server,
                Attribute::Label,
                clean(text, MAX_VALUE),
                "smtp.greeting",
                Confidence::HINT,
            );
        }
        if out.wants_messages() {
            let told = command.filter(|command| !command.is_empty());
            let text = greeting.then(|| clean(text, MAX_VALUE));
            out.message(Side::Server, "reply", &Reply { code, command: told, text: text.as_deref() });
        }
        match (command, code) {
            // Both go on: the mail, or the next step of the login, follows.
            (Some("DATA"), 354) => {
                self.mode = Mode::Mail;
                return Ok(false);
            }
            (Some("AUTH"), 334) => {
                self.mode = Mode::Login;
                return Ok(false);
            }
            _ => {}
        }
        if command.is_some() {
            self.waiting.pop_front();
        }
        if command == Some("AUTH") {
            self.mode = Mode::Commands;
            let outcome = if code < 400 { Outcome::Done } else { Outcome::Refused };
            out.operation(Side::Client, OperationKind::Authenticate, "auth", None, None, outcome);
        }
        // RFC 3207 clause 4.
        Ok(command == Some("STARTTLS") && code == 220)
    }
}

#[cfg(test)]
mod tests;
