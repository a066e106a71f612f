//! Names of functions as the linker sees them, without what differs from one build to the next.

/// Stands for any text, in the patterns of linkers.
const ANYTHING: char = '*';
/// Behind the length of a hash and the letter that begins it, so many hexadecimal digits.
const HASH_DIGITS: usize = 16;

/// A pattern for the functions that are called like this one but for hashes.
///
/// Rust's older names, `_ZN`, end in a hash; its newer ones, `_R`, have one behind each crate's `Cs`; C's
/// have endings that the compiler adds, such as `.part.0`. In older names the length before a type is
/// left out as well, so that what is about the same type begins alike.
pub(super) fn without_hashes(name: &str) -> String {
    if name.starts_with("_ZN") {
        without_lengths_of_types(without_end(name))
    } else if name.starts_with("_R") {
        without_disambiguators(name)
    } else {
        match name.split_once('.') {
            Some((begin, _ending)) => format!("{begin}.{ANYTHING}"),
            None => name.to_owned(),
        }
    }
}

/// Up to the hash; what follows is the compiler's, too.
fn without_end(name: &str) -> &str {
    let is_hash = |at: usize| {
        let digits = name.get(at + 3..at + 3 + HASH_DIGITS);
        digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let hash = name.rmatch_indices("17h").find(|&(at, _)| is_hash(at));
    hash.and_then(|(at, _)| name.get(..at)).unwrap_or(name)
}

fn without_lengths_of_types(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len() + 1);
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (length, behind) = rest.split_at(digits);
        if digits == 0 {
            pattern.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        } else {
            let is_of_type = behind.starts_with("_$") || behind.starts_with("drop_in_place$");
            if is_of_type {
                pattern.push(ANYTHING);
            } else {
                pattern.push_str(length);
            }
            rest = behind;
        }
    }
    pattern.push(ANYTHING);
    pattern
}

/// `Cs` and up to the underscore behind it: digits of base 62.
fn without_disambiguators(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once("Cs") {
        pattern.push_str(before);
        pattern.push_str("Cs");
        rest = behind;
        if let Some((digits, _)) = behind.split_once('_')
            && digits.len() >= 5
            && digits.bytes().all(|digit| digit.is_ascii_alphanumeric())
        {
            pattern.push(ANYTHING);
            rest = behind.get(digits.len()..).unwrap_or_default();
        }
    }
    pattern.push_str(rest);
    pattern
}

#[cfg(test)]
mod tests {
    use super::without_hashes;

    #[test]
    fn what_differs_between_builds_is_left_out() {
        let cases = [
            (
                "_ZN5tokio7runtime4task3raw4poll17h0123456789abcdefE",
                "_ZN5tokio7runtime4task3raw4poll*",
            ),
            (
                "_ZN5tokio4poll17h0123456789abcdefE.llvm.123",
                "_ZN5tokio4poll*",
            ),
            (
                "_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE",
                "_ZN4core3ptr*drop_in_place$LT$alloc..string..String$GT$*",
            ),
            (
                "_ZN44_$LT$$RF$T$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE",
                "_ZN*_$LT$$RF$T$u20$as$u20$core..fmt..Display$GT$3fmt*",
            ),
            ("_ZN3std2io", "_ZN3std2io*"),
            (
                "_RNvMNtCsjrHSEGnQ3l9_3std4timeNtB2_7Instant3now",
                "_RNvMNtCs*_3std4timeNtB2_7Instant3now",
            ),
            ("_RNvCs_3std", "_RNvCs_3std"),
            ("sqlite3VdbeExec", "sqlite3VdbeExec"),
            ("yy_reduce.constprop.0", "yy_reduce.*"),
        ];
        for (name, pattern) in cases {
            assert_eq!(without_hashes(name), pattern);
        }
    }
}
