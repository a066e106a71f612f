//! Finds what looks like a card number (PAN), so that none is ever stored or logged.
//!
//! A number counts when it has 13 to 19 digits, possibly in groups, begins like a payment card's
//! (2 to 6) and passes the Luhn check (ISO/IEC 7812-1, annex B). One in ten numbers passes that check
//! by chance, so what programs make up at random (UUIDs, hashes) needs more care than what people
//! write.

/// Fewest and most digits of a card number (ISO/IEC 7812-1).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// What a digit group may be separated with.
const SEPARATORS: &[u8] = b" -._/";
/// Length of a UUID's text, hyphens included.
const UUID_LENGTH: usize = 36;

/// Whether a text written by a person, or a token, holds a card number.
#[must_use]
pub fn holds_card_number(text: &str) -> bool {
    let text = without_uuids(text);
    runs(&text).any(|(_, run)| begins_with_card_number(run, |_after| true))
}

/// Whether an identifier made by a program is or holds a card number that stands for itself: digits
/// in the middle of a word, such as those of a hash, do not count.
#[must_use]
pub fn identifier_holds_card_number(identifier: &str) -> bool {
    let text = without_uuids(identifier);
    let stands_alone = |after: Option<&u8>| !after.is_some_and(u8::is_ascii_alphanumeric);
    runs(&text).any(|(before, run)| {
        stands_alone(before.as_ref()) && begins_with_card_number(run, stands_alone)
    })
}

/// The byte before each run of digits, and the text from the run on.
fn runs(text: &[u8]) -> impl Iterator<Item = (Option<u8>, &[u8])> {
    (0..text.len()).filter_map(|start| {
        let before = start.checked_sub(1).and_then(|index| text.get(index));
        let begins = !before.is_some_and(u8::is_ascii_digit);
        let run = text.get(start..)?;
        begins.then_some((before.copied(), run))
    })
}

/// Reads digits across single separators; the end of any group may be the number's, if what comes
/// after it does not matter.
fn begins_with_card_number(text: &[u8], may_end: impl Fn(Option<&u8>) -> bool) -> bool {
    let mut digits = Vec::with_capacity(*DIGITS.end());
    let mut rest = text.iter().peekable();
    loop {
        while let Some(digit) = rest.next_if(|byte| byte.is_ascii_digit()) {
            if digits.len() == *DIGITS.end() {
                return false;
            }
            digits.push(digit - b'0');
        }
        if is_card_number(&digits) && may_end(rest.peek().copied()) {
            return true;
        }
        let separated = rest.next_if(|byte| SEPARATORS.contains(byte)).is_some();
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

/// The text with a letter in place of each UUID's characters.
fn without_uuids(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for start in 0..bytes.len() {
        let end = start.saturating_add(UUID_LENGTH);
        if let Some(window) = bytes.get_mut(start..end)
            && is_uuid(window)
        {
            window.fill(b'x');
        }
    }
    bytes
}

fn is_uuid(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(place, byte)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_found_in_any_dress() {
        for text in [
            "4242424242424242",
            "tok_4242424242424242",
            "tok_card4242424242424242",
            "4242 4242 4242 4242",
            "5555-5555-5555-4444",
            "my card 378282246310005, thanks",
            "3782.822463.10005",
            "4242_4242_4242_4242",
            "table 7 4242424242424242 12/27",
            "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e 4242424242424242",
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
            "42424242-4242-4242-8242-42424242aaaa:authorize",
            "1234567890",
            "1752345678901234",
            "42424242424242424242424242424242",
            "order 20260301-0001",
        ] {
            assert!(!holds_card_number(text), "{text}");
            assert!(!identifier_holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn an_identifier_may_hold_such_digits_inside_a_word() {
        for (identifier, expected) in [
            ("4242424242424242", true),
            ("refund-4242424242424242", true),
            ("4242-4242-4242-4242", true),
            ("a4242424242424242", false),
            ("deadbeef4242424242424242cafe", false),
            ("4242-4242-4242-4242ab", false),
        ] {
            let found = identifier_holds_card_number(identifier);
            assert_eq!(found, expected, "{identifier}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_uuid_and_no_hash_is_taken_for_a_card(random: [u8; 32], uuid: u128) {
            let uuid = uuid::Uuid::from_u128(uuid);
            let hash: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            for identifier in [format!("{uuid}:authorize"), uuid.simple().to_string(), hash] {
                let found = identifier_holds_card_number(&identifier);
                proptest::prop_assert!(!found, "{}", identifier);
            }
            proptest::prop_assert!(!holds_card_number(&uuid.to_string()));
        }
    }
}
