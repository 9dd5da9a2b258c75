use model::MacAddr;
use model::Side::{Client, Server};
use model::Transport;
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, converse_on, head, packets, survives, unhex};

fn datagram(command: u8, address: [u8; 4], data: &[u8], working_counter: u8, more: bool) -> Vec<u8> {
    let mut length = data.len() as u16;
    if more {
        length |= 0x8000;
    }
    let length = length.to_le_bytes();
    [&[command, 7][..], &address, &length, &[0, 0], data, &[working_counter, 0]].concat()
}

fn frame(datagrams: &[Vec<u8>]) -> Vec<u8> {
    let body = datagrams.concat();
    [&(0x1000 | body.len() as u16).to_le_bytes()[..], &body].concat()
}

/// As the conversation of the other tests, with the controller's address one that a maker gave.
fn talk(packets: &[(Side, &[u8])]) -> String {
    let mut head = head(Transport::Ether(0x88a4), 0);
    head.client.host = model::Host::from_mac(MacAddr([0, 1, 5, 0, 0, 1]));
    converse_on(&PROTOCOL, head, false, packets)
}

#[test]
fn a_controller_tells_states_and_writes_objects() {
    let state = frame(&[
        datagram(7, [0, 0, 0x30, 0x01], &[0, 0], 0, true),
        datagram(8, [0, 0, 0x20, 0x01], &[8, 0], 0, false),
    ]);
    let mut mailbox = unhex("0a00 0000 00 13 0020 33 121c 00 01001600");
    mailbox.resize(32, 0);
    let write = frame(&[datagram(5, [0xe9, 3, 0, 0x10], &mailbox, 0, false)]);
    let worked = frame(&[datagram(5, [0xe9, 3, 0, 0x10], &mailbox, 1, false)]);
    insta::assert_snapshot!(talk(&[(Client, &state), (Client, &write), (Client, &worked)]), @r#"
    fact 00:01:05:00:00:01 role = "plc" (ethercat.controller, 75%)
    operation client ChangeMode state-control all devices "operational" Asked
    client frame {"datagrams":[{"command":"brd","index":7,"device":0,"offset":304,"length":2,"working_counter":0},{"command":"bwr","index":7,"device":0,"offset":288,"length":2,"working_counter":0,"state":"operational"}]}
    operation client Write object-download device 1001 object 0x1c12:0 "01001600" Asked
    client frame {"datagrams":[{"command":"fpwr","index":7,"device":1001,"offset":4096,"length":32,"working_counter":0,"mailbox":"coe","service":"download-request","object":7186,"sub_object":0,"value":"01001600"}]}
    client frame {"datagrams":[{"command":"fpwr","index":7,"device":1001,"offset":4096,"length":32,"working_counter":1,"mailbox":"coe","service":"download-request","object":7186,"sub_object":0,"value":"01001600"}]}
    "#);
}

#[test]
fn new_firmware_is_an_operation_and_a_frame_that_comes_back_makes_no_controller() {
    let file = unhex("0c00 0000 00 14 02 00 00000000 66772e656677");
    let write = frame(&[datagram(5, [0xe9, 3, 0, 0x10], &file, 0, false)]);
    let text = talk(&[(Server, &write)]);
    assert!(
        text.contains("operation server FirmwareUpdate file-write device 1001 file fw.efw - Asked"),
        "{text}"
    );
    assert!(!text.contains("role"), "{text}");
}

#[test]
fn cyclic_data_has_a_logical_address_and_a_broken_frame_is_told() {
    let cyclic = frame(&[datagram(12, [0, 0, 1, 0], &[0; 8], 3, false)]);
    insta::assert_snapshot!(talk(&[(Client, &cyclic)]), @r#"client frame {"datagrams":[{"command":"lrw","index":7,"logical":65536,"length":8,"working_counter":3}]}"#);
    let mut broken = cyclic;
    broken[8] = 0xff;
    assert!(converse(&PROTOCOL, &[(Client, &broken)]).starts_with("anomaly client length"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        noise in packets(),
        command in 0_u8..16,
        address in any::<[u8; 4]>(),
        mut data in prop::collection::vec(any::<u8>(), 6..40),
        kind in 0_u8..6,
    ) {
        survives(&PROTOCOL, &noise);
        let length = data.len() as u8 - 6;
        data[..2].copy_from_slice(&[length, 0]);
        data[5] = kind;
        survives(&PROTOCOL, &[(Client, frame(&[datagram(command, address, &data, 0, false)]))]);
    }
}
