//! The scenes: who is there and what they do when.

mod common;
pub(crate) mod home;
pub(crate) mod plant;
pub(crate) mod retail;
