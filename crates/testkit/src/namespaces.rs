//! Network namespaces of a test's own, the links between them, and processes with real sockets in them.
//!
//! ```no_run
//! use testkit::namespaces::{End, Namespaces, play};
//!
//! // The other side of a peer is the test binary itself, started again with this test alone.
//! #[test]
//! fn a_peer() {
//!     play(&[]);
//! }
//!
//! #[test]
//! fn a_bridge_forwards() {
//!     let Some(names) = Namespaces::new("a_bridge_forwards", &["a", "b", "r"]) else { return };
//!     names.bridge(
//!         "r",
//!         &[
//!             End { name: "a", mac: "02:00:00:00:00:0a", addresses: &["10.9.1.2/24"] },
//!             End { name: "b", mac: "02:00:00:00:00:0b", addresses: &["10.9.1.3/24"] },
//!         ],
//!     );
//!     let (mut a, mut b) = (names.peer("a"), names.peer("b"));
//!     b.serve("10.9.1.3:80");
//!     assert!(a.connect("10.9.1.3:80"));
//!     assert_eq!(a.say(), "ok");
//! }
//! ```

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a peer waits for an answer that should come.
pub const ANSWER: Duration = Duration::from_secs(5);
/// How long a peer waits for an answer that should not come. It is shorter than the second after which TCP says again
/// what was lost (RFC 6298, section 2), so that what is answered within it was not cut.
pub const SILENCE: Duration = Duration::from_millis(500);
/// How long anything is waited for at most.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Says to the test binary that it is a peer.
const PEER: &str = "PAVISE_TEST_PEER";
/// The test that plays the peer, at the root of the binary.
const TEST: &str = "a_peer";
/// What a peer says begins with this: the test runner says its own things on the same stream.
const SAID: &str = "> ";
/// The most bytes of a datagram that is answered.
const MAX_DATAGRAM: usize = 8_000;
/// The bytes of a datagram that takes several fragments on Ethernet.
const LARGE: usize = 4_000;

/// Namespaces that are deleted with this, and all interfaces in them. They are called by short names such as `a`, which
/// are different namespaces in each test.
///
/// What must not fail panics, as in a test.
#[derive(Debug)]
pub struct Namespaces {
    prefix: String,
    made: Vec<String>,
}

/// A namespace at the end of a link: its interface is `eth0`. That of the other end is called `to-` and the namespace's
/// name.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The namespace.
    pub name: &'a str,
    /// The link-layer address of its interface.
    pub mac: &'a str,
    /// Its addresses, with the lengths of their prefixes.
    pub addresses: &'a [&'a str],
}

