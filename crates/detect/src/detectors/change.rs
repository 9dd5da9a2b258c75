//! Acts that change a controller: whether whoever does one is meant to, and whether it is done as it is meant to be.
//!
//! What is common to the detectors of such acts; each of them says by [`Acts`] which acts are its own.

use model::{FlowIdentified, Host, Operation, OperationKind, Outcome, Role, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::habit::{Among, Habits, KeptHabits, PAIRS};
use super::suspicion::{Actor, Case, Cases, STILL};
use crate::hosts::Addr;
use crate::judge::{Alarm, Asked, Out, Seen, Site, is_industrial};
use crate::learn::{from_bytes, to_bytes};
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Whether conversations count from when they are recognised, and not only from when something is asked: where
    /// values are reported unasked, commands may be all that is ever asked.
    hears: bool,
}

impl Default for Ties {
    fn default() -> Self {
        Self { ties: Table::new(PAIRS), watch: None, hears: false }
    }
}

/// Ties as they are kept over a restart.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptTies {
    ties: Vec<((Addr, Addr), Tie)>,
    watch: Option<Timestamp>,
}

impl Ties {
    /// For those who hear of conversations, too, and not only of what is asked.
    pub(super) fn of_conversations() -> Self {
        Self { hears: true, ..Self::default() }
    }

    /// Something is seen, of whatever kind: the watch has begun.
    pub(super) fn watch(&mut self, at: Timestamp) {
        self.watch.get_or_insert(at);
    }

    /// Two who are proven to be there begin to talk in an industrial protocol.
    pub(super) fn talk(&mut self, seen: &Seen<'_>, identified: &FlowIdentified) {
        let ends = [&identified.flow.client.host, &identified.flow.server.host];
        if is_industrial(&identified.protocol) && seen.client.is_somebody() && seen.server.is_somebody() {
            let [Some(client), Some(server)] = ends.map(Addr::of) else { return };
            self.take(client, server, seen.at);
        }
    }

    /// Since when two have both been here, if all that they have to do with each other is known.
    pub(super) fn both_since(&self, site: &Site<'_>, host: &Host, whom: &Host) -> Option<Timestamp> {
        let known = |host| site.glance(host).map(|known| known.first);
        let both = known(host)?.max(known(whom)?).max(self.watch?);
        self.hears.then_some(both)
    }

    /// Everything, to go on with after a restart.
    pub(super) fn keep(&self) -> KeptTies {
        let ties = self.ties.iter().map(|(key, tie)| (*key, tie.clone())).collect();
        KeptTies { ties, watch: self.watch }
    }

    /// Takes back what was kept.
    pub(super) fn take_back(&mut self, kept: KeptTies) {
        for (key, tie) in kept.ties.into_iter().take(PAIRS) {
            self.ties.place(key, || tie);
        }
        self.watch = kept.watch;
    }

    /// Takes note that something was asked.
    pub(super) fn take(&mut self, actor: Addr, victim: Addr, at: Timestamp) -> &Tie {
        self.watch(at);
        // Whoever asks now may have been the one who was called.
        let met = self.ties.get(&(victim, actor)).map_or(at, |tie| tie.met);
        let (tie, _) = self.ties.entry((actor, victim), || Tie { met, began: at, last: at });
        if at.since(tie.last).as_secs() >= PAUSE {
            tie.began = at;
        }
        tie.last = at;
        tie
    }
}

/// What is kept over a restart.
pub(super) type Kept = (KeptHabits, KeptTies);

/// What is known of those who do something of one kind: how often they did so, and what else they have to do with each
/// other.
pub(super) struct Past {
    pub(super) habits: Habits,
    pub(super) ties: Ties,
}

