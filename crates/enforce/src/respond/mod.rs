//! What is done about incidents, for a time, and undone by itself.
//!
//! Each action is written down before it is done. All that the firewall does about incidents is one small table, which is put in
//! place whole with every change, so nothing of an action is ever half in force. Each element has a time to live of its own in
//! the kernel: what was done ends in time even if Pavise does not live to see it.

mod action;
mod journal;
mod policy;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use model::{FlowHead, Timestamp};

pub use action::{
    Action, ActionId, ActionIdError, BLAST_MAX, BlastRadius, HOLDER_MAX, Holder, Need, Refusal, Request,
    SeenCertificate, Session, TARGETS_MAX,
};
pub use journal::{ASIDE, Entry as JournalEntry, JOURNAL_MAX, Journal, JournalError, ROTATE_BYTES, Step};
pub use policy::{Choice, Decision, Kind, PolicyError, RULES_MAX, ResponsePolicy, ResponseRule};
pub use table::TABLE as RESPONSE_TABLE;

use crate::compile::Support;
use crate::firewall::{Depth, Elements, Firewall, FirewallError, support};
use crate::{Address, Family};

/// Most actions in force at a time.
pub const ACTIONS_MAX: usize = 4_096;
/// Most actions that are taken within an hour without a person, unless set otherwise.
pub const ACTIONS_PER_HOUR: usize = 120;
/// The shortest time for which an action can be asked for.
pub const LIFE_MIN: Duration = Duration::from_secs(1);
/// The longest time for which an action can be asked for.
pub const LIFE_MAX: Duration = Duration::from_secs(30 * 86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// Those who do what the firewall cannot.
pub trait Hands {
    /// Takes a credential back, as an [`Action::RevokeCredential`] asks; one that is taken back already stays so.
    ///
    /// # Errors
    ///
    /// Why it could not be.
    fn revoke(&mut self, id: ActionId, request: &Request) -> Result<Handed, String>;

    /// Puts a question to a person, who answers with [`Responder::answer`].
    ///
    /// # Errors
    ///
    /// Why it could not be put.
    fn ask(&mut self, id: ActionId, question: &str) -> Result<(), String>;

    /// Tells people.
    ///
    /// # Errors
    ///
    /// Why they could not be told.
    fn notify(&mut self, text: &str) -> Result<(), String>;
}

/// How far something is that was handed to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It is done.
    Done,
    /// It is under way: [`Responder::settle`] takes in what comes of it, and a restart hands it over again.
    UnderWay,
}

/// Why an action was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RespondError {
    /// It must not, or cannot, be.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The firewall did not do it.
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    /// It could not be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Whoever should have done it did not.
    #[error("{0}")]
    Hands(String),
    /// There is no such action in force or in question.
    #[error("{0} is not in force: it has ended, or never began")]
    Unknown(ActionId),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force now.
    Taken(ActionId),
    /// The same was in force already; it now ends when the later of the two was to end.
    Already(ActionId),
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Actions taken.
    pub taken: u64,
    /// Requests for what was in force already.
    pub again: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Actions that failed.
    pub failed: u64,
    /// Actions that were undone before their time.
    pub reverted: u64,
    /// Actions that ended in time.
    pub expired: u64,
}

/// An action that is in force, or a question that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// What and why.
    pub request: Request,
    /// Until when.
    pub expires: Timestamp,
}

/// What a trial of a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its id.
    pub id: ActionId,
    /// What it would cut.
    pub blast: BlastRadius,
    /// Whether the same is in force already.
    pub already: bool,
}

/// Takes actions in one firewall.
#[derive(Debug)]
pub struct Responder<F, H> {
    firewall: F,
    hands: H,
    journal: Journal,
    family: Family,
    support: Support,
    guard: Vec<Address>,
    per_hour_max: usize,
    active: BTreeMap<ActionId, Active>,
    lately: VecDeque<Timestamp>,
    counted: Counted,
}

