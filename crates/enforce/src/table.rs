//! A table of nftables as data, what turns one into another, and its text for `nft -f -`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::Family;

/// Into how large a piece elements are cut where a table is built in steps.
pub const PIECE_ELEMENTS: usize = 1 << 16;

/// A table with all it holds. What it says is the same for the same input: everything is in order of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where packets pass: `inet` for routed ones, `bridge` for bridged ones.
    pub family: Family,
    /// Its name.
    pub name: &'static str,
    /// Sets and maps, by name.
    pub sets: BTreeMap<String, Set>,
    /// Chains, by name.
    pub chains: BTreeMap<String, Chain>,
}

/// A set, or a map to verdicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// What it is.
    pub spec: SetSpec,
    /// What is in it, by the key as nftables writes it (numbers for protocols).
    pub elements: BTreeMap<Box<str>, Entry>,
}

/// What a set is, apart from its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetSpec {
    /// The types of its key, such as `ipv4_addr . inet_service`.
    pub key: &'static str,
    /// Whether it maps to verdicts.
    pub verdicts: bool,
    /// Its flags, separated by commas; may be empty.
    pub flags: &'static str,
    /// For how many elements the kernel makes room; no more can be added.
    pub size: Option<u32>,
    /// Further statements, each ended by a semicolon.
    pub more: &'static str,
    /// Whether its elements come and go while it is in force: they are not compared, and are kept when the rest changes.
    pub live: bool,
}

/// An element of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Of a map: what is done.
    pub verdict: Option<Arc<str>>,
    /// A statement of its own.
    pub statement: Option<Arc<str>>,
    /// After how many seconds it goes away.
    pub life_s: Option<u32>,
    /// For which rule it stands, as an index into what the compiler lists.
    pub rule: Option<u32>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Of a base chain: type, hook, priority and policy.
    pub base: Option<&'static str>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it does, as nftables writes it.
    pub text: String,
    /// Its comment: the name of the rule for which it stands.
    pub comment: Option<Arc<str>>,
}

impl Rule {
    /// A rule without a comment.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), comment: None }
    }
}

/// What is done to one table at once: all of it, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The table's family.
    pub family: Family,
    /// The table's name.
    pub table: &'static str,
    /// What is done, in order.
    pub commands: Vec<Command>,
}

/// A step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make the table if it is not there.
    AddTable,
    /// Delete the table and all it holds.
    DeleteTable,
    /// Make a set.
    AddSet(String, SetSpec),
    /// Delete a set that no rule uses.
    DeleteSet(String),
    /// Make an empty chain.
    AddChain(String, Option<&'static str>),
    /// Take all rules out of a chain.
    FlushChain(String),
    /// Delete a chain that nothing jumps to.
    DeleteChain(String),
    /// Append rules to a chain.
    AddRules(String, Vec<Rule>),
    /// Put elements into a set.
    AddElements(String, Vec<(Box<str>, Entry)>),
    /// Take elements out of a set.
    DeleteElements(String, Vec<Box<str>>),
}

impl Command {
    /// Whether it leaves sets, chains and rules as they are.
    pub const fn is_about_elements(&self) -> bool {
        matches!(self, Self::AddElements(..) | Self::DeleteElements(..))
    }
}

impl Family {
    /// As nftables calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Routed => "inet",
            Self::Bridged => "bridge",
        }
    }
}

impl Set {
    /// An empty set.
    pub fn new(spec: SetSpec) -> Self {
        Self { spec, elements: BTreeMap::new() }
    }
}

impl Table {
    /// How many elements all its sets have.
    pub fn elements(&self) -> usize {
        self.sets.values().map(|set| set.elements.len()).sum()
    }

    /// What puts this table where there is none, in steps of transactions that may be carried out in any order, and at the same
    /// time. It filters nothing before the last step, which is one transaction.
    pub fn build(&self) -> [Vec<Transaction>; 3] {
        let (mut frame, mut rules, mut elements) = (vec![Command::AddTable], Vec::new(), Vec::new());
        for (name, chain) in &self.chains {
            let add = Command::AddChain(name.clone(), chain.base);
            // A map's elements lead to chains, so these come first; one that packets pass comes last.
            if chain.base.is_none() { &mut frame } else { &mut rules }.push(add);
        }
        frame.extend(self.sets.iter().map(|(name, set)| Command::AddSet(name.clone(), set.spec.clone())));
        for (name, set) in &self.sets {
            let all: Vec<_> = set.elements.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
            // The kernel copies a set with intervals for each transaction.
            let most = if set.spec.flags.contains("interval") { usize::MAX } else { PIECE_ELEMENTS };
            elements.extend(all.chunks(most).map(|piece| Command::AddElements(name.clone(), piece.to_vec())));
        }
        let filled = self.chains.iter().filter(|(_, chain)| !chain.rules.is_empty());
        rules.extend(filled.map(|(name, chain)| Command::AddRules(name.clone(), chain.rules.clone())));
        let transaction = |commands| Transaction { family: self.family, table: self.name, commands };
        let elements = elements.into_iter().map(|command| transaction(vec![command])).collect();
        [vec![transaction(frame)], elements, vec![transaction(rules)]]
    }

