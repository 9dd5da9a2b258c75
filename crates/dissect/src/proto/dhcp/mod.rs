//! Dynamic Host Configuration Protocol (RFC 2131, RFC 2132) and BOOTP (RFC 951) before it.
//!
//! What a client says about itself is told about the client hardware address within the message: behind a
//! relay the frame's address is the relay's.

mod options;
pub(super) mod vendor_class;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use model::{
    Attribute, BindingSource, Confidence, Host, MacAddr, OperationKind, Outcome, Record, Role, Side, Value,
};
use serde::Serialize;

use super::show::{Hex, text};
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict, hostname};
use options::{Fault, Options, code};

/// DHCP for IPv4.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "dhcp",
    name: "Dynamic Host Configuration Protocol",
    spec: "RFC 2131, RFC 2132, RFC 3046, RFC 4702, RFC 8520",
    carriers: &[Carrier::Udp(&[67, 68])],
    probe,
    start: || Box::new(Dhcp),
};

/// Where the options begin: after the fixed fields (RFC 2131 clause 2, figure 1).
const FIXED: usize = 236;

/// The first four bytes of the options (RFC 2131 clause 3).
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];

/// The port that servers and relays listen on (RFC 2131 clause 4.1).
const SERVER_PORT: u16 = 67;

/// Hardware type of Ethernet and what is like it (RFC 1700, "hardware type").
const ETHERNET: u8 = 1;

fn probe(opening: &Opening<'_>) -> Verdict {
    let Some((head, rest)) = opening.bytes.split_at_checked(FIXED).filter(|_| !opening.stream) else {
        return Verdict::No;
    };
    match head {
        [1 | 2, _, 0..=16, _, ..] if rest.starts_with(&MAGIC_COOKIE) => Verdict::Yes,
        // BOOTP has 64 bytes of vendor area of any form (RFC 951 clause 3).
        [1 | 2, 1, 6, 0..=16, ..] if rest.len() >= 64 => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// A message: the fixed fields, then the options that were given.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    op: &'static str,
    htype: u8,
    hops: u8,
    xid: u32,
    secs: u16,
    broadcast: bool,
    #[serde(skip_serializing_if = "Ipv4Addr::is_unspecified")]
    ciaddr: Ipv4Addr,
    #[serde(skip_serializing_if = "Ipv4Addr::is_unspecified")]
    yiaddr: Ipv4Addr,
    #[serde(skip_serializing_if = "Ipv4Addr::is_unspecified")]
    siaddr: Ipv4Addr,
    #[serde(skip_serializing_if = "Ipv4Addr::is_unspecified")]
    giaddr: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    chaddr: Option<MacAddr>,
    #[serde(skip_serializing_if = "str::is_empty")]
    sname: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: Cow<'a, str>,
    #[serde(flatten)]
    options: options::Shown<'a>,
}

/// The fields of fixed length.
struct Fixed<'a> {
    op: u8,
    htype: u8,
    hlen: u8,
    hops: u8,
    xid: u32,
    secs: u16,
    flags: u16,
    ciaddr: Ipv4Addr,
    yiaddr: Ipv4Addr,
    siaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    chaddr: [u8; 16],
    sname: &'a [u8],
    file: &'a [u8],
}

impl<'a> Fixed<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Short> {
        Ok(Self {
            op: reader.u8()?,
            htype: reader.u8()?,
            hlen: reader.u8()?,
            hops: reader.u8()?,
            xid: reader.be32()?,
            secs: reader.be16()?,
            flags: reader.be16()?,
            ciaddr: reader.be32()?.into(),
            yiaddr: reader.be32()?.into(),
            siaddr: reader.be32()?.into(),
            giaddr: reader.be32()?.into(),
            chaddr: reader.array()?,
            sname: reader.take(64)?,
            file: reader.take(128)?,
        })
    }

    /// The client's link-layer address, where it is one of Ethernet's form.
    fn client(&self) -> Option<MacAddr> {
        let [a, b, c, d, e, f, ..] = self.chaddr;
        let mac = MacAddr([a, b, c, d, e, f]);
        (self.htype == ETHERNET && self.hlen == 6 && mac.is_station()).then_some(mac)
    }
}

