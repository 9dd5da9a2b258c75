//! Dynamic Host Configuration Protocol for IPv6 (RFC 8415).
//!
//! Relays wrap a client's message, perhaps several times; what is inside is told with the relays'
//! addresses around it.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use model::{Attribute, BindingSource, Confidence, Host, MacAddr, Role, Side};
use serde::Serialize;

use super::dhcp::vendor_class;
use super::dns::wire::partial_name;
use super::show::{Hex, text};
use super::{
    Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict, enterprise, hostname,
};

/// DHCPv6.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "dhcpv6",
    name: "Dynamic Host Configuration Protocol for IPv6",
    spec: "RFC 8415, RFC 4704, RFC 8520",
    carriers: &[Carrier::Udp(&[547, 546])],
    probe,
    start: || Box::new(Dhcpv6),
};

/// Deepest nesting of relays that is followed (RFC 8415 clause 7.6, HOP_COUNT_LIMIT).
const MAX_RELAYS: usize = 8;

/// Most options of one message that are read.
const MAX_OPTIONS: usize = 64;

/// Most addresses of one message that are told.
const MAX_ADDRESSES: usize = 16;

/// Codes of the options that are read here (IANA's registry).
mod code {
    pub(super) const CLIENT_ID: u16 = 1;
    pub(super) const SERVER_ID: u16 = 2;
    pub(super) const IA_NA: u16 = 3;
    pub(super) const IA_TA: u16 = 4;
    pub(super) const IA_ADDRESS: u16 = 5;
    pub(super) const OPTION_REQUEST: u16 = 6;
    pub(super) const RELAY_MESSAGE: u16 = 9;
    pub(super) const STATUS: u16 = 13;
    pub(super) const USER_CLASS: u16 = 15;
    pub(super) const VENDOR_CLASS: u16 = 16;
    pub(super) const INTERFACE_ID: u16 = 18;
    pub(super) const DNS_SERVERS: u16 = 23;
    pub(super) const IA_PD: u16 = 25;
    pub(super) const IA_PREFIX: u16 = 26;
    pub(super) const CLIENT_FQDN: u16 = 39;
    pub(super) const CLIENT_LINK_LAYER: u16 = 79;
    pub(super) const MUD_URL: u16 = 112;
}

/// The names of the messages (RFC 8415 clause 7.3).
const fn kind_name(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "solicit",
        2 => "advertise",
        3 => "request",
        4 => "confirm",
        5 => "renew",
        6 => "rebind",
        7 => "reply",
        8 => "release",
        9 => "decline",
        10 => "reconfigure",
        11 => "information-request",
        12 => "relay-forward",
        13 => "relay-reply",
        _ => return None,
    })
}

fn probe(opening: &Opening<'_>) -> Verdict {
    if opening.stream {
        return Verdict::No;
    }
    match Message::read(opening.bytes) {
        Ok((message, _)) if message.duid().is_some_and(|duid| duid_kind(duid).is_some()) => Verdict::Yes,
        Ok(_) => Verdict::Maybe,
        Err(_) => Verdict::No,
    }
}

/// Walks options: code, length, value (RFC 8415 clause 21.1).
struct Options<'a>(Reader<'a>, usize);

impl<'a> Options<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes), 0)
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, &'a [u8]), Short>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() || self.1 == MAX_OPTIONS {
            return None;
        }
        self.1 += 1;
        let mut one = || {
            let (code, length) = (self.0.be16()?, self.0.be16()?);
            Ok((code, self.0.take(length.into())?))
        };
        let option = one();
        if option.is_err() {
            self.1 = MAX_OPTIONS;
        }
        Some(option)
    }
}

/// A message between client and server, taken out of its relays.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message<'a> {
    #[serde(skip)]
    kind: &'static str,
    transaction_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<Hex<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_id: Option<Hex<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Ipv6Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns_servers: Vec<Ipv6Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    option_request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_fqdn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enterprise: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_class: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_class: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mud_url: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relays: Vec<Relay<'a>>,
}

/// What one relay adds (RFC 8415 clause 9).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Relay<'a> {
    hop_count: u8,
    link_address: Ipv6Addr,
    peer_address: Ipv6Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface_id: Option<Hex<'a>>,
    /// The client's link-layer address, as the first relay saw it (RFC 6939).
    #[serde(skip_serializing_if = "Option::is_none")]
    client_link_layer: Option<MacAddr>,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Truncated,
    Kind,
    Relays,
    NoMessage,
}

impl Fault {
    const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "option-length",
            Self::Kind => "message-type",
            Self::Relays => "too-many-relays",
            Self::NoMessage => "relay-without-message",
        }
    }
}

impl From<Short> for Fault {
    fn from(_: Short) -> Self {
        Self::Truncated
    }
}

