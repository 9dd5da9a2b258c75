use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{any_bytes_are_survived, choices, converse, made, opening, survives};

/// Builds messages the way the standard writes them.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u32(self, number: u32) -> Self {
        self.raw(&number.to_le_bytes())
    }

    fn text(self, text: &str) -> Self {
        self.u32(text.len() as u32).raw(text.as_bytes())
    }

    fn null(self) -> Self {
        self.u32(u32::MAX)
    }

    /// A node of the standard in the encoding of four bytes.
    fn node(self, number: u16) -> Self {
        self.raw(&[1, 0]).raw(&number.to_le_bytes())
    }

    /// The header of a request: no token yet, a time, a handle.
    fn request(self, handle: u32) -> Self {
        self.raw(&[0, 0]).raw(&[7; 8]).u32(handle).u32(0).null().u32(1_000).raw(&[0, 0, 0])
    }

    /// The header of a response, with diagnostic information within diagnostic information.
    fn response(self, handle: u32, status: u32) -> Self {
        let deep = [0x40, 0x40, 0x21, 9, 0, 0, 0, 1, 0, 0, 0x80];
        self.raw(&[7; 8]).u32(handle).u32(status).raw(&deep).u32(1).text("why").raw(&[0, 0, 0])
    }

    fn application(self, uri: &str, product: &str, name: &str) -> Self {
        self.text(uri).text(product).raw(&[2]).text(name).u32(0).null().null().u32(0)
    }

    fn chunk(&self, kind: &[u8; 4]) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        bytes.extend((self.0.len() as u32 + 8).to_le_bytes());
        bytes.extend(&self.0);
        bytes
    }
}

/// Channel, token, sequence and request, and the number of the service.
fn message(request: u32, service: u16) -> Bytes {
    Bytes::default().u32(3).u32(1).u32(request).u32(request).node(service)
}

fn hello() -> Vec<u8> {
    Bytes::default()
        .u32(0)
        .u32(65_535)
        .u32(65_535)
        .u32(0)
        .u32(0)
        .text("opc.tcp://press-7:4840")
        .chunk(b"HELF")
}

fn acknowledge() -> Vec<u8> {
    Bytes::default().u32(0).u32(65_535).u32(65_535).u32(0).u32(0).chunk(b"ACKF")
}

fn open() -> Vec<u8> {
    let policy = "http://opcfoundation.org/UA/SecurityPolicy#None";
    let start = Bytes::default().u32(0).text(policy).null().null().u32(1).u32(1).node(446).request(0);
    start.u32(0).u32(0).u32(1).null().u32(60_000).chunk(b"OPNF")
}

fn endpoints() -> Vec<u8> {
    message(2, 431)
        .response(1, 0)
        .u32(1)
        .text("opc.tcp://press-7:4840")
        .application("urn:press-7:plc", "http://example.com/plc", "Press control")
        .null()
        .u32(1)
        .text("http://opcfoundation.org/UA/SecurityPolicy#None")
        .u32(2)
        .text("open")
        .u32(0)
        .null()
        .null()
        .null()
        .text("named")
        .u32(1)
        .null()
        .null()
        .null()
        .text("transport")
        .raw(&[1])
        .chunk(b"MSGF")
}

/// The lines of a conversation that are no messages.
fn told(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("client") && !line.starts_with("server")).collect()
}

