//! Files go to or come from a controller: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity, What};

use super::change::{Acts, Change, ENGINEERS};
use super::habit::Among;
use super::roles::CONTROLLERS;
use super::suspicion::SUSPICION;
use crate::judge::{Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule};

/// Finds files that go to or come from controllers by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "controller-file-transfer",
    title: "File moved to or from a controller",
    severity: Severity::Medium,
    attack: &["T0867", "T0802"],
    finds: "A host that is not meant to moves files to or from a controller, an outstation or a field device, by an \
            industrial protocol or by FTP, TFTP, HTTP or SMB. What is judged is who does it: a host outside, one that \
            appeared only now, one that other findings speak against, or one that never did it while others do.",
    matters: "Files on a controller are its programs, its configuration, its web pages and its records: whoever takes \
              them learns the process, whoever changes them changes what it does or what operators are shown.",
    fix: "Find out who sits at the host and what was moved. Compare the files on the controller with those that are \
          kept. If it is a backup or a station that is meant to, declare it as expected.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(ControllerFileTransfer { change: Change::new(&ACTS) }),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "moved files to or from",
    tried: "tried to move files to or from",
    meant: ENGINEERS,
    among: Among::SameVictim,
    by_hand: false,
    severity: [Severity::Medium, Severity::Low],
};

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::TransferFile
}

struct ControllerFileTransfer {
    change: Change,
}

impl Detector for ControllerFileTransfer {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        let is_to_controller =
            || is_one(operation) && out.site().is_one_of(&seen.asked(operation).asked.host, CONTROLLERS);
        if is_industrial(&operation.protocol) || is_to_controller() {
            self.change.take(seen, operation, &mut |_| {}, out);
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.change.save()
    }

    fn restore(&mut self, learnt: &[u8]) {
        self.change.restore(learnt);
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{INTRUDER, PLC, plant, tells_who_is_meant_to};
    use crate::testing::{Story, named, operation};

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "dnp3", |who| {
            operation(who, PLC, "dnp3", OperationKind::TransferFile, "open-file", Outcome::Done)
        });
    }

    #[test]
    fn files_of_controllers_count_whatever_moves_them_and_those_of_servers_do_not() {
        let fetch = || operation(INTRUDER, PLC, "ftp", OperationKind::TransferFile, "retr", Outcome::Done);
        let story = |name: &str| -> Story { plant(&DETECTOR, "s7comm").then(named(PLC, name)) };
        story("fileserver").with_host(INTRUDER).wait(30).asks(fetch()).silent();
        story("PLC-PRESS").with_host(INTRUDER).wait(30).asks(fetch()).only();
    }
}
