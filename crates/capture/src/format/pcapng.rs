//! pcapng (draft-ietf-opsawg-pcapng).

use std::borrow::Cow;

use dissect::wire::LinkType;
use model::Timestamp;

use super::{Stop, Unrecognised, max_frame, number16, number32};
use crate::batch::Frame;

/// Block types (clause 11.1).
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// The packet block, obsolete (appendix A).
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The section header's byte-order magic (clause 4.1).
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Options of the interface description (clause 4.2).
const OPTION_END: u16 = 0;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_OFFSET: u16 = 14;

/// Type, length and length again: what every block has (clause 3.1).
const BLOCK_OVERHEAD: usize = 12;
/// A section header without options.
const MIN_SECTION_HEADER: usize = 28;

/// A block that must be looked at is no longer than this, in bytes, unless an interface may have longer
/// frames: then as much as two of them. Blocks that nobody looks at may be of any length.
pub const MAX_BLOCK: u32 = 16 << 20;

/// A section describes at most this many interfaces, as many as a frame can name.
pub const MAX_INTERFACES: usize = 1 << 16;

/// What must be known of an interface to read its packets.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    limit: u32,
    /// The most bytes of a packet that were captured, 0 for all.
    snap: u32,
    clock: Clock,
}

/// How timestamps count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    unit: Unit,
    /// Seconds to be added to every timestamp (if_tsoffset).
    offset: i64,
}

/// How long a tick is (if_tsresol).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// So many nanoseconds.
    Nanos(u64),
    /// So many of them are a nanosecond.
    PerNano(u64),
    /// Two to so many of them are a second.
    Binary(u8),
}

impl Unit {
    /// From the option's value: a negative power of ten, or of two if the highest bit is set.
    fn from_resolution(resolution: u8) -> Self {
        match (resolution & 0x80 != 0, resolution & 0x7f) {
            (true, power) => Self::Binary(power),
            (false, power @ 0..=9) => Self::Nanos(10_u64.pow(9 - u32::from(power))),
            (false, power) => Self::PerNano(10_u64.checked_pow(u32::from(power) - 9).unwrap_or(u64::MAX)),
        }
    }
}

impl Clock {
    /// Microseconds since 1970, where nothing else is said (clause 4.2).
    const MICROS: Self = Self { unit: Unit::Nanos(1_000), offset: 0 };

    /// The moment of a timestamp, saturating at the ends of the range.
    #[inline]
    fn moment(self, high: u32, low: u32) -> Timestamp {
        let ticks = (u64::from(high) << 32) | u64::from(low);
        let nanos = match self.unit {
            Unit::Nanos(each) => ticks.saturating_mul(each),
            Unit::PerNano(many) => ticks / many,
            // 64 bits of ticks times 30 bits of nanoseconds fit well.
            Unit::Binary(power) => {
                u64::try_from((u128::from(ticks) * 1_000_000_000) >> power).unwrap_or(u64::MAX)
            }
        };
        let nanos = match self.offset {
            0 => nanos,
            offset => {
                let shifted = i128::from(nanos) + i128::from(offset) * 1_000_000_000;
                u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
            }
        };
        Timestamp::from_nanos(nanos)
    }
}

/// Reads a pcapng file.
#[derive(Debug)]
pub(crate) struct Pcapng {
    /// The byte order of the current section.
    big: bool,
    /// The interfaces of the current section.
    interfaces: Vec<Interface>,
    /// How long a block of the current section may be that must be looked at.
    most_length: u32,
    /// The time of the latest packet, for packets that have none of their own.
    latest: Timestamp,
}

impl Pcapng {
    /// The reader for a file that begins like this, or `None` if it is no pcapng file.
    pub(crate) fn recognise(start: &[u8]) -> Option<Result<Self, Unrecognised>> {
        if number32(*start.first_chunk()?, true) != SECTION_HEADER {
            return None;
        }
        let Some((words, _)) = start.first_chunk::<16>().map(|header| header.as_chunks::<4>()) else {
            return Some(Err(Unrecognised::CutHeader));
        };
        let big = byte_order(words[2])?;
        let [major_low, major_high, minor_low, minor_high] = words[3];
        let (major, minor) = (number16([major_low, major_high], big), number16([minor_low, minor_high], big));
        if major != 1 {
            return Some(Err(Unrecognised::Version { format: "pcapng", major, minor }));
        }
        Some(Ok(Self { big, interfaces: Vec::new(), most_length: MAX_BLOCK, latest: Timestamp::EPOCH }))
    }

