//! The scenes are what their truth says, and what real capture tools say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use lab::{Crowd, Flood, Format, Link, SceneOptions, Truth};
use model::{Locality, MacAddr, Timestamp};
use proptest::prelude::*;

// ---- a reader of frames that shares nothing with the writer

#[derive(Clone, Debug)]
struct Segment {
    src: (IpAddr, u16),
    dst: (IpAddr, u16),
    seq: u32,
    ack: u32,
    flags: u8,
    length: u32,
}

#[derive(Clone, Debug)]
struct Seen {
    src_mac: MacAddr,
    dst_mac: MacAddr,
    vlan: Option<u16>,
    arp: Option<(Ipv4Addr, Ipv4Addr)>,
    ip: Option<(IpAddr, IpAddr, u8)>,
    tcp: Option<Segment>,
    /// Ports, from and to.
    udp: Option<(u16, u16)>,
    /// The identifier of a frame on a bus.
    can: Option<u32>,
}

impl Seen {
    fn of(src_mac: MacAddr, dst_mac: MacAddr) -> Self {
        Self { src_mac, dst_mac, vlan: None, arp: None, ip: None, tcp: None, udp: None, can: None }
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The ones' complement sum, which is 0xffff over anything that holds its own checksum.
fn sum(parts: &[&[u8]]) -> u32 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum
}

/// Reads a frame; panics where a length or a checksum is wrong.
fn read(frame: &[u8]) -> Seen {
    if Link::of(frame) == Link::Can {
        assert_eq!((frame.len(), &frame[4..8]), (16, &[8, 0, 0, 0][..]), "eight bytes of data");
        let nobody = MacAddr::default();
        let (mut seen, id) = (Seen::of(nobody, nobody), long(frame, 0));
        assert!(id < 0x800, "an identifier of 11 bits: {id:#x}");
        seen.can = Some(id);
        return seen;
    }
    assert!(frame.len() >= 60 && frame.len() <= 1518, "a frame of {} bytes", frame.len());
    let mac = |at: usize| MacAddr(frame[at..at + 6].try_into().unwrap());
    let (vlan, at) = if word(frame, 12) == 0x8100 { (Some(word(frame, 14) & 0xfff), 16) } else { (None, 12) };
    let mut seen = Seen { vlan, ..Seen::of(mac(6), mac(0)) };
    let rest = &frame[at + 2..];
    let v4 = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&rest[at..at + 4]).unwrap());
    let (src, dst, ttl, protocol, payload): (IpAddr, IpAddr, u8, u8, &[u8]) = match word(frame, at) {
        0x0806 => {
            assert_eq!(mac(6).0, rest[8..14], "ARP names its sender");
            seen.arp = Some((v4(14), v4(24)));
            return seen;
        }
        0x0800 => {
            let head = usize::from(rest[0] & 15) * 4;
            assert_eq!(sum(&[&rest[..head]]), 0xffff, "IPv4 checksum");
            (v4(12).into(), v4(16).into(), rest[8], rest[9], &rest[head..usize::from(word(rest, 2))])
        }
        0x86dd => {
            let v6 = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&rest[at..at + 16]).unwrap());
            let mut payload = &rest[40..40 + usize::from(word(rest, 4))];
            let mut protocol = rest[6];
            if protocol == 0 {
                protocol = payload[0];
                payload = &payload[8 + usize::from(payload[1]) * 8..];
            }
            (v6(8).into(), v6(24).into(), rest[7], protocol, payload)
        }
        0x88cc => return seen,
        length => {
            assert!(usize::from(length) <= rest.len(), "an 802.3 length");
            return seen;
        }
    };
    seen.ip = Some((src, dst, ttl));
    let addresses: Vec<u8> = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => [src.octets(), dst.octets()].concat(),
        (IpAddr::V6(src), IpAddr::V6(dst)) => [src.octets(), dst.octets()].concat(),
        _ => unreachable!(),
    };
    let pseudo = [&addresses[..], &[0, protocol], &(payload.len() as u16).to_be_bytes()].concat();
    match protocol {
        1 | 2 => assert_eq!(sum(&[payload]), 0xffff, "ICMP or IGMP checksum"),
        6 | 17 | 58 => assert_eq!(sum(&[&pseudo, payload]), 0xffff, "checksum of protocol {protocol}"),
        other => panic!("protocol {other}"),
    }
    match protocol {
        17 => {
            assert_eq!(usize::from(word(payload, 4)), payload.len(), "UDP length");
            seen.udp = Some((word(payload, 0), word(payload, 2)));
        }
        6 => {
            let head = usize::from(payload[12] >> 4) * 4;
            seen.tcp = Some(Segment {
                src: (src, word(payload, 0)),
                dst: (dst, word(payload, 2)),
                seq: long(payload, 4),
                ack: long(payload, 8),
                flags: payload[13],
                length: (payload.len() - head) as u32,
            });
        }
        _ => {}
    }
    seen
}

