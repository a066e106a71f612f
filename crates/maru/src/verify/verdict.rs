//! What was found about one invariant: figures, faults, and the word.

use std::fmt;

use serde::Serialize;

/// How many faults of one invariant are told; the rest is only counted.
const TOLD_FAULTS: usize = 10;

/// The judgement of one invariant.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    number: u8,
    title: &'static str,
    figures: Vec<(String, i64)>,
    notes: Vec<String>,
    faults: Vec<String>,
    fault_count: usize,
}

/// A verdict as JSON.
#[derive(Debug, Serialize)]
pub(super) struct VerdictOut {
    /// Its number in the design.
    pub(super) number: u8,
    /// What must hold.
    pub(super) title: String,
    /// Whether it holds.
    pub(super) passed: bool,
    /// What was counted, by name.
    pub(super) figures: serde_json::Map<String, serde_json::Value>,
    /// What could not be looked at, and why.
    pub(super) notes: Vec<String>,
    /// The first faults.
    pub(super) faults: Vec<String>,
    /// How many faults there are.
    pub(super) fault_count: usize,
}

impl Verdict {
    /// Nothing found yet.
    #[must_use]
    pub(super) fn new(number: u8, title: &'static str) -> Self {
        Self {
            number,
            title,
            figures: Vec::new(),
            notes: Vec::new(),
            faults: Vec::new(),
            fault_count: 0,
        }
    }

    /// Adds a figure.
    pub(super) fn figure(&mut self, name: &'static str, value: i64) {
        self.named_figure(name.to_owned(), value);
    }

    /// Adds a figure whose name comes from the data.
    pub(super) fn named_figure(&mut self, name: String, value: i64) {
        self.figures.push((name, value));
    }

    /// Adds the number of things.
    pub(super) fn count<T>(&mut self, name: &'static str, things: &[T]) {
        self.figure(name, i64::try_from(things.len()).unwrap_or(i64::MAX));
    }

    /// Says what could not be looked at.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a fault: the invariant does not hold.
    pub(super) fn fault(&mut self, fault: impl Into<String>) {
        self.fault_count += 1;
        if self.faults.len() < TOLD_FAULTS {
            self.faults.push(fault.into());
        }
    }

    /// Adds a fault unless two figures are equal.
    pub(super) fn expect_equal(&mut self, what: impl fmt::Display, left: i64, right: i64) {
        if left != right {
            self.fault(format!("{what}: {left} ≠ {right}"));
        }
    }

    /// Whether no fault was found.
    #[must_use]
    pub(super) fn passed(&self) -> bool {
        self.fault_count == 0
    }

    /// As JSON.
    #[must_use]
    pub(super) fn to_json(&self) -> VerdictOut {
        let figures = self.figures.iter();
        VerdictOut {
            number: self.number,
            title: self.title.to_owned(),
            passed: self.passed(),
            figures: figures
                .map(|(name, value)| (name.replace(' ', "_"), (*value).into()))
                .collect(),
            notes: self.notes.clone(),
            faults: self.faults.clone(),
            fault_count: self.fault_count,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed() { "PASS" } else { "FAIL" };
        write!(f, "{word}  {}. {}", self.number, self.title)?;
        let figures: Vec<String> = self
            .figures
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        if !figures.is_empty() {
            write!(f, "\n      {}", figures.join(", "))?;
        }
        for note in &self.notes {
            write!(f, "\n      note: {note}")?;
        }
        for fault in &self.faults {
            write!(f, "\n      fault: {fault}")?;
        }
        let untold = self.fault_count - self.faults.len();
        if untold > 0 {
            write!(f, "\n      and {untold} more faults")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_up_to_a_limit_and_counted_beyond() {
        let mut verdict = Verdict::new(1, "Stock");
        verdict.figure("on hand", 5);
        assert_eq!(verdict.to_string(), "PASS  1. Stock\n      on hand 5");
        for order in 0..12 {
            verdict.expect_equal(format_args!("order {order}"), order, -1);
        }
        let text = verdict.to_string();
        assert!(text.starts_with("FAIL  1. Stock") && text.contains("and 2 more faults"));
        assert_eq!(verdict.to_json().fault_count, 12);
    }
}
