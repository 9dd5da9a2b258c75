//! The packets that show a finding: the latest frames are kept in a ring, and what concerns a finding is cut out of
//! it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use brain::{Brain, Settings};
use capture::Batch;
use capture::write::PcapngWriter;
use dissect::wire::{self, LinkType, Network};
use model::{Finding, FindingId, Host, MacAddr, Severity, Slice, Timestamp};
use sha2::{Digest, Sha256};

use crate::play::Play;

/// The folder in the state in which slices lie.
const FOLDER: &str = "evidence";
/// A slice holds at most so many frames, the latest, and
const MAX_FRAMES: usize = 4096;
/// so many bytes of them.
const MAX_BYTES: usize = 2 << 20;
/// All slices of a state together hold at most so many bytes.
const MAX_FOLDER: u64 = 512 << 20;
/// Of findings below medium so many slices are cut in a run: weaknesses may be as many as devices.
const MAX_SLIGHT: usize = 256;
/// Longer frames are kept in part.
const MAX_FRAME: usize = 64 << 10;
/// EtherType of ARP (RFC 826).
const ARP: u16 = 0x0806;

/// A frame in the ring.
#[derive(Clone, Copy)]
struct Kept {
    at: Timestamp,
    link: LinkType,
    wire_length: u32,
    offset: usize,
    length: usize,
}

/// The latest frames, up to a number of bytes.
struct Ring {
    bytes: Vec<u8>,
    frames: VecDeque<Kept>,
    capacity: usize,
    /// Where the next frame goes.
    next: usize,
    /// How many bytes were taken in since the latest slices were cut.
    fresh: usize,
}

impl Ring {
    const fn new(capacity: usize) -> Self {
        Self { bytes: Vec::new(), frames: VecDeque::new(), capacity, next: 0, fresh: 0 }
    }

    fn push(&mut self, at: Timestamp, link: LinkType, wire_length: u32, frame: &[u8]) {
        let frame = frame.get(..MAX_FRAME.min(self.capacity / 2)).unwrap_or(frame);
        if self.next + frame.len() > self.capacity {
            // What lies behind the last frame is never used; those that lie there are the oldest.
            while self.frames.front().is_some_and(|first| first.offset >= self.next) {
                self.frames.pop_front();
            }
            self.next = 0;
        }
        let end = self.next + frame.len();
        while self
            .frames
            .front()
            .is_some_and(|first| first.offset >= self.next && first.offset < end.max(self.next + 1))
        {
            self.frames.pop_front();
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.next..end].copy_from_slice(frame);
        self.frames.push_back(Kept { at, link, wire_length, offset: self.next, length: frame.len() });
        self.next = end;
        self.fresh += frame.len();
    }

    fn bytes(&self, kept: &Kept) -> &[u8] {
        &self.bytes[kept.offset..kept.offset + kept.length]
    }
}

/// Whose addresses a frame bears.
struct Bears {
    ips: [Option<IpAddr>; 2],
    macs: [Option<MacAddr>; 2],
    is_arp: bool,
    is_bus: bool,
}

/// The one address by which a host is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Address {
    Ip(IpAddr),
    Mac(MacAddr),
    /// Whoever has no address sits on a bus, where everybody hears everybody.
    Bus,
}

impl Address {
    fn of(host: &Host) -> Self {
        match (host.ip, host.mac) {
            (Some(ip), _) => Self::Ip(ip.to_canonical()),
            (None, Some(mac)) => Self::Mac(mac),
            (None, None) => Self::Bus,
        }
    }
}

impl Bears {
    /// All addresses that the frame bears.
    fn addresses(&self) -> impl Iterator<Item = Address> {
        let ips = self.ips.into_iter().flatten().map(Address::Ip);
        let macs = self.macs.into_iter().flatten().map(Address::Mac);
        ips.chain(macs).chain(self.is_bus.then_some(Address::Bus))
    }

