//! The parts that this program plays in a drill: devices, people at work, and attackers, each a process of its own on a host of
//! the drill's network.
//!
//! A part says `ready` when it can be spoken to, tells on lines what happens, and ends when its standard input does.

mod bus;
mod dbus;
mod mirai;
mod s7;
mod sniff;
mod steady;
mod telnet;
mod things;

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use clap::Subcommand;

use super::clock::now;
use crate::run::{Done, Failure};

/// How long a part waits for another's answer before it takes it for lost.
const ANSWER: Duration = Duration::from_secs(1);

/// The parts.
#[derive(Subcommand)]
pub(crate) enum Role {
    /// Serves a camera's pictures and short answers over HTTP
    Web { at: SocketAddr },
    /// Watches a camera's pictures
    Watch { at: SocketAddr },
    /// Asks for something short over one HTTP connection, again and again
    Fetch { at: SocketAddr },
    /// Publishes to an MQTT broker, each message acknowledged
    Publish { at: SocketAddr, name: String },
    /// Is a controller that speaks S7
    Plc { at: SocketAddr },
    /// Reads a controller's values as an operator panel does
    Panel { at: SocketAddr },
    /// Changes a controller's program as Stuxnet did
    Worm { at: SocketAddr },
    /// Starts a program for each connection, which is its standard input and output
    Inetd {
        at: SocketAddr,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Looks for Telnet, guesses passwords and has a program loaded, as Mirai did
    Mirai {
        /// The own network's first three bytes
        net: String,
        /// What is to be run where it gets in
        command: String,
    },
    /// Calls a master and floods whom he names
    Bot { master: SocketAddr },
    /// Is a bot's master, who has them flood a target
    Master { at: SocketAddr, target: SocketAddr },
    /// Counts what arrives at a port by UDP
    Sink { at: SocketAddr },
    /// Looks whether hosts accept connections at ports
    Scan {
        #[arg(required = true)]
        at: Vec<SocketAddr>,
    },
    /// Tells when packets of somebody arrived first and last
    Sniff {
        /// Whose
        #[arg(required = true)]
        from: Vec<IpAddr>,
        /// Ports of conversations that are meant to be
        #[arg(long)]
        except: Vec<u16>,
    },
    /// Is a telematics unit whose message bus runs commands
    Telematics { at: SocketAddr },
    /// Is a vehicle's bus, whose frames are a capture on standard output; others send by a socket
    Bus { socket: PathBuf },
    /// Sends frames of an attack on a vehicle's bus, through its socket
    Frames { socket: PathBuf, what: bus::Attack },
}

/// Plays a part.
pub(crate) fn play(role: &Role) -> Done {
    let stop = Stop::new();
    match role {
        Role::Web { at } => things::web(*at, &stop),
        Role::Watch { at } => steady::keep(&stop, things::Watch::open(*at)?),
        Role::Fetch { at } => steady::keep(&stop, things::Fetch::open(*at)?),
        Role::Publish { at, name } => steady::keep(&stop, things::Publish::open(*at, name)?),
        Role::Plc { at } => s7::plc(*at, &stop),
        Role::Panel { at } => steady::keep(&stop, s7::Panel::open(*at)?),
        Role::Worm { at } => s7::worm(*at, &stop),
        Role::Inetd { at, command } => telnet::inetd(*at, command, &stop),
        Role::Mirai { net, command } => mirai::spread(net, command, &stop),
        Role::Bot { master } => mirai::bot(*master, &stop),
        Role::Master { at, target } => mirai::master(*at, *target, &stop),
        Role::Sink { at } => things::sink(*at, &stop),
        Role::Scan { at } => things::scan(at),
        Role::Sniff { from, except } => sniff::sniff(from, except, &stop),
        Role::Telematics { at } => dbus::telematics(*at, &stop),
        Role::Bus { socket } => bus::run(socket, &stop),
        Role::Frames { socket, what } => bus::attack(socket, *what),
    }
}

/// Says something that happens, with its time.
fn tell(what: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    // Who does not listen any more has no use for it.
    let _ = writeln!(out, "{what} {}", now()).and_then(|()| out.flush());
}

/// Says that it can be spoken to.
fn ready() {
    tell("ready");
}

/// Standard input, whose end is the part's.
struct Stop(Receiver<()>);

impl Stop {
    fn new() -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            drop(sender);
        });
        Self(receiver)
    }

    /// Waits so long; whether the part goes on.
    fn pace(&self, time: Duration) -> bool {
        self.0.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
    }

    /// Waits for the end.
    fn wait(&self) {
        let _ = self.0.recv();
    }
}

/// Serves each connection on a thread of its own, until the part is over.
fn serve(
    at: SocketAddr,
    stop: &Stop,
    each: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
) -> Done {
    let listener = TcpListener::bind(at).map_err(|error| Failure(format!("{at}: {error}")))?;
    ready();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let _ = each(stream);
            });
        }
    });
    stop.wait();
    Ok(())
}

/// Connects with somebody who answers in time, if he does at all.
fn connect(at: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&at, ANSWER)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    Ok(stream)
}
