//! What the detectors share that learn how two hosts, or one, usually behave.

use std::collections::{BTreeMap, BTreeSet};

use model::{FlowHead, Host, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use super::roles::CONTROLLERS;
use crate::hosts::Addr;
pub(super) use crate::judge::is_industrial;
use crate::judge::{Out, Site};
use crate::learn::{Hours, News, Novelty, from_bytes, to_bytes};
use crate::table::Table;

/// Whether a device controls a process, by the part that it plays.
pub(super) fn is_controller(site: &Site<'_>, host: &Host) -> bool {
    site.is_one_of(host, CONTROLLERS)
}

/// A digest of words.
pub(super) fn digest_of(parts: &[&[u8]]) -> u64 {
    let mut sum = 0;
    for part in parts {
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            sum = mix(sum, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        sum = mix(mix(sum, u64::from_le_bytes(last)), part.len() as u64);
    }
    sum
}

/// Two words as one, of which every bit depends on every bit of theirs (the finaliser of SplitMix64: Steele, Lea and
/// Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
const fn mix(sum: u64, word: u64) -> u64 {
    let mixed = sum.rotate_left(23) ^ word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A digest of a host; nothing if it is a group or has no address.
pub(super) fn digest_of_host(host: &Host) -> Option<u64> {
    Addr::of(host).map(|addr| digest_of(&[&addr.bytes()]))
}

/// A channel: who asks whom by which protocol, whatever conversations that takes.
pub(super) fn channel(head: &FlowHead, protocol: &str) -> Option<u64> {
    let [client, server] = [&head.client.host, &head.server.host].map(|host| Addr::of(host).map(Addr::bytes));
    Some(digest_of(&[&client?, &server?, protocol.as_bytes()]))
}

/// What a host does is looked at in trials of so many seconds.
pub(super) const HOST_TRIAL: u64 = 60;
/// Machines that ask each other do so in cycles of a second or so: trials are shorter.
pub(super) const CHANNEL_TRIAL: u64 = 10;

/// One set of things for each host or channel, and the hours in which it was active.
pub(super) struct Sets {
    sets: Table<u64, Entry>,
    /// So many things are known of each.
    room: usize,
    limit: usize,
    /// How long a trial is, in seconds.
    trial: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Entry {
    key: u64,
    set: Novelty,
    hours: Hours,
}

/// Something that was never there before.
pub(super) struct Surprise {
    /// How likely something new was at most, in a trial.
    pub(super) unseen: f64,
    /// Minutes of activity.
    pub(super) minutes: u64,
    /// How many things are known.
    pub(super) known: usize,
}

impl Surprise {
    /// What is usual, in words.
    pub(super) fn usual(&self) -> String {
        format!(
            "{} known in {} min, others less likely than {:.2} %",
            self.known,
            self.minutes,
            100.0 * self.unseen
        )
    }
}

impl Sets {
    /// Sets for so many, with room for so many things each, and trials of so many seconds.
    pub(super) fn new(limit: usize, room: usize, trial: u64) -> Self {
        Self { sets: Table::new(limit), room, limit, trial }
    }

    /// It was active and did what is usual, as far as was told.
    pub(super) fn active(&mut self, key: u64, at: Timestamp) {
        if let Some(entry) = self.sets.get_mut(&key) {
            entry.set.try_again(at.as_secs() / self.trial);
            entry.hours.learn(at);
        }
    }

    /// Something was there. Machines have no office hours; others must have been seen at such an hour for something
    /// new to be told. What is `told_once` is told when it is new and not when it is there again.
    pub(super) fn look(&mut self, key: u64, thing: u64, at: Timestamp, how: &How) -> Option<Surprise> {
        let room = self.room;
        let (entry, _) = self.sets.entry(key, || Entry { key, ..Entry::default() });
        let (unseen, known) = (entry.set.unseen(), entry.set.len());
        let minutes = u64::from(entry.set.trials()) * self.trial / 60;
        let level = if how.is_machine || entry.hours.knows(at) { how.level } else { 0.0 };
        let news = entry.set.judge(thing, at.as_secs() / self.trial, level, how.may_learn, room);
        if how.told_once {
            entry.set.not_single(thing);
        }
        entry.hours.learn(at);
        (news != News::Old).then_some(Surprise { unseen, minutes, known })
    }

    pub(super) fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.sets.iter().map(|(_, entry)| entry).collect::<Vec<_>>())
    }

    pub(super) fn restore(&mut self, learnt: &[u8]) {
        for entry in from_bytes::<Vec<Entry>>(learnt).into_iter().flatten().take(self.limit) {
            if entry.set.is_sane(self.room) {
                let (known, _) = self.sets.entry(entry.key, Entry::default);
                *known = entry;
            }
        }
    }
}

/// How something is looked at.
pub(super) struct How {
    /// How likely something new may be to be told.
    pub(super) level: f64,
    /// Whether this is about a machine without office hours.
    pub(super) is_machine: bool,
    /// Whether it may be learnt.
    pub(super) may_learn: bool,
    /// Whether it is told only when it is new.
    pub(super) told_once: bool,
}

impl How {
    /// For two hosts of whom neither may be suspected.
    pub(super) fn between(hosts: [&Host; 2], level: f64, is_machine: bool, out: &Out<'_>) -> Self {
        let may_learn = !hosts.iter().any(|host| out.is_suspect(host));
        Self { level, is_machine, may_learn, told_once: false }
    }
}

/// How bad it is that a machine, or something else, does something new.
pub(super) const fn severity(is_machine: bool) -> Severity {
    if is_machine { Severity::Medium } else { Severity::Low }
}

/// Who of two ends is to blame for each of some channels: the one that has more of them.
pub(super) fn blame(channels: &[[Host; 2]]) -> Vec<Host> {
    let mut counts = BTreeMap::<Addr, usize>::new();
    for addr in channels.iter().flatten().filter_map(Addr::of) {
        *counts.entry(addr).or_default() += 1;
    }
    let count = |host: &Host| Addr::of(host).and_then(|addr| counts.get(&addr)).copied().unwrap_or(0);
    let worse = |[client, server]: &[Host; 2]| if count(client) > count(server) { *client } else { *server };
    channels.iter().map(worse).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_more_of_the_channels_is_to_blame() {
        let host = |last| Host::from_ip([10, 0, 0, last].into());
        assert_eq!(blame(&[[host(1), host(2)]]), [host(2)]);
        assert_eq!(blame(&[[host(1), host(2)], [host(1), host(3)]]), [host(1)]);
    }
}
