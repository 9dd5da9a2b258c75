//! `pavise actions`: what is done about incidents, and what people say about it.

use std::path::Path;

use enforce::respond::{Action, Journal, JournalEntry, Request, Responder, Step};
use enforce::{Family, MemoryFirewall, Nft};
use model::{IncidentId, Order, OrderKind, Timestamp};
use serde::Serialize;
use store::{Sqlite, Store, StoreError};

use crate::command::{self, ActionsCommand};
use crate::found::{begins, count};
use crate::output::{Array, Output, Problem, say};
use crate::protect::{self, Issuer, Terminal, Wall, clock};
use crate::show::{LEFT, Rows, Set, moment, table};

/// Where actions are written down: where packets are bridged, where they are routed, and what only would be done.
const JOURNALS: [Option<Family>; 3] = [Some(Family::Bridged), Some(Family::Routed), None];

/// An action, as the journal tells it.
#[derive(Serialize)]
pub(crate) struct Taken {
    id: String,
    action: &'static str,
    /// `in-force`, `observed` (it would be), `asked`, `told`, `requested` (of whoever revokes), `revoked`, `failed`, `reverted`,
    /// `answered`, `expired`.
    outcome: &'static str,
    target: String,
    since: Timestamp,
    until: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incident: Option<IncidentId>,
    reason: String,
    #[serde(skip)]
    family: Option<Family>,
}

impl Taken {
    /// Whether it is in force or asked, or would be.
    fn is_open(&self) -> bool {
        matches!(self.outcome, "in-force" | "observed" | "asked" | "requested")
    }
}

/// All actions that the journals tell of, the oldest first.
pub(crate) fn read(state: &Path) -> Result<Vec<Taken>, Problem> {
    let now = clock();
    let mut all = Vec::new();
    for family in JOURNALS {
        let entries = Journal::read(&protect::journal(state, family))
            .map_err(|error| Problem::Other(error.to_string()))?;
        all.extend(taken(entries, family, now));
    }
    all.sort_by(|one, other| (one.since, &one.id).cmp(&(other.since, &other.id)));
    Ok(all)
}

fn taken(entries: Vec<JournalEntry>, family: Option<Family>, now: Timestamp) -> Vec<Taken> {
    let mut all: Vec<Taken> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    for JournalEntry { at, id, step } in entries {
        let known: Option<&mut Taken> = places.get(&id).and_then(|place: &usize| all.get_mut(*place));
        match (step, known) {
            // The same again lasts longer.
            (Step::Begun { expires, .. }, Some(known)) if known.is_open() && known.until > at => {
                known.until = expires;
            }
            (Step::Begun { request, expires }, _) => {
                places.insert(id, all.len());
                let Request { action, reason, incident, .. } = request;
                let outcome = match action {
                    Action::AskPerson { .. } => "asked",
                    Action::Notify { .. } => "told",
                    Action::RevokeCredential { .. } if family.is_some() => "requested",
                    _ if family.is_some() => "in-force",
                    _ => "observed",
                };
                all.push(Taken {
                    id: id.to_string(),
                    action: action.name(),
                    outcome,
                    target: protect::target(&action),
                    since: at,
                    until: expires,
                    incident,
                    reason,
                    family,
                });
            }
            (Step::Failed { .. }, Some(known)) => known.outcome = "failed",
            (Step::Done, Some(known)) if known.outcome == "requested" => known.outcome = "revoked",
            (Step::Reverted, Some(known)) if known.outcome == "asked" => known.outcome = "answered",
            (Step::Reverted, Some(known)) => known.outcome = "reverted",
            (Step::Expired, Some(known)) if known.is_open() => known.outcome = "expired",
            _ => {}
        }
    }
    for known in all.iter_mut().filter(|known| known.is_open() && known.until <= now) {
        known.outcome = "expired";
    }
    all
}

/// Actions as a table.
pub(crate) fn list(actions: &[Taken]) -> Rows {
    let mut table = table(&[
        ("ID", LEFT),
        ("STATE", LEFT),
        ("ACTION", LEFT),
        ("WHOM", LEFT),
        ("SINCE", LEFT),
        ("UNTIL", LEFT),
        ("INCIDENT", LEFT),
        ("WHY", Set::Story(60)),
    ]);
    for action in actions {
        table.add_row([
            action.id.clone(),
            action.outcome.to_owned(),
            action.action.to_owned(),
            action.target.clone(),
            moment(action.since),
            moment(action.until),
            action.incident.map_or_else(|| "-".to_owned(), |incident| incident.to_string()),
            action.reason.clone(),
        ]);
    }
    table
}

pub(crate) fn run(options: &command::Actions) -> Result<(), Problem> {
    match &options.command {
        Some(ActionsCommand::Revert { id, state }) => order(&state.state, id, OrderKind::Revert),
        Some(ActionsCommand::Answer { id, answer, state }) => {
            order(&state.state, id, if answer == "yes" { OrderKind::Yes } else { OrderKind::No })
        }
        None => {
            let mut all = read(&options.state.state)?;
            if options.json {
                let mut array = Array::new();
                for action in &all {
                    array.push(action)?;
                }
                return array.end();
            }
            all.retain(|action| options.all || action.is_open());
            let mut out = Output::new();
            if !all.is_empty() {
                out.line(list(&all))?;
            }
            let hint = if all.is_empty() { "" } else { " `pavise actions revert ID` undoes one." };
            out.line(format_args!("{}.{hint}", count(all.len(), "action")))?;
            out.flush()
        }
    }
}

