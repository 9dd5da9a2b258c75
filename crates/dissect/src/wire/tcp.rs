//! TCP (RFC 9293 clause 3.1).

use model::TcpFlags;

use super::{Oddity, TransportInfo};

/// A TCP header without its options, which may have been cut off by the snap length.
pub(super) struct View<'a> {
    header: &'a [u8; 20],
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let header = bytes.first_chunk::<20>().ok_or(Oddity::TcpTruncated)?;
        if header[12] >> 4 < 5 {
            return Err(Oddity::TcpDataOffset);
        }
        Ok(Self { header })
    }

    /// Length of the header with options, in bytes: 20 to 60.
    pub(super) fn header_length(&self) -> usize {
        usize::from(self.header[12] >> 4) * 4
    }

    /// Every segment but the first SYN and a reset carries an acknowledgement, and SYN excludes FIN and
    /// RST (clause 3.10.7); anything else is a probe or a defect.
    pub(super) const fn has_odd_flags(&self) -> bool {
        const SYN: u8 = TcpFlags::SYN;
        let flags = self.header[13];
        flags & (SYN | TcpFlags::RST | TcpFlags::ACK) == 0
            || flags & SYN != 0 && flags & (TcpFlags::FIN | TcpFlags::RST) != 0
    }

    pub(super) const fn info(&self) -> TransportInfo {
        let h = self.header;
        TransportInfo::Tcp {
            source: u16::from_be_bytes([h[0], h[1]]),
            destination: u16::from_be_bytes([h[2], h[3]]),
            sequence: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
            acknowledgement: u32::from_be_bytes([h[8], h[9], h[10], h[11]]),
            flags: TcpFlags(h[13]),
            window: u16::from_be_bytes([h[14], h[15]]),
        }
    }
}
