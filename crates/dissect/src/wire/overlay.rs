//! Tunnels over UDP: VXLAN (RFC 7348), GENEVE (RFC 8926), GTP-U (3GPP TS 29.281) and Teredo (RFC 4380).
//!
//! A port is no proof. What does not look exactly like the tunnel is left alone as payload of UDP, so
//! the headers are read more strictly than their standards ask of an end point.

/// VXLAN's port, and the one Linux took before it was assigned.
pub(super) const VXLAN_PORTS: [u16; 2] = [4789, 8472];
/// GENEVE's port.
pub(super) const GENEVE_PORT: u16 = 6081;
/// GTP-U's port.
pub(super) const GTP_PORT: u16 = 2152;
/// Teredo's port.
pub(super) const TEREDO_PORT: u16 = 3544;

/// What GENEVE carries: EtherType of bridged Ethernet.
pub(super) const BRIDGED_ETHERNET: u16 = 0x6558;

/// More options or extension headers than this in one header are taken for something else.
const MAX_OPTIONS: usize = 16;

/// A VXLAN header (RFC 7348 clause 5): the network and the Ethernet frame. The group policy extension
/// uses the bits that are zero in the standard, so they are not looked at where its flag is set.
pub(super) fn vxlan(bytes: &[u8]) -> Option<(u32, &[u8])> {
    const NETWORK: u8 = 0x08;
    const GROUP_POLICY: u8 = 0x80;
    let (header, frame) = bytes.split_first_chunk::<8>()?;
    let standard = header[0] == NETWORK && header[1..4] == [0, 0, 0];
    let policy = header[0] == NETWORK | GROUP_POLICY;
    let network = u32::from_be_bytes([0, header[4], header[5], header[6]]);
    ((standard || policy) && header[7] == 0 && frame.len() >= 14).then_some((network, frame))
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
