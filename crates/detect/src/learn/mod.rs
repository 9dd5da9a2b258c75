//! What learning detectors share: sets that know when they are whole, statistics that forget, scores that are
//! false-alarm rates, hours that are known, and a form in which what was learnt survives a restart.
//!
//! Nothing here assumes how long learning takes. A set says how likely it is that what comes next is new
//! ([`Novelty::unseen`]); a score says how much of what was learnt is as unusual ([`Reservoir::p_value`]). What is
//! compared with a threshold is always one of these two, so thresholds are rates of false alarms and hold at
//! every site.

mod burst;
mod damped;
mod growth;
mod hours;
mod novelty;
mod relations;
mod reservoir;
mod snapshot;

pub(crate) use burst::Bursts;
pub(crate) use damped::{Damped, DampedPair};
pub(crate) use growth::Growth;
pub(crate) use hours::Hours;
pub(crate) use novelty::{News, Novelty, poisson_upper};
pub(crate) use relations::{Relations, Residual};
pub(crate) use reservoir::Reservoir;
pub(crate) use snapshot::{from_bytes, to_bytes};
