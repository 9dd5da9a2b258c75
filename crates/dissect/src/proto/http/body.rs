//! What the beginning of a body tells: a title, a UPnP device description, a program.

use model::{Attribute, Confidence, Role, Side};

use crate::proto::text::{clean, find, has, is, is_password};
use crate::proto::{Emit, product, text};

/// Bytes of an HTML page within which its title is looked for.
pub(super) const MAX_PAGE: usize = 4 * 1024;

/// Bytes of an XML document within which a UPnP device description is looked for.
pub(super) const MAX_DESCRIPTION: usize = 16 * 1024;

/// Bytes of a form within which a password field is looked for.
pub(super) const MAX_FORM: usize = 2 * 1024;

/// Bytes that tell a program from other files.
pub(super) const MAX_MAGIC: usize = 8;

/// Bytes of a title or of an element of a description that are told.
const MAX_ELEMENT: usize = 128;

/// What kind of file a body is, if it is one that can be run.
pub(super) fn executable(content_type: &[u8], body: &[u8]) -> Option<&'static str> {
    let is_text = content_type.len() > 5 && is(&content_type[..5], "text/");
    if let Some(kind) = text::program(body).filter(|kind| *kind != "pe" || !is_text) {
        return Some(kind);
    }
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    const TYPES: &[(&str, &str)] = &[
        ("application/x-executable", "elf"),
        ("application/x-elf", "elf"),
        ("application/x-msdownload", "pe"),
        ("application/x-msdos-program", "pe"),
        ("application/x-dosexec", "pe"),
        ("application/vnd.microsoft.portable-executable", "pe"),
        ("application/x-sh", "script"),
        ("application/x-shellscript", "script"),
        ("text/x-sh", "script"),
        ("application/vnd.android.package-archive", "apk"),
    ];
    TYPES.iter().find(|(name, _)| is(kind, name)).map(|(_, told)| *told)
}

/// Whether a form (`application/x-www-form-urlencoded`) or a JSON object has a password field.
pub(super) fn has_password(body: &[u8]) -> bool {
    body.split(|byte| matches!(byte, b'&' | b',' | b'{'))
        .filter_map(|part| part.iter().position(|byte| matches!(byte, b'=' | b':')).map(|at| &part[..at]))
        .any(|name| name.len() <= 64 && is_password(name))
}

/// The title of an HTML page.
pub(super) fn title(body: &[u8]) -> Option<&[u8]> {
    let rest = &body[find(body, "<title")?..];
    let rest = &rest[rest.iter().position(|byte| *byte == b'>')? + 1..];
    let title = rest[..find(rest, "</title")?].trim_ascii();
    (!title.is_empty() && title.len() <= MAX_ELEMENT).then_some(title)
}

/// Tells what a UPnP device description says of its root device (UPnP Device Architecture 2.0 clause
/// 2.3). Embedded devices come in a list after the fields of the root device and are left out.
pub(super) fn description(body: &[u8], side: Side, out: &mut Emit<'_>) {
    if !has(body, "urn:schemas-upnp-org:device-1-0") {
        camera(body, side, out);
        return;
    }
    let Some(start) = find(body, "<device>") else { return };
    let device = &body[start..];
    let device = &device[..find(device, "<devicelist>").unwrap_or(device.len())];
    let certain = Confidence::CERTAIN;
    let mut tell = |name: &str, attribute, source, confidence| {
        if let Some(text) = element(device, name) {
            out.fact(side, attribute, text, source, confidence);
        }
    };
    tell("friendlyname", Attribute::Label, "upnp.friendlyName", certain);
    tell("manufacturer", Attribute::Vendor, "upnp.manufacturer", certain);
    tell("modelname", Attribute::Model, "upnp.modelName", certain);
    tell("serialnumber", Attribute::Serial, "upnp.serialNumber", certain);
    tell("udn", Attribute::Identifier, "upnp.UDN", certain);
    tell("firmwareversion", Attribute::Firmware, "upnp.firmwareVersion", certain);
    tell("modeldescription", Attribute::Type, "upnp.modelDescription", Confidence::HINT);
    if let Some(number) = element(device, "modelnumber") {
        // Some makers write a revision here ("1.0"), others the number on the box ("BSB002").
        let revision = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let attribute = if revision { Attribute::Hardware } else { Attribute::PartNumber };
        out.fact(side, attribute, number, "upnp.modelNumber", Confidence::STRONG);
    }
    if let Some(kind) = element(device, "devicetype")
        && let Some(role) = role(kind.as_bytes())
    {
        out.role(side, role, "upnp.deviceType", Confidence::STRONG);
    }
    for name in ["manufacturer", "modelname"] {
        if let Some(text) = element(device, name) {
            product::maker(text.as_bytes(), side, "upnp.modelName", out);
        }
    }
}

