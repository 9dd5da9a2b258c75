//! Services, and what names of objects tell.

use model::OperationKind;

/// Confirmed services by their tag (ISO 9506-2, clause 7): name and what they do.
pub(super) const fn service(tag: u8) -> (&'static str, Option<OperationKind>) {
    use OperationKind::{
        Configure, Diagnose, Discover, Identify, ProgramDownload, ProgramUpload, Read, Restart, Start, Stop,
        TransferFile, Write,
    };
    match tag {
        0 => ("status", Some(Diagnose)),
        1 => ("get-name-list", Some(Discover)),
        2 => ("identify", Some(Identify)),
        3 => ("rename", Some(Configure)),
        4 => ("read", Some(Read)),
        5 => ("write", Some(Write)),
        6 => ("get-variable-access-attributes", Some(Discover)),
        11 => ("define-named-variable-list", Some(Configure)),
        12 => ("get-named-variable-list-attributes", Some(Discover)),
        13 => ("delete-named-variable-list", Some(Configure)),
        26 => ("initiate-download-sequence", Some(ProgramDownload)),
        27 => ("download-segment", None),
        28 => ("terminate-download-sequence", None),
        29 => ("initiate-upload-sequence", Some(ProgramUpload)),
        30 => ("upload-segment", None),
        31 => ("terminate-upload-sequence", None),
        32 => ("request-domain-download", Some(ProgramDownload)),
        33 => ("request-domain-upload", Some(ProgramUpload)),
        34 => ("load-domain-content", Some(ProgramDownload)),
        35 => ("store-domain-content", Some(ProgramUpload)),
        36 => ("delete-domain", Some(ProgramDownload)),
        37 => ("get-domain-attributes", Some(Discover)),
        38 => ("create-program-invocation", Some(Configure)),
        39 => ("delete-program-invocation", Some(Configure)),
        40 => ("start", Some(Start)),
        41 => ("stop", Some(Stop)),
        42 => ("resume", Some(Start)),
        43 => ("reset", Some(Restart)),
        44 => ("kill", Some(Stop)),
        46 => ("obtain-file", Some(TransferFile)),
        65 => ("read-journal", Some(Diagnose)),
        72 => ("file-open", Some(TransferFile)),
        73 => ("file-read", None),
        74 => ("file-close", None),
        75 => ("file-rename", Some(TransferFile)),
        76 => ("file-delete", Some(TransferFile)),
        77 => ("file-directory", Some(TransferFile)),
        _ => ("other", None),
    }
}

/// The functional constraint in the name of an object of IEC 61850: `ST` in `XCBR1$ST$Pos` (IEC
/// 61850-8-1, 7.3).
pub(super) fn constraint(item: &str) -> Option<&str> {
    let constraint = item.split('$').nth(1)?;
    (constraint.len() == 2 && constraint.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(constraint)
}

/// What it is to write an object of IEC 61850: controls operate, report blocks subscribe, settings and
/// configurations configure.
pub(super) fn written(item: &str) -> OperationKind {
    match constraint(item) {
        Some("CO") => OperationKind::Execute,
        Some("BR" | "RP") => OperationKind::Subscribe,
        Some("CF" | "SG" | "SE" | "DC" | "GO" | "LG" | "MS" | "US") => OperationKind::Configure,
        _ => OperationKind::Write,
    }
}
