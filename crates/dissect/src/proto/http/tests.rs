//! Known answers, bounds and secrets. The conversations are hand-made.

use insta::assert_snapshot;
use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, opening, pieces, survives};

fn verdict(bytes: &[u8]) -> Verdict {
    probe(&opening(bytes, 502, true))
}

#[test]
fn http_is_known_on_any_port_and_others_are_not_taken_for_it() {
    for (bytes, verdict_expected) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], Verdict::Yes),
        (b"POST /cgi-bin/x y z HTTP/1.0\r\n", Verdict::Yes),
        (b"\r\nBREW /pot HTTP/1.1\r\n", Verdict::Yes),
        (b"HTTP/1.0 404 Not Found\r\n", Verdict::Yes),
        (b"GE", Verdict::More),
        (b"GET /a/long/path", Verdict::More),
        (b"HTTP/1", Verdict::More),
        (b"GET /\r\n", Verdict::Maybe),
        (b"OPTIONS rtsp://192.0.2.1/ RTSP/1.0\r\n", Verdict::No),
        (b"OPTIONS sip:a@b SIP/2.0\r\n", Verdict::No),
        (b"GET / HTTP/2.0\r\n", Verdict::No),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Verdict::No),
        (b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x0a", Verdict::No),
        (b"USER joe\r\n", Verdict::No),
    ] {
        assert_eq!(verdict(bytes), verdict_expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn requests_and_responses_are_matched_across_segments_and_pipelining() {
    // RFC 9112 clause 9.3.2: responses come in the order of the requests.
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"GET /a HTTP/1.1\r\nHost: camera.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"),
            (Client, b"Referer: http://x/\r\nCookie: id=topsecret\r\n\r\nHEAD /b HTTP/1.1\r\nHost: camera.example\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nServer: Boa/0.94.13\r\nContent-Type: text/html\r\nContent-Length: 59\r\n\r\n<html><title>IP "),
            (Server, b"Camera</title>"),
            (Server, b"</html>......................HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n"),
        ],
    );
    assert_snapshot!(text, @r#"
    client request {"method":"GET","target":"/a","version":"1.1","host":"camera.example","user-agent":"curl/8.5.0","referer":true}
    fact 192.0.2.10 software = "curl/8.5.0" (http.user-agent, 50%)
    client request {"method":"HEAD","target":"/b","version":"1.1","host":"camera.example"}
    fact 192.0.2.20 software = "Boa/0.94.13" (http.server, 75%)
    fact 192.0.2.20 label = "IP Camera" (http.title, 20%)
    fact 192.0.2.20 role = "camera" (http.title, 50%)
    server response {"status":200,"version":"1.1","method":"GET","target":"/a","host":"camera.example","server":"Boa/0.94.13","content-type":"text/html","body-length":59,"title":"IP Camera"}
    server response {"status":404,"version":"1.1","method":"HEAD","target":"/b","host":"camera.example","body-length":0}
    "#);
}

#[test]
fn a_chunked_body_is_read_to_its_end_and_counted() {
    // RFC 9112 clause 7.1.
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"GET /x.sh HTTP/1.1\r\nHost: 192.0.2.20\r\nUser-Agent: Wget/1.12 (linux-gnu)\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n#!/b\r\n"),
            (Server, b"00a\r\nin/sh\nwget\r"),
            (Server, b"\n0\r\nTrailer: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        ],
    );
    assert_snapshot!(text, @r#"
    client request {"method":"GET","target":"/x.sh","version":"1.1","host":"192.0.2.20","user-agent":"Wget/1.12 (linux-gnu)"}
    fact 192.0.2.10 operating-system = "Linux" (http.user-agent, 50%)
    fact 192.0.2.10 software = "Wget/1.12" (http.user-agent, 50%)
    operation client TransferFile get 192.0.2.20/x.sh "script" Done
    server response {"status":200,"version":"1.1","method":"GET","target":"/x.sh","host":"192.0.2.20","body-length":14,"executable":"script"}
    server response {"status":204,"version":"1.1","body-length":0}
    "#);
}

