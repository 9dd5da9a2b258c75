//! How much goes one way within some seconds.

use model::{FlowRecord, TcpState, Timestamp, Transport};

/// What is counted together, in seconds.
pub(super) const WINDOW: f64 = 10.0;
/// Bits of the sketch in which senders are told apart (Whang et al., "A Linear-Time Probabilistic Counting Algorithm",
/// 1990).
const SKETCH: usize = 1024;

/// What nobody answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum OneWay {
    /// So many attempts to open a connection.
    Knocks(f64),
    /// So many packets in ten seconds.
    Packets(f64),
}

/// A conversation of so few packets carries nothing: whoever says something over TCP sends more.
const STRAY: u64 = 2;

/// What of a conversation went one way only. Streams of TCP are not looked at: where a sensor sees only one direction
/// of a link, each of them would be one. Single segments that belong to no connection are: floods are made of them.
pub(super) fn one_way(record: &FlowRecord) -> Option<OneWay> {
    let sent = record.sent.packets as f64;
    match (record.head.transport, &record.tcp) {
        (Transport::Tcp, Some(tcp)) => {
            let is_stray = tcp.state == TcpState::Midstream
                && record.sent.packets <= STRAY
                && record.received.packets == 0;
            let knocks = matches!(tcp.state, TcpState::SynSent | TcpState::Refused);
            (knocks || is_stray).then_some(OneWay::Knocks(sent))
        }
        (Transport::Udp | Transport::Icmp | Transport::Icmpv6 | Transport::Ip(_), _) => {
            let answered = record.received.packets.saturating_mul(10) > record.sent.packets;
            let seconds = record.duration().as_secs_f64();
            (!answered).then_some(OneWay::Packets(sent * (WINDOW / seconds.max(WINDOW))))
        }
        _ => None,
    }
}

/// What is counted in one window.
#[derive(Debug)]
pub(super) struct Rate {
    window: u64,
    /// When what is counted in the window began.
    began: Timestamp,
    /// When it began at all: windows do not begin with floods, so that this may be in the one before.
    pub(super) since: Timestamp,
    pub(super) knocks: f64,
    pub(super) packets: f64,
    senders: [u64; SKETCH / 64],
}

impl Default for Rate {
    fn default() -> Self {
        let since = Timestamp::EPOCH;
        Self { window: 0, began: since, since, knocks: 0.0, packets: 0.0, senders: [0; SKETCH / 64] }
    }
}

impl Rate {
    /// Counts something that went one way, from the sender with this digest.
    pub(super) fn count(&mut self, what: OneWay, sender: u32, record: &FlowRecord) {
        let window = record.last.as_secs() / WINDOW as u64;
        if window > self.window {
            let began = record.first;
            let goes_on = window == self.window + 1;
            let since = if goes_on { self.began.min(began) } else { began };
            *self = Self { window, began, since, ..Self::default() };
        }
        match what {
            OneWay::Knocks(count) => self.knocks += count,
            OneWay::Packets(count) => self.packets += count,
        }
        let bit = sender as usize % SKETCH;
        self.senders[bit / 64] |= 1 << (bit % 64);
    }

    /// How many senders there were, about.
    pub(super) fn senders(&self) -> f64 {
        let set: u32 = self.senders.iter().map(|word| word.count_ones()).sum();
        let free = (SKETCH as f64 - f64::from(set)).max(1.0) / SKETCH as f64;
        -(SKETCH as f64) * free.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unanswered;

    #[test]
    fn a_flood_began_where_it_began_and_not_with_the_window() {
        let at = |seconds| {
            let mut record = unanswered("10.0.0.5", "203.0.113.7", 80);
            (record.first, record.last) = (Timestamp::from_secs(seconds), Timestamp::from_secs(seconds));
            record
        };
        let mut rate = Rate::default();
        for (seconds, since, knocks) in
            [(105, 105, 1.0), (138, 138, 1.0), (139, 138, 2.0), (141, 138, 1.0), (155, 141, 1.0)]
        {
            rate.count(OneWay::Knocks(1.0), 0, &at(seconds));
            assert_eq!((rate.since, rate.knocks), (Timestamp::from_secs(since), knocks));
        }
    }
}
