//! Writes firmware: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, ENGINEERS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds firmware that is written by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "firmware-update",
    title: "Firmware written",
    severity: Severity::High,
    attack: &["T0857", "T0839"],
    finds: "A host that is not meant to writes firmware to a controller, a module or a field device. \
            What is judged is who does it: a host outside, one that appeared only now, one that other \
            findings speak against, or one that never did it while others do; how quickly, to how many, \
            and at which hour. What the known station does in its hours is not told.",
    matters: "Firmware stands below the program: what is changed there survives every new program, hides \
              from every comparison, or leaves a device that never starts again, as in Ukraine in 2015.",
    fix: "Do not restart the device. Ask the maker how to verify its firmware and restore it from the \
          maker's own image. Find out who sits at the host that wrote it.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "wrote firmware to",
    tried: "tried to write firmware to",
    meant: ENGINEERS,
    among: Among::All,
    by_hand: true,
    severity: [Severity::High, Severity::Medium],
};

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::FirmwareUpdate
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
            operation(who, PLC, "enip", OperationKind::FirmwareUpdate, "nvs-update", Outcome::Done)
        });
    }
}
