//! Somebody else writes where one device always wrote: see [`DETECTOR`].

use std::time::Duration;

use model::{OperationKind, Outcome, Severity, Timestamp, What};

use crate::hosts::{Addr, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::ledger::digest;
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds strangers who publish or write what nobody checks.
pub(super) const DETECTOR: Rule = Rule {
    id: "unauthenticated-write",
    title: "Write by a stranger",
    severity: Severity::Medium,
    attack: &["T0855", "T0856", "T1565"],
    finds: "A host writes to a topic of an MQTT broker that lets everybody in, or to a resource of a CoAP device, to which \
            only others wrote until now.",
    matters: "Nothing but habit tells a true measured value or command from a false one there. Locks, valves and alarms \
              are operated in this way.",
    fix: "Find out what the host is and why it writes. Let the broker ask for a name and a password and allow each client \
          only its own topics; use DTLS or OSCORE with CoAP.",
    thresholds: &[
        Threshold {
            name: "writes",
            about: "how often others must have written there before",
            unit: "writes",
            usual: 10.0,
        },
        Threshold {
            name: "known-for",
            about: "for how long others must have written there before",
            unit: "s",
            usual: 3600.0,
        },
    ],
    listens: &[Kind::Operation, Kind::Weakness],
    keeps: "four writers of each of the 8192 topics and resources that were written to last, and 256 open brokers",
    start: || Box::new(UnauthenticatedWrite { places: Table::new(MAX_PLACES), open: Table::new(MAX_OPEN) }),
};

const WRITES: usize = 0;
const KNOWN_FOR: usize = 1;

const MAX_PLACES: usize = 8192;
const MAX_OPEN: usize = 256;
/// A place to which so many write is nobody's own.
const MAX_WRITERS: usize = 4;
/// A writer who was silent for so long may have been replaced.
const GONE: Duration = Duration::from_secs(7 * 24 * 3600);

struct Place {
    first: Timestamp,
    last: Timestamp,
    writes: u32,
    writers: Vec<u32>,
}

struct UnauthenticatedWrite {
    /// By server and topic.
    places: Table<(Addr, u64), Place>,
    /// Brokers that let everybody in.
    open: Table<Addr, ()>,
}

impl Detector for UnauthenticatedWrite {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let operation = match seen.what {
            What::Weakness(weakness) => {
                if weakness.kind == "mqtt.no-authentication"
                    && let Some(addr) = Addr::of(&weakness.flow.endpoint(weakness.side).host)
                {
                    self.open.entry(addr, || ());
                }
                return;
            }
            What::Operation(operation) => operation,
            _ => return,
        };
        let asked = seen.asked(operation);
        let (client, server) = (&asked.asker.host, &asked.asked.host);
        let (Some(writer), Some(addr), Some(target)) =
            (Addr::of(client), Addr::of(server), operation.target.as_deref())
        else {
            return;
        };
        let is_write = match &*operation.protocol {
            // What a broker passes on is not its own.
            "mqtt" => {
                operation.kind == OperationKind::Publish
                    && operation.from == model::Side::Client
                    && self.open.get(&addr).is_some()
            }
            "coap" => {
                operation.outcome != Outcome::Refused
                    && matches!(
                        operation.kind,
                        OperationKind::Write | OperationKind::Execute | OperationKind::Configure
                    )
            }
            _ => false,
        };
        if !is_write || asked.who == Who::NOBODY {
            return;
        }
        let make = || Place { first: seen.at, last: seen.at, writes: 0, writers: Vec::new() };
        let (place, _) = self.places.entry((addr, digest(target.as_bytes())), make);
        let quiet = seen.at.since(std::mem::replace(&mut place.last, seen.at));
        let (writes, known) = (f64::from(place.writes), seen.at.since(place.first).as_secs_f64());
        place.writes = place.writes.saturating_add(1);
        if place.writers.contains(&writer.digest()) || place.writers.len() >= MAX_WRITERS {
            return;
        }
        let is_owned =
            writes >= out.limit(WRITES, client) && known >= out.limit(KNOWN_FOR, client) && quiet < GONE;
        // A place that changed hands without a word stays the others'; the stranger is told each time he writes.
        if !is_owned {
            place.writers.push(writer.digest());
            return;
        }
        let protocol = &operation.protocol;
        let alarm = Alarm::about(*client)
            .to(*server)
            .matter(protocol)
            .flow(operation.flow.id)
            .crossed(WRITES, writes)
            .factor("where it wrote", target, "nowhere, or to places of its own")
            .factor("hosts that wrote there before", place.writers.len(), "itself");
        out.raise(alarm, || {
            format!("{client} wrote to {target} at {server} by {protocol}, where only others wrote until now")
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind::Publish, Outcome};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation, weakness};

    fn publish(story: Story, client: &str, topic: &str) -> Story {
        story.asks(operation(client, "10.0.0.2", "mqtt", Publish, "publish", Outcome::Asked).on(topic))
    }

    fn plant() -> Story {
        let mut story = Story::of(&DETECTOR)
            .with_host("10.0.0.5")
            .with_host("10.0.0.6")
            .with_host("10.0.0.66")
            .then(weakness("10.0.0.5", "10.0.0.2", 1883, "mqtt.no-authentication", "open"));
        for _ in 0..200 {
            story = publish(story.wait(60), "10.0.0.5", "tank/level");
            story = publish(story, "10.0.0.6", "pump/speed");
        }
        story
    }

    #[test]
    fn a_stranger_who_writes_where_others_do_is_told_once() {
        let mut story = plant();
        for _ in 0..5 {
            story = publish(publish(story.wait(1), "10.0.0.66", "tank/level"), "10.0.0.66", "pump/speed");
        }
        let finding = story.only();
        assert_eq!((finding.actor.to_string().as_str(), finding.count), ("10.0.0.66", 10));
    }

    #[test]
    fn new_sensors_and_shared_topics_are_silent() {
        let mut story = plant();
        for _ in 0..50 {
            story = publish(story.wait(60), "10.0.0.66", "tank2/level");
            // Several write here from the beginning.
            story = publish(publish(story, "10.0.0.5", "alive"), "10.0.0.6", "alive");
        }
        story.silent();
    }
}