/// The kind of message: option 53 (RFC 2132 clause 9.6 and later), or BOOTP's two.
fn kind(message_type: Option<u8>, op: u8) -> &'static str {
    match message_type {
        Some(1) => "discover",
        Some(2) => "offer",
        Some(3) => "request",
        Some(4) => "decline",
        Some(5) => "ack",
        Some(6) => "nak",
        Some(7) => "release",
        Some(8) => "inform",
        Some(9) => "force-renew",
        Some(10) => "lease-query",
        Some(11) => "lease-unassigned",
        Some(12) => "lease-unknown",
        Some(13) => "lease-active",
        Some(_) => "unknown",
        None if op == 1 => "boot-request",
        None => "boot-reply",
    }
}

/// Reads messages; each stands for itself, the transaction identifier tells which belong together.
struct Dhcp;

impl Parser for Dhcp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        let from = input.from;
        let mut reader = Reader::new(input.bytes);
        let Ok(fixed) = Fixed::read(&mut reader) else {
            if input.cut == 0 {
                out.anomaly(from, "message-truncated", format_args!("{} bytes", input.bytes.len()));
            }
            return taken;
        };
        let area = reader.rest().strip_prefix(&MAGIC_COOKIE).unwrap_or_default();
        let (options, fault) = Options::read(area, fixed.file, fixed.sname);
        if let Some(fault) = fault.filter(|fault| input.cut == 0 || *fault != Fault::Truncated) {
            out.anomaly(from, fault.reason(), format_args!("transaction {:#010x}", fixed.xid));
        }
        let message_type = options.byte(code::MESSAGE_TYPE);
        let kind = kind(message_type, fixed.op);
        if fixed.op == 1 {
            if let Some(client) = fixed.client() {
                check_sender(&fixed, client, from, out);
                client_facts(client, kind, &fixed, &options, out);
            }
        } else {
            server_facts(kind, &fixed, &options, from, out);
        }
        if out.wants_messages() {
            let overload = options.byte(code::OVERLOAD).unwrap_or(0);
            let message = Message {
                op: if fixed.op == 1 { "boot-request" } else { "boot-reply" },
                htype: fixed.htype,
                hops: fixed.hops,
                xid: fixed.xid,
                secs: fixed.secs,
                broadcast: fixed.flags & 0x8000 != 0,
                ciaddr: fixed.ciaddr,
                yiaddr: fixed.yiaddr,
                siaddr: fixed.siaddr,
                giaddr: fixed.giaddr,
                chaddr: fixed.client(),
                sname: if overload & 2 == 0 { padded(fixed.sname) } else { Cow::Borrowed("") },
                file: if overload & 1 == 0 { padded(fixed.file) } else { Cow::Borrowed("") },
                options: options::Shown::new(&options),
            };
            out.message(from, kind, &message);
        }
        taken
    }
}

