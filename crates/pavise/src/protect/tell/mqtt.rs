//! Publishing by MQTT (OASIS MQTT version 3.1.1): one message by one connection, with an acknowledgement (quality of service 1).

use std::io::{self, Read, Write};

use super::connect;

/// The most bytes of a topic.
pub(super) const TOPIC_MAX: usize = 1_024;
/// The most bytes of what a packet has after its first two fields (clause 2.2.3).
const REMAINING_MAX: usize = 268_435_455;
/// The number of the only message that waits for its acknowledgement.
const ID: [u8; 2] = [0, 1];

/// Host and port, and topic, of a place that is named `mqtt://HOST[:PORT]/TOPIC`.
pub(super) fn place(url: &str) -> Option<(String, String)> {
    let (host, topic) = url.strip_prefix("mqtt://")?.split_once('/')?;
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    // Clause 4.7.1: wildcards are for those who listen.
    let is_topic = (1..=TOPIC_MAX).contains(&topic.len())
        && !topic.chars().any(|c| matches!(c, '+' | '#') || c.is_control());
    if !is_host || !is_topic {
        return None;
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some((if has_port { host.into() } else { format!("{host}:1883") }, topic.into()))
}

/// Publishes a message and waits until the broker has it.
pub(super) fn publish(url: &str, message: &str) -> io::Result<()> {
    let (at, topic) = place(url).ok_or_else(|| io::Error::other("not a place of mqtt"))?;
    let mut stream = connect(&at)?;
    stream.write_all(&opening(&format!("pavise-{}", std::process::id()))?)?;
    // CONNACK (clause 3.2): whether there was a session before, and why not.
    match answer(&mut stream)? {
        [0x20, 2, _, 0] => {}
        [0x20, 2, _, code] => {
            return Err(io::Error::other(format!("the broker refuses the connection with code {code}")));
        }
        other => return Err(unexpected(other)),
    }
    stream.write_all(&publication(&topic, message)?)?;
    // PUBACK (clause 3.4).
    match answer(&mut stream)? {
        [0x40, 2, high, low] if [high, low] == ID => {}
        other => return Err(unexpected(other)),
    }
    // DISCONNECT (clause 3.14). It has been told, whether or not this arrives.
    let _ = stream.write_all(&[0xe0, 0]);
    Ok(())
}

fn unexpected(answer: [u8; 4]) -> io::Error {
    io::Error::other(format!("it answered {answer:02x?}, which is not MQTT as it should be"))
}

/// Both answers have four bytes.
fn answer(stream: &mut impl Read) -> io::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// CONNECT (clause 3.1) of a client with nothing but an identifier, with a clean session.
fn opening(client: &str) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    text(&mut body, "MQTT")?;
    body.extend([4, 0x02, 0, 60]);
    text(&mut body, client)?;
    packet(0x10, &body)
}

/// PUBLISH (clause 3.3) with quality of service 1.
fn publication(topic: &str, message: &str) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    text(&mut body, topic)?;
    body.extend(ID);
    body.extend(message.as_bytes());
    packet(0x32, &body)
}

/// Text with its length before it (clause 1.5.3).
fn text(to: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let length = u16::try_from(text.len()).map_err(|_| io::Error::other("the text is too long for MQTT"))?;
    to.extend(length.to_be_bytes());
    to.extend(text.as_bytes());
    Ok(())
}

/// A packet of a type and flags, with the length of what follows in groups of seven bits (clause 2.2.3).
fn packet(first: u8, body: &[u8]) -> io::Result<Vec<u8>> {
    if body.len() > REMAINING_MAX {
        return Err(io::Error::other("the message is too long for MQTT"));
    }
    let mut out = vec![first];
    let mut left = body.len();
    loop {
        let group = (left % 128) as u8;
        left /= 128;
        out.push(if left > 0 { group | 0x80 } else { group });
        if left == 0 {
            break;
        }
    }
    out.extend(body);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn places_are_read() {
        let of = |url: &str| place(url).map(|(at, topic)| format!("{at} {topic}"));
        assert_eq!(of("mqtt://broker/site/pavise").as_deref(), Some("broker:1883 site/pavise"));
        assert_eq!(of("mqtt://10.0.0.1:1884/x").as_deref(), Some("10.0.0.1:1884 x"));
        for bad in [
            "mqtts://a/x",
            "mqtt:///x",
            "mqtt://a",
            "mqtt://a/",
            "mqtt://user@a/x",
            "mqtt://a/x/#",
            "mqtt://a/+/x",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn lengths_are_those_of_the_standard() {
        // Table 2.4: the least and the most of each number of bytes.
        for (length, expected) in [
            (0, &[0_u8][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        ] {
            let packet = packet(0x30, &vec![7; length]).unwrap();
            assert_eq!((packet[0], &packet[1..packet.len() - length]), (0x30, expected), "{length}");
        }
        assert_eq!(opening("p").unwrap(), [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'p']);
        assert_eq!(publication("a/b", "!").unwrap(), [0x32, 8, 0, 3, b'a', b'/', b'b', 0, 1, b'!']);
    }

    #[test]
    fn a_broker_that_refuses_is_an_error_that_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("mqtt://{}/x", listener.local_addr().unwrap());
        let broker = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&[0x20, 2, 0, 5]).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert!(publish(&url, "{}").unwrap_err().to_string().contains("code 5"));
        broker.join().unwrap();
    }

    #[test]
    fn mosquitto_hands_on_what_is_published() {
        let name = "mosquitto_hands_on_what_is_published";
        let (Some(mosquitto), Some(listen)) =
            (testkit::peer(name, "mosquitto"), testkit::peer(name, "mosquitto_sub"))
        else {
            return;
        };
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut broker = Command::new(mosquitto)
            .args(["-p", &free.to_string(), "-v"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(broker.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.contains("running")), "mosquitto does not run");
        let mut listener = Command::new(listen)
            .args(["-p", &free.to_string(), "-t", "site/#", "-C", "1", "-v", "-q", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(said.any(|line| line.contains("Sending SUBACK")), "nobody listens");
        // It goes on saying things, which somebody must take.
        let rest = std::thread::spawn(move || said.count());
        let message = format!("{{\"text\":\"{}\"}}", "x".repeat(20_000));
        publish(&format!("mqtt://127.0.0.1:{free}/site/pavise"), &message).unwrap();
        let mut line = String::new();
        BufReader::new(listener.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), format!("site/pavise {message}"));
        listener.wait().unwrap();
        broker.kill().unwrap();
        broker.wait().unwrap();
        rest.join().unwrap();
    }
}
