//! The bodies of services (Part 4, clause 5), as far as they tell something.

use model::Value;
use serde::Serialize;

use super::super::{Reader, Short};
use super::names;
use super::value::{
    NodeId, bytes, count, data_value, extension, localized, node_id, skip_diagnostics, skip_strings, string,
};

/// Nodes, endpoints and values of one message are reported up to this many.
const MAX_REPORTED: usize = 32;

/// The value of a node, in contrast to its other attributes.
const VALUE: u32 = 13;

/// What a body says.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Body {
    pub(super) request_handle: u32,
    pub(super) status_code: Option<u32>,
    pub(super) status: Option<&'static str>,
    pub(super) security_mode: Option<&'static str>,
    pub(super) endpoint_url: Option<String>,
    pub(super) session_name: Option<String>,
    pub(super) client: Option<Application>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) servers: Vec<Application>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) endpoints: Vec<Endpoint>,
    /// The kind of identity a user is to have; never who, and never the proof.
    pub(super) user_token: Option<&'static str>,
    pub(super) token_policy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nodes: Vec<String>,
    /// How many nodes there are, also those that are not reported.
    pub(super) node_count: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) results: Vec<u32>,
    /// Nodes of the standard whose value is asked for, with their places.
    #[serde(skip)]
    pub(super) standard: Vec<(usize, u32)>,
}

/// An application as it describes itself (Part 4, 7.2).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Application {
    pub(super) uri: Option<String>,
    pub(super) product_uri: Option<String>,
    pub(super) name: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

/// A place where a server is reached, and how (Part 4, 7.14).
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Endpoint {
    pub(super) url: Option<String>,
    pub(super) server: Application,
    pub(super) security_mode: &'static str,
    pub(super) security_policy: Option<String>,
    pub(super) user_tokens: Vec<&'static str>,
}

impl Body {
    fn node(&mut self, place: u32, node: NodeId<'_>, attribute: u32) {
        if self.nodes.len() < MAX_REPORTED {
            self.nodes.push(match names::attribute(attribute) {
                Some(name) if attribute != VALUE => format!("{node} {name}"),
                _ => node.to_string(),
            });
            if let (VALUE, Some(number)) = (attribute, node.standard()) {
                self.standard.push((place as usize, number));
            }
        }
    }

    fn value(&mut self, value: Value) {
        if self.values.len() < MAX_REPORTED {
            self.values.push(value);
        }
    }

    fn result(&mut self, code: u32) {
        if self.results.len() < MAX_REPORTED {
            self.results.push(code);
        }
    }
}

