//! Statistics that forget: what was long ago weighs less.

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// Mean and spread of a stream of numbers of which each weighs half as much after each half-life (the damped
/// incremental statistics of Kitsune: Y. Mirsky et al., NDSS 2018, section IV-B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Damped {
    weight: f64,
    mean: f64,
    /// Sum of squared deviations, weighted.
    squares: f64,
    last: Timestamp,
}

impl Damped {
    /// Takes a number at a time; `half_life` in seconds. Packets may be out of order: time never goes back.
    pub(crate) fn add(&mut self, value: f64, at: Timestamp, half_life: f64) {
        self.fade(at, half_life);
        // West's update (Communications of the ACM 22, 1979), which does not cancel.
        self.weight += 1.0;
        let change = value - self.mean;
        self.mean += change / self.weight;
        self.squares += change * (value - self.mean);
    }

    fn fade(&mut self, at: Timestamp, half_life: f64) {
        let factor = (-at.since(self.last).as_secs_f64() / half_life).exp2();
        self.weight *= factor;
        self.squares *= factor;
        self.last = self.last.max(at);
    }

    /// How many numbers it is worth.
    pub(crate) const fn weight(&self) -> f64 {
        self.weight
    }

    /// Their mean.
    pub(crate) const fn mean(&self) -> f64 {
        self.mean
    }

    /// Their standard deviation.
    pub(crate) fn deviation(&self) -> f64 {
        if self.weight > 0.0 { (self.squares / self.weight).max(0.0).sqrt() } else { 0.0 }
    }

    /// Whether what was read back can be.
    pub(crate) fn is_sane(&self) -> bool {
        self.weight.is_finite() && self.mean.is_finite() && self.squares.is_finite() && self.weight >= 0.0
    }
}

/// Two streams whose numbers come together, and how far they go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DampedPair {
    one: Damped,
    other: Damped,
    products: f64,
}

impl DampedPair {
    /// Takes a number of each.
    pub(crate) fn add(&mut self, one: f64, other: f64, at: Timestamp, half_life: f64) {
        let factor = (-at.since(self.one.last).as_secs_f64() / half_life).exp2();
        let before = one - self.one.mean;
        self.one.add(one, at, half_life);
        self.other.add(other, at, half_life);
        self.products = self.products * factor + before * (other - self.other.mean);
    }

    /// How far `other` lies from where `one` says that it should, in standard deviations of what is usually left
    /// (regression by least squares).
    pub(crate) fn surprise(&self, one: f64, other: f64) -> f64 {
        let slope = if self.one.squares > 0.0 { self.products / self.one.squares } else { 0.0 };
        let residual = other - self.other.mean - slope * (one - self.one.mean);
        let left = (self.other.squares - slope * self.products).max(0.0) / self.other.weight.max(1.0);
        // A stream that never changed is trusted no further than to a hundredth of its mean.
        residual.abs() / left.sqrt().max(self.other.mean.abs() / 100.0).max(f64::EPSILON)
    }

    /// Pearson's coefficient, from -1 to 1.
    #[cfg(test)]
    fn correlation(&self) -> f64 {
        self.products / (self.one.squares * self.other.squares).sqrt()
    }

    /// Whether what was read back can be.
    pub(crate) fn is_sane(&self) -> bool {
        self.one.is_sane() && self.other.is_sane() && self.products.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF_LIFE: f64 = 10.0;

    proptest! {
        #[test]
        fn they_are_the_weighted_mean_spread_and_covariance(
            values in proptest::collection::vec((-100.0..100.0, -100.0..100.0, 0_u64..20), 1..50),
        ) {
            let mut at = Timestamp::from_secs(1000);
            let mut pair = DampedPair::default();
            let mut seen = Vec::new();
            for (one, other, pause) in values {
                at = Timestamp::from_secs(at.as_secs() + pause);
                pair.add(one, other, at, HALF_LIFE);
                seen.push((one, other, at));
            }
            let weight = |then: Timestamp| (-at.since(then).as_secs_f64() / HALF_LIFE).exp2();
            let total: f64 = seen.iter().map(|(.., then)| weight(*then)).sum();
            let mean = |of: fn(&(f64, f64, Timestamp)) -> f64| {
                seen.iter().map(|entry| of(entry) * weight(entry.2)).sum::<f64>() / total
            };
            let (m1, m2) = (mean(|entry| entry.0), mean(|entry| entry.1));
            let variance = seen.iter().map(|(one, _, then)| (one - m1).powi(2) * weight(*then)).sum::<f64>() / total;
            let products: f64 = seen.iter().map(|(one, other, then)| (one - m1) * (other - m2) * weight(*then)).sum();
            prop_assert!((pair.one.weight() - total).abs() < 1e-6);
            prop_assert!((pair.one.mean() - m1).abs() < 1e-6 && (pair.other.mean() - m2).abs() < 1e-6);
            prop_assert!((pair.one.deviation() - variance.sqrt()).abs() < 1e-4);
            prop_assert!((pair.products - products).abs() < 1e-4, "{} {products}", pair.products);
        }
    }

    #[test]
    fn what_goes_together_is_expected_together() {
        let mut pair = DampedPair::default();
        for step in 0..200_u32 {
            let one = f64::from(step % 17);
            pair.add(one, 3.0 * one + f64::from(step % 3), Timestamp::from_secs(step.into()), 1e9);
        }
        assert!(pair.correlation() > 0.99);
        assert!(pair.surprise(10.0, 31.0) < 1.0 && pair.surprise(10.0, 5.0) > 10.0);
    }
}
