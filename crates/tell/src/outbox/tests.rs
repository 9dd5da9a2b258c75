use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::delay::DELAY_MIN;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

fn letter(id: &str) -> Letter {
    Letter { id: id.into(), body: format!("body of {id}") }
}

fn open(folder: &Path) -> Outbox {
    Outbox::open(folder, Limits::default()).unwrap()
}

fn ids(next: Next) -> Vec<String> {
    match next {
        Next::Send(all) => all.into_iter().map(|waiting| waiting.letter.id).collect(),
        other => panic!("{other:?}"),
    }
}

fn of(outbox: &Outbox, receiver: &str) -> Status {
    outbox.status().unwrap().into_iter().find(|status| status.receiver == receiver).unwrap()
}

/// Acknowledges what comes next.
fn take(outbox: &mut Outbox, receiver: &str, most: usize, now: Timestamp) -> Vec<String> {
    let Next::Send(all) = outbox.next(receiver, most, now).unwrap() else { return Vec::new() };
    let places: Vec<_> = all.iter().map(|waiting| waiting.place).collect();
    outbox.taken(receiver, &places).unwrap();
    all.into_iter().map(|waiting| waiting.letter.id).collect()
}

#[test]
fn only_its_owner_may_use_the_file_and_what_is_done_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, "").unwrap();
    set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let mut outbox = open(folder.path());
    outbox.put(&[("a", letter("1"))], START).unwrap();
    for name in [FILE, "outbox.db-wal", "outbox.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let pragma = |name| outbox.connection.pragma_query_value(None, name, |row| row.get::<_, String>(0));
    assert_eq!(pragma("journal_mode").unwrap(), "wal");
    let synchronous: u32 =
        outbox.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    // 2 is FULL.
    assert_eq!(synchronous, 2);
    let seed = outbox.seed();
    drop(outbox);
    assert_eq!(open(folder.path()).seed(), seed);
    assert_ne!(open(tempfile::tempdir().unwrap().path()).seed(), seed);
}

#[test]
fn what_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Outbox::find(folder.path()).unwrap().is_none());
    assert!(matches!(
        Outbox::open(&folder.path().join("none"), Limits::default()),
        Err(TellError::File { .. })
    ));
    let outbox = open(folder.path());
    outbox.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(outbox);
    let error = Outbox::open(folder.path(), Limits::default()).unwrap_err();
    assert!(matches!(error, TellError::Newer { found: 99, known: 1, .. }), "{error}");
    std::fs::write(folder.path().join(FILE), "no database".repeat(100)).unwrap();
    let error = Outbox::open(folder.path(), Limits::default()).unwrap_err();
    assert!(
        matches!(error, TellError::Damaged { .. }) && error.to_string().contains("move it away"),
        "{error}"
    );
}

#[test]
fn the_same_told_twice_is_one_also_after_it_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let both = [("a", letter("1")), ("b", letter("1"))];
    assert_eq!(outbox.put(&both, START).unwrap(), Put { kept: 2, known: 0, given_up: 0 });
    assert_eq!(outbox.put(&both, START).unwrap(), Put { kept: 0, known: 2, given_up: 0 });
    assert_eq!(take(&mut outbox, "a", 9, START), ["1"]);
    assert_eq!(outbox.put(&both, START).unwrap().known, 2);
    assert_eq!(outbox.next("a", 9, START).unwrap(), Next::Nothing);
    assert_eq!((of(&outbox, "a").delivered, of(&outbox, "b").waiting), (1, 1));
}

#[test]
fn of_what_was_delivered_the_last_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let all: Vec<_> = (0..REMEMBERED + 1).map(|number| ("a", letter(&number.to_string()))).collect();
    outbox.put(&all, START).unwrap();
    while !take(&mut outbox, "a", 5_000, START).is_empty() {}
    assert_eq!(outbox.put(&all[..2], START).unwrap(), Put { kept: 1, known: 1, given_up: 0 });
    assert_eq!(ids(outbox.next("a", 9, START).unwrap()), ["0"]);
}

