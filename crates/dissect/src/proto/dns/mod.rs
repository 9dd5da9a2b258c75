//! Domain names (RFC 1035), over UDP and TCP.
//!
//! Queries are matched to their responses, so that a response tells how long it took. Zone transfers and
//! dynamic updates (RFC 2136) are operations. Query names are told in lower case: resolvers mix the case
//! at random as a protection against forgery. Fields agree in meaning with those of Zeek's `dns.log`.

mod tells;
pub(crate) mod wire;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Attribute, Confidence, Host, OperationKind, Outcome, Resolved, Role, Side, Timestamp, Value};
use serde::Serialize;

use super::show::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};
use wire::{Edns, Fault, HEADER, Item, Lower, MAX_LISTED, Message, Question, Section, Shape, Shown, kind};

/// The Domain Name System.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "dns",
    name: "Domain Name System",
    spec: "RFC 1035, RFC 6891, RFC 9460",
    carriers: &[Carrier::Udp(&[53]), Carrier::Tcp(&[53])],
    probe,
    start: || Box::new(Dns::default()),
};

/// Ports of protocols that have the same form and their own dissectors: mDNS, LLMNR, NetBIOS.
const RELATIVES: [u16; 3] = [5353, 5355, 137];

/// Queries of one conversation that wait for their responses; the oldest gives way.
const MAX_PENDING: usize = 64;

fn probe(opening: &Opening<'_>) -> Verdict {
    if RELATIVES.contains(&opening.client_port) || RELATIVES.contains(&opening.server_port) {
        return Verdict::No;
    }
    let mut bytes = opening.bytes;
    if opening.stream {
        // RFC 1035 clause 4.2.2: two bytes of length before each message.
        let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return Verdict::More };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < HEADER {
            return Verdict::No;
        }
        if rest.len() < HEADER {
            return Verdict::More;
        }
        bytes = rest.get(..length).unwrap_or(rest);
    }
    let Ok(message) = Message::new(bytes) else { return Verdict::No };
    if message.question().is_some_and(|question| question.kind == kind::NB) {
        return Verdict::No;
    }
    match message.shape() {
        Shape::Whole => Verdict::Yes,
        Shape::Broken => Verdict::Maybe,
        Shape::Not => Verdict::No,
    }
}

/// A query, and for other operation codes any request.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Query<'a> {
    id: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    opcode: Option<&'static str>,
    #[serde(flatten)]
    question: Option<Asked<'a>>,
    rd: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ad: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cd: bool,
    #[serde(flatten)]
    records: Records<'a>,
}

/// A response.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Response<'a> {
    id: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    opcode: Option<&'static str>,
    #[serde(flatten)]
    question: Option<Asked<'a>>,
    rcode: Cow<'static, str>,
    aa: bool,
    tc: bool,
    rd: bool,
    ra: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ad: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cd: bool,
    /// Microseconds from the query to here.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_us: Option<u64>,
    #[serde(flatten)]
    records: Records<'a>,
}

/// The question of a message.
#[derive(Serialize)]
struct Asked<'a> {
    query: Lower<'a>,
    qtype: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qclass: Option<Cow<'static, str>>,
}

impl<'a> Asked<'a> {
    fn new(question: &Question<'a>) -> Self {
        Self {
            query: question.name.lower(),
            qtype: wire::type_name(question.kind),
            qclass: (question.class != 1).then(|| wire::class_name(question.class)),
        }
    }
}

/// The sections after the question.
#[derive(Default, Serialize)]
struct Records<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authority: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    additional: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edns: Option<Edns>,
    /// How many records are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    unlisted: Option<u32>,
}

impl<'a> Records<'a> {
    fn new(message: Message<'a>) -> Self {
        let mut records = Self::default();
        for item in message.items() {
            let Ok(Item::Record(section, record)) = item else { continue };
            if record.kind == kind::OPT {
                records.edns = Some(Edns::new(&record));
                continue;
            }
            let list = match section {
                Section::Answer => &mut records.answers,
                Section::Authority => &mut records.authority,
                Section::Additional => &mut records.additional,
            };
            if list.len() < MAX_LISTED {
                list.push(Shown::new(&record, u16::MAX));
            } else {
                records.unlisted = Some(records.unlisted.map_or(1, |count| count.saturating_add(1)));
            }
        }
        records
    }
}

