use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, opening, packets, survives, unhex};

const OBJECT: &str = "dea00000 6c97 11d1 8271 0001 010d 002a";
const DEVICE: &str = "dea00001 6c97 11d1 8271 00a02442df7d";
const MAPPER: &str = "e1af8308 5d1f 11c9 91a4 08002b14a0fa";

/// A call, most significant byte first.
fn call(kind: u8, interface: &str, operation: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![4, kind, 0x20, 0, 0, 0, 0, 0];
    bytes.extend(unhex(OBJECT));
    bytes.extend(unhex(interface));
    bytes.extend([0x11; 16]);
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, operation, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(body);
    bytes
}

/// Arguments: five numbers and blocks.
fn arguments(first: u32, blocks: &[u8]) -> Vec<u8> {
    let length = (blocks.len() as u32).to_be_bytes();
    [&first.to_be_bytes()[..], &length, &length, &[0; 4], &length, blocks].concat()
}

fn block(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(body.len() as u16 + 2).to_be_bytes(), &[1, 0], body].concat()
}

fn record(kind: u16, slot: u16, index: u16, length: u32) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend([0x22; 16]);
    body.extend([0, 0, 0, 0]);
    body.extend(slot.to_be_bytes());
    body.extend([0, 1, 0, 0]);
    body.extend(index.to_be_bytes());
    body.extend(length.to_be_bytes());
    body.extend([0; 24]);
    block(kind, &body)
}

