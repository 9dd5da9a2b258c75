//! Changes what an outstation reports: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity, What};

use super::change::{Acts, Change, OPERATORS, parties};
use super::habit::{Among, PAIRS};
use super::suspicion::{Case, SUSPICION};
use crate::hosts::Addr;
use crate::judge::{Out, Seen};
use crate::rule::{Detector, Kind, Rule};
use crate::table::Table;

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
    listens: &[Kind::Identified, Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Dnp3Reporting { change: Change::of_conversations(&ACTS), readers: Table::new(PAIRS) }),
};

/// A master reads: one that only freezes is none.
const BLIND: f64 = 1.0;

struct Dnp3Reporting {
    change: Change,
    /// Who has read from whom.
    readers: Table<(Addr, Addr), ()>,
}

impl Detector for Dnp3Reporting {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return self.change.observe(seen, out) };
        let asked = seen.asked(operation);
        let pair = parties(&asked, operation).filter(|_| operation.protocol == "dnp3");
        if let Some(pair) = pair.filter(|_| operation.kind == OperationKind::Read) {
            self.readers.place(pair, || ());
        }
        let is_blind = is_freeze(operation) && pair.is_some_and(|pair| self.readers.get(&pair).is_none());
        let mut ways = |case: &mut Case| {
            if is_blind {
                let seen = "it has read nothing from the outstation".into();
                case.how(BLIND, "what it reads", seen, "all that the outstation measures");
            }
        };
        self.change.look(seen, &mut ways, out);
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.change.save()
    }

    fn restore(&mut self, learnt: &[u8]) {
        self.change.restore(learnt);
    }
}

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

/// Whether it freezes counters, which no master begins with.
fn is_freeze(operation: &Operation) -> bool {
    operation.kind == OperationKind::Execute && operation.name.contains("freeze")
}

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
    use crate::testing::{Story, operation};

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "dnp3", |who| {
            operation(who, PLC, "dnp3", OperationKind::Configure, "disable-unsolicited", Outcome::Done)
        });
    }

    #[test]
    fn one_that_bears_the_masters_address_and_only_freezes_is_told() {
        let freeze = |who: &str| {
            operation(who, PLC, "dnp3", OperationKind::Execute, "immediate-freeze", Outcome::Refused)
        };
        let read = |who: &str| operation(who, PLC, "dnp3", OperationKind::Read, "read", Outcome::Done);
        let lookup = operation("10.0.0.2", "10.0.0.7", "dns", OperationKind::Read, "query", Outcome::Done);
        let quiet = || {
            Story::of(&DETECTOR).with_host(PLC).with_host("10.0.0.2").asks(lookup.clone()).wait(2 * 86_400)
        };
        let finding = quiet().asks(freeze("10.0.0.2")).wait(2).asks(freeze("10.0.0.2")).only();
        assert_eq!((finding.count, finding.actor.to_string().as_str()), (2, "10.0.0.2"));
        assert!(finding.summary.contains("for 48 hours it had nothing to do"), "{}", finding.summary);
        // It goes on hours later, with something read between.
        let story = quiet().asks(freeze("10.0.0.2")).wait(14_400).asks(read("10.0.0.2"));
        assert_eq!(story.wait(14_400).asks(freeze("10.0.0.2")).only().count, 2);
        // A master that reads, freezes its counters each hour.
        let mut story = quiet().asks(read("10.0.0.2"));
        for _ in 0..48 {
            story = story.wait(3600).asks(freeze("10.0.0.2"));
        }
        story.silent();
    }
}
