//! Publishing by MQTT (OASIS MQTT version 3.1.1): one message by one connection, with an acknowledgement (quality of service 1).

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use model::{Severity, Timestamp};
use rustls::ClientConfig;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::Letter;
use crate::deliver::Carrier;
use crate::notice::Json;
use crate::secret::{Secret, login};
use crate::tls::{Place, Trust, Way, shown};

/// The most bytes of a topic.
pub(super) const TOPIC_MAX: usize = 1_024;
/// The most bytes of what a packet has after its first two fields (clause 2.2.3).
const REMAINING_MAX: usize = 268_435_455;
/// The number of the only message that waits for its acknowledgement.
const ID: [u8; 2] = [0, 1];
/// The ports of MQTT and of MQTT over TLS (clause 4.2).
const PORT: u16 = 1_883;
const TLS_PORT: u16 = 8_883;

/// Where to publish, as the file says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    /// `mqtt://HOST[:PORT]/TOPIC` or `mqtts://HOST[:PORT]/TOPIC`.
    url: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    /// A certificate (PEM) to log in with, and its key.
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    pub(super) json: Option<Json>,
    pub(super) severity: Option<Severity>,
}

impl From<String> for Options {
    fn from(url: String) -> Self {
        Self { url, ..Self::default() }
    }
}

impl Options {
    pub(super) fn open(&self, of: &str) -> Result<Broker, String> {
        let (is_tls, place, topic) = place(&self.url).ok_or_else(|| {
            format!(
                "{of}.url = {:?}: expected mqtts://HOST[:PORT]/TOPIC, or mqtt://, with a topic of at most {TOPIC_MAX} bytes \
                 and without + and #; who logs in is said by user and password-file",
                shown(&self.url)
            )
        })?;
        let tls = if is_tls {
            let trust =
                Trust::load(of, self.ca.as_deref(), self.certificate.as_deref(), self.key.as_deref())?;
            Some(trust.config()?)
        } else if self.ca.is_some() || self.certificate.is_some() || self.key.is_some() {
            return Err(format!(
                "{of}: ca, certificate and key are for mqtts:// only: use it in url, or leave them out"
            ));
        } else {
            None
        };
        if self.password_file.is_some() && !is_tls && !place.is_loopback() {
            return Err(format!(
                "{of}.password-file: by mqtt:// everybody on the way could read the password: use mqtts://"
            ));
        }
        let login = login(of, self.user.as_deref(), self.password_file.as_deref())?;
        Ok(Broker { url: self.url.clone(), place, topic, tls, login })
    }
}

/// Whether it is TLS, host and port, and topic, of a place that is named `mqtt://HOST[:PORT]/TOPIC`.
fn place(url: &str) -> Option<(bool, Place, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (is_tls, port) = match scheme {
        "mqtt" => (false, PORT),
        "mqtts" => (true, TLS_PORT),
        _ => return None,
    };
    let (host, topic) = rest.split_once('/')?;
    // Clause 4.7.1: wildcards are for those who listen.
    let is_topic = (1..=TOPIC_MAX).contains(&topic.len())
        && !topic.chars().any(|c| matches!(c, '+' | '#') || c.is_control());
    is_topic.then(|| Place::read(host, Some(port))).flatten().map(|place| (is_tls, place, topic.to_owned()))
}

/// Somebody who hands on what is published.
pub(super) struct Broker {
    url: String,
    place: Place,
    topic: String,
    tls: Option<Arc<ClientConfig>>,
    login: Option<(String, Secret)>,
}