#[test]
fn a_controller_connects_and_reads_what_the_device_is() {
    let mut relation = unhex("0001 22222222222222222222222222222222 0001 02000000000a");
    relation.extend(unhex(OBJECT));
    relation.extend(unhex("00000011 0258 8892 0005 6c696e6531"));
    let connect = call(0, DEVICE, 0, &arguments(1000, &block(0x0101, &relation)));
    let mut answer = block(0x8101, &unhex("0001 22222222222222222222222222222222 0001 020000000014 8892"));
    answer.extend(block(0x8106, &unhex("0006 76616c766573 0000")));
    let connected = call(2, DEVICE, 0, &arguments(0, &answer));
    let read = call(0, DEVICE, 2, &arguments(1000, &record(9, 0, 0xaff0, 64)));
    let mut identity = unhex("002a");
    identity.extend(b"6ES7 155-6AU01-0BN0 ");
    identity.extend(b"S C-X1234567    ");
    identity.extend(unhex("0003 56 04 02 01 0000 0000 0000 0101 001e"));
    let mut answer = record(0x8009, 0, 0xaff0, 60);
    answer.extend(block(0x0020, &identity));
    let identified = call(2, DEVICE, 2, &arguments(0, &answer));
    let conversation = [(Client, &connect[..]), (Server, &connected), (Client, &read), (Server, &identified)];
    insta::assert_snapshot!(converse(&PROTOCOL, &conversation), @r#"
    client request {"interface":"device","operation":"connect","sequence":9,"activity":"11111111-1111-1111-1111-111111111111","vendor_id":42,"device_id":269,"instance":1,"ar_type":1,"session":1,"initiator":"line1","initiator_mac":"02:00:00:00:00:0a"}
    fact 192.0.2.20 role = "field-device" (profinet-io-cm.device, 75%)
    fact 192.0.2.20 vendor = "Siemens" (profinet-io-cm.object, 75%)
    fact 192.0.2.20 identifier = "profinet 002a:010d" (profinet-io-cm.object, 75%)
    fact 192.0.2.10 role = "plc" (profinet-io-cm.connect, 75%)
    fact 192.0.2.10 hostname = "line1" (profinet-io-cm.initiator, 75%)
    operation client Configure connect - - Asked
    server response {"interface":"device","operation":"connect","sequence":9,"activity":"11111111-1111-1111-1111-111111111111","vendor_id":42,"device_id":269,"instance":1,"ar_type":1,"session":1,"responder_mac":"02:00:00:00:00:14","device_name":"valves"}
    fact 192.0.2.20 hostname = "valves" (profinet-io-cm.station-name, 95%)
    client request {"interface":"device","operation":"read","sequence":9,"activity":"11111111-1111-1111-1111-111111111111","vendor_id":42,"device_id":269,"instance":1,"api":0,"slot":0,"subslot":1,"index":45040,"record_length":64}
    operation client Identify read-identity api 0 slot 0 subslot 1 index 0xaff0 - Asked
    server response {"interface":"device","operation":"read","sequence":9,"activity":"11111111-1111-1111-1111-111111111111","vendor_id":42,"device_id":269,"instance":1,"api":0,"slot":0,"subslot":1,"index":45040,"record_length":60,"maker_id":42,"order":"6ES7 155-6AU01-0BN0","serial":"S C-X1234567","hardware":3,"software":"V4.2.1"}
    fact 192.0.2.20 vendor = "Siemens" (profinet-io-cm.im0, 95%)
    fact 192.0.2.20 part-number = "6ES7 155-6AU01-0BN0" (profinet-io-cm.im0, 95%)
    fact 192.0.2.20 serial = "S C-X1234567" (profinet-io-cm.im0, 95%)
    fact 192.0.2.20 hardware = "3" (profinet-io-cm.im0, 95%)
    fact 192.0.2.20 firmware = "V4.2.1" (profinet-io-cm.im0, 95%)
    "#);
}

#[test]
fn writes_and_the_end_of_parameters_are_operations() {
    let mut data = record(8, 3, 0x0001, 4);
    data.extend([1, 2, 3, 4]);
    let write = call(0, DEVICE, 3, &arguments(1000, &data));
    let control = block(0x0110, &unhex("0000 22222222222222222222222222222222 0001 0000 0001 0000"));
    let end = call(0, DEVICE, 4, &arguments(1000, &control));
    let text = converse(&PROTOCOL, &[(Client, &write), (Client, &end)]);
    let operations: Vec<&str> = text.lines().filter(|line| line.starts_with("operation")).collect();
    insta::assert_snapshot!(operations.join("\n"), @r"
    operation client Write write api 0 slot 3 subslot 1 index 0x0001 - Asked
    operation client Configure end-of-parameters - - Asked
    ");
}

#[test]
fn an_endpoint_mapper_tells_type_order_number_and_versions() {
    let mut body = vec![0; 20];
    body.extend([0, 0, 0, 1]);
    body.extend([0; 12]);
    body.extend(unhex(OBJECT));
    body.extend([0; 8]);
    body.extend([0, 0, 0, 64]);
    body.extend(b"S7-1200                   6ES7 214-1AG40-0XB0      3 V  4  2  1 ");
    let text =
        converse(&PROTOCOL, &[(Client, &call(0, MAPPER, 2, &[])), (Server, &call(2, MAPPER, 2, &body))]);
    let facts: Vec<&str> = text.lines().filter(|line| !line.starts_with(['c', 's'])).collect();
    insta::assert_snapshot!(facts.join("\n"), @r#"
    operation client Discover endpoint-lookup - - Asked
    fact 192.0.2.20 model = "S7-1200" (profinet-io-cm.annotation, 95%)
    fact 192.0.2.20 part-number = "6ES7 214-1AG40-0XB0" (profinet-io-cm.annotation, 95%)
    fact 192.0.2.20 hardware = "3" (profinet-io-cm.annotation, 95%)
    fact 192.0.2.20 firmware = "V4.2.1" (profinet-io-cm.annotation, 95%)
    "#);
}

#[test]
fn a_block_that_does_not_fit_is_told_and_other_interfaces_are_not_ours() {
    let broken = call(0, DEVICE, 0, &arguments(0, &[1, 1, 1, 0, 1, 0, 0, 0]));
    assert!(converse(&PROTOCOL, &[(Client, &broken)]).contains("anomaly client length"));
    let other = call(0, "dea00009 6c97 11d1 8271 00a02442df7d", 0, &[]);
    assert_eq!(probe(&opening(&other, 34_964, false)), Verdict::No);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        noise in packets(),
        kind in prop_oneof![Just(0_u8), Just(2_u8)],
        operation in 0_u8..6,
        mapper in any::<bool>(),
        blocks in prop::collection::vec(
            (
                prop_oneof![
                    Just(8_u16), Just(9), Just(0x20), Just(0x21), Just(0x23), Just(0x101), Just(0x8101),
                    Just(0x8106), Just(0x8009), Just(0x8008), Just(0x112),
                ],
                prop::collection::vec(any::<u8>(), 0..70),
            ),
            0..5,
        ),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        survives(&PROTOCOL, &noise);
        let mut body: Vec<u8> = blocks.iter().flat_map(|(kind, body)| block(*kind, body)).collect();
        body.extend(tail);
        let interface = if mapper { MAPPER } else { DEVICE };
        survives(&PROTOCOL, &[(Client, call(kind, interface, operation, &arguments(0, &body)))]);
    }
}
