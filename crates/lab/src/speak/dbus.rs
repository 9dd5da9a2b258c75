//! D-Bus over TCP (D-Bus Specification 0.43): the text with which a connection begins, then messages.

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, NO_PROTOCOL, Net};

fn align(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

fn text(out: &mut Vec<u8>, value: &str) {
    align(out, 4);
    out.le32(value.len() as u32).put(value.as_bytes()).u8(0);
}

/// A header field: code, signature of its value, value; numbers are written as their signature demands.
enum Field<'a> {
    Path(&'a str),
    Text(u8, &'a str),
    ReplyTo(u32),
    Signature(&'a str),
}

/// A message, little-endian ("Message Format").
fn message(kind: u8, serial: u32, fields: &[Field<'_>], body: &[u8]) -> Vec<u8> {
    let list = build(|m| {
        for field in fields {
            align(m, 8);
            match field {
                Field::Path(value) => text(m.put(&[1, 1, b'o', 0]), value),
                Field::Text(code, value) => text(m.put(&[*code, 1, b's', 0]), value),
                Field::ReplyTo(value) => _ = m.put(&[5, 1, b'u', 0]).le32(*value),
                Field::Signature(value) => _ = m.put(&[8, 1, b'g', 0]).short(value.as_bytes()).u8(0),
            }
        }
    });
    build(|m| {
        m.u8(b'l').u8(kind).u8(0).u8(1).le32(body.len() as u32).le32(serial).le32(list.len() as u32);
        m.put(&list);
        align(m, 8);
        m.put(body);
    })
}

/// Connects without proving anything, as far as the first call, which every client makes.
pub(crate) fn open(net: &mut Net, client: HostId, server: HostId, port: u16) -> ConnId {
    let conn = net.connect(client, server, port, NO_PROTOCOL);
    let guid = net.rng.hex(32);
    net.exchange(conn, b"\0AUTH ANONYMOUS\r\n", format!("OK {guid}\r\n").as_bytes());
    net.client_says(conn, b"BEGIN\r\n");
    let own = "org.freedesktop.DBus";
    call(net, conn, 1, ["/org/freedesktop/DBus", own, own, "Hello"], &[], ":1.77");
    conn
}

/// Calls a method with texts and is answered with one: path, destination, interface, member.
pub(crate) fn call(
    net: &mut Net,
    conn: ConnId,
    serial: u32,
    [path, destination, interface, member]: [&str; 4],
    arguments: &[&str],
    answer: &str,
) {
    let signature = "s".repeat(arguments.len());
    let mut fields = vec![
        Field::Path(path),
        Field::Text(6, destination),
        Field::Text(2, interface),
        Field::Text(3, member),
    ];
    if !arguments.is_empty() {
        fields.push(Field::Signature(&signature));
    }
    let body = build(|m| arguments.iter().for_each(|argument| text(m, argument)));
    let told = build(|m| text(m, answer));
    let reply = [Field::ReplyTo(serial), Field::Text(7, destination), Field::Signature("s")];
    net.exchange(conn, &message(1, serial, &fields, &body), &message(2, serial + 100, &reply, &told));
}
