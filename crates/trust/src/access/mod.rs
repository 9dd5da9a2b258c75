//! Who may do what: policies in Cedar, checked, asked and analysed.
//!
//! The policies are text in the language Cedar, read against a schema of ours ([`SCHEMA`]). What no policy permits is
//! denied, `forbid` overrides `permit`, and a policy that cannot be evaluated denies. A request that would be allowed with a
//! fresh second factor is answered with [`Decision::StepUp`]: that is found by asking Cedar again, with a fresh one.

mod analyse;
mod scan;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet,
    RestrictedExpression, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;
use model::Access;
use serde::Serialize;

pub use analyse::{Cell, Changed, MAX_NUMBERS, Matrix, diff, matrix};
pub use scan::{MAX_DEPTH, MAX_TOKENS};

/// The schema, in Cedar's own language.
pub const SCHEMA: &str = include_str!("pavise.cedarschema");
/// The policies that hold where there are no others.
pub const DEFAULT: &str = include_str!("default.cedar");
/// What the default policies are called in messages.
pub const DEFAULT_NAME: &str = "default.cedar";

/// All texts together may have so many bytes.
pub const MAX_BYTES: usize = 256 << 10;
/// So many policies may be in them.
pub const MAX_POLICIES: usize = 512;

/// The roles that the default policies know.
pub const ROLES: [&str; 7] =
    ["viewer", "analyst", "operator", "engineer", "administrator", "auditor", GATEWAY];
/// The role of services, not of people.
pub const GATEWAY: &str = "gateway";
/// Kinds of zone.
pub const ZONE_KINDS: [&str; 4] = ["enterprise", "building", "industrial", "safety"];
/// The criticality of a device is at most this.
pub const MAX_CRITICALITY: u8 = 3;

/// What can be asked for, and the type of what it is done to.
pub const ACTIONS: [(&str, &str); 16] = [
    ("view-device", "Device"),
    ("view-incident", "Incident"),
    ("view-policy", "Policy"),
    ("view-audit-log", "Site"),
    ("export-data", "Site"),
    ("judge-finding", "Finding"),
    ("enrol-device", "Device"),
    ("change-policy", "Policy"),
    ("approve-policy", "Policy"),
    ("propose-action", "Response"),
    ("approve-action", "Response"),
    ("revert-action", "Response"),
    ("approve-firmware", "Firmware"),
    ("write-plc-register", "Device"),
    ("program-plc", "Device"),
    ("manage-users", "Site"),
];

/// Why policies cannot be used: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct AccessError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Why a request cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such action.
    #[error("there is no action {0}: see `pavise access matrix` for those that there are")]
    Action(String),
    /// It does not fit the schema.
    #[error("the request does not fit the schema: {0}")]
    Schema(String),
}

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It may be.
    Allow,
    /// It may be once the user has shown a second factor anew.
    StepUp,
    /// It may not be.
    Deny,
}

impl Decision {
    /// The name as it stands in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::StepUp => "step-up",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name.
    pub id: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether it is a program, and not a person: it has no second factor.
    pub is_service: bool,
}

/// Under which circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Circumstances {
    /// Seconds since the user has shown a second factor; nothing if that never was.
    pub mfa_age: Option<u32>,
    /// How far the device is trusted from which the request comes.
    pub posture: Access,
    /// Whether the user was never seen at that place or in that network.
    pub new_location: bool,
}

/// To what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub id: String,
    /// The kind of the zone in which it is.
    pub zone_kind: String,
    /// How bad it is if something happens to it, from 0 to [`MAX_CRITICALITY`]. Only devices have it.
    pub criticality: u8,
    /// Who proposed it. Only policies, responses and firmware have it.
    pub proposer: Option<String>,
}

/// Who asks for what under which circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who.
    pub principal: Principal,
    /// For what: one of [`ACTIONS`].
    pub action: String,
    /// To what.
    pub target: Target,
    /// How.
    pub circumstances: Circumstances,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What comes of it.
    pub decision: Decision,
    /// The policies that it comes from: those that permit, or those that forbid. None where nothing permits.
    pub policies: Vec<String>,
    /// Why, in words.
    pub explanation: String,
}

/// Policies that were read and checked.
#[derive(Clone, Debug)]
pub struct Policies {
    schema: Schema,
    set: PolicySet,
    /// The actions and their groups.
    actions: Entities,
    /// What stands behind `@because`, and whether it names individuals, by id, in the order of the ids.
    ids: BTreeMap<String, (String, bool)>,
    /// The numbers that stand in them.
    numbers: BTreeSet<i64>,
}

