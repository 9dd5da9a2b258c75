//! Every real capture at hand through the engine: nothing panics, every packet is accounted for, and
//! the result is the same for every number of shards.

mod common;

use common::observe;
use flow::Limits;
use model::{Observation, What};

fn recorded(observations: &[Observation]) -> u64 {
    let packets = |observation: &Observation| match &observation.what {
        What::FlowEnded(record) => record.sent.packets + record.received.packets,
        _ => 0,
    };
    observations.iter().map(packets).sum()
}

fn shed(observations: &[Observation]) -> u64 {
    let packets = |observation: &Observation| match &observation.what {
        What::Shed(shed) => shed.packets,
        _ => 0,
    };
    observations.iter().map(packets).sum()
}

fn text(observations: &[Observation]) -> String {
    let line = |observation| serde_json::to_string(observation).expect("observations are JSON");
    observations.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_packet_is_in_one_conversation_or_under_one_reason() {
    let Some(root) = testkit::corpus("every_packet_is_in_one_conversation", "") else { return };
    let captures = testkit::captures(&root);
    for path in &captures {
        let (observations, counters) = observe(path, &Limits::default(), 1);
        let sum =
            recorded(&observations) + counters.without_flow + counters.fragments + counters.packets_shed;
        assert_eq!(sum, counters.packets, "{}", path.display());
        assert_eq!(shed(&observations), counters.packets_shed, "{}", path.display());
        assert_eq!(counters.flows_open, 0);
    }
    eprintln!("{} captures", captures.len());
}

#[test]
fn the_result_is_the_same_for_every_number_of_shards() {
    for folder in ["ndpi", "suricata_verify", "icsnpp", "zeek_traces"] {
        let Some(folder) = testkit::corpus("the_result_is_the_same_for_every_number_of_shards", folder)
        else {
            return;
        };
        // Small limits, so that making room is part of what must be the same.
        for limits in [Limits::default(), Limits { flows: 64, buffered_bytes: 64 << 10, ..Limits::default() }]
        {
            for path in testkit::captures(&folder).into_iter().step_by(5) {
                let (one, counters) = observe(&path, &limits, 1);
                let one = text(&one);
                for shards in [2, 3, 4] {
                    let (many, many_counters) = observe(&path, &limits, shards);
                    assert!(one == text(&many), "{} with {shards} shards", path.display());
                    assert_eq!(counters, many_counters);
                }
            }
        }
    }
}
