//! Whether a description allows a conversation, and by which rule.

use std::net::IpAddr;

use model::{MacAddr, Transport};

use crate::file::{Ace, Acl, AclKind, Forwarding, Initiator, Ip, IpVersion, L4, Matches, MudFile, authority};

/// Servers of the domain name system (RFC 8520, section 17.6).
pub const CLASS_DNS: &str = "urn:ietf:params:mud:dns";
/// Servers of the time (RFC 8520, section 17.6).
pub const CLASS_NTP: &str = "urn:ietf:params:mud:ntp";
/// The gateway. Not registered; others use it.
pub const CLASS_GATEWAY: &str = "urn:ietf:params:mud:gateway";

/// The other end of a conversation, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Names that its address was found by, in any case.
    pub names: Vec<String>,
    /// Its network address.
    pub address: Option<IpAddr>,
    /// Its link-layer address.
    pub mac: Option<MacAddr>,
    /// Whether it lies in the local networks. Addresses that no router forwards always do.
    pub is_local: bool,
    /// Classes of controllers that it is in, as URIs.
    pub classes: Vec<String>,
    /// Whether the administrator has made it a controller of the device.
    pub is_my_controller: bool,
    /// Whether it is known to be of the device's maker, by other means than its MUD URL.
    pub is_same_manufacturer: bool,
    /// Its MUD URL, if that can be trusted: who only claims to be of a maker is not (RFC 8520, section 16).
    pub mud_url: Option<String>,
}

impl Peer {
    /// Whether it is local (RFC 8520, section 4.5): by what is known, or because no router forwards to such an address.
    pub fn is_local(&self) -> bool {
        self.is_local || self.address.is_some_and(|address| is_never_routed(&address))
    }

    /// Whether it is of a class.
    pub fn is_of(&self, class: &str) -> bool {
        self.classes.iter().any(|one| one == class)
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|one| one.strip_suffix('.').unwrap_or(one).eq_ignore_ascii_case(name))
    }
}

/// Whether an address is one that stays in the site by its kind: link-local (RFC 3927; RFC 4291, section 2.5.6),
/// broadcast (RFC 919), multicast of the link or the site (RFC 5771, section 4; RFC 2365, section 6; RFC 7346, section
/// 2), unspecified or loopback.
pub fn is_never_routed(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_unspecified()
                || ip.is_loopback()
                || (a, b, c) == (224, 0, 0)
                || (a, b) == (239, 255)
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_multicast() && ip.octets()[1] & 0x0f <= 5
        }
    }
}

/// A conversation of the device with one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Who opened it.
    pub initiator: Initiator,
    /// The other end.
    pub peer: Peer,
    /// The device's own address, where it is known.
    pub device: Option<IpAddr>,
    /// The version of IP; without one the conversation is not over IP.
    pub version: Option<IpVersion>,
    /// What carries it.
    pub transport: Transport,
    /// The device's port, where there is one.
    pub device_port: Option<u16>,
    /// The peer's port, where there is one.
    pub peer_port: Option<u16>,
    /// Type and code of the first ICMP message.
    pub icmp: Option<(u8, u8)>,
    /// Whether the other end sends something too.
    pub is_answered: bool,
}

/// What a description says about the packets of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ruling<'a> {
    /// A rule decides.
    Rule {
        /// Its list.
        acl: &'a Acl,
        /// The rule.
        ace: &'a Ace,
    },
    /// DNS and NTP with the servers of those classes are allowed unless a rule says otherwise (RFC 8520, section 5).
    Default,
    /// No rule matches: it is forbidden (RFC 8520, section 5).
    NoRule,
    /// It is not carried by IP, and no rule is about it.
    NotGoverned,
}

impl Ruling<'_> {
    /// Whether packets go through.
    pub fn is_allowed(&self) -> bool {
        match self {
            Self::Rule { ace, .. } => ace.forwarding == Forwarding::Accept,
            Self::Default | Self::NotGoverned => true,
            Self::NoRule => false,
        }
    }
}

/// What a description says about a conversation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision<'a> {
    /// About what the device sends, if it sends.
    pub from_device: Option<Ruling<'a>>,
    /// About what the device is sent, if it is.
    pub to_device: Option<Ruling<'a>>,
}

impl<'a> Decision<'a> {
    /// Whether all packets go through.
    pub fn is_allowed(&self) -> bool {
        [self.from_device, self.to_device].iter().flatten().all(Ruling::is_allowed)
    }

