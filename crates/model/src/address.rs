//! Who a packet came from and went to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An EUI-48 link-layer address (IEEE 802).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the address is a group address (multicast or broadcast): I/G bit set.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether the address was assigned locally and so names no vendor: U/L bit set.
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// Whether the address can be one station's own: neither a group address nor all zeros.
    pub const fn is_station(self) -> bool {
        !self.is_group() && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The text was not six hexadecimal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddrError;

impl fmt::Display for MacAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a MAC address: expected six hexadecimal bytes such as 00:1b:1b:4f:00:01")
    }
}

impl std::error::Error for MacAddrError {}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() <= 2).ok_or(MacAddrError)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacAddrError)?;
        }
        if parts.next().is_some() { Err(MacAddrError) } else { Ok(Self(bytes)) }
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A host as a packet names it: the link-layer address of the frame and the network address.
///
/// The two need not belong to one device: behind a router the link-layer address is the router's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Host {
    /// The link-layer address, where the link has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mac: Option<MacAddr>,
    /// The network address, where the packet has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<IpAddr>,
}

impl Host {
    /// A host known by its link-layer address alone.
    pub const fn from_mac(mac: MacAddr) -> Self {
        Self { mac: Some(mac), ip: None }
    }

    /// A host known by its network address alone.
    pub const fn from_ip(ip: IpAddr) -> Self {
        Self { mac: None, ip: Some(ip) }
    }

    /// Whether two are the same as far as their addresses tell: the network address where there is one, an IPv4 address
    /// in either form (RFC 4291, section 2.5.5.2), else the link-layer address.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.ip, other.ip) {
            (Some(ip), Some(other)) => ip.to_canonical() == other.to_canonical(),
            (None, None) => self.mac.is_some() && self.mac == other.mac,
            _ => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.mac) {
            (Some(ip), _) => write!(f, "{ip}"),
            (None, Some(mac)) => write!(f, "{mac}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// One end of a conversation: a host and its port (0 where the transport has none).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host.
    #[serde(flatten)]
    pub host: Host,
    /// The port; 0 where the transport has none.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.ip, self.port) {
            (_, 0) => write!(f, "{}", self.host),
            (Some(IpAddr::V6(ip)), port) => write!(f, "[{ip}]:{port}"),
            (_, port) => write!(f, "{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_text_comes_back_and_nonsense_is_refused() {
        let mac: MacAddr = "00-1B:1b:4f:00:01".parse().unwrap();
        assert_eq!(mac.to_string(), "00:1b:1b:4f:00:01");
        for bad in ["", "00:11:22:33:44", "00:11:22:33:44:55:66", "00:11:22:33:44:gg", "001:1:2:3:4:5"] {
            assert_eq!(bad.parse::<MacAddr>(), Err(MacAddrError), "{bad}");
        }
    }

    #[test]
    fn group_and_local_addresses_are_told_apart() {
        assert!(MacAddr::BROADCAST.is_group());
        assert!(MacAddr([0x02, 0, 0, 0, 0, 1]).is_local());
        assert!(!MacAddr([0; 6]).is_station());
        assert!(MacAddr([0, 0x1b, 0x1b, 0, 0, 1]).is_station());
    }
}
