//! The settings file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use brain::Settings;
use detect::{Indicators, Step};
use toml::de::{DeArray, DeTable, DeValue};

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
    let wrong = |at: Option<usize>, why: &str| {
        let line = at.map_or_else(String::new, |at| format!(":{}", line(&text, at)));
        Problem::Other(format!(
            "the settings {}{line} cannot be used: {why}; `pavise detectors --help` shows an example",
            path.display()
        ))
    };
    parse(&text).map_err(|(at, why)| wrong(at, &why))
}

/// Reads settings; or says what is wrong with them, and at which byte, if that is known.
fn parse(text: &str) -> Result<Settings, (Option<usize>, String)> {
    let settings: Settings = toml::from_str(text)
        .map_err(|error| (error.span().map(|span| span.start), error.message().to_owned()))?;
    settings.check().map_err(|error| (find(text, error.place()), error.to_string()))?;
    Ok(settings)
}

/// The line in which a byte of a text stands, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Where in a text a setting stands, in bytes.
fn find(text: &str, place: &[Step]) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (mut at, mut here) = (None, Here::Table(root.get_ref()));
    for step in place {
        let value = match (here, step) {
            (Here::Table(table), Step::Key(key)) => {
                let (key, value) = table.get_key_value(key.as_str())?;
                at = Some(key.span().start);
                value
            }
            (Here::List(list), Step::Item(number)) => list.get(*number)?,
            _ => return at,
        };
        if let Step::Item(_) = step {
            at = Some(value.span().start);
        }
        here = match value.get_ref() {
            DeValue::Table(table) => Here::Table(table),
            DeValue::Array(list) => Here::List(list),
            _ => return at,
        };
    }
    at
}

/// What is reached on the way to a setting.
enum Here<'a> {
    Table(&'a DeTable<'a>),
    List(&'a DeArray<'a>),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_setting_is_found_where_it_stands() {
        let text = "site = 'x'\n\n[[scope]]\nrole = 'plc'\n\n[[scope]]\nzone = 'a'\noff = [\n  'b']\n\n[thresholds]\n\
                    \"a.b\" = 1\n";
        let at = |place: &[Step]| find(text, place).map(|at| line(text, at));
        assert_eq!(at(&["site".into()]), Some(1));
        assert_eq!(at(&["scope".into(), 0.into()]), Some(3));
        assert_eq!(at(&["scope".into(), 1.into(), "zone".into()]), Some(7));
        assert_eq!(at(&["scope".into(), 1.into(), "off".into()]), Some(8));
        assert_eq!(at(&["thresholds".into(), "a.b".into()]), Some(12));
        assert_eq!(at(&["scope".into(), 7.into()]), None);
    }

    proptest! {
        // Whatever an editor makes of the example: it is read, or refused with a line that there is.
        #[test]
        fn settings_may_be_damaged(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..8),
        ) {
            let example = std::fs::read_to_string(testkit::workspace().join("docs/settings.toml")).unwrap();
            let mut text: Vec<char> = example.chars().collect();
            for (place, character) in changes {
                let place = place.index(text.len());
                text[place] = character;
            }
            let text: String = text.into_iter().collect();
            if let Err((at, why)) = parse(&text) {
                prop_assert!(!why.is_empty());
                prop_assert!(at.is_none_or(|at| line(&text, at) <= text.lines().count() + 1), "{why}");
            }
        }
    }
}
