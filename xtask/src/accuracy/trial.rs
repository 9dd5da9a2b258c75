//! What a set asks of Pavise.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;

use super::label::{Attack, Span, Unit};
use crate::run::Failure;

/// One experiment: what is watched, and what is true of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trial {
    /// Watched first, to learn. Nothing in these is an attack.
    pub(crate) clean: Vec<PathBuf>,
    /// Watched then, with what was learnt.
    pub(crate) attacked: Vec<PathBuf>,
    /// When there was something to watch, in both.
    pub(crate) watched: Vec<Span>,
    pub(crate) attacks: Vec<Attack>,
    /// How far the clock of the labels and that of the packets may be apart.
    pub(crate) tolerance: Duration,
    /// Everything that has a label of its own; empty where only attacks have one.
    pub(crate) units: Vec<Unit>,
    /// From when on units are ranked by their scores, where earlier ones were learnt from.
    pub(crate) ranked_from: Option<Timestamp>,
}

/// Makes a trial; what it has to write for that goes into the folder that is given. It is emptied after
/// the trial, so a set needs no more room than its largest trial.
pub(crate) type Prepare = Box<dyn FnOnce(&Path) -> Result<Trial, Failure>>;

/// A labelled set.
pub(crate) struct Set {
    /// Its folder in the corpus and its row in the manifest.
    pub(crate) name: &'static str,
    /// What has a label of its own, in the plural.
    pub(crate) unit: &'static str,
    /// What its labels cannot show: whoever reads the figures must know.
    pub(crate) caution: &'static str,
    /// Its trials, from its folder.
    pub(crate) trials: fn(&Path) -> Result<Vec<Prepare>, Failure>,
}

/// All files below a folder whose path ends so, sorted.
pub(crate) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a file. Bytes that are no UTF-8, and a byte-order mark, do not matter for labels.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    Ok(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned())
}
