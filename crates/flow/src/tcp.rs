//! TCP: where a conversation stands, and its bytes in order (RFC 9293).

use model::{Side, TcpFlags, TcpState, TcpStats, Timestamp};

/// A segment further ahead than this is not waited for: the receiver's window could not have allowed it,
/// so the sniffer lost its place (the largest scaled window, RFC 7323 clause 2.3, is 1 GiB; 16 MiB is far
/// above what devices use).
const MAX_AHEAD: u32 = 16 << 20;

/// Where a segment's bytes lie against what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// They come next.
    Next,
    /// The first so many were seen before; the rest come next.
    Overlap(usize),
    /// All were seen before.
    Old,
    /// So many bytes before them are missing.
    Ahead(u32),
}

/// What is followed of one TCP conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tcp {
    /// The next sequence number expected from each side; valid where `known`.
    next: [u32; 2],
    known: [bool; 2],
    state: TcpState,
    flags: [TcpFlags; 2],
    /// The client's initial sequence number.
    initial: u32,
    retransmitted: [u32; 2],
    missing: [u64; 2],
    /// Time from SYN to the end of the handshake, in nanoseconds; 0 while unknown.
    rtt_ns: u64,
}

impl Tcp {
    /// Whether a SYN with this sequence number begins another conversation between the same ports.
    pub(crate) fn is_new_connection(&self, flags: TcpFlags, sequence: u32) -> bool {
        if !flags.has(TcpFlags::SYN) || flags.has(TcpFlags::ACK) {
            return false;
        }
        match self.state {
            TcpState::Closed | TcpState::Reset | TcpState::Closing => sequence != self.initial,
            // A closed port is asked again: each question is a conversation of its own.
            TcpState::Refused => true,
            TcpState::Established | TcpState::Midstream => sequence != self.initial,
            TcpState::SynSent | TcpState::SynReceived => false,
        }
    }

    /// Whether the conversation is over but for stragglers.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, TcpState::Closed | TcpState::Reset | TcpState::Refused)
    }

    /// Whether the server has refused it.
    pub(crate) const fn is_refused(&self) -> bool {
        matches!(self.state, TcpState::Refused)
    }

    /// Whether only an unanswered SYN was seen.
    pub(crate) const fn is_opening(&self) -> bool {
        matches!(self.state, TcpState::SynSent)
    }

    /// The first packet of the conversation decides where it starts.
    pub(crate) fn begin(&mut self, flags: TcpFlags) {
        self.state = match (flags.has(TcpFlags::SYN), flags.has(TcpFlags::ACK)) {
            (true, false) => TcpState::SynSent,
            (true, true) => TcpState::SynReceived,
            (false, _) => TcpState::Midstream,
        };
    }

    /// Takes the flags of a segment into account; `first` is when the conversation began.
    pub(crate) fn flags(
        &mut self,
        side: Side,
        flags: TcpFlags,
        sequence: u32,
        first: Timestamp,
        at: Timestamp,
    ) {
        self.flags[side.index()].0 |= flags.0;
        if flags.has(TcpFlags::SYN) {
            // Data may follow the SYN in the same segment (RFC 7413); it begins one further on.
            self.next[side.index()] = sequence.wrapping_add(1);
            self.known[side.index()] = true;
            if side == Side::Client {
                self.initial = sequence;
            }
        }
        self.state = match (self.state, side) {
            (TcpState::SynSent, Side::Server) if flags.has(TcpFlags::RST) => TcpState::Refused,
            (TcpState::SynSent, Side::Server) if flags.has(TcpFlags::SYN | TcpFlags::ACK) => {
                TcpState::SynReceived
            }
            // The answer was not seen, but the client goes on: one direction is missing.
            (TcpState::SynSent, Side::Client) if flags.has(TcpFlags::ACK) => TcpState::Established,
            (TcpState::SynReceived, Side::Client)
                if flags.has(TcpFlags::ACK) && !flags.has(TcpFlags::SYN) && !flags.has(TcpFlags::RST) =>
            {
                self.rtt_ns = at.since(first).as_nanos().try_into().unwrap_or(u64::MAX);
                TcpState::Established
            }
            (state, _) => state,
        };
        if flags.has(TcpFlags::RST) && !self.is_over() {
            self.state = TcpState::Reset;
        } else if flags.has(TcpFlags::FIN) && !self.is_over() {
            let both = self.flags[side.other().index()].has(TcpFlags::FIN);
            self.state = if both { TcpState::Closed } else { TcpState::Closing };
        }
    }

    /// Places `length` bytes from `side` that begin at `sequence`. Bytes that come next are taken as
    /// seen; bytes ahead are not.
    pub(crate) fn place(&mut self, side: Side, sequence: u32, length: usize) -> Placement {
        let side = side.index();
        // A segment's payload is at most 65,535 bytes: it came in an IP packet.
        let length = length as u32;
        if !self.known[side] {
            self.known[side] = true;
            self.next[side] = sequence;
        }
        let ahead = sequence.wrapping_sub(self.next[side]);
        if ahead == 0 {
            self.next[side] = sequence.wrapping_add(length);
            return Placement::Next;
        }
        if ahead <= MAX_AHEAD {
            return Placement::Ahead(ahead);
        }
        let behind = self.next[side].wrapping_sub(sequence);
        if behind >= 1 << 31 {
            // Neither near the past nor near the future: the place was lost.
            return Placement::Ahead(ahead);
        }
        // A keep-alive repeats at most one byte just before the next (RFC 9293 clause 3.8.4).
        if !(behind == 1 && length <= 1) {
            self.retransmitted[side] = self.retransmitted[side].saturating_add(1);
        }
        if behind >= length {
            return Placement::Old;
        }
        self.next[side] = sequence.wrapping_add(length);
        Placement::Overlap(behind as usize)
    }

    /// The next sequence number expected from `side`.
    pub(crate) const fn expected(&self, side: Side) -> u32 {
        self.next[side.index()]
    }

    /// Bytes up to `sequence` from `side` were taken from what was held back.
    pub(crate) const fn advance(&mut self, side: Side, sequence: u32) {
        self.next[side.index()] = sequence;
    }

    /// `missing` bytes from `side` will never come.
    pub(crate) const fn lose(&mut self, side: Side, missing: u32) {
        let side = side.index();
        self.next[side] = self.next[side].wrapping_add(missing);
        self.missing[side] = self.missing[side].saturating_add(missing as u64);
    }

    /// Bytes counted as missing have come late, when nobody reads the stream any more.
    pub(crate) fn found(&mut self, side: Side, length: usize) {
        let side = side.index();
        if self.missing[side] > 0 {
            self.missing[side] = self.missing[side].saturating_sub(length as u64);
            self.retransmitted[side] = self.retransmitted[side].saturating_sub(1);
        }
    }

    pub(crate) const fn stats(&self) -> TcpStats {
        TcpStats {
            state: self.state,
            rtt_ns: if self.rtt_ns == 0 { None } else { Some(self.rtt_ns) },
            retransmitted: self.retransmitted,
            missing: self.missing,
            flags: self.flags,
        }
    }

    /// Starts counting anew after an interim record.
    pub(crate) const fn reset_counts(&mut self) {
        self.retransmitted = [0; 2];
        self.missing = [0; 2];
    }
}

