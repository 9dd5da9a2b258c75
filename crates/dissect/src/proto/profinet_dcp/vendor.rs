//! Makers of PROFINET stations.

/// The name of a maker by the number that PROFIBUS & PROFINET International gave it: the common ones.
pub(in crate::proto) const fn vendor(id: u16) -> Option<&'static str> {
    Some(match id {
        0x002a => "Siemens",
        0x00b0 => "Phoenix Contact",
        0x010a => "SEW-EURODRIVE",
        0x011d => "WAGO",
        0x011e => "Hilscher",
        0x0120 => "Beckhoff",
        0x012f => "Murrelektronik",
        0x0136 => "ifm electronic",
        0x013d => "Turck",
        0x014d => "Festo",
        0x0378 => "Balluff",
        0x0493 => "RT-Labs",
        _ => return None,
    })
}
