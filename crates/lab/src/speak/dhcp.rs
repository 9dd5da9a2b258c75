//! DHCP (RFC 2131, options of RFC 2132) and DHCPv6 (RFC 8415).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bytes::{Put, build};
use crate::net::{HostId, MILLI, Net};
use crate::speak::link;

/// How a client shows itself in its requests.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) hostname: &'static str,
    pub(crate) vendor_class: &'static str,
    /// Parameter request list, option 55: the fingerprint.
    pub(crate) asks: &'static [u8],
}

struct Message {
    operation: u8,
    transaction: u32,
    mac: [u8; 6],
    client: Ipv4Addr,
    yours: Ipv4Addr,
    broadcast: bool,
}

fn message(head: &Message, kind: u8, options: &[(u8, Vec<u8>)]) -> Vec<u8> {
    build(|m| {
        m.u8(head.operation).u8(1).u8(6).u8(0).be32(head.transaction).be16(0);
        m.be16(if head.broadcast { 0x8000 } else { 0 });
        m.put(&head.client.octets()).put(&head.yours.octets()).be32(0).be32(0);
        m.put(&head.mac).put(&[0; 10]).put(&[0; 192]).be32(0x6382_5363);
        m.u8(53).u8(1).u8(kind);
        for (code, value) in options {
            m.u8(*code).short(value);
        }
        m.u8(255);
        // RFC 1542 section 2.1: a BOOTP message has at least 300 bytes.
        if m.len() < 300 {
            m.resize(300, 0);
        }
    })
}

fn client_options(
    client: Client,
    mac: [u8; 6],
    wants: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
) -> Vec<(u8, Vec<u8>)> {
    let mut options = vec![(61, build(|v| _ = v.u8(1).put(&mac)))];
    options.extend(wants.map(|ip| (50, ip.octets().to_vec())));
    options.extend(server.map(|ip| (54, ip.octets().to_vec())));
    options.push((57, vec![5, 0xdc]));
    if !client.vendor_class.is_empty() {
        options.push((60, client.vendor_class.as_bytes().to_vec()));
    }
    if !client.hostname.is_empty() {
        options.push((12, client.hostname.as_bytes().to_vec()));
    }
    options.push((55, client.asks.to_vec()));
    options
}

fn lease(server: Ipv4Addr) -> Vec<(u8, Vec<u8>)> {
    let own = server.octets().to_vec();
    vec![
        (54, own.clone()),
        (51, 3_600_u32.to_be_bytes().to_vec()),
        (58, 1_800_u32.to_be_bytes().to_vec()),
        (59, 3_150_u32.to_be_bytes().to_vec()),
        (1, vec![255, 255, 255, 0]),
        (3, own.clone()),
        (6, own),
        (15, b"home.arpa".to_vec()),
    ]
}

/// A host gets an address: discover, offer, request, acknowledgement; then it looks whether the address
/// is free and announces itself (RFC 5227).
pub(crate) fn obtain(net: &mut Net, host: HostId, server: HostId, client: Client, ip: [u8; 4]) {
    let mac = net.hosts[host].mac.0;
    let transaction = net.rng.u32();
    let nobody = Ipv4Addr::UNSPECIFIED;
    let IpAddr::V4(own) = net.v4(server, host) else { return };
    let (all, none) = (SocketAddr::from(([255; 4], 67)), SocketAddr::from(([0; 4], 68)));
    let mut head =
        Message { operation: 1, transaction, mac, client: nobody, yours: nobody, broadcast: false };
    let discover = message(&head, 1, &client_options(client, mac, None, None));
    net.udp(host, none, all, &discover);
    net.wait_for(server);
    // The address is the host's as far as the link is concerned: the offer is sent straight to it.
    net.assign(host, ip.into());
    let (from, to) = (SocketAddr::new(own.into(), 67), SocketAddr::from((ip, 68)));
    head.operation = 2;
    head.yours = ip.into();
    net.knows(server, ip.into());
    let offer = message(&head, 2, &lease(own));
    net.udp(server, from, to, &offer);
    net.wait_for(host);
    head.operation = 1;
    head.yours = nobody;
    let request = message(&head, 3, &client_options(client, mac, Some(ip.into()), Some(own)));
    net.udp(host, none, all, &request);
    net.wait_for(server);
    head.operation = 2;
    head.yours = ip.into();
    let acknowledgement = message(&head, 5, &lease(own));
    net.udp(server, from, to, &acknowledgement);
    // The host speaks to everybody; only when it renews does it speak to the server.
    net.announced(host, all.ip(), ("udp", 67, "dhcp"));
    net.speaks(server, "dhcp");
    net.pause_us(10_000, 90_000);
    link::probe(net, host, ip);
    net.pause_us(400_000, 900_000);
    link::announce(net, host);
    net.pause_us(1_000, 9_000);
}

