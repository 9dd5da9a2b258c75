//! A live watch that responds: real attackers, real firewall, in network namespaces of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Anything is waited for at most so long.
const DEADLINE: Duration = Duration::from_secs(40);
/// An attack is contained within so many seconds of the packet that shows it.
const CONTAINED_S: f64 = 1.0;
/// Says to the test binary that it is a peer.
const PEER: &str = "PAVISE_PROTECT_PEER";
/// The device that is attacked.
const VICTIM: &str = "10.9.1.3";

/// a, b and c on a bridge r: an attacker, a device, and somebody who means no harm. Deleted with this.
struct Bridge {
    prefix: String,
    made: Vec<String>,
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip").args(arguments).output().unwrap()
}

impl Bridge {
    fn new(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        testkit::peer(test, "ip")?;
        testkit::peer(test, "nft")?;
        let prefix = format!("pvp{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut bridge = Self { prefix, made: Vec::new() };
        for name in ["a", "b", "c", "r"] {
            let full = bridge.full(name);
            if !ip(&["netns", "add", &full]).status.success() {
                testkit::skip(test, "network namespaces cannot be made here (they take root)");
                return None;
            }
            bridge.made.push(full);
            bridge.ip(name, &["link", "set", "lo", "up"]);
        }
        if !bridge.nft(&["list", "ruleset"]).status.success() {
            testkit::skip(test, "nft cannot be used here (it takes root and nf_tables in the kernel)");
            return None;
        }
        bridge.ip("r", &["link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0"]);
        bridge.ip("r", &["link", "set", "br0", "up"]);
        for (name, host) in [("a", 2), ("b", 3), ("c", 4)] {
            let (here, there) = (bridge.full(name), bridge.full("r"));
            let port = format!("port-{name}");
            let mac = format!("02:00:00:00:00:{:02x}", 8 + host);
            let made = ip(&[
                "link", "add", "eth0", "netns", &here, "address", &mac, "type", "veth", "peer", "name",
                &port, "netns", &there,
            ]);
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            bridge.ip("r", &["link", "set", &port, "up", "master", "br0"]);
            bridge.ip(name, &["addr", "add", &format!("10.9.1.{host}/24"), "dev", "eth0"]);
            bridge.ip(name, &["link", "set", "eth0", "up"]);
        }
        Some(bridge)
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn ip(&self, name: &str, arguments: &[&str]) {
        let output = ip(&[&["-n", &self.full(name)], arguments].concat());
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn inside(&self, name: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(name)]).arg(program);
        command
    }

    fn nft(&self, arguments: &[&str]) -> Output {
        self.inside("r", "nft").args(arguments).output().unwrap()
    }

    /// A process in a namespace that does what it is told.
    fn peer(&self, name: &str) -> Peer {
        let mut child = self
            .inside(name, std::env::current_exe().unwrap())
            .args(["--exact", "protect::a_peer", "--nocapture", "--test-threads", "1"])
            .env(PEER, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut peer = Peer { child, input, output };
        peer.answer();
        peer
    }

    /// Pavise on the bridge, once it listens.
    fn watch(&self, state: &Path, protect: &Path) -> Watch {
        let mut child = self
            .inside("r", env!("CARGO_BIN_EXE_pavise"))
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
        let mut command = self.inside("r", env!("CARGO_BIN_EXE_pavise"));
        let output = command.args(arguments).arg("--state").arg(state).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for name in &self.made {
            ip(&["netns", "del", name]);
        }
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

struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the peer has ended");
            if let Some((_, said)) = line.trim_end().split_once("> ") {
                return said.into();
            }
        }
    }

    fn ask(&mut self, what: &str) -> String {
        writeln!(self.input, "{what}").unwrap();
        self.answer()
    }

    fn until(&mut self, what: &str, answer: &str) {
        let deadline = Instant::now() + DEADLINE;
        while self.ask(what) != answer {
            assert!(Instant::now() < deadline, "{what} did not come to {answer}");
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test but the other side of [`Peer`], which is this program started again in a namespace.
#[test]
fn a_peer() {
    if std::env::var_os(PEER).is_none() {
        return;
    }
    println!("> ready");
    let mut kept: Option<TcpStream> = None;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (what, at) = line.split_once(' ').unwrap_or((&line, ""));
        let at = || at.parse::<SocketAddr>().unwrap();
        let result = match what {
            "serve" => serve(at(), |mut stream| {
                let mut bytes = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    stream.write_all(&bytes[..count])?;
                }
                Ok(())
            }),
            "telnet" => serve(at(), refuse),
            "guess" => guess(at()),
            "connect" => connect(at()).map(|stream| kept = Some(stream)),
            "say" => say(kept.as_mut().unwrap()),
            other => panic!("{other}"),
        };
        println!("> {}", if result.is_ok() { "ok" } else { "no" });
    }
}

fn connect(at: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&at, Duration::from_millis(500))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(stream)
}

fn say(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"said")?;
    let mut heard = [0; 4];
    stream.read_exact(&mut heard)
}

