//! Frames with known answers, the real captures, and arbitrary bytes.

use std::net::IpAddr;
use std::path::Path;

use model::{MacAddr, Timestamp};
use proptest::prelude::*;

use super::*;

const CLIENT: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const SERVER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// The transport header that most of these frames end with: port 49153 to 502, PSH and ACK, data `hi`.
fn tcp() -> Vec<u8> {
    let mut bytes = vec![0xc0, 1, 0x01, 0xf6, 0, 0, 0, 9, 0, 0, 0, 7, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0];
    bytes.extend(b"hi");
    bytes
}

fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &length, &[0, 0], payload].concat()
}

/// 192.0.2.1 to 192.0.2.2.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_piece(0x4000, protocol, payload)
}

fn ipv4_piece(fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (length, fragment) = ((20 + payload.len() as u16).to_be_bytes(), fragment.to_be_bytes());
    let mut bytes =
        vec![0x45, 0, length[0], length[1], 0x12, 0x34, fragment[0], fragment[1], 64, protocol, 0, 0];
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    bytes.extend(payload);
    bytes
}

/// 2001:db8::1 to 2001:db8::2.
fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let mut bytes = vec![0x60, 0, 0, 0, length[0], length[1], next, 255];
    for last in [1, 2] {
        bytes.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    bytes.extend(payload);
    bytes
}

/// From `CLIENT` to `SERVER`.
fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&SERVER.0[..], &CLIENT.0, &kind.to_be_bytes(), payload].concat()
}

fn read(link: LinkType, frame: &[u8]) -> Packet<'_> {
    decode(link, frame, frame.len())
}

/// The packet in one line, for comparing.
fn line(packet: &Packet<'_>) -> String {
    let mac = |mac: Option<MacAddr>| mac.map_or("-".to_owned(), |mac| format!("{:02x}", mac.0[5]));
    let mut text = format!("{}>{}", mac(packet.source_mac), mac(packet.destination_mac));
    if packet.vlans != [0, 0] {
        text += &format!(" vlans {:?}", packet.vlans);
    }
    if packet.tunnel != 0 {
        text += &format!(" tunnel {:x}", packet.tunnel);
    }
    text += &match packet.network {
        Network::Ip { source, destination, ttl, protocol, fragment } => {
            let piece = fragment.map_or(String::new(), |f| format!(" {:x}@{}+{}", f.id, f.offset, f.more));
            format!(" {source}>{destination} ttl {ttl} ip {protocol}{piece}")
        }
        Network::Link { kind, snap: None } => format!(" link {kind:04x}"),
        Network::Link { kind, snap: Some((organisation, protocol)) } => {
            format!(" link {kind:04x} {organisation:02x?} {protocol:04x}")
        }
        Network::Can { id, fd } => format!(" can {id:x} {fd}"),
        Network::Wpan => " wpan".to_owned(),
    };
    text += &match packet.transport {
        TransportInfo::None => String::new(),
        TransportInfo::Tcp { source, destination, sequence, acknowledgement, flags, window } => {
            format!(" tcp {source}>{destination} {sequence}/{acknowledgement} {:02x} {window}", flags.0)
        }
        TransportInfo::Udp { source, destination } => format!(" udp {source}>{destination}"),
        TransportInfo::Sctp { source, destination } => format!(" sctp {source}>{destination}"),
        TransportInfo::Icmp { kind, code } => format!(" icmp {kind}/{code}"),
    };
    text += &format!(" [{}]", packet.payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    if packet.cut > 0 {
        text += &format!(" cut {}", packet.cut);
    }
    for oddity in packet.oddities.iter() {
        text += &format!(" !{}", oddity.name());
    }
    text
}

const TCP_LINE: &str = "192.0.2.1>192.0.2.2 ttl 64 ip 6 tcp 49153>502 9/7 18 8192 [6869]";
const TCP6_LINE: &str = "2001:db8::1>2001:db8::2 ttl 255 ip 6 tcp 49153>502 9/7 18 8192 [6869]";

#[track_caller]
fn expect(link: LinkType, frame: &[u8], expected: &str) {
    assert_eq!(line(&read(link, frame)), expected);
}

#[test]
fn ethernet_carries_both_versions_of_ip_and_padding_is_cut() {
    let mut frame = ethernet(0x0800, &ipv4(6, &tcp()));
    frame.extend([0xee; 6]);
    expect(LinkType::ETHERNET, &frame, &format!("01>02 {TCP_LINE}"));
    let mut frame = ethernet(0x86dd, &ipv6(6, &tcp()));
    frame.extend([0xee; 6]);
    expect(LinkType::ETHERNET, &frame, &format!("01>02 {TCP6_LINE}"));
}

#[test]
fn tags_are_passed_over_and_the_outer_two_kept() {
    let ip = ipv4(6, &tcp());
    let tags = [&[0x60, 5, 0x81, 0, 0, 6, 0x91, 0, 0, 7, 8, 0][..], &ip].concat();
    expect(LinkType::ETHERNET, &ethernet(0x88a8, &tags), &format!("01>02 vlans [5, 6] {TCP_LINE}"));
    let priority = [&[0x60, 0, 8, 0][..], &ip].concat();
    expect(LinkType::ETHERNET, &ethernet(0x8100, &priority), &format!("01>02 {TCP_LINE}"));
    let endless = ethernet(0x8100, &[0, 1, 0x81, 0].repeat(40));
    assert!(read(LinkType::ETHERNET, &endless).oddities.has(Oddity::VlanDepth));
}

#[test]
fn ieee_802_3_frames_carry_llc_snap_or_novell() {
    let pad = [0xee; 8];
    let stp = [&[0x42, 0x42, 3, 0, 0][..], &pad].concat();
    expect(LinkType::ETHERNET, &ethernet(5, &stp), "01>02 link 0042 [0000]");
    let cdp = [&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180][..], &pad].concat();
    expect(LinkType::ETHERNET, &ethernet(10, &cdp), "01>02 link 00aa [00, 00, 0c] 2000 [02b4]");
    let information = [&[0xf0, 0xf0, 0, 2, 9][..], &pad].concat();
    expect(LinkType::ETHERNET, &ethernet(5, &information), "01>02 link 00f0 [09]");
    expect(LinkType::ETHERNET, &ethernet(4, &[0xff, 0xff, 0, 4, 0xee]), "01>02 link 00ff [ffff0004]");
    let ip = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &ipv4(6, &tcp())].concat();
    expect(LinkType::ETHERNET, &ethernet(ip.len() as u16, &ip), &format!("01>02 {TCP_LINE}"));
    expect(LinkType::ETHERNET, &ethernet(9, &[0x42, 0x42]), "01>02 link 0000 [4242] !llc.truncated");
}