/// Tells what a camera or recorder says of itself in ISAPI, which many makers have taken over from PSIA
/// (PSIA IP Media Device API 1.1 clause 7.4.2, `DeviceInfo`).
fn camera(body: &[u8], side: Side, out: &mut Emit<'_>) {
    const NAMESPACES: &[&str] =
        &["www.hikvision.com/ver", "www.isapi.org/ver", "urn:psialliance-org", "www.std-cgi.com/ver"];
    let Some(start) = find(body, "<deviceinfo") else { return };
    let info = &body[start..];
    if !NAMESPACES.iter().any(|namespace| has(info, namespace)) {
        return;
    }
    for (name, attribute, source) in [
        ("devicename", Attribute::Label, "isapi.deviceName"),
        ("model", Attribute::Model, "isapi.model"),
        ("serialnumber", Attribute::Serial, "isapi.serialNumber"),
        ("firmwareversion", Attribute::Firmware, "isapi.firmwareVersion"),
        ("devicetype", Attribute::Type, "isapi.deviceType"),
    ] {
        if let Some(text) = element(info, name) {
            out.fact(side, attribute, text, source, Confidence::CERTAIN);
        }
    }
    out.role(side, Role::Camera, "isapi.device-info", Confidence::STRONG);
}

/// The part that a device of a standard UPnP type plays (the types of the UPnP Forum's device control
/// protocols, and Belkin's own for its switches).
fn role(kind: &[u8]) -> Option<Role> {
    const ROLES: &[(&str, Role)] = &[
        (":internetgatewaydevice:", Role::Router),
        (":wlanaccesspointdevice:", Role::AccessPoint),
        (":mediarenderer:", Role::Media),
        (":mediaserver:", Role::Server),
        (":zoneplayer:", Role::Media),
        (":dial:", Role::Media),
        (":tvdevice:", Role::Media),
        (":printer:", Role::Printer),
        (":scanner:", Role::Printer),
        (":digitalsecuritycamera:", Role::Camera),
        (":binarylight:", Role::SmartDevice),
        (":dimmablelight:", Role::SmartDevice),
        (":hvac_system:", Role::SmartDevice),
        (":belkin:device:", Role::SmartDevice),
    ];
    ROLES.iter().find(|(name, _)| has(kind, name)).map(|(_, role)| *role)
}

/// The text of the first element of that name, without attributes, its predefined entities resolved
/// (XML 1.0 clause 4.6). `name` is in lower case.
fn element(xml: &[u8], name: &str) -> Option<String> {
    let mut rest = xml;
    loop {
        let at = find(rest, name)?;
        let opens = at > 0 && rest[at - 1] == b'<';
        rest = &rest[at + name.len()..];
        if opens && rest.first() == Some(&b'>') {
            break;
        }
    }
    let text = &rest[1..];
    let text = text[..text.iter().position(|byte| *byte == b'<')?].trim_ascii();
    let mut text = clean(text, MAX_ELEMENT).into_owned();
    if text.contains('&') {
        for (entity, character) in
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
        {
            text = text.replace(entity, character);
        }
    }
    (!text.is_empty()).then_some(text)
}
