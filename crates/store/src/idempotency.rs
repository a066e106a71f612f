//! What was answered to a write, remembered under its `Idempotency-Key`, so that a repeated request
//! gets the same answer and no second effect.
//!
//! The record is written in the transaction of the state change itself: [`begin`] claims the key,
//! [`finish`] stores the answer, and one commit makes both durable with the change. A claim that is
//! committed without an answer (work that spans transactions, such as a saga) is in flight until
//! somebody finishes it.

use std::collections::HashSet;
use std::time::Duration;

use common::clock::Clock;
use common::error::{ApiError, ErrorChain};
use common::extract::IdempotencyKey;
use common::shutdown::Shutdown;
use common::time::Timestamp;
use ring::digest;
use serde::Serialize;
use sqlx::migrate::Migrator;
use sqlx::types::Json;

use crate::{Db, StoreError, Tx};

/// The table's migrations.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/shared/idempotency");

/// How long answers are remembered.
pub const MEMORY: Duration = Duration::from_secs(5 * 24 * 3600);

const PURGE_INTERVAL: Duration = Duration::from_secs(3600);

/// A write and its key.
#[derive(Clone, Debug)]
pub struct IdempotencyRequest {
    caller: String,
    method: &'static str,
    path: String,
    key: String,
    body_hash: String,
}

impl IdempotencyRequest {
    /// The write of `body` to `path` by `caller` (the token's subject). Keys of different callers
    /// and endpoints never meet.
    ///
    /// # Errors
    /// [`serde_json::Error`] when `body` cannot be JSON.
    pub fn new(
        caller: impl ToString,
        (method, path): (&'static str, impl Into<String>),
        key: &IdempotencyKey,
        body: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let hash = digest::digest(&digest::SHA256, &serde_json::to_vec(body)?);
        Ok(Self {
            caller: caller.to_string(),
            method,
            path: path.into(),
            key: key.as_str().to_owned(),
            body_hash: hash
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        })
    }

    /// What tells keys apart.
    fn identity(&self) -> (&str, &str, &str, &str) {
        (&self.caller, self.method, &self.path, &self.key)
    }
}

/// What a key says about the request that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Never seen: claimed now, do the work.
    Fresh,
    /// Done before; this was the answer.
    Replay {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: serde_json::Value,
    },
    /// The key was used with another body.
    Mismatch,
    /// The first request is still being worked on.
    InFlight,
}

