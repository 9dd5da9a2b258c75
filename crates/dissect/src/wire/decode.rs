//! Composes the formats: from one header to the next, in a loop, until one is not understood.

use std::net::IpAddr;

use super::cooked::{self, Cooked, Logged};
use super::{
    Fragment, LinkType, Network, Oddities, Oddity, Packet, TransportInfo, can, ethernet, gre, icmp, ipv4,
    ipv6, llc, mpls, overlay, ppp, sctp, tcp, udp, wireless,
};

/// How many encapsulations (VLAN tags not counted) are opened before the rest is left as payload.
pub const MAX_TUNNELS: u8 = 4;
/// How many tags of an Ethernet frame are passed over before the rest is left as payload.
pub const MAX_TAGS: u8 = 8;
/// How many IPv6 extension headers are passed over before the rest is left as payload.
pub const MAX_EXTENSIONS: u8 = 8;
/// How many headers are read in one frame. The limits above are reached first in all that makes sense;
/// this one bounds the loop whatever happens.
const MAX_HEADERS: u8 = 48;

/// EtherTypes that are opened.
mod ether {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const PROVIDER_VLAN: u16 = 0x88a8;
    pub(super) const OLD_VLANS: [u16; 3] = [0x9100, 0x9200, 0x9300];
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const MPLS_MULTICAST: u16 = 0x8848;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
    pub(super) const PPP: u16 = 0x880b;
    pub(super) const BRIDGED: u16 = super::overlay::BRIDGED_ETHERNET;
    pub(super) const ERSPAN: [u16; 2] = [0x88be, 0x22eb];
    /// Cisco's tag for virtual interfaces.
    pub(super) const VN_TAG: u16 = 0x8926;
    /// High-availability seamless redundancy (IEC 62439-3 clause 5.7).
    pub(super) const HSR: u16 = 0x892f;
    /// E-Tag (IEEE 802.1BR clause 7.5).
    pub(super) const PORT_EXTENDER: u16 = 0x893f;
    pub(super) const CAN: [u16; 3] = [0x000c, 0x000d, 0x000e];
    pub(super) const WPAN: u16 = 0x00f6;
}

/// Service access points of LLC.
mod sap {
    pub(super) const IP: u8 = 0x06;
    pub(super) const SNAP: u8 = 0xaa;
    /// Novell's frames without LLC begin with a checksum of 0xffff.
    pub(super) const NOVELL: u8 = 0xff;
}

/// IP protocol numbers that are opened.
mod ip {
    pub(super) const ICMP: u8 = 1;
    pub(super) const IPV4: u8 = 4;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const IPV6: u8 = 41;
    pub(super) const GRE: u8 = 47;
    pub(super) const AUTHENTICATION: u8 = super::ipv6::next::AUTHENTICATION;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const ETHERNET: u8 = 97;
    pub(super) const SCTP: u8 = 132;
    pub(super) const MPLS: u8 = 137;
}

/// Kinds of tunnel, mixed into [`Packet::tunnel`].
#[derive(Clone, Copy)]
enum Tunnel {
    Ip = 1,
    Gre = 2,
    Vxlan = 3,
    Geneve = 4,
    Gtp = 5,
    Teredo = 6,
    Erspan = 7,
    Ethernet = 8,
    Capwap = 9,
}

impl Tunnel {
    /// The kind and the identifier in one number that is not 0.
    const fn with(self, id: u32) -> u32 {
        match (self as u32) << 24 ^ id {
            0 => 1,
            mixed => mixed,
        }
    }
}

/// What stands at the beginning of the bytes that are left.
#[derive(Clone, Copy)]
enum Layer {
    /// A frame of this link type.
    Link(LinkType),
    /// What an EtherType (or length, or number of Linux) announces.
    Kind(u16),
    /// An LLC header.
    Llc,
    /// IP of either version.
    Ip,
    /// An IPv6 extension header, or what follows the last.
    Extension(u8),
    /// What an IP protocol number announces.
    Protocol(u8),
    /// A tunnel over UDP to or from these ports.
    Overlay { source: u16, destination: u16 },
    /// PPP, from its protocol number.
    Ppp,
    /// An MPLS label stack.
    Mpls,
    /// Nothing that is understood.
    Payload,
}

