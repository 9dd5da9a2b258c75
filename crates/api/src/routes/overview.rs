//! The place as a whole: what needs somebody now, what is watched, how the server is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::tagged;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view::{IncidentRow, Level, Trust};

/// So many incidents are in the overview.
const NEEDING: usize = 5;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(overview))
        .routes(routes!(sites))
        .routes(routes!(zones))
        .routes(routes!(fields))
        .routes(routes!(detectors))
        .routes(routes!(system))
        .routes(routes!(health))
}

/// The place at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Overview {
    /// What it is called.
    pub site: String,
    /// The time of the latest packet.
    #[schema(format = DateTime)]
    pub as_of: String,
    /// The incidents with open findings that need somebody first.
    pub needs_you: Vec<IncidentRow>,
    /// How many incidents have open findings.
    pub incidents: u64,
    /// Open findings by how bad they are.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub findings: BTreeMap<Level, u64>,
    /// Devices of the organisation, by how far they are trusted.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub devices: BTreeMap<String, u64>,
    /// Devices that were first seen in the last 24 hours.
    pub new_devices: u64,
    /// Devices by the part they play before all others.
    pub roles: BTreeMap<String, u64>,
    /// Protocols by bytes, the most first; at most 12.
    pub protocols: Vec<ProtocolView>,
}

/// What was seen of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProtocolView {
    /// Its id.
    pub protocol: String,
    /// Conversations.
    pub conversations: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Breaches of it.
    pub anomalies: u64,
}

/// The place at a glance
#[utoipa::path(get, path = "/overview", tag = "place", responses((status = 200, body = Overview), (status = "default", body = Problem)))]
async fn overview(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (may, may_devices) =
        (caller.where_may(&app, "view-incident")?, caller.where_may(&app, "view-device")?);
    app.beside(move |app| {
        let estate = app.mirror.estate();
        let own: Vec<_> = estate
            .devices
            .iter()
            .filter(|device| device.locality != model::Locality::External)
            .filter(|device| may_devices.all || may_devices.holds(app.zone_of(device)))
            .collect();
        let mut devices = BTreeMap::from(model::Access::ALL.map(|access| (access.name(), 0)));
        let mut roles: BTreeMap<&str, u64> = BTreeMap::new();
        for device in &own {
            *devices.entry(device.access.name()).or_default() += 1;
            let role = device.best(model::Attribute::Role).unwrap_or("unknown");
            *roles.entry(role).or_default() += 1;
        }
        let seen = |finding: &model::Finding| super::findings::sees(app, &estate, &may, finding);
        let mut findings = BTreeMap::new();
        for finding in estate.findings.iter().filter(|finding| !finding.is_silenced() && seen(finding)) {
            *findings.entry(Level::from(finding.severity)).or_default() += 1;
        }
        let is_open = |incident: &&Arc<model::Incident>| {
            incident
                .findings
                .iter()
                .filter_map(|id| estate.finding(*id))
                .any(|finding| !finding.is_silenced() && seen(finding))
        };
        let mut open: Vec<_> = estate.incidents.iter().filter(is_open).collect();
        open.sort_by_key(|incident| std::cmp::Reverse((incident.severity, incident.last)));
        let day = std::time::Duration::from_secs(86_400);
        let began = estate.devices.iter().map(|device| device.first).min();
        // On the first day everything would be new.
        let is_new = |first| {
            estate.now.since(first) < day && began.is_some_and(|began| estate.now.since(began) >= day)
        };
        let mut protocols: Vec<_> = estate.protocols.iter().collect();
        protocols.sort_by_key(|(name, totals)| (std::cmp::Reverse(totals.bytes), (*name).clone()));
        tagged(
            &headers,
            &Overview {
                site: app.settings.site.clone(),
                as_of: estate.now.to_string(),
                incidents: open.len() as u64,
                needs_you: open
                    .into_iter()
                    .take(NEEDING)
                    .map(|incident| IncidentRow::of(incident, &estate))
                    .collect(),
                findings,
                new_devices: own.iter().filter(|device| is_new(device.first)).count() as u64,
                devices: devices.into_iter().map(|(trust, count)| (trust.to_owned(), count)).collect(),
                roles: roles.into_iter().map(|(role, count)| (role.to_owned(), count)).collect(),
                protocols: protocols
                    .into_iter()
                    .take(12)
                    .map(|(name, totals)| ProtocolView {
                        protocol: name.clone(),
                        conversations: totals.flows,
                        packets: totals.packets,
                        bytes: totals.bytes,
                        anomalies: totals.anomalies,
                    })
                    .collect(),
            },
        )
    })
    .await
}

