//! Learns a description from some days of what was recorded, and tells how much of later days it would cut:
//!
//!     pavise watch --json captures/ | cargo run -p mud --example learn -- MAC [SHARE] [FILE.json]
//!
//! SHARE is the share of the days with traffic that are learnt from (0.5). A file to compare with may follow.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::net::IpAddr;

use model::{Timestamp, Transport};
use mud::{
    CLASS_DNS, CLASS_GATEWAY, CLASS_NTP, Initiator, IpVersion, MudFile, Peer, Seen, Subject, deviations,
    generate, is_never_routed,
};
use serde_json::Value;

/// What is known of the network by the time that a conversation ends.
#[derive(Default)]
struct Network {
    names: BTreeMap<IpAddr, BTreeSet<String>>,
    icmp: BTreeMap<String, (u8, u8)>,
    /// Link-layer addresses by which hosts beyond a router are reached, and whose each address is.
    routers: BTreeSet<String>,
    macs: BTreeMap<IpAddr, String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mac = arguments.next().ok_or("which device? Give its MAC address")?.to_ascii_lowercase();
    let share: f64 = arguments.next().map_or(Ok(0.5), |text| text.parse())?;
    let mut network = Network::default();
    let mut all = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let value: Value = serde_json::from_str(&line?)?;
        match value["observation"].as_str() {
            Some("message") => network.learn(&value),
            Some("flow-ended") => all.extend(network.seen(&value, &mac)),
            _ => {}
        }
    }
    // Who is a router is known at the end.
    for seen in &mut all {
        let is_router = seen.peer.address.and_then(|address| network.macs.get(&address));
        if seen.peer.is_local && is_router.is_some_and(|mac| network.routers.contains(mac)) {
            seen.peer.classes.push(CLASS_GATEWAY.into());
        }
    }
    let days: BTreeSet<u64> = all.iter().map(day).collect();
    let learnt = (days.len() as f64 * share).round() as usize;
    let Some(cut) = days.iter().nth(learnt) else { return Err("too few days".into()) };
    let (first, later): (Vec<Seen>, Vec<Seen>) = all.into_iter().partition(|seen| day(seen) < *cut);
    let subject = Subject {
        url: "https://device.example/mud".into(),
        last_update: "2026-01-01T00:00:00Z".into(),
        ..Subject::default()
    };
    let made = generate(&subject, &together(&first))?;
    println!("learnt from {learnt} of {} days, {} conversations", days.len(), first.len());
    describe("made", &made.file);
    println!("  expected to be cut at most: {:.3} %", 100.0 * made.unseen);
    for note in &made.notes {
        println!("  note: {note}");
    }
    for (acl, ace) in made.file.aces() {
        println!("  {} {}", acl.name, ace.name);
    }
    let result = deviations(&made.file, &together(&later));
    let is_control = |seen: &Seen| {
        matches!(seen.transport, Transport::Icmp | Transport::Icmpv6 | Transport::Ip(2))
            || matches!(seen.server_port, Some(53 | 67 | 68 | 123 | 546 | 547))
            || seen.peer.is_of(CLASS_GATEWAY)
    };
    let control: u64 = result.found.iter().filter(|one| is_control(&one.example)).map(|one| one.count).sum();
    let forbidden = result.forbidden;
    let of = result.allowed + forbidden;
    let answered: u64 = result.found.iter().filter(|one| one.example.is_answered).map(|one| one.count).sum();
    println!(
        "later: {forbidden} of {of} conversations cut ({:.3} %), {answered} of them answered, {control} to run the network",
        100.0 * forbidden as f64 / of.max(1) as f64
    );
    for one in result.found.iter().take(12) {
        let Seen { initiator, peer, transport, server_port, is_answered, .. } = &one.example;
        println!(
            "  {}: {initiator:?} {transport} {server_port:?} {:?} {:?} answered {is_answered}",
            one.count, peer.names, peer.address
        );
    }
    if let Some(path) = arguments.next() {
        describe(&path, &mud::read(&std::fs::read(&path)?)?.file);
    }
    Ok(())
}

fn day(seen: &Seen) -> u64 {
    seen.first.as_secs() / 86_400
}

/// How many rules, and how wide.
fn describe(name: &str, file: &MudFile) {
    let count = |is: &dyn Fn(&mud::Matches) -> bool| file.aces().filter(|(_, ace)| is(&ace.matches)).count();
    let is_any = |matches: &mud::Matches| {
        matches.mud == mud::MudMatch::default()
            && matches.ip.as_ref().is_none_or(|ip| {
                ip.source.is_none()
                    && ip.destination.is_none()
                    && ip.source_name.is_none()
                    && ip.destination_name.is_none()
            })
    };
    let has_no_ports = |matches: &mud::Matches| {
        matches.eth.as_ref().is_none_or(|eth| eth.ethertype.is_none())
            && !matches!(matches.l4, Some(mud::L4::Icmp { .. }))
            && matches
                .ip
                .as_ref()
                .is_none_or(|ip| ip.protocol.is_none_or(|number| number == 6 || number == 17))
            && matches.l4.as_ref().is_none_or(|l4| match l4 {
                mud::L4::Tcp { source, destination, .. } | mud::L4::Udp { source, destination } => {
                    source.is_none() && destination.is_none()
                }
                mud::L4::Icmp { .. } => false,
            })
    };
    let has_address = |matches: &mud::Matches| {
        matches.ip.as_ref().is_some_and(|ip| {
            [ip.source, ip.destination].iter().flatten().any(|network| !network.address().is_multicast())
        })
    };
    println!(
        "{name}: {} rules; {} for any address, {} for all ports, {} with an address",
        file.aces().count(),
        count(&is_any),
        count(&has_no_ports),
        count(&has_address)
    );
}

