//! What policies come to: who may do what, how two sets of them differ, and which of them never matter. All of it is found
//! by asking for everything that can be asked for.
//!
//! That is every role, alone and with one other, with every action, kind of zone, criticality, trust in the device that asks, place, whether the
//! proposal is one's own, and every age of the second factor that can make a difference: policies can only compare it
//! with numbers that stand in them, so each of those, one less and one more are all there is to ask.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Effect, PolicySet};
use serde::Serialize;

use super::{
    ACTIONS, Access, AccessError, Circumstances, Decision, GATEWAY, MAX_CRITICALITY, Policies, Principal,
    ROLES, Request, RequestError, Target, Told, ZONE_KINDS,
};

/// So many different numbers may stand in policies that are to be analysed.
pub const MAX_NUMBERS: usize = 32;

/// A place in the matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The role.
    pub role: &'static str,
    /// The action.
    pub action: &'static str,
    /// The kind of zone.
    pub zone: &'static str,
    /// What comes of it where nothing is unusual but that the last second factor is long ago: `step-up` where a
    /// fresh one is needed.
    pub decision: Decision,
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// By role, action and kind of zone.
    pub cells: Vec<Cell>,
    /// Policies that never matter: without one of them every decision would be the same. Those that name individuals are
    /// not looked at.
    pub idle: Vec<String>,
}

/// What differs between two sets of policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The role, or two with `+` between them where neither tells the difference alone.
    pub role: String,
    /// The action.
    pub action: &'static str,
    /// The kind of zone.
    pub zone: &'static str,
    /// What came of it.
    pub before: Decision,
    /// What comes of it.
    pub after: Decision,
    /// Under how many of all circumstances that is so.
    pub cases: usize,
    /// The first of them.
    pub circumstances: Circumstances,
    /// The criticality of the device in it.
    pub criticality: u8,
    /// Whether it is about one's own proposal in it.
    pub own: bool,
}

/// A role, and another one that is played with it.
type Roles = (&'static str, Option<&'static str>);

/// A request, as far as it is told apart: roles, action, kind of zone, criticality, and whether it is one's own proposal.
type Point = (Roles, &'static str, &'static str, u8, bool);

const WHO: &str = "somebody";

fn request(((role, other), action, zone, criticality, own): Point, circumstances: Circumstances) -> Request {
    let proposer = if own { WHO } else { "somebody else" };
    Request {
        principal: Principal {
            id: WHO.into(),
            roles: [role].into_iter().chain(other).map(Into::into).collect(),
            is_service: role == GATEWAY,
        },
        action: action.into(),
        target: Target {
            id: "something".into(),
            zone_kind: zone.into(),
            criticality,
            proposer: Some(proposer.into()),
        },
        circumstances,
    }
}

/// Everything that can be asked for, but for the circumstances.
fn points() -> Vec<Point> {
    let mut points = Vec::new();
    let people: Vec<_> = ROLES.into_iter().filter(|role| *role != GATEWAY).collect();
    let pairs = people
        .iter()
        .enumerate()
        .flat_map(|(at, one)| people.iter().skip(at + 1).map(|other| (*one, Some(*other))));
    for roles in ROLES.into_iter().map(|role| (role, None)).chain(pairs) {
        for (action, kind) in ACTIONS {
            for zone in ZONE_KINDS {
                let levels = if kind == "Device" { MAX_CRITICALITY } else { 0 };
                let is_proposed = matches!(kind, "Policy" | "Response" | "Firmware") && roles.0 != GATEWAY;
                for criticality in 0..=levels {
                    points.push((roles, action, zone, criticality, false));
                    if is_proposed {
                        points.push((roles, action, zone, criticality, true));
                    }
                }
            }
        }
    }
    points
}

/// All circumstances between which policies with these numbers can tell; for every trust and place, that with a fresh second
/// factor comes first.
fn circumstances(numbers: &BTreeSet<i64>) -> Result<Vec<Circumstances>, AccessError> {
    if numbers.len() > MAX_NUMBERS {
        let what = format!("more than {MAX_NUMBERS} different numbers: too many circumstances to look at");
        return Err(AccessError { file: "policies".into(), line: 1, what });
    }
    let near = numbers.iter().flat_map(|number| [-1, 0, 1].map(|step| number.saturating_add(step)));
    let mut ages: BTreeSet<u32> = near.filter_map(|age| u32::try_from(age).ok()).collect();
    ages.insert(0);
    ages.remove(&u32::MAX);
    let ages: Vec<_> = ages.into_iter().map(Some).chain([None]).collect();
    let mut all = Vec::new();
    for posture in Access::ALL {
        for new_location in [false, true] {
            all.extend(ages.iter().map(|age| Circumstances { mfa_age: *age, posture, new_location }));
        }
    }
    Ok(all)
}

/// Policies, parted into those that permit and those that forbid.
struct Parted<'a> {
    policies: &'a Policies,
    permits: PolicySet,
    forbids: PolicySet,
    /// Whether what permits looks at the circumstances at all.
    permits_vary: bool,
}

/// Which policies hold, and what comes of it.
struct Outcome {
    permits: Vec<String>,
    forbids: Vec<String>,
    decision: Decision,
}

fn unusable(error: &RequestError) -> AccessError {
    AccessError { file: "policies".into(), line: 1, what: error.to_string() }
}