    fn of(kept: &Kept, bytes: &[u8]) -> Self {
        let packet = wire::decode(kept.link, bytes, kept.wire_length as usize);
        let mut bears = Self {
            ips: [None; 2],
            macs: [packet.source_mac, packet.destination_mac],
            is_arp: false,
            is_bus: false,
        };
        match packet.network {
            Network::Ip { source, destination, .. } => {
                bears.ips = [source, destination].map(|ip| Some(ip.to_canonical()));
            }
            Network::Link { kind: ARP, .. } => {
                let address = |at: usize| {
                    let bytes: [u8; 4] = packet.payload.get(at..at + 4)?.try_into().ok()?;
                    Some(IpAddr::V4(Ipv4Addr::from(bytes)))
                };
                (bears.ips, bears.is_arp) = ([address(14), address(24)], true);
            }
            Network::Can { .. } => bears.is_bus = true,
            Network::Link { .. } | Network::Wpan => {}
        }
        bears
    }

    fn has(&self, host: &Host) -> bool {
        match Address::of(host) {
            Address::Ip(ip) => self.ips.contains(&Some(ip)),
            Address::Mac(mac) => self.macs.contains(&Some(mac)),
            Address::Bus => self.is_bus,
        }
    }

    /// Whether the frame is a part of what happened between two, or tells who one of them is.
    fn concerns(&self, actor: &Host, victim: Option<&Host>) -> bool {
        let introduces = |host: &Host| self.is_arp && host.ip.is_some() && self.ips[0] == host.ip;
        self.has(actor) && victim.is_none_or(|victim| self.has(victim))
            || introduces(actor)
            || victim.is_some_and(introduces)
    }
}

/// Keeps the packets that show findings.
pub(crate) struct Evidence {
    ring: Ring,
    folder: PathBuf,
    /// How many bytes lie in the folder.
    used: u64,
    settings: Settings,
    /// Findings whose packets were not cut out yet.
    pending: BTreeSet<FindingId>,
    /// How many slices of findings below medium were cut.
    slight: usize,
}

impl Evidence {
    /// With a ring of so many bytes, for a state in `state`.
    pub(crate) fn new(capacity: usize, state: &Path, settings: Settings) -> Self {
        let folder = state.join(FOLDER);
        let sizes = fs::read_dir(&folder).into_iter().flatten().flatten();
        let used = sizes.filter_map(|entry| entry.metadata().ok()).map(|known| known.len()).sum();
        Self { ring: Ring::new(capacity), folder, used, settings, pending: BTreeSet::new(), slight: 0 }
    }

    /// Takes in what is about to be looked at.
    pub(crate) fn take(&mut self, batch: &Batch) {
        for frame in &batch.frames {
            self.ring.push(frame.at, frame.link, frame.wire_length, batch.bytes(frame));
        }
    }

    /// A finding was raised.
    pub(crate) fn want(&mut self, finding: FindingId) {
        if self.pending.is_empty() {
            self.ring.fresh = 0;
        }
        self.pending.insert(finding);
    }

