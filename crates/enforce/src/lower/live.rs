//! Follows devices that change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{DeviceId, MacAddr, Transport};
use policy::{Bonds, ClassRef, Compiled, SetRef};

use super::{Content, INLINE_MAX, Lowered, Options, Unit, Writer, bits, ip, managed, tagged};
use crate::firewall::Firewall;
use crate::{Change, Class, EXPANSION_MAX, Family, KeepError, Keeper, Ruleset, RulesetError};

/// Of a large class that changes, so many members that stay are told with those that come and go: more than are written one by
/// one in any case.
const MEMBERS_TOLD: usize = EXPANSION_MAX + 1;

/// Who is where: all that rules are written from besides the policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) units: BTreeMap<Unit, Content>,
    /// Who has an address that is not just any of a stretch.
    pub(super) owners: BTreeMap<u128, Unit>,
    /// Units by the sets that rules lead to, and by those that rules lead from.
    pub(super) asked: BTreeMap<SetRef, BTreeSet<Unit>>,
    asks: BTreeMap<SetRef, BTreeSet<Unit>>,
    /// The names of the managed ones.
    pub(super) names: BTreeMap<Unit, Arc<str>>,
    pub(super) by_name: BTreeMap<Arc<str>, Unit>,
    pub(super) devices: BTreeMap<DeviceId, Placed>,
    /// Sides of rules about what is carried straight on the link.
    on_link_sides: [BTreeSet<SetRef>; 2],
    /// Where stretches begin, and whose they are.
    stretches: BTreeMap<u128, Unit>,
    /// All that has bound somebody.
    bonds: BTreeSet<Bonds>,
}

/// Where a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    unit: Unit,
    points: Vec<u128>,
    macs: Vec<MacAddr>,
}

impl Placed {
    /// Whether a rule can name it.
    const fn is_somewhere(&self) -> bool {
        !self.points.is_empty() || !self.macs.is_empty()
    }

    /// Whether it is managed and no rule can name it.
    pub(super) const fn is_nameless(&self) -> bool {
        self.unit.managed && !self.is_somewhere()
    }
}

impl Places {
    fn new(compiled: &Compiled, options: &Options) -> Self {
        let mut places = Self::default();
        for entry in compiled.network_entries().filter(|entry| entry.does == policy::Lowered::Allow) {
            if entry.ports.ranges().any(|(transport, ..)| matches!(transport, Transport::Ether(_))) {
                let [from, to] = &mut places.on_link_sides;
                from.insert(entry.source);
                to.insert(entry.destination);
            }
        }
        for device in compiled.devices() {
            if let Some(placed) = places.placed(compiled, options, device.id) {
                places.put(device.id, placed);
            }
        }
        for (address, class) in compiled.named_addresses() {
            let unit = Unit { class, managed: managed(compiled, class, false, options.strict) };
            places.owners.insert(bits(address), unit);
            places.units.entry(unit).or_default().points.insert(bits(address));
        }
        for stretch in compiled.address_space() {
            let class = stretch.class;
            let unit = Unit { class, managed: managed(compiled, class, false, options.strict) };
            let stretches = &mut places.units.entry(unit).or_default().stretches;
            stretches.push((bits(stretch.first), bits(stretch.last)));
            places.stretches.insert(bits(stretch.first), unit);
        }
        let units: Vec<Unit> = places.units.keys().copied().collect();
        for unit in units {
            places.enter(compiled, unit);
        }
        places
    }

    /// Where a device is now.
    fn placed(&self, compiled: &Compiled, options: &Options, id: DeviceId) -> Option<Placed> {
        let (device, class) = (compiled.device(id)?, compiled.class_of_device(id)?);
        let unit = Unit { class, managed: managed(compiled, class, true, options.strict) };
        let points: Vec<u128> = compiled.addresses_of(device).into_iter().map(bits).collect();
        let macs = match options.family {
            Family::Bridged if points.is_empty() || self.speaks_on_link(compiled, class) => {
                compiled.macs_of(id).into_iter().filter(|mac| mac.is_station()).collect()
            }
            _ => Vec::new(),
        };
        Some(Placed { unit, points, macs })
    }

    /// Whether rules name what a class may open or be opened to straight on the link.
    fn speaks_on_link(&self, compiled: &Compiled, class: ClassRef) -> bool {
        let [from, to] = &self.on_link_sides;
        compiled.asks_as(class).any(|set| from.contains(&set))
            || compiled.asked_as(class).any(|set| to.contains(&set))
    }

