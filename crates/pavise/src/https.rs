//! Fetches small files by HTTPS from hosts that a device may have named, and from nowhere else: neither by another scheme, nor
//! from another host, nor from this network.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;
use ureq::http::header::{CONTENT_TYPE, LOCATION};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// A file is there within so long, redirections not counted.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
/// An answer's header has at most so many bytes.
const MAX_HEADER: usize = 16 << 10;
/// So many redirections are followed.
pub(crate) const MAX_REDIRECTS: usize = mud::MAX_REDIRECTS;

/// Asks servers.
pub(crate) struct Client {
    agent: Agent,
}

/// A file as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// Where it was redirected to, in order.
    pub(crate) redirects: Vec<String>,
}

/// Why there is no file.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody answered as a server should: it may be tried again.
    Unreachable(String),
    /// The server's name leads into this network.
    Inner(String),
    /// The server says that there is none.
    Status(u16),
    /// It is of another type than it must be.
    Type(String),
    /// It is larger than it may be, in bytes.
    Large(usize),
    /// It was redirected to where it may not be, or too often.
    Redirect(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "no answer: {why}"),
            Self::Inner(host) => write!(
                f,
                "{host} has no address but of this network, where a device could make Pavise ask what it cannot reach itself; \
                 --allow-private asks all the same"
            ),
            Self::Status(code) => write!(f, "the server answers {code}"),
            Self::Type(kind) => {
                write!(f, "the server sends {kind:?} and not application/mud+json (RFC 8520, section 6)")
            }
            Self::Large(limit) => write!(f, "it has more than {limit} bytes"),
            Self::Redirect(to) => write!(
                f,
                "it is redirected to {to:?}; only the same host is followed, by https, and {MAX_REDIRECTS} times at most"
            ),
        }
    }
}

impl Client {
    /// One that trusts servers by these certificates (DER), or by the system's if there are none.
    pub(crate) fn new(roots: &[Vec<u8>], allow_private: bool) -> Self {
        let roots: Vec<Certificate<'static>> = if roots.is_empty() {
            let system = rustls_native_certs::load_native_certs().certs;
            system.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        } else {
            roots.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let config = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .max_response_header_size(MAX_HEADER)
            // A proxy would resolve names by itself.
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .user_agent("pavise")
            .tls_config(tls)
            .build();
        let resolver = Outside { inner: DefaultResolver::default(), allow_private };
        Self { agent: Agent::with_parts(config, DefaultConnector::default(), resolver) }
    }

    /// A file of at most `limit` bytes, of type `kind` if that is wanted.
    pub(crate) fn get(&self, url: &str, kind: Option<&str>, limit: usize) -> Result<Answer, Failure> {
        let mut redirects: Vec<String> = Vec::new();
        let mut at = url.to_owned();
        loop {
            let mut request = self.agent.get(&at);
            if let Some(kind) = kind {
                request = request.header("Accept", kind);
            }
            let mut response = request.call().map_err(|error| failure(&error, limit))?;
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            let status = response.status().as_u16();
            if matches!(status, 301 | 302 | 303 | 307 | 308) {
                let location = header(LOCATION).unwrap_or_default().to_owned();
                let next = follow(&at, &location).filter(|_| redirects.len() < MAX_REDIRECTS);
                at = next.ok_or(Failure::Redirect(location))?;
                redirects.push(at.clone());
                continue;
            }
            if status != 200 {
                return Err(Failure::Status(status));
            }
            let told = header(CONTENT_TYPE).unwrap_or_default().to_owned();
            let plain = told.split(';').next().unwrap_or_default().trim();
            if kind.is_some_and(|kind| !plain.eq_ignore_ascii_case(kind)) {
                return Err(Failure::Type(told));
            }
            let body = response.body_mut().with_config().limit(limit as u64);
            let bytes = body.read_to_vec().map_err(|error| failure(&error, limit))?;
            return Ok(Answer { bytes, redirects });
        }
    }
}

