//! A keyed permutation of small numbers: a balanced Feistel network over AES, after the manner of FF1
//! (NIST SP 800-38G), whose ten rounds it takes. It is not FF1: it works on bits.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

use crate::secret::Secret;

/// NIST SP 800-38G, section 5.2: ten rounds.
const ROUNDS: u8 = 10;

pub(super) struct Shuffle(Aes256);

impl Shuffle {
    pub(super) fn new(key: &Secret) -> Self {
        Self(Aes256::new(key.expose().into()))
    }

    /// Another number of `bits` bits (even, at most 64). Each tweak has a permutation of its own.
    pub(super) fn hide(&self, number: u64, bits: u32, tweak: u64) -> u64 {
        let (half, mask) = halves(bits);
        let (mut left, mut right) = (number >> half & mask, number & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right, bits, tweak) & mask);
        }
        left << half | right
    }

    /// The number of which [`Shuffle::hide`] made this one.
    pub(super) fn reveal(&self, number: u64, bits: u32, tweak: u64) -> u64 {
        let (half, mask) = halves(bits);
        let (mut left, mut right) = (number >> half & mask, number & mask);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left, bits, tweak) & mask, left);
        }
        left << half | right
    }

    /// A block of round, width, tweak and half, so that no two of them meet.
    fn round(&self, round: u8, half: u64, bits: u32, tweak: u64) -> u64 {
        let mut block = [0; 16];
        block[0] = round;
        block[1] = bits as u8;
        // A tweak is at most 48 bits and a half at most 32.
        block[2..8].copy_from_slice(&tweak.to_be_bytes()[2..]);
        block[8..].copy_from_slice(&half.to_be_bytes());
        let mut block = block.into();
        self.0.encrypt_block(&mut block);
        u64::from_be_bytes([block[0], block[1], block[2], block[3], block[4], block[5], block[6], block[7]])
    }
}

fn halves(bits: u32) -> (u32, u64) {
    debug_assert!(bits.is_multiple_of(2) && bits <= 64);
    (bits / 2, (1 << (bits / 2)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_of_a_small_range_is_met_once() {
        let shuffle = Shuffle::new(&Secret::new(&[1; 32]));
        for tweak in 0..4 {
            let all: BTreeSet<u64> = (0..1 << 12).map(|number| shuffle.hide(number, 12, tweak)).collect();
            assert_eq!((all.len(), all.last()), (1 << 12, Some(&((1 << 12) - 1))));
        }
    }

    proptest! {
        #[test]
        fn what_was_hidden_is_revealed(number: u64, half in 4u32..=32, tweak in 0u64..1 << 48) {
            let bits = half * 2;
            let number = number & u64::MAX >> (64 - bits);
            let shuffle = Shuffle::new(&Secret::new(&[2; 32]));
            let hidden = shuffle.hide(number, bits, tweak);
            prop_assert!(bits == 64 || hidden < 1 << bits);
            prop_assert_eq!(shuffle.reveal(hidden, bits, tweak), number);
        }
    }
}
