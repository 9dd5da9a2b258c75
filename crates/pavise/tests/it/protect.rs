//! A live watch that responds: real attackers, real firewall, in network namespaces of their own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use testkit::namespaces::{End, Namespaces, Part, Peer, connect, serve, until};

/// Anything is waited for at most so long.
const DEADLINE: Duration = Duration::from_secs(40);
/// An attack is contained within so many seconds of the packet that shows it.
const CONTAINED_S: f64 = 1.0;
/// The services of the device that is attacked, of which one lets nobody in.
const SERVICE: &str = "10.9.1.3:7000";
const TELNET: &str = "10.9.1.3:23";
/// What peers are told: the parts below.
const SERVE_TELNET: &str = "telnet 10.9.1.3:23";
const GUESS: &str = "guess 10.9.1.3:23";

/// a, b and c on a bridge r: an attacker, a device, and somebody who means no harm.
struct Bridge(Namespaces);

impl Bridge {
    fn new(test: &str) -> Option<Self> {
        let names = Namespaces::new(test, &["a", "b", "c", "r"])?;
        let end = |name, mac, addresses| End { name, mac, addresses };
        names.bridge(
            "r",
            &[
                end("a", "02:00:00:00:00:0a", &["10.9.1.2/24"]),
                end("b", "02:00:00:00:00:0b", &["10.9.1.3/24"]),
                end("c", "02:00:00:00:00:0c", &["10.9.1.4/24"]),
            ],
        );
        Some(Self(names))
    }

    /// A process in a namespace that does what it is told, and waits for answers only briefly.
    fn peer(&self, name: &str) -> Peer {
        let mut peer = self.0.peer(name);
        peer.expect(false);
        peer
    }

    /// Pavise on the bridge, once it listens.
    fn watch(&self, state: &Path, protect: &Path) -> Watch {
        let mut child = self
            .0
            .command("r", env!("CARGO_BIN_EXE_pavise"))
            .args(["watch", "if:br0", "--quiet", "--protect"])
            .arg(protect)
            .arg("--state")
            .arg(state)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let watch = Watch { child, lines };
        watch.says("Listening on br0");
        watch
    }

    fn pavise(&self, arguments: &[&str], state: &Path) -> String {
        let mut command = self.0.command("r", env!("CARGO_BIN_EXE_pavise"));
        let output = command.args(arguments).arg("--state").arg(state).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }
}

struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    /// Waits for a line with this in it, and returns it and how many lines came before.
    fn says(&self, what: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut before = String::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.contains(what) {
                return line;
            }
            before += &(line + "\n");
        }
        panic!("Pavise did not say {what:?}, but:\n{before}");
    }

    fn signal(&mut self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What peers do here besides.
pub(super) const PARTS: &[Part] = &[("telnet", telnet), ("guess", guess)];

/// A device's Telnet service that lets nobody in.
fn telnet(at: SocketAddr, _: Duration) -> std::io::Result<()> {
    serve(at, refuse)
}

fn refuse(stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    out.write_all(b"\xff\xfd\x18\xff\xfb\x01\xff\xfb\x03")?;
    let mut typed = String::new();
    loop {
        for prompt in ["camera login: ", "Password: "] {
            out.write_all(prompt.as_bytes())?;
            typed.clear();
            if lines.read_line(&mut typed)? == 0 {
                return Ok(());
            }
        }
        out.write_all(b"\r\nLogin incorrect\r\n")?;
    }
}

/// Three guesses, as many as a service takes.
fn guess(at: SocketAddr, wait: Duration) -> std::io::Result<()> {
    let mut stream = connect(at, wait)?;
    let await_text = |stream: &mut TcpStream, text: &str| {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(text.as_bytes()) {
            stream.read_exact(&mut byte)?;
            seen.push(byte[0]);
        }
        Ok::<_, std::io::Error>(())
    };
    for password in ["admin", "12345", "xc3511"] {
        await_text(&mut stream, "login: ")?;
        stream.write_all(b"root\r\n")?;
        await_text(&mut stream, "Password: ")?;
        stream.write_all(format!("{password}\r\n").as_bytes())?;
    }
    await_text(&mut stream, "incorrect\r\n")
}

fn protect(folder: &Path, more: &str) -> std::path::PathBuf {
    let path = folder.join("protect.toml");
    std::fs::write(&path, format!("family = \"bridged\"\nguard = [\"10.9.1.1\"]\n{more}")).unwrap();
    path
}

/// Guesses until the service cannot be reached any more; whether that came before a deadline.
fn attack(attacker: &mut Peer) {
    until("it is contained", || attacker.ask(GUESS) != "ok");
}

#[test]
fn an_attack_is_contained_within_a_second_and_everybody_else_goes_on() {
    let test = "an_attack_is_contained_within_a_second_and_everybody_else_goes_on";
    let Some(bridge) = Bridge::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let file = protect(
        folder.path(),
        "mode = \"enforce\"\n[tell]\nfile = { path = \"TOLD\", severity = \"info\" }\n",
    );
    let told = folder.path().join("told.jsonl");
    let text = std::fs::read_to_string(&file).unwrap().replace("TOLD", &told.display().to_string());
    std::fs::write(&file, text).unwrap();
    let (mut attacker, mut device, mut friend) = (bridge.peer("a"), bridge.peer("b"), bridge.peer("c"));
    until("Telnet is served", || device.ask(SERVE_TELNET) == "ok");
    device.serve(SERVICE);
    let mut watch = bridge.watch(&state, &file);
    assert!(friend.connect(SERVICE));
    assert_eq!(friend.say(), "ok");

    attack(&mut attacker);
    let line = watch.says(" contained 10.9.1.2 for 1 h: incident i");
    println!("{line}");
    let after: f64 = line.split(", ").last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(after < CONTAINED_S, "{line}");
    assert!(!attacker.connect(SERVICE), "nor is anything else reached");
    assert_eq!(friend.say(), "ok", "an established conversation goes on");
    assert!(friend.connect(SERVICE), "and new ones begin");
    until("it is told", || {
        let told = std::fs::read_to_string(&told).unwrap_or_default();
        told.contains("\"event\":\"action-taken\"") && told.contains("\"outcome\":\"taken\"")
    });
    // What was found is told, too, once it is kept.
    until("findings and incidents are told", || {
        let told = std::fs::read_to_string(&told).unwrap_or_default();
        told.contains("\"event\":\"finding\"") && told.contains("\"event\":\"incident\"")
    });

    // Killed at any moment, what is in force stays.
    watch.signal("-KILL");
    assert!(!attacker.connect(SERVICE));
    assert_eq!(friend.say(), "ok");
    let mut watch = bridge.watch(&state, &file);
    assert!(!attacker.connect(SERVICE));
    watch.signal("-INT");
    watch.says("1 response stays in force until");
    assert!(!attacker.connect(SERVICE));
    // What was raised has one id, however often it was sent; nothing waits.
    let lines = std::fs::read_to_string(&told).unwrap();
    let (mut ids, mut subjects) = (BTreeSet::new(), BTreeSet::new());
    for line in lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        if line["told"]["change"] == "raised" {
            ids.insert(line["told"]["id"].to_string());
            subjects.insert(line["finding"]["id"].to_string() + &line["incident"]["id"].to_string());
        }
    }
    assert!(ids.len() >= 2 && ids.len() == subjects.len(), "{lines}");
    assert!(bridge.pavise(&["outbox"], &state).contains("0 messages waiting."));

    // It is listed, beside its incident, too, and a person can undo it: without a watch, and through one.
    let list = bridge.pavise(&["actions"], &state);
    let action = list.lines().find(|line| line.contains("in-force")).expect(&list).to_owned();
    let words: Vec<&str> = action.split_whitespace().collect();
    assert!(action.contains("contain") && action.contains("10.9.1.2"), "{action}");
    let incident = words.iter().find(|word| word.starts_with('i') && word.len() == 13).unwrap();
    assert!(bridge.pavise(&["incidents", incident], &state).contains("What was done"));
    let told = bridge.pavise(&["actions", "revert", words[0]], &state);
    assert!(told.contains("is undone"), "{told}");
    until("it is let through", || attacker.connect(SERVICE));
    assert!(bridge.pavise(&["actions"], &state).contains("0 actions"));
    assert!(bridge.pavise(&["actions", "--all"], &state).contains("reverted"));
}

