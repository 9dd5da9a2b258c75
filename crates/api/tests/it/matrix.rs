//! Every operation of the contract, for every role, in one's own zone and in another: who may what.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::http::Method;
use serde_json::{Value, json};

use crate::client::{Client, Place, grant, place};

/// A body that fits an operation, so that a refusal is for want of rights.
fn body(method: &str, path: &str) -> Option<Value> {
    let secret = "x".repeat(43);
    Some(match (method, path) {
        ("put", "/api/v1/findings/{id}/verdict") => json!({ "verdict": "expected" }),
        ("post", "/api/v1/findings/verdicts") => {
            json!({ "findings": ["f000000000002"], "verdict": "expected" })
        }
        ("post", "/api/v1/users") => json!({ "name": "somebody", "grants": [{ "role": "viewer" }] }),
        ("patch", "/api/v1/users/{name}") => json!({ "display": "First" }),
        ("post", "/api/v1/users/{name}/invitation") => json!({}),
        ("post", "/api/v1/tokens") => json!({ "name": "t", "scopes": ["read"], "days": 1 }),
        ("post", "/api/v1/setup") => {
            json!({ "secret": secret, "name": "root", "password": "several unrelated words" })
        }
        ("post", "/api/v1/invitation") => json!({ "secret": secret, "password": "several unrelated words" }),
        ("post", "/api/v1/session") => json!({ "name": "nobody", "password": "several unrelated words" }),
        ("post", "/api/v1/session/passkey") => json!({ "pending": secret }),
        ("post", "/api/v1/session/factor") => {
            json!({ "pending": secret, "factor": "totp", "code": "000000" })
        }
        ("post", "/api/v1/session/step-up") => json!({ "factor": "totp", "code": "000000" }),
        ("put", "/api/v1/me/password") => {
            json!({ "old": "wrong words indeed", "new": "other unrelated words" })
        }
        ("put", "/api/v1/me/totp") => json!({ "ceremony": secret, "code": "000000" }),
        ("put", "/api/v1/me/passkeys/ceremony") => {
            json!({ "ceremony": secret, "label": "a", "credential": {} })
        }
        _ => return None,
    })
}

/// The path with something in it that is there: device or finding 1 lies in cell-1, 2 in cell-2.
fn filled(path: &str, number: u64) -> String {
    let kind = if path.contains("/devices/") { 'd' } else { 'f' };
    let path = path.replace("{name}", "first");
    match () {
        () if path.contains("/devices/") || path.contains("/findings/") => {
            path.replace("{id}", &format!("{kind}{number:012x}"))
        }
        () => path.replace("{id}", "nothing"),
    }
}

async fn asked(client: &Client, method: &str, path: &str, number: u64) -> u16 {
    let client =
        if method == "patch" { client.clone().with_header("if-match", "\"99\"") } else { client.clone() };
    let method_of = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    // Of events only the beginning is of interest.
    let body = body(method, path)
        .map_or_else(axum::body::Body::empty, |body| axum::body::Body::from(body.to_string()));
    client.raw(method_of, &filled(path, number), body).await.status().as_u16()
}

fn people(place: &Place) -> Vec<(&'static str, Client)> {
    let token = |scope: &str| {
        let expires = crate::client::now() + std::time::Duration::from_secs(3_600);
        let made = place
            .app
            .accounts
            .make_token("an-analyst", scope, &[scope.to_owned()], expires, crate::client::now())
            .unwrap();
        Client { token: Some(made.1.reveal().to_owned()), ..place.nobody() }
    };
    let mut people = vec![("nobody", place.nobody())];
    for (name, role) in [
        ("a-viewer", "viewer"),
        ("an-analyst", "analyst"),
        ("an-operator", "operator"),
        ("an-engineer", "engineer"),
        ("an-administrator", "administrator"),
        ("an-auditor", "auditor"),
    ] {
        people.push((role, place.with_role(name, role)));
    }
    people.push(("analyst of cell-1", place.signed_in("one-cell", &[grant("analyst", Some("cell-1"))])));
    people.push(("no role", place.signed_in("no-role", &[])));
    people.push(("token to read", token("read")));
    people.push(("token to judge", token("judge-finding")));
    // Each from elsewhere, so that what one does wrong slows nobody else down.
    for ((_, client), number) in people.iter_mut().zip(10..) {
        client.address = [192, 0, 2, number].into();
    }
    people
}

#[tokio::test]
async fn who_may_what_is_as_it_is_written_down() {
    let contract: Value = serde_json::from_str(&api::openapi()).unwrap();
    let mut operations = BTreeMap::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            operations.insert((path.clone(), method.clone()), ());
        }
    }
    let place = place();
    let people = people(&place);
    let mut table = String::new();
    for (path, method) in operations.keys() {
        // What ends the session, the factors or the users with which the table goes on is held by other tests.
        let ends = method == "delete" && !path.contains("/findings/") && !path.contains("{id}");
        if ends {
            writeln!(table, "{method} {path}: ends what the table needs").unwrap();
            continue;
        }
        write!(table, "{method} {path}:").unwrap();
        for (who, client) in &people {
            let status = asked(client, method, path, 1).await;
            assert!(status < 500, "{who}: {method} {path}: {status}");
            // Another zone.
            let other = asked(client, method, path, 2).await;
            assert!(other < 500);
            write!(table, " {who} {status}").unwrap();
            if other != status {
                write!(table, "/{other}").unwrap();
            }
            table.push(',');
        }
        table.pop();
        table.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/matrix.txt");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if kept != table {
        let new = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix.txt");
        std::fs::write(&new, &table).unwrap();
        panic!("who may what has changed: compare {} with {path}", new.display());
    }
}
