//! Scores that are false-alarm rates.

use serde::{Deserialize, Serialize};

/// The tail begins at this share of what was seen, from above.
const TAIL: f64 = 0.1;
/// A tail of fewer values says nothing about what lies beyond.
const MIN_TAIL: usize = 8;

/// A fair sample of all numbers seen so far, of at most `limit`, and how unusual a number is by it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reservoir {
    /// In order.
    sample: Vec<f32>,
    seen: u64,
}

impl Reservoir {
    /// Takes a number: each of all seen so far is in the sample with the same chance (algorithm R, J. S. Vitter,
    /// ACM TOMS 11, 1985). Which one makes room follows from how many were seen, so that a replay keeps the same.
    pub(crate) fn add(&mut self, value: f32, limit: usize) {
        if !value.is_finite() {
            return;
        }
        self.seen = self.seen.saturating_add(1);
        if self.sample.len() >= limit {
            let lot = mix(self.seen) % self.seen;
            if lot >= limit as u64 {
                return;
            }
            self.sample.remove(lot as usize);
        }
        let place = self.sample.partition_point(|known| *known < value);
        self.sample.insert(place, value);
    }

    /// How many numbers were seen.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// The greatest number in the sample.
    pub(crate) fn greatest(&self) -> Option<f32> {
        self.sample.last().copied()
    }

    /// The number below which this share of the sample lies.
    pub(crate) fn quantile(&self, share: f64) -> Option<f32> {
        let last = self.sample.len().checked_sub(1)?;
        self.sample.get((share * last as f64).round() as usize).copied()
    }

    /// The share of all numbers that are as great as this one. Within the sample it is the conformal p-value
    /// (V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, 2005), which is never too small
    /// if numbers come as they came. Beyond, the tail is a generalised Pareto distribution (A. Siffer et al., KDD
    /// 2017) whose parameters are those of the sample's tail by the method of moments, never thinner than
    /// exponential; its scale is at least `grain`, below which differences mean nothing.
    pub(crate) fn p_value(&self, value: f32, grain: f64) -> f64 {
        let count = self.sample.len();
        let above = count - self.sample.partition_point(|known| *known < value);
        let conformal = (1.0 + above as f64) / (1.0 + count as f64);
        let tail = (count as f64 * TAIL) as usize;
        if above > 0 || tail < MIN_TAIL {
            return conformal;
        }
        let start = f64::from(self.sample[count - tail - 1]);
        let excesses = || self.sample[count - tail..].iter().map(|known| f64::from(*known) - start);
        let mean = excesses().sum::<f64>() / tail as f64;
        let variance = excesses().map(|excess| (excess - mean).powi(2)).sum::<f64>() / (tail - 1) as f64;
        let ratio = if variance > 0.0 { mean * mean / variance } else { 1.0 };
        let shape = (0.5 * (1.0 - ratio)).clamp(0.0, 0.5);
        let scale = (mean * (1.0 - shape)).max(grain);
        if scale <= 0.0 {
            return conformal;
        }
        let excess = (f64::from(value) - start) / scale;
        let beyond = if shape < 1e-6 { (-excess).exp() } else { (1.0 + shape * excess).powf(-1.0 / shape) };
        conformal.min(tail as f64 / count as f64 * beyond)
    }

    /// Whether what was read back can be.
    pub(crate) fn is_sane(&self, limit: usize) -> bool {
        self.sample.len() <= limit
            && self.seen >= self.sample.len() as u64
            && self.sample.iter().all(|value| value.is_finite())
            && self.sample.is_sorted()
    }
}

/// The finaliser of splitmix64: evenly spread, and the same everywhere.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 to 1, evenly spread.
    fn uniform(seed: u64, count: u64) -> impl Iterator<Item = f64> {
        (0..count).map(move |number| {
            (mix(seed << 32 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 11) as f64 / (1_u64 << 53) as f64
        })
    }

    #[test]
    fn the_sample_is_fair_and_bounded() {
        let mut reservoir = Reservoir::default();
        (0..100_000).for_each(|number| reservoir.add(number as f32, 256));
        assert!(reservoir.is_sane(256) && reservoir.sample.len() == 256);
        let median = reservoir.quantile(0.5).unwrap();
        assert!((40_000.0..60_000.0).contains(&median), "{median}");
    }

    #[test]
    fn scores_are_rates_within_the_sample_and_beyond() {
        type Quantile = fn(f64) -> f64;
        let shapes: [(&str, Quantile); 4] = [
            ("even", |u| u),
            ("exponential", |u| -(1.0 - u).ln()),
            ("Pareto", |u| (1.0 - u).powf(-1.0 / 3.0)),
            ("steps", |u| (u * 5.0).floor()),
        ];
        for (name, quantile) in shapes {
            for rate in [0.1, 0.01, 0.001] {
                let (mut alarms, mut looked) = (0.0, 0.0);
                for seed in 0..40 {
                    let mut reservoir = Reservoir::default();
                    uniform(seed, 2000).for_each(|u| reservoir.add(quantile(u) as f32, 256));
                    for u in uniform(1000 + seed, 2000) {
                        looked += 1.0;
                        alarms += f64::from(u8::from(reservoir.p_value(quantile(u) as f32, 0.0) <= rate));
                    }
                }
                assert!(alarms / looked <= 2.0 * rate, "{name} at {rate}: {}", alarms / looked);
            }
        }
    }

    #[test]
    fn what_lies_far_beyond_is_told_from_what_lies_just_beyond() {
        let mut reservoir = Reservoir::default();
        uniform(1, 1000).for_each(|u| reservoir.add(u as f32, 256));
        assert!(reservoir.p_value(1.01, 0.0) > 1e-3);
        assert!(reservoir.p_value(5.0, 0.0) < 1e-9);
    }
}
