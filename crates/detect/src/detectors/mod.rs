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
