//! Takes a program out of a controller: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, ENGINEERS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds programs that are taken out of controllers by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "program-upload",
    title: "Program taken from a controller",
    severity: Severity::Medium,
    attack: &["T0845"],
    finds: "A host that is not meant to reads the program out of a controller. What is judged is who \
            does it: a host outside, one that appeared only now, one that other findings speak against, \
            or one that never did it while others do; how quickly, to how many, and at which hour. What \
            the known station does in its hours is not told.",
    matters: "The program tells an attacker how the process works, which outputs drive what and which \
              limits protect it. Whoever prepares an attack on a process takes the program first, as \
              those behind Stuxnet and Triton did.",
    fix: "Ask who works on this controller. If nobody does, take the host off the network, find out what \
          else it read, and treat the program as known to others. If it is a new engineering station or \
          a backup system, declare it as expected.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "took the program out of",
    tried: "tried to take the program out of",
    meant: ENGINEERS,
    among: Among::All,
    by_hand: false,
    severity: [Severity::Medium, Severity::Low],
};

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::ProgramUpload
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, tells_who_is_meant_to};
    use crate::testing::{On, operation};

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "s7comm", |who| {
            operation(who, PLC, "s7comm", OperationKind::ProgramUpload, "start-upload", Outcome::Done)
                .on("OB 1")
        });
    }
}
