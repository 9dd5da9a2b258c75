//! Acts that change a controller: whether whoever does one is meant to, and whether it is done as it is meant to be.
//!
//! What is common to the detectors of such acts; each of them says by [`Acts`] which acts are its own.

use model::{Operation, OperationKind, Outcome, Role, Severity, Timestamp};

use super::habit::{Among, Habits, PAIRS};
use super::suspicion::{Actor, Case, Cases};
use crate::hosts::Addr;
use crate::judge::{Alarm, Asked, Out, Seen, is_industrial};
use crate::rule::Detector;
use crate::table::Table;

/// Whose work it is to change controllers.
pub(super) const ENGINEERS: &[Role] = &[Role::EngineeringStation];
/// Whose work it is to operate them.
pub(super) const OPERATORS: &[Role] = &[Role::EngineeringStation, Role::Hmi, Role::Scada];

/// Engineering is counted in occasions of an hour.
pub(super) const WORK: u64 = 3600;
/// After a pause of an hour another piece of work begins.
const PAUSE: u64 = 3600;
/// Nobody finds a controller in a program's window and presses a button there so quickly: a simple reaction alone
/// takes a quarter of a second, in milliseconds.
const HASTE: u128 = 1000;
const HASTY: f64 = 2.0;
/// Several controllers within one piece of work.
const MOST_SPREAD: f64 = 2.0;
/// More than so many are told together.
const FEW: usize = 3;
/// So many controllers of one piece of work are remembered.
const SPREAD: usize = 16;

/// Which acts a detector is about, and how they are judged.
pub(super) struct Acts {
    /// Whether an operation is one.
    pub(super) is: fn(&Operation) -> bool,
    /// What is said of one that is done: "stopped".
    pub(super) did: &'static str,
    /// What is said of one that was refused: "tried to stop".
    pub(super) tried: &'static str,
    /// Whose work it is.
    pub(super) meant: &'static [Role],
    /// Who is surprised by a newcomer.
    pub(super) among: Among,
    /// Whether people do it by hand, so that a program gives itself away by its haste and by how many it does it to.
    pub(super) by_hand: bool,
    /// How bad it is for sure, and while one is less sure.
    pub(super) severity: [Severity; 2],
}

/// What two have to do with each other.
#[derive(Debug)]
pub(super) struct Tie {
    /// When one first asked the other for anything.
    pub(super) met: Timestamp,
    /// When the present piece of work began, and when something was last asked in it.
    pub(super) began: Timestamp,
    last: Timestamp,
}

/// What a host does in one piece of work.
#[derive(Debug, Default)]
struct Spread {
    began: Timestamp,
    victims: Vec<Addr>,
}

/// What is known of who asks whom in industrial protocols, whatever it is.
#[derive(Debug)]
pub(super) struct Ties {
    ties: Table<(Addr, Addr), Tie>,
    /// When the watch began.
    pub(super) watch: Option<Timestamp>,
}

impl Default for Ties {
    fn default() -> Self {
        Self { ties: Table::new(PAIRS), watch: None }
    }
}

impl Ties {
    /// Takes note that something was asked.
    pub(super) fn take(&mut self, actor: Addr, victim: Addr, at: Timestamp) -> &Tie {
        self.watch.get_or_insert(at);
        let (tie, _) = self.ties.entry((actor, victim), || Tie { met: at, began: at, last: at });
        if at.since(tie.last).as_secs() >= PAUSE {
            tie.began = at;
        }
        tie.last = at;
        tie
    }
}

/// Judges the acts of one kind.
pub(super) struct Change {
    acts: &'static Acts,
    habits: Habits,
    ties: Ties,
    cases: Cases,
    spread: Table<Addr, Spread>,
}

impl Change {
    pub(super) fn new(acts: &'static Acts) -> Self {
        Self {
            acts,
            habits: Habits::new(acts.among, WORK),
            ties: Ties::default(),
            cases: Cases::default(),
            spread: Table::new(PAIRS),
        }
    }

