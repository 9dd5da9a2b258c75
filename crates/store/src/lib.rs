//! What is kept: devices, conversations, counters and how far each source was read.
//!
//! A [`Store`] takes whole [`Commit`]s: after a crash at any moment it holds exactly the commits that
//! were made, none of them in part. Every commit carries the [`SourceState`] that is true with it, so
//! the store always says honestly how far it has come; [`SourceState::is_balanced`] is the invariant
//! that ties it to the conversations kept.
//!
//! There are two back ends, SQLite and memory, and one suite ([`conformance`]) that both pass. The
//! store knows the model and no engine.

mod audit;
pub mod conformance;
mod memory;
mod packed;
mod page;
mod segment;
mod sqlite;

/// What stands in the database's bodies: for tools that read it by themselves, and for tests with any bytes.
pub mod format {
    use model::FlowRecord;

    pub use crate::packed::{pack as pack_device, unpack as device};
    pub use crate::segment::{NotASegment, unpack as flows};

    /// Packs conversations into as many segments as they need.
    pub fn pack_flows(flows: &[FlowRecord]) -> Vec<Vec<u8>> {
        flows.iter().collect::<crate::Flows>().segments().map(|segment| segment.body).collect()
    }
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{
    Device, DeviceId, Finding, FindingId, FlowRecord, Host, Incident, IncidentId, Judgement, Order, Scope,
    Timestamp,
};
use serde::{Deserialize, Serialize};

pub use audit::{AuditEntry, AuditLog, FIELD_MAX};
pub use memory::Memory;
pub use page::{FlowPage, FlowPlace, FlowScan};
pub use segment::Flows;
pub use sqlite::Sqlite;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no state where it was looked for.
    #[error("there is no state in {0}: run `pavise watch SOURCE` first, or name another folder with --state")]
    Missing(PathBuf),
    /// The folder cannot be used.
    #[error("cannot use the state folder {path}: {source}; choose another with --state")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process writes to the state.
    #[error("another pavise is writing to {0}: wait for it, stop it, or name another folder with --state")]
    Busy(PathBuf),
    /// The state was opened for reading.
    #[error("the state in {0} was opened for reading")]
    ReadOnly(PathBuf),
    /// The state was written by a later version.
    #[error(
        "{path} was written by a later version of Pavise (format {found}, this one knows up to {known}): update Pavise"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The last format that this version knows.
        known: u32,
    },
    /// The disk is full.
    #[error(
        "the disk that holds {0} is full: what was committed before is kept; make room and run the same command again"
    )]
    Full(PathBuf),
    /// The database reports an error.
    #[error(
        "the state in {path} cannot be used: {source}; see that this user may write it, or choose another with --state"
    )]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Something that was kept cannot be read back.
    #[error("the state in {path} is damaged: {what}; move it away and watch the sources again")]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What is damaged.
        what: String,
    },
}

/// How far a source was read, and where its packets went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Names the source for good: what it is, not where it was typed.
    pub key: String,
    /// The source as the user named it.
    pub name: String,
    /// Packets read. Reading goes on after so many.
    pub packets: u64,
    /// Bytes of those packets on the wire.
    pub bytes: u64,
    /// Packets told of by conversations that are kept.
    pub recorded: u64,
    /// Packets of conversations that were open at this commit and are not kept yet.
    pub open: u64,
    /// How many conversations those are.
    pub open_flows: u64,
    /// Packets of conversations that were open when an earlier run was cut off.
    pub interrupted: u64,
    /// Packets that belong to no conversation, and pieces of datagrams never completed.
    pub without_flow: u64,
    /// Packets of conversations that were given up to stay within limits.
    pub shed: u64,
    /// Packets that the kernel dropped before Pavise saw them.
    pub dropped: u64,
    /// How many bytes it has on disk, where that is known.
    #[serde(default)]
    pub size: Option<u64>,
    /// Whether it was read to its end.
    pub complete: bool,
    /// What was lost and where, if it was damaged.
    pub damage: Option<String>,
    /// Time of the latest packet.
    pub last: Timestamp,
}

/// The keys of network interfaces begin so.
pub const LIVE: &str = "live:";

impl SourceState {
    /// Whether it comes from an interface, and so has no end.
    pub fn is_live(&self) -> bool {
        self.key.starts_with(LIVE)
    }

    /// Whether every packet read is accounted for.
    pub const fn is_balanced(&self) -> bool {
        self.packets == self.recorded + self.open + self.interrupted + self.without_flow + self.shed
    }
}

/// What was seen of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolTotals {
    /// Conversations.
    pub flows: u64,
    /// Packets in them.
    pub packets: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Anomalies in what was said.
    pub anomalies: u64,
}

