//! IPv6 and its extension headers (RFC 8200 clauses 3 and 4).

use std::net::Ipv6Addr;

use super::{Fragment, Oddity};

/// Protocol numbers of extension headers (RFC 7045 clause 4).
pub(super) mod next {
    pub(in crate::wire) const HOP_BY_HOP: u8 = 0;
    pub(in crate::wire) const ROUTING: u8 = 43;
    pub(in crate::wire) const FRAGMENT: u8 = 44;
    pub(in crate::wire) const AUTHENTICATION: u8 = 51;
    pub(in crate::wire) const NONE: u8 = 59;
    pub(in crate::wire) const DESTINATION: u8 = 60;
    pub(in crate::wire) const MOBILITY: u8 = 135;
    pub(in crate::wire) const HOST_IDENTITY: u8 = 139;
    pub(in crate::wire) const SHIM6: u8 = 140;
}

/// An IPv6 header.
pub(super) struct View<'a> {
    header: &'a [u8; 40],
    after: &'a [u8],
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (header, after) = bytes.split_first_chunk::<40>().ok_or(Oddity::Ipv6Truncated)?;
        if header[0] >> 4 != 6 {
            return Err(Oddity::Ipv6Version);
        }
        Ok(Self { header, after })
    }

    /// Length of all that follows the header; 0 for jumbograms and where it was left to the interface.
    pub(super) fn payload_length(&self) -> usize {
        usize::from(u16::from_be_bytes([self.header[4], self.header[5]]))
    }

    pub(super) const fn next_header(&self) -> u8 {
        self.header[6]
    }

    pub(super) const fn hop_limit(&self) -> u8 {
        self.header[7]
    }

    pub(super) fn source(&self) -> Ipv6Addr {
        address(self.header[8..24].first_chunk())
    }

    pub(super) fn destination(&self) -> Ipv6Addr {
        address(self.header[24..40].first_chunk())
    }

    /// All bytes after the header, padding of the link included.
    pub(super) const fn after(&self) -> &'a [u8] {
        self.after
    }
}

fn address(bytes: Option<&[u8; 16]>) -> Ipv6Addr {
    bytes.map_or(Ipv6Addr::UNSPECIFIED, |bytes| Ipv6Addr::from(*bytes))
}

/// An extension header that says how long it is (RFC 6564 clause 4, RFC 4302 clause 2.2).
pub(super) struct Extension<'a> {
    next: u8,
    body: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Extension<'a> {
    /// A header whose length counts units of eight bytes, the first not included.
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        Self::with_length(bytes, |length| (length + 1) * 8)
    }

    /// An authentication header: its length counts units of four bytes, the first two not included.
    pub(super) fn authentication(bytes: &'a [u8]) -> Result<Self, Oddity> {
        Self::with_length(bytes, |length| (length + 2) * 4)
    }

    fn with_length(bytes: &'a [u8], in_bytes: fn(usize) -> usize) -> Result<Self, Oddity> {
        let [next, length, ..] = bytes else { return Err(Oddity::Ipv6Truncated) };
        let (body, payload) =
            bytes.split_at_checked(in_bytes(usize::from(*length))).ok_or(Oddity::Ipv6Truncated)?;
        Ok(Self { next: *next, body, payload })
    }

    pub(super) const fn next_header(&self) -> u8 {
        self.next
    }

    /// Whether, as a routing header, it is of type 0, which RFC 5095 has every node refuse.
    pub(super) const fn is_source_route(&self) -> bool {
        matches!(self.body, [_, _, 0, left, ..] if *left > 0)
    }

    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A fragment header (RFC 8200 clause 4.5).
pub(super) struct FragmentHeader<'a> {
    header: &'a [u8; 8],
    payload: &'a [u8],
}

impl<'a> FragmentHeader<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (header, payload) = bytes.split_first_chunk().ok_or(Oddity::Ipv6Truncated)?;
        Ok(Self { header, payload })
    }

    pub(super) const fn next_header(&self) -> u8 {
        self.header[0]
    }

    /// Where it is a piece; a datagram in one piece (RFC 6946) needs no reassembly and gives `None`.
    pub(super) fn fragment(&self) -> Option<Fragment> {
        let h = self.header;
        let word = u16::from_be_bytes([h[2], h[3]]);
        (word & 0xfff9 != 0).then(|| Fragment {
            id: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
            offset: u32::from(word & 0xfff8),
            more: word & 1 != 0,
        })
    }

    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}
