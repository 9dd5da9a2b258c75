//! Sets of addresses, an IPv4 address in the form of IPv6, and the networks that make them.

use std::net::{IpAddr, Ipv6Addr};

use crate::Network;

/// An address as a number.
pub(super) const fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The address that is a number.
pub(super) fn ip(bits: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()
}

/// Addresses from the first to the last of each range.
#[derive(Clone, Debug, Default)]
pub(super) struct Region {
    ranges: Vec<(u128, u128)>,
}

impl Region {
    pub(super) fn add(&mut self, first: u128, last: u128) {
        self.ranges.push((first, last));
    }

    /// Takes out addresses; `holes` tells those within a range in order.
    pub(super) fn without(&mut self, holes: impl Fn(u128, u128) -> Vec<u128>) {
        self.join();
        let mut left = Vec::with_capacity(self.ranges.len());
        for &(first, last) in &self.ranges {
            let mut from = Some(first);
            for hole in holes(first, last) {
                if let Some(first) = from.filter(|first| *first < hole) {
                    left.push((first, hole - 1));
                }
                from = hole.checked_add(1).filter(|next| *next <= last);
            }
            left.extend(from.map(|first| (first, last)));
        }
        self.ranges = left;
    }

    /// Ranges in order, none of which touches the next.
    fn join(&mut self) {
        self.ranges.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::with_capacity(self.ranges.len());
        for &(first, last) in &self.ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        self.ranges = joined;
    }

    /// The fewest networks that hold these addresses and no others, in order of their addresses.
    pub(super) fn networks(&mut self) -> Vec<Network> {
        self.join();
        let (four, last_four) = (0xffff_0000_0000_u128, 0xffff_ffff_ffff_u128);
        let mut out = Vec::new();
        for &(first, last) in &self.ranges {
            // IPv4 is a space of its own in the midst of the other.
            if first < four {
                spread(first, last.min(four - 1), &mut out);
            }
            if first <= last_four && last >= four {
                spread(first.max(four), last.min(last_four), &mut out);
            }
            if last > last_four {
                spread(first.max(last_four + 1), last, &mut out);
            }
        }
        out.sort_unstable();
        out
    }
}

/// The fewest networks from one address to another.
fn spread(mut first: u128, last: u128, out: &mut Vec<Network>) {
    loop {
        // As large as where it begins allows, and no larger than what is left.
        let left = (last - first).checked_add(1).map_or(128, u128::ilog2);
        let free = first.trailing_zeros().min(left);
        out.extend(
            u8::try_from(128 - free)
                .ok()
                .and_then(|length| Network::new(Ipv6Addr::from_bits(first).into(), length)),
        );
        let size = 1_u128.checked_shl(free);
        match size.and_then(|size| first.checked_add(size)).filter(|next| *next <= last) {
            Some(next) => first = next,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_spaces_are_one_network_each() {
        let mut region = Region::default();
        region.add(0xffff_0000_0000, 0xffff_ffff_ffff);
        assert_eq!(region.networks(), [Network::ALL_IPV4]);
        let mut region = Region::default();
        region.add(1 << 127, u128::MAX);
        assert_eq!(region.networks(), ["8000::/1".parse().unwrap()]);
        let mut region = Region::default();
        region.add(bits("10.0.0.0".parse().unwrap()), bits("10.0.0.255".parse().unwrap()));
        region.without(|_, _| vec![bits("10.0.0.0".parse().unwrap()), bits("10.0.0.255".parse().unwrap())]);
        assert_eq!(region.networks().len(), 14);
    }

    proptest! {
        #[test]
        fn networks_hold_the_addresses_of_a_region_and_no_others(
            ranges in prop::collection::vec((0u128..64, 0u128..20), 0..6),
            holes in prop::collection::btree_set(0u128..90, 0..8),
        ) {
            let base = bits("10.0.0.0".parse().unwrap()) - 20;
            let mut region = Region::default();
            for (first, more) in &ranges {
                region.add(base + first, base + first + more);
            }
            region.without(|first, last| holes.iter().map(|hole| base + hole).filter(|hole| (first..=last).contains(hole)).collect());
            let networks = region.networks();
            for at in 0..90 {
                let has = ranges.iter().any(|(first, more)| (*first..=first + more).contains(&at)) && !holes.contains(&at);
                let holding = networks.iter().filter(|network| network.contains(ip(base + at))).count();
                prop_assert_eq!(holding, usize::from(has), "{} of {:?}", ip(base + at), networks);
            }
        }
    }
}