struct Decoder<'a> {
    /// The frame as it was understood so far: always whole, so that decoding can end at any header.
    packet: Packet<'a>,
    /// What follows the headers read so far, as far as it was captured.
    rest: &'a [u8],
    /// How many bytes after `rest` were on the wire but not captured.
    missing: usize,
    /// The tunnel that is being opened; it becomes the packet's with the first header within.
    tunnel: u32,
    tunnels: u8,
    tags: u8,
}

/// Takes a frame apart. `wire_length` is its length on the wire, which may be more than was captured.
///
/// Never fails: what is not understood is left as payload of the last layer that was, and what is wrong
/// is in [`Packet::oddities`]. Time is bounded by [`MAX_TUNNELS`] and its like, not by the frame.
pub fn decode(link: LinkType, frame: &[u8], wire_length: usize) -> Packet<'_> {
    let missing = wire_length.saturating_sub(frame.len());
    let mut decoder = Decoder {
        packet: Packet {
            source_mac: None,
            destination_mac: None,
            vlans: [0; 2],
            tunnel: 0,
            network: Network::Link { kind: 0, snap: None },
            transport: TransportInfo::None,
            payload: frame,
            cut: missing,
            oddities: Oddities::NONE,
        },
        rest: frame,
        missing,
        tunnel: 0,
        tunnels: 0,
        tags: 0,
    };
    let first = if link == LinkType::ETHERNET { decoder.ethernet() } else { Layer::Link(link) };
    decoder.run(first);
    decoder.packet
}

/// Goes on where a datagram was in pieces: `datagram` is one of its fragments or stands for them, and
/// `payload` is what the whole datagram carries.
pub fn decode_ip_payload<'a>(datagram: &Packet<'_>, payload: &'a [u8]) -> Packet<'a> {
    let mut network = datagram.network;
    let mut next = Layer::Payload;
    if let Network::Ip { source, protocol, fragment, .. } = &mut network {
        *fragment = None;
        next = if source.is_ipv6() { Layer::Extension(*protocol) } else { Layer::Protocol(*protocol) };
    }
    let Packet { source_mac, destination_mac, vlans, tunnel, oddities, .. } = *datagram;
    let transport = TransportInfo::None;
    let packet =
        Packet { source_mac, destination_mac, vlans, tunnel, network, transport, payload, cut: 0, oddities };
    let mut decoder = Decoder { packet, rest: payload, missing: 0, tunnel, tunnels: 0, tags: 0 };
    decoder.run(next);
    decoder.packet
}

impl<'a> Decoder<'a> {
    fn run(&mut self, first: Layer) {
        let mut layer = first;
        for _ in 0..MAX_HEADERS {
            let read = match layer {
                Layer::Payload => return,
                Layer::Link(link) => self.link(link),
                Layer::Kind(kind) => self.kind(kind),
                Layer::Llc => self.llc(),
                Layer::Ip => Ok(self.ip()),
                Layer::Extension(next) => self.extensions(next),
                Layer::Protocol(protocol) => self.protocol(protocol),
                Layer::Overlay { source, destination } => self.overlay(source, destination),
                Layer::Ppp => self.ppp(),
                Layer::Mpls => self.mpls(),
            };
            match read {
                Ok(next) => layer = next,
                Err(oddity) => layer = self.odd(oddity),
            }
        }
        self.odd(Oddity::TunnelDepth);
    }

    /// Notes that something is wrong, and ends. A header that the snap length cut is not wrong.
    #[cold]
    fn odd(&mut self, oddity: Oddity) -> Layer {
        if self.missing == 0 || !oddity.is_truncation() {
            self.packet.oddities.add(oddity);
        }
        Layer::Payload
    }

    /// Ends what is left after `length` bytes: what follows is padding. Says no if there never were as
    /// many bytes on the wire.
    #[inline]
    fn clip(&mut self, length: usize) -> bool {
        if let Some(clipped) = self.rest.get(..length) {
            self.rest = clipped;
            self.missing = 0;
            return true;
        }
        let beyond = length - self.rest.len();
        let known = beyond <= self.missing;
        if known {
            self.missing = beyond;
        }
        known
    }

