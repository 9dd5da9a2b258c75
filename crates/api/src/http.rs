//! What holds for every request and every answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa::openapi::RefOr;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::caller::cookie_name;
use crate::console;
use crate::problem::{KINDS, PROBLEM, Problem};
use crate::routes;

/// A body has at most so many bytes.
pub const BODY_MAX: usize = 1 << 20;
/// An answer is there within so long, or a problem is.
pub const TIME_MAX: Duration = Duration::from_secs(30);
/// The address of a request has at most so many bytes.
pub const URI_MAX: usize = 8 << 10;
/// Where the contract begins.
pub const BASE: &str = "/api/v1";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pavise",
        description = "What Pavise knows of a network, and what is to be done about it. Lists are filtered with one small expression \
                       language (`/api/v1/fields`), come a page at a time, and have entity tags. Problems are told as RFC 9457 has it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        version = "1"
    ),
    tags(
        (name = "session", description = "Signing in and out, second factors, sessions."),
        (name = "users", description = "Who may sign in."),
        (name = "tokens", description = "Tokens of programs."),
        (name = "place", description = "The place as a whole."),
        (name = "devices", description = "Connected things."),
        (name = "findings", description = "What is wrong."),
        (name = "incidents", description = "Findings that belong together."),
        (name = "flows", description = "Conversations."),
        (name = "audit", description = "Who did what."),
    )
)]
struct Contract;

/// The paths with what they are.
fn contract() -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    let (router, mut contract) =
        OpenApiRouter::with_openapi(Contract::openapi()).nest(BASE, routes::all()).split_for_parts();
    let components = contract.components.get_or_insert_with(Default::default);
    let token =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token of a program.")).build();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    let cookie =
        ApiKeyValue::with_description(cookie_name(true), "The session of somebody who has signed in.");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    for (path, item) in &mut contract.paths.paths {
        let methods = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in methods {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(named(method, path));
            if let Some(RefOr::T(problem)) = operation.responses.responses.get_mut("default") {
                problem.description = "A problem (RFC 9457).".into();
                let content = std::mem::take(&mut problem.content);
                problem.content.extend(content.into_values().map(|body| (PROBLEM.to_owned(), body)));
            }
        }
    }
    let none: [&str; 0] = [];
    contract.security =
        Some(vec![SecurityRequirement::new("token", none), SecurityRequirement::new("session", none)]);
    (router, contract)
}

/// What an operation is called: `get_devices_id` for `GET /api/v1/devices/{id}`.
fn named(method: &str, path: &str) -> String {
    let path = path.strip_prefix(BASE).unwrap_or(path);
    let parts = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    [method].into_iter().chain(parts).collect::<Vec<_>>().join("_")
}

/// The contract (OpenAPI 3.1) as JSON, as it is checked in.
pub fn openapi() -> String {
    let (_, contract) = contract();
    // Plain structures of text can always be written.
    let mut text = contract.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Everything that is served.
pub fn router(app: Arc<App>) -> Router {
    let (paths, contract) = contract();
    let api = paths
        .route(&format!("{BASE}/openapi.json"), get(move || async move { Json(contract) }))
        .route("/problems/{kind}", get(problem))
        .fallback(console::file)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn(in_time));
    api.layer(from_fn_with_state(Arc::clone(&app), guarded)).layer(CompressionLayer::new()).with_state(app)
}

/// What a kind of problem is, at the address by which it is named.
async fn problem(Path(kind): Path<String>) -> Result<String, Problem> {
    let known = KINDS.iter().find(|(name, ..)| *name == kind);
    known.map(|(_, status, title)| format!("{title} ({status})\n")).ok_or_else(|| {
        let names: Vec<_> = KINDS.iter().map(|(name, ..)| *name).collect();
        Problem::not_found(format!("there is no such kind of problem: there are {}", names.join(", ")))
    })
}

async fn wrong_method(uri: Uri) -> Problem {
    Problem::method(format!(
        "{} is there, but not for this method: the contract is at {BASE}/openapi.json",
        uri.path()
    ))
}

/// Ends what takes too long. Events go on for as long as somebody listens: their answer begins at once.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout(format!("it took more than {} s: ask for less", TIME_MAX.as_secs()))
            .into_response(),
    }
}

/// Headers that every answer has. Pages load nothing from elsewhere, and nobody shows them within his.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), publickey-credentials-get=(self), \
         publickey-credentials-create=(self)",
    ),
];

/// Whether a request is for a name under which this server answers: a page whose name was made to lead here by the DNS is none.
fn is_for_us(app: &App, request: &Request) -> bool {
    let host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| request.headers().get(header::HOST).and_then(|value| value.to_str().ok()));
    let Some(host) = host else { return false };
    let name = match host.rfind(':') {
        Some(at) if !host.ends_with(']') => host.get(..at).unwrap_or_default(),
        _ => host,
    };
    app.settings.hosts.contains(&name.to_ascii_lowercase())
}

async fn guarded(State(app): State<Arc<App>>, request: Request<Body>, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > URI_MAX) {
        Problem::parameter(format!("an address has at most {URI_MAX} bytes")).into_response()
    } else if is_for_us(&app, &request) {
        next.run(request).await
    } else {
        let detail =
            format!("this server answers as {}: name other names when it is started", app.settings.origin);
        Problem::cross_site(detail).into_response()
    };
    let secure = app.settings.is_secure();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if is_api {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
