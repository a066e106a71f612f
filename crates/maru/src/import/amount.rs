//! Amounts of money and quantities, read as exact decimals: no floating point anywhere.

/// How an export writes amounts.
#[derive(Clone, Debug)]
pub(crate) struct NumberStyle {
    /// Between whole and fraction.
    pub(crate) decimal: char,
    /// Between groups of three digits.
    pub(crate) group: Option<char>,
    /// Signs around the number that mean nothing, such as `€`.
    pub(crate) symbols: Vec<String>,
}

impl Default for NumberStyle {
    fn default() -> Self {
        Self {
            decimal: '.',
            group: None,
            symbols: Vec::new(),
        }
    }
}

/// Reads an amount of money, not below zero, into minor units; `exponent` is the number of digits
/// of the currency's minor unit. Digits beyond it must be zeros: nothing is ever rounded.
///
/// # Errors
/// One phrase saying what is wrong.
pub(crate) fn parse_money(text: &str, style: &NumberStyle, exponent: u32) -> Result<i64, String> {
    let refuse = |what: &str| Err(format!("`{text}` {what}"));
    let mut bare = text.to_owned();
    for symbol in &style.symbols {
        bare = bare.replace(symbol.as_str(), "");
    }
    let bare = bare.trim();
    if bare.starts_with('-') {
        return refuse("is below zero");
    }
    let (whole, fraction) = bare.split_once(style.decimal).unwrap_or((bare, ""));
    let Some(whole) = ungrouped(whole, style.group) else {
        return refuse("is not an amount");
    };
    if !all_digits(&whole) || !fraction.chars().all(|c| c.is_ascii_digit()) {
        return refuse("is not an amount");
    }
    let exponent = usize::try_from(exponent).unwrap_or(usize::MAX);
    let significant = fraction.trim_end_matches('0');
    if significant.len() > exponent {
        return refuse("has more decimal places than the currency");
    }
    match format!("{whole}{significant:0<exponent$}").parse() {
        Ok(minor) => Ok(minor),
        Err(_) => refuse("is too large"),
    }
}

/// Takes the group signs out, if they stand before three digits each.
fn ungrouped(whole: &str, group: Option<char>) -> Option<String> {
    let Some(group) = group else {
        return Some(whole.to_owned());
    };
    let mut groups = whole.split(group);
    let first = groups.next()?.to_owned();
    let rest: Vec<&str> = groups.collect();
    let fits = rest.is_empty() || (1..=3).contains(&first.len());
    let fits = fits && rest.iter().all(|digits| digits.len() == 3);
    fits.then(|| first + &rest.concat())
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Most pieces of one item in one order line.
const MAX_QUANTITY: i64 = 1_000_000;

/// Reads a quantity: a positive whole number.
///
/// # Errors
/// One phrase saying what is wrong.
pub(crate) fn parse_quantity(text: &str) -> Result<i64, String> {
    let number = all_digits(text).then(|| text.parse::<i64>().ok()).flatten();
    match number {
        Some(number) if (1..=MAX_QUANTITY).contains(&number) => Ok(number),
        Some(number) if number > MAX_QUANTITY => Err(format!("`{text}` is too large")),
        _ => Err(format!("`{text}` is not a positive whole number")),
    }
}

/// Splits the amount of a whole line into pieces of whole minor units: `(quantity, unit price)`
/// once or, when it does not divide evenly, twice, a minor unit apart. The parts sum up to the
/// amount exactly.
pub(crate) fn split_total(total: i64, quantity: i64) -> Vec<(i64, i64)> {
    let (low, dearer) = (total / quantity, total % quantity);
    let parts = [(quantity - dearer, low), (dearer, low + 1)];
    parts
        .into_iter()
        .filter(|(pieces, _)| *pieces > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        let plain = NumberStyle::default();
        let euro = NumberStyle {
            decimal: ',',
            group: Some('.'),
            symbols: vec!["€".to_owned()],
        };
        for (text, style, exponent, expected) in [
            ("12.75", &plain, 2, Ok(1275)),
            ("12.5", &plain, 2, Ok(1250)),
            ("12", &plain, 2, Ok(1200)),
            ("12.", &plain, 2, Ok(1200)),
            ("12.7500", &plain, 2, Ok(1275)),
            ("0", &plain, 2, Ok(0)),
            ("1.234", &plain, 3, Ok(1234)),
            ("9000", &plain, 0, Ok(9000)),
            ("9000.00", &plain, 0, Ok(9000)),
            ("1.234,50 €", &euro, 2, Ok(123_450)),
            ("€ 0,05", &euro, 2, Ok(5)),
            ("12.755", &plain, 2, Err("more decimal places")),
            ("9000.5", &plain, 0, Err("more decimal places")),
            ("12.75", &euro, 2, Err("not an amount")),
            ("1.2345,00", &euro, 2, Err("not an amount")),
            ("12,75", &plain, 2, Err("not an amount")),
            ("", &plain, 2, Err("not an amount")),
            (".", &plain, 2, Err("not an amount")),
            ("1e3", &plain, 2, Err("not an amount")),
            ("-1", &plain, 2, Err("below zero")),
            ("+1", &plain, 2, Err("not an amount")),
            ("99999999999999999999", &plain, 2, Err("too large")),
        ] {
            match (parse_money(text, style, exponent), expected) {
                (Ok(amount), Ok(expected)) => assert_eq!(amount, expected, "{text}"),
                (Err(what), Err(expected)) => assert!(what.contains(expected), "{text}: {what}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_quantity_is_a_positive_whole_number() {
        for (text, expected) in [
            ("1", Some(1)),
            ("007", Some(7)),
            ("1000000", Some(1_000_000)),
        ] {
            assert_eq!(parse_quantity(text).ok(), expected, "{text}");
        }
        for text in [
            "0",
            "-1",
            "1.5",
            "",
            "one",
            "1000001",
            "99999999999999999999",
            "+1",
        ] {
            assert!(parse_quantity(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_split_total_sums_up_to_itself() {
        for (total, quantity, expected) in [
            (1000, 2, vec![(2, 500)]),
            (1000, 3, vec![(2, 333), (1, 334)]),
            (1, 2, vec![(1, 0), (1, 1)]),
            (0, 2, vec![(2, 0)]),
        ] {
            let parts = split_total(total, quantity);
            assert_eq!(parts, expected);
            let sum: i64 = parts.iter().map(|(pieces, price)| pieces * price).sum();
            assert_eq!(sum, total);
        }
    }
}
