//! Ways to those who are told: TCP with a time limit, and TLS (RFC 8446, RFC 5246) on top of it.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lettre::transport::smtp::client::{Certificate as MailCertificate, CertificateStore, TlsParameters};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::secret::Secret;

/// Whoever does not take a message within this is tried again later.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The other side says within this that it, too, has heard all.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whom to believe to be who they say, and as whom to log in.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Of the file that is named; without one, those of the system.
    roots: Option<Vec<CertificateDer<'static>>>,
    identity: Option<Identity>,
}

/// As whom to log in.
#[derive(Debug)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// The key as it stood in its file.
    pem: Secret,
}

impl Trust {
    /// With the certificates of `ca`, or the system's; and with a certificate of our own and its key. `of` is whose these
    /// options are, such as `tell.mqtt`.
    ///
    /// # Errors
    ///
    /// If a file cannot be used, by the name of its option.
    pub(super) fn load(
        of: &str,
        ca: Option<&Path>,
        certificate: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Self, String> {
        let roots = ca.map(|path| certificates(&format!("{of}.ca"), path)).transpose()?;
        let identity = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(path)) => {
                let chain = certificates(&format!("{of}.certificate"), certificate)?;
                let wrong = |why: String| format!("{of}.key = {:?}: {why}", path.display().to_string());
                let pem = Secret::read(path).map_err(wrong)?;
                let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|error| {
                    wrong(format!(
                        "it holds no private key ({error}); name a PEM file of PKCS #8, PKCS #1 or SEC1"
                    ))
                })?;
                Some(Identity { chain, key, pem })
            }
            (Some(_), None) => {
                return Err(format!("{of}.certificate is of no use without {of}.key: name both"));
            }
            (None, Some(_)) => {
                return Err(format!("{of}.key is of no use without {of}.certificate: name both"));
            }
        };
        let trust = Self { roots, identity };
        // What rustls refuses is told now, not with the first message.
        trust.config().map_err(|why| format!("{of}: {why}"))?;
        Ok(trust)
    }

    /// For a stream: TLS 1.3 or 1.2.
    ///
    /// # Errors
    ///
    /// If a certificate cannot be used, or if there is none to trust.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            Some(roots) => {
                for root in roots {
                    store
                        .add(root.clone())
                        .map_err(|error| format!("ca: a certificate cannot be used: {error}"))?;
                }
            }
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if store.is_empty() {
            return Err(
                "this host knows no certificate authorities: name one with ca, or install ca-certificates"
                    .into(),
            );
        }
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(store);
        let config = match &self.identity {
            Some(Identity { chain, key, .. }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| format!("certificate and key cannot be used together: {error}"))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// For HTTPS.
    ///
    /// # Errors
    ///
    /// If the key cannot be used.
    pub(super) fn for_https(&self) -> Result<TlsConfig, String> {
        let system = || rustls_native_certs::load_native_certs().certs;
        let roots = self.roots.clone().unwrap_or_else(system);
        let owned = |all: &[CertificateDer<'static>]| -> Vec<Certificate<'static>> {
            all.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        };
        let identity = match &self.identity {
            Some(Identity { chain, pem, .. }) => {
                let key = PrivateKey::from_pem(pem.expose().as_bytes()).map_err(|error| error.to_string())?;
                Some(ClientCert::new_with_certs(&owned(chain), key))
            }
            None => None,
        };
        let config = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(owned(&roots))))
            .client_cert(identity)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        Ok(config)
    }

    /// For a mail server of this name.
    ///
    /// # Errors
    ///
    /// If a certificate cannot be used.
    pub(super) fn for_mail(&self, host: &str) -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(host.to_owned());
        if let Some(roots) = &self.roots {
            builder = builder.certificate_store(CertificateStore::None);
            for root in roots {
                let root = MailCertificate::from_der(root.to_vec()).map_err(|error| error.to_string())?;
                builder = builder.add_root_certificate(root);
            }
        }
        builder.build().map_err(|error| error.to_string())
    }
}

fn certificates(of: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| format!("{of} = {:?}: {why}", path.display().to_string());
    let text = fs::read(path)
        .map_err(|error| wrong(format!("cannot read it: {error}; name a file of certificates")))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(wrong("it holds no certificate; name a PEM file".into())),
        Err(error) => Err(wrong(format!("its certificates cannot be read: {error}; name a PEM file"))),
    }
}

/// Host and port of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    /// Of `HOST[:PORT]`, an address of IPv6 in brackets (RFC 3986, section 3.2.2).
    pub(super) fn read(text: &str, usual: Option<u16>) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let port = if port.is_empty() && !text.ends_with(':') {
            usual?
        } else {
            // The number alone: a sign is none of a port.
            port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?
        };
        let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
        let is_plain = !host.contains(['@', '/', '?', '#', '%', '[']) && port != 0;
        (is_host && is_plain).then(|| Self { host: host.to_owned(), port })
    }

    /// Whether it is this machine: nothing that is sent there passes a network.
    pub(super) fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

