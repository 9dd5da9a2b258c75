//! Whether something may happen.

use std::borrow::Cow;
use std::fmt;

use model::{DeviceId, FlowHead, Host, OperationKind, Transport};

use crate::Target;
use crate::compile::{Class, Compiled};
use crate::syntax::{Verdict, operation_name};

/// Somebody that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// As packets name them.
    Host(Host),
    /// A device.
    Device(DeviceId),
    /// Whoever has a name in the DNS.
    Name(&'a str),
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Device(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What may be asked of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// What it is.
    pub kind: OperationKind,
    /// What it is done to, as the dissector says it.
    pub target: Option<&'a str>,
}

/// A question: may the client open this conversation, and ask this there?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Who opens the conversation.
    pub client: Who<'a>,
    /// Who is asked.
    pub server: Who<'a>,
    /// The name that the client resolved to the server's address, where that is known; never a name that the
    /// conversation itself claims.
    pub server_name: Option<&'a str>,
    /// What carries it.
    pub transport: Transport,
    /// The server's port; 0 where the transport has none.
    pub port: u16,
    /// The protocol, once it is recognised.
    pub protocol: Option<&'a str>,
    /// What the client asks there. None asks about the conversation alone.
    pub operation: Option<Asked<'a>>,
}

impl<'a> Ask<'a> {
    /// About a conversation.
    pub const fn conversation(client: Who<'a>, server: Who<'a>, transport: Transport, port: u16) -> Self {
        Self { client, server, server_name: None, transport, port, protocol: None, operation: None }
    }

    /// About a conversation that was seen.
    pub const fn flow(flow: &FlowHead, protocol: Option<&'a str>) -> Self {
        let (client, server) = (Who::Host(flow.client.host), Who::Host(flow.server.host));
        Self { protocol, ..Self::conversation(client, server, flow.transport, flow.server.port) }
    }
}

impl fmt::Display for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, server, transport, port, .. } = self;
        write!(f, "{client} -> {server} ")?;
        match (self.protocol, crate::syntax::has_ports(*transport)) {
            (Some(protocol), true) => write!(f, "{protocol} on {transport}/{port}")?,
            (Some(protocol), false) => f.write_str(protocol)?,
            (None, true) => write!(f, "{transport}/{port}")?,
            (None, false) => transport.fmt(f)?,
        }
        if let Some(asked) = self.operation {
            write!(f, " {}", operation_name(asked.kind))?;
            asked.target.map_or(Ok(()), |target| write!(f, " {target}"))?;
        }
        Ok(())
    }
}

/// Why something may happen or not. Numbers are those of the policy's rules and conduits, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// A rule allows it.
    Allowed,
    /// A rule allows the conversation, and only some operations in it: they are judged one by one.
    SomeOperations,
    /// A rule denies it.
    Denied,
    /// A conduit between the zones has no place for it.
    Conduit(u32),
    /// The rule allows the conversation, not the operation.
    Operation,
    /// The rule opens the port for another protocol.
    Protocol,
    /// No rule is about it.
    NoRule,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// Whether it may.
    pub verdict: Verdict,
    /// The number of the rule that decides, or that comes nearest; of several, the first.
    pub rule: Option<u32>,
    /// Why.
    pub why: Why,
}

