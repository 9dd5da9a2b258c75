//! What was meant, kept so that a restart knows it: a file of JSON lines that only grows, until it is put aside for one with
//! what still matters.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::respond::action::{ActionId, Request};

/// Most bytes of a journal that are read; about half a million entries.
pub const JOURNAL_MAX: u64 = 256 << 20;

/// With how many bytes a journal is put aside, as the same name with [`ASIDE`], for one with what still matters.
pub const ROTATE_BYTES: u64 = 16 << 20;
/// What stands behind the name of the journal that was put aside last.
pub const ASIDE: &str = ".1";
/// For how long it matters what has ended by itself: as long as actions are counted for their limit.
const ENDED_KEPT: Duration = Duration::from_secs(3_600);
/// For how long it matters what a person has undone, which is not done again for the same incident.
const REVERTED_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// About which action.
    pub id: ActionId,
    /// What.
    #[serde(flatten)]
    pub step: Step,
}

/// What happened to an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// It is about to be done; from here on it is meant.
    Begun {
        /// What and why.
        request: Request,
        /// Until when it is meant.
        expires: Timestamp,
    },
    /// It was done.
    Done,
    /// It was not done, and is not meant any more.
    Failed {
        /// Why.
        reason: String,
    },
    /// It was undone before its time.
    Reverted,
    /// Its time was over.
    Expired,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("journal {path}: {source}; nothing is done that cannot be written down first")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no entry, and is not the last.
    #[error(
        "journal {path}, line {line}: {reason}; restore the file, or move it away and revert by hand what is in force"
    )]
    Broken {
        /// Which file.
        path: String,
        /// Which line, counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// It is larger than is read.
    #[error("journal {path} has {bytes} bytes, more than are read: move it away when no action is in force")]
    TooLarge {
        /// Which file.
        path: String,
        /// Its size.
        bytes: u64,
    },
}

/// A journal that is open for more.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    rotate_bytes: u64,
    /// With how many bytes it is put aside next.
    rotate_at: u64,
}

impl Journal {
    /// Opens or makes a journal, and what it holds. A last line that was cut off while it was written is taken away: what it
    /// would have said was not yet begun.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or holds what no journal holds.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>), JournalError> {
        let name = path.display().to_string();
        let io = |source| JournalError::Io { path: name.clone(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        let (text, whole, entries) = Self::all(&mut file, &name)?;
        if whole < text {
            file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0)).map(drop)).map_err(io)?;
        }
        // The name of a new file is kept with its folder.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        let rotate_bytes = ROTATE_BYTES;
        Ok((Self { file, path: path.into(), rotate_bytes, rotate_at: rotate_bytes }, entries))
    }

    /// Another limit than [`ROTATE_BYTES`].
    #[must_use]
    pub const fn with_rotation(mut self, bytes: u64) -> Self {
        (self.rotate_bytes, self.rotate_at) = (bytes, bytes);
        self
    }

    /// What a journal holds, which may be another process's that writes to it meanwhile; nothing if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or holds what no journal holds.
    pub fn read(path: &Path) -> Result<Vec<Entry>, JournalError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(mut file) => Self::all(&mut file, &name).map(|(_, _, entries)| entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(JournalError::Io { path: name, source }),
        }
    }

    /// How many bytes there are, how many of them are whole lines, and what these say.
    fn all(file: &mut File, name: &str) -> Result<(usize, usize, Vec<Entry>), JournalError> {
        let io = |source| JournalError::Io { path: name.to_owned(), source };
        let bytes = file.metadata().map_err(io)?.len();
        if bytes > JOURNAL_MAX {
            return Err(JournalError::TooLarge { path: name.to_owned(), bytes });
        }
        let mut text = Vec::new();
        file.take(JOURNAL_MAX).read_to_end(&mut text).map_err(io)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut entries = Vec::new();
        for (index, line) in text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            entries.push(serde_json::from_slice(line).map_err(|error| JournalError::Broken {
                path: name.to_owned(),
                line: index + 1,
                reason: error.to_string(),
            })?);
        }
        Ok((text.len(), whole, entries))
    }

    /// Writes an entry; when this returns it is on the disk. A journal that has become long is put aside.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn write(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let io = |source| JournalError::Io { path: self.path.display().to_string(), source };
        let mut line = serde_json::to_vec(entry).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        let before = self.file.metadata().map_err(io)?.len();
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A part of a line must not stand before the next one.
            self.file.set_len(before).map_err(io)?;
        }
        written.map_err(io)?;
        let length = before + line.len() as u64;
        if length >= self.rotate_at {
            // If that fails it goes on to grow, and is tried again later: what is meant is on the disk all the same.
            let kept = self.rotate(entry.at).unwrap_or(length);
            self.rotate_at = self.rotate_bytes.max(2 * kept);
        }
        Ok(())
    }

    /// Puts the journal aside for one with what still matters; how many bytes that has. Killed at any moment, a journal of
    /// this name is there, the one or the other, and is whole.
    fn rotate(&mut self, now: Timestamp) -> io::Result<u64> {
        let beside = |suffix: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let entries = Self::read(&self.path).map_err(io::Error::other)?;
        let (new, aside) = (beside(".new"), beside(ASIDE));
        let mut text = Vec::new();
        for entry in matters(entries, now) {
            serde_json::to_writer(&mut text, &entry)?;
            text.push(b'\n');
        }
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::hard_link(&self.path, &aside)?;
        fs::rename(&new, &self.path)?;
        self.file = OpenOptions::new().read(true).append(true).open(&self.path)?;
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(text.len() as u64)
    }
}

/// What still matters of all entries: those of actions that are meant, or have ended lately.
fn matters(entries: Vec<Entry>, now: Timestamp) -> Vec<Entry> {
    let last: BTreeMap<ActionId, bool> = entries
        .iter()
        .map(|entry| {
            let since = now.since(entry.at);
            let matters = match entry.step {
                Step::Begun { .. } | Step::Done => true,
                Step::Failed { .. } | Step::Expired => since < ENDED_KEPT,
                Step::Reverted => since < REVERTED_KEPT,
            };
            (entry.id, matters)
        })
        .collect();
    entries.into_iter().filter(|entry| last.get(&entry.id).is_some_and(|matters| *matters)).collect()
}
