//! SNMP versions 2c (RFC 3416) and 3 (RFC 3412, RFC 3414), in BER.

use crate::bytes::{Put, build};
use crate::net::{HostId, Net};

/// A value.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Null,
    Text(&'a str),
    Oid(&'a [u32]),
    Ticks(u32),
    Counter(u32),
    Integer(u32),
}

pub(crate) const SYSTEM: &[u32] = &[1, 3, 6, 1, 2, 1, 1];

fn tlv(kind: u8, content: &[u8]) -> Vec<u8> {
    build(|v| {
        v.u8(kind);
        match content.len() {
            length @ 0..0x80 => v.u8(length as u8),
            length @ 0x80..0x100 => v.u8(0x81).u8(length as u8),
            length => v.u8(0x82).be16(length as u16),
        };
        v.put(content);
    })
}

/// A whole number that is not negative, in as few bytes as do.
fn unsigned(kind: u8, value: u32) -> Vec<u8> {
    let bytes = [&[0][..], &value.to_be_bytes()].concat();
    let skip = (0..4).take_while(|&at| bytes[at] == 0 && bytes[at + 1] < 0x80).count();
    tlv(kind, &bytes[skip..])
}

fn oid(parts: &[u32]) -> Vec<u8> {
    tlv(
        6,
        &build(|v| {
            if let [first, second, rest @ ..] = parts {
                v.u8((first * 40 + second) as u8);
                for &part in rest {
                    for shift in [28, 21, 14, 7] {
                        if part >> shift != 0 {
                            v.u8((part >> shift) as u8 & 127 | 128);
                        }
                    }
                    v.u8(part as u8 & 127);
                }
            }
        }),
    )
}

fn sequence(kind: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(kind, &parts.concat())
}

fn variables(list: &[(Vec<u32>, Value<'_>)]) -> Vec<u8> {
    let all: Vec<_> = list
        .iter()
        .map(|(name, value)| {
            let value = match *value {
                Value::Null => tlv(5, &[]),
                Value::Text(text) => tlv(4, text.as_bytes()),
                Value::Oid(parts) => oid(parts),
                Value::Ticks(ticks) => unsigned(0x43, ticks),
                Value::Counter(count) => unsigned(0x41, count),
                Value::Integer(number) => unsigned(2, number),
            };
            sequence(0x30, &[oid(name), value])
        })
        .collect();
    sequence(0x30, &all)
}

fn pdu(kind: u8, request: u32, list: &[(Vec<u32>, Value<'_>)]) -> Vec<u8> {
    sequence(kind, &[unsigned(2, request), unsigned(2, 0), unsigned(2, 0), variables(list)])
}

/// A message of version 2c.
fn community(name: &str, pdu: Vec<u8>) -> Vec<u8> {
    sequence(0x30, &[unsigned(2, 1), tlv(4, name.as_bytes()), pdu])
}

/// A manager reads variables by version 2c.
pub(crate) fn read(
    net: &mut Net,
    manager: HostId,
    agent: HostId,
    name: &str,
    values: &[(Vec<u32>, Value<'_>)],
) {
    let request = net.rng.u32() >> 1;
    let port = net.port(manager);
    get(net, (manager, port), agent, (name, request), values);
}

/// As [`read`], from the same port over and over.
pub(crate) fn poll(
    net: &mut Net,
    manager: (HostId, u16),
    agent: HostId,
    name: &str,
    values: &[(Vec<u32>, Value<'_>)],
) {
    let request = net.rng.u32() >> 1;
    get(net, manager, agent, (name, request), values);
}

fn get(
    net: &mut Net,
    (manager, port): (HostId, u16),
    agent: HostId,
    (name, request): (&str, u32),
    values: &[(Vec<u32>, Value<'_>)],
) {
    let names: Vec<_> = values.iter().map(|(name, _)| (name.clone(), Value::Null)).collect();
    let question = community(name, pdu(0xa0, request, &names));
    let answer = community(name, pdu(0xa2, request, values));
    net.ask_from(manager, port, agent, (161, "snmp"), &[(&question, &answer)]);
}

/// A manager sets variables by version 2c.
pub(crate) fn set(
    net: &mut Net,
    manager: HostId,
    agent: HostId,
    name: &str,
    values: &[(Vec<u32>, Value<'_>)],
) {
    let request = net.rng.u32() >> 1;
    let question = community(name, pdu(0xa3, request, values));
    let answer = community(name, pdu(0xa2, request, values));
    net.ask(manager, agent, (161, "snmp"), &question, &answer);
}

/// The variables of the system group (RFC 3418): description, object, up time, contact, name, location.
pub(crate) fn system<'a>(
    description: &'a str,
    object: &'a [u32],
    up: u32,
    [contact, name, location]: [&'a str; 3],
) -> Vec<(Vec<u32>, Value<'a>)> {
    let values = [
        Value::Text(description),
        Value::Oid(object),
        Value::Ticks(up),
        Value::Text(contact),
        Value::Text(name),
        Value::Text(location),
    ];
    (1..).zip(values).map(|(number, value)| ([SYSTEM, &[number, 0]].concat(), value)).collect()
}

/// Bytes in and out of some interfaces (RFC 2863).
pub(crate) fn counters(from: u32) -> Vec<(Vec<u32>, Value<'static>)> {
    let column = |column, row| vec![1, 3, 6, 1, 2, 1, 2, 2, 1, column, row];
    (1..=4).map(|row| (column(10, row), Value::Counter(from.wrapping_mul(row)))).collect()
}

fn version_3(id: u32, flags: u8, security: &[Vec<u8>], data: Vec<u8>) -> Vec<u8> {
    let head = sequence(0x30, &[unsigned(2, id), unsigned(2, 65_507), tlv(4, &[flags]), unsigned(2, 3)]);
    sequence(0x30, &[unsigned(2, 3), head, tlv(4, &sequence(0x30, security)), data])
}

/// A manager learns an agent's engine and then reads something under encryption (RFC 3414 section 4).
/// The encrypted parts are made of chance.
pub(crate) fn read_encrypted(net: &mut Net, manager: HostId, agent: HostId, engine: &[u8], user: &str) {
    let id = net.rng.u32() >> 2;
    let empty = || tlv(4, &[]);
    let who = |engine: &[u8], times: [u32; 2], user: &str| {
        vec![tlv(4, engine), unsigned(2, times[0]), unsigned(2, times[1]), tlv(4, user.as_bytes())]
    };
    let scoped = |engine: &[u8], pdu: Vec<u8>| sequence(0x30, &[tlv(4, engine), empty(), pdu]);
    let times = [4, 81_203];
    let question = version_3(
        id,
        4,
        &[who(&[], [0; 2], ""), vec![empty(), empty()]].concat(),
        scoped(&[], pdu(0xa0, id, &[])),
    );
    // usmStatsUnknownEngineIDs.
    let counter = [(vec![1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0], Value::Counter(17))];
    let report = version_3(
        id,
        0,
        &[who(engine, times, ""), vec![empty(), empty()]].concat(),
        scoped(engine, pdu(0xa8, id, &counter)),
    );
    let mut sealed = |id: u32, flags: u8, size: usize| {
        let secrets = vec![tlv(4, &net.rng.array::<12>()), tlv(4, &net.rng.array::<8>())];
        let data = tlv(4, &net.rng.bytes(size));
        version_3(id, flags, &[who(engine, times, user), secrets].concat(), data)
    };
    let (ask, answer) = (sealed(id + 1, 7, 56), sealed(id + 1, 3, 120));
    let port = net.port(manager);
    net.ask_from(manager, port, agent, (161, "snmp"), &[(&question, &report), (&ask, &answer)]);
}
