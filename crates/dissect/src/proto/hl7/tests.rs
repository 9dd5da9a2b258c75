//! Known answers and bounds. The conversations are hand-made after the examples of the standard.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, opening, packets, survives};

const ADMISSION: &[u8] =
    b"\x0bMSH|^~\\&|ADT1|GOOD HEALTH|LAB|GHH|20260302080000||ADT^A01^ADT_A01|MSG0001|P|2.5.1\r\
    SFT|Level Seven Healthcare Software, Inc.^L|1.2|An Lab System|56734\r\
    EVN|A01|20260302\rPID|1||PATID1234^5^M11||EVERYMAN^ADAM^A||19610615|M\rPV1|1|I|2000^2012^01\r\x1c\r";
const ACCEPTED: &[u8] =
    b"\x0bMSH|^~\\&|LAB|GHH|ADT1|GOOD HEALTH|20260302080001||ACK^A01^ACK|7|P|2.5.1\rMSA|AA|MSG0001\r\x1c\r";

#[test]
fn an_admission_is_told_with_its_outcome_and_no_patient() {
    let text = converse(&PROTOCOL, &[(Client, ADMISSION), (Server, ACCEPTED)]);
    assert!(!text.contains("EVERYMAN") && !text.contains("PATID"), "{text}");
    assert_snapshot!(text, @r#"
    client message {"kind":"ADT^A01","version":"2.5.1","control-id":"MSG0001","sending-application":"ADT1","sending-facility":"GOOD HEALTH","receiving-application":"LAB","receiving-facility":"GHH","segments":5}
    fact 192.0.2.10 label = "ADT1" (hl7.sending-application, 50%)
    fact 192.0.2.10 vendor = "Level Seven Healthcare Software, Inc." (hl7.software-vendor, 20%)
    fact 192.0.2.10 software = "An Lab System 1.2" (hl7.software, 75%)
    server message {"kind":"ACK^A01","version":"2.5.1","control-id":"7","sending-application":"LAB","sending-facility":"GHH","receiving-application":"ADT1","receiving-facility":"GOOD HEALTH","segments":2}
    fact 192.0.2.20 label = "LAB" (hl7.sending-application, 50%)
    server acknowledgement {"code":"AA","control-id":"MSG0001"}
    operation client Publish ADT^A01 - - Done
    "#);
}

#[test]
fn a_device_is_numbered_and_its_refused_results_are_told_once() {
    let result = b"\x0bMSH|^~\\&|MON_A^0012210000001A2B^EUI-64|W1|HUB||20260302||ORU^R01^ORU_R01|1|P|2.6\r\
        PID|||7^^^H^MR\rOBR|1|||1\rOBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC|1.1.1|72|bpm|||||F|||||||0012210000001A2B^^^EUI-64\r\x1c\r";
    let refused = b"\x0bMSH|^~\\&|HUB||MON_A||20260302||ACK^R01|9|P|2.6\rMSA|AE|1\r\x1c\r";
    let text =
        converse(&PROTOCOL, &[(Client, result), (Server, refused), (Client, result), (Server, refused)]);
    let facts: Vec<&str> = text.lines().filter(|line| line.starts_with("fact")).collect();
    assert_snapshot!(facts.join("\n"), @r#"
    fact 192.0.2.10 label = "MON_A" (hl7.sending-application, 50%)
    fact 192.0.2.10 identifier = "0012210000001A2B" (hl7.sending-application, 75%)
    fact 192.0.2.10 identifier = "0012210000001A2B" (hl7.equipment, 20%)
    fact 192.0.2.20 label = "HUB" (hl7.sending-application, 50%)
    "#);
    assert_eq!(text.matches("operation client Publish ORU^R01 - - Refused").count(), 1, "{text}");
}

#[test]
fn orders_are_told_each_time() {
    let order = b"\x0bMSH|^~\\&|EHR||PHARM||20260302||RDE^O11|5|P|2.5\rRXE|1\r\x1c\r";
    let accepted = b"\x0bMSH|^~\\&|PHARM||EHR||20260302||ACK^O11|6|P|2.5\rMSA|CA|5\r\x1c\r";
    let text =
        converse(&PROTOCOL, &[(Client, order), (Server, accepted), (Client, order), (Server, accepted)]);
    assert_eq!(text.matches("operation client Execute RDE^O11 - - Done").count(), 2, "{text}");
}

#[test]
fn frames_are_found_however_the_bytes_come_and_again_after_rubbish() {
    let whole = converse(&PROTOCOL, &[(Client, ADMISSION), (Client, ADMISSION), (Server, ACCEPTED)]);
    let both = [ADMISSION, ADMISSION].concat();
    for cut in 1..both.len() {
        let text = converse(&PROTOCOL, &[(Client, &both[..cut]), (Client, &both[cut..]), (Server, ACCEPTED)]);
        assert_eq!(text, whole, "cut at {cut}");
    }
    let text = converse(&PROTOCOL, &[(Client, ADMISSION), (Client, b"rubbish\x1c\r"), (Client, ADMISSION)]);
    assert_eq!(text.matches("client message").count(), 2, "{text}");
    assert!(text.contains("anomaly client framing"), "{text}");
}

#[test]
fn a_long_report_is_read_at_its_beginning_and_passed_over() {
    let mut report = b"\x0bMSH|^~\\&|RAD||EHR||20260302||MDM^T02|8|P|2.5\rOBX|1|ED|||".to_vec();
    report.resize(report.len() + 2 * MAX_MESSAGE, b'A');
    report.extend(b"\r\x1c\r");
    let (head, tail) = report.split_at(MAX_MESSAGE + 100);
    let text = converse(&PROTOCOL, &[(Client, head), (Client, tail), (Client, ADMISSION)]);
    assert_eq!(text.matches("client message").count(), 2, "{text}");
    assert!(!text.contains("anomaly"), "{text}");
}

#[test]
fn a_header_tells_hl7_and_little_else_does() {
    let judge = |bytes: &[u8]| (PROTOCOL.probe)(&opening(bytes, 9_999, true));
    assert_eq!(judge(ADMISSION), Verdict::Yes);
    assert_eq!([1, 2, 4, 9].map(|length| judge(&ADMISSION[..length])), [Verdict::More; 4]);
    for other in [&b"MSH|^~\\&|A|B"[..], b"\x0bMSA|AA|1|||", b"\x0bMSHabcdefgh", b"\x0bMSH|||||||"] {
        assert_eq!(judge(other), Verdict::No, "{other:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(noise in packets(), segments in "[A-Z|^~&\\\\\r\u{1c}\u{b}]{0,200}") {
        survives(&PROTOCOL, &noise);
        let message = [b"\x0bMSH|^~\\&|", segments.as_bytes(), b"\x1c\r"].concat();
        survives(&PROTOCOL, &[(Client, message.clone()), (Server, message)]);
    }
}
