//! Who does what to whom, on how many separate occasions, and at which hours.
//!
//! Acts of one kind are counted in occasions, so that a burst counts once. How likely it is that the next occasion is
//! by somebody new follows from how many have done it on one occasion only: I. J. Good, "The population frequencies
//! of species and the estimation of population parameters" (Biometrika 40, 1953), the estimate of Good and Turing.
//! With every occasion that brings nobody new, a newcomer says more; no time of learning has to be set.

use model::Timestamp;

use crate::hosts::Addr;
use crate::table::Table;

/// So many pairs of who and whom are remembered by each detector; those that were quiet for longest go first.
pub(super) const PAIRS: usize = 4096;
/// So many of those to whom it is done.
const VICTIMS: usize = 1024;
/// A newcomer says no more than that, in bits.
const MOST_SURPRISE: f64 = 4.0;
/// An unusual hour, and an unusual day of the week, says no more than that.
const MOST_UNTIMELY: f64 = 2.0;
/// Occasions that are shorter follow the process and not people's hours, in seconds.
const A_WHILE: u64 = 1800;
const HOURS: usize = 24;
const DAYS: usize = 7;

/// How often somebody has done it to somebody, or to anybody.
#[derive(Debug, Default)]
struct Done {
    occasions: u32,
    /// When the latest occasion began.
    began: Option<Timestamp>,
    /// The latest occasion was bad and does not count.
    is_condemned: bool,
}

impl Done {
    fn is_now(&self, at: Timestamp, span: u64) -> bool {
        self.began.is_some_and(|began| at.since(began).as_secs() < span)
    }

    fn is_counted_now(&self, at: Timestamp, span: u64) -> bool {
        self.is_now(at, span) && !self.is_condemned
    }
}

/// How often it was done at all, and by how many on one occasion only.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    occasions: u32,
    single: u32,
}

impl Tally {
    fn count(&mut self, of: &mut Done) {
        of.occasions += 1;
        self.occasions += 1;
        match of.occasions {
            1 => self.single += 1,
            2 => self.single = self.single.saturating_sub(1),
            _ => {}
        }
    }

    fn uncount(&mut self, of: &mut Done) {
        of.occasions = of.occasions.saturating_sub(1);
        self.occasions = self.occasions.saturating_sub(1);
        match of.occasions {
            0 => self.single = self.single.saturating_sub(1),
            1 => self.single += 1,
            _ => {}
        }
    }
}

/// What habits say of an act, the present occasion left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    /// On how many occasions this actor did it to this victim.
    pub(super) here: u32,
    /// On how many it did it to anybody.
    pub(super) anywhere: u32,
    /// How much it says that somebody new does it, in bits.
    pub(super) surprise: f64,
    /// On how many occasions others did it: what the surprise rests on.
    pub(super) others: u32,
    /// How much the hour says, in bits.
    pub(super) hour: f64,
    /// How much the day of the week says, in bits.
    pub(super) day: f64,
}

/// Whose newcomers surprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// Those who do it anywhere.
    All,
    /// Those who do it to the same victim.
    SameVictim,
}

/// The habits of doing one kind of thing.
#[derive(Debug)]
pub(super) struct Habits {
    among: Among,
    /// What is done within so many seconds is one occasion.
    span: u64,
    /// By who and whom; without whom, to anybody.
    done: Table<(Addr, Option<Addr>), Done>,
    tallies: Table<Option<Addr>, Tally>,
    hours: [u32; HOURS],
    days: [u32; DAYS],
}

/// The hour of the day (UTC) and the day of the week; 1970 began on a Thursday.
fn hour_and_day(at: Timestamp) -> (usize, usize) {
    let hours = at.as_secs() / 3600;
    ((hours % 24) as usize, (hours / 24 % 7) as usize)
}

impl Habits {
    pub(super) fn new(among: Among, span: u64) -> Self {
        Self {
            among,
            span,
            done: Table::new(PAIRS),
            tallies: Table::new(VICTIMS),
            hours: [0; HOURS],
            days: [0; DAYS],
        }
    }

