//! One host looks for others: see [`DETECTOR`].

use model::{FlowHead, Severity, Transport, What};

use super::contacts::{Contact, Contacts, FORGIVEN_EVERY, Failures};
use super::services;
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds hosts that look for others.
pub(super) const DETECTOR: Rule = Rule {
    id: "host-scan",
    title: "Host scan",
    severity: Severity::Medium,
    attack: &["T0846", "T1046"],
    finds: "A host tries to reach many others that do not answer or refuse: it does not know whom it is looking for. \
            Each first contact counts, however much time lies between them, so slow scans are found like quick ones. \
            Contacts at ports of industrial protocols are left to controller-scan; who asks for the \
            time outside does not count.",
    matters: "Looking around is the first thing an intruder does, and the way in which worms such as Mirai spread.",
    fix: "Find out what runs on the scanning host. If it is a scanner that you run, declare it as expected; if not, \
          take the host off the network and look at what it did before.",
    thresholds: &[
        Threshold {
            name: "failures",
            about: "first contacts that fail, less those that succeed",
            unit: "hosts",
            usual: 12.0,
        },
        FORGIVEN_EVERY,
    ],
    listens: &[Kind::Asked, Kind::Opened, Kind::Ended],
    keeps: "256 contacts of each watched host",
    start: || Box::<HostScan>::default(),
};

const FAILURES: usize = 0;
const FORGIVEN: usize = 1;

/// Whether somebody outside is asked for the time. Clients are given many servers of a pool by name and go on to others
/// when these do not answer (RFC 5905, section 3.1; RFC 8633, section 3.2): where answers are held back, they try ever new
/// ones.
fn asks_for_time(seen: &Seen<'_>, head: &FlowHead) -> bool {
    const NTP: u16 = 123;
    (head.transport, head.server.port) == (Transport::Udp, NTP) && seen.site.is_external(&head.server.host)
}

#[derive(Default)]
struct HostScan {
    contacts: PerHost<Contacts>,
}

impl HostScan {
    fn tell(head: &FlowHead, found: &Failures, out: &mut Out<'_>) {
        let (client, port, failed) = (&head.client.host, head.server.port, found.failed);
        let alarm = Alarm::about(*client)
            .since(found.since)
            .flows(&found.shown)
            .flow(head.id)
            .crossed(FAILURES, found.balance)
            .factor("first contacts that failed", failed, "hardly any")
            .factor("time between them", format_args!("{:.1} s", found.pace()), "does not matter");
        out.raise(alarm, || {
            let at = if port == 0 { String::new() } else { format!(", the last at port {port}") };
            format!("{client} tried to reach {failed} hosts that did not answer or refused{at}")
        });
    }
}

