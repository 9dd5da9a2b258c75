//! One host asks the link for everybody: see [`DETECTOR`].

use std::collections::VecDeque;
use std::net::IpAddr;

use model::{FlowId, Host, OperationKind, Role, Severity, Timestamp, What};

use super::contacts::{Contact, Contacts, PATIENCE};
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds hosts that look for others on their own link.
pub(super) const DETECTOR: Rule = Rule {
    id: "arp-scan",
    title: "Search on the link",
    severity: Severity::Medium,
    attack: &["T0846", "T1046"],
    finds: "A host asks by ARP for the link-layer addresses of many hosts that do not exist: it goes through a range of \
            addresses to see who is there. Routers and DHCP servers do so on behalf of others and are left out.",
    matters: "On the own link this is how intruders and their tools look around, before any connection is made.",
    fix: "Find out what runs on the host. If it is a tool of yours for taking inventory, declare it as expected; if not, \
          take the host off the network and look at what it did before.",
    thresholds: &[
        Threshold {
            name: "addresses",
            about: "addresses that nobody has, less those that somebody has",
            unit: "addresses",
            usual: 32.0,
        },
        Threshold {
            name: "forgiven-every",
            about: "one address is forgiven after so long",
            unit: "s",
            usual: 3600.0,
        },
    ],
    listens: &[Kind::Operation],
    keeps: "256 questions and as many addresses of each watched host",
    start: || Box::<ArpScan>::default(),
};

const ADDRESSES: usize = 0;
const FORGIVEN: usize = 1;

/// So many questions of a host wait for their answers.
const MAX_WAITING: usize = 256;

#[derive(Default)]
struct Asker {
    waiting: VecDeque<(IpAddr, Timestamp, FlowId)>,
    contacts: Contacts,
}

#[derive(Default)]
struct ArpScan {
    askers: PerHost<Asker>,
}

impl Detector for ArpScan {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.protocol != "arp" || operation.kind != OperationKind::Discover {
            return;
        }
        let asked = seen.asked(operation);
        let Some(target) = operation.target.as_deref().and_then(|target| target.parse::<IpAddr>().ok())
        else {
            return;
        };
        let client = &asked.asker.host;
        const FOR_OTHERS: &[Role] = &[Role::Router, Role::Gateway, Role::AccessPoint, Role::DhcpServer];
        if !asked.who.is_somebody() || seen.site.is_one_of(client, FOR_OTHERS) {
            return;
        }
        let asker = self.askers.of(asked.who);
        asker.waiting.push_back((target, seen.at, operation.flow.id));
        while let Some((target, at, flow)) = asker.waiting.front().copied() {
            if asker.waiting.len() <= MAX_WAITING && seen.at.since(at) < PATIENCE {
                return;
            }
            asker.waiting.pop_front();
            let is_there = seen.site.glance(&Host::from_ip(target)).is_some();
            let contact = if is_there { Contact::Answered } else { Contact::Failed };
            let (place, forgiven) = (Addr::of_ip(target).digest(), out.limit(FORGIVEN, client));
            let Some(balance) = asker.contacts.take_at(place, contact, (at, at), flow, forgiven) else {
                continue;
            };
            if balance < out.limit(ADDRESSES, client) {
                continue;
            }
            let failed = asker.contacts.failed;
            let alarm = Alarm::about(*client)
                .since(asker.contacts.since)
                .flow(flow)
                .crossed(ADDRESSES, balance)
                .factor("addresses that nobody has", failed, "hardly any")
                .factor(
                    "time between them",
                    format_args!("{:.2} s", asker.contacts.pace()),
                    "does not matter",
                );
            out.raise(alarm, || {
                format!("{client} asked for {failed} addresses that nobody has, the last one {target}")
            });
        }
    }

    fn forget(&mut self, who: Who) {
        self.askers.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind::Discover, Outcome, Role};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    fn who_has(last: u8) -> Operation {
        operation("10.0.0.5", "10.0.0.255", "arp", Discover, "who-has", Outcome::Asked)
            .on(&format!("10.0.0.{last}"))
    }

    #[test]
    fn a_sweep_of_the_link_is_found_however_slow() {
        for pause in [5, 60_000] {
            let mut story = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
            for last in 1..=254 {
                story = story.wait_ms(pause).asks(who_has(last));
            }
            assert_eq!(story.findings().len(), 1);
        }
    }

    #[test]
    fn those_who_know_whom_they_want_and_routers_are_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        // A control system starts and asks for all its controllers at once; they answer.
        for last in 20..=120 {
            story = story.wait_ms(1).asks(who_has(last));
        }
        for last in 20..=120 {
            story = story.with_host(&format!("10.0.0.{last}"));
        }
        for _ in 0..200 {
            // One that is dead is asked for again and again.
            story = story.wait(1).asks(who_has(121));
        }
        story.silent();
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", Role::Router);
        for last in 1..=254 {
            story = story.wait_ms(5).asks(who_has(last));
        }
        story.silent();
    }
}
