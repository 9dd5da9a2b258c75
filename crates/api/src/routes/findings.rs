//! Findings, their evidence, and what analysts say of them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use model::{Finding, FindingId, Judgement, Slice};
use serde::{Deserialize, Serialize};
use store::{AuditEntry, Sqlite, Store};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Asked, Body, Named, listed, not_there, tagged};
use crate::app::App;
use crate::caller::{Caller, Of, Where};
use crate::estate::Estate;
use crate::list::{self, Key, ListQuery, Order, Page, Selection};
use crate::problem::Problem;
use crate::view::{FindingRow, FindingView, ScopeView, VerdictView};

/// A reason has at most so many characters.
const REASON_MAX: usize = 2_000;
/// So many findings are judged at once at most.
const BULK_MAX: usize = 500;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(evidence))
        .routes(routes!(judge, unjudge))
        .routes(routes!(judge_many))
}

/// Orders of findings; the first is the usual one.
fn orders() -> [Order<Finding>; 5] {
    [
        Order::by("severity", |finding| Key::Number(finding.severity as u64)),
        Order::by("seen", |finding| Key::Number(finding.last.as_nanos())),
        Order::by("raised", |finding| Key::Number(finding.raised.as_nanos())),
        Order::by("count", |finding| Key::Number(finding.count)),
        Order::by("id", |finding| Key::Number(finding.id.get())),
    ]
}

/// The zone of a finding: that of its victim, or else of its actor.
fn zone_of<'a>(app: &'a App, estate: &Estate, finding: &Finding) -> Option<&'a str> {
    let device = |party: Option<&model::Party>| estate.device(party?.device?);
    let victim = device(finding.victim.as_ref()).and_then(|device| app.zone_of(device));
    victim.or_else(|| device(Some(&finding.actor)).and_then(|device| app.zone_of(device)))
}

/// Whether somebody who sees some zones sees a finding.
pub(super) fn sees(app: &App, estate: &Estate, may: &Where, finding: &Finding) -> bool {
    may.all || may.holds(zone_of(app, estate, finding))
}

/// List findings
///
/// Sorted by `severity`, `seen`, `raised`, `count` or `id`; `-severity,` first unless told otherwise is the worst first:
/// use `sort=-severity`.
#[utoipa::path(
    get, path = "/findings", tag = "findings", params(ListQuery),
    responses((status = 200, content((Page<FindingRow> = "application/json"), (Page<Selection> = "application/vnd.pavise.selection+json"))), (status = 304, description = "As the entity tag says."), (status = "default", body = Problem))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Asked(query): Asked<ListQuery>,
) -> Result<Response, Problem> {
    let may = caller.where_may(&app, "view-incident")?;
    app.beside(move |app| {
        let estate = app.mirror.estate();
        let sees = |finding: &Finding| sees(app, &estate, &may, finding);
        let orders = orders();
        let asked = list::Asked {
            fields: query::FINDING,
            orders: &orders,
            id: |finding: &Finding| finding.id.get(),
            sees: &sees,
            now: estate.now,
        };
        listed(&headers, &estate.findings, &query, &asked, FindingRow::FIELDS, |finding| {
            FindingRow::of(finding, &estate)
        })
    })
    .await
}

/// The finding that is named, if whoever asks may do something with it; what he may not see is not there for him.
fn named<'a>(
    app: &App,
    caller: &Caller,
    estate: &'a Estate,
    id: &str,
    action: &str,
) -> Result<&'a Arc<Finding>, Problem> {
    let missing = || Problem::not_found(format!("no finding is known as {id}: see /api/v1/findings"));
    let parsed: FindingId = id.parse().map_err(|_| missing())?;
    let finding = estate.finding(parsed).ok_or_else(missing)?;
    let of = Of { id, zone: zone_of(app, estate, finding), proposer: None };
    caller.may(app, "view-incident", &of).map_err(|refused| not_there(refused, missing))?;
    if action != "view-incident" {
        caller.may(app, action, &of)?;
    }
    Ok(finding)
}

/// Everything about one finding
///
/// What happened, why it matters, what to do, which techniques it shows.
#[utoipa::path(
    get, path = "/findings/{id}", tag = "findings", params(("id" = String, Path, description = "The finding's id.", example = "f0123456789ab")),
    responses((status = 200, body = FindingView), (status = 304, description = "As the entity tag says."), (status = "default", body = Problem))
)]
async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let estate = app.mirror.estate();
    let finding = named(&app, &caller, &estate, &id, "view-incident")?;
    tagged(&headers, &FindingView::of(finding, &estate))
}

/// The packets that show a finding
///
/// A capture (pcapng). Packets hold what people and processes said: that they were read is written down.
#[utoipa::path(
    get, path = "/findings/{id}/evidence", tag = "findings", params(("id" = String, Path, description = "The finding's id.")),
    responses((status = 200, description = "The capture.", body = Vec<u8>, content_type = "application/vnd.tcpdump.pcap"), (status = "default", body = Problem))
)]
async fn evidence(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let estate = app.mirror.estate();
    let finding = named(&app, &caller, &estate, &id, "view-incident")?;
    match &finding.evidence {
        Slice::Kept { .. } => {}
        Slice::Open => {
            return Err(Problem::not_found(format!("the packets of {id} are still being gathered")));
        }
        Slice::Missing { reason } => {
            return Err(Problem::not_found(format!("the packets of {id} were not kept: {reason}")));
        }
    }
    let path = store::evidence_path(app.mirror.folder(), finding.id);
    let entry =
        AuditEntry { what: "evidence-read".into(), to: id.clone(), outcome: "done".into(), ..caller.entry() };
    let bytes = app
        .beside(move |app| {
            app.note(entry)?;
            std::fs::read(&path)
                .map_err(|_| Problem::not_found("the packets are no longer kept: newer ones took their room"))
        })
        .await?;
    let name = format!("attachment; filename=\"{id}.pcapng\"");
    Ok((
        [
            (header::CONTENT_TYPE, "application/vnd.tcpdump.pcap".to_owned()),
            (header::CONTENT_DISPOSITION, name),
        ],
        bytes,
    )
        .into_response())
}

