//! A device is flooded: see [`DETECTOR`].

use model::{FlowRecord, Host, Severity, What};

use super::rates::{OneWay, Rate, one_way};
use crate::hosts::{Addr, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds devices that are flooded by many, or from outside.
pub(super) const DETECTOR: Rule = Rule {
    id: "inbound-flood",
    title: "Flood against a device",
    severity: Severity::High,
    attack: &["T1498", "T1499", "T0814"],
    finds: "A device gets very many packets, or attempts to connect, that it does not answer, within seconds: from many \
senders, made-up ones as well, or from one outside. A single sender inside is told by outbound-flood.",
    matters: "The device can no longer do what it is there for; controllers may stop.",
    fix: "Let only those reach the device that must. If the flood comes from outside, ask your provider to hold it back.",
    thresholds: &[
        Threshold {
            name: "attempts",
            about: "unanswered attempts to connect to one port within ten seconds",
            unit: "attempts",
            usual: 1000.0,
        },
        Threshold {
            name: "packets",
            about: "unanswered packets within ten seconds",
            unit: "packets",
            usual: 50_000.0,
        },
        Threshold { name: "senders", about: "so many senders are many", unit: "senders", usual: 50.0 },
        Threshold {
            name: "attempts-at-all",
            about: "unanswered attempts of senders that nobody knows to connect to anything, within ten seconds",
            unit: "attempts",
            usual: 10_000.0,
        },
    ],
    listens: &[Kind::Ended],
    keeps: "what was received in ten seconds by each of the 4096 services that were flooded last",
    start: || {
        Box::new(InboundFlood {
            rates: Table::new(MAX_TARGETS),
            all: Rate::default(),
            most: (Host::default(), 0.0),
        })
    },
};

const ATTEMPTS: usize = 0;
const PACKETS: usize = 1;
const SENDERS: usize = 2;
const AT_ALL: usize = 3;

const MAX_TARGETS: usize = 4096;

struct InboundFlood {
    rates: Table<(Who, u16), Rate>,
    /// What made-up senders send to anybody.
    all: Rate,
    /// Whoever gets more than half of it, and by how much more than half (Boyer and Moore, "MJRTY - A Fast Majority
    /// Vote Algorithm", 1981).
    most: (Host, f64),
}

impl InboundFlood {
    /// A flood that is spread over a whole network hurts what forwards it.
    fn spread(&mut self, what: OneWay, sender: u32, record: &FlowRecord, out: &mut Out<'_>) {
        self.all.count(what, sender, record);
        let (server, votes) = (record.head.server.host, record.sent.packets as f64);
        self.most = match self.most {
            (host, lead) if Addr::of(&host) == Addr::of(&server) => (host, lead + votes),
            (host, lead) if lead > votes => (host, lead - votes),
            (_, lead) => (server, votes - lead),
        };
        let (count, nobody) = (self.all.knocks, Host::default());
        if count < out.limit(AT_ALL, &nobody) {
            return;
        }
        let senders = self.all.senders();
        let (victim, lead) = self.most;
        let is_one = lead > count / 2.0;
        let mut alarm = Alarm::about(nobody)
            .since(self.all.since)
            .flow(record.head.id)
            .crossed(AT_ALL, count)
            .factor("senders that nobody knows", format_args!("about {senders:.0} or more"), "hardly any");
        if is_one {
            alarm = alarm.to(victim);
        }
        out.raise(alarm, || {
            let whom = if is_one { format!("to {victim}") } else { format!("the last time to {server}") };
            format!("senders that nobody knows tried to connect {count:.0} times within ten seconds, {whom}")
        });
    }
}

impl Detector for InboundFlood {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        let (Some(sender), Some(what)) = (Addr::of(client), one_way(record)) else { return };
        if seen.site.is_external(server) {
            return;
        }
        if !seen.client.is_somebody() && matches!(what, OneWay::Knocks(_)) {
            self.spread(what, sender.digest(), record, out);
        }
        if !seen.server.is_somebody() {
            return;
        }
        let port = if matches!(what, OneWay::Knocks(_)) { record.head.server.port } else { 0 };
        let (rate, _) = self.rates.entry((seen.server, port), Rate::default);
        rate.count(what, sender.digest(), record);
        let (threshold, count) = match what {
            OneWay::Knocks(_) => (ATTEMPTS, rate.knocks),
            OneWay::Packets(_) => (PACKETS, rate.packets),
        };
        if count < out.limit(threshold, server) {
            return;
        }
        let senders = rate.senders();
        let are_many = senders >= out.limit(SENDERS, server);
        if !are_many && !seen.site.is_external(client) {
            return;
        }
        let of = if threshold == ATTEMPTS { "attempts to connect" } else { "packets" };
        // Of many senders, nobody knows which are made up.
        let actor = if are_many { Host::default() } else { *client };
        let alarm = Alarm::about(actor)
            .to(*server)
            .since(rate.since)
            .flow(record.head.id)
            .crossed(threshold, count)
            .factor("unanswered within ten seconds", format_args!("{count:.0} {of}"), "a handful")
            .factor("senders", format_args!("about {senders:.0}"), "a handful");
        out.raise(alarm, || {
            let whence = if are_many { format!("about {senders:.0} senders") } else { client.to_string() };
            format!("{} is flooded by {whence}: {count:.0} {of} within ten seconds", record.head.server)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::DETECTOR;
    use crate::testing::{Story, unanswered};

    #[test]
    fn made_up_senders_are_one_finding_about_the_victim() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9");
        for number in 0..3000 {
            let sender = format!("203.{}.{}.9", number % 200, number / 200);
            story = story.wait_ms(1).flow(unanswered(&sender, "10.0.0.9", 502));
        }
        assert_eq!(story.only().victim.unwrap().to_string(), "10.0.0.9");
    }

    #[test]
    fn a_flood_that_is_spread_over_a_network_is_one_finding() {
        let mut story = Story::of(&DETECTOR);
        for number in 0..12_000 {
            let sender = format!("203.{}.{}.9", number % 200, number / 200);
            story =
                story.flow(unanswered(&sender, &format!("10.0.{}.{}", number % 7, number % 250 + 1), 502));
        }
        assert_eq!(story.only().victim, None);
    }

    #[test]
    fn one_sender_outside_is_named_and_a_restart_is_no_flood() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9");
        for number in 0..5000 {
            // A server is restarted: its clients knock, each every second.
            story =
                story.wait_ms(25).flow(unanswered(&format!("10.0.1.{}", number % 40 + 1), "10.0.0.9", 443));
        }
        story.silent();
        for _ in 0..1200 {
            story = story.wait_ms(1).flow(unanswered("203.0.113.9", "10.0.0.9", 443));
        }
        assert_eq!(story.only().actor.to_string(), "203.0.113.9");
    }
}
