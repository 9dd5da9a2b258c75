//! Packets to conversations to observations.
//!
//! The engine finds each packet's conversation, follows its transport, puts its bytes in order within a
//! budget, asks every protocol once whether it knows them, and feeds the one that does. What the parsers
//! find becomes [`Observation`](model::Observation)s.
//!
//! # Why the result does not depend on the number of threads
//! Conversations are spread by their addresses over [`LANES`] lanes, whatever the number of shards. A
//! lane has its own table, timers and budgets, so what it does depends only on its own packets and on
//! the ticks of packet time that every lane gets at the same places. A shard is a thread that works some
//! of the lanes. What the lanes of one batch say is put in the order of the packets that made them say
//! it. One lane's share of every limit is the whole limit divided by [`LANES`].
//!
//! # Invariants
//! * Every packet that reaches the engine is counted in exactly one conversation or under exactly one
//!   reason in [`Counters`].
//! * Memory is bounded by [`Limits`]; what is given up to stay within them is told by an observation
//!   [`Shed`](model::Shed) and counted.
//! * No clock is read. Time is the latest packet time seen since the source began.

mod application;
mod conversation;
mod counters;
mod engine;
mod key;
mod lane;
mod limits;
mod registry;
mod slab;
mod tcp;

pub use counters::{Counters, ProtocolCounter};
pub use engine::{Engine, Frame, Frames};
pub use key::LANES;
pub use limits::Limits;