/// The line of a place in a text, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The error that Cedar tells, with its line.
fn told(file: &str, text: &str, error: &dyn Diagnostic) -> AccessError {
    let offset = error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
    let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
    let what = format!("{error}{help}");
    AccessError { file: file.to_owned(), line: line_of(text, offset), what }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, RequestError> {
    let kind = EntityTypeName::from_str(kind).map_err(|error| RequestError::Schema(error.to_string()))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

impl Policies {
    /// The default policies.
    pub fn built_in() -> Result<Self, AccessError> {
        Self::parse(&[(DEFAULT_NAME, DEFAULT)])
    }

    /// Reads policies from texts with their names, and checks them against the schema. A policy is called by its annotation
    /// `@id`; one without is called by its file and its number there.
    pub fn parse(texts: &[(&str, &str)]) -> Result<Self, AccessError> {
        let at = |file: &str, line: usize, what: String| AccessError { file: file.to_owned(), line, what };
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
            .map_err(|error| at("pavise.cedarschema", 1, error.to_string()))?;
        let actions =
            schema.action_entities().map_err(|error| at("pavise.cedarschema", 1, error.to_string()))?;
        let validator = Validator::new(schema.clone());
        let (mut all, mut ids, mut numbers) = (PolicySet::new(), BTreeMap::new(), BTreeSet::new());
        let mut bytes = 0_usize;
        for &(file, text) in texts {
            bytes = bytes.saturating_add(text.len());
            if bytes > MAX_BYTES {
                return Err(at(file, 1, format!("more than {MAX_BYTES} bytes of policies: leave some out")));
            }
            numbers.extend(scan::scan(text).map_err(|(offset, what)| at(file, line_of(text, offset), what))?);
            let set = PolicySet::from_str(text).map_err(|error| told(file, text, &error))?;
            if set.templates().next().is_some() {
                let slot = ["?principal", "?resource"].iter().filter_map(|slot| text.find(slot)).min();
                let what =
                    "templates are not filled in by anybody here: name the principal or resource".into();
                return Err(at(file, line_of(text, slot.unwrap_or(0)), what));
            }
            if let Some(error) = validator.validate(&set, ValidationMode::Strict).validation_errors().next() {
                return Err(told(file, text, error));
            }
            let mut policies: Vec<_> = set.policies().collect();
            // Cedar numbers them as they stand in the text.
            let number =
                |policy: &Policy| policy.id().to_string().trim_start_matches("policy").parse::<usize>();
            policies.sort_by_key(|policy| number(policy).unwrap_or(usize::MAX));
            for (number, policy) in policies.into_iter().enumerate() {
                let id = policy.annotation("id").filter(|id| !id.is_empty());
                let id = id.map_or_else(|| format!("{file}#{}", number + 1), str::to_owned);
                let because = policy.annotation("because").unwrap_or_default().to_owned();
                let line = text.rfind(&format!("@id(\"{id}\")")).map_or(1, |offset| line_of(text, offset));
                if ids.contains_key(&id) {
                    return Err(at(file, line, format!("there are two policies {id}: name one anew")));
                }
                if ids.len() >= MAX_POLICIES {
                    return Err(at(
                        file,
                        line,
                        format!("more than {MAX_POLICIES} policies: put some together"),
                    ));
                }
                let kinds = ["Role", "ZoneKind", "Action"];
                let literals = policy.entity_literals();
                let is_kind = |uid: &EntityUid| kinds.contains(&uid.type_name().to_string().as_str());
                let names_individuals = !literals.iter().all(is_kind);
                all.add(policy.new_id(PolicyId::new(&id)))
                    .map_err(|error| at(file, line, error.to_string()))?;
                ids.insert(id, (because, names_individuals));
            }
        }
        Ok(Self { schema, set: all, actions, ids, numbers })
    }

    /// The ids of the policies.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(String::as_str)
    }

    /// What stands behind the annotation `@because` of a policy.
    pub fn because(&self, id: &str) -> Option<&str> {
        self.ids.get(id).map(|(because, _)| because.as_str()).filter(|because| !because.is_empty())
    }

    /// Decides about a request.
    pub fn decide(&self, request: &Request) -> Result<Answer, RequestError> {
        let entities = self.entities(&request.principal, &request.action, &request.target)?;
        let mut told = self.ask(&self.set, &entities, request)?;
        if told.is_allowed {
            let explanation = self.words("allowed", &told.policies);
            return Ok(Answer { decision: Decision::Allow, policies: told.policies, explanation });
        }
        if !request.principal.is_service && request.circumstances.mfa_age != Some(0) {
            let circumstances = Circumstances { mfa_age: Some(0), ..request.circumstances };
            let fresh = self.ask(&self.set, &entities, &Request { circumstances, ..request.clone() })?;
            if fresh.is_allowed {
                let explanation = self.words("allowed once a second factor is shown anew", &told.policies);
                return Ok(Answer { decision: Decision::StepUp, policies: told.policies, explanation });
            }
            // Only what a second factor would not change is why.
            if !fresh.policies.is_empty() {
                told = fresh;
            }
        }
        let explanation = match (&*told.errors, &*told.policies) {
            ([error, ..], _) => format!("denied: a policy cannot be evaluated: {error}"),
            (_, []) => format!("denied: no policy permits {} to do that", named(&request.principal)),
            _ => self.words("denied", &told.policies),
        };
        Ok(Answer { decision: Decision::Deny, policies: told.policies, explanation })
    }

    fn words(&self, what: &str, policies: &[String]) -> String {
        let reasons: Vec<_> = policies
            .iter()
            .map(|id| self.because(id).map_or_else(|| id.clone(), |because| format!("{because} ({id})")))
            .collect();
        format!("{what}: {}", reasons.join("; "))
    }

    /// Everything that a request names.
    fn entities(&self, who: &Principal, action: &str, target: &Target) -> Result<Entities, RequestError> {
        let wrong = |error: &dyn fmt::Display| RequestError::Schema(error.to_string());
        let roles =
            who.roles.iter().map(|role| uid("Role", role)).collect::<Result<HashSet<_>, RequestError>>()?;
        let zone = uid("Zone", &target.zone_kind)?;
        let kind = uid("ZoneKind", &target.zone_kind)?;
        let resource = resource(action, target)?;
        let (mut attributes, mut parents) = (HashMap::new(), HashSet::from([zone.clone()]));
        match kind_of(action)? {
            "Device" => {
                let criticality =
                    RestrictedExpression::new_long(target.criticality.min(MAX_CRITICALITY).into());
                attributes.insert("criticality".to_owned(), criticality);
            }
            "Policy" | "Response" | "Firmware" => {
                if let Some(proposer) = &target.proposer {
                    let proposer = RestrictedExpression::new_entity_uid(uid("User", proposer)?);
                    attributes.insert("proposer".to_owned(), proposer);
                }
            }
            "Site" => parents.clear(),
            _ => {}
        }
        let all = [
            Entity::new_no_attrs(principal(who)?, roles),
            Entity::new_no_attrs(zone, HashSet::from([kind])),
            Entity::new(resource, attributes, parents).map_err(|error| wrong(&error))?,
        ];
        self.actions.clone().add_entities(all, None).map_err(|error| wrong(&error))
    }

    fn ask(&self, set: &PolicySet, entities: &Entities, request: &Request) -> Result<Told, RequestError> {
        let wrong = |error: &dyn fmt::Display| RequestError::Schema(error.to_string());
        let Circumstances { mfa_age, posture, new_location } = request.circumstances;
        let context = [
            ("mfa_age".to_owned(), RestrictedExpression::new_long(mfa_age.unwrap_or(u32::MAX).into())),
            ("posture".to_owned(), RestrictedExpression::new_string(posture.name().to_owned())),
            ("new_location".to_owned(), RestrictedExpression::new_bool(new_location)),
        ];
        let context = Context::from_pairs(context).map_err(|error| wrong(&error))?;
        let (who, whom) = (principal(&request.principal)?, resource(&request.action, &request.target)?);
        let action = uid("Action", &request.action)?;
        let asked = cedar_policy::Request::new(who, action, whom, context, Some(&self.schema))
            .map_err(|error| wrong(&error))?;
        let response = Authorizer::new().is_authorized(&asked, set, entities);
        let mut policies: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
        policies.sort();
        let mut errors: Vec<_> = response.diagnostics().errors().map(ToString::to_string).collect();
        errors.sort();
        // A policy that cannot be evaluated may be one that forbids.
        let is_allowed = response.decision() == cedar_policy::Decision::Allow && errors.is_empty();
        Ok(Told { is_allowed, policies, errors })
    }
}

/// What Cedar says.
struct Told {
    is_allowed: bool,
    policies: Vec<String>,
    errors: Vec<String>,
}

fn kind_of(action: &str) -> Result<&'static str, RequestError> {
    let known = ACTIONS.iter().find(|(name, _)| *name == action);
    known.map(|(_, kind)| *kind).ok_or_else(|| RequestError::Action(action.to_owned()))
}

fn principal(who: &Principal) -> Result<EntityUid, RequestError> {
    uid(if who.is_service { "Service" } else { "User" }, &who.id)
}

fn resource(action: &str, target: &Target) -> Result<EntityUid, RequestError> {
    uid(kind_of(action)?, &target.id)
}

fn named(who: &Principal) -> String {
    match &*who.roles {
        [] => format!("{}, who has no role,", who.id),
        roles => roles.join(" and "),
    }
}

#[cfg(test)]
mod tests;
