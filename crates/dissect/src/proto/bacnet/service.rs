//! The parameters of the services that are looked into (clauses 13 to 16).

use model::Value;
use serde::Serialize;

use super::names;
use super::tag::{self, Kind, Tag};
use crate::proto::{Reader, Short};

/// One message names at most so many properties.
const MAX_PROPERTIES: usize = 256;

/// A property that is read, written, or told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Property {
    #[serde(skip)]
    pub(super) object: (u16, u32),
    object_type: &'static str,
    instance: u32,
    #[serde(skip)]
    pub(super) id: u32,
    property: &'static str,
    property_id: u32,
    array_index: Option<u64>,
    pub(super) value: Option<Value>,
    error: Option<&'static str>,
}

impl Property {
    fn new(object: (u16, u32), id: u32) -> Self {
        Self {
            object,
            object_type: names::object_type(object.0),
            instance: object.1,
            id,
            property: names::property(id),
            property_id: id,
            array_index: None,
            value: None,
            error: None,
        }
    }

    /// The property as text: `analog-output 0 present-value`.
    pub(super) fn target(&self) -> String {
        let index = self.array_index.map_or_else(String::new, |index| format!("[{index}]"));
        format!("{} {} {}{index}", self.object_type, self.instance, self.property)
    }
}

/// What a service says, as far as it is looked into.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Parameters {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) properties: Vec<Property>,
    /// A device, as type and instance.
    pub(super) device: Option<u32>,
    pub(super) object_type: Option<&'static str>,
    pub(super) instance: Option<u32>,
    pub(super) object_name: Option<String>,
    pub(super) vendor_id: Option<u16>,
    pub(super) vendor: Option<&'static str>,
    pub(super) low_limit: Option<u64>,
    pub(super) high_limit: Option<u64>,
    /// The state of reinitialize-device, or what device-communication-control asks for.
    pub(super) state: Option<&'static str>,
    #[serde(skip)]
    pub(super) state_code: Option<u32>,
}

impl Parameters {
    fn object(&mut self, (kind, instance): (u16, u32)) {
        self.object_type = Some(names::object_type(kind));
        self.instance = Some(instance);
    }
}

/// The next tag must be this parameter.
fn context<'a>(number: u8, reader: &mut Reader<'a>) -> Result<Tag<'a>, Short> {
    let tag = Tag::read(reader)?;
    if tag.kind == Kind::Context(number) { Ok(tag) } else { Err(Short) }
}

/// The next tag, if it is this parameter.
fn optional<'a>(number: u8, reader: &mut Reader<'a>) -> Result<Option<Tag<'a>>, Short> {
    let mut ahead = *reader;
    if ahead.is_empty() {
        return Ok(None);
    }
    let tag = Tag::read(&mut ahead)?;
    if tag.kind != Kind::Context(number) {
        return Ok(None);
    }
    *reader = ahead;
    Ok(Some(tag))
}

/// Whether the next tag opens this parameter; if so it is read.
fn opens(number: u8, reader: &mut Reader<'_>) -> Result<bool, Short> {
    let mut ahead = *reader;
    if ahead.is_empty() || Tag::read(&mut ahead)?.kind != Kind::Opening(number) {
        return Ok(false);
    }
    *reader = ahead;
    Ok(true)
}

fn closes(number: u8, reader: &mut Reader<'_>) -> Result<bool, Short> {
    let mut ahead = *reader;
    if Tag::read(&mut ahead)?.kind != Kind::Closing(number) {
        return Ok(false);
    }
    *reader = ahead;
    Ok(true)
}

fn number(tag: &Tag<'_>) -> Result<u32, Short> {
    tag.unsigned().and_then(|value| u32::try_from(value).ok()).ok_or(Short)
}

/// Reads a confirmed request.
pub(super) fn request(service: u8, bytes: &[u8]) -> Result<Parameters, Short> {
    let mut reader = Reader::new(bytes);
    let mut parameters = Parameters::default();
    match service {
        // Object, property, index; a write adds the value (and a priority), a range its range.
        12 | 15 | 26 => {
            let object = context(0, &mut reader)?.object().ok_or(Short)?;
            let mut property = Property::new(object, number(&context(1, &mut reader)?)?);
            property.array_index = optional(2, &mut reader)?.and_then(|tag| tag.unsigned());
            if service == 15 && opens(3, &mut reader)? {
                property.value = Some(tag::values_until(3, &mut reader)?);
            }
            parameters.properties.push(property);
        }
        8 | 9 => {
            let object = context(0, &mut reader)?.object().ok_or(Short)?;
            let mut property = Property::new(object, number(&context(1, &mut reader)?)?);
            property.array_index = optional(2, &mut reader)?.and_then(|tag| tag.unsigned());
            if opens(3, &mut reader)? {
                property.value = Some(tag::values_until(3, &mut reader)?);
            }
            parameters.properties.push(property);
        }
        14 | 16 => {
            while !reader.is_empty() {
                let object = context(0, &mut reader)?.object().ok_or(Short)?;
                if !opens(1, &mut reader)? {
                    return Err(Short);
                }
                while !closes(1, &mut reader)? {
                    let mut property = Property::new(object, number(&context(0, &mut reader)?)?);
                    property.array_index = optional(1, &mut reader)?.and_then(|tag| tag.unsigned());
                    if service == 16 {
                        if opens(2, &mut reader)? {
                            property.value = Some(tag::values_until(2, &mut reader)?);
                        }
                        let _priority = optional(3, &mut reader)?;
                    }
                    push(&mut parameters, property);
                }
            }
        }
        // A change-of-value subscription names the object it is for.
        5 | 28 => {
            let _process = context(0, &mut reader)?;
            parameters.object(context(1, &mut reader)?.object().ok_or(Short)?);
        }
        1 => notification(&mut reader, &mut parameters)?,
        // File access and deletion begin with the object, creation with the object or its type.
        6 | 7 | 11 => parameters.object(Tag::read(&mut reader)?.object().ok_or(Short)?),
        10 if opens(0, &mut reader)? => {
            let tag = Tag::read(&mut reader)?;
            match (tag.kind, tag.object()) {
                (Kind::Context(0), _) => {
                    parameters.object_type = Some(names::object_type(number(&tag)? as u16));
                }
                (_, object) => parameters.object(object.ok_or(Short)?),
            }
        }
        // Duration, then enable or disable; a password may follow and is not kept.
        17 => {
            let _duration = optional(0, &mut reader)?;
            let state = number(&context(1, &mut reader)?)?;
            parameters.state_code = Some(state);
            parameters.state = Some(match state {
                0 => "enable",
                1 => "disable",
                2 => "disable-initiation",
                _ => "reserved",
            });
        }
        20 => {
            let state = number(&context(0, &mut reader)?)?;
            parameters.state_code = Some(state);
            parameters.state = Some(names::reinitialized_state(state).0);
        }
        _ => {}
    }
    Ok(parameters)
}

