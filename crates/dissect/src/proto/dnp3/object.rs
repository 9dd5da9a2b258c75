//! Object headers and the objects that this dissector looks into (IEEE 1815, clauses 4.2.2.7 and 11,
//! annex A).

use serde::Serialize;

use super::names;
use crate::proto::{Reader, Short};

/// An object header. Its objects, if it has any, are the bytes behind it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Header<'a> {
    pub(super) group: u8,
    pub(super) variation: u8,
    pub(super) name: &'static str,
    pub(super) qualifier: u8,
    pub(super) count: Option<u32>,
    pub(super) start: Option<u32>,
    pub(super) stop: Option<u32>,
    /// The objects, each behind its prefix.
    #[serde(skip)]
    pub(super) data: &'a [u8],
}

/// How long one object of a group and variation is.
enum Size {
    /// Packed, so many bits each.
    Bits(u32),
    /// So many bytes.
    Bytes(usize),
    /// Not known: what follows cannot be read.
    Unknown,
}

const fn size(group: u8, variation: u8) -> Size {
    use Size::{Bits, Bytes, Unknown};
    match (group, variation) {
        (1 | 10, 1) | (12, 3) | (80, 1) => Bits(1),
        (3, 1) => Bits(2),
        (1 | 3 | 10, 2) => Bytes(1),
        (2 | 4 | 11 | 13, 1) => Bytes(1),
        (2 | 4 | 11 | 13, 2) => Bytes(7),
        (2 | 4, 3) => Bytes(3),
        (12, 1 | 2) => Bytes(11),
        (20, 1 | 3) => Bytes(5),
        (20, 2 | 4) => Bytes(3),
        (20, 5 | 7) => Bytes(4),
        (20, 6 | 8) => Bytes(2),
        (21, 1 | 3) => Bytes(5),
        (21, 2 | 4) => Bytes(3),
        (21, 5 | 7) => Bytes(11),
        (21, 6 | 8) => Bytes(9),
        (21, 9 | 11) => Bytes(4),
        (21, 10 | 12) => Bytes(2),
        (22 | 23, 1 | 3) => Bytes(5),
        (22 | 23, 2 | 4) => Bytes(3),
        (22 | 23, 5 | 7) => Bytes(11),
        (22 | 23, 6 | 8) => Bytes(9),
        (30, 1 | 5) => Bytes(5),
        (30, 2) => Bytes(3),
        (30, 3) => Bytes(4),
        (30, 4) => Bytes(2),
        (30, 6) => Bytes(9),
        (31, 1 | 7) => Bytes(5),
        (31, 2) => Bytes(3),
        (31, 3) => Bytes(11),
        (31, 4) => Bytes(9),
        (31, 5) => Bytes(4),
        (31, 6) => Bytes(2),
        (31, 8) => Bytes(9),
        (32 | 33 | 42 | 43, 1 | 5) => Bytes(5),
        (32 | 33 | 42 | 43, 2) => Bytes(3),
        (32 | 33 | 42 | 43, 3 | 7) => Bytes(11),
        (32 | 33 | 42 | 43, 4 | 6) => Bytes(9),
        (32 | 33 | 42 | 43, 8) => Bytes(15),
        (34, 1) => Bytes(2),
        (34, 2 | 3) => Bytes(4),
        (40 | 41, 1 | 3) => Bytes(5),
        (40 | 41, 2) => Bytes(3),
        (40 | 41, 4) => Bytes(9),
        (50, 1 | 3) | (51, 1 | 2) => Bytes(6),
        (50, 2) => Bytes(10),
        (50, 4) => Bytes(11),
        (52, 1 | 2) => Bytes(2),
        // Nothing but the header.
        (60, _) => Bytes(0),
        (101, 1) => Bytes(2),
        (101, 2) => Bytes(4),
        (101, 3) => Bytes(8),
        (102, 1) => Bytes(1),
        // The variation is the length.
        (110..=113, length) => Bytes(length as usize),
        (121, 1) => Bytes(7),
        (122, 1 | 2) => Bytes(13),
        _ => Unknown,
    }
}

