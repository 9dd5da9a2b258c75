//! Captures that come bit by bit: from pipes, or unpacked as they are read.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::batch::{Batch, MAX_BATCH_BYTES, MAX_BATCH_FRAMES};
use crate::compress::Compression;
use crate::error::{CaptureError, Damage, Reason, from_content};
use crate::format::{Format, Stop};
use crate::{Progress, Step, sys};

/// How much is read at once, in bytes.
const PIECE: usize = 256 << 10;

/// After so many bytes it is certain whether a stream is a capture: the longest file header.
const CERTAIN_BYTES: usize = 24;

/// Reads a capture that comes bit by bit.
///
/// What is read goes straight into the batch's own memory and is described there. Only the record that is
/// not yet whole at a batch's end is kept, and copied to the start of the next.
#[derive(Debug)]
pub(crate) struct Stream {
    name: Box<str>,
    input: Input,
    /// `None` until enough has come to tell.
    format: Option<Format>,
    /// What was read and belongs to the next batch.
    tail: Vec<u8>,
    /// Where the tail begins in the (uncompressed) capture.
    base: u64,
    /// How long the record at `base` is that is being passed over because it is of no interest, and how
    /// much of it is still to come.
    passing: Option<(u64, u64)>,
    /// Why nothing more comes.
    end: Option<End>,
    packets: u64,
    damage: Option<Damage>,
    /// Bytes consumed of the compressed file or of the pipe.
    consumed: Arc<AtomicU64>,
    total: Option<u64>,
    poll: Duration,
}

/// Where the bytes come from.
enum Input {
    /// A pipe or suchlike, that may have nothing to give for a while.
    Pipe(File),
    /// A decoder.
    Packed(Box<dyn Read + Send>),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipe(_) => "Pipe",
            Self::Packed(_) => "Packed",
        })
    }
}

/// Why nothing more comes.
#[derive(Debug)]
enum End {
    /// It is all there.
    Whole,
    /// It cannot be read or unpacked any further.
    Failed(String),
}

/// What an attempt to read gave.
enum Got {
    Some,
    Nothing,
}

