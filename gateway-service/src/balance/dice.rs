//! Random numbers for spreading load; not for secrets.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Splitmix64 (Steele et al., OOPSLA 2014) over a shared counter: any number of threads draw from
/// it without a lock.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    /// Other numbers in each process.
    pub(crate) fn from_entropy() -> Self {
        // The standard library seeds its hashers from the system's entropy.
        Self(AtomicU64::new(RandomState::new().build_hasher().finish()))
    }

    /// The same numbers each time, for tests.
    #[cfg(test)]
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// An even draw below `end`; zero when `end` is zero.
    pub(crate) fn below(&self, end: usize) -> usize {
        let drawn = u128::from(self.next()) * (end as u128);
        usize::try_from(drawn >> 64).unwrap_or(0)
    }

    /// An even draw from 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float")]
        let drawn = (self.next() >> 11) as f64;
        drawn / (1_u64 << 53) as f64
    }

    fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }
}

/// Spreads the bits of a number over the whole of another.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number that stands for a text, the same in every process: FNV-1a
/// (Fowler, Noll, Vo), with its bits spread, for it does not spread short texts well by itself.
pub(crate) fn hash(text: &[u8]) -> u64 {
    let folded = text.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_within_bounds() {
        let dice = Dice::seeded(7);
        let mut counts = [0_u32; 4];
        for _ in 0..40_000 {
            counts[dice.below(4)] += 1;
            assert!((0.0..1.0).contains(&dice.share()));
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
        assert_eq!(dice.below(0), 0);
    }
}
