//! Telnet (RFC 854, RFC 855): option negotiation, what the server says before a login, and how logins
//! end.
//!
//! Nothing that is typed is ever kept or told, nor what the server shows after it, which may repeat it: of a login
//! only a digest is kept, to tell whether it is one with which devices are shipped.

use model::{Attribute, Confidence, OperationKind, Outcome, Side};
use serde::Serialize;

use super::text::{self, clean, has};
use super::{
    Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict, default_credentials, product,
};

/// Telnet.
pub(crate) const PROTOCOL: Protocol = Protocol {
    id: "telnet",
    name: "Telnet",
    spec: "RFC 854",
    carriers: &[Carrier::Tcp(&[23, 2323, 26, 2223, 9527])],
    probe,
    start: || Box::new(Telnet::default()),
};

/// Bytes of the last line of the screen that are kept.
const MAX_LINE: usize = 256;

/// Lines of the server's text before a login that are looked at.
const MAX_BANNER_LINES: u32 = 32;

/// Bytes of a subnegotiation that are kept.
const MAX_SUBNEGOTIATION: usize = 64;

/// Options of one packet that are told.
const MAX_OPTIONS: usize = 64;

/// Interpret as command (RFC 854).
const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

/// Options by number (IANA Telnet Options); those not listed are told by number.
const OPTIONS: &[(u8, &str)] = &[
    (0, "binary-transmission"),
    (1, "echo"),
    (3, "suppress-go-ahead"),
    (5, "status"),
    (6, "timing-mark"),
    (17, "extended-ascii"),
    (18, "logout"),
    (23, "send-location"),
    (24, "terminal-type"),
    (25, "end-of-record"),
    (31, "negotiate-about-window-size"),
    (32, "terminal-speed"),
    (33, "remote-flow-control"),
    (34, "linemode"),
    (35, "x-display-location"),
    (36, "environment"),
    (37, "authentication"),
    (38, "encryption"),
    (39, "new-environment"),
    (40, "tn3270e"),
    (42, "charset"),
    (44, "com-port-control"),
    (46, "start-tls"),
];

/// The highest option number that is assigned without a gap.
const LAST_OPTION: u8 = 49;

/// A negotiation command tells Telnet on any port; printable text is Telnet on its own ports only.
fn probe(opening: &Opening<'_>) -> Verdict {
    if !opening.stream {
        return Verdict::No;
    }
    match opening.bytes {
        [] => Verdict::No,
        [IAC] | [IAC, WILL..=DONT] => Verdict::More,
        [IAC, WILL..=DONT, 0..=LAST_OPTION, rest @ ..] => {
            match rest {
                // One command alone could be chance, but nothing else begins like this.
                [] | [IAC, WILL..=DONT | SB, ..] | [IAC] => Verdict::Yes,
                [first, ..] if first.is_ascii_graphic() || first.is_ascii_whitespace() => Verdict::Yes,
                _ => Verdict::Maybe,
            }
        }
        bytes => {
            let plain = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | 0 | b' '..=b'~');
            if bytes.iter().take(128).all(plain) { Verdict::Maybe } else { Verdict::No }
        }
    }
}

/// The options that one packet negotiates.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Negotiation {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    will: Vec<OptionName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wont: Vec<OptionName>,
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "do")]
    ask: Vec<OptionName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dont: Vec<OptionName>,
}

impl Negotiation {
    fn is_empty(&self) -> bool {
        self.will.is_empty() && self.wont.is_empty() && self.ask.is_empty() && self.dont.is_empty()
    }
}

/// An option by its name, or its number where it has none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum OptionName {
    Known(&'static str),
    Number(u8),
}

fn option(number: u8) -> OptionName {
    let known = OPTIONS.iter().find(|(known, _)| *known == number);
    known.map_or(OptionName::Number(number), |(_, name)| OptionName::Known(name))
}

/// The value of an option that says something and is no secret.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Subnegotiation<'a> {
    option: OptionName,
    terminal_type: Option<&'a str>,
    columns: Option<u16>,
    rows: Option<u16>,
}

