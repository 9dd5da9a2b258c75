//! The state as those who answer see it: a picture that never changes, replaced as the state does.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use model::{
    Access, Device, DeviceId, Finding, FindingId, Incident, IncidentId, Judgement, Severity, Timestamp,
};
use store::{AnomalyTotals, ProtocolTotals, ShedTotals, SourceState, Sqlite, Store, StoreError};

/// So many readers of the state wait to be used again at most.
const READERS_KEPT: usize = 8;

/// What is known, at a moment.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// Which change of the state it is of.
    pub number: u64,
    /// The time of the latest packet: ages are told from it.
    pub now: Timestamp,
    /// All devices, by id.
    pub devices: Arc<Vec<Arc<Device>>>,
    /// All findings with what analysts said, by id.
    pub findings: Arc<Vec<Arc<Finding>>>,
    /// All incidents, by id.
    pub incidents: Arc<Vec<Arc<Incident>>>,
    /// What is open against each device: how many findings, and how bad the worst is.
    pub open: Arc<HashMap<DeviceId, (u32, Severity)>>,
    /// How far each source was read.
    pub sources: Vec<SourceState>,
    /// What was seen of each protocol.
    pub protocols: BTreeMap<String, ProtocolTotals>,
    /// What was seen of each kind of anomaly.
    pub anomalies: BTreeMap<String, AnomalyTotals>,
    /// What was given up.
    pub shed: BTreeMap<String, ShedTotals>,
}

/// Finds something by its id among those in order of ids.
fn by_id<T, I: Ord>(all: &[Arc<T>], id: I, of: impl Fn(&T) -> I) -> Option<&Arc<T>> {
    all.binary_search_by_key(&id, |one| of(one)).ok().and_then(|place| all.get(place))
}

impl Estate {
    /// A device.
    pub fn device(&self, id: DeviceId) -> Option<&Arc<Device>> {
        by_id(&self.devices, id, |device| device.id)
    }

    /// A finding.
    pub fn finding(&self, id: FindingId) -> Option<&Arc<Finding>> {
        by_id(&self.findings, id, |finding| finding.id)
    }

    /// An incident.
    pub fn incident(&self, id: IncidentId) -> Option<&Arc<Incident>> {
        by_id(&self.incidents, id, |incident| incident.id)
    }
}

/// Something that has happened, for those who listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A device is new or has changed.
    Device {
        /// Which.
        id: DeviceId,
        /// Whether it is new.
        is_new: bool,
        /// How far it is trusted.
        access: Access,
    },
    /// A device turned out to be another one.
    DeviceGone(DeviceId),
    /// A finding is new or has changed.
    Finding {
        /// Which.
        id: FindingId,
        /// Whether it is new.
        is_new: bool,
        /// How bad it is.
        severity: Severity,
        /// Whether somebody has said that it is expected or false.
        is_silenced: bool,
    },
    /// An incident is new or has changed.
    Incident {
        /// Which.
        id: IncidentId,
        /// Whether it is new.
        is_new: bool,
        /// How bad it is.
        severity: Severity,
    },
    /// An incident turned out to be part of another one.
    IncidentGone(IncidentId),
    /// Packets were read.
    Progress {
        /// How many in all.
        packets: u64,
        /// When the latest was sent.
        at: Timestamp,
    },
}

/// Puts what has changed among what is there, both in order of ids.
fn merge<T, I: Ord + Copy>(all: &[Arc<T>], changed: Vec<T>, gone: &[I], of: impl Fn(&T) -> I) -> Vec<Arc<T>> {
    let mut out = Vec::with_capacity(all.len() + changed.len());
    let mut changed = changed.into_iter().map(Arc::new).peekable();
    for one in all {
        let id = of(one);
        while let Some(next) = changed.next_if(|next| of(next) < id) {
            out.push(next);
        }
        match changed.next_if(|next| of(next) == id) {
            Some(next) => out.push(next),
            None if gone.binary_search(&id).is_ok() => {}
            None => out.push(Arc::clone(one)),
        }
    }
    out.extend(changed);
    out
}

