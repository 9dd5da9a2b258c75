//! Something is asked for that never was: see [`DETECTOR`].

use model::{Operation, OperationKind, Outcome, Severity, What};

use super::channel::{CHANNEL_TRIAL, How, Sets, digest_of, is_industrial};
use crate::hosts::{Channel, MAX_CHANNELS};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds operations that a channel never carried.
pub(super) const DETECTOR: Rule = Rule {
    id: "new-operation",
    title: "New operation",
    severity: Severity::Medium,
    attack: &["T0855", "T0836"],
    finds: "One device asks another for something that it never asked for: another function, or to write where it never \
            wrote, although what it asks has been the same for so long that hardly anything else was to come.",
    matters: "What an operator panel asks of a controller was laid out when the plant was built. Another function or \
              another register is maintenance, a change of the program, or a command that somebody made up.",
    fix: "Ask who is responsible for the plant whether this was meant. If so, declare it as expected; if not, look at \
          what else the asking device did.",
    thresholds: &[Threshold {
        name: "level",
        about: "how likely a new operation may be in ten seconds of activity, for it to be told",
        unit: "",
        usual: 0.01,
    }],
    listens: &[Kind::Operation, Kind::Ended, Kind::Samples],
    keeps: "128 functions and 128 targets of each watched channel",
    start: || Box::new(Operations { sets: Sets::new(MAX_CHANNELS, ROOM, CHANNEL_TRIAL) }),
};

const LEVEL: usize = 0;
const ROOM: usize = 128;

/// The two sets of each channel: functions, and what they are done to.
const KINDS: usize = 0;
const TARGETS: usize = 1;

struct Operations {
    sets: Sets<Channel>,
}

/// Whether operations of a kind change something, so that each is told.
pub(super) const fn changes(kind: OperationKind) -> bool {
    !matches!(
        kind,
        OperationKind::Discover
            | OperationKind::Identify
            | OperationKind::Read
            | OperationKind::Subscribe
            | OperationKind::Publish
            | OperationKind::Diagnose
            | OperationKind::Authenticate
            | OperationKind::TransferFile
    )
}

impl Operations {
    fn asked(&mut self, channel: Channel, operation: &Operation, seen: &Seen<'_>, out: &mut Out<'_>) {
        let key = || channel.key;
        let asked = seen.asked(operation);
        let (asker, target) = (asked.asker.host, asked.asked.host);
        let (changes, is_machine) = (changes(operation.kind), is_industrial(&operation.protocol));
        let mut how = How::between([&asker, &target], out.limit(LEVEL, &asker), is_machine, out);
        how.told_once = !changes;
        // What is refused for the first time was never tried.
        let is_refused = operation.outcome == Outcome::Refused;
        let name = digest_of(&[operation.name.as_bytes(), &[is_refused.into()]]);
        let by_name = self.sets.look(channel, key, KINDS, name, seen.at, &how);
        let on = operation.target.as_deref().unwrap_or_default();
        let place = digest_of(&[&[changes.into()], on.as_bytes()]);
        let by_target = self.sets.look(channel, key, TARGETS, place, seen.at, &how);
        let severity = match (is_machine, changes) {
            (true, true) => Severity::Medium,
            // Programs, records and settings of a controller are in its files.
            (true, false) if operation.kind == OperationKind::TransferFile => Severity::Medium,
            (true, false) | (false, true) => Severity::Low,
            (false, false) => Severity::Info,
        };
        let (what, surprise) = match (by_name, by_target) {
            (Some(surprise), _) => (operation.name.to_string(), surprise),
            // Where it reads is told when the read is told, which says little.
            (None, Some(surprise)) if changes => (format!("{} {on}", operation.name), surprise),
            _ => return,
        };
        out.score(1.0 - surprise.unseen, Some(operation.flow.id), Some(asker));
        let alarm = Alarm::about(asker)
            .to(target)
            .matter(&what)
            .flow(operation.flow.id)
            .anomaly()
            .severity(severity)
            .factor("operation", &what, surprise.usual());
        out.raise(alarm, || format!("{asker} asked {target} for {what}, which it never did before"));
    }
}

impl Detector for Operations {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let Some(channel) = seen.channel else { return };
        match seen.what {
            // Which of a server's names is called says nothing of what is done there.
            What::Operation(operation) if operation.name == "server-name" => {}
            What::Operation(operation) => self.asked(channel, operation, seen, out),
            _ => self.sets.active(channel, &[KINDS, TARGETS], seen.at),
        }
    }

    fn forget_channel(&mut self, channel: Channel) {
        self.sets.forget(channel);
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.sets.save()
    }

    fn restore(&mut self, learnt: &[u8]) {
        self.sets.restore(learnt);
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind, Outcome, Severity};

    use super::DETECTOR;
    use crate::testing::{On, Story, answered, operation};

    fn write(target: &str) -> Operation {
        let name = "write-single-register";
        operation("10.0.0.5", "10.0.0.9", "modbus", OperationKind::Write, name, Outcome::Done).on(target)
    }

    /// A station that reads always and writes two registers in turn.
    fn plant(minutes: u64) -> Story {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9").with_host("10.0.0.5");
        let read = "read-holding-registers";
        story = story.asks(
            operation("10.0.0.5", "10.0.0.9", "modbus", OperationKind::Read, read, Outcome::Done).on("0-9"),
        );
        for minute in 0..minutes {
            let register = format!("holding-registers {} unit 1", minute / 3 % 2);
            story = story.wait(60).asks(write(&register));
            story = story.flow(answered("10.0.0.5", "10.0.0.9", 502, "modbus"));
        }
        story
    }

    #[test]
    fn a_function_and_a_register_that_were_never_used_are_told_once_the_rest_is_known() {
        let stop =
            || operation("10.0.0.5", "10.0.0.9", "modbus", OperationKind::Stop, "umas-stop", Outcome::Done);
        let finding = plant(400).asks(stop()).only();
        assert_eq!((&*finding.matter, finding.severity), ("umas-stop", Severity::Medium));
        let finding = plant(400).asks(write("holding-registers 99 unit 1")).only();
        assert!(finding.matter.contains("99"));
        plant(400).asks(write("holding-registers 1 unit 1")).silent();
        plant(30).asks(stop()).silent();
    }

    #[test]
    fn a_file_of_a_controller_that_is_moved_for_the_first_time_matters_more_than_a_reading() {
        let asks = |kind, name| operation("10.0.0.5", "10.0.0.9", "iec104", kind, name, Outcome::Asked);
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9").with_host("10.0.0.5");
        for _ in 0..400 {
            story = story.wait(60).asks(asks(OperationKind::Read, "C_RD_NA_1"));
        }
        for (kind, name, severity) in [
            (OperationKind::TransferFile, "F_SC_NA_1", Severity::Medium),
            (OperationKind::Diagnose, "C_TS_TA_1", Severity::Low),
        ] {
            story = story.wait(60).asks(asks(kind, name));
            let told = story.findings();
            assert_eq!(
                told.iter().find(|told| &*told.matter == name).map(|told| told.severity),
                Some(severity)
            );
        }
    }

    #[test]
    fn what_is_learnt_survives_a_restart() {
        let mut story = plant(400);
        let saved = story.detect().save();
        let hosts = Story::of(&DETECTOR).with_host("10.0.0.9").with_host("10.0.0.5");
        let mut other = hosts.wait(2 * 86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        assert!(other.asks(write("holding-registers 99 unit 1")).only().matter.contains("99"));
    }
}
