//! The back end that keeps everything in memory: for looking at something without keeping it.

use std::collections::BTreeMap;

use model::{Device, DeviceId, Finding, FindingId, FlowRecord, Incident, IncidentId, Judgement, Order};

use crate::segment::{self, Segment};
use crate::{
    AnomalyTotals, Changes, Commit, FlowPage, FlowQuery, FlowScan, ProtocolTotals, ShedTotals, SourceState,
    Store, StoreError, judged,
};

/// A store in memory. It is gone with the process.
#[derive(Debug, Default)]
pub struct Memory {
    devices: BTreeMap<DeviceId, Device>,
    segments: Vec<Segment>,
    protocols: BTreeMap<String, ProtocolTotals>,
    anomalies: BTreeMap<String, AnomalyTotals>,
    shed: BTreeMap<String, ShedTotals>,
    sources: Vec<SourceState>,
    findings: BTreeMap<FindingId, Finding>,
    incidents: BTreeMap<IncidentId, Incident>,
    learnt: BTreeMap<String, Vec<u8>>,
    judgements: BTreeMap<FindingId, Option<Judgement>>,
    orders: BTreeMap<u64, Order>,
    last_order: u64,
    /// How often something was changed, and with which change each thing was changed last.
    number: u64,
    changed: Changed,
}

/// With which change things were changed last, or went.
#[derive(Debug, Default)]
struct Changed {
    devices: BTreeMap<DeviceId, u64>,
    findings: BTreeMap<FindingId, u64>,
    incidents: BTreeMap<IncidentId, u64>,
    judged: u64,
}

/// What was changed after `since` and is there, and what went.
fn told<K: Copy + Ord, V: Clone>(
    changed: &BTreeMap<K, u64>,
    things: &BTreeMap<K, V>,
    since: u64,
) -> (Vec<V>, Vec<K>) {
    let after = || changed.iter().filter(|(_, number)| **number > since).map(|(id, _)| *id);
    (
        after().filter_map(|id| things.get(&id).cloned()).collect(),
        after().filter(|id| !things.contains_key(id)).collect(),
    )
}

impl Store for Memory {
    fn commit(
        &mut self,
        commit: Commit,
        devices: &mut dyn Iterator<Item = Device>,
    ) -> Result<(), StoreError> {
        self.number += 1;
        let number = self.number;
        self.segments.extend(commit.flows.segments());
        for device in devices {
            self.changed.devices.insert(device.id, number);
            self.devices.insert(device.id, device);
        }
        self.changed.devices.extend(commit.gone.iter().map(|id| (*id, number)));
        self.changed.findings.extend(commit.findings.iter().map(|finding| (finding.id, number)));
        self.changed.incidents.extend(commit.incidents.iter().map(|incident| (incident.id, number)));
        self.changed.incidents.extend(commit.gone_incidents.iter().map(|id| (*id, number)));
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
        self.findings.extend(commit.findings.into_iter().map(|finding| (finding.id, finding)));
        self.incidents.extend(commit.incidents.into_iter().map(|incident| (incident.id, incident)));
        for gone in &commit.gone_incidents {
            self.incidents.remove(gone);
        }
        self.learnt.extend(commit.learnt);
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

    fn latest_flows(
        &self,
        scan: &FlowScan,
        matches: &mut dyn FnMut(&FlowRecord) -> bool,
    ) -> Result<FlowPage, StoreError> {
        let mut page = FlowPage::default();
        let last = usize::try_from(scan.last_segment()).unwrap_or(usize::MAX);
        for (number, segment) in self.segments.iter().enumerate().rev().filter(|(number, _)| *number <= last)
        {
            let goes_on = scan
                .add(number as u64, &segment.body, matches, &mut page)
                .expect("a segment that was packed here can be unpacked");
            if !goes_on {
                return Ok(page);
            }
        }
        page.next = None;
        Ok(page)
    }

    fn changes(&self, since: u64) -> Result<Changes, StoreError> {
        let (devices, gone) = told(&self.changed.devices, &self.devices, since);
        let (findings, _) = told(&self.changed.findings, &self.findings, since);
        let (incidents, gone_incidents) = told(&self.changed.incidents, &self.incidents, since);
        let judged = self.changed.judged > since;
        Ok(Changes { number: self.number, devices, gone, findings, incidents, gone_incidents, judged })
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

    fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(judged(self.findings.values().cloned().collect(), &self.judgements))
    }

    fn incidents(&self) -> Result<Vec<Incident>, StoreError> {
        Ok(self.incidents.values().cloned().collect())
    }

    fn learnt(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        Ok(self.learnt.clone())
    }

    fn judgements(&self) -> Result<BTreeMap<FindingId, Option<Judgement>>, StoreError> {
        Ok(self.judgements.clone())
    }

    fn judge(&mut self, finding: FindingId, judgement: Option<Judgement>) -> Result<(), StoreError> {
        self.number += 1;
        self.changed.judged = self.number;
        self.judgements.insert(finding, judgement);
        Ok(())
    }

    fn orders(&self) -> Result<Vec<(u64, Order)>, StoreError> {
        Ok(self.orders.iter().map(|(number, order)| (*number, order.clone())).collect())
    }

    fn order(&mut self, order: Order) -> Result<(), StoreError> {
        self.last_order += 1;
        self.orders.insert(self.last_order, order);
        Ok(())
    }

    fn carried_out(&mut self, number: u64) -> Result<(), StoreError> {
        self.orders.retain(|known, _| *known > number);
        Ok(())
    }

    fn sources(&self) -> Result<Vec<SourceState>, StoreError> {
        Ok(self.sources.clone())
    }
}
