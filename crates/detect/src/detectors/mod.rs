//! The detectors: one file each, one line in the list.

mod behaviour;
mod can;
mod can_identifier;
mod can_j1939;
mod can_payload;
mod can_timing;
mod channel;
mod contacts;
mod host_scan;
mod new_operation;
mod new_peer;
mod new_service;
mod process_value;
mod rhythm_change;
mod silent_channel;

use crate::rule::Rule;

/// All detectors, by theme.
pub static DETECTORS: &[&Rule] = &[
    // Who looks around.
    &host_scan::DETECTOR,
    // What is not as it was learnt.
    &can_identifier::DETECTOR,
    &can_timing::DETECTOR,
    &can_payload::DETECTOR,
    &can_j1939::DETECTOR,
    &new_peer::DETECTOR,
    &new_service::DETECTOR,
    &new_operation::DETECTOR,
    &silent_channel::DETECTOR,
    &rhythm_change::DETECTOR,
    &process_value::DETECTOR,
    &behaviour::DETECTOR,
];

/// Those whose findings only say that something is not as it was learnt.
pub(crate) static LEARNING: &[&str] = &[
    "behaviour",
    "can-identifier",
    "can-payload",
    "can-timing",
    "new-operation",
    "new-peer",
    "new-service",
    "process-value",
    "rhythm-change",
    "silent-channel",
];

#[cfg(test)]
mod tests {
    use model::{BusData, BusFrame, FlowId, OperationKind, Outcome, Sample, Side, Transport, Value, What};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{On, Story, answered, head, operation};

    /// A little of everything that can be learnt.
    fn live(mut story: Story, steps: u64) -> Story {
        for step in 0..steps {
            let id = 0x100 + (step % 3) as u32;
            let data = BusData::new(&step.to_be_bytes());
            story = story
                .wait(61)
                .flow(answered("10.0.0.5", "10.0.0.9", 502, "modbus"))
                .asks(
                    operation("10.0.0.5", "10.0.0.9", "modbus", OperationKind::Write, "write", Outcome::Done)
                        .on("holding-registers 1 unit 1")
                        .writing(Value::Unsigned(step % 50)),
                )
                .then(What::BusFrame(Box::new(BusFrame {
                    flow: FlowId(1),
                    id,
                    extended: step % 2 == 0,
                    data,
                })))
                .then(What::Sample(Box::new(Sample {
                    flow: head("10.0.0.5", "10.0.0.9", 502, Transport::Tcp),
                    from: Side::Server,
                    protocol: "modbus".into(),
                    point: "input-registers 3 unit 1".into(),
                    value: step as f64,
                })));
        }
        story
    }

    fn hosts(rule: &'static Rule) -> Story {
        Story::of(rule).with_host("10.0.0.5").with_host("10.0.0.9")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        // Whatever became of what was kept: nothing panics, and learning goes on.
        #[test]
        fn what_was_kept_may_be_damaged(
            places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            digit in "[0-9]{1,22}",
        ) {
            for rule in DETECTORS {
                let saved = live(hosts(rule), 40).detect().save();
                for (id, bytes) in saved {
                    let mut broken = bytes.clone();
                    for (place, byte) in &places {
                        let place = place.index(broken.len());
                        broken[place] = *byte;
                    }
                    // A number somewhere is another one: this is still of the right form.
                    let mut other = bytes.clone();
                    let number = places[0].0.index(other.len());
                    if let Some(at) = other[number..].iter().position(u8::is_ascii_digit) {
                        other.splice(number + at..=number + at, digit.bytes());
                    }
                    for bytes in [broken, other] {
                        let mut story = hosts(rule);
                        story.detect().restore_learnt(id, &bytes);
                        let mut story = live(story, 20);
                        story.detect().save();
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_learnt_of_a_few_hosts_takes_little() {
        for rule in DETECTORS {
            let saved = live(hosts(rule), 400).detect().save();
            let bytes: usize = saved.iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(bytes < 32 << 10, "{}: {bytes}", rule.id);
        }
    }

    #[test]
    fn those_that_learn_can_go_on_after_a_restart() {
        for id in LEARNING {
            let rule = DETECTORS.iter().find(|rule| rule.id == *id).unwrap();
            assert!((rule.start)().save().is_some(), "{id}");
        }
    }

    #[test]
    fn every_detector_is_listed_once_and_described() {
        let mut ids: Vec<_> = DETECTORS.iter().map(|rule| rule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), DETECTORS.len());
        assert!(DETECTORS.iter().all(|rule| !rule.fix.is_empty() && !rule.listens.is_empty()));
    }
}
