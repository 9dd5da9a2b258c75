//! Makes the seeds of all targets from the laboratory's scenes: `cargo run --example seeds` in `fuzz/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use capture::write::PcapWriter;
use dissect::proto::{Carrier, Opening, PROTOCOLS, Verdict};
use dissect::wire::{self, LinkType, Network, TransportInfo};
use model::Side;
use store::{conformance, format};

/// No seed is much longer, in bytes: short inputs are explored faster.
const MAX_SEED: usize = 1_500;

/// Indicators in each of their forms.
const INTEL: &[(&str, &str)] = &[
    (
        "list",
        "# a list\n192.0.2.7,scanner\n198.51.100.0/24 hoster\nfd00::/8\n\"evil.example.com\"\tbeacon\n*.example.net\n\
         https://example.org/a?b=c#d\nt13d1516h2_8daaf6152771_e5627efa2ab1,a client\nd41d8cd98f00b204e9800998ecf8427e\n",
    ),
    (
        "bundle",
        r#"{"type":"bundle","id":"bundle--1","objects":[{"type":"indicator","name":"master","pattern_type":"stix","pattern":"[ipv4-addr:value = '192.0.2.7' OR domain-name:value = 'evil.example.com']","valid_from":"2026-01-01T00:00:00Z","valid_until":"2027-01-01T00:00:00Z"},{"type":"indicator","pattern":"[url:value = 'http://a.example/\\\\'x']","revoked":false},{"type":"indicator","pattern":"[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e']"},{"type":"malware","name":"x"}]}"#,
    ),
];

/// Expressions about devices.
const QUERIES: &[(&str, &str)] = &[
    ("roles", "vendor:siemens and role:plc and seen>24h"),
    ("networks", "ip:10.1.0.0/16 not (camera or name:\"front \\* door*\") os!=linux"),
    ("orders", "firmware<2.4 (bytes >= 4KiB or packets:7) and not first<2w 2001:db8::/32"),
];

/// A policy in which each form of a statement is.
const POLICY: &str = "zone a { level 3.5 members 10.0.0.0/8, role:plc and not name:\"x # y\" }\n\
     group g = a, d0a1b2c3d4e5f, 00:1b:1b:00:00:01\n\
     service s = tcp/80-90, udp, ether-88b8\n\
     conduit a -> a { s, modbus }\n\
     allow \"l\" g -> \"*.example.com\", multicast s, any read, write coils 1-5, publish a/#\n\
     deny internet -> local\n\
     never internet reach g\n\
     guard g\n\
     expect deny internet -> g modbus write \"coils 9\"\n";

/// So many observations of a scene are looked through for seeds.
const MAX_SEEN: usize = 20_000;

