//! TLS 1.2 (RFC 5246) and 1.3 (RFC 8446): hellos, a certificate, then records of chance.
//!
//! The handshake's form is right; its secrets are not: key shares, signatures and all that would be
//! encrypted are made of chance, so that no key material exists that could open a scene.

use std::net::Ipv6Addr;

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};
use crate::rng::Rng;

/// How a client's hello looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A browser or a telephone: TLS 1.3, with GREASE (RFC 8701).
    Browser,
    /// A Linux program.
    Program,
    /// A small device: TLS 1.2, few suites.
    Small,
    /// Within QUIC: TLS 1.3 alone (RFC 9001 section 4.2).
    Quic,
}

/// What a server shows as its certificate.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    /// Common name and alternative name.
    pub(crate) host: &'static str,
    pub(crate) organisation: &'static str,
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    build(|m| _ = m.u8(kind).be16(0x0303).long(body))
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    build(|m| _ = m.u8(kind).be24(body.len() as u32).put(body))
}

fn extension(out: &mut Vec<u8>, kind: u16, body: &[u8]) {
    out.be16(kind).long(body);
}

fn list16(values: &[u16]) -> Vec<u8> {
    build(|v| values.iter().for_each(|value| _ = v.be16(*value)))
}

/// A client's first message (RFC 8446 section 4.1.2).
pub(crate) fn client_hello(rng: &mut Rng, style: Style, host: &str, protocols: &[&str]) -> Vec<u8> {
    const GREASE: [u16; 4] = [0x0a0a, 0x3a3a, 0x7a7a, 0xcaca];
    let grease = GREASE[usize::from(rng.u8() & 3)];
    let modern = style != Style::Small;
    let mut suites = match style {
        Style::Browser => vec![
            grease, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ],
        Style::Program => {
            vec![0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc02b, 0xc02f, 0x009f, 0x009e]
        }
        Style::Small => vec![0xc02b, 0xc02c, 0xc02f, 0xc023, 0xc009],
        Style::Quic => vec![0x1301, 0x1302, 0x1303],
    };
    if matches!(style, Style::Program | Style::Small) {
        // No renegotiation without protection (RFC 5746 section 3.3).
        suites.push(0x00ff);
    }
    let mut groups = vec![29, 23, 24];
    if style == Style::Browser {
        groups.insert(0, grease);
    }
    let extensions = build(|m| {
        if style == Style::Browser {
            extension(m, grease, &[]);
        }
        if !host.is_empty() {
            let entry = build(|v| _ = v.u8(0).long(host.as_bytes()));
            extension(m, 0, &build(|v| _ = v.long(&entry)));
        }
        extension(m, 10, &build(|v| _ = v.long(&list16(&groups))));
        if style != Style::Quic {
            extension(m, 23, &[]);
            extension(m, 11, &[1, 0]);
        }
        if modern {
            extension(m, 35, &[]);
        }
        if !protocols.is_empty() {
            let all = build(|v| protocols.iter().for_each(|id| _ = v.short(id.as_bytes())));
            extension(m, 16, &build(|v| _ = v.long(&all)));
        }
        let signatures: &[u16] = match style {
            Style::Small => &[0x0403, 0x0401],
            _ => &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
        };
        extension(m, 13, &build(|v| _ = v.long(&list16(signatures))));
        if modern {
            let shares = build(|v| {
                if style == Style::Browser {
                    v.be16(grease).long(&[0]);
                }
                v.be16(29).long(&rng.array::<32>());
            });
            extension(m, 51, &build(|v| _ = v.long(&shares)));
            extension(m, 45, &[1, 1]);
            let versions = match style {
                Style::Browser => vec![grease, 0x0304, 0x0303],
                Style::Quic => vec![0x0304],
                _ => vec![0x0304, 0x0303],
            };
            extension(m, 43, &build(|v| _ = v.short(&list16(&versions))));
        }
        if style == Style::Quic {
            // Transport parameters (RFC 9000 section 18.2): idle timeout 30 s, datagrams of 1,472
            // bytes, a megabyte of data, 100 streams, source connection identifier of no length.
            extension(
                m,
                57,
                &[
                    1, 4, 0x80, 0, 0x75, 0x30, 3, 2, 0x45, 0xc0, 4, 4, 0x80, 0x10, 0, 0, 8, 2, 0x40, 100, 15,
                    0,
                ],
            );
        }
    });
    let session = if matches!(style, Style::Browser | Style::Program) { rng.bytes(32) } else { Vec::new() };
    let body = build(|m| {
        m.be16(0x0303)
            .put(&rng.array::<32>())
            .short(&session)
            .long(&list16(&suites))
            .short(&[0])
            .long(&extensions);
    });
    handshake(1, &body)
}

