use std::collections::BTreeSet;

use model::{Endpoint, FlowId, Host, MacAddr, Reach, Transport};
use proptest::prelude::*;

use super::*;
use crate::{FirewallError, MemoryFirewall, Network, Ports};

/// Writes down what it is told.
#[derive(Clone, Debug, Default)]
struct Told {
    told: Vec<String>,
    fails: bool,
}

impl Told {
    fn tell(&mut self, text: String) -> Result<(), String> {
        if self.fails {
            return Err("nobody is there".into());
        }
        self.told.push(text);
        Ok(())
    }
}

impl Hands for Told {
    fn revoke(&mut self, _: ActionId, request: &Request) -> Result<Handed, String> {
        let Action::RevokeCredential { credential, .. } = &request.action else { panic!("{request:?}") };
        self.tell(format!("revoke {credential}"))?;
        Ok(if credential.contains("slow") { Handed::UnderWay } else { Handed::Done })
    }

    fn ask(&mut self, id: ActionId, question: &str) -> Result<(), String> {
        self.tell(format!("ask {id} {question}"))
    }

    fn notify(&mut self, text: &str) -> Result<(), String> {
        self.tell(format!("notify {text}"))
    }
}

type Test = Responder<MemoryFirewall, Told>;

const START: Timestamp = Timestamp::from_secs(1_000_000);

fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn request(action: Action, seconds: u64) -> Request {
    Request { action, life: Duration::from_secs(seconds), reason: "test".into(), incident: None }
}

fn revoke(credential: &str) -> Action {
    Action::RevokeCredential { credential: credential.into(), holder: None }
}

fn quarantine(device: &[&str]) -> Action {
    Action::Quarantine { device: addresses(device) }
}

fn contain() -> Action {
    let need = |peer: &str, device_opens| Need {
        peer: peer.parse().unwrap(),
        protocol: 6,
        ports: Ports { first: 100, last: 200 },
        device_opens,
    };
    let needed = vec![need("10.0.0.0/24", true), need("10.0.0.7", true), need("10.0.0.8", false)];
    Action::Contain { device: addresses(&["10.0.0.5", "02:00:00:00:00:05"]), needed }
}

fn open_with(firewall: MemoryFirewall, path: &Path, now: Timestamp) -> Test {
    let guard = addresses(&["10.0.0.1", "192.0.2.0/28"]);
    Responder::open(firewall, Told::default(), Family::Routed, guard, path, now).unwrap()
}

fn open(folder: &tempfile::TempDir) -> Test {
    open_with(MemoryFirewall::new(), &folder.path().join("journal"), START)
}

fn in_force(responder: &mut Test) -> crate::Table {
    responder.firewall().table(Family::Routed, RESPONSE_TABLE).unwrap().clone()
}

fn keys(responder: &mut Test, set: &str) -> Vec<String> {
    in_force(responder).sets[set].elements.keys().map(|key| key.to_string()).collect()
}

#[test]
fn an_action_is_in_force_until_its_time_is_over_even_if_nobody_is_there_to_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    let action = quarantine(&["10.0.0.5", "fd00::5", "02:00:00:00:00:05"]);
    assert_eq!(responder.act(request(action.clone(), 60), START).unwrap(), Outcome::Taken(action.id()));
    for (set, key) in
        [("quarantine4", "10.0.0.5"), ("quarantine6", "fd00::5"), ("quarantinel", "02:00:00:00:00:05")]
    {
        assert_eq!(in_force(&mut responder).sets[set].elements[key].life_s, Some(60));
    }
    responder.firewall().pass(Duration::from_secs(60));
    assert!(keys(&mut responder, "quarantine4").is_empty());
    assert_eq!(responder.tick(at(59)).unwrap(), vec![]);
    assert_eq!(responder.tick(at(60)).unwrap(), vec![action.id()]);
    assert_eq!(responder.counted(), Counted { taken: 1, expired: 1, ..Counted::default() });
}

