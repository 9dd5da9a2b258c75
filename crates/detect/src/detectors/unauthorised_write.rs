//! Somebody writes to a controller to whom it is not known: see [`DETECTOR`].

use std::collections::VecDeque;
use std::time::Duration;

use model::{OperationKind, Severity, Timestamp, What};

use super::change::{Kept, OPERATORS, Past, Ties, is_set_up, named, parties};
use super::habit::{Among, PAIRS};
use super::suspicion::{Case, SUSPICION};
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::learn::{from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule};
use crate::table::Table;

/// Finds hosts that write to controllers and are not known for that.
pub(super) const DETECTOR: Rule = Rule {
    id: "unauthorised-write",
    title: "Unauthorised command",
    severity: Severity::High,
    attack: &["T0855", "T0836", "T0831"],
    finds: "A host writes values to a controller, or commands it, and never did so before: it is outside, it appeared \
            only now, it was here for long and had nothing to do with the controller, other findings speak against it, or others have always written there and it has not. That it \
            writes what others write, reads as operators' stations do, or says by its name that it is one, speaks for \
            it.",
    matters: "A value that is written moves something: a valve, a breaker, a drive. Most industrial protocols ask \
              nobody who he is, so whoever reaches a controller commands it. FrostyGoop left a city without heating by \
              writing a few registers.",
    fix: "Look at the process and set the values right. Find out what runs on the host; if nobody knows, block it from \
          the controllers. If it is a new operators' station, declare it as expected.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Identified, Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, and 256 points of each of 1024 controllers",
    start: || {
        Box::new(UnauthorisedWrite {
            past: Past::new(Among::SameVictim, MINUTE, Ties::of_conversations()),
            readers: Table::new(PAIRS),
            points: Table::new(CONTROLLERS),
            found: Table::new(PAIRS),
        })
    },
};

/// Writing is counted in occasions of a minute.
const MINUTE: u64 = 60;
/// So many controllers' points are remembered, and so many points of each.
const CONTROLLERS: usize = 1024;
const POINTS: usize = 256;

/// Nobody looks at a value and changes it in less.
const A_LOOK: Duration = Duration::from_secs(1);

const OWN_POINT: f64 = 1.0;
const COMMON_POINT: f64 = -1.0;
const BLIND: f64 = 1.0;

struct UnauthorisedWrite {
    past: Past,
    /// Who has read from whom, and since when.
    readers: Table<(Addr, Addr), Timestamp>,
    /// Digests of what is written where, by those who are known for it.
    points: Table<Addr, VecDeque<u32>>,
    /// How much spoke against those who were found.
    found: Table<(Addr, Addr), f64>,
}

