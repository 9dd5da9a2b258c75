use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, opening};

/// A message with its header.
fn message(kind: u8, id: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, kind, id, 0, 0, sequence];
    bytes.extend(((HEADER + body.len()) as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

const ADDRESS: [u8; 5] = [0xe1, 0x1a, 0, 1, 2];

/// A command to the unique address, or its answer, with its check byte.
fn command(delimiter: u8, command: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![delimiter, ADDRESS[0] & 0x3f | 0x80];
    bytes.extend(&ADDRESS[1..]);
    bytes.extend([command, data.len() as u8]);
    bytes.extend(data);
    bytes.push(bytes.iter().fold(0, |sum, byte| sum ^ byte));
    bytes
}

fn ask(sequence: u8, code: u8, data: &[u8]) -> Vec<u8> {
    message(REQUEST, TOKEN_PASSING, sequence, &command(0x82, code, data))
}

fn answer(sequence: u8, code: u8, data: &[u8]) -> Vec<u8> {
    message(RESPONSE, TOKEN_PASSING, sequence, &command(0x86, code, data))
}

/// The answer to command 0 of revision 7: maker 17, software 5, hardware 3, number 258.
const IDENTITY: &[u8] =
    &[0, 0, 254, 0xe1, 0x1a, 5, 7, 4, 5, 3 << 3 | 1, 0, 0, 1, 2, 5, 9, 0, 1, 0, 0, 17, 0, 17, 1];

#[test]
fn an_instrument_tells_what_it_is_and_what_it_is_called() {
    // "TT-101  " in six bits for each character, then blanks.
    let tag = [0x51, 0x4b, 0x71, 0xc3, 0x18, 0x20];
    assert_eq!(packed(&tag), "TT-101  ");
    let mut words = vec![0, 0];
    words.extend(tag);
    words.extend([0x82, 0x08, 0x20].repeat(4));
    words.extend([1, 1, 120]);
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &message(REQUEST, SESSION_INITIATE, 1, &[1, 0, 0, 0x75, 0x30])),
            (Server, &message(RESPONSE, SESSION_INITIATE, 1, &[1, 0, 0, 0x75, 0x30])),
            (Client, &ask(2, 0, &[])),
            (Server, &answer(2, 0, IDENTITY)),
            (Client, &ask(3, 13, &[])),
            (Server, &answer(3, 13, &words)),
            (Client, &ask(4, 42, &[])),
            (Server, &answer(4, 42, &[16, 0])),
        ],
    );
    let told: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("client") && !line.starts_with("server")).collect();
    assert_eq!(
        told,
        [
            "operation client Identify read-unique-identifier device a11a000102 - Done",
            r#"fact 192.0.2.20 role = "field-device" (hart-ip.response, 50%)"#,
            r#"fact 192.0.2.20 vendor = "Endress+Hauser" (hart-ip.manufacturer, 95%)"#,
            r#"fact 192.0.2.20 serial = "258" (hart-ip.device-id, 95%)"#,
            r#"fact 192.0.2.20 identifier = "hart e11a000102" (hart-ip.unique-address, 95%)"#,
            r#"fact 192.0.2.20 part-number = "hart device type 0xe11a revision 4" (hart-ip.device-type, 75%)"#,
            r#"fact 192.0.2.20 firmware = "5" (hart-ip.software-revision, 95%)"#,
            r#"fact 192.0.2.20 hardware = "3" (hart-ip.hardware-revision, 95%)"#,
            r#"fact 192.0.2.20 type = "hart process device" (hart-ip.profile, 95%)"#,
            "operation client Identify read-tag-descriptor-date device a11a000102 - Done",
            r#"fact 192.0.2.20 label = "TT-101" (hart-ip.tag, 95%)"#,
            "operation client Restart device-reset device a11a000102 - Refused",
        ]
    );
    let first = r#"client request {"version":1,"message":"session-initiate","status":0,"sequence":1,"master":"primary","inactivity-timer":30000}"#;
    assert_eq!(text.lines().next(), Some(first));
    let last = r#"server response {"version":1,"message":"token-passing","status":0,"sequence":4,"frame":"answer","address":"a11a000102","commands":[{"command":"device-reset","code":42,"response-code":16,"device-status":0,"data":""}]}"#;
    assert_eq!(text.lines().last(), Some(last));
}

#[test]
fn instruments_behind_a_gateway_are_not_the_gateway() {
    let mut other = IDENTITY.to_vec();
    other[13] = 3;
    let text = converse(&PROTOCOL, &[(Server, &answer(2, 0, IDENTITY)), (Server, &answer(3, 0, &other))]);
    assert_eq!(text.matches("hart-ip.device-id").count(), 1, "{text}");
}

#[test]
fn commands_without_a_frame_are_read_one_after_the_other() {
    let asked = message(REQUEST, DIRECT, 1, &[0, 0, 0, 1, 0, 0x02, 0, 0]);
    let answered = message(RESPONSE, DIRECT, 1, &[0x10, 0, 0, 1, 3, 0, 7, 7, 0x02, 0, 1, 64]);
    let text = converse(&PROTOCOL, &[(Client, &asked), (Server, &answered)]);
    assert!(text.contains("operation client Read read-primary-variable - - Done"), "{text}");
    assert!(text.contains("operation client Execute command command 512 - Refused"), "{text}");
    let commands = r#""commands":[{"command":"read-primary-variable","code":1,"response-code":0,"device-status":16,"data":"0707"},{"command":"device-specific","code":512,"response-code":64,"device-status":16,"data":""}]"#;
    assert!(text.contains(commands), "{text}");
}

#[test]
fn a_wrong_check_byte_is_an_anomaly() {
    let mut wrong = ask(2, 0, &[]);
    *wrong.last_mut().expect("bytes") ^= 1;
    let text = converse(&PROTOCOL, &[(Client, &wrong)]);
    assert!(text.starts_with("anomaly client check: request of command 0\n"), "{text}");
}

#[test]
fn only_messages_that_agree_with_themselves_are_sure() {
    let verdict = |bytes: &[u8], stream| probe(&opening(bytes, 5_094, stream));
    let first = message(REQUEST, SESSION_INITIATE, 1, &[1, 0, 0, 0x75, 0x30]);
    assert_eq!(verdict(&first, false), Verdict::Yes);
    assert_eq!(verdict(&first[..6], true), Verdict::More);
    assert_eq!(verdict(&first[..6], false), Verdict::No);
    assert_eq!(verdict(&ask(1, 3, &[]), true), Verdict::Yes);
    assert_eq!(verdict(&message(REQUEST, 2, 1, &[]), true), Verdict::Maybe);
    assert_eq!(verdict(&[1, 0, 0, 0, 0, 0, 0, 4], false), Verdict::No);
}

any_bytes_are_survived!(PROTOCOL, |side, (code, bytes)| {
    message(u8::from(side == Server), 3 + code % 2, 1, &command(0x86, code % 25, bytes))
});
