//! Known answers and bounds. The conversations are hand-made.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, pieces, survives};

#[test]
fn a_login_and_a_mail_are_told_without_their_content() {
    let text = converse(
        &PROTOCOL,
        &[
            (Server, b"220 mx.example ESMTP Postfix\r\n"),
            (Client, b"EHLO camera\r\n"),
            (Server, b"250-mx.example\r\n250 AUTH PLAIN LOGIN\r\n"),
            (Client, b"AUTH LOGIN\r\n"),
            (Server, b"334 VXNlcm5hbWU6\r\n"),
            (Client, b"am9l\r\n"),
            (Server, b"334 UGFzc3dvcmQ6\r\n"),
            (Client, b"aHVudGVyMg==\r\n"),
            (Server, b"535 No.\r\n"),
            (Client, b"MAIL FROM:<joe@example>\r\nRCPT TO:<jane@example>\r\nDATA\r\n"),
            (Server, b"250 Ok\r\n250 Ok\r\n354 Go on\r\n"),
            (Client, b"Subject: secret\r\n\r\nQUIT\r\n.."),
            (Client, b"\r\n.\r\nSTARTTLS\r\n"),
            (Server, b"250 Queued\r\n220 Go\r\n"),
        ],
    );
    for secret in ["joe", "jane", "am9l", "aHVu", "secret"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_snapshot!(text, @r#"
    fact 192.0.2.20 hostname = "mx.example" (smtp.greeting, 50%)
    fact 192.0.2.20 label = "mx.example ESMTP Postfix" (smtp.greeting, 20%)
    server reply {"code":220,"text":"mx.example ESMTP Postfix"}
    client command {"command":"EHLO","argument":"camera"}
    server reply {"code":250,"command":"EHLO"}
    client command {"command":"AUTH","argument":"LOGIN"}
    server reply {"code":334,"command":"AUTH"}
    server reply {"code":334,"command":"AUTH"}
    server reply {"code":535,"command":"AUTH"}
    operation client Authenticate auth - - Refused
    client command {"command":"MAIL"}
    client command {"command":"RCPT"}
    client command {"command":"DATA"}
    server reply {"code":250,"command":"MAIL"}
    server reply {"code":250,"command":"RCPT"}
    server reply {"code":354,"command":"DATA"}
    client command {"command":"STARTTLS"}
    server reply {"code":250,"command":"DATA"}
    server reply {"code":220,"command":"STARTTLS"}
    upgrade
    "#);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        packets in pieces(&[b"DATA\r\n", b"354 a\r\n"], prop::collection::vec(any::<u8>(), 0..400)),
    ) {
        survives(&PROTOCOL, &packets);
    }
}