#[test]
fn a_channel_without_security_and_an_endpoint_are_told() {
    let ask = message(2, 428).request(1).text("opc.tcp://press-7:4840").u32(0).u32(0).chunk(b"MSGF");
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &hello()),
            (Server, &acknowledge()),
            (Client, &open()),
            (Client, &ask),
            (Server, &endpoints()),
        ],
    );
    let expected = [
        r#"client hello {"version":0,"receive-buffer-size":65535,"send-buffer-size":65535,"max-message-size":0,"max-chunk-count":0,"endpoint-url":"opc.tcp://press-7:4840"}"#,
        r#"fact 192.0.2.20 role = "server" (opcua.server, 50%)"#,
        r#"server acknowledge {"version":0,"receive-buffer-size":65535,"send-buffer-size":65535,"max-message-size":0,"max-chunk-count":0}"#,
        r#"client request {"channel":0,"security-policy":"None","sequence":1,"request":1,"service":"open-secure-channel","service-code":446,"size":132,"request-handle":0,"security-mode":"none"}"#,
        r#"client request {"channel":3,"security-policy":"None","sequence":2,"request":2,"service":"get-endpoints","service-code":428,"size":91,"request-handle":1,"endpoint-url":"opc.tcp://press-7:4840"}"#,
        r#"operation client Discover get-endpoints opc.tcp://press-7:4840 - Done"#,
        r#"fact 192.0.2.20 software = "Press control" (opcua.application-name, 75%)"#,
        r#"fact 192.0.2.20 software = "http://example.com/plc" (opcua.product-uri, 50%)"#,
        r#"fact 192.0.2.20 identifier = "urn:press-7:plc" (opcua.application-uri, 75%)"#,
        r#"fact 192.0.2.20 hostname = "press-7" (opcua.endpoint-url, 50%)"#,
        r#"server response {"channel":3,"security-policy":"None","sequence":2,"request":2,"service":"get-endpoints","service-code":431,"size":304,"request-handle":1,"status-code":0,"status":"Good","endpoints":[{"url":"opc.tcp://press-7:4840","server":{"uri":"urn:press-7:plc","product-uri":"http://example.com/plc","name":"Press control","type":"server"},"security-mode":"none","security-policy":"None","user-tokens":["anonymous","user-name"]}]}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn who_logs_in_is_told_by_kind_and_no_secret_is() {
    let token = Bytes::default().text("named").text("operator").text("hunter2").null();
    let ask = message(5, 467)
        .request(5)
        .null()
        .null()
        .u32(0)
        .u32(0)
        .node(324)
        .raw(&[1])
        .u32(token.0.len() as u32)
        .raw(&token.0)
        .null()
        .null()
        .chunk(b"MSGF");
    let refuse = message(5, 397).response(5, 0x8021_0000).chunk(b"MSGF");
    let text = converse(&PROTOCOL, &[(Client, &ask), (Server, &refuse)]);
    assert_eq!(told(&text), ["operation client Authenticate activate-session user-name - Refused"]);
    assert!(text.contains(r#""user-token":"user-name","token-policy":"named""#), "{text}");
    assert!(text.contains(r#""status":"BadIdentityTokenRejected""#), "{text}");
    for secret in ["hunter2", "operator"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// A request to read values of nodes of the standard.
fn read(request: u32, nodes: &[u16]) -> Vec<u8> {
    let start = message(request, 631).request(request).raw(&[0; 8]).u32(0).u32(nodes.len() as u32);
    nodes
        .iter()
        .fold(start, |bytes, node| bytes.node(*node).u32(13).null().raw(&[0, 0]).null())
        .chunk(b"MSGF")
}

#[test]
fn a_server_that_is_asked_what_it_is_is_believed() {
    let text_value = |bytes: Bytes, text: &str| bytes.raw(&[1, 12]).text(text);
    let mut answer = message(7, 634).response(7, 0).u32(3);
    answer = text_value(answer, "Example AG");
    answer = text_value(answer, "PLC 5");
    let answer = text_value(answer, "4.1.2").chunk(b"MSGF");
    let text = converse(
        &PROTOCOL,
        &[(Client, &read(7, &[2263, 2261, 2264])), (Server, &answer), (Client, &read(8, &[2258]))],
    );
    assert_eq!(
        told(&text),
        [
            r#"fact 192.0.2.20 vendor = "Example AG" (opcua.manufacturer-name, 95%)"#,
            r#"fact 192.0.2.20 model = "PLC 5" (opcua.product-name, 95%)"#,
            r#"fact 192.0.2.20 firmware = "4.1.2" (opcua.software-version, 95%)"#,
            "operation client Identify read i=2263, i=2261, i=2264 - Done",
            "operation client Read read i=2258 - Asked",
        ]
    );
}

#[test]
fn a_write_in_two_chunks_is_told_with_its_value_and_what_became_of_it() {
    let whole = message(9, 673)
        .request(9)
        .u32(1)
        .raw(&[3, 1, 0])
        .text("the.answer")
        .u32(13)
        .null()
        .raw(&[1, 6])
        .u32(43);
    let first = Bytes(whole.0[..60].to_vec()).chunk(b"MSGC");
    let second = Bytes::default().u32(3).u32(1).u32(10).u32(9).raw(&whole.0[60..]).chunk(b"MSGF");
    let answer = message(9, 676).response(9, 0).u32(1).u32(0x803b_0000).u32(0).chunk(b"MSGF");
    let text = converse(&PROTOCOL, &[(Client, &first), (Client, &second), (Server, &answer)]);
    assert_eq!(told(&text), ["operation client Write write ns=1;s=the.answer 43 Refused"]);
    assert!(text.contains(r#""results":[2151350272]"#), "{text}");
}

#[test]
fn a_method_is_told_without_what_it_is_given() {
    let ask = message(4, 712).request(4).u32(1).node(2253).node(11_492).u32(1).raw(&[12]).text("secret");
    let answer = message(4, 715).response(4, 0).u32(1).u32(0).chunk(b"MSGF");
    let text = converse(&PROTOCOL, &[(Client, &ask.chunk(b"MSGF")), (Server, &answer)]);
    assert_eq!(told(&text), ["operation client Execute call i=11492 of i=2253 - Done"]);
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_channel_that_is_encrypted_is_only_counted() {
    let policy = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256";
    let start = Bytes::default().u32(0).text(policy).text("certificate").text("thumbprint");
    let open = start.raw(&[0xa5; 64]).chunk(b"OPNF");
    let message = Bytes::default().u32(3).u32(1).raw(&[0xa5; 48]).chunk(b"MSGF");
    let text = converse(&PROTOCOL, &[(Client, &open), (Client, &message)]);
    let expected = [
        r#"client encrypted {"channel":0,"security-policy":"Basic256Sha256","sender-certificate-length":11,"size":166,"request-handle":0}"#,
        r#"client encrypted {"channel":3,"security-policy":"Basic256Sha256","size":64,"request-handle":0}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_error_says_why_and_other_bytes_end_it() {
    let error = Bytes::default().u32(0x8083_0000).text("no such place").chunk(b"ERRF");
    let text = converse(&PROTOCOL, &[(Client, &hello()), (Server, &error), (Server, b"GET / HTTP/1.1")]);
    assert!(
        text.ends_with(concat!(
            r#"server error {"error-code":2156068864,"error":"BadTcpEndpointUrlInvalid","reason":"no such place"}"#,
            "\nlost: framing\n"
        )),
        "{text}"
    );
}

#[test]
fn only_chunks_are_taken_for_opc_ua() {
    let verdict = |bytes: &[u8]| probe(&opening(bytes, 4_840, true));
    assert_eq!(verdict(&hello()), Verdict::Yes);
    assert_eq!(verdict(&hello()[..5]), Verdict::More);
    assert_eq!(verdict(&open()), Verdict::Yes);
    assert_eq!(verdict(&read(1, &[2258])), Verdict::Yes);
    assert_eq!(verdict(&Bytes::default().raw(&[9; 40]).chunk(b"MSGF")), Verdict::Maybe);
    assert_eq!(verdict(b"HELO mail.example.com"), Verdict::No);
    assert_eq!(verdict(b"MSG hello"), Verdict::No);
}

any_bytes_are_survived!(PROTOCOL);

proptest! {
    #[test]
    fn any_bytes_behind_a_header_are_survived(packets in choices(), service in 0..40_usize) {
        let services: Vec<u16> = (300..13_000).filter(|code| names::service(u32::from(*code)).is_some()).collect();
        let service = services[service % services.len()];
        let chunks = made(&packets, |_, (choice, bytes)| {
            let bytes = match choice % 3 {
                0 => message(1, service).raw(bytes),
                1 => message(1, service).request(1).raw(bytes),
                _ => message(1, service + 3).response(1, 0).raw(bytes),
            };
            bytes.chunk(b"MSGF")
        });
        survives(&PROTOCOL, &chunks);
    }
}