    /// The first of the rulings that forbids, with the direction; `None` if there is none.
    pub fn obstacle(&self) -> Option<(Initiator, Ruling<'a>)> {
        [(Initiator::Device, self.from_device), (Initiator::Peer, self.to_device)]
            .into_iter()
            .filter_map(|(from, ruling)| Some((from, ruling?)))
            .find(|(_, ruling)| !ruling.is_allowed())
    }
}

/// Whether a description allows a conversation: both what opens it and what answers must go through.
///
/// The lists of a policy are asked in their order, their rules in theirs; the first rule of which all conditions hold
/// decides (RFC 8519, section 4.1). A rule with a condition that is not understood never allows ([`Ace::is_partial`]).
pub fn decide<'a>(file: &'a MudFile, conversation: &Conversation) -> Decision<'a> {
    let icmp = |from| icmp_from(conversation, from);
    let is_sent = |from| {
        from == conversation.initiator
            || conversation.is_answered && (conversation.icmp.is_none() || icmp(from).is_some())
    };
    let rule = |from| is_sent(from).then(|| ruling(file, conversation, from, icmp(from)));
    Decision { from_device: rule(Initiator::Device), to_device: rule(Initiator::Peer) }
}

/// The ICMP message that one end sends: the first one, or the answer where it follows from that.
fn icmp_from(conversation: &Conversation, from: Initiator) -> Option<(u8, u8)> {
    let (kind, code) = conversation.icmp?;
    if from == conversation.initiator {
        return Some((kind, code));
    }
    match (conversation.transport, kind) {
        // RFC 792; RFC 4443, section 4; RFC 4861, section 4.
        (Transport::Icmp, 8) => Some((0, 0)),
        (Transport::Icmp, 13) => Some((14, 0)),
        (Transport::Icmpv6, 128) => Some((129, 0)),
        (Transport::Icmpv6, 133) => Some((134, 0)),
        (Transport::Icmpv6, 135) => Some((136, 0)),
        _ => None,
    }
}

/// The number of what is carried by IP (IANA).
pub(crate) const fn protocol(transport: Transport) -> Option<u8> {
    match transport {
        Transport::Tcp => Some(6),
        Transport::Udp => Some(17),
        Transport::Sctp => Some(132),
        Transport::Icmp => Some(1),
        Transport::Icmpv6 => Some(58),
        Transport::Ip(number) => Some(number),
        Transport::Ether(_) | Transport::Can | Transport::Wpan => None,
    }
}

fn ruling<'a>(
    file: &'a MudFile,
    conversation: &Conversation,
    from: Initiator,
    icmp: Option<(u8, u8)>,
) -> Ruling<'a> {
    let packet = Packet { file, conversation, from, icmp };
    let names = match from {
        Initiator::Device => &file.from_device,
        Initiator::Peer => &file.to_device,
    };
    for acl in names.iter().filter_map(|name| file.acl(name)).filter(|acl| packet.is_in(acl.kind)) {
        let decides = |ace: &&Ace| {
            packet.matches(&ace.matches) && !(ace.forwarding == Forwarding::Accept && ace.is_partial())
        };
        if let Some(ace) = acl.aces.iter().find(decides) {
            return Ruling::Rule { acl, ace };
        }
    }
    if conversation.version.is_none() {
        Ruling::NotGoverned
    } else if is_default(conversation) {
        Ruling::Default
    } else {
        Ruling::NoRule
    }
}

/// RFC 8520, section 5 and appendix A: the device may ask local servers for names and the time.
pub(crate) fn is_default(conversation: &Conversation) -> bool {
    let asks = |port, class| conversation.peer_port == Some(port) && conversation.peer.is_of(class);
    match conversation.transport {
        _ if conversation.initiator == Initiator::Peer => false,
        Transport::Udp => asks(53, CLASS_DNS) || asks(123, CLASS_NTP),
        Transport::Tcp => asks(53, CLASS_DNS),
        _ => false,
    }
}

/// The packets that one end sends.
struct Packet<'a> {
    file: &'a MudFile,
    conversation: &'a Conversation,
    from: Initiator,
    icmp: Option<(u8, u8)>,
}

