//! ICMP echo (RFC 792) and IGMP membership (RFC 3376).

use std::net::{IpAddr, Ipv4Addr};

use crate::bytes::{Put, build};
use crate::frame::{ICMP, IGMP, checksum};
use crate::net::{HostId, Net};

/// Puts the Internet checksum into bytes 2 and 3.
fn summed(mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// One host pings another `count` times.
pub(crate) fn ping(net: &mut Net, client: HostId, server: HostId, count: u16) {
    let (src, dst) = (net.v4(client, server), net.v4(server, client));
    net.meet(client, dst);
    let id = net.rng.u16();
    let data: Vec<u8> = (b'a'..=b'w').chain(b'a'..=b'i').collect();
    for number in 1..=count {
        let echo = |kind| summed(build(|m| _ = m.u8(kind).u8(0).be16(0).be16(id).be16(number).put(&data)));
        let ttl = |net: &Net, host: HostId| (net.ttl(host), false);
        let at = net.clock;
        let limit = ttl(net, client);
        net.raw(client, (src, dst), limit, ICMP, &echo(8));
        net.wait_for(server);
        let limit = ttl(net, server);
        net.raw(server, (dst, src), limit, ICMP, &echo(0));
        net.clock = net.clock.max(at + crate::net::SECOND);
    }
    net.conversed(client, server, ("icmp", 0, "icmp"));
}

/// A host joins groups (RFC 3376 section 4.2: version 3 report, one "change to exclude" record each).
pub(crate) fn join(net: &mut Net, host: HostId, groups: &[[u8; 4]]) {
    let report = summed(build(|m| {
        m.u8(0x22).u8(0).be16(0).be16(0).be16(groups.len() as u16);
        for group in groups {
            m.u8(4).u8(0).be16(0).put(group);
        }
    }));
    let to = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 22));
    let src = net.source(host, to);
    net.raw(host, (src, to), (1, true), IGMP, &report);
    net.speaks(host, "igmp");
}

/// The querier asks who is in which group (RFC 3376 section 4.1: general query).
pub(crate) fn query(net: &mut Net, host: HostId) {
    let query = summed(build(|m| _ = m.u8(0x11).u8(100).be16(0).be32(0).put(&[2, 125, 0, 0])));
    let to = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1));
    let src = net.source(host, to);
    net.raw(host, (src, to), (1, true), IGMP, &query);
    net.speaks(host, "igmp");
}
