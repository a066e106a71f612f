//! A few patterns that match all that runs and little else.

use std::collections::BTreeMap;

/// What a pattern more may cost, in bytes of functions that do not run and are matched all the same, in
/// all programs together.
/// Fewer patterns also outlive more changes of what they were made from.
const PATTERN_BYTES: u64 = 4_000;

/// All functions that one name stands for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Function {
    /// Of the machine's code.
    pub(super) bytes: u64,
    /// Whether one of them was seen to run.
    pub(super) runs: bool,
}

/// Patterns that match every name of a function that runs, chosen so that what they match beside those,
/// and [`PATTERN_BYTES`] for each, is the least.
pub(super) fn patterns(functions: &BTreeMap<String, Function>) -> Vec<String> {
    let functions: Vec<_> = functions
        .iter()
        .map(|(name, &function)| (name.as_str(), function))
        .collect();
    let mut patterns = Vec::new();
    choose(&functions, 0, &mut patterns);
    patterns
}

/// Adds the patterns for `functions`, which are sorted and begin alike for `common` bytes; returns their
/// cost.
fn choose(functions: &[(&str, Function)], common: usize, patterns: &mut Vec<String>) -> u64 {
    let (Some((first, _)), Some((last, _))) = (functions.first(), functions.last()) else {
        return 0;
    };
    if !functions.iter().any(|(_, function)| function.runs) {
        return 0;
    }
    let bytes: u64 = functions.iter().map(|(_, function)| function.bytes).sum();
    let together = bytes + PATTERN_BYTES;
    if functions.len() == 1 {
        patterns.push((*first).to_owned());
        return together;
    }
    let alike = common_prefix(first, last).max(common);
    let before = patterns.len();
    let apart: u64 = functions
        .chunk_by(|(one, _), (other, _)| next(one, alike) == next(other, alike))
        .map(|group| choose(group, alike + 1, patterns))
        .sum();
    if apart < together {
        return apart;
    }
    patterns.truncate(before);
    let prefix = first.get(..alike).unwrap_or(first);
    patterns.push(format!("{}*", prefix.trim_end_matches('*')));
    together
}

fn common_prefix(one: &str, other: &str) -> usize {
    let equal = one.bytes().zip(other.bytes());
    equal.take_while(|(one, other)| one == other).count()
}

fn next(name: &str, at: usize) -> Option<u8> {
    name.as_bytes().get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(functions: &[(&str, u64, bool)]) -> Vec<String> {
        let functions = functions
            .iter()
            .map(|&(name, bytes, runs)| (name.to_owned(), Function { bytes, runs }));
        patterns(&functions.collect())
    }

    #[test]
    fn what_runs_is_matched_together_when_little_else_is() {
        let small = [("ab1", 900, true), ("ab2", 900, false), ("ab3", 50, true)];
        assert_eq!(of(&small), ["ab*"]);
        let large = [("ab1", 900, true), ("ab2", 5_000, false), ("ab3", 50, true)];
        assert_eq!(of(&large), ["ab1", "ab3"]);
    }

    #[test]
    fn what_does_not_run_is_not_looked_for() {
        assert_eq!(of(&[("a", 10, false), ("b", 10, true)]), ["b"]);
        assert_eq!(of(&[("a", 10, false)]), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_begins_another_is_told_from_it() {
        let functions = [("step", 10, true), ("step_twice", 9_000, false)];
        assert_eq!(of(&functions), ["step"]);
        assert_eq!(of(&[("step*", 10, true), ("step_b*", 10, true)]), ["step*"]);
    }
}
