//! Which network address belongs to which link-layer address: the rules "What is a device" at the head of
//! the crate.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use model::{AddressUse, BindingSource, Change, Event, MacAddr, Reach, Timestamp, Volume};

use crate::address::{self, Family};
use crate::belief::{Attributes, Beliefs};
use crate::evidence;
use crate::limits::Limit;
use crate::links::NONE;
use crate::node::{CAME_NEAR, CAME_ROUTED, Cold, Inventory};
use crate::room::Few;
use crate::{Key, node};

/// From so many unbound IPv4 addresses on, those behind one link-layer address are hosts beyond it.
pub const CROWD: usize = 4;

/// The same for IPv6, where a host has several addresses of one network (RFC 8981).
pub const CROWD_V6: usize = 16;

/// So many unbound addresses of one family are remembered for one link-layer address; one more, and all
/// of them are hosts beyond it for good.
pub const NEAR_MAX: usize = 16;

/// An unbound address that one link-layer address has not sent for so long has moved when another sends it.
pub const TENANCY: Duration = Duration::from_secs(300);

/// From more than so many IPv4 addresses of one /24 on that one link-layer address claims by ARP within
/// [`PROXY_WINDOW`], it answers for others.
pub const PROXIED: usize = 16;

/// See [`PROXIED`].
const PROXY_WINDOW: Duration = Duration::from_secs(600);

/// From so many addresses beyond it on, that a link-layer address forwards is not thought through again.
const ROUTED_SAMPLE: usize = 4;

/// So many ports of chassis are remembered.
const PORTS_MAX: usize = 4_096;

const fn crowd(family: Family) -> usize {
    match family {
        Family::V4 => CROWD,
        Family::V6UniqueLocal | Family::V6Global => CROWD_V6,
    }
}

/// How a packet came to the sensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    /// Who sent the frame.
    pub(crate) mac: MacAddr,
    /// How far the packet had come.
    pub(crate) reach: Reach,
}

impl Inventory {
    /// A packet of the address came from a link-layer address, and that for the first time in this manner
    /// since another one sent it. `before` is when the address was last seen.
    pub(crate) fn place(&mut self, node: u32, ip: IpAddr, came: Came, before: Timestamp, at: Timestamp) {
        let Came { mac, reach } = came;
        let Some(sender) = self.node(Key::of_mac(mac), at) else { return };
        let station = self.root(sender);
        let hot = self.hot_mut(node);
        if hot.mac != mac {
            hot.mac = mac;
            hot.flags &= !(CAME_NEAR | CAME_ROUTED);
        }
        hot.flags |= Self::came(reach);
        if address::is_link_local(ip) {
            if self.hot(node).owner != station {
                self.bind(ip, mac, BindingSource::LinkLocal, at);
            }
        } else if reach == Reach::Routed {
            self.note_routed(node, ip, station, mac);
        } else if self.stand(node).bound.is_none() {
            self.note_near(node, ip, (station, mac), before, at);
        }
    }

    /// Packets of the address had passed a router before this link-layer address handed them over.
    fn note_routed(&mut self, node: u32, ip: IpAddr, station: u32, mac: MacAddr) {
        let owner = self.hot(node).owner;
        if owner == station && self.stand(node).bound.is_some() {
            return;
        }
        if owner == NONE {
            self.stand_mut(node).via = Some(mac);
        }
        let elsewhere =
            |ip: &IpAddr| self.find_key(Key::of_ip(*ip)).is_none_or(|node| self.hot(node).owner != station);
        let Some(router) = self.station(station) else { return };
        if !router.routes && !router.routed.contains(&ip) {
            // Its own addresses are noted, too: they may turn out to be another's.
            let others =
                router.routed.iter().filter(|ip| elsewhere(ip)).count() + usize::from(owner != station);
            let enough = others >= ROUTED_SAMPLE || router.routed.len() >= NEAR_MAX;
            if let Some(router) = self.station_mut(station) {
                router.routes = enough;
                if enough {
                    router.routed = Few::default();
                } else {
                    router.routed.push(ip);
                }
            }
        }
        self.judge_forwarding(station);
    }

