//! What is wrong: detectors, findings, incidents.
//!
//! [`Detect`] is a deterministic machine: it takes the observations that the inventory has taken, shows each to the
//! detectors that listen for its kind, and keeps what they say. A detector is one file in `detectors/` with one
//! constant [`Rule`] and one line in [`DETECTORS`]; its texts are its page in the catalogue.
//!
//! # What a finding is
//! A detector, who did it, to whom, and the matter (a port, a block, a domain): these four make its id. Whatever they
//! agree in is one finding, counted up, on the day it happens and in a replay next year. It is raised when there is
//! enough to say so and told again only when it gets worse.
//!
//! # What an incident is
//! Findings of which one leads to the other: the same actor, an actor who was a victim before, or something bad done
//! to one who was attacked by others. A finding that concerns two incidents makes them one. Weaknesses join an
//! incident but make none. Once somebody is found to attack, what he did before and what he does next joins the incident,
//! and makes it no worse.
//!
//! # Who is watched
//! Hosts that the inventory has proven to exist, [`MAX_HOSTS`] of them; whoever was quiet for longest is forgotten
//! first. Made-up senders push nobody out.

mod attack;
mod culprits;
mod detectors;
mod hosts;
mod incident;
mod intel;
mod judge;
mod learn;
mod ledger;
mod rule;
mod score;
mod settings;
mod table;
#[cfg(test)]
mod testing;

pub use attack::{TECHNIQUES, Tactic, Technique, technique};
pub use culprits::{Cause, Culprit};
pub use detectors::{DETECTORS, LEARNING};
pub use hosts::{Channel, MAX_CHANNELS, MAX_HOSTS, Who};
pub use incident::{MAX_INCIDENTS, MAX_PARTS, QUIET_HOURS};
pub use intel::{Indicator, Indicators, IntelError, MAX_INDICATORS, Read};
pub use judge::{Alarm, Asked, Detect, Out, Seen, Site, Suspicion};
pub use ledger::{Changed, MAX_CONVERSATIONS, MAX_FINDINGS, MAX_RULINGS};
pub use rule::{Detector, Kind, Rule, Threshold};
pub use score::{MAX_SCORES, Score};
pub use settings::{Expected, Network, NetworkError, Scoped, Settings, SettingsError, Step, Zone};
