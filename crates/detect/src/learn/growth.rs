//! How often something new still comes, when it comes ever more rarely.

use serde::{Deserialize, Serialize};

use super::poisson_upper;

/// When new things came that come ever more rarely: the power law of reliability growth (L. H. Crow, "Reliability
/// Analysis for Complex, Repairable Systems", 1974; MIL-HDBK-189). What came while watching had just begun says less
/// about now than what came lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Growth {
    count: u32,
    /// The sum of the logarithms of the times at which they came.
    logarithms: f64,
}

impl Growth {
    /// Something new came after so many trials, at least one.
    pub(crate) fn came(&mut self, after: u32) {
        self.count = self.count.saturating_add(1);
        self.logarithms += f64::from(after.max(1)).ln();
    }

    /// How likely it is at most, with a confidence of 95 %, that the next trial shows something new after so many. It
    /// is never assumed to become more frequent.
    pub(crate) fn unseen(&self, after: u32) -> f64 {
        let (count, after) = (f64::from(self.count), f64::from(after.max(1)));
        let spread = count * after.ln() - self.logarithms;
        let shape = if spread > count { count / spread } else { 1.0 };
        (poisson_upper(self.count) * shape / after).min(1.0)
    }

    /// Whether what was read back can be.
    pub(crate) fn is_sane(&self) -> bool {
        self.logarithms.is_finite() && self.logarithms >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_at_the_beginning_counts_less_than_what_came_lately() {
        let (mut early, mut late) = (Growth::default(), Growth::default());
        assert!((early.unseen(100) - 0.03).abs() < 1e-3, "the rule of three");
        assert!(early.unseen(0) >= 1.0);
        early.came(5);
        late.came(95);
        assert!(early.unseen(100) < 0.5 * late.unseen(100));
        assert!((late.unseen(100) - 0.0474).abs() < 1e-3, "never more frequent than they were");
    }

    #[test]
    fn it_holds_for_what_comes_ever_more_rarely_and_for_what_keeps_coming() {
        let (mut rarer, mut steady) = (Growth::default(), Growth::default());
        for trial in 1..=4096_u32 {
            if trial.is_power_of_two() {
                rarer.came(trial);
            }
            if trial % 64 == 0 {
                steady.came(trial);
            }
        }
        // The rates at the end are 1 / (4096 ln 2) and 1 / 64.
        assert!((1.0 / 2840.0..4.0 / 2840.0).contains(&rarer.unseen(4096)), "{}", rarer.unseen(4096));
        assert!((1.0 / 64.0..2.0 / 64.0).contains(&steady.unseen(4096)), "{}", steady.unseen(4096));
        assert!(rarer.is_sane() && steady.is_sane());
    }
}