/// The same conversations counted together.
fn together(all: &[Seen]) -> Vec<Seen> {
    let mut sums = BTreeMap::<String, (Seen, BTreeSet<u64>)>::new();
    for seen in all {
        let Seen { initiator, peer, version, transport, server_port, client_port, icmp, is_answered, .. } =
            seen;
        let key = format!(
            "{initiator:?}{peer:?}{version:?}{transport:?}{server_port:?}{client_port:?}{icmp:?}{is_answered}"
        );
        match sums.get_mut(&key) {
            Some((sum, days)) => {
                sum.count += 1;
                sum.client_port = sum.client_port.filter(|port| seen.client_port == Some(*port));
                sum.bytes += seen.bytes;
                sum.first = sum.first.min(seen.first);
                sum.last = sum.last.max(seen.last);
                days.insert(day(seen));
                sum.days = days.len() as u32;
            }
            None => _ = sums.insert(key, (seen.clone(), [day(seen)].into())),
        }
    }
    sums.into_values().map(|(seen, _)| seen).collect()
}

impl Network {
    fn learn(&mut self, value: &Value) {
        let fields = &value["fields"];
        match value["protocol"].as_str() {
            Some("dns") => {
                let query = fields["query"].as_str().unwrap_or_default();
                for answer in fields["answers"].as_array().into_iter().flatten() {
                    let address = answer["data"].as_str().and_then(|text| text.parse().ok());
                    if let Some(address) = address.filter(|_| !query.is_empty()) {
                        self.names.entry(address).or_default().insert(query.to_ascii_lowercase());
                    }
                }
            }
            Some("icmp" | "icmpv6") => {
                let is_four = value["protocol"] == "icmp";
                let kind = match (value["kind"].as_str().unwrap_or_default(), is_four) {
                    ("destination-unreachable", true) => 3,
                    ("redirect", true) => 5,
                    ("echo", true) => 8,
                    ("time-exceeded", true) => 11,
                    ("destination-unreachable", false) => 1,
                    ("packet-too-big", false) => 2,
                    ("time-exceeded", false) => 3,
                    ("echo" | "echo-request", false) => 128,
                    ("listener-query", false) => 130,
                    ("listener-report", false) => 143,
                    ("router-solicitation", false) => 133,
                    ("router-advertisement", false) => 134,
                    ("neighbour-solicitation", false) => 135,
                    ("neighbour-advertisement", false) => 136,
                    _ => return,
                };
                if let Some(id) = value["flow"]["id"].as_str() {
                    self.icmp.entry(id.to_owned()).or_insert((kind, 0));
                }
            }
            _ => {}
        }
    }

    /// A conversation of the device over IP.
    fn seen(&mut self, value: &Value, mac: &str) -> Option<Seen> {
        let mac_of = |side: &str| value[side]["mac"].as_str();
        let (initiator, other) = match (mac_of("client") == Some(mac), mac_of("server") == Some(mac)) {
            (true, _) => (Initiator::Device, "server"),
            (_, true) => (Initiator::Peer, "client"),
            _ => return None,
        };
        let transport: Transport = serde_json::from_value(value["transport"].clone()).ok()?;
        let address: IpAddr = value[other]["ip"].as_str()?.parse().ok()?;
        let is_local = is_never_routed(&address)
            || match address {
                IpAddr::V4(ip) => ip.is_private(),
                IpAddr::V6(ip) => ip.is_unique_local(),
            };
        if let Some(mac) = mac_of(other) {
            if is_local {
                self.macs.insert(address, mac.to_owned());
            } else {
                self.routers.insert(mac.to_owned());
            }
        }
        let port = |side: &str| value[side]["port"].as_u64();
        let has_ports = matches!(transport, Transport::Tcp | Transport::Udp | Transport::Sctp);
        let server_port = port("server").filter(|_| has_ports).and_then(|port| u16::try_from(port).ok());
        let client_port = port("client").filter(|_| has_ports);
        let class = match server_port {
            Some(53) if is_local => vec![CLASS_DNS.to_owned()],
            Some(123) if is_local => vec![CLASS_NTP.to_owned()],
            _ => Vec::new(),
        };
        let time = |name: &str| serde_json::from_value::<Timestamp>(value[name].clone()).ok();
        let volume = |side: &str, what: &str| value[side][what].as_u64().unwrap_or(0);
        let names = self.names.get(&address).map(|names| names.iter().cloned().collect()).unwrap_or_default();
        Some(Seen {
            initiator,
            version: Some(IpVersion::of(&address)),
            peer: Peer { names, address: Some(address), is_local, classes: class, ..Peer::default() },
            transport,
            server_port,
            client_port: client_port.and_then(|port| u16::try_from(port).ok()),
            icmp: value["id"].as_str().and_then(|id| self.icmp.get(id)).copied(),
            protocol: value["protocol"].as_str().map(str::to_owned),
            is_answered: volume("received", "packets") > 0,
            bytes: volume("sent", "bytes") + volume("received", "bytes"),
            count: 1,
            first: time("first")?,
            last: time("last")?,
            days: 1,
        })
    }
}