#[test]
fn other_ethertypes_are_left_as_they_are() {
    expect(LinkType::ETHERNET, &ethernet(0x88cc, &[2, 7]), "01>02 link 88cc [0207]");
    expect(LinkType::ETHERNET, &ethernet(0x05ff, &[2, 7]), "01>02 link 0000 [0207] !link.unknown-type");
}

#[test]
fn ipv4_options_are_checked() {
    let with = |options: [u8; 4]| {
        let mut packet = ipv4(6, &tcp());
        packet[0] = 0x46;
        packet[3] += 4;
        packet.splice(20..20, options);
        ethernet(0x0800, &packet)
    };
    expect(LinkType::ETHERNET, &with([1, 1, 1, 0]), &format!("01>02 {TCP_LINE}"));
    expect(LinkType::ETHERNET, &with([7, 3, 4, 0]), &format!("01>02 {TCP_LINE}"));
    expect(LinkType::ETHERNET, &with([7, 9, 4, 0]), &format!("01>02 {TCP_LINE} !ipv4.option"));
    expect(LinkType::ETHERNET, &with([7, 1, 4, 0]), &format!("01>02 {TCP_LINE} !ipv4.option"));
    expect(LinkType::ETHERNET, &with([131, 3, 4, 0]), &format!("01>02 {TCP_LINE} !ipv4.source-route"));
}

#[test]
fn lengths_that_lie_are_told_and_the_packet_is_read_as_far_as_it_goes() {
    let mut packet = ipv4(6, &tcp());
    packet[2..4].copy_from_slice(&[0, 0]);
    expect(LinkType::IPV4, &packet, &format!("->- {TCP_LINE}"));
    packet[3] = 200;
    expect(LinkType::IPV4, &packet, &format!("->- {TCP_LINE} !ipv4.total-length"));
    packet[3] = 19;
    expect(LinkType::IPV4, &packet, "->- 192.0.2.1>192.0.2.2 ttl 64 ip 6 [] !ipv4.total-length");
    packet[0] = 0x44;
    assert!(read(LinkType::IPV4, &packet).oddities.has(Oddity::Ipv4HeaderLength));
    packet[0] = 0x55;
    assert!(read(LinkType::IPV4, &packet).oddities.has(Oddity::Ipv4Version));
    let mut packet = ipv6(6, &tcp());
    packet[5] = 200;
    expect(LinkType::IPV6, &packet, &format!("->- {TCP6_LINE} !ipv6.payload-length"));
}

#[test]
fn what_the_snap_length_cut_is_counted_and_is_no_oddity() {
    let frame = ethernet(0x0800, &ipv4(6, &[tcp(), vec![b'x'; 100]].concat()));
    for captured in 0..frame.len() {
        let packet = decode(LinkType::ETHERNET, &frame[..captured], frame.len());
        assert!(packet.oddities.is_empty(), "{captured}: {}", line(&packet));
        if let TransportInfo::Tcp { .. } = packet.transport {
            assert_eq!(packet.payload.len() + packet.cut, 102);
        }
    }
    // Options of TCP that were cut off: ports and numbers are still known.
    let mut segment = tcp();
    segment[12] = 0x80;
    segment.extend([b'x'; 100]);
    let frame = ethernet(0x0800, &ipv4(6, &segment));
    let packet = decode(LinkType::ETHERNET, &frame[..54], frame.len());
    assert!(matches!(packet.transport, TransportInfo::Tcp { source: 49153, .. }));
    assert_eq!((packet.payload.len(), packet.cut), (0, 90));
    // Nothing was cut here, so the frame itself is too short.
    let packet = read(LinkType::ETHERNET, &frame[..50]);
    assert!(packet.oddities.has(Oddity::TcpTruncated) && packet.oddities.has(Oddity::Ipv4TotalLength));
}

