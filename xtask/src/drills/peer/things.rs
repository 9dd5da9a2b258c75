//! What devices and people say all day, and places that take what comes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::steady::Steady;
use super::{Stop, connect, ready, serve, tell};
use crate::run::{Done, Failure};

/// How often a camera has a picture.
const PICTURE: Duration = Duration::from_millis(50);
/// Bytes of a picture.
const PICTURE_BYTES: usize = 4_000;
/// Datagrams after which a flood is one.
const FLOOD: u64 = 2_000;

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// The picture of a number: its bytes tell which it is.
fn picture(number: u32) -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xe0".to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.resize(PICTURE_BYTES, number as u8);
    bytes
}

/// Answers `/video` with a picture after another (as cameras do, multipart/x-mixed-replace), all else shortly.
pub(super) fn web(at: SocketAddr, stop: &Stop) -> Done {
    serve(at, stop, |stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(path) = request(&mut reader)? {
            if path == "/video" {
                return pictures(stream);
            }
            let body = format!("{{\"value\":\"{path}\"}}");
            write!(
                &stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
        Ok(())
    })
}

/// The path of the next request, or nothing at the end.
fn request(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
    }
    Ok(first.split(' ').nth(1).map(str::to_owned))
}

fn pictures(mut stream: TcpStream) -> io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n")?;
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    for number in 0.. {
        let bytes = picture(number);
        let head = format!("--next\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", bytes.len());
        stream.write_all(&[head.as_bytes(), &bytes, b"\r\n"].concat())?;
        let _ = never.recv_timeout(PICTURE);
    }
    Ok(())
}

/// The length of what follows, and what stands before it is read.
fn head(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(odd("the connection was closed"));
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().ok();
        }
        if line.trim().is_empty() && length.is_some() {
            return length.ok_or_else(|| odd("no length"));
        }
    }
}

/// Somebody who watches a camera.
pub(super) struct Watch {
    reader: BufReader<TcpStream>,
    next: u32,
}

impl Watch {
    pub(super) fn open(at: SocketAddr) -> Result<Self, Failure> {
        let mut stream = connect(at)?;
        write!(stream, "GET /video HTTP/1.1\r\nHost: {}\r\nUser-Agent: recorder\r\n\r\n", at.ip())?;
        Ok(Self { reader: BufReader::new(stream), next: 0 })
    }
}

impl Steady for Watch {
    fn exchange(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; head(&mut self.reader)?];
        self.reader.read_exact(&mut bytes)?;
        if bytes != picture(self.next) {
            return Err(odd("another picture than the next one came"));
        }
        self.next += 1;
        Ok(())
    }
}

/// Somebody who asks for something short.
pub(super) struct Fetch {
    reader: BufReader<TcpStream>,
    host: SocketAddr,
    next: u32,
}

impl Fetch {
    pub(super) fn open(at: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { reader: BufReader::new(connect(at)?), host: at, next: 0 })
    }
}

impl Steady for Fetch {
    fn exchange(&mut self) -> io::Result<()> {
        let path = format!("/status/{}", self.next);
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: panel\r\n\r\n", self.host.ip());
        self.reader.get_mut().write_all(ask.as_bytes())?;
        let mut body = vec![0; head(&mut self.reader)?];
        self.reader.read_exact(&mut body)?;
        self.next += 1;
        if String::from_utf8_lossy(&body).contains(&path) { Ok(()) } else { Err(odd("another answer came")) }
    }
}

/// A device that publishes what it measures (MQTT 3.1.1, OASIS), and waits for each to be acknowledged.
pub(super) struct Publish {
    stream: TcpStream,
    topic: String,
    next: u16,
}

impl Publish {
    pub(super) fn open(at: SocketAddr, name: &str) -> Result<Self, Failure> {
        let mut stream = connect(at)?;
        // Clean session, kept alive for a minute.
        let mut connect = b"\0\x04MQTT\x04\x02\0\x3c".to_vec();
        connect.extend([0, name.len() as u8]);
        connect.extend(name.bytes());
        stream.write_all(&[&[0x10, connect.len() as u8], &connect[..]].concat())?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer != [0x20, 2, 0, 0] {
            return Err(Failure(format!("the broker at {at} refuses: {answer:?}")));
        }
        Ok(Self { stream, topic: format!("devices/{name}/state"), next: 0 })
    }
}

impl Steady for Publish {
    fn exchange(&mut self) -> io::Result<()> {
        self.next = self.next.checked_add(1).unwrap_or(1);
        let mut body = vec![0, self.topic.len() as u8];
        body.extend(self.topic.bytes());
        body.extend(self.next.to_be_bytes());
        body.extend(format!("{{\"level\":{}}}", self.next % 10).bytes());
        self.stream.write_all(&[&[0x32, body.len() as u8], &body[..]].concat())?;
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer)?;
        let [high, low] = self.next.to_be_bytes();
        if answer == [0x40, 2, high, low] { Ok(()) } else { Err(odd("another message was acknowledged")) }
    }
}

/// Counts datagrams, and says when they are a flood.
pub(super) fn sink(at: SocketAddr, stop: &Stop) -> Done {
    let socket = UdpSocket::bind(at)?;
    ready();
    std::thread::spawn(move || {
        let mut bytes = [0; 2_048];
        for count in 1.. {
            if socket.recv(&mut bytes).is_err() {
                return;
            }
            if count == FLOOD {
                tell("flooded");
            }
        }
    });
    stop.wait();
    Ok(())
}

/// How long a scan waits for an answer.
const KNOCK: Duration = Duration::from_millis(300);
/// How many hosts a scan asks at a time.
const AT_ONCE: usize = 16;

/// Tries to connect, some at a time, and says where it could.
pub(super) fn scan(at: &[SocketAddr]) -> Done {
    tell("first");
    for some in at.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            for at in some {
                scope.spawn(move || {
                    if TcpStream::connect_timeout(at, KNOCK).is_ok() {
                        tell(format_args!("open {at}"));
                    }
                });
            }
        });
    }
    tell("scanned");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that says this, and then nothing more.
    fn says(bytes: Vec<u8>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // What is left unread would have the connection reset, and what was said lost.
            let _ = io::copy(&mut stream, &mut io::sink());
        });
        at
    }

    fn part(number: u32) -> Vec<u8> {
        let body = picture(number);
        [format!("--next\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat()
    }

    #[test]
    fn a_picture_that_is_missing_or_cut_off_breaks_the_conversation() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let whole = [head.clone(), part(0), part(1)].concat();
        let mut watch = Watch::open(says(whole.clone())).unwrap();
        assert!(watch.exchange().is_ok() && watch.exchange().is_ok());
        assert!(watch.exchange().is_err(), "the camera has gone");
        let mut watch = Watch::open(says([head, part(0), part(2)].concat())).unwrap();
        assert!(watch.exchange().is_ok() && watch.exchange().is_err());
        let mut watch = Watch::open(says(whole[..whole.len() - 9].to_vec())).unwrap();
        assert!(watch.exchange().is_ok() && watch.exchange().is_err());
    }

    #[test]
    fn an_answer_to_something_else_breaks_the_conversation() {
        let answer = |path: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
        let mut fetch = Fetch::open(says(answer("/status/0").repeat(2).into_bytes())).unwrap();
        assert!(fetch.exchange().is_ok());
        assert!(fetch.exchange().is_err(), "the same again is no answer");
    }
}