    /// Drops `length` bytes at the end of the frame.
    fn drop_trailer(&mut self, length: usize) {
        let captured = length.saturating_sub(self.missing);
        self.missing = self.missing.saturating_sub(length);
        self.rest = self.rest.get(..self.rest.len().saturating_sub(captured)).unwrap_or_default();
    }

    /// A new encapsulation begins, unless there were too many.
    fn open(&mut self, tunnel: u32) -> Result<(), Oddity> {
        self.tunnels += 1;
        if self.tunnels > MAX_TUNNELS {
            return Err(Oddity::TunnelDepth);
        }
        if tunnel != 0 {
            self.tunnel = tunnel;
        }
        Ok(())
    }

    /// What is left belongs to the link header just read.
    #[inline]
    fn on_link(&mut self, network: Network) {
        self.packet.network = network;
        self.packet.transport = TransportInfo::None;
        self.packet.tunnel = self.tunnel;
        self.payload();
    }

    /// What is left is the payload of what was understood.
    #[inline]
    const fn payload(&mut self) {
        self.packet.payload = self.rest;
        self.packet.cut = self.missing;
    }

    fn link(&mut self, link: LinkType) -> Result<Layer, Oddity> {
        const FLAG: u8 = 0x7e;
        Ok(match link {
            LinkType::ETHERNET => self.ethernet(),
            LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => Layer::Ip,
            LinkType::IPV4 => Layer::Kind(ether::IPV4),
            LinkType::IPV6 => Layer::Kind(ether::IPV6),
            LinkType::NULL | LinkType::LOOP => {
                let (kind, payload) = cooked::loopback(self.rest)?;
                self.rest = payload;
                Layer::Kind(kind)
            }
            LinkType::LINUX_SLL => self.cooked(Cooked::v1(self.rest)?),
            LinkType::LINUX_SLL2 => self.cooked(Cooked::v2(self.rest)?),
            LinkType::NFLOG => {
                let Logged { kind, source, payload } = Logged::new_checked(self.rest)?;
                self.packet.source_mac = source;
                self.rest = payload;
                Layer::Kind(kind)
            }
            LinkType::PPP | LinkType::PPP_HDLC | LinkType::CISCO_HDLC => {
                self.rest = self.rest.strip_prefix(&[FLAG]).unwrap_or(self.rest);
                let cisco = self.rest.first().is_some_and(|address| ppp::is_cisco(*address));
                if link == LinkType::CISCO_HDLC || cisco && link == LinkType::PPP_HDLC {
                    let (kind, payload) = ppp::cisco_hdlc(self.rest)?;
                    self.rest = payload;
                    Layer::Kind(kind)
                } else {
                    self.on_link(Network::Link { kind: ether::PPP, snap: None });
                    Layer::Ppp
                }
            }
            LinkType::PPP_ETHERNET => Layer::Kind(ether::PPPOE_SESSION),
            LinkType::PPI => {
                let (link, payload) = cooked::per_packet_information(self.rest)?;
                self.rest = payload;
                Layer::Link(link)
            }
            LinkType::NETANALYZER => {
                // Hilscher netANALYZER: four bytes of status, the frame, its check sequence.
                self.rest = self.rest.get(4..).ok_or(Oddity::LinkTruncated)?;
                self.drop_trailer(4);
                self.ethernet()
            }
            LinkType::IEEE802_11_RADIOTAP => {
                let (check_sequence, frame) = wireless::radiotap(self.rest)?;
                self.rest = frame;
                if check_sequence {
                    self.drop_trailer(4);
                }
                Layer::Link(LinkType::IEEE802_11)
            }
            LinkType::IEEE802_11 => self.wireless(wireless::View::new_checked(self.rest)?),
            LinkType::WPAN => self.wpan(2),
            LinkType::WPAN_NOFCS => self.wpan(0),
            LinkType::WPAN_PHY => {
                // Preamble, start delimiter and length stand before the frame.
                self.rest = self.rest.get(6..).ok_or(Oddity::WpanTruncated)?;
                self.wpan(2)
            }
            LinkType::WPAN_TAP => {
                let (check_sequence, frame) = wireless::wpan_tap(self.rest)?;
                self.rest = frame;
                self.wpan(check_sequence)
            }
            LinkType::CAN_SOCKETCAN => self.can()?,
            _ => return Err(Oddity::LinkTypeUnknown),
        })
    }