#[test]
fn ipv6_extension_headers_are_walked() {
    let hop_by_hop = [60, 0, 5, 2, 0, 0, 1, 0];
    let destination = [51, 0, 1, 4, 0, 0, 0, 0];
    let authentication = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let chain = [&hop_by_hop[..], &destination, &authentication, &tcp()].concat();
    expect(LinkType::IPV6, &ipv6(0, &chain), &format!("->- {TCP6_LINE}"));
    let source_route = [&[6, 0, 0, 1, 0, 0, 0, 0][..], &tcp()].concat();
    expect(LinkType::IPV6, &ipv6(43, &source_route), &format!("->- {TCP6_LINE} !ipv6.source-route"));
    let late = [&[0, 0, 1, 4, 0, 0, 0, 0][..], &[6, 0, 1, 4, 0, 0, 0, 0], &tcp()].concat();
    assert!(read(LinkType::IPV6, &ipv6(60, &late)).oddities.has(Oddity::Ipv6ExtensionHeader));
    let endless = [60, 0, 1, 4, 0, 0, 0, 0].repeat(40);
    assert!(read(LinkType::IPV6, &ipv6(60, &endless)).oddities.has(Oddity::Ipv6ExtensionCount));
    let mobility = [59, 0, 5, 0, 0, 0, 0, 0];
    expect(
        LinkType::IPV6,
        &ipv6(135, &mobility),
        "->- 2001:db8::1>2001:db8::2 ttl 255 ip 135 [3b00050000000000]",
    );
}

#[test]
fn fragments_are_told_and_their_content_is_left_alone() {
    expect(
        LinkType::IPV4,
        &ipv4_piece(0x2000, 17, &[7; 8]),
        "->- 192.0.2.1>192.0.2.2 ttl 64 ip 17 1234@0+true [0707070707070707]",
    );
    expect(
        LinkType::IPV4,
        &ipv4_piece(0x0001, 6, &[7; 3]),
        "->- 192.0.2.1>192.0.2.2 ttl 64 ip 6 1234@8+false [070707] !ip.fragment-tiny",
    );
    assert!(read(LinkType::IPV4, &ipv4_piece(0x2001, 17, &[7; 3])).oddities.has(Oddity::FragmentLength));
    assert!(read(LinkType::IPV4, &ipv4_piece(0x1fff, 17, &[7; 9])).oddities.has(Oddity::FragmentLength));
    let piece = [&[17, 0, 0, 0x11, 0, 0, 0, 9][..], &[7; 8]].concat();
    expect(
        LinkType::IPV6,
        &ipv6(44, &piece),
        "->- 2001:db8::1>2001:db8::2 ttl 255 ip 17 9@16+true [0707070707070707]",
    );
    // RFC 6946: whole datagrams with a fragment header need no others.
    let atomic = [&[6, 0, 0, 0, 0, 0, 0, 9][..], &tcp()].concat();
    expect(LinkType::IPV6, &ipv6(44, &atomic), &format!("->- {TCP6_LINE}"));
}

#[test]
fn transport_headers_that_are_wrong_are_told() {
    let ip = "->- 192.0.2.1>192.0.2.2 ttl 64 ip";
    let with_flags = |flags: u8| {
        let mut segment = tcp();
        segment[13] = flags;
        read(LinkType::IPV4, &ipv4(6, &segment)).oddities.has(Oddity::TcpFlags)
    };
    assert_eq!([0x02, 0x12, 0x10, 0x11, 0x04, 0x14].map(with_flags), [false; 6]);
    assert_eq!([0x00, 0x03, 0x01, 0x29, 0x06, 0x08].map(with_flags), [true; 6]);
    let mut segment = tcp();
    segment[12] = 0x40;
    assert!(read(LinkType::IPV4, &ipv4(6, &segment)).oddities.has(Oddity::TcpDataOffset));
    segment[12] = 0xf0;
    assert!(read(LinkType::IPV4, &ipv4(6, &segment)).oddities.has(Oddity::TcpTruncated));

    let mut datagram = udp(53, 1024, &[1, 2, 3, 4]);
    datagram[5] = 10;
    expect(LinkType::IPV4, &ipv4(17, &datagram), &format!("{ip} 17 udp 53>1024 [0102]"));
    datagram[5] = 40;
    expect(LinkType::IPV4, &ipv4(17, &datagram), &format!("{ip} 17 udp 53>1024 [01020304] !udp.length"));
    datagram[5] = 7;
    expect(LinkType::IPV4, &ipv4(17, &datagram), &format!("{ip} 17 udp 53>1024 [01020304] !udp.length"));
    datagram[5] = 0;
    expect(LinkType::IPV4, &ipv4(17, &datagram), &format!("{ip} 17 udp 53>1024 [01020304]"));

    let sctp = [0x0b, 0x59, 0x0b, 0x5a, 0, 0, 0, 1, 0, 0, 0, 0, 4, 0, 0, 4];
    expect(LinkType::IPV4, &ipv4(132, &sctp), &format!("{ip} 132 sctp 2905>2906 [04000004]"));
    expect(LinkType::IPV4, &ipv4(1, &[8, 0, 0, 0, 1]), &format!("{ip} 1 icmp 8/0 [0800000001]"));
    expect(LinkType::IPV4, &ipv4(1, &[8, 0]), &format!("{ip} 1 [0800] !icmp.truncated"));
    expect(LinkType::IPV4, &ipv4(112, &[1]), &format!("{ip} 112 [01]"));
}