impl Detector for UnauthorisedWrite {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        self.past.ties.watch(seen.at);
        let operation = match seen.what {
            What::FlowIdentified(identified) => return self.past.ties.talk(seen, identified),
            What::Operation(operation) => operation,
            _ => return,
        };
        if !is_industrial(&operation.protocol) {
            return;
        }
        let asked = seen.asked(operation);
        let Some(pair @ (actor, victim)) = parties(&asked, operation) else { return };
        let (at, host, whom) = (seen.at, &asked.asker.host, &asked.asked.host);
        let met = self.past.ties.take(actor, victim, at).met;
        match operation.kind {
            OperationKind::Read | OperationKind::Subscribe => {
                self.readers.place(pair, || at);
                return;
            }
            OperationKind::Write | OperationKind::Execute if !is_set_up(operation) => {}
            _ => return,
        }
        let target = operation.target.as_deref().unwrap_or_default();
        let point = (crate::ledger::digest(target.as_bytes()) >> 32) as u32;
        let who = self.past.actor(seen, &asked, pair, met, (OPERATORS, true));
        if who.standing.here > 0 || self.past.habits.is_counted_now(actor, victim, at) {
            self.past.habits.learn(actor, victim, at);
            self.know(victim, point);
            return;
        }
        // What was found is not weighed again while that stands: that it goes on does not make it right.
        let stands = || self.past.habits.is_condemned_now(actor, victim, at) || out.is_suspect(host);
        if let Some(bits) = self.found.get(&pair).filter(|_| stands()) {
            let alarm = Alarm::about(*host).to(*whom).flow(operation.flow.id).severity(Severity::Low);
            out.raise(alarm.crossed(0, *bits), String::new);
            return;
        }
        let mut case = Case::of(&who, out);
        match self.points.get(&victim).map(|points| points.contains(&point)) {
            Some(true) => {
                case.how(COMMON_POINT, "what is written", "what others write, too".into(), "the same");
            }
            Some(false) => {
                case.how(
                    OWN_POINT,
                    "what is written",
                    "nobody else writes there".into(),
                    "what others write",
                );
            }
            None => {}
        }
        // What is read right before is read for the write's sake, by a program.
        if self.readers.get(&pair).is_none_or(|since| at.since(*since) < A_LOOK) {
            case.how(
                BLIND,
                "what it reads",
                "it had read nothing from the controller before it began to write".into(),
                "what it works with",
            );
        }
        let told = self.found.get(&pair).is_some();
        if !self.past.is_wrong(&case, &asked, pair, told, at, out) {
            self.know(victim, point);
            return;
        }
        *self.found.entry(pair, || 0.0).0 = case.bits();
        let severity = if case.is_unsure() { Severity::Medium } else { Severity::High };
        let alarm = Alarm::about(*host).to(*whom).flow(operation.flow.id);
        let alarm = case.explain(alarm.severity(severity).crossed(0, case.bits()));
        out.raise(alarm, || {
            let value = operation.value.as_ref().and_then(show);
            let value = value.map_or_else(String::new, |value| format!(" to {value}"));
            format!("{host} commanded {whom} by {}{value}: {}", named(operation), case.because())
        });
    }

    fn save(&self) -> Option<Vec<u8>> {
        let points: Vec<_> = self.points.iter().collect();
        let readers: Vec<_> = self.readers.iter().map(|(pair, _)| pair).collect();
        to_bytes(&(self.past.keep(), points, readers))
    }

    fn restore(&mut self, learnt: &[u8]) {
        let Some((past, points, readers)) = from_bytes::<KeptWrites>(learnt) else { return };
        self.past.take_back(past);
        for (victim, mut points) in points.into_iter().take(CONTROLLERS) {
            points.truncate(POINTS);
            self.points.place(victim, || points);
        }
        for pair in readers.into_iter().take(PAIRS) {
            // That was before now.
            self.readers.place(pair, || Timestamp::EPOCH);
        }
    }
}

/// What is kept over a restart: habits and ties, points by controller, and who has read from whom.
type KeptWrites = (Kept, Vec<(Addr, VecDeque<u32>)>, Vec<(Addr, Addr)>);

/// A value as people write it, if it is one.
fn show(value: &model::Value) -> Option<String> {
    Some(match value {
        model::Value::Unsigned(value) => value.to_string(),
        model::Value::Signed(value) => value.to_string(),
        model::Value::Real(value) => value.to_string(),
        model::Value::Bool(value) => value.to_string(),
        _ => return None,
    })
}

impl UnauthorisedWrite {
    fn know(&mut self, victim: Addr, point: u32) {
        let (points, _) = self.points.entry(victim, VecDeque::new);
        if points.contains(&point) {
            return;
        }
        if points.len() >= POINTS {
            points.pop_front();
        }
        points.push_back(point);
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind, Outcome, Severity, Timestamp, Value};

    use super::DETECTOR;
    use crate::settings::{Expected, Settings};
    use crate::testing::{On, Story, operation};

    const PLC: &str = "10.0.0.1";
    const HMI: &str = "10.0.0.2";

    fn write(who: &str, register: u32) -> Operation {
        let name = "write-single-register";
        operation(who, PLC, "modbus", OperationKind::Write, name, Outcome::Done)
            .on(&format!("holding-registers {register} unit 1"))
            .writing(Value::Unsigned(7))
    }

    fn read(who: &str) -> Operation {
        operation(who, PLC, "modbus", OperationKind::Read, "read-holding-registers", Outcome::Done)
    }