    #[inline]
    fn ethernet(&mut self) -> Layer {
        match ethernet::View::new_checked(self.rest) {
            Ok(view) => {
                self.packet.destination_mac = Some(view.destination());
                self.packet.source_mac = Some(view.source());
                self.rest = view.payload();
                self.announced(view.kind())
            }
            Err(oddity) => self.odd(oddity),
        }
    }

    /// What an EtherType announces; the usual two are read at once.
    #[inline]
    fn announced(&mut self, kind: u16) -> Layer {
        self.on_link(Network::Link { kind, snap: None });
        match kind {
            ether::IPV4 => self.ipv4(),
            ether::IPV6 => self.ipv6(),
            _ => Layer::Kind(kind),
        }
    }

    fn kind(&mut self, kind: u16) -> Result<Layer, Oddity> {
        if kind < ethernet::FIRST_ETHER_TYPE {
            return self.length(kind);
        }
        self.on_link(Network::Link { kind, snap: None });
        Ok(match kind {
            ether::IPV4 => self.ipv4(),
            ether::IPV6 => self.ipv6(),
            ether::VLAN | ether::PROVIDER_VLAN => self.tag()?,
            _ if ether::OLD_VLANS.contains(&kind) => self.tag()?,
            ether::VN_TAG | ether::HSR | ether::PORT_EXTENDER => {
                self.count_tag()?;
                let (kind, payload) = match kind {
                    ether::PORT_EXTENDER => ethernet::other_tag::<6>(self.rest)?,
                    _ => ethernet::other_tag::<4>(self.rest)?,
                };
                self.rest = payload;
                Layer::Kind(kind)
            }
            ether::MPLS | ether::MPLS_MULTICAST => Layer::Mpls,
            ether::PPPOE_SESSION => {
                let (length, payload) = ppp::pppoe_session(self.rest)?;
                self.open(0)?;
                self.rest = payload;
                if !self.clip(length) {
                    self.odd(Oddity::PppoeHeader);
                }
                Layer::Ppp
            }
            ether::PPP => Layer::Ppp,
            ether::BRIDGED => {
                self.open(Tunnel::Ethernet.with(0))?;
                self.ethernet()
            }
            _ => Layer::Payload,
        })
    }

    /// The length of an IEEE 802.3 frame stood where an EtherType might: LLC follows, or on Novell's
    /// oldest networks the payload itself.
    fn length(&mut self, length: u16) -> Result<Layer, Oddity> {
        if length > ethernet::MAX_LENGTH {
            self.on_link(Network::Link { kind: 0, snap: None });
            return Err(Oddity::LinkTypeUnknown);
        }
        if !self.clip(usize::from(length)) {
            self.odd(Oddity::LlcTruncated);
        }
        if self.rest.starts_with(&[0xff, 0xff]) {
            self.on_link(Network::Link { kind: u16::from(sap::NOVELL), snap: None });
            return Ok(Layer::Payload);
        }
        self.on_link(Network::Link { kind: 0, snap: None });
        Ok(Layer::Llc)
    }

    fn count_tag(&mut self) -> Result<(), Oddity> {
        self.tags += 1;
        if self.tags > MAX_TAGS { Err(Oddity::VlanDepth) } else { Ok(()) }
    }

    fn tag(&mut self) -> Result<Layer, Oddity> {
        self.count_tag()?;
        let tag = ethernet::Tag::new_checked(self.rest)?;
        if let Some(free) = self.packet.vlans.iter_mut().find(|vlan| **vlan == 0) {
            *free = tag.vlan();
        }
        self.rest = tag.payload();
        Ok(Layer::Kind(tag.kind()))
    }