/// An IP packet from 198.51.100.1 to 198.51.100.2, the ends of a tunnel.
fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(protocol, payload);
    packet[12..20].copy_from_slice(&[198, 51, 100, 1, 198, 51, 100, 2]);
    ethernet(0x0800, &packet)
}

/// Frames with tunnels, tags and labels, and the line that each gives.
fn encapsulated() -> Vec<(Vec<u8>, String)> {
    let (ip, ip6) = (ipv4(6, &tcp()), ipv6(6, &tcp()));
    let inner_frame = [&[2, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 3, 8, 0][..], &ip].concat();
    let mut list = Vec::new();
    let mut add = |kind: u16, headers: &[u8], inner: &[u8], expected: String| {
        list.push((ethernet(kind, &[headers, inner].concat()), expected));
    };
    add(0x8864, &[0x11, 0, 0, 9, 0, 44, 0, 0x21], &ip, format!("01>02 {TCP_LINE}"));
    add(0x8847, &[0, 1, 0, 64, 0, 2, 1, 64], &ip, format!("01>02 {TCP_LINE}"));
    add(0x892f, &[0x10, 0x2c, 0, 1, 8, 0], &ip, format!("01>02 {TCP_LINE}"));
    add(0x8926, &[0, 1, 0, 2, 8, 0], &ip, format!("01>02 {TCP_LINE}"));
    add(0x893f, &[0x10, 0, 0, 0xd8, 0, 0, 8, 0], &ip, format!("01>02 {TCP_LINE}"));
    add(0x88a8, &[0x60, 5, 0x81, 0, 0, 6, 8, 0], &ip, format!("01>02 vlans [5, 6] {TCP_LINE}"));

    let mut add = |protocol: u8, headers: &[u8], inner: &[u8], expected: String| {
        list.push((outer(protocol, &[headers, inner].concat()), expected));
    };
    add(4, &[], &ip, format!("01>02 tunnel 1000000 {TCP_LINE}"));
    add(41, &[], &ip6, format!("01>02 tunnel 1000000 {TCP6_LINE}"));
    // GRE with checksum, key and sequence number.
    let gre = [0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 1];
    add(47, &gre, &ip, format!("01>02 tunnel 200002a {TCP_LINE}"));
    add(47, &[0, 0, 0x65, 0x58], &inner_frame, format!("03>04 tunnel 2000000 {TCP_LINE}"));
    // PPTP with sequence number, PPP with address and control.
    let pptp = [0x30, 1, 0x88, 0x0b, 0, 46, 0, 7, 0, 0, 0, 1, 0xff, 3, 0, 0x21];
    add(47, &pptp, &ip, format!("01>02 tunnel 2000000 {TCP_LINE}"));
    let mirrored = format!("03>04 tunnel 7000000 {TCP_LINE}");
    add(47, &[0, 0, 0x88, 0xbe], &inner_frame, mirrored.clone());
    let erspan_2 = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 1, 0, 0, 0, 0];
    add(47, &erspan_2, &inner_frame, mirrored.clone());
    let mut erspan_3 = vec![0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    erspan_3.extend([0; 8]);
    add(47, &erspan_3, &inner_frame, mirrored);
    add(97, &[0x30, 0], &inner_frame, format!("03>04 tunnel 8000000 {TCP_LINE}"));
    add(137, &[0, 1, 1, 64], &ip, format!("01>02 {TCP_LINE}"));

    let mut add = |port: u16, headers: &[u8], inner: &[u8], expected: String| {
        list.push((outer(17, &udp(50000, port, &[headers, inner].concat())), expected));
    };
    let virtual_lan = format!("03>04 tunnel 300002a {TCP_LINE}");
    add(4789, &[8, 0, 0, 0, 0, 0, 42, 0], &inner_frame, virtual_lan.clone());
    add(4790, &[0x0c, 0, 0, 3, 0, 0, 42, 0], &inner_frame, virtual_lan);
    add(4790, &[0x0c, 0, 0, 1, 0, 0, 42, 0], &ip, format!("01>02 tunnel 300002a {TCP_LINE}"));
    let geneve = [1, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 0];
    add(6081, &geneve, &inner_frame, format!("03>04 tunnel 400002a {TCP_LINE}"));
    let gtp = [0x34, 255, 0, 50, 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0x10, 9, 0];
    add(2152, &gtp, &ip, format!("01>02 tunnel 5000000 {TCP_LINE}"));
    let mut qualified = ip6;
    qualified[8..12].copy_from_slice(&[0x20, 1, 0, 0]);
    let teredo = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1];
    let expected = format!("01>02 tunnel 6000000 {}", TCP6_LINE.replace("2001:db8::1", "2001::1"));
    add(3544, &teredo, &qualified, expected);
    // An access point sends the frame of station 03, its frame control the other way round.
    let mut capwap = vec![0, 0x10, 0x03, 0, 0, 0, 0, 0, 0x01, 0x08, 0, 0];
    for last in [9, 3, 4] {
        capwap.extend([2, 0, 0, 0, 0, last]);
    }
    capwap.extend([0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
    add(5247, &capwap, &ip, format!("03>04 tunnel 9000000 {TCP_LINE}"));
    list
}

#[test]
fn tunnels_give_the_inner_packet_and_their_kind() {
    for (frame, expected) in encapsulated() {
        expect(LinkType::ETHERNET, &frame, &expected);
    }
}

#[test]
fn a_port_alone_makes_no_tunnel() {
    let dns = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
    for port in [4789, 4790, 8472, 6081, 2152, 3544, 5247] {
        let frame = outer(17, &udp(50000, port, &dns));
        let packet = read(LinkType::ETHERNET, &frame);
        assert_eq!(packet.transport, TransportInfo::Udp { source: 50000, destination: port });
        assert_eq!((packet.payload, packet.tunnel), (&dns[..], 0));
        assert!(packet.oddities.is_empty());
    }
    // The frame within is nonsense: the datagram stays what it was.
    let broken = [8, 0, 0, 0, 0, 0, 42, 0, 1, 2, 3];
    let frame = outer(17, &udp(50000, 4789, &broken));
    let packet = read(LinkType::ETHERNET, &frame);
    assert_eq!((packet.payload, packet.tunnel), (&broken[..], 0));
}

#[test]
fn tunnels_in_tunnels_end() {
    let mut packet = ipv4(6, &tcp());
    for _ in 0..MAX_TUNNELS {
        packet = ipv4(4, &packet);
    }
    expect(LinkType::IPV4, &packet, &format!("->- tunnel 1000000 {TCP_LINE}"));
    let packet = ipv4(4, &packet);
    let deep = read(LinkType::IPV4, &packet);
    assert!(deep.oddities.has(Oddity::TunnelDepth));
    assert!(matches!(deep.network, Network::Ip { protocol: 4, .. }));
}

#[test]
fn pppoe_and_mpls_are_links_and_no_tunnels() {
    let ip = ipv4(6, &tcp());
    let session = [&[0x11, 0, 0, 9, 0, 44, 0, 0x21][..], &ip, &[0xee; 4]].concat();
    expect(LinkType::ETHERNET, &ethernet(0x8864, &session), &format!("01>02 {TCP_LINE}"));
    let control = [0x11, 0, 0, 9, 0, 6, 0xc0, 0x21, 1, 1, 0, 4];
    expect(LinkType::ETHERNET, &ethernet(0x8864, &control), "01>02 link 8864 [110000090006c02101010004]");
    expect(
        LinkType::ETHERNET,
        &ethernet(0x8864, &[0x21, 0, 0, 9, 0, 0]),
        "01>02 link 8864 [210000090000] !pppoe.header",
    );
    expect(LinkType::ETHERNET, &ethernet(0x8863, &[0x11, 9, 0, 0, 0, 0]), "01>02 link 8863 [110900000000]");
    // A pseudowire with control word.
    let inner_frame = [&[2, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 3, 8, 0][..], &ip].concat();
    let wire = [&[0, 1, 1, 64, 0, 0, 0, 0][..], &inner_frame].concat();
    expect(LinkType::ETHERNET, &ethernet(0x8847, &wire), &format!("03>04 {TCP_LINE}"));
    assert!(read(LinkType::ETHERNET, &ethernet(0x8847, &[0; 400])).oddities.has(Oddity::MplsStack));
}

#[test]
fn every_link_type_leads_to_the_packet() {
    let (ip, ip6) = (ipv4(6, &tcp()), ipv6(6, &tcp()));
    let behind = |header: &[u8], packet: &[u8]| [header, packet].concat();
    let plain = format!("->- {TCP_LINE}");
    for link in [LinkType::RAW, LinkType::RAW_BSD, LinkType::RAW_OPENBSD, LinkType::IPV4] {
        expect(link, &ip, &plain);
    }
    expect(LinkType::RAW, &ip6, &format!("->- {TCP6_LINE}"));
    for header in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        expect(LinkType::NULL, &behind(&header, &ip), &plain);
    }
    for family in [10, 23, 24, 28, 30] {
        expect(LinkType::NULL, &behind(&[family, 0, 0, 0], &ip6), &format!("->- {TCP6_LINE}"));
        expect(LinkType::LOOP, &behind(&[0, 0, 0, family], &ip6), &format!("->- {TCP6_LINE}"));
    }
    let v1 = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
    expect(LinkType::LINUX_SLL, &behind(&v1, &ip), &format!("01>- {TCP_LINE}"));
    let v2 = [8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    expect(LinkType::LINUX_SLL2, &behind(&v2, &ip), &format!("01>- {TCP_LINE}"));
    for header in [&[0xff, 3, 0, 0x21][..], &[0, 0x21], &[0x21]] {
        expect(LinkType::PPP, &behind(header, &ip), &plain);
    }
    expect(LinkType::PPP_HDLC, &behind(&[0xff, 3, 0, 0x57], &ip6), &format!("->- {TCP6_LINE}"));
    expect(LinkType::PPP_HDLC, &behind(&[0x0f, 0, 8, 0], &ip), &plain);
    expect(LinkType::CISCO_HDLC, &behind(&[0x0f, 0, 8, 0], &ip), &plain);
    expect(LinkType::PPP_ETHERNET, &behind(&[0x11, 0, 0, 9, 0, 44, 0, 0x21], &ip), &plain);
    expect(LinkType::PPP, &[0xff, 3, 0xc0, 0x21, 1], "->- link 880b [ff03c02101]");
    // netfilter: mark, hardware address, payload; in the order of a little machine and of a big one.
    let mut log = vec![2, 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 5, 16, 0, 8, 0, 0, 6, 0, 0];
    log.extend([2, 0, 0, 0, 0, 1, 0, 0, 46, 0, 9, 0]);
    expect(LinkType::NFLOG, &behind(&log, &ip), &format!("01>- {TCP_LINE}"));
    expect(LinkType::NFLOG, &behind(&[2, 0, 0, 0, 0, 46, 0, 9], &ip), &plain);
    let ethernet_frame = ethernet(0x0800, &ip);
    expect(LinkType::PPI, &behind(&[0, 0, 8, 0, 1, 0, 0, 0], &ethernet_frame), &format!("01>02 {TCP_LINE}"));
    let analyser = [&[0, 0, 0, 0][..], &ethernet_frame, &[0; 4]].concat();
    expect(LinkType::NETANALYZER, &analyser, &format!("01>02 {TCP_LINE}"));
    expect(LinkType(147), &[1, 2], "->- link 0000 [0102] !link.unknown-type");
}

#[test]
fn wireless_data_frames_give_packet_and_addresses() {
    let ip = ipv4(6, &tcp());
    let llc = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &ip].concat();
    let frame = |control: [u8; 2], extra: &[u8]| {
        let mut bytes = vec![control[0], control[1], 0, 0];
        for last in [1, 2, 3] {
            bytes.extend([2, 0, 0, 0, 0, last]);
        }
        bytes.extend([0, 0]);
        bytes.extend(extra);
        bytes.extend(&llc);
        bytes
    };
    let check = |frame: &[u8], expected: &str| expect(LinkType::IEEE802_11, frame, expected);
    check(&frame([0x08, 0], &[]), &format!("02>01 {TCP_LINE}"));
    check(&frame([0x08, 1], &[]), &format!("02>03 {TCP_LINE}"));
    check(&frame([0x08, 2], &[]), &format!("03>01 {TCP_LINE}"));
    check(&frame([0x08, 3], &[2, 0, 0, 0, 0, 4]), &format!("04>03 {TCP_LINE}"));
    check(&frame([0x88, 1], &[0, 0]), &format!("02>03 {TCP_LINE}"));
    check(&frame([0x88, 0x81], &[0, 0, 0, 0, 0, 0]), &format!("02>03 {TCP_LINE}"));
    for left_alone in [frame([0x08, 0x41], &[]), frame([0x88, 1], &[0x80, 0]), frame([0x80, 0], &[])] {
        assert!(matches!(
            read(LinkType::IEEE802_11, &left_alone).network,
            Network::Link { kind: 0, snap: None }
        ));
    }
    // Radiotap with timer and flags, which say that a check sequence follows.
    let mut tapped = vec![0, 0, 17, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
    tapped.extend(frame([0x08, 1], &[]));
    tapped.extend([0; 4]);
    expect(LinkType::IEEE802_11_RADIOTAP, &tapped, &format!("02>03 {TCP_LINE}"));
}

#[test]
fn ieee_802_15_4_frames_lose_their_check_sequence() {
    let frame = [0x41, 0x88, 7, 0xcd, 0xab];
    expect(LinkType::WPAN_NOFCS, &frame, "->- wpan [418807cdab]");
    expect(LinkType::WPAN, &[&frame[..], &[1, 2]].concat(), "->- wpan [418807cdab]");
    let tap = [0, 0, 12, 0, 0, 0, 1, 0, 1, 0, 0, 0];
    expect(LinkType::WPAN_TAP, &[&tap[..], &frame, &[1, 2]].concat(), "->- wpan [418807cdab]");
    let physical = [0, 0, 0, 0, 0xa7, 7];
    expect(LinkType::WPAN_PHY, &[&physical[..], &frame, &[1, 2]].concat(), "->- wpan [418807cdab]");
    expect(LinkType::WPAN, &[1, 2, 3], "->- wpan [01] !wpan.truncated");
    // The snap length cut the check sequence and one byte more.
    assert_eq!(line(&decode(LinkType::WPAN, &frame[..4], 7)), "->- wpan [418807cd] cut 1");
    let cooked = [&[0, 0, 3, 0x24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf6][..], &frame].concat();
    expect(LinkType::LINUX_SLL, &cooked, "->- wpan [418807cdab]");
}

#[test]
fn can_frames_give_identifier_and_data() {
    let can = [0x80, 0, 1, 0x23, 2, 0, 0, 0, 0xaa, 0xbb, 0, 0, 0, 0, 0, 0];
    expect(LinkType::CAN_SOCKETCAN, &can, "->- can 80000123 false [aabb]");
    let fd = [&[0, 0, 1, 0x23, 12, 4, 0, 0][..], &[7; 12]].concat();
    expect(LinkType::CAN_SOCKETCAN, &fd, "->- can 123 true [070707070707070707070707]");
    let cooked = [&[0, 1, 1, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0c][..], &can].concat();
    expect(LinkType::LINUX_SLL, &cooked, "->- can 80000123 false [aabb]");
    assert!(read(LinkType::CAN_SOCKETCAN, &[0, 0, 0, 1, 65, 4, 0, 0]).oddities.has(Oddity::CanLength));
    let short = [0, 0, 0, 1, 8, 0, 0, 0, 1];
    expect(LinkType::CAN_SOCKETCAN, &short, "->- can 1 false [01] !can.length");
}

#[test]
fn a_reassembled_datagram_goes_on_where_its_fragments_stopped() {
    let first = ipv4_piece(0x2000, 4, &[0; 8]);
    let inner = ipv4(6, &tcp());
    let whole = decode_ip_payload(&read(LinkType::IPV4, &first), &inner);
    assert_eq!(line(&whole), format!("->- tunnel 1000000 {TCP_LINE}"));
    let piece = [&[60, 0, 0, 1, 0, 0, 0, 9][..], &[0; 8]].concat();
    let first = ipv6(44, &piece);
    let payload = [&[6, 0, 1, 4, 0, 0, 0, 0][..], &tcp()].concat();
    let whole = decode_ip_payload(&read(LinkType::IPV6, &first), &payload);
    assert_eq!(line(&whole), format!("->- {TCP6_LINE}"));
}

#[test]
fn every_oddity_has_its_own_name_and_place() {
    let names: std::collections::BTreeSet<_> = Oddity::ALL.iter().map(|oddity| oddity.name()).collect();
    assert_eq!(names.len(), Oddity::COUNT);
    let mut all = Oddities::NONE;
    for (place, oddity) in Oddity::ALL.into_iter().enumerate() {
        assert_eq!(oddity as usize, place);
        assert!(!all.has(oddity));
        all.add(oddity);
    }
    assert!(all.iter().eq(Oddity::ALL));
}

/// The frames of a classic capture file; enough of a reader for these tests.
fn frames(bytes: &[u8]) -> Option<(LinkType, impl Iterator<Item = (&[u8], usize)>)> {
    let little = matches!(bytes.get(..4)?, [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]);
    let big = matches!(bytes.get(..4)?, [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]);
    let word = move |bytes: &[u8], at: usize| -> Option<usize> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) } as usize)
    };
    let link = LinkType(word(bytes, 20)? as u16);
    let mut at = 24;
    let read = std::iter::from_fn(move || {
        let (captured, wire) = (word(bytes, at + 8)?, word(bytes, at + 12)?);
        let frame = bytes.get(at + 16..at + 16 + captured)?;
        at += 16 + captured;
        Some((frame, wire))
    });
    (little || big).then_some((link, read))
}

