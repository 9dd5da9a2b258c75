//! Bytes to messages.
//!
//! [`wire`] takes a frame apart from its link header to its transport payload: checked views, no copy.
//! [`proto`] understands what is inside: one folder per protocol, each described by one constant
//! [`Protocol`](proto::Protocol).
//!
//! Nothing here keeps more than a conversation's own state, does input or output, or reads a clock.
//! Untrusted bytes yield messages and anomalies, never a panic; no recursion is deeper than a named
//! constant and nothing is allocated by a length that was not checked against the bytes at hand.

pub mod proto;
pub mod wire;

#[cfg(test)]
pub(crate) mod testing;
