//! Somebody hides behind an anonymising network: see [`DETECTOR`].

use model::{FlowId, OperationKind, Severity, Timestamp, What};

use super::{domains, roles};
use crate::hosts::{PerHost, Who, digest_of};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds connections to relays of Tor.
pub(super) const DETECTOR: Rule = Rule {
    id: "anonymising-network",
    title: "Anonymising network",
    severity: Severity::High,
    attack: &["T1090.003", "T1573", "T0884"],
    finds: "A host opens TLS to external servers under made-up names: www, letters and digits drawn at random, and a top \
            level, as relays of Tor are called (Tor specification, \"Negotiating channels\"), and nobody was seen to ask \
            for such a name, though the host is seen asking for others. High for a device on which nobody works, medium \
            for what stands for others or is not known, low for a computer or a telephone, whose user may want it.",
    matters: "Who gives a device orders, and where its data go, cannot be seen any more. Malware on routers, cameras and \
              recorders takes its orders in this way (VPNFilter, 2018); no maker of such devices does.",
    fix: "Take the device off the network and set it up anew with firmware from its maker; a restart alone may leave the \
          first stage of the malware in place. Look at what it fetched before, and change the passwords that went \
          through it. On a computer, ask who uses it.",
    thresholds: &[Threshold {
        name: "relays",
        about: "different made-up names of servers within a day: clients of Tor call several relays",
        unit: "names",
        usual: 2.0,
    }],
    listens: &[Kind::Operation],
    keeps: "whether each watched host asked for a name, the 65536 names asked for last, and 8 made-up names of each of 1024 hosts",
    start: || {
        Box::new(AnonymisingNetwork {
            asks: PerHost::default(),
            asked: Table::new(MAX_NAMES),
            calls: Table::new(MAX_HOSTS),
        })
    },
};

const RELAYS: usize = 0;

const MAX_NAMES: usize = 1 << 16;
const MAX_HOSTS: usize = 1024;
const MAX_RELAYS: usize = 8;
/// Names count for so long, in seconds.
const REMEMBERED: u64 = 24 * 3600;

/// A made-up name, when it was called last, and in which conversation.
type Call = (u64, Timestamp, FlowId);

struct AnonymisingNetwork {
    /// Who was seen asking for names.
    asks: PerHost<bool>,
    /// Digests of the names that anybody asked for.
    asked: Table<u64, ()>,
    /// The made-up names that a host called, the latest last.
    calls: Table<Who, Vec<Call>>,
}

/// Whether a name is of the form that clients of Tor make up for each connection: `www`, 4 to 25 characters of base 32
/// (RFC 4648 clause 6), and a top level. Those that are too short to look drawn at random say nothing.
fn is_made_up(name: &str) -> bool {
    let label = name.strip_prefix("www.").and_then(|rest| rest.rsplit_once('.')).map(|(label, _)| label);
    label.is_some_and(|label| {
        label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) && domains::is_random(label)
    })
}

