//! What was seen, put together: who asked whom for what.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{
    FlowRecord, Host, Name, Observation, Operation, OperationKind, Outcome, Resolved, Side, TcpState,
    Transport, What,
};
use serde::{Deserialize, Serialize};

use crate::Map;
use crate::OPERATIONS;
use crate::prove::{Use, UsedOperation};

/// The operations of so many kinds of conversation are kept, and so many names that somebody was told of an address; those
/// that come later are not.
pub const MAX_LOGGED: usize = 1 << 16;
/// Of each kind of operation so many targets are told apart in a kind of conversation; then only that it was asked for.
pub const MAX_TARGETS: usize = 64;
/// How hosts of a link find each other (RFC 826): without it nothing is allowed, and it says nothing of what they do.
const ARP: Transport = Transport::Ether(0x0806);
/// The version of the form in which a log is kept: bytes of another are not read.
const VERSION: u8 = 1;

/// Conversations of one kind: who opens them to whom, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Kind {
    client: Host,
    server: Host,
    transport: Transport,
    port: u16,
    protocol: Name,
}

/// A host as it is told apart: by its network address where it has one, for behind a router the link-layer address is the
/// router's.
fn one(host: Host) -> Host {
    if host.ip.is_some() { Host { mac: None, ..host } } else { host }
}

/// What conversations do not say of themselves: which operations clients asked for in them, and by which names they had found
/// the servers. A policy that allows some operations only, or names, is proven on these.
#[derive(Debug, Default)]
pub struct UseLog {
    kinds: Map<Kind, Vec<UsedOperation>>,
    /// The name that a client was last told of an address.
    names: Map<(IpAddr, IpAddr), Box<str>>,
    /// Operations and names that were left out since it was last told.
    left_out: u64,
}

/// A log as it is kept.
#[derive(Default, Serialize, Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    kinds: Vec<(Cow<'a, Kind>, Cow<'a, [UsedOperation]>)>,
    names: Vec<(IpAddr, IpAddr, Cow<'a, str>)>,
}

impl UseLog {
    /// Takes an observation. What was refused was not used; who or what was looked for (`discover`), such as each name of
    /// the DNS, is not told apart.
    pub fn observe(&mut self, observation: &Observation) {
        match &observation.what {
            What::Operation(operation) => self.asked(operation),
            What::Resolved(resolved) => self.resolved(resolved),
            _ => {}
        }
    }

    fn resolved(&mut self, resolved: &Resolved) {
        let Some(client) = resolved.flow.client.host.ip else { return };
        for address in &resolved.addresses {
            let room = self.names.len() < MAX_LOGGED;
            match self.names.get_mut(&(client, *address)) {
                Some(name) if *name == resolved.name => {}
                Some(name) => name.clone_from(&resolved.name),
                None if room => _ = self.names.insert((client, *address), resolved.name.clone()),
                None => self.left_out += 1,
            }
        }
    }

    fn asked(&mut self, operation: &Operation) {
        if operation.from != Side::Client || operation.outcome == Outcome::Refused {
            return;
        }
        let target = operation.target.as_deref().filter(|_| operation.kind != OperationKind::Discover);
        let flow = &operation.flow;
        let kind = Kind {
            client: one(flow.client.host),
            server: one(flow.server.host),
            transport: flow.transport,
            port: flow.server.port,
            protocol: operation.protocol.clone(),
        };
        let room = self.kinds.len() < MAX_LOGGED;
        let used = match self.kinds.get_mut(&kind) {
            Some(used) => used,
            None if room => self.kinds.entry(kind).or_default(),
            None => {
                self.left_out += 1;
                return;
            }
        };
        let is_same =
            |used: &&mut UsedOperation| used.kind == operation.kind && used.target.as_deref() == target;
        if let Some(known) = used.iter_mut().find(is_same) {
            known.count = known.count.saturating_add(1);
            return;
        }
        let targets = used.iter().filter(|known| known.kind == operation.kind).count();
        if targets < MAX_TARGETS {
            used.push(UsedOperation { kind: operation.kind, target: target.map(Into::into), count: 1 });
            return;
        }
        match used.iter_mut().find(|known| known.kind == operation.kind && known.target.is_none()) {
            Some(rest) => rest.count = rest.count.saturating_add(1),
            None => used.push(UsedOperation { kind: operation.kind, target: None, count: 1 }),
        }
    }

