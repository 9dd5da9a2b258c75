//! How long to wait before somebody who did not listen is tried again.

use std::time::Duration;

/// The shortest wait.
pub const DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
pub const DELAY_MAX: Duration = Duration::from_secs(300);
/// After so many doublings the longest wait is reached in any case.
const DOUBLINGS_MAX: u32 = 16;

/// How long to wait after so many failures in a row, from 1: twice as long each time, from [`DELAY_MIN`] to [`DELAY_MAX`]. The
/// upper half of it is drawn from `seed`, so that many who have lost the same receiver do not come back all at once; the same
/// seed and number give the same wait.
pub fn delay(failures: u32, seed: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
    let whole = DELAY_MIN.saturating_mul(1 << doublings).min(DELAY_MAX);
    let half = whole / 2;
    // The upper 32 bits, as a share of the other half.
    let share = mixed(seed ^ u64::from(failures)) >> 32;
    let more = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_mul(share >> 8) >> 24;
    (half + Duration::from_nanos(more)).max(DELAY_MIN)
}

/// Numbers that have nothing to do with each other, of numbers that follow each other (SplitMix64, by Steele, Lea and Flood).
pub(crate) const fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_mixed_as_the_reference_does() {
        // The first numbers of the generator that begins with 0.
        assert_eq!(mixed(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mixed(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }

    proptest! {
        #[test]
        fn a_wait_doubles_within_its_bounds_and_is_the_same_for_the_same_seed(failures in 0_u32.., seed: u64) {
            let wait = delay(failures, seed);
            prop_assert!((DELAY_MIN..=DELAY_MAX).contains(&wait));
            prop_assert_eq!(wait, delay(failures, seed));
            let whole = DELAY_MIN.saturating_mul(1 << failures.clamp(1, 10).saturating_sub(1)).min(DELAY_MAX);
            prop_assert!(wait <= whole && wait >= whole / 2, "{wait:?} of {whole:?}");
        }
    }

    #[test]
    fn those_who_have_lost_the_same_receiver_come_back_one_by_one() {
        let mut waits: Vec<_> = (0..100).map(|seed| delay(9, seed)).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 95, "{}", waits.len());
        let spread = *waits.last().unwrap() - waits[0];
        assert!(spread > Duration::from_secs(90), "{spread:?}");
    }
}
