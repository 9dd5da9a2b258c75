//! Who did what.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::{AuditEntry, AuditLog};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Asked;
use crate::app::App;
use crate::caller::{Caller, Of};
use crate::list::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::problem::Problem;

/// So many entries are looked at for one page.
const LOOKED_AT: usize = 50_000;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What is asked of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only of this user.
    #[param(max_length = 64)]
    pub who: Option<String>,
    /// Only of this kind: `sign-in`, `verdict-given`.
    #[param(max_length = 64)]
    pub what: Option<String>,
    /// Only with this outcome: `done`, `denied` or `failed`.
    #[param(max_length = 16)]
    pub outcome: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<usize>,
    /// Only those before this number: `next` of the page before.
    #[param(minimum = 1)]
    pub before: Option<u64>,
}

/// What somebody did, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct EntryView {
    /// Its number.
    pub number: u64,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who.
    pub who: String,
    /// By which session or token.
    pub by: String,
    /// From where.
    pub from: String,
    /// What.
    pub what: String,
    /// To what.
    pub to: String,
    /// What came of it.
    pub outcome: String,
    /// How it was before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<String>,
    /// How it is now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

impl From<(u64, AuditEntry)> for EntryView {
    fn from((number, entry): (u64, AuditEntry)) -> Self {
        Self {
            number,
            at: entry.at.to_string(),
            who: entry.who,
            by: entry.by,
            from: entry.from,
            what: entry.what,
            to: entry.to,
            outcome: entry.outcome,
            before: entry.before,
            after: entry.after,
            why: entry.why,
        }
    }
}

/// A page of the log, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditPage {
    /// The entries.
    pub items: Vec<EntryView>,
    /// Where to go on: `before` of the next page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<u64>,
}

/// Who did what, the latest first
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditQuery), responses((status = 200, body = AuditPage), (status = "default", body = Problem)))]
async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    caller.may(&app, "view-audit-log", &Of { id: "audit", zone: None, proposer: None })?;
    let limit = match query.limit {
        None => LIMIT_DEFAULT,
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => limit,
        Some(limit) => {
            return Err(Problem::parameter(format!("{limit} is not between 1 and {LIMIT_MAX}")).at("limit"));
        }
    };
    app.beside(move |app| {
        let Some(log) = AuditLog::open(app.mirror.folder())? else {
            return Ok(Json(AuditPage { items: Vec::new(), next: None }));
        };
        let is =
            |wanted: &Option<String>, field: &str| wanted.as_deref().is_none_or(|wanted| wanted == field);
        let mut matches = |entry: &AuditEntry| {
            is(&query.who, &entry.who) && is(&query.what, &entry.what) && is(&query.outcome, &entry.outcome)
        };
        let (found, next) = log.latest(query.before, limit, LOOKED_AT, &mut matches)?;
        Ok(Json(AuditPage { items: found.into_iter().map(Into::into).collect(), next }))
    })
    .await
}
