//! Expectations: what a policy says that its rules come to.

use model::Transport;

use crate::compile::{ClassId, Entry};
use crate::decide::{Ask, Asked, Who};
use crate::service::Services;
use crate::syntax::Verdict;
use crate::view::View;

/// So many pairs of classes are looked at for one expectation.
pub const MAX_PAIRS: usize = 1_000_000;

/// How an expectation is disappointed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The number of the expectation in the policy.
    pub expectation: usize,
    /// What is otherwise, as a sentence.
    pub what: String,
}

impl View<'_> {
    /// Every expectation that is not met.
    pub fn failures(&self) -> Vec<Failure> {
        let all = self.compiled.expectations.iter().enumerate();
        all.filter_map(|(expectation, entry)| {
            self.check(expectation, entry).map(|what| Failure { expectation, what })
        })
        .collect()
    }

    fn check(&self, number: usize, entry: &Entry) -> Option<String> {
        let (clients, servers) = (self.classes(entry.from), self.classes(entry.to));
        if clients.is_empty() || servers.is_empty() {
            // Whoever is not there does nothing.
            return (entry.verdict == Verdict::Allow)
                .then(|| "nobody is there whom it could be allowed".into());
        }
        if clients.len().saturating_mul(servers.len()) > MAX_PAIRS {
            return Some(format!(
                "it is about more than {MAX_PAIRS} pairs of hosts that differ: ask for fewer"
            ));
        }
        let services = self.compiled.services.get(entry.services as usize)?;
        let pairs = clients.iter().flat_map(|client| servers.iter().map(|server| (*client, *server)));
        let mut seen = false;
        for (client, server) in pairs {
            if client == server && self.is_alone(client) || !self.can_ask(client) {
                continue;
            }
            seen = true;
            let found = match self
                .compiled
                .operations
                .get(entry.operations as usize)
                .map_or(&[][..], Vec::as_slice)
            {
                [] => self.check_ports(entry.verdict, client, server, services),
                _ => self.check_operations(number, entry.verdict, client, server, services),
            };
            if let Some(what) = found {
                return Some(format!("{} -> {}: {what}", self.example(client), self.example(server)));
            }
        }
        (!seen && entry.verdict == Verdict::Allow).then(|| "nobody is there whom it could be allowed".into())
    }

    fn check_ports(
        &self,
        verdict: Verdict,
        client: ClassId,
        server: ClassId,
        services: &Services,
    ) -> Option<String> {
        let open = self.compiled.open_ports(self.compiled.class(client), self.compiled.class(server));
        match verdict {
            Verdict::Allow if services.ports.is_empty() => {
                Some("the service has no port that could be open".into())
            }
            Verdict::Allow => {
                let missing = services.ports.difference(&open);
                (!missing.is_empty()).then(|| format!("{missing} is denied"))
            }
            Verdict::Deny => {
                let common = services.ports.intersection(&open);
                (!common.is_empty()).then(|| format!("{common} is allowed"))
            }
        }
    }

    fn check_operations(
        &self,
        number: usize,
        verdict: Verdict,
        client: ClassId,
        server: ClassId,
        services: &Services,
    ) -> Option<String> {
        let operations = &self.compiled.policy.expectations.get(number)?.operations;
        let classes = (self.compiled.class(client), self.compiled.class(server));
        for (transport, port) in self.places(client, server, services) {
            let protocols = std::iter::once(None).chain(services.protocols().map(Some));
            for protocol in protocols.filter(|protocol| services.allow(transport, port, *protocol)) {
                for operation in operations {
                    let nobody = Who::Host(model::Host::default());
                    let ask = Ask {
                        protocol,
                        operation: Some(Asked { kind: operation.kind, target: operation.target.as_deref() }),
                        ..Ask::conversation(nobody, nobody, transport, port)
                    };
                    let decision = self.compiled.judge(classes.0, classes.1, &ask);
                    if decision.verdict != verdict {
                        return Some(format!("{operation} is {}", self.compiled.sentence(&decision)));
                    }
                }
            }
        }
        None
    }

    /// Ports of services, so many that between two of them the rules do not change.
    fn places(&self, client: ClassId, server: ClassId, services: &Services) -> Vec<(Transport, u16)> {
        let (client, server) = (self.compiled.class(client), self.compiled.class(server));
        let rules = self.compiled.between(client, server);
        let entries =
            rules.filter_map(|number| self.compiled.entries.get(number as usize)).map(|entry| entry.services);
        let bounds = self
            .compiled
            .conduits(client, server)
            .flat_map(|(.., crossings)| crossings)
            .map(|one| one.services);
        let mut places: Vec<(Transport, u16)> =
            services.ports.ranges().map(|(transport, first, _)| (transport, first)).collect();
        // `any` has no ranges: those of the rules are all that matters, and one that nobody names.
        places.extend(services.ports.is_open().then_some((Transport::Tcp, 0)));
        for other in
            entries.chain(bounds).filter_map(|services| self.compiled.services.get(services as usize))
        {
            let edges = other.ports.ranges().flat_map(|(transport, first, last)| {
                [Some((transport, first)), last.checked_add(1).map(|next| (transport, next))]
            });
            places.extend(edges.flatten());
        }
        places.retain(|(transport, port)| services.ports.contains(*transport, *port));
        places.sort_unstable();
        places.dedup();
        places
    }
}
