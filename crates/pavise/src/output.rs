//! What went wrong, and writing to standard output.

use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

use capture::CaptureError;
use serde::Serialize;
use store::StoreError;

/// Why a command did not do all that was asked.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A source could not be read.
    Capture(CaptureError),
    /// The state could not be used.
    Store(StoreError),
    /// Standard output cannot be written.
    Output(io::Error),
    /// Scores could not be written.
    Scores(io::Error),
    /// A file could not be written: what, where, why.
    File(&'static str, String, io::Error),
    /// Anything that one sentence says.
    Other(String),
}

impl Problem {
    /// A file that could not be written.
    pub(crate) fn file(what: &'static str, path: &Path, error: io::Error) -> Self {
        Self::File(what, path.display().to_string(), error)
    }

    /// Whether the reader of our output has gone away, as `head` does.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(error) => write!(f, "{error}"),
            Self::Store(error) => write!(f, "{error}"),
            Self::Output(error) => {
                write!(f, "cannot write to standard output: {error}; check where it is sent to")
            }
            Self::Scores(error) => {
                write!(f, "cannot write the scores: {error}; name another file or make room")
            }
            Self::File(what, path, error) => {
                write!(f, "cannot write the {what} {path}: {error}; name another file or make room")
            }
            Self::Other(sentence) => f.write_str(sentence),
        }
    }
}

impl From<CaptureError> for Problem {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Says something beside the output. Where nobody listens any more, nothing is said.
pub(crate) fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Standard output, buffered.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(1 << 16, io::stdout().lock()))
    }

    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Result<(), Problem> {
        writeln!(self.0, "{text}").map_err(Problem::Output)
    }

    /// One value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Problem> {
        serde_json::to_writer(&mut self.0, value).map_err(|error| Problem::Output(error.into()))?;
        self.0.write_all(b"\n").map_err(Problem::Output)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Problem> {
        self.0.flush().map_err(Problem::Output)
    }
}

/// A JSON array written element by element, one a line.
pub(crate) struct Array {
    output: Output,
    empty: bool,
}

impl Array {
    pub(crate) fn new() -> Self {
        Self { output: Output::new(), empty: true }
    }

    pub(crate) fn push(&mut self, value: &impl Serialize) -> Result<(), Problem> {
        let before: &[u8] = if self.empty { b"[\n" } else { b",\n" };
        self.empty = false;
        self.output.0.write_all(before).map_err(Problem::Output)?;
        serde_json::to_writer(&mut self.output.0, value).map_err(|error| Problem::Output(error.into()))
    }

    pub(crate) fn end(mut self) -> Result<(), Problem> {
        self.output.line(if self.empty { "[]" } else { "\n]" })?;
        self.output.flush()
    }
}
