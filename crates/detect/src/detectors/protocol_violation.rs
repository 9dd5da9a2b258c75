//! A host breaks the rules of protocols in ever new ways: see [`DETECTOR`].

use std::time::Duration;

use model::{Severity, Timestamp, What};

use crate::hosts::{PerHost, Who};
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds hosts that send what protocols do not allow.
pub(super) const DETECTOR: Rule = Rule {
    id: "protocol-violation",
    title: "Broken protocol rules",
    severity: Severity::Medium,
    attack: &["T0866", "T1499", "T0814"],
    finds: "A host breaks the rules of protocols in several ways within an hour, or those of an industrial protocol in \
            more than one. A device that makes one mistake again and again has a defect; whoever makes many looks for \
            one.",
    matters: "Malformed messages crash devices, and some let an attacker in. Programs that look for such mistakes \
              (fuzzers) send thousands of kinds.",
    fix: "Find out what runs on the host. If it is a test, declare it as expected; if not, take it off the network. If it \
          is a device with a defect, ask its maker for new firmware.",
    thresholds: &[
        Threshold { name: "kinds", about: "kinds of violation within an hour", unit: "kinds", usual: 5.0 },
        Threshold {
            name: "industrial-kinds",
            about: "kinds of violation of one industrial protocol within an hour",
            unit: "kinds",
            usual: 3.0,
        },
    ],
    listens: &[Kind::Anomaly],
    keeps: "the last 32 kinds of violation of each watched host",
    start: || Box::<ProtocolViolation>::default(),
};

const KINDS: usize = 0;
const INDUSTRIAL_KINDS: usize = 1;

const MAX_KINDS: usize = 32;
const HOUR: Duration = Duration::from_secs(3600);

/// Layers below applications: what is odd there is mostly the sensor's doing (offloading, cut frames, lost packets).
const LOWER: [&str; 14] = [
    "ethernet", "link", "vlan", "ipv4", "ipv6", "tcp", "udp", "icmp", "icmpv6", "stream", "fragment", "sctp",
    "gre", "can",
];

/// Protocols of plants in which values are sent without being asked for; of the others see [`is_industrial`].
const STREAMS: [&str; 3] = ["goose", "sv", "profinet-rt"];

#[derive(Default)]
struct ProtocolViolation {
    /// Kinds, each with when it was last seen.
    hosts: PerHost<Vec<(Box<str>, Timestamp)>>,
}

impl Detector for ProtocolViolation {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Anomaly(anomaly) = seen.what else { return };
        let Some((protocol, _)) = anomaly.kind.split_once('.') else { return };
        if !seen.client.is_somebody() || LOWER.contains(&protocol) {
            return;
        }
        let kinds = self.hosts.of(seen.client);
        kinds.retain(|(known, at)| **known != *anomaly.kind && seen.at.since(*at) < HOUR);
        if kinds.len() >= MAX_KINDS {
            kinds.remove(0);
        }
        kinds.push((anomaly.kind.as_ref().into(), seen.at));
        let host = anomaly.host;
        let of_protocol = kinds.iter().filter(|(kind, _)| kind.split('.').next() == Some(protocol)).count();
        let is_industrial = is_industrial(protocol) || STREAMS.contains(&protocol);
        let (threshold, count) =
            if is_industrial { (INDUSTRIAL_KINDS, of_protocol) } else { (KINDS, kinds.len()) };
        let count = count as f64;
        if count < out.limit(threshold, &host) {
            return;
        }
        let severity = if is_industrial { Severity::High } else { Severity::Medium };
        let mut alarm = Alarm::about(host)
            .matter(if is_industrial { protocol } else { "" })
            .severity(severity)
            .crossed(threshold, count)
            .factor("kinds of violation within an hour", count, "none, or one that is always the same")
            .factor("the last of them", &anomaly.kind, "none");
        if let Some(flow) = &anomaly.flow {
            alarm = alarm.flow(flow.id);
        }
        out.raise(alarm, || {
            format!(
                "{host} broke the rules of protocols in {count:.0} ways within an hour, the last one {}",
                anomaly.kind
            )
        });
    }

    fn forget(&mut self, who: Who) {
        self.hosts.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::{Anomaly, Host, Severity, What};

    use super::DETECTOR;
    use crate::testing::Story;

    fn breaks(story: Story, kind: &str) -> Story {
        let host = Host::from_ip("10.0.0.5".parse().unwrap());
        let kind = kind.to_owned().into();
        story.wait(9).then(What::Anomaly(Box::new(Anomaly {
            flow: None,
            host,
            kind,
            detail: Box::default(),
        })))
    }

    #[test]
    fn a_fuzzer_is_found_and_sooner_where_controllers_are() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for kind in
            ["http.start-line", "http.no-host", "mqtt.invalid-qos", "dns.opcode", "tls.handshake-type"]
        {
            story = breaks(story, kind);
        }
        assert_eq!(story.only().severity, Severity::Medium);
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for kind in ["modbus.length", "modbus.protocol-id", "modbus.function-code"] {
            story = breaks(story, kind);
        }
        assert_eq!(story.only().severity, Severity::High);
    }

    #[test]
    fn a_defect_and_what_the_sensor_does_are_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for number in 0..200 {
            story = breaks(story, "modbus.length");
            story = breaks(story, "http.no-host");
            story = breaks(
                story,
                ["ipv4.total-length", "tcp.overlap-conflict", "udp.length", "stream.message-too-long"]
                    [number % 4],
            );
        }
        story.silent();
    }
}
