//! The packets that show a finding: the latest frames are kept in a ring, and what concerns a finding is cut out of
//! it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brain::{Brain, Settings};
use capture::Frame;
use capture::write::{Interface, PcapngWriter};
use dissect::wire::{self, LinkType, Network};
use model::{Finding, FindingId, Host, MacAddr, Severity, Slice};
use sha2::{Digest, Sha256};

use crate::play::Play;
use crate::session::Captured;

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
/// What a frame takes besides its bytes.
const FRAME: usize = size_of::<Frame>();
/// What a batch takes besides its frames.
const OVERHEAD: usize = 256;
/// Interfaces of a slice are numbered as in the source, up to so many.
const MAX_INTERFACES: u16 = 64;
/// EtherType of ARP (RFC 826).
const ARP: u16 = 0x0806;

/// Where a frame is in the ring: in which batch, and there.
type Place = (usize, usize);

/// The latest batches, up to a number of bytes of frames. Their frames lie where they were read to, or in the mapped file.
struct Ring {
    batches: VecDeque<(Arc<Captured>, usize)>,
    capacity: usize,
    /// How many bytes they have.
    held: usize,
    /// How many bytes were taken in since the latest slices were cut.
    fresh: usize,
}

impl Ring {
    const fn new(capacity: usize) -> Self {
        Self { batches: VecDeque::new(), capacity, held: 0, fresh: 0 }
    }

    /// Takes a batch in; those that make room for it are `given` back. The latest stays, whatever its size.
    fn push(&mut self, batch: Arc<Captured>, mut given: impl FnMut(Arc<Captured>)) {
        let size: usize = batch.0.frames.iter().map(|frame| FRAME + batch.0.bytes(frame).len()).sum();
        let size = size + OVERHEAD;
        // Where packets are read as they pass, a few may lie in room for many.
        let batch =
            if batch.0.footprint() > 2 * size { Arc::new(Captured(batch.0.compact())) } else { batch };
        self.held += size;
        self.fresh += size;
        self.batches.push_back((batch, size));
        while self.held > self.capacity && self.batches.len() > 1 {
            let Some((batch, size)) = self.batches.pop_front() else { break };
            self.held -= size;
            given(batch);
        }
    }

    /// All frames with their places and bytes, the oldest first.
    fn frames(&self) -> impl Iterator<Item = (Place, &Frame, &[u8])> {
        self.batches.iter().enumerate().flat_map(|(number, (batch, _))| {
            batch.0.iter().enumerate().map(move |(at, (frame, bytes))| ((number, at), frame, bytes))
        })
    }

    fn at(&self, (batch, frame): Place) -> (&Frame, &[u8]) {
        let batch = &self.batches[batch].0.0;
        let frame = &batch.frames[frame];
        (frame, batch.bytes(frame))
    }

