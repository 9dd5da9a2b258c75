//! Changes a configuration: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, ENGINEERS, is_set_up};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds configurations that are changed by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "configuration-write",
    title: "Configuration changed",
    severity: Severity::Medium,
    attack: &["T0836", "T0838"],
    finds: "A host that is not meant to changes the configuration of a controller or field device: \
            names, addresses, objects, parameters, protection. What every start of communication sets up \
            does not count. What is judged is who does it: a host outside, one that appeared only now, \
            one that other findings speak against, or one that never did it while others do; how \
            quickly, to how many, and at which hour. What the known station does in its hours is not \
            told.",
    matters: "A changed address or name takes a device off the network, a changed parameter changes what \
              it does, and a lifted protection opens it for more.",
    fix: "Compare the device's configuration with the one that is kept and restore it. Find out who sits \
          at the host that changed it.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "changed the configuration of",
    tried: "tried to change the configuration of",
    meant: ENGINEERS,
    among: Among::SameVictim,
    by_hand: false,
    severity: [Severity::Medium, Severity::Low],
};

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::Configure && !is_set_up(operation)
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, tells_who_is_meant_to};
    use crate::testing::{Story, operation};

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "profinet-dcp", |who| {
            operation(who, PLC, "profinet-dcp", OperationKind::Configure, "set-ip", Outcome::Done)
        });
    }

    #[test]
    fn what_every_start_sets_up_is_no_change() {
        for (protocol, name) in [("profinet-io-cm", "connect"), ("s7comm-plus", "create-object")] {
            let set_up =
                operation("203.0.113.9", PLC, protocol, OperationKind::Configure, name, Outcome::Done);
            Story::of(&DETECTOR).with_host(PLC).asks(set_up).silent();
        }
    }
}
