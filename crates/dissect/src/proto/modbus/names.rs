//! The names of codes (Application Protocol, clauses 5.1, 6.8.1, 6.21 and 7).

/// Whether servers in the field answer this function.
pub(super) const fn is_known(function: u8) -> bool {
    matches!(function, 1..=8 | 11 | 12 | 15..=17 | 20..=24 | 43 | super::umas::FUNCTION)
}

/// The name of a function; the exception bit is ignored.
pub(super) const fn function(code: u8) -> &'static str {
    match code & 0x7f {
        1 => "read-coils",
        2 => "read-discrete-inputs",
        3 => "read-holding-registers",
        4 => "read-input-registers",
        5 => "write-single-coil",
        6 => "write-single-register",
        7 => "read-exception-status",
        8 => "diagnostics",
        11 => "get-comm-event-counter",
        12 => "get-comm-event-log",
        15 => "write-multiple-coils",
        16 => "write-multiple-registers",
        17 => "report-server-id",
        20 => "read-file-record",
        21 => "write-file-record",
        22 => "mask-write-register",
        23 => "read-write-multiple-registers",
        24 => "read-fifo-queue",
        43 => "encapsulated-interface-transport",
        super::umas::FUNCTION => "umas",
        65..=72 | 100..=110 => "user-defined",
        _ => "unknown",
    }
}

/// The name of a test of function 8.
pub(super) const fn diagnostic(code: u16) -> &'static str {
    match code {
        0 => "return-query-data",
        1 => "restart-communications-option",
        2 => "return-diagnostic-register",
        3 => "change-ascii-input-delimiter",
        4 => "force-listen-only-mode",
        10 => "clear-counters-and-diagnostic-register",
        11 => "return-bus-message-count",
        12 => "return-bus-communication-error-count",
        13 => "return-bus-exception-error-count",
        14 => "return-server-message-count",
        15 => "return-server-no-response-count",
        16 => "return-server-nak-count",
        17 => "return-server-busy-count",
        18 => "return-bus-character-overrun-count",
        20 => "clear-overrun-counter-and-flag",
        _ => "reserved",
    }
}

/// The name of an exception, if it is one.
pub(super) const fn exception(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "illegal-function",
        2 => "illegal-data-address",
        3 => "illegal-data-value",
        4 => "server-device-failure",
        5 => "acknowledge",
        6 => "server-device-busy",
        7 => "negative-acknowledge",
        8 => "memory-parity-error",
        10 => "gateway-path-unavailable",
        11 => "gateway-target-device-failed-to-respond",
        _ => return None,
    })
}

/// The name of an object of the device identification.
pub(super) const fn object(id: u8) -> &'static str {
    match id {
        0 => "vendor-name",
        1 => "product-code",
        2 => "major-minor-revision",
        3 => "vendor-url",
        4 => "product-name",
        5 => "model-name",
        6 => "user-application-name",
        7..=0x7f => "reserved",
        0x80.. => "private",
    }
}
