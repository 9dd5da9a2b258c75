//! The engines as one deterministic machine.
//!
//! The brain takes [`Observation`]s and tells what follows as [`Event`]s. It hands each observation to the
//! engines in a fixed order and keeps count. It does no input or output, reads no clock and no random
//! source: the same observations in the same order give the same events, byte for byte, today or in a
//! replay next year. It knows no edge.

use std::collections::BTreeMap;

pub use inventory::{Inventory, Limits};
use model::{Event, Observation, Shed, Timestamp, What};

/// What the brain has taken in and told so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Observations.
    pub observations: u64,
    /// Conversations that ended; interim records are not counted.
    pub conversations: u64,
    /// Packets and bytes of conversations, interim records included.
    pub packets: u64,
    /// See `packets`.
    pub bytes: u64,
    /// Facts about hosts.
    pub facts: u64,
    /// Operations that hosts asked of each other.
    pub operations: u64,
    /// Messages.
    pub messages: u64,
    /// Anomalies by kind. The kinds are few: they are named by the dissectors.
    pub anomalies: BTreeMap<model::Name, u64>,
    /// Anomalies of kinds beyond [`ANOMALY_KINDS_MAX`].
    pub other_anomalies: u64,
    /// Events.
    pub events: u64,
    /// When the latest observation was made.
    pub latest: Timestamp,
}

/// So many kinds of anomaly are counted apart.
pub const ANOMALY_KINDS_MAX: usize = 1_024;

/// All engines, and what they know.
pub struct Brain {
    inventory: Inventory,
    counts: Counts,
}

impl Brain {
    /// A brain that knows nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { inventory: Inventory::new(limits), counts: Counts::default() }
    }

    /// Takes an observation and adds what follows to `events`.
    pub fn observe(&mut self, observation: &Observation, events: &mut Vec<Event>) {
        let before = events.len();
        self.count(observation);
        self.inventory.observe(observation, events);
        self.count_events(events.len() - before);
    }

    /// Lets packet time go on to `now`, without an observation.
    pub fn tick(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        let before = events.len();
        self.counts.latest = self.counts.latest.max(now);
        self.inventory.tick(now, events);
        self.count_events(events.len() - before);
    }

    /// The devices.
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The devices, to restore them from a store or to hand over what changed.
    pub const fn inventory_mut(&mut self) -> &mut Inventory {
        &mut self.inventory
    }

    /// What was taken in and told so far.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Hands over what the engines gave up because a limit was reached since the last time.
    pub fn drain_shed(&mut self, each: impl FnMut(Shed)) {
        self.inventory.drain_shed(each);
    }

    fn count_events(&mut self, new: usize) {
        self.counts.events += new as u64;
    }

    fn count(&mut self, observation: &Observation) {
        let counts = &mut self.counts;
        counts.observations += 1;
        counts.latest = counts.latest.max(observation.at);
        match &observation.what {
            What::FlowEnded(record) => {
                counts.conversations += u64::from(record.end != model::EndReason::Active);
                for volume in [&record.sent, &record.received] {
                    counts.packets = counts.packets.saturating_add(volume.packets);
                    counts.bytes = counts.bytes.saturating_add(volume.bytes);
                }
            }
            What::Fact(_) => counts.facts += 1,
            What::Operation(_) => counts.operations += 1,
            What::Message(_) => counts.messages += 1,
            What::Anomaly(anomaly) => {
                let room = counts.anomalies.len() < ANOMALY_KINDS_MAX;
                if let Some(count) = counts.anomalies.get_mut(&anomaly.kind) {
                    *count += 1;
                } else if room {
                    counts.anomalies.insert(anomaly.kind.clone(), 1);
                } else {
                    counts.other_anomalies += 1;
                }
            }
            What::FlowOpened(_)
            | What::FlowIdentified(_)
            | What::Binding(_)
            | What::Shed(_)
            | What::SourceEnded(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Anomaly, Binding, BindingSource, Change, Host, MacAddr};

    use super::*;

    fn at(seconds: u64, what: What) -> Observation {
        Observation { at: Timestamp::from_secs(seconds), what }
    }

    #[test]
    fn observations_reach_the_inventory_and_everything_is_counted() {
        let mut brain = Brain::new(Limits::default());
        let mut events = Vec::new();
        let mac = MacAddr([0, 0x1b, 0x1b, 0, 0, 1]);
        let ip = "10.0.0.1".parse().unwrap();
        let binding = Binding { mac, ip, source: BindingSource::Arp };
        brain.observe(&at(1, What::Binding(binding)), &mut events);
        let anomaly = Anomaly {
            flow: None,
            host: Host::from_mac(mac),
            kind: "ipv4.header-length".into(),
            detail: "".into(),
        };
        brain.observe(&at(2, What::Anomaly(Box::new(anomaly))), &mut events);
        assert!(matches!(&*events, [Event { change: Change::DeviceAppeared { .. }, .. }]), "{events:?}");
        assert_eq!(brain.inventory().counts().devices(), 1);
        let counts = brain.counts();
        assert_eq!((counts.observations, counts.events, counts.latest), (2, 1, Timestamp::from_secs(2)));
        assert_eq!(counts.anomalies.get("ipv4.header-length"), Some(&1));
    }

    #[test]
    fn kinds_of_anomaly_beyond_the_limit_are_counted_together() {
        let mut brain = Brain::new(Limits::default());
        for kind in 0..ANOMALY_KINDS_MAX + 5 {
            let kind = format!("test.{kind}").into();
            let anomaly = Anomaly { flow: None, host: Host::default(), kind, detail: "".into() };
            brain.observe(&at(1, What::Anomaly(Box::new(anomaly))), &mut Vec::new());
        }
        assert_eq!(brain.counts().anomalies.len(), ANOMALY_KINDS_MAX);
        assert_eq!(brain.counts().other_anomalies, 5);
    }
}
