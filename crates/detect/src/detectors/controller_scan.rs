//! One host looks for controllers: see [`DETECTOR`].

use model::{Severity, What};

use super::contacts::{Contact, Contacts, FORGIVEN_EVERY};
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
    listens: &[Kind::Ended],
    keeps: "256 contacts of each watched host",
    start: || Box::<ControllerScan>::default(),
};

const FAILURES: usize = 0;
const FORGIVEN: usize = 1;

#[derive(Default)]
struct ControllerScan {
    contacts: PerHost<Contacts>,
}

impl Detector for ControllerScan {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        let (true, Some(protocol), Some(target), Some(contact)) = (
            seen.client.is_somebody(),
            services::industrial(&record.head),
            Addr::of(server),
            Contact::of(record),
        ) else {
            return;
        };
        let digest =
            target.digest().wrapping_add(u32::from(record.head.server.port).wrapping_mul(0x9e37_79b1));
        let contacts = self.contacts.of(seen.client);
        let Some(balance) = contacts.take(digest, contact, record, out.limit(FORGIVEN, client)) else {
            return;
        };
        if balance < out.limit(FAILURES, client) {
            return;
        }
        let failed = contacts.failed;
        let alarm = Alarm::about(*client)
            .since(contacts.since)
            .flows(&contacts.shown)
            .flow(record.head.id)
            .crossed(FAILURES, balance)
            .factor("contacts at industrial ports that failed", failed, "none but of devices that are off")
            .factor("time between them", format_args!("{:.1} s", contacts.pace()), "does not matter");
        out.raise(alarm, || {
            format!("{client} looked for controllers in {failed} places in vain, the last by {protocol} at {server}")
        });
    }

    fn forget(&mut self, who: Who) {
        self.contacts.forget(who);
    }
}

#[cfg(test)]
mod tests {
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
