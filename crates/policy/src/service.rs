//! Services as sets of what transports carry.

use std::collections::BTreeMap;

use model::Transport;

use crate::Map;
use crate::syntax::{Policy, Service};

/// Where protocols are usually found. The policy knows no protocol by heart: whoever does hands this table in.
#[derive(Clone, Debug, Default)]
pub struct Protocols {
    known: Map<Box<str>, Vec<(Transport, Vec<u16>)>>,
}

impl Protocols {
    /// A table of protocols: their ids, and what carries each on which ports. A transport that has ports, without any, says
    /// that the protocol can be found on all of them; it is recognised by what it says, and no firewall can tell it.
    pub fn new<'a>(known: impl IntoIterator<Item = (&'a str, Transport, &'a [u16])>) -> Self {
        let mut table = Self::default();
        for (id, transport, ports) in known {
            table.known.entry(id.into()).or_default().push((normal(transport), ports.to_vec()));
        }
        table
    }

    /// Their ids, in order.
    pub fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.known.keys().map(|id| &**id).collect();
        ids.sort_unstable();
        ids
    }

    /// What carries a protocol.
    pub(crate) fn carriers(&self, id: &str) -> Option<&[(Transport, Vec<u16>)]> {
        self.known.get(id).map(Vec::as_slice)
    }

    /// Whether a protocol is usually found there.
    pub fn is_usual(&self, id: &str, transport: Transport, port: u16) -> bool {
        self.carriers(id).into_iter().flatten().any(|(carrier, ports)| {
            *carrier == normal(transport) && (ports.contains(&port) || !crate::syntax::has_ports(*carrier))
        })
    }
}

/// One form for a transport that has two.
pub(crate) const fn normal(transport: Transport) -> Transport {
    match transport {
        Transport::Ip(1) => Transport::Icmp,
        Transport::Ip(6) => Transport::Tcp,
        Transport::Ip(17) => Transport::Udp,
        Transport::Ip(58) => Transport::Icmpv6,
        Transport::Ip(132) => Transport::Sctp,
        other => other,
    }
}

/// A port of a transport as one number, so that ranges of ports are ranges of numbers.
pub(crate) fn key(transport: Transport, port: u16) -> u64 {
    let code: u64 = match normal(transport) {
        Transport::Tcp => 0,
        Transport::Udp => 1,
        Transport::Sctp => 2,
        Transport::Icmp => 3,
        Transport::Icmpv6 => 4,
        Transport::Can => 5,
        Transport::Wpan => 6,
        Transport::Ip(number) => 0x100 + u64::from(number),
        Transport::Ether(kind) => 0x1_0000 + u64::from(kind),
    };
    code << 16 | u64::from(port)
}

/// The transport of which the number is a port.
fn transport(key: u64) -> Option<Transport> {
    Some(match key >> 16 {
        0 => Transport::Tcp,
        1 => Transport::Udp,
        2 => Transport::Sctp,
        3 => Transport::Icmp,
        4 => Transport::Icmpv6,
        5 => Transport::Can,
        6 => Transport::Wpan,
        code @ 0x100..=0x1ff => Transport::Ip((code & 0xff) as u8),
        code @ 0x1_0000..=0x1_ffff => Transport::Ether((code & 0xffff) as u16),
        _ => return None,
    })
}

/// Ports of transports: ranges in order, none of which touches the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports(Vec<(u64, u64)>);

impl Ports {
    /// All ports of all transports.
    pub fn all() -> Self {
        Self(vec![(0, u64::MAX)])
    }

    /// Ports of one transport.
    pub fn range(transport: Transport, first: u16, last: u16) -> Self {
        Self(vec![(key(transport, first), key(transport, last))])
    }

    fn from_ranges(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                // Ports of two transports are next to each other only by number.
                Some(before) if first <= before.1 || first == before.1 + 1 && first & 0xffff != 0 => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a port is among them.
    pub fn contains(&self, transport: Transport, port: u16) -> bool {
        let key = key(transport, port);
        let after = self.0.partition_point(|(first, _)| *first <= key);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| key <= *last)
    }

