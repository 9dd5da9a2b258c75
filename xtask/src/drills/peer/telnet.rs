//! Telnet (RFC 854): a server's door, and a client that logs in.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use super::{Stop, connect, serve};
use crate::run::{Done, Failure};

/// Interpret as command, and the commands that are answered.
const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
/// More than this is said before no prompt, in bytes.
const SAID_MAX: usize = 64 << 10;

/// Starts a program for each connection.
pub(super) fn inetd(at: SocketAddr, command: &[String], stop: &Stop) -> Done {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure("name the program".into()));
    };
    let (program, arguments) = (program.clone(), arguments.to_vec());
    serve(at, stop, move |stream| {
        let input: OwnedFd = stream.try_clone()?.into();
        let output: OwnedFd = stream.into();
        let mut command = Command::new(&program);
        command.args(&arguments).stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::null());
        let mut child = command.spawn()?;
        // What the connection is held open by here must go before the program ends.
        drop(command);
        child.wait().map(drop)
    })
}

/// A client's end of a connection.
pub(super) struct Telnet {
    stream: TcpStream,
}

impl Telnet {
    /// Connects and logs in; whether it was let in.
    pub(super) fn login(at: SocketAddr, user: &str, password: &str) -> io::Result<Option<Self>> {
        let mut telnet = Self { stream: connect(at)? };
        telnet.until(&["login: "])?;
        telnet.line(user)?;
        telnet.until(&["Password: "])?;
        telnet.line(password)?;
        let last = telnet.until(&["$ ", "# ", "incorrect"])?;
        Ok((!last.ends_with("incorrect")).then_some(telnet))
    }

    /// Has a command run; what it says up to the next prompt.
    pub(super) fn run(&mut self, command: &str) -> io::Result<String> {
        self.line(command)?;
        self.until(&["$ ", "# "])
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes())
    }

    /// Reads until what was said ends with one of these; options are refused.
    fn until(&mut self, ends: &[&str]) -> io::Result<String> {
        let mut said = Vec::new();
        while said.len() < SAID_MAX {
            match self.byte()? {
                IAC => match self.byte()? {
                    IAC => said.push(IAC),
                    ask @ (DO | WILL) => {
                        let option = self.byte()?;
                        let answer = if ask == DO { WONT } else { DONT };
                        self.stream.write_all(&[IAC, answer, option])?;
                    }
                    DONT | WONT => drop(self.byte()?),
                    SB => while !(self.byte()? == IAC && self.byte()? == SE) {},
                    _ => {}
                },
                byte => said.push(byte),
            }
            if ends.iter().any(|end| said.ends_with(end.as_bytes())) {
                return Ok(String::from_utf8_lossy(&said).into_owned());
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}
