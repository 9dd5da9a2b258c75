//! Hosts about which something was heard, but that have not shown that they exist.
//!
//! They are kept in a small table of its own, oldest out, so that a scan for addresses that nobody has,
//! or from addresses that nobody has, costs nothing but a turn of this table.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use model::{Attribute, Confidence, MacAddr, Name, Reach, Timestamp, Volume};

use crate::Key;
use crate::address::digest;
use crate::links::Code;

/// A host that speaks without being answered is believed only this long after it was worth believing:
/// if its frames come from one who makes up addresses, the others will have shown by then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What was heard about an unproven host is kept this long.
pub(crate) const KEPT: Duration = Duration::from_secs(600);

/// Something that is said about a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) at: Timestamp,
    pub(crate) attribute: Attribute,
    pub(crate) value: &'a str,
    pub(crate) source: &'a Name,
    pub(crate) confidence: Confidence,
}

/// Something that was said about a host before it was proven.
#[derive(Debug)]
pub(crate) struct Pending {
    at: Timestamp,
    attribute: Attribute,
    value: Box<str>,
    source: Name,
    confidence: Confidence,
}

impl Pending {
    pub(crate) const fn told(&self) -> Told<'_> {
        let Self { at, attribute, value, source, confidence } = self;
        Told { at: *at, attribute: *attribute, value, source, confidence: *confidence }
    }
}

/// What is known about an unproven host.
#[derive(Debug, Default)]
pub(crate) struct Unproven {
    /// Which of the hosts in the queue this is, should the address have been there before.
    serial: u64,
    /// Who sent its frames, once it was heard itself.
    pub(crate) mac: Option<MacAddr>,
    pub(crate) reach: Reach,
    /// Conversations that it began and nobody answered.
    flows: u32,
    sent: Volume,
    /// A protocol was recognised in what it sent, and no router lies between.
    recognised: bool,
    waits: bool,
    pub(crate) facts: Vec<Pending>,
    /// What it used last, of whom, and when.
    pub(crate) used: Option<(Code, Option<Key>, Timestamp)>,
}

impl Unproven {
    /// Two conversations of three packets or one of four, with payload; or a protocol that was recognised.
    const fn worth_believing(&self) -> bool {
        let talks = self.sent.payload > 0
            && (self.flows >= 2 && self.sent.packets >= 3 || self.flows >= 1 && self.sent.packets >= 4);
        self.recognised || talks
    }

    /// What it has sent so far.
    pub(crate) const fn sent(&self) -> Volume {
        self.sent
    }
}

/// All unproven hosts.
pub(crate) struct UnprovenHosts {
    hosts: HashMap<Key, Unproven, Fixed>,
    queue: VecDeque<(Key, u64, Timestamp)>,
    waiting: VecDeque<(Key, u64, Timestamp)>,
    serial: u64,
    /// How many were heard in frames without a sender.
    pub(crate) unlinked: u16,
    limit: usize,
    facts_limit: usize,
}

/// Builds the same hasher every time: nothing here depends on the order of a map, but two runs shall
/// also cost the same.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fixed;

impl std::hash::BuildHasher for Fixed {
    type Hasher = Mix;

    fn build_hasher(&self) -> Mix {
        Mix(0)
    }
}

/// A hasher of the crate's own digest.
pub(crate) struct Mix(u64);

impl std::hash::Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.0 = digest(self.0, chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }
}

