//! What an address alone tells about a host.

use std::net::{IpAddr, Ipv6Addr};

use model::MacAddr;

/// The one form of an address: an IPv4-mapped IPv6 address (RFC 4291 clause 2.5.5.2) is the IPv4 address.
pub(crate) fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Whether the address can be one host's own. Group addresses, "this network" (0.0.0.0/8), loopback and
/// the reserved block 240/4 with the limited broadcast cannot (RFC 6890).
pub(crate) fn can_be_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            !(first == 0 || first == 127 || first >= 224)
        }
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast()),
    }
}

/// Whether the address is valid on one link only (RFC 3927, RFC 4291 clause 2.5.6).
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Whether the address belongs to no public network: RFC 1918, RFC 6598, RFC 3927, RFC 4193, loopback, and
/// the link-local and the old site-local ones of IPv6.
pub(crate) fn is_inner(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            is_unique_local(ip)
                || ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.segments()[0] & 0xffc0 == 0xfec0
        }
    }
}

const fn is_unique_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xfe00 == 0xfc00
}

/// Kinds of address of which a host usually has one network each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6UniqueLocal,
    V6Global,
}

impl Family {
    pub(crate) const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(ip) if is_unique_local(ip) => Self::V6UniqueLocal,
            IpAddr::V6(_) => Self::V6Global,
        }
    }
}

/// The network that an address most likely lies in: its /24 or /64.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & 0xffff_ff00).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
    }
}

/// Whether several routers share the address, each answering for it in turn: VRRP (RFC 9568 clause 7.3),
/// HSRP version 1 and 2, GLBP.
pub(crate) const fn is_shared_by_routers(mac: MacAddr) -> bool {
    matches!(
        mac.0,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x05, 0x73, 0xa0, 0x00..=0x0f, _]
            | [0x00, 0x07, 0xb4, 0x00, _, _]
    )
}

/// A host address as two words for [`digest`].
pub(crate) fn words(ip: IpAddr) -> (u64, u64) {
    match ip {
        // As IPv6 has it: ::ffff:0:0/96 (RFC 4291 clause 2.5.5.2).
        IpAddr::V4(ip) => (0, 0xffff << 32 | u64::from(u32::from(ip))),
        IpAddr::V6(ip) => ((u128::from(ip) >> 64) as u64, u128::from(ip) as u64),
    }
}

/// Spreads two words over one, for tables and ids. A fixed function: the same address has the same id
/// on every run and every machine.
pub(crate) const fn digest(high: u64, low: u64) -> u64 {
    // The finaliser of SplitMix64 (Steele, Lea, Flood 2014), once for each word.
    const fn finish(mut word: u64) -> u64 {
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }
    finish(finish(high.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_that_name_no_single_host_are_told_apart() {
        for never in
            ["0.0.0.0", "127.0.0.1", "224.0.0.251", "255.255.255.255", "240.0.0.1", "::", "::1", "ff02::fb"]
        {
            assert!(!can_be_host(ip(never)), "{never}");
        }
        for host in ["10.0.0.1", "8.8.8.8", "169.254.1.1", "fe80::1", "2001:db8::1"] {
            assert!(can_be_host(ip(host)), "{host}");
        }
        assert_eq!(canonical(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
        assert_eq!(words(ip("::ffff:10.0.0.1")), words(ip("10.0.0.1")));
    }

    #[test]
    fn inner_addresses_and_networks_are_known() {
        for inner in
            ["10.9.9.9", "172.31.0.1", "192.168.0.1", "100.64.0.1", "100.127.255.255", "fd00::1", "fe80::1"]
        {
            assert!(is_inner(ip(inner)), "{inner}");
        }
        for outer in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_inner(ip(outer)), "{outer}");
        }
        assert_eq!(network(ip("192.0.2.77")), ip("192.0.2.0"));
        assert_eq!(network(ip("2001:db8:1:2:3::4")), ip("2001:db8:1:2::"));
        assert!(is_shared_by_routers(MacAddr([0, 0, 0x5e, 0, 1, 7])));
        assert!(!is_shared_by_routers(MacAddr([0, 0, 0x5e, 0, 0x53, 7])));
    }
}
