//! The other end of a conversation, from what is known of it.

use std::net::IpAddr;

use model::{Attribute, Device, Host, Locality, Role};

use crate::decide::{CLASS_DNS, CLASS_GATEWAY, CLASS_NTP, Peer, is_never_routed};

/// Whether an address belongs to no public network (RFC 1918, RFC 4193), or to the link.
fn is_inner(ip: IpAddr) -> bool {
    let is_private = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    is_private || is_never_routed(&ip)
}

impl Peer {
    /// Whom a device talks to.
    ///
    /// `own` is the device, `known` what is known of the other one, `port` the one that is asked, `name` what the client was
    /// told that the address is called. The class of a server follows from its part and the port, and the same maker from
    /// the vendor, of hosts that are not elsewhere in the Internet; a MUD URL that anybody can say is not looked at.
    pub fn of(own: &Device, known: Option<&Device>, other: Host, port: u16, name: Option<&str>) -> Self {
        let plays = |role: Role| known.is_some_and(|known| known.best(Attribute::Role) == Some(role.name()));
        let is_external = known.map_or_else(
            || other.ip.is_some_and(|ip| !is_inner(ip)),
            |known| known.locality == Locality::External,
        );
        let is_router = plays(Role::Router) || plays(Role::Gateway);
        let mut classes = Vec::new();
        for (class, is_one) in [
            (CLASS_DNS, port == 53 && (plays(Role::DnsServer) || is_router)),
            (CLASS_NTP, port == 123 && !is_external),
            (CLASS_GATEWAY, is_router),
        ] {
            if is_one {
                classes.push(class.to_owned());
            }
        }
        let vendor = own.best(Attribute::Vendor);
        let is_same = vendor.is_some() && known.and_then(|known| known.best(Attribute::Vendor)) == vendor;
        Self {
            names: name.map(str::to_owned).into_iter().collect(),
            address: other.ip,
            mac: other.mac,
            is_local: !is_external,
            classes,
            is_my_controller: false,
            is_same_manufacturer: is_same && !is_external,
            mud_url: None,
        }
    }
}
