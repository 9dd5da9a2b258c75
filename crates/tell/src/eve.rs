//! Telling whoever reads Suricata's EVE JSON: by a file, or by TCP, a line for each message.

use std::io::{self, Write};
use std::path::PathBuf;

use model::{Severity, Timestamp};
use serde::Deserialize;

use crate::Letter;
use crate::deliver::{Carrier, Most};
use crate::file::Append;
use crate::tls::{Place, Way, shown};

/// So many lines go over one connection.
const AT_ONCE: usize = 64;

/// Where to, as the settings say it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    file: Option<PathBuf>,
    /// `tcp://HOST:PORT`.
    url: Option<String>,
    pub(super) severity: Option<Severity>,
}

impl From<String> for Options {
    fn from(text: String) -> Self {
        if text.contains("://") {
            Self { url: Some(text), ..Self::default() }
        } else {
            Self { file: Some(text.into()), ..Self::default() }
        }
    }
}

impl Options {
    /// Who is told, without secrets, and the way there.
    pub(super) fn open(&self, of: &str) -> Result<(String, Box<dyn Carrier>), String> {
        match (&self.file, &self.url) {
            (Some(path), None) => Ok((path.display().to_string(), Box::new(Append(path.clone())))),
            (None, Some(url)) => {
                let place = url.strip_prefix("tcp://").and_then(|at| Place::read(at, None));
                let place =
                    place.ok_or_else(|| format!("{of}.url = {:?}: expected tcp://HOST:PORT", shown(url)))?;
                Ok((url.clone(), Box::new(Lines(place))))
            }
            _ => Err(format!("{of}: name either a file, or tcp://HOST:PORT as url")),
        }
    }
}

/// Sends lines by TCP.
struct Lines(Place);

impl Lines {
    fn tell(&self, letters: &[Letter]) -> io::Result<()> {
        let mut way = Way::open(&self.0, None)?;
        for letter in letters {
            way.write_all(format!("{}\n", letter.body).as_bytes())?;
        }
        way.close()
    }
}

impl Carrier for Lines {
    fn most(&mut self, _: u64, _: Timestamp) -> Most {
        Most::Now(AT_ONCE)
    }

    fn send(&mut self, letters: &[Letter], _: u64, _: Timestamp) -> Result<(), String> {
        self.tell(letters).map_err(|error| error.to_string())
    }
}
