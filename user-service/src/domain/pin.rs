//! What a PIN must be: four to six digits, and not one that everybody tries first.

/// Fewest digits.
pub(crate) const MIN_DIGITS: usize = 4;
/// Most digits.
pub(crate) const MAX_DIGITS: usize = 6;

/// Lines and corners of the keypad, and dates and words that many people share.
const COMMON: [&str; 14] = [
    "1004", "1313", "1472", "1590", "2486", "2580", "0852", "3579", "5683", "7410", "8520",
    "147258", "159753", "258000",
];

/// Why a text is not taken as a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PinFault {
    #[error("must have {MIN_DIGITS} to {MAX_DIGITS} digits")]
    Malformed,
    #[error("is one of those that are tried first")]
    TooCommon,
}

impl PinFault {
    /// The stable code of the fault.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooCommon => "too_common",
        }
    }
}

/// Whether `pin` may become somebody's.
pub(crate) fn judge_new(pin: &str) -> Result<(), PinFault> {
    if !is_pin(pin) {
        return Err(PinFault::Malformed);
    }
    let year = pin.len() == MIN_DIGITS && (pin.starts_with("19") || pin.starts_with("20"));
    if year || is_run(pin) || is_repetition(pin) || COMMON.contains(&pin) {
        return Err(PinFault::TooCommon);
    }
    Ok(())
}

/// Whether a text has the form of a PIN.
pub(crate) fn is_pin(text: &str) -> bool {
    (MIN_DIGITS..=MAX_DIGITS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Each digit follows the one before, up or down, across 9 and 0 too: 1234, 7890, 4321.
fn is_run(pin: &str) -> bool {
    let follows = |step: u8| {
        let digits: Vec<u8> = pin.bytes().map(|byte| byte.wrapping_sub(b'0')).collect();
        let mut pairs = digits.iter().zip(digits.iter().skip(1));
        pairs.all(|(one, next)| (one + step) % 10 == *next)
    };
    follows(1) || follows(9)
}

/// One short piece over and over: 0000, 1212, 123123.
fn is_repetition(pin: &str) -> bool {
    let half = pin.len() / 2;
    (1..=half).any(|length| {
        let piece = pin.get(..length).unwrap_or_default();
        pin.len().is_multiple_of(length) && piece.repeat(pin.len() / length) == pin
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_that_are_tried_first_are_refused() {
        for weak in [
            "0000", "1111", "1234", "4321", "7890", "0987", "12345", "123456", "654321", "1212",
            "121212", "123123", "99999", "1987", "2024", "2580", "1004",
        ] {
            assert_eq!(judge_new(weak), Err(PinFault::TooCommon), "{weak}");
        }
        for malformed in ["", "123", "1234567", "12a4", "１２３４", " 1234", "12 34"] {
            assert_eq!(
                judge_new(malformed),
                Err(PinFault::Malformed),
                "{malformed}"
            );
        }
        for good in ["4071", "83915", "602847", "19035", "1243"] {
            assert_eq!(judge_new(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn most_pins_are_left_to_choose_from() {
        let all = (0..10_000).map(|number| format!("{number:04}"));
        let good = all.filter(|pin| judge_new(pin).is_ok()).count();
        assert!(good > 9_600, "{good}");
    }
}