#[test]
fn the_same_action_is_taken_once_and_lasts_as_long_as_the_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    let id = quarantine(&["10.0.0.5"]).id();
    responder.act(request(quarantine(&["10.0.0.5"]), 60), START).unwrap();
    let shorter = responder.act(request(quarantine(&["10.0.0.5"]), 20), at(10)).unwrap();
    assert_eq!(shorter, Outcome::Already(id));
    assert_eq!(responder.active()[&id].expires, at(60));
    responder.act(request(quarantine(&["10.0.0.5"]), 60), at(10)).unwrap();
    assert_eq!(responder.active()[&id].expires, at(70));
    assert_eq!(in_force(&mut responder).sets["quarantine4"].elements["10.0.0.5"].life_s, Some(60));
    responder.revert(id, at(20)).unwrap();
    assert!(keys(&mut responder, "quarantine4").is_empty());
    assert!(matches!(responder.revert(id, at(20)), Err(RespondError::Unknown(_))));
    assert_eq!(responder.counted(), Counted { taken: 1, again: 2, reverted: 1, ..Counted::default() });
}

#[test]
fn whoever_is_guarded_is_never_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    let session = |client: &str, server: &str| Action::KillSession {
        session: Session { protocol: 6, client: client.parse().unwrap(), server: server.parse().unwrap() },
    };
    let block = |to: &str| Action::BlockDestination { device: vec![], to: networks(&[to]) };
    for action in [
        quarantine(&["10.0.0.5", "10.0.0.1"]),
        block("10.0.0.0/8"),
        block("192.0.2.3"),
        session("10.0.0.5:1", "10.0.0.1:2"),
        Action::AskPerson { question: "?".into(), then: Box::new(quarantine(&["10.0.0.1"])) },
    ] {
        let error = responder.act(request(action.clone(), 60), START).unwrap_err().to_string();
        assert!(error.contains("the guarded"), "{action:?}: {error}");
        assert!(responder.dry_run(&request(action, 60), &[], START).is_err());
    }
    assert_eq!(responder.counted().refused, 5);
    assert_eq!(in_force(&mut responder).elements(), 0);
    // Who comes on the list later is let go with the next start.
    responder.act(request(quarantine(&["10.0.0.9"]), 60), START).unwrap();
    let firewall = responder.firewall().clone();
    let path = folder.path().join("journal");
    let guard = addresses(&["10.0.0.9"]);
    let mut again = Responder::open(firewall, Told::default(), Family::Routed, guard, &path, at(1)).unwrap();
    assert!(keys(&mut again, "quarantine4").is_empty() && again.active().is_empty());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    let limit = |packets_per_s| Action::RateLimit { device: addresses(&["10.0.0.5"]), packets_per_s };
    let many: Vec<String> = (0..=TARGETS_MAX).map(|n| format!("10.1.{}.{}", n >> 8, n & 255)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (action, seconds, told) in [
        (quarantine(&[]), 60, "no address"),
        (quarantine(&["10.0.0.8/30"]), 60, "a network cannot"),
        (quarantine(&many), 60, "1025 targets"),
        (
            Action::Contain { device: addresses(&["02:00:00:00:00:05"]), needed: vec![] },
            60,
            "quarantine the device",
        ),
        (Action::BlockDestination { device: vec![], to: vec![] }, 60, "to block"),
        (limit(0), 60, "a rate of 0"),
        (limit(1), 0, "between a second"),
        (limit(1), 30 * 86_400 + 1, "between a second"),
    ] {
        let error = responder.act(request(action, seconds), START).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert!(responder.act(request(quarantine(&many[1..]), 60), START).is_ok());
    assert!(responder.act(request(limit(1), 30 * 86_400), START).is_ok());
}

#[test]
fn no_more_actions_than_the_limits() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder).with_limit(2);
    let device = |number: u16| quarantine(&[&format!("10.1.{}.{}", number >> 8, number & 255)]);
    responder.act(request(device(1), 60), START).unwrap();
    responder.act(request(device(2), 60), START).unwrap();
    let error = responder.act(request(device(3), 60), at(3_599)).unwrap_err();
    assert!(matches!(error, RespondError::Refused(Refusal::TooOften(2))), "{error}");
    responder.act(request(device(1), 7_200), at(3_599)).unwrap_err();
    responder.act(request(device(3), 60), at(3_600)).unwrap();
    // A restart does not forget how many there were.
    let firewall = responder.firewall().clone();
    let path = folder.path().join("journal");
    let mut again = open_with(firewall, &path, at(3_601)).with_limit(1);
    assert!(matches!(
        again.act(request(device(4), 60), at(3_601)),
        Err(RespondError::Refused(Refusal::TooOften(1)))
    ));
    let mut full = open(&tempfile::tempdir().unwrap()).with_limit(usize::MAX);
    for number in 0..ACTIONS_MAX as u16 {
        let active = Active { request: request(device(number), 60), expires: at(60) };
        full.active.insert(device(number).id(), active);
    }
    assert!(matches!(
        full.act(request(device(9_999), 60), START),
        Err(RespondError::Refused(Refusal::TooMany(_)))
    ));
}

