//! The engines as one deterministic machine.
//!
//! The brain takes [`Observation`]s and tells what follows as [`Event`]s. It hands each observation to the
//! engines in a fixed order. It does no input or output, reads no clock and no random source: the same
//! observations in the same order give the same events, byte for byte, today or in a replay next year. It
//! knows no edge.

mod declared;
mod profiles;

use declared::{Declared, Known};
pub use declared::{MAX_WAITING, Rules, SETTLING};
use detect::DETECTORS;
pub use detect::{Detect, Expected, Settings};
pub use inventory::{GROUP, Inventory, Limits};
use model::{
    Change, Denied, Event, FindingId, Host, Judgement, Locality, Observation, Shed, Timestamp, What,
};
use policy::{Problem, UseLog};
pub use profiles::Profiles;
use trust::posture::{Posture, Site, Standing};
pub use trust::posture::{State, Statement};

/// The name under which the log of uses is kept, beside what the detectors have learnt.
pub const USES: &str = "policy.uses";
/// The name under which the trust in devices is kept, beside what the detectors have learnt.
pub const TRUST: &str = "trust.posture";

/// All engines, and what they know.
pub struct Brain {
    inventory: Inventory,
    detect: Detect,
    uses: UseLog,
    declared: Declared,
    denied: Vec<Denied>,
    trust: Posture,
    judges: bool,
}

/// What the engine of trust asks of the other ones.
struct Engines<'a>(&'a Inventory, &'a Detect);

impl Site for Engines<'_> {
    fn standing(&self, finding: FindingId) -> Option<Standing> {
        self.1.finding(finding).map(Standing::from)
    }

    fn is_external(&self, host: &Host) -> bool {
        self.0.glance(host).is_some_and(|known| known.locality == Locality::External)
    }
}

impl Brain {
    /// A brain that knows nothing yet. With settings that switch all detectors off it senses, and judges nothing.
    pub fn new(limits: Limits, settings: Settings) -> Self {
        let judges = settings.off.len() < DETECTORS.len();
        let (inventory, detect) = (Inventory::new(limits), Detect::new(settings));
        let (uses, declared, denied) = (UseLog::default(), Declared::default(), Vec::new());
        Self { inventory, detect, uses, declared, denied, trust: Posture::default(), judges }
    }

    /// Judges from now on by what people have declared, with the devices and names that are known already.
    ///
    /// # Errors
    ///
    /// What makes a policy meaningless: see [`policy::Compiled::new`].
    pub fn declare(&mut self, rules: Rules) -> Result<(), Vec<Problem>> {
        self.declared = Declared::new(rules, &self.inventory, &self.uses)?;
        Ok(())
    }

    /// Fetches what observations are about to need, and changes nothing: see [`Inventory::prepare`]. Best
    /// for [`GROUP`] of them at a time, right before they are taken in.
    pub fn prepare(&self, observations: &[Observation]) {
        self.inventory.prepare(observations);
    }

    /// Takes an observation and adds what follows to `events`.
    pub fn observe(&mut self, observation: &Observation, events: &mut Vec<Event>) {
        let before = events.len();
        self.inventory.observe(observation, events);
        if self.judges {
            let known = Known { at: observation.at, inventory: &self.inventory, names: &self.uses };
            self.declared.observe(observation, &events[before..], known, &mut self.denied);
        }
        self.detect.observe(observation, &self.inventory, events);
        self.tell_denied(observation.at, events);
        if self.judges {
            let judged = events.len();
            self.trust.observe(observation.at, before, events, &Engines(&self.inventory, &self.detect));
            self.follow_trust(&events[judged..]);
            self.uses.observe(observation);
        }
    }

    /// Shows the detectors what people have said is not to be.
    fn tell_denied(&mut self, at: Timestamp, events: &mut Vec<Event>) {
        for denied in self.denied.drain(..) {
            let observation = Observation { at, what: What::Denied(Box::new(denied)) };
            self.detect.observe(&observation, &self.inventory, events);
        }
    }

    /// Lets packet time go on to `now`, without an observation.
    pub fn tick(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        let before = events.len();
        self.inventory.tick(now, events);
        if self.judges {
            let known = Known { at: now, inventory: &self.inventory, names: &self.uses };
            self.declared.tick(known, &mut self.denied);
        }
        self.detect.tick(now, &self.inventory, events);
        self.tell_denied(now, events);
        if self.judges {
            let judged = events.len();
            self.trust.observe(now, before, events, &Engines(&self.inventory, &self.detect));
            self.follow_trust(&events[judged..]);
        }
    }

    /// Tells the inventory, and who judges by a policy, how far devices are trusted by now.
    fn follow_trust(&mut self, events: &[Event]) {
        for event in events {
            if let (Some(device), Change::TrustChanged { to, .. }) = (event.device, &event.change) {
                self.inventory.set_access(device, *to);
                self.declared.hear(event);
            }
        }
    }

    /// The devices.
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The devices, to restore them from a store or to hand over what changed.
    pub const fn inventory_mut(&mut self) -> &mut Inventory {
        &mut self.inventory
    }

    /// What was found.
    pub const fn detect(&self) -> &Detect {
        &self.detect
    }

    /// What was found, to restore it from a store or to judge it.
    pub const fn detect_mut(&mut self) -> &mut Detect {
        &mut self.detect
    }

