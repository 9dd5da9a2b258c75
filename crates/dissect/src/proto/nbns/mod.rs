//! NetBIOS name service (RFC 1001, RFC 1002): who is called what on a Windows network.
//!
//! The packets have the form of DNS messages with names of their own: sixteen bytes, the last of which
//! says what the name is for, each byte as two letters.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use model::{Attribute, Confidence, Host, MacAddr, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use super::dns::wire::{HEADER, Item, Message, Record, kind};
use super::show::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Verdict, hostname};

/// NetBIOS name service over TCP/IP.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "nbns",
    name: "NetBIOS Name Service",
    spec: "RFC 1001, RFC 1002",
    carriers: &[Carrier::Udp(&[137])],
    probe,
    start: || Box::new(Nbns),
};

/// The type of a node status request (RFC 1002 clause 4.2.1.2); DNS uses the number for SRV.
const NBSTAT: u16 = 33;

/// The type of a negative response (RFC 1002 clause 4.2.14).
const NULL: u16 = 10;

/// Most names in one node status that are read; the count has eight bits.
const MAX_NAMES: usize = 255;

/// Most addresses of one name that are told.
const MAX_ADDRESSES: usize = 32;

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.stream {
        return Verdict::No;
    }
    // The first name is never a pointer, and its first label has 32 letters.
    if opening.bytes.get(HEADER) != Some(&32) {
        return Verdict::No;
    }
    let Ok(message) = Message::new(opening.bytes) else { return Verdict::No };
    let (name, kind) = match message.items().next() {
        Some(Ok(Item::Question(question))) => (question.name, question.kind),
        Some(Ok(Item::Record(_, record))) => (record.name, record.kind),
        _ => return Verdict::No,
    };
    // A name of this form in front of these types belongs to no other protocol.
    if Name::decode(name.first()).is_some() && matches!(kind, kind::NB | NBSTAT | NULL) {
        Verdict::Yes
    } else {
        Verdict::No
    }
}

/// A NetBIOS name: up to fifteen characters and a suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    bytes: [u8; 15],
    /// What the name is for.
    pub(super) suffix: u8,
}

impl Name {
    /// Decodes first-level encoding: each half of a byte is a letter from A (RFC 1001 clause 14.1).
    pub(super) fn decode(label: &[u8]) -> Option<Self> {
        if label.len() != 32 || !label.iter().all(|letter| matches!(letter, b'A'..=b'P')) {
            return None;
        }
        let mut raw = [0; 16];
        for (byte, [high, low]) in raw.iter_mut().zip(label.as_chunks::<2>().0) {
            *byte = high.wrapping_sub(b'A') << 4 | low.wrapping_sub(b'A') & 15;
        }
        Some(Self::from_raw(raw))
    }

    /// From sixteen bytes as they stand in a node status.
    fn from_raw([bytes @ .., suffix]: [u8; 16]) -> Self {
        Self { bytes, suffix }
    }

    /// The name without padding.
    pub(super) fn text(&self) -> Cow<'_, str> {
        text(&self.bytes)
    }

    /// What the suffix says (Microsoft, "NetBIOS suffixes"; some differ for group names).
    fn purpose(self, group: bool) -> Option<&'static str> {
        Some(match (self.suffix, group) {
            (0x00, false) => "workstation",
            (0x00, true) => "domain",
            (0x01, _) => "master-browser",
            (0x03, _) => "messenger",
            (0x06, _) => "remote-access-server",
            (0x1b, _) => "domain-master-browser",
            (0x1c, _) => "domain-controllers",
            (0x1d, _) => "local-master-browser",
            (0x1e, _) => "browser-elections",
            (0x20, _) => "file-server",
            (0x21, _) => "remote-access-client",
            _ => return None,
        })
    }
}

/// A request or response.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Content<'a> {
    id: u16,
    name: Cow<'a, str>,
    suffix: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'static str>,
    broadcast: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Ipv4Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_id: Option<MacAddr>,
}

/// A name in a node status.
#[derive(Serialize)]
struct Listed {
    name: String,
    suffix: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'static str>,
    group: bool,
}

/// Reads packets; each stands for itself.
struct Nbns;

