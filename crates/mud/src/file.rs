//! A description as structures.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use model::MacAddr;
use serde_json::Value;

/// What was not understood, by its path below where it is kept (RFC 6901, section 3, without the first slash).
/// It is written again where it stood.
pub type Unknown = BTreeMap<String, Value>;

/// A description of one kind of device (RFC 8520, section 2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MudFile {
    /// Where the file is found; `https` (section 3.2).
    pub url: String,
    /// When it was made, as written: RFC 3339 with an offset (section 3.4).
    pub last_update: String,
    /// Where its signature is found (section 13.1).
    pub signature: Option<String>,
    /// How long it may be used before it is to be asked for again, in hours from 1 to 168; 48 if absent (section 3.5).
    pub cache_validity: Option<u8>,
    /// Whether the maker still looks after the device (section 3.6).
    pub is_supported: bool,
    /// What the device is, in no more than 60 characters (section 3.7).
    pub systeminfo: Option<String>,
    /// The maker's name (section 3.8).
    pub mfg_name: Option<String>,
    /// The model's name (section 3.8).
    pub model_name: Option<String>,
    /// The firmware's revision (section 3.8).
    pub firmware_rev: Option<String>,
    /// The software's revision (section 3.8).
    pub software_rev: Option<String>,
    /// Where documentation is found (section 4.3).
    pub documentation: Option<String>,
    /// Extensions that the file says it uses (section 3.9).
    pub extensions: Vec<String>,
    /// Names of the access lists for what the device sends (section 3.3).
    pub from_device: Vec<String>,
    /// Names of the access lists for what the device is sent (section 3.3).
    pub to_device: Vec<String>,
    /// All access lists.
    pub acls: Vec<Acl>,
    /// What else the file says, outside of its access lists.
    pub unknown: Unknown,
}

impl MudFile {
    /// The access list of that name.
    pub fn acl(&self, name: &str) -> Option<&Acl> {
        self.acls.iter().find(|acl| acl.name == name)
    }

    /// The authority of the MUD URL in lower case, by which a maker is known (RFC 8520, section 4.1): host and, where
    /// it is not 443, port.
    pub fn authority(&self) -> Option<String> {
        authority(&self.url)
    }

    /// All rules, each with its access list.
    pub fn aces(&self) -> impl Iterator<Item = (&Acl, &Ace)> {
        self.acls.iter().flat_map(|acl| acl.aces.iter().map(move |ace| (acl, ace)))
    }
}

/// The authority of an `https` URL in lower case, without the usual port; `None` for other URLs, and for those that
/// name a user or no host.
pub(crate) fn authority(url: &str) -> Option<String> {
    let rest = url.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://")).and(url.get(8..))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority.as_str(), None),
    };
    let is_literal = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    let is_name =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    match port {
        _ if !is_literal && !is_name => None,
        None | Some("" | "443") => Some(host.to_owned()),
        Some(port) => port.parse::<u16>().ok().filter(|port| *port != 0).map(|port| format!("{host}:{port}")),
    }
}

/// An access list (RFC 8519, section 4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Acl {
    /// The name by which policies refer to it.
    pub name: String,
    /// What it is about.
    pub kind: Option<AclKind>,
    /// Its rules. The first that matches decides.
    pub aces: Vec<Ace>,
    /// What else it says.
    pub unknown: Unknown,
}

/// The kinds of access lists (RFC 8519, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclKind {
    /// For IPv4.
    Ipv4,
    /// For IPv6.
    Ipv6,
    /// For Ethernet.
    Eth,
    /// For Ethernet and IPv4.
    MixedEthIpv4,
    /// For Ethernet and IPv6.
    MixedEthIpv6,
    /// For Ethernet, IPv4 and IPv6.
    MixedEthIpv4Ipv6,
}

impl AclKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ipv4, Self::Ipv6, Self::Eth, Self::MixedEthIpv4, Self::MixedEthIpv6, Self::MixedEthIpv4Ipv6];

    /// The identity's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4-acl-type",
            Self::Ipv6 => "ipv6-acl-type",
            Self::Eth => "eth-acl-type",
            Self::MixedEthIpv4 => "mixed-eth-ipv4-acl-type",
            Self::MixedEthIpv6 => "mixed-eth-ipv6-acl-type",
            Self::MixedEthIpv4Ipv6 => "mixed-eth-ipv4-ipv6-acl-type",
        }
    }
}

