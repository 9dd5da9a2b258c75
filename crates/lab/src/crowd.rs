//! Very many hosts and packets, for measuring: a crowd at work, and a flood around conversations that
//! must survive it. Both are written as they are made.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::{Locality, MacAddr, Role, Timestamp};
use serde::{Deserialize, Serialize};

use crate::bytes::{Put, build};
use crate::frame::{self, ACK, FIN, Ip, PSH, RST, SYN, Tcp};
use crate::pcap::{Format, Writer};
use crate::rng::Rng;
use crate::speak::{dns, http, modbus, mqtt, tls};
use crate::truth::{Note, TrueConversation, TrueDevice, Truth};

/// Hosts of one net of the crowd; each net has its own VLAN number, 16 in all.
const NET_SIZE: u32 = 250;
/// The first of a net's hosts serve the others.
const SERVERS: u32 = 10;
/// Conversations under way at any time.
const CONCURRENT: usize = 4_096;

/// How a crowd is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// What chance begins with.
    pub seed: u64,
    /// How many packets.
    pub packets: u64,
    /// From how many hosts, at most 2^24. All take part if there are some 14 packets for each.
    pub hosts: u32,
    /// When it begins.
    pub start: Timestamp,
    /// How it is stored.
    pub format: Format,
}

impl Default for Crowd {
    /// Four million packets of 50,000 hosts.
    fn default() -> Self {
        let start = Timestamp::from_secs(1_772_438_400);
        Self { seed: 1, packets: 4_000_000, hosts: 50_000, start, format: Format::Pcapng }
    }
}

/// What a crowd came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdSummary {
    /// Packets.
    pub packets: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Hosts that sent something.
    pub hosts: u64,
    /// Conversations.
    pub flows: u64,
    /// Conversations by protocol id; `none` is no known protocol.
    pub protocols: BTreeMap<String, u64>,
}

/// One packet that a conversation will still have: side (0 the client), TCP flags, payload.
type Next = (usize, u8, Vec<u8>);

/// One conversation of a crowd.
struct Flow {
    ends: [SocketAddr; 2],
    macs: [MacAddr; 2],
    vlan: Option<u16>,
    ttl: [u8; 2],
    tcp: bool,
    seq: [u32; 2],
    packets: std::vec::IntoIter<Next>,
}

impl Flow {
    /// The frame of the conversation's next packet.
    fn next(&mut self, id: u16) -> Option<Vec<u8>> {
        let (side, flags, payload) = self.packets.next()?;
        let (src, dst) = (self.ends[side], self.ends[1 - side]);
        let (protocol, segment) = if self.tcp {
            let ack = if flags & ACK == 0 { 0 } else { self.seq[1 - side] };
            let options: &[u8] = if flags & SYN == 0 { &[] } else { &[2, 4, 0x05, 0xb4] };
            let header = Tcp { seq: self.seq[side], ack, flags, window: 8_192, options };
            let taken = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
            let segment = frame::tcp(src, dst, header, &payload);
            self.seq[side] = self.seq[side].wrapping_add(taken);
            (frame::TCP, segment)
        } else {
            (frame::UDP, frame::udp(src, dst, &payload))
        };
        let ip = Ip { ttl: self.ttl[side], id, df: true, tos: 0, alert: false };
        let (kind, packet) = frame::ip(src.ip(), dst.ip(), ip, protocol, &segment);
        Some(frame::ethernet(self.macs[1 - side], self.macs[side], self.vlan, kind, &packet))
    }
}

/// A host of the crowd, by its number.
fn host(number: u32) -> (MacAddr, Ipv4Addr, u16, u8) {
    const VENDORS: [[u8; 3]; 6] = [
        [0x00, 0x1b, 0x1b],
        [0x00, 0x80, 0xf4],
        [0x24, 0x0a, 0xc4],
        [0xb8, 0x27, 0xeb],
        [0x00, 0x14, 0x22],
        [0xc0, 0x56, 0xe3],
    ];
    let (net, place) = (number / NET_SIZE, number % NET_SIZE);
    let [_, a, b, c] = number.to_be_bytes();
    let [x, y, z] = VENDORS[number as usize % VENDORS.len()];
    let [.., high, low] = net.to_be_bytes();
    let ip = Ipv4Addr::new(10 + (net >> 16) as u8, high, low, 1 + place as u8);
    (MacAddr([x, y, z, a, b, c]), ip, 100 + (net % 16) as u16, [64, 128, 64, 255][number as usize % 4])
}

