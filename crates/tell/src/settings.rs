//! Whom to tell, as the file given to `--protect` says it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use model::Severity;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::deliver::Carrier;
use crate::file::{self, Append};
use crate::notice::{Catalogue, Json, Packer, Words};
use crate::{Limits, eve, mail, mqtt, otlp, syslog, webhook};

/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// Something that is named by its URL alone, or by a table that says more.
#[derive(Clone, Debug)]
struct Short<T>(T);

impl<'de, T: From<String> + Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: From<String> + Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Short<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a URL, or a table with url and more (of a file: a path, or a table with path and more)",
                )
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
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Text {
    syslog: Option<Short<syslog::Options>>,
    /// A file to which a line of JSON is added.
    file: Option<Short<file::Options>>,
    webhook: Option<Short<webhook::Options>>,
    mqtt: Option<Short<mqtt::Options>>,
    mail: Option<mail::Options>,
    eve: Option<Short<eve::Options>>,
    otlp: Option<Short<otlp::Options>>,
    /// How JSON is written, where a receiver does not say so.
    #[serde(default)]
    json: Json,
    /// The least severity of findings and incidents that are told, where a receiver does not say so. Without it, only what was
    /// done is told.
    severity: Option<Severity>,
    /// For how long what cannot be delivered is kept.
    keep_days: Option<u64>,
    /// How much of it is kept for each receiver.
    keep_messages: Option<u64>,
    keep_mib: Option<u64>,
}

/// Somebody who is told.
pub struct Receiver {
    /// The key in the settings, by which the outbox knows it, too.
    pub key: &'static str,
    /// Where it is, without secrets.
    pub name: String,
    /// The least severity of findings and incidents that it is told of, if it is told of them at all.
    pub severity: Option<Severity>,
    /// Its words.
    pub packer: Packer,
    /// The way there.
    pub carrier: Box<dyn Carrier>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.key, self.name)
    }
}

/// Whom to tell.
#[derive(Debug, Default)]
pub struct Tell {
    /// Everybody who is told.
    pub receivers: Vec<Receiver>,
    /// How much is kept for each, and for how long.
    pub limits: Limits,
}

/// The name of this host.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

impl Text {
    /// Reads the files that are named, and looks whether all can be used; nobody is told yet.
    ///
    /// # Errors
    ///
    /// What is wrong with which option, and what to do.
    pub fn open(&self, catalogue: Catalogue) -> Result<Tell, String> {
        let host: Arc<str> = host().into();
        let mut receivers = Vec::new();
        let mut add = |key, name, severity: Option<Severity>, words, carrier| {
            let packer = Packer { words, catalogue, host: Arc::clone(&host) };
            receivers.push(Receiver { key, name, severity: severity.or(self.severity), packer, carrier });
        };
        let json = |own: Option<Json>| Words::Json(own.unwrap_or(self.json));
        if let Some(Short(options)) = &self.syslog {
            let way = options.open("tell.syslog")?;
            add("syslog", way.name(), options.severity, Words::Syslog(options.format), Box::new(way));
        }
        if let Some(Short(options)) = &self.file {
            let name = options.path.display().to_string();
            add("file", name, options.severity, json(options.json), Box::new(Append(options.path.clone())));
        }
        if let Some(Short(options)) = &self.webhook {
            let poster = options.open("tell.webhook")?;
            let (name, way) = (poster.name(), Box::new(webhook::Webhook(poster)));
            add("webhook", name, options.severity, json(options.json), way);
        }
        if let Some(Short(options)) = &self.mqtt {
            let way = options.open("tell.mqtt")?;
            add("mqtt", way.name(), options.severity, json(options.json), Box::new(way));
        }
        if let Some(options) = &self.mail {
            let way = options.open("tell.mail")?;
            add("mail", way.name(), options.severity, Words::Mail, Box::new(way));
        }
        if let Some(Short(options)) = &self.eve {
            let (name, way) = options.open("tell.eve")?;
            add("eve", name, options.severity, Words::Json(Json::Eve), way);
        }
        if let Some(Short(options)) = &self.otlp {
            let way = options.open("tell.otlp", Arc::clone(&host))?;
            add("otlp", way.name(), options.severity, Words::Record, Box::new(way));
        }
        Ok(Tell { receivers, limits: self.limits()? })
    }

    fn limits(&self) -> Result<Limits, String> {
        let usual = Limits::default();
        let of = |key: &str, given: Option<u64>| match given {
            Some(0) => Err(format!("tell.{key} = 0 keeps nothing: give 1 or more, or leave it out")),
            given => Ok(given),
        };
        let days = of("keep-days", self.keep_days)?;
        let messages = of("keep-messages", self.keep_messages)?;
        let mib = of("keep-mib", self.keep_mib)?;
        Ok(Limits {
            age: days.map_or(usual.age, |days| Duration::from_secs(days.saturating_mul(DAY_S))),
            messages: messages.unwrap_or(usual.messages),
            bytes: mib.map_or(usual.bytes, |mib| mib.saturating_mul(MIB)),
        })
    }
}
