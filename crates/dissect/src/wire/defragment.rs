//! Puts datagrams together again that were sent in pieces (RFC 791 clause 3.2, RFC 8200 clause 4.5),
//! within a budget.
//!
//! Hosts differ in what they do with pieces that overlap, which is how evasions work. Here the bytes
//! that came first stay, and overlapping bytes that differ are an oddity: whatever the receiver made of
//! them, nobody sends that by accident. (RFC 5722 has receivers of IPv6 drop such a datagram; seeing what
//! it carried is worth more here.)

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use model::Timestamp;

use super::{Network, Oddities, Oddity, Packet, TransportInfo, decode_ip_payload};

/// How long a datagram may take to arrive, from its first piece, by packet time.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How many datagrams may be incomplete at once; the oldest goes when one more begins.
pub const MAX_DATAGRAMS: usize = 4096;
/// How many bytes incomplete datagrams may take, pieces and their bookkeeping; the oldest go first.
pub const MAX_BYTES: usize = 16 << 20;
/// In how many pieces a datagram may come. The longest takes 120 over links of 576 bytes.
pub const MAX_PIECES: usize = 256;
/// How long a datagram's payload may be, in bytes.
pub const MAX_PAYLOAD: usize = u16::MAX as usize;
/// What a piece costs beside its bytes, about.
const PIECE_COST: usize = 48;
/// What a datagram costs beside its pieces, about: its state and its key in two tables.
const DATAGRAM_COST: usize = 384;

/// What the pieces of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    /// IPv4 only (RFC 791 clause 3.2): the pieces of an IPv6 datagram may disagree, the first decides.
    protocol: u8,
    vlans: [u16; 2],
    tunnel: u32,
}

/// A run of bytes of a datagram's payload, at its offset.
#[derive(Debug)]
struct Piece {
    offset: usize,
    bytes: Box<[u8]>,
}

impl Piece {
    const fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

/// A datagram under construction.
#[derive(Debug)]
struct Datagram {
    /// Its place among all, by age.
    serial: u64,
    first: Timestamp,
    /// In order of their offsets; none overlaps another.
    pieces: Vec<Piece>,
    /// How many fragments brought them.
    fragments: u32,
    /// How many bytes they hold.
    held: usize,
    /// How long the payload is, once the last piece was seen.
    total: Option<usize>,
    /// The header of the piece at offset 0, without payload.
    header: Option<Packet<'static>>,
    overlap: bool,
}

impl Datagram {
    fn cost(&self) -> usize {
        DATAGRAM_COST + self.held + self.pieces.len() * PIECE_COST
    }

    /// Where a piece that lies between `offset` and `end` would be wrong: beyond the end, or moving it.
    fn contradicts(&self, end: usize, more: bool) -> bool {
        match self.total {
            Some(total) => end > total || (!more && end != total),
            None => !more && self.pieces.last().is_some_and(|last| last.end() > end),
        }
    }

    /// Takes those bytes that were not there before; says whether any that were are different.
    fn fill(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let end = offset + bytes.len();
        let mut differs = false;
        let mut at = offset;
        let mut place = self.pieces.partition_point(|piece| piece.end() <= offset);
        while at < end {
            let (start, stop) = match self.pieces.get(place) {
                Some(piece) if piece.offset < end => (piece.offset, piece.end()),
                _ => (end, end),
            };
            if at < start {
                let new: Box<[u8]> = bytes.get(at - offset..start - offset).unwrap_or_default().into();
                self.held += new.len();
                self.pieces.insert(place, Piece { offset: at, bytes: new });
                place += 1;
            }
            if let Some(piece) = self.pieces.get(place).filter(|_| start < end) {
                let (from, to) = (start.max(offset), stop.min(end));
                let known = piece.bytes.get(from - start..to - start);
                differs |= known != bytes.get(from - offset..to - offset);
                place += 1;
            }
            at = stop;
        }
        differs
    }

    fn is_complete(&self) -> bool {
        self.header.is_some() && self.total == Some(self.held)
    }
}

/// A datagram that is whole again.
#[derive(Clone, Debug)]
pub struct Reassembled {
    header: Packet<'static>,
    payload: Vec<u8>,
    /// In how many fragments it came.
    pub fragments: u32,
}

impl Reassembled {
    /// The datagram as if it had come in one piece, taken apart as far as it is understood. It may hold
    /// a tunnel whose inner datagram is a fragment again; whoever goes round should count.
    pub fn decode(&self) -> Packet<'_> {
        decode_ip_payload(&self.header, &self.payload)
    }