    /// Whether slices must be cut before the frames that show the findings are gone.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.pending.is_empty() && self.ring.fresh >= self.ring.capacity / 2
    }

    /// Cuts out what concerns the findings that were raised since the last time.
    pub(crate) fn cut(&mut self, brain: &mut Brain) {
        let pending = std::mem::take(&mut self.pending);
        let wanted: Vec<Finding> = brain
            .detect()
            .findings()
            .filter(|finding| pending.contains(&finding.id) && finding.evidence == Slice::Open)
            .cloned()
            .collect();
        let (wanted, untold): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|finding| {
            let is_slight = finding.severity < Severity::Medium;
            self.slight += usize::from(is_slight);
            !is_slight || self.slight <= MAX_SLIGHT
        });
        for finding in untold {
            if let Some(finding) = brain.detect_mut().finding_mut(finding.id) {
                let reason =
                    format!("of findings below medium the packets of {MAX_SLIGHT} are kept in a run");
                finding.evidence = Slice::Missing { reason: reason.into() };
            }
        }
        if wanted.is_empty() {
            return;
        }
        // Findings by the addresses of those who take part: whatever concerns a finding bears one of them.
        let mut about: HashMap<Address, Vec<usize>> = HashMap::new();
        for (number, finding) in wanted.iter().enumerate() {
            let victim = finding.victim.as_ref().map(|victim| &victim.host);
            for address in [Some(&finding.actor.host), victim].into_iter().flatten().map(Address::of) {
                about.entry(address).or_default().push(number);
            }
        }
        let mut chosen: Vec<VecDeque<Kept>> = vec![VecDeque::new(); wanted.len()];
        let mut concerned = BTreeSet::new();
        for kept in &self.ring.frames {
            let bears = Bears::of(kept, self.ring.bytes(kept));
            concerned.extend(bears.addresses().filter_map(|address| about.get(&address)).flatten().copied());
            for number in std::mem::take(&mut concerned) {
                let (finding, chosen): (&Finding, &mut VecDeque<Kept>) =
                    (&wanted[number], &mut chosen[number]);
                let victim = finding.victim.as_ref().map(|victim| &victim.host);
                if bears.concerns(&finding.actor.host, victim) {
                    if chosen.len() >= MAX_FRAMES {
                        chosen.pop_front();
                    }
                    chosen.push_back(*kept);
                }
            }
        }
        for (finding, frames) in wanted.iter().zip(chosen) {
            let slice = self.keep(finding, frames.into());
            if let Some(finding) = brain.detect_mut().finding_mut(finding.id) {
                finding.evidence = slice;
            }
        }
    }

    /// Writes a slice.
    fn keep(&mut self, finding: &Finding, mut frames: Vec<Kept>) -> Slice {
        let missing = |reason: &str| Slice::Missing { reason: reason.into() };
        let mut size = 0;
        let fit = frames.iter().rev().take_while(|kept| {
            size += kept.length;
            size <= MAX_BYTES
        });
        frames.drain(..frames.len() - fit.count());
        if frames.is_empty() {
            return missing("the packets had left the ring of recent ones; a larger one is set with --ring");
        }
        if self.used + size as u64 > MAX_FOLDER {
            return missing("the folder of evidence is full; old slices in it may be removed");
        }
        match self.write(finding, &frames) {
            Ok((bytes, sha256)) => {
                self.used += bytes;
                let replays = self.shows(finding, &frames);
                Slice::Kept { packets: frames.len() as u64, sha256: sha256.into(), replays }
            }
            Err(error) => missing(&format!("the slice could not be written: {error}")),
        }
    }

    /// Writes frames as a capture, whole or not at all; its size and digest.
    fn write(&self, finding: &Finding, frames: &[Kept]) -> io::Result<(u64, String)> {
        let mut writer = PcapngWriter::new(Vec::new())?;
        let mut interfaces = Vec::new();
        for kept in frames {
            let known = interfaces.iter().find(|(link, _)| *link == kept.link).map(|(_, known)| *known);
            let interface = match known {
                Some(known) => known,
                None => {
                    let new = writer.interface(kept.link, "")?;
                    interfaces.push((kept.link, new));
                    new
                }
            };
            writer.write(interface, kept.at, self.ring.bytes(kept), kept.wire_length)?;
        }
        let capture = writer.finish()?;
        let digest = digest(&capture);
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}.pcapng", finding.id));
        let unfinished = path.with_extension("part");
        fs::write(&unfinished, &capture)?;
        fs::rename(&unfinished, &path)?;
        Ok((capture.len() as u64, digest))
    }

    /// Whether the frames by themselves yield the finding.
    fn shows(&self, finding: &Finding, frames: &[Kept]) -> bool {
        let mut play = Play::new(MAX_FRAMES, self.settings.clone());
        for kept in frames {
            if play.push(kept.at, kept.link, self.ring.bytes(kept), kept.wire_length) {
                play.look();
            }
        }
        play.end();
        play.brain().detect().findings().any(|known| known.id == finding.id)
    }
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the slice of a finding lies in a state.
pub(crate) fn path(state: &Path, finding: FindingId) -> PathBuf {
    state.join(FOLDER).join(format!("{finding}.pcapng"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_holds_the_latest_frames_whole() {
        let mut ring = Ring::new(1000);
        for number in 0..500_u64 {
            let length = 1 + (number * 37 % 200) as usize;
            ring.push(Timestamp::from_nanos(number), LinkType::ETHERNET, 0, &vec![number as u8; length]);
            let mut held = 0;
            for (kept, expected) in ring.frames.iter().rev().zip((0..=number).rev()) {
                assert_eq!(kept.at.as_nanos(), expected);
                assert_eq!(kept.length, 1 + (expected * 37 % 200) as usize);
                assert!(ring.bytes(kept).iter().all(|byte| *byte == expected as u8), "frame {expected}");
                held += kept.length;
            }
            assert!(held >= 600.min((0..=number).map(|n| 1 + n as usize * 37 % 200).sum()), "{held}");
        }
    }
}
