//! `pavise mud fetch` against a server of our own, with certificates of our own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::*;

/// What is answered: status, header lines, body.
type Page = (u16, String, Vec<u8>);

/// A server on this machine, for as long as the test runs.
struct Server {
    port: u16,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    /// What was asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(place: &Place) -> Self {
        let chain =
            CertificateDer::pem_file_iter(place.path("server.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(place.path("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let (pages, asked) =
            (Arc::<Mutex<BTreeMap<String, Page>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (shown, noted) = (Arc::clone(&pages), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                noted.lock().unwrap().push(request.clone());
                let none = || (404, String::new(), Vec::new());
                let (status, header, body) = shown.lock().unwrap().get(&path).cloned().unwrap_or_else(none);
                let head = format!("HTTP/1.1 {status} X\r\n{header}Content-Length: {}\r\n\r\n", body.len());
                // The other side may have heard enough.
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self { port, pages, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn page(&self, path: &str, status: u16, header: &str, body: impl Into<Vec<u8>>) {
        self.pages.lock().unwrap().insert(path.into(), (status, header.into(), body.into()));
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

const MUD: &str = "Content-Type: application/mud+json\r\n";

/// A place with the certificates, made by OpenSSL: `root.pem` signs the server's and the maker's, `other.pem` nothing.
fn place(openssl: &Path) -> Place {
    let place = Place::new();
    let make = |name, subject, more: &[&str]| certificate(&place, openssl, name, subject, more);
    let by_root = ["-CA", "root.pem", "-CAkey", "root.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    make("root", "/CN=Root", &["-addext", "keyUsage=critical,keyCertSign"]);
    make("other", "/CN=Other", &["-addext", "keyUsage=critical,keyCertSign,digitalSignature"]);
    make("server", "/CN=Server", &[&by_root[..], &["-addext", "subjectAltName=DNS:localhost"]].concat());
    make(
        "successor",
        "/CN=Successor",
        &[&by_root[..], &["-addext", "keyUsage=critical,digitalSignature"]].concat(),
    );
    make("maker", "/CN=Maker", &[&by_root[..], &["-addext", "keyUsage=critical,digitalSignature"]].concat());
    place
}

/// A description that says where it is, and where its signature.
fn description(server: &Server, path: &str, signature: Option<&str>, day: u32) -> Vec<u8> {
    let lamp = testkit::workspace().join("crates/mud/tests/lamp.json");
    let text = fs::read_to_string(lamp).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    let mud = json["ietf-mud:mud"].as_object_mut().unwrap();
    mud.insert("mud-url".into(), server.url(path).into());
    mud.insert("last-update".into(), format!("2026-03-{day:02}T08:00:00Z").into());
    match signature {
        Some(path) => mud.insert("mud-signature".into(), server.url(path).into()),
        None => mud.remove("mud-signature"),
    };
    serde_json::to_vec(&json).unwrap()
}

/// Shows a description and its signature by somebody.
fn show_signed(place: &Place, server: &Server, by: &str, day: u32) {
    let bytes = description(server, "/lamp.json", Some("/lamp.p7s"), day);
    place.file("lamp.json", &bytes);
    let (key, certificate) = (format!("{by}.key"), format!("{by}.pem"));
    let sign =
        ["mud", "sign", "lamp.json", "--key", &key, "--certificate", &certificate, "--out", "lamp.p7s"];
    place.run(&sign).good();
    server.page("/lamp.json", 200, MUD, bytes);
    server.page("/lamp.p7s", 200, "", fs::read(place.path("lamp.p7s")).unwrap());
}

/// What `fetch` says of one URL, and its exit status.
fn fetch(place: &Place, url: &str, with: &[&str]) -> (Value, Option<i32>) {
    let mut arguments = vec!["mud", "fetch", url, "--json", "--allow-private", "--tls-ca", "root.pem"];
    arguments.extend(with);
    let done = place.run(&arguments);
    let rows: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:?}"));
    (rows[0].clone(), done.status)
}

fn files(place: &Place, part: &str) -> usize {
    fs::read_dir(place.path("state").join("mud").join(part)).map_or(0, Iterator::count)
}

#[test]
fn what_is_signed_is_verified_and_kept_until_it_is_no_longer_fresh() {
    let Some(openssl) = testkit::peer("fetching descriptions", "openssl") else { return };
    let place = place(&openssl);
    let server = Server::new(&place);
    show_signed(&place, &server, "maker", 2);
    let url = server.url("/lamp.json");
    let trust = ["--trust", "root.pem"];
    let (told, status) = fetch(&place, &url, &trust);
    assert_eq!((&told["state"], status), (&"verified".into(), Some(0)), "{told}");
    assert_eq!((files(&place, "verified"), files(&place, "unverified")), (1, 0));
    let request = server.asked.lock().unwrap()[0].to_lowercase();
    assert!(request.contains("accept: application/mud+json"), "{request}");
    // Fresh: nobody is asked, not even if nobody is there.
    let asked = server.asked();
    let (told, status) = fetch(&place, &url, &trust);
    assert!(told["notes"][0].as_str().unwrap().starts_with("fresh until"), "{told}");
    assert_eq!((status, server.asked()), (Some(0), asked));
    // What is kept can be watched by.
    place.run(&["lab", "home", "--minutes", "1", "--out", "home.pcapng"]).good();
    place.run(&["watch", "--quiet", "home.pcapng", "--mud", "state/mud/verified"]).good();
    // No longer fresh, and nobody answers: it stays in use, and that is told.
    let index = place.path("state").join("mud").join("index.json");
    let mut entries: Value = serde_json::from_str(&fs::read_to_string(&index).unwrap()).unwrap();
    entries[&url]["fetched"] = "2020-01-01T00:00:00Z".into();
    fs::write(&index, entries.to_string()).unwrap();
    server.pages.lock().unwrap().clear();
    let (told, status) = fetch(&place, &url, &trust);
    assert_eq!(
        (&told["state"], &told["fresh"], status),
        (&"verified".into(), &false.into(), Some(1)),
        "{told}"
    );
    assert_eq!(told["notes"][0], "the server answers 404");
    // Another signer, and then none: refused, until somebody approves.
    show_signed(&place, &server, "successor", 3);
    let (told, status) = fetch(&place, &url, &trust);
    assert_eq!((&told["state"], status), (&"refused".into(), Some(1)), "{told}");
    assert!(told["notes"].to_string().contains("another one signed the file before"), "{told}");
    server.page("/lamp.json", 200, MUD, description(&server, "/lamp.json", None, 4));
    let (told, _) = fetch(&place, &url, &trust);
    assert!(told["notes"].to_string().contains("had a signature before"), "{told}");
    assert_eq!(files(&place, "verified"), 1);
    let (told, status) = fetch(&place, &url, &[&trust[..], &["--approve"]].concat());
    assert_eq!((&told["state"], status), (&"unverified".into(), Some(0)), "{told}");
    assert_eq!((files(&place, "verified"), files(&place, "unverified")), (0, 1));
}

#[test]
fn what_nobody_vouches_for_is_kept_apart_and_a_wrong_signature_is_refused() {
    let Some(openssl) = testkit::peer("fetching descriptions", "openssl") else { return };
    let place = place(&openssl);
    let server = Server::new(&place);
    show_signed(&place, &server, "maker", 2);
    let url = server.url("/lamp.json");
    let (told, status) = fetch(&place, &url, &["--trust", "other.pem"]);
    assert_eq!((&told["state"], status), (&"refused".into(), Some(1)), "{told}");
    assert_eq!((files(&place, "verified"), files(&place, "unverified")), (0, 0));
    // Without anybody to trust the signature is not looked at.
    let (told, status) = fetch(&place, &url, &[]);
    assert_eq!((&told["state"], status), (&"unverified".into(), Some(0)), "{told}");
    assert!(told["notes"][0].as_str().unwrap().contains("--trust"), "{told}");
    // With somebody it is asked for again, although it is fresh.
    let (told, _) = fetch(&place, &url, &["--trust", "root.pem"]);
    assert_eq!((&told["state"], files(&place, "unverified")), (&"verified".into(), 0), "{told}");
    // One byte is another.
    let bytes = fs::read_to_string(place.path("lamp.json")).unwrap().replace("A lamp", "A lump");
    server.page("/lamp.json", 200, MUD, bytes);
    let (told, status) = fetch(&place, &url, &["--trust", "root.pem", "--force"]);
    assert_eq!((&told["state"], status), (&"refused".into(), Some(1)), "{told}");
    assert_eq!(files(&place, "verified"), 1);
}

#[test]
fn what_is_no_description_or_leads_elsewhere_is_not_taken() {
    let Some(openssl) = testkit::peer("fetching descriptions", "openssl") else { return };
    let place = place(&openssl);
    let server = Server::new(&place);
    let good = description(&server, "/good.json", None, 2);
    server.page("/good.json", 200, "Content-Type: Application/MUD+JSON; charset=utf-8\r\n", good.clone());
    server.page("/here", 302, "Location: /good.json\r\n", "");
    server.page("/plain", 301, "Location: http://localhost/good.json\r\n", "");
    server.page("/away", 307, "Location: https://127.0.0.1/good.json\r\n", "");
    server.page("/round", 302, "Location: /round\r\n", "");
    server.page("/html", 200, "Content-Type: text/html\r\n", good);
    server.page("/huge", 200, MUD, vec![b' '; 2 << 20]);
    server.page("/wrong", 200, MUD, "{\"ietf-mud:mud\": 7}");
    server.page("/unsigned", 200, MUD, description(&server, "/unsigned", Some("/nothing"), 2));
    for (path, state, wanted) in [
        ("/good.json", "unverified", "no signature"),
        ("/here", "unverified", "no signature"),
        ("/plain", "unreachable", "redirected to \"http://localhost/good.json\""),
        ("/away", "unreachable", "redirected to"),
        ("/round", "unreachable", "redirected to"),
        ("/html", "unreachable", "\"text/html\" and not application/mud+json"),
        ("/huge", "unreachable", "more than 1048576 bytes"),
        ("/wrong", "unreachable", "it is no description"),
        ("/none", "unreachable", "the server answers 404"),
        ("/unsigned", "unreachable", "its signature https://localhost"),
    ] {
        let (told, status) = fetch(&place, &server.url(path), &["--trust", "root.pem"]);
        let is_good = state == "unverified";
        assert_eq!((&told["state"], status), (&state.into(), Some(i32::from(!is_good))), "{path}: {told}");
        assert!(told["notes"].to_string().replace("\\\"", "\"").contains(wanted), "{path}: {told}");
    }
}

#[test]
fn hosts_of_this_network_and_servers_that_nobody_vouches_for_are_not_asked() {
    let Some(openssl) = testkit::peer("fetching descriptions", "openssl") else { return };
    let place = place(&openssl);
    let server = Server::new(&place);
    server.page("/good.json", 200, MUD, description(&server, "/good.json", None, 2));
    let refused = |url: &str, with: &[&str], wanted: &str| {
        let mut arguments = vec!["mud", "fetch", url];
        arguments.extend(with);
        let done = place.run(&arguments);
        assert!(done.status == Some(1) && done.out.contains(wanted), "{url}: {done:?}");
    };
    let url = server.url("/good.json");
    refused(&url, &["--tls-ca", "root.pem"], "names an address or a host of this network");
    refused("http://lamps.example/lamp.json", &[], "must be https");
    refused("https://10.0.0.1/lamp.json", &[], "names an address or a host of this network");
    assert_eq!(server.asked(), 0);
    refused(&url, &["--allow-private", "--tls-ca", "other.pem"], "no answer: ");
    let done = place.run(&["mud", "fetch", &url, "--trust", "none.pem"]);
    assert!(done.status == Some(1) && done.said.contains("cannot read the certificate none.pem"), "{done:?}");
}

#[test]
fn all_that_devices_have_shown_is_fetched() {
    let Some(openssl) = testkit::peer("fetching descriptions", "openssl") else { return };
    let place = place(&openssl);
    let server = Server::new(&place);
    server.page("/lamp.json", 200, MUD, description(&server, "/lamp.json", None, 2));
    let (binding, fact) = (
        r#"{"at":"2026-03-02T08:00:01Z","observation":"binding","mac":"00:14:22:40:aa:21","ip":"10.10.0.21","source":"arp"}"#,
        r#"{"at":"2026-03-02T08:00:02Z","observation":"fact","about":{"mac":"00:14:22:40:aa:21"},"attribute":"mud-url","value":"URL","source":"dhcp.mud-url","confidence":75}"#,
    );
    place.file("seen.jsonl", format!("{binding}\n{}\n", fact.replace("URL", &server.url("/lamp.json"))));
    place.run(&["watch", "--quiet", "seen.jsonl"]).good();
    let done =
        place.run(&["mud", "fetch", "--seen", "--json", "--allow-private", "--tls-ca", "root.pem"]).good();
    let told: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(told[0]["state"], "unverified", "{told}");
    assert!(told[0]["notes"].to_string().contains("comes from DHCP"), "{told}");
}