/// A query that waits for its response, or had it.
#[derive(Clone, Copy)]
struct Pending {
    id: u16,
    kind: u16,
    name: u32,
    from: Side,
    at: Timestamp,
    answered: bool,
}

/// Reads one conversation.
#[derive(Default)]
struct Dns {
    /// The usual conversation has one query; more are kept in `more`.
    first: Option<Pending>,
    more: Vec<Pending>,
    told_role: bool,
}

impl Parser for Dns {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        if out.flow().transport != model::Transport::Tcp {
            self.message(input.bytes, input, out);
            return Progress::Took(input.bytes.len());
        }
        let mut taken = 0;
        while let Some((length, rest)) = input.bytes[taken..].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length < HEADER {
                return Progress::Lost("length");
            }
            let Some(message) = rest.get(..length) else { break };
            self.message(message, input, out);
            taken += 2 + length;
        }
        Progress::Took(taken)
    }

    /// Without the length before it, the next message cannot be found.
    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        false
    }
}

impl Dns {
    fn message(&mut self, bytes: &[u8], input: &Input<'_>, out: &mut Emit<'_>) {
        let message = match Message::new(bytes) {
            Ok(message) => message,
            Err(fault) => return complain(fault, input, out),
        };
        let (mut extended, mut question) = (0, None);
        for item in message.items() {
            match item {
                Ok(Item::Question(asked)) => question = question.or(Some(asked)),
                Ok(Item::Record(section, record)) if record.kind == kind::OPT => {
                    extended = Edns::extended_rcode(&record);
                    if section != Section::Additional {
                        // RFC 6891 clause 6.1.1; some tunnels do not care.
                        out.anomaly(input.from, "opt-misplaced", format_args!("{section:?}"));
                    }
                }
                Ok(Item::Record(Section::Answer, record)) if message.is_response() => {
                    answer_facts(&record, input.from, out);
                }
                Ok(_) => {}
                Err(fault) => complain(fault, input, out),
            }
        }
        if !message.has_known_opcode() {
            out.anomaly(input.from, "opcode", format_args!("{}", message.opcode()));
        }
        if message.z() {
            out.anomaly(input.from, "reserved-flag", format_args!("flags {:#06x}", message.flags));
        }
        if message.counts[0] > 1 {
            // RFC 9619: a query has at most one question.
            out.anomaly(input.from, "several-questions", format_args!("{}", message.counts[0]));
        }
        if message.is_response() {
            let rtt_us = self.answered(message, question.as_ref(), input, out);
            if let Some(question) = question.as_ref().filter(|_| rtt_us.is_some()) {
                looked_up(message, question, bytes.len(), input.from.other(), out);
            }
            if message.ra() && !self.told_role {
                self.told_role = true;
                out.role(input.from, Role::DnsServer, "dns.recursion-available", Confidence::STRONG);
            }
            if out.wants_messages() {
                let response = Response {
                    id: message.id,
                    opcode: wire::opcode_name(message.opcode()),
                    question: question.as_ref().map(Asked::new),
                    rcode: wire::rcode_name(u16::from(message.rcode()) | extended << 4),
                    aa: message.aa(),
                    tc: message.tc(),
                    rd: message.rd(),
                    ra: message.ra(),
                    ad: message.ad(),
                    cd: message.cd(),
                    rtt_us,
                    records: Records::new(message),
                };
                out.message(input.from, "response", &response);
            }
        } else {
            self.asked(message, question.as_ref(), input, out);
            if out.wants_messages() {
                let query = Query {
                    id: message.id,
                    opcode: wire::opcode_name(message.opcode()),
                    question: question.as_ref().map(Asked::new),
                    rd: message.rd(),
                    ad: message.ad(),
                    cd: message.cd(),
                    records: Records::new(message),
                };
                out.message(input.from, "query", &query);
            }
        }
    }

