//! Dynamic Host Configuration Protocol (RFC 2131, RFC 2132) and BOOTP (RFC 951) before it.
//!
//! What a client says about itself is told about the client hardware address within the message: behind a
//! relay the frame's address is the relay's.

mod options;
pub(super) mod vendor_class;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use model::{Attribute, BindingSource, Confidence, Host, MacAddr, Role, Side};
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

fn client_facts(
    client: MacAddr,
    kind: &str,
    fixed: &Fixed<'_>,
    options: &Options<'_>,
    out: &mut Emit<'_>,
) {
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
    // The order in which options are asked for is a habit of the DHCP client's code. What a client asks
    // for in a release or decline is nothing.
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
    if !matches!(kind, "offer" | "ack") {
        return;
    }
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
