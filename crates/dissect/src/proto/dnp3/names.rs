//! The names of codes (IEEE 1815, clauses 4.4, 9.2, 11 and annex A).

use model::OperationKind;

/// A function of the application layer (table 4-1): its name, and what kind of operation it is.
pub(super) const fn function(code: u8) -> (&'static str, Option<OperationKind>) {
    use OperationKind::{
        Authenticate, Configure, Diagnose, Execute, Read, Restart, SetTime, Start, Stop, TransferFile, Write,
    };
    match code {
        0 => ("confirm", None),
        1 => ("read", Some(Read)),
        2 => ("write", Some(Write)),
        3 => ("select", Some(Execute)),
        4 => ("operate", Some(Execute)),
        5 => ("direct-operate", Some(Execute)),
        6 => ("direct-operate-no-ack", Some(Execute)),
        7 => ("immediate-freeze", Some(Execute)),
        8 => ("immediate-freeze-no-ack", Some(Execute)),
        9 => ("freeze-and-clear", Some(Execute)),
        10 => ("freeze-and-clear-no-ack", Some(Execute)),
        11 => ("freeze-at-time", Some(Execute)),
        12 => ("freeze-at-time-no-ack", Some(Execute)),
        13 => ("cold-restart", Some(Restart)),
        14 => ("warm-restart", Some(Restart)),
        15 => ("initialize-data", Some(Configure)),
        16 => ("initialize-application", Some(Configure)),
        17 => ("start-application", Some(Start)),
        18 => ("stop-application", Some(Stop)),
        19 => ("save-configuration", Some(Configure)),
        20 => ("enable-unsolicited", Some(Configure)),
        21 => ("disable-unsolicited", Some(Configure)),
        22 => ("assign-class", Some(Configure)),
        23 => ("delay-measurement", Some(Diagnose)),
        24 => ("record-current-time", Some(SetTime)),
        25 => ("open-file", Some(TransferFile)),
        26 => ("close-file", Some(TransferFile)),
        27 => ("delete-file", Some(TransferFile)),
        28 => ("get-file-info", Some(TransferFile)),
        29 => ("authenticate-file", Some(Authenticate)),
        30 => ("abort-file", Some(TransferFile)),
        31 => ("activate-configuration", Some(Configure)),
        32 => ("authentication-request", Some(Authenticate)),
        33 => ("authentication-request-no-ack", Some(Authenticate)),
        129 => ("response", None),
        130 => ("unsolicited-response", None),
        131 => ("authentication-response", None),
        _ => ("unknown", None),
    }
}

/// A function of the link layer: from the primary station or from the secondary (tables 9-1 and 9-2).
pub(super) const fn link_function(primary: bool, code: u8) -> &'static str {
    match (primary, code) {
        (true, 0) => "reset-link-states",
        (true, 2) => "test-link-states",
        (true, 3) => "confirmed-user-data",
        (true, 4) => "unconfirmed-user-data",
        (true, 9) => "request-link-status",
        (false, 0) => "ack",
        (false, 1) => "nack",
        (false, 11) => "link-status",
        (false, 15) => "not-supported",
        _ => "unknown",
    }
}

/// A group of objects (annex A); group 60 is told apart by its variations.
pub(super) const fn object(group: u8, variation: u8) -> &'static str {
    match (group, variation) {
        (0, _) => "device-attributes",
        (1, _) => "binary-input",
        (2, _) => "binary-input-event",
        (3, _) => "double-bit-binary-input",
        (4, _) => "double-bit-binary-input-event",
        (10, _) => "binary-output",
        (11, _) => "binary-output-event",
        (12, 2) => "pattern-control-block",
        (12, 3) => "pattern-mask",
        (12, _) => "control-relay-output-block",
        (13, _) => "binary-output-command-event",
        (20, _) => "counter",
        (21, _) => "frozen-counter",
        (22, _) => "counter-event",
        (23, _) => "frozen-counter-event",
        (30, _) => "analog-input",
        (31, _) => "frozen-analog-input",
        (32, _) => "analog-input-event",
        (33, _) => "frozen-analog-input-event",
        (34, _) => "analog-input-deadband",
        (40, _) => "analog-output-status",
        (41, _) => "analog-output",
        (42, _) => "analog-output-event",
        (43, _) => "analog-output-command-event",
        (50, _) => "time-and-date",
        (51, _) => "time-and-date-common-time-of-occurrence",
        (52, _) => "time-delay",
        (60, 1) => "class-0-data",
        (60, 2) => "class-1-data",
        (60, 3) => "class-2-data",
        (60, 4) => "class-3-data",
        (70, _) => "file-control",
        (80, _) => "internal-indications",
        (81, _) => "device-storage",
        (82, _) => "device-profile",
        (83, _) => "private-registration-object",
        (85, _) => "data-set-prototype",
        (86, _) => "data-set-descriptor",
        (87, _) => "data-set",
        (88, _) => "data-set-event",
        (90, _) => "application",
        (91, _) => "status-of-requested-operation",
        (101, _) => "binary-coded-decimal",
        (102, _) => "unsigned-integer",
        (110, _) => "octet-string",
        (111, _) => "octet-string-event",
        (112, _) => "virtual-terminal-output-block",
        (113, _) => "virtual-terminal-event-data",
        (120, _) => "authentication",
        (121, _) => "security-statistic",
        (122, _) => "security-statistic-event",
        _ => "unknown",
    }
}

/// How a control ended (table 11-8).
pub(super) const fn control_status(code: u8) -> &'static str {
    match code {
        0 => "success",
        1 => "timeout",
        2 => "no-select",
        3 => "format-error",
        4 => "not-supported",
        5 => "already-active",
        6 => "hardware-error",
        7 => "local",
        8 => "too-many-operations",
        9 => "not-authorized",
        10 => "automation-inhibit",
        11 => "processing-limited",
        12 => "out-of-range",
        13 => "downstream-local",
        14 => "already-complete",
        15 => "blocked",
        16 => "cancelled",
        17 => "blocked-other-master",
        18 => "downstream-fail",
        126 => "non-participating",
        _ => "undefined",
    }
}

/// The operation type of a control (bits 0 to 3 of its code, A.8.1).
pub(super) const fn operation_type(code: u8) -> &'static str {
    match code & 0x0f {
        0 => "nul",
        1 => "pulse-on",
        2 => "pulse-off",
        3 => "latch-on",
        4 => "latch-off",
        _ => "undefined",
    }
}

/// Trip or close (bits 6 and 7).
pub(super) const fn trip_close(code: u8) -> &'static str {
    match code >> 6 {
        0 => "nul",
        1 => "close",
        2 => "trip",
        _ => "reserved",
    }
}

/// The internal indications (clause 4.5), most significant byte first: what each bit says.
pub(super) const INDICATIONS: [(u16, &str); 14] = [
    (0x0100, "broadcast"),
    (0x0200, "class-1-events"),
    (0x0400, "class-2-events"),
    (0x0800, "class-3-events"),
    (0x1000, "need-time"),
    (0x2000, "local-control"),
    (0x4000, "device-trouble"),
    (0x8000, "device-restart"),
    (0x0001, "no-func-code-support"),
    (0x0002, "object-unknown"),
    (0x0004, "parameter-error"),
    (0x0008, "event-buffer-overflow"),
    (0x0010, "already-executing"),
    (0x0020, "config-corrupt"),
];