impl Compiled {
    /// Whether something may happen. The effort depends on the number of sets that the two are in, not on the number of
    /// rules.
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        let (client, server) = self.classes_of(ask);
        self.judge(&client, &server, ask)
    }

    /// The classes of the two.
    pub(crate) fn classes_of(&self, ask: &Ask<'_>) -> (Cow<'_, Class>, Cow<'_, Class>) {
        (self.class_of_who(&ask.client, None), self.class_of_who(&ask.server, ask.server_name))
    }

    fn class_of_who(&self, who: &Who<'_>, name: Option<&str>) -> Cow<'_, Class> {
        let base = match who {
            Who::Host(host) => Some(self.class_of_host(host)),
            Who::Device(id) => Some(
                self.known.get(id).map_or_else(|| self.class_of_host(&Host::default()), |known| known.class),
            ),
            Who::Name(_) => None,
        };
        let name = if let Who::Name(name) = who { Some(*name) } else { name };
        match (base, name) {
            (base, Some(name)) if base.is_none() || self.sets.domains_of(name).next().is_some() => {
                Cow::Owned(self.class_with_name(base, name))
            }
            (Some(base), _) => Cow::Borrowed(self.class(base)),
            (None, _) => Cow::Borrowed(self.class(self.class_of_host(&Host::default()))),
        }
    }

    /// The answer for two classes.
    pub(crate) fn judge(&self, client: &Class, server: &Class, ask: &Ask<'_>) -> Decision {
        let deny = |rule, why| Decision { verdict: Verdict::Deny, rule, why };
        // Each with the first rule of which it is true.
        let (mut denied, mut allowed, mut some) = (None, None, None);
        let (mut operation, mut protocol) = (None, None);
        let first = |to: &mut Option<u32>, number: u32| *to = Some(to.map_or(number, |old| old.min(number)));
        for number in self.between(client, server) {
            match self.effect(number, ask) {
                Effect::Denies => first(&mut denied, number),
                Effect::Allows => first(&mut allowed, number),
                Effect::Opens => first(&mut some, number),
                Effect::OtherOperation => first(&mut operation, number),
                Effect::OtherProtocol => first(&mut protocol, number),
                Effect::OtherService | Effect::DeniesOtherOperation => {}
            }
        }
        if denied.is_some() {
            return deny(denied, Why::Denied);
        }
        let (rule, why) = match (allowed, some) {
            (Some(rule), _) => (rule, Why::Allowed),
            (None, Some(rule)) => (rule, Why::SomeOperations),
            (None, None) if operation.is_some() => return deny(operation, Why::Operation),
            (None, None) if protocol.is_some() => return deny(protocol, Why::Protocol),
            (None, None) => return deny(None, Why::NoRule),
        };
        for (.., crossings) in self.conduits(client, server) {
            let fits = |services: u32| {
                let services = self.services.get(services as usize);
                services.is_some_and(|services| services.allow(ask.transport, ask.port, ask.protocol))
            };
            if !crossings.iter().any(|crossing| fits(crossing.services)) {
                return deny(
                    Some(rule),
                    Why::Conduit(crossings.first().map_or(0, |crossing| crossing.conduit)),
                );
            }
        }
        Decision { verdict: Verdict::Allow, rule: Some(rule), why }
    }

    /// What a rule that is about the two does in a question.
    pub(crate) fn effect(&self, number: u32, ask: &Ask<'_>) -> Effect {
        let Some(entry) = self.entries.get(number as usize) else { return Effect::OtherService };
        let Some(services) = self.services.get(entry.services as usize) else { return Effect::OtherService };
        let operations = self.operations.get(entry.operations as usize).map_or(&[][..], Vec::as_slice);
        if entry.verdict == Verdict::Deny {
            if !services.deny(ask.transport, ask.port, ask.protocol) {
                return Effect::OtherService;
            }
            let touches = ask.operation.is_some_and(|asked| {
                operations.iter().filter(|(kind, _)| *kind == asked.kind).any(|(_, target)| {
                    match (target, asked.target) {
                        (Some(target), Some(told)) => target.touches(told),
                        // What is not told could be it.
                        _ => true,
                    }
                })
            });
            return if operations.is_empty() || touches {
                Effect::Denies
            } else {
                Effect::DeniesOtherOperation
            };
        }
        if !services.allow(ask.transport, ask.port, ask.protocol) {
            let other = ask.protocol.is_some() && services.allow(ask.transport, ask.port, None);
            return if other { Effect::OtherProtocol } else { Effect::OtherService };
        }
        let Some(asked) = ask.operation else {
            return if operations.is_empty() { Effect::Allows } else { Effect::Opens };
        };
        let targets =
            operations.iter().filter(|(kind, _)| *kind == asked.kind).map(|(_, target)| target.as_ref());
        // What is listed may be spread over several targets of the rule.
        let covers = targets.clone().any(|target| target.is_none())
            || asked.target.is_some_and(|told| Target::cover(targets.flatten(), told));
        if operations.is_empty() || covers { Effect::Allows } else { Effect::OtherOperation }
    }
}

/// What one rule does in a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It denies it.
    Denies,
    /// It allows it.
    Allows,
    /// It allows the conversation, and only some operations in it.
    Opens,
    /// It allows the conversation, but not this operation.
    OtherOperation,
    /// It denies other operations.
    DeniesOtherOperation,
    /// It opens the port for another protocol.
    OtherProtocol,
    /// It is about other services.
    OtherService,
}
