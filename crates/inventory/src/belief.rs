//! What is believed about a device: all that is said about its addresses, and what follows from its signs.

use model::{Attribute, Change, Event, Name, Role, Timestamp};

use crate::evidence::{self, Said};
use crate::links::NONE;
use crate::node::{ASSIGNED, Inventory, LIVE};
use crate::rules::{self, Signs};

/// So much is said about most devices at most.
const USUALLY_SAID: usize = 8;

/// A set of attributes: bit n stands for the n-th of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes(u32);

impl Attributes {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u32::MAX);
    /// What rules conclude.
    pub(crate) const CONCLUDED: Self =
        Self::one(Attribute::Type).with(Attribute::OperatingSystem).with(Attribute::Role);
    /// What is known of a device as soon as it is known at all.
    const AT_FIRST: Self = Self::CONCLUDED.with(Attribute::Vendor);

    pub(crate) const fn one(attribute: Attribute) -> Self {
        Self(1 << attribute as u32)
    }

    pub(crate) const fn with(self, attribute: Attribute) -> Self {
        self.and(Self::one(attribute))
    }

    const fn without(self, attribute: Attribute) -> Self {
        Self(self.0 & !Self::one(attribute).0)
    }

    pub(crate) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    const fn has(self, attribute: Attribute) -> bool {
        self.0 & Self::one(attribute).0 != 0
    }

    const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// What is believed about an attribute from now on, and who says so; nothing if nothing is said any more.
struct Belief {
    attribute: Attribute,
    now: Option<(Box<str>, Name)>,
}

impl Inventory {
    /// What is believed about some attributes of a device is to be thought through again.
    pub(crate) fn doubt(&mut self, node: u32, attributes: Attributes) {
        if attributes != Attributes::NONE {
            self.doubtful.push((node, attributes));
        }
    }

    /// Ends an observation: thinks through what has become doubtful and tells what followed.
    pub(crate) fn finish(&mut self, at: Timestamp, out: &mut Vec<Event>) {
        if self.fresh.is_empty() && self.doubtful.is_empty() && self.pending.is_empty() {
            return;
        }
        self.join_chassis(at);
        let mut doubtful = std::mem::take(&mut self.doubtful);
        let fresh = std::mem::take(&mut self.fresh);
        doubtful.retain_mut(|(node, _)| {
            let live = self.hot(*node).flags & LIVE != 0;
            *node = self.root(*node);
            live
        });
        doubtful.extend(fresh.iter().map(|node| (*node, Attributes::AT_FIRST)));
        doubtful.sort_unstable_by_key(|(root, _)| *root);
        doubtful.dedup_by(|other, one| {
            let same = other.0 == one.0;
            if same {
                one.1 = one.1.and(other.1);
            }
            same
        });
        for node in &fresh {
            let place = doubtful.binary_search_by_key(node, |(root, _)| *root);
            let (Ok(place), NONE) = (place, self.hot(*node).owner) else { continue };
            let said = self.statements(*node);
            let known = Box::new(self.assemble_of(*node, &said));
            let beliefs =
                self.compare(*node, std::mem::replace(&mut doubtful[place].1, Attributes::NONE), &said);
            out.push(Event { at, device: known.id, change: Change::DeviceAppeared { known } });
            for belief in beliefs {
                self.believe_now(*node, belief);
            }
        }
        out.append(&mut self.pending);
        for (root, attributes) in doubtful.drain(..) {
            if attributes == Attributes::NONE || self.hot(root).owner != NONE {
                continue;
            }
            let beliefs = self.compare(root, attributes, &self.said(root, attributes));
            let device = self.id(root);
            let changes = beliefs.into_iter().filter_map(|belief| self.believe_now(root, belief));
            out.extend(changes.map(|change| Event { at, device, change }));
        }
        // Their places in memory serve again.
        self.doubtful = doubtful;
        self.fresh = fresh;
        self.fresh.clear();
    }

