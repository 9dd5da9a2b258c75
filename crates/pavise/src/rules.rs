//! What a watch is to judge by: a policy, and manufacturers' usage descriptions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brain::{Profiles, Rules};
use clap::Args;

use crate::mud;
use crate::output::{Problem, say};
use crate::policy;

/// So many descriptions are taken from a folder.
const MAX_FILES: usize = 4096;
/// A file that maps devices to descriptions has at most so many lines.
const MAX_LINES: usize = 65_536;

/// What a command names.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Named {
    /// Judge by a policy: what it denies becomes a finding (`policy-violation`); nothing is cut
    #[arg(long, value_name = "FILE.policy", conflicts_with = "no_findings")]
    pub(crate) policy: Option<PathBuf>,
    /// Judge by manufacturers' usage descriptions: a file, or a folder of them (*.json); devices are matched by the MUD
    /// URL that they show. May be given several times
    #[arg(long, value_name = "FOLDER|FILE.json", conflicts_with = "no_findings")]
    pub(crate) mud: Vec<PathBuf>,
    /// Judge one device by a description, whatever URL it shows: by its id, an address, its host name or label. May be
    /// given several times
    #[arg(long, value_name = "DEVICE=FILE.json", conflicts_with = "no_findings")]
    pub(crate) mud_for: Vec<String>,
    /// A file that says for several devices what `--mud-for` does, one a line; paths are seen from its folder
    #[arg(long, value_name = "FILE", conflicts_with = "no_findings")]
    pub(crate) mud_map: Option<PathBuf>,
}

/// Reads all that is named.
pub(crate) fn read(named: &Named) -> Result<Rules, Problem> {
    let policy = named.policy.as_deref().map(policy::read).transpose()?;
    let mut profiles = Profiles::default();
    for path in &named.mud {
        for path in descriptions(path)? {
            profiles.add(mud::read(&path)?.1.file);
        }
    }
    for text in &named.mud_for {
        assign(&mut profiles, text, Path::new(""), || {
            format!("--mud-for {text}: expected DEVICE=FILE.json, such as 10.0.0.17=lamp.json")
        })?;
    }
    if let Some(path) = &named.mud_map {
        read_map(path, &mut profiles)?;
    }
    if !profiles.is_empty() {
        say(format_args!("{} manufacturers' usage descriptions are judged by.", profiles.len()));
    }
    Ok(Rules { policy: policy.map(|policy| (Arc::new(policy), policy::protocols())), profiles })
}

/// The problem that stands for what makes a policy meaningless.
pub(crate) fn refused(problems: &[::policy::Problem]) -> Problem {
    Problem::Other(problems.first().map_or_else(String::new, ToString::to_string))
}

/// The descriptions in a folder, in the order of their names; or the one file that is named.
pub(crate) fn descriptions(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let wrong = |error: std::io::Error| {
        Problem::Other(format!("cannot read the folder {}: {error}; check its name", path.display()))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) && path.is_file()
        {
            files.push(path);
        }
    }
    if files.is_empty() || files.len() > MAX_FILES {
        let count = files.len();
        return Err(Problem::Other(format!(
            "{} holds {count} descriptions (*.json), and 1 to {MAX_FILES} are taken: name another folder",
            path.display()
        )));
    }
    files.sort();
    Ok(files)
}

fn assign(
    profiles: &mut Profiles,
    text: &str,
    folder: &Path,
    wrong: impl FnOnce() -> String,
) -> Result<(), Problem> {
    let named = text.split_once('=').map(|(device, file)| (device.trim(), file.trim()));
    let Some((device, file)) = named.filter(|(device, file)| !device.is_empty() && !file.is_empty()) else {
        return Err(Problem::Other(wrong()));
    };
    profiles.assign(device, mud::read(&folder.join(file))?.1.file);
    Ok(())
}

fn read_map(path: &Path, profiles: &mut Profiles) -> Result<(), Problem> {
    let text = fs::read_to_string(path).map_err(|error| {
        Problem::Other(format!("cannot read {}: {error}; check its name", path.display()))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for (number, line) in text.lines().enumerate() {
        let place = || format!("{}:{}", path.display(), number + 1);
        if number >= MAX_LINES {
            return Err(Problem::Other(format!(
                "{}: it has more than {MAX_LINES} lines; divide it",
                place()
            )));
        }
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            assign(profiles, line, folder, || {
                format!("{}: expected DEVICE=FILE.json, such as 10.0.0.17=lamp.json", place())
            })?;
        }
    }
    Ok(())
}
