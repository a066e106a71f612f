//! How the keys of a file follow each other. Two files in one order are joined by reading both
//! once; a first reading finds that order out and counts the orders.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read};

use ring::digest;

use super::folder::{BoundSource, Folder};
use super::keyed::{KeyedRows, Neighbours};
use super::template::Bound;

/// An order of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyOrder {
    /// By value: 9 before 10. All keys are plain whole numbers.
    Numeric,
    /// Byte by byte: 10 before 9.
    Text,
}

impl KeyOrder {
    /// Compares two keys.
    pub(crate) fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            // Of numbers without leading zeros the longer one is the greater, whatever their size.
            Self::Numeric => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            Self::Text => a.cmp(b),
        }
    }
}

/// What the first reading of a file found.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// Runs of rows with one key: the number of orders, if the rows of each stand together.
    pub(crate) runs: u64,
    /// All keys are plain whole numbers.
    pub(crate) is_numeric: bool,
    follows_numeric: bool,
    follows_text: bool,
}

impl Survey {
    /// Reads a file once.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn take(
        folder: &Folder,
        source: &BoundSource,
        key: &Bound,
        neighbours: Neighbours,
    ) -> anyhow::Result<Self> {
        let name = source.file.as_deref().unwrap_or_default();
        let mut keyed = KeyedRows::new(folder.rows(name)?, source, key, neighbours);
        let mut survey = Self {
            runs: 0,
            is_numeric: true,
            follows_numeric: true,
            follows_text: true,
        };
        let mut previous: Option<String> = None;
        // What is wrong with the rows is told by the second reading.
        while let Some(row) = keyed.next(&mut |_| {})? {
            survey.add(previous.as_deref(), &row.key);
            previous = Some(row.key);
        }
        Ok(survey)
    }

    fn add(&mut self, previous: Option<&str>, key: &str) {
        self.is_numeric &= is_plain_number(key);
        self.runs += u64::from(previous != Some(key));
        if let Some(previous) = previous {
            let after = |order: KeyOrder| order.compare(previous, key) != Ordering::Greater;
            self.follows_numeric &= after(KeyOrder::Numeric);
            self.follows_text &= after(KeyOrder::Text);
        }
    }

    /// Whether the rows stand in this order already.
    pub(crate) fn follows(&self, order: KeyOrder) -> bool {
        match order {
            KeyOrder::Numeric => self.is_numeric && self.follows_numeric,
            KeyOrder::Text => self.follows_text,
        }
    }

    /// The order in which the fewest of these files need sorting.
    pub(crate) fn common_order(surveys: &[&Self]) -> KeyOrder {
        let sorted = |order| {
            surveys
                .iter()
                .filter(|survey| survey.follows(order))
                .count()
        };
        let all_numeric = surveys.iter().all(|survey| survey.is_numeric);
        if all_numeric && sorted(KeyOrder::Numeric) >= sorted(KeyOrder::Text) {
            KeyOrder::Numeric
        } else {
            KeyOrder::Text
        }
    }
}

fn is_plain_number(key: &str) -> bool {
    let digits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    digits && (key == "0" || !key.starts_with('0'))
}

/// SHA-256 of a whole file.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn digest_of(mut file: File) -> io::Result<Vec<u8>> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(context.finish().as_ref().to_vec()),
            read => context.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value_and_texts_by_letter() {
        assert_eq!(KeyOrder::Numeric.compare("9", "10"), Ordering::Less);
        assert_eq!(KeyOrder::Text.compare("9", "10"), Ordering::Greater);
        let long = "9".repeat(40);
        assert_eq!(KeyOrder::Numeric.compare(&long, "10"), Ordering::Greater);
        for (key, expected) in [
            ("0", true),
            ("10", true),
            ("007", false),
            ("", false),
            ("-1", false),
            ("A1", false),
        ] {
            assert_eq!(is_plain_number(key), expected, "{key}");
        }
    }

    fn survey(keys: &[&str]) -> Survey {
        let mut survey = Survey {
            runs: 0,
            is_numeric: true,
            follows_numeric: true,
            follows_text: true,
        };
        let mut previous = None;
        for key in keys {
            survey.add(previous, key);
            previous = Some(key);
        }
        survey
    }

    #[test]
    fn the_order_with_the_least_sorting_is_chosen() {
        let numbers = survey(&["1", "2", "2", "10"]);
        assert_eq!(numbers.runs, 3);
        assert!(numbers.follows(KeyOrder::Numeric) && !numbers.follows(KeyOrder::Text));
        let texts = survey(&["10", "2", "a"]);
        assert!(texts.follows(KeyOrder::Text) && !texts.follows(KeyOrder::Numeric));
        let mixed = survey(&["3", "1"]);
        for (surveys, expected) in [
            (vec![&numbers, &numbers], KeyOrder::Numeric),
            (vec![&numbers, &texts], KeyOrder::Text),
            (vec![&mixed, &numbers], KeyOrder::Numeric),
        ] {
            assert_eq!(Survey::common_order(&surveys), expected);
        }
    }
}
