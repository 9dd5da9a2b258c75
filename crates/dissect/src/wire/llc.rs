//! Logical link control and the sub-network access protocol (IEEE 802.2 clause 3, IEEE 802 clause 10).

use super::Oddity;

/// DSAP and SSAP of SNAP.
const SNAP: u8 = 0xaa;
/// Unnumbered information.
const UI: u8 = 0x03;

/// An LLC header, with SNAP where there is one.
pub(super) struct View<'a> {
    dsap: u8,
    snap: Option<([u8; 3], u16)>,
    payload: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        if let Some((&[SNAP, SNAP, UI, a, b, c, high, low], payload)) = bytes.split_first_chunk() {
            let snap = Some(([a, b, c], u16::from_be_bytes([high, low])));
            return Ok(Self { dsap: SNAP, snap, payload });
        }
        let (&[dsap, _ssap, control], rest) = bytes.split_first_chunk().ok_or(Oddity::LlcTruncated)?;
        // IEEE 802.2 clause 5.2: unnumbered frames have one byte of control, all others two.
        let payload = if control & 3 == 3 { rest } else { rest.get(1..).ok_or(Oddity::LlcTruncated)? };
        Ok(Self { dsap, snap: None, payload })
    }

    /// The destination service access point.
    pub(super) const fn dsap(&self) -> u8 {
        self.dsap
    }

    /// Organisation and protocol.
    pub(super) const fn snap(&self) -> Option<([u8; 3], u16)> {
        self.snap
    }

    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}
