//! Telling by e-mail (RFC 5322, sent by RFC 5321): what whoever runs a plant wants to read, and not too often.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::Tls;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message as Mail, SmtpTransport, Transport};
use model::ActionTaken;
use serde::Deserialize;

use super::deliver::Receiver;
use super::tls::{Place, Trust, shown};
use super::{Message, clock, webhook};
use crate::show::{moment, plain};

/// So many mails are sent within an hour at most. What comes beyond is gathered in one mail, which is one of them.
pub(crate) const MAILS_PER_HOUR: usize = 12;
/// Of what is gathered, so much is told one by one; of the rest, how much it is.
pub(crate) const MAX_GATHERED: usize = 100;
const HOUR: Duration = Duration::from_secs(3_600);
/// A server does each step within this. They take their time over whom they believe.
const STEP: Duration = Duration::from_secs(30);
/// A subject has at most so many characters: a line that is not folded, as RFC 5322, section 2.1.1, advises.
const SUBJECT_MAX: usize = 78 - "Subject: ".len();
/// Ports of mail that is handed in, with and without TLS from the beginning (RFC 8314, section 3.3; RFC 6409, section 3.1).
const TLS_PORT: u16 = 465;
const PORT: u16 = 587;

/// Who is told, as the file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    /// `smtps://HOST[:PORT]`, or `smtp://HOST[:PORT]` with STARTTLS.
    server: String,
    from: String,
    to: Vec<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

impl Options {
    pub(super) fn open(&self, of: &str) -> Result<Mailer, String> {
        let wrong = || {
            format!(
                "{of}.server = {:?}: expected smtps://HOST[:{TLS_PORT}], or smtp://HOST[:{PORT}]",
                shown(&self.server)
            )
        };
        let (is_tls, rest) = match self.server.split_once("://") {
            Some(("smtps", rest)) => (true, rest),
            Some(("smtp", rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        let place = Place::read(rest, Some(if is_tls { TLS_PORT } else { PORT })).ok_or_else(wrong)?;
        let mailbox = |key: &str, text: &String| {
            text.parse::<Mailbox>().map_err(|error| {
                format!("{of}.{key} = {text:?}: {error}; expected an address such as \"Pavise <pavise@plant.example>\"")
            })
        };
        let from = mailbox("from", &self.from)?;
        let to = self.to.iter().map(|text| mailbox("to", text)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(format!("{of}.to = []: name at least one address"));
        }
        // To this machine itself, encryption protects nothing, and its certificate is seldom one that could be checked.
        let tls = if !is_tls && self.ca.is_none() && place.is_loopback() {
            Tls::None
        } else {
            let trust = Trust::load(of, self.ca.as_deref(), None, None)?;
            let parameters = trust.for_mail(&place.host).map_err(|why| format!("{of}: {why}"))?;
            if is_tls { Tls::Wrapper(parameters) } else { Tls::Required(parameters) }
        };
        let host = super::host();
        let mut transport =
            SmtpTransport::builder_dangerous(&place.host).port(place.port).tls(tls).timeout(Some(STEP));
        // RFC 5321, section 4.1.1.1: a name, or the address if there is none.
        if !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        {
            transport = transport.hello_name(ClientId::Domain(host.clone()));
        }
        if let Some((user, password)) = super::login(of, self.user.as_deref(), self.password_file.as_deref())?
        {
            transport = transport.credentials(Credentials::new(user, password.expose().to_owned()));
        }
        let server = self.server.clone();
        Ok(Mailer { transport: transport.build(), server, from, to, host, budget: Budget::default() })
    }
}

/// How often mails are sent, and what has to wait.
#[derive(Debug, Default)]
struct Budget {
    /// When those of the last hour were.
    sent: VecDeque<Instant>,
    held: Vec<String>,
    /// How many more than those.
    more: u64,
}

impl Budget {
    /// Whether something may be sent by itself. The last mail of an hour is kept for what is gathered.
    fn may(&mut self, now: Instant) -> bool {
        if !self.held.is_empty() {
            return false;
        }
        self.forget(now);
        if self.sent.len() + 1 >= MAILS_PER_HOUR {
            return false;
        }
        self.sent.push_back(now);
        true
    }

    fn hold(&mut self, line: String) {
        if self.held.len() < MAX_GATHERED {
            self.held.push(line);
        } else {
            self.more += 1;
        }
    }

    /// When another mail may be sent again.
    fn due(&self) -> Option<Instant> {
        if self.held.is_empty() { None } else { self.sent.front().map(|at| *at + HOUR) }
    }

    /// What was held, and how many more there were.
    fn gather(&mut self, now: Instant) -> Option<(Vec<String>, u64)> {
        if self.held.is_empty() {
            return None;
        }
        self.forget(now);
        self.sent.push_back(now);
        Some((std::mem::take(&mut self.held), std::mem::take(&mut self.more)))
    }

    fn forget(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|at| now.saturating_duration_since(*at) >= HOUR) {
            self.sent.pop_front();
        }
    }
}

/// Sends mails by one server.
pub(super) struct Mailer {
    transport: SmtpTransport,
    server: String,
    from: Mailbox,
    to: Vec<Mailbox>,
    /// Who we are.
    host: String,
    budget: Budget,
}

impl Mailer {
    fn mail(&self, subject: &str, body: String) -> Option<Mail> {
        #[allow(clippy::disallowed_methods)]
        let now = std::time::SystemTime::now();
        let id = format!("<{}@pavise>", webhook::id(&format!("{subject}\n{body}")));
        let mut mail =
            Mail::builder().from(self.from.clone()).date(now).message_id(Some(id)).subject(line(subject));
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        // RFC 3834, section 5.1: nobody's absence note answers it.
        let automatic =
            HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into());
        mail.raw_header(automatic).header(ContentType::TEXT_PLAIN).body(body).ok()
    }
}

impl Receiver for Mailer {
    type Item = Message;
    type Parcel = Mail;

