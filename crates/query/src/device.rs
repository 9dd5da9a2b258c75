//! What can be asked of a device.

use std::fmt::{self, Write};

use model::{Attribute, Device, Locality, MacAddr, Service};

use crate::expr::{Datum, Field, Fields, Kind};

pub(crate) const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    what: &'static str,
) -> Field {
    Field { name, aliases, kind, what }
}

/// The fields of a device. Each attribute ([`Attribute`]) is one; all its values count, not the best-supported alone.
pub static DEVICE: &[Field] = &[
    field("id", &["device"], Kind::Text, "its id"),
    field("mac", &[], Kind::Text, "its link-layer addresses"),
    field("ip", &["address"], Kind::Address, "its network addresses"),
    field("name", &[], Kind::Text, "its host names and labels"),
    field("vendor", &["maker"], Kind::Text, "who made it"),
    field("type", &[], Kind::Text, "what kind of thing it is"),
    field("model", &[], Kind::Text, "its model or product name"),
    field("part-number", &[], Kind::Text, "the vendor's order number"),
    field("serial", &[], Kind::Text, "its serial number"),
    field("firmware", &[], Kind::Text, "the version of its firmware"),
    field("hardware", &[], Kind::Text, "the version of its hardware"),
    field("operating-system", &["os"], Kind::Text, "its operating system"),
    field("software", &[], Kind::Text, "software that it runs"),
    field("hostname", &[], Kind::Text, "its host names"),
    field("label", &[], Kind::Text, "names that people gave it"),
    field("location", &[], Kind::Text, "where it stands"),
    field("contact", &[], Kind::Text, "who looks after it"),
    field("role", &[], Kind::Text, "the parts it plays"),
    field("main-role", &[], Kind::Text, "the part it plays before all others"),
    field("fingerprint", &[], Kind::Text, "fingerprints of its behaviour"),
    field("mud-url", &[], Kind::Text, "where its manufacturer's usage description is found"),
    field("identifier", &[], Kind::Text, "other identifiers that stay with it"),
    field("locality", &[], Kind::Text, "on-link, routed or external"),
    field("via", &[], Kind::Text, "the router through which it is reached"),
    field("protocol", &[], Kind::Text, "protocols that it speaks"),
    field("offers", &[], Kind::Text, "services that it offers, by protocol or as tcp/502"),
    field("uses", &[], Kind::Text, "services that it uses, by protocol or as tcp/502"),
    field("port", &[], Kind::Number, "ports of services that it offers"),
    field("peer", &[], Kind::Text, "ids of those it talks to"),
    field("trust", &["access"], Kind::Text, "how far it is trusted: full, limited or quarantine"),
    field("seen", &["last"], Kind::Age, "when it was last seen"),
    field("first", &[], Kind::Age, "when it was first seen"),
    field("packets", &[], Kind::Number, "packets that it sent and was sent"),
    field("bytes", &[], Kind::Size, "bytes that it sent and was sent"),
    field("bytes-out", &[], Kind::Size, "bytes that it sent"),
    field("bytes-in", &[], Kind::Size, "bytes that it was sent"),
];

/// Attributes as fields.
const ATTRIBUTES: [Attribute; 17] = [
    Attribute::Vendor,
    Attribute::Type,
    Attribute::Model,
    Attribute::PartNumber,
    Attribute::Serial,
    Attribute::Firmware,
    Attribute::Hardware,
    Attribute::OperatingSystem,
    Attribute::Software,
    Attribute::Hostname,
    Attribute::Label,
    Attribute::Location,
    Attribute::Contact,
    Attribute::Role,
    Attribute::Fingerprint,
    Attribute::MudUrl,
    Attribute::Identifier,
];

/// Shows what is displayed as text.
pub(crate) fn text(
    value: impl fmt::Display,
    buffer: &mut String,
    test: &mut dyn FnMut(Datum<'_>) -> bool,
) -> bool {
    buffer.clear();
    write!(buffer, "{value}").is_ok() && test(Datum::Text(buffer))
}

fn attribute(device: &Device, attribute: Attribute, test: &mut dyn FnMut(Datum<'_>) -> bool) -> bool {
    device.attributes.get(&attribute).into_iter().flatten().any(|evidence| test(Datum::Text(&evidence.value)))
}

fn services<'a>(
    mut services: impl Iterator<Item = &'a Service>,
    buffer: &mut String,
    test: &mut dyn FnMut(Datum<'_>) -> bool,
) -> bool {
    services.any(|service| {
        test(Datum::Text(&service.protocol))
            || text(format_args!("{}/{}", service.transport, service.port), buffer, test)
    })
}

impl Fields for Device {
    fn any(&self, field: Option<&str>, test: &mut dyn FnMut(Datum<'_>) -> bool) -> bool {
        let mut buffer = String::new();
        let Some(field) = field else {
            let texts = ["id", "mac", "ip", "locality", "protocol", "offers", "uses"];
            let mut all = self.attributes.values().flatten();
            return all.any(|evidence| test(Datum::Text(&evidence.value)))
                || texts.iter().any(|field| self.any(Some(field), test));
        };
        match field {
            "id" => text(self.id, &mut buffer, test),
            "mac" => self.macs.iter().any(|mac: &MacAddr| text(mac, &mut buffer, test)),
            "ip" => self.addresses.iter().any(|known| test(Datum::Address(known.ip))),
            "name" => attribute(self, Attribute::Hostname, test) || attribute(self, Attribute::Label, test),
            "main-role" => self.best(Attribute::Role).is_some_and(|role| test(Datum::Text(role))),
            "locality" => test(Datum::Text(match self.locality {
                Locality::OnLink => "on-link",
                Locality::Routed => "routed",
                Locality::External => "external",
            })),
            "via" => self.via.is_some_and(|router| text(router, &mut buffer, test)),
            "protocol" => self.protocols.iter().any(|protocol| test(Datum::Text(protocol))),
            "offers" => services(self.offers.keys(), &mut buffer, test),
            "uses" => services(self.uses.keys(), &mut buffer, test),
            "port" => self.offers.keys().any(|service| test(Datum::Number(service.port.into()))),
            "peer" => self.peers.keys().any(|peer| text(peer, &mut buffer, test)),
            "trust" => test(Datum::Text(self.access.name())),
            "seen" => test(Datum::Moment(self.last)),
            "first" => test(Datum::Moment(self.first)),
            "packets" => test(Datum::Number(self.packets_out.saturating_add(self.packets_in))),
            "bytes" => test(Datum::Number(self.bytes_out.saturating_add(self.bytes_in))),
            "bytes-out" => test(Datum::Number(self.bytes_out)),
            "bytes-in" => test(Datum::Number(self.bytes_in)),
            name => ATTRIBUTES
                .iter()
                .find(|known| known.name() == name)
                .is_some_and(|known| attribute(self, *known, test)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