fn flow(id: u64, client: (&str, u16), server: (&str, u16)) -> FlowHead {
    let end = |(ip, port): (&str, u16)| {
        let ip: std::net::IpAddr = ip.parse().unwrap();
        let last = match ip {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(ip) => ip.octets()[15],
        };
        Endpoint { host: Host { mac: Some(MacAddr([2, 0, 0, 0, 0, last])), ip: Some(ip) }, port }
    };
    FlowHead {
        id: FlowId(id),
        transport: Transport::Tcp,
        vlan: None,
        client: end(client),
        server: end(server),
        client_reach: Reach::Unknown,
        server_reach: Reach::Unknown,
    }
}

#[test]
fn a_dry_run_says_what_would_be_cut_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    let flows = [
        flow(1, ("10.0.0.5", 4_000), ("10.0.0.20", 150)),
        flow(2, ("10.0.0.5", 4_001), ("10.0.0.20", 99)),
        flow(3, ("10.0.0.8", 4_000), ("10.0.0.5", 100)),
        flow(4, ("10.0.0.9", 4_000), ("10.0.0.5", 100)),
        flow(5, ("10.0.0.9", 4_000), ("198.51.100.7", 443)),
    ];
    let before = in_force(&mut responder);
    let mut cut = |action: Action| {
        let trial = responder.dry_run(&request(action, 60), &flows, START).unwrap();
        assert_eq!(trial.blast.flows, trial.blast.first.len());
        (trial.blast.first.iter().map(|id| id.0).collect::<Vec<_>>(), trial.blast.hosts.len())
    };
    assert_eq!(cut(quarantine(&["10.0.0.5"])), (vec![1, 2, 3, 4], 4));
    assert_eq!(cut(quarantine(&["02:00:00:00:00:05"])), (vec![1, 2, 3, 4], 4));
    assert_eq!(cut(contain()), (vec![2, 4], 3));
    let to = networks(&["198.51.100.0/24"]);
    assert_eq!(cut(Action::BlockDestination { device: vec![], to: to.clone() }), (vec![5], 2));
    assert_eq!(cut(Action::BlockDestination { device: networks(&["10.0.0.5"]), to }), (vec![], 0));
    let session = Session {
        protocol: 6,
        client: "10.0.0.5:4001".parse().unwrap(),
        server: "10.0.0.20:99".parse().unwrap(),
    };
    assert_eq!(cut(Action::KillSession { session }), (vec![2], 2));
    assert_eq!(cut(Action::Notify { text: "x".into() }), (vec![], 0));
    assert_eq!(in_force(&mut responder), before);
    assert!(responder.active().is_empty());
    let many: Vec<_> =
        (0..BLAST_MAX as u64 + 5).map(|id| flow(id, ("10.0.0.5", 1), ("10.0.0.6", 2))).collect();
    let radius = BlastRadius::of(&quarantine(&["10.0.0.5"]), &many);
    assert_eq!((radius.flows, radius.first.len()), (BLAST_MAX + 5, BLAST_MAX));
}

