//! Networks of a drill: namespaces with links, a bridge or a router between them, and the processes in them.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::clock::{Moment, now};
use crate::run::{Done, Failure};

/// How long anything is waited for that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is waited for what should follow at once.
pub(crate) const SOON: Duration = Duration::from_millis(200);
/// How long a process has to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody has pressed Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// Set when the user asks to stop.
fn stopped() -> &'static Arc<AtomicBool> {
    static STOPPED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    STOPPED.get_or_init(Arc::default)
}

/// Has Ctrl-C and SIGTERM end the drill in order, with everything taken down.
pub(crate) fn mind_signals() -> Done {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(stopped()))?;
        signal_hook::flag::register(signal, Arc::clone(stopped()))?;
    }
    Ok(())
}

/// Fails if the user has asked to stop.
fn go_on() -> Done {
    if stopped().load(Ordering::Relaxed) { Err(Failure("ended by you".into())) } else { Ok(()) }
}

/// Lets time pass.
pub(crate) fn pace(time: Duration) -> Done {
    let (_keep, never) = channel::<()>();
    let end = Instant::now() + time;
    while Instant::now() < end {
        go_on()?;
        let _ = never.recv_timeout(LOOK.min(end.saturating_duration_since(Instant::now())));
    }
    go_on()
}

/// Asks until it is so.
pub(crate) fn until(what: &str, within: Duration, mut so: impl FnMut() -> bool) -> Done {
    let end = Instant::now() + within;
    while !so() {
        if Instant::now() > end {
            return Err(Failure(format!("{what}: not within {within:?}")));
        }
        pace(Duration::from_millis(5))?;
    }
    Ok(())
}

/// Namespaces that are deleted with this, with all interfaces and processes in them.
pub(crate) struct Net {
    prefix: String,
    made: RefCell<Vec<String>>,
    folder: PathBuf,
    program: PathBuf,
}

impl Net {
    /// A network without anybody; `folder` takes what its processes say, `program` plays parts.
    pub(crate) fn new(folder: &Path, program: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("pvd{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self {
            prefix,
            made: RefCell::default(),
            folder: folder.to_path_buf(),
            program: program.to_path_buf(),
        }
    }

