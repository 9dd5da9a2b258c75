//! Telling by syslog (RFC 5424): over UDP (RFC 5426), TCP (RFC 6587, section 3.4.1) or TLS (RFC 5425).

use std::io::{self, Write};
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use model::{Severity, Timestamp};
use rustls::ClientConfig;
use serde::Deserialize;

use crate::Letter;
use crate::deliver::{Carrier, Most};
use crate::notice::Format;
use crate::tls::{Place, Trust, Way, shown};

/// The port of syslog over TLS (RFC 5425, section 4.1).
const TLS_PORT: u16 = 6_514;

/// So many messages go over one connection.
const AT_ONCE: usize = 64;

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
    pub(super) format: Format,
    pub(super) severity: Option<Severity>,
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
        Ok(Syslog { url: self.url.clone(), place, by })
    }
}

enum By {
    Udp,
    Stream(Option<Arc<ClientConfig>>),
}

/// Tells by syslog.
pub(super) struct Syslog {
    url: String,
    place: Place,
    by: By,
}

impl Syslog {
    /// Who is told, without secrets.
    pub(super) fn name(&self) -> String {
        self.url.clone()
    }

    fn tell(&self, letters: &[Letter]) -> io::Result<()> {
        let tls = match &self.by {
            By::Udp => {
                let mut all = (self.place.host.as_str(), self.place.port).to_socket_addrs()?;
                let at = all.next().ok_or_else(|| io::Error::other("its name has no address"))?;
                let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                return letters
                    .iter()
                    .try_for_each(|letter| socket.send_to(letter.body.as_bytes(), at).map(drop));
            }
            By::Stream(tls) => tls.as_ref(),
        };
        let mut way = Way::open(&self.place, tls)?;
        for Letter { body, .. } in letters {
            // Octet counting (RFC 6587, section 3.4.1; RFC 5425, section 4.3).
            way.write_all(format!("{} {body}", body.len()).as_bytes())?;
        }
        way.close()
    }
}

impl Carrier for Syslog {
    fn most(&mut self, _: u64, _: Timestamp) -> Most {
        Most::Now(AT_ONCE)
    }

    fn send(&mut self, letters: &[Letter], _: u64, _: Timestamp) -> Result<(), String> {
        self.tell(letters).map_err(|error| error.to_string())
    }
}
