//! Known answers and bounds. The conversations are hand-made after PS3.7 annex E and PS3.8 clause 9.3.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, opening, packets, survives};

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

fn unit(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(body.len() as u32).to_be_bytes(), body].concat()
}

fn association(kind: u8, contexts: &[Vec<u8>], implementation: &str) -> Vec<u8> {
    let user = [item(0x51, &16_384_u32.to_be_bytes()), item(0x55, implementation.as_bytes())].concat();
    let items = [item(0x10, CONTEXT), contexts.concat(), item(0x50, &user)].concat();
    let head = [&[0, 1, 0, 0][..], b"ARCHIVE         ", b"CT_ROOM_2       ", &[0; 32], &items].concat();
    unit(kind, &head)
}

fn asks() -> Vec<u8> {
    let context = |number: u8, service: &[u8]| {
        let syntax = item(0x40, b"1.2.840.10008.1.2.1");
        item(0x20, &[&[number, 0, 0, 0][..], &item(0x30, service), &syntax].concat())
    };
    let contexts = [context(1, b"1.2.840.10008.1.1"), context(3, b"1.2.840.10008.5.1.4.1.1.2")];
    association(1, &contexts, "SYNGO_VB20")
}

fn accepts() -> Vec<u8> {
    let context =
        |number: u8| item(0x21, &[&[number, 0, 0, 0][..], &item(0x40, b"1.2.840.10008.1.2.1")].concat());
    association(2, &[context(1), context(3)], "OFFIS_DCMTK_367")
}

fn implicit(number: u16, value: &[u8]) -> Vec<u8> {
    [&[0, 0][..], &number.to_le_bytes(), &(value.len() as u32).to_le_bytes(), value].concat()
}

fn command(field: u16, service: &[u8], status: Option<u16>) -> Vec<u8> {
    let mut bytes = implicit(0x0002, service);
    bytes.extend(implicit(0x0100, &field.to_le_bytes()));
    bytes.extend(implicit(if field & 0x8000 == 0 { 0x0110 } else { 0x0120 }, &[7, 0]));
    bytes.extend(status.into_iter().flat_map(|status| implicit(0x0900, &status.to_le_bytes())));
    bytes
}

fn value(context: u8, control: u8, fragment: &[u8]) -> Vec<u8> {
    [&(fragment.len() as u32 + 2).to_be_bytes()[..], &[context, control], fragment].concat()
}

fn explicit(group: u16, number: u16, kind: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u16).to_le_bytes();
    [&group.to_le_bytes()[..], &number.to_le_bytes(), kind, &length, value].concat()
}

const CT: &[u8] = b"1.2.840.10008.5.1.4.1.1.2\0";

/// A picture in three data units, the middle one larger than what is awaited.
fn picture() -> Vec<u8> {
    let beginning = [
        explicit(0x0008, 0x0060, b"CS", b"CT"),
        explicit(0x0008, 0x0070, b"LO", b"SIEMENS "),
        explicit(0x0008, 0x1010, b"SH", b"CT56789 "),
        explicit(0x0008, 0x1090, b"LO", b"SOMATOM go.Up "),
        explicit(0x0010, 0x0010, b"PN", b"EVERYMAN^ADAM "),
        explicit(0x0018, 0x1000, b"LO", b"112233"),
        explicit(0x0018, 0x1020, b"LO", b"VB20A "),
        explicit(0x0020, 0x0013, b"IS", b"1 "),
    ]
    .concat();
    let pixels = vec![0x55; 100_000];
    [
        unit(4, &value(3, 3, &command(0x0001, CT, None))),
        unit(4, &value(3, 0, &[&beginning[..], &pixels].concat())),
        unit(4, &value(3, 2, &pixels[..10])),
    ]
    .concat()
}

