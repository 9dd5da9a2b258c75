//! Known answers and bounds. The packets are hand-made after the standards.

use insta::assert_snapshot;
use model::Side::{self, Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, made, opening, packets_of, survives};

/// A packet: its first byte and its body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let more = if length > 127 { 0x80 } else { 0 };
        bytes.push((length & 0x7f) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn a_session_of_3_1_1_is_read_with_its_outcomes() {
    let connect = packet(
        0x10,
        b"\x00\x04MQTT\x04\xee\x00\x3c\x00\x04plug\x00\x06t/will\x00\x03off\x00\x03joe\x00\x07hunter2",
    );
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &connect[..9]),
            (Client, &connect[9..]),
            (Server, &packet(0x20, &[0, 0])),
            (Client, &packet(0x82, b"\x00\x01\x00\x05cmd/#\x01\x00\x01x\x00")),
            (Server, &packet(0x90, b"\x00\x01\x01\x80")),
            (Client, &packet(0x31, b"\x00\x05state{\"on\":[1,\"}\"]}")),
            (Client, &packet(0x34, b"\x00\x05power\x00\x02not json")),
            (Server, &packet(0x50, &[0, 2])),
            (Client, &packet(0x62, &[0, 2])),
            (Server, &packet(0x70, &[0, 2])),
            (Server, &packet(0x32, b"\x00\x05cmd/1\x00\x09")),
            (Client, &packet(0xa2, b"\x00\x03\x00\x01x")),
            (Server, &packet(0xb0, b"\x00\x03")),
            (Client, b"\xc0\x00"),
            (Server, b"\xd0\x00"),
            (Client, b"\xe0\x00"),
        ],
    );
    assert!(!text.contains("hunter2") && !text.contains("joe"), "{text}");
    assert_snapshot!(text, @r#"
    fact 192.0.2.10 identifier = "plug" (mqtt.client-id, 50%)
    client connect {"protocol-name":"MQTT","protocol-version":4,"client-id":"plug","clean-start":true,"keep-alive-s":60,"user-name":true,"password":true,"will-topic":"t/will","will-qos":1,"will-retain":true,"will-length":3}
    fact 192.0.2.20 role = "broker" (mqtt.connack, 75%)
    operation client Authenticate connect plug - Done
    weakness server cleartext-login: 
    server connack {"session-present":false,"reason-code":0}
    client subscribe {"packet-id":1,"topics":[{"filter":"cmd/#","qos":1},{"filter":"x","qos":0}]}
    operation client Subscribe subscribe cmd/# - Done
    operation client Subscribe subscribe x - Refused
    server suback {"packet-id":1,"reason-codes":[1,128]}
    client publish {"topic":"state","qos":0,"retain":true,"dup":false,"payload-length":14,"json":true}
    operation client Publish publish state - Asked
    client publish {"topic":"power","qos":2,"retain":false,"dup":false,"packet-id":2,"payload-length":8,"json":false}
    operation client Publish publish power - Done
    server pubrec {"packet-id":2}
    client pubrel {"packet-id":2}
    server pubcomp {"packet-id":2}
    server publish {"topic":"cmd/1","qos":1,"retain":false,"dup":false,"packet-id":9,"payload-length":0,"json":false}
    client unsubscribe {"packet-id":3,"topics":[{"filter":"x"}]}
    server unsuback {"packet-id":3}
    client pingreq {}
    server pingresp {}
    client disconnect {}
    operation server Publish publish cmd/1 - Asked
    "#);
}

#[test]
fn properties_of_5_are_read_and_secrets_among_them_left_out() {
    let connect = packet(
        0x10,
        b"\x00\x04MQTT\x05\x02\x00\x3c\x21\x11\x00\x00\x00\x0a\x15\x00\x05SCRAM\x16\x00\x07hunter2\x26\x00\x01k\x00\x01v\x21\x00\x14\x00\x00",
    );
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &connect),
            (Server, &packet(0x20, b"\x00\x00\x08\x12\x00\x02c1\x22\x00\x0a")),
            (Client, &packet(0x30, b"\x00\x03a/b\x03\x23\x00\x01{}")),
            (Client, &packet(0x32, b"\x00\x00\x00\x07\x03\x23\x00\x01[]")),
            (Server, &packet(0x40, b"\x00\x07\x87")),
            (Server, &packet(0xe0, b"\x8e\x00")),
        ],
    );
    assert!(!text.contains("hunter2"), "{text}");
    assert_snapshot!(text, @r#"
    client connect {"protocol-name":"MQTT","protocol-version":5,"client-id":"","clean-start":true,"keep-alive-s":60,"user-name":false,"password":false,"properties":{"session-expiry-interval-s":10,"authentication-method":"SCRAM","receive-maximum":20,"user-properties":["k"]}}
    fact 192.0.2.20 role = "broker" (mqtt.connack, 75%)
    operation client Authenticate connect - - Done
    weakness server no-authentication: a client was let in without a name and a password
    server connack {"session-present":false,"reason-code":0,"properties":{"assigned-client-identifier":"c1","topic-alias-maximum":10}}
    client publish {"topic":"a/b","qos":0,"retain":false,"dup":false,"payload-length":2,"json":true,"properties":{"topic-alias":1}}
    operation client Publish publish a/b - Asked
    client publish {"topic":"a/b","qos":1,"retain":false,"dup":false,"packet-id":7,"payload-length":2,"json":true,"properties":{"topic-alias":1}}
    operation client Publish publish a/b - Refused
    server puback {"packet-id":7,"reason-code":135}
    server disconnect {"reason-code":142}
    "#);
}

