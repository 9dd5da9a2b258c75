//! System status lists: what a controller says about itself (Siemens, "System Software for S7-300/400,
//! System and Standard Functions", chapter on SZL).

use model::{Attribute, Confidence, Side};

use crate::proto::industrial::text;
use crate::proto::{Emit, Reader, Short};

/// The name of a list, by the part of its identifier that names it.
pub(super) const fn name(id: u16) -> &'static str {
    match id & 0xff {
        0x00 => "szl-directory",
        0x11 => "module-identification",
        0x12 => "cpu-characteristics",
        0x13 => "user-memory-areas",
        0x14 => "system-areas",
        0x15 => "block-types",
        0x19 => "module-leds",
        0x1c => "component-identification",
        0x22 => "interrupt-status",
        0x25 => "process-image-partitions",
        0x31 => "communication-capability",
        0x32 => "communication-status",
        0x37 => "ethernet-details",
        0x71 => "h-cpu-group",
        0x74 => "module-led-status",
        0x75 => "dp-slave-switch",
        0x90..=0x96 => "module-status",
        0xa0 => "diagnostic-buffer",
        0xb1..=0xb4 => "module-diagnostics",
        0x24 => "modes",
        _ => "unknown",
    }
}

/// Learns from a list that came whole: identifier, index, entry length, entry count, entries.
pub(super) fn learn(from: Side, list: &[u8], out: &mut Emit<'_>) {
    let _ = entries(from, list, out);
}

fn entries(from: Side, list: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
    let mut reader = Reader::new(list);
    let id = reader.be16()?;
    let _index = reader.be16()?;
    let length = usize::from(reader.be16()?);
    let count = reader.be16()?;
    for _ in 0..count {
        let mut entry = Reader::new(reader.take(length)?);
        let index = entry.be16()?;
        match id & 0xff {
            0x11 => module(from, index, &mut entry, out)?,
            0x1c => component(from, index, entry.rest(), out),
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Order number, type, and two words of version: the module (1), its basic hardware (6) and its
/// firmware (7).
fn module(from: Side, index: u16, entry: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    let order = text(entry.take(20)?);
    entry.skip(2)?;
    let ([sign, major], [minor, patch]) = (entry.array()?, entry.array()?);
    match index {
        1 => {
            if let Some(order) = order {
                out.fact(
                    from,
                    Attribute::PartNumber,
                    order,
                    "s7comm.module-identification",
                    Confidence::CERTAIN,
                );
            }
        }
        6 => {
            let version = u16::from_be_bytes([sign, major]);
            let hardware = if version == 0 { u16::from(minor) << 8 | u16::from(patch) } else { version };
            // A version that is text would have stood in the firmware's form.
            if hardware != 0 && hardware < 0x100 {
                let hardware = hardware.to_string();
                out.fact(
                    from,
                    Attribute::Hardware,
                    hardware,
                    "s7comm.module-identification",
                    Confidence::CERTAIN,
                );
            }
        }
        7 if sign == b'V' => {
            let version = format!("{major}.{minor}.{patch}");
            out.fact(from, Attribute::Firmware, version, "s7comm.module-identification", Confidence::CERTAIN);
        }
        _ => {}
    }
    Ok(())
}

/// Names and numbers of the station and its module.
fn component(from: Side, index: u16, value: &[u8], out: &mut Emit<'_>) {
    let (attribute, source) = match index & 0xff {
        1 => (Attribute::Label, "s7comm.automation-system-name"),
        2 => (Attribute::Label, "s7comm.module-name"),
        3 => (Attribute::Location, "s7comm.plant-designation"),
        5 => (Attribute::Serial, "s7comm.module-serial"),
        7 => (Attribute::Model, "s7comm.module-type"),
        0x0b => (Attribute::Location, "s7comm.location-designation"),
        // "Original Siemens Equipment".
        4 if value.windows(7).any(|word| word.eq_ignore_ascii_case(b"siemens")) => {
            out.fact(from, Attribute::Vendor, "Siemens", "s7comm.copyright", Confidence::CERTAIN);
            return;
        }
        _ => return,
    };
    if let Some(value) = text(value) {
        out.fact(from, attribute, value, source, Confidence::CERTAIN);
    }
}
