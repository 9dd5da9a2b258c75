//! Classic captures (draft-ietf-opsawg-pcap): labels are by packet number, clean captures must be
//! moved in time, and what is no capture becomes one.

use std::time::Duration;

use model::{MacAddr, Timestamp};

use super::label::{Ends, Name, Span};

/// LINKTYPE_CAN_SOCKETCAN.
const CAN: u32 = 227;
/// The flag of a 29-bit identifier in a SocketCAN frame.
const CAN_EXTENDED: u32 = 0x8000_0000;
/// How a pcapng file begins.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const HEAD: usize = 24;
const RECORD: usize = 16;

/// A capture in memory.
pub(crate) struct Capture {
    bytes: Vec<u8>,
    is_big: bool,
    nanos_per_tick: u64,
}

/// A packet of a capture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) at: Timestamp,
    pub(crate) frame: &'a [u8],
}

/// When the packets of a capture were seen, classic pcap or pcapng.
pub(crate) fn span_of(bytes: Vec<u8>) -> Result<Option<Span>, String> {
    if bytes.first_chunk() == Some(&SECTION) {
        Ok(pcapng_span(&bytes))
    } else {
        Ok(Capture::new(bytes)?.span())
    }
}

/// The same for pcapng (draft-ietf-opsawg-pcapng), as far as its blocks are whole.
fn pcapng_span(bytes: &[u8]) -> Option<Span> {
    const INTERFACE: u32 = 1;
    const PACKET: u32 = 6;
    let (mut rest, mut is_big, mut ticks) = (bytes, false, Vec::new());
    let mut span: Option<Span> = None;
    while let Some((head, _)) = rest.split_first_chunk::<12>() {
        let is_section = head.starts_with(&SECTION);
        if is_section {
            is_big = head[8] == 0x1a;
            ticks.clear();
        }
        let number = |at: &[u8]| {
            let word = at.first_chunk::<4>().copied().unwrap_or_default();
            if is_big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        let (kind, length) = (number(&head[..4]), number(&head[4..8]) as usize);
        let Some((block, next)) = rest.split_at_checked(length.next_multiple_of(4).max(12)) else { break };
        match kind {
            INTERFACE => ticks.push(nanos_per_tick(block.get(16..).unwrap_or_default(), is_big)),
            PACKET => {
                let word = |at: usize| block.get(at..).map_or(0, number);
                let each = ticks.get(word(8) as usize).copied().unwrap_or(1_000);
                let count = u64::from(word(12)) << 32 | u64::from(word(16));
                let at = Timestamp::from_nanos(count.saturating_mul(each));
                let known = span.get_or_insert(Span::at(at));
                (known.first, known.last) = (known.first.min(at), known.last.max(at));
            }
            _ => {}
        }
        rest = next;
    }
    span
}

/// How long a tick of an interface is, by its options; finer ones than a nanosecond are taken for one.
fn nanos_per_tick(mut options: &[u8], is_big: bool) -> u64 {
    const RESOLUTION: u16 = 9;
    while let Some(([a, b, c, d], rest)) = options.split_first_chunk::<4>() {
        let number = |pair: [u8; 2]| if is_big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        let (kind, length) = (number([*a, *b]), usize::from(number([*c, *d])));
        if let (RESOLUTION, Some(power @ 0..=9)) = (kind, rest.first()) {
            return 10_u64.pow(9 - u32::from(*power));
        }
        options = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    1_000
}

impl Capture {
    /// Takes the bytes of a capture.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let magic = bytes.first_chunk::<4>().map(|magic| u32::from_be_bytes(*magic));
        let (is_big, nanos_per_tick) = match magic {
            Some(0xa1b2_c3d4) => (true, 1_000),
            Some(0xd4c3_b2a1) => (false, 1_000),
            Some(0xa1b2_3c4d) => (true, 1),
            Some(0x4d3c_b2a1) => (false, 1),
            _ => return Err("not a classic pcap file".into()),
        };
        Ok(Self { bytes, is_big, nanos_per_tick })
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let four = *self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.is_big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    /// Where each whole packet's record begins, and its packet.
    fn records(&self) -> impl Iterator<Item = (usize, Packet<'_>)> {
        let mut next = HEAD;
        std::iter::from_fn(move || {
            let at = next;
            let (seconds, ticks) = (self.u32_at(at)?, self.u32_at(at + 4)?);
            let length = usize::try_from(self.u32_at(at + 8)?).ok()?;
            let frame = self.bytes.get(at + RECORD..)?.get(..length)?;
            next = at + RECORD + length;
            let nanos = u64::from(seconds) * 1_000_000_000 + u64::from(ticks) * self.nanos_per_tick;
            Some((at, Packet { at: Timestamp::from_nanos(nanos), frame }))
        })
    }

    /// The packets in the order of the file.
    pub(crate) fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.records().map(|(_, packet)| packet)
    }

    /// From the first packet to the last; none if there are no packets.
    pub(crate) fn span(&self) -> Option<Span> {
        let first = self.packets().map(|packet| packet.at).min()?;
        let last = self.packets().map(|packet| packet.at).max()?;
        Some(Span { first, last })
    }

    /// Moves the capture by whole days, so that the hours stay the same, until it ends before `moment`.
    /// One that does so already stays as it is.
    pub(crate) fn end_before(&mut self, moment: Timestamp) {
        const DAY_S: u64 = 86_400;
        let Some(span) = self.span() else { return };
        if span.last < moment {
            return;
        }
        let days = span.last.since(moment).as_secs() / DAY_S + 1;
        let back = u32::try_from(days * DAY_S).unwrap_or(u32::MAX);
        let records: Vec<usize> = self.records().map(|(at, _)| at).collect();
        for at in records {
            let Some(seconds) = self.u32_at(at) else { continue };
            let moved = seconds.saturating_sub(back);
            let moved = if self.is_big { moved.to_be_bytes() } else { moved.to_le_bytes() };
            self.bytes[at..at + 4].copy_from_slice(&moved);
        }
    }

    /// The file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The hosts of an Ethernet frame: link-layer addresses, and network addresses below any VLAN tags.
pub(crate) fn hosts(frame: &[u8]) -> Vec<Name> {
    let mut hosts: Vec<Name> = macs(frame).into_iter().flatten().map(Name::Mac).collect();
    if let Some(ip) = ip(frame) {
        hosts.extend(ip.hosts);
    }
    hosts
}

/// What tells the conversation of an Ethernet frame: addresses and ports, or link-layer addresses where
/// there is no network layer.
pub(crate) fn ends(frame: &[u8]) -> Option<Ends> {
    let mut ends = match ip(frame) {
        Some(ip) => [(ip.hosts[0], ip.ports[0]), (ip.hosts[1], ip.ports[1])],
        None => macs(frame)?.map(|mac| (Name::Mac(mac), 0)),
    };
    ends.sort();
    Some(ends)
}

fn macs(frame: &[u8]) -> Option<[MacAddr; 2]> {
    let (to, rest) = frame.split_first_chunk::<6>()?;
    Some([MacAddr(*rest.first_chunk::<6>()?), MacAddr(*to)])
}

struct Ip {
    hosts: [Name; 2],
    ports: [u16; 2],
}

fn ip(frame: &[u8]) -> Option<Ip> {
    let mut at = 12;
    let mut kind = u16_at(frame, at)?;
    while matches!(kind, 0x8100 | 0x88a8) {
        at += 4;
        kind = u16_at(frame, at)?;
    }
    let packet = frame.get(at + 2..)?;
    let (hosts, protocol, above) = match kind {
        0x0800 => {
            let at = |at: usize| Some(Name::Ip((*packet.get(at..)?.first_chunk::<4>()?).into()));
            let above = usize::from(packet.first()? & 15) * 4;
            ([at(12)?, at(16)?], *packet.get(9)?, above)
        }
        0x86dd => {
            let at = |at: usize| Some(Name::Ip((*packet.get(at..)?.first_chunk::<16>()?).into()));
            ([at(8)?, at(24)?], *packet.get(6)?, 40)
        }
        _ => return None,
    };
    let ports = match protocol {
        6 | 17 | 132 => [u16_at(packet, above)?, u16_at(packet, above + 2)?],
        _ => [0; 2],
    };
    Some(Ip { hosts, ports })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

/// A frame of a CAN bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CanFrame {
    pub(crate) at: Timestamp,
    pub(crate) id: u32,
    pub(crate) data: Vec<u8>,
}

/// A capture of a CAN bus, of which logs tell the time since they began. `extended` says that all
/// identifiers have 29 bits. Frames have at most 8 bytes; what is more is left out.
pub(crate) fn can_capture(frames: &[CanFrame], begin: Timestamp, extended: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + frames.len() * (RECORD + 16));
    for word in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, CAN] {
        bytes.extend(word.to_le_bytes());
    }
    for frame in frames {
        let at = begin + Duration::from_nanos(frame.at.as_nanos());
        let data = &frame.data[..frame.data.len().min(8)];
        let length = 8 + data.len() as u32;
        let micros = (at.as_nanos() % 1_000_000_000 / 1_000) as u32;
        for word in [u32::try_from(at.as_secs()).unwrap_or(u32::MAX), micros, length, length] {
            bytes.extend(word.to_le_bytes());
        }
        let flag = if extended { CAN_EXTENDED } else { 0 };
        bytes.extend((frame.id | flag).to_be_bytes());
        bytes.extend([data.len() as u8, 0, 0, 0]);
        bytes.extend(data);
    }
    bytes
}