/// A rule (RFC 8519, section 4.1: access control entry).
#[derive(Clone, Debug, PartialEq)]
pub struct Ace {
    /// Its name in its list.
    pub name: String,
    /// All that must hold for it to decide; nothing means that it always does.
    pub matches: Matches,
    /// What is done.
    pub forwarding: Forwarding,
    /// What else it says. Under `matches/`, conditions that are not understood.
    pub unknown: Unknown,
}

impl Ace {
    /// Whether it has a condition that is not understood. It then allows nothing, and forbids as though the condition
    /// held: what is not understood must never give access.
    pub fn is_partial(&self) -> bool {
        self.unknown.keys().any(|path| path.starts_with("matches/"))
    }
}

/// What is done with a packet (RFC 8519, section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forwarding {
    /// It is let through.
    Accept,
    /// It is dropped.
    #[default]
    Drop,
    /// It is dropped, and the sender is told.
    Reject,
}

impl Forwarding {
    /// The identity's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

/// What must hold for a rule to decide: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matches {
    /// Who the other end is (RFC 8520, section 4).
    pub mud: MudMatch,
    /// What the frame says.
    pub eth: Option<Eth>,
    /// What the IP header says.
    pub ip: Option<Ip>,
    /// What the header above says.
    pub l4: Option<L4>,
}

/// Who the other end must be (RFC 8520, section 4).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MudMatch {
    /// A device whose MUD URL has this authority (section 4.1).
    pub manufacturer: Option<String>,
    /// A device whose MUD URL has the same authority (section 4.2).
    pub same_manufacturer: bool,
    /// A device with this MUD URL (section 4.4).
    pub model: Option<String>,
    /// In the local networks (section 4.5).
    pub local_networks: bool,
    /// Of the class that this URI names (section 4.6).
    pub controller: Option<String>,
    /// A controller that the administrator has given to this kind of device (section 4.7).
    pub my_controller: bool,
}

/// Conditions on the Ethernet header (RFC 8519, section 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Eth {
    /// EtherType (IEEE 802), or the frame's length.
    pub ethertype: Option<u16>,
    /// From whom.
    pub source: Option<MacAddr>,
    /// To whom.
    pub destination: Option<MacAddr>,
}

/// Versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

impl IpVersion {
    /// The version of an address.
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The name of its conditions (RFC 8519, section 4.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// Conditions on the IP header (RFC 8519, section 4.2), and on the names of addresses (RFC 8520, section 8).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ip {
    /// Which version.
    pub version: IpVersion,
    /// What is carried, by IANA's number.
    pub protocol: Option<u8>,
    /// Where it comes from.
    pub source: Option<Network>,
    /// Where it goes.
    pub destination: Option<Network>,
    /// The name of where it comes from, in lower case without the last dot.
    pub source_name: Option<String>,
    /// The name of where it goes, in lower case without the last dot.
    pub destination_name: Option<String>,
}

impl Ip {
    /// Any packet of a version.
    pub const fn any(version: IpVersion) -> Self {
        Self {
            version,
            protocol: None,
            source: None,
            destination: None,
            source_name: None,
            destination_name: None,
        }
    }
}

/// Conditions above IP (RFC 8519, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum L4 {
    /// TCP.
    Tcp {
        /// The sender's ports.
        source: Option<Ports>,
        /// The receiver's ports.
        destination: Option<Ports>,
        /// Who must have opened the connection (RFC 8520, section 4.8).
        initiated: Option<Initiator>,
    },
    /// UDP.
    Udp {
        /// The sender's ports.
        source: Option<Ports>,
        /// The receiver's ports.
        destination: Option<Ports>,
    },
    /// ICMP or ICMPv6.
    Icmp {
        /// Type.
        kind: Option<u8>,
        /// Code.
        code: Option<u8>,
    },
}

/// Who opened a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Initiator {
    /// The device that is described: `from-device`.
    Device,
    /// The other end: `to-device`.
    Peer,
}

impl Initiator {
    /// The value of `direction-initiated` (RFC 8520, section 4.8).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "from-device",
            Self::Peer => "to-device",
        }
    }
}

/// Ports (RFC 8519, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// This one.
    Eq(u16),
    /// All but this one.
    Neq(u16),
    /// This one and those below.
    Lte(u16),
    /// This one and those above.
    Gte(u16),
    /// From the first to the second, both among them; the first is not above the second.
    Range(u16, u16),
}

impl Ports {
    /// Whether a port is among them.
    pub const fn contains(self, port: u16) -> bool {
        match self {
            Self::Eq(one) => port == one,
            Self::Neq(one) => port != one,
            Self::Lte(top) => port <= top,
            Self::Gte(bottom) => port >= bottom,
            Self::Range(bottom, top) => bottom <= port && port <= top,
        }
    }