/// What is said of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verdict {
    /// The verdict.
    pub verdict: VerdictView,
    /// For what it holds.
    #[serde(default)]
    pub scope: ScopeView,
    /// Why.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub reason: String,
}

impl Verdict {
    fn judgement(&self) -> Result<Judgement, Problem> {
        if self.reason.chars().count() > REASON_MAX {
            return Err(Problem::body(format!("a reason has at most {REASON_MAX} characters")).at("/reason"));
        }
        Ok(Judgement {
            verdict: self.verdict.into(),
            scope: self.scope.into(),
            reason: self.reason.as_str().into(),
            by: None,
            declared: false,
        })
    }
}

fn told(judgement: Option<&Judgement>) -> Option<String> {
    judgement.map(|said| format!("{} for the {}", said.verdict, said.scope.name()))
}

/// Keeps a verdict, or that it was taken back, after it was written down.
fn keep(app: &App, caller: &Caller, finding: &Finding, said: Option<&Judgement>) -> Result<(), Problem> {
    app.note(AuditEntry {
        what: if said.is_some() { "verdict-given" } else { "verdict-taken-back" }.into(),
        to: finding.id.to_string(),
        outcome: "done".into(),
        before: told(finding.judgement.as_ref()),
        after: told(said),
        why: said.map(|said| said.reason.to_string()).filter(|why| !why.is_empty()),
        ..caller.entry()
    })?;
    Sqlite::open_to_judge(app.mirror.folder())?.judge(finding.id, said.cloned())?;
    Ok(())
}

/// Say what you think of a finding
///
/// A watch that is under way hears of it within a second.
#[utoipa::path(
    put, path = "/findings/{id}/verdict", tag = "findings", request_body = Verdict,
    params(("id" = String, Path, description = "The finding's id.")),
    responses((status = 200, body = FindingView), (status = "default", body = Problem))
)]
async fn judge(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<String>,
    Body(verdict): Body<Verdict>,
) -> Result<Response, Problem> {
    let judgement = verdict.judgement()?;
    change(app, caller, headers, id, Some(judgement)).await
}

/// Take a verdict back
#[utoipa::path(
    delete, path = "/findings/{id}/verdict", tag = "findings", params(("id" = String, Path, description = "The finding's id.")),
    responses((status = 200, body = FindingView), (status = "default", body = Problem))
)]
async fn unjudge(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    change(app, caller, headers, id, None).await
}

async fn change(
    app: Arc<App>,
    caller: Caller,
    headers: HeaderMap,
    id: String,
    said: Option<Judgement>,
) -> Result<Response, Problem> {
    app.beside(move |app| {
        let estate = app.mirror.estate();
        let finding = named(app, &caller, &estate, &id, "judge-finding")?;
        keep(app, &caller, finding, said.as_ref())?;
        app.refresh()?;
        let estate = app.mirror.estate();
        let finding =
            estate.finding(finding.id).ok_or_else(|| Problem::not_found(format!("{id} is gone")))?;
        tagged(&headers, &FindingView::of(finding, &estate))
    })
    .await
}

/// One verdict on several findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verdicts {
    /// Their ids.
    #[schema(min_items = 1, max_items = 500)]
    pub findings: Vec<String>,
    /// The verdict.
    pub verdict: VerdictView,
    /// For what it holds.
    #[serde(default)]
    pub scope: ScopeView,
    /// Why.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub reason: String,
}

/// What came of a verdict on several findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Judged {
    /// How many were judged.
    pub judged: usize,
    /// Those that were not, and why.
    pub refused: Vec<Refused>,
}

/// A finding that was not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Refused {
    /// Its id.
    pub id: String,
    /// Why not.
    pub detail: String,
}

/// Say what you think of several findings
#[utoipa::path(
    post, path = "/findings/verdicts", tag = "findings", request_body = Verdicts,
    responses((status = 200, body = Judged), (status = "default", body = Problem))
)]
async fn judge_many(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(verdicts): Body<Verdicts>,
) -> Result<axum::Json<Judged>, Problem> {
    let Verdicts { findings, verdict, scope, reason } = verdicts;
    let judgement = Verdict { verdict, scope, reason }.judgement()?;
    if findings.is_empty() || findings.len() > BULK_MAX {
        return Err(Problem::body(format!("name 1 to {BULK_MAX} findings")).at("/findings"));
    }
    app.beside(move |app| {
        let estate = app.mirror.estate();
        let mut out = Judged { judged: 0, refused: Vec::new() };
        for id in findings {
            let judged = named(app, &caller, &estate, &id, "judge-finding")
                .and_then(|finding| keep(app, &caller, finding, Some(&judgement)));
            match judged {
                Ok(()) => out.judged += 1,
                Err(problem) => out.refused.push(Refused { id, detail: problem.detail }),
            }
        }
        app.refresh()?;
        Ok(axum::Json(out))
    })
    .await
}
