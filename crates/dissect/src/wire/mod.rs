//! Frames taken apart, from the link header to the transport payload.
//!
//! One file per format. `View::new_checked` proves the length once; accessors then cannot fail.
//! [`decode`] composes them and says in one [`Packet`] what the flow engine needs to know.

use std::net::IpAddr;

use model::{MacAddr, Reach};

/// How the frames of a capture interface begin (the registry of link types of libpcap).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP.
    pub const PPP: Self = Self(9);
    /// PPP in HDLC-like framing.
    pub const PPP_HDLC: Self = Self(50);
    /// Raw IP, version by the first nibble.
    pub const RAW: Self = Self(101);
    /// BSD loopback with the address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// IEEE 802.15.4 with frame check sequence.
    pub const WPAN: Self = Self(195);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// SocketCAN.
    pub const CAN_SOCKETCAN: Self = Self(227);
    /// IEEE 802.15.4 without frame check sequence.
    pub const WPAN_NOFCS: Self = Self(230);
    /// Linux cooked, version 2.
    pub const LINUX_SLL2: Self = Self(276);
    /// IEEE 802.15.4 with TAP pseudo-header.
    pub const WPAN_TAP: Self = Self(283);
}

/// How many encapsulations (VLAN tags not counted) are opened before the rest is left as payload.
pub const MAX_TUNNELS: u8 = 4;

/// What a frame holds.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Source and destination of the (innermost) link header, where it has addresses.
    pub source_mac: Option<MacAddr>,
    /// See `source_mac`.
    pub destination_mac: Option<MacAddr>,
    /// VLAN identifiers, outermost first; 0 where there is none. Tunnels keep the outermost.
    pub vlans: [u16; 2],
    /// Identifier of the innermost tunnel (VXLAN network, GRE key), 0 for none, mixed with its kind so
    /// that equal inner addresses in different tunnels stay apart.
    pub tunnel: u32,
    /// The network layer.
    pub network: Network,
    /// The transport layer.
    pub transport: TransportInfo,
    /// What the innermost understood header carries, without padding, as far as it was captured.
    pub payload: &'a [u8],
    /// How many bytes of the payload were on the wire but not captured.
    pub cut: usize,
    /// What is wrong with the headers; the packet is good as far as it was understood.
    pub oddities: Oddities,
}

/// The network layer of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// None: straight on the link. The payload follows the link header.
    Link {
        /// EtherType, or for IEEE 802.3 frames with LLC the DSAP and SSAP (below 0x0600).
        kind: u16,
        /// Organisation and protocol, where there is a SNAP header.
        snap: Option<([u8; 3], u16)>,
    },
    /// IPv4 or IPv6.
    Ip {
        /// Source address.
        source: IpAddr,
        /// Destination address.
        destination: IpAddr,
        /// TTL or hop limit.
        ttl: u8,
        /// Protocol number of the payload, after extension headers.
        protocol: u8,
        /// Where this is a fragment of a larger datagram. The payload is then the fragment's.
        fragment: Option<Fragment>,
    },
    /// SocketCAN: the payload is the frame's data.
    Can {
        /// The identifier with its flags as SocketCAN has them (EFF 0x80000000, RTR, ERR).
        id: u32,
        /// Whether the frame is CAN FD.
        fd: bool,
    },
    /// IEEE 802.15.4: the payload is the whole MAC frame, without frame check sequence.
    Wpan,
}

/// A piece of an IP datagram (RFC 791 clause 3.2, RFC 8200 clause 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Names the datagram together with addresses and protocol.
    pub id: u32,
    /// Where in the datagram's payload this piece begins, in bytes.
    pub offset: u32,
    /// Whether more pieces follow.
    pub more: bool,
}

/// The transport layer of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportInfo {
    /// None, or not understood; the payload is what the network layer carries.
    None,
    /// TCP (RFC 9293).
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Sequence number of the first byte (or of SYN).
        sequence: u32,
        /// Acknowledgement number.
        acknowledgement: u32,
        /// Flags, low eight bits.
        flags: model::TcpFlags,
        /// Window as it stands in the header.
        window: u16,
    },
    /// UDP (RFC 768).
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// SCTP (RFC 9260): the payload is the chunks.
    Sctp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP or ICMPv6: the payload is the whole message, type and code included.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// Something wrong in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is told by `Oddity::name`")]
pub enum Oddity {
    LinkTruncated,
    LinkTypeUnknown,
    VlanTruncated,
    LlcTruncated,
    Ipv4Truncated,
    Ipv4HeaderLength,
    Ipv4Version,
    Ipv4TotalLength,
    Ipv4Option,
    Ipv6Truncated,
    Ipv6Version,
    Ipv6PayloadLength,
    Ipv6ExtensionHeader,
    Ipv6ExtensionCount,
    FragmentLength,
    TcpTruncated,
    TcpDataOffset,
    TcpFlags,
    UdpTruncated,
    UdpLength,
    SctpTruncated,
    IcmpTruncated,
    GreTruncated,
    GreVersion,
    VxlanHeader,
    PppoeHeader,
    PppHeader,
    CanLength,
    WpanTruncated,
    TunnelDepth,
}

