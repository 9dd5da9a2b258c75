//! Somebody guesses a controller's password: see [`DETECTOR`].

use model::{FlowId, OperationKind, Outcome, Severity, Timestamp, What};

use super::change::parties;
use super::habit::PAIRS;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds those who guess passwords of controllers.
pub(super) const DETECTOR: Rule = Rule {
    id: "controller-password",
    title: "Password of a controller guessed",
    severity: Severity::Medium,
    attack: &["T1110.001", "T0859"],
    finds: "A controller refuses the password that a client gives, again and again; worse if it takes one then.",
    matters: "The password is all that keeps others from reading and changing the program. Most controllers do not slow \
              down whoever guesses, and many passwords have eight letters at most.",
    fix: "Find out who sits at the client. If a password was taken in the end, compare the program with the one that is \
          kept and change the password. Let nobody but the engineering station reach the controller.",
    thresholds: &[
        Threshold { name: "failures", about: "passwords that were refused", unit: "passwords", usual: 5.0 },
        Threshold {
            name: "forgiven-every",
            about: "one failure is forgiven after so long",
            unit: "s",
            usual: 3600.0,
        },
    ],
    listens: &[Kind::Operation],
    keeps: "failures of 4096 pairs of hosts",
    start: || Box::new(ControllerPassword { guesses: Table::new(PAIRS) }),
};

const FAILURES: usize = 0;
const FORGIVEN: usize = 1;
const SHOWN: usize = 16;

#[derive(Debug, Default)]
struct Guesses {
    balance: f64,
    failed: u32,
    since: Timestamp,
    last: Timestamp,
    flows: Vec<FlowId>,
}

struct ControllerPassword {
    guesses: Table<(Addr, Addr), Guesses>,
}

impl Detector for ControllerPassword {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.kind != OperationKind::Authenticate
            || !is_industrial(&operation.protocol)
            // Whoever programs a controller reserves it first: no password is asked.
            || operation.name.ends_with("-reservation")
        {
            return;
        }
        let asked = seen.asked(operation);
        let Some(pair) = parties(&asked, operation) else { return };
        let (at, host, whom) = (seen.at, &asked.asker.host, &asked.asked.host);
        let (guesses, _) = self.guesses.entry(pair, Guesses::default);
        let forgiven = at.since(guesses.last).as_secs_f64() / out.limit(FORGIVEN, host);
        guesses.last = guesses.last.max(at);
        guesses.balance = (guesses.balance - forgiven).max(0.0);
        let is_taken = match operation.outcome {
            Outcome::Asked => return,
            Outcome::Done => true,
            Outcome::Refused => {
                if guesses.balance == 0.0 {
                    (guesses.failed, guesses.since) = (0, at);
                    guesses.flows.clear();
                }
                guesses.balance += 1.0;
                guesses.failed += 1;
                if guesses.flows.len() < SHOWN {
                    guesses.flows.push(operation.flow.id);
                }
                false
            }
        };
        let (balance, failed) = (guesses.balance, guesses.failed);
        if balance >= out.limit(FAILURES, host) {
            let alarm = Alarm::about(*host)
                .to(*whom)
                .since(guesses.since)
                .flows(&guesses.flows)
                .flow(operation.flow.id)
                .severity(if is_taken { Severity::High } else { Severity::Medium })
                .crossed(FAILURES, balance)
                .factor("passwords that were refused", failed, "one or two, by mistake");
            out.raise(alarm, || match is_taken {
                true => format!("{host} gave {whom} {failed} wrong passwords, and then one that it took"),
                false => format!("{host} gave {whom} {failed} wrong passwords"),
            });
        }
        if is_taken && let Some(guesses) = self.guesses.get_mut(&pair) {
            *guesses = Guesses { last: at, ..Guesses::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind, Outcome, Severity};

    use super::DETECTOR;
    use crate::testing::{Story, operation};

    fn login(outcome: Outcome) -> Operation {
        operation("10.0.0.5", "10.0.0.1", "s7comm", OperationKind::Authenticate, "plc-password", outcome)
    }

    #[test]
    fn guessing_is_told_and_worse_when_it_succeeds() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.1").with_host("10.0.0.5");
        for _ in 0..30 {
            story = story.asks(login(Outcome::Refused)).wait(2);
        }
        assert_eq!(story.only().severity, Severity::Medium);
        let finding = story.asks(login(Outcome::Done)).only();
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(&*finding.summary, "10.0.0.5 gave 10.0.0.1 30 wrong passwords, and then one that it took");
    }

    #[test]
    fn a_mistake_now_and_then_is_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.1").with_host("10.0.0.5");
        for _ in 0..50 {
            story = story.asks(login(Outcome::Refused)).wait(5).asks(login(Outcome::Refused)).wait(5);
            story = story.asks(login(Outcome::Done)).wait(600);
        }
        story.silent();
    }
}
