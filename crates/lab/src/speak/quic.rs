//! QUIC version 1 (RFC 9000, RFC 9001): Initial packets as they must be, so that anybody on the way can
//! read the hellos in them; what comes after is made of chance.

use std::net::SocketAddr;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, Payload};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::bytes::{Put, build};
use crate::net::{HostId, Net};
use crate::rng::Rng;
use crate::speak::tls::{self, Style};

/// The salt of version 1 (RFC 9001 section 5.2).
const SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
    0xbb, 0x7f, 0x0a,
];
/// The least size of a datagram with an Initial packet (RFC 9000 section 14.1).
const LEAST: usize = 1_200;
/// Length of the authentication tag.
const TAG: usize = 16;

/// What protects the Initial packets of one side.
struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

/// HKDF-Expand-Label of TLS 1.3 without context (RFC 8446 section 7.1).
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> [u8; N] {
    let label = format!("tls13 {label}");
    let info = build(|m| _ = m.be16(N as u16).short(label.as_bytes()).u8(0));
    let mut out = [0; N];
    // The only error is a length beyond 255 digests; those here are one at most.
    secret.expand(&info, &mut out).unwrap_or_default();
    out
}

/// The keys of one side (RFC 9001 section 5.2); `label` is "client in" or "server in".
fn keys(destination: &[u8], label: &str) -> Keys {
    let (_, initial) = Hkdf::<Sha256>::extract(Some(&SALT), destination);
    let secret: [u8; 32] = expand(&initial, label);
    // A secret of one digest is long enough for the next step.
    let secret = Hkdf::<Sha256>::from_prk(&secret).unwrap_or(initial);
    Keys {
        key: expand(&secret, "quic key"),
        iv: expand(&secret, "quic iv"),
        header: expand(&secret, "quic hp"),
    }
}

/// A packet with a long header and a packet number of two bytes (RFC 9000 section 17.2); kind 0 is
/// Initial, 2 Handshake.
fn long_header(kind: u8, destination: &[u8], source: &[u8], number: u16, length: usize) -> Vec<u8> {
    build(|m| {
        m.u8(0xc1 | kind << 4).be32(1).short(destination).short(source);
        if kind == 0 {
            m.u8(0);
        }
        m.be16(0x4000 | (2 + length + TAG) as u16).be16(number);
    })
}

/// An Initial packet, protected (RFC 9001 sections 5.3 and 5.4).
fn initial(keys: &Keys, destination: &[u8], source: &[u8], number: u16, frames: &[u8]) -> Vec<u8> {
    let mut packet = long_header(0, destination, source, number, frames.len());
    let at = packet.len() - 2;
    let mut nonce = keys.iv;
    nonce[10] ^= (number >> 8) as u8;
    nonce[11] ^= number as u8;
    let payload = Payload { msg: frames, aad: &packet };
    let sealed = Aes128Gcm::new(&keys.key.into()).encrypt(&nonce.into(), payload).unwrap_or_default();
    packet.put(&sealed);
    // The sample begins four bytes after the beginning of the packet number.
    let mut mask = <[u8; 16]>::try_from(&packet[at + 4..at + 20]).unwrap_or_default().into();
    Aes128::new(&keys.header.into()).encrypt_block(&mut mask);
    packet[0] ^= mask[0] & 0x0f;
    packet[at] ^= mask[1];
    packet[at + 1] ^= mask[2];
    packet
}

/// A Handshake packet of chance.
fn handshake(rng: &mut Rng, destination: &[u8], source: &[u8], length: usize) -> Vec<u8> {
    let mut packet = long_header(2, destination, source, rng.u16(), length);
    packet[0] = packet[0] & 0xf0 | rng.u8() & 0x0f;
    packet.put(&rng.bytes(length + TAG));
    packet
}

/// A CRYPTO frame from the beginning of the stream (RFC 9000 section 19.6).
fn crypto(message: &[u8]) -> Vec<u8> {
    build(|m| _ = m.u8(6).u8(0).be16(0x4000 | message.len() as u16).put(message))
}

/// Acknowledges packet 0.
const ACK: [u8; 5] = [2, 0, 0, 0, 0];

