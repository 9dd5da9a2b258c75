//! DNP3 (IEEE 1815): link, transport and application layer.

use crate::bytes::{Put, build};

/// The check sequence of the link layer (IEEE 1815 section 9.2.4.1.3): polynomial 0x3d65, bits reversed.
fn crc(bytes: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for &byte in bytes {
        crc ^= u16::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xa6bc } else { crc >> 1 };
        }
    }
    !crc
}

/// Addresses on the link: where to, where from.
pub(crate) type Way = (u16, u16);

/// A frame with user data that needs no confirmation; `master` says who sends it.
fn frame(master: bool, (to, from): Way, data: &[u8]) -> Vec<u8> {
    build(|m| {
        let control = if master { 0xc4 } else { 0x44 };
        let head = build(|v| _ = v.u8(5).u8(0x64).u8(5 + data.len() as u8).u8(control).le16(to).le16(from));
        m.put(&head).le16(crc(&head));
        for block in data.chunks(16) {
            m.put(block).le16(crc(block));
        }
    })
}

/// A request of a master, in one fragment.
pub(crate) fn request(way: Way, sequence: u8, function: u8, objects: &[u8]) -> Vec<u8> {
    let control = 0xc0 | sequence & 15;
    frame(true, way, &build(|m| _ = m.u8(0xc0 | sequence & 63).u8(control).u8(function).put(objects)))
}

/// A master's confirmation of something unsolicited.
pub(crate) fn confirm(way: Way, sequence: u8) -> Vec<u8> {
    frame(true, way, &[0xc0 | sequence & 63, 0xd0 | sequence & 15, 0])
}

/// An outstation's answer with its internal indications.
pub(crate) fn response(way: Way, sequence: u8, indications: u16, objects: &[u8]) -> Vec<u8> {
    let control = 0xc0 | sequence & 15;
    let data = build(|m| _ = m.u8(0xc0 | sequence & 63).u8(control).u8(0x81).be16(indications).put(objects));
    frame(false, way, &data)
}

/// Something that an outstation says of itself; it wants a confirmation.
pub(crate) fn unsolicited(way: Way, sequence: u8, objects: &[u8]) -> Vec<u8> {
    let control = 0xf0 | sequence & 15;
    let data = build(|m| _ = m.u8(0xc0 | sequence & 63).u8(control).u8(0x82).be16(0).put(objects));
    frame(false, way, &data)
}

/// Classes 1, 2, 3 and 0.
pub(crate) const ALL_CLASSES: &[u8] = &[60, 2, 6, 60, 3, 6, 60, 4, 6, 60, 1, 6];
/// Classes 1, 2, 3.
pub(crate) const EVENTS: &[u8] = &[60, 2, 6, 60, 3, 6, 60, 4, 6];

/// Static data: eight binary inputs with flags (g1v2), four analogue inputs of 32 bits (g30v1).
pub(crate) fn points(inputs: u8, values: [u32; 4]) -> Vec<u8> {
    build(|m| {
        m.put(&[1, 2, 0, 0, 7]);
        for bit in 0..8 {
            m.u8(1 | (inputs >> bit & 1) << 7);
        }
        m.put(&[30, 1, 0, 0, 3]);
        for value in values {
            m.u8(1).le32(value);
        }
    })
}

/// One binary input has changed (g2v1, index of 16 bits).
pub(crate) fn change(index: u16, on: bool) -> Vec<u8> {
    build(|m| _ = m.put(&[2, 1, 0x28]).le16(1).le16(index).u8(1 | u8::from(on) << 7))
}

/// Milliseconds since 1970 (g50v1).
pub(crate) fn time(millis: u64) -> Vec<u8> {
    build(|m| _ = m.put(&[50, 1, 7, 1]).put(&millis.to_le_bytes()[..6]))
}

/// Asks for a device attribute (group 0).
pub(crate) fn attribute(variation: u8) -> Vec<u8> {
    vec![0, variation, 0, 0, 0]
}

/// A device attribute as text.
pub(crate) fn attribute_text(variation: u8, text: &str) -> Vec<u8> {
    build(|m| _ = m.put(&[0, variation, 0, 0, 0, 1]).short(text.as_bytes()))
}

/// Operates a relay: a control block (g12v1), pulse on for a second.
pub(crate) fn operate(index: u8) -> Vec<u8> {
    build(|m| _ = m.put(&[12, 1, 0x17, 1, index, 1, 1]).le32(1_000).le32(0).u8(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sequence_is_that_of_crc_16_dnp() {
        assert_eq!(crc(b"123456789"), 0xea82);
    }
}
