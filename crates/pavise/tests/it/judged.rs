//! Watching by what people have declared: policies and manufacturers' profiles.

use serde_json::Value;

use super::*;

/// The findings of a detector in a state.
fn found(place: &Place, state: &str, detector: &str) -> Vec<Value> {
    let done = place.run(&["findings", "--json", "--all", "--state", state, "--detector", detector]).good();
    serde_json::from_str::<Value>(&done.out).unwrap().as_array().unwrap().clone()
}

/// A place with ten minutes of the plant, the policy that follows from them, and an attack there.
fn plant() -> Place {
    let place = watched_plant(10);
    place.run(&["lab", "attack", "frostygoop", "--out", "attack.pcapng"]).good();
    place
}

fn watch(place: &Place, capture: &str, state: &str, with: &[&str]) -> Done {
    let mut arguments = vec!["watch", "--quiet", capture, "--state", state];
    arguments.extend(with);
    place.run(&arguments).good()
}

#[test]
fn what_a_policy_was_proposed_from_is_silent_and_an_attack_violates_it() {
    let place = plant();
    let with = ["--policy", "plant.policy"];
    watch(&place, "plant.pcapng", "benign", &with);
    assert_eq!(found(&place, "benign", "policy-violation"), Vec::<Value>::new());
    // Without a policy nothing is said.
    watch(&place, "attack.pcapng", "without", &[]);
    assert_eq!(found(&place, "without", "policy-violation"), Vec::<Value>::new());
    watch(&place, "attack.pcapng", "attack", &with);
    let all = found(&place, "attack", "policy-violation");
    let modbus = all.iter().find(|finding| finding["matter"] == "modbus").unwrap();
    assert_eq!((&modbus["actor"]["ip"], &modbus["severity"]), (&"198.51.100.201".into(), &"medium".into()));
    assert!(modbus["summary"].as_str().unwrap().ends_with("denied: no rule allows it"), "{modbus}");
    // How many packets are cut out depends on when; what is found does not.
    let alike = |mut all: Vec<Value>| {
        all.iter_mut().for_each(|finding| _ = finding.as_object_mut().unwrap().remove("evidence"));
        all
    };
    let all = alike(all);
    for shards in ["2", "4"] {
        watch(&place, "attack.pcapng", shards, &["--policy", "plant.policy", "--shards", shards]);
        assert_eq!(alike(found(&place, shards, "policy-violation")), all, "{shards} shards");
    }
}

#[test]
fn an_operation_that_a_rule_denies_is_high_is_told_with_the_rule_and_counts_on_after_a_restart() {
    let place = plant();
    let mut text = fs::read_to_string(place.path("plant.policy")).unwrap();
    text.push_str("deny \"nobody sets\" anyone -> role:plc modbus write\n");
    place.file("strict.policy", &text);
    watch(&place, "plant.pcapng", "strict", &["--policy", "strict.policy"]);
    let all = found(&place, "strict", "policy-violation");
    assert!(!all.is_empty());
    for finding in &all {
        assert_eq!((&finding["severity"], &finding["matter"]), (&"high".into(), &"nobody sets".into()));
        assert!(finding["summary"].as_str().unwrap().contains("modbus write"), "{finding}");
        assert_eq!(finding["crossed"]["threshold"], "policy-violation.times");
    }
    let count = |all: &[Value]| all.iter().map(|finding| finding["count"].as_u64().unwrap()).sum::<u64>();
    let before = count(&all);
    place.run(&["lab", "plant", "--minutes", "10", "--seed", "1", "--out", "again.pcapng"]).good();
    watch(&place, "again.pcapng", "strict", &["--policy", "strict.policy"]);
    let after = found(&place, "strict", "policy-violation");
    assert_eq!(after.len(), all.len());
    assert!(count(&after) > before, "{after:#?}");
}

#[test]
fn a_device_is_judged_by_its_makers_description() {
    let place = Place::new();
    place.run(&["lab", "home", "--minutes", "360", "--out", "home.pcapng"]).good();
    place.run(&["watch", "--quiet", "home.pcapng"]).good();
    for (device, file) in [("ecobee-511", "thermostat.json"), ("shellyplug-s-610F7E", "plug.json")] {
        let path = format!("profiles-{file}");
        place.run(&["mud", "generate", device, "--out", &path]).good();
    }
    let own = ["--mud-for", "ecobee-511=profiles-thermostat.json"];
    watch(&place, "home.pcapng", "own", &own);
    let deviations = found(&place, "own", "mud-deviation");
    assert!(deviations.iter().all(|finding| finding["severity"] == "low"), "{deviations:#?}");
    // By the description of another kind of device it does what it should not.
    place.file("map.txt", "# who is what\necobee-511 = profiles-plug.json\n");
    watch(&place, "home.pcapng", "other", &["--mud-map", "map.txt"]);
    let deviations = found(&place, "other", "mud-deviation");
    let outside = deviations.iter().filter(|finding| finding["severity"] == "medium").count();
    assert!(outside > 0, "{deviations:#?}");
    assert!(
        deviations[0]["summary"].as_str().unwrap().contains("no rule of https://example.invalid/mud.json"),
        "{deviations:#?}"
    );
}

#[test]
fn what_cannot_be_judged_by_is_refused_before_anything_is_read() {
    let place = Place::new();
    place.run(&["lab", "plant", "--minutes", "1", "--out", "plant.pcapng"]).good();
    place.file("wrong.policy", "allow nobody -> local modbus\n");
    place.file("wrong.json", "{}");
    place.file("map.txt", "# all\n\nlamp\n");
    fs::create_dir(place.path("empty")).unwrap();
    for (with, wanted) in [
        (&["--policy", "none.policy"][..], "cannot read the policy none.policy"),
        (&["--policy", "wrong.policy"], "wrong.policy has an error"),
        (&["--mud", "wrong.json"], "wrong.json: "),
        (&["--mud", "empty"], "empty holds 0 descriptions"),
        (&["--mud-for", "lamp"], "expected DEVICE=FILE.json"),
        (&["--mud-map", "map.txt"], "map.txt:3: expected DEVICE=FILE.json"),
    ] {
        let mut arguments = vec!["watch", "--quiet", "plant.pcapng", "--state", "refused"];
        arguments.extend(with);
        let done = place.run(&arguments);
        assert!(done.status == Some(1) && done.said.contains(wanted), "{with:?}: {done:?}");
        assert!(!place.path("refused").join("pavise.db").exists(), "{with:?}");
    }
    let done = place.run(&["watch", "plant.pcapng", "--no-findings", "--policy", "wrong.policy"]);
    assert_eq!(done.status, Some(2), "{done:?}");
}
