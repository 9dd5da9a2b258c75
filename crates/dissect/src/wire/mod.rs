//! Frames taken apart, from the link header to the transport payload.
//!
//! One file per format. `View::new_checked` proves the length once; accessors then cannot fail.
//! [`decode`] composes them and says in one [`Packet`] what the flow engine needs to know.

mod can;
mod cooked;
mod decode;
pub mod defragment;
mod ethernet;
mod gre;
mod icmp;
mod ipv4;
mod ipv6;
mod llc;
mod mpls;
mod overlay;
mod ppp;
mod sctp;
mod tcp;
mod udp;
mod wireless;

#[cfg(test)]
mod tests;

pub use decode::{MAX_EXTENSIONS, MAX_TAGS, MAX_TUNNELS, decode, decode_ip_payload};

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
    /// Raw IP as BSD systems number it in their files.
    pub const RAW_BSD: Self = Self(12);
    /// Raw IP as OpenBSD numbers it.
    pub const RAW_OPENBSD: Self = Self(14);
    /// PPP in HDLC-like framing.
    pub const PPP_HDLC: Self = Self(50);
    /// PPPoE without the Ethernet header.
    pub const PPP_ETHERNET: Self = Self(51);
    /// Raw IP, version by the first nibble.
    pub const RAW: Self = Self(101);
    /// Cisco HDLC.
    pub const CISCO_HDLC: Self = Self(104);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = Self(105);
    /// BSD loopback with the address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// IEEE 802.11 with radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// Per-packet information.
    pub const PPI: Self = Self(192);
    /// IEEE 802.15.4 with frame check sequence.
    pub const WPAN: Self = Self(195);
    /// IEEE 802.15.4 with the header of the physical layer.
    pub const WPAN_PHY: Self = Self(215);
    /// SocketCAN.
    pub const CAN_SOCKETCAN: Self = Self(227);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// IEEE 802.15.4 without frame check sequence.
    pub const WPAN_NOFCS: Self = Self(230);
    /// Linux netfilter log.
    pub const NFLOG: Self = Self(239);
    /// Ethernet behind the header of a netANALYZER, with frame check sequence.
    pub const NETANALYZER: Self = Self(240);
    /// Linux cooked, version 2.
    pub const LINUX_SLL2: Self = Self(276);
    /// IEEE 802.15.4 with TAP pseudo-header.
    pub const WPAN_TAP: Self = Self(283);

    /// All kinds of frames that are read.
    pub const READ: [Self; 24] = [
        Self::ETHERNET,
        Self::NULL,
        Self::PPP,
        Self::RAW_BSD,
        Self::RAW_OPENBSD,
        Self::PPP_HDLC,
        Self::PPP_ETHERNET,
        Self::RAW,
        Self::CISCO_HDLC,
        Self::IEEE802_11,
        Self::LOOP,
        Self::LINUX_SLL,
        Self::IEEE802_11_RADIOTAP,
        Self::PPI,
        Self::WPAN,
        Self::WPAN_PHY,
        Self::CAN_SOCKETCAN,
        Self::IPV4,
        Self::IPV6,
        Self::WPAN_NOFCS,
        Self::NFLOG,
        Self::NETANALYZER,
        Self::LINUX_SLL2,
        Self::WPAN_TAP,
    ];
}

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
    /// that equal inner addresses in different tunnels stay apart. The same in both directions. PPPoE
    /// and MPLS are no tunnels in this sense: their addresses are those of the network itself.
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
        /// EtherType (0x0600 and up), or for IEEE 802.3 frames with LLC the DSAP (up to 0x00ff: 0x42 for
        /// spanning tree, 0xaa with SNAP). PPP that carries neither IP nor MPLS is 0x880b. 0 where
        /// there is neither.
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
    VlanDepth,
    LlcTruncated,
    Ipv4Truncated,
    Ipv4HeaderLength,
    Ipv4Version,
    Ipv4TotalLength,
    Ipv4Option,
    Ipv4SourceRoute,
    Ipv6Truncated,
    Ipv6Version,
    Ipv6PayloadLength,
    Ipv6ExtensionHeader,
    Ipv6ExtensionCount,
    Ipv6SourceRoute,
    FragmentLength,
    FragmentTiny,
    FragmentOverlap,
    FragmentCount,
    TcpTruncated,
    TcpDataOffset,
    TcpFlags,
    UdpTruncated,
    UdpLength,
    SctpTruncated,
    IcmpTruncated,
    GreTruncated,
    GreVersion,
    MplsStack,
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
        Self::VlanDepth,
        Self::LlcTruncated,
        Self::Ipv4Truncated,
        Self::Ipv4HeaderLength,
        Self::Ipv4Version,
        Self::Ipv4TotalLength,
        Self::Ipv4Option,
        Self::Ipv4SourceRoute,
        Self::Ipv6Truncated,
        Self::Ipv6Version,
        Self::Ipv6PayloadLength,
        Self::Ipv6ExtensionHeader,
        Self::Ipv6ExtensionCount,
        Self::Ipv6SourceRoute,
        Self::FragmentLength,
        Self::FragmentTiny,
        Self::FragmentOverlap,
        Self::FragmentCount,
        Self::TcpTruncated,
        Self::TcpDataOffset,
        Self::TcpFlags,
        Self::UdpTruncated,
        Self::UdpLength,
        Self::SctpTruncated,
        Self::IcmpTruncated,
        Self::GreTruncated,
        Self::GreVersion,
        Self::MplsStack,
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
            Self::VlanDepth => "vlan.depth",
            Self::LlcTruncated => "llc.truncated",
            Self::Ipv4Truncated => "ipv4.truncated",
            Self::Ipv4HeaderLength => "ipv4.header-length",
            Self::Ipv4Version => "ipv4.version",
            Self::Ipv4TotalLength => "ipv4.total-length",
            Self::Ipv4Option => "ipv4.option",
            Self::Ipv4SourceRoute => "ipv4.source-route",
            Self::Ipv6Truncated => "ipv6.truncated",
            Self::Ipv6Version => "ipv6.version",
            Self::Ipv6PayloadLength => "ipv6.payload-length",
            Self::Ipv6ExtensionHeader => "ipv6.extension-header",
            Self::Ipv6ExtensionCount => "ipv6.extension-count",
            Self::Ipv6SourceRoute => "ipv6.source-route",
            Self::FragmentLength => "ip.fragment-length",
            Self::FragmentTiny => "ip.fragment-tiny",
            Self::FragmentOverlap => "ip.fragment-overlap",
            Self::FragmentCount => "ip.fragment-count",
            Self::TcpTruncated => "tcp.truncated",
            Self::TcpDataOffset => "tcp.data-offset",
            Self::TcpFlags => "tcp.flags",
            Self::UdpTruncated => "udp.truncated",
            Self::UdpLength => "udp.length",
            Self::SctpTruncated => "sctp.truncated",
            Self::IcmpTruncated => "icmp.truncated",
            Self::GreTruncated => "gre.truncated",
            Self::GreVersion => "gre.version",
            Self::MplsStack => "mpls.stack",
            Self::PppoeHeader => "pppoe.header",
            Self::PppHeader => "ppp.header",
            Self::CanLength => "can.length",
            Self::WpanTruncated => "wpan.truncated",
            Self::TunnelDepth => "tunnel.depth",
        }
    }
}