    /// What is known of an act.
    pub(super) fn standing(&self, actor: Addr, victim: Addr, at: Timestamp) -> Standing {
        let earlier = |whom| {
            let done = self.done.get(&(actor, whom));
            let now = done.is_some_and(|done| done.is_counted_now(at, self.span));
            (done.map_or(0, |done| done.occasions).saturating_sub(u32::from(now)), now)
        };
        let ((here, now_here), (anywhere, now_anywhere)) = (earlier(Some(victim)), earlier(None));
        let (whom, own, now) = match self.among {
            Among::All => (None, anywhere, now_anywhere),
            Among::SameVictim => (Some(victim), here, now_here),
        };
        let tally = self.tallies.get(&whom).copied().unwrap_or_default();
        // The present occasion, where it is counted, is the actor's only one: it is no evidence about itself.
        let [others, single] =
            [tally.occasions, tally.single].map(|count| count.saturating_sub(u32::from(now && own == 0)));
        let surprise = match own {
            0 => ((f64::from(others) + 1.0) / (f64::from(single) + 1.0)).log2().clamp(0.0, MOST_SURPRISE),
            _ => 0.0,
        };
        let (hour, day) = hour_and_day(at);
        let times = if self.span < A_WHILE { 0.0 } else { 1.0 };
        let total = f64::from(self.days.iter().sum::<u32>());
        // What is usual at an hour is usual shortly before and after it.
        let near: u32 = [HOURS - 1, 0, 1].iter().map(|by| self.hours[(hour + by) % HOURS]).sum();
        Standing {
            here,
            anywhere,
            surprise,
            others,
            hour: times * untimely(f64::from(near) / 3.0, total, HOURS),
            day: times * untimely(f64::from(self.days[day]), total, DAYS),
        }
    }

    /// Whether the present occasion of this actor and victim counts already.
    pub(super) fn is_counted_now(&self, actor: Addr, victim: Addr, at: Timestamp) -> bool {
        self.done.get(&(actor, Some(victim))).is_some_and(|done| done.is_counted_now(at, self.span))
    }

    /// Whether the present occasion of this actor and victim was bad.
    pub(super) fn is_condemned_now(&self, actor: Addr, victim: Addr, at: Timestamp) -> bool {
        let done = self.done.get(&(actor, Some(victim)));
        done.is_some_and(|done| done.is_condemned && done.is_now(at, self.span))
    }

    /// Takes an act that is as it should be.
    pub(super) fn learn(&mut self, actor: Addr, victim: Addr, at: Timestamp) {
        for whom in [Some(victim), None] {
            let (done, _) = self.done.entry((actor, whom), Done::default);
            if done.is_now(at, self.span) {
                continue;
            }
            (done.began, done.is_condemned) = (Some(at), false);
            self.tallies.entry(whom, Tally::default).0.count(done);
            if whom.is_none() {
                let (hour, day) = hour_and_day(at);
                self.hours[hour] += 1;
                self.days[day] += 1;
            }
        }
    }

    /// Takes an act that is not as it should be: the occasion does not count.
    pub(super) fn condemn(&mut self, actor: Addr, victim: Addr, at: Timestamp) {
        for whom in [Some(victim), None] {
            let (done, _) = self.done.entry((actor, whom), Done::default);
            match done.began {
                Some(began) if done.is_counted_now(at, self.span) => {
                    self.tallies.entry(whom, Tally::default).0.uncount(done);
                    if whom.is_none() {
                        let (hour, day) = hour_and_day(began);
                        self.hours[hour] = self.hours[hour].saturating_sub(1);
                        self.days[day] = self.days[day].saturating_sub(1);
                    }
                }
                _ if !done.is_now(at, self.span) => done.began = Some(at),
                _ => {}
            }
            done.is_condemned = true;
        }
    }
}

/// How much rarer something is in one of so many classes than if all were alike, in bits; half an occasion in each
/// class is taken for granted (the estimate of Krichevsky and Trofimov), so that little evidence says little.
fn untimely(seen: f64, total: f64, classes: usize) -> f64 {
    let classes = classes as f64;
    ((total + classes / 2.0) / classes / (seen + 0.5)).log2().clamp(0.0, MOST_UNTIMELY)
}

