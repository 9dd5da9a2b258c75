//! Who is watched.

use std::net::IpAddr;

use model::Host;
use serde::{Deserialize, Serialize};

use crate::table::Table;

/// So many hosts are watched at once; whoever was quiet for longest is forgotten first.
pub const MAX_HOSTS: usize = 1 << 16;

/// A host that is watched: a small number under which detectors keep what they know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who(u32);

impl Who {
    /// Nobody: a group, or an end without an address.
    pub const NOBODY: Self = Self(u32::MAX);

    /// Whether it is somebody.
    pub const fn is_somebody(self) -> bool {
        self.0 != u32::MAX
    }
}

/// An address in the one form in which detectors compare it: a network address where there is one, else the
/// link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Addr(u64, u64);

/// The first word of link-layer addresses; of IPv6 only group addresses begin so, and they are no host's.
const MAC_SPACE: u64 = u64::MAX;

impl Addr {
    /// That of a host, if it can be one host's own.
    pub(crate) fn of(host: &Host) -> Option<Self> {
        match (host.ip, host.mac) {
            (Some(ip), _) if is_unicast(ip) => Some(Self::of_ip(ip)),
            (None, Some(mac)) if mac.is_station() => {
                Some(Self(MAC_SPACE, mac.0.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))))
            }
            _ => None,
        }
    }

    /// That of a network address.
    pub(crate) fn of_ip(ip: IpAddr) -> Self {
        let bits = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        Self((bits >> 64) as u64, bits as u64)
    }

    /// A small number that stands for it where a rare mistake does no harm.
    pub(crate) fn digest(self) -> u32 {
        // Multiplied by odd numbers and folded: every bit of the result depends on every bit of the address.
        let mixed = (self.0 ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9)
            ^ self.1.wrapping_mul(0x94d0_49bb_1331_11eb).rotate_left(32);
        ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as u32
    }

    /// Its bytes, for digests.
    pub(crate) fn bytes(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }
}

/// Whether an address can be one host's own (RFC 6890); the broadcast address of a network cannot be told from one
/// without its mask, but hardly any host ends in .255.
fn is_unicast(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, .., last] = ip.octets();
            !(first == 0 || first == 127 || first >= 224 || last == 255)
        }
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast()),
    }
}

/// Whether an address belongs to no public network: RFC 1918, RFC 6598, RFC 3927, RFC 4193, link-local.
pub(crate) fn is_inner(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.segments()[0] & 0xfe00 == 0xfc00,
    }
}

/// The hosts that are watched.
#[derive(Debug)]
pub(crate) struct Hosts {
    table: Table<Addr, ()>,
}

impl Hosts {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: Table::new(limit) }
    }

    /// The number of a host that is watched already.
    pub(crate) fn find(&mut self, addr: Addr) -> Option<Who> {
        self.table.find(&addr).map(Who)
    }

    /// The number of a host; and whether it was another's until now, of whom everything is to be forgotten.
    pub(crate) fn who(&mut self, addr: Addr) -> (Who, bool) {
        let place = self.table.place(addr, || ());
        (Who(place.slot), place.gone.is_some())
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// Something that is known of each host that needs it.
#[derive(Debug)]
pub(crate) struct PerHost<T>(Vec<Option<Box<T>>>);

impl<T> Default for PerHost<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> PerHost<T> {
    /// What is known of a host; `who` must be somebody.
    pub(crate) fn of(&mut self, who: Who) -> &mut T {
        let at = who.0 as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at].get_or_insert_default()
    }
}

impl<T> PerHost<T> {
    /// What is known of a host, if something is.
    pub(crate) fn get(&self, who: Who) -> Option<&T> {
        self.0.get(who.0 as usize)?.as_deref()
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, who: Who) -> Option<&mut T> {
        self.0.get_mut(who.0 as usize)?.as_deref_mut()
    }

    /// Forgets what is known of a host.
    pub(crate) fn forget(&mut self, who: Who) {
        if let Some(known) = self.0.get_mut(who.0 as usize) {
            *known = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::MacAddr;

    use super::*;

    #[test]
    fn groups_are_nobody_and_one_address_is_one_host_in_either_form() {
        let host = |ip: &str| Host::from_ip(ip.parse().unwrap());
        for nobody in ["224.0.0.251", "255.255.255.255", "0.0.0.0", "10.0.0.255", "ff02::1", "::"] {
            assert_eq!(Addr::of(&host(nobody)), None, "{nobody}");
        }
        assert_eq!(Addr::of(&host("::ffff:10.0.0.1")), Addr::of(&host("10.0.0.1")));
        assert_eq!(Addr::of(&Host::from_mac(MacAddr::BROADCAST)), None);
        assert_ne!(Addr::of(&Host::from_mac(MacAddr([0, 0, 0, 0, 0, 1]))), Addr::of(&host("::1:1")));
    }

    #[test]
    fn a_number_is_given_again_only_when_its_host_is_forgotten() {
        let mut hosts = Hosts::new(2);
        let addr = |last| Addr::of_ip(IpAddr::from([10, 0, 0, last]));
        let (first, _) = hosts.who(addr(1));
        assert_eq!((hosts.who(addr(1)), hosts.find(addr(1))), ((first, false), Some(first)));
        let (second, _) = hosts.who(addr(2));
        // The first was used since, the second was not.
        assert_eq!(hosts.who(addr(3)), (second, true));
        assert_eq!((hosts.find(addr(2)), hosts.len()), (None, 2));
    }
}
