//! What the inventory remembers, and how it finds it.
//!
//! Every link-layer address and every network address whose owner is proven is a node. A node without an
//! owner is a device; the others belong to the device of a link-layer address.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use model::{
    Access, AddressUse, Attribute, BindingSource, Change, Device, DeviceId, Event, MacAddr, Name, Peer,
    Reach, Shed, Timestamp, Transport, Volume,
};

use crate::address::{self, Family, digest, words};
use crate::belief::{Attributes, Beliefs};
use crate::evidence::{self, Entry};
use crate::limits::{Limit, Limits};
use crate::links::{CLIENT, Code, Links, NONE, SERVER};
use crate::names::{self, NameId, Names, Numbered};
use crate::room::{Blocks, Few};
use crate::rules::{self, Signs};
use crate::table::Table;
use crate::unproven::{Fixed, Told, Unproven, UnprovenHosts};
use crate::vendor;

/// An address, in two words so that comparing is cheap: a network address as IPv6 has it, a link-layer
/// address where IPv6 has group addresses, which are no host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u64, u64);

const ID_MASK: u64 = (1 << DeviceId::BITS) - 1;

/// The first word of every link-layer address.
const MAC_SPACE: u64 = u64::MAX;

impl Key {
    pub(crate) fn of_mac(mac: MacAddr) -> Self {
        Self(MAC_SPACE, mac.0.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)))
    }

    pub(crate) fn of_ip(ip: IpAddr) -> Self {
        let (high, low) = words(ip);
        Self(high, low)
    }

    /// The id of a device at the address, unless another has it by chance.
    const fn id(self) -> DeviceId {
        DeviceId(digest(self.0, self.1) & ID_MASK)
    }

    /// The digest for the table of addresses: that of the id that the address gives, so that the one table
    /// finds both.
    pub(crate) const fn digest(self) -> u64 {
        Self::digest_of(self.id())
    }

    const fn digest_of(id: DeviceId) -> u64 {
        id.0 << (u64::BITS - DeviceId::BITS)
    }

    pub(crate) const fn is_ip(self) -> bool {
        self.0 != MAC_SPACE
    }

    pub(crate) fn ip(self) -> Option<IpAddr> {
        let bits = u128::from(self.0) << 64 | u128::from(self.1);
        self.is_ip().then(|| IpAddr::from(bits.to_be_bytes()).to_canonical())
    }

    pub(crate) const fn mac(self) -> Option<MacAddr> {
        let [_, _, a, b, c, d, e, f] = self.1.to_be_bytes();
        if self.0 == MAC_SPACE { Some(MacAddr([a, b, c, d, e, f])) } else { None }
    }
}

/// What every observation of a node touches: one cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Hot {
    pub(crate) key: Key,
    /// Who last sent or handed over its packets.
    pub(crate) mac: MacAddr,
    pub(crate) flags: u8,
    /// The node to which it belongs; [`NONE`] if it is a device.
    pub(crate) owner: u32,
    pub(crate) last: Timestamp,
    /// Bytes that it sent and got.
    pub(crate) bytes: [u64; 2],
    /// Packets that it sent and got; what does not fit is in [`Inventory::packets_high`].
    pub(crate) packets: [u32; 2],
    /// Kinds of operation that it asked for: bits by their order.
    pub(crate) acts: u32,
}

/// The slot is in use.
pub(crate) const LIVE: u8 = 1;
/// It is on the list of changed nodes.
pub(crate) const CHANGED: u8 = 2;
/// Its packets came from [`Hot::mac`] without having passed a router, and that was thought through.
pub(crate) const CAME_NEAR: u8 = 4;
/// The same for packets that had passed a router.
pub(crate) const CAME_ROUTED: u8 = 8;
/// A public network address.
pub(crate) const PUBLIC: u8 = 16;

/// A service in which a node has a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) code: Code,
    pub(crate) part: u8,
    /// Conversations beside those that the links count.
    pub(crate) flows: u32,
}

