//! What GOOSE and sampled values have in common: the header of their frames, and the tags and lengths of
//! BER (ITU-T X.690 clause 8.1) as IEC 61850 uses them: one byte of tag, and lengths of at most four bytes.

use crate::proto::{Opening, Reader, Short, Verdict};

/// Whether a frame has a PDU of this tag behind its header.
pub(in crate::proto) fn probe(opening: &Opening<'_>, pdu: u8) -> Verdict {
    match opening.bytes {
        [_, _, _, _, _, _, _, _, tag, ..] if *tag == pdu => Verdict::Yes,
        _ => Verdict::No,
    }
}

/// A frame (IEC 61850-8-1 annex C; that of sampled values is the same).
pub(in crate::proto) struct Frame<'a> {
    pub(in crate::proto) app_id: u16,
    /// Whether the frame says that a test set made it (reserved 1).
    pub(in crate::proto) simulated: bool,
    pub(in crate::proto) pdu: Reader<'a>,
}

impl<'a> Frame<'a> {
    /// Reads the header and finds the PDU, which must have this tag.
    pub(in crate::proto) fn read(bytes: &'a [u8], pdu: u8) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let (app_id, _length, reserved) = (reader.be16()?, reader.be16()?, reader.be16()?);
        reader.skip(2)?;
        match element(&mut reader)? {
            (tag, value) if tag == pdu => {
                Ok(Self { app_id, simulated: reserved & 0x8000 != 0, pdu: Reader::new(value) })
            }
            _ => Err(Short),
        }
    }
}

/// Reads tag and value of the next element.
pub(in crate::proto) fn element<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Short> {
    let tag = reader.u8()?;
    let length = match reader.u8()? {
        short @ 0..=0x7f => usize::from(short),
        0x81 => usize::from(reader.u8()?),
        0x82 => usize::from(reader.be16()?),
        0x83 => reader.be24()? as usize,
        0x84 => reader.be32()? as usize,
        // The indefinite form is not used here.
        _ => return Err(Short),
    };
    Ok((tag, reader.take(length)?))
}

/// A whole number without sign of up to four bytes and a leading zero.
pub(in crate::proto) fn number(value: &[u8]) -> Option<u32> {
    match value {
        [] | [_, _, _, _, _, _, ..] => None,
        [first, _, _, _, _] if *first != 0 => None,
        value => Some(value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))),
    }
}
