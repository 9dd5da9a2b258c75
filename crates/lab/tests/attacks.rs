//! Attacks do what their truth says, and leave the scene around them as it is.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use lab::{ATTACKS, AttackKind, SceneOptions, Truth};
use model::Timestamp;

fn options(seed: u64, seconds: u64) -> SceneOptions {
    SceneOptions { seed, duration: Duration::from_secs(seconds), ..SceneOptions::default() }
}

type Frames = Vec<(Timestamp, Vec<u8>)>;

fn played(scene: &lab::Scene) -> (Truth, Frames) {
    let mut frames = Vec::new();
    let truth = scene.play(&mut |at, frame| {
        frames.push((at, frame.to_vec()));
        Ok(())
    });
    (truth.unwrap(), frames)
}

/// All attacks in all their scenes.
fn all() -> impl Iterator<Item = (&'static AttackKind, &'static str)> {
    ATTACKS.iter().flat_map(|attack| attack.scenes.iter().map(move |scene| (attack, *scene)))
}

fn play(attack: &AttackKind, scene: &str, options: &SceneOptions) -> (Truth, Frames) {
    played(&lab::attack(attack.name, Some(scene), options).unwrap())
}

#[test]
fn every_stage_is_told_with_its_frames() {
    for (attack, scene) in all() {
        let (truth, frames) = play(attack, scene, &options(1, 300));
        let what = format!("{} in {scene}", attack.name);
        assert_eq!(truth.attack.as_deref(), Some(attack.name));
        let told: Vec<_> = truth.stages.iter().map(|stage| &*stage.name).collect();
        let planned: Vec<_> = attack.steps.iter().map(|step| step.name).collect();
        assert_eq!(told, planned, "{what}: all stages, in order");
        let devices: BTreeSet<_> = truth.devices.iter().map(|device| &*device.name).collect();
        let mut labelled = BTreeSet::new();
        for stage in &truth.stages {
            assert_eq!(stage.hostile, !attack.benign);
            assert!(stage.about.len() > 40 && stage.about.ends_with('.'), "{what}: {}", stage.about);
            assert!(!stage.hostile || !stage.techniques.is_empty(), "{what}: {}", stage.name);
            for id in &stage.techniques {
                let digits = id.strip_prefix('T').unwrap().replace('.', "");
                assert!([4, 7].contains(&digits.len()) && digits.parse::<u32>().is_ok(), "{id}");
            }
            for name in stage.victims.iter().chain([&stage.actor]) {
                assert!(devices.contains(&**name), "{what}: {name} takes part in {}", stage.name);
            }
            assert!(!stage.victims.is_empty());
            let ranges = &stage.packets;
            assert!(ranges.iter().all(|[first, last]| first <= last && *last <= truth.packets));
            assert!(ranges.windows(2).all(|pair| pair[0][1] + 1 < pair[1][0]), "{what}: ranges are whole");
            assert_eq!(frames[ranges[0][0] as usize - 1].0, stage.first);
            assert_eq!(frames[ranges.last().unwrap()[1] as usize - 1].0, stage.last);
            assert!(stage.first.since(truth.start) >= Duration::from_secs(100), "{what}: a quiet time first");
            for number in ranges.iter().flat_map(|[first, last]| *first..=*last) {
                assert!(labelled.insert(number), "{what}: frame {number} is of one stage");
            }
        }
        assert!((labelled.len() as u64) < truth.packets, "{what}: the scene goes on");
        let text = serde_json::to_string(&truth).unwrap();
        assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
    }
}

