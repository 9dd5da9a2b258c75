//! What is not meant to be.

use serde::{Deserialize, Serialize};

use crate::{FlowHead, OperationKind, Side, Timestamp};

/// A conversation, or something that is asked in one, that people have said is not to be. It happened all the same: the
/// decision is recorded, not enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The conversation; its client is the one who should not have.
    pub flow: FlowHead,
    /// Who says so.
    pub by: DeniedBy,
    /// On what ground.
    pub ground: Ground,
    /// The rule that denies it or comes nearest, by its label or in its words; empty where none is about it.
    #[serde(skip_serializing_if = "str::is_empty", default)]
    pub rule: Box<str>,
    /// Why, in one clause, for people.
    pub why: Box<str>,
    /// The zones between which it leads, if they are two: `enterprise -> field`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zones: Option<Box<str>>,
    /// By what they talk, and what is asked, in a few words: `tcp/4444`, `modbus write`.
    pub service: Box<str>,
    /// What was asked, if the conversation itself is allowed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<OperationKind>,
    /// What that is done to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<Box<str>>,
    /// Whether it came to anything: the other side answered, or did not refuse what was asked.
    pub answered: bool,
    /// When it was seen first.
    pub since: Timestamp,
    /// How often it was seen since it was last told.
    pub times: u64,
}

/// Who says that something is not to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeniedBy {
    /// The policy of the place.
    Policy,
    /// The manufacturer's usage description (RFC 8520) of the device on this side.
    Profile(Side),
}

/// On what ground something is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// A rule denies it.
    Rule,
    /// A rule allows it, the conduit between the zones has no place for it.
    Conduit,
    /// The conversation is allowed, what is asked in it is not.
    Operation,
    /// The port is open for another protocol.
    Protocol,
    /// No rule is about it.
    Unlisted,
}
