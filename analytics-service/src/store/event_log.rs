//! The log of events that the read model is a function of.

use std::collections::HashSet;

use ::store::{StoreError, Tx};
use common::ids::EventId;
use common::time::Timestamp;

/// An event as it came.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct LoggedEvent {
    pub(crate) event_id: EventId,
    pub(crate) r#type: String,
    pub(crate) data: String,
}

/// Adds events and returns the ids of those that were not there already.
pub(crate) async fn insert(
    tx: &mut Tx,
    events: &[(LoggedEvent, String)],
    now: Timestamp,
) -> Result<HashSet<EventId>, StoreError> {
    let inserted: Vec<(EventId,)> = ::store::insert_many_returning!(
        tx,
        (EventId,),
        "INSERT INTO event_log (event_id, type, subject, data, received_at)",
        events,
        |(event, subject)| [event.event_id, &event.r#type, subject, &event.data, now],
        "ON CONFLICT DO NOTHING RETURNING event_id"
    )?;
    Ok(inserted.into_iter().map(|(id,)| id).collect())
}

/// Events after `after`, by id; the nil id stands before all.
pub(crate) async fn list_after(
    tx: &mut Tx,
    after: EventId,
    limit: i64,
) -> Result<Vec<LoggedEvent>, StoreError> {
    ::store::fetch_all!(
        tx,
        LoggedEvent,
        "SELECT event_id, type, data FROM event_log
         WHERE event_id > $1 ORDER BY event_id LIMIT $2",
        after,
        limit
    )
}

/// Locks the read model against other changes until the transaction ends.
pub(crate) async fn lock_projection(tx: &mut Tx) -> Result<(), StoreError> {
    ::store::fetch_optional_locked!(tx, (i64,), "SELECT events FROM projection WHERE id = 1")?;
    Ok(())
}

/// Counts events that were taken into account.
pub(crate) async fn count_events(
    tx: &mut Tx,
    events: usize,
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "UPDATE projection SET events = events + $1, last_event_at = $2 WHERE id = 1",
        i64::try_from(events).unwrap_or(i64::MAX),
        now
    )?;
    Ok(())
}

/// When the last event was taken into account.
pub(crate) async fn last_event_at(tx: &mut Tx) -> Result<Option<Timestamp>, StoreError> {
    let row = ::store::fetch_optional!(
        tx,
        (Option<Timestamp>,),
        "SELECT last_event_at FROM projection WHERE id = 1"
    )?;
    Ok(row.and_then(|(at,)| at))
}
