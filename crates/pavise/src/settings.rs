//! The settings file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use brain::Settings;
use detect::Indicators;

use crate::output::{Problem, say};

/// Where settings lie in a state.
const FILE: &str = "settings.toml";

/// A file of indicators is not longer than this, in bytes.
const MAX_INTEL: u64 = 512 << 20;

/// Reads indicators from files; says how many.
pub(crate) fn read_intel(files: &[PathBuf]) -> Result<Indicators, Problem> {
    let mut indicators = Indicators::default();
    for path in files {
        let wrong =
            |why: String| Problem::Other(format!("cannot read the indicators {}: {why}", path.display()));
        let length = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if length > MAX_INTEL {
            return Err(wrong(format!("it has more than {MAX_INTEL} bytes; give it in parts")));
        }
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let name = path.file_name().map_or_else(|| "list".into(), |name| name.to_string_lossy());
        let read = indicators.read(&text, &name).map_err(|error| wrong(error.to_string()))?;
        let passed = match read.passed_over {
            0 => String::new(),
            passed => format!(
                " ({passed} of kinds that are not seen in traffic, or not understood, were passed over)"
            ),
        };
        say(format_args!("{}: {} indicators{passed}.", path.display(), read.taken));
    }
    Ok(indicators)
}

/// Reads the file that was named, or the one in the state if there is one.
pub(crate) fn read(named: Option<&Path>, state: &Path) -> Result<Settings, Problem> {
    let usual = state.join(FILE);
    let path = named.unwrap_or(&usual);
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // Whatever is wrong with the state's folder is told when the state is opened.
        Err(error)
            if named.is_none()
                && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Settings::default());
        }
        Err(error) => {
            return Err(Problem::Other(format!(
                "cannot read the settings {}: {error}; name another file with --settings",
                path.display()
            )));
        }
    };
    let wrong = |why: String| {
        Problem::Other(format!(
            "the settings {} cannot be used: {why}; `pavise detectors --help` shows an example",
            path.display()
        ))
    };
    let settings: Settings =
        toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
    settings.check().map_err(|error| wrong(error.to_string()))?;
    Ok(settings)
}
