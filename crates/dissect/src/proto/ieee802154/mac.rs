//! The frame of the medium access control (IEEE 802.15.4-2020 clause 7.2).

use serde::{Serialize, Serializer};

use crate::proto::{Reader, Short};

/// Types of frame (clause 7.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Beacon,
    Data,
    Acknowledgement,
    Command,
    Other,
}

/// An address of a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Short(u16),
    Extended(u64),
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Short(address) => serializer.collect_str(&format_args!("{address:04x}")),
            Self::Extended(address) => serializer.collect_str(&format_args!("{address:016x}")),
        }
    }
}

/// A frame.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Frame<'a> {
    sequence: Option<u8>,
    destination_pan: Option<u16>,
    destination: Option<Address>,
    source_pan: Option<u16>,
    source: Option<Address>,
    pub(super) secured: bool,
    command: Option<&'static str>,
    #[serde(skip)]
    pub(super) kind: Kind,
    #[serde(skip)]
    pub(super) payload: &'a [u8],
}

/// How an address is written (clause 7.2.2.9): none, of 16 or of 64 bits.
fn address(mode: u16, reader: &mut Reader<'_>) -> Result<Option<Address>, Short> {
    Ok(match mode {
        2 => Some(Address::Short(reader.le16()?)),
        3 => Some(Address::Extended(reader.le64()?)),
        _ => None,
    })
}

impl<'a> Frame<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let control = reader.le16()?;
        let kind = match control & 7 {
            0 => Kind::Beacon,
            1 => Kind::Data,
            2 => Kind::Acknowledgement,
            3 => Kind::Command,
            _ => Kind::Other,
        };
        let mut frame = Self {
            sequence: None,
            destination_pan: None,
            destination: None,
            source_pan: None,
            source: None,
            secured: control & 1 << 3 != 0,
            command: None,
            kind,
            payload: &[],
        };
        // Multipurpose and extended frames have other headers.
        if kind == Kind::Other {
            frame.payload = reader.rest();
            return Ok(frame);
        }
        let compressed = control & 1 << 6 != 0;
        let version = control >> 12 & 3;
        let is_new = version >= 2;
        if !(is_new && control & 1 << 8 != 0) {
            frame.sequence = Some(reader.u8()?);
        }
        let (to, from) = (control >> 10 & 3, control >> 14 & 3);
        let (has_to, has_from) = match (is_new, to, from) {
            // Since 2015 the bit of compression means, by the addresses, which networks stand there
            // (table 7-2).
            (true, 0, 0) => (compressed, false),
            (true, _, 0) => (!compressed, false),
            (true, 0, _) => (false, !compressed),
            (true, 3, 3) => (!compressed, false),
            (_, to, from) => (to != 0, from != 0 && !(compressed && to != 0)),
        };
        if has_to {
            frame.destination_pan = Some(reader.le16()?);
        }
        frame.destination = address(to, &mut reader)?;
        if has_from {
            frame.source_pan = Some(reader.le16()?);
        }
        frame.source = address(from, &mut reader)?;
        if frame.secured {
            security(&mut reader)?;
        }
        if is_new && control & 1 << 9 != 0 {
            elements(&mut reader)?;
        }
        frame.payload = reader.rest();
        if kind == Kind::Command && !frame.secured {
            frame.command = frame.payload.first().map(|code| command(*code));
        }
        Ok(frame)
    }
}

/// Passes over the header of security (clause 9.4).
fn security(reader: &mut Reader<'_>) -> Result<(), Short> {
    let control = reader.u8()?;
    if control & 1 << 5 == 0 {
        reader.skip(4)?;
    }
    // The key is named by nothing, an index, or a source of 4 or of 8 bytes and an index.
    reader.skip([0, 1, 5, 9][usize::from(control >> 3 & 3)])
}

/// Passes over the elements of the header (clause 7.4.2).
fn elements(reader: &mut Reader<'_>) -> Result<(), Short> {
    /// More elements than this are taken for nonsense.
    const MAX_ELEMENTS: usize = 32;
    for _ in 0..MAX_ELEMENTS {
        if reader.is_empty() {
            break;
        }
        let head = reader.le16()?;
        reader.skip(usize::from(head & 0x7f))?;
        // The elements of the header end with one of these, or with the frame.
        if matches!(head >> 7 & 0xff, 0x7e | 0x7f) {
            break;
        }
    }
    Ok(())
}

/// The name of a command (clause 7.5.1).
const fn command(code: u8) -> &'static str {
    match code {
        1 => "association-request",
        2 => "association-response",
        3 => "disassociation-notification",
        4 => "data-request",
        5 => "pan-id-conflict-notification",
        6 => "orphan-notification",
        7 => "beacon-request",
        8 => "coordinator-realignment",
        9 => "gts-request",
        _ => "unknown",
    }
}
