//! Conversations.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use model::{Device, FlowRecord, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{FlowPlace, FlowScan, Store};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Asked, devices, tagged_page};
use crate::app::App;
use crate::caller::Caller;
use crate::list::{self, LIMIT_DEFAULT, LIMIT_MAX, ListQuery, Selection};
use crate::problem::Problem;
use crate::view::FlowView;

/// So many conversations are looked at for one page; a page that holds fewer than were asked for may still have a next one.
const LOOKED_AT: u64 = 200_000;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What is asked of conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FlowQuery {
    /// An expression: `protocol:modbus and bytes>1MB`. Fields are listed at `/api/v1/fields`.
    #[param(max_length = 4096, example = "protocol:modbus")]
    pub filter: Option<String>,
    /// Only those of this device.
    #[param(max_length = 13)]
    pub device: Option<String>,
    /// Only those that were active at or after this moment (RFC 3339).
    #[param(max_length = 40, example = "2026-03-02T08:00:00Z")]
    pub since: Option<String>,
    /// Only those that began at or before this moment (RFC 3339).
    #[param(max_length = 40)]
    pub until: Option<String>,
    /// The fields that are wanted, separated by commas; all unless given.
    #[param(max_length = 1024)]
    pub fields: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    #[param(max_length = 2048)]
    pub cursor: Option<String>,
}

/// A page of conversations, the latest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowPage<T> {
    /// The conversations.
    pub items: Vec<T>,
    /// Where to go on; absent when there are no more. A page may be empty and still have a next one: so many conversations are
    /// looked at for a page at most.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
    /// How many conversations were looked at.
    pub looked_at: u64,
}

/// A place, as a cursor tells it.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    s: u64,
    r: u32,
}

fn moment(text: Option<&str>, parameter: &str) -> Result<Option<Timestamp>, Problem> {
    let read = |text: &str| {
        serde_json::from_value(Value::String(text.to_owned())).map_err(|_| {
            Problem::parameter(format!("{text:?} is no moment such as 2026-03-02T08:00:00Z")).at(parameter)
        })
    };
    text.map(read).transpose()
}

/// Whether a device has a part in a conversation.
fn is_of(device: &Device, flow: &FlowRecord) -> bool {
    [&flow.head.client, &flow.head.server].iter().any(|end| match end.host.mac {
        Some(mac) if !device.macs.is_empty() => device.macs.contains(&mac),
        _ => end.host.ip.is_some_and(|ip| device.addresses.iter().any(|known| known.ip == ip)),
    })
}

/// List conversations, the latest first
#[utoipa::path(
    get, path = "/flows", tag = "flows", params(FlowQuery),
    responses((status = 200, content((FlowPage<FlowView> = "application/json"), (FlowPage<Selection> = "application/vnd.pavise.selection+json"))), (status = 304, description = "As the entity tag says."), (status = "default", body = Problem))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Asked(query): Asked<FlowQuery>,
) -> Result<Response, Problem> {
    let may = caller.where_may(&app, "view-device")?;
    let estate = app.mirror.estate();
    let device = match &query.device {
        Some(id) => Some(Arc::clone(devices::seen(&app, &caller, &estate, id)?)),
        // Who is in which zone is not known of a conversation as it is kept.
        None if !may.all => {
            return Err(Problem::forbidden("you see some zones: name one of their devices with `device`"));
        }
        None => None,
    };
    let limit = match query.limit {
        None => LIMIT_DEFAULT,
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => limit,
        Some(limit) => {
            return Err(Problem::parameter(format!("{limit} is not between 1 and {LIMIT_MAX}")).at("limit"));
        }
    };
    let filter = ListQuery { filter: query.filter.clone(), ..ListQuery::default() }.filter(query::FLOW)?;
    let place: Option<Place> = query.cursor.as_deref().map(list::decode).transpose()?;
    let scan = FlowScan {
        before: place.map(|place| FlowPlace { segment: place.s, record: place.r }),
        since: moment(query.since.as_deref(), "since")?,
        until: moment(query.until.as_deref(), "until")?,
        limit,
        look_at: LOOKED_AT,
    };
    app.beside(move |app| {
        let mut matches = |flow: &FlowRecord| {
            device.as_ref().is_none_or(|device| is_of(device, flow))
                && filter.as_ref().is_none_or(|filter| filter.matches(flow, estate.now))
        };
        let page = app.mirror.read(|store| store.latest_flows(&scan, &mut matches))?;
        let rows = page.flows.iter().map(|flow| serde_json::to_value(FlowView::from(flow)));
        let rows =
            rows.collect::<Result<Vec<Value>, _>>().map_err(|error| Problem::internal(error.to_string()))?;
        let items = list::select(rows, query.fields.as_deref(), FlowView::FIELDS)?;
        let next = page.next.map(|next| list::encode(&Place { s: next.segment, r: next.record }));
        tagged_page(&headers, &FlowPage { items, next, looked_at: page.looked_at }, query.fields.as_deref())
    })
    .await
}
