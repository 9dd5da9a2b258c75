//! Numbers for Prometheus, in its text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). A pure
//! function of plain numbers: who asks for them and how they are served is not known here.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::{Severity, Timestamp};

use crate::Status;

/// What the answer is to be called by HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// So many values of a label are told one by one; what is beyond them is told together as `other`.
pub const LABELS_MAX: usize = 1_000;

/// What is told. Counters only grow while a state is kept; all else is as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// The version of Pavise.
    pub version: String,
    /// Packets read.
    pub packets: u64,
    /// Bytes of those packets on the wire.
    pub bytes: u64,
    /// Packets that the kernel dropped before Pavise saw them.
    pub dropped: u64,
    /// Time of the latest packet.
    pub latest: Option<Timestamp>,
    /// Devices, by how far they are trusted.
    pub devices: BTreeMap<String, u64>,
    /// Findings that stand, by severity and detector.
    pub findings: BTreeMap<(Severity, String), u64>,
    /// Incidents that go on, by severity.
    pub incidents: BTreeMap<Severity, u64>,
    /// How often each limit was reached: things that were given up.
    pub limits: BTreeMap<String, u64>,
    /// How it stands with those who are told.
    pub receivers: Vec<Status>,
    /// The time of the clock, against which ages are told.
    pub now: Timestamp,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// The text, of which each line ends with a line feed.
pub fn write(numbers: &Numbers) -> String {
    let mut page = Page::default();
    use Kind::{Counter, Gauge};
    page.family("pavise_build_info", Gauge, "The version of Pavise; the value is always 1.");
    page.sample("pavise_build_info", &[("version", &numbers.version)], 1);
    page.alone("pavise_packets_total", Counter, "Packets read.", numbers.packets);
    page.alone("pavise_bytes_total", Counter, "Bytes of the packets read, on the wire.", numbers.bytes);
    page.alone(
        "pavise_dropped_packets_total",
        Counter,
        "Packets that the kernel dropped before they were read.",
        numbers.dropped,
    );
    if let Some(latest) = numbers.latest {
        page.family(
            "pavise_latest_packet_timestamp_seconds",
            Gauge,
            "Time of the latest packet, in seconds since 1970.",
        );
        page.line("pavise_latest_packet_timestamp_seconds", &[], &seconds(latest));
    }
    page.family("pavise_devices", Gauge, "Devices, by how far they are trusted.");
    for (trust, count) in bounded(&numbers.devices) {
        page.sample("pavise_devices", &[("trust", trust)], count);
    }
    page.family("pavise_findings", Gauge, "Findings that stand, by severity and detector.");
    for (severity, detectors) in by_severity(&numbers.findings) {
        for (detector, count) in bounded(&detectors) {
            page.sample("pavise_findings", &[("severity", severity.name()), ("detector", detector)], count);
        }
    }
    page.family("pavise_open_incidents", Gauge, "Incidents that go on, by severity.");
    for severity in Severity::ALL {
        let count = numbers.incidents.get(&severity).copied().unwrap_or_default();
        page.sample("pavise_open_incidents", &[("severity", severity.name())], count);
    }
    page.family("pavise_shed_total", Counter, "Things given up to stay within a limit.");
    for (limit, count) in bounded(&numbers.limits) {
        page.sample("pavise_shed_total", &[("limit", limit)], count);
    }
    receivers(&mut page, numbers);
    page.0
}

fn receivers(page: &mut Page, numbers: &Numbers) {
    type Get = fn(&Status) -> u64;
    let all: [(&str, Kind, &str, Get); 6] = [
        ("pavise_outbox_messages", Kind::Gauge, "Messages that wait for a receiver.", |status| {
            status.waiting
        }),
        ("pavise_outbox_bytes", Kind::Gauge, "Bytes of the messages that wait for a receiver.", |status| {
            status.bytes
        }),
        ("pavise_outbox_failures", Kind::Gauge, "Tries in vain in a row.", |status| {
            u64::from(status.failures)
        }),
        ("pavise_outbox_delivered_total", Kind::Counter, "Messages that a receiver has taken.", |status| {
            status.delivered
        }),
        (
            "pavise_outbox_given_up_total",
            Kind::Counter,
            "Messages given up for age or want of room.",
            |status| status.given_up,
        ),
        ("pavise_outbox_dropped_total", Kind::Counter, "Messages that somebody has dropped.", |status| {
            status.dropped
        }),
    ];
    for (name, kind, help, get) in all {
        page.family(name, kind, help);
        for status in &numbers.receivers {
            page.sample(name, &[("receiver", &status.receiver)], get(status));
        }
    }
    let name = "pavise_outbox_oldest_age_seconds";
    page.family(name, Kind::Gauge, "Age of the oldest message that waits for a receiver; 0 if none does.");
    for status in &numbers.receivers {
        let age = status.oldest.map_or(0, |oldest| numbers.now.since(oldest).as_secs());
        page.sample(name, &[("receiver", &status.receiver)], age);
    }
}

fn by_severity(findings: &BTreeMap<(Severity, String), u64>) -> BTreeMap<Severity, BTreeMap<String, u64>> {
    let mut all: BTreeMap<Severity, BTreeMap<String, u64>> = BTreeMap::new();
    for ((severity, detector), count) in findings {
        all.entry(*severity).or_default().insert(detector.clone(), *count);
    }
    all
}

/// The first [`LABELS_MAX`] of them, and the sum of the rest as `other`.
fn bounded(all: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut out: Vec<_> =
        all.iter().take(LABELS_MAX).map(|(label, count)| (label.as_str(), *count)).collect();
    if all.len() > LABELS_MAX {
        out.push(("other", all.values().skip(LABELS_MAX).fold(0, |sum, count| sum.saturating_add(*count))));
    }
    out
}

fn seconds(at: Timestamp) -> String {
    format!("{}.{:09}", at.as_secs(), at.as_nanos() % 1_000_000_000)
}

/// The text so far.
#[derive(Default)]
struct Page(String);

impl Page {
    /// Begins a metric: its lines follow, and those of no other, until the next.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // In help, backslashes and line feeds are escaped. Writing to a string cannot fail.
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn alone(&mut self, name: &str, kind: Kind, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.line(name, labels, &value.to_string());
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            // In values of labels, quotes are escaped, too.
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if position == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

#[cfg(test)]
mod tests;
