//! A live watch that tells of what it does, and has credentials revoked: by TLS, with logins, to real other sides.

use std::sync::mpsc::channel;

use testkit::tls::{Authority, DEADLINE, Speaks, mail, web};

use super::*;

/// Says to the test binary that it is within the namespace.
const INSIDE: &str = "PAVISE_TELL_INSIDE";
/// So many packets are sent in a second: far below what is possible, so that a busy machine passes.
const RATE: u32 = 2_000;

/// A network namespace with two interfaces that are connected; gone with the value.
struct Wire(String);

impl Wire {
    /// `None`, after saying so, where none can be made.
    fn new(test: &str, name: &str) -> Option<Self> {
        for program in ["ip", "nft", "tcpreplay", "kill"] {
            testkit::peer(test, program)?;
        }
        let wire = Self(format!("{name}{}", std::process::id()));
        let made = ip(&["netns", "add", &wire.0])
            && ip(&["-n", &wire.0, "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"])
            && ["lo", "veth0", "veth1"].iter().all(|name| ip(&["-n", &wire.0, "link", "set", name, "up"]))
            && ip(&["netns", "exec", &wire.0, "nft", "list", "ruleset"]);
        if !made {
            testkit::skip(test, "no pair of virtual interfaces with a firewall can be made (it takes root)");
            return None;
        }
        Some(wire)
    }
}

impl Wire {
    /// Has this program do one of its tests again, within the namespace: those who are told listen there.
    fn within(&self, test: &str) {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.0])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads", "1"])
            .env(INSIDE, "yes")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn what_a_watch_does_is_told_by_mail_and_webhook_and_credentials_are_revoked() {
    let test = "what_a_watch_does_is_told_by_mail_and_webhook_and_credentials_are_revoked";
    let Some(wire) = Wire::new(test, "pvt") else { return };
    wire.within("tell::within_the_namespace");
}

#[test]
fn what_waits_when_a_watch_is_killed_is_told_by_the_next_to_whoever_was_down() {
    let test = "what_waits_when_a_watch_is_killed_is_told_by_the_next_to_whoever_was_down";
    let Some(wire) = Wire::new(test, "pvo") else { return };
    wire.within("tell::killed_within_the_namespace");
}

/// Not a test but the part of the one above that is within the namespace.
#[test]
fn killed_within_the_namespace() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let (place, port) = (Place::new(), testkit::tls::free());
    place.file(
        "protect.toml",
        format!(
            "family = \"bridged\"\n[tell.webhook]\nurl = \"http://127.0.0.1:{port}/\"\nseverity = \"low\"\n"
        ),
    );
    let options = SceneOptions { duration: Duration::from_secs(120), ..SceneOptions::default() };
    let scene = lab::attack("default-logins", None, &options).unwrap();
    scene.write(&mut File::create(place.path("attack.pcapng")).unwrap()).unwrap();
    let watch = || {
        let mut watch = place.pavise();
        watch.args(["watch", "if:veth1", "--quiet", "--protect", "protect.toml"]);
        let mut watch = watch.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Listening on veth1")));
        // It goes on saying things, which somebody must take.
        (watch, std::thread::spawn(move || lines.collect::<Vec<_>>().join("\n")))
    };
    let status = || {
        let all = json(&place.run(&["outbox", "--json"]).good().out);
        all.as_array().unwrap().iter().find(|one| one["receiver"] == "webhook").unwrap().clone()
    };
    let (mut first, said) = watch();
    let sent = Command::new("tcpreplay")
        .args(["--intf1=veth0", &format!("--pps={RATE}")])
        .arg(place.path("attack.pcapng"))
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let outbox = ::tell::Outbox::find(&place.path("state")).unwrap().unwrap();
    let kinds = ["action-taken", "finding", "incident"].map(|kind| format!("\"event\":\"{kind}\""));
    testkit::namespaces::until("messages of all kinds wait", || {
        // In a thousand years whoever is down would be tried.
        let then = Timestamp::from_secs(u64::from(u32::MAX) * 4);
        let ::tell::Next::Send(all) = outbox.next("webhook", 1_000, then).unwrap() else { return false };
        kinds.iter().all(|kind| all.iter().any(|waiting| waiting.letter.body.contains(kind)))
    });
    drop(outbox);
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(said.join().unwrap().contains("could not be told"));
    let before = status();
    assert!(before["last_error"].as_str().unwrap().contains("refused"), "{before}");
    let waiting = before["waiting"].as_u64().unwrap() as usize;

    let server = web(None, port, &["204 Told"]);
    place.run(&["outbox", "retry"]).good();
    let (mut second, said) = watch();
    let mut ids = std::collections::BTreeSet::new();
    let mut events = std::collections::BTreeSet::new();
    while ids.len() < waiting {
        let posted = server.hears();
        ids.insert(posted.header("webhook-id").unwrap().to_owned());
        let event: Value = serde_json::from_str(&posted.body).unwrap();
        events.insert(event["event"].as_str().unwrap().to_owned());
    }
    assert!(events.contains("finding") && events.contains("incident"), "{events:?}");
    assert!(Command::new("kill").args(["-INT", &second.id().to_string()]).status().unwrap().success());
    second.wait().unwrap();
    assert!(said.join().is_ok());
    let after = status();
    assert_eq!(
        (&after["waiting"], &after["given_up"], &after["last_error"]),
        (&0.into(), &0.into(), &Value::Null)
    );
    assert!(after["delivered"].as_u64().unwrap() >= waiting as u64);
}

