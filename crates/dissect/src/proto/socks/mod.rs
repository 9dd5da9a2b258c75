//! SOCKS versions 4, 4a and 5: a client asks a proxy for a connection, and what follows is another
//! protocol. Names and passwords are passed over.
//!
//! Messages: `request`, `reply`. The flow is lost by `version`, `request`, `reply` and `authentication`,
//! when a side says something else than SOCKS.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use model::Side;
use serde::Serialize;

use crate::proto::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// SOCKS.
pub const PROTOCOL: Protocol = Protocol {
    id: "socks",
    name: "SOCKS proxy",
    spec: "RFC 1928, RFC 1929, SOCKS 4A",
    carriers: &[Carrier::Tcp(&[1080, 1081, 9050, 9150, 10808])],
    probe,
    start: || Box::new(Socks::default()),
};

/// User names and host names of SOCKS 4 end with a zero byte, within so many bytes.
const MAX_TEXT: usize = 255;

/// Where a conversation stands: which side speaks next, and what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Greeting,
    /// Version 4: the request was made.
    Reply4,
    /// Version 5: methods were offered.
    Method,
    /// Name and password are on their way (RFC 1929).
    Password,
    PasswordReply,
    Request,
    /// Version 5: the request was made.
    Reply5,
}

impl State {
    const fn speaker(self) -> Side {
        match self {
            Self::Greeting | Self::Password | Self::Request => Side::Client,
            Self::Reply4 | Self::Method | Self::PasswordReply | Self::Reply5 => Side::Server,
        }
    }
}

#[derive(Default)]
struct Socks {
    state: State,
    /// What the client asked for.
    command: u8,
}

#[derive(Serialize)]
struct Request<'a> {
    version: u8,
    command: &'static str,
    host: Cow<'a, str>,
    port: u16,
}

#[derive(Serialize)]
struct Reply {
    version: u8,
    granted: bool,
    code: u8,
}

const CONNECT: u8 = 1;
const BIND: u8 = 2;

const fn command_name(command: u8) -> &'static str {
    match command {
        CONNECT => "connect",
        BIND => "bind",
        3 => "udp-associate",
        _ => "other",
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    if !opening.stream || opening.from == Side::Server {
        return Verdict::No;
    }
    match bytes {
        [4 | 5] => Verdict::More,
        // Version 4: command, port, address, and a user name that ends with a zero byte.
        [4, CONNECT | BIND, ..] if bytes.len() < 9 => Verdict::More,
        [4, CONNECT | BIND, port_high, port_low, rest @ ..] if *port_high | *port_low != 0 => {
            let mut reader = Reader::new(rest);
            match reader.skip(4).and_then(|()| until_zero(&mut reader)) {
                Ok(user) if user.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => Verdict::Yes,
                Ok(_) => Verdict::No,
                Err(Short) if bytes.len() > 8 + MAX_TEXT => Verdict::No,
                Err(Short) => Verdict::More,
            }
        }
        // Version 5: a count and so many methods, and no more, since the server has to choose.
        [5, count, methods @ ..] => {
            let count = usize::from(*count);
            let known = methods.iter().all(|method| matches!(method, 0..=9 | 0x80..=0xfe));
            if count == 0 || !known || methods.len() > count {
                Verdict::No
            } else if methods.len() < count {
                Verdict::More
            } else if count > 1 {
                Verdict::Yes
            } else {
                Verdict::Maybe
            }
        }
        _ => Verdict::No,
    }
}

/// Text up to a zero byte, which is passed over.
fn until_zero<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = reader.rest().iter().take(MAX_TEXT + 1).position(|byte| *byte == 0).ok_or(Short)?;
    let text = reader.take(length)?;
    reader.skip(1)?;
    Ok(text)
}

/// What became of one message.
enum Step {
    /// It was taken; the conversation goes on.
    Next(State),
    /// The tunnel is open.
    Open,
    /// There is nothing more to see.
    Over,
    /// It is no SOCKS.
    Wrong(&'static str),
}

impl Parser for Socks {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut reader = Reader::new(input.bytes);
        let mut taken = 0;
        // What a side says out of turn waits: it may belong to what is in the tunnel.
        while self.state.speaker() == input.from {
            match self.step(&mut reader, out) {
                Ok(Step::Next(state)) => {
                    taken = reader.position();
                    self.state = state;
                }
                Ok(Step::Open) => return Progress::Upgrade(reader.position()),
                Ok(Step::Over) => return Progress::Enough,
                Ok(Step::Wrong(reason)) => return Progress::Lost(reason),
                Err(Short) if input.bytes.len() > 4 * MAX_TEXT => return Progress::Lost("request"),
                Err(Short) => break,
            }
        }
        Progress::Took(taken)
    }
}

