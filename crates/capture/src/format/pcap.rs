//! Classic pcap (draft-ietf-opsawg-pcap), and the variant with longer record headers that a patched
//! libpcap wrote.

use std::borrow::Cow;

use dissect::wire::LinkType;
use model::Timestamp;

use super::{Stop, Unrecognised, max_frame, number16, number32};
use crate::batch::Frame;

/// Microseconds (clause 4, magic number).
const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
/// Nanoseconds.
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// Microseconds, and record headers that go on with interface index (4 bytes), protocol (2), packet type
/// (1) and padding (1). Not in the draft; some distributions patched libpcap so around the year 2000.
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

/// The length of the file header (clause 4).
const FILE_HEADER: usize = 24;
/// The length of a record header (clause 5).
const RECORD_HEADER: usize = 16;
/// The length of a record header of the modified variant.
const MODIFIED_RECORD_HEADER: usize = 24;

/// Which of the two lengths in a record header comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    /// The captured length, as the draft has it.
    CapturedFirst,
    /// The length on the wire, as files before version 2.3 have it.
    WireFirst,
    /// Version 2.3 was written both ways: the smaller is the captured length.
    Smaller,
}

/// Reads a classic pcap file.
#[derive(Debug)]
pub(crate) struct Pcap {
    big: bool,
    /// Nanoseconds per unit of the fraction of a second.
    fraction: u64,
    record_header: usize,
    lengths: Lengths,
    link: LinkType,
    limit: u32,
    /// Whether the file header was passed.
    begun: bool,
}

impl Pcap {
    /// The reader for a file that begins like this, or `None` if it is no pcap file.
    pub(crate) fn recognise(start: &[u8]) -> Option<Result<Self, Unrecognised>> {
        let magic = *start.first_chunk::<4>()?;
        let known = |magic| matches!(magic, MAGIC_MICROS | MAGIC_NANOS | MAGIC_MODIFIED);
        let (magic, big) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (little, _) if known(little) => (little, false),
            (_, big) if known(big) => (big, true),
            _ => return None,
        };
        let Some((words, _)) = start.first_chunk::<FILE_HEADER>().map(|header| header.as_chunks::<4>())
        else {
            return Some(Err(Unrecognised::CutHeader));
        };
        let [major_low, major_high, minor_low, minor_high] = words[1];
        let major = number16([major_low, major_high], big);
        let minor = number16([minor_low, minor_high], big);
        if major < 2 {
            return Some(Err(Unrecognised::Version { format: "pcap", major, minor }));
        }
        // The upper half of the word tells of a frame check sequence at the end of the frames, which the
        // dissectors find to be beyond the length that the packets themselves state.
        let link = LinkType((number32(words[5], big) & 0xffff) as u16);
        let lengths = match (major, minor) {
            (2, 0..=2) => Lengths::WireFirst,
            (2, 3) => Lengths::Smaller,
            _ => Lengths::CapturedFirst,
        };
        Some(Ok(Self {
            big,
            fraction: if magic == MAGIC_NANOS { 1 } else { 1_000 },
            record_header: if magic == MAGIC_MODIFIED { MODIFIED_RECORD_HEADER } else { RECORD_HEADER },
            lengths,
            link,
            limit: max_frame(link),
            begun: false,
        }))
    }

    /// See [`super::Format::read`].
    pub(crate) fn read(
        &mut self,
        window: &[u8],
        at: &mut usize,
        limit: usize,
        frames: &mut Vec<Frame>,
    ) -> Stop {
        if !self.begun {
            if window.len() - *at < FILE_HEADER {
                return Stop::Short;
            }
            *at += FILE_HEADER;
            self.begun = true;
        }
        // Once per batch instead of once per frame: which byte order it is.
        if self.big {
            self.records::<true>(window, at, limit, frames)
        } else {
            self.records::<false>(window, at, limit, frames)
        }
    }

    fn records<const BIG: bool>(
        &self,
        window: &[u8],
        at: &mut usize,
        limit: usize,
        frames: &mut Vec<Frame>,
    ) -> Stop {
        let mut position = *at;
        let stop = loop {
            if frames.len() >= limit {
                break Stop::Full;
            }
            let Some(header) = window.get(position..).and_then(<[u8]>::first_chunk::<RECORD_HEADER>) else {
                break Stop::Short;
            };
            let (words, _) = header.as_chunks::<4>();
            let word = |index: usize| number32(words[index], BIG);
            let (captured, wire) = match (self.lengths, word(2), word(3)) {
                (Lengths::CapturedFirst, captured, wire) | (Lengths::WireFirst, wire, captured) => {
                    (captured, wire)
                }
                (Lengths::Smaller, one, other) => (one.min(other), one.max(other)),
            };
            if captured > self.limit {
                break Stop::Corrupt(Cow::Owned(format!(
                    "a packet length of {captured} bytes, where at most {} are possible",
                    self.limit
                )));
            }
            let offset = position + self.record_header;
            let end = offset + captured as usize;
            if end > window.len() {
                break Stop::Short;
            }
            let nanos = u64::from(word(0)) * 1_000_000_000 + u64::from(word(1)) * self.fraction;
            frames.push(Frame {
                at: Timestamp::from_nanos(nanos),
                offset,
                length: captured,
                wire_length: wire.max(captured),
                link: self.link,
                interface: 0,
            });
            position = end;
        };
        *at = position;
        stop
    }
}
