//! Link layer discovery (IEEE 802.1AB), with the extensions for media endpoints (ANSI/TIA-1057), PROFINET
//! (IEC 61158-6-10 annex U) and manufacturer usage descriptions (RFC 8520 clause 12).

pub(super) mod description;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Attribute, BindingSource, Confidence, MacAddr, Role};
use serde::Serialize;

use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// LLDP: what stands at the other end of a cable says what it is.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "lldp",
    name: "Link Layer Discovery Protocol",
    spec: "IEEE 802.1AB-2016, ANSI/TIA-1057, RFC 8520",
    carriers: &[Carrier::EtherType(0x88cc)],
    probe,
    start: || Box::new(Lldp),
};

/// More values than this in one announcement are not read; 1,500 bytes could hold 750 empty ones.
const MAX_VALUES: usize = 256;
/// More management addresses than this are not read.
const MAX_ADDRESSES: usize = 16;

/// Types of value (IEEE 802.1AB clause 8.4, table 8-1).
mod kind {
    pub(super) const END: u16 = 0;
    pub(super) const CHASSIS: u16 = 1;
    pub(super) const PORT: u16 = 2;
    pub(super) const TIME_TO_LIVE: u16 = 3;
    pub(super) const PORT_DESCRIPTION: u16 = 4;
    pub(super) const SYSTEM_NAME: u16 = 5;
    pub(super) const SYSTEM_DESCRIPTION: u16 = 6;
    pub(super) const CAPABILITIES: u16 = 7;
    pub(super) const MANAGEMENT_ADDRESS: u16 = 8;
    pub(super) const ORGANISATION: u16 = 127;
}

/// Organisations that define values of their own.
mod organisation {
    pub(super) const IEEE_802_1: [u8; 3] = [0x00, 0x80, 0xc2];
    pub(super) const MEDIA: [u8; 3] = [0x00, 0x12, 0xbb];
    pub(super) const PROFINET: [u8; 3] = [0x00, 0x0e, 0xcf];
    pub(super) const IANA: [u8; 3] = [0x00, 0x00, 0x5e];
}

/// Names of the bits of the capabilities (clause 8.5.8, table 8-4), lowest first.
const CAPABILITIES: [&str; 11] = [
    "other",
    "repeater",
    "bridge",
    "access-point",
    "router",
    "telephone",
    "docsis",
    "station",
    "c-vlan",
    "s-vlan",
    "two-port-relay",
];
const BRIDGE: u16 = 1 << 2;
const ACCESS_POINT: u16 = 1 << 3;
const ROUTER: u16 = 1 << 4;
const TELEPHONE: u16 = 1 << 5;

fn names(bits: u16) -> Vec<&'static str> {
    CAPABILITIES
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| bits & (1 << bit) != 0)
        .map(|(_, name)| name)
        .collect()
}

/// What an announcement says, in the order of the standard.
#[derive(Default, Serialize)]
struct Announcement {
    chassis: String,
    port: String,
    ttl_s: u16,
    port_description: Option<String>,
    system_name: Option<String>,
    system_description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enabled: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    management_addresses: Vec<IpAddr>,
    port_vlan: Option<u16>,
    /// Class of a media endpoint (ANSI/TIA-1057 clause 10.2.1), 4 for network devices.
    media_class: Option<u8>,
    hardware_revision: Option<String>,
    firmware_revision: Option<String>,
    software_revision: Option<String>,
    serial: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    asset: Option<String>,
    /// PROFINET's station has this address, whichever port the frame came from.
    profinet_chassis: Option<MacAddr>,
    mud_url: Option<String>,
    #[serde(skip)]
    enabled_bits: u16,
    /// The chassis identifier is text that was given to the device (subtype 7, local).
    #[serde(skip)]
    local_chassis: bool,
    /// There was a value of PROFINET's.
    #[serde(skip)]
    profinet: bool,
    /// The three mandatory values, as bits, and whether they stood in order.
    #[serde(skip)]
    mandatory: u8,
}

