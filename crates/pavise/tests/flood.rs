//! A flood of made-up connections around real ones: what is real stays, what is made up is no device, and
//! what was given up is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Made-up connections, of one packet each.
const SPOOFED: u64 = 200_000;
/// Real ones, each between its own two hosts.
const ESTABLISHED: u64 = 200;
/// Far fewer conversations than the flood has may be held at once.
const MAX_FLOWS: u64 = 1 << 14;

fn pavise(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_pavise")).current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn json(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    serde_json::from_slice(&pavise(folder, arguments)).unwrap()
}

#[test]
fn a_flood_leaves_established_conversations_and_their_devices_and_makes_none_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (spoofed, established) = (SPOOFED.to_string(), ESTABLISHED.to_string());
    let flood = ["lab", "flood", "--packets", &spoofed, "--established", &established, "--out", "f.pcapng"];
    pavise(folder, &flood);
    let max_flows = MAX_FLOWS.to_string();
    let shown = pavise(folder, &["watch", "f.pcapng", "--quiet", "--max-flows", &max_flows]);
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("The limit flow.table was reached"), "{shown}");

    let truth: Value = serde_json::from_slice(&std::fs::read(folder.join("f.truth.json")).unwrap()).unwrap();
    let addresses = |devices: &[Value], field: &str, of: fn(&Value) -> &Value| -> BTreeSet<String> {
        let text = |address: &Value| of(address).as_str().unwrap().to_owned();
        devices.iter().flat_map(|device| device[field].as_array().unwrap().iter().map(text)).collect()
    };
    let expected = addresses(truth["devices"].as_array().unwrap(), "ips", |ip| ip);
    let devices = json(folder, &["devices", "--all", "--json"]);
    assert_eq!(addresses(&devices, "addresses", |used| &used["ip"]), expected);
    assert_eq!(devices.len() as u64, 2 * ESTABLISHED + 1);

    // Every real conversation is one conversation from its handshake to its end, and none was torn.
    let mut real = BTreeMap::<String, Vec<(String, u64)>>::new();
    for flow in json(folder, &["flows", "--protocol", "modbus", "--json"]) {
        let packets =
            flow["sent"]["packets"].as_u64().unwrap() + flow["received"]["packets"].as_u64().unwrap();
        let state = flow["tcp"]["state"].as_str().unwrap().to_owned();
        real.entry(flow["client"]["ip"].as_str().unwrap().to_owned()).or_default().push((state, packets));
    }
    assert_eq!(real.len() as u64, ESTABLISHED);
    for (client, flows) in &real {
        assert!(matches!(&flows[..], [(state, _)] if state == "closed"), "{client}: {flows:?}");
    }

    // Every packet is in a conversation that was kept, or among what was given up.
    let in_flows: u64 = json(folder, &["flows", "--json"])
        .iter()
        .map(|flow| flow["sent"]["packets"].as_u64().unwrap() + flow["received"]["packets"].as_u64().unwrap())
        .sum();
    let shed = shown.lines().find_map(|line| {
        let rest = line.strip_prefix("The limit flow.table was reached: ")?;
        let stood = rest.split("stood for ").nth(1)?.split(' ').next()?;
        stood.replace(',', "").parse::<u64>().ok()
    });
    assert_eq!(in_flows + shed.unwrap(), truth["packets"].as_u64().unwrap());
    assert!(shed.unwrap() > SPOOFED - 2 * MAX_FLOWS, "{shed:?}");
}