    /// What puts this table in the place of whatever has its name.
    pub fn replace(&self) -> Transaction {
        let mut commands = vec![Command::AddTable, Command::DeleteTable, Command::AddTable];
        commands.extend(self.chains.iter().map(|(name, chain)| Command::AddChain(name.clone(), chain.base)));
        for (name, set) in &self.sets {
            commands.push(Command::AddSet(name.clone(), set.spec.clone()));
            if !set.elements.is_empty() {
                let elements = set.elements.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
                commands.push(Command::AddElements(name.clone(), elements));
            }
        }
        for (name, chain) in &self.chains {
            if !chain.rules.is_empty() {
                commands.push(Command::AddRules(name.clone(), chain.rules.clone()));
            }
        }
        Transaction { family: self.family, table: self.name, commands }
    }

    /// What takes the table away.
    pub fn remove(family: Family, name: &'static str) -> Transaction {
        Transaction { family, table: name, commands: vec![Command::AddTable, Command::DeleteTable] }
    }

    /// What turns this table, which is in force, into `new`, without touching what is the same in both. `None` if that
    /// cannot be said so: another family, or a set that has become another one or has outgrown its room. Then `new` must be
    /// put in place whole. Room in sets stays as it is in force: [`Table::with_room_of`] says what holds afterwards.
    pub fn delta(&self, new: &Self) -> Option<Transaction> {
        if (self.family, self.name) != (new.family, new.name) {
            return None;
        }
        let mut commands = Vec::new();
        for (name, chain) in &new.chains {
            match self.chains.get(name) {
                None => commands.push(Command::AddChain(name.clone(), chain.base)),
                Some(old) if old.base != chain.base => return None,
                Some(_) => {}
            }
        }
        for (name, set) in &new.sets {
            match self.sets.get(name) {
                None => commands.push(Command::AddSet(name.clone(), set.spec.clone())),
                Some(old) if !old.spec.serves(set) => return None,
                Some(_) => {}
            }
        }
        for (name, chain) in &new.chains {
            let old = self.chains.get(name).map_or(&[][..], |old| &old.rules);
            if old != chain.rules {
                if !old.is_empty() {
                    commands.push(Command::FlushChain(name.clone()));
                }
                if !chain.rules.is_empty() {
                    commands.push(Command::AddRules(name.clone(), chain.rules.clone()));
                }
            }
        }
        let none = BTreeMap::new();
        for (name, set) in new.sets.iter().filter(|(_, set)| !set.spec.live) {
            let old = self.sets.get(name).map_or(&none, |old| &old.elements);
            changed(name, old, &set.elements, &mut commands);
        }
        let gone_sets: Vec<_> = self.sets.keys().filter(|name| !new.sets.contains_key(*name)).collect();
        let gone: Vec<_> = self.chains.keys().filter(|name| !new.chains.contains_key(*name)).collect();
        commands.extend(gone.iter().map(|name| Command::FlushChain((*name).clone())));
        commands.extend(gone_sets.into_iter().map(|name| Command::DeleteSet(name.clone())));
        commands.extend(gone.iter().map(|name| Command::DeleteChain((*name).clone())));
        Some(Transaction { family: new.family, table: new.name, commands })
    }

    /// This table with the room that its sets have in `old`, where they are there.
    #[must_use]
    pub fn with_room_of(mut self, old: &Self) -> Self {
        for (name, set) in &mut self.sets {
            if let Some(old) = old.sets.get(name) {
                set.spec.size = old.spec.size;
            }
        }
        self
    }
}

impl SetSpec {
    /// Whether a set of this kind can hold what another one holds.
    fn serves(&self, other: &Set) -> bool {
        let room = self.size.is_none_or(|size| other.elements.len() <= size as usize);
        room && self.size.is_some() == other.spec.size.is_some()
            && Self { size: None, ..self.clone() } == Self { size: None, ..other.spec.clone() }
    }
}

