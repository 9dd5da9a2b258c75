//! Everybody who can be told, with a real other side each.

mod brokers;
mod mails;

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;

use testkit::tls::{Authority, DEADLINE, Speaks, free, log, mail, web};

use crate::peers::{message, nothing, outbox};
use crate::{Delivery, Letter, Receiver, Step, Tell, Teller, Text, Ways, tls};
use mails::mailer;

#[allow(clippy::disallowed_methods)]
fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(since.as_nanos() as u64)
}

/// `[tell]` with this in it.
fn tell(text: &str) -> Result<Tell, String> {
    let text: Text = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    text.open(nothing)
}

/// The only one who is named.
fn one(text: &str) -> Receiver {
    let mut all = tell(text).unwrap().receivers;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn error(text: &str) -> String {
    tell(text).expect_err(text)
}

fn packed(receiver: &Receiver, outcome: &'static str) -> Letter {
    receiver.packer.pack(&message(outcome)).unwrap()
}

/// What Pavise's own JSON says of it.
fn json() -> String {
    packed(&one("file = \"x\""), "taken").body
}

/// What openssl of this machine makes of an input.
fn openssl(test: &str, arguments: &[&str], input: &str) -> Option<Vec<u8>> {
    let mut child = Command::new(testkit::peer(test, "openssl")?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(output.stdout)
}

/// Sends one message, without trying again.
fn once(receiver: &mut Receiver) -> Result<(), String> {
    let letter = packed(receiver, "taken");
    receiver.carrier.send(&[letter], 0, clock()).map_err(tls::explain)
}

/// A receiver and an outbox, with a time that passes when it is told to.
struct Desk {
    delivery: Delivery,
    receiver: &'static str,
    packer: crate::Packer,
    outbox: Mutex<crate::Outbox>,
    now: Timestamp,
    said: Mutex<Vec<String>>,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new(receiver: Receiver) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Receiver { key, name, packer, carrier, .. } = receiver;
        Self {
            delivery: Delivery::new(key, &name, carrier),
            receiver: key,
            packer,
            outbox: outbox(folder.path()),
            now: clock(),
            said: Mutex::default(),
            _folder: folder,
        }
    }

    fn put(&self, outcome: &'static str) {
        let letter = self.packer.pack(&message(outcome)).unwrap();
        let put = self.outbox.lock().unwrap().put(&[(self.receiver, letter)], self.now).unwrap();
        assert_eq!(put.kept, 1);
    }

    fn step(&mut self) -> Step {
        let say = |text: &str| self.said.lock().unwrap().push(text.to_owned());
        self.delivery.step(&self.outbox, self.now, &say).unwrap()
    }

    /// Tries once in vain, and lets the time pass until the next try.
    fn fails(&mut self) {
        match self.step() {
            Step::Failed(next) => self.now = next,
            other => panic!("{other:?}"),
        }
    }

    /// What was said since the last time.
    fn said(&self) -> String {
        std::mem::take(&mut *self.said.lock().unwrap()).join("\n")
    }
}

#[test]
fn what_cannot_be_used_is_told_with_its_option_and_what_to_do() {
    let authority = Authority::new();
    let [ca, other, key] = ["ca.pem", "other.pem", "server.key"].map(|name| authority.text(name));
    std::fs::write(authority.path("open"), "s3cret").unwrap();
    let open = authority.text("open");
    let short = authority.secret("short", "whsec_c2hvcnQ=");
    for (text, parts) in [
        ("webhook = \"ftp://a/\"".to_owned(), ["tell.webhook.url", "https://HOST"]),
        ("webhook = \"https://user:s3cret@a/\"".into(), ["tell.webhook.url", "https://HOST"]),
        ("webhook = \"http:///x\"".into(), ["tell.webhook.url", "https://HOST"]),
        ("webhook = \"http://a/\\r\\nX: 1\"".into(), ["tell.webhook.url", "https://HOST"]),
        ("webhook = 7".into(), ["invalid type", "a URL, or a table with url"]),
        ("webhook = { url = \"https://a/\", colour = 1 }".into(), ["unknown field `colour`", "secret-file"]),
        ("webhook = { ca = \"x\" }".into(), ["missing field", "url"]),
        ("webhook = { url = \"https://a/\", ca = \"none\" }".into(), ["tell.webhook.ca", "cannot read it"]),
        (
            format!("webhook = {{ url = \"https://a/\", ca = \"{key}\" }}"),
            ["tell.webhook.ca", "no certificate"],
        ),
        (format!("webhook = {{ url = \"http://a/\", ca = \"{ca}\" }}"), ["tell.webhook", "https:// only"]),
        (
            "webhook = { url = \"https://a/\", token-file = \"none\" }".into(),
            ["tell.webhook.token-file", "cannot"],
        ),
        (
            format!("webhook = {{ url = \"https://a/\", secret-file = \"{open}\" }}"),
            ["secret-file", "chmod 600"],
        ),
        (
            format!("webhook = {{ url = \"https://a/\", secret-file = \"{short}\" }}"),
            ["secret-file", "24 to 64 bytes"],
        ),
        (
            format!("webhook = {{ url = \"http://a/\", token-file = \"{short}\" }}"),
            ["token-file", "use https://"],
        ),
        (
            format!("webhook = {{ url = \"https://a/\", ca = \"{ca}\", key = \"{key}\" }}"),
            ["tell.webhook.key", "tell.webhook.certificate"],
        ),
        (
            format!("webhook = {{ url = \"https://a/\", certificate = \"{other}\", key = \"{key}\" }}"),
            ["tell.webhook", "cannot be used together"],
        ),
        ("mqtt = \"mqtt://a\"".into(), ["tell.mqtt.url", "mqtts://HOST"]),
        ("mqtt = \"mqtt://user:s3cret@a/x\"".into(), ["tell.mqtt.url", "password-file"]),
        ("syslog = \"tls://user:s3cret@a\"".into(), ["tell.syslog.url", "tls://HOST"]),
        (
            "mqtt = { url = \"mqtts://a/x\", user = \"u\" }".into(),
            ["tell.mqtt.user", "tell.mqtt.password-file"],
        ),
        (
            format!("mqtt = {{ url = \"mqtt://a/x\", user = \"u\", password-file = \"{short}\" }}"),
            ["tell.mqtt.password-file", "use mqtts://"],
        ),
        (
            format!("mqtt = {{ url = \"mqtts://a/x\", password-file = \"{short}\" }}"),
            ["tell.mqtt.password-file", "tell.mqtt.user"],
        ),
        ("syslog = \"a:514\"".into(), ["tell.syslog.url", "udp://HOST:PORT"]),
        ("syslog = \"udp://a\"".into(), ["tell.syslog.url", "udp://HOST:PORT"]),
        (format!("syslog = {{ url = \"tcp://a:1\", ca = \"{ca}\" }}"), ["tell.syslog", "tls:// only"]),
        ("mail = { server = \"a\", from = \"a@b.c\", to = [] }".into(), ["tell.mail.server", "smtps://HOST"]),
        ("mail = { server = \"smtps://a\", from = \"a\", to = [] }".into(), ["tell.mail.from", "address"]),
        (
            "mail = { server = \"smtps://a\", from = \"a@b.c\", to = [] }".into(),
            ["tell.mail.to", "at least one"],
        ),
        (
            "mail = { server = \"smtps://a\", from = \"a@b.c\", to = [\"x\"] }".into(),
            ["tell.mail.to", "address"],
        ),
        ("file = 7".into(), ["invalid type", "a path"]),
        ("file = { path = \"x\", colour = 1 }".into(), ["unknown field `colour`", "severity"]),
        ("eve = \"udp://a:1\"".into(), ["tell.eve.url", "tcp://HOST:PORT"]),
        ("eve = \"tcp://a\"".into(), ["tell.eve.url", "tcp://HOST:PORT"]),
        ("eve = { severity = \"low\" }".into(), ["tell.eve", "either a file"]),
        ("eve = { file = \"x\", url = \"tcp://a:1\" }".into(), ["tell.eve", "either a file"]),
        ("otlp = \"ftp://a/\"".into(), ["tell.otlp.url", "https://HOST"]),
        (
            "otlp = { url = \"https://a/\", secret-file = \"x\" }".into(),
            ["unknown field `secret-file`", "token-file"],
        ),
        (
            "webhook = { url = \"https://a/\", severity = \"loud\" }".into(),
            ["unknown variant `loud`", "critical"],
        ),
        ("keep-days = 0".into(), ["tell.keep-days = 0", "1 or more"]),
        ("keep-mib = 0".into(), ["tell.keep-mib = 0", "1 or more"]),
        ("keep-messages = -1".into(), ["invalid value", "-1"]),
        (
            "mail = { server = \"smtps://a\", from = \"a@b.c\", to = [\"a@b.c\"], cc = 1 }".into(),
            ["unknown field", "cc"],
        ),
    ] {
        let error = error(&text);
        assert!(parts.iter().all(|part| error.contains(part)), "{text}\n{error}");
        assert!(!error.contains("s3cret") && !error.contains("c2hvcnQ"), "{error}");
    }
    assert!(tell("").unwrap().receivers.is_empty());
    for fit in ["webhook = \"http://a.example/x/y?z\"", "mqtt = \"mqtt://a/x\"", "syslog = \"udp://a:514\""] {
        assert!(tell(fit).is_ok(), "{fit}");
    }
}

#[test]
fn what_is_posted_by_http_is_a_whole_request_and_a_refusal_is_told() {
    let server =
        web(None, 0, &["204 No Content", "500 No", "307 Elsewhere\r\nLocation: http://127.0.0.1:1/"]);
    let mut hook = one(&format!("webhook = \"http://127.0.0.1:{}/hook?a\"", server.port));
    assert_eq!(once(&mut hook), Ok(()));
    let posted = server.hears();
    assert!(posted.head.starts_with("POST /hook?a HTTP/1.1\r\n"), "{}", posted.head);
    assert_eq!(posted.header("content-type"), Some("application/json"));
    assert_eq!(posted.body, json());
    assert_eq!(posted.header("webhook-id"), Some(message("taken").id.as_str()));
    assert_eq!((posted.header("webhook-signature"), posted.header("authorization")), (None, None));
    assert!(once(&mut hook).unwrap_err().contains("answers 500"));
    // What is elsewhere is not asked: the error would be another.
    assert!(once(&mut hook).unwrap_err().contains("answers 307, and redirections are not followed"));
}

#[test]
fn an_answer_that_does_not_end_is_not_read() {
    for (bytes, fits) in [(8 << 10, true), (20 << 10, false)] {
        let answer: &str = Box::leak(format!("200 Yes\r\nX: {}", "x".repeat(bytes)).into_boxed_str());
        let server = web(None, 0, Box::leak(Box::new([answer])));
        let mut hook = one(&format!("webhook = \"http://127.0.0.1:{}/\"", server.port));
        assert_eq!(once(&mut hook).is_ok(), fits, "{bytes}");
    }
}

#[test]
fn a_webhook_by_https_is_signed_and_keeps_its_id_while_it_is_tried_again() {
    let test = "a_webhook_by_https_is_signed_and_keeps_its_id_while_it_is_tried_again";
    let authority = Authority::new();
    let server = web(Some(authority.server(true)), 0, &["503 Later", "500 No", "200 Yes"]);
    let secret = authority.secret("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    let token = authority.secret("token", "abc.DEF-123\n");
    let [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| authority.text(name));
    let text = format!(
        "[webhook]\nurl = \"https://localhost:{}/hook\"\nca = \"{ca}\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n\
         secret-file = \"{secret}\"\ntoken-file = \"{token}\"",
        server.port
    );
    let mut desk = Desk::new(one(&text));
    desk.put("taken");
    desk.fails();
    assert!(desk.said().contains("could not be told: it answers 503"));
    desk.fails();
    assert_eq!((desk.step(), desk.said().contains("is told again.")), (Step::Sent(1), true));
    assert_eq!(desk.step(), Step::Idle(None));
    let posted = [server.hears(), server.hears(), server.hears()];
    assert!(server.rest().is_empty(), "it was told after it had answered");
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let digits = key.iter().fold(String::from("hexkey:"), |text, byte| format!("{text}{byte:02x}"));
    for each in &posted {
        let [name, seconds, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .map(|name| each.header(name).unwrap().to_owned());
        assert_eq!((name.as_str(), each.body.as_str()), (message("taken").id.as_str(), json().as_str()));
        assert_eq!(name, posted[0].header("webhook-id").unwrap());
        let sent: u64 = seconds.parse().unwrap();
        assert!(clock().as_secs().abs_diff(sent) < 60, "{sent}");
        assert_eq!(each.header("authorization"), Some("Bearer abc.DEF-123"));
        // The same as OpenSSL makes it, which takes the key in hexadecimal digits.
        let arguments = ["dgst", "-sha256", "-mac", "hmac", "-macopt", &digits, "-binary"];
        let signed = format!("{name}.{seconds}.{}", each.body);
        let Some(mac) = openssl(test, &arguments, &signed) else { return };
        assert_eq!(signature, format!("v1,{}", STANDARD.encode(mac)));
    }
    assert_ne!(message("taken").id, message("expired").id);
}

#[test]
fn tls_1_2_and_1_3_are_spoken_with_each_who_is_told() {
    let authority = Authority::new();
    let [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| authority.text(name));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = authority.server_by(&[version], true);
        let own = format!("ca = \"{ca}\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"");
        let server = web(Some(config.clone()), 0, &["200 Yes"]);
        let at = |who: &str, scheme: &str, port: u16, more: &str| {
            one(&format!("[{who}]\nurl = \"{scheme}://localhost:{port}\"\n{more}"))
        };
        let mut hook = at("webhook", "https", server.port, &own);
        assert_eq!(once(&mut hook), Ok(()), "{version:?}");
        let server = log(config);
        once(&mut at("syslog", "tls", server.port, &own)).unwrap();
        // Nobody is told who asks for a certificate that there is none of, whenever the version says so.
        let nobody = format!("ca = \"{ca}\"");
        assert!(once(&mut at("syslog", "tls", server.port, &nobody)).is_err(), "{version:?}");
        let server = mail(Speaks::Wrapped(authority.server_by(&[version], false)), 0, None);
        once(&mut mailer(&authority, "smtps", server.port, "")).unwrap();
        assert!(server.hears().by_tls);
    }
}

#[test]
fn a_server_that_cannot_show_who_it_is_is_told_nothing() {
    let authority = Authority::new();
    let server = web(Some(authority.server(false)), 0, &["200 Yes"]);
    let other = authority.text("other.pem");
    let mut hook =
        one(&format!("webhook = {{ url = \"https://localhost:{}/\", ca = \"{other}\" }}", server.port));
    let error = once(&mut hook).unwrap_err();
    assert!(error.contains("certificate") && error.contains("with ca"), "{error}");
    // Nor one that is another host than it should be: the certificate says localhost and 127.0.0.1.
    let ca = authority.text("ca.pem");
    let mut hook =
        one(&format!("webhook = {{ url = \"https://127.0.0.2:{}/\", ca = \"{ca}\" }}", server.port));
    assert!(once(&mut hook).is_err());
    assert!(server.rest().is_empty());
    let mut hook =
        one(&format!("webhook = {{ url = \"https://127.0.0.1:{}/\", ca = \"{ca}\" }}", server.port));
    assert_eq!(once(&mut hook), Ok(()));
}

#[test]
fn who_listens_is_told_while_another_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("told");
    // It takes connections and says nothing.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = web(None, 0, &["200 Yes"]);
    let text = format!(
        "syslog = \"tcp://127.0.0.1:{}\"\nmqtt = \"mqtt://{}/x\"\nfile = \"{}\"\nwebhook = \"http://127.0.0.1:{}/\"",
        free(),
        dead.local_addr().unwrap(),
        path.display(),
        server.port
    );
    let state = tempfile::tempdir().unwrap();
    let said = Arc::<Mutex<Vec<String>>>::default();
    let begun = Instant::now();
    let mut teller = teller(&text, state.path(), &said);
    let outcomes = ["taken", "expired", "reverted"];
    for outcome in outcomes {
        teller.tell(&message(outcome));
    }
    let bodies: Vec<_> = outcomes.iter().map(|_| server.hears().body).collect();
    assert!(begun.elapsed() < tls::PATIENCE, "the dead one was waited for");
    // Whoever it is connected to hangs up.
    let hang_up = std::thread::spawn(move || dead.incoming().take(1).for_each(drop));
    drop(teller);
    let written = std::fs::read_to_string(path).unwrap();
    assert_eq!(written.lines().collect::<Vec<_>>(), bodies);
    drop(hang_up);
    let said = said.lock().unwrap().join("\n");
    assert_eq!(said.matches("3 messages for ").count(), 2, "{said}");
    // The next one goes on with what waits, and tells nothing anew.
    let outbox = outbox(state.path()).into_inner().unwrap();
    for (receiver, waiting) in [("file", 0), ("webhook", 0), ("syslog", 3), ("mqtt", 3)] {
        assert_eq!(outbox.count(receiver).unwrap(), waiting, "{receiver}");
    }
    assert!(server.rest().is_empty());
}

fn teller(text: &str, state: &std::path::Path, said: &Arc<Mutex<Vec<String>>>) -> Teller {
    let said = Arc::clone(said);
    let ways = Ways { say: Arc::new(move |text: &str| said.lock().unwrap().push(text.to_owned())), clock };
    let tell = tell(text).unwrap();
    let outbox = crate::Outbox::open(state, tell.limits).unwrap();
    Teller::start(tell, outbox, ways).unwrap()
}

#[test]
fn what_is_told_can_be_said_in_the_words_of_those_who_gather_it() {
    let pack = |format: &str| {
        let text = format!("syslog = {{ url = \"udp://127.0.0.1:514\", format = \"{format}\" }}");
        packed(&one(&text), "taken").body
    };
    for (format, begins) in
        [("cef", "CEF:0|Pavise|Pavise|"), ("leef", "LEEF:2.0|Pavise|Pavise|"), ("rfc5424", "[incident@")]
    {
        let told = pack(format);
        let (header, body) = told.split_once(begins).unwrap();
        assert!(header.starts_with("<35>1 2023-11-14T22:14:20Z ") && header.contains(" pavise - "), "{told}");
        assert!(body.contains("cuts 3 conversations") && !told.contains('\n'), "{told}");
        assert_eq!(format == "leef", told.contains('\t'), "{told}");
    }
    assert!(error("syslog = { url = \"udp://a:1\", format = \"xml\" }").contains("xml"));

    let file = one("json = \"ocsf\"\nfile = \"x\"");
    // It is about no incident, and so cannot be said.
    let crate::About::Action { event, .. } = message("taken").about else { panic!() };
    let alone = crate::Notice::action(1, event, None, "x".into(), "x".into());
    assert_eq!(file.packer.pack(&alone), None);
    let line = &packed(&file, "taken").body;
    let told: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&told["class_uid"], &told["type_uid"]), (&2_005.into(), &200_502.into()));
    assert!(told["desc"].as_str().unwrap().contains("cuts 3 conversations"), "{told}");
    assert!(error("json = \"xml\"").contains("ocsf"));
}