impl Detector for HostScan {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let (head, record) = match seen.what {
            What::FlowAsked(head) => (&**head, None),
            What::FlowOpened(head) => {
                if let Some(contacts) = self.contacts.get_mut(seen.client) {
                    contacts.answered(head.id);
                }
                return;
            }
            What::FlowEnded(record) => (&record.head, Some(record)),
            _ => return,
        };
        let client = &head.client.host;
        let (true, Some(target)) = (seen.client.is_somebody(), Addr::of(&head.server.host)) else { return };
        if services::industrial(head).is_some() || asks_for_time(seen, head) {
            return;
        }
        let limit = out.limit(FAILURES, client);
        let Some(record) = record else {
            let contacts = self.contacts.of(seen.client);
            if let Some(found) = contacts.ask(target.digest(), head, seen.at, limit) {
                Self::tell(head, &found, out);
            }
            return;
        };
        let Some(contact) = Contact::of(record) else { return };
        let contacts = self.contacts.of(seen.client);
        let Some(balance) = contacts.take(target.digest(), contact, record, out.limit(FORGIVEN, client))
        else {
            return;
        };
        if balance >= limit {
            Self::tell(head, &contacts.failures(), out);
        }
    }

    fn forget(&mut self, who: Who) {
        self.contacts.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use super::DETECTOR;
    use crate::testing::{Story, answered, datagrams, unanswered};
    use model::{TcpFlags, TcpStats, What};

    #[test]
    fn a_scan_is_found_however_slow_and_told_once() {
        for pause in [0, 1, 600] {
            let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
            for last in 1..=40 {
                story = story.wait(pause).flow(unanswered("10.0.0.5", &format!("10.0.1.{last}"), 23));
            }
            let finding = story.only();
            assert_eq!((finding.actor.to_string().as_str(), finding.victim), ("10.0.0.5", None));
            assert!((27..=29).contains(&finding.count), "{}", finding.count);
            assert!(finding.conversations.len() > 12);
        }
    }

    #[test]
    fn who_looks_quickly_is_not_waited_for() {
        let asks = |story: Story, last: u32, port: u16| {
            let head = unanswered("10.0.0.5", &format!("10.0.1.{last}"), port).head;
            story.wait_ms(25).then(What::FlowAsked(Box::new(head)))
        };
        // Forty a second: the twelfth has waited for half a second when that long has passed since it was asked.
        let story =
            (1..=31).fold(Story::of(&DETECTOR).with_host("10.0.0.5"), |story, last| asks(story, last, 23));
        story.silent();
        let story = (32..=60).fold(story, |story, last| asks(story, last, 23));
        assert_eq!(story.only().count, 1);
        // When they end it is the same scan.
        let story = (1..=60)
            .fold(story, |story, last| story.flow(unanswered("10.0.0.5", &format!("10.0.1.{last}"), 23)));
        story.only();
    }

    #[test]
    fn who_is_answered_in_time_or_is_cut_off_where_he_was_answered_is_silent() {
        let head = |last: u32| Box::new(answered("10.0.0.5", &format!("10.0.1.{last}"), 443, "tls").head);
        let story = (1..=60).fold(Story::of(&DETECTOR).with_host("10.0.0.5"), |story, last| {
            story
                .wait_ms(25)
                .then(What::FlowAsked(head(last)))
                .wait_ms(100)
                .then(What::FlowOpened(head(last)))
        });
        let story = story.flow(answered("10.0.0.5", "10.0.1.1", 443, "tls"));
        (61..=120).fold(story, |story, last| story.wait_ms(25).then(What::FlowAsked(head(last)))).silent();
    }

    #[test]
    fn who_is_answered_most_of_the_time_is_no_scanner() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for last in 1..=200 {
            let other = format!("10.0.1.{last}");
            story = match last % 3 {
                0 => story.flow(unanswered("10.0.0.5", &other, 443)),
                _ => story.flow(answered("10.0.0.5", &other, 443, "tls")),
            };
            // A dead peer that is asked again and again is one contact.
            story = story.flow(unanswered("10.0.0.5", "10.0.2.1", 443));
        }
        story.silent();
    }

    #[test]
    fn a_knock_is_a_scan_and_the_end_of_a_conversation_is_not() {
        for (flags, expected) in [(TcpFlags::SYN | TcpFlags::RST, 1), (TcpFlags::FIN | TcpFlags::ACK, 0)] {
            let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
            for last in 1..=40 {
                let mut record = answered("10.0.0.5", &format!("10.0.1.{last}"), 80, "");
                (record.sent.payload, record.received.payload) = (0, 0);
                record.tcp = record.tcp.map(|tcp| TcpStats { flags: [TcpFlags(flags); 2], ..tcp });
                story = story.flow(record);
            }
            assert_eq!(story.findings().len(), expected);
        }
    }

    #[test]
    fn who_looks_for_a_time_server_that_answers_is_no_scanner() {
        let asks = |story: Story, network: &str| {
            (1..=40).fold(story, |story, last| {
                story.wait(64).flow(datagrams("10.0.0.5", &format!("{network}.{last}"), 123, 48, 0))
            })
        };
        let story = asks(Story::of(&DETECTOR).with_host("10.0.0.5"), "203.0.113");
        story.silent();
        assert_eq!(asks(story, "10.0.1").findings().len(), 1);
    }

    #[test]
    fn made_up_senders_are_nobody() {
        let mut story = Story::of(&DETECTOR);
        for last in 1..=40 {
            story = story.flow(unanswered("203.0.113.9", &format!("10.0.1.{last}"), 23));
        }
        story.silent();
    }
}
