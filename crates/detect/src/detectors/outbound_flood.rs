//! A device became a weapon: see [`DETECTOR`].

use model::{Severity, What};

use super::rates::{OneWay, Rate, one_way};
use crate::hosts::{Addr, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds devices that flood others.
pub(super) const DETECTOR: Rule = Rule {
    id: "outbound-flood",
    title: "Flood from a device",
    severity: Severity::High,
    attack: &["T1498", "T0814"],
    finds: "A device sends very many packets, or attempts to connect, to one target that does not answer them, within \
            seconds.",
    matters: "Devices that were taken over are used for such attacks, by the hundred thousand. It also takes up your \
              line, and inside a plant it can stop a controller.",
    fix: "Take the device off the network at once. Set it up anew with current firmware and another password before it \
          comes back, for it will be taken over again within minutes otherwise.",
    thresholds: &[
        Threshold {
            name: "attempts",
            about: "unanswered attempts to connect to one port within ten seconds",
            unit: "attempts",
            usual: 1000.0,
        },
        Threshold {
            name: "packets-outside",
            about: "unanswered packets to one external host within ten seconds",
            unit: "packets",
            usual: 10_000.0,
        },
        Threshold {
            name: "packets-inside",
            about: "unanswered packets to one inner host within ten seconds; cameras send 2000 a second",
            unit: "packets",
            usual: 50_000.0,
        },
    ],
    listens: &[Kind::Ended],
    keeps: "what was sent in ten seconds by each of the 4096 pairs of a device and a target that were active last",
    start: || Box::new(OutboundFlood { rates: Table::new(MAX_PAIRS) }),
};

const ATTEMPTS: usize = 0;
const OUTSIDE: usize = 1;
const INSIDE: usize = 2;

const MAX_PAIRS: usize = 4096;

struct OutboundFlood {
    rates: Table<(Who, Addr, u16), Rate>,
}

impl Detector for OutboundFlood {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        let (true, Some(target), Some(what)) = (seen.client.is_somebody(), Addr::of(server), one_way(record))
        else {
            return;
        };
        if seen.site.is_external(client) {
            return;
        }
        // Whoever tries many ports looks around; a flood of packets often goes to any port.
        let port = if matches!(what, OneWay::Knocks(_)) { record.head.server.port } else { 0 };
        let (rate, _) = self.rates.entry((seen.client, target, port), Rate::default);
        rate.count(what, 0, record);
        let is_outside = seen.site.is_external(server);
        let packets = if is_outside { OUTSIDE } else { INSIDE };
        let (threshold, count) = match what {
            OneWay::Knocks(_) => (ATTEMPTS, rate.knocks),
            OneWay::Packets(_) => (packets, rate.packets),
        };
        if count < out.limit(threshold, client) {
            return;
        }
        let of = if threshold == ATTEMPTS { "attempts to connect" } else { "packets" };
        let alarm = Alarm::about(*client)
            .to(*server)
            .since(rate.since)
            .flow(record.head.id)
            .crossed(threshold, count)
            .factor("unanswered within ten seconds", format_args!("{count:.0} {of}"), "a handful")
            .factor("transport", record.head.transport, "any");
        out.raise(alarm, || {
            format!(
                "{client} floods {}: {count:.0} {of} that nobody answers within ten seconds",
                record.head.server
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{EndReason, FlowRecord};

    use super::DETECTOR;
    use crate::testing::{Story, answered, datagrams, unanswered};

    fn stream(server: &str, packets: u64, seconds: u64) -> FlowRecord {
        let mut record = datagrams("10.0.0.5", server, 30_000, packets * 1000, 0);
        record.sent.packets = packets;
        record.end = EndReason::Active;
        record.last = record.first + std::time::Duration::from_secs(seconds);
        record
    }

    #[test]
    fn floods_of_attempts_and_of_datagrams_are_found() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for _ in 0..1500 {
            story = story.wait_ms(2).flow(unanswered("10.0.0.5", "203.0.113.7", 80));
        }
        assert_eq!(story.only().victim.unwrap().to_string(), "203.0.113.7");
        let story = Story::of(&DETECTOR)
            .with_host("10.0.0.5")
            .flow(stream("203.0.113.7", 10_000, 1))
            .flow(stream("203.0.113.7", 10_000, 1));
        assert_eq!(story.only().actor.to_string(), "10.0.0.5");
    }

    #[test]
    fn a_flood_of_segments_without_connections_is_found_and_one_direction_of_a_link_is_not() {
        let segment = |packets| {
            let mut record = unanswered("10.0.0.5", "203.0.113.7", 80);
            record.tcp.as_mut().unwrap().state = model::TcpState::Midstream;
            record.sent.packets = packets;
            record
        };
        let story = |packets| {
            let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
            for _ in 0..1500 {
                story = story.wait_ms(2).flow(segment(packets));
            }
            story
        };
        assert_eq!(story(1).only().actor.to_string(), "10.0.0.5");
        story(4).silent();
    }

    #[test]
    fn cameras_scans_and_dead_servers_are_no_floods() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for number in 0..3000_u16 {
            story = story.wait_ms(50).flow(unanswered("10.0.0.5", "10.0.0.9", number)).flow(answered(
                "10.0.0.5",
                "203.0.113.7",
                443,
                "tls",
            ));
            if number % 20 == 0 {
                story = story.flow(unanswered("10.0.0.5", "203.0.113.8", 443));
            }
            if number % 100 == 0 {
                // Pictures for a recorder and for a group, 2000 packets a second, and a trickle to the outside.
                story = story
                    .flow(stream("10.0.0.8", 10_000, 5))
                    .flow(stream("239.1.2.3", 90_000, 5))
                    .flow(stream("203.0.113.9", 10_000, 200));
            }
        }
        story.silent();
    }
}