/// Scenes as observations, and what is learnt from them.
fn learn(corpus: &Path) -> std::io::Result<()> {
    let mut longest = BTreeMap::new();
    for scene in ["plant", "home", "vehicle"] {
        let options =
            lab::SceneOptions { duration: std::time::Duration::from_secs(300), ..Default::default() };
        let mut capture = Vec::new();
        lab::scene(scene, &options).expect("the scene is known").write(&mut capture)?;
        let observations = pavise_fuzz::observed(&capture);
        let mut brain = brain::Brain::new(inventory::Limits::default(), brain::Settings::default());
        let mut events = Vec::new();
        for observation in &observations {
            brain.observe(observation, &mut events);
            events.clear();
        }
        for (detector, learnt) in brain.detect().save() {
            let seed = [detector.as_bytes(), b"\n", &learnt].concat();
            // Longer ones are cut off, and then they are of no use.
            let kept = longest.entry(detector).or_insert_with(Vec::new);
            if seed.len() < 4 * MAX_SEED && seed.len() > kept.len() {
                *kept = seed;
            }
        }
        // Of each kind of observation the first ones.
        let mut kinds = BTreeMap::<String, u32>::new();
        let mut seeds = vec![String::new(); 2];
        for observation in observations.iter().take(MAX_SEEN) {
            let line = serde_json::to_string(observation)? + "\n";
            let value: serde_json::Value = serde_json::from_str(&line)?;
            let seen = kinds.entry(value["observation"].to_string()).or_default();
            *seen += 1;
            let seed = &mut seeds[*seen as usize % 2];
            if *seen <= 8 && seed.len() + line.len() <= 4 * MAX_SEED {
                seed.push_str(&line);
            }
        }
        for (part, seed) in seeds.iter().enumerate() {
            fs::write(corpus.join(format!("observations/{scene}-{part}")), seed)?;
        }
    }
    for (detector, seed) in longest.iter().filter(|(_, seed)| !seed.is_empty()) {
        fs::write(corpus.join("learnt").join(detector), seed)?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets"))? {
        fs::create_dir_all(corpus.join(target?.path().file_stem().unwrap_or_default()))?;
    }
    for (name, text) in QUERIES {
        fs::write(corpus.join("query").join(name), text)?;
    }
    for (name, text) in INTEL {
        fs::write(corpus.join("intel").join(name), text)?;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/example.policy");
    fs::copy(example, corpus.join("policy/example"))?;
    fs::write(corpus.join("policy/forms"), POLICY)?;
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.toml");
    fs::copy(settings, corpus.join("settings/example"))?;
    let description = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/mud/tests/lamp.json");
    fs::copy(description, corpus.join("mud/lamp"))?;
    fs::write(corpus.join("access/default"), trust::access::DEFAULT)?;
    learn(&corpus)?;
    for number in 0..4 {
        let flows: Vec<_> = (number * 5..number * 8).map(conformance::flow).collect();
        for body in format::pack_flows(&flows) {
            fs::write(corpus.join(format!("store/flows-{number}")), body)?;
        }
        let mut body = Vec::new();
        format::pack_device(&mut body, &conformance::device(number));
        fs::write(corpus.join(format!("store/device-{number}")), body)?;
    }
    for scene in ["home", "plant", "retail", "hospital"] {
        let options =
            lab::SceneOptions { duration: std::time::Duration::from_secs(90), ..Default::default() };
        let mut frames = Vec::new();
        lab::scene(scene, &options).expect("the scene is known").play(&mut |at, frame| {
            frames.push((at, frame.to_vec()));
            Ok(())
        })?;
        let mut kinds = BTreeSet::new();
        let mut conversations = BTreeMap::<_, (usize, Vec<u8>)>::new();
        for (at, frame) in &frames {
            let packet = wire::decode(LinkType::ETHERNET, frame, frame.len());
            let (kind, ports, transport) = match (packet.network, packet.transport) {
                (
                    Network::Ip { source, .. },
                    TransportInfo::Tcp { source: source_port, destination: destination_port, .. },
                ) => (u32::from(source.is_ipv4()), Some((source_port, destination_port)), 1_u8),
                (
                    Network::Ip { source, .. },
                    TransportInfo::Udp { source: source_port, destination: destination_port },
                ) => (2 + u32::from(source.is_ipv4()), Some((source_port, destination_port)), 2),
                (Network::Ip { protocol, .. }, _) => (256 + u32::from(protocol), None, 3),
                (Network::Link { kind, .. }, _) => (65_536 + u32::from(kind), None, 4),
                _ => continue,
            };
            if kinds.insert((kind, packet.vlans[0] != 0)) {
                let mut seed = vec![0];
                seed.extend((frame.len() as u16).to_be_bytes());
                seed.extend(frame);
                fs::write(corpus.join(format!("wire/{scene}-{kind}-{}", packet.vlans[0])), &seed)?;
                let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET)?;
                writer.write(*at, frame, frame.len() as u32)?;
                fs::write(corpus.join(format!("capture/{scene}-{kind}.pcap")), writer.finish()?)?;
            }
            if packet.payload.is_empty() {
                continue;
            }
            let (source, destination) = ports.unwrap_or((0, 0));
            let forth = source >= destination;
            let (client_port, server_port) = (source.max(destination), source.min(destination));
            let from = if forth { Side::Client } else { Side::Server };
            let key = (transport, kind, client_port, server_port);
            let opening =
                Opening { bytes: packet.payload, from, client_port, server_port, stream: transport == 1 };
            let carries = |carrier: &Carrier| match carrier {
                Carrier::Tcp(_) => transport == 1,
                Carrier::Udp(_) => transport == 2,
                Carrier::Ip(number) => kind == 256 + u32::from(*number),
                Carrier::EtherType(ether) => kind == 65_536 + u32::from(*ether),
                Carrier::Llc(_) | Carrier::Snap(..) => transport == 4 && kind < 65_536 + 256,
                _ => false,
            };
            let known = conversations.get(&key).map(|(number, _)| *number).or_else(|| {
                PROTOCOLS.iter().position(|protocol| {
                    protocol.carriers.iter().any(carries)
                        && match (protocol.probe)(&opening) {
                            Verdict::Yes => true,
                            Verdict::Maybe => protocol.carriers.iter().any(|carrier| match carrier {
                                Carrier::Tcp(ports) | Carrier::Udp(ports) => ports.contains(&server_port),
                                _ => true,
                            }),
                            _ => false,
                        }
                })
            });
            let Some(number) = known else { continue };
            let choice = PROTOCOLS[number].carriers.iter().position(carries).unwrap_or(0) as u8;
            let (_, seed) = conversations.entry(key).or_insert_with(|| {
                (number, [&pavise_fuzz::sign(PROTOCOLS[number]).to_be_bytes()[..], &[choice]].concat())
            });
            if seed.len() + packet.payload.len() <= MAX_SEED {
                seed.push(if forth { 0 } else { 0x80 });
                seed.extend((packet.payload.len() as u16).to_be_bytes());
                seed.extend(packet.payload);
            }
        }
        let mut longest = BTreeMap::<usize, &Vec<u8>>::new();
        for (number, seed) in conversations.values() {
            let kept = longest.entry(*number).or_insert(seed);
            if seed.len() > kept.len() {
                *kept = seed;
            }
        }
        for (number, seed) in longest {
            fs::write(corpus.join(format!("protocols/{scene}-{}", PROTOCOLS[number].id)), seed)?;
        }
        // Every so many frames one run of them, as a capture.
        for (part, run) in frames.chunks(24).step_by(frames.len() / 24 / 8 + 1).enumerate() {
            let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET)?;
            for (at, frame) in run {
                writer.write(*at, frame, frame.len() as u32)?;
            }
            fs::write(corpus.join(format!("engine/{scene}-{part}.pcap")), writer.finish()?)?;
        }
        let options = lab::SceneOptions { duration: std::time::Duration::from_millis(400), ..options };
        let mut short = Vec::new();
        lab::scene(scene, &options).expect("the scene is known").write(&mut short)?;
        short.truncate(4 * MAX_SEED);
        fs::write(corpus.join(format!("capture/{scene}.pcapng")), short)?;
    }
    Ok(())
}