    fn put(&mut self, id: DeviceId, placed: Placed) {
        for point in &placed.points {
            // Whoever had the address by a name has it no more.
            if let Some(old) = self.owners.insert(*point, placed.unit)
                && let Some(content) = self.units.get_mut(&old)
            {
                content.points.remove(point);
            }
        }
        if placed.is_somewhere() {
            let content = self.units.entry(placed.unit).or_default();
            content.points.extend(&placed.points);
            content.macs.extend(&placed.macs);
        }
        self.devices.insert(id, placed);
    }

    /// Takes a device out; its addresses are those of their names again.
    fn take(&mut self, compiled: &Compiled, options: &Options, id: DeviceId) {
        let Some(placed) = self.devices.remove(&id) else { return };
        if let Some(content) = self.units.get_mut(&placed.unit) {
            placed.points.iter().for_each(|point| _ = content.points.remove(point));
            placed.macs.iter().for_each(|mac| _ = content.macs.remove(mac));
        }
        for point in placed.points {
            self.owners.remove(&point);
            if let Some(class) = compiled.class_of_named(ip(point)) {
                let unit = Unit { class, managed: managed(compiled, class, false, options.strict) };
                self.owners.insert(point, unit);
                self.units.entry(unit).or_default().points.insert(point);
            }
        }
    }

    /// A unit can be found by the sets that it is in, and has a name that no other has.
    fn enter(&mut self, compiled: &Compiled, unit: Unit) {
        for set in compiled.asked_as(unit.class) {
            self.asked.entry(set).or_default().insert(unit);
        }
        for set in compiled.asks_as(unit.class) {
            self.asks.entry(set).or_default().insert(unit);
        }
        self.bonds.insert(compiled.bonds(unit.class));
        if unit.managed {
            let mut name = self.name(compiled, unit);
            // Sets that no rule names can still tell two classes apart.
            let mut count = 1_u32;
            while self.by_name.contains_key(name.as_str()) {
                count += 1;
                name = tagged(&name, &count.to_string());
            }
            let name: Arc<str> = name.into();
            self.by_name.insert(name.clone(), unit);
            self.names.insert(unit, name);
        }
    }

    /// A name for a class that stays the same while the policy does.
    fn name(&self, compiled: &Compiled, unit: Unit) -> String {
        let names = compiled.names_of_class(unit.class).join("+");
        let points = self.units.get(&unit).map(|content| &content.points);
        let single = points.filter(|points| names.is_empty() && points.len() == 1);
        let what = match single.and_then(BTreeSet::first) {
            Some(point) => ip(*point).to_string(),
            None if names.is_empty() => "others".into(),
            None => names,
        };
        let sets: Vec<SetRef> = compiled.asks_as(unit.class).chain(compiled.asked_as(unit.class)).collect();
        tagged(&what, &format!("{:?} {sets:?}", compiled.located(unit.class)))
    }

    /// Whether one of some units is in a set that a rule leads to.
    pub(super) fn is_asked(&self, set: SetRef, units: &BTreeSet<Unit>) -> bool {
        self.asked.get(&set).is_some_and(|asked| units.iter().any(|unit| asked.contains(unit)))
    }

    /// Whether a rule to a set always names classes one by one, whatever is taken away.
    fn is_small(&self, set: SetRef) -> bool {
        self.asked
            .get(&set)
            .is_none_or(|units| units.len() <= INLINE_MAX && units.iter().all(|unit| unit.managed))
    }

    /// Who has an address: a device, a name, or just anyone there.
    fn owner(&self, point: u128) -> Option<Unit> {
        let strange = || self.stretches.range(..=point).next_back().map(|(_, unit)| *unit);
        self.owners.get(&point).copied().or_else(strange)
    }

    /// Whether a unit, for whoever asks, is told with many others by their addresses, in a rule to a set.
    fn is_among_many(&self, compiled: &Compiled, set: SetRef, unit: Unit) -> bool {
        let Some(units) = self.asked.get(&set).filter(|units| units.contains(&unit)) else { return false };
        self.bonds.iter().all(|bonds| {
            let taken = compiled.taken(bonds, unit.class);
            let with = units.iter().filter(|other| compiled.taken(bonds, other.class) == taken);
            let (mut count, mut unmanaged) = (0, false);
            for other in with.filter(|other| **other != unit) {
                count += 1;
                unmanaged |= !other.managed;
            }
            unmanaged || count > INLINE_MAX
        })
    }
}