    fn name(&self) -> String {
        self.server.clone()
    }

    fn pack(&mut self, message: Message, now: Instant) -> Option<Mail> {
        if self.budget.may(now) {
            return self.mail(&subject(&message), body(&message, &self.host));
        }
        let id = message.taken().map_or("", |taken| &*taken.id);
        self.budget.hold(
            format!("{}  {} {id}", moment(message.event.at), plain(&message.headline)).trim_end().into(),
        );
        None
    }

    fn due(&self) -> Option<Instant> {
        self.budget.due()
    }

    fn gather(&mut self, now: Instant) -> Option<Mail> {
        let (lines, more) = self.budget.gather(now)?;
        let count = lines.len() as u64 + more;
        let subject = format!("Pavise: {count} more messages");
        let mut body = format!(
            "{count} more messages came to {} until {}; at most {MAILS_PER_HOUR} mails are sent within an hour.\r\n\r\n",
            self.host,
            moment(clock())
        );
        for line in lines {
            let _ = write!(body, "{line}\r\n");
        }
        if more > 0 {
            let _ = write!(body, "and {more} more.\r\n");
        }
        body += "\r\n`pavise actions --all` lists what was done, `pavise actions revert ID` undoes it.\r\n";
        self.mail(&subject, body)
    }

    fn send(&mut self, mail: &Mail) -> Result<(), String> {
        match self.transport.send(mail) {
            Ok(_) => Ok(()),
            Err(error) => {
                // What is at the bottom of it says most: the certificate, the answer.
                let mut text = error.to_string();
                let mut below = std::error::Error::source(&error);
                while let Some(error) = below {
                    let more = error.to_string();
                    if !text.contains(&more) {
                        text = format!("{text}: {more}");
                    }
                    below = error.source();
                }
                if error.status().is_some_and(|code| u16::from(code) == 535) {
                    text += "; look at user and password-file";
                }
                Err(plain(&text))
            }
        }
    }
}

/// Text on one line that is not too long for a subject.
fn line(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(SUBJECT_MAX - 3) {
        Some((end, _)) if text.chars().count() > SUBJECT_MAX => {
            format!("{}...", text.get(..end).unwrap_or_default())
        }
        _ => text,
    }
}

fn subject(message: &Message) -> String {
    match message.incident.as_deref() {
        Some(incident) => format!("Pavise ({}): {}", incident.severity, message.headline),
        None => format!("Pavise: {}", message.headline),
    }
}

/// What happened, to whom, what was done, until when, and how to undo it.
fn body(message: &Message, host: &str) -> String {
    let mut out = String::new();
    let mut say = |what: &str, text: &str| {
        if !text.is_empty() {
            // RFC 5322, section 2.3: lines end with both. Writing to a string cannot fail.
            let _ = write!(out, "{what:<18}{}\r\n", plain(text));
        }
    };
    let Some(taken) = message.taken() else {
        say("What happened:", &message.text);
        return out;
    };
    say("What happened:", &taken.reason);
    if let Some(incident) = message.incident.as_deref() {
        say("Severity:", incident.severity.name());
    }
    say("Device:", &taken.target);
    say("What was done:", &message.text);
    let ActionTaken { id, outcome, action, .. } = taken;
    if let Some(until) = taken.until {
        let then =
            if &**outcome == "asked" { "then it is too late to answer" } else { "then it ends by itself" };
        say("Until:", &format!("{}; {then}", moment(until)));
    }
    match &**outcome {
        "taken" if &**action == "revoke-credential" => {
            say("How to undo it:", "whoever issues credentials issues a new one");
        }
        "taken" => say("How to undo it:", &format!("pavise actions revert {id}")),
        "requested" => say("How to stop it:", &format!("pavise actions revert {id}, until it is done")),
        "asked" => say("How to answer:", &format!("pavise actions answer {id} yes (or no)")),
        "observed" => say("How to undo it:", "nothing was done: Pavise only observes here"),
        "refused" | "failed" => say("How to undo it:", "nothing was done"),
        _ => {}
    }
    if let Some(incident) = taken.incident {
        say("Incident:", &format!("{incident}; `pavise incidents {incident}` tells all of it"));
    }
    if let Some(incident) = message.incident.as_deref() {
        say("What to do first:", &incident.response);
    }
    say(
        "Told by:",
        &format!("Pavise {} on {host} at {}", env!("CARGO_PKG_VERSION"), moment(message.event.at)),
    );
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_subject_is_one_line_that_is_not_too_long(text in any::<String>()) {
            let subject = line(&text);
            prop_assert!(subject.chars().count() <= SUBJECT_MAX);
            prop_assert!(!subject.contains(char::is_control));
        }
    }

