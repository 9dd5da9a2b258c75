//! Keeps a ruleset in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::compile::{Compiled, Support, TABLE, compile};
use crate::drift::{Drift, drift};
use crate::firewall::{Counter, Depth, Firewall, FirewallError, Listing, support};
use crate::ruleset::dns_name;
use crate::table::{Command, Entry, PIECE_ELEMENTS, Table, Transaction};
use crate::{Address, Family, Ruleset, RulesetError};

/// For how long an address is kept at least for a name: a client asks first and opens afterwards.
pub const NAME_LIFE_MIN: Duration = Duration::from_secs(60);
/// For how long an address is kept at most, whatever the answer says.
pub const NAME_LIFE_MAX: Duration = Duration::from_secs(86_400);

/// Why a ruleset is not in force. Whatever was in force before still is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// It cannot be in force at all.
    #[error(transparent)]
    Ruleset(#[from] RulesetError),
    /// The firewall did not take it.
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    /// The ruleset is for another family than that which is kept.
    #[error(
        "the ruleset is for {ruleset:?} packets, kept are rules for {kept:?} ones: keep each with its own"
    )]
    Family {
        /// That of the ruleset.
        ruleset: Family,
        /// That which is kept.
        kept: Family,
    },
    /// It takes the whole ruleset.
    #[error("this change cannot be made by itself, as {0}: apply the whole ruleset")]
    NoPatch(&'static str),
}

/// What is done, or would be done, to put a ruleset in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether the whole table is put in place; otherwise only what differs is changed.
    pub whole: bool,
    /// Elements that come.
    pub added: usize,
    /// Elements that go; not known if the whole table is put in place.
    pub removed: usize,
    /// Rules that are written.
    pub rules: usize,
    /// What cannot be done here as it was asked for.
    pub notes: Vec<String>,
}

/// What is done about what somebody else changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrift {
    /// Put it right.
    #[default]
    Repair,
    /// Leave it to whoever is told.
    HandOver,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// For each rule by its name: the packets that opened a conversation by it (all packets where the kernel does not follow
    /// conversations). Rules of single devices are counted if the ruleset asks for it.
    pub rules: BTreeMap<Arc<str>, Counter>,
    /// What was cut, or would have been.
    pub cut: Counter,
    /// The same by sender, receiver, protocol number and port, for as long as an hour since the last packet; absent if elements
    /// were not read.
    pub cut_by: BTreeMap<Box<str>, Counter>,
}

/// Keeps one ruleset in force in one firewall. What is in force is always one whole ruleset: the one given last, or, if it was
/// refused, the one before.
#[derive(Debug)]
pub struct Keeper<F> {
    firewall: F,
    family: Family,
    support: Support,
    on_drift: OnDrift,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    compiled: Compiled,
    /// What the firewall held when it was put in place; absent if that could not be read.
    listing: Option<Listing>,
    /// The numbers of rules by their names, once they were asked for.
    numbers: Option<BTreeMap<Arc<str>, u32>>,
}

impl<F: Firewall> Keeper<F> {
    /// One that keeps nothing yet.
    ///
    /// # Errors
    ///
    /// If the firewall cannot be used.
    pub fn new(mut firewall: F, family: Family, on_drift: OnDrift) -> Result<Self, FirewallError> {
        let support = support(&mut firewall, family)?;
        Ok(Self { firewall, family, support, on_drift, kept: None })
    }

    /// The firewall.
    pub fn firewall(&mut self) -> &mut F {
        &mut self.firewall
    }

    /// What the kernel can do.
    pub const fn support(&self) -> Support {
        self.support
    }

    /// What would be done to put a ruleset in force. The firewall is asked whether it would take it.
    ///
    /// # Errors
    ///
    /// Why it would not be taken.
    pub fn dry_run(&mut self, ruleset: &Ruleset) -> Result<Change, KeepError> {
        let compiled = self.compile(ruleset)?;
        let transaction = self.delta(&compiled).unwrap_or_else(|| compiled.table.replace());
        self.firewall.check(&transaction)?;
        Ok(change(&compiled).with(&transaction))
    }

    /// Puts a ruleset in force in one transaction: what differs from the one in force, or all of it if there is none or if
    /// somebody else has changed the table so that the difference does not fit any more. Where there is no table yet, a large
    /// one is filled before the transaction that lets packets pass it.
    ///
    /// # Errors
    ///
    /// Why it is not in force; the one before still is.
    pub fn apply(&mut self, ruleset: &Ruleset) -> Result<Change, KeepError> {
        let compiled = self.compile(ruleset)?;
        if let Some(delta) = self.delta(&compiled) {
            match if delta.is_empty() { Ok(()) } else { self.firewall.apply(&delta) } {
                Ok(()) => {
                    let change = change(&compiled).with(&delta);
                    let elements_only = delta.commands.iter().all(Command::is_about_elements);
                    self.keep(compiled, elements_only);
                    return Ok(change);
                }
                Err(FirewallError::Refused(_)) => {}
                Err(error) => {
                    // Whether it was done is not known: the next one is put in place whole.
                    self.kept = None;
                    return Err(error.into());
                }
            }
        }
        self.whole(compiled)
    }