/// What a ruleset becomes when devices change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It stays as it is.
    Nothing,
    /// A part of it changes: as [`Keeper::patch`] takes it, before and after.
    Part(Box<[Ruleset; 2]>),
    /// All of it is to be written again: [`Live::lowered`].
    Whole,
}

/// Takes most members out of large classes and groups that they are in before and after: what is written for one member more
/// does not depend on them, as long as there are more than are written one by one.
fn abridge([before, after]: &mut [Ruleset; 2]) {
    fn less<T: Copy + Ord>(before: &mut Vec<T>, after: &mut Vec<T>) {
        if before.len().min(after.len()) <= 2 * MEMBERS_TOLD {
            return;
        }
        let (had, has): (BTreeSet<T>, BTreeSet<T>) =
            (before.iter().copied().collect(), after.iter().copied().collect());
        let stay: BTreeSet<T> = had.intersection(&has).copied().skip(MEMBERS_TOLD).collect();
        before.retain(|one| !stay.contains(one));
        after.retain(|one| !stay.contains(one));
    }
    for (was, is) in before.classes.iter_mut().zip(&mut after.classes) {
        less(&mut was.members, &mut is.members);
    }
    for was in &mut before.groups {
        if let Some(is) = after.groups.iter_mut().find(|is| is.name == was.name) {
            less(&mut was.networks, &mut is.networks);
        }
    }
}

/// A policy as a ruleset that follows its devices. Made for one compiled policy and its clones; a policy that is compiled anew,
/// and names that are resolved anew ([`Compiled::resolve`]), need another one.
#[derive(Clone, Debug)]
pub struct Live {
    options: Options,
    places: Places,
}

impl Live {
    /// As devices are now.
    pub fn new(compiled: &Compiled, options: Options) -> Self {
        Self { places: Places::new(compiled, &options), options }
    }

    /// The whole ruleset.
    ///
    /// # Errors
    ///
    /// If it would be larger than a ruleset may be.
    pub fn lowered(&self, compiled: &Compiled) -> Result<Lowered, RulesetError> {
        Writer::new(compiled, &self.options, &self.places).whole()
    }

    /// Takes in that devices have changed: those that [`Compiled::update`] and [`Compiled::remove`] tell. The guard list stays
    /// as it is. The effort grows with what rules say of these devices, not with the ruleset, unless the answer is
    /// [`Changed::Whole`].
    ///
    /// # Errors
    ///
    /// If it would be larger than a ruleset may be.
    pub fn update(&mut self, compiled: &Compiled, touched: &[DeviceId]) -> Result<Changed, RulesetError> {
        let mut next: Vec<(DeviceId, Option<Placed>)> = Vec::new();
        for id in touched {
            let now = self.places.placed(compiled, &self.options, *id);
            if now.as_ref() != self.places.devices.get(id) {
                next.push((*id, now));
            }
        }
        if next.is_empty() {
            return Ok(Changed::Nothing);
        }
        let was = next.iter().filter_map(|(id, _)| self.places.devices.get(id));
        let both = was.chain(next.iter().filter_map(|(_, now)| now.as_ref()));
        let both: Vec<&Placed> = both.filter(|placed| placed.is_somewhere()).collect();
        let units: BTreeSet<Unit> = both.iter().map(|placed| placed.unit).collect();
        let points: BTreeSet<u128> = both.iter().flat_map(|placed| placed.points.iter().copied()).collect();
        let owners = |places: &Places| points.iter().map(|point| places.owner(*point)).collect::<Vec<_>>();
        // A unit that is new is there before, too: with nobody in it.
        let new: BTreeSet<Unit> =
            units.iter().filter(|unit| !self.places.units.contains_key(unit)).copied().collect();
        for unit in &new {
            self.places.units.entry(*unit).or_default();
            self.places.enter(compiled, *unit);
        }
        let had = owners(&self.places);
        let before = if self.is_apart(compiled, &units) { Some(self.part(compiled, &units)?) } else { None };
        for (id, _) in &next {
            self.places.take(compiled, &self.options, *id);
        }
        for (id, now) in next {
            now.into_iter().for_each(|now| self.places.put(id, now));
        }
        let has = owners(&self.places);
        let moved = had.into_iter().zip(has).filter(|(had, has)| had != has);
        let fits = |(had, has): (Option<Unit>, Option<Unit>)| {
            had.zip(has).is_some_and(|(had, has)| self.moves_alone(compiled, had, has))
        };
        let Some(before) = before.filter(|_| moved.into_iter().all(fits)) else { return Ok(Changed::Whole) };
        let mut sides = [before, self.part(compiled, &units)?];
        // Both name the same classes; those of before have the members that they had.
        let mut names: BTreeMap<String, Vec<crate::Address>> = BTreeMap::new();
        for class in sides.iter().flat_map(|side| &side.classes) {
            names.entry(class.name.clone()).or_insert_with(|| class.members.clone());
        }
        for side in &mut sides {
            let mut classes = names.clone();
            classes.extend(side.classes.drain(..).map(|class| (class.name, class.members)));
            side.classes = classes.into_iter().map(|(name, members)| Class { name, members }).collect();
        }
        abridge(&mut sides);
        Ok(if sides[0] == sides[1] { Changed::Nothing } else { Changed::Part(Box::new(sides)) })
    }

