//! What is found: told, explained, shown by packets, judged.

use std::collections::BTreeSet;

use ::enforce::respond::{Action, Journal, JournalEntry, Request, Step};

use super::*;

/// A capture of an attack of the laboratory.
pub(super) fn attack(place: &Place, name: &str) -> PathBuf {
    let path = place.path("attack.pcapng");
    let scene = lab::attack(name, None, &SceneOptions::default()).unwrap();
    scene.write(&mut File::create(&path).unwrap()).unwrap();
    path
}

fn json(place: &Place, arguments: &[&str]) -> Value {
    let done = place.run(arguments);
    assert_eq!(done.status, Some(0), "{done:?}");
    serde_json::from_str(&done.out).unwrap()
}

/// Findings of a detector, as `pavise findings --json` tells them.
fn of(all: &Value, detector: &str) -> Vec<Value> {
    all.as_array().unwrap().iter().filter(|finding| finding["detector"] == detector).cloned().collect()
}

#[test]
fn a_finding_is_told_explained_and_shown_by_packets_that_yield_it_again() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    let done = place.run(&["watch", capture.to_str().unwrap()]);
    assert!(
        done.out.contains("Incidents\n") && done.out.contains("host-scan") | done.out.contains("Host scan")
    );
    let all = json(&place, &["findings", "--json"]);
    let scan = of(&all, "host-scan").remove(0);
    let id = scan["id"].as_str().unwrap();
    assert_eq!(scan["evidence"]["state"], "kept");
    assert_eq!(scan["evidence"]["replays"], true);

    let several = place.run(&["finding", "f"]);
    assert!(
        several.said.contains("several findings begin with f: f0") && several.said.contains(" more; give")
    );
    let page = place.run(&["finding", id]);
    for part in ["Why it matters", "What to do", "they show it by themselves", "T1046"] {
        assert!(page.out.contains(part), "{part}: {}", page.out);
    }
    let slice = place.path("slice.pcapng");
    assert_eq!(place.run(&["finding", id, "--pcap", slice.to_str().unwrap()]).status, Some(0));
    let other = place.path("other");
    let other = other.to_str().unwrap();
    assert_eq!(place.run(&["watch", slice.to_str().unwrap(), "--state", other]).status, Some(0));
    let again = json(&place, &["findings", "--json", "--state", other]);
    assert!(of(&again, "host-scan").iter().any(|finding| finding["id"] == id), "{again}");

    let incident = scan["incident"].as_str().unwrap();
    let incidents = json(&place, &["incidents", "--json"]);
    assert!(incidents.as_array().unwrap().iter().any(|known| known["id"] == incident));
    let story = place.run(&["incidents", incident]);
    assert!(story.out.contains(id) && story.out.contains("What to do first"), "{}", story.out);
}

#[test]
fn packets_show_what_was_found_of_somebody_busy_and_what_rests_on_others() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    assert_eq!(place.run(&["watch", "--quiet", capture.to_str().unwrap()]).status, Some(0));
    let all = json(&place, &["findings", "--json"]);
    // Cameras send pictures for as long as they are watched: what began it is not pushed out by them.
    // What others did before is a part of what is told because of it.
    for detector in ["unauthenticated-service", "follow-up", "executable-download"] {
        let findings = of(&all, detector);
        assert!(!findings.is_empty(), "{detector}");
        for finding in findings {
            assert_eq!(finding["evidence"]["replays"], true, "{finding}");
        }
    }
}

#[test]
fn an_incident_is_told_with_what_was_done_about_it() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    place.run(&["watch", "--quiet", capture.to_str().unwrap()]).good();
    let all = json(&place, &["incidents", "--json"]);
    let incident = &all[0];
    let id = incident["id"].as_str().unwrap();
    let told = || json(&place, &["incidents", id, "--json"]);
    let mut expected = incident.clone();
    expected["actions"] = Value::Array(Vec::new());
    assert_eq!(told(), expected);
    assert!(!place.run(&["incidents", id]).good().out.contains("What was done"));

    // An action about it, and one about nothing.
    let (mut journal, _) = Journal::open(&place.path("state/responses-observed.jsonl")).unwrap();
    for (number, incident) in [(1, Some(id.parse().unwrap())), (2, None)] {
        let device = vec![format!("10.0.0.{number}").parse().unwrap()];
        let action = Action::Quarantine { device };
        let (at, life) = (Timestamp::from_secs(1_000_000), Duration::from_secs(60));
        let entry = JournalEntry {
            at,
            id: action.id(),
            step: Step::Begun {
                request: Request { action, life, reason: "drill".into(), incident },
                expires: at + life,
            },
        };
        journal.write(&entry).unwrap();
    }
    let actions = json(&place, &["actions", "--json"]);
    assert_eq!(actions.as_array().unwrap().len(), 2);
    let about = actions.as_array().unwrap().iter().find(|action| action["incident"] == id).unwrap();
    assert_eq!((&about["target"], &about["outcome"]), (&"10.0.0.1".into(), &"expired".into()), "{about}");
    expected["actions"] = Value::Array(vec![about.clone()]);
    assert_eq!(told(), expected);
    let text = place.run(&["incidents", id]).good().out;
    assert!(
        text.contains("What was done") && text.contains("10.0.0.1") && !text.contains("10.0.0.2"),
        "{text}"
    );
}

