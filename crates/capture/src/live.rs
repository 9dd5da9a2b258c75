//! Live capture on a network interface, through a ring that the kernel fills.

use std::fs;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::AsFd;
use std::time::Duration;

use dissect::wire::LinkType;
use model::Timestamp;

use crate::batch::{Batch, MAX_BATCH_BYTES, MAX_BATCH_FRAMES};
use crate::error::{CaptureError, Damage};
use crate::sys::{self, Ring, RingSize};
use crate::{Options, Progress, Source, Step};

/// The size of a block of the ring, in bytes: room for several thousand small frames, and for the largest
/// that the kernel puts together (64 KiB, some drivers more).
const BLOCK_BYTES: usize = 1 << 20;

/// How many blocks the ring has: 64 MiB, which holds half a second of a loaded gigabit link.
const BLOCKS: usize = 64;

/// Where the kernel has not so much memory to give, half as many blocks are asked for, down to this.
const MIN_BLOCKS: usize = 4;

/// After so many milliseconds a block is handed over although it is not full: how old the news may be.
const RETIRE_MS: u32 = 20;

/// The length of an 802.1Q tag in bytes.
const VLAN_TAG: u32 = 4;

/// The tag protocol of IEEE 802.1Q, for kernels that do not say which it was.
const VLAN_PROTOCOL: u16 = 0x8100;

/// Where the two MAC addresses of an Ethernet frame end and a VLAN tag stands.
const ADDRESSES: usize = 12;

/// The names of the network interfaces that there are, sorted.
pub fn interfaces() -> Vec<String> {
    // This file, unlike /sys/class/net, always shows the network namespace of the reader.
    let list = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let mut names: Vec<_> = list
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim().to_owned())
        .collect();
    names.sort();
    names
}

/// The interfaces that there are, for an error.
pub(crate) fn known_interfaces() -> String {
    match interfaces() {
        names if names.is_empty() => "none".to_owned(),
        names => names.join(", "),
    }
}

/// Whether there is an interface of that name.
pub(crate) fn exists(name: &str) -> bool {
    sys::interface_index(name).is_some()
}

/// A live capture.
#[derive(Debug)]
pub(crate) struct Live {
    name: String,
    index: i32,
    ring: Ring,
    link: LinkType,
    /// Whether every packet is seen twice, sent and received: on the loopback interface.
    twice: bool,
    poll: Duration,
    /// Where the next frame of the ring's current block is, and how many there are from it on.
    within: Option<(usize, u32)>,
    progress: Progress,
}

impl Live {
    /// Begins to capture. What is sent and received from now on is in the ring.
    pub(crate) fn open(name: &str, options: &Options) -> Result<Self, CaptureError> {
        let Some(index) = sys::interface_index(name) else {
            return Err(CaptureError::NoInterface { name: name.to_owned(), known: known_interfaces() });
        };
        let failed = |action| move |error: io::Error| from_system(name, action, error);
        let mut blocks = BLOCKS;
        let ring = loop {
            match Ring::new(RingSize { block_bytes: BLOCK_BYTES, blocks, retire_ms: RETIRE_MS }) {
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory && blocks > MIN_BLOCKS => {
                    blocks /= 2;
                }
                result => break result.map_err(failed("setting up a packet ring"))?,
            }
        };
        let kind = ring.bind(index).map_err(failed("capturing"))?;
        let Some(link) = link_type(kind) else {
            return Err(CaptureError::UnsupportedInterface { interface: name.to_owned(), kind });
        };
        if options.promiscuous {
            ring.promiscuous(index).map_err(failed("asking for the frames of others"))?;
        }
        if let Some(group) = options.fanout {
            ring.join(group).map_err(failed("joining a fanout group"))?;
        }
        Ok(Self {
            name: name.to_owned(),
            index,
            ring,
            link,
            twice: kind == libc::ARPHRD_LOOPBACK,
            poll: options.poll,
            within: None,
            progress: Progress::default(),
        })
    }

    /// Copies frames from the blocks that the kernel has handed over until the batch is full or no block
    /// is left, and hands the blocks back.
    fn take(&mut self, batch: &mut Batch) {
        while let Some(block) = self.ring.block() {
            let (mut at, mut left) = self.within.unwrap_or_else(|| first_frame(block));
            while left > 0 {
                if batch.len() >= MAX_BATCH_FRAMES || batch.owned_bytes() >= MAX_BATCH_BYTES {
                    self.within = Some((at, left));
                    return;
                }
                let Some(frame) = RingFrame::at(block, at) else { break };
                if !(self.twice && frame.direction == libc::PACKET_OUTGOING) {
                    frame.copy(self.link, batch);
                }
                at = at.saturating_add(frame.next);
                left -= 1;
            }
            self.within = None;
            self.ring.release();
        }
    }

    /// Asks the kernel what it dropped; it counts from 0 again each time.
    fn count_drops(&mut self) {
        if let Ok((_, dropped)) = self.ring.statistics() {
            self.progress.dropped += u64::from(dropped);
        }
    }
}

impl Source for Live {
    fn next_batch(&mut self, batch: &mut Batch) -> Result<Step, CaptureError> {
        batch.own();
        batch.first = self.progress.packets;
        self.take(batch);
        if batch.is_empty() {
            let action = "waiting for packets";
            let ready = sys::readable(self.ring.as_fd(), self.poll);
            // An interface that is down may come up again; one that is gone stays away.
            match self.ring.take_error() {
                Some(error) if error.raw_os_error() != Some(libc::ENETDOWN) => {
                    return Err(from_system(&self.name, action, error));
                }
                _ => {}
            }
            if ready.map_err(|error| from_system(&self.name, action, error))? {
                self.take(batch);
            }
            if batch.is_empty() && !sys::interface_exists(self.index) {
                return Err(CaptureError::InterfaceGone { interface: self.name.clone() });
            }
        }
        self.count_drops();
        self.progress.packets += batch.len() as u64;
        self.progress.bytes += batch.owned_bytes() as u64;
        Ok(if batch.is_empty() { Step::Idle } else { Step::Batch })
    }