impl<F: Firewall, H: Hands> Responder<F, H> {
    /// Opens the journal, and puts in force what it says is meant and nothing else: what a restart or somebody else has left in
    /// the firewall is replaced.
    ///
    /// # Errors
    ///
    /// If the journal or the firewall cannot be used.
    pub fn open(
        mut firewall: F,
        hands: H,
        family: Family,
        guard: Vec<Address>,
        journal: &Path,
        now: Timestamp,
    ) -> Result<Self, RespondError> {
        let support = support(&mut firewall, family)?;
        let (journal, entries) = Journal::open(journal)?;
        let mut active = BTreeMap::new();
        let mut lately = VecDeque::new();
        let mut half_done = Vec::new();
        for entry in entries {
            match entry.step {
                Step::Begun { request, expires } => {
                    if now.since(entry.at) < HOUR && !active.contains_key(&entry.id) {
                        lately.push_back(entry.at);
                    }
                    if !request.action.is_of_firewall() {
                        half_done.push(entry.id);
                    }
                    active.insert(entry.id, Active { request, expires });
                }
                Step::Done => half_done.retain(|id| *id != entry.id),
                Step::Failed { .. } | Step::Reverted | Step::Expired => {
                    half_done.retain(|id| *id != entry.id);
                    active.remove(&entry.id);
                }
            }
        }
        let per_hour_max = ACTIONS_PER_HOUR;
        let counted = Counted::default();
        let mut responder =
            Self { firewall, hands, journal, family, support, guard, per_hour_max, active, lately, counted };
        // Whoever is guarded by now is cut off no longer.
        let guarded: Vec<ActionId> = responder
            .active
            .iter()
            .filter(|(_, active)| active.request.action.validate(&responder.guard).is_err())
            .map(|(id, _)| *id)
            .collect();
        for id in guarded {
            responder.write(id, now, Step::Reverted)?;
            responder.active.remove(&id);
        }
        responder.expire(now)?;
        responder.install(now)?;
        for id in half_done {
            match responder.finish(id, now) {
                // Whoever does not take it now must not keep the rest from being in force.
                Err(RespondError::Hands(reason)) => responder.settle(id, Err(reason), now)?,
                result => result?,
            }
        }
        Ok(responder)
    }

    /// Another limit than [`ACTIONS_PER_HOUR`].
    #[must_use]
    pub fn with_limit(mut self, per_hour_max: usize) -> Self {
        self.per_hour_max = per_hour_max;
        self
    }

