//! The packets that show a finding: the latest frames are kept in a ring, and what concerns a finding is cut out of
//! it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use brain::{Brain, Detect, Settings};
use capture::Frame;
use capture::write::{Interface, PcapngWriter};
use dissect::wire::{self, LinkType, Network, TransportInfo};
use model::{Finding, FindingId, Host, MacAddr, Severity, Slice, Timestamp};
use sha2::{Digest, Sha256};

use crate::play::Play;
use crate::session::Captured;

/// The folder in the state in which slices lie.
const FOLDER: &str = "evidence";
/// A slice holds at most so many frames, the latest, and
const MAX_FRAMES: usize = 1 << 16;
/// so many bytes of them.
const MAX_BYTES: usize = 2 << 20;
/// So many findings are taken together with the one that a slice is to show.
const MAX_GROUNDS: usize = 2 * Finding::MAX_CAUSES;
/// Of the frames of a slice at most so many, the latest, only tell who takes part.
const MAX_INTRODUCTIONS: usize = 256;
/// A slice goes on for so long after there was enough to say what was found: what was answered belongs to it.
const AFTERMATH: Duration = Duration::from_secs(1);
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
/// The port of DNS (RFC 1035, section 4.2).
const DNS: u16 = 53;
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

/// Whose addresses a frame bears, the sender's first.
struct Bears {
    ips: [Option<IpAddr>; 2],
    macs: [Option<MacAddr>; 2],
    is_arp: bool,
    is_bus: bool,
    /// Whether it is a question for a name, or an answer.
    names: bool,
}

/// What a frame has to do with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It is a part of what happened.
    Act,
    /// It tells who takes part.
    Introduction,
}

/// The one address by which a host is looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
            names: matches!(packet.transport, TransportInfo::Udp { source, destination } if [source, destination].contains(&DNS)),
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

    /// What the frame has to do with what happened between two, if anything.
    fn part(&self, actor: &Host, victim: Option<&Host>) -> Option<Part> {
        if self.has(actor) && victim.is_none_or(|victim| self.has(victim)) {
            return Some(Part::Act);
        }
        let introduces = self.introduces(actor) || victim.is_some_and(|victim| self.introduces(victim));
        introduces.then_some(Part::Introduction)
    }

    /// Whether the frame tells who somebody is: where he is, what he tells everybody of himself, what he is called, and whom he
    /// means.
    fn introduces(&self, host: &Host) -> bool {
        if self.is_arp {
            return host.ip.is_some_and(|ip| self.ips[0] == Some(ip.to_canonical()));
        }
        let is_from = match Address::of(host) {
            Address::Ip(ip) => self.ips[0] == Some(ip) || host.mac.is_some() && self.macs[0] == host.mac,
            Address::Mac(mac) => self.macs[0] == Some(mac),
            Address::Bus => false,
        };
        is_from && self.macs[1].is_some_and(MacAddr::is_group) || self.names && self.has(host)
    }
}

/// What a finding is about: who takes part in it and in those without which it might not have been told, and until when.
struct Concern {
    parties: Vec<(Host, Option<Host>)>,
    until: Timestamp,
}

impl Concern {
    fn of(finding: &Finding, detect: &Detect) -> Self {
        let mut told = vec![finding];
        let mut next = 0;
        while let Some(finding) = told.get(next).copied() {
            for ground in grounds(finding, detect) {
                if told.len() <= MAX_GROUNDS && told.iter().all(|known| known.id != ground.id) {
                    told.push(ground);
                }
            }
            next += 1;
        }
        let party =
            |finding: &Finding| (finding.actor.host, finding.victim.as_ref().map(|victim| victim.host));
        let parties = told.into_iter().map(party).collect();
        Self { parties, until: finding.raised + AFTERMATH }
    }

    /// The addresses of all who take part.
    fn addresses(&self) -> BTreeSet<Address> {
        let hosts = self.parties.iter().flat_map(|(actor, victim)| [Some(actor), victim.as_ref()]).flatten();
        hosts.flat_map(|host| [Some(Address::of(host)), host.mac.map(Address::Mac)]).flatten().collect()
    }

    /// What a frame of that moment has to do with it, if anything.
    fn part(&self, at: Timestamp, bears: &Bears) -> Option<Part> {
        if at > self.until {
            return None;
        }
        let parts = || self.parties.iter().filter_map(|(actor, victim)| bears.part(actor, victim.as_ref()));
        parts().find(|part| *part == Part::Act).or_else(|| parts().next())
    }
}

/// Those because of which a finding is told, and the latest that made its actor suspicious before: it did something, or something
/// was done to it.
fn grounds<'a>(finding: &'a Finding, detect: &'a Detect) -> impl Iterator<Item = &'a Finding> {
    let causes = finding.because.iter().filter_map(|id| detect.finding(*id));
    let actor = Address::of(&finding.actor.host);
    let takes_part = |other: &Finding| {
        let victim = other.victim.as_ref().map(|victim| Address::of(&victim.host));
        Address::of(&other.actor.host) == actor || victim == Some(actor)
    };
    let mut before: Vec<&Finding> = detect
        .findings()
        .filter(|other| other.severity >= Severity::Medium && other.raised <= finding.raised)
        .filter(|other| other.id != finding.id && takes_part(other))
        .collect();
    before.sort_unstable_by_key(|other| (Reverse(other.raised), other.id));
    causes.chain(before.into_iter().take(Finding::MAX_CAUSES))
}

/// The latest of the frames that were chosen, as many as a slice holds.
#[derive(Default)]
struct Latest {
    acts: Newest<{ MAX_FRAMES }, { MAX_BYTES }>,
    introductions: Newest<{ MAX_INTRODUCTIONS }, { MAX_BYTES / 8 }>,
}

