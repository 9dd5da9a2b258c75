//! The control connection of the File Transfer Protocol (RFC 959, RFC 2228, RFC 4217).
//!
//! Commands are matched with their replies in order. User names and passwords are never kept, nor the
//! text of replies, which repeats them.

use std::collections::VecDeque;

use model::{Attribute, Confidence, OperationKind, Outcome, Side};
use serde::Serialize;

use super::text::{self, MAX_VALUE, clean, has, is, locator};
use super::{
    Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict, default_credentials, product,
};

/// FTP.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "ftp",
    name: "File Transfer Protocol",
    spec: "RFC 959",
    carriers: &[Carrier::Tcp(&[21, 2121])],
    probe,
    start: || Box::new(Ftp::default()),
};

/// Bytes of a line; longer ones are not FTP.
const MAX_LINE: usize = 4 * 1024;

/// Commands that wait for their reply; older ones are forgotten.
const MAX_WAITING: usize = 16;

/// Commands (RFC 959 clause 4.1, RFC 2228, RFC 2389, RFC 2428, RFC 3659).
const COMMANDS: &[&str] = &[
    "USER", "PASS", "ACCT", "CWD", "CDUP", "SMNT", "QUIT", "REIN", "PORT", "PASV", "TYPE", "STRU", "MODE",
    "RETR", "STOR", "STOU", "APPE", "ALLO", "REST", "RNFR", "RNTO", "ABOR", "DELE", "RMD", "MKD", "PWD",
    "LIST", "NLST", "SITE", "SYST", "STAT", "HELP", "NOOP", "AUTH", "ADAT", "PROT", "PBSZ", "CCC", "MIC",
    "CONF", "ENC", "FEAT", "OPTS", "EPRT", "EPSV", "MDTM", "MLST", "MLSD", "SIZE", "CLNT", "XPWD", "XCWD",
    "XMKD", "XRMD", "HOST", "LANG", "MFMT",
];

/// A server greets with 220 and says FTP; a client that speaks first starts with a login.
fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    let bytes = opening.bytes;
    match opening.from {
        Side::Server => {
            let [b'2', b'2', b'0', b' ' | b'-', rest @ ..] = bytes else {
                return if b"220".starts_with(bytes.get(..3).unwrap_or(bytes)) && bytes.len() < 4 {
                    Verdict::More
                } else {
                    Verdict::No
                };
            };
            let Some((line, _)) = text::line(rest) else {
                return if rest.len() < MAX_LINE { Verdict::More } else { Verdict::No };
            };
            if has(line, "smtp") {
                Verdict::No
            } else if has(line, "ftp") || has(line, "filezilla") {
                Verdict::Yes
            } else {
                Verdict::Maybe
            }
        }
        Side::Client => {
            let Some((line, _)) = text::line(bytes) else {
                let word = bytes.get(..4).unwrap_or(bytes);
                let begins = COMMANDS.iter().any(|known| known.as_bytes().starts_with(word));
                return if begins && bytes.len() < MAX_LINE { Verdict::More } else { Verdict::No };
            };
            // POP3 has the same words: the port decides.
            let (verb, _) = split(line);
            if COMMANDS.iter().any(|known| is(verb, known)) { Verdict::Maybe } else { Verdict::No }
        }
    }
}

/// A command and its argument.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii())
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Command<'a> {
    command: &'a str,
    /// The argument, where it is neither a name nor a password.
    argument: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Reply<'a> {
    code: u16,
    /// The command that it answers.
    command: Option<&'a str>,
    /// The text of a greeting or of the answer to `SYST`.
    text: Option<&'a str>,
}

/// Bytes of a user's name that are kept until the login has ended.
const MAX_USER: usize = 64;

#[derive(Debug)]
struct Waiting {
    command: &'static str,
    argument: Box<str>,
}

