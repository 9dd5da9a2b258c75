//! Known answers and bounds. The first exchange is that of RFC 7252 appendix A; the others are
//! hand-made.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use model::Transport;
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, converse_on, head, made, opening, packets_of, survives};

#[test]
fn the_example_of_the_standard_is_read() {
    // RFC 7252 figure 16: a confirmable GET of /temperature and its piggybacked answer "22.3 C".
    let text = converse(
        &PROTOCOL,
        &[(Client, b"\x40\x01\x7d\x34\xbbtemperature"), (Server, b"\x60\x45\x7d\x34\xff22.3 C")],
    );
    assert_snapshot!(text, @r#"
    client request {"type":"confirmable","code":"GET","message-id":32052,"uri-path":"/temperature","payload-length":0}
    operation client Read get /temperature - Done
    server response {"type":"acknowledgement","code":"2.05","message-id":32052,"method":"GET","uri-path":"/temperature","payload-length":6}
    "#);
}

#[test]
fn methods_become_operations_with_their_outcomes() {
    let text = converse(
        &PROTOCOL,
        &[
            // PUT /light?key=hunter2, refused.
            (Client, b"\x41\x03\x00\x01\xaa\xb5light\x4bkey=hunter2\xff1"),
            (Server, b"\x61\x81\x00\x01\xaa"),
            // GET /light with Observe 0, answered, then a notification.
            (Client, b"\x41\x01\x00\x02\xbb\x60\x55light"),
            (Server, b"\x61\x45\x00\x02\xbb\x61\x05\xff0"),
            (Server, b"\x51\x45\x00\x09\xbb\x61\x06\xff1"),
            // POST /reboot, reset.
            (Client, b"\x41\x02\x00\x03\xcc\xb6reboot"),
            (Server, b"\x70\x00\x00\x03"),
            // DELETE /x, never answered, sent twice.
            (Client, b"\x41\x04\x00\x04\xdd\xb2xy"),
            (Client, b"\x41\x04\x00\x04\xdd\xb2xy"),
        ],
    );
    assert!(!text.contains("hunter2"), "{text}");
    assert_snapshot!(text, @r#"
    client request {"type":"confirmable","code":"PUT","message-id":1,"token":"aa","uri-path":"/light","uri-query":"key=***","payload-length":1}
    operation client Write put /light - Refused
    server response {"type":"acknowledgement","code":"4.01","message-id":1,"token":"aa","method":"PUT","uri-path":"/light","payload-length":0}
    client request {"type":"confirmable","code":"GET","message-id":2,"token":"bb","uri-path":"/light","observe":0,"payload-length":0}
    operation client Subscribe get /light - Done
    server response {"type":"acknowledgement","code":"2.05","message-id":2,"token":"bb","method":"GET","uri-path":"/light","observe":5,"payload-length":1}
    server response {"type":"non-confirmable","code":"2.05","message-id":9,"token":"bb","method":"GET","uri-path":"/light","observe":6,"payload-length":1}
    client request {"type":"confirmable","code":"POST","message-id":3,"token":"cc","uri-path":"/reboot","payload-length":0}
    operation client Execute post /reboot - Refused
    server signal {"type":"reset","code":"0.00","message-id":3,"payload-length":0}
    client request {"type":"confirmable","code":"DELETE","message-id":4,"token":"dd","uri-path":"/xy","payload-length":0}
    client request {"type":"confirmable","code":"DELETE","message-id":4,"token":"dd","uri-path":"/xy","payload-length":0}
    operation client Write delete /xy - Asked
    "#);
}

#[test]
fn resources_and_the_device_object_become_evidence() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"\x40\x01\x00\x01\xbb.well-known\x04core"),
            (Server, b"\x60\x45\x00\x01\xc1\x28\xff</oic/d>;rt=\"oic.wk.d oic.d.light\",</rd>;rt=core.rd"),
            (Client, b"\x40\x01\x00\x02\xb13\x010\x011"),
            (Server, b"\x60\x45\x00\x02\xc0\xffModel 7"),
            (Client, b"\x40\x02\x00\x03\xb2rd\x46ep=m-7"),
        ],
    );
    assert_snapshot!(text, @r#"
    client request {"type":"confirmable","code":"GET","message-id":1,"uri-path":"/.well-known/core","payload-length":0}
    operation client Discover get /.well-known/core - Done
    fact 192.0.2.20 type = "oic.wk.d" (coap.resource-type, 20%)
    fact 192.0.2.20 type = "oic.d.light" (coap.resource-type, 20%)
    fact 192.0.2.20 role = "smart-device" (coap.resource-type, 50%)
    server response {"type":"acknowledgement","code":"2.05","message-id":1,"method":"GET","uri-path":"/.well-known/core","content-format":40,"payload-length":51}
    client request {"type":"confirmable","code":"GET","message-id":2,"uri-path":"/3/0/1","payload-length":0}
    operation client Read get /3/0/1 - Done
    fact 192.0.2.20 model = "Model 7" (lwm2m.device, 95%)
    server response {"type":"acknowledgement","code":"2.05","message-id":2,"method":"GET","uri-path":"/3/0/1","content-format":0,"payload-length":7}
    fact 192.0.2.10 identifier = "m-7" (coap.ep, 50%)
    client request {"type":"confirmable","code":"POST","message-id":3,"uri-path":"/rd","uri-query":"ep=m-7","payload-length":0}
    operation client Execute post /rd - Asked
    "#);
}