/// A segment that came before its time.
#[derive(Clone, Debug)]
struct Held {
    sequence: u32,
    bytes: Vec<u8>,
}

/// Segments of one direction that wait for a gap to fill, in order, none overlapping another.
///
/// Where segments overlap, the bytes that came first count: what a receiver accepts differs between
/// systems, so a difference is reported instead of decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldBack(Vec<Held>);

/// More segments than this are not held back in one direction; the gap is given up instead.
const MAX_HELD: usize = 256;

impl HeldBack {
    pub(crate) const fn is_full(&self) -> bool {
        self.0.len() >= MAX_HELD
    }

    /// Holds `bytes` that begin at `sequence`, where `expected` is the next sequence number in order.
    /// Returns how many bytes were new, and whether some differ from bytes held before.
    pub(crate) fn hold(&mut self, expected: u32, sequence: u32, bytes: &[u8]) -> (usize, bool) {
        let start = sequence.wrapping_sub(expected) as usize;
        let end = start + bytes.len();
        let (mut at, mut added, mut conflict) = (start, 0, false);
        let mut place = 0;
        while at < end {
            let next = self.0.get(place).map(|held| {
                let from = held.sequence.wrapping_sub(expected) as usize;
                (from, from + held.bytes.len())
            });
            let (from, to) = next.unwrap_or((usize::MAX, usize::MAX));
            if to <= at {
                place += 1;
                continue;
            }
            if at < from {
                let piece = &bytes[at - start..from.min(end) - start];
                let sequence = expected.wrapping_add(at as u32);
                self.0.insert(place, Held { sequence, bytes: piece.to_vec() });
                added += piece.len();
                at += piece.len();
                place += 1;
                continue;
            }
            let until = to.min(end);
            let held = &self.0[place].bytes[at - from..until - from];
            conflict |= held != &bytes[at - start..until - start];
            at = until;
            place += 1;
        }
        (added, conflict)
    }

    /// The first segment held, if it begins at or before `expected`: its bytes from there on, and how
    /// many bytes it held in all.
    pub(crate) fn release(&mut self, expected: u32) -> Option<(Vec<u8>, usize)> {
        let behind = expected.wrapping_sub(self.0.first()?.sequence);
        if behind >= 1 << 31 {
            return None;
        }
        let mut bytes = self.0.remove(0).bytes;
        let length = bytes.len();
        bytes.drain(..length.min(behind as usize));
        Some((bytes, length))
    }