    /// How many operations and names were left out for [`MAX_LOGGED`] since this was last asked.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// The log as bytes, in an order that depends on what is in it alone; nothing while it is empty.
    pub fn save(&self) -> Option<Vec<u8>> {
        if self.kinds.is_empty() && self.names.is_empty() {
            return None;
        }
        let kinds: BTreeMap<_, _> = self.kinds.iter().collect();
        let names: BTreeMap<_, _> = self.names.iter().collect();
        let kept = Kept {
            kinds: kinds
                .into_iter()
                .map(|(kind, used)| (Cow::Borrowed(kind), Cow::Borrowed(&**used)))
                .collect(),
            names: names
                .into_iter()
                .map(|((client, ip), name)| (*client, *ip, Cow::Borrowed(&**name)))
                .collect(),
        };
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, &kept).ok()?;
        Some(bytes)
    }

    /// A log that was saved; an empty one if it is none.
    pub fn restore(bytes: &[u8]) -> Self {
        let kept: Option<Kept<'_>> = match bytes {
            [VERSION, text @ ..] => serde_json::from_slice(text).ok(),
            _ => None,
        };
        let kept = kept.unwrap_or_default();
        let most = (MAX_TARGETS + 1) * OPERATIONS.len();
        let kinds = kept.kinds.into_iter().filter(|(_, used)| used.len() <= most);
        let names = kept.names.into_iter().take(MAX_LOGGED);
        Self {
            kinds: kinds
                .map(|(kind, used)| (kind.into_owned(), used.into_owned()))
                .take(MAX_LOGGED)
                .collect(),
            names: names.map(|(client, ip, name)| ((client, ip), name.into())).collect(),
            left_out: 0,
        }
    }

    /// The name that a client was last told of an address.
    pub fn name(&self, client: IpAddr, address: IpAddr) -> Option<&str> {
        self.names.get(&(client, address)).map(|name| &**name)
    }

    /// The addresses that names have, as far as anybody was told them.
    pub fn names(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let mut names = BTreeMap::<String, BTreeSet<IpAddr>>::new();
        for ((_, address), name) in &self.names {
            names.entry(name.to_string()).or_default().insert(*address);
        }
        names.into_iter().map(|(name, addresses)| (name, addresses.into_iter().collect())).collect()
    }

    /// Puts conversations together to uses, with the operations and names of this log. Conversations that nobody answered or that were refused, which a scan leaves by the thousand, are
    /// no use of anything, unless a protocol was spoken in them, as in those that are addressed to groups.
    pub fn uses(&self, flows: impl IntoIterator<Item = FlowRecord>) -> Vec<Use> {
        let mut uses = BTreeMap::<(Kind, bool), Use>::new();
        for flow in flows.into_iter().filter(|flow| flow.head.transport != ARP) {
            let state = flow.tcp.as_ref().map(|tcp| tcp.state);
            let is_open =
                !matches!(state, Some(TcpState::SynSent | TcpState::SynReceived | TcpState::Refused));
            let is_answered = flow.received.packets > 0 && is_open;
            let is_named = flow.protocol.is_some();
            if !is_answered && !is_named {
                continue;
            }
            let kind = Kind {
                client: one(flow.head.client.host),
                server: one(flow.head.server.host),
                transport: flow.head.transport,
                port: flow.head.server.port,
                protocol: flow.protocol.clone().unwrap_or_default(),
            };
            let next = Use::from(&flow);
            uses.entry((kind, is_named))
                .and_modify(|known| {
                    known.answered |= next.answered;
                    known.first = known.first.min(next.first);
                    known.last = known.last.max(next.last);
                    known.count = known.count.saturating_add(1);
                    known.bytes = known.bytes.saturating_add(next.bytes);
                })
                .or_insert(next);
        }
        let with_operations = |((kind, _), mut used): ((Kind, bool), Use)| {
            let ends = kind.client.ip.zip(kind.server.ip);
            used.name = ends.and_then(|ends| self.names.get(&ends).cloned());
            used.operations = self.kinds.get(&kind).cloned().unwrap_or_default();
            used.operations.sort();
            used
        };
        uses.into_iter().map(with_operations).collect()
    }
}

#[cfg(test)]
mod tests {
    use model::{EndReason, Endpoint, FlowHead, FlowId, Reach, TcpStats, Timestamp, Volume};

    use super::*;

