//! Control messages of IPv6 (RFC 4443), neighbour discovery (RFC 4861, RFC 4862, RFC 8106) and multicast
//! listener discovery (RFC 2710, RFC 3810).

use std::net::{IpAddr, Ipv6Addr};

use model::{Attribute, BindingSource, Confidence, Host, MacAddr, Reach, Role};
use serde::Serialize;

use super::icmp::{Other, Query, Quoted};
use super::{Alone, Carrier, Emit, Input, Opening, Protocol, Reader, Short, Verdict};

/// ICMPv6.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "icmpv6",
    name: "Internet Control Message Protocol for IPv6",
    spec: "RFC 4443, RFC 4861, RFC 3810",
    carriers: &[Carrier::Ip(58)],
    probe,
    start: || Box::new(Alone(read)),
};

/// More options than this in one message are not read.
const MAX_OPTIONS: usize = 64;
/// More addresses of name servers and more multicast groups than this are not read.
const MAX_ADDRESSES: usize = 64;

/// Types of message.
mod kind {
    pub(super) const UNREACHABLE: u8 = 1;
    pub(super) const TOO_BIG: u8 = 2;
    pub(super) const TIME_EXCEEDED: u8 = 3;
    pub(super) const PARAMETER_PROBLEM: u8 = 4;
    pub(super) const ECHO: u8 = 128;
    pub(super) const ECHO_REPLY: u8 = 129;
    pub(super) const LISTENER_QUERY: u8 = 130;
    pub(super) const LISTENER_REPORT: u8 = 131;
    pub(super) const LISTENER_DONE: u8 = 132;
    pub(super) const ROUTER_SOLICITATION: u8 = 133;
    pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;
    pub(super) const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub(super) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub(super) const REDIRECT: u8 = 137;
    pub(super) const LISTENER_REPORT_V2: u8 = 143;
}

const fn name(kind: u8) -> &'static str {
    match kind {
        kind::UNREACHABLE => "destination-unreachable",
        kind::TOO_BIG => "packet-too-big",
        kind::TIME_EXCEEDED => "time-exceeded",
        kind::PARAMETER_PROBLEM => "parameter-problem",
        kind::ECHO => "echo",
        kind::ECHO_REPLY => "echo-reply",
        kind::LISTENER_QUERY => "listener-query",
        kind::LISTENER_REPORT | kind::LISTENER_REPORT_V2 => "listener-report",
        kind::LISTENER_DONE => "listener-done",
        kind::ROUTER_SOLICITATION => "router-solicitation",
        kind::ROUTER_ADVERTISEMENT => "router-advertisement",
        kind::NEIGHBOUR_SOLICITATION => "neighbour-solicitation",
        kind::NEIGHBOUR_ADVERTISEMENT => "neighbour-advertisement",
        kind::REDIRECT => "redirect",
        _ => "other",
    }
}

/// Options of neighbour discovery (RFC 4861 clause 4.6, RFC 8106 clause 5).
#[derive(Default)]
struct Options {
    source: Option<MacAddr>,
    target: Option<MacAddr>,
    prefixes: Vec<Prefix>,
    mtu: Option<u32>,
    name_servers: Vec<Ipv6Addr>,
    /// An option of length 0, for which the message must be dropped (clause 4.6).
    malformed: bool,
}

impl Options {
    fn read(mut reader: Reader<'_>) -> Self {
        let mut options = Self::default();
        for _ in 0..MAX_OPTIONS {
            let Ok([number, length]) = reader.array() else { break };
            // Lengths count units of eight bytes, type and length included.
            let body =
                (usize::from(length) * 8).checked_sub(2).ok_or(Short).and_then(|left| reader.take(left));
            let Ok(body) = body else {
                options.malformed = true;
                break;
            };
            options.malformed |= options.read_one(number, Reader::new(body)).is_err();
        }
        options
    }