/// Has an order carried out: by the watch that is under way, or here if there is none.
fn order(state: &Path, id: &str, order: OrderKind) -> Result<(), Problem> {
    let known = |action: &Taken| action.is_open() || action.outcome == "revoked";
    let open: Vec<Taken> = read(state)?.into_iter().filter(known).collect();
    let taken = begins(open, "action", id, |action| action.id.clone())?;
    match (taken.outcome == "asked", order) {
        _ if taken.outcome == "revoked" => {
            return Err(Problem::Other(format!(
                "{} is done: what is revoked stays so; have whoever issues credentials issue new ones",
                taken.id
            )));
        }
        (false, OrderKind::Yes | OrderKind::No) => {
            return Err(Problem::Other(format!(
                "{} asks nothing: `pavise actions revert` undoes it",
                taken.id
            )));
        }
        (true, OrderKind::Revert) => {
            return Err(Problem::Other(format!(
                "{} is a question: `pavise actions answer` answers it",
                taken.id
            )));
        }
        _ => {}
    }
    // While this is held, no watch begins.
    let _held = match Sqlite::create(state) {
        Ok(held) => held,
        Err(StoreError::Busy(_)) => {
            let order = Order { action: taken.id.as_str().into(), say: order };
            Sqlite::open_to_judge(state)?.order(order)?;
            say(format_args!(
                "Handed to the watch that is under way; `pavise actions --all` tells what came of it."
            ));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let cannot = |why: String| Problem::Other(format!("{} is left as it is: {why}", taken.id));
    let path = protect::journal(state, taken.family);
    let (wall, family) = match taken.family {
        Some(family) => (Wall::Real(Nft::default()), family),
        None => (Wall::Memory(MemoryFirewall::new()), Family::Routed),
    };
    let now = clock();
    let issuer = if taken.family.is_some() { Issuer::Elsewhere } else { Issuer::Pretended };
    let mut responder = Responder::open(wall, Terminal { issuer }, family, Vec::new(), &path, now)
        .map_err(|error| cannot(error.to_string()))?;
    let id = taken.id.parse().map_err(|error| cannot(format!("{error}")))?;
    let done = protect::obey(&mut responder, id, order, now).map_err(|error| cannot(error.to_string()))?;
    say(match (done, order) {
        (Some(id), _) => format!("{id} is in force."),
        (None, OrderKind::Revert) => format!("{} is undone.", taken.id),
        (None, _) => format!("{} is not done.", taken.id),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_journal_tells_what_became_of_each_action() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds: u64| Timestamp::from_secs(1_000_000 + seconds);
        let path = protect::journal(folder.path(), Some(Family::Routed));
        let wall = Wall::Memory(MemoryFirewall::new());
        let mut responder = Responder::open(
            wall,
            Terminal { issuer: Issuer::Elsewhere },
            Family::Routed,
            Vec::new(),
            &path,
            at(0),
        )
        .unwrap();
        let quarantine = |ip: &str| Action::Quarantine { device: vec![ip.parse().unwrap()] };
        let ask = |ip: &str| Action::AskPerson { question: "Cut?".into(), then: Box::new(quarantine(ip)) };
        let mut act = |action: Action, seconds| {
            let life = Duration::from_secs(seconds);
            let request = Request { action, life, reason: "drill".into(), incident: None };
            responder.act(request, at(0)).unwrap();
        };
        for (ip, seconds) in [("10.0.0.1", 100), ("10.0.0.2", 100), ("10.0.0.3", 10), ("10.0.0.1", 200)] {
            act(quarantine(ip), seconds);
        }
        act(ask("10.0.0.4"), 100);
        act(ask("10.0.0.5"), 100);
        act(ask("10.0.0.6"), 100);
        responder.revert(quarantine("10.0.0.2").id(), at(1)).unwrap();
        responder.answer(ask("10.0.0.4").id(), true, at(1)).unwrap();
        responder.answer(ask("10.0.0.5").id(), false, at(1)).unwrap();
        let revoke = |name: &str| Action::RevokeCredential { credential: name.into(), holder: None };
        for name in ["d1", "d2", "d3"] {
            let reason = "drill".into();
            let request =
                Request { action: revoke(name), life: Duration::from_secs(100), reason, incident: None };
            responder.act(request, at(0)).unwrap();
        }
        responder.settle(revoke("d1").id(), Ok(()), at(1)).unwrap();
        responder.settle(revoke("d2").id(), Err("no".into()), at(1)).unwrap();
        let all = taken(Journal::read(&path).unwrap(), Some(Family::Routed), at(20));
        let mut told: Vec<_> = all
            .iter()
            .map(|action| {
                format!("{} {} {}", action.target, action.outcome, action.until.since(at(0)).as_secs())
            })
            .collect();
        told.sort();
        assert_eq!(
            told,
            [
                "10.0.0.1 in-force 200",
                "10.0.0.2 reverted 100",
                "10.0.0.3 expired 10",
                "10.0.0.4 answered 100",
                "10.0.0.4 in-force 101",
                "10.0.0.5 answered 100",
                "10.0.0.6 asked 100",
                "d1 revoked 100",
                "d2 failed 100",
                "d3 requested 100",
            ]
        );
    }
}