/// Reads one connection.
#[derive(Debug, Default)]
struct Ftp {
    waiting: VecDeque<Waiting>,
    /// The code of a reply of several lines that has not ended.
    within: Option<u16>,
    adrift: [bool; 2],
    /// The name that wants to log in.
    user: Box<[u8]>,
    /// Its account, if name and password are a default credential.
    default_account: Option<default_credentials::Known>,
}

impl Parser for Ftp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut at = 0;
        while let Some((line, taken)) = text::line(&input.bytes[at..]) {
            at += taken;
            if std::mem::take(&mut self.adrift[input.from.index()]) {
                continue;
            }
            match input.from {
                Side::Client => self.command(line, out),
                Side::Server => match self.reply(line, out) {
                    Ok(true) => return Progress::Upgrade(at),
                    Ok(false) => {}
                    Err(reason) => return Progress::Lost(reason),
                },
            }
        }
        if input.bytes.len() - at > MAX_LINE { Progress::Lost("line-too-long") } else { Progress::Took(at) }
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        // The rest of a line that was cut is passed over; replies no longer match.
        self.adrift[from.index()] = true;
        self.waiting.clear();
        self.within = None;
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        while let Some(waiting) = self.waiting.pop_front() {
            tell_operation(&waiting, Outcome::Asked, out);
        }
    }
}

impl Ftp {
    fn command(&mut self, line: &[u8], out: &mut Emit<'_>) {
        // Telnet's interrupt and synch signals may precede ABOR (RFC 959 clause 4.1.3).
        let start = line.iter().position(u8::is_ascii_alphabetic).unwrap_or(line.len());
        let (verb, argument) = split(&line[start..]);
        let Some(command) = COMMANDS.iter().find(|known| is(verb, known)).copied() else {
            // What is no command may be anything, even a password: its text is not told.
            out.anomaly(Side::Client, "unknown-command", format_args!("{} bytes", line.len()));
            self.push(Waiting { command: "", argument: "".into() });
            return;
        };
        match command {
            "USER" => {
                self.user = argument.get(..MAX_USER).unwrap_or(argument).into();
                self.default_account = None;
            }
            "PASS" => self.default_account = default_credentials::known(&self.user, argument),
            _ => {}
        }
        let argument = match command {
            // RFC 959 clause 4.1.1: who logs in and with what.
            "USER" | "PASS" | "ACCT" | "ADAT" | "MIC" | "CONF" | "ENC" => String::new(),
            // A site's own commands may change passwords: only their name is told.
            "SITE" => clean(argument.split(|byte| *byte == b' ').next().unwrap_or_default(), 16).into_owned(),
            _ => locator(argument),
        };
        out.message(
            Side::Client,
            "command",
            &Command { command, argument: Some(&*argument).filter(|argument| !argument.is_empty()) },
        );
        self.push(Waiting { command, argument: argument.into() });
    }