#[test]
fn needs_and_blocks_that_overlap_become_elements_that_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    responder.act(request(contain(), 60), START).unwrap();
    assert_eq!(keys(&mut responder, "needed4"), ["10.0.0.5 . 10.0.0.0/24 . 6 . 100-200"]);
    assert_eq!(keys(&mut responder, "neededin4"), ["10.0.0.5 . 10.0.0.8 . 6 . 100-200"]);
    let block = |to: &[&str]| Action::BlockDestination { device: vec![], to: networks(to) };
    responder.act(request(block(&["198.51.100.0/30"]), 60), START).unwrap();
    responder.act(request(block(&["198.51.100.0/31", "203.0.113.1"]), 90), START).unwrap();
    let table = in_force(&mut responder);
    let found: Vec<_> = table.sets["block4"]
        .elements
        .iter()
        .map(|(key, entry)| (key.to_string(), entry.life_s.unwrap()))
        .collect();
    let meant = [("198.51.100.0/31", 90), ("198.51.100.2/31", 60), ("203.0.113.1", 90)];
    assert_eq!(found, meant.map(|(key, life)| (key.to_owned(), life)));
}

#[test]
fn people_and_issuers_are_told_and_what_a_person_says_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    responder.act(request(revoke("cert 7"), 60), START).unwrap();
    responder.act(request(revoke("cert 7"), 90), START).unwrap();
    let ask = |device: &str| Action::AskPerson {
        question: "Cut it?".into(),
        then: Box::new(quarantine(&[device])),
    };
    let [yes, no] = [ask("10.0.0.5"), ask("10.0.0.6")];
    for question in [&yes, &no] {
        responder.act(request(question.clone(), 60), START).unwrap();
    }
    let told = [
        String::from("revoke cert 7"),
        format!("ask {} Cut it?", yes.id()),
        format!("ask {} Cut it?", no.id()),
    ];
    assert_eq!(responder.hands().told, told);
    assert!(keys(&mut responder, "quarantine4").is_empty(), "nothing is done before a person says so");
    assert!(matches!(responder.answer(yes.id(), true, at(1)).unwrap(), Some(Outcome::Taken(_))));
    assert_eq!(responder.answer(no.id(), false, at(1)).unwrap(), None);
    assert_eq!(keys(&mut responder, "quarantine4"), ["10.0.0.5"]);
    assert!(matches!(responder.answer(yes.id(), true, at(2)), Err(RespondError::Unknown(_))));
    responder.hands().fails = true;
    let error = responder.act(request(Action::Notify { text: "hello".into() }, 60), at(2)).unwrap_err();
    assert!(matches!(error, RespondError::Hands(_)));
    assert_eq!(responder.counted().failed, 1);
}

#[test]
fn what_is_known_of_a_holder_makes_no_other_action_and_an_old_journal_is_read() {
    let holder = Holder {
        device: model::DeviceId(7),
        names: vec!["camera-3".into()],
        macs: Vec::new(),
        addresses: vec!["10.0.0.5".parse().unwrap()],
        certificates: Vec::new(),
    };
    let known = Action::RevokeCredential { credential: "d7".into(), holder: Some(Box::new(holder)) };
    assert_eq!(known.id(), revoke("d7").id());
    assert_ne!(known.id(), revoke("d8").id());
    let json = serde_json::to_string(&known).unwrap();
    assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), known);
    let old = r#"{"revoke-credential":{"credential":"d7"}}"#;
    assert_eq!(serde_json::from_str::<Action>(old).unwrap(), revoke("d7"));
}