    /// An hour in which the panel writes a set point every ten seconds.
    fn plant() -> Story {
        let mut story = Story::of(&DETECTOR).with_host(PLC).with_host(HMI).asks(read(HMI));
        for _ in 0..360 {
            story = story.asks(write(HMI, 40)).wait(10);
        }
        story
    }

    #[test]
    fn who_always_writes_is_silent_and_who_comes_and_writes_is_told() {
        let mut story = plant().asks(write(HMI, 41));
        story.silent();
        story = story.with_host("10.0.0.66").wait(20);
        for register in 0..50 {
            story = story.asks(write("10.0.0.66", 100 + register)).wait_ms(100);
        }
        let finding = story.asks(write(HMI, 40)).only();
        assert_eq!((finding.actor.to_string().as_str(), finding.count), ("10.0.0.66", 50));
        assert_eq!(finding.severity, Severity::High);
        let start = "10.0.0.66 commanded 10.0.0.1 by write-single-register of holding-registers 100 unit 1 (modbus) to 7: ";
        assert!(finding.summary.starts_with(start), "{}", finding.summary);
    }

    #[test]
    fn who_was_found_and_goes_on_hours_later_is_found_still() {
        // A minute after the watch began that he is new says little, and an hour later nothing.
        let story = Story::of(&DETECTOR).with_host(PLC).with_host(HMI).asks(read(HMI)).wait(60);
        let mut story = story.with_host("10.0.0.66").asks(write("10.0.0.66", 100));
        assert_eq!(story.only().severity, Severity::Medium);
        for hour in 1..=10 {
            story = story.wait(3600).asks(write("10.0.0.66", 100));
            assert_eq!(story.only().count, 1 + hour);
        }
    }

    #[test]
    fn another_operators_station_that_reads_and_writes_what_the_first_does_is_silent() {
        let mut story = plant().with_host("10.0.0.3").then(crate::testing::named("10.0.0.3", "HMI-HALL3-2"));
        for _ in 0..12 {
            story = story.asks(read("10.0.0.3")).wait(10);
        }
        for _ in 0..10 {
            story = story.asks(write("10.0.0.3", 40)).wait(30);
        }
        story.silent();
    }

    #[test]
    fn what_settings_declare_for_good_becomes_a_habit_and_what_they_declare_for_a_time_does_not() {
        for (until, is_known) in [(None, true), (Some(Timestamp::from_secs(1_772_438_400 + 7200)), false)] {
            let expected =
                Expected { actor: Some("10.0.0.66".parse().unwrap()), until, ..Expected::default() };
            let settings = Settings { expected: vec![expected], ..Settings::default() };
            let mut declared = Story::set(&DETECTOR, settings);
            declared = declared.with_host(PLC).with_host(HMI).asks(read(HMI));
            for _ in 0..360 {
                declared = declared.asks(write(HMI, 40)).wait(10);
            }
            declared = declared.with_host("10.0.0.66").wait(20);
            for _ in 0..20 {
                declared = declared.asks(write("10.0.0.66", 100)).wait(70);
            }
            assert!(declared.findings().iter().all(model::Finding::is_silenced));
            // Whoever starts without the settings knows what was learnt with them.
            let saved = declared.detect().save();
            let story = Story::of(&DETECTOR).with_host(PLC).with_host(HMI).with_host("10.0.0.66");
            let mut story = story.wait(86_400);
            for (id, learnt) in &saved {
                assert!(story.detect().restore_learnt(id, learnt));
            }
            let story = story.asks(write("10.0.0.66", 100));
            assert_eq!(story.findings().is_empty(), is_known, "{:#?}", story.findings());
        }
    }

    #[test]
    fn who_always_wrote_is_known_after_a_restart() {
        let saved = plant().detect().save();
        let mut story =
            Story::of(&DETECTOR).with_host(PLC).with_host(HMI).with_host("10.0.0.66").wait(86_400);
        for (id, learnt) in &saved {
            assert!(story.detect().restore_learnt(id, learnt));
        }
        story = story.asks(write(HMI, 40));
        story.silent();
        let finding = story.asks(write("10.0.0.66", 41)).only();
        assert!(
            finding.summary.contains("it has never done so, others have on 61 occasions"),
            "{}",
            finding.summary
        );
    }