    /// Frames as a capture, on interfaces with the numbers that they had.
    fn capture(&self, frames: &[Place]) -> io::Result<Vec<u8>> {
        let mut writer = PcapngWriter::new(Vec::new())?;
        let mut interfaces: Vec<(LinkType, Interface)> = Vec::new();
        for (frame, bytes) in frames.iter().map(|place| self.at(*place)) {
            let number = usize::from(frame.interface.min(MAX_INTERFACES - 1));
            while interfaces.len() <= number {
                interfaces.push((frame.link, writer.interface(frame.link, "")?));
            }
            let of_the_kind = || interfaces.iter().find(|(link, _)| *link == frame.link).copied();
            let known = Some(interfaces[number]).filter(|(link, _)| *link == frame.link).or_else(of_the_kind);
            let (_, interface) = match known {
                Some(known) => known,
                None => {
                    interfaces.push((frame.link, writer.interface(frame.link, "")?));
                    interfaces[interfaces.len() - 1]
                }
            };
            writer.write(interface, frame.at, bytes, frame.wire_length)?;
        }
        writer.finish()
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

    fn of(frame: &Frame, bytes: &[u8]) -> Self {
        let packet = wire::decode(frame.link, bytes, frame.wire_length as usize);
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

    /// Takes in what is about to be looked at; what it holds no longer is `given` back.
    pub(crate) fn take(&mut self, batch: &Arc<Captured>, given: impl FnMut(Arc<Captured>)) {
        self.ring.push(Arc::clone(batch), given);
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
        let mut chosen: Vec<VecDeque<Place>> = vec![VecDeque::new(); wanted.len()];
        let mut concerned = BTreeSet::new();
        for (place, frame, bytes) in self.ring.frames() {
            let bears = Bears::of(frame, bytes);
            concerned.extend(bears.addresses().filter_map(|address| about.get(&address)).flatten().copied());
            for number in std::mem::take(&mut concerned) {
                let (finding, chosen): (&Finding, &mut VecDeque<Place>) =
                    (&wanted[number], &mut chosen[number]);
                let victim = finding.victim.as_ref().map(|victim| &victim.host);
                if bears.concerns(&finding.actor.host, victim) {
                    if chosen.len() >= MAX_FRAMES {
                        chosen.pop_front();
                    }
                    chosen.push_back(place);
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
    fn keep(&mut self, finding: &Finding, mut frames: Vec<Place>) -> Slice {
        let missing = |reason: &str| Slice::Missing { reason: reason.into() };
        let mut size = 0;
        let fit = frames.iter().rev().take_while(|place| {
            size += self.ring.at(**place).1.len();
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
    fn write(&self, finding: &Finding, frames: &[Place]) -> io::Result<(u64, String)> {
        let capture = self.ring.capture(frames)?;
        let digest = digest(&capture);
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}.pcapng", finding.id));
        let unfinished = path.with_extension("part");
        fs::write(&unfinished, &capture)?;
        fs::rename(&unfinished, &path)?;
        Ok((capture.len() as u64, digest))
    }

    /// Whether the frames by themselves yield the finding.
    fn shows(&self, finding: &Finding, frames: &[Place]) -> bool {
        let mut play = Play::new(MAX_FRAMES, self.settings.clone());
        for (frame, bytes) in frames.iter().map(|place| self.ring.at(*place)) {
            if play.push(frame.at, frame.link, frame.interface, bytes, frame.wire_length) {
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
    use model::Timestamp;

    use super::*;

    #[test]
    fn the_ring_holds_the_latest_batches_and_gives_the_others_back() {
        let mut ring = Ring::new(2000);
        let mut back = Vec::new();
        for number in 0..500_u64 {
            let mut batch = Captured::default();
            for frame in 0..1 + number % 3 {
                let length = 1 + (number * 37 % 200) as usize;
                let at = Timestamp::from_nanos(10 * number + frame);
                batch.0.push(at, LinkType::ETHERNET, &vec![number as u8; length], 0);
            }
            ring.push(Arc::new(batch), |batch| back.push(batch.0.frames[0].at.as_nanos() / 10));
            let oldest = back.len() as u64;
            assert!(back.iter().copied().eq(0..oldest), "{back:?}");
            let held: Vec<_> = ring
                .frames()
                .map(|(place, frame, bytes)| {
                    assert_eq!(ring.at(place), (frame, bytes));
                    assert!(bytes.iter().all(|byte| u64::from(*byte) == frame.at.as_nanos() / 10 % 256));
                    frame.at.as_nanos()
                })
                .collect();
            let expected = (oldest..=number)
                .flat_map(|number| (0..1 + number % 3).map(move |frame| 10 * number + frame));
            assert!(held.iter().copied().eq(expected));
            let size = |number: u64| {
                OVERHEAD + (1 + number % 3) as usize * (FRAME + 1 + (number * 37 % 200) as usize)
            };
            assert!((oldest..=number).map(size).sum::<usize>() <= 2000.max(size(number)));
            assert!(
                oldest == 0 || (oldest - 1..=number).map(size).sum::<usize>() > 1000,
                "given back too soon"
            );
        }
    }

    #[test]
    fn a_slice_has_the_interfaces_of_its_source() {
        let mut batch = Captured::default();
        let frames = [(1, LinkType::CAN_SOCKETCAN), (0, LinkType::CAN_SOCKETCAN), (1, LinkType::ETHERNET)];
        for (number, (interface, link)) in (0_u64..).zip(frames) {
            batch.0.push(Timestamp::from_secs(number), link, &[number as u8; 16], 16);
            batch.0.frames.last_mut().unwrap().interface = interface;
        }
        let mut ring = Ring::new(1000);
        ring.push(Arc::new(batch), |_| {});
        let places: Vec<_> = ring.frames().map(|(place, ..)| place).collect();
        let path = std::env::temp_dir().join(format!("pavise-slice-{}.pcapng", std::process::id()));
        fs::write(&path, ring.capture(&places).unwrap()).unwrap();
        let mut source = capture::open(&path.display().to_string(), &capture::Options::default()).unwrap();
        let mut read = capture::Batch::default();
        source.next_batch(&mut read).unwrap();
        fs::remove_file(&path).unwrap();
        let kinds: Vec<_> = read.frames.iter().map(|frame| (frame.interface, frame.link)).collect();
        let expected = [(1, LinkType::CAN_SOCKETCAN), (0, LinkType::CAN_SOCKETCAN), (2, LinkType::ETHERNET)];
        assert_eq!(kinds, expected);
    }
}
