//! What the engine counts.

use dissect::proto::PROTOCOLS;
use dissect::wire::Oddity;

/// What was seen of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolCounter {
    /// Conversations in which it was recognised.
    pub flows: u64,
    /// Messages that its parsers gave, where messages were wanted.
    pub messages: u64,
    /// Anomalies that its parsers reported.
    pub anomalies: u64,
}

/// What the engine counts, over all lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Packets given to the engine.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Packets that belong to no conversation because nothing in them names an end.
    pub without_flow: u64,
    /// Packets that are pieces of a datagram that was not complete with them.
    pub fragments: u64,
    /// Conversations begun.
    pub flows: u64,
    /// Conversations held at this moment.
    pub flows_open: u64,
    /// Packets of the conversations held at this moment that no record tells of yet.
    pub packets_open: u64,
    /// Conversations given up, unanswered, because the table was full.
    pub flows_shed: u64,
    /// Packets of those conversations.
    pub packets_shed: u64,
    /// Bytes of stream data given up because the buffers were full.
    pub bytes_shed: u64,
    /// Packets in whose headers something was wrong, by what was wrong.
    pub oddities: [u64; Oddity::COUNT],
    /// By protocol, in the order of the dissectors' list.
    pub protocols: Vec<ProtocolCounter>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            without_flow: 0,
            fragments: 0,
            flows: 0,
            flows_open: 0,
            packets_open: 0,
            flows_shed: 0,
            packets_shed: 0,
            bytes_shed: 0,
            oddities: [0; Oddity::COUNT],
            protocols: vec![ProtocolCounter::default(); PROTOCOLS.len()],
        }
    }
}

impl Counters {
    /// Adds what another part of the engine counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.without_flow += other.without_flow;
        self.fragments += other.fragments;
        self.flows += other.flows;
        self.flows_open += other.flows_open;
        self.packets_open += other.packets_open;
        self.flows_shed += other.flows_shed;
        self.packets_shed += other.packets_shed;
        self.bytes_shed += other.bytes_shed;
        for (sum, count) in self.oddities.iter_mut().zip(other.oddities) {
            *sum += count;
        }
        for (sum, count) in self.protocols.iter_mut().zip(&other.protocols) {
            sum.flows += count.flows;
            sum.messages += count.messages;
            sum.anomalies += count.anomalies;
        }
    }
}
