//! Properties of MQTT 5.0 packets (clause 2.2.2).

use std::borrow::Cow;

use serde::Serialize;

use crate::proto::text::clean;
use crate::proto::{Reader, Short};

/// Bytes of a property's text that are told.
const MAX_VALUE: usize = 128;

/// User properties of one packet whose names are told.
const MAX_USER_PROPERTIES: usize = 16;

/// The properties that are told. Correlation and authentication data, response information and the
/// values of user properties are left out: they may be secrets.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Properties<'a> {
    pub(super) payload_format_indicator: Option<u8>,
    pub(super) message_expiry_interval_s: Option<u32>,
    pub(super) content_type: Option<Cow<'a, str>>,
    pub(super) response_topic: Option<Cow<'a, str>>,
    pub(super) subscription_identifier: Option<u32>,
    pub(super) session_expiry_interval_s: Option<u32>,
    pub(super) assigned_client_identifier: Option<Cow<'a, str>>,
    pub(super) server_keep_alive_s: Option<u16>,
    pub(super) authentication_method: Option<Cow<'a, str>>,
    pub(super) will_delay_interval_s: Option<u32>,
    pub(super) server_reference: Option<Cow<'a, str>>,
    pub(super) reason_string: Option<Cow<'a, str>>,
    pub(super) receive_maximum: Option<u16>,
    pub(super) topic_alias_maximum: Option<u16>,
    pub(super) topic_alias: Option<u16>,
    pub(super) maximum_qos: Option<u8>,
    pub(super) retain_available: Option<u8>,
    /// Names of user properties.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) user_properties: Vec<Cow<'a, str>>,
    pub(super) maximum_packet_size: Option<u32>,
}

impl<'a> Properties<'a> {
    /// Reads a property length and as many bytes of properties, nothing if there are none. An unknown property ends the reading:
    /// its length cannot be known.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, Short> {
        let length = variable_integer(reader)?.ok_or(Short)?;
        if length == 0 {
            return Ok(None);
        }
        let mut fields = Reader::new(reader.take(length as usize)?);
        let mut found = Self::default();
        while !fields.is_empty() {
            // Table 2-4.
            match fields.u8()? {
                0x01 => found.payload_format_indicator = Some(fields.u8()?),
                0x02 => found.message_expiry_interval_s = Some(fields.be32()?),
                0x03 => found.content_type = Some(text(&mut fields)?),
                0x08 => found.response_topic = Some(text(&mut fields)?),
                0x0b => found.subscription_identifier = variable_integer(&mut fields)?,
                0x11 => found.session_expiry_interval_s = Some(fields.be32()?),
                0x12 => found.assigned_client_identifier = Some(text(&mut fields)?),
                0x13 => found.server_keep_alive_s = Some(fields.be16()?),
                0x15 => found.authentication_method = Some(text(&mut fields)?),
                0x18 => found.will_delay_interval_s = Some(fields.be32()?),
                0x1c => found.server_reference = Some(text(&mut fields)?),
                0x1f => found.reason_string = Some(text(&mut fields)?),
                0x21 => found.receive_maximum = Some(fields.be16()?),
                0x22 => found.topic_alias_maximum = Some(fields.be16()?),
                0x23 => found.topic_alias = Some(fields.be16()?),
                0x24 => found.maximum_qos = Some(fields.u8()?),
                0x25 => found.retain_available = Some(fields.u8()?),
                0x26 => {
                    let name = text(&mut fields)?;
                    text(&mut fields)?;
                    if found.user_properties.len() < MAX_USER_PROPERTIES {
                        found.user_properties.push(name);
                    }
                }
                0x27 => found.maximum_packet_size = Some(fields.be32()?),
                // Request and response information, correlation and authentication data.
                0x09 | 0x16 | 0x1a => drop(text(&mut fields)?),
                0x17 | 0x19 | 0x28 | 0x29 | 0x2a => drop(fields.u8()?),
                _ => break,
            }
        }
        Ok(Some(found))
    }
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Short> {
    let length = reader.be16()?;
    Ok(clean(reader.take(usize::from(length))?, MAX_VALUE))
}

/// A variable byte integer (clause 1.5.5): seven bits a byte, least significant first; nothing if it
/// does not end with its fourth byte.
pub(super) fn variable_integer(reader: &mut Reader<'_>) -> Result<Option<u32>, Short> {
    let mut value = 0_u32;
    for place in 0..4 {
        let byte = reader.u8()?;
        value |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
