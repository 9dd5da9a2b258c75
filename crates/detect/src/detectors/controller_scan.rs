//! One host looks for controllers: see [`DETECTOR`].

use model::{FlowHead, Severity, What};

use super::contacts::{Contact, Contacts, FORGIVEN_EVERY, Failures};
use super::services;
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds hosts that look for industrial controllers.
pub(super) const DETECTOR: Rule = Rule {
    id: "controller-scan",
    title: "Search for controllers",
    severity: Severity::High,
    attack: &["T0846", "T0888"],
    finds: "A host tries ports of industrial protocols at hosts that do not answer there or refuse: it looks for \
            controllers without knowing where they are. A host and a port count once, however much time lies between.",
    matters: "Malware for plants, such as Industroyer and Incontroller, begins by looking for controllers. Whoever has \
              found one can read it, and often stop or change it.",
    fix: "Find out what runs on the host that looks. Engineering tools with a search function do this too: if somebody \
          is using one, declare the host as expected; if not, take it off the network at once.",
    thresholds: &[
        Threshold {
            name: "failures",
            about: "first contacts at industrial ports that fail, less those that succeed",
            unit: "contacts",
            usual: 8.0,
        },
        FORGIVEN_EVERY,
    ],
    listens: &[Kind::Asked, Kind::Opened, Kind::Ended],
    keeps: "256 contacts of each watched host",
    start: || Box::<ControllerScan>::default(),
};

const FAILURES: usize = 0;
const FORGIVEN: usize = 1;

#[derive(Default)]
struct ControllerScan {
    contacts: PerHost<Contacts>,
}

impl ControllerScan {
    fn tell(head: &FlowHead, protocol: &str, found: &Failures, out: &mut Out<'_>) {
        let (client, server, failed) = (&head.client.host, &head.server.host, found.failed);
        let alarm = Alarm::about(*client)
            .since(found.since)
            .flows(&found.shown)
            .flow(head.id)
            .crossed(FAILURES, found.balance)
            .factor("contacts at industrial ports that failed", failed, "none but of devices that are off")
            .factor("time between them", format_args!("{:.1} s", found.pace()), "does not matter");
        out.raise(alarm, || {
            format!("{client} looked for controllers in {failed} places in vain, the last by {protocol} at {server}")
        });
    }
}

impl Detector for ControllerScan {
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
        let (client, server) = (&head.client.host, &head.server.host);
        let (true, Some(protocol), Some(target)) =
            (seen.client.is_somebody(), services::industrial(head), Addr::of(server))
        else {
            return;
        };
        let digest = target.digest().wrapping_add(u32::from(head.server.port).wrapping_mul(0x9e37_79b1));
        let limit = out.limit(FAILURES, client);
        let Some(record) = record else {
            if let Some(found) = self.contacts.of(seen.client).ask(digest, head, seen.at, limit) {
                Self::tell(head, protocol, &found, out);
            }
            return;
        };
        let Some(contact) = Contact::of(record) else { return };
        let contacts = self.contacts.of(seen.client);
        let Some(balance) = contacts.take(digest, contact, record, out.limit(FORGIVEN, client)) else {
            return;
        };
        if balance >= limit {
            Self::tell(head, protocol, &contacts.failures(), out);
        }
    }

    fn forget(&mut self, who: Who) {
        self.contacts.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::What;

    use super::DETECTOR;
    use crate::testing::{Story, answered, unanswered};

    #[test]
    fn a_sweep_for_controllers_is_found_although_some_answer() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for last in 1..=30 {
            let other = format!("10.0.1.{last}");
            story = match last % 5 {
                0 => story.flow(answered("10.0.0.5", &other, 102, "s7comm")),
                _ => story.flow(unanswered("10.0.0.5", &other, 102)),
            };
        }
        let finding = story.only();
        assert!(finding.summary.contains("ISO-TSAP"), "{}", finding.summary);
    }

    #[test]
    fn who_looks_quickly_is_not_waited_for() {
        let asks = |story: Story, last: u32, port: u16| {
            let head = unanswered("10.0.0.5", &format!("10.0.1.{last}"), port).head;
            story.wait_ms(25).then(What::FlowAsked(Box::new(head)))
        };
        let sweep = |port| {
            (1..=40).fold(Story::of(&DETECTOR).with_host("10.0.0.5"), |story, last| asks(story, last, port))
        };
        let finding = sweep(502).only();
        assert!(finding.summary.contains("in vain, the last by Modbus"), "{}", finding.summary);
        assert!(finding.raised.since(finding.first) < std::time::Duration::from_secs(1));
        sweep(80).silent();
    }

    #[test]
    fn a_control_system_that_polls_what_it_knows_is_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for last in 1..=60 {
            story = story.flow(answered("10.0.0.5", &format!("10.0.1.{last}"), 502, "modbus"));
        }
        // The plant is switched off for the night: the same controllers no longer answer.
        for last in 1..=60 {
            story = story.wait(5).flow(unanswered("10.0.0.5", &format!("10.0.1.{last}"), 502));
        }
        // Looking for web servers is another matter.
        for last in 1..=60 {
            story = story.flow(unanswered("10.0.0.5", &format!("10.0.2.{last}"), 80));
        }
        story.silent();
    }
}
