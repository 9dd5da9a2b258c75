//! The attacks of the laboratory and what looks like them: every stage must be found, nobody else accused.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use brain::{Brain, Expected, Limits, Settings};
use dissect::proto::Wants;
use dissect::wire::LinkType;
use flow::Engine;
use lab::{SceneOptions, TrueStage, Truth};
use model::{Finding, Party, Severity};

mod common;

use common::Captured;

/// What is found in a scene, by whom it is raised first.
fn watch(scene: &lab::Scene, settings: Settings, shards: usize) -> (Truth, Vec<Finding>) {
    let mut engine =
        Engine::<Captured>::new(flow::Limits::default(), Wants { messages: false, judged: true }, shards, 7);
    let mut brain = Brain::new(Limits::default(), settings);
    let (mut observations, mut events) = (Vec::new(), Vec::new());
    let mut batch = Captured::default();
    let mut judge = |engine: &mut Engine<Captured>, batch: Captured| {
        engine.submit(&Arc::new(batch));
        while engine.in_flight() > 0 {
            engine.collect(&mut observations);
        }
        for observation in observations.drain(..) {
            brain.observe(&observation, &mut events);
        }
    };
    let truth = scene
        .play(&mut |at, frame| {
            let link = match lab::Link::of(frame) {
                lab::Link::Ethernet => LinkType::ETHERNET,
                lab::Link::Can => LinkType::CAN_SOCKETCAN,
            };
            batch.0.push(at, link, frame, frame.len() as u32);
            if batch.0.frames.len() >= capture::MAX_BATCH_FRAMES {
                judge(&mut engine, std::mem::take(&mut batch));
            }
            Ok(())
        })
        .expect("nobody fails");
    judge(&mut engine, batch);
    while engine.finish(&mut observations) {}
    for observation in observations.drain(..) {
        brain.observe(&observation, &mut events);
    }
    let mut findings: Vec<_> = brain.detect().findings().cloned().collect();
    findings.sort_by_key(|finding| (finding.raised, finding.id));
    (truth, findings)
}

fn options() -> SceneOptions {
    SceneOptions::default()
}

/// Whether a finding tells of a stage and is more than a weakness.
fn tells(truth: &Truth, finding: &Finding, stage: &TrueStage) -> bool {
    finding.severity > Severity::Low && truth.is_told(stage, finding)
}

/// What is authorised has to be said: nothing else tells a scanner of one's own from another's.
fn declared(attack: &str, scene: &lab::Scene) -> Settings {
    let mut settings = Settings::default();
    if attack == "vulnerability-scanner" {
        let truth = scene.truth();
        let scanner = truth.devices.iter().find(|device| device.name == truth.stages[0].actor).unwrap();
        settings.expected.push(Expected {
            actor: Some(scanner.ips[0].to_string().parse().unwrap()),
            reason: "our scanner".into(),
            ..Expected::default()
        });
    }
    settings
}

/// Findings as lines, for whoever has to mend a test.
fn lines(truth: &Truth, findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let name = |party: &Party| truth.name_of(&party.host).unwrap_or("?").to_owned();
        let _ = writeln!(
            text,
            "    {:>8} {:<22} {} -> {} x{}: {}",
            finding.severity,
            finding.detector,
            name(&finding.actor),
            finding.victim.as_ref().map_or_else(|| "-".to_owned(), name),
            finding.count,
            finding.summary
        );
    }
    text
}

/// Stages that are not found in ten minutes of which three come before the attack. A stage that is found is to be taken
/// off this list: the test insists.
const MISSED: &[(&str, &str)] = &[];

/// Stages that must be told for what they are, not only as what somebody known for an attack did besides.
const TOLD_BY: &[(&str, &str, &str)] = &[
    ("stuxnet", "spreading", "remote-execution"),
    ("stuxnet", "block-download", "program-download"),
    ("stuxnet", "replayed-values", "process-value"),
    ("mirai", "credential-guessing", "brute-force"),
    ("mirai", "scanning-in-turn", "worm-spread"),
    ("target", "lateral-movement", "lateral-movement"),
    ("target", "exfiltration", "outbound-transfer"),
    ("jeep", "diagnostic-control", "diagnostic-access"),
];

#[test]
fn every_stage_of_every_attack_is_found() {
    let mut report = String::new();
    let (mut wrong, mut told) = (Vec::new(), Vec::new());
    for attack in lab::ATTACKS.iter().filter(|attack| !attack.benign) {
        let scene = lab::attack(attack.name, None, &options()).unwrap();
        let (truth, findings) = watch(&scene, Settings::default(), 1);
        let _ = writeln!(report, "{}", attack.name);
        for stage in truth.stages.iter().filter(|stage| stage.hostile) {
            // What tells of it: by detector, how long after the stage began it was raised.
            let mut by: BTreeMap<&str, f64> = BTreeMap::new();
            for finding in findings.iter().filter(|finding| tells(&truth, finding, stage)) {
                let after = finding.raised.since(stage.first).as_secs_f64();
                by.entry(&finding.detector).or_insert(after);
            }
            let found: Vec<_> =
                by.iter().map(|(detector, after)| format!("{detector} +{after:.1} s")).collect();
            let _ = writeln!(report, "  {:<28} {}", stage.name, found.join(", "));
            told.extend(by.keys().map(|by| (attack.name, stage.name.to_string(), (*by).to_owned())));
            let is_missed = MISSED.contains(&(attack.name, &stage.name));
            if by.is_empty() != is_missed {
                let how = if is_missed { "is found now: take it off the list" } else { "is not found" };
                wrong.push(format!("{}: {} {how}", attack.name, stage.name));
            }
        }
        let _ = write!(report, "{}", lines(&truth, &findings));
    }
    for (attack, stage, by) in TOLD_BY {
        if !told.iter().any(|(of, name, detector)| (*of, &**name, &**detector) == (*attack, *stage, *by)) {
            wrong.push(format!("{attack}: {stage} is not told by {by}"));
        }
    }
    println!("{report}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_only_looks_like_an_attack_stays_silent() {
    let mut report = String::new();
    for attack in lab::ATTACKS.iter().filter(|attack| attack.benign) {
        let scene = lab::attack(attack.name, None, &options()).unwrap();
        let (truth, mut findings) = watch(&scene, declared(attack.name, &scene), 1);
        findings.retain(|finding| finding.severity > Severity::Low && finding.judgement.is_none());
        if !findings.is_empty() {
            let _ = write!(report, "{}\n{}", attack.name, lines(&truth, &findings));
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn scenes_without_an_attack_stay_silent() {
    let mut report = String::new();
    for kind in lab::SCENES {
        let scene = lab::scene(kind.name, &options()).unwrap();
        let (truth, mut findings) = watch(&scene, Settings::default(), 1);
        findings.retain(|finding| finding.severity > Severity::Low);
        if !findings.is_empty() {
            let _ = write!(report, "{}\n{}", kind.name, lines(&truth, &findings));
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn the_findings_are_the_same_for_every_number_of_shards() {
    for attack in lab::ATTACKS {
        let scene = lab::attack(attack.name, None, &options()).unwrap();
        let (_, alone) = watch(&scene, Settings::default(), 1);
        for shards in [2, 4] {
            let (_, shared) = watch(&scene, Settings::default(), shards);
            assert_eq!(alone, shared, "{} at {shards} shards", attack.name);
        }
    }
}
