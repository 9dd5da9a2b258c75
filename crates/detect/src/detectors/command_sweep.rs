//! Point after point is commanded: see [`DETECTOR`].

use std::collections::VecDeque;

use model::{OperationKind, Severity, Timestamp, What};

use super::change::{is_set_up, named, parties};
use super::habit::{PAIRS, is_new};
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds hosts that command one point after the other.
pub(super) const DETECTOR: Rule = Rule {
    id: "command-sweep",
    title: "Sweep of commands",
    severity: Severity::High,
    attack: &["T0855", "T0806", "T0831"],
    finds: "A host commands many points of one device that it never commanded before, in quick succession: one address \
            after the other. For one that has commanded the device by this protocol since the watch began, twice as \
            many are needed; of values that are merely written, four times as many.",
    matters: "People operate one breaker at a time, programs the points they are made for, again and again. A sweep is \
              what Industroyer did: try all addresses and open whatever opens.",
    fix: "Look at the process: what stands open, what is off. Cut the host off from the device and operate it locally \
          until it is known what runs on the host.",
    thresholds: &[
        Threshold {
            name: "points",
            about: "points that are commanded for the first time",
            unit: "points",
            usual: 12.0,
        },
        Threshold { name: "within", about: "within so long", unit: "s", usual: 60.0 },
    ],
    listens: &[Kind::Operation],
    keeps: "256 points of each of 4096 pairs of hosts and protocol",
    start: || Box::new(CommandSweep { watch: None, swept: Table::new(PAIRS) }),
};

const POINTS: usize = 0;
const WITHIN: usize = 1;
/// So many points are known of each pair; what is found lies far below.
const KNOWN: usize = 256;
/// Of values that are written, and of those who are known, so many times as many are needed.
const WRITES: f64 = 4.0;
const KNOWN_FOR_IT: f64 = 2.0;

/// What one has commanded of another by one protocol.
#[derive(Debug)]
struct Swept {
    first: Timestamp,
    known: VecDeque<u32>,
    /// When points were commanded for the first time, lately.
    lately: VecDeque<Timestamp>,
}

struct CommandSweep {
    /// When the watch began.
    watch: Option<Timestamp>,
    swept: Table<(Addr, Addr, u32), Swept>,
}

impl Detector for CommandSweep {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if !is_industrial(&operation.protocol) {
            return;
        }
        let (at, asked) = (seen.at, seen.asked(operation));
        let watch = *self.watch.get_or_insert(at);
        let times = match operation.kind {
            OperationKind::Execute => 1.0,
            OperationKind::Write if !is_set_up(operation) => WRITES,
            _ => return,
        };
        let (Some((actor, victim)), Some(target)) = (parties(&asked, operation), &operation.target) else {
            return;
        };
        let (host, whom) = (&asked.asker.host, &asked.asked.host);
        let digest = |bytes: &[u8]| (crate::ledger::digest(bytes) >> 32) as u32;
        let key = (actor, victim, digest(operation.protocol.as_bytes()));
        let make = || Swept { first: at, known: VecDeque::new(), lately: VecDeque::new() };
        let (swept, _) = self.swept.entry(key, make);
        let point = digest(target.as_bytes());
        if swept.known.contains(&point) {
            return;
        }
        if swept.known.len() >= KNOWN {
            swept.known.pop_front();
        }
        swept.known.push_back(point);
        let within = out.limit(WITHIN, host);
        swept.lately.retain(|then| at.since(*then).as_secs_f64() < within);
        if swept.lately.len() >= KNOWN {
            swept.lately.pop_front();
        }
        swept.lately.push_back(at);
        let times = if is_new(swept.first, watch, at) { times } else { times * KNOWN_FOR_IT };
        // In units of the threshold, so that it can be set for all cases at once.
        let (points, weighed) = (swept.lately.len(), swept.lately.len() as f64 / times);
        if weighed < out.limit(POINTS, host) {
            return;
        }
        let since = swept.lately.front().copied().unwrap_or(at);
        let seconds = at.since(since).as_secs_f64();
        let alarm = Alarm::about(*host)
            .to(*whom)
            .since(since)
            .flow(operation.flow.id)
            .matter(&operation.protocol)
            .crossed(POINTS, weighed)
            .factor(
                "points commanded for the first time",
                format_args!("{points} in {seconds:.1} s"),
                "one or two",
            )
            .factor("points weigh", format_args!("1/{times}"), "1 for commands of somebody new");
        out.raise(alarm, || {
            let last = named(operation);
            format!("{host} commanded {points} points of {whom} within {seconds:.0} s, none of them before; last {last}")
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind, Outcome};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    fn command(protocol: &'static str, address: u32) -> Operation {
        operation("10.0.0.5", "10.0.0.1", protocol, OperationKind::Execute, "C_SC_NA_1", Outcome::Done)
            .on(&format!("object {address} station 10"))
    }

    fn story() -> Story {
        Story::of(&DETECTOR).with_host("10.0.0.1").with_host("10.0.0.5")
    }

    #[test]
    fn address_after_address_by_one_who_never_spoke_the_protocol_is_told() {
        let mut story = story().asks(command("dnp3", 1)).wait(300);
        for address in 0..18 {
            story = story.asks(command("iec104", 2000 + address)).wait_ms(40);
        }
        let finding = story.only();
        assert_eq!((finding.count, &*finding.matter), (7, "iec104"));
        assert!(finding.summary.contains("commanded 12 points of 10.0.0.1"), "{}", finding.summary);
    }

    #[test]
    fn a_few_points_again_and_again_and_many_points_in_a_day_are_silent() {
        let mut story = story();
        for round in 0..200 {
            for address in 0..8 {
                story = story.asks(command("iec104", address)).wait_ms(100);
            }
            story = story.wait(10).asks(command("dnp3", round)).wait(20);
        }
        story.silent();
    }
}