impl<'a> Message<'a> {
    /// Reads a message and whether its options end where it does.
    fn read(mut bytes: &'a [u8]) -> Result<(Self, Option<Fault>), Fault> {
        let mut relays = Vec::new();
        loop {
            let mut reader = Reader::new(bytes);
            let code = reader.u8()?;
            let kind = kind_name(code).ok_or(Fault::Kind)?;
            if !matches!(code, 12 | 13) {
                let transaction_id = reader.be24()?;
                let mut message = Self::empty(kind, transaction_id, relays);
                let fault = message.options(reader.rest()).err().map(Fault::from);
                return Ok((message, fault));
            }
            if relays.len() == MAX_RELAYS {
                return Err(Fault::Relays);
            }
            let hop_count = reader.u8()?;
            let (link, peer) = (reader.array::<16>()?, reader.array::<16>()?);
            let mut relay = Relay {
                hop_count,
                link_address: link.into(),
                peer_address: peer.into(),
                interface_id: None,
                client_link_layer: None,
            };
            let mut inner = None;
            for option in Options::new(reader.rest()) {
                match option? {
                    (code::RELAY_MESSAGE, message) => inner = Some(message),
                    (code::INTERFACE_ID, id) => relay.interface_id = Some(Hex(id)),
                    // A hardware type of two bytes, then the address.
                    (code::CLIENT_LINK_LAYER, [0, 1, mac @ ..]) => {
                        relay.client_link_layer = mac.try_into().ok().map(MacAddr);
                    }
                    _ => {}
                }
            }
            relays.push(relay);
            bytes = inner.ok_or(Fault::NoMessage)?;
        }
    }

