//! Somebody writes to a controller to whom it is not known: see [`DETECTOR`].

use std::collections::VecDeque;

use model::{OperationKind, Severity, What};

use super::change::{OPERATORS, Ties, is_set_up, named, parties};
use super::habit::{Among, Habits, PAIRS};
use super::suspicion::{Actor, Case, SUSPICION};
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule};
use crate::table::Table;

/// Finds hosts that write to controllers and are not known for that.
pub(super) const DETECTOR: Rule = Rule {
    id: "unauthorised-write",
    title: "Unauthorised command",
    severity: Severity::High,
    attack: &["T0855", "T0836", "T0831"],
    finds: "A host writes values to a controller, or commands it, and never did so before: it is outside, it appeared \
            only now, other findings speak against it, or others have always written there and it has not. That it \
            writes what others write, reads as operators' stations do, or says by its name that it is one, speaks for \
            it.",
    matters: "A value that is written moves something: a valve, a breaker, a drive. Most industrial protocols ask \
              nobody who he is, so whoever reaches a controller commands it. FrostyGoop left a city without heating by \
              writing a few registers.",
    fix: "Look at the process and set the values right. Find out what runs on the host; if nobody knows, block it from \
          the controllers. If it is a new operators' station, declare it as expected.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, and 256 points of each of 1024 controllers",
    start: || {
        Box::new(UnauthorisedWrite {
            habits: Habits::new(Among::SameVictim, MINUTE),
            ties: Ties::default(),
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

const OWN_POINT: f64 = 1.0;
const COMMON_POINT: f64 = -1.0;
const BLIND: f64 = 1.0;

struct UnauthorisedWrite {
    habits: Habits,
    ties: Ties,
    /// Who has read from whom.
    readers: Table<(Addr, Addr), ()>,
    /// Digests of what is written where, by those who are known for it.
    points: Table<Addr, VecDeque<u32>>,
    /// How much spoke against those who were found.
    found: Table<(Addr, Addr), f64>,
}

impl Detector for UnauthorisedWrite {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if !is_industrial(&operation.protocol) {
            return;
        }
        let asked = seen.asked(operation);
        let Some(pair @ (actor, victim)) = parties(&asked, operation) else { return };
        let (at, host, whom) = (seen.at, &asked.asker.host, &asked.asked.host);
        let met = self.ties.take(actor, victim, at).met;
        match operation.kind {
            OperationKind::Read | OperationKind::Subscribe => {
                self.readers.place(pair, || ());
                return;
            }
            OperationKind::Write | OperationKind::Execute if !is_set_up(operation) => {}
            _ => return,
        }
        let target = operation.target.as_deref().unwrap_or_default();
        let point = (crate::ledger::digest(target.as_bytes()) >> 32) as u32;
        let standing = self.habits.standing(actor, victim, at);
        if standing.here > 0 || self.habits.is_counted_now(actor, victim, at) {
            self.habits.learn(actor, victim, at);
            self.know(victim, point);
            return;
        }
        // What was found within the same minute is not weighed again.
        if let Some(bits) = self.found.get(&pair).filter(|_| self.habits.is_condemned_now(actor, victim, at))
        {
            let alarm = Alarm::about(*host).to(*whom).flow(operation.flow.id).severity(Severity::Low);
            out.raise(alarm.crossed(0, *bits), String::new);
            return;
        }
        let watch = self.ties.watch.unwrap_or(at);
        let mut case = Case::of(
            &Actor { host, whom, now: at, watch, met, standing, meant: OPERATORS, newcomers_may: true },
            out,
        );
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
        if self.readers.get(&pair).is_none() {
            case.how(
                BLIND,
                "what it reads",
                "it has read nothing from the controller".into(),
                "what it works with",
            );
        }
        if case.bits() < out.limit(0, host) {
            self.habits.learn(actor, victim, at);
            self.know(victim, point);
            return;
        }
        self.habits.condemn(actor, victim, at);
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
}

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
    use model::{Operation, OperationKind, Outcome, Severity, Value};

    use super::DETECTOR;
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
    fn one_from_outside_is_told_in_the_first_minute_and_never_learnt() {
        let mut story = Story::of(&DETECTOR).with_host(PLC).asks(read("198.51.100.7"));
        for _ in 0..20 {
            story = story.asks(write("198.51.100.7", 40)).wait(60);
        }
        assert_eq!(story.only().count, 20);
    }
}