    /// Those of both.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Those that both have.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(one), Some(two)) = (a.peek(), b.peek()) {
            let (first, last) = (one.0.max(two.0), one.1.min(two.1));
            if first <= last {
                common.push((first, last));
            }
            if one.1 < two.1 {
                a.next()
            } else {
                b.next()
            };
        }
        Self(common)
    }

    /// Those that the other does not have.
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut holes = other.0.iter().peekable();
        for &(first, last) in &self.0 {
            let mut from = Some(first);
            while let Some(&&(hole, end)) = holes.peek() {
                let Some(begin) = from.filter(|_| hole <= last) else { break };
                if hole > begin {
                    left.push((begin, hole - 1));
                }
                if end >= begin {
                    from = end.checked_add(1).filter(|next| *next <= last);
                }
                if end > last {
                    break;
                }
                holes.next();
            }
            if let Some(begin) = from {
                left.push((begin, last));
            }
        }
        Self(left)
    }

    /// Whether all of the other's are among them.
    pub fn covers(&self, other: &Self) -> bool {
        other.difference(self).is_empty()
    }

    /// Transport, first port and last port of each range. All ports of all transports are none.
    pub fn ranges(&self) -> impl Iterator<Item = (Transport, u16, u16)> {
        self.0.iter().filter(|(_, last)| *last != u64::MAX).filter_map(|(first, last)| {
            Some((transport(*first)?, (first & 0xffff) as u16, (last & 0xffff) as u16))
        })
    }

    /// The same with all ports of all transports as far as packets of IP have them: of TCP, UDP and SCTP their ports, of others
    /// whether they are among them, with 0 for both ports. EtherTypes are told only where they were named.
    pub fn ip_ranges(&self) -> Vec<(Transport, u16, u16)> {
        if self.0.iter().all(|(first, last)| first >> 16 == last >> 16) {
            let whole = |(transport, first, last): (Transport, u16, u16)| match transport {
                Transport::Tcp | Transport::Udp | Transport::Sctp => Some((transport, first, last)),
                _ => (first == 0).then_some((transport, 0, 0)),
            };
            return self.ranges().filter_map(whole).collect();
        }
        let mut out = Vec::new();
        for transport in [Transport::Tcp, Transport::Udp, Transport::Sctp] {
            let of = self.intersection(&Self::range(transport, 0, u16::MAX));
            out.extend(
                of.0.iter().map(|(first, last)| (transport, (first & 0xffff) as u16, (last & 0xffff) as u16)),
            );
        }
        let others = (0..=u8::MAX).map(Transport::Ip).filter(|transport| normal(*transport) == *transport);
        let others = [Transport::Icmp, Transport::Icmpv6].into_iter().chain(others);
        out.extend(
            others.filter(|transport| self.contains(*transport, 0)).map(|transport| (transport, 0, 0)),
        );
        let named = self.0.iter().filter(|(first, last)| first >> 16 == last >> 16);
        out.extend(named.filter_map(|(first, _)| match transport(*first) {
            Some(kind @ Transport::Ether(_)) => Some((kind, 0, 0)),
            _ => None,
        }));
        out
    }

    /// Whether all ports of transports that nobody has named are among them.
    pub fn is_open(&self) -> bool {
        self.0.last().is_some_and(|(_, last)| *last == u64::MAX)
    }
}

impl std::fmt::Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut services: Vec<String> = self
            .ranges()
            .map(|(transport, first, last)| match transport {
                Transport::Icmp | Transport::Icmpv6 => transport.to_string(),
                _ => Service::Carrier { transport, first, last }.to_string(),
            })
            .collect();
        match (self.is_open(), self.0.len()) {
            (true, 1) if self.0.first().is_some_and(|(first, _)| *first == 0) => services.push("any".into()),
            (true, _) => services.push("any other".into()),
            _ => {}
        }
        f.write_str(if services.is_empty() { "nothing".into() } else { services.join(", ") }.as_str())
    }
}

/// What services of a rule mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services {
    /// All ports on which something is meant.
    pub(crate) ports: Ports,
    /// Ports on which anything is meant.
    open: Ports,
    /// Ports on which one protocol is meant, and those on which it is meant once it is recognised.
    spoken: Vec<(Box<str>, Ports, Ports)>,
}

impl Services {
    /// Whether a conversation may be one of these: on a port, speaking a protocol as far as that is known.
    pub(crate) fn allow(&self, transport: Transport, port: u16, protocol: Option<&str>) -> bool {
        self.open.contains(transport, port)
            || self.spoken.iter().any(|(id, usual, possible)| match protocol {
                None => usual.contains(transport, port),
                Some(protocol) => **id == *protocol && possible.contains(transport, port),
            })
    }

