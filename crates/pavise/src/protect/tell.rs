//! Telling people and machines elsewhere, beside the work: nobody who is slow to listen delays a response.

mod mqtt;

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use enforce::notify::{Reporter, Told, syslog};
use model::{Event, Incident};
use serde::Deserialize;

use crate::output::say;

/// So many messages wait to be sent; more are dropped, and how many is said.
pub(crate) const MAX_WAITING: usize = 1_024;
/// Whoever does not take a message within this is passed over.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tell {
    /// `udp://HOST:PORT` (RFC 5426) or `tcp://HOST:PORT` (RFC 6587, section 3.4.1).
    syslog: Option<String>,
    /// A file to which a line of JSON is added.
    file: Option<PathBuf>,
    /// `http://HOST[:PORT]/PATH`, to which JSON is posted.
    webhook: Option<String>,
    /// `mqtt://HOST[:PORT]/TOPIC`, to which JSON is published.
    mqtt: Option<String>,
}

impl Tell {
    /// Whether everything that is named can be used.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(to) = &self.syslog
            && !to
                .strip_prefix("udp://")
                .or_else(|| to.strip_prefix("tcp://"))
                .is_some_and(|at| at.contains(':'))
        {
            return Err(format!("syslog = {to:?}: expected udp://HOST:PORT or tcp://HOST:PORT"));
        }
        if let Some(to) = &self.webhook
            && place(to).is_none()
        {
            return Err(format!(
                "webhook = {to:?}: expected http://HOST[:PORT]/PATH; put a proxy before one that takes https"
            ));
        }
        if let Some(to) = &self.mqtt
            && mqtt::place(to).is_none()
        {
            return Err(format!(
                "mqtt = {to:?}: expected mqtt://HOST[:PORT]/TOPIC, of at most {} bytes and without + and #; a broker that \
                 asks for a login or for TLS is reached through one of your own that bridges to it",
                mqtt::TOPIC_MAX
            ));
        }
        Ok(())
    }
}

/// Host and port, and path, of a URL of plain HTTP (RFC 9110, section 4.2.1).
fn place(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !is_plain(rest) {
        return None;
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some((if has_port { host.into() } else { format!("{host}:80") }, format!("/{path}")))
}

/// What is told.
pub(crate) struct Message {
    pub(crate) event: Event,
    /// The incident, with what was done as its text.
    pub(crate) incident: Option<Incident>,
}

/// A thread that tells.
pub(crate) struct Teller {
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    dropped: u64,
}

impl Teller {
    pub(crate) fn start(tell: Tell) -> Self {
        if tell == Tell::default() {
            return Self { sender: None, thread: None, dropped: 0 };
        }
        let (sender, messages) = sync_channel(MAX_WAITING);
        let thread = std::thread::spawn(move || run(&tell, &messages));
        Self { sender: Some(sender), thread: Some(thread), dropped: 0 }
    }

    pub(crate) fn tell(&mut self, message: Message) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(_)) = sender.try_send(message) {
            self.dropped += 1;
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It ends when it has tried to tell what waits.
            let _ = thread.join();
        }
        if self.dropped > 0 {
            say(format_args!(
                "pavise: {} messages were not sent: those who are told are too slow.",
                self.dropped
            ));
        }
    }
}

fn run(tell: &Tell, messages: &Receiver<Message>) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let reporter = Reporter { host: host.trim(), version: env!("CARGO_PKG_VERSION") };
    // Whoever fails is named once, and again after he has listened.
    let mut failing = [false; 4];
    for Message { event, incident } in messages {
        let json = serde_json::to_string(&event).unwrap_or_default();
        let results = [
            tell.syslog.as_ref().zip(incident.as_ref()).map(|(to, incident)| {
                (to.clone(), send_syslog(to, &syslog(Told::Incident(incident), reporter)))
            }),
            tell.file.as_ref().map(|path| {
                let add = || writeln!(OpenOptions::new().create(true).append(true).open(path)?, "{json}");
                (path.display().to_string(), add())
            }),
            tell.webhook.as_ref().map(|url| (url.clone(), post(url, &json))),
            tell.mqtt.as_ref().map(|to| (to.clone(), mqtt::publish(to, &json))),
        ];
        for (result, failing) in results.into_iter().zip(&mut failing) {
            match result {
                Some((to, Err(error))) if !*failing => {
                    say(format_args!("pavise: {to} could not be told: {error}; look whether it listens"));
                    *failing = true;
                }
                Some((_, Ok(()))) => *failing = false,
                _ => {}
            }
        }
    }
}

fn send_syslog(to: &str, text: &str) -> io::Result<()> {
    if let Some(at) = to.strip_prefix("udp://") {
        let at = resolve(at)?;
        let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        return UdpSocket::bind(any)?.send_to(text.as_bytes(), at).map(drop);
    }
    let mut stream = connect(to.strip_prefix("tcp://").unwrap_or(to))?;
    // Octet counting (RFC 6587, section 3.4.1).
    write!(stream, "{} {text}", text.len())
}

fn resolve(at: &str) -> io::Result<std::net::SocketAddr> {
    at.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the name has no address"))
}

fn connect(at: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&resolve(at)?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Posts JSON (RFC 9110, section 9.3.3) and looks whether it was taken.
fn post(url: &str, json: &str) -> io::Result<()> {
    let (at, path) = place(url).ok_or_else(|| io::Error::other("not a URL of http"))?;
    let mut stream = connect(&at)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n{json}",
        json.len()
    )?;
    let mut line = String::new();
    BufReader::new(io::Read::take(stream, 1_024)).read_line(&mut line)?;
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("it answered {:?}", line.trim_end()))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn places_of_webhooks_are_read() {
        let of = |url: &str| place(url).map(|(at, path)| format!("{at} {path}"));
        assert_eq!(of("http://a.example/x/y?z").as_deref(), Some("a.example:80 /x/y?z"));
        assert_eq!(of("http://10.0.0.1:8080").as_deref(), Some("10.0.0.1:8080 /"));
        assert_eq!(of("http://[::1]/").as_deref(), Some("[::1]:80 /"));
        for bad in ["https://a/", "http:///x", "a", "http://user@a/", "http://a/b c", "http://a/\r\nX: 1"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_posted_is_a_whole_request_and_a_refusal_is_told() {
        for (answer, taken) in [("HTTP/1.1 204 No Content\r\n\r\n", true), ("HTTP/1.1 500 No\r\n\r\n", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/hook", listener.local_addr().unwrap());
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut seen = Vec::new();
                let mut byte = [0];
                while !seen.ends_with(b"{\"a\":1}") && stream.read(&mut byte).unwrap() == 1 {
                    seen.push(byte[0]);
                }
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(seen).unwrap()
            });
            assert_eq!(post(&url, "{\"a\":1}").is_ok(), taken);
            let seen = server.join().unwrap();
            assert!(
                seen.starts_with("POST /hook HTTP/1.1\r\n") && seen.contains("Content-Length: 7\r\n"),
                "{seen}"
            );
        }
    }

    #[test]
    fn syslog_over_tcp_counts_its_octets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("tcp://{}", listener.local_addr().unwrap());
        send_syslog(&to, "<35>1 \u{feff}x").unwrap();
        let mut seen = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut seen).unwrap();
        assert_eq!(seen, "10 <35>1 \u{feff}x".as_bytes());
    }
}
