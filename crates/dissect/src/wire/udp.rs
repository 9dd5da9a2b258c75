//! UDP (RFC 768).

use super::Oddity;

/// A UDP header.
pub(super) struct View<'a> {
    header: &'a [u8; 8],
    after: &'a [u8],
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (header, after) = bytes.split_first_chunk().ok_or(Oddity::UdpTruncated)?;
        Ok(Self { header, after })
    }

    pub(super) const fn source(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    pub(super) const fn destination(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// Length of the payload as the header says: `None` where the header says 0 (jumbograms, RFC 2675
    /// clause 4, and segmentation offload), an error where it is shorter than the header itself.
    pub(super) fn payload_length(&self) -> Result<Option<usize>, Oddity> {
        match u16::from_be_bytes([self.header[4], self.header[5]]) {
            0 => Ok(None),
            length => usize::from(length).checked_sub(8).map(Some).ok_or(Oddity::UdpLength),
        }
    }

    /// All bytes after the header.
    pub(super) const fn after(&self) -> &'a [u8] {
        self.after
    }
}
