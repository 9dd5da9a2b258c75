//! Generic routing encapsulation: version 0 (RFC 2784, RFC 2890), version 1 as PPTP has it (RFC 2637
//! clause 4.1), and the mirrored frames of ERSPAN (draft-foschiano-erspan-03) within.

use super::Oddity;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGEMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;

/// A GRE header.
pub(super) struct View<'a> {
    flags: u16,
    protocol: u16,
    key: u32,
    payload: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (&[a, b, c, d], mut rest) = bytes.split_first_chunk().ok_or(Oddity::GreTruncated)?;
        let flags = u16::from_be_bytes([a, b]);
        let mut word = |present: u16| -> Result<u32, Oddity> {
            if flags & present == 0 {
                return Ok(0);
            }
            let (word, after) = rest.split_first_chunk().ok_or(Oddity::GreTruncated)?;
            rest = after;
            Ok(u32::from_be_bytes(*word))
        };
        let key = match flags & VERSION {
            // RFC 2784 clause 2.3: source routes of RFC 1701 are not supported by anybody.
            0 if flags & ROUTING != 0 => return Err(Oddity::GreVersion),
            0 => {
                word(CHECKSUM)?;
                let key = word(KEY)?;
                word(SEQUENCE)?;
                key
            }
            1 => {
                // The key is a length and the peer's call number, which differs by direction.
                word(KEY)?;
                word(SEQUENCE)?;
                word(ACKNOWLEDGEMENT)?;
                0
            }
            _ => return Err(Oddity::GreVersion),
        };
        Ok(Self { flags, protocol: u16::from_be_bytes([c, d]), key, payload: rest })
    }

    /// The EtherType of what is carried.
    pub(super) const fn protocol(&self) -> u16 {
        self.protocol
    }

    /// The key, 0 where there is none.
    pub(super) const fn key(&self) -> u32 {
        self.key
    }

    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The mirrored Ethernet frame of ERSPAN. Type I has no header and is told by the missing sequence
    /// number; type II has one of 8 bytes; type III one of 12, and 8 more where its last bit says so.
    pub(super) fn erspan(&self) -> Result<&'a [u8], Oddity> {
        const TYPE_III: u16 = 0x22eb;
        let length = match (self.protocol, self.payload) {
            (TYPE_III, [_, _, _, _, _, _, _, _, _, _, _, last, ..]) => 12 + 8 * usize::from(last & 1),
            (TYPE_III, _) => return Err(Oddity::GreTruncated),
            _ if self.flags & SEQUENCE == 0 => 0,
            _ => 8,
        };
        self.payload.get(length..).ok_or(Oddity::GreTruncated)
    }
}