#[test]
fn packets_that_were_changed_are_not_handed_out() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    place.run(&["watch", capture.to_str().unwrap()]);
    let all = json(&place, &["findings", "--json", "--detector", "host-scan"]);
    let id = all[0]["id"].as_str().unwrap();
    let kept = place.path("state").join("evidence").join(format!("{id}.pcapng"));
    let mut bytes = fs::read(&kept).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&kept, bytes).unwrap();
    let done = place.run(&["finding", id, "--pcap", "slice.pcapng"]);
    assert_eq!(done.status, Some(1));
    assert!(done.said.contains("its SHA-256 is another"), "{}", done.said);
    assert!(!place.path("slice.pcapng").exists());
}

#[test]
fn a_verdict_silences_what_its_scope_covers_and_can_be_taken_back() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    place.run(&["watch", capture.to_str().unwrap()]);
    let all = json(&place, &["findings", "--json", "--detector", "host-scan"]);
    let id = all[0]["id"].as_str().unwrap();
    let listed = |more: &[&str]| place.run(&[&["findings"], more].concat()).out.contains(id);
    assert!(listed(&[]));
    let reason = "our scanner";
    let done = place.run(&["verdict", id, "expected", "--scope", "actor", "--reason", reason]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(!listed(&[]) && listed(&["--all"]));
    assert!(place.run(&["finding", id]).out.contains(reason));
    // What is watched later is covered, too: the same capture under another name.
    let other = place.path("other.pcapng");
    fs::copy(&capture, &other).unwrap();
    let done = place.run(&["watch", other.to_str().unwrap()]);
    assert!(!done.out.contains(id), "{}", done.out);
    assert_eq!(place.run(&["verdict", id, "clear"]).status, Some(0));
    assert!(listed(&[]));
    // What was found already is covered as well, and comes back with it.
    let open = || place.run(&["findings", "--detector", "host-scan"]).out.lines().count();
    let before = open();
    assert!(before > 3, "several scans");
    place.run(&["verdict", id, "false", "--scope", "detector"]).good();
    assert_eq!(open(), 1);
    place.run(&["verdict", id, "clear"]).good();
    assert_eq!(open(), before);
}

#[test]
fn what_was_observed_can_be_taken_in_again() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    let done = place.run(&["watch", capture.to_str().unwrap(), "--json"]);
    let recorded = place.file("seen.jsonl", &done.out);
    let other = place.path("other");
    let other = other.to_str().unwrap();
    let done = place.run(&["watch", recorded.to_str().unwrap(), "--state", other]);
    assert_eq!(done.status, Some(0), "{done:?}");
    for what in ["devices", "flows", "incidents", "protocols"] {
        let (first, again) =
            (json(&place, &[what, "--json"]), json(&place, &[what, "--json", "--state", other]));
        assert_eq!(first, again, "{what}");
    }
    let ids = |state: &[&str]| {
        let all = json(&place, &[&["findings", "--json"], state].concat());
        all.as_array().unwrap().iter().map(|finding| finding["id"].to_string()).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&[]), ids(&["--state", other]));
    let again = place.run(&["watch", recorded.to_str().unwrap(), "--state", other]);
    assert!(again.said.contains("without being added twice"), "{}", again.said);
}