/// A place that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SiteView {
    /// What it is called.
    pub name: String,
    /// How many devices are known there.
    pub devices: u64,
    /// The time of its latest packet.
    #[schema(format = DateTime)]
    pub as_of: String,
}

/// List sites
#[utoipa::path(get, path = "/sites", tag = "place", responses((status = 200, body = Vec<SiteView>), (status = "default", body = Problem)))]
async fn sites(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Vec<SiteView>>, Problem> {
    caller.where_may(&app, "view-device")?;
    let estate = app.mirror.estate();
    let (name, devices) = (app.settings.site.clone(), estate.devices.len() as u64);
    Ok(Json(vec![SiteView { name, devices, as_of: estate.now.to_string() }]))
}

/// A part of the place that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ZoneView {
    /// Its name.
    pub name: String,
    /// `industrial` or `enterprise`.
    pub kind: String,
    /// Networks and addresses that are in it.
    pub networks: Vec<String>,
    /// Parts that devices play who are in it.
    pub roles: Vec<String>,
    /// How many devices are in it.
    pub devices: u64,
    /// How bad the worst open finding in it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worst: Option<Level>,
    /// How far the device in it is trusted that is trusted least.
    pub trust: Trust,
}

/// List zones
#[utoipa::path(get, path = "/zones", tag = "place", responses((status = 200, body = Vec<ZoneView>), (status = "default", body = Problem)))]
async fn zones(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    let may = caller.where_may(&app, "view-device")?;
    app.beside(move |app| {
        let estate = app.mirror.estate();
        let mut zones: Vec<ZoneView> = app
            .settings
            .zones
            .iter()
            .filter(|zone| may.holds(Some(&zone.name)))
            .map(|zone| ZoneView {
                name: zone.name.clone(),
                kind: app.kind_of(Some(&zone.name)).into(),
                networks: zone.networks.iter().map(ToString::to_string).collect(),
                roles: zone.roles.iter().cloned().collect(),
                devices: 0,
                worst: None,
                trust: Trust::Full,
            })
            .collect();
        let mut least = vec![model::Access::Full; zones.len()];
        for device in estate.devices.iter() {
            let place = app.zone_of(device).and_then(|name| zones.iter().position(|zone| zone.name == name));
            let Some((zone, least)) = place.and_then(|place| zones.get_mut(place).zip(least.get_mut(place)))
            else {
                continue;
            };
            zone.devices += 1;
            zone.worst = zone.worst.max(estate.open.get(&device.id).map(|(_, worst)| (*worst).into()));
            *least = (*least).max(device.access);
            zone.trust = (*least).into();
        }
        tagged(&headers, &zones)
    })
    .await
}

/// A field of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FieldView {
    /// Its name.
    pub name: String,
    /// Other names by which it is understood.
    pub aliases: Vec<String>,
    /// `text`, `number`, `size`, `age`, `address` or `level`.
    pub kind: String,
    /// What it is.
    pub about: String,
    /// Of a level: its words, from the least.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub words: Vec<String>,
}

