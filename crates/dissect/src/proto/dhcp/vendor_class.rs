//! What a DHCP client's vendor class (option 60) and parameter request list (option 55) tell.
//!
//! Vendor classes have no common form: each maker, and each DHCP client, has its own.

use std::borrow::Cow;

use model::{Attribute, Confidence, Host, Role};

use crate::proto::Emit;
use crate::proto::show::{after, starts_with};

/// Vendor classes that name a maker and perhaps a kind of thing by how they begin.
static MAKERS: &[(&str, &str, Option<&str>, Option<Role>)] = &[
    ("AAPLBSDPC", "Apple", Some("computer"), Some(Role::Workstation)),
    ("ArubaAP", "Aruba", Some("wireless access point"), Some(Role::AccessPoint)),
    ("ArubaInstantAP", "Aruba", Some("wireless access point"), Some(Role::AccessPoint)),
    ("AXIS", "Axis", None, None),
    ("BRCM", "Broadcom", None, None),
    ("Cisco AP", "Cisco", Some("wireless access point"), Some(Role::AccessPoint)),
    ("Cisco Systems, Inc. IP Phone", "Cisco", Some("telephone"), Some(Role::Phone)),
    ("cisco", "Cisco", None, None),
    ("CPQRIB", "HPE", Some("management controller"), Some(Role::Server)),
    ("Cambium", "Cambium", None, None),
    ("docsis", "", Some("cable modem"), Some(Role::Router)),
    ("eRouter", "", Some("router"), Some(Role::Router)),
    ("Grandstream", "Grandstream", Some("telephone"), Some(Role::Phone)),
    ("Hewlett-Packard JetDirect", "HP", Some("printer"), Some(Role::Printer)),
    ("HP Printer", "HP", Some("printer"), Some(Role::Printer)),
    ("Hewlett-Packard OfficeJet", "HP", Some("printer"), Some(Role::Printer)),
    ("iDRAC", "Dell", Some("management controller"), Some(Role::Server)),
    ("juniper", "Juniper", None, None),
    ("meraki", "Cisco Meraki", None, None),
    ("Mitel", "Mitel", Some("telephone"), Some(Role::Phone)),
    ("OpenSTB", "", Some("set-top box"), Some(Role::Media)),
    ("Polycom", "Polycom", Some("telephone"), Some(Role::Phone)),
    ("PS3", "Sony", Some("game console"), Some(Role::Media)),
    ("PS4", "Sony", Some("game console"), Some(Role::Media)),
    ("PS5", "Sony", Some("game console"), Some(Role::Media)),
    ("Rockwell", "Rockwell Automation", None, None),
    ("Ruckus", "Ruckus", Some("wireless access point"), Some(Role::AccessPoint)),
    ("SAMSUNG", "Samsung", None, None),
    ("SIMATIC", "Siemens", None, None),
    ("SIEMENS", "Siemens", None, None),
    ("snom", "Snom", Some("telephone"), Some(Role::Phone)),
    ("Sonos", "Sonos", Some("loudspeaker"), Some(Role::Media)),
    ("TL-SG", "TP-Link", Some("switch"), Some(Role::Switch)),
    ("ubnt", "Ubiquiti", None, None),
    ("yealink", "Yealink", Some("telephone"), Some(Role::Phone)),
    ("Zebra", "Zebra", None, None),
];

