//! The vectors of the standards, and packets protected with their keys.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, Payload};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    any_bytes_are_survived, converse, opening, replay, survives, unhex, without_long_lists,
};

/// The client's destination connection identifier in the examples of both standards.
const DESTINATION: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

/// The CRYPTO frame of RFC 9001 appendix A.2.
const CLIENT_CRYPTO: &str = "
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578
    616d706c652e636f6dff01000100000a00080006001d00170018001000070005
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fba
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400
    0d0010000e0403050306030203080408050806002d00020101001c0002400100
    3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000
    75300901100f088394c8f03e51570806048000ffff";

/// The server's packet of RFC 9001 appendix A.3.
const SERVER_PACKET: &str = "
    cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a
    5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3
    dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84
    022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4
    2158407dd074ee";

/// An Initial packet whose number takes four bytes, protected as the standard says.
fn protect(version: u32, sender: usize, number: u32, destination: &[u8], frames: &[u8]) -> Vec<u8> {
    let keys = &initial::keys(initial::suite(version).unwrap(), &DESTINATION)[sender];
    let mut header = vec![if version == V2 { 0xd3 } else { 0xc3 }];
    header.extend(version.to_be_bytes());
    header.push(destination.len() as u8);
    header.extend(destination);
    header.extend([0, 0]);
    header.extend((0x4000 | (4 + frames.len() + 16) as u16).to_be_bytes());
    let number_at = header.len();
    header.extend(number.to_be_bytes());
    let (key, iv, mask_key) = keys.parts();
    let mut nonce = iv;
    for (byte, number) in nonce[8..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= number;
    }
    let payload = Payload { msg: frames, aad: &header };
    let sealed = Aes128Gcm::new(&key.into()).encrypt(&nonce.into(), payload).unwrap();
    let mut packet = [header, sealed].concat();
    let sample: [u8; 16] = *packet[number_at + 4..].first_chunk().unwrap();
    let mut mask = sample.into();
    Aes128::new(&mask_key.into()).encrypt_block(&mut mask);
    packet[0] ^= mask[0] & 0x0f;
    for place in 0..4 {
        packet[number_at + place] ^= mask[1 + place];
    }
    packet
}

/// Frames made as long as a client's first packet must be.
fn padded(frames: &[u8]) -> Vec<u8> {
    let mut frames = frames.to_vec();
    frames.resize(1162, 0);
    frames
}

/// Bytes `from..to` of the example's ClientHello as a CRYPTO frame.
fn piece(from: usize, to: usize) -> Vec<u8> {
    let hello = &unhex(CLIENT_CRYPTO)[4..];
    let mut frame = vec![6];
    frame.extend((0x4000 | from as u16).to_be_bytes());
    frame.extend((0x4000 | (to - from) as u16).to_be_bytes());
    frame.extend(&hello[from..to]);
    frame
}

const HELLO: usize = 241;

