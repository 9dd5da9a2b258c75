//! Where packets come from: capture files, folders of them, standard input, live interfaces.
//!
//! An edge of the house: it does the input and knows nothing of what the packets mean. [`open`] takes
//! what the user typed and gives a [`Source`], which fills [`Batch`]es of frames. Uncompressed files are
//! mapped into memory and their frames are never copied; nothing is allocated per frame. Everything that
//! was lost on the way is told: [`Source::damages`] for files, [`Progress::dropped`] for interfaces.
//!
//! All unsafe code is in the private module `sys`, behind safe interfaces.

mod batch;
mod compress;
mod error;
mod file;
mod folder;
mod format;
mod live;
mod stream;
mod sys;
pub mod write;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

pub use batch::{Batch, Frame, MAX_BATCH_BYTES, MAX_BATCH_FRAMES};
pub use compress::MAX_ZSTD_WINDOW;
pub use error::{CaptureError, Damage, Reason};
pub use folder::MAX_FILES;
pub use format::{MAX_BLOCK, MAX_FRAME, MAX_INTERFACES, MAX_LARGE_FRAME};
pub use live::interfaces;

use file::FileSource;

/// How to open a source. Only live capture has choices.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the interface shall receive frames that are for others. Yes by default.
    pub promiscuous: bool,
    /// The group of sources that share an interface's packets, each flow going to one of them. None by
    /// default: the source receives all packets.
    pub fanout: Option<u16>,
    /// How long [`Source::next_batch`] waits for packets before it returns [`Step::Idle`], on interfaces
    /// and pipes. A tenth of a second by default.
    pub poll: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { promiscuous: true, fanout: None, poll: Duration::from_millis(100) }
    }
}

/// What [`Source::next_batch`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The batch holds at least one frame.
    Batch,
    /// The batch is empty: nothing came within the poll interval. More may come.
    Idle,
    /// The batch is empty: the source has ended.
    End,
}

/// How far a source has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes consumed: of files as they lie on disk (compressed bytes of compressed ones), of pipes as
    /// they came, of interfaces as they were captured.
    pub bytes: u64,
    /// Of how many bytes, where that is known.
    pub total: Option<u64>,
    /// Packets handed over or skipped.
    pub packets: u64,
    /// Packets that the kernel dropped because they were not taken fast enough.
    pub dropped: u64,
    /// Files that were read to their end, and
    pub files: u64,
    /// files of a folder that are no captures and were passed over.
    pub other_files: u64,
}

/// Something that packets come from.
pub trait Source: Send {
    /// Fills `batch` with the next frames, at most [`MAX_BATCH_FRAMES`]. What the batch held is lost; its
    /// buffers are used again. For files the batches depend on nothing but the files.
    ///
    /// # Errors
    /// When the source cannot be read at all, or the interface is gone. A file that can be read in part
    /// ends with [`Step::End`] and has [`Source::damages`].
    fn next_batch(&mut self, batch: &mut Batch) -> Result<Step, CaptureError>;

    /// Passes over packets until `packet` of them, counted from the start of the source, were handed over
    /// or skipped; does nothing if there were already. Returns how many there were: fewer if the source
    /// ended, or if a pipe was idle (call again). A live source has nothing to skip and returns `packet`.
    ///
    /// # Errors
    /// As [`Source::next_batch`].
    fn skip_to(&mut self, packet: u64) -> Result<u64, CaptureError>;

    /// How far it has come.
    fn progress(&self) -> Progress;

    /// What was lost of its files, at most one for each; complete when the source has ended.
    fn damages(&self) -> &[Damage];

    /// The first thing that was lost.
    fn damage(&self) -> Option<&Damage> {
        self.damages().first()
    }
}

/// Opens what a user names: a capture file, a folder (all captures in it and below, in the order of their
/// first packets), `-` for standard input, or a network interface. If a name is both a file's and an
/// interface's the file wins; `if:NAME` is always the interface.
///
/// Files and standard input may be pcap or pcapng, plain or compressed with gzip or zstd; the content
/// tells, not the name.
///
/// # Errors
/// One sentence for the user: what happened, to what, and what to do. Standard input is not looked at
/// before the first batch, which then has the error.
pub fn open(spec: &str, options: &Options) -> Result<Box<dyn Source>, CaptureError> {
    if spec == "-" {
        return Ok(Box::new(stream::Stream::standard_input(options.poll)?));
    }
    if let Some(interface) = spec.strip_prefix("if:") {
        return Ok(Box::new(live::Live::open(interface, options)?));
    }
    let path = Path::new(spec);
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Box::new(folder::Folder::open(path)?)),
        Ok(_) => Ok(Box::new(FileSource::open(path, options.poll)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if live::exists(spec) {
                Ok(Box::new(live::Live::open(spec, options)?))
            } else {
                Err(CaptureError::NotFound { name: spec.to_owned(), known: live::known_interfaces() })
            }
        }
        Err(error) => Err(error::from_file(path, "opening", error)),
    }
}

/// A source of the capture that `bytes` are: pcap or pcapng, plain or compressed. `name` stands for it in
/// errors.
///
/// # Errors
/// When the bytes are no capture.
pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Box<dyn Source>, CaptureError> {
    Ok(Box::new(FileSource::from_bytes(name, bytes)?))
}
