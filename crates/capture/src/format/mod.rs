//! The capture file formats, read from a window of bytes.
//!
//! A reader is given whatever bytes of the capture are at hand and describes the frames that lie in them
//! wholly. It keeps no bytes and allocates nothing per frame, so that mapped files, pipes and
//! decompressors are all read by the same code.

mod pcap;
mod pcapng;

use std::borrow::Cow;

use dissect::wire::LinkType;

use crate::batch::Frame;

pub(crate) use pcap::Pcap;
pub(crate) use pcapng::Pcapng;
pub use pcapng::{MAX_BLOCK, MAX_INTERFACES};

/// No frame is longer than this, in bytes: the largest snap length that capture tools set. A larger length
/// is corruption.
pub const MAX_FRAME: u32 = 262_144;

/// Frames of USB and D-Bus captures may be up to this long, in bytes (128 MiB, the limit of D-Bus
/// messages); nothing is allocated before so much has really been read.
pub const MAX_LARGE_FRAME: u32 = 128 << 20;

/// So many bytes at the start of a capture tell its format, or that it is none.
pub(crate) const RECOGNITION_BYTES: usize = 512;

/// The limit for frames of a link type.
pub(crate) const fn max_frame(link: LinkType) -> u32 {
    match link.0 {
        // USB: FreeBSD, Linux, Linux with padding, Windows, Darwin; and D-Bus.
        186 | 189 | 220 | 249 | 266 | 231 => MAX_LARGE_FRAME,
        _ => MAX_FRAME,
    }
}

/// Reads a capture of one of the formats.
#[derive(Debug)]
pub(crate) enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// There are as many frames as were wanted.
    Full,
    /// The window ends before the next record does (or exactly where it would begin).
    Short,
    /// The next so many bytes are of no interest, and the window ends before they do.
    Skip(u64),
    /// The next record cannot be read; the text says why.
    Corrupt(Cow<'static, str>),
}

/// What the first bytes of a file are, if they are no capture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unrecognised {
    /// There are none.
    Empty,
    /// A capture that ends within its file header.
    CutHeader,
    /// A capture of a version that is not read.
    Version { format: &'static str, major: u16, minor: u16 },
    /// A known format that is not read, and what to do about it.
    Known { format: &'static str, remedy: &'static str },
    /// Text.
    Text,
    /// Anything else.
    Unknown,
}

impl Format {
    /// Recognises a capture by its first bytes, at least [`RECOGNITION_BYTES`] of them unless it is shorter.
    pub(crate) fn recognise(start: &[u8]) -> Result<Self, Unrecognised> {
        if start.is_empty() {
            return Err(Unrecognised::Empty);
        }
        if let Some(found) = Pcap::recognise(start) {
            return found.map(Self::Pcap);
        }
        if let Some(found) = Pcapng::recognise(start) {
            return found.map(Self::Pcapng);
        }
        Err(foreign(start))
    }

    /// Describes the frames of `window` from `at` on and moves `at` behind them, until there are `limit`
    /// frames in `frames`. On return `at` is the start of the first record that was not read, and never
    /// beyond the window.
    pub(crate) fn read(
        &mut self,
        window: &[u8],
        at: &mut usize,
        limit: usize,
        frames: &mut Vec<Frame>,
    ) -> Stop {
        match self {
            Self::Pcap(pcap) => pcap.read(window, at, limit, frames),
            Self::Pcapng(pcapng) => pcapng.read(window, at, limit, frames),
        }
    }
}

/// Whether the bytes begin like something that may hold a capture: one of the formats, or compressed.
pub(crate) fn may_be_capture(start: &[u8]) -> bool {
    crate::compress::Compression::recognise(start).is_some()
        || !matches!(
            Format::recognise(start),
            Err(Unrecognised::Empty
                | Unrecognised::Known { .. }
                | Unrecognised::Text
                | Unrecognised::Unknown)
        )
}

/// Formats that people mistake for the ones that are read, by their first bytes.
const FOREIGN: &[(&[u8], &str, &str)] = &[
    (b"snoop\0\0\0", "a snoop capture", CONVERT),
    (b"btsnoop\0", "a Bluetooth snoop capture", CONVERT),
    (b"RTSS", "a Network Monitor 1 capture", CONVERT),
    (b"GMBU", "a Network Monitor 2 capture", CONVERT),
    (b"TRSNIFF data", "a Sniffer capture", CONVERT),
    (b"XCP\0", "a NetXRay or Sniffer capture", CONVERT),
    (b"\x7fver", "an EtherPeek capture", CONVERT),
    (b"\xfd7zXZ\0", "compressed with xz", UNPACK),
    (b"BZh", "compressed with bzip2", UNPACK),
    (b"\x04\x22\x4d\x18", "compressed with lz4", UNPACK),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
];
const CONVERT: &str = "convert it with editcap -F pcapng";
const UNPACK: &str = "unpack it first, or compress it with gzip or zstd";

fn foreign(start: &[u8]) -> Unrecognised {
    if let Some((_, format, remedy)) = FOREIGN.iter().find(|(magic, ..)| start.starts_with(magic)) {
        return Unrecognised::Known { format, remedy };
    }
    // Text of any encoding that extends ASCII: no control characters but those of layout.
    let layout = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    let start = start.get(..RECOGNITION_BYTES).unwrap_or(start);
    match start.iter().all(|byte| (*byte >= b' ' && *byte != 0x7f) || layout(byte)) {
        true if std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true) => {
            Unrecognised::Text
        }
        _ => Unrecognised::Unknown,
    }
}

/// A 16-bit number in the byte order of the capture.
#[inline]
pub(crate) const fn number16(bytes: [u8; 2], big: bool) -> u16 {
    if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
}

/// A 32-bit number in the byte order of the capture.
#[inline]
pub(crate) const fn number32(bytes: [u8; 4], big: bool) -> u32 {
    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_capture_is_named() {
        let known = |start: &[u8]| match Format::recognise(start) {
            Err(Unrecognised::Known { format, .. }) => format.to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(known(b"snoop\0\0\0\0\0\0\x02"), "a snoop capture");
        assert_eq!(known(b"\xfd7zXZ\0\0"), "compressed with xz");
        assert_eq!(known(b""), "Err(Empty)");
        assert_eq!(known("Straße, 5 m²\n".as_bytes()), "Err(Text)");
        assert_eq!(known(b"\0\x01\x02\x03"), "Err(Unknown)");
        assert_eq!(known(b"\xd4\xc3\xb2\xa1\x02\0"), "Err(CutHeader)");
        assert_eq!(known(b"\x0a\x0d\x0d\x0a\x1c\0"), "Err(CutHeader)");
    }

    #[test]
    fn text_that_is_cut_within_a_character_is_still_text() {
        let mut text = "a".repeat(RECOGNITION_BYTES - 1).into_bytes();
        text.extend_from_slice("é".as_bytes());
        assert_eq!(Format::recognise(&text).err(), Some(Unrecognised::Text));
    }
}