    #[test]
    fn a_long_subject_says_that_it_goes_on() {
        assert_eq!(line(&"ü".repeat(SUBJECT_MAX)), "ü".repeat(SUBJECT_MAX));
        assert_eq!(line(&"ü".repeat(SUBJECT_MAX + 1)), format!("{}...", "ü".repeat(SUBJECT_MAX - 3)));
    }

    #[test]
    fn within_any_hour_no_more_mails_are_sent_than_may_be() {
        // Whatever comes when, seeded: by itself, gathered when it is due, and at the end.
        let begun = Instant::now();
        let mut seed = 7_u64;
        let mut budget = Budget::default();
        let (mut sent, mut told, mut asked) = (Vec::new(), 0, 0);
        let mut now = begun;
        for _ in 0..5_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let next = now + Duration::from_secs((seed >> 33) % 600);
            while let Some(due) = budget.due().filter(|due| *due <= next) {
                let (lines, more) = budget.gather(due.max(now)).unwrap();
                told += lines.len() as u64 + more;
                sent.push(due.max(now));
            }
            now = next;
            asked += 1;
            if budget.may(now) {
                told += 1;
                sent.push(now);
            } else {
                budget.hold(String::new());
            }
        }
        while budget.held.is_empty() {
            asked += 1;
            if budget.may(now) {
                told += 1;
                sent.push(now);
            } else {
                budget.hold(String::new());
            }
        }
        assert!(sent.len() > MAILS_PER_HOUR);
        if let Some((lines, more)) = budget.gather(now) {
            told += lines.len() as u64 + more;
            sent.push(now);
        }
        assert_eq!(told, asked);
        let within = |from: &Instant| sent.iter().filter(|at| *at >= from && **at < *from + HOUR).count();
        let most = sent.iter().map(within).max().unwrap();
        assert_eq!(most, MAILS_PER_HOUR);
    }
}