    /// What the datagram carries.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// What became of a packet.
#[derive(Debug)]
pub enum Outcome {
    /// It is no fragment.
    Whole,
    /// It was kept; the datagram is not complete.
    Kept,
    /// It was not kept, for this reason if it is the packet's own fault.
    Dropped(Option<Oddity>),
    /// It was the last one missing.
    Complete(Box<Reassembled>),
}

/// What was done and what was given up, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Fragments seen.
    pub fragments: u64,
    /// Datagrams completed.
    pub completed: u64,
    /// Datagrams of which pieces were missing after [`TIMEOUT`].
    pub timed_out: u64,
    /// Datagrams that had to make room ([`MAX_DATAGRAMS`], [`MAX_BYTES`]).
    pub evicted: u64,
    /// Datagrams given up because of [`MAX_PIECES`].
    pub too_many_pieces: u64,
    /// Fragments that can be part of no datagram: lengths that contradict, or cut by the snap length.
    pub refused: u64,
    /// Datagrams some of whose pieces overlapped with different bytes.
    pub overlapped: u64,
    /// Fragments that were given up with their datagrams (timed out, evicted, too many pieces).
    pub lost_fragments: u64,
    /// Bytes of those fragments.
    pub lost_bytes: u64,
}

/// Why a datagram is given up.
#[derive(Clone, Copy)]
enum Loss {
    TimedOut,
    Evicted,
    TooManyPieces,
}

/// Collects fragments until their datagrams are whole.
///
/// Deterministic: what comes out depends only on the packets and their times.
#[derive(Debug, Default)]
pub struct Defragmenter {
    datagrams: HashMap<Key, Datagram>,
    /// By age, oldest first.
    order: BTreeMap<u64, Key>,
    next_serial: u64,
    bytes: usize,
    counters: Counters,
}

impl Defragmenter {
    /// One that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was done so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How many datagrams are incomplete.
    pub fn pending(&self) -> usize {
        self.datagrams.len()
    }

    /// How many bytes they take, bookkeeping included.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a packet that came at `at`.
    pub fn push(&mut self, packet: &Packet<'_>, at: Timestamp) -> Outcome {
        let Network::Ip { source, destination, protocol, fragment: Some(fragment), .. } = packet.network
        else {
            return Outcome::Whole;
        };
        self.counters.fragments += 1;
        self.expire(at);

        let offset = fragment.offset as usize;
        let end = offset.saturating_add(packet.payload.len());
        // A middle piece that ends off the units of eight bytes leaves a gap that nothing can fill.
        let bad_length =
            fragment.more && (packet.payload.is_empty() || !packet.payload.len().is_multiple_of(8));
        if packet.cut > 0 {
            self.counters.refused += 1;
            return Outcome::Dropped(None);
        }
        if bad_length || end > MAX_PAYLOAD {
            self.counters.refused += 1;
            return Outcome::Dropped(Some(Oddity::FragmentLength));
        }

        let key = Key {
            source,
            destination,
            id: fragment.id,
            protocol: if source.is_ipv4() { protocol } else { 0 },
            vlans: packet.vlans,
            tunnel: packet.tunnel,
        };
        if !self.datagrams.contains_key(&key) {
            self.begin(key, at);
        }
        let Some(datagram) = self.datagrams.get_mut(&key) else { return Outcome::Dropped(None) };
        if datagram.contradicts(end, fragment.more) {
            self.counters.refused += 1;
            return Outcome::Dropped(Some(Oddity::FragmentLength));
        }
        let before = datagram.cost();
        datagram.fragments += 1;
        if !fragment.more {
            datagram.total = Some(end);
        }
        if offset == 0 && datagram.header.is_none() {
            datagram.header = Some(without_payload(packet));
        }
        if datagram.fill(offset, packet.payload) && !datagram.overlap {
            datagram.overlap = true;
            self.counters.overlapped += 1;
        }
        self.bytes = self.bytes + datagram.cost() - before;
        if datagram.is_complete() {
            return self.complete(&key);
        }
        if datagram.fragments as usize >= MAX_PIECES {
            self.lose(&key, Loss::TooManyPieces);
            return Outcome::Dropped(Some(Oddity::FragmentCount));
        }
        while self.bytes > MAX_BYTES && self.evict_oldest() {}
        Outcome::Kept
    }