#[derive(Serialize)]
struct Shown {
    prompt: Prompt,
}

/// What the server waits for, told from the last line of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Prompt {
    Login,
    Password,
    Command,
}

/// Where one side's stream stands between data and commands.
#[derive(Debug, Default)]
enum State {
    #[default]
    Data,
    Command,
    Option(u8),
    Sub,
    SubCommand,
}

#[derive(Debug, Default)]
struct Stream {
    state: State,
    sub: Vec<u8>,
    options: u32,
}

/// Where a login stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// No prompt was seen.
    #[default]
    Start,
    /// Asked for a name; whether one was entered.
    Name { entered: bool },
    /// Asked for a password; whether one was entered.
    Password { entered: bool },
    /// At a command prompt.
    Inside,
}

/// Reads one connection.
#[derive(Debug, Default)]
struct Telnet {
    streams: [Stream; 2],
    stage: Stage,
    /// Bytes that the client typed since it last ended a line.
    typed: u32,
    /// The digest of the login that is being typed.
    login: Option<Box<default_credentials::Typed>>,
    /// The account of the login that was typed, if it is a default credential.
    default_account: Option<default_credentials::Known>,
    /// Whether the client has typed anything yet: until then what the server shows is its own.
    client_spoke: bool,
    /// The last line of the screen.
    line: Vec<u8>,
    /// Where an escape sequence of the terminal stands (ECMA-48 clause 5.4).
    escape: Escape,
    banner_lines: u32,
    labelled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Control,
}

impl Parser for Telnet {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut negotiation = Negotiation::default();
        let mut data = false;
        for byte in input.bytes {
            data |= self.byte(*byte, input.from, &mut negotiation, out);
        }
        if !negotiation.is_empty() {
            out.message(input.from, "negotiation", &negotiation);
        }
        if data && input.from == Side::Server {
            self.look_for_prompt(out);
        }
        Progress::Took(input.bytes.len())
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        let stream = &mut self.streams[from.index()];
        stream.state = State::Data;
        stream.sub.clear();
        if from == Side::Server {
            self.line.clear();
            // What was typed may have been shown in what was lost.
            self.client_spoke = true;
        }
        true
    }

    fn finish(&mut self, out: &mut Emit<'_>) {
        if matches!(self.stage, Stage::Password { entered: true }) {
            self.attempt(Outcome::Asked, out);
        }
    }
}

impl Telnet {
    /// Takes one byte; whether it is data.
    fn byte(&mut self, byte: u8, from: Side, negotiation: &mut Negotiation, out: &mut Emit<'_>) -> bool {
        let stream = &mut self.streams[from.index()];
        let wanted = out.wants_messages();
        match (&stream.state, byte) {
            (State::Data, IAC) => stream.state = State::Command,
            (State::Command, WILL..=DONT) => stream.state = State::Option(byte),
            (State::Command, SB) => {
                stream.sub.clear();
                stream.state = State::Sub;
            }
            // Other commands have no argument; a doubled IAC is a data byte that no prompt contains.
            (State::Command, _) => stream.state = State::Data,
            (State::Option(command), _) => {
                let list = match *command {
                    WILL => &mut negotiation.will,
                    WONT => &mut negotiation.wont,
                    DO => &mut negotiation.ask,
                    _ => &mut negotiation.dont,
                };
                if wanted && list.len() < MAX_OPTIONS {
                    list.push(option(byte));
                }
                stream.options = stream.options.saturating_add(1);
                stream.state = State::Data;
            }
            (State::Sub, IAC) => stream.state = State::SubCommand,
            (State::SubCommand, SE) => {
                stream.state = State::Data;
                let sub = std::mem::take(&mut stream.sub);
                subnegotiation(&sub, from, out);
            }
            (State::Sub | State::SubCommand, _) => {
                if stream.sub.len() < MAX_SUBNEGOTIATION {
                    stream.sub.push(byte);
                }
                stream.state = State::Sub;
            }
            (State::Data, _) if from == Side::Client => {
                self.typed(byte);
                return true;
            }
            (State::Data, _) => {
                self.shown(byte, out);
                return true;
            }
        }
        false
    }

