use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, in_tpkt, opening};

any_bytes_are_survived!(PROTOCOL, |_, (_, bytes)| in_tpkt(bytes));

/// A job or an acknowledgement with its parameters and data.
fn s7(rosctr: u8, reference: u8, parameters: &[u8], data: &[u8]) -> Vec<u8> {
    let mut user = vec![0x32, rosctr, 0, 0, reference, 0];
    user.extend((parameters.len() as u16).to_be_bytes());
    user.extend((data.len() as u16).to_be_bytes());
    if matches!(rosctr, ACK | ACK_DATA) {
        user.extend([0, 0]);
    }
    user.extend(parameters);
    user.extend(data);
    in_tpkt(&user)
}

/// Source 0x0100, destination a programming device's connection to rack 0, slot 2.
const CONNECT: &[u8] = &[3, 0, 0, 22, 17, 0xe0, 0, 0, 0, 1, 0, 0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2];
const CONFIRM: &[u8] = &[3, 0, 0, 22, 17, 0xd0, 0, 1, 0, 2, 0, 0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2];
const SETUP: &[u8] = &[0xf0, 0, 0, 1, 0, 1, 1, 0xe0];

fn talk(packets: &[(Side, Vec<u8>)]) -> String {
    let mut all: Vec<(Side, &[u8])> = vec![(Client, CONNECT), (Server, CONFIRM)];
    all.extend(packets.iter().map(|(side, bytes)| (*side, &bytes[..])));
    converse(&PROTOCOL, &all)
}

