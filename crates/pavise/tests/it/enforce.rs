//! `pavise policy export` and `pavise enforce`: from a policy to a firewall, with real packets in network namespaces.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Done, Place};

/// How long a peer waits for an answer that should come, and for one that should not.
const ANSWER: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(400);
/// Says to the test binary that it is a peer.
const PEER: &str = "PAVISE_IT_PEER";
/// The panel and the controller of the plant.
const PANEL: &str = "10.10.0.21";
const CONTROLLER: &str = "10.10.0.13";

/// A place where the plant was watched, with the policy that follows from it.
fn watched() -> Place {
    let place = Place::new();
    place.run(&["lab", "plant", "--minutes", "10", "--out", "plant.pcapng"]).good();
    place.run(&["watch", "--quiet", "plant.pcapng"]).good();
    place.run(&["policy", "propose", "--site", "Plant", "--out", "plant.policy"]).good();
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_policy_is_said_in_the_words_of_many() {
    let place = watched();
    place.file(
        "small.policy",
        format!("allow \"set points\" {PANEL} -> {CONTROLLER} modbus write\nallow local -> \"time.example.com\" ntp\n"),
    );
    for (to, wanted) in [
        ("nftables", &["table inet pavise", "10.10.0.21 . 10.10.0.13 . 502"][..]),
        ("cisco", &["ip access-list extended PAVISE", "permit tcp host 10.10.0.21 host 10.10.0.13 eq 502"]),
        ("aruba", &["access-list ip PAVISE", "permit tcp 10.10.0.21 10.10.0.13 eq 502"]),
        ("iptables", &["*filter", "-s 10.10.0.21/32 -d 10.10.0.13/32", "--dports 502"]),
        ("ip6tables", &["*filter"]),
        ("kubernetes", &["\"NetworkPolicy\"", "\"namespace\": \"default\""]),
        ("radius", &["NAS-Filter-Rule", "permit in 6 from assigned to 10.10.0.13 502"]),
    ] {
        let done = place.run(&["policy", "export", "small.policy", "--to", to]).good();
        for wanted in wanted {
            assert!(done.out.contains(wanted), "{to} has no {wanted}:\n{}", done.out);
        }
        assert!(
            done.said.contains(
                "only some operations are allowed, the firewall lets whole conversations through: line 1"
            ),
            "{to}: {}",
            done.said
        );
    }
    let done = place.run(&["policy", "export", "small.policy", "--to", "cisco", "--out", "list.txt"]).good();
    assert!(done.out.starts_with("list.txt: "), "{}", done.out);
    assert!(std::fs::read_to_string(place.path("list.txt")).unwrap().contains("permit tcp host"));
    assert!(done.said.contains("the DNS name time.example.com"), "{}", done.said);
}

#[test]
fn what_cannot_be_put_in_force_is_refused_with_what_to_do() {
    let place = watched();
    place.file("cutting.policy", "zone all { members 10.10.0.0/24 }\n");
    place.file("wrong.policy", "zone a { members role:plc }\nzone b { members role:plc }\n");
    for (arguments, wanted) in [
        (&["enforce", "status"][..], "nothing was put in force"),
        (&["enforce", "drift"], "nothing was put in force"),
        (&["enforce", "remove"], "nothing was put in force"),
        (&["enforce", "apply", "cutting.policy", "--mode", "enforce"], "it would cut"),
        (&["enforce", "apply", "wrong.policy", "--mode", "observe"], "is not to be put in force as it is"),
        (&["enforce", "plan", "plant.policy", "--guard", "me"], "\"me\" is no address"),
        (&["enforce", "plan", "none.policy"], "cannot read the policy none.policy"),
    ] {
        let done = place.run(arguments);
        assert!(done.status == Some(1) && done.said.contains(wanted), "{arguments:?}: {done:?}");
    }
    let mut command = place.pavise();
    let none =
        command.args(["enforce", "apply", "plant.policy", "--mode", "observe"]).env("PATH", place.path(""));
    let done = Done::from(none.output().unwrap());
    assert!(done.status == Some(1) && done.said.contains("nft could not be started"), "{done:?}");
    assert!(done.said.contains("install nftables"), "{done:?}");
    let mut command = place.pavise();
    let none = command.args(["enforce", "plan", "plant.policy", "--json"]).env("PATH", place.path(""));
    let plan = json(&Done::from(none.output().unwrap()).good().out);
    assert!(plan["unchecked"].as_str().unwrap().contains("nft could not be started"), "{plan}");
    assert_eq!(plan["cuts"], Value::Array(vec![]), "what a policy was proposed from is not cut");
}

/// panel — r — controller, where r is a bridge. All is deleted with it.
struct Bridge {
    prefix: String,
}

impl Bridge {
    fn new(test: &str) -> Option<Self> {
        testkit::peer(test, "ip")?;
        testkit::peer(test, "nft")?;
        let bridge = Self { prefix: format!("pvi{}", std::process::id()) };
        for name in ["a", "r", "b"] {
            if !ip(&["netns", "add", &bridge.full(name)]) {
                testkit::skip(test, "network namespaces cannot be made here (they take root)");
                return None;
            }
        }
        if !bridge
            .command("r", "nft")
            .args(["list", "ruleset"])
            .output()
            .is_ok_and(|output| output.status.success())
        {
            testkit::skip(test, "nft cannot be used here (it takes root and nf_tables in the kernel)");
            return None;
        }
        let r = bridge.full("r");
        assert!(ip(&[
            "-n",
            &r,
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "0",
            "forward_delay",
            "0"
        ]));
        assert!(ip(&["-n", &r, "link", "set", "br0", "up"]));
        for (end, port, address) in [("a", "left", PANEL), ("b", "right", CONTROLLER)] {
            let full = bridge.full(end);
            assert!(ip(&[
                "link", "add", "eth0", "netns", &full, "type", "veth", "peer", "name", port, "netns", &r
            ]));
            assert!(ip(&["-n", &r, "link", "set", port, "master", "br0", "up"]));
            assert!(ip(&["-n", &full, "link", "set", "eth0", "up"]));
            assert!(ip(&["-n", &full, "addr", "add", &format!("{address}/24"), "dev", "eth0"]));
        }
        Some(bridge)
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn command(&self, name: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(name), program]);
        command
    }

    /// `pavise` on the bridge.
    fn pavise(&self, place: &Place, arguments: &[&str]) -> Done {
        let mut command = self.command("r", env!("CARGO_BIN_EXE_pavise"));
        command.args(arguments).current_dir(place.path("")).env("PAVISE_STATE", place.path("state"));
        Done::from(command.stdin(Stdio::null()).output().unwrap())
    }

    fn peer(&self, name: &str) -> Peer {
        let mut child = self
            .command(name, std::env::current_exe().unwrap().to_str().unwrap())
            .args(["--exact", "enforce::a_peer", "--nocapture", "--test-threads", "1"])
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
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for name in ["a", "r", "b"] {
            ip(&["netns", "del", &self.full(name)]);
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().unwrap().status.success()
}

/// A process in a namespace that does with sockets what it is told.
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

    fn ask(&mut self, what: &str) -> bool {
        writeln!(self.input, "{what}").unwrap();
        self.answer() == "ok"
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
        let done = match what {
            "serve" => TcpListener::bind(at).is_ok_and(|listener| {
                std::thread::spawn(move || listener.incoming().for_each(|stream| echo(stream.unwrap())));
                true
            }),
            "connect" => TcpStream::connect_timeout(&at.parse().unwrap(), ANSWER)
                .map(|stream| kept = Some(stream))
                .is_ok(),
            "try" => TcpStream::connect_timeout(&at.parse().unwrap(), SILENCE).is_ok(),
            "say" => kept.as_mut().is_some_and(said),
            other => panic!("{other}"),
        };
        println!("> {}", if done { "ok" } else { "no" });
    }
}

fn echo(mut stream: TcpStream) {
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            if stream.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
    });
}

