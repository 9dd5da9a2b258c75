//! Capture files, no more of them than the laboratory writes.

use std::io::{self, Write};

use model::Timestamp;

/// What a frame is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// A CAN bus, as SocketCAN captures it: identifier, length and data.
    Can,
}

impl Link {
    /// The link of a frame of the laboratory. Its frames tell it by their length: Ethernet's have at least 60
    /// bytes (IEEE 802.3), those of a classic CAN bus 16.
    pub const fn of(frame: &[u8]) -> Self {
        if frame.len() <= 16 { Self::Can } else { Self::Ethernet }
    }

    /// LINKTYPE_ETHERNET, LINKTYPE_CAN_SOCKETCAN.
    const fn number(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::Can => 227,
        }
    }
}

/// More than any frame of a scene.
const SNAP_LENGTH: u32 = 262_144;

/// How a capture is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// pcapng with an interface for each link and nanoseconds (draft-ietf-opsawg-pcapng).
    #[default]
    Pcapng,
    /// Classic pcap with nanoseconds (draft-ietf-opsawg-pcap, magic 0xa1b23c4d); of Ethernet alone.
    Pcap,
}

/// An interface description, 4.2, with if_tsresol (9) = 10^-9.
fn interface(link: Link) -> Vec<u8> {
    let words = [1, 32, u32::from(link.number()), SNAP_LENGTH, 1 << 16 | 9, 9, 0, 32];
    words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
}

/// Writes frames as a capture: interface 0 is Ethernet, and 1 a CAN bus if there is one.
pub(crate) struct Writer<W> {
    out: W,
    format: Format,
    has_can: bool,
}

impl<W: Write> Writer<W> {
    /// Writes what stands before the first frame.
    pub(crate) fn new(mut out: W, format: Format) -> io::Result<Self> {
        let mut head = Vec::with_capacity(64);
        match format {
            Format::Pcapng => {
                // Section header, 4.1: byte-order magic, version 1.0, length not given.
                for word in [0x0a0d_0d0a_u32, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28] {
                    head.extend_from_slice(&word.to_le_bytes());
                }
                head.extend_from_slice(&interface(Link::Ethernet));
            }
            Format::Pcap => {
                for word in
                    [0xa1b2_3c4d_u32, 4 << 16 | 2, 0, 0, SNAP_LENGTH, u32::from(Link::Ethernet.number())]
                {
                    head.extend_from_slice(&word.to_le_bytes());
                }
            }
        }
        out.write_all(&head)?;
        Ok(Self { out, format, has_can: false })
    }

    /// Writes one frame.
    pub(crate) fn frame(&mut self, at: Timestamp, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        let nanos = at.as_nanos();
        let link = Link::of(frame);
        if link == Link::Can && !self.has_can {
            if self.format == Format::Pcap {
                return Err(io::Error::other(
                    "a classic capture has one link: take pcapng for a scene with a bus",
                ));
            }
            self.out.write_all(&interface(link))?;
            self.has_can = true;
        }
        match self.format {
            Format::Pcapng => {
                // Enhanced packet, 4.3.
                let padding = frame.len().next_multiple_of(4) - frame.len();
                let total = 32 + length + padding as u32;
                let mut head = [0; 28];
                let words = [6, total, link as u32, (nanos >> 32) as u32, nanos as u32, length, length];
                for (place, word) in head.chunks_exact_mut(4).zip(words) {
                    place.copy_from_slice(&word.to_le_bytes());
                }
                self.out.write_all(&head)?;
                self.out.write_all(frame)?;
                self.out.write_all(&[0; 3][..padding])?;
                self.out.write_all(&total.to_le_bytes())
            }
            Format::Pcap => {
                let mut head = [0; 16];
                let words = [at.as_secs() as u32, (nanos % 1_000_000_000) as u32, length, length];
                for (place, word) in head.chunks_exact_mut(4).zip(words) {
                    place.copy_from_slice(&word.to_le_bytes());
                }
                self.out.write_all(&head)?;
                self.out.write_all(frame)
            }
        }
    }

    /// Flushes what is buffered below.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_lengths_they_state() {
        for size in 60..69_usize {
            let mut file = Vec::new();
            let mut writer = Writer::new(&mut file, Format::Pcapng).unwrap();
            writer.frame(Timestamp::from_nanos(0x1_0000_0002), &vec![7; size]).unwrap();
            writer.finish().unwrap();
            let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
            let (mut at, mut kinds) = (0, Vec::new());
            while at < file.len() {
                let length = word(at + 4);
                assert_eq!((length % 4, word(at + length - 4)), (0, length));
                kinds.push(word(at));
                at += length;
            }
            assert_eq!(kinds, [0x0a0d_0d0a, 1, 6]);
            assert_eq!((word(60 + 12), word(60 + 16), word(60 + 20)), (1, 2, size));
        }
    }

    #[test]
    fn a_bus_is_an_interface_of_its_own_described_before_its_first_frame() {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, Format::Pcapng).unwrap();
        for size in [60, 16, 60, 16] {
            writer.frame(Timestamp::EPOCH, &vec![7; size]).unwrap();
        }
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let (mut at, mut blocks) = (0, Vec::new());
        while at < file.len() {
            // Kind, then the link type of a description and the interface of a packet.
            blocks.push((word(at), if word(at) == 0x0a0d_0d0a { 0 } else { word(at + 8) }));
            at += word(at + 4);
        }
        assert_eq!(blocks, [(0x0a0d_0d0a, 0), (1, 1), (6, 0), (1, 227), (6, 1), (6, 0), (6, 1)]);
        let mut classic = Writer::new(Vec::new(), Format::Pcap).unwrap();
        assert!(classic.frame(Timestamp::EPOCH, &[7; 16]).is_err());
    }
}