impl Oddity {
    /// How many kinds there are.
    pub const COUNT: usize = Self::TunnelDepth as usize + 1;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::LinkTruncated,
        Self::LinkTypeUnknown,
        Self::VlanTruncated,
        Self::LlcTruncated,
        Self::Ipv4Truncated,
        Self::Ipv4HeaderLength,
        Self::Ipv4Version,
        Self::Ipv4TotalLength,
        Self::Ipv4Option,
        Self::Ipv6Truncated,
        Self::Ipv6Version,
        Self::Ipv6PayloadLength,
        Self::Ipv6ExtensionHeader,
        Self::Ipv6ExtensionCount,
        Self::FragmentLength,
        Self::TcpTruncated,
        Self::TcpDataOffset,
        Self::TcpFlags,
        Self::UdpTruncated,
        Self::UdpLength,
        Self::SctpTruncated,
        Self::IcmpTruncated,
        Self::GreTruncated,
        Self::GreVersion,
        Self::VxlanHeader,
        Self::PppoeHeader,
        Self::PppHeader,
        Self::CanLength,
        Self::WpanTruncated,
        Self::TunnelDepth,
    ];

    /// Layer and reason, as anomalies and counters name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkTruncated => "link.truncated",
            Self::LinkTypeUnknown => "link.unknown-type",
            Self::VlanTruncated => "vlan.truncated",
            Self::LlcTruncated => "llc.truncated",
            Self::Ipv4Truncated => "ipv4.truncated",
            Self::Ipv4HeaderLength => "ipv4.header-length",
            Self::Ipv4Version => "ipv4.version",
            Self::Ipv4TotalLength => "ipv4.total-length",
            Self::Ipv4Option => "ipv4.option",
            Self::Ipv6Truncated => "ipv6.truncated",
            Self::Ipv6Version => "ipv6.version",
            Self::Ipv6PayloadLength => "ipv6.payload-length",
            Self::Ipv6ExtensionHeader => "ipv6.extension-header",
            Self::Ipv6ExtensionCount => "ipv6.extension-count",
            Self::FragmentLength => "ip.fragment-length",
            Self::TcpTruncated => "tcp.truncated",
            Self::TcpDataOffset => "tcp.data-offset",
            Self::TcpFlags => "tcp.flags",
            Self::UdpTruncated => "udp.truncated",
            Self::UdpLength => "udp.length",
            Self::SctpTruncated => "sctp.truncated",
            Self::IcmpTruncated => "icmp.truncated",
            Self::GreTruncated => "gre.truncated",
            Self::GreVersion => "gre.version",
            Self::VxlanHeader => "vxlan.header",
            Self::PppoeHeader => "pppoe.header",
            Self::PppHeader => "ppp.header",
            Self::CanLength => "can.length",
            Self::WpanTruncated => "wpan.truncated",
            Self::TunnelDepth => "tunnel.depth",
        }
    }
}

/// A set of oddities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities(u32);

impl Oddities {
    /// None.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub const fn add(&mut self, oddity: Oddity) {
        self.0 |= 1 << oddity as u32;
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in the set.
    pub fn iter(self) -> impl Iterator<Item = Oddity> {
        Oddity::ALL.into_iter().filter(move |oddity| self.0 & (1 << *oddity as u32) != 0)
    }
}

impl Packet<'_> {
    /// How far the packet has come.
    pub const fn reach(&self) -> Reach {
        match self.network {
            Network::Ip { ttl, .. } => match ttl {
                1 | 32 | 64 | 128 | 255 => Reach::Near,
                _ => Reach::Routed,
            },
            _ => Reach::Unknown,
        }
    }
}

/// Takes a frame apart. `wire_length` is its length on the wire, which may be more than was captured.
///
/// Never fails: what is not understood is left as payload of the last layer that was, and what is wrong
/// is in [`Packet::oddities`].
pub fn decode(link: LinkType, frame: &[u8], wire_length: usize) -> Packet<'_> {
    // Replaced by the formats of this folder.
    let mut oddities = Oddities::NONE;
    oddities.add(Oddity::LinkTypeUnknown);
    let _ = link;
    Packet {
        source_mac: None,
        destination_mac: None,
        vlans: [0; 2],
        tunnel: 0,
        network: Network::Link { kind: 0, snap: None },
        transport: TransportInfo::None,
        payload: frame,
        cut: wire_length.saturating_sub(frame.len()),
        oddities,
    }
}