/// What an option asks for is told by the DHCP client's code, and so by the operating system. Lists as
/// such systems were seen to send them.
static FINGERPRINTS: &[(&str, &[(Attribute, &str)])] = &[
    ("1,3,6,15,31,33,43,44,46,47,119,121,249,252", &[(Attribute::OperatingSystem, "Windows")]),
    ("1,15,3,6,44,46,47,31,33,121,249,43,252", &[(Attribute::OperatingSystem, "Windows")]),
    ("1,15,3,6,44,46,47,31,33,121,249,43", &[(Attribute::OperatingSystem, "Windows")]),
    ("1,15,3,6,44,46,47,31,33,249,43,252", &[(Attribute::OperatingSystem, "Windows")]),
    ("1,15,3,6,44,46,47,31,33,43", &[(Attribute::OperatingSystem, "Windows")]),
    ("1,121,3,6,15,119,252,95,44,46", &[(Attribute::OperatingSystem, "macOS")]),
    ("1,121,3,6,15,108,114,119,252,95,44,46", &[(Attribute::OperatingSystem, "macOS")]),
    ("1,121,3,6,15,119,252", &[(Attribute::OperatingSystem, "iOS")]),
    ("1,121,3,6,15,108,114,119,252", &[(Attribute::OperatingSystem, "iOS")]),
    ("1,3,6,15,119,252", &[(Attribute::OperatingSystem, "iOS")]),
    ("1,3,6,15,26,28,51,58,59,43", &[(Attribute::OperatingSystem, "Android")]),
    ("1,3,6,15,26,28,51,58,59,43,114", &[(Attribute::OperatingSystem, "Android")]),
    ("1,3,6,15,26,28,51,58,59,43,114,108", &[(Attribute::OperatingSystem, "Android")]),
    ("1,33,3,6,15,26,28,51,58,59", &[(Attribute::OperatingSystem, "Android")]),
    ("1,33,3,6,15,28,51,58,59", &[(Attribute::OperatingSystem, "Android")]),
    ("1,28,2,3,15,6,12", &[(Attribute::OperatingSystem, "Linux")]),
    ("1,28,2,3,15,6,119,12", &[(Attribute::OperatingSystem, "Linux")]),
    ("1,28,2,3,15,6,119,12,44,47,26,121,42", &[(Attribute::OperatingSystem, "Linux")]),
    ("1,28,2,3,15,6,119,12,44,47,26,121,42,121,249,33,252", &[(Attribute::OperatingSystem, "Linux")]),
    ("1,3,28,6,15,44,46,47,31,33,121,43", &[(Attribute::OperatingSystem, "lwIP (Espressif SDK)")]),
    ("1,3,28,6", &[(Attribute::OperatingSystem, "lwIP")]),
    ("1,3,6,12,15,28,42", &[(Attribute::OperatingSystem, EMBEDDED_LINUX)]),
    ("1,3,6,12,15,28", &[(Attribute::OperatingSystem, EMBEDDED_LINUX)]),
];

/// What BusyBox runs on.
const EMBEDDED_LINUX: &str = "Linux (embedded)";

/// What a parameter request list tells.
pub(super) fn by_fingerprint(list: &str) -> &'static [(Attribute, &'static str)] {
    FINGERPRINTS.iter().find(|(known, _)| *known == list).map_or(&[], |(_, facts)| facts)
}

