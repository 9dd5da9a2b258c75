//! `pavise policy export` and `pavise enforce`: from a policy to a firewall, with real packets in network namespaces.

use std::process::Stdio;

use serde_json::Value;
use testkit::namespaces::{End, Namespaces};

use super::common::{json, watched_plant};
use super::{Done, Place};

/// The panel and the controller of the plant.
const PANEL: &str = "10.10.0.21";
const CONTROLLER: &str = "10.10.0.13";

#[test]
fn a_policy_is_said_in_the_words_of_many() {
    let place = watched_plant(10);
    place.file(
        "small.policy",
        format!("allow \"set points\" {PANEL} -> {CONTROLLER} modbus write\nallow local -> \"time.example.com\" ntp\n"),
    );
    for (to, wanted) in [
        ("nftables", &["table inet pavise", "10.10.0.21 . 10.10.0.13 . 502"][..]),
        ("cisco", &["ip access-list extended PAVISE", "permit tcp host 10.10.0.21 host 10.10.0.13 eq 502"]),
        ("aruba", &["access-list ip PAVISE", "permit tcp 10.10.0.21 10.10.0.13 eq 502"]),
        ("iptables", &["*filter", "-s 10.10.0.21/32 -d 10.10.0.13/32", "--dports 502"]),
        ("ip6tables", &["*filter"]),
        ("kubernetes", &["\"NetworkPolicy\"", "\"namespace\": \"default\""]),
        ("radius", &["NAS-Filter-Rule", "permit in 6 from assigned to 10.10.0.13 502"]),
    ] {
        let done = place.run(&["policy", "export", "small.policy", "--to", to]).good();
        for wanted in wanted {
            assert!(done.out.contains(wanted), "{to} has no {wanted}:\n{}", done.out);
        }
        assert!(
            done.said.contains(
                "only some operations are allowed, the firewall lets whole conversations through: line 1"
            ),
            "{to}: {}",
            done.said
        );
    }
    let done = place.run(&["policy", "export", "small.policy", "--to", "cisco", "--out", "list.txt"]).good();
    assert!(done.out.starts_with("list.txt: "), "{}", done.out);
    assert!(std::fs::read_to_string(place.path("list.txt")).unwrap().contains("permit tcp host"));
    assert!(done.said.contains("the DNS name time.example.com"), "{}", done.said);
}

#[test]
fn what_cannot_be_put_in_force_is_refused_with_what_to_do() {
    let place = watched_plant(10);
    place.file("cutting.policy", "zone all { members 10.10.0.0/24 }\n");
    place.file("wrong.policy", "zone a { members role:plc }\nzone b { members role:plc }\n");
    for (arguments, wanted) in [
        (&["enforce", "status"][..], "nothing was put in force"),
        (&["enforce", "drift"], "nothing was put in force"),
        (&["enforce", "remove"], "nothing was put in force"),
        (&["enforce", "apply", "cutting.policy", "--mode", "enforce"], "it would cut"),
        (&["enforce", "apply", "wrong.policy", "--mode", "observe"], "is not to be put in force as it is"),
        (&["enforce", "plan", "plant.policy", "--guard", "me"], "\"me\" is no address"),
        (&["enforce", "plan", "none.policy"], "cannot read the policy none.policy"),
    ] {
        let done = place.run(arguments);
        assert!(done.status == Some(1) && done.said.contains(wanted), "{arguments:?}: {done:?}");
    }
    let mut command = place.pavise();
    let none =
        command.args(["enforce", "apply", "plant.policy", "--mode", "observe"]).env("PATH", place.path(""));
    let done = Done::from(none.output().unwrap());
    assert!(done.status == Some(1) && done.said.contains("nft could not be started"), "{done:?}");
    assert!(done.said.contains("install nftables"), "{done:?}");
    let mut command = place.pavise();
    let none = command.args(["enforce", "plan", "plant.policy", "--json"]).env("PATH", place.path(""));
    let plan = json(&Done::from(none.output().unwrap()).good().out);
    assert!(plan["unchecked"].as_str().unwrap().contains("nft could not be started"), "{plan}");
    assert_eq!(plan["cuts"], Value::Array(vec![]), "what a policy was proposed from is not cut");
}

/// panel — r — controller, where r is a bridge.
fn bridge(test: &str) -> Option<Namespaces> {
    let names = Namespaces::new(test, &["panel", "r", "controller"])?;
    names.bridge(
        "r",
        &[
            End { name: "panel", mac: "02:00:00:00:00:0a", addresses: &[&format!("{PANEL}/24")] },
            End { name: "controller", mac: "02:00:00:00:00:0b", addresses: &[&format!("{CONTROLLER}/24")] },
        ],
    );
    Some(names)
}

