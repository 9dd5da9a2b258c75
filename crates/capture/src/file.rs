//! Capture files: mapped where they are plain, unpacked as they are read where they are compressed.

use std::fs::File;
use std::hint::black_box;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Batch, Frame, Held, MAX_BATCH_FRAMES};
use crate::compress::Compression;
use crate::error::{CaptureError, Damage, Reason, from_content, from_file};
use crate::format::{Format, RECOGNITION_BYTES, Stop};
use crate::stream::Stream;
use crate::sys::Map;
use crate::{Progress, Source, Step};

/// So many bytes of a mapped file behind the place of reading stay in the process's memory, and at most
/// twice as many.
const KEPT_BEHIND: usize = 16 << 20;
/// Pages are let go of in multiples of this, which is a multiple of every system's page size.
const PAGE: usize = 64 << 10;

/// A capture file, read in one way or the other.
#[derive(Debug)]
pub(crate) enum FileSource {
    Whole(Whole),
    Stream(Stream),
}

impl FileSource {
    /// Opens a file. What is no regular file (a named pipe) is read as a stream.
    pub(crate) fn open(path: &Path, poll: Duration) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| from_file(path, "opening", error))?;
        let metadata = file.metadata().map_err(|error| from_file(path, "opening", error))?;
        if !metadata.is_file() {
            return Ok(Self::Stream(Stream::pipe(&name, file, poll)));
        }
        if metadata.len() == 0 {
            return Err(CaptureError::Empty { path: name });
        }
        let map = Map::new(file).map_err(|error| from_file(path, "mapping", error))?;
        Self::from_held(&name, Held::Mapped(map))
    }

    /// Reads a file that is in memory.
    pub(crate) fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, CaptureError> {
        Self::from_held(name, Held::Bytes(bytes))
    }

    fn from_held(name: &str, held: Held) -> Result<Self, CaptureError> {
        let bytes = held.bytes();
        let start = bytes.get(..RECOGNITION_BYTES).unwrap_or(bytes);
        if let Some(compression) = Compression::recognise(start) {
            let total = bytes.len() as u64;
            let mut stream = Stream::packed(name, compression, Cursor::new(Contents(held)), Some(total));
            stream.begin()?;
            return Ok(Self::Stream(stream));
        }
        let format = Format::recognise(start).map_err(|found| from_content(name, bytes.len(), found))?;
        let at = 0;
        Ok(Self::Whole(Whole {
            name: name.into(),
            held: Arc::new(held),
            format,
            at,
            stride: 0,
            released: 0,
            packets: 0,
            damage: None,
        }))
    }

    /// As [`Source::next_batch`], with a limit to the number of frames.
    pub(crate) fn fill(&mut self, batch: &mut Batch, limit: usize) -> Result<Step, CaptureError> {
        match self {
            Self::Whole(whole) => Ok(whole.fill(batch, limit)),
            Self::Stream(stream) => stream.fill(batch, limit),
        }
    }
}

impl Source for FileSource {
    fn next_batch(&mut self, batch: &mut Batch) -> Result<Step, CaptureError> {
        self.fill(batch, MAX_BATCH_FRAMES)
    }

    fn skip_to(&mut self, packet: u64) -> Result<u64, CaptureError> {
        match self {
            Self::Whole(whole) => Ok(whole.skip_to(packet)),
            Self::Stream(stream) => stream.skip_to(packet),
        }
    }

    fn progress(&self) -> Progress {
        match self {
            Self::Whole(whole) => whole.progress(),
            Self::Stream(stream) => stream.progress(),
        }
    }

    fn damages(&self) -> &[Damage] {
        match self {
            Self::Whole(whole) => whole.damage.as_slice(),
            Self::Stream(stream) => stream.damages(),
        }
    }
}

/// Lets a cursor read what is held.
struct Contents(Held);

impl AsRef<[u8]> for Contents {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// A plain capture that lies in memory as a whole. Its frames stay where they are.
#[derive(Debug)]
pub(crate) struct Whole {
    name: Box<str>,
    held: Arc<Held>,
    format: Format,
    /// Where the next record begins.
    at: usize,
    /// How many bytes the batch before took.
    stride: usize,
    /// Up to where the file's pages were let go of.
    released: usize,
    packets: u64,
    damage: Option<Damage>,
}

/// Batches of at most so many bytes, of small frames that is, are fetched ahead of being read.
const MAX_FETCHED: usize = 64 << 10;
/// The bytes that a processor fetches at once.
const CACHE_LINE: usize = 64;

/// Touches what is about to be read. The records of a capture say where the next one is, so whoever reads them
/// waits for memory once for each; here nothing waits for anything, and the processor fetches all at the same
/// time.
fn fetch(bytes: &[u8]) {
    black_box(bytes.iter().step_by(CACHE_LINE).fold(0, |sum, byte| sum ^ byte));
}

impl Whole {
    fn fill(&mut self, batch: &mut Batch, limit: usize) -> Step {
        batch.share(&self.held);
        batch.first = self.packets;
        self.read(&mut batch.frames, limit)
    }

    fn read(&mut self, frames: &mut Vec<Frame>, limit: usize) -> Step {
        let all = self.held.bytes();
        let current = match &*self.held {
            Held::Mapped(map) => map.current(),
            Held::Bytes(bytes) => bytes.len(),
        };
        let stop = match all.get(..current) {
            Some(window) if self.at <= current => {
                let start = self.at;
                if self.stride <= MAX_FETCHED {
                    fetch(window.get(start..window.len().min(start + self.stride)).unwrap_or(&[]));
                }
                let stop = self.format.read(window, &mut self.at, limit, frames);
                self.stride = self.at - start;
                stop
            }
            _ => Stop::Short,
        };
        self.packets += frames.len() as u64;
        if !frames.is_empty() {
            self.release();
            return Step::Batch;
        }
        let reason = match stop {
            Stop::Full => None,
            Stop::Short | Stop::Skip(_) if current < all.len() => Some(Reason::Shortened),
            Stop::Short if self.at == current => None,
            Stop::Short | Stop::Skip(_) => Some(Reason::Cut),
            Stop::Corrupt(what) => Some(Reason::Corrupt(what.into())),
        };
        self.damage = reason.map(|reason| Damage {
            file: self.name.clone(),
            offset: self.at as u64,
            packet: self.packets + 1,
            unread: Some(all.len().saturating_sub(self.at) as u64),
            reason,
        });
        Step::End
    }

    /// Lets go of pages that lie far enough behind that batches which are still worked on are not among
    /// them; if one is, its pages are read again.
    fn release(&mut self) {
        if let Held::Mapped(map) = &*self.held
            && self.at.saturating_sub(self.released) >= 2 * KEPT_BEHIND
        {
            let end = (self.at - KEPT_BEHIND) & !(PAGE - 1);
            map.release(self.released..end);
            self.released = end;
        }
    }

    fn skip_to(&mut self, packet: u64) -> u64 {
        let mut frames = Vec::with_capacity(MAX_BATCH_FRAMES);
        while self.packets < packet {
            let missing = usize::try_from(packet - self.packets).unwrap_or(usize::MAX);
            frames.clear();
            if self.read(&mut frames, missing.min(MAX_BATCH_FRAMES)) == Step::End {
                break;
            }
        }
        self.packets
    }

    fn progress(&self) -> Progress {
        let total = self.held.bytes().len();
        Progress {
            bytes: self.at as u64,
            total: Some(total as u64),
            packets: self.packets,
            files: u64::from(self.at == total || self.damage.is_some()),
            ..Progress::default()
        }
    }
}