    /// An address without a binding, whose packets had passed no router, came from a link-layer address.
    fn note_near(
        &mut self,
        node: u32,
        ip: IpAddr,
        (station, mac): (u32, MacAddr),
        last: Timestamp,
        at: Timestamp,
    ) {
        let family = Family::of(ip);
        let before = self.stand(node).behind;
        if before == station || self.stand(node).contested {
            return;
        }
        if before != NONE {
            let silent = at.since(last) >= TENANCY;
            if silent && self.hot(node).owner == before {
                self.hot_mut(node).last = last;
                self.retire(node, at);
            } else if self.hot(node).owner == before {
                self.detach(node);
                self.appear(node);
            }
            self.leave_near(node, before);
            self.settle(before, family, at);
            if !silent {
                let stand = self.stand_mut(node);
                stand.contested = true;
                stand.via = Some(mac);
                return;
            }
        }
        let Some(behind) = self.station_mut(station) else { return };
        if behind.crowded[Self::family_index(family)] {
            if self.hot(node).owner == NONE {
                self.stand_mut(node).via = Some(mac);
            }
            return;
        }
        behind.near.push(node);
        let near = behind.near.clone();
        self.stand_mut(node).behind = station;
        let of_family: Vec<u32> =
            near.into_iter().filter(|near| self.family_of(*near) == Some(family)).collect();
        if of_family.len() > NEAR_MAX {
            for near in of_family {
                self.leave_near(near, station);
                self.expel(near, station);
            }
            if let Some(behind) = self.station_mut(station) {
                behind.crowded[Self::family_index(family)] = true;
            }
            self.judge_forwarding(station);
        } else {
            self.settle(station, family, at);
        }
    }

    fn family_of(&self, node: u32) -> Option<Family> {
        self.hot(node).key.ip().map(Family::of)
    }

    /// Decides again which of a link-layer address's unbound addresses belong to it.
    fn settle(&mut self, station: u32, family: Family, at: Timestamp) {
        let Some(known) = self.station(station) else { return };
        let network_of = |node: &u32| self.hot(*node).key.ip().map(address::network);
        let near: Vec<u32> =
            known.near.iter().copied().filter(|near| self.family_of(*near) == Some(family)).collect();
        let bound: Vec<Option<IpAddr>> = known
            .leaves
            .iter()
            .filter(|leaf| {
                let ip = self.hot(**leaf).key.ip();
                self.stand(**leaf).bound.is_some()
                    && ip.is_some_and(|ip| Family::of(ip) == family && !address::is_link_local(ip))
            })
            .map(network_of)
            .collect();
        let few = near.len() < crowd(family) && !known.shared && !(known.proxies && family == Family::V4);
        let together =
            near.iter().map(network_of).all(|network| network == near.first().and_then(network_of));
        let belongs: Vec<(u32, bool)> = near
            .iter()
            .map(|node| {
                let here = if bound.is_empty() { together } else { bound.contains(&network_of(node)) };
                (*node, few && here)
            })
            .collect();
        for (node, belongs) in belongs {
            // One that was adopted before may have driven it out.
            if !self.is_live(node) {
                continue;
            }
            if belongs {
                self.adopt(node, station, at);
            } else {
                self.expel(node, station);
            }
        }
        self.judge_forwarding(station);
    }

    /// Decides again whether hosts are reached through a link-layer address.
    fn judge_forwarding(&mut self, station: u32) {
        let Some(known) = self.station(station) else { return };
        let elsewhere = |node: u32| self.hot(node).owner != station;
        let forwards = known.shared
            || known.proxies
            || known.routes
            || known.crowded.contains(&true)
            || known.near.iter().any(|node| elsewhere(*node))
            || known.routed.iter().any(|ip| self.find_key(Key::of_ip(*ip)).is_none_or(elsewhere));
        if forwards != known.forwards
            && let Some(known) = self.station_mut(station)
        {
            known.forwards = forwards;
            self.doubt(station, Attributes::CONCLUDED);
            self.mark_changed(station);
        }
    }