/// What the conversations of a crowd are about: protocol, port, how often in a hundred.
const KINDS: [(&str, u16, u64); 9] = [
    ("dns", 53, 15),
    ("modbus", 502, 24),
    ("mqtt", 1883, 16),
    ("http", 80, 7),
    ("tls", 443, 5),
    ("ntp", 123, 9),
    ("snmp", 161, 9),
    ("none", 9, 5),
    ("none", 34_567, 10),
];

/// Wraps what is said on a connection into its opening and end.
fn connection(said: Vec<(usize, Vec<u8>)>) -> Vec<Next> {
    let mut all = vec![(0, SYN, vec![]), (1, SYN | ACK, vec![]), (0, ACK, vec![])];
    all.extend(said.into_iter().map(|(side, bytes)| (side, ACK | PSH, bytes)));
    all.extend([(0, FIN | ACK, vec![]), (1, FIN | ACK, vec![]), (0, ACK, vec![])]);
    all
}

/// Everything that will be said in a conversation of this kind.
fn script(rng: &mut Rng, kind: usize) -> Vec<Next> {
    let times = rng.range(3, 8) as u16;
    let id = rng.u16();
    let datagrams =
        |said: Vec<(usize, Vec<u8>)>| said.into_iter().map(|(side, bytes)| (side, 0, bytes)).collect();
    match kind {
        0 => {
            let mut said = Vec::new();
            for turn in 0..times {
                let name = format!("sensor-{}.crowd.example", rng.range(0, 5_000));
                let question = [(&*name, dns::A)];
                let id = id.wrapping_add(turn);
                said.push((0, dns::message(id, 0x0100, &question, &[])));
                let answer =
                    (name.clone(), 300, dns::Data::A(Ipv4Addr::from(rng.u32() & 0x00ff_ffff | 0x0a00_0000)));
                said.push((1, dns::message(id, 0x8180, &question, &[answer])));
            }
            datagrams(said)
        }
        1 => connection(
            (0..times)
                .flat_map(|turn| {
                    let (id, value) = (id.wrapping_add(turn), rng.u16());
                    let answer = modbus::counted(&modbus::registers(&[value; 24]));
                    [
                        (0, modbus::message(id, 1, 3, &modbus::span(0, 24))),
                        (1, modbus::message(id, 1, 3, &answer)),
                    ]
                })
                .collect(),
        ),
        2 => {
            let version = mqtt::Version::V311;
            let mut said = vec![
                (0, mqtt::connect(version, &format!("c{id:04x}"), None, 60)),
                (1, mqtt::connack(version)),
            ];
            for turn in 1..times {
                said.push((
                    0,
                    mqtt::publish(
                        version,
                        Some(turn),
                        "crowd/hall/3/temperature",
                        b"{\"celsius\":20.9,\"battery\":88}",
                    ),
                ));
                said.push((1, mqtt::puback(turn)));
            }
            said.extend([(0, mqtt::PING.to_vec()), (1, mqtt::PONG.to_vec())]);
            connection(said)
        }
        3 => connection(vec![
            (0, http::get("10.0.0.1", "/state", "crowd/1.0", "")),
            (1, http::answer("200 OK", "crowd", "text/plain", "", b"ok\n")),
        ]),
        4 => {
            let mut said = vec![(
                0,
                tls::first_record(&tls::client_hello(rng, tls::Style::Small, "crowd.example", &[])),
            )];
            said.push((1, tls::alert()));
            connection(said)
        }
        5 => datagrams(
            (0..times)
                .flat_map(|_| {
                    let stamp = rng.next();
                    let question = build(|m| _ = m.be32(0x2300_06e9).put(&[0; 36]).be64(stamp));
                    let answer = build(|m| {
                        _ = m.be32(0x2402_06e9).put(&[0; 12]).be64(stamp).be64(stamp).be64(stamp).be64(stamp);
                    });
                    [(0, question), (1, answer)]
                })
                .collect(),
        ),
        6 => datagrams(
            (0..times)
                .flat_map(|turn| {
                    // sysUpTime by version 2c: written out, since all lengths are known.
                    let message = |kind: u8, value: &[u8]| {
                        let head = [0x02, 0x01, 0x01, 0x04, 0x06, b'p', b'u', b'b', b'l', b'i', b'c'];
                        let name = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x02, 0x01, 0x01, 0x03, 0x00];
                        let variable = build(|m| {
                            _ = m.u8(0x30).u8((name.len() + value.len()) as u8).put(&name).put(value);
                        });
                        let body = build(|m| {
                            m.put(&[0x02, 0x02, 0x11, turn as u8 & 0x7f, 0x02, 0x01, 0, 0x02, 0x01, 0]);
                            m.u8(0x30).short(&variable);
                        });
                        build(|m| {
                            m.u8(0x30)
                                .u8((head.len() + 2 + body.len()) as u8)
                                .put(&head)
                                .u8(kind)
                                .short(&body);
                        })
                    };
                    [(0, message(0xa0, &[5, 0])), (1, message(0xa2, &[0x43, 3, 1, rng.u8(), turn as u8]))]
                })
                .collect(),
        ),
        // A connection on which nothing is said; every fourth is refused.
        7 if id.is_multiple_of(4) => vec![(0, SYN, vec![]), (1, RST | ACK, vec![])],
        7 => connection(Vec::new()),
        _ => datagrams(
            (0..times * 2)
                .map(|turn| {
                    let size = rng.range(12, 60) as usize;
                    (usize::from(turn % 3 == 2), [b"CRWD", &*rng.bytes(size)].concat())
                })
                .collect(),
        ),
    }
}