/// What follows from findings for devices.
fn open(findings: &[Arc<Finding>]) -> HashMap<DeviceId, (u32, Severity)> {
    let mut open: HashMap<DeviceId, (u32, Severity)> = HashMap::new();
    for finding in findings.iter().filter(|finding| !finding.is_silenced()) {
        let parties = [finding.actor.device, finding.victim.as_ref().and_then(|victim| victim.device)];
        let same = parties[0] == parties[1];
        for id in parties.into_iter().take(if same { 1 } else { 2 }).flatten() {
            let known = open.entry(id).or_insert((0, Severity::Info));
            *known = (known.0 + 1, known.1.max(finding.severity));
        }
    }
    open
}

/// Follows the state in a folder, and lends out readers of it.
#[derive(Debug)]
pub struct Mirror {
    folder: PathBuf,
    /// Readers that nobody uses just now.
    readers: Mutex<Vec<Reader>>,
    current: RwLock<Arc<Estate>>,
    /// Findings as they were kept, and what analysts said: what is told follows from both.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    findings: BTreeMap<FindingId, Finding>,
    judgements: BTreeMap<FindingId, Option<Judgement>>,
}

/// A reader of the state.
struct Reader(Sqlite);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// What a lock guards is whole after each step, whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mirror {
    /// Follows the state in `folder`, which may not be there yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
            readers: Mutex::default(),
            current: RwLock::default(),
            kept: Mutex::default(),
        }
    }

    /// The folder of the state.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The latest picture.
    pub fn estate(&self) -> Arc<Estate> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets `read` read the state. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// If the state cannot be read, or what `read` says.
    pub fn read<T>(&self, read: impl FnOnce(&Sqlite) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let waiting = lock(&self.readers).pop();
        let reader = match waiting {
            Some(reader) => reader,
            None => Reader(Sqlite::open(&self.folder)?),
        };
        // One that failed is not used again.
        let out = read(&reader.0)?;
        let mut readers = lock(&self.readers);
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
        Ok(out)
    }

    /// Takes in what has changed, and says what that is. A state that is not there yet is one in which nothing is known.
    ///
    /// # Errors
    ///
    /// If the state cannot be read; the picture stays as it was.
    pub fn refresh(&self) -> Result<Vec<Notice>, StoreError> {
        let before = self.estate();
        let read = self.read(|store| {
            let changes = store.changes(before.number)?;
            if changes.number == before.number {
                return Ok(None);
            }
            let judgements = if changes.judged { Some(store.judgements()?) } else { None };
            let totals = (store.sources()?, store.protocols()?, store.anomalies()?, store.shed()?);
            Ok(Some((changes, judgements, totals)))
        });
        let (changes, judgements, (sources, protocols, anomalies, shed)) = match read {
            Ok(Some(read)) => read,
            Ok(None) | Err(StoreError::Missing(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut notices = Vec::new();
        notices.extend(changes.devices.iter().map(|device| Notice::Device {
            id: device.id,
            is_new: before.device(device.id).is_none(),
            access: device.access,
        }));
        notices.extend(changes.gone.iter().map(|id| Notice::DeviceGone(*id)));
        notices.extend(changes.incidents.iter().map(|incident| Notice::Incident {
            id: incident.id,
            is_new: before.incident(incident.id).is_none(),
            severity: incident.severity,
        }));
        notices.extend(changes.gone_incidents.iter().map(|id| Notice::IncidentGone(*id)));
        let found = !changes.findings.is_empty() || changes.judged;
        let findings = if found {
            let mut kept = lock(&self.kept);
            kept.findings.extend(changes.findings.into_iter().map(|finding| (finding.id, finding)));
            if let Some(judgements) = judgements {
                kept.judgements = judgements;
            }
            let told = store::judged(kept.findings.values().cloned().collect(), &kept.judgements);
            let mut findings = Vec::with_capacity(told.len());
            for finding in told {
                let known = before.finding(finding.id);
                if let Some(same) = known.filter(|known| ***known == finding) {
                    findings.push(Arc::clone(same));
                    continue;
                }
                notices.push(Notice::Finding {
                    id: finding.id,
                    is_new: known.is_none(),
                    severity: finding.severity,
                    is_silenced: finding.is_silenced(),
                });
                findings.push(Arc::new(finding));
            }
            Arc::new(findings)
        } else {
            Arc::clone(&before.findings)
        };
        let packets = |sources: &[SourceState]| sources.iter().map(|source| source.packets).sum::<u64>();
        let now = sources.iter().map(|source| source.last).max().unwrap_or_default();
        if packets(&sources) != packets(&before.sources) {
            notices.push(Notice::Progress { packets: packets(&sources), at: now });
        }
        let estate = Estate {
            number: changes.number,
            now,
            devices: Arc::new(merge(&before.devices, changes.devices, &changes.gone, |device| device.id)),
            incidents: Arc::new(merge(
                &before.incidents,
                changes.incidents,
                &changes.gone_incidents,
                |one| one.id,
            )),
            open: if found { Arc::new(open(&findings)) } else { Arc::clone(&before.open) },
            findings,
            sources,
            protocols,
            anomalies,
            shed,
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(estate);
        Ok(notices)
    }
}

#[cfg(test)]
mod tests {
    use model::{Scope, Verdict};
    use store::Commit;
    use store::conformance::{device, finding};

    use super::*;

    #[test]
    fn the_picture_follows_the_state_and_tells_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::new(folder.path());
        assert!(mirror.refresh().unwrap().is_empty(), "no state yet: nothing is known");
        let mut store = Sqlite::create(folder.path()).unwrap();
        let source = |packets| SourceState {
            key: "a".into(),
            packets,
            last: Timestamp::from_secs(packets),
            ..SourceState::default()
        };
        let commit =
            Commit { findings: vec![finding(1), finding(4)], source: source(5), ..Commit::default() };
        store.commit(commit, &mut (0..4).map(device)).unwrap();
        let notices = mirror.refresh().unwrap();
        assert_eq!(notices.len(), 7, "four devices, two findings, progress: {notices:?}");
        let first = mirror.estate();
        assert_eq!((first.devices.len(), first.findings.len(), first.now), (4, 2, Timestamp::from_secs(5)));
        assert_eq!(first.open[&DeviceId(4)], (1, finding(4).severity));
        assert!(mirror.refresh().unwrap().is_empty());

        let changed = Device { packets_out: 99, ..device(2) };
        let commit = Commit { gone: vec![DeviceId(1)], source: source(5), ..Commit::default() };
        store.commit(commit, &mut [changed.clone(), device(7)].into_iter()).unwrap();
        let judgement = Judgement {
            verdict: Verdict::False,
            scope: Scope::Finding,
            reason: "".into(),
            by: None,
            declared: false,
        };
        store.judge(finding(4).id, Some(judgement)).unwrap();
        let notices = mirror.refresh().unwrap();
        let silenced = Notice::Finding {
            id: finding(4).id,
            is_new: false,
            severity: finding(4).severity,
            is_silenced: true,
        };
        let device_new = |id, is_new| Notice::Device { id: DeviceId(id), is_new, access: Access::Full };
        assert_eq!(
            notices,
            [device_new(2, false), device_new(7, true), Notice::DeviceGone(DeviceId(1)), silenced]
        );
        let second = mirror.estate();
        let ids: Vec<u64> = second.devices.iter().map(|device| device.id.0).collect();
        assert_eq!(ids, [0, 2, 3, 7]);
        assert_eq!(**second.device(DeviceId(2)).unwrap(), changed);
        assert!(second.device(DeviceId(1)).is_none());
        assert!(!second.open.contains_key(&DeviceId(4)), "what is called false is held against nobody");
        assert_eq!(first.devices.len(), 4, "whoever answers goes on with what he began with");
        assert!(Arc::ptr_eq(&first.findings[0], &second.findings[0]), "what has not changed is the same");
    }
}
