//! Tagged values: the encoding of all services (clause 20.2).

use model::Value;

use super::names;
use crate::proto::{Reader, Short};

/// Values within values are followed so deep.
const MAX_DEPTH: u8 = 8;

/// A list of values is told up to so many elements.
pub(super) const MAX_VALUES: usize = 1_024;

/// What a tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Which data type an application tag names.
    Application(u8),
    /// Which parameter a context tag names.
    Context(u8),
    /// A parameter of several values begins.
    Opening(u8),
    /// It ends.
    Closing(u8),
}

/// A tag and its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    pub(super) kind: Kind,
    /// For an application tagged Boolean the value itself, else 0.
    flag: u8,
    pub(super) data: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Reads a tag and its value.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Short> {
        let first = reader.u8()?;
        let number = match first >> 4 {
            15 => reader.u8()?,
            number => number,
        };
        let context = first & 0x08 != 0;
        let flag = first & 0x07;
        let kind = match (context, flag) {
            (true, 6) => return Ok(Self { kind: Kind::Opening(number), flag: 0, data: &[] }),
            (true, 7) => return Ok(Self { kind: Kind::Closing(number), flag: 0, data: &[] }),
            (true, _) => Kind::Context(number),
            (false, _) => Kind::Application(number),
        };
        // The value of an application tagged Boolean stands in the tag.
        if kind == Kind::Application(1) {
            return Ok(Self { kind, flag, data: &[] });
        }
        let length = match flag {
            0..=4 => usize::from(flag),
            5 => match reader.u8()? {
                254 => usize::from(reader.be16()?),
                255 => usize::try_from(reader.be32()?).map_err(|_| Short)?,
                length => usize::from(length),
            },
            _ => return Err(Short),
        };
        Ok(Self { kind, flag: 0, data: reader.take(length)? })
    }

    /// The value as a whole number from 0 up.
    pub(super) fn unsigned(&self) -> Option<u64> {
        if self.data.is_empty() || self.data.len() > 8 {
            return None;
        }
        Some(self.data.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// The value as an object: its type and instance.
    pub(super) fn object(&self) -> Option<(u16, u32)> {
        let value = u32::from_be_bytes(self.data.try_into().ok()?);
        Some(((value >> 22) as u16, value & 0x003f_ffff))
    }

    /// The value of an application tag, by its data type.
    pub(super) fn value(&self) -> Value {
        let Kind::Application(kind) = self.kind else { return hex(self.data) };
        match (kind, self.data) {
            (0, _) => Value::Text("null".into()),
            (1, _) => Value::Bool(self.flag != 0),
            (2 | 9, _) => self.unsigned().map_or_else(|| hex(self.data), Value::Unsigned),
            (3, data) => signed(data),
            (4, [a, b, c, d]) => Value::Real(f32::from_be_bytes([*a, *b, *c, *d]).into()),
            (5, data) => match <[u8; 8]>::try_from(data) {
                Ok(bytes) => Value::Real(f64::from_be_bytes(bytes)),
                Err(_) => hex(data),
            },
            (7, data) => string(data).map_or_else(|| hex(data), |text| Value::Text(text.into())),
            (8, [unused, bits @ ..]) => {
                let count = (bits.len() * 8).saturating_sub(usize::from(*unused));
                let bit = |index: usize| if bits[index / 8] << (index % 8) & 0x80 != 0 { '1' } else { '0' };
                Value::Text((0..count).map(bit).collect::<String>().into())
            }
            (10, [year, month, day, _]) => {
                Value::Text(format!("{}-{month:02}-{day:02}", 1900 + u16::from(*year)).into())
            }
            (11, [hour, minute, second, hundredth]) => {
                Value::Text(format!("{hour:02}:{minute:02}:{second:02}.{hundredth:02}").into())
            }
            (12, _) => self.object().map_or_else(
                || hex(self.data),
                |(kind, instance)| Value::Text(format!("{} {instance}", names::object_type(kind)).into()),
            ),
            (_, data) => hex(data),
        }
    }
}

fn hex(bytes: &[u8]) -> Value {
    Value::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

fn signed(data: &[u8]) -> Value {
    if data.is_empty() || data.len() > 8 {
        return hex(data);
    }
    let start = if data[0] & 0x80 != 0 { -1 } else { 0 };
    let value = data.iter().fold(start, |value: i64, byte| value << 8 | i64::from(*byte));
    u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned)
}

/// A character string: its character set and its bytes (20.2.9).
pub(super) fn string(data: &[u8]) -> Option<String> {
    let (set, bytes) = data.split_first()?;
    match set {
        // UTF-8, and sets that agree with it in what names are made of.
        0 | 1 => Some(String::from_utf8_lossy(bytes).into_owned()),
        4 => {
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            Some(String::from_utf16_lossy(&units))
        }
        5 => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        _ => None,
    }
}

/// The values up to the closing tag of that number; one, or a list of several.
pub(super) fn values_until(number: u8, reader: &mut Reader<'_>) -> Result<Value, Short> {
    let mut values = list_until(number, reader, MAX_DEPTH)?;
    Ok(if values.len() == 1 { values.pop().unwrap_or_default() } else { Value::List(values) })
}

fn list_until(number: u8, reader: &mut Reader<'_>, depth: u8) -> Result<Vec<Value>, Short> {
    let mut values = Vec::new();
    loop {
        let tag = Tag::read(reader)?;
        let value = match tag.kind {
            Kind::Closing(closed) if closed == number => return Ok(values),
            Kind::Closing(_) => return Err(Short),
            Kind::Opening(inner) => {
                let depth = depth.checked_sub(1).ok_or(Short)?;
                Value::List(list_until(inner, reader, depth)?)
            }
            _ => tag.value(),
        };
        if values.len() < MAX_VALUES {
            values.push(value);
        }
    }
}