    /// See [`super::Format::read`].
    pub(crate) fn read(
        &mut self,
        window: &[u8],
        at: &mut usize,
        limit: usize,
        frames: &mut Vec<Frame>,
    ) -> Stop {
        loop {
            if frames.len() >= limit {
                return Stop::Full;
            }
            let rest = window.get(*at..).unwrap_or(&[]);
            let Some((words, _)) = rest.first_chunk::<BLOCK_OVERHEAD>().map(|head| head.as_chunks::<4>())
            else {
                return Stop::Short;
            };
            // A section header reads the same in both byte orders and says which one holds from it on.
            let kind = number32(words[0], self.big);
            if kind == SECTION_HEADER {
                match byte_order(words[2]) {
                    Some(big) => self.big = big,
                    None => return Stop::Corrupt(Cow::Borrowed("a section without a valid byte-order mark")),
                }
            }
            let length = number32(words[1], self.big);
            let least = least_length(kind);
            if (length as usize) < least {
                return Stop::Corrupt(Cow::Owned(format!(
                    "a block of type {kind:#x} with a length of {length} bytes, where {least} are the least"
                )));
            }
            // Clause 3.1: a multiple of 4; some programs pad and leave the padding out of the length.
            let padded = (length as usize).saturating_add(3) & !3;
            let Some(block) = rest.get(..padded) else {
                if least == BLOCK_OVERHEAD {
                    return Stop::Skip(padded as u64);
                }
                let most = self.most_length;
                if length > most {
                    return Stop::Corrupt(Cow::Owned(format!(
                        "a block of type {kind:#x} with a length of {length} bytes, where {most} are the most"
                    )));
                }
                return Stop::Short;
            };
            let (Some(body), Some(trailer)) =
                (block.get(8..(length as usize).saturating_sub(4)), block.last_chunk::<4>())
            else {
                return Stop::Short;
            };
            let again = number32(*trailer, self.big);
            if again != length {
                return Stop::Corrupt(Cow::Owned(format!(
                    "a block whose length is {length} bytes at its start and {again} at its end"
                )));
            }
            let result = match kind {
                ENHANCED_PACKET => self.packet(body, *at, false, frames),
                SIMPLE_PACKET => self.simple_packet(body, *at, frames),
                PACKET => self.packet(body, *at, true, frames),
                INTERFACE_DESCRIPTION => self.interface(body),
                SECTION_HEADER => self.section(body),
                _ => Ok(()),
            };
            if let Err(reason) = result {
                return Stop::Corrupt(reason);
            }
            *at += padded;
        }
    }

    /// A section begins (clause 4.1): its interfaces are numbered anew.
    fn section(&mut self, body: &[u8]) -> Result<(), Cow<'static, str>> {
        self.interfaces.clear();
        self.most_length = MAX_BLOCK;
        let [low, high] = body.get(4..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match number16([low, high], self.big) {
            1 => Ok(()),
            major => Err(format!("a section of pcapng version {major}, which is not read").into()),
        }
    }

    /// An interface is described (clause 4.2).
    fn interface(&mut self, body: &[u8]) -> Result<(), Cow<'static, str>> {
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(format!("a section with more than {MAX_INTERFACES} interfaces").into());
        }
        let Some((fixed, mut options)) = body.split_first_chunk::<8>() else {
            return Err("an interface description without content".into());
        };
        let [link_low, link_high, _, _, snap @ ..] = *fixed;
        let link = LinkType(number16([link_low, link_high], self.big));
        let mut clock = Clock::MICROS;
        // Clause 3.5: type, length, value padded to four bytes; the end marker may be left out.
        while let Some(([kind_low, kind_high, length_low, length_high], rest)) =
            options.split_first_chunk::<4>()
        {
            let kind = number16([*kind_low, *kind_high], self.big);
            let length = usize::from(number16([*length_low, *length_high], self.big));
            if kind == OPTION_END {
                break;
            }
            let Some(value) = rest.get(..length) else {
                return Err("an interface description whose options are longer than it is".into());
            };
            match kind {
                OPTION_RESOLUTION => {
                    if let [resolution] = value {
                        clock.unit = Unit::from_resolution(*resolution);
                    }
                }
                OPTION_OFFSET => {
                    if let Some(offset) = value.first_chunk::<8>().filter(|_| length == 8) {
                        clock.offset =
                            if self.big { i64::from_be_bytes(*offset) } else { i64::from_le_bytes(*offset) };
                    }
                }
                _ => {}
            }
            options = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
        let snap = number32(snap, self.big);
        let limit = max_frame(link);
        self.most_length = self.most_length.max(limit * 2);
        self.interfaces.push(Interface { link, limit, snap, clock });
        Ok(())
    }

    /// An enhanced packet (clause 4.3), or the obsolete packet block, whose interface number is half as
    /// long and followed by a drop count. `at` is where the block begins in the window.
    #[inline]
    fn packet(
        &mut self,
        body: &[u8],
        at: usize,
        obsolete: bool,
        frames: &mut Vec<Frame>,
    ) -> Result<(), Cow<'static, str>> {
        let Some((fixed, content)) = body.split_first_chunk::<20>() else {
            return Err("a packet without its header".into());
        };
        let (words, _) = fixed.as_chunks::<4>();
        let word = |index: usize| number32(words[index], self.big);
        let number = match (obsolete, words[0]) {
            (false, _) => word(0),
            (true, [low, high, _, _]) => u32::from(number16([low, high], self.big)),
        };
        let Some(interface) = self.interfaces.get(number as usize) else {
            return Err(format!("a packet on interface {number}, which was not described").into());
        };
        let (captured, wire) = (word(3), word(4));
        check_length(captured, interface.limit, content.len())?;
        self.latest = interface.clock.moment(word(1), word(2));
        frames.push(Frame {
            at: self.latest,
            offset: at + 8 + 20,
            length: captured,
            wire_length: wire.max(captured),
            link: interface.link,
            interface: number as u16,
        });
        Ok(())
    }

    /// A simple packet (clause 4.4): of the first interface, without a time; the latest one is assumed.
    fn simple_packet(
        &self,
        body: &[u8],
        at: usize,
        frames: &mut Vec<Frame>,
    ) -> Result<(), Cow<'static, str>> {
        let Some((wire, content)) = body.split_first_chunk::<4>() else {
            return Err("a packet without its header".into());
        };
        let Some(interface) = self.interfaces.first() else {
            return Err("a packet before any interface was described".into());
        };
        let wire = number32(*wire, self.big);
        let captured = if interface.snap == 0 { wire } else { wire.min(interface.snap) };
        check_length(captured, interface.limit, content.len())?;
        frames.push(Frame {
            at: self.latest,
            offset: at + 8 + 4,
            length: captured,
            wire_length: wire,
            link: interface.link,
            interface: 0,
        });
        Ok(())
    }
}