#[test]
fn settings_hold_and_wrong_ones_are_told() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    let capture = capture.to_str().unwrap();
    let off = place.file("off.toml", "off = [\"host-scan\"]\n");
    place.run(&["watch", capture, "--settings", off.to_str().unwrap()]);
    assert!(of(&json(&place, &["findings", "--json"]), "host-scan").is_empty());
    for (text, says) in [
        ("off = [\"no-such\"]", "no detector is called \"no-such\""),
        ("[thresholds]\n\"host-scan.failures\" = -1", "cannot be -1"),
        ("[thresholds]\n\"host-scan.nothing\" = 1", "no threshold is called"),
        ("colour = 1", "unknown field"),
        ("[[expected]]\nreason = \"x\"", "needs an actor"),
        ("[[scope]]\nnetwork = \"10.0.0.0/40\"", "is no network"),
        (
            "# Cells\n[[zone]]\nname = \"cell-3\"\nroles = [\"plc\"]\n[[scope]]\nzone = \"cell-4\"",
            "no zone is called",
        ),
    ] {
        let wrong = place.file("wrong.toml", text);
        let done = place.run(&["watch", capture, "--settings", wrong.to_str().unwrap()]);
        assert_eq!(done.status, Some(1), "{text}");
        assert!(done.said.contains(says), "{text}: {}", done.said);
        let line = text.lines().count();
        assert!(
            done.said.contains(&format!("wrong.toml:{line} cannot be used")) || says == "needs an actor",
            "{text}: {}",
            done.said
        );
    }
}

#[test]
fn what_is_set_for_a_zone_holds_there_and_findings_say_so() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    let all = "[[zone]]\nname = \"cell-3\"\nnetworks = [\"0.0.0.0/0\"]\n";
    let scope = "[[scope]]\nzone = \"cell-3\"\nthresholds = { \"host-scan.failures\" = 13 }\n";
    let zone = place.file("zone.toml", format!("{all}{scope}"));
    place.run(&["watch", capture.to_str().unwrap(), "--settings", zone.to_str().unwrap()]).good();
    let scan = of(&json(&place, &["findings", "--json"]), "host-scan").remove(0);
    assert_eq!(
        (&scan["crossed"]["limit"], &scan["crossed"]["set_for"]),
        (&13.0.into(), &"zone cell-3".into())
    );
    let page = place.run(&["finding", scan["id"].as_str().unwrap()]).out;
    assert!(page.contains("13 allowed (set for zone cell-3)"), "{page}");
    let site = place.file("site.toml", "site = \"North\"\n[thresholds]\n\"host-scan.failures\" = 14\n");
    let state = ["--state", "site"];
    let watch = ["watch", capture.to_str().unwrap(), "--settings", site.to_str().unwrap()];
    place.run(&[&watch[..], &state].concat()).good();
    let scan = of(&json(&place, &[&["findings", "--json"], &state[..]].concat()), "host-scan").remove(0);
    assert_eq!(
        (&scan["crossed"]["limit"], &scan["crossed"]["set_for"]),
        (&14.0.into(), &"site North".into())
    );
}

#[test]
fn the_example_of_settings_in_the_documents_is_valid() {
    let place = Place::new();
    let empty = place.file("empty.jsonl", "");
    let docs = testkit::workspace().join("docs");
    let page = fs::read_to_string(docs.join("findings.md")).unwrap();
    let short = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let short = place.file("short.toml", short);
    let help = place.run(&["detectors", "--help"]).out;
    let help = help.split("FILE.toml`:\n").nth(1).unwrap();
    let help = place.file("help.toml", help);
    for settings in [docs.join("settings.toml"), short, help] {
        place.run(&["watch", empty.to_str().unwrap(), "--settings", settings.to_str().unwrap()]).good();
    }
}

#[test]
fn indicators_of_others_are_matched_and_bad_files_of_them_told() {
    let place = Place::new();
    let capture = attack(&place, "mirai");
    let capture = capture.to_str().unwrap();
    let truth = lab::attack("mirai", None, &SceneOptions::default()).unwrap().truth();
    let master = truth.devices.iter().find(|device| device.name == "master").unwrap().ips[0];
    let list =
        place.file("list.csv", format!("{master},master of a botnet\nd41d8cd98f00b204e9800998ecf8427e\n"));
    let done = place.run(&["watch", capture, "--intel", list.to_str().unwrap()]);
    assert!(done.said.contains("1 indicators (1 of kinds that are not seen"), "{}", done.said);
    let found = of(&json(&place, &["findings", "--json"]), "threat-intelligence");
    assert!(found[0]["summary"].as_str().unwrap().contains("in list.csv as master of a botnet"), "{found:?}");
    let bad = place.file("bad.json", "{\"objects\": 7}");
    let done = place.run(&["watch", capture, "--intel", bad.to_str().unwrap()]);
    assert_eq!(done.status, Some(1));
    assert!(done.said.contains("is no STIX 2.1 bundle"), "{}", done.said);
}