    /// What a request would do, among the conversations that are known; nothing is done. The firewall is asked, too.
    ///
    /// # Errors
    ///
    /// Why it would not be done.
    pub fn dry_run<'a>(
        &mut self,
        request: &Request,
        flows: impl IntoIterator<Item = &'a FlowHead>,
        now: Timestamp,
    ) -> Result<Trial, RespondError> {
        self.may(request, now)?;
        let id = request.action.id();
        let mut meant = self.active.clone();
        meant.insert(id, Active { request: request.clone(), expires: now + request.life });
        self.firewall.check(&self.table(&meant, now).replace())?;
        Ok(Trial {
            id,
            blast: BlastRadius::of(&request.action, flows),
            already: self.active.contains_key(&id),
        })
    }

    /// Takes an action. The same one asked for again is not taken twice, but lasts as long as the later of the two.
    ///
    /// # Errors
    ///
    /// Why it was not taken; then nothing of it is in force.
    pub fn act(&mut self, request: Request, now: Timestamp) -> Result<Outcome, RespondError> {
        self.expire(now)?;
        if let Err(refusal) = self.may(&request, now) {
            self.counted.refused += 1;
            return Err(refusal.into());
        }
        let id = request.action.id();
        let expires = now + request.life;
        let before = self.active.get(&id).cloned();
        if before.as_ref().is_some_and(|before| before.expires >= expires) {
            self.counted.again += 1;
            return Ok(Outcome::Already(id));
        }
        self.write(id, now, Step::Begun { request: request.clone(), expires })?;
        let is_of_firewall = request.action.is_of_firewall();
        self.active.insert(id, Active { request, expires });
        let result = if is_of_firewall {
            let result = self.install(now).map_err(RespondError::from);
            result.and_then(|()| self.write(id, now, Step::Done))
        } else if before.is_none() {
            self.finish(id, now)
        } else {
            Ok(())
        };
        if let Err(error) = result {
            self.give_up(id, before, &error, now)?;
            return Err(error);
        }
        if before.is_some() {
            self.counted.again += 1;
            return Ok(Outcome::Already(id));
        }
        self.lately.push_back(now);
        self.counted.taken += 1;
        Ok(Outcome::Taken(id))
    }

    /// Undoes an action before its time.
    ///
    /// # Errors
    ///
    /// If it is not in force, or is still: then its time to live holds.
    pub fn revert(&mut self, id: ActionId, now: Timestamp) -> Result<(), RespondError> {
        let Some(was) = self.active.remove(&id) else { return Err(RespondError::Unknown(id)) };
        if let Err(error) = self.write(id, now, Step::Reverted) {
            self.active.insert(id, was);
            return Err(error);
        }
        self.counted.reverted += 1;
        Ok(self.install(now)?)
    }

    /// Takes in a person's answer to what [`Action::AskPerson`] asked: what was asked about is done, or not.
    ///
    /// # Errors
    ///
    /// If nothing was asked, or it could not be done.
    pub fn answer(
        &mut self,
        id: ActionId,
        yes: bool,
        now: Timestamp,
    ) -> Result<Option<Outcome>, RespondError> {
        let asked = self.active.get(&id).filter(|active| active.expires > now);
        let Some(Active { request, .. }) = asked.cloned() else { return Err(RespondError::Unknown(id)) };
        let Action::AskPerson { then, .. } = request.action else { return Err(RespondError::Unknown(id)) };
        let outcome = if yes { Some(self.act(Request { action: *then, ..request }, now)?) } else { None };
        self.write(id, now, Step::Reverted)?;
        self.active.remove(&id);
        Ok(outcome)
    }

    /// Takes in what has come of something that was [under way](Handed::UnderWay): it is done, or was given up and is not in
    /// force any more.
    ///
    /// # Errors
    ///
    /// If it is not in force, or could not be written down.
    pub fn settle(
        &mut self,
        id: ActionId,
        result: Result<(), String>,
        now: Timestamp,
    ) -> Result<(), RespondError> {
        if !self.active.contains_key(&id) {
            return Err(RespondError::Unknown(id));
        }
        match result {
            Ok(()) => self.write(id, now, Step::Done),
            Err(reason) => {
                self.write(id, now, Step::Failed { reason })?;
                self.active.remove(&id);
                self.counted.failed += 1;
                Ok(())
            }
        }
    }

    /// Lets time pass: what is over is written down. Returns what has ended.
    ///
    /// # Errors
    ///
    /// If it could not be written down; the kernel has let it end all the same.
    pub fn tick(&mut self, now: Timestamp) -> Result<Vec<ActionId>, RespondError> {
        self.expire(now)
    }

    /// Puts right what somebody else has changed in the firewall; whether anything was. Elements are compared, too: one that was
    /// deleted is one that somebody was let out by.
    ///
    /// # Errors
    ///
    /// If it could not be.
    pub fn look_after(&mut self, now: Timestamp) -> Result<bool, RespondError> {
        self.expire(now)?;
        let meant = self.table(&self.active, now);
        let found = self.firewall.list(self.family, table::TABLE, Depth::Elements)?;
        let differs = !crate::drift::drift(&meant, None, found.as_ref(), Depth::Elements).is_empty();
        let lost = meant.sets.iter().filter(|(_, set)| set.spec.live).any(|(name, set)| {
            let found = found.as_ref().and_then(|found| found.sets.get(name));
            // What is about to end may have ended, or not quite yet.
            let lasts = |life_s: Option<u32>| life_s.is_some_and(|life_s| life_s > 1);
            let none = Elements::new();
            let found = found.map_or(&none, |found| &found.elements);
            let gone =
                set.elements.iter().any(|(key, entry)| lasts(entry.life_s) && !found.contains_key(key));
            let mut added = found.iter().filter(|(key, _)| !set.elements.contains_key(*key));
            gone || added.any(|(_, element)| element.left_s.is_none() || lasts(element.left_s))
        });
        if differs || lost {
            self.install(now)?;
        }
        Ok(differs || lost)
    }

    /// What is in force or asked.
    pub const fn active(&self) -> &BTreeMap<ActionId, Active> {
        &self.active
    }

    /// What was counted.
    pub const fn counted(&self) -> Counted {
        self.counted
    }

    /// The firewall.
    pub fn firewall(&mut self) -> &mut F {
        &mut self.firewall
    }

    /// Those who do what the firewall cannot.
    pub fn hands(&mut self) -> &mut H {
        &mut self.hands
    }

    fn may(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        request.action.validate(&self.guard)?;
        if !(LIFE_MIN..=LIFE_MAX).contains(&request.life) {
            return Err(Refusal::Life(request.life));
        }
        if self.active.contains_key(&request.action.id()) {
            return Ok(());
        }
        if self.active.len() >= ACTIONS_MAX {
            return Err(Refusal::TooMany(self.active.len()));
        }
        let lately = self.lately.iter().filter(|at| now.since(**at) < HOUR).count();
        if lately >= self.per_hour_max { Err(Refusal::TooOften(lately)) } else { Ok(()) }
    }

    fn write(&mut self, id: ActionId, at: Timestamp, step: Step) -> Result<(), RespondError> {
        Ok(self.journal.write(&JournalEntry { at, id, step })?)
    }

    fn table(&self, active: &BTreeMap<ActionId, Active>, now: Timestamp) -> crate::Table {
        let actions = active.values().map(|active| (&active.request.action, active.expires));
        table::table(self.family, self.support, actions, now)
    }

    fn install(&mut self, now: Timestamp) -> Result<(), FirewallError> {
        self.firewall.apply(&self.table(&self.active, now).replace())
    }

    /// Does what the firewall does not.
    fn finish(&mut self, id: ActionId, now: Timestamp) -> Result<(), RespondError> {
        let Some(active) = self.active.get(&id) else { return Ok(()) };
        let done = |()| Handed::Done;
        let result = match &active.request.action {
            Action::RevokeCredential { .. } => self.hands.revoke(id, &active.request),
            Action::AskPerson { question, .. } => self.hands.ask(id, question).map(done),
            Action::Notify { text } => self.hands.notify(text).map(done),
            _ => Ok(Handed::Done),
        };
        match result.map_err(RespondError::Hands)? {
            Handed::Done => self.write(id, now, Step::Done),
            Handed::UnderWay => Ok(()),
        }
    }

    /// Goes back to what was before an action that failed.
    fn give_up(
        &mut self,
        id: ActionId,
        before: Option<Active>,
        error: &RespondError,
        now: Timestamp,
    ) -> Result<(), RespondError> {
        self.counted.failed += 1;
        let step = match &before {
            // It is still meant as it was before.
            Some(before) => Step::Begun { request: before.request.clone(), expires: before.expires },
            None => Step::Failed { reason: error.to_string() },
        };
        self.active.remove(&id);
        self.active.extend(before.map(|before| (id, before)));
        self.write(id, now, step)?;
        // After a refusal everything is as it was. Otherwise that is not known; if this fails, too, times to live hold.
        if !matches!(error, RespondError::Firewall(FirewallError::Refused(_))) {
            self.install(now)?;
        }
        Ok(())
    }

    fn expire(&mut self, now: Timestamp) -> Result<Vec<ActionId>, RespondError> {
        let over: Vec<ActionId> =
            self.active.iter().filter(|(_, active)| active.expires <= now).map(|(id, _)| *id).collect();
        for &id in &over {
            self.write(id, now, Step::Expired)?;
            self.active.remove(&id);
            self.counted.expired += 1;
        }
        while self.lately.front().is_some_and(|at| now.since(*at) >= HOUR) {
            self.lately.pop_front();
        }
        Ok(over)
    }
}

#[cfg(test)]
mod tests;