    /// Keeps a ruleset in force when devices have changed: by its part that changes, or else whole.
    ///
    /// # Errors
    ///
    /// Why it is not in force; what was before still is.
    pub fn follow<F: Firewall>(
        &mut self,
        compiled: &Compiled,
        touched: &[DeviceId],
        keeper: &mut Keeper<F>,
    ) -> Result<Option<Change>, KeepError> {
        match self.update(compiled, touched)? {
            Changed::Nothing => return Ok(None),
            Changed::Part(sides) => match keeper.patch(&sides[0], &sides[1]) {
                Err(KeepError::NoPatch(_)) => {}
                done => return done.map(Some),
            },
            Changed::Whole => {}
        }
        keeper.apply(&self.lowered(compiled)?.ruleset).map(Some)
    }

    /// Whether units are single hosts that are managed, which rules name by their classes.
    fn is_apart(&self, compiled: &Compiled, units: &BTreeSet<Unit>) -> bool {
        !self.options.no_groups
            && units.iter().all(|unit| {
                let stretches =
                    self.places.units.get(unit).is_some_and(|content| !content.stretches.is_empty());
                unit.managed
                    && !stretches
                    && compiled.asked_as(unit.class).all(|set| {
                        self.places.is_small(set) || self.places.is_among_many(compiled, set, *unit)
                    })
            })
    }

    /// Whether an address that moves between two units changes nothing for those that hold neither.
    fn moves_alone(&self, compiled: &Compiled, had: Unit, has: Unit) -> bool {
        let places = &self.places;
        let plain = [had, has].into_iter().all(|unit| {
            let stretches = places.units.get(&unit).is_some_and(|content| !content.stretches.is_empty());
            if unit.managed { !stretches } else { compiled.opens(unit.class).is_empty() }
        });
        let sets: BTreeSet<SetRef> =
            compiled.asked_as(had.class).chain(compiled.asked_as(has.class)).collect();
        plain
            && sets.into_iter().filter(|set| !places.is_small(*set)).all(|set| {
                let holds = |unit| places.asked.get(&set).is_some_and(|units| units.contains(&unit));
                let alike = |bonds| compiled.taken(bonds, had.class) == compiled.taken(bonds, has.class);
                holds(had) && holds(has) && places.bonds.iter().all(alike)
            })
    }

    /// The rules that name some units, and all classes in them.
    fn part(&self, compiled: &Compiled, units: &BTreeSet<Unit>) -> Result<Ruleset, RulesetError> {
        let mut writer = Writer::new(compiled, &self.options, &self.places);
        let mut askers: BTreeSet<Unit> = BTreeSet::new();
        for unit in units {
            writer.outward(*unit, None)?;
            for set in compiled.asked_as(unit.class).filter(|set| self.places.is_small(*set)) {
                let from = compiled.asking(set).filter_map(|from| self.places.asks.get(&from));
                askers.extend(from.flatten());
            }
        }
        for asker in askers.iter().filter(|asker| asker.managed && !units.contains(asker)) {
            writer.outward(*asker, Some(units))?;
        }
        // Those who are not managed are told together, and whom they ask one by one.
        for ((asks, bonds), others) in writer.others() {
            writer.inward(&asks, &bonds, &others, Some(units))?;
        }
        Ok(writer.part(units))
    }
}
