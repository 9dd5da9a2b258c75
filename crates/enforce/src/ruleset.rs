//! What is to be in force, as plain data: the input of everything here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::MacAddr;
use serde::{Deserialize, Serialize};

use crate::{Address, Network};

/// Most classes of a ruleset.
pub const CLASSES_MAX: usize = 200_000;
/// Most allows of a ruleset.
pub const ALLOWS_MAX: usize = 4_000_000;
/// Most addresses of all classes together.
pub const MEMBERS_MAX: usize = 2_000_000;
/// Most different DNS names.
pub const NAMES_MAX: usize = 4_096;
/// Most bytes of a class's or rule's name: what nftables takes as a comment, without its terminator.
pub const NAME_BYTES_MAX: usize = 127;

/// Where packets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Through a router: what the host forwards between its networks.
    #[default]
    Routed,
    /// Through a bridge: the host is a bump in the wire.
    Bridged,
}

/// Whether what is not allowed is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Count what would be cut, cut nothing.
    #[default]
    Observe,
    /// Cut what is not allowed.
    Enforce,
}

/// Everything that is to be in force. What comes from or goes to a member of a class is cut unless an allow says otherwise;
/// replies belong to the conversation that was allowed; hosts of no class are left alone unless `strict`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruleset {
    /// Where packets pass.
    #[serde(default)]
    pub family: Family,
    /// Whether what is not allowed is cut.
    #[serde(default)]
    pub mode: Mode,
    /// Whether what passes between hosts of no class is cut, too.
    #[serde(default)]
    pub strict: bool,
    /// Whether conversations are counted for each rule of single devices, too. Costs memory for each such rule.
    #[serde(default)]
    pub count_singles: bool,
    /// Devices that may do the same.
    #[serde(default)]
    pub classes: Vec<Class>,
    /// Networks that allows name together.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// What is allowed.
    #[serde(default)]
    pub allows: Vec<Allow>,
    /// Whose packets are never cut by these rules.
    #[serde(default)]
    pub guard: Vec<Address>,
}

/// Devices that may do the same. An address of one device is in no other class; a network may lie in that of another class
/// and so may an address: the narrower holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name, by which allows refer to it.
    pub name: String,
    /// Who is in it.
    pub members: Vec<Address>,
}

/// Networks and addresses that many allows name. To be in one is not to be managed, and one can be in several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name, by which allows refer to it.
    pub name: String,
    /// What it holds.
    pub networks: Vec<Network>,
}

/// Something that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// The rule's name; several allows may make one rule.
    pub name: String,
    /// Who opens the conversation.
    pub from: End,
    /// Whom it is opened to.
    pub to: End,
    /// By what.
    pub service: Service,
}