    /// The client typed a byte: only that it did is remembered.
    fn typed(&mut self, byte: u8) {
        self.client_spoke = true;
        match byte {
            b'\r' | b'\n' => {
                match &mut self.stage {
                    Stage::Name { entered } => {
                        if self.typed > 0
                            && let Some(login) = &mut self.login
                        {
                            login.name_ends();
                        }
                        *entered |= self.typed > 0;
                    }
                    // The LF of a name's CR LF is not an empty password: a prompt lies between.
                    Stage::Password { entered } => {
                        if let Some(login) = self.login.take() {
                            self.default_account = login.known();
                        }
                        *entered = true;
                    }
                    Stage::Start | Stage::Inside => {}
                }
                self.typed = 0;
            }
            0 => {}
            _ => {
                let typing =
                    matches!(self.stage, Stage::Name { entered: false } | Stage::Password { entered: false });
                if let Some(login) = self.login.as_mut().filter(|_| typing) {
                    login.byte(byte);
                }
                self.typed = self.typed.saturating_add(1);
            }
        }
    }

    /// A login ended so.
    fn attempt(&mut self, outcome: Outcome, out: &mut Emit<'_>) {
        out.operation(Side::Client, OperationKind::Authenticate, "login", None, None, outcome);
        default_credentials::tell(self.default_account.take(), outcome, out);
    }

    /// The server showed a byte.
    fn shown(&mut self, byte: u8, out: &mut Emit<'_>) {
        match (self.escape, byte) {
            (_, 0x1b) => self.escape = Escape::Begun,
            (Escape::Begun, b'[') => self.escape = Escape::Control,
            (Escape::Begun, _) | (Escape::Control, 0x40..=0x7e) => self.escape = Escape::None,
            (Escape::Control, _) => {}
            (Escape::None, b'\n' | b'\r') => {
                let line = std::mem::take(&mut self.line);
                self.line_shown(line.trim_ascii(), out);
                self.line = line;
                self.line.clear();
            }
            (Escape::None, b' '..=b'~' | b'\t') if self.line.len() < MAX_LINE => self.line.push(byte),
            (Escape::None, _) => {}
        }
    }

    fn line_shown(&mut self, line: &[u8], out: &mut Emit<'_>) {
        if line.is_empty() {
            return;
        }
        busybox(line, out);
        if matches!(self.stage, Stage::Name { entered: true } | Stage::Password { entered: true })
            && ["incorrect", "fail", "denied", "invalid", "bad password", "wrong", "error"]
                .iter()
                .any(|word| has(line, word))
        {
            self.stage = Stage::Start;
            self.attempt(Outcome::Refused, out);
        }
        if self.stage == Stage::Start && !self.client_spoke && self.banner_lines < MAX_BANNER_LINES {
            self.banner_lines += 1;
            banner(line, !self.labelled, out);
            self.labelled |= line.iter().any(u8::is_ascii_alphabetic);
        }
    }

    fn look_for_prompt(&mut self, out: &mut Emit<'_>) {
        let Some(prompt) = prompt(self.line.trim_ascii_end()) else { return };
        let entered = matches!(self.stage, Stage::Name { entered: true } | Stage::Password { entered: true });
        let next = match (prompt, self.stage) {
            (Prompt::Login, stage) => {
                if entered {
                    self.attempt(Outcome::Refused, out);
                }
                if !matches!(stage, Stage::Name { entered: false }) {
                    self.login = Some(Box::default());
                }
                if stage == Stage::Start && !self.client_spoke {
                    hostname(&self.line, out);
                }
                Stage::Name { entered: false }
            }
            (Prompt::Password, Stage::Password { entered: true }) => {
                self.attempt(Outcome::Refused, out);
                Stage::Password { entered: false }
            }
            (Prompt::Password, _) => Stage::Password { entered: false },
            // A command prompt without a login before it: none was asked for, or its beginning was missed.
            (Prompt::Command, Stage::Start | Stage::Inside) => Stage::Inside,
            (Prompt::Command, _) if entered => {
                self.attempt(Outcome::Done, out);
                Stage::Inside
            }
            (Prompt::Command, stage) => stage,
        };
        if next != self.stage {
            self.stage = next;
            out.message(Side::Server, "prompt", &Shown { prompt });
        }
        self.typed = 0;
    }
}