/// What turns the elements of a set into others. Deletions come first: an interval must be gone before one that
/// overlaps it is added.
fn changed(
    set: &str,
    old: &BTreeMap<Box<str>, Entry>,
    new: &BTreeMap<Box<str>, Entry>,
    commands: &mut Vec<Command>,
) {
    let same = |a: &Entry, b: &Entry| a.verdict == b.verdict && a.statement == b.statement;
    let differs = |key: &str, entry: &Entry, other: &BTreeMap<Box<str>, Entry>| {
        !other.get(key).is_some_and(|other| same(entry, other))
    };
    let gone: Vec<_> =
        old.iter().filter(|(key, entry)| differs(key, entry, new)).map(|(key, _)| key.clone()).collect();
    let come: Vec<_> = new
        .iter()
        .filter(|(key, entry)| differs(key, entry, old))
        .map(|(key, entry)| (key.clone(), entry.clone()))
        .collect();
    if !gone.is_empty() {
        commands.push(Command::DeleteElements(set.into(), gone));
    }
    if !come.is_empty() {
        commands.push(Command::AddElements(set.into(), come));
    }
}

impl Transaction {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The text for `nft -f -`, which does all of it or nothing.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for command in &self.commands {
            self.write(command, &mut out);
        }
        out
    }

    fn write(&self, command: &Command, out: &mut String) {
        let at = format!("{} {}", self.family.word(), self.table);
        // Writing to a string cannot fail.
        let _ = match command {
            Command::AddTable => writeln!(out, "add table {at}"),
            Command::DeleteTable => writeln!(out, "delete table {at}"),
            Command::AddSet(name, spec) => {
                let SetSpec { key, verdicts, flags, size, more, .. } = spec;
                let (kind, to) = if *verdicts { ("map", " : verdict") } else { ("set", "") };
                let flags = if flags.is_empty() { String::new() } else { format!(" flags {flags};") };
                let size = size.map_or_else(String::new, |size| format!(" size {size};"));
                let more = if more.is_empty() { String::new() } else { format!(" {more}") };
                writeln!(out, "add {kind} {at} {name} {{ type {key}{to};{flags}{size}{more} }}")
            }
            Command::DeleteSet(name) => writeln!(out, "delete set {at} {name}"),
            Command::AddChain(name, None) => writeln!(out, "add chain {at} {name}"),
            Command::AddChain(name, Some(base)) => writeln!(out, "add chain {at} {name} {{ {base} }}"),
            Command::FlushChain(name) => writeln!(out, "flush chain {at} {name}"),
            Command::DeleteChain(name) => writeln!(out, "delete chain {at} {name}"),
            Command::AddRules(chain, rules) => rules.iter().try_for_each(|rule| {
                write!(out, "add rule {at} {chain} {}", rule.text)?;
                match &rule.comment {
                    Some(comment) => writeln!(out, " comment \"{comment}\""),
                    None => writeln!(out),
                }
            }),
            Command::AddElements(set, elements) => {
                let _ = write!(out, "add element {at} {set} {{ ");
                for (position, (key, entry)) in elements.iter().enumerate() {
                    out.push_str(if position == 0 { "" } else { ",\n" });
                    entry.write(key, out);
                }
                writeln!(out, " }}")
            }
            Command::DeleteElements(set, keys) => {
                writeln!(out, "delete element {at} {set} {{ {} }}", keys.join(",\n"))
            }
        };
    }
}

impl Entry {
    fn write(&self, key: &str, out: &mut String) {
        out.push_str(key);
        if let Some(statement) = &self.statement {
            out.push(' ');
            out.push_str(statement);
        }
        if let Some(life_s) = self.life_s {
            let _ = write!(out, " timeout {life_s}s");
        }
        if let Some(verdict) = &self.verdict {
            out.push_str(" : ");
            out.push_str(verdict);
        }
    }
}

/// Why a transaction was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

fn refused<T>(what: &str, name: &str, why: &str) -> Result<T, Refused> {
    Err(Refused(format!("{what} {name}: {why}")))
}

impl Table {
    /// An empty table.
    pub fn empty(family: Family, name: &'static str) -> Self {
        Self { family, name, sets: BTreeMap::new(), chains: BTreeMap::new() }
    }