impl Socks {
    fn step(&mut self, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<Step, Short> {
        Ok(match self.state {
            State::Greeting => match reader.u8()? {
                4 => self.request4(reader, out)?,
                5 => {
                    let count = reader.u8()?;
                    reader.skip(usize::from(count))?;
                    Step::Next(State::Method)
                }
                _ => Step::Wrong("version"),
            },
            State::Reply4 => {
                let (zero, code) = (reader.u8()?, reader.u8()?);
                reader.skip(6)?;
                if zero != 0 || !(0x5a..=0x5d).contains(&code) {
                    return Ok(Step::Wrong("reply"));
                }
                self.reply(4, code, code == 0x5a, out)
            }
            State::Method => {
                let (version, method) = (reader.u8()?, reader.u8()?);
                match (version, method) {
                    (5, 0) => Step::Next(State::Request),
                    (5, 2) => Step::Next(State::Password),
                    // The other methods are negotiated in their own ways; none acceptable is 255.
                    (5, _) => Step::Over,
                    _ => Step::Wrong("version"),
                }
            }
            State::Password => {
                if reader.u8()? != 1 {
                    return Ok(Step::Wrong("authentication"));
                }
                let name = reader.u8()?;
                reader.skip(usize::from(name))?;
                let password = reader.u8()?;
                reader.skip(usize::from(password))?;
                Step::Next(State::PasswordReply)
            }
            State::PasswordReply => {
                reader.u8()?;
                if reader.u8()? == 0 { Step::Next(State::Request) } else { Step::Over }
            }
            State::Request => {
                let [version, command, _] = reader.array()?;
                if version != 5 {
                    return Ok(Step::Wrong("request"));
                }
                let Some((host, port)) = destination(reader)? else { return Ok(Step::Wrong("request")) };
                self.command = command;
                if out.wants_messages() {
                    let message = Request { version, command: command_name(command), host, port };
                    out.message(Side::Client, "request", &message);
                }
                Step::Next(State::Reply5)
            }
            State::Reply5 => {
                let [version, code, _] = reader.array()?;
                if version != 5 || destination(reader)?.is_none() {
                    return Ok(Step::Wrong("reply"));
                }
                self.reply(5, code, code == 0, out)
            }
        })
    }

    /// The request of version 4. An address 0.0.0.x, x not 0, means that a host name follows (4A).
    fn request4(&mut self, reader: &mut Reader<'_>, out: &mut Emit<'_>) -> Result<Step, Short> {
        let command = reader.u8()?;
        let port = reader.be16()?;
        let address = reader.array::<4>()?;
        until_zero(reader)?;
        let host = match address {
            [0, 0, 0, last] if last != 0 => String::from_utf8_lossy(until_zero(reader)?),
            address => Ipv4Addr::from(address).to_string().into(),
        };
        self.command = command;
        if out.wants_messages() {
            let message = Request { version: 4, command: command_name(command), host, port };
            out.message(Side::Client, "request", &message);
        }
        Ok(Step::Next(State::Reply4))
    }

    fn reply(&mut self, version: u8, code: u8, granted: bool, out: &mut Emit<'_>) -> Step {
        out.message(Side::Server, "reply", &Reply { version, granted, code });
        match self.command {
            CONNECT if granted => Step::Open,
            // A second reply tells that the other end has come; then the tunnel is open.
            BIND if granted => {
                self.command = CONNECT;
                Step::Next(if version == 4 { State::Reply4 } else { State::Reply5 })
            }
            _ => Step::Over,
        }
    }
}

/// An address or name and a port (RFC 1928 clause 5); `None` for an unknown type of address.
fn destination<'a>(reader: &mut Reader<'a>) -> Result<Option<(Cow<'a, str>, u16)>, Short> {
    let host = match reader.u8()? {
        1 => Ipv4Addr::from(reader.array::<4>()?).to_string().into(),
        3 => {
            let length = reader.u8()?;
            String::from_utf8_lossy(reader.take(usize::from(length))?)
        }
        4 => Ipv6Addr::from(reader.array::<16>()?).to_string().into(),
        _ => return Ok(None),
    };
    Ok(Some((host, reader.be16()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, survives};

    #[test]
    fn version_5_with_a_password_opens_a_tunnel_and_keeps_no_secret() {
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Client, &[5, 2, 0, 2]),
                (Side::Server, &[5, 2]),
                (Side::Client, b"\x01\x04user\x06secret"),
                (Side::Server, &[1, 0]),
                (Side::Client, b"\x05\x01\x00\x03\x0bplc.example\x01\xf6"),
                (Side::Server, &[5, 0, 0, 1, 192, 0, 2, 1, 0x10, 0]),
                (Side::Client, &[0x15, 3, 1, 0, 2, 2, 40]),
            ],
        );
        assert_eq!(
            text,
            "client request {\"version\":5,\"command\":\"connect\",\"host\":\"plc.example\",\"port\":502}\n\
             server reply {\"version\":5,\"granted\":true,\"code\":0}\n\
             upgrade\n\
             it is tls\n\
             client alert {\"level\":\"fatal\",\"description\":\"handshake_failure\"}\n\
             enough\n"
        );
    }

    #[test]
    fn version_4a_names_its_host_and_bind_has_two_replies() {
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Client, b"\x04\x02\x00\x50\x00\x00\x00\x07me\0web.example\0"),
                (Side::Server, &[0, 0x5a, 0, 80, 0, 0, 0, 0, 0, 0x5a, 0, 80, 192, 0, 2, 9]),
            ],
        );
        assert_eq!(
            text,
            "client request {\"version\":4,\"command\":\"bind\",\"host\":\"web.example\",\"port\":80}\n\
             server reply {\"version\":4,\"granted\":true,\"code\":90}\n\
             server reply {\"version\":4,\"granted\":true,\"code\":90}\n\
             upgrade\n"
        );
    }

    #[test]
    fn a_refusal_ends_it() {
        let text = converse(
            &PROTOCOL,
            &[(Side::Client, &[4, 1, 0, 22, 192, 0, 2, 5, 0]), (Side::Server, &[0, 0x5b, 0, 0, 0, 0, 0, 0])],
        );
        assert_eq!(
            text,
            "client request {\"version\":4,\"command\":\"connect\",\"host\":\"192.0.2.5\",\"port\":22}\n\
             server reply {\"version\":4,\"granted\":false,\"code\":91}\n\
             enough\n"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(version in 4..6_u8, mut packets in crate::testing::packets()) {
            if let Some((_, bytes)) = packets.first_mut() {
                bytes.insert(0, version);
            }
            survives(&PROTOCOL, &packets);
        }
    }
}