    fn llc(&mut self) -> Result<Layer, Oddity> {
        let view = llc::View::new_checked(self.rest)?;
        self.rest = view.payload();
        // RFC 1042 and IEEE 802.1H: these organisations only wrap an EtherType.
        if let Some(([0, 0, 0 | 0xf8], kind @ ethernet::FIRST_ETHER_TYPE..)) = view.snap() {
            return Ok(Layer::Kind(kind));
        }
        self.on_link(Network::Link { kind: u16::from(view.dsap()), snap: view.snap() });
        Ok(if view.dsap() == sap::IP { Layer::Ip } else { Layer::Payload })
    }

    fn cooked(&mut self, header: Cooked<'a>) -> Layer {
        // ARP hardware types of Linux.
        const NETLINK: u16 = 824;
        const RADIOTAP: u16 = 803;
        const IEEE802154: u16 = 804;
        const IEEE802154_MONITOR: u16 = 805;
        // Linux's own numbers for frames with an IEEE 802.3 length.
        const NOVELL: u16 = 0x0001;
        const LLC: u16 = 0x0004;

        self.packet.source_mac = header.source;
        self.rest = header.payload;
        self.on_link(Network::Link { kind: 0, snap: None });
        match (header.hardware, header.protocol) {
            (RADIOTAP, _) => Layer::Link(LinkType::IEEE802_11_RADIOTAP),
            (IEEE802154 | IEEE802154_MONITOR, _) | (_, ether::WPAN) => Layer::Link(LinkType::WPAN_NOFCS),
            (NETLINK, _) => self.odd(Oddity::LinkTypeUnknown),
            (_, kind) if ether::CAN.contains(&kind) => Layer::Link(LinkType::CAN_SOCKETCAN),
            (_, kind @ ethernet::FIRST_ETHER_TYPE..) => Layer::Kind(kind),
            (_, LLC) => Layer::Llc,
            (_, NOVELL) => {
                self.on_link(Network::Link { kind: u16::from(sap::NOVELL), snap: None });
                Layer::Payload
            }
            _ => self.odd(Oddity::LinkTypeUnknown),
        }
    }

    fn wireless(&mut self, view: wireless::View<'a>) -> Layer {
        self.packet.source_mac = view.source;
        self.packet.destination_mac = view.destination;
        self.rest = view.data.unwrap_or(view.body);
        self.on_link(Network::Link { kind: 0, snap: None });
        match view.data {
            Some([sap::SNAP, sap::SNAP, ..]) => Layer::Llc,
            _ => Layer::Payload,
        }
    }

    fn wpan(&mut self, check_sequence: usize) -> Layer {
        self.drop_trailer(check_sequence);
        self.on_link(Network::Wpan);
        // IEEE 802.15.4 clause 7.2: frame control is two bytes.
        if self.rest.len() < 2 { self.odd(Oddity::WpanTruncated) } else { Layer::Payload }
    }

    fn can(&mut self) -> Result<Layer, Oddity> {
        let view = can::View::new_checked(self.rest)?;
        self.rest = view.after();
        if !self.clip(view.length()) {
            self.odd(Oddity::CanLength);
        }
        self.on_link(Network::Can { id: view.id(), fd: view.is_fd() });
        Ok(Layer::Payload)
    }

    fn ppp(&mut self) -> Result<Layer, Oddity> {
        let (protocol, payload) = ppp::ppp(self.rest)?;
        let next = match protocol {
            ppp::protocol::IPV4 | ppp::protocol::IPV6 => Layer::Ip,
            ppp::protocol::MPLS | ppp::protocol::MPLS_MULTICAST => Layer::Mpls,
            _ => return Ok(Layer::Payload),
        };
        self.rest = payload;
        Ok(next)
    }

    fn mpls(&mut self) -> Result<Layer, Oddity> {
        let under = mpls::under(self.rest)?;
        if let mpls::Under::Unknown = under {
            return Ok(Layer::Payload);
        }
        self.open(0)?;
        Ok(match under {
            mpls::Under::Ip(payload) => {
                self.rest = payload;
                Layer::Ip
            }
            mpls::Under::Ethernet(frame) => {
                self.rest = frame;
                self.ethernet()
            }
            mpls::Under::Unknown => Layer::Payload,
        })
    }