/// Not a test but the part of the one above that is within the namespace.
#[test]
fn within_the_namespace() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let (place, authority) = (Place::new(), Authority::new());
    let config = authority.server(false);
    let hook = web(Some(config.clone()), 0, &["204 Told"]);
    let issuer = web(Some(config.clone()), 0, &["503 Later", "200 Revoked"]);
    let post = mail(Speaks::Starts(config), 0, Some(("plant", "s3cret")));
    let secret = authority.secret("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let [password, token] = ["password", "token"].map(|name| authority.secret(name, "s3cret\n"));
    let ca = authority.text("ca.pem");
    let (hook_port, issuer_port, post_port) = (hook.port, issuer.port, post.port);
    let protect = place.file(
        "protect.toml",
        format!(
            r#"
family = "bridged"
mode = "enforce"

[tell.webhook]
url = "https://localhost:{hook_port}/pavise"
ca = "{ca}"
secret-file = "{secret}"

[tell.mail]
server = "smtp://localhost:{post_port}"
from = "pavise@plant.example"
to = ["ops@plant.example"]
user = "plant"
password-file = "{password}"
ca = "{ca}"

[revoke]
url = "https://localhost:{issuer_port}/revoke"
ca = "{ca}"
secret-file = "{secret}"
token-file = "{token}"

[[rule]]
name = "all"
action = "revoke-credential"
"#
        ),
    );
    let options = SceneOptions { duration: Duration::from_secs(120), ..SceneOptions::default() };
    let scene = lab::attack("default-logins", None, &options).unwrap();
    scene.write(&mut File::create(place.path("attack.pcapng")).unwrap()).unwrap();
    let mut watch = place
        .pavise()
        .args(["watch", "if:veth1", "--quiet", "--protect"])
        .arg(&protect)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(watch.stderr.take().unwrap());
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut all = Vec::<String>::new();
    // Two threads say something: which line comes first does not matter.
    let mut says = |whats: &[&str]| {
        while !whats.iter().all(|what| all.iter().any(|line| line.contains(what))) {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) => all.push(line),
                Err(_) => panic!("Pavise did not say {whats:?}, but:\n{}", all.join("\n")),
            }
        }
    };
    says(&["Listening on veth1"]);
    let sent = Command::new("tcpreplay")
        .args(["--intf1=veth0", &format!("--pps={RATE}")])
        .arg(place.path("attack.pcapng"))
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));

    says(&[
        " has asked to revoke the credentials of ",
        " could not be told: it answers 503; it is tried again",
        " revoked the credentials of ",
    ]);
    let [first, second] = [issuer.hears(), issuer.hears()];
    assert_eq!((&first.body, first.header("webhook-id")), (&second.body, second.header("webhook-id")));
    assert_eq!(second.header("authorization"), Some("Bearer s3cret"));
    let asked: Value = serde_json::from_str(&second.body).unwrap();
    let device = asked["device"].as_str().unwrap();
    assert!(
        asked["macs"].as_array().unwrap().len() == 1 && !asked["addresses"].as_array().unwrap().is_empty()
    );
    let (id, incident) = (asked["action"].as_str().unwrap(), asked["incident"].as_str().unwrap());

    let outcome = |posted: &testkit::tls::Posted| {
        let event: Value = serde_json::from_str(&posted.body).unwrap();
        assert!(posted.header("webhook-signature").unwrap().starts_with("v1,"));
        (event["action"]["id"] == id).then(|| event["action"]["outcome"].as_str().unwrap().to_owned())
    };
    let mut outcomes = Vec::new();
    while outcomes.last().is_none_or(|outcome| outcome != "taken") {
        outcomes.extend(outcome(&hook.hears()));
    }
    assert_eq!(outcomes, ["requested", "taken"]);

    let told = std::iter::repeat_with(|| post.hears()).find(|mail| mail.body().contains(id)).unwrap();
    assert!(told.by_tls && told.logged_in);
    assert!(
        told.header("Subject").unwrap().contains("has asked to revoke the credentials of"),
        "{}",
        told.text
    );
    assert!(
        told.body().contains(&format!("How to stop it:   pavise actions revert {id}, until it is done\r\n"))
    );
    assert!(told.body().contains(&format!("Incident:         {incident}; ")));

    // It is done, and that cannot be undone.
    let actions: Value = serde_json::from_str(&place.run(&["actions", "--json"]).good().out).unwrap();
    let mine = actions.as_array().unwrap().iter().find(|action| action["id"] == id).unwrap();
    assert_eq!(mine["outcome"], "revoked");
    assert!(mine["target"].as_str().unwrap().starts_with(device));
    let again = place.run(&["actions", "revert", id]);
    assert!(again.status == Some(1) && again.said.contains("what is revoked stays so"), "{}", again.said);

    assert!(Command::new("kill").args(["-INT", &watch.id().to_string()]).status().unwrap().success());
    watch.wait().unwrap();
    reader.join().unwrap();
    for line in lines.try_iter().chain(all) {
        assert!(!line.contains("s3cret") && !line.contains("MfKQ9r8"), "{line}");
    }
}

