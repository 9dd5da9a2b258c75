//! The back end that keeps everything in memory: for looking at something without keeping it.

use std::collections::BTreeMap;

use model::{Device, DeviceId, FlowRecord};

use crate::{AnomalyTotals, Commit, FlowQuery, ProtocolTotals, ShedTotals, SourceState, Store, StoreError};

/// A store in memory. It is gone with the process.
#[derive(Debug, Default)]
pub struct Memory {
    devices: BTreeMap<DeviceId, Device>,
    flows: Vec<FlowRecord>,
    protocols: BTreeMap<String, ProtocolTotals>,
    anomalies: BTreeMap<String, AnomalyTotals>,
    shed: BTreeMap<String, ShedTotals>,
    sources: Vec<SourceState>,
}

impl Store for Memory {
    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        self.flows.extend(commit.flows.iter().cloned());
        self.devices.extend(commit.devices.iter().map(|device| (device.id, device.clone())));
        for gone in &commit.gone {
            self.devices.remove(gone);
        }
        for (name, more) in &commit.protocols {
            self.protocols.entry(name.clone()).or_default().add(more);
        }
        for (name, more) in &commit.anomalies {
            self.anomalies.entry(name.clone()).or_default().add(more);
        }
        for (name, more) in &commit.shed {
            self.shed.entry(name.clone()).or_default().add(more);
        }
        match self.sources.iter_mut().find(|source| source.key == commit.source.key) {
            Some(source) => *source = commit.source.clone(),
            None => self.sources.push(commit.source.clone()),
        }
        Ok(())
    }

    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        Ok(self.devices.values().cloned().collect())
    }

    fn flows(&self, query: &FlowQuery, each: &mut dyn FnMut(FlowRecord) -> bool) -> Result<(), StoreError> {
        let _ = self.flows.iter().filter(|flow| query.matches(flow)).all(|flow| each(flow.clone()));
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