#[test]
fn a_refused_connection_and_what_is_not_allowed_are_told() {
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &packet(0x10, b"\x00\x06MQIsdp\x03\x00\x00\x00\x00\x01a")),
            (Server, &packet(0x20, &[0, 5])),
            (Client, &packet(0x30, b"\x00\x03a/+")),
            (Client, &packet(0x36, b"\x00\x01a\x00\x01")),
            (Client, &packet(0x80, b"\x00\x01")),
            (Client, b"\x00\x00"),
        ],
    );
    assert_snapshot!(text, @r#"
    fact 192.0.2.10 identifier = "a" (mqtt.client-id, 50%)
    client connect {"protocol-name":"MQIsdp","protocol-version":3,"client-id":"a","clean-start":false,"keep-alive-s":0,"user-name":false,"password":false}
    fact 192.0.2.20 role = "broker" (mqtt.connack, 75%)
    operation client Authenticate connect a - Refused
    server connack {"session-present":false,"reason-code":5}
    anomaly client wildcard-in-topic: a/+
    client publish {"topic":"a/+","qos":0,"retain":false,"dup":false,"payload-length":0,"json":false}
    operation client Publish publish a/+ - Asked
    anomaly client invalid-qos: 3
    anomaly client reserved-flags: packet begins with 0x80
    client subscribe {"packet-id":1,"topics":[]}
    lost: packet-type
    "#);
}

#[test]
fn a_long_payload_is_skipped_and_not_kept() {
    let mut bytes = packet(0x30, &[b"\x00\x01a".to_vec(), vec![b'x'; 200_000]].concat());
    bytes.extend_from_slice(b"\xc0\x00");
    let mut mqtt = Mqtt::default();
    let (mut told, mut found) = Default::default();
    let head = crate::testing::head(model::Transport::Tcp, 1883);
    let mut out =
        Emit::new(&head, super::super::Wants { messages: false, judged: true }, &mut told, &mut found);
    let input = Input { bytes: &bytes[..17_000], from: Client, at: model::Timestamp::EPOCH, cut: 0 };
    assert_eq!(mqtt.parse(&input, &mut out), Progress::Took(bytes.len() - 2));
    assert_eq!(found.len(), 1);
}