    /// A network address belongs to a link-layer address.
    pub(crate) fn bind(&mut self, ip: IpAddr, mac: MacAddr, source: BindingSource, at: Timestamp) {
        if !mac.is_station() {
            return;
        }
        let Some(sender) = self.node(Key::of_mac(mac), at) else { return };
        self.touch(sender, at);
        let station = self.root(sender);
        if !address::can_be_host(ip) {
            return;
        }
        let for_others =
            source == BindingSource::Arp && self.station(station).is_some_and(|known| known.proxies);
        if for_others {
            return;
        }
        let Some(node) = self.node(Key::of_ip(ip), at) else { return };
        let hot = self.hot_mut(node);
        if hot.mac != mac {
            hot.mac = mac;
            hot.flags &= !(CAME_NEAR | CAME_ROUTED);
        }
        if self.hot(node).owner == station
            && let Some(known) = self.stand(node).bound
        {
            self.touch(node, at);
            self.stand_mut(node).bound = Some(known.min(source));
            return;
        }
        self.know_network(ip);
        let family = Family::of(ip);
        let behind = self.stand(node).behind;
        if behind != NONE {
            self.leave_near(node, behind);
        }
        if self.stand(node).bound.is_some() {
            self.retire(node, at);
        }
        self.touch(node, at);
        let stand = self.stand_mut(node);
        stand.bound = Some(source);
        stand.contested = false;
        stand.via = None;
        self.adopt(node, station, at);
        if behind != NONE && behind != station {
            self.settle(behind, family, at);
        }
        self.judge_claims(station, ip, at);
        self.settle(station, family, at);
    }

    /// Decides whether a link-layer address that claims one more address answers for others.
    fn judge_claims(&mut self, station: u32, ip: IpAddr, at: Timestamp) {
        if !ip.is_ipv4() || self.leaves(station).len() <= PROXIED {
            return;
        }
        let claimed: Vec<u32> = self
            .leaves(station)
            .iter()
            .copied()
            .filter(|leaf| self.stand(*leaf).bound == Some(BindingSource::Arp))
            .filter(|leaf| self.family_of(*leaf) == Some(Family::V4))
            .collect();
        let now = claimed.iter().filter(|leaf| {
            let hot = self.hot(**leaf);
            hot.key.ip().map(address::network) == Some(address::network(ip))
                && at.since(hot.last) <= PROXY_WINDOW
        });
        if now.count() > PROXIED {
            if let Some(known) = self.station_mut(station) {
                known.proxies = true;
            }
            for leaf in claimed {
                self.stand_mut(leaf).bound = None;
                self.expel(leaf, station);
            }
        }
    }

    /// A network address becomes part of a device.
    pub(crate) fn adopt(&mut self, node: u32, station: u32, at: Timestamp) {
        let owner = self.hot(node).owner;
        if owner == station {
            return;
        }
        if owner != NONE {
            self.detach(node);
        } else if self.is_fresh(node) {
            self.fresh.retain(|fresh| *fresh != node);
        } else {
            let gone = self.id(node);
            self.mark_gone(gone);
            // Told even if the device appears only now: somebody knows the other.
            let device = self.id(station);
            self.pending.push(Event { at, device: Some(device), change: Change::DeviceMerged { gone } });
        }
        self.hot_mut(node).owner = station;
        let ip = self.hot(node).key.ip();
        let limit = self.limits.addresses.max(1);
        let Some(known) = self.station_mut(station) else { return };
        known.leaves.push(node);
        let too_many = known.leaves.len() > limit;
        let had = known.history.iter().any(|before| Some(before.ip) == ip);
        if let Some(ip) = ip.filter(|_| !had) {
            self.tell(station, at, Change::AddressAdded { ip });
        }
        self.doubt_like(node, station);
        self.mark_changed(node);
        if too_many {
            let oldest = self
                .leaves(station)
                .iter()
                .copied()
                .filter(|leaf| *leaf != node && self.hot(*leaf).key.ip().is_some());
            if let Some(oldest) = oldest.min_by_key(|leaf| (self.hot(*leaf).last, *leaf)) {
                self.shed(Limit::Addresses, 1);
                let behind = self.stand(oldest).behind;
                if behind != NONE {
                    self.leave_near(oldest, behind);
                }
                self.retire(oldest, at);
                self.forget_leaf(oldest);
            }
        }
    }

