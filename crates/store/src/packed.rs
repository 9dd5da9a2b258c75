//! A device, packed.
//!
//! A device is written again with each commit in which it was seen, so its size and the time to write it
//! matter: packed as [segments](crate::segment) are, it takes about a quarter of the bytes that JSON takes. A
//! version byte, then the fields in the order of the model; times as differences from when the device was
//! first seen, lists and maps with their length before them.

use std::collections::BTreeMap;

use model::{
    Access, AddressUse, Attribute, BindingSource, Confidence, Device, DeviceId, Evidence, Locality, MacAddr,
    Name, Peer, Service, Timestamp,
};

use crate::segment::{Bytes, NotASegment, codes, ip, varint, zigzag};

/// The layout that this version writes.
const VERSION: u8 = 2;
/// The one before, without how far the device is trusted: it is read as fully.
const WITHOUT_ACCESS: u8 = 1;

codes! {
    locality_code, locality_from: Locality { OnLink = 0, Routed = 1, External = 2 }
    binding_code, binding_from: BindingSource { Arp = 1, Ndp = 2, Dhcp = 3, LinkLocal = 4 }
    attribute_code, attribute_from: Attribute {
        Vendor = 0, Type = 1, Model = 2, PartNumber = 3, Serial = 4, Firmware = 5, Hardware = 6,
        OperatingSystem = 7, Software = 8, Hostname = 9, Label = 10, Location = 11, Contact = 12, Role = 13,
        Fingerprint = 14, MudUrl = 15, Identifier = 16,
    }
}

/// Packs a device to the end of `to`.
pub fn pack(to: &mut Vec<u8>, device: &Device) {
    let since = device.first.as_nanos();
    let time = |to: &mut Vec<u8>, time: Timestamp| zigzag(to, time.as_nanos().wrapping_sub(since) as i64);
    to.push(VERSION);
    varint(to, device.id.0);
    to.push(locality_code(device.locality));
    varint(to, device.macs.len() as u64);
    device.macs.iter().for_each(|mac| to.extend_from_slice(&mac.0));
    varint(to, since);
    time(to, device.last);
    varint(to, device.addresses.len() as u64);
    for used in &device.addresses {
        ip(to, Some(used.ip));
        to.push(used.binding.map_or(0, binding_code));
        time(to, used.first);
        time(to, used.last);
    }
    to.push(device.via.is_some().into());
    device.via.iter().for_each(|mac| to.extend_from_slice(&mac.0));
    varint(to, device.attributes.len() as u64);
    for (attribute, said) in &device.attributes {
        to.push(attribute_code(*attribute));
        varint(to, said.len() as u64);
        for evidence in said {
            text(to, &evidence.value);
            text(to, &evidence.source);
            to.push(evidence.confidence.get());
            time(to, evidence.first);
            time(to, evidence.last);
            varint(to, evidence.count);
        }
    }
    for services in [&device.offers, &device.uses] {
        varint(to, services.len() as u64);
        for (service, conversations) in services {
            text(to, &service.protocol);
            text(to, &service.transport);
            varint(to, service.port.into());
            varint(to, *conversations);
        }
    }
    varint(to, device.protocols.len() as u64);
    device.protocols.iter().for_each(|protocol| text(to, protocol));
    varint(to, device.peers.len() as u64);
    for (id, peer) in &device.peers {
        varint(to, id.0);
        varint(to, peer.flows);
        varint(to, peer.bytes_out);
        varint(to, peer.bytes_in);
        time(to, peer.last);
    }
    for total in [device.packets_out, device.bytes_out, device.packets_in, device.bytes_in] {
        varint(to, total);
    }
    to.push(match device.access {
        Access::Full => 0,
        Access::Limited => 1,
        Access::Quarantine => 2,
    });
}

