//! `pavise watch --protect`: incidents are responded to while they happen.
//!
//! The session shows what it observes and which incidents have grown; what is to be done is chosen there, where devices and
//! conversations are known ([`choose`]). It is done by a thread of its own, so that neither the firewall nor a disk that is slow
//! holds up the packets. What only would be done goes the same way, into a firewall in memory and a journal of its own.

mod choose;
mod deliver;
mod file;
mod known;
mod revoke;
mod rules;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use brain::Brain;
use detect::Zone;
use enforce::respond::{
    Action, ActionId, Active, Handed, Hands, Journal, JournalEntry, Kind, Outcome, Request, RespondError,
    Responder, Step,
};
use enforce::{
    Address, Depth, Elements, Family, Firewall, FirewallError, Listing, MemoryFirewall, Nft, Transaction,
};
use model::{
    ActionTaken, Change, Device, DeviceId, Event, Finding, Incident, IncidentId, Observation, Order,
    OrderKind, Timestamp, What,
};
use store::Store;

use crate::output::{Problem, say};
use choose::{Wanted, choose, done, time, words};
pub(crate) use file::{Protection, read};
use known::Known;
use revoke::Revoker;
use rules::Rules;
use tell::{Notice, Teller};

/// Time passes for what is in force so often.
const TICK: Duration = Duration::from_millis(500);
/// What somebody else has changed in the firewall is put right within so long.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// Incidents that go on without growing, from before the start or after a response to them has ended, are looked for so often.
const SWEEP: Duration = Duration::from_millis(200);
/// What has failed is tried again when its incident has gone on for so long, or has grown.
const RETRY: Duration = Duration::from_secs(10);
/// So many responses that were asked for are remembered, so as not to be asked for with every finding that joins.
pub(crate) const MAX_SENT: usize = 1 << 16;

/// The time of the clock: responses hold until then, whatever packets say.
#[allow(clippy::disallowed_methods)]
pub(crate) fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Where what is done is written down, by where packets pass; nothing for what only would be done.
pub(crate) fn journal(state: &Path, family: Option<Family>) -> PathBuf {
    state.join(match family {
        Some(Family::Bridged) => "responses-bridged.jsonl",
        Some(Family::Routed) => "responses-routed.jsonl",
        None => "responses-observed.jsonl",
    })
}

/// The firewall of the host, or one in memory that filters nothing.
#[derive(Debug)]
pub(crate) enum Wall {
    Real(Nft),
    Memory(MemoryFirewall),
}

impl Wall {
    fn firewall(&mut self) -> &mut dyn Firewall {
        match self {
            Self::Real(nft) => nft,
            Self::Memory(memory) => memory,
        }
    }
}

impl Firewall for Wall {
    fn check(&mut self, transaction: &Transaction) -> Result<(), FirewallError> {
        self.firewall().check(transaction)
    }

    fn apply(&mut self, transaction: &Transaction) -> Result<(), FirewallError> {
        self.firewall().apply(transaction)
    }

    fn elements(&mut self, family: Family, table: &str, set: &str) -> Result<Elements, FirewallError> {
        self.firewall().elements(family, table, set)
    }

    fn list(&mut self, family: Family, table: &str, depth: Depth) -> Result<Option<Listing>, FirewallError> {
        self.firewall().list(family, table, depth)
    }
}

/// Who has credentials revoked.
#[derive(Debug)]
pub(crate) enum Issuer {
    /// Nobody: it is only said that it would be done.
    Pretended,
    /// Nobody here: a watch that knows whom to ask does so.
    Elsewhere,
    /// Whoever the file names.
    Known(Revoker),
}

/// Whoever is asked or told is at the terminal, where each action is told anyway.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) issuer: Issuer,
}

impl Hands for Terminal {
    fn revoke(&mut self, id: ActionId, request: &Request) -> Result<Handed, String> {
        match &mut self.issuer {
            Issuer::Pretended => Ok(Handed::Done),
            Issuer::Elsewhere => {
                say(format_args!(
                    "pavise: {id}, {} {}, is left to a watch with [revoke] in the file of its --protect.",
                    words(&request.action),
                    target(&request.action)
                ));
                Ok(Handed::UnderWay)
            }
            Issuer::Known(revoker) => revoker.revoke(id, request).map(|()| Handed::UnderWay),
        }
    }

