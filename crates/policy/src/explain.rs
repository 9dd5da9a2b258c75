//! Why something may happen or not, for people.

use std::fmt;

use model::DeviceId;

use crate::compile::{Class, Compiled};
use crate::decide::{Ask, Decision, Effect, Who, Why};
use crate::sets::{AtomId, Whereabouts};
use crate::syntax::Verdict;

/// A zone or group that somebody is in, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Its name.
    pub name: String,
    /// The terms of it that they match.
    pub because: Vec<String>,
}

/// One of the two that a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// As they were named.
    pub who: String,
    /// The device that they are.
    pub device: Option<DeviceId>,
    /// What they are taken for.
    pub what: &'static str,
    /// The zones and groups that they are in.
    pub memberships: Vec<Membership>,
}

/// A rule that is about the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Its number in the policy.
    pub rule: u32,
    /// The line where it stands.
    pub line: u32,
    /// The rule.
    pub text: String,
    /// What it does here.
    pub effect: Effect,
}

/// A conduit that the conversation has to fit into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// From which zone to which.
    pub zones: (String, String),
    /// The lines where it stands.
    pub lines: Vec<u32>,
    /// Whether the conversation fits.
    pub fits: bool,
}

/// The answer to a question, with all that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The question.
    pub ask: String,
    /// The answer.
    pub decision: Decision,
    /// The answer as a sentence.
    pub sentence: String,
    /// Who asks.
    pub client: Side,
    /// Who is asked.
    pub server: Side,
    /// Every rule about the two: those that decide first, then in the order of the policy.
    pub rules: Vec<Considered>,
    /// Every conduit between their zones.
    pub conduits: Vec<Crossed>,
}

impl Compiled {
    /// Answers a question and says why.
    pub fn explain(&self, ask: &Ask<'_>) -> Explanation {
        let (client, server) = self.classes_of(ask);
        let decision = self.judge(&client, &server, ask);
        let mut rules: Vec<Considered> = self
            .between(&client, &server)
            .filter_map(|number| {
                let rule = self.policy.rules.get(number as usize)?;
                let effect = self.effect(number, ask);
                Some(Considered {
                    rule: number,
                    line: rule.place.line,
                    text: one_line(&rule.to_string()),
                    effect,
                })
            })
            .collect();
        rules.sort_by_key(|considered| (considered.effect, considered.rule));
        let zone = |at: u32| {
            self.policy.zones.get(at as usize).map_or_else(String::new, |zone| zone.name.to_string())
        };
        let conduits = self
            .conduits(&client, &server)
            .map(|(from, to, crossings)| {
                let place = |conduit: u32| {
                    self.policy.conduits.get(conduit as usize).map(|conduit| conduit.place.line)
                };
                let fits = crossings.iter().any(|crossing| {
                    let services = self.services.get(crossing.services as usize);
                    services.is_some_and(|services| services.allow(ask.transport, ask.port, ask.protocol))
                });
                let lines = crossings.iter().filter_map(|crossing| place(crossing.conduit)).collect();
                Crossed { zones: (zone(from), zone(to)), lines, fits }
            })
            .collect();
        Explanation {
            ask: ask.to_string(),
            decision,
            sentence: self.sentence(&decision),
            client: self.side(&ask.client, None, &client),
            server: self.side(&ask.server, ask.server_name, &server),
            rules,
            conduits,
        }
    }

    /// An answer as a sentence.
    pub fn sentence(&self, decision: &Decision) -> String {
        let line = |number: Option<u32>| {
            let rule = number.and_then(|number| self.policy.rules.get(number as usize));
            rule.map_or_else(String::new, |rule| {
                let label =
                    rule.label.as_ref().map_or_else(String::new, |label| format!(" ({})", one_line(label)));
                format!("the rule in line {}{label}", rule.place.line)
            })
        };
        let rule = line(decision.rule);
        match decision.why {
            Why::Allowed => format!("allowed by {rule}"),
            Why::SomeOperations => {
                format!("the conversation is allowed by {rule}, which allows only some operations in it")
            }
            Why::Denied => format!("denied by {rule}"),
            Why::Operation => format!("denied: {rule} allows the conversation, but not this operation"),
            Why::Protocol => format!("denied: {rule} opens the port for another protocol"),
            Why::NoRule => "denied: no rule allows it".into(),
            Why::Conduit(number) => {
                let conduit = self.policy.conduits.get(number as usize);
                let (from, to, line) =
                    conduit.map_or(("", "", 0), |conduit| (&*conduit.from, &*conduit.to, conduit.place.line));
                format!(
                    "denied: {rule} allows it, but the conduit {from} -> {to} in line {line} has no place for it"
                )
            }
        }
    }

