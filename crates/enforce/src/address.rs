//! Addresses and networks as rules name them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use model::MacAddr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A network in CIDR notation (RFC 4632, RFC 4291 section 2.3), or one address. Bits beyond the prefix are zero, and an
/// IPv4 address in IPv6 form is IPv4, so that one network has one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// All IPv4 addresses.
    pub const ALL_IPV4: Self = Self { address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), length: 0 };
    /// All IPv6 addresses.
    pub const ALL_IPV6: Self = Self { address: IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), length: 0 };

    /// The network of which `address` is one, or `None` if `length` exceeds 32 (IPv4) or 128 (IPv6) bits.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let (address, length) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), canonical @ IpAddr::V4(_)) => (canonical, length.checked_sub(96)?),
            (_, canonical) => (canonical, length),
        };
        let address = match address {
            IpAddr::V4(ip) if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) if length <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
            _ => return None,
        };
        Some(Self { address, length })
    }

    /// One address.
    pub fn host(ip: IpAddr) -> Self {
        let address = ip.to_canonical();
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Its first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits all its addresses share.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether it is of IPv4.
    pub const fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether it is one address.
    pub const fn is_host(&self) -> bool {
        self.length == if self.is_ipv4() { 32 } else { 128 }
    }

    /// Whether an address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.holds(&Self::host(ip))
    }

    /// Whether all of another network lies in it.
    pub fn holds(&self, other: &Self) -> bool {
        self.length <= other.length && Self::new(other.address, self.length).is_some_and(|wide| wide == *self)
    }

    /// The two halves of it; the same one twice if it is one address.
    pub(crate) fn halves(&self) -> [Self; 2] {
        if self.is_host() {
            return [*self; 2];
        }
        let length = self.length + 1;
        let upper = match self.address {
            IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() | 1 << (32 - length)).into()),
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() | 1 << (128 - length)).into()),
        };
        [Self { length, ..*self }, Self { address: upper, length }]
    }

    /// Whether they share an address. Two networks are one in the other, or apart.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.holds(other) || other.holds(self)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.length)
        }
    }
}

/// The networks of a list without those that lie in others, sorted.
pub(crate) fn outermost(networks: impl IntoIterator<Item = Network>) -> Vec<Network> {
    let mut sorted: Vec<_> = networks.into_iter().collect();
    // By first address, then widest first: whatever lies in a network follows it at once.
    sorted.sort_unstable();
    let mut kept: Vec<Network> = Vec::with_capacity(sorted.len());
    for network in sorted {
        if !kept.last().is_some_and(|last| last.holds(&network)) {
            kept.push(network);
        }
    }
    kept
}

/// Under what a device or a party is known: its link-layer address, its network address, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An address or a network.
    Net(Network),
    /// A link-layer address.
    Mac(MacAddr),
}

impl Address {
    /// Whether whatever is named by the other is named by this one, too.
    pub fn holds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Net(one), Self::Net(other)) => one.holds(other),
            (Self::Mac(one), Self::Mac(other)) => one == other,
            _ => false,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self::Net(Network::host(ip))
    }
}

impl From<Network> for Address {
    fn from(network: Network) -> Self {
        Self::Net(network)
    }
}

impl From<MacAddr> for Address {
    fn from(mac: MacAddr) -> Self {
        Self::Mac(mac)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(network) => network.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// The text is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: expected 10.0.0.5, 10.0.0.0/24, fd00::5 or 00:1b:1b:4f:00:01")]
pub struct AddressError(String);

impl FromStr for Network {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.into());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        match length {
            Some(length) => Self::new(address, length).ok_or_else(wrong),
            None => Ok(Self::host(address)),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.parse() {
            Ok(mac) => Ok(Self::Mac(mac)),
            Err(_) => text.parse().map(Self::Net),
        }
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
as_text!(Network, Address);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn one_network_has_one_value() {
        assert_eq!(net("10.1.2.3/8"), net("10.0.0.0/8"));
        assert_eq!(net("::ffff:10.1.2.3"), net("10.1.2.3"));
        assert_eq!(net("::ffff:10.1.2.3/104"), net("10.0.0.0/8"));
        assert_eq!(net("10.1.2.3/0").to_string(), "0.0.0.0/0");
        assert_eq!(net("fd00::5/128").to_string(), "fd00::5");
        for bad in ["", "10.0.0.0/33", "fd00::/129", "10.0.0", "10.0.0.0/", "::ffff:1.2.3.4/95", "host"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_come_back_from_their_text() {
        for text in ["10.0.0.5", "10.0.0.0/24", "fd00::5", "fd00::/64", "00:1b:1b:4f:00:01"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn the_outermost_networks_hold_the_same_addresses_and_do_not_overlap(
            nets in prop::collection::vec((0u32..64, 26u8..=32), 0..12), probe in 0u32..64
        ) {
            let nets: Vec<_> = nets.iter()
                .map(|&(ip, length)| Network::new(IpAddr::V4(ip.into()), length).unwrap()).collect();
            let kept = outermost(nets.iter().copied());
            let ip = IpAddr::V4(probe.into());
            let holding = kept.iter().filter(|net| net.contains(ip)).count();
            prop_assert_eq!(holding, usize::from(nets.iter().any(|net| net.contains(ip))));
        }
    }
}
