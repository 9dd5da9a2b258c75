//! Changes what an outstation reports: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, OPERATORS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds masters that are not, and choose what an outstation reports.
pub(super) const DETECTOR: Rule = Rule {
    id: "dnp3-reporting",
    title: "Reporting of an outstation changed",
    severity: Severity::High,
    attack: &["T0804", "T0815", "T0878"],
    finds: "A host that is not an outstation's master enables or disables its unsolicited reports, \
            assigns classes of events, freezes or clears counters, or starts its application anew (IEEE \
            1815, functions 7 to 12, 15 to 22 and 31). What is judged is who does it: a host outside, \
            one that appeared only now, one that other findings speak against, or one that never did it \
            while others do; how quickly, to how many, and at which hour. What the known station does in \
            its hours is not told.",
    matters: "An outstation whose reports are disabled is silent about what happens: operators look at \
              the last good values. Cleared counters and events are lost.",
    fix: "Let the real master enable unsolicited reports again and ask for all classes. Find out who \
          sits at the host; only the master may reach the outstation.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "changed the reporting of",
    tried: "tried to change the reporting of",
    meant: OPERATORS,
    among: Among::SameVictim,
    by_hand: false,
    severity: [Severity::High, Severity::Medium],
};

/// What masters do when they connect, and nobody else ever should.
const FUNCTIONS: &[&str] = &[
    "enable-unsolicited",
    "disable-unsolicited",
    "assign-class",
    "initialize-data",
    "initialize-application",
    "activate-configuration",
    "save-configuration",
    "immediate-freeze",
    "immediate-freeze-no-ack",
    "freeze-and-clear",
    "freeze-and-clear-no-ack",
    "freeze-at-time",
    "freeze-at-time-no-ack",
];

fn is_one(operation: &Operation) -> bool {
    matches!(operation.kind, OperationKind::Configure | OperationKind::Execute)
        && operation.protocol == "dnp3"
        && FUNCTIONS.contains(&&*operation.name)
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, tells_who_is_meant_to};
    use crate::testing::operation;

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "dnp3", |who| {
            operation(who, PLC, "dnp3", OperationKind::Configure, "disable-unsolicited", Outcome::Done)
        });
    }
}
