//! When an order was placed: text in one of several formats → local date and time of the store.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::map::MomentMap;

/// Reads moments by the formats of a map.
#[derive(Debug)]
pub(crate) struct MomentReader {
    formats: Vec<String>,
    zone: Option<TimeZone>,
}

impl MomentReader {
    /// Takes the formats in the order of the map.
    ///
    /// # Errors
    /// When the map's zone is not known.
    pub(crate) fn new(map: &MomentMap) -> Result<Self, jiff::Error> {
        let zone = map.time_zone.as_deref().map(TimeZone::get).transpose()?;
        Ok(Self {
            formats: map.formats.clone(),
            zone,
        })
    }

    /// The local time at the store. The first format that fits the whole text counts.
    ///
    /// # Errors
    /// One phrase when none fits.
    pub(crate) fn read(&self, text: &str, store: &TimeZone) -> Result<DateTime, String> {
        for format in &self.formats {
            let parsed = BrokenDownTime::parse(format, text);
            if let Some(local) = parsed.ok().and_then(|time| self.local(&time, store)) {
                return Ok(local);
            }
        }
        let formats = self.formats.join("`, `");
        Err(format!(
            "`{text}` is not a date and time of the form `{formats}`"
        ))
    }

    fn local(&self, time: &BrokenDownTime, store: &TimeZone) -> Option<DateTime> {
        let instant = if time.timestamp().is_some() || time.offset().is_some() {
            time.to_timestamp().ok()?
        } else if time.iana_time_zone().is_some() {
            time.to_zoned().ok()?.timestamp()
        } else {
            let civil = time.to_datetime().ok()?;
            match &self.zone {
                None => return Some(civil),
                Some(zone) => zone.to_zoned(civil).ok()?.timestamp(),
            }
        };
        Some(store.to_datetime(instant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::template::Template;

    fn reader(formats: &[&str], zone: Option<&str>) -> MomentReader {
        MomentReader::new(&MomentMap {
            value: Template::default(),
            formats: formats.iter().map(|&format| format.to_owned()).collect(),
            time_zone: zone.map(str::to_owned),
        })
        .unwrap()
    }

    #[test]
    fn the_first_format_that_fits_counts() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let mixed = reader(
            &["%Y-%m-%d %H:%M:%S", "%m/%d/%Y %I:%M %p", "%d.%m.%y %k:%M"],
            None,
        );
        for (text, expected) in [
            ("2015-01-01 11:38:36", "2015-01-01T11:38:36"),
            ("1/31/2015 12:05 AM", "2015-01-31T00:05:00"),
            ("01/31/2015 12:05 pm", "2015-01-31T12:05:00"),
            ("31.01.15 9:05", "2015-01-31T09:05:00"),
        ] {
            assert_eq!(
                mixed.read(text, &seoul).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
        for text in [
            "",
            "2015-02-30 11:38:36",
            "2015-01-01",
            "13/31/2015 1:00 AM",
            "2015-01-01 11:38:36 x",
        ] {
            assert!(mixed.read(text, &seoul).is_err(), "{text}");
        }
    }

    #[test]
    fn instants_become_local_times_of_the_store() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        for (format, zone, text) in [
            ("%Y-%m-%dT%H:%M:%S%:z", None, "2015-06-30T20:00:00-04:00"),
            ("%Y-%m-%d %H:%M", Some("UTC"), "2015-07-01 00:00"),
            (
                "%Y-%m-%d %H:%M",
                Some("America/New_York"),
                "2015-06-30 20:00",
            ),
            ("%F %H:%M %:Q", None, "2015-06-30 20:00 America/New_York"),
            ("%s", None, "1435708800"),
        ] {
            let local = reader(&[format], zone).read(text, &seoul).unwrap();
            assert_eq!(local.to_string(), "2015-07-01T09:00:00", "{format}");
        }
    }
}