#[test]
fn a_picture_is_stored_and_its_equipment_told_but_no_patient() {
    let echo = unit(4, &value(1, 3, &command(0x0030, b"1.2.840.10008.1.1\0", None)));
    let echoed = unit(4, &value(1, 3, &command(0x8030, b"1.2.840.10008.1.1\0", Some(0))));
    let stored = unit(4, &value(3, 3, &command(0x8001, CT, Some(0))));
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &asks()),
            (Server, &accepts()),
            (Client, &echo),
            (Server, &echoed),
            (Client, &picture()),
            (Server, &stored),
            (Client, &picture()),
            (Server, &stored),
            (Client, &unit(5, &[0; 4])),
            (Server, &unit(6, &[0; 4])),
        ],
    );
    assert!(!text.contains("EVERYMAN"), "{text}");
    assert_snapshot!(text, @r#"
    client associate {"called":"ARCHIVE","calling":"CT_ROOM_2","services":["verification","ct-image"],"implementation":"SYNGO_VB20","max-length":16384}
    fact 192.0.2.10 software = "SYNGO_VB20" (dicom.implementation, 75%)
    fact 192.0.2.10 label = "CT_ROOM_2" (dicom.calling-title, 75%)
    server accept {"called":"ARCHIVE","calling":"CT_ROOM_2","implementation":"OFFIS_DCMTK_367","max-length":16384}
    fact 192.0.2.20 software = "OFFIS_DCMTK_367" (dicom.implementation, 75%)
    fact 192.0.2.20 label = "ARCHIVE" (dicom.called-title, 75%)
    client request {"command":"c-echo","service":"verification","message-id":7}
    server response {"command":"c-echo","service":"verification","message-id":7,"status":0}
    operation client Diagnose c-echo verification - Done
    client request {"command":"c-store","service":"ct-image","message-id":7}
    fact 192.0.2.10 type = "computed tomography scanner" (dicom.modality, 50%)
    fact 192.0.2.10 vendor = "SIEMENS" (dicom.manufacturer, 50%)
    fact 192.0.2.10 label = "CT56789" (dicom.station-name, 50%)
    fact 192.0.2.10 model = "SOMATOM go.Up" (dicom.model-name, 50%)
    fact 192.0.2.10 serial = "112233" (dicom.device-serial-number, 50%)
    fact 192.0.2.10 firmware = "VB20A" (dicom.software-versions, 50%)
    server response {"command":"c-store","service":"ct-image","message-id":7,"status":0}
    fact 192.0.2.20 role = "server" (dicom.store, 75%)
    fact 192.0.2.20 type = "medical image store" (dicom.store, 50%)
    operation client TransferFile c-store ct-image - Done
    client request {"command":"c-store","service":"ct-image","message-id":7}
    server response {"command":"c-store","service":"ct-image","message-id":7,"status":0}
    "#);
}

#[test]
fn it_does_not_matter_how_the_bytes_come() {
    let whole = converse(&PROTOCOL, &[(Client, &asks()), (Server, &accepts()), (Client, &picture())]);
    let picture = picture();
    for cut in (1..600).chain([50_000, picture.len() - 1]) {
        let (one, other) = picture.split_at(cut);
        let parts = [(Client, &asks()[..]), (Server, &accepts()), (Client, one), (Client, other)];
        assert_eq!(converse(&PROTOCOL, &parts), whole, "cut at {cut}");
    }
}

#[test]
fn refusals_are_told() {
    let refused = unit(4, &value(3, 3, &command(0x8001, CT, Some(0xa700))));
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &asks()),
            (Server, &accepts()),
            (Client, &picture()),
            (Server, &refused),
            (Server, &refused),
        ],
    );
    assert_eq!(text.matches("operation client TransferFile c-store ct-image - Refused").count(), 2, "{text}");
    let text = converse(&PROTOCOL, &[(Client, &asks()), (Server, &unit(3, &[0, 1, 1, 7]))]);
    assert!(text.contains(r#"server reject {"reason":7}"#), "{text}");
}

#[test]
fn an_association_tells_dicom_and_little_else_does() {
    let judge = |bytes: &[u8]| (PROTOCOL.probe)(&opening(bytes, 9_999, true));
    assert_eq!([judge(&asks()), judge(&accepts())], [Verdict::Yes; 2]);
    assert_eq!([1, 2, 7, 74, 80].map(|length| judge(&asks()[..length])), [Verdict::More; 5]);
    for other in [&b"\x01\x01\x00\x00"[..], b"\x01\x00\x00\x00\x00\x44\x01\x00", b"\x04\x00\x00\x00"] {
        assert_eq!(judge(other), Verdict::No, "{other:?}");
    }
}

#[test]
fn what_cannot_be_followed_is_given_up() {
    for wrong in
        [unit(4, &value(1, 3, &[0; 5000])), unit(9, &[]), unit(5, &[0; 9]), unit(4, &[0, 0, 0, 1, 1, 3])]
    {
        let text = converse(&PROTOCOL, &[(Client, &asks()), (Client, &wrong)]);
        assert!(text.contains("lost: framing"), "{text}");
    }
    let text = converse(&PROTOCOL, &[(Client, &asks()), (Client, &unit(1, &[0; 40]))]);
    assert!(text.contains("anomaly client length-mismatch"), "{text}");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(noise in packets(), kind in 0..9_u8, body in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&PROTOCOL, &noise);
        survives(&PROTOCOL, &[(Client, asks()), (Server, accepts()), (Client, unit(kind, &body))]);
        survives(&PROTOCOL, &[(Client, asks()), (Server, accepts()), (Client, unit(4, &value(3, body.len() as u8, &body)))]);
    }
}