#[test]
fn what_cannot_be_used_is_told_before_anything_is_watched() {
    let test = "what_cannot_be_used_is_told_before_anything_is_watched";
    let place = Place::new();
    place.file("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    for (text, parts) in [
        (
            "[tell.mail]\nserver = \"smtps://localhost\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]\nuser = \"a\"\n\
          password-file = \"none\"",
            ["tell.mail.password-file = \"none\"", "cannot read it"],
        ),
        (
            "[tell.webhook]\nurl = \"https://localhost/\"\nsecret-file = \"secret\"",
            ["tell.webhook.secret-file", "chmod 600"],
        ),
        ("[revoke]\nurl = \"http://localhost/\"", ["revoke.url", "https:// only"]),
        (
            "[[rule]]\nname = \"r\"\naction = \"revoke-credential\"",
            ["rule \"r\" revokes credentials", "[revoke]"],
        ),
    ] {
        place.file("protect.toml", format!("family = \"routed\"\n{text}\n"));
        let done = place.run(&["watch", "if:lo", "--protect", "protect.toml"]);
        if done.said.contains("ermission") || done.said.contains("not permitted") {
            return testkit::skip(test, "interfaces cannot be watched (it takes root)");
        }
        assert_eq!((done.status, done.out.as_str()), (Some(1), ""));
        assert!(parts.iter().all(|part| done.said.contains(part)), "{}", done.said);
        assert!(
            done.said.starts_with("pavise: protect.toml") && !done.said.contains("MfKQ9r8"),
            "{}",
            done.said
        );
    }
}