// ---- scenes

fn options(seed: u64, seconds: u64) -> SceneOptions {
    SceneOptions { seed, duration: Duration::from_secs(seconds), ..SceneOptions::default() }
}

/// Plays a scene and reads all its frames.
fn play(name: &str, options: &SceneOptions) -> (Truth, Vec<(Timestamp, Seen)>) {
    let mut frames = Vec::new();
    let truth = lab::scene(name, options)
        .unwrap()
        .play(&mut |at, frame| {
            frames.push((at, read(frame)));
            Ok(())
        })
        .unwrap();
    (truth, frames)
}

fn written(name: &str, options: &SceneOptions) -> Vec<u8> {
    let mut file = Vec::new();
    lab::scene(name, options).unwrap().write(&mut file).unwrap();
    file
}

/// Holds the frames of a scene against its truth.
fn check(truth: &Truth, frames: &[(Timestamp, Seen)]) {
    assert_eq!(truth.packets, frames.len() as u64);
    assert!(frames.is_sorted_by_key(|(at, _)| *at), "frames are in order of time");
    assert!(frames.first().is_none_or(|(at, _)| *at >= truth.start));

    let mut macs = BTreeMap::new();
    let mut ips = BTreeMap::new();
    let mut names = BTreeSet::new();
    for device in &truth.devices {
        assert!(names.insert(&*device.name), "{} exists twice", device.name);
        assert!(!device.ips.is_empty() || !device.macs.is_empty());
        assert_eq!(device.locality == Locality::OnLink, !device.macs.is_empty(), "{}", device.name);
        for mac in &device.macs {
            assert!(mac.is_station() && macs.insert(*mac, device).is_none(), "{mac} belongs to two");
        }
        for ip in &device.ips {
            assert!(ips.insert(*ip, device).is_none(), "{ip} belongs to two");
        }
    }
    for conversation in truth.conversations.iter().filter(|told| told.transport != "can") {
        assert!(names.contains(&*conversation.client), "{conversation:?}");
        let group = conversation.server.parse::<IpAddr>().is_ok();
        assert!(group || names.contains(&*conversation.server), "{conversation:?}");
        for name in [&conversation.client, &conversation.server] {
            if let Some(device) = truth.devices.iter().find(|device| device.name == *name) {
                assert!(device.protocols.contains(&conversation.protocol), "{conversation:?}");
            }
        }
    }
    let silent: BTreeSet<_> = truth.silent.iter().copied().collect();
    let spoofed: BTreeSet<_> = truth.spoofed.iter().copied().collect();
    assert!(
        silent.iter().chain(&spoofed).all(|ip| !ips.contains_key(ip)),
        "what does not exist is no device"
    );

    let mut used_macs = BTreeSet::new();
    let mut used_ips = BTreeSet::new();
    for (_, seen) in frames.iter().filter(|(_, seen)| seen.can.is_none()) {
        let sender = macs.get(&seen.src_mac).unwrap_or_else(|| panic!("nobody has {}", seen.src_mac));
        used_macs.insert(seen.src_mac);
        assert!(
            seen.dst_mac.is_group()
                || macs.contains_key(&seen.dst_mac)
                || truth.silent_macs.contains(&seen.dst_mac),
            "nobody has {}",
            seen.dst_mac
        );
        if let Some((from, to)) = seen.arp {
            used_ips.insert(IpAddr::V4(from));
            assert!(from.is_unspecified() || sender.ips.contains(&from.into()), "ARP from {from}");
            let to = IpAddr::V4(to);
            assert!(to.is_unspecified() || ips.contains_key(&to) || silent.contains(&to), "ARP for {to}");
            // Who is beyond the router is never asked for on the link.
            assert!(ips.get(&to).is_none_or(|device| device.locality == Locality::OnLink), "ARP for {to}");
        }
        let Some((src, dst, ttl)) = seen.ip else { continue };
        used_ips.insert(src);
        if let Some(device) = ips.get(&src) {
            if device.locality == Locality::OnLink {
                assert_eq!(device.name, sender.name, "{src} speaks for itself");
                assert!([1, 4, 64, 128, 255].contains(&ttl), "{src} has TTL {ttl}");
            } else {
                assert!(sender.roles.contains(&model::Role::Router), "{src} comes by the router");
                assert!(![1, 64, 128, 255].contains(&ttl), "{src} has TTL {ttl}");
            }
        } else {
            assert!(src.is_unspecified() || spoofed.contains(&src), "nobody has {src}");
        }
        let group = seen.dst_mac.is_group();
        assert!(
            group || ips.contains_key(&dst) || silent.contains(&dst) || spoofed.contains(&dst),
            "nobody has {dst}"
        );
        assert!(!silent.contains(&src), "{src} does not exist and speaks");
    }
    assert_eq!(used_macs, macs.keys().copied().collect(), "all link-layer addresses of the truth are used");
    used_ips.retain(|ip| !ip.is_unspecified() && !spoofed.contains(ip));
    assert_eq!(used_ips, ips.keys().copied().collect(), "all network addresses of the truth are used");
    connections(frames, &spoofed);
    conversations(truth, frames);
    bus(truth, frames);
}

