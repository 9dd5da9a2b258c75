//! Control messages of IPv4 (RFC 792, RFC 1256 router discovery).

use std::net::{IpAddr, Ipv4Addr};

use model::{Confidence, Host, Role};
use serde::Serialize;

use super::{Alone, Carrier, Emit, Input, Opening, Protocol, Reader, Short, Verdict};
use crate::wire::{self, LinkType, Network};

/// ICMP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "icmp",
    name: "Internet Control Message Protocol",
    spec: "RFC 792, RFC 1256",
    carriers: &[Carrier::Ip(1)],
    probe,
    start: || Box::new(Alone(read)),
};

/// More router addresses than this are not read: there are at most 255 in a message.
const MAX_ROUTERS: usize = 32;

/// Types of message (RFC 792 and the registry at IANA).
mod kind {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const REDIRECT: u8 = 5;
    pub(super) const ECHO: u8 = 8;
    pub(super) const ROUTER_ADVERTISEMENT: u8 = 9;
    pub(super) const ROUTER_SOLICITATION: u8 = 10;
    pub(super) const TIME_EXCEEDED: u8 = 11;
    pub(super) const PARAMETER_PROBLEM: u8 = 12;
    pub(super) const TIMESTAMP: u8 = 13;
    pub(super) const TIMESTAMP_REPLY: u8 = 14;
    pub(super) const MASK_REQUEST: u8 = 17;
    pub(super) const MASK_REPLY: u8 = 18;
}

const fn name(kind: u8) -> &'static str {
    match kind {
        kind::ECHO_REPLY => "echo-reply",
        kind::UNREACHABLE => "destination-unreachable",
        kind::REDIRECT => "redirect",
        kind::ECHO => "echo",
        kind::ROUTER_ADVERTISEMENT => "router-advertisement",
        kind::ROUTER_SOLICITATION => "router-solicitation",
        kind::TIME_EXCEEDED => "time-exceeded",
        kind::PARAMETER_PROBLEM => "parameter-problem",
        kind::TIMESTAMP => "timestamp",
        kind::TIMESTAMP_REPLY => "timestamp-reply",
        kind::MASK_REQUEST => "address-mask",
        kind::MASK_REPLY => "address-mask-reply",
        _ => "other",
    }
}

/// A message that belongs to a question and its answer.
#[derive(Serialize)]
pub(super) struct Query {
    identifier: u16,
    sequence: u16,
    /// Bytes that travel with it: long ones are tunnels or tests.
    data_length: usize,
}

impl Query {
    /// Reads what follows the checksum.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Short> {
        let (identifier, sequence) = (reader.be16()?, reader.be16()?);
        Ok(Self { identifier, sequence, data_length: reader.left() })
    }
}

/// The packet that an error message is about, as far as it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Quoted {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_port: Option<u16>,
}

impl Quoted {
    /// Reads the packet at the end of an error message. Only its beginning is there (RFC 792: eight bytes
    /// after the header), so it is read as if the snap length had cut it.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let Network::Ip { source, destination, protocol, .. } =
            wire::decode(LinkType::RAW, bytes, usize::from(u16::MAX)).network
        else {
            return None;
        };
        // Eight bytes are too few for a whole TCP header, but ports come first in all of these.
        let header = match bytes.first()? {
            first @ 0x45..=0x4f => usize::from(first & 15) * 4,
            _ => 40,
        };
        let ports = match (protocol, bytes.get(header..)) {
            (6 | 17 | 132, Some([a, b, c, d, ..])) => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            _ => None,
        };
        let (source_port, destination_port) = ports.unzip();
        Some(Self { source, destination, protocol, source_port, destination_port })
    }
}

#[derive(Serialize)]
struct Trouble {
    code: u8,
    /// Where a redirect says to go instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<Ipv4Addr>,
    /// The size of packet that would have got through (RFC 1191 clause 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<Quoted>,
}

#[derive(Serialize)]
struct RouterAdvertisement {
    lifetime_s: u16,
    routers: Vec<Ipv4Addr>,
}

/// A message whose body is not read.
#[derive(Serialize)]
pub(super) struct Other {
    #[serde(rename = "type")]
    pub(super) kind: u8,
    pub(super) code: u8,
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        [kind, _, _, _, ..] if name(*kind) != "other" => Verdict::Yes,
        [_, _, _, _, ..] => Verdict::Maybe,
        _ => Verdict::No,
    }
}

