//! What can be done about an incident.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{DeviceId, FlowHead, FlowId, Host, IncidentId, MacAddr, Transport};
use serde::{Deserialize, Serialize};

use crate::{Address, Network, Ports};

/// Most addresses, networks or needs of one action.
pub const TARGETS_MAX: usize = 1_024;
/// Most conversations that a blast radius names.
pub const BLAST_MAX: usize = 1_000;

/// Something that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Cut a device off from everything but what it needs for its work.
    Contain {
        /// Its addresses; at least one is a network address.
        device: Vec<Address>,
        /// What it needs.
        needed: Vec<Need>,
    },
    /// Cut a device off from everything.
    Quarantine {
        /// Its addresses.
        device: Vec<Address>,
    },
    /// Drop what a device sends beyond a rate.
    RateLimit {
        /// Its addresses.
        device: Vec<Address>,
        /// Packets in a second that pass, for each address.
        packets_per_s: u32,
    },
    /// Cut everyone, or one device, off from a destination.
    BlockDestination {
        /// The device's network addresses; empty for everyone.
        device: Vec<Network>,
        /// The destination.
        to: Vec<Network>,
    },
    /// End a conversation: both ends of a TCP one are sent a reset with their next packet, where the kernel can.
    KillSession {
        /// The conversation.
        session: Session,
    },
    /// Take a credential back, through whoever issues them.
    RevokeCredential {
        /// Its name with the issuer.
        credential: String,
        /// Whose it is, as far as that is known: the issuer may know it by another name.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        holder: Option<Box<Holder>>,
    },
    /// Do it if a person says so.
    AskPerson {
        /// What is asked.
        question: String,
        /// What is done then.
        then: Box<Action>,
    },
    /// Tell people.
    Notify {
        /// What is told.
        text: String,
    },
}

/// Most names, addresses and certificates of a holder that are told.
pub const HOLDER_MAX: usize = 32;

/// Whose a credential is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The device.
    pub device: DeviceId,
    /// What it is called, the best known first.
    pub names: Vec<String>,
    /// Its link-layer addresses.
    pub macs: Vec<MacAddr>,
    /// Its network addresses.
    pub addresses: Vec<IpAddr>,
    /// Certificates that it has shown.
    pub certificates: Vec<SeenCertificate>,
}

/// A certificate that a device has shown of itself (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeenCertificate {
    /// Its serial number, as hexadecimal digits.
    pub serial: String,
    /// Who issued it, as a distinguished name.
    pub issuer: String,
    /// Its fingerprint: SHA-256 of all of it, as hexadecimal digits.
    pub sha256: String,
}

/// What a contained device needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Need {
    /// With whom.
    pub peer: Network,
    /// 6 for TCP, 17 for UDP, 132 for SCTP (IANA protocol numbers).
    pub protocol: u8,
    /// The ports of the end that is asked.
    pub ports: Ports,
    /// Whether the device opens the conversation, or its peer.
    pub device_opens: bool,
}

/// A conversation by its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// 6 for TCP, 17 for UDP, 132 for SCTP (IANA protocol numbers).
    pub protocol: u8,
    /// Who opened it.
    pub client: SocketAddr,
    /// Who was asked.
    pub server: SocketAddr,
}

/// An action that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is to be done.
    pub action: Action,
    /// For how long; what cannot be undone ignores it.
    pub life: Duration,
    /// Why, for whoever reads the journal.
    pub reason: String,
    /// For which incident.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<IncidentId>,
}

/// Names an action: a digest of what it does to whom, so that the same action asked for twice is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionId(pub u64);

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{:016x}", self.0)
    }
}

/// The text is not the id of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an action's id: expected a and 16 hexadecimal digits")]
pub struct ActionIdError;

impl std::str::FromStr for ActionId {
    type Err = ActionIdError;

    fn from_str(text: &str) -> Result<Self, ActionIdError> {
        let digits = text.strip_prefix('a').filter(|digits| digits.len() == 16).ok_or(ActionIdError)?;
        u64::from_str_radix(digits, 16).map(Self).map_err(|_| ActionIdError)
    }
}

