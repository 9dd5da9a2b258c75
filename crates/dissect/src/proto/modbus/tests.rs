use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, opening, replay, told};

any_bytes_are_survived!(PROTOCOL, |_, (_, bytes)| framed(bytes));

/// The PDU in an MBAP header.
fn framed(pdu: &[u8]) -> Vec<u8> {
    adu(1, 17, pdu)
}

fn adu(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = transaction.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend((pdu.len() as u16 + 1).to_be_bytes());
    bytes.push(unit);
    bytes.extend(pdu);
    bytes
}

/// The examples of clauses 6.1, 6.3 and 6.12.
#[test]
fn reads_and_writes_are_told_with_their_outcome() {
    let packets = [
        (Client, adu(1, 17, &[0x01, 0x00, 0x13, 0x00, 0x13])),
        (Server, adu(1, 17, &[0x01, 0x03, 0xcd, 0x6b, 0x05])),
        (Client, adu(2, 17, &[0x03, 0x00, 0x6b, 0x00, 0x03])),
        (Server, adu(2, 17, &[0x03, 0x06, 0x02, 0x2b, 0x00, 0x00, 0x00, 0x64])),
        (Client, adu(3, 17, &[0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0a, 0x01, 0x02])),
        (Server, adu(3, 17, &[0x10, 0x00, 0x01, 0x00, 0x02])),
    ];
    insta::assert_snapshot!(replay(&PROTOCOL, &packets), @r#"
    client request {"transaction":1,"unit":17,"function":"read-coils","function-code":1,"address":19,"quantity":19}
    server response {"transaction":1,"unit":17,"function":"read-coils","function-code":1,"values":[1,0,1,1,0,0,1,1,1,1,0,1,0,1,1,0,1,0,1],"matched":true}
    fact 192.0.2.20 role = "plc" (modbus.response, 50%)
    fact 192.0.2.10 role = "hmi" (modbus.request, 50%)
    operation client Read read-coils coils 19-37 unit 17 - Done
    client request {"transaction":2,"unit":17,"function":"read-holding-registers","function-code":3,"address":107,"quantity":3}
    server response {"transaction":2,"unit":17,"function":"read-holding-registers","function-code":3,"values":[555,0,100],"matched":true}
    operation client Read read-holding-registers holding-registers 107-109 unit 17 - Done
    client request {"transaction":3,"unit":17,"function":"write-multiple-registers","function-code":16,"address":1,"quantity":2,"values":[10,258]}
    server response {"transaction":3,"unit":17,"function":"write-multiple-registers","function-code":16,"address":1,"quantity":2,"matched":true}
    operation client Write write-multiple-registers holding-registers 1-2 unit 17 [10,258] Done
    "#);
}

#[test]
fn a_poll_is_told_once_and_a_write_always() {
    let (read, answer) = (adu(1, 1, &[3, 0, 0, 0, 1]), adu(1, 1, &[3, 2, 0, 7]));
    let write = adu(2, 1, &[6, 0, 0, 0, 9]);
    let mut packets: Vec<(Side, &[u8])> = Vec::new();
    for _ in 0..3 {
        packets.extend([(Client, &read[..]), (Server, &answer), (Client, &write), (Server, &write)]);
    }
    let text = converse(&PROTOCOL, &packets);
    assert_eq!(text.matches("operation client Read").count(), 1);
    assert_eq!(text.matches("operation client Write").count(), 3);
}

#[test]
fn an_exception_is_a_refusal() {
    let text = converse(
        &PROTOCOL,
        &[(Client, &adu(9, 1, &[5, 0x00, 0xac, 0xff, 0x00])), (Server, &adu(9, 1, &[0x85, 0x02]))],
    );
    insta::assert_snapshot!(text, @r#"
    client request {"transaction":9,"unit":1,"function":"write-single-coil","function-code":5,"address":172,"quantity":1,"values":[1]}
    server exception {"transaction":9,"unit":1,"function":"write-single-coil","function-code":5,"exception":"illegal-data-address","exception-code":2,"matched":true}
    operation client Write write-single-coil coils 172 unit 1 1 Refused
    "#);
}

#[test]
fn pipelined_and_split_units_are_the_same_units() {
    let requests =
        [adu(1, 1, &[3, 0, 0, 0, 1]), adu(2, 1, &[4, 0, 0, 0, 1]), adu(3, 1, &[6, 0, 1, 0, 2])].concat();
    let whole = converse(&PROTOCOL, &[(Client, &requests)]);
    for cut in 8..requests.len() {
        let parts = [(Client, &requests[..cut]), (Client, &requests[cut..])];
        assert_eq!(converse(&PROTOCOL, &parts), whole, "cut at {cut}");
    }
}

#[test]
fn a_device_identifies_itself() {
    let mut pdu = vec![0x2b, 0x0e, 0x01, 0x01, 0x00, 0x00, 0x03];
    for (id, value) in [(0_u8, "Example Works"), (1, "XW-200"), (2, "V2.11")] {
        pdu.extend([id, value.len() as u8]);
        pdu.extend(value.as_bytes());
    }
    let text =
        converse(&PROTOCOL, &[(Client, &adu(5, 1, &[0x2b, 0x0e, 0x01, 0x00])), (Server, &adu(5, 1, &pdu))]);
    insta::assert_snapshot!(told(&text).join("\n"), @r#"
    fact 192.0.2.20 role = "plc" (modbus.response, 50%)
    fact 192.0.2.10 role = "hmi" (modbus.request, 50%)
    fact 192.0.2.20 vendor = "Example Works" (modbus.device-identification.vendor-name, 95%)
    fact 192.0.2.20 part-number = "XW-200" (modbus.device-identification.product-code, 95%)
    fact 192.0.2.20 firmware = "V2.11" (modbus.device-identification.revision, 95%)
    operation client Identify read-device-identification unit 1 - Done
    "#);
}

#[test]
fn umas_start_and_stop_are_told_apart() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &adu(1, 0, &[0x5a, 0x01, 0x41, 0xff, 0x00])),
            (Server, &adu(1, 0, &[0x5a, 0x01, 0xfe])),
            (Client, &adu(2, 0, &[0x5a, 0x01, 0x40, 0xff, 0x00])),
            (Server, &adu(2, 0, &[0x5a, 0x01, 0xfd, 0x81])),
        ],
    );
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("operation")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    operation client Stop stop-plc unit 0 - Done
    operation client Start start-plc unit 0 - Refused
    "#);
}

