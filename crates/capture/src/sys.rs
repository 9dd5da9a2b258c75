//! What only the operating system can do: mapped files, waiting for input, packet sockets and their rings.
//!
//! All unsafe code of the house is in this file, behind interfaces that are safe.
#![allow(unsafe_code, reason = "mapped files and packet rings are memory shared with others")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::{offset_of, size_of};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use memmap2::{Advice, Mmap, MmapOptions, MmapRaw, UncheckedAdvice};

/// A file mapped for reading, as long as it was when it was mapped.
///
/// The choice that is made here: a file that somebody else makes shorter while it is mapped ends the
/// process with SIGBUS as soon as a page behind the new end is touched. Capture files are written once
/// and appended to, so this is rare; reading instead of mapping would copy every byte. [`Map::current`]
/// is asked before every batch, which turns all but a race of a few milliseconds into a plain statement
/// that the file was made shorter. A file that grows is fine: what was there at the start is read.
#[derive(Debug)]
pub(crate) struct Map {
    map: Mmap,
    file: File,
}

impl Map {
    /// Maps a whole regular file.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        // SAFETY: the mapping is private and never written. That nobody else may write to or shorten the
        // file cannot be proven; changed bytes are only ever data that is checked before it is used (no
        // reference to anything but `u8` is made), and the consequence of shortening is told above.
        let map = unsafe { MmapOptions::new().map(&file)? };
        // Only a hint: read ahead, and let go of what was read.
        let _ = map.advise(Advice::Sequential);
        Ok(Self { map, file })
    }

    /// Lets go of the pages that hold the bytes in `range`: they stay in the system's cache, but are no
    /// part of this process's memory until they are read again.
    pub(crate) fn release(&self, range: std::ops::Range<usize>) {
        // SAFETY: the mapping is never written, so a page that is read again comes from the file as it did
        // the first time.
        let advice = unsafe {
            self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.end - range.start)
        };
        // Only a hint: without it the process merely looks larger.
        let _ = advice;
    }

    /// How much of the mapping the file still backs.
    pub(crate) fn current(&self) -> usize {
        let now = self.file.metadata().map_or(self.map.len() as u64, |metadata| metadata.len());
        usize::try_from(now).unwrap_or(usize::MAX).min(self.map.len())
    }
}

