//! `pavise trust` and `pavise access`: how far devices are trusted, and who may do what.

use super::*;

#[test]
fn an_attacker_is_in_quarantine_until_he_is_judged_as_expected_and_again_when_that_is_taken_back() {
    let place = Place::new();
    place.run(&["lab", "attack", "default-logins", "--out", "a.pcapng"]).good();
    let told = place.run(&["watch", "--quiet", "--json", "a.pcapng"]).good().out;
    let changes: Vec<_> = told.lines().map(json).filter(|line| line["event"] == "trust-changed").collect();
    assert!(changes.iter().any(|change| change["to"] == "quarantine"), "{changes:?}");
    let listed = json(&place.run(&["trust", "--json"]).good().out);
    let worst = &listed.as_array().unwrap()[0];
    assert_eq!((&worst["access"], &worst["worst"]), (&"quarantine".into(), &"behaviour".into()), "{worst}");
    assert!(listed.as_array().unwrap().iter().any(|row| row["access"] == "full"), "{listed}");
    let id = worst["device"].as_str().unwrap();
    let shown = place.run(&["trust", id]).good().out;
    assert!(shown.contains("it attacks others") && shown.contains("To raise it: clean it"), "{shown}");
    // Every finding that is held against it.
    let against: Vec<_> = worst["aspects"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|aspect| aspect["evidence"].as_array().unwrap())
        .map(|one| one["finding"].as_str().unwrap().to_owned())
        .collect();
    for finding in &against {
        place.run(&["verdict", finding, "expected", "--reason", "our scanner"]).good();
    }
    let access = |id: &str| json(&place.run(&["trust", id, "--json"]).good().out)["access"].clone();
    assert_eq!(access(id), "full");
    for finding in &against {
        place.run(&["verdict", finding, "clear"]).good();
    }
    assert_eq!(access(id), "quarantine");
    let devices = place.run(&["trust"]).good().out;
    assert!(devices.contains("in quarantine."), "{devices}");
}

#[test]
fn trust_is_the_same_for_every_number_of_shards() {
    let told: Vec<_> = ["1", "4"]
        .map(|shards| {
            let place = Place::new();
            place.run(&["lab", "attack", "arp-spoof", "--out", "a.pcapng"]).good();
            place.run(&["watch", "--quiet", "--shards", shards, "a.pcapng"]).good();
            place.run(&["trust", "--json"]).good().out
        })
        .into();
    assert_eq!(told[0], told[1]);
    assert!(told[0].contains("behaviour"), "{}", told[0]);
}

#[test]
fn requests_are_explained_and_the_built_in_policies_are_a_beginning() {
    let place = Place::new();
    let explain = |arguments: &[&str]| {
        let arguments: Vec<_> = ["access", "explain", "--json"].iter().chain(arguments).copied().collect();
        json(&place.run(&arguments).good().out)
    };
    let safety = explain(&["operator", "write-plc-register", "--zone", "safety"]);
    assert_eq!(
        (&safety["decision"], &safety["policies"][0]),
        (&"deny".into(), &"safety-needs-an-engineer".into())
    );
    let program = explain(&["engineer", "program-plc", "--zone", "industrial", "--mfa-age", "3600"]);
    assert_eq!(program["decision"], "step-up", "{program}");
    assert_eq!(explain(&["engineer", "program-plc", "--mfa-age", "5"])["decision"], "allow");
    assert_eq!(explain(&["administrator", "approve-policy", "--own", "--mfa-age", "5"])["decision"], "deny");

    let policies = place.run(&["access", "default"]).good().out;
    place.file("site.cedar", &policies);
    let all = json(&place.run(&["access", "default", "--json"]).good().out);
    assert_eq!(all["policies"].as_str().unwrap().trim(), policies.trim());
    // Viewers may judge: that is what differs.
    let more = "\n@id(\"more\") permit (principal in Role::\"viewer\", action == Action::\"judge-finding\", resource);\n";
    fs::create_dir(place.path("site")).unwrap();
    place.file("site/a.cedar", &policies);
    place.file("site/b.cedar", more);
    let changed = json(&place.run(&["access", "diff", "site.cedar", "site", "--json"]).good().out);
    let changed = changed.as_array().unwrap();
    assert!(!changed.is_empty());
    for one in changed {
        assert_eq!((&one["role"], &one["action"]), (&"viewer".into(), &"judge-finding".into()), "{one}");
    }
}

#[test]
fn policies_that_cannot_be_read_are_refused_with_file_line_and_reason() {
    let place = Place::new();
    place.file("bad.cedar", "permit (principal, action, resource)\nwhen { context.mfa_aage > 3 };\n");
    let done = place.run(&["access", "check", "bad.cedar"]);
    assert_eq!(done.status, Some(1));
    assert!(
        done.said.starts_with("pavise: bad.cedar:2: ") && done.said.contains("mfa_aage"),
        "{}",
        done.said
    );
    fs::create_dir(place.path("empty")).unwrap();
    place
        .run(&["access", "check", "empty"])
        .refused("there is no file *.cedar in empty: name one that has policies");
}