/// RFC 9001 appendix A.2 and A.3. The client's packet is protected here; its header, its first encrypted
/// bytes and its tag are those of the standard.
#[test]
fn the_example_of_the_standard_is_read() {
    let client = protect(1, 0, 2, &DESTINATION, &padded(&unhex(CLIENT_CRYPTO)));
    assert_eq!(client.len(), MIN_INITIAL);
    assert_eq!(hex(&client[..22]), "c000000001088394c8f03e5157080000449e7b9aec34");
    assert_eq!(hex(&client[22..38]), "d1b1c98dd7689fb8ec11d242b123dc9b");
    assert_eq!(hex(&client[1184..]), "e221af44860018ab0856972e194cd934");
    let text = replay(&PROTOCOL, &[(Side::Client, client), (Side::Server, unhex(SERVER_PACKET))]);
    insta::assert_snapshot!(text, @r#"
    client initial {"version":"1","destination":"8394c8f03e515708","source":""}
    fact 192.0.2.10 fingerprint = "q13d0211an_62ed6f6ca7ad_4d634acda6c0" (quic.ja4, 20%)
    operation client Discover server-name example.com - Asked
    client client-hello {"version":"TLS 1.3","server_name":"example.com","alpn":["alpn"],"versions":["TLS 1.3"],"ciphers":["TLS_AES_128_GCM_SHA256","TLS_AES_256_GCM_SHA384"],"groups":["x25519","secp256r1","secp384r1"],"signatures":["ecdsa_secp256r1_sha256","ecdsa_secp384r1_sha384","ecdsa_secp521r1_sha512","ecdsa_sha1","rsa_pss_rsae_sha256","rsa_pss_rsae_sha384","rsa_pss_rsae_sha512"],"resumes":false,"early_data":false,"encrypted_hello":false,"ja4":"q13d0211an_62ed6f6ca7ad_4d634acda6c0","ja3":"41bc9ae914d6cb3bd0bd0a5453ab7d7f"}
    server server-hello {"version":"TLS 1.3","cipher":"TLS_AES_128_GCM_SHA256","group":"x25519","retry":false,"ja3s":"eb1d94daa7e0344597e756a1fb6e7054"}
    "#);
}

/// RFC 9369 appendix A.2: the same hello under version 2.
#[test]
fn version_2_is_read_with_its_own_keys_and_types() {
    let client = protect(V2, 0, 2, &DESTINATION, &padded(&unhex(CLIENT_CRYPTO)));
    assert_eq!(hex(&client[..22]), "d76b3343cf088394c8f03e5157080000449ea0c95e82");
    assert_eq!(hex(&client[22..38]), "ffe67b6abcdb4298b485dd04de806071");
    let text = without_long_lists(&replay(&PROTOCOL, &[(Side::Client, client)]));
    assert!(text.starts_with("client initial {\"version\":\"2\""), "{text}");
    assert!(text.contains("\"server_name\":\"example.com\""), "{text}");
}

/// Clients scatter their hello on purpose, so that nobody may rely on its place.
#[test]
fn a_hello_in_pieces_out_of_order_in_several_packets_is_joined() {
    let first = [&piece(200, HELLO)[..], &[1, 0, 0], &piece(10, 60)].concat();
    let second = [&[2, 0, 0, 0, 0][..], &piece(50, 120), &piece(0, 20)].concat();
    let third = piece(110, 210);
    // The second datagram carries two packets, and the keys stay although the server's answer has
    // changed the connection identifier.
    let coalesced =
        [protect(1, 0, 1, &DESTINATION, &second), protect(1, 0, 2, &[9; 20], &padded(&third))].concat();
    let packets =
        [(Side::Client, protect(1, 0, 0, &DESTINATION, &padded(&first))), (Side::Client, coalesced)];
    let text = replay(&PROTOCOL, &packets);
    assert_eq!(text.matches("client initial {").count(), 1, "{text}");
    assert_eq!(text.matches("\"server_name\":\"example.com\"").count(), 1, "{text}");
}

/// RFC 9000 clauses 17.2.1 and 17.2.5.
#[test]
fn negotiation_retry_and_close_are_told() {
    let client = protect(1, 0, 0, &DESTINATION, &padded(&piece(0, 100)));
    let negotiation =
        unhex("80 00000000 00 08 8394c8f03e515708 00000001 6b3343cf ff00001d 1a2a3a4a 12345678");
    // RFC 9001 appendix A.4.
    let retry = unhex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba");
    let close = protect(1, 1, 0, &[], &[&[0x1c, 0x41, 0x28, 6, 4][..], b"stop"].concat());
    let text = replay(
        &PROTOCOL,
        &[(Side::Client, client), (Side::Server, negotiation), (Side::Server, retry), (Side::Server, close)],
    );
    assert_eq!(
        text,
        "client initial {\"version\":\"1\",\"destination\":\"8394c8f03e515708\",\"source\":\"\"}\n\
         server version-negotiation {\"versions\":[\"1\",\"2\",\"draft-29\",\"grease\",\"0x12345678\"]}\n\
         server retry {\"version\":\"1\",\"source\":\"f067a5502a4262b5\"}\n\
         server close {\"code\":296,\"reason\":\"stop\"}\n\
         enough\n"
    );
}

#[test]
fn google_quic_is_known_by_name() {
    let old = [&[0x0d][..], &[7; 8], b"Q043", &[1, 0, 0]].concat();
    let new = [&[0xc3][..], b"Q050", &[8], &[7; 8], &[0; 20]].concat();
    for (bytes, version) in [(old, "Q043"), (new, "Q050")] {
        assert_eq!(
            converse(&PROTOCOL, &[(Side::Client, &bytes)]),
            format!("client google-quic {{\"version\":\"{version}\"}}\nenough\n")
        );
    }
}

#[test]
fn what_is_wrong_is_named() {
    let mut broken = protect(1, 0, 0, &DESTINATION, &padded(&piece(0, 100)));
    broken[100] ^= 1;
    assert_eq!(
        replay(&PROTOCOL, &[(Side::Client, broken)]),
        "anomaly client initial-protection: 1200 bytes\n"
    );
    let frames = |frames: &[u8]| {
        let text = replay(&PROTOCOL, &[(Side::Client, protect(1, 0, 0, &DESTINATION, frames))]);
        text.split_once('\n').expect("the announcement").1.to_owned()
    };
    assert_eq!(frames(&[0, 1, 0, 0x1f]), "anomaly client frame-type: 31\n");
    assert_eq!(frames(&[0, 0, 6, 0, 0x40]), "anomaly client frame-length: in 5 bytes of frames\n");
    assert_eq!(
        frames(&[6, 0x80, 0, 0x40, 0, 1, 1]),
        "anomaly client crypto-length: 1 bytes at 16384\nenough\n"
    );
    assert_eq!(
        frames(&[6, 0, 4, 1, 1, 0, 0]),
        "anomaly client handshake-length: type 1, 65536 bytes\nenough\n"
    );
}

#[test]
fn other_datagrams_are_not_quic() {
    let verdict = |bytes: &[u8]| probe(&opening(bytes, 443, false));
    assert_eq!(verdict(&[0x40; 30]), Verdict::No, "a short header tells nothing");
    assert_eq!(verdict(&unhex("80 00 1234 00000001 00000000")), Verdict::No, "RTP");
    assert_eq!(verdict(&unhex("c0 00000001 15 00")), Verdict::No, "identifiers are short");
    assert_eq!(verdict(&unhex("c0 00000001 08 8394c8f03e515708 00 00")), Verdict::Yes);
    assert_eq!(verdict(b"\xde\xad\xbe\xef\xde\xad\xbe\xef\xde\xad"), Verdict::No);
}

any_bytes_are_survived!(PROTOCOL);

proptest! {
    #[test]
    fn any_long_header_is_survived(first in 0xc0..=0xff_u8, rest in prop::collection::vec(any::<u8>(), 0..100)) {
        let packet = [&[first, 0, 0, 0, 1], &rest[..]].concat();
        survives(&PROTOCOL, &[(Side::Client, packet.clone()), (Side::Server, packet)]);
    }

    #[test]
    fn any_frames_are_survived(frames in prop::collection::vec(any::<u8>(), 20..200)) {
        survives(&PROTOCOL, &[(Side::Client, protect(1, 0, 0, &DESTINATION, &frames))]);
    }
}
