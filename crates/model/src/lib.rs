//! The nouns that all crates share.
//!
//! Two vocabularies carry everything: an [`Observation`] is something that can be learnt, an [`Event`]
//! is something that can follow. The stages of Pavise speak to each other in nothing else. This crate
//! knows no other crate of the house, does no input or output and reads no clock.

mod access;
mod address;
mod denied;
mod device;
mod event;
mod finding;
mod flow;
mod observation;
mod record;
mod time;

pub use access::Access;
pub use address::{Endpoint, Host, MacAddr};
pub use denied::{Denied, DeniedBy, Ground};
pub use device::{
    AddressUse, Attribute, Confidence, Device, DeviceId, Evidence, Locality, Peer, Role, Service,
};
pub use event::{ActionTaken, Change, Event, Order, OrderKind};
pub use finding::{
    About, Crossed, Factor, Finding, FindingId, FindingIdError, Incident, IncidentId, IncidentIdError,
    Judgement, NextStep, Party, Scope, Severity, Slice, Verdict,
};
pub use flow::{
    Direction, EndReason, FlowHead, FlowId, FlowRecord, Reach, Side, TcpFlags, TcpState, TcpStats, Transport,
    Volume,
};
pub use observation::{
    Anomaly, Binding, BindingSource, BusData, BusFrame, Fact, FlowIdentified, Message, Observation,
    Operation, OperationKind, Outcome, Point, Resolved, Sample, Samples, Shed, SourceSummary, Weakness, What,
};
pub use record::{Name, Record, RecordError, Value};
pub use time::Timestamp;