/// Holds what the truth says of a bus against its frames: each identifier with the number of its frames, and
/// never two frames at once.
fn bus(truth: &Truth, frames: &[(Timestamp, Seen)]) {
    let on_bus: Vec<_> = frames.iter().filter_map(|(at, seen)| seen.can.map(|id| (*at, id))).collect();
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for (_, id) in &on_bus {
        *counts.entry(*id).or_default() += 1;
    }
    let counts: BTreeMap<_, _> =
        counts.into_iter().map(|(id, count)| (format!("0x{id:03x}"), count)).collect();
    let told = truth.conversations.iter().filter(|told| told.transport == "can");
    let told: BTreeMap<_, _> = told.map(|told| (told.client.clone(), told.count)).collect();
    assert_eq!(counts, told);
    // 111 bits at 500 kbit/s.
    let shortest = Duration::from_micros(222);
    assert!(on_bus.windows(2).all(|pair| pair[1].0 >= pair[0].0 + shortest), "one frame at a time");
}

/// Holds the conversations of the truth against the frames: every connection and every datagram belongs
/// to one, and each has one.
fn conversations(truth: &Truth, frames: &[(Timestamp, Seen)]) {
    let name_of =
        |ip: IpAddr| truth.devices.iter().find(|device| device.ips.contains(&ip)).map(|device| &*device.name);
    let mut connections: BTreeMap<(&str, &str, u16), u64> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for (_, seen) in frames {
        let Some((src, dst, _)) = seen.ip else { continue };
        let by_mac = || {
            truth
                .devices
                .iter()
                .find(|device| device.macs.contains(&seen.src_mac))
                .map(|device| &*device.name)
        };
        let (Some(from), to) = (name_of(src).or_else(by_mac), name_of(dst)) else { continue };
        if let (Some(segment), Some(to)) = (&seen.tcp, to)
            && segment.flags & 18 == 2
            && name_of(src).is_some()
        {
            *connections.entry((from, to, segment.dst.1)).or_default() += 1;
        }
        let Some((from_port, to_port)) = seen.udp else { continue };
        let group = dst.to_string();
        let find = |fits: &dyn Fn(&lab::TrueConversation) -> bool| {
            truth.conversations.iter().position(|told| told.transport == "udp" && fits(told))
        };
        let belongs = match to {
            None => find(&|told| told.client == from && told.port == to_port && told.server == group),
            Some(to) => find(&|told| {
                (&*told.client, &*told.server, told.port) == (from, to, to_port)
                    || (&*told.client, &*told.server, told.port) == (to, from, from_port)
            })
            // An answer to something said to a group.
            .or_else(|| {
                find(&|told| {
                    told.client == to && told.server.parse::<IpAddr>().is_ok() && told.port == from_port
                })
            }),
        };
        used.insert(
            belongs.unwrap_or_else(|| panic!("{from} to {to:?} {dst} port {to_port} is not in the truth")),
        );
    }
    let told =
        |transport: &'static str| truth.conversations.iter().filter(move |told| told.transport == transport);
    let told_connections: BTreeMap<_, _> =
        told("tcp").map(|told| ((&*told.client, &*told.server, told.port), told.count)).collect();
    assert_eq!(connections, told_connections);
    assert_eq!(used.len(), told("udp").count(), "every conversation over UDP takes place");
}

