//! PPP (RFC 1661), its HDLC-like framing (RFC 1662), PPPoE (RFC 2516) and Cisco HDLC.

use super::Oddity;

/// Protocol numbers of PPP (RFC 1661 clause 2).
pub(super) mod protocol {
    pub(in crate::wire) const IPV4: u16 = 0x0021;
    pub(in crate::wire) const IPV6: u16 = 0x0057;
    pub(in crate::wire) const MPLS: u16 = 0x0281;
    pub(in crate::wire) const MPLS_MULTICAST: u16 = 0x0283;
}

/// Reads the protocol number, after address and control where they stand (RFC 1662 clause 3.1), in one
/// byte where it is compressed (RFC 1661 clause 6.5: the last byte of a number is odd, others even).
pub(super) fn ppp(bytes: &[u8]) -> Result<(u16, &[u8]), Oddity> {
    match bytes.strip_prefix(&[0xff, 0x03]).unwrap_or(bytes) {
        [low, payload @ ..] if low & 1 == 1 => Ok((u16::from(*low), payload)),
        [high, low, payload @ ..] if low & 1 == 1 => Ok((u16::from_be_bytes([*high, *low]), payload)),
        [_, _, ..] => Err(Oddity::PppHeader),
        _ => Err(Oddity::LinkTruncated),
    }
}

/// Cisco HDLC: address, control, EtherType.
pub(super) fn cisco_hdlc(bytes: &[u8]) -> Result<(u16, &[u8]), Oddity> {
    let (&[address, _, high, low], payload) = bytes.split_first_chunk().ok_or(Oddity::LinkTruncated)?;
    if !is_cisco(address) {
        return Err(Oddity::PppHeader);
    }
    Ok((u16::from_be_bytes([high, low]), payload))
}

/// Whether an HDLC address is one of Cisco's, unicast or multicast.
pub(super) const fn is_cisco(address: u8) -> bool {
    matches!(address, 0x0f | 0x8f)
}

/// A PPPoE session header (RFC 2516 clause 4): the length of the payload and all that follows.
pub(super) fn pppoe_session(bytes: &[u8]) -> Result<(usize, &[u8]), Oddity> {
    let (&[version, code, _, _, high, low], payload) =
        bytes.split_first_chunk().ok_or(Oddity::LinkTruncated)?;
    if version != 0x11 || code != 0 {
        return Err(Oddity::PppoeHeader);
    }
    Ok((usize::from(u16::from_be_bytes([high, low])), payload))
}
