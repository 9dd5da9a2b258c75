//! The detectors: one file each, one line in the list.

mod contacts;
mod host_scan;
mod threat_intelligence;

use crate::rule::Rule;

/// All detectors, by theme.
pub static DETECTORS: &[&Rule] = &[
    // Who looks around.
    &host_scan::DETECTOR,
    // What others have warned of.
    &threat_intelligence::DETECTOR,
];