/// Every IP frame of the real captures is understood, but for few that are broken on purpose.
#[test]
fn real_captures_are_understood() {
    let test = "real_captures_are_understood";
    let (mut seen, mut odd) = (0_u32, 0_u32);
    for folder in ["ndpi", "zeek_traces", "suricata_verify", "icsnpp", "ics_pcaps_iti", "zigator"] {
        let Some(folder) = testkit::corpus(test, folder) else { continue };
        for path in testkit::captures(&folder) {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let Some((link, frames)) = frames(&bytes) else { continue };
            for (frame, wire) in frames {
                let packet = decode(link, frame, wire);
                assert!(packet.payload.len() <= frame.len());
                assert!(!packet.oddities.has(Oddity::LinkTypeUnknown), "{} {link:?}", path.display());
                seen += 1;
                odd += u32::from(!packet.oddities.is_empty());
            }
        }
    }
    assert!(odd * 1000 <= seen, "{odd} of {seen} frames are odd");
}

/// Answers of name servers that were too long for one packet, over both versions of IP.
#[test]
fn real_fragments_come_together() {
    let Some(path) =
        testkit::corpus("real_fragments_come_together", "ndpi/cfgs/default/pcap/dns_fragmented.pcap")
    else {
        return;
    };
    let bytes = std::fs::read(path).expect("the capture can be read");
    let (link, frames) = frames(&bytes).expect("the capture is a classic one");
    let mut defragmenter = defragment::Defragmenter::new();
    let mut versions = [0, 0];
    for (frame, wire) in frames {
        let packet = decode(link, frame, wire);
        let defragment::Outcome::Complete(whole) = defragmenter.push(&packet, Timestamp::EPOCH) else {
            continue;
        };
        let whole = whole.decode();
        assert!(matches!(whole.transport, TransportInfo::Udp { source: 53, .. }), "{}", line(&whole));
        assert!(whole.oddities.is_empty() && whole.payload.len() > 1400);
        let Network::Ip { source, .. } = whole.network else { panic!("{}", line(&whole)) };
        versions[usize::from(source.is_ipv6())] += 1;
    }
    assert!(versions[0] > 0 && versions[1] > 0, "{versions:?}");
    assert_eq!(defragmenter.pending(), 0);
}

