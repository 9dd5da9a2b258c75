//! Devices as the rest of the house knows them: put together from their addresses, and taken apart again
//! when they come from a store.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use model::{AddressUse, Attribute, Device, DeviceId, Host, Locality, MacAddr, Peer, Service, Timestamp};

use crate::Key;
use crate::address;
use crate::belief::Attributes;
use crate::evidence::{self, Entry, Said};
use crate::links::{CLIENT, Code, NONE, SERVER};
use crate::node::{ASSIGNED, Inventory, PUBLIC};
use crate::rules;

/// Evidence that is concluded again whenever it is asked for begins so.
const CONCLUDED: &str = "rule.";

/// Where a device stands and how it is addressed, without all else that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Its id.
    pub id: DeviceId,
    /// Where it stands.
    pub locality: Locality,
    /// Its link-layer address, where that is known.
    pub mac: Option<MacAddr>,
    /// The lowest of its IPv4 addresses, of those that it had before, too.
    pub ipv4: Option<Ipv4Addr>,
}

/// What is known of a host at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// The device that it is.
    pub id: DeviceId,
    /// Where it stands.
    pub locality: Locality,
    /// When the device was first seen.
    pub first: Timestamp,
    /// The part that it plays, by the best evidence for one.
    pub role: Option<&'a str>,
    /// What kind of thing it is, by the best evidence.
    pub kind: Option<&'a str>,
}

/// Where the inventory keeps a host and its device, until it takes the next observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    node: u32,
    root: u32,
}

impl Place {
    /// A small number that the host's address has until it is forgotten; then it may be another's.
    pub const fn number(self) -> usize {
        self.node as usize
    }
}