/// Counts what passes through it.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Stream {
    /// Standard input, which must not be a terminal.
    pub(crate) fn standard_input(poll: Duration) -> Result<Self, CaptureError> {
        let input = io::stdin();
        if input.is_terminal() {
            return Err(CaptureError::Terminal);
        }
        let name = "standard input";
        let file = input.as_fd().try_clone_to_owned().map(File::from).map_err(|error| CaptureError::Io {
            name: name.to_owned(),
            action: "opening",
            error,
        })?;
        Ok(Self::pipe(name, file, poll))
    }

    /// A pipe, or anything else that is read from its current position to its end.
    pub(crate) fn pipe(name: &str, file: File, poll: Duration) -> Self {
        Self::new(name, Input::Pipe(file), Arc::default(), None, poll)
    }

    /// Compressed content, of `total` compressed bytes.
    pub(crate) fn packed(
        name: &str,
        compression: Compression,
        packed: impl Read + Send + 'static,
        total: Option<u64>,
    ) -> Self {
        let consumed = Arc::<AtomicU64>::default();
        let packed = Counted { inner: packed, count: Arc::clone(&consumed) };
        Self::new(name, Input::Packed(compression.unpack(packed)), consumed, total, Duration::ZERO)
    }

    fn new(name: &str, input: Input, consumed: Arc<AtomicU64>, total: Option<u64>, poll: Duration) -> Self {
        Self {
            name: name.into(),
            input,
            format: None,
            tail: Vec::new(),
            base: 0,
            passing: None,
            end: None,
            packets: 0,
            damage: None,
            consumed,
            total,
            poll,
        }
    }

    /// Reads until it is certain what is coming. False if too little has come yet.
    pub(crate) fn begin(&mut self) -> Result<bool, CaptureError> {
        while self.format.is_none() {
            if let (Input::Pipe(file), Some(compression)) = (&self.input, Compression::recognise(&self.tail))
            {
                let file = file.try_clone().map_err(|error| CaptureError::Io {
                    name: self.name.to_string(),
                    action: "opening",
                    error,
                })?;
                let rest = Counted { inner: file, count: Arc::clone(&self.consumed) };
                let packed = Cursor::new(std::mem::take(&mut self.tail)).chain(rest);
                self.input = Input::Packed(compression.unpack(packed));
                self.end = None;
                continue;
            }
            match Format::recognise(&self.tail) {
                Ok(format) => self.format = Some(format),
                Err(found) if self.end.is_some() || self.tail.len() >= CERTAIN_BYTES => {
                    let name = self.name.to_string();
                    return Err(match (&self.end, &self.input) {
                        (Some(End::Failed(reason)), Input::Packed(_)) => {
                            CaptureError::Compression { path: name, reason: reason.clone() }
                        }
                        (Some(End::Failed(reason)), Input::Pipe(_)) => CaptureError::Io {
                            name,
                            action: "reading",
                            error: io::Error::other(reason.clone()),
                        },
                        _ => from_content(&name, self.tail.len(), found),
                    });
                }
                Err(_) => {
                    let mut tail = std::mem::take(&mut self.tail);
                    let got = self.read_piece(&mut tail, self.poll);
                    self.tail = tail;
                    if matches!(got, Got::Nothing) && self.end.is_none() {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// As [`crate::Source::next_batch`], with a limit to the number of frames.
    pub(crate) fn fill(&mut self, batch: &mut Batch, limit: usize) -> Result<Step, CaptureError> {
        batch.first = self.packets;
        loop {
            batch.own();
            if !self.begin()? || !self.pass_over() {
                return Ok(Step::Idle);
            }
            let stop = self.read(batch, limit);
            if !batch.is_empty() {
                return Ok(Step::Batch);
            }
            let reason = match (stop, &self.end) {
                (Stop::Skip(_), _) => continue,
                (Stop::Corrupt(what), _) => Some(Reason::Corrupt(what.into())),
                (Stop::Full | Stop::Short, None) => return Ok(Step::Idle),
                (Stop::Full | Stop::Short, Some(End::Whole)) => {
                    (!self.tail.is_empty() || self.passing.is_some()).then_some(Reason::Cut)
                }
                (Stop::Full | Stop::Short, Some(End::Failed(why))) => Some(match self.input {
                    Input::Pipe(_) => Reason::Unreadable(why.as_str().into()),
                    Input::Packed(_) => Reason::Compression(why.as_str().into()),
                }),
            };
            // What of a compressed file could not be unpacked, nobody knows.
            let unread = matches!(reason, Some(Reason::Cut)).then_some(self.tail.len() as u64);
            self.damage = reason.map(|reason| Damage {
                file: self.name.clone(),
                offset: self.base,
                packet: self.packets + 1,
                unread: unread.filter(|_| self.passing.is_none()),
                reason,
            });
            return Ok(Step::End);
        }
    }

    /// Reads into the batch, which is empty, until there is enough in it or nothing more at hand.
    fn read(&mut self, batch: &mut Batch, limit: usize) -> Stop {
        let (memory, frames) = batch.own();
        memory.extend_from_slice(&self.tail);
        self.tail.clear();
        let mut at = 0;
        let stop = loop {
            let Some(format) = &mut self.format else { break Stop::Short };
            let stop = format.read(memory, &mut at, limit, frames);
            if stop != Stop::Short || self.end.is_some() || (at >= MAX_BATCH_BYTES && !frames.is_empty()) {
                break stop;
            }
            // What is there is not held back to wait for more.
            let patience = if frames.is_empty() { self.poll } else { Duration::ZERO };
            if matches!(self.read_piece(memory, patience), Got::Nothing) && self.end.is_none() {
                break stop;
            }
        };
        self.base += at as u64;
        self.packets += frames.len() as u64;
        self.tail.extend_from_slice(memory.get(at..).unwrap_or(&[]));
        memory.truncate(at);
        if let Stop::Skip(length) = stop {
            self.passing = Some((length, length.saturating_sub(self.tail.len() as u64)));
            self.tail.clear();
        }
        stop
    }

    /// Reads and forgets what is of no interest. False if it has not all come yet.
    fn pass_over(&mut self) -> bool {
        while let Some((length, missing)) = self.passing {
            if missing == 0 {
                self.base += length;
                self.passing = None;
                break;
            }
            let mut piece = std::mem::take(&mut self.tail);
            let got = self.read_piece(&mut piece, self.poll);
            let passed = piece.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            piece.drain(..passed);
            self.tail = piece;
            self.passing = Some((length, missing - passed as u64));
            if matches!(got, Got::Nothing) {
                return self.end.is_some();
            }
        }
        true
    }

    /// Reads some more behind what `memory` holds. A pipe may have nothing within `patience`; a decoder
    /// waits.
    fn read_piece(&mut self, memory: &mut Vec<u8>, patience: Duration) -> Got {
        if self.end.is_some() {
            return Got::Nothing;
        }
        if let Input::Pipe(file) = &self.input {
            match sys::readable(file.as_fd(), patience) {
                Ok(true) => {}
                Ok(false) => return Got::Nothing,
                Err(error) => {
                    self.end = Some(End::Failed(error.to_string()));
                    return Got::Nothing;
                }
            }
        }
        let before = memory.len();
        memory.resize(before + PIECE, 0);
        let space = memory.get_mut(before..).unwrap_or(&mut []);
        let result = match &mut self.input {
            Input::Pipe(file) => file.read(space),
            Input::Packed(decoder) => decoder.read(space),
        };
        let read = *result.as_ref().unwrap_or(&0);
        memory.truncate(before + read);
        match result {
            Ok(0) => self.end = Some(End::Whole),
            Ok(read) => {
                if let Input::Pipe(_) = self.input {
                    self.consumed.fetch_add(read as u64, Ordering::Relaxed);
                }
                return Got::Some;
            }
            // A signal: the caller decides whether to go on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.end = Some(End::Failed(error.to_string())),
        }
        Got::Nothing
    }

    pub(crate) fn skip_to(&mut self, packet: u64) -> Result<u64, CaptureError> {
        let mut batch = Batch::new();
        while self.packets < packet {
            let missing = usize::try_from(packet - self.packets).unwrap_or(usize::MAX);
            if self.fill(&mut batch, missing.min(MAX_BATCH_FRAMES))? != Step::Batch {
                break;
            }
        }
        Ok(self.packets)
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            bytes: self.consumed.load(Ordering::Relaxed),
            total: self.total,
            packets: self.packets,
            files: u64::from(self.end.is_some() && self.tail.is_empty() || self.damage.is_some()),
            ..Progress::default()
        }
    }

    pub(crate) fn damages(&self) -> &[Damage] {
        self.damage.as_slice()
    }
}

impl crate::Source for Stream {
    fn next_batch(&mut self, batch: &mut Batch) -> Result<Step, CaptureError> {
        self.fill(batch, MAX_BATCH_FRAMES)
    }

    fn skip_to(&mut self, packet: u64) -> Result<u64, CaptureError> {
        Self::skip_to(self, packet)
    }

    fn progress(&self) -> Progress {
        Self::progress(self)
    }

    fn damages(&self) -> &[Damage] {
        Self::damages(self)
    }
}
