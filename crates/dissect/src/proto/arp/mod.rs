//! Address resolution (RFC 826), with probes and announcements (RFC 5227).

use std::net::{IpAddr, Ipv4Addr};

use model::{BindingSource, MacAddr, OperationKind, Outcome};
use serde::Serialize;

use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// ARP for IPv4 over links with EUI-48 addresses.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "arp",
    name: "Address Resolution Protocol",
    spec: "RFC 826, RFC 5227",
    carriers: &[Carrier::EtherType(0x0806)],
    probe,
    start: || Box::new(Arp),
};

/// What a packet asks or says (RFC 826; RFC 5227 clauses 2.1.1 and 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Who has the address?
    Request,
    /// I have it.
    Reply,
    /// Does anybody have the address that I am about to take?
    Probe,
    /// I have this address from now on.
    Announcement,
    /// An operation of a relative of ARP.
    Other,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Probe => "probe",
            Self::Announcement => "announcement",
            Self::Other => "other",
        }
    }
}

/// The fields of a packet, in the order of RFC 826.
#[derive(Serialize)]
struct Message {
    operation: u16,
    sender_mac: MacAddr,
    sender_ip: Ipv4Addr,
    target_mac: MacAddr,
    target_ip: Ipv4Addr,
}

impl Message {
    /// Reads a packet; `None` where it is for another network layer or link than IPv4 and EUI-48.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Short> {
        const ETHERNET: u16 = 1;
        const IEEE_802: u16 = 6;
        let mut reader = Reader::new(bytes);
        let (hardware, network) = (reader.be16()?, reader.be16()?);
        let lengths = reader.array()?;
        if !matches!(hardware, ETHERNET | IEEE_802) || network != 0x0800 || lengths != [6, 4] {
            return Ok(None);
        }
        Ok(Some(Self {
            operation: reader.be16()?,
            sender_mac: MacAddr(reader.array()?),
            sender_ip: Ipv4Addr::from(reader.array()?),
            target_mac: MacAddr(reader.array()?),
            target_ip: Ipv4Addr::from(reader.array()?),
        }))
    }

    fn kind(&self) -> Kind {
        match self.operation {
            1 if self.sender_ip.is_unspecified() => Kind::Probe,
            1 | 2 if self.sender_ip == self.target_ip => Kind::Announcement,
            1 => Kind::Request,
            2 => Kind::Reply,
            _ => Kind::Other,
        }
    }
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match Message::read(opening.bytes) {
        Ok(Some(_)) => Verdict::Yes,
        _ => Verdict::No,
    }
}

struct Arp;

impl Parser for Arp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        match Message::read(input.bytes) {
            Ok(Some(message)) => {
                out.message(from, message.kind().name(), &message);
                // A probe has no address yet: `binding` knows that an unspecified one belongs to nobody.
                out.binding(message.sender_mac, IpAddr::V4(message.sender_ip), BindingSource::Arp);
                if out.is_judged() && message.kind() == Kind::Request {
                    let target = Some(message.target_ip.to_string().into());
                    out.operation(from, OperationKind::Discover, "who-has", target, None, Outcome::Asked);
                }
                // RFC 826 has the sender fill in its own address. One that differs from the frame's was
                // sent on behalf of somebody: proxies do so, and those who pretend.
                if let Some(mac) = out.host(from).mac.filter(|mac| *mac != message.sender_mac) {
                    let (claimed, ip) = (message.sender_mac, message.sender_ip);
                    out.anomaly(from, "sender-mismatch", format_args!("{mac} says {ip} is at {claimed}"));
                }
            }
            Ok(None) => {}
            Err(Short) if input.cut > 0 => {}
            Err(Short) => {
                out.anomaly(from, "truncated", format_args!("{} bytes of 28", input.bytes.len()));
            }
        }
        Progress::Took(input.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use model::Side::{Client, Server};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, survives};

    /// 02:00:00:00:00:`from` at 192.0.2.`ip` and a target.
    fn packet(operation: u8, from: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, from];
        bytes.extend(sender);
        bytes.extend([0; 6]);
        bytes.extend(target);
        bytes
    }

    #[test]
    fn a_request_and_its_reply_bind_both_ends() {
        let request = packet(1, 10, [192, 0, 2, 10], [192, 0, 2, 20]);
        let reply = packet(2, 20, [192, 0, 2, 20], [192, 0, 2, 10]);
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &request), (Server, &reply)]), @r#"
        client request {"operation":1,"sender_mac":"02:00:00:00:00:0a","sender_ip":"192.0.2.10","target_mac":"00:00:00:00:00:00","target_ip":"192.0.2.20"}
        binding 192.0.2.10 is at 02:00:00:00:00:0a
        operation client Discover who-has 192.0.2.20 - Asked
        server reply {"operation":2,"sender_mac":"02:00:00:00:00:14","sender_ip":"192.0.2.20","target_mac":"00:00:00:00:00:00","target_ip":"192.0.2.10"}
        binding 192.0.2.20 is at 02:00:00:00:00:14
        "#);
    }

    #[test]
    fn a_probe_binds_nothing_and_an_announcement_does() {
        let probe = packet(1, 10, [0; 4], [192, 0, 2, 10]);
        let announcement = packet(1, 10, [192, 0, 2, 10], [192, 0, 2, 10]);
        let text = converse(&PROTOCOL, &[(Client, &probe), (Client, &announcement)]);
        let starts: Vec<&str> = text.lines().map(|line| &line[..14]).collect();
        assert_eq!(starts, ["client probe {", "client announc", "binding 192.0."]);
    }

    #[test]
    fn a_sender_that_is_not_the_frames_is_told() {
        let forged = packet(2, 99, [192, 0, 2, 1], [192, 0, 2, 20]);
        let text = converse(&PROTOCOL, &[(Client, &forged)]);
        assert!(
            text.ends_with(
                "anomaly client sender-mismatch: 02:00:00:00:00:0a says 192.0.2.1 is at 02:00:00:00:00:63\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn other_hardware_is_not_for_us() {
        let mut packet = packet(1, 10, [192, 0, 2, 10], [192, 0, 2, 20]);
        packet[1] = 32;
        let opening = Opening { bytes: &packet, from: Client, client_port: 0, server_port: 0, stream: false };
        assert_eq!(probe(&opening), Verdict::No);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..4)) {
            let packets: Vec<_> = packets.into_iter().map(|bytes| (Client, bytes)).collect();
            survives(&PROTOCOL, &packets);
        }
    }
}
