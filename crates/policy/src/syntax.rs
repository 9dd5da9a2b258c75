//! What a policy says: statement by statement, as it is written.

mod parse;
mod print;
#[cfg(test)]
mod tests;

pub use parse::{MAX_BYTES, MAX_LIST, MAX_PROBLEMS, parse};
pub(crate) use print::{Quoted, has_ports};

use model::{DeviceId, MacAddr, OperationKind, Transport};
use query::{Expr, Network};

use crate::Place;

/// A policy. The order of its statements never matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What the place is called.
    pub site: Option<Box<str>>,
    /// Names for services.
    pub services: Vec<ServiceDefinition>,
    /// Names for devices and addresses.
    pub groups: Vec<Group>,
    /// Zones (IEC 62443-3-2).
    pub zones: Vec<Zone>,
    /// What may cross between zones at all.
    pub conduits: Vec<Conduit>,
    /// What is allowed and denied.
    pub rules: Vec<Rule>,
    /// What must never be possible, whatever the rules say.
    pub invariants: Vec<Invariant>,
    /// Who may never be cut off by a response.
    pub guards: Vec<Guard>,
    /// What the rules are expected to come to.
    pub expectations: Vec<Rule>,
}

/// `zone NAME { level N  criticality WORD  members … }`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Its name, shared with groups.
    pub name: Box<str>,
    /// Its level in the Purdue model.
    pub level: Option<Level>,
    /// How bad it is if something happens to it.
    pub criticality: Option<Criticality>,
    /// Who is in it.
    pub members: Vec<Term>,
    /// Where it stands.
    pub place: Place,
}

/// A level of the Purdue model (ISA-95): 0 process, 1 basic control, 2 supervision, 3 operations, 3.5 the zone between,
/// 4 and 5 the enterprise. In tenths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// The Internet stands where the enterprise ends.
    pub const INTERNET: Self = Self(50);
    /// The greatest number that a level has.
    pub const MAX: u8 = 5;

    /// From tenths: 35 is level 3.5. None above level 5.
    pub const fn from_tenths(tenths: u8) -> Option<Self> {
        if tenths <= Self::MAX * 10 { Some(Self(tenths)) } else { None }
    }

    /// In tenths.
    pub const fn tenths(self) -> u8 {
        self.0
    }
}

/// How bad it is if something happens to a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criticality {
    /// Little.
    Low,
    /// Noticeable.
    Medium,
    /// Bad.
    High,
    /// Life and limb, or the site's whole purpose.
    Critical,
}

impl Criticality {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// `group NAME = TERM, TERM`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name, shared with zones.
    pub name: Box<str>,
    /// Who is in it.
    pub members: Vec<Term>,
    /// Where it stands.
    pub place: Place,
}

/// `service NAME = SERVICE, SERVICE`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceDefinition {
    /// Its name, shared with protocols.
    pub name: Box<str>,
    /// What it is.
    pub services: Vec<Service>,
    /// Where it stands.
    pub place: Place,
}

/// `conduit ZONE -> ZONE { SERVICE, SERVICE }`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conduit {
    /// The zone that asks.
    pub from: Box<str>,
    /// The zone that is asked.
    pub to: Box<str>,
    /// All that may cross; nothing if it is empty.
    pub services: Vec<Service>,
    /// Where it stands.
    pub place: Place,
}

/// Whether something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

impl Verdict {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// `allow "label" TERMS -> TERMS SERVICES OPERATIONS`, and the same with `deny` and `expect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether it may or may not.
    pub verdict: Verdict,
    /// What people call it.
    pub label: Option<Box<str>>,
    /// Who opens the conversation.
    pub from: Vec<Term>,
    /// To whom.
    pub to: Vec<Term>,
    /// By what; in a `deny` none means any.
    pub services: Vec<Service>,
    /// What is asked there; none means anything.
    pub operations: Vec<Operation>,
    /// Where it stands.
    pub place: Place,
}

/// An operation in a rule: `write holding-registers 100-120`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What is asked.
    pub kind: OperationKind,
    /// Of what; none means of anything. See [`Target`](crate::Target).
    pub target: Option<Box<str>>,
}

