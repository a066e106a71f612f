//! A place that sells, and its clock: time zone and business day.

use std::fmt;
use std::str::FromStr;

use common::ids::StoreId;
use common::money::Currency;
use common::time::{CivilDate, Timestamp};
use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;

/// A store of the chain. It never changes once it exists: orders were priced and dated by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) id: StoreId,
    pub(crate) name: String,
    pub(crate) zone: Zone,
    pub(crate) currency: Currency,
    pub(crate) cutoff: Cutoff,
    pub(crate) created_at: Timestamp,
}

impl Site {
    /// The store's wall clock at an instant.
    pub(crate) fn local_time(&self, instant: Timestamp) -> DateTime {
        self.zone.0.to_datetime(instant.to_jiff())
    }

    /// The instant of a wall clock time, and that time as the clock really showed it.
    ///
    /// When the clock is set back, a time occurs twice: the first one counts. When it is set
    /// forward, a time never occurs: it is moved by the length of the gap, so 02:30 becomes 03:30.
    /// This is what RFC 5545, section 3.3.5, says and jiff calls compatible.
    ///
    /// `None` at the far ends of the calendar.
    pub(crate) fn resolve(&self, local: DateTime) -> Option<(Timestamp, DateTime)> {
        let zoned = self.zone.0.to_ambiguous_zoned(local).compatible().ok()?;
        Some((Timestamp::from_jiff(zoned.timestamp()), zoned.datetime()))
    }

    /// The business day that a wall clock time counts for: before the cut-off it is still the day
    /// before. Reckoned on the clock on the wall, so a day with a clock change keeps its cut-off.
    pub(crate) fn business_date(&self, local: DateTime) -> CivilDate {
        let date = local.date();
        let before_cutoff = local.time() < self.cutoff.0;
        let day = if before_cutoff {
            date.yesterday().unwrap_or(date)
        } else {
            date
        };
        CivilDate::from_jiff(day)
    }
}

/// A time zone by its name in the IANA database, such as `America/New_York`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone(TimeZone);

/// A text that names no time zone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time zone of the IANA database has this name")]
pub(crate) struct UnknownZone;

impl Zone {
    pub(crate) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZone::get(text).map_err(|_unspecific| UnknownZone)?;
        if zone.iana_name().is_none() || zone.is_unknown() {
            return Err(UnknownZone);
        }
        Ok(Self(zone))
    }
}

/// When a business day begins, from 00:00 to 12:00 on the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutoff(civil::Time);

/// A text that is no cut-off.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cut-off is a time HH:MM from 00:00 to 12:00")]
pub(crate) struct NotACutoff;

impl FromStr for Cutoff {
    type Err = NotACutoff;

    fn from_str(text: &str) -> Result<Self, NotACutoff> {
        let time = civil::Time::strptime("%H:%M", text).map_err(|_unspecific| NotACutoff)?;
        let shape = text.len() == 5 && time <= civil::time(12, 0, 0, 0);
        shape.then_some(Self(time)).ok_or(NotACutoff)
    }
}

impl fmt::Display for Cutoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::clock::Clock;
    use proptest::prelude::*;

    fn site(zone: &str, cutoff: &str) -> Site {
        Site {
            id: StoreId::new(&Clock::manual(Timestamp::from_micros(0))),
            name: "Here".to_owned(),
            zone: zone.parse().unwrap(),
            currency: "USD".parse().unwrap(),
            cutoff: cutoff.parse().unwrap(),
            created_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn the_business_day_ends_at_the_cutoff_of_the_store() {
        for (zone, cutoff, instant, expected) in [
            (
                "America/New_York",
                "04:00",
                "2015-01-02T04:59:59Z",
                "2015-01-01",
            ),
            (
                "America/New_York",
                "04:00",
                "2015-01-02T08:59:59Z",
                "2015-01-01",
            ),
            (
                "America/New_York",
                "04:00",
                "2015-01-02T09:00:00Z",
                "2015-01-02",
            ),
            ("Asia/Seoul", "04:00", "2026-03-01T18:59:59Z", "2026-03-01"),
            ("Asia/Seoul", "04:00", "2026-03-01T19:00:00Z", "2026-03-02"),
            ("UTC", "00:00", "2026-03-01T00:00:00Z", "2026-03-01"),
        ] {
            let site = site(zone, cutoff);
            let local = site.local_time(instant.parse().unwrap());
            assert_eq!(site.business_date(local).to_string(), expected, "{instant}");
        }
    }

    #[test]
    fn a_time_that_occurs_twice_is_the_first_one_and_a_missing_one_moves_on() {
        let site = site("America/New_York", "04:00");
        for (local, instant, shown) in [
            (
                "2015-11-01T01:30:00",
                "2015-11-01T05:30:00Z",
                "2015-11-01T01:30:00",
            ),
            (
                "2015-03-08T02:30:00",
                "2015-03-08T07:30:00Z",
                "2015-03-08T03:30:00",
            ),
            (
                "2015-01-01T11:38:36",
                "2015-01-01T16:38:36Z",
                "2015-01-01T11:38:36",
            ),
        ] {
            let (resolved, clock) = site.resolve(local.parse().unwrap()).unwrap();
            assert_eq!(resolved.to_string(), instant);
            assert_eq!(clock.to_string(), shown);
        }
    }

    #[test]
    fn zones_and_cutoffs_are_checked() {
        for name in ["", "Mars/Olympus", "EST5EDT4,M3", "+09:00", "../etc/passwd"] {
            assert_eq!(name.parse::<Zone>(), Err(UnknownZone), "{name}");
        }
        assert_eq!("Asia/Seoul".parse::<Zone>().unwrap().name(), "Asia/Seoul");
        for text in ["4:00", "24:00", "12:01", "04:00:00", "", "noon"] {
            assert_eq!(text.parse::<Cutoff>(), Err(NotACutoff), "{text}");
        }
        for text in ["00:00", "04:30", "12:00"] {
            assert_eq!(text.parse::<Cutoff>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn every_instant_survives_the_way_over_the_wall_clock_or_is_an_earlier_twin(
            seconds in 0_i64..4_102_444_800,
            zone in prop::sample::select(vec!["America/New_York", "Asia/Seoul", "Europe/Berlin", "Australia/Lord_Howe"]),
        ) {
            let site = site(zone, "04:00");
            let instant = Timestamp::from_unix_seconds(seconds);
            let local = site.local_time(instant);
            let (resolved, clock) = site.resolve(local).unwrap();
            prop_assert_eq!(clock, local);
            prop_assert!(resolved <= instant);
            prop_assert!(instant.since(resolved) <= std::time::Duration::from_secs(3_600));
        }
    }
}
