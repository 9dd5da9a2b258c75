//! PROFINET context management on real captures, against the logs that Zeek with the ICSNPP parser made of
//! them.

#[path = "ot/conversations.rs"]
mod conversations;

use std::collections::BTreeMap;

use dissect::proto::Yield;
use model::Value;

/// Columns of the log, which has no names for them: the kind of packet and the operation.
const KIND: usize = 10;
const OPERATION: usize = 31;

#[test]
fn every_call_agrees_with_zeek() {
    const TEST: &str = "every_call_agrees_with_zeek";
    let Some(tshark) = testkit::peer(TEST, "tshark") else { return };
    let Some(folder) = testkit::corpus(TEST, "icsnpp/profinet-io-cm/testing") else { return };
    let log = folder.join("baseline/tests.profinet_io_cm/profinet_io_cm.log");
    let log = std::fs::read_to_string(log).expect("a log is text");
    let mut theirs = BTreeMap::<(String, String), usize>::new();
    for line in log.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let kind = match columns[KIND] {
            "No call Response to Ping" => "no-call".into(),
            kind => kind.to_lowercase().replace(' ', "-"),
        };
        let operation = columns[OPERATION].to_lowercase().replace(' ', "-");
        *theirs.entry((kind, operation)).or_default() += 1;
    }
    let mut ours = BTreeMap::<(String, String), usize>::new();
    for conversation in conversations::read(&tshark, &folder.join("traces/profinet_io_cm.pcap"), true) {
        assert_eq!(conversation.protocol, Some("profinet-io-cm"), "{}", conversation.head.server);
        assert_eq!(conversation.lost, None, "{}", conversation.head.server);
        for (_, item) in &conversation.found {
            match item {
                Yield::Message { kind, fields, .. } => {
                    let operation = fields.get("operation").and_then(Value::as_str).unwrap_or("-");
                    *ours.entry((kind.to_string(), operation.to_owned())).or_default() += 1;
                }
                Yield::Anomaly { reason, detail, .. } => {
                    panic!("{} {reason}: {detail}", conversation.head.server);
                }
                _ => {}
            }
        }
    }
    assert_eq!(ours, theirs);
    assert!(theirs.values().sum::<usize>() > 900);
}