/// Why an action is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It would cut off who must never be.
    #[error(
        "{target} is, or holds, the guarded {guard}: act on the other end, or take it off the guard list"
    )]
    Guarded {
        /// Whom it would cut off.
        target: Address,
        /// Who is guarded.
        guard: Address,
    },
    /// It is about nobody.
    #[error("it is about no address: name at least one{0}")]
    NoTarget(&'static str),
    /// It is about more than one action may be.
    #[error("it is about {0} targets, which is more than 1024: act on the network they are in")]
    TooManyTargets(usize),
    /// It lasts too short or too long.
    #[error("it would last {0:?}: between a second and 30 days can be asked for")]
    Life(Duration),
    /// More would be in force than the limit.
    #[error("{0} actions are in force, which is the limit: revert some first")]
    TooMany(usize),
    /// More were asked for in an hour than the limit.
    #[error("{0} actions were taken within an hour, which is the limit: have a person look first")]
    TooOften(usize),
    /// Ports or a rate that make no sense.
    #[error("{0}")]
    Senseless(&'static str),
}

impl Action {
    /// Its id. What is known of a credential's holder may grow: the credential is the same.
    pub fn id(&self) -> ActionId {
        let text = match self {
            Self::RevokeCredential { credential, .. } => serde_json::to_string(&Self::RevokeCredential {
                credential: credential.clone(),
                holder: None,
            }),
            other => serde_json::to_string(other),
        };
        let text = text.unwrap_or_default();
        // 64-bit FNV-1a.
        ActionId(text.bytes().fold(0xcbf2_9ce4_8422_2325, |digest: u64, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// Its name as it stands in settings.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Contain { .. } => "contain",
            Self::Quarantine { .. } => "quarantine",
            Self::RateLimit { .. } => "rate-limit",
            Self::BlockDestination { .. } => "block-destination",
            Self::KillSession { .. } => "kill-session",
            Self::RevokeCredential { .. } => "revoke-credential",
            Self::AskPerson { .. } => "ask",
            Self::Notify { .. } => "notify",
        }
    }

    /// Whether the firewall carries it out.
    pub const fn is_of_firewall(&self) -> bool {
        !matches!(self, Self::RevokeCredential { .. } | Self::AskPerson { .. } | Self::Notify { .. })
    }

    /// Whom it would cut off from anything.
    fn targets(&self) -> Vec<Address> {
        match self {
            Self::Contain { device, .. } | Self::Quarantine { device } | Self::RateLimit { device, .. } => {
                device.clone()
            }
            Self::BlockDestination { device, to } => {
                device.iter().chain(to).copied().map(Address::Net).collect()
            }
            Self::KillSession { session } => vec![session.client.ip().into(), session.server.ip().into()],
            Self::AskPerson { then, .. } => then.targets(),
            Self::RevokeCredential { .. } | Self::Notify { .. } => Vec::new(),
        }
    }

    /// Whether it makes sense and cuts off nobody who is guarded.
    ///
    /// # Errors
    ///
    /// Why it is not done.
    pub fn validate(&self, guard: &[Address]) -> Result<(), Refusal> {
        let targets = self.targets();
        let needs = if let Self::Contain { needed, .. } = self { needed.as_slice() } else { &[] };
        if targets.len() + needs.len() > TARGETS_MAX {
            return Err(Refusal::TooManyTargets(targets.len() + needs.len()));
        }
        for &target in &targets {
            if let Some(&guard) = guard.iter().find(|guard| guard.holds(&target) || target.holds(guard)) {
                return Err(Refusal::Guarded { target, guard });
            }
        }
        let is_network = |address: &Address| matches!(address, Address::Net(network) if !network.is_host());
        let named = match self {
            Self::BlockDestination { device, .. } => device.iter().any(|network| !network.is_host()),
            _ => targets.iter().any(is_network),
        };
        match self {
            // A question is judged by what it asks about.
            _ if named && !matches!(self, Self::AskPerson { .. }) => Err(Refusal::Senseless(
                "a device is named by its addresses: a network cannot be acted on as one",
            )),
            Self::Contain { device, .. }
                if !device.iter().any(|address| matches!(address, Address::Net(_))) =>
            {
                Err(Refusal::NoTarget(" of the network, or quarantine the device"))
            }
            Self::Quarantine { device } | Self::RateLimit { device, .. } if device.is_empty() => {
                Err(Refusal::NoTarget(""))
            }
            Self::BlockDestination { to, .. } if to.is_empty() => Err(Refusal::NoTarget(" to block")),
            Self::RateLimit { packets_per_s: 0, .. } => {
                Err(Refusal::Senseless("a rate of 0 passes nothing: quarantine the device"))
            }
            Self::KillSession { session } if session.client.is_ipv4() != session.server.is_ipv4() => {
                Err(Refusal::Senseless("the ends of a conversation are both of IPv4, or both of IPv6"))
            }
            Self::Contain { .. } if needs.iter().any(|need| need.ports.first > need.ports.last) => {
                Err(Refusal::Senseless("of a need's ports the first is above the last"))
            }
            Self::AskPerson { then, .. } if matches!(**then, Self::AskPerson { .. }) => {
                Err(Refusal::Senseless("asking whether to ask leads nowhere: ask about the action itself"))
            }
            Self::AskPerson { then, .. } => then.validate(guard),
            _ => Ok(()),
        }
    }

    /// Whether it would cut a conversation, or slow it down.
    pub fn cuts(&self, flow: &FlowHead) -> bool {
        let ends = [&flow.client.host, &flow.server.host];
        match self {
            Self::Quarantine { device } => ends.iter().any(|host| is_of(device, host)),
            Self::RateLimit { device, .. } => ends.iter().any(|host| is_of(device, host)),
            Self::Contain { device, needed } => {
                let is_needed = |device_opens: bool, peer: &Host| {
                    needed.iter().any(|need| {
                        need.device_opens == device_opens
                            && Some(need.protocol) == number(flow.transport)
                            && (need.ports.first..=need.ports.last).contains(&flow.server.port)
                            && peer.ip.is_some_and(|ip| need.peer.contains(ip))
                    })
                };
                is_of(device, ends[0]) && !is_needed(true, ends[1])
                    || is_of(device, ends[1]) && !is_needed(false, ends[0])
            }
            Self::BlockDestination { device, to } => {
                let within = |networks: &[Network], host: &Host| {
                    host.ip.is_some_and(|ip| networks.iter().any(|network| network.contains(ip)))
                };
                [(0, 1), (1, 0)].iter().any(|&(one, other)| {
                    within(to, ends[one]) && (device.is_empty() || within(device, ends[other]))
                })
            }
            Self::KillSession { session } => {
                let is = |endpoint: &model::Endpoint, at: SocketAddr| {
                    endpoint.host.ip.is_some_and(|ip| ip.to_canonical() == at.ip().to_canonical())
                        && endpoint.port == at.port()
                };
                number(flow.transport) == Some(session.protocol)
                    && is(&flow.client, session.client)
                    && is(&flow.server, session.server)
            }
            Self::AskPerson { then, .. } => then.cuts(flow),
            Self::RevokeCredential { .. } | Self::Notify { .. } => false,
        }
    }
}

fn is_of(device: &[Address], host: &Host) -> bool {
    device.iter().any(|address| match address {
        Address::Net(network) => host.ip.is_some_and(|ip: IpAddr| network.contains(ip)),
        Address::Mac(mac) => host.mac == Some(*mac),
    })
}

/// The IANA number of a transport above IP.
const fn number(transport: Transport) -> Option<u8> {
    match transport {
        Transport::Icmp => Some(1),
        Transport::Tcp => Some(6),
        Transport::Udp => Some(17),
        Transport::Icmpv6 => Some(58),
        Transport::Sctp => Some(132),
        Transport::Ip(number) => Some(number),
        Transport::Ether(_) | Transport::Can | Transport::Wpan => None,
    }
}

/// What an action would cut, of the conversations that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlastRadius {
    /// Who would be cut off from somebody: all ends of those conversations.
    pub hosts: BTreeSet<Host>,
    /// How many conversations.
    pub flows: usize,
    /// The first [`BLAST_MAX`] of them.
    pub first: Vec<FlowId>,
}

impl BlastRadius {
    /// That of an action among these conversations.
    pub fn of<'a>(action: &Action, flows: impl IntoIterator<Item = &'a FlowHead>) -> Self {
        let mut radius = Self::default();
        for flow in flows.into_iter().filter(|flow| action.cuts(flow)) {
            radius.hosts.extend([flow.client.host, flow.server.host]);
            radius.flows += 1;
            if radius.first.len() < BLAST_MAX {
                radius.first.push(flow.id);
            }
        }
        radius
    }
}