/// Whose work something is, and whether newcomers may do it.
pub(super) type Meant = (&'static [Role], bool);

impl Past {
    pub(super) fn new(among: Among, span: u64, ties: Ties) -> Self {
        Self { habits: Habits::new(among, span), ties }
    }

    /// What is known of whoever asks, who first asked for anything when they `met`.
    pub(super) fn actor<'a>(
        &self,
        seen: &Seen<'_>,
        asked: &Asked<'a>,
        (actor, victim): (Addr, Addr),
        met: Timestamp,
        (meant, newcomers_may): Meant,
    ) -> Actor<'a> {
        let (now, host, whom) = (seen.at, &asked.asker.host, &asked.asked.host);
        Actor {
            host,
            whom,
            now,
            watch: self.ties.watch.unwrap_or(now),
            met,
            both: self.ties.both_since(&seen.site, host, whom),
            standing: self.habits.standing(actor, victim, now),
            meant,
            newcomers_may,
        }
    }

    /// Whether so much speaks against an act that it is to be told. If not, it becomes a habit, and so does whatever the
    /// settings declare; the same act once more is no excuse for one that was `told`.
    pub(super) fn is_wrong(
        &mut self,
        case: &Case,
        asked: &Asked<'_>,
        (actor, victim): (Addr, Addr),
        told: bool,
        at: Timestamp,
        out: &Out<'_>,
    ) -> bool {
        let (host, whom) = (&asked.asker.host, &asked.asked.host);
        let is_wrong = case.bits() >= out.limit(0, host) * if told { STILL } else { 1.0 };
        if is_wrong && !out.is_habit(host, Some(whom)) {
            self.habits.condemn(actor, victim, at);
        } else {
            self.habits.learn(actor, victim, at);
        }
        is_wrong
    }

    /// Everything, to go on with after a restart.
    pub(super) fn keep(&self) -> Kept {
        (self.habits.keep(), self.ties.keep())
    }

    /// Takes back what was kept.
    pub(super) fn take_back(&mut self, (habits, ties): Kept) {
        self.habits.take_back(habits);
        self.ties.take_back(ties);
    }
}

/// Judges the acts of one kind.
pub(super) struct Change {
    acts: &'static Acts,
    past: Past,
    cases: Cases,
    /// Who was told of.
    told: Table<(Addr, Addr), ()>,
    spread: Table<Addr, Spread>,
}

impl Change {
    pub(super) fn new(acts: &'static Acts) -> Self {
        Self {
            acts,
            past: Past::new(acts.among, WORK, Ties::default()),
            cases: Cases::default(),
            told: Table::new(PAIRS),
            spread: Table::new(PAIRS),
        }
    }

    /// The same for those who hear of conversations, too.
    pub(super) fn of_conversations(acts: &'static Acts) -> Self {
        Self { past: Past::new(acts.among, WORK, Ties::of_conversations()), ..Self::new(acts) }
    }

    /// What was learnt, to go on with after a restart.
    pub(super) fn keep(&self) -> Kept {
        self.past.keep()
    }

    /// Takes back what was learnt.
    pub(super) fn take_back(&mut self, kept: Kept) {
        self.past.take_back(kept);
    }

    /// Takes what is observed, of industrial protocols; `ways` says what is wrong with the way in which it is done.
    pub(super) fn look(&mut self, seen: &Seen<'_>, ways: &mut dyn FnMut(&mut Case), out: &mut Out<'_>) {
        self.past.ties.watch(seen.at);
        match seen.what {
            What::FlowIdentified(identified) => self.past.ties.talk(seen, identified),
            What::Operation(operation) if is_industrial(&operation.protocol) => {
                self.take(seen, operation, ways, out);
            }
            _ => {}
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
        let Some(pair @ (actor, victim)) = parties(&asked, operation) else { return true };
        let at = seen.at;
        let tie = self.past.ties.take(actor, victim, at);
        if !(self.acts.is)(operation) {
            return true;
        }
        let (met, began) = (tie.met, tie.began);
        let who = self.past.actor(seen, &asked, pair, met, (self.acts.meant, false));
        let mut case = self.cases.of(pair, &who, out);
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
        let told = self.told.get(&pair).is_some();
        if !self.past.is_wrong(&case, &asked, pair, told, at, out) {
            return true;
        }
        self.told.place(pair, || ());
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
        self.look(seen, &mut |_| {}, out);
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.keep())
    }

    fn restore(&mut self, learnt: &[u8]) {
        if let Some(kept) = from_bytes(learnt) {
            self.take_back(kept);
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