    /// Takes an analyst's verdict on a finding, or takes one back. Whether the finding is known. What follows for the trust
    /// in devices is told with the next observation.
    pub fn judge(&mut self, finding: FindingId, judgement: Option<Judgement>) -> bool {
        self.trust.review();
        self.detect.judge(finding, judgement)
    }

    /// Takes what somebody who knows says of a device at a moment: whether it has attested what runs on it, whether a
    /// weakness of it is known. What follows is added to `events`.
    pub fn state(&mut self, now: Timestamp, said: Statement, events: &mut Vec<Event>) {
        let judged = events.len();
        self.trust.state(now, said, events, &Engines(&self.inventory, &self.detect));
        self.follow_trust(&events[judged..]);
    }

    /// How far devices are trusted.
    pub const fn trust(&self) -> &Posture {
        &self.trust
    }

    /// What was learnt, by who learns it, to go on with after a restart.
    pub fn save(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut saved = self.detect.save();
        saved.extend(self.uses.save().map(|uses| (USES, uses)));
        saved.extend(self.trust.save().map(|trust| (TRUST, trust)));
        saved
    }

    /// Takes back what one of them had learnt, before anything is observed. What cannot be read is not taken.
    pub fn restore_learnt(&mut self, who: &str, learnt: &[u8]) {
        if who == USES {
            self.uses = UseLog::restore(learnt);
        } else if who == TRUST {
            self.trust = Posture::restore(learnt);
            // It may be older, or newer, than what is kept of the devices.
            let devices: Vec<_> = self.inventory.outlines().map(|device| device.id).collect();
            for device in devices {
                self.inventory.set_access(device, self.trust.of(device).access);
            }
        } else {
            self.detect.restore_learnt(who, learnt);
        }
    }

    /// Hands over findings and incidents that are new or changed since the last time; those that were only counted up
    /// if that is wanted, too.
    pub fn drain_found(&mut self, renewed: bool) -> detect::Changed {
        self.detect.drain_changed(renewed, &self.inventory)
    }

    /// Hands over what the engines gave up because a limit was reached since the last time.
    pub fn drain_shed(&mut self, mut each: impl FnMut(Shed)) {
        self.inventory.drain_shed(&mut each);
        self.detect.drain_shed(&mut each);
        let count = self.uses.take_left_out();
        if count > 0 {
            each(Shed { limit: USES.into(), count, packets: 0, bytes: 0 });
        }
        let count = self.trust.take_forgotten();
        if count > 0 {
            each(Shed { limit: TRUST.into(), count, packets: 0, bytes: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Binding, BindingSource, Change, MacAddr, What};

    use super::*;

    #[test]
    fn observations_reach_the_inventory_and_what_follows_is_told() {
        let mut brain = Brain::new(Limits::default(), Settings::default());
        let mut events = Vec::new();
        let mac = MacAddr([0, 0x1b, 0x1b, 0, 0, 1]);
        let ip = "10.0.0.1".parse().unwrap();
        let binding = Binding { mac, ip, source: BindingSource::Arp };
        let observation = Observation { at: Timestamp::from_secs(1), what: What::Binding(binding) };
        brain.observe(&observation, &mut events);
        assert!(matches!(&*events, [Event { change: Change::DeviceAppeared { .. }, .. }]), "{events:?}");
        assert_eq!(brain.inventory().counts().devices(), 1);
    }

    #[test]
    fn trust_goes_by_detectors_that_there_are() {
        for (detector, ..) in trust::posture::FINDINGS {
            assert!(DETECTORS.iter().any(|rule| rule.id == *detector), "{detector}");
        }
    }

    #[test]
    fn what_is_stated_of_a_device_is_told_and_stays_after_a_restart() {
        let mut brain = Brain::new(Limits::default(), Settings::default());
        let now = Timestamp::from_secs(1);
        let binding = Binding {
            mac: MacAddr([0, 0x1b, 0x1b, 0, 0, 1]),
            ip: "10.0.0.1".parse().unwrap(),
            source: BindingSource::Arp,
        };
        let mut events = Vec::new();
        brain.observe(&Observation { at: now, what: What::Binding(binding) }, &mut events);
        let device = events.pop().unwrap().device.unwrap();
        let said = Statement {
            device,
            state: State::Failed,
            source: "attestation".into(),
            reason: "another firmware".into(),
            at: now,
            expires: None,
        };
        brain.state(now, said, &mut events);
        let to = |event: &Event| match event.change {
            Change::TrustChanged { to, .. } => Some(to),
            _ => None,
        };
        assert_eq!(events.iter().map(to).collect::<Vec<_>>(), [Some(model::Access::Quarantine)]);
        let known = brain.inventory().device(device).unwrap();
        assert_eq!(known.access, model::Access::Quarantine, "whoever goes by devices hears of it");
        // What is kept of the device is older than what is kept of the trust in it.
        let mut again = Brain::new(Limits::default(), Settings::default());
        again.inventory_mut().restore(&model::Device { access: model::Access::Full, ..known });
        for (who, learnt) in brain.save() {
            again.restore_learnt(who, &learnt);
        }
        assert_eq!(again.trust().of(device), brain.trust().of(device));
        assert_eq!(again.inventory().device(device).unwrap().access, model::Access::Quarantine);
        assert_eq!(again.inventory_mut().drain_changed().count(), 1, "it is told to whoever keeps devices");
    }
}
