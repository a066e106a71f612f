//! The macros that run one SQL text on either engine.
//!
//! Both arms of the `match` that they expand to are compiled against the native driver, so a
//! statement costs what it costs with bare sqlx. The text is a literal, prepared once for each
//! connection; arguments are bound, never formatted in.

/// Runs a query and returns all rows: `fetch_all!(tx, Row, "SELECT ..", args..)`.
///
/// `Row` implements [`sqlx::FromRow`] for both engines; deriving it, and tuples, do.
#[macro_export]
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::__fetch!(fetch_all, $tx, $row, [$sql, $sql] $(, $arg)*)
    };
}

/// Runs a query and returns its first row, if there is one.
#[macro_export]
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::__fetch!(fetch_optional, $tx, $row, [$sql, $sql] $(, $arg)*)
    };
}

/// Runs a query that always has a row, such as an aggregate or `RETURNING`, and returns the first.
#[macro_export]
macro_rules! fetch_one {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::__fetch!(fetch_one, $tx, $row, [$sql, $sql] $(, $arg)*)
    };
}

/// [`fetch_all!`] that locks the rows until the transaction ends. In SQLite a write transaction
/// has the whole database to itself anyway.
#[macro_export]
macro_rules! fetch_all_locked {
    ($tx:expr, $row:ty, $sql:literal $(, $arg:expr)* $(,)?) => {
        $crate::__fetch!(fetch_all, $tx, $row, [$sql, concat!($sql, " FOR UPDATE")] $(, $arg)*)
    };
}

/// [`fetch_optional!`] that locks the row until the transaction ends.
#[macro_export]
macro_rules! fetch_optional_locked {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::__fetch!(fetch_optional, $tx, $row, [$sql, concat!($sql, " FOR UPDATE")] $(, $arg)*)
    };
}

/// [`fetch_all_locked!`] that leaves out rows which another transaction has locked: how several
/// workers share one queue.
#[macro_export]
macro_rules! fetch_all_skip_locked {
    ($tx:expr, $row:ty, $sql:literal $(, $arg:expr)* $(,)?) => {
        $crate::__fetch!(
            fetch_all, $tx, $row, [$sql, concat!($sql, " FOR UPDATE SKIP LOCKED")] $(, $arg)*
        )
    };
}

/// Runs a statement and returns how many rows it changed: `execute!(tx, "UPDATE ..", args..)`.
#[macro_export]
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        match $tx.engine() {
            $crate::Engine::Sqlite(connection) => {
                $crate::sqlx::query::<$crate::sqlx::Sqlite>($sql)
                    $(.bind($arg))*
                    .execute(connection)
                    .await
                    .map(|done| done.rows_affected())
            }
            $crate::Engine::Postgres(connection) => {
                $crate::sqlx::query::<$crate::sqlx::Postgres>($sql)
                    $(.bind($arg))*
                    .execute(connection)
                    .await
                    .map(|done| done.rows_affected())
            }
        }
        .map_err($crate::StoreError::from)
    };
}

/// Inserts many rows with few statements and returns how many were inserted:
/// `insert_many!(tx, "INSERT INTO t (a, b)", rows, |row| [row.a, &row.b], "ON CONFLICT DO NOTHING")`.
///
/// `rows` is a slice or a `Vec`; the closure-like list names one value for each column.
#[macro_export]
macro_rules! insert_many {
    ($tx:expr, $insert:literal, $rows:expr, |$row:pat_param| [$($value:expr),+ $(,)?] $(,)?) => {
        $crate::insert_many!($tx, $insert, $rows, |$row| [$($value),+], "")
    };
    ($tx:expr, $insert:literal, $rows:expr, |$row:pat_param| [$($value:expr),+ $(,)?], $tail:literal $(,)?) => {
        match $tx.engine() {
            $crate::Engine::Sqlite(connection) => $crate::__execute_rows!(
                connection, chunks, $insert, $rows, |$row| [$($value),+], $tail
            ),
            $crate::Engine::Postgres(connection) => $crate::__execute_columns!(
                connection, $insert, $rows, |$row| [$($value),+], $tail
            ),
        }
    };
}

