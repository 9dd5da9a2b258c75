use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{any_bytes_are_survived, converse, in_tpkt, made, opening, packets, survives, told};

fn tlv(tag: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut bytes = tag.to_vec();
    bytes.push(0x82);
    bytes.extend((content.len() as u16).to_be_bytes());
    bytes.extend(content);
    bytes
}

/// A PDU as it is sent once there is a connection.
fn data(pdu: &[u8]) -> Vec<u8> {
    let value = tlv(&[0xa0], &[pdu]);
    let presentation = tlv(&[0x61], &[&tlv(&[0x30], &[&[2, 1, 3], &value])]);
    in_tpkt(&[DATA, &presentation].concat())
}

/// A connection with a password in it.
fn connect() -> Vec<u8> {
    let initiate = tlv(&[0xa8], &[&[0x80, 2, 0x7d, 0]]);
    let external = tlv(&[0x28], &[&[6, 2, 0x51, 1, 2, 1, 3], &tlv(&[0xa0], &[&initiate])]);
    let password = tlv(&[0xac], &[&tlv(&[0x80], &[b"letmein"])]);
    let aarq = tlv(&[0x60], &[&[0xa1, 7, 6, 5], SYNTAX, &password, &tlv(&[0xbe], &[&external])]);
    let user = tlv(&[0x61], &[&tlv(&[0x30], &[&[2, 1, 1], &tlv(&[0xa0], &[&aarq])])]);
    let presentation = tlv(&[0x31], &[&[0xa0, 3, 0x80, 1, 1], &tlv(&[0xa2], &[&user])]);
    let length = (presentation.len() as u16).to_be_bytes();
    let session = [&[0x14, 2, 0, 2, USER_DATA, 255][..], &length, &presentation].concat();
    in_tpkt(&[&[CONNECT, 255][..], &(session.len() as u16).to_be_bytes(), &session].concat())
}

fn request(invoke: u8, service: &[u8]) -> Vec<u8> {
    data(&tlv(&[0xa0], &[&[2, 1, invoke], service]))
}

fn response(invoke: u8, service: &[u8]) -> Vec<u8> {
    data(&tlv(&[0xa1], &[&[2, 1, invoke], service]))
}

/// A list with one object.
fn object(domain: &str, item: &str) -> Vec<u8> {
    let name = tlv(&[0xa1], &[&tlv(&[0x1a], &[domain.as_bytes()]), &tlv(&[0x1a], &[item.as_bytes()])]);
    tlv(&[0xa0], &[&tlv(&[0x30], &[&tlv(&[0xa0], &[&name])])])
}

#[test]
fn a_device_tells_what_it_is_and_the_password_is_not_told() {
    let identity = tlv(
        &[0xa2],
        &[&tlv(&[0x80], &[b"Example AG"]), &tlv(&[0x81], &[b"Relay 7"]), &tlv(&[0x82], &[b"V2.1"])],
    );
    let text = converse(
        &PROTOCOL,
        &[(Client, &connect()), (Client, &request(1, &[0x82, 0])), (Server, &response(1, &identity))],
    );
    let expected = [
        r#"client initiate-request {"authentication":true,"size":8}"#,
        r#"client confirmed-request {"invoke":1,"service":"identify","service-tag":2,"size":9}"#,
        r#"fact 192.0.2.20 vendor = "Example AG" (mms.vendor-name, 95%)"#,
        r#"fact 192.0.2.20 model = "Relay 7" (mms.model-name, 95%)"#,
        r#"fact 192.0.2.20 firmware = "V2.1" (mms.revision, 95%)"#,
        "operation client Identify identify - - Done",
        r#"server confirmed-response {"invoke":1,"service":"identify","service-tag":2,"vendor":"Example AG","model":"Relay 7","revision":"V2.1","size":44}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn controls_reports_and_values_are_told_apart() {
    let write = |invoke, item: &str, value: &[u8]| {
        request(invoke, &tlv(&[0xa5], &[&object("RELAY1LD0", item), &tlv(&[0xa0], &[value])]))
    };
    // An operation is a structure that begins with the value.
    let operate = write(1, "XCBR1$CO$Pos$Oper", &tlv(&[0xa2], &[&[0x83, 1, 1, 0x86, 1, 0]]));
    let report = write(2, "LLN0$BR$brcb01$RptEna", &[0x83, 1, 1]);
    let plain = write(3, "GGIO1.value", &[0x85, 1, 0xfe]);
    let read = request(4, &tlv(&[0xa4], &[&tlv(&[0xa1], &[&object("RELAY1LD0", "XCBR1$ST$Pos")])]));
    let open = request(5, &tlv(&[0xbf, 72], &[&tlv(&[0xa0], &[&tlv(&[0x19], &[b"/COMTRADE/1.cfg"])])]));
    let error = data(&tlv(&[0xa2], &[&[0x80, 1, 5, 0xa2, 3, 0x87, 1, 2]]));
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &operate),
            (Server, &response(1, &[0xa5, 3, 0x80, 1, 3])),
            (Client, &report),
            (Server, &response(2, &[0xa5, 2, 0x81, 0])),
            (Client, &plain),
            (Server, &response(3, &[0xa5, 2, 0x81, 0])),
            (Client, &read),
            (Server, &response(4, &[0xa4, 5, 0xa1, 3, 0x83, 1, 0])),
            (Client, &open),
            (Server, &error),
        ],
    );
    assert_eq!(
        told(&text),
        [
            r#"fact 192.0.2.20 role = "ied" (mms.object-names, 75%)"#,
            "operation client Execute write RELAY1LD0/XCBR1$CO$Pos$Oper true Refused",
            "operation client Subscribe write RELAY1LD0/LLN0$BR$brcb01$RptEna true Done",
            "operation client Write write RELAY1LD0/GGIO1.value -2 Done",
            "operation client Read read RELAY1LD0/XCBR1$ST$Pos - Done",
            "operation client TransferFile file-open /COMTRADE/1.cfg - Refused",
        ]
    );
}

#[test]
fn only_mms_is_taken_for_mms() {
    let verdict = |bytes: &[u8]| probe(&opening(bytes, 102, true));
    assert_eq!(verdict(&connect()), Verdict::Yes);
    assert_eq!(verdict(&connect()[..20]), Verdict::More);
    assert_eq!(verdict(&request(1, &[0x82, 0])), Verdict::Yes);
    // S7 communication begins otherwise.
    assert_eq!(
        verdict(&in_tpkt(&[0x32, 1, 0, 0, 0, 0, 0, 8, 0, 0, 0xf0, 0, 0, 1, 0, 1, 1, 0xe0])),
        Verdict::No
    );
}

#[test]
fn what_is_cut_short_inside_is_an_anomaly() {
    let text = converse(&PROTOCOL, &[(Client, &connect()), (Client, &data(&[0xa0, 9, 2, 1, 1]))]);
    assert!(text.ends_with("anomaly client length-mismatch: PDU of 5 bytes\n"), "{text}");
}

any_bytes_are_survived!(PROTOCOL, |side, (tag, bytes)| {
    let service = tlv(&[0xa0 | (tag % 31)], &[bytes]);
    if side == Client { request(1, &service) } else { response(1, &service) }
});

proptest! {
    #[test]
    fn any_session_is_survived(packets in packets()) {
        survives(&PROTOCOL, &made(&packets, |_, bytes| in_tpkt(bytes)));
    }
}
