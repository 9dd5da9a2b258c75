use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, opening, replay, told};

any_bytes_are_survived!(PROTOCOL, |_, (_, bytes)| framed(bytes));

fn framed(message: &[u8]) -> Vec<u8> {
    rr(7, message)
}

fn command(command: u16, session: u32, context: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = command.to_le_bytes().to_vec();
    bytes.extend((data.len() as u16).to_le_bytes());
    bytes.extend(session.to_le_bytes());
    bytes.extend([0, 0, 0, 0, context, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(data);
    bytes
}

/// An unconnected message.
fn rr(context: u8, message: &[u8]) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 0, 10, 0, 2, 0, 0, 0, 0, 0, 0xb2, 0];
    data.extend((message.len() as u16).to_le_bytes());
    data.extend(message);
    command(0x6f, 0x1234, context, &data)
}

/// A message of a connection.
fn unit(sequence: u16, message: &[u8]) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 0, 0, 0, 2, 0, 0xa1, 0, 4, 0, 1, 2, 3, 4, 0xb1, 0];
    data.extend((message.len() as u16 + 2).to_le_bytes());
    data.extend(sequence.to_le_bytes());
    data.extend(message);
    command(0x70, 0x1234, 0, &data)
}

#[test]
fn a_device_in_the_list_of_identities_is_known() {
    let mut item = vec![1, 0, 0, 2, 0xaf, 0x12, 192, 0, 2, 20, 0, 0, 0, 0, 0, 0, 0, 0];
    item.extend([1, 0, 14, 0, 95, 0, 32, 11, 0x60, 0x30, 0x44, 0x33, 0x22, 0x11, 10]);
    item.extend(b"1769-L33ER");
    item.push(3);
    let mut data = vec![1, 0, 0x0c, 0];
    data.extend((item.len() as u16).to_le_bytes());
    data.extend(&item);
    let text =
        converse(&PROTOCOL, &[(Client, &command(0x63, 0, 0, &[])), (Server, &command(0x63, 0, 0, &data))]);
    insta::assert_snapshot!(text, @r#"
    client list-identity {"length":0,"session":0,"status":"success","status-code":0,"sender-context":"0000000000000000","options":0}
    operation client Discover list-identity - - Asked
    server list-identity {"length":50,"session":0,"status":"success","status-code":0,"sender-context":"0000000000000000","options":0,"identity":{"encapsulation-version":1,"socket-address":"192.0.2.20","socket-port":44818,"vendor-id":1,"vendor":"Rockwell Automation/Allen-Bradley","device-type-code":14,"device-type":"Programmable Logic Controller","product-code":95,"revision":"32.11","device-status":12384,"serial":287454020,"product-name":"1769-L33ER","state":3}}
    fact 192.0.2.20 vendor = "Rockwell Automation/Allen-Bradley" (enip.identity.vendor, 95%)
    fact 192.0.2.20 type = "Programmable Logic Controller" (enip.identity.device-type, 95%)
    fact 192.0.2.20 role = "plc" (enip.identity.device-type, 75%)
    fact 192.0.2.20 serial = "11223344" (enip.identity.serial, 95%)
    fact 192.0.2.20 firmware = "32.11" (enip.identity.revision, 95%)
    fact 192.0.2.20 model = "1769-L33ER" (enip.identity.product-name, 95%)
    "#);
}

#[test]
fn services_inside_others_are_found_and_answered() {
    // Unconnected send of a reset to the identity behind port 1, slot 0.
    let reset = [0x05, 2, 0x20, 1, 0x24, 1, 1];
    let mut send = vec![0x52, 2, 0x20, 6, 0x24, 1, 5, 0x9d, reset.len() as u8, 0];
    send.extend(reset);
    send.extend([0, 1, 0, 1, 0]);
    // Two services in one packet: a read of one tag, a write of another.
    let read = [&[0x4c, 3, 0x91, 4][..], b"Tank", &[1, 0]].concat();
    let write = [&[0x4d, 3, 0x91, 4][..], b"Pump", &[0xc1, 0, 1, 0, 1]].concat();
    let mut packet = vec![0x0a, 2, 0x20, 2, 0x24, 1, 2, 0, 6, 0];
    packet.extend((6 + read.len() as u16).to_le_bytes());
    packet.extend([read, write].concat());
    let mut answer = vec![0x8a, 0, 0, 0, 2, 0, 6, 0, 14, 0];
    answer.extend([0xcc, 0, 0, 0, 0xc4, 0, 5, 0]);
    answer.extend([0xcd, 0, 5, 0]);
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &rr(1, &send)),
            (Server, &rr(1, &[0x85, 0, 0, 0])),
            (Client, &unit(4, &packet)),
            (Server, &unit(4, &answer)),
        ],
    );
    insta::assert_snapshot!(told(&text).join("\n"), @r#"
    fact 192.0.2.20 role = "plc" (enip.cip-response, 20%)
    fact 192.0.2.10 role = "hmi" (enip.cip-request, 20%)
    operation client Restart reset identity (0x1) instance 1 via 1/0 type 1 - Done
    fact 192.0.2.20 role = "plc" (enip.tag, 75%)
    fact 192.0.2.10 role = "hmi" (enip.tag, 50%)
    operation client Read read-tag Tank - Done
    operation client Write write-tag Pump - Refused
    "#);
}

