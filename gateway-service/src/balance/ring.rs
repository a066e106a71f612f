//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with
//! Bounded Loads", SODA 2018): a key goes to the same instance as long as that one is not loaded
//! above a bound; then to the next one on the ring. When an instance comes or goes, only its own
//! share of the keys moves.

use super::dice::hash;

/// Points on the ring for an instance of weight one.
const POINTS: u32 = 100;
/// An instance may carry this many hundredths of its fair share.
const BOUND_PERCENT: u64 = 125;

/// The ring of a set of instances, which it knows by their places in the set.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    points: Vec<(u64, usize)>,
}

impl Ring {
    /// A ring of instances by id and weight.
    pub(crate) fn of<'i>(instances: impl Iterator<Item = (&'i str, u32)>) -> Self {
        let mut points: Vec<(u64, usize)> = instances
            .enumerate()
            .flat_map(|(place, (id, weight))| {
                let count = POINTS.saturating_mul(weight.max(1));
                (0..count).map(move |number| (hash(format!("{id}#{number}").as_bytes()), place))
            })
            .collect();
        points.sort_unstable();
        Self { points }
    }

    /// The places of all instances in the order in which they are asked for `key`, each once.
    fn order(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(start);
        let mut seen = Vec::new();
        let around = after.iter().chain(before).map(|(_, place)| *place);
        around.filter(move |place| {
            let fresh = !seen.contains(place);
            if fresh {
                seen.push(*place);
            }
            fresh
        })
    }

    /// The first instance from `key` on that may be asked and is below its bound. `load` gives the
    /// requests under way at an instance, `None` for one that may not be asked.
    pub(crate) fn find(&self, key: u64, load: impl Fn(usize) -> Option<u64>) -> Option<usize> {
        let mut first = None;
        let usable: Vec<(usize, u64)> = self
            .order(key)
            .filter_map(|place| Some((place, load(place)?)))
            .collect();
        let total: u64 = usable.iter().map(|(_, load)| load).sum();
        let count = usable.len() as u64;
        for (place, load) in usable {
            first.get_or_insert(place);
            // Below the ceiling of 1.25 times the average, the new request included.
            let bound = ((total + 1) * BOUND_PERCENT).div_ceil(100 * count.max(1));
            if load < bound {
                return Some(place);
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[&'static str]) -> Ring {
        Ring::of(ids.iter().map(|id| (*id, 1)))
    }

    fn places(ring: &Ring, ids: &[&'static str]) -> Vec<&'static str> {
        let found = (0..10_000_u64).map(|key| ring.find(hash(&key.to_be_bytes()), |_| Some(0)));
        found.map(|place| ids[place.unwrap()]).collect()
    }

    #[test]
    fn only_the_keys_of_an_instance_that_leaves_are_moved() {
        let (four, three) = (["a", "b", "c", "d"], ["a", "b", "d"]);
        let before = places(&ring(&four), &four);
        let after = places(&ring(&three), &three);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == "c");
        }
        for id in four {
            let share = before.iter().filter(|place| **place == id).count();
            assert!((1_800..3_300).contains(&share), "{id}: {share}");
        }
    }

    #[test]
    fn no_instance_is_loaded_above_its_bound() {
        let ids = ["a", "b", "c", "d"];
        let ring = ring(&ids);
        let mut loads = [0_u64; 4];
        for _ in 0..1_000 {
            // The same key each time: without a bound, one instance would get everything.
            let place = ring.find(42, |place| Some(loads[place])).unwrap();
            loads[place] += 1;
        }
        assert!(loads.iter().all(|load| *load <= 313), "{loads:?}");
        assert_eq!(loads.iter().sum::<u64>(), 1_000);
    }

    #[test]
    fn an_instance_that_may_not_be_asked_is_passed_over() {
        let ids = ["a", "b"];
        let ring = ring(&ids);
        for key in 0..100 {
            let place = ring.find(hash(&[key]), |place| (place == 1).then_some(5));
            assert_eq!(place, Some(1));
        }
        assert_eq!(ring.find(1, |_| None), None);
    }
}