/// A server's answer in TLS 1.3 (RFC 8446 section 4.1.3).
pub(crate) fn server_hello(rng: &mut Rng, session: &[u8]) -> Vec<u8> {
    let extensions = build(|m| {
        extension(m, 43, &[3, 4]);
        extension(m, 51, &build(|v| _ = v.be16(29).long(&rng.array::<32>())));
    });
    let hello = build(|m| {
        m.be16(0x0303).put(&rng.array::<32>()).short(session).be16(0x1301).u8(0).long(&extensions);
    });
    handshake(2, &hello)
}

/// A client's first message as a record, which says 1.0 for the sake of old servers (RFC 8446
/// section 5.1).
pub(crate) fn first_record(hello: &[u8]) -> Vec<u8> {
    let mut first = record(22, hello);
    first[2] = 1;
    first
}

/// A server's refusal: a fatal alert, "handshake failure" (RFC 5246 section 7.2).
pub(crate) fn alert() -> Vec<u8> {
    record(21, &[2, 40])
}

/// The session identifier in a client's hello, which a 1.3 server repeats.
fn session_of(hello: &[u8]) -> &[u8] {
    let at = 4 + 2 + 32;
    hello.get(at).and_then(|&length| hello.get(at + 1..at + 1 + usize::from(length))).unwrap_or_default()
}

// ---- a certificate (RFC 5280), by hand

fn der(kind: u8, content: &[u8]) -> Vec<u8> {
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

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

const COUNTRY: &[u8] = &[0x55, 4, 6];
const ORGANISATION: &[u8] = &[0x55, 4, 10];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

fn distinguished(parts: &[(&[u8], &str)]) -> Vec<u8> {
    let sets: Vec<_> = parts
        .iter()
        .map(|(oid, text)| {
            let kind = if *oid == COUNTRY { 0x13 } else { 0x0c };
            der(0x31, &sequence(&[der(6, oid), der(kind, text.as_bytes())]))
        })
        .collect();
    sequence(&sets)
}

/// A whole number of 32 bytes, positive.
fn number(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = rng.array::<32>();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    der(2, &bytes)
}

/// A signature of the right form and no meaning.
fn signature(rng: &mut Rng) -> Vec<u8> {
    sequence(&[number(rng), number(rng)])
}

/// A version 3 certificate for a P-256 key that nobody has, "signed" by chance.
fn certificate(rng: &mut Rng, name: Name) -> Vec<u8> {
    let algorithm = sequence(&[der(6, ECDSA_SHA256)]);
    let point = build(|v| _ = v.u8(0).u8(4).put(&rng.array::<64>()));
    let key = sequence(&[sequence(&[der(6, EC_KEY), der(6, P256)]), der(3, &point)]);
    let alternative = sequence(&[der(0x82, name.host.as_bytes())]);
    let extensions = sequence(&[
        sequence(&[der(6, &[0x55, 0x1d, 17]), der(4, &alternative)]),
        sequence(&[der(6, &[0x55, 0x1d, 19]), der(1, &[0xff]), der(4, &sequence(&[]))]),
    ]);
    let issuer = format!("{} Issuing CA", name.organisation);
    let to_sign = sequence(&[
        der(0xa0, &der(2, &[2])),
        der(2, &build(|v| _ = v.u8(0x35).put(&rng.array::<11>()))),
        algorithm.clone(),
        distinguished(&[(COUNTRY, "DE"), (ORGANISATION, name.organisation), (COMMON_NAME, &issuer)]),
        sequence(&[der(0x17, b"250901000000Z"), der(0x17, b"350901000000Z")]),
        distinguished(&[(COUNTRY, "DE"), (ORGANISATION, name.organisation), (COMMON_NAME, name.host)]),
        key,
        der(0xa3, &extensions),
    ]);
    let signed = build(|v| _ = v.u8(0).put(&signature(rng)));
    sequence(&[to_sign, algorithm, der(3, &signed)])
}

/// Holds the handshake on an open connection.
fn greet(net: &mut Net, conn: ConnId, style: Style, sni: &str, protocols: &[&str], server: Name) {
    let hello = client_hello(&mut net.rng, style, sni, protocols);
    net.client_says(conn, &first_record(&hello));
    if style == Style::Small {
        greet_12(net, conn, server);
    } else {
        greet_13(net, conn, session_of(&hello));
    }
}

fn greet_12(net: &mut Net, conn: ConnId, server: Name) {
    let rng = &mut net.rng;
    let extensions = build(|m| {
        extension(m, 0xff01, &[0]);
        extension(m, 11, &[1, 0]);
        extension(m, 23, &[]);
    });
    let hello = build(|m| {
        m.be16(0x0303).put(&rng.array::<32>()).short(&rng.array::<32>()).be16(0xc02b).u8(0).long(&extensions);
    });
    let chain = build(|m| {
        // A server shows the same certificate to all.
        let certificate = certificate(&mut Rng::named(server.host), server);
        m.be24(certificate.len() as u32 + 3).be24(certificate.len() as u32).put(&certificate);
    });
    let exchange = build(|m| {
        m.u8(3).be16(23).short(&build(|v| _ = v.u8(4).put(&rng.array::<64>())));
        m.be16(0x0403).long(&signature(rng));
    });
    let flight = [
        record(22, &handshake(2, &hello)),
        record(22, &handshake(11, &chain)),
        record(22, &handshake(12, &exchange)),
        record(22, &handshake(14, &[])),
    ];
    let key = handshake(16, &build(|m| _ = m.short(&build(|v| _ = v.u8(4).put(&rng.array::<64>())))));
    let finished = [rng.bytes(40), rng.bytes(40)].map(|bytes| record(22, &bytes));
    let change = record(20, &[1]);
    net.server_says(conn, &flight.concat());
    net.client_says(conn, &[&record(22, &key), &*change, &finished[0]].concat());
    net.server_says(conn, &[&*change, &finished[1]].concat());
}

fn greet_13(net: &mut Net, conn: ConnId, session: &[u8]) {
    let rng = &mut net.rng;
    let hello = server_hello(rng, session);
    let change = record(20, &[1]);
    let rest = rng.range(900, 2_600) as usize;
    let flight = [record(22, &hello), change.clone(), record(23, &rng.bytes(rest))];
    let finished = record(23, &rng.bytes(53));
    net.server_says(conn, &flight.concat());
    net.client_says(conn, &[change, finished].concat());
}

/// Who asks, how it looks, whom it names and what it would speak.
#[derive(Clone, Copy)]
pub(crate) struct Dial {
    pub(crate) style: Style,
    pub(crate) sni: &'static str,
    pub(crate) protocols: &'static [&'static str],
    pub(crate) server: Name,
    pub(crate) port: u16,
}

