//! How many rows become few statements, for [`insert_many!`](crate::insert_many) and the macros
//! with a list.
//!
//! PostgreSQL takes an array for each column: one statement text whatever the number of rows, parsed
//! and planned once for each connection.
//!
//! SQLite takes the rows as a list of values, in chunks of round lengths: whatever the number of
//! rows, an insert has at most forty different statement texts and a list at most eight, few enough
//! for most to stay prepared on a connection. 128 rows of at most 255 columns stay below SQLite's
//! limit of 32766 parameters.

use std::fmt::Write;

use sqlx::AssertSqlSafe;

const MAX_ROWS: usize = 128;
const MAX_COLUMNS: usize = 255;
/// Of the length of a chunk.
const SIGNIFICANT_BITS: u32 = 4;
/// Elements of an array at most. A longer one would be built here, and kept there, whole.
const MAX_ELEMENTS: usize = 4096;

/// The constant parts of a multi-row insert.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    insert: &'static str,
    columns: usize,
    tail: &'static str,
}

impl Shape {
    /// A statement of `columns.len()` values for each row, between `insert` and `tail`. Refuses more
    /// than 255 at compile time.
    #[must_use]
    pub const fn new(insert: &'static str, columns: &[&str], tail: &'static str) -> Self {
        assert!(
            columns.len() <= MAX_COLUMNS,
            "too many columns for one statement"
        );
        Self {
            insert,
            columns: columns.len(),
            tail,
        }
    }

    /// The statement for `rows` rows as a list of values. It is made of literals and placeholders
    /// only.
    #[must_use]
    pub fn values(&self, rows: usize) -> AssertSqlSafe<String> {
        let mut sql = format!("{} VALUES ", self.insert);
        for row in 0..rows {
            for column in 0..self.columns {
                let before = match (row, column) {
                    (0, 0) => "(",
                    (_, 0) => "), (",
                    _ => ", ",
                };
                sql.push_str(before);
                // To SQLite `$1` is a name, which it looks for among all names whenever a value is
                // bound.
                sql.push('?');
            }
        }
        sql.push_str(") ");
        sql.push_str(self.tail);
        AssertSqlSafe(sql)
    }

    /// The statement for rows given as one array for each column. The columns have the names of
    /// a list of values, `column1`, `column2` and so on.
    #[must_use]
    pub fn arrays(&self) -> AssertSqlSafe<String> {
        let listed = |prefix: &str| {
            let each = (1..=self.columns).map(|column| format!("{prefix}{column}"));
            each.collect::<Vec<_>>().join(", ")
        };
        AssertSqlSafe(format!(
            "{} SELECT * FROM UNNEST({}) AS list ({}) {}",
            self.insert,
            listed("$"),
            listed("column"),
            self.tail
        ))
    }
}

/// A statement that ends in `IN`, with `length` placeholders in brackets before its `tail`, after
/// those of `arguments`.
#[must_use]
pub fn list(
    (sql, tail): (&'static str, &'static str),
    arguments: &[&str],
    length: usize,
) -> AssertSqlSafe<String> {
    let mut sql = format!("{sql} (");
    for number in 1..=length {
        let before = if number == 1 { "" } else { ", " };
        write!(sql, "{before}${}", arguments.len() + number).expect("a String takes every write");
    }
    sql.push_str(") ");
    sql.push_str(tail);
    AssertSqlSafe(sql)
}

/// A statement that ends in `IN`, asking for any element of an array instead, which follows
/// `arguments`.
#[must_use]
pub fn any((sql, tail): (&'static str, &'static str), arguments: &[&str]) -> AssertSqlSafe<String> {
    let sql = sql.strip_suffix("IN").unwrap_or(sql);
    AssertSqlSafe(format!("{sql}= ANY(${}) {tail}", arguments.len() + 1))
}

/// Cuts rows, or values that are looked up, into arrays.
pub fn arrays<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    rows.chunks(MAX_ELEMENTS)
}

/// Cuts rows into chunks of round lengths, longest first: up to 15 rows are one chunk, and of more
/// rows at most an eighth is left for the next.
pub fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let (chunk, rest) = rows.split_at_checked(round(rows.len())?)?;
        rows = rest;
        Some(chunk)
    })
}

/// The largest length of at most `rows` that has [`SIGNIFICANT_BITS`]. None for no rows.
fn round(rows: usize) -> Option<usize> {
    let rows = rows.min(MAX_ROWS);
    let cut_off = (rows.checked_ilog2()? + 1).saturating_sub(SIGNIFICANT_BITS);
    Some(rows >> cut_off << cut_off)
}

/// Cuts values that are only looked up into lists of power-of-two lengths. The last is filled up
/// with its last value: finding a value twice changes nothing, and a list takes one statement.
pub fn lists<T>(values: &[T]) -> impl Iterator<Item = Vec<&T>> {
    values.chunks(MAX_ROWS).map(|chunk| {
        let last = chunk.last().into_iter().cycle();
        let length = chunk.len().next_power_of_two();
        chunk.iter().chain(last).take(length).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_cut_into_chunks_of_round_lengths() {
        let lengths =
            |rows: usize| -> Vec<usize> { chunks(&vec![(); rows]).map(<[()]>::len).collect() };
        assert_eq!(lengths(0), [0_usize; 0]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(15), [15]);
        assert_eq!(lengths(39), [36, 3]);
        assert_eq!(lengths(300), [128, 128, 44]);
        let texts: BTreeSet<usize> = (1..=300).flat_map(lengths).collect();
        assert_eq!(texts.len(), 40);
    }

    #[test]
    fn lists_are_filled_up_to_powers_of_two() {
        let cut = |values: &[u16]| -> Vec<Vec<u16>> {
            let lists = lists(values);
            lists
                .map(|list| list.into_iter().copied().collect())
                .collect()
        };
        assert_eq!(cut(&[]), [[0_u16; 0]; 0]);
        assert_eq!(cut(&[7]), [[7]]);
        assert_eq!(cut(&[1, 2, 3, 4, 5]), [[1, 2, 3, 4, 5, 5, 5, 5]]);
        let values: Vec<u16> = (0..300).collect();
        let lengths: Vec<usize> = cut(&values).iter().map(Vec::len).collect();
        assert_eq!(lengths, [128, 128, 64]);
    }

    #[test]
    fn a_list_counts_on_after_the_arguments() {
        let text = ("SELECT a FROM t WHERE a = $1 AND b IN", "ORDER BY b");
        let sql = list(text, &["a"], 3);
        let expected = "SELECT a FROM t WHERE a = $1 AND b IN ($2, $3, $4) ORDER BY b";
        assert_eq!(sql.0, expected);
    }

    #[test]
    fn an_array_takes_the_place_of_a_list() {
        let text = ("SELECT a FROM t WHERE a = $1 AND b IN", "ORDER BY b");
        let expected = "SELECT a FROM t WHERE a = $1 AND b = ANY($2) ORDER BY b";
        assert_eq!(any(text, &["a"]).0, expected);
    }

    #[test]
    fn rows_become_a_list_of_values_or_an_array_for_each_column() {
        let shape = Shape::new(
            "INSERT INTO t (a, b)",
            &["a", "b"],
            "ON CONFLICT DO NOTHING",
        );
        assert_eq!(
            shape.values(2).0,
            "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            shape.arrays().0,
            "INSERT INTO t (a, b) SELECT * FROM UNNEST($1, $2) AS list (column1, column2) \
             ON CONFLICT DO NOTHING"
        );
    }
}
