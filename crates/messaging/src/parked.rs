//! Events that could not take effect: kept with the reason until a person has them tried again.

use common::error::{ApiError, ErrorChain};
use common::ids::EventId;
use common::page::{Page, decode_cursor};
use common::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use store::{StoreError, Tx};

use crate::Envelope;
use crate::intake::Intake;

/// One parked event, as it is listed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ParkedOut {
    event_id: EventId,
    r#type: String,
    reason: String,
    attempts: i64,
    parked_at: Timestamp,
    redriven_at: Option<Timestamp>,
    #[schema(value_type = serde_json::Value)]
    event: Box<RawValue>,
}

#[derive(sqlx::FromRow)]
struct Row {
    event_id: EventId,
    r#type: String,
    body: String,
    reason: String,
    attempts: i64,
    parked_at: Timestamp,
    redriven_at: Option<Timestamp>,
}

pub(crate) async fn insert(
    tx: &mut Tx,
    event: &Envelope,
    (reason, attempts): (&str, u32),
    now: Timestamp,
) -> Result<(), StoreError> {
    let body = serde_json::to_string(event)
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
    store::execute!(
        tx,
        "INSERT INTO parked_events (event_id, type, body, reason, attempts, parked_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        event.id,
        &event.r#type,
        body,
        reason,
        i64::from(attempts),
        now
    )?;
    Ok(())
}

/// The parked events that were not re-driven yet, oldest first.
pub(crate) async fn list(
    tx: &mut Tx,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Page<ParkedOut>, ApiError> {
    let after: Option<(Timestamp, EventId)> = decode_cursor(cursor)?;
    let (after_time, after_id) = after.unwrap_or((
        Timestamp::from_micros(0),
        EventId::from_uuid(uuid::Uuid::nil()),
    ));
    let rows = store::fetch_all!(
        tx,
        Row,
        "SELECT event_id, type, body, reason, attempts, parked_at, redriven_at
         FROM parked_events
         WHERE redriven_at IS NULL AND (parked_at, event_id) > ($1, $2)
         ORDER BY parked_at, event_id LIMIT $3",
        after_time,
        after_id,
        i64::from(limit) + 1
    )?;
    Ok(Page::cut(
        rows,
        limit,
        |row| (row.parked_at, row.event_id),
        ParkedOut::from,
    ))
}

/// Gives a parked event its effect after all. Repeating it has no second effect.
///
/// # Errors
/// 404 for an event that is not parked; 409 `still_failing` with the reason.
pub(crate) async fn redrive(intake: &Intake, id: EventId) -> Result<(), ApiError> {
    let mut tx = intake.db().begin().await?;
    let row = store::fetch_optional_locked!(
        tx,
        Row,
        "SELECT event_id, type, body, reason, attempts, parked_at, redriven_at
         FROM parked_events WHERE event_id = $1",
        id
    )?;
    let row = row.ok_or_else(|| ApiError::not_found("parked event"))?;
    if row.redriven_at.is_some() {
        return Ok(tx.commit().await?);
    }
    let event: Envelope = serde_json::from_str(&row.body).map_err(ApiError::internal)?;
    if let Err(error) = intake
        .give_effect(&mut tx, std::slice::from_ref(&event))
        .await
    {
        let detail = format!("The event still fails: {}", ErrorChain(&error));
        return Err(ApiError::conflict("still_failing", detail));
    }
    let now = intake.clock().now();
    let sql = "UPDATE parked_events SET redriven_at = $1 WHERE event_id = $2";
    store::execute!(tx, sql, now, id)?;
    tx.commit().await?;
    tracing::info!(event.id = %id, "a parked event was re-driven");
    Ok(())
}

impl From<Row> for ParkedOut {
    fn from(row: Row) -> Self {
        Self {
            event_id: row.event_id,
            r#type: row.r#type,
            reason: row.reason,
            attempts: row.attempts,
            parked_at: row.parked_at,
            redriven_at: row.redriven_at,
            event: RawValue::from_string(row.body).unwrap_or_else(|_damaged| Box::default()),
        }
    }
}