/// Reads what follows the identifier of a service.
///
/// What was understood before the bytes ended is kept in `body`.
pub(super) fn read(
    service: u32,
    request: bool,
    reader: &mut Reader<'_>,
    body: &mut Body,
) -> Result<(), Short> {
    if request {
        request_header(reader, body)?;
    } else {
        response_header(reader, body)?;
    }
    match service {
        422 | 428 => body.endpoint_url = string(reader)?,
        425 => {
            for _ in 0..count(reader)? {
                let server = application(reader)?;
                if body.servers.len() < MAX_REPORTED {
                    body.servers.push(server);
                }
            }
        }
        431 => endpoints(reader, body)?,
        446 => {
            reader.skip(8)?;
            body.security_mode = Some(names::security_mode(reader.le32()?));
        }
        461 => {
            body.client = Some(application(reader)?);
            bytes(reader)?;
            body.endpoint_url = string(reader)?;
            body.session_name = string(reader)?;
        }
        464 => {
            // The session, its secret token, and how long it lasts.
            node_id(reader)?;
            node_id(reader)?;
            reader.skip(8)?;
            bytes(reader)?;
            bytes(reader)?;
            endpoints(reader, body)?;
        }
        467 => {
            bytes(reader)?;
            bytes(reader)?;
            for _ in 0..count(reader)? {
                bytes(reader)?;
                bytes(reader)?;
            }
            skip_strings(reader)?;
            let (kind, token) = extension(reader)?;
            // Absent is anonymous (Part 4, 5.6.3).
            body.user_token = Some(match kind.standard() {
                Some(0) => "anonymous",
                Some(kind) => names::identity_token(kind),
                None => "unknown",
            });
            body.token_policy = string(&mut Reader::new(token)).unwrap_or_default();
        }
        527 => {
            node_id(reader)?;
            reader.skip(8 + 4 + 4)?;
            for place in 0..counted(reader, body)? {
                let node = node_id(reader)?;
                body.node(place, node, 0);
                reader.skip(4)?;
                node_id(reader)?;
                reader.skip(1 + 4 + 4)?;
            }
        }
        631 => {
            reader.skip(8 + 4)?;
            for place in 0..counted(reader, body)? {
                read_value_id(place, reader, body)?;
            }
        }
        634 => {
            for _ in 0..count(reader)? {
                let (value, status) = data_value(reader)?;
                body.value(value);
                body.result(status);
            }
        }
        673 => {
            for place in 0..counted(reader, body)? {
                let node = node_id(reader)?;
                let attribute = reader.le32()?;
                body.node(place, node, attribute);
                bytes(reader)?;
                let (value, _) = data_value(reader)?;
                body.value(value);
            }
        }
        676 => {
            for _ in 0..count(reader)? {
                let code = reader.le32()?;
                body.result(code);
            }
        }
        // What a method is given may be a password, and is not reported.
        712 => {
            if counted(reader, body)? > 0 {
                let object = node_id(reader)?;
                let method = node_id(reader)?;
                body.nodes.push(format!("{method} of {object}"));
            }
        }
        715 => {
            if count(reader)? > 0 {
                let code = reader.le32()?;
                body.result(code);
            }
        }
        751 => {
            reader.skip(4 + 4)?;
            for place in 0..counted(reader, body)? {
                read_value_id(place, reader, body)?;
                reader.skip(4 + 4 + 8)?;
                extension(reader)?;
                reader.skip(4 + 1)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn counted(reader: &mut Reader<'_>, body: &mut Body) -> Result<u32, Short> {
    let count = count(reader)?;
    body.node_count = Some(count);
    Ok(count)
}

/// Session's secret token, time, handle, diagnostics wanted, audit entry, timeout, and an extension
/// (Part 4, 7.33).
fn request_header(reader: &mut Reader<'_>, body: &mut Body) -> Result<(), Short> {
    node_id(reader)?;
    reader.skip(8)?;
    body.request_handle = reader.le32()?;
    reader.skip(4)?;
    bytes(reader)?;
    reader.skip(4)?;
    extension(reader).map(drop)
}

/// Time, handle, result, diagnostics, their strings, and an extension (Part 4, 7.34).
fn response_header(reader: &mut Reader<'_>, body: &mut Body) -> Result<(), Short> {
    reader.skip(8)?;
    body.request_handle = reader.le32()?;
    let status = reader.le32()?;
    body.status_code = Some(status);
    body.status = names::status(status);
    skip_diagnostics(reader)?;
    skip_strings(reader)?;
    extension(reader).map(drop)
}

fn read_value_id(place: u32, reader: &mut Reader<'_>, body: &mut Body) -> Result<(), Short> {
    let node = node_id(reader)?;
    let attribute = reader.le32()?;
    body.node(place, node, attribute);
    bytes(reader)?;
    reader.skip(2)?;
    bytes(reader).map(drop)
}

fn application(reader: &mut Reader<'_>) -> Result<Application, Short> {
    let uri = string(reader)?;
    let product_uri = string(reader)?;
    let name = localized(reader)?;
    let kind = names::application_type(reader.le32()?);
    bytes(reader)?;
    bytes(reader)?;
    skip_strings(reader)?;
    Ok(Application { uri, product_uri, name, kind })
}

fn endpoints(reader: &mut Reader<'_>, body: &mut Body) -> Result<(), Short> {
    for _ in 0..count(reader)? {
        let url = string(reader)?;
        let server = application(reader)?;
        bytes(reader)?;
        let security_mode = names::security_mode(reader.le32()?);
        let security_policy = string(reader)?.map(|uri| policy(&uri).to_owned());
        let mut user_tokens = Vec::new();
        for _ in 0..count(reader)? {
            bytes(reader)?;
            let kind = names::token_type(reader.le32()?);
            for _ in 0..3 {
                bytes(reader)?;
            }
            if user_tokens.len() < MAX_REPORTED {
                user_tokens.push(kind);
            }
        }
        bytes(reader)?;
        reader.skip(1)?;
        if body.endpoints.len() < MAX_REPORTED {
            body.endpoints.push(Endpoint { url, server, security_mode, security_policy, user_tokens });
        }
    }
    Ok(())
}

/// The short name of a security policy: what follows the `#` of its URI.
pub(super) fn policy(uri: &str) -> &str {
    uri.rsplit_once('#').map_or(uri, |(_, name)| name)
}