/// Addresses and ports are those that tshark sees, on captures that hold many kinds of encapsulation.
#[test]
fn tshark_sees_the_same_addresses_and_ports() {
    let test = "tshark_sees_the_same_addresses_and_ports";
    let Some(tshark) = testkit::peer(test, "tshark") else { return };
    let files = [
        "ja4/pcap/gre-erspan-vxlan.pcap",
        "ja4/pcap/tcpdump-geneve.pcap",
        "ndpi/cfgs/default/pcap/capwap.pcap",
        "ndpi/cfgs/default/pcap/tls_change_cipher.pcap",
        "suricata_verify/tests/decode-chdlc-01/hdlc-http_1tx.pcap",
        "suricata_verify/tests/decode-etag-02/input.pcap",
        "zeek_traces/Traces/tunnels/6in6-tunnel-change.pcap",
        "zeek_traces/Traces/tunnels/gre-sample.pcap",
    ];
    for file in files {
        let Some(path) = testkit::corpus(test, file) else { continue };
        compare_with(&tshark, &path);
    }
}

/// The frames of these tests are what tshark takes them for, so they test the formats and not a
/// misunderstanding of them.
#[test]
fn tshark_understands_the_frames_of_these_tests() {
    let Some(tshark) = testkit::peer("tshark_understands_the_frames_of_these_tests", "tshark") else {
        return;
    };
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for (frame, _) in encapsulated() {
        let length = (frame.len() as u32).to_le_bytes();
        file.extend([&[0; 8][..], &length, &length, &frame].concat());
    }
    let path = std::env::temp_dir().join(format!("pavise-wire-{}.pcap", std::process::id()));
    std::fs::write(&path, file).expect("the folder for temporary files can be written");
    compare_with(&tshark, &path);
    std::fs::remove_file(&path).expect("the file is ours");
}