    /// The client's unique identifier.
    fn duid(&self) -> Option<&'a [u8]> {
        self.client_id.as_ref().map(|id| id.0)
    }

    const fn empty(kind: &'static str, transaction_id: u32, relays: Vec<Relay<'a>>) -> Self {
        Self {
            kind,
            transaction_id,
            client_id: None,
            server_id: None,
            addresses: Vec::new(),
            prefixes: Vec::new(),
            dns_servers: Vec::new(),
            option_request: None,
            client_fqdn: None,
            enterprise: None,
            vendor_class: None,
            user_class: None,
            mud_url: None,
            status: None,
            relays,
        }
    }

    fn options(&mut self, bytes: &'a [u8]) -> Result<(), Short> {
        for option in Options::new(bytes) {
            let (code, value) = option?;
            match code {
                code::CLIENT_ID => self.client_id = Some(Hex(value)),
                code::SERVER_ID => self.server_id = Some(Hex(value)),
                // Identity, T1 and T2, then options; temporary addresses have no times (clauses 21.4, 21.5).
                code::IA_NA | code::IA_PD => self.association(value.get(12..).unwrap_or_default())?,
                code::IA_TA => self.association(value.get(4..).unwrap_or_default())?,
                code::OPTION_REQUEST => self.option_request = Some(numbers(value)),
                code::STATUS => self.status = Reader::new(value).be16().ok(),
                code::USER_CLASS => self.user_class = value.get(2..).map(text),
                code::VENDOR_CLASS => {
                    let mut reader = Reader::new(value);
                    self.enterprise = Some(reader.be32()?);
                    if let Ok(length) = reader.be16() {
                        self.vendor_class = reader.take(length.into()).ok().map(text);
                    }
                }
                code::DNS_SERVERS => {
                    let servers = value.as_chunks::<16>().0.iter().take(MAX_ADDRESSES);
                    self.dns_servers = servers.map(|ip| Ipv6Addr::from(*ip)).collect();
                }
                // Flags, then a name that may be partial (RFC 4704 clause 4).
                code::CLIENT_FQDN => {
                    let name = value.get(1..).and_then(partial_name);
                    self.client_fqdn = name.filter(|name| !name.is_empty());
                }
                code::MUD_URL => self.mud_url = Some(text(value)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The addresses and prefixes of an identity association (clauses 21.6, 21.22).
    fn association(&mut self, bytes: &'a [u8]) -> Result<(), Short> {
        for option in Options::new(bytes) {
            let (code, value) = option?;
            let mut reader = Reader::new(value);
            if code == code::IA_ADDRESS && self.addresses.len() < MAX_ADDRESSES {
                self.addresses.push(reader.array::<16>()?.into());
            } else if code == code::IA_PREFIX && self.prefixes.len() < MAX_ADDRESSES {
                reader.skip(8)?;
                let length = reader.u8()?;
                let prefix = Ipv6Addr::from(reader.array::<16>()?);
                self.prefixes.push(format!("{prefix}/{length}"));
            }
        }
        Ok(())
    }
}

/// Numbers of two bytes, with commas between.
fn numbers(value: &[u8]) -> String {
    let codes = value.as_chunks::<2>().0.iter();
    codes.map(|code| u16::from_be_bytes(*code).to_string()).collect::<Vec<_>>().join(",")
}

/// The type of a unique identifier (RFC 8415 clause 11) and, where it is made from a link-layer address of
/// Ethernet's form, that address.
fn duid_kind(duid: &[u8]) -> Option<(u16, Option<MacAddr>)> {
    let mut reader = Reader::new(duid);
    let kind = reader.be16().ok()?;
    let address = |rest: &[u8]| rest.try_into().ok().map(MacAddr).filter(|mac| mac.is_station());
    match (kind, duid.len()) {
        // Link-layer address and time: hardware type, time, address.
        (1, 9..) => Some((1, if reader.be16() == Ok(1) { address(&duid[8..]) } else { None })),
        // Enterprise number and identifier.
        (2, 7..) => Some((2, None)),
        // Link-layer address: hardware type, address.
        (3, 5..) => Some((3, if reader.be16() == Ok(1) { address(&duid[4..]) } else { None })),
        // UUID (RFC 6355).
        (4, 18) => Some((4, None)),
        _ => None,
    }
}

/// Reads messages; each stands for itself, the transaction identifier tells which belong together.
struct Dhcpv6;

impl Parser for Dhcpv6 {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        let from = input.from;
        let (message, fault) = match Message::read(input.bytes) {
            Ok(read) => read,
            Err(fault) => {
                if input.cut == 0 {
                    out.anomaly(from, fault.reason(), format_args!("{} bytes", input.bytes.len()));
                }
                return taken;
            }
        };
        if let Some(fault) = fault.filter(|_| input.cut == 0) {
            out.anomaly(from, fault.reason(), format_args!("transaction {:#08x}", message.transaction_id));
        }
        match message.kind {
            "advertise" | "reply" | "reconfigure" => server_facts(&message, from, out),
            _ => client_facts(&message, from, out),
        }
        if out.wants_messages() {
            out.message(from, message.kind, &message);
        }
        taken
    }
}

/// The client: the sender on its own link, else what the first relay or the identifier tell.
fn client_of(message: &Message<'_>, side: Side, out: &Emit<'_>) -> Option<Host> {
    let Some(relay) = message.relays.last() else {
        // Clients use a link-local address; what comes from another was forwarded.
        return Some(out.host(side));
    };
    let mac = relay
        .client_link_layer
        .or_else(|| message.duid().and_then(duid_kind).and_then(|(_, mac)| mac))
        .filter(|mac| mac.is_station())?;
    Some(Host::from_mac(mac))
}

fn client_facts(message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
    let Some(about) = client_of(message, from, out) else { return };
    if let Some(duid) = message.duid().filter(|duid| duid_kind(duid).is_some()) {
        let value = format!("duid:{}", Hex(duid));
        out.fact_about(about, Attribute::Identifier, value, "dhcpv6.client-id", Confidence::STRONG);
    }
    if let Some(name) = &message.client_fqdn {
        hostname::tell(about, name, "dhcpv6.client-fqdn", Confidence::STRONG, out);
    }
    if let Some(list) = &message.option_request {
        let source = "dhcpv6.option-request";
        out.fact_about(about, Attribute::Fingerprint, list, source, Confidence::LIKELY);
    }
    if let Some(vendor) = message.enterprise.and_then(enterprise::vendor) {
        // Microsoft and the like name the system's maker, not the device's.
        out.fact_about(about, Attribute::Vendor, vendor, "dhcpv6.enterprise", Confidence::HINT);
    }
    if let Some(class) = &message.vendor_class {
        vendor_class::tell(about, class, "dhcpv6.vendor-class", out);
    }
    if let Some(url) = &message.mud_url {
        out.fact_about(about, Attribute::MudUrl, url, "dhcpv6.mud-url", Confidence::STRONG);
    }
}

fn server_facts(message: &Message<'_>, from: Side, out: &mut Emit<'_>) {
    let to_client = message.relays.is_empty();
    if to_client || matches!(out.host(from).ip, Some(IpAddr::V6(ip)) if !ip.is_unicast_link_local()) {
        out.role(from, Role::DhcpServer, "dhcpv6.message-type", Confidence::CERTAIN);
    }
    if message.kind != "reply" {
        return;
    }
    // On the client's link the reply goes to its link-local address, in a frame to it (RFC 8415 clause 18.3.10).
    let client = if to_client {
        match out.host(from.other()) {
            Host { mac, ip: Some(IpAddr::V6(ip)) } if ip.is_unicast_link_local() => mac,
            _ => None,
        }
    } else {
        client_of(message, from.other(), out).and_then(|host| host.mac)
    };
    if let Some(client) = client {
        for ip in &message.addresses {
            out.binding(client, (*ip).into(), BindingSource::Dhcp);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{FlowHead, Transport};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse_on, damage, head, hits, survives};

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap();
        [&code.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
    }

    /// DUID-LLT of 00:1b:1b:4f:00:01.
    const DUID: &[u8] = &[0, 1, 0, 1, 0x2a, 0x2b, 0x2c, 0x2d, 0, 0x1b, 0x1b, 0x4f, 0, 1];

    const ADDRESS: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77];

    fn solicit() -> Vec<u8> {
        [
            &[1, 0xab, 0xcd, 0xef][..],
            &option(1, DUID),
            &option(6, &[0, 23, 0, 24]),
            &option(16, b"\0\0\x01\x37\0\x08MSFT 5.0"),
            &option(39, b"\0\x05hmi-7\x05plant\0"),
            &option(112, b"https://mud.example/h7"),
        ]
        .concat()
    }

    fn reply() -> Vec<u8> {
        let address = option(5, &[&ADDRESS[..], &[0, 0, 0x0e, 0x10, 0, 0, 0x1c, 0x20]].concat());
        let association = option(3, &[&[0; 12][..], &address].concat());
        [
            &[7, 0xab, 0xcd, 0xef][..],
            &option(1, DUID),
            &option(2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]),
            &association,
        ]
        .concat()
    }

    fn relayed(kind: u8, inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0];
        bytes.extend(ADDRESS);
        bytes.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        bytes.extend(option(9, inner));
        bytes
    }

    fn on_link() -> FlowHead {
        let mut head = head(Transport::Udp, 547);
        head.client.host.ip = "fe80::a".parse().ok();
        head.server.host.ip = "fe80::14".parse().ok();
        head
    }

    #[test]
    fn a_client_on_the_link_describes_itself_and_gets_an_address() {
        let text =
            converse_on(&PROTOCOL, on_link(), false, &[(Side::Client, &solicit()), (Side::Server, &reply())]);
        insta::assert_snapshot!(text, @r#"
        fact fe80::a identifier = "duid:000100012a2b2c2d001b1b4f0001" (dhcpv6.client-id, 75%)
        fact fe80::a hostname = "hmi-7.plant" (dhcpv6.client-fqdn, 75%)
        fact fe80::a fingerprint = "23,24" (dhcpv6.option-request, 50%)
        fact fe80::a vendor = "Microsoft" (dhcpv6.enterprise, 20%)
        fact fe80::a operating-system = "Windows" (dhcpv6.vendor-class, 75%)
        fact fe80::a mud-url = "https://mud.example/h7" (dhcpv6.mud-url, 75%)
        client solicit {"transaction-id":11259375,"client-id":"000100012a2b2c2d001b1b4f0001","option-request":"23,24","client-fqdn":"hmi-7.plant","enterprise":311,"vendor-class":"MSFT 5.0","mud-url":"https://mud.example/h7"}
        fact fe80::14 role = "dhcp-server" (dhcpv6.message-type, 95%)
        binding 2001:db8::77 is at 02:00:00:00:00:0a
        server reply {"transaction-id":11259375,"client-id":"000100012a2b2c2d001b1b4f0001","server-id":"00030001020000000001","addresses":["2001:db8::77"]}
        "#);
    }

    #[test]
    fn relayed_messages_are_about_the_client_behind_the_relay() {
        let forward = relayed(12, &solicit());
        let back = relayed(13, &reply());
        let text =
            converse_on(&PROTOCOL, on_link(), false, &[(Side::Client, &forward), (Side::Server, &back)]);
        assert!(text.contains("fact 00:1b:1b:4f:00:01 hostname = \"hmi-7.plant\""), "{text}");
        assert!(text.contains("binding 2001:db8::77 is at 00:1b:1b:4f:00:01"), "{text}");
        assert!(text.contains(r#""peer-address":"fe80::9""#), "{text}");
    }

    #[test]
    fn relays_without_end_are_given_up() {
        let mut bytes = solicit();
        for _ in 0..=MAX_RELAYS {
            bytes = relayed(12, &bytes);
        }
        assert_eq!(Message::read(&bytes).err(), Some(Fault::Relays));
        assert_eq!(Message::read(&relayed(12, &[])).err(), Some(Fault::Truncated));
        assert_eq!(Message::read(&[12; 34]).err(), Some(Fault::NoMessage));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(kind in 0_u8..15, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            survives(&PROTOCOL, &[(Side::Client, [&[kind][..], &bytes].concat())]);
        }

        #[test]
        fn damaged_messages_are_survived(hits in hits()) {
            survives(&PROTOCOL, &damage(&[(Side::Server, relayed(13, &reply()))], &hits));
        }
    }
}
