//! The tags and lengths of BER (ITU-T X.690 clause 8.1) as IEC 61850 uses them: one byte of tag, and
//! lengths of at most four bytes.

use crate::proto::{Reader, Short};

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
