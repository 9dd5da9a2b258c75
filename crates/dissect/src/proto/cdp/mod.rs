//! Cisco's discovery protocol. It is not standardised; Cisco has described its values in the guides of
//! its systems.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Attribute, BindingSource, Confidence, Role};
use serde::Serialize;

use super::lldp::description;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// CDP: switches, telephones, cameras and others say what they are.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "cdp",
    name: "Cisco Discovery Protocol",
    spec: "Cisco: Understanding and Configuring CDP (values as described there)",
    carriers: &[Carrier::Snap([0, 0, 0x0c], 0x2000), Carrier::EtherType(0x2000)],
    probe,
    start: || Box::new(Cdp),
};

/// More values than this in one announcement are not read.
const MAX_VALUES: usize = 128;
/// More addresses than this are not read.
const MAX_ADDRESSES: usize = 16;

/// Types of value.
mod kind {
    pub(super) const DEVICE: u16 = 0x0001;
    pub(super) const ADDRESSES: u16 = 0x0002;
    pub(super) const PORT: u16 = 0x0003;
    pub(super) const CAPABILITIES: u16 = 0x0004;
    pub(super) const SOFTWARE: u16 = 0x0005;
    pub(super) const PLATFORM: u16 = 0x0006;
    pub(super) const NATIVE_VLAN: u16 = 0x000a;
    pub(super) const SYSTEM_NAME: u16 = 0x0014;
    pub(super) const MANAGEMENT_ADDRESSES: u16 = 0x0016;
    pub(super) const LOCATION: u16 = 0x0017;
}

/// Names of the bits of the capabilities, lowest first.
const CAPABILITIES: [&str; 9] = [
    "router",
    "transparent-bridge",
    "source-route-bridge",
    "switch",
    "host",
    "igmp",
    "repeater",
    "telephone",
    "remotely-managed",
];
const ROUTER: u32 = 1;
const TRANSPARENT_BRIDGE: u32 = 1 << 1;
const SWITCH: u32 = 1 << 3;
const TELEPHONE: u32 = 1 << 7;

/// What an announcement says.
#[derive(Default, Serialize)]
struct Announcement {
    version: u8,
    ttl_s: u8,
    device: Option<String>,
    port: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<&'static str>,
    software: Option<String>,
    platform: Option<String>,
    native_vlan: Option<u16>,
    system_name: Option<String>,
    location: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
    #[serde(skip)]
    capability_bits: u32,
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        // Version, time to live, checksum; then the type of a first value and its length.
        &[1 | 2, _, _, _, 0, _, high, low, ..] if high > 0 || low >= 4 => Verdict::Yes,
        _ => Verdict::No,
    }
}

struct Cdp;

impl Parser for Cdp {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let mut announcement = Announcement::default();
        if announcement.read(input.bytes).is_err() && input.cut == 0 {
            out.anomaly(
                input.from,
                "length",
                format_args!("a value does not fit {} bytes", input.bytes.len()),
            );
        }
        out.message(input.from, "announcement", &announcement);
        announcement.tell(input, out);
        Progress::Took(input.bytes.len())
    }
}

impl Announcement {
    fn read(&mut self, bytes: &[u8]) -> Result<(), Short> {
        let mut reader = Reader::new(bytes);
        [self.version, self.ttl_s] = reader.array()?;
        // The checksum is not looked at: systems compute it differently over an odd number of bytes.
        reader.skip(2)?;
        for _ in 0..MAX_VALUES {
            if reader.is_empty() {
                break;
            }
            let (kind, length) = (reader.be16()?, usize::from(reader.be16()?));
            // Lengths include type and length.
            let value = reader.take(length.checked_sub(4).ok_or(Short)?)?;
            self.read_one(kind, Reader::new(value))?;
        }
        Ok(())
    }

