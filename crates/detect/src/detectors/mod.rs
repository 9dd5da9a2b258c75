//! The detectors: one file each, one line in the list.

mod change;
mod command_sweep;
mod configuration_write;
mod contacts;
mod controller_file_transfer;
mod controller_mode;
mod controller_password;
mod controller_restart;
mod controller_start;
mod controller_stop;
mod diagnostic_access;
mod dnp3_reporting;
mod engineering_station;
mod exception_burst;
mod firmware_update;
mod forced_values;
mod habit;
mod host_scan;
mod identification_sweep;
mod illegal_function;
mod memory_write;
mod program_download;
mod program_upload;
mod suspicion;
mod time_change;
mod unauthorised_write;

use crate::rule::Rule;

/// All detectors, by theme.
pub static DETECTORS: &[&Rule] = &[
    // Who looks around.
    &host_scan::DETECTOR,
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
    &diagnostic_access::DETECTOR,
    // Who feels controllers out.
    &identification_sweep::DETECTOR,
    &exception_burst::DETECTOR,
    &controller_password::DETECTOR,
    &illegal_function::DETECTOR,
];
