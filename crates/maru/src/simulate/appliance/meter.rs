//! A store's main electricity meter. Its count is a function of time alone, so it goes on rising
//! from one simulation to the next, as a real one does.

use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::day::LocalTime;

/// What a restaurant draws at each full hour of the day, in watts.
const LOAD_W: [f64; 24] = [
    1_900.0, 1_700.0, 1_700.0, 1_700.0, 1_800.0, 2_000.0, 2_600.0, 3_500.0, 4_500.0, 5_500.0,
    7_000.0, 9_500.0, 10_000.0, 8_500.0, 6_500.0, 6_000.0, 7_000.0, 9_500.0, 11_000.0, 10_500.0,
    8_500.0, 6_000.0, 3_500.0, 2_300.0,
];
/// The meter was installed on 2024-01-01, in days since 1970.
const INSTALLED_DAY: i64 = 19_723;

/// A meter.
#[derive(Debug)]
pub(super) struct Meter {
    /// How large the store is, about 1.
    size: f64,
}

impl Meter {
    /// The meter of a store of some size.
    pub(super) fn new(mut rng: Xoshiro256PlusPlus) -> Self {
        Self {
            size: rng.random_range(0.7..1.3),
        }
    }

    /// What is drawn now: straight lines between the full hours.
    pub(super) fn power_w(&self, now: LocalTime) -> f64 {
        let (from, to, share) = hour_of(now);
        self.size * (from + (to - from) * share)
    }

    /// What has been drawn since the meter was installed: the integral of the power.
    pub(super) fn energy_wh(&self, now: LocalTime) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 days")]
        let days = (now.days() - INSTALLED_DAY) as f64;
        let (from, to, share) = hour_of(now);
        // Over a full hour, the mean of its two ends; all hours of a day together, their sum.
        let per_day: f64 = LOAD_W.iter().sum();
        let past_hours: f64 = (0..24)
            .filter(|&hour| f64::from(hour) + 1.0 <= now.hour())
            .map(|hour| f64::midpoint(load_w(hour), load_w(hour + 1)))
            .sum();
        let this_hour = from * share + (to - from) * share * share / 2.0;
        self.size * (days * per_day + past_hours + this_hour)
    }
}

/// The loads at the ends of this hour, and how much of it is over, from 0 to below 1.
fn hour_of(now: LocalTime) -> (f64, f64, f64) {
    let hour = (0..24).rfind(|&hour| f64::from(hour) <= now.hour());
    let hour = hour.unwrap_or(0);
    (load_w(hour), load_w(hour + 1), now.hour() - f64::from(hour))
}

fn load_w(hour: u8) -> f64 {
    let index = usize::from(hour) % LOAD_W.len();
    LOAD_W.get(index).copied().unwrap_or(0.0)
}
