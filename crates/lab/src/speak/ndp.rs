//! Neighbour discovery (RFC 4861) and multicast listener reports (RFC 3810).

use std::net::{IpAddr, Ipv6Addr};

use crate::bytes::{Put, build};
use crate::frame::{ICMPV6, transport_checksum};
use crate::net::{HostId, Net};

/// Sends an ICMPv6 message with the hop limit of 255 that neighbour discovery demands.
fn send(net: &mut Net, host: HostId, src: Ipv6Addr, dst: Ipv6Addr, mut message: Vec<u8>) {
    let ends = (IpAddr::V6(src), IpAddr::V6(dst));
    let sum = transport_checksum(ends.0, ends.1, ICMPV6, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let (ttl, alert) = if message[0] == 143 { (1, true) } else { (255, false) };
    net.raw(host, ends, (ttl, alert), ICMPV6, &message);
    net.speaks(host, "icmpv6");
}

/// The group in which the owner of an address is asked for (RFC 4291 section 2.7.1).
fn solicited(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = ip.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (a & 0xff), b)
}

/// One host asks for another's link-layer address and is answered.
pub(crate) fn resolve(net: &mut Net, asker: (HostId, Ipv6Addr), asked: (HostId, Ipv6Addr)) {
    let [from, to] = [asker.0, asked.0].map(|host| net.hosts[host].mac);
    let question =
        build(|m| _ = m.u8(135).u8(0).be16(0).be32(0).put(&asked.1.octets()).u8(1).u8(1).put(&from.0));
    send(net, asker.0, asker.1, solicited(asked.1), question);
    net.pause_us(80, 500);
    let router = u32::from(asked.0 == net.router) << 31;
    let flags = router | 3 << 29;
    let answer =
        build(|m| _ = m.u8(136).u8(0).be16(0).be32(flags).put(&asked.1.octets()).u8(2).u8(1).put(&to.0));
    send(net, asked.0, asked.1, asker.1, answer);
}

/// The router says which prefix the net has (RFC 4861 section 4.2).
pub(crate) fn advertise(net: &mut Net, prefix: [u16; 4]) {
    let router = net.router;
    let (src, mac) = (net.hosts[router].link_local(), net.hosts[router].mac);
    let message = build(|m| {
        // Hop limit 64, other configuration by DHCPv6, router for 30 minutes.
        m.u8(134).u8(0).be16(0).u8(64).u8(0x40).be16(1_800).be32(0).be32(0);
        m.u8(1).u8(1).put(&mac.0);
        m.u8(5).u8(1).be16(0).be32(1_500);
        m.u8(3).u8(4).u8(64).u8(0xc0).be32(86_400).be32(14_400).be32(0);
        for part in prefix {
            m.be16(part);
        }
        m.be64(0);
    });
    send(net, router, src, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), message);
}

/// A host comes to the link: it looks whether its addresses are free, joins their groups and asks for a
/// router (RFC 4862 section 5.4, RFC 4861 section 6.3.7). The router answers to all.
pub(crate) fn arrive(net: &mut Net, host: HostId, prefix: [u16; 4], global: Ipv6Addr) {
    let (own, mac) = (net.hosts[host].link_local(), net.hosts[host].mac);
    let group = |ip| solicited(ip).octets();
    let report = build(|m| _ = m.u8(143).u8(0).be16(0).be16(0).be16(1).u8(4).u8(0).be16(0).put(&group(own)));
    send(net, host, own, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16), report);
    let free = |ip: Ipv6Addr| build(|m| _ = m.u8(135).u8(0).be16(0).be32(0).put(&ip.octets()));
    send(net, host, Ipv6Addr::UNSPECIFIED, solicited(own), free(own));
    net.pause_us(900_000, 1_100_000);
    let question = build(|m| _ = m.u8(133).u8(0).be16(0).be32(0).u8(1).u8(1).put(&mac.0));
    send(net, host, own, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), question);
    net.pause_us(2_000, 30_000);
    advertise(net, prefix);
    net.pause_us(1_000, 4_000);
    net.assign6(host, global);
    send(net, host, Ipv6Addr::UNSPECIFIED, solicited(global), free(global));
    net.pause_us(900_000, 1_100_000);
}
