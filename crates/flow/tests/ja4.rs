//! Every capture that the makers of JA4 publish with its expected fingerprints.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flow::Limits;
use model::{FlowId, Transport, Value, What};

/// The fingerprint of one hello: transport, port of client, port of server, fingerprint.
type Hello = (Transport, u16, u16, String);

/// The first hello of each conversation, and all hellos.
fn hellos(capture: &Path) -> (BTreeSet<Hello>, BTreeSet<Hello>) {
    let (mut first, mut all) = (BTreeMap::<FlowId, Hello>::new(), BTreeSet::new());
    for observation in common::observe(capture, &Limits::default(), 1).0 {
        if let What::Message(message) = observation.what
            && message.kind == "client-hello"
            && let Some(ja4) = message.fields.get("ja4").and_then(Value::as_str)
        {
            let head = message.flow;
            let hello = (head.transport, head.client.port, head.server.port, ja4.to_owned());
            first.entry(head.id).or_insert_with(|| hello.clone());
            all.insert(hello);
        }
    }
    (first.into_values().collect(), all)
}

/// What the second reference program printed, which knows hellos after a retry: client port and
/// fingerprint.
fn expected_of_all(text: &str) -> BTreeSet<(u16, String)> {
    let streams: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(text).expect("JSON");
    let mut expected = BTreeSet::new();
    for stream in streams {
        let port = stream.get("srcport").and_then(|port| port.as_str()).and_then(|port| port.parse().ok());
        for (name, value) in &stream {
            if let (true, Some(port), Some(ja4)) = (name.starts_with("JA4."), port, value.as_str()) {
                expected.insert((port, ja4.to_owned()));
            }
        }
    }
    expected
}

/// What the reference program printed: an item for each conversation, a line for each of its values.
fn expected(snapshot: &str) -> BTreeSet<Hello> {
    let mut expected = BTreeSet::new();
    for item in snapshot.split("\n- stream:").skip(1) {
        let value = |name: &str| item.lines().find_map(|line| line.trim().strip_prefix(name).map(str::trim));
        let (Some(ja4), Some(transport)) = (value("ja4:"), value("transport:")) else { continue };
        let port = |name| value(name).and_then(|text| text.parse().ok()).expect("a port");
        let transport = if transport == "tcp" { Transport::Tcp } else { Transport::Udp };
        expected.insert((transport, port("src_port:"), port("dst_port:"), ja4.into()));
    }
    expected
}

#[test]
fn fingerprints_equal_those_of_the_reference_program() {
    const TEST: &str = "fingerprints_equal_those_of_the_reference_program";
    let Some(captures) = testkit::corpus(TEST, "ja4/pcap") else { return };
    let Some(snapshots) = testkit::corpus(TEST, "ja4/rust/ja4/src/snapshots") else { return };
    let Some(listings) = testkit::corpus(TEST, "ja4/python/test/testdata") else { return };
    let (mut compared, mut wrong) = (0, String::new());
    for capture in testkit::captures(&captures) {
        let name = capture.file_name().unwrap().to_str().unwrap();
        let Ok(snapshot) = std::fs::read_to_string(snapshots.join(format!("ja4__insta@{name}.snap"))) else {
            continue;
        };
        let (expected, (first, all)) = (expected(&snapshot), hellos(&capture));
        compared += expected.len();
        for missing in expected.difference(&first) {
            wrong += &format!("{name}: missing {missing:?}\n");
        }
        for surplus in first.difference(&expected) {
            wrong += &format!("{name}: surplus {surplus:?}\n");
        }
        let listing = std::fs::read_to_string(listings.join(format!("{name}.json"))).expect("a listing");
        for (port, ja4) in expected_of_all(&listing) {
            if !all.iter().any(|(_, client, _, found)| (*client, found) == (port, &ja4)) {
                wrong += &format!("{name}: missing among all hellos {ja4} from port {port}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(compared > 100, "only {compared} fingerprints were compared");
}