fn read(input: &Input<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    let from = input.from;
    let mut reader = Reader::new(input.bytes);
    let [number, code, _, _] = reader.array()?;
    match number {
        kind::ECHO
        | kind::ECHO_REPLY
        | kind::TIMESTAMP
        | kind::TIMESTAMP_REPLY
        | kind::MASK_REQUEST
        | kind::MASK_REPLY => out.message(from, name(number), &Query::read(&mut reader)?),
        kind::UNREACHABLE | kind::REDIRECT | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM => {
            let word = reader.array()?;
            let about = Quoted::read(reader.rest());
            let gateway = (number == kind::REDIRECT).then(|| Ipv4Addr::from(word));
            // Clause "Destination Unreachable", code 4, with RFC 1191.
            let mtu = (number == kind::UNREACHABLE && code == 4)
                .then(|| u16::from_be_bytes([word[2], word[3]]))
                .filter(|mtu| *mtu > 0);
            out.message(from, name(number), &Trouble { code, gateway, mtu, about });
            let elsewhere = about.is_some_and(|about| out.host(from).ip != Some(about.destination));
            let forwards = match number {
                kind::REDIRECT => true,
                // In transit, not during reassembly.
                kind::TIME_EXCEEDED => code == 0,
                // Network or host unreachable, fragmentation needed.
                kind::UNREACHABLE => matches!(code, 0 | 1 | 4),
                _ => false,
            };
            // Only who forwards packets says such things about a destination that is not itself.
            if forwards && elsewhere {
                out.role(from, Role::Router, "icmp.error", Confidence::LIKELY);
            }
            if let Some(gateway) = gateway.filter(|gateway| !gateway.is_unspecified()) {
                let gateway = Host::from_ip(IpAddr::V4(gateway));
                out.fact_about(
                    gateway,
                    model::Attribute::Role,
                    Role::Router.name(),
                    "icmp.redirect",
                    Confidence::LIKELY,
                );
            }
        }
        kind::ROUTER_ADVERTISEMENT => {
            let [count, words] = reader.array()?;
            let lifetime_s = reader.be16()?;
            let mut routers = Vec::new();
            // RFC 1256 clause 3: each entry is an address and a preference, perhaps more some day.
            if words >= 2 {
                for _ in 0..usize::from(count).min(MAX_ROUTERS) {
                    routers.push(Ipv4Addr::from(reader.array()?));
                    reader.skip(usize::from(words - 1) * 4)?;
                }
            }
            out.message(from, name(number), &RouterAdvertisement { lifetime_s, routers });
            if lifetime_s > 0 {
                out.role(from, Role::Router, "icmp.router-advertisement", Confidence::STRONG);
            }
        }
        _ => out.message(from, name(number), &Other { kind: number, code }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::Side::{Client, Server};

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse};

    /// 198.51.100.7 had sent a TCP segment from port 1025 to 203.0.113.9 port 502.
    const QUOTED: [u8; 28] = [
        0x45, 0, 0, 60, 0, 1, 0x40, 0, 1, 6, 0, 0, 198, 51, 100, 7, 203, 0, 113, 9, 4, 1, 1, 0xf6, 0, 0, 0, 1,
    ];

    #[test]
    fn echo_and_reply() {
        let echo = [8, 0, 0, 0, 0, 7, 0, 1, b'a', b'b', b'c'];
        let reply = [0, 0, 0, 0, 0, 7, 0, 1, b'a', b'b', b'c'];
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &echo), (Server, &reply)]), @r#"
        client echo {"identifier":7,"sequence":1,"data_length":3}
        server echo-reply {"identifier":7,"sequence":1,"data_length":3}
        "#);
    }

    #[test]
    fn who_reports_an_expired_packet_of_others_is_a_router() {
        let message = [&[11, 0, 0, 0, 0, 0, 0, 0][..], &QUOTED].concat();
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &message)]), @r#"
        client time-exceeded {"code":0,"about":{"source":"198.51.100.7","destination":"203.0.113.9","protocol":6,"source_port":1025,"destination_port":502}}
        fact 192.0.2.10 role = "router" (icmp.error, 50%)
        "#);
    }

    #[test]
    fn who_refuses_a_port_of_its_own_is_none() {
        let mut quoted = QUOTED;
        quoted[16..20].copy_from_slice(&[192, 0, 2, 10]);
        let message = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
        let text = converse(&PROTOCOL, &[(Client, &message)]);
        assert!(text.starts_with("client destination-unreachable {\"code\":3,\"about\""), "{text}");
        assert!(!text.contains("router"), "{text}");
    }

    #[test]
    fn a_redirect_names_the_better_gateway() {
        let message = [&[5, 1, 0, 0, 192, 0, 2, 254][..], &QUOTED].concat();
        let text = converse(&PROTOCOL, &[(Client, &message)]);
        assert!(text.contains("\"gateway\":\"192.0.2.254\""), "{text}");
        assert!(text.contains("fact 192.0.2.254 role = \"router\" (icmp.redirect, 50%)"), "{text}");
    }

    #[test]
    fn a_router_advertisement_makes_a_router() {
        let message = [9, 0, 0, 0, 1, 2, 7, 8, 192, 0, 2, 10, 0x80, 0, 0, 0];
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &message)]), @r#"
        client router-advertisement {"lifetime_s":1800,"routers":["192.0.2.10"]}
        fact 192.0.2.10 role = "router" (icmp.router-advertisement, 75%)
        "#);
    }

    any_bytes_are_survived!(PROTOCOL, |_, (kind, bytes)| [&[kind % 20][..], bytes].concat());
}
