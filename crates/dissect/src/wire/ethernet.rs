//! Ethernet (IEEE 802.3 clause 3.2) and the tags that stand between its addresses and its type.

use model::MacAddr;

use super::Oddity;

/// Below this the field after the addresses is a length, from here on a type (IEEE 802.3 clause 3.2.6).
pub(super) const FIRST_ETHER_TYPE: u16 = 0x0600;
/// The longest length that an IEEE 802.3 frame can have in that field.
pub(super) const MAX_LENGTH: u16 = 1500;

/// An Ethernet header: destination, source, type or length.
pub(super) struct View<'a> {
    header: &'a [u8; 14],
    payload: &'a [u8],
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (header, payload) = bytes.split_first_chunk().ok_or(Oddity::LinkTruncated)?;
        Ok(Self { header, payload })
    }

    pub(super) const fn destination(&self) -> MacAddr {
        let h = self.header;
        MacAddr([h[0], h[1], h[2], h[3], h[4], h[5]])
    }

    pub(super) const fn source(&self) -> MacAddr {
        let h = self.header;
        MacAddr([h[6], h[7], h[8], h[9], h[10], h[11]])
    }

    /// The EtherType, or the length of an IEEE 802.3 frame.
    pub(super) const fn kind(&self) -> u16 {
        u16::from_be_bytes([self.header[12], self.header[13]])
    }

    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// What follows a tag's own EtherType: tag control information and the next type (IEEE 802.1Q clause 9.6).
pub(super) struct Tag<'a> {
    header: &'a [u8; 4],
    payload: &'a [u8],
}

impl<'a> Tag<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (header, payload) = bytes.split_first_chunk().ok_or(Oddity::VlanTruncated)?;
        Ok(Self { header, payload })
    }

    /// The VLAN identifier; 0 means that the tag carries a priority only.
    pub(super) const fn vlan(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]]) & 0x0fff
    }

    pub(super) const fn kind(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Passes over a tag of `N` bytes and reads the type after it.
pub(super) fn other_tag<const N: usize>(bytes: &[u8]) -> Result<(u16, &[u8]), Oddity> {
    let (_, rest) = bytes.split_first_chunk::<N>().ok_or(Oddity::VlanTruncated)?;
    let (kind, payload) = rest.split_first_chunk().ok_or(Oddity::VlanTruncated)?;
    Ok((u16::from_be_bytes(*kind), payload))
}
