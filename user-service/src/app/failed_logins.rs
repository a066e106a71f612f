//! Counts failed logins, and writes down those that made further ones wait.

use common::ids::UserId;
use serde_json::json;
use store::{StoreError, Tx};

use crate::audit::{self, Actor, Entry};
use crate::state::AppState;
use crate::throttle::Attempt;

/// Counts a failed try, of an account that exists or of none: both cost the same. From the one on
/// that makes its account wait at its address, each is written down; there are few, because the waits
/// double.
pub(super) async fn count(
    state: &AppState,
    attempt: &Attempt,
    known: Option<UserId>,
) -> Result<(), StoreError> {
    let Some(entry) = delay(state, attempt, known).await else {
        return Ok(());
    };
    let mut tx = state.db.begin().await?;
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await
}

/// The same in a transaction whose locks keep the next try waiting until this one is counted. It is
/// the last thing before the commit.
pub(super) async fn count_in(
    state: &AppState,
    tx: &mut Tx,
    attempt: &Attempt,
    known: UserId,
) -> Result<(), StoreError> {
    match delay(state, attempt, Some(known)).await {
        Some(entry) => audit::record(state, tx, entry).await,
        None => Ok(()),
    }
}

/// Counts the try; what to write down if the next one has to wait.
async fn delay(state: &AppState, attempt: &Attempt, known: Option<UserId>) -> Option<Entry> {
    state.throttle.failed(attempt).await;
    let wait = state.throttle.waits(attempt).await.always?;
    let entry = Entry::new(Actor::Unknown, "login.delayed");
    let entry = match known {
        Some(account) => entry.on("account", account),
        None => entry,
    };
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Some(entry.after(json!({"wait_ms": wait_ms})))
}