    fn read_one(&mut self, number: u8, mut reader: Reader<'_>) -> Result<(), Short> {
        match number {
            // Link-layer addresses fill their option on Ethernet; longer ones are of other links.
            1 if reader.left() == 6 => self.source = Some(MacAddr(reader.array()?)),
            2 if reader.left() == 6 => self.target = Some(MacAddr(reader.array()?)),
            3 => {
                let [length, flags] = reader.array()?;
                let (valid_s, preferred_s) = (reader.be32()?, reader.be32()?);
                reader.skip(4)?;
                let prefix = format!("{}/{}", Ipv6Addr::from(reader.array::<16>()?), length.min(128));
                self.prefixes.push(Prefix {
                    prefix,
                    on_link: flags & 0x80 != 0,
                    autonomous: flags & 0x40 != 0,
                    valid_s,
                    preferred_s,
                });
            }
            5 => {
                reader.skip(2)?;
                self.mtu = Some(reader.be32()?);
            }
            25 => {
                reader.skip(6)?;
                while let Ok(address) = reader.array::<16>() {
                    if self.name_servers.len() < MAX_ADDRESSES {
                        self.name_servers.push(Ipv6Addr::from(address));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A prefix of the link (RFC 4861 clause 4.6.2).
#[derive(Serialize)]
struct Prefix {
    prefix: String,
    on_link: bool,
    autonomous: bool,
    valid_s: u32,
    preferred_s: u32,
}

/// RFC 4861 clause 4.2.
#[derive(Serialize)]
struct RouterAdvertisement {
    hop_limit: u8,
    managed: bool,
    other: bool,
    lifetime_s: u16,
    source_mac: Option<MacAddr>,
    mtu: Option<u32>,
    prefixes: Vec<Prefix>,
    name_servers: Vec<Ipv6Addr>,
}

/// RFC 4861 clauses 4.1, 4.3, 4.4 and 4.5.
#[derive(Serialize)]
struct Neighbour {
    target: Option<Ipv6Addr>,
    /// For redirects: whose traffic shall go to the target.
    destination: Option<Ipv6Addr>,
    router: Option<bool>,
    solicited: Option<bool>,
    source_mac: Option<MacAddr>,
    target_mac: Option<MacAddr>,
}

#[derive(Serialize)]
struct Trouble {
    code: u8,
    mtu: Option<u32>,
    about: Option<Quoted>,
}

#[derive(Serialize)]
struct Listener {
    groups: Vec<Ipv6Addr>,
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
        kind::ECHO | kind::ECHO_REPLY => out.message(from, name(number), &Query::read(&mut reader)?),
        kind::UNREACHABLE | kind::TOO_BIG | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM => {
            let word = reader.be32()?;
            let about = Quoted::read(reader.rest());
            let mtu = (number == kind::TOO_BIG).then_some(word);
            out.message(from, name(number), &Trouble { code, mtu, about });
            // RFC 4443 clause 3: no route and hop limit exceeded are said by routers, about others.
            let elsewhere = about.is_some_and(|about| out.host(from).ip != Some(about.destination));
            let forwards = match number {
                kind::UNREACHABLE => matches!(code, 0 | 3),
                kind::TIME_EXCEEDED => code == 0,
                kind::TOO_BIG => true,
                _ => false,
            };
            if forwards && elsewhere {
                out.role(from, Role::Router, "icmpv6.error", Confidence::LIKELY);
            }
        }
        kind::ROUTER_SOLICITATION
        | kind::ROUTER_ADVERTISEMENT
        | kind::NEIGHBOUR_SOLICITATION
        | kind::NEIGHBOUR_ADVERTISEMENT
        | kind::REDIRECT => discovery(number, reader, input, out)?,
        kind::LISTENER_QUERY | kind::LISTENER_REPORT | kind::LISTENER_DONE => {
            reader.skip(4)?;
            let group = Some(Ipv6Addr::from(reader.array::<16>()?)).filter(|group| !group.is_unspecified());
            out.message(from, name(number), &Listener { groups: group.into_iter().collect() });
        }
        kind::LISTENER_REPORT_V2 => {
            reader.skip(2)?;
            let count = usize::from(reader.be16()?).min(MAX_ADDRESSES);
            let mut groups = Vec::new();
            for _ in 0..count {
                // RFC 3810 clause 5.2: type, length of auxiliary data, number of sources, group.
                let [_, auxiliary] = reader.array()?;
                let sources = usize::from(reader.be16()?);
                groups.push(Ipv6Addr::from(reader.array::<16>()?));
                reader.skip(sources * 16 + usize::from(auxiliary) * 4)?;
            }
            out.message(from, name(number), &Listener { groups });
        }
        _ => out.message(from, name(number), &Other { kind: number, code }),
    }
    Ok(())
}

/// Neighbour discovery (RFC 4861 clauses 4.1 to 4.5).
fn discovery(number: u8, mut reader: Reader<'_>, input: &Input<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    let from = input.from;
    let word = reader.array::<4>()?;
    let mut address = || reader.array::<16>().map(Ipv6Addr::from);
    let (target, destination) = match number {
        kind::NEIGHBOUR_SOLICITATION | kind::NEIGHBOUR_ADVERTISEMENT => (Some(address()?), None),
        kind::REDIRECT => (Some(address()?), Some(address()?)),
        _ => (None, None),
    };
    if number == kind::ROUTER_ADVERTISEMENT {
        // Reachable time and retransmission timer.
        reader.skip(8)?;
    }
    let options = Options::read(reader);
    // Clauses 6.1 and 7.1: such messages have a hop limit of 255, so that none comes from beyond the link;
    // one that was forwarded, or whose options are broken, is not to be believed.
    let routed = out.flow().reach(from) == Reach::Routed;
    if routed {
        out.anomaly(from, "hop-limit", format_args!("{} from beyond the link", name(number)));
    }
    if options.malformed && input.cut == 0 {
        out.anomaly(from, "option", format_args!("{} with an option of impossible length", name(number)));
    }
    let believed = !routed && !options.malformed;
    let Options { source, target: target_mac, prefixes, mtu, name_servers, .. } = options;
    let sender = out.host(from);

    if believed {
        // Clause 7.2.3 and RFC 4862 clause 5.4.2: who looks for a duplicate of the address that it is about
        // to take sends from the unspecified address, which `binding` knows to be nobody's.
        if let (Some(mac), Some(ip)) = (source, sender.ip) {
            out.binding(mac, ip, BindingSource::Ndp);
        }
        if let (kind::NEIGHBOUR_ADVERTISEMENT, Some(mac), Some(ip)) = (number, target_mac, target) {
            out.binding(mac, IpAddr::V6(ip), BindingSource::Ndp);
        }
        let claimed = if number == kind::NEIGHBOUR_ADVERTISEMENT { target_mac } else { source };
        if let (Some(mac), Some(claimed)) =
            (sender.mac, claimed.filter(|claimed| Some(*claimed) != sender.mac))
        {
            out.anomaly(from, "sender-mismatch", format_args!("{mac} sends {} for {claimed}", name(number)));
        }
    }

    let router_flag = word[0] & 0x80 != 0;
    if number == kind::ROUTER_ADVERTISEMENT {
        let lifetime_s = u16::from_be_bytes([word[2], word[3]]);
        // Clause 4.2: a lifetime of 0 says that the sender is no default router.
        if believed && lifetime_s > 0 {
            out.role(from, Role::Router, "icmpv6.router-advertisement", Confidence::STRONG);
        }
        if believed {
            for server in &name_servers {
                let (about, role) = (Host::from_ip(IpAddr::V6(*server)), Role::DnsServer.name());
                out.fact_about(about, Attribute::Role, role, "icmpv6.rdnss", Confidence::STRONG);
            }
        }
        let advertisement = RouterAdvertisement {
            hop_limit: word[0],
            managed: word[1] & 0x80 != 0,
            other: word[1] & 0x40 != 0,
            lifetime_s,
            source_mac: source,
            mtu,
            prefixes,
            name_servers,
        };
        out.message(from, name(number), &advertisement);
    } else {
        let advertises = number == kind::NEIGHBOUR_ADVERTISEMENT;
        if believed && advertises && router_flag && sender.ip == target.map(IpAddr::V6) {
            out.role(from, Role::Router, "icmpv6.neighbour-advertisement", Confidence::LIKELY);
        }
        if believed && number == kind::REDIRECT {
            out.role(from, Role::Router, "icmpv6.redirect", Confidence::LIKELY);
        }
        let message = Neighbour {
            target,
            destination,
            router: advertises.then_some(router_flag),
            solicited: advertises.then_some(word[0] & 0x40 != 0),
            source_mac: source,
            target_mac,
        };
        out.message(from, name(number), &message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::Side::{self, Client, Server};
    use model::{FlowHead, Transport};

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse_on, head};

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    /// fe80::a with the address 02:00:00:00:00:0a talks to fe80::14.
    fn conversation(client: &str) -> FlowHead {
        let mut head = head(Transport::Icmpv6, 0);
        head.client.host.ip = Some(IpAddr::V6(ip(client)));
        head.server.host.ip = Some(IpAddr::V6(ip("fe80::14")));
        head
    }

    fn read_all(client: &str, packets: &[(Side, &[u8])]) -> String {
        converse_on(&PROTOCOL, conversation(client), false, packets)
    }

    fn neighbour(kind: u8, flags: u8, target: &str, option: &[u8]) -> Vec<u8> {
        [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &ip(target).octets(), option].concat()
    }

    #[test]
    fn solicitation_and_advertisement_bind_both_ends() {
        let solicitation = neighbour(135, 0, "fe80::14", &[1, 1, 2, 0, 0, 0, 0, 10]);
        let advertisement = neighbour(136, 0xe0, "fe80::14", &[2, 1, 2, 0, 0, 0, 0, 20]);
        insta::assert_snapshot!(read_all("fe80::a", &[(Client, &solicitation), (Server, &advertisement)]), @r#"
        binding fe80::a is at 02:00:00:00:00:0a
        client neighbour-solicitation {"target":"fe80::14","source_mac":"02:00:00:00:00:0a"}
        binding fe80::14 is at 02:00:00:00:00:14
        fact fe80::14 role = "router" (icmpv6.neighbour-advertisement, 50%)
        server neighbour-advertisement {"target":"fe80::14","router":true,"solicited":true,"target_mac":"02:00:00:00:00:14"}
        "#);
    }

    #[test]
    fn looking_for_a_duplicate_binds_nothing() {
        let probe = neighbour(135, 0, "fe80::a", &[]);
        insta::assert_snapshot!(read_all("::", &[(Client, &probe)]), @r#"client neighbour-solicitation {"target":"fe80::a"}"#);
        // Not even where the sender breaks the rule that it must not name its address.
        let probe = neighbour(135, 0, "fe80::a", &[1, 1, 2, 0, 0, 0, 0, 10]);
        assert!(!read_all("::", &[(Client, &probe)]).contains("binding"));
    }

    #[test]
    fn a_router_advertisement_tells_router_prefix_and_name_server() {
        let mut message = vec![134, 0, 0, 0, 64, 0x40, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend([1, 1, 2, 0, 0, 0, 0, 10]);
        message.extend([5, 1, 0, 0, 0, 0, 5, 0xdc]);
        message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 7, 8, 0, 0, 0, 0]);
        message.extend(ip("2001:db8:1::").octets());
        message.extend([25, 3, 0, 0, 0, 0, 0, 60]);
        message.extend(ip("2001:db8::53").octets());
        insta::assert_snapshot!(read_all("fe80::a", &[(Client, &message)]), @r#"
        binding fe80::a is at 02:00:00:00:00:0a
        fact fe80::a role = "router" (icmpv6.router-advertisement, 75%)
        fact 2001:db8::53 role = "dns-server" (icmpv6.rdnss, 75%)
        client router-advertisement {"hop_limit":64,"managed":false,"other":true,"lifetime_s":1800,"source_mac":"02:00:00:00:00:0a","mtu":1500,"prefixes":[{"prefix":"2001:db8:1::/64","on_link":true,"autonomous":true,"valid_s":3600,"preferred_s":1800}],"name_servers":["2001:db8::53"]}
        "#);
    }

    #[test]
    fn a_forwarded_or_broken_message_binds_nothing() {
        let advertisement = neighbour(136, 0x20, "fe80::a", &[2, 1, 2, 0, 0, 0, 0, 10]);
        let mut head = conversation("fe80::a");
        head.client_reach = Reach::Routed;
        let text = converse_on(&PROTOCOL, head, false, &[(Client, &advertisement)]);
        assert!(text.starts_with("anomaly client hop-limit"), "{text}");
        assert!(!text.contains("binding"), "{text}");
        let broken = neighbour(136, 0x20, "fe80::a", &[2, 1, 2, 0, 0, 0, 0, 10, 9, 0, 0, 0, 0, 0, 0, 0]);
        let text = read_all("fe80::a", &[(Client, &broken)]);
        assert!(text.starts_with("anomaly client option"), "{text}");
        assert!(!text.contains("binding"), "{text}");
    }

    #[test]
    fn an_advertisement_for_another_mac_is_told() {
        let forged = neighbour(136, 0x60, "fe80::1", &[2, 1, 2, 0, 0, 0, 0, 99]);
        let text = read_all("fe80::a", &[(Client, &forged)]);
        assert!(text.contains("anomaly client sender-mismatch: 02:00:00:00:00:0a sends"), "{text}");
    }

    #[test]
    fn listeners_name_their_groups() {
        let mut report = vec![143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0];
        report.extend(ip("ff02::fb").octets());
        insta::assert_snapshot!(read_all("fe80::a", &[(Client, &report)]), @r#"client listener-report {"groups":["ff02::fb"]}"#);
    }

    const KINDS: [u8; 12] = [1, 2, 3, 4, 128, 130, 133, 134, 135, 136, 137, 143];

    any_bytes_are_survived!(PROTOCOL, |_, (choice, bytes)| {
        [&[KINDS[usize::from(*choice) % KINDS.len()]][..], bytes].concat()
    });
}