    /// Gives up what is too old. Called by [`push`](Self::push); of use otherwise only when no fragments
    /// come any more.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some(key) = self.order.first_entry().map(|oldest| *oldest.get()) {
            match self.datagrams.get(&key) {
                Some(oldest) if now.since(oldest.first) < TIMEOUT => return,
                _ => self.lose(&key, Loss::TimedOut),
            }
        }
    }

    fn begin(&mut self, key: Key, at: Timestamp) {
        while self.datagrams.len() >= MAX_DATAGRAMS && self.evict_oldest() {}
        let datagram = Datagram {
            serial: self.next_serial,
            first: at,
            pieces: Vec::new(),
            fragments: 0,
            held: 0,
            total: None,
            header: None,
            overlap: false,
        };
        self.next_serial += 1;
        self.bytes += datagram.cost();
        self.order.insert(datagram.serial, key);
        self.datagrams.insert(key, datagram);
    }

    fn evict_oldest(&mut self) -> bool {
        let oldest = self.order.first_entry().map(|oldest| *oldest.get());
        if let Some(key) = oldest {
            self.lose(&key, Loss::Evicted);
        }
        oldest.is_some()
    }

    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.order.remove(&datagram.serial);
        self.bytes -= datagram.cost();
        Some(datagram)
    }

    fn lose(&mut self, key: &Key, why: Loss) {
        let Some(datagram) = self.remove(key) else { return };
        self.counters.lost_fragments += u64::from(datagram.fragments);
        self.counters.lost_bytes += datagram.held as u64;
        match why {
            Loss::TimedOut => self.counters.timed_out += 1,
            Loss::Evicted => self.counters.evicted += 1,
            Loss::TooManyPieces => self.counters.too_many_pieces += 1,
        }
    }

    fn complete(&mut self, key: &Key) -> Outcome {
        let Some(Datagram { pieces, held, header: Some(mut header), fragments, overlap, .. }) =
            self.remove(key)
        else {
            return Outcome::Kept;
        };
        self.counters.completed += 1;
        if overlap {
            header.oddities.add(Oddity::FragmentOverlap);
        }
        let mut payload = Vec::with_capacity(held);
        for piece in pieces {
            payload.extend_from_slice(&piece.bytes);
        }
        Outcome::Complete(Box::new(Reassembled { header, payload, fragments }))
    }
}

