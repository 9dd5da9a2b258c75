//! Modbus over TCP (Modbus Application Protocol V1.1b3, Messaging on TCP/IP V1.0b).

use crate::bytes::{Put, build};

/// A message: transaction, unit, function and data.
pub(crate) fn message(transaction: u16, unit: u8, function: u8, data: &[u8]) -> Vec<u8> {
    build(|m| _ = m.be16(transaction).be16(0).be16(2 + data.len() as u16).u8(unit).u8(function).put(data))
}

/// First address and quantity, as most requests have.
pub(crate) fn span(first: u16, count: u16) -> Vec<u8> {
    build(|m| _ = m.be16(first).be16(count))
}

/// A number of bytes and the bytes.
pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    build(|m| _ = m.short(bytes))
}

/// Registers as bytes.
pub(crate) fn registers(values: &[u16]) -> Vec<u8> {
    build(|m| values.iter().for_each(|value| _ = m.be16(*value)))
}

/// The request to read device identification (section 6.21), from an object on.
pub(crate) fn identify(code: u8) -> Vec<u8> {
    vec![14, code, 0]
}

/// The answer to [`identify`], with all objects.
pub(crate) fn identity(code: u8, objects: &[(u8, &str)]) -> Vec<u8> {
    build(|m| {
        // Conformity 0x82: basic and regular identification, as a stream and one by one.
        m.u8(14).u8(code).u8(0x82).u8(0).u8(0).u8(objects.len() as u8);
        for (id, text) in objects {
            m.u8(*id).short(text.as_bytes());
        }
    })
}