/// One end of what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The members of a class.
    Class(String),
    /// Networks and addresses.
    Networks(Vec<Network>),
    /// Those of a group.
    Group(String),
    /// Whatever addresses a DNS name has: learnt from the answers that are seen, for as long as these say.
    Name(String),
    /// Anyone.
    Anyone,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(name) => write!(f, "class {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Networks(networks) => {
                let texts: Vec<_> = networks.iter().map(Network::to_string).collect();
                f.write_str(&texts.join(", "))
            }
            Self::Name(name) => write!(f, "{name}"),
            Self::Anyone => f.write_str("anyone"),
        }
    }
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Ports {
    /// All ports.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// One port.
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// How many there are; none if the last is below the first.
    pub const fn count(self) -> usize {
        (self.last as usize + 1).saturating_sub(self.first as usize)
    }

    /// What is left of them without others: up to two pieces.
    pub(crate) fn without(self, other: Self) -> impl Iterator<Item = Self> {
        let before =
            other.first.checked_sub(1).map(|last| Self { first: self.first, last: self.last.min(last) });
        let after =
            other.last.checked_add(1).map(|first| Self { first: self.first.max(first), last: self.last });
        [before, after].into_iter().flatten().filter(|ports| ports.first <= ports.last)
    }

    /// Whether it is one port.
    pub const fn is_one(self) -> bool {
        self.first == self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one() { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Ports without overlap, neighbours joined, sorted; no ports at all stand for all.
pub(crate) fn joined(ports: &[Ports]) -> Vec<Ports> {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    let mut out: Vec<Ports> = Vec::with_capacity(sorted.len());
    for next in sorted {
        match out.last_mut() {
            Some(last) if u32::from(next.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(next.last);
            }
            _ => out.push(next),
        }
    }
    if out.is_empty() { vec![Ports::ALL] } else { out }
}

/// By what is spoken. An empty list stands for all ports or types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Anything.
    Any,
    /// TCP to these ports.
    Tcp(Vec<Ports>),
    /// UDP to these ports.
    Udp(Vec<Ports>),
    /// SCTP to these ports.
    Sctp(Vec<Ports>),
    /// ICMP messages of these types (RFC 792).
    Icmp(Vec<u8>),
    /// ICMPv6 messages of these types (RFC 4443).
    Icmpv6(Vec<u8>),
    /// Another protocol above IP, by its IANA number.
    Ip(u8),
    /// Straight on the link, by EtherType (IEEE 802.3): on a bridge, between link-layer addresses.
    Ether(u16),
}

impl Service {
    /// Protocol number and ports, for those that have ports.
    pub fn ports(&self) -> Option<(u8, &[Ports])> {
        match self {
            Self::Tcp(ports) => Some((6, ports)),
            Self::Udp(ports) => Some((17, ports)),
            Self::Sctp(ports) => Some((132, ports)),
            _ => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list(f: &mut fmt::Formatter<'_>, name: &str, of: &[impl ToString]) -> fmt::Result {
            f.write_str(name)?;
            if of.is_empty() {
                return Ok(());
            }
            let texts: Vec<_> = of.iter().map(ToString::to_string).collect();
            write!(f, " {}", texts.join(","))
        }
        match self {
            Self::Any => f.write_str("anything"),
            Self::Tcp(ports) => list(f, "tcp", ports),
            Self::Udp(ports) => list(f, "udp", ports),
            Self::Sctp(ports) => list(f, "sctp", ports),
            Self::Icmp(types) => list(f, "icmp", types),
            Self::Icmpv6(types) => list(f, "icmpv6", types),
            Self::Ip(number) => write!(f, "ip-{number}"),
            Self::Ether(number) => write!(f, "ether-{number:04x}"),
        }
    }
}

/// Why a ruleset cannot be in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesetError {
    /// Something is more than its limit.
    #[error("{count} {what} are more than {limit}: split the ruleset by site")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Two classes have one name.
    #[error("there are two classes {0:?}: give one another name")]
    TwoClasses(String),
    /// An address is in two classes.
    #[error("{address} is in class {one:?} and in class {other:?}: take it out of one")]
    InTwo {
        /// Which.
        address: Address,
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// A name that cannot be told.
    #[error(
        "the name {0:?} is empty, longer than 127 bytes, or has quotes or control characters: choose another"
    )]
    BadName(String),
    /// An allow names a class that is not there.
    #[error("rule {rule:?} names the class {class:?}, which is not there: add it or correct the name")]
    NoClass {
        /// Which rule.
        rule: String,
        /// The class.
        class: String,
    },
    /// An allow names a group that is not there.
    #[error("rule {rule:?} names the group {group:?}, which is not there: add it or correct the name")]
    NoGroup {
        /// Which rule.
        rule: String,
        /// The group.
        group: String,
    },
    /// Two groups have one name.
    #[error("there are two groups {0:?}: give one another name")]
    TwoGroups(String),
    /// No end of an allow is managed.
    #[error("rule {0:?} is about no class: one of its ends must be one")]
    NoEnd(String),
    /// Who opens is a name.
    #[error("rule {0:?} is from a DNS name: only those who are asked can be told by name")]
    FromName(String),
    /// A range that ends before it begins.
    #[error("rule {rule:?} has the ports {ports}: the first must not be above the last")]
    BadPorts {
        /// Which rule.
        rule: String,
        /// The ports.
        ports: Ports,
    },
    /// A DNS name that is none.
    #[error(
        "rule {rule:?} names {name:?}, which is no DNS name: expected labels of letters, digits, - and _"
    )]
    BadDnsName {
        /// Which rule.
        rule: String,
        /// The name.
        name: String,
    },
    /// A link-layer address that belongs to no single station.
    #[error("class {class:?} has the member {mac}, which is no station's address")]
    NoStation {
        /// Which class.
        class: String,
        /// The address.
        mac: MacAddr,
    },
}