    fn asked(
        &mut self,
        message: Message<'_>,
        question: Option<&Question<'_>>,
        input: &Input<'_>,
        out: &mut Emit<'_>,
    ) {
        let Some(question) = question else { return };
        let operation = match (message.opcode(), question.kind) {
            // RFC 2136: the question section names the zone that is changed.
            (5, _) => Some((OperationKind::Write, "update")),
            (0, kind::AXFR) => Some((OperationKind::Read, "axfr")),
            (0, kind::IXFR) => Some((OperationKind::Read, "ixfr")),
            _ => None,
        };
        if let Some((kind, name)) = operation {
            let zone = question.name.lower().to_string().into();
            out.operation(input.from, kind, name, Some(zone), None, Outcome::Asked);
        }
        let name = question.name.digest();
        if matches!(question.kind, kind::A | kind::AAAA) {
            tells::of_question(question.name, name, input.from, out);
        }
        let pending = Pending {
            id: message.id,
            kind: question.kind,
            name,
            from: input.from,
            at: input.at,
            answered: false,
        };
        match &mut self.first {
            Some(first) if !first.answered => {
                self.more.retain(|older| !older.answered);
                if self.more.len() == MAX_PENDING {
                    self.more.remove(0);
                }
                self.more.push(pending);
            }
            first => *first = Some(pending),
        }
    }