/// Follows all TCP connections: whole handshakes, no gap, all data acknowledged, an end on both sides.
fn connections(frames: &[(Timestamp, Seen)], spoofed: &BTreeSet<IpAddr>) {
    #[derive(Default)]
    struct Half {
        next: Option<u32>,
        finished: bool,
        acknowledged: u32,
    }
    let mut halves: BTreeMap<_, Half> = BTreeMap::new();
    for segment in frames.iter().filter_map(|(_, seen)| seen.tcp.as_ref()) {
        if spoofed.contains(&segment.src.0) || spoofed.contains(&segment.dst.0) {
            continue;
        }
        let other = halves.get(&(segment.dst, segment.src)).and_then(|half| half.next);
        let half = halves.entry((segment.src, segment.dst)).or_default();
        if segment.flags & 2 != 0 {
            *half = Half { next: Some(segment.seq), ..Half::default() };
        }
        assert_eq!(half.next, Some(segment.seq), "a gap: {segment:?}");
        assert!(!half.finished || segment.length == 0, "data after the end: {segment:?}");
        half.next = Some(segment.seq.wrapping_add(segment.length + u32::from(segment.flags & 3 != 0)));
        half.finished |= segment.flags & 1 != 0;
        if segment.flags & 16 != 0 {
            assert_eq!(Some(segment.ack), other, "acknowledges what was said: {segment:?}");
            half.acknowledged = segment.ack;
        }
    }
    for ((src, dst), half) in &halves {
        assert!(half.finished, "{src:?} to {dst:?} does not end");
        assert_eq!(
            halves[&(*dst, *src)].next,
            Some(half.acknowledged),
            "{dst:?} to {src:?} is not acknowledged"
        );
    }
}