/// The header of a fragment, free of the frame it came in. Its oddities were told with the fragment.
fn without_payload(packet: &Packet<'_>) -> Packet<'static> {
    let Packet { source_mac, destination_mac, vlans, tunnel, network, .. } = *packet;
    Packet {
        source_mac,
        destination_mac,
        vlans,
        tunnel,
        network,
        transport: TransportInfo::None,
        payload: &[],
        cut: 0,
        oddities: Oddities::NONE,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::Fragment;

    fn fragment(id: u32, offset: usize, more: bool, payload: &[u8]) -> Packet<'_> {
        Packet {
            source_mac: None,
            destination_mac: None,
            vlans: [7, 0],
            tunnel: 0,
            network: Network::Ip {
                source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
                destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
                ttl: 64,
                protocol: 17,
                fragment: Some(Fragment { id, offset: offset as u32, more }),
            },
            transport: TransportInfo::None,
            payload,
            cut: 0,
            oddities: Oddities::NONE,
        }
    }

    /// A UDP datagram from port 1000 to 2000 that carries `data`.
    fn udp(data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + data.len()).unwrap().to_be_bytes();
        let mut bytes = vec![0x03, 0xe8, 0x07, 0xd0, length[0], length[1], 0, 0];
        bytes.extend_from_slice(data);
        bytes
    }

    fn whole(outcome: Outcome) -> Reassembled {
        match outcome {
            Outcome::Complete(datagram) => *datagram,
            other => panic!("not complete: {other:?}"),
        }
    }

    #[test]
    fn a_datagram_in_two_pieces_is_read_as_if_it_had_come_whole() {
        let bytes = udp(b"sixteen byteshere");
        let mut defragmenter = Defragmenter::new();
        assert!(matches!(
            defragmenter.push(&fragment(1, 16, false, &bytes[16..]), Timestamp::EPOCH),
            Outcome::Kept
        ));
        let datagram = whole(defragmenter.push(&fragment(1, 0, true, &bytes[..16]), Timestamp::EPOCH));
        let packet = datagram.decode();
        assert_eq!(packet.transport, TransportInfo::Udp { source: 1000, destination: 2000 });
        assert_eq!(packet.payload, b"sixteen byteshere");
        assert_eq!(packet.vlans, [7, 0]);
        assert!(packet.oddities.is_empty());
        assert!(matches!(packet.network, Network::Ip { fragment: None, protocol: 17, .. }));
        assert_eq!((defragmenter.pending(), defragmenter.bytes()), (0, 0));
    }

    #[test]
    fn the_bytes_that_came_first_stay_and_different_ones_are_told() {
        let bytes = udp(b"AAAAAAAABBBBBBBB");
        let mut defragmenter = Defragmenter::new();
        defragmenter.push(&fragment(1, 8, true, &bytes[8..16]), Timestamp::EPOCH);
        // Repeats bytes 8 to 16 with other content, and brings 0 to 8.
        let mut other = bytes[..16].to_vec();
        other[8..].fill(b'X');
        defragmenter.push(&fragment(1, 0, true, &other), Timestamp::EPOCH);
        let datagram = whole(defragmenter.push(&fragment(1, 16, false, &bytes[16..]), Timestamp::EPOCH));
        assert_eq!(datagram.payload(), bytes);
        assert!(datagram.decode().oddities.has(Oddity::FragmentOverlap));
        assert_eq!(defragmenter.counters().overlapped, 1);
    }

    #[test]
    fn an_exact_repetition_is_no_overlap() {
        let bytes = udp(b"AAAAAAAA");
        let mut defragmenter = Defragmenter::new();
        for _ in 0..3 {
            defragmenter.push(&fragment(1, 0, true, &bytes[..8]), Timestamp::EPOCH);
        }
        let datagram = whole(defragmenter.push(&fragment(1, 8, false, &bytes[8..]), Timestamp::EPOCH));
        assert!(datagram.decode().oddities.is_empty());
        assert_eq!(datagram.fragments, 4);
    }

    #[test]
    fn what_is_not_complete_in_time_is_given_up() {
        let bytes = udp(b"AAAAAAAA");
        let mut defragmenter = Defragmenter::new();
        defragmenter.push(&fragment(1, 0, true, &bytes[..8]), Timestamp::from_secs(100));
        let late = defragmenter.push(&fragment(1, 8, false, &bytes[8..]), Timestamp::from_secs(130));
        assert!(matches!(late, Outcome::Kept), "the late piece begins a new datagram");
        let counters = defragmenter.counters();
        assert_eq!((counters.timed_out, counters.lost_fragments, counters.lost_bytes), (1, 1, 8));
    }

    #[test]
    fn pieces_that_contradict_each_other_or_the_longest_datagram_are_refused() {
        let mut defragmenter = Defragmenter::new();
        let mut push = |id, offset, more, length| {
            let bytes = vec![0; length];
            match defragmenter.push(&fragment(id, offset, more, &bytes), Timestamp::EPOCH) {
                Outcome::Dropped(reason) => reason,
                Outcome::Kept => None,
                other => panic!("{other:?}"),
            }
        };
        // The ping of death: the last piece reaches beyond 65,535 bytes.
        assert_eq!(push(1, 65_528, false, 100), Some(Oddity::FragmentLength));
        assert_eq!(push(2, 0, true, 13), Some(Oddity::FragmentLength));
        assert_eq!(push(2, 0, true, 0), Some(Oddity::FragmentLength));
        assert_eq!(push(3, 16, false, 8), None);
        assert_eq!(push(3, 24, true, 8), Some(Oddity::FragmentLength));
        assert_eq!(push(3, 8, false, 8), Some(Oddity::FragmentLength));
        assert_eq!(push(4, 16, true, 8), None);
        assert_eq!(push(4, 8, false, 8), Some(Oddity::FragmentLength));
        assert_eq!(defragmenter.counters().refused, 6);
    }

    #[test]
    fn a_flood_of_first_pieces_stays_within_the_limits_and_the_newest_survive() {
        let bytes = vec![0; 1480];
        let mut defragmenter = Defragmenter::new();
        let flood = 2 * MAX_BYTES / 1480;
        for id in 0..flood {
            defragmenter.push(&fragment(id as u32, 0, true, &bytes), Timestamp::EPOCH);
            assert!(defragmenter.bytes() <= MAX_BYTES && defragmenter.pending() <= MAX_DATAGRAMS);
        }
        let counters = defragmenter.counters();
        assert_eq!(counters.evicted as usize + defragmenter.pending(), flood);
        let last = defragmenter.push(&fragment(flood as u32 - 1, 1480, false, &bytes), Timestamp::EPOCH);
        assert_eq!(whole(last).payload().len(), 2960);
    }

    #[test]
    fn a_datagram_in_too_many_pieces_is_given_up() {
        let mut defragmenter = Defragmenter::new();
        for number in 1..MAX_PIECES {
            let kept = defragmenter.push(&fragment(1, number * 8, true, &[0; 8]), Timestamp::EPOCH);
            assert!(matches!(kept, Outcome::Kept));
        }
        let last = defragmenter.push(&fragment(1, MAX_PIECES * 8, true, &[0; 8]), Timestamp::EPOCH);
        assert!(matches!(last, Outcome::Dropped(Some(Oddity::FragmentCount))));
        assert_eq!((defragmenter.pending(), defragmenter.bytes()), (0, 0));
    }

    proptest! {
        /// However a datagram is cut, shuffled and repeated, it comes out once and as it was.
        #[test]
        fn any_fragmentation_in_any_order_gives_the_original(
            data in prop::collection::vec(any::<u8>(), 1..600),
            cuts in prop::collection::btree_set(1_usize..75, 0..20),
            repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            seed in any::<u64>(),
        ) {
            let datagram = udp(&data);
            let mut bounds: Vec<usize> =
                cuts.iter().map(|cut| cut * 8).filter(|cut| *cut < datagram.len()).collect();
            bounds.insert(0, 0);
            bounds.push(datagram.len());
            prop_assume!(bounds.len() > 2);
            let mut pieces: Vec<(usize, usize)> = bounds.windows(2).map(|pair| (pair[0], pair[1])).collect();
            let count = pieces.len();
            for repeat in repeats {
                pieces.push(pieces[repeat.index(count)]);
            }
            // A small congruential generator is shuffle enough.
            let mut state = seed;
            for last in (1..pieces.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                pieces.swap(last, (state >> 33) as usize % (last + 1));
            }
            let mut defragmenter = Defragmenter::new();
            let mut completed = Vec::new();
            for (from, to) in pieces {
                let packet = fragment(9, from, to < datagram.len(), &datagram[from..to]);
                if let Outcome::Complete(whole) = defragmenter.push(&packet, Timestamp::EPOCH) {
                    completed.push(whole);
                }
            }
            prop_assert!(!completed.is_empty());
            for whole in completed {
                prop_assert_eq!(whole.payload(), &datagram);
                prop_assert_eq!(whole.decode().payload, &data[..]);
                prop_assert!(whole.decode().oddities.is_empty());
            }
        }

        /// Arbitrary pieces: no panic, the accounts balance, and no bytes are counted twice.
        #[test]
        fn arbitrary_fragments_keep_the_accounts(
            pieces in prop::collection::vec(
                (0_u32..3, 0_usize..40, any::<bool>(), prop::collection::vec(any::<u8>(), 0..64), 0_u64..60),
                0..60,
            ),
        ) {
            let mut defragmenter = Defragmenter::new();
            for (id, offset, more, payload, seconds) in pieces {
                let packet = fragment(id, offset * 8, more, &payload);
                if let Outcome::Complete(whole) = defragmenter.push(&packet, Timestamp::from_secs(seconds)) {
                    let _ = whole.decode();
                }
                let cost: usize = defragmenter.datagrams.values().map(Datagram::cost).sum();
                prop_assert_eq!(cost, defragmenter.bytes());
                prop_assert_eq!(defragmenter.order.len(), defragmenter.datagrams.len());
                for datagram in defragmenter.datagrams.values() {
                    prop_assert!(datagram.pieces.windows(2).all(|pair| pair[0].end() <= pair[1].offset));
                }
            }
        }
    }
}
