//! MQTT 3.1.1 and 5 (OASIS).

use crate::bytes::{Put, build};

/// The version of the protocol, as it stands in the connect packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.1.1.
    V311 = 4,
    /// 5.
    V5 = 5,
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    build(|m| {
        m.u8(first);
        let mut length = body.len();
        loop {
            let more = if length > 127 { 0x80 } else { 0 };
            m.u8((length & 127) as u8 | more);
            length >>= 7;
            if length == 0 {
                break;
            }
        }
        m.put(body);
    })
}

/// Properties of version 5: none.
fn properties(out: &mut Vec<u8>, version: Version) {
    if version == Version::V5 {
        out.u8(0);
    }
}

/// Connects as `client`, with a user name and a password of stars.
pub(crate) fn connect(version: Version, client: &str, user: Option<&str>, keep_alive: u16) -> Vec<u8> {
    packet(
        0x10,
        &build(|m| {
            m.long(b"MQTT").u8(version as u8).u8(if user.is_some() { 0xc2 } else { 2 }).be16(keep_alive);
            if version == Version::V5 {
                // Session expiry interval, 3.1.2.11.2.
                m.short(&[0x11, 0, 0, 0x0e, 0x10]);
            }
            m.long(client.as_bytes());
            if let Some(user) = user {
                m.long(user.as_bytes()).long(b"********");
            }
        }),
    )
}

/// The broker agrees.
pub(crate) fn connack(version: Version) -> Vec<u8> {
    packet(
        0x20,
        &build(|m| {
            m.u8(0).u8(0);
            if version == Version::V5 {
                // Topic alias maximum, 3.2.2.3.8.
                m.short(&[0x22, 0, 10]);
            }
        }),
    )
}

/// Subscribes to a topic.
pub(crate) fn subscribe(version: Version, id: u16, topic: &str) -> Vec<u8> {
    packet(
        0x82,
        &build(|m| {
            m.be16(id);
            properties(m, version);
            m.long(topic.as_bytes()).u8(1);
        }),
    )
}

/// The broker agrees to a subscription.
pub(crate) fn suback(version: Version, id: u16) -> Vec<u8> {
    packet(
        0x90,
        &build(|m| {
            m.be16(id);
            properties(m, version);
            m.u8(1);
        }),
    )
}

/// Publishes; with an `id` at least once, without at most once.
pub(crate) fn publish(version: Version, id: Option<u16>, topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(
        if id.is_some() { 0x32 } else { 0x30 },
        &build(|m| {
            m.long(topic.as_bytes());
            if let Some(id) = id {
                m.be16(id);
            }
            properties(m, version);
            m.put(payload);
        }),
    )
}

/// Has received a publication.
pub(crate) fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

pub(crate) const PING: &[u8] = &[0xc0, 0];
pub(crate) const PONG: &[u8] = &[0xd0, 0];