    fn skip_to(&mut self, packet: u64) -> Result<u64, CaptureError> {
        Ok(packet)
    }

    fn progress(&self) -> Progress {
        self.progress
    }

    fn damages(&self) -> &[Damage] {
        &[]
    }
}

/// What a system call on an interface failed with.
fn from_system(interface: &str, action: &'static str, error: io::Error) -> CaptureError {
    let interface = interface.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let program = std::env::current_exe().map_or("pavise".into(), |path| path.display().to_string());
            CaptureError::CapturePermission { interface, program }
        }
        _ => CaptureError::Io { name: interface, action, error },
    }
}

/// How the frames of an interface begin, by its hardware type.
fn link_type(kind: u16) -> Option<LinkType> {
    Some(match kind {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => LinkType::ETHERNET,
        // Interfaces without a link layer give the IP packets as they are.
        libc::ARPHRD_NONE
        | libc::ARPHRD_PPP
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | ARPHRD_RAWIP => LinkType::RAW,
        libc::ARPHRD_CAN => LinkType::CAN_SOCKETCAN,
        libc::ARPHRD_IEEE802154 | ARPHRD_IEEE802154_MONITOR => LinkType::WPAN_NOFCS,
        _ => return None,
    })
}
/// Mobile broadband modems (linux/if_arp.h).
const ARPHRD_RAWIP: u16 = 519;
/// IEEE 802.15.4 monitors (linux/if_arp.h).
const ARPHRD_IEEE802154_MONITOR: u16 = 805;

/// Where a block's first frame is, and how many there are (`struct tpacket_hdr_v1`).
fn first_frame(block: &[u8]) -> (usize, u32) {
    const HEADER: usize = offset_of!(libc::tpacket_block_desc, hdr);
    let first = word(block, HEADER + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt));
    let count = word(block, HEADER + offset_of!(libc::tpacket_hdr_v1, num_pkts));
    (first.map_or(usize::MAX, |first| first as usize), count.unwrap_or(0))
}

/// A frame in a block of the ring.
struct RingFrame<'a> {
    bytes: &'a [u8],
    at: Timestamp,
    wire_length: u32,
    /// Protocol and tag, if the kernel or the card took a VLAN tag off the frame.
    vlan: Option<(u16, u16)>,
    /// `PACKET_HOST`, `PACKET_OUTGOING` and so on.
    direction: u8,
    /// How far the next frame is from here.
    next: usize,
}

impl<'a> RingFrame<'a> {
    /// Reads the headers that stand before a frame (`struct tpacket3_hdr`, `struct sockaddr_ll`). `None` if
    /// they are not whole.
    fn at(block: &'a [u8], at: usize) -> Option<Self> {
        use libc::tpacket3_hdr as Header;
        const TAGS: usize = offset_of!(Header, hv1);
        // The address follows the header at the next multiple of 16.
        const ADDRESS: usize = size_of::<Header>().next_multiple_of(libc::TPACKET_ALIGNMENT);
        let block = block.get(at..)?;
        let status = word(block, offset_of!(Header, tp_status))?;
        let start = usize::from(half(block, offset_of!(Header, tp_mac))?);
        let captured = word(block, offset_of!(Header, tp_snaplen))? as usize;
        let seconds = u64::from(word(block, offset_of!(Header, tp_sec))?);
        let nanos = u64::from(word(block, offset_of!(Header, tp_nsec))?);
        let vlan = if status & libc::TP_STATUS_VLAN_VALID == 0 {
            None
        } else {
            let tag = word(block, TAGS + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci))? as u16;
            let protocol = half(block, TAGS + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tpid))?;
            let told = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            Some((if told { protocol } else { VLAN_PROTOCOL }, tag))
        };
        Some(Self {
            bytes: block.get(start..start.checked_add(captured)?)?,
            at: Timestamp::from_nanos(seconds * 1_000_000_000 + nanos),
            wire_length: word(block, offset_of!(Header, tp_len))?,
            vlan,
            direction: *block.get(ADDRESS + offset_of!(libc::sockaddr_ll, sll_pkttype))?,
            next: word(block, offset_of!(Header, tp_next_offset))? as usize,
        })
    }

    /// Copies the frame to a batch, with its VLAN tag put back where it was on the wire (IEEE 802.1Q-2022
    /// clause 9.3: after the addresses).
    fn copy(&self, link: LinkType, batch: &mut Batch) {
        match (self.vlan, self.bytes.split_at_checked(ADDRESSES)) {
            (Some((protocol, tag)), Some((addresses, rest))) if link == LinkType::ETHERNET => {
                let [a, b] = protocol.to_be_bytes();
                let [c, d] = tag.to_be_bytes();
                let wire_length = self.wire_length.saturating_add(VLAN_TAG);
                batch.push_parts(self.at, link, [addresses, &[a, b, c, d], rest], wire_length);
            }
            _ => batch.push(self.at, link, self.bytes, self.wire_length),
        }
    }
}

/// A 32-bit number as the machine writes it.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// A 16-bit number as the machine writes it.
fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}
