//! A device calls home as regularly as a clock: see [`DETECTOR`].

use std::collections::VecDeque;
use std::time::Duration;

use model::{EndReason, FlowId, Severity, Timestamp, Transport, What};

use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds regular calls to strangers.
pub(super) const DETECTOR: Rule = Rule {
    id: "beaconing",
    title: "Regular calls to a stranger",
    severity: Severity::Medium,
    attack: &["T1071", "T0869", "T1571"],
    finds: "A device that has been known for an hour begins to call an external host that it did not know, in regular \
            intervals and with little to say, also if the intervals vary by a half. Measured is the median absolute \
            deviation of the intervals (after Hu et al., \"BAYWATCH: Robust Beaconing Detection to Identify Infected \
            Hosts in Large-Scale Enterprise Networks\", DSN 2016). What a device does from its first hour is its habit, \
            and so is what it goes on doing at the same port and in the same rhythm with another address.",
    matters: "Malware asks its master for orders in this way.",
    fix: "Find out what the other address belongs to and which program calls it. A new function or an update may be the \
          reason: then declare it as expected. If nobody knows it, block the address and examine the device.",
    thresholds: &[
        Threshold { name: "calls", about: "calls that are compared at least", unit: "calls", usual: 16.0 },
        Threshold {
            name: "deviation",
            about: "median deviation of the intervals from their median, at most",
            unit: "of the median",
            usual: 0.2,
        },
        Threshold {
            name: "payload",
            about: "what a call sends at most, as the median",
            unit: "bytes",
            usual: 4096.0,
        },
        Threshold {
            name: "known-for",
            about: "what a device does within this time from when it was first seen is its habit",
            unit: "s",
            usual: 3600.0,
        },
    ],
    listens: &[Kind::Ended],
    keeps: "24 calls of each of the 8192 pairs of a device and an external service that spoke last, and 16 habits of \
            each watched host",
    start: || Box::new(Beaconing { pairs: Table::new(MAX_PAIRS), habits: PerHost::default() }),
};

const CALLS: usize = 0;
const DEVIATION: usize = 1;
const PAYLOAD: usize = 2;
const KNOWN_FOR: usize = 3;

const MAX_PAIRS: usize = 8192;
const MAX_CALLS: usize = 24;
const MAX_HABITS: usize = 16;
/// Calls closer together than this are one call of several conversations.
const ONE_CALL: Duration = Duration::from_secs(5);
/// Rhythms are the same if they differ by no more than this share.
const SAME_RHYTHM: f64 = 0.25;

/// Protocols that call regularly by their nature: time, names, and what keeps paths through routers open.
const REGULAR: [&str; 6] = ["ntp", "dns", "stun", "icmp", "icmpv6", "ptp"];

struct Pair {
    begun: Timestamp,
    /// When the last calls began, and what they sent.
    calls: VecDeque<(Timestamp, u64)>,
    shown: Vec<FlowId>,
    is_habit: bool,
}

#[derive(Clone, Copy)]
struct Habit {
    port: u16,
    interval: f64,
}

struct Beaconing {
    pairs: Table<(Who, Addr, u16), Pair>,
    habits: PerHost<Vec<Habit>>,
}

/// The middle one of some values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The median of the intervals between calls, the median of their deviations from it, and that of what was sent.
fn rhythm(calls: &VecDeque<(Timestamp, u64)>) -> (f64, f64, f64) {
    let pairs = calls.iter().zip(calls.iter().skip(1));
    let mut intervals: Vec<f64> = pairs.map(|((from, _), (to, _))| to.since(*from).as_secs_f64()).collect();
    let interval = median(&mut intervals);
    let mut deviations: Vec<f64> = intervals.iter().map(|seen| (seen - interval).abs()).collect();
    let mut sent: Vec<f64> = calls.iter().map(|(_, sent)| *sent as f64).collect();
    (interval, median(&mut deviations), median(&mut sent))
}