    /// Finds the query that a response answers; how long it took, in microseconds.
    fn answered(
        &mut self,
        message: Message<'_>,
        question: Option<&Question<'_>>,
        input: &Input<'_>,
        out: &mut Emit<'_>,
    ) -> Option<u64> {
        let asker = input.from.other();
        let asked = question.map(|question| (question.kind, question.name.digest()));
        let fits = |query: &Pending| asked.is_none_or(|asked| asked == (query.kind, query.name));
        let known = self.first.iter().chain(&self.more).any(|query| query.from == asker);
        // Identifiers are used again: the query that fits best is the one that is answered.
        let query = self
            .first
            .iter_mut()
            .chain(&mut self.more)
            .filter(|query| query.from == asker && query.id == message.id)
            .max_by_key(|query| (fits(query), !query.answered));
        match (query, question) {
            (Some(query), Some(question)) if !fits(query) => {
                out.anomaly(
                    input.from,
                    "question-mismatch",
                    format_args!("response {:#06x} is about {}", message.id, question.name),
                );
                None
            }
            (Some(query), _) => {
                // The messages of a zone transfer, or a response that was sent twice.
                let first = !query.answered;
                query.answered = true;
                let span = input.at.since(query.at);
                first.then(|| u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
            }
            (None, _) => {
                if known {
                    // RFC 5452 clause 4: someone may be guessing identifiers.
                    out.anomaly(input.from, "response-without-query", format_args!("{:#06x}", message.id));
                }
                None
            }
        }
    }
}

/// A name was looked up: done, or refused because there is no such name (RFC 8020). Other failures are no answer.
/// The value is the length of the answer, in bytes.
fn looked_up(message: Message<'_>, question: &Question<'_>, length: usize, asker: Side, out: &mut Emit<'_>) {
    if !out.is_judged() {
        return;
    }
    const NO_SUCH_NAME: u8 = 3;
    let name = match question.kind {
        _ if message.opcode() != 0 => return,
        kind::AXFR | kind::IXFR => return,
        kind::A => "query-a",
        kind::NS => "query-ns",
        kind::CNAME => "query-cname",
        kind::SOA => "query-soa",
        kind::NULL => "query-null",
        kind::PTR => "query-ptr",
        kind::MX => "query-mx",
        kind::TXT => "query-txt",
        kind::AAAA => "query-aaaa",
        kind::SRV => "query-srv",
        kind::SVCB => "query-svcb",
        kind::HTTPS => "query-https",
        kind::ANY => "query-any",
        _ => "query-other",
    };
    let outcome = match message.rcode() {
        0 => Outcome::Done,
        NO_SUCH_NAME => Outcome::Refused,
        _ => Outcome::Asked,
    };
    let (target, value) = (Some(question.name.lower_text()), Some(Value::Unsigned(length as u64)));
    out.operation(asker, OperationKind::Discover, name, target, value, outcome);
    if asker == Side::Client && outcome == Outcome::Done && matches!(question.kind, kind::A | kind::AAAA) {
        resolved(message, question, out);
    }
}

/// Tells the addresses in an answer: those of the name itself, or of what it is another name for.
fn resolved(message: Message<'_>, question: &Question<'_>, out: &mut Emit<'_>) {
    let answers = message.items().filter_map(|item| match item {
        Ok(Item::Record(Section::Answer, record)) if record.kind == question.kind => {
            record.address().map(|address| (address, record.ttl))
        }
        _ => None,
    });
    let (addresses, ttls): (Vec<IpAddr>, Vec<u32>) = answers.take(Resolved::MAX).unzip();
    out.resolved(question.name.lower_text(), addresses, ttls.into_iter().min().unwrap_or(0));
}

fn complain(fault: Fault, input: &Input<'_>, out: &mut Emit<'_>) {
    // What the sensor cut off is not the sender's fault.
    if input.cut == 0 {
        out.anomaly(input.from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
    }
}

/// What an answer says about hosts: the names of private addresses, and a server's software.
fn answer_facts(record: &wire::Record<'_>, from: Side, out: &mut Emit<'_>) {
    match record.kind {
        kind::PTR => {
            let Some(ip) = reverse(record.name).filter(|ip| is_private(*ip)) else { return };
            if let Ok(name) = record.target() {
                let name = name.lower().to_string();
                out.fact_about(Host::from_ip(ip), Attribute::Hostname, name, "dns.ptr", Confidence::LIKELY);
            }
        }
        // version.bind and version.server in class CHAOS, as most servers answer.
        kind::TXT if record.class == 3 && record.name.first().eq_ignore_ascii_case(b"version") => {
            if let Some(version) = record.strings().next() {
                out.fact(from, Attribute::Software, text(version), "dns.version-bind", Confidence::STRONG);
            }
        }
        _ => {}
    }
}

/// Whether an address belongs to the organisation's own networks (RFC 1918, RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// The address that a name below `in-addr.arpa` (RFC 1035 clause 3.5) or `ip6.arpa` (RFC 3596) stands for.
pub(crate) fn reverse(name: wire::Name<'_>) -> Option<IpAddr> {
    let mut labels = [[].as_slice(); 34];
    let mut count = 0;
    for label in name.labels() {
        *labels.get_mut(count)? = label;
        count += 1;
    }
    let (arpa, labels) = labels.get(..count)?.split_last()?;
    let (tree, digits) = labels.split_last()?;
    if !arpa.eq_ignore_ascii_case(b"arpa") {
        return None;
    }
    let number = |label: &[u8], radix| {
        std::str::from_utf8(label).ok().and_then(|text| u8::from_str_radix(text, radix).ok())
    };
    if tree.eq_ignore_ascii_case(b"in-addr") && digits.len() == 4 {
        let mut octets = [0; 4];
        for (octet, label) in octets.iter_mut().rev().zip(digits) {
            *octet = number(label, 10)?;
        }
        return Some(Ipv4Addr::from(octets).into());
    }
    if tree.eq_ignore_ascii_case(b"ip6") && digits.len() == 32 {
        let mut octets = [0; 16];
        for (octet, pair) in octets.iter_mut().rev().zip(digits.chunks_exact(2)) {
            let [low, high] = pair else { return None };
            let (low, high) = (number(low, 16)?, number(high, 16)?);
            *octet = (high & 15) << 4 | low & 15;
        }
        return Some(Ipv6Addr::from(octets).into());
    }
    None
}

#[cfg(test)]
mod tests {
    use model::Transport;
    use proptest::prelude::*;

    use super::wire::tests::{Builder, encoded};
    use super::*;
    use crate::testing::{
        any_bytes_are_survived, converse, converse_on, damage, head, hits, opening, survives,
    };

    fn query() -> Vec<u8> {
        Builder::new(0x1234, 0x0100).question("Www.Example.COM", kind::A, 1).build()
    }

    fn response() -> Vec<u8> {
        Builder::new(0x1234, 0x8180)
            .question("www.example.com", kind::A, 1)
            .record(1, "www.example.com", (kind::CNAME, 1), 300, &encoded("web.example.com"))
            .record(1, "web.example.com", (kind::A, 1), 60, &[192, 0, 2, 80])
            .record(3, "", (kind::OPT, 1232), 0x8000, &[0, 10, 0, 2, 0xab, 0xcd])
            .build()
    }

    #[test]
    fn a_response_is_matched_to_its_query_and_tells_who_resolves() {
        let text = converse(&PROTOCOL, &[(Side::Client, &query()), (Side::Server, &response())]);
        insta::assert_snapshot!(text, @r#"
        client query {"id":4660,"query":"www.example.com","qtype":"A","rd":true}
        operation client Discover query-a www.example.com 125 Done
        resolved www.example.com [192.0.2.80] 60 s
        fact 192.0.2.20 role = "dns-server" (dns.recursion-available, 75%)
        server response {"id":4660,"query":"www.example.com","qtype":"A","rcode":"NOERROR","aa":false,"tc":false,"rd":true,"ra":true,"rtt-us":1000000,"answers":[{"name":"www.example.com","type":"CNAME","ttl":300,"data":"web.example.com"},{"name":"web.example.com","type":"A","ttl":60,"data":"192.0.2.80"}],"edns":{"udp-payload-size":1232,"dnssec-ok":true,"options":["cookie"]}}
        "#);
    }

    #[test]
    fn records_of_all_kinds_are_read() {
        let mut soa = [encoded("ns.example"), encoded("root.example")].concat();
        soa.extend([0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
        let https = [
            &[0, 1, 0][..],
            &[0, 1, 0, 6, 2, b'h', b'3', 2, b'h', b'2'],
            &[0, 3, 0, 2, 0x20, 0xfb],
            &[0, 4, 0, 4, 192, 0, 2, 1],
        ]
        .concat();
        let message = Builder::new(1, 0x8400)
            .record(1, "a.example", (kind::MX, 1), 1, &[&[0, 10][..], &encoded("mail.example")].concat())
            .record(1, "a.example", (kind::TXT, 1), 1, b"\x03k=v\x05other")
            .record(
                1,
                "_x._tcp.example",
                (kind::SRV, 1),
                1,
                &[&[0, 1, 0, 2, 0x1f, 0x90][..], &encoded("h.example")].concat(),
            )
            .record(
                1,
                "a.example",
                (kind::AAAA, 1),
                1,
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            )
            .record(1, "a.example", (kind::HTTPS, 1), 1, &https)
            .record(1, "a.example", (999, 1), 1, &[0xde, 0xad])
            .record(1, "a.example", (kind::A, 1), 1, &[1, 2, 3])
            .record(2, "example", (kind::SOA, 1), 1, &soa)
            .build();
        let text = converse(&PROTOCOL, &[(Side::Server, &message)]);
        insta::assert_snapshot!(text.replace("},{", "},\n{"), @r#"
        server response {"id":1,"rcode":"NOERROR","aa":true,"tc":false,"rd":false,"ra":false,"answers":[{"name":"a.example","type":"MX","ttl":1,"data":{"preference":10,"exchange":"mail.example"}},
        {"name":"a.example","type":"TXT","ttl":1,"data":["k=v","other"]},
        {"name":"_x._tcp.example","type":"SRV","ttl":1,"data":{"priority":1,"weight":2,"port":8080,"target":"h.example"}},
        {"name":"a.example","type":"AAAA","ttl":1,"data":"2001:db8::1"},
        {"name":"a.example","type":"HTTPS","ttl":1,"data":{"priority":1,"target":".","alpn":["h3","h2"],"port":8443,"ipv4hint":["192.0.2.1"]}},
        {"name":"a.example","type":"TYPE999","ttl":1,"data":"dead"},
        {"name":"a.example","type":"A","ttl":1,"data":"010203"}],"authority":[{"name":"example","type":"SOA","ttl":1,"data":{"mname":"ns.example","rname":"root.example","serial":7}}]}
        "#);
    }

    #[test]
    fn systems_give_themselves_away_to_a_local_resolver() {
        let mut head = head(Transport::Udp, 53);
        let query = Builder::new(1, 0x0100).question("2.OpenWRT.pool.ntp.org", kind::A, 1).build();
        let text = converse_on(&PROTOCOL, head, false, &[(Side::Client, &query)]);
        assert!(!text.contains("fact"), "a forwarder asks for others: {text}");
        head.server.host.ip = "192.168.1.1".parse().ok();
        let text = converse_on(&PROTOCOL, head, false, &[(Side::Client, &query)]);
        let told = r#"fact 192.0.2.10 operating-system = "OpenWrt" (dns.question, 20%)"#;
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn forged_answers_are_told() {
        let guess = Builder::new(0x4321, 0x8180).question("www.example.com", kind::A, 1).build();
        let other = Builder::new(0x1234, 0x8180).question("evil.example.com", kind::A, 1).build();
        let text = converse(
            &PROTOCOL,
            &[
                (Side::Client, &query()),
                (Side::Server, &guess),
                (Side::Server, &other),
                (Side::Server, &response()),
            ],
        );
        let anomalies: Vec<&str> = text.lines().filter(|line| line.starts_with("anomaly")).collect();
        assert_eq!(
            anomalies,
            [
                "anomaly server response-without-query: 0x4321",
                "anomaly server question-mismatch: response 0x1234 is about evil.example.com"
            ]
        );
    }

    #[test]
    fn messages_over_tcp_are_cut_out_of_the_stream() {
        let framed =
            |message: Vec<u8>| [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
        let transfer = framed(Builder::new(7, 0).question("plant.example", kind::AXFR, 1).build());
        let (one, two) = transfer.split_at(9);
        let first = framed(query());
        let head = head(Transport::Tcp, 53);
        let text = converse_on(
            &PROTOCOL,
            head,
            true,
            &[
                (Side::Client, &first),
                (Side::Client, one),
                (Side::Client, two),
                (Side::Client, &[0, 3, 1, 2, 3]),
            ],
        );
        insta::assert_snapshot!(text, @r#"
        client query {"id":4660,"query":"www.example.com","qtype":"A","rd":true}
        operation client Read axfr plant.example - Asked
        client query {"id":7,"query":"plant.example","qtype":"AXFR","rd":false}
        lost: length
        "#);
    }

    #[test]
    fn reverse_names_name_private_hosts_only() {
        let answer = |name: &str, target: &str| {
            Builder::new(9, 0x8580).record(1, name, (kind::PTR, 1), 60, &encoded(target)).build()
        };
        let inside = answer("7.1.168.192.in-addr.arpa", "Printer.lan");
        let outside = answer("8.8.8.8.in-addr.arpa", "dns.google");
        let broken = answer("7.1.168.192.in-addr.arpa.example", "x.lan");
        let text = converse(
            &PROTOCOL,
            &[(Side::Server, &inside), (Side::Server, &outside), (Side::Server, &broken)],
        );
        let hosts: Vec<&str> = text.lines().filter(|line| line.contains("hostname")).collect();
        assert_eq!(hosts, [r#"fact 192.168.1.7 hostname = "printer.lan" (dns.ptr, 50%)"#]);
        let v6 = encoded("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.d.f.ip6.arpa");
        let (name, _) = wire::Name::read(&v6, 0).unwrap();
        assert_eq!(reverse(name).map(|ip| ip.to_string()).as_deref(), Some("fd01::1"));
    }

    fn ask(bytes: &[u8], stream: bool, server_port: u16) -> Verdict {
        probe(&opening(bytes, server_port, stream))
    }

    #[test]
    fn messages_are_known_on_any_port_and_relatives_and_noise_are_not() {
        assert_eq!(ask(&query(), false, 5300), Verdict::Yes);
        assert_eq!(ask(&response()[..40], false, 53), Verdict::Maybe);
        assert_eq!(ask(&query(), false, 5353), Verdict::No);
        assert_eq!(ask(&[0; 64], false, 53), Verdict::No);
        assert_eq!(ask(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n", true, 53), Verdict::No);
        assert_eq!(ask(&[0, 30, 1], true, 53), Verdict::More);
        let netbios = Builder::new(1, 0x0110).question(&"CK".repeat(16), kind::NB, 1).build();
        assert_eq!(ask(&netbios, false, 1000), Verdict::No);
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn damaged_messages_are_survived(hits in hits(), end in any::<prop::sample::Index>()) {
            let whole = response();
            let cut = whole[..=end.index(whole.len())].to_vec();
            let mut packets = vec![(Side::Client, query())];
            packets.extend(damage(&[(Side::Server, cut)], &hits));
            survives(&PROTOCOL, &packets);
        }

        #[test]
        fn noise_is_never_taken_for_a_message(bytes in prop::collection::vec(any::<u8>(), 12..200)) {
            prop_assert_ne!(ask(&bytes, false, 40_001), Verdict::Yes);
        }
    }
}
