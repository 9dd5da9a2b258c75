//! Sets that know when they are whole.

use serde::{Deserialize, Serialize};

/// After something new was told, what is new is told and not learnt for so many slots: who brings one new thing
/// brings more.
const QUARANTINE: u64 = 60;
/// So many new things are told then at most, and so many that were told are remembered.
const MAX_TOLD: usize = 16;

/// What is usually there, and how likely it is that something else comes.
///
/// Time is cut into slots; each slot in which anything was there is a trial. The chance that the next trial shows
/// something new is estimated as Good and Turing do (I. J. Good, Biometrika 40, 1953): by the share of things that
/// were there in one trial only. Of their number the upper end of a 95 % interval is taken, so that few trials
/// prove little whatever they show.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Novelty {
    /// By digest.
    items: Vec<Item>,
    told: Vec<Told>,
    /// Trials so far, and the slot of the last one.
    trials: u32,
    slot: u64,
    /// Things that were there in one trial only.
    singles: u32,
    /// Trials in which something was told as new.
    surprises: u32,
    /// Nothing new is learnt before this slot, and so many things were told until now.
    closed_until: u64,
    burst: usize,
    /// Whether something was left out because there was no room.
    overflown: bool,
}

/// Kept without names: there are many.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(from = "(u64, u64, bool)", into = "(u64, u64, bool)")]
struct Item {
    digest: u64,
    slot: u64,
    is_single: bool,
}

impl From<(u64, u64, bool)> for Item {
    fn from((digest, slot, is_single): (u64, u64, bool)) -> Self {
        Self { digest, slot, is_single }
    }
}

impl From<Item> for (u64, u64, bool) {
    fn from(item: Item) -> Self {
        (item.digest, item.slot, item.is_single)
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Told {
    digest: u64,
    slot: u64,
}

/// What a set thinks of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum News {
    /// It is known, or is being learnt, or was told in this trial already.
    Old,
    /// It is new although hardly anything new was to come.
    New,
    /// It was told as new before.
    Again,
}

impl Novelty {
    /// Looks at something at a slot of time. `level` is how likely news may be for them to be told; nothing is
    /// learnt unless `may_learn`; the set has room for `limit` things.
    pub(crate) fn judge(
        &mut self,
        digest: u64,
        slot: u64,
        level: f64,
        may_learn: bool,
        limit: usize,
    ) -> News {
        let slot = slot.max(self.slot);
        let place = match self.items.binary_search_by_key(&digest, |item| item.digest) {
            Ok(place) => {
                if may_learn {
                    self.begin_trial(slot);
                    let item = &mut self.items[place];
                    if item.slot != slot {
                        self.singles -= u32::from(item.is_single);
                        (item.is_single, item.slot) = (false, slot);
                    }
                }
                return News::Old;
            }
            Err(place) => place,
        };
        if let Some(told) = self.told.iter_mut().find(|told| told.digest == digest) {
            let again = told.slot != slot;
            told.slot = slot;
            return if again { News::Again } else { News::Old };
        }
        let is_closed = slot < self.closed_until;
        if is_closed && self.burst >= MAX_TOLD {
            return News::Old;
        }
        if is_closed || self.unseen() <= level {
            if !is_closed {
                self.surprises = self.surprises.saturating_add(1);
                (self.closed_until, self.burst) = (slot.saturating_add(QUARANTINE), 0);
            }
            self.burst = self.burst.saturating_add(1);
            if self.told.len() >= MAX_TOLD {
                self.told.remove(0);
            }
            self.told.push(Told { digest, slot });
            return News::New;
        }
        if may_learn {
            self.begin_trial(slot);
            if self.items.len() < limit {
                self.items.insert(place, Item { digest, slot, is_single: true });
                self.singles += 1;
            } else {
                self.overflown = true;
            }
        }
        News::Old
    }

    /// A trial in which nothing new was there, as far as was told.
    pub(crate) fn try_again(&mut self, slot: u64) {
        if self.trials > 0 {
            self.begin_trial(slot.max(self.slot));
        }
    }

    /// Takes something for learnt, whatever was thought of it; there is room for `limit` things.
    pub(crate) fn welcome(&mut self, digest: u64, slot: u64, limit: usize) {
        let slot = slot.max(self.slot);
        self.told.retain(|told| told.digest != digest);
        self.begin_trial(slot);
        match self.items.binary_search_by_key(&digest, |item| item.digest) {
            Ok(place) => self.items[place].slot = slot,
            Err(place) if self.items.len() < limit => {
                self.items.insert(place, Item { digest, slot, is_single: false });
            }
            Err(_) => self.overflown = true,
        }
        self.not_single(digest);
    }

    /// Something counts as seen in several trials: it is told once however often it is there.
    pub(crate) fn not_single(&mut self, digest: u64) {
        if let Ok(place) = self.items.binary_search_by_key(&digest, |item| item.digest) {
            self.singles -= u32::from(std::mem::take(&mut self.items[place].is_single));
        }
    }

    fn begin_trial(&mut self, slot: u64) {
        if slot != self.slot || self.trials == 0 {
            self.slot = slot;
            self.trials = self.trials.saturating_add(1);
        }
    }

    /// How likely it is at most that the next trial shows something new, with a confidence of 95 %.
    pub(crate) fn unseen(&self) -> f64 {
        if self.overflown || self.trials == 0 {
            return 1.0;
        }
        (poisson_upper(self.singles.saturating_add(self.surprises)) / f64::from(self.trials)).min(1.0)
    }

