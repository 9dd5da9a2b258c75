//! The API as those who ask see it: over HTTP, without a network.

mod attacks;
mod client;
mod contract;
mod matrix;
mod resources;
mod sessions;
