//! What went wrong, as RFC 9457 tells it: what happened, to what, and what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use store::StoreError;
use utoipa::ToSchema;

/// The type of a problem's body (RFC 9457, section 6.1).
pub(crate) const PROBLEM: &str = "application/problem+json";

/// A problem (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem it is, for programs: a reference below `/problems/`.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid-filter")]
    pub kind: String,
    /// The kind in words.
    #[schema(example = "The filter could not be read")]
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened here, to what, and what to do about it.
    pub detail: String,
    /// Which part of the request it is about: a parameter, or a pointer into the body (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<String>,
}

/// Kinds of problems: name, status, title.
macro_rules! kinds {
    ($($(#[$about:meta])* $name:ident = $kind:literal, $status:ident, $title:literal;)*) => {
        impl Problem {
            $($(#[$about])* pub fn $name(detail: impl Into<String>) -> Self {
                Self::new($kind, StatusCode::$status, $title, detail.into())
            })*
        }

        /// All kinds of problems: name, status, title.
        pub(crate) const KINDS: &[(&str, StatusCode, &str)] = &[$(($kind, StatusCode::$status, $title)),*];
    };
}

kinds! {
    /// A filter, a cursor or another parameter cannot be read.
    parameter = "invalid-parameter", BAD_REQUEST, "A parameter could not be understood";
    /// A body cannot be read or says what cannot be.
    body = "invalid-body", BAD_REQUEST, "The body could not be understood";
    /// Nobody has signed in, or not for long enough.
    unauthenticated = "unauthenticated", UNAUTHORIZED, "You are not signed in";
    /// Whoever asks may not do that.
    forbidden = "forbidden", FORBIDDEN, "You may not do that";
    /// Whoever asks may do it after showing a second factor anew.
    step_up = "step-up", FORBIDDEN, "Show a second factor again";
    /// The request was not made by the console itself.
    cross_site = "cross-site", FORBIDDEN, "The request came from elsewhere";
    /// There is no such thing.
    not_found = "not-found", NOT_FOUND, "There is no such thing";
    /// There is such a thing, but not this way.
    method = "method-not-allowed", METHOD_NOT_ALLOWED, "That cannot be done here";
    /// It contradicts what is there.
    conflict = "conflict", CONFLICT, "That contradicts what is there";
    /// What was to be changed has changed meanwhile.
    changed = "precondition-failed", PRECONDITION_FAILED, "It has changed meanwhile";
    /// A change needs to say of which version it is.
    unconditional = "precondition-required", PRECONDITION_REQUIRED, "Say which version you change";
    /// The body is too large.
    too_large = "too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is of another type.
    media_type = "media-type", UNSUPPORTED_MEDIA_TYPE, "The body is of another type";
    /// Too many requests.
    too_many = "too-many-requests", TOO_MANY_REQUESTS, "Too many requests";
    /// Something failed here.
    internal = "internal", INTERNAL_SERVER_ERROR, "Something failed on this side";
    /// It cannot be done just now.
    unavailable = "unavailable", SERVICE_UNAVAILABLE, "Not just now";
    /// It took too long.
    timeout = "timeout", GATEWAY_TIMEOUT, "It took too long";
}

impl Problem {
    fn new(kind: &str, status: StatusCode, title: &str, detail: String) -> Self {
        let kind = format!("/problems/{kind}");
        Self { kind, title: title.into(), status: status.as_u16(), detail, at: None }
    }

    /// With the part of the request that it is about.
    #[must_use]
    pub fn at(mut self, part: impl Into<String>) -> Self {
        self.at = Some(part.into());
        self
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(_) | StoreError::Full(_) => Self::unavailable(error.to_string()),
            StoreError::Missing(_) => Self::not_found(error.to_string()),
            // Where the state lies is nobody's business who asks from elsewhere; it is logged.
            _ => Self::internal("the state could not be read; the log of the server says why"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static(PROBLEM);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