    fn push(&mut self, waiting: Waiting) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(waiting);
    }

    /// Reads one line of a reply (RFC 959 clause 4.2); whether another protocol begins after it.
    fn reply(&mut self, line: &[u8], out: &mut Emit<'_>) -> Result<bool, &'static str> {
        let code = line.get(..3).and_then(text::number).and_then(|code| u16::try_from(code).ok());
        let code = code.filter(|code| (100..=699).contains(code));
        // Lines within a reply may begin with its code or not.
        let text = if code.is_some() { line.get(4..).unwrap_or_default() } else { line }.trim_ascii();
        let (code, ends, first) = match (self.within, code, line.get(3)) {
            (Some(within), Some(code), None | Some(b' ')) if code == within => (code, true, false),
            (Some(within), ..) => (within, false, false),
            (None, Some(code), Some(b'-')) => (code, false, true),
            (None, Some(code), None | Some(b' ')) => (code, true, true),
            (None, ..) => return Err("reply"),
        };
        self.within = (!ends).then_some(code);
        let greeting = code == 220 && self.waiting.is_empty();
        if greeting && (first || !ends) {
            // A greeting is what the server says of itself, or its owner of it.
            out.fact(
                Side::Server,
                Attribute::Label,
                clean(text, MAX_VALUE),
                "ftp.greeting",
                Confidence::HINT,
            );
            if let Some(software) = software(text) {
                out.fact(
                    Side::Server,
                    Attribute::Software,
                    clean(software, 64),
                    "ftp.greeting",
                    Confidence::STRONG,
                );
            }
            product::maker(text, Side::Server, "ftp.greeting", out);
        }
        if !ends {
            return Ok(false);
        }
        // 1yz: the command goes on and a second reply will come (RFC 959 clause 4.2.1).
        let waiting = if greeting || code < 200 { None } else { self.waiting.pop_front() };
        let command =
            waiting.as_ref().or(self.waiting.front().filter(|_| !greeting)).map(|waiting| waiting.command);
        let is_system = command == Some("SYST") && code == 215;
        if is_system {
            let system = text.split(|byte| *byte == b' ').next().unwrap_or_default();
            out.fact(
                Side::Server,
                Attribute::OperatingSystem,
                clean(system, 64),
                "ftp.syst",
                Confidence::HINT,
            );
        }
        if out.wants_messages() {
            let text = (greeting || is_system).then(|| clean(text, MAX_VALUE));
            out.message(
                Side::Server,
                "reply",
                &Reply {
                    code,
                    command: command.filter(|command| !command.is_empty()),
                    text: text.as_deref(),
                },
            );
        }
        let Some(waiting) = waiting else { return Ok(false) };
        let outcome = if code < 400 { Outcome::Done } else { Outcome::Refused };
        match waiting.command {
            // 331: a password is needed, the login goes on (RFC 959 clause 5.4).
            "USER" | "PASS" if matches!(code, 331 | 332) => {}
            _ => tell_operation(&waiting, outcome, out),
        }
        if matches!(waiting.command, "USER" | "PASS") && !matches!(code, 331 | 332) {
            default_credentials::tell(self.default_account.take(), outcome, out);
            // RFC 1635: whoever says so may come in.
            let is_anonymous =
                [&b"anonymous"[..], b"ftp"].iter().any(|name| name.eq_ignore_ascii_case(&self.user));
            if is_anonymous && outcome == Outcome::Done {
                out.weakness(Side::Server, "no-authentication", "anonymous login");
            }
        }
        // RFC 4217 clause 4: after 234 the connection goes on with TLS.
        Ok(waiting.command == "AUTH" && code == 234)
    }
}

fn tell_operation(waiting: &Waiting, outcome: Outcome, out: &mut Emit<'_>) {
    let kind = match waiting.command {
        "USER" | "PASS" | "ACCT" => OperationKind::Authenticate,
        "RETR" | "STOR" | "STOU" | "APPE" => OperationKind::TransferFile,
        _ => return,
    };
    let target = (!waiting.argument.is_empty()).then(|| waiting.argument.clone());
    let name = match kind {
        OperationKind::Authenticate => "login".into(),
        _ => waiting.command.to_ascii_lowercase(),
    };
    out.operation(Side::Client, kind, name, target, None, outcome);
}

/// The name and version of a server program in a greeting.
fn software(text: &[u8]) -> Option<&[u8]> {
    const PROGRAMS: &[&str] = &[
        "vsftpd",
        "proftpd",
        "pure-ftpd",
        "bftpd",
        "filezilla server",
        "microsoft ftp service",
        "wu-",
        "stupid-ftpd",
        "vxworks",
        "nucleus ftp",
        "wftpd",
        "serv-u",
        "gnu inetutils",
        "quickftp",
        "siemens",
        "twftpd",
    ];
    let at = PROGRAMS.iter().find_map(|name| text::find(text, name))?;
    let rest = &text[at..];
    Some(rest[..rest.iter().position(|byte| b")]\r\n".contains(byte)).unwrap_or(rest.len())].trim_ascii())
}

#[cfg(test)]
mod tests;
