//! Prefix-preserving pseudonyms of network addresses: Crypto-PAn (Xu, Fan, Ammar and Moon, "Prefix-Preserving IP
//! Address Anonymization", ICNP 2002), for 32 and 128 bits.
//!
//! An address is a way down a binary tree. At each node the key says whether its two sides change places; nodes
//! that are frozen say no. A special prefix comes to lie on itself when all nodes above it are frozen, and then no
//! other address comes to lie in it: so classes are preserved, and it remains a permutation that preserves prefixes.
//! The price follows from just that: an address keeps the bits that it shares with a special prefix, and one more.
//!
//! Preserved prefixes are what makes an export useful, and also a way to attack it: whoever knows one address and its
//! pseudonym knows the leading bits of its neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// What pseudonyms of network addresses tell of the address besides shared prefixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Its class: private addresses stay in their private block, public ones public, groups groups, link-local ones
    /// link-local; loopback, unspecified, broadcast and the local network's well-known groups stay as they are.
    #[default]
    Classes,
    /// Nothing: Crypto-PAn as published.
    Nothing,
}

/// A prefix that comes to lie on itself. Bits as in [`PrefixCipher`], from the most significant one.
struct Special {
    prefix: u128,
    /// Bits of the prefix.
    length: u32,
    /// How many bits of an address in it stay as they are, at least `length`.
    keep: u32,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u32, keep: u32) -> Special {
    Special { prefix: (u32::from_be_bytes([a, b, c, d]) as u128) << 96, length, keep }
}

const fn v6(prefix: u128, length: u32, keep: u32) -> Special {
    Special { prefix, length, keep }
}

const ALL_V4: u32 = 32;
const ALL_V6: u32 = 128;

/// IANA's registry of special-purpose addresses (RFC 6890) and of groups (RFC 5771), as far as they tell classes.
const SPECIAL_V4: [Special; 11] = [
    v4(0, 0, 0, 0, 8, ALL_V4),
    v4(10, 0, 0, 0, 8, 8),
    v4(100, 64, 0, 0, 10, 10),
    v4(127, 0, 0, 0, 8, ALL_V4),
    v4(169, 254, 0, 0, 16, 16),
    v4(172, 16, 0, 0, 12, 12),
    v4(192, 168, 0, 0, 16, 16),
    v4(224, 0, 0, 0, 4, 4),
    v4(224, 0, 0, 0, 24, ALL_V4),
    v4(240, 0, 0, 0, 4, 4),
    v4(255, 255, 255, 255, 32, ALL_V4),
];

/// The same for IPv6 (RFC 4291, RFC 4193, RFC 6052).
const SPECIAL_V6: [Special; 9] = [
    // Unspecified and loopback.
    v6(0, 127, ALL_V6),
    // Mapped and translated IPv4 addresses.
    v6(0xffff_0000_0000, 96, 96),
    v6(0x0064_ff9b << 96, 96, 96),
    // Global unicast: no other block has global addresses.
    v6(0x2000 << 112, 3, 3),
    // Unique local, fd00::/8 being those that sites give themselves.
    v6(0xfc00 << 112, 7, 8),
    // Link-local: 54 zeros follow the prefix.
    v6(0xfe80 << 112, 10, 64),
    // Groups keep their flags and scope.
    v6(0xff00 << 112, 8, 16),
    // Well-known groups of the link, but for those of solicited nodes, which end like an address.
    v6(0xff02 << 112, 16, ALL_V6),
    v6(0xff02_0000_0000_0000_0000_0001_ff00_0000, 104, 104),
];

/// Crypto-PAn with one key. Addresses are left-aligned in 128 bits, as the cipher sees them.
pub(super) struct PrefixCipher {
    cipher: Aes128,
    pad: u128,
}

impl PrefixCipher {
    /// The first half of the key is the cipher's, the second one gives the padding (section 4 of the paper).
    pub(super) fn new(key: &Secret) -> Self {
        let (first, second) = key.expose().split_at(16);
        let cipher = Aes128::new(&<[u8; 16]>::try_from(first).expect("half of 32").into());
        let mut pad = Zeroizing::new(<[u8; 16]>::try_from(second).expect("half of 32"));
        let mut block = (*pad).into();
        cipher.encrypt_block(&mut block);
        pad.copy_from_slice(&block);
        Self { cipher, pad: u128::from_be_bytes(*pad) }
    }

    fn hide(&self, address: u128, width: u32, special: &[Special]) -> u128 {
        (0..width).fold(address, |hidden, at| hidden ^ self.flip(address, at, special))
    }