impl Detector for Beaconing {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        let port = record.head.server.port;
        let regular = record.protocol.as_deref().is_some_and(|name| REGULAR.contains(&name));
        let carries = matches!(record.head.transport, Transport::Tcp | Transport::Udp);
        if !carries
            || regular
            || record.end == EndReason::Active
            || !record.answered()
            || !seen.client.is_somebody()
        {
            return;
        }
        let (true, false) = (seen.site.is_external(server), seen.site.is_external(client)) else { return };
        let (Some(addr), Some(known)) = (Addr::of(server), seen.site.glance(client)) else { return };
        let began = record.first;
        let is_young = began.since(known.first).as_secs_f64() < out.limit(KNOWN_FOR, client);
        let make = || Pair { begun: began, calls: VecDeque::new(), shown: Vec::new(), is_habit: is_young };
        let (pair, _) = self.pairs.entry((seen.client, addr, port), make);
        if pair.calls.back().is_some_and(|(last, _)| began.since(*last) < ONE_CALL) {
            return;
        }
        if pair.calls.len() >= MAX_CALLS {
            pair.calls.pop_front();
        }
        pair.calls.push_back((began, record.sent.payload));
        if pair.shown.len() < MAX_CALLS {
            pair.shown.push(record.head.id);
        }
        let calls = pair.calls.len() as f64;
        if calls < out.limit(CALLS, client) {
            return;
        }
        let (interval, deviation, sent) = rhythm(&pair.calls);
        let spread = deviation / interval.max(1.0);
        if spread > out.limit(DEVIATION, client) || sent > out.limit(PAYLOAD, client) {
            return;
        }
        let habits = self.habits.of(seen.client);
        let goes_on = habits.iter().any(|habit| {
            habit.port == port && (habit.interval - interval).abs() <= SAME_RHYTHM * habit.interval
        });
        if pair.is_habit || goes_on {
            pair.is_habit = true;
            if !goes_on {
                if habits.len() >= MAX_HABITS {
                    habits.remove(0);
                }
                habits.push(Habit { port, interval });
            }
            return;
        }
        let matter = port.to_string();
        let alarm = Alarm::about(*client)
            .to(*server)
            .matter(&matter)
            .since(pair.begun)
            .flows(&pair.shown)
            .flow(record.head.id)
            .crossed(CALLS, calls)
            .factor("interval", format_args!("{interval:.0} s"), "irregular")
            .factor(
                "deviation",
                format_args!("{:.0} %", 100.0 * spread),
                "about 70 % where people are at work",
            )
            .factor("bytes sent in a call", format_args!("{sent:.0}"), "differs from call to call");
        out.raise(alarm, || {
            let (endpoint, percent) = (&record.head.server, 100.0 * spread);
            format!("{client} calls {endpoint}, which it did not know before, every {interval:.0} s (give or take {percent:.0} %)")
        });
    }

    fn forget(&mut self, who: Who) {
        self.habits.forget(who);
        for ((client, ..), pair) in self.pairs.iter_mut() {
            if *client == who {
                *pair = Pair {
                    begun: Timestamp::EPOCH,
                    calls: VecDeque::new(),
                    shown: Vec::new(),
                    is_habit: true,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DETECTOR;
    use crate::testing::{Story, answered, datagrams};

    /// A camera that has been there for two days.
    fn camera() -> Story {
        Story::of(&DETECTOR)
            .with_host("10.0.0.5")
            .flow(answered("10.0.0.5", "198.51.100.1", 443, "tls"))
            .wait(2 * 86_400)
            .flow(answered("10.0.0.5", "198.51.100.1", 443, "tls"))
    }

    /// A delay of about `seconds` that varies by half of it.
    fn jitter(number: u64, seconds: u64) -> u64 {
        seconds / 2 + number.wrapping_mul(2_654_435_761) % (seconds / 2).max(1)
    }

    #[test]
    fn regular_calls_to_a_stranger_are_found_also_with_jitter() {
        for varies in [false, true] {
            let mut story = camera();
            for number in 0..30 {
                story = story.wait(if varies { jitter(number, 120) } else { 60 }).flow(answered(
                    "10.0.0.5",
                    "203.0.113.66",
                    4444,
                    "tls",
                ));
            }
            let finding = story.only();
            assert_eq!(finding.victim.unwrap().to_string(), "203.0.113.66");
        }
    }

    #[test]
    fn habits_clocks_and_people_are_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        // Its cloud is called from the first day on; later the cloud has another address.
        for _ in 0..3000 {
            story = story.wait(60).flow(answered("10.0.0.5", "198.51.100.1", 8883, "tls"));
        }
        for number in 0..60 {
            story = story
                .wait(60)
                .flow(answered("10.0.0.5", "198.51.100.2", 8883, "tls"))
                .flow({
                    let mut clock = datagrams("10.0.0.5", "203.0.113.5", 123, 48, 48);
                    clock.protocol = Some("ntp".into());
                    clock
                })
                // Inner services are not strangers.
                .flow(answered("10.0.0.5", "10.0.0.2", 8080, "http"));
            // Somebody reads the news: now and then, with long pauses.
            if number * number % 7 == 1 {
                story = story.wait(number * 31).flow(answered("10.0.0.5", "203.0.113.80", 443, "tls"));
            }
        }
        story.silent();
    }
}
