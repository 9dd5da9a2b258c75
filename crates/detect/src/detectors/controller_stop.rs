//! Stops a controller: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, ENGINEERS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds controllers that are stopped by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "controller-stop",
    title: "Controller stopped",
    severity: Severity::High,
    attack: &["T0858", "T0816"],
    finds: "A host that is not meant to stops a controller or its program. What is judged is who does \
            it: a host outside, one that appeared only now, one that other findings speak against, or \
            one that never did it while others do; how quickly, to how many, and at which hour. What the \
            known station does in its hours is not told.",
    matters: "A stopped controller controls nothing: outputs fall to a safe state at best, and the \
              process stands still or runs on without guidance. One packet does it, without a password \
              on most controllers.",
    fix: "Look at the process and at the controller now; start it only when the plant allows. Find out \
          who sits at the host that stopped it. If it was planned, declare that station as expected for \
          this controller.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "stopped",
    tried: "tried to stop",
    meant: ENGINEERS,
    among: Among::All,
    by_hand: true,
    severity: [Severity::High, Severity::Medium],
};

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::Stop
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome, Severity};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, read, tells_who_is_meant_to};
    use crate::testing::{Story, operation};

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "s7comm", |who| {
            operation(who, PLC, "s7comm", OperationKind::Stop, "plc-stop", Outcome::Done)
        });
    }

    #[test]
    fn a_program_that_stops_it_at_once_is_told_from_a_person_even_in_the_first_minute() {
        let stop = |who| operation(who, PLC, "s7comm", OperationKind::Stop, "plc-stop", Outcome::Done);
        let story = || Story::of(&DETECTOR).with_host(PLC).with_host("10.0.0.9");
        let finding = story().asks(stop("10.0.0.9")).only();
        assert!(finding.summary.contains("0 ms after it turned to the controller"), "{}", finding.summary);
        assert_eq!(finding.severity, Severity::Medium);
        story().asks(read("10.0.0.9", "s7comm")).wait(20).asks(stop("10.0.0.9")).silent();
    }

    #[test]
    fn what_other_protocols_call_stop_is_none_of_it() {
        let stop = operation("203.0.113.9", PLC, "rtsp", OperationKind::Stop, "teardown", Outcome::Done);
        Story::of(&DETECTOR).with_host(PLC).asks(stop).silent();
    }
}
