use std::net::IpAddr;

use model::{Host, IncidentId, Judgement, MacAddr, Party, Scope, Slice, Verdict};
use proptest::prelude::*;
use serde_json::Value;
use store::{Commit, Memory};

use super::*;
use crate::peers::nothing;
use crate::{Limits, Next, Text};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

fn party(last: u8) -> Party {
    let ip: IpAddr = [10, 0, 0, last].into();
    Party { device: None, host: Host { mac: Some(MacAddr([2, 0, 0, 0, 0, last])), ip: Some(ip) } }
}

fn finding(number: u64, severity: Severity) -> Finding {
    Finding {
        id: FindingId::from_digest(number),
        detector: "host-scan".into(),
        severity,
        title: "Hosts are searched".into(),
        summary: "10.0.0.5 looks for hosts".into(),
        actor: party(5),
        victim: None,
        matter: number.to_string().into(),
        first: START,
        raised: START,
        last: START,
        count: 1,
        crossed: None,
        factors: vec![],
        conversations: vec![],
        evidence: Slice::Open,
        incident: None,
        because: vec![],
        judgement: None,
    }
}

fn incident(number: u64, severity: Severity, stage: &'static str) -> Incident {
    Incident {
        id: IncidentId::from_digest(number),
        severity,
        title: "10.0.0.5 attacks".into(),
        stage: stage.into(),
        first: START,
        last: START,
        findings: vec![],
        actors: vec![party(5)],
        victims: vec![],
        response: "Look at it.".into(),
        next: vec![],
    }
}

fn judgement(verdict: Verdict, scope: Scope) -> Judgement {
    Judgement { verdict, scope, reason: "seen".into(), by: None, declared: false }
}

fn commit(store: &mut Memory, findings: Vec<Finding>, incidents: Vec<Incident>) {
    let commit = Commit { findings, incidents, ..Commit::default() };
    store.commit(commit, &mut std::iter::empty()).unwrap();
}

fn follower(severity: &str) -> Follower {
    let text = format!("[file]\npath = \"x\"\nseverity = \"{severity}\"\n[webhook]\nurl = \"http://a/\"");
    let text: Text = toml::from_str(&text).unwrap();
    let listener = |receiver: crate::Receiver| {
        Some(Listener {
            receiver: receiver.key.into(),
            severity: receiver.severity?,
            packer: receiver.packer,
        })
    };
    let listeners: Vec<_> = text.open(nothing).unwrap().receivers.into_iter().filter_map(listener).collect();
    // Who does not say which severity is not told of findings.
    assert_eq!(listeners.len(), 1);
    Follower::new(listeners)
}

fn outbox(folder: &std::path::Path) -> Outbox {
    Outbox::open(folder, Limits::default()).unwrap()
}

/// What waits for the file, as subject, change and severity; it is taken.
fn taken(outbox: &mut Outbox) -> Vec<String> {
    let mut all = Vec::new();
    while let Next::Send(waiting) = outbox.next("file", 100, START).unwrap() {
        for waiting in &waiting {
            let told: Value = serde_json::from_str(&waiting.letter.body).unwrap();
            assert_eq!(told["told"]["id"], waiting.letter.id);
            let what = if told["event"] == "finding" { &told["finding"] } else { &told["incident"] };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            all.push(format!(
                "{} {} {}",
                text(&what["id"]).replace("00000000000", ""),
                text(&told["told"]["change"]),
                text(&what["severity"])
            ));
        }
        outbox.taken("file", &waiting.iter().map(|one| one.place).collect::<Vec<_>>()).unwrap();
    }
    all
}

#[test]
fn findings_and_incidents_are_told_as_they_are_raised_grow_worse_and_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, mut outbox, mut follower) =
        (Memory::default(), outbox(folder.path()), follower("medium"));
    let mut step = |store: &Memory| {
        follower.step(store, &mut outbox, START).unwrap();
        taken(&mut outbox)
    };
    // What is there at first is not told.
    commit(&mut store, vec![finding(1, Severity::High)], vec![incident(1, Severity::High, "discovery")]);
    assert!(step(&store).is_empty());
    commit(&mut store, vec![finding(2, Severity::Medium), finding(3, Severity::Low)], vec![]);
    assert_eq!(step(&store), ["f2 raised medium"]);
    assert!(step(&store).is_empty());
    // It was seen again: that alone is not told.
    let again = Finding { count: 9, ..finding(2, Severity::Medium) };
    commit(&mut store, vec![again, finding(1, Severity::High)], vec![]);
    assert!(step(&store).is_empty());
    commit(&mut store, vec![finding(2, Severity::Critical), finding(3, Severity::High)], vec![]);
    assert_eq!(step(&store), ["f2 worse critical", "f3 raised high"]);
    commit(
        &mut store,
        vec![],
        vec![incident(1, Severity::High, "impact"), incident(2, Severity::Low, "discovery")],
    );
    assert_eq!(step(&store), ["i1 worse high"]);
    commit(
        &mut store,
        vec![],
        vec![incident(1, Severity::Critical, "impact"), incident(2, Severity::High, "discovery")],
    );
    assert_eq!(step(&store), ["i1 worse critical", "i2 raised high"]);
    // A verdict, the same with another scope, and that it was taken back; twice, under ids of their own.
    for _ in 0..2 {
        store.judge(FindingId::from_digest(2), Some(judgement(Verdict::False, Scope::Finding))).unwrap();
        assert_eq!(step(&store), ["f2 judged critical"]);
        store.judge(FindingId::from_digest(2), None).unwrap();
        assert_eq!(step(&store), ["f2 judged critical"]);
    }
    // What a verdict covers is told, too, if it was told of before; and what it silences is not told anew.
    store.judge(FindingId::from_digest(2), Some(judgement(Verdict::Expected, Scope::Detector))).unwrap();
    commit(
        &mut store,
        vec![finding(4, Severity::High), Finding { count: 2, ..finding(3, Severity::High) }],
        vec![],
    );
    assert_eq!(step(&store), ["f1 judged high", "f2 judged critical", "f3 judged high"]);
    store.judge(FindingId::from_digest(2), None).unwrap();
    assert_eq!(step(&store).len(), 4);
}

