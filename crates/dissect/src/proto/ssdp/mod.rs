//! Simple Service Discovery Protocol (UPnP Device Architecture 2.0 clause 1): searches, announcements and
//! responses, in the form of HTTP but in datagrams.

mod tells;

use std::borrow::Cow;

use model::{Attribute, Confidence, OperationKind, Outcome, Side};
use serde::Serialize;

use super::show::{after, starts_with, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Verdict};

/// SSDP.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "ssdp",
    name: "Simple Service Discovery Protocol",
    spec: "UPnP Device Architecture 2.0",
    carriers: &[Carrier::Udp(&[1900])],
    probe,
    start: || Box::new(Ssdp),
};

/// Most header lines of one message that are read.
const MAX_HEADERS: usize = 64;

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.stream {
        return Verdict::No;
    }
    let starts = |prefix: &[u8]| opening.bytes.starts_with(prefix);
    if starts(b"M-SEARCH * HTTP/1.") || starts(b"NOTIFY * HTTP/1.") {
        return Verdict::Yes;
    }
    if starts(b"HTTP/1.1 200") {
        // CoAP has its own form and HTTP does not come in datagrams; ST is what a search was for.
        let known = Message::new(opening.bytes).is_some_and(|message| message.st.is_some());
        return if known { Verdict::Yes } else { Verdict::Maybe };
    }
    Verdict::No
}

/// A message: the header fields that UPnP defines (clauses 1.2.2, 1.3.2, 1.3.3).
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    #[serde(skip)]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    man: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mx: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nt: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nts: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    st: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usn: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    /// The name that a control point gives itself (UPnP 2.0, CPFN.UPNP.ORG).
    #[serde(skip_serializing_if = "Option::is_none")]
    control_point_name: Option<Cow<'a, str>>,
    /// Philips' bridges say who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    hue_bridgeid: Option<Cow<'a, str>>,
}

impl<'a> Message<'a> {
    /// `None` if the first line is none of SSDP's.
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let first = lines.next()?;
        let mut message = if first.starts_with(b"M-SEARCH ") {
            Self { kind: "search", ..Self::default() }
        } else if first.starts_with(b"NOTIFY ") {
            Self { kind: "notify", ..Self::default() }
        } else {
            let status = first.strip_prefix(b"HTTP/1.")?.get(2..5)?;
            let status = std::str::from_utf8(status).ok()?.parse().ok()?;
            Self { kind: "response", status: Some(status), ..Self::default() }
        };
        for line in lines.take(MAX_HEADERS) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let slot = match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"host" => &mut message.host,
                b"cache-control" => &mut message.cache_control,
                b"location" => &mut message.location,
                b"man" => &mut message.man,
                b"mx" => &mut message.mx,
                b"nt" => &mut message.nt,
                b"nts" => &mut message.nts,
                b"server" => &mut message.server,
                b"st" => &mut message.st,
                b"usn" => &mut message.usn,
                b"user-agent" => &mut message.user_agent,
                b"cpfn.upnp.org" => &mut message.control_point_name,
                b"hue-bridgeid" => &mut message.hue_bridgeid,
                _ => continue,
            };
            *slot = slot.take().or(Some(text(value)));
        }
        Some(message)
    }
}

/// Reads messages; each stands for itself, and a response belongs to a search of another conversation.
struct Ssdp;

impl Parser for Ssdp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let Some(message) = Message::new(input.bytes) else {
            out.anomaly(from, "start-line", format_args!("{}", text(first_line(input.bytes))));
            return Progress::Took(input.bytes.len());
        };
        if message.kind == "search" {
            let target = message.st.as_deref().map(Box::from);
            out.operation(from, OperationKind::Discover, "m-search", target, None, Outcome::Asked);
            for agent in [&message.user_agent, &message.server].into_iter().flatten() {
                product_facts(agent, from, "ssdp.user-agent", out);
            }
            if let Some(name) = &message.control_point_name {
                out.fact(from, Attribute::Label, name, "ssdp.control-point-name", Confidence::STRONG);
            }
        } else if message.nts.as_deref() != Some("ssdp:byebye") {
            device_facts(&message, from, out);
        }
        out.message(from, message.kind, &message);
        Progress::Took(input.bytes.len())
    }
}

/// Characters of a line that an anomaly shows.
const SHOWN: usize = 64;

fn first_line(bytes: &[u8]) -> &[u8] {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.get(..SHOWN).unwrap_or(line)
}

/// What an announcement or response says about its sender.
fn device_facts(message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
    if let Some(server) = &message.server {
        product_facts(server, from, "ssdp.server", out);
    }
    // USN: uuid:device-UUID::what (clause 1.2.2, table 1-1).
    if let Some(usn) = message.usn.as_deref().filter(|usn| starts_with(usn, "uuid:")) {
        let uuid = usn.split("::").next().unwrap_or_default();
        out.fact(from, Attribute::Identifier, uuid, "ssdp.usn", Confidence::STRONG);
    }
    if let Some(id) = &message.hue_bridgeid {
        out.fact(from, Attribute::Identifier, id, "ssdp.hue-bridgeid", Confidence::CERTAIN);
        out.fact(from, Attribute::Vendor, "Philips Hue", "ssdp.hue-bridgeid", Confidence::STRONG);
        out.fact(from, Attribute::Type, "lighting bridge", "ssdp.hue-bridgeid", Confidence::STRONG);
        out.role(from, model::Role::Hub, "ssdp.hue-bridgeid", Confidence::STRONG);
    }
    if let Some(target) = message.nt.as_deref().or(message.st.as_deref()) {
        let source = if message.kind == "notify" { "ssdp.nt" } else { "ssdp.st" };
        for told in tells::of_target(target) {
            if let Some(device) = told.device {
                out.fact(from, Attribute::Type, device, source, Confidence::STRONG);
            }
            if let Some(vendor) = told.vendor {
                out.fact(from, Attribute::Vendor, vendor, source, Confidence::STRONG);
            }
            if let Some(role) = told.role {
                out.role(from, role, source, Confidence::STRONG);
            }
        }
    }
}

