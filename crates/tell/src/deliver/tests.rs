use std::io::Read;
use std::net::TcpListener;
use std::path::Path;

use proptest::prelude::*;
use testkit::tls::{free, web};

use super::*;
use crate::peers::{Moody, after, message, nothing, outbox};
use crate::{DELAY_MAX, Text};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

fn letter(id: &str) -> Letter {
    Letter { id: id.into(), body: id.into() }
}

fn silent(_: &str) {}

/// Does all that is due until nothing is, or until a moment; then the time is that of the next step, or that moment.
fn run(delivery: &mut Delivery, outbox: &Mutex<Outbox>, from: Timestamp, until: Timestamp) -> usize {
    let (mut now, mut steps) = (from, 0);
    while now < until {
        steps += 1;
        now = match delivery.step(outbox, now, &silent).unwrap() {
            Step::Sent(_) => now,
            Step::Failed(next) | Step::Idle(Some(next)) => next,
            Step::Idle(None) => until,
        };
    }
    steps
}

#[test]
fn who_is_down_for_an_hour_is_told_all_in_order_and_nobody_else_waits() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = outbox(folder.path());
    let [down, up] = [Moody::default(), Moody::default()];
    up.set(true);
    let mut to_down = Delivery::new("down", "down.example", Box::new(down.clone()));
    let mut to_up = Delivery::new("up", "up.example", Box::new(up.clone()));
    let mut all = Vec::new();
    for minute in 0..60 {
        let now = after(START, minute * 60);
        let id = minute.to_string();
        outbox.lock().unwrap().put(&[("down", letter(&id)), ("up", letter(&id))], now).unwrap();
        all.push(id);
        run(&mut to_up, &outbox, now, after(now, 1));
        run(&mut to_down, &outbox, now, after(now, 60));
        assert_eq!(up.heard(), all);
    }
    assert!(down.heard().is_empty());
    // Not tried more often than the delays say: at least half of 1, 2, 4, ... s, and then of 300 s.
    let tries = *down.tries.lock().unwrap();
    assert!((12..40).contains(&tries), "{tries}");
    down.set(true);
    let back = after(START, 3_600);
    run(&mut to_down, &outbox, back, back + DELAY_MAX + DELAY_MAX);
    assert_eq!(down.heard(), all);
    assert_eq!(outbox.lock().unwrap().count("down").unwrap(), 0);
}

#[test]
fn that_somebody_cannot_be_told_is_said_once_and_that_he_is_told_again_too() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = outbox(folder.path());
    let moody = Moody::default();
    let mut delivery = Delivery::new("a", "a.example", Box::new(moody.clone()));
    outbox.lock().unwrap().put(&[("a", letter("1")), ("a", letter("2"))], START).unwrap();
    let said = Mutex::new(Vec::new());
    let say = |text: &str| said.lock().unwrap().push(text.to_owned());
    let mut now = START;
    for _ in 0..3 {
        let Step::Failed(next) = delivery.step(&outbox, now, &say).unwrap() else { panic!() };
        assert_eq!(delivery.step(&outbox, now, &say).unwrap(), Step::Idle(Some(next)));
        now = next;
    }
    moody.set(true);
    assert_eq!(delivery.step(&outbox, now, &say).unwrap(), Step::Sent(1));
    assert_eq!(delivery.step(&outbox, now, &say).unwrap(), Step::Sent(1));
    assert_eq!(delivery.step(&outbox, now, &say).unwrap(), Step::Idle(None));
    let said = said.into_inner().unwrap();
    assert_eq!(
        said,
        [
            "pavise: a.example could not be told: nobody is there; it waits in the outbox and is tried again",
            "pavise: a.example is told again; still waiting: 1 message."
        ]
    );
}