fn push(parameters: &mut Parameters, property: Property) {
    if parameters.properties.len() < MAX_PROPERTIES {
        parameters.properties.push(property);
    }
}

/// Process, initiating device, monitored object, time left, values (13.1).
fn notification(reader: &mut Reader<'_>, parameters: &mut Parameters) -> Result<(), Short> {
    let _process = context(0, reader)?;
    parameters.device = Some(context(1, reader)?.object().ok_or(Short)?.1);
    let object = context(2, reader)?.object().ok_or(Short)?;
    let _remaining = context(3, reader)?;
    if opens(4, reader)? {
        while !closes(4, reader)? {
            let mut property = Property::new(object, number(&context(0, reader)?)?);
            property.array_index = optional(1, reader)?.and_then(|tag| tag.unsigned());
            if opens(2, reader)? {
                property.value = Some(tag::values_until(2, reader)?);
            }
            let _priority = optional(3, reader)?;
            push(parameters, property);
        }
    }
    Ok(())
}

/// Reads an unconfirmed request.
pub(super) fn unconfirmed(service: u8, bytes: &[u8]) -> Result<Parameters, Short> {
    let mut reader = Reader::new(bytes);
    let mut parameters = Parameters::default();
    match service {
        // Object, greatest APDU, segmentation, vendor (16.10.2).
        0 => {
            let (kind, instance) = Tag::read(&mut reader)?.object().ok_or(Short)?;
            parameters.object((kind, instance));
            parameters.device = (kind == DEVICE).then_some(instance);
            let _apdu = Tag::read(&mut reader)?;
            let _segmentation = Tag::read(&mut reader)?;
            let vendor = u16::try_from(number(&Tag::read(&mut reader)?)?).map_err(|_| Short)?;
            parameters.vendor_id = Some(vendor);
            parameters.vendor = names::vendor(vendor);
        }
        1 => {
            parameters.device = Some(Tag::read(&mut reader)?.object().ok_or(Short)?.1);
            parameters.object(Tag::read(&mut reader)?.object().ok_or(Short)?);
            parameters.object_name = tag::string(Tag::read(&mut reader)?.data);
        }
        2 => notification(&mut reader, &mut parameters)?,
        7 | 8 => {
            parameters.low_limit = optional(0, &mut reader)?.and_then(|tag| tag.unsigned());
            parameters.high_limit = optional(1, &mut reader)?.and_then(|tag| tag.unsigned());
            if service == 7 {
                match optional(2, &mut reader)? {
                    Some(tag) => parameters.object(tag.object().ok_or(Short)?),
                    None => {
                        parameters.object_name =
                            optional(3, &mut reader)?.and_then(|tag| tag::string(tag.data));
                    }
                }
            }
        }
        _ => {}
    }
    Ok(parameters)
}

/// The type of the object that stands for the device.
pub(super) const DEVICE: u16 = 8;

/// Reads the answer to a confirmed request.
pub(super) fn answer(service: u8, bytes: &[u8]) -> Result<Parameters, Short> {
    let mut reader = Reader::new(bytes);
    let mut parameters = Parameters::default();
    match service {
        12 => {
            let object = context(0, &mut reader)?.object().ok_or(Short)?;
            let mut property = Property::new(object, number(&context(1, &mut reader)?)?);
            property.array_index = optional(2, &mut reader)?.and_then(|tag| tag.unsigned());
            if opens(3, &mut reader)? {
                property.value = Some(tag::values_until(3, &mut reader)?);
            }
            parameters.properties.push(property);
        }
        14 => {
            while !reader.is_empty() {
                let object = context(0, &mut reader)?.object().ok_or(Short)?;
                if !opens(1, &mut reader)? {
                    return Err(Short);
                }
                while !closes(1, &mut reader)? {
                    let mut property = Property::new(object, number(&context(2, &mut reader)?)?);
                    property.array_index = optional(3, &mut reader)?.and_then(|tag| tag.unsigned());
                    if opens(4, &mut reader)? {
                        property.value = Some(tag::values_until(4, &mut reader)?);
                    } else if opens(5, &mut reader)? {
                        let _class = Tag::read(&mut reader)?;
                        property.error = Some(names::error_code(number(&Tag::read(&mut reader)?)?));
                        if !closes(5, &mut reader)? {
                            return Err(Short);
                        }
                    }
                    push(&mut parameters, property);
                }
            }
        }
        _ => {}
    }
    Ok(parameters)
}
