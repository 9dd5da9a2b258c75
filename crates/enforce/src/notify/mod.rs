//! Findings and incidents in the words of those who gather them. Text only: nothing is sent from here.
//!
//! Texts of findings may hold what an attacker chose: each format escapes what would end a field or a message.

mod eve;
mod ocsf;
mod otlp;

use std::fmt::Write;

use model::{Finding, Host, Incident, Party, Severity, Timestamp};

pub use eve::{Alert, Technique, community_id, eve, signature_id};
pub use ocsf::{detection_finding, incident_finding};
pub use otlp::{OTLP_SCOPE, otlp, otlp_record};

/// Most bytes of a message; what is longer loses the end of its longest text (RFC 5424, section 6.1, asks receivers for 2048).
pub const MESSAGE_MAX: usize = 8_192;
/// Most bytes of one text within a message.
pub const TEXT_MAX: usize = 1_024;
/// Facility 4, security and authorisation messages (RFC 5424, section 6.2.1).
const FACILITY: u8 = 4;
/// The number for examples and documentation (RFC 5612): Pavise has none of its own.
const ENTERPRISE: u32 = 32_473;
/// The maker and the product, as receivers file messages by them.
const PRODUCT: &str = "Pavise";

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reporter<'a> {
    /// The name or address of the host.
    pub host: &'a str,
    /// The version of Pavise.
    pub version: &'a str,
}

/// Which message it is: whoever gets it twice can drop one by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    /// Names the message, the same however often it is sent.
    pub id: &'a str,
    /// Why it is told: `raised`, `worse`, `judged`, or what came of an action.
    pub change: &'a str,
}

impl Mark<'_> {
    /// An element of structured data (RFC 5424, section 6.3).
    fn element(&self) -> String {
        let escape = |text: &str| escaped(text, &['"', '\\', ']']);
        format!("[message@{ENTERPRISE} id=\"{}\" change=\"{}\"]", escape(self.id), escape(self.change))
    }
}

/// What is told.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// A finding.
    Finding(&'a Finding),
    /// An incident.
    Incident(&'a Incident),
}

/// What all formats say of either.
struct Facts<'a> {
    id: String,
    kind: &'static str,
    /// Which sort of thing it is: the detector, or the incident's stage.
    class: &'a str,
    title: &'a str,
    text: &'a str,
    severity: Severity,
    first: Timestamp,
    last: Timestamp,
    at: Timestamp,
    count: u64,
    actor: Option<&'a Host>,
    victim: Option<&'a Host>,
    matter: &'a str,
    incident: Option<String>,
    /// What an analyst has said of it; nothing if nobody has.
    verdict: &'static str,
}

impl<'a> Told<'a> {
    fn facts(&self) -> Facts<'a> {
        match *self {
            Self::Finding(finding) => Facts {
                id: finding.id.to_string(),
                kind: "finding",
                class: &finding.detector,
                title: &finding.title,
                text: &finding.summary,
                severity: finding.severity,
                first: finding.first,
                last: finding.last,
                at: finding.raised,
                count: finding.count,
                actor: Some(&finding.actor.host),
                victim: finding.victim.as_ref().map(|victim| &victim.host),
                matter: &finding.matter,
                incident: finding.incident.map(|incident| incident.to_string()),
                verdict: finding.judgement.as_ref().map_or("", |said| said.verdict.name()),
            },
            Self::Incident(incident) => {
                let first = |parties: &'a [Party]| parties.first().map(|party| &party.host);
                Facts {
                    id: incident.id.to_string(),
                    kind: "incident",
                    class: &incident.stage,
                    title: &incident.title,
                    text: &incident.response,
                    severity: incident.severity,
                    first: incident.first,
                    last: incident.last,
                    at: incident.last,
                    count: incident.findings.len() as u64,
                    actor: first(&incident.actors),
                    victim: first(&incident.victims),
                    matter: "",
                    incident: None,
                    verdict: "",
                }
            }
        }
    }
}

/// Text without what would end a line, of at most so many bytes.
fn line(text: &str, most: usize) -> String {
    let mut out: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = most.min(out.len());
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out
}