/// Writes a crowd at work: many hosts on many tagged nets, many short conversations side by side.
pub fn crowd(options: &Crowd, out: &mut impl Write) -> io::Result<CrowdSummary> {
    let mut writer = Writer::new(io::BufWriter::with_capacity(1 << 20, out), options.format)?;
    let mut rng = Rng::new(options.seed);
    let hosts = options.hosts.clamp(2, 1 << 24);
    let mut sent = vec![false; hosts as usize];
    let mut summary = CrowdSummary { packets: 0, bytes: 0, hosts: 0, flows: 0, protocols: BTreeMap::new() };
    let mut active: Vec<(Flow, [u32; 2])> = Vec::with_capacity(CONCURRENT);
    let (mut planned, mut time) = (0_u64, options.start.as_nanos());
    loop {
        while active.len() < CONCURRENT && planned < options.packets {
            let client = (summary.flows % u64::from(hosts)) as u32;
            let first = client / NET_SIZE * NET_SIZE;
            let members = (hosts - first).min(NET_SIZE);
            let mut server = first + rng.range(0, u64::from(SERVERS.min(members))) as u32;
            if server == client {
                // Alone in its net, it talks to one of the first net.
                server = if members > 1 { first + (client - first + 1) % members } else { 0 };
            }
            let (kind, mut packets) = loop {
                let chance = rng.range(0, 100);
                let mut below = 0;
                let kind = KINDS.iter().position(|(.., share)| {
                    below += share;
                    chance < below
                });
                let kind = kind.unwrap_or(KINDS.len() - 1);
                let packets = script(&mut rng, kind);
                if packets.len() as u64 <= options.packets - planned || kind == KINDS.len() - 1 {
                    break (kind, packets);
                }
            };
            packets.truncate((options.packets - planned) as usize);
            planned += packets.len() as u64;
            let (protocol, port, _) = KINDS[kind];
            let [(mac_a, ip_a, vlan, ttl_a), (mac_b, ip_b, _, ttl_b)] = [client, server].map(host);
            let from = if protocol == "ntp" { 123 } else { rng.range(32_768, 61_000) as u16 };
            let flow = Flow {
                ends: [SocketAddr::from((ip_a, from)), SocketAddr::from((ip_b, port))],
                macs: [mac_a, mac_b],
                vlan: Some(vlan),
                ttl: [ttl_a, ttl_b],
                tcp: (1..=4).contains(&kind) || kind == 7,
                seq: [rng.u32(), rng.u32()],
                packets: packets.into_iter(),
            };
            summary.flows += 1;
            *summary.protocols.entry(protocol.into()).or_default() += 1;
            active.push((flow, [client, server]));
        }
        if active.is_empty() {
            break;
        }
        let chosen = rng.range(0, active.len() as u64) as usize;
        let (flow, numbers) = &mut active[chosen];
        let side = flow.packets.as_slice().first().map_or(0, |(side, ..)| *side);
        if let Some(frame) = flow.next(rng.u16()) {
            time += rng.range(2_000, 90_000);
            writer.frame(Timestamp::from_nanos(time), &frame)?;
            summary.packets += 1;
            summary.bytes += frame.len() as u64;
            sent[numbers[side] as usize] = true;
        }
        if flow.packets.as_slice().is_empty() {
            active.swap_remove(chosen);
        }
    }
    writer.finish()?;
    summary.hosts = sent.iter().filter(|sent| **sent).count() as u64;
    Ok(summary)
}