#[test]
fn syslog_over_udp_tcp_and_tls_is_framed_as_each_asks() {
    let authority = Authority::new();
    let told = |text: &str| once(&mut one(text));
    let begins = "<35>1 2023-11-14T22:14:20Z ";
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    told(&format!("syslog = \"udp://{}\"", socket.local_addr().unwrap())).unwrap();
    let mut bytes = [0; 8_192];
    let length = socket.recv(&mut bytes).unwrap();
    let plain = String::from_utf8(bytes[..length].to_vec()).unwrap();
    assert!(plain.starts_with(begins) && plain.contains("cuts 3 conversations"), "{plain}");
    // RFC 6587, section 3.4.1: the octets of the message before it.
    let framed = format!("{} {plain}", plain.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    told(&format!("syslog = \"tcp://{}\"", listener.local_addr().unwrap())).unwrap();
    let mut seen = String::new();
    listener.accept().unwrap().0.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, framed);
    // RFC 5425, section 4.3: the same.
    let server = log(authority.server(true));
    let [ca, other, certificate, key] =
        ["ca.pem", "other.pem", "client.pem", "client.key"].map(|name| authority.text(name));
    let at = |ca: &str, more: &str| {
        format!("[syslog]\nurl = \"tls://localhost:{}\"\nca = \"{ca}\"\n{more}", server.port)
    };
    let own = format!("certificate = \"{certificate}\"\nkey = \"{key}\"");
    told(&at(&ca, &own)).unwrap();
    assert_eq!(server.hears(), framed);
    let error = told(&at(&other, &own)).unwrap_err();
    assert!(error.contains("certificate") && error.contains("with ca"), "{error}");
    // Without a certificate of its own it is refused, and hears of it although that comes after the handshake of TLS 1.3.
    let error = told(&at(&ca, "")).unwrap_err();
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert!(server.rest().is_empty());
}

