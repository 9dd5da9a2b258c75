//! Names that a program made up: see [`DETECTOR`].

use model::{OperationKind, Outcome, Severity, What};

use super::contacts::{Contact, Contacts};
use super::domains;
use crate::hosts::{PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::ledger::digest;
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds hosts that look for their master under names that were made up by a program.
pub(super) const DETECTOR: Rule = Rule {
    id: "generated-domains",
    title: "Generated domain names",
    severity: Severity::High,
    attack: &["T1568.002", "T1008"],
    finds: "A host asks for many unrelated domains that look drawn at random and do not exist. Each domain counts once; \
            those that exist count the other way (after Antonakakis et al., \"From Throw-Away Traffic to Bots\", USENIX \
            Security 2012).",
    matters: "Malware that lost its master makes up names, day by day, until one of them answers.",
    fix: "Take the host off the network and clean it or set it up anew. If one of the names exists, find out who else \
          asks for it.",
    thresholds: &[
        Threshold {
            name: "domains",
            about: "random-looking domains that do not exist, less the domains that do",
            unit: "domains",
            usual: 12.0,
        },
        Threshold {
            name: "forgiven-every",
            about: "one domain is forgiven after so long",
            unit: "s",
            usual: 3600.0,
        },
    ],
    listens: &[Kind::Operation],
    keeps: "256 domains of each watched host",
    start: || Box::<GeneratedDomains>::default(),
};

const DOMAINS: usize = 0;
const FORGIVEN: usize = 1;

#[derive(Default)]
struct GeneratedDomains {
    contacts: PerHost<Contacts>,
}

impl Detector for GeneratedDomains {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.protocol != "dns" || operation.kind != OperationKind::Discover {
            return;
        }
        let asked = seen.asked(operation);
        let Some((_, domain)) = operation.target.as_deref().and_then(domains::split) else { return };
        let contact = match operation.outcome {
            Outcome::Done => Contact::Answered,
            Outcome::Refused if domains::is_random(domain) => Contact::Failed,
            Outcome::Refused | Outcome::Asked => return,
        };
        if !asked.who.is_somebody() {
            return;
        }
        let client = &asked.asker.host;
        let contacts = self.contacts.of(asked.who);
        let (place, when, flow) =
            ((digest(domain.as_bytes()) >> 32) as u32, (seen.at, seen.at), operation.flow.id);
        let Some(balance) = contacts.take_at(place, contact, when, flow, out.limit(FORGIVEN, client)) else {
            return;
        };
        if balance < out.limit(DOMAINS, client) {
            return;
        }
        let failed = contacts.failed;
        let alarm = Alarm::about(*client)
            .since(contacts.since)
            .flows(&contacts.shown)
            .flow(flow)
            .crossed(DOMAINS, balance)
            .factor("random-looking domains that do not exist", failed, "none")
            .factor("the last of them", domain, "a name that somebody made up");
        out.raise(alarm, || {
            format!("{client} asked for {failed} domains that look made up by a program and do not exist, such as {domain}")
        });
    }

    fn forget(&mut self, who: Who) {
        self.contacts.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    fn asks(story: Story, target: &str, outcome: Outcome) -> Story {
        let query = operation("10.0.0.5", "10.0.0.1", "dns", OperationKind::Discover, "query-a", outcome);
        story.wait(20).asks(query.at_port(53).on(target))
    }

    #[test]
    fn names_that_a_program_made_up_are_found() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for number in 0..30_u32 {
            let letters = (0..14_u32)
                .map(|place| char::from(b"bcdfghjkqvwxz"[(number * 7 + place * place * 5) as usize % 13]));
            story = asks(story, &format!("{}{number}.info", letters.collect::<String>()), Outcome::Refused);
        }
        assert_eq!(story.only().actor.to_string(), "10.0.0.5");
    }

    #[test]
    fn mistyped_names_search_lists_and_gone_sites_are_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for number in 0..60 {
            story = asks(story, &format!("printer{number}.corp.example"), Outcome::Refused);
            story = asks(story, &format!("qxkzvbhjwgfm{number}"), Outcome::Refused);
            story = asks(story, &format!("some-advertisement-{number}.com"), Outcome::Refused);
            story = asks(story, &format!("www.news-of-the-day-{number}.com"), Outcome::Done);
        }
        story.silent();
    }
}