    /// A device named the link-layer address of the chassis of which its own is a port.
    pub(crate) fn note_chassis(&mut self, port: MacAddr, chassis: MacAddr) {
        let one_maker = port.0[..3] == chassis.0[..3];
        if port == chassis || !one_maker || !chassis.is_station() {
            return;
        }
        let ports = self.chassis.values().map(BTreeSet::len).sum::<usize>();
        if ports < PORTS_MAX && self.chassis.entry(chassis).or_default().insert(port) {
            self.to_join.push((port, chassis));
        }
    }

    /// Makes one device of those that turned out to be ports of one chassis with this observation.
    pub(crate) fn join_chassis(&mut self, at: Timestamp) {
        if self.chassis.is_empty() {
            return;
        }
        // The chassis may have been named before it sent anything itself.
        for node in self.fresh.clone() {
            let Some(chassis) = self.hot(node).key.mac() else { continue };
            let ports = self.chassis.get(&chassis).into_iter().flatten();
            self.to_join.extend(ports.map(|port| (*port, chassis)));
        }
        for (port, chassis) in std::mem::take(&mut self.to_join) {
            let [port, chassis] = [port, chassis].map(|mac| self.find_key(Key::of_mac(mac)));
            if let (Some(port), Some(chassis)) = (port, chassis) {
                self.join(port, self.root(chassis), at);
            }
        }
    }

    /// A link-layer address becomes part of the device of another, with all that belongs to it.
    pub(crate) fn join(&mut self, port: u32, station: u32, at: Timestamp) {
        let mac = self.hot(port).key.mac();
        let room = self.leaves(station).len() + self.leaves(port).len() < self.limits.addresses.max(1);
        let (Some(mac), true, true) = (mac, self.hot(port).owner == NONE && port != station, room) else {
            return;
        };
        let Some(gone) = self.cold_mut(port).station.as_deref_mut().map(std::mem::take) else { return };
        // Who it was assigned to and for how many strangers it speaks stays with the address.
        if let Some(left) = self.station_mut(port) {
            left.vendor = gone.vendor;
            left.strangers = gone.strangers;
        }
        for leaf in gone.leaves.iter() {
            self.hot_mut(*leaf).owner = station;
        }
        for near in gone.near.iter() {
            self.stand_mut(*near).behind = station;
        }
        self.hot_mut(port).owner = station;
        self.mark_changed(port);
        if self.is_fresh(port) {
            self.fresh.retain(|fresh| *fresh != port);
        } else {
            let id = self.id(port);
            self.mark_gone(id);
            let device = self.id(station);
            self.pending.push(Event { at, device: Some(device), change: Change::DeviceMerged { gone: id } });
        }
        if let Some(known) = self.station_mut(station) {
            known.leaves.edit(|leaves| leaves.extend(gone.leaves.iter().copied().chain([port])));
            known.near.edit(|near| near.extend_from_slice(&gone.near));
            known.routed.edit(|routed| {
                routed.extend_from_slice(&gone.routed);
                routed.truncate(NEAR_MAX);
            });
            known.routes |= gone.routes;
            known.proxies |= gone.proxies;
            known.shared |= gone.shared;
            for (known, gone) in known.crowded.iter_mut().zip(gone.crowded) {
                *known |= gone;
            }
        }
        for used in gone.history {
            self.remember_address(station, used);
        }
        self.tell(station, at, Change::MacAdded { mac });
        self.doubt(station, Attributes::ALL);
        for family in [Family::V4, Family::V6UniqueLocal, Family::V6Global] {
            self.settle(station, family, at);
        }
    }

    /// A network address is a device of its own, beyond a link-layer address.
    fn expel(&mut self, node: u32, station: u32) {
        let mac = self.hot(station).key.mac();
        if self.hot(node).owner == station {
            self.detach(node);
            self.appear(node);
        }
        if self.hot(node).owner == NONE {
            self.stand_mut(node).via = mac;
        }
    }

    /// A node that has lost its owner is a device from now on.
    fn appear(&mut self, node: u32) {
        self.stand_mut(node).best = Beliefs::default();
        self.fresh.push(node);
        self.doubt(node, Attributes::ALL);
    }

