//! How much the engine may hold, and for how long.

use std::time::Duration;

use model::Timestamp;

use crate::LANES;

/// The engine's limits. Each lane has its share of the totals.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Conversations held at once. When the table is full, the oldest unanswered one goes first, then
    /// the one that has been quiet for longest.
    pub flows: usize,
    /// Bytes of stream data held at once: what waits for a gap to fill and what a parser has not taken.
    pub buffered_bytes: usize,
    /// Bytes that may wait in one direction of one conversation.
    pub stream_bytes: usize,
    /// How long a TCP conversation may wait for its handshake to be answered. Zeek waits five seconds as well
    /// (`tcp_attempt_delay`); what is answered later is a conversation of its own.
    pub tcp_opening: Duration,
    /// How long an open TCP conversation may be silent.
    pub tcp_idle: Duration,
    /// How long a closed TCP conversation is kept for its last packets.
    pub tcp_closed: Duration,
    /// How long an answered conversation without connections (UDP and others) may be silent.
    pub datagram_idle: Duration,
    /// How long an unanswered one may be silent.
    pub unanswered_idle: Duration,
    /// A longer conversation gives an interim record after so long.
    pub active: Duration,
    /// And after so many packets since the last record, so that a flood is seen while it lasts.
    pub active_packets: u64,
    /// Timers are looked at so often: what is over is told so much later at most.
    pub turn: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 1 << 20,
            buffered_bytes: 256 << 20,
            stream_bytes: 256 << 10,
            tcp_opening: Duration::from_secs(5),
            tcp_idle: Duration::from_secs(900),
            tcp_closed: Duration::from_secs(5),
            datagram_idle: Duration::from_secs(120),
            unanswered_idle: Duration::from_secs(30),
            active: Duration::from_secs(300),
            active_packets: 10_000,
            turn: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The limits where what happens is to be answered while it happens: that a conversation is over is told when
    /// its last packets have had a few round trips to come, not when the slowest would have come; packets that come
    /// later still are a conversation of their own.
    pub fn prompt() -> Self {
        Self { tcp_closed: Duration::from_millis(200), turn: Duration::from_millis(50), ..Self::default() }
    }

    /// The number of the turn of the timers in which a moment lies.
    pub(crate) fn turn_of(&self, at: Timestamp) -> u64 {
        at.as_nanos() / u64::try_from(self.turn.as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// When the turn of the timers ends in which a moment lies.
    pub(crate) fn end_of_turn(&self, at: Timestamp) -> Timestamp {
        let turn = u64::try_from(self.turn.as_nanos()).unwrap_or(u64::MAX).max(1);
        Timestamp::from_nanos((at.as_nanos() / turn + 1).saturating_mul(turn))
    }

    /// One lane's share of the conversations, at least one.
    pub(crate) fn lane_flows(&self) -> usize {
        (self.flows / LANES).max(1)
    }

    /// One lane's share of the buffered bytes.
    pub(crate) const fn lane_bytes(&self) -> usize {
        self.buffered_bytes / LANES
    }
}