/// A DNS name in the form in which it is compared (RFC 4343): lower case, without the dot at the end; `None` if it is none
/// (RFC 1035, section 2.3.4; underscores as in RFC 8552).
pub fn dns_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    (name.len() <= 253 && name.split('.').all(label)).then_some(name)
}

impl Ruleset {
    /// Whether it can be in force.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of the lists.
    pub fn validate(&self) -> Result<(), RulesetError> {
        let many = |what, count, limit| {
            if count > limit { Err(RulesetError::TooMany { what, count, limit }) } else { Ok(()) }
        };
        many("classes", self.classes.len(), CLASSES_MAX)?;
        many("allows", self.allows.len(), ALLOWS_MAX)?;
        many("members", self.classes.iter().map(|class| class.members.len()).sum(), MEMBERS_MAX)?;
        many("guarded addresses", self.guard.len(), MEMBERS_MAX)?;
        many("networks of groups", self.groups.iter().map(|group| group.networks.len()).sum(), MEMBERS_MAX)?;
        self.validate_classes()?;
        let mut groups = BTreeSet::new();
        for group in &self.groups {
            named(&group.name)?;
            if !groups.insert(group.name.as_str()) {
                return Err(RulesetError::TwoGroups(group.name.clone()));
            }
        }
        let mut names = BTreeSet::new();
        let classes: BTreeSet<&str> = self.classes.iter().map(|class| class.name.as_str()).collect();
        for allow in &self.allows {
            self.validate_allow(allow, &classes, &groups, &mut names)?;
        }
        many("DNS names", names.len(), NAMES_MAX)
    }

    fn validate_classes(&self) -> Result<(), RulesetError> {
        let mut classes = BTreeSet::new();
        let mut owners: BTreeMap<Address, &str> = BTreeMap::new();
        for class in &self.classes {
            named(&class.name)?;
            if !classes.insert(class.name.as_str()) {
                return Err(RulesetError::TwoClasses(class.name.clone()));
            }
            for &address in &class.members {
                if let Address::Mac(mac) = address
                    && !mac.is_station()
                {
                    return Err(RulesetError::NoStation { class: class.name.clone(), mac });
                }
                if let Some(one) = owners.insert(address, &class.name)
                    && one != class.name
                {
                    let (one, other) = (one.to_owned(), class.name.clone());
                    return Err(RulesetError::InTwo { address, one, other });
                }
            }
        }
        Ok(())
    }

    fn validate_allow(
        &self,
        allow: &Allow,
        classes: &BTreeSet<&str>,
        groups: &BTreeSet<&str>,
        names: &mut BTreeSet<String>,
    ) -> Result<(), RulesetError> {
        named(&allow.name)?;
        for end in [&allow.from, &allow.to] {
            if let End::Class(class) = end
                && !classes.contains(class.as_str())
            {
                return Err(RulesetError::NoClass { rule: allow.name.clone(), class: class.clone() });
            }
            if let End::Group(group) = end
                && !groups.contains(group.as_str())
            {
                return Err(RulesetError::NoGroup { rule: allow.name.clone(), group: group.clone() });
            }
        }
        if !matches!(allow.from, End::Class(_)) && !matches!(allow.to, End::Class(_)) {
            return Err(RulesetError::NoEnd(allow.name.clone()));
        }
        if matches!(allow.from, End::Name(_)) {
            return Err(RulesetError::FromName(allow.name.clone()));
        }
        if let End::Name(name) = &allow.to {
            let canonical = dns_name(name)
                .ok_or_else(|| RulesetError::BadDnsName { rule: allow.name.clone(), name: name.clone() })?;
            names.insert(canonical);
        }
        let ports = allow.service.ports().map_or(&[][..], |(_, ports)| ports);
        match ports.iter().find(|ports| ports.first > ports.last) {
            Some(&ports) => Err(RulesetError::BadPorts { rule: allow.name.clone(), ports }),
            None => Ok(()),
        }
    }
}