/// Whether something began so lately that it was absent for longer than it has been there. Needs no span: at the
/// beginning of a watch nothing is new, and after a day there nothing is.
pub(super) fn is_new(first: Timestamp, watch: Timestamp, now: Timestamp) -> bool {
    let (there, absent) = (now.since(first), first.since(watch));
    there < absent && there.as_secs() < 24 * 3600
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn addr(last: u8) -> Addr {
        Addr::of_ip(IpAddr::from([10, 0, 0, last]))
    }

    /// A Monday at that hour, so many days on.
    fn at(day: u64, hour: u64) -> Timestamp {
        Timestamp::from_secs(1_772_409_600 + day * 86_400 + hour * 3600)
    }

    #[test]
    fn a_burst_is_one_occasion_and_newcomers_surprise_the_more_the_longer_nobody_new_came() {
        let mut habits = Habits::new(Among::SameVictim, 60);
        let newcomer = |habits: &Habits, now| habits.standing(addr(9), addr(1), now).surprise;
        assert_eq!(newcomer(&habits, at(0, 8)), 0.0);
        for second in 0..50 {
            habits.learn(addr(2), addr(1), Timestamp::from_secs(1000 + second));
        }
        assert_eq!(newcomer(&habits, at(0, 8)), 0.0, "one occasion by one is no habit");
        for minute in 0..9 {
            habits.learn(addr(2), addr(1), Timestamp::from_secs(2000 + minute * 60));
        }
        let surprise = newcomer(&habits, at(0, 8));
        assert!((surprise - 11_f64.log2()).abs() < 1e-9, "{surprise}");
        let standing = habits.standing(addr(2), addr(1), at(0, 8));
        assert_eq!((standing.here, standing.surprise), (10, 0.0));
        // Where everybody comes once, one more is no surprise.
        let mut crowd = Habits::new(Among::SameVictim, 60);
        for last in 10..60 {
            crowd.learn(addr(last), addr(1), at(0, 9));
        }
        assert_eq!(newcomer(&crowd, at(0, 10)), 0.0);
        // Others' habits elsewhere say nothing here.
        assert_eq!(habits.standing(addr(9), addr(3), at(0, 8)).surprise, 0.0);
    }

    #[test]
    fn a_bad_occasion_does_not_count_even_if_it_began_well() {
        let mut habits = Habits::new(Among::All, 3600);
        habits.learn(addr(2), addr(1), at(0, 8));
        assert_eq!(habits.standing(addr(2), addr(1), at(0, 8)).here, 0, "the present occasion is left out");
        habits.condemn(addr(2), addr(1), at(0, 8));
        habits.learn(addr(2), addr(1), at(0, 8));
        let standing = habits.standing(addr(2), addr(1), at(1, 8));
        assert_eq!((standing.here, standing.anywhere, standing.others), (0, 0, 0));
        habits.learn(addr(2), addr(1), at(1, 8));
        assert_eq!(habits.standing(addr(2), addr(3), at(2, 8)).anywhere, 1);
    }

    proptest! {
        /// Whatever is learnt and condemned, in whatever order, the tally is what the actors did.
        #[test]
        fn the_tally_is_the_sum_of_what_was_done(
            acts in proptest::collection::vec((0_u8..5, any::<bool>(), 0_u64..90), 0..200),
        ) {
            let mut habits = Habits::new(Among::All, 60);
            let mut now = Timestamp::from_secs(1_000_000);
            for (actor, is_good, pause) in acts {
                now = now + std::time::Duration::from_secs(pause);
                match is_good {
                    true => habits.learn(addr(actor), addr(100), now),
                    false => habits.condemn(addr(actor), addr(100), now),
                }
                for whom in [Some(addr(100)), None] {
                    let done: Vec<u32> = (0..5)
                        .filter_map(|actor| habits.done.get(&(addr(actor), whom)))
                        .map(|done| done.occasions)
                        .collect();
                    let tally = habits.tallies.get(&whom).copied().unwrap_or_default();
                    prop_assert_eq!(tally.occasions, done.iter().sum::<u32>());
                    prop_assert_eq!(tally.single as usize, done.iter().filter(|times| **times == 1).count());
                }
                prop_assert_eq!(habits.days.iter().sum::<u32>(), habits.tallies.get(&None).map_or(0, |tally| tally.occasions));
            }
        }
    }

    #[test]
    fn hours_become_unusual_as_others_become_usual() {
        let mut habits = Habits::new(Among::All, 3600);
        assert_eq!(habits.standing(addr(2), addr(1), at(0, 3)).hour, 0.0);
        for day in (0..28).filter(|day| day % 7 < 5) {
            for hour in [9, 11, 14] {
                habits.learn(addr(2), addr(1), at(day, hour));
            }
        }
        let bits = |day, hour| {
            let standing = habits.standing(addr(2), addr(1), at(day, hour));
            (standing.hour, standing.day)
        };
        assert_eq!(bits(28, 10), (0.0, 0.0));
        assert!(bits(28, 3).0 > 1.5 && bits(28, 3).1 == 0.0, "{:?}", bits(28, 3));
        assert!(bits(33, 10).1 > 1.5, "a Saturday: {:?}", bits(33, 10));
    }

    #[test]
    fn nothing_is_new_at_the_beginning_of_a_watch() {
        let secs = Timestamp::from_secs;
        assert!(!is_new(secs(100), secs(100), secs(101)));
        assert!(is_new(secs(400), secs(100), secs(500)));
        assert!(!is_new(secs(400), secs(100), secs(800)));
        assert!(!is_new(secs(1_000_000), secs(0), secs(1_100_000)));
    }
}
