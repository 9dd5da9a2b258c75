//! The bodies of requests and responses (Application Protocol, clause 6): every length and every limit
//! on a quantity is checked, which is also how the probe tells Modbus from chance.

use model::{Record, Value};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::umas::{self, Umas};
use crate::proto::industrial::Hex;
use crate::proto::{Reader, Short};

/// Why a body is not what its function asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its length does not agree with the function or with the count inside it.
    Length,
    /// A quantity is outside the limits of the function.
    Quantity,
    /// A value is not one of those allowed.
    Value,
    /// The function code is none that a server can answer: 0, or above 127 in a request (clause 4.1).
    Function,
}

impl Fault {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Length => "length-mismatch",
            Self::Quantity => "illegal-quantity",
            Self::Value => "illegal-value",
            Self::Function => "illegal-function",
        }
    }
}

impl From<Short> for Fault {
    fn from(_: Short) -> Self {
        Self::Length
    }
}

/// The fields of a body; those that a function does not have are absent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Data<'a> {
    /// Diagnostics: what is tested.
    pub(super) sub_function: Option<&'static str>,
    pub(super) sub_function_code: Option<u16>,
    /// First coil, input or register, from 0.
    pub(super) address: Option<u16>,
    pub(super) quantity: Option<u16>,
    pub(super) and_mask: Option<u16>,
    pub(super) or_mask: Option<u16>,
    pub(super) write_address: Option<u16>,
    pub(super) write_quantity: Option<u16>,
    /// Coils and inputs as 0 and 1, registers as numbers.
    pub(super) values: Option<Values<'a>>,
    /// Outputs of read-exception-status, status word of the event functions.
    pub(super) status: Option<u16>,
    pub(super) event_count: Option<u16>,
    pub(super) message_count: Option<u16>,
    pub(super) records: Option<Records<'a>>,
    pub(super) server_id: Option<Hex<'a>>,
    pub(super) mei_type: Option<&'static str>,
    pub(super) mei_type_code: Option<u8>,
    pub(super) read_device_id_code: Option<u8>,
    pub(super) object_id: Option<u8>,
    pub(super) conformity_level: Option<u8>,
    pub(super) more_follows: Option<bool>,
    pub(super) objects: Option<Objects<'a>>,
    #[serde(flatten)]
    pub(super) umas: Option<Umas<'a>>,
    /// Whatever the function carries that has no fields.
    pub(super) data: Option<Hex<'a>>,
    /// The byte count of a response with values.
    #[serde(skip)]
    pub(super) bytes: Option<u8>,
}

impl Data<'_> {
    /// What tells requests of one function apart besides their addresses.
    pub(super) fn sub(&self) -> u16 {
        let mei = self.mei_type_code.map(u16::from);
        let code = self.umas.map(|umas| u16::from(umas.code));
        self.sub_function_code.or(mei).or(code).unwrap_or(0)
    }

    /// What is written, for the report of the operation.
    pub(super) fn written(&self) -> Option<Value> {
        if let (Some(and), Some(or)) = (self.and_mask, self.or_mask) {
            let number = |value: u16| Value::Unsigned(value.into());
            return Some(Value::Record(Record(vec![
                ("and-mask".into(), number(and)),
                ("or-mask".into(), number(or)),
            ])));
        }
        let values: Vec<Value> = self.values?.iter().map(|value| Value::Unsigned(value.into())).collect();
        match <[Value; 1]>::try_from(values) {
            Ok([single]) => Some(single),
            Err(values) => Some(Value::List(values)),
        }
    }
}

