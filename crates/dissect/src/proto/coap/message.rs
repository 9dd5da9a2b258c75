//! The message formats of CoAP.

use std::fmt::Write;

use serde::Serialize;

use crate::proto::text::{MAX_TARGET, clean, is_secret};
use crate::proto::{Reader, Short};

/// Segments of a path or parameters of a query that are read.
const MAX_SEGMENTS: usize = 16;

/// Options of one message that are read.
const MAX_OPTIONS: usize = 64;

/// Method and signalling codes (RFC 7252 clause 12.1.1, RFC 8132, RFC 8323 clause 5).
pub(super) const GET: u8 = 0x01;
pub(super) const POST: u8 = 0x02;
pub(super) const FETCH: u8 = 0x05;
pub(super) const CSM: u8 = 0xe1;

/// Options by number with the least and greatest length of their values (RFC 7252 clause 5.10, IANA
/// CoAP Option Numbers).
const OPTIONS: &[(u32, usize, usize)] = &[
    (1, 0, 8),
    (3, 1, 255),
    (4, 1, 8),
    (5, 0, 0),
    (6, 0, 3),
    (7, 0, 2),
    (8, 0, 255),
    (9, 0, 255),
    (11, 0, 255),
    (12, 0, 2),
    (14, 0, 4),
    (15, 0, 255),
    (16, 1, 1),
    (17, 0, 2),
    (19, 0, 3),
    (20, 0, 255),
    (21, 0, 0),
    (23, 0, 3),
    (27, 0, 3),
    (28, 0, 4),
    (31, 0, 3),
    (35, 1, 1034),
    (39, 1, 255),
    (60, 0, 4),
    (252, 1, 40),
    (258, 0, 1),
    (292, 0, 8),
    (2049, 2, 2),
    (2053, 2, 2),
];

/// What is asked of the receiver (RFC 7252 clause 4.2 and 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Type {
    Confirmable,
    NonConfirmable,
    Acknowledgement,
    Reset,
}

/// Which block of a larger body (RFC 7959 clause 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Block {
    pub(super) number: u32,
    pub(super) more: bool,
    /// Bytes of a block.
    pub(super) size: u16,
}

impl Block {
    const fn new(value: u32) -> Self {
        Self { number: value >> 4, more: value & 8 != 0, size: 1 << ((value & 7) + 4) }
    }
}

/// The head of a message over TCP (RFC 8323 clause 3.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) code: u8,
    pub(super) token_length: usize,
    token: &'a [u8],
    /// Where options and payload begin.
    pub(super) start: usize,
    /// Bytes of options and payload.
    pub(super) length: usize,
}

/// Reads the head of a message over TCP, if it is whole.
pub(super) fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut reader = Reader::new(bytes);
    let read = |reader: &mut Reader<'_>| -> Result<(usize, usize, u8), Short> {
        let first = reader.u8()?;
        let length = match first >> 4 {
            13 => usize::from(reader.u8()?) + 13,
            14 => usize::from(reader.be16()?) + 269,
            15 => reader.be32()? as usize + 65_805,
            short => usize::from(short),
        };
        Ok((length, usize::from(first & 15), reader.u8()?))
    };
    let (length, token_length, code) = read(&mut reader).ok()?;
    let token = reader.take(token_length.min(8)).ok()?;
    Some(Frame { code, token_length, token, start: reader.position(), length })
}

/// A message.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    /// Over UDP only.
    pub(super) kind: Option<Type>,
    pub(super) code: u8,
    /// Over UDP only.
    pub(super) message_id: Option<u16>,
    pub(super) token: &'a [u8],
    pub(super) host: Option<&'a [u8]>,
    pub(super) path: Vec<&'a [u8]>,
    pub(super) query: Vec<&'a [u8]>,
    pub(super) content_format: Option<u32>,
    pub(super) accept: Option<u32>,
    pub(super) observe: Option<u32>,
    pub(super) block1: Option<Block>,
    pub(super) block2: Option<Block>,
    pub(super) size1: Option<u32>,
    pub(super) size2: Option<u32>,
    pub(super) payload: &'a [u8],
    /// Some option is unknown or its length is not allowed.
    odd: bool,
}

impl<'a> Message<'a> {
    /// RFC 7252 clause 3.
    pub(super) fn over_udp(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let first = reader.u8().ok()?;
        let code = reader.u8().ok()?;
        let message_id = reader.be16().ok()?;
        let token = reader.take(usize::from(first & 15)).ok()?;
        // Version 1; tokens of up to eight bytes.
        if first >> 6 != 1 || token.len() > 8 {
            return None;
        }
        let kind = match first >> 4 & 3 {
            0 => Type::Confirmable,
            1 => Type::NonConfirmable,
            2 => Type::Acknowledgement,
            _ => Type::Reset,
        };
        // Clause 4.1: an empty message is its header alone.
        if code == 0 && bytes.len() > 4 {
            return None;
        }
        let message = Self { kind: Some(kind), code, message_id: Some(message_id), token, ..Self::default() };
        message.with_options(reader.rest())
    }

