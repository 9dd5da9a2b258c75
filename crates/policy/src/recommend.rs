//! From what was seen to a policy that allows it, and little more.
//!
//! Devices of the same kind (the part they play, vendor, model) become a group. What is seen between hosts is covered by
//! rules between groups where at least half of all pairs do it ([`DENSITY`]), else between a group and a host, else between
//! hosts; then rules that differ in one side only are joined, which allows nothing more. Operations and ports are put
//! together in the same way. At last everything that was seen is replayed, and what is still cut gets a rule of its own, so
//! that nothing benign is cut by construction.

mod names;
mod objection;
mod rules;

pub use objection::{OBJECTIONS, Objection};

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::{Device, DeviceId, MacAddr, Transport};

use crate::compile::{Compiled, Estate};
use crate::prove::Use;
use crate::service::Protocols;
use crate::sets::Whereabouts;
use crate::syntax::{Conduit, Group, Policy, Rule, Service, Term, Verdict};
use crate::{Place, Problem};

/// A group stands for its members in a rule if at least one of so many pairs was seen.
pub const DENSITY: usize = 2;
/// From so many peers on, hosts of the Internet that open conversations are the Internet.
pub const MANY_CLIENTS: usize = 8;
/// From so many siblings on, names in the DNS are all that end as they do.
pub const MANY_NAMES: usize = 4;
/// More ports than this between two kinds of hosts are a range.
pub const MANY_PORTS: usize = 8;
/// More targets than this of one kind of operation are any.
pub const MANY_TARGETS: usize = 4;

/// So many uses that are left out are shown for each reason.
const EXAMPLES: usize = 5;

/// A use with what is known of the two.
pub(crate) struct Seen<'a> {
    pub(crate) used: &'a Use,
    pub(crate) server: Option<&'a Device>,
    /// Whether the sender's address is one that no single host has.
    pub(crate) from_many: bool,
    pub(crate) from_internet: bool,
    pub(crate) to_internet: bool,
}

/// A use that no policy should allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flagged {
    /// Its number.
    pub used: usize,
    /// Why.
    pub objection: &'static Objection,
}

/// A proposed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The policy.
    pub policy: Policy,
    /// What was left out of it, in the order of the uses.
    pub flagged: Vec<Flagged>,
}

/// A host as rules see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Device(DeviceId),
    Address(IpAddr),
    Mac(MacAddr),
    Domain(Box<str>),
    Internet,
    Local,
    Multicast,
    Broadcast,
    /// The number of a group.
    Group(usize),
}

/// Devices of one kind.
pub(crate) struct Kind {
    pub(crate) name: Box<str>,
    pub(crate) members: BTreeSet<DeviceId>,
    pub(crate) terms: Vec<Term>,
}

/// What parties are called.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) kinds: Vec<Kind>,
    /// Devices that have a name of their own.
    pub(crate) devices: BTreeMap<DeviceId, Box<str>>,
}

impl Proposal {
    /// Proposes a policy for an estate. The same uses in another order give the same policy.
    ///
    /// # Errors
    ///
    /// None of what is proposed can be compiled against the table of protocols: it is another one than that by which the uses
    /// were recognised.
    pub fn new(
        uses: &[Use],
        protocols: &Protocols,
        estate: &Estate,
        site: Option<&str>,
    ) -> Result<Self, Vec<Problem>> {
        let bare = Compiled::new(Policy::default(), protocols, estate.clone())?;
        let (mut flagged, mut benign) = (Vec::new(), Vec::new());
        for (number, used) in uses.iter().enumerate() {
            let seen = see(&bare, used);
            match objection::objection(&seen) {
                Some(objection) => flagged.push(Flagged { used: number, objection }),
                None => benign.push(used),
            }
        }
        let names = Names::new(&bare);
        let mut policy = Policy { site: site.map(Box::from), ..Policy::default() };
        policy.zones = names::zones(&bare);
        policy.rules = rules::cover(&bare, protocols, &benign, &names);
        // Only groups that a rule names.
        let named: BTreeSet<&str> = policy
            .rules
            .iter()
            .flat_map(|rule| rule.from.iter().chain(&rule.to))
            .filter_map(|term| if let Term::Name(name) = term { Some(&**name) } else { None })
            .collect();
        let kinds = names.kinds.iter().map(|kind| (&*kind.name, kind.terms.clone()));
        let devices = names.devices.iter().map(|(id, name)| (&**name, vec![Term::Device(*id)]));
        let used = kinds.chain(devices).filter(|(name, _)| named.contains(name));
        policy.groups = used
            .map(|(name, members)| Group { name: name.into(), members, place: Place::default() })
            .collect();
        policy.conduits = conduits(&policy, protocols, estate, &benign)?;
        complete(&mut policy, protocols, estate, &benign)?;
        Ok(Self { policy, flagged })
    }

