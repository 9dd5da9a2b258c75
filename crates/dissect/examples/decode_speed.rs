//! How long `wire::decode` takes on common frames: `cargo run --release -p dissect --example decode_speed`.
//!
//! Each figure is the fastest of several rounds, in nanoseconds per frame, on frames that are in the
//! cache: it tells what the code costs, not what memory costs.

use std::hint::black_box;
use std::time::Instant;

use dissect::wire::{LinkType, decode};

/// How often each kind of frame is decoded in a round.
const FRAMES_PER_ROUND: u32 = 1_000_000;
/// How many rounds there are.
const ROUNDS: usize = 7;

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&MACS[..], &kind.to_be_bytes(), payload].concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len() as u16).to_be_bytes();
    let header =
        [0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    [&header[..], payload].concat()
}

fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let address = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let header = [0x60, 0, 0, 0, length[0], length[1], protocol, 64];
    [&header[..], &address, &address, payload].concat()
}

fn tcp() -> Vec<u8> {
    let mut segment = vec![0xc0, 0, 0x01, 0xf6, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 4, 0, 0, 0, 0, 0];
    segment.extend([0; 12]);
    segment
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let (port, length) = (port.to_be_bytes(), (8 + payload.len() as u16).to_be_bytes());
    [&[0xc0, 0, port[0], port[1], length[0], length[1], 0, 0], payload].concat()
}

fn measure(name: &str, frames: &[Vec<u8>]) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for frame in frames.iter().cycle().take(FRAMES_PER_ROUND as usize) {
            black_box(&decode(LinkType::ETHERNET, black_box(frame), frame.len()));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(FRAMES_PER_ROUND));
    }
    println!("{name:24} {best:6.1} ns");
}

fn main() {
    let ip_tcp = ethernet(0x0800, &ipv4(6, &tcp()));
    let ip_udp = ethernet(0x0800, &ipv4(17, &udp(53, &[0; 32])));
    let ip6_tcp = ethernet(0x86dd, &ipv6(6, &tcp()));
    let vlan_tcp = ethernet(0x8100, &[&[0, 5, 8, 0][..], &ipv4(6, &tcp())].concat());
    let vxlan = [&[8, 0, 0, 0, 0, 0, 9, 0][..], &ip_tcp].concat();
    let vxlan_tcp = ethernet(0x0800, &ipv4(17, &udp(4789, &vxlan)));
    let icmp = ethernet(0x0800, &ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1]));
    let arp = ethernet(0x0806, &[0; 46]);
    measure("ipv4 tcp", std::slice::from_ref(&ip_tcp));
    measure("ipv4 udp", std::slice::from_ref(&ip_udp));
    measure("ipv6 tcp", std::slice::from_ref(&ip6_tcp));
    measure("vlan ipv4 tcp", std::slice::from_ref(&vlan_tcp));
    measure("vxlan ipv4 tcp", std::slice::from_ref(&vxlan_tcp));
    measure("icmp", std::slice::from_ref(&icmp));
    measure("arp", std::slice::from_ref(&arp));
    measure("all of them in turn", &[ip_tcp, ip_udp, ip6_tcp, vlan_tcp, vxlan_tcp, icmp, arp]);
}
