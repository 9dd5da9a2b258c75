//! IEEE 802.11 data frames (IEEE 802.11 clause 9) under radiotap, and the pseudo-headers of IEEE 802.15.4.

use model::MacAddr;

use super::Oddity;

/// Passes over a radiotap header; says whether the frame ends with a frame check sequence.
pub(super) fn radiotap(bytes: &[u8]) -> Result<(bool, &[u8]), Oddity> {
    /// More words of presence bits than this are taken for nonsense.
    const MAX_PRESENT: usize = 16;
    const TIMER: u32 = 1;
    const FLAGS: u32 = 1 << 1;
    const MORE_PRESENT: u32 = 1 << 31;
    const HAS_CHECK_SEQUENCE: u8 = 0x10;

    let (h, _) = bytes.split_first_chunk::<8>().ok_or(Oddity::LinkTruncated)?;
    let length = usize::from(u16::from_le_bytes([h[2], h[3]]));
    let frame = bytes.get(length.max(8)..).ok_or(Oddity::LinkTruncated)?;
    let present = u32::from_le_bytes([h[4], h[5], h[6], h[7]]);
    // Fields stand in the order of their bits, aligned to their size: timer (8 bytes), then flags.
    let mut at = 8_usize;
    let mut word = present;
    for _ in 0..MAX_PRESENT {
        if word & MORE_PRESENT == 0 {
            break;
        }
        let Some(next) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else { break };
        word = u32::from_le_bytes(*next);
        at += 4;
    }
    if present & TIMER != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    let flags = if present & FLAGS != 0 && at < length { bytes.get(at).copied() } else { None };
    Ok((flags.unwrap_or(0) & HAS_CHECK_SEQUENCE != 0, frame))
}

/// A frame of IEEE 802.11.
pub(super) struct View<'a> {
    pub(super) source: Option<MacAddr>,
    pub(super) destination: Option<MacAddr>,
    /// What a data frame carries, from its LLC header; `None` in all other frames, and where it is
    /// encrypted, empty, or several payloads in one frame.
    pub(super) data: Option<&'a [u8]>,
    /// All that follows the first address.
    pub(super) body: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let [kind, flags, ..] = *bytes else { return Err(Oddity::LinkTruncated) };
        Self::with_control(bytes, kind, flags)
    }

    /// As CAPWAP carries frames: many access points send the two bytes of frame control the other way
    /// round. Only data frames are carried, which shows the order.
    pub(super) fn tunnelled(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let [first, second, ..] = *bytes else { return Err(Oddity::LinkTruncated) };
        let is_data = |kind: u8| kind & 0x0f == 0x08;
        if is_data(second) && !is_data(first) {
            Self::with_control(bytes, second, first)
        } else {
            Self::with_control(bytes, first, second)
        }
    }

    fn with_control(bytes: &'a [u8], kind: u8, flags: u8) -> Result<Self, Oddity> {
        const CONTROL: u8 = 1;
        const DATA: u8 = 2;
        let address = |at: usize| -> Option<MacAddr> {
            bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map(MacAddr)
        };
        let first = address(4).ok_or(Oddity::LinkTruncated)?;
        let body = bytes.get(10..).unwrap_or_default();
        let kind_of_frame = kind >> 2 & 3;
        if kind_of_frame == CONTROL {
            return Ok(Self { source: address(10), destination: Some(first), data: None, body });
        }
        let second = address(10).ok_or(Oddity::LinkTruncated)?;
        let third = address(16).ok_or(Oddity::LinkTruncated)?;
        if kind_of_frame != DATA {
            return Ok(Self { source: Some(second), destination: Some(first), data: None, body });
        }
        // Clause 9.3.2.1: which address is whose depends on the directions into and out of the system.
        let (to_system, from_system) = (flags & 1 != 0, flags & 2 != 0);
        let mut length = 24;
        let (source, destination) = match (to_system, from_system) {
            (false, false) => (Some(second), first),
            (false, true) => (Some(third), first),
            (true, false) => (Some(second), third),
            (true, true) => {
                length += 6;
                (address(24), third)
            }
        };
        let subtype = kind >> 4;
        let (quality_of_service, no_data) = (subtype & 8 != 0, subtype & 4 != 0);
        let (protected, ordered) = (flags & 0x40 != 0, flags & 0x80 != 0);
        // Clause 9.2.4.5: bit 7 of the quality-of-service field says that several payloads follow.
        let several = quality_of_service && bytes.get(length).is_some_and(|control| control & 0x80 != 0);
        length += if quality_of_service { 2 + 4 * usize::from(ordered) } else { 0 };
        let data = bytes.get(length..).filter(|_| !protected && !no_data && !several);
        Ok(Self { source, destination: Some(destination), data, body })
    }
}

/// Passes over a TAP header of IEEE 802.15.4; says how long the frame check sequence is.
pub(super) fn wpan_tap(bytes: &[u8]) -> Result<(usize, &[u8]), Oddity> {
    /// More values than this in one header are taken for nonsense.
    const MAX_VALUES: usize = 64;
    const CHECK_SEQUENCE: u16 = 0;

    let (h, _) = bytes.split_first_chunk::<4>().ok_or(Oddity::WpanTruncated)?;
    let length = usize::from(u16::from_le_bytes([h[2], h[3]]));
    let (header, frame) = bytes.split_at_checked(length.max(4)).ok_or(Oddity::WpanTruncated)?;
    let mut check_sequence = 0;
    let mut values = header.get(4..).unwrap_or_default();
    for _ in 0..MAX_VALUES {
        let Some((&[a, b, c, d], rest)) = values.split_first_chunk() else { break };
        let (number, length) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        if let (CHECK_SEQUENCE, [kind, ..]) = (number, rest) {
            check_sequence = match kind {
                1 => 2,
                2 => 4,
                _ => 0,
            };
        }
        values = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok((check_sequence, frame))
}