/// Inserts many rows like [`insert_many!`] and returns what the tail's `RETURNING` says, in no order:
/// `insert_many_returning!(tx, (Uuid,), "INSERT INTO t (id)", rows, |row| [row.id],
/// "ON CONFLICT DO NOTHING RETURNING id")`.
#[macro_export]
macro_rules! insert_many_returning {
    ($tx:expr, $row_type:ty, $insert:literal, $rows:expr, |$row:pat_param| [$($value:expr),+ $(,)?], $tail:literal $(,)?) => {
        match $tx.engine() {
            $crate::Engine::Sqlite(connection) => $crate::__fetch_rows!(
                connection, chunks, $row_type, $insert, $rows,
                |$row| [$($value),+], $tail
            ),
            $crate::Engine::Postgres(connection) => $crate::__fetch_columns!(
                connection, $row_type, $insert, $rows,
                |$row| [$($value),+], $tail
            ),
        }
    };
}

/// Changes many rows, each in its own way, with few statements, and returns how many were changed:
/// `update_many!(tx, "UPDATE t SET a = t.a + new.column2", rows, |row| [row.id, row.a],
/// "WHERE t.id = new.column1")`.
///
/// The columns of the new values are called `column1`, `column2` and so on. No two rows may change
/// the same row: only one of them would.
#[macro_export]
macro_rules! update_many {
    ($tx:expr, $update:literal, $rows:expr, |$row:pat_param| [$($value:expr),+ $(,)?], $where:literal $(,)?) => {
        match $tx.engine() {
            $crate::Engine::Sqlite(connection) => $crate::__execute_rows!(
                connection, lists, concat!($update, " FROM ("), $rows,
                |$row| [$($value),+], concat!(") AS new ", $where)
            ),
            $crate::Engine::Postgres(connection) => $crate::__execute_columns!(
                connection, concat!($update, " FROM ("), $rows,
                |$row| [$($value),+], concat!(") AS new ", $where)
            ),
        }
    };
}

/// Changes many rows like [`update_many!`] and returns what the `RETURNING` of `WHERE` says, in no
/// order.
#[macro_export]
macro_rules! update_many_returning {
    ($tx:expr, $row_type:ty, $update:literal, $rows:expr, |$row:pat_param| [$($value:expr),+ $(,)?], $where:literal $(,)?) => {
        match $tx.engine() {
            $crate::Engine::Sqlite(connection) => $crate::__fetch_rows!(
                connection, lists, $row_type, concat!($update, " FROM ("),
                $rows, |$row| [$($value),+], concat!(") AS new ", $where)
            ),
            $crate::Engine::Postgres(connection) => $crate::__fetch_columns!(
                connection, $row_type, concat!($update, " FROM ("),
                $rows, |$row| [$($value),+], concat!(") AS new ", $where)
            ),
        }
    };
}

/// Runs a query that ends in `IN`, for each value of a slice, and returns all rows:
/// `fetch_in!(tx, Row, "SELECT .. WHERE store_id = $1 AND id IN", ids, store_id)`.
///
/// The arguments come before the list and are evaluated for each of the few statements that a long
/// list takes; rows come in no order.
#[macro_export]
macro_rules! fetch_in {
    ($tx:expr, $row:ty, $sql:literal, $values:expr $(, $arg:expr)* $(,)?) => {
        $crate::__fetch_in!($tx, $row, [($sql, ""), ($sql, "")], $values $(, $arg)*)
    };
}

/// [`fetch_in!`] that locks the rows until the transaction ends, in the order of the tail:
/// `fetch_in_locked!(tx, Row, "SELECT .. WHERE id IN", ids, "ORDER BY id")`.
///
/// Transactions that lock several rows must do so in one order, or they wait for each other for
/// ever. So sort the values alike: a long list takes several statements.
#[macro_export]
macro_rules! fetch_in_locked {
    ($tx:expr, $row:ty, $sql:expr, $values:expr, $order:literal $(, $arg:expr)* $(,)?) => {
        $crate::__fetch_in!(
            $tx, $row, [($sql, $order), ($sql, concat!($order, " FOR UPDATE"))], $values $(, $arg)*
        )
    };
}

/// [`fetch_in!`] for rows of several values: the query ends in `IN`, `rows` and the closure-like
/// list are as in [`insert_many!`], and the tail follows the list:
/// `fetch_in_rows!(tx, Row, "SELECT .. WHERE (a, b) IN", pairs, |pair| [pair.a, pair.b], "AND c > 0")`.
#[macro_export]
macro_rules! fetch_in_rows {
    ($tx:expr, $row_type:ty, $sql:literal, $rows:expr, |$row:pat_param| [$($value:expr),+ $(,)?], $tail:literal $(,)?) => {
        $crate::__fetch_in_rows!($tx, $row_type, $sql, $rows, |$row| [$($value),+], [$tail, $tail])
    };
}