#[test]
fn what_is_under_way_is_handed_over_again_after_a_restart_until_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    for name in ["slow 1", "slow 2", "slow 3"] {
        assert!(matches!(responder.act(request(revoke(name), 60), START), Ok(Outcome::Taken(_))));
    }
    responder.settle(revoke("slow 1").id(), Ok(()), at(1)).unwrap();
    responder.settle(revoke("slow 2").id(), Err("no".into()), at(1)).unwrap();
    let again = responder.settle(revoke("slow 2").id(), Ok(()), at(2));
    assert!(matches!(again, Err(RespondError::Unknown(_))), "{again:?}");
    assert_eq!(responder.counted().failed, 1);
    drop(responder);
    let mut responder = open(&folder);
    assert_eq!(responder.hands().told, ["revoke slow 3"]);
    let active: Vec<_> = responder.active().keys().copied().collect();
    let mut meant = [revoke("slow 1").id(), revoke("slow 3").id()];
    meant.sort();
    assert_eq!(active, meant);
    // What was given up may be asked for anew.
    assert!(matches!(responder.act(request(revoke("slow 2"), 60), at(3)), Ok(Outcome::Taken(_))));
}

#[test]
fn what_nobody_takes_after_a_restart_is_given_up_and_the_rest_stays_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut responder = open(&folder);
    responder.act(request(quarantine(&["10.0.0.5"]), 60), START).unwrap();
    responder.act(request(revoke("slow 1"), 60), START).unwrap();
    drop(responder);
    let hands = Told { fails: true, ..Told::default() };
    let responder =
        Responder::open(MemoryFirewall::new(), hands, Family::Routed, Vec::new(), &path, at(1)).unwrap();
    assert_eq!(responder.active().keys().collect::<Vec<_>>(), [&quarantine(&["10.0.0.5"]).id()]);
    assert_eq!(responder.counted().failed, 1);
    let last = Journal::read(&path).unwrap().pop().unwrap();
    assert_eq!(last.step, Step::Failed { reason: "nobody is there".into() });
}

#[test]
fn a_firewall_that_fails_leaves_what_was_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    responder.act(request(quarantine(&["10.0.0.5"]), 60), START).unwrap();
    let before = in_force(&mut responder);
    for error in
        [FirewallError::Refused("no".into()), FirewallError::TimedOut { program: "nft".into(), limit_ms: 1 }]
    {
        responder.firewall().fail(0, error);
        assert!(matches!(
            responder.act(request(quarantine(&["10.0.0.6"]), 60), START),
            Err(RespondError::Firewall(_))
        ));
        assert_eq!(in_force(&mut responder), before);
        assert_eq!(responder.active().len(), 1);
    }
    // An action that was to last longer lasts as long as before.
    responder.firewall().fail(0, FirewallError::Refused("no".into()));
    responder.act(request(quarantine(&["10.0.0.5"]), 90), START).unwrap_err();
    let firewall = responder.firewall().clone();
    let mut again = open_with(firewall, &folder.path().join("journal"), at(1));
    assert_eq!(again.active()[&quarantine(&["10.0.0.5"]).id()].expires, at(60));
    assert_eq!(keys(&mut again, "quarantine4"), ["10.0.0.5"]);
}

#[test]
fn what_somebody_else_lets_out_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut responder = open(&folder);
    responder.act(request(quarantine(&["10.0.0.5"]), 60), START).unwrap();
    assert!(!responder.look_after(at(1)).unwrap());
    let table = responder.firewall().table_mut(Family::Routed, RESPONSE_TABLE).unwrap();
    table.sets.get_mut("quarantine4").unwrap().elements.clear();
    assert!(responder.look_after(at(1)).unwrap());
    assert_eq!(in_force(&mut responder).sets["quarantine4"].elements["10.0.0.5"].life_s, Some(59));
    // One whose time is over here may last for a moment there; one that lasts longer is somebody else's.
    for (life_s, differs) in [(1, false), (2, true)] {
        let table = responder.firewall().table_mut(Family::Routed, RESPONSE_TABLE).unwrap();
        let entry = crate::Entry { life_s: Some(life_s), ..crate::Entry::default() };
        table.sets.get_mut("quarantine4").unwrap().elements.insert("10.0.0.77".into(), entry);
        assert_eq!(responder.look_after(at(2)).unwrap(), differs);
    }
    responder.firewall().flush();
    assert!(responder.look_after(at(2)).unwrap());
    assert!(!responder.look_after(at(2)).unwrap());
}

