//! Frames, from the link to the transport, with their checksums.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::MacAddr;

use crate::bytes::{Put, build};

pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const LLDP: u16 = 0x88cc;
const VLAN: u16 = 0x8100;

pub(crate) const ICMP: u8 = 1;
pub(crate) const IGMP: u8 = 2;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

/// The least length of a frame without its check sequence (IEEE 802.3).
const LEAST: usize = 60;

/// The sum of RFC 1071 over `bytes`, not yet folded; an odd last byte counts as the high one.
fn add(sum: u64, bytes: &[u8]) -> u64 {
    let pairs = bytes.chunks_exact(2);
    let last = pairs.remainder().first().map_or(0, |&byte| u64::from(byte) << 8);
    sum + last + pairs.map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u64>()
}

fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    fold(add(0, bytes))
}

/// The checksum over a pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) and `segment`.
pub(crate) fn transport_checksum(src: IpAddr, dst: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let addresses = |src: &[u8], dst: &[u8]| add(add(0, src), dst);
    let sum = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => addresses(&src.octets(), &dst.octets()),
        (IpAddr::V6(src), IpAddr::V6(dst)) => addresses(&src.octets(), &dst.octets()),
        _ => unreachable!("a packet has two addresses of one family"),
    };
    fold(add(sum + u64::from(protocol) + segment.len() as u64, segment))
}

/// An Ethernet II frame, tagged if `vlan` says so, filled up to the least length.
pub(crate) fn ethernet(dst: MacAddr, src: MacAddr, vlan: Option<u16>, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(LEAST.max(payload.len() + 18));
    frame.put(&dst.0).put(&src.0);
    if let Some(id) = vlan {
        frame.be16(VLAN).be16(id);
    }
    frame.be16(kind).put(payload);
    if frame.len() < LEAST {
        frame.resize(LEAST, 0);
    }
    frame
}

/// An IEEE 802.3 frame with an LLC header; `payload` begins with it.
pub(crate) fn llc(dst: MacAddr, src: MacAddr, payload: &[u8]) -> Vec<u8> {
    ethernet(dst, src, None, payload.len() as u16, payload)
}

/// What an IP header says beside its addresses and payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) ttl: u8,
    /// IPv4 only.
    pub(crate) id: u16,
    /// Do not fragment, IPv4 only.
    pub(crate) df: bool,
    pub(crate) tos: u8,
    /// Whether the router alert option stands in it (RFC 2113, RFC 2711).
    pub(crate) alert: bool,
}

/// An IP packet and its EtherType.
pub(crate) fn ip(src: IpAddr, dst: IpAddr, ip: Ip, protocol: u8, payload: &[u8]) -> (u16, Vec<u8>) {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => (IPV4, ipv4(src, dst, ip, protocol, payload)),
        (IpAddr::V6(src), IpAddr::V6(dst)) => (IPV6, ipv6(src, dst, ip, protocol, payload)),
        _ => unreachable!("a packet has two addresses of one family"),
    }
}

fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, ip: Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let options: &[u8] = if ip.alert { &[0x94, 4, 0, 0] } else { &[] };
    let mut packet = Vec::with_capacity(24 + payload.len());
    packet.u8(0x45 + (options.len() / 4) as u8).u8(ip.tos).be16((20 + options.len() + payload.len()) as u16);
    packet.be16(ip.id).be16(if ip.df { 0x4000 } else { 0 }).u8(ip.ttl).u8(protocol).be16(0);
    packet.put(&src.octets()).put(&dst.octets()).put(options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.put(payload);
    packet
}

fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, ip: Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    // Hop-by-hop options: next header, length 0, router alert for MLD, PadN.
    let options = if ip.alert { vec![protocol, 0, 5, 2, 0, 0, 1, 0] } else { Vec::new() };
    let mut packet = Vec::with_capacity(48 + payload.len());
    packet.be32(0x6000_0000 | u32::from(ip.tos) << 20).be16((options.len() + payload.len()) as u16);
    packet.u8(if ip.alert { 0 } else { protocol }).u8(ip.ttl).put(&src.octets()).put(&dst.octets());
    packet.put(&options).put(payload);
    packet
}

/// A UDP datagram (RFC 768).
pub(crate) fn udp(src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.be16(src.port()).be16(dst.port()).be16(8 + payload.len() as u16).be16(0).put(payload);
    let sum = match transport_checksum(src.ip(), dst.ip(), UDP, &datagram) {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// What a TCP header says beside its ports and payload (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp<'a> {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// A whole number of 32-bit words.
    pub(crate) options: &'a [u8],
}

/// A TCP segment.
pub(crate) fn tcp(src: SocketAddr, dst: SocketAddr, tcp: Tcp<'_>, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20 + tcp.options.len() + payload.len());
    segment.be16(src.port()).be16(dst.port()).be32(tcp.seq).be32(tcp.ack);
    segment.u8(((5 + tcp.options.len() / 4) << 4) as u8).u8(tcp.flags).be16(tcp.window).be16(0).be16(0);
    segment.put(tcp.options).put(payload);
    let sum = transport_checksum(src.ip(), dst.ip(), TCP, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// An ARP packet for IPv4 over Ethernet (RFC 826).
pub(crate) fn arp(operation: u16, from: (MacAddr, Ipv4Addr), to: (MacAddr, Ipv4Addr)) -> Vec<u8> {
    build(|packet| {
        packet.be16(1).be16(IPV4).u8(6).u8(4).be16(operation);
        packet.put(&from.0.0).put(&from.1.octets()).put(&to.0.0).put(&to.1.octets());
    })
}

/// The group or broadcast address of the link for an IP group or broadcast address (RFC 1112
/// section 6.4, RFC 2464 section 7), or `None` if the address is one station's.
pub(crate) fn group_mac(ip: IpAddr) -> Option<MacAddr> {
    match ip {
        IpAddr::V4(ip) if ip.is_multicast() => {
            let [_, b, c, d] = ip.octets();
            Some(MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        // All nets of the scenes are /24s.
        IpAddr::V4(ip) if ip.octets()[3] == 255 => Some(MacAddr::BROADCAST),
        IpAddr::V6(ip) if ip.is_multicast() => {
            let [.., a, b, c, d] = ip.octets();
            Some(MacAddr([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_1071_and_verify_to_zero() {
        // RFC 1071 section 3: the sum is ddf2, the checksum its complement.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let ip = Ip { ttl: 64, id: 1, df: true, tos: 0, alert: true };
        let packet = ipv4([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), ip, UDP, &[1, 2, 3]);
        assert_eq!(checksum(&packet[..24]), 0);
        let (src, dst) = ("192.0.2.1:1000".parse().unwrap(), "192.0.2.2:53".parse().unwrap());
        for payload in [&b""[..], b"a", b"ab", b"abc"] {
            let datagram = udp(src, dst, payload);
            assert_eq!(transport_checksum(src.ip(), dst.ip(), UDP, &datagram), 0);
        }
    }

    #[test]
    fn groups_map_to_the_link_as_their_standards_say() {
        let mac = |ip: &str| group_mac(ip.parse().unwrap()).map(|mac| mac.to_string());
        assert_eq!(mac("239.255.255.250").as_deref(), Some("01:00:5e:7f:ff:fa"));
        assert_eq!(mac("ff02::1:ff00:1234").as_deref(), Some("33:33:ff:00:12:34"));
        assert_eq!(mac("10.0.0.255").as_deref(), Some("ff:ff:ff:ff:ff:ff"));
        assert_eq!(mac("10.0.0.1"), None);
    }
}