/// Reads an object header, and passes over its objects where `with_data` says that it has them.
pub(super) fn header<'a>(reader: &mut Reader<'a>, with_data: bool) -> Result<Header<'a>, Short> {
    let (group, variation, qualifier) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let mut header = Header {
        group,
        variation,
        name: names::object(group, variation),
        qualifier,
        count: None,
        start: None,
        stop: None,
        data: &[],
    };
    match qualifier & 0x0f {
        0 | 3 => range(&mut header, reader.u8()?.into(), reader.u8()?.into())?,
        1 | 4 => range(&mut header, reader.le16()?.into(), reader.le16()?.into())?,
        2 | 5 => range(&mut header, reader.le32()?, reader.le32()?)?,
        6 => {}
        7 | 0xb => header.count = Some(reader.u8()?.into()),
        8 => header.count = Some(reader.le16()?.into()),
        9 => header.count = Some(reader.le32()?),
        _ => return Err(Short),
    }
    let count = header.count.unwrap_or(0);
    let prefix = (qualifier >> 4) & 7;
    // Prefixes 4 to 6 are the sizes of the objects; 1 to 3 their indices (table 4-4).
    if (4..=6).contains(&prefix) {
        let all = reader.rest();
        for _ in 0..count {
            let length = sized(prefix, reader)?;
            reader.take(length)?;
        }
        header.data = &all[..all.len() - reader.left()];
        return Ok(header);
    }
    let index = index_size(prefix)?;
    let length = match (with_data, size(group, variation)) {
        // Attributes: type, length, value.
        (true, _) if group == 0 => {
            let all = reader.rest();
            for _ in 0..count {
                reader.skip(index + 1)?;
                let length = reader.u8()?;
                reader.skip(length.into())?;
            }
            header.data = &all[..all.len() - reader.left()];
            return Ok(header);
        }
        (false, _) => u64::from(count) * index as u64,
        (true, Size::Bits(bits)) if index == 0 => (u64::from(count) * u64::from(bits)).div_ceil(8),
        (true, Size::Bits(_)) => u64::from(count) * (index as u64 + 1),
        (true, Size::Bytes(bytes)) => u64::from(count) * (index + bytes) as u64,
        (true, Size::Unknown) if count == 0 => 0,
        (true, Size::Unknown) => return Err(Short),
    };
    header.data = reader.take(usize::try_from(length).map_err(|_| Short)?)?;
    Ok(header)
}

fn range(header: &mut Header<'_>, start: u32, stop: u32) -> Result<(), Short> {
    let count = u64::from(stop).checked_sub(start.into()).ok_or(Short)? + 1;
    (header.start, header.stop) = (Some(start), Some(stop));
    header.count = Some(u32::try_from(count).map_err(|_| Short)?);
    Ok(())
}

const fn index_size(prefix: u8) -> Result<usize, Short> {
    match prefix {
        0 => Ok(0),
        1 => Ok(1),
        2 => Ok(2),
        3 => Ok(4),
        _ => Err(Short),
    }
}

fn sized(prefix: u8, reader: &mut Reader<'_>) -> Result<usize, Short> {
    match prefix {
        1 | 4 => reader.u8().map(usize::from),
        2 | 5 => reader.le16().map(usize::from),
        _ => usize::try_from(reader.le32()?).map_err(|_| Short),
    }
}

/// A command of an output: a control relay output block, or a value for an analog output.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Control {
    pub(super) index: u32,
    pub(super) operation: Option<&'static str>,
    pub(super) trip_close: Option<&'static str>,
    pub(super) clear: Option<bool>,
    pub(super) count: Option<u8>,
    pub(super) on_time: Option<u32>,
    pub(super) off_time: Option<u32>,
    pub(super) value: Option<f64>,
    pub(super) status: &'static str,
    #[serde(skip)]
    pub(super) failed: bool,
}

