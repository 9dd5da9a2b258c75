//! What switches say to their neighbours: LLDP (IEEE 802.1AB), CDP, spanning tree (IEEE 802.1D).

use std::net::IpAddr;

use model::MacAddr;

use crate::bytes::{Put, build};
use crate::frame;
use crate::net::{HostId, Net};

/// What a device says of itself by LLDP and CDP.
#[derive(Clone, Copy)]
pub(crate) struct Card {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) port: &'static str,
    pub(crate) platform: &'static str,
    /// LLDP capability bits (table 8-4): 4 bridge, 16 router, 128 station.
    pub(crate) capabilities: u16,
}

fn tlv(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.be16(kind << 9 | value.len() as u16).put(value);
}

/// Says by LLDP who a device is; `port` is the address of the port it says it on.
pub(crate) fn lldp(net: &mut Net, host: HostId, port: MacAddr, card: Card) {
    let own = net.hosts[host].mac;
    let ip = net.hosts[host].v4;
    let data = build(|m| {
        tlv(m, 1, &build(|v| _ = v.u8(4).put(&own.0)));
        tlv(m, 2, &build(|v| _ = v.u8(5).put(card.port.as_bytes())));
        tlv(m, 3, &120_u16.to_be_bytes());
        tlv(m, 4, card.port.as_bytes());
        tlv(m, 5, card.name.as_bytes());
        tlv(m, 6, card.description.as_bytes());
        tlv(m, 7, &build(|v| _ = v.be16(card.capabilities).be16(card.capabilities)));
        if let Some(ip) = ip {
            tlv(m, 8, &build(|v| _ = v.u8(5).u8(1).put(&ip.octets()).u8(2).be32(1).u8(0)));
        }
        tlv(m, 0, &[]);
    });
    let group = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x0e]);
    net.speaks(host, "lldp");
    net.emit_from(host, port, frame::ethernet(group, port, None, frame::LLDP, &data));
}

/// Says by CDP version 2 who a device is.
pub(crate) fn cdp(net: &mut Net, host: HostId, port: MacAddr, card: Card) {
    let ip = net.hosts[host].v4;
    let tlv = |out: &mut Vec<u8>, kind: u16, value: &[u8]| {
        out.be16(kind).be16(4 + value.len() as u16).put(value);
    };
    let mut data = build(|m| {
        m.u8(2).u8(180).be16(0);
        tlv(m, 1, card.name.as_bytes());
        if let Some(ip) = ip {
            let address = build(|v| _ = v.be32(1).u8(1).u8(1).u8(0xcc).be16(4).put(&ip.octets()));
            tlv(m, 2, &address);
        }
        tlv(m, 3, card.port.as_bytes());
        // Capabilities: switch, IGMP.
        tlv(m, 4, &0x28_u32.to_be_bytes());
        tlv(m, 5, card.description.as_bytes());
        tlv(m, 6, card.platform.as_bytes());
        // Native VLAN 1, full duplex.
        tlv(m, 10, &1_u16.to_be_bytes());
        tlv(m, 11, &[1]);
    });
    // Cisco sums an odd last byte in its own way: keep the length even.
    if data.len() % 2 == 1 {
        tlv(&mut data, 0x1f, &[0]);
    }
    let sum = frame::checksum(&data);
    data[2..4].copy_from_slice(&sum.to_be_bytes());
    let packet = build(|m| _ = m.put(&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0]).put(&data));
    let group = MacAddr([0x01, 0, 0x0c, 0xcc, 0xcc, 0xcc]);
    net.speaks(host, "cdp");
    net.emit_from(host, port, frame::llc(group, port, &packet));
}

/// Sends a configuration message of the spanning tree (IEEE 802.1D section 9.3.1) as the root.
pub(crate) fn stp(net: &mut Net, host: HostId, port: MacAddr, number: u8) {
    let own = net.hosts[host].mac;
    let packet = build(|m| {
        m.put(&[0x42, 0x42, 3]).be16(0).u8(0).u8(0).u8(0);
        m.be16(0x8001).put(&own.0).be32(0).be16(0x8001).put(&own.0).u8(0x80).u8(number);
        m.be16(0).be16(20 << 8).be16(2 << 8).be16(15 << 8);
    });
    let group = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0]);
    net.speaks(host, "stp");
    net.emit_from(host, port, frame::llc(group, port, &packet));
}

/// Says by gratuitous ARP which address a host has (RFC 5227 section 2.3).
pub(crate) fn announce(net: &mut Net, host: HostId) {
    let to = IpAddr::from([255, 255, 255, 255]);
    if let IpAddr::V4(ip) = net.source(host, to)
        && !ip.is_unspecified()
    {
        let (mac, vlan) = (net.hosts[host].mac, net.hosts[host].vlan);
        net.arp(host, MacAddr::BROADCAST, vlan, frame::arp(1, (mac, ip), (MacAddr::default(), ip)));
        net.owns(host, ip.into());
    }
}

/// Asks whether anybody has an address before taking it (RFC 5227 section 2.1.1).
pub(crate) fn probe(net: &mut Net, host: HostId, ip: [u8; 4]) {
    let (mac, vlan) = (net.hosts[host].mac, net.hosts[host].vlan);
    let question = frame::arp(1, (mac, [0, 0, 0, 0].into()), (MacAddr::default(), ip.into()));
    net.arp(host, MacAddr::BROADCAST, vlan, question);
}
