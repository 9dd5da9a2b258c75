use model::Side::Client;
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, packets, survives};

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag, value.len() as u8][..], value].concat()
}

fn frame(state: u8, sequence: u8, test: u8, data: &[u8]) -> Vec<u8> {
    let pdu = [
        tlv(0x80, b"BAY1LD0/LLN0$GO$gcb1"),
        tlv(0x81, &[0x07, 0xd0]),
        tlv(0x82, b"BAY1LD0/LLN0$Trip"),
        tlv(0x83, b"bay1"),
        tlv(0x84, &[0x60, 0, 0, 0, 0, 0, 0, 0x0a]),
        tlv(0x85, &[state]),
        tlv(0x86, &[sequence]),
        tlv(0x87, &[test]),
        tlv(0x88, &[1]),
        tlv(0x89, &[0]),
        tlv(0x8a, &[2]),
        tlv(0xab, data),
    ]
    .concat();
    let apdu = tlv(PDU, &pdu);
    let length = (apdu.len() as u16 + 8).to_be_bytes();
    [&[0, 3][..], &length, &[0, 0, 0, 0], &apdu].concat()
}

#[test]
fn a_publisher_is_told_once_and_its_changes_each_time() {
    let data = [tlv(0x83, &[1]), tlv(0xa2, &[tlv(0x85, &[0xfe]), tlv(0x84, &[3, 0])].concat())].concat();
    let conversation = [
        (Client, &frame(5, 0, 0, &data)[..]),
        (Client, &frame(5, 1, 0, &data)),
        (Client, &frame(6, 0, 0, &[])),
        (Client, &frame(3, 0, 1, &[])),
        (Client, &frame(1, 0, 0, &[])),
    ];
    let text = converse(&PROTOCOL, &conversation);
    let first = text.lines().next().unwrap();
    insta::assert_snapshot!(first, @r#"client state {"app_id":3,"simulated":false,"control_block":"BAY1LD0/LLN0$GO$gcb1","time_allowed_to_live_ms":2000,"data_set":"BAY1LD0/LLN0$Trip","id":"bay1","changed_s":1610612736,"state_number":5,"sequence_number":0,"test":false,"configuration_revision":1,"needs_commissioning":false,"entries":2,"values":[true,[-2,"0300"]]}"#);
    let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with("client")).collect();
    insta::assert_snapshot!(rest.join("\n"), @r#"
    fact 192.0.2.10 role = "ied" (goose.publisher, 75%)
    fact 192.0.2.10 identifier = "BAY1LD0/LLN0$GO$gcb1" (goose.control-block, 75%)
    fact 192.0.2.10 label = "bay1" (goose.id, 50%)
    operation client Publish goose BAY1LD0/LLN0$GO$gcb1 5 Asked
    operation client Publish goose BAY1LD0/LLN0$GO$gcb1 6 Asked
    anomaly client state-went-back: BAY1LD0/LLN0$GO$gcb1: from 6 to 3
    operation client Publish goose BAY1LD0/LLN0$GO$gcb1 3 Asked
    operation client Publish goose BAY1LD0/LLN0$GO$gcb1 1 Asked
    "#);
    assert!(text.contains("client test "));
}

/// What is told as wrong of frames with these states and repetitions.
fn wrong(counts: &[(u8, u8)]) -> Vec<String> {
    let frames: Vec<_> = counts.iter().map(|(state, sequence)| frame(*state, *sequence, 0, &[])).collect();
    let conversation: Vec<_> = frames.iter().map(|frame| (Client, &frame[..])).collect();
    let text = converse(&PROTOCOL, &conversation);
    let told = text.lines().filter_map(|line| line.strip_prefix("anomaly client "));
    told.map(|told| told.replace("BAY1LD0/LLN0$GO$gcb1: ", "")).collect()
}

#[test]
fn two_publishers_are_told_whenever_one_goes_on_after_the_other() {
    // A forged state, and the true one goes on.
    let told = wrong(&[(5, 7), (5, 8), (6, 0), (5, 9), (5, 10)]);
    let state = "two-publishers: state 5 goes on after 6, and neither began anew";
    assert_eq!(told, [state]);
    // Both go on, again and again.
    assert_eq!(wrong(&[(5, 7), (6, 0), (5, 8), (6, 1), (5, 9)]).len(), 3);
    // Old messages among the new ones.
    assert_eq!(wrong(&[(5, 7), (5, 8), (3, 0), (3, 1), (5, 9)]).len(), 2, "it went back, too");
    assert_eq!(wrong(&[(5, 40), (5, 41), (5, 3), (5, 42)]).len(), 1);
}

#[test]
fn one_publisher_is_not_told_however_it_is_seen() {
    for counts in [
        // Some are missed, some come twice, one late.
        &[(5, 7), (5, 9), (5, 9), (6, 0), (5, 9), (6, 0), (6, 1), (6, 4)][..],
        // It begins anew, in another state or in the same.
        &[(5, 7), (5, 8), (1, 0), (1, 1), (2, 0), (2, 1)],
        &[(1, 2), (1, 3), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5)],
        // A recording of one state is played in a loop.
        &[(5, 7), (5, 8), (5, 9), (5, 7), (5, 8), (5, 9), (5, 7), (5, 8)],
    ] {
        assert_eq!(wrong(counts), [""; 0], "{counts:?}");
    }
    // One of many states as well, but that it goes back is worth telling.
    assert_eq!(wrong(&[(5, 7), (6, 0), (6, 1), (5, 7), (6, 0), (6, 1)]), [""; 0]);
    assert_eq!(wrong(&[(5, 7), (6, 0), (7, 0), (5, 7), (6, 0)]), ["state-went-back: from 7 to 5"]);
}

#[test]
fn a_field_that_does_not_fit_is_told() {
    let mut bytes = frame(1, 1, 0, &[]);
    bytes[9] = 0x7f;
    assert!(converse(&PROTOCOL, &[(Client, &bytes)]).starts_with("anomaly client length"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        noise in packets(),
        data in prop::collection::vec(any::<u8>(), 0..60),
        at in 0_usize..60,
        byte in any::<u8>(),
    ) {
        survives(&PROTOCOL, &noise);
        let mut bytes = frame(1, 2, 0, &data);
        bytes[at] = byte;
        survives(&PROTOCOL, &[(Client, frame(1, 2, 0, &data)), (Client, bytes)]);
    }
}
