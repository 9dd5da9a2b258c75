//! Pseudo-headers that capturing systems put in place of the link's own: BSD loopback, Linux cooked v1
//! and v2, netfilter's log, per-packet information. Each is described in the registry of link types.

use model::MacAddr;

use super::{LinkType, Oddity};

/// The EtherType that a BSD loopback header stands for. The family may be in either byte order, and each
/// system numbers IPv6 differently: Windows 23, OpenBSD and NetBSD 24, FreeBSD 28, Darwin 30, Linux 10.
pub(super) fn loopback(bytes: &[u8]) -> Result<(u16, &[u8]), Oddity> {
    let (family, payload) = bytes.split_first_chunk().ok_or(Oddity::LinkTruncated)?;
    let little = u32::from_le_bytes(*family);
    let family = if little < 0x1_0000 { little } else { u32::from_be_bytes(*family) };
    match family {
        2 => Ok((0x0800, payload)),
        10 | 23 | 24 | 28 | 30 => Ok((0x86dd, payload)),
        // Some systems write an EtherType.
        0x0600..=0xffff => Ok((family as u16, payload)),
        _ => Err(Oddity::LinkTypeUnknown),
    }
}

/// A Linux cooked header of either version.
pub(super) struct Cooked<'a> {
    /// ARP hardware type of the interface.
    pub(super) hardware: u16,
    /// EtherType, or one of Linux's own numbers below 0x0600.
    pub(super) protocol: u16,
    /// The sender's address, where it is an EUI-48.
    pub(super) source: Option<MacAddr>,
    /// What follows.
    pub(super) payload: &'a [u8],
}

impl<'a> Cooked<'a> {
    /// Version 1: packet type, hardware, address length, address, protocol.
    pub(super) fn v1(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (h, payload) = bytes.split_first_chunk::<16>().ok_or(Oddity::LinkTruncated)?;
        Ok(Self {
            hardware: u16::from_be_bytes([h[2], h[3]]),
            protocol: u16::from_be_bytes([h[14], h[15]]),
            source: mac(u16::from_be_bytes([h[4], h[5]]), [h[6], h[7], h[8], h[9], h[10], h[11]]),
            payload,
        })
    }

    /// Version 2: protocol, interface, hardware, packet type, address length, address.
    pub(super) fn v2(bytes: &'a [u8]) -> Result<Self, Oddity> {
        let (h, payload) = bytes.split_first_chunk::<20>().ok_or(Oddity::LinkTruncated)?;
        Ok(Self {
            hardware: u16::from_be_bytes([h[8], h[9]]),
            protocol: u16::from_be_bytes([h[0], h[1]]),
            source: mac(u16::from(h[11]), [h[12], h[13], h[14], h[15], h[16], h[17]]),
            payload,
        })
    }
}

/// The loopback interface has six zeros for an address: that is nobody's.
fn mac(length: u16, bytes: [u8; 6]) -> Option<MacAddr> {
    Some(MacAddr(bytes)).filter(|mac| length == 6 && mac.is_station())
}

/// A packet logged by netfilter: address family, and values by type among which is the packet.
pub(super) struct Logged<'a> {
    /// EtherType of the packet.
    pub(super) kind: u16,
    /// The sender's address, where it was logged.
    pub(super) source: Option<MacAddr>,
    /// The packet.
    pub(super) payload: &'a [u8],
}

impl<'a> Logged<'a> {
    pub(super) fn new_checked(bytes: &'a [u8]) -> Result<Self, Oddity> {
        /// More values than this in one header are taken for nonsense.
        const MAX_VALUES: usize = 64;
        const HARDWARE_ADDRESS: u16 = 8;
        const PAYLOAD: u16 = 9;

        let (&[family, version, _, _], mut rest) = bytes.split_first_chunk().ok_or(Oddity::LinkTruncated)?;
        let kind = match (version, family) {
            (0, 2) => 0x0800,
            (0, 10) => 0x86dd,
            _ => return Err(Oddity::LinkTypeUnknown),
        };
        let mut source = None;
        for _ in 0..MAX_VALUES {
            let (&[a, b, c, d], _) = rest.split_first_chunk().ok_or(Oddity::LinkTruncated)?;
            // Types are small numbers, so they show the byte order of the machine.
            let (length, number) = if d == 0 {
                (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
            } else {
                (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            };
            // The highest bits are flags of netlink.
            match (number & 0x3fff, rest.get(4..usize::from(length))) {
                // The packet comes last, so its end may have been cut off by the snap length.
                (PAYLOAD, value) if length >= 4 => {
                    let payload = value.unwrap_or(rest.get(4..).unwrap_or_default());
                    return Ok(Self { kind, source, payload });
                }
                (HARDWARE_ADDRESS, Some([high, low, _, _, a, b, c, d, e, f, ..])) => {
                    source = mac(u16::from_be_bytes([*high, *low]), [*a, *b, *c, *d, *e, *f]);
                }
                (_, Some(_)) => {}
                _ => return Err(Oddity::LinkTruncated),
            }
            // Values begin at multiples of four bytes.
            rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        }
        Err(Oddity::LinkTruncated)
    }
}

/// Per-packet information: the link type of what follows the header.
pub(super) fn per_packet_information(bytes: &[u8]) -> Result<(LinkType, &[u8]), Oddity> {
    let (h, _) = bytes.split_first_chunk::<8>().ok_or(Oddity::LinkTruncated)?;
    let length = usize::from(u16::from_le_bytes([h[2], h[3]]));
    let payload = bytes.get(length.max(8)..).ok_or(Oddity::LinkTruncated)?;
    let link = u16::try_from(u32::from_le_bytes([h[4], h[5], h[6], h[7]]));
    Ok((LinkType(link.map_err(|_| Oddity::LinkTypeUnknown)?), payload))
}
