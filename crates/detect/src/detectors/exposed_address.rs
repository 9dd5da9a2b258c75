//! A device at which the Internet's scanners knock: see [`DETECTOR`].

use model::{Host, Severity, What};

use super::contacts::{Contact, Contacts, FORGIVEN_EVERY};
use super::services;
use crate::hosts::{Addr, is_inner};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds devices at which many external hosts knock.
pub(super) const DETECTOR: Rule = Rule {
    id: "exposed-address",
    title: "Within reach of the Internet's scanners",
    severity: Severity::Medium,
    attack: &["T0883", "T1595"],
    finds: "Many external hosts, each for itself, knock in vain at one port of a device that is there for managing devices or \
            controlling machines. However much time lies between them, each new host that fails counts for it, and each \
            that is let in against it. Low where the device has a public address: all of those are knocked at.",
    matters: "Scanners reach a private address only if something forwards them: a rule in the router, UPnP, or the setting \
              that sends everything to one device. The day on which the port is open or a password fits, they are in.",
    fix: "Remove what forwards the port to the device. If it has to be managed from outside, let in known addresses only, \
          or a VPN.",
    thresholds: &[
        Threshold {
            name: "sources",
            about: "external hosts whose first contact with a port fails, less those that are let in",
            unit: "hosts",
            usual: 12.0,
        },
        FORGIVEN_EVERY,
    ],
    listens: &[Kind::Ended],
    keeps: "256 visitors of each of the 1,024 services that were tried last",
    start: || Box::new(ExposedAddress { services: Table::new(MAX_SERVICES) }),
};

const SOURCES: usize = 0;
const FORGIVEN: usize = 1;

const MAX_SERVICES: usize = 1024;

/// The sequential test of [`Contacts`] seen from the other end: whoever is meant to manage a device is let in.
struct ExposedAddress {
    services: Table<(Addr, u16), Contacts>,
}

impl Detector for ExposedAddress {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        let ends = (Addr::of(client), Addr::of(server));
        let (true, (Some(source), Some(target))) = (record.tcp.is_some() && seen.server.is_somebody(), ends)
        else {
            return;
        };
        let service = services::management(&record.head).or_else(|| services::industrial(&record.head));
        let (Some(service), Some(contact)) = (service, Contact::of(record)) else { return };
        if !seen.site.is_external(client) || seen.site.is_external(server) {
            return;
        }
        let (contacts, _) = self.services.entry((target, record.head.server.port), Contacts::default);
        let Some(balance) = contacts.take(source.digest(), contact, record, out.limit(FORGIVEN, server))
        else {
            return;
        };
        if contact == Contact::Answered || balance < out.limit(SOURCES, server) {
            return;
        }
        let is_private = |host: &Host| host.ip.is_some_and(is_inner);
        let (failed, pace) = (contacts.failed, contacts.pace());
        let alarm = Alarm::about(*server)
            .since(contacts.since)
            .flows(&contacts.shown)
            .flow(record.head.id)
            .severity(if is_private(server) { Severity::Medium } else { Severity::Low })
            .crossed(SOURCES, balance)
            .factor("external hosts that knocked", failed, "none")
            .factor("time between them", format_args!("{pace:.0} s"), "does not matter");
        out.raise(alarm, || {
            format!("{failed} hosts in the Internet knocked at {server}, the last {client} for {service}")
        });
    }
}

#[cfg(test)]
mod tests {
    use model::Severity;

    use super::DETECTOR;
    use crate::testing::{Story, answered, unanswered};

    #[test]
    fn many_that_knock_are_one_finding_however_slowly_they_come() {
        for pause in [0, 60, 1800] {
            let mut story = Story::of(&DETECTOR).with_host("192.168.0.9").with_host("198.51.0.9");
            for last in 1..=40 {
                story = story.wait(pause).flow(unanswered(&format!("203.0.113.{last}"), "192.168.0.9", 23));
            }
            let finding = story.only();
            assert_eq!(
                (finding.actor.to_string().as_str(), finding.severity),
                ("192.168.0.9", Severity::Medium)
            );
        }
    }

    #[test]
    fn administrators_few_that_knock_and_public_services_are_silent() {
        let mut story = Story::of(&DETECTOR).with_host("192.168.0.9");
        for last in 1..=40 {
            let (client, server) = (format!("203.0.113.{last}"), "192.168.0.9");
            story = story
                .flow(answered(&client, server, 22, "ssh"))
                .flow(unanswered(&client, server, 443))
                .flow(unanswered(&format!("10.0.1.{last}"), server, 23))
                .flow(unanswered("203.0.113.7", server, 3389));
        }
        story.silent();
    }

    #[test]
    fn all_public_addresses_are_knocked_at() {
        let mut story = Story::of(&DETECTOR).with_host("198.51.0.9");
        for last in 1..=40 {
            story = story.flow(unanswered(&format!("203.0.113.{last}"), "198.51.0.9", 23));
        }
        assert!(story.findings().iter().all(|finding| finding.severity == Severity::Low));
    }
}
