//! Something that holds tables and filters packets by them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::table::{Command, SetSpec, Table, Transaction};
use crate::{Chain, Family, Rule, Support};

/// What a firewall does. Each transaction is carried out whole or not at all.
pub trait Firewall {
    /// Whether a transaction would be carried out; nothing is changed.
    ///
    /// # Errors
    ///
    /// Why it would not.
    fn check(&mut self, transaction: &Transaction) -> Result<(), FirewallError>;

    /// Carries out a transaction.
    ///
    /// # Errors
    ///
    /// Why it was not; then everything is as it was before, unless the firewall gave no answer in time.
    fn apply(&mut self, transaction: &Transaction) -> Result<(), FirewallError>;

    /// Carries out transactions of which none needs another, in any order or at the same time.
    ///
    /// # Errors
    ///
    /// Why one was not; others may have been.
    fn apply_each(&mut self, transactions: &[Transaction]) -> Result<(), FirewallError> {
        transactions.iter().try_for_each(|transaction| self.apply(transaction))
    }

    /// What a set holds.
    ///
    /// # Errors
    ///
    /// Why it could not be read: among others that it is not there.
    fn elements(&mut self, family: Family, table: &str, set: &str) -> Result<Elements, FirewallError>;

    /// What a table holds; nothing if it is not there.
    ///
    /// # Errors
    ///
    /// Why it could not be read.
    fn list(&mut self, family: Family, table: &str, depth: Depth) -> Result<Option<Listing>, FirewallError>;
}

/// Elements by their keys.
pub type Elements = BTreeMap<Box<str>, ListedElement>;

/// How much of a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Sets, chains, rules and their counters, but no elements: quick whatever the table holds.
    Structure,
    /// Elements, too.
    Elements,
}

/// Why a firewall did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FirewallError {
    /// The program could not be started.
    #[error(
        "{program} could not be started: {reason}; install nftables and run as one who may change the firewall"
    )]
    NotStarted {
        /// Which program.
        program: String,
        /// Why.
        reason: String,
    },
    /// It refused.
    #[error("the firewall refused, and nothing was changed: {0}")]
    Refused(String),
    /// It gave no answer in time.
    #[error(
        "{program} gave no answer within {limit_ms} ms and was ended; what is in force must be read again"
    )]
    TimedOut {
        /// Which program.
        program: String,
        /// The limit in milliseconds.
        limit_ms: u128,
    },
    /// It said more than is read.
    #[error("{program} said more than {limit} bytes: read the table without its elements")]
    TooMuch {
        /// Which program.
        program: String,
        /// The limit.
        limit: usize,
    },
    /// What it said could not be understood.
    #[error("the listing of the firewall could not be understood: {0}")]
    Unreadable(String),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes of network layer and above; on a bridge of the frame without its link-layer header.
    pub bytes: u64,
}

impl std::ops::AddAssign for Counter {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A table as the firewall holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Sets and maps, by name.
    pub sets: BTreeMap<String, ListedSet>,
    /// Chains, by name.
    pub chains: BTreeMap<String, ListedChain>,
}

/// A set as the firewall holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedSet {
    /// Type, flags and size in the firewall's words.
    pub definition: String,
    /// Its elements, if they were asked for.
    pub elements: Elements,
}

/// An element as the firewall holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedElement {
    /// Of a map: what is done.
    pub verdict: Option<String>,
    /// In how many seconds it goes away.
    pub left_s: Option<u32>,
    /// What was counted, if elements count.
    pub counter: Option<Counter>,
}

/// A chain as the firewall holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedChain {
    /// Of a base chain: type, hook, priority and policy in the firewall's words.
    pub definition: String,
    /// Its rules.
    pub rules: Vec<ListedRule>,
}

/// A rule as the firewall holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRule {
    /// What it does in the firewall's words, without what was counted.
    pub text: String,
    /// Its comment.
    pub comment: Option<String>,
    /// What was counted.
    pub counter: Option<Counter>,
}

/// What the kernel can do where packets of a family pass, found out by asking for it without doing it.
///
/// # Errors
///
/// If not even a plain table would be made: the firewall cannot be used at all.
pub fn support(firewall: &mut dyn Firewall, family: Family) -> Result<Support, FirewallError> {
    let trial = |text: &str| Transaction {
        family,
        table: "pavise_trial",
        commands: vec![
            Command::AddTable,
            Command::AddChain("trial".into(), Some("type filter hook forward priority 0; policy accept;")),
            Command::AddRules("trial".into(), vec![Rule::new(text)]),
        ],
    };
    firewall.check(&trial("counter accept"))?;
    Ok(Support {
        conntrack: firewall.check(&trial("ct state established accept")).is_ok(),
        reject: firewall.check(&trial("meta l4proto 6 reject with tcp reset")).is_ok(),
    })
}

