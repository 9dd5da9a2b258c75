//! Data elements: commands (PS3.7 annex E) and what a picture says of the equipment that made it
//! (PS3.3 clause C.7.5.1).

use model::{Attribute, OperationKind};

use crate::proto::{Reader, Short};

/// Text of a data element, without what fills it up, or `None` if nothing printable is left.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    crate::proto::industrial::text(bytes)
}

/// Whether a picture's elements name the types of their values (PS3.5 clauses 7.1.2 and 7.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Implicit,
    Explicit,
    /// Compressed as a whole, or most significant byte first, which nobody uses any more.
    Other,
}

impl Syntax {
    /// The syntax of a unique identifier (PS3.5 annex A).
    pub(super) fn of(uid: &[u8]) -> Self {
        match uid.trim_ascii_end().strip_suffix(b"\0").unwrap_or(uid) {
            b"1.2.840.10008.1.2" => Self::Implicit,
            b"1.2.840.10008.1.2.1.99" | b"1.2.840.10008.1.2.2" => Self::Other,
            // All kinds of compressed pixels are explicit (clause A.4).
            _ => Self::Explicit,
        }
    }
}

/// A data element: tag and value.
fn element<'a>(syntax: Syntax, reader: &mut Reader<'a>) -> Result<(u16, u16, &'a [u8]), Short> {
    let (group, number) = (reader.le16()?, reader.le16()?);
    let length = match syntax {
        Syntax::Explicit => match &reader.array::<2>()? {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT"
            | b"UV" => {
                reader.skip(2)?;
                reader.le32()?
            }
            _ => u32::from(reader.le16()?),
        },
        Syntax::Implicit | Syntax::Other => reader.le32()?,
    };
    // A sequence without a length ends the reading: its length is more than there is.
    Ok((group, number, reader.take(length as usize)?))
}

/// A command (PS3.7 clause 9.3 and 10.3): its elements have no types.
#[derive(Debug, Default)]
pub(super) struct Command {
    field: u16,
    pub(super) service: Option<String>,
    pub(super) message_id: Option<u16>,
    pub(super) status: Option<u16>,
}

impl Command {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let mut command = Self::default();
        while !reader.is_empty() {
            let (group, number, value) = element(Syntax::Implicit, &mut reader)?;
            let short = || Reader::new(value).le16();
            match (group, number) {
                (0, 0x0002 | 0x0003) => command.service = text(value),
                (0, 0x0100) => command.field = short()?,
                (0, 0x0110 | 0x0120) => command.message_id = Some(short()?),
                (0, 0x0900) => command.status = Some(short()?),
                _ => {}
            }
        }
        Ok(command)
    }

    /// Responses have the highest bit (PS3.7 annex E.1).
    pub(super) const fn is_response(&self) -> bool {
        self.field & 0x8000 != 0
    }

    /// Whether a picture follows.
    pub(super) const fn is_store(&self) -> bool {
        self.field == 1
    }

    /// Its name, what it asks, and whether that changes something.
    pub(super) const fn name(&self) -> Option<(&'static str, OperationKind, bool)> {
        Some(match self.field & 0x7fff {
            0x0001 => ("c-store", OperationKind::TransferFile, false),
            0x0010 => ("c-get", OperationKind::TransferFile, true),
            0x0020 => ("c-find", OperationKind::Read, false),
            0x0021 => ("c-move", OperationKind::TransferFile, true),
            0x0030 => ("c-echo", OperationKind::Diagnose, false),
            0x0100 => ("n-event-report", OperationKind::Publish, false),
            0x0110 => ("n-get", OperationKind::Read, false),
            0x0120 => ("n-set", OperationKind::Write, true),
            0x0130 => ("n-action", OperationKind::Execute, true),
            0x0140 => ("n-create", OperationKind::Write, true),
            0x0150 => ("n-delete", OperationKind::Write, true),
            _ => return None,
        })
    }
}

/// Tells what a picture says of its equipment. Elements come in the order of their numbers, and those of the
/// equipment come first, so that the beginning is enough.
pub(super) fn equipment(
    syntax: Syntax,
    beginning: &[u8],
    mut tell: impl FnMut(Attribute, &str, &'static str),
) {
    /// The last group that has something to tell.
    const ACQUISITION: u16 = 0x0018;
    if syntax == Syntax::Other {
        return;
    }
    let mut reader = Reader::new(beginning);
    while let Ok((group, number, value)) = element(syntax, &mut reader) {
        let (attribute, source) = match (group, number) {
            (0x0008, 0x0070) => (Attribute::Vendor, "dicom.manufacturer"),
            (0x0008, 0x1010) => (Attribute::Label, "dicom.station-name"),
            (0x0008, 0x1090) => (Attribute::Model, "dicom.model-name"),
            (0x0018, 0x1000) => (Attribute::Serial, "dicom.device-serial-number"),
            (0x0018, 0x1020) => (Attribute::Firmware, "dicom.software-versions"),
            (0x0008, 0x0060) => {
                if let Some(kind) = modality(value) {
                    tell(Attribute::Type, kind, "dicom.modality");
                }
                continue;
            }
            (ACQUISITION.., _) if group > ACQUISITION => return,
            _ => continue,
        };
        if let Some(value) = text(value) {
            tell(attribute, &value, source);
        }
    }
}

/// Kinds of equipment (PS3.3 clause C.7.3.1.1.1).
fn modality(value: &[u8]) -> Option<&'static str> {
    Some(match value.trim_ascii_end() {
        b"CT" => "computed tomography scanner",
        b"MR" => "magnetic resonance scanner",
        b"US" => "ultrasound system",
        b"CR" | b"DX" | b"RG" => "radiography system",
        b"MG" => "mammography system",
        b"XA" | b"RF" => "angiography or fluoroscopy system",
        b"NM" | b"PT" => "nuclear medicine scanner",
        b"ES" => "endoscopy system",
        b"ECG" => "electrocardiograph",
        _ => return None,
    })
}

/// Names of services by their unique identifiers (PS3.4 annex B.5, PS3.6 annex A).
pub(super) fn service(uid: &[u8]) -> Option<&'static str> {
    const STORAGE: &[u8] = b"1.2.840.10008.5.1.4.1.1.";
    let uid = uid.trim_ascii_end().strip_suffix(b"\0").unwrap_or(uid);
    Some(match uid {
        b"1.2.840.10008.1.1" => "verification",
        b"1.2.840.10008.1.20.1" => "storage-commitment",
        b"1.2.840.10008.5.1.4.31" => "worklist-find",
        b"1.2.840.10008.3.1.2.3.3" => "performed-procedure-step",
        b"1.2.840.10008.5.1.4.1.1.2" => "ct-image",
        b"1.2.840.10008.5.1.4.1.1.4" => "mr-image",
        b"1.2.840.10008.5.1.4.1.1.6.1" => "ultrasound-image",
        b"1.2.840.10008.5.1.4.1.1.1" | b"1.2.840.10008.5.1.4.1.1.1.1" => "x-ray-image",
        b"1.2.840.10008.5.1.4.1.1.7" => "secondary-capture-image",
        b"1.2.840.10008.5.1.4.1.2.1.1" | b"1.2.840.10008.5.1.4.1.2.2.1" => "query-find",
        b"1.2.840.10008.5.1.4.1.2.1.2" | b"1.2.840.10008.5.1.4.1.2.2.2" => "query-move",
        b"1.2.840.10008.5.1.4.1.2.1.3" | b"1.2.840.10008.5.1.4.1.2.2.3" => "query-get",
        _ if uid.starts_with(STORAGE) => "storage",
        _ => return None,
    })
}
