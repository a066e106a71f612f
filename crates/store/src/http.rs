//! What a client sees of a database's failures, and writes that happen once however often they are
//! sent.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use common::error::ApiError;
use common::time::Timestamp;
use serde::Serialize;

use crate::idempotency::{self, IdempotencyRequest};
use crate::{Db, StoreError, Tx};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                Self::unavailable("database_unavailable", Duration::from_secs(2)).with_cause(error)
            }
            StoreError::Serialization(_) => {
                Self::unavailable("concurrent_change", Duration::from_secs(1)).with_cause(error)
            }
            StoreError::Conflict { .. } => {
                let detail = "Something with the same unique value exists.";
                Self::conflict("already_exists", detail).with_cause(error)
            }
            StoreError::Unstorable(_) => {
                let detail = "The request holds a value that cannot be stored.";
                Self::unprocessable("value_not_storable", detail).with_cause(error)
            }
            StoreError::Database(_) | StoreError::Migration(_) | StoreError::Settings(_) => {
                Self::internal(error)
            }
        }
    }
}

/// Does `work` once for each `Idempotency-Key`: the claim of the key, the work and its answer
/// commit together, and a repeated request gets the stored answer. A failure rolls everything
/// back, so that the same key may try again.
///
/// # Errors
/// What `work` refuses, 409 and 422 of the key, and what the database fails with.
pub async fn answer_once<T, W>(
    db: &Db,
    request: &IdempotencyRequest,
    now: Timestamp,
    work: W,
) -> Result<HttpResponse, ApiError>
where
    T: Serialize,
    W: AsyncFnOnce(&mut Tx) -> Result<(StatusCode, T), ApiError>,
{
    let mut tx = db.begin().await?;
    let claim = idempotency::begin(&mut tx, request, now).await?;
    if let Some((status, body)) = claim.into_replay()? {
        tx.commit().await?;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        return Ok(HttpResponse::build(status).json(body));
    }
    let (status, answer) = work(&mut tx).await?;
    idempotency::finish(&mut tx, request, status.as_u16(), &answer).await?;
    tx.commit().await?;
    Ok(HttpResponse::build(status).json(answer))
}
