//! Multicast DNS (RFC 6762) and service discovery over it (RFC 6763).
//!
//! What a device announces is the best description of it in a home: its name, the services that it offers,
//! and in their TXT records its model, firmware and category. Names and models are told about the sender,
//! unless its address records show that it answers for others, as sleep proxies and reflectors do.

mod services;

use std::borrow::Cow;
use std::net::IpAddr;

use model::{Attribute, BindingSource, Confidence, Host, Side};
use serde::Serialize;

use super::dns::wire::{self, Item, MAX_LISTED, Message, Name, Record, Section, Shape, Shown, kind};
use super::show::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict, hostname};

/// Multicast DNS.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "mdns",
    name: "Multicast DNS",
    spec: "RFC 6762, RFC 6763",
    carriers: &[Carrier::Udp(&[PORT])],
    probe,
    start: || Box::new(Mdns::default()),
};

/// The port is part of the protocol (RFC 6762 clause 3): elsewhere it is plain DNS.
const PORT: u16 = 5353;

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.stream || (opening.client_port != PORT && opening.server_port != PORT) {
        return Verdict::No;
    }
    match Message::new(opening.bytes).map(Message::shape) {
        Ok(Shape::Whole) => Verdict::Yes,
        Ok(Shape::Broken) => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// A query or a response; both have the same sections.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Content<'a> {
    id: u16,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tc: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<Asked<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authority: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    additional: Vec<Shown<'a>>,
}

/// A question.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Asked<'a> {
    name: Name<'a>,
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    /// RFC 6762 clause 5.4: the top bit of the class.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unicast_response: bool,
}

/// The bit of the class that asks for a unicast response or flushes caches (RFC 6762 clauses 5.4, 10.2).
const TOP_BIT: u16 = 0x8000;

impl<'a> Content<'a> {
    fn new(message: Message<'a>) -> Self {
        let mut content = Self { id: message.id, tc: message.tc(), ..Self::default() };
        for item in message.items() {
            match item {
                Ok(Item::Question(question)) if content.questions.len() < MAX_LISTED => {
                    content.questions.push(Asked {
                        name: question.name,
                        kind: wire::type_name(question.kind),
                        unicast_response: question.class & TOP_BIT != 0,
                    });
                }
                Ok(Item::Record(section, record)) if record.kind != kind::OPT => {
                    let list = match section {
                        Section::Answer => &mut content.answers,
                        Section::Authority => &mut content.authority,
                        Section::Additional => &mut content.additional,
                    };
                    if list.len() < MAX_LISTED {
                        list.push(Shown::new(&record, !TOP_BIT));
                    }
                }
                _ => {}
            }
        }
        content
    }
}

/// Reads one conversation.
#[derive(Default)]
struct Mdns {
    bound: [bool; 2],
}

impl Parser for Mdns {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        let message = match Message::new(input.bytes) {
            Ok(message) => message,
            Err(fault) => {
                out.anomaly(input.from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
                return taken;
            }
        };
        if let Some(Err(fault)) = message.items().find(Result::is_err).filter(|_| input.cut == 0) {
            out.anomaly(input.from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
        }
        if !self.bound[input.from.index()] {
            self.bound[input.from.index()] = true;
            bind_sender(input.from, out);
        }
        if message.is_response() {
            announce(message, input.from, out);
        }
        if out.wants_messages() {
            let kind = if message.is_response() { "response" } else { "query" };
            out.message(input.from, kind, &Content::new(message));
        }
        taken
    }
}

/// What is sent to a link-local group comes from this link, and no router changed its addresses
/// (224.0.0.0/24, RFC 5771 clause 4; ff02::/16, RFC 4291 clause 2.7).
pub(crate) fn bind_sender(from: Side, out: &mut Emit<'_>) {
    let to_link = match out.host(from.other()).ip {
        Some(IpAddr::V4(ip)) => ip.octets()[..3] == [224, 0, 0],
        Some(IpAddr::V6(ip)) => ip.segments()[0] == 0xff02,
        None => false,
    };
    if let (true, Host { mac: Some(mac), ip: Some(ip) }) = (to_link, out.host(from)) {
        out.binding(mac, ip, BindingSource::LinkLocal);
    }
}

/// The records of a message that carry something about hosts.
fn records<'a>(message: Message<'a>) -> impl Iterator<Item = Record<'a>> {
    message.items().filter_map(|item| match item {
        // A time to live of 0 says goodbye (RFC 6762 clause 10.1).
        Ok(Item::Record(Section::Answer | Section::Additional, record)) if record.ttl > 0 => Some(record),
        _ => None,
    })
}

