//! The back end that keeps everything in memory: for looking at something without keeping it.

use std::collections::BTreeMap;

use model::{Device, DeviceId, FlowRecord};

use crate::segment::{self, Segment};
use crate::{AnomalyTotals, Commit, FlowQuery, ProtocolTotals, ShedTotals, SourceState, Store, StoreError};

/// A store in memory. It is gone with the process.
#[derive(Debug, Default)]
pub struct Memory {
    devices: BTreeMap<DeviceId, Device>,
    segments: Vec<Segment>,
    protocols: BTreeMap<String, ProtocolTotals>,
    anomalies: BTreeMap<String, AnomalyTotals>,
    shed: BTreeMap<String, ShedTotals>,
    sources: Vec<SourceState>,
}

impl Store for Memory {
    fn commit(
        &mut self,
        commit: Commit,
        devices: &mut dyn Iterator<Item = Device>,
    ) -> Result<(), StoreError> {
        self.segments.extend(commit.flows.segments());
        self.devices.extend(devices.map(|device| (device.id, device)));
        for gone in &commit.gone {
            self.devices.remove(gone);
        }
        for (name, more) in commit.protocols {
            self.protocols.entry(name).or_default().add(&more);
        }
        for (name, more) in commit.anomalies {
            self.anomalies.entry(name).or_default().add(&more);
        }
        for (name, more) in commit.shed {
            self.shed.entry(name).or_default().add(&more);
        }
        match self.sources.iter_mut().find(|source| source.key == commit.source.key) {
            Some(source) => *source = commit.source,
            None => self.sources.push(commit.source),
        }
        Ok(())
    }

    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        Ok(self.devices.values().cloned().collect())
    }

    fn flows(&self, query: &FlowQuery, each: &mut dyn FnMut(FlowRecord) -> bool) -> Result<(), StoreError> {
        for segment in &self.segments {
            let goes_on = segment::unpack(&segment.body, &mut |flow| !query.matches(&flow) || each(flow))
                .expect("a segment that was packed here can be unpacked");
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    fn protocols(&self) -> Result<BTreeMap<String, ProtocolTotals>, StoreError> {
        Ok(self.protocols.clone())
    }

    fn anomalies(&self) -> Result<BTreeMap<String, AnomalyTotals>, StoreError> {
        Ok(self.anomalies.clone())
    }

    fn shed(&self) -> Result<BTreeMap<String, ShedTotals>, StoreError> {
        Ok(self.shed.clone())
    }

    fn sources(&self) -> Result<Vec<SourceState>, StoreError> {
        Ok(self.sources.clone())
    }
}
