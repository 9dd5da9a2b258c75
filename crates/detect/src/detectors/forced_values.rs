//! Forces values: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, ENGINEERS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds inputs and outputs that are forced by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "forced-values",
    title: "Inputs or outputs forced",
    severity: Severity::High,
    attack: &["T0835", "T0831"],
    finds: "A host that is not meant to forces inputs or outputs of a controller to values, or lifts \
            what is forced. What is judged is who does it: a host outside, one that appeared only now, \
            one that other findings speak against, or one that never did it while others do; how \
            quickly, to how many, and at which hour. What the known station does in its hours is not \
            told.",
    matters: "What is forced stays as it is whatever the program says, safety functions of the program \
              included, and nobody sees it who does not look for it.",
    fix: "Look in the engineering tool which points are forced and lift what nobody wants. Find out who \
          sits at the host that forced them.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "forced values of",
    tried: "tried to force values of",
    meant: ENGINEERS,
    among: Among::All,
    by_hand: true,
    severity: [Severity::High, Severity::Medium],
};

fn is_one(operation: &Operation) -> bool {
    matches!(operation.kind, OperationKind::Diagnose | OperationKind::Configure)
        && matches!(
            &*operation.name,
            "forced-set-reset" | "forced-set-reset-cancel" | "disable-forces" | "forces"
        )
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, tells_who_is_meant_to};
    use crate::testing::operation;

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "omron-fins", |who| {
            operation(who, PLC, "omron-fins", OperationKind::Diagnose, "forced-set-reset", Outcome::Done)
        });
    }
}