/// `never "label" TERMS reach TERMS`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invariant {
    /// What people call it.
    pub label: Option<Box<str>>,
    /// Who must not get there, not even through hosts that are taken over on the way.
    pub from: Vec<Term>,
    /// Where.
    pub to: Vec<Term>,
    /// Where it stands.
    pub place: Place,
}

/// `guard TERMS`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Who may never be cut off by a response.
    pub members: Vec<Term>,
    /// Where it stands.
    pub place: Place,
}

/// Somebody: in a list, all that one of the terms means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// `anyone`: any single host, inside or outside.
    Anyone,
    /// `internet`: whoever is elsewhere in the Internet.
    Internet,
    /// `local`: any single host that is not elsewhere in the Internet.
    Local,
    /// `multicast`: groups of hosts (RFC 5771, RFC 4291). Only ever asked, never asking.
    Multicast,
    /// `broadcast`: all hosts of a link. Only ever asked, never asking.
    Broadcast,
    /// A zone or a group.
    Name(Box<str>),
    /// A device, by its id.
    Device(DeviceId),
    /// A link-layer address, and the device that has it.
    Mac(MacAddr),
    /// A network or an address, and the devices that have an address there.
    Network(Network),
    /// A name in the DNS, such as `"time.example.com"` or `"*.example.com"`, with the addresses that it has. Only ever
    /// asked, never asking.
    Domain(Box<str>),
    /// Devices for which an expression holds.
    Query(Expr),
}

/// By what hosts talk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// `any`: by anything.
    Any,
    /// A protocol that Pavise knows, where it is usually found; or a service that the policy defines.
    Named(Box<str>),
    /// What a transport carries: `tcp/502`, `udp/1000-2000`, `tcp`, `ether-88b8`.
    Carrier {
        /// The transport.
        transport: Transport,
        /// The first port; 0 where the transport has none.
        first: u16,
        /// The last port; 65535 where the transport has none.
        last: u16,
    },
}

/// The word for a kind of operation, as in JSON.
pub const fn operation_name(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Discover => "discover",
        OperationKind::Identify => "identify",
        OperationKind::Read => "read",
        OperationKind::Write => "write",
        OperationKind::Subscribe => "subscribe",
        OperationKind::Publish => "publish",
        OperationKind::Execute => "execute",
        OperationKind::Configure => "configure",
        OperationKind::Start => "start",
        OperationKind::Stop => "stop",
        OperationKind::Restart => "restart",
        OperationKind::ChangeMode => "change-mode",
        OperationKind::ProgramDownload => "program-download",
        OperationKind::ProgramUpload => "program-upload",
        OperationKind::FirmwareUpdate => "firmware-update",
        OperationKind::SetTime => "set-time",
        OperationKind::Authenticate => "authenticate",
        OperationKind::TransferFile => "transfer-file",
        OperationKind::Diagnose => "diagnose",
    }
}

/// All kinds of operation.
pub const OPERATIONS: [OperationKind; 19] = [
    OperationKind::Discover,
    OperationKind::Identify,
    OperationKind::Read,
    OperationKind::Write,
    OperationKind::Subscribe,
    OperationKind::Publish,
    OperationKind::Execute,
    OperationKind::Configure,
    OperationKind::Start,
    OperationKind::Stop,
    OperationKind::Restart,
    OperationKind::ChangeMode,
    OperationKind::ProgramDownload,
    OperationKind::ProgramUpload,
    OperationKind::FirmwareUpdate,
    OperationKind::SetTime,
    OperationKind::Authenticate,
    OperationKind::TransferFile,
    OperationKind::Diagnose,
];

/// Words that are no names of zones, groups or services.
const RESERVED: [&str; 12] = [
    "anyone",
    "internet",
    "local",
    "multicast",
    "broadcast",
    "any",
    "reach",
    "and",
    "or",
    "not",
    "members",
    "level",
];

/// Whether a text can name a zone, a group or a service: a letter, then letters, digits, `-`, `_` and `.`; no word of
/// the language, and nothing that reads as an address, an id or a port.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic())
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !RESERVED.contains(&text)
        && OPERATIONS.iter().all(|kind| operation_name(*kind) != text)
        && text.parse::<DeviceId>().is_err()
        && text.parse::<MacAddr>().is_err()
        && parse::carrier(text).is_none()
}
