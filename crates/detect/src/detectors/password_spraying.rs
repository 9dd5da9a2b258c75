//! Somebody tries a few passwords everywhere: see [`DETECTOR`].

use model::{OperationKind, Outcome, Severity, What};

use super::contacts::{Contact, Contacts};
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::ledger::digest;
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds hosts that try to log in in many places.
pub(super) const DETECTOR: Rule = Rule {
    id: "password-spraying",
    title: "Password spraying",
    severity: Severity::High,
    attack: &["T1110.003", "T1110"],
    finds: "A host is refused by many services, or as many users of one, even if it tries each only once or twice.",
    matters: "Whoever tries one password at every door is not locked out of any, and somewhere it fits.",
    fix: "Take the host off the network and find out what runs on it. Look for logins of its that were accepted, and \
          change the passwords there.",
    thresholds: &[
        Threshold {
            name: "services",
            about: "services or users at which its first login fails, less those at which it succeeds",
            unit: "services",
            usual: 8.0,
        },
        Threshold {
            name: "forgiven-every",
            about: "one failure is forgiven after so long",
            unit: "s",
            usual: 6.0 * 3600.0,
        },
    ],
    listens: &[Kind::Operation],
    keeps: "256 services of each watched host",
    start: || Box::<PasswordSpraying>::default(),
};

const SERVICES: usize = 0;
const FORGIVEN: usize = 1;

#[derive(Default)]
struct PasswordSpraying {
    contacts: PerHost<Contacts>,
}

impl Detector for PasswordSpraying {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.kind != OperationKind::Authenticate {
            return;
        }
        let contact = match operation.outcome {
            Outcome::Done => Contact::Answered,
            Outcome::Refused => Contact::Failed,
            Outcome::Asked => return,
        };
        let asked = seen.asked(operation);
        let (true, Some(addr)) = (asked.who.is_somebody(), Addr::of(&asked.asked.host)) else { return };
        let (client, server) = (&asked.asker.host, &asked.asked.host);
        let mut name = addr.bytes().to_vec();
        name.extend_from_slice(&asked.asked.port.to_be_bytes());
        // Of this protocol the user is told; others tell a path or nothing.
        if operation.protocol == "smb" {
            name.extend_from_slice(operation.target.as_deref().unwrap_or_default().as_bytes());
        }
        let contacts = self.contacts.of(asked.who);
        let (place, when, flow) = ((digest(&name) >> 32) as u32, (seen.at, seen.at), operation.flow.id);
        let Some(balance) = contacts.take_at(place, contact, when, flow, out.limit(FORGIVEN, client)) else {
            return;
        };
        if balance < out.limit(SERVICES, client) {
            return;
        }
        let failed = contacts.failed;
        let alarm = Alarm::about(*client)
            .since(contacts.since)
            .flows(&contacts.shown)
            .flow(flow)
            .crossed(SERVICES, balance)
            .factor("services and users that refused it", failed, "hardly any")
            .factor("time between them", format_args!("{:.1} s", contacts.pace()), "does not matter");
        let protocol = &operation.protocol;
        out.raise(alarm, || {
            format!("{client} was refused by {failed} services or as {failed} users, the last at {server} by {protocol}")
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

    #[test]
    fn one_try_at_many_doors_is_found_and_many_at_one_are_not() {
        let login = |server: &str, outcome| {
            operation("10.0.0.5", server, "ftp", OperationKind::Authenticate, "login", outcome).at_port(21)
        };
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for last in 1..=60 {
            story = story.asks(login("10.0.1.1", Outcome::Refused));
            // A backup server that gets in nearly everywhere.
            let outcome = if last % 5 == 0 { Outcome::Refused } else { Outcome::Done };
            story = story.asks(login(&format!("10.0.2.{last}"), outcome));
        }
        story.silent();
        for last in 1..=40 {
            story = story.wait(600).asks(login(&format!("10.0.3.{last}"), Outcome::Refused));
        }
        assert_eq!(story.only().actor.to_string(), "10.0.0.5");
    }

    #[test]
    fn many_users_of_one_server_are_found() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for user in 0..12 {
            let login = operation(
                "10.0.0.5",
                "10.0.0.2",
                "smb",
                OperationKind::Authenticate,
                "session-setup",
                Outcome::Refused,
            );
            story = story.wait(60).asks(login.on(&format!("user{user}")));
        }
        assert_eq!(story.findings().len(), 1);
    }
}