impl<'a> Header<'a> {
    /// The commands of this header, if it holds commands of outputs.
    pub(super) fn controls(self) -> impl Iterator<Item = Control> + 'a {
        let mut reader = Reader::new(self.data);
        let prefix = (self.qualifier >> 4) & 7;
        let mut next = self.start.unwrap_or(0);
        let commands = if matches!((self.group, self.variation), (12, 1 | 2) | (41, _)) {
            self.count.unwrap_or(0)
        } else {
            0
        };
        (0..commands).map_while(move |_| {
            let index =
                if prefix == 0 { next } else { u32::try_from(sized(prefix, &mut reader).ok()?).ok()? };
            next = next.wrapping_add(1);
            control(self.group, self.variation, index, &mut reader).ok()
        })
    }
}

/// A.8.1 and A.24.
fn control(group: u8, variation: u8, index: u32, reader: &mut Reader<'_>) -> Result<Control, Short> {
    let mut control = Control {
        index,
        operation: None,
        trip_close: None,
        clear: None,
        count: None,
        on_time: None,
        off_time: None,
        value: None,
        status: "",
        failed: false,
    };
    if group == 12 {
        let code = reader.u8()?;
        control.operation = Some(names::operation_type(code));
        control.trip_close = Some(names::trip_close(code));
        control.clear = Some(code & 0x20 != 0);
        control.count = Some(reader.u8()?);
        control.on_time = Some(reader.le32()?);
        control.off_time = Some(reader.le32()?);
    } else {
        control.value = Some(match variation {
            1 => f64::from(reader.le32()? as i32),
            2 => f64::from(reader.le16()? as i16),
            3 => f64::from(f32::from_bits(reader.le32()?)),
            4 => f64::from_bits(reader.le64()?),
            _ => return Err(Short),
        });
    }
    let status = reader.u8()? & 0x7f;
    control.status = names::control_status(status);
    control.failed = status != 0;
    Ok(control)
}

/// The value of a point, as an outstation tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measurement {
    /// The group of the point's static object; events are of the same points.
    pub(super) group: u8,
    /// What kind of point it is.
    pub(super) kind: &'static str,
    pub(super) index: u32,
    pub(super) value: f64,
}

/// How a value is encoded (IEEE 1815 annex A).
#[derive(Clone, Copy)]
enum Encoding {
    /// In the bits of the flags from this one up, under this mask.
    Flags(u8, u8),
    Unsigned32,
    Unsigned16,
    Signed32,
    Signed16,
    Float,
    Double,
}

/// What kind of point a header is about, whether flags come first, and how the value is encoded.
const fn encoding(group: u8, variation: u8) -> Option<(u8, &'static str, bool, Encoding)> {
    use Encoding::{Double, Flags, Float, Signed16, Signed32, Unsigned16, Unsigned32};
    Some(match (group, variation) {
        (1, 2) | (2, 1..=3) => (1, "binary-input", true, Flags(7, 1)),
        (3, 2) | (4, 1..=3) => (3, "double-bit-input", true, Flags(6, 3)),
        (10, 2) | (11, 1 | 2) => (10, "binary-output", true, Flags(7, 1)),
        (20, 1) | (22, 1 | 5) => (20, "counter", true, Unsigned32),
        (20, 2) | (22, 2 | 6) => (20, "counter", true, Unsigned16),
        (20, 5) => (20, "counter", false, Unsigned32),
        (20, 6) => (20, "counter", false, Unsigned16),
        (30, 1) | (32, 1 | 3) => (30, "analog-input", true, Signed32),
        (30, 2) | (32, 2 | 4) => (30, "analog-input", true, Signed16),
        (30, 3) => (30, "analog-input", false, Signed32),
        (30, 4) => (30, "analog-input", false, Signed16),
        (30, 5) | (32, 5 | 7) => (30, "analog-input", true, Float),
        (30, 6) | (32, 6 | 8) => (30, "analog-input", true, Double),
        (40, 1) | (42, 1 | 3) => (40, "analog-output", true, Signed32),
        (40, 2) | (42, 2 | 4) => (40, "analog-output", true, Signed16),
        (40, 3) | (42, 5 | 7) => (40, "analog-output", true, Float),
        (40, 4) | (42, 6 | 8) => (40, "analog-output", true, Double),
        _ => return None,
    })
}

