//! The usual attacks, which fail.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::client::{Client, ORIGIN, place};

const VERDICT: &str = "/api/v1/findings/f000000000003/verdict";

#[tokio::test]
async fn other_sites_cannot_make_a_browser_change_anything() {
    let place = place();
    let ann = place.with_role("ann", "analyst");
    let ask =
        async |client: Client| client.ask(Method::PUT, VERDICT, Some(json!({ "verdict": "false" }))).await;
    for forged in [
        Client { csrf: None, ..ann.clone() },
        Client { csrf: Some("guessed".into()), ..ann.clone() },
        ann.clone().with_header("origin", "https://evil.example"),
        ann.clone().with_header("origin", "null"),
        ann.clone().with_header("origin", "http://localhost:8443.evil.example"),
        ann.clone().with_header("sec-fetch-site", "cross-site"),
        ann.clone().with_header("sec-fetch-site", "same-site"),
    ] {
        let refused = ask(forged).await;
        assert_eq!(
            (refused.status, &refused.json()["type"]),
            (StatusCode::FORBIDDEN, &json!("/problems/cross-site"))
        );
    }
    // Forms can send these types without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(
            ask(ann.clone().with_header("content-type", kind)).await.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
    }
    assert_eq!(ask(ann.with_header("origin", ORIGIN)).await.status, StatusCode::OK);
    // Nor can they make somebody sign in as somebody else.
    let login = place.nobody().with_header("origin", "https://evil.example");
    let refused =
        login.post("/api/v1/session", json!({ "name": "ann", "password": "several unrelated words" })).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn names_that_lead_here_by_the_dns_are_not_answered() {
    let place = place();
    let ann = place.with_role("ann", "viewer");
    for host in
        ["evil.example", "localhost.evil.example", "localhost.evil.example:8443", "", "[::1", "10.0.0.1"]
    {
        assert_eq!(
            ann.clone().with_header("host", host).get("/api/v1/devices").await.status,
            StatusCode::FORBIDDEN,
            "{host}"
        );
    }
    for host in ["localhost", "LOCALHOST:8443"] {
        assert_eq!(
            ann.clone().with_header("host", host).get("/api/v1/devices").await.status,
            StatusCode::OK,
            "{host}"
        );
    }
}

#[tokio::test]
async fn names_of_devices_are_data_and_nothing_else() {
    let place = place();
    let answer = place.with_role("ann", "viewer").get("/api/v1/devices").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.json()["items"][0]["name"], "<script>alert(1)</script>");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"));
    // What is wrong with a request is told as data, too.
    let problem = place.nobody().get("/api/v1/%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(problem.headers["content-type"].to_str().unwrap().contains("json"));
}

#[tokio::test]
async fn nobody_sets_what_is_not_offered() {
    let place = place();
    let root = place.with_role("root", "administrator");
    for body in [
        json!({ "name": "eve", "grants": [], "password": "several unrelated words" }),
        json!({ "name": "eve", "disabled": false }),
        json!({ "name": "eve", "version": 9 }),
        json!({ "name": "eve", "grants": [{ "role": "viewer", "all": true }] }),
    ] {
        assert_eq!(root.post("/api/v1/users", body.clone()).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let patch = root.with_header("if-match", "\"1\"");
    let refused = patch.ask(Method::PATCH, "/api/v1/users/first", Some(json!({ "name": "second" }))).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nothing_lies_beside_what_is_served() {
    let place = place();
    let ann = place.with_role("ann", "viewer");
    std::fs::write(place.folder.path().join("secret.txt"), "secret").unwrap();
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/..%2f..%2fsecret.txt",
        "/%2e%2e/accounts.db",
        "/assets/%00",
        "//etc/passwd",
        "/api/v1/findings/..%2f..%2fsecret/evidence",
        "/api/v1/findings/%2e%2e/evidence",
        "/problems/../secret.txt",
    ] {
        let answer = ann.get(path).await;
        assert!(
            !String::from_utf8_lossy(&answer.body).contains("secret\n") && answer.body != b"secret",
            "{path}"
        );
        assert!(
            answer.status.is_client_error()
                || answer.headers["content-type"].to_str().unwrap().starts_with("text/html"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn large_odd_and_endless_requests_are_refused() {
    let place = place();
    let ann = place.with_role("ann", "analyst");
    let long = format!("/api/v1/devices?filter={}", "a".repeat(9_000));
    assert_eq!(ann.get(&long).await.status, StatusCode::BAD_REQUEST);
    let large = Body::from(format!("{{\"verdict\":\"true\",\"reason\":\"{}\"}}", "a".repeat(2 << 20)));
    assert_eq!(ann.raw(Method::PUT, VERDICT, large).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        deep.as_str(),
        "",
        "{",
        "null",
        "[]",
        "{\"verdict\":\"maybe\"}",
        "{\"verdict\":\"true\",\"scope\":7}",
        "\u{0}",
    ] {
        let refused = ann.raw(Method::PUT, VERDICT, Body::from(body.to_owned())).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{}", &body[..body.len().min(20)]);
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
    }
    let reason = json!({ "verdict": "true", "reason": "a".repeat(2_001) });
    assert_eq!(ann.ask(Method::PUT, VERDICT, Some(reason)).await.json()["at"], "/reason");
    for query in [
        "limit=x",
        "limit=-1",
        "limit=501",
        "nothing=1",
        "filter=(",
        "sort=colour",
        "cursor=%ff",
        "fields=x",
        "limit=1&limit=2",
    ] {
        let answer = ann.get(&format!("/api/v1/devices?{query}")).await;
        assert_eq!(
            (answer.status, answer.headers["content-type"].to_str().unwrap()),
            (StatusCode::BAD_REQUEST, "application/problem+json"),
            "{query}"
        );
    }
    assert_eq!(ann.ask(Method::TRACE, "/api/v1/devices", None).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_wait() {
    let place = place();
    let ann = place.with_role("ann", "viewer");
    let mut slowed = None;
    for _ in 0..600 {
        let answer = ann.get("/api/v1/sites").await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            slowed = Some(answer);
            break;
        }
    }
    assert_eq!(slowed.unwrap().headers["retry-after"], "1");
    assert_eq!(
        place.with_role("bob", "viewer").get("/api/v1/sites").await.status,
        StatusCode::OK,
        "others need not"
    );
}
