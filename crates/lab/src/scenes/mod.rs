//! The scenes: who is there and what they do when.

pub(crate) mod city;
mod common;
pub(crate) mod home;
pub(crate) mod hospital;
pub(crate) mod plant;
pub(crate) mod retail;
pub(crate) mod vehicle;