impl Inventory {
    /// What is known of a host, if it is proven to exist; at the cost of a lookup.
    pub fn glance(&self, host: &Host) -> Option<Glance<'_>> {
        self.place_of(host).map(|place| self.glance_at(place))
    }

    /// The device that a host is, if it is proven to exist.
    pub fn place_of(&self, host: &Host) -> Option<Place> {
        let node = self.find_key(Self::key_of(host)?)?;
        Some(Place { node, root: self.root(node) })
    }

    /// Where a device is.
    pub fn locality_at(&self, Place { root, .. }: Place) -> Locality {
        self.locality(root)
    }

    /// What a device most likely is for: see [`Glance::role`].
    pub fn role_at(&self, Place { root, .. }: Place) -> Option<&str> {
        self.best_text(root, Attribute::Role)
    }

    fn best_text(&self, root: u32, attribute: Attribute) -> Option<&str> {
        self.stand(root).best.of(attribute).and_then(|value| str::from_utf8(value).ok())
    }

    /// What is known of a device at a glance.
    pub fn glance_at(&self, Place { root, .. }: Place) -> Glance<'_> {
        let text = |attribute| self.best_text(root, attribute);
        Glance {
            id: self.id(root),
            locality: self.locality(root),
            first: self.cold(root).first,
            role: text(Attribute::Role),
            kind: text(Attribute::Type),
        }
    }

    /// Whether others are reached through this link-layer address: who cuts it off cuts them off, too.
    pub fn forwards(&self, mac: MacAddr) -> bool {
        let station = self.find_key(Key::of_mac(mac)).and_then(|node| self.station(node));
        station.is_some_and(|known| known.forwards || known.routes || known.shared || known.proxies)
    }

    /// The outlines of all devices, in the order of [`Inventory::devices`], at a small part of its cost.
    pub fn outlines(&self) -> impl Iterator<Item = Outline> + '_ {
        let ipv4 = |ip: IpAddr| if let IpAddr::V4(ip) = ip { Some(ip) } else { None };
        self.nodes().filter(|node| self.hot(*node).owner == NONE).map(move |node| {
            let now = self.members(node).filter_map(|node| self.hot(node).key.ip());
            let before =
                self.station(node).into_iter().flat_map(|station| station.history.iter()).map(|used| used.ip);
            Outline {
                id: self.id(node),
                locality: self.locality(node),
                mac: self.hot(node).key.mac(),
                ipv4: now.chain(before).filter_map(ipv4).min(),
            }
        })
    }

    /// All devices, in an order that depends on the observations alone.
    pub fn devices(&self) -> impl Iterator<Item = Device> + '_ {
        self.nodes().filter(|node| self.hot(*node).owner == NONE).map(|node| self.assemble(node))
    }

    /// The device of that id, or the one of which it turned out to be a part.
    pub fn device(&self, id: DeviceId) -> Option<Device> {
        self.by_id(id).map(|node| self.assemble(self.root(node)))
    }

    /// The devices that somebody may mean: by id, link-layer address, network address, or a host name or
    /// label, whatever its letter case. Names are looked for at every device.
    pub fn find(&self, text: &str) -> Vec<Device> {
        let text = text.trim();
        let by_key = |key| self.find_key(key);
        let node = if let Ok(id) = text.parse::<DeviceId>() {
            self.by_id(id)
        } else if let Ok(mac) = text.parse::<MacAddr>() {
            by_key(Key::of_mac(mac))
        } else if let Ok(ip) = text.parse::<IpAddr>() {
            by_key(Key::of_ip(address::canonical(ip)))
        } else {
            None
        };
        if let Some(node) = node {
            return vec![self.assemble(self.root(node))];
        }
        let wanted = evidence::meaning(Attribute::Hostname, text);
        let named = |node: &u32| {
            self.cold(*node).entries.iter().any(|entry| {
                matches!(entry.attribute, Attribute::Hostname | Attribute::Label)
                    && evidence::meaning(Attribute::Hostname, &entry.value) == wanted
            })
        };
        let mut roots: Vec<u32> = self.nodes().filter(named).map(|node| self.root(node)).collect();
        roots.sort_unstable();
        roots.dedup();
        roots.into_iter().map(|root| self.assemble(root)).collect()
    }

    /// Where a device stands.
    pub(crate) fn locality(&self, root: u32) -> Locality {
        let hot = self.hot(root);
        match hot.key.ip() {
            None => Locality::OnLink,
            Some(ip) => {
                let ours = hot.flags & PUBLIC == 0
                    || self.stand(root).inner
                    || self.networks.contains(&address::network(ip));
                if ours { Locality::Routed } else { Locality::External }
            }
        }
    }

    /// A device as the rest of the house knows it.
    pub(crate) fn assemble(&self, root: u32) -> Device {
        self.assemble_of(root, &self.statements(root))
    }

    /// The same, of everything that is said about the device.
    pub(crate) fn assemble_of(&self, root: u32, said: &[Said<'_>]) -> Device {
        let mut addresses: Vec<AddressUse> = self
            .members(root)
            .filter_map(|node| {
                let ip = self.hot(node).key.ip()?;
                let (binding, first) = (self.stand(node).bound, self.cold(node).first);
                Some(AddressUse { ip, binding, first, last: self.hot(node).last })
            })
            .collect();
        if let Some(station) = self.station(root) {
            for before in station.history.iter() {
                match addresses.iter_mut().find(|now| now.ip == before.ip) {
                    Some(now) => {
                        now.first = now.first.min(before.first);
                        now.last = now.last.max(before.last);
                    }
                    None => addresses.push(*before),
                }
            }
        }
        addresses.sort_unstable_by_key(|used| (used.first, used.ip));
        let mut attributes = BTreeMap::new();
        for said in said.chunk_by(|one, next| one.attribute == next.attribute) {
            let evidence = said.iter().take(self.limits.values).map(Said::evidence).collect();
            attributes.insert(said[0].attribute, evidence);
        }
        // The one it is known by, then the others in order.
        let mut macs: Vec<MacAddr> = self.members(root).filter_map(|node| self.hot(node).key.mac()).collect();
        if let Some((_, others)) = macs.split_first_mut() {
            others.sort_unstable();
        }
        let (first, last) = self.span(root);
        let [uses, offers] = self.services(root);
        let mut protocols: Vec<_> =
            uses.keys().chain(offers.keys()).map(|service| service.protocol.clone()).collect();
        protocols.sort_unstable();
        protocols.dedup();
        let total = |each: &dyn Fn(u32) -> u64| self.members(root).map(each).fold(0_u64, u64::saturating_add);
        Device {
            id: self.id(root),
            locality: self.locality(root),
            macs,
            addresses,
            via: self.stand(root).via,
            first,
            last,
            attributes,
            offers,
            uses,
            protocols,
            peers: self.peers(root),
            access: self.access.get(&self.id(root)).copied().unwrap_or_default(),
            packets_out: total(&|node| self.packets(node, 0)),
            bytes_out: total(&|node| self.hot(node).bytes[0]),
            packets_in: total(&|node| self.packets(node, 1)),
            bytes_in: total(&|node| self.hot(node).bytes[1]),
        }
    }

    /// The services that a device uses and offers, with the number of conversations.
    fn services(&self, root: u32) -> [BTreeMap<Service, u64>; 2] {
        let mut services = [BTreeMap::new(), BTreeMap::new()];
        for node in self.members(root) {
            let mut parts: Vec<(Code, usize, u64)> = self
                .cold(node)
                .parts
                .iter()
                .map(|part| (part.code, usize::from(part.part), part.flows.into()))
                .collect();
            for side in [CLIENT, SERVER] {
                for link in self.links.of(node, side) {
                    let code = link.code.plain();
                    if let Some(part) = parts.iter_mut().find(|known| known.0 == code && known.1 == side) {
                        part.2 += u64::from(link.flows[side]);
                    }
                }
            }
            for (code, side, flows) in parts {
                *services[side].entry(code.service(&self.names)).or_default() += flows;
            }
        }
        services
    }

    /// Whom a device talks to. Nobody is a peer of itself.
    fn peers(&self, root: u32) -> BTreeMap<DeviceId, Peer> {
        let mut peers: BTreeMap<DeviceId, Peer> = BTreeMap::new();
        let mut add = |other: Option<u32>, id: DeviceId, peer: &Peer| {
            // A peer that has become part of another device is that device now.
            let other = other.map(|node| self.root(node));
            if other != Some(root) {
                let id = other.map_or(id, |other| self.id(other));
                let known = peers.entry(id).or_default();
                known.flows = known.flows.saturating_add(peer.flows);
                known.bytes_out = known.bytes_out.saturating_add(peer.bytes_out);
                known.bytes_in = known.bytes_in.saturating_add(peer.bytes_in);
                known.last = known.last.max(peer.last);
            }
        };
        for node in self.members(root) {
            for side in [CLIENT, SERVER] {
                for link in self.links.of(node, side).filter(|link| link.ends[1 - side] != NONE) {
                    let (bytes_out, bytes_in) = (link.bytes[side], link.bytes[1 - side]);
                    let peer = Peer { flows: link.flows[side].into(), bytes_out, bytes_in, last: link.last };
                    let other = link.ends[1 - side];
                    let id = self.id(other);
                    // It may have been forgotten since, and may be known again.
                    let live = self.is_live(other);
                    add(if live { Some(other) } else { self.by_id(id) }, id, &peer);
                }
            }
            for (id, peer) in self.stored_peers.get(&node).into_iter().flatten() {
                add(self.by_id(*id), *id, peer);
            }
        }
        while peers.len() > self.limits.peers {
            let oldest = peers.iter().min_by_key(|(id, peer)| (peer.last, **id)).map(|(id, _)| *id);
            if let Some(id) = oldest {
                peers.remove(&id);
            }
        }
        peers
    }

    /// Takes up a device that was kept in a store, to go on where it was left. Returns whether there was
    /// room for it, and none of its addresses known already.
    pub fn restore(&mut self, device: &Device) -> bool {
        let at = device.last;
        let key = match (device.macs.first(), device.addresses.first()) {
            (Some(mac), _) => Key::of_mac(*mac),
            (None, Some(used)) => Key::of_ip(used.ip),
            (None, None) => return false,
        };
        if self.find_key(key).is_some() {
            return false;
        }
        let changed = self.changed();
        let Some(root) = self.create(key, Some(device.id), at) else { return false };
        if !device.access.is_full() {
            self.access.insert(device.id, device.access);
        }
        self.touch(root, at);
        if let Some(mac) = key.mac() {
            for used in &device.addresses {
                self.restore_address(root, mac, used);
            }
        }
        for mac in device.macs.iter().skip(1) {
            let key = Key::of_mac(*mac);
            if self.find_key(key).is_none()
                && let Some(port) = self.create(key, None, at)
            {
                self.join(port, root, at);
            }
        }
        for (attribute, evidence) in &device.attributes {
            for one in evidence {
                let signs = rules::needed_by(&one.source);
                if signs & rules::forwards() != 0
                    && let Some(station) = self.station_mut(root)
                {
                    station.routes = true;
                    station.forwards = true;
                }
                self.add_signs(root, signs & !rules::forwards());
                if one.source.starts_with(CONCLUDED) || one.source == ASSIGNED {
                    continue;
                }
                self.add_signs(root, rules::says(*attribute, &one.value));
                let source = self.name(&one.source);
                let entry = Entry {
                    value: one.value.clone(),
                    first: one.first,
                    last: one.last,
                    count: u32::try_from(one.count).unwrap_or(u32::MAX),
                    source,
                    attribute: *attribute,
                    confidence: one.confidence.get(),
                };
                let limit = self.limits.values;
                evidence::add(&mut self.cold_mut(root).entries, entry, limit);
            }
        }
        for (part, services) in [(CLIENT, &device.uses), (SERVER, &device.offers)] {
            for (service, conversations) in services {
                let protocol = self.name(&service.protocol);
                if let Some(code) = Code::restored(service, protocol) {
                    self.take_part(root, part, code, u32::try_from(*conversations).unwrap_or(u32::MAX), at);
                }
            }
        }
        let sent = model::Volume { packets: device.packets_out, bytes: device.bytes_out, payload: 0 };
        let got = model::Volume { packets: device.packets_in, bytes: device.bytes_in, payload: 0 };
        self.add_volume(root, &sent, &got);
        self.cold_mut(root).first = device.first;
        let stand = self.stand_mut(root);
        stand.via = device.via;
        stand.inner = device.locality == Locality::Routed;
        if !device.peers.is_empty() {
            self.stored_peers.insert(root, device.peers.iter().map(|(id, peer)| (*id, *peer)).collect());
        }
        // The store knows all this already: nothing is told, and nothing is to be kept again.
        self.doubt(root, Attributes::ALL);
        self.finish(at, &mut Vec::new());
        self.unmark_changed(changed);
        true
    }

    /// An address of a restored device: its own, or only in its history if another has had it since.
    fn restore_address(&mut self, root: u32, mac: MacAddr, used: &AddressUse) {
        let at = used.last;
        let node = match self.find_key(Key::of_ip(used.ip)) {
            Some(node) if self.hot(node).last < used.last => {
                let owner = self.hot(node).owner;
                if owner != NONE {
                    self.retire(node, at);
                }
                Some(node)
            }
            Some(_) => None,
            None => self.create(Key::of_ip(used.ip), None, self.hot(root).last),
        };
        let Some(node) = node else {
            self.remember_address(root, *used);
            return;
        };
        self.adopt(node, root, at);
        let hot = self.hot_mut(node);
        hot.last = used.last;
        hot.mac = mac;
        self.cold_mut(node).first = used.first;
        self.stand_mut(node).bound = used.binding;
        if used.binding.is_some() {
            self.know_network(used.ip);
        } else if !address::is_link_local(used.ip) {
            self.restore_near(root, node);
        }
    }
}