impl Packet<'_> {
    /// Whether a list of a kind is about such packets.
    fn is_in(&self, kind: Option<AclKind>) -> bool {
        match (kind, self.conversation.version) {
            (None | Some(AclKind::Eth | AclKind::MixedEthIpv4Ipv6), _) => true,
            (Some(AclKind::Ipv4 | AclKind::MixedEthIpv4), Some(version)) => version == IpVersion::V4,
            (Some(AclKind::Ipv6 | AclKind::MixedEthIpv6), Some(version)) => version == IpVersion::V6,
            (Some(kind), None) => !matches!(kind, AclKind::Ipv4 | AclKind::Ipv6),
        }
    }

    fn matches(&self, matches: &Matches) -> bool {
        let Matches { mud, eth, ip, l4 } = matches;
        let peer = &self.conversation.peer;
        let maker = || peer.mud_url.as_deref().and_then(authority);
        mud.manufacturer.as_ref().is_none_or(|name| {
            maker().is_some_and(|maker| authority(&format!("https://{name}")) == Some(maker))
        }) && (!mud.same_manufacturer
            || peer.is_same_manufacturer
            || maker().is_some_and(|maker| self.file.authority() == Some(maker)))
            && mud.model.as_ref().is_none_or(|url| peer.mud_url.as_ref() == Some(url))
            && (!mud.local_networks || peer.is_local())
            && mud.controller.as_ref().is_none_or(|class| peer.is_of(class))
            && (!mud.my_controller || peer.is_my_controller)
            && eth.as_ref().is_none_or(|eth| self.matches_eth(eth))
            && ip.as_ref().is_none_or(|ip| self.matches_ip(ip))
            && l4.as_ref().is_none_or(|l4| self.matches_l4(l4))
            // A rule with no condition, in a list without a kind, is about IP.
            && (self.conversation.version.is_some() || eth.is_some())
    }

    fn matches_eth(&self, eth: &crate::file::Eth) -> bool {
        let kind = match (self.conversation.transport, self.conversation.version) {
            (Transport::Ether(kind), _) => Some(kind),
            (_, Some(IpVersion::V4)) => Some(0x0800),
            (_, Some(IpVersion::V6)) => Some(0x86dd),
            _ => None,
        };
        let (to_peer, of_device) = match self.from {
            Initiator::Device => (eth.destination, eth.source),
            Initiator::Peer => (eth.source, eth.destination),
        };
        eth.ethertype.is_none_or(|wanted| kind == Some(wanted))
            && to_peer.is_none_or(|mac| self.conversation.peer.mac == Some(mac))
            // Descriptions are of kinds of devices: one with an address of its own is of none.
            && of_device.is_none()
    }

    fn matches_ip(&self, ip: &Ip) -> bool {
        let (device, peer) = (self.conversation.device, &self.conversation.peer);
        let (peer_network, device_network, peer_name, device_name) = match self.from {
            Initiator::Device => (ip.destination, ip.source, &ip.destination_name, &ip.source_name),
            Initiator::Peer => (ip.source, ip.destination, &ip.source_name, &ip.destination_name),
        };
        let lies_in = |address: Option<IpAddr>, network: crate::file::Network| {
            address.is_some_and(|address| network.contains(address))
        };
        self.conversation.version == Some(ip.version)
            && ip.protocol.is_none_or(|number| protocol(self.conversation.transport) == Some(number))
            && peer_network.is_none_or(|network| lies_in(peer.address, network))
            && device_network.is_none_or(|network| lies_in(device, network))
            && peer_name.as_ref().is_none_or(|name| peer.has_name(name))
            && device_name.is_none()
    }

    fn matches_l4(&self, l4: &L4) -> bool {
        let conversation = self.conversation;
        let (source_port, destination_port) = match self.from {
            Initiator::Device => (conversation.device_port, conversation.peer_port),
            Initiator::Peer => (conversation.peer_port, conversation.device_port),
        };
        let is_in = |ports: &Option<crate::file::Ports>, port: Option<u16>| {
            ports.is_none_or(|ports| port.is_some_and(|port| ports.contains(port)))
        };
        match l4 {
            L4::Tcp { source, destination, initiated } => {
                conversation.transport == Transport::Tcp
                    && is_in(source, source_port)
                    && is_in(destination, destination_port)
                    && initiated.is_none_or(|side| side == conversation.initiator)
            }
            L4::Udp { source, destination } => {
                conversation.transport == Transport::Udp
                    && is_in(source, source_port)
                    && is_in(destination, destination_port)
            }
            L4::Icmp { kind, code } => {
                matches!(conversation.transport, Transport::Icmp | Transport::Icmpv6)
                    && kind.is_none_or(|kind| self.icmp.is_some_and(|icmp| icmp.0 == kind))
                    && code.is_none_or(|code| self.icmp.is_some_and(|icmp| icmp.1 == code))
            }
        }
    }
}
