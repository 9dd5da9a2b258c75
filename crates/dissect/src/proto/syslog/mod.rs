//! Syslog over UDP (RFC 5424, RFC 5426) and the older form that devices still send (RFC 3164).
//!
//! The text of a message may hold anything, passwords too, and stays where it is: only its header is told.

use std::borrow::Cow;
use std::net::IpAddr;

use model::{Attribute, Confidence};
use serde::Serialize;

use super::show::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// Syslog.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "syslog",
    name: "Syslog",
    spec: "RFC 5424, RFC 3164",
    carriers: &[Carrier::Udp(&[514])],
    probe,
    start: || Box::new(Syslog),
};

/// Largest priority: facility 23 with severity 7 (RFC 5424 clause 6.2.1).
const MAX_PRIORITY: u8 = 191;

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.stream {
        return Verdict::No;
    }
    match priority(opening.bytes) {
        Some((_, rest)) if rest.starts_with(b"1 ") && Header::new(rest).timestamp.is_some() => Verdict::Yes,
        Some(_) => Verdict::Maybe,
        None => Verdict::No,
    }
}

/// The priority and what follows it.
fn priority(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let number: u8 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    (number <= MAX_PRIORITY).then_some((number, &rest[end + 1..]))
}

/// A message's header.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Header<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    procid: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msgid: Option<Cow<'a, str>>,
}

/// What is told.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    facility: &'static str,
    severity: &'static str,
    #[serde(flatten)]
    header: Header<'a>,
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

impl<'a> Header<'a> {
    /// Reads what follows the priority. A part that is not as it should be ends the header.
    fn new(bytes: &'a [u8]) -> Self {
        if let Some(rest) = bytes.strip_prefix(b"1 ") {
            // RFC 5424 clause 6.2: words, "-" for none.
            let mut words = rest.split(|byte| *byte == b' ').map(|word| (word != b"-").then(|| text(word)));
            let mut word = || words.next().flatten();
            let timestamp = word().filter(|word| word.len() >= 20 && word.contains('T'));
            if timestamp.is_some() || rest.starts_with(b"- ") {
                return Self { timestamp, hostname: word(), app_name: word(), procid: word(), msgid: word() };
            }
        }
        Self::old(bytes).unwrap_or_default()
    }

    /// RFC 3164 clause 4.1: `Mmm dd hh:mm:ss host tag[pid]: text`. Without a time, nothing is sure.
    fn old(bytes: &'a [u8]) -> Option<Self> {
        let (time, rest) = bytes.split_at_checked(16)?;
        let shape = |at: usize, wanted: u8| time.get(at) == Some(&wanted);
        if !(shape(3, b' ') && shape(6, b' ') && shape(9, b':') && shape(12, b':') && shape(15, b' ')) {
            return None;
        }
        let mut words = rest.splitn(3, |byte| *byte == b' ');
        let (first, second) = (words.next()?, words.next());
        let mut header = Self { timestamp: Some(text(time)), ..Self::default() };
        // Some leave the host out; then the tag, which ends with a colon, comes first.
        let tag = if first.ends_with(b":") {
            first
        } else {
            header.hostname = Some(text(first)).filter(|host| !host.is_empty());
            second.filter(|word| word.ends_with(b":")).unwrap_or_default()
        };
        let tag = tag.strip_suffix(b":").unwrap_or(tag);
        let mut parts = tag.splitn(2, |byte| *byte == b'[');
        header.app_name = parts.next().map(text).filter(|name| !name.is_empty());
        header.procid = parts.next().and_then(|part| part.strip_suffix(b"]")).map(text);
        Some(header)
    }
}

/// Reads messages; each stands for itself.
struct Syslog;

impl Parser for Syslog {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        let Some((priority, rest)) = priority(input.bytes) else {
            out.anomaly(input.from, "priority", format_args!("{} bytes", input.bytes.len()));
            return taken;
        };
        let header = Header::new(rest);
        // A collector passes on what others say, so the name need not be the sender's.
        if let Some(name) = header.hostname.as_deref().filter(|name| name.parse::<IpAddr>().is_err()) {
            out.fact(input.from, Attribute::Hostname, name, "syslog.hostname", Confidence::LIKELY);
        }
        if out.wants_messages() {
            let message = Message {
                facility: FACILITIES.get(usize::from(priority >> 3)).copied().unwrap_or("unknown"),
                severity: SEVERITIES[usize::from(priority & 7)],
                header,
            };
            out.message(input.from, "message", &message);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use model::Side;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, survives};

    #[test]
    fn the_examples_of_rfc_5424_and_rfc_3164_are_read() {
        let text = converse(
            &PROTOCOL,
            &[
                (
                    Side::Client,
                    b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed",
                ),
                (
                    Side::Client,
                    b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
                ),
                (Side::Client, b"<13>Feb  5 17:32:18 10.0.0.99 sshd[412]: Use the BFG!"),
                (Side::Client, b"<0>no header"),
                (Side::Client, b"<192>1 - - - - - -"),
            ],
        );
        insta::assert_snapshot!(text, @r#"
        fact 192.0.2.10 hostname = "mymachine.example.com" (syslog.hostname, 50%)
        client message {"facility":"auth","severity":"critical","timestamp":"2003-10-11T22:14:15.003Z","hostname":"mymachine.example.com","app-name":"su","msgid":"ID47"}
        fact 192.0.2.10 hostname = "mymachine" (syslog.hostname, 50%)
        client message {"facility":"auth","severity":"critical","timestamp":"Oct 11 22:14:15","hostname":"mymachine","app-name":"su"}
        client message {"facility":"user","severity":"notice","timestamp":"Feb  5 17:32:18","hostname":"10.0.0.99","app-name":"sshd","procid":"412"}
        client message {"facility":"kern","severity":"emergency"}
        anomaly client priority: 18 bytes
        "#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            start in prop::sample::select(vec!["", "<34>", "<34>1 ", "<13>Feb  5 17:32:18 "]),
            bytes in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            survives(&PROTOCOL, &[(Side::Client, [start.as_bytes(), &bytes].concat())]);
        }
    }
}
