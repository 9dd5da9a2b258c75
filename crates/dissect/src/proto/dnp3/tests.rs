use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, opening, replay, told};

any_bytes_are_survived!(PROTOCOL, |_, (_, bytes)| framed(bytes));

/// A fragment in one segment and one frame, from the master (1) to the outstation (10).
fn framed(fragment: &[u8]) -> Vec<u8> {
    let fragment = &fragment[..fragment.len().min(200)];
    frame(0xc4, 10, 1, &[&[0xc0][..], fragment].concat())
}

fn answer(fragment: &[u8]) -> Vec<u8> {
    frame(0x44, 1, 10, &[&[0xc0][..], fragment].concat())
}

fn frame(control: u8, destination: u16, source: u16, user: &[u8]) -> Vec<u8> {
    let mut header = vec![0x05, 0x64, user.len() as u8 + 5, control];
    header.extend(destination.to_le_bytes());
    header.extend(source.to_le_bytes());
    let mut bytes = crc::checked(&header);
    for block in user.chunks(16) {
        bytes.extend(crc::checked(block));
    }
    bytes
}

const CROB: [u8; 11] = [0x41, 1, 0xf4, 1, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn a_control_is_told_with_what_became_of_it() {
    let object = [&[12, 1, 0x17, 1, 3][..], &CROB].concat();
    let mut failed = object.clone();
    *failed.last_mut().unwrap() = 7;
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &framed(&[&[0xc1, 3][..], &object].concat())),
            (Server, &answer(&[&[0xc1, 129, 0, 0][..], &object].concat())),
            (Client, &framed(&[&[0xc2, 4][..], &object].concat())),
            (Server, &answer(&[&[0xc2, 129, 0, 0][..], &failed].concat())),
        ],
    );
    insta::assert_snapshot!(text, @r#"
    client request {"source":1,"destination":10,"function":"select","function-code":3,"sequence":1,"first":true,"last":true,"confirm":false,"unsolicited":false,"objects":[{"group":12,"variation":1,"name":"control-relay-output-block","qualifier":23,"count":1}],"controls":[{"index":3,"operation":"pulse-on","trip-close":"close","clear":false,"count":1,"on-time":500,"off-time":0,"status":"success"}]}
    fact 192.0.2.10 role = "scada" (dnp3.request, 50%)
    server response {"source":10,"destination":1,"function":"response","function-code":129,"sequence":1,"first":true,"last":true,"confirm":false,"unsolicited":false,"internal-indications":0,"indications":[],"objects":[{"group":12,"variation":1,"name":"control-relay-output-block","qualifier":23,"count":1}],"controls":[{"index":3,"operation":"pulse-on","trip-close":"close","clear":false,"count":1,"on-time":500,"off-time":0,"status":"success"}]}
    fact 192.0.2.20 role = "rtu" (dnp3.response, 75%)
    fact 192.0.2.10 role = "scada" (dnp3.response, 75%)
    fact 192.0.2.20 identifier = "dnp3 address 10" (dnp3.source, 75%)
    operation client Execute select control-relay-output-block 3 outstation 10 {"operation":"pulse-on","trip-close":"close","count":1,"on-time":500,"off-time":0} Done
    client request {"source":1,"destination":10,"function":"operate","function-code":4,"sequence":2,"first":true,"last":true,"confirm":false,"unsolicited":false,"objects":[{"group":12,"variation":1,"name":"control-relay-output-block","qualifier":23,"count":1}],"controls":[{"index":3,"operation":"pulse-on","trip-close":"close","clear":false,"count":1,"on-time":500,"off-time":0,"status":"success"}]}
    server response {"source":10,"destination":1,"function":"response","function-code":129,"sequence":2,"first":true,"last":true,"confirm":false,"unsolicited":false,"internal-indications":0,"indications":[],"objects":[{"group":12,"variation":1,"name":"control-relay-output-block","qualifier":23,"count":1}],"controls":[{"index":3,"operation":"pulse-on","trip-close":"close","clear":false,"count":1,"on-time":500,"off-time":0,"status":"local"}]}
    operation client Execute operate control-relay-output-block 3 outstation 10 {"operation":"pulse-on","trip-close":"close","count":1,"on-time":500,"off-time":0} Refused
    "#);
}

#[test]
fn restart_time_and_unsolicited_are_told_apart() {
    let requests: [&[u8]; 5] = [
        &[0xc0, 13],
        &[0xc1, 2, 50, 1, 7, 1, 0, 0, 0, 0, 0, 1],
        &[0xc2, 21, 60, 2, 6],
        &[0xc3, 18],
        &[0xc4, 1, 60, 2, 6, 60, 1, 6],
    ];
    let mut packets = Vec::new();
    for request in requests {
        packets.push((Client, framed(request)));
        // The last is not supported.
        packets.push((Server, answer(&[request[0], 129, 0, u8::from(request[1] == 18)])));
    }
    let text = replay(&PROTOCOL, &packets);
    let operations: Vec<&str> = text.lines().filter(|line| line.starts_with("operation")).collect();
    insta::assert_snapshot!(operations.join("\n"), @r#"
    operation client Restart cold-restart outstation 10 - Done
    operation client SetTime write time-and-date outstation 10 - Done
    operation client Configure disable-unsolicited class-1-data outstation 10 - Done
    operation client Stop stop-application outstation 10 - Refused
    operation client Read read class-1-data, class-0-data outstation 10 - Done
    "#);
}

#[test]
fn a_device_tells_its_attributes() {
    let attribute = |variation: u8, value: &str| {
        [&[0, variation, 0, 0, 0, 1, value.len() as u8][..], value.as_bytes()].concat()
    };
    let objects = [attribute(252, "Example Works"), attribute(250, "RTU-9"), attribute(242, "4.2")].concat();
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &framed(&[0xc1, 1, 0, 254, 0, 0, 0])),
            (Server, &answer(&[&[0xc1, 129, 0, 0][..], &objects].concat())),
        ],
    );
    insta::assert_snapshot!(told(&text).join("\n"), @r#"
    fact 192.0.2.10 role = "scada" (dnp3.request, 50%)
    fact 192.0.2.20 role = "rtu" (dnp3.response, 75%)
    fact 192.0.2.10 role = "scada" (dnp3.response, 75%)
    fact 192.0.2.20 identifier = "dnp3 address 10" (dnp3.source, 75%)
    fact 192.0.2.20 vendor = "Example Works" (dnp3.attribute.manufacturer, 95%)
    fact 192.0.2.20 model = "RTU-9" (dnp3.attribute.product-name, 95%)
    fact 192.0.2.20 firmware = "4.2" (dnp3.attribute.software-version, 95%)
    operation client Identify read device-attributes 0 outstation 10 - Done
    "#);
}

