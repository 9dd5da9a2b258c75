//! What can follow from what was learnt.

use serde::{Deserialize, Serialize};

use crate::{
    Access, Attribute, Device, DeviceId, Finding, Incident, IncidentId, MacAddr, Name, Service, Timestamp,
};

/// Something that followed, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Packet time of the observation from which it followed.
    pub at: Timestamp,
    /// The device that it is about, where it is about one that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<DeviceId>,
    /// What followed.
    #[serde(flatten)]
    pub change: Change,
}

/// Everything that the brain tells the rest of the house.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Change {
    /// A device was seen for the first time.
    DeviceAppeared {
        /// As it is known at that moment.
        known: Box<Device>,
    },
    /// The best value of an attribute changed.
    AttributeChanged {
        /// Which.
        attribute: Attribute,
        /// Its value before, if it had one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        before: Option<Box<str>>,
        /// Its value now.
        after: Box<str>,
        /// Where the evidence stood.
        source: Name,
    },
    /// A device has an address it did not have before.
    AddressAdded {
        /// The address.
        ip: std::net::IpAddr,
    },
    /// A device has a link-layer address it did not have before.
    MacAdded {
        /// The address.
        mac: MacAddr,
    },
    /// A device offers a service it was not known to offer.
    ServiceOffered {
        /// The service.
        service: Service,
    },
    /// Two devices turned out to be one: `device` stays, the other is gone.
    DeviceMerged {
        /// The device that is gone.
        gone: DeviceId,
    },
    /// Something is wrong that was not wrong before, or is worse than it was.
    FindingRaised {
        /// What.
        finding: Box<Finding>,
    },
    /// An incident began, or a finding joined it.
    IncidentGrew {
        /// As it is now.
        incident: Box<Incident>,
    },
    /// Something was done about an incident, or asked, refused, undone; or its time was over.
    ActionTaken {
        /// What, to whom, and what came of it.
        action: Box<ActionTaken>,
    },
    /// A device is trusted further than before, or less far.
    TrustChanged {
        /// What it was allowed.
        from: Access,
        /// What it is allowed now.
        to: Access,
        /// Why it is not allowed more, the weightiest first; nothing where it is allowed all.
        reasons: Vec<Box<str>>,
    },
}

/// What a person says about a response, for whoever carries it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The id of the action.
    pub action: Box<str>,
    /// What is to become of it.
    pub say: OrderKind,
}

/// What is to become of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderKind {
    /// It is undone.
    Revert,
    /// What was asked is to be done.
    Yes,
    /// What was asked is not to be done.
    No,
}

/// What came of something that was to be done about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionTaken {
    /// The id under which it can be undone or answered; empty for what was only told.
    #[serde(skip_serializing_if = "str::is_empty", default)]
    pub id: Box<str>,
    /// What was to be done: `contain`, `quarantine`, `block-destination`, ...
    pub action: Name,
    /// What came of it: `taken`, `observed` (it would have been taken), `asked`, `told`, `requested` (of somebody who has not
    /// done it yet), `declined`, `refused`, `failed`, `reverted`, `expired`.
    pub outcome: Name,
    /// Whom it concerns.
    pub target: Box<str>,
    /// For which incident.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<IncidentId>,
    /// Why.
    pub reason: Box<str>,
    /// Until when it holds, by the clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    /// How many of the conversations that were known at that moment it cut.
    #[serde(default)]
    pub cuts: u64,
}
