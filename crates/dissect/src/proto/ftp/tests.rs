//! Known answers and bounds. The conversations are hand-made.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, opening, pieces, survives};

#[test]
fn a_login_and_a_transfer_are_told_without_names_and_passwords() {
    let text = converse(
        &PROTOCOL,
        &[
            (Server, b"220-Welcome\r\n220 (vsFTPd 3.0.3) FTP\r\n"),
            (Client, b"USER joe\r\n"),
            (Server, b"331 Password for joe please.\r\n"),
            (Client, b"PASS hunter1\r\n"),
            (Server, b"530 Login of joe incorrect.\r\n"),
            (Client, b"USER joe\r\nPASS hunter2\r\n"),
            (Server, b"331 joe?\r\n230-Hello joe,\r\n 230 unread mails\r\n230 Go on.\r\n"),
            (Client, b"SYST\r\nSITE PSWD hunter2 hunter3\r\n"),
            (Server, b"215 UNIX Type: L8\r\n500 What?\r\n"),
            (Client, b"STOR firmware.bin\r\n"),
            (Server, b"150 Go"),
            (Server, b" ahead.\r\n226 Done.\r\n"),
            (Client, b"hunter2\r\nRETR /etc/passwd\r\n"),
        ],
    );
    assert!(!text.contains("hunter") && !text.contains("joe"), "{text}");
    assert_snapshot!(text, @r#"
    fact 192.0.2.20 label = "Welcome" (ftp.greeting, 20%)
    server reply {"code":220,"text":"(vsFTPd 3.0.3) FTP"}
    client command {"command":"USER"}
    server reply {"code":331,"command":"USER"}
    client command {"command":"PASS"}
    server reply {"code":530,"command":"PASS"}
    operation client Authenticate login - - Refused
    client command {"command":"USER"}
    client command {"command":"PASS"}
    server reply {"code":331,"command":"USER"}
    server reply {"code":230,"command":"PASS"}
    operation client Authenticate login - - Done
    client command {"command":"SYST"}
    client command {"command":"SITE","argument":"PSWD"}
    fact 192.0.2.20 operating-system = "UNIX" (ftp.syst, 20%)
    server reply {"code":215,"command":"SYST","text":"UNIX Type: L8"}
    server reply {"code":500,"command":"SITE"}
    client command {"command":"STOR","argument":"firmware.bin"}
    server reply {"code":150,"command":"STOR"}
    server reply {"code":226,"command":"STOR"}
    operation client TransferFile stor firmware.bin - Done
    anomaly client unknown-command: 7 bytes
    client command {"command":"RETR","argument":"/etc/passwd"}
    operation client TransferFile retr /etc/passwd - Asked
    "#);
}

#[test]
fn default_and_anonymous_logins_are_weaknesses() {
    let weaknesses = |login: &[u8]| {
        let text = converse(
            &PROTOCOL,
            &[
                (Server, b"220 (vsFTPd 3.0.3) FTP\r\n"),
                (Client, login),
                (Server, b"331 And?\r\n230 Go on.\r\n"),
            ],
        );
        text.lines().filter(|line| line.starts_with("weakness")).collect::<String>()
    };
    assert_eq!(weaknesses(b"USER admin\r\nPASS admin\r\n"), "weakness server default-credential: admin");
    assert_eq!(
        weaknesses(b"USER Anonymous\r\nPASS a@b\r\n"),
        "weakness server no-authentication: anonymous login"
    );
    assert_eq!(weaknesses(b"USER joe\r\nPASS tiroler-7\r\n"), "");
}

#[test]
fn encryption_hands_the_connection_on() {
    // RFC 4217 clause 4.
    let text = converse(
        &PROTOCOL,
        &[
            (Server, b"220 FTP\r\n"),
            (Client, b"AUTH TLS\r\n"),
            (Server, b"234 Go.\r\n"),
            (Client, b"\x16\x03\x01"),
        ],
    );
    assert_snapshot!(text, @r#"
    fact 192.0.2.20 label = "FTP" (ftp.greeting, 20%)
    server reply {"code":220,"text":"FTP"}
    client command {"command":"AUTH","argument":"TLS"}
    server reply {"code":234,"command":"AUTH"}
    upgrade
    "#);
}

#[test]
fn a_mail_server_is_not_taken_for_ftp() {
    let verdict = |bytes| probe(&Opening { from: Server, ..opening(bytes, 1, true) });
    assert_eq!(verdict(b"220 ProFTPD 1.3.5 Server\r\n"), Verdict::Yes);
    assert_eq!(verdict(b"220 mail.example ESMTP\r\n"), Verdict::No);
    assert_eq!(verdict(b"220 ready\r\n"), Verdict::Maybe);
    assert_eq!(verdict(b"220"), Verdict::More);
    assert_eq!(verdict(b"SSH-2.0-x\r\n"), Verdict::No);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        packets in pieces(&[b"220-a\r\n", b"PASS x\r\n", b"230 ok\r\n"], prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        survives(&PROTOCOL, &packets);
    }
}
