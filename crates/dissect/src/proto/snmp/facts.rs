//! What SNMP objects tell about the device that answers.

use model::{Attribute, Confidence, Role, Side};

use super::ber::Oid;
use super::value::Value;
use crate::proto::show::{after, text};
use crate::proto::{Emit, enterprise};

/// 1.3.6.1.2.1.1: the system group (RFC 3418).
const SYSTEM: &[u32] = &[1, 3, 6, 1, 2, 1, 1];

/// 1.3.6.1.2.1.47.1.1.1.1: the table of physical entities (RFC 6933).
const ENTITY: &[u32] = &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1];

/// 1.3.6.1.2.1.43.5.1.1: general objects of a printer (RFC 3805).
const PRINTER: &[u32] = &[1, 3, 6, 1, 2, 1, 43, 5, 1, 1];

/// 1.3.6.1.4.1: private enterprises.
const ENTERPRISES: &[u32] = &[1, 3, 6, 1, 4, 1];

/// The agent's software rather than a device's maker.
const NET_SNMP: [u32; 2] = [2021, 8072];

/// Tells what one object of a response says about who answers.
pub(super) fn of_object(oid: Oid<'_>, value: &Value<'_>, from: Side, out: &mut Emit<'_>) {
    if let Some(mut arcs) = oid.after(SYSTEM) {
        let object = (arcs.next(), arcs.next(), arcs.next());
        match (object, value) {
            ((Some(1), Some(0), None), Value::Octets(bytes)) => description(&text(bytes), from, out),
            ((Some(2), Some(0), None), Value::Identifier(id)) => {
                enterprise_of(*id, "snmp.sys-object-id", from, out);
            }
            ((Some(4), Some(0), None), Value::Octets(bytes)) => {
                out.fact(from, Attribute::Contact, text(bytes), "snmp.sys-contact", Confidence::CERTAIN);
            }
            ((Some(5), Some(0), None), Value::Octets(bytes)) => {
                out.fact(from, Attribute::Hostname, text(bytes), "snmp.sys-name", Confidence::CERTAIN);
            }
            ((Some(6), Some(0), None), Value::Octets(bytes)) => {
                out.fact(from, Attribute::Location, text(bytes), "snmp.sys-location", Confidence::CERTAIN);
            }
            _ => {}
        }
    } else if let (Some(mut arcs), Value::Octets(bytes)) = (oid.after(ENTITY), value) {
        let (column, index) = (arcs.next(), arcs.next());
        let (attribute, source) = match column {
            Some(8) => (Attribute::Hardware, "snmp.ent-physical-hardware-rev"),
            Some(9) => (Attribute::Firmware, "snmp.ent-physical-firmware-rev"),
            Some(10) => (Attribute::Software, "snmp.ent-physical-software-rev"),
            Some(11) => (Attribute::Serial, "snmp.ent-physical-serial-num"),
            Some(12) => (Attribute::Vendor, "snmp.ent-physical-mfg-name"),
            Some(13) => (Attribute::Model, "snmp.ent-physical-model-name"),
            _ => return,
        };
        // The first entity is the device as a whole, others are its parts (RFC 6933 clause 2.12.1); some
        // agents number otherwise.
        let worth = if index == Some(1) { Confidence::CERTAIN } else { Confidence::HINT };
        out.fact(from, attribute, text(bytes), source, worth);
    } else if let (Some(mut arcs), Value::Octets(bytes)) = (oid.after(PRINTER), value) {
        let (attribute, source) = match arcs.next() {
            Some(16) => (Attribute::Label, "snmp.prt-general-printer-name"),
            Some(17) => (Attribute::Serial, "snmp.prt-general-serial-number"),
            _ => return,
        };
        out.fact(from, attribute, text(bytes), source, Confidence::CERTAIN);
        out.role(from, Role::Printer, "snmp.printer-mib", Confidence::CERTAIN);
    }
}

/// The maker by the private enterprise number of an object identifier.
pub(super) fn enterprise_of(id: Oid<'_>, source: &'static str, from: Side, out: &mut Emit<'_>) {
    if let Some(number) = id.after(ENTERPRISES).and_then(|mut arcs| arcs.next()) {
        maker(number, source, from, out);
    }
}

fn maker(number: u32, source: &'static str, from: Side, out: &mut Emit<'_>) {
    if NET_SNMP.contains(&number) {
        out.fact(from, Attribute::Software, "Net-SNMP", source, Confidence::STRONG);
    } else if let Some(vendor) = enterprise::vendor(number) {
        out.fact(from, Attribute::Vendor, vendor, source, Confidence::percent(90));
    }
}