#[test]
fn each_has_its_own_severity_and_words_or_those_of_all() {
    let text = "severity = \"medium\"\njson = \"ocsf\"\nkeep-days = 2\nkeep-messages = 5\nkeep-mib = 3\nfile = \"x\"\n\
                syslog = \"udp://a:514\"\n[webhook]\nurl = \"http://a/\"\nseverity = \"critical\"\njson = \"eve\"";
    let tell = tell(text).unwrap();
    let all: Vec<_> = tell.receivers.iter().map(|one| (one.key, one.severity.unwrap().name())).collect();
    assert_eq!(all, [("syslog", "medium"), ("file", "medium"), ("webhook", "critical")]);
    let class = |at: usize| {
        serde_json::from_str::<serde_json::Value>(&packed(&tell.receivers[at], "taken").body).unwrap()
    };
    assert_eq!((&class(1)["class_uid"], &class(2)["event_type"]), (&2_005.into(), &"alert".into()));
    let day = Duration::from_secs(86_400);
    assert_eq!(tell.limits, crate::Limits { age: 2 * day, messages: 5, bytes: 3 << 20 });
    // Who says nothing of it is told of what was done, and of nothing else.
    assert_eq!(one("file = \"x\"").severity, None);
    assert_eq!(crate::Limits::default().age, 7 * day);
}

