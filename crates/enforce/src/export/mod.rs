//! The same rules for those who enforce elsewhere.
//!
//! Each export is text and a list of what the format cannot say. What it cannot say at all is denied there, as everything is
//! that is not allowed; what it can only say less exactly, such as replies where conversations are not followed, is in the list,
//! too.

mod acl;
mod iptables;
mod kubernetes;
mod radius;

use std::collections::{BTreeMap, BTreeSet};

pub use acl::{aruba_cx, cisco_ios};
pub use iptables::{Version, iptables_restore};
pub use kubernetes::kubernetes;
pub use radius::{Vlans, radius_attributes};

use crate::address::outermost;
use crate::ruleset::joined;
use crate::{Address, Allow, End, Network, Ports, Ruleset, RulesetError, Service};

/// Rules in the words of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// The text.
    pub text: String,
    /// What the format cannot say and therefore denies, each in one sentence.
    pub left_out: Vec<String>,
}

/// Most lines of one export: what is more does not fit the tables of the devices these formats are for.
pub const LINES_MAX: usize = 100_000;

/// What formats say that can only cut.
const OBSERVE: &str =
    "observing: the format cannot count without cutting, so apply it only where cutting is meant";

/// Why there is no export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The ruleset cannot be in force at all.
    #[error(transparent)]
    Ruleset(#[from] RulesetError),
    /// It would be too long.
    #[error("the export would have more than {LINES_MAX} lines: export fewer classes at a time")]
    TooLong,
}

/// An allow between networks of one IP version: what most formats say in a line or two.
struct Line<'a> {
    allow: &'a Allow,
    from: Network,
    to: Network,
}

/// All that lists of permissions by address need of a ruleset.
struct Flat<'a> {
    lines: Vec<Line<'a>>,
    /// The networks of all classes.
    managed: Vec<Network>,
    left_out: BTreeSet<String>,
}

/// The networks of an end and whether anything of it has no network address.
fn networks(
    end: &End,
    classes: &BTreeMap<&str, &[Address]>,
    groups: &BTreeMap<&str, &[Network]>,
) -> (Vec<Network>, bool) {
    match end {
        End::Anyone => (vec![Network::ALL_IPV4, Network::ALL_IPV6], false),
        End::Networks(networks) => (outermost(networks.iter().copied()), false),
        End::Group(name) => {
            (outermost(groups.get(name.as_str()).copied().unwrap_or_default().iter().copied()), false)
        }
        End::Name(_) => (Vec::new(), false),
        End::Class(name) => {
            let members = classes.get(name.as_str()).copied().unwrap_or_default();
            let networks = members.iter().filter_map(|member| match member {
                Address::Net(network) => Some(*network),
                Address::Mac(_) => None,
            });
            (outermost(networks), members.iter().any(|member| matches!(member, Address::Mac(_))))
        }
    }
}

fn flat(ruleset: &Ruleset, ipv4: bool) -> Result<Flat<'_>, ExportError> {
    ruleset.validate()?;
    let classes: BTreeMap<&str, &[Address]> =
        ruleset.classes.iter().map(|class| (class.name.as_str(), class.members.as_slice())).collect();
    let groups: BTreeMap<&str, &[Network]> =
        ruleset.groups.iter().map(|group| (group.name.as_str(), group.networks.as_slice())).collect();
    let mut flat = Flat { lines: Vec::new(), managed: Vec::new(), left_out: BTreeSet::new() };
    for class in &ruleset.classes {
        let (members, has_macs) = networks(&End::Class(class.name.clone()), &classes, &groups);
        flat.managed.extend(members.into_iter().filter(|network| network.is_ipv4() == ipv4));
        if has_macs {
            flat.left_out.insert(format!("class {:?}: members by link-layer address", class.name));
        }
    }
    flat.managed = outermost(flat.managed);
    for allow in &ruleset.allows {
        if let End::Name(name) = &allow.to {
            flat.left_out.insert(format!("rule {:?}: the DNS name {name}", allow.name));
            continue;
        }
        if matches!(allow.service, Service::Ether(_)) {
            flat.left_out
                .insert(format!("rule {:?}: {}, which has no network address", allow.name, allow.service));
            continue;
        }
        let other_version = match allow.service {
            Service::Icmp(_) => !ipv4,
            Service::Icmpv6(_) => ipv4,
            _ => false,
        };
        if other_version {
            continue;
        }
        let (from, to) =
            (networks(&allow.from, &classes, &groups).0, networks(&allow.to, &classes, &groups).0);
        let of_version = |network: &&Network| network.is_ipv4() == ipv4;
        for from in from.iter().filter(of_version) {
            for to in to.iter().filter(of_version) {
                flat.lines.push(Line { allow, from: *from, to: *to });
                if flat.lines.len() > LINES_MAX {
                    return Err(ExportError::TooLong);
                }
            }
        }
    }
    Ok(flat)
}

/// The protocol's word and number of a service, its ports if it has any, and its ICMP types.
fn parts(service: &Service) -> (&'static str, Option<u8>, Vec<Ports>, Vec<u8>) {
    let types = |types: &[u8]| types.iter().copied().collect::<BTreeSet<u8>>().into_iter().collect();
    match service {
        Service::Any | Service::Ether(_) => ("ip", None, Vec::new(), Vec::new()),
        Service::Tcp(ports) => ("tcp", Some(6), joined(ports), Vec::new()),
        Service::Udp(ports) => ("udp", Some(17), joined(ports), Vec::new()),
        Service::Sctp(ports) => ("sctp", Some(132), joined(ports), Vec::new()),
        Service::Icmp(list) => ("icmp", Some(1), Vec::new(), types(list)),
        Service::Icmpv6(list) => ("icmpv6", Some(58), Vec::new(), types(list)),
        Service::Ip(number) => ("", Some(*number), Vec::new(), Vec::new()),
    }
}

/// A name that all formats take: letters, digits, - and _.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests;