#[test]
fn a_connection_tells_rack_and_slot_and_who_programs() {
    let text = talk(&[(Client, s7(JOB, 1, SETUP, &[])), (Server, s7(ACK_DATA, 1, SETUP, &[]))]);
    insta::assert_snapshot!(text, @r#"
    client connection-request {"calling":"0100","called":"0102","connection":"pg","rack":0,"slot":2}
    server connection-confirm {"calling":"0100","called":"0102","connection":"pg","rack":0,"slot":2}
    fact 192.0.2.10 role = "engineering-station" (s7comm.tsap, 50%)
    client job {"pdu-reference":1,"function":"setup-communication","function-code":240,"max-amq-calling":1,"max-amq-called":1,"pdu-length":480}
    server ack-data {"pdu-reference":1,"function":"setup-communication","function-code":240,"error-class":"no-error","error-code":0,"max-amq-calling":1,"max-amq-called":1,"pdu-length":480}
    fact 192.0.2.20 role = "plc" (s7comm.ack, 75%)
    fact 192.0.2.20 vendor = "Siemens" (s7comm.ack, 50%)
    fact 192.0.2.10 role = "hmi" (s7comm.job, 20%)
    "#);
}

#[test]
fn reads_and_writes_name_their_items_as_step_7_does() {
    let db = [0x12, 10, 0x10, 2, 0, 4, 0, 1, 0x84, 0, 0, 0x50];
    let flag = [0x12, 10, 0x10, 1, 0, 1, 0, 0, 0x83, 0, 0, 0x0b];
    let read: Vec<u8> = [&[0x04, 2][..], &db, &flag].concat();
    let write: Vec<u8> = [&[0x05, 1][..], &flag].concat();
    let text = talk(&[
        (Client, s7(JOB, 1, &read, &[])),
        (Server, s7(ACK_DATA, 1, &[4, 2], &[0xff, 4, 0, 32, 1, 2, 3, 4, 0xff, 3, 0, 1, 1])),
        (Client, s7(JOB, 2, &write, &[0, 3, 0, 1, 1])),
        (Server, s7(ACK_DATA, 2, &[5, 1], &[0x05])),
    ]);
    let told: Vec<&str> =
        text.lines().filter(|line| line.starts_with("operation") || line.starts_with("sample")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    operation client Read read-var DB1.DBX10.0 BYTE 4, M 1.3 BIT 1 - Done
    operation client Write write-var M 1.3 BIT 1 1 Refused
    "#);
}

#[test]
fn words_of_a_block_of_bytes_are_told_as_values() {
    let block = [0x04, 1, 0x12, 10, 0x10, 2, 0, 5, 0, 1, 0x84, 0, 0, 0x50];
    let values = |low: u8| [0xff, 4, 0, 40, 1, low, 0xff, 0xfe, 9];
    let turn = |number, low| {
        [(Client, s7(JOB, number, &block, &[])), (Server, s7(ACK_DATA, number, &[4, 1], &values(low)))]
    };
    // The first is not told: what is read once shows no behaviour. Later only what has changed is.
    let text = talk(&[turn(1, 2), turn(2, 3), turn(3, 4)].concat());
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("sample")).collect();
    assert_eq!(told, ["sample server DB1.DBX10.0 BYTE 5 word 1 = 260"]);
}

#[test]
fn control_and_programs_are_told() {
    let stop = [&[0x29, 0, 0, 0, 0, 0, 9][..], b"P_PROGRAM"].concat();
    let start = [&[0x28, 0, 0, 0, 0, 0, 0, 0xfd, 0, 0, 9][..], b"P_PROGRAM"].concat();
    let cold = [&[0x28, 0, 0, 0, 0, 0, 0, 0xfd, 0, 2][..], b"C ", &[9], b"P_PROGRAM"].concat();
    let insert = [&[0x28, 0, 0, 0, 0, 0, 0, 0xfd, 0, 10, 1, 0][..], b"0800001P", &[5], b"_INSE"].concat();
    let download = [&[0x1a, 0, 1, 0, 0, 0, 0, 0, 9][..], b"_0A00010P", &[13], b"1000258000216"].concat();
    let upload = [&[0x1d, 0, 0, 0, 0, 0, 0, 0, 9][..], b"_0800001A"].concat();
    let mut packets = Vec::new();
    for (number, job) in [stop, start, cold, download, insert, upload].iter().enumerate() {
        let reference = number as u8 + 1;
        packets.push((Client, s7(JOB, reference, job, &[])));
        packets.push((Server, s7(ACK_DATA, reference, &job[..1], &[])));
    }
    let text = talk(&packets);
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("operation")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    operation client Stop plc-stop - - Done
    operation client Start plc-start - - Done
    operation client Restart plc-start C - Done
    operation client ProgramDownload request-download DB 10 - Done
    operation client ProgramDownload insert-block OB 1 - Done
    operation client ProgramUpload start-upload OB 1 - Done
    "#);
    assert!(text.contains(r#""block-type":"DB","block-number":10,"destination-filesystem":"P""#), "{text}");
}

#[test]
fn a_module_says_what_it_is_even_in_two_parts() {
    let asked = [&[0, 1, 0x12, 4, 0x11, 0x44, 1, 0][..], &[]].concat();
    let question = [0xff, 9, 0, 4, 0, 0x1c, 0, 0];
    let answer = |last: u8| [0, 1, 0x12, 8, 0x12, 0x84, 1, 2, 7, last, 0, 0];
    let entry = |index: u8, value: &str| {
        let mut bytes = vec![0, index];
        bytes.extend(value.as_bytes());
        bytes.resize(34, 0);
        bytes
    };
    let list: Vec<u8> = [
        vec![0, 0x1c, 0, 0, 0, 34, 0, 3],
        entry(1, "LINE-4"),
        entry(5, "S C-X1U400000000"),
        entry(7, "CPU 315-2 PN/DP"),
    ]
    .concat();
    let part = |bytes: &[u8]| [&[0xff, 9][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let text = talk(&[
        (Client, s7(USERDATA, 1, &asked, &question)),
        (Server, s7(USERDATA, 1, &answer(1), &part(&list[..50]))),
        (Server, s7(USERDATA, 2, &answer(0), &part(&list[50..]))),
    ]);
    let told: Vec<&str> =
        text.lines().filter(|line| line.starts_with("fact") && line.contains("95%")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    fact 192.0.2.20 label = "LINE-4" (s7comm.automation-system-name, 95%)
    fact 192.0.2.20 serial = "S C-X1U400000000" (s7comm.module-serial, 95%)
    fact 192.0.2.20 model = "CPU 315-2 PN/DP" (s7comm.module-type, 95%)
    "#);
}

#[test]
fn a_connection_alone_does_not_tell_and_other_protocols_are_refused() {
    assert_eq!(probe(&opening(CONNECT, 102, true)), Verdict::More);
    let setup = [CONNECT, &s7(JOB, 1, SETUP, &[])].concat();
    assert_eq!(probe(&opening(&setup, 10_102, true)), Verdict::Yes);
    // A presentation layer's accept, as MMS has it.
    let other = [CONNECT, &in_tpkt(&[0x0d, 0x10, 0x05, 0x06])].concat();
    assert_eq!(probe(&opening(&other, 102, true)), Verdict::No);
    assert_eq!(probe(&opening(b"GET / HTTP/1.1\r\n", 102, true)), Verdict::No);
    let plus = [CONNECT, &in_tpkt(&[0x72, 1, 0, 0])].concat();
    assert_eq!(probe(&opening(&plus, 102, true)), Verdict::No);
}

#[test]
fn lengths_that_do_not_add_up_are_an_anomaly() {
    let mut bytes = s7(JOB, 1, SETUP, &[]);
    bytes[3] += 2;
    bytes.extend([0, 0]);
    let text = talk(&[(Client, s7(JOB, 1, SETUP, &[])), (Client, bytes)]);
    assert!(text.contains("anomaly client length-mismatch"), "{text}");
}
