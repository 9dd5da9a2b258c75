//! Folders of captures, read as one source.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;

use crate::batch::Batch;
use crate::error::{CaptureError, Damage, Reason, from_file};
use crate::file::FileSource;
use crate::format::{RECOGNITION_BYTES, may_be_capture};
use crate::{Progress, Source, Step};

/// At most so many files of a folder are looked at.
pub const MAX_FILES: usize = 100_000;

/// Reads all captures in a folder and below it, one after the other: first those that begin first, then
/// by name.
#[derive(Debug)]
pub(crate) struct Folder {
    /// In the order in which they are read.
    files: Vec<Entry>,
    /// How many of them were begun.
    begun: usize,
    current: Option<FileSource>,
    /// What the files that were read to their end amount to.
    done: Progress,
    total: u64,
    damages: Vec<Damage>,
}

/// A capture in the folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// When its first packet was captured; the epoch if it has none.
    first: Timestamp,
    path: PathBuf,
    bytes: u64,
}

impl Folder {
    /// Looks through the folder. Links to folders are not followed, so that it ends.
    pub(crate) fn open(folder: &Path) -> Result<Self, CaptureError> {
        let mut found = Self {
            files: Vec::new(),
            begun: 0,
            current: None,
            done: Progress::default(),
            total: 0,
            damages: Vec::new(),
        };
        let too_many = || CaptureError::TooManyFiles { path: folder.display().to_string(), limit: MAX_FILES };
        let mut open = vec![folder.to_path_buf()];
        let mut seen = 0;
        while let Some(inner) = open.pop() {
            let entries = match fs::read_dir(&inner) {
                Ok(entries) => entries,
                Err(error) if inner == folder => return Err(from_file(folder, "opening", error)),
                Err(error) => {
                    found.leave_out(&inner, &from_file(&inner, "opening", error));
                    continue;
                }
            };
            for entry in entries {
                seen += 1;
                if seen > MAX_FILES {
                    return Err(too_many());
                }
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => {
                        found.leave_out(&inner, &from_file(&inner, "reading", error));
                        break;
                    }
                };
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => open.push(entry.path()),
                    _ => found.look_at(entry.path()),
                }
            }
        }
        // Folders are listed in no order; everything that is told is told in one.
        found.files.sort();
        found.damages.sort_by(|one, other| one.file.cmp(&other.file));
        if found.files.is_empty() && found.damages.is_empty() {
            let (path, skipped) = (folder.display().to_string(), found.done.other_files);
            return Err(CaptureError::NoCaptures { path, skipped });
        }
        found.total = found.files.iter().map(|file| file.bytes).sum();
        Ok(found)
    }

    /// Takes in one file if it is a capture.
    fn look_at(&mut self, path: PathBuf) {
        match first_packet(&path) {
            Ok(Some((first, bytes))) => self.files.push(Entry { first, path, bytes }),
            Ok(None) => self.done.other_files += 1,
            Err(error) => self.leave_out(&path, &error),
        }
    }

    /// A file or folder cannot be read.
    fn leave_out(&mut self, path: &Path, error: &CaptureError) {
        self.damages.push(Damage {
            file: path.display().to_string().into(),
            offset: 0,
            packet: 1,
            unread: None,
            reason: Reason::Unreadable(error.to_string().into()),
        });
    }

    /// The file that is being read, or the next one. `None` after the last.
    fn current(&mut self) -> Option<&mut FileSource> {
        while self.current.is_none() {
            let entry = self.files.get(self.begun)?;
            self.begun += 1;
            match FileSource::open(&entry.path, Duration::ZERO) {
                Ok(source) => self.current = Some(source),
                Err(error) => {
                    let path = entry.path.clone();
                    self.leave_out(&path, &error);
                }
            }
        }
        self.current.as_mut()
    }

    /// The current file was read to its end, or as far as it can be.
    fn finish(&mut self, error: Option<&CaptureError>) {
        if let Some(source) = self.current.take() {
            let progress = source.progress();
            self.done.bytes += progress.bytes;
            self.done.packets += progress.packets;
            self.done.files += 1;
            self.damages.extend_from_slice(source.damages());
        }
        let read = self.begun.checked_sub(1).and_then(|last| self.files.get(last));
        if let (Some(error), Some(path)) = (error, read.map(|entry| entry.path.clone())) {
            self.leave_out(&path, error);
        }
    }
}

/// When a capture begins and how many bytes it has, or `None` if the file is no capture.
fn first_packet(path: &Path) -> Result<Option<(Timestamp, u64)>, CaptureError> {
    use std::io::Read;
    let failed = |error| from_file(path, "opening", error);
    // Asked first: opening a named pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut start = Vec::with_capacity(RECOGNITION_BYTES);
    let file = fs::File::open(path).map_err(failed)?;
    file.take(RECOGNITION_BYTES as u64).read_to_end(&mut start).map_err(failed)?;
    if !may_be_capture(&start) {
        return Ok(None);
    }
    let mut source = match FileSource::open(path, Duration::ZERO) {
        Ok(source) => source,
        // Something else that is compressed.
        Err(
            CaptureError::Empty { .. }
            | CaptureError::Text { .. }
            | CaptureError::UnsupportedFormat { .. }
            | CaptureError::UnknownFormat { .. },
        ) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut batch = Batch::new();
    source.fill(&mut batch, 1)?;
    let first = batch.frames.first().map_or(Timestamp::EPOCH, |frame| frame.at);
    Ok(Some((first, metadata.len())))
}

impl Source for Folder {
    fn next_batch(&mut self, batch: &mut Batch) -> Result<Step, CaptureError> {
        loop {
            let before = self.done.packets;
            let Some(source) = self.current() else {
                batch.own();
                batch.first = before;
                return Ok(Step::End);
            };
            match source.next_batch(batch) {
                Ok(Step::Batch) => {
                    batch.first += before;
                    return Ok(Step::Batch);
                }
                // Only a signal interrupts the reading of a file.
                Ok(Step::Idle) => return Ok(Step::Idle),
                Ok(Step::End) => self.finish(None),
                Err(error) => self.finish(Some(&error)),
            }
        }
    }

    fn skip_to(&mut self, packet: u64) -> Result<u64, CaptureError> {
        loop {
            let before = self.done.packets;
            if self.current.is_none() && before >= packet {
                return Ok(before);
            }
            let Some(source) = self.current() else { return Ok(before) };
            let wanted = packet.saturating_sub(before);
            match source.skip_to(wanted) {
                Ok(reached) if reached >= wanted => return Ok(before + reached),
                // The file has fewer.
                Ok(_) => self.finish(None),
                Err(error) => self.finish(Some(&error)),
            }
        }
    }

    fn progress(&self) -> Progress {
        let current = self.current.as_ref().map(Source::progress).unwrap_or_default();
        Progress {
            bytes: self.done.bytes + current.bytes,
            total: Some(self.total),
            packets: self.done.packets + current.packets,
            files: self.done.files,
            other_files: self.done.other_files,
            dropped: 0,
        }
    }

    fn damages(&self) -> &[Damage] {
        &self.damages
    }
}
