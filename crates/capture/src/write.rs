//! Writing captures: pcapng with several interfaces, and classic pcap. Nanoseconds, little-endian.
//!
//! Both writers buffer; what [`PcapngWriter::finish`] or [`PcapWriter::finish`] was not called for may be
//! lost in part.

use std::io::{self, BufWriter, Write};

use dissect::wire::LinkType;
use model::Timestamp;

use crate::format::max_frame;

/// Writes a pcapng file (draft-ietf-opsawg-pcapng) of one section.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    out: BufWriter<W>,
    interfaces: u32,
}

/// An interface that a [`PcapngWriter`] has described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    number: u32,
    /// The longest frame that readers accept of its link type.
    limit: u32,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = BufWriter::new(out);
        // Clause 4.1: byte order, version 1.0, length of the section not known.
        let mut body = Vec::with_capacity(16);
        body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        body.extend_from_slice(&1_u16.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        body.extend_from_slice(&(-1_i64).to_le_bytes());
        block(&mut out, 0x0a0d_0d0a, &body, &[])?;
        Ok(Self { out, interfaces: 0 })
    }

    /// Describes an interface (clause 4.2). An empty name is left out; names are cut at 64 KiB.
    ///
    /// # Errors
    /// Those of writing.
    pub fn interface(&mut self, link: LinkType, name: &str) -> io::Result<Interface> {
        let mut body = Vec::with_capacity(24 + name.len());
        body.extend_from_slice(&link.0.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        // No limit to the length of frames.
        body.extend_from_slice(&[0; 4]);
        let mut option = |kind: u16, value: &[u8]| {
            let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
            body.extend_from_slice(&kind.to_le_bytes());
            body.extend_from_slice(&(value.len() as u16).to_le_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        };
        if !name.is_empty() {
            option(2, name.as_bytes());
        }
        // Nanoseconds: 10 to the -9.
        option(9, &[9]);
        option(0, &[]);
        block(&mut self.out, 1, &body, &[])?;
        self.interfaces += 1;
        Ok(Interface { number: self.interfaces - 1, limit: max_frame(link) })
    }

    /// Writes a frame (clause 4.3). `wire_length` is its length on the wire; if `bytes` holds more, that
    /// counts.
    ///
    /// # Errors
    /// Those of writing, and [`io::ErrorKind::InvalidInput`] for more bytes than any reader accepts.
    pub fn write(
        &mut self,
        interface: Interface,
        at: Timestamp,
        bytes: &[u8],
        wire_length: u32,
    ) -> io::Result<()> {
        let captured = length(bytes, interface.limit)?;
        let nanos = at.as_nanos();
        let mut header = [0; 20];
        let (words, _) = header.as_chunks_mut::<4>();
        words[0] = interface.number.to_le_bytes();
        words[1] = ((nanos >> 32) as u32).to_le_bytes();
        words[2] = (nanos as u32).to_le_bytes();
        words[3] = captured.to_le_bytes();
        words[4] = wire_length.max(captured).to_le_bytes();
        block(&mut self.out, 6, &header, bytes)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Those of writing what was buffered.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Writes a block (clause 3.1) whose content is `head` and `rest`, padded to four bytes.
fn block(out: &mut impl Write, kind: u32, head: &[u8], rest: &[u8]) -> io::Result<()> {
    let padding = (head.len() + rest.len()).next_multiple_of(4) - head.len() - rest.len();
    let total = u32::try_from(12 + head.len() + rest.len() + padding)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&total.to_le_bytes())?;
    out.write_all(head)?;
    out.write_all(rest)?;
    out.write_all([0; 3].get(..padding).unwrap_or(&[]))?;
    out.write_all(&total.to_le_bytes())
}

/// Writes a classic pcap file (draft-ietf-opsawg-pcap), which has frames of one link type only.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: BufWriter<W>,
    /// The longest frame that readers accept of its link type.
    limit: u32,
}

impl<W: Write> PcapWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(out: W, link: LinkType) -> io::Result<Self> {
        let mut out = BufWriter::new(out);
        // Clause 4: nanoseconds, version 2.4, two unused words, snap length, link type.
        out.write_all(&0xa1b2_3c4d_u32.to_le_bytes())?;
        out.write_all(&2_u16.to_le_bytes())?;
        out.write_all(&4_u16.to_le_bytes())?;
        out.write_all(&[0; 8])?;
        let limit = max_frame(link);
        out.write_all(&limit.to_le_bytes())?;
        out.write_all(&u32::from(link.0).to_le_bytes())?;
        Ok(Self { out, limit })
    }

    /// Writes a frame (clause 5). `wire_length` is its length on the wire; if `bytes` holds more, that
    /// counts. Times after the year 2106 are written as its last second.
    ///
    /// # Errors
    /// Those of writing, and [`io::ErrorKind::InvalidInput`] for more bytes than any reader accepts.
    pub fn write(&mut self, at: Timestamp, bytes: &[u8], wire_length: u32) -> io::Result<()> {
        let captured = length(bytes, self.limit)?;
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        let mut header = [0; 16];
        let (words, _) = header.as_chunks_mut::<4>();
        words[0] = seconds.to_le_bytes();
        words[1] = ((at.as_nanos() % 1_000_000_000) as u32).to_le_bytes();
        words[2] = captured.to_le_bytes();
        words[3] = wire_length.max(captured).to_le_bytes();
        self.out.write_all(&header)?;
        self.out.write_all(bytes)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Those of writing what was buffered.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// The length of a frame, which a reader must accept.
fn length(bytes: &[u8], limit: u32) -> io::Result<u32> {
    u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length <= limit)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a frame longer than any reader accepts"))
}
