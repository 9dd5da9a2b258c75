//! Commands, end codes and memory areas.

use model::OperationKind;

/// Commands by their two bytes (W227, section 5): name and what they do.
pub(super) const fn command(code: u16) -> Option<(&'static str, Option<OperationKind>)> {
    use OperationKind::{
        Configure, Diagnose, Identify, ProgramDownload, ProgramUpload, Read, Restart, SetTime, Start, Stop,
        TransferFile, Write,
    };
    Some(match code {
        0x0101 => ("memory-area-read", Some(Read)),
        0x0102 => ("memory-area-write", Some(Write)),
        0x0103 => ("memory-area-fill", Some(Write)),
        0x0104 => ("multiple-memory-area-read", Some(Read)),
        0x0105 => ("memory-area-transfer", Some(Write)),
        0x0201 => ("parameter-area-read", Some(Read)),
        0x0202 => ("parameter-area-write", Some(Configure)),
        0x0203 => ("parameter-area-clear", Some(Configure)),
        0x0220 => ("data-link-table-read", Some(Read)),
        0x0221 => ("data-link-table-write", Some(Configure)),
        0x0304 => ("program-area-protect", Some(Configure)),
        0x0305 => ("program-area-protect-clear", Some(Configure)),
        0x0306 => ("program-area-read", Some(ProgramUpload)),
        0x0307 => ("program-area-write", Some(ProgramDownload)),
        0x0308 => ("program-area-clear", Some(ProgramDownload)),
        0x0401 => ("run", Some(Start)),
        0x0402 => ("stop", Some(Stop)),
        0x0403 => ("reset", Some(Restart)),
        0x0501 => ("controller-data-read", Some(Identify)),
        0x0502 => ("connection-data-read", Some(Identify)),
        0x0601 => ("controller-status-read", Some(Diagnose)),
        0x0602 => ("network-status-read", Some(Diagnose)),
        0x0603 => ("data-link-status-read", Some(Diagnose)),
        0x0620 => ("cycle-time-read", Some(Diagnose)),
        0x0701 => ("clock-read", Some(Read)),
        0x0702 => ("clock-write", Some(SetTime)),
        0x0801 => ("loop-back-test", Some(Diagnose)),
        0x0802 => ("broadcast-test-results-read", Some(Diagnose)),
        0x0803 => ("broadcast-test-data-send", Some(Diagnose)),
        0x0920 => ("message-read", Some(Read)),
        0x0c01 => ("access-right-acquire", None),
        0x0c02 => ("access-right-forced-acquire", None),
        0x0c03 => ("access-right-release", None),
        0x2101 => ("error-clear", Some(Diagnose)),
        0x2102 => ("error-log-read", Some(Diagnose)),
        0x2103 => ("error-log-clear", Some(Configure)),
        0x2201 => ("file-name-read", Some(TransferFile)),
        0x2202 => ("single-file-read", Some(TransferFile)),
        0x2203 => ("single-file-write", Some(TransferFile)),
        0x2204 => ("memory-card-format", Some(Configure)),
        0x2205 => ("file-delete", Some(TransferFile)),
        0x2206 => ("volume-label-create-delete", Some(Configure)),
        0x2207 => ("file-copy", Some(TransferFile)),
        0x2208 => ("file-name-change", Some(TransferFile)),
        0x2209 => ("file-data-check", Some(Diagnose)),
        0x220a => ("memory-area-file-transfer", Some(TransferFile)),
        0x220b => ("parameter-area-file-transfer", Some(TransferFile)),
        0x220c => ("program-area-file-transfer", Some(TransferFile)),
        0x220f => ("file-memory-index-read", Some(TransferFile)),
        0x2210 => ("file-memory-read", Some(TransferFile)),
        0x2211 => ("file-memory-write", Some(TransferFile)),
        0x2301 => ("forced-set-reset", Some(Diagnose)),
        0x2302 => ("forced-set-reset-cancel", Some(Diagnose)),
        0x230a => ("multiple-forced-status-read", Some(Read)),
        0x2601 => ("name-set", Some(Configure)),
        0x2602 => ("name-delete", Some(Configure)),
        0x2603 => ("name-read", Some(Identify)),
        _ => return None,
    })
}

/// The main part of an end code (W227, section 5-1-3).
pub(super) const fn end(main: u8) -> &'static str {
    match main & 0x7f {
        0x00 => "normal-completion",
        0x01 => "local-node-error",
        0x02 => "destination-node-error",
        0x03 => "communications-controller-error",
        0x04 => "not-executable",
        0x05 => "routing-error",
        0x10 => "command-format-error",
        0x11 => "parameter-error",
        0x20 => "read-not-possible",
        0x21 => "write-not-possible",
        0x22 => "not-executable-in-current-mode",
        0x23 => "no-unit",
        0x24 => "start-stop-not-possible",
        0x25 => "unit-error",
        0x26 => "command-error",
        0x30 => "access-right-error",
        0x40 => "abort",
        _ => "unknown",
    }
}

/// Commands around frames over TCP (W342, FINS/TCP).
pub(super) const fn wrapper(command: u32) -> Option<&'static str> {
    Some(match command {
        0 => "node-address-request",
        1 => "node-address-response",
        2 => "frame-send",
        3 => "frame-send-error",
        6 => "connection-confirmation",
        _ => return None,
    })
}

/// A memory area: its name, and whether its elements are bits. The areas of the CS and CJ series, then
/// those of the CV series.
pub(super) const fn area(code: u8) -> Option<(&'static str, bool)> {
    Some(match code {
        0x30 | 0x70 | 0x00 => ("CIO", true),
        0xb0 | 0xf0 | 0x80 => ("CIO", false),
        0x31 | 0x71 => ("W", true),
        0xb1 | 0xf1 => ("W", false),
        0x32 | 0x72 => ("H", true),
        0xb2 | 0xf2 => ("H", false),
        0x33 => ("A", true),
        0xb3 => ("A", false),
        0x02 => ("D", true),
        0x82 => ("D", false),
        0x09 | 0x49 | 0x01 => ("TC flag", true),
        0x89 | 0x81 => ("TC", false),
        0x0a | 0x20..=0x2f | 0xe0..=0xe8 => ("E", true),
        0x90..=0xac => ("E", false),
        0x06 => ("TK", true),
        0xdc => ("IR", false),
        0xbc => ("DR", false),
        _ => return None,
    })
}