#[test]
fn messages_over_tcp_are_framed() {
    // RFC 8323 clause 3.2: settings, then GET /temp with a token and its answer, cut between segments.
    let text = converse_on(
        &PROTOCOL,
        head(Transport::Tcp, 5683),
        true,
        &[
            (Client, b"\x00\xe1"),
            (Server, b"\x20\xe1\x11\x05"),
            (Client, b"\x51\x01\x42\xb4te"),
            (Client, b"mp"),
            (Server, b"\x31\x45\x42\xff22"),
        ],
    );
    assert_snapshot!(text, @r#"
    client signal {"code":"7.01","payload-length":0}
    server signal {"code":"7.01","payload-length":0}
    client request {"code":"GET","token":"42","uri-path":"/temp","payload-length":0}
    operation client Read get /temp - Done
    server response {"code":"2.05","token":"42","method":"GET","uri-path":"/temp","payload-length":2}
    "#);
}

#[test]
fn only_a_well_formed_request_tells_coap_on_any_port() {
    let verdict = |bytes| probe(&opening(bytes, 1, false));
    assert_eq!(verdict(b"\x40\x01\x7d\x34\xbbtemperature"), Verdict::Yes);
    assert_eq!(verdict(b"\x60\x45\x7d\x34\xff22.3 C"), Verdict::Maybe);
    assert_eq!(verdict(b"\x40\x00\x7d\x34"), Verdict::Maybe);
    // A marker without payload, a token of nine bytes, an option beyond the end, an unassigned code.
    assert_eq!(verdict(b"\x40\x01\x7d\x34\xb1a\xff"), Verdict::No);
    assert_eq!(verdict(b"\x49\x01\x7d\x34123456789"), Verdict::No);
    assert_eq!(verdict(b"\x40\x01\x7d\x34\xbbtemp"), Verdict::No);
    assert_eq!(verdict(b"\x40\x5e\x7d\x34"), Verdict::No);
    assert_eq!(verdict(b"\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"), Verdict::No);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        packets in packets_of((
            prop_oneof![Just(0x41_u8), Just(0x61), any::<u8>()],
            prop_oneof![1..8_u8, Just(0x45), any::<u8>()],
            prop::collection::vec(any::<u8>(), 0..60),
        ), 0..10)
    ) {
        let packets = made(&packets, |_, (first, code, rest)| [&[*first, *code][..], rest].concat());
        survives(&PROTOCOL, &packets);
        let mut coap = Coap::default();
        let head = head(Transport::Udp, 5683);
        for (from, bytes) in &packets {
            let (mut told, mut found) = Default::default();
            let mut out = Emit::new(&head, super::super::Wants { messages: true, judged: true }, &mut told, &mut found);
            let input = Input { bytes, from: *from, at: model::Timestamp::EPOCH, cut: 0 };
            prop_assert_eq!(coap.parse(&input, &mut out), Progress::Took(bytes.len()));
        }
    }

    #[test]
    fn random_datagrams_are_not_taken_for_coap(bytes in proptest::collection::vec(any::<u8>(), 4..100)) {
        prop_assert_ne!(probe(&opening(&bytes, 1, false)), Verdict::Yes);
    }
}