#[test]
fn a_connect_tells_mqtt_on_any_port_and_other_packets_do_not() {
    let verdict = |bytes| probe(&opening(bytes, 1, true));
    assert_eq!(verdict(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"), Verdict::Yes);
    assert_eq!(verdict(b"\x10\x0d\x00\x04MQ"), Verdict::More);
    assert_eq!(verdict(b"\x10\x0d\x00\x04MQTT\x04\x03"), Verdict::No);
    assert_eq!(verdict(b"\x10\x0d\x00\x04MQTX\x04\x02"), Verdict::No);
    assert_eq!(verdict(b"\x30\x0b\x00\x04home{\"a\":"), Verdict::Yes);
    assert_eq!(verdict(b"\xc0\x00\x40\x02\x00\x02\x31\x06\x00\x04home"), Verdict::Yes);
    assert_eq!(verdict(b"\xc0\x00\x40\x02\x00\x02\x00"), Verdict::No);
    assert_eq!(verdict(b"\xc0\x00\x40"), Verdict::Maybe);
    assert_eq!(verdict(b"\x30\x0c\x00\x04home{\"a\":"), Verdict::Maybe);
    assert_eq!(verdict(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"), Verdict::No);
    assert_eq!(verdict(b"\x20\x02\x00\x00"), Verdict::Maybe);
    assert_eq!(verdict(b"\x00\x01\x00\x00\x00\x06"), Verdict::No);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        packets in packets_of((any::<u8>(), prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..40)), 0..10),
        version in 3..6_u8,
    ) {
        let mut all = vec![(Client, packet(0x10, &[b"\x00\x04MQTT".as_slice(), &[version, 0, 0, 0, 0, 0, 0]].concat()))];
        all.extend(made(&packets, |_, (first, body)| packet(*first, body)));
        survives(&PROTOCOL, &all);
    }

    #[test]
    fn random_bytes_are_not_taken_for_mqtt(bytes in proptest::collection::vec(any::<u8>(), 8..100)) {
        prop_assert_ne!(probe(&opening(&bytes, 1, true)), Verdict::Yes);
    }
}

/// A process that does not outlive the test, even if it fails.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a real broker and its clients say to one another, recorded between them.
#[test]
fn a_session_of_a_real_broker_is_read() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Command, Stdio};
    use std::sync::{Arc, Mutex};

    const TEST: &str = "a_session_of_a_real_broker_is_read";
    let (Some(broker), Some(client)) =
        (testkit::peer(TEST, "mosquitto"), testkit::peer(TEST, "mosquitto_pub"))
    else {
        return;
    };
    // A port that is free now; the broker takes it at once.
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let mut broker = Command::new(broker)
        .args(["-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map(Running)
        .expect("the broker starts");
    // It says when it listens. Its log is kept open, for it writes on.
    let mut log = BufReader::new(broker.0.stderr.take().expect("the log is piped")).lines();
    let listens = log.any(|line| line.is_ok_and(|line| line.contains("running")));
    assert!(listens, "the broker has stopped");
    let between = TcpListener::bind("127.0.0.1:0").expect("a port");
    let relay_port = between.local_addr().expect("an address").port();
    let heard = Arc::new(Mutex::new(Vec::<(Side, Vec<u8>)>::new()));
    let relay = std::thread::spawn({
        let heard = Arc::clone(&heard);
        move || {
            let (near, _) = between.accept().expect("the client connects");
            let far = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
            let one_way = |mut from: TcpStream, mut to: TcpStream, side: Side| {
                let heard = Arc::clone(&heard);
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        heard.lock().expect("no panic").push((side, buffer[..count].to_vec()));
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Both);
                })
            };
            let up = one_way(near.try_clone().expect("a handle"), far.try_clone().expect("a handle"), Client);
            let down = one_way(far, near, Server);
            up.join().expect("no panic");
            down.join().expect("no panic");
        }
    });
    let published = Command::new(client)
        .args(["-V", "5", "-p", &relay_port.to_string(), "-i", "press-7", "-u", "joe", "-P", "hunter2"])
        .args(["-q", "2", "-t", "hall/press", "-m", "{\"bar\":6}", "--will-topic", "hall/lost"])
        .args(["-D", "connect", "user-property", "line", "4", "-D", "publish", "content-type", "text/json"])
        .status()
        .expect("the client runs");
    relay.join().expect("the relay ends");
    drop(broker);
    assert!(published.success());
    let heard = heard.lock().expect("no panic");
    let packets: Vec<(Side, &[u8])> = heard.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let text = converse(&PROTOCOL, &packets);
    assert!(!text.contains("hunter2") && !text.contains("joe"), "{text}");
    for told in [
        r#""protocol-version":5,"client-id":"press-7""#,
        r#""user-name":true,"password":true,"will-topic":"hall/lost""#,
        r#""user-properties":["line"]"#,
        r#"{"topic":"hall/press","qos":2,"retain":false,"dup":false,"packet-id":1,"payload-length":9,"json":true,"properties":{"content-type":"text/json"}}"#,
        "operation client Publish publish hall/press - Done",
        "server pubcomp {\"packet-id\":1}",
        "client disconnect {",
    ] {
        assert!(text.contains(told), "{told} is missing in:\n{text}");
    }
}

#[test]
fn values_are_told_by_who_publishes_and_not_again_by_the_broker() {
    let publish = |topic: &str, payload: &str| {
        let mut packet = vec![0x30, (2 + topic.len() + payload.len()) as u8, 0, topic.len() as u8];
        packet.extend(topic.bytes().chain(payload.bytes()));
        packet
    };
    let text = converse(
        &PROTOCOL,
        &[
            (Client, &publish("hall/climate", r#"{"t":21.5,"on":true}"#)),
            (Client, &publish("hall/door", "open")),
            (Server, &publish("yard/climate", "3")),
        ],
    );
    let samples: Vec<&str> = text.lines().filter(|line| line.starts_with("sample")).collect();
    assert_eq!(
        samples,
        [
            "sample client hall/climate on = 1",
            "sample client hall/climate t = 21.5",
            "sample client hall/door = 1"
        ]
    );
}