    fn ip(&mut self) -> Layer {
        match self.rest.first().map(|byte| byte >> 4) {
            Some(4) => self.ipv4(),
            Some(6) => self.ipv6(),
            Some(_) => self.odd(Oddity::Ipv4Version),
            None => self.odd(Oddity::Ipv4Truncated),
        }
    }

    #[inline]
    fn ipv4(&mut self) -> Layer {
        let view = match ipv4::View::new_checked(self.rest) {
            Ok(view) => view,
            Err(oddity) => return self.odd(oddity),
        };
        self.rest = view.after();
        let mut next = Layer::Protocol(view.protocol());
        match view.total_length().checked_sub(view.header_length()) {
            Some(length) => {
                if !self.clip(length) {
                    self.odd(Oddity::Ipv4TotalLength);
                }
            }
            // The interface would have cut the segments and set their lengths.
            None if view.total_length() == 0 => {}
            None => {
                self.clip(0);
                next = self.odd(Oddity::Ipv4TotalLength);
            }
        }
        if view.header_length() > 20
            && let Err(oddity) = view.check_options()
        {
            self.odd(oddity);
        }
        let fragment = view.fragment();
        if let Some(fragment) = &fragment {
            self.check_fragment(fragment, view.protocol());
            next = Layer::Payload;
        }
        self.on_link(Network::Ip {
            source: IpAddr::V4(view.source()),
            destination: IpAddr::V4(view.destination()),
            ttl: view.ttl(),
            protocol: view.protocol(),
            fragment,
        });
        match next {
            Layer::Protocol(ip::TCP) => self.tcp(),
            Layer::Protocol(ip::UDP) => self.udp(),
            next => next,
        }
    }

    #[inline]
    fn ipv6(&mut self) -> Layer {
        let view = match ipv6::View::new_checked(self.rest) {
            Ok(view) => view,
            Err(oddity) => return self.odd(oddity),
        };
        self.rest = view.after();
        let next = view.next_header();
        let length = view.payload_length();
        // RFC 2675 clause 3: a length of 0 stands for a jumbogram; with no next header it is just 0.
        if (length > 0 || next == ipv6::next::NONE) && !self.clip(length) {
            self.odd(Oddity::Ipv6PayloadLength);
        }
        self.on_link(Network::Ip {
            source: IpAddr::V6(view.source()),
            destination: IpAddr::V6(view.destination()),
            ttl: view.hop_limit(),
            protocol: next,
            fragment: None,
        });
        match next {
            ip::TCP => self.tcp(),
            ip::UDP => self.udp(),
            next => Layer::Extension(next),
        }
    }

    /// RFC 791 clause 3.2 and RFC 8200 clause 4.5: all pieces but the last are multiples of eight bytes,
    /// and no piece reaches beyond the longest datagram. RFC 1858 clause 3: a piece that begins at byte 8
    /// is there to hide or to overwrite TCP's flags.
    #[cold]
    fn check_fragment(&mut self, fragment: &Fragment, protocol: u8) {
        let length = self.rest.len() + self.missing;
        let end = length.saturating_add(fragment.offset as usize);
        if fragment.more && (!length.is_multiple_of(8) || length == 0) || end > usize::from(u16::MAX) {
            self.odd(Oddity::FragmentLength);
        }
        if fragment.offset == 8 && protocol == ip::TCP {
            self.odd(Oddity::FragmentTiny);
        }
    }