impl Outcome {
    /// The stored answer, or `None` when the work is to be done.
    ///
    /// # Errors
    /// 422 `idempotency_key_reused` and 409 `idempotency_key_in_flight` with `Retry-After`.
    pub fn into_replay(self) -> Result<Option<(u16, serde_json::Value)>, ApiError> {
        match self {
            Self::Fresh => Ok(None),
            Self::Replay { status, body } => Ok(Some((status, body))),
            Self::Mismatch => Err(ApiError::unprocessable(
                "idempotency_key_reused",
                "This Idempotency-Key was sent before with another body.",
            )),
            Self::InFlight => Err(ApiError::conflict(
                "idempotency_key_in_flight",
                "The first request with this Idempotency-Key is still being worked on.",
            )
            .with_retry_after(Duration::from_secs(1))),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Record {
    body_hash: String,
    status: Option<i64>,
    response: Option<Json<serde_json::Value>>,
}

/// Claims the request's key in `tx`, or tells what became of the request that claimed it before.
/// A concurrent request with the same key waits here until the first one's transaction ends.
///
/// # Errors
/// Those of the database.
pub async fn begin(
    tx: &mut Tx,
    request: &IdempotencyRequest,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    if claim_many(tx, &[request], now).await? == [true] {
        return Ok(Outcome::Fresh);
    }
    // Without a record, the purge took it between the two statements; a repeat will be fresh.
    let known = find(tx, request).await?;
    Ok(known.unwrap_or(Outcome::InFlight))
}

/// Claims the keys of many requests in `tx`, and tells of each whether it was free. Of two requests
/// with one key, the first gets it; [`find`] tells the other what became of it.
///
/// # Errors
/// Those of the database.
pub async fn claim_many(
    tx: &mut Tx,
    requests: &[&IdempotencyRequest],
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    // In one order, so that no two transactions wait for each other's keys.
    let mut rows = requests.to_vec();
    rows.sort_by_key(|request| request.identity());
    rows.dedup_by_key(|request| request.identity());
    let claimed: Vec<(String, String, String, String)> = crate::insert_many_returning!(
        tx,
        (String, String, String, String),
        "INSERT INTO idempotency_keys (caller, method, path, key, body_hash, created_at)",
        rows,
        |request| [
            &request.caller,
            request.method,
            &request.path,
            &request.key,
            &request.body_hash,
            now
        ],
        "ON CONFLICT DO NOTHING RETURNING caller, method, path, key"
    )?;
    let mut claimed: HashSet<_> = claimed
        .iter()
        .map(|(caller, method, path, key)| (&**caller, &**method, &**path, &**key))
        .collect();
    let requests = requests.iter();
    Ok(requests
        .map(|request| claimed.remove(&request.identity()))
        .collect())
}

/// What became of the request that claimed the key before; `None` when the key is free. Never
/// [`Outcome::Fresh`].
///
/// # Errors
/// Those of the database.
pub async fn find(
    tx: &mut Tx,
    request: &IdempotencyRequest,
) -> Result<Option<Outcome>, StoreError> {
    let record = crate::fetch_optional!(
        tx,
        Record,
        "SELECT body_hash, status, response FROM idempotency_keys
         WHERE caller = $1 AND method = $2 AND path = $3 AND key = $4",
        &request.caller,
        request.method,
        &request.path,
        &request.key
    )?;
    Ok(record.map(|record| match record {
        record if record.body_hash != request.body_hash => Outcome::Mismatch,
        Record {
            status: Some(status),
            response,
            ..
        } => Outcome::Replay {
            status: u16::try_from(status).unwrap_or(500),
            body: response.map_or(serde_json::Value::Null, |Json(body)| body),
        },
        Record { status: None, .. } => Outcome::InFlight,
    }))
}

/// The answer to a request whose key was claimed.
#[derive(Clone, Debug)]
pub struct Answer {
    request: IdempotencyRequest,
    status: u16,
    body: serde_json::Value,
}

impl Answer {
    /// The answer to `request`: an HTTP status and a JSON body.
    ///
    /// # Errors
    /// [`StoreError::Settings`] when the body cannot be JSON.
    pub fn new(
        request: IdempotencyRequest,
        status: u16,
        body: &impl Serialize,
    ) -> Result<Self, StoreError> {
        let body = serde_json::to_value(body)
            .map_err(|error| StoreError::Settings(format!("an answer is not JSON: {error}")))?;
        Ok(Self {
            request,
            status,
            body,
        })
    }
}

/// Stores the answer to a request whose key was claimed.
///
/// # Errors
/// Those of the database; [`StoreError::Settings`] when the answer cannot be JSON.
pub async fn finish(
    tx: &mut Tx,
    request: &IdempotencyRequest,
    status: u16,
    body: &impl Serialize,
) -> Result<(), StoreError> {
    let answer = Answer::new(request.clone(), status, body)?;
    finish_many(tx, &[&answer]).await
}

/// Stores the answers to many requests.
///
/// # Errors
/// Those of the database.
pub async fn finish_many(tx: &mut Tx, answers: &[&Answer]) -> Result<(), StoreError> {
    crate::update_many!(
        tx,
        "UPDATE idempotency_keys SET status = new.column5, response = new.column6",
        answers,
        |answer| [
            &answer.request.caller,
            answer.request.method,
            &answer.request.path,
            &answer.request.key,
            i64::from(answer.status),
            Json(&answer.body)
        ],
        "WHERE idempotency_keys.caller = new.column1 AND idempotency_keys.method = new.column2
           AND idempotency_keys.path = new.column3 AND idempotency_keys.key = new.column4"
    )?;
    Ok(())
}

/// Forgets answers older than [`MEMORY`] and returns how many.
///
/// # Errors
/// Those of the database.
pub async fn purge(tx: &mut Tx, now: Timestamp) -> Result<u64, StoreError> {
    crate::execute!(
        tx,
        "DELETE FROM idempotency_keys WHERE created_at < $1",
        now.minus(MEMORY)
    )
}

/// Purges once an hour until `shutdown`: a job to spawn beside the service.
pub async fn purge_hourly(db: Db, clock: Clock, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(PURGE_INTERVAL) => {}
        }
        let purged = async {
            let mut tx = db.begin().await?;
            let purged = purge(&mut tx, clock.now()).await?;
            tx.commit().await.map(|()| purged)
        };
        match purged.await {
            Ok(answers) => tracing::debug!(answers, "forgot old answers"),
            Err(error) => tracing::warn!(
                error = %ErrorChain(&error),
                "old answers could not be forgotten; the next try is in an hour"
            ),
        }
    }
}