fn compare_with(tshark: &Path, path: &Path) {
    let fields =
        ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "udp.srcport", "frame.protocols"];
    let file = path.to_string_lossy();
    let mut arguments = vec!["-n", "-r", &file, "-o", "ip.defragment:FALSE", "-T", "fields"];
    arguments.extend(["-E", "occurrence=l"]);
    for field in &fields {
        arguments.extend(["-e", field]);
    }
    let theirs = testkit::output(tshark, &arguments).expect("tshark runs");
    let bytes = std::fs::read(path).expect("the capture can be read");
    let (link, frames) = frames(&bytes).expect("the capture is a classic one");
    let ours: Vec<_> = frames.collect();
    assert_eq!(ours.len(), theirs.lines().count(), "{file}");
    let mut compared = 0;
    for (number, (theirs, (frame, wire))) in theirs.lines().zip(ours).enumerate() {
        let columns: Vec<&str> = theirs.split('\t').collect();
        // tshark also shows the packets that ICMP quotes.
        if columns[6].contains("icmp") {
            continue;
        }
        let packet = decode(link, frame, wire);
        let Network::Ip { source, destination, .. } = packet.network else { continue };
        let place = if source.is_ipv4() { 0 } else { 2 };
        let expected: Vec<IpAddr> =
            columns[place..place + 2].iter().filter_map(|text| text.parse().ok()).collect();
        assert_eq!(expected, [source, destination], "{file} frame {}", number + 1);
        let (column, port) = match packet.transport {
            TransportInfo::Tcp { source, .. } => (4, source),
            TransportInfo::Udp { source, .. } => (5, source),
            _ => continue,
        };
        assert_eq!(columns[column], port.to_string(), "{file} frame {}", number + 1);
        compared += 1;
    }
    assert!(compared > 0, "nothing in {file} could be compared");
}