    /// Everything said about a device, attribute by attribute, the most believed first.
    pub(crate) fn statements(&self, root: u32) -> Vec<Said<'_>> {
        let mut said = self.said(root, Attributes::ALL);
        for said in said.chunk_by_mut(|one, next| one.attribute == next.attribute) {
            evidence::rank(said[0].attribute, said);
        }
        said
    }

    /// Everything said about some attributes of a device, attribute by attribute.
    fn said(&self, root: u32, wanted: Attributes) -> Vec<Said<'_>> {
        let mut said: Vec<Said<'_>> = Vec::with_capacity(USUALLY_SAID);
        for node in self.members(root) {
            for entry in self.cold(node).entries.iter().filter(|entry| wanted.has(entry.attribute)) {
                let one = Said::entry(entry, &self.names);
                // What was said about several of its addresses was said about one device.
                let same = said.iter_mut().find(|known| {
                    known.attribute == one.attribute && known.value == one.value && known.source == one.source
                });
                match same {
                    Some(known) => known.add(&one),
                    None => said.push(one),
                }
            }
        }
        if wanted.has_any(Attributes::AT_FIRST) {
            self.conclude(root, wanted, &mut said);
        }
        said.sort_by_key(|one| one.attribute);
        said
    }

    /// Adds what follows from signs and from the address.
    fn conclude<'a>(&'a self, root: u32, wanted: Attributes, said: &mut Vec<Said<'a>>) {
        let (first, last) = self.span(root);
        let mut add = |attribute, value: &'a str, source: &'a Name, confidence: model::Confidence| {
            if wanted.has(attribute) {
                let confidence = confidence.get();
                said.push(Said { attribute, value, source, confidence, first, last, count: 1 });
            }
        };
        let number = self.station(root).and_then(|station| station.vendor);
        if let Some((_, brand)) = number.and_then(|number| *self.vendors.get(usize::from(number))?) {
            add(Attribute::Vendor, brand, &ASSIGNED, model::Confidence::LIKELY);
        }
        if wanted.has_any(Attributes::CONCLUDED) {
            for (rule, source) in rules::conclusions(self.signs(root)) {
                for (attribute, value) in [
                    (Attribute::Role, rule.role.map(Role::name)),
                    (Attribute::Type, rule.kind),
                    (Attribute::OperatingSystem, rule.system),
                ] {
                    if let Some(value) = value {
                        add(attribute, value, source, rule.confidence);
                    }
                }
            }
        }
    }

    /// Whether the router's sign holds for a device: it is not monotone, so it is no part of [`Cold::signs`].
    ///
    /// [`Cold::signs`]: crate::node::Cold::signs
    fn signs(&self, root: u32) -> Signs {
        let signs = self.members(root).fold(0, |signs, node| signs | self.cold(node).signs);
        let forwards = self.station(root).is_some_and(|station| station.forwards);
        if forwards { signs | rules::forwards() } else { signs }
    }

    /// When a device was first and last seen.
    pub(crate) fn span(&self, root: u32) -> (Timestamp, Timestamp) {
        self.members(root).fold((self.cold(root).first, self.hot(root).last), |(first, last), node| {
            (first.min(self.cold(node).first), last.max(self.hot(node).last))
        })
    }

    /// Of some attributes of a device, those that are believed otherwise than before. For each of them all
    /// that is said must be there.
    fn compare(&self, root: u32, attributes: Attributes, said: &[Said<'_>]) -> Vec<Belief> {
        let believed = &self.stand(root).best;
        let mut beliefs = Vec::new();
        let mut unsaid = attributes;
        for said in said.chunk_by(|one, next| one.attribute == next.attribute) {
            let attribute = said[0].attribute;
            if !attributes.has(attribute) {
                continue;
            }
            unsaid = unsaid.without(attribute);
            let before = believed.iter().find(|(known, _)| *known == attribute);
            if let Some(now) = evidence::best(attribute, said)
                && before.is_none_or(|(_, value)| **value != *now.value)
            {
                let now = Some((now.value.into(), now.source.clone()));
                beliefs.push(Belief { attribute, now });
            }
        }
        // What was said went with an address that belongs to another device now.
        let lost = believed.iter().filter(|(attribute, _)| unsaid.has(*attribute));
        beliefs.extend(lost.map(|(attribute, _)| Belief { attribute: *attribute, now: None }));
        beliefs
    }

    /// Takes up what is believed now; what changed by that.
    fn believe_now(&mut self, root: u32, belief: Belief) -> Option<Change> {
        let Belief { attribute, now } = belief;
        let best = &mut self.stand_mut(root).best;
        let Some((after, source)) = now else {
            best.retain(|(known, _)| *known != attribute);
            return None;
        };
        let before = match best.iter_mut().find(|(known, _)| *known == attribute) {
            Some((_, known)) => Some(std::mem::replace(known, after.clone())),
            None => {
                best.push((attribute, after.clone()));
                None
            }
        };
        self.mark_changed(root);
        Some(Change::AttributeChanged { attribute, before, after, source })
    }
}
