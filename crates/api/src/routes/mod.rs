//! What can be asked for, by resource. Each file adds its paths to the contract.

mod audit;
mod devices;
mod events;
mod findings;
mod flows;
mod incidents;
mod metrics;
mod overview;
mod session;
mod tokens;
mod users;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use query::Fields;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::list::{self, ListQuery, Page, SELECTED};
use crate::problem::Problem;

/// All paths below `/api/v1`.
pub(crate) fn all() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(session::routes())
        .merge(users::routes())
        .merge(tokens::routes())
        .merge(overview::routes())
        .merge(devices::routes())
        .merge(findings::routes())
        .merge(incidents::routes())
        .merge(flows::routes())
        .merge(audit::routes())
        .merge(metrics::routes())
        .merge(events::routes())
}

/// A body in JSON; what cannot be read is told as a problem.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Problem::media_type("send the body as `Content-Type: application/json`"))
            }
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::too_large(format!("a body has at most {} bytes", crate::http::BODY_MAX)))
            }
            Err(error) => Err(Problem::body(error.body_text())),
        }
    }
}

/// The parameters of a query; what cannot be read is told as a problem.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        read.map(|Query(asked)| Self(asked)).map_err(|error| Problem::parameter(error.body_text()))
    }
}

/// What stands in the path; what names nothing is told as a problem.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        read.map(|Path(named)| Self(named)).map_err(|error| Problem::not_found(error.body_text()))
    }
}

/// An answer with its entity tag (RFC 9110, section 8.8.3), or that it is the one that whoever asks has already.
pub(crate) fn tagged(headers: &HeaderMap, answer: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(answer).map_err(|error| Problem::internal(error.to_string()))?;
    let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(&body)[..12]);
    tagged_as(headers, &format!("\"{digest}\""), || Bytes::from(body))
}

/// A page of things as rows, with the fields that are wanted of those that are known.
pub(crate) fn listed<T: Fields, R: Serialize>(
    headers: &HeaderMap,
    all: &[Arc<T>],
    query: &ListQuery,
    asked: &list::Asked<'_, T>,
    known: &[&str],
    row: impl Fn(&T) -> R,
) -> Result<Response, Problem> {
    let (found, next, total) = list::page(all, query, asked)?;
    let rows = found.into_iter().map(|one| serde_json::to_value(row(one))).collect::<Result<Vec<_>, _>>();
    let rows = rows.map_err(|error| Problem::internal(error.to_string()))?;
    let items = list::select(rows, query.fields.as_deref(), known)?;
    tagged_page(headers, &Page { items, next, total, as_of: asked.now }, query.fields.as_deref())
}

/// What somebody may not see is not there for him; whatever else is wrong is told.
pub(crate) fn not_there(refused: Problem, missing: impl FnOnce() -> Problem) -> Problem {
    if refused.kind.ends_with("/forbidden") { missing() } else { refused }
}

/// A page of a list, whose type tells whether only some fields are on it.
pub(crate) fn tagged_page(
    headers: &HeaderMap,
    page: &impl Serialize,
    fields: Option<&str>,
) -> Result<Response, Problem> {
    let mut response = tagged(headers, page)?;
    if fields.is_some() && response.headers().contains_key(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(SELECTED));
    }
    Ok(response)
}

/// The same with a tag that is known, such as the number of a version.
pub(crate) fn tagged_as(
    headers: &HeaderMap,
    tag: &str,
    body: impl FnOnce() -> Bytes,
) -> Result<Response, Problem> {
    let value = HeaderValue::from_str(tag).map_err(|error| Problem::internal(error.to_string()))?;
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Compared weakly (RFC 9110, section 13.1.2).
    let is_known = known.flat_map(|all| all.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    });
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body()).into_response()
    };
    response.headers_mut().insert(header::ETAG, value);
    Ok(response)
}

/// The version that a change is of (RFC 9110, section 13.1.1): it must be told.
pub(crate) fn version(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Err(Problem::unconditional("send the entity tag of what you have seen as `If-Match`"));
    };
    let text = value.to_str().unwrap_or_default().trim();
    let number =
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        Problem::changed(format!("{text} is not the entity tag of any version")).at("If-Match")
    })
}