/// How a flood is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// What chance begins with.
    pub seed: u64,
    /// How many made-up flows of one SYN each.
    pub spoofed: u64,
    /// How many conversations stand before, go on through and end after the flood. At most a
    /// million, between at most 30,000 pairs of hosts.
    pub established: u32,
    /// When it begins.
    pub start: Timestamp,
    /// How it is stored.
    pub format: Format,
}

impl Default for Flood {
    /// Ten million made-up flows around 1,000 conversations.
    fn default() -> Self {
        let start = Timestamp::from_secs(1_772_438_400);
        Self { seed: 1, spoofed: 10_000_000, established: 1_000, start, format: Format::Pcapng }
    }
}

/// So many pairs of hosts have conversations in a flood; more conversations are between the same.
const PAIRS_MAX: u32 = 30_000;

/// In a flood, one packet in so many belongs to an established conversation.
const REAL_EVERY: u64 = 100;

/// Writes a flood of SYNs from made-up addresses, each a flow of one packet, mixed with established
/// Modbus conversations. The truth lists the established ones; every source address outside
/// 10.99.0.0/16 is made up, and, there being millions, they are not listed.
pub fn flood(options: &Flood, out: &mut impl Write) -> io::Result<Truth> {
    let mut writer = Writer::new(io::BufWriter::with_capacity(1 << 20, out), options.format)?;
    let mut rng = Rng::new(options.seed);
    let mut time = options.start.as_nanos();
    let mut packets = 0_u64;
    let standing = options.established.clamp(1, 1_000_000);
    let count = standing.min(PAIRS_MAX);
    // Two nets' worth of addresses: 10.99.0.0/17 asks, 10.99.128.0/17 answers.
    let end = |number: u32, half: u32| {
        let [.., a, b] = (number + 1 + half * 0x8000).to_be_bytes();
        (
            MacAddr([0x00, [0x14, 0x80][half as usize], [0x22, 0xf4][half as usize], 0, a, b]),
            Ipv4Addr::new(10, 99, a, b),
        )
    };
    let router = MacAddr([0x00, 0x09, 0x0f, 0x00, 0x00, 0x01]);
    let mut put = |time: u64, frame: &[u8]| {
        packets += 1;
        writer.frame(Timestamp::from_nanos(time), frame)
    };
    // The router shows itself: it announces its address.
    let own = Ipv4Addr::new(10, 99, 255, 254);
    let announcement = frame::arp(1, (router, own), (MacAddr::default(), own));
    put(time, &frame::ethernet(MacAddr::BROADCAST, router, None, frame::ARP, &announcement))?;
    let mut flows: Vec<Flow> = (0..standing)
        .map(|place| {
            let (number, port) = (place % count, 49_152 + (place % count % 10_000) as u16);
            let port = port.wrapping_sub(1_000 * (place / count) as u16);
            let [(mac_a, ip_a), (mac_b, ip_b)] = [end(number, 0), end(number, 1)];
            Flow {
                ends: [SocketAddr::from((ip_a, port)), SocketAddr::from((ip_b, 502))],
                macs: [mac_a, mac_b],
                vlan: None,
                ttl: [128, 64],
                tcp: true,
                seq: [rng.u32(), rng.u32()],
                packets: vec![(0, SYN, vec![]), (1, SYN | ACK, vec![]), (0, ACK, vec![])].into_iter(),
            }
        })
        .collect();
    let poll = |id: u16| -> [Next; 2] {
        let answer = modbus::counted(&modbus::registers(&[id, 2, 3]));
        [
            (0, ACK | PSH, modbus::message(id, 1, 3, &modbus::span(0, 3))),
            (1, ACK | PSH, modbus::message(id, 1, 3, &answer)),
        ]
    };
    // Before: all conversations are opened and have spoken; very many say less, for the capture's size.
    let rounds = if standing > count { 2 } else { 5_u16 };
    for round in 0..rounds {
        for flow in &mut flows {
            if flow.packets.as_slice().is_empty() {
                flow.packets = poll(round).to_vec().into_iter();
            }
            while let Some(frame) = flow.next(round) {
                time += rng.range(5_000, 40_000);
                put(time, &frame)?;
            }
        }
    }
    let begins = Timestamp::from_nanos(time + 1);
    let mut turn = 0_usize;
    for number in 0..options.spoofed {
        if number % REAL_EVERY == REAL_EVERY - 1 {
            let index = turn % flows.len();
            let flow = &mut flows[index];
            if flow.packets.as_slice().is_empty() {
                flow.packets = poll((turn & 0xffff) as u16).to_vec().into_iter();
            }
            if let Some(frame) = flow.next(turn as u16) {
                time += rng.range(500, 3_000);
                put(time, &frame)?;
            }
            // Both packets of a poll, then the next conversation.
            turn += usize::from(flow.packets.as_slice().is_empty());
        }
        time += rng.range(500, 3_500);
        let (victim_mac, victim) = end(rng.range(0, u64::from(count)) as u32, 1);
        // 45.0.0.0 to 99.255.255.255 is public as a whole.
        let source = Ipv4Addr::from(rng.range(45 << 24, 100 << 24) as u32);
        let src = SocketAddr::from((source, rng.range(1_024, 65_535) as u16));
        let dst = SocketAddr::from((victim, rng.range(1, 1_024) as u16));
        let syn = Tcp { seq: rng.u32(), ack: 0, flags: SYN, window: 1_024, options: &[] };
        let ip = Ip { ttl: rng.range(38, 60) as u8, id: rng.u16(), df: false, tos: 0, alert: false };
        let segment = frame::tcp(src, dst, syn, &[]);
        let (kind, packet) = frame::ip(src.ip(), dst.ip(), ip, frame::TCP, &segment);
        put(time, &frame::ethernet(victim_mac, router, None, kind, &packet))?;
    }
    let ends = Timestamp::from_nanos(time);
    // After: all go on, and end well.
    for flow in &mut flows {
        let left: Vec<Next> = flow.packets.by_ref().collect();
        let mut rest = left;
        (0..rounds.min(3)).for_each(|id| rest.extend(poll(id)));
        rest.extend([(0, FIN | ACK, vec![]), (1, FIN | ACK, vec![]), (0, ACK, vec![])]);
        flow.packets = rest.into_iter();
    }
    while !flows.is_empty() {
        let chosen = rng.range(0, flows.len() as u64) as usize;
        if let Some(frame) = flows[chosen].next(rng.u16()) {
            time += rng.range(5_000, 40_000);
            put(time, &frame)?;
        } else {
            flows.swap_remove(chosen);
        }
    }
    writer.finish()?;

    let device = |name: String, mac: MacAddr, ip: Ipv4Addr, roles: &[Role], protocol: &str| TrueDevice {
        name,
        locality: Locality::OnLink,
        macs: vec![mac],
        ips: vec![IpAddr::V4(ip)],
        vendor: None,
        model: None,
        firmware: None,
        serial: None,
        hostname: None,
        os: None,
        roles: roles.to_vec(),
        protocols: vec![protocol.into()],
    };
    let mut devices = vec![device("router".into(), router, own, &[Role::Router], "arp")];
    let mut conversations = Vec::new();
    for number in 0..count {
        let [(mac_a, ip_a), (mac_b, ip_b)] = [end(number, 0), end(number, 1)];
        devices.push(device(format!("client-{number}"), mac_a, ip_a, &[], "modbus"));
        devices.push(device(format!("server-{number}"), mac_b, ip_b, &[Role::Plc], "modbus"));
        conversations.push(TrueConversation {
            client: format!("client-{number}"),
            server: format!("server-{number}"),
            transport: "tcp".into(),
            port: 502,
            protocol: "modbus".into(),
            count: u64::from(standing / count + u32::from(number < standing % count)),
        });
    }
    Ok(Truth {
        scene: "flood".into(),
        seed: options.seed,
        start: options.start,
        duration_s: Timestamp::from_nanos(time).since(options.start).as_secs_f64(),
        packets,
        devices,
        conversations,
        silent: Vec::new(),
        silent_macs: Vec::new(),
        spoofed: Vec::new(),
        attack: None,
        stages: Vec::new(),
        notes: vec![
            Note {
                at: begins,
                text: "the flood begins; every source address outside 10.99.0.0/16 is made up".into(),
            },
            Note { at: ends, text: "the flood ends; the established conversations go on".into() },
        ],
    })
}