    /// Takes an operation; if it is an act of the kind, weighs it together with what `ways` finds in the way it is
    /// done, and says so if that is too much. Whether it was as it should be.
    pub(super) fn take(
        &mut self,
        seen: &Seen<'_>,
        operation: &Operation,
        ways: &mut dyn FnMut(&mut Case),
        out: &mut Out<'_>,
    ) -> bool {
        let asked = seen.asked(operation);
        let Some((actor, victim)) = parties(&asked, operation) else { return true };
        let at = seen.at;
        let tie = self.ties.take(actor, victim, at);
        if !(self.acts.is)(operation) {
            return true;
        }
        let (met, began) = (tie.met, tie.began);
        let standing = self.habits.standing(actor, victim, at);
        let watch = self.ties.watch.unwrap_or(at);
        let (host, whom) = (&asked.asker.host, &asked.asked.host);
        let meant = self.acts.meant;
        let mut case = self.cases.of(
            (actor, victim),
            &Actor { host, whom, now: at, watch, met, standing, meant, newcomers_may: false },
            out,
        );
        if self.acts.by_hand && at.since(began).as_millis() < HASTE {
            let seen = format!("{} ms after it turned to the controller", at.since(began).as_millis());
            case.how(HASTY, "haste", seen, "people take seconds");
        }
        let (spread, _) = self.spread.entry(actor, Spread::default);
        if at.since(spread.began).as_secs() >= PAUSE {
            *spread = Spread { began: at, victims: Vec::new() };
        }
        if !spread.victims.contains(&victim) && spread.victims.len() < SPREAD {
            spread.victims.push(victim);
        }
        if self.acts.by_hand && spread.victims.len() > 1 {
            let bits = (spread.victims.len() as f64).log2().min(MOST_SPREAD);
            case.how(
                bits,
                "spread",
                format!("{} controllers within the hour", spread.victims.len()),
                "one at a time",
            );
        }
        ways(&mut case);
        if case.bits() < out.limit(0, host) {
            self.habits.learn(actor, victim, at);
            return true;
        }
        self.habits.condemn(actor, victim, at);
        // One that does it to many is one finding, not many.
        let is_wide = self.acts.by_hand && spread.victims.len() > FEW;
        tell(self.acts, operation, (&asked, is_wide), &case, out);
        false
    }
}

/// Says what was done, and why it is wrong.
fn tell(
    acts: &Acts,
    operation: &Operation,
    (asked, is_wide): (&Asked<'_>, bool),
    case: &Case,
    out: &mut Out<'_>,
) {
    let (host, whom) = (asked.asker.host, asked.asked.host);
    let mut severity = acts.severity[usize::from(case.is_unsure())];
    if operation.outcome == Outcome::Refused {
        severity = severity.min(Severity::Medium);
    }
    let alarm = Alarm::about(host).flow(operation.flow.id).severity(severity).crossed(0, case.bits());
    let alarm = case.explain(if is_wide { alarm.matter("many") } else { alarm.to(whom) });
    out.raise(alarm, || {
        let what = if operation.outcome == Outcome::Refused { acts.tried } else { acts.did };
        let because = case.because();
        format!("{host} {what} {whom} by {}: {because}", named(operation))
    });
}

/// An operation by its name, with what it was done to.
pub(super) fn named(operation: &Operation) -> String {
    let Operation { protocol, name, .. } = operation;
    match &operation.target {
        Some(target) => format!("{name} of {target} ({protocol})"),
        None => format!("{name} ({protocol})"),
    }
}

/// Who asks whom, if both can be told. Whoever answers is there; of those who do not, only those that are known count,
/// so that requests to made-up receivers push nobody out.
pub(super) fn parties(asked: &Asked<'_>, operation: &Operation) -> Option<(Addr, Addr)> {
    let parties = (Addr::of(&asked.asker.host)?, Addr::of(&asked.asked.host)?);
    let is_there = asked.whom.is_somebody() || operation.outcome != Outcome::Asked;
    (is_there && parties.0 != parties.1).then_some(parties)
}

impl Detector for Change {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let model::What::Operation(operation) = seen.what else { return };
        if is_industrial(&operation.protocol) {
            self.take(seen, operation, &mut |_| {}, out);
        }
    }
}

