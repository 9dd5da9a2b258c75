//! The laboratory's scenes from end to end: what the built program finds in them is held against what is
//! true of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::{TrueDevice, Truth};
use model::{Attribute, Device, DeviceId, FlowRecord, Host, MacAddr};
use serde::de::DeserializeOwned;

/// What the truth holds and no message of the scene says in a field that means it: device, without its number, and
/// attribute.
const NOT_TOLD: &[(&str, Attribute)] = &[
    // They stand in product texts that each maker writes in its own way.
    ("bridge", Attribute::Firmware),
    ("clock", Attribute::Firmware),
    ("clock", Attribute::Model),
    ("gateway", Attribute::Firmware),
    // It greets with its model only who logs in by Telnet.
    ("recorder", Attribute::Model),
    // No rule knows them yet.
    ("door", Attribute::Role),
    ("infotainment", Attribute::Role),
    ("telematics", Attribute::Role),
    ("till", Attribute::Role),
    ("traffic-light", Attribute::Role),
    ("weather-station", Attribute::Role),
];

/// Seeds, and minutes.
const RUNS: [(u64, u64); 3] = [(1, 10), (7, 10), (42, 3)];

/// A folder for one scene, and the program in it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pavise(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_pavise"))
            .current_dir(self.folder.path())
            .env_remove("PAVISE_STATE")
            .args(arguments)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pavise {arguments:?}: {told}");
        output
    }

    fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        serde_json::from_slice(&self.pavise(arguments).stdout).unwrap()
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Everything in which what was found differs from the truth.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn expect(&mut self, holds: bool, difference: impl FnOnce() -> String) {
        if !holds {
            self.0.push(difference());
        }
    }
}

fn addresses(device: &Device) -> BTreeSet<IpAddr> {
    device.addresses.iter().map(|used| used.ip).collect()
}

fn values(device: &Device, attribute: Attribute) -> Vec<&str> {
    device.attributes.get(&attribute).into_iter().flatten().map(|one| &*one.value).collect()
}

/// Spellings of one value: a version with and without what announces it, a model with and without its maker.
fn agree(truth: &str, found: &str) -> bool {
    let [truth, found] = [truth, found].map(str::to_lowercase);
    truth.contains(&found) || found.contains(&truth)
}

/// Systems of one family.
fn same_system(truth: &str, found: &str) -> bool {
    let linux = ["Linux", "Debian", "Ubuntu", "OpenWrt"];
    found.starts_with(truth) || truth == "Linux" && linux.iter().any(|name| found.starts_with(name))
}

/// Each true device is exactly one found device with the same addresses, and there are no others.
fn match_devices<'a>(
    truth: &'a Truth,
    found: &'a [Device],
    differences: &mut Differences,
) -> Vec<(&'a TrueDevice, &'a Device)> {
    let mut pairs = Vec::new();
    let mut left: BTreeMap<DeviceId, &Device> = found.iter().map(|device| (device.id, device)).collect();
    for device in &truth.devices {
        let macs: BTreeSet<MacAddr> = device.macs.iter().copied().collect();
        let ips: BTreeSet<IpAddr> = device.ips.iter().copied().collect();
        let touched: Vec<&Device> = found
            .iter()
            .filter(|found| {
                found.macs.iter().any(|mac| macs.contains(mac)) || !addresses(found).is_disjoint(&ips)
            })
            .collect();
        if let [one] = touched[..] {
            let (found_macs, found_ips) = (one.macs.iter().copied().collect::<BTreeSet<_>>(), addresses(one));
            differences.expect(found_macs == macs && found_ips == ips, || {
                format!("{}: {found_macs:?} {found_ips:?}, but {macs:?} {ips:?} is true", device.name)
            });
            differences.expect(left.remove(&one.id).is_some(), || format!("{}: shared", device.name));
            pairs.push((device, one));
        } else {
            let ids: Vec<_> = touched.iter().map(|found| (found.id, addresses(found))).collect();
            differences.0.push(format!("{} is {} devices: {ids:?}", device.name, touched.len()));
        }
    }
    for (id, device) in left {
        differences.0.push(format!("{id} does not exist: {:?} {:?}", device.macs, addresses(device)));
    }
    pairs
}

