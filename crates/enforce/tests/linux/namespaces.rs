//! Network namespaces of their own, and peers with real sockets in them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use enforce::Nft;

/// How long a peer waits for an answer that should come.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a peer waits for an answer that should not come.
const SILENCE: Duration = Duration::from_millis(300);
/// How long anything is waited for at most.
const DEADLINE: Duration = Duration::from_secs(20);
/// Says to the test binary that it is a peer.
const PEER: &str = "PAVISE_ENFORCE_PEER";

/// Namespaces that are deleted with this, and all interfaces in them.
pub(crate) struct Namespaces {
    prefix: String,
    made: Vec<String>,
}

impl Namespaces {
    /// Makes them, or says why the test is skipped.
    pub(crate) fn new(test: &str, names: &[&str]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        testkit::peer(test, "ip")?;
        testkit::peer(test, "nft")?;
        let prefix = format!("pve{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut namespaces = Self { prefix, made: Vec::new() };
        for name in names {
            let full = namespaces.full(name);
            if !ip(&["netns", "add", &full]).status.success() {
                testkit::skip(test, "network namespaces cannot be made here (they take root)");
                return None;
            }
            namespaces.made.push(full);
            namespaces.ip(name, &["link", "set", "lo", "up"]);
            // Addresses hold at once, without asking whether another host has them.
            for which in ["all", "default"] {
                namespaces.sysctl(name, &format!("net/ipv6/conf/{which}/accept_dad"), "0");
            }
        }
        let trial = Command::new("ip")
            .args(["netns", "exec", &namespaces.full(names[0]), "nft", "list", "ruleset"])
            .output();
        if !trial.is_ok_and(|output| output.status.success()) {
            testkit::skip(test, "nft cannot be used here (it takes root and nf_tables in the kernel)");
            return None;
        }
        Some(namespaces)
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The firewall in a namespace.
    pub(crate) fn nft(&self, name: &str) -> Nft {
        Nft::new("ip").with_arguments(["netns", "exec", &self.full(name), "nft"])
    }

    /// Runs `nft` as somebody else would.
    pub(crate) fn nft_command(&self, name: &str, arguments: &[&str]) {
        let full = self.full(name);
        let output =
            Command::new("ip").args(["netns", "exec", &full, "nft"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Configures a namespace.
    pub(crate) fn ip(&self, name: &str, arguments: &[&str]) {
        let output = ip(&[&["-n", &self.full(name)], arguments].concat());
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sets something of the kernel in a namespace.
    fn sysctl(&self, name: &str, path: &str, value: &str) {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.full(name), "tee", &format!("/proc/sys/{path}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{path}");
    }

    /// A link between two namespaces.
    fn link(&self, one: (&str, &str), other: (&str, &str)) {
        let (here, there) = (self.full(one.0), self.full(other.0));
        let made = ip(&[
            "link", "add", one.1, "netns", &here, "type", "veth", "peer", "name", other.1, "netns", &there,
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for (name, interface) in [one, other] {
            self.ip(name, &["link", "set", interface, "up"]);
        }
    }

    /// a — r — b, where r routes between 10.9.1.0/24 and 10.9.2.0/24, fd09:1::/64 and fd09:2::/64. The last byte of a's and b's
    /// addresses is 2.
    pub(crate) fn routed(test: &str) -> Option<Self> {
        let names = Self::new(test, &["a", "r", "b"])?;
        for path in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            names.sysctl("r", path, "1");
        }
        for (end, net, link) in [("a", 1, "left"), ("b", 2, "right")] {
            names.link((end, "eth0"), ("r", link));
            let at = |host: u8| [format!("10.9.{net}.{host}/24"), format!("fd09:{net}::{host}/64")];
            for address in at(2) {
                names.ip(end, &["addr", "add", &address, "dev", "eth0", "nodad"]);
            }
            for address in at(1) {
                names.ip("r", &["addr", "add", &address, "dev", link, "nodad"]);
            }
            names.ip(end, &["route", "add", "default", "via", &format!("10.9.{net}.1")]);
            names.ip(end, &["-6", "route", "add", "default", "via", &format!("fd09:{net}::1")]);
        }
        Some(names)
    }

    /// a — r — b, where r is a bridge within 10.9.1.0/24 and fd09:1::/64: a is 2 with the link-layer address
    /// 02:00:00:00:00:0a, b is 3 with 02:00:00:00:00:0b.
    pub(crate) fn bridged(test: &str) -> Option<Self> {
        let names = Self::new(test, &["a", "r", "b"])?;
        names.ip("r", &["link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0"]);
        names.ip("r", &["link", "set", "br0", "up"]);
        for (end, host, link, mac) in
            [("a", 2, "left", "02:00:00:00:00:0a"), ("b", 3, "right", "02:00:00:00:00:0b")]
        {
            names.link((end, "eth0"), ("r", link));
            names.ip(end, &["link", "set", "eth0", "address", mac]);
            names.ip("r", &["link", "set", link, "master", "br0"]);
            for address in [format!("10.9.1.{host}/24"), format!("fd09:1::{host}/64")] {
                names.ip(end, &["addr", "add", &address, "dev", "eth0", "nodad"]);
            }
        }
        Some(names)
    }

    /// A process with sockets in a namespace.
    pub(crate) fn peer(&self, name: &str) -> Peer {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.full(name)])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "namespaces::a_peer", "--nocapture", "--test-threads", "1"])
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

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.made {
            ip(&["netns", "del", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip").args(arguments).output().unwrap()
}

/// Asks until it is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::yield_now();
    }
}

/// A process in a namespace that does with sockets what it is told.
pub(crate) struct Peer {
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
            // The test runner says its own things on the same stream.
            if let Some((_, said)) = line.trim_end().split_once("> ") {
                return said.into();
            }
        }
    }

    fn ask(&mut self, what: &str) -> String {
        writeln!(self.input, "{what}").unwrap();
        self.answer()
    }

    /// Answers with what it is told, on TCP and UDP.
    pub(crate) fn serve(&mut self, at: &str) {
        until("the address is there", || self.ask(&format!("serve {at}")) == "ok");
    }

    /// Waits long for an answer if one is expected, and briefly if none is.
    pub(crate) fn expect(&mut self, answers: bool) {
        self.ask(if answers { "patient" } else { "brief" });
    }

    /// Opens a conversation and keeps it.
    pub(crate) fn connect(&mut self, to: &str) -> bool {
        self.ask(&format!("connect {to}")) == "ok"
    }

    /// Says something in the conversation that is kept, and whether it was answered: "ok", or how it ended.
    pub(crate) fn say(&mut self) -> String {
        self.ask("say")
    }

    /// Its own address and port in the conversation that is kept.
    pub(crate) fn local(&mut self) -> String {
        self.ask("local")
    }

    /// Whether a datagram is answered.
    pub(crate) fn udp(&mut self, to: &str) -> bool {
        self.ask(&format!("udp {to}")) == "ok"
    }

    /// Whether a datagram is answered that takes several fragments.
    pub(crate) fn large_udp(&mut self, to: &str) -> bool {
        self.ask(&format!("large-udp {to}")) == "ok"
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
    let mut wait = ANSWER;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (what, at) = line.split_once(' ').unwrap_or((&line, ""));
        let result = match what {
            "serve" => serve(at.parse().unwrap()),
            "connect" => {
                TcpStream::connect_timeout(&at.parse().unwrap(), wait).map(|stream| kept = Some(stream))
            }
            "say" => say(kept.as_mut().unwrap(), wait),
            "udp" => udp(at.parse().unwrap(), b"said", wait),
            "large-udp" => udp(at.parse().unwrap(), &[b's'; 4_000], wait),
            "local" => {
                println!("> {}", kept.as_ref().unwrap().local_addr().unwrap());
                continue;
            }
            "patient" | "brief" => {
                wait = if what == "brief" { SILENCE } else { ANSWER };
                Ok(())
            }
            other => panic!("{other}"),
        };
        match result {
            Ok(()) => println!("> ok"),
            Err(error) => println!("> {:?}", error.kind()),
        }
    }
}

fn say(stream: &mut TcpStream, wait: Duration) -> std::io::Result<()> {
    stream.set_read_timeout(Some(wait))?;
    stream.write_all(b"said")?;
    let mut heard = [0; 4];
    stream.read_exact(&mut heard)?;
    assert_eq!(&heard, b"said");
    Ok(())
}

fn udp(to: SocketAddr, what: &[u8], wait: Duration) -> std::io::Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(wait))?;
    socket.send_to(what, to)?;
    let mut heard = [0; 8_000];
    let (count, _) = socket.recv_from(&mut heard)?;
    assert_eq!(&heard[..count], what);
    Ok(())
}

fn serve(at: SocketAddr) -> std::io::Result<()> {
    let (tcp, udp) = (TcpListener::bind(at)?, UdpSocket::bind(at)?);
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    std::thread::spawn(move || {
        let mut bytes = [0; 8_000];
        while let Ok((count, from)) = udp.recv_from(&mut bytes) {
            let _ = udp.send_to(&bytes[..count], from);
        }
    });
    Ok(())
}