impl Parser for Nbns {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        let from = input.from;
        let message = match Message::new(input.bytes) {
            Ok(message) => message,
            Err(fault) => {
                out.anomaly(from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
                return taken;
            }
        };
        let mut subject = None;
        let mut found = None;
        let mut status = None;
        for item in message.items() {
            match item {
                Ok(Item::Question(question)) => subject = Some((question.name, question.kind)),
                Ok(Item::Record(_, record)) => {
                    subject = subject.or(Some((record.name, record.kind)));
                    match record.kind {
                        kind::NB => found = Some(record),
                        NBSTAT => status = Some(record),
                        _ => {}
                    }
                }
                Err(fault) => {
                    if input.cut == 0 {
                        out.anomaly(from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
                    }
                    break;
                }
            }
        }
        let Some((encoded, asked)) = subject else { return taken };
        let Some(name) = Name::decode(encoded.first()) else {
            out.anomaly(from, "name-encoding", format_args!("{encoded}"));
            return taken;
        };
        // RFC 1002 clause 4.2.1.1: opcodes and the group bit of the flags of a name.
        let kind = match (message.opcode(), message.is_response(), asked) {
            (0, false, NBSTAT) => "status-request",
            (0, true, NBSTAT) => "status-response",
            (0, false, _) => "query",
            (0, true, _) => "response",
            (5, false, _) => "registration",
            (5, true, _) => "registration-response",
            (6, _, _) => "release",
            (7, _, _) => "wait",
            (8 | 9, false, _) => "refresh",
            (8 | 9, true, _) => "refresh-response",
            _ => "other",
        };
        if kind == "status-request" {
            out.operation(from, OperationKind::Identify, "node-status", None, None, Outcome::Asked);
        }
        let listed = status.map(|record| Status::new(&record)).unwrap_or_default();
        let group = found.is_some_and(|record| record.bytes.first().is_some_and(|flags| flags & 0x80 != 0));
        match kind {
            "registration" | "refresh" | "response" if message.rcode() == 0 => {
                for ip in found.iter().flat_map(addresses) {
                    let about = own_or(ip, from, out);
                    name_facts(about, name, group, "nbns.name", out);
                }
            }
            "status-response" => {
                for (name, group) in &listed.names {
                    name_facts(out.host(from), *name, *group, "nbns.node-status", out);
                }
            }
            _ => {}
        }
        if out.wants_messages() {
            let content = Content {
                id: message.id,
                name: name.text(),
                suffix: name.suffix,
                purpose: name.purpose(group),
                broadcast: message.cd(),
                rcode: message.is_response().then_some(message.rcode()),
                ttl: found.map(|record| record.ttl),
                addresses: found.iter().flat_map(addresses).collect(),
                names: listed
                    .names
                    .iter()
                    .map(|(name, group)| Listed {
                        name: name.text().into_owned(),
                        suffix: name.suffix,
                        purpose: name.purpose(*group),
                        group: *group,
                    })
                    .collect(),
                unit_id: listed.unit_id,
            };
            out.message(from, kind, &content);
        }
        taken
    }
}

/// The sender if it has the address, else whoever has it.
fn own_or(ip: Ipv4Addr, from: Side, out: &Emit<'_>) -> Host {
    let sender = out.host(from);
    if sender.ip == Some(ip.into()) { sender } else { Host::from_ip(ip.into()) }
}

/// The addresses of a name (RFC 1002 clause 4.2.2): two bytes of flags before each.
fn addresses(record: &Record<'_>) -> impl Iterator<Item = Ipv4Addr> + use<> {
    let mut found = [Ipv4Addr::UNSPECIFIED; MAX_ADDRESSES];
    let entries = record.bytes.as_chunks::<6>().0;
    for (slot, [_, _, a, b, c, d]) in found.iter_mut().zip(entries) {
        *slot = Ipv4Addr::new(*a, *b, *c, *d);
    }
    found.into_iter().take(entries.len()).filter(|ip| !ip.is_unspecified())
}

/// What a name that a host has says about it.
pub(super) fn name_facts(about: Host, name: Name, group: bool, source: &'static str, out: &mut Emit<'_>) {
    let text = name.text();
    match (name.suffix, group) {
        (0x00 | 0x20, false) => {
            hostname::tell(about, &text, source, Confidence::STRONG, out);
        }
        (0x00, true) => {
            out.fact_about(about, Attribute::Label, format!("workgroup {text}"), source, Confidence::STRONG);
        }
        (0x1b | 0x1c, _) => {
            out.fact_about(about, Attribute::Role, Role::Server.name(), source, Confidence::LIKELY);
            out.fact_about(about, Attribute::Type, "domain controller", source, Confidence::LIKELY);
        }
        _ => {}
    }
}

/// A node status (RFC 1002 clause 4.2.18).
#[derive(Default)]
struct Status {
    names: Vec<(Name, bool)>,
    unit_id: Option<MacAddr>,
}

impl Status {
    fn new(record: &Record<'_>) -> Self {
        let mut status = Self::default();
        let mut reader = Reader::new(record.bytes);
        let count = usize::from(reader.u8().unwrap_or(0)).min(MAX_NAMES);
        for _ in 0..count {
            let (Ok(raw), Ok(flags)) = (reader.array::<16>(), reader.be16()) else { return status };
            status.names.push((Name::from_raw(raw), flags & 0x8000 != 0));
        }
        status.unit_id = reader.array().ok().map(MacAddr).filter(|mac| mac.is_station());
        status
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::dns::wire::tests::Builder;
    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, survives};