#[test]
fn logins_are_counted_by_their_outcome_and_show_no_secret() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWRtaW46aHVudGVyMg==\r\n\r\n"),
            (Server, b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"DCS-932L_B1\"\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Digest username=\"admin\", nonce=\"hunter2\"\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"GET /again HTTP/1.1\r\nHost: a\r\nAuthorization: Digest username=\"admin\", nonce=\"hunter2\"\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"POST /login.cgi HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 30\r\n\r\nuser=admin&"),
            (Client, b"password=hunter2..."),
            (Server, b"HTTP/1.1 302 Found\r\nLocation: /login.cgi?failed=1\r\nContent-Length: 0\r\n\r\n"),
            (Client, b"GET /set?usr=admin&pwd=hunter2 HTTP/1.1\r\nHost: admin:hunter2@a\r\n\r\n"),
        ],
    );
    assert!(!text.contains("hunter2") && !text.contains("admin\"") && !text.contains("YWRt"), "{text}");
    assert_snapshot!(text, @r#"
    client request {"method":"GET","target":"/","version":"1.1","host":"a","authorization":"basic"}
    fact 192.0.2.20 label = "DCS-932L_B1" (http.realm, 50%)
    operation client Authenticate basic / - Refused
    server response {"status":401,"version":"1.1","method":"GET","target":"/","host":"a","body-length":0,"authenticate":"basic","realm":"DCS-932L_B1"}
    client request {"method":"GET","target":"/","version":"1.1","host":"a","authorization":"digest"}
    operation client Authenticate digest / - Done
    server response {"status":200,"version":"1.1","method":"GET","target":"/","host":"a","body-length":0}
    client request {"method":"GET","target":"/again","version":"1.1","host":"a","authorization":"digest"}
    server response {"status":200,"version":"1.1","method":"GET","target":"/again","host":"a","body-length":0}
    client request {"method":"POST","target":"/login.cgi","version":"1.1","host":"a","content-type":"application/x-www-form-urlencoded","content-length":30}
    operation client Authenticate form /login.cgi - Refused
    server response {"status":302,"version":"1.1","method":"POST","target":"/login.cgi","host":"a","body-length":0,"location":"/login.cgi?failed=1"}
    client request {"method":"GET","target":"/set?usr=***&pwd=***","version":"1.1","host":"a"}
    operation client Authenticate form /set - Asked
    "#);
}

#[test]
fn a_upnp_description_tells_who_the_root_device_is() {
    // UPnP Device Architecture 2.0 clause 2.3.
    let body = br#"<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>Bed &amp; Board</friendlyName>
<manufacturer>Acme</manufacturer><modelName>Gate</modelName><modelNumber>G-100</modelNumber>
<serialNumber>0042</serialNumber><UDN>uuid:1</UDN><deviceList><device><friendlyName>inner</friendlyName>
</device></deviceList></device></root>"#;
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nCONTENT-TYPE: text/xml\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    answer.extend_from_slice(body);
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"GET /rootDesc.xml HTTP/1.1\r\nHost: 192.0.2.20\r\n\r\n"),
            (Server, &answer[..200]),
            (Server, &answer[200..]),
        ],
    );
    assert_snapshot!(text, @r#"
    client request {"method":"GET","target":"/rootDesc.xml","version":"1.1","host":"192.0.2.20"}
    fact 192.0.2.20 label = "Bed & Board" (upnp.friendlyName, 95%)
    fact 192.0.2.20 vendor = "Acme" (upnp.manufacturer, 95%)
    fact 192.0.2.20 model = "Gate" (upnp.modelName, 95%)
    fact 192.0.2.20 serial = "0042" (upnp.serialNumber, 95%)
    fact 192.0.2.20 identifier = "uuid:1" (upnp.UDN, 95%)
    fact 192.0.2.20 part-number = "G-100" (upnp.modelNumber, 75%)
    fact 192.0.2.20 role = "router" (upnp.deviceType, 75%)
    server response {"status":200,"version":"1.1","method":"GET","target":"/rootDesc.xml","host":"192.0.2.20","content-type":"text/xml","body-length":433}
    "#);
}

