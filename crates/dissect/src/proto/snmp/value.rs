//! Values of managed objects (RFC 2578 clause 7, RFC 3416 clause 3).

use std::borrow::Cow;
use std::net::Ipv4Addr;

use serde::{Serialize, Serializer};

use super::ber::{Fault, Oid, signed, tag, unsigned};
use crate::proto::show::{Hex, text};

/// A value of an object.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// No value: in requests, and where an object does not exist.
    Nothing(&'static str),
    /// INTEGER.
    Integer(i64),
    /// Counters, gauges, time ticks.
    Number(u64),
    /// OCTET STRING and what is like it.
    Octets(&'a [u8]),
    /// OBJECT IDENTIFIER.
    Identifier(Oid<'a>),
    /// IpAddress.
    Address(Ipv4Addr),
    /// Known to hold a secret, and so not kept.
    Secret,
}

impl<'a> Value<'a> {
    /// Reads a value by its tag; an unknown one is kept as bytes.
    pub(super) fn read(kind: u8, content: &'a [u8]) -> Result<Self, Fault> {
        Ok(match kind {
            tag::NULL => Self::Nothing(""),
            tag::NO_SUCH_OBJECT => Self::Nothing("no-such-object"),
            tag::NO_SUCH_INSTANCE => Self::Nothing("no-such-instance"),
            tag::END_OF_MIB_VIEW => Self::Nothing("end-of-mib-view"),
            tag::INTEGER => Self::Integer(signed(content)?),
            tag::COUNTER_32 | tag::GAUGE_32 | tag::TIME_TICKS | tag::COUNTER_64 => {
                Self::Number(unsigned(content)?)
            }
            tag::OBJECT_IDENTIFIER => Self::Identifier(Oid(content)),
            tag::IP_ADDRESS => {
                let bytes = <[u8; 4]>::try_from(content).map_err(|_| Fault::Range)?;
                Self::Address(bytes.into())
            }
            _ => Self::Octets(content),
        })
    }

    /// In the form in which operations keep values.
    pub(super) fn kept(&self) -> Option<model::Value> {
        Some(match self {
            Self::Nothing(_) | Self::Secret => return None,
            Self::Integer(number) => {
                u64::try_from(*number).map_or(model::Value::Signed(*number), model::Value::Unsigned)
            }
            Self::Number(number) => model::Value::Unsigned(*number),
            Self::Octets(bytes) => model::Value::Text(shown(bytes).into()),
            Self::Identifier(id) => model::Value::Text(id.to_string().into()),
            Self::Address(ip) => model::Value::Text(ip.to_string().into()),
        })
    }
}

/// Bytes as text where they are text, else as hexadecimal digits.
fn shown(bytes: &[u8]) -> Cow<'_, str> {
    let printable = std::str::from_utf8(bytes)
        .is_ok_and(|text| !text.chars().any(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t' | '\0')));
    if printable { text(bytes) } else { Cow::Owned(Hex(bytes).to_string()) }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing("") => serializer.serialize_none(),
            Self::Nothing(why) => serializer.serialize_str(why),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Octets(bytes) => serializer.serialize_str(&shown(bytes)),
            Self::Identifier(id) => serializer.collect_str(id),
            Self::Address(ip) => serializer.collect_str(ip),
            Self::Secret => serializer.serialize_str("***"),
        }
    }
}