/// Values of coils, inputs or registers, as they stand in the message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Values<'a> {
    /// One bit each, least significant first.
    Bits { bytes: &'a [u8], count: usize },
    /// Two bytes each, most significant first.
    Registers(&'a [u8]),
    /// The one coil or register of the single writes.
    One(u16),
}

impl Values<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        let count = match self {
            Self::Bits { count, .. } => *count,
            Self::Registers(bytes) => bytes.len() / 2,
            Self::One(_) => 1,
        };
        (0..count).map_while(move |index| match self {
            Self::Bits { bytes, .. } => bytes.get(index / 8).map(|byte| u16::from(byte >> (index % 8) & 1)),
            Self::Registers(bytes) => {
                bytes.get(index * 2..index * 2 + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            }
            Self::One(value) => Some(*value),
        })
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The objects of a device identification (clause 6.21): identifier, length, value, each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objects<'a>(&'a [u8]);

impl<'a> Objects<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            let id = reader.u8().ok()?;
            let length = reader.u8().ok()?;
            Some((id, reader.take(length.into()).ok()?))
        })
    }
}

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Object {
            id: u8,
            name: &'static str,
            value: String,
        }
        serializer.collect_seq(self.iter().map(|(id, value)| Object {
            id,
            name: super::names::object(id),
            value: String::from_utf8_lossy(value).into_owned(),
        }))
    }
}

/// The sub-requests or sub-responses of the file functions (clauses 6.14 and 6.15).
#[derive(Clone, Copy, Debug)]
pub(super) enum Records<'a> {
    /// Reference type, file, record and length, each.
    Asked(&'a [u8]),
    /// As asked, each followed by the registers.
    Written(&'a [u8]),
    /// Length, reference type and registers, each.
    Read(&'a [u8]),
}

/// One of them.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FileRecord<'a> {
    pub(super) reference_type: u8,
    pub(super) file: Option<u16>,
    pub(super) record: Option<u16>,
    pub(super) length: u16,
    data: Option<Hex<'a>>,
}

impl<'a> Records<'a> {
    fn next(reader: &mut Reader<'a>, kind: &Self) -> Result<FileRecord<'a>, Short> {
        if let Self::Read(_) = kind {
            let length = reader.u8()?;
            let reference_type = reader.u8()?;
            let data = reader.take(usize::from(length).checked_sub(1).ok_or(Short)?)?;
            let length = (data.len() / 2) as u16;
            return Ok(FileRecord {
                reference_type,
                file: None,
                record: None,
                length,
                data: Some(Hex(data)),
            });
        }
        let reference_type = reader.u8()?;
        let (file, record, length) = (Some(reader.be16()?), Some(reader.be16()?), reader.be16()?);
        let data = match kind {
            Self::Written(_) => Some(Hex(reader.take(usize::from(length) * 2)?)),
            _ => None,
        };
        Ok(FileRecord { reference_type, file, record, length, data })
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Result<FileRecord<'a>, Short>> {
        let (Self::Asked(bytes) | Self::Written(bytes) | Self::Read(bytes)) = self;
        let mut reader = Reader::new(bytes);
        let mut broken = false;
        std::iter::from_fn(move || {
            if broken || reader.is_empty() {
                return None;
            }
            let next = Self::next(&mut reader, &self);
            broken = next.is_err();
            Some(next)
        })
    }

    fn checked(self) -> Result<Option<Self>, Fault> {
        for record in self.iter() {
            record?;
        }
        Ok(Some(self))
    }
}

impl Serialize for Records<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for record in self.iter().flatten() {
            list.serialize_element(&record)?;
        }
        list.end()
    }
}

/// The greatest quantities (clauses 6.1 to 6.4, 6.11, 6.12 and 6.17).
const MAX_BITS_READ: u16 = 2_000;
const MAX_BITS_WRITTEN: u16 = 1_968;
const MAX_REGISTERS_READ: u16 = 125;
const MAX_REGISTERS_WRITTEN: u16 = 123;
const MAX_REGISTERS_EXCHANGED: u16 = 121;
const MAX_FIFO: u16 = 31;

const fn within(quantity: u16, most: u16) -> Result<(), Fault> {
    if quantity == 0 || quantity > most { Err(Fault::Quantity) } else { Ok(()) }
}

/// A byte count and as many bytes, to the end.
fn counted<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Fault> {
    let count = usize::from(reader.u8()?);
    if count == reader.left() { Ok(reader.take(count)?) } else { Err(Fault::Length) }
}

