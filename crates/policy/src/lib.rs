//! What may talk to what: zones and conduits (IEC 62443-3-2), groups, rules down to single operations, and what must never
//! be possible.
//!
//! A policy is text under version control ([`parse`]; what is printed reads back). Together with the devices and names that
//! there are ([`Estate`]) and a table of where protocols are usually found ([`Protocols`]) it becomes [`Compiled`], which
//!
//! * decides quickly whether a conversation or an operation may happen ([`Compiled::decide`]), and says why
//!   ([`Compiled::explain`]);
//! * tells what is questionable ([`Compiled::lint`]): contradictions, crossings without a conduit, invariants that do not
//!   hold, expectations that are not met;
//! * tells who can get where, also through hosts that are taken over ([`View`]);
//! * tells what it would have done to what was seen ([`Compiled::prove`]), and what another one changes ([`Diff`]);
//! * hands a firewall compiler its entries ([`Compiled::network_entries`]);
//! * follows the inventory, device by device ([`Compiled::update`]).
//!
//! [`Proposal`] goes the other way: from what was seen to a policy that allows it, and little more.
//!
//! What is not allowed is denied; `deny` overrides `allow`; the order of statements never matters; replies belong to the
//! conversation, and its direction is who opens it. This crate does no input or output and knows no protocol by heart.

mod classes;
mod compile;
mod decide;
mod diff;
mod expect;
mod explain;
mod lint;
mod problem;
mod prove;
mod reach;
mod recommend;
mod service;
mod sets;
mod standing;
mod syntax;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod uses;
mod view;

pub use classes::{Bonds, ClassRef, Located, Opens, Stretch};
pub use compile::{Compiled, Estate};
pub use decide::{Ask, Asked, Decision, Effect, Who, Why};
pub use diff::{Change, Diff, ReachChange};
pub use expect::{Failure, MAX_PAIRS};
pub use explain::{Considered, Crossed, Explanation, Membership, Side};
pub use lint::MAX_TOLD;
pub use problem::{Place, Problem, Severity};
pub use prove::{Cut, Effects, Proof, Tally, Use, UsedOperation};
pub use reach::{Hop, Reached, Violation, Way, Ways};
pub use recommend::{
    DENSITY, Flagged, MANY_CLIENTS, MANY_NAMES, MANY_PORTS, MANY_TARGETS, OBJECTIONS, Objection, Proposal,
};
pub use service::{MAX_DEFINITIONS, Ports, Protocols};
pub use sets::MAX_GROUPS;
pub use syntax::{
    Conduit, Criticality, Group, Guard, Invariant, Level, MAX_BYTES, MAX_LIST, MAX_PROBLEMS, OPERATIONS,
    Operation, Policy, Rule, Service, ServiceDefinition, Term, Verdict, Zone, is_name, operation_name, parse,
};
pub use target::{Range, Target};
pub use uses::{MAX_LOGGED, MAX_TARGETS, UseLog};
pub use view::{Lowered, Member, Members, NetworkEntry, SetRef, Spot, View};

/// A map that is only looked up in, never gone through in its own order.
type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;
