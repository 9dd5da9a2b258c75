//! What ICMP (RFC 792) and ICMPv6 (RFC 4443 clause 2.1) have in common: type, code, checksum.

use super::{Oddity, TransportInfo};

/// The first four bytes of a message.
pub(super) struct View<'a> {
    header: &'a [u8; 4],
}

impl<'a> View<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        bytes.first_chunk().map(|header| Self { header }).ok_or(Oddity::IcmpTruncated)
    }

    pub(super) const fn info(&self) -> TransportInfo {
        TransportInfo::Icmp { kind: self.header[0], code: self.header[1] }
    }
}