    fn read_one(&mut self, kind: u16, mut value: Reader<'_>) -> Result<(), Short> {
        match kind {
            kind::DEVICE => self.device = text(value.rest()),
            kind::ADDRESSES | kind::MANAGEMENT_ADDRESSES => self.read_addresses(value)?,
            kind::PORT => self.port = text(value.rest()),
            kind::CAPABILITIES => {
                self.capability_bits = value.be32()?;
                let has = |bit: usize| self.capability_bits & (1 << bit) != 0;
                let named = CAPABILITIES.into_iter().enumerate();
                self.capabilities = named.filter(|(bit, _)| has(*bit)).map(|(_, name)| name).collect();
            }
            kind::SOFTWARE => self.software = text(value.rest()),
            kind::PLATFORM => self.platform = text(value.rest()),
            kind::NATIVE_VLAN => self.native_vlan = Some(value.be16()?),
            // A type and a length stand before the name of some systems; both are unprintable.
            kind::SYSTEM_NAME => self.system_name = text(value.rest()),
            kind::LOCATION => {
                value.skip(1)?;
                self.location = text(value.rest());
            }
            _ => {}
        }
        Ok(())
    }

    /// A number, then for each: type and length of a protocol identifier, that, length of the address,
    /// that. IPv4 is named by its NLPID, IPv6 by its SNAP header.
    fn read_addresses(&mut self, mut value: Reader<'_>) -> Result<(), Short> {
        let count = value.be32()?;
        for _ in 0..count.min(MAX_ADDRESSES as u32) {
            let [_, length] = value.array()?;
            let protocol = value.take(usize::from(length))?;
            let length = value.be16()?;
            let mut address = Reader::new(value.take(usize::from(length))?);
            let ip = match (protocol, length) {
                ([0xcc], 4) => IpAddr::V4(Ipv4Addr::from(address.array::<4>()?)),
                ([0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd], 16) => {
                    IpAddr::V6(Ipv6Addr::from(address.array::<16>()?))
                }
                _ => continue,
            };
            if !self.addresses.contains(&ip) && self.addresses.len() < MAX_ADDRESSES {
                self.addresses.push(ip);
            }
        }
        Ok(())
    }

    /// Hands out what the announcement says about its sender.
    fn tell(&self, input: &Input<'_>, out: &mut Emit<'_>) {
        use Attribute::{Firmware, Hostname, Location, Model, Serial, Software, Vendor};
        use Confidence as C;

        let from = input.from;
        if let Some(device) = &self.device {
            // Some systems put their serial number after the name: `core-1(SSI1234567A)`.
            let (name, serial) = device.split_once('(').unwrap_or((device, ""));
            out.fact(from, Hostname, name, "cdp.device", C::STRONG);
            out.fact(from, Serial, serial.strip_suffix(')').unwrap_or_default(), "cdp.device", C::STRONG);
        }
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        out.fact(from, Hostname, said(&self.system_name), "cdp.system-name", C::CERTAIN);
        out.fact(from, Location, said(&self.location), "cdp.location", C::STRONG);
        if let Some(platform) = &self.platform {
            let (vendor, model) = match platform.split_at_checked(6) {
                Some((vendor, model)) if vendor.eq_ignore_ascii_case("cisco ") => ("Cisco", model),
                _ => ("", platform.as_str()),
            };
            out.fact(from, Vendor, vendor, "cdp.platform", C::STRONG);
            out.fact(from, Model, model, "cdp.platform", C::CERTAIN);
        }
        if let Some(software) = &self.software {
            let first_line = software.lines().next().unwrap_or_default();
            out.fact(from, Software, first_line, "cdp.software", C::STRONG);
            let version = description::read(software).firmware;
            out.fact(from, Firmware, version.unwrap_or_default(), "cdp.software", C::STRONG);
        }
        let has = |bits: u32| self.capability_bits & bits != 0;
        let mut role = |role| out.role(from, role, "cdp.capabilities", C::STRONG);
        if has(TELEPHONE) {
            role(Role::Phone);
        }
        // What bridges but is no switch is an access point, which may call itself a router too.
        if has(TRANSPARENT_BRIDGE) && !has(SWITCH | TELEPHONE) {
            role(Role::AccessPoint);
        } else if has(ROUTER) {
            role(Role::Router);
        }
        // Telephones have a small switch inside that is not what they are.
        if has(SWITCH) && !has(TELEPHONE) {
            role(Role::Switch);
        }
        // These frames are not forwarded, so the sender is on this link with its addresses.
        if let Some(mac) = out.host(from).mac {
            for ip in &self.addresses {
                out.binding(mac, *ip, BindingSource::LinkLocal);
            }
        }
    }
}