#[test]
fn a_person_who_is_asked_answers_and_undoes_it_while_the_watch_goes_on() {
    let test = "a_person_who_is_asked_answers_and_undoes_it_while_the_watch_goes_on";
    let Some(bridge) = Bridge::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let rule = "[[rule]]\nname = \"ask\"\nseverity = \"high\"\naction = \"contain\"\nask = true\n";
    let file = protect(folder.path(), &format!("mode = \"enforce\"\n{rule}"));
    let (mut attacker, mut device) = (bridge.peer("a"), bridge.peer("b"));
    until("Telnet is served", || device.ask(SERVE_TELNET) == "ok");
    let watch = bridge.watch(&state, &file);
    for _ in 0..4 {
        assert_eq!(attacker.ask(GUESS), "ok");
    }
    let line = watch.says("contain 10.9.1.2?");
    let id = line.split("answer ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(attacker.connect(TELNET), "nothing is done before somebody says so");
    let told = bridge.pavise(&["actions", "answer", &id, "yes"], &state);
    assert!(told.contains("Handed to the watch"), "{told}");
    watch.says("taken: contain");
    assert!(!attacker.connect(TELNET));
    let list = bridge.pavise(&["actions"], &state);
    let id = list.lines().find(|line| line.contains("in-force")).expect(&list).split(' ').next().unwrap();
    bridge.pavise(&["actions", "revert", id], &state);
    watch.says("reverted: contain");
    assert!(attacker.connect(TELNET));
}

#[test]
fn a_policy_is_kept_in_force_and_follows_devices_as_they_appear() {
    let test = "a_policy_is_kept_in_force_and_follows_devices_as_they_appear";
    let Some(bridge) = Bridge::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("floor.policy");
    // Who has the link-layer address is known once it has been seen.
    let text = "zone floor { level 2 members 10.9.1.0/24 }\nallow 02:00:00:00:00:0c -> 10.9.1.3 tcp/7000\n";
    std::fs::write(&policy, text).unwrap();
    let file = protect(folder.path(), &format!("mode = \"enforce\"\npolicy = \"{}\"\n", policy.display()));
    let (mut stranger, mut device, mut friend) = (bridge.peer("a"), bridge.peer("b"), bridge.peer("c"));
    device.serve(SERVICE);
    until("it is let through", || stranger.connect(SERVICE));
    let mut watch = bridge.watch(&folder.path().join("state"), &file);
    assert!(!stranger.connect(SERVICE));
    until("it is let through", || friend.connect(SERVICE));
    assert_eq!(friend.say(), "ok");
    assert!(!stranger.connect(SERVICE));
    watch.signal("-INT");
    watch.says("The policy stays in force as it is");
    assert!(!stranger.connect(SERVICE));
    assert!(friend.connect(SERVICE));
}

#[test]
fn what_is_only_observed_is_told_and_cuts_nothing() {
    let test = "what_is_only_observed_is_told_and_cuts_nothing";
    let Some(bridge) = Bridge::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = protect(folder.path(), "");
    let (mut attacker, mut device) = (bridge.peer("a"), bridge.peer("b"));
    until("Telnet is served", || device.ask(SERVE_TELNET) == "ok");
    let watch = bridge.watch(&folder.path().join("state"), &file);
    for _ in 0..4 {
        assert_eq!(attacker.ask(GUESS), "ok");
    }
    watch.says(" would contain 10.9.1.2 for 1 h: incident i");
    assert_eq!(attacker.ask(GUESS), "ok");
    let rules = bridge.0.run("r", "nft", &["list", "ruleset"]);
    assert!(!rules.contains("pavise"), "{rules}");
}

#[test]
fn what_ends_while_nobody_watches_is_let_out_by_the_kernel_and_a_restart_knows() {
    let test = "what_ends_while_nobody_watches_is_let_out_by_the_kernel_and_a_restart_knows";
    let Some(bridge) = Bridge::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let rule = "[[rule]]\nname = \"brief\"\nseverity = \"high\"\naction = \"quarantine\"\nlife = \"6s\"\n";
    let file = protect(folder.path(), &format!("mode = \"enforce\"\n{rule}"));
    let (mut attacker, mut device) = (bridge.peer("a"), bridge.peer("b"));
    until("Telnet is served", || device.ask(SERVE_TELNET) == "ok");
    let mut watch = bridge.watch(&state, &file);
    attack(&mut attacker);
    watch.says(" quarantined 10.9.1.2 for 6 s");
    watch.signal("-KILL");
    assert!(!attacker.connect(TELNET));
    until("it is let through", || attacker.connect(TELNET));
    let mut watch = bridge.watch(&state, &file);
    assert!(attacker.connect(TELNET));
    // It goes on, and is responded to anew although nothing new is found.
    attack(&mut attacker);
    watch.says(" quarantined 10.9.1.2 for 6 s");
    watch.says(" expired: quarantine");
    watch.signal("-INT");
    let journal = std::fs::read_to_string(state.join("responses-bridged.jsonl")).unwrap();
    assert!(journal.matches("\"step\":\"expired\"").count() >= 2, "{journal}");
}