    fn head(port: u16) -> FlowHead {
        let end = |last: u8, port| Endpoint { host: Host::from_ip(IpAddr::from([10, 0, 0, last])), port };
        FlowHead {
            id: FlowId(0),
            transport: Transport::Tcp,
            vlan: None,
            client: end(5, 40_000),
            server: end(9, port),
            client_reach: Reach::Near,
            server_reach: Reach::Near,
        }
    }

    fn asks(kind: OperationKind, target: &str, outcome: Outcome) -> Observation {
        let operation = Operation {
            flow: head(502),
            from: Side::Client,
            protocol: "modbus".into(),
            kind,
            name: "any".into(),
            target: Some(target.into()),
            value: None,
            outcome,
            asked: None,
        };
        Observation { at: Timestamp::from_secs(1), what: What::Operation(Box::new(operation)) }
    }

    fn record(port: u16, answered: bool, at: u64) -> FlowRecord {
        let volume = Volume { packets: 2, bytes: 100, payload: 10 };
        FlowRecord {
            head: head(port),
            first: Timestamp::from_secs(at),
            last: Timestamp::from_secs(at + 1),
            sent: volume,
            received: if answered { volume } else { Volume::default() },
            protocol: (port == 502).then(|| "modbus".into()),
            tcp: None,
            end: EndReason::Finished,
        }
    }

    #[test]
    fn conversations_become_uses_with_what_was_asked_in_them() {
        let mut log = UseLog::default();
        for _ in 0..3 {
            log.observe(&asks(OperationKind::Read, "holding-registers 1", Outcome::Done));
        }
        log.observe(&asks(OperationKind::Write, "coils 1", Outcome::Refused));
        for name in ["a.example", "b.example"] {
            log.observe(&asks(OperationKind::Discover, name, Outcome::Done));
        }
        let resolved = Resolved {
            flow: head(53),
            name: "plc.example".into(),
            addresses: vec![IpAddr::from([10, 0, 0, 9])],
            ttl: 60,
        };
        log.observe(&Observation { at: Timestamp::from_secs(1), what: What::Resolved(Box::new(resolved)) });
        let log = UseLog::restore(&log.save().unwrap());
        assert_eq!(
            log.names(),
            BTreeMap::from([("plc.example".to_owned(), vec![IpAddr::from([10, 0, 0, 9])])])
        );
        let flows = [record(502, true, 10), record(502, true, 5), record(80, false, 7), record(80, true, 7)];
        let uses = log.uses(flows);
        assert_eq!(uses.len(), 2);
        let modbus = uses.iter().find(|used| used.port == 502).unwrap();
        assert_eq!((modbus.count, modbus.bytes, modbus.name.as_deref()), (2, 400, Some("plc.example")));
        assert_eq!((modbus.first.as_secs(), modbus.last.as_secs()), (5, 11));
        let read =
            UsedOperation { kind: OperationKind::Read, target: Some("holding-registers 1".into()), count: 3 };
        let discover = UsedOperation { kind: OperationKind::Discover, target: None, count: 2 };
        assert_eq!(modbus.operations, [discover, read]);
        assert_eq!(
            uses.iter().find(|used| used.port == 80).unwrap().count,
            1,
            "only those that were answered"
        );
    }

    #[test]
    fn what_was_refused_is_no_use_and_neither_is_finding_each_other() {
        let mut arp = record(0, true, 1);
        arp.head.transport = ARP;
        assert_eq!(UseLog::default().uses([arp]), []);
        let tcp = TcpStats { state: TcpState::Refused, ..TcpStats::default() };
        let refused = FlowRecord { tcp: Some(tcp), ..record(80, true, 1) };
        assert_eq!(UseLog::default().uses([refused]), []);
    }

    #[test]
    fn targets_beyond_the_limit_count_as_any_and_other_bytes_are_no_log() {
        let mut log = UseLog::default();
        for target in 0..MAX_TARGETS + 5 {
            log.observe(&asks(OperationKind::Write, &format!("coils {target}"), Outcome::Done));
        }
        let uses = log.uses([record(502, true, 1)]);
        let any = uses[0].operations.iter().find(|used| used.target.is_none()).unwrap();
        assert_eq!((uses[0].operations.len(), any.count), (MAX_TARGETS + 1, 5));
        assert!(UseLog::restore(b"").kinds.is_empty() && UseLog::restore(b"\x02[]").kinds.is_empty());
        assert_eq!(UseLog::default().save(), None);
    }
}