    /// RFC 8323 clause 3.2.
    pub(super) fn over_tcp(frame: &Frame<'a>, body: &'a [u8]) -> Option<Self> {
        if frame.token_length > 8 {
            return None;
        }
        let message = Self { code: frame.code, token: frame.token, ..Self::default() };
        if frame.code >> 5 == 7 {
            // Signals have options of their own (clause 5.2).
            return Some(message);
        }
        message.with_options(body)
    }

    /// Options and payload (RFC 7252 clause 3.1).
    fn with_options(mut self, bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut number = 0_u32;
        for _ in 0..MAX_OPTIONS {
            let Ok(first) = reader.u8() else { return Some(self) };
            if first == 0xff {
                self.payload = reader.rest();
                // A marker without a payload is a format error.
                return (!self.payload.is_empty()).then_some(self);
            }
            let extended = |nibble: u8, reader: &mut Reader<'_>| match nibble {
                13 => reader.u8().map(|byte| u32::from(byte) + 13),
                14 => reader.be16().map(|word| u32::from(word) + 269),
                15 => Err(Short),
                small => Ok(u32::from(small)),
            };
            let delta = extended(first >> 4, &mut reader).ok()?;
            let length = extended(first & 15, &mut reader).ok()?;
            number = number.checked_add(delta)?;
            let value = reader.take(length as usize).ok()?;
            self.option(number, value);
        }
        None
    }

    fn option(&mut self, number: u32, value: &'a [u8]) {
        let known = OPTIONS.iter().find(|(known, _, _)| *known == number);
        if known.is_none_or(|(_, least, greatest)| value.len() < *least || value.len() > *greatest) {
            self.odd = true;
        }
        let unsigned = || {
            let value = value.get(..4).unwrap_or(value);
            Some(value.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)))
        };
        match number {
            3 => self.host = Some(value),
            6 => self.observe = unsigned(),
            11 if self.path.len() < MAX_SEGMENTS => self.path.push(value),
            12 => self.content_format = unsigned(),
            15 if self.query.len() < MAX_SEGMENTS => self.query.push(value),
            17 => self.accept = unsigned(),
            23 => self.block2 = unsigned().map(Block::new),
            27 => self.block1 = unsigned().map(Block::new),
            28 => self.size2 = unsigned(),
            60 => self.size1 = unsigned(),
            _ => {}
        }
    }

    /// Whether the code is a method.
    pub(super) const fn is_request(&self) -> bool {
        matches!(self.code, 1..=7)
    }

    /// Whether the code is a response: class 2, 4 or 5.
    pub(super) const fn is_response(&self) -> bool {
        matches!(self.code >> 5, 2 | 4 | 5)
    }

    /// Whether the options are known and well formed, and what they name is readable.
    pub(super) fn is_strict(&self) -> bool {
        let readable = |segment: &&[u8]| segment.iter().all(|byte| matches!(byte, b' '..=b'~'));
        !self.odd && self.path.iter().all(readable) && self.query.iter().all(readable)
    }

    /// Whether the code is assigned and goes with the type.
    pub(super) const fn is_assigned(&self) -> bool {
        let codes = match self.kind {
            // RFC 7252 table 1: which codes go with which type.
            Some(Type::Confirmable) => self.code == 0 || self.is_request() || self.is_response(),
            Some(Type::NonConfirmable) => self.is_request() || self.is_response(),
            Some(Type::Acknowledgement) => self.code == 0 || self.is_response(),
            Some(Type::Reset) => self.code == 0,
            None => self.is_request() || self.is_response(),
        };
        // Codes that are assigned: 2.01 to 2.05, 2.31, 4.00 to 4.31, 5.00 to 5.08.
        let assigned = match (self.code >> 5, self.code & 31) {
            (0, detail) => detail <= 7,
            (2, detail) => matches!(detail, 1..=5 | 31),
            (4, _) => true,
            (5, detail) => detail <= 8,
            _ => false,
        };
        codes && assigned
    }

    /// The method's name.
    pub(super) const fn method(&self) -> &'static str {
        match self.code {
            1 => "GET",
            2 => "POST",
            3 => "PUT",
            4 => "DELETE",
            5 => "FETCH",
            6 => "PATCH",
            _ => "iPATCH",
        }
    }

    /// The code as it is written: a method's name or `2.05`.
    pub(super) fn code_name(&self) -> String {
        if self.is_request() {
            self.method().into()
        } else {
            format!("{}.{:02}", self.code >> 5, self.code & 31)
        }
    }

    /// The path, with its slashes.
    pub(super) fn uri_path(&self) -> String {
        let mut path = String::new();
        for segment in &self.path {
            path.push('/');
            path.push_str(&clean(segment, MAX_TARGET));
        }
        if path.is_empty() {
            path.push('/');
        }
        cut(path)
    }

    /// The query, without the values of secrets.
    pub(super) fn uri_query(&self) -> String {
        let mut query = String::new();
        for parameter in &self.query {
            if !query.is_empty() {
                query.push('&');
            }
            let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
            if name.len() < parameter.len() && is_secret(name) {
                // Writing to a string cannot fail.
                let _ = write!(query, "{}=***", clean(name, MAX_TARGET));
            } else {
                query.push_str(&clean(parameter, MAX_TARGET));
            }
        }
        cut(query)
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TARGET {
        let end = (0..=MAX_TARGET).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
