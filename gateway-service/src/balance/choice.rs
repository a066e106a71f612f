//! Which of several instances takes a request.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

use super::dice::Dice;
use super::ring::Ring;

/// How instances are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Balance {
    /// The better of two random ones, by answer time and requests under way (Mitzenmacher, "The
    /// Power of Two Choices in Randomized Load Balancing", 2001).
    P2c,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastRequest,
    /// By a key of the request, with bounded loads.
    ConsistentHash,
}

impl Balance {
    /// Reads the word that stands in settings.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "p2c" => Self::P2c,
            "round_robin" => Self::RoundRobin,
            "least_request" => Self::LeastRequest,
            "consistent_hash" => Self::ConsistentHash,
            _ => return None,
        })
    }
}

/// One instance that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Its place in the group.
    pub(crate) place: usize,
    /// Its average answer time, in milliseconds.
    pub(crate) millis: f64,
    /// Requests under way at it.
    pub(crate) in_flight: u64,
    /// Its share of the traffic relative to the others: its weight, less while it starts.
    pub(crate) share: f64,
}

impl Candidate {
    /// The expected wait of one more request, so to speak.
    #[expect(clippy::cast_precision_loss, reason = "requests under way are few")]
    fn cost(&self) -> f64 {
        self.millis * (self.in_flight + 1) as f64 / self.share
    }

    #[expect(clippy::cast_precision_loss, reason = "requests under way are few")]
    fn crowding(&self) -> f64 {
        (self.in_flight + 1) as f64 / self.share
    }
}

/// What a group keeps between choices.
#[derive(Debug)]
pub(crate) struct Chooser {
    dice: Dice,
    turn: AtomicUsize,
}

impl Chooser {
    pub(crate) fn new(dice: Dice) -> Self {
        Self {
            dice,
            turn: AtomicUsize::new(0),
        }
    }

    /// Chooses; `None` only when there are no candidates. `ring` and `key` are of use to
    /// [`Balance::ConsistentHash`], which chooses like [`Balance::P2c`] without a key.
    pub(crate) fn choose(
        &self,
        balance: Balance,
        candidates: &[Candidate],
        ring: &Ring,
        key: Option<u64>,
    ) -> Option<usize> {
        match (balance, key) {
            (Balance::ConsistentHash, Some(key)) => {
                let of = |place| candidates.iter().find(|one| one.place == place);
                ring.find(key, |place| of(place).map(|one| one.in_flight))
            }
            (Balance::P2c | Balance::ConsistentHash, _) => self.better_of_two(candidates),
            (Balance::RoundRobin, _) => self.next_in_turn(candidates),
            (Balance::LeastRequest, _) => self.least_crowded(candidates),
        }
    }

    fn better_of_two(&self, candidates: &[Candidate]) -> Option<usize> {
        let first = self.dice.below(candidates.len());
        // Another one than the first: drawn from the others, and counted past it.
        let second = self.dice.below(candidates.len().saturating_sub(1));
        let second = second + usize::from(second >= first);
        let first = candidates.get(first)?;
        let better = candidates
            .get(second)
            .filter(|second| second.cost() < first.cost());
        Some(better.unwrap_or(first).place)
    }

    /// An instance that is starting is passed over now and then, unless there is no other.
    fn next_in_turn(&self, candidates: &[Candidate]) -> Option<usize> {
        for _ in 0..candidates.len() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % candidates.len();
            let candidate = candidates.get(turn)?;
            if candidate.share >= 1.0 || self.dice.share() < candidate.share {
                return Some(candidate.place);
            }
        }
        candidates.first().map(|one| one.place)
    }

    fn least_crowded(&self, candidates: &[Candidate]) -> Option<usize> {
        // From a random one on, so that equals share.
        let start = self.dice.below(candidates.len());
        let (before, after) = candidates.split_at_checked(start)?;
        let around = after.iter().chain(before);
        let least = around.min_by(|a, b| a.crowding().total_cmp(&b.crowding()));
        least.map(|one| one.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(values: &[(f64, u64, f64)]) -> Vec<Candidate> {
        let number = values.iter().enumerate();
        let candidate =
            |(place, (millis, in_flight, share)): (usize, &(f64, u64, f64))| Candidate {
                place,
                millis: *millis,
                in_flight: *in_flight,
                share: *share,
            };
        number.map(candidate).collect()
    }

    fn counts(balance: Balance, candidates: &[Candidate]) -> Vec<u32> {
        let chooser = Chooser::new(Dice::seeded(1));
        let mut counts = vec![0; candidates.len()];
        for _ in 0..10_000 {
            let ring = Ring::default();
            counts[chooser.choose(balance, candidates, &ring, None).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn two_choices_leave_the_worst_of_several_alone() {
        let one_bad = candidates(&[(1.0, 0, 1.0), (1.0, 0, 1.0), (5_000.0, 0, 1.0)]);
        let counts = counts(Balance::P2c, &one_bad);
        assert_eq!(counts[2], 0);
        assert!(counts[0] > 4_500 && counts[1] > 4_500, "{counts:?}");
    }

    #[test]
    fn equals_share_the_load_evenly() {
        let equal = candidates(&[(2.0, 3, 1.0); 4]);
        for balance in [Balance::P2c, Balance::RoundRobin, Balance::LeastRequest] {
            let counts = counts(balance, &equal);
            assert!(
                counts.iter().all(|count| (2_300..2_700).contains(count)),
                "{balance:?} {counts:?}"
            );
        }
    }

    #[test]
    fn the_fewest_requests_win() {
        let busy = candidates(&[(1.0, 9, 1.0), (900.0, 2, 1.0), (1.0, 3, 1.0)]);
        assert_eq!(counts(Balance::LeastRequest, &busy), [0, 10_000, 0]);
        let heavier = candidates(&[(1.0, 3, 1.0), (1.0, 5, 2.0)]);
        assert_eq!(counts(Balance::LeastRequest, &heavier), [0, 10_000]);
    }

    #[test]
    fn one_that_starts_gets_its_share_only() {
        let starting = candidates(&[(1.0, 0, 1.0), (1.0, 0, 0.1)]);
        let counts = counts(Balance::RoundRobin, &starting);
        assert!((700..1_300).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn one_alone_is_always_chosen_and_none_never() {
        for balance in [
            Balance::P2c,
            Balance::RoundRobin,
            Balance::LeastRequest,
            Balance::ConsistentHash,
        ] {
            let chooser = Chooser::new(Dice::seeded(2));
            let alone = candidates(&[(1.0, 0, 0.1)]);
            let ring = Ring::of([("a", 1)].into_iter());
            assert_eq!(chooser.choose(balance, &alone, &ring, Some(1)), Some(0));
            assert_eq!(chooser.choose(balance, &[], &ring, Some(1)), None);
        }
    }
}
