//! What the detectors share that learn how two hosts, or one, usually behave.

use std::collections::{BTreeMap, BTreeSet};

use model::{Host, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use super::roles::CONTROLLERS;
pub(super) use crate::hosts::digest_of;
use crate::hosts::{Addr, Kept, Numbered};
pub(super) use crate::judge::is_industrial;
use crate::judge::{Out, Site};
use crate::learn::{Hours, News, Novelty, from_bytes, to_bytes};

/// Whether a device controls a process, by the part that it plays.
pub(super) fn is_controller(site: &Site<'_>, host: &Host) -> bool {
    site.is_one_of(host, CONTROLLERS)
}

/// The digest under which what is learnt of a host that is somebody is kept.
pub(super) fn key_of(host: &Host) -> u64 {
    digest_of_host(host).unwrap_or_default()
}

/// A digest of a host; nothing if it is a group or has no address.
pub(super) fn digest_of_host(host: &Host) -> Option<u64> {
    Addr::of(host).map(Addr::key)
}

/// What a host does is looked at in trials of so many seconds.
pub(super) const HOST_TRIAL: u64 = 60;
/// Machines that ask each other do so in cycles of a second or so: trials are shorter.
pub(super) const CHANNEL_TRIAL: u64 = 10;

/// Two sets of things for each host or channel, and the hours in which it was active.
pub(super) struct Sets<N> {
    sets: Kept<N, Entry>,
    /// So many are kept, and of each so many things are known in a set.
    limit: usize,
    room: usize,
    /// How long a trial is, in seconds.
    trial: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Entry {
    key: u64,
    sets: [Novelty; 2],
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

impl<N: Numbered> Sets<N> {
    /// Sets of which `limit` are kept, with room for so many things in each, and trials of so many seconds.
    pub(super) fn new(limit: usize, room: usize, trial: u64) -> Self {
        Self { sets: Kept::default(), limit, room, trial }
    }

    /// It was active and did what is usual in these sets, as far as was told.
    pub(super) fn active(&mut self, one: N, which: &[usize], at: Timestamp) {
        if let Some(entry) = self.sets.get_mut(one) {
            which.iter().for_each(|which| entry.sets[*which].try_again(at.as_secs() / self.trial));
            entry.hours.learn(at);
        }
    }

    /// Something was there. Machines have no office hours; others must have been seen at such an hour for something
    /// new to be told. What is `told_once` is told when it is new and not when it is there again.
    pub(super) fn look(
        &mut self,
        one: N,
        key: impl FnOnce() -> u64,
        which: usize,
        thing: u64,
        at: Timestamp,
        how: &How,
    ) -> Option<Surprise> {
        let entry = self.sets.of_or(one, key, |key| Entry { key, ..Entry::default() });
        let set = &mut entry.sets[which];
        let (unseen, known) = (set.unseen(), set.len());
        if how.is_habit {
            set.welcome(thing, at.as_secs() / self.trial, self.room);
            entry.hours.learn(at);
            return None;
        }
        let minutes = u64::from(set.trials()) * self.trial / 60;
        let level = if how.is_machine || entry.hours.knows(at) { how.level } else { 0.0 };
        let news = set.judge(thing, at.as_secs() / self.trial, level, how.may_learn, self.room);
        if how.told_once {
            set.not_single(thing);
        }
        entry.hours.learn(at);
        (news != News::Old).then_some(Surprise { unseen, minutes, known })
    }

    pub(super) fn forget(&mut self, one: N) {
        self.sets.forget(one);
    }

    pub(super) fn save(&self) -> Option<Vec<u8>> {
        // What was active in one trial only has shown nothing that could be gone on with.
        let several = |entry: &&Entry| entry.sets.iter().any(|set| set.trials() > 1);
        to_bytes(&self.sets.iter().filter(several).collect::<Vec<_>>())
    }

    pub(super) fn restore(&mut self, learnt: &[u8]) {
        for entry in from_bytes::<Vec<Entry>>(learnt).into_iter().flatten() {
            if entry.sets.iter().all(|set| set.is_sane(self.room)) {
                self.sets.take_back(entry.key, entry, self.limit);
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
    /// Whether the settings declare it: it counts as learnt.
    pub(super) is_habit: bool,
    /// Whether it is told only when it is new.
    pub(super) told_once: bool,
}

impl How {
    /// For two hosts of whom neither may be suspected.
    pub(super) fn between(hosts: [&Host; 2], level: f64, is_machine: bool, out: &Out<'_>) -> Self {
        let may_learn = !hosts.iter().any(|host| out.is_suspect(host));
        let [one, other] = hosts;
        let is_habit = out.is_habit(one, Some(other)) || out.is_habit(other, Some(one));
        Self { level, is_machine, may_learn, is_habit, told_once: false }
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