/// Reads the body of a request.
pub(super) fn request(function: u8, body: &[u8]) -> Result<Data<'_>, Fault> {
    let mut reader = Reader::new(body);
    let mut data = Data::default();
    match function {
        1..=4 => {
            data.address = Some(reader.be16()?);
            let quantity = reader.be16()?;
            data.quantity = Some(quantity);
            end(reader)?;
            within(quantity, if function <= 2 { MAX_BITS_READ } else { MAX_REGISTERS_READ })?;
        }
        5 | 6 => single(function, &mut reader, &mut data)?,
        7 | 11 | 12 | 17 => {}
        8 => diagnostics(&mut reader, &mut data)?,
        15 | 16 => {
            data.address = Some(reader.be16()?);
            let quantity = reader.be16()?;
            data.quantity = Some(quantity);
            let bytes = counted(&mut reader)?;
            within(quantity, if function == 15 { MAX_BITS_WRITTEN } else { MAX_REGISTERS_WRITTEN })?;
            data.values = Some(values(function == 15, bytes, quantity)?);
        }
        20 | 21 => {
            let bytes = counted(&mut reader)?;
            let records = if function == 20 { Records::Asked(bytes) } else { Records::Written(bytes) };
            data.records = records.checked()?;
        }
        22 => mask(&mut reader, &mut data)?,
        23 => {
            data.address = Some(reader.be16()?);
            let quantity = reader.be16()?;
            data.quantity = Some(quantity);
            data.write_address = Some(reader.be16()?);
            let written = reader.be16()?;
            data.write_quantity = Some(written);
            let bytes = counted(&mut reader)?;
            within(quantity, MAX_REGISTERS_READ)?;
            within(written, MAX_REGISTERS_EXCHANGED)?;
            data.values = Some(values(false, bytes, written)?);
        }
        24 => data.address = Some(reader.be16()?),
        43 => {
            mei(&mut reader, &mut data)?;
            if data.mei_type_code == Some(14) {
                data.read_device_id_code = Some(reader.u8()?);
                data.object_id = Some(reader.u8()?);
            } else {
                data.data = rest(&mut reader)?;
            }
        }
        umas::FUNCTION => data.umas = Some(umas::request(&mut reader)?),
        0 | 128.. => return Err(Fault::Function),
        _ => data.data = rest(&mut reader)?,
    }
    end(reader)?;
    Ok(data)
}