    /// Changes what is in force for some classes without looking at the others: its work grows with the change, not with the
    /// ruleset. `before` and `after` are parts of the ruleset with the same classes: those that change, and those that are
    /// named by an allow, of before or after, that names one of these; with all such allows. Of the members of a class, and the
    /// networks of a group, that are in both, more than [`crate::EXPANSION_MAX`] are enough. Mode, guard and the like are those in
    /// force. The whole ruleset must follow with the next
    /// [`Keeper::apply`], for which what was patched is then the same.
    ///
    /// # Errors
    ///
    /// [`KeepError::NoPatch`] if `before` is not what is in force or the change is of another kind: then nothing was done, and
    /// the whole ruleset must be applied. Otherwise as [`Keeper::apply`].
    pub fn patch(&mut self, before: &Ruleset, after: &Ruleset) -> Result<Change, KeepError> {
        let [old, new] = [self.compile(before)?, self.compile(after)?];
        let no = |why: &'static str| Err(KeepError::NoPatch(why));
        let Some(kept) = &mut self.kept else { return no("nothing is in force") };
        // Parts of networks that lie in others depend on all classes.
        let has_networks = |part: &Ruleset| {
            let mut members = part.classes.iter().flat_map(|class| &class.members);
            members.any(|member| matches!(member, Address::Net(network) if !network.is_host()))
        };
        if has_networks(before) || has_networks(after) {
            return no("a class has networks");
        }
        if !is_part(&old.table, &kept.compiled.table, &new.table) {
            return no("what is to be changed is not what is in force");
        }
        let Some(mut transaction) = old.table.with_room_of(&new.table).delta(&new.table) else {
            return no("sets would have to be made anew");
        };
        let has = |command: &Command| matches!(command, Command::AddChain(name, _) if kept.compiled.table.chains.contains_key(name));
        if transaction.commands.iter().any(has) {
            return no("a class is in one part only");
        }
        // The class may have a chain for other rules than those of this part, too.
        if transaction.commands.iter().any(|command| matches!(command, Command::DeleteChain(_))) {
            return no("a chain would go");
        }
        for command in &mut transaction.commands {
            if let Command::AddElements(set, elements) = command {
                let Some(found) = kept.compiled.table.sets.get(set) else { continue };
                if found.spec.size.is_some_and(|size| found.elements.len() + elements.len() > size as usize) {
                    return no("a set has no room left");
                }
                for (_, entry) in elements {
                    entry.rule =
                        entry.rule.and_then(|rule| new.rules.get(rule as usize)).map(|name| kept.rule(name));
                }
            }
        }
        // Sets and chains that other classes use, too, are not this part's to take away or to make again.
        let used: BTreeSet<String> = old.names.values().flatten().cloned().collect();
        transaction.commands.retain(|command| match command {
            Command::DeleteSet(set) => {
                !used.contains(set) && !set.starts_with("m_") && !set.starts_with("g_")
            }
            Command::AddSet(set, _) => !kept.compiled.table.sets.contains_key(set),
            _ => true,
        });
        let mut table = std::mem::replace(&mut kept.compiled.table, Table::empty(self.family, TABLE));
        let fits = table.change(&transaction);
        if fits.is_err() {
            // What is kept is no longer known; what is in force is as it was.
            self.kept = None;
            return no("it does not fit what is in force");
        }
        let elements_only = transaction.commands.iter().all(Command::is_about_elements);
        let result = if transaction.is_empty() { Ok(()) } else { self.firewall.apply(&transaction) };
        match result {
            Ok(()) => {
                kept.compiled.table = table;
                kept.compiled.names.extend(new.names.clone());
                if !elements_only {
                    kept.listing = self.firewall.list(self.family, TABLE, Depth::Structure).ok().flatten();
                }
                Ok(change(&new).with(&transaction))
            }
            Err(error) => {
                self.kept = None;
                Err(error.into())
            }
        }
    }

    /// Puts a ruleset in force after a restart, and says how what the firewall held differed from it. Addresses of DNS names
    /// that it held are kept for as long as they had left.
    ///
    /// # Errors
    ///
    /// Why it is not in force; what was found still is.
    pub fn resume(&mut self, ruleset: &Ruleset) -> Result<(Drift, Change), KeepError> {
        let compiled = self.compile(ruleset)?;
        let found = self.firewall.list(self.family, TABLE, Depth::Elements)?;
        let differs = drift(&compiled.table, None, found.as_ref(), Depth::Elements);
        Ok((differs, self.whole(compiled)?))
    }