#[test]
fn a_scene_is_what_its_truth_says() {
    for scene in lab::SCENES {
        let (truth, frames) = play(scene.name, &SceneOptions::default());
        check(&truth, &frames);
        // A bus has hundreds of frames each second.
        let most = if scene.name == "vehicle" { 200_000 } else { 40_000 };
        assert!((10_000..most).contains(&truth.packets), "{}: {} packets", scene.name, truth.packets);
        assert_eq!(lab::scene(scene.name, &SceneOptions::default()).unwrap().truth(), truth);
        let text = serde_json::to_string(&truth).unwrap();
        assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_scene_of_any_seed_and_length_is_whole(seed: u64, seconds in 0..240_u64) {
        for scene in lab::SCENES {
            let (truth, frames) = play(scene.name, &options(seed, seconds));
            check(&truth, &frames);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    for scene in lab::SCENES {
        let first = written(scene.name, &options(7, 90));
        assert!(first == written(scene.name, &options(7, 90)), "{} differs from itself", scene.name);
        assert!(first != written(scene.name, &options(8, 90)), "{} does not heed its seed", scene.name);
    }
}

#[test]
fn a_scene_may_begin_with_the_epoch() {
    for scene in lab::SCENES {
        let (truth, frames) = play(scene.name, &SceneOptions { start: Timestamp::EPOCH, ..options(3, 60) });
        check(&truth, &frames);
    }
}

#[test]
fn an_unknown_scene_is_refused_with_the_names_of_the_known() {
    let error = lab::scene("ship", &SceneOptions::default()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "no scene is called \"ship\": there is home, plant, retail, city, hospital, vehicle"
    );
}

#[test]
fn the_home_has_what_makes_homes_hard() {
    let (truth, frames) = play("home", &SceneOptions::default());
    let device = |name: &str| truth.devices.iter().find(|device| device.name == name).unwrap();
    assert_eq!(device("thermostat").ips.len(), 2, "the thermostat is renumbered");
    assert!(device("phone").macs[0].is_local(), "the telephone hides its vendor");
    assert!(device("laptop").ips.iter().any(IpAddr::is_ipv6));
    let router = device("router").macs[0];
    let beyond: BTreeSet<_> = frames
        .iter()
        .filter(|(_, seen)| seen.src_mac == router)
        .filter_map(|(_, seen)| seen.ip.map(|(src, ..)| src))
        .filter(|src| !device("router").ips.contains(src))
        .collect();
    assert!(beyond.len() >= 8, "many addresses come by the router: {beyond:?}");
}

#[test]
fn nights_of_weekends_are_quieter_than_mornings_at_work() {
    for scene in lab::SCENES {
        let monday = SceneOptions { duration: Duration::from_secs(300), ..SceneOptions::default() };
        // 2026-03-08, a Sunday, 03:00 UTC.
        let sunday = SceneOptions { start: Timestamp::from_secs(1_772_938_800), ..monday };
        let packets = |options| lab::scene(scene.name, options).unwrap().truth().packets;
        let (work, night) = (packets(&monday), packets(&sunday));
        assert!(night < work, "{}: {night} packets at night, {work} at work", scene.name);
    }
}

#[test]
fn the_shop_is_visited_by_its_maintenance_firm_on_working_days() {
    let visits = |start: Timestamp| {
        let (truth, _) = play("retail", &SceneOptions { start, ..SceneOptions::default() });
        let by_vendor = |told: &&lab::TrueConversation| told.client == "vendor" && told.server == "hvac";
        truth.conversations.iter().filter(by_vendor).map(|told| told.count).sum::<u64>()
    };
    assert_eq!(visits(SceneOptions::default().start), 1);
    // The Saturday after it, at the same hour.
    assert_eq!(visits(SceneOptions::default().start + Duration::from_secs(5 * 86_400)), 0);
}

#[test]
fn a_car_moves_as_cars_do_and_guards_what_it_says() {
    let mut frames: BTreeMap<u32, Vec<(Timestamp, [u8; 8])>> = BTreeMap::new();
    let scene = lab::scene("vehicle", &SceneOptions::default()).unwrap();
    scene
        .play(&mut |at, frame| {
            if Link::of(frame) == Link::Can {
                frames.entry(long(frame, 0)).or_default().push((at, frame[8..].try_into().unwrap()));
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(frames.len(), 12);
    for (id, sent) in &frames {
        // Periods keep to themselves within a few frames' time, and counters go on by one.
        let period = (sent[sent.len() - 1].0.as_nanos() - sent[0].0.as_nanos()) / (sent.len() as u64 - 1);
        let early = period - 4_000_000..period + 4_000_000;
        assert!((9_990_000..1_010_000_000).contains(&period), "{id:#x} every {period} ns");
        for pair in sent.windows(2) {
            let gap = pair[1].0.as_nanos() - pair[0].0.as_nanos();
            assert!(early.contains(&gap), "{id:#x} after {gap} of {period} ns");
            assert_eq!(pair[1].1[6], (pair[0].1[6] + 1) % 15, "{id:#x}");
        }
        let checks: BTreeSet<u8> = sent.iter().map(|(_, data)| data[7]).collect();
        assert!(checks.len() >= 15, "{id:#x} is not checked");
    }
    // The speed in m/s by the dashboard: it stands, it goes, and it never changes faster than tyres allow.
    let speeds: Vec<f64> = frames[&0x3e9].iter().map(|(_, data)| f64::from(word(data, 0)) / 360.0).collect();
    assert!(speeds.contains(&0.0) && speeds.iter().any(|speed| *speed > 12.0));
    assert!(speeds.iter().all(|speed| *speed < 35.0));
    assert!(speeds.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.1 * 3.0), "at most 3 m/s^2");
    // Front wheels agree with the speed at the same time, up to the bend.
    let fast = frames[&0x0d4].iter().map(|(_, data)| [0, 2, 4].map(|at| f64::from(word(data, at))));
    assert!(fast.clone().all(|[left, right, rear]| ((left + right) / 2.0 - rear).abs() < 2.0));
    assert!(fast.clone().any(|[left, right, _]| (left - right).abs() > 100.0), "it takes bends");
    // It brakes while it slows down.
    let most = |id: u32| frames[&id].iter().map(|(_, data)| word(data, 0)).max().unwrap();
    assert!(most(0x0d1) > 150 && most(0x0c9) > 4 * 1_500);
}

#[test]
fn the_plant_has_what_makes_plants_hard() {
    let (truth, frames) = play("plant", &SceneOptions::default());
    let vlans: BTreeSet<_> = frames.iter().map(|(_, seen)| seen.vlan).collect();
    assert_eq!(vlans, [None, Some(10), Some(20)].into());
    assert!(truth.spoofed.len() > 200 && truth.silent.len() > 50 && !truth.silent_macs.is_empty());
    // Refusals go out to made-up addresses, which nevertheless never had a conversation.
    let refused =
        frames.iter().filter_map(|(_, seen)| seen.tcp.as_ref()).filter(|segment| segment.flags & 4 != 0);
    assert!(refused.count() >= 100);
    let notes: Vec<_> = truth.notes.iter().map(|note| &*note.text).collect();
    for what in ["uploads block OB1", "downloads block OB1", "scan"] {
        assert!(notes.iter().any(|note| note.contains(what)), "{what}: {notes:?}");
    }
}

// ---- real tools

/// What tshark must not find.
const WRONG: &str = "_ws.malformed or _ws.expert.severity==error or ip.checksum.status==0 or \
    tcp.checksum.status==0 or udp.checksum.status==0 or icmp.checksum.status==0 or \
    icmpv6.checksum.status==0 or igmp.checksum.status==0 or cdp.checksum.status==0 or dnp.hdr.CRC.status==0 or \
    dnp.data_chunk.CRC.status==0 or tcp.analysis.lost_segment or tcp.analysis.retransmission or \
    tcp.analysis.out_of_order or tcp.analysis.ack_lost_segment";
const CHECKSUMS: [&str; 6] =
    ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];

/// Runs tshark on a file and returns what it prints; panics if it fails.
fn tshark(program: &std::path::Path, file: &std::path::Path, arguments: &[&str]) -> String {
    let run = std::process::Command::new(program).arg("-r").arg(file).args(arguments).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn tshark_finds_nothing_wrong_and_the_same_protocols() {
    let Some(program) = testkit::peer("tshark_finds_nothing_wrong_and_the_same_protocols", "tshark") else {
        return;
    };
    for scene in lab::SCENES {
        let file = tempfile::NamedTempFile::new().unwrap();
        let truth =
            lab::scene(scene.name, &SceneOptions::default()).unwrap().write(&mut file.as_file()).unwrap();
        let mut arguments = CHECKSUMS.to_vec();
        arguments.extend(["-Y", WRONG]);
        assert_eq!(tshark(&program, file.path(), &arguments), "", "{}", scene.name);

        // Who sent which protocol, by tshark: told the ports that it does not know by itself.
        let mut arguments = vec!["-T", "fields"];
        for field in ["eth.src", "ip.src", "ipv6.src", "frame.protocols"] {
            arguments.extend(["-e", field]);
        }
        let ports: Vec<_> = [
            (8883, "tls"),
            (8009, "tls"),
            (4843, "tls"),
            (8531, "tls"),
            (5671, "tls"),
            (5000, "http"),
            (8123, "http"),
            (4443, "tls"),
        ]
        .map(|(port, protocol)| format!("tcp.port=={port},{protocol}"))
        .into();
        ports.iter().for_each(|port| arguments.extend(["-d", port]));
        let text = tshark(&program, file.path(), &arguments);
        assert_eq!(text.lines().count() as u64, truth.packets, "{}", scene.name);
        let known: BTreeSet<_> = truth.devices.iter().flat_map(|device| &device.protocols).collect();
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for line in text.lines() {
            let [mac, v4, v6, protocols] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let ip: Option<IpAddr> = v4.parse().or_else(|_| v6.parse()).ok();
            let ip = ip.filter(|ip| !ip.is_unspecified());
            if mac.is_empty() {
                assert_eq!(protocols, "can:data", "{}", scene.name);
                continue;
            }
            let mac: MacAddr = mac.parse().unwrap();
            let device = truth
                .devices
                .iter()
                .find(|device| ip.map_or_else(|| device.macs.contains(&mac), |ip| device.ips.contains(&ip)));
            // A scanner's made-up address belongs to nobody.
            let Some(device) = device else { continue };
            let layers = protocols.split(':').map(|layer| if layer == "smb2" { "smb" } else { layer });
            let layers = layers.filter(|layer| known.contains(&(*layer).to_string()));
            found.entry(&device.name).or_default().extend(layers);
        }
        for device in &truth.devices {
            let told: BTreeSet<_> = device.protocols.iter().map(|id| &**id).collect();
            assert_eq!(found[&*device.name], told, "{} of the {}", device.name, scene.name);
        }
    }
}

#[test]
fn tshark_finds_nothing_wrong_in_a_crowd_and_a_flood() {
    let Some(program) = testkit::peer("tshark_finds_nothing_wrong_in_a_crowd_and_a_flood", "tshark") else {
        return;
    };
    for format in [Format::Pcapng, Format::Pcap] {
        let files = [tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap()];
        let crowd = Crowd { packets: 20_000, hosts: 700, format, ..Crowd::default() };
        lab::crowd(&crowd, &mut files[0].as_file()).unwrap();
        let flood = Flood { spoofed: 5_000, established: 20, format, ..Flood::default() };
        lab::flood(&flood, &mut files[1].as_file()).unwrap();
        for file in files {
            let mut arguments = CHECKSUMS.to_vec();
            arguments.extend(["-Y", WRONG]);
            assert_eq!(tshark(&program, file.path(), &arguments), "");
        }
    }
}

// ---- the crowd and the flood

/// The frames of a classic capture.
fn pcap_frames(file: &[u8]) -> Vec<(Timestamp, Seen)> {
    let little = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(little(0), 0xa1b2_3c4d);
    let (mut at, mut frames) = (24, Vec::new());
    while at < file.len() {
        let time = Timestamp::from_nanos(u64::from(little(at)) * 1_000_000_000 + u64::from(little(at + 4)));
        let length = little(at + 8) as usize;
        frames.push((time, read(&file[at + 16..at + 16 + length])));
        at += 16 + length;
    }
    frames
}

#[test]
fn a_crowd_has_the_packets_and_hosts_that_were_asked_for() {
    let options = Crowd { packets: 60_000, hosts: 3_000, format: Format::Pcap, ..Crowd::default() };
    let mut file = Vec::new();
    let summary = lab::crowd(&options, &mut file).unwrap();
    let frames = pcap_frames(&file);
    assert_eq!((summary.packets, frames.len()), (60_000, 60_000));
    assert!(frames.is_sorted_by_key(|(at, _)| *at));
    let hosts: BTreeSet<_> =
        frames.iter().map(|(_, seen)| (seen.src_mac, seen.ip.unwrap().0, seen.vlan)).collect();
    assert_eq!((hosts.len(), summary.hosts), (3_000, 3_000), "each host has one address, one net");
    let average = summary.bytes / summary.packets;
    assert!((80..=100).contains(&average), "{average} bytes to a frame");
    let per_flow = summary.packets / summary.flows;
    assert!((8..=20).contains(&per_flow), "{per_flow} packets to a conversation");
    assert_eq!(summary.protocols.values().sum::<u64>(), summary.flows);
    for id in ["dns", "modbus", "mqtt", "http", "tls", "ntp", "snmp", "none"] {
        assert!(summary.protocols.contains_key(id), "{id}");
    }

    let mut again = Vec::new();
    lab::crowd(&options, &mut again).unwrap();
    assert!(file == again, "the same seed gives the same crowd");
    for packets in [0, 1, 2, 5] {
        let summary = lab::crowd(&Crowd { packets, hosts: 2, ..options }, &mut Vec::new()).unwrap();
        assert_eq!(summary.packets, packets);
    }
}

#[test]
fn a_flood_leaves_its_established_conversations_whole() {
    let options = Flood { spoofed: 30_000, established: 40, format: Format::Pcap, ..Flood::default() };
    let mut file = Vec::new();
    let truth = lab::flood(&options, &mut file).unwrap();
    let frames = pcap_frames(&file);
    assert_eq!(truth.packets, frames.len() as u64);
    assert!(frames.is_sorted_by_key(|(at, _)| *at));
    assert_eq!((truth.devices.len(), truth.conversations.len()), (81, 40));
    let ours = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[..2] == [10, 99]);
    let sources = frames.iter().filter_map(|(_, seen)| seen.ip.map(|(src, ..)| src));
    let spoofed: BTreeSet<_> = sources.filter(|src| !ours(*src)).collect();
    assert!(spoofed.len() > 29_000, "nearly every made-up flow has its own address");
    connections(&frames, &spoofed);
    let known: BTreeSet<_> = truth.devices.iter().flat_map(|device| device.ips.clone()).collect();
    let speak_in_the_flood = frames
        .iter()
        .filter(|(at, _)| (truth.notes[0].at..truth.notes[1].at).contains(at))
        .filter_map(|(_, seen)| seen.ip.map(|(src, ..)| src))
        .filter(|src| ours(*src))
        .inspect(|src| assert!(known.contains(src)))
        .count();
    assert_eq!(speak_in_the_flood, 300);
}
