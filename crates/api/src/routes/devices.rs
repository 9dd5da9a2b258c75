//! Devices.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use model::{Attribute, Device, DeviceId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Asked, Named, listed, not_there, tagged};
use crate::app::App;
use crate::caller::{Caller, Of};
use crate::estate::Estate;
use crate::list::{self, Key, ListQuery, Order, Page, Selection};
use crate::problem::Problem;
use crate::view::{DeviceRow, DeviceView};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// Orders of devices; the first is the usual one.
fn orders() -> [Order<Device>; 8] {
    [
        Order::by("id", |device| Key::Number(device.id.0)),
        Order::by("name", |device| {
            Key::Text(
                device
                    .best(Attribute::Hostname)
                    .or_else(|| device.best(Attribute::Label))
                    .unwrap_or("\u{10ffff}"),
            )
        }),
        Order::by("vendor", |device| Key::Text(device.best(Attribute::Vendor).unwrap_or("\u{10ffff}"))),
        Order::by("role", |device| Key::Text(device.best(Attribute::Role).unwrap_or("\u{10ffff}"))),
        Order::by("seen", |device| Key::Number(device.last.as_nanos())),
        Order::by("first", |device| Key::Number(device.first.as_nanos())),
        Order::by("bytes", |device| Key::Number(device.bytes_out.saturating_add(device.bytes_in))),
        Order::by("trust", |device| Key::Number(device.access as u64)),
    ]
}

/// List devices
///
/// Sorted by `id`, `name`, `vendor`, `role`, `seen`, `first`, `bytes` or `trust`.
#[utoipa::path(
    get, path = "/devices", tag = "devices", params(ListQuery),
    responses((status = 200, content((Page<DeviceRow> = "application/json"), (Page<Selection> = "application/vnd.pavise.selection+json"))), (status = 304, description = "As the entity tag says."), (status = "default", body = Problem))
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Asked(query): Asked<ListQuery>,
) -> Result<Response, Problem> {
    let may = caller.where_may(&app, "view-device")?;
    app.beside(move |app| {
        let estate = app.mirror.estate();
        let sees = |device: &Device| may.all || may.holds(app.zone_of(device));
        let orders = orders();
        let asked = list::Asked {
            fields: query::DEVICE,
            orders: &orders,
            id: |device: &Device| device.id.0,
            sees: &sees,
            now: estate.now,
        };
        listed(&headers, &estate.devices, &query, &asked, DeviceRow::FIELDS, |device| {
            DeviceRow::of(device, &estate, app)
        })
    })
    .await
}

/// The device that is named, if whoever asks may see it; what he may not see is not there for him.
pub(super) fn seen<'a>(
    app: &App,
    caller: &Caller,
    estate: &'a Estate,
    id: &str,
) -> Result<&'a Arc<Device>, Problem> {
    let missing = || Problem::not_found(format!("no device is known as {id}: see /api/v1/devices"));
    let parsed: DeviceId = id.parse().map_err(|_| missing())?;
    let device = estate.device(parsed).ok_or_else(missing)?;
    let of = Of { id, zone: app.zone_of(device), proposer: None };
    caller.may(app, "view-device", &of).map_err(|refused| not_there(refused, missing))?;
    Ok(device)
}

/// Everything about one device
#[utoipa::path(
    get, path = "/devices/{id}", tag = "devices", params(("id" = String, Path, description = "The device's id.", example = "d26859f460050")),
    responses((status = 200, body = DeviceView), (status = 304, description = "As the entity tag says."), (status = "default", body = Problem))
)]
async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let estate = app.mirror.estate();
    let device = seen(&app, &caller, &estate, &id)?;
    tagged(&headers, &DeviceView::of(device, &estate, &app))
}
