//! Commands, makers and kinds of devices.

use model::OperationKind;

/// Commands that all devices share, and the common practice ones: name and what they do (FCG TS20127,
/// universal commands; FCG TS20151, common practice commands).
pub(super) const fn command(code: u16) -> Option<(&'static str, OperationKind)> {
    use OperationKind::{Configure, Diagnose, Discover, Execute, Identify, Read, Restart, SetTime, Write};
    Some(match code {
        0 => ("read-unique-identifier", Identify),
        1 => ("read-primary-variable", Read),
        2 => ("read-loop-current", Read),
        3 => ("read-dynamic-variables", Read),
        6 => ("write-polling-address", Configure),
        7 => ("read-loop-configuration", Read),
        8 => ("read-dynamic-variable-classifications", Read),
        9 => ("read-device-variables-with-status", Read),
        11 => ("read-unique-identifier-by-tag", Identify),
        12 => ("read-message", Identify),
        13 => ("read-tag-descriptor-date", Identify),
        14 => ("read-primary-variable-transducer", Read),
        15 => ("read-device-information", Identify),
        16 => ("read-final-assembly-number", Identify),
        17 => ("write-message", Configure),
        18 => ("write-tag-descriptor-date", Configure),
        19 => ("write-final-assembly-number", Configure),
        20 => ("read-long-tag", Identify),
        21 => ("read-unique-identifier-by-long-tag", Identify),
        22 => ("write-long-tag", Configure),
        33 => ("read-device-variables", Read),
        34 => ("write-primary-variable-damping", Configure),
        35 => ("write-primary-variable-range", Configure),
        36 => ("set-primary-variable-upper-range", Configure),
        37 => ("set-primary-variable-lower-range", Configure),
        38 => ("reset-configuration-changed-flag", Configure),
        39 => ("eeprom-control", Configure),
        40 => ("fixed-current-mode", Diagnose),
        41 => ("self-test", Diagnose),
        42 => ("device-reset", Restart),
        43 => ("set-primary-variable-zero", Configure),
        44 => ("write-primary-variable-units", Configure),
        45 => ("trim-loop-current-zero", Configure),
        46 => ("trim-loop-current-gain", Configure),
        47 => ("write-primary-variable-transfer-function", Configure),
        48 => ("read-additional-status", Diagnose),
        49 => ("write-primary-variable-transducer-serial", Configure),
        50 => ("read-dynamic-variable-assignments", Read),
        51 => ("write-dynamic-variable-assignments", Configure),
        52 => ("set-device-variable-zero", Configure),
        53 => ("write-device-variable-units", Configure),
        54 => ("read-device-variable-information", Read),
        55 => ("write-device-variable-damping", Configure),
        59 => ("write-response-preambles", Configure),
        71 => ("lock-device", Configure),
        72 => ("squawk", Execute),
        73 => ("find-device", Discover),
        74 => ("read-io-system-capabilities", Discover),
        75 => ("poll-sub-device", Discover),
        76 => ("read-lock-state", Read),
        77 => ("send-command-to-sub-device", Execute),
        78 => ("read-aggregated-commands", Read),
        79 => ("write-device-variable", Write),
        84 => ("read-sub-device-identity", Discover),
        87 => ("write-io-system-master-mode", Configure),
        89 => ("set-real-time-clock", SetTime),
        90 => ("read-real-time-clock", Read),
        103 => ("write-burst-period", Configure),
        104 => ("write-burst-trigger", Configure),
        105 => ("read-burst-configuration", Read),
        107 => ("write-burst-device-variables", Configure),
        108 => ("write-burst-command", Configure),
        109 => ("burst-mode-control", Configure),
        _ => return None,
    })
}

/// Makers by their number (FCG TS20183, table 8), as far as they are often met.
pub(super) const fn maker(code: u16) -> Option<&'static str> {
    Some(match code {
        10 => "Brooks Instrument",
        17 => "Endress+Hauser",
        18 | 22 | 26 => "ABB",
        19 => "Fisher Controls",
        20 => "Foxboro",
        21 => "Fuji Electric",
        23 => "Honeywell",
        31 => "Micro Motion",
        32 => "Moore Industries",
        38 => "Rosemount",
        42 => "Siemens",
        44 => "Toshiba",
        55 => "Yokogawa",
        62 => "Smar",
        69 => "Krohne",
        _ => return None,
    })
}

/// What kind of device a profile is (FCG TS20183, table 57).
pub(super) const fn profile(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "hart process device",
        2 => "hart discrete device",
        3 => "hart hybrid device",
        4 => "hart input/output system",
        129 => "wirelesshart process device",
        130 => "wirelesshart discrete device",
        132 => "wirelesshart gateway",
        141 => "wirelesshart access point",
        142 => "wirelesshart process adapter",
        143 => "wirelesshart discrete adapter",
        _ => return None,
    })
}
