//! Changes the mode of a controller: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, ENGINEERS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds controllers whose mode is changed by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "controller-mode",
    title: "Controller mode changed",
    severity: Severity::High,
    attack: &["T0858", "T0835"],
    finds: "A host that is not meant to changes the mode of a controller or field device: to \
            programming, to test, to listening only. What is judged is who does it: a host outside, one \
            that appeared only now, one that other findings speak against, or one that never did it \
            while others do; how quickly, to how many, and at which hour. What the known station does in \
            its hours is not told.",
    matters: "In another mode a controller takes programs, forces outputs or no longer answers. A device \
              that is forced to listen only is out of sight until it is restarted.",
    fix: "Look at the mode at the controller itself and turn its key switch to run where it has one. \
          Find out who sits at the host that changed it.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "changed the mode of",
    tried: "tried to change the mode of",
    meant: ENGINEERS,
    among: Among::All,
    by_hand: true,
    severity: [Severity::High, Severity::Medium],
};

fn is_one(operation: &Operation) -> bool {
    // Masters of EtherCAT take their devices through their states whenever they start.
    operation.kind == OperationKind::ChangeMode && operation.protocol != "ethercat"
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, tells_who_is_meant_to};
    use crate::testing::operation;

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "enip", |who| {
            operation(who, PLC, "enip", OperationKind::ChangeMode, "change-mode", Outcome::Done)
        });
    }
}