/// Products as they stand in SERVER and USER-AGENT: `OS/version UPnP/1.1 product/version` (clause 1.2.2),
/// with commas or without.
fn product_facts(value: &str, from: Side, source: &'static str, out: &mut Emit<'_>) {
    let mut rest = value.trim();
    if let Some(system) = tells::operating_system(value) {
        out.fact(from, Attribute::OperatingSystem, system, source, Confidence::STRONG);
    }
    // What stands after the version of UPnP is the product; without it, the whole is one.
    if let Some(at) = rest.find("UPnP/") {
        let tail = &rest[at + "UPnP/".len()..];
        rest = tail.find([' ', ',']).map_or("", |space| &tail[space..]);
    } else if let Some(tail) = after(rest, "Google Chrome/") {
        // Chrome looks for televisions: "Google Chrome/96.0.4664.110 Windows".
        let version = tail.split(' ').next().unwrap_or_default();
        let product = format!("Google Chrome {version}");
        out.fact(from, Attribute::Software, product, source, Confidence::STRONG);
        return;
    }
    let product = rest.trim_matches([' ', ',', ';']);
    if tells::is_product(product) {
        out.fact(from, Attribute::Software, product.replacen('/', " ", 1), source, Confidence::LIKELY);
    }
    for (word, vendor) in tells::PRODUCT_VENDORS {
        if starts_with(product, word) {
            out.fact(from, Attribute::Vendor, vendor, source, Confidence::LIKELY);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, opening, survives};

    const SEARCH: &[u8] = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
        ST: urn:dial-multiscreen-org:service:dial:1\r\nUSER-AGENT: Google Chrome/96.0.4664.110 Windows\r\n\r\n";

    const NOTIFY: &[u8] = b"NOTIFY * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\nCache-Control: max-age=1800\r\n\
        Location: http://192.0.2.20:49152/gate.xml\r\nNT: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
        NTS: ssdp:alive\r\nServer: Linux/5.10.1 UPnP/1.0 MiniUPnPd/2.2.1\r\n\
        USN: uuid:9f0b1c2d-0000-1000-8000-001b1b4f0001::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";

    #[test]
    fn searches_and_announcements_describe_who_sends_them() {
        let text = converse(&PROTOCOL, &[(Side::Client, SEARCH), (Side::Server, NOTIFY)]);
        insta::assert_snapshot!(text, @r#"
        operation client Discover m-search urn:dial-multiscreen-org:service:dial:1 - Asked
        fact 192.0.2.10 operating-system = "Windows" (ssdp.user-agent, 75%)
        fact 192.0.2.10 software = "Google Chrome 96.0.4664.110" (ssdp.user-agent, 75%)
        client search {"host":"239.255.255.250:1900","man":"\"ssdp:discover\"","mx":"1","st":"urn:dial-multiscreen-org:service:dial:1","user-agent":"Google Chrome/96.0.4664.110 Windows"}
        fact 192.0.2.20 operating-system = "Linux 5.10.1" (ssdp.server, 75%)
        fact 192.0.2.20 software = "MiniUPnPd 2.2.1" (ssdp.server, 50%)
        fact 192.0.2.20 identifier = "uuid:9f0b1c2d-0000-1000-8000-001b1b4f0001" (ssdp.usn, 75%)
        fact 192.0.2.20 type = "router" (ssdp.nt, 75%)
        fact 192.0.2.20 role = "router" (ssdp.nt, 75%)
        server notify {"host":"239.255.255.250:1900","cache-control":"max-age=1800","location":"http://192.0.2.20:49152/gate.xml","nt":"urn:schemas-upnp-org:device:InternetGatewayDevice:1","nts":"ssdp:alive","server":"Linux/5.10.1 UPnP/1.0 MiniUPnPd/2.2.1","usn":"uuid:9f0b1c2d-0000-1000-8000-001b1b4f0001::urn:schemas-upnp-org:device:InternetGatewayDevice:1"}
        "#);
    }

    #[test]
    fn a_goodbye_tells_nothing_about_the_device() {
        let goodbye = b"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nNTS: ssdp:byebye\r\nUSN: uuid:1::upnp:rootdevice\r\n\r\n";
        assert!(!converse(&PROTOCOL, &[(Side::Client, goodbye)]).contains("fact"));
    }

    #[test]
    fn responses_need_more_than_the_start_line_to_be_known() {
        let ask = |bytes| probe(&opening(bytes, 50_001, false));
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\nST: ssdp:all\r\n\r\n"), Verdict::Yes);
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\n\r\n"), Verdict::Maybe);
        assert_eq!(ask(b"GET / HTTP/1.1\r\n\r\n"), Verdict::No);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            start in prop::sample::select(vec!["", "NOTIFY * HTTP/1.1\r\nSERVER:", "HTTP/1.1 200 OK\r\nUSN:uuid:"]),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            survives(&PROTOCOL, &[(Side::Client, [start.as_bytes(), &bytes].concat())]);
        }
    }
}
