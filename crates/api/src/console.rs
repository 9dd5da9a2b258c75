//! The console: files that were built into the binary.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::http::BASE;
use crate::problem::Problem;

/// The files by their names, in order; none where the console was not built.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/console.rs"));
/// The page that is given for each place of the console.
const PAGE: &str = "index.html";
/// Files in this folder are named by what is in them, and never change.
const NAMED: &str = "assets/";

/// Whether the console was built in.
pub fn has_console() -> bool {
    find(PAGE).is_some()
}

fn find(name: &str) -> Option<&'static [u8]> {
    let place = FILES.binary_search_by_key(&name, |(known, _)| known).ok()?;
    FILES.get(place).map(|(_, bytes)| *bytes)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A file of the console, or its page for each place in it. Names are looked up among those that were built in: no path leads
/// anywhere else.
pub(crate) async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let name = uri.path().trim_start_matches('/');
    if uri.path().starts_with("/api/") || uri.path().starts_with("/problems/") {
        return Problem::not_found(format!(
            "there is nothing at {}: the contract is at {BASE}/openapi.json",
            uri.path()
        ))
        .into_response();
    }
    let (name, bytes) = match find(name) {
        Some(bytes) => (name, bytes),
        None if name.starts_with(NAMED) => {
            return Problem::not_found(format!(
                "there is no file {name} in this version: load the page anew"
            ))
            .into_response();
        }
        None => match find(PAGE) {
            Some(bytes) => (PAGE, bytes),
            None => {
                let told = "This binary was built without the console: `cargo xtask up` builds both.\nThe API is at /api/v1/openapi.json.\n";
                return (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], told)
                    .into_response();
            }
        },
    };
    let cache = if name.starts_with(NAMED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let digest = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(bytes)[..12]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == digest.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, media_type(name))], bytes).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(value) = HeaderValue::from_str(&digest) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_order_of_their_names() {
        assert!(FILES.is_sorted_by_key(|(name, _)| *name));
        assert_eq!(media_type("assets/index-1a2b.js"), "text/javascript; charset=utf-8");
        assert_eq!(media_type("nothing"), "application/octet-stream");
    }
}
