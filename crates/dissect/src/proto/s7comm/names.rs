//! The names of codes. S7 communication is not published by Siemens; these are the names under which
//! the codes are known from the wire.

use model::OperationKind;

/// What kind of PDU: the remote operating service control.
pub(super) const fn rosctr(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "job",
        2 => "ack",
        3 => "ack-data",
        7 => "userdata",
        8 => "server-control",
        _ => return None,
    })
}

/// A function of a job.
pub(super) const fn function(code: u8) -> &'static str {
    match code {
        0x00 => "cpu-services",
        0x04 => "read-var",
        0x05 => "write-var",
        0x1a => "request-download",
        0x1b => "download-block",
        0x1c => "download-ended",
        0x1d => "start-upload",
        0x1e => "upload",
        0x1f => "end-upload",
        0x28 => "pi-service",
        0x29 => "plc-stop",
        0xf0 => "setup-communication",
        _ => "unknown",
    }
}

/// A program invocation service.
pub(super) fn pi_service(name: &str) -> (OperationKind, &'static str) {
    match name {
        "_INSE" => (OperationKind::ProgramDownload, "insert-block"),
        "_INS2" => (OperationKind::ProgramDownload, "insert-block-2"),
        "_DELE" => (OperationKind::Configure, "delete-block"),
        "P_PROGRAM" => (OperationKind::Start, "plc-start"),
        "_MODU" => (OperationKind::Configure, "copy-ram-to-rom"),
        "_GARB" => (OperationKind::Configure, "compress-memory"),
        "_N_LOGIN_" => (OperationKind::Authenticate, "login"),
        "_N_LOGOUT" => (OperationKind::Authenticate, "logout"),
        _ => (OperationKind::Execute, "pi-service"),
    }
}

/// A group of user-data functions.
pub(super) const fn group(code: u8) -> &'static str {
    match code & 0x0f {
        0 => "mode-transition",
        1 => "programmer-commands",
        2 => "cyclic-services",
        3 => "block-functions",
        4 => "cpu-functions",
        5 => "security",
        6 => "pbc-bsend-brecv",
        7 => "time-functions",
        15 => "nc-programming",
        _ => "unknown",
    }
}

/// A function of a group, and what kind of operation it is.
pub(super) const fn userdata(group: u8, code: u8) -> (OperationKind, &'static str) {
    use OperationKind::{
        Authenticate, Diagnose, Discover, Execute, Identify, Read, SetTime, Subscribe, TransferFile, Write,
    };
    match (group & 0x0f, code) {
        (0, 0) => (Diagnose, "stop"),
        (0, 1) => (Diagnose, "warm-restart"),
        (0, 2) => (Diagnose, "run"),
        (0, 3) => (Diagnose, "hot-restart"),
        (0, 4) => (Diagnose, "hold"),
        (0, 6) => (Diagnose, "cold-restart"),
        (0, 9) => (Diagnose, "run-r"),
        (0, 11) => (Diagnose, "link-up"),
        (0, 12) => (Diagnose, "update"),
        (1, 1) => (Diagnose, "request-diagnostic-data"),
        (1, 2) => (Diagnose, "variable-table"),
        (1, 3) => (Read, "read-variable-table"),
        (1, 4) => (Write, "write-variable-table"),
        (1, 0x0c) => (Execute, "erase"),
        (1, 0x0e) => (Diagnose, "read-diagnostic-data"),
        (1, 0x0f) => (Diagnose, "remove-diagnostic-data"),
        (1, 0x10) => (Diagnose, "forces"),
        (1, 0x13) => (Diagnose, "request-diagnostic-data-2"),
        (2, 1) => (Subscribe, "cyclic-read-memory"),
        (2, 4) => (Subscribe, "cyclic-unsubscribe"),
        (2, 5) => (Subscribe, "cyclic-read-memory-r"),
        (2, 7) => (Subscribe, "cyclic-read-db"),
        (3, 1) => (Discover, "list-blocks"),
        (3, 2) => (Discover, "list-blocks-of-type"),
        (3, 3) => (Read, "get-block-info"),
        (4, 1) => (Identify, "read-szl"),
        (4, 2) => (Subscribe, "message-service"),
        (4, 3) => (Diagnose, "diagnostic-message"),
        (4, 5) => (Diagnose, "alarm-8-indication"),
        (4, 6) => (Diagnose, "notify-indication"),
        (4, 7) => (Write, "alarm-8-lock"),
        (4, 8) => (Write, "alarm-8-unlock"),
        (4, 9) => (Diagnose, "scan-indication"),
        (4, 0x0b) => (Execute, "alarm-acknowledge"),
        (4, 0x0c) => (Diagnose, "alarm-acknowledge-indication"),
        (4, 0x0d) => (Diagnose, "alarm-lock-indication"),
        (4, 0x0e) => (Diagnose, "alarm-unlock-indication"),
        (4, 0x11) => (Diagnose, "alarm-sq-indication"),
        (4, 0x12) => (Diagnose, "alarm-s-indication"),
        (4, 0x13) => (Read, "alarm-query"),
        (4, 0x16) => (Diagnose, "notify-8-indication"),
        (5, 1) => (Authenticate, "plc-password"),
        (7, 1 | 3) => (Read, "read-clock"),
        (7, 2 | 4) => (SetTime, "set-clock"),
        (15, 1) => (TransferFile, "nc-request-download"),
        (15, 2) => (TransferFile, "nc-download-block"),
        (15, 3) => (TransferFile, "nc-continue-download"),
        (15, 4) => (TransferFile, "nc-download-ended"),
        (15, 6) => (TransferFile, "nc-start-upload"),
        (15, 7) => (TransferFile, "nc-upload"),
        (15, 8) => (TransferFile, "nc-continue-upload"),
        _ => (Diagnose, "unknown"),
    }
}

