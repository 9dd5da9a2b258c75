//! One who looked around reads from a controller: see [`DETECTOR`].

use model::{OperationKind, Severity, What};

use super::change::{named, parties};
use super::habit::PAIRS;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule};
use crate::table::Table;

/// Finds intruders that make themselves familiar with a process.
pub(super) const DETECTOR: Rule = Rule {
    id: "suspicious-reading",
    title: "Controller read by a suspect",
    severity: Severity::Medium,
    attack: &["T0861", "T0868", "T0888"],
    finds: "A host of which something bad was found before, such as a scan, asks a controller, an outstation or a field \
            device for values, or what it is, and has not done so before. Whoever reads and is not suspected is not \
            told.",
    matters: "Reading changes nothing, but it is how an intruder learns what to change: which points there are, and \
              what they are worth.",
    fix: "Look at what else was found of the host. Find out what runs on it; if nobody knows, block it from the \
          controllers.",
    thresholds: &[],
    listens: &[Kind::Operation],
    keeps: "the 4096 pairs of hosts of which one asked the other last",
    start: || Box::new(SuspiciousReading { known: Table::new(PAIRS) }),
};

struct SuspiciousReading {
    /// Who reads from whom, and whether that was told.
    known: Table<(Addr, Addr), bool>,
}

impl Detector for SuspiciousReading {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        let reads = matches!(
            operation.kind,
            OperationKind::Read | OperationKind::Identify | OperationKind::Subscribe
        );
        if !reads || !is_industrial(&operation.protocol) {
            return;
        }
        let asked = seen.asked(operation);
        let Some(pair) = parties(&asked, operation) else { return };
        let (host, whom) = (&asked.asker.host, &asked.asked.host);
        // Whoever read before it was suspected is told of for what it is suspected of.
        let is_suspect = out.is_suspect(host);
        let told = *self.known.entry(pair, || is_suspect).0;
        if !told || !is_suspect {
            return;
        }
        let Some(suspicion) = out.suspect(host) else { return };
        let alarm = Alarm::about(*host).to(*whom).flow(operation.flow.id).factor(
            "other findings",
            &suspicion.title,
            "none",
        );
        out.raise(alarm, || {
            let did = if suspicion.did { "was found before" } else { "was attacked before" };
            format!("{host} asked {whom} by {}; it {did}: {}", named(operation), suspicion.title)
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind, Outcome, Role};

    use super::DETECTOR;
    use crate::judge::Detect;
    use crate::settings::Settings;
    use crate::testing::{Story, operation, unanswered};

    fn read(who: &str) -> Operation {
        operation(who, "10.0.0.1", "dnp3", OperationKind::Read, "read", Outcome::Done)
    }

    fn story() -> Story {
        let detect = Detect::with(Settings::default(), |rule| {
            [DETECTOR.id, "host-scan", "arp-scan"].contains(&rule.id)
        });
        let story = Story::with(detect).with_host("10.0.0.1").with_host("10.0.0.2").with_host("10.0.0.66");
        story.plays("10.0.0.1", Role::Rtu).asks(read("10.0.0.2"))
    }

    fn scan(mut story: Story, who: &str) -> Story {
        for last in 1..=40 {
            story = story.wait(1).flow(unanswered(who, &format!("10.0.1.{last}"), 80));
        }
        story
    }

    #[test]
    fn a_scanner_that_goes_on_to_read_is_told() {
        let story = scan(story(), "10.0.0.66").asks(read("10.0.0.66")).asks(read("10.0.0.66"));
        let findings = story.findings();
        assert_eq!(findings.len(), 2, "{findings:#?}");
        assert_eq!((findings[1].detector.as_ref(), findings[1].count), (DETECTOR.id, 2));
        assert!(findings[1].summary.ends_with("it was found before: Host scan"), "{}", findings[1].summary);
    }

    #[test]
    fn that_a_suspect_reads_is_no_evidence_against_it() {
        let mut story = scan(story(), "10.0.0.66").asks(read("10.0.0.66"));
        let finding = story.findings().into_iter().find(|finding| finding.detector == DETECTOR.id).unwrap();
        let scanner = finding.actor.host;
        assert!(story.detect().suspects(&scanner).is_some_and(|known| &*known.title == "Host scan"));
        // It goes on for long, and nothing else is found of it.
        for _ in 0..4 {
            story = story.wait(86_400).asks(read("10.0.0.66"));
        }
        assert_eq!(story.detect().suspects(&scanner), None);
        let finding = story.findings().into_iter().find(|finding| finding.detector == DETECTOR.id).unwrap();
        assert_eq!(finding.count, 3, "until it is no suspect any more");
    }

    #[test]
    fn readers_who_did_nothing_else_and_those_who_always_read_are_silent() {
        story().asks(read("10.0.0.66")).silent();
        let findings = scan(story(), "10.0.0.2").asks(read("10.0.0.2")).findings();
        assert_eq!(findings.len(), 1, "{findings:#?}");
    }
}
