//! A share of a route's requests that is copied to another service.

use std::sync::atomic::{AtomicU32, Ordering};

/// Which requests of a route are copied, and where to.
#[derive(Debug)]
pub struct Mirror {
    /// Index into [`crate::Table::services`].
    pub service: usize,
    /// So many of a hundred requests, 1 to 100.
    pub percent: u32,
    pub(crate) turns: AtomicU32,
}

impl Mirror {
    /// Whether the next request is copied: the share is spread evenly over time.
    #[must_use]
    pub fn takes_next(&self) -> bool {
        // Multiples of the golden ratio fall evenly into any division of their range (Weyl).
        let turn = self.turns.fetch_add(0x9E37_79B9, Ordering::Relaxed);
        (u64::from(turn) * 100) >> 32 < u64::from(self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_even_in_any_stretch_of_requests() {
        for percent in [1, 10, 33, 100] {
            let mirror = Mirror {
                service: 0,
                percent,
                turns: AtomicU32::new(0),
            };
            for _ in 0..5 {
                let taken = (0..1_000).filter(|_| mirror.takes_next()).count();
                let expected = percent as usize * 10;
                assert!(taken.abs_diff(expected) <= 3, "{percent}: {taken}");
            }
        }
    }
}
