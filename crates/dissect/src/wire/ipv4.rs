//! IPv4 (RFC 791 clause 3.1).

use std::net::Ipv4Addr;

use super::{Fragment, Oddity};

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// An IPv4 header with its options. The checksum is not looked at: on the sending machine it is often
/// left to the interface.
pub(super) struct View<'a> {
    header: &'a [u8; 20],
    options: &'a [u8],
    after: &'a [u8],
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (header, rest) = bytes.split_first_chunk::<20>().ok_or(Oddity::Ipv4Truncated)?;
        if header[0] == 0x45 {
            return Ok(Self { header, options: &[], after: rest });
        }
        if header[0] >> 4 != 4 {
            return Err(Oddity::Ipv4Version);
        }
        let options = (usize::from(header[0] & 15) * 4).checked_sub(20).ok_or(Oddity::Ipv4HeaderLength)?;
        let (options, after) = rest.split_at_checked(options).ok_or(Oddity::Ipv4Truncated)?;
        Ok(Self { header, options, after })
    }

    /// Length of the header with options, in bytes.
    pub(super) const fn header_length(&self) -> usize {
        20 + self.options.len()
    }

    /// Length of the packet, header included; 0 where it was left to the interface (segmentation offload).
    pub(super) fn total_length(&self) -> usize {
        usize::from(u16::from_be_bytes([self.header[2], self.header[3]]))
    }

    pub(super) const fn ttl(&self) -> u8 {
        self.header[8]
    }

    pub(super) const fn protocol(&self) -> u8 {
        self.header[9]
    }

    pub(super) const fn source(&self) -> Ipv4Addr {
        let h = self.header;
        Ipv4Addr::new(h[12], h[13], h[14], h[15])
    }

    pub(super) const fn destination(&self) -> Ipv4Addr {
        let h = self.header;
        Ipv4Addr::new(h[16], h[17], h[18], h[19])
    }

    /// Where this is a piece of a larger datagram (RFC 791 clause 3.2).
    pub(super) fn fragment(&self) -> Option<Fragment> {
        let h = self.header;
        let word = u16::from_be_bytes([h[6], h[7]]);
        (word & (MORE_FRAGMENTS | OFFSET) != 0).then(|| Fragment {
            id: u32::from(u16::from_be_bytes([h[4], h[5]])),
            offset: u32::from(word & OFFSET) * 8,
            more: word & MORE_FRAGMENTS != 0,
        })
    }

    /// Walks the options (RFC 791 clause 3.1): each but the one-byte ones has a length that must fit.
    /// Source routes are told apart, since RFC 7126 clause 4.3 has routers drop them.
    pub(super) fn check_options(&self) -> Result<(), Oddity> {
        const END: u8 = 0;
        const NO_OPERATION: u8 = 1;
        const LOOSE_SOURCE_ROUTE: u8 = 131;
        const STRICT_SOURCE_ROUTE: u8 = 137;

        let mut left = self.options;
        loop {
            left = match left {
                [] | [END, ..] => return Ok(()),
                [NO_OPERATION, rest @ ..] => rest,
                [kind, length, ..] if *length >= 2 => {
                    let rest = left.get(usize::from(*length)..).ok_or(Oddity::Ipv4Option)?;
                    if matches!(*kind, LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE) {
                        return Err(Oddity::Ipv4SourceRoute);
                    }
                    rest
                }
                _ => return Err(Oddity::Ipv4Option),
            };
        }
    }

    /// All bytes after the header, padding of the link included.
    pub(super) const fn after(&self) -> &'a [u8] {
        self.after
    }
}
