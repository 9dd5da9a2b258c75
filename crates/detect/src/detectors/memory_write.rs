//! Writes into memory: see [`DETECTOR`].

use model::{Operation, OperationKind, Severity};

use super::change::{Acts, Change, ENGINEERS};
use super::habit::Among;
use super::suspicion::SUSPICION;
use crate::rule::{Kind, Rule};

/// Finds writes past the program, straight into memory, by those who are not meant to.
pub(super) const DETECTOR: Rule = Rule {
    id: "memory-write",
    title: "Memory of a controller written",
    severity: Severity::High,
    attack: &["T0835", "T0836"],
    finds: "A host that is not meant to writes into areas that belong to engineering tools: blocks of \
            memory by their address, the image of the inputs, tables of the programmer. What is judged \
            is who does it: a host outside, one that appeared only now, one that other findings speak \
            against, or one that never did it while others do; how quickly, to how many, and at which \
            hour. What the known station does in its hours is not told.",
    matters: "Such a write goes past the program and past all its checks. Whoever writes the inputs \
              makes the controller see what is not there; whoever writes memory can change code while it \
              runs.",
    fix: "Look at the process now. Find out who sits at the host; if nobody is commissioning, take it \
          off the network and restart the controller with the program that is kept.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, of 1024 victims",
    start: || Box::new(Change::new(&ACTS)),
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "wrote straight into the memory of",
    tried: "tried to write straight into the memory of",
    meant: ENGINEERS,
    among: Among::All,
    by_hand: true,
    severity: [Severity::High, Severity::Medium],
};

/// Services that write to memory by its address, and tables of the programmer.
const BY_ADDRESS: &[&str] =
    &["write-memory-block", "write-io-object", "write-bytes-physical", "write-variable-table", "erase"];

fn is_one(operation: &Operation) -> bool {
    let is_input = |target: &str| {
        // Of S7, the image of the inputs and the peripherals themselves.
        target.split(", ").any(|item| item.starts_with("I ") || item.starts_with("P "))
    };
    matches!(operation.kind, OperationKind::Write | OperationKind::Execute)
        && (BY_ADDRESS.contains(&&*operation.name)
            || operation.protocol == "s7comm" && operation.target.as_deref().is_some_and(is_input))
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{PLC, tells_who_is_meant_to};
    use crate::testing::{On, Story, operation};

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "modbus", |who| {
            operation(who, PLC, "modbus", OperationKind::Write, "write-memory-block", Outcome::Done)
        });
    }

    #[test]
    fn inputs_are_nobodys_to_write_and_data_blocks_are() {
        let write = |target| {
            operation("203.0.113.9", PLC, "s7comm", OperationKind::Write, "write-var", Outcome::Done)
                .on(target)
        };
        Story::of(&DETECTOR).with_host(PLC).asks(write("DB1.DBX0.0 BYTE 2, M 4.0 BIT 1")).silent();
        Story::of(&DETECTOR).with_host(PLC).asks(write("M 4.0 BIT 1, I 0.0 BYTE 4")).only();
    }
}