/// [`fetch_in_rows!`] that locks the rows until the transaction ends, in the order of the tail. As
/// with [`fetch_in_locked!`], sort the values alike.
#[macro_export]
macro_rules! fetch_in_rows_locked {
    ($tx:expr, $row_type:ty, $sql:literal, $rows:expr, |$row:pat_param| [$($value:expr),+ $(,)?], $order:literal $(,)?) => {
        $crate::__fetch_in_rows!(
            $tx, $row_type, $sql, $rows, |$row| [$($value),+], [$order, concat!($order, " FOR UPDATE")]
        )
    };
}

/// Runs a statement that ends in `IN`, for each value of a slice, and returns how many rows it
/// changed: `execute_in!(tx, "UPDATE .. SET at = $1 WHERE id IN", ids, at)`.
#[macro_export]
macro_rules! execute_in {
    ($tx:expr, $sql:literal, $values:expr $(, $arg:expr)* $(,)?) => {
        async {
            let mut changed = 0;
            let values = ::std::convert::AsRef::<[_]>::as_ref(&$values);
            match $tx.engine() {
                $crate::Engine::Sqlite(connection) => {
                    for chunk in $crate::bulk::lists(values) {
                        let sql = $crate::bulk::list(($sql, ""), &[$(stringify!($arg)),*], chunk.len());
                        let query = $crate::sqlx::query::<$crate::sqlx::Sqlite>(sql);
                        let query = query$(.bind($arg))*;
                        let query = chunk.into_iter().fold(query, |query, value| query.bind(value));
                        changed += query.execute(&mut *connection).await?.rows_affected();
                    }
                }
                $crate::Engine::Postgres(connection) => {
                    for chunk in $crate::bulk::arrays(values) {
                        let sql = $crate::bulk::any(($sql, ""), &[$(stringify!($arg)),*]);
                        let query = $crate::sqlx::query::<$crate::sqlx::Postgres>(sql);
                        let query = query$(.bind($arg))*.bind(chunk);
                        changed += query.execute(&mut *connection).await?.rows_affected();
                    }
                }
            }
            ::std::result::Result::<u64, $crate::StoreError>::Ok(changed)
        }
        .await
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fetch {
    ($method:ident, $tx:expr, $row:ty, [$sqlite:expr, $postgres:expr] $(, $arg:expr)*) => {
        match $tx.engine() {
            $crate::Engine::Sqlite(connection) => {
                $crate::sqlx::query_as::<$crate::sqlx::Sqlite, $row>($sqlite)
                    $(.bind($arg))*
                    .$method(connection)
                    .await
            }
            $crate::Engine::Postgres(connection) => {
                $crate::sqlx::query_as::<$crate::sqlx::Postgres, $row>($postgres)
                    $(.bind($arg))*
                    .$method(connection)
                    .await
            }
        }
        .map_err($crate::StoreError::from)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fetch_in {
    ($tx:expr, $row:ty, [$sqlite:expr, $postgres:expr], $values:expr $(, $arg:expr)*) => {
        async {
            let mut rows: ::std::vec::Vec<$row> = ::std::vec::Vec::new();
            let values = ::std::convert::AsRef::<[_]>::as_ref(&$values);
            match $tx.engine() {
                $crate::Engine::Sqlite(connection) => {
                    for chunk in $crate::bulk::lists(values) {
                        let sql = $crate::bulk::list($sqlite, &[$(stringify!($arg)),*], chunk.len());
                        let query = $crate::sqlx::query_as::<$crate::sqlx::Sqlite, $row>(sql);
                        let query = query$(.bind($arg))*;
                        let query = chunk.into_iter().fold(query, |query, value| query.bind(value));
                        rows.extend(query.fetch_all(&mut *connection).await?);
                    }
                }
                $crate::Engine::Postgres(connection) => {
                    for chunk in $crate::bulk::arrays(values) {
                        let sql = $crate::bulk::any($postgres, &[$(stringify!($arg)),*]);
                        let query = $crate::sqlx::query_as::<$crate::sqlx::Postgres, $row>(sql);
                        let query = query$(.bind($arg))*.bind(chunk);
                        rows.extend(query.fetch_all(&mut *connection).await?);
                    }
                }
            }
            ::std::result::Result::<_, $crate::StoreError>::Ok(rows)
        }
        .await
    };
}

// Without the select around the list of rows, SQLite reads the whole table instead of the index.
#[doc(hidden)]
#[macro_export]
macro_rules! __fetch_in_rows {
    ($tx:expr, $row_type:ty, $sql:literal, $rows:expr, |$row:pat_param| [$($value:expr),+], [$sqlite:expr, $postgres:expr]) => {
        match $tx.engine() {
            $crate::Engine::Sqlite(connection) => $crate::__fetch_rows!(
                connection, lists, $row_type, concat!($sql, " (SELECT * FROM ("), $rows,
                |$row| [$($value),+], concat!(") AS wanted) ", $sqlite)
            ),
            $crate::Engine::Postgres(connection) => $crate::__fetch_columns!(
                connection, $row_type, concat!($sql, " (SELECT * FROM ("), $rows,
                |$row| [$($value),+], concat!(") AS wanted) ", $postgres)
            ),
        }
    };
}

/// SQLite's way to take rows: lists of values.
#[doc(hidden)]
#[macro_export]
macro_rules! __execute_rows {
    ($connection:ident, $cut:ident, $sql:expr, $rows:expr, |$row:pat_param| [$($value:expr),+], $tail:expr) => {
        async {
            let shape = const { $crate::bulk::Shape::new($sql, &[$(stringify!($value)),+], $tail) };
            let mut changed = 0;
            for chunk in $crate::bulk::$cut(::std::convert::AsRef::<[_]>::as_ref(&$rows)) {
                let sql = shape.values(chunk.len());
                let mut query = $crate::sqlx::query::<$crate::sqlx::Sqlite>(sql);
                for $row in chunk {
                    query = query$(.bind($value))+;
                }
                changed += query.execute(&mut *$connection).await?.rows_affected();
            }
            ::std::result::Result::<u64, $crate::StoreError>::Ok(changed)
        }
        .await
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fetch_rows {
    ($connection:ident, $cut:ident, $row_type:ty, $sql:expr, $rows:expr, |$row:pat_param| [$($value:expr),+], $tail:expr) => {
        async {
            let shape = const { $crate::bulk::Shape::new($sql, &[$(stringify!($value)),+], $tail) };
            let mut fetched: ::std::vec::Vec<$row_type> = ::std::vec::Vec::new();
            for chunk in $crate::bulk::$cut(::std::convert::AsRef::<[_]>::as_ref(&$rows)) {
                let sql = shape.values(chunk.len());
                let mut query = $crate::sqlx::query_as::<$crate::sqlx::Sqlite, $row_type>(sql);
                for $row in chunk {
                    query = query$(.bind($value))+;
                }
                fetched.extend(query.fetch_all(&mut *$connection).await?);
            }
            ::std::result::Result::<_, $crate::StoreError>::Ok(fetched)
        }
        .await
    };
}

/// PostgreSQL's way to take rows: an array for each column.
#[doc(hidden)]
#[macro_export]
macro_rules! __execute_columns {
    ($connection:ident, $sql:expr, $rows:expr, |$row:pat_param| [$($value:expr),+], $tail:expr) => {
        async {
            let shape = const { $crate::bulk::Shape::new($sql, &[$(stringify!($value)),+], $tail) };
            let mut changed = 0;
            for chunk in $crate::bulk::arrays(::std::convert::AsRef::<[_]>::as_ref(&$rows)) {
                let query = $crate::sqlx::query::<$crate::sqlx::Postgres>(shape.arrays());
                let query = query$(.bind($crate::__column!(chunk, |$row| $value)))+;
                changed += query.execute(&mut *$connection).await?.rows_affected();
            }
            ::std::result::Result::<u64, $crate::StoreError>::Ok(changed)
        }
        .await
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fetch_columns {
    ($connection:ident, $row_type:ty, $sql:expr, $rows:expr, |$row:pat_param| [$($value:expr),+], $tail:expr) => {
        async {
            let shape = const { $crate::bulk::Shape::new($sql, &[$(stringify!($value)),+], $tail) };
            let mut fetched: ::std::vec::Vec<$row_type> = ::std::vec::Vec::new();
            for chunk in $crate::bulk::arrays(::std::convert::AsRef::<[_]>::as_ref(&$rows)) {
                let sql = shape.arrays();
                let query = $crate::sqlx::query_as::<$crate::sqlx::Postgres, $row_type>(sql);
                let query = query$(.bind($crate::__column!(chunk, |$row| $value)))+;
                fetched.extend(query.fetch_all(&mut *$connection).await?);
            }
            ::std::result::Result::<_, $crate::StoreError>::Ok(fetched)
        }
        .await
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __column {
    ($rows:ident, |$row:pat_param| $value:expr) => {{
        #[allow(
            clippy::allow_attributes,
            unused_variables,
            reason = "a value may be the same in every row, or not"
        )]
        let column: ::std::vec::Vec<_> = $rows.iter().map(|$row| $value).collect();
        column
    }};
}