/// Flags (clause 11.6): the point is on line, and what is told of it is neither old nor from a restart.
const fn is_good(flags: u8) -> bool {
    flags & 0b111 == 0b001
}

impl<'a> Header<'a> {
    /// The values that this header tells of points, those left out of which its flags say that they are not to be
    /// trusted.
    pub(super) fn measurements(self) -> impl Iterator<Item = Measurement> + 'a {
        let packed = (self.variation == 1 && matches!(self.group, 1 | 10) && self.qualifier & 0x70 == 0)
            .then_some((self.group, if self.group == 1 { "binary-input" } else { "binary-output" }));
        let start = self.start.unwrap_or(0);
        let count = self.count.unwrap_or(0);
        let bits = packed.into_iter().flat_map(move |(group, kind)| {
            (0..count).map_while(move |place| {
                let byte = self.data.get(place as usize / 8)?;
                let value = f64::from(byte >> (place % 8) & 1);
                Some(Measurement { group, kind, index: start.wrapping_add(place), value })
            })
        });
        let objects = encoding(self.group, self.variation).into_iter().flat_map(move |way| {
            let mut reader = Reader::new(self.data);
            (0..count).map_while(move |place| self.measurement(way, place, &mut reader).ok()).flatten()
        });
        bits.chain(objects)
    }

    /// The value of one object, unless its flags speak against it; the reader then stands behind it.
    fn measurement(
        self,
        (group, kind, has_flags, encoding): (u8, &'static str, bool, Encoding),
        place: u32,
        reader: &mut Reader<'a>,
    ) -> Result<Option<Measurement>, Short> {
        let Size::Bytes(length) = size(self.group, self.variation) else { return Err(Short) };
        let prefix = (self.qualifier >> 4) & 7;
        let index = match prefix {
            0 => self.start.unwrap_or(0).wrapping_add(place),
            _ => u32::try_from(sized(prefix, reader)?).map_err(|_| Short)?,
        };
        let mut object = Reader::new(reader.take(length)?);
        let flags = if has_flags { object.u8()? } else { 0b001 };
        let value = match encoding {
            Encoding::Flags(shift, mask) => f64::from(flags >> shift & mask),
            Encoding::Unsigned32 => object.le32()?.into(),
            Encoding::Unsigned16 => object.le16()?.into(),
            Encoding::Signed32 => f64::from(object.le32()? as i32),
            Encoding::Signed16 => f64::from(object.le16()? as i16),
            Encoding::Float => f32::from_bits(object.le32()?).into(),
            Encoding::Double => f64::from_bits(object.le64()?),
        };
        let is_told = is_good(flags) && value.is_finite();
        Ok(is_told.then_some(Measurement { group, kind, index, value }))
    }
}

/// The name of the file that a file command is about (A.31.3): offset and size of the name, created,
/// permissions, key, size, mode, block size, request, name.
pub(super) fn file_name(data: &[u8]) -> Option<(String, u16)> {
    // Behind the size of the object.
    let mut reader = Reader::new(data.get(2..)?);
    let offset = usize::from(reader.le16().ok()?);
    let size = usize::from(reader.le16().ok()?);
    reader.skip(16).ok()?;
    let mode = reader.le16().ok()?;
    let name = data.get(2..)?.get(offset..offset.checked_add(size)?)?;
    Some((crate::proto::industrial::text(name)?, mode))
}
