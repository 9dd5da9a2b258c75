//! Whether flags come more often than they used to.

use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::poisson_upper;

/// Fewer flags are never a burst.
const MIN_FLAGS: u32 = 3;

/// Counts how often something is flagged, in windows of time, and knows how often that was so before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bursts {
    /// Looked at and flagged in windows that have passed.
    looked: u64,
    flagged: u64,
    /// The most flags in one of them, how many there were, and in how many there were bursts.
    most: u32,
    windows: u32,
    bursty: u32,
    /// The window that goes on.
    begun: Timestamp,
    now_looked: u32,
    now_flagged: u32,
    /// Whether it was told that this one is a burst, and the one before.
    told: bool,
    was_told: bool,
}

impl Bursts {
    /// Something was looked at, and flagged or not, in windows of so many nanoseconds. How many flags there are if they
    /// are so many that it would happen by chance in a share of `level` of all windows, once for each window.
    pub(crate) fn look(&mut self, is_flagged: bool, at: Timestamp, window: u64, level: f64) -> Option<u32> {
        if at.as_nanos().saturating_sub(self.begun.as_nanos()) >= window {
            self.pass(at);
        }
        if is_flagged && self.now_flagged == 0 {
            // A window begins with the first flag: a burst is not cut in two.
            self.looked = self.looked.saturating_add(std::mem::take(&mut self.now_looked).into());
            self.begun = at;
        }
        self.now_looked = self.now_looked.saturating_add(1);
        self.now_flagged = self.now_flagged.saturating_add(u32::from(is_flagged));
        if !is_flagged || self.told || self.now_flagged < MIN_FLAGS || self.now_flagged / 2 <= self.most {
            return None;
        }
        // A share that was never seen is not 0 (Laplace).
        let share = (self.flagged as f64 + 1.0) / (self.looked as f64 + 2.0);
        let expected = share * f64::from(self.now_looked);
        if poisson_tail(self.now_flagged, expected) > level {
            return None;
        }
        self.told = true;
        Some(self.now_flagged)
    }

    /// How likely it is at most that a window has a burst, with a confidence of 95 %: something changes its state now
    /// and then, and before it has been in all its states a burst says nothing.
    pub(crate) fn unseen(&self) -> f64 {
        if self.windows == 0 { 1.0 } else { poisson_upper(self.bursty) / f64::from(self.windows) }
    }

    /// A window has passed. What was told is not learnt.
    fn pass(&mut self, at: Timestamp) {
        self.windows = self.windows.saturating_add(1);
        self.bursty = self.bursty.saturating_add(u32::from(self.now_flagged >= MIN_FLAGS));
        if !self.told {
            self.looked = self.looked.saturating_add(self.now_looked.into());
            self.flagged = self.flagged.saturating_add(self.now_flagged.into());
            self.most = self.most.max(self.now_flagged);
        }
        self.was_told = self.told;
        (self.begun, self.now_looked, self.now_flagged, self.told) = (at, 0, 0, false);
    }

    /// Whether a burst goes on, or has just ended.
    pub(crate) const fn goes_on(&self) -> bool {
        self.told || self.was_told
    }

    /// The share that was flagged before.
    pub(crate) fn share(&self) -> f64 {
        if self.looked > 0 { self.flagged as f64 / self.looked as f64 } else { 0.0 }
    }
}

/// How likely `count` or more events are where `mean` are expected, at most (Chernoff's bound for a Poisson variable).
fn poisson_tail(count: u32, mean: f64) -> f64 {
    let count = f64::from(count);
    if count <= mean { 1.0 } else { (count - mean - count * (count / mean).ln()).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_is_not_far() {
        // P(X >= 10) with mean 2 is 4.65e-5, P(X >= 3) with mean 0.01 is 1.65e-7.
        for (count, mean, exact) in [(10, 2.0, 4.65e-5), (3, 0.01, 1.65e-7)] {
            let bound = poisson_tail(count, mean);
            assert!(bound >= exact && bound < 10.0 * exact, "{bound}");
        }
    }

    #[test]
    fn a_burst_is_whole_wherever_it_begins() {
        let at = |ms: u64| Timestamp::from_micros(ms * 1000);
        for begin in [100_000, 100_300, 100_900, 100_990] {
            let mut bursts = Bursts::default();
            let told = (0..110_000_u64).find_map(|ms| {
                let is_flagged = (begin..begin + 40).contains(&ms) && ms % 4 == 0;
                bursts.look(is_flagged, at(ms), 1_000_000_000, 1e-9).map(|_| ms)
            });
            assert!(told.is_some_and(|ms| ms < begin + 40), "{begin}");
        }
    }

    #[test]
    fn a_burst_is_told_once_in_each_window_and_a_steady_share_never() {
        let at = |ms: u64| Timestamp::from_micros(ms * 1000);
        let mut steady = Bursts::default();
        for ms in 0..100_000 {
            assert_eq!(steady.look(ms % 50 == 0, at(ms), 1_000_000_000, 1e-9), None, "{ms}");
        }
        assert!((steady.share() - 0.02).abs() < 1e-3);
        let told = (100_000..102_000).filter_map(|ms| steady.look(ms % 2 == 0, at(ms), 1_000_000_000, 1e-9));
        assert_eq!(told.count(), 2);
        assert!((steady.share() - 0.02).abs() < 1e-3, "what was told is not learnt");
    }
}
