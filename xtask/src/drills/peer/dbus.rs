//! A message bus over TCP (D-Bus Specification 0.43) as the telematics unit of C. Miller and C. Valasek, "Remote Exploitation of
//! an Unaltered Passenger Vehicle" (2015), left it open: who comes is let in, and has it run commands.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use super::{Stop, serve, tell};
use crate::run::Done;

/// A message is not longer, in bytes.
const MESSAGE_MAX: usize = 1 << 20;
/// The bytes of a header before its fields.
const FIXED: usize = 16;

/// The unit.
pub(super) fn telematics(at: SocketAddr, stop: &Stop) -> Done {
    serve(at, stop, |mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        welcome(&mut reader, &mut stream)?;
        while let Some(call) = call(&mut reader)? {
            let answer = match call.texts.as_slice() {
                [method, command] if method == "execute" => {
                    tell(format_args!("runs {command} for {}", stream.peer_addr()?));
                    let output = Command::new("sh").args(["-c", command]).output()?;
                    String::from_utf8_lossy(&output.stdout).into_owned()
                }
                _ => ":1.77".to_owned(),
            };
            stream.write_all(&reply(call.serial, &answer))?;
        }
        Ok(())
    })
}

/// The text with which a connection begins ("Authentication Protocol"): nobody has to prove anything.
fn welcome(reader: &mut impl BufRead, stream: &mut TcpStream) -> io::Result<()> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let words: Vec<_> = line.trim_matches(['\0', '\r', '\n']).split(' ').collect();
        let answer = match words.as_slice() {
            ["BEGIN"] => return Ok(()),
            ["AUTH", "ANONYMOUS", ..] => "OK 0123456789abcdef0123456789abcdef",
            ["AUTH", ..] => "REJECTED ANONYMOUS",
            _ => "ERROR",
        };
        write!(stream, "{answer}\r\n")?;
    }
}

/// A method call, as far as it matters: its serial number and the texts in its body.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    serial: u32,
    texts: Vec<String>,
}

/// Reads the next message, little-endian ("Message Format").
fn call(reader: &mut impl Read) -> io::Result<Option<Call>> {
    let mut head = [0; FIXED];
    if reader.read_exact(&mut head).is_err() {
        return Ok(None);
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (body, serial, fields) = (word(4) as usize, word(8), word(12) as usize);
    if head[0] != b'l' || body > MESSAGE_MAX || fields > MESSAGE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; fields.next_multiple_of(8) + body];
    reader.read_exact(&mut rest)?;
    let mut texts = Vec::new();
    let mut left = rest.get(fields.next_multiple_of(8)..).unwrap_or_default();
    while let Some((length, after)) = left.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(text) = after.get(..length) else { break };
        texts.push(String::from_utf8_lossy(text).into_owned());
        // Each text ends with a zero, and the next begins at a multiple of four.
        left = left.get((4 + length + 1).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Some(Call { serial, texts }))
}

/// A method's return with one text.
fn reply(serial: u32, text: &str) -> Vec<u8> {
    // Fields: reply to (5, of type u), signature (8, of type g).
    let mut fields = vec![5, 1, b'u', 0];
    fields.extend(serial.to_le_bytes());
    fields.extend([8, 1, b'g', 0, 1, b's', 0]);
    let mut bytes = vec![b'l', 2, 1, 1];
    bytes.extend((text.len() as u32 + 5).to_le_bytes());
    bytes.extend(serial.wrapping_add(1).to_le_bytes());
    bytes.extend((fields.len() as u32).to_le_bytes());
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.bytes());
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_body_are_read() {
        let message = reply(7, "execute");
        let read = call(&mut message.as_slice()).unwrap();
        assert_eq!(read, Some(Call { serial: 8, texts: vec!["execute".into()] }));
        assert_eq!(call(&mut &message[..9]).unwrap(), None);
    }
}
