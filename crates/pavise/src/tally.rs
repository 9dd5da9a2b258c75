//! What a run has seen: totals and the conversations that carried most.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use model::{EndReason, Endpoint, FlowRecord, Name, Observation, Transport, What};
use store::{AnomalyTotals, ProtocolTotals, ShedTotals};

/// So many different conversations are told apart when the largest are looked for; beyond that, the
/// smaller half is forgotten now and then.
const MAX_CONVERSATIONS: usize = 1 << 16;
/// So many kinds of anomaly are told apart.
const MAX_ANOMALY_KINDS: usize = 4096;

/// Who talked to which service of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conversation {
    pub(crate) client: model::Host,
    pub(crate) server: Endpoint,
    pub(crate) transport: Transport,
    pub(crate) protocol: Option<Name>,
}

impl Hash for Conversation {
    /// In a few words, for every conversation is looked up once: what carries it hardly tells more apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let word = |host: &model::Host| match (host.ip, host.mac) {
            (Some(IpAddr::V4(ip)), _) => ip.to_bits().into(),
            (Some(IpAddr::V6(ip)), _) => ip.to_bits(),
            (None, mac) => {
                mac.unwrap_or_default().0.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte))
            }
        };
        state.write_u128(word(&self.client));
        state.write_u128(word(&self.server.host));
        state.write_u16(self.server.port);
    }
}

/// How much.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    pub(crate) flows: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Totals of one kind, since the start of the run or since the last commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) protocols: BTreeMap<String, ProtocolTotals>,
    pub(crate) anomalies: BTreeMap<String, AnomalyTotals>,
    pub(crate) shed: BTreeMap<String, ShedTotals>,
}

impl Totals {
    /// Adds what was seen since.
    pub(crate) fn add(&mut self, more: &Self) {
        for (name, more) in &more.protocols {
            self.protocols.entry(name.clone()).or_default().add(more);
        }
        for (name, more) in &more.anomalies {
            self.anomalies.entry(name.clone()).or_default().add(more);
        }
        for (name, more) in &more.shed {
            self.shed.entry(name.clone()).or_default().add(more);
        }
    }

    /// How many anomalies were reported.
    pub(crate) fn anomaly_count(&self) -> u64 {
        self.anomalies.values().map(|totals| totals.count).sum()
    }
}

/// What a run has seen so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Who can choose addresses cannot choose the seed.
    conversations: HashMap<Conversation, Weight, foldhash::fast::RandomState>,
    /// Since the last commit.
    pub(crate) fresh: Totals,
}

/// The name under which a conversation's protocol is counted.
pub(crate) fn protocol_name(protocol: Option<&Name>, transport: Transport) -> String {
    protocol.map_or_else(|| transport.to_string(), ToString::to_string)
}

impl Tally {
    pub(crate) fn observe(&mut self, observation: &Observation) {
        match &observation.what {
            What::FlowEnded(record) => self.flow(record),
            What::Anomaly(anomaly) => {
                if let Some((protocol, _)) = anomaly.kind.split_once('.')
                    && dissect::proto::by_id(protocol).is_some()
                {
                    self.fresh.protocols.entry(protocol.to_owned()).or_default().anomalies += 1;
                }
                let known = self.fresh.anomalies.len();
                let kind: &str =
                    if known < MAX_ANOMALY_KINDS || self.fresh.anomalies.contains_key(&*anomaly.kind) {
                        &anomaly.kind
                    } else {
                        "other"
                    };
                let one = AnomalyTotals {
                    count: 1,
                    first: observation.at,
                    last: observation.at,
                    host: anomaly.host,
                    detail: anomaly.detail.to_string(),
                };
                self.fresh.anomalies.entry(kind.to_owned()).or_default().add(&one);
            }
            What::Shed(shed) => {
                let more = ShedTotals { count: shed.count, packets: shed.packets, bytes: shed.bytes };
                self.fresh.shed.entry(shed.limit.to_string()).or_default().add(&more);
            }
            _ => {}
        }
    }

    fn flow(&mut self, record: &FlowRecord) {
        let (packets, bytes) =
            (record.sent.packets + record.received.packets, record.sent.bytes + record.received.bytes);
        // An interim record is not another conversation.
        let flows = u64::from(record.end != EndReason::Active);
        let protocol = record.protocol.as_deref();
        // Looking up by reference first saves an allocation for each conversation.
        let totals = match protocol.and_then(|id| self.fresh.protocols.get_mut(id)) {
            Some(totals) => totals,
            None => {
                let name = protocol_name(record.protocol.as_ref(), record.head.transport);
                self.fresh.protocols.entry(name).or_default()
            }
        };
        totals.add(&ProtocolTotals { flows, packets, bytes, anomalies: 0 });
        let conversation = Conversation {
            client: record.head.client.host,
            server: record.head.server,
            transport: record.head.transport,
            protocol: record.protocol.clone(),
        };
        if self.conversations.len() >= MAX_CONVERSATIONS && !self.conversations.contains_key(&conversation) {
            self.forget_small();
        }
        let weight = self.conversations.entry(conversation).or_default();
        weight.flows += flows;
        weight.packets += packets;
        weight.bytes += bytes;
    }

    fn forget_small(&mut self) {
        let mut sizes: Vec<u64> = self.conversations.values().map(|weight| weight.bytes).collect();
        let middle = sizes.len() / 2;
        let (_, median, _) = sizes.select_nth_unstable(middle);
        let median = *median;
        self.conversations.retain(|_, weight| weight.bytes > median);
    }

    /// The conversations that carried most bytes, the largest first.
    pub(crate) fn top(&self, count: usize) -> Vec<(Conversation, Weight)> {
        let mut all: Vec<_> = self.conversations.iter().map(|(key, weight)| (key.clone(), *weight)).collect();
        all.sort_by(|(a_key, a), (b_key, b)| b.bytes.cmp(&a.bytes).then_with(|| a_key.cmp(b_key)));
        all.truncate(count);
        all
    }
}
