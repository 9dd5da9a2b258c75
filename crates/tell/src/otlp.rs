//! Posting log records to a collector of OpenTelemetry (OTLP/HTTP, JSON).

use std::path::PathBuf;
use std::sync::Arc;

use enforce::notify::{Reporter, otlp};
use model::{Severity, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::Letter;
use crate::deliver::{Carrier, Most};
use crate::webhook::{Endpoint, Poster, id};

/// So many records go with one post.
const AT_ONCE: usize = 64;

/// Where to, as the settings say it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    /// The whole URL, as `https://collector:4318/v1/logs`.
    url: String,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    token_file: Option<PathBuf>,
    pub(super) severity: Option<Severity>,
}

impl From<String> for Options {
    fn from(url: String) -> Self {
        Self { url, ..Self::default() }
    }
}

impl Options {
    pub(super) fn open(&self, of: &str, host: Arc<str>) -> Result<Collector, String> {
        let Self { url, ca, certificate, key, token_file, severity: _ } = self.clone();
        let endpoint = Endpoint { url, ca, certificate, key, token_file, secret_file: None };
        Ok(Collector { poster: endpoint.open(of)?, host })
    }
}

/// Posts records to a collector.
pub(super) struct Collector {
    poster: Poster,
    host: Arc<str>,
}

impl Collector {
    /// Who is told, without secrets.
    pub(super) fn name(&self) -> String {
        self.poster.name()
    }
}

impl Carrier for Collector {
    fn most(&mut self, _: u64, _: Timestamp) -> Most {
        Most::Now(AT_ONCE)
    }

    fn send(&mut self, letters: &[Letter], _: u64, now: Timestamp) -> Result<(), String> {
        let records: Result<Vec<Value>, _> =
            letters.iter().map(|letter| serde_json::from_str(&letter.body)).collect();
        let records = records.map_err(|error| format!("a record cannot be read: {error}; drop it"))?;
        let reporter = Reporter { host: &self.host, version: env!("CARGO_PKG_VERSION") };
        let json = otlp(&records, reporter).to_string();
        self.poster.post(&id(&json), &json, now)
    }
}