#[test]
fn a_syslog_server_that_is_started_late_gets_what_waited_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let port = free();
    let text: Text = toml::from_str(&format!("syslog = \"tcp://127.0.0.1:{port}\"")).unwrap();
    let receiver = text.open(nothing).unwrap().receivers.remove(0);
    let letters: Vec<_> =
        ["taken", "expired"].iter().map(|outcome| receiver.packer.pack(&message(outcome)).unwrap()).collect();
    let bodies: Vec<_> =
        letters.iter().map(|letter| format!("{} {}", letter.body.len(), letter.body)).collect();
    let mut delivery = Delivery::new("syslog", &receiver.name, receiver.carrier);
    let first = outbox(folder.path());
    let both: Vec<_> = letters.into_iter().map(|letter| ("syslog", letter)).collect();
    first.lock().unwrap().put(&both, START).unwrap();
    let Step::Failed(next) = delivery.step(&first, START, &silent).unwrap() else { panic!() };
    // Pavise is killed; when it is back, so is the server.
    drop(first);
    let second = outbox(folder.path());
    assert_eq!(delivery.step(&second, START, &silent).unwrap(), Step::Idle(Some(next)));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(delivery.step(&second, next, &silent).unwrap(), Step::Sent(2));
    let mut seen = String::new();
    listener.accept().unwrap().0.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, bodies.concat());
    assert!(seen.contains("[message@32473 id=\"msg_") && seen.contains("change=\"expired\"]"), "{seen}");
}

#[test]
fn a_collector_that_is_started_late_gets_log_records_in_one_post() {
    let folder = tempfile::tempdir().unwrap();
    let port = free();
    let text: Text = toml::from_str(&format!("otlp = \"http://127.0.0.1:{port}/v1/logs\"")).unwrap();
    let receiver = text.open(nothing).unwrap().receivers.remove(0);
    let outbox = outbox(folder.path());
    let put = |outcome| {
        let letter = receiver.packer.pack(&message(outcome)).unwrap();
        outbox.lock().unwrap().put(&[("otlp", letter)], START).unwrap();
    };
    put("taken");
    put("expired");
    let mut delivery = Delivery::new("otlp", &receiver.name, receiver.carrier);
    let Step::Failed(next) = delivery.step(&outbox, START, &silent).unwrap() else { panic!() };
    let server = web(None, port, &["200 OK"]);
    assert_eq!(delivery.step(&outbox, next, &silent).unwrap(), Step::Sent(2));
    let posted = server.hears();
    assert!(posted.head.starts_with("POST /v1/logs HTTP/1.1\r\n"), "{}", posted.head);
    let body: serde_json::Value = serde_json::from_str(&posted.body).unwrap();
    let records = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    // High is ERROR, 17; 64-bit numbers are texts (JSON mapping of protobuf).
    assert_eq!((&records[0]["severityNumber"], &records[0]["severityText"]), (&17.into(), &"ERROR".into()));
    assert_eq!(records[0]["timeUnixNano"], "1700000060000000000");
    let id = |record: &serde_json::Value| {
        let all = record["attributes"].as_array().unwrap();
        all.iter().find(|one| one["key"] == "pavise.id").unwrap()["value"]["stringValue"].clone()
    };
    assert_eq!(id(&records[0]), message("taken").id);
    assert_ne!(id(&records[0]), id(&records[1]));
}

/// What happens between two steps.
#[derive(Clone, Debug)]
enum Act {
    Put,
    Step,
    Turn(bool),
    Pass(u64),
    Kill,
}

fn restart(folder: &Path, moody: &Moody) -> (Mutex<Outbox>, Delivery) {
    (outbox(folder), Delivery::new("a", "a", Box::new(moody.clone())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_killed_between_steps_each_is_heard_once_and_in_order(acts in prop::collection::vec(prop_oneof![
        3 => Just(Act::Put),
        4 => Just(Act::Step),
        2 => any::<bool>().prop_map(Act::Turn),
        2 => (0_u64..400).prop_map(Act::Pass),
        2 => Just(Act::Kill),
    ], 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let moody = Moody::default();
        let (mut outbox, mut delivery) = restart(folder.path(), &moody);
        let (mut now, mut put) = (START, Vec::new());
        for act in acts {
            match act {
                Act::Put => {
                    let id = put.len().to_string();
                    outbox.lock().unwrap().put(&[("a", letter(&id))], now).unwrap();
                    put.push(id);
                }
                Act::Step => drop(delivery.step(&outbox, now, &silent).unwrap()),
                Act::Turn(is_up) => moody.set(is_up),
                Act::Pass(seconds) => now = after(now, seconds),
                Act::Kill => (outbox, delivery) = restart(folder.path(), &moody),
            }
        }
        moody.set(true);
        run(&mut delivery, &outbox, now, now + DELAY_MAX + DELAY_MAX);
        // Between steps nothing is in the air: nothing comes twice.
        prop_assert_eq!(moody.heard(), put);
    }
}