/// `pavise` on the bridge.
fn on(bridge: &Namespaces, place: &Place, arguments: &[&str]) -> Done {
    let mut command = bridge.command("r", env!("CARGO_BIN_EXE_pavise"));
    command.args(arguments).current_dir(place.path("")).env("PAVISE_STATE", place.path("state"));
    Done::from(command.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn a_policy_is_planned_observed_enforced_repaired_and_taken_out() {
    let test = "a_policy_is_planned_observed_enforced_repaired_and_taken_out";
    let Some(bridge) = bridge(test) else { return };
    let place = watched_plant(10);
    let (mut panel, mut controller) = (bridge.peer("panel"), bridge.peer("controller"));
    for port in [502, 7001] {
        controller.serve(&format!("{CONTROLLER}:{port}"));
    }
    panel.serve(&format!("{PANEL}:502"));
    let modbus = format!("{CONTROLLER}:502");
    let [other, back] = [format!("{CONTROLLER}:7001"), format!("{PANEL}:502")];
    assert!(panel.connect(&modbus) && panel.say() == "ok");

    let bridged = ["--family", "bridged"];
    let plan =
        on(&bridge, &place, &[&["enforce", "plan", "plant.policy", "--json"], &bridged[..]].concat()).good();
    let plan = json(&plan.out);
    assert_eq!((&plan["change"]["whole"], &plan["objection"]), (&Value::Bool(true), &Value::Null), "{plan}");
    assert_eq!(on(&bridge, &place, &["enforce", "status"]).status, Some(1), "a plan puts nothing in force");

    // Observed: everything passes, what is not allowed is counted.
    let apply = |mode: &str| {
        on(&bridge, &place, &[&["enforce", "apply", "plant.policy", "--mode", mode], &bridged[..]].concat())
    };
    let done = apply("observe").good();
    assert!(done.out.contains("cuts nothing"), "{}", done.out);
    assert!(panel.say() == "ok" && panel.connect(&modbus) && panel.reaches(&other));
    let status = json(&on(&bridge, &place, &["enforce", "status", "--json"]).good().out);
    assert_eq!(
        (&status["mode"], &status["drift"]),
        (&Value::from("observe"), &Value::Array(vec![])),
        "{status}"
    );
    let row = |status: &Value| {
        let rows = status["cut_by"].as_array().unwrap();
        rows.iter().find(|row| row["service"] == "tcp/7001").cloned().unwrap_or_default()
    };
    let seen = row(&status);
    assert_eq!(
        (&seen["sender"], &seen["receiver"]),
        (&Value::from(PANEL), &Value::from(CONTROLLER)),
        "{status}"
    );
    let opened = |rule: &&Value| {
        rule["rule"].as_str().unwrap().contains("modbus") && rule["packets"].as_u64() > Some(0)
    };
    assert_eq!(status["rules"].as_array().unwrap().iter().filter(opened).count(), 1, "{status}");

    // Enforced: what is allowed goes on and can be opened, nothing else can.
    let done = apply("enforce").good();
    assert!(done.out.contains("cuts what is not allowed"), "{}", done.out);
    assert!(panel.say() == "ok", "a conversation that is allowed goes on");
    assert!(panel.connect(&modbus) && panel.say() == "ok");
    assert!(!panel.reaches(&other), "a port that no rule opens");
    assert!(!controller.reaches(&back), "the controller opens nothing to its panel");
    let text = on(&bridge, &place, &["enforce", "status"]).good().out;
    for wanted in
        ["plant.policy in force since 2", "mode enforce", &format!("{PANEL} -> {CONTROLLER} tcp/7001: ")]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }

    // Somebody else's change is told, and put right.
    assert!(on(&bridge, &place, &["enforce", "drift"]).good().out.contains("holds what was put there"));
    bridge.run("r", "nft", &["flush", "chain", "bridge", "pavise", "cut"]);
    assert!(panel.reaches(&other), "the change takes the rules' teeth");
    let done = on(&bridge, &place, &["enforce", "drift"]);
    assert!(done.status == Some(1) && done.out.contains("cut"), "{done:?}");
    assert!(on(&bridge, &place, &["enforce", "drift", "--repair"]).good().out.contains("put right"));
    assert!(!panel.reaches(&other) && panel.say() == "ok");

    // Applied again, nothing changes; another family is refused; taken out, everything passes.
    let again = json(
        &on(
            &bridge,
            &place,
            &[&["enforce", "apply", "plant.policy", "--mode", "enforce", "--json"], &bridged[..]].concat(),
        )
        .good()
        .out,
    );
    assert_eq!(
        (&again["change"]["whole"], &again["change"]["added"]),
        (&Value::Bool(false), &Value::from(0)),
        "{again}"
    );
    let done = on(&bridge, &place, &["enforce", "apply", "plant.policy", "--mode", "observe"]);
    assert!(done.status == Some(1) && done.said.contains("bridged rules are in force"), "{done:?}");
    on(&bridge, &place, &["enforce", "remove"]).good();
    assert!(panel.reaches(&other) && controller.reaches(&back));
    assert_eq!(on(&bridge, &place, &["enforce", "status"]).status, Some(1));
}