    #[test]
    fn one_from_outside_is_told_in_the_first_minute_and_never_learnt() {
        let mut story = Story::of(&DETECTOR).with_host(PLC).asks(read("198.51.100.7"));
        for _ in 0..20 {
            story = story.asks(write("198.51.100.7", 40)).wait(60);
        }
        assert_eq!(story.only().count, 20);
    }

    /// A link on which much is seen for a day, but nothing industrial.
    fn office_port() -> Story {
        let lookup = operation("10.0.0.2", "10.0.0.7", "dns", OperationKind::Read, "query", Outcome::Done);
        let mut story = Story::of(&DETECTOR).with_host(PLC).with_host(HMI).with_host("10.0.0.5");
        for _ in 0..24 {
            story = story.asks(lookup.clone()).wait(3600);
        }
        story
    }

    fn talks(story: Story, who: &str, protocol: &'static str) -> Story {
        let flow = crate::testing::head(who, PLC, 102, model::Transport::Tcp);
        let identified = model::FlowIdentified { flow, protocol: protocol.into() };
        story.then(model::What::FlowIdentified(Box::new(identified)))
    }

    #[test]
    fn one_who_comes_to_write_is_told_though_nothing_was_learnt_of_the_controller() {
        let mut story = office_port();
        for minute in 0..60 {
            // It looks at what it writes only just before, and later.
            story = talks(story, "10.0.0.66", "s7comm").asks(write("10.0.0.66", 102)).wait_ms(3);
            story = story.asks(write("10.0.0.66", 102)).wait(60 + minute * 7);
            story = story.asks(read("10.0.0.66")).wait_ms(3);
        }
        let finding = story.only();
        assert_eq!((finding.severity, finding.count), (Severity::High, 120));
        assert!(finding.summary.contains("it appeared only 0 s before"), "{}", finding.summary);
        // The panel reads, and writes later.
        let mut story = talks(office_port(), HMI, "s7comm");
        for _ in 0..60 {
            story = story.asks(read(HMI)).wait(2).asks(write(HMI, 40)).wait(30);
        }
        story.silent();
    }

    #[test]
    fn one_who_was_long_here_and_turns_to_a_controller_only_to_write_is_told() {
        let story = talks(office_port(), "10.0.0.5", "modbus").wait_ms(20).asks(write("10.0.0.5", 7));
        let finding = story.only();
        assert!(finding.summary.contains("for 24 hours it had nothing to do"), "{}", finding.summary);
        // Values are reported unasked, so that a command is the first thing that is ever asked.
        let mut story = Story::of(&DETECTOR).with_host(PLC).with_host(HMI);
        story = talks(story, HMI, "iec104").wait(86_400);
        story.asks(write(HMI, 40)).silent();
    }

    #[test]
    fn those_who_only_write_and_come_late_at_the_beginning_of_a_watch_are_silent() {
        // One controller tells another of its values, every twenty seconds or every five minutes.
        for pause in [20, 300] {
            let mut story = Story::of(&DETECTOR).with_host(PLC).with_host(HMI).asks(read(HMI)).wait(5);
            story = story.with_host("10.0.0.7").wait(pause);
            for _ in 0..100 {
                story = talks(story, "10.0.0.7", "modbus").asks(write("10.0.0.7", 3)).wait(pause);
            }
            story.silent();
        }
    }

    #[test]
    fn what_gets_no_answer_is_dated_back_to_when_it_was_asked() {
        let story = office_port();
        let mut asked = write("10.0.0.5", 7);
        asked.outcome = Outcome::Asked;
        asked.asked = Some(model::Timestamp::from_secs(1_772_438_400 + 24 * 3600));
        let finding = story.wait(900).asks(asked).only();
        assert_eq!(finding.raised.since(finding.first).as_secs(), 900);
        assert_eq!(finding.last, finding.first);
    }
}