    fn side(&self, who: &Who<'_>, name: Option<&str>, class: &Class) -> Side {
        let device = match who {
            Who::Device(id) => Some(*id).filter(|id| self.known.contains_key(id)),
            Who::Host(host) => self.device_of(host),
            Who::Name(_) => None,
        };
        let atoms = self.atoms_of(who, name, device, class.place);
        let memberships =
            class.sets.iter().filter_map(|id| self.sets.sets.get(*id as usize)).filter_map(|set| {
                let matched = set.atoms.iter().filter(|atom| atoms.contains(atom));
                let because = matched
                    .filter_map(|atom| self.sets.atoms.get(*atom as usize))
                    .map(ToString::to_string)
                    .collect();
                Some(Membership { name: set.name.as_deref()?.to_owned(), because })
            });
        let what = match (device, class.place) {
            (Some(_), Whereabouts::Internet) => "a known host of the Internet",
            (Some(_), _) => "a known device",
            (None, Whereabouts::Internet) => "elsewhere in the Internet",
            (None, Whereabouts::Multicast) => "a group of hosts",
            (None, Whereabouts::Broadcast) => "all hosts of a link",
            (None, Whereabouts::Local) => "an unknown host of the organisation",
        };
        Side { who: who.to_string(), device, what, memberships: memberships.collect() }
    }

    /// The device that packets name.
    pub fn device_of(&self, host: &model::Host) -> Option<DeviceId> {
        match (host.ip, host.mac) {
            (_, Some(mac)) if mac.is_group() => None,
            (Some(ip), _) => self.device_at(ip),
            (None, Some(mac)) => self.device_with_mac(mac),
            (None, None) => None,
        }
    }

    /// What somebody matches.
    fn atoms_of(
        &self,
        who: &Who<'_>,
        name: Option<&str>,
        device: Option<DeviceId>,
        place: Whereabouts,
    ) -> Vec<AtomId> {
        let mut atoms: Vec<AtomId> = self.sets.special(place).collect();
        if let Some(device) = device.and_then(|id| self.device(id)) {
            atoms.extend(self.sets.of_device(device, &self.addresses_of(device), self.now()));
        } else if let Who::Host(host) = who {
            atoms.extend(host.ip.into_iter().flat_map(|ip| self.sets.of_address(ip)));
            atoms.extend(host.mac.filter(|_| host.ip.is_none()).and_then(|mac| self.sets.of_mac(mac)));
        }
        let name = if let Who::Name(name) = who { Some(*name) } else { name };
        atoms.extend(name.into_iter().flat_map(|name| self.sets.domains_of(name)));
        atoms
    }
}

/// A rule that is broken over lines, on one.
fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denies => "denies it",
            Self::Allows => "allows it",
            Self::Opens => "allows the conversation, and some operations in it",
            Self::OtherOperation => "allows the conversation, but not this operation",
            Self::DeniesOtherOperation => "denies other operations",
            Self::OtherProtocol => "opens the port for another protocol",
            Self::OtherService => "is about other services",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.who, self.what)?;
        if let Some(id) = self.device.filter(|id| id.to_string() != self.who) {
            write!(f, ", {id}")?;
        }
        for membership in &self.memberships {
            write!(f, "\n    in {} by {}", membership.name, membership.because.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.decision.verdict == Verdict::Allow { "yes" } else { "no" };
        writeln!(f, "{}\n{verdict}: {}", self.ask, self.sentence)?;
        writeln!(f, "  {}\n  {}", self.client, self.server)?;
        for Crossed { zones: (from, to), lines, fits } in &self.conduits {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            let fits = if *fits { "has a place for it" } else { "has no place for it" };
            writeln!(f, "  conduit {from} -> {to} (line {}) {fits}", lines.join(", "))?;
        }
        if self.rules.is_empty() {
            writeln!(f, "  no rule is about these two")?;
        }
        for rule in &self.rules {
            writeln!(f, "  line {} {}: {}", rule.line, rule.effect, rule.text)?;
        }
        Ok(())
    }
}