    /// Walks the extension headers (RFC 8200 clause 4) to the payload.
    fn extensions(&mut self, first: u8) -> Result<Layer, Oddity> {
        use ipv6::next;

        let mut protocol = first;
        for count in 0..MAX_EXTENSIONS {
            let header = match protocol {
                // Clause 4.3: only ever directly after the IPv6 header.
                next::HOP_BY_HOP if count > 0 => return Err(Oddity::Ipv6ExtensionHeader),
                next::HOP_BY_HOP | next::ROUTING | next::DESTINATION => {
                    ipv6::Extension::new_checked(self.rest)?
                }
                next::AUTHENTICATION => ipv6::Extension::authentication(self.rest)?,
                next::MOBILITY | next::HOST_IDENTITY | next::SHIM6 => {
                    let header = ipv6::Extension::new_checked(self.rest)?;
                    // Usually nothing follows these, and they are what the packet is about.
                    if header.next_header() == next::NONE {
                        return Ok(Layer::Payload);
                    }
                    header
                }
                next::FRAGMENT => {
                    let header = ipv6::FragmentHeader::new_checked(self.rest)?;
                    self.rest = header.payload();
                    protocol = header.next_header();
                    self.carried(protocol, header.fragment());
                    match header.fragment() {
                        Some(piece) => {
                            self.check_fragment(&piece, protocol);
                            return Ok(Layer::Payload);
                        }
                        None => continue,
                    }
                }
                next::NONE => return Ok(Layer::Payload),
                protocol => return Ok(Layer::Protocol(protocol)),
            };
            if protocol == next::ROUTING && header.is_source_route() {
                self.odd(Oddity::Ipv6SourceRoute);
            }
            self.rest = header.payload();
            protocol = header.next_header();
            self.carried(protocol, None);
        }
        Err(Oddity::Ipv6ExtensionCount)
    }

    /// The network layer's payload is of this protocol and begins here.
    fn carried(&mut self, next: u8, piece: Option<Fragment>) {
        if let Network::Ip { protocol, fragment, .. } = &mut self.packet.network {
            *protocol = next;
            *fragment = piece;
        }
        self.payload();
    }

    fn protocol(&mut self, protocol: u8) -> Result<Layer, Oddity> {
        Ok(match protocol {
            ip::TCP => self.tcp(),
            ip::UDP => self.udp(),
            ip::ICMP | ip::ICMPV6 => {
                self.packet.transport = icmp::View::new_checked(self.rest)?.info();
                Layer::Payload
            }
            ip::SCTP => {
                let view = sctp::View::new_checked(self.rest)?;
                self.packet.transport = view.info();
                self.rest = view.chunks();
                self.payload();
                Layer::Payload
            }
            ip::IPV4 | ip::IPV6 => {
                self.open(Tunnel::Ip.with(0))?;
                Layer::Ip
            }
            ip::GRE => self.gre()?,
            ip::AUTHENTICATION => {
                let header = ipv6::Extension::authentication(self.rest)?;
                self.rest = header.payload();
                self.carried(header.next_header(), None);
                Layer::Protocol(header.next_header())
            }
            ip::ETHERNET => {
                // RFC 3378 clause 3: version 3 and twelve reserved bits before the frame.
                let Some(frame) = self.rest.strip_prefix(&[0x30, 0]) else { return Ok(Layer::Payload) };
                self.open(Tunnel::Ethernet.with(0))?;
                self.rest = frame;
                self.ethernet()
            }
            ip::MPLS => Layer::Mpls,
            _ => Layer::Payload,
        })
    }

    #[inline]
    fn tcp(&mut self) -> Layer {
        let view = match tcp::View::new_checked(self.rest) {
            Ok(view) => view,
            Err(oddity) => return self.odd(oddity),
        };
        let length = view.header_length();
        match self.rest.get(length..) {
            Some(payload) => self.rest = payload,
            // The snap length may have cut the options: ports and numbers are there all the same.
            None if length - self.rest.len() <= self.missing => {
                self.missing -= length - self.rest.len();
                self.rest = &[];
            }
            None => return self.odd(Oddity::TcpTruncated),
        }
        if view.has_odd_flags() {
            self.odd(Oddity::TcpFlags);
        }
        self.packet.transport = view.info();
        self.payload();
        Layer::Payload
    }

