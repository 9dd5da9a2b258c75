//! The protection of Initial packets, whose keys anybody can derive (RFC 9001 clause 5).

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, Payload};
use hkdf::Hkdf;
use sha2::Sha256;

/// What differs between versions: the salt and the labels from which keys are derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    salt: [u8; 20],
    second: bool,
}

/// RFC 9001 clause 5.2.
const SALT_V1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
    0xbb, 0x7f, 0x0a,
];
/// RFC 9369 clause 3.3.1.
const SALT_V2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9,
    0xbd, 0x2e, 0xd9,
];
/// draft-ietf-quic-tls-29 to -32, clause 5.2.
const SALT_DRAFT_29: [u8; 20] = [
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43,
    0x90, 0xa8, 0x99,
];
/// draft-ietf-quic-tls-23 to -28, clause 5.2.
const SALT_DRAFT_23: [u8; 20] = [
    0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe,
    0xf9, 0xf5, 0x02,
];

/// How Initial packets of a version are protected, where that is known.
pub(super) const fn suite(version: u32) -> Option<Suite> {
    let salt = match version {
        1 | 0xff00_0021 | 0xff00_0022 => SALT_V1,
        super::V2 => return Some(Suite { salt: SALT_V2, second: true }),
        0xff00_001d..=0xff00_0020 => SALT_DRAFT_29,
        // Version 2 of mvfst is draft 27 under another name.
        0xff00_0017..=0xff00_001c | 0xface_b002 => SALT_DRAFT_23,
        _ => return None,
    };
    Some(Suite { salt, second: false })
}

/// The keys of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

#[cfg(test)]
impl Keys {
    /// Key, initialisation vector and header protection key, to protect packets for tests.
    pub(super) const fn parts(&self) -> ([u8; 16], [u8; 12], [u8; 16]) {
        (self.key, self.iv, self.header)
    }
}

/// The keys of client and server, from the destination connection identifier of the client's first
/// packet.
pub(super) fn keys(suite: Suite, destination: &[u8]) -> [Keys; 2] {
    let (_, initial) = Hkdf::<Sha256>::extract(Some(&suite.salt), destination);
    ["client in", "server in"].map(|label| {
        let secret: [u8; 32] = expand(&initial, label);
        let direction = Hkdf::<Sha256>::from_prk(&secret).unwrap_or_else(|_| initial.clone());
        let [key, iv, header] = if suite.second {
            ["quicv2 key", "quicv2 iv", "quicv2 hp"]
        } else {
            ["quic key", "quic iv", "quic hp"]
        };
        Keys { key: expand(&direction, key), iv: expand(&direction, iv), header: expand(&direction, header) }
    })
}

/// HKDF-Expand-Label with an empty context (RFC 8446 clause 7.1).
fn expand<const N: usize>(from: &Hkdf<Sha256>, label: &str) -> [u8; N] {
    let mut info = Vec::with_capacity(20);
    info.extend((N as u16).to_be_bytes());
    info.push(6 + label.len() as u8);
    info.extend(b"tls13 ");
    info.extend(label.as_bytes());
    info.push(0);
    let mut key = [0; N];
    // This can fail only for more than 255 times the length of the hash.
    let expanded = from.expand(&info, &mut key);
    debug_assert!(expanded.is_ok());
    key
}

/// Removes the protection of a packet whose packet number stands at `number_at` (RFC 9001 clauses 5.3
/// and 5.4): the packet number and the frames, or `None` if these are not its keys. `expected` is the
/// number after the largest that was seen.
pub(super) fn unprotect(
    packet: &[u8],
    number_at: usize,
    keys: &Keys,
    expected: u64,
) -> Option<(u64, Vec<u8>)> {
    let sample: [u8; 16] = *packet.get(number_at.checked_add(4)?..)?.first_chunk()?;
    let mut mask = sample.into();
    Aes128::new(&keys.header.into()).encrypt_block(&mut mask);
    let first = packet.first()? ^ (mask.first()? & 0x0f);
    let length = usize::from(first & 3) + 1;
    let mut header = packet.get(..number_at + length)?.to_vec();
    *header.first_mut()? = first;
    let mut truncated = 0;
    for (byte, mask) in header.get_mut(number_at..)?.iter_mut().zip(mask.iter().skip(1)) {
        *byte ^= mask;
        truncated = truncated << 8 | u64::from(*byte);
    }
    let number = packet_number(truncated, length, expected);
    let mut nonce = keys.iv;
    for (byte, number) in nonce.iter_mut().skip(4).zip(number.to_be_bytes()) {
        *byte ^= number;
    }
    let payload = Payload { msg: packet.get(number_at + length..)?, aad: &header };
    let frames = Aes128Gcm::new(&keys.key.into()).decrypt(&nonce.into(), payload).ok()?;
    Some((number, frames))
}

/// The whole packet number, of which the last `length` bytes are known (RFC 9000 appendix A.3).
fn packet_number(truncated: u64, length: usize, expected: u64) -> u64 {
    let window = 1_u64 << (8 * length);
    let candidate = (expected & !(window - 1)) | truncated;
    if candidate + window / 2 <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected.saturating_add(window / 2) && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tls::hex;

    /// RFC 9001 appendix A.1.
    #[test]
    fn keys_of_version_1_are_those_of_the_standard() {
        let [client, server] = keys(suite(1).unwrap(), &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]);
        assert_eq!(hex(&client.key), "1f369613dd76d5467730efcbe3b1a22d");
        assert_eq!(hex(&client.iv), "fa044b2f42a3fd3b46fb255c");
        assert_eq!(hex(&client.header), "9f50449e04a0e810283a1e9933adedd2");
        assert_eq!(hex(&server.key), "cf3a5331653c364c88f0f379b6067e37");
        assert_eq!(hex(&server.iv), "0ac1493ca1905853b0bba03e");
        assert_eq!(hex(&server.header), "c206b8d9b9f0f37644430b490eeaa314");
    }

    /// RFC 9369 appendix A.1.
    #[test]
    fn keys_of_version_2_are_those_of_the_standard() {
        let [client, server] =
            keys(suite(super::super::V2).unwrap(), &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]);
        assert_eq!(hex(&client.key), "8b1a0bc121284290a29e0971b5cd045d");
        assert_eq!(hex(&client.iv), "91f73e2351d8fa91660e909f");
        assert_eq!(hex(&client.header), "45b95e15235d6f45a6b19cbcb0294ba9");
        assert_eq!(hex(&server.key), "82db637861d55e1d011f19ea71d5d2a7");
        assert_eq!(hex(&server.iv), "dd13c276499c0249d3310652");
        assert_eq!(hex(&server.header), "edf6d05c83121201b436e16877593c3a");
    }

    /// RFC 9000 appendix A.3.
    #[test]
    fn packet_numbers_are_completed_near_the_expected() {
        assert_eq!(packet_number(0x9b32, 2, 0xa82f_30eb), 0xa82f_9b32);
        assert_eq!(packet_number(0, 1, 0), 0);
        assert_eq!(packet_number(1, 1, 0xff), 0x101);
        assert_eq!(packet_number(0xff, 1, 0x100), 0xff);
    }
}
