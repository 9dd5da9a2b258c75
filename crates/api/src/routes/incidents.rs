//! Incidents.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use model::{Incident, IncidentId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Asked, Named, findings, listed, tagged};
use crate::app::App;
use crate::caller::{Caller, Where};
use crate::estate::Estate;
use crate::list::{self, Key, ListQuery, Order, Page, Selection};
use crate::problem::Problem;
use crate::view::{IncidentRow, IncidentView};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

fn orders() -> [Order<Incident>; 4] {
    [
        Order::by("severity", |incident| Key::Number(incident.severity as u64)),
        Order::by("seen", |incident| Key::Number(incident.last.as_nanos())),
        Order::by("first", |incident| Key::Number(incident.first.as_nanos())),
        Order::by("id", |incident| Key::Number(incident.id.get())),
    ]
}

/// Whoever sees one of its findings sees an incident.
fn sees(app: &App, estate: &Estate, may: &Where, incident: &Incident) -> bool {
    may.all
        || incident
            .findings
            .iter()
            .filter_map(|id| estate.finding(*id))
            .any(|finding| findings::sees(app, estate, may, finding))
}

/// List incidents
///
/// Sorted by `severity`, `seen`, `first` or `id`; `sort=-severity` gives the worst first.
#[utoipa::path(
    get, path = "/incidents", tag = "incidents", params(ListQuery),
    responses((status = 200, content((Page<IncidentRow> = "application/json"), (Page<Selection> = "application/vnd.pavise.selection+json"))), (status = 304, description = "As the entity tag says."), (status = "default", body = Problem))
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
        let sees = |incident: &Incident| sees(app, &estate, &may, incident);
        let orders = orders();
        let asked = list::Asked {
            fields: query::INCIDENT,
            orders: &orders,
            id: |incident: &Incident| incident.id.get(),
            sees: &sees,
            now: estate.now,
        };
        listed(&headers, &estate.incidents, &query, &asked, IncidentRow::FIELDS, |incident| {
            IncidentRow::of(incident, &estate)
        })
    })
    .await
}

/// Everything about one incident
///
/// Its timeline, who has a part in it, and where it is likely to go next.
#[utoipa::path(
    get, path = "/incidents/{id}", tag = "incidents", params(("id" = String, Path, description = "The incident's id.", example = "i0123456789ab")),
    responses((status = 200, body = IncidentView), (status = 304, description = "As the entity tag says."), (status = "default", body = Problem))
)]
async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let may = caller.where_may(&app, "view-incident")?;
    let estate = app.mirror.estate();
    let parsed: Option<IncidentId> = id.parse().ok();
    let incident =
        parsed.and_then(|id| estate.incident(id)).filter(|incident| sees(&app, &estate, &may, incident));
    let incident = incident
        .ok_or_else(|| Problem::not_found(format!("no incident is known as {id}: see /api/v1/incidents")))?;
    tagged(&headers, &IncidentView::of(incident, &estate))
}
