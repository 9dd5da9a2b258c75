//! Much leaves, and to a stranger: see [`DETECTOR`].

use std::time::Duration;

use model::{Role, Severity, Timestamp, What};

use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds large transfers to strangers.
pub(super) const DETECTOR: Rule = Rule {
    id: "exfiltration",
    title: "Large transfer to a stranger",
    severity: Severity::Medium,
    attack: &["T1041", "T1048", "T1567"],
    finds: "A device that has been known for an hour sends much more to an external host that it did not know than it gets \
            from there, and much more than it ever sent to one host in a day.",
    matters: "Plans, recipes, pictures and customer data leave in this way, often shortly before a blackmailer's letter \
              comes.",
    fix: "Find out what the other address belongs to and which program sent. If it is a new backup or a new service, \
          declare it as expected. If not, block the address and save what the device keeps of its doings.",
    thresholds: &[
        Threshold {
            name: "volume",
            about: "what a device sends to one external host within a day",
            unit: "bytes",
            usual: 100e6,
        },
        Threshold {
            name: "ratio",
            about: "how many times as much it sends as it gets",
            unit: "times",
            usual: 4.0,
        },
        Threshold {
            name: "more-than-usual",
            about: "how many times as much as it ever sent to one external host in a day before",
            unit: "times",
            usual: 3.0,
        },
        Threshold {
            name: "known-for",
            about: "what a device does within this time from when it was first seen is its habit",
            unit: "s",
            usual: 3600.0,
        },
    ],
    listens: &[Kind::Ended],
    keeps: "the volume of a day of the 8192 pairs of a device and an external host that spoke last, and the largest of \
            each watched host",
    start: || Box::new(Exfiltration { pairs: Table::new(MAX_PAIRS), most: PerHost::default() }),
};

const VOLUME: usize = 0;
const RATIO: usize = 1;
const MORE: usize = 2;
const KNOWN_FOR: usize = 3;

const MAX_PAIRS: usize = 8192;
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Copy)]
struct Pair {
    /// When the first of all its conversations began, and the day that is counted.
    met: Timestamp,
    day: Timestamp,
    sent: u64,
    received: u64,
}

#[derive(Default)]
struct Most {
    /// The most that was sent to one host in a day that is over, or to one that is known.
    before: u64,
}

struct Exfiltration {
    pairs: Table<(Who, Addr), Pair>,
    most: PerHost<Most>,
}

impl Detector for Exfiltration {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let ends = [
            (seen.client, &record.head.client.host, &record.head.server.host, record.sent, record.received),
            (seen.server, &record.head.server.host, &record.head.client.host, record.received, record.sent),
        ];
        for (who, host, other, sent, received) in ends {
            let (true, true, false) =
                (who.is_somebody(), seen.site.is_external(other), seen.site.is_external(host))
            else {
                continue;
            };
            let (Some(addr), Some(known)) = (Addr::of(other), seen.site.glance(host)) else { continue };
            let make = || Pair { met: record.first, day: record.first, sent: 0, received: 0 };
            let (pair, _) = self.pairs.entry((who, addr), make);
            let most = self.most.of(who);
            if record.last.since(pair.day) > DAY {
                most.before = most.before.max(pair.sent);
                *pair = Pair { met: pair.met, day: record.first, sent: 0, received: 0 };
            }
            pair.sent += sent.payload;
            pair.received += received.payload;
            let known_for = out.limit(KNOWN_FOR, host);
            let is_habit = pair.met.since(known.first).as_secs_f64() < known_for
                || record.last.since(pair.met).as_secs_f64() > known_for;
            let (volume, gets) = (pair.sent as f64, pair.received as f64);
            if is_habit {
                most.before = most.before.max(pair.sent);
                continue;
            }
            let (limit, ratio) = (out.limit(VOLUME, host), out.limit(RATIO, host));
            if volume < limit || volume < ratio * gets || volume < out.limit(MORE, host) * most.before as f64
            {
                continue;
            }
            const RARE: &[Role] =
                &[Role::Plc, Role::Rtu, Role::Ied, Role::FieldDevice, Role::Hmi, Role::Medical];
            let severity = if seen.site.is_one_of(host, RARE) { Severity::High } else { Severity::Medium };
            let megabytes = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
            let alarm = Alarm::about(*host)
                .to(*other)
                .since(pair.met)
                .flow(record.head.id)
                .severity(severity)
                .crossed(VOLUME, volume)
                .factor(
                    "sent",
                    megabytes(volume),
                    format_args!("{} in a day at most", megabytes(most.before as f64)),
                )
                .factor("received", megabytes(gets), "more than is sent");
            out.raise(alarm, || {
                format!("{host} sent {} to {other}, which it did not know before", megabytes(volume))
            });
        }
    }

    fn forget(&mut self, who: Who) {
        self.most.forget(who);
        for ((known, _), pair) in self.pairs.iter_mut() {
            if *known == who {
                *pair = Pair { met: Timestamp::EPOCH, day: Timestamp::EPOCH, sent: 0, received: 0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::FlowRecord;

    use super::DETECTOR;
    use crate::testing::{Story, answered};

    fn transfer(server: &str, sent: u64, received: u64) -> FlowRecord {
        let mut record = answered("10.0.0.5", server, 443, "tls");
        (record.sent.payload, record.received.payload) = (sent, received);
        record
    }

    fn host() -> Story {
        Story::of(&DETECTOR).with_host("10.0.0.5").flow(answered("10.0.0.5", "10.0.0.2", 80, "http"))
    }

    #[test]
    fn much_to_a_stranger_is_found_and_told_once() {
        let mut story = host().flow(transfer("198.51.100.1", 20_000_000, 1_000)).wait(3 * 86_400);
        for _ in 0..20 {
            story = story.wait(60).flow(transfer("203.0.113.66", 20_000_000, 100_000));
        }
        let finding = story.only();
        assert_eq!(finding.victim.unwrap().to_string(), "203.0.113.66");
    }

    #[test]
    fn backups_downloads_and_calls_are_silent() {
        let mut story = host().flow(transfer("198.51.100.1", 2_000_000_000, 1_000));
        for _ in 0..5 {
            // The backup of each night, whose service changes its address; a large update; a video call.
            story = story
                .wait(86_400)
                .flow(transfer("198.51.100.1", 2_000_000_000, 1_000))
                .flow(transfer("198.51.100.2", 2_100_000_000, 1_000))
                .flow(transfer("203.0.113.1", 1_000_000, 9_000_000_000))
                .flow(transfer("203.0.113.2", 900_000_000, 800_000_000));
        }
        story.silent();
    }
}
