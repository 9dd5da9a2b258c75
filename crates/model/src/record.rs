//! Fields of messages: an ordered list of names and values, made from any `Serialize` structure.
//!
//! A dissector declares a message once as a structure that derives `Serialize`; [`Record::from`] turns
//! it into the form in which it travels, so that engines, rules and searches can read the fields of any
//! protocol without knowing its crate.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, Serialize, SerializeMap, SerializeSeq, Serializer};

/// A name from a small, fixed set: a protocol, a field, a kind of message.
pub type Name = Cow<'static, str>;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// Absent.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number from 0 up.
    Unsigned(u64),
    /// A whole number below 0.
    Signed(i64),
    /// A real number.
    Real(f64),
    /// Text; bytes appear as lower-case hexadecimal digits.
    Text(Box<str>),
    /// Several values.
    List(Vec<Value>),
    /// Fields within a field.
    Record(Record),
}

impl Value {
    /// The value as text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The value as a whole number from 0 up, if it is one.
    pub const fn as_u64(&self) -> Option<u64> {
        if let Self::Unsigned(number) = self { Some(*number) } else { None }
    }

    /// The value as a list, if it is one.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

/// Names and values in order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Record(pub Vec<(Name, Value)>);

impl Record {
    /// The fields of a structure. Absent options are left out; variants of an enumeration appear by
    /// their names; a variant with fields is a record of one field, the variant's name.
    pub fn from<T: Serialize + ?Sized>(structure: &T) -> Result<Self, RecordError> {
        match structure.serialize(ToValue)? {
            Value::Record(record) => Ok(record),
            Value::Null => Ok(Self::default()),
            _ => Err(RecordError("a message must be a structure".into())),
        }
    }

    /// The value of the field of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn push(&mut self, name: Name, value: Value) {
        if value != Value::Null {
            self.0.push((name, value));
        }
    }
}

/// A structure cannot be a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError(String);

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RecordError {}

impl ser::Error for RecordError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => values.serialize(serializer),
            Self::Record(record) => record.serialize(serializer),
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Unsigned(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Real(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::Text(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Value::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
                let mut record = Record::default();
                while let Some((name, value)) = fields.next_entry::<String, Value>()? {
                    record.0.push((Cow::Owned(name), value));
                }
                Ok(Value::Record(record))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Record(record) => Ok(record),
            _ => Err(de::Error::custom("expected fields")),
        }
    }
}

/// The serializer that makes values.
struct ToValue;

/// A list under construction, perhaps to be wrapped under a variant's name.
struct ListMaker {
    variant: Option<&'static str>,
    list: Vec<Value>,
}

/// A record under construction, perhaps to be wrapped under a variant's name.
struct RecordMaker {
    variant: Option<&'static str>,
    record: Record,
    key: Option<Name>,
}

impl RecordMaker {
    const fn new(variant: Option<&'static str>, record: Vec<(Name, Value)>) -> Self {
        Self { variant, record: Record(record), key: None }
    }
}

fn wrapped(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(name) => Value::Record(Record(vec![(Cow::Borrowed(name), value)])),
        None => value,
    }
}

fn hex(bytes: &[u8]) -> Box<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text.into_boxed_str()
}

impl Serializer for ToValue {
    type Ok = Value;
    type Error = RecordError;
    type SerializeSeq = ListMaker;
    type SerializeTuple = ListMaker;
    type SerializeTupleStruct = ListMaker;
    type SerializeTupleVariant = ListMaker;
    type SerializeMap = RecordMaker;
    type SerializeStruct = RecordMaker;
    type SerializeStructVariant = RecordMaker;

    fn serialize_bool(self, value: bool) -> Result<Value, RecordError> {
        Ok(Value::Bool(value))
    }

