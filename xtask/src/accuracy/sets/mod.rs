//! The labelled sets: one file and one line each.

mod batadal;
mod can_daga;
mod can_j1939;
mod iot23;
mod lsif;
mod modbus_lemay;
mod nemea_siot;
mod qut;
mod qut_dnp3;
mod qut_s7comm;
mod ton_iot;

use super::trial::Set;

/// All sets.
pub(crate) const SETS: &[Set] = &[
    modbus_lemay::SET,
    qut_s7comm::SET,
    qut_dnp3::SET,
    iot23::SET,
    can_daga::SET,
    can_j1939::SET,
    lsif::SET,
    nemea_siot::SET,
    batadal::SET,
    ton_iot::SET,
];