    /// Whether a conversation is to be kept from being one of these: by its port, or by its protocol wherever it is.
    pub(crate) fn deny(&self, transport: Transport, port: u16, protocol: Option<&str>) -> bool {
        self.ports.contains(transport, port)
            || protocol.is_some_and(|protocol| self.spoken.iter().any(|(id, ..)| **id == *protocol))
    }

    /// Protocols that are meant by name.
    pub(crate) fn protocols(&self) -> impl Iterator<Item = &str> {
        self.spoken.iter().map(|(id, ..)| &**id)
    }

    /// Protocols that are meant and that no port tells.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = &str> {
        self.spoken.iter().filter(|(_, usual, _)| usual.is_empty()).map(|(id, ..)| &**id)
    }

    /// Whether they allow whatever the others allow.
    pub(crate) fn cover(&self, other: &Self) -> bool {
        let spoken = |(id, usual, possible): &(Box<str>, Ports, Ports)| {
            let mine = self.spoken.iter().find(|(mine, ..)| mine == id);
            let mine = mine.map_or_else(Default::default, |(_, usual, possible)| {
                (usual.union(&self.open), possible.union(&self.open))
            });
            mine.0.union(&self.open).covers(usual) && mine.1.union(&self.open).covers(possible)
        };
        self.open.covers(&other.open) && other.spoken.iter().all(spoken)
    }

    /// Whether, denied, they leave nothing of what the others allow.
    pub(crate) fn smother(&self, other: &Self) -> bool {
        self.ports.covers(&other.open)
            && other.spoken.iter().all(|(id, _, possible)| {
                self.ports.covers(possible) || self.spoken.iter().any(|(mine, ..)| mine == id)
            })
    }
}

/// Definitions name definitions at most so deep.
pub const MAX_DEFINITIONS: usize = 16;

/// Services of a list that cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// A name that is neither a protocol's nor defined.
    Unknown(Box<str>),
    /// A definition that leads back to itself, or through more than [`MAX_DEFINITIONS`] others.
    Deep(Box<str>),
}

