use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, opening, told};

any_bytes_are_survived!(PROTOCOL, |_, (_, bytes)| framed(bytes));

/// An APDU in an original unicast.
fn framed(apdu: &[u8]) -> Vec<u8> {
    link(10, &[&[1, 4][..], apdu].concat())
}

fn link(function: u8, npdu: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x81, function];
    bytes.extend((npdu.len() as u16 + 4).to_be_bytes());
    bytes.extend(npdu);
    bytes
}

/// Device 321 of vendor 8, 1,024 bytes, no segmentation.
const I_AM: &[u8] = &[0x10, 0, 0xc4, 2, 0, 1, 0x41, 0x22, 4, 0, 0x91, 3, 0x21, 8];

#[test]
fn a_device_says_who_it_is() {
    let text = converse(&PROTOCOL, &[(Client, &framed(&[0x10, 8])), (Server, &framed(I_AM))]);
    insta::assert_snapshot!(text, @r#"
    client unconfirmed-request {"bvlc-function":"original-unicast-npdu","service":"who-is"}
    operation client Discover who-is - - Asked
    server unconfirmed-request {"bvlc-function":"original-unicast-npdu","service":"i-am","device":321,"object-type":"device","instance":321,"vendor-id":8,"vendor":"Delta Controls"}
    fact 192.0.2.20 identifier = "bacnet device 321" (bacnet.i-am.device, 95%)
    fact 192.0.2.20 vendor = "Delta Controls" (bacnet.i-am.vendor, 95%)
    fact 192.0.2.20 role = "building-controller" (bacnet.i-am, 75%)
    "#);
}

#[test]
fn a_device_behind_a_router_is_not_the_host_that_forwards() {
    // From network 5, address 7.
    let routed = [&[1, 8, 0, 5, 1, 7][..], I_AM].concat();
    let text = converse(&PROTOCOL, &[(Client, &framed(&[0x10, 8])), (Server, &link(11, &routed))]);
    assert_eq!(
        told(&text).join("\n"),
        "operation client Discover who-is - - Asked\nfact 192.0.2.20 role = \"router\" (bacnet.source-network, 75%)"
    );
    // Forwarded for 192.0.2.99: it is that host's.
    let forwarded = [&[192, 0, 2, 99, 0xba, 0xc0, 1, 0][..], I_AM].concat();
    let text = converse(&PROTOCOL, &[(Client, &link(4, &forwarded))]);
    assert!(text.contains("fact 192.0.2.99 vendor = \"Delta Controls\""), "{text}");
    assert!(!text.contains("fact 192.0.2.10"), "{text}");
}

#[test]
fn properties_are_read_and_written_with_their_outcome() {
    let read = [0, 5, 1, 12, 0x0c, 2, 0, 1, 0x41, 0x19, 70];
    let answer =
        [&[0x30, 1, 12, 0x0c, 2, 0, 1, 0x41, 0x19, 70, 0x3e, 0x75, 6, 0][..], b"DSC-9", &[0x3f]].concat();
    // Analog output 3, present value 21.5, priority 8.
    let write = [0, 5, 2, 15, 0x0c, 0, 0x40, 0, 3, 0x19, 85, 0x3e, 0x44, 0x41, 0xac, 0, 0, 0x3f, 0x49, 8];
    let restart = [&[0, 5, 3, 20, 0x09, 0, 0x1d, 5, 0][..], b"pass"].concat();
    let silence = [0, 5, 4, 17, 0x19, 1];
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &framed(&read)),
            (Server, &framed(&answer)),
            (Client, &framed(&write)),
            (Server, &framed(&[0x50, 2, 15, 0x91, 2, 0x91, 40])),
            (Client, &framed(&restart)),
            (Server, &framed(&[0x20, 3, 20])),
            (Client, &framed(&silence)),
            (Server, &framed(&[0x60, 4, 9])),
        ],
    );
    insta::assert_snapshot!(told(&text).join("\n"), @r#"
    fact 192.0.2.20 model = "DSC-9" (bacnet.model-name, 95%)
    fact 192.0.2.20 identifier = "bacnet device 321" (bacnet.device, 95%)
    fact 192.0.2.20 role = "building-controller" (bacnet.device, 75%)
    fact 192.0.2.10 role = "hmi" (bacnet.read-property, 50%)
    operation client Identify read-property device 321 model-name - Done
    operation client Write write-property analog-output 3 present-value 21.5 Refused
    operation client Restart reinitialize-device - "coldstart" Done
    operation client Configure device-communication-control - "disable" Refused
    "#);
    assert!(!text.contains("pass"), "a password must not be kept: {text}");
}