#[test]
fn an_attack_does_not_change_the_scene_before_it_begins() {
    for (attack, scene) in all() {
        let options = options(3, 90);
        let (truth, frames) = play(attack, scene, &options);
        let (quiet, base) = played(&lab::scene(scene, &options).unwrap());
        assert!(quiet.attack.is_none() && quiet.stages.is_empty());
        let first = truth.stages[0].packets[0][0] as usize - 1;
        assert!(first > 100);
        assert!(frames[..first] == base[..first], "{} changes {scene}", attack.name);
        assert!(frames[first] != base[first], "{} is not labelled from its first frame", attack.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_attack_and_another_gives_another() {
    for (attack, scene) in all() {
        let first = play(attack, scene, &options(7, 60));
        assert!(first == play(attack, scene, &options(7, 60)), "{} differs from itself", attack.name);
        let of_stages = |(truth, frames): &(Truth, Frames)| -> Frames {
            let ranges = truth.stages.iter().flat_map(|stage| &stage.packets);
            ranges.flat_map(|[first, last]| frames[*first as usize - 1..*last as usize].to_vec()).collect()
        };
        let other = play(attack, scene, &options(8, 60));
        assert!(of_stages(&first) != of_stages(&other), "{} does not heed its seed", attack.name);
    }
}

#[test]
fn an_attack_begins_when_it_is_told_to_and_fits_any_length() {
    for (attack, scene) in all() {
        let after = Some(Duration::from_secs(20));
        let (truth, _) = play(attack, scene, &SceneOptions { attack_after: after, ..options(1, 40) });
        let first = truth.stages[0].first.since(truth.start);
        assert!(first >= Duration::from_secs(20), "{} begins after {first:?}", attack.name);
        for seconds in [0, 1, 16] {
            play(attack, scene, &options(1, seconds));
        }
    }
}

#[test]
fn an_attack_or_scene_that_is_not_there_is_refused_by_name() {
    let refusal = |name, scene| lab::attack(name, scene, &SceneOptions::default()).err().unwrap().to_string();
    let unknown = refusal("blackout", None);
    assert!(unknown.starts_with("no attack is called \"blackout\": there is "), "{unknown}");
    assert!(ATTACKS.iter().all(|attack| unknown.contains(attack.name)));
    assert_eq!(
        refusal("frostygoop", Some("home")),
        "frostygoop is not played in a scene called \"home\", but in: plant"
    );
    assert!(refusal("frostygoop", Some("ship")).contains("\"ship\""));
}

#[test]
fn attacks_are_named_and_explained_once() {
    let names: BTreeSet<_> = ATTACKS.iter().map(|attack| attack.name).collect();
    assert_eq!(names.len(), ATTACKS.len());
    for attack in ATTACKS {
        assert!(!attack.about.is_empty() && !attack.about.contains("  ") && !attack.steps.is_empty());
        let steps: BTreeSet<_> = attack.steps.iter().map(|step| step.name).collect();
        assert_eq!(steps.len(), attack.steps.len());
        for step in attack.steps {
            assert!(!step.about.contains("  "), "{}", step.about);
        }
    }
}

/// What tshark must not find.
const WRONG: &str = "_ws.malformed or _ws.expert.severity==error or ip.checksum.status==0 or \
    tcp.checksum.status==0 or udp.checksum.status==0 or icmp.checksum.status==0";
/// Nor this, unless somebody passes on what others say: then it is seen twice.
const BROKEN: &str = "tcp.analysis.lost_segment or tcp.analysis.retransmission or \
    tcp.analysis.out_of_order or tcp.analysis.ack_lost_segment";

#[test]
fn tshark_finds_nothing_wrong_in_attacks() {
    let Some(program) = testkit::peer("tshark_finds_nothing_wrong_in_attacks", "tshark") else { return };
    for (attack, scene) in all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut out = file.as_file();
        lab::attack(attack.name, Some(scene), &options(2, 120)).unwrap().write(&mut out).unwrap();
        out.flush().unwrap();
        let mut run = std::process::Command::new(&program);
        let relayed = attack.steps.iter().any(|step| step.name == "interception");
        let wrong = if relayed { WRONG.into() } else { format!("{WRONG} or {BROKEN}") };
        run.arg("-r").arg(file.path()).args(["-Y", &wrong]);
        for check in ["ip", "tcp", "udp"] {
            run.args(["-o", &format!("{check}.check_checksum:TRUE")]);
        }
        let run = run.output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert_eq!(String::from_utf8_lossy(&run.stdout), "", "{} in {scene}", attack.name);
    }
}
