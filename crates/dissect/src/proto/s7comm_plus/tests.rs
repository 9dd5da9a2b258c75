use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, in_tpkt, opening};

any_bytes_are_survived!(PROTOCOL, |_, (_, bytes)| in_tpkt(bytes));

/// A frame of version 1 or 2, with its trailer.
fn plus(version: u8, content: &[u8]) -> Vec<u8> {
    let mut user = vec![0x72, version];
    user.extend((content.len() as u16).to_be_bytes());
    user.extend(content);
    user.extend([0x72, version, 0, 0]);
    in_tpkt(&user)
}

/// Opcode, function, sequence, session, flags, object.
fn head(opcode: u8, function: u16, object: u32) -> Vec<u8> {
    let [a, b] = function.to_be_bytes();
    let mut bytes = vec![opcode, 0, 0, a, b, 0, 0, 0, 5, 0, 0, 0, 1, 0x34];
    bytes.extend(object.to_be_bytes());
    bytes
}

#[test]
fn a_session_names_the_module_and_a_write_of_the_state_stops_it() {
    let mut created = head(0x32, 0x04ca, 0);
    created.extend(b"\x15\x1a1;6ES7 215-1AG31-0XB0;V3.0\xa2");
    let mut stop = head(0x31, 0x04f2, 0x34);
    stop.extend([1, 0x90, 0x77, 0x00, 0x08, 0x01, 0, 0]);
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &plus(1, &head(0x31, 0x04ca, 0x11d))),
            (Server, &plus(1, &created)),
            (Client, &plus(2, &stop)),
            (Client, &in_tpkt(&[0x72, 0xff, 0, 0])),
        ],
    );
    insta::assert_snapshot!(text, @r#"
    client request {"version":1,"opcode":"request","opcode-code":49,"function":"create-object","function-code":1226,"sequence":5}
    operation client Configure create-object object 0x11d - Asked
    server response {"version":1,"opcode":"response","opcode-code":50,"function":"create-object","function-code":1226,"sequence":5}
    fact 192.0.2.20 role = "plc" (s7comm-plus.response, 75%)
    fact 192.0.2.10 role = "hmi" (s7comm-plus.request, 20%)
    fact 192.0.2.20 vendor = "Siemens" (s7comm-plus.response, 50%)
    fact 192.0.2.20 part-number = "6ES7 215-1AG31-0XB0" (s7comm-plus.session-version, 95%)
    fact 192.0.2.20 firmware = "3.0" (s7comm-plus.session-version, 95%)
    client request {"version":2,"opcode":"request","opcode-code":49,"function":"set-variable","function-code":1266,"sequence":5}
    fact 192.0.2.10 role = "engineering-station" (s7comm-plus.operating-state, 75%)
    operation client Stop plc-stop object 0x34 - Asked
    client keep-alive {"version":255}
    "#);
}

#[test]
fn a_frame_without_trailer_is_continued_by_the_next() {
    let mut first = vec![0x72, 1, 0, 14];
    first.extend(&head(0x31, 0x04ca, 0)[..14]);
    let mut last = vec![0x72, 1, 0, 3, 9, 9, 9];
    last.extend([0x72, 1, 0, 0]);
    let text = converse(&PROTOCOL, &[(Client, &in_tpkt(&first)), (Client, &in_tpkt(&last))]);
    assert!(text.contains("client request"), "{text}");
    assert!(text.contains("client continuation"), "{text}");
}

#[test]
fn classic_s7_is_not_s7_plus() {
    let classic = in_tpkt(&[0x32, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(probe(&opening(&classic, 102, true)), Verdict::No);
    assert_eq!(probe(&opening(&plus(1, &head(0x31, 0x04ca, 0)), 4_000, true)), Verdict::Yes);
}