#[test]
fn stop_download_and_time_of_a_controller_are_told_apart() {
    let services: [&[u8]; 5] = [
        &[0x07, 2, 0x20, 0x8e, 0x24, 1],
        &[0x08, 2, 0x20, 0x68, 0x24, 0],
        &[0x06, 2, 0x20, 0x8e, 0x24, 1],
        &[0x04, 2, 0x20, 0x8b, 0x24, 1, 1, 0, 6, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x10, 3, 0x20, 0xf5, 0x24, 1, 0x30, 5, 1, 2, 3, 4],
    ];
    let mut packets = Vec::new();
    for (number, service) in services.iter().enumerate() {
        packets.push((Client, rr(number as u8, service)));
        packets
            .push((Server, rr(number as u8, &[service[0] | 0x80, 0, if number == 4 { 0x0f } else { 0 }, 0])));
    }
    let text = replay(&PROTOCOL, &packets);
    let operations: Vec<&str> = text.lines().filter(|line| line.starts_with("operation")).collect();
    insta::assert_snapshot!(operations.join("\n"), @r#"
    operation client Stop stop controller-mode (0x8e) instance 1 - Done
    operation client ProgramDownload create program-name (0x68) instance 0 - Done
    operation client Start start controller-mode (0x8e) instance 1 - Done
    operation client SetTime set-attribute-list wall-clock-time (0x8b) instance 1 - Done
    operation client Configure set-attribute-single tcp-ip-interface (0xf5) instance 1 attribute 5 - Refused
    "#);
}

#[test]
fn pccc_inside_cip_is_told_by_its_own_name() {
    let mode = [0x4b, 2, 0x20, 0x67, 0x24, 1, 7, 1, 0, 1, 2, 3, 4, 0x0f, 0, 1, 0, 0x80, 1];
    let text = converse(
        &PROTOCOL,
        &[(Client, &rr(1, &mode)), (Server, &rr(1, &[0xcb, 0, 0, 0, 7, 1, 0, 1, 2, 3, 4, 0x4f, 0xf0, 1, 0]))],
    );
    assert!(
        told(&text).contains(&"operation client ChangeMode change-mode pccc (0x67) instance 1 - Refused"),
        "{text}"
    );
}

#[test]
fn nesting_without_end_is_given_up() {
    let mut message = vec![0x01, 2, 0x20, 1, 0x24, 1];
    for _ in 0..10 {
        let mut outer = vec![0x52, 2, 0x20, 6, 0x24, 1, 5, 0x9d];
        outer.extend((message.len() as u16).to_le_bytes());
        outer.extend(&message);
        if message.len() % 2 != 0 {
            outer.push(0);
        }
        outer.extend([1, 0, 1, 0]);
        message = outer;
    }
    assert!(converse(&PROTOCOL, &[(Client, &rr(1, &message))]).contains("anomaly client nesting"));
}

#[test]
fn input_and_output_datagrams_are_recognised_and_other_bytes_are_not() {
    let io = [2, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0xb1, 0, 4, 0, 9, 9, 0, 0];
    assert_eq!(probe(&opening(&io, 2_222, false)), Verdict::Yes);
    assert_eq!(probe(&opening(&io[..21], 2_222, false)), Verdict::No);
    assert_eq!(probe(&opening(&command(0x65, 0, 0, &[1, 0, 0, 0]), 9_999, true)), Verdict::Yes);
    assert_eq!(probe(&opening(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 44_818, true)), Verdict::No);
    assert_eq!(probe(&opening(&[0; 24], 9_999, true)), Verdict::Maybe);
}