fn compare(truth: &TrueDevice, found: &Device, differences: &mut Differences) {
    let name = truth.name.as_str();
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
    let not_told = |attribute| NOT_TOLD.contains(&(kind, attribute));
    differences.expect(found.locality == truth.locality, || format!("{name}: {:?}", found.locality));
    let protocols: Vec<&str> = found.protocols.iter().map(|name| &**name).collect();
    let mut expected: Vec<&str> = truth.protocols.iter().map(String::as_str).collect();
    expected.sort_unstable();
    differences.expect(protocols == expected, || format!("{name}: {protocols:?}, but {expected:?} is true"));
    if !not_told(Attribute::Role) {
        let roles: Vec<&str> = found.roles().collect();
        differences.expect(truth.roles.iter().all(|role| roles.contains(&role.name())), || {
            format!("{name}: {roles:?}, but {:?} is true", truth.roles)
        });
        // What people see first is right, too.
        let first = roles.first().copied();
        let sensible = truth.roles.is_empty() || truth.roles.iter().any(|role| Some(role.name()) == first);
        differences.expect(sensible, || format!("{name}: above all a {first:?}"));
    }
    // A device has several names and is sold under several: which one people see first is a matter of taste.
    let any = usize::MAX;
    let mut said =
        |attribute, expected: &Option<String>, among: usize, agree: &dyn Fn(&str, &str) -> bool| {
            let Some(expected) = expected else { return };
            if !not_told(attribute) {
                let values = values(found, attribute);
                differences.expect(values.iter().take(among).any(|value| agree(expected, value)), || {
                    format!("{name}: {attribute} {values:?}, but {expected:?} is true")
                });
            }
        };
    said(Attribute::Vendor, &truth.vendor, any, &|truth, found| inventory::vendor::brand(truth) == found);
    said(Attribute::Hostname, &truth.hostname, any, &|truth, found| truth == found);
    said(Attribute::Model, &truth.model, any, &agree);
    said(Attribute::Firmware, &truth.firmware, 1, &agree);
    said(Attribute::Serial, &truth.serial, 1, &agree);
    said(Attribute::OperatingSystem, &truth.os, 1, &same_system);
}

/// Records of a bus tell no identifier: as many as there are, each with its number of frames.
fn compare_bus(truth: &Truth, flows: &[FlowRecord], differences: &mut Differences) {
    let on_bus = |transport: &str| transport == "can";
    let told = truth.conversations.iter().filter(|one| on_bus(&one.transport));
    let mut told: Vec<u64> = told.map(|one| one.count).collect();
    let recorded = flows.iter().filter(|flow| on_bus(&flow.head.transport.to_string()));
    // A long conversation has several records, which add up.
    let mut by_conversation: BTreeMap<model::FlowId, u64> = BTreeMap::new();
    recorded.for_each(|flow| *by_conversation.entry(flow.head.id).or_default() += flow.sent.packets);
    let mut recorded: Vec<u64> = by_conversation.into_values().collect();
    told.sort_unstable();
    recorded.sort_unstable();
    differences.expect(told == recorded, || format!("frames of a bus: {recorded:?}, but {told:?} is true"));
}