#[test]
fn bodies_that_do_not_fit_their_function_are_anomalies_and_the_stream_goes_on() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &adu(1, 1, &[3, 0, 0, 0, 1])),
            (Client, &adu(2, 1, &[3, 0, 0, 0, 200])),
            (Client, &adu(3, 1, &[6, 0, 0, 0, 1, 0, 0])),
            (Client, &adu(4, 1, &[5, 0, 0, 0x12, 0x34])),
            (Client, &adu(5, 1, &[0, 0])),
            (Client, &adu(6, 1, &[6, 0, 0, 0, 1])),
        ],
    );
    let odd: Vec<&str> = text.lines().filter(|line| line.starts_with("anomaly")).collect();
    insta::assert_snapshot!(odd.join("\n"), @r#"
    anomaly client illegal-quantity: read-holding-registers (3) request of 4 bytes
    anomaly client length-mismatch: write-single-register (6) request of 6 bytes
    anomaly client illegal-value: write-single-coil (5) request of 4 bytes
    anomaly client illegal-function: unknown (0) request of 1 bytes
    "#);
    assert!(text.contains(r#""transaction":6"#));
}

#[test]
fn http_and_wrong_lengths_are_not_modbus() {
    assert_eq!(probe(&opening(b"GET / HTTP/1.1\r\n\r\n", 502, true)), Verdict::No);
    assert_eq!(probe(&opening(&adu(1, 1, &[3, 0, 0, 0, 1]), 8_502, true)), Verdict::Yes);
    assert_eq!(probe(&opening(&adu(1, 1, &[3, 0, 0, 0, 1])[..10], 8_502, true)), Verdict::More);
    // One byte too many for a read: only the port of Modbus makes it Modbus.
    assert_eq!(probe(&opening(&adu(1, 1, &[3, 0, 0, 0, 1, 0]), 8_502, true)), Verdict::Maybe);
    assert_eq!(probe(&opening(&[0, 1, 0, 0, 0xff, 0xff, 1, 3], 502, true)), Verdict::No);
}

#[test]
fn after_a_gap_the_next_unit_is_found() {
    let (head, mut told, mut found) =
        (crate::testing::head(model::Transport::Tcp, 502), super::super::Told::default(), Vec::new());
    let mut parser = Modbus::default();
    let mut out =
        Emit::new(&head, super::super::Wants { messages: true, judged: true }, &mut told, &mut found);
    assert!(parser.gap(Client, 100, &mut out));
    // The rest of a lost write, then a whole read.
    let mut bytes = vec![0x12, 0x34, 0x00, 0x07, 0x99];
    bytes.extend(adu(7, 1, &[3, 0, 5, 0, 2]));
    let input = Input { bytes: &bytes, from: Client, at: model::Timestamp::EPOCH, cut: 0 };
    assert_eq!(parser.parse(&input, &mut out), Progress::Took(bytes.len()));
    assert_eq!(found.len(), 1);
}

#[test]
fn a_request_that_is_not_answered_is_told_while_the_conversation_goes_on() {
    let head = crate::testing::head(model::Transport::Tcp, 502);
    let (mut told, mut found) = (super::super::Told::default(), Vec::new());
    let mut parser = Modbus::default();
    let write = adu(1, 1, &[6, 0, 5, 0, 2]);
    let read = adu(2, 1, &[3, 0, 5, 0, 2]);
    for (bytes, seconds) in [(&write, 100), (&read, 130), (&read, 161)] {
        let at = model::Timestamp::from_secs(seconds);
        let wants = super::super::Wants { messages: false, judged: false };
        let mut out = Emit::new(&head, wants, &mut told, &mut found).at(at);
        parser.parse(&Input { bytes, from: Client, at, cut: 0 }, &mut out);
    }
    let writes = found.iter().filter(|found| {
        matches!(found, crate::proto::Yield::Operation { kind: OperationKind::Write, asked: Some(asked), .. }
            if *asked == model::Timestamp::from_secs(100))
    });
    assert_eq!(writes.count(), 1, "{found:?}");
}
