//! Who is watched.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::IpAddr;

use model::Host;
use serde::{Deserialize, Serialize};

use crate::table::Table;

/// So many channels are watched at once; the one that was quiet for longest is forgotten first.
pub const MAX_CHANNELS: usize = 1 << 15;
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

/// A digest of words.
pub(crate) fn digest_of(parts: &[&[u8]]) -> u64 {
    let mut sum = 0;
    for part in parts {
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            sum = mix(sum, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        sum = mix(mix(sum, u64::from_le_bytes(last)), part.len() as u64);
    }
    sum
}

/// Two words as one, of which every bit depends on every bit of theirs (the finaliser of SplitMix64: Steele, Lea and
/// Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub(crate) const fn mix(sum: u64, word: u64) -> u64 {
    let mixed = sum.rotate_left(23) ^ word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

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

    /// A digest that is the same on every machine and for every version.
    pub(crate) fn key(self) -> u64 {
        digest_of(&[&self.bytes()])
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

/// Somebody who takes part in an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    /// His number, if he is watched.
    pub(crate) who: Who,
    /// The digest of his address that is the same on every machine: see [`Addr::key`].
    pub(crate) key: u64,
}

impl Party {
    /// A group, or an end without an address.
    pub(crate) const NOBODY: Self = Self { who: Who::NOBODY, key: 0 };

    /// One who has not proven to exist.
    pub(crate) fn unproven(addr: Addr) -> Self {
        Self { key: addr.key(), ..Self::NOBODY }
    }
}

/// The hosts that are watched.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// By address; of each, the number under which the inventory keeps it.
    table: Table<Addr, usize>,
    /// By the inventory's numbers, so that nobody has to be searched for whom the inventory has found already.
    standing: Vec<(Addr, Party)>,
}

impl Hosts {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: Table::new(limit), standing: Vec::new() }
    }

    /// One who is watched already, by his number in the inventory, if it knows him.
    pub(crate) fn find(&mut self, addr: Addr, number: Option<usize>) -> Option<Party> {
        if let Some((known, party)) = number.and_then(|number| self.standing.get(number))
            && *known == addr
            && party.who.is_somebody()
        {
            self.table.touch(party.who.0);
            return Some(*party);
        }
        let who = Who(self.table.find(&addr)?);
        let party = Party { who, key: addr.key() };
        if let Some(number) = number {
            self.stand(number, addr, party);
        }
        Some(party)
    }

    /// The number of a host that was not watched; and whether it was another's until now, of whom everything is to be
    /// forgotten.
    pub(crate) fn watch(&mut self, addr: Addr, number: usize) -> (Party, bool) {
        let place = self.table.place(addr, || number);
        if let Some(before) = place.gone {
            self.leave(before, Who(place.slot));
        }
        let party = Party { who: Who(place.slot), key: addr.key() };
        self.stand(number, addr, party);
        (party, place.gone.is_some())
    }

    /// Notes where somebody stands.
    fn stand(&mut self, number: usize, addr: Addr, party: Party) {
        let before = std::mem::replace(self.table.at_mut(party.who.0), number);
        if before != number {
            self.leave(before, party.who);
        }
        if self.standing.len() <= number {
            self.standing.resize(number + 1, (addr, Party::NOBODY));
        }
        self.standing[number] = (addr, party);
    }

    /// Nobody stands any more where somebody stood.
    fn leave(&mut self, number: usize, who: Who) {
        if let Some((_, party)) = self.standing.get_mut(number).filter(|(_, party)| party.who == who) {
            *party = Party::NOBODY;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// A channel that is watched: who asks whom by which protocol, whatever conversations that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// A small number under which detectors keep what they know of it.
    place: u32,
    /// A digest of its ends and its protocol.
    pub(crate) key: u64,
}

/// The channels that are watched.
#[derive(Debug)]
pub(crate) struct Channels {
    table: Table<u64, ()>,
}

impl Channels {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: Table::new(limit) }
    }

    /// A digest of who asks whom by which protocol.
    pub(crate) fn key(client: Party, server: Party, protocol: &str) -> u64 {
        mix(mix(client.key, server.key), digest_of(&[protocol.as_bytes()]))
    }

    /// The channel of that digest; and whether its number was another's until now, of which everything is to be
    /// forgotten.
    pub(crate) fn channel(&mut self, key: u64) -> (Channel, bool) {
        let place = self.table.place(key, || ());
        (Channel { place: place.slot, key }, place.gone.is_some())
    }
}

/// Something that has a small number of its own.
pub(crate) trait Numbered: Copy {
    fn number(self) -> usize;
}