#[test]
fn a_drill_explains_each_step_and_says_what_was_found() {
    let place = Place::new();
    let done = place.run(&["drill", "mirai", "--speed", "0"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    for part in [
        "> telnet-scan",
        "! medium",
        "T1046 Network Service Discovery",
        "stages were found",
        "What to do first",
    ] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
    let outcomes = json(&place, &["drill", "mirai", "--json"]);
    let scan =
        &outcomes.as_array().unwrap().iter().find(|stage| stage["stage"] == "scanning-in-turn").unwrap();
    assert!(scan["found"]["host-scan"].as_f64().unwrap() < 60.0, "{outcomes}");
    assert!(place.run(&["drill", "backup", "--speed", "0"]).out.contains("raised no alarm"));
    let wrong = place.run(&["drill", "no-such"]);
    assert_eq!(wrong.status, Some(1));
    assert!(wrong.said.contains("no attack is called"), "{}", wrong.said);
    assert!(!place.path("state").exists(), "a drill keeps nothing");
}

#[test]
fn bad_questions_get_one_clear_sentence() {
    let place = Place::new();
    place.file("empty.jsonl", "");
    assert_eq!(place.run(&["watch", "empty.jsonl"]).status, Some(0));
    for (arguments, says) in [
        (&["finding", "f000000000000"][..], "no finding is known as f000000000000"),
        (&["finding", ""], "no id of a finding is given"),
        (&["incidents", "i0"], "no incident is known as i0"),
        (&["verdict", "f0", "true"], "no finding is known as f0"),
        (&["findings", "--detector", "x"], "no detector is called x"),
        (&["detectors", "x"], "no detector is called x"),
    ] {
        let done = place.run(arguments);
        assert_eq!(done.status, Some(1), "{arguments:?}");
        assert!(done.said.contains(says), "{arguments:?}: {}", done.said);
    }
    let bad = place.file("bad.jsonl", "{\"observation\":\"flow-ended\"}\n");
    let done = place.run(&["watch", bad.to_str().unwrap()]);
    assert_eq!(done.status, Some(1));
    assert!(done.said.contains("line 1: not an observation"), "{}", done.said);
}

#[test]
fn the_catalogue_in_the_documents_is_the_one_of_this_version() {
    let place = Place::new();
    let made = place.run(&["detectors", "--markdown"]).out;
    let kept = fs::read_to_string(testkit::workspace().join("docs/detectors.md")).unwrap_or_default();
    assert!(
        made == kept,
        "docs/detectors.md is old: cargo run -p pavise -- detectors --markdown > docs/detectors.md"
    );
    let all = json(&place, &["detectors", "--json"]);
    assert_eq!(all.as_array().unwrap().len(), detect::DETECTORS.len());
}

#[test]
fn what_is_listed_is_selected_by_the_language_of_policies() {
    let place = Place::new();
    place.run(&["lab", "attack", "mirai", "--out", "mirai.pcapng"]).good();
    place.run(&["watch", "--quiet", "mirai.pcapng"]).good();
    let ids = |command: &str, filter: &str| -> Vec<String> {
        let all = json(&place, &[command, "--json", "--filter", filter]);
        all.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = json(&place, &["findings", "--json"]);
    let severe: Vec<_> = all.as_array().unwrap().iter().filter(|one| one["severity"] == "critical").collect();
    assert!(!severe.is_empty());
    assert_eq!(ids("findings", "severity:critical").len(), severe.len());
    assert_eq!(ids("findings", "severity<critical").len(), all.as_array().unwrap().len() - severe.len());
    assert_eq!(ids("devices", "ip:192.168.7.30").len(), 1);
    assert!(!ids("incidents", "ip:192.168.7.30 and severity>=high").is_empty());
    assert!(!ids("flows", "port=23 and ip:192.168.7.30").is_empty());
    assert!(ids("flows", "port=23 and port=24").is_empty());
    let refused = place.run(&["findings", "--filter", "severty:high"]);
    assert!(refused.status == Some(1) && refused.said.contains("did you mean severity?"), "{refused:?}");
}