impl Deref for Map {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// Waits until something can be read without blocking, at most for `timeout`. False if the time ran out or
/// a signal came.
pub(crate) fn readable(file: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let mut wanted = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer is to one `pollfd`, which lives until the call returns, and the count is 1.
    match check(unsafe { libc::poll(&raw mut wanted, 1, timeout) }) {
        Ok(ready) => Ok(ready > 0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// The kernel's number of an interface, or `None` if there is none of that name.
pub(crate) fn interface_index(name: &str) -> Option<i32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the pointer is to a string that ends with a zero byte and lives until the call returns.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    i32::try_from(index).ok().filter(|index| *index > 0)
}

/// Whether there still is an interface of that number, whatever it is called.
pub(crate) fn interface_exists(index: i32) -> bool {
    let mut name: [libc::c_char; libc::IFNAMSIZ] = [0; libc::IFNAMSIZ];
    // SAFETY: the pointer is to `IFNAMSIZ` bytes that outlive the call, as many as it writes at most.
    libc::c_uint::try_from(index)
        .is_ok_and(|index| unsafe { !libc::if_indextoname(index, name.as_mut_ptr()).is_null() })
}

/// How large a ring is and how it is filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingSize {
    /// The size of a block in bytes: a multiple of the page size.
    pub(crate) block_bytes: usize,
    /// How many blocks.
    pub(crate) blocks: usize,
    /// After how many milliseconds a block is handed over although it is not full.
    pub(crate) retire_ms: u32,
}

/// A packet socket on one interface with a ring of blocks that the kernel fills (TPACKET_V3 of packet(7)
/// and the kernel's Documentation/networking/packet_mmap.rst).
///
/// Each block belongs either to the kernel or to us, told by its status word; we hand them back in the
/// order in which they came.
#[derive(Debug)]
pub(crate) struct Ring {
    // Declared before the socket so that it is unmapped first.
    map: MmapRaw,
    socket: OwnedFd,
    block_bytes: usize,
    blocks: usize,
    next: usize,
}

/// Where the status word is within a block.
const BLOCK_STATUS: usize =
    offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);

/// `ETH_P_ALL` in the byte order of the wire, as packet sockets want it.
const ALL_PROTOCOLS: u16 = (libc::ETH_P_ALL as u16).to_be();

impl Ring {
    /// Opens a socket with a ring. It receives nothing before [`Ring::bind`].
    pub(crate) fn new(size: RingSize) -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let socket = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        set_option(&socket, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as libc::c_int))?;
        // In this version frames are of any size up to that of a block; the frame size is only checked.
        let frame_bytes = 2048;
        let number = |value: usize| {
            libc::c_uint::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
        };
        set_option(
            &socket,
            libc::PACKET_RX_RING,
            &libc::tpacket_req3 {
                tp_block_size: number(size.block_bytes)?,
                tp_block_nr: number(size.blocks)?,
                tp_frame_size: number(frame_bytes)?,
                tp_frame_nr: number(size.block_bytes / frame_bytes * size.blocks)?,
                tp_retire_blk_tov: size.retire_ms,
                tp_sizeof_priv: 0,
                tp_feature_req_word: 0,
            },
        )?;
        let map = MmapOptions::new().len(size.block_bytes * size.blocks).map_raw(&socket)?;
        Ok(Self { map, socket, block_bytes: size.block_bytes, blocks: size.blocks, next: 0 })
    }

    /// Begins to receive all packets of an interface, and tells its hardware type (`ARPHRD_…`).
    pub(crate) fn bind(&self, interface: i32) -> io::Result<u16> {
        let mut address = link_address();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ALL_PROTOCOLS;
        address.sll_ifindex = interface;
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let pointer = (&raw mut address).cast::<libc::sockaddr>();
        // SAFETY: pointer and length are those of one initialised `sockaddr_ll`, which lives until the call
        // returns and is only read.
        check(unsafe { libc::bind(self.socket.as_raw_fd(), pointer, length) })?;
        // SAFETY: as above; the kernel writes at most `length` bytes, which are there and may hold anything.
        check(unsafe { libc::getsockname(self.socket.as_raw_fd(), pointer, &raw mut length) })?;
        Ok(address.sll_hatype)
    }

    /// Lets the interface receive frames that are for others, as long as this socket is open.
    pub(crate) fn promiscuous(&self, interface: i32) -> io::Result<()> {
        let request = libc::packet_mreq {
            mr_ifindex: interface,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set_option(&self.socket, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// Shares the packets of the interface with all sockets of the same group: each packet goes to one of
    /// them, all packets of a flow in both directions to the same.
    pub(crate) fn join(&self, group: u16) -> io::Result<()> {
        set_option(&self.socket, libc::PACKET_FANOUT, &(u32::from(group) | (libc::PACKET_FANOUT_HASH << 16)))
    }

    /// How many packets the kernel has seen and how many of them it dropped for want of room, since the
    /// last time it was asked.
    pub(crate) fn statistics(&self) -> io::Result<(u32, u32)> {
        let mut found = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        get_option(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut found)?;
        Ok((found.tp_packets, found.tp_drops))
    }

    /// The error that the socket has met, if any, and forgets it.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        let mut code: libc::c_int = 0;
        match get_option(&self.socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut code) {
            Ok(()) if code == 0 => None,
            Ok(()) => Some(io::Error::from_raw_os_error(code)),
            Err(error) => Some(error),
        }
    }

    /// The status word of the block that comes next.
    fn status(&self) -> &AtomicU32 {
        let offset = self.next * self.block_bytes + BLOCK_STATUS;
        // SAFETY: `next` is less than `blocks`, so the word lies within the mapping, which lives as long as
        // `self`. Blocks begin at multiples of the page size and the word at a multiple of 4 in them, so it
        // is aligned. Kernel and process both access it atomically; the only other access through a
        // reference is that of `block`, while the word is ours and nobody writes to it.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    /// The block that comes next, if the kernel has handed it over.
    pub(crate) fn block(&self) -> Option<&[u8]> {
        // Acquire: what the kernel wrote before it set the status is seen by us after we read it.
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the block lies within the mapping, which lives as long as `self`, and is initialised
        // memory. The kernel does not write to a block that it has handed over; only `release` hands it
        // back, which needs `self` exclusively and so cannot happen while the slice is borrowed.
        Some(unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().add(self.next * self.block_bytes), self.block_bytes)
        })
    }

    /// Hands the block that [`Ring::block`] gave back to the kernel and goes on to the one after it.
    pub(crate) fn release(&mut self) {
        // Release: our reads of the block are done before the kernel sees that it may write.
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const fn link_address() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: 0,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn set_option<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    let pointer = (&raw const *value).cast();
    // SAFETY: pointer and length are those of `value`, which lives until the call returns and is only read.
    let result = unsafe { libc::setsockopt(raw(socket), libc::SOL_PACKET, option, pointer, length) };
    check(result).map(drop)
}

/// `T` must be an integer or a structure of integers, so that any bytes are a value of it.
fn get_option<T: Copy>(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    let pointer = (&raw mut *value).cast();
    // SAFETY: the kernel writes at most `length` bytes to `value`, which is so long and outlives the call;
    // all values of `T` here are plain integers, for which any bytes are valid.
    let result = unsafe { libc::getsockopt(raw(socket), level, option, pointer, &raw mut length) };
    check(result).map(drop)
}

fn raw(socket: &OwnedFd) -> RawFd {
    socket.as_raw_fd()
}

/// The result of a system call.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