/// What the last line of the screen asks for.
fn prompt(line: &[u8]) -> Option<Prompt> {
    let (last, before) = line.split_last()?;
    let ends = |words: &[&str]| {
        let text = before.trim_ascii_end();
        words.iter().any(|word| {
            text.len() >= word.len() && text[text.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
        })
    };
    match last {
        b':' | b'>' | b'?' if ends(&["password", "passwd", "passcode", "pass", "pwd"]) => {
            Some(Prompt::Password)
        }
        b':' | b'>' | b'?'
            if ends(&["login", "username", "user name", "user", "account", "log in", "login as"]) =>
        {
            Some(Prompt::Login)
        }
        b'#' | b'$' | b'>' | b'%' => Some(Prompt::Command),
        _ => None,
    }
}

/// Tells what a line shown before any typing says of the server.
fn banner(line: &[u8], label: bool, out: &mut Emit<'_>) {
    if label && line.iter().any(u8::is_ascii_alphabetic) {
        out.fact(Side::Server, Attribute::Label, clean(line, MAX_LINE), "telnet.banner", Confidence::LIKELY);
    }
    if let Some(system) = product::system(line) {
        out.fact(Side::Server, Attribute::OperatingSystem, system, "telnet.banner", Confidence::LIKELY);
    }
    product::maker(line, Side::Server, "telnet.banner", out);
}

/// Tells the version of BusyBox, which introduces itself at login and for each unknown command.
fn busybox(line: &[u8], out: &mut Emit<'_>) {
    const NAME: &str = "busybox v";
    let Some(at) = text::find(line, NAME) else { return };
    let version = &line[at + NAME.len()..];
    let end = version.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.')).unwrap_or(version.len());
    if end > 0 {
        let software = format!("BusyBox {}", clean(&version[..end], 16));
        out.fact(Side::Server, Attribute::Software, software, "telnet.banner", Confidence::STRONG);
        out.fact(Side::Server, Attribute::OperatingSystem, "Linux", "telnet.banner", Confidence::HINT);
    }
}

/// Tells the host name before a login prompt: `camera login:`.
fn hostname(line: &[u8], out: &mut Emit<'_>) {
    let Some(end) = text::find(line, " login:") else { return };
    let name = line[..end].trim_ascii();
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if is_name && name.len() <= 64 {
        out.fact(Side::Server, Attribute::Hostname, clean(name, 64), "telnet.login", Confidence::LIKELY);
    }
}

/// Tells the value of an option. The environment (RFC 1572) and authentication (RFC 2941) hold names and
/// secrets: of them only the option is told.
fn subnegotiation(sub: &[u8], from: Side, out: &mut Emit<'_>) {
    let Some((number, value)) = sub.split_first() else { return };
    let mut told = Subnegotiation { option: option(*number), terminal_type: None, columns: None, rows: None };
    let name;
    match (*number, value) {
        // RFC 1091: TERMINAL-TYPE IS name.
        (24, [0, terminal @ ..]) => {
            name = clean(terminal, 40);
            told.terminal_type = Some(&name);
        }
        // RFC 1073: columns and rows.
        (31, [a, b, c, d]) => {
            told.columns = Some(u16::from_be_bytes([*a, *b]));
            told.rows = Some(u16::from_be_bytes([*c, *d]));
        }
        _ => {}
    }
    out.message(from, "subnegotiation", &told);
}

#[cfg(test)]
mod tests;