/// What was seen of one kind of anomaly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnomalyTotals {
    /// How often it was reported.
    pub count: u64,
    /// When it was first reported.
    pub first: Timestamp,
    /// When it was last reported.
    pub last: Timestamp,
    /// Who sent the first one.
    pub host: Host,
    /// The particulars of the first one.
    pub detail: String,
}

/// What was given up because of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShedTotals {
    /// How many things.
    pub count: u64,
    /// Packets that they stood for.
    pub packets: u64,
    /// Bytes that they stood for.
    pub bytes: u64,
}

/// Where the packets lie that show a finding, in the folder of a state.
pub fn evidence_path(folder: &Path, finding: FindingId) -> PathBuf {
    folder.join("evidence").join(format!("{finding}.pcapng"))
}

/// Everything that is kept at once.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Records of conversations.
    pub flows: Flows,
    /// Devices that are gone, because they turned out to be others.
    pub gone: Vec<DeviceId>,
    /// What is added to the totals of protocols.
    pub protocols: BTreeMap<String, ProtocolTotals>,
    /// What is added to the totals of anomalies.
    pub anomalies: BTreeMap<String, AnomalyTotals>,
    /// What is added to the totals of things given up.
    pub shed: BTreeMap<String, ShedTotals>,
    /// Findings that are new or changed. What an analyst has said of them is kept apart: see [`Store::judge`].
    pub findings: Vec<Finding>,
    /// Incidents that are new or changed.
    pub incidents: Vec<Incident>,
    /// Incidents that turned out to be parts of others.
    pub gone_incidents: Vec<IncidentId>,
    /// What detectors have learnt, by detector; whatever was kept before is replaced.
    pub learnt: BTreeMap<String, Vec<u8>>,
    /// How far the source was read with this commit.
    pub source: SourceState,
}

/// What has changed since an earlier look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// By which number to ask next time.
    pub number: u64,
    /// Devices that are new or changed, by id.
    pub devices: Vec<Device>,
    /// Devices that are gone.
    pub gone: Vec<DeviceId>,
    /// Findings that are new or changed, by id, as they were kept: [`judged`] gives them the verdicts of analysts.
    pub findings: Vec<Finding>,
    /// Incidents that are new or changed, by id.
    pub incidents: Vec<Incident>,
    /// Incidents that are gone.
    pub gone_incidents: Vec<IncidentId>,
    /// Whether an analyst has judged, or taken a verdict back.
    pub judged: bool,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self { number: self.number, ..Self::default() }
    }
}

/// Which conversations are asked for. What is `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct FlowQuery {
    /// Either end has this address.
    pub ip: Option<std::net::IpAddr>,
    /// Either end has this link-layer address.
    pub mac: Option<model::MacAddr>,
    /// The protocol is this one, or the transport's name where none was recognised.
    pub protocol: Option<String>,
    /// The server's port.
    pub port: Option<u16>,
    /// It was active at or after this moment.
    pub since: Option<Timestamp>,
    /// It began at or before this moment.
    pub until: Option<Timestamp>,
}

impl FlowQuery {
    /// Whether a conversation is one of those asked for.
    pub fn matches(&self, flow: &FlowRecord) -> bool {
        let ends = [&flow.head.client, &flow.head.server];
        self.ip.is_none_or(|ip| ends.iter().any(|end| end.host.ip == Some(ip)))
            && self.mac.is_none_or(|mac| ends.iter().any(|end| end.host.mac == Some(mac)))
            && self.port.is_none_or(|port| flow.head.server.port == port)
            && self.since.is_none_or(|since| flow.last >= since)
            && self.until.is_none_or(|until| flow.first <= until)
            && self.protocol.as_ref().is_none_or(|wanted| match &flow.protocol {
                Some(protocol) => protocol == wanted,
                None => flow.head.transport.to_string() == *wanted,
            })
    }
}

/// Keeps what was learnt.
pub trait Store: Send {
    /// Keeps everything in `commit` and the devices that are new or changed, or nothing. Devices are taken
    /// one by one, so that all of them need never be held at once; by ascending id they are kept quickest.
    fn commit(&mut self, commit: Commit, devices: &mut dyn Iterator<Item = Device>)
    -> Result<(), StoreError>;

    /// All devices, by id.
    fn devices(&self) -> Result<Vec<Device>, StoreError>;

    /// Gives every conversation that is asked for to `each`, in the order in which they ended, until it
    /// returns false.
    fn flows(&self, query: &FlowQuery, each: &mut dyn FnMut(FlowRecord) -> bool) -> Result<(), StoreError>;

