use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, opening, told};

any_bytes_are_survived!(PROTOCOL, |_, (_, bytes)| information(bytes));

/// An ASDU in an I frame.
fn information(asdu: &[u8]) -> Vec<u8> {
    let mut bytes = vec![START, asdu.len() as u8 + 4, 2, 0, 4, 0];
    bytes.extend(asdu);
    bytes
}

const START_ACT: &[u8] = &[START, 4, 7, 0, 0, 0];

#[test]
fn a_command_is_told_with_its_confirmation() {
    // A single command, on, to object 5001 of station 3, and a clock that the station refuses.
    let command = [45, 1, 6, 0, 3, 0, 0x89, 0x13, 0, 1];
    let mut confirmed = command;
    confirmed[2] = 7;
    let clock = [103, 1, 6, 0, 3, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7];
    let mut refused = clock;
    refused[2] = 0x47;
    let text = converse(
        &PROTOCOL,
        &[
            (Client, START_ACT),
            (Client, &information(&command)),
            (Server, &information(&confirmed)),
            (Client, &information(&clock)),
            (Server, &information(&refused)),
        ],
    );
    assert_eq!(
        told(&text),
        [
            r#"fact 192.0.2.20 role = "rtu" (iec104.monitor, 75%)"#,
            r#"fact 192.0.2.10 role = "scada" (iec104.monitor, 75%)"#,
            r#"fact 192.0.2.20 identifier = "iec104 common address 3" (iec104.common-address, 75%)"#,
            "operation client Execute C_SC_NA_1 object 5001 station 3 1 Done",
            "operation client SetTime C_CS_NA_1 station 3 - Refused",
        ]
    );
}

#[test]
fn who_controls_and_reports_writes_and_who_only_reports_does_not() {
    // A measured value, 50.0, of object 10.
    let report = information(&[13, 1, 3, 0, 3, 0, 10, 0, 0, 0, 0, 0x48, 0x42, 0]);
    let writes = |conversation: &[(Side, &[u8])]| {
        let text = converse(&PROTOCOL, conversation);
        text.lines().filter(|line| line.starts_with("operation")).map(str::to_owned).collect::<Vec<_>>()
    };
    let written = "operation client Write M_ME_NC_1 object 10 station 3 50.0 Asked";
    assert_eq!(writes(&[(Client, START_ACT), (Client, &report), (Server, &report)]), [written]);
    // Whoever opens the connection may be the one who reports.
    assert_eq!(writes(&[(Server, START_ACT), (Client, &report)]), [""; 0]);
    // Who gives commands controls as well, if the start was not seen.
    let command = information(&[45, 1, 6, 0, 3, 0, 0x89, 0x13, 0, 1]);
    let confirmed = information(&[45, 1, 7, 0, 3, 0, 0x89, 0x13, 0, 1]);
    let told = writes(&[(Client, &command), (Server, &confirmed), (Client, &report)]);
    assert_eq!(told.last().map(String::as_str), Some(written));
}

#[test]
fn elements_of_a_sequence_have_addresses_one_after_the_other() {
    let asdu = [1, 0x83, 20, 0, 3, 0, 10, 0, 0, 1, 0, 1];
    let text = converse(&PROTOCOL, &[(Server, &information(&asdu))]);
    let objects = r#""objects":[{"address":10,"element":"01"},{"address":11,"element":"00"},{"address":12,"element":"01"}]"#;
    assert!(text.contains(objects), "{text}");
    let short = [1, 0x84, 20, 0, 3, 0, 10, 0, 0, 1, 0, 1];
    let text = converse(&PROTOCOL, &[(Client, START_ACT), (Server, &information(&short))]);
    assert!(text.contains("anomaly server length-mismatch: M_SP_NA_1 with 4 objects"), "{text}");
}

#[test]
fn values_that_are_reported_are_samples_unless_they_are_invalid() {
    let reports: [(&[u8], Option<f64>); 9] = [
        (&[1, 0x01], Some(1.0)),
        (&[1, 0x81], None),
        (&[3, 0x02], Some(2.0)),
        // Step -1, moving.
        (&[5, 0xff, 0], Some(-1.0)),
        (&[9, 0x00, 0xc0, 0], Some(-0.5)),
        (&[11, 0x18, 0xfc, 0], Some(-1000.0)),
        (&[13, 0, 0, 0x48, 0x42, 0], Some(50.0)),
        (&[13, 0, 0, 0x48, 0x42, 0x80], None),
        (&[15, 0xff, 0xff, 0xff, 0xff, 0], Some(-1.0)),
    ];
    for (report, value) in reports {
        let asdu = [&[report[0], 1, 3, 0, 3, 0, 10, 0, 0][..], &report[1..]].concat();
        let text = converse(&PROTOCOL, &[(Server, &information(&asdu))]);
        let sample = text.lines().find(|line| line.starts_with("sample"));
        let wanted = value.map(|value| format!("sample server object 10 station 3 = {value}"));
        assert_eq!(sample, wanted.as_deref(), "{report:02x?}");
    }
}

#[test]
fn chance_is_not_telecontrol() {
    let verdict = |bytes: &[u8]| probe(&opening(bytes, 2_404, true));
    assert_eq!(verdict(START_ACT), Verdict::Yes);
    assert_eq!(verdict(&START_ACT[..3]), Verdict::More);
    assert_eq!(verdict(b"hello, world"), Verdict::No);
    assert_eq!(verdict(&information(&[99, 1, 6, 0, 3, 0, 1, 0, 0, 1])), Verdict::No);
    assert_eq!(verdict(&[START, 4, 1, 0, 2, 0]), Verdict::Maybe);
}

#[test]
fn odd_frames_are_anomalies_and_the_stream_goes_on() {
    let odd = [START, 4, 0x0f, 0, 0, 0];
    let text =
        converse(&PROTOCOL, &[(Client, START_ACT), (Client, &odd), (Client, b"????"), (Client, START_ACT)]);
    let lines: Vec<&str> = text.lines().map(|line| line.split('{').next().unwrap_or_default()).collect();
    assert_eq!(
        lines,
        [
            "client u-frame ",
            "anomaly client control-field: frame of 6 bytes",
            "anomaly client framing: a frame does not begin with 0x68 and a length",
            "client u-frame ",
        ]
    );
}