impl<'a> Parted<'a> {
    fn new(policies: &'a Policies) -> Result<Self, AccessError> {
        let of = |effect: Effect| {
            let chosen = policies.set.policies().filter(|policy| policy.effect() == effect).cloned();
            PolicySet::from_policies(chosen).map_err(|error| AccessError {
                file: "policies".into(),
                line: 1,
                what: error.to_string(),
            })
        };
        let (permits, forbids) = (of(Effect::Permit)?, of(Effect::Forbid)?);
        let permits_vary = permits.policies().any(|policy| policy.to_string().contains("context"));
        Ok(Self { policies, permits, forbids, permits_vary })
    }

    /// What comes of a request under each of the circumstances.
    fn outcomes(&self, point: Point, all: &[Circumstances]) -> Result<Vec<Outcome>, RequestError> {
        let first = request(point, all.first().copied().unwrap_or(USUAL));
        let entities = self.policies.entities(&first.principal, &first.action, &first.target)?;
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(all.len());
        let mut fresh = false;
        let mut permits = self.policies.ask(&self.permits, &entities, &first)?;
        for now in all {
            let asked = Request { circumstances: *now, ..first.clone() };
            if self.permits_vary {
                permits = self.policies.ask(&self.permits, &entities, &asked)?;
            }
            // Where nothing permits, what forbids makes no difference.
            let forbids = match permits.is_allowed {
                true => self.policies.ask(&self.forbids, &entities, &asked)?,
                false => Told { is_allowed: false, policies: Vec::new(), errors: Vec::new() },
            };
            let errs = !permits.errors.is_empty() || !forbids.errors.is_empty();
            let is_allowed = permits.is_allowed && forbids.policies.is_empty() && !errs;
            if now.mfa_age == Some(0) {
                fresh = is_allowed && !first.principal.is_service;
            }
            let decision = match (is_allowed, fresh) {
                (true, _) => Decision::Allow,
                (false, true) => Decision::StepUp,
                (false, false) => Decision::Deny,
            };
            outcomes.push(Outcome { permits: permits.policies.clone(), forbids: forbids.policies, decision });
        }
        Ok(outcomes)
    }
}

/// Nothing is unusual, but the last second factor is long ago.
const USUAL: Circumstances = Circumstances { mfa_age: None, posture: Access::Full, new_location: false };

/// Who may do what, and which policies never matter.
pub fn matrix(policies: &Policies) -> Result<Matrix, AccessError> {
    let parted = Parted::new(policies)?;
    let all = circumstances(&policies.numbers)?;
    let (mut cells, mut matters) = (Vec::new(), BTreeSet::new());
    for point in points() {
        let outcomes = parted.outcomes(point, &all).map_err(|error| unusable(&error))?;
        let ((role, other), action, zone, criticality, own) = point;
        for (now, outcome) in all.iter().zip(outcomes) {
            if *now == USUAL && other.is_none() && criticality == 0 && !own {
                cells.push(Cell { role, action, zone, decision: outcome.decision });
            }
            // What holds alone on its side decides, unless what it speaks against does not hold at all.
            match (&*outcome.permits, &*outcome.forbids) {
                ([only], []) => _ = matters.insert(only.clone()),
                ([_, ..], [only]) => _ = matters.insert(only.clone()),
                _ => {}
            }
        }
    }
    let idle = policies
        .ids
        .iter()
        .filter(|(id, (_, names_individuals))| !names_individuals && !matters.contains(*id));
    Ok(Matrix { cells, idle: idle.map(|(id, _)| id.clone()).collect() })
}

/// What differs between two sets of policies: by role, action, kind of zone, and what came and comes of it.
pub fn diff(before: &Policies, after: &Policies) -> Result<Vec<Changed>, AccessError> {
    let numbers = before.numbers.union(&after.numbers).copied().collect();
    let all = circumstances(&numbers)?;
    let parted = [Parted::new(before)?, Parted::new(after)?];
    let mut changed = BTreeMap::new();
    for (number, point) in points().into_iter().enumerate() {
        let [was, is] = [&parted[0], &parted[1]].map(|parted| parted.outcomes(point, &all));
        let (was, is) = (was.map_err(|error| unusable(&error))?, is.map_err(|error| unusable(&error))?);
        let ((role, other), action, zone, criticality, own) = point;
        for (now, (was, is)) in all.iter().zip(was.iter().zip(&is)) {
            let (before, after) = (was.decision, is.decision);
            if before == after {
                continue;
            }
            // Roles alone come first. What one of them tells is not told again of both.
            let is_told = |role| changed.contains_key(&((role, None), action, zone, before, after));
            if other.is_some_and(|other| is_told(role) || is_told(other)) {
                continue;
            }
            let place = changed.entry(((role, other), action, zone, before, after)).or_insert_with(|| {
                let first = Changed {
                    role: other.map_or_else(|| role.to_owned(), |other| format!("{role}+{other}")),
                    action,
                    zone,
                    before,
                    after,
                    cases: 0,
                    circumstances: *now,
                    criticality,
                    own,
                };
                (number, first)
            });
            place.1.cases += 1;
        }
    }
    let mut changed: Vec<_> = changed.into_values().collect();
    changed.sort_by_key(|(number, _)| *number);
    Ok(changed.into_iter().map(|(_, changed)| changed).collect())
}