    /// A page of conversations, those that were recorded last first, of which `matches` holds.
    fn latest_flows(
        &self,
        scan: &FlowScan,
        matches: &mut dyn FnMut(&FlowRecord) -> bool,
    ) -> Result<FlowPage, StoreError>;

    /// What has changed since the look that gave this number; everything since 0. What was changed and is gone since is only
    /// told to be gone.
    fn changes(&self, since: u64) -> Result<Changes, StoreError>;

    /// What was seen of each protocol.
    fn protocols(&self) -> Result<BTreeMap<String, ProtocolTotals>, StoreError>;

    /// What was seen of each kind of anomaly.
    fn anomalies(&self) -> Result<BTreeMap<String, AnomalyTotals>, StoreError>;

    /// What was given up.
    fn shed(&self) -> Result<BTreeMap<String, ShedTotals>, StoreError>;

    /// All findings, by id, each with the verdict that was said of it last, or of one whose scope covers it.
    fn findings(&self) -> Result<Vec<Finding>, StoreError>;

    /// All incidents, by id.
    fn incidents(&self) -> Result<Vec<Incident>, StoreError>;

    /// What detectors have learnt, by detector.
    fn learnt(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError>;

    /// The verdicts of analysts, by finding. `None` is a verdict that was taken back.
    fn judgements(&self) -> Result<BTreeMap<FindingId, Option<Judgement>>, StoreError>;

    /// Keeps an analyst's verdict on a finding, or that it was taken back.
    fn judge(&mut self, finding: FindingId, judgement: Option<Judgement>) -> Result<(), StoreError>;

    /// What people have said about responses and nobody has carried out yet, the oldest first, each with its number.
    fn orders(&self) -> Result<Vec<(u64, Order)>, StoreError>;

    /// Keeps what a person says about a response until it is carried out.
    fn order(&mut self, order: Order) -> Result<(), StoreError>;

    /// Takes note that all orders up to this number were carried out: they are forgotten. Numbers are not used again.
    fn carried_out(&mut self, number: u64) -> Result<(), StoreError>;

    /// How far each source was read, in the order in which they were first seen.
    fn sources(&self) -> Result<Vec<SourceState>, StoreError>;

    /// How far one source was read.
    fn source(&self, key: &str) -> Result<Option<SourceState>, StoreError> {
        Ok(self.sources()?.into_iter().find(|source| source.key == key))
    }
}

/// Findings with the verdicts that were said of them last, or that cover them, or that follow from verdicts on those because
/// of which they are told.
pub fn judged(
    mut findings: Vec<Finding>,
    judgements: &BTreeMap<FindingId, Option<Judgement>>,
) -> Vec<Finding> {
    let is_wide = |said: &&Judgement| said.scope != Scope::Finding;
    let rulings: Vec<_> = findings
        .iter()
        .filter_map(|finding| Some((finding.clone(), judgements.get(&finding.id)?.as_ref().filter(is_wide)?)))
        .collect();
    for finding in &mut findings {
        let is_declared = finding.judgement.as_ref().is_some_and(|said| said.declared);
        if let Some(judgement) = judgements.get(&finding.id).filter(|said| said.is_some() || !is_declared) {
            finding.judgement.clone_from(judgement);
        } else if finding.judgement.as_ref().is_none_or(|said| said.by.is_some()) {
            let covers = |(of, said): &&(Finding, &Judgement)| said.scope.covers(of.about(), finding.about());
            let by = rulings.iter().find(covers);
            finding.judgement = by.map(|(of, said)| Judgement { by: Some(of.id), ..(*said).clone() });
        }
    }
    let said: BTreeMap<_, _> = findings
        .iter()
        .filter_map(|finding| Some((finding.id, finding.judgement.clone()?)))
        .filter(|(_, said)| said.verdict.silences())
        .collect();
    for finding in findings.iter_mut().filter(|finding| finding.judgement.is_none()) {
        finding.judgement = finding.withdrawn(|cause| said.get(&cause));
    }
    findings
}

impl ProtocolTotals {
    /// Adds what was seen since.
    pub const fn add(&mut self, more: &Self) {
        self.flows += more.flows;
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.anomalies += more.anomalies;
    }
}

impl AnomalyTotals {
    /// Adds what was reported since.
    pub fn add(&mut self, more: &Self) {
        if self.count == 0 {
            *self = more.clone();
        } else {
            self.count += more.count;
            self.last = self.last.max(more.last);
        }
    }
}

impl ShedTotals {
    /// Adds what was given up since.
    pub const fn add(&mut self, more: &Self) {
        self.count += more.count;
        self.packets += more.packets;
        self.bytes += more.bytes;
    }
}
