//! Networks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network in CIDR notation (RFC 4632, RFC 4291 section 2.3), or one address. Bits beyond the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// The network of that prefix length that holds the address; a length beyond the address's width is its width. An
    /// IPv4 address in the form of IPv6 is IPv4.
    pub fn new(address: IpAddr, length: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(ip) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(ip.to_bits() & mask).into(), length }
            }
            IpAddr::V6(ip) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv6Addr::from_bits(ip.to_bits() & mask).into(), length }
            }
        }
    }

    /// One address.
    pub fn host(address: IpAddr) -> Self {
        Self::new(address, 128)
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The last address.
    pub fn last(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(ip) => {
                let rest = u32::MAX.checked_shr(self.length.into()).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() | rest).into()
            }
            IpAddr::V6(ip) => {
                let rest = u128::MAX.checked_shr(self.length.into()).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() | rest).into()
            }
        }
    }

    /// The length of the prefix, in bits.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether an address lies in it. An IPv4 address may be in either form.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.address.is_ipv4() && Self::new(ip, self.length).address == self.address
    }

    /// Whether all of another lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }
}

/// The text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a network: expected an address such as 10.0.0.5 or a network such as 10.0.0.0/24")
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse().map_err(|_| NetworkError)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let (most, mapped) = match address {
            IpAddr::V4(_) => (32, 0),
            // A prefix of the IPv4 part of the form of IPv6.
            IpAddr::V6(ip) => (128, if ip.to_ipv4_mapped().is_some() { 96 } else { 0 }),
        };
        match length.unwrap_or(most) {
            length if length > most || length < mapped => Err(NetworkError),
            length => Ok(Self::new(address, length - mapped)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.length) {
            (IpAddr::V4(ip), 32) => ip.fmt(f),
            (IpAddr::V6(ip), 128) => ip.fmt(f),
            (ip, length) => write!(f, "{ip}/{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_lies_between_their_first_and_last_address() {
        let network: Network = "10.1.2.3/16".parse().unwrap();
        assert_eq!(network.to_string(), "10.1.0.0/16");
        assert_eq!(network.last().to_string(), "10.1.255.255");
        for (ip, holds) in
            [("10.1.255.255", true), ("10.2.0.0", false), ("::ffff:10.1.0.1", true), ("::1", false)]
        {
            assert_eq!(network.contains(ip.parse().unwrap()), holds, "{ip}");
        }
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains("ffff::1".parse().unwrap()) && !all.contains("10.0.0.1".parse().unwrap()));
        assert_eq!(all.last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!("0.0.0.0/0".parse::<Network>().unwrap().last().to_string(), "255.255.255.255");
        assert_eq!("::ffff:10.0.0.0/104".parse::<Network>(), "10.0.0.0/8".parse());
        assert!(
            network.covers(&"10.1.7.0/24".parse().unwrap())
                && !network.covers(&"10.0.0.0/8".parse().unwrap())
        );
        for bad in ["10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "x", "::ffff:0:0/95"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }
}