#[test]
fn a_fragment_in_segments_is_put_together() {
    let fragment = [&[0xc1, 129, 0, 0, 110, 100, 0, 0, 1][..], &[b'x'; 200]].concat();
    let (first, last) = fragment.split_at(100);
    let text = converse(
        &PROTOCOL,
        &[
            (Server, &frame(0x44, 1, 10, &[&[0x45][..], first].concat())),
            (Server, &frame(0x44, 1, 10, &[&[0x86][..], last].concat())),
        ],
    );
    assert!(
        text.contains(r#""group":110,"variation":100,"name":"octet-string","qualifier":0,"count":2"#),
        "{text}"
    );
    let lost = converse(
        &PROTOCOL,
        &[
            (Server, &frame(0x44, 1, 10, &[&[0x45][..], first].concat())),
            (Server, &frame(0x44, 1, 10, &[&[0x87][..], last].concat())),
        ],
    );
    assert_eq!(lost, "anomaly server transport-sequence: segment 7 is out of order\n");
}

#[test]
fn a_damaged_block_is_an_anomaly_and_the_stream_goes_on() {
    let mut damaged = framed(&[0xc0, 13]);
    damaged[11] ^= 1;
    let text = converse(&PROTOCOL, &[(Client, &damaged), (Client, &framed(&[0xc1, 14]))]);
    insta::assert_snapshot!(text, @r#"
    anomaly client crc: a block of user data fails its check
    client request {"source":1,"destination":10,"function":"warm-restart","function-code":14,"sequence":1,"first":true,"last":true,"confirm":false,"unsolicited":false}
    fact 192.0.2.10 role = "scada" (dnp3.request, 50%)
    operation client Restart warm-restart outstation 10 - Asked
    "#);
}

#[test]
fn only_a_header_that_passes_its_check_is_dnp3() {
    let good = framed(&[0xc0, 1, 60, 1, 6]);
    assert_eq!(probe(&opening(&good, 9_999, true)), Verdict::Yes);
    assert_eq!(probe(&opening(&good[..6], 9_999, true)), Verdict::More);
    let mut bad = good;
    bad[8] ^= 1;
    assert_eq!(probe(&opening(&bad, 20_000, true)), Verdict::No);
}

#[test]
fn values_of_points_are_samples_unless_their_flags_speak_against_them() {
    let responses: [(&[u8], &[&str]); 9] = [
        // Packed bits 2 to 4.
        (&[1, 1, 0, 2, 4, 0b101], &["binary-input 2 = 1", "binary-input 3 = 0", "binary-input 4 = 1"]),
        (&[1, 2, 0, 7, 8, 0x81, 0x80], &["binary-input 7 = 1"]),
        (&[2, 1, 0x17, 1, 9, 0x01], &["binary-input 9 = 0"]),
        (&[3, 2, 0, 0, 0, 0x81], &["double-bit-input 0 = 2"]),
        (&[30, 4, 0, 1, 2, 0x18, 0xfc, 5, 0], &["analog-input 1 = -1000", "analog-input 2 = 5"]),
        (&[30, 5, 0, 3, 3, 1, 0, 0, 0x48, 0x42], &["analog-input 3 = 50"]),
        // Off line, from a restart, not a number.
        (&[30, 2, 0, 3, 4, 0, 1, 0, 3, 1, 0], &[]),
        (&[30, 5, 0, 3, 3, 1, 0, 0, 0xc0, 0x7f], &[]),
        (&[32, 2, 0x28, 1, 0, 6, 0, 1, 9, 0], &["analog-input 6 = 9"]),
    ];
    for (objects, wanted) in responses {
        let fragment = [&[0xc0, 129, 0, 0][..], objects].concat();
        let text = converse(&PROTOCOL, &[(Server, &answer(&fragment))]);
        let samples: Vec<&str> = text.lines().filter(|line| line.starts_with("sample")).collect();
        let named = |wanted: &&str| {
            let (point, value) = wanted.split_once(" = ").unwrap();
            format!("sample server {point} outstation 10 = {value}")
        };
        assert_eq!(samples, wanted.iter().map(named).collect::<Vec<_>>(), "{objects:02x?}");
    }
    let unsolicited = [&[0xd0, 130, 0, 0][..], &[32, 1, 0x17, 1, 6, 1, 7, 0, 0, 0]].concat();
    let text = converse(&PROTOCOL, &[(Server, &answer(&unsolicited))]);
    assert!(text.contains("sample server analog-input 6 outstation 10 = 7"), "{text}");
}