    fn serialize_i8(self, value: i8) -> Result<Value, RecordError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<Value, RecordError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<Value, RecordError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<Value, RecordError> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }

    fn serialize_u8(self, value: u8) -> Result<Value, RecordError> {
        Ok(Value::Unsigned(value.into()))
    }

    fn serialize_u16(self, value: u16) -> Result<Value, RecordError> {
        Ok(Value::Unsigned(value.into()))
    }

    fn serialize_u32(self, value: u32) -> Result<Value, RecordError> {
        Ok(Value::Unsigned(value.into()))
    }

    fn serialize_u64(self, value: u64) -> Result<Value, RecordError> {
        Ok(Value::Unsigned(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Value, RecordError> {
        Ok(Value::Real(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Value, RecordError> {
        Ok(Value::Real(value))
    }

    fn serialize_char(self, value: char) -> Result<Value, RecordError> {
        Ok(Value::Text(value.to_string().into()))
    }

    fn serialize_str(self, value: &str) -> Result<Value, RecordError> {
        Ok(Value::Text(value.into()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, RecordError> {
        Ok(Value::Text(hex(value)))
    }

    fn serialize_none(self) -> Result<Value, RecordError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, RecordError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, RecordError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, RecordError> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<Value, RecordError> {
        Ok(Value::Text(name.into()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, RecordError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<Value, RecordError> {
        Ok(wrapped(Some(name), value.serialize(self)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<ListMaker, RecordError> {
        Ok(ListMaker { variant: None, list: Vec::new() })
    }

    fn serialize_tuple(self, _: usize) -> Result<ListMaker, RecordError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<ListMaker, RecordError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<ListMaker, RecordError> {
        Ok(ListMaker { variant: Some(name), list: Vec::new() })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<RecordMaker, RecordError> {
        Ok(RecordMaker::new(None, Vec::new()))
    }

    fn serialize_struct(self, _: &'static str, fields: usize) -> Result<RecordMaker, RecordError> {
        Ok(RecordMaker::new(None, Vec::with_capacity(fields)))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        fields: usize,
    ) -> Result<RecordMaker, RecordError> {
        Ok(RecordMaker::new(Some(name), Vec::with_capacity(fields)))
    }
}

impl SerializeSeq for ListMaker {
    type Ok = Value;
    type Error = RecordError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
        self.list.push(value.serialize(ToValue)?);
        Ok(())
    }

    fn end(self) -> Result<Value, RecordError> {
        Ok(wrapped(self.variant, Value::List(self.list)))
    }
}

/// The other list-like shapes are the same list.
macro_rules! same_list {
    ($($shape:ident . $add:ident),*) => {$(
        impl ser::$shape for ListMaker {
            type Ok = Value;
            type Error = RecordError;

            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
                SerializeSeq::serialize_element(self, value)
            }

            fn end(self) -> Result<Value, RecordError> {
                SerializeSeq::end(self)
            }
        }
    )*};
}
same_list!(
    SerializeTuple.serialize_element,
    SerializeTupleStruct.serialize_field,
    SerializeTupleVariant.serialize_field
);

impl SerializeMap for RecordMaker {
    type Ok = Value;
    type Error = RecordError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), RecordError> {
        self.key = Some(match key.serialize(ToValue)? {
            Value::Text(text) => Cow::Owned(text.into_string()),
            Value::Unsigned(number) => Cow::Owned(number.to_string()),
            Value::Signed(number) => Cow::Owned(number.to_string()),
            _ => return Err(RecordError("a field's name must be text or a number".into())),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
        let key = self.key.take().ok_or_else(|| RecordError("a value came before its name".into()))?;
        self.record.push(key, value.serialize(ToValue)?);
        Ok(())
    }

    fn end(self) -> Result<Value, RecordError> {
        Ok(wrapped(self.variant, Value::Record(self.record)))
    }
}

/// Structures and variants with named fields are the same record.
macro_rules! same_record {
    ($($shape:ident),*) => {$(
        impl ser::$shape for RecordMaker {
            type Ok = Value;
            type Error = RecordError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), RecordError> {
                self.record.push(Cow::Borrowed(name), value.serialize(ToValue)?);
                Ok(())
            }

            fn end(self) -> Result<Value, RecordError> {
                SerializeMap::end(self)
            }
        }
    )*};
}
same_record!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        ReadCoils,
        Other { code: u8 },
    }

    #[derive(Serialize)]
    struct Request<'a> {
        unit: u8,
        kind: Kind,
        other: Kind,
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<u8>,
        absent: Option<u8>,
        offset: i32,
        name: &'a str,
        values: Vec<u16>,
    }

    #[test]
    fn a_structure_becomes_its_fields_in_order_and_comes_back_from_json() {
        let request = Request {
            unit: 1,
            kind: Kind::ReadCoils,
            other: Kind::Other { code: 9 },
            left_out: None,
            absent: None,
            offset: -4,
            name: "tank",
            values: vec![1, 2],
        };
        let record = Record::from(&request).unwrap();
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            text,
            r#"{"unit":1,"kind":"read-coils","other":{"other":{"code":9}},"offset":-4,"name":"tank","values":[1,2]}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(record.get("unit").and_then(Value::as_u64), Some(1));
    }

    #[test]
    fn what_is_not_a_structure_is_refused() {
        assert!(Record::from(&5).is_err());
        assert!(Record::from(&Option::<Request<'_>>::None).unwrap().0.is_empty());
    }
}