/// Text that ends at the first zero byte.
fn padded(field: &[u8]) -> Cow<'_, str> {
    text(field.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// A client without an address speaks for itself on its own link: its frame and its message must agree
/// (RFC 2131 clause 4.1). Whoever empties a server's pool makes up clients and often forgets the frame.
fn check_sender(fixed: &Fixed<'_>, client: MacAddr, from: Side, out: &mut Emit<'_>) {
    let Host { mac: Some(mac), ip: Some(IpAddr::V4(ip)) } = out.host(from) else { return };
    if ip.is_unspecified() && fixed.giaddr.is_unspecified() && fixed.hops == 0 && mac != client {
        out.anomaly(from, "client-address-mismatch", format_args!("frame of {mac} speaks for {client}"));
    }
}

fn client_facts(client: MacAddr, kind: &str, fixed: &Fixed<'_>, options: &Options<'_>, out: &mut Emit<'_>) {
    let about = Host::from_mac(client);
    // Renewing and informing clients tell the address that they have (RFC 2131 clause 4.3.2).
    if !fixed.ciaddr.is_unspecified() && matches!(kind, "request" | "inform") {
        out.binding(client, fixed.ciaddr.into(), BindingSource::Dhcp);
    }
    if let Some(name) = options.text(code::HOST_NAME) {
        hostname::tell(about, &name, "dhcp.host-name", Confidence::STRONG, out);
    }
    if let Some(name) = options.get(code::CLIENT_FQDN).and_then(options::fqdn) {
        hostname::tell(about, &name, "dhcp.client-fqdn", Confidence::STRONG, out);
    }
    // The order in which options are asked for is a habit of the DHCP client's code.
    if let Some(list) = options.get(code::PARAMETER_LIST) {
        let fingerprint = options::list(list);
        out.fact_about(
            about,
            Attribute::Fingerprint,
            &fingerprint,
            "dhcp.parameter-request-list",
            Confidence::LIKELY,
        );
        for (attribute, value) in vendor_class::by_fingerprint(&fingerprint) {
            let source = "dhcp.parameter-request-list";
            out.fact_about(about, *attribute, value, source, Confidence::percent(40));
        }
    }
    if let Some(class) = options.text(code::VENDOR_CLASS) {
        vendor_class::tell(about, &class, "dhcp.vendor-class", out);
    }
    if let Some(url) = options.text(code::MUD_URL) {
        out.fact_about(about, Attribute::MudUrl, url, "dhcp.mud-url", Confidence::STRONG);
    }
    // RFC 4578 clause 2.3: type 0, then a UUID as the firmware keeps it.
    if let Some([0, uuid @ ..]) = options.get(code::CLIENT_UUID)
        && uuid.len() == 16
    {
        let value = format!("uuid:{}", Hex(uuid));
        out.fact_about(about, Attribute::Identifier, value, "dhcp.client-uuid", Confidence::STRONG);
    }
    // RFC 3925: the vendor by its enterprise number.
    for option in [code::VENDOR_IDENTIFYING_CLASS, code::VENDOR_IDENTIFYING_INFORMATION] {
        let number = options.get(option).and_then(|value| Reader::new(value).be32().ok());
        if let Some(vendor) = number.and_then(super::enterprise::vendor) {
            out.fact_about(about, Attribute::Vendor, vendor, "dhcp.enterprise", Confidence::LIKELY);
        }
    }
}

fn server_facts(kind: &str, fixed: &Fixed<'_>, options: &Options<'_>, from: Side, out: &mut Emit<'_>) {
    let kind = match kind {
        "offer" => "offer",
        "ack" => "ack",
        _ => return,
    };
    // A relay passes the server's message on to the client; the server's identifier tells whose it is
    // (RFC 2131 clause 4.1, RFC 5107 where the relay stands in for it).
    let relayed = !fixed.giaddr.is_unspecified() && out.flow().endpoint(from.other()).port != SERVER_PORT;
    let server = options.address(code::SERVER_IDENTIFIER);
    let about = match server {
        Some(server) if relayed => Host::from_ip(server.into()),
        _ => out.host(from),
    };
    out.fact_about(
        about,
        Attribute::Role,
        Role::DhcpServer.name(),
        "dhcp.server-identifier",
        Confidence::CERTAIN,
    );
    if !relayed {
        lease(kind, fixed, options, from, out);
    }
    if kind != "ack" {
        return;
    }
    if let Some(client) = fixed.client() {
        // Clients that only inform themselves keep the address they have (RFC 2131 clause 4.3.5).
        for address in [fixed.yiaddr, fixed.ciaddr] {
            out.binding(client, address.into(), BindingSource::Dhcp);
            if !address.is_unspecified() {
                break;
            }
        }
    }
    if let Some(router) = options.address(code::ROUTERS) {
        out.fact_about(
            Host::from_ip(router.into()),
            Attribute::Role,
            Role::Router.name(),
            "dhcp.routers",
            Confidence::STRONG,
        );
    }
}

/// What a server makes of a client: which address, router and resolver it gets.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Lease {
    xid: u32,
    address: Ipv4Addr,
    server: Option<Ipv4Addr>,
    router: Option<Ipv4Addr>,
    resolver: Option<Ipv4Addr>,
}

