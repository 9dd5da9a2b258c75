//! The settings file.

use std::fs;
use std::io;
use std::path::Path;

use brain::Settings;

use crate::output::Problem;

/// Where settings lie in a state.
const FILE: &str = "settings.toml";

/// Reads the file that was named, or the one in the state if there is one.
pub(crate) fn read(named: Option<&Path>, state: &Path) -> Result<Settings, Problem> {
    let usual = state.join(FILE);
    let path = named.unwrap_or(&usual);
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
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
