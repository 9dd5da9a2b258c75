//! Zero trust: nobody is believed because of where he is (NIST SP 800-207).
//!
//! [`access`] says who may do what, [`posture`] how far each device is trusted. This crate knows the model, does no input or output, and reads no clock.

pub mod access;
pub mod posture;