impl Latest {
    fn push(&mut self, part: Part, place: Place, size: usize) {
        match part {
            Part::Act => self.acts.push(place, size),
            Part::Introduction => self.introductions.push(place, size),
        }
    }

    /// The frames in order; none if there is nothing of what happened.
    fn frames(&self) -> Vec<Place> {
        if self.acts.frames.is_empty() {
            return Vec::new();
        }
        let all = self.acts.frames.iter().chain(&self.introductions.frames);
        let mut all: Vec<_> = all.map(|(place, _)| *place).collect();
        all.sort_unstable();
        all
    }

    const fn bytes(&self) -> usize {
        self.acts.bytes + self.introductions.bytes
    }
}

/// The latest of frames, at most so many of so many bytes.
#[derive(Default)]
struct Newest<const FRAMES: usize, const BYTES: usize> {
    /// With their sizes in bytes.
    frames: VecDeque<(Place, usize)>,
    bytes: usize,
}

impl<const FRAMES: usize, const BYTES: usize> Newest<FRAMES, BYTES> {
    fn push(&mut self, place: Place, size: usize) {
        self.frames.push_back((place, size));
        self.bytes += size;
        while self.frames.len() > FRAMES || self.bytes > BYTES {
            let Some((_, size)) = self.frames.pop_front() else { break };
            self.bytes -= size;
        }
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
    pub(crate) fn take(&mut self, batch: Arc<Captured>, given: impl FnMut(Arc<Captured>)) {
        self.ring.push(batch, given);
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
        let concerns: Vec<Concern> =
            wanted.iter().map(|finding| Concern::of(finding, brain.detect())).collect();
        // Findings by the addresses of those who take part: whatever concerns a finding bears one of them.
        let mut about: HashMap<Address, Vec<usize>> = HashMap::new();
        for (number, concern) in concerns.iter().enumerate() {
            for address in concern.addresses() {
                about.entry(address).or_default().push(number);
            }
        }
        let mut chosen: Vec<Latest> = wanted.iter().map(|_| Latest::default()).collect();
        let mut concerned = BTreeSet::new();
        for (place, frame, bytes) in self.ring.frames() {
            let bears = Bears::of(frame, bytes);
            concerned.extend(bears.addresses().filter_map(|address| about.get(&address)).flatten().copied());
            for number in std::mem::take(&mut concerned) {
                if let Some(part) = concerns[number].part(frame.at, &bears) {
                    chosen[number].push(part, place, bytes.len());
                }
            }
        }
        for (finding, frames) in wanted.iter().zip(chosen) {
            let slice = self.keep(finding, &frames);
            if let Some(finding) = brain.detect_mut().finding_mut(finding.id) {
                finding.evidence = slice;
            }
        }
    }

    /// Writes a slice.
    fn keep(&mut self, finding: &Finding, chosen: &Latest) -> Slice {
        let missing = |reason: &str| Slice::Missing { reason: reason.into() };
        let frames = chosen.frames();
        if frames.is_empty() {
            return missing("the packets had left the ring of recent ones; a larger one is set with --ring");
        }
        if self.used + chosen.bytes() as u64 > MAX_FOLDER {
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
        let mut play = Play::new(frames.len(), self.settings.clone());
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
    store::evidence_path(state, finding)
}

#[cfg(test)]
mod tests {
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
    fn of_the_frames_chosen_the_latest_are_kept_and_introductions_do_not_crowd_out_acts() {
        let mut latest = Latest::default();
        latest.push(Part::Introduction, (0, 0), 10);
        assert_eq!(latest.frames(), [], "nobody is introduced for nothing");
        latest.push(Part::Act, (0, 1), 10);
        for number in 0..2 * MAX_INTRODUCTIONS {
            latest.push(Part::Introduction, (1, number), 10);
        }
        let frames = latest.frames();
        assert_eq!((frames[0], frames.len()), ((0, 1), MAX_INTRODUCTIONS + 1));
        for number in 0..4 {
            latest.push(Part::Act, (2, number), MAX_BYTES / 2);
        }
        assert_eq!(latest.acts.frames.len(), 2);
        assert_eq!(latest.bytes(), MAX_BYTES + 10 * MAX_INTRODUCTIONS);
        assert!(latest.frames().ends_with(&[(2, 2), (2, 3)]));
    }

    #[test]
    fn what_somebody_tells_everybody_and_asks_for_by_name_introduces_him() {
        let host = |last: u8| Host {
            ip: Some(IpAddr::from([10, 0, 0, last])),
            mac: Some(MacAddr([2, 0, 0, 0, 0, last])),
        };
        let bears = |from: u8, to: Option<u8>, names: bool| Bears {
            ips: [Some(from), to].map(|last| last.map(|last| IpAddr::from([10, 0, 0, last]))),
            macs: [host(from).mac, Some(to.map_or(MacAddr::BROADCAST, |to| MacAddr([2, 0, 0, 0, 0, to])))],
            is_arp: false,
            is_bus: false,
            names,
        };
        let part = |bears: Bears| bears.part(&host(1), Some(&host(2)));
        assert_eq!(part(bears(1, Some(2), false)), Some(Part::Act));
        assert_eq!(part(bears(2, Some(1), false)), Some(Part::Act));
        assert_eq!(part(bears(1, None, false)), Some(Part::Introduction));
        assert_eq!(part(bears(2, None, false)), Some(Part::Introduction));
        assert_eq!(part(bears(1, Some(3), true)), Some(Part::Introduction));
        assert_eq!(part(bears(3, Some(1), true)), Some(Part::Introduction));
        assert_eq!(part(bears(1, Some(3), false)), None);
        assert_eq!(part(bears(3, None, false)), None);
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
