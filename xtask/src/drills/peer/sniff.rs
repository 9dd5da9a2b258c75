//! When packets of somebody arrive at a host: what shows, apart from what Pavise says, that they are cut.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::sockopt::{RcvBuf, ReceiveTimeout};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket};
use nix::sys::time::TimeVal;

use super::{Stop, ready, tell};
use crate::drills::clock::now;
use crate::run::Done;

/// How often it is looked whether the part is over.
const LOOK: Duration = Duration::from_millis(100);
/// So much may wait to be counted, in bytes.
const WAITING: usize = 8 << 20;

/// Counts IPv4 packets from some hosts that are not of conversations at the ports given; says at the end how many came, and
/// when the first and the last did.
pub(super) fn sniff(from: &[IpAddr], except: &[u16], stop: &Stop) -> Done {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, LOOK.as_micros() as _))?;
    setsockopt(&socket, RcvBuf, &WAITING)?;
    ready();
    let (mut count, mut first, mut last) = (0_u64, 0, 0);
    let mut bytes = [0; 128];
    while stop.pace(Duration::ZERO) {
        let Ok(length) = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_TRUNC) else { continue };
        let Some((source, ports)) = ends(bytes.get(..length.min(bytes.len())).unwrap_or_default()) else {
            continue;
        };
        if from.contains(&source.into()) && !ports.iter().any(|port| except.contains(port)) {
            last = now();
            if count == 0 {
                first = last;
            }
            count += 1;
        }
    }
    tell(format_args!("arrived {count} {first} {last}"));
    Ok(())
}

/// The sender of an IPv4 packet in an Ethernet frame (RFC 791 section 3.1), and the ports of TCP and UDP.
fn ends(frame: &[u8]) -> Option<(Ipv4Addr, [u16; 2])> {
    let packet = frame.strip_prefix(&frame.get(..12)?.to_vec()[..])?.strip_prefix(&[8, 0])?;
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let header = usize::from(packet.first()? & 15) * 4;
    let port = |at: usize| match packet.get(header + at..header + at + 2) {
        Some([high, low]) if matches!(packet.get(9), Some(6 | 17)) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    Some((source.into(), [port(0), port(2)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_and_ports_are_those_of_the_packet() {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x46]);
        frame.extend([0; 8]);
        frame.extend([6, 0, 0, 10, 0, 0, 7, 10, 0, 0, 8, 0, 0, 0, 0, 0x01, 0xbb, 0x1f, 0x90]);
        assert_eq!(ends(&frame), Some((Ipv4Addr::new(10, 0, 0, 7), [443, 8080])));
        // ICMP has no ports, and what is no IPv4 has no sender.
        frame[12 + 2 + 9] = 1;
        assert_eq!(ends(&frame), Some((Ipv4Addr::new(10, 0, 0, 7), [0, 0])));
        frame[13] = 6;
        assert_eq!(ends(&frame), None);
        assert_eq!(ends(&frame[..9]), None);
    }
}
