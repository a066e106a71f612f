//! Builds the read model again from the log of events.

use ::store::Tx;
use common::ids::EventId;
use serde::Serialize;
use uuid::Uuid;

use super::AppState;
use super::project::apply;
use crate::error::UseCaseError;
use crate::store::fingerprint::{Fingerprint, fingerprint};
use crate::store::{event_log, sales};

/// Events read from the log at a time.
const BATCH: i64 = 1_000;

/// Whether the rebuilt read model replaces the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Only compare; the live one stays.
    Compare,
    /// Replace the live one.
    Replace,
}

/// What a rebuild found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Rebuilt {
    /// Events in the log.
    pub(crate) events: i64,
    /// Rows of the live read model.
    pub(crate) live: Fingerprint,
    /// Rows of the rebuilt one.
    pub(crate) rebuilt: Fingerprint,
    /// Whether both hold the same.
    pub(crate) equal: bool,
}

/// Rebuilds within one transaction, in which nothing else changes the read model.
pub(crate) async fn rebuild(app: &AppState, mode: Mode) -> Result<Rebuilt, UseCaseError> {
    let mut tx = app.db.begin().await?;
    event_log::lock_projection(&mut tx).await?;
    let live = fingerprint(&mut tx).await?;
    sales::delete_all(&mut tx).await?;
    let events = replay(&mut tx).await?;
    let rebuilt = fingerprint(&mut tx).await?;
    match mode {
        Mode::Compare => tx.rollback().await?,
        Mode::Replace => tx.commit().await?,
    }
    let equal = live == rebuilt;
    if !equal {
        tracing::error!(?live, ?rebuilt, "the read model differs from its events");
    }
    Ok(Rebuilt {
        events,
        live,
        rebuilt,
        equal,
    })
}

async fn replay(tx: &mut Tx) -> Result<i64, UseCaseError> {
    let mut after = EventId::from_uuid(Uuid::nil());
    let mut count = 0;
    loop {
        let events = event_log::list_after(tx, after, BATCH).await?;
        let Some(last) = events.last() else {
            return Ok(count);
        };
        after = last.event_id;
        apply(tx, &events).await?;
        count += i64::try_from(events.len()).unwrap_or(i64::MAX);
    }
}