    /// A name in first-level encoding, padded with spaces.
    pub(in super::super) fn encoded(name: &str, suffix: u8) -> String {
        let mut raw = [b' '; 16];
        raw[..name.len()].copy_from_slice(name.as_bytes());
        raw[15] = suffix;
        raw.iter().flat_map(|byte| [char::from(b'A' + (byte >> 4)), char::from(b'A' + (byte & 15))]).collect()
    }

    #[test]
    fn the_example_of_rfc_1001_is_decoded() {
        // RFC 1001 clause 14.1: FRED, padded with spaces.
        let name = Name::decode(b"EGFCEFEECACACACACACACACACACACACA").unwrap();
        assert_eq!((name.text().as_ref(), name.suffix), ("FRED", b' '));
        assert_eq!(Name::decode(b"EGFCEFEECACACACACACACACACACACACQ"), None);
    }

    #[test]
    fn a_registration_and_a_node_status_name_the_host() {
        let registration = Builder::new(1, 0x2910)
            .question(&encoded("HMI-7", 0), kind::NB, 1)
            .record(3, &encoded("HMI-7", 0), (kind::NB, 1), 300_000, &[0, 0, 192, 0, 2, 10])
            .build();
        let mut names = vec![2];
        names.extend(b"SCADA          \x20\x04\x00PLANT          \x00\x84\x00");
        names.extend([0, 0x1b, 0x1b, 1, 2, 3]);
        let request = Builder::new(2, 0).question(&format!("CK{}", "A".repeat(30)), NBSTAT, 1).build();
        let status = Builder::new(2, 0x8400)
            .record(1, &format!("CK{}", "A".repeat(30)), (NBSTAT, 1), 0, &names)
            .build();
        let text = converse(
            &PROTOCOL,
            &[(Side::Client, &registration), (Side::Client, &request), (Side::Server, &status)],
        );
        insta::assert_snapshot!(text, @r#"
        fact 192.0.2.10 hostname = "HMI-7" (nbns.name, 75%)
        client registration {"id":1,"name":"HMI-7","suffix":0,"purpose":"workstation","broadcast":true,"ttl":300000,"addresses":["192.0.2.10"]}
        operation client Identify node-status - - Asked
        client status-request {"id":2,"name":"*","suffix":0,"purpose":"workstation","broadcast":false}
        fact 192.0.2.20 hostname = "SCADA" (nbns.node-status, 75%)
        fact 192.0.2.20 label = "workgroup PLANT" (nbns.node-status, 75%)
        server status-response {"id":2,"name":"*","suffix":0,"purpose":"workstation","broadcast":false,"rcode":0,"names":[{"name":"SCADA","suffix":32,"purpose":"file-server","group":false},{"name":"PLANT","suffix":0,"purpose":"domain","group":true}],"unit-id":"00:1b:1b:01:02:03"}
        "#);
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn any_status_is_survived(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let name = encoded("X", 0);
            let bytes = Builder::new(2, 0x8400).record(1, &name, (NBSTAT, 1), 0, &data).build();
            survives(&PROTOCOL, &[(Side::Server, bytes)]);
        }
    }
}
