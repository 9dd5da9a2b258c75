//! `pavise policy`: from what was seen to a policy, and back.

use serde_json::Value;

use super::common::{json, watched_plant};

#[test]
fn a_proposed_policy_is_sound_cuts_nothing_and_denies_what_was_never_done() {
    let place = watched_plant(30);
    let lint = place.run(&["policy", "lint", "plant.policy", "--json"]).good().out;
    let errors = json(&lint).as_array().unwrap().iter().filter(|row| row["severity"] == "error").count();
    assert_eq!(errors, 0, "{lint}");
    let proof = json(&place.run(&["policy", "prove", "plant.policy", "--json"]).good().out);
    assert!(proof["all"]["kept"]["conversations"].as_u64() > Some(100), "{proof}");
    assert_eq!(proof["cuts"], Value::Array(Vec::new()), "{proof}");
    // A controller asks its panel for nothing.
    let explain =
        ["policy", "explain", "plant.policy", "10.10.0.11", "10.10.0.21", "modbus", "write", "--json"];
    let answer = json(&place.run(&explain).good().out);
    assert_eq!(answer["allowed"], false, "{answer}");
    let reach = ["policy", "reach", "plant.policy", "internet", "role:plc", "--json"];
    assert_eq!(json(&place.run(&reach).good().out)["way"], Value::Null);
}

#[test]
fn an_operation_that_is_taken_out_is_told_by_proof_and_difference() {
    let place = watched_plant(30);
    let whole = std::fs::read_to_string(place.path("plant.policy")).unwrap();
    let tighter = whole.replace("write coils 4,", "");
    assert_ne!(whole, tighter, "{whole}");
    place.file("tighter.policy", &tighter);
    let proof = json(&place.run(&["policy", "prove", "tighter.policy", "--json"]).good().out);
    let cuts = proof["cuts"].as_array().unwrap();
    assert!(!cuts.is_empty() && cuts.iter().all(|cut| cut["operation"]["kind"] == "write"), "{proof}");
    let diff = json(&place.run(&["policy", "diff", "plant.policy", "tighter.policy", "--json"]).good().out);
    assert_eq!(
        (diff["added"].as_array().unwrap().len(), diff["removed"].as_array().unwrap().len()),
        (1, 1),
        "{diff}"
    );
    assert_eq!(
        place.run(&["policy", "diff", "plant.policy", "plant.policy"]).good().out,
        "Nothing changes.\n"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_is_not_known_with_what_is() {
    let place = watched_plant(30);
    place.file("wrong.policy", "group a = group:b\ngroup b = group:a\nallow nobody -> a modbuss\n");
    let done = place.run(&["policy", "lint", "wrong.policy"]);
    assert!(done.status == Some(1), "{done:?}");
    for wanted in ["wrong.policy:3:", "nobody", "did you mean `modbus`?"] {
        assert!(done.out.contains(wanted), "{wanted}: {}", done.out);
    }
    place.file("never.policy", "allow local -> role:plc modbus\nnever role:historian reach role:plc\n");
    let done = place.run(&["policy", "test", "never.policy"]);
    assert!(done.status == Some(1) && done.out.contains("FAILED  line 2"), "{done:?}");
    for (arguments, wanted) in [
        (&["policy", "lint", "none.policy"][..], "cannot read the policy none.policy"),
        (&["policy", "prove", "wrong.policy"], "wrong.policy has"),
        (&["policy", "explain", "plant.policy", "hmi", "plc", "tcp/99999"], "no device is known as hmi"),
        (
            &["policy", "explain", "plant.policy", "10.10.0.21", "10.10.0.11", "tcp/99999"],
            "tcp/99999 is no service",
        ),
        (
            &["policy", "explain", "plant.policy", "10.10.0.21", "10.10.0.11", "modbus", "wreck"],
            "wreck is no operation",
        ),
        (&["policy", "reach", "plant.policy", "role:king"], "king is no role"),
    ] {
        let done = place.run(arguments);
        assert!(done.status == Some(1) && done.said.contains(wanted), "{arguments:?}: {done:?}");
    }
}
