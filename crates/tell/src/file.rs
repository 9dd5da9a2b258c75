//! Telling a file, a line for each message. It is opened anew for each turn: whoever rotates it need not tell anybody.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use model::{Severity, Timestamp};
use serde::Deserialize;

use crate::Letter;
use crate::deliver::{Carrier, Most};
use crate::notice::Json;

/// So many lines are added at a time.
const AT_ONCE: usize = 256;

/// Which file, as the settings say it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    pub(super) path: PathBuf,
    pub(super) json: Option<Json>,
    pub(super) severity: Option<Severity>,
}

impl From<String> for Options {
    fn from(path: String) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

/// Adds lines to a file.
pub(super) struct Append(pub(super) PathBuf);

impl Append {
    fn add(&self, letters: &[Letter]) -> io::Result<()> {
        let is_file = std::fs::metadata(&self.0).map_or(true, |about| about.is_file());
        let mut file = OpenOptions::new().create(true).append(true).read(is_file).open(&self.0)?;
        let mut text = String::new();
        if is_file && is_cut_off(&mut file)? {
            // What was cut off when the disk was full, or the machine went down, stays a line of its own.
            text.push('\n');
        }
        for letter in letters {
            text += &letter.body;
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        match file.sync_data() {
            // A pipe has nothing to be put on a disk.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}

/// Whether the last line has no end.
fn is_cut_off(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

impl Carrier for Append {
    fn most(&mut self, _: u64, _: Timestamp) -> Most {
        Most::Now(AT_ONCE)
    }

    fn send(&mut self, letters: &[Letter], _: u64, _: Timestamp) -> Result<(), String> {
        self.add(letters).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &str) -> Letter {
        Letter { id: body.into(), body: body.into() }
    }

    #[test]
    fn lines_are_added_also_to_a_file_that_was_rotated_or_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eve.json");
        let mut append = Append(path.clone());
        let mut add = |body: &str| append.send(&[letter(body), letter("more")], 0, Timestamp::EPOCH).unwrap();
        add("a");
        std::fs::rename(&path, folder.path().join("eve.json.1")).unwrap();
        add("b");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("eve.json.1"), read("eve.json")), ("a\nmore\n".into(), "b\nmore\n".into()));
        std::fs::write(&path, "{\"half").unwrap();
        add("c");
        assert_eq!(read("eve.json"), "{\"half\nc\nmore\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Append(folder.path().join("none/x")).send(&[letter("a")], 0, Timestamp::EPOCH).is_err());
        assert!(Append(folder.path().to_owned()).send(&[letter("a")], 0, Timestamp::EPOCH).is_err());
    }
}