    #[inline]
    fn udp(&mut self) -> Layer {
        let view = match udp::View::new_checked(self.rest) {
            Ok(view) => view,
            Err(oddity) => return self.odd(oddity),
        };
        self.rest = view.after();
        match view.payload_length() {
            Ok(None) => {}
            Ok(Some(length)) => {
                if !self.clip(length) {
                    self.odd(Oddity::UdpLength);
                }
            }
            Err(oddity) => {
                self.odd(oddity);
            }
        }
        let (source, destination) = (view.source(), view.destination());
        self.packet.transport = TransportInfo::Udp { source, destination };
        self.payload();
        match (source, destination) {
            (
                _,
                overlay::VXLAN_PORT
                | overlay::VXLAN_GPE_PORT
                | overlay::VXLAN_OLD_PORT
                | overlay::GENEVE_PORT
                | overlay::GTP_PORT
                | overlay::CAPWAP_PORT
                | overlay::TEREDO_PORT,
            )
            | (overlay::CAPWAP_PORT | overlay::TEREDO_PORT, _) => Layer::Overlay { source, destination },
            _ => Layer::Payload,
        }
    }

    /// Opens a tunnel over UDP, if it really is one.
    fn overlay(&mut self, source: u16, destination: u16) -> Result<Layer, Oddity> {
        let (tunnel, kind, payload) = match (source, destination) {
            (_, overlay::VXLAN_PORT | overlay::VXLAN_GPE_PORT | overlay::VXLAN_OLD_PORT) => {
                let Some((network, kind, payload)) = overlay::vxlan(self.rest) else {
                    return Ok(Layer::Payload);
                };
                (Tunnel::Vxlan.with(network), kind, payload)
            }
            (_, overlay::GENEVE_PORT) => {
                let Some((network, kind, payload)) = overlay::geneve(self.rest) else {
                    return Ok(Layer::Payload);
                };
                (Tunnel::Geneve.with(network), kind, payload)
            }
            (_, overlay::GTP_PORT) => {
                let Some(payload) = overlay::gtp_user(self.rest) else { return Ok(Layer::Payload) };
                (Tunnel::Gtp.with(0), ether::IPV4, payload)
            }
            (overlay::CAPWAP_PORT, _) | (_, overlay::CAPWAP_PORT) => match overlay::capwap(self.rest) {
                Some(overlay::Tunnelled::Ethernet(frame)) => (Tunnel::Capwap.with(0), ether::BRIDGED, frame),
                Some(overlay::Tunnelled::Wireless(frame)) => {
                    let view = wireless::View::tunnelled(frame)?;
                    if view.data.is_none() {
                        return Ok(Layer::Payload);
                    }
                    self.open(Tunnel::Capwap.with(0))?;
                    return Ok(self.wireless(view));
                }
                None => return Ok(Layer::Payload),
            },
            _ => {
                let Some(payload) = overlay::teredo(self.rest) else { return Ok(Layer::Payload) };
                (Tunnel::Teredo.with(0), ether::IPV6, payload)
            }
        };
        let next = match kind {
            ether::BRIDGED => Layer::Link(LinkType::ETHERNET),
            ether::IPV4 | ether::IPV6 => Layer::Ip,
            _ => return Ok(Layer::Payload),
        };
        self.open(tunnel)?;
        self.rest = payload;
        Ok(next)
    }

    fn gre(&mut self) -> Result<Layer, Oddity> {
        let view = gre::View::new_checked(self.rest)?;
        let tunnel = Tunnel::Gre.with(view.key());
        let (tunnel, payload, next) = match view.protocol() {
            ether::IPV4 | ether::IPV6 => (tunnel, view.payload(), Layer::Ip),
            ether::PPP => (tunnel, view.payload(), Layer::Ppp),
            ether::MPLS | ether::MPLS_MULTICAST => (tunnel, view.payload(), Layer::Mpls),
            ether::BRIDGED => (tunnel, view.payload(), Layer::Link(LinkType::ETHERNET)),
            // Mirrored frames are copies: what they show is the network itself, from wherever.
            kind if ether::ERSPAN.contains(&kind) => {
                (Tunnel::Erspan.with(0), view.erspan()?, Layer::Link(LinkType::ETHERNET))
            }
            _ => return Ok(Layer::Payload),
        };
        // PPTP acknowledges in packets without payload.
        if payload.is_empty() && self.missing == 0 {
            return Ok(Layer::Payload);
        }
        self.open(tunnel)?;
        self.rest = payload;
        Ok(next)
    }
}
