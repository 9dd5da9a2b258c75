//! What makes packets belong to one conversation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dissect::wire::{Network, Packet, TransportInfo};
use model::{Endpoint, Host, MacAddr, Side, Timestamp, Transport};

/// Into how many independent parts the work is divided, whatever the number of shards.
pub const LANES: usize = 64;

/// What carries a conversation, as one byte of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Family {
    Link = 1,
    Ipv4 = 4,
    Ipv6 = 6,
    Can = 7,
    Wpan = 8,
}

/// The two ends of a conversation in a fixed order, what carries it, and where: VLANs and tunnel.
///
/// Six words, so that comparing and digesting take a few instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u64; 6]);

/// A packet's key and which of the key's two ends sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    pub(crate) key: Key,
    /// Whether the packet's source is the key's second end.
    pub(crate) swapped: bool,
    /// The lane that works it.
    pub(crate) lane: u8,
}

impl Keyed {
    /// The key of a packet that was captured on this interface of its source, or `None` if nothing in it names an end.
    pub(crate) fn of(packet: &Packet<'_>, interface: u16) -> Option<Self> {
        let (family, kind, source, destination) = match packet.network {
            Network::Ip { source, destination, protocol, .. } => {
                let (family, source, destination) = match (source, destination) {
                    (IpAddr::V4(source), IpAddr::V4(destination)) => {
                        let bits = match source.to_bits() {
                            // Hosts that have no address yet (RFC 2131 clause 4.1) are told apart by their
                            // link-layer addresses, above the bits of which the address is made.
                            0 => packet.source_mac.map_or(0, mac_bits) << 64,
                            bits => u128::from(bits),
                        };
                        (Family::Ipv4, bits, u128::from(destination.to_bits()))
                    }
                    (IpAddr::V6(source), IpAddr::V6(destination)) => {
                        (Family::Ipv6, source.to_bits(), destination.to_bits())
                    }
                    _ => return None,
                };
                (family, u16::from(protocol), source, destination)
            }
            Network::Link { kind, .. } => {
                let source = mac_bits(packet.source_mac?);
                (Family::Link, kind, source, packet.destination_mac.map_or(0, mac_bits))
            }
            Network::Can { id, .. } => (Family::Can, 0, u128::from(id), 0),
            Network::Wpan => (Family::Wpan, 0, 0, 0),
        };
        let (source_port, destination_port) = match packet.network {
            // Equal identifiers on two buses have nothing to do with each other.
            Network::Can { .. } => (interface, 0),
            _ => ports(packet.transport),
        };
        let swapped = (source, source_port) > (destination, destination_port);
        let ((low, low_port), (high, high_port)) = if swapped {
            ((destination, destination_port), (source, source_port))
        } else {
            ((source, source_port), (destination, destination_port))
        };
        let what = u64::from(low_port) << 48
            | u64::from(high_port) << 32
            | u64::from(kind) << 16
            | u64::from(family as u8);
        let place = u64::from(packet.tunnel) << 32
            | u64::from(packet.vlans[1] & 0xfff) << 16
            | u64::from(packet.vlans[0] & 0xfff);
        let key = Key([(low >> 64) as u64, low as u64, (high >> 64) as u64, high as u64, what, place]);
        Some(Self { key, swapped, lane: key.lane() as u8 })
    }
}

/// Source and destination port, 0 where the transport has none.
pub(crate) const fn ports(transport: TransportInfo) -> (u16, u16) {
    match transport {
        TransportInfo::Tcp { source, destination, .. }
        | TransportInfo::Udp { source, destination }
        | TransportInfo::Sctp { source, destination } => (source, destination),
        TransportInfo::None | TransportInfo::Icmp { .. } => (0, 0),
    }
}