    /// Whether something is known.
    pub(crate) fn knows(&self, digest: u64) -> bool {
        self.items.binary_search_by_key(&digest, |item| item.digest).is_ok()
    }

    /// Whether something was told as new.
    pub(crate) fn is_told(&self, digest: u64) -> bool {
        self.told.iter().any(|told| told.digest == digest)
    }

    /// Whether more things came than there was room for: nothing is ever new then, but for what follows something that was.
    pub(crate) const fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// In how many slots of time anything was there.
    pub(crate) const fn trials(&self) -> u32 {
        self.trials
    }

    /// How many things are known.
    pub(crate) const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether what was read back can be.
    pub(crate) fn is_sane(&self, limit: usize) -> bool {
        let singles = self.items.iter().filter(|item| item.is_single).count();
        self.items.is_sorted_by(|one, other| one.digest < other.digest)
            && self.items.len() <= limit
            && self.told.len() <= MAX_TOLD
            && singles == self.singles as usize
    }
}

/// The upper end of the one-sided 95 % interval of a Poisson mean of which `count` were seen: half a quantile of χ²
/// with 2·(count + 1) degrees of freedom, by the approximation of Wilson and Hilferty (PNAS 17, 1931).
pub(crate) fn poisson_upper(count: u32) -> f64 {
    const Z: f64 = 1.645;
    let mean = f64::from(count) + 1.0;
    mean * (1.0 - 1.0 / (9.0 * mean) + Z / (3.0 * mean.sqrt())).powi(3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_interval_is_that_of_the_tables() {
        // Garwood's exact one-sided limits: 2.996, 4.744, 6.296, 16.96.
        for (count, exact) in [(0, 2.996), (1, 4.744), (2, 6.296), (10, 16.962)] {
            let ratio: f64 = poisson_upper(count) / exact;
            assert!((0.985..1.015).contains(&ratio), "{count}: {ratio}");
        }
    }

    #[test]
    fn a_closed_set_converges_and_an_open_one_never_does() {
        let (mut closed, mut open) = (Novelty::default(), Novelty::default());
        for slot in 0..400 {
            assert_eq!(closed.judge(slot % 3, slot, 0.01, true, 64), News::Old, "{slot}");
            // Something new every third time.
            assert_eq!(open.judge(if slot % 3 == 0 { slot } else { 1 }, slot, 0.01, true, 64), News::Old);
        }
        assert!(closed.unseen() < 0.01 && open.unseen() > 0.2);
        assert_eq!(closed.judge(77, 400, 0.01, true, 64), News::New);
        assert_eq!(closed.judge(77, 400, 0.01, true, 64), News::Old);
        assert_eq!(closed.judge(77, 401, 0.01, true, 64), News::Again);
        assert_eq!(closed.judge(1, 401, 0.01, true, 64), News::Old);
    }

    #[test]
    fn what_is_welcome_is_known_whatever_was_thought_of_it() {
        let mut set = Novelty::default();
        (0..400).for_each(|slot| assert_eq!(set.judge(1, slot, 0.01, true, 64), News::Old));
        assert_eq!(set.judge(7, 400, 0.01, true, 64), News::New);
        for thing in [7, 8] {
            set.welcome(thing, 401, 64);
            assert!(set.knows(thing) && !set.is_told(thing) && set.is_sane(64));
            assert_eq!(set.judge(thing, 402, 0.01, true, 64), News::Old);
        }
        // It is no sign of more to come.
        assert_eq!(set.judge(9, 600, 0.02, true, 64), News::New);
    }

    #[test]
    fn what_comes_with_something_new_is_not_learnt() {
        let mut set = Novelty::default();
        (0..400).for_each(|slot| assert_eq!(set.judge(1, slot, 0.01, true, 64), News::Old));
        let news = (100..200).filter(|thing| set.judge(*thing, 400, 0.01, true, 64) == News::New).count();
        assert_eq!((news, set.len()), (MAX_TOLD, 1));
        assert!(set.unseen() > 0.01, "one surprise more would be too many");
        set.judge(500, 401, 0.01, true, 64);
        assert_eq!(set.len(), 1);
        set.judge(500, 400 + QUARANTINE, 0.01, true, 64);
        assert_eq!(set.len(), 2);
        // Nobody learns from those who are suspected.
        (500..2000).for_each(|slot| assert_eq!(set.judge(9, slot, 0.0, false, 64), News::Old));
        assert_eq!(set.len(), 2);
    }

    proptest! {
        // Things come by chance from a set with a long tail; what a converged set tells as new stays within its
        // level, up to the confidence of the interval.
        #[test]
        fn the_rate_of_false_news_is_kept(seed in any::<u64>(), tail in 1_u64..2000) {
            let mut state = seed | 1;
            let mut random = move || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state };
            let mut set = Novelty::default();
            let mut told = 0;
            for slot in 0..6000 {
                let thing = if random() % 400 == 0 { 10 + random() % tail } else { random() % 10 };
                told += u32::from(set.judge(thing, slot, 0.02, true, 4096) == News::New);
            }
            prop_assert!(told <= 6000 / 50 / 2, "{told}");
            prop_assert!(set.is_sane(4096));
        }
    }
}