    /// What a table is after a transaction, by the rules of nftables; the one that is given stays as it is if the transaction
    /// is refused.
    ///
    /// # Errors
    ///
    /// What nftables would refuse: something is not there, is there already as something else, is still used, or is full.
    pub fn after(current: Option<&Self>, transaction: &Transaction) -> Result<Option<Self>, Refused> {
        let mut table = current.cloned();
        for command in &transaction.commands {
            match (command, &mut table) {
                (Command::AddTable, Some(_)) => {}
                (Command::AddTable, none) => *none = Some(Self::empty(transaction.family, transaction.table)),
                (Command::DeleteTable, some @ Some(_)) => *some = None,
                (_, Some(table)) => table.step(command)?,
                (_, None) => return refused("table", transaction.table, "no such table"),
            }
        }
        if let Some(table) = &table {
            table.resolved()?;
        }
        Ok(table)
    }

    /// Carries out a transaction that neither makes nor deletes the table, in place: after an error it is half done.
    pub(crate) fn change(&mut self, transaction: &Transaction) -> Result<(), Refused> {
        transaction.commands.iter().try_for_each(|command| self.step(command))
    }

    fn step(&mut self, command: &Command) -> Result<(), Refused> {
        match command {
            Command::AddTable | Command::DeleteTable => {}
            Command::AddSet(name, spec) => match self.sets.get(name) {
                Some(old) if old.spec != *spec => return refused("set", name, "is there and differs"),
                Some(_) => {}
                None => drop(self.sets.insert(name.clone(), Set::new(spec.clone()))),
            },
            Command::DeleteSet(name) => {
                let word = format!("@{name}");
                if self.rules().any(|rule| rule.text.split_whitespace().any(|part| part == word)) {
                    return refused("set", name, "is used by a rule");
                }
                if self.sets.remove(name).is_none() {
                    return refused("set", name, "no such set");
                }
            }
            Command::AddChain(name, base) => {
                let chain =
                    self.chains.entry(name.clone()).or_insert(Chain { base: *base, rules: Vec::new() });
                if chain.base != *base {
                    return refused("chain", name, "is there and differs");
                }
            }
            Command::FlushChain(name) => self.chain(name)?.rules.clear(),
            Command::DeleteChain(name) => {
                if !self.chain(name)?.rules.is_empty() || self.targets().contains(name.as_str()) {
                    return refused("chain", name, "is used");
                }
                self.chains.remove(name);
            }
            Command::AddRules(chain, rules) => self.chain(chain)?.rules.extend_from_slice(rules),
            Command::AddElements(set, elements) => self.add(set, elements)?,
            Command::DeleteElements(set, keys) => {
                let Some(found) = self.sets.get_mut(set) else { return refused("set", set, "no such set") };
                for key in keys {
                    if found.elements.remove(key).is_none() {
                        return refused("element", key, "no such element");
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, set: &str, elements: &[(Box<str>, Entry)]) -> Result<(), Refused> {
        let Some(found) = self.sets.get_mut(set) else { return refused("set", set, "no such set") };
        for (key, entry) in elements {
            match found.elements.get(key) {
                Some(old) if old.verdict != entry.verdict => {
                    return refused("element", key, "is there and differs");
                }
                Some(_) => {}
                None => drop(found.elements.insert(key.clone(), entry.clone())),
            }
        }
        if found.spec.size.is_some_and(|size| found.elements.len() > size as usize) {
            return refused("set", set, "is full");
        }
        Ok(())
    }

    fn chain(&mut self, name: &str) -> Result<&mut Chain, Refused> {
        self.chains.get_mut(name).ok_or_else(|| Refused(format!("chain {name}: no such chain")))
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.chains.values().flat_map(|chain| &chain.rules)
    }

    /// The chains that rules and elements lead to.
    fn targets(&self) -> BTreeSet<&str> {
        let verdicts = self
            .sets
            .values()
            .flat_map(|set| set.elements.values())
            .filter_map(|entry| entry.verdict.as_deref());
        let texts = verdicts.chain(self.rules().map(|rule| rule.text.as_str()));
        texts
            .filter_map(|text| text.rsplit_once(' '))
            .filter(|(before, _)| before.ends_with("goto") || before.ends_with("jump"))
            .map(|(_, target)| target)
            .collect()
    }

    /// Whether all chains and sets that are used are there.
    fn resolved(&self) -> Result<(), Refused> {
        if let Some(missing) = self.targets().into_iter().find(|name| !self.chains.contains_key(*name)) {
            return refused("chain", missing, "no such chain");
        }
        let mut used = self
            .rules()
            .flat_map(|rule| rule.text.split_whitespace())
            .filter_map(|part| part.strip_prefix('@'));
        match used.find(|name| !self.sets.contains_key(*name)) {
            Some(missing) => refused("set", missing, "no such set"),
            None => Ok(()),
        }
    }
}