#[test]
fn a_segmented_answer_is_read_when_it_is_whole() {
    let answer = [&[0x0c, 2, 0, 1, 0x41, 0x19, 77, 0x3e, 0x75, 9, 0][..], b"Boiler 7", &[0x3f]].concat();
    let (first, last) = answer.split_at(14);
    let text = converse(
        &PROTOCOL,
        &[
            (Server, &framed(&[&[0x3c, 9, 0, 4, 12][..], first].concat())),
            (Server, &framed(&[&[0x38, 9, 1, 4, 12][..], last].concat())),
        ],
    );
    assert!(text.contains("label = \"Boiler 7\""), "{text}");
    assert_eq!(text.matches("complex-ack").count(), 1);
}

#[test]
fn wrong_lengths_are_an_anomaly_and_only_believed_on_the_port() {
    let mut long = framed(&[0, 5, 1, 12, 0x0c, 2, 0, 1, 0x41, 0x19, 70]);
    assert_eq!(probe(&opening(&long, 9_999, false)), Verdict::Yes);
    long.extend([0, 0, 0]);
    assert_eq!(probe(&opening(&long, 47_808, false)), Verdict::Maybe);
    assert!(converse(&PROTOCOL, &[(Client, &long)]).contains("anomaly client length-mismatch"));
    assert_eq!(probe(&opening(b"\x81\x0a\x00\x06\x02\x00", 47_808, false)), Verdict::No);
}

#[test]
fn present_values_are_samples_whether_read_or_reported() {
    let samples = |packet: &[u8]| {
        let text = converse(&PROTOCOL, &[(Server, packet)]);
        text.lines().filter(|line| line.starts_with("sample")).map(str::to_owned).collect::<Vec<_>>()
    };
    // Analog input 3: 21.5, read.
    let read = [0x30, 1, 12, 0x0c, 0, 0, 0, 3, 0x19, 85, 0x3e, 0x44, 0x41, 0xac, 0, 0, 0x3f];
    assert_eq!(samples(&framed(&read)), ["sample server analog-input 3 present-value = 21.5"]);
    // Binary input 2 is active, and its status flags, reported by device 321.
    let cov = [
        &[0x09, 1, 0x1c, 2, 0, 1, 0x41, 0x2c, 0, 0xc0, 0, 2, 0x39, 0][..],
        &[0x4e, 0x09, 85, 0x2e, 0x91, 1, 0x2f, 0x09, 111, 0x2e, 0x82, 4, 0, 0x2f, 0x4f],
    ]
    .concat();
    let (unconfirmed, confirmed) = ([&[0x10, 2][..], &cov].concat(), [&[0, 5, 9, 1][..], &cov].concat());
    for apdu in [unconfirmed, confirmed] {
        assert_eq!(samples(&framed(&apdu)), ["sample server binary-input 2 present-value = 1"]);
        // Of a device on another network.
        assert_eq!(samples(&link(10, &[&[1, 8, 0, 5, 1, 7][..], &apdu].concat())), Vec::<String>::new());
    }
    // Its name is no value.
    let name = [&[0x30, 1, 12, 0x0c, 0, 0, 0, 3, 0x19, 77, 0x3e, 0x75, 2, 0][..], b"T", &[0x3f]].concat();
    assert_eq!(samples(&framed(&name)), Vec::<String>::new());
}