fn said(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(ANSWER)).unwrap();
    let mut heard = [0; 4];
    stream.write_all(b"said").is_ok() && stream.read_exact(&mut heard).is_ok() && &heard == b"said"
}

#[test]
fn a_policy_is_planned_observed_enforced_repaired_and_taken_out() {
    let Some(bridge) = Bridge::new("a_policy_is_planned_observed_enforced_repaired_and_taken_out") else {
        return;
    };
    let place = watched();
    let (mut panel, mut controller) = (bridge.peer("a"), bridge.peer("b"));
    for port in [502, 7001] {
        assert!(controller.ask(&format!("serve {CONTROLLER}:{port}")));
    }
    assert!(panel.ask(&format!("serve {PANEL}:502")));
    let modbus = format!("{CONTROLLER}:502");
    let [other, back] = [format!("{CONTROLLER}:7001"), format!("{PANEL}:502")];
    assert!(panel.ask(&format!("connect {modbus}")) && panel.ask("say"));

    let bridged = ["--family", "bridged"];
    let plan = bridge
        .pavise(&place, &[&["enforce", "plan", "plant.policy", "--json"], &bridged[..]].concat())
        .good();
    let plan = json(&plan.out);
    assert_eq!((&plan["change"]["whole"], &plan["objection"]), (&Value::Bool(true), &Value::Null), "{plan}");
    assert_eq!(bridge.pavise(&place, &["enforce", "status"]).status, Some(1), "a plan puts nothing in force");

    // Observed: everything passes, what is not allowed is counted.
    let apply = |mode: &str| {
        bridge.pavise(&place, &[&["enforce", "apply", "plant.policy", "--mode", mode], &bridged[..]].concat())
    };
    let done = apply("observe").good();
    assert!(done.out.contains("cuts nothing"), "{}", done.out);
    assert!(
        panel.ask("say") && panel.ask(&format!("connect {modbus}")) && panel.ask(&format!("try {other}"))
    );
    let status = json(&bridge.pavise(&place, &["enforce", "status", "--json"]).good().out);
    assert_eq!(
        (&status["mode"], &status["drift"]),
        (&Value::from("observe"), &Value::Array(vec![])),
        "{status}"
    );
    let row = |status: &Value| {
        let rows = status["cut_by"].as_array().unwrap();
        rows.iter().find(|row| row["service"] == "tcp/7001").cloned().unwrap_or_default()
    };
    let seen = row(&status);
    assert_eq!(
        (&seen["sender"], &seen["receiver"]),
        (&Value::from(PANEL), &Value::from(CONTROLLER)),
        "{status}"
    );
    let opened = |rule: &&Value| {
        rule["rule"].as_str().unwrap().contains("modbus") && rule["packets"].as_u64() > Some(0)
    };
    assert_eq!(status["rules"].as_array().unwrap().iter().filter(opened).count(), 1, "{status}");

    // Enforced: what is allowed goes on and can be opened, nothing else can.
    let done = apply("enforce").good();
    assert!(done.out.contains("cuts what is not allowed"), "{}", done.out);
    assert!(panel.ask("say"), "a conversation that is allowed goes on");
    assert!(panel.ask(&format!("connect {modbus}")) && panel.ask("say"));
    assert!(!panel.ask(&format!("try {other}")), "a port that no rule opens");
    assert!(!controller.ask(&format!("try {back}")), "the controller opens nothing to its panel");
    let text = bridge.pavise(&place, &["enforce", "status"]).good().out;
    for wanted in
        ["plant.policy in force since 2", "mode enforce", &format!("{PANEL} -> {CONTROLLER} tcp/7001: ")]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }

    // Somebody else's change is told, and put right.
    assert!(bridge.pavise(&place, &["enforce", "drift"]).good().out.contains("holds what was put there"));
    let flushed =
        bridge.command("r", "nft").args(["flush", "chain", "bridge", "pavise", "cut"]).status().unwrap();
    assert!(flushed.success());
    assert!(panel.ask(&format!("try {other}")), "the change takes the rules' teeth");
    let done = bridge.pavise(&place, &["enforce", "drift"]);
    assert!(done.status == Some(1) && done.out.contains("cut"), "{done:?}");
    assert!(bridge.pavise(&place, &["enforce", "drift", "--repair"]).good().out.contains("put right"));
    assert!(!panel.ask(&format!("try {other}")) && panel.ask("say"));

    // Applied again, nothing changes; another family is refused; taken out, everything passes.
    let again = json(
        &bridge
            .pavise(
                &place,
                &[&["enforce", "apply", "plant.policy", "--mode", "enforce", "--json"], &bridged[..]]
                    .concat(),
            )
            .good()
            .out,
    );
    assert_eq!(
        (&again["change"]["whole"], &again["change"]["added"]),
        (&Value::Bool(false), &Value::from(0)),
        "{again}"
    );
    let done = bridge.pavise(&place, &["enforce", "apply", "plant.policy", "--mode", "observe"]);
    assert!(done.status == Some(1) && done.said.contains("bridged rules are in force"), "{done:?}");
    bridge.pavise(&place, &["enforce", "remove"]).good();
    assert!(panel.ask(&format!("try {other}")) && controller.ask(&format!("try {back}")));
    assert_eq!(bridge.pavise(&place, &["enforce", "status"]).status, Some(1));
}