    /// Takes a ruleset for what is in force, without changing or reading anything: after a restart, for counts and differences.
    /// `listing` is what [`Keeper::listing`] gave when it was put in force; without it, the words of rules are not compared.
    ///
    /// # Errors
    ///
    /// If the ruleset cannot be in force.
    pub fn adopt(&mut self, ruleset: &Ruleset, listing: Option<Listing>) -> Result<(), KeepError> {
        let compiled = self.compile(ruleset)?;
        self.kept = Some(Kept { compiled, listing, numbers: None });
        Ok(())
    }

    /// What the firewall held, without elements, when the rules were put in force; nothing if it could not be read.
    pub fn listing(&self) -> Option<&Listing> {
        self.kept.as_ref()?.listing.as_ref()
    }

    /// Takes the rules out of force.
    ///
    /// # Errors
    ///
    /// Why they still are.
    pub fn remove(&mut self) -> Result<(), KeepError> {
        self.firewall.apply(&Table::remove(self.family, TABLE))?;
        self.kept = None;
        Ok(())
    }

    /// How what the firewall holds differs from what was put there; nothing if nothing was put there. If differences are to be
    /// repaired, they are, as one transaction.
    ///
    /// # Errors
    ///
    /// Why it could not be read or repaired.
    pub fn look_after(&mut self, depth: Depth) -> Result<Drift, KeepError> {
        let Some(kept) = &self.kept else { return Ok(Drift::default()) };
        let now = self.firewall.list(self.family, TABLE, depth)?;
        let differs = drift(&kept.compiled.table, kept.listing.as_ref(), now.as_ref(), depth);
        if !differs.is_empty() && self.on_drift == OnDrift::Repair {
            let compiled = kept.compiled.clone();
            self.whole(compiled)?;
        }
        Ok(differs)
    }

    /// What was counted since rules were last written.
    ///
    /// # Errors
    ///
    /// Why it could not be read.
    pub fn counts(&mut self, depth: Depth) -> Result<Counts, KeepError> {
        let mut counts = Counts::default();
        let Some(kept) = &self.kept else { return Ok(counts) };
        let Some(listing) = self.firewall.list(self.family, TABLE, depth)? else { return Ok(counts) };
        counts.rules = kept.compiled.rules.iter().map(|name| (name.clone(), Counter::default())).collect();
        for (name, chain) in &kept.compiled.table.chains {
            let found = listing.chains.get(name).map_or(&[][..], |chain| &chain.rules);
            for (rule, found) in chain.rules.iter().zip(found) {
                let Some((comment, counter)) = rule.comment.as_ref().zip(found.counter) else { continue };
                if name == "cut" {
                    counts.cut += counter;
                } else if let Some(count) = counts.rules.get_mut(comment) {
                    *count += counter;
                }
            }
        }
        for (name, found) in &listing.sets {
            let Some(set) = kept.compiled.table.sets.get(name) else { continue };
            for (key, element) in &found.elements {
                let Some(counter) = element.counter else { continue };
                let rule = set.elements.get(key).and_then(|entry| entry.rule);
                let rule = rule.and_then(|rule| kept.compiled.rules.get(rule as usize));
                match rule.and_then(|rule| counts.rules.get_mut(rule)) {
                    Some(count) => *count += counter,
                    None if set.spec.live => *counts.cut_by.entry(key.clone()).or_default() += counter,
                    None => {}
                }
            }
        }
        Ok(counts)
    }

    /// Takes in that a DNS name has an address for as long as its answer says; whether a rule names it. Packets to the address
    /// pass before the client can have sent any, if answers are taken in before they are passed on.
    ///
    /// # Errors
    ///
    /// Why it is not in force.
    pub fn answered(&mut self, name: &str, ip: IpAddr, ttl: Duration) -> Result<bool, KeepError> {
        let sets = dns_name(name).and_then(|name| self.kept.as_ref()?.compiled.names.get(&name));
        let Some([four, six]) = sets else { return Ok(false) };
        let ip = ip.to_canonical();
        let set = if ip.is_ipv4() { four } else { six };
        let life = ttl.clamp(NAME_LIFE_MIN, NAME_LIFE_MAX).as_secs();
        let key: Box<str> = ip.to_string().into();
        let entry = Entry { life_s: u32::try_from(life).ok(), ..Entry::default() };
        // An element that is there keeps its old time if it is added, and one that is not there cannot be deleted.
        let add = Command::AddElements(set.clone(), vec![(key.clone(), entry)]);
        let commands = vec![add.clone(), Command::DeleteElements(set.clone(), vec![key]), add];
        self.firewall.apply(&Transaction { family: self.family, table: TABLE, commands })?;
        Ok(true)
    }

