//! One host asks many controllers what they are: see [`DETECTOR`].

use std::collections::BTreeMap;

use model::{FlowId, Host, OperationKind, Severity, Timestamp, What};

use super::change::parties;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds hosts that ask controllers what they are and want nothing else.
pub(super) const DETECTOR: Rule = Rule {
    id: "identification-sweep",
    title: "Controllers are being identified",
    severity: Severity::Medium,
    attack: &["T0888", "T0846"],
    finds: "A host asks one controller after the other what it is, and does nothing with them then: it neither reads \
            values nor writes any. Panels, supervisors and engineering stations ask, too, but then go to work.",
    matters: "Model and firmware tell which holes a controller has and which tools fit it. Stuxnet and Triton looked for \
              the one configuration they were made for.",
    fix: "Find out what runs on the host. If it is your inventory or a test, declare it as expected; if not, take it off \
          the network and watch the controllers that it found.",
    thresholds: &[
        Threshold {
            name: "controllers",
            about: "controllers that were asked what they are and for nothing else",
            unit: "controllers",
            usual: 8.0,
        },
        Threshold {
            name: "idle",
            about: "a controller counts if nothing was done with it for so long after",
            unit: "s",
            usual: 60.0,
        },
    ],
    listens: &[Kind::Operation, Kind::Tick],
    keeps: "64 controllers of each of 1024 hosts, for a day",
    start: || Box::new(IdentificationSweep { sweeps: Table::new(ASKERS) }),
};

const CONTROLLERS: usize = 0;
const IDLE: usize = 1;
const ASKERS: usize = 1024;
const ASKED: usize = 64;
/// What was asked so long ago no longer counts, in seconds.
const A_DAY: u64 = 86_400;

/// One who asks.
#[derive(Debug)]
struct Sweep {
    host: Host,
    /// Whom it asked, since when, where it shows; and whether it has gone to work with it.
    asked: BTreeMap<Addr, (Timestamp, FlowId, bool)>,
    /// For how many it was told.
    told: usize,
}

struct IdentificationSweep {
    sweeps: Table<Addr, Sweep>,
}

impl Detector for IdentificationSweep {
    fn observe(&mut self, seen: &Seen<'_>, _: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if !is_industrial(&operation.protocol) {
            return;
        }
        let asked = seen.asked(operation);
        let Some((actor, victim)) = parties(&asked, operation) else { return };
        let works = match operation.kind {
            OperationKind::Identify | OperationKind::Discover => false,
            OperationKind::Authenticate | OperationKind::Diagnose => return,
            _ => true,
        };
        let make = || Sweep { host: asked.asker.host, asked: BTreeMap::new(), told: 0 };
        let (sweep, _) = self.sweeps.entry(actor, make);
        match sweep.asked.get_mut(&victim) {
            Some((.., has_worked)) => *has_worked |= works,
            None => {
                if sweep.asked.len() >= ASKED {
                    // Whom it works with is remembered for longer than whom it asked once.
                    let oldest = sweep.asked.iter().min_by_key(|(_, (at, _, works))| (*works, *at));
                    if let Some(oldest) = oldest.map(|(addr, _)| *addr) {
                        sweep.asked.remove(&oldest);
                    }
                }
                sweep.asked.insert(victim, (seen.at, operation.flow.id, works));
            }
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Out<'_>) {
        for (_, sweep) in self.sweeps.iter_mut() {
            let limit = out.limit(CONTROLLERS, &sweep.host);
            if (sweep.asked.len() as f64) < limit {
                continue;
            }
            let idle = out.limit(IDLE, &sweep.host);
            sweep.asked.retain(|_, (at, _, works)| *works || now.since(*at).as_secs() < A_DAY);
            let mut idle: Vec<_> = sweep
                .asked
                .values()
                .filter(|(at, _, works)| !works && now.since(*at).as_secs_f64() >= idle)
                .map(|(at, flow, _)| (*at, *flow))
                .collect();
            let count = idle.len();
            if (count as f64) < limit || count <= sweep.told {
                continue;
            }
            sweep.told = count;
            idle.sort_unstable_by_key(|(at, _)| *at);
            let flows: Vec<_> = idle.iter().map(|(_, flow)| *flow).collect();
            let host = sweep.host;
            let alarm = Alarm::about(host)
                .since(idle[0].0)
                .flows(&flows)
                .crossed(CONTROLLERS, count as f64)
                .factor("controllers asked for nothing else", count, "a few");
            out.raise(alarm, || {
                format!("{host} asked {count} controllers what they are, and for nothing else")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::testing::{Story, operation};

    fn story(works: bool) -> Story {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        let ask = |last, kind| {
            let whom = format!("10.0.1.{last}");
            operation("10.0.0.5", &whom, "s7comm", kind, "read-szl", Outcome::Done)
        };
        for last in 1..=20 {
            story = story.asks(ask(last, OperationKind::Identify)).wait(1);
        }
        if works {
            for last in 1..=20 {
                story = story.asks(ask(last, OperationKind::Read)).wait(1);
            }
        }
        for _ in 0..40 {
            story = story.wait(60).asks(ask(1, OperationKind::Identify));
        }
        story
    }

    #[test]
    fn one_who_asks_many_and_does_nothing_with_them_is_told_once() {
        let finding = story(false).only();
        assert_eq!(finding.actor.to_string(), "10.0.0.5");
        assert!(
            finding.summary.ends_with("controllers what they are, and for nothing else"),
            "{}",
            finding.summary
        );
        assert!(finding.count <= 2, "{}", finding.count);
    }

    #[test]
    fn one_who_then_goes_to_work_with_them_is_silent() {
        story(true).silent();
    }
}