    fn reveal(&self, pseudonym: u128, width: u32, special: &[Special]) -> u128 {
        // Bit after bit: what is above a node is revealed before the node is asked.
        (0..width).fold(pseudonym, |address, at| address ^ self.flip(address, at, special))
    }

    /// The bit at place `at` if the node there, which the bits above lead to, lets its sides change places; else 0.
    fn flip(&self, address: u128, at: u32, special: &[Special]) -> u128 {
        if is_frozen(address, at, special) {
            return 0;
        }
        let mask = leading(at);
        let mut block = (address & mask | self.pad & !mask).to_be_bytes().into();
        self.cipher.encrypt_block(&mut block);
        u128::from(block[0] >> 7) << (127 - at)
    }
}

impl Drop for PrefixCipher {
    fn drop(&mut self) {
        // The cipher wipes its own key.
        zeroize::Zeroize::zeroize(&mut self.pad);
    }
}

/// Whether the node that the first `at` bits lead to is above a special prefix, or in the part of one that is kept.
fn is_frozen(address: u128, at: u32, special: &[Special]) -> bool {
    let shares = |prefix: u128, bits: u32| (address ^ prefix) & leading(bits) == 0;
    if special.iter().any(|special| at < special.length && shares(special.prefix, at)) {
        return true;
    }
    let within = special.iter().filter(|special| shares(special.prefix, special.length));
    // The longest prefix decides.
    within
        .filter(|special| special.length <= at)
        .max_by_key(|special| special.length)
        .is_some_and(|most| at < most.keep)
}

/// The `bits` most significant bits.
const fn leading(bits: u32) -> u128 {
    match bits {
        0 => 0,
        bits => u128::MAX << (128 - bits),
    }
}

pub(super) fn hide(v4: &PrefixCipher, v6: &PrefixCipher, keep: Keep, address: IpAddr) -> IpAddr {
    apply(v4, v6, keep, address, PrefixCipher::hide)
}

pub(super) fn reveal(v4: &PrefixCipher, v6: &PrefixCipher, keep: Keep, pseudonym: IpAddr) -> IpAddr {
    apply(v4, v6, keep, pseudonym, PrefixCipher::reveal)
}

fn apply(
    v4: &PrefixCipher,
    v6: &PrefixCipher,
    keep: Keep,
    address: IpAddr,
    way: impl Fn(&PrefixCipher, u128, u32, &[Special]) -> u128,
) -> IpAddr {
    let (special_v4, special_v6): (&[Special], &[Special]) = match keep {
        Keep::Classes => (&SPECIAL_V4, &SPECIAL_V6),
        Keep::Nothing => (&[], &[]),
    };
    let four = |address: Ipv4Addr| {
        Ipv4Addr::from_bits((way(v4, u128::from(address.to_bits()) << 96, ALL_V4, special_v4) >> 96) as u32)
    };
    match address {
        IpAddr::V4(address) => four(address).into(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            // The same host as the IPv4 address. The prefix lies on itself, so this stays a permutation.
            Some(mapped) if keep == Keep::Classes => four(mapped).to_ipv6_mapped().into(),
            _ => Ipv6Addr::from_bits(way(v6, address.to_bits(), ALL_V6, special_v6)).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and a part of the sample trace of Crypto-PAn's reference implementation.
    #[test]
    fn addresses_are_those_of_the_reference_implementation() {
        let key = Secret::new(&[
            21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131, 121,
            121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2,
        ]);
        let cipher = PrefixCipher::new(&key);
        for (address, pseudonym) in [
            ("128.11.68.132", "135.242.180.132"),
            ("129.118.74.4", "134.136.186.123"),
            ("130.132.252.244", "133.68.164.234"),
            ("141.223.7.43", "141.167.8.160"),
            ("141.233.145.108", "141.129.237.235"),
            ("152.163.225.39", "151.140.114.167"),
            ("156.29.3.236", "147.225.12.42"),
            ("165.247.96.84", "162.9.99.234"),
            ("166.107.77.190", "160.132.178.185"),
            ("192.102.249.13", "252.138.62.131"),
            ("192.215.32.125", "252.43.47.189"),
            ("192.233.80.103", "252.25.108.8"),
            ("192.41.57.43", "252.222.221.184"),
            ("193.150.244.223", "253.169.52.216"),
            ("195.205.63.100", "255.186.223.5"),
            ("198.200.171.101", "249.199.68.213"),
        ] {
            let (address, pseudonym): (IpAddr, IpAddr) =
                (address.parse().unwrap(), pseudonym.parse().unwrap());
            assert_eq!(hide(&cipher, &cipher, Keep::Nothing, address), pseudonym, "{address}");
            assert_eq!(reveal(&cipher, &cipher, Keep::Nothing, pseudonym), address, "{address}");
        }
    }
}