/// Reads the body of a response that is not an exception.
pub(super) fn response(function: u8, body: &[u8]) -> Result<Data<'_>, Fault> {
    let mut reader = Reader::new(body);
    let mut data = Data::default();
    match function {
        1 | 2 => {
            let bytes = counted(&mut reader)?;
            data.bytes = u8::try_from(bytes.len()).ok();
            data.values = Some(Values::Bits { bytes, count: bytes.len() * 8 });
            within(u16::from(data.bytes.unwrap_or(0)), MAX_BITS_READ / 8)?;
        }
        3 | 4 | 23 => {
            let bytes = counted(&mut reader)?;
            data.bytes = u8::try_from(bytes.len()).ok();
            data.values = Some(Values::Registers(bytes));
            if bytes.is_empty() || bytes.len() % 2 != 0 {
                return Err(Fault::Length);
            }
        }
        5 | 6 => single(function, &mut reader, &mut data)?,
        7 => data.status = Some(reader.u8()?.into()),
        8 => diagnostics(&mut reader, &mut data)?,
        11 => {
            data.status = Some(reader.be16()?);
            data.event_count = Some(reader.be16()?);
        }
        12 => {
            let mut events = Reader::new(counted(&mut reader)?);
            data.status = Some(events.be16()?);
            data.event_count = Some(events.be16()?);
            data.message_count = Some(events.be16()?);
            data.data = rest(&mut events)?;
        }
        15 | 16 => {
            data.address = Some(reader.be16()?);
            data.quantity = Some(reader.be16()?);
        }
        17 => data.server_id = Some(Hex(counted(&mut reader)?)),
        20 => data.records = Records::Read(counted(&mut reader)?).checked()?,
        21 => data.records = Records::Written(counted(&mut reader)?).checked()?,
        22 => mask(&mut reader, &mut data)?,
        24 => {
            let count = usize::from(reader.be16()?);
            if count != reader.left() {
                return Err(Fault::Length);
            }
            let quantity = reader.be16()?;
            data.quantity = Some(quantity);
            if quantity > MAX_FIFO {
                return Err(Fault::Quantity);
            }
            data.values = Some(Values::Registers(reader.take(usize::from(quantity) * 2)?));
        }
        43 => {
            mei(&mut reader, &mut data)?;
            if data.mei_type_code == Some(14) {
                data.read_device_id_code = Some(reader.u8()?);
                data.conformity_level = Some(reader.u8()?);
                data.more_follows = Some(reader.u8()? == 0xff);
                data.object_id = Some(reader.u8()?);
                let count = usize::from(reader.u8()?);
                let objects = Objects(reader.take(reader.left())?);
                data.objects = Some(objects);
                if objects.iter().count() != count
                    || objects.iter().map(|(_, value)| value.len() + 2).sum::<usize>() != objects.0.len()
                {
                    return Err(Fault::Length);
                }
            } else {
                data.data = rest(&mut reader)?;
            }
        }
        umas::FUNCTION => data.umas = Some(umas::response(&mut reader)?),
        0 => return Err(Fault::Function),
        _ => data.data = rest(&mut reader)?,
    }
    end(reader)?;
    Ok(data)
}

const fn end(reader: Reader<'_>) -> Result<(), Fault> {
    if reader.is_empty() { Ok(()) } else { Err(Fault::Length) }
}

fn rest<'a>(reader: &mut Reader<'a>) -> Result<Option<Hex<'a>>, Fault> {
    let bytes = reader.take(reader.left())?;
    Ok((!bytes.is_empty()).then_some(Hex(bytes)))
}

/// Writes of one coil or register: the response repeats the request (clauses 6.5 and 6.6).
fn single(function: u8, reader: &mut Reader<'_>, data: &mut Data<'_>) -> Result<(), Fault> {
    data.address = Some(reader.be16()?);
    let value = reader.be16()?;
    data.quantity = Some(1);
    let value = match (function, value) {
        (6, value) => value,
        (_, 0) => 0,
        (_, 0xff00) => 1,
        _ => return Err(Fault::Value),
    };
    data.values = Some(Values::One(value));
    Ok(())
}

fn mask(reader: &mut Reader<'_>, data: &mut Data<'_>) -> Result<(), Fault> {
    data.address = Some(reader.be16()?);
    data.and_mask = Some(reader.be16()?);
    data.or_mask = Some(reader.be16()?);
    Ok(())
}

fn diagnostics<'a>(reader: &mut Reader<'a>, data: &mut Data<'a>) -> Result<(), Fault> {
    let code = reader.be16()?;
    data.sub_function_code = Some(code);
    data.sub_function = Some(super::names::diagnostic(code));
    data.data = rest(reader)?;
    Ok(())
}

fn mei(reader: &mut Reader<'_>, data: &mut Data<'_>) -> Result<(), Fault> {
    let code = reader.u8()?;
    data.mei_type_code = Some(code);
    data.mei_type = Some(match code {
        13 => "canopen-general-reference",
        14 => "read-device-identification",
        _ => "reserved",
    });
    Ok(())
}

fn values(bits: bool, bytes: &[u8], quantity: u16) -> Result<Values<'_>, Fault> {
    let count = usize::from(quantity);
    let agrees = if bits { count.div_ceil(8) == bytes.len() } else { count * 2 == bytes.len() };
    match (agrees, bits) {
        (false, _) => Err(Fault::Length),
        (true, true) => Ok(Values::Bits { bytes, count }),
        (true, false) => Ok(Values::Registers(bytes)),
    }
}
