use model::Side::{Client, Server};
use model::Transport;
use proptest::prelude::*;

use super::*;
use crate::testing::{
    any_bytes_are_survived, choices, converse, converse_on, head, made, opening, survives, told,
};

fn plain(control: u8, service: u8, command: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![control, 0, 2, 0, 0xef, 0, 0, 0x63, 0, service];
    bytes.extend(command.to_be_bytes());
    bytes.extend(data);
    bytes
}

fn ask(service: u8, command: u16, data: &[u8]) -> Vec<u8> {
    plain(0x80, service, command, data)
}

fn answer(service: u8, command: u16, data: &[u8]) -> Vec<u8> {
    plain(0xc0, service, command, data)
}

fn wrap(command: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((body.len() as u32 + 8).to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

/// The answer of a controller that is asked what it is.
fn identity_answer() -> Vec<u8> {
    let mut data = vec![0, 0];
    data.extend(b"CJ2M-CPU33\0\0\0\0\0\0    02.01\0\0\0\0\0\0\0\0\0\x0002.10\0");
    data.extend([0; 52]);
    answer(5, CONTROLLER_DATA_READ, &data)
}

#[test]
fn a_controller_tells_model_and_version() {
    let text =
        converse(&PROTOCOL, &[(Client, &ask(5, CONTROLLER_DATA_READ, &[0])), (Server, &identity_answer())]);
    let expected = [
        r#"client command {"destination":"0.239.0","source":"0.99.0","service":5,"command":"controller-data-read","command-code":1281,"size":13}"#,
        r#"server response {"destination":"0.239.0","source":"0.99.0","service":5,"command":"controller-data-read","command-code":1281,"end":"normal-completion","end-code":0,"model":"CJ2M-CPU33","version":"02.01","size":107}"#,
        r#"fact 192.0.2.20 role = "plc" (omron-fins.response, 75%)"#,
        "operation client Identify controller-data-read - - Done",
        r#"fact 192.0.2.20 vendor = "Omron" (omron-fins.controller, 75%)"#,
        r#"fact 192.0.2.20 model = "CJ2M-CPU33" (omron-fins.model, 95%)"#,
        r#"fact 192.0.2.20 firmware = "02.01" (omron-fins.version, 95%)"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_done_over_tcp_is_told_with_its_outcome() {
    let write = ask(1, 0x0102, &[0x82, 0, 100, 0, 0, 2, 0x12, 0x34, 0, 7]);
    let text = converse_on(
        &PROTOCOL,
        head(Transport::Tcp, 9_600),
        true,
        &[
            (Client, &wrap(0, &[0, 0, 0, 0])),
            (Server, &wrap(1, &[0, 0, 0, 99, 0, 0, 0, 239])),
            (Client, &wrap(2, &write)),
            (Server, &wrap(2, &answer(1, 0x0102, &[0, 0x40]))),
            (Client, &wrap(2, &ask(2, 0x0402, &[]))),
            (Server, &wrap(2, &answer(2, 0x0402, &[0x24, 1]))),
            (Client, &wrap(2, &ask(3, 0x0103, &[0x30, 0, 5, 3, 0, 1, 1]))),
        ],
    );
    assert_eq!(
        told(&text),
        [
            r#"fact 192.0.2.20 role = "plc" (omron-fins.response, 75%)"#,
            "operation client Write memory-area-write D 100 count 2 [4660,7] Done",
            "operation client Stop stop - - Refused",
            "operation client Write memory-area-fill CIO 5.03 count 1 1 Asked",
        ]
    );
    assert!(text.contains(r#"server connection {"command":"node-address-response","error-code":0,"client-node":99,"server-node":239}"#), "{text}");
}

#[test]
fn a_poll_is_told_once_and_no_password_ever() {
    let read = ask(1, 0x0101, &[0xb0, 0, 0, 0, 0, 1]);
    let read_again = answer(1, 0x0101, &[0, 0, 0, 7]);
    let protect =
        ask(2, 0x0304, &[0xff, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'p', b'a', b's', b's']);
    let text = converse(
        &PROTOCOL,
        &[(Client, &read), (Server, &read_again), (Client, &read), (Server, &read_again), (Client, &protect)],
    );
    assert_eq!(text.matches("operation client Read").count(), 1, "{text}");
    assert!(text.contains("operation client Configure program-area-protect - - Asked"), "{text}");
    assert!(!text.contains("pass") && !text.contains("70617373"), "{text}");
}

#[test]
fn datagrams_are_believed_on_their_port_and_streams_by_their_letters() {
    let verdict = |bytes: &[u8], stream| probe(&opening(bytes, 9_600, stream));
    assert_eq!(verdict(&ask(1, 0x0402, &[]), false), Verdict::Maybe);
    assert_eq!(verdict(&ask(1, 0x7777, &[]), false), Verdict::No);
    assert_eq!(verdict(&answer(1, 0x0402, &[]), false), Verdict::No);
    let first = wrap(0, &[0; 4]);
    assert_eq!(verdict(&first, true), Verdict::Yes);
    assert_eq!(verdict(&first[..7], true), Verdict::More);
    assert_eq!(verdict(b"FIN", true), Verdict::More);
    assert_eq!(verdict(b"FINGER", true), Verdict::No);
}

any_bytes_are_survived!(PROTOCOL);

proptest! {
    #[test]
    fn any_bytes_behind_a_header_are_survived(packets in choices()) {
        let commands: Vec<u16> = (0..0x2700).filter(|code| names::command(*code).is_some()).collect();
        let frames = made(&packets, |side, (choice, bytes)| {
            let code = commands[usize::from(*choice) % commands.len()];
            plain(if side == Client { 0x80 } else { 0xc0 }, 1, code, bytes)
        });
        survives(&PROTOCOL, &frames);
        survives(&PROTOCOL, &made(&frames, |_, frame| wrap(2, frame)));
    }
}