    /// Where the drill keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program that plays parts.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Makes a folder of a host's own.
    pub(crate) fn home(&self, host: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.join(host);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn full(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Makes a host that nobody is connected with.
    fn add(&self, host: &str) -> Done {
        let full = self.full(host);
        ip(&["netns", "add", &full])?;
        self.made.borrow_mut().push(full);
        self.ip(host, "link set lo up")
    }

    /// Makes a switch: a bridge `br0` without addresses.
    pub(crate) fn switch(&self, host: &str) -> Done {
        self.add(host)?;
        // What a switch forwards is no business of the IP layer of the same machine.
        self.sysctl(host, "net/ipv6/conf/default/disable_ipv6", "1")?;
        for family in ["iptables", "ip6tables", "arptables"] {
            self.sysctl(host, &format!("net/bridge/bridge-nf-call-{family}"), "0")?;
        }
        self.ip(host, "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")?;
        self.ip(host, "link set br0 up")
    }

    /// Makes a router.
    pub(crate) fn router(&self, host: &str) -> Done {
        self.add(host)?;
        self.sysctl(host, "net/ipv4/ip_forward", "1")
    }

    /// Makes a host with an address in the network of a switch; `mac` tells its maker.
    pub(crate) fn host(&self, host: &str, switch: &str, mac: &str, address: &str) -> Done {
        self.add(host)?;
        self.port(host, "eth0", switch, mac, address)
    }

    /// Connects an interface of a host with a switch.
    pub(crate) fn port(&self, host: &str, interface: &str, switch: &str, mac: &str, address: &str) -> Done {
        self.link((host, interface), (switch, host))?;
        self.ip(switch, &format!("link set {host} master br0"))?;
        self.ip(host, &format!("link set {interface} address {mac}"))?;
        self.ip(host, &format!("addr add {address}/24 dev {interface}"))
    }

    /// Makes a host at a port of a router, which is that network's first address there.
    pub(crate) fn routed(&self, host: &str, router: &str, mac: &str, address: &str) -> Done {
        self.add(host)?;
        self.link((host, "eth0"), (router, host))?;
        self.ip(host, &format!("link set eth0 address {mac}"))?;
        self.ip(host, &format!("addr add {address}/24 dev eth0"))?;
        let first = address.rsplit_once('.').map_or("", |(net, _)| net).to_owned() + ".1";
        self.ip(router, &format!("addr add {first}/24 dev {host}"))?;
        self.gateway(host, &first)
    }

    /// Gives a host its way out.
    pub(crate) fn gateway(&self, host: &str, via: &str) -> Done {
        self.ip(host, &format!("route add default via {via}"))
    }

    /// Gives a router somebody outside who has these addresses.
    pub(crate) fn outside(&self, host: &str, router: &str, addresses: &[&str]) -> Done {
        self.add(host)?;
        self.link((host, "eth0"), (router, host))?;
        self.ip(host, "addr add 192.0.2.2/24 dev eth0")?;
        self.ip(router, &format!("addr add 192.0.2.1/24 dev {host}"))?;
        self.ip(router, "route add default via 192.0.2.2")?;
        self.gateway(host, "192.0.2.1")?;
        addresses.iter().try_for_each(|address| self.ip(host, &format!("addr add {address}/32 dev eth0")))
    }

    /// Has what a host sends to somebody bear one of its addresses.
    pub(crate) fn prefer(&self, host: &str, own: &str, to: &str) -> Done {
        self.ip(host, &format!("route replace {to}/32 via 192.0.2.1 src {own}"))
    }

    fn link(&self, one: (&str, &str), other: (&str, &str)) -> Done {
        let (here, there) = (self.full(one.0), self.full(other.0));
        ip(&[
            "link", "add", one.1, "netns", &here, "type", "veth", "peer", "name", other.1, "netns", &there,
        ])?;
        for (host, interface) in [one, other] {
            self.ip(host, &format!("link set {interface} up"))?;
        }
        Ok(())
    }

    fn ip(&self, host: &str, words: &str) -> Done {
        let full = self.full(host);
        ip(&[&["-n", full.as_str()][..], &words.split(' ').collect::<Vec<_>>()].concat())
    }

    /// Sets something of the kernel for a host, where the kernel has it.
    fn sysctl(&self, host: &str, path: &str, value: &str) -> Done {
        let path = format!("/proc/sys/{path}");
        let script = r#"[ ! -e "$0" ] || echo "$1" > "$0""#;
        checked(self.command(host, "sh").args(["-c", script, &path, value]))
    }

    /// A command that will run on a host. Hosts of a drill have no name server, and servers that ask one for the names of their
    /// clients must not wait for it: without any in the list the own host is asked, which refuses at once (resolv.conf(5)).
    /// `ip netns exec` has given the command a file system of its own, so that nobody else sees the list.
    pub(crate) fn command(&self, host: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let script = r#"mount --bind /dev/null /etc/resolv.conf 2>/dev/null; exec "$0" "$@""#;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(host), "sh", "-c", script]).arg(program);
        command.current_dir(&self.folder);
        command
    }

    /// A command by which this program plays a part on a host.
    pub(crate) fn peer(&self, host: &str, words: &str) -> Command {
        let mut command = self.command(host, &self.program);
        command.arg("peer").args(words.split_whitespace());
        command
    }

    /// Starts a command and listens to what it says; `name` is that of its log.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> Result<Process, Failure> {
        Process::start(name, command, &self.folder)
    }

    /// Starts a part and waits until it is ready.
    pub(crate) fn play(&self, host: &str, words: &str) -> Result<Process, Failure> {
        let role = words.split_whitespace().next().unwrap_or(words);
        let mut process = self.start(&format!("{host}-{role}"), &mut self.peer(host, words))?;
        process.expect("ready", PATIENCE)?;
        Ok(process)
    }

    /// Starts a server and waits until it accepts connections.
    pub(crate) fn serve(
        &self,
        host: &str,
        name: &str,
        command: &mut Command,
        at: &str,
    ) -> Result<Process, Failure> {
        let process = self.start(&format!("{host}-{name}"), command)?;
        self.listens(host, name, at)?;
        Ok(process)
    }

    /// Waits until a server on a host accepts connections.
    pub(crate) fn listens(&self, host: &str, name: &str, at: &str) -> Done {
        let at: SocketAddr = at.parse()?;
        // Asked of the kernel, for a connection would be traffic that the scene does not have.
        let full = self.full(host);
        until(&format!("{name} on {host} accepts no connection at {at}"), PATIENCE, || {
            let listening = ["-N", &full, "-Htln", "sport", "=", &format!(":{}", at.port())];
            Command::new("ss").args(listening).output().is_ok_and(|output| !output.stdout.is_empty())
        })
    }

    /// Runs a command on a host to its end, for so long at most; whether it succeeded.
    pub(crate) fn succeeds(
        &self,
        name: &str,
        command: &mut Command,
        within: Duration,
    ) -> Result<bool, Failure> {
        let mut process = self.start(name, command)?;
        process.ends(within)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for full in self.made.borrow().iter().rev() {
            // Whatever a server has left there.
            let pids = Command::new("ip").args(["netns", "pids", full]).output();
            let pids = pids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            for pid in pids.unwrap_or_default().lines().filter_map(|line| line.trim().parse().ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = ip(&["netns", "del", full]);
        }
    }
}

fn ip(arguments: &[&str]) -> Done {
    checked(Command::new("ip").args(arguments))
}

fn checked(command: &mut Command) -> Done {
    let output: Output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure(format!("`{} {}`: {said}", command.get_program().to_string_lossy(), words.join(" "))))
}

/// A line that a process said, and when it was heard.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: Moment,
    pub(crate) text: String,
}

