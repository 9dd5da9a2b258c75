//! A client is refused again and again: see [`DETECTOR`].

use std::collections::VecDeque;

use model::{FlowId, Outcome, Severity, Timestamp, What};

use super::change::parties;
use super::habit::PAIRS;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds clients that guess what a controller knows.
pub(super) const DETECTOR: Rule = Rule {
    id: "exception-burst",
    title: "Guessing at a controller",
    severity: Severity::Medium,
    attack: &["T0861", "T0846", "T0806"],
    finds: "A client asks a controller for many different things that it refuses: functions it does not have, addresses \
            that do not exist. Each thing counts once; what is answered speaks against guessing, however long it takes.",
    matters: "Whoever is set up for a controller knows its addresses and is hardly ever refused. Whoever does not know \
              them tries: to map the points before an attack, or to find a function that breaks the controller.",
    fix: "Find out what runs on the client. If it is a panel or a gateway, correct the addresses it is set to; if it is \
          a test, declare it as expected; if nobody knows, take it off the network.",
    thresholds: &[
        Threshold {
            name: "refusals",
            about: "different things that were refused, less those that were done",
            unit: "requests",
            usual: 12.0,
        },
        Threshold {
            name: "forgiven-every",
            about: "one refusal is forgiven after so long",
            unit: "s",
            usual: 3600.0,
        },
    ],
    listens: &[Kind::Operation],
    keeps: "256 requests of each of 4096 pairs of hosts",
    start: || Box::new(ExceptionBurst { guesses: Table::new(PAIRS) }),
};

const REFUSALS: usize = 0;
const FORGIVEN: usize = 1;
/// So many of the latest requests of a pair are known, and so many conversations are shown.
const KNOWN: usize = 256;
const SHOWN: usize = 16;

/// What one has asked of another. Refusals and answers weigh the same, as failed and answered contacts do in the
/// sequential test for scans: see [`super::contacts`].
#[derive(Debug, Default)]
struct Guesses {
    known: VecDeque<u32>,
    balance: f64,
    refused: u32,
    since: Timestamp,
    last: Timestamp,
    flows: Vec<FlowId>,
}

struct ExceptionBurst {
    guesses: Table<(Addr, Addr), Guesses>,
}

impl Detector for ExceptionBurst {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if !is_industrial(&operation.protocol) || operation.outcome == Outcome::Asked {
            return;
        }
        let asked = seen.asked(operation);
        let Some(pair) = parties(&asked, operation) else { return };
        let (at, host, whom) = (seen.at, &asked.asker.host, &asked.asked.host);
        let (guesses, _) = self.guesses.entry(pair, Guesses::default);
        let target = operation.target.as_deref().unwrap_or_default();
        let words = [operation.name.as_bytes(), &[operation.outcome as u8], target.as_bytes()].concat();
        let digest = (crate::ledger::digest(&words) >> 32) as u32;
        if guesses.known.contains(&digest) {
            return;
        }
        if guesses.known.len() >= KNOWN {
            guesses.known.pop_front();
        }
        guesses.known.push_back(digest);
        let forgiven = at.since(guesses.last).as_secs_f64() / out.limit(FORGIVEN, host);
        guesses.last = guesses.last.max(at);
        guesses.balance = (guesses.balance - forgiven).max(0.0);
        if operation.outcome == Outcome::Done {
            guesses.balance = (guesses.balance - 1.0).max(0.0);
            return;
        }
        if guesses.balance == 0.0 {
            (guesses.refused, guesses.since) = (0, at);
            guesses.flows.clear();
        }
        guesses.balance += 1.0;
        guesses.refused += 1;
        let flow = operation.flow.id;
        if guesses.flows.len() < SHOWN && !guesses.flows.contains(&flow) {
            guesses.flows.push(flow);
        }
        if guesses.balance < out.limit(REFUSALS, host) {
            return;
        }
        let refused = guesses.refused;
        let alarm = Alarm::about(*host)
            .to(*whom)
            .since(guesses.since)
            .flows(&guesses.flows)
            .crossed(REFUSALS, guesses.balance)
            .factor("different requests that were refused", refused, "hardly any");
        out.raise(alarm, || {
            let last = super::change::named(operation);
            format!("{host} asked {whom} for {refused} different things that were refused, the last {last}")
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind, Outcome};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    fn read(register: u32, outcome: Outcome) -> Operation {
        operation("10.0.0.5", "10.0.0.1", "modbus", OperationKind::Read, "read-holding-registers", outcome)
            .on(&format!("holding-registers {register} unit 1"))
    }

    fn story() -> Story {
        Story::of(&DETECTOR).with_host("10.0.0.1").with_host("10.0.0.5")
    }

    #[test]
    fn one_who_tries_address_after_address_is_told_once_however_slowly() {
        for pause in [0, 60, 600] {
            let mut story = story();
            for register in 0..400 {
                let outcome = if register % 10 == 0 { Outcome::Done } else { Outcome::Refused };
                story = story.asks(read(register, outcome)).wait(pause);
            }
            let finding = story.only();
            assert!(finding.count > 100, "{}", finding.count);
            assert!(finding.summary.contains("10.0.0.5 asked 10.0.0.1 for "), "{}", finding.summary);
        }
    }

    #[test]
    fn a_panel_with_some_wrong_addresses_is_silent_however_often_it_polls() {
        let mut story = story();
        for _ in 0..500 {
            for register in 0..30 {
                let outcome = if register < 10 { Outcome::Refused } else { Outcome::Done };
                story = story.asks(read(register, outcome));
            }
            story = story.wait(1);
        }
        story.silent();
    }
}
