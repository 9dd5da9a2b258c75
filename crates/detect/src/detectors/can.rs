//! What the detectors of CAN buses share.

use model::{BusFrame, Host, Timestamp};

/// So many identifiers of a bus are watched; the one that was quiet for longest is forgotten first. A bus has a few
/// hundred at most, but whoever fuzzes tries all.
pub(super) const MAX_IDENTIFIERS: usize = 1024;

/// Frames name no sender: what happens on a bus is about the bus.
pub(super) const BUS: Host = Host { mac: None, ip: None };

/// An identifier and its size, as one number: that with 29 bits has the highest bit.
pub(super) const fn key(frame: &BusFrame) -> u32 {
    if frame.extended { frame.id | 1 << 31 } else { frame.id }
}

/// An identifier as people write it.
pub(super) fn name(frame: &BusFrame) -> String {
    if frame.extended { format!("{:08X}", frame.id) } else { format!("{:03X}", frame.id) }
}

/// Seconds since the epoch, with parts.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64()
}

/// Whether frames of an identifier with 29 bits come when there is something to say, and not by the clock: requests and
/// acknowledgements, the transport protocols, claims of addresses (SAE J1939-21 clauses 5.4.2 to 5.4.4 and 5.10,
/// J1939-81 clause 4.2), and diagnosis (ISO 15765-4 clause 10.3.2). Their third byte is the receiver.
pub(super) const fn comes_on_demand(frame: &BusFrame) -> bool {
    let format = (frame.id >> 16) as u8;
    frame.extended && matches!(format, 0xc7 | 0xc8 | 0xda | 0xdb | 0xe8 | 0xea..=0xec | 0xee)
}