/// Tells a lease as an operation of the server, so that the answers of several servers can be compared.
fn lease(kind: &'static str, fixed: &Fixed<'_>, options: &Options<'_>, from: Side, out: &mut Emit<'_>) {
    let Some(client) = fixed.client() else { return };
    let lease = Lease {
        xid: fixed.xid,
        address: if fixed.yiaddr.is_unspecified() { fixed.ciaddr } else { fixed.yiaddr },
        server: options.address(code::SERVER_IDENTIFIER),
        router: options.address(code::ROUTERS),
        resolver: options.address(code::DNS_SERVERS),
    };
    let value = Record::from(&lease).ok().map(Value::Record);
    let target = Some(client.to_string().into());
    out.operation(from, OperationKind::Publish, kind, target, value, Outcome::Done);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, survives};

    /// A message from 02:00:00:00:00:0a (or to it) with the given addresses and options.
    fn message(op: u8, ciaddr: [u8; 4], yiaddr: [u8; 4], giaddr: [u8; 4], options: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![op, 1, 6, 0, 0x39, 3, 0xf3, 0x26, 0, 0, 0x80, 0];
        for address in [ciaddr, yiaddr, [0; 4], giaddr] {
            bytes.extend(address);
        }
        bytes.extend([2, 0, 0, 0, 0, 0x0a]);
        bytes.resize(FIXED, 0);
        bytes.extend(MAGIC_COOKIE);
        bytes.extend(options.concat());
        bytes.push(255);
        bytes
    }

    /// A discover of a camera with an embedded Linux.
    fn discover() -> Vec<u8> {
        message(
            1,
            [0; 4],
            [0; 4],
            [0; 4],
            &[
                b"\x35\x01\x01",
                b"\x3d\x07\x01\x02\0\0\0\0\x0a",
                b"\x0c\x08DCS-935L",
                b"\x3c\x0cudhcp 1.22.1",
                b"\x37\x07\x01\x03\x06\x0c\x0f\x1c\x2a",
                b"\x51\x0c\x04\0\0\x03cam\x04home",
                b"\xa1\x16https://mud.example/c1",
            ],
        )
    }

    fn ack(giaddr: [u8; 4]) -> Vec<u8> {
        message(
            2,
            [0; 4],
            [192, 0, 2, 77],
            giaddr,
            &[
                b"\x35\x01\x05",
                b"\x36\x04\xc0\x00\x02\x14",
                b"\x33\x04\0\0\x0e\x10",
                b"\x01\x04\xff\xff\xff\0",
                b"\x03\x04\xc0\x00\x02\x01",
                b"\x06\x08\xc0\x00\x02\x02\xc0\x00\x02\x03",
                b"\x52\x0e\x01\x04Gi/3\x02\x06\x02\0\0\0\0\x63",
            ],
        )
    }

    #[test]
    fn a_client_describes_itself_and_gets_an_address() {
        let text = converse(&PROTOCOL, &[(Side::Client, &discover()), (Side::Server, &ack([0; 4]))]);
        insta::assert_snapshot!(text, @r#"
        fact 02:00:00:00:00:0a hostname = "DCS-935L" (dhcp.host-name, 75%)
        fact 02:00:00:00:00:0a model = "DCS-935L" (dhcp.host-name, 45%)
        fact 02:00:00:00:00:0a vendor = "D-Link" (dhcp.host-name, 45%)
        fact 02:00:00:00:00:0a type = "ip camera" (dhcp.host-name, 45%)
        fact 02:00:00:00:00:0a role = "camera" (dhcp.host-name, 45%)
        fact 02:00:00:00:00:0a hostname = "cam.home" (dhcp.client-fqdn, 75%)
        fact 02:00:00:00:00:0a fingerprint = "1,3,6,12,15,28,42" (dhcp.parameter-request-list, 50%)
        fact 02:00:00:00:00:0a operating-system = "Linux (embedded)" (dhcp.parameter-request-list, 40%)
        fact 02:00:00:00:00:0a software = "BusyBox udhcpc 1.22.1" (dhcp.vendor-class, 75%)
        fact 02:00:00:00:00:0a operating-system = "Linux (embedded)" (dhcp.vendor-class, 65%)
        fact 02:00:00:00:00:0a mud-url = "https://mud.example/c1" (dhcp.mud-url, 75%)
        client discover {"op":"boot-request","htype":1,"hops":0,"xid":956560166,"secs":0,"broadcast":true,"chaddr":"02:00:00:00:00:0a","host-name":"DCS-935L","client-fqdn":"cam.home","parameter-request-list":"1,3,6,12,15,28,42","vendor-class":"udhcp 1.22.1","client-identifier":"02:00:00:00:00:0a","mud-url":"https://mud.example/c1","options":"53,61,12,60,55,81,161"}
        fact 192.0.2.20 role = "dhcp-server" (dhcp.server-identifier, 95%)
        operation server Publish ack 02:00:00:00:00:0a {"xid":956560166,"address":"192.0.2.77","server":"192.0.2.20","router":"192.0.2.1","resolver":"192.0.2.2"} Done
        binding 192.0.2.77 is at 02:00:00:00:00:0a
        fact 192.0.2.1 role = "router" (dhcp.routers, 75%)
        server ack {"op":"boot-reply","htype":1,"hops":0,"xid":956560166,"secs":0,"broadcast":true,"yiaddr":"192.0.2.77","chaddr":"02:00:00:00:00:0a","subnet-mask":"255.255.255.0","routers":["192.0.2.1"],"dns-servers":["192.0.2.2","192.0.2.3"],"lease-time":3600,"server-identifier":"192.0.2.20","relay":{"circuit-id":"Gi/3","remote-id":"020000000063"},"options":"53,54,51,1,3,6,82"}
        "#);
    }

    #[test]
    fn facts_are_about_the_client_and_not_about_its_relay() {
        // A relay passes the server's answer on to the client: the server is named within.
        let mut relayed = ack([192, 0, 2, 20]);
        let server = relayed.windows(6).position(|window| window == b"\x36\x04\xc0\x00\x02\x14").unwrap();
        relayed[server + 5] = 99;
        let text = converse(&PROTOCOL, &[(Side::Server, &relayed)]);
        assert!(text.contains("fact 192.0.2.99 role = \"dhcp-server\""), "{text}");
        assert!(text.contains("binding 192.0.2.77 is at 02:00:00:00:00:0a"), "{text}");
        assert!(text.contains(r#""relay":{"circuit-id":"Gi/3","remote-id":"020000000063"}"#), "{text}");
    }

    #[test]
    fn a_renewing_client_tells_its_address_and_a_leaving_one_does_not() {
        let renew = message(1, [192, 0, 2, 10], [0; 4], [0; 4], &[b"\x35\x01\x03"]);
        let release = message(1, [192, 0, 2, 11], [0; 4], [0; 4], &[b"\x35\x01\x07"]);
        let text = converse(&PROTOCOL, &[(Side::Client, &renew), (Side::Client, &release)]);
        let bound: Vec<&str> = text.lines().filter(|line| line.starts_with("binding")).collect();
        assert_eq!(bound, ["binding 192.0.2.10 is at 02:00:00:00:00:0a"]);
    }

    #[test]
    fn a_frame_that_speaks_for_another_station_is_told() {
        let mut head = crate::testing::head(model::Transport::Udp, 67);
        head.client.host.ip = Some(Ipv4Addr::UNSPECIFIED.into());
        let mut bytes = discover();
        bytes[33] = 0x77;
        let text = crate::testing::converse_on(&PROTOCOL, head, false, &[(Side::Client, &bytes)]);
        assert!(
            text.contains("anomaly client client-address-mismatch: frame of 02:00:00:00:00:0a"),
            "{text}"
        );
        let text = crate::testing::converse_on(&PROTOCOL, head, false, &[(Side::Client, &discover())]);
        assert!(!text.contains("anomaly"), "{text}");
    }

    #[test]
    fn options_continue_in_other_fields_and_in_parts() {
        // Option 52 with 1: the file field holds options; the host name comes in two parts (RFC 3396).
        let mut bytes =
            message(1, [0; 4], [0; 4], [0; 4], &[b"\x35\x01\x01", b"\x34\x01\x01", b"\x0c\x03abc"]);
        bytes[108..113].copy_from_slice(b"\x0c\x02de\xff");
        let text = converse(&PROTOCOL, &[(Side::Client, &bytes)]);
        assert!(text.contains(r#""host-name":"abcde""#), "{text}");
        assert!(!text.contains(r#""file""#), "{text}");
    }

    #[test]
    fn damage_is_told_and_what_is_whole_is_kept() {
        let mut bytes =
            message(1, [0; 4], [0; 4], [0; 4], &[b"\x35\x01\x01", b"\x0c\x04host", b"\x3c\xc8short"]);
        bytes.pop();
        let text = converse(&PROTOCOL, &[(Side::Client, &bytes)]);
        assert!(text.contains("anomaly client option-length: transaction 0x3903f326"), "{text}");
        assert!(text.contains(r#"hostname = "host""#), "{text}");
    }

    #[test]
    fn vendor_classes_tell_system_software_make_and_model() {
        let facts = |class: &str| {
            let option = [&[60, u8::try_from(class.len()).unwrap()][..], class.as_bytes()].concat();
            let bytes = message(1, [0; 4], [0; 4], [0; 4], &[b"\x35\x01\x01", &option]);
            let text = converse(&PROTOCOL, &[(Side::Client, &bytes)]);
            let facts = text.lines().filter_map(|line| line.strip_prefix("fact 02:00:00:00:00:0a "));
            facts.map(|fact| fact.split(" (dhcp").next().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
        };
        for (class, expected) in [
            ("MSFT 5.0", r#"operating-system = "Windows""#),
            ("android-dhcp-13", r#"operating-system = "Android 13"; role = "mobile""#),
            (
                "dhcpcd-6.8.2:Linux-4.9.31:armv7l:BCM2835",
                r#"software = "dhcpcd 6.8.2"; operating-system = "Linux 4.9.31"; hardware = "BCM2835""#,
            ),
            ("udhcpc1.21.1", r#"software = "BusyBox udhcpc 1.21.1"; operating-system = "Linux (embedded)""#),
            (
                "AXIS,Network Camera,M3044-V,8.20.1",
                r#"vendor = "Axis"; type = "Network Camera"; role = "camera"; model = "M3044-V"; firmware = "8.20.1""#,
            ),
            (
                "Mfg=Xerox;Typ=Printer;Mod=C405;Ser=X1;",
                r#"vendor = "Xerox"; type = "Printer"; role = "printer"; model = "C405"; serial = "X1""#,
            ),
            (
                "Cisco Systems, Inc. IP Phone CP-8841",
                r#"vendor = "Cisco"; type = "telephone"; role = "phone"; model = "CP-8841""#,
            ),
            ("TL-SG116E", r#"vendor = "TP-Link"; type = "switch"; role = "switch"; model = "TL-SG116E""#),
            ("something else", ""),
        ] {
            assert_eq!(facts(class), expected, "{class}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            survives(&PROTOCOL, &[(Side::Client, bytes)]);
        }

        #[test]
        fn any_options_are_survived(op in 1_u8..3, options in prop::collection::vec(any::<u8>(), 0..400)) {
            let bytes = message(op, [0; 4], [0; 4], [0; 4], &[b"\x35\x01\x05", &options]);
            survives(&PROTOCOL, &[(Side::Client, bytes)]);
        }
    }
}
