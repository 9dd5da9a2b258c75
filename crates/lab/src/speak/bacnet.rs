//! BACnet/IP (ANSI/ASHRAE 135, annex J and clauses 6, 20).

use std::net::SocketAddr;

use crate::bytes::{Put, build};
use crate::net::{HostId, Net};

const PORT: u16 = 47_808;
const DEVICE: u32 = 8;
/// Object types.
pub(crate) const ANALOG_INPUT: u32 = 0;
pub(crate) const ANALOG_VALUE: u32 = 2;
/// Properties.
pub(crate) const PRESENT_VALUE: u8 = 85;
pub(crate) const OBJECT_NAME: u8 = 77;
pub(crate) const MODEL_NAME: u8 = 70;
pub(crate) const VENDOR_NAME: u8 = 121;
pub(crate) const FIRMWARE: u8 = 44;
pub(crate) const SOFTWARE: u8 = 12;
pub(crate) const LOCATION: u8 = 58;

/// An object's identifier: type and instance.
pub(crate) fn object(kind: u32, instance: u32) -> u32 {
    kind << 22 | instance
}

/// The identifier of a device.
pub(crate) fn device(instance: u32) -> u32 {
    object(DEVICE, instance)
}

/// A value of a property.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Real(f32),
}

fn value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Real(number) => _ = out.u8(0x44).put(&number.to_be_bytes()),
        // Character set 0 is UTF-8; lengths from 5 on stand in a byte of their own.
        Value::Text(text) => {
            let length = 1 + text.len() as u8;
            if length < 5 {
                out.u8(0x70 | length);
            } else {
                out.u8(0x75).u8(length);
            }
            out.u8(0).put(text.as_bytes());
        }
    }
}

/// Wraps an application PDU; function 10 goes to one, 11 to all.
fn datagram(function: u8, control: &[u8], pdu: &[u8]) -> Vec<u8> {
    build(|m| {
        m.u8(0x81).u8(function).be16((4 + 1 + control.len() + pdu.len()) as u16).u8(1).put(control).put(pdu);
    })
}

/// To all devices of all nets.
const TO_ALL: &[u8] = &[0x20, 0xff, 0xff, 0, 0xff];

/// A device asks who is there; those given say so to all.
pub(crate) fn who_is(net: &mut Net, host: HostId, all: [u8; 4], found: &[(HostId, u32, u8)]) {
    let all = SocketAddr::from((all, PORT));
    net.tell(host, PORT, all, "bacnet", &datagram(11, TO_ALL, &[0x10, 8]));
    for (other, instance, vendor) in found {
        net.pause_us(3_000, 40_000);
        let pdu = build(|m| {
            // Up to 1476 bytes, segmented both ways.
            m.u8(0x10).u8(0).u8(0xc4).be32(device(*instance)).u8(0x22).be16(1_476).put(&[0x91, 0]);
            m.u8(0x21).u8(*vendor);
        });
        net.tell(*other, PORT, all, "bacnet", &datagram(11, TO_ALL, &pdu));
    }
}

/// A client reads properties, one after the other.
pub(crate) fn read(
    net: &mut Net,
    client: HostId,
    server: HostId,
    invoke: &mut u8,
    reads: &[(u32, u8, Value<'_>)],
) {
    let mut messages = Vec::new();
    for (object, property, content) in reads {
        *invoke = invoke.wrapping_add(1);
        let place = build(|m| _ = m.u8(0x0c).be32(*object).u8(0x19).u8(*property));
        let ask = build(|m| _ = m.u8(0).u8(5).u8(*invoke).u8(0x0c).put(&place));
        let tell = build(|m| {
            m.u8(0x30).u8(*invoke).u8(0x0c).put(&place).u8(0x3e);
            value(m, *content);
            m.u8(0x3f);
        });
        messages.push((datagram(10, &[4], &ask), datagram(10, &[0], &tell)));
    }
    let exchanges: Vec<_> = messages.iter().map(|(ask, tell)| (&**ask, &**tell)).collect();
    net.ask_from(client, PORT, server, (PORT, "bacnet"), &exchanges);
}

/// A client writes a property with a priority.
pub(crate) fn write(
    net: &mut Net,
    client: HostId,
    server: HostId,
    invoke: &mut u8,
    object: u32,
    number: f32,
) {
    *invoke = invoke.wrapping_add(1);
    let ask = build(|m| {
        m.u8(0).u8(5).u8(*invoke).u8(0x0f).u8(0x0c).be32(object).u8(0x19).u8(PRESENT_VALUE).u8(0x3e);
        value(m, Value::Real(number));
        m.u8(0x3f).put(&[0x49, 8]);
    });
    let tell = [0x20, *invoke, 0x0f];
    net.ask_from(
        client,
        PORT,
        server,
        (PORT, "bacnet"),
        &[(&datagram(10, &[4], &ask), &datagram(10, &[0], &tell))],
    );
}
