//! `pavise serve`, as a process that is spoken to over the network of this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore, StreamOwned};
use serde_json::Value;

use super::Place;

/// Whatever is waited for comes within so long.
const DEADLINE: Duration = Duration::from_secs(30);

struct Server {
    child: Child,
    port: u16,
    /// The link for the first administrator.
    link: String,
    said: BufReader<std::process::ChildStderr>,
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    fn start(place: &Place, more: &[&str]) -> Self {
        let port = free_port();
        let mut child = place
            .pavise()
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        // The link is printed once connections are taken.
        while !line.contains("/setup#") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended before it served");
        }
        Self { child, port, link: line.trim().to_owned(), said }
    }

    /// Asks it to end, and waits.
    fn end(mut self) -> String {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

/// A test that fails leaves no server behind.
impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }
}

/// One request over a stream, and the whole answer.
fn ask(stream: &mut (impl Read + Write), port: u16, method: &str, path: &str, body: &str) -> String {
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn plain(server: &Server, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    ask(&mut stream, server.port, method, path, body)
}

#[test]
fn it_serves_by_tls_1_3_with_a_key_exchange_that_outlasts_quantum_computers() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    assert!(server.link.starts_with(&format!("https://localhost:{}/setup#", server.port)), "{}", server.link);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(place.path("state/tls/authority.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        Arc::new(builder.with_root_certificates(roots.clone()).with_no_client_auth())
    };
    let connect = |config| {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        StreamOwned::new(
            ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap(),
            stream,
        )
    };
    let mut stream = connect(config(&[&rustls::version::TLS13]));
    let answer = ask(&mut stream, server.port, "GET", "/api/v1/health", "");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    assert_eq!(stream.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(stream.conn.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    let mut old = connect(config(&[&rustls::version::TLS12]));
    assert!(old.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err(), "no TLS 1.2");
    // Whoever does not speak TLS is not answered, and does not hold up the others.
    let mut nobody = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    nobody.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut stream = connect(config(&[&rustls::version::TLS13]));
    assert!(ask(&mut stream, server.port, "GET", "/api/v1/health", "").contains("\"ok\""));
    server.end();
}

#[test]
fn what_is_watched_is_served_as_it_changes_and_accounts_outlive_the_server() {
    let place = Place::new();
    let server = Server::start(&place, &["--plain"]);
    let secret = server.link.split('#').nth(1).unwrap().to_owned();
    let body = serde_json::json!({ "secret": secret, "name": "root", "password": "several unrelated words" })
        .to_string();
    assert!(plain(&server, "POST", "/api/v1/setup", &body).starts_with("HTTP/1.1 204"));
    place.run(&["lab", "home", "--minutes", "2", "--out", "home.pcapng"]).good();
    place.run(&["watch", "--quiet", "home.pcapng"]).good();
    let session = plain(&server, "GET", "/api/v1/session", "");
    assert!(session.contains("\"needs_setup\":false"), "{session}");
    server.end();
    // Again, without a link: somebody is there.
    let port = free_port();
    let mut child = place
        .pavise()
        .args(["serve", "--plain", "--listen", &format!("127.0.0.1:{port}")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("Serving") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let begun = serde_json::json!({ "name": "root", "password": "several unrelated words" }).to_string();
    let answer = ask(&mut stream, port, "POST", "/api/v1/session", &begun);
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["user"]["must_enrol"], true, "{answer}");
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("/setup#"), "{rest}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_cannot_be_served_is_refused_in_one_sentence() {
    let place = Place::new();
    for (arguments, says) in [
        (&["--plain", "--listen", "0.0.0.0:8443"][..], "--plain is for this machine alone"),
        (&["--name", "192.0.2.1"], "passkeys cannot hold for https://192.0.2.1:8443"),
        (&["--certificate", "none.pem", "--key", "none.key"], "cannot read none.pem"),
        (&["--industrial", "cell-9"], "the settings have no zone of this name"),
        (&["--access", "none.cedar"], "cannot read the policies none.cedar"),
    ] {
        let said = place.run(&[&["serve"], arguments].concat());
        assert!(said.status == Some(1) && said.said.contains(says), "{arguments:?}: {said:?}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = place.run(&["serve", "--plain", "--listen", &address]);
    assert!(said.status == Some(1) && said.said.contains(&format!("cannot listen on {address}")), "{said:?}");
}