#[test]
fn a_tunnel_and_an_upgrade_hand_the_connection_on() {
    // RFC 9110 clauses 9.3.6 and 7.8.
    let tunnel = converse(
        &PROTOCOL,
        &[
            (Client, b"CONNECT user:pw@192.0.2.99:80 HTTP/1.1\r\nHost: 192.0.2.99:80\r\n\r\nGET"),
            (Server, b"HTTP/1.1 200 Connection established\r\n\r\n"),
            (Client, b" /inner HTTP/1.1\r\nHost: inner\r\n\r\n"),
        ],
    );
    assert_snapshot!(tunnel, @r#"
    client request {"method":"CONNECT","target":"192.0.2.99:80","version":"1.1","host":"192.0.2.99:80"}
    server response {"status":200,"version":"1.1","method":"CONNECT","target":"192.0.2.99:80","host":"192.0.2.99:80","body-length":0}
    upgrade
    it is http
    client request {"method":"GET","target":"/inner","version":"1.1","host":"inner"}
    "#);
    let upgrade = converse(
        &PROTOCOL,
        &[
            (Client, b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            (Server, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"),
        ],
    );
    assert_snapshot!(upgrade, @r#"
    client request {"method":"GET","target":"/ws","version":"1.1","host":"a","upgrade":"websocket"}
    server response {"status":101,"version":"1.1","method":"GET","target":"/ws","host":"a","body-length":0,"upgrade":"websocket"}
    it becomes websocket
    "#);
}

#[test]
fn a_body_without_a_length_lasts_until_the_connection_ends() {
    // RFC 9112 clause 6.3 item 8.
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"GET /bot.arm HTTP/1.0\r\n\r\n"),
            (Server, b"HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6 Python/3.8.10\r\n\r\n\x7fELF\x01\x01"),
            (Server, b"HTTP/1.1 is not a new response here"),
        ],
    );
    assert_snapshot!(text, @r#"
    client request {"method":"GET","target":"/bot.arm","version":"1.0"}
    fact 192.0.2.20 software = "SimpleHTTP/0.6 Python/3.8.10" (http.server, 75%)
    operation client TransferFile get /bot.arm "elf" Done
    server response {"status":200,"version":"1.0","method":"GET","target":"/bot.arm","server":"SimpleHTTP/0.6 Python/3.8.10","body-length":41,"executable":"elf"}
    "#);
}

#[test]
fn a_picture_that_says_where_it_was_taken_is_told() {
    let exif = b"\xff\xd8\xff\xe1\0\x1cExif\0\0II*\0\x08\0\0\0\x01\0\x25\x88\x04\0\x01\0\0\0\x1a\0\0\0";
    let fetch = |kind: &str| {
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", exif.len());
        let packets = [
            (Client, &b"GET /p.jpg HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
            (Server, &[answer.as_bytes(), exif].concat()),
        ];
        converse(&PROTOCOL, &packets)
    };
    let told = "operation client TransferFile get a/p.jpg \"located-picture\" Done";
    assert!(fetch("image/jpeg").contains(told));
    assert!(!fetch("image/png").contains("TransferFile"));
}

#[test]
fn what_two_receivers_may_read_differently_is_reported() {
    // RFC 9112 clauses 3.2 and 11.2.
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (Client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n1234"),
            (Client, b"\x00\x01\x02"),
        ],
    );
    assert_snapshot!(text, @r#"
    anomaly client ambiguous-length: both Content-Length and Transfer-Encoding
    anomaly client no-host: POST without a Host field
    client request {"method":"POST","target":"/","version":"1.1"}
    anomaly client ambiguous-length: Content-Length fields that differ
    client request {"method":"POST","target":"/","version":"1.1","host":"a","content-length":4}
    anomaly client start-line: 3 bytes that begin no message
    "#);
}

#[test]
fn what_comes_through_a_proxy_says_nothing_about_the_proxy() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, b"GET http://origin.example/x HTTP/1.1\r\nHost: origin.example\r\n\r\n"),
            (Server, b"HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nContent-Length: 0\r\n\r\n"),
        ],
    );
    assert!(!text.contains("fact"), "{text}");
}