fn probe(opening: &Opening<'_>) -> Verdict {
    // The chassis identifier comes first (clause 8.2): type 1, a length of 2 to 256.
    match opening.bytes {
        [2 | 3, _, 1..=7, ..] => Verdict::Yes,
        _ => Verdict::No,
    }
}

struct Lldp;

impl Parser for Lldp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut announcement = Announcement::default();
        let whole = announcement.read(input.bytes);
        if whole.is_err() && input.cut == 0 {
            out.anomaly(from, "length", format_args!("a value does not fit {} bytes", input.bytes.len()));
        } else if announcement.mandatory != 0b111 && input.cut == 0 {
            let text = "chassis, port and time to live must come first";
            out.anomaly(from, "mandatory-value", format_args!("{text}"));
        }
        // Clause 9.2.7.7.1: a time to live of 0 says that the system goes.
        let leaving = announcement.mandatory == 0b111 && announcement.ttl_s == 0;
        out.message(from, if leaving { "shutdown" } else { "announcement" }, &announcement);
        announcement.tell(input, out);
        Progress::Took(input.bytes.len())
    }
}

impl Announcement {
    fn read(&mut self, bytes: &[u8]) -> Result<(), Short> {
        let mut reader = Reader::new(bytes);
        for number in 0..MAX_VALUES {
            // Clause 8.3: seven bits of type, nine of length. Systems that leave the end away exist.
            if reader.is_empty() {
                break;
            }
            let head = reader.be16()?;
            let (kind, length) = (head >> 9, usize::from(head & 0x01ff));
            let value = reader.take(length)?;
            if kind == kind::END {
                break;
            }
            if matches!((number, kind), (0, kind::CHASSIS) | (1, kind::PORT) | (2, kind::TIME_TO_LIVE)) {
                self.mandatory |= 1 << number;
            }
            self.read_one(kind, Reader::new(value))?;
        }
        Ok(())
    }

