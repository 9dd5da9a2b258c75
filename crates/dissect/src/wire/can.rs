//! CAN frames as SocketCAN captures them: identifier in network byte order, length, flags, data.

use super::Oddity;

/// The longest data of CAN and of CAN FD (ISO 11898-1 clause 10.4.2).
const MAX_DATA: usize = 8;
/// See `MAX_DATA`.
const MAX_DATA_FD: usize = 64;
/// Flag of the third header byte: the frame is CAN FD.
const IS_FD: u8 = 0x04;
/// Flag of the length byte: the frame is CAN XL, whose header is another.
const IS_XL: u8 = 0x80;

/// A CAN or CAN FD frame.
pub(super) struct View<'a> {
    header: &'a [u8; 8],
    after: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (header, after) = bytes.split_first_chunk::<8>().ok_or(Oddity::LinkTruncated)?;
        let view = Self { header, after };
        if header[4] & IS_XL != 0 {
            return Err(Oddity::LinkTypeUnknown);
        }
        let most = if view.is_fd() { MAX_DATA_FD } else { MAX_DATA };
        if view.length() > most { Err(Oddity::CanLength) } else { Ok(view) }
    }

    /// Identifier and flags: 0x80000000 extended, 0x40000000 remote request, 0x20000000 error.
    pub(super) const fn id(&self) -> u32 {
        let h = self.header;
        u32::from_be_bytes([h[0], h[1], h[2], h[3]])
    }

    /// Older captures do not set the flag; there the length tells.
    pub(super) fn is_fd(&self) -> bool {
        self.header[5] & IS_FD != 0 || self.length() > MAX_DATA
    }

    /// How many bytes of data there are.
    pub(super) fn length(&self) -> usize {
        usize::from(self.header[4])
    }

    /// All bytes after the header, filling included.
    pub(super) const fn after(&self) -> &'a [u8] {
        self.after
    }
}
