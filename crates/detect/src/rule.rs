//! What a detector is.

use model::{Finding, Severity, Timestamp};

use crate::hosts::{Channel, Who};
use crate::judge::{Out, Seen};

/// Describes one detector. Its texts are its page in the catalogue: they speak to whoever has to act.
pub struct Rule {
    /// Its name for machines: `host-scan`.
    pub id: &'static str,
    /// What it finds, in a few words: the title of its findings.
    pub title: &'static str,
    /// How bad that is, unless a finding says otherwise.
    pub severity: Severity,
    /// Techniques of MITRE ATT&CK, for Enterprise (`T1046`) and for ICS (`T0846`).
    pub attack: &'static [&'static str],
    /// What it looks for.
    pub finds: &'static str,
    /// Why that matters.
    pub matters: &'static str,
    /// What to do about it.
    pub fix: &'static str,
    /// The limits that it compares with, each of which can be set.
    pub thresholds: &'static [Threshold],
    /// What it wants to see.
    pub listens: &'static [Kind],
    /// How much it keeps at most, in words: its bound.
    pub keeps: &'static str,
    /// Begins to look.
    pub start: fn() -> Box<dyn Detector>,
}

/// A limit that can be set for a site, a network, a kind of device or one device.
pub struct Threshold {
    /// Its name behind the detector's: `failures` is set as `host-scan.failures`.
    pub name: &'static str,
    /// What it limits.
    pub about: &'static str,
    /// In what it is measured.
    pub unit: &'static str,
    /// What it is unless it is set.
    pub usual: f64,
}

/// The kinds of observation, for those who want some of them only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP conversation was asked for.
    Asked,
    /// A conversation was answered or recognised.
    Opened,
    /// Its protocol was recognised.
    Identified,
    /// It ended, or goes on for long.
    Ended,
    /// An address belongs to a link-layer address.
    Binding,
    /// A message was read.
    Message,
    /// Something is said about a host.
    Fact,
    /// One host asks another to do something.
    Operation,
    /// The rules of a protocol were broken.
    Anomaly,
    /// A conversation shows a weakness of one of its ends.
    Weakness,
    /// A data frame of a CAN bus.
    BusFrame,
    /// Process values were read.
    Samples,
    /// Something was done that people have said is not to be.
    Denied,
    /// None: packet time has gone on, see [`Detector::tick`].
    Tick,
}

impl Kind {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Tick as usize + 1;
}

/// Looks for one kind of thing that is wrong. Deterministic: what it says depends on what it was shown and on
/// packet time alone.
pub trait Detector: Send {
    /// Takes an observation of a kind for which it listens.
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>);

    /// Packet time has come to `now`, at most once a second and before anything observed then. Told to those who listen for
    /// [`Kind::Tick`].
    fn tick(&mut self, now: Timestamp, out: &mut Out<'_>) {
        let _ = (now, out);
    }

    /// A detector has found for the first time that somebody attacks (an open finding of high severity or worse that says
    /// more than that something is unusual), or that something is taken out of the network.
    fn found(&mut self, finding: &Finding, out: &mut Out<'_>) {
        let _ = (finding, out);
    }

    /// What was learnt, to go on with after a restart; nothing for those that do not learn.
    fn save(&self) -> Option<Vec<u8>> {
        None
    }

    /// Takes back what was learnt, before anything is shown. What cannot be read is not taken, and learning begins anew.
    fn restore(&mut self, learnt: &[u8]) {
        let _ = learnt;
    }

    /// Forgets everything about a host: its number will be another's.
    fn forget(&mut self, who: Who) {
        let _ = who;
    }

    /// Forgets everything about a channel: its number will be another's.
    fn forget_channel(&mut self, channel: Channel) {
        let _ = channel;
    }
}
