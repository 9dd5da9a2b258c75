//! The detectors: one file each, one line in the list.

mod acts;
mod address_conflict;
mod anonymising_network;
mod arp_scan;
mod arp_spoofing;
mod beaconing;
mod behaviour;
mod botnet_command_channel;
mod brute_force;
mod can;
mod can_identifier;
mod can_j1939;
mod can_payload;
mod can_timing;
mod change;
mod channel;
mod claims;
mod cleartext_management;
mod command_sweep;
mod configuration_write;
mod contacts;
mod controller_file_transfer;
mod controller_mode;
mod controller_password;
mod controller_restart;
mod controller_scan;
mod controller_start;
mod controller_stop;
mod dead_drop;
mod default_credentials;
mod denials;
mod diagnostic_access;
mod dnp3_reporting;
mod dns_tunnel;
mod domains;
mod engineering_station;
mod exception_burst;
mod executable_download;
mod exfiltration;
mod exposed_address;
mod exposed_device;
mod few;
mod firmware_update;
mod follow_up;
mod forced_values;
mod generated_domains;
mod goose_spoofing;
mod habit;
mod host_scan;
mod identification_sweep;
mod illegal_function;
mod inbound_flood;
mod internet_access;
mod irc_botnet;
mod lateral_movement;
mod lead_up;
mod loopback_on_link;
mod memory_write;
mod mud_deviation;
mod new_operation;
mod new_peer;
mod new_service;
mod outbound_flood;
mod outbound_transfer;
mod password_spraying;
mod policy_violation;
mod port_scan;
mod process_value;
mod program_download;
mod program_upload;
mod protocol_violation;
mod rates;
mod related_values;
mod remote_access;
mod remote_execution;
mod rhythm_change;
mod rogue_dhcp;
mod roles;
mod services;
mod silent_channel;
mod suspicion;
mod suspicious_reading;
mod threat_intelligence;
mod time_change;
mod unanswered_calls;
mod unauthenticated_service;
mod unauthenticated_write;
mod unauthorised_write;
mod weak_ssh;
mod weak_tls;
mod worm_spread;

use crate::rule::Rule;

/// The detector that judges by what others have warned of, and by nothing else.
pub(crate) const BY_WARNINGS: &str = threat_intelligence::DETECTOR.id;

/// All detectors, by theme.
pub static DETECTORS: &[&Rule] = &[
    // Who looks around.
    &host_scan::DETECTOR,
    &arp_scan::DETECTOR,
    &port_scan::DETECTOR,
    &controller_scan::DETECTOR,
    // Who poses as another.
    &arp_spoofing::DETECTOR,
    &address_conflict::DETECTOR,
    &rogue_dhcp::DETECTOR,
    // Who guesses passwords, and who has bad ones.
    &brute_force::DETECTOR,
    &password_spraying::DETECTOR,
    &default_credentials::DETECTOR,
    &cleartext_management::DETECTOR,
    &unauthenticated_service::DETECTOR,
    // What can be broken.
    &weak_tls::DETECTOR,
    &weak_ssh::DETECTOR,
    // What goes out.
    &dns_tunnel::DETECTOR,
    &generated_domains::DETECTOR,
    &beaconing::DETECTOR,
    &exfiltration::DETECTOR,
    // Who goes on, and what he takes.
    &lateral_movement::DETECTOR,
    &outbound_transfer::DETECTOR,
    // Who floods whom.
    &outbound_flood::DETECTOR,
    &inbound_flood::DETECTOR,
    // What becomes of devices.
    &worm_spread::DETECTOR,
    &executable_download::DETECTOR,
    &dead_drop::DETECTOR,
    &anonymising_network::DETECTOR,
    &irc_botnet::DETECTOR,
    &botnet_command_channel::DETECTOR,
    &unanswered_calls::DETECTOR,
    &unauthenticated_write::DETECTOR,
    &protocol_violation::DETECTOR,
    &loopback_on_link::DETECTOR,
    // Who comes in and goes out.
    &internet_access::DETECTOR,
    &remote_access::DETECTOR,
    &remote_execution::DETECTOR,
    &exposed_device::DETECTOR,
    &exposed_address::DETECTOR,
    // What others have warned of.
    &threat_intelligence::DETECTOR,
    // Who changes controllers.
    &engineering_station::DETECTOR,
    &program_download::DETECTOR,
    &program_upload::DETECTOR,
    &controller_stop::DETECTOR,
    &controller_start::DETECTOR,
    &controller_mode::DETECTOR,
    &controller_restart::DETECTOR,
    &firmware_update::DETECTOR,
    &configuration_write::DETECTOR,
    &memory_write::DETECTOR,
    &forced_values::DETECTOR,
    &time_change::DETECTOR,
    &dnp3_reporting::DETECTOR,
    &controller_file_transfer::DETECTOR,
    // Who commands them.
    &unauthorised_write::DETECTOR,
    &command_sweep::DETECTOR,
    &goose_spoofing::DETECTOR,
    &diagnostic_access::DETECTOR,
    // Who feels controllers out.
    &suspicious_reading::DETECTOR,
    &identification_sweep::DETECTOR,
    &exception_burst::DETECTOR,
    &controller_password::DETECTOR,
    &illegal_function::DETECTOR,
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
    &related_values::DETECTOR,
    &behaviour::DETECTOR,
    // What people have said is not to be.
    &policy_violation::DETECTOR,
    &mud_deviation::DETECTOR,
    // What came before an attack and what came after: they ask what the others have found, and stand last.
    &lead_up::DETECTOR,
    &follow_up::DETECTOR,
];

/// Those whose findings only say that something is not as it was learnt.
pub static LEARNING: &[&str] = &[
    "behaviour",
    "can-identifier",
    "can-payload",
    "can-timing",
    "new-operation",
    "new-peer",
    "new-service",
    "process-value",
    "related-values",
    "rhythm-change",
    "silent-channel",
];

/// Those whose findings are told only because something else was found of the actor: they add what it does, and are no
/// evidence against it, or it would stay suspected for as long as it goes on.
pub(crate) static WEIGHED: &[&str] = &["suspicious-reading"];

/// Those whose findings are told only because of another finding.
pub(crate) static STORIES: &[&str] = &["follow-up", "lead-up"];

#[cfg(test)]
mod tests {
    use model::{BusData, BusFrame, FlowId, OperationKind, Outcome, Value, What};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{On, Story, answered, operation, values};

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
                    bus: 0,
                    id,
                    extended: step % 2 == 0,
                    data,
                })))
                .then(values("10.0.0.5", "10.0.0.9", &[("input-registers 3 unit 1", step as f64)]));
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