/// What names of services mean in a policy. Each definition is worked out once.
pub(crate) struct Names<'a> {
    protocols: &'a Protocols,
    defined: Map<&'a str, &'a [Service]>,
    done: Map<&'a str, Result<Services, Unresolved>>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(policy: &'a Policy, protocols: &'a Protocols) -> Self {
        let defined = policy.services.iter().map(|one| (&*one.name, &*one.services)).collect();
        Self { protocols, defined, done: Map::default() }
    }

    /// Names that mean something, in order.
    pub(crate) fn known(&self) -> Vec<&str> {
        let mut known = self.protocols.ids();
        known.extend(self.defined.keys());
        known.sort_unstable();
        known
    }

    /// What a list of services means.
    pub(crate) fn resolve(&mut self, services: &'a [Service]) -> Result<Services, Unresolved> {
        self.list(services, 0)
    }

    fn list(&mut self, services: &'a [Service], depth: usize) -> Result<Services, Unresolved> {
        let (mut open, mut spoken) = (Vec::new(), BTreeMap::new());
        for service in services {
            match service {
                Service::Any => open.extend(Ports::all().0),
                Service::Carrier { transport, first, last } => {
                    open.extend(Ports::range(*transport, *first, *last).0);
                }
                Service::Named(name) => {
                    let named = self.named(name, depth)?;
                    open.extend(named.open.0);
                    spoken.extend(
                        named.spoken.into_iter().map(|(id, usual, possible)| (id, (usual, possible))),
                    );
                }
            }
        }
        let open = Ports::from_ranges(open);
        let all = spoken.values().flat_map(|(usual, _)| &usual.0).chain(&open.0).copied().collect();
        let spoken = spoken.into_iter().map(|(id, (usual, possible))| (id, usual, possible)).collect();
        Ok(Services { ports: Ports::from_ranges(all), open, spoken })
    }

    fn named(&mut self, name: &'a str, depth: usize) -> Result<Services, Unresolved> {
        if let Some(services) = self.defined.get(name).copied() {
            if let Some(done) = self.done.get(name) {
                return done.clone();
            }
            if depth >= MAX_DEFINITIONS {
                return Err(Unresolved::Deep(name.into()));
            }
            let resolved = self.list(services, depth + 1);
            self.done.insert(name, resolved.clone());
            return resolved;
        }
        let mut services = Services::default();
        if name == "icmp" {
            // Both forms of it: whoever says ICMP does not mean one version of IP.
            let both =
                [Transport::Icmp, Transport::Icmpv6].map(|transport| Ports::range(transport, 0, u16::MAX));
            services.open = both[0].union(&both[1]);
            return Ok(services);
        }
        let carriers = self.protocols.carriers(name).ok_or_else(|| Unresolved::Unknown(name.into()))?;
        let (mut usual, mut possible) = (Vec::new(), Vec::new());
        for (transport, ports) in carriers {
            let whole = (key(*transport, 0), key(*transport, u16::MAX));
            if !crate::syntax::has_ports(*transport) {
                usual.push(whole);
            }
            usual.extend(ports.iter().map(|port| (key(*transport, *port), key(*transport, *port))));
            if ports.is_empty() {
                possible.push(whole);
            }
        }
        possible.extend(&usual);
        services.spoken.push((name.into(), Ports::from_ranges(usual), Ports::from_ranges(possible)));
        Ok(services)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ports(ranges: &[(u16, u16)]) -> Ports {
        let ranges =
            ranges.iter().map(|(a, b)| (key(Transport::Tcp, *a.min(b)), key(Transport::Tcp, *a.max(b))));
        Ports::from_ranges(ranges.collect())
    }

    proptest! {
        #[test]
        fn ports_are_sets(
            a in prop::collection::vec((0_u16..24, 0_u16..24), 0..5),
            b in prop::collection::vec((0_u16..24, 0_u16..24), 0..5),
        ) {
            let (a, b) = (ports(&a), ports(&b));
            let has = |set: &Ports, port| set.contains(Transport::Tcp, port);
            for port in 0..26 {
                prop_assert_eq!(has(&a.union(&b), port), has(&a, port) || has(&b, port));
                prop_assert_eq!(has(&a.intersection(&b), port), has(&a, port) && has(&b, port));
                prop_assert_eq!(has(&a.difference(&b), port), has(&a, port) && !has(&b, port));
            }
            prop_assert_eq!(a.covers(&b), (0..26).all(|port| has(&a, port) || !has(&b, port)));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a);
        }
    }

    #[test]
    fn ranges_of_packets_are_the_same_whether_they_span_transports_or_not() {
        let few = Ports::range(Transport::Udp, 5, 9)
            .union(&Ports::range(Transport::Icmp, 0, u16::MAX))
            .union(&Ports::range(Transport::Ip(47), 0, u16::MAX))
            .union(&Ports::range(Transport::Ether(0x88b8), 0, u16::MAX));
        let of_few = [
            (Transport::Udp, 5, 9),
            (Transport::Icmp, 0, 0),
            (Transport::Ip(47), 0, 0),
            (Transport::Ether(0x88b8), 0, 0),
        ];
        assert_eq!(few.ip_ranges(), of_few);
        let rest = Ports::all().difference(&Ports::range(Transport::Tcp, 80, 80)).ip_ranges();
        assert_eq!(rest[..2], [(Transport::Tcp, 0, 79), (Transport::Tcp, 81, u16::MAX)]);
        assert_eq!(rest.iter().filter(|(transport, ..)| matches!(transport, Transport::Ip(_))).count(), 251);
        assert!(
            !rest.iter().any(|(transport, ..)| matches!(transport, Transport::Ether(_) | Transport::Can))
        );
    }

    #[test]
    fn any_is_more_than_what_has_a_name() {
        let rest = Ports::all().difference(&Ports::range(Transport::Udp, 53, 53));
        assert!(!rest.contains(Transport::Udp, 53) && rest.contains(Transport::Ether(0x88b8), 0));
        assert_eq!(Ports::all().to_string(), "any");
        assert_eq!(Ports::range(Transport::Tcp, 0, u16::MAX).to_string(), "tcp");
        assert_eq!(ports(&[(5, 6), (7, 9), (20, 20)]).to_string(), "tcp/5-9, tcp/20");
    }
}
