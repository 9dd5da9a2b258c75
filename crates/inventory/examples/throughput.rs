//! How many observations a second the inventory takes, and how much memory its devices need.
//!
//! `cargo run --release -p inventory --example throughput [HOSTS] [CONVERSATIONS]`
//!
//! A network of 50,000 hosts in which each talks to ten others, mostly servers, and has the evidence that usual
//! protocols give. Each conversation is three observations: opened, identified, ended.

use std::net::IpAddr;

use inventory::{Inventory, Limits};
use model::{
    Attribute, Binding, BindingSource, Confidence, EndReason, Endpoint, Event, Fact, FlowHead, FlowId,
    FlowIdentified, FlowRecord, Host, MacAddr, Observation, Reach, TcpState, TcpStats, Timestamp, Transport,
    Volume, What,
};

const PROTOCOLS: [(&str, u16); 6] =
    [("modbus", 502), ("s7comm", 102), ("mqtt", 1883), ("http", 80), ("tls", 443), ("dns", 53)];

/// Seven in eight of a host's peers are among so many servers.
const SERVERS: u64 = 500;

/// A host talks to so many others.
const PEERS: u64 = 10;

fn host(number: u64) -> Host {
    let [.., b, c, d] = (number as u32).to_be_bytes();
    let mac = MacAddr([0x00, 0x1b, 0x1b, b, c, d]);
    Host { mac: Some(mac), ip: Some(IpAddr::from([10, b, c, d])) }
}

/// A small generator of numbers that only look random (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Time that this thread has spent on a processor, in seconds: other programs do not disturb it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

fn resident_mib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    (pages.unwrap_or_default() * 4096) >> 20
}

/// What one read costs that no cache has, in nanoseconds: the measure of all else here, for it differs
/// between machines, and on one machine with what else runs.
fn read_nanoseconds() -> f64 {
    const WORDS: usize = 16 << 20;
    const READS: u32 = 1 << 20;
    // Each word leads to another, as a full-period linear congruence does.
    let next: Vec<u32> =
        (0..WORDS).map(|at| (at.wrapping_mul(0x5851_f42d) + 12_345) as u32 % WORDS as u32).collect();
    let start = cpu_seconds();
    let mut at = 0_usize;
    for _ in 0..READS {
        at = next[at] as usize;
    }
    std::hint::black_box(at);
    (cpu_seconds() - start) * 1e9 / f64::from(READS)
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let hosts = arguments.next().unwrap_or(50_000);
    let conversations = arguments.next().unwrap_or(1_000_000);
    let mut inventory = Inventory::new(Limits::default());
    let mut events: Vec<Event> = Vec::new();
    let mut now = Timestamp::from_secs(1_700_000_000);
    let mut told = 0;
    let mut feed = |inventory: &mut Inventory, all: &[Observation]| {
        let start = cpu_seconds();
        for observation in all {
            inventory.observe(observation, &mut events);
            told += events.len();
            events.clear();
        }
        cpu_seconds() - start
    };
    let before = resident_mib();

    let mut discovery = Vec::new();
    for number in 0..hosts {
        now = now + std::time::Duration::from_micros(10);
        let about = host(number);
        let (Some(mac), Some(ip)) = (about.mac, about.ip) else { continue };
        let mut push = |what| discovery.push(Observation { at: now, what });
        push(What::Binding(Binding { mac, ip, source: BindingSource::Arp }));
        for (attribute, value, source) in [
            (Attribute::Hostname, format!("host-{number}"), "dhcp.host-name"),
            (Attribute::Hostname, format!("host-{number}.local"), "mdns.a"),
            (Attribute::Fingerprint, "1,3,6,15,31,33,43".to_owned(), "dhcp.parameters"),
            (Attribute::Vendor, "Siemens AG".to_owned(), "s7comm.szl"),
            (Attribute::Model, format!("CPU 15{}", number % 20), "s7comm.szl"),
            (Attribute::Serial, format!("S C-{number:08}"), "s7comm.szl"),
            (Attribute::Firmware, format!("V4.{}", number % 9), "s7comm.szl"),
            (Attribute::PartNumber, "6ES7 512-1DK01-0AB0".to_owned(), "s7comm.szl"),
        ] {
            let (value, source) = (value.into(), source.into());
            let confidence = Confidence::STRONG;
            push(What::Fact(Box::new(Fact { about, attribute, value, source, confidence })));
        }
    }
    let seconds = feed(&mut inventory, &discovery);
    println!(
        "discovery: {} observations in {seconds:.2} s: {:.2} million a CPU-second",
        discovery.len(),
        discovery.len() as f64 / seconds / 1e6
    );
    drop(discovery);

    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut talk = |count: u64| {
        let mut all = Vec::with_capacity(count as usize * 3);
        for _ in 0..count {
            now = now + std::time::Duration::from_micros(10);
            let client = numbers.below(hosts);
            // Always the same peers: numbers seeded by the client and which of its peers it is.
            let mut peer =
                Numbers((client << 8 | (numbers.below(PEERS) + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let any = peer.below(8) == 0;
            let server = peer.below(if any { hosts } else { SERVERS.min(hosts) });
            let (protocol, port) = PROTOCOLS[(server % 6) as usize];
            let head = FlowHead {
                id: FlowId(client << 32 | server),
                transport: Transport::Tcp,
                vlan: None,
                client: Endpoint { host: host(client), port: 50_000 },
                server: Endpoint { host: host(server), port },
                client_reach: Reach::Near,
                server_reach: Reach::Near,
            };
            let tcp = TcpStats { state: TcpState::Closed, ..TcpStats::default() };
            let record = FlowRecord {
                head,
                first: now,
                last: now,
                sent: Volume { packets: 5, bytes: 500, payload: 200 },
                received: Volume { packets: 5, bytes: 5000, payload: 4000 },
                protocol: Some(protocol.into()),
                tcp: Some(tcp),
                end: EndReason::Finished,
            };
            let identified = FlowIdentified { flow: head, protocol: protocol.into() };
            for what in [
                What::FlowOpened(Box::new(head)),
                What::FlowIdentified(Box::new(identified)),
                What::FlowEnded(Box::new(record)),
            ] {
                all.push(Observation { at: now, what });
            }
        }
        all
    };
    const ROUND: u64 = 50_000;
    let mut rounds = Vec::new();
    println!("a read that no cache has: {:.0} ns", read_nanoseconds());
    for _ in 0..conversations.div_ceil(ROUND) {
        let all = talk(ROUND);
        rounds.push(feed(&mut inventory, &all));
    }
    let total: f64 = rounds.iter().sum();
    rounds.sort_by(f64::total_cmp);
    let per_second = |seconds: f64, count: u64| count as f64 * 3.0 / seconds / 1e6;
    println!(
        "conversations: {:.2} million observations a CPU-second in the median round, {:.2} in all",
        per_second(rounds[rounds.len() / 2], ROUND),
        per_second(total, ROUND * rounds.len() as u64)
    );
    let counts = inventory.counts();
    println!("{counts:?}");
    println!("memory: {} MiB resident, of which {before} before the first observation", resident_mib());
    let start = cpu_seconds();
    let handed = inventory.drain_changed().count();
    println!("{handed} changed devices put together in {:.2} s; {told} events", cpu_seconds() - start);
}
