//! Telling by syslog (RFC 5424): over UDP (RFC 5426), TCP (RFC 6587, section 3.4.1) or TLS (RFC 5425).

use std::io::{self, Write};
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use enforce::notify::{Reporter, Told, carried, cef, leef, syslog};
use rustls::ClientConfig;
use serde::Deserialize;

use super::Message;
use super::deliver::Receiver;
use super::tls::{Place, Trust, Way, shown};

/// The port of syslog over TLS (RFC 5425, section 4.1).
const TLS_PORT: u16 = 6_514;

/// Who is told, as the file says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    /// `udp://HOST:PORT`, `tcp://HOST:PORT` or `tls://HOST[:PORT]`.
    url: String,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    format: Format,
}

/// What a message says it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    /// Structured data of RFC 5424, and a sentence.
    #[default]
    Rfc5424,
    /// The Common Event Format.
    Cef,
    /// The Log Event Extended Format 2.0.
    Leef,
}

impl From<String> for Options {
    fn from(url: String) -> Self {
        Self { url, ..Self::default() }
    }
}

impl Options {
    pub(super) fn open(&self, of: &str) -> Result<Syslog, String> {
        let wrong = || {
            format!(
                "{of}.url = {:?}: expected udp://HOST:PORT, tcp://HOST:PORT or tls://HOST[:{TLS_PORT}]",
                shown(&self.url)
            )
        };
        let (scheme, at) = self.url.split_once("://").ok_or_else(wrong)?;
        let place = Place::read(at, (scheme == "tls").then_some(TLS_PORT)).ok_or_else(wrong)?;
        let by = match scheme {
            "udp" => By::Udp,
            "tcp" => By::Stream(None),
            "tls" => {
                let trust =
                    Trust::load(of, self.ca.as_deref(), self.certificate.as_deref(), self.key.as_deref())?;
                By::Stream(Some(trust.config()?))
            }
            _ => return Err(wrong()),
        };
        if scheme != "tls" && (self.ca.is_some() || self.certificate.is_some() || self.key.is_some()) {
            return Err(format!(
                "{of}: ca, certificate and key are for tls:// only: use it in url, or leave them out"
            ));
        }
        Ok(Syslog { url: self.url.clone(), place, by, format: self.format, host: super::host() })
    }
}

enum By {
    Udp,
    Stream(Option<Arc<ClientConfig>>),
}

/// Tells incidents, with what was done about them.
pub(super) struct Syslog {
    url: String,
    place: Place,
    by: By,
    format: Format,
    /// Who we are.
    host: String,
}

impl Syslog {
    fn tell(&self, text: &str) -> io::Result<()> {
        let tls = match &self.by {
            By::Udp => {
                let mut all = (self.place.host.as_str(), self.place.port).to_socket_addrs()?;
                let at = all.next().ok_or_else(|| io::Error::other("its name has no address"))?;
                let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                return UdpSocket::bind(any)?.send_to(text.as_bytes(), at).map(drop);
            }
            By::Stream(tls) => tls.as_ref(),
        };
        let mut way = Way::open(&self.place, tls)?;
        // Octet counting (RFC 6587, section 3.4.1; RFC 5425, section 4.3).
        way.write_all(format!("{} {text}", text.len()).as_bytes())?;
        way.close()
    }
}

impl Receiver for Syslog {
    type Item = Message;
    type Parcel = String;

    fn name(&self) -> String {
        self.url.clone()
    }

    fn pack(&mut self, message: Message, _: Instant) -> Option<String> {
        let reporter = Reporter { host: &self.host, version: env!("CARGO_PKG_VERSION") };
        let incident = message.incident()?;
        let told = Told::Incident(&incident);
        Some(match self.format {
            Format::Rfc5424 => syslog(told, reporter),
            Format::Cef => carried(told, reporter, &cef(told, reporter)),
            Format::Leef => carried(told, reporter, &leef(told, reporter)),
        })
    }

    fn send(&mut self, text: &String) -> Result<(), String> {
        self.tell(text).map_err(|error| error.to_string())
    }
}