/// A process that is ended with this, and all that it has started.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<Line>,
    /// For its standard output, if that is to be heard.
    sender: Option<Sender<Line>>,
    /// What was heard so far.
    heard: Vec<Line>,
    /// How many of them were expected.
    passed: usize,
}

impl Process {
    /// Starts it, with what it says on both streams heard and logged. Its standard input stays open until it is to end.
    fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self, Failure> {
        let (mut process, output) = Self::spawn(name, command.stdin(Stdio::piped()), folder)?;
        process.hear(output, folder)?;
        Ok(process)
    }

    /// Starts two processes of which the second reads what the first puts out.
    pub(crate) fn piped(
        net: &Net,
        (name, command): (&str, &mut Command),
        (next, reader): (&str, &mut Command),
    ) -> Result<(Self, Self), Failure> {
        let (first, output) = Self::spawn(name, command.stdin(Stdio::piped()), &net.folder)?;
        let input = output.map_or_else(Stdio::null, Stdio::from);
        let (mut second, output) = Self::spawn(next, reader.stdin(input), &net.folder)?;
        second.hear(output, &net.folder)?;
        Ok((first, second))
    }

    fn spawn(
        name: &str,
        command: &mut Command,
        folder: &Path,
    ) -> Result<(Self, Option<ChildStdout>), Failure> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            listen(stderr, sender.clone(), File::create(folder.join(format!("{name}.err")))?);
        }
        let stdout = child.stdout.take();
        let process =
            Self { name: name.to_owned(), child, lines, sender: Some(sender), heard: Vec::new(), passed: 0 };
        Ok((process, stdout))
    }

    fn hear(&mut self, output: Option<ChildStdout>, folder: &Path) -> Done {
        if let (Some(stdout), Some(sender)) = (output, self.sender.take()) {
            listen(stdout, sender, File::create(folder.join(format!("{}.out", self.name)))?);
        }
        Ok(())
    }

    /// Takes in what was said until now.
    pub(crate) fn heard(&mut self) -> &[Line] {
        self.heard.extend(self.lines.try_iter());
        &self.heard
    }

    /// The first line said so far that begins so.
    pub(crate) fn said(&mut self, begin: &str) -> Option<Line> {
        self.heard().iter().find(|line| line.text.starts_with(begin)).cloned()
    }

    /// Waits for the next line that begins so.
    pub(crate) fn expect(&mut self, begin: &str, within: Duration) -> Result<Line, Failure> {
        let end = Instant::now() + within;
        loop {
            while let Some(line) = self.heard.get(self.passed) {
                self.passed += 1;
                if line.text.starts_with(begin) {
                    return Ok(line.clone());
                }
            }
            go_on()?;
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(LOOK)) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(reason) => {
                    let last: Vec<_> = self.heard.iter().rev().take(3).map(|line| &*line.text).collect();
                    return Err(Failure(format!(
                        "{} did not say {begin:?} within {within:?} ({reason}); its last words: {last:?}",
                        self.name
                    )));
                }
            }
        }
    }

    /// Waits for its end, for so long at most; whether it succeeded.
    pub(crate) fn ends(&mut self, within: Duration) -> Result<bool, Failure> {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if Instant::now() > end {
                return Ok(false);
            }
            pace(Duration::from_millis(2))?;
        }
    }

    /// Ends it in order, by the end of its input, or by a signal; what it said.
    pub(crate) fn finish(mut self, signal: Option<Signal>) -> Result<Vec<Line>, Failure> {
        drop((self.child.stdin.take(), self.sender.take()));
        if let Some(signal) = signal {
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal);
        }
        let end = Instant::now() + FAREWELL;
        // Both streams end with it.
        loop {
            go_on()?;
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(std::mem::take(&mut self.heard)),
                Err(RecvTimeoutError::Timeout) if Instant::now() > end => {
                    return Err(Failure(format!("{} does not end", self.name)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Whether a process, if it runs, has said a line that begins so, or says it soon.
pub(crate) fn has_said(process: &mut Option<Process>, begin: &str) -> bool {
    process
        .as_mut()
        .is_some_and(|process| process.said(begin).is_some() || process.expect(begin, SOON).is_ok())
}

/// Hears what a process says, as it says it.
fn listen(stream: impl Read + Send + 'static, lines: Sender<Line>, mut log: File) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let at = now();
            let _ = log.write_all(&bytes);
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if lines.send(Line { at, text }).is_err() {
                return;
            }
            bytes.clear();
        }
    });
}