impl Numbered for Who {
    fn number(self) -> usize {
        self.0 as usize
    }
}

impl Numbered for Channel {
    fn number(self) -> usize {
        self.place as usize
    }
}

/// Something that is known of each of those that need it.
#[derive(Debug)]
pub(crate) struct Per<N, T>(Vec<Option<Box<T>>>, PhantomData<fn(N)>);

/// Something that is known of each host that needs it.
pub(crate) type PerHost<T> = Per<Who, T>;

impl<N, T> Default for Per<N, T> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<N: Numbered, T> Per<N, T> {
    /// What is known of one; hosts must be somebody.
    pub(crate) fn of(&mut self, one: N) -> &mut T
    where
        T: Default,
    {
        self.of_or(one, T::default)
    }

    /// The same, and what it begins with.
    pub(crate) fn of_or(&mut self, one: N, make: impl FnOnce() -> T) -> &mut T {
        let at = one.number();
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at].get_or_insert_with(|| Box::new(make()))
    }

    /// What is known of one, if something is.
    pub(crate) fn get(&self, one: N) -> Option<&T> {
        self.0.get(one.number())?.as_deref()
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, one: N) -> Option<&mut T> {
        self.0.get_mut(one.number())?.as_deref_mut()
    }

    /// Forgets what is known of one.
    pub(crate) fn forget(&mut self, one: N) {
        if let Some(known) = self.0.get_mut(one.number()) {
            *known = None;
        }
    }

    /// What is known of all, by their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten().map(|known| &**known)
    }

    /// The same, to change it.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten().map(|known| &mut **known)
    }
}

/// What is learnt of each of those that need it, and survives a restart.
#[derive(Debug)]
pub(crate) struct Kept<N, T> {
    held: Per<N, T>,
    /// What was kept of those that were not seen again yet, by their digests: they have no numbers.
    waiting: BTreeMap<u64, T>,
}

impl<N, T> Default for Kept<N, T> {
    fn default() -> Self {
        Self { held: Per::default(), waiting: BTreeMap::new() }
    }
}

impl<N: Numbered, T> Kept<N, T> {
    /// What is known of one, or what it begins with; its digest is asked only when it is seen for the first time.
    pub(crate) fn of_or(&mut self, one: N, key: impl FnOnce() -> u64, make: impl FnOnce(u64) -> T) -> &mut T {
        let waiting = &mut self.waiting;
        self.held.of_or(one, || {
            let key = key();
            waiting.remove(&key).unwrap_or_else(|| make(key))
        })
    }

    /// What is known of one, if something is, to change it.
    pub(crate) fn get_mut(&mut self, one: N) -> Option<&mut T> {
        self.held.get_mut(one)
    }

    /// Forgets what is known of one.
    pub(crate) fn forget(&mut self, one: N) {
        self.held.forget(one);
    }

    /// Everything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.held.iter().chain(self.waiting.values())
    }

    /// What is known of those that were seen, to change it.
    pub(crate) fn seen_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.held.iter_mut()
    }

    /// Takes back what was kept of one with this digest that is seen later, while fewer than `limit` wait.
    pub(crate) fn take_back(&mut self, key: u64, kept: T, limit: usize) {
        if self.waiting.len() < limit {
            self.waiting.insert(key, kept);
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
        let (first, _) = hosts.watch(addr(1), 7);
        assert_eq!((hosts.find(addr(1), Some(7)), hosts.find(addr(1), None)), (Some(first), Some(first)));
        let (second, _) = hosts.watch(addr(2), 8);
        hosts.find(addr(1), Some(7));
        // The first was used since, the second was not.
        let (third, was_another) = hosts.watch(addr(3), 9);
        assert_eq!((third.who, was_another), (second.who, true));
        assert_eq!((hosts.find(addr(2), Some(8)), hosts.find(addr(2), None), hosts.len()), (None, None, 2));
    }

    #[test]
    fn a_number_of_the_inventory_that_became_anothers_is_not_taken_for_the_first() {
        let mut hosts = Hosts::new(2);
        let addr = |last| Addr::of_ip(IpAddr::from([10, 0, 0, last]));
        let (first, _) = hosts.watch(addr(1), 7);
        let (second, _) = hosts.watch(addr(2), 7);
        assert_eq!((hosts.find(addr(2), Some(7)), hosts.find(addr(3), Some(7))), (Some(second), None));
        // The first comes back and stands elsewhere now.
        assert_eq!((hosts.find(addr(1), Some(9)), hosts.find(addr(1), Some(9))), (Some(first), Some(first)));
        assert_eq!(hosts.find(addr(2), Some(7)), Some(second));
    }
}