/// The bytes that hexadecimal digits stand for; blanks do not matter.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_digit(16).ok_or_else(|| format!("{text}: not hexadecimal")))
        .collect::<Result<_, _>>()?;
    Ok(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<CanFrame> {
        let frame = |micros, id, data| CanFrame { at: Timestamp::from_micros(micros), id, data };
        vec![frame(0, 0x10, vec![1, 2]), frame(1_500_000, 0x0c00_000b, unhex("C9 70 ff").unwrap())]
    }

    #[test]
    fn when_packets_were_seen_is_known_of_either_format() {
        let block = |kind: u32, body: &[u8]| {
            let length = (body.len() as u32 + 12).to_le_bytes();
            [&kind.to_le_bytes()[..], &length, body, &length].concat()
        };
        let section =
            block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        // Milliseconds on the second interface, microseconds on the first.
        let first = block(1, &[1, 0, 0, 0, 0, 0, 0, 0]);
        let second = block(1, &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        let packet = |interface: u32, ticks: u32| {
            block(6, &[interface, 0, ticks, 0, 0].map(u32::to_le_bytes).concat())
        };
        let file =
            [section, first, second, packet(1, 5_000), packet(0, 2_000_000), packet(0, 7_000_000)].concat();
        let span = span_of(file.clone()).unwrap().unwrap();
        assert_eq!((span.first, span.last), (Timestamp::from_secs(2), Timestamp::from_secs(7)));
        let cut = span_of(file[..file.len() - 1].to_vec()).unwrap().unwrap();
        assert_eq!(cut.last, Timestamp::from_secs(5));
        assert!(span_of(b"neither".to_vec()).is_err());
    }

    #[test]
    fn frames_of_a_bus_become_a_capture_that_is_read_back() {
        let begin = Timestamp::from_secs(1_000_000);
        let capture = Capture::new(can_capture(&frames(), begin, true)).unwrap();
        let read: Vec<_> = capture.packets().map(|packet| (packet.at, packet.frame.to_vec())).collect();
        assert_eq!(read[0].1, [0x80, 0, 0, 0x10, 2, 0, 0, 0, 1, 2]);
        assert_eq!(read[1].0, begin + Duration::from_millis(1_500));
        assert_eq!(read[1].1, [0x8c, 0, 0, 0x0b, 3, 0, 0, 0, 0xc9, 0x70, 0xff]);
    }

    #[test]
    fn a_capture_is_moved_back_by_whole_days_if_it_must() {
        let day = 86_400;
        let made = || Capture::new(can_capture(&frames(), Timestamp::from_secs(10 * day), false)).unwrap();
        let mut capture = made();
        capture.end_before(Timestamp::from_secs(8 * day));
        assert_eq!(capture.span().unwrap().first, Timestamp::from_secs(7 * day));
        let mut capture = made();
        capture.end_before(Timestamp::from_secs(11 * day));
        assert_eq!(capture.span(), made().span());
    }

    #[test]
    fn ends_of_a_frame_are_the_same_both_ways() {
        let mut there = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 5, 8, 0];
        there.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 4, 0, 1, 0xf6]);
        let mut back = there.clone();
        back[30..38].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
        back[38..42].copy_from_slice(&[1, 0xf6, 4, 0]);
        let one = |text| Name::read(text).unwrap();
        let expected = [(one("10.0.0.1"), 1024), (one("10.0.0.2"), 502)];
        assert_eq!((ends(&there), ends(&back)), (Some(expected), Some(expected)));
        assert_eq!(hosts(&there)[..2], [one("02:00:00:00:00:01"), one("02:00:00:00:00:02")]);
        // ARP has no network layer; a frame that is cut off has no ends at all.
        there[16..18].copy_from_slice(&[8, 6]);
        assert_eq!(ends(&there).unwrap()[0], (one("02:00:00:00:00:01"), 0));
        for length in 0..there.len() {
            ends(&there[..length]);
        }
        assert_eq!(ends(&there[..11]), None);
    }

    #[test]
    fn what_is_no_capture_is_refused_and_a_cut_off_one_ends_early() {
        assert!(Capture::new(b"hello".to_vec()).is_err());
        let mut bytes = can_capture(&frames(), Timestamp::EPOCH, false);
        bytes.pop();
        assert_eq!(Capture::new(bytes).unwrap().packets().count(), 1);
        assert!(unhex("0g").is_err());
    }
}