#[test]
fn eve_goes_to_a_file_and_by_tcp_a_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("eve.json");
    let mut to_file = one(&format!("eve = \"{}\"", path.display()));
    once(&mut to_file).unwrap();
    once(&mut to_file).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut by_tcp = one(&format!("eve = \"tcp://{}\"", listener.local_addr().unwrap()));
    let letters = vec![packed(&by_tcp, "taken"), packed(&by_tcp, "expired")];
    let server = std::thread::spawn(move || {
        let mut seen = String::new();
        listener.accept().unwrap().0.read_to_string(&mut seen).unwrap();
        seen
    });
    by_tcp.carrier.send(&letters, 0, clock()).unwrap();
    let written = std::fs::read_to_string(path).unwrap();
    for (text, changes) in [(written, ["taken", "taken"]), (server.join().unwrap(), ["taken", "expired"])] {
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| &line["pavise"]["change"]).collect::<Vec<_>>(), changes);
        assert_eq!(
            (&lines[0]["event_type"], &lines[0]["timestamp"]),
            (&"alert".into(), &"2023-11-14T22:14:20.000000+0000".into())
        );
        assert_eq!(lines[0]["pavise"]["id"], message("taken").id);
    }
}

#[test]
fn who_hangs_up_before_it_has_read_all_was_not_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut syslog = one(&format!("syslog = \"tcp://{}\"", listener.local_addr().unwrap()));
    // It reads a byte of many and goes away: the rest is lost, and the system says so.
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.read_exact(&mut [0]).unwrap();
    });
    let error = once(&mut syslog).unwrap_err();
    server.join().unwrap();
    assert!(error.contains("hung up") || error.contains("reset") || error.contains("Broken pipe"), "{error}");
}