#[test]
fn readers_of_eve_are_told_the_conversation_that_shows_a_finding_once_it_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let text: Text = toml::from_str("[eve]\nfile = \"x\"\nseverity = \"info\"").unwrap();
    let receiver = text.open(nothing).unwrap().receivers.remove(0);
    let (key, packer) = (receiver.key.to_owned(), receiver.packer);
    let mut follower = Follower::new(vec![Listener { receiver: key, severity: Severity::Info, packer }]);
    let (mut store, mut outbox) = (Memory::default(), outbox(folder.path()));
    follower.step(&store, &mut outbox, START).unwrap();
    // From 10.0.0.4, port 49152, to 10.0.0.5, port 502, by TCP.
    let flow = store::conformance::flow(4);
    let shows = |number: u64, id| Finding {
        conversations: vec![id],
        first: flow.first,
        last: flow.last,
        ..finding(number, Severity::High)
    };
    let findings = vec![shows(1, flow.head.id), shows(2, model::FlowId(1))];
    let flows = (0..10).map(store::conformance::flow).collect::<Vec<_>>();
    let commit = Commit { findings, flows: flows.iter().collect(), ..Commit::default() };
    store.commit(commit, &mut std::iter::empty()).unwrap();
    follower.step(&store, &mut outbox, START).unwrap();
    let Next::Send(all) = outbox.next("eve", 9, START).unwrap() else { panic!() };
    let told: Vec<Value> = all.iter().map(|one| serde_json::from_str(&one.letter.body).unwrap()).collect();
    // The actor is the server of this one: he is the source all the same.
    assert_eq!((&told[0]["src_ip"], &told[0]["src_port"]), (&"10.0.0.5".into(), &502.into()));
    assert_eq!((&told[0]["dest_ip"], &told[0]["dest_port"]), (&"10.0.0.4".into(), &49_152.into()));
    assert_eq!((&told[0]["proto"], told[0]["community_id"].is_string()), (&"TCP".into(), true));
    assert_eq!((&told[1]["flow_id"], told[1].get("src_port")), (&1.into(), None));
    assert_eq!(told[1]["pavise"]["change"], "raised");
}

#[test]
fn a_store_that_took_the_place_of_another_is_told_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let (mut outbox, mut follower) = (outbox(folder.path()), follower("info"));
    let mut old = Memory::default();
    for _ in 0..5 {
        commit(&mut old, vec![finding(1, Severity::High)], vec![]);
    }
    follower.step(&old, &mut outbox, START).unwrap();
    let mut new = Memory::default();
    commit(&mut new, vec![finding(2, Severity::Low)], vec![]);
    follower.step(&new, &mut outbox, START).unwrap();
    assert_eq!(taken(&mut outbox), ["f2 raised low"]);
}

/// What happens to a store and to who follows it.
#[derive(Clone, Debug)]
enum Act {
    Find(u64, usize),
    Grow(u64, usize),
    Judge(u64, Option<bool>),
    Step,
    /// Pavise is killed and started again; the outbox may have been written before, and is not told what came of it.
    Kill,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1_u64..6, 0_usize..5).prop_map(|(number, severity)| Act::Find(number, severity)),
        2 => (1_u64..4, 0_usize..5).prop_map(|(number, severity)| Act::Grow(number, severity)),
        2 => (1_u64..6, any::<Option<bool>>()).prop_map(|(number, verdict)| Act::Judge(number, verdict)),
        4 => Just(Act::Step),
        3 => Just(Act::Kill),
    ];
    prop::collection::vec(act, 1..40)
}

/// All that is told by the end, with or without the kills.
fn told(acts: &[Act], kills: bool) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, mut outbox, mut follower) =
        (Memory::default(), self::outbox(folder.path()), follower("low"));
    follower.step(&store, &mut outbox, START).unwrap();
    for act in acts {
        match act {
            Act::Find(number, severity) => {
                commit(&mut store, vec![finding(*number, Severity::ALL[*severity])], vec![]);
            }
            Act::Grow(number, severity) => {
                commit(&mut store, vec![], vec![incident(*number, Severity::ALL[*severity], "impact")]);
            }
            Act::Judge(number, verdict) => {
                let verdict = verdict.map(|is| if is { Verdict::True } else { Verdict::False });
                let said = verdict.map(|verdict| judgement(verdict, Scope::Finding));
                store.judge(FindingId::from_digest(*number), said).unwrap();
            }
            Act::Step => drop(follower.step(&store, &mut outbox, START).unwrap()),
            Act::Kill if kills => {
                outbox = self::outbox(folder.path());
                follower = self::follower("low");
            }
            Act::Kill => {}
        }
    }
    follower.step(&store, &mut outbox, START).unwrap();
    taken(&mut outbox)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn kills_neither_lose_nor_double_what_is_told(acts in acts()) {
        prop_assert_eq!(told(&acts, true), told(&acts, false));
    }
}
