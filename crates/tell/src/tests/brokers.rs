//! MQTT, with mosquitto at the other end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use testkit::tls::{Authority, free};

use super::{Desk, clock, json, once, one};
use crate::{Letter, Step};

/// mosquitto with TLS, a login and nothing for those who have none. It listens before this returns.
struct Mosquitto {
    child: Child,
    said: Option<std::thread::JoinHandle<usize>>,
}

impl Mosquitto {
    fn start(authority: &Authority, port: u16, more: &str) -> Self {
        let config = authority.path("mosquitto.conf");
        std::fs::write(&config, format!("user root\nlog_type all\nlistener {port} 127.0.0.1\n{more}"))
            .unwrap();
        let program = testkit::peer("mosquitto", "mosquitto").unwrap();
        let mut child = Command::new(program)
            .args(["-v", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.contains("running")), "mosquitto does not run");
        // It goes on saying things, which somebody must take.
        Self { child, said: Some(std::thread::spawn(move || said.count())) }
    }

    fn by_tls(authority: &Authority, port: u16, more: &str) -> Self {
        let [ca, certificate, key] = ["ca.pem", "server.pem", "server.key"].map(|name| authority.text(name));
        let tls = format!("cafile {ca}\ncertfile {certificate}\nkeyfile {key}\n");
        Self::start(authority, port, &format!("{tls}{more}"))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.said.take().map(std::thread::JoinHandle::join);
    }
}

/// Somebody who listens at a broker, once it does; the lines that come.
fn subscriber(port: u16, arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let program = testkit::peer("mosquitto", "mosquitto_sub").unwrap();
    let mut child = Command::new("stdbuf")
        .args(["-oL"])
        .arg(program)
        .args(["-d", "-h", "localhost", "-p", &port.to_string(), "-t", "site/#", "-q", "1"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("Subscribed") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "nobody listens");
    }
    (child, lines)
}

fn has_mosquitto(test: &str) -> bool {
    ["mosquitto", "mosquitto_sub", "mosquitto_passwd", "stdbuf"]
        .iter()
        .all(|name| testkit::peer(test, name).is_some())
}

#[test]
fn mosquitto_hands_on_what_is_published() {
    if !has_mosquitto("mosquitto_hands_on_what_is_published") {
        return;
    }
    let (authority, port) = (Authority::new(), free());
    let _broker = Mosquitto::start(&authority, port, "allow_anonymous true\n");
    let (mut listener, lines) = subscriber(port, &["-C", "1"]);
    let mut broker = one(&format!("mqtt = \"mqtt://127.0.0.1:{port}/site/pavise\""));
    let long = "x".repeat(20_000);
    let letter = Letter { id: "1".into(), body: long.clone() };
    broker.carrier.send(&[letter], 0, clock()).unwrap();
    assert!(lines.lines().map(Result::unwrap).any(|line| line == long));
    listener.wait().unwrap();
}

#[test]
fn mosquitto_takes_a_login_by_tls_and_refuses_a_wrong_one() {
    if !has_mosquitto("mosquitto_takes_a_login_by_tls_and_refuses_a_wrong_one") {
        return;
    }
    let (authority, port) = (Authority::new(), free());
    let passwords = authority.secret("passwords", "");
    let made =
        Command::new("mosquitto_passwd").args(["-b", &passwords, "pavise", "s3cret"]).status().unwrap();
    assert!(made.success());
    let more = format!("allow_anonymous false\npassword_file {passwords}\n");
    let _broker = Mosquitto::by_tls(&authority, port, &more);
    let ca = authority.text("ca.pem");
    let login = ["--cafile", &ca, "-u", "pavise", "-P", "s3cret", "-C", "1"];
    let (mut listener, lines) = subscriber(port, &login);
    let [right, wrong] =
        [("right", "s3cret\n"), ("wrong", "guess\n")].map(|(name, text)| authority.secret(name, text));
    let of = |ca: &str, password: &str| {
        let text = format!(
            "[mqtt]\nurl = \"mqtts://localhost:{port}/site/pavise\"\nca = \"{ca}\"\nuser = \"pavise\"\n\
             password-file = \"{password}\""
        );
        one(&text)
    };
    let error = once(&mut of(&ca, &wrong)).unwrap_err();
    assert!(error.contains("refuses the login") && !error.contains("guess"), "{error}");
    let error = once(&mut of(&authority.text("other.pem"), &right)).unwrap_err();
    assert!(error.contains("certificate") && error.contains("with ca"), "{error}");
    once(&mut of(&ca, &right)).unwrap();
    assert!(lines.lines().map(Result::unwrap).any(|line| line == json()));
    listener.wait().unwrap();
}

#[test]
fn mosquitto_takes_a_certificate_for_a_login_and_is_told_again_when_it_is_back() {
    if !has_mosquitto("mosquitto_takes_a_certificate_for_a_login_and_is_told_again_when_it_is_back") {
        return;
    }
    let (authority, port) = (Authority::new(), free());
    let more = "allow_anonymous false\nrequire_certificate true\nuse_identity_as_username true\n";
    let [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| authority.text(name));
    let at = format!("[mqtt]\nurl = \"mqtts://localhost:{port}/site/x\"\nca = \"{ca}\"\n");
    let own = format!("{at}certificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let mut desk = Desk::new(one(&own));
    desk.put("taken");
    desk.put("expired");
    desk.fails();
    desk.fails();
    let back = Mosquitto::by_tls(&authority, port, more);
    assert_eq!((desk.step(), desk.step(), desk.step()), (Step::Sent(1), Step::Sent(1), Step::Idle(None)));
    let error = once(&mut one(&at)).unwrap_err();
    assert!(!error.is_empty(), "it was told without a certificate");
    drop(back);
}