/// Every true conversation is among those that were recorded, under its protocol's name.
fn compare_conversations(truth: &Truth, flows: &[FlowRecord], differences: &mut Differences) {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for device in &truth.devices {
        let macs = device.macs.iter().map(ToString::to_string);
        names.extend(macs.chain(device.ips.iter().map(ToString::to_string)).map(|key| (key, &*device.name)));
    }
    let name_of = |host: &Host| {
        let ip = host.ip.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
        let key = ip.or_else(|| host.mac.map(|mac| mac.to_string())).unwrap_or_default();
        names.get(&key).map_or(key.clone(), |name| (*name).to_owned())
    };
    let mut recorded = BTreeSet::new();
    for flow in flows {
        let Some(protocol) = &flow.protocol else { continue };
        let [client, server] = [flow.head.client, flow.head.server].map(|end| name_of(&end.host));
        recorded.insert((
            client,
            server,
            flow.head.transport.to_string(),
            flow.head.server.port,
            &**protocol,
        ));
    }
    for one in truth.conversations.iter().filter(|one| one.transport != "can") {
        let key =
            (one.client.clone(), one.server.clone(), one.transport.clone(), one.port, one.protocol.as_str());
        differences.expect(recorded.contains(&key), || format!("not recorded: {key:?}"));
    }
}

fn check(scene: &str, seed: u64, minutes: u64) {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let (seed, minutes) = (seed.to_string(), minutes.to_string());
    let capture = "scene.pcapng";
    bench.pavise(&["lab", scene, "--seed", &seed, "--minutes", &minutes, "--out", capture]);
    let truth: Truth = read(&bench.path("scene.truth.json"));
    let told: Vec<Vec<u8>> = ["1", "2", "4", "usual"]
        .iter()
        .map(|shards| {
            let state = format!("state-{shards}");
            let mut watch = vec!["watch", capture, "--quiet", "--json", "--state", &state];
            if *shards != "usual" {
                watch.extend(["--shards", shards]);
            }
            bench.pavise(&watch).stdout
        })
        .collect();
    let lines = std::str::from_utf8(&told[0]).unwrap();
    let anomaly = lines.lines().find(|line| line.contains("\"observation\":\"anomaly\""));
    assert_eq!(anomaly, None, "everybody keeps to the rules");
    // Not by assert_eq, which would print megabytes.
    assert!(told.iter().all(|each| *each == told[0]), "the number of shards shows");
    let states = ["state-1", "state-2", "state-4", "state-usual"];
    let kept = states.map(|state| bench.pavise(&["devices", "--json", "--state", state]).stdout);
    assert!(kept.iter().all(|each| *each == kept[0]), "the number of shards shows in the state");

    let devices: Vec<Device> = bench.json(&["devices", "--json", "--state", "state-1"]);
    let flows: Vec<FlowRecord> = bench.json(&["flows", "--json", "--state", "state-1"]);
    let mut differences = Differences::default();
    for (expected, found) in match_devices(&truth, &devices, &mut differences) {
        compare(expected, found, &mut differences);
    }
    for nobody in truth.silent.iter().chain(&truth.spoofed) {
        let made_up = devices.iter().any(|device| addresses(device).contains(nobody));
        differences.expect(!made_up, || format!("nobody is at {nobody}"));
    }
    for nobody in &truth.silent_macs {
        let made_up = devices.iter().any(|device| device.macs.contains(nobody));
        differences.expect(!made_up, || format!("nobody is at {nobody}"));
    }
    compare_conversations(&truth, &flows, &mut differences);
    compare_bus(&truth, &flows, &mut differences);
    let text = differences.0.join("\n");
    assert!(text.is_empty(), "{scene}, seed {seed}, {minutes} minutes:\n{text}");
}

/// Every true device of a scene is found once and no other, at any number of shards.
mod every_true_device_is_found_once_and_no_other {
    use super::*;

    fn in_scene(scene: &str) {
        RUNS.iter().for_each(|(seed, minutes)| check(scene, *seed, *minutes));
    }

    #[test]
    fn in_a_home() {
        in_scene("home");
    }

    #[test]
    fn in_a_plant() {
        in_scene("plant");
    }

    #[test]
    fn in_a_city() {
        in_scene("city");
    }

    #[test]
    fn in_a_hospital() {
        in_scene("hospital");
    }

    /// A bus has so many frames that less time is enough.
    #[test]
    fn in_a_vehicle() {
        [(1, 3), (7, 2), (42, 1)].iter().for_each(|(seed, minutes)| check("vehicle", *seed, *minutes));
    }

    #[test]
    fn in_a_shop() {
        in_scene("retail");
    }
}