fn failure(error: &ureq::Error, limit: usize) -> Failure {
    match error {
        ureq::Error::BodyExceedsLimit(_) => Failure::Large(limit),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Inner>()) {
            Some(Inner(host)) => Failure::Inner(host.clone()),
            None => Failure::Unreachable(error.to_string()),
        },
        other => Failure::Unreachable(other.to_string()),
    }
}

/// Where a redirection leads, if that is the same host and port by https.
fn follow(from: &str, location: &str) -> Option<String> {
    let from: Uri = from.parse().ok()?;
    let authority = from.authority()?;
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(format!("https://{authority}{location}"));
    }
    let to: Uri = location.parse().ok()?;
    let same = |uri: &Uri| (uri.host().map(str::to_ascii_lowercase), uri.port_u16().unwrap_or(443));
    let is_fit =
        to.scheme_str() == Some("https") && same(&to) == same(&from) && !authority.as_str().contains('@');
    is_fit.then(|| location.to_owned())
}

/// A name that leads into this network only.
#[derive(Debug)]
struct Inner(String);

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no public address", self.0)
    }
}

impl std::error::Error for Inner {}

/// Finds public addresses only: those that it finds are those that are asked.
#[derive(Debug)]
struct Outside {
    inner: DefaultResolver,
    allow_private: bool,
}

impl Resolver for Outside {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut outside = self.empty();
        for address in found.iter().filter(|address| self.allow_private || is_public(address.ip())) {
            outside.push(*address);
        }
        if outside.is_empty() {
            let host = uri.host().unwrap_or_default().to_owned();
            return Err(ureq::Error::Io(io::Error::other(Inner(host))));
        }
        Ok(outside)
    }
}

/// Whether an address is one of the public Internet (RFC 6890 and the registries that it makes), in whatever form it is
/// written.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

const fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = a == 0
        || a >= 224
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && b & 0xfe == 18);
    !(is_special || ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, .., y, z] = ip.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b) {
        // RFC 6052, section 2.1; RFC 3056: those behind are asked.
        (0x64, 0xff9b) => ip.segments()[2..6] == [0; 4] && is_public_v4(embedded(y, z)),
        (0x2002, high) => is_public_v4(embedded(high, c)),
        // Teredo, ORCHID and others of IETF protocol assignments (RFC 2928), documentation (RFC 3849, RFC 9637).
        (0x2001, 0..=0x1ff | 0xdb8) => false,
        (0x3fff, 0..=0xfff) => false,
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_asked() {
        for inner in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b:1::808:808",
        ] {
            assert!(!is_public(inner.parse().unwrap()), "{inner}");
        }
        for outer in [
            "8.8.8.8",
            "1.1.1.1",
            "2606:4700::1111",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::",
        ] {
            assert!(is_public(outer.parse().unwrap()), "{outer}");
        }
    }

    #[test]
    fn a_name_that_leads_into_this_network_is_not_asked() {
        let roots = [b"any".to_vec()];
        let got = Client::new(&roots, false).get("https://localhost:1/mud.json", None, 10);
        assert!(matches!(&got, Err(Failure::Inner(host)) if host == "localhost"), "{got:?}");
        let got = Client::new(&roots, true).get("https://localhost:1/mud.json", None, 10);
        assert!(matches!(&got, Err(Failure::Unreachable(_))), "{got:?}");
    }

    #[test]
    fn a_redirection_stays_with_the_host_and_with_https() {
        let from = "https://mud.example/a/b.json";
        let to = |location| follow(from, location);
        assert_eq!(to("/c.json").as_deref(), Some("https://mud.example/c.json"));
        assert_eq!(to("https://MUD.example:443/c").as_deref(), Some("https://MUD.example:443/c"));
        for elsewhere in [
            "http://mud.example/c",
            "https://other.example/c",
            "//other.example/c",
            "https://mud.example:8443/c",
            "c.json",
            "",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }
}
