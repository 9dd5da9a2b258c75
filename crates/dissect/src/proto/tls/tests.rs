//! Conversations recorded from OpenSSL, and what can go wrong in them.

use model::Side;
use proptest::prelude::*;

use super::*;
use crate::testing::{
    any_bytes_are_survived, conversation, converse, damage, hits, opening, replay, survives,
    without_long_lists,
};

const TLS12: &str = include_str!("conversations/tls12.txt");
const TLS13: &str = include_str!("conversations/tls13.txt");
const RESUMED: &str = include_str!("conversations/resumed.txt");
const RETRY: &str = include_str!("conversations/retry.txt");

/// Fingerprints and dates are those that `openssl x509` prints for the certificate, JA3 and JA3S those of
/// tshark.
#[test]
fn tls_1_2_shows_the_certificate_and_what_it_says_of_the_device() {
    insta::assert_snapshot!(without_long_lists(&replay(&PROTOCOL, &conversation(TLS12))), @r#"
    fact 192.0.2.10 fingerprint = "t12d2808h2_d943125447b4_e7e480e5a997" (tls.ja4, 20%)
    operation client Discover server-name plc.example - Asked
    client client-hello {"version":"TLS 1.2","server_name":"plc.example","alpn":["h2","http/1.1"],"ciphers":[..],"groups":["x25519","secp256r1","x448","secp521r1","secp384r1"],"signatures":[..],"resumes":false,"early_data":false,"encrypted_hello":false,"ja4":"t12d2808h2_d943125447b4_e7e480e5a997","ja3":"22558766122974704364c9c75c5cce0a"}
    server server-hello {"version":"TLS 1.2","cipher":"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384","retry":false,"ja3s":"abade5a4a7f42baf54766e5d108283b6"}
    server certificate {"position":0,"subject":"C=DE, O=Example Controls, CN=PLC-1200, serialNumber=SN-4711","issuer":"C=DE, O=Example Controls, CN=PLC-1200, serialNumber=SN-4711","names":["plc.example","*.plant.example","192.0.2.20"],"not_before":"2026-11-22T08:04:29Z","not_after":"2036-11-19T08:04:29Z","serial":"228763d6207e61e2c512c14a40ebd0aa48270246","key":"secp256r1","key_bits":256,"signature":"ecdsaWithSha256","ca":true,"self_signed":true,"sha256":"18b244130fcede7fe65abf42ad54dd3aa85860e95eb21a1010036a4fc19a11e2","sha1":"d1d8bc757d8b19c1379a9e1eb8b1bd8d3488c3a6"}
    fact 192.0.2.20 hostname = "plc.example" (tls.server-name, 50%)
    fact 192.0.2.20 vendor = "Example Controls" (tls.certificate, 20%)
    fact 192.0.2.20 model = "PLC-1200" (tls.certificate, 20%)
    fact 192.0.2.20 serial = "SN-4711" (tls.certificate, 50%)
    weakness server self-signed-certificate: C=DE, O=Example Controls, CN=PLC-1200, serialNumber=SN-4711
    client established {"version":"TLS 1.2","cipher":"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384","group":"x25519","server_name":"plc.example","resumed":false,"client_certificate_requested":false}
    enough
    "#);
}

#[test]
fn tls_1_3_is_established_with_the_clients_first_encrypted_record() {
    insta::assert_snapshot!(without_long_lists(&replay(&PROTOCOL, &conversation(TLS13))), @r#"
    fact 192.0.2.10 fingerprint = "t13d3111mt_e8f1e7e78f70_1f22a2ca17c4" (tls.ja4, 20%)
    operation client Discover server-name plc.example - Asked
    client client-hello {"version":"TLS 1.3","server_name":"plc.example","alpn":["mqtt"],"versions":["TLS 1.3","TLS 1.2","TLS 1.1","TLS 1.0"],"ciphers":[..],"groups":["x25519","secp256r1"],"signatures":[..],"resumes":false,"early_data":false,"encrypted_hello":false,"ja4":"t13d3111mt_e8f1e7e78f70_1f22a2ca17c4","ja3":"dd15eb17954b601f37ebb2c800a3e556"}
    server server-hello {"version":"TLS 1.3","cipher":"TLS_AES_256_GCM_SHA384","group":"x25519","retry":false,"ja3s":"15af977ce25de452b96affa2addb1036"}
    client established {"version":"TLS 1.3","cipher":"TLS_AES_256_GCM_SHA384","group":"x25519","server_name":"plc.example","resumed":false,"client_certificate_requested":false}
    enough
    "#);
}

#[test]
fn a_resumed_session_shows_no_certificate_and_says_so() {
    let text = replay(&PROTOCOL, &conversation(RESUMED));
    assert!(text.contains("\"resumes\":true"), "{text}");
    assert!(text.contains("established {\"version\":\"TLS 1.2\""), "{text}");
    assert!(text.contains("\"resumed\":true"), "{text}");
    assert!(!text.contains("certificate {"), "{text}");
}

/// RFC 8446 clause 4.1.4.
#[test]
fn a_second_hello_after_a_retry_is_read_but_is_no_second_fingerprint() {
    let text = replay(&PROTOCOL, &conversation(RETRY));
    assert_eq!(text.matches("client-hello {").count(), 2, "{text}");
    assert_eq!(text.matches("fingerprint = ").count(), 1, "{text}");
    assert_eq!(text.matches("\"retry\":true").count(), 1, "{text}");
    assert!(
        text.contains("\"group\":\"secp384r1\",\"server_name\":\"plc.example\",\"resumed\":false"),
        "{text}"
    );
}

#[test]
fn a_second_hello_is_found_where_the_server_is_not_seen() {
    let client: Vec<_> = conversation(RETRY).into_iter().filter(|(side, _)| *side == Side::Client).collect();
    let text = replay(&PROTOCOL, &client);
    assert_eq!(text.matches("client-hello {").count(), 2, "{text}");
}

#[test]
fn segments_of_any_size_give_the_same() {
    for recorded in [TLS12, TLS13, RESUMED, RETRY] {
        let whole = conversation(recorded);
        let expected = replay(&PROTOCOL, &whole);
        for size in [1, 7, 64] {
            let pieces: Vec<(Side, Vec<u8>)> = whole
                .iter()
                .flat_map(|(side, bytes)| bytes.chunks(size).map(|piece| (*side, piece.to_vec())))
                .collect();
            assert_eq!(replay(&PROTOCOL, &pieces), expected);
        }
    }
}

/// RFC 8446 clause 5.1: a message may be in many records.
#[test]
fn a_hello_in_tiny_records_is_joined() {
    let (side, bytes) = conversation(TLS13).remove(0);
    let records: Vec<u8> = bytes[HEADER..]
        .chunks(10)
        .flat_map(|piece| [&[22, 3, 1, 0, piece.len() as u8], piece].concat())
        .collect();
    let text = replay(&PROTOCOL, &[(side, records)]);
    assert!(
        text.starts_with("fact 192.0.2.10 fingerprint = \"t13d3111mt_e8f1e7e78f70_1f22a2ca17c4\""),
        "{text}"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = |packets: &[(Side, &[u8])]| converse(&PROTOCOL, packets);
    // A ClientHello that is cut, and one in which the extensions are longer than the message.
    assert_eq!(
        wrong(&[(Side::Client, &[22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3])]),
        "anomaly client client-hello-length: 2 bytes\n"
    );
    // A certificate that is no DER.
    assert_eq!(
        wrong(&[(Side::Server, &[22, 3, 3, 0, 12, 11, 0, 0, 8, 0, 0, 5, 0, 0, 2, 0x30, 0x80])]),
        "anomaly server certificate-der: certificate 0 of 2 bytes\n"
    );
    assert_eq!(
        wrong(&[(Side::Server, &[22, 3, 3, 0, 7, 11, 0, 0, 3, 0, 0, 9])]),
        "anomaly server certificate-length: the list is longer than its message\n"
    );
    assert_eq!(
        wrong(&[(Side::Client, &[22, 3, 1, 0, 4, 1, 2, 0, 0])]),
        "anomaly client handshake-length: type 1, 131072 bytes\n"
    );
    assert_eq!(
        wrong(&[(Side::Client, &[22, 3, 1, 0, 4, 99, 0, 0, 0])]),
        "anomaly client handshake-type: type 99, 0 bytes\n"
    );
    assert_eq!(
        wrong(&[(Side::Client, &[21, 3, 1, 0, 2, 1, 0]), (Side::Client, &[21, 3, 1, 0x48, 1])]),
        "client alert {\"level\":\"warning\",\"description\":\"close_notify\"}\nlost: record-length\n"
    );
    assert_eq!(
        wrong(&[(Side::Client, &[21, 3, 1, 0, 2, 1, 0]), (Side::Client, b"GET / HTTP/1.1")]),
        "client alert {\"level\":\"warning\",\"description\":\"close_notify\"}\nlost: record-header\n"
    );
}

/// RFC 5246 appendix E.2.
#[test]
fn a_hello_in_the_format_of_ssl_2_is_followed_by_records() {
    let hello =
        [&[0x80, 0x1c, 1, 3, 1, 0, 3, 0, 0, 0, 16, 0, 0, 0x2f][..], &[7; 16], &[21, 3, 1, 0, 2, 2, 70]]
            .concat();
    assert_eq!(
        converse(&PROTOCOL, &[(Side::Client, &hello)]),
        "client old-client-hello {\"version\":\"TLS 1.0\",\"ciphers\":1}\n\
         client alert {\"level\":\"fatal\",\"description\":\"protocol_version\"}\n\
         enough\n"
    );
    let answer = [0x80, 0x0b, 4, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0];
    let text = converse(&PROTOCOL, &[(Side::Client, &hello[..30]), (Side::Server, &answer)]);
    assert!(
        text.ends_with("server old-server-hello {\"version\":\"SSL 2.0\",\"ciphers\":0}\nenough\n"),
        "{text}"
    );
}

#[test]
fn a_conversation_picked_up_in_its_middle_is_known_by_its_records() {
    let verdict = |bytes: &[u8]| probe(&Opening { from: Side::Server, ..opening(bytes, 443, true) });
    let record = [23, 3, 3, 0, 3, 1, 2, 3];
    assert_eq!(verdict(&record), Verdict::Maybe);
    assert_eq!(verdict(&[record, record].concat()), Verdict::Yes);
    assert_eq!(verdict(&[&record[..], b"hello"].concat()), Verdict::No);
    assert_eq!(verdict(&[22, 3]), Verdict::More);
    assert_eq!(verdict(&[22, 3, 1, 0]), Verdict::More);
    assert_eq!(verdict(&[22, 4]), Verdict::No);
    assert_eq!(verdict(b"HTTP/1.1 200 OK"), Verdict::No);
    assert_eq!(converse(&PROTOCOL, &[(Side::Server, &record)]), "enough\n");
}

#[test]
fn after_a_gap_the_other_side_is_still_read() {
    use crate::proto::{Told, Wants};
    let head = crate::testing::head(model::Transport::Tcp, 443);
    let (mut told, mut found) = (Told::default(), Vec::new());
    let mut out = Emit::new(&head, Wants { messages: false, judged: true }, &mut told, &mut found);
    let mut parser = Tls::default();
    assert!(parser.gap(Side::Server, 100, &mut out));
    let hello = conversation(TLS13).remove(0).1;
    let input = |from, bytes| Input { bytes, from, at: model::Timestamp::EPOCH, cut: 0 };
    assert_eq!(parser.parse(&input(Side::Server, b"anything"), &mut out), Progress::Took(8));
    assert_eq!(parser.parse(&input(Side::Client, &hello), &mut out), Progress::Took(hello.len()));
    assert!(!parser.gap(Side::Client, 1, &mut out), "nobody is left to listen to");
    assert_eq!(found.len(), 2, "fingerprint and name are told although nobody wants messages: {found:?}");
}

any_bytes_are_survived!(PROTOCOL);

proptest! {
    #[test]
    fn damaged_conversations_are_survived(hits in hits()) {
        for recorded in [TLS12, TLS13, RETRY] {
            survives(&PROTOCOL, &damage(&conversation(recorded), &hits));
        }
    }

    #[test]
    fn any_handshake_message_is_survived(kind in 0..30_u8, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let length = body.len() as u16;
        let record = [&[22, 3, 3], &(length + 4).to_be_bytes()[..], &[kind, 0], &length.to_be_bytes(), &body].concat();
        survives(&PROTOCOL, &[(Side::Client, record.clone()), (Side::Server, record)]);
    }
}