/// Text with a backslash before each of these characters.
fn escaped(text: &str, these: &[char]) -> String {
    let mut out = String::new();
    for c in line(text, TEXT_MAX).chars() {
        if these.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A field of printable ASCII without blanks (RFC 5424, section 6), `-` if nothing is left.
fn field(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if kept.is_empty() { "-".into() } else { kept }
}

/// Milliseconds since 1970.
const fn millis(at: Timestamp) -> u64 {
    at.as_nanos() / 1_000_000
}

/// The header of a syslog message (RFC 5424, section 6.2).
fn header(facts: &Facts<'_>, reporter: Reporter<'_>) -> String {
    // RFC 5424, section 6.2.1, table 2.
    let severity = match facts.severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    };
    // At most six digits of a second's fraction (section 6.2.3).
    let at = Timestamp::from_micros(facts.at.as_nanos() / 1_000);
    format!(
        "<{}>1 {at} {} pavise - {}",
        u16::from(FACILITY) * 8 + severity,
        field(reporter.host, 255),
        field(facts.class, 32),
    )
}

/// A syslog message (RFC 5424) that carries a text in a format of its own, such as [`cef`] and [`leef`] give, without the frame of
/// its transport.
pub fn carried(told: Told<'_>, reporter: Reporter<'_>, mark: Option<Mark<'_>>, text: &str) -> String {
    let mark = mark.map_or_else(|| "-".to_owned(), |mark| mark.element());
    format!("{} {mark} {text}", header(&told.facts(), reporter))
}

/// A syslog message (RFC 5424), without the frame of its transport. The mark is an element of its own (section 6.3.2).
pub fn syslog(told: Told<'_>, reporter: Reporter<'_>, mark: Option<Mark<'_>>) -> String {
    let facts = told.facts();
    let mut out = format!("{} [{}@{ENTERPRISE}", header(&facts, reporter), facts.kind);
    // Section 6.3.3: these are escaped in values.
    let escape = |text: &str| escaped(text, &['"', '\\', ']']);
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(out, " {name}=\"{}\"", escape(value));
        }
    };
    say("id", &facts.id);
    say("severity", facts.severity.name());
    say("count", &facts.count.to_string());
    say("first", &facts.first.to_string());
    say("last", &facts.last.to_string());
    for (who, host) in [("actor", facts.actor), ("victim", facts.victim)] {
        let Some(host) = host else { continue };
        say(&format!("{who}Ip"), &host.ip.map(|ip| ip.to_string()).unwrap_or_default());
        say(&format!("{who}Mac"), &host.mac.map(|mac| mac.to_string()).unwrap_or_default());
    }
    say("matter", facts.matter);
    say("incident", &facts.incident.unwrap_or_default());
    say("verdict", facts.verdict);
    // Section 6.4: text in UTF-8 begins with a byte order mark.
    let text = format!("{}: {}", line(facts.title, TEXT_MAX), line(facts.text, TEXT_MAX));
    let mark = mark.map(|mark| mark.element()).unwrap_or_default();
    let _ = write!(out, "]{mark} \u{feff}{text}");
    line(&out, MESSAGE_MAX)
}

/// A message in the Common Event Format, revision 26, to go into a syslog message.
pub fn cef(told: Told<'_>, reporter: Reporter<'_>) -> String {
    let facts = told.facts();
    let head = |text: &str| escaped(text, &['|', '\\']);
    let mut out = format!(
        "CEF:0|{PRODUCT}|{PRODUCT}|{}|{}|{}|{}|",
        head(reporter.version),
        head(facts.class),
        head(facts.title),
        ten(facts.severity)
    );
    let mut parts = Vec::new();
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            parts.push(format!("{name}={}", escaped(value, &['=', '\\'])));
        }
    };
    say("rt", &millis(facts.at).to_string());
    say("start", &millis(facts.first).to_string());
    say("end", &millis(facts.last).to_string());
    say("cnt", &facts.count.to_string());
    say("externalId", &facts.id);
    say("dvchost", reporter.host);
    for (v4, v6, label, mac, host) in [
        ("src", "c6a2", "Source IPv6 Address", "smac", facts.actor),
        ("dst", "c6a3", "Destination IPv6 Address", "dmac", facts.victim),
    ] {
        let Some(host) = host else { continue };
        match host.ip {
            Some(ip) if ip.is_ipv4() => say(v4, &ip.to_string()),
            Some(ip) => {
                say(v6, &ip.to_string());
                say(&format!("{v6}Label"), label);
            }
            None => {}
        }
        say(mac, &host.mac.map(|mac| mac.to_string()).unwrap_or_default());
    }
    for (name, label, value) in [
        ("cs1", "Matter", facts.matter),
        ("cs2", "Incident", facts.incident.as_deref().unwrap_or("")),
        ("cs3", "Verdict", facts.verdict),
    ] {
        if !value.is_empty() {
            say(name, value);
            say(&format!("{name}Label"), label);
        }
    }
    say("msg", facts.text);
    out += &parts.join(" ");
    line(&out, MESSAGE_MAX)
}

/// A message in the Log Event Extended Format 2.0, to go into a syslog message. Attributes are separated by tabs.
pub fn leef(told: Told<'_>, reporter: Reporter<'_>) -> String {
    let facts = told.facts();
    // The format has no escapes: what would end a field is replaced.
    let head = |text: &str| line(text, TEXT_MAX).replace('|', "/");
    let out = format!("LEEF:2.0|{PRODUCT}|{PRODUCT}|{}|{}|x09|", head(reporter.version), head(facts.class));
    let mut parts = Vec::new();
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            parts.push(format!("{name}={}", line(value, TEXT_MAX)));
        }
    };
    say("devTime", &millis(facts.at).to_string());
    say("sev", &ten(facts.severity).to_string());
    say("cat", facts.kind);
    say("identHostName", reporter.host);
    for (ip, mac, host) in [("src", "srcMAC", facts.actor), ("dst", "dstMAC", facts.victim)] {
        let Some(host) = host else { continue };
        say(ip, &host.ip.map(|ip| ip.to_string()).unwrap_or_default());
        say(mac, &host.mac.map(|mac| mac.to_string()).unwrap_or_default());
    }
    say("id", &facts.id);
    say("title", facts.title);
    say("count", &facts.count.to_string());
    say("matter", facts.matter);
    say("incident", &facts.incident.unwrap_or_default());
    say("verdict", facts.verdict);
    say("msg", facts.text);
    // Each part is a line of its own words already; tabs are between them only.
    let mut out = out;
    for (position, part) in parts.iter().enumerate() {
        if out.len() + 1 + part.len() > MESSAGE_MAX {
            break;
        }
        out.push_str(if position == 0 { "" } else { "\t" });
        out.push_str(part);
    }
    out
}

/// A severity from 0 to 10, as CEF and LEEF have it: up to 3 low, up to 6 medium, up to 8 high, beyond very high.
const fn ten(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}

#[cfg(test)]
mod tests;
