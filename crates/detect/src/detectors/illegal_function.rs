//! Requests that an industrial protocol does not know: see [`DETECTOR`].

use model::{Severity, Timestamp, What};

use super::habit::PAIRS;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds hosts that send what an industrial protocol does not allow.
pub(super) const DETECTOR: Rule = Rule {
    id: "illegal-function",
    title: "Illegal requests of an industrial protocol",
    severity: Severity::Medium,
    attack: &["T0814", "T0866"],
    finds: "A host sends functions, types, quantities or values that the protocol's standard does not have, or answers \
            that nobody asked for. What packet loss or a cut capture can make look wrong does not count.",
    matters: "No product sends these. Fuzzers and exploits do: many controllers stop at a single malformed request, and \
              some run what it holds.",
    fix: "Find out what runs on the host and whether the other end still works as it should. Ask its maker for corrected \
          firmware, and let only known stations reach it.",
    thresholds: &[
        Threshold {
            name: "requests",
            about: "illegal requests of one host to one other",
            unit: "requests",
            usual: 3.0,
        },
        Threshold {
            name: "forgiven-every",
            about: "one is forgiven after so long",
            unit: "s",
            usual: 3600.0,
        },
    ],
    listens: &[Kind::Anomaly],
    keeps: "a count for each of 4096 pairs of hosts",
    start: || Box::new(IllegalFunction { sent: Table::new(PAIRS) }),
};

const REQUESTS: usize = 0;
const FORGIVEN: usize = 1;

/// What no product sends, by the second part of an anomaly's kind.
const ILLEGAL: &[&str] = &[
    "illegal-function",
    "illegal-type",
    "illegal-quantity",
    "illegal-value",
    "protocol-id",
    "control-field",
    "command",
    "unmatched-confirmation",
];

#[derive(Debug, Default)]
struct Sent {
    balance: f64,
    count: u32,
    since: Timestamp,
    last: Timestamp,
}

struct IllegalFunction {
    sent: Table<(Addr, Addr), Sent>,
}

impl Detector for IllegalFunction {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Anomaly(anomaly) = seen.what else { return };
        let Some((protocol, reason)) = anomaly.kind.split_once('.') else { return };
        let Some(flow) =
            anomaly.flow.as_ref().filter(|_| is_industrial(protocol) && ILLEGAL.contains(&reason))
        else {
            return;
        };
        let host = anomaly.host;
        let is_client = Addr::of(&flow.client.host) == Addr::of(&host);
        let peer = if is_client { flow.server.host } else { flow.client.host };
        let (true, Some(actor), Some(victim)) = (seen.client.is_somebody(), Addr::of(&host), Addr::of(&peer))
        else {
            return;
        };
        let at = seen.at;
        let (sent, _) = self.sent.entry((actor, victim), Sent::default);
        let forgiven = at.since(sent.last).as_secs_f64() / out.limit(FORGIVEN, &host);
        sent.last = sent.last.max(at);
        sent.balance = (sent.balance - forgiven).max(0.0);
        if sent.balance == 0.0 {
            (sent.count, sent.since) = (0, at);
        }
        sent.balance += 1.0;
        sent.count += 1;
        if sent.balance < out.limit(REQUESTS, &host) {
            return;
        }
        let count = sent.count;
        let alarm = Alarm::about(host)
            .to(peer)
            .since(sent.since)
            .flow(flow.id)
            .crossed(REQUESTS, sent.balance)
            .factor("the last of them", format_args!("{}: {}", anomaly.kind, anomaly.detail), "none");
        out.raise(alarm, || {
            format!(
                "{host} sent {peer} {count} times what {protocol} does not allow, the last {reason}: {}",
                anomaly.detail
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{Anomaly, Transport, What};

    use super::DETECTOR;
    use crate::testing::{Story, head};

    fn anomaly(kind: &'static str) -> What {
        let flow = head("10.0.0.5", "10.0.0.1", 502, Transport::Tcp);
        let (host, detail) = (flow.client.host, "function code 200".into());
        What::Anomaly(Box::new(Anomaly { flow: Some(flow), host, kind: kind.into(), detail }))
    }

    fn story(kind: &'static str, pause: u64) -> Story {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.1").with_host("10.0.0.5");
        for _ in 0..20 {
            story = story.then(anomaly(kind)).wait(pause);
        }
        story
    }

    #[test]
    fn what_no_product_sends_is_told_after_a_few() {
        let finding = story("dnp3.illegal-function", 10).only();
        assert!((17..=18).contains(&finding.count), "{}", finding.count);
        assert!(
            finding
                .summary
                .ends_with("times what dnp3 does not allow, the last illegal-function: function code 200"),
            "{}",
            finding.summary
        );
    }

    #[test]
    fn what_loss_looks_like_what_is_rare_and_what_is_not_industrial_are_silent() {
        story("dnp3.crc", 1).silent();
        story("modbus.illegal-function", 7200).silent();
        story("http.illegal-value", 1).silent();
    }
}
