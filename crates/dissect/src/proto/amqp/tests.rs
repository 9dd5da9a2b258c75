//! Known answers and bounds. The frames are hand-made after AMQP 0-9-1.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, survives};

/// A method frame on channel 0.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0];
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(0xce);
    bytes
}

#[test]
fn the_peers_introduce_themselves_and_log_in() {
    let start = frame(b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x2a\x07productS\x00\x00\x00\x08RabbitMQ\x02okt\x01\x07versionS\x00\x00\x00\x033.8\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US");
    let start_ok = frame(b"\x00\x0a\x00\x0b\x00\x00\x00\x11\x07productS\x00\x00\x00\x04pika\x05PLAIN\x00\x00\x00\x0c\x00joe\x00hunter2\x05en_US");
    let tune = frame(b"\x00\x0a\x00\x1e\x00\x00\x00\x02\x00\x00\x00\x3c");
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"AMQP\x00\x00"),
            (Client, b"\x09\x01"),
            (Server, &start[..20]),
            (Server, &start[20..]),
            (Client, &start_ok),
            (Server, &tune),
        ],
    );
    assert!(!text.contains("hunter2") && !text.contains("joe"), "{text}");
    assert_snapshot!(text, @r#"
    client protocol-header {"protocol-id":0,"major":0,"minor":9,"revision":1}
    fact 192.0.2.20 role = "broker" (amqp.protocol-header, 50%)
    fact 192.0.2.20 software = "RabbitMQ 3.8" (amqp.product, 75%)
    fact 192.0.2.20 role = "broker" (amqp.start, 75%)
    server start {"product":"RabbitMQ","version":"3.8","mechanism":"PLAIN"}
    fact 192.0.2.10 software = "pika" (amqp.product, 75%)
    client start-ok {"product":"pika","mechanism":"PLAIN"}
    operation client Authenticate start-ok - - Done
    enough
    "#);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
        method in prop_oneof![Just(10_u8), Just(11), Just(30)],
    ) {
        let mut packets = vec![(Client, b"AMQP\x00\x00\x09\x01".to_vec())];
        for payload in payloads {
            packets.push((Server, frame(&[&[0, 10, 0, method], &payload[..]].concat())));
            packets.push((Client, payload));
        }
        survives(&PROTOCOL, &packets);
    }
}