fn announce(message: Message<'_>, from: Side, out: &mut Emit<'_>) {
    let Some(sender) = out.host(from).ip else { return };
    let mut own = false;
    let mut foreign = false;
    for record in records(message) {
        match record.address() {
            Some(ip) if ip == sender => own = true,
            // A host may have one address of each family and scope, and say all of them from one.
            Some(ip) if ip.is_ipv4() == sender.is_ipv4() && is_link_local(ip) == is_link_local(sender) => {
                foreign = true;
            }
            _ => {}
        }
    }
    let for_itself = own || !foreign;
    for record in records(message) {
        match record.kind {
            kind::A | kind::AAAA => {
                let Some(ip) = record.address() else { continue };
                let about = if for_itself { out.host(from) } else { Host::from_ip(ip) };
                let worth = if own { Confidence::CERTAIN } else { Confidence::STRONG };
                let name = host_name(record.name);
                hostname::tell(about, &name, "mdns.address-record", worth, out);
            }
            kind::SRV | kind::PTR if for_itself => service_facts(&record, from, out),
            kind::TXT if for_itself => text_facts(&record, from, out),
            _ => {}
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// A host's name without the domain that all share.
fn host_name(name: Name<'_>) -> String {
    let text = name.to_string();
    text.strip_suffix(".local").map(str::to_owned).unwrap_or(text)
}

/// The service type within a name such as `Kitchen._hap._tcp.local`, without its underscore.
fn service_of<'a>(name: Name<'a>) -> Option<&'a [u8]> {
    let mut labels = name.labels().peekable();
    while let Some(label) = labels.next() {
        let transport = labels.peek().copied().unwrap_or_default();
        if transport.eq_ignore_ascii_case(b"_tcp") || transport.eq_ignore_ascii_case(b"_udp") {
            return label.strip_prefix(b"_");
        }
    }
    None
}

fn service_facts(record: &Record<'_>, from: Side, out: &mut Emit<'_>) {
    // SRV stands under the instance; a PTR under the service points to the instance (RFC 6763 clause 4).
    let Some(tells) = service_of(record.name).and_then(services::of) else { return };
    if record.kind == kind::PTR && record.target().is_ok_and(|instance| service_of(instance).is_none()) {
        return;
    }
    // A model or category in the TXT record knows better what the thing is.
    if let Some(device) = tells.device {
        out.fact(from, Attribute::Type, device, "mdns.service", Confidence::STRONG);
    }
    if let Some(role) = tells.role {
        // Computers and telephones offer some of the services that no one kind of thing has for itself.
        let worth = if tells.device.is_some() { Confidence::STRONG } else { Confidence::LIKELY };
        out.role(from, role, "mdns.service", worth);
    }
    if let Some(vendor) = tells.vendor {
        out.fact(from, Attribute::Vendor, vendor, "mdns.service", Confidence::STRONG);
    }
}

/// RFC 6763 clause 6: strings of key and value.
fn text_facts(record: &Record<'_>, from: Side, out: &mut Emit<'_>) {
    let Some(service) = service_of(record.name) else { return };
    for string in record.strings() {
        let Some(equals) = string.iter().position(|byte| *byte == b'=') else { continue };
        let key = text(&string[..equals]).to_ascii_lowercase();
        let value = text(&string[equals + 1..]);
        if service.eq_ignore_ascii_case(b"hap") && key == "ci" {
            if let Some((device, role)) = services::homekit_category(&value) {
                out.fact(from, Attribute::Type, device, "mdns.txt.ci", Confidence::STRONG);
                out.role(from, role, "mdns.txt.ci", Confidence::STRONG);
            }
            continue;
        }
        let Some((attribute, confidence)) = services::key(service, &key) else { continue };
        if !says_something(&value) {
            continue;
        }
        if let (Attribute::Software, Some(product)) = (attribute, services::product(service)) {
            out.fact(from, attribute, format!("{product} {value}"), "mdns.txt", confidence);
            continue;
        }
        if attribute == Attribute::Model
            && let Some((device, role)) = services::apple_model(&value)
        {
            out.fact(from, Attribute::Vendor, "Apple", "mdns.txt.model", Confidence::STRONG);
            out.fact(from, Attribute::Type, device, "mdns.txt.model", Confidence::STRONG);
            out.role(from, role, "mdns.txt.model", Confidence::STRONG);
        }
        out.fact(from, attribute, &value, "mdns.txt", confidence);
    }
}

/// Whether a value is more than a placeholder.
fn says_something(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "" | "unknown" | "none" | "null" | "n/a" | "default")
}

#[cfg(test)]
mod tests {
    use model::{Endpoint, FlowHead, MacAddr, Transport};
    use proptest::prelude::*;

    use super::super::dns::wire::tests::{Builder, encoded};
    use super::*;
    use crate::testing::{any_bytes_are_survived, converse_on, damage, head, hits, survives};

    /// 192.0.2.10 announces to the group.
    fn to_group() -> FlowHead {
        let group = Host { mac: Some(MacAddr([1, 0, 0x5e, 0, 0, 0xfb])), ip: "224.0.0.251".parse().ok() };
        let base = head(Transport::Udp, PORT);
        FlowHead { server: Endpoint { host: group, port: PORT }, ..base }
    }

    const FLUSH: u16 = 0x8001;