/// What is said about a node and what it does: one cache line, for whatever is new.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Cold {
    pub(crate) signs: Signs,
    pub(crate) entries: Few<Entry>,
    pub(crate) parts: Few<Part>,
    pub(crate) first: Timestamp,
    /// Link-layer addresses: what only they have.
    pub(crate) station: Option<Box<Station>>,
}

/// Where a node stands, and what is believed of it.
#[derive(Clone, Debug)]
pub(crate) struct Stand {
    /// What only devices have; kept by a node that may become one again.
    pub(crate) best: Beliefs,
    /// Network addresses: the link-layer address that sends its packets, while that is all we know.
    pub(crate) behind: u32,
    /// The router through which it is reached.
    pub(crate) via: Option<MacAddr>,
    /// Network addresses: the binding to the owner.
    pub(crate) bound: Option<BindingSource>,
    /// Several link-layer addresses send it.
    pub(crate) contested: bool,
    /// A public address that talked to a public address on a medium without link-layer addresses.
    pub(crate) inner: bool,
}

/// What belongs to a link-layer address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Station {
    /// Its network addresses.
    pub(crate) leaves: Few<u32>,
    /// Addresses that it had before.
    pub(crate) history: Few<AddressUse>,
    /// Unbound addresses whose packets it sends and that have passed no router; some are leaves.
    pub(crate) near: Few<u32>,
    /// Some addresses that it forwards.
    pub(crate) routed: Few<IpAddr>,
    /// It forwards so many that it need not be thought through again.
    pub(crate) routes: bool,
    /// The same, for each family of address: it has too many unbound ones.
    pub(crate) crowded: [bool; 3],
    /// It answers for others.
    pub(crate) proxies: bool,
    /// Routers share it.
    pub(crate) shared: bool,
    /// It forwards, all in all.
    pub(crate) forwards: bool,
    /// To whom it was assigned.
    pub(crate) vendor: Option<NameId>,
    /// How many unproven hosts it speaks for.
    pub(crate) strangers: u16,
}

/// How much the inventory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Devices on a link.
    pub on_link: usize,
    /// Devices in the organisation's networks, beyond a router.
    pub routed: usize,
    /// Devices elsewhere in the Internet.
    pub external: usize,
    /// Link-layer and network addresses.
    pub addresses: usize,
    /// Pairs of peers and the service between them.
    pub links: usize,
    /// Hosts that something was heard about but that are not proven.
    pub unproven: usize,
}

impl Counts {
    /// All devices.
    pub const fn devices(&self) -> usize {
        self.on_link + self.routed + self.external
    }
}