#[test]
fn ids_come_back_from_their_text_and_nonsense_is_refused() {
    let id = quarantine(&["10.0.0.5"]).id();
    assert_eq!(id.to_string().parse(), Ok(id));
    for bad in ["", "a", "a1", "b0000000000000001", "a000000000000000g", "a00000000000000011"] {
        assert_eq!(bad.parse::<super::ActionId>(), Err(super::ActionIdError), "{bad}");
    }
}

#[test]
fn a_journal_is_read_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    assert_eq!(Journal::read(&path).unwrap(), []);
    let mut responder = open(&folder);
    responder.act(request(quarantine(&["10.0.0.5"]), 60), START).unwrap();
    let mut text = std::fs::read(&path).unwrap();
    let whole = Journal::read(&path).unwrap();
    assert_eq!(whole.len(), 2);
    text.extend(b"{\"at\":");
    std::fs::write(&path, &text).unwrap();
    assert_eq!(Journal::read(&path).unwrap(), whole, "what is being written is not read yet");
    assert_eq!(std::fs::read(&path).unwrap(), text, "and stays");
}

#[test]
fn a_journal_that_is_broken_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut responder = open(&folder);
    responder.act(request(quarantine(&["10.0.0.5"]), 60), START).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("begun", "begum", 1)).unwrap();
    let error = Journal::open(&path).unwrap_err().to_string();
    assert!(error.contains("line 1: unknown variant"), "{error}");
    std::fs::File::create(&path).unwrap().set_len(JOURNAL_MAX + 1).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::TooLarge { .. })));
}

#[test]
fn a_long_journal_is_put_aside_for_what_still_matters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let aside = folder.path().join(format!("journal{ASIDE}"));
    let (mut journal, _) =
        Journal::open(&path).map(|(journal, all)| (journal.with_rotation(4_096), all)).unwrap();
    let begun = |nth: u8, life: u64| {
        let request = request(quarantine(&[&format!("10.0.0.{nth}")]), life);
        let expires = START + request.life;
        (request.action.id(), Step::Begun { request, expires })
    };
    let mut write = |at: u64, id, step| {
        journal.write(&JournalEntry { at: START + Duration::from_secs(at), id, step }).unwrap();
    };
    // One that lasts, one that a person undid, one that was over just now, and many that were over long ago.
    let [(lasts, first), (undone, second), (lately, third)] =
        [begun(11, 80_000), begun(12, 60), begun(13, 70_000)];
    write(0, lasts, first);
    write(1, lasts, Step::Done);
    write(2, undone, second);
    write(3, undone, Step::Reverted);
    write(4, lately, third);
    let mut at = 10;
    while !aside.exists() {
        let (id, step) = begun(100, 60);
        write(at, id, step);
        write(at + 1, id, Step::Expired);
        at += 10;
    }
    write(at + 3_000, lately, Step::Expired);
    let before = Journal::read(&aside).unwrap();
    std::fs::remove_file(&aside).unwrap();
    // Filled up again, an hour and a half later.
    while !aside.exists() {
        at += 10;
        let (id, step) = begun(101, 60);
        write(at + 5_400, id, step);
        write(at + 5_401, id, Step::Expired);
    }
    let after = Journal::read(&path).unwrap();
    let of = |id| after.iter().filter(|entry| entry.id == id).count();
    assert_eq!((of(lasts), of(undone), of(lately)), (2, 2, 2));
    assert_eq!(of(begun(100, 60).0), 0, "what was over for an hour is left out");
    assert!(
        before.len() > 10 && before.iter().any(|entry| entry.id == begun(100, 60).0),
        "and was put aside"
    );
    // What a restart has in force is what it would have without.
    let mut responder = open(&folder);
    let quarantined = format!("{:?}", in_force(&mut responder));
    assert!(quarantined.contains("10.0.0.11"), "{quarantined}");
}

#[derive(Clone, Debug)]
enum Do {
    Act(u8, u64),
    Revert(u8),
    Pass(u64),
}