/// A host asks for an address again and is offered its own by two servers, the rogue one first, which it
/// takes (RFC 2131 section 3.1): the rogue server makes itself router and name server.
pub(crate) fn obtain_from_rogue(net: &mut Net, host: HostId, [rogue, honest]: [HostId; 2], client: Client) {
    let mac = net.hosts[host].mac.0;
    let transaction = net.rng.u32();
    let nobody = Ipv4Addr::UNSPECIFIED;
    let IpAddr::V4(ip) = net.v4(host, rogue) else { return };
    let servers = [rogue, honest].map(|server| net.v4(server, host));
    let [IpAddr::V4(false_own), IpAddr::V4(true_own)] = servers else { return };
    let (all, none) = (SocketAddr::from(([255; 4], 67)), SocketAddr::from(([0; 4], 68)));
    let to = SocketAddr::new(ip.into(), 68);
    let mut head =
        Message { operation: 1, transaction, mac, client: nobody, yours: nobody, broadcast: false };
    net.udp(host, none, all, &message(&head, 1, &client_options(client, mac, None, None)));
    let asked = net.clock;
    for (server, own) in [(rogue, false_own), (honest, true_own)] {
        net.wait_for(server);
        (head.operation, head.yours) = (2, ip);
        net.knows(server, ip.into());
        net.udp(server, SocketAddr::new(own.into(), 67), to, &message(&head, 2, &lease(own)));
    }
    net.clock = net.clock.max(asked + 3 * MILLI);
    (head.operation, head.yours) = (1, nobody);
    let request = message(&head, 3, &client_options(client, mac, Some(ip), Some(false_own)));
    net.udp(host, none, all, &request);
    net.wait_for(rogue);
    (head.operation, head.yours) = (2, ip);
    net.udp(rogue, SocketAddr::new(false_own.into(), 67), to, &message(&head, 5, &lease(false_own)));
    net.announced(host, all.ip(), ("udp", 67, "dhcp"));
    net.speaks(rogue, "dhcp");
    net.pause_us(10_000, 90_000);
    link::announce(net, host);
}

/// A host asks to keep its address (RFC 2131 section 4.3.2, renewing), and is allowed to or not.
pub(crate) fn renew(net: &mut Net, host: HostId, server: HostId, client: Client, granted: bool) {
    let mac = net.hosts[host].mac.0;
    let transaction = net.rng.u32();
    let (IpAddr::V4(ip), IpAddr::V4(own)) = (net.v4(host, server), net.v4(server, host)) else { return };
    let (from, to) = (SocketAddr::new(ip.into(), 68), SocketAddr::new(own.into(), 67));
    let nobody = Ipv4Addr::UNSPECIFIED;
    let mut head = Message { operation: 1, transaction, mac, client: ip, yours: nobody, broadcast: false };
    let request = message(&head, 3, &client_options(client, mac, None, None));
    net.udp(host, from, to, &request);
    net.wait_for(server);
    head.operation = 2;
    let answer = if granted {
        head.yours = ip;
        message(&head, 5, &lease(own))
    } else {
        head.client = nobody;
        message(&head, 6, &[(54, own.octets().to_vec()), (56, b"wrong network".to_vec())])
    };
    net.udp(server, to, from, &answer);
    net.conversed(host, server, ("udp", 67, "dhcp"));
}

/// A host asks the router by DHCPv6 for what is not in its advertisements (RFC 8415 section 18.2.6).
pub(crate) fn inform6(net: &mut Net, host: HostId, vendor_class: &str) {
    let router = net.router;
    let transaction = net.rng.u32() & 0x00ff_ffff;
    let duid = |mac: [u8; 6]| build(|v| _ = v.be16(3).be16(1).put(&mac));
    let option = |out: &mut Vec<u8>, code: u16, value: &[u8]| _ = out.be16(code).long(value);
    let (own, mac) = (net.hosts[host].link_local(), net.hosts[host].mac.0);
    let question = build(|m| {
        m.be32(11 << 24 | transaction);
        option(m, 8, &[0, 0]);
        option(m, 1, &duid(mac));
        option(m, 16, &build(|v| _ = v.be32(311).long(vendor_class.as_bytes())));
        option(m, 6, &build(|v| _ = v.be16(23).be16(24).be16(32)));
    });
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
    net.tell(host, 546, SocketAddr::new(group.into(), 547), "dhcpv6", &question);
    net.wait_for(router);
    let (from, mac6) = (net.hosts[router].link_local(), net.hosts[router].mac.0);
    let answer = build(|m| {
        m.be32(7 << 24 | transaction);
        option(m, 1, &duid(mac));
        option(m, 2, &duid(mac6));
        option(m, 23, &from.octets());
        option(m, 24, &build(|v| _ = v.short(b"home").short(b"arpa").u8(0)));
    });
    net.udp(router, SocketAddr::new(from.into(), 547), SocketAddr::new(own.into(), 546), &answer);
    net.speaks(router, "dhcpv6");
}
