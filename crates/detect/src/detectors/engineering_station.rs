//! A host engineers that is not meant to: see [`DETECTOR`].

use model::{Severity, What};

use super::change::{ENGINEERS, Past, Ties, WORK, is_engineering, named, parties};
use super::habit::Among;
use super::suspicion::{Cases, SUSPICION};
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::learn::{from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule};

/// Finds hosts that work as engineering stations without being any.
pub(super) const DETECTOR: Rule = Rule {
    id: "engineering-station",
    title: "Unauthorised engineering station",
    severity: Severity::High,
    attack: &["T0848", "T0886"],
    finds: "A host engineers controllers - takes programs out, puts them in, starts, stops, configures, writes firmware \
            - and it is not known for that: it is outside, appeared only now, is a device of another kind, was found \
            doing something else, or others have done this work here for long and it never has.",
    matters: "Controllers take orders from whoever speaks their protocol; who is an engineering station is decided by \
              nothing but habit. A computer that begins to be one is an attacker's, or a contractor's that nobody knows \
              of.",
    fix: "Find out whose computer it is and who allowed it. If it is a new engineering station, declare it as expected; \
          if not, take it off the network and look at what else it did to the controllers it talked to.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts",
    start: || {
        Box::new(EngineeringStation {
            past: Past::new(Among::All, WORK, Ties::default()),
            cases: Cases::default(),
        })
    },
};

struct EngineeringStation {
    past: Past,
    cases: Cases,
}

impl Detector for EngineeringStation {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if !is_industrial(&operation.protocol) {
            return;
        }
        let asked = seen.asked(operation);
        let Some(pair @ (actor, victim)) = parties(&asked, operation) else { return };
        let (at, host, whom) = (seen.at, &asked.asker.host, &asked.asked.host);
        let met = self.past.ties.take(actor, victim, at).met;
        if !is_engineering(operation) {
            return;
        }
        let who = self.past.actor(seen, &asked, pair, met, (ENGINEERS, false));
        let case = self.cases.of(pair, &who, out);
        if !self.past.is_wrong(&case, &asked, pair, false, at, out) {
            return;
        }
        let severity = if case.is_unsure() { Severity::Medium } else { Severity::High };
        let alarm = Alarm::about(*host).flow(operation.flow.id).severity(severity).crossed(0, case.bits());
        out.raise(case.explain(alarm), || {
            format!(
                "{host} works as an engineering station, first on {whom} with {}: {}",
                named(operation),
                case.because()
            )
        });
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.past.keep())
    }

    fn restore(&mut self, learnt: &[u8]) {
        if let Some(kept) = from_bytes(learnt) {
            self.past.take_back(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::detectors::change::stories::{ENGINEER, INTRUDER, PLC, plant};
    use crate::testing::{Story, operation};

    #[test]
    fn one_who_never_did_it_where_another_always_does_is_told_once() {
        let act = |who, whom, kind, name| operation(who, whom, "s7comm", kind, name, Outcome::Done);
        let mut story = plant(&DETECTOR, "s7comm").with_host("10.0.0.3").with_host(INTRUDER);
        for _ in 0..12 {
            story = story.asks(act(ENGINEER, PLC, OperationKind::ProgramUpload, "start-upload")).wait(5);
            story = story.asks(act(ENGINEER, "10.0.0.3", OperationKind::Stop, "plc-stop")).wait(86_400);
        }
        story.silent();
        for whom in [PLC, "10.0.0.3"] {
            story = story.asks(act(INTRUDER, whom, OperationKind::ProgramUpload, "start-upload")).wait(30);
            story = story.asks(act(INTRUDER, whom, OperationKind::Stop, "plc-stop")).wait(30);
        }
        let finding = story.only();
        assert_eq!((finding.actor.to_string().as_str(), finding.victim, finding.count), (INTRUDER, None, 4));
        assert!(finding.summary.contains("others have on 12 occasions"), "{}", finding.summary);
    }

    #[test]
    fn masters_that_connect_are_no_engineers() {
        let mut story = Story::of(&DETECTOR).with_host(PLC);
        for name in ["enable-unsolicited", "write"] {
            let kind = OperationKind::Configure;
            story = story.asks(operation("203.0.113.9", PLC, "dnp3", kind, name, Outcome::Done));
        }
        story.silent();
    }
}