/// All devices, and what is needed to recognise them.
pub struct Inventory {
    pub(crate) limits: Limits,
    hot: Blocks<Hot>,
    cold: Blocks<Cold>,
    stands: Blocks<Stand>,
    /// The ids of the nodes; one that was forgotten keeps its id until its place is taken.
    ids: Blocks<DeviceId>,
    free: Vec<u32>,
    pub(crate) by_key: Table,
    /// Nodes whose ids are not those that their addresses give.
    by_other_id: Table,
    /// What does not fit into [`Hot::packets`].
    pub(crate) packets_high: BTreeMap<u32, [u32; 2]>,
    /// Peers that were known to the store from which the device came.
    pub(crate) stored_peers: BTreeMap<u32, Box<[(DeviceId, Peer)]>>,
    pub(crate) links: Links,
    pub(crate) names: Names,
    pub(crate) unproven: UnprovenHosts,
    /// Networks of which an address is bound to a link.
    pub(crate) networks: HashSet<IpAddr, Fixed>,
    /// Link-layer addresses of chassis, and those of ports that named them.
    pub(crate) chassis: BTreeMap<MacAddr, BTreeSet<MacAddr>>,
    /// Ports and chassis that are to be made one device with this observation.
    pub(crate) to_join: Vec<(MacAddr, MacAddr)>,
    /// Devices that are not at public addresses, and public addresses.
    counted: [usize; 2],
    hand: usize,
    shed: [u64; Limit::NAMES.len()],
    changed: Vec<u32>,
    /// What devices get that are not trusted fully.
    pub(crate) access: BTreeMap<DeviceId, Access>,
    gone: Vec<DeviceId>,
    /// Devices that appeared with this observation.
    pub(crate) fresh: Vec<u32>,
    /// What followed from this observation, besides.
    pub(crate) pending: Vec<Event>,
    /// Nodes of which some attributes may be believed otherwise now.
    pub(crate) doubtful: Vec<(u32, Attributes)>,
    /// For each organisation of the table: its signs, and the name people know it by.
    pub(crate) vendors: Vec<Option<(Signs, &'static str)>>,
    protocol_signs: Vec<Option<[Signs; 2]>>,
}

/// So many nodes are looked at to find some that can go.
const SAMPLE: usize = 64;

/// Of so many of them the one unused longest goes, unless one was only sighted: that goes at once, so that
/// a flood costs little.
const WEIGHED: usize = 8;

/// Networks seen on links that are remembered.
const NETWORKS_MAX: usize = 4_096;

/// A host name that the device made up of numbers is worth no more than this, in percent: people know it by
/// any other name.
const MADE_UP: u8 = 40;

/// The source of evidence from the table of assigned prefixes.
pub(crate) static ASSIGNED: Name = Name::Borrowed("ieee.oui");

impl Inventory {
    /// An empty inventory.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            hot: Blocks::default(),
            cold: Blocks::default(),
            stands: Blocks::default(),
            ids: Blocks::default(),
            free: Vec::new(),
            by_key: Table::default(),
            by_other_id: Table::default(),
            packets_high: BTreeMap::new(),
            stored_peers: BTreeMap::new(),
            links: Links::new(limits.links, limits.peers),
            names: Names::new(limits.names),
            unproven: UnprovenHosts::new(limits.unproven, limits.pending_facts),
            networks: HashSet::with_hasher(Fixed),
            chassis: BTreeMap::new(),
            to_join: Vec::new(),
            counted: [0; 2],
            hand: 0,
            shed: [0; Limit::NAMES.len()],
            changed: Vec::new(),
            access: BTreeMap::new(),
            gone: Vec::new(),
            fresh: Vec::new(),
            pending: Vec::new(),
            doubtful: Vec::new(),
            vendors: vec![None; vendor::known()],
            protocol_signs: Vec::new(),
        }
    }

    /// How many devices and addresses there are. Looks at every node.
    pub fn counts(&self) -> Counts {
        let mut counts =
            Counts { links: self.links.len(), unproven: self.unproven.len(), ..Counts::default() };
        for node in self.nodes() {
            counts.addresses += 1;
            if self.hot(node).owner == NONE {
                match self.locality(node) {
                    model::Locality::OnLink => counts.on_link += 1,
                    model::Locality::Routed => counts.routed += 1,
                    model::Locality::External => counts.external += 1,
                }
            }
        }
        counts
    }

    /// How many devices have changed since [`Inventory::drain_changed`]; some of them may be one by now.
    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Hands over every device that has changed since the last time, as it is now. Each is put together
    /// when it is asked for, so that they need not all be held at once, in the order of the ids, in which a
    /// store keeps them quickest; those that are not asked for count as handed over, too.
    pub fn drain_changed(&mut self) -> impl Iterator<Item = Device> + '_ {
        let changed = std::mem::take(&mut self.changed);
        let mut roots: Vec<u32> = Vec::with_capacity(changed.len());
        for node in changed {
            let hot = self.hot_mut(node);
            if hot.flags & CHANGED != 0 {
                hot.flags &= !CHANGED;
                roots.push(self.root(node));
            }
        }
        roots.sort_unstable_by_key(|root| self.id(*root));
        roots.dedup();
        let known = &*self;
        roots.into_iter().map(|root| known.assemble(root))
    }

    /// Takes note of how far a device is trusted, which is judged elsewhere; it counts as changed.
    pub fn set_access(&mut self, id: DeviceId, access: Access) {
        let Some(node) = self.by_id(id) else { return };
        let before = match access {
            Access::Full => self.access.remove(&id),
            _ => self.access.insert(id, access),
        };
        if before.unwrap_or_default() != access {
            self.mark_changed(node);
        }
    }

    /// Hands over the ids of devices that turned out to be part of another since the last time. An id that
    /// has become a device again is not among them.
    pub fn drain_gone(&mut self, mut each: impl FnMut(DeviceId)) {
        for id in std::mem::take(&mut self.gone) {
            self.access.remove(&id);
            if self.by_id(id).is_none_or(|node| self.hot(node).owner != NONE) {
                each(id);
            }
        }
    }

    /// Hands over what was given up because a limit was reached since the last time. The packets and bytes
    /// for which it stood are not known.
    pub fn drain_shed(&mut self, mut each: impl FnMut(Shed)) {
        self.shed[Limit::Links as usize] += std::mem::take(&mut self.links.shed);
        for (count, name) in self.shed.iter_mut().zip(Limit::NAMES) {
            let count = std::mem::take(count);
            if count > 0 {
                each(Shed { limit: Name::Borrowed(name), count, packets: 0, bytes: 0 });
            }
        }
    }

    pub(crate) fn shed(&mut self, limit: Limit, count: u64) {
        self.shed[limit as usize] += count;
    }

    /// How many slots there are, in use or free.
    #[cfg(test)]
    pub(crate) const fn slots(&self) -> u32 {
        self.hot.len() as u32
    }

    /// All nodes, in the order of their slots.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.hot.len() as u32).filter(|node| self.is_live(*node))
    }

    pub(crate) fn is_live(&self, node: u32) -> bool {
        self.hot(node).flags & LIVE != 0
    }

    pub(crate) fn hot(&self, node: u32) -> &Hot {
        &self.hot[node]
    }

    pub(crate) fn hot_mut(&mut self, node: u32) -> &mut Hot {
        &mut self.hot[node]
    }

    pub(crate) fn cold(&self, node: u32) -> &Cold {
        &self.cold[node]
    }

    pub(crate) fn cold_mut(&mut self, node: u32) -> &mut Cold {
        &mut self.cold[node]
    }

    pub(crate) fn stand(&self, node: u32) -> &Stand {
        &self.stands[node]
    }

    pub(crate) fn stand_mut(&mut self, node: u32) -> &mut Stand {
        &mut self.stands[node]
    }

    pub(crate) fn id(&self, node: u32) -> DeviceId {
        self.ids[node]
    }

    pub(crate) fn station(&self, node: u32) -> Option<&Station> {
        self.cold(node).station.as_deref()
    }

    pub(crate) fn station_mut(&mut self, node: u32) -> Option<&mut Station> {
        self.cold_mut(node).station.as_deref_mut()
    }

    pub(crate) fn leaves(&self, node: u32) -> &[u32] {
        self.station(node).map_or(&[], |station| &station.leaves)
    }

    /// The device to which a node belongs.
    pub(crate) fn root(&self, node: u32) -> u32 {
        let owner = self.hot(node).owner;
        if owner == NONE { node } else { owner }
    }

    /// The nodes of a device: itself and its addresses.
    pub(crate) fn members(&self, root: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::once(root).chain(self.leaves(root).iter().copied())
    }

    pub(crate) fn find_key(&self, key: Key) -> Option<u32> {
        self.by_key.find(key.digest(), |node| self.hot(node).key == key)
    }

    pub(crate) fn by_id(&self, id: DeviceId) -> Option<u32> {
        let is = |node| self.id(node) == id;
        self.by_key.find(Key::digest_of(id), is).or_else(|| self.by_other_id.find(id_hash(id), is))
    }

    /// The node of an address, made if there is none. `None` if a limit forbids it.
    pub(crate) fn node(&mut self, key: Key, at: Timestamp) -> Option<u32> {
        match self.find_key(key) {
            Some(node) => Some(node),
            None => self.create(key, None, at),
        }
    }

    /// Makes a device of an address that has none.
    pub(crate) fn create(&mut self, key: Key, id: Option<DeviceId>, at: Timestamp) -> Option<u32> {
        let public = key.ip().is_some_and(|ip| !address::is_inner(ip));
        if !self.make_room(public, at) {
            return None;
        }
        let station = key.mac().map(|mac| {
            let shared = address::is_shared_by_routers(mac);
            let vendor = vendor::number_of(mac);
            Box::new(Station { shared, forwards: shared, vendor, ..Station::default() })
        });
        let signs =
            station.as_ref().and_then(|station| station.vendor).map_or(0, |vendor| self.vendor_signs(vendor));
        let id = id.filter(|id| self.by_id(*id).is_none()).unwrap_or_else(|| self.new_id(key));
        let hot = Hot {
            key,
            mac: MacAddr::default(),
            flags: LIVE | if public { PUBLIC } else { 0 },
            owner: NONE,
            last: at,
            bytes: [0; 2],
            packets: [0; 2],
            acts: 0,
        };
        let cold = Cold { signs, first: at, station, ..Cold::default() };
        let stand = Stand {
            best: Beliefs::default(),
            behind: NONE,
            via: None,
            bound: None,
            contested: false,
            inner: false,
        };
        let node = match self.free.pop() {
            Some(node) => {
                self.hot[node] = hot;
                self.cold[node] = cold;
                self.stands[node] = stand;
                self.ids[node] = id;
                self.packets_high.remove(&node);
                node
            }
            None => {
                self.hot.push(hot);
                self.cold.push(cold);
                self.stands.push(stand);
                self.ids.push(id);
                (self.hot.len() - 1) as u32
            }
        };
        self.links.know_node(node);
        self.by_key.insert(key.digest(), node);
        if id != key.id() {
            self.by_other_id.insert(id_hash(id), node);
        }
        self.counted[usize::from(public)] += 1;
        self.fresh.push(node);
        self.mark_changed(node);
        if let Some(heard) = self.unproven.take(&key) {
            self.accept(node, heard);
        }
        Some(node)
    }

    /// The id of a new device at an address. If by chance another device has it, the next one is taken.
    fn new_id(&self, key: Key) -> DeviceId {
        let mut id = key.id();
        while self.by_id(id).is_some() {
            id = DeviceId((id.0 + 1) & ID_MASK);
        }
        id
    }

    /// What was kept about a host until it was proven counts from now on.
    fn accept(&mut self, node: u32, heard: Unproven) {
        if let Some(strangers) = heard.mac.and_then(|mac| self.strangers_mut(mac)) {
            *strangers = strangers.saturating_sub(1);
        }
        let sent = heard.sent();
        self.add_volume(node, &sent, &Volume::default());
        for fact in &heard.facts {
            self.believe(node, &fact.told());
        }
        if let Some((code, server, at)) = heard.used {
            let server = server.and_then(|key| self.find_key(key)).unwrap_or(NONE);
            self.meet(node, server, code, true, [sent.bytes, 0], at);
        }
    }

    /// Makes sure that one more device of that kind is within the limits.
    fn make_room(&mut self, public: bool, at: Timestamp) -> bool {
        let (limit, name) = if public {
            (self.limits.external, Limit::External)
        } else {
            // Addresses beside devices: each device has at least one of either kind.
            (self.limits.devices.saturating_mul(2), Limit::Devices)
        };
        if self.counted[usize::from(public)] < limit {
            return true;
        }
        self.shed(name, 1);
        let mut victim = None;
        let mut weighed = 0;
        for _ in 0..SAMPLE.min(self.hot.len()) {
            self.hand = (self.hand + 1) % self.hot.len();
            let node = self.hand as u32;
            let hot = self.hot(node);
            let fits = hot.flags & LIVE != 0 && hot.owner == NONE && (hot.flags & PUBLIC != 0) == public;
            if !fits {
                continue;
            }
            let (_, last) = self.span(node);
            if last >= at {
                continue;
            }
            let known = !self.leaves(node).is_empty()
                || self.links.has_any(node)
                || !self.cold(node).entries.is_empty();
            victim = victim.into_iter().chain([(known, last, node)]).min();
            weighed += 1;
            if !known || weighed == WEIGHED {
                break;
            }
        }
        let Some((_, _, node)) = victim else { return false };
        self.evict(node);
        true
    }

    /// Forgets a device.
    fn evict(&mut self, root: u32) {
        for leaf in self.leaves(root).to_vec() {
            self.erase(leaf);
        }
        if let Some(station) = self.station(root) {
            for near in station.near.clone() {
                self.stand_mut(near).behind = NONE;
                self.hot_mut(near).flags &= !CAME_NEAR;
            }
        }
        self.erase(root);
        self.settle_let_go();
    }

    fn erase(&mut self, node: u32) {
        let behind = self.stand(node).behind;
        if behind != NONE {
            self.leave_near(node, behind);
        }
        self.links.forget(node);
        let (key, id) = (self.hot(node).key, self.id(node));
        self.by_key.remove(key.digest(), node);
        if id != key.id() {
            self.by_other_id.remove(id_hash(id), node);
        }
        self.counted[usize::from(self.hot(node).flags & PUBLIC != 0)] -= 1;
        let cold = self.cold_mut(node);
        cold.entries = Few::default();
        cold.parts = Few::default();
        cold.station = None;
        self.stand_mut(node).best = Beliefs::default();
        self.stored_peers.remove(&node);
        self.hot_mut(node).flags = 0;
        self.hot_mut(node).owner = NONE;
        self.fresh.retain(|fresh| *fresh != node);
        self.doubtful.retain(|(doubtful, _)| *doubtful != node);
        self.free.push(node);
    }

    /// The node is not among the unbound addresses of a link-layer address any more.
    pub(crate) fn leave_near(&mut self, node: u32, station: u32) {
        self.stand_mut(node).behind = NONE;
        if let Some(station) = self.station_mut(station) {
            station.near.retain(|near| *near != node);
        }
    }

    pub(crate) fn mark_changed(&mut self, node: u32) {
        let hot = self.hot_mut(node);
        if hot.flags & CHANGED == 0 {
            hot.flags |= CHANGED;
            self.changed.push(node);
        }
    }

    /// Forgets that nodes changed, from a place in the list of changes on.
    pub(crate) fn unmark_changed(&mut self, from: usize) {
        for node in self.changed.split_off(from.min(self.changed.len())) {
            self.hot_mut(node).flags &= !CHANGED;
        }
    }

    pub(crate) fn mark_gone(&mut self, id: DeviceId) {
        self.gone.push(id);
    }

    /// The node was seen.
    pub(crate) fn touch(&mut self, node: u32, at: Timestamp) {
        let hot = &mut self.hot[node];
        hot.last = hot.last.max(at);
        if hot.flags & CHANGED == 0 {
            hot.flags |= CHANGED;
            self.changed.push(node);
        }
    }

    pub(crate) fn is_fresh(&self, node: u32) -> bool {
        !self.fresh.is_empty() && self.fresh.contains(&node)
    }

    /// Tells what followed for a device, unless it only appears with this observation and all is told then.
    pub(crate) fn tell(&mut self, root: u32, at: Timestamp, change: Change) {
        if !self.is_fresh(root) {
            let device = self.id(root);
            self.pending.push(Event { at, device: Some(device), change });
        }
    }

    pub(crate) fn add_volume(&mut self, node: u32, sent: &Volume, got: &Volume) {
        let hot = &mut self.hot[node];
        for (at, volume) in [sent, got].into_iter().enumerate() {
            hot.bytes[at] = hot.bytes[at].saturating_add(volume.bytes);
            let packets = u64::from(hot.packets[at]).saturating_add(volume.packets);
            hot.packets[at] = packets as u32;
            if packets >> 32 != 0 {
                let high = &mut self.packets_high.entry(node).or_default()[at];
                *high = high.saturating_add((packets >> 32) as u32);
            }
        }
    }

    pub(crate) fn packets(&self, node: u32, at: usize) -> u64 {
        let high = self.packets_high.get(&node).map_or(0, |high| high[at]);
        u64::from(high) << 32 | u64::from(self.hot(node).packets[at])
    }

    /// The number of a name.
    pub(crate) fn name(&mut self, name: &Name) -> NameId {
        let (number, state) = self.names.number(name);
        if state == Numbered::Full {
            self.shed(Limit::Names, 1);
        }
        number
    }

    fn vendor_signs(&mut self, vendor: NameId) -> Signs {
        let Some(slot) = self.vendors.get_mut(usize::from(vendor)) else { return 0 };
        let (signs, _) = slot.get_or_insert_with(|| {
            let name = vendor::name(vendor).unwrap_or_default();
            (vendor_signs(name), vendor::brand(name))
        });
        *signs
    }

    /// The signs in offering and in using a protocol.
    fn protocol_signs(&mut self, protocol: NameId) -> [Signs; 2] {
        let at = usize::from(protocol);
        if self.protocol_signs.len() <= at {
            self.protocol_signs.resize(at + 1, None);
        }
        let names = &self.names;
        *self.protocol_signs[at].get_or_insert_with(|| {
            let name = names.name(protocol);
            [rules::uses(name), rules::offers(name, Transport::Udp, 0)]
        })
    }

    /// Takes up a statement about a node.
    pub(crate) fn believe(&mut self, node: u32, told: &Told<'_>) {
        let Told { at, attribute, value: told, source, confidence } = *told;
        if attribute == Attribute::Identifier
            && let Some(port) = self.hot(node).key.mac()
            && let Some(chassis) = chassis_of(source, told)
        {
            self.note_chassis(port, chassis);
        }
        let source = self.name(source);
        let confidence = match attribute {
            Attribute::Hostname if names::is_made_up(told) => confidence.get().min(MADE_UP),
            _ => confidence.get(),
        };
        let value = if attribute == Attribute::Vendor { vendor::brand(told) } else { told };
        let mut entry =
            Entry { value: Box::default(), source, attribute, confidence, count: 1, first: at, last: at };
        let entries = &mut self.cold_mut(node).entries;
        let added = match evidence::repeat(entries, value, &entry) {
            Some(added) => added,
            None => {
                let heard = |known: &Entry| known.attribute == attribute && *known.value == *value;
                let signs = match attribute {
                    _ if entries.iter().any(heard) => 0,
                    Attribute::Vendor => vendor_signs(told),
                    _ => rules::says(attribute, told),
                };
                entry.value = value.into();
                let limit = self.limits.values;
                let added = evidence::add(&mut self.cold_mut(node).entries, entry, limit);
                self.add_signs(node, signs);
                added
            }
        };
        if added.shed {
            self.shed(Limit::Values, 1);
        }
        if added.changed {
            self.doubtful.push((node, Attributes::one(attribute)));
        }
        self.mark_changed(node);
    }

    pub(crate) fn add_signs(&mut self, node: u32, signs: Signs) {
        let cold = self.cold_mut(node);
        if cold.signs | signs != cold.signs {
            cold.signs |= signs;
            self.doubtful.push((node, Attributes::CONCLUDED));
        }
    }

    /// A network address of which its device was told to keep only the history is forgotten.
    pub(crate) fn forget_leaf(&mut self, node: u32) {
        self.erase(node);
        self.settle_let_go();
    }

    /// Two nodes met by a service. The server may be nobody in particular ([`NONE`]).
    pub(crate) fn meet(
        &mut self,
        client: u32,
        server: u32,
        code: Code,
        ended: bool,
        bytes: [u64; 2],
        at: Timestamp,
    ) {
        let (link, new) = self.links.between([client, server], code);
        self.links.add(link, ended, bytes, at);
        if new {
            self.take_part(client, CLIENT, code, 0, at);
            if server != NONE && code.is_answered() {
                self.take_part(server, SERVER, code, 0, at);
            }
        }
        if !self.links.let_go.is_empty() {
            self.settle_let_go();
        }
    }

    /// A node has a part in a service, with so many conversations beside those that its links count.
    pub(crate) fn take_part(&mut self, node: u32, part: usize, code: Code, flows: u32, at: Timestamp) {
        if !code.is_service() {
            return;
        }
        let code = code.plain();
        let limit = self.limits.services;
        let parts = &mut self.cold_mut(node).parts;
        if let Some(known) =
            parts.iter_mut().find(|known| known.code == code && usize::from(known.part) == part)
        {
            known.flows = known.flows.saturating_add(flows);
            return;
        }
        let added = Part { code, part: part as u8, flows };
        if parts.len() < limit {
            parts.push(added);
        } else {
            let unrecognised = parts.iter_mut().filter(|known| !known.code.is_identified());
            let room = unrecognised.min_by_key(|known| known.flows).filter(|_| code.is_identified());
            let found_room = room.map(|room| *room = added).is_some();
            self.shed(Limit::Services, 1);
            if !found_room {
                return;
            }
        }
        let mut signs = self.protocol_signs(code.protocol())[part];
        if part == SERVER {
            signs |= rules::offers("", code.transport(), code.port());
        }
        self.add_signs(node, signs);
        self.mark_changed(node);
        let root = self.root(node);
        let sibling_offers = |node: &u32| {
            let parts = &self.cold(*node).parts;
            parts.iter().any(|known| known.code == code && usize::from(known.part) == SERVER)
        };
        if part == SERVER
            && !self.members(root).filter(|member| *member != node).any(|node| sibling_offers(&node))
        {
            let service = code.service(&self.names);
            self.tell(root, at, Change::ServiceOffered { service });
        }
    }

    /// Adds the conversations of links that were let go to the services' counts.
    pub(crate) fn settle_let_go(&mut self) {
        for gone in std::mem::take(&mut self.links.let_go) {
            let code = gone.code.plain();
            if !self.is_live(gone.node) {
                continue;
            }
            let parts = &mut self.cold_mut(gone.node).parts;
            let part =
                parts.iter_mut().find(|known| known.code == code && usize::from(known.part) == gone.part);
            if let Some(part) = part {
                part.flows = part.flows.saturating_add(gone.flows);
            }
        }
    }

    /// Remembers that a network lies on a link.
    pub(crate) fn know_network(&mut self, ip: IpAddr) {
        if self.networks.len() < NETWORKS_MAX && !address::is_link_local(ip) {
            self.networks.insert(address::network(ip));
        }
    }

    /// A word for how far a packet came, in [`Hot::flags`].
    pub(crate) const fn came(reach: Reach) -> u8 {
        match reach {
            Reach::Routed => CAME_ROUTED,
            Reach::Near | Reach::Unknown => CAME_NEAR,
        }
    }

    /// The family's place in [`Station::crowded`].
    pub(crate) const fn family_index(family: Family) -> usize {
        family as usize
    }
}

/// The signs in a maker's name as it was told, and as people know it.
fn vendor_signs(name: &str) -> Signs {
    rules::says(Attribute::Vendor, name) | rules::says(Attribute::Vendor, vendor::brand(name))
}

/// The link-layer address of the chassis that a port names: in LLDP's chassis identifier (IEEE 802.1AB clause
/// 8.5.2) and in a bridge's identifier (IEEE 802.1D clause 9.2.5). Neither is forwarded by bridges, so that
/// they are about their sender.
fn chassis_of(source: &str, value: &str) -> Option<MacAddr> {
    let text = match source {
        "lldp.chassis" => value.strip_prefix("chassis ")?,
        "stp.bridge" => value.strip_prefix("bridge ")?,
        _ => return None,
    };
    text.parse().ok()
}

fn id_hash(id: DeviceId) -> u64 {
    digest(3, id.0)
}