    fn compile(&self, ruleset: &Ruleset) -> Result<Compiled, KeepError> {
        if ruleset.family != self.family {
            return Err(KeepError::Family { ruleset: ruleset.family, kept: self.family });
        }
        Ok(compile(ruleset, self.support)?)
    }

    fn delta(&self, compiled: &Compiled) -> Option<Transaction> {
        self.kept.as_ref()?.compiled.table.delta(&compiled.table)
    }

    fn whole(&mut self, compiled: Compiled) -> Result<Change, KeepError> {
        let mut table = compiled.table.clone();
        self.carry(&compiled, &mut table)?;
        let steps =
            if self.is_vacant(&table)? { table.build().to_vec() } else { vec![vec![table.replace()]] };
        for step in &steps {
            if let Err(error) = self.firewall.apply_each(step) {
                if steps.len() > 1 {
                    // What of it is there filters nothing, and is replaced by the next.
                    let _ = self.firewall.apply(&Table::remove(self.family, TABLE));
                }
                if !matches!(error, FirewallError::Refused(_)) {
                    self.kept = None;
                }
                return Err(error.into());
            }
        }
        self.kept = None;
        let mut change = steps.iter().flatten().fold(change(&compiled), Change::with);
        change.whole = true;
        self.keep(compiled, false);
        Ok(change)
    }

    /// Whether there is no table where one comes that is large enough to be built in steps.
    fn is_vacant(&mut self, table: &Table) -> Result<bool, KeepError> {
        Ok(table.elements() > PIECE_ELEMENTS
            && self.firewall.list(self.family, TABLE, Depth::Structure)?.is_none())
    }

    /// Addresses of names that the firewall holds go on in the new table.
    fn carry(&mut self, compiled: &Compiled, table: &mut Table) -> Result<(), KeepError> {
        if compiled.names.is_empty() {
            return Ok(());
        }
        let Some(found) = self.firewall.list(self.family, TABLE, Depth::Structure)? else { return Ok(()) };
        for name in compiled.names.values().flatten().filter(|name| found.sets.contains_key(*name)) {
            let Some(set) = table.sets.get_mut(name) else { continue };
            let found = self.firewall.elements(self.family, TABLE, name)?;
            set.elements = found
                .into_iter()
                .filter(|(_, element)| element.left_s.is_some_and(|left_s| left_s > 0))
                .map(|(key, element)| (key, Entry { life_s: element.left_s, ..Entry::default() }))
                .collect();
        }
        Ok(())
    }

    fn keep(&mut self, mut compiled: Compiled, elements_only: bool) {
        if let Some(kept) = self.kept.take() {
            compiled.table = compiled.table.with_room_of(&kept.compiled.table);
            if elements_only {
                self.kept = Some(Kept { compiled, listing: kept.listing, numbers: None });
                return;
            }
        }
        // Rules are in force even if they cannot be read just now; then less of them is compared.
        let listing = self.firewall.list(self.family, TABLE, Depth::Structure).ok().flatten();
        self.kept = Some(Kept { compiled, listing, numbers: None });
    }
}

impl Kept {
    /// The number of a rule by its name.
    fn rule(&mut self, name: &Arc<str>) -> u32 {
        let numbers = self.numbers.get_or_insert_with(|| {
            let names = self.compiled.rules.iter().cloned();
            names.zip(0..).collect()
        });
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        *numbers.entry(name.clone()).or_insert_with(|| {
            self.compiled.rules.push(name.clone());
            next
        })
    }
}

/// Whether all that a table holds is in another one, too; what comes and goes is not compared. A chain that stays as it is when
/// the part becomes the `next` one may have more rules, which name others.
fn is_part(part: &Table, whole: &Table, next: &Table) -> bool {
    part.sets.iter().filter(|(_, set)| !set.spec.live).all(|(name, set)| {
        whole.sets.get(name).is_some_and(|found| {
            set.elements.iter().all(|(key, entry)| {
                found.elements.get(key).is_some_and(|found| found.verdict == entry.verdict)
            })
        })
    }) && part.chains.iter().all(|(name, chain)| {
        whole.chains.get(name).is_some_and(|found| found == chain || next.chains.get(name) == Some(chain))
    })
}

/// Nothing done yet.
fn change(compiled: &Compiled) -> Change {
    Change { whole: false, added: 0, removed: 0, rules: 0, notes: compiled.notes.clone() }
}

impl Change {
    /// With what a transaction does.
    fn with(mut self, transaction: &Transaction) -> Self {
        for command in &transaction.commands {
            match command {
                Command::DeleteTable => self.whole = true,
                Command::AddElements(_, elements) => self.added += elements.len(),
                Command::DeleteElements(_, keys) => self.removed += keys.len(),
                Command::AddRules(_, rules) => self.rules += rules.len(),
                _ => {}
            }
        }
        self
    }
}

#[cfg(test)]
mod tests;