#[test]
fn they_come_in_order_in_parts_that_are_not_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let large = |id: &str| Letter { id: id.into(), body: "x".repeat(BATCH_BYTES / 2) };
    outbox
        .put(&[("a", large("3")), ("a", large("1")), ("a", large("2")), ("a", letter("0"))], START)
        .unwrap();
    assert_eq!(ids(outbox.next("a", 1, START).unwrap()), ["3"]);
    assert_eq!(ids(outbox.next("a", 9, START).unwrap()), ["3", "1"]);
    assert_eq!(take(&mut outbox, "a", 9, START), ["3", "1"]);
    assert_eq!(take(&mut outbox, "a", 9, START), ["2", "0"]);
    assert_eq!(of(&outbox, "a").bytes, 0);
}

#[test]
fn who_does_not_listen_waits_longer_each_time_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    outbox.put(&[("a", letter("1")), ("b", letter("1"))], START).unwrap();
    let (mut now, mut waits) = (START, Vec::new());
    for failures in 1..=20 {
        let next = outbox.failed("a", "down", now).unwrap();
        assert_eq!(outbox.next("a", 1, now).unwrap(), Next::After(next));
        let status = of(&outbox, "a");
        assert_eq!((status.failures, status.last_error.as_deref()), (failures, Some("down")));
        waits.push(next.since(now));
        now = next;
        assert_eq!(ids(outbox.next("a", 1, now).unwrap()), ["1"]);
        assert_eq!(ids(outbox.next("b", 1, START).unwrap()), ["1"]);
    }
    assert!(
        waits[0] >= DELAY_MIN && waits[19] > DELAY_MAX / 2 && waits.iter().all(|wait| *wait <= DELAY_MAX)
    );
    // A clock that was put back: it is tried, not in some years.
    outbox.failed("a", "down", now).unwrap();
    assert_eq!(ids(outbox.next("a", 1, START).unwrap()), ["1"]);
    // A person need not wait, and what was taken makes all well again.
    assert_eq!((outbox.retry(Some("b")).unwrap(), outbox.retry(None).unwrap()), (1, 2));
    assert_eq!(take(&mut outbox, "a", 1, now), ["1"]);
    let status = of(&outbox, "a");
    assert_eq!((status.failures, status.last_error, status.next_try), (0, None, None));
    assert_eq!(outbox.retry(None).unwrap(), 1);
}

#[test]
fn what_is_too_old_or_has_no_room_is_given_up_oldest_first_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { age: Duration::from_secs(100), messages: 3, bytes: 60 };
    let mut outbox = Outbox::open(folder.path(), limits).unwrap();
    let mut given_up = 0;
    for number in 0..5 {
        let now = START + Duration::from_secs(number * 10);
        given_up += outbox.put(&[("a", letter(&number.to_string()))], now).unwrap().given_up;
    }
    assert_eq!(
        (given_up, ids(outbox.next("a", 9, START).unwrap())),
        (2, vec!["2".into(), "3".into(), "4".into()])
    );
    // By bytes: each of these has 10 with its id, one has 41.
    let long = Letter { id: "l".into(), body: "x".repeat(40) };
    assert_eq!(outbox.put(&[("a", long)], START + Duration::from_secs(50)).unwrap().given_up, 2);
    assert_eq!(ids(outbox.next("a", 9, START).unwrap()), ["4", "l"]);
    outbox.put(&[("b", letter("9"))], START + Duration::from_secs(60)).unwrap();
    assert_eq!(outbox.expire(START + Duration::from_secs(140)).unwrap(), []);
    assert_eq!(outbox.expire(START + Duration::from_secs(151)).unwrap(), [("a".to_owned(), 2)]);
    let status = of(&outbox, "a");
    assert_eq!((status.given_up, status.waiting, status.bytes, status.oldest), (6, 0, 0, None));
    assert_eq!((of(&outbox, "b").given_up, of(&outbox, "b").waiting), (0, 1));
    // What could never be kept is given up alone.
    let huge = Letter { id: "h".into(), body: "x".repeat(BODY_MAX + 1) };
    assert_eq!(outbox.put(&[("b", huge)], START).unwrap(), Put { kept: 0, known: 0, given_up: 1 });
    assert_eq!(ids(outbox.next("b", 9, START).unwrap()), ["9"]);
}

