//! Sets a clock: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, OPERATORS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds clocks that are set by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "time-change",
    title: "Clock set",
    severity: Severity::Medium,
    attack: &["T0836", "T0856"],
    finds: "A host that is not the controller's source of time sets its clock. What is judged is who \
            does it: a host outside, one that appeared only now, one that other findings speak against, \
            or one that never did it while others do; how quickly, to how many, and at which hour. What \
            the known station does in its hours is not told.",
    matters: "Times of alarms and records are worth nothing once a clock is wrong, switching by the \
              clock happens at the wrong time, and certificates become invalid.",
    fix: "Compare the device's clock with the right time and set it. Find out who sits at the host that \
          set it. If it is a new source of time, declare it as expected.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "set the clock of",
    tried: "tried to set the clock of",
    meant: OPERATORS,
    among: Among::SameVictim,
    by_hand: false,
    severity: [Severity::Medium, Severity::Low],
};

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::SetTime
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
            operation(who, PLC, "s7comm", OperationKind::SetTime, "set-clock", Outcome::Done)
        });
    }
}
