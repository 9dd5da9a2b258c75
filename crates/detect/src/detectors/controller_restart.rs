//! Restarts a controller: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, OPERATORS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds controllers that are restarted by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "controller-restart",
    title: "Controller restarted",
    severity: Severity::High,
    attack: &["T0816", "T0814"],
    finds: "A host that is not meant to restarts or resets a controller, an outstation or a field \
            device. What is judged is who does it: a host outside, one that appeared only now, one that \
            other findings speak against, or one that never did it while others do; how quickly, to how \
            many, and at which hour. What the known station does in its hours is not told.",
    matters: "While it restarts, nothing is controlled and nothing is protected; restarted again and \
              again it never comes back. A cold restart loses values, and makes a changed program run.",
    fix: "Look at the process and at the device. Find out who sits at the host that restarted it; block \
          that host from the device if nobody knows.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Identified, Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::of_conversations(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "restarted",
    tried: "tried to restart",
    meant: OPERATORS,
    among: Among::SameVictim,
    by_hand: true,
    severity: [Severity::High, Severity::Medium],
};

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::Restart
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, tells_who_is_meant_to};
    use crate::testing::{Story, operation};

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "dnp3", |who| {
            operation(who, PLC, "dnp3", OperationKind::Restart, "cold-restart", Outcome::Done)
        });
    }

    #[test]
    fn restarting_one_after_the_other_is_few_findings() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9");
        for last in 1..=40 {
            let whom = format!("10.0.1.{last}");
            let restart =
                operation("10.0.0.9", &whom, "dnp3", OperationKind::Restart, "cold-restart", Outcome::Done);
            story = story.asks(restart).wait(1);
        }
        let findings = story.findings();
        assert_eq!(findings.len(), 4, "{findings:#?}");
        let last = findings.last().unwrap();
        assert_eq!((last.victim, last.count), (None, 37));
        assert!(last.summary.contains("4 controllers within the hour"), "{}", last.summary);
    }
}
