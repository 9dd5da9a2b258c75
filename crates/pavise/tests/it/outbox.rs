//! `pavise outbox`, on what a watch has left.

use std::time::Duration;

use ::tell::{Letter, Limits, Outbox};

use super::*;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A place with an outbox in which three messages wait for a webhook that is down, and none for a file.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    let mut outbox = Outbox::open(&place.path("state"), Limits::default()).unwrap();
    outbox.know("file", "actions.jsonl").unwrap();
    outbox.know("webhook", "https://soc.plant.example").unwrap();
    for number in 0..3 {
        let letter = Letter { id: format!("msg_{number}"), body: "{}".into() };
        outbox.put(&[("webhook", letter)], START + Duration::from_secs(number)).unwrap();
    }
    outbox.failed("webhook", "it answers 503\u{1b}[31m", START + Duration::from_secs(60)).unwrap();
    place
}

#[test]
fn what_waits_is_listed_with_why_and_can_be_tried_at_once_or_dropped() {
    let place = place();
    let list = place.run(&["outbox"]).good().out;
    let line = list.lines().find(|line| line.starts_with("webhook")).expect(&list);
    for part in ["https://soc.plant.example", " 3 ", "2023-11-14T22:13:20Z", "it answers 503[31m"] {
        assert!(line.contains(part), "{part}\n{list}");
    }
    assert!(list.contains("3 messages waiting. `pavise outbox retry`") && !list.contains('\u{1b}'), "{list}");
    let of = |receiver: &str| {
        let all = json(&place.run(&["outbox", "--json"]).good().out);
        all.as_array().unwrap().iter().find(|one| one["receiver"] == receiver).unwrap().clone()
    };
    let webhook = of("webhook");
    assert_eq!((&webhook["waiting"], &webhook["failures"]), (&3.into(), &1.into()));
    assert_eq!(webhook["oldest"], "2023-11-14T22:13:20Z");
    assert!(webhook["next_try"].as_str().unwrap() > "2023-11-14T22:14:20Z", "{webhook}");
    assert_eq!((&of("file")["waiting"], &of("file")["oldest"]), (&0.into(), &Value::Null));

    assert_eq!(place.run(&["outbox", "retry", "webhook"]).good().said, "To be tried at once: 1 receiver.\n");
    assert_eq!(of("webhook")["next_try"], Value::Null);
    let dropped =
        place.run(&["outbox", "drop", "webhook", "--first", "1", "--reason", "it answers 413"]).good();
    assert_eq!(dropped.said, "Dropped for webhook: 1 message.\n");
    let webhook = of("webhook");
    assert_eq!((&webhook["waiting"], &webhook["dropped"]), (&2.into(), &1.into()));
    assert_eq!(
        (&webhook["drop_reason"], &webhook["oldest"]),
        (&"it answers 413".into(), &"2023-11-14T22:13:21Z".into())
    );
    place.run(&["outbox", "drop", "webhook", "--reason", "it is gone"]).good();
    assert!(place.run(&["outbox"]).good().out.contains("0 messages waiting.\n"));
}

#[test]
fn what_cannot_be_done_is_told_with_what_to_do() {
    let place = place();
    place
        .run(&["outbox", "retry", "pager"])
        .refused("there is no receiver \"pager\" in the outbox: expected file, webhook");
    place
        .run(&["outbox", "drop", "pager", "--reason", "x"])
        .refused("there is no receiver \"pager\" in the outbox: expected file, webhook");
    // Nothing is dropped without a reason.
    for arguments in [&["outbox", "drop", "webhook"][..], &["outbox", "drop", "webhook", "--reason", ""]] {
        assert!(place.run(arguments).said.contains("--reason"));
    }
    assert!(place.run(&["outbox"]).good().out.contains("3 messages waiting."));
    let empty = Place::new();
    let said = empty.run(&["outbox"]).said;
    assert!(said.contains("there is no outbox in ") && said.contains("--state"), "{said}");
    assert!(!empty.path("state").exists(), "looking makes nothing");
    assert!(place.run(&["outbox", "--help"]).good().out.contains("pavise outbox drop webhook --first 1"));
}
