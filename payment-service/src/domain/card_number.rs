//! Finds what looks like a card number (PAN), so that none is ever stored or logged.

/// Fewest and most digits of a card number (ISO/IEC 7812-1).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether `text` holds a run of 13 to 19 digits, possibly in groups, that begins like a payment
/// card's number (2 to 6) and passes the Luhn check (ISO/IEC 7812-1, annex B).
pub(crate) fn holds_card_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|start| {
        let begins_run = start == 0
            || bytes
                .get(start - 1)
                .is_some_and(|before| !before.is_ascii_digit());
        begins_run && bytes.get(start..).is_some_and(begins_with_card_number)
    })
}

/// Reads digits across single separators; every group's end may be the number's.
fn begins_with_card_number(text: &[u8]) -> bool {
    let mut digits = Vec::with_capacity(*DIGITS.end());
    let mut rest = text.iter().peekable();
    loop {
        while let Some(digit) = rest.next_if(|byte| byte.is_ascii_digit()) {
            if digits.len() == *DIGITS.end() {
                return false;
            }
            digits.push(digit - b'0');
        }
        if is_card_number(&digits) {
            return true;
        }
        let separated = rest.next_if(|byte| b" -._/".contains(byte)).is_some();
        if !separated || !rest.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return false;
        }
    }
}

fn is_card_number(digits: &[u8]) -> bool {
    let issuer = digits.first().is_some_and(|first| (2..=6).contains(first));
    let luhn: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => 2 * digit - 9,
            (_, digit) => 2 * digit,
        })
        .sum();
    DIGITS.contains(&digits.len()) && issuer && luhn.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_found_in_any_dress() {
        for text in [
            "4242424242424242",
            "tok_4242424242424242",
            "4242 4242 4242 4242",
            "5555-5555-5555-4444",
            "my card 378282246310005, thanks",
            "3782.822463.10005",
            "4242_4242_4242_4242",
            "table 7 4242424242424242 12/27",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for text in [
            "",
            "tok_ok",
            "4242424242424241",
            "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e",
            "1234567890",
            "1752345678901234",
            "42424242424242424242424242424242",
            "order 20260301-0001",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }
}
