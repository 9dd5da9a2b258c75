//! Starts a controller: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, ENGINEERS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds controllers that are started by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "controller-start",
    title: "Controller started",
    severity: Severity::Medium,
    attack: &["T0858"],
    finds: "A host that is not meant to starts a controller or its program. What is judged is who does \
            it: a host outside, one that appeared only now, one that other findings speak against, or \
            one that never did it while others do; how quickly, to how many, and at which hour. What the \
            known station does in its hours is not told.",
    matters: "A controller that starts moves things: people may be at the machine. After a program was \
              changed, a start is what makes it run.",
    fix: "Look who is at the machine. Find out who sits at the host that started it, and compare the \
          program that runs with the one that is kept.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "started",
    tried: "tried to start",
    meant: ENGINEERS,
    among: Among::All,
    by_hand: true,
    severity: [Severity::Medium, Severity::Low],
};

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::Start
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, tells_who_is_meant_to};
    use crate::testing::operation;

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "s7comm", |who| {
            operation(who, PLC, "s7comm", OperationKind::Start, "plc-start", Outcome::Done)
        });
    }
}