fn serve(at: SocketAddr, each: fn(TcpStream) -> std::io::Result<()>) -> std::io::Result<()> {
    let listener = TcpListener::bind(at)?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || each(stream.unwrap()));
        }
    });
    Ok(())
}

/// A device's Telnet service that lets nobody in.
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
fn guess(at: SocketAddr) -> std::io::Result<()> {
    let mut stream = connect(at)?;
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
    attacker.until(&format!("guess {VICTIM}:23"), "no");
}

#[test]
fn an_attack_is_contained_within_a_second_and_everybody_else_goes_on() {
    let test = "an_attack_is_contained_within_a_second_and_everybody_else_goes_on";
    let Some(bridge) = Bridge::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let file = protect(folder.path(), "mode = \"enforce\"\n[tell]\nfile = \"TOLD\"\n");
    let told = folder.path().join("told.jsonl");
    let text = std::fs::read_to_string(&file).unwrap().replace("TOLD", &told.display().to_string());
    std::fs::write(&file, text).unwrap();
    let (mut attacker, mut device, mut friend) = (bridge.peer("a"), bridge.peer("b"), bridge.peer("c"));
    device.until(&format!("telnet {VICTIM}:23"), "ok");
    device.until(&format!("serve {VICTIM}:7000"), "ok");
    let mut watch = bridge.watch(&state, &file);
    assert_eq!(friend.ask(&format!("connect {VICTIM}:7000")), "ok");
    assert_eq!(friend.ask("say"), "ok");

    attack(&mut attacker);
    let line = watch.says(" contained 10.9.1.2 for 1 h: incident i");
    println!("{line}");
    let after: f64 = line.split(", ").last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(after < CONTAINED_S, "{line}");
    assert_eq!(attacker.ask(&format!("connect {VICTIM}:7000")), "no", "nor is anything else reached");
    assert_eq!(friend.ask("say"), "ok", "an established conversation goes on");
    assert_eq!(friend.ask(&format!("connect {VICTIM}:7000")), "ok", "and new ones begin");
    let told = std::fs::read_to_string(told).unwrap();
    assert!(told.contains("\"event\":\"action-taken\"") && told.contains("\"outcome\":\"taken\""), "{told}");

    // Killed at any moment, what is in force stays.
    watch.signal("-KILL");
    assert_eq!(attacker.ask(&format!("connect {VICTIM}:7000")), "no");
    assert_eq!(friend.ask("say"), "ok");
    let mut watch = bridge.watch(&state, &file);
    assert_eq!(attacker.ask(&format!("connect {VICTIM}:7000")), "no");
    watch.signal("-INT");
    watch.says("1 response stays in force until");
    assert_eq!(attacker.ask(&format!("connect {VICTIM}:7000")), "no");

    // It is listed, beside its incident, too, and a person can undo it: without a watch, and through one.
    let list = bridge.pavise(&["actions"], &state);
    let action = list.lines().find(|line| line.contains("in-force")).expect(&list).to_owned();
    let words: Vec<&str> = action.split_whitespace().collect();
    assert!(action.contains("contain") && action.contains("10.9.1.2"), "{action}");
    let incident = words.iter().find(|word| word.starts_with('i') && word.len() == 13).unwrap();
    assert!(bridge.pavise(&["incidents", incident], &state).contains("What was done"));
    let told = bridge.pavise(&["actions", "revert", words[0]], &state);
    assert!(told.contains("is undone"), "{told}");
    attacker.until(&format!("connect {VICTIM}:7000"), "ok");
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
    device.until(&format!("telnet {VICTIM}:23"), "ok");
    let watch = bridge.watch(&state, &file);
    for _ in 0..4 {
        assert_eq!(attacker.ask(&format!("guess {VICTIM}:23")), "ok");
    }
    let line = watch.says("contain 10.9.1.2?");
    let id = line.split("answer ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(
        attacker.ask(&format!("connect {VICTIM}:23")),
        "ok",
        "nothing is done before somebody says so"
    );
    let told = bridge.pavise(&["actions", "answer", &id, "yes"], &state);
    assert!(told.contains("Handed to the watch"), "{told}");
    watch.says("taken: contain");
    assert_eq!(attacker.ask(&format!("connect {VICTIM}:23")), "no");
    let list = bridge.pavise(&["actions"], &state);
    let id = list.lines().find(|line| line.contains("in-force")).expect(&list).split(' ').next().unwrap();
    bridge.pavise(&["actions", "revert", id], &state);
    watch.says("reverted: contain");
    assert_eq!(attacker.ask(&format!("connect {VICTIM}:23")), "ok");
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
    device.until(&format!("serve {VICTIM}:7000"), "ok");
    stranger.until(&format!("connect {VICTIM}:7000"), "ok");
    let mut watch = bridge.watch(&folder.path().join("state"), &file);
    assert_eq!(stranger.ask(&format!("connect {VICTIM}:7000")), "no");
    friend.until(&format!("connect {VICTIM}:7000"), "ok");
    assert_eq!(friend.ask("say"), "ok");
    assert_eq!(stranger.ask(&format!("connect {VICTIM}:7000")), "no");
    watch.signal("-INT");
    watch.says("The policy stays in force as it is");
    assert_eq!(stranger.ask(&format!("connect {VICTIM}:7000")), "no");
    assert_eq!(friend.ask(&format!("connect {VICTIM}:7000")), "ok");
}

