//! Sessions made up here, field by field as the standards draw them; tshark reads them the same way.

use proptest::prelude::*;

use super::*;
use crate::testing::{any_bytes_are_survived, converse, damage, hits, replay, survives};

fn framed(message: Vec<u8>) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], &message].concat()
}

/// A message of version 2: a header of 64 bytes and a body.
fn second(command: u8, answer: bool, status: u32, body: &[u8]) -> Vec<u8> {
    let mut message = b"\xfeSMB\x40\0\0\0".to_vec();
    message.extend(status.to_le_bytes());
    message.extend([command, 0, 1, 0, u8::from(answer), 0, 0, 0]);
    message.resize(64, 0);
    message.extend(body);
    framed(message)
}

/// A body whose buffer stands right behind its fixed part, which ends with the buffer's place and length.
fn with_buffer(fixed: &[u8], behind: usize, buffer: &[u8]) -> Vec<u8> {
    let place = 64 + fixed.len() + 4 + behind;
    let mut body = fixed.to_vec();
    body.extend((place as u16).to_le_bytes());
    body.extend((buffer.len() as u16).to_le_bytes());
    body.resize(body.len() + behind, 0);
    body.extend(buffer);
    body
}

fn letters(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn ntlm_challenge() -> Vec<u8> {
    let mut pairs = Vec::new();
    for (kind, text) in [(2, "PLANT"), (1, "HIST01"), (3, "hist01.plant.example"), (0, "")] {
        let value = letters(text);
        pairs.extend(u16::to_le_bytes(kind));
        pairs.extend((value.len() as u16).to_le_bytes());
        pairs.extend(value);
    }
    let mut message = b"NTLMSSP\0\x02\0\0\0".to_vec();
    message.extend([0, 0, 0, 0, 56, 0, 0, 0]); // target name
    message.extend(0x0282_8205_u32.to_le_bytes());
    message.extend([1, 2, 3, 4, 5, 6, 7, 8]); // challenge
    message.extend([0; 8]);
    message.extend((pairs.len() as u16).to_le_bytes().repeat(2));
    message.extend(56_u32.to_le_bytes());
    message.extend([10, 0, 0x63, 0x45, 0, 0, 0, 15]); // 10.0 build 17763
    message.extend(pairs);
    message
}

fn ntlm_authenticate() -> Vec<u8> {
    let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut payload = Vec::new();
    for text in ["", "", "PLANT", "anna", "ENG-01", ""] {
        let value = letters(text);
        message.extend((value.len() as u16).to_le_bytes().repeat(2));
        message.extend((72 + payload.len() as u32).to_le_bytes());
        payload.extend(value);
    }
    message.extend(0x0288_8205_u32.to_le_bytes());
    message.extend([10, 0, 0x61, 0x4a, 0, 0, 0, 15]); // 10.0 build 19041
    message.extend(payload);
    message
}

/// The setup of a session of version 3 to a share.
fn session() -> Vec<(Side, Vec<u8>)> {
    let mut negotiate = vec![36, 0, 2, 0, 1, 0, 0, 0, 0x7f, 0, 0, 0];
    negotiate.resize(36, 0);
    negotiate.extend([0x10, 0x02, 0x11, 0x03]);
    let mut negotiated = vec![65, 0, 3, 0, 0x11, 3, 0, 0];
    negotiated.extend(0..16);
    negotiated.resize(56, 0);
    let negotiated = [&negotiated[..], &[128, 0, 0, 0, 0, 0, 0, 0]].concat();
    let setup = |token: &[u8]| with_buffer(&[25, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0], 8, token);
    let answer = |token: &[u8]| with_buffer(&[9, 0, 0, 0], 0, token);
    vec![
        (Side::Client, second(0, false, 0, &negotiate)),
        (Side::Server, second(0, true, 0, &negotiated)),
        (
            Side::Client,
            second(1, false, 0, &setup(&[&b"NTLMSSP\0\x01\0\0\0\x05\x82\x88\xa0"[..], &[0; 16]].concat())),
        ),
        (Side::Server, second(1, true, MORE_PROCESSING, &answer(&ntlm_challenge()))),
        (Side::Client, second(1, false, 0, &setup(&ntlm_authenticate()))),
        (Side::Server, second(1, true, SUCCESS, &answer(&[]))),
        (Side::Client, second(3, false, 0, &with_buffer(&[9, 0, 0, 0], 0, &letters(r"\\hist01\recipes")))),
        (Side::Server, framed([&b"\xfdSMB"[..], &[7; 100]].concat())),
    ]
}

#[test]
fn a_session_of_version_3_names_both_hosts_and_the_user() {
    insta::assert_snapshot!(replay(&PROTOCOL, &session()), @r#"
    client negotiate {"dialects":["2.1","3.1.1"]}
    fact 192.0.2.20 identifier = "03020100-0504-0706-0809-0a0b0c0d0e0f" (smb.server-guid, 75%)
    server negotiated {"dialect":"3.1.1","server":"03020100-0504-0706-0809-0a0b0c0d0e0f","signing_required":true}
    fact 192.0.2.20 operating-system = "Windows 10.0 build 17763" (smb.ntlm-version, 75%)
    fact 192.0.2.20 hostname = "hist01.plant.example" (smb.ntlm-challenge, 75%)
    fact 192.0.2.20 hostname = "HIST01" (smb.ntlm-challenge, 75%)
    server ntlm-challenge {"computer":"HIST01","domain":"PLANT","dns_computer":"hist01.plant.example"}
    fact 192.0.2.10 operating-system = "Windows 10.0 build 19041" (smb.ntlm-version, 75%)
    fact 192.0.2.10 hostname = "ENG-01" (smb.ntlm-workstation, 75%)
    client ntlm-authenticate {"user":"anna","domain":"PLANT","workstation":"ENG-01"}
    operation client Authenticate session-setup PLANT\anna - Done
    client tree-connect {"path":"\\\\hist01\\recipes"}
    enough
    "#);
}

/// A message of version 2 in a share, by its number.
fn numbered(mut message: Vec<u8>, number: u8, tree: u8) -> Vec<u8> {
    (message[4 + 24], message[4 + 36]) = (number, tree);
    message
}

/// A request to open a file, to read it or to write it anew.
fn create(file: &str, writes: bool) -> Vec<u8> {
    let mut fixed = [&[57, 0, 0, 0, 2, 0, 0, 0][..], &[0; 16]].concat();
    fixed.extend(if writes { 0x0012_0196_u32 } else { 0x0012_0089 }.to_le_bytes());
    fixed.extend([0, 0, 0, 0, 7, 0, 0, 0]);
    fixed.extend([if writes { 5 } else { 1 }, 0, 0, 0, 0x40, 0, 0, 0]);
    with_buffer(&fixed, 8, &letters(file))
}

#[test]
fn files_that_are_written_and_pipes_that_run_something_are_told() {
    let mut packets = Vec::new();
    let mut number = 0;
    let mut exchange = |command, tree: u8, body: &[u8], status| {
        number += 1;
        packets.push((Side::Client, numbered(second(command, false, 0, body), number, tree)));
        // Answered in two steps.
        packets.push((Side::Server, numbered(second(command, true, PENDING, &[]), number, tree)));
        let granted = if command == 3 { tree + 10 } else { tree };
        packets.push((Side::Server, numbered(second(command, true, status, &[]), number, granted)));
    };
    exchange(3, 1, &with_buffer(&[9, 0, 0, 0], 0, &letters(r"\\till-3\ADMIN$")), SUCCESS);
    exchange(3, 2, &with_buffer(&[9, 0, 0, 0], 0, &letters(r"\\till-3\IPC$")), SUCCESS);
    exchange(5, 11, &create("cards.exe", true), SUCCESS);
    exchange(5, 11, &create("win.ini", false), SUCCESS);
    exchange(5, 12, &create("srvsvc", true), SUCCESS);
    exchange(5, 12, &create("svcctl", true), SUCCESS);
    // Told once, and another one that is refused.
    exchange(5, 12, &create("svcctl", true), SUCCESS);
    exchange(5, 12, &create("winreg", true), 0xc000_0022);
    let text = replay(&PROTOCOL, &packets);
    let operations: Vec<&str> = text.lines().filter(|line| line.starts_with("operation")).collect();
    insta::assert_snapshot!(operations.join("\n"), @r"
    operation client TransferFile write ADMIN$\cards.exe - Done
    operation client Execute service-control svcctl - Done
    operation client Configure remote-registry winreg - Refused
    ");
}

#[test]
fn segments_of_any_size_give_the_same() {
    let whole = session();
    let pieces: Vec<(Side, Vec<u8>)> =
        whole.iter().flat_map(|(side, bytes)| bytes.chunks(9).map(|piece| (*side, piece.to_vec()))).collect();
    assert_eq!(replay(&PROTOCOL, &pieces), replay(&PROTOCOL, &whole));
}

/// A message of version 1: a header of 32 bytes, words and bytes.
fn first(command: u8, answer: bool, status: u32, words: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut message = b"\xffSMB".to_vec();
    message.push(command);
    message.extend(status.to_le_bytes());
    message.extend([if answer { 0x88 } else { 0x08 }, 0x01, 0xc0]);
    message.resize(32, 0);
    message.push(words.len() as u8 / 2);
    message.extend(words);
    message.extend((bytes.len() as u16).to_le_bytes());
    message.extend(bytes);
    framed(message)
}

#[test]
fn a_session_of_version_1_tells_systems_and_a_refused_user() {
    // The caller is ENG-01, the called is *SMBSERVER, each with its kind behind it.
    let encode = |name: &str, kind: u8| -> Vec<u8> {
        let padded = format!("{name:15}");
        let letters = padded.bytes().chain([kind]).flat_map(|byte| [b'A' + (byte >> 4), b'A' + (byte & 15)]);
        std::iter::once(32).chain(letters).chain([0]).collect()
    };
    let request = [&[0x81, 0, 0, 68][..], &encode("*SMBSERVER", 0x20), &encode("ENG-01", 0)].concat();
    let offered = b"\x02NT LANMAN 1.0\0\x02NT LM 0.12\0";
    let chosen = [&[1, 0][..], &[0; 32]].concat();
    let mut setup = vec![0xff, 0, 0, 0, 4, 0x11, 50, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0];
    setup.resize(26, 0);
    // Three bytes of passwords, then text at even places.
    let texts = ["anna", "PLANT", "Windows 5.1", "Windows 2000 LAN Manager"]
        .map(|text| letters(&format!("{text}\0")));
    let setup_bytes = [&[1, 2, 3][..], &texts.concat()].concat();
    let answer_bytes = [&[0][..], &letters("Unix\0Samba 3.0.28a\0WORK\0")].concat();
    let connect = [&[0][..], &letters("\\\\HIST01\\IPC$\0"), b"IPC\0"].concat();
    let text = converse(
        &PROTOCOL,
        &[
            (Side::Client, &request),
            (Side::Server, &[0x82, 0, 0, 0]),
            (Side::Client, &first(0x72, false, 0, &[], offered)),
            (Side::Server, &first(0x72, true, 0, &chosen, &[])),
            (Side::Client, &first(0x73, false, 0, &setup, &setup_bytes)),
            (Side::Server, &first(0x73, true, 0xc000_006d, &[0xff, 0, 0, 0, 0, 0], &answer_bytes)),
            (Side::Client, &first(0x75, false, 0, &[0xff, 0, 0, 0, 0, 0, 1, 0], &connect)),
        ],
    );
    assert_eq!(
        text,
        "fact 192.0.2.10 hostname = \"ENG-01\" (smb.session-request, 75%)\n\
         client negotiate {\"dialects\":[\"NT LANMAN 1.0\",\"NT LM 0.12\"]}\n\
         server negotiated {\"dialect\":\"NT LM 0.12\"}\n\
         fact 192.0.2.10 operating-system = \"Windows 5.1\" (smb.native-os, 75%)\n\
         client native {\"system\":\"Windows 5.1\",\"manager\":\"Windows 2000 LAN Manager\"}\n\
         fact 192.0.2.20 software = \"Samba 3.0.28a\" (smb.native-lan-manager, 75%)\n\
         server native {\"system\":\"Unix\",\"manager\":\"Samba 3.0.28a\"}\n\
         operation client Authenticate session-setup PLANT\\anna - Refused\n\
         client tree-connect {\"path\":\"\\\\\\\\HIST01\\\\IPC$\"}\n"
    );
}

#[test]
fn what_runs_something_is_told_in_version_1_too() {
    let share = [&[0][..], &letters(r"\\HIST01\IPC$"), &[0, 0], b"?????\0"].concat();
    // Disposition and access at their places; the name behind a byte that aligns it.
    let mut words = [0; 48];
    words[15..19].copy_from_slice(&0x0002_019f_u32.to_le_bytes());
    words[35] = 1;
    let name = [&[0][..], &letters(r"\svcctl"), &[0, 0]].concat();
    let packets = [
        (Side::Client, first(0x75, false, 0, &[0xff, 0, 0, 0, 0, 0, 1, 0], &share)),
        (Side::Server, first(0x75, true, 0, &[], &[])),
        (Side::Client, first(0xa2, false, 0, &words, &name)),
        (Side::Server, first(0xa2, true, 0, &[], &[])),
    ];
    let text = replay(&PROTOCOL, &packets);
    assert!(text.contains("operation client Execute service-control svcctl - Done"), "{text}");
}

#[test]
fn reads_and_writes_are_passed_over_before_they_have_arrived() {
    let mut write = second(9, false, 0, &[0; 100]);
    write[1..4].copy_from_slice(&[1, 0, 0]);
    let text = converse(
        &PROTOCOL,
        &[
            (Side::Client, &write),
            (Side::Client, &[7; 65536 - 164]),
            (Side::Client, &second(3, false, 0, &with_buffer(&[9, 0, 0, 0], 0, &letters("x")))),
        ],
    );
    assert_eq!(text, "client tree-connect {\"path\":\"x\"}\n");
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(
        converse(&PROTOCOL, &[(Side::Client, &second(3, false, 0, &[9, 0, 0, 0, 0xff, 0xff, 2, 0]))]),
        "anomaly client message-length: 72 bytes\n"
    );
    assert_eq!(
        converse(&PROTOCOL, &[(Side::Client, &second(2, false, 0, &[])), (Side::Client, b"GET / HTTP/1.1")]),
        "lost: framing\n"
    );
}

any_bytes_are_survived!(PROTOCOL);

proptest! {
    #[test]
    fn damaged_sessions_are_survived(hits in hits()) {
        survives(&PROTOCOL, &damage(&session(), &hits));
    }

    #[test]
    fn any_message_of_version_1_is_survived(
        command in 0x72..0x76_u8,
        answer in any::<bool>(),
        words in prop::collection::vec(any::<u8>(), 0..40),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let message = first(command, answer, 0, &words, &bytes);
        survives(&PROTOCOL, &[(Side::Client, message.clone()), (Side::Server, message)]);
    }
}