    /// How many they are.
    pub const fn len(self) -> u32 {
        match self {
            Self::Eq(_) => 1,
            Self::Neq(_) => 65_535,
            Self::Lte(top) => top as u32 + 1,
            Self::Gte(bottom) => 65_536 - bottom as u32,
            Self::Range(bottom, top) => top as u32 - bottom as u32 + 1,
        }
    }

    /// Never: there is always one.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Them as runs of ports from the first to the last, the second empty but for [`Ports::Neq`].
    pub(crate) const fn runs(self) -> [Option<(u16, u16)>; 2] {
        match self {
            Self::Eq(one) => [Some((one, one)), None],
            Self::Lte(top) => [Some((0, top)), None],
            Self::Gte(bottom) => [Some((bottom, u16::MAX)), None],
            Self::Range(bottom, top) => [Some((bottom, top)), None],
            Self::Neq(0) => [Some((1, u16::MAX)), None],
            Self::Neq(u16::MAX) => [Some((0, u16::MAX - 1)), None],
            Self::Neq(one) => [Some((0, one - 1)), Some((one + 1, u16::MAX))],
        }
    }

    /// Whether all of the others are among these.
    pub fn covers(self, other: Self) -> bool {
        other.runs().into_iter().flatten().all(|(bottom, top)| {
            self.runs().into_iter().flatten().any(|(first, last)| first <= bottom && top <= last)
        })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eq(one) => write!(f, "{one}"),
            Self::Neq(one) => write!(f, "!={one}"),
            Self::Lte(top) => write!(f, "<={top}"),
            Self::Gte(bottom) => write!(f, ">={bottom}"),
            Self::Range(bottom, top) => write!(f, "{bottom}-{top}"),
        }
    }
}

/// A network as an address with the bits beyond the prefix cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of that prefix in which the address lies; `None` if the prefix is longer than an address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(ip) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
            }
            IpAddr::V6(ip) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
            _ => return None,
        };
        Some(Self { address, prefix })
    }

    /// One address.
    pub const fn host(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }

    /// Its first address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The length of its prefix, in bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self::new(address, self.prefix).is_some_and(|network| network.address == self.address)
    }

    /// Whether all of another network lies in it.
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = ();

    /// Reads an address with or without a prefix; without one it is one host.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        match prefix {
            None => Ok(Self::host(address)),
            Some(prefix) if prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::new(address, prefix.parse().map_err(|_| ())?).ok_or(())
            }
            Some(_) => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ports() -> impl Strategy<Value = Ports> {
        let port = prop_oneof![0_u16..12, 65_525_u16..=65_535];
        (0..5, port.clone(), port).prop_map(|(kind, one, other)| match kind {
            0 => Ports::Eq(one),
            1 => Ports::Neq(one),
            2 => Ports::Lte(one),
            3 => Ports::Gte(one),
            _ => Ports::Range(one.min(other), one.max(other)),
        })
    }

    proptest! {
        #[test]
        fn ports_cover_others_if_each_is_among_them(one in ports(), other in ports()) {
            let all = || 0..=u16::MAX;
            prop_assert_eq!(one.covers(other), all().all(|port| !other.contains(port) || one.contains(port)));
            prop_assert_eq!(one.len() as usize, all().filter(|port| one.contains(*port)).count());
        }

        #[test]
        fn networks_contain_what_shares_their_first_bits(a in any::<u32>(), b in any::<u32>(), prefix in 0_u8..=32) {
            let network = Network::new(Ipv4Addr::from_bits(a).into(), prefix).unwrap();
            let share = (a ^ b).leading_zeros() >= u32::from(prefix);
            prop_assert_eq!(network.contains(Ipv4Addr::from_bits(b).into()), share);
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }
    }

    #[test]
    fn authorities_are_compared_as_hosts() {
        for (url, expected) in [
            ("https://Mud.Example/x", Some("mud.example")),
            ("HTTPS://mud.example:443?x", Some("mud.example")),
            ("https://mud.example:8443/x", Some("mud.example:8443")),
            ("https://[2001:db8::1]/x", Some("[2001:db8::1]")),
            ("https://[2001:db8::1]:8443/x", Some("[2001:db8::1]:8443")),
            ("http://mud.example/x", None),
            ("https://", None),
            ("https:///x", None),
            ("https://user@mud.example/x", None),
            ("https://mud.example:port/x", None),
            ("https://mud.example:0/x", None),
            ("https://[::1/x", None),
            ("https://b\u{fc}ro.example/x", None),
        ] {
            assert_eq!(authority(url).as_deref(), expected, "{url}");
        }
    }
}