/// Whether an operation sets communication up, as every start of it does: it changes nothing that stays.
pub(super) fn is_set_up(operation: &Operation) -> bool {
    matches!(
        (&*operation.protocol, &*operation.name),
        // Cyclic data begin with these, parameters of modules included, and controllers send them by themselves.
        ("profinet-io-cm", _)
            // Objects of the session and of subscriptions.
            | ("s7comm-plus", "create-object" | "delete-object" | "add-link" | "remove-link")
            // Masters clear the restart indication and choose how events come: another detector looks at these.
            | ("dnp3", _)
            | ("opcua", "create-subscription")
            | ("synchrophasor", "data-off")
            | ("mms", "define-named-variable-list" | "delete-named-variable-list")
    )
}

/// Whether an operation is engineering: what changes a controller's program, mode or configuration, or takes the
/// program out.
pub(super) fn is_engineering(operation: &Operation) -> bool {
    match operation.kind {
        OperationKind::ProgramDownload
        | OperationKind::ProgramUpload
        | OperationKind::Start
        | OperationKind::Stop
        | OperationKind::ChangeMode
        | OperationKind::FirmwareUpdate => true,
        OperationKind::Restart => !matches!(&*operation.protocol, "dnp3" | "iec104"),
        OperationKind::Configure => !is_set_up(operation),
        _ => false,
    }
}

/// Stories that every detector of such acts must tell apart.
#[cfg(test)]
pub(super) mod stories {
    use model::{Finding, Operation, OperationKind, Outcome};

    use crate::rule::Rule;
    use crate::testing::{Story, operation};

    pub(crate) const PLC: &str = "10.0.0.1";
    pub(crate) const ENGINEER: &str = "10.0.0.2";
    pub(crate) const INTRUDER: &str = "10.0.0.66";

    pub(crate) fn read(who: &str, protocol: &'static str) -> Operation {
        operation(who, PLC, protocol, OperationKind::Read, "read", Outcome::Done)
    }

    /// A plant whose station asks its controller for something for two hours.
    pub(crate) fn plant(rule: &'static Rule, protocol: &'static str) -> Story {
        let mut story = Story::of(rule).with_host(PLC).with_host(ENGINEER);
        for _ in 0..8 {
            story = story.asks(read(ENGINEER, protocol)).wait(900);
        }
        story
    }

    /// The known station does it in its hours, week after week, after looking at the controller: nothing is found.
    /// Somebody who came a minute ago does it: found once, and worse the longer nobody else ever did it. Somebody
    /// outside does it in the first minute: found at once.
    pub(crate) fn tells_who_is_meant_to(
        rule: &'static Rule,
        protocol: &'static str,
        act: impl Fn(&'static str) -> Operation,
    ) -> Finding {
        let mut story = plant(rule, protocol);
        for _ in 0..8 {
            story = story.asks(read(ENGINEER, protocol)).wait(120);
            for _ in 0..3 {
                story = story.asks(act(ENGINEER)).wait(20);
            }
            story.silent();
            story = story.wait(7 * 86_400 - 180);
        }
        story = story.with_host(INTRUDER).wait(60).asks(read(INTRUDER, protocol)).wait(5);
        for _ in 0..4 {
            story = story.asks(act(INTRUDER)).wait(5);
        }
        let finding = story.only();
        assert_eq!(finding.detector, rule.id);
        assert_eq!(finding.actor.to_string(), INTRUDER);
        assert_eq!(finding.victim.map(|victim| victim.to_string()).as_deref(), Some(PLC));
        assert_eq!((finding.severity, finding.count), (rule.severity, 4));
        assert!(finding.summary.contains("it appeared only 65 s before"), "{}", finding.summary);
        assert!(finding.crossed.as_ref().is_some_and(|crossed| crossed.seen > 4.5), "{finding:?}");

        let outside = "203.0.113.9";
        let found = Story::of(rule).with_host(PLC).asks(act(outside)).only();
        assert_eq!(found.actor.to_string(), outside);
        assert!(found.summary.contains("outside"), "{}", found.summary);
        finding
    }
}
