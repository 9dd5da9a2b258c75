//! Other sides for tests of who is told: an authority with certificates, and servers that speak TLS and note what they hear.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver as Inbox, Sender, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// Anything is waited for at most so long.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// A file that only its owner can read.
pub fn kept(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// An authority, and a folder with its certificate (`ca.pem`), that of a server on this machine (`server.pem`, `server.key`),
/// that of a client (`client.pem`, `client.key`), and the certificate of another authority (`other.pem`).
pub struct Authority {
    folder: tempfile::TempDir,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one, with certificates of its own.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = |name: &str, common: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, common);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = KeyPair::generate().unwrap();
            fs::write(folder.path().join(name), params.self_signed(&key).unwrap().pem()).unwrap();
            Issuer::new(params, key)
        };
        root("other.pem", "Other");
        let issuer = root("ca.pem", "Plant");
        for name in ["server", "client"] {
            let names = if name == "server" {
                vec!["localhost".into(), "127.0.0.1".into()]
            } else {
                vec![name.into()]
            };
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            kept(folder.path(), &format!("{name}.key"), &key.serialize_pem());
        }
        Self { folder }
    }

    /// The path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A file that only its owner can read; its path.
    pub fn secret(&self, name: &str, content: &str) -> String {
        kept(self.folder.path(), name, content).display().to_string()
    }

    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(self.path(name)).unwrap().map(Result::unwrap).collect()
    }

    /// How the server answers: with its certificate, and asking for one of the client's if so.
    pub fn server(&self, asks_client: bool) -> Arc<ServerConfig> {
        self.server_by(rustls::DEFAULT_VERSIONS, asks_client)
    }

    /// The same, by these versions of TLS only.
    pub fn server_by(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        asks_client: bool,
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        let builder = if asks_client {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(self.chain("ca.pem"));
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        Arc::new(builder.with_single_cert(self.chain("server.pem"), key).unwrap())
    }
}

/// Both ways of a connection.
pub trait Both: Read + Write + Send {}

impl<T: Read + Write + Send> Both for T {}

/// Speaks TLS on a connection, as its server.
fn wrapped<S: Read + Write + Send + 'static>(config: &Arc<ServerConfig>, stream: S) -> Box<dyn Both> {
    Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream))
}

/// Reads until the bytes end so; nothing if the other side has gone.
fn until(stream: &mut dyn Both, end: &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(end) {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        bytes.push(byte[0]);
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// A port on which nobody listens for now. It is below those that systems give out by themselves (RFC 6335, section 6), so that
/// no other test gets it meanwhile.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(16).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(number % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Somebody who listens, for as long as the test runs, and what is heard there.
pub struct Server<T> {
    /// Where it listens on this machine.
    pub port: u16,
    heard: Inbox<T>,
}

impl<T: Send + 'static> Server<T> {
    /// On this port, or on any if it is 0; each connection is served by itself.
    fn start(port: u16, mut serve: impl FnMut(TcpStream, &Sender<T>) + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                serve(stream, &sender);
            }
        });
        Self { port, heard }
    }

    /// What is heard next.
    pub fn hears(&self) -> T {
        self.heard.recv_timeout(DEADLINE).expect("nothing was heard")
    }

    /// What was heard that nobody asked for yet.
    pub fn rest(&self) -> Vec<T> {
        self.heard.try_iter().collect()
    }
}

/// What was posted.
pub struct Posted {
    /// The first line and the header lines.
    pub head: String,
    /// The content.
    pub body: String,
}

impl Posted {
    /// The value of a header line.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.head.lines().filter_map(|line| line.split_once(": "));
        all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A server of HTTP, by TLS if there is a configuration. It answers in turn with these, and then with the last one.
pub fn web(config: Option<Arc<ServerConfig>>, port: u16, answers: &'static [&'static str]) -> Server<Posted> {
    let mut number = 0;
    Server::start(port, move |stream, heard| {
        let mut stream = match &config {
            Some(config) => wrapped(config, stream),
            None => Box::new(stream),
        };
        let Some(head) = until(&mut *stream, b"\r\n\r\n") else { return };
        let posted = Posted { head, body: String::new() };
        let length = posted.header("content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let answer = answers[number.min(answers.len() - 1)];
        number += 1;
        let _ = heard.send(Posted { body: String::from_utf8(body).unwrap(), ..posted });
        let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = stream.flush();
    })
}

/// A receiver of syslog by TLS: all that each connection brings.
pub fn log(config: Arc<ServerConfig>) -> Server<String> {
    Server::start(0, move |stream, heard| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = stream;
        let mut text = Vec::new();
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        if tls.read_to_end(&mut text).is_ok() {
            let _ = heard.send(String::from_utf8(text).unwrap());
        }
        connection.send_close_notify();
        let _ = connection.complete_io(&mut stream);
    })
}

