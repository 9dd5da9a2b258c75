//! What the tests of this crate share: devices, protocols, random policies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{
    AddressUse, Attribute, Confidence, Device, DeviceId, Evidence, Host, Locality, MacAddr, Timestamp,
    Transport,
};

use crate::decide::{Ask, Decision, Who};
use crate::{Compiled, Estate, Protocols, parse};

pub(crate) fn evidence(value: &str) -> Evidence {
    Evidence {
        value: value.into(),
        source: "test".into(),
        confidence: Confidence::STRONG,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        count: 1,
    }
}

/// A device: the number makes its id and link-layer address.
pub(crate) fn device(number: u64, role: &str, addresses: &[&str]) -> Device {
    let mac = number.to_be_bytes();
    Device {
        id: DeviceId(number),
        locality: Locality::OnLink,
        macs: vec![MacAddr([2, mac[3], mac[4], mac[5], mac[6], mac[7]])],
        addresses: addresses
            .iter()
            .map(|ip| AddressUse {
                ip: ip.parse().unwrap(),
                binding: None,
                first: Timestamp::EPOCH,
                last: Timestamp::from_secs(number),
            })
            .collect(),
        via: None,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        attributes: BTreeMap::from([(Attribute::Role, vec![evidence(role)])]),
        offers: BTreeMap::new(),
        uses: BTreeMap::new(),
        protocols: Vec::new(),
        peers: BTreeMap::new(),
        access: model::Access::Full,
        packets_out: 0,
        bytes_out: 0,
        packets_in: 0,
        bytes_in: 0,
    }
}

pub(crate) fn named(mut device: Device, name: &str) -> Device {
    device.attributes.insert(Attribute::Hostname, vec![evidence(name)]);
    device
}

pub(crate) fn vendor(mut device: Device, vendor: &str) -> Device {
    device.attributes.insert(Attribute::Vendor, vec![evidence(vendor)]);
    device
}

pub(crate) fn protocols() -> Protocols {
    Protocols::new([
        ("modbus", Transport::Tcp, &[502][..]),
        ("s7comm", Transport::Tcp, &[102]),
        ("opcua", Transport::Tcp, &[4840]),
        ("mqtt", Transport::Tcp, &[1883]),
        ("http", Transport::Tcp, &[80, 8080]),
        ("tls", Transport::Tcp, &[443, 8883]),
        ("telnet", Transport::Tcp, &[23, 2323]),
        ("ssh", Transport::Tcp, &[22]),
        ("smb", Transport::Tcp, &[445]),
        ("irc", Transport::Tcp, &[6667]),
        ("dns", Transport::Udp, &[53]),
        ("dns", Transport::Tcp, &[53]),
        ("ntp", Transport::Udp, &[123]),
        ("mdns", Transport::Udp, &[5353]),
        ("rtsp", Transport::Tcp, &[554]),
        ("websocket", Transport::Tcp, &[]),
        ("goose", Transport::Ether(0x88b8), &[]),
    ])
}

pub(crate) fn estate(devices: Vec<Device>) -> Estate {
    let names = BTreeMap::from([
        ("time.example.com".to_owned(), vec!["203.0.113.5".parse().unwrap()]),
        (
            "a.cdn.example.org".to_owned(),
            vec!["203.0.113.6".parse().unwrap(), "203.0.113.7".parse().unwrap()],
        ),
    ]);
    Estate { devices, names, now: Timestamp::from_secs(1_000_000) }
}

pub(crate) fn compile(text: &str, devices: Vec<Device>) -> Compiled {
    let policy = parse(text).unwrap_or_else(|problems| panic!("{}", problems[0].show("test.policy", text)));
    Compiled::new(policy, &protocols(), estate(devices))
        .unwrap_or_else(|problems| panic!("{}", problems[0].show("test.policy", text)))
}

pub(crate) fn host(ip: &str) -> Who<'static> {
    Who::Host(Host::from_ip(ip.parse::<IpAddr>().unwrap()))
}

/// A question about a conversation by TCP.
pub(crate) fn tcp<'a>(client: &str, server: &str, port: u16, protocol: Option<&'a str>) -> Ask<'a> {
    Ask { protocol, ..Ask::conversation(host(client), host(server), Transport::Tcp, port) }
}

pub(crate) fn decide(compiled: &Compiled, client: &str, server: &str, port: u16) -> Decision {
    compiled.decide(&tcp(client, server, port, None))
}