/// A name is told in comments of rules, in quotes.
fn named(name: &str) -> Result<(), RulesetError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && !name.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        Ok(())
    } else {
        Err(RulesetError::BadName(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, members: &[&str]) -> Class {
        Class { name: name.into(), members: members.iter().map(|text| text.parse().unwrap()).collect() }
    }

    fn allow(from: End, to: End) -> Allow {
        Allow { name: "r".into(), from, to, service: Service::Any }
    }

    #[test]
    fn what_cannot_be_in_force_is_refused_with_its_reason() {
        let of = |classes: Vec<Class>, allows: Vec<Allow>| {
            Ruleset { classes, allows, ..Ruleset::default() }.validate().map_err(|error| error.to_string())
        };
        let a = || vec![class("a", &["10.0.0.1"])];
        let refused = |result: Result<(), String>, part: &str| {
            let error = result.unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        assert_eq!(of(a(), vec![allow(End::Class("a".into()), End::Anyone)]), Ok(()));
        refused(of(vec![class("a", &[]), class("a", &[])], vec![]), "two classes");
        refused(of(vec![class("a", &["10.0.0.1"]), class("b", &["10.0.0.1"])], vec![]), "in class \"a\" and");
        refused(of(vec![class("a\"", &[])], vec![]), "quotes");
        refused(of(vec![class(&"a".repeat(NAME_BYTES_MAX + 1), &[])], vec![]), "127");
        refused(of(vec![class("a", &["ff:ff:ff:ff:ff:ff"])], vec![]), "no station");
        refused(of(a(), vec![allow(End::Class("b".into()), End::Anyone)]), "not there");
        refused(of(a(), vec![allow(End::Anyone, End::Anyone)]), "no class");
        refused(of(a(), vec![allow(End::Class("a".into()), End::Group("g".into()))]), "the group \"g\"");
        let group = Group { name: "g".into(), networks: Vec::new() };
        let twice = Ruleset { groups: vec![group.clone(), group], ..Ruleset::default() };
        refused(twice.validate().map_err(|error| error.to_string()), "two groups");
        refused(of(a(), vec![allow(End::Name("x.y".into()), End::Class("a".into()))]), "DNS name");
        refused(of(a(), vec![allow(End::Class("a".into()), End::Name("x..y".into()))]), "no DNS name");
        let mut back = allow(End::Class("a".into()), End::Anyone);
        back.service = Service::Tcp(vec![Ports { first: 2, last: 1 }]);
        refused(of(a(), vec![back]), "2-1");
    }

    #[test]
    fn no_more_names_than_the_limit() {
        let named = |count: usize| Ruleset {
            classes: vec![class("a", &["10.0.0.1"])],
            allows: (0..count)
                .map(|i| allow(End::Class("a".into()), End::Name(format!("h{i}.example"))))
                .collect(),
            ..Ruleset::default()
        };
        assert_eq!(named(NAMES_MAX).validate(), Ok(()));
        assert!(matches!(named(NAMES_MAX + 1).validate(), Err(RulesetError::TooMany { .. })));
    }

    #[test]
    fn ports_are_joined() {
        let ports = |list: &[(u16, u16)]| -> Vec<Ports> {
            list.iter().map(|&(first, last)| Ports { first, last }).collect()
        };
        assert_eq!(joined(&ports(&[(5, 9), (1, 3), (4, 4), (20, 30), (25, 40)])), ports(&[(1, 9), (20, 40)]));
        assert_eq!(joined(&ports(&[(65535, 65535), (0, 65535)])), ports(&[(0, 65535)]));
        assert_eq!(joined(&[]), vec![Ports::ALL]);
    }
}
