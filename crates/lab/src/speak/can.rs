//! CAN frames (ISO 11898-1) with the protection of AUTOSAR's end-to-end profile 1 (AUTOSAR_SWS_E2ELibrary): a
//! counter and a check over the data, so that a receiver notices what was lost, repeated or made up.

use crate::bytes::{Put, build};
use crate::net::{MICRO, Net};

/// One bit at 500 kbit/s, in nanoseconds.
const BIT: u64 = 2 * MICRO;

/// CRC-8 of SAE J1850: polynomial 0x1d.
fn crc(bytes: impl Iterator<Item = u8>) -> u8 {
    let step = |crc: u8| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x1d };
    !bytes.fold(0xff, |crc, byte| (0..8).fold(crc ^ byte, |crc, _| step(crc)))
}

/// Data of six bytes, the counter of its identifier, and the check over both and the identifier.
pub(crate) fn protected(id: u32, data: [u8; 6], counter: u8) -> [u8; 8] {
    let [a, b, c, d, e, f] = data;
    let counter = counter % 15;
    let check = crc(id.to_le_bytes().into_iter().take(2).chain(data).chain([counter]));
    [a, b, c, d, e, f, counter, check]
}

/// A bus, on which one frame goes at a time.
#[derive(Default)]
pub(crate) struct Bus {
    /// When the last frame is over.
    free: u64,
}

impl Bus {
    /// Puts a frame with an 11-bit identifier on the bus, as soon as the one before is over.
    pub(crate) fn send(&mut self, net: &mut Net, id: u32, data: [u8; 8]) {
        net.clock = net.clock.max(self.free);
        // 108 bits, 3 between frames, and up to 19 that are stuffed in.
        self.free = net.clock + (111 + net.rng.range(2, 16)) * BIT;
        send(net, id, data);
    }
}

/// Puts a frame with an 11-bit identifier on the bus now, whatever else is on it.
pub(crate) fn send(net: &mut Net, id: u32, data: [u8; 8]) {
    // As SocketCAN captures it: identifier, length, nothing, data.
    let frame = build(|m| _ = m.be32(id).u8(8).put(&[0; 3]).put(&data));
    net.carried(id);
    net.emit(frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_that_of_sae_j1850() {
        assert_eq!(crc(b"123456789".iter().copied()), 0x4b);
    }

    #[test]
    fn counters_go_to_fourteen_and_every_bit_counts() {
        let first = protected(0xc9, [1, 2, 3, 4, 5, 6], 0);
        assert_eq!(protected(0xc9, [1, 2, 3, 4, 5, 6], 15), first);
        for other in [protected(0xc8, [1, 2, 3, 4, 5, 6], 0), protected(0xc9, [1, 2, 3, 4, 5, 7], 0)] {
            assert_ne!(other[7], first[7]);
        }
    }
}