/// The class of an error in the header of an answer.
pub(super) const fn error_class(code: u8) -> &'static str {
    match code {
        0x00 => "no-error",
        0x81 => "application-relationship",
        0x82 => "object-definition",
        0x83 => "no-resources-available",
        0x84 => "error-on-service-processing",
        0x85 => "error-on-supplies",
        0x87 => "access-error",
        _ => "unknown",
    }
}

/// How the access to one item ended.
pub(super) const fn return_code(code: u8) -> &'static str {
    match code {
        0x00 => "reserved",
        0x01 => "hardware-error",
        0x03 => "access-not-allowed",
        0x05 => "invalid-address",
        0x06 => "data-type-not-supported",
        0x07 => "data-type-inconsistent",
        0x0a => "object-does-not-exist",
        0xff => "success",
        _ => "unknown",
    }
}

/// A memory area: its short sign and its name.
pub(super) const fn area(code: u8) -> (&'static str, &'static str) {
    match code {
        0x03 => ("SI", "system-info"),
        0x05 => ("SF", "system-flags"),
        0x06 => ("AI", "analog-inputs"),
        0x07 => ("AQ", "analog-outputs"),
        0x1c => ("C", "counters"),
        0x1d => ("T", "timers"),
        0x1e => ("CI", "iec-counters"),
        0x1f => ("TI", "iec-timers"),
        0x80 => ("P", "direct-peripheral"),
        0x81 => ("I", "inputs"),
        0x82 => ("Q", "outputs"),
        0x83 => ("M", "flags"),
        0x84 => ("DB", "data-block"),
        0x85 => ("DI", "instance-data-block"),
        0x86 => ("L", "local-data"),
        0x87 => ("V", "previous-local-data"),
        _ => ("?", "unknown"),
    }
}

/// The type of the elements of an item.
pub(super) const fn transport_size(code: u8) -> &'static str {
    match code {
        1 => "BIT",
        2 => "BYTE",
        3 => "CHAR",
        4 => "WORD",
        5 => "INT",
        6 => "DWORD",
        7 => "DINT",
        8 => "REAL",
        9 => "DATE",
        10 => "TOD",
        11 => "TIME",
        12 => "S5TIME",
        15 => "DT",
        28 => "COUNTER",
        29 => "TIMER",
        30 => "IEC-COUNTER",
        31 => "IEC-TIMER",
        32 => "HS-COUNTER",
        _ => "UNKNOWN",
    }
}

/// A kind of block, by the two characters in a block's file name.
pub(super) const fn block_type(code: [u8; 2]) -> &'static str {
    match &code {
        b"08" => "OB",
        b"0A" => "DB",
        b"0B" => "SDB",
        b"0C" => "FC",
        b"0D" => "SFC",
        b"0E" => "FB",
        b"0F" => "SFB",
        _ => "block",
    }
}

/// What a connection is for, by the first byte of its transport selector.
pub(super) const fn connection(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "pg",
        2 => "op",
        3 => "s7-basic",
        _ => return None,
    })
}