#[test]
fn a_person_may_drop_what_waits_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let all: Vec<_> = ["1", "2", "3"].map(|id| ("a", letter(id))).into();
    outbox.put(&all, START).unwrap();
    outbox.failed("a", "413", START).unwrap();
    // By another process, while this one has it open.
    let mut other = Outbox::find(folder.path()).unwrap().unwrap();
    assert_eq!(other.discard("a", Some(1), "too long for it").unwrap(), 1);
    assert_eq!(ids(outbox.next("a", 9, START).unwrap()), ["2", "3"]);
    assert_eq!(other.discard("a", None, "it is gone").unwrap(), 2);
    assert_eq!(other.discard("nobody", None, "").unwrap(), 0);
    let status = of(&outbox, "a");
    assert_eq!((status.dropped, status.drop_reason.as_deref(), status.waiting), (3, Some("it is gone"), 0));
}

#[test]
fn how_far_the_store_was_followed_is_kept_with_what_is_told_of_it_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    assert_eq!(outbox.cursor("a").unwrap(), None);
    let stand = Stand { severity: Severity::High, also: "true".into(), revision: 3 };
    let followed = Followed {
        cursor: 7,
        stands: vec![("f1".into(), stand.clone()), ("i1".into(), stand.clone())],
        gone: vec!["i1".into()],
        letters: vec![letter("1")],
    };
    outbox.follow("a", &followed, START).unwrap();
    drop(outbox);
    let mut outbox = open(folder.path());
    assert_eq!((outbox.cursor("a").unwrap(), outbox.cursor("b").unwrap()), (Some(7), None));
    assert_eq!((outbox.stand("a", "f1").unwrap(), outbox.stand("a", "i1").unwrap()), (Some(stand), None));
    assert_eq!(ids(outbox.next("a", 9, START).unwrap()), ["1"]);
    // A disk that is full: a database that may not grow says the same.
    let pages: i64 = outbox.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    outbox.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    let body = "x".repeat(BODY_MAX);
    let more = Followed { cursor: 8, letters: vec![Letter { id: "2".into(), body }], ..Followed::default() };
    assert!(matches!(outbox.follow("a", &more, START), Err(TellError::Full(_))));
    assert_eq!((outbox.cursor("a").unwrap(), of(&outbox, "a").waiting), (Some(7), 1));
}

#[test]
fn what_was_taken_is_not_sent_again_because_that_could_not_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = std::sync::Mutex::new(open(folder.path()));
    outbox.lock().unwrap().put(&[("a", letter("1")), ("a", letter("2"))], START).unwrap();
    outbox.lock().unwrap().connection.pragma_update(None, "busy_timeout", 0).unwrap();
    let moody = crate::peers::Moody::default();
    moody.set(true);
    let mut delivery = crate::Delivery::new("a", "a", Box::new(moody.clone()));
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut step = || delivery.step(&outbox, START, &|_| ());
    for _ in 0..3 {
        assert!(matches!(step(), Err(TellError::Database { .. })));
        assert_eq!(moody.heard(), ["1"]);
    }
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(step().unwrap(), crate::Step::Sent(1));
    assert_eq!(
        (step().unwrap(), moody.heard()),
        (crate::Step::Idle(None), vec!["1".to_owned(), "2".to_owned()])
    );
}

/// Says to the test binary where the process that is killed puts messages.
const KILLED: &str = "PAVISE_OUTBOX_KILLED";

#[test]
fn what_was_put_there_survives_the_kill_of_its_process() {
    for count in [1, 9, 40] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "outbox::tests::within_the_process_that_is_killed", "--nocapture"])
            .env(KILLED, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let put: Vec<String> = lines
            .filter_map(|line| line.split_once("put ").map(|(_, id)| id.to_owned()))
            .take(count)
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(put.len(), count);
        let mut outbox = open(folder.path());
        let kept = ids(outbox.next("a", 1_000, START).unwrap());
        assert!(kept.starts_with(&put), "{put:?} of {kept:?}");
        assert_eq!(of(&outbox, "a").waiting, kept.len() as u64);
        assert_eq!(take(&mut outbox, "a", 1_000, START), kept);
    }
}

