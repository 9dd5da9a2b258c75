//! What is believed about a device: all that is said about its addresses, and what follows from its signs.

use model::{Attribute, Change, Confidence, Event, Name, Timestamp};

use crate::evidence::{self, Said};
use crate::links::NONE;
use crate::node::{ASSIGNED, Inventory};
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

/// What is believed about a device: one value for each attribute of which something is said. All of them
/// lie together: each is its attribute, its length in four bytes, and its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beliefs(Box<[u8]>);

impl Beliefs {
    /// Each attribute, its value, and where it ends.
    fn iter(&self) -> impl Iterator<Item = (u8, &[u8], usize)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (attribute, after) = rest.split_first()?;
            let (length, after) = after.split_first_chunk()?;
            let (value, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            Some((*attribute, value, self.0.len() - after.len()))
        })
    }

    pub(crate) fn of(&self, attribute: Attribute) -> Option<&[u8]> {
        self.iter().find(|(known, ..)| *known == attribute as u8).map(|(_, value, _)| value)
    }

    /// The attributes of which something is believed.
    fn attributes(&self) -> Attributes {
        Attributes(self.iter().fold(0, |all, (attribute, ..)| all | 1 << attribute))
    }

    /// Believes a value of an attribute from now on; the value before.
    fn set(&mut self, attribute: Attribute, value: &str) -> Option<Box<str>> {
        let before = self.of(attribute).map(|before| String::from_utf8_lossy(before).into());
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut all = self.without(Attributes::one(attribute), 1 + length.len() + value.len());
        all.push(attribute as u8);
        all.extend_from_slice(&length);
        all.extend_from_slice(value.as_bytes());
        self.0 = all.into_boxed_slice();
        before
    }

    /// Believes nothing any more of some attributes.
    fn forget(&mut self, attributes: Attributes) {
        self.0 = self.without(attributes, 0).into();
    }

    /// All but some, with room for more.
    fn without(&self, attributes: Attributes, room: usize) -> Vec<u8> {
        let mut start = 0;
        let mut kept = Vec::with_capacity(self.0.len() + room);
        for (attribute, _, end) in self.iter() {
            if !attributes.has_any(Attributes(1 << attribute)) {
                kept.extend_from_slice(&self.0[start..end]);
            }
            start = end;
        }
        kept
    }
}

