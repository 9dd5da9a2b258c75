//! Somebody has a program run on another host: see [`DETECTOR`].

use model::{Host, Operation, OperationKind, Outcome, Role, Severity, Timestamp, What};

use super::change::parties;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds programs that are put on a host and run there by another one.
pub(super) const DETECTOR: Rule = Rule {
    id: "remote-execution",
    title: "Program run from afar",
    severity: Severity::Medium,
    attack: &["T0867", "T1021.002", "T1569.002", "T1570"],
    finds: "A host writes a file into an administrative share of a Windows machine, or a program into any share, and \
            then has it run there, by the service control manager, the task scheduler or a remote shell. For operator \
            and engineering stations, historians and tills, or by a host that is suspected already, it is of high severity; \
            for these, the command alone is enough.",
    matters: "So administrators install software, and so worms and intruders go on from host to host: Stuxnet and \
              NotPetya did, and so the thieves of 2013 came to the tills of a retailer. Whoever can do it owns the machine.",
    fix: "Ask who administers the machine whether it was meant to be. If it was not, cut off the host that did it, change the \
          password it used, and look for the file and the service on the machine. Nobody but administrators' own \
          stations should reach SMB of stations and tills.",
    thresholds: &[Threshold {
        name: "within",
        about: "how long after a file was put on a host a command to run something there belongs to it",
        unit: "s",
        usual: 600.0,
    }],
    listens: &[Kind::Operation],
    keeps: "4,096 pairs of whom one put a file on the other",
    start: || Box::new(RemoteExecution { brought: Table::new(PAIRS) }),
};

const WITHIN: usize = 0;
const PAIRS: usize = 4096;

/// Names of files that are programs end so.
const PROGRAMS: &[&str] =
    &[".exe", ".dll", ".sys", ".scr", ".com", ".msi", ".bat", ".cmd", ".ps1", ".vbs", ".js", ".hta", ".jar"];

/// Machines on which nobody but their makers and operators installs anything.
const STATIONS: &[Role] = &[
    Role::Hmi,
    Role::Scada,
    Role::EngineeringStation,
    Role::Historian,
    Role::PointOfSale,
    Role::Medical,
    Role::BuildingController,
];

struct RemoteExecution {
    /// The last file that one put on another.
    brought: Table<(Addr, Addr), Brought>,
}

struct Brought {
    at: Timestamp,
    file: Box<str>,
    /// How bad it was found to be, so that what is told of it does not make it worse.
    told: Option<Severity>,
}

/// Whether a file is written where only administrators write (the shares that Windows has by itself), or is a program.
fn matters(target: &str) -> bool {
    let share = target.split('\\').next().unwrap_or_default();
    let is_drive = matches!(share.as_bytes(), [drive, b'$'] if drive.is_ascii_alphabetic());
    let file = target.to_ascii_lowercase();
    is_drive || share.eq_ignore_ascii_case("ADMIN$") || PROGRAMS.iter().any(|end| file.ends_with(end))
}

impl Detector for RemoteExecution {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        let Operation { protocol, outcome, target, .. } = &**operation;
        if protocol != "smb" || *outcome == Outcome::Refused {
            return;
        }
        let asked = seen.asked(operation);
        let (Some(pair), Some(target)) = (parties(&asked, operation), target.as_deref()) else { return };
        match operation.kind {
            OperationKind::TransferFile if operation.name == "write" && matters(target) => {
                let (brought, _) =
                    self.brought.entry(pair, || Brought { at: seen.at, file: "".into(), told: None });
                (brought.at, brought.file) = (seen.at, target.into());
            }
            OperationKind::Execute => {
                self.run(pair, [&asked.asker.host, &asked.asked.host], operation, seen, out);
            }
            _ => {}
        }
    }
}

impl RemoteExecution {
    fn run(
        &mut self,
        pair: (Addr, Addr),
        [actor, victim]: [&Host; 2],
        operation: &Operation,
        seen: &Seen<'_>,
        out: &mut Out<'_>,
    ) {
        let within = out.limit(WITHIN, actor);
        let passed = |brought: &Brought| seen.at.since(brought.at).as_secs_f64();
        let mut brought = self.brought.get_mut(&pair).filter(|brought| passed(brought) <= within);
        let is_grave = || seen.site.is_one_of(victim, STATIONS) || out.is_suspect(actor);
        let severity = brought.as_ref().and_then(|brought| brought.told);
        let severity = severity.unwrap_or_else(|| if is_grave() { Severity::High } else { Severity::Medium });
        let mut alarm = Alarm::about(*actor).to(*victim).flow(operation.flow.id).severity(severity);
        match &mut brought {
            Some(brought) => {
                brought.told = Some(severity);
                alarm = alarm.since(brought.at).crossed(WITHIN, passed(brought));
            }
            // Administrators look at services, too.
            None if severity < Severity::High => return,
            None => {}
        }
        out.raise(alarm, || match brought {
            Some(Brought { file, .. }) => {
                format!(
                    "{actor} wrote {file} to {victim} and then gave a command to run something ({})",
                    operation.name
                )
            }
            None => format!("{actor} gave {victim} a command to run something ({})", operation.name),
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{Attribute, Confidence, Fact, OperationKind, Outcome, Severity, What};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    const ADMIN: &str = "10.0.0.9";
    const PC: &str = "10.0.0.20";

    fn write(target: &str) -> model::Operation {
        operation(ADMIN, PC, "smb", OperationKind::TransferFile, "write", Outcome::Done).on(target)
    }

    fn run(outcome: Outcome) -> model::Operation {
        operation(ADMIN, PC, "smb", OperationKind::Execute, "service-control", outcome).on("svcctl")
    }

    fn story() -> Story {
        Story::of(&DETECTOR).with_host(ADMIN).with_host(PC)
    }

    fn till() -> Story {
        story().then(What::Fact(Box::new(Fact {
            about: model::Host::from_ip(PC.parse().unwrap()),
            attribute: Attribute::Role,
            value: "point-of-sale".into(),
            source: "rule.till".into(),
            confidence: Confidence::LIKELY,
        })))
    }

    #[test]
    fn a_program_that_is_put_somewhere_and_run_is_told_once() {
        for target in [r"ADMIN$\DEFRAG1.TMP", r"c$\temp\x", r"public\setup.EXE"] {
            let story =
                story().asks(write(target)).wait(30).asks(run(Outcome::Done)).asks(run(Outcome::Asked));
            let finding = story.only();
            assert_eq!((finding.severity, finding.count), (Severity::Medium, 2));
            assert!(finding.summary.contains(target), "{}", finding.summary);
        }
    }

    #[test]
    fn at_a_till_it_is_grave_and_the_command_alone_is_enough() {
        assert_eq!(till().asks(run(Outcome::Done)).only().severity, Severity::High);
        assert_eq!(till().asks(write(r"C$\x.dll")).asks(run(Outcome::Done)).only().severity, Severity::High);
    }

    #[test]
    fn files_for_people_looking_at_services_and_what_is_refused_or_long_ago_are_none() {
        story().asks(run(Outcome::Done)).silent();
        story().asks(write(r"public\letter.docx")).asks(run(Outcome::Done)).silent();
        story().asks(write(r"ADMIN$\x.exe")).asks(run(Outcome::Refused)).silent();
        story().asks(write(r"ADMIN$\x.exe")).wait(601).asks(run(Outcome::Done)).silent();
        till().asks(write(r"ADMIN$\x.exe")).silent();
    }
}