impl Detector for AnonymisingNetwork {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        let Some(name) = operation.target.as_deref().filter(|_| operation.kind == OperationKind::Discover)
        else {
            return;
        };
        let asked = seen.asked(operation);
        let digest = digest_of(&[name.as_bytes()]);
        if operation.protocol == "dns" {
            self.asked.entry(digest, || ());
            if asked.who.is_somebody() {
                *self.asks.of(asked.who) = true;
            }
            return;
        }
        let (client, server) = (&asked.asker.host, &asked.asked.host);
        let is_unasked = operation.name == "server-name"
            && asked.who.is_somebody()
            && is_made_up(name)
            && self.asks.get(asked.who).is_some_and(|asks| *asks)
            && self.asked.get(&digest).is_none();
        if !is_unasked || seen.site.is_external(client) || !seen.site.is_external(server) {
            return;
        }
        let (calls, _) = self.calls.entry(asked.who, Vec::new);
        calls.retain(|(known, at, _)| *known != digest && seen.at.since(*at).as_secs() < REMEMBERED);
        if calls.len() >= MAX_RELAYS {
            calls.remove(0);
        }
        calls.push((digest, seen.at, operation.flow.id));
        let relays = calls.len();
        if (relays as f64) < out.limit(RELAYS, client) {
            return;
        }
        let is_one_of = |roles| seen.site.is_one_of(client, roles);
        let severity = if is_one_of(roles::FORWARDING) {
            Severity::Medium
        } else if is_one_of(roles::THINGS) {
            Severity::High
        } else if is_one_of(roles::COMPUTERS) {
            Severity::Low
        } else {
            Severity::Medium
        };
        let since = calls.iter().map(|(_, at, _)| *at).min().unwrap_or(seen.at);
        let flows: Vec<_> = calls.iter().map(|(.., flow)| *flow).collect();
        let alarm = Alarm::about(*client)
            .since(since)
            .flows(&flows)
            .flow(operation.flow.id)
            .severity(severity)
            .crossed(RELAYS, relays as f64)
            .factor("name of the server", name, "one that was asked for")
            .factor("server", asked.asked, "one with a name");
        let role =
            seen.site.glance(client).and_then(|known| known.role).unwrap_or("device of an unknown kind");
        out.raise(alarm, || {
            format!(
                "{client}, a {role}, called {relays} servers by names that nobody asked for and that look drawn at random, \
                 as relays of Tor are called, such as {name} at {}",
                asked.asked
            )
        });
    }

    fn forget(&mut self, who: Who) {
        self.asks.forget(who);
        if let Some(calls) = self.calls.get_mut(&who) {
            calls.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind::Discover, Outcome, Role, Severity};

    use super::{DETECTOR, is_made_up};
    use crate::testing::{On, Story, operation};

    const RELAYS: [(&str, &str); 3] = [
        ("198.51.100.1", "www.ajpdfhtr2gz.com"),
        ("198.51.100.2", "www.k7vx4wq5dnbt.com"),
        ("203.0.113.3", "www.zq6ybkfw3.net"),
    ];

    fn asks(story: Story, name: &str) -> Story {
        let query = operation("10.0.0.5", "10.0.0.1", "dns", Discover, "query-a", Outcome::Done);
        story.asks(query.at_port(53).on(name))
    }

    fn calls(story: Story, (server, name): (&str, &str)) -> Story {
        let hello = operation("10.0.0.5", server, "tls", Discover, "server-name", Outcome::Asked);
        story.wait(30).asks(hello.at_port(443).on(name))
    }

    fn device(role: Role) -> Story {
        asks(Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", role), "cloud.example")
    }

    #[test]
    fn calls_to_relays_are_one_finding_and_worst_of_a_device_on_which_nobody_works() {
        for (role, severity) in [
            (Role::Camera, Severity::High),
            (Role::Router, Severity::Medium),
            (Role::Broker, Severity::Medium),
            (Role::Workstation, Severity::Low),
        ] {
            let finding = RELAYS.into_iter().fold(device(role), calls).only();
            assert_eq!((finding.severity, finding.count, finding.conversations.len()), (severity, 2, 3));
        }
        calls(calls(device(Role::Camera), RELAYS[0]), RELAYS[0]).silent();
    }

    #[test]
    fn names_that_were_asked_for_are_silent_and_so_is_one_whose_lookups_are_not_seen() {
        let asked = RELAYS.into_iter().fold(device(Role::Camera), |story, (_, name)| asks(story, name));
        RELAYS.into_iter().fold(asked, calls).silent();
        let hidden = Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", Role::Camera);
        RELAYS.into_iter().fold(hidden, calls).silent();
        let inner = [("10.0.0.7", RELAYS[0].1), ("10.0.0.8", RELAYS[1].1)];
        inner.into_iter().fold(device(Role::Camera), calls).silent();
    }

    #[test]
    fn names_that_people_and_programs_register_are_not_made_up() {
        for name in [
            "www.wikipedia.org",
            "www.example.com",
            "d3k2xqz7wv4bnm.cloudfront.net",
            "www.d3k2xqz7wv4bnm.cloudfront.net",
            "www.ab.com",
            "www.x9k1qz8wv0.com",
            "api.qzxkvwjhg.com",
        ] {
            assert!(!is_made_up(name), "{name}");
        }
        assert!(RELAYS.iter().all(|(_, name)| is_made_up(name)));
    }
}
