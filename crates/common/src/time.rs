//! Points in time and calendar dates, as they are stored and sent.
//!
//! A [`Timestamp`] is an instant in microseconds UTC: the precision of PostgreSQL's `timestamptz`,
//! and an integer in SQLite, so that both order and round-trip exactly. Local times of a store are
//! derived from it with the store's time zone and never stored instead of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};

/// PostgreSQL counts from 2000-01-01T00:00:00Z; this is that instant in Unix microseconds.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Object ids of the built-in types, `pg_type.dat` of PostgreSQL.
const OID_TIMESTAMPTZ: Oid = Oid(1184);
const OID_TIMESTAMPTZ_ARRAY: Oid = Oid(1185);
const OID_DATE: Oid = Oid(1082);
const OID_DATE_ARRAY: Oid = Oid(1182);

/// 0001-01-01T00:00:00Z.
const FIRST_INSTANT: Timestamp = Timestamp::from_unix_seconds(-62_135_596_800);

/// An instant, in microseconds since the Unix epoch, UTC. Sent as RFC 3339 with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down; 0 before 1970.
    #[must_use]
    pub fn as_unix_millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or(0)
    }

    /// Whole seconds since the Unix epoch, rounded down (the `NumericDate` of RFC 7519).
    #[must_use]
    pub const fn as_unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// From whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// The same instant for calendar arithmetic; values outside jiff's years -9999..9999 saturate.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// From a jiff instant, rounded down to the microsecond.
    #[must_use]
    pub fn from_jiff(instant: jiff::Timestamp) -> Self {
        Self(instant.as_microsecond())
    }

    /// Later by `duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }

    /// Earlier by `duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(duration)))
    }

    /// The time passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0))
            .map_or(Duration::ZERO, Duration::from_micros)
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_jiff().fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    /// Parses RFC 3339, in the years 0001 to 9999 both as written and in UTC.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        require_plain_year(text)?;
        let instant = Self::from_jiff(text.parse()?);
        // With an offset, the first hours of the year 0001 lie in the year before, which is sent as
        // 0000 and could not be read back.
        if instant < FIRST_INSTANT {
            return Err(jiff::Error::from_args(format_args!(
                "the instant lies before the year 0001 in UTC"
            )));
        }
        Ok(instant)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_text(
            deserializer,
            "an RFC 3339 time such as 2026-03-01T09:30:00Z",
        )
    }
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(OID_TIMESTAMPTZ)
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(OID_TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&(self.0.saturating_sub(POSTGRES_EPOCH_MICROS)), buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                let micros = <i64 as Decode<Postgres>>::decode(value)?;
                Ok(Self(micros.saturating_add(POSTGRES_EPOCH_MICROS)))
            }
            PgValueFormat::Text => Ok(value.as_str()?.parse()?),
        }
    }
}

impl Type<Sqlite> for Timestamp {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(info: &SqliteTypeInfo) -> bool {
        // SQLite reports the declared name of a column it does not know ("timestamptz") as numeric.
        let _ = info;
        true
    }
}

impl Encode<'_, Sqlite> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode_by_ref(&self.0, buffer)
    }
}

impl Decode<'_, Sqlite> for Timestamp {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        <i64 as Decode<Sqlite>>::decode(value).map(Self)
    }
}

/// A calendar date without a time zone: an expiry date, a business day. Sent as `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilDate(jiff::civil::Date);

impl CivilDate {
    /// From a calendar date.
    #[must_use]
    pub const fn from_jiff(date: jiff::civil::Date) -> Self {
        Self(date)
    }

    /// The date for calendar arithmetic.
    #[must_use]
    pub const fn to_jiff(self) -> jiff::civil::Date {
        self.0
    }
}

impl fmt::Display for CivilDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CivilDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CivilDate {
    type Err = jiff::Error;

    /// Parses exactly `YYYY-MM-DD`, from the year 0001 on; a time after the date is refused rather than
    /// dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        require_plain_year(text)?;
        if text.len() != "YYYY-MM-DD".len() {
            return Err(jiff::Error::from_args(format_args!(
                "a date has ten characters"
            )));
        }
        jiff::civil::Date::strptime("%Y-%m-%d", text).map(Self)
    }
}

impl Serialize for CivilDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CivilDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_text(deserializer, "a date such as 2026-03-01")
    }
}

impl Type<Postgres> for CivilDate {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(OID_DATE)
    }
}

impl PgHasArrayType for CivilDate {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(OID_DATE_ARRAY)
    }
}

impl Encode<'_, Postgres> for CivilDate {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let days = self.0.since(POSTGRES_EPOCH_DATE)?.get_days();
        Encode::<Postgres>::encode_by_ref(&days, buffer)
    }
}

/// PostgreSQL counts dates in days from here.
const POSTGRES_EPOCH_DATE: jiff::civil::Date = jiff::civil::date(2000, 1, 1);

