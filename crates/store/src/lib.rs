//! One database handle over PostgreSQL and SQLite, chosen by the database's URL.
//!
//! [`Db`] is an enum over the two native sqlx drivers, and the macros run one SQL text with bound
//! arguments against either. Where the engines really differ (row locks, leadership, the single
//! writer of SQLite) the difference is a method or a macro here, never an `if` in a service.
//!
//! ```no_run
//! # async fn sell(db: &store::Db, sku: &str) -> Result<(), store::StoreError> {
//! let mut tx = db.begin().await?;
//! let on_hand: Option<(i64,)> = store::fetch_optional_locked!(
//!     tx, (i64,), "SELECT on_hand FROM stock WHERE sku = $1", sku
//! )?;
//! if on_hand.is_some_and(|(units,)| units > 0) {
//!     store::execute!(tx, "UPDATE stock SET on_hand = on_hand - 1 WHERE sku = $1", sku)?;
//! }
//! tx.commit().await
//! # }
//! ```
//!
//! Rules that keep one text right on both engines: `$1` placeholders in the order of the
//! arguments; explicit columns; the column types `uuid`, `timestamptz`, `jsonb`, `bigint`,
//! `boolean`, `text`, `date` and `double precision`; no deferred constraints. A failed statement
//! ends the transaction: drop it.

mod append_only;
mod batch;
mod db;
mod error;
mod leadership;
mod macros;
mod postgres;
mod sqlite;
mod tx;

#[doc(hidden)]
pub mod bulk;
pub mod http;
pub mod idempotency;

pub use batch::{BatchResult, BatchWork, Batcher, MAX_BATCH};
pub use db::Db;
pub use error::StoreError;
pub use leadership::Leadership;
#[doc(hidden)]
pub use sqlx;
pub use sqlx::migrate::Migrator;
pub use sqlx::types::Json;
pub use tx::{Engine, Tx};

/// A value for a `jsonb` column.
pub const fn json<T>(value: T) -> Json<T> {
    Json(value)
}