impl Oddity {
    /// Whether it only says that bytes are missing: no fault of the sender's where the snap length cut
    /// them off.
    pub const fn is_truncation(self) -> bool {
        matches!(
            self,
            Self::LinkTruncated
                | Self::VlanTruncated
                | Self::LlcTruncated
                | Self::Ipv4Truncated
                | Self::Ipv6Truncated
                | Self::TcpTruncated
                | Self::UdpTruncated
                | Self::SctpTruncated
                | Self::IcmpTruncated
                | Self::GreTruncated
                | Self::WpanTruncated
        )
    }
}

/// A set of oddities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities(u64);

impl Oddities {
    /// None.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub const fn add(&mut self, oddity: Oddity) {
        self.0 |= 1 << oddity as u64;
    }

    /// Whether this one is in the set.
    pub const fn has(self, oddity: Oddity) -> bool {
        self.0 & (1 << oddity as u64) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in the set.
    pub fn iter(self) -> impl Iterator<Item = Oddity> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let first = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            Oddity::ALL.get(first as usize).copied()
        })
    }
}

impl Packet<'_> {
    /// How far the packet has come. Controllers of Siemens begin with 30, which nobody else's packets have
    /// left: hardly a system that begins with 32 is routed.
    pub const fn reach(&self) -> Reach {
        match self.network {
            Network::Ip { ttl, .. } => match ttl {
                1 | 30 | 32 | 64 | 128 | 255 => Reach::Near,
                _ => Reach::Routed,
            },
            _ => Reach::Unknown,
        }
    }
}