/// Unpacks a device.
pub fn unpack(packed: &[u8]) -> Result<Device, NotASegment> {
    let mut from = Bytes::new(packed);
    let from = &mut from;
    let version = from.byte()?;
    if ![WITHOUT_ACCESS, VERSION].contains(&version) {
        return Err(NotASegment);
    }
    let id = DeviceId(from.varint()?);
    let locality = locality_from(from.byte()?)?;
    let macs = list(from, |from| Ok(MacAddr(from.array()?)))?;
    let since = from.varint()?;
    let time = |from: &mut Bytes<'_>| Ok(Timestamp::from_nanos(since.wrapping_add(from.zigzag()? as u64)));
    let last = time(from)?;
    let addresses = list(from, |from| {
        let ip = from.ip()?.ok_or(NotASegment)?;
        let binding = match from.byte()? {
            0 => None,
            code => Some(binding_from(code)?),
        };
        Ok(AddressUse { ip, binding, first: time(from)?, last: time(from)? })
    })?;
    let via = if from.byte()? == 0 { None } else { Some(MacAddr(from.array()?)) };
    let evidence = |from: &mut Bytes<'_>| {
        Ok(Evidence {
            value: from.text()?.into(),
            source: name(from)?,
            confidence: Confidence::percent(from.byte()?),
            first: time(from)?,
            last: time(from)?,
            count: from.varint()?,
        })
    };
    let attributes = list(from, |from| Ok((attribute_from(from.byte()?)?, list(from, evidence)?)))?;
    let (offers, uses) = (services(from)?, services(from)?);
    let protocols = list(from, name)?;
    let peers = list(from, |from| {
        let id = DeviceId(from.varint()?);
        let (flows, bytes_out, bytes_in) = (from.varint()?, from.varint()?, from.varint()?);
        Ok((id, Peer { flows, bytes_out, bytes_in, last: time(from)? }))
    })?;
    Ok(Device {
        id,
        locality,
        macs,
        addresses,
        via,
        first: Timestamp::from_nanos(since),
        last,
        attributes: attributes.into_iter().collect(),
        offers,
        uses,
        protocols,
        peers: peers.into_iter().collect(),
        packets_out: from.varint()?,
        bytes_out: from.varint()?,
        packets_in: from.varint()?,
        bytes_in: from.varint()?,
        access: match version {
            WITHOUT_ACCESS => Access::Full,
            _ => match from.byte()? {
                0 => Access::Full,
                1 => Access::Limited,
                2 => Access::Quarantine,
                _ => return Err(NotASegment),
            },
        },
    })
}

fn text(to: &mut Vec<u8>, text: &str) {
    varint(to, text.len() as u64);
    to.extend_from_slice(text.as_bytes());
}

fn name(from: &mut Bytes<'_>) -> Result<Name, NotASegment> {
    Ok(Name::Owned(from.text()?.to_owned()))
}

fn services(from: &mut Bytes<'_>) -> Result<BTreeMap<Service, u64>, NotASegment> {
    let service = |from: &mut Bytes<'_>| {
        let (protocol, transport) = (name(from)?, from.text()?.into());
        let port = u16::try_from(from.varint()?).map_err(|_| NotASegment)?;
        Ok((Service { protocol, transport, port }, from.varint()?))
    };
    Ok(list(from, service)?.into_iter().collect())
}

/// A list; its length is only believed as far as there are bytes.
fn list<T>(
    from: &mut Bytes<'_>,
    each: impl Fn(&mut Bytes<'_>) -> Result<T, NotASegment>,
) -> Result<Vec<T>, NotASegment> {
    (0..from.varint()?).map(|_| each(from)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A device that has something of everything.
    fn device() -> Device {
        let mut device = crate::conformance::device(7);
        let (first, last) = (device.first, device.last + std::time::Duration::from_nanos(12_345));
        for (ip, binding) in [("10.0.0.1", None), ("2001:db8::1", Some(BindingSource::Ndp))] {
            device.addresses.push(AddressUse { ip: ip.parse().unwrap(), binding, first, last });
        }
        device.access = Access::Limited;
        device.last = last;
        device.via = Some(MacAddr([2, 0, 0, 0, 0, 9]));
        let service = Service { protocol: "modbus".into(), transport: "tcp".into(), port: 502 };
        device.offers.insert(service.clone(), 3);
        device.uses.insert(service, u64::MAX);
        // Before the device itself was first seen, as after a merge.
        let peer = Peer { flows: 1, bytes_out: 2, bytes_in: 1 << 40, last: Timestamp::from_secs(5) };
        device.peers.insert(DeviceId((1 << DeviceId::BITS) - 1), peer);
        device
    }

    #[test]
    fn a_device_comes_back_as_it_was() {
        let mut packed = Vec::new();
        for device in [device(), crate::conformance::device(0)] {
            packed.clear();
            pack(&mut packed, &device);
            assert_eq!(unpack(&packed), Ok(device));
        }
    }

    #[test]
    fn the_layout_before_is_read_and_its_devices_are_trusted() {
        let mut packed = Vec::new();
        pack(&mut packed, &device());
        packed.pop();
        packed[0] = WITHOUT_ACCESS;
        assert_eq!(unpack(&packed), Ok(Device { access: Access::Full, ..device() }));
    }

    #[test]
    fn whatever_is_cut_off_is_no_device() {
        let mut packed = Vec::new();
        pack(&mut packed, &device());
        for length in 0..packed.len() {
            assert_eq!(unpack(&packed[..length]), Err(NotASegment), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn a_damaged_device_never_panics(at in 0_usize..1000, byte in any::<u8>()) {
            let mut packed = Vec::new();
            pack(&mut packed, &device());
            let at = at % packed.len();
            packed[at] = byte;
            let _ = unpack(&packed);
        }
    }
}
