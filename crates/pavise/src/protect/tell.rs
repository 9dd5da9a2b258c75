//! Telling people and machines elsewhere, beside the work: nobody who is slow to listen delays a response, or another.

pub(super) mod deliver;
mod mail;
mod mqtt;
#[cfg(test)]
pub(super) mod peers;
mod secret;
mod syslog;
#[cfg(test)]
mod tests;
mod tls;
pub(super) mod webhook;

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use enforce::notify::{Reporter, incident_finding};
use model::{ActionTaken, Change, Event, Incident};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::clock;
use deliver::{Line, PAUSES, Receiver};
use secret::Secret;

/// Something that is named by its URL alone, or by a table that says more.
#[derive(Clone, Debug)]
struct Short<T>(T);

impl<'de, T: From<String> + Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: From<String> + Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Short<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a table with url and more")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<Short<T>, E> {
                Ok(Short(url.to_owned().into()))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Short<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Short)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// Whom to tell, as the file says it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    syslog: Option<Short<syslog::Options>>,
    /// A file to which a line of JSON is added.
    file: Option<PathBuf>,
    webhook: Option<Short<webhook::Endpoint>>,
    mqtt: Option<Short<mqtt::Options>>,
    mail: Option<mail::Options>,
    /// How JSON is written.
    #[serde(default)]
    json: Json,
}

/// The words in which JSON is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Json {
    /// The action, as `pavise watch --json` tells it.
    #[default]
    Action,
    /// The incident with what was done about it, as an Incident Finding of the Open Cybersecurity Schema Framework.
    Ocsf,
}

impl Text {
    /// Reads the files that are named, and looks whether all can be used; nobody is told yet.
    ///
    /// # Errors
    ///
    /// What is wrong with which option, and what to do.
    pub(crate) fn open(&self) -> Result<Tell, String> {
        let Self { syslog, file, webhook, mqtt, mail, json } = self;
        Ok(Tell {
            json: *json,
            syslog: syslog.as_ref().map(|Short(options)| options.open("tell.syslog")).transpose()?,
            file: file.clone(),
            webhook: webhook.as_ref().map(|Short(options)| options.open("tell.webhook")).transpose()?,
            mqtt: mqtt.as_ref().map(|Short(options)| options.open("tell.mqtt")).transpose()?,
            mail: mail.as_ref().map(|options| options.open("tell.mail")).transpose()?,
        })
    }
}

/// Whom to tell.
#[derive(Default)]
pub(crate) struct Tell {
    syslog: Option<syslog::Syslog>,
    file: Option<PathBuf>,
    webhook: Option<webhook::Poster>,
    mqtt: Option<mqtt::Broker>,
    mail: Option<mail::Mailer>,
    json: Json,
}

/// A user and the password, if somebody logs in.
fn login(of: &str, user: Option<&str>, password: Option<&Path>) -> Result<Option<(String, Secret)>, String> {
    match (user, password) {
        (None, None) => Ok(None),
        (Some(user), Some(path)) => {
            let wrong = |why: String| format!("{of}.password-file = {:?}: {why}", path.display().to_string());
            Ok(Some((user.to_owned(), Secret::read(path).map_err(wrong)?)))
        }
        (Some(_), None) => Err(format!("{of}.user is of no use without {of}.password-file: name both")),
        (None, Some(_)) => Err(format!("{of}.password-file is of no use without {of}.user: name both")),
    }
}

/// The name of this host.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// What is told.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) event: Arc<Event>,
    /// The incident that it is about.
    pub(crate) incident: Option<Arc<Incident>>,
    /// What was done to whom, in a few words.
    pub(crate) headline: Arc<str>,
    /// The same with all that belongs to it.
    pub(crate) text: Arc<str>,
}

impl Message {
    /// As JSON, if it can be said in these words.
    fn json(&self, words: Json) -> Option<String> {
        match words {
            Json::Action => serde_json::to_string(&*self.event).ok(),
            Json::Ocsf => {
                let host = host();
                let reporter = Reporter { host: &host, version: env!("CARGO_PKG_VERSION") };
                Some(incident_finding(&self.incident()?, reporter, false).to_string())
            }
        }
    }

    /// The incident that it is about, with what was done as its response.
    fn incident(&self) -> Option<Incident> {
        Some(Incident { response: (*self.text).into(), ..(**self.incident.as_ref()?).clone() })
    }

    fn taken(&self) -> Option<&ActionTaken> {
        match &self.event.change {
            Change::ActionTaken { action } => Some(action),
            _ => None,
        }
    }
}

/// Adds a line of JSON to a file.
struct Append(PathBuf, Json);

impl Receiver for Append {
    type Item = Message;
    type Parcel = String;

    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn pack(&mut self, message: Message, _: Instant) -> Option<String> {
        Some(message.json(self.1)? + "\n")
    }

    fn send(&mut self, line: &String) -> Result<(), String> {
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(|error| error.to_string())
    }
}

/// Tells all of them.
pub(crate) struct Teller {
    lines: Vec<Line<Message>>,
}

impl Teller {
    pub(crate) fn start(tell: Tell) -> Self {
        Self::with(tell, PAUSES)
    }

    fn with(tell: Tell, pauses: &'static [Duration]) -> Self {
        let Tell { syslog, file, webhook, mqtt, mail, json } = tell;
        let mut lines = Vec::new();
        lines.extend(syslog.map(|syslog| Line::start(syslog, pauses)));
        lines.extend(file.map(|file| Line::start(Append(file, json), pauses)));
        lines.extend(webhook.map(|poster| Line::start(webhook::Webhook(poster, json), pauses)));
        lines.extend(mqtt.map(|broker| Line::start(mqtt::Mqtt(broker, json), pauses)));
        lines.extend(mail.map(|mailer| Line::start(mailer, pauses)));
        Self { lines }
    }

    pub(crate) fn tell(&mut self, message: &Message) {
        for line in &mut self.lines {
            line.hand(message.clone());
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // All of them try what waits at the same time.
        for line in &mut self.lines {
            line.stop();
        }
        for line in &mut self.lines {
            line.join();
        }
    }
}