    /// Takes a network address from its device, with all that is known about it.
    fn detach(&mut self, node: u32) {
        let owner = self.hot(node).owner;
        if let Some(known) = self.station_mut(owner) {
            known.leaves.retain(|leaf| *leaf != node);
        }
        self.doubt_like(node, owner);
        self.mark_changed(owner);
        let hot = self.hot_mut(node);
        hot.owner = NONE;
        // Whatever comes next is to be thought through.
        hot.flags &= !(CAME_NEAR | CAME_ROUTED);
        self.mark_changed(node);
    }

    /// Takes a network address from its device, which keeps all that was known about it. The address starts
    /// again with nothing.
    pub(crate) fn retire(&mut self, node: u32, at: Timestamp) {
        let owner = self.hot(node).owner;
        if owner == NONE {
            return;
        }
        let hot = self.hot(node).clone();
        let (first, signs) = (self.cold(node).first, self.cold(node).signs);
        let binding = self.stand(node).bound;
        let packets = [self.packets(node, 0), self.packets(node, 1)];
        let volume = |at: usize| Volume { packets: packets[at], bytes: hot.bytes[at], payload: 0 };
        self.add_volume(owner, &volume(0), &volume(1));
        let values = self.limits.values;
        for entry in self.cold(node).entries.clone() {
            if evidence::add(&mut self.cold_mut(owner).entries, entry, values).shed {
                self.shed(Limit::Values, 1);
            }
        }
        self.links.hand_over(node, owner);
        self.settle_let_go();
        // What was counted beside the links, and what was handed back just now.
        for part in self.cold(node).parts.clone() {
            self.take_part(owner, usize::from(part.part), part.code, part.flows, at);
        }
        self.add_signs(owner, signs);
        self.hot_mut(owner).acts |= hot.acts;
        let keeper = self.cold_mut(owner);
        keeper.first = keeper.first.min(first);
        if let Some(ip) = hot.key.ip() {
            self.remember_address(owner, AddressUse { ip, binding, first, last: hot.last });
        }
        self.detach(node);
        let hot = self.hot_mut(node);
        hot.bytes = [0; 2];
        hot.packets = [0; 2];
        hot.last = at;
        hot.acts = 0;
        let station = self.cold_mut(node).station.take();
        *self.cold_mut(node) = Cold { first: at, station, ..Cold::default() };
        let stand = self.stand_mut(node);
        stand.bound = None;
        stand.best = Beliefs::default();
        self.packets_high.remove(&node);
        self.stored_peers.remove(&node);
    }

    /// Puts an address into a device's history.
    pub(crate) fn remember_address(&mut self, station: u32, used: AddressUse) {
        let limit = self.limits.addresses.max(1);
        let Some(known) = self.station_mut(station) else { return };
        if let Some(before) = known.history.iter_mut().find(|before| before.ip == used.ip) {
            before.first = before.first.min(used.first);
            before.last = before.last.max(used.last);
            before.binding = before.binding.into_iter().chain(used.binding).min();
            return;
        }
        known.history.push(used);
        if known.history.len() > limit {
            let oldest = known.history.iter().enumerate().min_by_key(|(_, used)| used.last).map(|(at, _)| at);
            if let Some(at) = oldest {
                known.history.remove(at);
            }
            self.shed(Limit::Addresses, 1);
        }
    }

    /// A restored address was its device's without a binding.
    pub(crate) fn restore_near(&mut self, station: u32, node: u32) {
        self.stand_mut(node).behind = station;
        if let Some(known) = self.station_mut(station) {
            known.near.push(node);
        }
    }

    /// What is said about a node may change what is believed about a device.
    fn doubt_like(&mut self, node: u32, root: u32) {
        let cold = self.cold(node);
        let said = cold.entries.iter().fold(Attributes::NONE, |all, entry| all.with(entry.attribute));
        let concluded = if cold.signs == 0 { Attributes::NONE } else { Attributes::CONCLUDED };
        self.doubt(root, said.and(concluded));
    }
}

/// Whether a node's packets came from this link-layer address in this manner before, so that nothing new
/// is to be thought through.
pub(crate) fn is_settled(hot: &node::Hot, mac: MacAddr, reach: Reach) -> bool {
    hot.mac == mac && hot.flags & Inventory::came(reach) != 0
}