/// What is believed otherwise from now on.
struct News {
    /// The value of an attribute, and who says so.
    values: Vec<(Attribute, Box<str>, Name)>,
    /// Nothing is said about these any more.
    lost: Attributes,
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
            let live = self.is_live(*node);
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
            let news =
                self.compare(*node, std::mem::replace(&mut doubtful[place].1, Attributes::NONE), &said);
            out.push(Event { at, device: Some(known.id), change: Change::DeviceAppeared { known } });
            self.believe_now(*node, news, |_| {});
        }
        out.append(&mut self.pending);
        for (root, attributes) in doubtful.drain(..) {
            if attributes == Attributes::NONE {
                continue;
            }
            let news = self.compare(root, attributes, &self.said(root, attributes, at));
            let device = self.id(root);
            self.believe_now(root, news, |change| out.push(Event { at, device: Some(device), change }));
        }
        // Their places in memory serve again.
        self.doubtful = doubtful;
        self.fresh = fresh;
        self.fresh.clear();
    }

    /// Everything said about a device, attribute by attribute, the most believed first.
    pub(crate) fn statements(&self, root: u32) -> Vec<Said<'_>> {
        let (_, last) = self.span(root);
        let mut said = self.said(root, Attributes::ALL, last);
        for said in said.chunk_by_mut(|one, next| one.attribute == next.attribute) {
            evidence::rank(said[0].attribute, said);
        }
        said
    }

    /// Everything said about some attributes of a device, attribute by attribute. What is concluded follows
    /// until `last`.
    fn said(&self, root: u32, wanted: Attributes, last: Timestamp) -> Vec<Said<'_>> {
        let mut said: Vec<Said<'_>> = Vec::with_capacity(USUALLY_SAID);
        let (mut signs, mut first) = (0, self.cold(root).first);
        for node in self.members(root) {
            let cold = self.cold(node);
            signs |= cold.signs;
            first = first.min(cold.first);
            for entry in cold.entries.iter().filter(|entry| wanted.has(entry.attribute)) {
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
            self.conclude(root, wanted, signs, |attribute, value, source, confidence| {
                if wanted.has(attribute) {
                    let confidence = confidence.get();
                    said.push(Said { attribute, value, source, confidence, first, last, count: 1 });
                }
            });
        }
        said.sort_by_key(|one| one.attribute);
        said
    }

    /// Tells what follows from signs and from the address.
    fn conclude(
        &self,
        root: u32,
        wanted: Attributes,
        mut signs: Signs,
        mut each: impl FnMut(Attribute, &'static str, &'static Name, Confidence),
    ) {
        if let Some(station) = self.station(root) {
            // The router's sign is not monotone, so it is no part of a node's signs.
            if station.forwards {
                signs |= rules::forwards();
            }
            let known = station.vendor.and_then(|number| *self.vendors.get(usize::from(number))?);
            if let Some((_, brand)) = known {
                each(Attribute::Vendor, brand, &ASSIGNED, Confidence::LIKELY);
            }
        }
        if wanted.has_any(Attributes::CONCLUDED) {
            for (rule, source) in rules::conclusions(signs) {
                let role = rule.role.map(|role| (Attribute::Role, role.name()));
                let kind = rule.kind.map(|kind| (Attribute::Type, kind));
                let system = rule.system.map(|system| (Attribute::OperatingSystem, system));
                for (attribute, value) in [role, kind, system].into_iter().flatten() {
                    each(attribute, value, source, rule.confidence);
                }
            }
        }
    }

    /// When a device was first and last seen.
    pub(crate) fn span(&self, root: u32) -> (Timestamp, Timestamp) {
        self.members(root).fold((self.cold(root).first, self.hot(root).last), |(first, last), node| {
            (first.min(self.cold(node).first), last.max(self.hot(node).last))
        })
    }

    /// Of some attributes of a device, those that are believed otherwise than before. For each of them all
    /// that is said must be there.
    fn compare(&self, root: u32, attributes: Attributes, said: &[Said<'_>]) -> News {
        let believed = &self.stand(root).best;
        let mut values = Vec::new();
        let mut unsaid = attributes;
        for said in said.chunk_by(|one, next| one.attribute == next.attribute) {
            let attribute = said[0].attribute;
            if !attributes.has(attribute) {
                continue;
            }
            unsaid = unsaid.without(attribute);
            if let Some(now) = evidence::best(attribute, said)
                && believed.of(attribute) != Some(now.value.as_bytes())
            {
                values.push((attribute, now.value.into(), now.source.clone()));
            }
        }
        // What was said went with an address that belongs to another device now.
        News { values, lost: Attributes(believed.attributes().0 & unsaid.0) }
    }

    /// Takes up what is believed now, and tells each change of it.
    fn believe_now(&mut self, root: u32, news: News, mut tell: impl FnMut(Change)) {
        if news.lost != Attributes::NONE {
            self.stand_mut(root).best.forget(news.lost);
        }
        if !news.values.is_empty() {
            self.mark_changed(root);
        }
        for (attribute, after, source) in news.values {
            let before = self.stand_mut(root).best.set(attribute, &after);
            tell(Change::AttributeChanged { attribute, before, after, source });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_believed_of_each_attribute_until_another_or_none_is() {
        let mut beliefs = Beliefs::default();
        assert_eq!(beliefs.set(Attribute::Vendor, "Siemens"), None);
        assert_eq!(beliefs.set(Attribute::Role, ""), None);
        assert_eq!(beliefs.set(Attribute::Identifier, "é"), None);
        assert_eq!(beliefs.set(Attribute::Vendor, "WAGO").as_deref(), Some("Siemens"));
        assert_eq!(beliefs.of(Attribute::Vendor), Some(&b"WAGO"[..]));
        assert_eq!((beliefs.of(Attribute::Role), beliefs.of(Attribute::Model)), (Some(&[][..]), None));
        beliefs.forget(Attributes::one(Attribute::Vendor).with(Attribute::Model));
        assert_eq!(beliefs.attributes(), Attributes::one(Attribute::Role).with(Attribute::Identifier));
        assert_eq!(beliefs.set(Attribute::Identifier, "e").as_deref(), Some("é"));
    }
}