fn mac_bits(mac: MacAddr) -> u128 {
    let [a, b, c, d, e, f] = mac.0;
    u128::from(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

impl Key {
    /// A digest under a seed. Table digests use a secret seed so that nobody can choose addresses that
    /// collide; the lane and the conversation's id use a fixed one.
    #[inline]
    pub(crate) fn digest(&self, seed: u64) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        // A factor that is 0 would swallow the other: no word of a key is so large that, with the constant,
        // it could be 0 under the fixed seed, and nobody knows the other seed.
        let seed = seed ^ 0xa076_1d64_78bd_642f;
        let first = fold(a ^ seed, b ^ 0x9e37_79b9_7f4a_7c15);
        let second = fold(c ^ seed, d ^ 0xc2b2_ae3d_27d4_eb4f);
        let third = fold(e ^ seed, f ^ 0x1656_67b1_9e37_79f9);
        fold(first ^ second.rotate_left(23) ^ seed, third ^ 0x27d4_eb2f_1656_67c5)
    }

    /// The lane that works this conversation.
    #[inline]
    fn lane(&self) -> usize {
        (self.digest(0) >> 32) as usize % LANES
    }

    /// The id of the conversation that began at `first`.
    pub(crate) fn id(&self, first: Timestamp) -> u64 {
        fold(self.digest(0) ^ first.as_nanos().rotate_left(32), 0x9e37_79b9_7f4a_7c15 ^ first.as_nanos())
    }

    /// What carries the conversation.
    pub(crate) const fn transport(&self) -> Transport {
        let kind = (self.0[4] >> 16) as u16;
        match self.0[4] as u8 {
            4 | 6 => match kind {
                6 => Transport::Tcp,
                17 => Transport::Udp,
                132 => Transport::Sctp,
                1 => Transport::Icmp,
                58 => Transport::Icmpv6,
                other => Transport::Ip(other as u8),
            },
            7 => Transport::Can,
            8 => Transport::Wpan,
            _ => Transport::Ether(kind),
        }
    }

    /// The outermost VLAN identifier, where there is one.
    pub(crate) const fn vlan(&self) -> Option<u16> {
        match (self.0[5] & 0xfff) as u16 {
            0 => None,
            vlan => Some(vlan),
        }
    }

    /// One end: the first, or the second if `second`. Link-layer addresses of IP conversations are
    /// not part of the key and are given by the caller.
    pub(crate) fn endpoint(&self, second: bool, mac: MacAddr) -> Endpoint {
        let (high, low, port) = if second {
            (self.0[2], self.0[3], self.0[4] >> 32)
        } else {
            (self.0[0], self.0[1], self.0[4] >> 48)
        };
        let port = port as u16;
        let ip = match self.0[4] as u8 {
            4 => Some(IpAddr::V4(Ipv4Addr::from_bits(low as u32))),
            6 => Some(IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))),
            _ => None,
        };
        let mac = (mac != MacAddr::default()).then_some(mac);
        Endpoint { host: Host { mac, ip }, port }
    }
}

/// Which side of its conversation sent a packet.
pub(crate) const fn side(swapped: bool, client_is_second: bool) -> Side {
    if swapped == client_is_second { Side::Client } else { Side::Server }
}

/// Multiplies and folds the halves of the product: the mixing step of wyhash.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of a conversation between two IPv4 addresses.
    fn key(low: u32, high: u32, ports: u32) -> Key {
        Key([0, low.into(), 0, high.into(), u64::from(ports) << 32 | 17 << 16 | 4, 0])
    }

    #[test]
    fn conversations_are_spread_evenly_over_the_lanes_and_have_ids_of_their_own() {
        let mut lanes = [0_u32; LANES];
        let mut ids = std::collections::HashSet::new();
        for number in 0..64_000 {
            // Neighbouring addresses, as networks have them; all at the same time.
            let key = key(0x0a00_0000 + number / 100, 0x0a00_8000 + number % 100, 502);
            lanes[key.lane()] += 1;
            assert!(ids.insert(key.id(Timestamp::from_secs(1))));
        }
        assert!(lanes.iter().all(|count| (800..1200).contains(count)), "{lanes:?}");
    }

    #[test]
    fn no_word_of_a_key_is_without_influence_on_its_digest() {
        for seed in [0, 7] {
            let plain = key(1, 2, 3);
            for word in 0..6 {
                let mut other = plain;
                other.0[word] ^= 1 << 40;
                assert_ne!(plain.digest(seed), other.digest(seed), "word {word}");
            }
        }
    }
}
