//! Known answers and bounds. The conversations are hand-made.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, opening, packets_of, survives};

#[test]
fn a_bot_joins_its_channel_and_nothing_said_is_told() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"PASS hunter2\r\nNICK [x]bot-7\r\nUSER a b c :d hunter3\r\n"),
            (Server, b":irc.example 001 [x]bot-7 :Welcome\r\n"),
            (Client, b"JOIN #ctl hunter4\r\n"),
            (Server, b":boss!b@h PRIVMSG #ctl :.udpflood 192.0.2.1\r\nPING :abc\r\n"),
            (Client, b"PONG :a"),
            (Client, b"bc\n"),
        ],
    );
    assert!(!text.contains("hunter") && !text.contains("flood"), "{text}");
    assert_snapshot!(text, @r##"
    client message {"command":"PASS"}
    client message {"command":"NICK","target":"[x]bot-7"}
    client message {"command":"USER"}
    server message {"code":1}
    operation client Authenticate register - - Done
    client message {"command":"JOIN","target":"#ctl"}
    operation client Subscribe join #ctl - Asked
    server message {"command":"PRIVMSG","target":"#ctl"}
    operation server Publish privmsg #ctl - Asked
    server message {"command":"PING"}
    client message {"command":"PONG"}
    "##);
}

#[test]
fn a_registration_tells_irc_and_other_logins_do_not() {
    let verdict = |bytes, from| probe(&Opening { from, ..opening(bytes, 1, true) });
    assert_eq!(verdict(b"NICK bot\n", Client), Verdict::Yes);
    assert_eq!(verdict(b"USER a 0 * :x\r\n", Client), Verdict::Yes);
    assert_eq!(verdict(b"USER joe\r\n", Client), Verdict::Maybe);
    assert_eq!(verdict(b":s NOTICE * :*** Looking up\r\n", Server), Verdict::Yes);
    assert_eq!(verdict(b"220 ready\r\n", Server), Verdict::No);
    assert_eq!(verdict(b"\x16\x03\x01\x00", Client), Verdict::No);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(packets in packets_of(
        prop_oneof![
            ":?[a-z]{0,3} ?(JOIN|001|PRIVMSG)? ?[ -~]{0,8}\r\n".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..40),
        ],
        0..12,
    )) {
        survives(&PROTOCOL, &packets);
    }
}
