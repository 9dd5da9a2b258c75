use model::Side::{Client, Server};

use super::*;
use crate::testing::{any_bytes_are_survived, converse, opening};

/// A frame of unit 60 with its size and check.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![SYNC, kind << 4 | 2];
    bytes.extend(((HEADER + body.len() + CHECK) as u16).to_be_bytes());
    bytes.extend([0, 60, 0, 0, 0, 9, 0x0f, 0, 0, 7]);
    bytes.extend(body);
    bytes.extend(crc(&bytes).to_be_bytes());
    bytes
}

/// A configuration of one unit with one phasor and one word of digital states.
fn configuration_2() -> Vec<u8> {
    let mut body = vec![0, 0x0f, 0x42, 0x40, 0, 1];
    body.extend(b"SUBSTATION 7    ");
    body.extend([0, 61, 0, 7, 0, 1, 0, 0, 0, 1]);
    body.extend(b"VA              ");
    (0..16).for_each(|_| body.extend(b"BREAKER STATE   "));
    body.extend([0, 0, 4, 0xc4, 0, 0, 0, 0, 0, 1, 0, 1, 0, 50]);
    frame(3, &body)
}

fn configuration_3() -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0x0f, 0x42, 0x40, 0, 1, 5];
    body.extend(b"NORTH");
    body.extend([0, 61]);
    body.extend([0xab; 16]);
    body.extend([0, 7, 0, 1, 0, 0, 0, 0, 2]);
    body.extend(b"VA");
    body.extend([0; 12]);
    body.extend(52.5_f32.to_be_bytes());
    body.extend(13.25_f32.to_be_bytes());
    body.extend(f32::INFINITY.to_be_bytes());
    body.extend([b'M', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 50]);
    frame(5, &body)
}

#[test]
fn a_unit_is_asked_for_its_configuration_and_its_data() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &frame(4, &[0, 5])),
            (Server, &configuration_2()),
            (Client, &frame(4, &[0, 2])),
            (Server, &frame(0, &[0x80, 0, 1, 2, 3, 4])),
        ],
    );
    let head = r#""id-code":60,"second-of-century":9,"fraction-of-second":7,"time-quality":15"#;
    let expected = [
        r#"fact 192.0.2.10 role = "scada" (synchrophasor.command, 50%)"#.to_owned(),
        "operation client Identify send-configuration-2 unit 60 - Asked".to_owned(),
        format!(
            r#"client command {{"version":2,"size":18,{head},"command":"send-configuration-2","command-code":5}}"#
        ),
        r#"fact 192.0.2.20 role = "ied" (synchrophasor.stream, 75%)"#.to_owned(),
        r#"fact 192.0.2.10 role = "scada" (synchrophasor.stream, 50%)"#.to_owned(),
        r#"fact 192.0.2.20 type = "phasor measurement unit" (synchrophasor.configuration, 75%)"#.to_owned(),
        r#"fact 192.0.2.20 identifier = "synchrophasor id 60" (synchrophasor.id-code, 75%)"#.to_owned(),
        r#"fact 192.0.2.20 label = "SUBSTATION 7" (synchrophasor.station-name, 95%)"#.to_owned(),
        format!(
            r#"server configuration-2 {{"version":2,"size":334,{head},"time-base":1000000,"unit-count":1,"units":[{{"station":"SUBSTATION 7","id-code":61,"phasors":1,"analogs":0,"digitals":1,"phasor-names":["VA"],"nominal-frequency":50,"configuration-changes":1}}],"data-rate":50}}"#
        ),
        "operation client Subscribe data-on unit 60 - Asked".to_owned(),
        format!(r#"client command {{"version":2,"size":18,{head},"command":"data-on","command-code":2}}"#),
        format!(r#"server data {{"version":2,"size":22,{head},"status":32768}}"#),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_third_configuration_tells_the_place() {
    let text = converse(&PROTOCOL, &[(Server, &configuration_3())]);
    for fact in [
        r#"fact 192.0.2.20 label = "NORTH" (synchrophasor.station-name, 95%)"#,
        r#"fact 192.0.2.20 identifier = "synchrophasor global id abababababababababababababababab" (synchrophasor.global-id, 95%)"#,
        r#"fact 192.0.2.20 location = "52.5 13.25" (synchrophasor.position, 75%)"#,
    ] {
        assert!(text.contains(fact), "{text}");
    }
    assert!(text.contains(r#""configuration-changes":3}],"data-rate":50}"#), "{text}");
}

#[test]
fn a_frame_that_fails_its_check_is_an_anomaly() {
    let good = frame(4, &[0, 2]);
    let mut bad = good.clone();
    bad[15] = 1;
    let text = converse(&PROTOCOL, &[(Client, &good), (Client, &bad), (Client, &bad), (Client, &bad)]);
    assert_eq!(text.matches("anomaly client check: command of 18 bytes").count(), 2, "{text}");
    assert!(text.ends_with("lost: check\n"), "{text}");
}

#[test]
fn only_the_check_makes_it_sure() {
    let verdict = |bytes: &[u8], stream| probe(&opening(bytes, 4_712, stream));
    let good = frame(4, &[0, 2]);
    assert_eq!(verdict(&good, true), Verdict::Yes);
    assert_eq!(verdict(&good[..10], true), Verdict::More);
    assert_eq!(verdict(&good[..10], false), Verdict::No);
    let mut bad = good;
    bad[15] ^= 1;
    assert_eq!(verdict(&bad, false), Verdict::No);
    assert_eq!(verdict(&[SYNC; 40], true), Verdict::No);
}

any_bytes_are_survived!(PROTOCOL, |_, (kind, bytes)| frame(kind % 7, bytes));
