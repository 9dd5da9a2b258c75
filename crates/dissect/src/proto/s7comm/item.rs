//! What a read or write names (the items of its parameters) and the values of its data.

use model::Value;
use serde::Serialize;

use super::names;
use crate::proto::industrial::Hex;
use crate::proto::{Reader, Short};

/// Variable specification: every item begins with it.
const SPECIFICATION: u8 = 0x12;
/// Addressing by area and bit address.
const ANY: u8 = 0x10;
/// Addressing of a data block by byte.
const DB_READ: u8 = 0xb0;
/// Symbolic addressing of newer controllers.
const SYMBOLIC: u8 = 0xb2;

/// One item.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Item<'a> {
    syntax: &'static str,
    area: Option<&'static str>,
    #[serde(skip)]
    sign: &'static str,
    db: Option<u16>,
    /// First byte, or the number of a timer or counter.
    address: Option<u32>,
    bit: Option<u8>,
    transport_size: Option<&'static str>,
    #[serde(skip)]
    size_code: u8,
    /// How many elements.
    length: Option<u16>,
    return_code: Option<&'static str>,
    data: Option<Hex<'a>>,
}

impl Item<'_> {
    /// The item as Step 7 writes it: `DB1.DBX10.0 BYTE 4`, `M 10.0 BIT 1`, `T 5`.
    pub(super) fn target(&self) -> String {
        let size = self.transport_size.unwrap_or("BYTE");
        let (address, length) = (self.address.unwrap_or(0), self.length.unwrap_or(0));
        match (self.db, self.bit) {
            (Some(db), Some(bit)) => format!("{}{db}.DBX{address}.{bit} {size} {length}", self.sign),
            (None, Some(bit)) => format!("{} {address}.{bit} {size} {length}", self.sign),
            (_, None) if self.address.is_some() => format!("{} {address} {size} {length}", self.sign),
            _ => self.syntax.to_owned(),
        }
    }

    /// Whether it is bytes in a row.
    pub(super) fn is_block(&self) -> bool {
        const BYTE: u8 = 2;
        self.size_code == BYTE && self.length.is_some_and(|length| length > 1)
    }

    /// The value that a write gives the item: a number where it is one element, else the bytes.
    pub(super) fn value(&self, data: &[u8]) -> Value {
        let number = match data {
            [a] => Some(u64::from(*a)),
            [a, b] => Some(u64::from(u16::from_be_bytes([*a, *b]))),
            [a, b, c, d] => Some(u64::from(u32::from_be_bytes([*a, *b, *c, *d]))),
            _ => None,
        };
        match (self.length, number, self.size_code) {
            (Some(1), Some(number), 5) => Value::Signed((number as u16 as i16).into()).normal(),
            (Some(1), Some(number), 7) => Value::Signed((number as u32 as i32).into()).normal(),
            (Some(1), Some(number), 8) => Value::Real(f32::from_bits(number as u32).into()),
            (Some(1), Some(number), _) => Value::Unsigned(number),
            _ => Value::Text(data.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()),
        }
    }
}

/// Numbers from 0 up are unsigned everywhere.
trait Normal {
    fn normal(self) -> Self;
}

impl Normal for Value {
    fn normal(self) -> Self {
        match self {
            Self::Signed(number) => u64::try_from(number).map_or(self, Self::Unsigned),
            other => other,
        }
    }
}

/// Reads one item of the parameters of a read or write job.
pub(super) fn specification<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, Short> {
    let (specification, length) = (reader.u8()?, reader.u8()?);
    if specification != SPECIFICATION {
        return Err(Short);
    }
    let mut inside = Reader::new(reader.take(length.into())?);
    let mut item = Item { syntax: "unknown", ..Item::default() };
    match inside.u8()? {
        ANY => {
            item.syntax = "s7-any";
            item.size_code = inside.u8()?;
            item.transport_size = Some(names::transport_size(item.size_code));
            item.length = Some(inside.be16()?);
            let db = inside.be16()?;
            let area = inside.u8()?;
            let address = inside.be24()?;
            let (sign, name) = names::area(area);
            (item.sign, item.area) = (sign, Some(name));
            item.db = matches!(area, 0x84 | 0x85).then_some(db);
            // Timers and counters are numbered; all else is addressed by bit.
            if matches!(area, 0x1c..=0x1f) {
                item.address = Some(address);
            } else {
                item.address = Some(address >> 3);
                item.bit = Some((address & 7) as u8);
            }
        }
        DB_READ => {
            item.syntax = "db-read";
            (item.sign, item.area) = ("DB", Some("data-block"));
            let _areas = inside.u8()?;
            (item.size_code, item.transport_size) = (2, Some("BYTE"));
            item.length = Some(inside.u8()?.into());
            item.db = Some(inside.be16()?);
            item.address = Some(inside.be16()?.into());
            item.bit = Some(0);
        }
        SYMBOLIC => item.syntax = "symbolic",
        _ => {}
    }
    // Items begin on even positions.
    if length % 2 != 0 && !reader.is_empty() {
        reader.skip(1)?;
    }
    Ok(item)
}

/// Reads one item of data: return code, transport size, length in bits or bytes, bytes, and a fill
/// byte where another follows on an odd position.
pub(super) fn data<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Short> {
    let (code, size) = (reader.u8()?, reader.u8()?);
    let length = usize::from(reader.be16()?);
    // 3: bits; 4: bytes, word, double word; 5: integer. Their length counts bits.
    let bytes = if matches!(size, 3..=5) { length.div_ceil(8) } else { length };
    let data = reader.take(bytes)?;
    if bytes % 2 != 0 && !reader.is_empty() {
        reader.skip(1)?;
    }
    Ok((code, data))
}

/// One item of an answer.
pub(super) fn answered<'a>(code: u8, data: &'a [u8]) -> Item<'a> {
    Item {
        syntax: "data",
        return_code: Some(names::return_code(code)),
        data: (!data.is_empty()).then_some(Hex(data)),
        ..Item::default()
    }
}

impl<'a> Item<'a> {
    /// The item together with the data that is written to it.
    pub(super) const fn with(mut self, data: &'a [u8]) -> Self {
        self.data = Some(Hex(data));
        self
    }
}