/// Opens a TLS connection.
pub(crate) fn open(net: &mut Net, client: HostId, server: HostId, dial: Dial) -> ConnId {
    let conn = net.connect(client, server, dial.port, "tls");
    greet(net, conn, dial.style, dial.sni, dial.protocols, dial.server);
    conn
}

/// Goes over to TLS on a connection that began without it.
pub(crate) fn upgrade(net: &mut Net, conn: ConnId, dial: Dial) {
    greet(net, conn, dial.style, dial.sni, dial.protocols, dial.server);
}

/// Opens a TLS connection over IPv6.
pub(crate) fn open6(net: &mut Net, client: HostId, server: (HostId, Ipv6Addr), dial: Dial) -> ConnId {
    let conn = net.connect6(client, server, dial.port, "tls");
    greet(net, conn, dial.style, dial.sni, dial.protocols, dial.server);
    conn
}

/// Something is asked and answered under encryption, so many bytes each way.
pub(crate) fn talk(net: &mut Net, conn: ConnId, up: usize, down: usize) {
    let question = record(23, &net.rng.bytes(up));
    let mut answer = Vec::new();
    let mut left = down;
    while left > 0 {
        let part = left.min(4_096);
        answer.extend(record(23, &net.rng.bytes(part)));
        left -= part;
    }
    net.exchange(conn, &question, &answer);
}

/// Takes leave: an encrypted alert, then the connection is closed.
pub(crate) fn close(net: &mut Net, conn: ConnId, style: Style) {
    let kind = if style == Style::Small { 21 } else { 23 };
    let alert = record(kind, &net.rng.bytes(if style == Style::Small { 26 } else { 19 }));
    net.client_says(conn, &alert);
    net.close(conn);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_a_certificate_nest() {
        let name = Name { host: "a.example", organisation: "Example" };
        let certificate = certificate(&mut Rng::new(3), name);
        assert_eq!(certificate[..2], [0x30, 0x82]);
        assert_eq!(usize::from(u16::from_be_bytes([certificate[2], certificate[3]])) + 4, certificate.len());
        assert_eq!(der(4, &[0; 200])[..3], [4, 0x81, 200]);
    }
}