impl UnprovenHosts {
    pub(crate) fn new(limit: usize, facts_limit: usize) -> Self {
        Self {
            hosts: HashMap::with_hasher(Fixed),
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            serial: 0,
            unlinked: 0,
            limit: limit.max(1),
            facts_limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// The entry of a host, made if there is none, and the host that had to go for it.
    fn entry(&mut self, key: Key, at: Timestamp) -> (&mut Unproven, Option<Unproven>) {
        let mut gone = None;
        if !self.hosts.contains_key(&key) {
            while self.hosts.len() >= self.limit && gone.is_none() {
                let Some((oldest, serial, _)) = self.queue.pop_front() else { break };
                gone = self.take_if(oldest, serial);
            }
            self.serial += 1;
            self.queue.push_back((key, self.serial, at));
            // Hosts that were proven leave their place in the queue behind.
            if self.queue.len() > self.limit.saturating_mul(2) {
                let hosts = &self.hosts;
                self.queue
                    .retain(|(key, serial, _)| hosts.get(key).is_some_and(|host| host.serial == *serial));
            }
        }
        let serial = self.serial;
        let host = self.hosts.entry(key).or_insert_with(|| Unproven { serial, ..Unproven::default() });
        (host, gone)
    }

    fn take_if(&mut self, key: Key, serial: u64) -> Option<Unproven> {
        if self.hosts.get(&key).is_some_and(|host| host.serial == serial) {
            self.hosts.remove(&key)
        } else {
            None
        }
    }

    /// Keeps a fact until the host is proven. Returns the host that had to go, and whether the fact was
    /// kept.
    pub(crate) fn remember(&mut self, key: Key, told: &Told<'_>) -> (Option<Unproven>, bool) {
        let limit = self.facts_limit;
        let Told { at, attribute, value, source, confidence } = *told;
        let (host, gone) = self.entry(key, at);
        let known = host
            .facts
            .iter()
            .any(|known| known.attribute == attribute && *known.value == *value && known.source == *source);
        let room = known || host.facts.len() < limit;
        if room && !known {
            host.facts.push(Pending {
                at,
                attribute,
                value: value.into(),
                source: source.clone(),
                confidence,
            });
        }
        (gone, room)
    }

    /// A host was heard but not answered. Returns whether it is new behind its link-layer address, and
    /// the host that had to go.
    pub(crate) fn heard(&mut self, key: Key, heard: Heard) -> (bool, Option<Unproven>) {
        let (host, gone) = self.entry(key, heard.at);
        let new = host.mac.is_none();
        host.mac = Some(heard.mac);
        host.reach = heard.reach;
        host.flows = host.flows.saturating_add(u32::from(heard.ended));
        host.sent.packets = host.sent.packets.saturating_add(heard.sent.packets);
        host.sent.bytes = host.sent.bytes.saturating_add(heard.sent.bytes);
        host.sent.payload = host.sent.payload.saturating_add(heard.sent.payload);
        host.recognised |= heard.recognised;
        if let Some((code, server)) = heard.used {
            host.used = Some((code, server, heard.at));
        }
        if host.worth_believing() && !host.waits {
            host.waits = true;
            let waiting = (key, host.serial, heard.at + PATIENCE);
            self.waiting.push_back(waiting);
            // Hosts that went leave their place behind here, too.
            if self.waiting.len() > self.limit.saturating_mul(2) {
                let hosts = &self.hosts;
                self.waiting
                    .retain(|(key, serial, _)| hosts.get(key).is_some_and(|host| host.serial == *serial));
            }
        }
        (new, gone)
    }

    /// A host was proven: what was kept about it.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Unproven> {
        if self.hosts.is_empty() { None } else { self.hosts.remove(key) }
    }

    /// Whether the time of patience of some host may be over.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.waiting.front().is_some_and(|(_, _, due)| *due <= now)
    }

    /// The next host whose time of patience is over.
    pub(crate) fn next_due(&mut self, now: Option<Timestamp>) -> Option<(Key, MacAddr, Reach)> {
        loop {
            let (key, serial, due) = *self.waiting.front()?;
            if now.is_some_and(|now| due > now) {
                return None;
            }
            self.waiting.pop_front();
            if let Some(host) = self.hosts.get_mut(&key).filter(|host| host.serial == serial) {
                host.waits = false;
                if let Some(mac) = host.mac {
                    return Some((key, mac, host.reach));
                }
            }
        }
    }

    /// Forgets one host that was kept for too long.
    pub(crate) fn next_expired(&mut self, now: Timestamp) -> Option<Unproven> {
        loop {
            let (key, serial, since) = *self.queue.front()?;
            if since + KEPT > now {
                return None;
            }
            self.queue.pop_front();
            if let Some(host) = self.take_if(key, serial) {
                return Some(host);
            }
        }
    }
}

/// How a host was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Timestamp,
    pub(crate) mac: MacAddr,
    pub(crate) reach: Reach,
    pub(crate) ended: bool,
    pub(crate) sent: Volume,
    pub(crate) recognised: bool,
    pub(crate) used: Option<(Code, Option<Key>)>,
}
