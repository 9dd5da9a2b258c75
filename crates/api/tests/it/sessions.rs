//! Signing in, over HTTP.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::client::{Client, FROM, ORIGIN, PASSWORD, code, now, place};

#[tokio::test]
async fn the_first_administrator_sets_up_enrols_and_sees() {
    let place = place();
    let nobody = place.nobody();
    let session = nobody.get("/api/v1/session").await.json();
    assert_eq!((&session["needs_setup"], &session["user"]), (&json!(true), &json!(null)));
    let link = place.app.accounts.setup_link(now()).unwrap().unwrap();
    let setup = json!({ "secret": link.reveal(), "name": "root", "display": "Root", "password": PASSWORD });
    assert_eq!(nobody.post("/api/v1/setup", setup.clone()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(
        nobody.post("/api/v1/setup", setup).await.status,
        StatusCode::BAD_REQUEST,
        "the link serves once"
    );
    let begun = nobody.post("/api/v1/session", json!({ "name": "root", "password": PASSWORD })).await;
    assert_eq!(begun.status, StatusCode::OK);
    assert_eq!(begun.json()["user"]["must_enrol"], true);
    let set = begun.headers["set-cookie"].to_str().unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    let csrf = |answer: &crate::client::Answer| answer.json()["user"]["csrf"].as_str().map(str::to_owned);
    let enrolling = Client { cookie: Some(begun.cookie()), csrf: csrf(&begun), ..place.nobody() };
    let refused = enrolling.get("/api/v1/devices").await;
    assert_eq!(
        (refused.status, &refused.json()["type"]),
        (StatusCode::FORBIDDEN, &json!("/problems/step-up"))
    );
    let offer = enrolling.post("/api/v1/me/totp", json!({})).await.json();
    let wrong = json!({ "ceremony": offer["ceremony"], "code": "abcdef" });
    assert_eq!(
        enrolling.ask(Method::PUT, "/api/v1/me/totp", Some(wrong)).await.status,
        StatusCode::BAD_REQUEST
    );
    let right = json!({ "ceremony": offer["ceremony"], "code": code(offer["uri"].as_str().unwrap()) });
    let enrolled = enrolling.ask(Method::PUT, "/api/v1/me/totp", Some(right)).await;
    assert_eq!(enrolled.status, StatusCode::OK);
    let full = Client { cookie: Some(enrolled.cookie()), csrf: csrf(&enrolled), ..place.nobody() };
    assert_eq!(full.get("/api/v1/devices").await.status, StatusCode::OK);
    assert_eq!(
        enrolling.get("/api/v1/devices").await.status,
        StatusCode::UNAUTHORIZED,
        "the cookie before opens nothing"
    );
    let codes = full.post("/api/v1/me/recovery-codes", json!({})).await.json();
    // A second sign-in, by a recovery code.
    let begun = nobody.post("/api/v1/session", json!({ "name": "root", "password": PASSWORD })).await.json();
    assert_eq!((&begun["next"], &begun["factors"]), (&json!("second-factor"), &json!(["totp", "recovery"])));
    let finish = json!({ "pending": begun["pending"], "factor": "recovery", "code": codes["codes"][0] });
    let done = nobody.post("/api/v1/session/factor", finish.clone()).await;
    assert_eq!(done.status, StatusCode::OK);
    assert_eq!(nobody.post("/api/v1/session/factor", finish).await.status, StatusCode::BAD_REQUEST);
    let sessions = full.get("/api/v1/sessions").await.json();
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    let out = full.ask(Method::DELETE, "/api/v1/session", None).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(full.get("/api/v1/devices").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn stuffed_credentials_are_slowed_down_and_written_down() {
    let place = place();
    place.with_role("ann", "viewer");
    let auditor = place.with_role("aud", "auditor");
    let (mut wrong, mut slowed) = (0, 0);
    for number in 0..40 {
        let guess = json!({ "name": "ann", "password": format!("guess number {number}") });
        match place.nobody().post("/api/v1/session", guess).await.status {
            StatusCode::UNAUTHORIZED => wrong += 1,
            StatusCode::TOO_MANY_REQUESTS => slowed += 1,
            other => panic!("{other}"),
        }
    }
    assert!((5..=7).contains(&wrong) && slowed >= 33, "{wrong} heard, {slowed} slowed down");
    let log = auditor.get("/api/v1/audit?what=sign-in&outcome=failed&who=ann&limit=500").await.json();
    assert_eq!(log["items"].as_array().unwrap().len(), 40);
    assert_eq!(log["items"][0]["from"], "192.0.2.7");
    assert!(!log.to_string().contains("guess number"), "what was guessed is kept nowhere");
}

#[tokio::test]
async fn the_same_is_said_of_wrong_names_and_wrong_passwords() {
    let place = place();
    place.with_role("ann", "viewer");
    let ask = async |name: &str, password: &str| {
        place.nobody().post("/api/v1/session", json!({ "name": name, "password": password })).await
    };
    let (known, unknown) = (ask("ann", "wrong words here").await, ask("bob", "wrong words here").await);
    assert_eq!((known.status, &known.body), (unknown.status, &unknown.body));
}

#[tokio::test]
async fn a_session_that_somebody_planted_is_not_the_one_that_is_opened() {
    let place = place();
    let ann = place.with_role("ann", "viewer");
    let planted = "pavise=planted";
    let victim = Client { cookie: Some(planted.into()), ..place.nobody() };
    // Whoever signs in with a planted cookie gets another one, and the planted one opens nothing.
    let begun = victim.post("/api/v1/session", json!({ "name": "ann", "password": PASSWORD })).await;
    assert_eq!(begun.status, StatusCode::OK);
    let attacker = Client { cookie: Some(planted.into()), ..place.nobody() };
    assert_eq!(attacker.get("/api/v1/devices").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ann.get("/api/v1/devices").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_sensitive_needs_a_factor_of_the_last_minutes() {
    let place = place();
    let link = place.app.accounts.setup_link(now()).unwrap().unwrap();
    let before = model::Timestamp::from_nanos(now().as_nanos() - 600_000_000_000);
    place.app.accounts.setup(&link, "root", "", PASSWORD, before).unwrap();
    let account::Begun::Enrol(opened) = place.app.accounts.begin("root", PASSWORD, &FROM, before).unwrap()
    else {
        panic!()
    };
    let (uri, ceremony) = place.app.accounts.begin_totp("root", now()).unwrap();
    place.app.accounts.confirm_totp("root", &ceremony, &code(&uri), now()).unwrap();
    // Shown ten minutes ago.
    let root = place.with(place.app.accounts.enrolled(&opened.session, before).unwrap());
    assert_eq!(root.get("/api/v1/devices").await.status, StatusCode::OK);
    for (method, path, body) in [
        (Method::GET, "/api/v1/users", None),
        (Method::POST, "/api/v1/tokens", Some(json!({ "name": "t", "scopes": ["read"], "days": 1 }))),
        (Method::POST, "/api/v1/me/totp", Some(json!({}))),
    ] {
        let refused = root.ask(method, path, body).await;
        assert_eq!(
            (refused.status, &refused.json()["type"]),
            (StatusCode::FORBIDDEN, &json!("/problems/step-up")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say_and_never_more_than_its_owner() {
    let place = place();
    let ann = place.with_role("ann", "analyst");
    let made = ann
        .post("/api/v1/tokens", json!({ "name": "siem", "scopes": ["read", "manage-users"], "days": 30 }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let program = Client { token: Some(secret), ..place.nobody() };
    assert_eq!(program.get("/api/v1/findings").await.status, StatusCode::OK);
    assert_eq!(
        program.get("/api/v1/users").await.status,
        StatusCode::FORBIDDEN,
        "she may not, so it may not"
    );
    let verdict = Some(json!({ "verdict": "true" }));
    assert_eq!(
        program.ask(Method::PUT, "/api/v1/findings/f000000000003/verdict", verdict).await.status,
        StatusCode::FORBIDDEN
    );
    for path in ["/api/v1/tokens", "/api/v1/sessions", "/api/v1/me/passkeys"] {
        assert_eq!(program.get(path).await.status, StatusCode::FORBIDDEN, "{path}: that is for people");
    }
    let user = place.app.accounts.user("ann").unwrap();
    place.app.accounts.change_user("ann", user.version, None, Some(&[]), None).unwrap();
    assert_eq!(
        program.get("/api/v1/findings").await.status,
        StatusCode::FORBIDDEN,
        "her rights are gone, and so are its"
    );
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        ann.ask(Method::DELETE, &format!("/api/v1/tokens/{id}"), None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(program.get("/api/v1/findings").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn users_are_changed_by_whoever_has_seen_them_as_they_are() {
    let place = place();
    let root = place.with_role("root", "administrator");
    let grants = json!([{ "role": "analyst", "zone": "cell-2" }]);
    let invited =
        root.post("/api/v1/users", json!({ "name": "ann", "display": "Ann", "grants": grants })).await;
    assert_eq!(invited.status, StatusCode::CREATED);
    let link = invited.json()["link"].as_str().unwrap().to_owned();
    let secret = link.strip_prefix(&format!("{ORIGIN}/invitation#")).unwrap();
    let accept = json!({ "secret": secret, "password": PASSWORD });
    assert_eq!(place.nobody().post("/api/v1/invitation", accept).await.status, StatusCode::NO_CONTENT);
    for (field, grants) in [
        ("/grants/0/role", json!([{ "role": "king" }])),
        ("/grants/0/role", json!([{ "role": "gateway" }])),
        ("/grants/0/zone", json!([{ "role": "viewer", "zone": "cell-9" }])),
        ("/grants/1/site", json!([{ "role": "viewer" }, { "role": "viewer", "site": "x" }])),
    ] {
        let refused = root.post("/api/v1/users", json!({ "name": "bob", "grants": grants })).await;
        assert_eq!((refused.status, &refused.json()["at"]), (StatusCode::BAD_REQUEST, &json!(field)));
    }
    let seen = root.get("/api/v1/users/ann").await;
    let tag = seen.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(
        root.clone().with_header("if-none-match", &tag).get("/api/v1/users/ann").await.status,
        StatusCode::NOT_MODIFIED
    );
    let patch = async |tag: Option<&str>| {
        let client = tag.map_or_else(|| root.clone(), |tag| root.clone().with_header("if-match", tag));
        client.ask(Method::PATCH, "/api/v1/users/ann", Some(json!({ "disabled": true }))).await.status
    };
    assert_eq!(patch(None).await, StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(patch(Some("\"nonsense\"")).await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(patch(Some(&tag)).await, StatusCode::OK);
    assert_eq!(patch(Some(&tag)).await, StatusCode::PRECONDITION_FAILED, "it has changed meanwhile");
}
