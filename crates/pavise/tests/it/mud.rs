//! `pavise mud`: a device's description from what was seen, and back.

use serde_json::Value;

use super::*;

/// A place where the home was watched for six hours.
fn watched() -> Place {
    let place = Place::new();
    place.run(&["lab", "home", "--minutes", "360", "--out", "home.pcapng"]).good();
    place.run(&["watch", "--quiet", "home.pcapng"]).good();
    place.run(&["mud", "generate", "ecobee-511", "--out", "thermostat.json"]).good();
    place
}

#[test]
fn a_description_of_a_device_is_sound_names_its_peers_and_allows_what_the_device_did() {
    let place = watched();
    let text = fs::read_to_string(place.path("thermostat.json")).unwrap();
    assert!(text.contains("api.thermostat.example"), "{text}");
    let told = json(&place.run(&["mud", "check", "thermostat.json", "--json"]).good().out);
    assert!(told["rules"].as_u64() > Some(5) && told["warnings"] == Value::Array(Vec::new()), "{told}");
    let own = json(&place.run(&["mud", "compare", "thermostat.json", "ecobee-511", "--json"]).good().out);
    let (allowed, forbidden) = (own["allowed"].as_u64().unwrap(), own["forbidden"].as_u64().unwrap());
    assert!(allowed > 50 && forbidden * 100 < allowed, "{own}");
    // A plug does something else than a thermostat.
    let other =
        json(&place.run(&["mud", "compare", "thermostat.json", "shellyplug-s-610F7E", "--json"]).good().out);
    assert!(other["forbidden"].as_u64() > Some(10), "{other}");
    let same =
        json(&place.run(&["mud", "compare", "thermostat.json", "thermostat.json", "--json"]).good().out);
    assert!(same.as_array().unwrap().iter().all(|row| row["relation"] == "equal"), "{same}");
}

#[test]
fn what_was_signed_is_checked_and_openssl_agrees() {
    let Some(openssl) = testkit::peer("mud signatures", "openssl") else { return };
    let place = watched();
    let signs = ["-addext", "keyUsage=critical,digitalSignature"];
    certificate(&place, &openssl, "root", "/CN=Maker", &signs);
    let sign = [
        "mud",
        "sign",
        "thermostat.json",
        "--key",
        "root.key",
        "--certificate",
        "root.pem",
        "--out",
        "file.p7s",
    ];
    place.run(&sign).good();
    let check = ["mud", "check", "thermostat.json", "--signature", "file.p7s", "--anchor", "root.pem"];
    assert!(place.run(&check).good().out.contains("Signed by CN=Maker"));
    let agreed = Command::new(&openssl)
        .current_dir(place.0.path())
        .args([
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-in",
            "file.p7s",
            "-content",
            "thermostat.json",
        ])
        .args(["-CAfile", "root.pem", "-purpose", "any", "-out", "/dev/null"])
        .output()
        .unwrap();
    assert!(agreed.status.success(), "{}", String::from_utf8_lossy(&agreed.stderr));
    let text = fs::read_to_string(place.path("thermostat.json")).unwrap();
    place.file("thermostat.json", text.replace("443", "444"));
    let done = place.run(&check);
    assert!(done.status == Some(1) && done.said.contains("does not hold"), "{done:?}");
}

#[test]
fn bad_input_is_told_and_leaves_nothing() {
    let place = watched();
    place.file("wrong.json", "{\"ietf-mud:mud\": {\"mud-version\": 7}}");
    for (arguments, wanted) in [
        (&["mud", "check", "none.json"][..], "cannot read the description none.json"),
        (&["mud", "check", "wrong.json"], "wrong.json: "),
        (&["mud", "generate", "nobody", "--out", "x.json"], "no device is known as nobody"),
        (&["mud", "generate", "ecobee-511", "--url", "ftp://x", "--out", "x.json"], "ftp://x"),
        (
            &[
                "mud",
                "sign",
                "thermostat.json",
                "--key",
                "wrong.json",
                "--certificate",
                "wrong.json",
                "--out",
                "x.json",
            ],
            "holds no key that signs",
        ),
    ] {
        let done = place.run(arguments);
        assert!(done.status == Some(1) && done.said.contains(wanted), "{arguments:?}: {done:?}");
    }
    assert!(!place.path("x.json").exists());
}

#[test]
fn a_description_becomes_rules_by_which_the_device_is_judged_alike() {
    let place = watched();
    let done = place.run(&["mud", "policy", "thermostat.json", "--for", "ecobee-511", "--json"]).good();
    let told = json(&done.out);
    let rules = told["rules"].as_array().unwrap();
    assert!(
        rules.iter().any(|rule| rule.as_str().unwrap().contains("\"api.thermostat.example\" tcp/443")),
        "{told}"
    );
    place.run(&["mud", "policy", "thermostat.json", "--for", "ecobee-511", "--out", "made.policy"]).good();
    let lint = place.run(&["policy", "lint", "made.policy", "--json"]);
    assert!(json(&lint.out).as_array().unwrap().iter().all(|row| row["severity"] != "error"), "{lint:?}");
    let ask = |server: &str, service: &str| {
        let asked = ["policy", "explain", "made.policy", "ecobee-511", server, service, "--json"];
        json(&place.run(&asked).good().out)["allowed"] == true
    };
    assert!(ask("api.thermostat.example", "tcp/443"));
    assert!(!ask("api.thermostat.example", "tcp/22") && !ask("203.0.113.99", "tcp/443"));
    let done = place.run(&["mud", "policy", "thermostat.json", "--group", "vendor:"]);
    assert!(done.status == Some(1) && done.said.contains("makes no policy"), "{done:?}");
}
