//! The built-in types in their binary encoding (Part 6, 5.2.2).

use std::fmt;

use model::Value;

use super::super::{Reader, Short};

/// Variants within variants are followed so deep.
const MAX_DEPTH: u8 = 4;

/// Arrays are reported up to so many elements.
const MAX_ELEMENTS: usize = 16;

/// Byte strings are reported up to so many bytes.
const MAX_BYTES: usize = 64;

/// A byte string or string: a length and as many bytes; a negative length is null (5.2.2.4, 5.2.2.7).
pub(super) fn bytes<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Short> {
    match usize::try_from(reader.le32()?.cast_signed()) {
        Ok(length) => reader.take(length).map(Some),
        Err(_) => Ok(None),
    }
}

/// A string that says something.
pub(super) fn string(reader: &mut Reader<'_>) -> Result<Option<String>, Short> {
    let bytes = bytes(reader)?.filter(|bytes| !bytes.is_empty());
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// The length of an array; null counts as empty (5.2.5).
pub(super) fn count(reader: &mut Reader<'_>) -> Result<u32, Short> {
    Ok(u32::try_from(reader.le32()?.cast_signed()).unwrap_or(0))
}

/// Passes over an array of strings.
pub(super) fn skip_strings(reader: &mut Reader<'_>) -> Result<(), Short> {
    for _ in 0..count(reader)? {
        bytes(reader)?;
    }
    Ok(())
}

/// The name of a node (5.2.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeId<'a> {
    Numeric(u16, u32),
    Text(u16, &'a [u8]),
    Guid(u16, [u8; 16]),
    Opaque(u16, &'a [u8]),
}

impl NodeId<'_> {
    /// The number of a node that the standard itself defines.
    pub(super) const fn standard(self) -> Option<u32> {
        match self {
            Self::Numeric(0, number) => Some(number),
            _ => None,
        }
    }
}

/// As the standard writes them (5.3.1.10).
impl fmt::Display for NodeId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Numeric(namespace, _)
        | Self::Text(namespace, _)
        | Self::Guid(namespace, _)
        | Self::Opaque(namespace, _)) = self;
        if *namespace != 0 {
            write!(f, "ns={namespace};")?;
        }
        match self {
            Self::Numeric(_, number) => write!(f, "i={number}"),
            Self::Text(_, text) => write!(f, "s={}", String::from_utf8_lossy(text)),
            Self::Guid(_, guid) => write!(f, "g={}", guid_text(*guid)),
            Self::Opaque(_, bytes) => write!(f, "b={}", hex(bytes)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(MAX_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// A GUID: its first three parts are little-endian (5.2.2.6).
fn guid_text(guid: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let (first, second, third) =
        (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
    let rest = hex(&rest);
    format!("{first:08x}-{second:04x}-{third:04x}-{}-{}", &rest[..4], &rest[4..])
}

/// Reads the name of a node, also in its expanded form (5.2.2.10).
pub(super) fn node_id<'a>(reader: &mut Reader<'a>) -> Result<NodeId<'a>, Short> {
    let encoding = reader.u8()?;
    let node = match encoding & 0x3f {
        0 => NodeId::Numeric(0, reader.u8()?.into()),
        1 => NodeId::Numeric(reader.u8()?.into(), reader.le16()?.into()),
        2 => NodeId::Numeric(reader.le16()?, reader.le32()?),
        3 => NodeId::Text(reader.le16()?, bytes(reader)?.unwrap_or_default()),
        4 => NodeId::Guid(reader.le16()?, reader.array()?),
        5 => NodeId::Opaque(reader.le16()?, bytes(reader)?.unwrap_or_default()),
        _ => return Err(Short),
    };
    if encoding & 0x80 != 0 {
        bytes(reader)?;
    }
    if encoding & 0x40 != 0 {
        reader.skip(4)?;
    }
    Ok(node)
}

/// The text of a localized text (5.2.2.14).
pub(super) fn localized(reader: &mut Reader<'_>) -> Result<Option<String>, Short> {
    let mask = reader.u8()?;
    if mask & 1 != 0 {
        bytes(reader)?;
    }
    if mask & 2 != 0 { string(reader) } else { Ok(None) }
}

/// The type of an extension object and its body, where it has one (5.2.2.15).
pub(super) fn extension<'a>(reader: &mut Reader<'a>) -> Result<(NodeId<'a>, &'a [u8]), Short> {
    let node = node_id(reader)?;
    let body = match reader.u8()? {
        0 => None,
        _ => bytes(reader)?,
    };
    Ok((node, body.unwrap_or_default()))
}

/// Passes over diagnostic information. What is inside is its last field, so that no recursion is
/// needed however deep it goes (5.2.2.12).
pub(super) fn skip_diagnostics(reader: &mut Reader<'_>) -> Result<(), Short> {
    loop {
        let mask = reader.u8()?;
        for bit in [0x01, 0x02, 0x08, 0x04] {
            if mask & bit != 0 {
                reader.skip(4)?;
            }
        }
        if mask & 0x10 != 0 {
            bytes(reader)?;
        }
        if mask & 0x20 != 0 {
            reader.skip(4)?;
        }
        if mask & 0x40 == 0 {
            return Ok(());
        }
    }
}

/// A value with its state and its times (5.2.2.17).
pub(super) fn data_value(reader: &mut Reader<'_>) -> Result<(Value, u32), Short> {
    data_value_within(reader, MAX_DEPTH)
}

fn data_value_within(reader: &mut Reader<'_>, depth: u8) -> Result<(Value, u32), Short> {
    let mask = reader.u8()?;
    let value = if mask & 0x01 != 0 { variant(reader, depth)? } else { Value::Null };
    let status = if mask & 0x02 != 0 { reader.le32()? } else { 0 };
    for (bit, length) in [(0x04, 8), (0x10, 2), (0x08, 8), (0x20, 2)] {
        if mask & bit != 0 {
            reader.skip(length)?;
        }
    }
    Ok((value, status))
}

/// A variant: one value or an array of one type, with its dimensions (5.2.2.16).
fn variant(reader: &mut Reader<'_>, depth: u8) -> Result<Value, Short> {
    let mask = reader.u8()?;
    let kind = mask & 0x3f;
    if mask & 0x80 == 0 {
        return scalar(reader, kind, depth);
    }
    let mut values = Vec::new();
    for _ in 0..count(reader)? {
        // An array of nulls takes no bytes, and is none.
        if kind == 0 {
            return Err(Short);
        }
        let value = scalar(reader, kind, depth)?;
        if values.len() < MAX_ELEMENTS {
            values.push(value);
        }
    }
    if mask & 0x40 != 0 {
        for _ in 0..count(reader)? {
            reader.skip(4)?;
        }
    }
    Ok(Value::List(values))
}

fn scalar(reader: &mut Reader<'_>, kind: u8, depth: u8) -> Result<Value, Short> {
    let text = |text: Option<String>| text.map_or(Value::Null, |text| Value::Text(text.into()));
    Ok(match kind {
        0 => Value::Null,
        1 => Value::Bool(reader.u8()? != 0),
        2 => Value::Signed(reader.u8()?.cast_signed().into()),
        3 => Value::Unsigned(reader.u8()?.into()),
        4 => Value::Signed(reader.le16()?.cast_signed().into()),
        5 => Value::Unsigned(reader.le16()?.into()),
        6 => Value::Signed(reader.le32()?.cast_signed().into()),
        7 | 19 => Value::Unsigned(reader.le32()?.into()),
        8 | 13 => Value::Signed(reader.le64()?.cast_signed()),
        9 => Value::Unsigned(reader.le64()?),
        10 => Value::Real(f32::from_bits(reader.le32()?).into()),
        11 => Value::Real(f64::from_bits(reader.le64()?)),
        12 => text(string(reader)?),
        14 => Value::Text(guid_text(reader.array()?).into()),
        15 | 16 => text(bytes(reader)?.map(hex)),
        17 | 18 => Value::Text(node_id(reader)?.to_string().into()),
        20 => {
            reader.skip(2)?;
            text(string(reader)?)
        }
        21 => text(localized(reader)?),
        22 => text(Some(hex(extension(reader)?.1))),
        23 if depth > 0 => data_value_within(reader, depth - 1)?.0,
        24 if depth > 0 => variant(reader, depth - 1)?,
        25 => {
            skip_diagnostics(reader)?;
            Value::Null
        }
        _ => return Err(Short),
    })
}
