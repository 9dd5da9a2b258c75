//! Numbers for Prometheus, and how it stands with those who are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::{Locality, Timestamp};
use serde::{Deserialize, Serialize};
use tell::{Outbox, metrics};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, now};
use crate::caller::Caller;
use crate::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(numbers)).routes(routes!(outbox))
}

fn receivers(app: &App) -> Result<Vec<tell::Status>, Problem> {
    let failed = |_| Problem::internal("the outbox cannot be read; `pavise outbox` says why");
    match Outbox::find(app.mirror.folder()).map_err(failed)? {
        Some(outbox) => outbox.status().map_err(failed),
        None => Ok(Vec::new()),
    }
}

/// Numbers for Prometheus
///
/// In the text exposition format 0.0.4. They are of the whole place: whoever asks must see all of it.
#[utoipa::path(get, path = "/metrics", tag = "place", responses((status = 200, description = "The numbers.", body = String, content_type = "text/plain"), (status = "default", body = Problem)))]
async fn numbers(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    whole(&app, &caller)?;
    app.beside(|app| {
        let estate = app.mirror.estate();
        let sum = |of: fn(&store::SourceState) -> u64| estate.sources.iter().map(of).sum();
        let mut devices: BTreeMap<String, u64> =
            model::Access::ALL.map(|access| (access.name().to_owned(), 0)).into();
        for device in estate.devices.iter().filter(|device| device.locality != Locality::External) {
            *devices.entry(device.access.name().to_owned()).or_default() += 1;
        }
        let open = || estate.findings.iter().filter(|finding| !finding.is_silenced());
        let mut findings = BTreeMap::new();
        for finding in open() {
            *findings.entry((finding.severity, finding.detector.to_string())).or_default() += 1;
        }
        let mut incidents = BTreeMap::new();
        let goes_on = |incident: &&Arc<model::Incident>| {
            incident
                .findings
                .iter()
                .any(|id| estate.finding(*id).is_some_and(|finding| !finding.is_silenced()))
        };
        for incident in estate.incidents.iter().filter(goes_on) {
            *incidents.entry(incident.severity).or_default() += 1;
        }
        let told = metrics::write(&metrics::Numbers {
            version: env!("CARGO_PKG_VERSION").into(),
            packets: sum(|source| source.packets),
            bytes: sum(|source| source.bytes),
            dropped: sum(|source| source.dropped),
            latest: Some(estate.now).filter(|latest| *latest > Timestamp::EPOCH),
            devices,
            findings,
            incidents,
            limits: estate.shed.iter().map(|(limit, totals)| (limit.clone(), totals.count)).collect(),
            receivers: receivers(app)?,
            now: now(),
        });
        Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], told).into_response())
    })
    .await
}

/// Refuses who does not see the whole place.
fn whole(app: &App, caller: &Caller) -> Result<(), Problem> {
    let sees = [caller.where_may(app, "view-device")?, caller.where_may(app, "view-incident")?];
    if sees.iter().all(|may| may.all) {
        return Ok(());
    }
    Err(Problem::forbidden("these are numbers of the whole place, and you see some zones of it"))
}

/// How it stands with somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReceiverView {
    /// Its key in the settings.
    pub receiver: String,
    /// Where it is, without secrets.
    pub name: String,
    /// How many messages wait.
    pub waiting: u64,
    /// Since when the oldest of them waits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(format = DateTime)]
    pub oldest: Option<String>,
    /// Why the latest could not be delivered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// How many messages it was told in all.
    pub delivered: u64,
    /// How many were given up for their age or for want of room.
    pub given_up: u64,
}

impl From<tell::Status> for ReceiverView {
    fn from(status: tell::Status) -> Self {
        Self {
            receiver: status.receiver,
            name: status.name,
            waiting: status.waiting,
            oldest: status.oldest.map(|oldest| oldest.to_string()),
            delivered: status.delivered,
            given_up: status.given_up,
            error: status.last_error,
        }
    }
}

/// How it stands with those who are told
#[utoipa::path(get, path = "/outbox", tag = "place", responses((status = 200, body = Vec<ReceiverView>), (status = "default", body = Problem)))]
async fn outbox(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Vec<ReceiverView>>, Problem> {
    whole(&app, &caller)?;
    app.beside(|app| Ok(Json(receivers(app)?.into_iter().map(Into::into).collect()))).await
}