/// `frames` filled up so that an Initial packet with them, and `more` bytes after it, have the least
/// size.
fn filled(mut frames: Vec<u8>, ids: usize, more: usize) -> Vec<u8> {
    let head = 1 + 4 + 2 + ids + 1 + 2 + 2;
    let length = LEAST.saturating_sub(head + TAG + more);
    frames.resize(frames.len().max(length), 0);
    frames
}

/// A client fetches `answers` datagrams from a server, which it names.
pub(crate) fn fetch(net: &mut Net, client: HostId, server: HostId, sni: &str, answers: usize) {
    let src = SocketAddr::new(net.v4(client, server), net.port(client));
    let dst = SocketAddr::new(net.v4(server, client), 443);
    let (first, own) = (net.rng.array::<8>(), net.rng.array::<8>());
    let (out, back) = (keys(&first, "client in"), keys(&first, "server in"));

    let hello = tls::client_hello(&mut net.rng, Style::Quic, sni, &["h3"]);
    // The client's own identifier has no length.
    let packet = initial(&out, &first, &[], 0, &filled(crypto(&hello), first.len(), 0));
    net.udp(client, src, dst, &packet);

    net.wait_for(server);
    let answer = tls::server_hello(&mut net.rng, &[]);
    let mut datagram = initial(&back, &[], &own, 0, &[&ACK[..], &crypto(&answer)].concat());
    let rest = LEAST - datagram.len() - long_header(2, &[], &own, 0, 0).len() - TAG;
    datagram.extend(handshake(&mut net.rng, &[], &own, rest));
    net.udp(server, dst, src, &datagram);
    let more = net.rng.range(600, 1_100) as usize;
    let packet = handshake(&mut net.rng, &[], &own, more);
    net.udp(server, dst, src, &packet);

    net.wait_for(client);
    let finished = handshake(&mut net.rng, &own, &[], 60);
    let frames = filled(ACK.to_vec(), own.len(), finished.len());
    let datagram = [initial(&out, &own, &[], 1, &frames), finished].concat();
    net.udp(client, src, dst, &datagram);

    // From here on short headers (section 17.3), all but the first bits protected.
    let short = |net: &mut Net, to_server: bool, size: usize| {
        let packet = build(|m| {
            m.u8(0x40 | net.rng.u8() & 0x3f);
            if to_server {
                m.put(&own);
            }
            m.put(&net.rng.bytes(size));
        });
        if to_server { net.udp(client, src, dst, &packet) } else { net.udp(server, dst, src, &packet) }
    };
    short(net, true, 180);
    net.wait_for(server);
    for number in 0..answers {
        short(net, false, 1_200);
        if number % 2 == 1 {
            net.pause_us(100, 600);
            short(net, true, 24);
        }
    }
    net.wait_for(client);
    short(net, true, 30);
    net.conversed(client, server, ("udp", 443, "quic"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn initial_keys_are_those_of_rfc_9001_appendix_a_1() {
        let destination = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let client = keys(&destination, "client in");
        assert_eq!(hex(&client.key), "1f369613dd76d5467730efcbe3b1a22d");
        assert_eq!(hex(&client.iv), "fa044b2f42a3fd3b46fb255c");
        assert_eq!(hex(&client.header), "9f50449e04a0e810283a1e9933adedd2");
        let server = keys(&destination, "server in");
        assert_eq!(hex(&server.key), "cf3a5331653c364c88f0f379b6067e37");
        assert_eq!(hex(&server.iv), "0ac1493ca1905853b0bba03e");
        assert_eq!(hex(&server.header), "c206b8d9b9f0f37644430b490eeaa314");
    }

    #[test]
    fn a_protected_packet_has_the_length_it_states() {
        let packet = initial(&keys(&[1; 8], "client in"), &[1; 8], &[], 0, &filled(crypto(&[0; 300]), 8, 0));
        assert_eq!(packet.len(), LEAST);
        let at = 1 + 4 + 9 + 1 + 1;
        let length = usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]) & 0x3fff);
        assert_eq!(at + 2 + length, packet.len());
    }
}