/// Whether a packet may be that long, and lies in its block.
#[inline]
fn check_length(captured: u32, limit: u32, content: usize) -> Result<(), Cow<'static, str>> {
    if captured > limit {
        return Err(format!("a packet length of {captured} bytes, where at most {limit} are possible").into());
    }
    if captured as usize > content {
        return Err(format!("a packet of {captured} bytes in a block that has room for {content}").into());
    }
    Ok(())
}

/// Whether the byte-order magic says most significant byte first; `None` if it is none.
fn byte_order(magic: [u8; 4]) -> Option<bool> {
    match (u32::from_be_bytes(magic), u32::from_le_bytes(magic)) {
        (BYTE_ORDER, _) => Some(true),
        (_, BYTE_ORDER) => Some(false),
        _ => None,
    }
}

/// The least length of a block that is looked at; the overhead alone for those that are not.
const fn least_length(kind: u32) -> usize {
    match kind {
        SECTION_HEADER => MIN_SECTION_HEADER,
        INTERFACE_DESCRIPTION => BLOCK_OVERHEAD + 8,
        ENHANCED_PACKET | PACKET => BLOCK_OVERHEAD + 20,
        SIMPLE_PACKET => BLOCK_OVERHEAD + 4,
        _ => BLOCK_OVERHEAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(resolution: u8, offset: i64, ticks: u64) -> u64 {
        let clock = Clock { unit: Unit::from_resolution(resolution), offset };
        clock.moment((ticks >> 32) as u32, ticks as u32).as_nanos()
    }

    #[test]
    fn ticks_of_every_resolution_become_nanoseconds() {
        assert_eq!(nanos(6, 0, 1_700_000_000_123_456), 1_700_000_000_123_456_000);
        assert_eq!(nanos(9, 0, 1_700_000_000_123_456_789), 1_700_000_000_123_456_789);
        assert_eq!(nanos(0, 0, 1_700_000_000), 1_700_000_000_000_000_000);
        assert_eq!(nanos(12, 0, 1_234_567_890), 1_234_567);
        // Binary: 2 to the 32 ticks are a second.
        assert_eq!(nanos(0x80 | 32, 0, 3 << 31), 1_500_000_000);
        assert_eq!(nanos(0x80, 0, 7), 7_000_000_000);
    }

    #[test]
    fn times_outside_the_range_stop_at_its_ends() {
        assert_eq!(nanos(0, 0, u64::MAX), u64::MAX);
        assert_eq!(nanos(0x80, 0, u64::MAX), u64::MAX);
        assert_eq!(nanos(127, 0, 5), 0);
        assert_eq!(nanos(0xff, 0, u64::MAX), 0);
        assert_eq!(nanos(9, i64::MIN, 1), 0);
        assert_eq!(nanos(9, i64::MAX, 1), u64::MAX);
        assert_eq!(nanos(6, 100, 5), 100_000_005_000);
    }
}
