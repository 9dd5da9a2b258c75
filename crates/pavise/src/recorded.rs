//! Observations that were recorded before, as JSON lines: what `pavise watch --json` prints, or what another program
//! has seen.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use capture::Progress;
use model::{Observation, What};

use crate::output::Problem;

/// So many are handed over at a time.
const BATCH: usize = 256;
/// No line is longer than this, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// A file of observations, one a line. Lines that are events are passed over.
pub(crate) struct Recorded {
    name: String,
    lines: BufReader<File>,
    progress: Progress,
    number: u64,
}

/// How many packets an observation stands for in the accounts.
pub(crate) fn packets(observation: &Observation) -> u64 {
    match &observation.what {
        What::FlowEnded(record) => record.sent.packets + record.received.packets,
        _ => 0,
    }
}

/// Whether a file's name says that it holds observations.
pub(crate) fn is_named(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) && path.is_file()
}

impl Recorded {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let progress = Progress { total: Some(file.metadata()?.len()), ..Progress::default() };
        let name = path.display().to_string();
        Ok(Self { name, lines: BufReader::with_capacity(1 << 16, file), progress, number: 0 })
    }

    pub(crate) const fn progress(&self) -> Progress {
        self.progress
    }

    /// The next observations; none at the end.
    pub(crate) fn next(&mut self) -> Result<Vec<Observation>, Problem> {
        let mut batch = Vec::new();
        let mut line = String::new();
        while batch.len() < BATCH {
            line.clear();
            let problem =
                |what: String| Problem::Other(format!("{}, line {}: {what}", self.name, self.number + 1));
            let read = (&mut self.lines).take(MAX_LINE).read_line(&mut line);
            let read = read.map_err(|error| problem(format!("cannot be read: {error}")))?;
            if read == 0 {
                break;
            }
            if read as u64 == MAX_LINE {
                return Err(problem(format!("longer than {MAX_LINE} bytes; is it a file of observations?")));
            }
            self.number += 1;
            self.progress.bytes += read as u64;
            if line.trim().is_empty() || line.contains("\"event\":") && !line.contains("\"observation\":") {
                continue;
            }
            let observation: Observation = serde_json::from_str(&line).map_err(|error| {
                Problem::Other(format!(
                    "{}, line {}: not an observation as `pavise watch --json` prints it: {error}",
                    self.name, self.number
                ))
            })?;
            self.progress.packets += packets(&observation);
            batch.push(observation);
        }
        Ok(batch)
    }

    /// Passes over what was taken in before: whole observations, until they stand for so many packets.
    pub(crate) fn skip_to(&mut self, packets: u64) -> Result<u64, Problem> {
        while self.progress.packets < packets {
            if self.next()?.is_empty() {
                break;
            }
        }
        Ok(self.progress.packets)
    }
}