/// A connection of which everything is done within [`PATIENCE`].
#[derive(Debug)]
pub(super) struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    fn open(place: &Place) -> io::Result<Self> {
        let until = Instant::now() + PATIENCE;
        let mut last = io::Error::other("its name has no address");
        for at in (place.host.as_str(), place.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&at, left(until)?) {
                Ok(stream) => return Ok(Self { stream, until }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A time limit that has passed is told as such, not as something that is not there yet.
fn late(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(to).map_err(late)
    }
}

impl Write for Timed {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(from).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A connection to somebody, encrypted or not.
pub(super) enum Way {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Way {
    /// Connects; by TLS, the other side has shown by then that it is who it should be.
    pub(super) fn open(place: &Place, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let mut stream = Timed::open(place)?;
        let Some(config) = tls else { return Ok(Self::Plain(stream)) };
        let name = ServerName::try_from(place.host.clone()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// Says that this is all, and waits until the other side has said so, too: by TLS, what it refuses after the handshake, such as
    /// our certificate (RFC 8446, section 4.4.2.4), would otherwise not be heard of; without it, that it has gone away with what it
    /// had not read. Whoever says nothing is not waited for long. Only for who sends nothing of its own.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.flush()?;
        let until = Instant::now() + FAREWELL;
        match &mut self {
            Self::Plain(stream) => {
                stream.stream.shutdown(Shutdown::Write)?;
                stream.until = stream.until.min(until);
            }
            Self::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.flush()?;
                tls.sock.until = tls.sock.until.min(until);
            }
        }
        let is_plain = matches!(self, Self::Plain(_));
        match self.read(&mut [0; 64]) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(error),
            Err(error) if is_plain && error.kind() == ErrorKind::ConnectionReset => {
                Err(io::Error::other("it has hung up before it had read all"))
            }
            // It has hung up, or waits for us to: nothing speaks against what was sent.
            Err(_) => Ok(()),
        }
    }
}

impl Read for Way {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(to),
            Self::Tls(stream) => stream.read(to),
        }
    }
}

impl Write for Way {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(from),
            Self::Tls(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A URL as it may be shown: without a login, which has no place in it.
pub(super) fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(login)) if login > scheme => {
            let [scheme, rest] = [url.get(..scheme + 3), url.get(login..)].map(Option::unwrap_or_default);
            format!("{scheme}...{rest}")
        }
        _ => url.to_owned(),
    }
}

/// An error in words, with what to do where it is the certificate.
pub fn explain(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    if text.contains("invalid peer certificate") {
        format!(
            "{text}; name the authority that signed it with ca, and the host as it stands in the certificate"
        )
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_a_host_and_a_port() {
        let of =
            |text: &str| Place::read(text, Some(7)).map(|place| format!("{} {}", place.host, place.port));
        for (text, expected) in [
            ("a.example", Some("a.example 7")),
            ("a.example:65535", Some("a.example 65535")),
            ("[fd00::1]", Some("fd00::1 7")),
            ("[fd00::1]:8", Some("fd00::1 8")),
            ("", None),
            (":8", None),
            ("a:", None),
            ("a:0", None),
            ("a:65536", None),
            ("a:-1", None),
            ("a:+1", None),
            ("fd00::1", None),
            ("[fd00::1]:", None),
            ("[fd00::1]8", None),
            ("[fd00::1%eth0]", None),
            ("u@a", None),
            ("a b", None),
        ] {
            assert_eq!(of(text).as_deref(), expected, "{text}");
        }
        assert_eq!(Place::read("a", None), None);
    }

    #[test]
    fn only_this_machine_is_this_machine() {
        let of = |host: &str| Place { host: host.into(), port: 1 }.is_loopback();
        assert!(
            ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
                .iter()
                .all(|host| of(host))
        );
        assert!(
            ["localhost.example", "10.0.0.1", "127.example", "::2", "0.0.0.0"].iter().all(|host| !of(host))
        );
    }

    #[test]
    fn a_login_in_a_url_is_not_shown() {
        assert_eq!(shown("https://user:w@rd@host/x"), "https://...@host/x");
        assert_eq!(shown("mqtt://host/x"), "mqtt://host/x");
        assert_eq!(shown("user@host"), "user@host");
    }

    proptest! {
        #[test]
        fn any_text_is_a_place_that_can_be_asked_or_none(text in "\\PC*", port in any::<u16>()) {
            if let Some(place) = Place::read(&text, Some(port)) {
                prop_assert!(place.host.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(text.contains(&place.host));
            }
            prop_assert!(shown(&text).len() <= text.len() + 3);
        }
    }
}
