//! One host tries the doors of another: see [`DETECTOR`].

use model::{FlowRecord, Severity, Transport, What};

use super::contacts::{Contact, Contacts, FORGIVEN_EVERY};
use super::few::Few;
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds hosts that try many ports of another.
pub(super) const DETECTOR: Rule = Rule {
    id: "port-scan",
    title: "Port scan",
    severity: Severity::Medium,
    attack: &["T1046", "T0846"],
    finds: "A host tries many ports of another that are closed or do not answer: it does not know what it is looking \
            for. Each port counts once, however much time lies between them.",
    matters: "Whoever tries all doors of a device wants to know by which one to get in. Some controllers stop working \
              under a scan.",
    fix: "Find out what runs on the scanning host. If it is a scanner that you run, declare it as expected; if not, \
          take the host off the network and close the ports of its victim that nobody needs.",
    thresholds: &[
        Threshold {
            name: "failures",
            about: "first contacts with ports of one host that fail, less those that succeed",
            unit: "ports",
            usual: 15.0,
        },
        FORGIVEN_EVERY,
    ],
    listens: &[Kind::Ended],
    keeps: "256 ports of each of the 4096 pairs of hosts that met last, and 4 victims of each watched host",
    start: || Box::new(PortScan { pairs: Table::new(MAX_PAIRS), few: PerHost::default() }),
};

const FAILURES: usize = 0;
const FORGIVEN: usize = 1;

/// So many pairs of hosts are watched.
const MAX_PAIRS: usize = 4096;

/// More packets than these are no question whether anybody is there: media are often sent without any answer.
const MAX_PROBE: u64 = 3;

struct PortScan {
    pairs: Table<(Who, Who), Contacts>,
    few: PerHost<Few>,
}

/// Whether a conversation may be a knock at a door. Traceroute counts UDP ports up from 33434 until somebody answers;
/// and a datagram from a well-known port to another is an answer whose question was not seen.
fn is_knock(record: &FlowRecord) -> bool {
    match record.head.transport {
        Transport::Tcp => true,
        Transport::Udp => {
            let (from, to) = (record.head.client.port, record.head.server.port);
            record.sent.packets <= MAX_PROBE
                && !(33_434..=33_534).contains(&to)
                && (from >= 1024 || to < 1024)
        }
        _ => false,
    }
}

impl Detector for PortScan {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        // Hosts that do not exist have no doors: looking for them is another matter.
        let (true, true, Some(contact)) =
            (seen.client.is_somebody(), seen.server.is_somebody(), Contact::of(record))
        else {
            return;
        };
        if !is_knock(record) {
            return;
        }
        let digest =
            u32::from(record.head.server.port) << 1 | u32::from(record.head.transport == Transport::Udp);
        let (contacts, _) = self.pairs.entry((seen.client, seen.server), Contacts::default);
        let Some(balance) = contacts.take(digest, contact, record, out.limit(FORGIVEN, client)) else {
            return;
        };
        if balance < out.limit(FAILURES, client) {
            return;
        }
        let failed = contacts.failed;
        let mut alarm = Alarm::about(*client)
            .since(contacts.since)
            .flows(&contacts.shown)
            .flow(record.head.id)
            .crossed(FAILURES, balance)
            .factor("ports that were closed or silent", failed, "hardly any")
            .factor("time between them", format_args!("{:.1} s", contacts.pace()), "does not matter");
        let is_named = Addr::of(server).is_some_and(|addr| self.few.of(seen.client).names(addr.digest()));
        if is_named {
            alarm = alarm.to(*server);
        }
        out.raise(alarm, || {
            let others = if is_named { "" } else { ", and others of several hosts" };
            format!("{client} tried {failed} ports of {server} that were closed or silent{others}")
        });
    }

    fn forget(&mut self, who: Who) {
        self.few.forget(who);
        for ((client, server), contacts) in self.pairs.iter_mut() {
            if *client == who || *server == who {
                *contacts = Contacts::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DETECTOR;
    use crate::testing::{Story, answered, datagrams, unanswered};

    #[test]
    fn many_closed_ports_of_one_host_are_a_scan() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
        for port in 1..=40 {
            story = story.wait(60).flow(unanswered("10.0.0.5", "10.0.0.9", port));
        }
        let finding = story.only();
        assert_eq!(finding.victim.unwrap().to_string(), "10.0.0.9");
        assert_eq!(finding.crossed.unwrap().limit, 15.0);
    }

    #[test]
    fn a_scan_of_a_whole_network_gives_few_findings() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for last in 10..60 {
            let victim = format!("10.0.0.{last}");
            story = story.with_host(&victim);
            for port in 1..=20 {
                story = story.flow(unanswered("10.0.0.5", &victim, port));
            }
        }
        assert_eq!(story.findings().len(), 5);
    }

    #[test]
    fn media_traceroute_answers_and_retries_are_no_scan() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
        for number in 0..60 {
            let mut late = datagrams("10.0.0.5", "10.0.0.9", 50_000 + number, 80, 0);
            late.head.client.port = 53;
            story = story
                .flow(datagrams("10.0.0.5", "10.0.0.9", 20_000 + 2 * number, 400_000, 0))
                .flow(datagrams("10.0.0.5", "10.0.0.9", 33_434 + number, 40, 0))
                .flow(late)
                .flow(unanswered("10.0.0.5", "10.0.0.9", 502))
                .flow(answered("10.0.0.5", "10.0.0.9", 40_000 + number, "ftp-data"));
        }
        story.silent();
    }
}