#[test]
fn what_is_only_observed_is_told_and_cuts_nothing() {
    let test = "what_is_only_observed_is_told_and_cuts_nothing";
    let Some(bridge) = Bridge::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = protect(folder.path(), "");
    let (mut attacker, mut device) = (bridge.peer("a"), bridge.peer("b"));
    device.until(&format!("telnet {VICTIM}:23"), "ok");
    let watch = bridge.watch(&folder.path().join("state"), &file);
    for _ in 0..4 {
        assert_eq!(attacker.ask(&format!("guess {VICTIM}:23")), "ok");
    }
    watch.says(" would contain 10.9.1.2 for 1 h: incident i");
    assert_eq!(attacker.ask(&format!("guess {VICTIM}:23")), "ok");
    let rules = String::from_utf8(bridge.nft(&["list", "ruleset"]).stdout).unwrap();
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
    device.until(&format!("telnet {VICTIM}:23"), "ok");
    let mut watch = bridge.watch(&state, &file);
    attack(&mut attacker);
    watch.says(" quarantined 10.9.1.2 for 6 s");
    watch.signal("-KILL");
    assert_eq!(attacker.ask(&format!("connect {VICTIM}:23")), "no");
    attacker.until(&format!("connect {VICTIM}:23"), "ok");
    let mut watch = bridge.watch(&state, &file);
    assert_eq!(attacker.ask(&format!("connect {VICTIM}:23")), "ok");
    // It goes on, and is responded to anew although nothing new is found.
    attack(&mut attacker);
    watch.says(" quarantined 10.9.1.2 for 6 s");
    watch.says(" expired: quarantine");
    watch.signal("-INT");
    let journal = std::fs::read_to_string(state.join("responses-bridged.jsonl")).unwrap();
    assert!(journal.matches("\"step\":\"expired\"").count() >= 2, "{journal}");
}