impl Broker {
    /// Publishes a message and waits until the broker has it.
    fn publish(&self, message: &str) -> io::Result<()> {
        let mut way = Way::open(&self.place, self.tls.as_ref())?;
        let login = self.login.as_ref().map(|(user, password)| (user.as_str(), password.expose()));
        way.write_all(&opening(&format!("pavise-{}", std::process::id()), login)?)?;
        // CONNACK (clause 3.2): whether there was a session before, and why not.
        match answer(&mut way)? {
            [0x20, 2, _, 0] => {}
            // Clause 3.2.2.3, table 3.1.
            [0x20, 2, _, 4 | 5] => {
                return Err(io::Error::other(
                    "the broker refuses the login: look at user and password-file, or at certificate",
                ));
            }
            [0x20, 2, _, code] => {
                return Err(io::Error::other(format!("the broker refuses the connection with code {code}")));
            }
            other => return Err(unexpected(other)),
        }
        way.write_all(&publication(&self.topic, message)?)?;
        // PUBACK (clause 3.4).
        match answer(&mut way)? {
            [0x40, 2, high, low] if [high, low] == ID => {}
            other => return Err(unexpected(other)),
        }
        // DISCONNECT (clause 3.14). It has been told, whether or not this arrives.
        let _ = way.write_all(&[0xe0, 0]).and_then(|()| way.flush());
        Ok(())
    }
}

impl Broker {
    /// Who is told, without secrets.
    pub(super) fn name(&self) -> String {
        self.url.clone()
    }
}

impl Carrier for Broker {
    fn send(&mut self, letters: &[Letter], _: u64, _: Timestamp) -> Result<(), String> {
        letters.iter().try_for_each(|letter| self.publish(&letter.body)).map_err(|error| error.to_string())
    }
}

fn unexpected(answer: [u8; 4]) -> io::Error {
    io::Error::other(format!("it answered {answer:02x?}, which is not MQTT as it should be"))
}

/// Both answers have four bytes.
fn answer(way: &mut (impl Read + Write)) -> io::Result<[u8; 4]> {
    way.flush()?;
    let mut bytes = [0; 4];
    way.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// CONNECT (clause 3.1) of a client with an identifier and, if there is one, a login, with a clean session.
fn opening(client: &str, login: Option<(&str, &str)>) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(Vec::new());
    text(&mut body, "MQTT")?;
    // Clause 3.1.2.3: user name, password, clean session.
    body.extend([4, if login.is_some() { 0xc2 } else { 0x02 }, 0, 60]);
    text(&mut body, client)?;
    if let Some((user, password)) = login {
        text(&mut body, user)?;
        text(&mut body, password)?;
    }
    packet(0x10, &body).map(Zeroizing::new)
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
    use super::*;

    #[test]
    fn places_are_read() {
        let of =
            |url: &str| place(url).map(|(tls, at, topic)| format!("{tls} {} {} {topic}", at.host, at.port));
        assert_eq!(of("mqtt://broker/site/pavise").as_deref(), Some("false broker 1883 site/pavise"));
        assert_eq!(of("mqtts://broker/x").as_deref(), Some("true broker 8883 x"));
        assert_eq!(of("mqtt://10.0.0.1:1884/x").as_deref(), Some("false 10.0.0.1 1884 x"));
        assert_eq!(of("mqtts://[fd00::1]:8884/x").as_deref(), Some("true fd00::1 8884 x"));
        for bad in [
            "mqttss://a/x",
            "mqtt:///x",
            "mqtt://a",
            "mqtt://a/",
            "mqtt://user@a/x",
            "mqtt://user:word@a/x",
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
        let plain = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'p'];
        assert_eq!(**opening("p", None).unwrap(), plain);
        // Clause 3.1.3: the user name and the password come last, each with a flag (clause 3.1.2.3).
        let login =
            [0x10, 19, 0, 4, b'M', b'Q', b'T', b'T', 4, 0xc2, 0, 60, 0, 1, b'p', 0, 1, b'u', 0, 1, b'w'];
        assert_eq!(**opening("p", Some(("u", "w"))).unwrap(), login);
        assert_eq!(publication("a/b", "!").unwrap(), [0x32, 8, 0, 3, b'a', b'/', b'b', 0, 1, b'!']);
    }
}