    /// How many bytes are missing before the first segment held.
    pub(crate) fn first_gap(&self, expected: u32) -> Option<u32> {
        self.0.first().map(|held| held.sequence.wrapping_sub(expected))
    }

    /// Whether the receiver has acknowledged bytes that were not seen: they will not come again.
    pub(crate) fn is_acknowledged(&self, expected: u32, acknowledgement: u32) -> bool {
        self.first_gap(expected).is_some_and(|gap| {
            let acknowledged = acknowledgement.wrapping_sub(expected);
            acknowledged <= MAX_AHEAD && acknowledged >= gap
        })
    }

    /// Drops all; returns how many bytes that were.
    pub(crate) fn clear(&mut self) -> usize {
        self.0.drain(..).map(|held| held.bytes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(held: &mut HeldBack, expected: &mut u32) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((bytes, _)) = held.release(*expected) {
            *expected = expected.wrapping_add(bytes.len() as u32);
            all.extend(bytes);
        }
        all
    }

    #[test]
    fn the_bytes_that_came_first_count_and_a_difference_is_told() {
        let mut held = HeldBack::default();
        assert_eq!(held.hold(0, 4, b"efgh"), (4, false));
        assert_eq!(held.hold(0, 2, b"cdEFghij"), (4, true));
        assert_eq!(held.hold(0, 0, b"ab"), (2, false));
        assert_eq!(taken(&mut held, &mut 0), b"abcdefghij");
    }

    #[test]
    fn sequence_numbers_wrap_around() {
        let mut held = HeldBack::default();
        let mut expected = u32::MAX - 1;
        held.hold(expected, 1, b"de");
        assert_eq!(held.first_gap(expected), Some(3));
        held.hold(expected, expected, b"abc");
        assert_eq!(taken(&mut held, &mut expected), b"abcde");
        assert_eq!(expected, 3);
    }

    #[test]
    fn a_handshake_is_followed_to_its_end() {
        let mut tcp = Tcp::default();
        let (t0, ms) = (Timestamp::from_secs(1), std::time::Duration::from_millis(1));
        let flags = |bits| TcpFlags(bits);
        tcp.begin(flags(TcpFlags::SYN));
        tcp.flags(Side::Client, flags(TcpFlags::SYN), 100, t0, t0);
        tcp.flags(Side::Server, flags(TcpFlags::SYN | TcpFlags::ACK), 900, t0, t0 + ms);
        assert_eq!(tcp.stats().state, TcpState::SynReceived);
        tcp.flags(Side::Client, flags(TcpFlags::ACK), 101, t0, t0 + 2 * ms);
        assert_eq!(tcp.stats().state, TcpState::Established);
        assert_eq!(tcp.stats().rtt_ns, Some(2_000_000));
        assert_eq!(tcp.place(Side::Client, 101, 5), Placement::Next);
        assert_eq!(tcp.place(Side::Client, 101, 5), Placement::Old);
        assert_eq!(tcp.place(Side::Client, 104, 4), Placement::Overlap(2));
        assert_eq!(tcp.place(Side::Client, 118, 4), Placement::Ahead(10));
        tcp.flags(Side::Client, flags(TcpFlags::FIN | TcpFlags::ACK), 108, t0, t0);
        assert_eq!(tcp.stats().state, TcpState::Closing);
        tcp.flags(Side::Server, flags(TcpFlags::FIN | TcpFlags::ACK), 901, t0, t0);
        assert!(tcp.is_over());
        assert_eq!(tcp.stats().retransmitted, [2, 0]);
        assert!(tcp.is_new_connection(flags(TcpFlags::SYN), 5_000));
    }

    #[test]
    fn a_refused_connection_is_told_from_a_reset_one() {
        let (mut tcp, t0) = (Tcp::default(), Timestamp::EPOCH);
        tcp.begin(TcpFlags(TcpFlags::SYN));
        tcp.flags(Side::Client, TcpFlags(TcpFlags::SYN), 1, t0, t0);
        tcp.flags(Side::Server, TcpFlags(TcpFlags::RST | TcpFlags::ACK), 0, t0, t0);
        assert_eq!(tcp.stats().state, TcpState::Refused);
    }

    proptest! {
        /// Whatever pieces of a text arrive in whatever order, what is released is the text.
        #[test]
        fn pieces_in_any_order_give_the_text(
            text in proptest::collection::vec(any::<u8>(), 1..200),
            pieces in proptest::collection::vec((0_usize..200, 1_usize..40), 0..60),
            start in any::<u32>(),
        ) {
            let mut held = HeldBack::default();
            for (from, length) in pieces {
                let from = from.min(text.len());
                let to = (from + length).min(text.len());
                let (_, conflict) = held.hold(start, start.wrapping_add(from as u32), &text[from..to]);
                prop_assert!(!conflict);
            }
            held.hold(start, start, &text);
            prop_assert_eq!(taken(&mut held, &mut start.clone()), text);
        }
    }
}