    fn ask(&mut self, _: ActionId, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn notify(&mut self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Something for the thread to do.
enum Task {
    /// What is to be done; and what it takes the place of.
    Do(Box<Wanted>, Option<Box<Incident>>, Option<ActionId>),
    /// What a person says about something.
    Order(ActionId, OrderKind),
}

/// What the thread has done.
struct Report {
    event: Event,
    /// The action, if it may be asked for again.
    ended: Option<ActionId>,
}

/// Responds to incidents.
pub(crate) struct Protector {
    tasks: Option<Sender<Task>>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<Vec<Timestamp>>>,
    is_real: bool,
    policy: enforce::respond::ResponsePolicy,
    guard: Vec<Address>,
    zones: Vec<Zone>,
    known: Known,
    /// The policy that is kept in force, if one is.
    rules: Option<Rules>,
    /// Incidents that have grown since they were last looked at, and when.
    grown: BTreeMap<IncidentId, Timestamp>,
    /// Incidents that were looked at since the start, or since a response to them has ended. Others need not grow to be
    /// responded to.
    considered: BTreeSet<IncidentId>,
    /// When a response to an incident has ended: it goes on if something of it is seen later.
    over: BTreeMap<IncidentId, Timestamp>,
    started: Timestamp,
    /// When incidents that go on were looked for last.
    swept: Instant,
    /// What was asked for, by incident and by what is done to whom.
    sent: BTreeMap<(IncidentId, String), Action>,
}

impl Protector {
    /// Puts in force what the journal in the state says, and begins to respond.
    pub(crate) fn start(
        protection: Protection,
        zones: Vec<Zone>,
        state: &Path,
        store: &dyn Store,
    ) -> Result<Self, Problem> {
        let Protection { family, is_real, mut guard, per_hour, policy, tell, revoke, kept } = protection;
        let now = clock();
        let known = Known::restore(store, now)?;
        let rules = match kept {
            Some(kept) => {
                let (rules, guarded) = Rules::start(&kept, family, &guard, state, store)?;
                guard.extend(guarded);
                Some(rules)
            }
            None => None,
        };
        let path = journal(state, is_real.then_some(family));
        let cannot = |why: String| Problem::Other(format!("cannot respond to incidents: {why}"));
        let wall = if is_real { Wall::Real(Nft::default()) } else { Wall::Memory(MemoryFirewall::new()) };
        let issuer = match revoke {
            _ if !is_real => Issuer::Pretended,
            Some(poster) => Issuer::Known(Revoker::start(poster)),
            None => Issuer::Elsewhere,
        };
        let responder = Responder::open(wall, Terminal { issuer }, family, guard.clone(), &path, now)
            .map_err(|error| cannot(error.to_string()))?
            .with_limit(per_hour);
        // By now it says, too, what has ended meanwhile.
        let entries = Journal::read(&path).map_err(|error| cannot(error.to_string()))?;
        let in_force =
            responder.active().values().filter(|active| active.request.action.is_of_firewall()).count();
        let what =
            if is_real { "Responding to incidents" } else { "Saying how incidents would be responded to" };
        let before = match in_force {
            0 => String::new(),
            1 => "; 1 response from before is in force".to_owned(),
            count => format!("; {count} responses from before are in force"),
        };
        say(format_args!(
            "{what} where packets are {}{before}.",
            if family == Family::Bridged { "bridged" } else { "routed" }
        ));
        let (tasks, inbox) = channel();
        let (outbox, reports) = channel();
        let teller = telling::start(tell, state)?;
        let worker = Worker { responder, is_real, outbox, teller, looked: Instant::now() };
        let thread = std::thread::spawn(move || worker.run(&inbox));
        Ok(Self {
            tasks: Some(tasks),
            reports,
            thread: Some(thread),
            is_real,
            policy,
            guard,
            zones,
            known,
            rules,
            grown: BTreeMap::new(),
            considered: BTreeSet::new(),
            over: BTreeMap::new(),
            started: now,
            swept: Instant::now(),
            sent: sent(&entries),
        })
    }

    /// Takes note of an observation.
    pub(crate) fn observe(&mut self, observation: &Observation) {
        self.known.observe(observation);
        if let (What::Resolved(resolved), Some(rules)) = (&observation.what, &self.rules) {
            rules.resolved(resolved);
        }
    }

    /// Whether credentials may be revoked: then messages are to be shown, for the certificates in them.
    pub(crate) fn revokes(&self) -> bool {
        let kinds = self.policy.rules.iter().map(|rule| rule.choice.kind);
        kinds.into_iter().any(|kind| kind == Kind::RevokeCredential)
    }

    /// Whether it is to be told which devices have changed.
    pub(crate) const fn follows(&self) -> bool {
        self.rules.is_some()
    }

    /// Devices have changed, or are gone.
    pub(crate) fn follow(&self, changed: Vec<Device>, gone: Vec<DeviceId>) {
        if let Some(rules) = self.rules.as_ref().filter(|_| !changed.is_empty() || !gone.is_empty()) {
            rules.follow(changed, gone);
        }
    }

    /// Takes note that an incident has grown.
    pub(crate) fn grew(&mut self, incident: IncidentId, at: Timestamp) {
        self.grown.entry(incident).or_insert(at);
    }

    /// Has done what is to be done about the incidents that have grown. Returns what was done since the last time.
    pub(crate) fn respond(&mut self, brain: &Brain) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(Report { event, ended }) = self.reports.try_recv() {
            if let Some(id) = ended {
                self.ended(id, &event);
            }
            events.push(event);
        }
        let detect = brain.detect();
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            for incident in detect.incidents() {
                let since = *self.over.get(&incident.id).unwrap_or(&self.started);
                if incident.last > since && !self.considered.contains(&incident.id) {
                    self.grew(incident.id, incident.last);
                }
            }
        }
        if self.grown.is_empty() {
            return events;
        }
        let grown = std::mem::take(&mut self.grown);
        // Those that are no longer held are not met again.
        while self.considered.len() > detect::MAX_INCIDENTS {
            self.considered.pop_first();
        }
        while self.over.len() > detect::MAX_INCIDENTS {
            self.over.pop_first();
        }
        self.considered.extend(grown.keys());
        for incident in detect.incidents() {
            let Some(at) = grown.get(&incident.id) else { continue };
            let findings: Vec<&Finding> = detect
                .findings()
                .filter(|finding| finding.incident == Some(incident.id) && !finding.is_silenced())
                .collect();
            let site = choose::Site {
                policy: &self.policy,
                zones: &self.zones,
                guard: &self.guard,
                inventory: brain.inventory(),
                known: &self.known,
            };
            for wanted in choose(&site, incident, &findings, *at) {
                self.want(wanted, incident);
            }
        }
        events
    }

    /// Has done what a person says.
    pub(crate) fn order(&self, order: &Order) {
        match order.action.parse() {
            Ok(id) => {
                if let Some(tasks) = &self.tasks {
                    // A thread that has ended has said why.
                    let _ = tasks.send(Task::Order(id, order.say));
                }
            }
            Err(error) => say(format_args!("pavise: {}: {error}", crate::show::plain(&order.action))),
        }
    }

    /// Asks for something, if it was not asked for before.
    fn want(&mut self, wanted: Wanted, incident: &Incident) {
        let key = (wanted.incident, key(&wanted.request.action));
        let before = self.sent.get(&key);
        let replaces = match before {
            Some(before) if spares(before, incident) => Some(before.id()),
            Some(_) => return,
            None => None,
        };
        while self.sent.len() >= MAX_SENT {
            self.sent.pop_first();
        }
        self.sent.insert(key, wanted.request.action.clone());
        if let Some(tasks) = &self.tasks {
            // A thread that has ended has said why.
            let _ = tasks.send(Task::Do(Box::new(wanted), Some(Box::new(incident.clone())), replaces));
        }
    }

    /// What has ended may be asked for again, once something of its incident is seen again.
    fn ended(&mut self, id: ActionId, event: &Event) {
        self.sent.retain(|_, action| action.id() != id);
        if let Change::ActionTaken { action } = &event.change
            && let Some(incident) = action.incident
        {
            let pause = if &*action.outcome == "failed" { RETRY } else { Duration::ZERO };
            self.considered.remove(&incident);
            self.over.insert(incident, event.at + pause);
        }
    }
}

impl Drop for Protector {
    fn drop(&mut self) {
        self.tasks = None;
        let left = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if let Some(last) = left.iter().max().filter(|_| self.is_real) {
            say(format_args!(
                "{} in force until {} at the latest, without Pavise, too; `pavise actions` lists them.",
                match left.len() {
                    1 => "1 response stays".to_owned(),
                    count => format!("{count} responses stay"),
                },
                crate::show::moment(*last)
            ));
        }
    }
}

/// What was asked for before, as the journal tells: what is in force or asked, and what a person has undone or declined.
fn sent(entries: &[JournalEntry]) -> BTreeMap<(IncidentId, String), Action> {
    let mut meant: BTreeMap<ActionId, (IncidentId, &Action)> = BTreeMap::new();
    for entry in entries {
        match &entry.step {
            Step::Begun { request, .. } => {
                if let Some(incident) = request.incident {
                    meant.insert(entry.id, (incident, &request.action));
                }
            }
            Step::Expired | Step::Failed { .. } => drop(meant.remove(&entry.id)),
            Step::Done | Step::Reverted => {}
        }
    }
    meant.into_values().map(|(incident, action)| ((incident, key(action)), action.clone())).collect()
}

/// What is done to whom, whatever else it says.
fn key(action: &Action) -> String {
    match action {
        Action::Contain { device, .. } => format!("contain {device:?}"),
        Action::AskPerson { then, .. } => format!("ask {}", key(then)),
        Action::Notify { .. } => "notify".into(),
        Action::RevokeCredential { credential, .. } => format!("revoke {credential}"),
        other => format!("{other:?}"),
    }
}

/// Whether an action leaves open a way to somebody who by now has a part in the incident.
fn spares(action: &Action, incident: &Incident) -> bool {
    let Action::Contain { needed, .. } = action else { return false };
    let mut parties = incident.actors.iter().chain(&incident.victims).filter_map(|party| party.host.ip);
    parties.any(|ip| needed.iter().any(|need| need.peer.contains(ip)))
}

/// The thread that acts.
struct Worker {
    responder: Responder<Wall, Terminal>,
    is_real: bool,
    outbox: Sender<Report>,
    /// Tells others, if somebody is named.
    teller: Option<Teller>,
    looked: Instant,
}

impl Worker {
    /// Works until nobody gives it anything any more. Returns when each of what stays in force ends.
    fn run(mut self, inbox: &Receiver<Task>) -> Vec<Timestamp> {
        let mut ticked = Instant::now();
        loop {
            match inbox.recv_timeout(TICK.saturating_sub(ticked.elapsed())) {
                Ok(Task::Do(wanted, incident, replaces)) => self.act(*wanted, incident, replaces),
                Ok(Task::Order(id, order)) => self.obey(id, order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.tick();
            }
        }
        self.end();
        let active = self.responder.active().values();
        active.filter(|active| active.request.action.is_of_firewall()).map(|active| active.expires).collect()
    }

    /// Tries for the last time what is to be revoked. What is not done by then stays in the journal.
    fn end(&mut self) {
        let Issuer::Known(revoker) = &mut self.responder.hands().issuer else { return };
        let left = revoker.end();
        self.settle();
        if left > 0 {
            say(format_args!(
                "pavise: what is to be revoked and is not yet ({left}) is left to the next watch with --protect."
            ));
        }
    }

    /// Takes in what has come of what was to be revoked.
    fn settle(&mut self) {
        let Issuer::Known(revoker) = &mut self.responder.hands().issuer else { return };
        for (id, result) in revoker.settled() {
            let now = clock();
            let active = self.responder.active().get(&id).cloned();
            let why = result.as_ref().err().cloned();
            let outcome = if why.is_none() { "taken" } else { "failed" };
            match self.responder.settle(id, result, now) {
                Ok(()) => {
                    if let Some(active) = active {
                        self.tell_active(id, &active, outcome, why.as_deref(), now);
                    }
                }
                // Its time was over meanwhile.
                Err(RespondError::Unknown(_)) => {}
                Err(error) => say(format_args!("pavise: {error}")),
            }
        }
    }

    /// Asks no more for what is not to be revoked any longer.
    fn withdraw(&mut self, id: ActionId) {
        if let Issuer::Known(revoker) = &mut self.responder.hands().issuer {
            revoker.withdraw(id);
        }
    }

    fn tick(&mut self) {
        self.settle();
        let now = clock();
        let active = self.responder.active().clone();
        match self.responder.tick(now) {
            Ok(ended) => {
                for id in ended {
                    self.withdraw(id);
                    if let Some(active) = active.get(&id) {
                        self.tell_active(id, active, "expired", None, now);
                    }
                }
            }
            Err(error) => say(format_args!("pavise: {error}")),
        }
        if self.is_real && self.looked.elapsed() >= LOOK_AFTER {
            self.looked = Instant::now();
            match self.responder.look_after(clock()) {
                Ok(true) => say(format_args!(
                    "{} somebody has changed what Pavise has in force about incidents; it was put right.",
                    hour(now)
                )),
                Ok(false) => {}
                Err(error) => say(format_args!("pavise: cannot look after responses: {error}")),
            }
        }
    }

    /// Does what a person says.
    fn obey(&mut self, id: ActionId, order: OrderKind) {
        let now = clock();
        let before = self.responder.active().get(&id).cloned();
        match obey(&mut self.responder, id, order, now) {
            Ok(Some(id)) => {
                if let Some(active) = self.responder.active().get(&id).cloned() {
                    let outcome = match active.request.action {
                        _ if !self.is_real => "observed",
                        Action::RevokeCredential { .. } => "requested",
                        _ => "taken",
                    };
                    self.tell_active(id, &active, outcome, None, now);
                }
            }
            Ok(None) => {
                self.withdraw(id);
                let outcome = if order == OrderKind::Revert { "reverted" } else { "declined" };
                if let Some(active) = before {
                    self.tell_active(id, &active, outcome, None, now);
                }
            }
            Err(error) => say(format_args!("pavise: {error}")),
        }
    }

    fn act(&mut self, wanted: Wanted, incident: Option<Box<Incident>>, replaces: Option<ActionId>) {
        let Wanted { incident: of, at, target, request, cuts, refused } = wanted;
        let action = request.action.clone();
        let (id, life) = (action.id(), request.life);
        let reason = request.reason.clone();
        let result = match refused {
            Some(why) => Err(why),
            None => self.responder.act(request, clock()).map_err(|error| {
                let again = !matches!(error, RespondError::Refused(_));
                if again { format!("failed: {error}") } else { error.to_string() }
            }),
        };
        if let (Some(old), Ok(_)) = (replaces.filter(|old| *old != id), &result)
            && let Err(error) = self.responder.revert(old, clock())
            && !matches!(error, RespondError::Unknown(_))
        {
            say(format_args!("pavise: {error}"));
        }
        let now = clock();
        let after = now.since(at);
        let outcome = match (&result, &action) {
            // The same was in force: nothing is new.
            (Ok(Outcome::Already(_)), _) => return,
            (Ok(_), Action::AskPerson { .. }) => "asked",
            (Ok(_), Action::Notify { .. }) => "told",
            (Ok(_), Action::RevokeCredential { .. }) if self.is_real => "requested",
            (Ok(_), _) if self.is_real => "taken",
            (Ok(_), _) => "observed",
            (Err(why), _) if why.starts_with("failed") => "failed",
            (Err(_), _) => "refused",
        };
        let flows = cuts.flows;
        let conversations =
            if flows == 1 { "1 conversation".into() } else { format!("{flows} conversations") };
        let headline = match (&result, &action) {
            (Err(_), _) => format!("did not {} {target}", words(&action)),
            (Ok(_), Action::AskPerson { .. }) => format!("{} {target}?", words(&action)),
            (Ok(_), Action::Notify { text }) => text.clone(),
            (Ok(_), _) if self.is_real => format!("{} {target}", done(&action)),
            (Ok(_), _) => format!("would {} {target}", words(&action)),
        };
        let text = match (&result, &action) {
            (Err(why), _) => format!("{headline}: {why}"),
            (Ok(_), Action::AskPerson { question, .. }) => {
                format!(
                    "{question} It would cut {conversations}. Say `pavise actions answer {id} yes` or `no`"
                )
            }
            (Ok(_), Action::Notify { text }) => text.clone(),
            (Ok(_), Action::RevokeCredential { .. }) => {
                format!("{headline}: incident {of}, {:.2} s after the packet", after.as_secs_f64())
            }
            (Ok(_), _) => {
                format!(
                    "{headline} for {}: incident {of}, {} {conversations}, {:.2} s after the packet",
                    time(life),
                    if self.is_real { "cuts" } else { "would cut" },
                    after.as_secs_f64()
                )
            }
        };
        say(format_args!("{} {text}", hour(now)));
        let ended = (outcome == "failed").then_some(id);
        let taken = ActionTaken {
            id: id.to_string().into(),
            action: action.name().into(),
            outcome: outcome.into(),
            target: target.into(),
            incident: Some(of),
            reason: reason.into(),
            until: (result.is_ok() && is_for_a_time(&action)).then(|| now + life),
            cuts: flows as u64,
        };
        self.report(taken, incident, headline, text, ended, now);
    }

    /// Says what has become of something, and why where it has failed.
    fn tell_active(
        &mut self,
        id: ActionId,
        active: &Active,
        outcome: &'static str,
        why: Option<&str>,
        now: Timestamp,
    ) {
        let action = &active.request.action;
        if matches!(action, Action::Notify { .. }) {
            return;
        }
        let target = target(action);
        let headline = match (outcome, action) {
            ("taken", Action::RevokeCredential { .. }) => format!("revoked the credentials of {target}"),
            _ => format!("{outcome}: {} {target}", words(action)),
        };
        let text = match (why, action) {
            (Some(why), _) => format!("{headline} ({id}): {why}"),
            // It is over with what it was for; the credentials do not come back.
            (None, Action::RevokeCredential { .. }) if outcome == "expired" => {
                format!("{headline} ({id}); what is revoked stays so")
            }
            (None, _) => format!("{headline} ({id})"),
        };
        say(format_args!("{} {text}", hour(now)));
        let taken = ActionTaken {
            id: id.to_string().into(),
            action: action.name().into(),
            outcome: outcome.into(),
            target: target.into(),
            incident: active.request.incident,
            reason: active.request.reason.clone().into(),
            until: (matches!(outcome, "taken" | "observed") && is_for_a_time(action))
                .then_some(active.expires),
            cuts: 0,
        };
        self.report(taken, None, headline, text, matches!(outcome, "expired" | "failed").then_some(id), now);
    }

    fn report(
        &mut self,
        taken: ActionTaken,
        incident: Option<Box<Incident>>,
        headline: String,
        text: String,
        ended: Option<ActionId>,
        now: Timestamp,
    ) {
        let event = Event { at: now, device: None, change: Change::ActionTaken { action: Box::new(taken) } };
        if let Some(teller) = &mut self.teller {
            let (told, incident) = (Arc::new(event.clone()), incident.map(Arc::from));
            teller.tell(&Notice::action(teller.seed(), told, incident, headline.into(), text.into()));
        }
        // A session that has ended hears nothing.
        let _ = self.outbox.send(Report { event, ended });
    }
}

/// Whether an action ends with its time.
const fn is_for_a_time(action: &Action) -> bool {
    !matches!(action, Action::Notify { .. } | Action::RevokeCredential { .. })
}

/// Does what a person says about an action; the action that is in force because of it, if one is.
pub(crate) fn obey(
    responder: &mut Responder<Wall, Terminal>,
    id: ActionId,
    order: OrderKind,
    now: Timestamp,
) -> Result<Option<ActionId>, RespondError> {
    match order {
        OrderKind::Revert => responder.revert(id, now).map(|()| None),
        OrderKind::Yes | OrderKind::No => {
            let outcome = responder.answer(id, order == OrderKind::Yes, now)?;
            Ok(outcome.map(|(Outcome::Taken(id) | Outcome::Already(id))| id))
        }
    }
}

/// The time of day.
fn hour(now: Timestamp) -> String {
    now.to_string().get(11..19).unwrap_or_default().to_owned()
}

/// Whom an action concerns, by address.
pub(crate) fn target(action: &Action) -> String {
    let list = |texts: Vec<String>| texts.join(", ");
    match action {
        Action::Contain { device, .. } | Action::Quarantine { device } | Action::RateLimit { device, .. } => {
            list(device.iter().map(ToString::to_string).collect())
        }
        Action::BlockDestination { device, to } => {
            let [device, to] =
                [device, to].map(|networks| list(networks.iter().map(ToString::to_string).collect()));
            if device.is_empty() { to } else { format!("{device} to {to}") }
        }
        Action::KillSession { session } => format!("{} to {}", session.client, session.server),
        Action::RevokeCredential { credential, holder } => match holder {
            Some(holder) => {
                let names = holder.names.iter().map(|name| crate::show::plain(name));
                let all = names.take(1).chain(holder.addresses.iter().map(ToString::to_string));
                format!("{credential} ({})", list(all.collect()))
            }
            None => credential.clone(),
        },
        Action::AskPerson { then, .. } => target(then),
        Action::Notify { .. } => String::new(),
    }
}