/// Frames that begin like the formats above and go on at random get deeper than noise does.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let kinds = vec![0x0800_u16, 0x86dd, 0x8100, 0x8847, 0x8864, 0x6558, 0x892f, 0x893f, 20, 0x88cc];
    let protocols = vec![0_u8, 1, 4, 6, 17, 41, 43, 44, 47, 51, 58, 60, 97, 132, 135, 137];
    let ports = vec![4789_u16, 6081, 2152, 3544, 5247, 53];
    let starts = vec![0x45_u8, 0x46, 0x60, 0x08, 0x0c, 0x30, 0x10, 0xb0, 0xaa, 0];
    (
        prop::sample::select(kinds),
        prop::sample::select(protocols),
        prop::sample::select(ports),
        prop::sample::select(starts),
        prop::collection::vec(any::<u8>(), 0..120),
    )
        .prop_map(|(kind, protocol, port, start, mut noise)| {
            if let Some(first) = noise.first_mut() {
                *first = start;
            }
            let noise = if protocol == 17 { udp(1, port, &noise) } else { noise };
            ethernet(kind, &if kind == 0x86dd { ipv6(protocol, &noise) } else { ipv4(protocol, &noise) })
        })
}

proptest! {
    #[test]
    fn any_bytes_on_any_link_are_survived(
        link in prop::sample::select(vec![
            0_u16, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 127, 147, 192, 195, 215, 227, 228, 229, 230, 239,
            240, 276, 283,
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        beyond in 0_usize..2000,
    ) {
        let packet = decode(LinkType(link), &bytes, bytes.len() + beyond);
        prop_assert!(packet.payload.len() <= bytes.len());
        prop_assert!(packet.cut <= beyond);
        let _ = line(&packet);
    }

    #[test]
    fn frames_that_look_right_at_first_are_survived(frame in frame(), captured in any::<prop::sample::Index>()) {
        let _ = read(LinkType::ETHERNET, &frame);
        let captured = captured.index(frame.len() + 1);
        let packet = decode(LinkType::ETHERNET, &frame[..captured], frame.len());
        prop_assert!(packet.payload.len() + packet.cut <= frame.len());
    }
}

#[test]
fn every_kind_of_frame_that_is_listed_is_read_and_others_are_not() {
    let unknown = |link| decode(link, &[], 0).oddities.has(Oddity::LinkTypeUnknown);
    for link in LinkType::READ {
        assert!(!unknown(link), "{}", link.0);
    }
    assert!(unknown(LinkType(65_000)));
}