    fn read_one(&mut self, kind: u16, mut value: Reader<'_>) -> Result<(), Short> {
        match kind {
            kind::CHASSIS => {
                let subtype = value.u8()?;
                self.local_chassis = subtype == 7;
                // Clause 8.5.2.2: 4 is a MAC address, 5 a network address; the others are text.
                self.chassis = identifier(subtype == 4, subtype == 5, value.rest());
            }
            kind::PORT => {
                let subtype = value.u8()?;
                // Clause 8.5.3.2: 3 is a MAC address, 4 a network address; the others are text.
                self.port = identifier(subtype == 3, subtype == 4, value.rest());
            }
            kind::TIME_TO_LIVE => self.ttl_s = value.be16()?,
            kind::PORT_DESCRIPTION => self.port_description = text(value.rest()),
            kind::SYSTEM_NAME => self.system_name = text(value.rest()),
            kind::SYSTEM_DESCRIPTION => self.system_description = text(value.rest()),
            kind::CAPABILITIES => {
                let (has, enabled) = (value.be16()?, value.be16()?);
                self.enabled_bits = enabled;
                (self.capabilities, self.enabled) = (names(has), names(enabled));
            }
            kind::MANAGEMENT_ADDRESS => {
                let length = usize::from(value.u8()?);
                if let Some(ip) = network_address(value.take(length)?)
                    && self.management_addresses.len() < MAX_ADDRESSES
                {
                    self.management_addresses.push(ip);
                }
            }
            kind::ORGANISATION => {
                let (organisation, subtype) = (value.array()?, value.u8()?);
                self.read_organisation(organisation, subtype, value)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn read_organisation(
        &mut self,
        organisation: [u8; 3],
        subtype: u8,
        mut value: Reader<'_>,
    ) -> Result<(), Short> {
        match (organisation, subtype) {
            // IEEE 802.1Q annex D.2.1.
            (organisation::IEEE_802_1, 1) => self.port_vlan = Some(value.be16()?).filter(|vlan| *vlan != 0),
            // ANSI/TIA-1057 clauses 10.2.1 and 10.2.6.
            (organisation::MEDIA, 1) => {
                value.skip(2)?;
                self.media_class = Some(value.u8()?);
            }
            (organisation::MEDIA, 5) => self.hardware_revision = text(value.rest()),
            (organisation::MEDIA, 6) => self.firmware_revision = text(value.rest()),
            (organisation::MEDIA, 7) => self.software_revision = text(value.rest()),
            (organisation::MEDIA, 8) => self.serial = text(value.rest()),
            (organisation::MEDIA, 9) => self.manufacturer = text(value.rest()),
            (organisation::MEDIA, 10) => self.model = text(value.rest()),
            (organisation::MEDIA, 11) => self.asset = text(value.rest()),
            (organisation::PROFINET, subtype) => {
                self.profinet = true;
                if subtype == 5 {
                    self.profinet_chassis = Some(MacAddr(value.array()?));
                }
            }
            (organisation::IANA, 1) => self.mud_url = text(value.rest()),
            _ => {}
        }
        Ok(())
    }

    /// Hands out what the announcement says about its sender.
    fn tell(&self, input: &Input<'_>, out: &mut Emit<'_>) {
        use Attribute::{
            Firmware, Hardware, Hostname, Identifier, Label, Model, PartNumber, Serial, Software, Vendor,
        };
        use Confidence as C;

        let from = input.from;
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        out.fact(from, Hostname, said(&self.system_name), "lldp.system-name", C::CERTAIN);
        out.fact(from, Hardware, said(&self.hardware_revision), "lldp-med.hardware-revision", C::CERTAIN);
        out.fact(from, Firmware, said(&self.firmware_revision), "lldp-med.firmware-revision", C::CERTAIN);
        out.fact(from, Software, said(&self.software_revision), "lldp-med.software-revision", C::CERTAIN);
        out.fact(from, Serial, said(&self.serial), "lldp-med.serial", C::CERTAIN);
        out.fact(from, Vendor, said(&self.manufacturer), "lldp-med.manufacturer", C::CERTAIN);
        out.fact(from, Model, said(&self.model), "lldp-med.model", C::CERTAIN);
        out.fact(from, Label, said(&self.asset), "lldp-med.asset", C::STRONG);
        if !self.chassis.is_empty() {
            out.fact(from, Identifier, format!("chassis {}", self.chassis), "lldp.chassis", C::STRONG);
        }
        if let Some(text) = &self.system_description {
            out.fact(from, Software, text, "lldp.system-description", C::LIKELY);
            let hints = description::read(text);
            let source = "lldp.system-description";
            out.fact(from, Firmware, hints.firmware.unwrap_or_default(), source, C::LIKELY);
            out.fact(from, Hardware, hints.hardware.unwrap_or_default(), source, C::LIKELY);
            out.fact(from, PartNumber, hints.part_number.unwrap_or_default(), source, C::STRONG);
        }
        // A PROFINET station's name: labels of lower-case letters, digits and hyphens (IEC 61158-6-10
        // clause 4.3.1.4.15). Newer ones give an identification with spaces instead.
        let is_station_name =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if self.profinet && self.local_chassis && self.chassis.chars().all(is_station_name) {
            out.fact(from, Label, &self.chassis, "lldp.profinet-station", C::CERTAIN);
        }
        // RFC 8520 clause 3: the address of a usage description is of the scheme https.
        if let Some(url) = self.mud_url.as_ref().filter(|url| url.starts_with("https://")) {
            out.fact(from, Attribute::MudUrl, url, "lldp.mud-url", C::CERTAIN);
        }
        self.tell_roles(input, out);
        // Bridges do not forward these frames (clause 7.1), so the sender is on this link and the
        // management address, where it belongs to it, is too.
        if let Some(mac) = out.host(from).mac {
            for ip in &self.management_addresses {
                out.binding(mac, *ip, BindingSource::LinkLocal);
            }
        }
    }

    fn tell_roles(&self, input: &Input<'_>, out: &mut Emit<'_>) {
        let enabled = |bits: u16| self.enabled_bits & bits != 0;
        let mut role = |role| out.role(input.from, role, "lldp.capabilities", Confidence::STRONG);
        if enabled(ACCESS_POINT) {
            role(Role::AccessPoint);
        }
        if enabled(ROUTER) {
            role(Role::Router);
        }
        if enabled(TELEPHONE) {
            role(Role::Phone);
        }
        // Telephones and access points have a small bridge inside that is not what they are.
        if enabled(BRIDGE) && !enabled(TELEPHONE | ACCESS_POINT) {
            role(Role::Switch);
        }
        // ANSI/TIA-1057 clause 3: class III endpoints are those that people speak through.
        if self.media_class == Some(3) {
            out.role(input.from, Role::Phone, "lldp-med.class", Confidence::LIKELY);
        }
    }
}

/// An identifier as text: bytes that are a MAC or a network address are written as such.
fn identifier(is_mac: bool, is_network: bool, bytes: &[u8]) -> String {
    if is_mac && let Some(mac) = bytes.first_chunk().filter(|_| bytes.len() == 6) {
        return MacAddr(*mac).to_string();
    }
    if is_network && let Some(ip) = network_address(bytes) {
        return ip.to_string();
    }
    text(bytes).unwrap_or_default()
}

/// Address family (IANA: 1 for IPv4, 2 for IPv6) and address.
fn network_address(bytes: &[u8]) -> Option<IpAddr> {
    match *bytes {
        [1, a, b, c, d] => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
        [2, ref rest @ ..] => {
            rest.first_chunk::<16>().filter(|_| rest.len() == 16).map(|ip| IpAddr::V6(Ipv6Addr::from(*ip)))
        }
        _ => None,
    }
}

/// Text, without the zeros that some put at its end.
fn text(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use model::Side::Client;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, survives};

    /// A value of an announcement.
    fn value(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&(kind << 9 | body.len() as u16).to_be_bytes()[..], &body].concat()
    }

    fn head(ttl: u16) -> Vec<u8> {
        [
            value(1, &[&[4], &[2, 0, 0, 0, 0, 10]]),
            value(2, &[&[5], b"Gi0/1"]),
            value(3, &[&ttl.to_be_bytes()]),
        ]
        .concat()
    }

    #[test]
    fn a_switch_says_who_it_is() {
        let frame = [
            head(120),
            value(5, &[b"sw-hall-3"]),
            value(6, &[b"Example IOS Software, Version 15.2(7)E3, RELEASE"]),
            value(7, &[&[0, 0x14, 0, 0x04]]),
            value(8, &[&[5, 1, 192, 0, 2, 10, 2, 0, 0, 0, 1, 0]]),
            value(127, &[&[0x00, 0x80, 0xc2, 1, 0, 42]]),
            value(0, &[]),
        ]
        .concat();
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &frame)]), @r#"
        client announcement {"chassis":"02:00:00:00:00:0a","port":"Gi0/1","ttl_s":120,"system_name":"sw-hall-3","system_description":"Example IOS Software, Version 15.2(7)E3, RELEASE","capabilities":["bridge","router"],"enabled":["bridge"],"management_addresses":["192.0.2.10"],"port_vlan":42}
        fact 192.0.2.10 hostname = "sw-hall-3" (lldp.system-name, 95%)
        fact 192.0.2.10 identifier = "chassis 02:00:00:00:00:0a" (lldp.chassis, 75%)
        fact 192.0.2.10 software = "Example IOS Software, Version 15.2(7)E3, RELEASE" (lldp.system-description, 50%)
        fact 192.0.2.10 firmware = "15.2(7)E3" (lldp.system-description, 50%)
        fact 192.0.2.10 role = "switch" (lldp.capabilities, 75%)
        binding 192.0.2.10 is at 02:00:00:00:00:0a
        "#);
    }

    #[test]
    fn a_telephone_lists_its_inventory_and_is_no_switch() {
        let media = |subtype: u8, text: &[u8]| value(127, &[&[0x00, 0x12, 0xbb, subtype], text]);
        let frame = [
            head(180),
            value(7, &[&[0, 0x24, 0, 0x24]]),
            media(1, &[0, 0x33, 3]),
            media(5, b"r3"),
            media(6, b"boot 1.2"),
            media(7, b"9.8.7"),
            media(8, b"SN0042"),
            media(9, b"Example Telephones"),
            media(10, b"E-42"),
            media(11, b"reception"),
            value(0, &[]),
        ]
        .concat();
        let text = converse(&PROTOCOL, &[(Client, &frame)]);
        let facts: Vec<&str> = text.lines().filter(|line| line.starts_with("fact")).collect();
        insta::assert_snapshot!(facts.join("\n"), @r#"
        fact 192.0.2.10 hardware = "r3" (lldp-med.hardware-revision, 95%)
        fact 192.0.2.10 firmware = "boot 1.2" (lldp-med.firmware-revision, 95%)
        fact 192.0.2.10 software = "9.8.7" (lldp-med.software-revision, 95%)
        fact 192.0.2.10 serial = "SN0042" (lldp-med.serial, 95%)
        fact 192.0.2.10 vendor = "Example Telephones" (lldp-med.manufacturer, 95%)
        fact 192.0.2.10 model = "E-42" (lldp-med.model, 95%)
        fact 192.0.2.10 label = "reception" (lldp-med.asset, 75%)
        fact 192.0.2.10 identifier = "chassis 02:00:00:00:00:0a" (lldp.chassis, 75%)
        fact 192.0.2.10 role = "phone" (lldp.capabilities, 75%)
        fact 192.0.2.10 role = "phone" (lldp-med.class, 50%)
        "#);
    }

    #[test]
    fn a_profinet_station_gives_its_name_and_a_thing_its_usage_description() {
        let frame = [
            value(1, &[&[7], b"press-2.io"]),
            value(2, &[&[7], b"port-001"]),
            value(3, &[&[0, 20]]),
            value(127, &[&[0x00, 0x0e, 0xcf, 5, 2, 0, 0, 0, 0, 11]]),
            value(127, &[&[0x00, 0x00, 0x5e, 1], b"https://mud.example/press"]),
            value(0, &[]),
        ]
        .concat();
        let text = converse(&PROTOCOL, &[(Client, &frame)]);
        for expected in [
            r#""profinet_chassis":"02:00:00:00:00:0b","mud_url":"https://mud.example/press"}"#,
            r#"label = "press-2.io" (lldp.profinet-station, 95%)"#,
            r#"mud-url = "https://mud.example/press" (lldp.mud-url, 95%)"#,
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }

    #[test]
    fn leaving_is_told_and_so_are_missing_and_broken_values() {
        let leaving = [head(0), value(0, &[])].concat();
        assert!(converse(&PROTOCOL, &[(Client, &leaving)]).starts_with("client shutdown"));
        let missing = [value(1, &[&[7], b"x"]), value(0, &[])].concat();
        assert!(converse(&PROTOCOL, &[(Client, &missing)]).starts_with("anomaly client mandatory-value"));
        let mut broken = head(1);
        broken.extend([0x0a, 200, b'x']);
        assert!(converse(&PROTOCOL, &[(Client, &broken)]).starts_with("anomaly client length"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            values in prop::collection::vec((0_u16..10, prop::collection::vec(any::<u8>(), 0..24)), 0..12),
            noise in prop::collection::vec(any::<u8>(), 0..24),
        ) {
            let mut bytes: Vec<u8> =
                values.iter().flat_map(|(kind, body)| value(if *kind == 9 { 127 } else { *kind }, &[body])).collect();
            bytes.extend(&noise);
            survives(&PROTOCOL, &[(Client, bytes), (Client, noise)]);
        }
    }
}