impl Namespaces {
    /// Makes namespaces in which nothing is but the loopback interface, or says why the test is skipped: `ip` or `nft`
    /// are not installed, or this is not root.
    pub fn new(test: &str, names: &[&str]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        crate::peer(test, "ip")?;
        crate::peer(test, "nft")?;
        let prefix = format!("pv{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut namespaces = Self { prefix, made: Vec::new() };
        for name in names {
            let full = namespaces.full(name);
            if !ip(&["netns", "add", &full]).status.success() {
                crate::skip(test, "network namespaces cannot be made here (they take root)");
                return None;
            }
            namespaces.made.push(full);
            namespaces.ip(name, &["link", "set", "lo", "up"]);
            // Addresses hold at once, without asking whether another host has them.
            for which in ["all", "default"] {
                namespaces.sysctl(name, &format!("net/ipv6/conf/{which}/accept_dad"), "0");
            }
        }
        let nft = |name| namespaces.command(name, "nft").args(["list", "ruleset"]).output();
        if names.first().is_some_and(|name| !nft(name).is_ok_and(|output| output.status.success())) {
            crate::skip(test, "nft cannot be used here (it takes root and nf_tables in the kernel)");
            return None;
        }
        Some(namespaces)
    }

    /// What a namespace is called for `ip netns`.
    pub fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A program that will run in a namespace.
    pub fn command(&self, name: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(name)]).arg(program);
        command
    }

    /// Runs a program in a namespace, which must succeed; what it puts out.
    #[track_caller]
    pub fn run(&self, name: &str, program: &str, arguments: &[&str]) -> String {
        done(program, arguments, &self.command(name, program).args(arguments).output().unwrap())
    }

    /// Configures a namespace: `ip` with these arguments.
    #[track_caller]
    pub fn ip(&self, name: &str, arguments: &[&str]) {
        done("ip", arguments, &ip(&[&["-n", &self.full(name)], arguments].concat()));
    }

    /// Sets a variable of the kernel in a namespace: its path below `/proc/sys`.
    #[track_caller]
    pub fn sysctl(&self, name: &str, path: &str, value: &str) {
        self.run(name, "sh", &["-c", r#"echo "$1" > "/proc/sys/$0""#, path, value]);
    }

    /// Makes a link between interfaces of two namespaces, and sets both up.
    #[track_caller]
    pub fn link(&self, one: (&str, &str), other: (&str, &str)) {
        let (here, there) = (self.full(one.0), self.full(other.0));
        let link =
            ["link", "add", one.1, "netns", &here, "type", "veth", "peer", "name", other.1, "netns", &there];
        done("ip", &link, &ip(&link));
        for (name, interface) in [one, other] {
            self.ip(name, &["link", "set", interface, "up"]);
        }
    }

    /// Links a namespace with another; the interface there.
    fn end(&self, end: &End<'_>, other: &str) -> String {
        let port = format!("to-{}", end.name);
        self.link((end.name, "eth0"), (other, &port));
        self.ip(end.name, &["link", "set", "eth0", "address", end.mac]);
        for address in end.addresses {
            self.ip(end.name, &["addr", "add", address, "dev", "eth0", "nodad"]);
        }
        port
    }

    /// Makes a namespace a bridge, `br0`, between others.
    #[track_caller]
    pub fn bridge(&self, name: &str, ends: &[End<'_>]) {
        self.ip(name, &["link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0"]);
        self.ip(name, &["link", "set", "br0", "up"]);
        for end in ends {
            let port = self.end(end, name);
            self.ip(name, &["link", "set", &port, "master", "br0"]);
        }
    }

    /// Makes a namespace the router between others, each in networks of its own, in which the router has the address
    /// that ends in 1.
    #[track_caller]
    pub fn router(&self, name: &str, ends: &[End<'_>]) {
        for path in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            self.sysctl(name, path, "1");
        }
        for end in ends {
            let port = self.end(end, name);
            for address in end.addresses {
                let (host, length) = address.split_once('/').unwrap();
                let gateway = format!("{}1", &host[..=host.rfind(['.', ':']).unwrap()]);
                self.ip(name, &["addr", "add", &format!("{gateway}/{length}"), "dev", &port, "nodad"]);
                let family = if host.contains(':') { "-6" } else { "-4" };
                self.ip(end.name, &[family, "route", "add", "default", "via", &gateway]);
            }
        }
    }

    /// A process with sockets in a namespace. The test binary must have the test `a_peer`, which calls [`play`], at its
    /// root.
    #[track_caller]
    pub fn peer(&self, name: &str) -> Peer {
        let mut child = self
            .command(name, std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture", "--test-threads", "1"])
            .env(PEER, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once(SAID)
                    && sender.send(said.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let mut peer = Peer { child, input, answers };
        assert_eq!(peer.answer("begin"), "ready");
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

#[track_caller]
fn done(program: &str, arguments: &[&str], output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks until it is so, for [`DEADLINE`] at most.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::yield_now();
    }
}

/// A process in a namespace that does with sockets what it is told. It ends with this.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Peer {
    #[track_caller]
    fn answer(&mut self, order: &str) -> String {
        match self.answers.recv_timeout(DEADLINE) {
            Ok(answer) => answer,
            Err(reason) => panic!("a peer that was told to {order} does not answer: {reason}"),
        }
    }

    /// Tells it to do something, an order of [`play`]; `ok`, or what kind of error came of it.
    #[track_caller]
    pub fn ask(&mut self, order: &str) -> String {
        writeln!(self.input, "{order}").unwrap();
        self.answer(order)
    }

    /// Has it answer what it is told with the same, on TCP and UDP.
    #[track_caller]
    pub fn serve(&mut self, at: &str) {
        until("the address is there", || self.ask(&format!("serve {at}")) == "ok");
    }

    /// From now on it waits long for an answer ([`ANSWER`], as at first) if one is expected, and briefly ([`SILENCE`])
    /// if none is.
    #[track_caller]
    pub fn expect(&mut self, answers: bool) {
        self.ask(if answers { "patient" } else { "brief" });
    }

    /// Opens a conversation by TCP and keeps it, in place of the one before.
    #[track_caller]
    pub fn connect(&mut self, to: &str) -> bool {
        self.ask(&format!("connect {to}")) == "ok"
    }

    /// Whether a conversation by TCP can be opened, within [`SILENCE`]; it is not kept.
    #[track_caller]
    pub fn reaches(&mut self, to: &str) -> bool {
        self.ask(&format!("reach {to}")) == "ok"
    }

    /// Says something in the conversation that is kept, and whether it was answered: `ok`, or how it ended.
    #[track_caller]
    pub fn say(&mut self) -> String {
        self.ask("say")
    }

    /// Its own address and port in the conversation that is kept.
    #[track_caller]
    pub fn local(&mut self) -> String {
        self.ask("local")
    }

    /// Whether a datagram is answered.
    #[track_caller]
    pub fn udp(&mut self, to: &str) -> bool {
        self.ask(&format!("udp {to}")) == "ok"
    }

    /// Whether a datagram is answered that takes several fragments.
    #[track_caller]
    pub fn large_udp(&mut self, to: &str) -> bool {
        self.ask(&format!("large-udp {to}")) == "ok"
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a test's peers can do besides, by the order's name: it is done at an address, which the order gives, and waits
/// so long for each answer.
pub type Part = (&'static str, fn(SocketAddr, Duration) -> io::Result<()>);

/// The other side of [`Peer`]: does as it is told, until it is told no more. Where nobody has started it as a peer, does
/// nothing.
pub fn play(parts: &[Part]) {
    if std::env::var_os(PEER).is_none() {
        return;
    }
    println!("{SAID}ready");
    let mut kept: Option<TcpStream> = None;
    let mut wait = ANSWER;
    for order in io::stdin().lines() {
        let order = order.unwrap();
        let (what, at) = order.split_once(' ').unwrap_or((&order, ""));
        let at = || at.parse::<SocketAddr>().unwrap();
        let result = match what {
            "serve" => echo(at()),
            "connect" => connect(at(), wait).map(|stream| kept = Some(stream)),
            "reach" => connect(at(), SILENCE).map(drop),
            "say" => say(kept.as_mut().unwrap(), wait),
            "udp" => ask(at(), b"said", wait),
            "large-udp" => ask(at(), &[b's'; LARGE], wait),
            "local" => {
                println!("{SAID}{}", kept.as_ref().unwrap().local_addr().unwrap());
                continue;
            }
            "patient" | "brief" => {
                wait = if what == "brief" { SILENCE } else { ANSWER };
                Ok(())
            }
            _ => {
                let part = parts.iter().find(|(name, _)| *name == what);
                part.unwrap_or_else(|| panic!("{order}: no such order")).1(at(), wait)
            }
        };
        match result {
            Ok(()) => println!("{SAID}ok"),
            Err(error) => println!("{SAID}{:?}", error.kind()),
        }
    }
}

/// Opens a conversation in which nothing, the first answer or a later one, is waited for longer than this.
pub fn connect(at: SocketAddr, wait: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&at, wait)?;
    stream.set_read_timeout(Some(wait))?;
    Ok(stream)
}

/// Accepts conversations for as long as the process lives, each in a thread of its own.
pub fn serve(at: SocketAddr, each: fn(TcpStream) -> io::Result<()>) -> io::Result<()> {
    let listener = TcpListener::bind(at)?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || each(stream.unwrap()));
        }
    });
    Ok(())
}

fn echo(at: SocketAddr) -> io::Result<()> {
    let udp = UdpSocket::bind(at)?;
    serve(at, |mut stream| {
        let mut bytes = [0; 64];
        while let count @ 1.. = stream.read(&mut bytes)? {
            stream.write_all(&bytes[..count])?;
        }
        Ok(())
    })?;
    std::thread::spawn(move || {
        let mut bytes = [0; MAX_DATAGRAM];
        while let Ok((count, from)) = udp.recv_from(&mut bytes) {
            let _ = udp.send_to(&bytes[..count], from);
        }
    });
    Ok(())
}

fn say(stream: &mut TcpStream, wait: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(wait))?;
    stream.write_all(b"said")?;
    let mut heard = [0; 4];
    stream.read_exact(&mut heard)?;
    assert_eq!(&heard, b"said");
    Ok(())
}

fn ask(to: SocketAddr, what: &[u8], wait: Duration) -> io::Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(wait))?;
    socket.send_to(what, to)?;
    let mut heard = [0; MAX_DATAGRAM];
    let (count, _) = socket.recv_from(&mut heard)?;
    assert_eq!(&heard[..count], what);
    Ok(())
}
