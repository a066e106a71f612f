//! The time of day at a store.

use common::time::Timestamp;

const DAY_S: i64 = 86_400;
/// From when until when the store has guests, in hours.
const OPENING_HOURS: std::ops::Range<f64> = 9.0..23.0;

/// A moment in local standard time. There is no summer time: a meter must not run backwards.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct LocalTime {
    micros: i64,
}

impl LocalTime {
    /// That moment, `offset_s` seconds east of Greenwich.
    pub(super) fn of(moment: Timestamp, offset_s: i32) -> Self {
        let micros = moment.as_micros() + i64::from(offset_s) * 1_000_000;
        Self { micros }
    }

    /// Since 1970-01-01, rounded down.
    pub(super) fn whole_seconds(self) -> i64 {
        self.micros.div_euclid(1_000_000)
    }

    /// Whole days since 1970-01-01.
    pub(super) fn days(self) -> i64 {
        self.whole_seconds().div_euclid(DAY_S)
    }

    /// Hours since midnight, from 0 to below 24.
    pub(super) fn hour(self) -> f64 {
        let micros = self.micros.rem_euclid(DAY_S * 1_000_000);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a day has far fewer than 2^53 microseconds"
        )]
        let micros = micros as f64;
        micros / 3.6e9
    }

    /// Whether the store has guests.
    pub(super) fn is_open(self) -> bool {
        OPENING_HOURS.contains(&self.hour())
    }

    pub(super) fn later_by_seconds(self, seconds: i64) -> Self {
        Self {
            micros: self.micros + seconds * 1_000_000,
        }
    }

    pub(super) fn earlier_by_seconds(self, seconds: i64) -> Self {
        self.later_by_seconds(-seconds)
    }
}