/// Text, without what is not printable at its ends.
fn text(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(|c: char| c.is_control() || c.is_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use model::Side::Client;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{converse, survives};

    fn value(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &(body.len() as u16 + 4).to_be_bytes(), body].concat()
    }

    #[test]
    fn a_switch_says_who_it_is() {
        let mut addresses = vec![0, 0, 0, 2, 1, 1, 0xcc, 0, 4, 192, 0, 2, 10];
        addresses.extend([2, 8, 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd, 0, 16]);
        addresses.extend("2001:db8::a".parse::<Ipv6Addr>().unwrap().octets());
        let frame = [
            vec![2, 180, 0, 0],
            value(1, b"core-1(SSI1234567A)"),
            value(2, &addresses),
            value(3, b"Ethernet1/1"),
            value(4, &[0, 0, 0, 0x29]),
            value(5, b"Example Operating System Software\nVersion 7.0(3)I4(1)\nCopyright"),
            value(6, b"cisco EX-9300"),
            value(10, &[0, 1]),
        ]
        .concat();
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &frame)]), @r#"
        client announcement {"version":2,"ttl_s":180,"device":"core-1(SSI1234567A)","port":"Ethernet1/1","capabilities":["router","switch","igmp"],"software":"Example Operating System Software\nVersion 7.0(3)I4(1)\nCopyright","platform":"cisco EX-9300","native_vlan":1,"addresses":["192.0.2.10","2001:db8::a"]}
        fact 192.0.2.10 hostname = "core-1" (cdp.device, 75%)
        fact 192.0.2.10 serial = "SSI1234567A" (cdp.device, 75%)
        fact 192.0.2.10 vendor = "Cisco" (cdp.platform, 75%)
        fact 192.0.2.10 model = "EX-9300" (cdp.platform, 95%)
        fact 192.0.2.10 software = "Example Operating System Software" (cdp.software, 75%)
        fact 192.0.2.10 firmware = "7.0(3)I4(1)" (cdp.software, 75%)
        fact 192.0.2.10 role = "router" (cdp.capabilities, 75%)
        fact 192.0.2.10 role = "switch" (cdp.capabilities, 75%)
        binding 192.0.2.10 is at 02:00:00:00:00:0a
        binding 2001:db8::a is at 02:00:00:00:00:0a
        "#);
    }

    #[test]
    fn telephones_and_access_points_are_told_from_switches_and_routers() {
        let roles = |capabilities: u8| -> Vec<String> {
            let frame = [vec![2, 180, 0, 0], value(4, &[0, 0, 0, capabilities])].concat();
            let text = converse(&PROTOCOL, &[(Client, &frame)]);
            text.lines().filter_map(|line| Some(line.split_once("role = ")?.1[1..6].to_owned())).collect()
        };
        assert_eq!(roles(0x98), ["phone"]);
        assert_eq!(roles(0x03), ["acces"]);
        assert_eq!(roles(0x28), ["switc"]);
        assert_eq!(roles(0x01), ["route"]);
    }

    #[test]
    fn a_value_that_does_not_fit_is_told_and_what_came_before_is_kept() {
        let frame = [vec![2, 180, 0, 0], value(1, b"edge"), vec![0, 6, 0, 3]].concat();
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &frame)]), @r#"
        anomaly client length: a value does not fit 16 bytes
        client announcement {"version":2,"ttl_s":180,"device":"edge"}
        fact 192.0.2.10 hostname = "edge" (cdp.device, 75%)
        "#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            values in prop::collection::vec((0_u16..0x18, prop::collection::vec(any::<u8>(), 0..32)), 0..12),
            noise in prop::collection::vec(any::<u8>(), 0..24),
        ) {
            let mut bytes = vec![2, 180, 0, 0];
            bytes.extend(values.iter().flat_map(|(kind, body)| value(*kind, body)));
            bytes.extend(&noise);
            survives(&PROTOCOL, &[(Client, bytes), (Client, noise)]);
        }
    }
}
