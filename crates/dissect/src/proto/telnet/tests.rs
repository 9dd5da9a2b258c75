//! Known answers and bounds. The conversations are hand-made.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, opening, pieces, survives};

#[test]
fn logins_are_counted_and_nothing_typed_is_told() {
    let text = converse(
        &PROTOCOL,
        &[
            // IAC DO TERMINAL-TYPE, IAC WILL ECHO; the commands of RFC 854, split between packets.
            (Server, b"\xff\xfd\x18\xff"),
            (Server, b"\xfb\x01\r\nWelcome to Linux 2.6.30 (zlxx.)\r\n\x1b[1mBusyBox v1.12.4 (2013-04-01)\x1b[0m\r\n\r\ncam7 login: "),
            (Client, b"\xff\xfb\x18\xff\xfa\x18\x00vt100\xff\xf0"),
            (Client, b"root\r\n"),
            (Server, b"root\r\nPassword: "),
            (Client, b"hunter1\r\n"),
            (Server, b"\r\nLogin incorrect\r\ncam7 login: "),
            (Client, b"ro"),
            (Server, b"ro"),
            (Client, b"ot\r\0"),
            (Server, b"ot\r\nPassword: "),
            (Client, b"hunter2\r\0"),
            (Server, b"\r\n\r\nroot's last secret hunter3\r\n# "),
            (Client, b"cat /etc/hunter4\r\n"),
            (Server, b"cat /etc/hunter4\r\nhunter4\r\n# "),
        ],
    );
    assert!(!text.contains("hunter") && !text.contains("root"), "{text}");
    assert_snapshot!(text, @r#"
    server negotiation {"do":["terminal-type"]}
    fact 192.0.2.20 label = "Welcome to Linux 2.6.30 (zlxx.)" (telnet.banner, 50%)
    fact 192.0.2.20 operating-system = "Linux 2.6.30" (telnet.banner, 50%)
    fact 192.0.2.20 software = "BusyBox 1.12.4" (telnet.banner, 75%)
    fact 192.0.2.20 operating-system = "Linux" (telnet.banner, 20%)
    server negotiation {"will":["echo"]}
    fact 192.0.2.20 hostname = "cam7" (telnet.login, 50%)
    server prompt {"prompt":"login"}
    client subnegotiation {"option":"terminal-type","terminal-type":"vt100"}
    client negotiation {"will":["terminal-type"]}
    server prompt {"prompt":"password"}
    operation client Authenticate login - - Refused
    server prompt {"prompt":"login"}
    server prompt {"prompt":"password"}
    operation client Authenticate login - - Done
    server prompt {"prompt":"command"}
    "#);
}

#[test]
fn a_default_credential_is_told_by_its_account_and_others_are_not() {
    let login = |name: &[u8], password: &[u8], answer: &[u8]| {
        converse(
            &PROTOCOL,
            &[
                (Server, b"\xff\xfd\x18\xff\xfb\x01\r\ncam7 login: "),
                (Client, &[name, b"\r\n"].concat()),
                (Server, b"Password: "),
                (Client, &[password, b"\r\n"].concat()),
                (Server, answer),
            ],
        )
    };
    let weaknesses =
        |text: String| text.lines().filter(|line| line.starts_with("weakness")).collect::<String>();
    let inside = login(b"root", b"xc3511", b"\r\n# ");
    assert!(!inside.contains("xc3511"), "{inside}");
    assert_eq!(weaknesses(inside), "weakness server default-credential: root");
    assert_eq!(
        weaknesses(login(b"root", b"xc3511", b"\r\nLogin incorrect\r\n")),
        "weakness client default-credential-tried: root, known pair 129"
    );
    assert_eq!(weaknesses(login(b"root", b"xc3512", b"\r\n# ")), "");
}

#[test]
fn a_password_asked_again_was_refused_and_an_unanswered_one_was_asked() {
    let text = converse(
        &PROTOCOL,
        &[
            (Server, b"\xff\xfb\x03\xff\xfb\x01User Access Verification\r\n\r\nPassword: "),
            (Client, b"a\r\n"),
            (Server, b"\r\nPassword: "),
            (Client, b"b\r\n"),
        ],
    );
    assert_snapshot!(text, @r#"
    fact 192.0.2.20 label = "User Access Verification" (telnet.banner, 50%)
    server negotiation {"will":["suppress-go-ahead","echo"]}
    server prompt {"prompt":"password"}
    operation client Authenticate login - - Refused
    server prompt {"prompt":"password"}
    operation client Authenticate login - - Asked
    "#);
}

#[test]
fn a_negotiation_tells_telnet_on_any_port_and_text_does_not() {
    let verdict = |bytes| probe(&Opening { from: Server, ..opening(bytes, 1, true) });
    assert_eq!(verdict(b"\xff\xfd\x18\xff\xfd\x20"), Verdict::Yes);
    assert_eq!(verdict(b"\xff\xfb\x01\r\nlogin: "), Verdict::Yes);
    assert_eq!(verdict(b"\xff\xfb"), Verdict::More);
    assert_eq!(verdict(b"\xff\xfb\xf0\x00"), Verdict::No);
    assert_eq!(verdict(b"login: "), Verdict::Maybe);
    assert_eq!(verdict(b"\x03\x00\x00\x16\x11"), Verdict::No);
}

#[test]
fn names_in_the_environment_are_not_told() {
    // RFC 1572: NEW-ENVIRON IS VAR "USER" VALUE "joe".
    let text = converse(
        &PROTOCOL,
        &[(
            Client,
            b"\xff\xfb\x27\xff\xfa\x27\x00\x00USER\x01joe\xff\xf0\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0",
        )],
    );
    assert_snapshot!(text, @r#"
    client subnegotiation {"option":"new-environment"}
    client subnegotiation {"option":"negotiate-about-window-size","columns":80,"rows":24}
    client negotiation {"will":["new-environment"]}
    "#);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(packets in pieces(
        &[
            b"login: ",
            b"Password:",
            b"\r\n",
            b"\xff\xfa\x18",
        ],
        prop::collection::vec(prop_oneof![Just(0xff_u8), any::<u8>()], 0..40),
    )) {
        survives(&PROTOCOL, &packets);
    }

    #[test]
    fn what_is_typed_at_a_prompt_never_shows(secret in "[a-zA-Z0-9]{6,20}") {
        let (typed, echo) = (format!("{secret}\r\n"), format!("{secret}\r\nPassword: "));
        let text = converse(
            &PROTOCOL,
            &[
                (Server, b"\xff\xfb\x01login: "),
                (Client, typed.as_bytes()),
                (Server, echo.as_bytes()),
                (Client, typed.as_bytes()),
                (Server, format!("\r\n{secret}@host$ ").as_bytes()),
            ],
        );
        prop_assert!(!text.contains(&secret), "{}", text);
        prop_assert!(text.contains("Done"), "{}", text);
    }
}