/// The fields of expressions, by resource
#[utoipa::path(get, path = "/fields", tag = "place", responses((status = 200, body = BTreeMap<String, Vec<FieldView>>), (status = "default", body = Problem)))]
async fn fields(_caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    let all = [
        ("devices", query::DEVICE),
        ("findings", query::FINDING),
        ("incidents", query::INCIDENT),
        ("flows", query::FLOW),
    ];
    let view = |field: &query::Field| {
        let (kind, words): (_, &[&str]) = match field.kind {
            query::Kind::Text => ("text", &[]),
            query::Kind::Number => ("number", &[]),
            query::Kind::Size => ("size", &[]),
            query::Kind::Age => ("age", &[]),
            query::Kind::Address => ("address", &[]),
            query::Kind::Level(words) => ("level", words),
        };
        FieldView {
            name: field.name.into(),
            aliases: field.aliases.iter().map(|alias| (*alias).into()).collect(),
            kind: kind.into(),
            about: field.what.into(),
            words: words.iter().map(|word| (*word).into()).collect(),
        }
    };
    let told: BTreeMap<&str, Vec<FieldView>> =
        all.into_iter().map(|(name, fields)| (name, fields.iter().map(view).collect())).collect();
    tagged(&headers, &told)
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DetectorView {
    /// Its id.
    pub id: String,
    /// What it finds, in a few words.
    pub title: String,
    /// How bad that is, unless a finding says otherwise.
    pub severity: Level,
    /// Techniques of MITRE ATT&CK.
    pub techniques: Vec<String>,
    /// What it looks for.
    pub finds: String,
    /// Why that matters.
    pub matters: String,
    /// What to do about it.
    pub fix: String,
}

/// What is looked for
#[utoipa::path(get, path = "/detectors", tag = "place", responses((status = 200, body = Vec<DetectorView>), (status = "default", body = Problem)))]
async fn detectors(_caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    let view = |rule: &&detect::Rule| DetectorView {
        id: rule.id.into(),
        title: rule.title.into(),
        severity: rule.severity.into(),
        techniques: rule.attack.iter().map(|id| (*id).into()).collect(),
        finds: rule.finds.into(),
        matters: rule.matters.into(),
        fix: rule.fix.into(),
    };
    let all: Vec<DetectorView> = detect::DETECTORS.iter().map(view).collect();
    tagged(&headers, &all)
}

/// How a source was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SourceView {
    /// As it was named.
    pub name: String,
    /// Whether it is an interface.
    pub live: bool,
    /// Packets read.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packets that the kernel dropped.
    pub dropped: u64,
    /// Packets of conversations that were given up to stay within limits.
    pub shed: u64,
    /// Whether it was read to its end.
    pub complete: bool,
    /// What was lost, if it was damaged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub damage: Option<String>,
    /// The time of its latest packet.
    #[schema(format = DateTime)]
    pub last: String,
}

/// A limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LimitView {
    /// Its name.
    pub limit: String,
    /// How many things were given up.
    pub count: u64,
    /// Packets that they stood for.
    pub packets: u64,
}

/// How the sensors and the server are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct System {
    /// The version of Pavise.
    pub version: String,
    /// When the server was started.
    #[schema(format = DateTime)]
    pub started: String,
    /// What is watched.
    pub sources: Vec<SourceView>,
    /// Limits that were reached.
    pub limits: Vec<LimitView>,
    /// Breaches of protocols, by kind.
    pub anomalies: BTreeMap<String, u64>,
    /// Which change of the state is shown.
    pub change: u64,
}

/// How the sensors and the server are
#[utoipa::path(get, path = "/system", tag = "place", responses((status = 200, body = System), (status = "default", body = Problem)))]
async fn system(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<System>, Problem> {
    caller.where_may(&app, "view-device")?;
    let estate = app.mirror.estate();
    Ok(Json(System {
        version: env!("CARGO_PKG_VERSION").into(),
        started: app.started().to_string(),
        sources: estate
            .sources
            .iter()
            .map(|source| SourceView {
                name: source.name.clone(),
                live: source.is_live(),
                packets: source.packets,
                bytes: source.bytes,
                dropped: source.dropped,
                shed: source.shed,
                complete: source.complete,
                damage: source.damage.clone(),
                last: source.last.to_string(),
            })
            .collect(),
        limits: estate
            .shed
            .iter()
            .map(|(limit, totals)| LimitView {
                limit: limit.clone(),
                count: totals.count,
                packets: totals.packets,
            })
            .collect(),
        anomalies: estate.anomalies.iter().map(|(kind, totals)| (kind.clone(), totals.count)).collect(),
        change: estate.number,
    }))
}

/// Whether the server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub status: String,
}

/// Whether the server answers; anybody may ask
#[utoipa::path(get, path = "/health", tag = "place", security(()), responses((status = 200, body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok".into() })
}
