//! Who was attacked attacks: see [`DETECTOR`].

use std::time::Duration;

use model::{FlowHead, FlowId, Host, Severity, Timestamp, Transport, What};

use super::contacts::{Contact, Contacts, Failures};
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds worms.
pub(super) const DETECTOR: Rule = Rule {
    id: "worm-spread",
    title: "Spreading worm",
    severity: Severity::Critical,
    attack: &["T0866", "T1210", "T0867"],
    finds: "A host was reached by another at a service by which worms spread, and within a day looks for the same service \
            at others that do not answer: what was done to it, it does.",
    matters: "A worm goes from device to device by itself. Each hour that passes costs more devices.",
    fix: "Take the host off the network, and then the one from which it was reached. Close the service between the parts \
          of your network until all devices are clean.",
    thresholds: &[Threshold {
        name: "failures",
        about: "first contacts with that service that fail, less those that succeed",
        unit: "hosts",
        usual: 6.0,
    }],
    listens: &[Kind::Asked, Kind::Opened, Kind::Ended],
    keeps: "by whom each watched host was reached at 8 services, and 256 contacts of it",
    start: || Box::<WormSpread>::default(),
};

const FAILURES: usize = 0;

/// Ports by which worms have spread: Mirai and its kin (22, 23, 2323, 5555, 7547, 37215, 52869), WannaCry and NotPetya
/// (445), Blaster (135), BlueKeep (3389), and the controller worm of Spenneberg et al., "PLC-Blaster" (Black Hat Asia
/// 2016; 102).
const PORTS: [u16; 15] = [21, 22, 23, 102, 135, 139, 445, 2222, 2323, 3389, 5555, 7547, 9530, 37_215, 52_869];
/// So many services at which a host was reached are remembered.
const MAX_ENTRIES: usize = 8;
/// A worm looks for others soon after it came.
const SOON: Duration = Duration::from_secs(24 * 3600);
/// One failure is forgiven after so long, in seconds.
const FORGIVEN: f64 = 6.0 * 3600.0;

#[derive(Debug)]
struct Entry {
    port: u16,
    at: Timestamp,
    by: Host,
    flow: FlowId,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    contacts: Contacts,
}

#[derive(Default)]
struct WormSpread {
    hosts: PerHost<State>,
}

impl WormSpread {
    fn tell(head: &FlowHead, entry: &Entry, found: &Failures, out: &mut Out<'_>) {
        let (client, port, by, failed) = (&head.client.host, head.server.port, entry.by, found.failed);
        let matter = port.to_string();
        let alarm = Alarm::about(*client)
            .matter(&matter)
            .since(entry.at)
            .flows(std::slice::from_ref(&entry.flow))
            .flow(head.id)
            .crossed(FAILURES, found.balance)
            .factor("reached before at the same port by", by, "nobody")
            .factor("hosts it looked for in vain", failed, "hardly any");
        out.raise(alarm, || {
            format!("{client} was reached at port {port} by {by} and now looks for that port at others: {failed} in vain")
        });
    }
}

impl Detector for WormSpread {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let (head, record) = match seen.what {
            What::FlowAsked(head) => (&**head, None),
            What::FlowOpened(head) => {
                if let Some(state) = self.hosts.get_mut(seen.client) {
                    state.contacts.answered(head.id);
                }
                return;
            }
            What::FlowEnded(record) => (&record.head, Some(record)),
            _ => return,
        };
        let port = head.server.port;
        if head.transport != Transport::Tcp || !PORTS.contains(&port) {
            return;
        }
        let (client, server) = (&head.client.host, &head.server.host);
        let ended = record.map(|record| (record, Contact::of(record)));
        if let Some((record, Some(Contact::Answered))) = ended
            && seen.server.is_somebody()
        {
            let state = self.hosts.of(seen.server);
            state.entries.retain(|entry| entry.port != port);
            if state.entries.len() >= MAX_ENTRIES {
                state.entries.remove(0);
            }
            state.entries.push(Entry { port, at: record.last, by: *client, flow: head.id });
        }
        let (Some(target), Some(state)) = (Addr::of(server), self.hosts.get_mut(seen.client)) else { return };
        let began = record.map_or(seen.at, |record| record.first);
        let is_recent = |entry: &&Entry| entry.port == port && began.since(entry.at) < SOON;
        let Some(entry) = state.entries.iter().find(is_recent).filter(|entry| entry.at <= began) else {
            return;
        };
        let limit = out.limit(FAILURES, client);
        let found = match ended {
            None => state.contacts.ask(target.digest(), head, seen.at, limit),
            Some((_, None)) => None,
            Some((record, Some(contact))) => {
                let balance = state.contacts.take(target.digest(), contact, record, FORGIVEN);
                balance.filter(|balance| *balance >= limit).map(|_| state.contacts.failures())
            }
        };
        if let Some(found) = found {
            Self::tell(head, entry, &found, out);
        }
    }

    fn forget(&mut self, who: Who) {
        self.hosts.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use super::DETECTOR;
    use crate::testing::{Story, answered, unanswered};

    #[test]
    fn who_does_what_was_done_to_it_is_found() {
        let mut story = Story::of(&DETECTOR)
            .with_host("10.0.0.66")
            .with_host("10.0.0.9")
            .flow(answered("10.0.0.66", "10.0.0.9", 23, "telnet"))
            .wait(60);
        for last in 1..=30 {
            story = story.wait(1).flow(unanswered("10.0.0.9", &format!("203.0.113.{last}"), 23));
        }
        let finding = story.only();
        assert_eq!(finding.actor.to_string(), "10.0.0.9");
        assert!(finding.summary.contains("10.0.0.66"), "{}", finding.summary);
    }

    #[test]
    fn jump_hosts_scanners_and_old_visits_are_silent() {
        let mut story =
            Story::of(&DETECTOR).with_host("10.0.0.2").with_host("10.0.0.3").with_host("10.0.0.4");
        story = story
            .flow(answered("10.0.0.1", "10.0.0.2", 22, "ssh"))
            .flow(answered("10.0.0.1", "10.0.0.3", 22, "ssh"))
            .flow(answered("10.0.0.1", "10.0.0.4", 22, "ssh"));
        for last in 1..=40 {
            let other = format!("10.0.1.{last}");
            // An administrator goes on from a jump host; somebody else looks for printers.
            story = story
                .flow(answered("10.0.0.2", &other, 22, "ssh"))
                .flow(unanswered("10.0.0.3", &other, 9100));
        }
        story = story.wait(3 * 86_400);
        for last in 1..=40 {
            story = story.flow(unanswered("10.0.0.4", &format!("10.0.2.{last}"), 22));
        }
        story.silent();
    }
}
