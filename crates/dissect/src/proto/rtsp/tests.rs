//! Known answers and bounds. The conversations are hand-made.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, opening, pieces, survives};

#[test]
fn a_camera_is_viewed_after_a_login() {
    // RFC 2326 clause 14.1, with authentication and interleaved media added.
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"DESCRIBE rtsp://admin:hunter2@192.0.2.20/ch1 RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: Lavf58.29.100\r\n\r\n"),
            (Server, b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nServer: Hipcam RealServer/V1.0\r\nWWW-Authenticate: Digest realm=\"Hikvision DS-2CD\", nonce=\"1\"\r\n\r\n"),
            (Client, b"DESCRIBE rtsp://192.0.2.20/ch1 RTSP/1.0\r\nCSeq: 2\r\nAuthorization: Digest username=\"admin\", response=\"77\"\r\n\r\n"),
            (Server, b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\nContent-Length: 58\r\n\r\nv=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H26"),
            (Server, b"4/90000\r\nm=audio"),
            (Client, b"PLAY rtsp://192.0.2.20/ch1 RTSP/1.0\r\nCSeq: 3\r\n\r\n$\x01\x00\x02ab"),
            (Server, b"$\x00\x00\x04\x80\x60"),
            (Server, b"\x00\x01RTSP/1.0 454 Session Not Found\r\nCSeq: 3\r\n\r\n"),
            (Client, b"PLAY rtsp://192.0.2.20/user=a_password=hunter2_x.sdp RTSP/1.0\r\nCSeq: 4\r\n\r\n"),
        ],
    );
    assert!(!text.contains("hunter2") && !text.contains("admin"), "{text}");
    assert_snapshot!(text, @r#"
    client request {"method":"DESCRIBE","url":"rtsp://192.0.2.20/ch1","cseq":1,"user-agent":"Lavf58.29.100"}
    fact 192.0.2.20 software = "Hipcam RealServer/V1.0" (rtsp.server, 75%)
    fact 192.0.2.20 label = "Hikvision DS-2CD" (rtsp.realm, 20%)
    fact 192.0.2.20 vendor = "Hikvision" (rtsp.realm, 50%)
    fact 192.0.2.20 role = "camera" (rtsp.realm, 50%)
    operation client Read describe rtsp://192.0.2.20/ch1 - Refused
    server response {"status":401,"cseq":1,"method":"DESCRIBE","url":"rtsp://192.0.2.20/ch1","server":"Hipcam RealServer/V1.0","authenticate":"digest","realm":"Hikvision DS-2CD"}
    client request {"method":"DESCRIBE","url":"rtsp://192.0.2.20/ch1","cseq":2,"authorization":"digest"}
    fact 192.0.2.20 role = "camera" (rtsp.describe, 50%)
    operation client Read describe rtsp://192.0.2.20/ch1 - Done
    operation client Authenticate digest rtsp://192.0.2.20/ch1 - Done
    server response {"status":200,"cseq":2,"method":"DESCRIBE","url":"rtsp://192.0.2.20/ch1","content-type":"application/sdp","content-length":58,"media":["video H264/90000","audio"]}
    client request {"method":"PLAY","url":"rtsp://192.0.2.20/ch1","cseq":3}
    operation client Subscribe play rtsp://192.0.2.20/ch1 - Refused
    server response {"status":454,"cseq":3,"method":"PLAY","url":"rtsp://192.0.2.20/ch1"}
    client request {"method":"PLAY","url":"rtsp://192.0.2.20/user=***","cseq":4}
    operation client Subscribe play rtsp://192.0.2.20/user=*** - Asked
    "#);
}

#[test]
fn rtsp_is_known_on_any_port_and_others_are_not_taken_for_it() {
    let verdict = |bytes| probe(&opening(bytes, 1, true));
    assert_eq!(verdict(b"OPTIONS * RTSP/1.0\r\n"), Verdict::Yes);
    assert_eq!(verdict(b"RTSP/1.0 200 OK\r\n"), Verdict::Yes);
    assert_eq!(verdict(b"DESCR"), Verdict::More);
    assert_eq!(verdict(b"OPTIONS / HTTP/1.1\r\n"), Verdict::No);
    assert_eq!(verdict(b"\x80\x60\x00\x01"), Verdict::No);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(packets in pieces(
        &[
            b"DESCRIBE rtsp://a/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99999999999999\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: 9\r\n\r\nm=\na=rtpmap:\n",
        ],
        prop::collection::vec(any::<u8>(), 0..40),
    )) {
        survives(&PROTOCOL, &packets);
    }
}