#[test]
fn a_long_body_is_skipped_and_not_kept() {
    let mut http = Http::default();
    let (mut told, mut found) = Default::default();
    let head = crate::testing::head(model::Transport::Tcp, 80);
    let mut out =
        Emit::new(&head, super::super::Wants { messages: true, judged: true }, &mut told, &mut found);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\nbeginning";
    let input = Input { bytes: answer, from: Server, at: model::Timestamp::EPOCH, cut: 0 };
    assert_eq!(http.parse(&input, &mut out), Progress::Took(answer.len() - 9 + 5_000_000_000));
    assert_eq!(http.streams[1].expect, Expect::Head);
}

#[test]
fn reading_goes_on_after_a_gap() {
    let mut http = Http::default();
    let (mut told, mut found) = Default::default();
    let head = crate::testing::head(model::Transport::Tcp, 80);
    let mut out =
        Emit::new(&head, super::super::Wants { messages: true, judged: true }, &mut told, &mut found);
    let feed = |http: &mut Http, bytes: &[u8], out: &mut Emit<'_>| {
        http.parse(&Input { bytes, from: Client, at: model::Timestamp::EPOCH, cut: 0 }, out)
    };
    assert_eq!(feed(&mut http, b"GET /a HTTP/1.1\r\nHo", &mut out), Progress::Took(0));
    assert!(http.gap(Client, 10, &mut out));
    assert_eq!(feed(&mut http, b"x: y\r\n\r\n", &mut out), Progress::Took(8));
    assert_eq!(feed(&mut http, b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n", &mut out), Progress::Took(28));
    assert_eq!(found.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(packets in pieces(
        &[
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
            b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<title>",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
            b"ffffffffffffffff\r\n",
        ],
        prop::collection::vec(any::<u8>(), 0..40),
    )) {
        survives(&PROTOCOL, &packets);
    }

    #[test]
    fn random_bytes_are_not_taken_for_http(bytes in proptest::collection::vec(any::<u8>(), 8..200)) {
        prop_assert_ne!(verdict(&bytes), Verdict::Yes);
    }
}

#[test]
fn a_camera_says_what_it_is_in_isapi() {
    let answer = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let info = "<DeviceInfo version=\"2.0\" xmlns=\"http://www.isapi.org/ver20/XMLSchema\">\
                <deviceName>Gate</deviceName><model>C-1</model><serialNumber>7</serialNumber>\
                <firmwareVersion>V5.4.5</firmwareVersion></DeviceInfo>";
    let other = "<DeviceInfo xmlns=\"http://example.net/\"><model>C-1</model></DeviceInfo>";
    let facts = |body: &str| {
        let request = b"GET /ISAPI/System/deviceInfo HTTP/1.1\r\nHost: 192.0.2.20\r\n\r\n";
        let text = converse(&PROTOCOL, &[(Client, request), (Server, answer(body).as_bytes())]);
        text.lines().filter(|line| line.contains("isapi")).map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(facts(info), @r#"
    fact 192.0.2.20 label = "Gate" (isapi.deviceName, 95%)
    fact 192.0.2.20 model = "C-1" (isapi.model, 95%)
    fact 192.0.2.20 serial = "7" (isapi.serialNumber, 95%)
    fact 192.0.2.20 firmware = "V5.4.5" (isapi.firmwareVersion, 95%)
    fact 192.0.2.20 role = "camera" (isapi.device-info, 75%)
    "#);
    assert_eq!(facts(other), "", "another's element of that name");
}