    /// For people and for a file: what was left out, as comments, then the policy.
    pub fn show(&self, uses: &[Use]) -> String {
        let mut text = String::new();
        for objection in OBJECTIONS {
            let numbers = self
                .flagged
                .iter()
                .filter(|flagged| flagged.objection == objection)
                .map(|flagged| flagged.used);
            let of: Vec<&Use> = numbers.filter_map(|number| uses.get(number)).collect();
            if !of.is_empty() {
                text.push_str(&format!("# left out ({}): {}\n", of.len(), objection.reason));
            }
            for used in of.iter().take(EXAMPLES) {
                text.push_str(&format!("#   {}\n", crate::view::one_line(&used.ask().to_string())));
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text + &self.policy.to_string()
    }
}

fn see<'a>(bare: &'a Compiled, used: &'a Use) -> Seen<'a> {
    let place = |host| bare.class(bare.class_of_host(host)).place;
    let outside = |host| place(host) == Whereabouts::Internet;
    Seen {
        used,
        from_many: matches!(place(&used.client), Whereabouts::Multicast | Whereabouts::Broadcast),
        server: bare.device_of(&used.server).and_then(|id| bare.device(id)),
        from_internet: outside(&used.client),
        to_internet: outside(&used.server),
    }
}

/// The service that a use is of, as a rule says it.
pub(crate) fn service(protocols: &Protocols, used: &Use) -> Service {
    let usual = used
        .protocol
        .as_deref()
        .filter(|id| crate::is_name(id) && protocols.is_usual(id, used.transport, used.port));
    usual.map_or_else(|| carrier(used), |id| Service::Named(id.into()))
}

/// The transport and port of a use, as a rule says them.
fn carrier(used: &Use) -> Service {
    match crate::service::normal(used.transport) {
        Transport::Icmp | Transport::Icmpv6 => Service::Named("icmp".into()),
        transport if crate::syntax::has_ports(transport) => {
            Service::Carrier { transport, first: used.port, last: used.port }
        }
        transport => Service::Carrier { transport, first: 0, last: u16::MAX },
    }
}

/// All that was seen to cross between zones.
fn conduits(
    policy: &Policy,
    protocols: &Protocols,
    estate: &Estate,
    uses: &[&Use],
) -> Result<Vec<Conduit>, Vec<Problem>> {
    let compiled = Compiled::new(policy.clone(), protocols, estate.clone())?;
    let mut found: BTreeMap<(u32, u32), BTreeMap<String, Service>> = BTreeMap::new();
    for used in uses {
        let (client, server) = compiled.classes_of(&used.ask());
        for from in &client.zones {
            for to in server.zones.iter().filter(|to| *to != from) {
                let service = service(protocols, used);
                found.entry((*from, *to)).or_default().insert(service.to_string(), service);
            }
        }
    }
    let name = |zone: u32| policy.zones.get(zone as usize).map(|zone| zone.name.clone()).unwrap_or_default();
    let conduit = |((from, to), services): ((u32, u32), BTreeMap<String, Service>)| Conduit {
        from: name(from),
        to: name(to),
        services: services.into_values().collect(),
        place: Place::default(),
    };
    Ok(found.into_iter().map(conduit).collect())
}

/// Gives a rule of its own to whatever the policy would still cut.
fn complete(
    policy: &mut Policy,
    protocols: &Protocols,
    estate: &Estate,
    uses: &[&Use],
) -> Result<(), Vec<Problem>> {
    let shared = Arc::new(policy.clone());
    let compiled = Compiled::new(shared, protocols, estate.clone())?;
    let benign: Vec<Use> = uses.iter().map(|used| (*used).clone()).collect();
    let cut: BTreeSet<usize> = compiled.prove(&benign).cuts.iter().map(|cut| cut.used).collect();
    for used in cut.into_iter().filter_map(|number| benign.get(number)) {
        let carrier = carrier(used);
        let rule = Rule {
            verdict: Verdict::Allow,
            label: None,
            from: vec![rules::client(&compiled, used).term(&Names::default())],
            to: vec![rules::server(&compiled, used).term(&Names::default())],
            services: vec![carrier.clone()],
            operations: Vec::new(),
            place: Place::default(),
        };
        if !policy.rules.contains(&rule) {
            policy.rules.push(rule);
        }
        let (client, server) = compiled.classes_of(&used.ask());
        for (from, to, _) in compiled.conduits(&client, &server) {
            let name = |zone: u32| policy.zones.get(zone as usize).map(|zone| zone.name.clone());
            let (from, to) = (name(from), name(to));
            let conduit = policy
                .conduits
                .iter_mut()
                .find(|one| Some(&one.from) == from.as_ref() && Some(&one.to) == to.as_ref());
            if let Some(conduit) = conduit.filter(|conduit| !conduit.services.contains(&carrier)) {
                conduit.services.push(carrier.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
