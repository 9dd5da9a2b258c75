//! Telling by e-mail (RFC 5322, sent by RFC 5321): what whoever runs a plant wants to read, and not too often.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::Tls;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message as Mail, SmtpTransport, Transport};
use model::{ActionTaken, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::deliver::{Carrier, Most};
use crate::notice::{About, Notice};
use crate::secret::login;
use crate::text::{moment, plain};
use crate::tls::{Place, Trust, shown};
use crate::{Letter, webhook};

/// So many mails are sent within an hour at most. What comes beyond is gathered in one mail, which is one of them.
pub const MAILS_PER_HOUR: usize = 12;
/// Of what is gathered, so much is told one by one; of the rest, how much it is.
pub const MAX_GATHERED: usize = 100;
/// So many messages are gathered in one mail; of those that are not told one by one it says how many.
const GATHERED_AT_ONCE: usize = 1_000;
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
    pub(super) severity: Option<Severity>,
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
        let host = crate::settings::host();
        let mut transport =
            SmtpTransport::builder_dangerous(&place.host).port(place.port).tls(tls).timeout(Some(STEP));
        // RFC 5321, section 4.1.1.1: a name, or the address if there is none.
        if !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        {
            transport = transport.hello_name(ClientId::Domain(host.clone()));
        }
        if let Some((user, password)) = login(of, self.user.as_deref(), self.password_file.as_deref())? {
            transport = transport.credentials(Credentials::new(user, password.expose().to_owned()));
        }
        let server = self.server.clone();
        Ok(Mailer { transport: transport.build(), server, from, to, host, budget: Budget::default() })
    }
}

/// How often mails are sent.
#[derive(Debug, Default)]
struct Budget {
    /// When those of the last hour were.
    sent: VecDeque<Timestamp>,
    /// Whether something has to wait, to be gathered.
    is_holding: bool,
    /// Whether Pavise is about to end.
    is_last: bool,
}

impl Budget {
    /// How many messages go into the next mail, of so many that wait.
    fn most(&mut self, waiting: u64, now: Timestamp) -> Most {
        while self.sent.front().is_some_and(|at| now.since(*at) >= HOUR || *at > now) {
            self.sent.pop_front();
        }
        let all = Most::Now(GATHERED_AT_ONCE);
        match self.sent.front() {
            _ if self.is_last && self.sent.len() < MAILS_PER_HOUR => all,
            // The last mail of an hour is kept for what is gathered, when the hour is over or Pavise ends.
            Some(first) if self.sent.len() + 1 >= MAILS_PER_HOUR => {
                self.is_holding = true;
                Most::After(*first + HOUR)
            }
            _ if self.is_holding && waiting > 1 => all,
            _ => Most::Now(1),
        }
    }

    /// A mail was sent.
    fn sent(&mut self, now: Timestamp) {
        self.is_holding = false;
        self.sent.push_back(now);
    }
}

/// What a mail is made of, as it lies in the outbox.
#[derive(Serialize, Deserialize)]
struct Written {
    subject: String,
    body: String,
    /// The same as one line among others.
    line: String,
}

/// What is put into the outbox to be mailed.
pub(crate) fn written(notice: &Notice, host: &str) -> Option<String> {
    let id = match &notice.about {
        About::Action { .. } => notice.taken().map_or_else(String::new, |taken| taken.id.to_string()),
        About::Finding { finding, .. } => finding.id.to_string(),
        About::Incident(incident) => incident.id.to_string(),
    };
    let line = format!("{}  {} {id}", moment(at(notice)), plain(&notice.headline));
    let written =
        Written { subject: subject(notice), body: body(notice, host), line: line.trim_end().to_owned() };
    serde_json::to_string(&written).ok()
}

