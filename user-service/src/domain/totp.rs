//! One-time codes from the time (RFC 6238) with the parameters that every generator app knows:
//! HMAC-SHA-1, six digits, 30 seconds.

use common::time::Timestamp;
use data_encoding::BASE32_NOPAD;
use ring::hmac;

/// Bytes of a generator's secret: the length of the hash (RFC 4226, section 4, R6).
pub(crate) const SECRET_BYTES: usize = 20;
/// Digits of a code.
pub(crate) const DIGITS: usize = 6;
const STEP_SECONDS: i64 = 30;
/// Steps before and after the present one whose codes are taken (RFC 6238, section 5.2).
const WINDOW: i64 = 1;
const ISSUER: &str = "Maru";

/// The time step of an instant.
pub(crate) fn step_at(now: Timestamp) -> i64 {
    now.as_unix_seconds().div_euclid(STEP_SECONDS)
}

/// The step whose code this is, if it may be taken at `now` and comes after `last_step`, the one
/// whose code was taken last: no code is good twice.
pub(crate) fn matching_step(
    secret: &[u8],
    code: &str,
    now: Timestamp,
    last_step: i64,
) -> Option<i64> {
    let present = step_at(now);
    let window = present.saturating_sub(WINDOW)..=present.saturating_add(WINDOW);
    // Every step is tried and every digit compared, so that the time taken tells nothing.
    window
        .filter(|step| equal(&code_of_step(secret, *step), code))
        .fold(None, |_, step| Some(step))
        .filter(|step| *step > last_step)
}

/// The code of a step (RFC 4226, section 5.3).
fn code_of_step(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 0x0f);
    let four = bytes.get(offset..offset + 4).unwrap_or_default();
    let number = four
        .iter()
        .fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

fn equal(expected: &str, given: &str) -> bool {
    let differences = expected
        .bytes()
        .zip(given.bytes())
        .fold(0, |differences, (one, other)| differences | (one ^ other));
    expected.len() == given.len() && differences == 0
}

/// A secret as a person types it into a generator: base32 (RFC 4648, section 6).
pub(crate) fn to_base32(secret: &[u8]) -> String {
    BASE32_NOPAD.encode(secret)
}

/// What a generator reads from a picture code: the key URI format that generator apps agreed on.
pub(crate) fn otpauth_uri(secret: &[u8], email: &str) -> String {
    let label: String = email
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    format!(
        "otpauth://totp/{ISSUER}:{label}?secret={}&issuer={ISSUER}&algorithm=SHA1&digits={DIGITS}\
         &period={STEP_SECONDS}",
        to_base32(secret)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Appendix B has eight digits; six are their end.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Timestamp::from_unix_seconds(seconds);
            let step = step_at(now);
            assert_eq!(code_of_step(SECRET, step), code);
            assert_eq!(matching_step(SECRET, code, now, -1), Some(step));
        }
    }

    #[test]
    fn a_code_is_taken_near_its_time_and_never_again() {
        let at = |step: i64| Timestamp::from_unix_seconds(step * 30 + 7);
        let code = code_of_step(SECRET, 1_000);
        for (now, expected) in [(998, None), (999, Some(1_000)), (1_001, Some(1_000))] {
            assert_eq!(matching_step(SECRET, &code, at(now), -1), expected, "{now}");
        }
        assert_eq!(matching_step(SECRET, &code, at(1_002), -1), None);
        assert_eq!(matching_step(SECRET, &code, at(1_000), 1_000), None);
        assert_eq!(matching_step(SECRET, &code, at(1_000), 999), Some(1_000));
        for bad in ["", "28708", "2870822", "abcdef", "２８７０８２"] {
            assert_eq!(matching_step(SECRET, bad, at(1), -1), None, "{bad}");
        }
    }

    #[test]
    fn the_uri_names_everything_a_generator_needs() {
        assert_eq!(
            otpauth_uri(SECRET, "kim+till@maru.local"),
            "otpauth://totp/Maru:kim%2Btill%40maru.local?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Maru&algorithm=SHA1&digits=6&period=30"
        );
    }
}
