//! Conversations.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Endpoint, Name, Timestamp};

/// Names one conversation: a digest of its addresses and the time of its first packet, so the same
/// capture gives the same id on every run and for every shard count. As text, 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for FlowId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for FlowId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FlowId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// One of the two ends of a conversation, by the part it plays. The client is the one who opened it
/// (sent the SYN, or the first packet where there is no handshake).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The end that opened the conversation.
    Client,
    /// The end that was asked.
    Server,
}

impl Side {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// 0 for the client, 1 for the server: an index into per-side arrays.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Which way a packet goes: an alias of the side that sent it.
pub type Direction = Side;

/// What carries a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// SCTP (RFC 9260).
    Sctp,
    /// ICMP (RFC 792).
    Icmp,
    /// ICMPv6 (RFC 4443).
    Icmpv6,
    /// Another IP protocol, by its IANA number.
    Ip(u8),
    /// Straight on the link, by EtherType (IEEE 802) or, below 0x0600, LLC DSAP and SSAP.
    Ether(u16),
    /// A CAN bus; the client's port is the number of the interface, and so of the bus, in its source; the identifier is
    /// in the conversation's key.
    Can,
    /// IEEE 802.15.4.
    Wpan,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Sctp => f.write_str("sctp"),
            Self::Icmp => f.write_str("icmp"),
            Self::Icmpv6 => f.write_str("icmpv6"),
            Self::Ip(number) => write!(f, "ip-{number}"),
            Self::Ether(kind) => write!(f, "ether-{kind:04x}"),
            Self::Can => f.write_str("can"),
            Self::Wpan => f.write_str("wpan"),
        }
    }
}

/// How far a packet has come, told from its TTL or hop limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// No network header, or nothing can be told.
    #[default]
    Unknown,
    /// The TTL is one that systems start with (32, 64, 128, 255), or a link-local one: no router passed.
    Near,
    /// The TTL has been decremented: at least one router passed.
    Routed,
}

/// Who talks to whom in a conversation, known from its first packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowHead {
    /// The conversation's id.
    pub id: FlowId,
    /// What carries it.
    pub transport: Transport,
    /// VLAN identifier of the outermost tag, where tagged (IEEE 802.1Q).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vlan: Option<u16>,
    /// The end that opened it.
    pub client: Endpoint,
    /// The end that was asked; its address may be a group address.
    pub server: Endpoint,
    /// How far the client's packets had come.
    #[serde(default)]
    pub client_reach: Reach,
    /// How far the server's packets had come; unknown until it answers.
    #[serde(default)]
    pub server_reach: Reach,
}

impl FlowHead {
    /// The endpoint on `side`.
    pub const fn endpoint(&self, side: Side) -> &Endpoint {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// How far packets sent by `side` had come.
    pub const fn reach(&self, side: Side) -> Reach {
        match side {
            Side::Client => self.client_reach,
            Side::Server => self.server_reach,
        }
    }
}

/// What one side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// Bytes of the frames as they were on the wire.
    pub bytes: u64,
    /// Bytes of payload above the transport header.
    pub payload: u64,
}

/// Where a TCP conversation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcpState {
    /// A SYN was seen, no answer.
    #[default]
    SynSent,
    /// A SYN was answered by SYN-ACK.
    SynReceived,
    /// The handshake was completed.
    Established,
    /// One side has sent FIN.
    Closing,
    /// Both sides have sent FIN and it was acknowledged.
    Closed,
    /// Ended by RST after it was open.
    Reset,
    /// The SYN was answered by RST: the port is closed.
    Refused,
    /// Picked up in the middle, its beginning was not seen.
    Midstream,
}

/// The flags of a TCP header, or the union of those seen (RFC 9293 clause 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 0x10;

    /// Whether all of `flags` are set.
    pub const fn has(self, flags: u8) -> bool {
        self.0 & flags == flags
    }
}

/// What the transport tells about a TCP conversation's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpStats {
    /// Where it stands.
    pub state: TcpState,
    /// Time from SYN to SYN-ACK plus SYN-ACK to ACK, in nanoseconds; absent without a handshake.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtt_ns: Option<u64>,
    /// Segments that repeat bytes already seen, by side.
    pub retransmitted: [u32; 2],
    /// Bytes that were never seen although later ones were, by side.
    pub missing: [u64; 2],
    /// Flags seen, by side.
    pub flags: [TcpFlags; 2],
}

/// Why a conversation's record was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Both sides closed it, or one reset it.
    Finished,
    /// Nothing was seen for the idle timeout.
    Idle,
    /// It lasts longer than the active timeout: this is an interim record and more will follow. Each
    /// record of a conversation holds what passed since the one before, so that records add up.
    Active,
    /// The table was full and this was the least valuable.
    Evicted,
    /// The source ended while it was open.
    SourceEnd,
}

/// A conversation, as far as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// Who talked to whom.
    #[serde(flatten)]
    pub head: FlowHead,
    /// Time of the first packet.
    pub first: Timestamp,
    /// Time of the last packet.
    pub last: Timestamp,
    /// What the client sent.
    pub sent: Volume,
    /// What the server sent.
    pub received: Volume,
    /// The application protocol, where one was recognised.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<Name>,
    /// TCP only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp: Option<TcpStats>,
    /// Why the record was closed.
    pub end: EndReason,
}

impl FlowRecord {
    /// How long the conversation lasted.
    pub const fn duration(&self) -> Duration {
        self.last.since(self.first)
    }

    /// Whether both sides spoke.
    pub const fn answered(&self) -> bool {
        self.received.packets > 0 && self.sent.packets > 0
    }
}
