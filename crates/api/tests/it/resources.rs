//! What is asked for is what is there, for whoever may see it.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::{AuditLog, Commit, SourceState, Store};

use crate::client::{device, grant, place};

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn devices_are_filtered_sorted_paged_and_cut_to_fields() {
    let place = place();
    let ann = place.with_role("ann", "viewer");
    let all = ann.get("/api/v1/devices").await.json();
    assert_eq!(
        (ids(&all), &all["total"]),
        (vec!["d000000000001", "d000000000002", "d000000000003"], &json!(3))
    );
    assert_eq!(all["items"][0]["zone"], "cell-1");
    assert_eq!((&all["items"][1]["worst"], &all["items"][1]["findings"]), (&json!("medium"), &json!(1)));
    let some = ann
        .get("/api/v1/devices?filter=ip:10.1.0.0/16%20or%20name:plain&sort=-id&limit=1&fields=id,zone")
        .await
        .json();
    assert_eq!(some["items"], json!([{ "id": "d000000000003" }]));
    assert_eq!(some["total"], 2);
    let next = format!(
        "/api/v1/devices?filter=ip:10.1.0.0/16%20or%20name:plain&sort=-id&limit=1&fields=id,zone&cursor={}",
        some["next"].as_str().unwrap()
    );
    let rest = ann.get(&next).await.json();
    assert_eq!(
        (&rest["items"], &rest["next"]),
        (&json!([{ "id": "d000000000001", "zone": "cell-1" }]), &json!(null))
    );
    let one = ann.get("/api/v1/devices/d000000000001").await;
    assert_eq!(one.json()["attributes"]["role"][0]["source"], "dhcp.hostname");
    let tag = one.headers["etag"].to_str().unwrap();
    let again = ann.clone().with_header("if-none-match", tag).get("/api/v1/devices/d000000000001").await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    for missing in ["d000000000009", "x", "d1"] {
        assert_eq!(ann.get(&format!("/api/v1/devices/{missing}")).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn who_has_a_zone_sees_that_zone() {
    let place = place();
    let ann = place.signed_in("ann", &[grant("analyst", Some("cell-1"))]);
    assert_eq!(ids(&ann.get("/api/v1/devices").await.json()), ["d000000000001"]);
    assert_eq!(ids(&ann.get("/api/v1/findings").await.json()), ["f000000000001"]);
    assert_eq!(ann.get("/api/v1/zones").await.json().as_array().unwrap().len(), 1);
    assert_eq!(ann.get("/api/v1/overview").await.json()["devices"]["full"], 1);
    assert_eq!(
        ann.get("/api/v1/devices/d000000000002").await.status,
        StatusCode::NOT_FOUND,
        "not there for her"
    );
    assert_eq!(ann.get("/api/v1/flows").await.status, StatusCode::FORBIDDEN);
    assert_eq!(ann.get("/api/v1/flows?device=d000000000001").await.status, StatusCode::OK);
    assert_eq!(ann.get("/api/v1/flows?device=d000000000002").await.status, StatusCode::NOT_FOUND);
    let judge = async |id: &str| {
        ann.ask(Method::PUT, &format!("/api/v1/findings/{id}/verdict"), Some(json!({ "verdict": "true" })))
            .await
            .status
    };
    assert_eq!(
        (judge("f000000000001").await, judge("f000000000002").await),
        (StatusCode::OK, StatusCode::NOT_FOUND)
    );
    let many = ann
        .post(
            "/api/v1/findings/verdicts",
            json!({ "findings": ["f000000000001", "f000000000003"], "verdict": "false" }),
        )
        .await
        .json();
    assert_eq!((&many["judged"], &many["refused"][0]["id"]), (&json!(1), &json!("f000000000003")));
}

#[tokio::test]
async fn a_verdict_is_kept_written_down_and_can_be_taken_back() {
    let place = place();
    let ann = place.with_role("ann", "analyst");
    let path = "/api/v1/findings/f000000000002/verdict";
    let said = json!({ "verdict": "expected", "scope": "actor", "reason": "our scanner" });
    let judged = ann.ask(Method::PUT, path, Some(said)).await;
    assert_eq!(judged.json()["judgement"]["verdict"], "expected");
    assert_eq!(place.store.judgements().unwrap().len(), 1);
    let overview = ann.get("/api/v1/overview").await.json();
    assert_eq!(overview["findings"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>(), 2);
    assert_eq!(ids(&ann.get("/api/v1/findings?filter=verdict:expected").await.json()), ["f000000000002"]);
    let back = ann.ask(Method::DELETE, path, None).await;
    assert!(back.json()["judgement"].is_null());
    let log = AuditLog::open(place.folder.path()).unwrap().unwrap();
    let (entries, _) = log.latest(None, 10, 100, &mut |entry| entry.what.starts_with("verdict")).unwrap();
    let told: Vec<_> = entries
        .iter()
        .rev()
        .map(|(_, entry)| {
            (entry.what.as_str(), entry.before.as_deref(), entry.after.as_deref(), entry.why.as_deref())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("verdict-given", None, Some("expected for the actor"), Some("our scanner")),
            ("verdict-taken-back", Some("expected for the actor"), None, None),
        ]
    );
    assert_eq!(entries[0].1.who, "ann");
    log.verify().unwrap();
}

#[tokio::test]
async fn conversations_come_by_pages_from_the_latest() {
    let place = place();
    let ann = place.with_role("ann", "viewer");
    let mut seen = 0;
    let mut path = "/api/v1/flows?filter=port=502&limit=40&fields=id,server".to_owned();
    loop {
        let page = ann.get(&path).await.json();
        assert!(page["items"].as_array().unwrap().iter().all(|flow| flow["server"]["port"] == 502));
        seen += page["items"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/flows?filter=port=502&limit=40&fields=id,server&cursor={next}");
    }
    assert_eq!(seen, 150);
    let since = ann.get("/api/v1/flows?since=2023-11-14T22:18:10Z&limit=500").await.json();
    assert_eq!(since["items"].as_array().unwrap().len(), 10, "conversations 290 to 299");
    assert_eq!(ann.get("/api/v1/flows?since=yesterday").await.json()["at"], "since");
}

#[tokio::test]
async fn what_happens_is_told_to_whoever_listens_and_may_see_it() {
    let mut place = place();
    let listen = async |client: &crate::client::Client| {
        client.raw(Method::GET, "/api/v1/events", Body::empty()).await.into_body()
    };
    let mut all = listen(&place.with_role("ann", "viewer")).await;
    let mut one = listen(&place.signed_in("bob", &[grant("viewer", Some("cell-1"))])).await;
    let source = SourceState { key: "a".into(), packets: 20, ..SourceState::default() };
    let devices = [device(7, "10.2.0.7", "new"), device(8, "10.1.0.8", "new")];
    place.store.commit(Commit { source, ..Commit::default() }, &mut devices.into_iter()).unwrap();
    place.app.refresh().unwrap();
    let event = async |body: &mut Body| {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
        serde_json::from_str::<Value>(&data).unwrap()
    };
    let new = |id: &str| json!({ "event": "device", "id": id, "new": true, "trust": "full" });
    assert_eq!(event(&mut all).await, new("d000000000007"));
    assert_eq!(event(&mut all).await, new("d000000000008"));
    assert_eq!(event(&mut one).await, new("d000000000008"), "of the other zone nothing is heard");
    assert_eq!(event(&mut one).await["event"], "progress");
}

#[tokio::test]
async fn what_is_looked_for_and_how_the_sensor_is_can_be_asked() {
    let place = place();
    let ann = place.with_role("ann", "viewer");
    assert_eq!(ann.get("/api/v1/detectors").await.json().as_array().unwrap().len(), detect::DETECTORS.len());
    let fields = ann.get("/api/v1/fields").await.json();
    assert_eq!(fields["findings"][2]["words"], json!(["info", "low", "medium", "high", "critical"]));
    assert_eq!(ann.get("/api/v1/system").await.json()["sources"][0]["packets"], 9);
    assert_eq!(ann.get("/api/v1/sites").await.json()[0]["name"], "North plant");
    let metrics = ann.get("/api/v1/metrics").await;
    let text = String::from_utf8(metrics.body.clone()).unwrap();
    assert!(
        text.contains("pavise_packets_total 9\n") && text.contains("pavise_devices{trust=\"full\"} 3\n"),
        "{text}"
    );
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(ann.get("/api/v1/outbox").await.json(), json!([]));
    assert_eq!(place.nobody().get("/api/v1/health").await.json()["status"], "ok");
    assert_eq!(place.nobody().get("/problems/step-up").await.status, StatusCode::OK);
    assert_eq!(place.nobody().get("/api/v1/openapi.json").await.json()["openapi"], "3.1.0");
}
