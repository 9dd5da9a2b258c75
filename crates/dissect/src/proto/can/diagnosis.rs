//! Diagnosis on CAN: the pieces of ISO 15765-2 and the services of ISO 14229-1 (and of ISO 15031-5, for
//! emissions).

use model::OperationKind;

/// The answer that refuses (ISO 14229-1 clause 8.3.2).
const REFUSED: u8 = 0x7f;
/// Answers have this bit more than their requests (clause 8.3.1).
const ANSWER: u8 = 0x40;

/// A frame of a message (ISO 15765-2 clause 9.3).
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) enum Piece<'a> {
    /// A whole message.
    Single(&'a [u8]),
    /// The beginning of one.
    First(&'a [u8]),
    /// A part of one.
    Consecutive,
    /// The receiver says how to go on.
    FlowControl,
}

impl<'a> Piece<'a> {
    pub(in crate::proto) fn read(data: &'a [u8]) -> Option<Self> {
        match *data {
            // The length in the second byte is that of CAN FD.
            [0, length, ref rest @ ..] if data.len() > 8 => rest.get(..length.into()).map(Self::Single),
            [head @ 1..=7, ref rest @ ..] => rest.get(..head.into()).map(Self::Single),
            // A first frame of length 0 has its length in the four bytes that follow.
            [0x10, 0, ref rest @ ..] => rest.get(4..).map(Self::First),
            [0x10..=0x1f, _, ref rest @ ..] => Some(Self::First(rest)),
            [0x20..=0x2f, ..] => Some(Self::Consecutive),
            [0x30..=0x32, _, _, ..] => Some(Self::FlowControl),
            _ => None,
        }
    }

    pub(in crate::proto) const fn name(&self) -> &'static str {
        match self {
            Self::Single(_) => "single",
            Self::First(_) => "first",
            Self::Consecutive => "consecutive",
            Self::FlowControl => "flow-control",
        }
    }

    pub(in crate::proto) fn service(&self) -> Option<Service> {
        match self {
            Self::Single(bytes) | Self::First(bytes) => Service::read(bytes),
            Self::Consecutive | Self::FlowControl => None,
        }
    }
}

/// A diagnostic service that is asked for, given or refused.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) struct Service {
    /// Its number, that of the request.
    pub(in crate::proto) id: u8,
    /// What it is about: a data identifier, a routine, a parameter of emissions.
    pub(in crate::proto) parameter: Option<u16>,
    refused: Option<u8>,
}

impl Service {
    pub(in crate::proto) fn read(bytes: &[u8]) -> Option<Self> {
        Some(match *bytes {
            [REFUSED, id, code, ..] => Self { id, parameter: None, refused: Some(code) },
            [id, ref rest @ ..] => {
                let request = id & !ANSWER;
                let parameter = match (request, rest) {
                    (0x01 | 0x02 | 0x09, [parameter, ..]) => Some(u16::from(*parameter)),
                    (0x22 | 0x2e | 0x2f, [high, low, ..]) => Some(u16::from_be_bytes([*high, *low])),
                    (0x31, [_, high, low, ..]) => Some(u16::from_be_bytes([*high, *low])),
                    _ => None,
                };
                Self { id: request, parameter, refused: None }
            }
            [] => return None,
        })
    }

    /// Why it was refused (ISO 14229-1 annex A), if it was.
    pub(in crate::proto) const fn refused(&self) -> Option<u8> {
        self.refused
    }

    pub(in crate::proto) const fn name(&self) -> &'static str {
        match self.id {
            0x01 => "show-current-data",
            0x02 => "show-freeze-frame-data",
            0x03 => "show-trouble-codes",
            0x04 => "clear-trouble-codes",
            0x07 => "show-pending-trouble-codes",
            0x09 => "vehicle-information",
            0x10 => "diagnostic-session-control",
            0x11 => "ecu-reset",
            0x14 => "clear-diagnostic-information",
            0x19 => "read-dtc-information",
            0x22 => "read-data-by-identifier",
            0x23 => "read-memory-by-address",
            0x24 => "read-scaling-data-by-identifier",
            0x27 => "security-access",
            0x28 => "communication-control",
            0x29 => "authentication",
            0x2a => "read-data-by-periodic-identifier",
            0x2c => "dynamically-define-data-identifier",
            0x2e => "write-data-by-identifier",
            0x2f => "input-output-control-by-identifier",
            0x31 => "routine-control",
            0x34 => "request-download",
            0x35 => "request-upload",
            0x36 => "transfer-data",
            0x37 => "request-transfer-exit",
            0x38 => "request-file-transfer",
            0x3d => "write-memory-by-address",
            0x3e => "tester-present",
            0x85 => "control-dtc-setting",
            0x86 => "response-on-event",
            0x87 => "link-control",
            _ => "unknown",
        }
    }

    /// What kind of operation it is, and whether it changes something.
    pub(in crate::proto) const fn operation(&self) -> Option<(OperationKind, bool)> {
        Some(match (self.id, self.parameter) {
            // ISO 14229-1 annex C.1: these identifiers say what a unit is.
            (0x22, Some(0xf180..=0xf19f)) | (0x09, _) => (OperationKind::Identify, false),
            (0x01..=0x03 | 0x07 | 0x19 | 0x22..=0x24 | 0x2a, _) => (OperationKind::Read, false),
            (0x04 | 0x14 | 0x28 | 0x2c | 0x85 | 0x87, _) => (OperationKind::Configure, true),
            (0x10, _) => (OperationKind::ChangeMode, true),
            (0x11, _) => (OperationKind::Restart, true),
            (0x27 | 0x29, _) => (OperationKind::Authenticate, true),
            (0x2e | 0x3d, _) => (OperationKind::Write, true),
            (0x2f | 0x31, _) => (OperationKind::Execute, true),
            (0x34, _) => (OperationKind::FirmwareUpdate, true),
            // One download has many of these.
            (0x36, _) => (OperationKind::FirmwareUpdate, false),
            (0x35 | 0x38, _) => (OperationKind::TransferFile, true),
            (0x86, _) => (OperationKind::Subscribe, false),
            _ => return None,
        })
    }
}