/// Tells what the vendor class `class` says about `about`.
pub(crate) fn tell(about: Host, class: &str, source: &'static str, out: &mut Emit<'_>) {
    use Attribute::{
        Firmware, Hardware, Label, Location, Model, OperatingSystem, Serial, Software, Type, Vendor,
    };
    let mut fact = |attribute, value: &str, confidence| {
        out.fact_about(about, attribute, value, source, confidence);
    };
    const STRONG: Confidence = Confidence::STRONG;
    if starts_with(class, "MSFT") {
        let xbox = class.ends_with("XBOX");
        fact(OperatingSystem, if class == "MSFT 98" { "Windows 98" } else { "Windows" }, STRONG);
        if xbox {
            fact(Vendor, "Microsoft", STRONG);
            fact(Type, "game console", STRONG);
        }
    } else if let Some(version) = after(class, "android-dhcp-") {
        fact(OperatingSystem, &format!("Android {version}"), STRONG);
        fact(Attribute::Role, Role::Mobile.name(), Confidence::LIKELY);
    } else if let Some(rest) = after(class, "dhcpcd-").or_else(|| after(class, "dhcpcd ")) {
        // dhcpcd-VERSION:KERNEL-RELEASE:MACHINE:HARDWARE
        let mut parts = rest.split(':');
        let version = parts.next().unwrap_or_default();
        fact(Software, &format!("dhcpcd {version}"), STRONG);
        if let Some(kernel) = parts.next() {
            let (name, release) = kernel.split_once('-').unwrap_or((kernel, ""));
            fact(OperatingSystem, &join(name, release), STRONG);
        }
        if let (_, Some(hardware)) = (parts.next(), parts.next()) {
            fact(Hardware, hardware, STRONG);
        }
    } else if let Some(rest) = after(class, "udhcp") {
        let version = rest.trim_start_matches(['c', 'p', ' ']);
        fact(Software, &join("BusyBox udhcpc", version), STRONG);
        fact(OperatingSystem, EMBEDDED_LINUX, Confidence::percent(65));
    } else if let Some(rest) = after(class, "Linux ") {
        fact(OperatingSystem, &join("Linux", rest.split(' ').next().unwrap_or_default()), STRONG);
    } else if let Some(rest) = after(class, "PXEClient").or_else(|| after(class, "HTTPClient")) {
        // Only the boot firmware speaks so; the system that follows speaks for itself.
        let client = &class[..class.len() - rest.len()];
        fact(Software, client, Confidence::LIKELY);
    } else if class.split(';').filter(|part| part.contains('=')).count() > 1 {
        // Printers: Mfg=Maker;Typ=Kind;Mod=Model;Ser=Serial;Loc=Location;Fir=Firmware.
        for (key, value) in class.split(';').filter_map(|part| part.split_once('=')) {
            let attribute = match key.trim().to_ascii_lowercase().as_str() {
                "mfg" | "mfr" | "manufacturer" => Vendor,
                "typ" | "type" | "cls" => Type,
                "mod" | "mdl" | "model" => Model,
                "ser" | "sn" | "serial" => Serial,
                "loc" => Location,
                "fir" | "fw" | "firmware" => Firmware,
                "nam" | "des" => Label,
                _ => continue,
            };
            fact(attribute, value, Confidence::CERTAIN);
            if attribute == Type && (starts_with(value, "printer") || starts_with(value, "mf")) {
                fact(Attribute::Role, Role::Printer.name(), STRONG);
            }
        }
    } else if let Some((prefix, vendor, device, role)) = maker(class) {
        fact(Vendor, vendor, STRONG);
        if let Some(device) = device {
            fact(Type, device, STRONG);
        }
        if let Some(role) = role {
            fact(Attribute::Role, role.name(), STRONG);
        }
        let mut parts = class.split(',').map(str::trim);
        if *vendor == "Axis" && parts.clone().count() >= 3 {
            // AXIS,Network Camera,M3044-V,8.20.1
            parts.next();
            if let Some(device) = parts.next() {
                fact(Type, device, STRONG);
                if starts_with(device, "Network Camera") {
                    fact(Attribute::Role, Role::Camera.name(), STRONG);
                }
            }
            for (attribute, value) in [Model, Firmware].into_iter().zip(parts) {
                fact(attribute, value, STRONG);
            }
        } else if let Some(model) = model(class, prefix) {
            fact(Model, &model, Confidence::LIKELY);
        }
    }
}

fn maker(class: &str) -> Option<&'static (&'static str, &'static str, Option<&'static str>, Option<Role>)> {
    MAKERS.iter().find(|(prefix, ..)| starts_with(class, prefix))
}

/// What follows the maker's name, where it has a digit and so may be a model; a prefix that is part of the
/// model stays.
fn model<'a>(class: &'a str, prefix: &str) -> Option<Cow<'a, str>> {
    let rest = after(class, prefix)?;
    let model = match rest.strip_prefix([' ', '-', ',', '.', ':']) {
        Some(model) if !prefix.ends_with("SG") => model.trim(),
        _ if prefix == "TL-SG" || prefix.starts_with("PS") => class,
        _ => return None,
    };
    model.chars().any(|c| c.is_ascii_digit()).then_some(Cow::Borrowed(model))
}

/// A name and a version, if there is one.
fn join(name: &str, version: &str) -> String {
    if version.is_empty() { name.to_owned() } else { format!("{name} {version}") }
}