/// How a mail server is spoken to.
#[derive(Clone)]
pub enum Speaks {
    /// No TLS.
    Plain,
    /// TLS after STARTTLS.
    Starts(Arc<ServerConfig>),
    /// TLS from the beginning.
    Wrapped(Arc<ServerConfig>),
}

/// A mail that was handed in, and whether that was by TLS and after a login.
pub struct Handed {
    /// For whom, as the server was told.
    pub recipients: Vec<String>,
    /// All of it, with its header lines.
    pub text: String,
    /// Whether it came by TLS.
    pub by_tls: bool,
    /// Whether somebody had logged in with the right password.
    pub logged_in: bool,
}

impl Handed {
    /// A header, unfolded (RFC 5322, section 2.2.3).
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }

    /// The body, as it was before it was made fit for the way (RFC 2045, section 6.7).
    pub fn body(&self) -> String {
        let body = self.text.split_once("\r\n\r\n").unwrap().1;
        match self.header("Content-Transfer-Encoding").as_deref() {
            Some("7bit") => body.to_owned(),
            Some("quoted-printable") => {
                let joined = body.replace("=\r\n", "");
                let mut bytes = Vec::new();
                let mut rest = joined.as_bytes();
                while let Some((first, after)) = rest.split_first() {
                    if *first == b'=' {
                        bytes
                            .push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
                        rest = &after[2..];
                    } else {
                        bytes.push(*first);
                        rest = after;
                    }
                }
                String::from_utf8(bytes).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A mail server (RFC 5321; RFC 3207; RFC 4954 with PLAIN and LOGIN) that takes mails and hands none on.
pub fn mail(speaks: Speaks, port: u16, login: Option<(&'static str, &'static str)>) -> Server<Handed> {
    Server::start(port, move |stream, heard| {
        // Whoever hangs up has heard enough.
        let _ = take_mail(&speaks, stream, login, heard);
    })
}

fn take_mail(
    speaks: &Speaks,
    stream: TcpStream,
    login: Option<(&str, &str)>,
    heard: &Sender<Handed>,
) -> Option<()> {
    let second = stream.try_clone().unwrap();
    let mut by_tls = matches!(speaks, Speaks::Wrapped(_));
    let mut stream: Box<dyn Both> = match speaks {
        Speaks::Wrapped(config) => wrapped(config, stream),
        Speaks::Plain | Speaks::Starts(_) => Box::new(stream),
    };
    let mut second = Some(second);
    let mut logged_in = false;
    let mut recipients = Vec::new();
    let say = |stream: &mut Box<dyn Both>, text: &str| {
        stream.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| stream.flush()).ok()
    };
    let decoded = |text: &str| String::from_utf8(STANDARD.decode(text.trim()).unwrap()).unwrap();
    say(&mut stream, "220 sink")?;
    loop {
        let line = until(&mut *stream, b"\r\n")?;
        let word = line.trim_end().to_ascii_uppercase();
        if word.starts_with("EHLO") {
            say(&mut stream, "250-sink")?;
            if matches!(speaks, Speaks::Starts(_)) && !by_tls {
                say(&mut stream, "250-STARTTLS")?;
            } else if login.is_some() {
                say(&mut stream, "250-AUTH PLAIN LOGIN")?;
            }
            say(&mut stream, "250 8BITMIME")?;
        } else if word == "STARTTLS" {
            let Speaks::Starts(config) = speaks else { panic!("STARTTLS was not offered") };
            say(&mut stream, "220 go on")?;
            stream = wrapped(config, second.take().unwrap());
            by_tls = true;
        } else if word.starts_with("AUTH PLAIN ") {
            let (user, password) = login.unwrap();
            logged_in = decoded(&line["AUTH PLAIN ".len()..]) == format!("\0{user}\0{password}");
            say(&mut stream, if logged_in { "235 welcome" } else { "535 5.7.8 authentication failed" })?;
        } else if word.starts_with("MAIL FROM:") {
            let may = login.is_none() || logged_in;
            say(&mut stream, if may { "250 ok" } else { "530 5.7.0 log in first" })?;
        } else if word.starts_with("RCPT TO:") {
            recipients.push(line.trim_end()["RCPT TO:".len()..].to_owned());
            say(&mut stream, "250 ok")?;
        } else if word == "DATA" {
            say(&mut stream, "354 go on")?;
            let text = until(&mut *stream, b"\r\n.\r\n")?;
            // RFC 5321, section 4.5.2.
            let text = text.strip_suffix(".\r\n").unwrap().replace("\r\n..", "\r\n.");
            say(&mut stream, "250 taken")?;
            let _ =
                heard.send(Handed { recipients: std::mem::take(&mut recipients), text, by_tls, logged_in });
        } else if word == "QUIT" {
            return say(&mut stream, "221 bye");
        } else {
            say(&mut stream, "500 what?")?;
        }
    }
}
