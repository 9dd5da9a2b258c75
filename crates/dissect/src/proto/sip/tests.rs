//! Known answers and bounds. The messages are hand-made.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, converse_on, head, opening, pieces, survives};

#[test]
fn a_telephone_registers_and_calls() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"REGISTER sip:pbx.example SIP/2.0\r\nf: <sip:joe@pbx.example>\r\nCSeq: 1 REGISTER\r\nUser-Agent: Yealink SIP-T21P_E2 52.84.0.15\r\n\r\n"),
            (Server, b"SIP/2.0 401 Unauthorized\r\nCSeq: 1 REGISTER\r\nServer: Asterisk PBX 18.9\r\nWWW-Authenticate: Digest realm=\"a\"\r\n\r\n"),
            (Client, b"REGISTER sip:pbx.example SIP/2.0\r\nCSeq: 2 REGISTER\r\nAuthorization: Digest username=\"joe\"\r\n\r\n"),
            (Server, b"SIP/2.0 100 Trying\r\nCSeq: 2 REGISTER\r\n\r\n"),
            (Server, b"SIP/2.0 200 OK\r\nCSeq: 2 REGISTER\r\n\r\n"),
            (Client, b"\r\n\r\n"),
            (Client, b"INVITE sip:+15551234:pw@pbx.example:5060;user=phone SIP/2.0\r\nCSeq: 3 INVITE\r\nc: application/sdp\r\n\r\nv=0\r\n"),
        ],
    );
    assert!(!text.contains("joe") && !text.contains("5551234"), "{text}");
    assert_snapshot!(text, @r#"
    fact 192.0.2.10 software = "Yealink SIP-T21P_E2 52.84.0.15" (sip.user-agent, 75%)
    fact 192.0.2.10 vendor = "Yealink" (sip.user-agent, 50%)
    fact 192.0.2.10 role = "phone" (sip.user-agent, 50%)
    fact 192.0.2.10 model = "SIP-T21P_E2" (sip.user-agent, 75%)
    fact 192.0.2.10 firmware = "52.84.0.15" (sip.user-agent, 75%)
    fact 192.0.2.10 role = "phone" (sip.register, 50%)
    client request {"method":"REGISTER","host":"pbx.example","cseq":1,"user-agent":"Yealink SIP-T21P_E2 52.84.0.15"}
    fact 192.0.2.20 software = "Asterisk PBX 18.9" (sip.user-agent, 75%)
    fact 192.0.2.20 role = "server" (sip.user-agent, 50%)
    server response {"status":401,"cseq":1,"method":"REGISTER","server":"Asterisk PBX 18.9","authenticate":"digest"}
    client request {"method":"REGISTER","host":"pbx.example","cseq":2,"authorization":"digest"}
    server response {"status":100,"cseq":2,"method":"REGISTER"}
    server response {"status":200,"cseq":2,"method":"REGISTER"}
    operation client Authenticate digest pbx.example - Done
    client request {"method":"INVITE","host":"pbx.example:5060","cseq":3,"content-type":"application/sdp"}
    "#);
}

#[test]
fn messages_over_tcp_are_told_apart_by_their_length() {
    let text = converse_on(
        &PROTOCOL,
        head(Transport::Tcp, 5060),
        true,
        &[
            (Client, b"OPTIONS sip:a SIP/2.0\r\nCSeq: 1 OPTIONS\r\nl: 4\r\n\r\nab"),
            (Client, b"cdOPTIONS sip:b SIP/2.0\r\nCSeq: 2 OPTIONS\r\n"),
            (Client, b"Content-Length: 0\r\n\r\n"),
        ],
    );
    assert_snapshot!(text, @r#"
    client request {"method":"OPTIONS","host":"a","cseq":1}
    client request {"method":"OPTIONS","host":"b","cseq":2}
    "#);
}

#[test]
fn sip_is_known_on_any_port_and_http_is_not_taken_for_it() {
    let verdict = |bytes, stream| probe(&opening(bytes, 1, stream));
    assert_eq!(verdict(b"OPTIONS sip:a SIP/2.0\r\n", false), Verdict::Yes);
    assert_eq!(verdict(b"SIP/2.0 200 OK\r\n", false), Verdict::Yes);
    assert_eq!(verdict(b"REGIS", true), Verdict::More);
    assert_eq!(verdict(b"NOTIFY * HTTP/1.1\r\n", false), Verdict::No);
    assert_eq!(verdict(b"", true), Verdict::No);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(packets in pieces(
        &[
            b"INVITE sip:a SIP/2.0\r\nCSeq: 1 INVITE\r\nl: 99999999999\r\n\r\n",
            b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n",
        ],
        prop::collection::vec(any::<u8>(), 0..40),
    )) {
        survives(&PROTOCOL, &packets);
    }
}
