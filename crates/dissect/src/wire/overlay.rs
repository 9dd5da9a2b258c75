//! Tunnels over UDP: VXLAN (RFC 7348, and draft-ietf-nvo3-vxlan-gpe), GENEVE (RFC 8926), GTP-U (3GPP TS
//! 29.281), CAPWAP (RFC 5415) and Teredo (RFC 4380).
//!
//! A port is no proof. What does not look exactly like the tunnel is left alone as payload of UDP, so
//! the headers are read more strictly than their standards ask of an end point.

/// VXLAN's port.
pub(super) const VXLAN_PORT: u16 = 4789;
/// The port of VXLAN's generic protocol extension.
pub(super) const VXLAN_GPE_PORT: u16 = 4790;
/// The port that Linux took for VXLAN before one was assigned.
pub(super) const VXLAN_OLD_PORT: u16 = 8472;
/// GENEVE's port.
pub(super) const GENEVE_PORT: u16 = 6081;
/// GTP-U's port.
pub(super) const GTP_PORT: u16 = 2152;
/// CAPWAP's port for data.
pub(super) const CAPWAP_PORT: u16 = 5247;
/// Teredo's port.
pub(super) const TEREDO_PORT: u16 = 3544;

/// What GENEVE carries: EtherType of bridged Ethernet.
pub(super) const BRIDGED_ETHERNET: u16 = 0x6558;

/// More options or extension headers than this in one header are taken for something else.
const MAX_OPTIONS: usize = 16;

/// A VXLAN header (RFC 7348 clause 5): the network, the EtherType of the payload, the payload. The group
/// policy extension uses bits that are zero in the standard; so does the generic protocol extension, to
/// say what is carried.
pub(super) fn vxlan(bytes: &[u8]) -> Option<(u32, u16, &[u8])> {
    const NETWORK: u8 = 0x08;
    const WITH_PROTOCOL: u8 = NETWORK | 0x04;
    const WITH_POLICY: u8 = NETWORK | 0x80;
    let (header, payload) = bytes.split_first_chunk::<8>()?;
    let kind = match header {
        [NETWORK, 0, 0, 0, _, _, _, 0] | [WITH_POLICY, _, _, _, _, _, _, 0] => BRIDGED_ETHERNET,
        [WITH_PROTOCOL, 0, 0, 1, _, _, _, 0] => 0x0800,
        [WITH_PROTOCOL, 0, 0, 2, _, _, _, 0] => 0x86dd,
        [WITH_PROTOCOL, 0, 0, 3, _, _, _, 0] => BRIDGED_ETHERNET,
        _ => return None,
    };
    Some((u32::from_be_bytes([0, header[4], header[5], header[6]]), kind, payload))
}

/// A GENEVE header (RFC 8926 clause 3.4): the network, the EtherType of the payload, the payload.
pub(super) fn geneve(bytes: &[u8]) -> Option<(u32, u16, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<8>()?;
    let version = header[0] >> 6;
    let payload = rest.get(usize::from(header[0] & 0x3f) * 4..)?;
    let network = u32::from_be_bytes([0, header[4], header[5], header[6]]);
    let clean = version == 0 && header[1] & 0x3f == 0 && header[7] == 0;
    clean.then_some((network, u16::from_be_bytes([header[2], header[3]]), payload))
}

/// A GTP-U header of version 1 with user data (TS 29.281 clauses 5.1 and 5.2): the IP packet. Tunnel
/// numbers differ by direction, so they are of no use to tell conversations apart.
pub(super) fn gtp_user(bytes: &[u8]) -> Option<&[u8]> {
    const USER_DATA: u8 = 255;
    let (header, rest) = bytes.split_first_chunk::<8>()?;
    let [flags, kind, high, low, ..] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    // Version 1, protocol type GTP.
    if flags >> 4 != 0x3 || kind != USER_DATA || length > rest.len() {
        return None;
    }
    let mut payload = rest.get(..length)?;
    if flags & 0x07 != 0 {
        let (&[_, _, _, mut next], mut after) = payload.split_first_chunk()?;
        for _ in 0..MAX_OPTIONS {
            if flags & 0x04 == 0 || next == 0 {
                break;
            }
            // Lengths count units of four bytes; the last byte names the next header.
            let length = usize::from(*after.first()?) * 4;
            let (header, rest) = after.split_at_checked(length)?;
            next = *header.last()?;
            after = rest;
        }
        payload = after;
    }
    matches!(payload.first()? >> 4, 4 | 6).then_some(payload)
}

/// What CAPWAP carries from and to a wireless station.
pub(super) enum Tunnelled<'a> {
    /// A frame of IEEE 802.3.
    Ethernet(&'a [u8]),
    /// A frame of IEEE 802.11.
    Wireless(&'a [u8]),
}

/// A CAPWAP header (RFC 5415 clause 4.3) with a whole frame.
pub(super) fn capwap(bytes: &[u8]) -> Option<Tunnelled<'_>> {
    const NATIVE: u8 = 0x01;
    const IEEE802_11: u8 = 1 << 1;
    const BINDING: u8 = 0x1f << 1;
    const FRAGMENT_OR_KEEP_ALIVE: u8 = 0x80 | 0x08;
    // Version 0, not encrypted.
    let ([0, length, binding, flags, _, _, _, _], _) = bytes.split_first_chunk()? else { return None };
    let length = usize::from(length >> 3) * 4;
    if length < 8 || flags & FRAGMENT_OR_KEEP_ALIVE != 0 {
        return None;
    }
    let frame = bytes.get(length..)?;
    match (binding & NATIVE != 0, binding & BINDING) {
        (true, IEEE802_11) => Some(Tunnelled::Wireless(frame)),
        (true, _) => None,
        (false, _) => Some(Tunnelled::Ethernet(frame)),
    }
}

/// Teredo (RFC 4380 clause 5.1.1): authentication and origin may stand before the IPv6 packet. One of
/// its addresses must be of the Teredo prefix, or link-local as in qualification.
pub(super) fn teredo(bytes: &[u8]) -> Option<&[u8]> {
    let mut packet = bytes;
    if let [0, 1, client, authentication, ..] = packet {
        packet = packet.get(13 + usize::from(*client) + usize::from(*authentication)..)?;
    }
    if let [0, 0, ..] = packet {
        packet = packet.get(8..)?;
    }
    let (header, rest) = packet.split_first_chunk::<40>()?;
    let fits = usize::from(u16::from_be_bytes([header[4], header[5]])) <= rest.len();
    let ours = |address: &[u8]| address.starts_with(&[0x20, 1, 0, 0]) || address.starts_with(&[0xfe, 0x80]);
    (header[0] >> 4 == 6 && fits && (ours(&header[8..24]) || ours(&header[24..40]))).then_some(packet)
}
