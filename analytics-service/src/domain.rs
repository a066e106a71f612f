//! Arithmetic of reports: pure, without a database or a clock.

use common::money::{Currency, Money};

/// The dimension by which sales are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// Sellable variant.
    Item,
    /// Product, all variants together.
    Product,
    /// Menu category.
    Category,
    /// Hour of the store's clock.
    Hour,
    /// Day of the week of the business date.
    Weekday,
    /// Business date.
    Day,
    /// Month of the business date.
    Month,
}

impl Dimension {
    /// The dimension of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "item" => Self::Item,
            "product" => Self::Product,
            "category" => Self::Category,
            "hour" => Self::Hour,
            "weekday" => Self::Weekday,
            "day" => Self::Day,
            "month" => Self::Month,
            _ => return None,
        })
    }

    /// The name for people of one key.
    pub(crate) fn label(self, key: &str, name: String) -> String {
        match self {
            Self::Hour => format!("{key:0>2}:00"),
            Self::Weekday => weekday_name(key).to_owned(),
            Self::Item | Self::Product | Self::Category | Self::Day | Self::Month => name,
        }
    }
}

/// The English name of an ISO 8601 weekday number.
fn weekday_name(number: &str) -> &'static str {
    match number {
        "1" => "Monday",
        "2" => "Tuesday",
        "3" => "Wednesday",
        "4" => "Thursday",
        "5" => "Friday",
        "6" => "Saturday",
        "7" => "Sunday",
        _ => "unknown",
    }
}

/// Net sales divided by orders, rounded half away from zero to the minor unit; zero without orders.
pub(crate) fn average(net: i64, orders: i64, currency: Currency) -> Money {
    if orders == 0 {
        return Money::zero(currency);
    }
    let (net, orders) = (i128::from(net), i128::from(orders));
    let rounded = (2 * net.abs() + orders) / (2 * orders) * net.signum();
    Money::new(i64::try_from(rounded).unwrap_or(i64::MAX), currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_rounded_half_away_from_zero() {
        let usd: Currency = "USD".parse().unwrap();
        for (net, orders, expected) in [
            (81_786_005, 21_350, 3_831),
            (0, 0, 0),
            (5, 2, 3),
            (-5, 2, -3),
            (4, 3, 1),
            (i64::MAX, 1, i64::MAX),
        ] {
            assert_eq!(
                average(net, orders, usd).amount,
                expected,
                "{net} / {orders}"
            );
        }
    }

    #[test]
    fn hours_and_weekdays_have_names() {
        assert_eq!(Dimension::Hour.label("9", String::new()), "09:00");
        assert_eq!(Dimension::Weekday.label("7", String::new()), "Sunday");
        assert_eq!(Dimension::Item.label("x", "The X".to_owned()), "The X");
    }
}