impl Decode<'_, Postgres> for CivilDate {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                let days = <i32 as Decode<Postgres>>::decode(value)?;
                let span = jiff::Span::new().try_days(days)?;
                Ok(Self(POSTGRES_EPOCH_DATE.checked_add(span)?))
            }
            PgValueFormat::Text => Ok(value.as_str()?.parse()?),
        }
    }
}

impl Type<Sqlite> for CivilDate {
    fn type_info() -> SqliteTypeInfo {
        <String as Type<Sqlite>>::type_info()
    }

    fn compatible(info: &SqliteTypeInfo) -> bool {
        // The declared name "date" has numeric affinity; the text stored in it stays text.
        let _ = info;
        true
    }
}

impl Encode<'_, Sqlite> for CivilDate {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.to_string(), buffer)
    }
}

impl Decode<'_, Sqlite> for CivilDate {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(<&str as Decode<Sqlite>>::decode(value)?.parse()?)
    }
}

/// Parses a date and time on a store's clock, such as `2026-03-01T09:30:00`, in the years 0001 to 9999.
///
/// # Errors
/// For any other text.
pub fn parse_local_time(text: &str) -> Result<jiff::civil::DateTime, jiff::Error> {
    require_plain_year(text)?;
    text.parse()
}

/// Refuses a year that RFC 3339 cannot write, and the year 0000. jiff reads years with a sign, of two
/// digits and of six, and neither engine gives all of them back as they were.
fn require_plain_year(text: &str) -> Result<(), jiff::Error> {
    let year = text.split_once('-').map_or("", |(year, _)| year);
    let is_plain = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && year != "0000" {
        return Ok(());
    }
    Err(jiff::Error::from_args(format_args!(
        "a year has four digits and lies from 0001 to 9999"
    )))
}

/// Deserializes through `FromStr`, naming what was expected.
fn parse_text<'de, D, T>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
{
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse()
        .map_err(|_unspecific| de::Error::custom(format_args!("expected {expected}")))
}

macro_rules! string_schema {
    ($name:ident, $format:expr, $example:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .format(Some(utoipa::openapi::SchemaFormat::KnownFormat($format)))
                    .examples([$example])
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
string_schema!(
    Timestamp,
    utoipa::openapi::KnownFormat::DateTime,
    "2026-03-01T09:30:00Z"
);
string_schema!(CivilDate, utoipa::openapi::KnownFormat::Date, "2026-03-01");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_microseconds_through_text() {
        let time: Timestamp = "2026-03-01T09:30:00.123456Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-03-01T09:30:00.123456Z");
        assert_eq!(
            serde_json::from_str::<Timestamp>("\"2026-03-01T18:30:00.123456+09:00\"").unwrap(),
            time
        );
    }

    #[test]
    fn a_date_with_a_time_after_it_is_refused() {
        assert!("2026-03-01T00:00".parse::<CivilDate>().is_err());
        assert!("2026-02-30".parse::<CivilDate>().is_err());
        assert!("26-02-03".parse::<CivilDate>().is_err());
        assert!("+26-02-003".parse::<CivilDate>().is_err());
        assert!("2026-02-03".parse::<CivilDate>().is_ok());
    }

    #[test]
    fn a_year_has_four_digits_and_no_sign() {
        let check = |year: &str, expected: bool| {
            let date = format!("{year}-01-02");
            assert_eq!(date.parse::<CivilDate>().is_ok(), expected, "{date}");
            let local = format!("{date}T12:00:00");
            assert_eq!(parse_local_time(&local).is_ok(), expected, "{local}");
            let instant = format!("{local}Z");
            assert_eq!(instant.parse::<Timestamp>().is_ok(), expected, "{instant}");
        };
        for year in ["0001", "0999", "2026", "9999"] {
            check(year, true);
        }
        for year in [
            "0000",
            "-001",
            "-123",
            "+123",
            "26",
            "226",
            "-0001",
            "+2026",
            "12026",
            "-009000",
            "+009000",
            "-000001",
            "\u{ff12}026",
            "",
        ] {
            check(year, false);
        }
    }

    #[test]
    fn an_instant_before_the_year_1_in_utc_is_refused() {
        assert!("0001-01-01T00:00:00Z".parse::<Timestamp>().is_ok());
        assert!("0001-01-01T00:00:00+01:00".parse::<Timestamp>().is_err());
    }

    #[test]
    fn arithmetic_saturates() {
        let time = Timestamp::from_micros(10);
        assert_eq!(time.plus(Duration::MAX).as_micros(), i64::MAX);
        assert_eq!(time.since(Timestamp::from_micros(20)), Duration::ZERO);
        assert_eq!(
            Timestamp::from_micros(2_500_000).since(time),
            Duration::from_micros(2_499_990)
        );
    }
}