/// When it happened.
fn at(notice: &Notice) -> Timestamp {
    match &notice.about {
        About::Action { event, .. } => event.at,
        About::Finding { finding, .. } => finding.last,
        About::Incident(incident) => incident.last,
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
    /// Who is told, without secrets.
    pub(super) fn name(&self) -> String {
        self.server.clone()
    }

    fn mail(&self, id: &str, subject: &str, body: String, now: Timestamp) -> Result<Mail, String> {
        let id = format!("<{id}@pavise>");
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let mut mail =
            Mail::builder().from(self.from.clone()).date(date).message_id(Some(id)).subject(line(subject));
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        // RFC 3834, section 5.1: nobody's absence note answers it.
        let automatic =
            HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into());
        let mail = mail.raw_header(automatic).header(ContentType::TEXT_PLAIN).body(body);
        mail.map_err(|error| error.to_string())
    }

    /// What was gathered, in one mail.
    fn gathered(&self, letters: &[Letter], all: &[Written], now: Timestamp) -> Result<Mail, String> {
        let count = all.len();
        let subject = format!("Pavise: {count} more messages");
        let mut body = format!(
            "{count} more messages came to {} until {}; at most {MAILS_PER_HOUR} mails are sent within an hour.\r\n\r\n",
            self.host,
            moment(now)
        );
        for written in all.iter().take(MAX_GATHERED) {
            let _ = write!(body, "{}\r\n", plain(&written.line));
        }
        if let Some(more) = count.checked_sub(MAX_GATHERED).filter(|more| *more > 0) {
            let _ = write!(body, "and {more} more.\r\n");
        }
        body += "\r\n`pavise actions --all` lists what was done, `pavise actions revert ID` undoes it.\r\n";
        let ids: String = letters.iter().map(|letter| letter.id.as_str()).collect();
        self.mail(&webhook::id(&ids), &subject, body, now)
    }

    fn hand_over(&self, mail: &Mail) -> Result<(), String> {
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

impl Carrier for Mailer {
    fn most(&mut self, waiting: u64, now: Timestamp) -> Most {
        self.budget.most(waiting, now)
    }

    fn send(&mut self, letters: &[Letter], _: u64, now: Timestamp) -> Result<(), String> {
        let all: Result<Vec<Written>, _> =
            letters.iter().map(|letter| serde_json::from_str(&letter.body)).collect();
        let mut all =
            all.map_err(|error| format!("what is to be mailed cannot be read: {error}; drop it"))?;
        let mail = match (letters, all.as_mut_slice()) {
            ([letter], [written]) => {
                self.mail(&letter.id, &written.subject, std::mem::take(&mut written.body), now)?
            }
            (letters, all) => self.gathered(letters, all, now)?,
        };
        self.hand_over(&mail)?;
        self.budget.sent(now);
        Ok(())
    }

    fn ends(&mut self) {
        self.budget.is_last = true;
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

fn subject(notice: &Notice) -> String {
    match notice.severity() {
        Some(severity) => format!("Pavise ({severity}): {}", notice.headline),
        None => format!("Pavise: {}", notice.headline),
    }
}

/// What happened, to whom, what was done, until when, and how to undo it.
fn body(notice: &Notice, host: &str) -> String {
    let mut out = String::new();
    let mut say = |what: &str, text: &str| {
        if !text.is_empty() {
            // RFC 5322, section 2.3: lines end with both. Writing to a string cannot fail.
            let _ = write!(out, "{what:<18}{}\r\n", plain(text));
        }
    };
    match &notice.about {
        About::Action { incident, .. } => match notice.taken() {
            Some(taken) => {
                action(taken, notice, &mut say);
                if let Some(incident) = incident {
                    say("What to do first:", &incident.response);
                }
            }
            None => say("What happened:", &notice.text),
        },
        About::Finding { finding, .. } => {
            say("What happened:", &format!("{}: {}", finding.title, finding.summary));
            say("Severity:", finding.severity.name());
            say("Who did it:", &finding.actor.to_string());
            say("To whom:", &finding.victim.map(|victim| victim.to_string()).unwrap_or_default());
            if let Some(judgement) = &finding.judgement {
                say("Judged:", &format!("{} {}", judgement.verdict, judgement.reason));
            }
            say("More:", &format!("`pavise finding {}` tells all of it", finding.id));
        }
        About::Incident(incident) => {
            say("What happened:", &incident.title);
            say("Severity:", incident.severity.name());
            say("How far:", &incident.stage);
            say("What to do first:", &incident.response);
            say("Incident:", &format!("{0}; `pavise incidents {0}` tells all of it", incident.id));
        }
    }
    say("Told by:", &format!("Pavise {} on {host} at {}", env!("CARGO_PKG_VERSION"), moment(at(notice))));
    out
}

/// What was done.
fn action(taken: &ActionTaken, notice: &Notice, say: &mut impl FnMut(&str, &str)) {
    say("What happened:", &taken.reason);
    if let Some(severity) = notice.severity() {
        say("Severity:", severity.name());
    }
    say("Device:", &taken.target);
    say("What was done:", &notice.text);
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
        let mut seed = 7_u64;
        let mut budget = Budget::default();
        let (mut sent, mut waiting, mut told, mut asked) = (Vec::new(), 0_u64, 0, 0);
        let mut now = Timestamp::from_secs(1_700_000_000);
        let mut gathered = 0;
        for step in 0..5_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now = now + Duration::from_secs((seed >> 33) % 300);
            waiting += 1;
            asked += 1;
            budget.is_last = step == 4_999;
            while waiting > 0 {
                match budget.most(waiting, now) {
                    Most::Now(most) => {
                        let taken = waiting.min(most as u64);
                        gathered += u64::from(taken > 1);
                        (waiting, told) = (waiting - taken, told + taken);
                        budget.sent(now);
                        sent.push(now);
                    }
                    Most::After(until) => {
                        assert!(until > now);
                        break;
                    }
                }
            }
        }
        assert!(gathered > 10 && sent.len() > MAILS_PER_HOUR);
        assert_eq!((told, waiting), (asked, 0));
        let within = |from: &Timestamp| sent.iter().filter(|at| *at >= from && **at < *from + HOUR).count();
        let most = sent.iter().map(within).max().unwrap();
        assert_eq!(most, MAILS_PER_HOUR);
    }
}