    fn announcement(address: [u8; 4]) -> Vec<u8> {
        let instance = "Lamp._hap._tcp.local";
        let txt = b"\x04ci=5\x08md=LX-50\x14id=AA:BB:CC:00:11:22\x04sf=1";
        Builder::new(0, 0x8400)
            .record(1, "_hap._tcp.local", (kind::PTR, 1), 4500, &encoded(instance))
            .record(
                3,
                instance,
                (kind::SRV, FLUSH),
                120,
                &[&[0, 0, 0, 0, 0x1f, 0x90][..], &encoded("lamp.local")].concat(),
            )
            .record(3, instance, (kind::TXT, FLUSH), 4500, txt)
            .record(3, "lamp.local", (kind::A, FLUSH), 120, &address)
            .build()
    }

    #[test]
    fn an_announcement_tells_what_the_device_is() {
        let text =
            converse_on(&PROTOCOL, to_group(), false, &[(Side::Client, &announcement([192, 0, 2, 10]))]);
        insta::assert_snapshot!(text, @r#"
        binding 192.0.2.10 is at 02:00:00:00:00:0a
        fact 192.0.2.10 role = "smart-device" (mdns.service, 50%)
        fact 192.0.2.10 type = "lamp" (mdns.txt.ci, 75%)
        fact 192.0.2.10 role = "smart-device" (mdns.txt.ci, 75%)
        fact 192.0.2.10 model = "LX-50" (mdns.txt, 95%)
        fact 192.0.2.10 identifier = "AA:BB:CC:00:11:22" (mdns.txt, 75%)
        fact 192.0.2.10 hostname = "lamp" (mdns.address-record, 95%)
        client response {"id":0,"answers":[{"name":"_hap._tcp.local","type":"PTR","ttl":4500,"data":"Lamp._hap._tcp.local"}],"additional":[{"name":"Lamp._hap._tcp.local","type":"SRV","ttl":120,"data":{"priority":0,"weight":0,"port":8080,"target":"lamp.local"}},{"name":"Lamp._hap._tcp.local","type":"TXT","ttl":4500,"data":["ci=5","md=LX-50","id=AA:BB:CC:00:11:22","sf=1"]},{"name":"lamp.local","type":"A","ttl":120,"data":"192.0.2.10"}]}
        "#);
    }

    #[test]
    fn who_answers_for_another_is_not_taken_for_it() {
        let text =
            converse_on(&PROTOCOL, to_group(), false, &[(Side::Client, &announcement([192, 0, 2, 99]))]);
        let facts: Vec<&str> = text.lines().filter(|line| line.starts_with("fact")).collect();
        assert_eq!(facts, [r#"fact 192.0.2.99 hostname = "lamp" (mdns.address-record, 75%)"#]);
    }

    #[test]
    fn apple_and_printer_records_name_make_and_model() {
        let mac = Builder::new(0, 0x8400)
            .record(1, "Desk._device-info._tcp.local", (kind::TXT, 1), 4500, b"\x0fmodel=Mac14,2\0\0")
            .record(
                1,
                "Brother HL._ipp._tcp.local",
                (kind::TXT, FLUSH),
                4500,
                b"\x0bty=HL-2350D\x0busb_MFG=BRO\x0dnote=2. Etage",
            )
            .build();
        let text = converse_on(&PROTOCOL, to_group(), false, &[(Side::Client, &mac)]);
        let facts: Vec<&str> = text.lines().filter(|line| line.starts_with("fact")).collect();
        assert_eq!(
            facts,
            [
                r#"fact 192.0.2.10 vendor = "Apple" (mdns.txt.model, 75%)"#,
                r#"fact 192.0.2.10 type = "computer" (mdns.txt.model, 75%)"#,
                r#"fact 192.0.2.10 role = "workstation" (mdns.txt.model, 75%)"#,
                r#"fact 192.0.2.10 model = "Mac14,2" (mdns.txt, 95%)"#,
                r#"fact 192.0.2.10 model = "HL-2350D" (mdns.txt, 95%)"#,
                r#"fact 192.0.2.10 vendor = "BRO" (mdns.txt, 95%)"#,
                r#"fact 192.0.2.10 location = "2. Etage" (mdns.txt, 95%)"#,
            ]
        );
    }

    #[test]
    fn goodbyes_and_questions_tell_nothing_about_hosts() {
        let goodbye =
            Builder::new(0, 0x8400).record(1, "lamp.local", (kind::A, FLUSH), 0, &[192, 0, 2, 10]).build();
        let question = Builder::new(0, 0).question("_googlecast._tcp.local", kind::PTR, FLUSH).build();
        let text =
            converse_on(&PROTOCOL, to_group(), false, &[(Side::Client, &goodbye), (Side::Client, &question)]);
        assert!(!text.contains("fact"), "{text}");
        assert!(
            text.contains(r#"{"name":"_googlecast._tcp.local","type":"PTR","unicast-response":true}"#),
            "{text}"
        );
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn damaged_announcements_are_survived(hits in hits()) {
            survives(&PROTOCOL, &damage(&[(Side::Client, announcement([192, 0, 2, 10]))], &hits));
        }
    }
}
