//! SCTP's common header (RFC 9260 clause 3.1).

use super::{Oddity, TransportInfo};

/// The common header.
pub(super) struct View<'a> {
    header: &'a [u8; 12],
    chunks: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (header, chunks) = bytes.split_first_chunk().ok_or(Oddity::SctpTruncated)?;
        Ok(Self { header, chunks })
    }

    pub(super) const fn info(&self) -> TransportInfo {
        TransportInfo::Sctp {
            source: u16::from_be_bytes([self.header[0], self.header[1]]),
            destination: u16::from_be_bytes([self.header[2], self.header[3]]),
        }
    }

    pub(super) const fn chunks(&self) -> &'a [u8] {
        self.chunks
    }
}