/// An engine's identifier (RFC 3411 clause 5, SnmpEngineID): the maker's number, then what makes it unique.
pub(super) fn engine(id: &[u8], from: Side, out: &mut Emit<'_>) {
    let Some(number) = id.first_chunk::<4>().filter(|_| id.len() >= 5) else { return };
    let value = format!("engine-id:{}", crate::proto::show::Hex(id));
    out.fact(from, Attribute::Identifier, value, "snmp.engine-id", Confidence::STRONG);
    maker(u32::from_be_bytes(*number) & 0x7fff_ffff, "snmp.engine-id", from, out);
}

/// What sysDescr says. It is free text; some makers keep to a form of their own.
fn description(description: &str, from: Side, out: &mut Emit<'_>) {
    use Attribute::{Firmware, Hardware, Model, OperatingSystem, PartNumber, Serial, Vendor};
    let source = "snmp.sys-descr";
    let mut fact = |attribute, value: &str, worth| out.fact(from, attribute, value, source, worth);
    const CERTAIN: Confidence = Confidence::CERTAIN;
    const STRONG: Confidence = Confidence::STRONG;
    fact(Attribute::Label, description, Confidence::LIKELY);
    let words: Vec<&str> = description.split_whitespace().take(8).collect();
    match words.as_slice() {
        // What `uname -a` prints: system, host, release.
        ["Linux" | "FreeBSD" | "OpenBSD" | "NetBSD" | "Darwin" | "SunOS", _, release, ..] => {
            fact(OperatingSystem, &format!("{} {release}", words[0]), CERTAIN);
            return;
        }
        ["RouterOS", model, ..] => {
            fact(Vendor, "MikroTik", CERTAIN);
            fact(OperatingSystem, "RouterOS", CERTAIN);
            fact(Model, model, CERTAIN);
            return;
        }
        _ => {}
    }
    if let Some((_, rest)) = description.split_once("Software: Windows ") {
        // Hardware: ... - Software: Windows Version 6.3 (Build 17763 Multiprocessor Free)
        let version = rest.strip_prefix("Version ").unwrap_or(rest);
        let version = version.split(" (").next().unwrap_or_default();
        fact(OperatingSystem, &format!("Windows {version}"), STRONG);
        return;
    }
    if let Some(rest) = after(description, "Cisco ") {
        fact(Vendor, "Cisco", CERTAIN);
        // Cisco IOS Software, C2960 Software (C2960-LANBASEK9-M), Version 12.2(55)SE7, RELEASE SOFTWARE
        let system = rest.split(" Software").next().unwrap_or_default();
        if matches!(system, "IOS" | "NX-OS" | "IOS XR" | "IOS-XE") {
            fact(OperatingSystem, &format!("Cisco {system}"), CERTAIN);
        }
        if let Some((_, version)) = description.split_once("Version ") {
            fact(Firmware, version.split([',', ' ']).next().unwrap_or_default(), CERTAIN);
        }
        return;
    }
    if description.contains("JETDIRECT") || description.contains("JetDirect") {
        // HP ETHERNET MULTI-ENVIRONMENT,ROM ...,JETDIRECT,JD149,EEPROM ...,...,PID:HP LaserJet P2055dn
        fact(Vendor, "HP", CERTAIN);
        fact(Attribute::Role, Role::Printer.name(), STRONG);
        if let Some((_, product)) = description.split_once("PID:") {
            fact(Model, product.split(',').next().unwrap_or_default(), CERTAIN);
        }
        return;
    }
    if let Some(rest) = after(description, "Siemens, ") {
        // Siemens, SIMATIC S7, CPU315-2 PN/DP, 6ES7 315-2EH14-0AB0 , HW: 5, FW: V3.2.6, S C-X4U421302009
        fact(Vendor, "Siemens", CERTAIN);
        let mut names = Vec::new();
        for part in rest.split(',').map(str::trim) {
            if let Some(version) = after(part, "HW:") {
                fact(Hardware, version.trim(), CERTAIN);
            } else if let Some(version) = after(part, "FW:").or_else(|| after(part, "Firmware: ")) {
                fact(Firmware, version.trim().trim_start_matches("Version "), CERTAIN);
            } else if let Some(serial) = part.strip_prefix("S C-").or_else(|| part.strip_prefix("S V")) {
                let head = if part.starts_with("S C-") { "S C-" } else { "S V" };
                fact(Serial, &format!("{head}{serial}"), CERTAIN);
            } else if ["6ES7", "6GK", "6AV", "6SL", "6EP"].iter().any(|head| part.starts_with(head)) {
                fact(PartNumber, part, CERTAIN);
            } else if names.len() < 2 {
                names.push(part);
            }
        }
        fact(Model, &names.join(" "), CERTAIN);
        if rest.starts_with("SIMATIC S7") {
            fact(Attribute::Role, Role::Plc.name(), STRONG);
        }
    }
}