fn nth(number: u8) -> Action {
    match number {
        0 => contain(),
        1 => quarantine(&["10.0.0.6", "fd00::6", "02:00:00:00:00:06"]),
        2 => Action::BlockDestination { device: vec![], to: networks(&["198.51.100.0/30", "2001:db8::/64"]) },
        3 => Action::BlockDestination {
            device: networks(&["10.0.0.5"]),
            to: networks(&["198.51.100.1", "203.0.113.0/24"]),
        },
        4 => Action::RateLimit { device: addresses(&["10.0.0.5", "fd00::5"]), packets_per_s: 9 },
        _ => {
            let [client, server] = ["10.0.0.5:1", "10.0.0.6:2"].map(|text| text.parse().unwrap());
            Action::KillSession { session: Session { protocol: 17, client, server } }
        }
    }
}

fn doing() -> impl Strategy<Value = Do> {
    prop_oneof![
        3 => (0u8..6, 1u64..100).prop_map(|(action, life)| Do::Act(action, life)),
        1 => (0u8..6).prop_map(Do::Revert),
        1 => (1u64..40).prop_map(Do::Pass),
    ]
}

fn without_lives(mut table: crate::Table) -> crate::Table {
    for entry in table.sets.values_mut().flat_map(|set| set.elements.values_mut()) {
        entry.life_s = None;
    }
    table
}

proptest! {
    /// Killed between any two steps, or in the middle of a line of the journal, a restart has each action in force whole or not
    /// at all: just those that the journal says are meant.
    #[test]
    fn after_a_kill_at_any_step_journal_and_firewall_agree(
        doings in prop::collection::vec(doing(), 1..8), cut in 0u16..1_000, behind in any::<bool>()
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut responder = open(&folder);
        let mut now = START;
        // What the firewall and the journal held after each step.
        let mut states = vec![(responder.firewall().clone(), 0, now)];
        for doing in doings {
            match doing {
                Do::Act(action, life) => drop(responder.act(request(nth(action), life), now).unwrap()),
                Do::Revert(action) => drop(responder.revert(nth(action).id(), now)),
                Do::Pass(seconds) => {
                    now = now + Duration::from_secs(seconds);
                    responder.firewall().pass(Duration::from_secs(seconds));
                    responder.tick(now).unwrap();
                }
            }
            states.push((responder.firewall().clone(), std::fs::metadata(&path).unwrap().len(), now));
        }
        let whole = std::fs::read(&path).unwrap();
        let length = whole.len() * usize::from(cut) / 1_000;
        // The firewall is as it was before the step that was cut off, or as it was after it.
        let next = states.iter().position(|(_, written, _)| *written as usize >= length).unwrap();
        let index = if behind { next.saturating_sub(1) } else { next };
        let (firewall, _, _) = states[index].clone();
        let at = states[next].2;
        let killed = folder.path().join("killed");
        std::fs::write(&killed, &whole[..length]).unwrap();
        let mut meant = BTreeSet::new();
        let complete = whole[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in whole[..complete].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: JournalEntry = serde_json::from_slice(line).unwrap();
            match entry.step {
                Step::Begun { expires, .. } if expires > at => drop(meant.insert(entry.id)),
                Step::Done => {}
                _ => drop(meant.remove(&entry.id)),
            }
        }
        let mut restarted = open_with(firewall, &killed, at);
        prop_assert_eq!(&restarted.active().keys().copied().collect::<BTreeSet<_>>(), &meant);
        let alone = super::table::table(
            Family::Routed,
            crate::Support::FULL,
            restarted.active().values().map(|active| (&active.request.action, active.expires)),
            at,
        );
        prop_assert_eq!(without_lives(in_force(&mut restarted)), without_lives(alone));
        for (id, active) in restarted.active().clone() {
            prop_assert!(active.expires > at, "{} has ended", id);
        }
        // Once more changes nothing.
        let before = in_force(&mut restarted);
        let firewall = restarted.firewall().clone();
        drop(restarted);
        prop_assert_eq!(in_force(&mut open_with(firewall, &killed, at)), before);
    }
}