/// A firewall in memory, by the rules of nftables, that filters nothing: for tests and for trying out.
#[derive(Clone, Debug, Default)]
pub struct MemoryFirewall {
    tables: BTreeMap<(Family, String), Table>,
    failures: BTreeMap<usize, FirewallError>,
    asked: usize,
}

impl MemoryFirewall {
    /// A firewall without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table of this name.
    pub fn table(&self, family: Family, name: &str) -> Option<&Table> {
        self.tables.get(&(family, name.to_owned()))
    }

    /// Lets somebody else change a table.
    pub fn table_mut(&mut self, family: Family, name: &str) -> Option<&mut Table> {
        self.tables.get_mut(&(family, name.to_owned()))
    }

    /// Lets somebody else delete all tables.
    pub fn flush(&mut self) {
        self.tables.clear();
    }

    /// Lets time pass: elements whose time is over go away.
    pub fn pass(&mut self, time: Duration) {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        for set in self.tables.values_mut().flat_map(|table| table.sets.values_mut()) {
            set.elements.retain(|_, entry| match &mut entry.life_s {
                Some(life_s) => {
                    *life_s = life_s.saturating_sub(seconds);
                    *life_s > 0
                }
                None => true,
            });
        }
    }

    /// Lets the `nth` transaction from now on, counted from 0, fail.
    pub fn fail(&mut self, nth: usize, error: FirewallError) {
        self.failures.insert(self.asked + nth, error);
    }

    fn after(&self, transaction: &Transaction) -> Result<Option<Table>, FirewallError> {
        let current = self.table(transaction.family, transaction.table);
        Table::after(current, transaction).map_err(|refused| FirewallError::Refused(refused.0))
    }
}

impl Firewall for MemoryFirewall {
    fn check(&mut self, transaction: &Transaction) -> Result<(), FirewallError> {
        self.after(transaction).map(drop)
    }

    fn apply(&mut self, transaction: &Transaction) -> Result<(), FirewallError> {
        self.asked += 1;
        if let Some(error) = self.failures.remove(&(self.asked - 1)) {
            return Err(error);
        }
        let key = (transaction.family, transaction.table.to_owned());
        match self.after(transaction)? {
            Some(table) => drop(self.tables.insert(key, table)),
            None => drop(self.tables.remove(&key)),
        }
        Ok(())
    }

    fn elements(&mut self, family: Family, table: &str, set: &str) -> Result<Elements, FirewallError> {
        let mut listing = self.list(family, table, Depth::Elements)?.unwrap_or_default();
        let found = listing.sets.remove(set).map(|set| set.elements);
        found.ok_or_else(|| FirewallError::Refused(format!("set {set}: no such set")))
    }

    fn list(&mut self, family: Family, table: &str, depth: Depth) -> Result<Option<Listing>, FirewallError> {
        Ok(self.table(family, table).map(|table| Listing {
            sets: table
                .sets
                .iter()
                .map(|(name, set)| {
                    let elements =
                        if depth == Depth::Elements { set.elements.iter() } else { Default::default() };
                    let elements = elements.map(|(key, entry)| {
                        let verdict = entry.verdict.as_deref().map(Into::into);
                        (key.clone(), ListedElement { verdict, left_s: entry.life_s, counter: None })
                    });
                    (
                        name.clone(),
                        ListedSet { definition: definition(&set.spec), elements: elements.collect() },
                    )
                })
                .collect(),
            chains: table.chains.iter().map(|(name, chain)| (name.clone(), listed(chain))).collect(),
        }))
    }
}

fn definition(spec: &SetSpec) -> String {
    format!("{} {} {} {:?} {}", spec.key, spec.verdicts, spec.flags, spec.size, spec.more)
}

fn listed(chain: &Chain) -> ListedChain {
    ListedChain {
        definition: chain.base.unwrap_or_default().into(),
        rules: chain
            .rules
            .iter()
            .map(|rule| ListedRule {
                text: rule.text.clone(),
                comment: rule.comment.as_deref().map(Into::into),
                counter: rule.text.contains("counter").then(Counter::default),
            })
            .collect(),
    }
}