/// Not a test but the process of the one above.
#[test]
fn within_the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(KILLED) else { return };
    let mut outbox = open(Path::new(&folder));
    for number in 0..100_000 {
        let id = number.to_string();
        outbox.put(&[("a", letter(&id))], START).unwrap();
        println!("put {id}");
    }
}

/// What happens to an outbox.
#[derive(Clone, Debug)]
enum Act {
    /// A message with this number is put there for both.
    Put(u8),
    /// What is next is sent to one of them, and acknowledged or not before the kill.
    Send { to: bool, most: usize, acknowledged: bool },
    /// It does not listen.
    Fail(bool),
    /// Pavise is killed and started again.
    Kill,
    /// Time passes.
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0_u8..40).prop_map(Act::Put),
        4 => (any::<bool>(), 1_usize..4, any::<bool>())
            .prop_map(|(to, most, acknowledged)| Act::Send { to, most, acknowledged }),
        2 => any::<bool>().prop_map(Act::Fail),
        2 => Just(Act::Kill),
        2 => (0_u64..600).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_killed_when_nothing_is_lost_and_all_come_in_order(acts in acts()) {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Some(open(folder.path()));
        let mut now = START;
        let keys = ["a", "b"];
        let mut put: Vec<String> = Vec::new();
        // What each has seen, and what was acknowledged of it.
        let mut seen: [Vec<String>; 2] = Default::default();
        let mut acknowledged: [BTreeSet<String>; 2] = Default::default();
        for act in acts {
            let open_now = outbox.get_or_insert_with(|| open(folder.path()));
            match act {
                Act::Put(number) => {
                    let id = number.to_string();
                    let letters = keys.map(|key| (key, letter(&id)));
                    open_now.put(&letters, now).unwrap();
                    if !put.contains(&id) {
                        put.push(id);
                    }
                }
                Act::Send { to, most, acknowledged: is_kept } => {
                    let key = keys[usize::from(to)];
                    if let Next::Send(all) = open_now.next(key, most, now).unwrap() {
                        let places: Vec<_> = all.iter().map(|waiting| waiting.place).collect();
                        seen[usize::from(to)].extend(all.iter().map(|waiting| waiting.letter.id.clone()));
                        if is_kept {
                            open_now.taken(key, &places).unwrap();
                            acknowledged[usize::from(to)].extend(all.into_iter().map(|waiting| waiting.letter.id));
                        } else {
                            // Killed before what was acknowledged could be kept.
                            outbox = None;
                        }
                    }
                }
                Act::Fail(to) => drop(open_now.failed(keys[usize::from(to)], "down", now).unwrap()),
                Act::Kill => outbox = None,
                Act::Pass(seconds) => now = now + Duration::from_secs(seconds),
            }
        }
        // In the end both listen.
        let mut outbox = outbox.unwrap_or_else(|| open(folder.path()));
        now = now + DELAY_MAX;
        for (position, key) in keys.into_iter().enumerate() {
            let status: BTreeMap<_, _> =
                outbox.status().unwrap().into_iter().map(|status| (status.receiver.clone(), status)).collect();
            let waiting = status.get(key).map_or(0, |status| status.waiting);
            prop_assert_eq!(waiting as usize, put.len() - acknowledged[position].len());
            loop {
                let more = take(&mut outbox, key, 3, now);
                if more.is_empty() {
                    break;
                }
                seen[position].extend(more);
            }
            // Without what came again, in the order in which they were put there.
            let mut once = Vec::new();
            for id in &seen[position] {
                if !once.contains(id) {
                    once.push(id.clone());
                }
            }
            prop_assert_eq!(&once, &put);
            let end = of_maybe(&outbox, key);
            prop_assert_eq!(end, (0, 0, put.len() as u64));
        }
    }
}

/// What waits for a receiver, its bytes, and what was delivered.
fn of_maybe(outbox: &Outbox, key: &str) -> (u64, u64, u64) {
    let status = outbox.status().unwrap().into_iter().find(|status| status.receiver == key);
    status.map_or((0, 0, 0), |status| (status.waiting, status.bytes, status.delivered))
}
